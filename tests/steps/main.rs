//! The steps of a stop, one by one: a close, a second stop, a start and a resume that arrive in the
//! middle of each (stop.md S8), and every surprise of gate.md §4.3 by its number.

#[path = "../common/mod.rs"]
mod common;
mod every_step;
mod held;
mod surprises;
