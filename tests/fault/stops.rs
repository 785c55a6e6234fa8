//! A stop while each callout misbehaves: called by a request, or by the stop itself.

use crate::check::{
    DEADLINE, FAULTS, GRACE, OUTCOMES, by_deadline, each, in_time, nothing_is_left, works_again,
};
use crate::common::wait_until;
use crate::scene::{Scene, Stage, write};
use crate::ways::{Way, is_owed, is_tolerated, reached_by};
use minirdr::base::ids::TicketNumber;
use minirdr::base::status::Status;
use minirdr::base::stop::{CallResult, OnDeadline, Report, State};
use minirdr::rdbss::register::DeviceOptions;
use minirdr::redirectors::faulty::{Callout, Fault, FaultPlan};

/// One case.
#[derive(Debug)]
struct Case {
    callout: Callout,
    fault: Fault,
    outcome: OnDeadline,
    /// Posted to the file system process, or inline.
    posted: bool,
}

fn cases(way: Way) -> Vec<Case> {
    let mut cases = Vec::new();
    for callout in reached_by(way) {
        for fault in FAULTS {
            if !callout.can_fail() && matches!(fault, Fault::Error(_)) {
                continue;
            }
            for outcome in OUTCOMES {
                // Half of them each way, so that every pair of callout and fault is met both ways.
                let posted = cases.len() % 2 == 0;
                cases.push(Case { callout, fault, outcome, posted });
            }
        }
    }
    cases
}

/// How a request that meets a fault and a stop must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It failed before the stop.
    Failed,
    /// The callout failed before the stop, and the request succeeded all the same.
    Tolerated,
    /// It runs to its end, and its caller gets the server's answer.
    Drained,
    /// The drain or the deadline cancels it.
    Cancelled,
    /// Given up on at the deadline.
    Abandoned,
    /// The stop is taken back because of it.
    TakesItBack,
    /// The stop stays until it ends.
    HeldUp,
}

fn fate(case: &Case) -> Fate {
    // A drain cancels what can be cancelled before any deadline; never what is owed.
    // What can return no error cannot be cancelled.
    let stubborn =
        is_owed(case.callout) || !case.callout.can_fail() || case.fault == Fault::HangUncancellable;
    match (case.fault, case.outcome) {
        (Fault::Error(_) | Fault::Panic, _) if is_tolerated(case.callout) => Fate::Tolerated,
        (Fault::Error(_) | Fault::Panic, _) => Fate::Failed,
        (Fault::Hang, _) if !stubborn => Fate::Cancelled,
        (_, OnDeadline::Resume) => Fate::TakesItBack,
        (Fault::Delay(_), OnDeadline::Stay | OnDeadline::Cancel) => Fate::Drained,
        (Fault::Hang | Fault::HangUncancellable, OnDeadline::Stay) => Fate::HeldUp,
        (_, OnDeadline::Cancel | OnDeadline::Abort) => Fate::Abandoned,
    }
}

/// S1, S6, S7: a request inside each callout, which misbehaves, and a stop with each outcome.
#[test]
fn s6_a_stop_meets_a_request_in_each_callout() {
    each(&cases(Way::Request), |case| {
        let scene = Scene::with_delayed_closes(case.posted, DeviceOptions::default(), 4);
        let stage = scene.stage();
        if case.callout == Callout::Commit {
            assert!(scene.host.write(stage.kept, 0, &[1; 100]).is_ok(), "there is what to commit");
        }
        stop_meets_a_request(&scene, &stage, case);
        works_again(&scene);
        nothing_is_left(&scene);
    });
}

fn stop_meets_a_request(scene: &Scene, stage: &Stage, case: &Case) {
    let (handles, fate) = (scene.host.device.status().open_handles, fate(case));
    scene.set_plan(FaultPlan::none().with(case.callout, case.fault));
    let calls = scene.calls(case.callout);
    let pending = scene.submit(scene.request(stage, case.callout));
    if matches!(fate, Fate::Failed | Fate::Tolerated) {
        assert_eq!(scene.answer(&pending).is_err(), fate == Fate::Failed, "as it is told");
        assert!(scene.calls(case.callout) > calls, "it was called");
        wait_until("it has ended", || scene.host.device.requests().is_empty());
    } else {
        scene.wait_inside(case.callout);
    }
    let ticket = scene.host.post_stop(by_deadline(case.outcome));
    if fate == Fate::HeldUp {
        held_up(scene, ticket);
    }
    let report = in_time(scene, ticket, DEADLINE + GRACE);
    if fate == Fate::TakesItBack {
        taken_back(scene, case, &report);
        scene.heal();
        assert!(accepted(case, &scene.answer(&pending)), "and it ends as if nothing had been");
        return;
    }
    let answer = scene.answer(&pending_or(pending, fate));
    let is_lock = matches!(case.callout, Callout::Lock | Callout::QueryLock);
    let expected = match fate {
        // It was told to end, and ended with an error: `memory`'s, who keeps no locks.
        Fate::Drained if is_lock && case.outcome == OnDeadline::Cancel => (1, 0),
        Fate::Cancelled => (1, 0),
        Fate::Abandoned => (0, 1),
        _ => (0, 0),
    };
    assert_eq!((report.cancelled, report.abandoned), expected, "{report:?}");
    match fate {
        Fate::Cancelled => assert_eq!(answer.err(), Some(Status::Cancelled)),
        Fate::Abandoned => assert_eq!(answer.err(), Some(Status::IoTimeout)),
        Fate::Drained | Fate::HeldUp => assert!(accepted(case, &answer), "{answer:?}"),
        Fate::Failed | Fate::Tolerated | Fate::TakesItBack => {}
    }
    stopped_and_true(scene, case, fate, handles, &report);
}

type Answered = Result<minirdr::rdbss::operation::Answer, Status>;

/// A request that has failed has been answered, and gets no second answer.
fn pending_or(pending: crate::scene::Pending, fate: Fate) -> crate::scene::Pending {
    if !matches!(fate, Fate::Failed | Fate::Tolerated) {
        return pending;
    }
    assert!(pending.try_recv().is_err(), "one answer, once");
    let (sender, receiver) = std::sync::mpsc::channel();
    sender.send(Err(Status::Unsuccessful)).expect("the receiver is here");
    receiver
}

/// The server's own answer: `memory` leaves locks to the kernel and says so.
fn accepted(case: &Case, answer: &Answered) -> bool {
    match case.callout {
        Callout::Lock | Callout::QueryLock => {
            answer.as_ref().err() == Some(&Status::NotImplemented)
        }
        _ => answer.is_ok(),
    }
}

/// S1: `stay` says that the deadline has passed, goes on, and refuses; then the server answers.
fn held_up(scene: &Scene, ticket: TicketNumber) {
    let device = &scene.host.device;
    wait_until("the deadline passes", || {
        device.status().running.is_some_and(|running| running.deadline_passed)
    });
    assert!(device.status().running.is_some_and(|running| running.ticket == ticket));
    assert!(matches!(device.state(), State::Draining | State::Sealing), "{:?}", device.state());
    let refused = scene.host.lookup(&scene.host.root(), "file").err();
    assert_eq!(refused, Some(Status::RedirectorNotStarted));
    scene.heal();
}

/// S1, S2: nothing is refused any more.
fn taken_back(scene: &Scene, case: &Case, report: &Report) {
    assert_eq!(report.result, CallResult::RolledBack, "{report:?}");
    assert_eq!((report.cancelled, report.abandoned), (0, 0), "{report:?}");
    assert_eq!(scene.host.device.state(), State::Started);
    if case.callout != Callout::Lookup {
        assert!(scene.host.lookup(&scene.host.root(), "file").is_ok());
    }
}

/// S7: the report counts what is open, and names what is not on the server.
fn stopped_and_true(scene: &Scene, case: &Case, fate: Fate, handles: u64, report: &Report) {
    let device = &scene.host.device;
    assert_eq!(device.state(), State::Startable);
    assert_eq!(report.error, None);
    let survivors = device.status().open_handles;
    assert_eq!(report.survivors_total, survivors, "{report:?}");
    let opens =
        is_tolerated(case.callout) || matches!(case.callout, Callout::Open | Callout::Create);
    let opened = match (case.callout, fate) {
        (_, Fate::Drained | Fate::HeldUp | Fate::Tolerated) if opens => handles + 1,
        // The handle goes whatever its server says.
        (Callout::Cleanup | Callout::Close, _) => handles - 1,
        _ => handles,
    };
    assert_eq!(survivors, opened, "{report:?}");
    // Of what was given up on, what writes is lost; and so is what could not be committed. An fsync
    // with nothing to commit loses nothing: its caller is told that it did not end.
    let lost = match (case.callout, fate) {
        (Callout::Write, Fate::Abandoned) => Some(100),
        (Callout::Commit, Fate::Abandoned | Fate::Failed) => Some(100),
        _ => None,
    };
    let losses: Vec<u64> = report.losses.iter().map(|loss| loss.bytes).collect();
    assert_eq!(losses, lost.into_iter().collect::<Vec<u64>>(), "{report:?}");
    let result = match lost {
        Some(_) => CallResult::Lost,
        None => CallResult::HasOpenHandles,
    };
    assert_eq!(report.result, result, "{report:?}");
}

/// S1, S6, S7: the stop's own callouts misbehave: the commits of steps 2 and 5, the closes that
/// have waited, and `MRxStop`.
#[test]
fn s6_the_stops_own_callouts() {
    each(&cases(Way::Stop), |case| {
        let scene = Scene::with_delayed_closes(case.posted, DeviceOptions::default(), 4);
        let stage = scene.stage();
        if case.callout == Callout::Close {
            scene.host.release(stage.spare).expect("closes");
            assert_eq!(scene.host.device.delayed_closes(), 1, "there is what to shed");
        }
        let handles = scene.host.device.status().open_handles;
        if case.callout == Callout::Commit {
            let written = scene.submit(write(stage.kept, 100));
            assert!(scene.answer(&written).is_ok(), "there is what to commit");
        }
        scene.set_plan(FaultPlan::none().with(case.callout, case.fault));
        let ticket = scene.host.post_stop(by_deadline(case.outcome));
        let hangs = matches!(case.fault, Fault::Hang | Fault::HangUncancellable);
        if hangs && case.outcome == OnDeadline::Stay {
            scene.wait_inside(case.callout);
            wait_until("the stop waits", || {
                scene.host.device.wait_ticket(ticket, DEADLINE + DEADLINE)
                    == minirdr::rdbss::ticket::TicketState::Open
            });
            scene.heal();
        }
        let report = in_time(&scene, ticket, DEADLINE + GRACE);
        match case.callout {
            Callout::Commit => committed(&scene, case, &report),
            Callout::Close => shed(&scene, case, &report),
            _ => mrx_stop_returned(&scene, case, &report),
        }
        assert_eq!(report.survivors_total, handles);
        works_again(&scene);
        nothing_is_left(&scene);
    });
}

fn committed(scene: &Scene, case: &Case, report: &Report) {
    let hangs = matches!(case.fault, Fault::Hang | Fault::HangUncancellable);
    let result = match (case.fault, case.outcome) {
        // It fails at once, before any deadline, and once more when the drain is over.
        (Fault::Error(_) | Fault::Panic, _) => CallResult::Lost,
        (_, OnDeadline::Resume) => CallResult::RolledBack,
        (_, OnDeadline::Cancel | OnDeadline::Abort) if hangs => CallResult::Lost,
        _ => CallResult::HasOpenHandles,
    };
    assert_eq!(report.result, result, "{report:?}");
    let losses: Vec<u64> = report.losses.iter().map(|loss| loss.bytes).collect();
    let expected: &[u64] = if result == CallResult::Lost { &[100] } else { &[] };
    assert_eq!(losses, expected, "{report:?}");
    if result == CallResult::RolledBack {
        assert_eq!(scene.host.device.state(), State::Started);
    }
}

/// A file that was closed long ago: nobody is told that its server's close failed, and it keeps
/// nothing up past the deadline.
fn shed(scene: &Scene, case: &Case, report: &Report) {
    let fails = matches!(case.fault, Fault::Error(_) | Fault::Panic);
    let result = match case.outcome {
        OnDeadline::Resume if !fails => CallResult::RolledBack,
        _ => CallResult::HasOpenHandles,
    };
    assert_eq!((report.result, &report.error), (result, &None), "{report:?}");
    assert_eq!((&report.losses[..], scene.host.device.delayed_closes()), (&[][..], 0));
}

/// Step 8 is past the point of no return: its failure is reported, and the device is down.
fn mrx_stop_returned(scene: &Scene, case: &Case, report: &Report) {
    assert_eq!(report.result, CallResult::HasOpenHandles, "{report:?}");
    assert_eq!(scene.host.device.state(), State::Startable);
    let hangs = matches!(case.fault, Fault::Hang | Fault::HangUncancellable);
    let fails = match case.fault {
        Fault::Delay(_) => false,
        Fault::Error(_) | Fault::Panic => true,
        Fault::Hang | Fault::HangUncancellable => case.outcome != OnDeadline::Stay,
    };
    assert!(!hangs || fails || case.outcome == OnDeadline::Stay);
    let told = report.error.as_ref().is_some_and(|error| error.contains("MRxStop"));
    assert_eq!(told, fails, "{report:?}");
}
