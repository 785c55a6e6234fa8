//! What others change behind our back, told by fanotify: the lease on which caches live.
//!
//! `local` is its own server, and has what a server's oplock is for: with one mark on the backing
//! file system the kernel tells of every change on it, whoever makes it and by whatever name. Our
//! own are told apart by their process and passed over: the mount's caches know of them. So while
//! the lease is alive names, attributes and pages may be cached for long, and a break (the change
//! of another) takes out what it touches (rdbss.md 7.5, change of the buffering state).
//!
//! ```text
//!  None ──▶ Alive ──▶ Lost     an error of the queue: everything cached is dropped, nothing is
//!             │                leased any more
//!             └─▶ overflow     everything cached is dropped, the lease goes on
//! ```
//!
//! Nobody waits for a break: a change is seen in the mount within [`LEASE_BATCH`] and a wake-up of
//! the thread. What is never told is a write through a shared mapping, before its file is closed.
//!
//! It takes CAP_SYS_ADMIN and a file system whose handles lead back to its files. Without either
//! there is no lease, and lifetimes are what the mount's options say.

use super::file::LocalFile;
use super::node::node_of;
use super::registry::Registry;
use crate::base::limits::{LEASE_BATCH, LEASE_BUFFER_BYTES, LEASE_DIRECTORIES_MAX};
use crate::base::name::Name;
use crate::base::sync::{Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::mrx::upcall::Upcalls;
use fanotify_fid::consts::{
    FAN_ATTRIB, FAN_CLASS_NOTIF, FAN_CLOEXEC, FAN_CLOSE_WRITE, FAN_CREATE, FAN_DELETE,
    FAN_MARK_ADD, FAN_MARK_FILESYSTEM, FAN_MODIFY, FAN_MOVED_FROM, FAN_MOVED_TO, FAN_NONBLOCK,
    FAN_ONDIR, FAN_REPORT_DFID_NAME, FAN_REPORT_FID,
};
use fanotify_fid::handle::{handle_from_fd, open_by_handle_at};
use fanotify_fid::{EventReader, Fanotify, FidEvent};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{retry_on_intr, write};
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

/// Changes of names in a directory.
const NAMES: u64 = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO;
/// Changes of content. The last is told for writes through a mapping, which nothing else tells.
const CONTENT: u64 = FAN_MODIFY | FAN_CLOSE_WRITE;
/// All that is asked for.
const TOLD: u64 = NAMES | CONTENT | FAN_ATTRIB | FAN_ONDIR;
/// How a directory is called in events of itself.
const ITSELF: &[u8] = b".";

/// Epoch of no lease.
const NONE: u64 = 0;

/// The leases of this process by file system. With more than one on it, what this process does is
/// not to be passed over: the mount of the one has not heard of what the other does.
static STANDING: LazyLock<Mutex<HashMap<u64, Standing>>> =
    LazyLock::new(|| Mutex::new(Rank::Leaf, HashMap::new()));

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// Leases that are alive.
    leases: usize,
    /// Leases taken and given up so far.
    changes: u64,
}

/// The lease of one served directory.
pub(super) struct Lease {
    /// Counts overflows from 1 on; what was cached in another epoch is not to be kept. [`NONE`]:
    /// there is no lease.
    epoch: AtomicU64,
    /// The file system it is on.
    device: u64,
    listener: Mutex<Option<Listener>>,
}

struct Listener {
    end: Arc<OwnedFd>,
    thread: Thread,
}

/// What the thread works with.
struct Breaks {
    lease: Arc<Lease>,
    registry: Arc<Registry>,
    upcalls: Arc<dyn Upcalls>,
    group: Fanotify,
    /// A directory of the file system, which handles are opened by.
    mount: OwnedFd,
    end: Arc<OwnedFd>,
    own: i32,
    /// When the queue was read last.
    standing: Cell<Standing>,
}

impl Lease {
    /// No lease yet, on the file system of this device.
    pub(super) fn new(device: u64) -> Arc<Self> {
        let listener = Mutex::new(Rank::Redirector, None);
        Arc::new(Self { epoch: AtomicU64::new(NONE), device, listener })
    }

    /// Takes the lease. From here on `upcalls` are told of every break.
    ///
    /// # Errors
    /// The system's, in words: no right to it, or a file system that cannot give one.
    pub(super) fn take(
        self: &Arc<Self>,
        root: impl AsFd,
        registry: &Arc<Registry>,
        upcalls: Arc<dyn Upcalls>,
    ) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mount = openat(root, ".", flags, Mode::empty())?;
        // Handles that lead nowhere would tell nothing.
        open_by_handle_at(&mount, &handle_from_fd(&mount)?)?;
        let report = FAN_REPORT_FID | FAN_REPORT_DFID_NAME;
        let group = Fanotify::new(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | report)
            .map_err(io::Error::other)?;
        group
            .mark_fd(&mount, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, TOLD)
            .map_err(io::Error::other)?;
        let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let breaks = Breaks {
            lease: Arc::clone(self),
            registry: Arc::clone(registry),
            upcalls,
            group,
            mount,
            end: Arc::clone(&end),
            own: rustix::process::getpid().as_raw_nonzero().get(),
            standing: Cell::new(Standing::default()),
        };
        let mut listener = self.listener.lock();
        count(self.device, |leases| *leases += 1);
        let thread = threads::spawn("local-lease", move || breaks.run());
        match thread {
            Ok(thread) => *listener = Some(Listener { end, thread }),
            Err(error) => {
                count(self.device, |leases| *leases -= 1);
                return Err(error);
            }
        }
        self.epoch.store(1, Ordering::SeqCst);
        Ok(())
    }

    /// Gives it up.
    pub(super) fn give_up(&self) {
        let Some(Listener { end, thread }) = self.listener.lock().take() else { return };
        self.epoch.store(NONE, Ordering::SeqCst);
        if let Err(errno) = retry_on_intr(|| write(&*end, &1_u64.to_ne_bytes())) {
            log::error!("the thread of the lease cannot be woken: {errno}");
        }
        thread.join();
        count(self.device, |leases| *leases -= 1);
    }

    /// The epoch in which something of a file on this device may be cached; none: nothing may.
    pub(super) fn epoch(&self, device: u64) -> Option<u64> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        (epoch != NONE && device == self.device).then_some(epoch)
    }

    /// Whatever was cached until now is not to be kept.
    fn next_epoch(&self) {
        let next = |epoch| (epoch != NONE).then_some(epoch + 1);
        // None: it was given up.
        let _ = self.epoch.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    }
}

fn standing(device: u64) -> Standing {
    STANDING.lock().get(&device).copied().unwrap_or_default()
}

fn count(device: u64, change: impl FnOnce(&mut usize)) {
    let mut all = STANDING.lock();
    let its = all.entry(device).or_default();
    change(&mut its.leases);
    its.changes += 1;
}

/// Directories by handle, for one batch: changes come in runs.
type Seen = HashMap<Vec<u8>, Option<Arc<LocalFile>>>;

impl Breaks {
    fn run(self) {
        let mut reader = EventReader::new(&self.group, LEASE_BUFFER_BYTES);
        loop {
            match self.wait(None) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.lost(&error),
            }
            if let Err(error) = self.read_all(&mut reader) {
                return self.lost(&error);
            }
            // What comes in the next moment is taken together: the system merges what is alike,
            // and a mount under load does not wake this thread for each of its own changes.
            match self.wait(Some(LEASE_BATCH)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.lost(&error),
            }
        }
    }

    /// Waits for events, or, with a limit, for that time. False: the lease is given up.
    fn wait(&self, limit: Option<std::time::Duration>) -> io::Result<bool> {
        let end = PollFd::new(&*self.end, PollFlags::IN);
        let mut ready = vec![end];
        if limit.is_none() {
            ready.push(PollFd::from_borrowed_fd(self.group.as_fd(), PollFlags::IN));
        }
        let limit = limit.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        retry_on_intr(|| poll(&mut ready, limit.as_ref()))?;
        Ok(ready[0].revents().is_empty())
    }

    /// Reads what there is, and breaks what it says.
    fn read_all(&self, reader: &mut EventReader<'_>) -> io::Result<()> {
        let mut seen = Seen::new();
        let before = standing(self.lease.device);
        let last = self.standing.replace(before);
        loop {
            let events = match reader.read() {
                Ok(events) => events,
                Err(error) if error.is_would_block() => return Ok(()),
                Err(error) => return Err(io::Error::other(error)),
            };
            if events.is_empty() {
                return Ok(());
            }
            // Since all that came before was read, and until this was.
            let alone =
                before.leases == 1 && last == before && before == standing(self.lease.device);
            for event in events.iter() {
                if event.is_overflow() {
                    self.overflow();
                } else if !alone || event.pid() != self.own {
                    self.break_for(event, &mut seen);
                }
            }
        }
    }

    fn break_for(&self, event: &FidEvent<'_>, seen: &mut Seen) {
        let mask = event.mask();
        let directory = event.dfid_name_handle().and_then(|handle| self.directory(handle, seen));
        let name = event.dfid_name_raw();
        if mask & NAMES != 0
            && name != ITSELF
            && let (Some(directory), Ok(name)) = (&directory, Name::new(name))
        {
            directory.forget_cached();
            self.upcalls.invalidate_name(directory.identity(), &name);
        }
        if mask & (CONTENT | FAN_ATTRIB) == 0 {
            return;
        }
        let changed = match event.self_handle() {
            Some(handle) => self.known(handle),
            None if name == ITSELF => directory,
            None => None,
        };
        let Some(changed) = changed else { return };
        if mask & CONTENT == 0 {
            self.upcalls.invalidate_attributes(changed.identity());
        } else {
            changed.forget_cached();
            self.upcalls.invalidate_file(changed.identity());
        }
    }

    fn directory(&self, handle: &[u8], seen: &mut Seen) -> Option<Arc<LocalFile>> {
        if let Some(known) = seen.get(handle) {
            return known.clone();
        }
        let known = self.known(handle);
        if seen.len() < LEASE_DIRECTORIES_MAX {
            seen.insert(handle.to_vec(), known.clone());
        }
        known
    }

    /// The known file of a handle. One that is gone has no name to be found by either.
    fn known(&self, handle: &[u8]) -> Option<Arc<LocalFile>> {
        let file = open_by_handle_at(&self.mount, handle).ok()?;
        self.registry.known.get(&node_of(&file).ok()?.key)
    }

    fn overflow(&self) {
        log::warn!("too many changes to be told: everything cached is asked for again");
        self.lease.next_epoch();
        self.upcalls.invalidate_all();
    }

    fn lost(&self, error: &io::Error) {
        log::error!("changes by others are not told any more: {error}");
        self.lease.epoch.store(NONE, Ordering::SeqCst);
        self.upcalls.invalidate_all();
    }
}
