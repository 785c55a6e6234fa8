//! Read buffers used again: a READ of 1 MiB should not cost an allocation of 1 MiB each time.
//!
//! Each thread keeps a few. Most reads are answered on the thread that took their buffer; one
//! that is answered elsewhere leaves its buffer there.

use crate::base::limits::{READ_BUFFERS_KEPT, WRITE_BYTES_MAX};
use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, with room for `size` bytes if one is kept that has.
#[must_use]
pub fn take(size: usize) -> Vec<u8> {
    KEPT.with_borrow_mut(|kept| {
        let fitting = kept.iter().position(|buffer| buffer.capacity() >= size);
        fitting.map(|at| kept.swap_remove(at)).unwrap_or_default()
    })
}

/// Keeps a buffer, if there is room and it is no larger than any read can use.
pub fn give_back(mut buffer: Vec<u8>) {
    let worth_it = (1..=2 * WRITE_BYTES_MAX as usize).contains(&buffer.capacity());
    // A thread that is ending keeps nothing.
    let _ = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if worth_it && kept.len() < READ_BUFFERS_KEPT {
            buffer.clear();
            kept.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_only_if_it_is_large_enough() {
        let mut buffer = take(100);
        assert_eq!(buffer.capacity(), 0, "none was kept");
        buffer.resize(4096, 7);
        let place = buffer.as_ptr();
        give_back(buffer);
        assert_eq!(take(5000).capacity(), 0);
        let again = take(4096);
        assert!(again.is_empty() && again.as_ptr() == place);
        give_back(again);
        for _ in 0..2 * READ_BUFFERS_KEPT {
            give_back(Vec::with_capacity(10));
        }
        give_back(Vec::with_capacity(64 << 20));
        let kept = KEPT.with_borrow(|kept| kept.iter().map(Vec::capacity).max());
        assert_eq!(kept, Some(4096), "nothing huge is kept");
        assert_eq!(KEPT.with_borrow(Vec::len), READ_BUFFERS_KEPT);
    }
}
