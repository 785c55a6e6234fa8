//! FUSE: the only folder that names `fuser`. It unpacks, asks the core, replies; it decides
//! nothing.
//!
//! Read [`session`] (a mount from start to end), then [`adapter`] (a request's way through), then
//! [`transport`] (the life of the connection, taken out of fuser's hands).

pub mod adapter;
pub mod control_dir;
pub mod error;
pub mod inodes;
pub mod namespace;
pub mod notifier;
pub mod options;
pub mod session;
pub mod translate;
pub mod transport;
