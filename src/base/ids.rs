//! A newtype for every number that crosses a boundary.

use std::fmt;

/// Declares a `u64` newtype with a plain display.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    )+};
}

numbers! {
    /// A file as the kernel names it: FUSE's nodeid, and `st_ino`. The root is 1.
    NodeNumber,
    /// One open handle of an application: FUSE's `fh`. Never reused (stop.md §4, gate.md §2).
    HandleNumber,
    /// Counts successful starts of a device; 0 before the first (stop.md §1).
    Generation,
    /// Names one posted start or stop until its result is known (management.md §3).
    TicketNumber,
    /// One request, in order of arrival at a device.
    SerialNumber,
    /// One loss a device has named, in the order they were named.
    LossNumber,
}

impl NodeNumber {
    /// The root of the mount.
    pub const ROOT: Self = Self(1);
}

/// Who asked: as the kernel or the socket says, never as the caller claims.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Caller {
    /// Thread id for a FUSE request, process id for the control socket; 0 when the kernel does not
    /// know (another pid namespace, RELEASE, write-back).
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}
