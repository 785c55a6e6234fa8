//! Change notification by inotify.
//!
//! One descriptor and one thread, `local-inotify`, for all watched directories of an instance; the
//! first watch makes them and the last takes them away. Changes of others and of our own come
//! alike, in the order the backing file system tells them.
//!
//! A directory that is open is not told of its own end: the system says it only when nobody has it
//! open any more, and a watch is an open. So the directory above is listened to as well, for this
//! one name. A directory that goes because one further up is moved tells nothing.

use super::file::LocalFile;
use super::node::node_of;
use super::proc::ProcFds;
use super::tree::Tree;
use crate::base::limits::INOTIFY_BUFFER_BYTES;
use crate::base::name::Name;
use crate::base::status::{Errno as StatusErrno, Status};
use crate::base::sync::{Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::mrx::request::{Change, ChangeKind};
use crate::redirectors::changes::Changes;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::{Errno, retry_on_intr, write};
use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// What of a directory and its entries is told. Files without a name are nobody's entry.
const OF_A_DIRECTORY: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR);
/// What of the directory above: the end of one name. Added to what others want of it.
const OF_THE_ONE_ABOVE: WatchFlags = WatchFlags::DELETE
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MASK_ADD)
    .union(WatchFlags::ONLYDIR);

/// The watches of one instance.
pub(super) struct Watches {
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) live: Option<Live>,
    stopped: bool,
}

/// While there are watches.
pub(super) struct Live {
    inotify: Arc<Inotify>,
    /// To be joined, not under the lock.
    thread: Thread,
}

struct Inotify {
    queue: OwnedFd,
    /// Written to when the thread is to end.
    end: OwnedFd,
    /// Who listens to what, by the system's number of it.
    listeners: Mutex<HashMap<i32, Vec<Listener>>>,
}

#[derive(Clone)]
struct Listener {
    changes: Arc<Changes>,
    /// Only the end of this name, which is the directory it is about; none: everything.
    only: Option<Name>,
}

/// A watched open directory. It ends when it is dropped.
pub(super) struct Watching {
    watches: Arc<Watches>,
    numbers: Vec<i32>,
    pub(super) changes: Arc<Changes>,
}

impl Watches {
    /// None yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(Rank::Redirector, State::default()) })
    }

    /// Begins to watch an open directory.
    pub(super) fn begin(
        self: &Arc<Self>,
        tree: &Tree,
        file: &Arc<LocalFile>,
        directory: &OwnedFd,
    ) -> Result<Watching, Status> {
        let above = file.place.lock().location.clone();
        let above = match above {
            Some(above) => Some((tree.fd(&above.parent)?, above.name)),
            None => None,
        };
        let changes = Arc::new(Changes::default());
        let mut ended = None;
        let begun = {
            let mut state = self.state.lock();
            let begun = state.live().and_then(|inotify| {
                let whole = (directory.as_fd(), OF_A_DIRECTORY, None);
                let above = above.as_ref();
                let above = above.map(|(fd, name)| (fd.as_fd(), OF_THE_ONE_ABOVE, Some(name)));
                let wanted = std::iter::once(whole).chain(above);
                let mut numbers = Vec::new();
                for (fd, flags, only) in wanted {
                    let listener = Listener { changes: changes.clone(), only: only.cloned() };
                    match inotify.listen(fd, flags, listener) {
                        Ok(number) => numbers.push(number),
                        Err(errno) => {
                            inotify.listen_no_more(&numbers, &changes);
                            return Err(no_room(errno));
                        }
                    }
                }
                Ok(numbers)
            });
            if begun.is_err() {
                ended = state.end_if_unused();
            }
            begun
        };
        if let Some(ended) = ended {
            ended.thread.join();
        }
        let watching = Watching { watches: Arc::clone(self), numbers: begun?, changes };
        // Looked at when its end would be told: one of the two sees it.
        match node_of(directory)?.attributes.links {
            0 => Err(Status::ObjectNameNotFound),
            _ => Ok(watching),
        }
    }

    /// Ends all of them, and takes no more.
    pub(super) fn stop(&self) {
        let live = {
            let mut state = self.state.lock();
            state.stopped = true;
            state.live.take()
        };
        let Some(live) = live else { return };
        let listeners = std::mem::take(&mut *live.inotify.listeners.lock());
        for listener in listeners.into_values().flatten() {
            listener.changes.close();
        }
        live.inotify.end();
        live.thread.join();
    }
}

impl State {
    fn live(&mut self) -> Result<&Inotify, Status> {
        if self.stopped {
            return Err(Status::RedirectorNotStarted);
        }
        if self.live.is_none() {
            self.live = Some(Live::start()?);
        }
        self.live.as_ref().map(|live| &*live.inotify).ok_or(Status::Unsuccessful)
    }

    /// What is to be dropped unlocked, if nobody listens any more.
    fn end_if_unused(&mut self) -> Option<Live> {
        let unused = |live: &mut Live| live.inotify.listeners.lock().is_empty();
        let live = self.live.take_if(unused)?;
        live.inotify.end();
        Some(live)
    }
}

impl Live {
    fn start() -> Result<Self, Status> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let queue = queue.map_err(no_room)?;
        let end = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let listeners = Mutex::new(Rank::RedirectorInner, HashMap::new());
        let inotify = Arc::new(Inotify { queue, end, listeners });
        let its = inotify.clone();
        let thread = threads::spawn("local-inotify", move || its.run()).map_err(|error| {
            log::error!("no thread for inotify: {error}");
            Status::InsufficientResources
        })?;
        Ok(Self { inotify, thread })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let ended = {
            let mut state = self.watches.state.lock();
            if let Some(live) = &state.live {
                live.inotify.listen_no_more(&self.numbers, &self.changes);
            }
            state.end_if_unused()
        };
        self.changes.close();
        if let Some(ended) = ended {
            ended.thread.join();
        }
    }
}

impl Inotify {
    fn listen(
        &self,
        directory: impl AsFd,
        flags: WatchFlags,
        listener: Listener,
    ) -> Result<i32, Errno> {
        let path = ProcFds::path(directory);
        // Before the system may tell of it: what comes first waits for the lock.
        let mut listeners = self.listeners.lock();
        let number = retry_on_intr(|| inotify::add_watch(&self.queue, &path, flags))?;
        listeners.entry(number).or_default().push(listener);
        Ok(number)
    }

    fn listen_no_more(&self, numbers: &[i32], changes: &Arc<Changes>) {
        let mut gone = Vec::new();
        let mut listeners = self.listeners.lock();
        for number in numbers {
            let Some(of_it) = listeners.get_mut(number) else { continue };
            let stay = |listener: &Listener| !Arc::ptr_eq(&listener.changes, changes);
            gone.extend(of_it.extract_if(.., |listener| !stay(listener)));
            if of_it.is_empty() {
                listeners.remove(number);
                // The directory may be gone, and its number with it.
                let _ = inotify::remove_watch(&self.queue, *number);
            }
        }
        drop(listeners);
        drop(gone);
    }

    /// The thread is to end.
    fn end(&self) {
        if let Err(errno) = retry_on_intr(|| write(&self.end, &1_u64.to_ne_bytes())) {
            log::error!("the inotify thread cannot be woken: {errno}");
        }
    }

    fn run(&self) {
        let mut room = vec![MaybeUninit::uninit(); INOTIFY_BUFFER_BYTES];
        loop {
            let mut ready =
                [PollFd::new(&self.queue, PollFlags::IN), PollFd::new(&self.end, PollFlags::IN)];
            if let Err(errno) = retry_on_intr(|| poll(&mut ready, None)) {
                log::error!("inotify cannot be waited for: {errno}");
                return self.overflow();
            }
            if !ready[1].revents().is_empty() {
                return;
            }
            if let Err(errno) = self.read(&mut room) {
                log::error!("inotify cannot be read: {errno}");
                return self.overflow();
            }
        }
    }

    /// Reads what fits into the buffer and tells it.
    fn read(&self, room: &mut [MaybeUninit<u8>]) -> Result<(), Errno> {
        let mut reader = inotify::Reader::new(&self.queue, room);
        let mut woken: Vec<Arc<Changes>> = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(errno) => return Err(errno),
            };
            let name = event.file_name().and_then(|name| Name::new(name.to_bytes()).ok());
            self.record(event.wd(), event.events(), name.as_ref(), &mut woken);
            if reader.is_buffer_empty() {
                break;
            }
        }
        woken.iter().for_each(|changes| changes.deliver());
        Ok(())
    }

    fn record(
        &self,
        number: i32,
        what: ReadFlags,
        name: Option<&Name>,
        woken: &mut Vec<Arc<Changes>>,
    ) {
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.record_overflow(woken);
        }
        let listeners: Vec<Listener> = {
            let mut listeners = self.listeners.lock();
            match what.contains(ReadFlags::IGNORED) {
                true => listeners.remove(&number).unwrap_or_default(),
                false => listeners.get(&number).cloned().unwrap_or_default(),
            }
        };
        for Listener { changes, only } in listeners {
            let change = match &only {
                None => change_of(what, name),
                Some(it) => ends(what, name, it).then_some((None, ChangeKind::Removed)),
            };
            let Some((name, kind)) = change else { continue };
            changes.record(Change { name, kind });
            if !woken.iter().any(|other| Arc::ptr_eq(other, &changes)) {
                woken.push(changes);
            }
        }
    }

    fn record_overflow(&self, woken: &mut Vec<Arc<Changes>>) {
        let all: Vec<Listener> = self.listeners.lock().values().flatten().cloned().collect();
        for Listener { changes, .. } in all {
            changes.record(Change { name: None, kind: ChangeKind::Overflow });
            woken.push(changes);
        }
    }

    /// Nothing more will be told: who listens is to look for himself.
    fn overflow(&self) {
        let mut woken = Vec::new();
        self.record_overflow(&mut woken);
        woken.iter().for_each(|changes| changes.deliver());
    }
}

/// Of an event of a directory: which entry, and what; the directory itself where it has no name.
fn change_of(what: ReadFlags, name: Option<&Name>) -> Option<(Option<Name>, ChangeKind)> {
    let gone = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
    let kind = if what.intersects(gone) {
        return Some((None, ChangeKind::Removed));
    } else if what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
        ChangeKind::Added
    } else if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
        ChangeKind::Removed
    } else if what.contains(ReadFlags::MODIFY) {
        ChangeKind::Modified
    } else if what.contains(ReadFlags::ATTRIB) {
        ChangeKind::Attributes
    } else {
        return None;
    };
    Some((name.cloned(), kind))
}

/// Is it the end of this name?
fn ends(what: ReadFlags, name: Option<&Name>, of: &Name) -> bool {
    what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) && name == Some(of)
}

/// The bounds of inotify are the user's, and no message of the system's names them.
fn no_room(errno: Errno) -> Status {
    match errno {
        Errno::NOSPC => {
            log::error!("no more inotify watches: see fs.inotify.max_user_watches");
            Status::Posix(StatusErrno::ENOSPC)
        }
        Errno::MFILE => {
            log::error!("no more inotify descriptors: see fs.inotify.max_user_instances");
            Status::Posix(StatusErrno::EMFILE)
        }
        errno => errno.into(),
    }
}
