//! What did not reach the server, kept under the state directory until it is replayed or discarded
//! (design README, invariant 9; cli.md, `minirdr unsent`).
//!
//! [`store`] is the directory, [`keeper`] the thread that alone changes it while a daemon runs, and
//! [`replay`] the way back to the server.

pub mod keeper;
pub mod replay;
pub mod store;
