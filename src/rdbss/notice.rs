//! What the core tells the outside, and what it asks of the kernel, through traits `app` installs.

use crate::base::ids::{Generation, NodeNumber};
use crate::base::stop::Notice;
use std::time::Duration;

/// Hears what a device does. Called with no lock held, from the thread where it happened; must not
/// block and must not call the device back.
pub trait Observer: Send + Sync {
    /// Something happened in this generation.
    fn notice(&self, generation: Generation, notice: Notice);
}

/// The kernel's caches of one mount, behind the front's notifier thread (invariant 4). Every method
/// may be called from a thread that serves requests: the work is queued, only
/// [`KernelCache::settle`] waits.
pub trait KernelCache: Send + Sync {
    /// Queues: write back dirty pages of this file and drop the clean ones.
    fn flush_file(&self, node: NodeNumber);
    /// Queues: forget every cached name and its attributes, so that the next use asks us.
    fn forget_names(&self);
    /// Waits until all that was queued before has been sent; false when `limit` passed first. Never
    /// called on a thread that serves the kernel.
    fn settle(&self, limit: Duration) -> bool;
}

/// The mount in the namespace, for step 7 of a stop (stop.md §4).
pub trait FileSystemRegistration: Send + Sync {
    /// Takes the mount out of the namespace if it is still ours (mount id compared). `lazy`
    /// detaches although somebody is inside. Ok(false): it was gone already.
    ///
    /// # Errors
    /// One line that says why not; `busy` when somebody is inside.
    fn deregister(&self, lazy: bool) -> Result<bool, DeregisterError>;
}

/// Why the mount stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeregisterError {
    /// The kernel says EBUSY.
    #[error("the mount point is busy")]
    Busy,
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}

/// The prefix router, as a device sees it: steps 6 of a stop and of a start (namespace.md).
pub trait UncProvider: Send + Sync {
    /// Registers the device and takes its prefixes.
    ///
    /// # Errors
    /// In words: who owns the prefix already.
    fn register(&self) -> Result<(), String>;
    /// Releases every prefix, then deregisters. Returns the released prefixes in order.
    fn deregister(&self) -> Vec<String>;
}
