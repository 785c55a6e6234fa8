//! The mini-redirectors, by name: each serves one kind of server behind the contract of `mrx`.
//!
//! A mini-redirector sees `base` and `mrx` only: neither the core nor the others. What they share
//! is in `options`, `parked` and `changes`. To add one, write its file or folder here and list it
//! below.

mod changes;
pub mod faulty;
pub mod local;
pub mod mapped;
pub mod memory;
pub mod options;
mod parked;
#[cfg(test)]
pub(crate) mod test_support;
