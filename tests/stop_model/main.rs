//! The start/stop machine as a design, checked in every order of events: the policy is the real
//! `lifecycle::step`; the driver around it is modelled after `startstop.rs`, `stop_order.rs` and
//! `start_order.rs`, each critical section there one step here; the gate is the reference that
//! `real_gate.rs` holds against the real one.
//!
//! `scenes.rs` says who does what, `properties.rs` what must hold of it, `teeth.rs` shows that the
//! properties bite. Each scene tells its number of states on stderr, past the test harness:
//! `cargo test --test stop_model`. The large ones, too: `MINIRDR_MODEL=large cargo test --test
//! stop_model large`, with `--release` if the wait for that build is shorter.

mod callers;
mod clients;
mod control;
mod gate;
mod policy;
mod properties;
mod real_gate;
mod scenes;
#[path = "../common/seeded.rs"]
mod seeded;
mod teeth;
mod world;

use policy::Machine;
use scenes::{Checked, LARGE, SMALL};
use stateright::{Checker, Model};
use std::io::Write;

/// A scene's whole space has been looked at: nothing in it breaks a property, and it reaches what
/// it says, no more and no less. How many states that is.
fn holds(checked: &Checked, threads: usize) -> usize {
    let name = checked.name;
    let machine = Machine { scene: checked.scene, switch: None };
    let checker = machine.checker().threads(threads).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    say(&format!("{states:>9} states, {depth} deep: {name}"));
    let found = checker.discoveries();
    if let Some((property, path)) = found.iter().find(|(name, _)| !is_reached(name)) {
        panic!("{name}: not so: {property}\n{path:?}");
    }
    for wanted in checked.reached {
        assert!(found.contains_key(wanted), "{name}: never reached: {wanted}");
    }
    let unsaid: Vec<_> = found.keys().filter(|found| !checked.reached.contains(found)).collect();
    assert!(unsaid.is_empty(), "{name} reaches more than it says: {unsaid:?}");
    states
}

/// To stderr itself: the harness keeps what `eprintln!` says of a test that passes.
fn say(text: &str) {
    let line = format!("stop_model: {text}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is there");
}

fn is_reached(name: &str) -> bool {
    properties::REACHED.iter().any(|(known, _)| *known == name)
}

fn small(name: &str) {
    let scene = SMALL.iter().find(|checked| checked.name == name).expect("it is in the list");
    is_written_down(name, holds(scene, 1));
}

fn is_written_down(name: &str, states: usize) {
    let row = format!("| {name} | {} |", with_commas(states));
    let document = include_str!("../../docs/LIFECYCLE.md");
    assert!(document.contains(&row), "docs/LIFECYCLE.md should say: {row}");
}

fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let comma = |at: usize| at > 0 && (digits.len() - at).is_multiple_of(3);
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if comma(at) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Stop.md S8: two stops, one wins; a start behind them.
#[test]
fn s8_two_stops_and_a_start() {
    small("two stops and a start");
}

/// Stop.md S8: a stop comes while a start runs, or a start behind it.
#[test]
fn s8_a_start_is_stopped() {
    small("a start is stopped");
}

/// Stop.md §3: the order of the calls is kept.
#[test]
fn stop_start_stop_against_a_start() {
    small("stop, start, stop against a start");
}

/// Stop.md S2: what is taken back is as it was.
#[test]
fn s2_a_stop_is_taken_back_by_resume() {
    small("a stop is taken back by resume");
}

/// Stop.md S1, S2: `resume` at the deadline, while draining and while sealing.
#[test]
fn s1_a_deadline_resumes() {
    small("a deadline resumes, and a stop waits behind");
}

/// Stop.md S1, S6: a hung server, and the other three outcomes.
#[test]
fn s1_s6_a_server_hangs() {
    small("a server hangs and the deadline stays, cancels or aborts");
}

/// Stop.md §4 step 1: open handles keep working in a grace.
#[test]
fn a_grace_a_pause_and_a_resume() {
    small("a grace, a pause and a resume");
}

/// Stop.md S3, S4: survivors close in their generation or are reclaimed.
#[test]
fn s3_s4_survivors_over_two_restarts() {
    small("survivors over two restarts");
}

/// Nothing holds only because nothing happens.
#[test]
fn everything_is_reached_by_some_scene() {
    for (wanted, _) in properties::REACHED {
        let reached = SMALL.iter().any(|checked| checked.reached.contains(&wanted));
        assert!(reached, "no scene reaches: {wanted}");
    }
}

/// The large scenes, when asked for: minutes.
#[test]
fn large() {
    if std::env::var_os("MINIRDR_MODEL").is_none_or(|size| size != "large") {
        return say("MINIRDR_MODEL=large checks the large scenes too");
    }
    for checked in LARGE {
        is_written_down(checked.name, holds(checked, 2));
    }
}
