//! minirdr: the network mount that tells the truth when it stops.
//!
//! A userspace network redirector for Linux: a FUSE file system in front, an RDBSS-like dispatcher
//! in the middle, pluggable mini-redirectors behind, and an orderly stop modelled on
//! `RxStopMinirdr`.
//!
//! Start reading at [`rdbss::lifecycle`], the machine; then [`rdbss::gate`], what it lets through;
//! then [`rdbss::startstop`], which drives it. The layers, lowest first:
//!
//! | layer | is | may import |
//! | --- | --- | --- |
//! | [`base`] | status, names, limits, clock, locks, threads, queues | nothing of ours |
//! | [`mrx`] | the contract with a mini-redirector | base |
//! | [`redirectors`] | the mini-redirectors | base, mrx |
//! | [`mup`] | the prefix router | base |
//! | [`rdbss`] | the dispatcher core | base, mrx |
//! | [`front`] | FUSE | base, mup, rdbss |
//! | [`mgmt`] | the management plane | base |
//! | [`app`] | one running host | all above |
//! | [`cli`] | words to commands | base, mgmt, app |
//!
//! `tests/tidy.rs` holds this table.
//!
//! Under a model checker (`--cfg loom`, `--cfg shuttle`; docs/TESTING.md) there is the core alone:
//! what talks to the kernel, to files or to sockets cannot run there.

#[cfg(not(any(loom, shuttle)))]
pub mod app;
pub mod base;
#[cfg(not(any(loom, shuttle)))]
pub mod cli;
#[cfg(not(any(loom, shuttle)))]
pub mod front;
#[cfg(not(any(loom, shuttle)))]
pub mod mgmt;
pub mod mrx;
pub mod mup;
pub mod rdbss;
#[cfg(not(any(loom, shuttle)))]
pub mod redirectors;
