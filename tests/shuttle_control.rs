//! The whole device under shuttle: callers, the control thread, workers and applications, the code
//! that runs, in random and PCT schedules from a seed. Run with `--cfg shuttle` (docs/TESTING.md,
//! "Model checking").
#![cfg(shuttle)]

#[path = "checkers/shuttle.rs"]
mod checker;

use checker::{Host, Manners, check};
use minirdr::base::ids::{Caller, Generation, TicketNumber};
use minirdr::base::status::Status;
use minirdr::base::stop::{
    Answer as Called, CallKind, CallResult, Report, State, StopMode, StopOptions,
};
use minirdr::base::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread::{self, JoinHandle};
use std::sync::Arc;

/// Does this on another thread.
fn at_once<T: Send + 'static>(
    host: &Arc<Host>,
    what: impl FnOnce(&Host) -> T + Send + 'static,
) -> JoinHandle<T> {
    let host = host.clone();
    thread::spawn(move || what(&host))
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("no panic")
}

/// A call that was posted, and how it ended; none if it was answered at once.
type Posted = Option<(TicketNumber, CallKind, CallResult)>;

fn stop(host: &Host) -> Posted {
    let called = host.device.stop(Caller::default(), StopOptions::default());
    ended(host, CallKind::Stop, called.expect("it takes calls"))
}

fn start(host: &Host) -> Posted {
    let called = host.device.start(Caller::default());
    ended(host, CallKind::Start, called.expect("it takes calls"))
}

fn ended(host: &Host, kind: CallKind, called: Called<Report>) -> Posted {
    if let Called::Done(report) = called {
        let expected = match kind {
            CallKind::Stop => CallResult::AlreadyStopped,
            CallKind::Start => CallResult::AlreadyStarted,
        };
        assert_eq!(report.result, expected, "answered at once");
        return None;
    }
    let report = host.end_of(called);
    Some((report.ticket.expect("it was posted"), kind, report.result))
}

/// The results are those of the calls made one after the other in the order of their tickets: that
/// is what a queue promises. Returns whether the device serves in the end.
fn in_order(mut serves: bool, calls: impl IntoIterator<Item = Posted>) -> bool {
    let mut calls: Vec<_> = calls.into_iter().flatten().collect();
    calls.sort_by_key(|(ticket, ..)| *ticket);
    for (at, (_, kind, result)) in calls.iter().enumerate() {
        let expected = match (kind, serves) {
            (CallKind::Stop, true) => CallResult::Success,
            (CallKind::Stop, false) => CallResult::AlreadyStopped,
            (CallKind::Start, true) => CallResult::AlreadyStarted,
            (CallKind::Start, false) => CallResult::Success,
        };
        // A stop cancels a start that runs.
        let stopped_later = calls[at..].iter().any(|(_, kind, _)| *kind == CallKind::Stop);
        let survived = *result == CallResult::HasOpenHandles && expected == CallResult::Success;
        let cancelled =
            *kind == CallKind::Start && !serves && *result == CallResult::Failed && stopped_later;
        assert!(*result == expected || survived || cancelled, "call {at} of {calls:?}");
        serves = match kind {
            CallKind::Stop => false,
            CallKind::Start => !cancelled,
        };
    }
    serves
}

/// Stop.md G1, G2: applications at any moment of a stop are served or refused, never lost, and
/// MRxStop runs alone.
#[test]
fn g1_sessions_against_a_stop() {
    check("two sessions, stop", 500, || {
        let host = Host::started(Manners::default());
        let sessions = ["a", "b"].map(|name| at_once(&host, |host| host.session(name)));
        assert!(host.stop().result.is_stopped());
        for session in sessions {
            let refused = [Err(Status::RedirectorNotStarted), Ok(())];
            assert!(refused.contains(&join(session)));
        }
        host.finish();
    });
}

/// The same when requests are posted to the file system process: none is lost in its spin-down.
#[test]
fn c3_posted_sessions_against_a_stop() {
    check("two posted sessions, stop", 500, || {
        let host = Host::started(Manners { blocking: true, ..Manners::default() });
        let sessions = ["a", "b"].map(|name| at_once(&host, |host| host.session(name)));
        assert!(host.stop().result.is_stopped());
        for session in sessions {
            let refused = [Err(Status::RedirectorNotStarted), Ok(())];
            assert!(refused.contains(&join(session)));
        }
        host.finish();
    });
}

/// Stop.md C2: when a stop has been answered PENDING, nothing is admitted any more.
#[test]
fn c2_nothing_is_admitted_after_pending() {
    check("stop answered, request", 500, || {
        let host = Host::started(Manners::default());
        let told = Arc::new(AtomicBool::new(false));
        let late = told.clone();
        let request = at_once(&host, move |host| {
            let late = late.load(Ordering::SeqCst);
            (late, host.lookup("a").is_ok())
        });
        let called = host.device.stop(Caller::default(), StopOptions::default());
        told.store(true, Ordering::SeqCst);
        host.end_of(called.expect("it takes calls"));
        assert_ne!(join(request), (true, true), "admitted after the stop was answered");
        host.finish();
    });
}

/// Stop.md S8: of two stops at once one stops, and the other is told that it was stopped.
#[test]
fn s8_two_stops() {
    check("stop | stop", 500, || {
        let host = Host::started(Manners::default());
        let other = at_once(&host, stop);
        let calls = [stop(&host), join(other)];
        assert!(!in_order(true, calls));
        assert_eq!(host.world.stops.load(Ordering::SeqCst), 1);
        host.finish();
    });
}

/// Stop.md C2: a start that comes between a stop's flip and its post, or at any other moment, is
/// taken in its turn.
#[test]
fn c2_a_stop_and_a_start() {
    check("stop | start, session", 500, || {
        let host = Host::started(Manners::default());
        let (other, session) = (at_once(&host, start), at_once(&host, |host| host.session("a")));
        let calls = [stop(&host), join(other)];
        let session = join(session);
        assert!(matches!(
            session,
            Ok(()) | Err(Status::RedirectorNotStarted | Status::FileInvalid)
        ));
        assert_eq!(in_order(true, calls), host.serves());
        host.finish();
    });
}

/// Three callers: what gate.md §4.2 checked as a model of its own, on the code.
#[test]
fn s8_stop_start_stop() {
    check("stop, start | stop | start", 500, || {
        let host = Host::started(Manners::default());
        let (second, third) = (at_once(&host, stop), at_once(&host, start));
        let calls = [stop(&host), start(&host), join(second), join(third)];
        assert_eq!(in_order(true, calls), host.serves());
        host.finish();
    });
}

/// Stop.md §3: a stop cancels the start that runs.
#[test]
fn s8_a_stop_during_a_start() {
    check("start that waits | stop", 500, || {
        let host = Host::started(Manners { start_waits: true, ..Manners::default() });
        assert_eq!(host.stop().result, CallResult::Success);
        let other = at_once(&host, start);
        while host.device.state() != State::StartInProgress {
            thread::yield_now();
        }
        let calls = [stop(&host), join(other)];
        assert!(!in_order(false, calls));
        host.finish();
    });
}

/// A start that fails undoes itself, whatever is asked meanwhile.
#[test]
fn s8_a_start_that_fails() {
    check("failing start | stop", 500, || {
        let host = Host::new(Manners { start_fails: true, ..Manners::default() });
        let other = at_once(&host, start);
        let called = stop(&host);
        assert!(matches!(called, None | Some((_, _, CallResult::AlreadyStopped))));
        assert!(matches!(join(other), Some((_, _, CallResult::Failed))));
        host.finish();
    });
}

/// The end of the process against a stop: one that was taken is run to its end, one that was not is
/// told so. Nobody waits for a control thread that has gone home.
#[test]
fn c2_a_stop_against_the_end() {
    check("stop | shut_down", 500, || {
        let host = Host::started(Manners::default());
        let ending = at_once(&host, |host| host.device.shut_down());
        let called = host.device.stop(Caller::default(), StopOptions::default());
        let taken = called.is_ok();
        if let Ok(called) = called {
            assert_eq!(host.end_of(called).result, CallResult::Success);
        }
        join(ending);
        assert_eq!(host.serves(), !taken);
        host.world.nothing_wrong();
    });
}

/// Stop.md S2: a `resume` takes the stop back, or comes too late; the two never both win, and the
/// gate agrees.
#[test]
fn s2_a_resume_against_a_stop() {
    check("stop | resume, session", 500, || {
        let host = Host::started(Manners::default());
        let resumer = at_once(&host, |host| host.device.resume().expect("it takes calls"));
        let session = at_once(&host, |host| host.session("a"));
        let stopped = host.stop().result;
        let resumed = join(resumer);
        let session = join(session);
        assert!(matches!(session, Ok(()) | Err(Status::RedirectorNotStarted)));
        match stopped {
            CallResult::RolledBack => assert_eq!(resumed, CallResult::Success),
            CallResult::Success | CallResult::HasOpenHandles => {}
            other => panic!("the stop ended with {other:?}"),
        }
        assert_eq!(host.serves(), stopped == CallResult::RolledBack);
        assert_eq!(host.serves(), host.lookup("a").is_ok());
        host.finish();
    });
}

/// The same with a request inside that ends only when it is cancelled, and a second stop.
#[test]
fn s2_a_resume_against_two_stops() {
    check("stop | stop | resume, a request that waits", 500, || {
        let host = Host::started(Manners { reads_wait: true, ..Manners::default() });
        let handle = host.open(&host.lookup("a").expect("served")).expect("served");
        let reader = at_once(&host, move |host| host.read(handle));
        let other = at_once(&host, stop);
        let resumer = at_once(&host, |host| host.device.resume().expect("it takes calls"));
        let calls = [stop(&host), join(other)];
        let resumed = join(resumer);
        let results: Vec<CallResult> = calls.iter().flatten().map(|call| call.2).collect();
        let taken_back = results.contains(&CallResult::RolledBack);
        assert!(!taken_back || resumed == CallResult::Success, "{results:?}");
        let stopped = results.contains(&CallResult::HasOpenHandles);
        assert_eq!(host.serves(), !stopped, "{results:?}");
        if host.serves() {
            assert_eq!(host.stop().result, CallResult::HasOpenHandles);
        }
        let read = join(reader);
        assert!(matches!(read, Err(Status::Cancelled | Status::RedirectorNotStarted)), "{read:?}");
        host.release(handle);
        host.finish();
    });
}

/// A `resume` takes back every stop that was posted before it, the running one and those that wait,
/// or it takes back none.
#[test]
fn s2_a_resume_takes_back_what_was_posted() {
    check("stop, stop, resume, a request that waits", 500, || {
        let host = Host::started(Manners { reads_wait: true, ..Manners::default() });
        let handle = host.open(&host.lookup("a").expect("served")).expect("served");
        let reader = at_once(&host, move |host| host.read(handle));
        let stop = || host.device.stop(Caller::default(), StopOptions::default());
        let calls = [stop().expect("it takes calls"), stop().expect("it takes calls")];
        let resumed = host.device.resume().expect("it takes calls");
        let results = calls.map(|called| host.end_of(called).result);
        match resumed {
            CallResult::Success => assert_eq!(results, [CallResult::RolledBack; 2]),
            _ => assert_eq!(results, [CallResult::HasOpenHandles, CallResult::AlreadyStopped]),
        }
        assert_eq!(host.serves(), resumed == CallResult::Success);
        if host.serves() {
            assert_eq!(host.stop().result, CallResult::HasOpenHandles);
        }
        let read = join(reader);
        assert!(matches!(read, Err(Status::Cancelled | Status::RedirectorNotStarted)), "{read:?}");
        host.release(handle);
        host.finish();
    });
}

/// Stop.md §4 step 3: a request that ends only when it is cancelled does not hold the stop up,
/// however late it says that it can be cancelled.
#[test]
fn the_drain_cancels_a_request_that_waits() {
    check("read that waits, stop", 500, || {
        let host = Host::started(Manners { reads_wait: true, ..Manners::default() });
        let handle = host.open(&host.lookup("a").expect("served")).expect("served");
        let reader = at_once(&host, move |host| host.read(handle));
        assert_eq!(host.stop().result, CallResult::HasOpenHandles);
        let read = join(reader);
        assert!(matches!(read, Err(Status::Cancelled | Status::RedirectorNotStarted)), "{read:?}");
        host.release(handle);
        host.finish();
    });
}

/// Stop.md S3, S8: a close that arrives at any step of a stop reaches its server once, beside no
/// MRxStop.
#[test]
fn s8_closes_at_any_step_of_a_stop() {
    for blocking in [false, true] {
        check("two closes, stop", 500, move || {
            let host = Host::started(Manners { blocking, ..Manners::default() });
            let handles = ["a", "b"]
                .map(|name| host.open(&host.lookup(name).expect("served")).expect("served"));
            let closers = handles.map(|handle| at_once(&host, move |host| host.release(handle)));
            let report = host.stop();
            let survived = report.survivors_total > 0;
            let expected = if survived { CallResult::HasOpenHandles } else { CallResult::Success };
            assert_eq!(report.result, expected);
            for closer in closers {
                join(closer);
            }
            host.finish();
        });
    }
}

/// Stop.md S4: a survivor's close against the start that offers it to the next generation: each
/// server's open is closed once, and the survivors are counted to zero.
#[test]
fn s4_a_close_against_a_reclaim() {
    check("survivor: close | start", 500, || {
        let host = Host::started(Manners::default());
        let handle = host.open(&host.lookup("a").expect("served")).expect("served");
        assert_eq!(host.stop().result, CallResult::HasOpenHandles);
        let closer = at_once(&host, move |host| host.release(handle));
        assert_eq!(host.start().result, CallResult::Success);
        join(closer);
        assert_eq!(host.device.status().generation, Generation(2));
        host.finish();
    });
}

/// A device that is taken off the books while it is started: one of the two is refused.
#[test]
fn unregister_against_a_start() {
    check("unregister | start", 500, || {
        let host = Host::new(Manners::default());
        let other = at_once(&host, |host| {
            host.device.start(Caller::default()).map(|called| host.end_of(called).result)
        });
        let gone = host.unregister();
        match join(other) {
            Ok(result) => {
                assert_eq!(result, CallResult::Success);
                assert!(!gone || !host.serves(), "it serves and is gone");
            }
            Err(_) => assert!(gone, "refused, and nobody took it off"),
        }
        if !gone {
            host.finish();
        }
    });
}

/// The same with the next stop on its heels: the handle is a survivor of one generation or of the
/// other, and its close reaches the one it belongs to.
#[test]
fn s4_a_close_against_a_restart() {
    check("survivor: close | start, stop", 500, || {
        let host = Host::started(Manners::default());
        let handle = host.open(&host.lookup("a").expect("served")).expect("served");
        assert_eq!(host.stop().result, CallResult::HasOpenHandles);
        let closer = at_once(&host, move |host| host.release(handle));
        assert_eq!(host.start().result, CallResult::Success);
        assert!(host.stop().result.is_stopped());
        join(closer);
        host.finish();
    });
}

/// Stop.md §3: a later, harder stop tightens the one that runs, and that one hears of it in its
/// sleep: nothing else would end the request it waits for.
#[test]
fn s8_a_harder_stop_wakes_the_one_that_runs() {
    check("read that polls, stop | stop --cancel", 200, || {
        let host = Host::started(Manners { reads_poll: true, ..Manners::default() });
        let handle = host.open(&host.lookup("a").expect("served")).expect("served");
        let reader = at_once(&host, move |host| host.read(handle));
        let other = at_once(&host, |host| {
            let options = StopOptions { mode: StopMode::Cancel, ..StopOptions::default() };
            let called = host.device.stop(Caller::default(), options);
            ended(host, CallKind::Stop, called.expect("it takes calls"))
        });
        let calls = [stop(&host), join(other)];
        assert!(!in_order(true, calls));
        let read = join(reader);
        assert!(matches!(read, Err(Status::Cancelled | Status::RedirectorNotStarted)), "{read:?}");
        host.release(handle);
        host.finish();
    });
}

/// A request that was let in and is not in the table yet when a stop cancels what is there: the
/// stop is woken and looks again.
#[test]
fn a_request_on_its_way_into_the_table_is_cancelled() {
    check("read that polls | stop --cancel", 500, || {
        let host = Host::started(Manners { reads_poll: true, ..Manners::default() });
        let handle = host.open(&host.lookup("a").expect("served")).expect("served");
        let reader = at_once(&host, move |host| host.read(handle));
        let options = StopOptions { mode: StopMode::Cancel, ..StopOptions::default() };
        let called = host.device.stop(Caller::default(), options).expect("it takes calls");
        assert_eq!(host.end_of(called).result, CallResult::HasOpenHandles);
        let read = join(reader);
        assert!(matches!(read, Err(Status::Cancelled | Status::RedirectorNotStarted)), "{read:?}");
        host.release(handle);
        host.finish();
    });
}

/// A stop with a grace ends with the last close, whenever that comes; no time passes here that
/// could end it otherwise.
#[test]
fn a_grace_ends_with_the_last_close() {
    check("stop with a grace | close, session", 500, || {
        let host = Host::started(Manners::default());
        let handle = host.open(&host.lookup("a").expect("served")).expect("served");
        let closer = at_once(&host, move |host| host.release(handle));
        let session = at_once(&host, |host| host.session("b"));
        let options = StopOptions { grace_s: Some(60.0), ..StopOptions::default() };
        let called = host.device.stop(Caller::default(), options).expect("it takes calls");
        assert!(host.end_of(called).result.is_stopped());
        join(closer);
        let session = join(session);
        let refused = [Status::RedirectorPaused, Status::RedirectorNotStarted];
        assert!(session.is_ok() || session.is_err_and(|status| refused.contains(&status)));
        host.finish();
    });
}

/// A pause, its end and a stop at once: the gate is what the machine says, and a pause that is not
/// the stop's own does not keep it.
#[test]
fn a_pause_and_a_resume_against_a_stop() {
    check("pause, resume | stop", 500, || {
        let host = Host::started(Manners::default());
        let pauser = at_once(&host, |host| {
            let paused = host.device.pause().expect("it takes calls");
            (paused, host.device.resume().expect("it takes calls"))
        });
        let stopped = host.stop().result;
        let (paused, resumed) = join(pauser);
        let known = [CallResult::Success, CallResult::AlreadyStopped];
        assert!(known.contains(&paused) && known.contains(&resumed));
        match stopped {
            CallResult::Success => assert!(!host.serves()),
            CallResult::RolledBack => assert!(host.serves() && resumed == CallResult::Success),
            other => panic!("the stop ended with {other:?}"),
        }
        host.finish();
    });
}

/// Stop.md S1: a stop that abandons what runs answers each caller once and gives each pass back
/// once, though the callouts end at any moment by themselves.
#[test]
fn s1_an_abort_against_requests_that_end() {
    check("two reads | stop --abort", 500, || {
        let host = Host::started(Manners { abandoned: true, ..Manners::default() });
        let handle = host.open(&host.lookup("a").expect("served")).expect("served");
        let readers = [0, 1].map(|_| at_once(&host, move |host| host.read(handle)));
        let options = StopOptions { mode: StopMode::Abort, ..StopOptions::default() };
        let called = host.device.stop(Caller::default(), options).expect("it takes calls");
        let report = host.end_of(called);
        assert_eq!(report.result, CallResult::HasOpenHandles);
        let let_go =
            readers.map(join).into_iter().filter(|read| *read == Err(Status::IoTimeout)).count()
                as u64;
        assert_eq!(report.abandoned, let_go);
        host.release(handle);
        host.finish();
    });
}
