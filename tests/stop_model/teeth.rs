//! The model has teeth: with one thing done wrong, it finds a history that shows it. The first ten
//! are the surprises of gate.md 4.3; the others were defects of this driver, found with this model.

use crate::policy::{Machine, Switch};
use crate::properties::{
    ALONE, C2, CALLS_END, CLIENTS_END, ONE_STOP, OWN_HANDLE, STARTED_IS_TRUE, STARTS_EMPTY,
};
use crate::world::{Call, Op, STOP, Scene, stop_by};
use minirdr::base::stop::OnDeadline;
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::io::Write;

const CLIENT: &[Op] = &[Op::Open, Op::Io, Op::Close];
const OPENER: &[Op] = &[Op::Open, Op::Close];
const BLOCKED: &[Op] = &[Op::Open, Op::Blocked, Op::Close];
const STOP_OR_RESUME: Call = stop_by(OnDeadline::Resume);

/// The scene holds with the machine as it is, and `fails` does not with the switch. The history is
/// printed in steps.
fn bites(switch: Switch, fails: &'static str, scene: Scene) {
    let sound = Machine { scene, switch: None };
    let checker = sound.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries();
    assert!(found.keys().all(|name| crate::is_reached(name)), "without {switch:?}: {found:?}");
    let broken = Machine { scene, switch: Some(switch) };
    let wanted = HasDiscoveries::AllOf(BTreeSet::from([fails]));
    let checker = broken.checker().finish_when(wanted).spawn_bfs().join();
    let Some(path) = checker.discovery(fails) else {
        panic!("{switch:?} goes unseen: {:?}", checker.discoveries().keys());
    };
    let steps = path.into_actions();
    let line = format!("stop_model: {switch:?}: {} steps to: not so: {fails}\n", steps.len());
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is there");
}

/// Surprise 1: such a start answers STARTED.
#[test]
fn surprise_01_a_stop_overtakes_a_start() {
    let callers: &[&[Call]] = &[&[Call::Start, STOP], &[Call::Start]];
    let scene = Scene { callers, started: false, ..Scene::QUIET };
    bites(Switch::OvertakenStartRuns, STARTS_EMPTY, scene);
}

/// Surprise 2, C2: flip and post are one critical section.
#[test]
fn surprise_02_a_start_slips_between_flip_and_post() {
    let scene = Scene { callers: &[&[STOP], &[Call::Start]], ..Scene::QUIET };
    bites(Switch::FlipBeforePost, STARTED_IS_TRUE, scene);
}

/// Surprise 3, C2: the call flips, not the control thread.
#[test]
fn surprise_03_opens_pass_after_the_answer() {
    let scene = Scene { callers: &[&[STOP]], clients: &[OPENER], ..Scene::QUIET };
    bites(Switch::FlipWhenTaken, C2, scene);
}

/// Surprise 4, C3: the control thread runs no requests.
#[test]
fn surprise_04_one_thread_for_both_deadlocks() {
    let scene = Scene { callers: &[&[STOP]], clients: &[OPENER], ..Scene::QUIET };
    bites(Switch::OneThreadForAll, CALLS_END, scene);
}

/// Surprise 5, G5: what asks for the stop is not in the drained count.
#[test]
fn surprise_05_a_stop_that_counts_itself_never_ends() {
    let scene = Scene { callers: &[&[STOP]], ..Scene::QUIET };
    bites(Switch::StopCountsItself, CALLS_END, scene);
}

/// Surprise 6: the table is never cleared, numbers are never used again.
#[test]
fn surprise_06_an_old_close_hits_a_new_handle() {
    let callers: &[&[Call]] = &[&[STOP, Call::Start]];
    let scene = Scene { callers, clients: &[OPENER, OPENER], ..Scene::QUIET };
    bites(Switch::NumbersRestart, OWN_HANDLE, scene);
}

/// Surprise 7, S3: cleanup and close pass in Startable.
#[test]
fn surprise_07_a_refused_close_leaves_its_handle() {
    let scene = Scene { callers: &[&[STOP]], clients: &[OPENER], ..Scene::QUIET };
    bites(Switch::ClosesRefusedWhenStopped, CLIENTS_END, scene);
}

/// Surprise 8: Sealing.
#[test]
fn surprise_08_a_cleanup_runs_beside_mrx_stop() {
    let scene = Scene { callers: &[&[STOP]], clients: &[OPENER], ..Scene::QUIET };
    bites(Switch::NoSealing, ALONE, scene);
}

/// Surprise 9: what waits for others is cancelled by the drain.
#[test]
fn surprise_09_a_blocked_request_hangs_the_stop() {
    let scene = Scene { callers: &[&[STOP]], clients: &[BLOCKED], ..Scene::QUIET };
    bites(Switch::BlockedNotCancelled, CALLS_END, scene);
}

/// Surprise 10, S8: one of two stops wins.
#[test]
fn surprise_10_a_second_stop_runs_mrx_stop_again() {
    let scene = Scene { callers: &[&[STOP], &[STOP]], ..Scene::QUIET };
    bites(Switch::SecondStopRuns, ONE_STOP, scene);
}

/// C2: `resume` comes between a stop's flip and its answer.
#[test]
fn c2_a_resume_does_not_open_past_a_stop_that_is_being_posted() {
    let scene = Scene { callers: &[&[STOP], &[Call::Resume]], clients: &[CLIENT], ..Scene::QUIET };
    bites(Switch::OpensPastAWaitingStop, C2, scene);
}

/// C2, S1: the running stop rolls back at its deadline, and another has been answered.
#[test]
fn c2_a_roll_back_does_not_open_past_a_stop_that_waits() {
    let callers: &[&[Call]] = &[&[STOP_OR_RESUME], &[STOP]];
    let scene = Scene { callers, clients: &[CLIENT], ..Scene::QUIET };
    bites(Switch::OpensPastAWaitingStop, C2, scene);
}

/// C2: a start is cancelled too late, and ends well.
#[test]
fn c2_a_start_does_not_open_past_a_stop_that_waits() {
    let callers: &[&[Call]] = &[&[Call::Start], &[STOP]];
    let scene = Scene { callers, clients: &[OPENER], started: false, ..Scene::QUIET };
    bites(Switch::OpensPastAWaitingStop, C2, scene);
}

/// S2, stop.md §4 step 4: a close put off by a stop that was taken back is waited for by the next.
#[test]
fn s2_a_close_put_off_is_counted_after_a_roll_back() {
    let callers: &[&[Call]] = &[&[STOP_OR_RESUME], &[STOP]];
    let scene = Scene { callers, clients: &[OPENER], ..Scene::QUIET };
    bites(Switch::PutOffCloseIsNotCounted, ALONE, scene);
}

/// S4: a close of a reclaimed handle is the new generation's, before it is served too.
#[test]
fn s4_a_close_of_a_reclaimed_handle_is_counted() {
    let callers: &[&[Call]] = &[&[STOP, Call::Start, STOP]];
    let scene = Scene { callers, clients: &[OPENER], reclaims: true, ..Scene::QUIET };
    bites(Switch::ReclaimedCloseIsNotCounted, ALONE, scene);
}

/// S4: a survivor that is being closed is not reclaimed.
#[test]
fn s4_a_survivor_is_not_reclaimed_under_its_close() {
    let callers: &[&[Call]] = &[&[STOP, Call::Start, STOP]];
    let scene = Scene { callers, clients: &[OPENER], reclaims: true, ..Scene::QUIET };
    bites(Switch::ReclaimedUnderItsClose, ALONE, scene);
}
