//! The mini-redirectors, by name: each serves one kind of server behind the contract of `mrx`.
//!
//! A mini-redirector sees `base` and `mrx` only: neither the core nor the others. To add one, write
//! its file or folder here and list it below.

pub mod faulty;
pub mod local;
pub mod memory;
pub mod options;
#[cfg(test)]
pub(crate) mod test_support;
