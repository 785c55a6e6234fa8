//! The six objects of RDBSS, and who keeps whom alive.
//!
//! ```text
//!  SrvCall  <-  NetRoot  <-  VNetRoot  <-  Fcb (its binding)  <-  SrvOpen  <-  Fobx
//!  a server     a share      one view      a file                 one open     one handle
//! ```
//!
//! An arrow is an `Arc` from the child to its parent: a parent cannot be finalised while a child
//! lives (rdbss.md 1.2), and dropping the last child drops the parent. Finalising is `Drop`: the
//! name leaves its table first, then the mini-redirector's half goes (1.3). Lock order:
//! NetNameTable, then FcbTable, then Fcb (`base/sync.rs`).
//!
//! An FCB outlives a stop while the kernel knows its number; it is *bound* to the view of one
//! generation and bound again in the next one. A SRV_OPEN keeps the binding it was opened under, so
//! a survivor's cleanup and close reach its own generation's mini-redirector (stop.md S3). Several
//! FOBX may share one SRV_OPEN, and its close may wait for the next (`shared_opens.rs`).

pub mod fcb;
pub mod fcb_table;
pub mod fobx;
pub mod handles;
pub mod net_root;
pub mod number_space;
pub mod shared_opens;
pub mod srv_call;
pub mod srv_open;
pub mod v_net_root;
