//! What arrives in the middle of each step of a stop: a close, a second stop, a start, a resume.

use crate::common::LIMIT;
use crate::held::{Held, Step};
use minirdr::base::ids::Generation;
use minirdr::base::stop::{Answer as Called, CallResult, State, StopOptions};
use minirdr::rdbss::operation::Operation;
use minirdr::rdbss::ticket::TicketState;
use std::collections::BTreeSet;
use std::time::Duration;

/// Handles that are open at the end: a grace is ended by closing all; where the victim was closed
/// in time, one.
fn open_at_the_end(step: Step) -> u64 {
    match step {
        Step::Grace => 0,
        step => 2 - u64::from(step.is_before_the_count()),
    }
}

/// S8: a close that arrives at any step succeeds, is never run beside `MRxStop`, and is counted
/// where it belongs.
#[test]
fn s8_a_close_at_any_step() {
    let mut seen = BTreeSet::new();
    for step in Step::ALL {
        let held = Held::in_step(step);
        let close = held.host.submit(Operation::Release { handle: held.victim });
        let sealed = held.host.device.state() == State::Sealing;
        if !sealed {
            assert!(close.recv_timeout(LIMIT).is_ok_and(|closed| closed.is_ok()), "{step:?}");
        } else if step < Step::CountSurvivors {
            let early = close.recv_timeout(Duration::from_millis(20));
            assert!(early.is_err(), "{step:?}: put off until MRxStop has returned");
        }
        held.let_go();
        let report = held.host.wait(held.ticket);
        if sealed {
            assert!(close.recv_timeout(LIMIT).is_ok_and(|closed| closed.is_ok()), "{step:?}");
        }
        assert!(report.result.is_stopped(), "{step:?}: {report:?}");
        assert_eq!(report.survivors_total, open_at_the_end(step), "{step:?}");
        let calls = held.null.calls();
        // The last close: one that waited for another open is made before `MRxStop`.
        let at = |call| calls.iter().rposition(|made| *made == call);
        let (closed, stopped) = (at("close"), at("stop"));
        assert_eq!(calls.iter().filter(|call| **call == "stop").count(), 1, "{step:?}");
        if sealed {
            assert!(closed > stopped, "{step:?}: {calls:?}");
        }
        seen.extend(report.steps.into_iter().map(|step| step.step));
        held.close_all();
    }
    let held: BTreeSet<String> =
        Step::ALL.into_iter().filter_map(Step::word).map(str::to_owned).collect();
    assert_eq!(seen, held, "every step there is was held");
}

/// S8: a second stop at any step is told that it was stopped, and nothing is stopped twice.
#[test]
fn s8_a_stop_at_any_step() {
    for step in Step::ALL {
        let held = Held::in_step(step);
        let second = held.host.device.stop(held.host.caller, StopOptions::default());
        // It tightens the grace of the first away: nobody has to close anything.
        held.let_go();
        let first = held.host.wait(held.ticket);
        assert!(first.result.is_stopped(), "{step:?}: {first:?}");
        let second = held.host.report(second.expect("taken"));
        assert_eq!(second.result, CallResult::AlreadyStopped, "{step:?}");
        let stops = held.null.calls().iter().filter(|call| **call == "stop").count();
        assert_eq!(stops, 1, "{step:?}: one MRxStop");
        held.close_all();
    }
}

/// S8: a start at any step is never run inline, and makes the next generation when the stop is
/// over.
#[test]
fn s8_a_start_at_any_step() {
    for step in Step::ALL {
        let held = Held::in_step(step);
        let Ok(Called::Posted(start)) = held.host.device.start(held.host.caller) else {
            panic!("{step:?}: a start during a stop is posted")
        };
        let early = held.host.device.wait_ticket(start, Duration::from_millis(10));
        assert_eq!(early, TicketState::Open, "{step:?}");
        held.let_go();
        assert!(held.host.wait(held.ticket).result.is_stopped(), "{step:?}");
        let report = held.host.wait(start);
        let expected = (CallResult::Success, Generation(2));
        assert_eq!((report.result, report.generation), expected, "{step:?}");
        assert_eq!(held.host.device.state(), State::Started);
        held.close_all();
    }
}

/// S2, S8: a resume takes a stop back in every step up to the sealing, and is told that it came too
/// late in every step after.
#[test]
fn s2_s8_a_resume_at_any_step() {
    for step in Step::ALL {
        let held = Held::in_step(step);
        let resumed = held.host.device.resume().expect("taken");
        held.let_go();
        let report = held.host.wait(held.ticket);
        if step.can_be_taken_back() {
            let results = (resumed, report.result);
            assert_eq!(results, (CallResult::Success, CallResult::RolledBack), "{step:?}");
            assert_eq!(held.host.device.state(), State::Started, "{step:?}");
            assert!(held.host.lookup(&held.host.root(), "other").is_ok(), "nothing is refused");
            assert!(!held.null.calls().contains(&"stop"), "{step:?}");
        } else {
            let late =
                if step == Step::Called { CallResult::Success } else { CallResult::AlreadyStopped };
            assert_eq!(resumed, late, "{step:?}");
            assert!(report.result.is_stopped(), "{step:?}: {report:?}");
            assert_eq!(held.host.device.state(), State::Startable, "{step:?}");
        }
        held.close_all();
    }
}
