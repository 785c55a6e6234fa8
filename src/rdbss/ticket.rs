//! Tickets: a posted start or stop, and its result for whoever waits, now or later (management.md
//! §3).
//!
//! Exactly one result a ticket. The last [`TICKET_RESULTS_KEPT`] results are kept, so that a waiter
//! who connects after the end still gets his.

use crate::base::ids::TicketNumber;
use crate::base::limits::TICKET_RESULTS_KEPT;
use crate::base::stop::Report;
use crate::base::sync::{Condvar, Mutex, Rank};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where numbers of tickets come from: devices of one mount share it, so that a number alone names
/// a ticket. Not one of the checkers' atomics: nothing is decided by it.
#[derive(Clone, Debug, Default)]
pub struct TicketNumbers(Arc<AtomicU64>);

impl TicketNumbers {
    fn next(&self) -> TicketNumber {
        TicketNumber(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[derive(Debug, Default)]
struct Inner {
    open: BTreeSet<TicketNumber>,
    ended: VecDeque<(TicketNumber, Report)>,
}

/// The tickets of one device, or of one kind of operation.
#[derive(Debug)]
pub struct Tickets {
    numbers: TicketNumbers,
    inner: Mutex<Inner>,
    ended: Condvar,
}

/// What is known of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub enum TicketState {
    /// It has not ended.
    Open,
    /// It ended so.
    Ended(Box<Report>),
    /// Never issued, or too long ago.
    Unknown,
}

impl Default for Tickets {
    fn default() -> Self {
        Self::numbered(TicketNumbers::default())
    }
}

impl Tickets {
    /// None yet; theirs will be the next of these numbers.
    #[must_use]
    pub fn numbered(numbers: TicketNumbers) -> Self {
        let inner = Mutex::new(Rank::Tickets, Inner::default());
        Self { numbers, inner, ended: Condvar::new() }
    }

    /// A new ticket.
    pub fn issue(&self) -> TicketNumber {
        let mut inner = self.inner.lock();
        let ticket = self.numbers.next();
        inner.open.insert(ticket);
        ticket
    }

    /// Its result. A second one for the same ticket is refused: exactly one.
    ///
    /// # Errors
    /// The report back, if the ticket is not open.
    pub fn resolve(&self, ticket: TicketNumber, report: Report) -> Result<(), Box<Report>> {
        let mut inner = self.inner.lock();
        if !inner.open.remove(&ticket) {
            return Err(Box::new(report));
        }
        if inner.ended.len() == TICKET_RESULTS_KEPT {
            inner.ended.pop_front();
        }
        inner.ended.push_back((ticket, report));
        drop(inner);
        self.ended.notify_all();
        Ok(())
    }

    /// Takes a ticket back that nobody has been told of: as if it had never been issued.
    pub fn withdraw(&self, ticket: TicketNumber) {
        self.inner.lock().open.remove(&ticket);
    }

    /// What is known of it now.
    #[must_use]
    pub fn state(&self, ticket: TicketNumber) -> TicketState {
        self.inner.lock().state(ticket)
    }

    /// Waits up to `limit` for it to end.
    #[must_use]
    pub fn wait(&self, ticket: TicketNumber, limit: Duration) -> TicketState {
        let mut inner = self.inner.lock();
        let known = inner.state(ticket);
        if known != TicketState::Open {
            return known;
        }
        self.ended.wait_for(&mut inner, limit);
        inner.state(ticket)
    }

    /// Tickets that have not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.inner.lock().open.len()
    }
}

impl Inner {
    fn state(&self, ticket: TicketNumber) -> TicketState {
        if self.open.contains(&ticket) {
            return TicketState::Open;
        }
        let ended = self.ended.iter().find(|(number, _)| *number == ticket);
        ended.map_or(TicketState::Unknown, |(_, report)| {
            TicketState::Ended(Box::new(report.clone()))
        })
    }
}
