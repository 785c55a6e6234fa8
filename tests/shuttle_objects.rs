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

/// A server that lets handles share an open and closes wait.
fn sharing(closes_wait: usize) -> Arc<Host> {
    Host::started(Manners { closes_wait, ..Manners::default() })
}

/// So many clients use one file, twice each.
fn clients_of(host: &Arc<Host>, node: &Node, count: usize) -> Vec<thread::JoinHandle<()>> {
    let client = |_| {
        let (host, node) = (host.clone(), node.clone());
        thread::spawn(move || {
            let first = host.session_on(&node);
            let _refused_or_served = first.and_then(|()| host.session_on(&node));
        })
    };
    (0..count).map(client).collect()
}

fn join_all(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// rdbss.md 7.2, 7.4: an open that handles share is closed once, after the last of them, and what
/// waits to be closed when a stop comes is closed before `MRxStop`.
#[test]
fn shared_opens_and_waiting_closes_against_a_stop() {
    check("two clients of one file that share, stop", 500, || {
        let host = sharing(2);
        let node = host.lookup("a").expect("served");
        let clients = clients_of(&host, &node, 2);
        let report = host.stop();
        assert!(report.result.is_stopped());
        if report.survivors_total == 0 {
            assert_eq!(host.opens_on_the_server(), 0, "a close waits after the stop");
        }
        join_all(clients);
        host.finish();
    });
}

/// A fresh open is offered to others before its own handle is made: one that shares it may come and
/// go meanwhile, and does not close it.
#[test]
fn a_fresh_open_is_shared_before_it_has_a_handle() {
    check("a session on a file | another that shares", 2000, || {
        let host = sharing(2);
        let node = host.lookup("a").expect("served");
        let other = {
            let (host, node) = (host.clone(), node.clone());
            thread::spawn(move || host.session_on(&node).expect("served"))
        };
        host.session_on(&node).expect("served");
        other.join().expect("no panic");
        assert_eq!(host.opens_on_the_server(), host.device.delayed_closes());
        host.finish();
    });
}

/// The same while the file is removed: nothing of it waits once its removal and its handles are
/// over.
#[test]
fn shared_opens_against_a_removal() {
    check("two clients of one file that share | unlink", 500, || {
        let host = sharing(2);
        let node = host.lookup("a").expect("served");
        let clients = clients_of(&host, &node, 2);
        host.unlink("a").expect("served");
        join_all(clients);
        assert_eq!(host.opens_on_the_server(), 0, "a removed file keeps its room");
        assert_eq!(host.device.delayed_closes(), 0);
        host.finish();
    });
}

/// rdbss.md 7.3: whoever opens a file after a change of its attributes is judged by the server, not
/// by an open from before it, whether that has a handle still or its close waits.
#[test]
fn an_open_from_before_a_change_is_not_shared_after_it() {
    check("read, close | set attributes, open, close", 500, || {
        let host = sharing(2);
        let node = host.lookup("a").expect("served");
        let before = host.open(&node).expect("served");
        let reader = {
            let host = host.clone();
            thread::spawn(move || {
                host.read(before).expect("served");
                host.release(before);
            })
        };
        host.set_attributes(&node).expect("served");
        host.session_on(&node).expect("served");
        reader.join().expect("no panic");
        host.finish();
    });
}

/// rdbss.md 7.4: no more closes wait than the server allows, and each that had to give way is made.
#[test]
fn waiting_closes_keep_their_bound() {
    check("sessions on three files, one close may wait", 500, || {
        let host = sharing(1);
        let files = ["a", "b", "c"].map(|name| host.lookup(name).expect("served"));
        let clients = files.iter().flat_map(|node| clients_of(&host, node, 1)).collect();
        join_all(clients);
        assert_eq!((host.opens_on_the_server(), host.device.delayed_closes()), (1, 1));
        host.finish();
    });
}

/// Stop.md G1: what the core closes by itself, because the server said that the file changed, is
/// closed once, and beside no `MRxStop`.
#[test]
fn a_close_by_the_core_itself_against_a_stop() {
    check("a client that shares | the server sheds | stop", 500, || {
        let host = sharing(2);
        let node = host.lookup("a").expect("served");
        host.session_on(&node).expect("served");
        assert_eq!(host.device.delayed_closes(), 1);
        let clients = clients_of(&host, &node, 1);
        host.changed_behind_our_back(&node);
        assert!(host.stop().result.is_stopped());
        join_all(clients);
        host.finish();
    });
}

/// Stop.md S4: handles that share an open outlive a stop. Each is offered to the next generation or
/// closed in its own, and the open they shared is closed after both, not kept for the next.
#[test]
fn survivors_that_share_against_a_restart() {
    for count in [1, 2] {
        check("survivors that share: close each | start", 1000, move || {
            let host = sharing(2);
            let node = host.lookup("a").expect("served");
            let handles: Vec<HandleNumber> =
                (0..count).map(|_| host.open(&node).expect("served")).collect();
            assert_eq!(host.opens_on_the_server(), 1, "they share");
            assert_eq!(host.stop().result, CallResult::HasOpenHandles);
            let closers = handles.into_iter().map(|handle| {
                let host = host.clone();
                thread::spawn(move || host.release(handle))
            });
            let closers = closers.collect();
            assert_eq!(host.start().result, CallResult::Success);
            join_all(closers);
            host.finish();
        });
    }
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
