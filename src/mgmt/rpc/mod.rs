//! The RPC runtime (management.md §1): interfaces, whether the server listens, calls that run, and
//! the drain at its end.
//!
//! [`machine`] is the policy: a table of results by state, with no lock, no clock and no thread.
//! [`runtime`] drives it and waits. [`status`] has the numbers callers know. Both planes are served
//! through one runtime: the control socket is its auto-listen interface, the remote management
//! interface of [`dce`](crate::mgmt::dce) an ordinary one.

pub mod machine;
pub mod runtime;
pub mod status;
