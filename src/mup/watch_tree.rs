//! Which paths are watched, by whom, and whether their owners know: the policy of the watch agent.
//! No lock, no wait, no callback; [`watch`](crate::mup::watch) drives it.
//!
//! ```text
//!                 first watch                     the router says: joined
//!   (absent) ----------------> wanted, not joined ------------------------> wanted, joined
//!       ^                         |   ^                                         |   |
//!       |             last watch  |   +------------ its prefix is disabled -----+   | last watch
//!       |                goes     v                                                 v  goes
//!       +-------------- not wanted, not joined <-- the router says: left -- not wanted, joined
//! ```
//!
//! Where *wanted* and *joined* differ there is work: [`WatchTree::next_work`]. All of it is done by
//! one thread, one path after the other, so joins and leaves of a path never overtake each other. A
//! path that cannot be joined now, because its prefix changes hands or has no owner, is work again
//! when that prefix is enabled.

use crate::mup::net_name::NetName;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// One live watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchNumber(pub u64);

/// Something to be asked of the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The path.
    pub path: NetName,
    /// Add it, or delete it.
    pub join: bool,
    /// What it was asked for in: a hand-over since then makes the answer worthless.
    era: u64,
}

/// What the router answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The path is watched, and was not before.
    Joined,
    /// It was watched already: its prefix has kept its owner.
    WasJoined,
    /// It is not watched any more.
    Left,
    /// It cannot be watched now.
    NotNow,
}

/// Whom to tell that a path is joined.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Announce {
    /// The watches of the path.
    pub watches: Vec<WatchNumber>,
    /// Those that were watching before must read again.
    pub resync: bool,
}

#[derive(Debug, Default)]
struct Watched {
    watches: BTreeSet<WatchNumber>,
    joined: bool,
    /// It was joined, and its prefix was disabled since.
    resync: bool,
    /// It was joined anew, by an answer that came too late to be told.
    anew: bool,
    /// The router is being asked.
    asked: bool,
    /// Counts the times its prefix was disabled.
    era: u64,
}

/// The watched paths.
#[derive(Debug, Default)]
pub struct WatchTree {
    paths: BTreeMap<NetName, Watched>,
    work: BTreeSet<NetName>,
}

impl WatchTree {
    /// One watch more. True if the path is joined already.
    pub fn add(&mut self, path: &NetName, watch: WatchNumber) -> bool {
        let watched = self.paths.entry(path.clone()).or_default();
        watched.watches.insert(watch);
        let joined = watched.joined;
        if !joined {
            self.work.insert(path.clone());
        }
        joined
    }

    /// One watch less.
    pub fn remove(&mut self, path: &NetName, watch: WatchNumber) {
        if let Some(watched) = self.paths.get_mut(path)
            && watched.watches.remove(&watch)
        {
            self.settle(path);
        }
    }

    /// The prefix changes hands: nothing below it is joined any more.
    pub fn disable(&mut self, prefix: &NetName) {
        for watched in self.below(prefix) {
            watched.era += 1;
            watched.resync |= watched.joined;
            watched.joined = false;
        }
    }

    /// The prefix is at rest again: what is wanted below it is work.
    pub fn enable(&mut self, prefix: &NetName) {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let below = self.paths.range::<NetName, _>(range).map(|(path, _)| path);
        let below: Vec<_> = below.take_while(|path| path.is_within(prefix)).cloned().collect();
        for path in below {
            self.settle(&path);
        }
    }

    fn below(&mut self, prefix: &NetName) -> impl Iterator<Item = &mut Watched> {
        let range = (Bound::Included(prefix.clone()), Bound::Unbounded);
        let below = self.paths.range_mut::<NetName, _>(range);
        below.take_while(|(path, _)| path.is_within(prefix)).map(|(_, watched)| watched)
    }

    /// Is there work for this path, or is it to be forgotten?
    fn settle(&mut self, path: &NetName) {
        let Some(watched) = self.paths.get(path).filter(|watched| !watched.asked) else { return };
        if watched.watches.is_empty() == watched.joined {
            self.work.insert(path.clone());
        } else if watched.watches.is_empty() {
            self.paths.remove(path);
            self.work.remove(path);
        }
    }

    /// The next thing to ask of the router.
    pub fn next_work(&mut self) -> Option<Work> {
        while let Some(path) = self.work.pop_first() {
            let Some(watched) = self.paths.get_mut(&path) else { continue };
            let join = !watched.watches.is_empty();
            if join != watched.joined {
                watched.asked = true;
                return Some(Work { path, join, era: watched.era });
            }
        }
        None
    }

    /// What came of it.
    pub fn done(&mut self, work: &Work, outcome: Outcome) -> Announce {
        let mut announce = Announce::default();
        let Some(watched) = self.paths.get_mut(&work.path) else { return announce };
        watched.asked = false;
        let joined = matches!(outcome, Outcome::Joined | Outcome::WasJoined);
        let wanted = !watched.watches.is_empty();
        if watched.era != work.era && wanted {
            // Its prefix was disabled meanwhile: it is enabled again later, and then this is work.
            watched.anew |= outcome == Outcome::Joined;
            return announce;
        }
        watched.joined = joined;
        if joined && wanted {
            announce.watches = watched.watches.iter().copied().collect();
            let anew = watched.anew || outcome == Outcome::Joined;
            announce.resync = watched.resync && anew;
            (watched.resync, watched.anew) = (false, false);
        }
        // What cannot be joined is not work before its prefix is enabled: it would be tried again
        // and again.
        if outcome != Outcome::NotNow || !wanted {
            self.settle(&work.path);
        }
        announce
    }

    /// The watches that want to know of a change of this path: its own, and its directory's.
    pub fn interested(&self, path: &NetName) -> impl Iterator<Item = WatchNumber> {
        let of = |path: &[u8]| self.paths.get(path).into_iter().flat_map(|it| &it.watches);
        path.upwards().take(2).flat_map(of).copied()
    }

    /// The watches of this very path.
    pub fn watches_of(&self, path: &NetName) -> impl Iterator<Item = WatchNumber> {
        self.paths.get(path).into_iter().flat_map(|watched| &watched.watches).copied()
    }

    /// How many paths are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Is none watched?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> NetName {
        NetName::parse(path.as_bytes()).expect("a good name")
    }

    fn work(tree: &mut WatchTree) -> Work {
        tree.next_work().expect("there is work")
    }

    const ONE: WatchNumber = WatchNumber(1);
    const TWO: WatchNumber = WatchNumber(2);

    #[test]
    fn the_first_watch_joins_and_the_last_leaves() {
        let (mut tree, path) = (WatchTree::default(), name("/a/b"));
        assert!(!tree.add(&path, ONE));
        let join = work(&mut tree);
        assert!(join.join && tree.next_work().is_none());
        let announce = tree.done(&join, Outcome::Joined);
        assert_eq!(announce, Announce { watches: vec![ONE], resync: false });
        assert!(tree.add(&path, TWO), "joined already");
        tree.remove(&path, ONE);
        assert_eq!(tree.next_work(), None, "another one is left");
        tree.remove(&path, TWO);
        let leave = work(&mut tree);
        assert!(!leave.join);
        tree.done(&leave, Outcome::Left);
        assert!(tree.is_empty());
    }

    #[test]
    fn a_watch_that_comes_while_the_last_leaves_joins_again() {
        let (mut tree, path) = (WatchTree::default(), name("/a/b"));
        tree.add(&path, ONE);
        let join = work(&mut tree);
        tree.done(&join, Outcome::Joined);
        tree.remove(&path, ONE);
        let leave = work(&mut tree);
        tree.add(&path, TWO);
        tree.done(&leave, Outcome::Left);
        let join = work(&mut tree);
        assert!(join.join);
        assert_eq!(tree.done(&join, Outcome::Joined).watches, [TWO]);
    }

    #[test]
    fn a_watch_that_goes_while_it_joins_leaves_again() {
        let (mut tree, path) = (WatchTree::default(), name("/a/b"));
        tree.add(&path, ONE);
        let join = work(&mut tree);
        tree.remove(&path, ONE);
        tree.done(&join, Outcome::Joined);
        let leave = work(&mut tree);
        assert!(!leave.join, "what was joined is left");
    }

    /// namespace.md: watch streams stay over a swap and get one `resync`.
    #[test]
    fn a_swap_is_one_resync_and_only_below_its_prefix() {
        let mut tree = WatchTree::default();
        for (at, path) in ["/a/b", "/a/b/c", "/a/bc", "/d"].iter().enumerate() {
            tree.add(&name(path), WatchNumber(at as u64));
            let join = work(&mut tree);
            tree.done(&join, Outcome::Joined);
        }
        tree.disable(&name("/a/b"));
        assert_eq!(tree.next_work(), None, "nothing is done inside a hand-over");
        tree.enable(&name("/a/b"));
        // Released: no owner, and no work before the prefix is enabled once more.
        for _ in 0..2 {
            let join = work(&mut tree);
            assert_eq!(tree.done(&join, Outcome::NotNow), Announce::default());
        }
        assert_eq!(tree.next_work(), None);
        tree.disable(&name("/a/b"));
        tree.enable(&name("/a/b"));
        let (one, two) = (work(&mut tree), work(&mut tree));
        assert_eq!([&one.path, &two.path], [&name("/a/b"), &name("/a/b/c")]);
        assert!(tree.done(&one, Outcome::Joined).resync);
        // Below a prefix of its own, which did not change hands.
        assert!(!tree.done(&two, Outcome::WasJoined).resync);
        assert_eq!(tree.next_work(), None);
    }

    #[test]
    fn an_answer_from_before_a_hand_over_counts_for_nothing() {
        let (mut tree, path) = (WatchTree::default(), name("/a/b"));
        tree.add(&path, ONE);
        let join = work(&mut tree);
        tree.disable(&name("/a"));
        assert_eq!(tree.done(&join, Outcome::Joined), Announce::default());
        tree.enable(&name("/a"));
        let again = work(&mut tree);
        assert_eq!(tree.done(&again, Outcome::Joined).watches, [ONE]);
    }

    /// Asked before a hand-over, answered after it: the resync is told when the prefix is enabled.
    #[test]
    fn an_answer_that_overtakes_the_hand_over_loses_no_resync() {
        let (mut tree, path) = (WatchTree::default(), name("/a/b"));
        tree.add(&path, ONE);
        let join = work(&mut tree);
        tree.done(&join, Outcome::Joined);
        tree.disable(&name("/a"));
        tree.enable(&name("/a"));
        let early = work(&mut tree);
        tree.disable(&name("/a"));
        assert_eq!(tree.done(&early, Outcome::Joined), Announce::default());
        tree.enable(&name("/a"));
        let late = work(&mut tree);
        assert!(tree.done(&late, Outcome::WasJoined).resync);
    }

    #[test]
    fn what_was_joined_for_nobody_is_left() {
        let (mut tree, path) = (WatchTree::default(), name("/a/b"));
        tree.add(&path, ONE);
        let join = work(&mut tree);
        tree.disable(&name("/a"));
        tree.remove(&path, ONE);
        tree.done(&join, Outcome::Joined);
        let leave = work(&mut tree);
        assert!(!leave.join);
        tree.done(&leave, Outcome::Left);
        assert!(tree.is_empty());
    }

    #[test]
    fn a_change_interests_the_path_and_its_directory() {
        let mut tree = WatchTree::default();
        tree.add(&name("/a"), ONE);
        tree.add(&name("/a/b"), TWO);
        let interested = |path| tree.interested(&name(path)).collect::<Vec<_>>();
        assert_eq!(interested("/a/b"), [TWO, ONE]);
        assert_eq!(interested("/a/b/c"), [TWO]);
        assert_eq!(interested("/a/b/c/d"), []);
        assert_eq!(interested("/a"), [ONE]);
        assert_eq!(interested("/"), []);
    }
}
