//! The built program on real mounts, as programs meet it: its daemon in a runtime directory of its
//! own, everything bounded in time, nothing left behind whatever fails.
//!
//! Needs FUSE; where there is none, says so and stops. What only a shell says well is in
//! `tests/shell`; here is what needs bytes compared, times measured, counts kept or many at once.

mod client;
#[path = "../common/mod.rs"]
mod common;
#[path = "../model/compare.rs"]
mod compare;
#[path = "../model/generators.rs"]
mod generators;
mod hangs;
mod history;
mod kills;
mod management;
mod metrics;
mod mounted;
mod pages;
#[path = "../model/reference.rs"]
mod reference;
mod rounds;
mod same_mount;
mod service;
mod signals;
mod stops;
#[path = "../model/subjects.rs"]
#[allow(dead_code)]
mod subjects;
mod watch;
