//! A known file: its identity, the name it was last seen under, and its descriptor while it has
//! one.
//!
//! A million known files must not need a million descriptors. So a file has an `O_PATH` descriptor
//! only while the cache (`fds.rs`) can afford it, and is otherwise found again by walking from the
//! nearest open ancestor; the identity is compared, so that a wrong file is never taken for it. Two
//! things keep a descriptor from being given up: a [`Hold`], while an operation changes the name,
//! and having no name at all any more (unlinked, or the root).
//!
//! Locks: the cache's ring, then one file's `place`. Nothing that may drop a [`LocalFile`] is
//! dropped under either, because its end takes both.

use super::node::FileKey;
use super::registry::Registry;
use crate::base::clock::Moment;
use crate::base::limits::LEASE_LIFETIME;
use crate::base::name::Name;
use crate::base::sync::{Mutex, Rank};
use crate::mrx::request::{FileIdentity, FileKind};
use rustix::fd::OwnedFd;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The mini-redirector's half of an FCB.
pub(super) struct LocalFile {
    /// Which backing file.
    pub(super) key: FileKey,
    /// Its kind, which never changes.
    pub(super) kind: FileKind,
    /// Its number for users.
    pub(super) number: u64,
    /// Was its descriptor used since the cache last looked?
    pub(super) used: AtomicBool,
    /// Of what pages may be in the kernel's cache ([`LocalFile::may_keep`]).
    cached: Mutex<Option<Cached>>,
    pub(super) place: Mutex<Place>,
    registry: Arc<Registry>,
}

/// Since when which state of a file is cached.
#[derive(Clone, Copy, Debug)]
struct Cached {
    state: NonZeroU64,
    since: Moment,
}

/// A name of a file: the latest one seen, which others may have changed since.
#[derive(Clone)]
pub(super) struct Location {
    pub(super) parent: Arc<LocalFile>,
    pub(super) name: Name,
}

/// Where a file is found again.
#[derive(Default)]
pub(super) struct Place {
    /// None: it has no name we know; then the descriptor is all there is and stays.
    pub(super) location: Option<Location>,
    pub(super) fd: Option<Arc<OwnedFd>>,
    /// Where the cache counts the descriptor.
    pub(super) slot: Option<u32>,
    /// Operations that need the descriptor to stay.
    pub(super) holds: u32,
    /// Counts changes of the location: a file that was moved there and back has moved.
    pub(super) moves: u64,
}

/// What a walk finds at a file.
pub(super) enum Whereabouts {
    Open(Arc<OwnedFd>),
    /// With the number of moves so far.
    Named(Location, u64),
    Lost,
}

impl Location {
    /// Is it this one?
    pub(super) fn is(&self, parent: &Arc<LocalFile>, name: &Name) -> bool {
        Arc::ptr_eq(&self.parent, parent) && self.name == *name
    }
}

impl Place {
    /// Gives it another name, or none. Returns the old one, to be dropped unlocked.
    pub(super) fn move_to(&mut self, location: Option<Location>) -> Option<Location> {
        self.moves += 1;
        std::mem::replace(&mut self.location, location)
    }

    /// Takes the descriptor away if nothing needs it to stay.
    pub(super) fn retire(&mut self) -> Option<Arc<OwnedFd>> {
        if self.holds > 0 || self.location.is_none() {
            return None;
        }
        self.slot = None;
        self.fd.take()
    }
}

impl LocalFile {
    pub(super) fn new(
        registry: Arc<Registry>,
        key: FileKey,
        kind: FileKind,
        place: Place,
    ) -> Arc<Self> {
        let number = registry.numbers.number(key.device, key.inode);
        let place = Mutex::new(Rank::RedirectorInner, place);
        let used = AtomicBool::new(false);
        let cached = Mutex::new(Rank::RedirectorInner, None);
        Arc::new(Self { key, kind, number, used, cached, place, registry })
    }

    /// It is opened now, and this is its state: may pages stay that were cached since the last
    /// open? A state is a number that never comes back when the content has changed; none: not
    /// known. They never stay for longer than what nobody tells may be unseen: a write through a
    /// shared mapping of the server's file changes no time that can be relied on.
    pub(super) fn may_keep(&self, state: Option<NonZeroU64>, now: Moment) -> bool {
        let mut cached = self.cached.lock();
        if let (Some(state), Some(kept)) = (state, *cached)
            && kept.state == state
            && now.since(kept.since) < LEASE_LIFETIME
        {
            return true;
        }
        *cached = state.map(|state| Cached { state, since: now });
        false
    }

    /// Others have changed it: no page of before may stay.
    pub(super) fn forget_cached(&self) {
        *self.cached.lock() = None;
    }

    /// As the core knows it.
    pub(super) fn identity(&self) -> FileIdentity {
        FileIdentity { number: self.number, generation: self.key.born }
    }

    /// Its descriptor, its name, or neither.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        let place = self.place.lock();
        if let Some(fd) = &place.fd {
            self.used.store(true, Ordering::Relaxed);
            return Whereabouts::Open(Arc::clone(fd));
        }
        match &place.location {
            Some(location) => Whereabouts::Named(location.clone(), place.moves),
            None => Whereabouts::Lost,
        }
    }

    /// Is the name it had after so many moves still the only way to it? False when it was moved or
    /// opened meanwhile.
    pub(super) fn has_stayed(&self, moves: u64) -> bool {
        let place = self.place.lock();
        place.moves == moves && place.fd.is_none()
    }

    /// Was it last seen under this name?
    pub(super) fn is_at(&self, parent: &Arc<Self>, name: &Name) -> bool {
        self.place.lock().location.as_ref().is_some_and(|at| at.is(parent, name))
    }

    /// The directory it was last seen in.
    pub(super) fn parent(&self) -> Option<Arc<Self>> {
        self.place.lock().location.as_ref().map(|at| Arc::clone(&at.parent))
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        let (location, slot) = {
            let mut place = self.place.lock();
            (place.location.take(), place.slot.take())
        };
        self.registry.known.forget(self);
        if let Some(slot) = slot {
            self.registry.fds.release(slot, self);
        }
        // Upwards in a loop: a recursion as deep as the tree would end the stack.
        let mut next = location.map(|at| at.parent);
        while let Some(parent) = next {
            next = Arc::into_inner(parent)
                .and_then(|last| last.place.lock().location.take().map(|at| at.parent));
        }
    }
}

/// Keeps a file's descriptor, and with it the way to the file, while its name changes: a walk that
/// comes by never needs the name.
pub(super) struct Hold {
    file: Arc<LocalFile>,
    fd: Option<Arc<OwnedFd>>,
}

impl Hold {
    /// Holds `file`, of which `fd` is a descriptor.
    pub(super) fn new(file: Arc<LocalFile>, fd: Arc<OwnedFd>) -> Self {
        {
            let mut place = file.place.lock();
            place.holds += 1;
            place.fd.get_or_insert_with(|| Arc::clone(&fd));
        }
        Self { file, fd: Some(fd) }
    }

    /// What is held.
    pub(super) fn file(&self) -> &Arc<LocalFile> {
        &self.file
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let unneeded = {
            let mut place = self.file.place.lock();
            place.holds -= 1;
            // Without a slot the cache does not count it: it was only here for the hold.
            if place.slot.is_none() { place.retire() } else { None }
        };
        drop((unneeded, self.fd.take()));
    }
}
