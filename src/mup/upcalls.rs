//! What the router asks of the outside. `app` implements these; the router holds none of its locks
//! when it calls them, and asserts that its caller held none either.
//!
//! A callback must return, and must not call back into the router's ownership: that is answered
//! with 1003 ([`Refused::InsideCallback`](crate::mup::refused::Refused)) instead of a deadlock.

use crate::base::ids::Caller;
use crate::base::status::Status;
use crate::mup::net_name::NetName;
use std::fmt;

/// A registered provider. Counted up from 1 and never used again, so one that was deregistered is
/// dead for ever: the number is its own generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderHandle(pub(in crate::mup) u64);

impl ProviderHandle {
    /// The number, for logs and listings.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ProviderHandle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A provider's answer to "is this name yours?" (IOCTL_REDIR_QUERY_PATH, rdbss.md 7.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The first so many components of the name are the share: the *length accepted*. Never fewer
    /// than its prefix has.
    Accepted(usize),
    /// Not mine; may be remembered.
    Refused,
}

/// A device, as the router sees it: it claims names, and makes the three objects behind a claim.
///
/// Any of these may be slow; whoever needs the same object waits, and nobody else does. None may
/// resolve a name: it would wait for itself. When one panics, who waited for it gets
/// `Status::Unsuccessful`.
pub trait Provider: Send + Sync + 'static {
    /// SRV_CALL: a server.
    type Server: Send + Sync + 'static;
    /// NET_ROOT: a share on it.
    type Share: Send + Sync + 'static;
    /// V_NET_ROOT: one user's view of the share.
    type View: Send + Sync + 'static;

    /// Does the name belong to this provider, and how much of it is the share? `prefix` is the
    /// provider's own that the name is below; without one it is below nobody's, and every provider
    /// is asked. The answer is the same for all users.
    ///
    /// # Errors
    /// It cannot be told now: the next provider is asked, and nothing is remembered.
    fn claim(&self, name: &NetName, prefix: Option<&NetName>) -> Result<Claim, Status>;

    /// Builds a server: the first component of the share, the root for a share at the root.
    ///
    /// # Errors
    /// The resolution's result.
    fn create_srv_call(&self, server: &NetName) -> Result<Self::Server, Status>;

    /// Builds a share.
    ///
    /// # Errors
    /// The resolution's result.
    fn create_net_root(
        &self,
        server: &std::sync::Arc<Self::Server>,
        share: &NetName,
    ) -> Result<Self::Share, Status>;

    /// Builds the caller's view of a share.
    ///
    /// # Errors
    /// The resolution's result, for this caller.
    fn create_v_net_root(
        &self,
        share: &std::sync::Arc<Self::Share>,
        caller: Caller,
    ) -> Result<Self::View, Status>;

    /// Has every user a view of his own? If not, the first one's is everybody's.
    fn views(&self) -> Views {
        Views::Shared
    }
}

/// Who shares a view of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Views {
    /// Everybody.
    Shared,
    /// Those of the same user and group.
    PerUser,
}

/// The agent that is co-resident on every prefix: ours collects the live watches. It lets go of a
/// prefix while its owner changes.
pub trait Agent: Send + Sync {
    /// Let go of the prefix: what was watched under it is dropped.
    fn disable(&self, prefix: &NetName);
    /// The prefix has its new owner, or none. What is to be watched again is added afterwards, by
    /// a thread of the agent's own.
    fn enable(&self, prefix: &NetName, owner: Option<ProviderHandle>);
}

/// What was remembered below a prefix that changes hands: what the kernel may remember too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Names, at most [`PURGED_NAMES_MAX`](crate::base::limits::PURGED_NAMES_MAX) of them.
    pub names: Vec<NetName>,
    /// How many more there were.
    pub more: u64,
}

/// The kernel's caches of the mount, behind the front's notifier thread.
pub trait KernelNames: Send + Sync {
    /// Queues, and does not wait: forget the prefix, every directory above it, whose listing may
    /// have changed, and all that is below it; `purged` is what the router knows of that.
    fn invalidate(&self, prefix: &NetName, purged: &Purged);
    /// The same for names below no prefix, when the providers that may claim them are others now.
    fn forget(&self, purged: &Purged);
    /// Waits until the notifier has sent all that was queued; false when that took too long. Never
    /// called on a thread that serves the kernel, unless that thread asked for the hand-over.
    fn settle(&self, prefix: &NetName) -> bool;
}

/// Change notification at the owners: local join and leave, as the multicast group manager has it.
/// Queues, and does not wait for a server: a hand-over of the prefix waits for it.
pub trait Upstream: Send + Sync {
    /// Somebody is interested in this path now.
    fn start(&self, owner: ProviderHandle, path: &NetName);
    /// Nobody is any more, or the prefix has another owner.
    fn stop(&self, owner: ProviderHandle, path: &NetName);
}

/// Who adds a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watcher {
    /// The agent, on any prefix.
    Agent,
    /// A provider, under its own.
    Provider(ProviderHandle),
}
