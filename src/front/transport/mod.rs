//! The life of the connection with the kernel, from `/dev/fuse` to the last unmount.
//!
//! fuser 0.18 keeps its request loop and its types; everything it does badly is done here
//! (reference fuse.md §5): mounting, the INIT handshake, unmounting, replacing a dead worker,
//! stopping the loop at a request boundary, giving the live descriptor away, and the
//! notifications it lacks.
//!
//! ```text
//!  attach / helper ──► device ──► handshake ──► workers ──► registration (unmount, abort)
//!   a new mount        /dev/fuse    INIT          fuser's loop    taking it out again
//! ```

pub mod abi;
pub mod abort;
pub mod attach;
pub mod device;
pub mod door;
pub mod handshake;
pub mod helper;
pub mod linger;
pub mod mountinfo;
pub mod readers;
pub mod redirect;
pub mod registration;
pub mod workers;
