//! Stops and starts while the mini-redirector misbehaves: each callout of the contract delayed,
//! failing, hanging and panicking, with each of the four outcomes of a deadline, and then all of it
//! at random, seed by seed (stop.md S1, S6, S7, S8).
//!
//! A real device over `memory` behind `faulty`. What is proved each time: the control lane comes
//! back by the deadline and [`check::GRACE`]; it says the truth (result, cancelled, abandoned,
//! survivors, losses); and afterwards the device starts, works, and every count is back.
//!
//! `FAULT_SEEDS=0..5000 cargo test --test fault seeds` looks longer.

mod check;
#[path = "../common/mod.rs"]
mod common;
mod scene;
mod seeds;
mod starts;
mod stops;
mod ways;
