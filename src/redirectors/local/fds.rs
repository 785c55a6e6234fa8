//! The bound on `O_PATH` descriptors: a clock (second-chance) cache over a fixed number of slots.
//!
//! Pinned descriptors (of files without a name) are not counted here: they are the price of files
//! that are unlinked and still in use, as they would be for any program.

use super::file::LocalFile;
use crate::base::sync::{Mutex, Rank};
use rustix::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// Counts descriptors of named files and chooses which to give up.
pub(super) struct FdCache {
    slots_max: usize,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    slots: Vec<Option<Weak<LocalFile>>>,
    free: Vec<u32>,
    hand: usize,
}

/// What must be dropped only after the ring is unlocked: the end of a file locks it again.
#[derive(Default)]
struct Retired(Vec<(Arc<LocalFile>, Option<Arc<OwnedFd>>)>);

impl FdCache {
    /// At most this many descriptors.
    pub(super) fn new(slots_max: usize) -> Self {
        Self { slots_max, ring: Mutex::new(Rank::Redirector, Ring::default()) }
    }

    /// Makes a freshly opened descriptor the file's, giving up others' as needed. Returns the one
    /// to use: another thread may have been faster. It is not kept if there is no room at all.
    pub(super) fn admit(&self, file: &Arc<LocalFile>, fd: OwnedFd) -> Arc<OwnedFd> {
        let fd = Arc::new(fd);
        let mut retired = Retired::default();
        let mut ring = self.ring.lock();
        let slot = ring.claim(self.slots_max, &mut retired);
        let mut place = file.place.lock();
        let (current, counted) = match (&place.fd, &place.location) {
            (Some(other), _) => (Arc::clone(other), false),
            (None, None) => {
                place.fd = Some(Arc::clone(&fd));
                (fd, false)
            }
            (None, Some(_)) => {
                place.fd = slot.map(|_| Arc::clone(&fd));
                place.slot = slot;
                (fd, true)
            }
        };
        drop(place);
        ring.settle(slot, counted.then_some(file));
        drop(ring);
        drop(retired);
        current
    }

    /// A file without a name has one again: its descriptor is counted, and may be given up.
    pub(super) fn enroll(&self, file: &Arc<LocalFile>) {
        let mut retired = Retired::default();
        let mut ring = self.ring.lock();
        let slot = ring.claim(self.slots_max, &mut retired);
        let mut place = file.place.lock();
        let counts = place.fd.is_some() && place.slot.is_none() && place.location.is_some();
        let unneeded = if counts && slot.is_none() { place.retire() } else { None };
        if counts {
            place.slot = slot;
        }
        drop(place);
        ring.settle(slot, counts.then_some(file));
        drop(ring);
        drop((retired, unneeded));
    }

    /// A slot's file has ended, or its descriptor is not counted any more.
    pub(super) fn release(&self, slot: u32, file: &LocalFile) {
        let mut ring = self.ring.lock();
        let held = ring.slots.get_mut(slot as usize);
        // It may have been given to another file since: the hand takes slots of files that ended.
        if let Some(held) = held
            && held.as_ref().is_some_and(|weak| std::ptr::eq(weak.as_ptr(), file))
        {
            *held = None;
            ring.free.push(slot);
        }
    }

    /// Gives up descriptors because the process has no more: a quarter of them, at least one if it
    /// can be. Returns how many.
    pub(super) fn shed(&self) -> usize {
        let mut retired = Retired::default();
        let mut ring = self.ring.lock();
        let wanted = (ring.slots.len() - ring.free.len()).div_ceil(4);
        let mut shed = 0;
        while shed < wanted
            && let Some(slot) = ring.evict(&mut retired)
        {
            ring.free.push(slot);
            shed += 1;
        }
        drop(ring);
        drop(retired);
        shed
    }
}

impl Ring {
    /// A slot that is nobody's: a free one, a new one, or one whose file gives its descriptor up.
    fn claim(&mut self, slots_max: usize, retired: &mut Retired) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        if self.slots.len() < slots_max {
            let slot = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(None);
            return Some(slot);
        }
        self.evict(retired)
    }

    /// Puts the file into the claimed slot, or the slot back.
    fn settle(&mut self, slot: Option<u32>, file: Option<&Arc<LocalFile>>) {
        match (slot, file) {
            (Some(slot), Some(file)) => self.slots[slot as usize] = Some(Arc::downgrade(file)),
            (Some(slot), None) => self.free.push(slot),
            (None, _) => {}
        }
    }

    /// Turns the hand until a descriptor can be given up: not used since it last came by, not held.
    /// Twice around at most.
    fn evict(&mut self, retired: &mut Retired) -> Option<u32> {
        for _ in 0..2 * self.slots.len() {
            let at = self.hand;
            self.hand = (at + 1) % self.slots.len();
            let Some(weak) = &self.slots[at] else { continue };
            let gone = match weak.upgrade() {
                None => true,
                Some(file) => {
                    let spared = file.used.swap(false, Ordering::Relaxed);
                    let fd = if spared { None } else { file.place.lock().retire() };
                    let gone = fd.is_some();
                    retired.0.push((file, fd));
                    gone
                }
            };
            if gone {
                self.slots[at] = None;
                return u32::try_from(at).ok();
            }
        }
        None
    }
}
