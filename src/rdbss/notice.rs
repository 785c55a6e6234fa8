//! What the core tells the outside, and what it asks of the kernel, through traits `app` installs.

use crate::base::ids::{Caller, Generation, LossNumber, NodeNumber};
use crate::base::stop::{HandleInfo, Loss, Notice, Report, StopOptions};
use crate::mrx::request::FileIdentity;
use crate::rdbss::context::Span;
use std::sync::Arc;
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

    /// Is the file system gone, with every mount of it: bind mounts, those of other namespaces, and
    /// what a lazy unmount left? Then nothing of it can be open any more.
    fn has_ended(&self) -> bool;
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

/// The devices that a mount's own device stands for (namespace.md, "Joint with the stop"): a stop
/// or start of it is theirs, too. No method but the two that say so waits, and none is called with
/// a lock held.
pub trait Dependents: Send + Sync {
    /// RxStopMinirdr for each, with these terms: from here on they let nothing new in. False when
    /// one is busy and `refuse_if_busy` is set: then nothing has changed.
    fn stop(&self, asked_by: Caller, options: &StopOptions) -> bool;
    /// Waits up to `limit` for the stops that were asked for. Once the last is over: what each
    /// ended with, paths as the mount shows them.
    fn wait_stopped(&self, limit: Duration) -> Option<Vec<Report>>;
    /// The stop is taken back: those that drain go on, those that are stopped are started again.
    fn resume(&self, asked_by: Caller);
    /// Starts those that are stopped, and waits for it. What went wrong with some that the mount
    /// can be without, a line each.
    ///
    /// # Errors
    /// One line: the mount is not to be started. Those that were have been stopped again.
    fn start(&self, asked_by: Caller) -> Result<Vec<String>, String>;
    /// Handles that are open still, at most so many, and how many there are.
    fn survivors(&self, max: usize) -> (Vec<HandleInfo>, u64);
    /// The file system is gone: what the tables still hold is closed.
    fn connection_gone(&self);
}

/// Bytes that were acknowledged or handed over and did not reach the server, with all that is known
/// of them.
#[derive(Clone, Debug)]
pub struct LostWrite {
    /// The file's path.
    pub path: Vec<u8>,
    /// Which file; all zero when it is not known.
    pub identity: FileIdentity,
    /// Where they belong in it; none when that is not known: what a mini-redirector held back.
    pub span: Option<Span>,
    /// How many.
    pub bytes: u64,
    /// Written to a handle that appends: the offset is the kernel's idea of the end.
    pub append: bool,
    /// The bytes, where they were at hand.
    pub data: Option<Arc<[u8]>>,
    /// Why.
    pub error: String,
    /// When it was given up, in seconds since the Unix epoch.
    pub lost_unix_s: f64,
    /// Who wrote them; for page write-back, which has no caller, who opened the handle.
    pub written_by: Caller,
}

impl LostWrite {
    /// As a report names it.
    #[must_use]
    pub fn loss(&self) -> Loss {
        Loss {
            path: self.path.clone(),
            bytes: self.bytes,
            error: self.error.clone(),
            written_by: self.written_by,
            command: None,
            kept_in: None,
        }
    }
}

/// What became of a loss that was to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The writer's command name, where it could still be read.
    pub command: Option<String>,
    /// The file that has the bytes; none: they are not kept.
    pub file: Option<String>,
    /// Why not.
    pub why_not: Option<String>,
}

/// Keeps what was lost, on a thread of its own (design README, invariant 9). Only
/// [`LossKeeper::settle`] waits; the others are called from threads that serve requests.
pub trait LossKeeper: Send + Sync {
    /// Queues: keep this.
    fn keep(&self, number: LossNumber, lost: LostWrite);
    /// Queues: this one has reached the server after all.
    fn arrived(&self, number: LossNumber);
    /// Waits until all that was queued before is on disk, or is known not to get there; false when
    /// `limit` passed first. Never called on a thread that serves the kernel.
    fn settle(&self, limit: Duration) -> bool;
    /// What became of a loss; nothing is known of it before it is settled.
    fn kept(&self, number: LossNumber) -> Kept;
}
