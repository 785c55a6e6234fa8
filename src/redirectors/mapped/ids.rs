//! Ids of this machine and of the server, each to the other; pure.
//!
//! The server's id `s` is *shown* as an id of this machine, and an id `c` of this machine is
//! *stored* as one of the server's. Both ways are partial, and each undoes the other:
//!
//! ```text
//!  shown(s)  = its pair's other side       where a pair names s on the server's side
//!            = s                           where no pair names s at all
//!            = nobody                      where a pair shows somebody else as s
//!  stored(c) = its pair's other side       where a pair names c on this machine's side
//!            = c                           where no pair names c at all
//!            = no id                       where a pair shows c as somebody else
//! ```

/// No user and no group: `(uid_t)-1`, which the kernel takes for an id without a meaning here.
/// `stat` shows it as 65534, and nobody has an owner's rights by it, root neither.
pub const NOBODY: u32 = u32::MAX;

/// A range of the server's ids and where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The first of the server's.
    pub server: u32,
    /// The first of this machine's.
    pub here: u32,
    /// How many.
    pub count: u32,
}

impl Pair {
    /// Is the last of each side an id, and not [`NOBODY`]?
    #[must_use]
    pub const fn is_in_range(&self) -> bool {
        let last = self.count.saturating_sub(1);
        self.count > 0
            && matches!(self.server.checked_add(last), Some(last) if last < NOBODY)
            && matches!(self.here.checked_add(last), Some(last) if last < NOBODY)
    }

    fn here_of(&self, id: u32) -> Option<u32> {
        let at = id.checked_sub(self.server).filter(|at| *at < self.count)?;
        Some(self.here + at)
    }

    fn server_of(&self, id: u32) -> Option<u32> {
        let at = id.checked_sub(self.here).filter(|at| *at < self.count)?;
        Some(self.server + at)
    }

    const fn overlaps(&self, other: &Self) -> bool {
        overlap(self.server, self.count, other.server, other.count)
            || overlap(self.here, self.count, other.here, other.count)
    }
}

const fn overlap(a: u32, a_count: u32, b: u32, b_count: u32) -> bool {
    let (a, b) = (a as u64, b as u64);
    a < b + b_count as u64 && b < a + a_count as u64
}

/// The pairs of users, or of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    pairs: Vec<Pair>,
}

impl IdMap {
    /// Adds a pair; false if one of its ids is named on that side already, or it is out of range.
    #[must_use]
    pub fn add(&mut self, pair: Pair) -> bool {
        let good = pair.is_in_range() && !self.pairs.iter().any(|known| known.overlaps(&pair));
        if good {
            self.pairs.push(pair);
        }
        good
    }

    /// Does it leave every id as it is?
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.pairs.iter().all(|pair| pair.server == pair.here)
    }

    /// How the server's id is shown; [`NOBODY`] where there is no way.
    #[must_use]
    pub fn shown(&self, server: u32) -> u32 {
        let taken = || self.pairs.iter().any(|pair| pair.server_of(server).is_some());
        match self.pairs.iter().find_map(|pair| pair.here_of(server)) {
            Some(here) => here,
            None if taken() => NOBODY,
            None => server,
        }
    }

    /// What the server is told for an id of this machine; none where there is no way.
    #[must_use]
    pub fn stored(&self, here: u32) -> Option<u32> {
        let taken = || self.pairs.iter().any(|pair| pair.here_of(here).is_some());
        match self.pairs.iter().find_map(|pair| pair.server_of(here)) {
            Some(server) => Some(server),
            None if here == NOBODY || taken() => None,
            None => Some(here),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(pairs: &[(u32, u32, u32)]) -> IdMap {
        let mut map = IdMap::default();
        for &(server, here, count) in pairs {
            assert!(map.add(Pair { server, here, count }), "{server}/{here} of {count}");
        }
        map
    }

    #[test]
    fn a_pair_works_both_ways_and_leaves_the_others_alone() {
        let map = map(&[(1000, 2000, 1), (5000, 100_000, 1000)]);
        assert_eq!((map.shown(1000), map.stored(2000)), (2000, Some(1000)));
        assert_eq!((map.shown(5999), map.stored(100_999)), (100_999, Some(5999)));
        assert_eq!((map.shown(6000), map.stored(101_000)), (6000, Some(101_000)));
        assert_eq!((map.shown(0), map.stored(0)), (0, Some(0)));
        // The server's 2000 is not ours, and ours of 1000 is not the server's.
        assert_eq!((map.shown(2000), map.stored(1000)), (NOBODY, None));
        assert_eq!((map.shown(NOBODY), map.stored(NOBODY)), (NOBODY, None));
    }

    #[test]
    fn two_may_change_places() {
        let map = map(&[(1, 2, 1), (2, 1, 1)]);
        assert_eq!((map.shown(1), map.shown(2)), (2, 1));
        assert_eq!((map.stored(1), map.stored(2)), (Some(2), Some(1)));
        assert!(!map.is_identity() && IdMap::default().is_identity());
    }

    #[test]
    fn what_is_said_twice_or_is_no_id_is_refused() {
        let mut map = map(&[(10, 20, 10)]);
        for (server, here, count) in
            [(19, 500, 1), (500, 29, 5), (0, 0, 0), (NOBODY, 1, 1), (1, NOBODY - 1, 2)]
        {
            assert!(!map.add(Pair { server, here, count }), "{server}/{here} of {count}");
        }
        assert!(map.add(Pair { server: 20, here: 10, count: 10 }));
    }

    proptest! {
        /// Whatever the pairs: what is stored is shown as it was, and what is shown as somebody is
        /// stored as it was. So nobody on one side is two on the other.
        #[test]
        fn each_way_undoes_the_other(
            pairs in proptest::collection::vec((0_u32..40, 0_u32..40, 1_u32..6), 0..8),
            ids in proptest::collection::vec(0_u32..50, 1..40),
        ) {
            let mut map = IdMap::default();
            for (server, here, count) in pairs {
                let _ = map.add(Pair { server, here, count });
            }
            for id in ids {
                if let Some(server) = map.stored(id) {
                    prop_assert_eq!(map.shown(server), id);
                }
                let here = map.shown(id);
                prop_assert!(here == NOBODY || map.stored(here) == Some(id));
            }
        }
    }
}
