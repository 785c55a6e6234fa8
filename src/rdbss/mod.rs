//! The dispatcher core: an RDBSS in user space.
//!
//! Read [`lifecycle`] (the machine), [`gate`] (what passes), [`startstop`] (who drives), then
//! [`dispatch`] (a request's way through). It knows a trait object, never an implementation, and no
//! FUSE: all of it is tested without a kernel.

pub mod calldown;
pub mod notice;
pub mod objects;
pub mod operation;
