//! Data that was acknowledged and lost: kept until a stop's report names it (README invariant 9).

use crate::base::limits::LOSSES_KEPT;
use crate::base::stop::Loss;
use crate::base::sync::{Mutex, Rank};

/// The losses of a device that no report has named yet. Beyond [`LOSSES_KEPT`] only their number
/// and bytes are kept, as one loss without a path.
#[derive(Debug)]
pub struct Losses {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    named: Vec<Loss>,
    more: u64,
    more_bytes: u64,
}

impl Default for Losses {
    fn default() -> Self {
        Self { kept: Mutex::new(Rank::Leaf, Kept::default()) }
    }
}

impl Losses {
    /// One more.
    pub fn add(&self, loss: Loss) {
        let mut kept = self.kept.lock();
        if kept.named.len() < LOSSES_KEPT {
            kept.named.push(loss);
        } else {
            kept.more += 1;
            kept.more_bytes = kept.more_bytes.saturating_add(loss.bytes);
        }
    }

    /// All of them, for the report that names them.
    #[must_use]
    pub fn take(&self) -> Vec<Loss> {
        let Kept { mut named, more, more_bytes } = std::mem::take(&mut *self.kept.lock());
        if more > 0 {
            let error = format!("{more} more losses");
            named.push(Loss { path: Vec::new(), bytes: more_bytes, error });
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stop.md S7: bounded, and still nothing is silent.
    #[test]
    fn s7_losses_beyond_the_bound_are_summed_up() {
        let losses = Losses::default();
        for _ in 0..LOSSES_KEPT + 3 {
            losses.add(Loss { path: b"f".to_vec(), bytes: 10, error: String::new() });
        }
        let taken = losses.take();
        assert_eq!(taken.len(), LOSSES_KEPT + 1);
        let last = taken.last().expect("one a bound");
        assert_eq!((last.bytes, last.error.as_str()), (30, "3 more losses"));
        assert!(losses.take().is_empty());
    }
}
