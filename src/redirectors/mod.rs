//! The mini-redirectors, each blind to the core and to the others.
//!
//! Each sees only `mrx`, the contract it implements, and `base`. [`memory`] keeps a tree in memory:
//! the embedded default, and the reference the others are measured against.

pub mod memory;
pub mod options;
