//! The control directory: a hidden directory at the root of the mount (`.minirdr`; looked up, never
//! listed) that is the device itself, for shells and for callers of `ioctl`.
//!
//! | file | is |
//! | --- | --- |
//! | `status` | one text about the mount, as it was when opened |
//! | `handles` | the open handles, as they were when opened |
//! | `events` | what happens, one JSON object a line; a read past the end waits; pollable |
//! | `control` | takes one command a write; its reply is read back; the same as `ioctl` |
//!
//! All of it is of the device class (stop.md §2): answered in every state, never counted, so that a
//! stop asked through it does not wait for itself. docs/CONTROL-FILE.md is the user's page.

pub mod device;
pub mod directory;
pub mod events;
pub mod ioctl;
pub mod nodes;
