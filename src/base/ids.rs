//! A newtype for every number that crosses a boundary.

use std::fmt;
use std::net::SocketAddr;

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
    /// From where, when it came over a network: then it has no identity, and the others are those
    /// of nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
}

impl Caller {
    /// A process of this machine.
    #[must_use]
    pub const fn local(pid: u32, uid: u32, gid: u32) -> Self {
        Self { pid, uid, gid, remote: None }
    }

    /// Whoever is at the other end of a network. His user and group are the kernel's "nobody":
    /// never to be mistaken for root.
    #[must_use]
    pub const fn from_network(from: SocketAddr) -> Self {
        Self { pid: 0, uid: u32::MAX, gid: u32::MAX, remote: Some(from) }
    }

    /// Is it root?
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.uid == 0 && self.remote.is_none()
    }
}

/// Who it is, for people: `uid 1000 pid 7`, `uid 1000`, or `remote 192.0.2.9:40123`.
impl fmt::Display for Caller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.remote, self.pid) {
            (Some(from), _) => write!(out, "remote {from}"),
            (None, 0) => write!(out, "uid {}", self.uid),
            (None, pid) => write!(out, "uid {} pid {pid}", self.uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network has an address and no identity, in words and in JSON; a process of this machine
    /// has no word more than it had.
    #[test]
    fn a_caller_from_a_network_is_nobody_with_an_address() {
        let remote = Caller::from_network(([192, 0, 2, 9], 40123).into());
        assert_eq!(remote.to_string(), "remote 192.0.2.9:40123");
        assert!(!remote.is_root() && Caller::local(1, 0, 0).is_root());
        assert_eq!(Caller::local(7, 1000, 9).to_string(), "uid 1000 pid 7");
        assert_eq!(Caller::local(0, 1000, 9).to_string(), "uid 1000");
        for (caller, text) in [
            (remote, r#"{"pid":0,"uid":4294967295,"gid":4294967295,"remote":"192.0.2.9:40123"}"#),
            (Caller::local(1, 2, 3), r#"{"pid":1,"uid":2,"gid":3}"#),
        ] {
            assert_eq!(serde_json::to_string(&caller).expect("serialises"), text);
            assert_eq!(serde_json::from_str::<Caller>(text).expect("parses"), caller);
        }
    }
}
