//! What the core tells the outside, and what it asks of the kernel, through traits `app` installs.

use crate::base::ids::{Caller, Generation, LossNumber, NodeNumber};
use crate::base::name::Name;
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
    /// Queues: look this name up again when it is used next; what is open or mounted there stays.
    /// The listing and the attributes of its directory are not to be trusted either.
    fn expire_name(&self, _directory: NodeNumber, _name: Name) {
        self.forget_names();
    }
    /// Queues: forget the attributes of this file.
    fn forget_attributes(&self, node: NodeNumber) {
        self.flush_file(node);
    }
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

/// How a stop reaches those that depend on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A call: whatever runs there already is tightened by it.
    Call,
    /// The stop makes sure: those that are at rest, or have a stop of it open, are let be.
    Again,
}

/// What is open and under way at some devices together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Counted requests inside, closes included.
    pub requests: u64,
    /// Open handles, without those that were detached.
    pub handles: u64,
    /// Handles that nobody has closed yet, the detached among them.
    pub held: u64,
    /// Opens that have not been answered.
    pub opening: u64,
    /// Bytes not on the server yet.
    pub unsent_bytes: u64,
}

impl std::ops::Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            handles: self.handles + other.handles,
            held: self.held + other.held,
            opening: self.opening + other.opening,
            unsent_bytes: self.unsent_bytes + other.unsent_bytes,
        }
    }
}

/// The devices that a device stands for (namespace.md, "Joint with the stop"): a stop or start of
/// it is theirs, too. No method but the three that say so waits, and none is called with a lock
/// held.
pub trait Dependents: Send + Sync {
    /// RxStopMinirdr for each, with these terms: from here on they let nothing new in. False when
    /// one is busy and `refuse_if_busy` is set: then nothing has changed.
    fn stop(&self, asked_by: Caller, options: &StopOptions, ask: Ask) -> bool;
    /// Waits up to `limit` for the stops that were asked for. True once all are over and every
    /// one of the devices is at rest.
    fn wait_stopped(&self, limit: Duration) -> bool;
    /// Is every one of them stopped, and nothing under way?
    fn is_at_rest(&self) -> bool;
    /// What the stops that were asked for and are over have ended with, paths as the mount shows
    /// them; each is told once.
    fn take_reports(&self) -> Vec<Report>;
    /// The stop is past its point of no return: none of theirs is to be taken back with it.
    fn commit(&self);
    /// The stop is taken back: those that it stopped go on, those that are stopped are started
    /// again.
    fn resume(&self, asked_by: Caller);
    /// Starts those that are stopped, and waits for it. What went wrong with some that the device
    /// can be without, a line each. `wanted`: is the start to go on? A stop may have come since.
    ///
    /// # Errors
    /// One line: the device is not to be started. Those that were have been stopped again.
    fn start(&self, asked_by: Caller, wanted: &dyn Fn() -> bool) -> Result<Vec<String>, String>;
    /// What is open and under way.
    fn load(&self) -> Load;
    /// Handles that are open still, at most so many, and how many there are.
    fn survivors(&self, max: usize) -> (Vec<HandleInfo>, u64);
    /// The file system is gone: what the tables still hold is closed, within `limit` altogether.
    fn connection_gone(&self, limit: Duration);
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
