//! A start while each callout that it makes misbehaves, and a stop that comes meanwhile.

use crate::check::{
    FAULTS, GRACE, OUTCOMES, by_deadline, each, in_time, nothing_is_left, works_again,
};
use crate::common::wait_until;
use crate::scene::Scene;
use crate::ways::{Way, reached_by};
use minirdr::base::stop::{Answer as Called, CallResult, OnDeadline, Report, State, StopOptions};
use minirdr::rdbss::register::DeviceOptions;
use minirdr::redirectors::faulty::{Callout, Fault, FaultPlan};
use std::time::Duration;

/// A start gives up after this.
const LIMIT: Duration = Duration::from_millis(500);

/// One case: with a stop that comes while the start is inside, or without.
#[derive(Debug)]
struct Case {
    callout: Callout,
    fault: Fault,
    stop: Option<OnDeadline>,
    /// Are there handles of before, to be reclaimed?
    survivors: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for callout in reached_by(Way::Start) {
        // These are called for what there was before.
        let needs = matches!(callout, Callout::ReclaimOpen | Callout::Cleanup | Callout::Close);
        for fault in FAULTS {
            if !callout.can_fail() && matches!(fault, Fault::Error(_)) {
                continue;
            }
            for stop in [None].into_iter().chain(OUTCOMES.map(Some)) {
                let survivors = needs || cases.len() % 2 == 0;
                cases.push(Case { callout, fault, stop, survivors });
            }
        }
    }
    cases
}

/// Must the start fail when this callout does?
fn is_essential(callout: Callout) -> bool {
    matches!(callout, Callout::Start | Callout::CreateSrvCall | Callout::CreateVNetRoot)
}

/// S6, S8: a start meets a fault in each of its callouts, alone or with a stop on its heels.
#[test]
fn s6_s8_a_start_meets_a_fault_in_each_of_its_callouts() {
    each(&cases(), |case| {
        let options = DeviceOptions { start_limit: LIMIT, ..DeviceOptions::default() };
        let scene = Scene::new(true, options);
        let stage = scene.stage();
        let held = stage.kept;
        drop(stage);
        if !case.survivors {
            close_all(&scene);
        }
        assert!(scene.host.stop().result.is_stopped());
        scene.set_plan(FaultPlan::none().with(case.callout, case.fault));
        let Ok(Called::Posted(start)) = scene.host.device.start(scene.host.caller) else {
            panic!("a start is posted")
        };
        let stop = case.stop.map(|outcome| {
            let is_over = || {
                let last = scene.host.device.status().last_start;
                last.is_some_and(|last| last.ticket == Some(start))
            };
            wait_until("it is under way", || scene.inside(case.callout) > 0 || is_over());
            stop_of(&scene, outcome)
        });
        // The start's own limit bounds each of its callouts; the queue before the stop is it.
        let report = in_time(&scene, start, 3 * LIMIT + GRACE);
        started(&scene, case, &report);
        if let Some(Called::Posted(stop)) = stop {
            if case.stop == Some(OnDeadline::Stay) {
                scene.heal();
            }
            let report = in_time(&scene, stop, 3 * LIMIT + GRACE);
            stopped(&scene, case, &report);
        }
        works_again(&scene);
        if case.survivors {
            // S4: carried over now, or stale for good; closed in any case.
            let _ = scene.host.read(held, 0, 1);
        }
        nothing_is_left(&scene);
    });
}

fn stop_of(scene: &Scene, outcome: OnDeadline) -> Called<Report> {
    let options: StopOptions = by_deadline(outcome);
    scene.host.device.stop(scene.host.caller, options).expect("the device takes calls")
}

fn close_all(scene: &Scene) {
    let mut open = Vec::new();
    scene.host.device.visit_handles(|handle| {
        open.push(handle.handle);
        true
    });
    for handle in open {
        scene.host.release(handle).expect("closes");
    }
}

/// S6: the start says the truth, and a failed one leaves the device Startable.
fn started(scene: &Scene, case: &Case, report: &Report) {
    let fails = match case.fault {
        _ if !is_essential(case.callout) => false,
        Fault::Error(_) | Fault::Panic | Fault::Hang | Fault::HangUncancellable => true,
        // The stop that came meanwhile cancels it, if it came in time.
        Fault::Delay(_) if case.stop.is_some() => return,
        Fault::Delay(_) => false,
    };
    let result = if fails { CallResult::Failed } else { CallResult::Success };
    assert_eq!(report.result, result, "{report:?}");
    if fails {
        assert!(report.error.is_some(), "{report:?}");
        let device = &scene.host.device;
        assert!(case.stop.is_some() || device.state() == State::Startable);
    }
}

/// S8: a stop during a start has one result: it was stopped, or is now.
fn stopped(scene: &Scene, case: &Case, report: &Report) {
    if report.result == CallResult::RolledBack {
        assert_eq!(case.stop, Some(OnDeadline::Resume), "{report:?}");
        assert_eq!(scene.host.device.state(), State::Started);
        return;
    }
    assert!(report.result.is_stopped(), "{report:?}");
    assert_eq!(scene.host.device.state(), State::Startable);
    assert_eq!(
        report.survivors_total > 0,
        case.survivors && report.result != CallResult::AlreadyStopped,
        "{report:?}"
    );
}
