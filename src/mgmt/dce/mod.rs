//! DCE/RPC over connections: the standard remote management interface (management.md §5), for
//! tools that speak nothing else. Off unless a mount was started with `--rpc`.
//!
//! From the wire inwards: [`pdu`] makes messages of bytes and back, [`ndr`] their operands,
//! [`connection`] is the protocol of one connection without a socket, [`interface`] the five
//! operations as types, [`service`] carries them out, [`server`] has the sockets and the threads.
//! [`binding`] reads `ncacn_ip_tcp:ADDRESS[PORT]` and `ncalrpc:[PATH]`.
//!
//! Nothing here is authenticated by DCE: who is at the other end of a Unix socket is what the
//! kernel says, and whoever comes over TCP is nobody.

pub mod binding;
pub mod connection;
mod connections;
pub mod interface;
pub mod ndr;
pub mod pdu;
pub mod server;
pub mod service;
pub mod syntax;
