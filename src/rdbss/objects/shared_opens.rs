//! Opens on a server that several handles share, and closes that wait (rdbss.md 7.2 to 7.4).
//!
//! ```text
//!            admit                 leave (last)
//!   (none) ---------->  Shared  ------------------> Delayed ---- expired, evicted, purged ---+
//!                        |  ^      may be delayed      |                                     |
//!                        |  +---------- join ----------+                                     v
//!                        +------- leave (last), not to be delayed -----------------> (closed by
//!                                                                                   the caller)
//! ```
//!
//! A handle *collapses* into an open of the same file whose [`CollapseKey`] is equal: access and
//! options, share mode, and the caller's credentials. One table a server (SRV_CALL), bounded by
//! what its mini-redirector allows; at the bound the close that has waited longest is made.
//!
//! [`Opens`] is pure: it says what is to be closed, and its owner closes it with no lock held.

use crate::base::clock::Moment;
use crate::base::ids::{Caller, NodeNumber};
use crate::base::sync::{Mutex, Rank};
use crate::mrx::request::OpenOptions;
use crate::rdbss::objects::srv_open::SrvOpen;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What other opens of a file are allowed while this one stands (ShareAccess, rdbss.md 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShareAccess {
    /// Reading.
    pub read: bool,
    /// Writing.
    pub write: bool,
    /// Removing and renaming.
    pub delete: bool,
}

impl ShareAccess {
    /// What every POSIX open allows: all of it.
    pub const POSIX: Self = Self { read: true, write: true, delete: true };
}

/// Whose rights an open carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// User.
    pub uid: u32,
    /// Group. Another primary group is another open: a real driver gave away a handle opened with
    /// another group's rights (rdbss.md 7.2).
    pub gid: u32,
    /// Supplementary groups, sorted; `None` where opens carry the daemon's rights.
    pub groups: Option<Vec<u32>>,
}

impl Credentials {
    /// Of a caller whose groups are known, or do not matter.
    #[must_use]
    pub fn new(caller: Caller, groups: Option<Vec<u32>>) -> Self {
        let groups = groups.map(|mut groups| {
            groups.sort_unstable();
            groups
        });
        Self { uid: caller.uid, gid: caller.gid, groups }
    }
}

/// What must be equal for two handles to share one open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CollapseKey {
    /// Access and how: append, direct, synchronous. Never with `truncate`.
    pub options: OpenOptions,
    /// What it allows others.
    pub share: ShareAccess,
    /// Whose.
    pub credentials: Credentials,
}

/// Names an open in its table. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenNumber(pub(in crate::rdbss) u64);

/// What became of an open that a handle has left.
#[derive(Debug, PartialEq, Eq)]
pub enum Left<T> {
    /// Other handles share it.
    Shared,
    /// Its close waits. With it, the one that has to be closed to keep the bound.
    Delayed(Option<T>),
    /// Close it now.
    Close,
}

struct Entry<T> {
    key: CollapseKey,
    value: T,
    handles: u32,
    /// No handle is left; its close waits since.
    delayed: Option<Moment>,
    /// COLLAPSING_DISABLED: nobody joins it any more.
    closed_to_others: bool,
}

/// The policy: what is shared, what waits, what is to be closed. No lock, no clock, no call.
pub struct Opens<T> {
    delayed_max: usize,
    next: u64,
    opens: HashMap<OpenNumber, (NodeNumber, Entry<T>)>,
    by_file: HashMap<NodeNumber, Vec<OpenNumber>>,
    delayed: BTreeMap<(Moment, OpenNumber), NodeNumber>,
}

impl<T: Clone> Opens<T> {
    /// An empty table that delays at most so many closes.
    #[must_use]
    pub fn new(delayed_max: usize) -> Self {
        Self {
            delayed_max,
            next: 0,
            opens: HashMap::new(),
            by_file: HashMap::new(),
            delayed: BTreeMap::new(),
        }
    }

    /// A new open with one handle, which others may join.
    pub fn admit(&mut self, file: NodeNumber, key: CollapseKey, value: T) -> OpenNumber {
        self.next += 1;
        let number = OpenNumber(self.next);
        let entry = Entry { key, value, handles: 1, delayed: None, closed_to_others: false };
        self.opens.insert(number, (file, entry));
        self.by_file.entry(file).or_default().push(number);
        number
    }

    /// One more handle on an open of this file and key, if there is one.
    pub fn join(&mut self, file: NodeNumber, key: &CollapseKey) -> Option<(OpenNumber, T)> {
        for number in self.by_file.get(&file)? {
            let Some((_, entry)) = self.opens.get_mut(number) else { continue };
            if entry.key == *key && !entry.closed_to_others {
                entry.handles += 1;
                if let Some(since) = entry.delayed.take() {
                    self.delayed.remove(&(since, *number));
                }
                return Some((*number, entry.value.clone()));
            }
        }
        None
    }

    /// A handle leaves. `may_delay`: its close is worth waiting for the next open.
    pub fn leave(&mut self, number: OpenNumber, now: Moment, may_delay: bool) -> Left<T> {
        let Some((file, entry)) = self.opens.get_mut(&number) else { return Left::Close };
        entry.handles = entry.handles.saturating_sub(1);
        entry.closed_to_others |= !may_delay;
        if entry.handles > 0 {
            return Left::Shared;
        }
        if entry.closed_to_others || self.delayed_max == 0 {
            self.forget(number);
            return Left::Close;
        }
        entry.delayed = Some(now);
        self.delayed.insert((now, number), *file);
        let oldest = self.delayed.keys().next().copied();
        let evicted = oldest.filter(|_| self.delayed.len() > self.delayed_max);
        Left::Delayed(evicted.and_then(|(_, number)| self.forget(number)))
    }

    /// Something happens to the file that an open kept without a handle must not be seen in: what
    /// waits is handed out to be closed, and nobody joins the others any more.
    #[must_use]
    pub fn purge_file(&mut self, file: NodeNumber) -> Vec<T> {
        let numbers = self.by_file.get(&file).cloned().unwrap_or_default();
        let mut waiting = Vec::new();
        for number in numbers {
            let Some((_, entry)) = self.opens.get_mut(&number) else { continue };
            entry.closed_to_others = true;
            if entry.delayed.is_some() {
                waiting.extend(self.forget(number));
            }
        }
        waiting
    }

    /// Everything that waits, to be closed: before a stop counts what is open.
    #[must_use]
    pub fn purge_all(&mut self) -> Vec<T> {
        self.take_until(Moment(u64::MAX))
    }

    /// What has waited since `until` or longer.
    #[must_use]
    pub fn take_until(&mut self, until: Moment) -> Vec<T> {
        let mut taken = Vec::new();
        while let Some((&(since, number), _)) = self.delayed.first_key_value()
            && since <= until
        {
            taken.extend(self.forget(number));
        }
        taken
    }

    /// Since when the longest has waited.
    #[must_use]
    pub fn oldest(&self) -> Option<Moment> {
        self.delayed.keys().next().map(|(since, _)| *since)
    }

    /// Closes that wait.
    #[must_use]
    pub fn delayed(&self) -> usize {
        self.delayed.len()
    }

    /// Opens in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.opens.len()
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opens.is_empty()
    }

    fn forget(&mut self, number: OpenNumber) -> Option<T> {
        let (file, entry) = self.opens.remove(&number)?;
        if let Some(since) = entry.delayed {
            self.delayed.remove(&(since, number));
        }
        if let Some(numbers) = self.by_file.get_mut(&file) {
            numbers.retain(|&other| other != number);
            if numbers.is_empty() {
                self.by_file.remove(&file);
            }
        }
        Some(entry.value)
    }
}

/// The table of one server.
pub struct SharedOpens {
    opens: Mutex<Opens<Arc<SrvOpen>>>,
    delayed_max: usize,
}

impl SharedOpens {
    /// An empty one. With a bound of 0 nothing is ever shared.
    #[must_use]
    pub fn new(delayed_max: usize) -> Self {
        Self { opens: Mutex::new(Rank::SharedOpens, Opens::new(delayed_max)), delayed_max }
    }

    /// Does this server share opens at all?
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.delayed_max > 0
    }

    /// See [`Opens::admit`]. The open has its number before anybody can join it: a handle that left
    /// an open without one would close it under the others.
    pub fn admit(&self, file: NodeNumber, key: CollapseKey, open: &Arc<SrvOpen>) {
        let mut opens = self.opens.lock();
        let number = opens.admit(file, key, open.clone());
        open.share_as(number);
    }

    /// See [`Opens::join`].
    #[must_use]
    pub fn join(&self, file: NodeNumber, key: &CollapseKey) -> Option<(OpenNumber, Arc<SrvOpen>)> {
        self.opens.lock().join(file, key)
    }

    /// See [`Opens::leave`].
    #[must_use]
    pub fn leave(&self, number: OpenNumber, now: Moment, may_delay: bool) -> Left<Arc<SrvOpen>> {
        self.opens.lock().leave(number, now, may_delay)
    }

    /// See [`Opens::purge_file`].
    #[must_use]
    pub fn purge_file(&self, file: NodeNumber) -> Vec<Arc<SrvOpen>> {
        if self.is_used() { self.opens.lock().purge_file(file) } else { Vec::new() }
    }

    /// See [`Opens::purge_all`].
    #[must_use]
    pub fn purge_all(&self) -> Vec<Arc<SrvOpen>> {
        self.opens.lock().purge_all()
    }

    /// What has waited for `limit` by now.
    #[must_use]
    pub fn take_expired(&self, now: Moment, limit: Duration) -> Vec<Arc<SrvOpen>> {
        let mut opens = self.opens.lock();
        match opens.oldest() {
            Some(oldest) if now.since(oldest) >= limit => {
                // Whatever began to wait at least `limit` before now.
                let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
                opens.take_until(Moment(now.0.saturating_sub(limit)))
            }
            _ => Vec::new(),
        }
    }

    /// Is a look for expired closes due?
    #[must_use]
    pub fn is_due(&self, now: Moment, limit: Duration) -> bool {
        self.is_used()
            && self.opens.lock().oldest().is_some_and(|oldest| now.since(oldest) >= limit)
    }

    /// Closes that wait.
    #[must_use]
    pub fn delayed(&self) -> usize {
        self.opens.lock().delayed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mrx::request::Access;
    use proptest::prelude::*;

    fn key(access: Access, uid: u32, gid: u32, groups: Option<&[u32]>) -> CollapseKey {
        let options = OpenOptions {
            access,
            append: false,
            truncate: false,
            direct: false,
            synchronous: false,
            kill_privileges: false,
        };
        let caller = Caller::local(1, uid, gid);
        let credentials = Credentials::new(caller, groups.map(<[u32]>::to_vec));
        CollapseKey { options, share: ShareAccess::POSIX, credentials }
    }

    const FILE: NodeNumber = NodeNumber(7);

    /// Issue 3, collapse: access, share mode and credentials must all be equal.
    #[test]
    fn only_equal_keys_collapse() {
        let mut opens = Opens::new(4);
        let mine = key(Access::Read, 1, 1, Some(&[5, 6]));
        opens.admit(FILE, mine.clone(), 'a');
        let mut other_share = mine.clone();
        other_share.share.write = false;
        let mut appending = mine.clone();
        appending.options.append = true;
        for other in [
            key(Access::Write, 1, 1, Some(&[5, 6])),
            key(Access::Read, 2, 1, Some(&[5, 6])),
            key(Access::Read, 1, 2, Some(&[5, 6])),
            key(Access::Read, 1, 1, Some(&[5])),
            key(Access::Read, 1, 1, None),
            other_share,
            appending,
        ] {
            assert!(opens.join(FILE, &other).is_none(), "{other:?}");
        }
        assert!(opens.join(NodeNumber(8), &mine).is_none(), "another file");
        // The order of the groups says nothing.
        let same = key(Access::Read, 1, 1, Some(&[6, 5]));
        assert_eq!(opens.join(FILE, &same).map(|(_, value)| value), Some('a'));
    }

    #[test]
    fn a_close_waits_and_is_joined_or_expires() {
        let mut opens = Opens::new(4);
        let mine = key(Access::Read, 1, 1, None);
        let number = opens.admit(FILE, mine.clone(), 'a');
        assert_eq!(opens.leave(number, Moment(10), true), Left::Delayed(None));
        assert_eq!((opens.delayed(), opens.oldest()), (1, Some(Moment(10))));
        assert!(opens.join(FILE, &mine).is_some());
        assert_eq!((opens.delayed(), opens.oldest()), (0, None), "it waits no more");
        assert!(opens.take_until(Moment(99)).is_empty(), "a handle has it");
        assert_eq!(opens.leave(number, Moment(20), true), Left::Delayed(None));
        assert!(opens.take_until(Moment(19)).is_empty());
        assert_eq!(opens.take_until(Moment(20)), ['a']);
        assert!(opens.is_empty());
    }

    /// At the bound the close that has waited longest is made.
    #[test]
    fn the_bound_evicts_the_oldest() {
        let mut opens = Opens::new(2);
        let mine = key(Access::Read, 1, 1, None);
        for (file, value) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            let number = opens.admit(NodeNumber(file), mine.clone(), value);
            let left = opens.leave(number, Moment(file), true);
            assert_eq!(left, Left::Delayed((value == 'c').then_some('a')));
        }
        assert_eq!(opens.delayed(), 2);
        assert_eq!(opens.purge_all(), ['b', 'c']);
    }

    /// After a purge nothing of the file waits, and what is still open is not joined and not kept.
    #[test]
    fn a_purge_closes_what_waits_and_ends_the_sharing() {
        let mut opens = Opens::new(4);
        let (reads, writes) = (key(Access::Read, 1, 1, None), key(Access::Write, 1, 1, None));
        let waiting = opens.admit(FILE, reads, 'a');
        let open = opens.admit(FILE, writes.clone(), 'b');
        assert_eq!(opens.leave(waiting, Moment(1), true), Left::Delayed(None));
        assert_eq!(opens.purge_file(FILE), ['a']);
        assert!(opens.join(FILE, &writes).is_none());
        assert_eq!(opens.leave(open, Moment(2), true), Left::Close);
        assert!(opens.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Open(u64, bool),
        Leave(usize, bool),
        Purge(u64),
        Expire(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u64..4, any::<bool>()).prop_map(|(file, write)| Step::Open(file, write)),
            4 => (any::<prop::sample::Index>(), any::<bool>())
                .prop_map(|(at, delay)| Step::Leave(at.index(1 << 20), delay)),
            1 => (0_u64..4).prop_map(Step::Purge),
            1 => (0_u64..20).prop_map(Step::Expire),
        ]
    }

    proptest! {
        /// Whatever happens: an open is closed exactly once, never while a handle has it, never
        /// more wait than the bound, and in the end nothing is left.
        #[test]
        fn every_open_is_closed_once_and_never_under_a_handle(
            steps in prop::collection::vec(any_step(), 0..120),
            bound in 0_usize..4,
        ) {
            let mut opens = Opens::new(bound);
            let mut handles: Vec<(OpenNumber, u32)> = Vec::new();
            let mut closed: Vec<u32> = Vec::new();
            let (mut made, mut now) = (0_u32, 0_u64);
            for step in steps {
                now += 1;
                let mut close: Vec<u32> = Vec::new();
                match step {
                    Step::Open(file, write) => {
                        let access = if write { Access::Write } else { Access::Read };
                        let mine = key(access, 1, 1, None);
                        let file = NodeNumber(file);
                        let joined = opens.join(file, &mine);
                        let (number, value) = joined.unwrap_or_else(|| {
                            made += 1;
                            (opens.admit(file, mine, made), made)
                        });
                        handles.push((number, value));
                    }
                    Step::Leave(at, may_delay) if !handles.is_empty() => {
                        let (number, value) = handles.swap_remove(at % handles.len());
                        match opens.leave(number, Moment(now), may_delay) {
                            Left::Shared => {}
                            Left::Delayed(evicted) => close.extend(evicted),
                            Left::Close => close.push(value),
                        }
                    }
                    Step::Leave(..) => {}
                    Step::Purge(file) => close.extend(opens.purge_file(NodeNumber(file))),
                    Step::Expire(age) => {
                        close.extend(opens.take_until(Moment(now.saturating_sub(age))));
                    }
                }
                for value in close {
                    prop_assert!(!handles.iter().any(|(_, held)| *held == value), "under a handle");
                    prop_assert!(!closed.contains(&value), "twice");
                    closed.push(value);
                }
                prop_assert!(opens.delayed() <= bound);
            }
            for (number, value) in handles {
                match opens.leave(number, Moment(now), true) {
                    Left::Shared => {}
                    Left::Delayed(evicted) => closed.extend(evicted),
                    Left::Close => closed.push(value),
                }
            }
            closed.extend(opens.purge_all());
            closed.sort_unstable();
            prop_assert_eq!(closed, (1..=made).collect::<Vec<_>>());
            prop_assert!(opens.is_empty());
        }
    }
}
