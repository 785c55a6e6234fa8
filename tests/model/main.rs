//! Random operations against a reference that fits on a page: the reference itself against a plain
//! directory, then the core over each mini-redirector without a kernel, then real mounts.
//!
//! A failing case prints its steps, shrunk, and the seed to run it again (`PROPTEST_RNG_SEED`).

#[path = "../common/mod.rs"]
mod common;
mod generators;
mod reference;
mod subjects;

use common::Host;
use minirdr::base::clock::SystemClock;
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::redirectors::faulty::{FaultPlan, Faulty};
use minirdr::redirectors::local::{Local, LocalOptions};
use minirdr::redirectors::memory::{Memory, MemoryOptions, MemoryServer};
use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use reference::{Reference, Step};
use std::sync::Arc;
use subjects::{Core, Directory, Subject};

/// Runs random histories; each on a fresh subject.
fn compare<S: Subject>(cases: u32, mut fresh: impl FnMut() -> S) {
    // PROPTEST_CASES, where set, asks for more.
    let cases =
        cases.max(std::env::var("PROPTEST_CASES").map_or(0, |cases| cases.parse().unwrap_or(0)));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let fresh = std::cell::RefCell::new(&mut fresh);
    let outcome = TestRunner::new(config).run(&vec(generators::step(), 1..120), |steps| {
        let subject = (fresh.borrow_mut())();
        let mut reference = Reference::default();
        for (at, step) in steps.iter().enumerate() {
            agree(&subject, &mut reference, at, step)?;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn agree(
    subject: &impl Subject,
    reference: &mut Reference,
    at: usize,
    step: &Step,
) -> Result<(), TestCaseError> {
    let (expected, got) = (reference.apply(step), subject.apply(step));
    proptest::prop_assert_eq!(expected, got, "step {}: {:?}", at, step);
    Ok(())
}

fn memory() -> Arc<dyn MiniRedirector> {
    let options = MemoryOptions::default();
    let server = MemoryServer::new(SystemClock::shared());
    Arc::new(Memory::new(server, options))
}

/// The reference tells the truth about this machine's own file system.
#[test]
fn reference_is_right() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut round = 0;
    compare(200, || {
        round += 1;
        let root = scratch.path().join(round.to_string());
        std::fs::create_dir(&root).expect("a fresh directory");
        Directory(root)
    });
}

#[test]
fn core_over_memory() {
    compare(300, || Core(Host::started(memory())));
}

#[test]
fn core_over_faulty_without_faults() {
    compare(100, || Core(Host::started(Arc::new(Faulty::new(memory(), FaultPlan::none())))));
}

#[test]
fn core_over_local() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut round = 0;
    compare(200, || {
        round += 1;
        let root = scratch.path().join(round.to_string());
        std::fs::create_dir(&root).expect("a fresh directory");
        let options = LocalOptions::parse(&[]).expect("no options are fine");
        Core(Host::started(Arc::new(Local::new(root, options))))
    });
}
