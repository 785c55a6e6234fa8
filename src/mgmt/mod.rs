//! The management plane: what an administrator asks a running host, and how the host answers.
//!
//! It acts only through [`control::Control`], which `app` implements; it knows no redirector and no
//! FUSE (management.md). It never touches the mount point: it answers while the mount hangs.

pub mod authz;
pub mod client;
pub mod codec;
pub mod control;
pub mod endpoint;
pub mod events;
pub mod holders;
pub mod proc;
pub mod proto;
pub mod server;
pub mod service;
mod waiting;
