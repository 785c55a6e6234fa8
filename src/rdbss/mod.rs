//! The dispatcher core: an RDBSS in user space.
//!
//! Read [`lifecycle`] (the machine), [`gate`] (what passes), [`startstop`] (who drives), then
//! [`stop_order`] (the eleven steps) and [`dispatch`] (a request's way through). It knows a trait
//! object, never an implementation, and no FUSE: all of it is tested without a kernel.

mod bounded;
pub mod calldown;
pub mod context;
pub mod credentials;
mod dependents;
pub mod detach;
pub mod device;
pub mod dispatch;
mod feeding;
pub mod feeds;
pub mod fsp;
pub mod gate;
pub mod kind;
pub mod lifecycle;
pub mod losses;
pub mod notice;
pub mod objects;
pub mod operation;
pub mod ops;
mod pages;
pub mod payload;
mod precedence;
pub mod query;
pub mod register;
pub mod requests;
pub mod saving;
mod scavenger;
pub mod start_order;
pub mod startstop;
pub mod statistics;
pub mod stop_order;
mod stop_run;
pub mod survivors;
pub mod terms;
pub mod ticket;
mod told_here;
pub mod watcher;
