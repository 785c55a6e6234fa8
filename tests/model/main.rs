//! Random operations against a reference that fits on a page: the reference itself against a plain
//! directory, then the core over each mini-redirector without a kernel. `tests/mount` does the same
//! over real mounts.
//!
//! A failing case prints its steps, shrunk, and the seed to run it again (`PROPTEST_RNG_SEED`).

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod generators;
mod reference;
mod subjects;

use common::Host;
use compare::compare;
use minirdr::base::clock::SystemClock;
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::redirectors::faulty::{FaultPlan, Faulty};
use minirdr::redirectors::local::{Local, LocalOptions};
use minirdr::redirectors::memory::{Memory, MemoryOptions, MemoryServer};
use std::sync::Arc;
use subjects::{Core, Directory};

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
