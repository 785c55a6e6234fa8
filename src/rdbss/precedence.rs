//! What root's calls come before: nobody else may stand in the way of a shutdown (management.md
//! §2).
//!
//! Later calls of anybody tighten a stop and never loosen it (`terms`), so a stop of root's caps
//! the deadline and the grace of those before it. Besides: nobody else takes a stop of root's back,
//! fills the queue against it, or lets it wait behind one start after another.

use crate::base::ids::{Caller, TicketNumber};
use crate::base::limits::{CONTROL_QUEUE_MAX, CONTROL_QUEUE_RESERVED};
use crate::base::stop::{CallKind, State};
use crate::base::sync::atomic::Ordering;
use crate::rdbss::startstop::{Inner, Job};

/// Calls of `asked_by` that may wait.
pub(in crate::rdbss) const fn room(asked_by: Caller) -> usize {
    match asked_by.is_root() {
        true => CONTROL_QUEUE_MAX,
        false => CONTROL_QUEUE_MAX - CONTROL_QUEUE_RESERVED,
    }
}

/// Does a call of the first come before one of the second?
pub(in crate::rdbss) const fn outranks(first: Caller, second: Caller) -> bool {
    first.is_root() && !second.is_root()
}

impl Inner {
    /// A stop of root's that a resume would take back: the running one, or one that waits.
    pub fn stop_of_root(&self) -> Option<TicketNumber> {
        let running = self.running.iter().map(|call| (call.kind, call.asked_by, call.ticket));
        // One that is just being posted comes after the resume, and stays.
        let announced = |job: &&Job| job.announced.load(Ordering::Acquire);
        let queued = self.queue.iter().filter(announced);
        let queued = queued.map(|job| (job.kind, job.asked_by, job.ticket));
        let mut stops = running.chain(queued).filter(|(kind, ..)| *kind == CallKind::Stop);
        stops.find(|(_, asked_by, _)| asked_by.is_root()).map(|(.., ticket)| ticket)
    }

    /// Does a stop of root's wait behind a start that is not root's? Then the start is not worth
    /// its time, of which a server that hangs would take all.
    pub fn is_overtaken_by_root(&self, start: &Job) -> bool {
        self.state == State::Startable && self.holds_root_up(start)
    }

    /// The same, whether it runs or not.
    pub fn holds_root_up(&self, start: &Job) -> bool {
        let stops =
            |job: &Job| job.kind == CallKind::Stop && outranks(job.asked_by, start.asked_by);
        self.queue.iter().any(stops)
    }
}
