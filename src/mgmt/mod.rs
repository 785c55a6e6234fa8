//! The management plane: what an administrator asks a running host, and how the host answers.
//!
//! It acts only through [`control::Control`], which `app` implements; it knows no redirector and no
//! FUSE (management.md). It never touches the mount point: it answers while the mount hangs.
//!
//! A request comes in at [`server`], which knows the peer; [`codec`] makes a message of its bytes;
//! [`service`] asks [`authz`], then `Control`, and answers in the types of [`proto`]; calls that
//! wait are in `waiting`, those about one provider in `parts`; the one that
//! tells what changes at a path is in [`watch`]. What happens comes in at [`events`].
//! [`holders`] finds who holds a mount: it reads `/proc` through [`proc`] and `mounts`, and
//! [`merge`] puts that together with the handle table. [`endpoint`] is the place of the socket, and
//! [`client`] its other end. Every call runs through the runtime of [`rpc`], which can stop taking
//! them; [`dce`] is a second, optional way in. [`metrics`] encodes what is counted.
//! `docs/MANAGEMENT.md` is the manual.

pub mod authz;
pub mod client;
pub mod codec;
pub mod control;
pub mod dce;
pub mod disclosure;
pub mod dying;
pub mod endpoint;
pub mod events;
pub mod holders;
pub mod merge;
pub mod metrics;
mod mounts;
pub mod network;
pub mod overrides;
mod parts;
pub mod peer;
pub mod proc;
pub mod proto;
pub mod providers;
pub mod rpc;
mod rpc_state;
pub mod server;
pub mod service;
mod waiting;
pub mod watch;
