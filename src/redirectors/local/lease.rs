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
use rustix::io::{Errno, retry_on_intr, write};
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

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

/// Directories served by this process, those of old generations that still do something included.
/// With more than one, what this process does is not to be passed over: the mount of the one has
/// not heard of what the other does, be it on the same file system or through a mount beneath it.
static STANDING: LazyLock<Mutex<Standing>> =
    LazyLock::new(|| Mutex::new(Rank::Leaf, Standing::default()));

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// There are now.
    instances: usize,
    /// So often one came or went.
    changes: u64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Instance(());

impl Instance {
    /// One more.
    pub(super) fn new() -> Self {
        let mut standing = STANDING.lock();
        standing.instances += 1;
        standing.changes += 1;
        Self(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let mut standing = STANDING.lock();
        standing.instances -= 1;
        standing.changes += 1;
    }
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
        if !is_of_this_machine(&mount)? {
            return Err(io::Error::other("not known to be a file system of this machine alone"));
        }
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
        // Before the thread, which may find at once that there is none.
        self.epoch.store(1, Ordering::SeqCst);
        let thread = threads::spawn("local-lease", move || breaks.run());
        let thread = thread.inspect_err(|_| self.epoch.store(NONE, Ordering::SeqCst))?;
        *listener = Some(Listener { end, thread });
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

fn standing() -> Standing {
    *STANDING.lock()
}

/// Is this a file system that only this machine writes to? Others have handles, too, and changes
/// by other machines that nobody tells.
fn is_of_this_machine(directory: &OwnedFd) -> Result<bool, Errno> {
    // As statfs(2) lists them: tmpfs, ext2 to ext4, xfs, btrfs, f2fs, bcachefs, zfs.
    const KNOWN: [u32; 7] =
        [0x0102_1994, 0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0xca45_1a4e, 0x2fc1_2fc1];
    let kind = rustix::fs::fstatfs(directory)?.f_type;
    Ok(KNOWN.iter().any(|known| i64::from(*known) == kind))
}

/// Directories by handle, for one batch: changes come in runs.
type Seen = HashMap<Vec<u8>, Arc<LocalFile>>;

impl Breaks {
    fn run(self) {
        let mut reader = EventReader::new(&self.group, LEASE_BUFFER_BYTES);
        let mut next = || -> io::Result<bool> {
            // What comes in the moment after is taken together: the system merges what is alike,
            // and a mount under load does not wake this thread for each of its own changes.
            Ok(self
                .goes_on(&[PollFd::from_borrowed_fd(self.group.as_fd(), PollFlags::IN)], None)?
                && self.read_all(&mut reader)?
                && self.goes_on(&[], Some(LEASE_BATCH))?)
        };
        loop {
            match next() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.lost(&error),
            }
        }
    }

    /// Waits for one of these or for so long. False: the lease is given up.
    fn goes_on(&self, others: &[PollFd<'_>], limit: Option<Duration>) -> io::Result<bool> {
        let mut ready = vec![PollFd::new(&*self.end, PollFlags::IN)];
        ready.extend(others.iter().cloned());
        let limit = limit.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        retry_on_intr(|| poll(&mut ready, limit.as_ref()))?;
        Ok(ready[0].revents().is_empty())
    }

    /// Reads what there is, and breaks what it says. False: the lease is given up; others may make
    /// more for ever.
    fn read_all(&self, reader: &mut EventReader<'_>) -> io::Result<bool> {
        let mut seen = Seen::new();
        let before = standing();
        let last = self.standing.replace(before);
        loop {
            let events = match reader.read() {
                Ok(events) => events,
                Err(error) if error.is_would_block() => return Ok(true),
                Err(error) => return Err(io::Error::other(error)),
            };
            if events.is_empty() {
                return Ok(true);
            }
            // Since all that came before was read, and until this was.
            let alone = before.instances == 1 && last == before && before == standing();
            for event in events.iter() {
                if event.is_overflow() {
                    self.break_all("too many changes to be told");
                } else if (!alone || event.pid() != self.own)
                    && let Err(error) = self.break_for(event, &mut seen)
                {
                    self.break_all(&format!("what others changed cannot be looked at: {error}"));
                }
            }
            if !self.goes_on(&[], Some(Duration::ZERO))? {
                return Ok(false);
            }
        }
    }

    fn break_for(&self, event: &FidEvent<'_>, seen: &mut Seen) -> io::Result<()> {
        let mask = event.mask();
        let name = event.dfid_name_raw();
        let mut directory = || match event.dfid_name_handle() {
            Some(handle) => self.directory(handle, seen),
            None => Ok(None),
        };
        if mask & NAMES != 0
            && name != ITSELF
            && let (Some(directory), Ok(name)) = (directory()?, Name::new(name))
        {
            directory.forget_cached();
            self.upcalls.invalidate_name(directory.identity(), &name);
        }
        if mask & (CONTENT | FAN_ATTRIB) == 0 {
            return Ok(());
        }
        // Which directory it is in is of no interest to a change of the file.
        let changed = match event.self_handle() {
            Some(handle) => self.known(handle)?,
            None if name == ITSELF => directory()?,
            None => None,
        };
        match changed {
            Some(changed) if mask & CONTENT == 0 => {
                self.upcalls.invalidate_attributes(changed.identity());
            }
            Some(changed) => {
                changed.forget_cached();
                self.upcalls.invalidate_file(changed.identity());
            }
            None => {}
        }
        Ok(())
    }

    /// One that is not known yet may be a moment later: only what is known is remembered.
    fn directory(&self, handle: &[u8], seen: &mut Seen) -> io::Result<Option<Arc<LocalFile>>> {
        if let Some(known) = seen.get(handle) {
            return Ok(Some(known.clone()));
        }
        let known = self.known(handle)?;
        if let Some(known) = &known
            && seen.len() < LEASE_DIRECTORIES_MAX
        {
            seen.insert(handle.to_vec(), known.clone());
        }
        Ok(known)
    }

    /// The known file of a handle; none if it is not known, or gone: then it has no name to be
    /// found by either.
    ///
    /// # Errors
    /// It cannot be looked at: nobody knows what to break.
    fn known(&self, handle: &[u8]) -> io::Result<Option<Arc<LocalFile>>> {
        loop {
            let looked = open_by_handle_at(&self.mount, handle)
                .and_then(|file| node_of(&file).map_err(io::Error::from));
            let errno = match looked {
                Ok(node) => return Ok(self.registry.known.get(&node.key)),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(errno) => errno,
                    None => return Err(error),
                },
            };
            match errno {
                Errno::STALE | Errno::NOENT => return Ok(None),
                Errno::INTR => {}
                Errno::MFILE | Errno::NFILE if self.registry.fds.shed() > 0 => {}
                errno => return Err(errno.into()),
            }
        }
    }

    fn break_all(&self, why: &str) {
        log::warn!("{why}: everything cached is asked for again");
        self.lease.next_epoch();
        self.upcalls.invalidate_all();
    }

    fn lost(&self, error: &io::Error) {
        log::error!("changes by others are not told any more: {error}");
        self.lease.epoch.store(NONE, Ordering::SeqCst);
        self.upcalls.invalidate_all();
    }
}
