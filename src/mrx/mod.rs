//! The contract between the dispatcher core and a mini-redirector.
//!
//! A mini-redirector sees this folder and `base`, nothing else of the program; the core sees a
//! mini-redirector only through here. That is what makes one pluggable.

pub mod calldown;
pub mod low_io;
pub mod request;
pub mod upcall;
