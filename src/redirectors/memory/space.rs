//! How much a memory server holds, and how much it may.
//!
//! Two counters, bytes and files. Whatever takes from them gives back: a file's node does it when
//! it is dropped, so a file that is unlinked and still open keeps its room, as POSIX has it.

use crate::base::status::{Errno, Status};
use crate::redirectors::memory::options::MemoryOptions;
use crate::redirectors::memory::pages::PAGE_BYTES;
use std::sync::atomic::{AtomicU64, Ordering};

/// One counter with its bound. A bound lowered below what is used only stops further use.
#[derive(Debug)]
struct Quota {
    used: AtomicU64,
    max: AtomicU64,
}

impl Quota {
    const fn new(max: u64) -> Self {
        Self { used: AtomicU64::new(0), max: AtomicU64::new(max) }
    }

    fn take(&self, amount: u64) -> Result<(), Status> {
        let max = self.max.load(Ordering::Relaxed);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(amount).filter(|&used| amount == 0 || used <= max)
            })
            .map(|_| ())
            .map_err(|_| Errno::ENOSPC.into())
    }

    fn give(&self, amount: u64) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
    }

    fn free(&self) -> u64 {
        self.max.load(Ordering::Relaxed).saturating_sub(self.used.load(Ordering::Relaxed))
    }
}

/// The room of one server.
#[derive(Debug)]
pub(super) struct Space {
    bytes: Quota,
    files: Quota,
}

/// Memory kept for files when nothing else is said, in bytes: half of the machine's.
fn default_bytes_max() -> u64 {
    let machine = rustix::system::sysinfo();
    u64::from(machine.mem_unit).saturating_mul(machine.totalram) / 2
}

impl Space {
    /// Empty, with the default bounds.
    pub(super) fn new() -> Self {
        let bytes = default_bytes_max();
        Self { bytes: Quota::new(bytes), files: Quota::new(bytes / 1024) }
    }

    /// Sets the bounds.
    pub(super) fn limit(&self, options: &MemoryOptions) {
        let default = default_bytes_max();
        let bytes = options.size_bytes_max.unwrap_or(default);
        let files = options.files_max.unwrap_or(default / 1024);
        self.bytes.max.store(bytes, Ordering::Relaxed);
        self.files.max.store(files, Ordering::Relaxed);
    }

    /// Takes room for bytes; ENOSPC, taking nothing, if there is not enough.
    pub(super) fn take_bytes(&self, bytes: u64) -> Result<(), Status> {
        self.bytes.take(bytes)
    }

    /// Takes room for up to so many pages and returns how many it got.
    pub(super) fn take_pages_up_to(&self, pages: u64) -> u64 {
        let mut wanted = pages;
        loop {
            if self.bytes.take(wanted.saturating_mul(PAGE_BYTES)).is_ok() {
                return wanted;
            }
            // Another writer may take the rest between the look and the try: then look again.
            wanted = wanted.saturating_sub(1).min(self.bytes.free() / PAGE_BYTES);
        }
    }

    /// Gives room back.
    pub(super) fn give_bytes(&self, bytes: u64) {
        self.bytes.give(bytes);
    }

    /// Takes room for one file; ENOSPC if there is none.
    pub(super) fn take_file(&self) -> Result<(), Status> {
        self.files.take(1)
    }

    /// Gives a file's room back.
    pub(super) fn give_file(&self) {
        self.files.give(1);
    }

    /// Bound and free room for bytes.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.bytes.max.load(Ordering::Relaxed), self.bytes.free())
    }

    /// Bound and free room for files.
    pub(super) fn files(&self) -> (u64, u64) {
        (self.files.max.load(Ordering::Relaxed), self.files.free())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(bytes: u64) -> Space {
        let space = Space::new();
        let options = MemoryOptions { size_bytes_max: Some(bytes), ..Default::default() };
        space.limit(&options);
        space
    }

    #[test]
    fn takes_all_or_nothing_and_gives_back() {
        let space = space(10_000);
        assert_eq!(space.take_bytes(10_001), Err(Errno::ENOSPC.into()));
        assert_eq!(space.take_bytes(10_000), Ok(()));
        assert_eq!(space.take_bytes(1), Err(Errno::ENOSPC.into()));
        space.give_bytes(10_000);
        assert_eq!(space.bytes(), (10_000, 10_000));
    }

    #[test]
    fn pages_come_as_far_as_there_is_room() {
        let space = space(2 * PAGE_BYTES + 1);
        assert_eq!(space.take_pages_up_to(5), 2);
        assert_eq!(space.take_pages_up_to(5), 0);
        space.give_bytes(PAGE_BYTES);
        assert_eq!(space.take_pages_up_to(1), 1);
    }

    #[test]
    fn a_bound_lowered_below_the_use_frees_nothing_and_allows_nothing() {
        let space = space(10_000);
        space.take_bytes(8000).expect("room");
        space.limit(&MemoryOptions { size_bytes_max: Some(100), ..Default::default() });
        assert_eq!(space.bytes(), (100, 0));
        assert_eq!(space.take_pages_up_to(1), 0);
        assert_eq!(space.take_bytes(0), Ok(()), "taking nothing always succeeds");
    }
}
