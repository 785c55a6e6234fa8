//! File numbers that are unique beneath the root, mounts of other file systems included.
//!
//! A file of the root's own device keeps its inode number, so that `ls -i` shows what the server
//! shows. Everything else gets the highest bit, 15 bits for its device and 48 bits of inode number:
//! the same number every time, without anything to remember. What does not fit (inode numbers above
//! 48 bits, the 32,768th device) gets the next of a counter; a known file keeps it (see `file.rs`).

use crate::base::sync::{Rank, RwLock};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

const MAPPED: u64 = 1 << 63;
const INODE_BITS: u32 = 48;
const INODE_MASK: u64 = (1 << INODE_BITS) - 1;
/// The device index of the counter; real devices have a smaller one.
const COUNTED: u64 = 0x7fff;

/// Maps device and inode number to a file number.
#[derive(Debug)]
pub(super) struct Numbers {
    root_device: u64,
    devices: RwLock<HashMap<u64, u64>>,
    counter: AtomicU64,
}

impl Numbers {
    /// For a tree whose root is on this device.
    pub(super) fn new(root_device: u64) -> Self {
        let devices = RwLock::new(Rank::RedirectorInner, HashMap::new());
        Self { root_device, devices, counter: AtomicU64::new(1) }
    }

    /// The number of a file; never 0 or 1. It is a new one at every call for the few that do not
    /// fit.
    pub(super) fn number(&self, device: u64, inode: u64) -> u64 {
        if device == self.root_device && inode > 1 && inode < MAPPED {
            return inode;
        }
        if inode <= INODE_MASK
            && let Some(index) = self.index(device)
        {
            return MAPPED | index << INODE_BITS | inode;
        }
        let next = self.counter.fetch_add(1, Ordering::Relaxed);
        MAPPED | COUNTED << INODE_BITS | (next & INODE_MASK)
    }

    /// The device's index; none when all are given away.
    fn index(&self, device: u64) -> Option<u64> {
        if let Some(&index) = self.devices.read().get(&device) {
            return Some(index);
        }
        let mut devices = self.devices.write();
        let next = devices.len() as u64;
        if next >= COUNTED && !devices.contains_key(&device) {
            return None;
        }
        Some(*devices.entry(device).or_insert(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_are_unique_and_stable_across_devices() {
        let numbers = Numbers::new(7);
        assert_eq!(numbers.number(7, 42), 42, "the root's device shows its own numbers");
        let mut seen = HashSet::from([42]);
        for (device, inode) in [(7, 0), (7, 1), (8, 1), (8, 42), (9, 42), (9, INODE_MASK)] {
            let number = numbers.number(device, inode);
            assert!(number > 1 && seen.insert(number), "{device}:{inode} is {number:#x}");
            assert_eq!(numbers.number(device, inode), number);
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let numbers = Numbers::new(7);
        let mut seen = HashSet::new();
        for (device, inode) in [(7, u64::MAX), (7, MAPPED), (8, INODE_MASK + 1), (8, u64::MAX)] {
            assert!(seen.insert(numbers.number(device, inode)));
        }
        for device in 100..100 + 2 * COUNTED {
            assert!(seen.insert(numbers.number(device, 5)), "device {device}");
        }
    }
}
