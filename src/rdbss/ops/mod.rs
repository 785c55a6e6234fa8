//! One file per family of operations: what each does between the gate and the mini-redirector.
//!
//! An operation asks the gate (through `dispatch`); it never starts or stops anything.

pub mod bind;
pub mod close;
pub mod collapse;
pub mod create;
pub mod data;
pub mod directory;
pub mod info;
pub mod lock;
pub mod names;
