//! The served tree: its root, and how a known file is found again beneath it.
//!
//! Every step from a directory to a name is one `openat2` (or one `statx` or other `*at` call) of a
//! single component relative to an open directory, following no symlink. There is no path to swap
//! a component of: what was a directory when it was opened still is that directory.

use super::error::LocalError;
use super::file::{Hold, LocalFile, Location, Place, Whereabouts};
use super::lease::{Instance, Lease};
use super::node::{Node, node_at, node_of};
use super::options::LocalOptions;
use super::proc::ProcFds;
use super::registry::Registry;
use crate::base::clock::Clock;
use crate::base::name::Name;
use crate::base::status::Status;
use crate::base::sync::{Mutex, Rank};
use crate::mrx::request::{Attributes, FileKind, Found};
use crate::mrx::upcall::Upcalls;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::process::{Resource, getegid, geteuid, getrlimit};
use std::path::Path;
use std::sync::Arc;

/// How often a walk starts again because a file was moved while it was under way.
const MOVED_RETRIES: usize = 16;
/// Descriptors for known files when the limit of the process is not known or not sensible.
const MAX_FDS: std::ops::RangeInclusive<usize> = 64..=1 << 20;

/// One served directory while it is served.
pub(super) struct Tree {
    pub(super) registry: Arc<Registry>,
    pub(super) proc: ProcFds,
    pub(super) root: Arc<LocalFile>,
    /// Counted while anything is done here on its behalf.
    _instance: Instance,
    /// What others change is told while it is alive.
    pub(super) lease: Arc<Lease>,
    /// Tells when a state is too fresh to be known by its times.
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keep_cache: bool,
    /// Who we are to the backing file system: what we make belongs to us first.
    pub(super) own_uid: u32,
    pub(super) own_gid: u32,
    /// One directory at a time gets another parent: two at once could be put into each other.
    relocation: Mutex<()>,
}

/// Opens the root and checks that this system can serve it.
pub(super) fn open_root(root: &Path) -> Result<(OwnedFd, ProcFds), LocalError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, root, flags, Mode::empty()).map_err(|source| match source {
        Errno::NOTDIR => LocalError::NotADirectory { root: root.to_owned() },
        source => LocalError::Open { root: root.to_owned(), source },
    })?;
    openat2(&directory, ".", flags, Mode::empty(), beneath())
        .map_err(|source| LocalError::NoOpenat2 { source })?;
    let proc = ProcFds::open().map_err(|source| LocalError::NoProc { source })?;
    Ok((directory, proc))
}

/// No symlink, no magic link, nothing above: said for every step although a [`Name`] has no slash.
pub(super) fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS
}

impl Tree {
    /// Begins to serve.
    pub(super) fn open(
        root: &Path,
        options: &LocalOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LocalError> {
        let (directory, proc) = open_root(root)?;
        let node = node_of(&directory)
            .map_err(|source| LocalError::Open { root: root.to_owned(), source })?;
        let registry = Registry::new(node.key.device, max_fds(options));
        let place = Place { fd: Some(Arc::new(directory)), ..Place::default() };
        let make = || LocalFile::new(Arc::clone(&registry), node.key, FileKind::Directory, place);
        let (root, _) = registry.known.get_or_insert(&node.key, FileKind::Directory, make);
        Ok(Self {
            registry,
            proc,
            root,
            _instance: Instance::new(),
            lease: Lease::new(node.key.device),
            clock,
            keep_cache: options.keep_cache,
            own_uid: geteuid().as_raw(),
            own_gid: getegid().as_raw(),
            relocation: Mutex::new(Rank::Redirector, ()),
        })
    }

    /// Takes the lease, if there can be one.
    pub(super) fn take_lease(&self, upcalls: Arc<dyn Upcalls>) {
        let root = self.root.whereabouts();
        let Whereabouts::Open(root) = root else { return };
        if let Err(error) = self.lease.take(&root, &self.registry, upcalls) {
            log::info!("no lease, others' changes are asked for instead: {error}");
        }
    }

    /// With what the lease says of it.
    pub(super) fn leased(&self, node: Node) -> Attributes {
        let leased = self.lease.epoch(node.key.device).is_some();
        Attributes { leased, ..node.attributes }
    }

    /// The contract's answer for a file just looked at.
    pub(super) fn found(&self, file: Arc<LocalFile>, node: &Node) -> Found {
        let attributes = self.leased(*node);
        Found { identity: file.identity(), attributes, extension: file }
    }

    /// Runs a call that needs a descriptor; if the process has none left, gives some up and runs it
    /// again.
    pub(super) fn with_room<T>(
        &self,
        mut call: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        loop {
            match call() {
                Err(Errno::INTR) => {}
                Err(Errno::MFILE | Errno::NFILE) if self.registry.fds.shed() > 0 => {}
                result => return result,
            }
        }
    }

    /// Opens a name for no more than knowing it.
    pub(super) fn open_path(&self, directory: impl AsFd, name: &Name) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.with_room(|| openat2(&directory, name.as_os(), flags, Mode::empty(), beneath()))
    }

    /// A descriptor of the file: the cached one, or a new one found by walking from its nearest
    /// open ancestor. ESTALE when it is not there any more.
    pub(super) fn fd(&self, file: &Arc<LocalFile>) -> Result<Arc<OwnedFd>, Status> {
        for _ in 0..MOVED_RETRIES {
            if let Some(fd) = self.walk(file)? {
                return Ok(fd);
            }
        }
        Err(Status::FileInvalid)
    }

    /// One walk; none if a file on the way was moved by us while it went.
    fn walk(&self, file: &Arc<LocalFile>) -> Result<Option<Arc<OwnedFd>>, Status> {
        let mut missing = Vec::new();
        let mut current = Arc::clone(file);
        let mut fd = loop {
            match current.whereabouts() {
                Whereabouts::Open(fd) => break fd,
                Whereabouts::Lost => return Err(Status::FileInvalid),
                Whereabouts::Named(location, moves) => {
                    missing.push((current, location.name, moves));
                    current = location.parent;
                }
            }
        };
        while let Some((file, name, moves)) = missing.pop() {
            match self.reopen(&fd, &name, &file)? {
                Some(opened) => fd = opened,
                None if file.has_stayed(moves) => return Err(Status::FileInvalid),
                None => return Ok(None),
            }
        }
        Ok(Some(fd))
    }

    /// Opens a name that should be `file`; none if it is not.
    fn reopen(
        &self,
        directory: &OwnedFd,
        name: &Name,
        file: &Arc<LocalFile>,
    ) -> Result<Option<Arc<OwnedFd>>, Errno> {
        let fd = match self.open_path(directory, name) {
            Ok(fd) => fd,
            Err(errno) if means_gone(errno) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        if node_of(&fd)?.key != file.key {
            return Ok(None);
        }
        Ok(Some(self.registry.fds.admit(file, fd)))
    }

    /// The file's attributes now, without opening it if its directory is open.
    pub(super) fn node(&self, file: &Arc<LocalFile>) -> Result<Node, Status> {
        for _ in 0..MOVED_RETRIES {
            let (location, moves) = match file.whereabouts() {
                Whereabouts::Open(fd) => return Ok(node_of(&fd)?),
                Whereabouts::Lost => return Err(Status::FileInvalid),
                Whereabouts::Named(location, moves) => (location, moves),
            };
            let directory = self.fd(&location.parent)?;
            match node_at(&directory, location.name.as_bytes()) {
                Ok(node) if node.key == file.key => return Ok(node),
                Err(errno) if !means_gone(errno) => return Err(errno.into()),
                _ if file.has_stayed(moves) => return Err(Status::FileInvalid),
                _ => {}
            }
        }
        Err(Status::FileInvalid)
    }

    /// Finds a name. A directory gets its descriptor at once if it can: it then stays itself for
    /// the processes that work in it although others rename it.
    pub(super) fn lookup(&self, parent: &Arc<LocalFile>, name: &Name) -> Result<Found, Status> {
        let directory = self.fd(parent)?;
        let node = node_at(&directory, name.as_bytes())?;
        let file = self.adopt(parent, name, &node);
        if node.attributes.kind == FileKind::Directory
            && let Whereabouts::Named(..) = file.whereabouts()
            && self.reopen(&directory, name, &file)?.is_none()
        {
            // Swapped between the two calls: what is there now is another lookup's business.
            return Err(Status::FileInvalid);
        }
        Ok(self.found(file, &node))
    }

    /// The known file a look at a name has shown, which is at that name from now on.
    pub(super) fn adopt(
        &self,
        parent: &Arc<LocalFile>,
        name: &Name,
        node: &Node,
    ) -> Arc<LocalFile> {
        let kind = node.attributes.kind;
        let make = || {
            let location = Location { parent: Arc::clone(parent), name: name.clone() };
            let place = Place { location: Some(location), ..Place::default() };
            LocalFile::new(Arc::clone(&self.registry), node.key, kind, place)
        };
        let (file, was_known) = self.registry.known.get_or_insert(&node.key, kind, make);
        if was_known {
            self.relocate(&file, parent, name);
        }
        file
    }

    /// The file is at this name now.
    pub(super) fn relocate(&self, file: &Arc<LocalFile>, parent: &Arc<LocalFile>, name: &Name) {
        if Arc::ptr_eq(file, &self.root) || file.is_at(parent, name) {
            return;
        }
        let location = Location { parent: Arc::clone(parent), name: name.clone() };
        let mut ancestors = Vec::new();
        let order = (file.kind == FileKind::Directory).then(|| self.relocation.lock());
        if order.is_some() && leads_to(parent, file, &mut ancestors) {
            // Others moved both behind our back, and only one has been seen: a directory in itself
            // would be a circle without end. The old name stays until the other one is seen too.
            return drop_unlocked(order, ancestors);
        }
        let (old, pinned) = {
            let mut place = file.place.lock();
            let pinned = place.location.is_none() && place.fd.is_some();
            (place.move_to(Some(location)), pinned)
        };
        drop_unlocked(order, ancestors);
        drop(old);
        if pinned {
            self.registry.fds.enroll(file);
        }
    }

    /// The file is not at this name any more; if that was the one we knew it by, its descriptor is
    /// all there is, and stays.
    pub(super) fn forget_name(&self, file: &Arc<LocalFile>, parent: &Arc<LocalFile>, name: &Name) {
        let (_old, slot) = {
            let mut place = file.place.lock();
            if !place.location.as_ref().is_some_and(|at| at.is(parent, name)) {
                return;
            }
            (place.move_to(None), place.slot.take())
        };
        if let Some(slot) = slot {
            self.registry.fds.release(slot, file);
        }
    }

    /// Keeps the file at this name within reach while the name changes, if anybody knows the file.
    pub(super) fn hold_at(
        &self,
        directory: &OwnedFd,
        parent: &Arc<LocalFile>,
        name: &Name,
    ) -> Option<Hold> {
        let node = node_at(directory, name.as_bytes()).ok()?;
        let file = self.registry.known.get(&node.key)?;
        let fd = self.fd(&file).or_else(|_| {
            // The name it was known by is gone: it is here now.
            self.relocate(&file, parent, name);
            self.fd(&file)
        });
        match fd {
            Ok(fd) => Some(Hold::new(file, fd)),
            Err(status) => {
                log::warn!("{name} changes its name and cannot be kept open meanwhile: {status}");
                None
            }
        }
    }
}

/// Does an error of a step say that the file is not at this name?
fn means_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE)
}

/// Is `file` among `from` and its ancestors? They are kept in `seen`, to be dropped unlocked.
fn leads_to(from: &Arc<LocalFile>, file: &Arc<LocalFile>, seen: &mut Vec<Arc<LocalFile>>) -> bool {
    let mut next = Some(Arc::clone(from));
    while let Some(current) = next {
        if Arc::ptr_eq(&current, file) {
            seen.push(current);
            return true;
        }
        next = current.parent();
        seen.push(current);
    }
    false
}

/// Unlocks first: the end of a file takes locks of the same rank.
fn drop_unlocked<Guard, Value>(guard: Guard, value: Value) {
    drop(guard);
    drop(value);
}

/// The bound on descriptors: the user's, else half of what the process may have.
fn max_fds(options: &LocalOptions) -> usize {
    options.max_fds.unwrap_or_else(|| {
        let limit = getrlimit(Resource::Nofile).current;
        let half = limit.map_or(*MAX_FDS.end(), |limit| usize::try_from(limit / 2).unwrap_or(0));
        half.clamp(*MAX_FDS.start(), *MAX_FDS.end())
    })
}
