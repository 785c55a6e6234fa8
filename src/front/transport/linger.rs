//! How long the only reader looks for the next request before it sleeps in `read(2)`.
//!
//! To wake a sleeping thread on another processor costs several times what a request does, and in
//! a virtual machine more (docs/decisions/0011-one-reader-waits.md). A program that works on many
//! small files asks again within microseconds; so a reader that had something to do looks for a
//! moment whether more comes. Where nothing came three times in a row it looks less and less
//! often, for it would only burn time that others could use.

use crate::base::limits::{LINGER_LOOKS, LINGER_SKIPS_MAX};

/// What one reader has learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linger {
    /// Times in a row that nothing came.
    misses: u32,
    /// Requests after which it does not look.
    skips: u32,
}

/// So many misses are no sign yet.
const TOLERATED: u32 = 2;

impl Linger {
    /// Nothing yet.
    pub const NEW: Self = Self { misses: 0, skips: 0 };

    /// Looks until a request is there, or often enough. What is known then.
    #[must_use]
    pub fn look(self, is_more: impl Fn() -> bool) -> Self {
        if self.skips > 0 {
            return Self { skips: self.skips - 1, ..self };
        }
        if (0..LINGER_LOOKS).any(|_| is_more()) {
            return Self::NEW;
        }
        let misses = self.misses.saturating_add(1);
        let skips = match misses.saturating_sub(TOLERATED) {
            0 => 0,
            doubled => 2_u32.saturating_pow(doubled + 1).min(LINGER_SKIPS_MAX),
        };
        Self { misses, skips }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn it_looks_until_a_request_is_there() {
        let looks = Cell::new(0);
        let third = || {
            looks.set(looks.get() + 1);
            looks.get() == 3
        };
        assert_eq!(Linger::NEW.look(third), Linger::NEW);
        assert_eq!(looks.get(), 3);
    }

    #[test]
    fn it_looks_less_often_where_nothing_comes() {
        let looked = Cell::new(0_usize);
        let nothing = || {
            looked.set(looked.get() + 1);
            false
        };
        let mut linger = Linger::NEW;
        for _ in 0..10_000 {
            linger = linger.look(nothing);
        }
        let times = looked.get() / LINGER_LOOKS;
        assert_eq!(looked.get() % LINGER_LOOKS, 0, "often enough each time");
        assert!((10..30).contains(&times), "{times} times after 10,000 requests");
        assert!(linger.skips <= LINGER_SKIPS_MAX);
        // One that comes makes it look each time again.
        let mut until = Linger { skips: 0, ..linger };
        until = until.look(|| true);
        assert_eq!(until, Linger::NEW);
    }
}
