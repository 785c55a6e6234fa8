//! Faults at random: which callouts, which faults, how often; what programs ask meanwhile, and how
//! it is stopped and started; all from one number.

use crate::check::{FAULTS, GRACE, OUTCOMES, each, in_time, nothing_is_left, works_again};
use crate::scene::{Pending, Scene, Stage};
use crate::ways::{Way, reached_by};
use minirdr::base::stop::{Answer as Called, CallResult, OnDeadline, StopMode, StopOptions};
use minirdr::rdbss::operation::Operation;
use minirdr::rdbss::register::{DeviceOptions, SurvivorPolicy};
use minirdr::redirectors::faulty::{Callout, Fault, FaultPlan, Rule};
use std::ops::Range;
use std::time::Duration;

/// Seeds looked at each time.
const SEEDS: Range<u64> = 0..64;
/// Rounds of faults, requests, a stop and a start in one seed.
const ROUNDS: usize = 4;
/// Requests a round.
const REQUESTS: usize = 12;

/// `FAULT_SEEDS=lo..hi`, or the usual.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("FAULT_SEEDS") else { return SEEDS };
    let bounds = text.split_once("..").map(|(low, high)| (low.parse(), high.parse()));
    let Some((Ok(low), Ok(high))) = bounds else { panic!("FAULT_SEEDS={text}: not lo..hi") };
    low..high
}

/// S1, S6, S7, S8: whatever goes wrong, in whatever order: every call has its result in time,
/// every request one answer, and afterwards every count is back.
#[test]
fn s6_s8_seeds() {
    let seeds: Vec<u64> = seeds().collect();
    println!("seeds {:?} to {:?}", seeds.first(), seeds.last());
    each(&seeds, |seed| run(*seed));
}

fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let survivors = *random.choice(&[SurvivorPolicy::Reclaim, SurvivorPolicy::Stale]).expect("two");
    // Long enough for a healthy start on a busy machine.
    let start_limit = Duration::from_millis(1500);
    let request_deadline = Some(Duration::from_millis(random.u64(200..2000)));
    let options =
        DeviceOptions { survivors, start_limit, request_deadline, ..DeviceOptions::default() };
    let delayed_closes = random.usize(0..4);
    let scene = Scene::with_delayed_closes(random.bool(), options, delayed_closes);
    let stage = scene.stage();
    for _ in 0..ROUNDS {
        scene.set_plan(plan(&mut random));
        let pending = requests(&mut random, &scene, &stage);
        calls(&mut random, &scene);
        works_again(&scene);
        for answer in &pending {
            // A handle that somebody got meanwhile is closed with the rest.
            drop(scene.answer(answer));
            assert!(answer.try_recv().is_err(), "seed {seed}: one answer, once");
        }
    }
    for never in reached_by(Way::Never) {
        assert_eq!(scene.calls(never), 0, "{never} is called: list how in ways.rs");
    }
    nothing_is_left(&scene);
}

fn plan(random: &mut fastrand::Rng) -> FaultPlan {
    let mut plan = FaultPlan { seed: random.u64(..), ..FaultPlan::none() };
    for _ in 0..random.usize(1..6) {
        let callout = random.choice(Callout::ALL).filter(|_| random.u8(..) < 230);
        let fault = match *random.choice(&FAULTS).expect("some") {
            Fault::Delay(_) => Fault::Delay(Duration::from_millis(random.u64(1..200))),
            fault => fault,
        };
        let synchronous = random.bool();
        let probability = *random.choice(&[0.2, 0.5, 1.0]).expect("some");
        plan.rules.push(Rule { synchronous, probability, ..Rule::always(callout, fault) });
    }
    plan
}

fn requests(random: &mut fastrand::Rng, scene: &Scene, stage: &Stage) -> Vec<Pending> {
    let reached: Vec<Callout> = reached_by(Way::Request).collect();
    let mut pending = Vec::new();
    for _ in 0..random.usize(0..REQUESTS) {
        let callout = *random.choice(&reached).expect("some");
        pending.push(match random.u8(0..10) {
            // Page write-back passes in every state.
            0 => scene.submit(Operation::Write {
                handle: stage.kept,
                offset: 0,
                data: vec![5; 100].into(),
                write_back: true,
                kill_privileges: false,
            }),
            _ => scene.submit(scene.request(stage, callout)),
        });
    }
    pending
}

/// Stops, starts, pauses and resumes; every stop has a deadline after which it does not wait.
fn calls(random: &mut fastrand::Rng, scene: &Scene) {
    let device = &scene.host.device;
    let mut tickets = Vec::new();
    for _ in 0..random.usize(1..5) {
        let called = match random.u8(0..8) {
            0 | 1 => device.start(scene.host.caller),
            2 => {
                let _: Option<CallResult> = device.pause().ok();
                continue;
            }
            3 => {
                let _: Option<CallResult> = device.resume().ok();
                continue;
            }
            _ => device.stop(scene.host.caller, stop_options(random)),
        };
        if let Ok(Called::Posted(ticket)) = called {
            tickets.push(ticket);
        }
    }
    // Each call waits for those before it.
    let limit = GRACE * u32::try_from(tickets.len() + 1).expect("few");
    for ticket in tickets {
        in_time(scene, ticket, limit);
    }
}

fn stop_options(random: &mut fastrand::Rng) -> StopOptions {
    let outcomes = OUTCOMES.into_iter().filter(|outcome| *outcome != OnDeadline::Stay);
    StopOptions {
        mode: *random.choice(&[StopMode::Drain, StopMode::Cancel, StopMode::Abort]).expect("some"),
        grace_s: random.bool().then(|| random.f64() / 10.0),
        deadline_s: Some(random.f64() / 5.0),
        on_deadline: random.choice(outcomes.collect::<Vec<_>>()).expect("some"),
        refuse_if_busy: random.u8(0..10) == 0,
        ..StopOptions::default()
    }
}
