//! The router's own waiting and forgetting under loom: objects that are made once, and names that a
//! purge must not miss. Run with `--cfg loom` (docs/TESTING.md, "Model checking").
#![cfg(loom)]

#[path = "checkers/loom.rs"]
mod checker;

use checker::check;
use loom::thread;
use minirdr::base::clock::{ManualClock, Moment};
use minirdr::base::status::Status;
use minirdr::base::sync::atomic::{AtomicUsize, Ordering};
use minirdr::mup::cache::{Known, Names};
use minirdr::mup::condition::{Conditions, Keep, Patience};
use minirdr::mup::route::Tenure;
use std::sync::Arc;

const TIMES: (Moment, Moment) = (Moment(0), Moment(9));

/// A purge ends the tenure, then looks into every part; an insert looks at the tenure inside the
/// lock: whatever comes first, nothing of an ended tenure is left.
#[test]
fn nothing_of_an_ended_tenure_is_left() {
    check("insert | insert | end, purge", || {
        let names = Arc::new(Names::<u32>::new(1));
        let tenure = Arc::new(Tenure::new(1));
        let inserts: Vec<_> = (0..2)
            .map(|_| {
                let (names, tenure) = (names.clone(), tenure.clone());
                thread::spawn(move || {
                    if !names.insert(&tenure, b"a", Some(Arc::new(7)), TIMES) {
                        assert!(tenure.has_ended(), "refused for nothing else");
                    }
                })
            })
            .collect();
        tenure.end();
        names.purge(&tenure, |name| assert_eq!(name, b"a"));
        for insert in inserts {
            insert.join().expect("no panic");
        }
        assert_eq!(names.get(1, b"a", Moment(0)), Known::Nothing);
        assert_eq!(names.occupancy().names, 0);
    });
}

/// What one thread has put there another one finds, or a purge has taken it.
#[test]
fn a_name_is_found_whole_or_not_at_all() {
    check("insert, insert again | get | end, purge", || {
        let names = Arc::new(Names::<u32>::new(1));
        let tenure = Arc::new(Tenure::new(1));
        let (of, by) = (names.clone(), tenure.clone());
        let insert = thread::spawn(move || {
            of.insert(&by, b"a", None, TIMES);
            of.insert(&by, b"a", Some(Arc::new(7)), TIMES);
        });
        let of = names.clone();
        let get = thread::spawn(move || match of.get(1, b"a", Moment(0)) {
            Known::Claimed(route) => assert_eq!(*route, 7),
            Known::Refused | Known::Nothing => {}
        });
        tenure.end();
        names.purge(&tenure, |_| {});
        insert.join().expect("no panic");
        get.join().expect("no panic");
        assert_eq!(names.occupancy().names, 0);
    });
}

/// Builds or waits; says how it ended.
fn find(of: &Conditions<u32, u32>, built: &AtomicUsize, fails: bool) -> Result<u32, Status> {
    let clock = ManualClock::new();
    let found = of.find_or_build(&1, Patience { clock: &clock, until: None }, || {
        let at = built.fetch_add(1, Ordering::SeqCst);
        if fails { Err(Status::BadNetworkPath) } else { Ok(u32::try_from(at).expect("few")) }
    });
    found.map(|object| *object)
}

/// Latecomers wait for the one in transition, and nobody sleeps through its end, whether it fails
/// or not.
#[test]
fn latecomers_are_woken() {
    for fails in [false, true] {
        check("find or build | find or build | find or build", move || {
            let objects = Arc::new(Conditions::new(Keep::Nothing));
            let built = Arc::new(AtomicUsize::new(0));
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let (objects, built) = (objects.clone(), built.clone());
                    thread::spawn(move || find(&objects, &built, fails))
                })
                .collect();
            let mut results = vec![find(&objects, &built, fails)];
            results.extend(others.into_iter().map(|it| it.join().expect("no panic")));
            assert!(results.iter().all(|result| result.is_err() == fails));
            assert_eq!(objects.in_transition(), 0);
        });
    }
}

/// A forgotten construction goes to those who waited, and leaves no entry behind that is another's.
#[test]
fn a_forgotten_construction_ends_all_the_same() {
    check("find or build | find or build | forget", || {
        let objects = Arc::new(Conditions::new(Keep::WhileUsed));
        let built = Arc::new(AtomicUsize::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (objects, built) = (objects.clone(), built.clone());
                thread::spawn(move || find(&objects, &built, false))
            })
            .collect();
        objects.forget(1..2);
        for other in others {
            assert!(other.join().expect("no panic").is_ok());
        }
        assert_eq!(objects.in_transition(), 0);
        assert!(objects.find(&1).is_none(), "nobody uses it");
    });
}
