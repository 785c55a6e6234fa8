//! The surprises of gate.md §4.3, each by its number: what looked right and was not. The twelfth, a
//! process that uses the mount it serves, is `tests/shell/cases/bad-input/inside-itself.sh`.

use crate::common::null::{Hold, Null, NullRedirector};
use crate::common::{Host, LIMIT, wait_until};
use crate::held::{Held, Step};
use minirdr::base::ids::{Generation, HandleNumber};
use minirdr::base::limits::FSP_WORKERS_MAX;
use minirdr::base::status::Status;
use minirdr::base::stop::{Answer as Called, CallResult, Notice, State, StopOptions};
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::operation::{Answer, Operation};
use minirdr::rdbss::register::{DeviceOptions, SurvivorPolicy};
use minirdr::rdbss::ticket::TicketState;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn host(null: &Arc<Null>, options: DeviceOptions) -> Host {
    let null = null.clone();
    let host = Host::new(Box::new(move || Arc::new(NullRedirector(null.clone()))), options);
    host.start();
    host
}

fn opened(host: &Host, name: &str) -> HandleNumber {
    let file = host.lookup(&host.root(), name).expect("every name exists");
    host.open(&file, Access::ReadWrite).expect("opens")
}

fn read(handle: HandleNumber) -> Operation<'static> {
    Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() }
}

/// Holds the control thread where it tells that a start or stop has ended.
struct HeldLane {
    reached: std::sync::mpsc::Receiver<()>,
    go_on: std::sync::mpsc::Sender<()>,
}

impl HeldLane {
    fn of(host: &Host) -> Self {
        let ((sender, reached), (go_on, may_go_on)) = (channel(), channel());
        let once = Mutex::new(Some((sender, may_go_on)));
        let hook = Box::new(move |notice: &Notice| {
            let over = matches!(notice, Notice::Started { .. } | Notice::Stopped { .. });
            let held = over.then(|| once.lock().expect("not poisoned").take()).flatten();
            if let Some((reached, go_on)) = held {
                reached.send(()).expect("the test listens");
                let _ = go_on.recv_timeout(LIMIT);
            }
        });
        assert!(host.notices.hook.set(hook).is_ok());
        Self { reached, go_on }
    }
}

/// 1: a stop that flips early overtakes a start that was queued before it. That start is told that
/// it was started: the stop behind it is the later word.
#[test]
fn surprise_1_a_stop_overtakes_a_start() {
    let host = host(&Null::inline(), DeviceOptions::default());
    let lane = HeldLane::of(&host);
    let stop = host.post_stop(StopOptions::default());
    lane.reached.recv_timeout(LIMIT).expect("the first stop ends");
    // Behind it, in this order: the first start makes it run, the second is overtaken.
    let Ok(Called::Posted(first)) = host.device.start(host.caller) else { panic!("posted") };
    let Ok(Called::Posted(second)) = host.device.start(host.caller) else { panic!("posted") };
    let device = host.device.clone();
    let (caller, options) = (host.caller, StopOptions::default());
    lane.go_on.send(()).expect("the lane waits");
    // Flips as soon as the first start has ended, while the second may still be queued.
    wait_until("it runs again", || device.state() == State::Started);
    let last = device.stop(caller, options).expect("taken");
    assert_eq!(host.wait(stop).result, CallResult::Success);
    assert_eq!(host.wait(first).result, CallResult::Success);
    assert_eq!(host.wait(second).result, CallResult::AlreadyStarted);
    assert_eq!(host.report(last).result, CallResult::Success);
    assert_eq!(host.device.state(), State::Startable);
}

/// 2: flip and post are one critical section. Were they two, a start could slip between, be popped
/// in Draining, and leave the device there for ever.
#[test]
fn surprise_2_no_start_slips_between_flip_and_post() {
    let host = host(&Null::inline(), DeviceOptions::default());
    for _ in 0..300 {
        let (stop, start) = std::thread::scope(|scope| {
            let stop = scope.spawn(|| host.device.stop(host.caller, StopOptions::default()));
            let start = scope.spawn(|| host.device.start(host.caller));
            (stop.join().expect("no panic"), start.join().expect("no panic"))
        });
        let (stopped, started) =
            (host.report(stop.expect("taken")).result, host.report(start.expect("taken")).result);
        let state = host.device.state();
        match (stopped, started) {
            (CallResult::Success, CallResult::AlreadyStarted) => {
                assert_eq!(state, State::Startable);
                assert_eq!(host.start().result, CallResult::Success);
            }
            (CallResult::Success, CallResult::Success) => assert_eq!(state, State::Started),
            other => panic!("{other:?} in {state:?}"),
        }
    }
}

/// 3: nothing new passes from the moment the stop is answered, however long the control thread
/// takes to come to it.
#[test]
fn surprise_3_the_flip_does_not_wait_for_the_lane() {
    let host = host(&Null::inline(), DeviceOptions::default());
    assert_eq!(host.stop().result, CallResult::Success);
    let lane = HeldLane::of(&host);
    let Ok(Called::Posted(start)) = host.device.start(host.caller) else { panic!("posted") };
    lane.reached.recv_timeout(LIMIT).expect("it has started, and is about to say so");
    let handle = opened(&host, "f");
    let ticket = host.post_stop(StopOptions::default());
    let refused = Some(Status::RedirectorNotStarted);
    assert_eq!(host.read(handle, 0, 1).err(), refused);
    assert_eq!(host.lookup(&host.root(), "f").err(), refused);
    assert_eq!(host.device.wait_ticket(ticket, Duration::ZERO), TicketState::Open);
    lane.go_on.send(()).expect("the lane waits");
    assert_eq!(host.wait(start).result, CallResult::Success);
    assert_eq!(host.wait(ticket).result, CallResult::HasOpenHandles);
    host.release(handle).expect("a survivor closes");
}

/// 4: the drain waits for requests that are queued behind others: the thread that drains is none of
/// those that run them.
#[test]
fn surprise_4_the_lane_runs_no_requests() {
    let null = Null::posted();
    let host = host(&null, DeviceOptions::default());
    let handle = opened(&host, "f");
    null.hold("read", Hold::Stubbornly);
    let reads: Vec<_> = (0..3 * FSP_WORKERS_MAX).map(|_| host.submit(read(handle))).collect();
    wait_until("every worker is inside", || null.inside("read") == FSP_WORKERS_MAX);
    let ticket = host.post_stop(StopOptions::default());
    wait_until("it drains", || host.device.status().running.is_some_and(|it| it.step == "drain"));
    null.release();
    for read in reads {
        assert!(matches!(read.recv_timeout(LIMIT), Ok(Ok(Answer::Data(_)))), "none is lost");
    }
    assert_eq!(host.wait(ticket).drained, 3 * FSP_WORKERS_MAX as u64);
    host.release(handle).expect("a survivor closes");
}

/// 5: who asks for a stop from inside a request does not wait for itself: the call is posted, and
/// counts for nothing.
#[test]
fn surprise_5_a_stop_does_not_count_itself() {
    let null = Null::posted();
    let host = host(&null, DeviceOptions::default());
    let handle = opened(&host, "f");
    null.hold("read", Hold::Stubbornly);
    let pending = host.submit(read(handle));
    wait_until("it is inside", || null.inside("read") == 1);
    let before = host.device.status().requests_in_flight;
    // As the control file's ioctl does, on a thread that serves the kernel.
    let called = host.device.stop(host.caller, StopOptions::default()).expect("taken");
    assert_eq!(host.device.status().requests_in_flight, before, "a call is no request");
    null.release();
    assert!(pending.recv_timeout(LIMIT).is_ok());
    assert_eq!(host.report(called).result, CallResult::HasOpenHandles);
    host.release(handle).expect("a survivor closes");
}

/// 6: the table is never cleared and numbers are never used again: an old read or close does not
/// hit a new handle.
#[test]
fn surprise_6_numbers_are_never_used_again() {
    let options = DeviceOptions { survivors: SurvivorPolicy::Stale, ..DeviceOptions::default() };
    let host = host(&Null::inline(), options);
    let mut used = BTreeSet::new();
    let mut fresh = |host: &Host| {
        let handle = opened(host, "f");
        assert!(used.insert(handle.0), "{handle} was somebody else's");
        handle
    };
    for _ in 0..20 {
        let (old, closed) = (fresh(&host), fresh(&host));
        host.release(closed).expect("closes");
        assert_eq!(host.stop().result, CallResult::HasOpenHandles);
        host.start();
        let new = fresh(&host);
        assert_eq!(host.read(old, 0, 1).err(), Some(Status::FileInvalid), "stale");
        assert_eq!(host.release(closed).err(), Some(Status::InvalidHandle), "closed before");
        host.release(old).expect("its own close");
        assert!(host.read(new, 0, 1).is_ok(), "the new one is untouched");
        host.release(new).expect("closes");
    }
}

/// 7: cleanup and close pass while it is stopped, or handles would never go.
#[test]
fn surprise_7_a_stopped_device_closes() {
    let host = host(&Null::inline(), DeviceOptions::default());
    let handles: Vec<HandleNumber> = ["f", "g", "h"].map(|name| opened(&host, name)).into();
    assert_eq!(host.stop().survivors_total, 3);
    for handle in handles {
        assert!(host.call(Operation::Flush { handle }).is_ok());
        host.release(handle).expect("a survivor closes");
    }
    let status = host.device.status();
    assert_eq!((status.open_handles, status.survivors), (0, 0));
}

/// 8: an endless supply of closes neither starves a stop nor runs beside `MRxStop`: sealing.
#[test]
fn surprise_8_a_storm_of_closes_does_not_starve_a_stop() {
    let null = Null::inline();
    let host = host(&null, DeviceOptions::default());
    let handle = opened(&host, "f");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            // `dup; close` for ever: a FLUSH each, and something to commit.
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let data = vec![1; 8].into();
                    let (write_back, kill_privileges, offset) = (true, false, 0);
                    let write =
                        Operation::Write { handle, offset, data, write_back, kill_privileges };
                    assert!(host.call(write).is_ok(), "never refused");
                    assert!(host.call(Operation::Flush { handle }).is_ok(), "never refused");
                }
            });
        }
        null.hold("stop", Hold::Stubbornly);
        let ticket = host.post_stop(StopOptions::default());
        wait_until("MRxStop runs, and alone", || null.inside("stop") == 1);
        let during = null.calls().len();
        // What was under way has ended: that is what sealing waits for.
        std::thread::park_timeout(Duration::from_millis(20));
        assert_eq!(null.calls().len(), during, "nothing beside MRxStop");
        null.release();
        assert_eq!(host.wait(ticket).result, CallResult::HasOpenHandles);
        over.store(true, Ordering::Relaxed);
    });
    host.release(handle).expect("a survivor closes");
}

/// 9: what a stop waits for has a name: operation, path, age and caller.
#[test]
fn surprise_9_what_holds_a_stop_up_is_named() {
    let null = Null::posted();
    let host = host(&null, DeviceOptions::default());
    let handle = opened(&host, "f");
    null.hold("read", Hold::Stubbornly);
    let pending = host.submit(read(handle));
    wait_until("it is inside", || null.inside("read") == 1);
    let ticket = host.post_stop(StopOptions::default());
    wait_until("the open has left", || host.device.requests().len() == 1);
    let named = host.device.requests();
    assert_eq!((named[0].operation.as_str(), named[0].path.as_slice()), ("read", &b"f"[..]));
    assert_eq!((named[0].caller, named[0].cancellable), (host.caller, false));
    wait_until("it gets older", || host.device.requests()[0].age_s > named[0].age_s);
    null.release();
    assert!(pending.recv_timeout(LIMIT).is_ok());
    assert!(host.wait(ticket).result.is_stopped());
    host.release(handle).expect("a survivor closes");
}

/// 10: of two stops one wins. One posted behind a start stops the generation that start makes.
#[test]
fn surprise_10_a_stop_behind_a_start_stops_the_next_generation() {
    let null = Null::inline();
    let host = host(&null, DeviceOptions::default());
    let lane = HeldLane::of(&host);
    let first = host.post_stop(StopOptions::default());
    lane.reached.recv_timeout(LIMIT).expect("the first stop ends");
    let Ok(Called::Posted(start)) = host.device.start(host.caller) else { panic!("posted") };
    let second = host.post_stop(StopOptions::default());
    lane.go_on.send(()).expect("the lane waits");
    let reports = [first, start, second].map(|ticket| host.wait(ticket));
    assert_eq!(reports.each_ref().map(|report| report.result), [CallResult::Success; 3]);
    let generations = reports.map(|report| report.generation);
    assert_eq!(generations, [Generation(1), Generation(2), Generation(2)]);
    assert_eq!(null.calls().iter().filter(|call| **call == "stop").count(), 2);
}

/// 11: close(2) does not wait for RELEASE: one that is on its way when `MRxStop` returns is waited
/// for, and is no survivor.
#[test]
fn surprise_11_a_release_on_its_way_is_no_survivor() {
    for (grace, survivors) in [(Duration::from_secs(20), 0), (Duration::ZERO, 1)] {
        let options = DeviceOptions { release_grace: grace, ..DeviceOptions::default() };
        let host = host(&Null::inline(), options);
        let handle = opened(&host, "f");
        let ticket = host.post_stop(StopOptions::default());
        if survivors == 0 {
            let counts =
                || host.device.status().running.map(|it| it.step) == Some("count_survivors");
            wait_until("it is about to count", counts);
            host.release(handle).expect("closes");
        }
        let report = host.wait(ticket);
        assert_eq!(report.survivors_total, survivors);
        if survivors == 1 {
            host.release(handle).expect("a survivor closes");
        }
    }
}

/// 13: "cannot be stopped at this time" and "in either case Startable": the stop happens, and the
/// code is a report.
#[test]
fn surprise_13_open_handles_do_not_keep_it_up() {
    let held = Held::in_step(Step::Stopped);
    assert_eq!(held.host.device.state(), State::Startable);
    held.let_go();
    assert_eq!(held.host.wait(held.ticket).result, CallResult::HasOpenHandles);
    assert_eq!(held.host.device.state(), State::Startable);
    held.close_all();
}
