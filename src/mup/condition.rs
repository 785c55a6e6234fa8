//! Found, or made once: an object by its key, with those who come while it is made waiting for it.
//!
//! ```text
//!   (absent) --find_or_build--> InTransition --built--> Good --last user gone--> (absent)
//!                                    |
//!                                    +--failed, panicked--> Bad: those who wait get the error,
//!                                                           who comes later builds again
//! ```
//!
//! These are the conditions of SRV_CALL, NET_ROOT and V_NET_ROOT (rdbss.md 1.3), and of a claim.
//! No lock is held while an object is built. What is Good is kept alive by those who use it alone:
//! children hold their parents.

use crate::base::clock::{Clock, Moment};
use crate::base::status::Status;
use crate::base::sync::{Condvar, Mutex, Rank};
use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::{Arc, Weak};

/// What is kept of a built object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is found for as long as somebody uses it.
    WhileUsed,
    /// It is for those who waited for it, and then built anew.
    Nothing,
}

/// How long the caller waits for an object that another one builds.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// The clock of the deadline.
    pub clock: &'a dyn Clock,
    /// When to give up with `IoTimeout`; none: never.
    pub until: Option<Moment>,
}

impl Patience<'_> {
    /// Has it ended?
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= self.clock.now())
    }
}

enum Condition<V> {
    InTransition(Arc<Building<V>>),
    Good(Weak<V>),
}

/// An object in the making, and those who wait for it.
struct Building<V> {
    done: Mutex<Option<Result<Arc<V>, Status>>>,
    ended: Condvar,
}

/// Objects of one kind by their keys.
pub struct Conditions<K, V> {
    keep: Keep,
    entries: Mutex<Entries<K, V>>,
}

struct Entries<K, V> {
    by_key: BTreeMap<K, Condition<V>>,
    /// When there are more than this, those without users are dropped.
    sweep_at: usize,
}

/// The first sweep is not worth it before.
const SWEEP_AT_LEAST: usize = 64;

impl<K: Ord + Clone, V> Conditions<K, V> {
    /// None yet.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        let entries = Entries { by_key: BTreeMap::new(), sweep_at: SWEEP_AT_LEAST };
        Self { keep, entries: Mutex::new(Rank::Routes, entries) }
    }

    /// The object, if it is there already.
    pub fn find(&self, key: &K) -> Option<Arc<V>> {
        match self.entries.lock().by_key.get(key) {
            Some(Condition::Good(object)) => object.upgrade(),
            Some(Condition::InTransition(_)) | None => None,
        }
    }

    /// How many are in the making.
    pub fn in_transition(&self) -> usize {
        let entries = self.entries.lock();
        let building = |it: &&Condition<V>| matches!(it, Condition::InTransition(_));
        entries.by_key.values().filter(building).count()
    }

    /// The object; built by this caller if there is none, waited for if another one is at it.
    ///
    /// # Errors
    /// What building it came to, for everybody who waited; `IoTimeout` when patience ends first.
    pub fn find_or_build(
        &self,
        key: &K,
        patience: Patience<'_>,
        build: impl FnOnce() -> Result<V, Status>,
    ) -> Result<Arc<V>, Status> {
        let building = {
            let mut entries = self.entries.lock();
            match entries.by_key.get(key) {
                Some(Condition::InTransition(building)) => {
                    let building = building.clone();
                    drop(entries);
                    return building.wait(patience);
                }
                Some(Condition::Good(object)) => {
                    if let Some(object) = object.upgrade() {
                        return Ok(object);
                    }
                }
                None => {}
            }
            let building = Arc::new(Building::new());
            entries.by_key.insert(key.clone(), Condition::InTransition(building.clone()));
            entries.sweep();
            building
        };
        let mut builder = Builder { of: self, key, building, built: Err(Status::Unsuccessful) };
        builder.built = build().map(Arc::new);
        builder.built.clone()
    }

    /// Forgets the objects with these keys. Those in the making still go to whoever waits for them.
    pub fn forget(&self, keys: impl RangeBounds<K>) {
        let mut forgotten = Vec::new();
        let mut entries = self.entries.lock();
        let found: Vec<K> = entries.by_key.range(keys).map(|(key, _)| key.clone()).collect();
        forgotten.extend(found.iter().filter_map(|key| entries.by_key.remove(key)));
        drop(entries);
        // Dropped here, with no lock held.
        drop(forgotten);
    }
}

impl<K: Ord, V> Entries<K, V> {
    /// Drops what nobody uses, now and again: as often as the number has doubled.
    fn sweep(&mut self) {
        if self.by_key.len() <= self.sweep_at {
            return;
        }
        self.by_key.retain(|_, condition| match condition {
            Condition::InTransition(_) => true,
            Condition::Good(object) => object.strong_count() > 0,
        });
        self.sweep_at = SWEEP_AT_LEAST.max(2 * self.by_key.len());
    }
}

impl<V> Building<V> {
    fn new() -> Self {
        Self { done: Mutex::new(Rank::Routes, None), ended: Condvar::new() }
    }

    fn wait(&self, patience: Patience<'_>) -> Result<Arc<V>, Status> {
        let mut done = self.done.lock();
        loop {
            if let Some(result) = &*done {
                return result.clone();
            }
            let Some(until) = patience.until else {
                self.ended.wait(&mut done);
                continue;
            };
            let left = until.since(patience.clock.now());
            if left.is_zero() {
                return Err(Status::IoTimeout);
            }
            self.ended.wait_for(&mut done, left);
        }
    }
}

/// Ends a construction, also when building it panics.
struct Builder<'a, K: Ord + Clone, V> {
    of: &'a Conditions<K, V>,
    key: &'a K,
    building: Arc<Building<V>>,
    built: Result<Arc<V>, Status>,
}

impl<K: Ord + Clone, V> Drop for Builder<'_, K, V> {
    fn drop(&mut self) {
        let mut entries = self.of.entries.lock();
        // Forgotten meanwhile, the key may be another construction's.
        let ours = match entries.by_key.get(self.key) {
            Some(Condition::InTransition(building)) => Arc::ptr_eq(building, &self.building),
            Some(Condition::Good(_)) | None => false,
        };
        let removed = match &self.built {
            Ok(object) if ours && self.of.keep == Keep::WhileUsed => {
                let good = Condition::Good(Arc::downgrade(object));
                entries.by_key.insert(self.key.clone(), good)
            }
            Ok(_) | Err(_) if ours => entries.by_key.remove(self.key),
            Ok(_) | Err(_) => None,
        };
        drop(entries);
        drop(removed);
        *self.building.done.lock() = Some(self.built.clone());
        self.building.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{ManualClock, SystemClock};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(30);

    fn patient(clock: &ManualClock) -> Patience<'_> {
        Patience { clock, until: None }
    }

    #[test]
    fn it_is_built_once_and_kept_while_somebody_uses_it() {
        let clock = ManualClock::new();
        let objects = Conditions::new(Keep::WhileUsed);
        let built = AtomicUsize::new(0);
        let build = || Ok(built.fetch_add(1, Ordering::SeqCst));
        let one = objects.find_or_build(&1, patient(&clock), build).expect("it builds");
        let again = objects.find_or_build(&1, patient(&clock), build).expect("it is there");
        assert!(Arc::ptr_eq(&one, &again));
        drop((one, again));
        assert!(objects.find(&1).is_none());
        let new = objects.find_or_build(&1, patient(&clock), build).expect("it builds");
        assert_eq!(*new, 1);
        objects.forget(1..2);
        assert!(objects.find(&1).is_none(), "forgotten, though it lives");
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_to_be_kept() {
        let clock = ManualClock::new();
        let objects = Conditions::new(Keep::Nothing);
        let one = objects.find_or_build(&1, patient(&clock), || Ok(7)).expect("it builds");
        assert_eq!(*one, 7);
        assert!(objects.find(&1).is_none());
        assert_eq!(objects.in_transition(), 0);
    }

    /// Latecomers wait for the one in transition: one builds, all get the same, errors too.
    #[test]
    fn latecomers_wait_and_share_the_result() {
        for fails in [false, true] {
            let clock = ManualClock::new();
            let objects = Conditions::<u32, u32>::new(Keep::WhileUsed);
            let (started, has_started) = channel();
            let (let_go, gate) = channel::<()>();
            let result = if fails { Err(Status::BadNetworkPath) } else { Ok(7) };
            std::thread::scope(|scope| {
                let objects = &objects;
                let clock = &clock;
                let builder = scope.spawn(move || {
                    objects.find_or_build(&1, patient(clock), || {
                        started.send(()).expect("the test listens");
                        gate.recv().expect("the test lets go");
                        result
                    })
                });
                has_started.recv_timeout(LIMIT).expect("it builds");
                assert_eq!(objects.in_transition(), 1);
                let others: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(move || {
                            objects.find_or_build(&1, patient(clock), || panic!("built twice"))
                        })
                    })
                    .collect();
                // Another key waits for nobody.
                let other = objects.find_or_build(&2, patient(clock), || Ok(8));
                assert_eq!(other.as_deref(), Ok(&8));
                // The entry, the builder, this very count, and everybody who waits.
                let waiting = 3 + others.len();
                let real = SystemClock::new();
                while Arc::strong_count(&building(objects, 1)) < waiting {
                    assert!(real.now().since(Moment(0)) < LIMIT, "they never wait");
                    std::thread::yield_now();
                }
                let_go.send(()).expect("the builder waits");
                assert_eq!(builder.join().expect("no panic").map(|it| *it), result);
                for other in others {
                    assert_eq!(other.join().expect("no panic").map(|it| *it), result);
                }
            });
            if fails {
                let again = objects.find_or_build(&1, patient(&clock), || Ok(9));
                assert_eq!(again.as_deref(), Ok(&9), "who comes later builds again");
            }
        }
    }

    /// The construction of a key that is in transition.
    fn building(objects: &Conditions<u32, u32>, key: u32) -> Arc<Building<u32>> {
        match objects.entries.lock().by_key.get(&key) {
            Some(Condition::InTransition(building)) => building.clone(),
            Some(Condition::Good(_)) | None => panic!("{key} is not in transition"),
        }
    }

    #[test]
    fn a_panic_is_a_failure_for_those_who_wait() {
        let clock = ManualClock::new();
        let objects = Conditions::<u32, u32>::new(Keep::WhileUsed);
        let seen = std::sync::Mutex::new(None);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            objects.find_or_build(&1, patient(&clock), || {
                *seen.lock().expect("not poisoned") = Some(building(&objects, 1));
                panic!("as a test")
            })
        }));
        assert!(caught.is_err());
        let building = seen.into_inner().expect("not poisoned").expect("it was in transition");
        assert_eq!(building.wait(patient(&clock)), Err(Status::Unsuccessful));
        assert_eq!(objects.in_transition(), 0);
    }

    #[test]
    fn patience_ends_by_the_clock() {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(5));
        let building = Building::<u32>::new();
        let over = Patience { clock: &clock, until: Some(Moment(0)) };
        assert_eq!(building.wait(over), Err(Status::IoTimeout));
    }

    #[test]
    fn those_without_users_are_swept_away() {
        let clock = ManualClock::new();
        let objects = Conditions::new(Keep::WhileUsed);
        let kept = objects.find_or_build(&0, patient(&clock), || Ok(0)).expect("it builds");
        for key in 1..10_000 {
            drop(objects.find_or_build(&key, patient(&clock), || Ok(key)).expect("it builds"));
        }
        assert!(objects.entries.lock().by_key.len() <= SWEEP_AT_LEAST + 1);
        assert_eq!(objects.find(&0), Some(kept));
    }
}
