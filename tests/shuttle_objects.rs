//! The objects under shuttle: a file found or made against its last drop, opens of one file at
//! once, and the handle table. Run with `--cfg shuttle` (docs/TESTING.md, "Model checking").
#![cfg(shuttle)]

#[path = "checkers/shuttle.rs"]
mod checker;

use checker::{Host, Manners, check};
use minirdr::base::ids::HandleNumber;
use minirdr::base::stop::CallResult;
use minirdr::base::sync::{Mutex, Rank};
use minirdr::rdbss::objects::fcb::Fcb;
use minirdr::rdbss::objects::handles::HandleTable;
use minirdr::rdbss::operation::Node;
use shuttle::thread;
use std::collections::HashSet;
use std::sync::{Arc, Weak};

/// Every FCB that lookups returned: those alive at one time under one number are one.
struct Seen(Mutex<Vec<Weak<Fcb>>>);

impl Seen {
    fn nothing() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Rank::Leaf, Vec::new())))
    }

    fn one_file_one_fcb(&self, node: &Node) {
        let others: Vec<Node> = {
            let mut seen = self.0.lock();
            seen.push(Arc::downgrade(node));
            seen.iter().filter_map(Weak::upgrade).collect()
        };
        for other in &others {
            let same_file = other.number() == node.number() && other.identity() == node.identity();
            assert!(!same_file || Arc::ptr_eq(other, node), "two FCBs of one file");
        }
    }
}

/// rdbss.md 7.1: find-or-make races the last drop. Whoever finds gets the one that lives, and no
/// dying one takes a living one's entry with it.
#[test]
fn a_file_is_found_or_made_against_its_last_drop() {
    for files_change in [false, true] {
        check("lookup, drop | lookup, drop | lookup, drop", 500, move || {
            let host = Host::started(Manners { files_change, ..Manners::default() });
            let seen = Seen::nothing();
            let clients: Vec<_> = (0..3)
                .map(|_| {
                    let (host, seen) = (host.clone(), seen.clone());
                    thread::spawn(move || {
                        for _ in 0..2 {
                            let node = host.lookup("a").expect("served");
                            seen.one_file_one_fcb(&node);
                        }
                    })
                })
                .collect();
            for client in clients {
                client.join().expect("no panic");
            }
            assert_eq!(host.device.status().files_known, 1, "the root alone is left");
            host.finish();
        });
    }
}

/// The same while the device is stopped and started: a file that is found again in the next
/// generation is bound to it once.
#[test]
fn a_file_is_bound_again_by_whoever_comes_first() {
    check("lookups of a file that outlived a stop", 500, || {
        let host = Host::started(Manners::default());
        let kept = host.lookup("a").expect("served");
        assert_eq!(host.stop().result, CallResult::Success);
        assert_eq!(host.start().result, CallResult::Success);
        let clients = [0, 1].map(|_| {
            let (host, kept) = (host.clone(), kept.clone());
            thread::spawn(move || {
                let handle = host.open(&kept).expect("served again");
                assert!(Arc::ptr_eq(&host.lookup("a").expect("served"), &kept));
                host.release(handle);
            })
        });
        for client in clients {
            client.join().expect("no panic");
        }
        drop(kept);
        assert_eq!(host.device.status().files_known, 1, "the root alone is left");
        host.finish();
    });
}

/// Opens and closes of one file at once, and a stop: each open on the server is closed once, after
/// its last user, whether handles share it or not.
#[test]
fn opens_of_one_file_against_a_stop() {
    check("open, read, close of one file, twice, stop", 500, || {
        let host = Host::started(Manners::default());
        let clients = [0, 1].map(|_| {
            let host = host.clone();
            thread::spawn(move || {
                let first = host.session("a");
                let _refused_or_served = first.and_then(|()| host.session("a"));
            })
        });
        assert!(host.stop().result.is_stopped());
        for client in clients {
            client.join().expect("no panic");
        }
        host.finish();
    });
}

/// Gate.md §2: a number is never used twice, whoever takes its slot next; a snapshot shows every
/// handle that is open throughout once, and none twice.
#[test]
fn the_handle_table_among_threads() {
    check("insert, get, remove | the same | visit", 500, || {
        let table: Arc<HandleTable<u32>> = Arc::new(HandleTable::new());
        let stays = table.insert(Arc::new(99)).expect("room");
        let openers: Vec<_> = [1, 2]
            .map(|value| {
                let table = table.clone();
                thread::spawn(move || {
                    let mut old: Vec<HandleNumber> = Vec::new();
                    for _ in 0..2 {
                        let number = table.insert(Arc::new(value)).expect("room");
                        assert_eq!(table.get(number).as_deref(), Some(&value));
                        assert!(old.iter().all(|old| table.get(*old).is_none()));
                        assert_eq!(table.remove(number).as_deref(), Some(&value));
                        assert!(table.remove(number).is_none(), "removed twice");
                        old.push(number);
                    }
                    old
                })
            })
            .into();
        let mut seen = HashSet::new();
        table.visit(|number, value| {
            assert!(seen.insert(number), "shown twice");
            assert_eq!(*value == 99, number == stays);
            true
        });
        assert!(seen.contains(&stays), "open throughout, and not shown");
        let mut numbers = HashSet::from([stays]);
        for opener in openers {
            for number in opener.join().expect("no panic") {
                assert!(numbers.insert(number), "{number} was used twice");
            }
        }
        assert_eq!(table.len(), 1);
        assert!(table.remove(stays).is_some());
    });
}

/// One handle closed twice at once: one of the two gets it.
#[test]
fn a_handle_is_taken_out_once() {
    check("remove | remove | get", 500, || {
        let table: Arc<HandleTable<u32>> = Arc::new(HandleTable::new());
        let number = table.insert(Arc::new(7)).expect("room");
        let closers = [0, 1].map(|_| {
            let table = table.clone();
            thread::spawn(move || usize::from(table.remove(number).is_some()))
        });
        let _there_or_gone = table.get(number);
        let taken: usize = closers.into_iter().map(|one| one.join().expect("no panic")).sum();
        assert_eq!(taken, 1);
        assert!(table.is_empty());
    });
}
