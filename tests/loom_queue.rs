//! The queue of posted requests, the tickets, and the closes put off, under loom. Run with
//! `--cfg loom` (docs/TESTING.md, "Model checking").
#![cfg(loom)]

#[path = "checkers/loom.rs"]
mod checker;
#[path = "checkers/report.rs"]
mod report;

use checker::{FOREVER, check};
use loom::thread;
use minirdr::base::queue::{Class, ClassQueue, Rejected, Taken};
use minirdr::base::stop::CallResult;
use minirdr::base::sync::atomic::{AtomicUsize, Ordering};
use minirdr::rdbss::survivors::DeferredCloses;
use minirdr::rdbss::ticket::{TicketState, Tickets};
use report::report;
use std::sync::Arc;
use std::time::Duration;

fn take(queue: &ClassQueue<u32>) -> Option<u32> {
    match queue.pop(FOREVER) {
        Taken::Job(job) => Some(job),
        Taken::Closed => None,
        Taken::Timeout => panic!("no time passes under a checker"),
    }
}

/// Stop.md C3: a worker asleep, or about to sleep, hears of a job.
#[test]
fn c3_a_push_wakes_a_worker() {
    check("queue: push, pop", || {
        let queue = Arc::new(ClassQueue::new(4, 4));
        let worker = {
            let queue = queue.clone();
            thread::spawn(move || take(&queue))
        };
        queue.push(Class::Critical, 1, 7).expect("room");
        assert_eq!(worker.join().expect("no panic"), Some(7));
        assert!(queue.is_empty());
    });
}

/// Two jobs wake two workers: neither job waits for the other's worker to come back.
#[test]
fn c3_two_pushes_wake_two_workers() {
    check("queue: two pushes, two workers", || {
        let queue = Arc::new(ClassQueue::new(4, 4));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || take(&queue))
            })
            .collect();
        queue.push(Class::Critical, 1, 1).expect("room");
        queue.push(Class::Delayed, 1, 2).expect("room");
        let taken: Option<u32> =
            workers.into_iter().map(|worker| worker.join().expect("no panic")).sum();
        assert_eq!(taken, Some(3));
    });
}

/// A job pushed while the queue closes is handed out or handed back, and every worker goes home.
#[test]
fn c3_a_close_loses_no_job() {
    check("queue: push, close, two workers", || {
        let queue = Arc::new(ClassQueue::new(4, 4));
        let taken = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, taken) = (queue.clone(), taken.clone());
                thread::spawn(move || {
                    while take(&queue).is_some() {
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let poster = {
            let queue = queue.clone();
            thread::spawn(move || match queue.push(Class::Critical, 1, 1) {
                Ok(()) => 0,
                Err(Rejected::Closed(1)) => 1,
                Err(other) => panic!("handed back {other:?}"),
            })
        };
        queue.close();
        let handed_back = poster.join().expect("no panic");
        for worker in workers {
            worker.join().expect("no panic");
        }
        assert_eq!(taken.load(Ordering::Relaxed) + handed_back, 1);
        assert!(queue.is_empty());
    });
}

/// Jobs and bytes never exceed their bounds, whoever pushes at once; a job taken makes room.
#[test]
fn c3_the_bounds_hold() {
    room_for_one(1, 4);
    room_for_one(4, 3);
}

/// Two jobs of two bytes each, and room for one of them.
fn room_for_one(jobs_max: usize, bytes_max: usize) {
    check("queue: two pushes into room for one, pop", move || {
        let queue = Arc::new(ClassQueue::new(jobs_max, bytes_max));
        let posters: Vec<_> = [1, 2]
            .map(|job| {
                let queue = queue.clone();
                thread::spawn(move || match queue.push(Class::Critical, 2, job) {
                    Ok(()) => 0,
                    Err(Rejected::Full(back)) => {
                        assert_eq!(back, job);
                        back
                    }
                    Err(Rejected::Closed(_)) => panic!("nobody closes it"),
                })
            })
            .into();
        assert!(queue.len() <= 1);
        let early = take(&queue).expect("one of them had room");
        let back: u32 = posters.into_iter().map(|poster| poster.join().expect("no panic")).sum();
        let late = match queue.pop(Duration::ZERO) {
            Taken::Job(job) => job,
            Taken::Timeout => 0,
            Taken::Closed => panic!("nobody closes it"),
        };
        assert_eq!(early + back + late, 3, "taken {early} and {late}, handed back {back}");
        queue.push(Class::Critical, bytes_max, 9).expect("all the bytes are free again");
    });
}

/// Exactly one result a ticket, and whoever waits for it is released with that one.
#[test]
fn one_result_a_ticket() {
    check("ticket: two results, one waiter", || {
        let tickets = Arc::new(Tickets::default());
        let ticket = tickets.issue();
        let ends: Vec<_> = [CallResult::Success, CallResult::RolledBack]
            .map(|result| {
                let tickets = tickets.clone();
                thread::spawn(move || {
                    tickets.resolve(ticket, report(result)).is_ok().then_some(result)
                })
            })
            .into();
        let heard = loop {
            match tickets.wait(ticket, FOREVER) {
                TicketState::Ended(report) => break report.result,
                TicketState::Open => {}
                TicketState::Unknown => panic!("a ticket that was issued is known"),
            }
        };
        let given: Vec<CallResult> =
            ends.into_iter().filter_map(|end| end.join().expect("no panic")).collect();
        assert_eq!(given, [heard]);
        assert_eq!(tickets.open(), 0);
    });
}

/// Two waiters of one ticket are both released.
#[test]
fn every_waiter_is_released() {
    check("ticket: one result, two waiters", || {
        let tickets = Arc::new(Tickets::default());
        let ticket = tickets.issue();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let tickets = tickets.clone();
                thread::spawn(move || {
                    while tickets.wait(ticket, FOREVER) == TicketState::Open {}
                    assert!(matches!(tickets.state(ticket), TicketState::Ended(_)));
                })
            })
            .collect();
        assert!(tickets.resolve(ticket, report(CallResult::Success)).is_ok());
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
    });
}

/// Stop.md S3: closes that arrive while what was put off is run are run themselves, each once.
#[test]
fn s3_a_close_put_off_is_run_once() {
    check("deferred: two closes, the run", || {
        let deferred = Arc::new(DeferredCloses::default());
        let runs = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        deferred.begin();
        let closers: Vec<_> = runs
            .iter()
            .cloned()
            .map(|runs| {
                let deferred = deferred.clone();
                thread::spawn(move || {
                    let close = move || {
                        runs.fetch_add(1, Ordering::Relaxed);
                    };
                    if let Some(close) = deferred.put_off(Box::new(close)) {
                        close();
                    }
                })
            })
            .collect();
        if !deferred.end_if_none() {
            deferred.run_all();
        }
        for closer in closers {
            closer.join().expect("no panic");
        }
        assert_eq!(runs.map(|runs| runs.load(Ordering::Relaxed)), [1, 1]);
        assert!(deferred.end_if_none(), "something was left behind");
    });
}
