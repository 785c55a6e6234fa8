//! The one door to locks. Every lock has a rank; locking upwards panics in debug builds.
//!
//! The order, outermost first, is [`Rank`]. A thread that holds a lock may take only locks of a
//! strictly later rank. In release builds the check is gone and a lock costs what parking_lot's
//! does. What it is made of is chosen in `primitives`: parking_lot, or a model checker behind the
//! same names.

pub(in crate::base) mod primitives;

pub use primitives::atomic;
pub(crate) use primitives::thread_local;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// The lock order, outermost first. Two locks of one rank are never held together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// `app`: the host's parts while it is built or taken down.
    Host,
    /// `mgmt`: a server's clients.
    Server,
    /// `mgmt`: which interfaces listen, and the calls that run.
    Rpc,
    /// `rdbss`: the threads of the file system process.
    Workers,
    /// `rdbss`: the registered devices.
    Registry,
    /// `rdbss`: the start/stop machine and its queue of control jobs.
    Lifecycle,
    /// `mup`: who owns which prefix, and the hand-overs under way.
    Router,
    /// `mup`: the prefix table, as lookups see it.
    Prefixes,
    /// `mup`: one part of the resolution cache, or one list of routes in the making.
    Routes,
    /// `rdbss`: SRV_CALL, NET_ROOT, V_NET_ROOT of a device (rdbss.md 1.5: before the FCB table).
    NetNameTable,
    /// `rdbss`: FCBs of a NET_ROOT.
    FcbTable,
    /// `front`: node numbers and lookup counts.
    Inodes,
    /// `rdbss`: one FCB's names and binding.
    Fcb,
    /// `rdbss`: the opens on a server that handles share, and closes that wait.
    SharedOpens,
    /// `rdbss`: one shard of the handle table.
    Handles,
    /// `rdbss`: one shard of the requests in flight.
    Requests,
    /// `rdbss`: one request's reply, cancel routine and ticket.
    Context,
    /// `rdbss`: the stopper's sleep beside the gate word.
    Gate,
    /// `rdbss`: lanes of the file system process.
    Queue,
    /// `rdbss`: posted tickets and their results.
    Tickets,
    /// A mini-redirector's own locks.
    Redirector,
    /// A mini-redirector's locks inside its own locks.
    RedirectorInner,
    /// `mgmt`: the event queue.
    Events,
    /// Counters, logs, test doubles: nothing is taken inside.
    Leaf,
}

#[cfg(debug_assertions)]
#[allow(clippy::missing_const_for_thread_local, reason = "loom's macro takes no const block")]
mod held {
    use super::Rank;
    use std::cell::RefCell;

    super::primitives::thread_local! {
        static HELD: RefCell<Vec<Rank>> = RefCell::new(Vec::new());
    }

    pub(super) fn push(rank: Rank) {
        HELD.with(|held| {
            let mut held = held.borrow_mut();
            if let Some(&worst) = held.iter().max()
                && worst >= rank
                && !std::thread::panicking()
            {
                panic!("lock order: {rank:?} taken while holding {worst:?}");
            }
            held.push(rank);
        });
    }

    pub(super) fn pop(rank: Rank) {
        // A guard may be dropped while thread-locals are being torn down: then nobody checks.
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(at) = held.iter().rposition(|&other| other == rank) {
                held.remove(at);
            }
        });
    }

    pub(super) fn none() -> bool {
        HELD.with(|held| held.borrow().is_empty())
    }
}

#[cfg(not(debug_assertions))]
mod held {
    use super::Rank;
    pub(super) fn push(_: Rank) {}
    pub(super) fn pop(_: Rank) {}
    pub(super) fn none() -> bool {
        true
    }
}

/// Asserts, in debug builds, that this thread holds no lock of ours: called before every calldown,
/// reply, send and kernel notification (design README, invariant 3).
pub fn assert_no_locks(before: &str) {
    debug_assert!(held::none(), "a lock is held across {before}");
}

/// A ranked mutual-exclusion lock. No poisoning: a panic inside is caught at the calldown.
pub struct Mutex<T: ?Sized> {
    rank: Rank,
    inner: primitives::Mutex<T>,
}

/// Holds a [`Mutex`].
pub struct MutexGuard<'a, T: ?Sized> {
    // Declared first: the lock is released before the rank is forgotten.
    inner: primitives::MutexGuard<'a, T>,
    _rank: Held,
}

/// Remembers a rank until dropped.
struct Held(Rank);

impl Held {
    fn new(rank: Rank) -> Self {
        held::push(rank);
        Self(rank)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        held::pop(self.0);
    }
}

impl<T> Mutex<T> {
    /// A lock of the given rank.
    pub fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: primitives::Mutex::new(value) }
    }

    /// Takes the value out; nobody else can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock, waiting for it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let held = Held::new(self.rank);
        MutexGuard { inner: self.inner.lock(), _rank: held }
    }

    /// Takes the lock if it is free now.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let inner = self.inner.try_lock()?;
        Some(MutexGuard { inner, _rank: Held::new(self.rank) })
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Mutex({:?})", self.rank)
    }
}

/// A ranked reader-writer lock.
pub struct RwLock<T: ?Sized> {
    rank: Rank,
    inner: primitives::RwLock<T>,
}

/// Holds a [`RwLock`] for reading.
pub struct RwLockReadGuard<'a, T: ?Sized> {
    inner: primitives::RwLockReadGuard<'a, T>,
    _rank: Held,
}

/// Holds a [`RwLock`] for writing.
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    inner: primitives::RwLockWriteGuard<'a, T>,
    _rank: Held,
}

impl<T> RwLock<T> {
    /// A lock of the given rank.
    pub fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: primitives::RwLock::new(value) }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        let held = Held::new(self.rank);
        RwLockReadGuard { inner: self.inner.read(), _rank: held }
    }

    /// Takes the lock for writing.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let held = Held::new(self.rank);
        RwLockWriteGuard { inner: self.inner.write(), _rank: held }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RwLock({:?})", self.rank)
    }
}

/// A condition variable for [`Mutex`].
#[derive(Default)]
pub struct Condvar {
    inner: primitives::Condvar,
}

impl Condvar {
    /// A condition nobody waits for yet.
    #[must_use]
    pub fn new() -> Self {
        Self { inner: primitives::Condvar::new() }
    }

    /// Sleeps until notified; check the condition again afterwards.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.inner.wait(&mut guard.inner);
    }

    /// Sleeps until notified or for `limit`; true if the time ran out.
    ///
    /// Whoever makes the condition true must notify: under a model checker the time never runs out.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) -> bool {
        self.inner.wait_for(&mut guard.inner, limit).timed_out()
    }

    /// Sleeps until notified or for `limit`, for a condition whose coming true notifies nobody: the
    /// caller looks at it now and again.
    pub fn look_again_in<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) {
        primitives::look_again(&self.inner, &mut guard.inner, limit);
    }

    /// Wakes one sleeper.
    pub fn notify_one(&self) {
        self.inner.notify_one();
    }

    /// Wakes all sleepers.
    pub fn notify_all(&self) {
        self.inner.notify_all();
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Condvar")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locking_downwards_is_allowed() {
        let outer = Mutex::new(Rank::Lifecycle, 1);
        let inner = Mutex::new(Rank::Fcb, 2);
        let first = outer.lock();
        let second = inner.lock();
        assert_eq!(*first + *second, 3);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn locking_upwards_is_caught() {
        let caught = std::panic::catch_unwind(|| {
            let outer = Mutex::new(Rank::Lifecycle, ());
            let inner = Mutex::new(Rank::Fcb, ());
            let _second = inner.lock();
            let _first = outer.lock();
        });
        assert!(caught.is_err());
        assert_no_locks("the end of this test: unwinding forgot the ranks");
    }
}
