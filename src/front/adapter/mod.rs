//! A request's way through the front: unpacked, submitted to the core, its answer sent.
//!
//! [`filesystem`] has one method a request; the families ([`names`], [`info`], [`data`],
//! [`directory`], [`locks`]) make the operation, [`finish`] sends the answer, and [`front`] is what
//! they share. Requests on the control files ([`control`]) never reach the core.

pub mod buffers;
pub mod control;
pub mod data;
pub mod directory;
pub mod filesystem;
pub mod finish;
pub mod front;
pub mod info;
pub mod locks;
pub mod names;
pub mod serve;
