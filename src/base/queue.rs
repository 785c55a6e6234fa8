//! A bounded, closable queue of three classes, for the file system process.
//!
//! `VecDeque`s under one mutex with a condition variable, measured against channels in gate.md §3:
//! a channel's spinning receive costs milliseconds on a busy small machine. FIFO in a class;
//! classes in order of urgency; one delayed job after [`FSP_CRITICAL_RUN_MAX`] others, so that it
//! cannot starve.
//! `Full` and `Closed` hand the job back: nothing is lost and nobody waits.

use crate::base::limits::FSP_CRITICAL_RUN_MAX;
use crate::base::sync::{Condvar, Mutex, Rank};
use std::collections::VecDeque;
use std::time::Duration;

/// How urgent a job is (rdbss.md 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Never refused for lack of room; must not block.
    HyperCritical,
    /// A user waits for it.
    Critical,
    /// Nobody waits for it.
    Delayed,
}

impl Class {
    /// All of them, each at the place its number says.
    pub const ALL: [Self; 3] = [Self::HyperCritical, Self::Critical, Self::Delayed];

    /// Its word in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HyperCritical => "hypercritical",
            Self::Critical => "critical",
            Self::Delayed => "delayed",
        }
    }
}

/// Why a job was not taken; it comes back to its owner.
#[derive(Debug)]
pub enum Rejected<T> {
    /// Count or bytes are at their bound.
    Full(T),
    /// The queue takes nothing any more.
    Closed(T),
}

/// What a worker got.
#[derive(Debug)]
pub enum Taken<T> {
    /// A job.
    Job(T),
    /// The time ran out.
    Timeout,
    /// Closed and empty: the worker may go home.
    Closed,
}

/// The queue.
#[derive(Debug)]
pub struct ClassQueue<T> {
    jobs_max: usize,
    bytes_max: usize,
    inner: Mutex<Inner<T>>,
    filled: Condvar,
}

/// What went through one class (rdbss.md 4.5): a `queued_total` far above `posted_total` says that
/// there are too few workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Jobs taken in.
    pub posted_total: u64,
    /// Jobs handed out.
    pub taken_total: u64,
    /// Jobs handed back because there was no room.
    pub rejected_total: u64,
    /// The length each job found, summed up: the cumulative length of the queue.
    pub queued_total: u64,
}

#[derive(Debug)]
struct Inner<T> {
    lanes: [VecDeque<(T, usize)>; 3],
    bytes: usize,
    accounts: [Account; 3],
    sleeping: usize,
    urgent_run: u32,
    closed: bool,
}

impl<T> ClassQueue<T> {
    /// An open, empty queue with its two bounds.
    #[must_use]
    pub fn new(jobs_max: usize, bytes_max: usize) -> Self {
        let lanes = [VecDeque::new(), VecDeque::new(), VecDeque::new()];
        let inner = Inner {
            lanes,
            bytes: 0,
            accounts: Default::default(),
            sleeping: 0,
            urgent_run: 0,
            closed: false,
        };
        Self { jobs_max, bytes_max, inner: Mutex::new(Rank::Queue, inner), filled: Condvar::new() }
    }

    /// Puts a job of `bytes` payload at the end of its class.
    ///
    /// # Errors
    /// [`Rejected`] with the job: over a bound (never for `HyperCritical`), or closed.
    pub fn push(&self, class: Class, bytes: usize, job: T) -> Result<(), Rejected<T>> {
        self.put(class, bytes, job, class == Class::HyperCritical)
    }

    /// The same for a job that is owed (a cleanup, a close): no bound keeps it out. There are as
    /// many of those as handles.
    ///
    /// # Errors
    /// [`Rejected::Closed`] with the job.
    pub fn push_owed(&self, class: Class, bytes: usize, job: T) -> Result<(), Rejected<T>> {
        self.put(class, bytes, job, true)
    }

    fn put(&self, class: Class, bytes: usize, job: T, owed: bool) -> Result<(), Rejected<T>> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Rejected::Closed(job));
        }
        let jobs: usize = inner.lanes.iter().map(VecDeque::len).sum();
        let full = jobs >= self.jobs_max || inner.bytes.saturating_add(bytes) > self.bytes_max;
        let account = &mut inner.accounts[class as usize];
        if full && !owed {
            account.rejected_total += 1;
            return Err(Rejected::Full(job));
        }
        account.posted_total += 1;
        account.queued_total += jobs as u64;
        inner.bytes += bytes;
        inner.lanes[class as usize].push_back((job, bytes));
        if inner.sleeping > 0 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes the next job, waiting up to `limit` for one.
    pub fn pop(&self, limit: Duration) -> Taken<T> {
        let mut inner = self.inner.lock();
        loop {
            if let Some(job) = inner.next() {
                return Taken::Job(job);
            }
            if inner.closed {
                return Taken::Closed;
            }
            inner.sleeping += 1;
            let timed_out = self.filled.wait_for(&mut inner, limit);
            inner.sleeping -= 1;
            if timed_out {
                return inner.next().map_or(Taken::Timeout, Taken::Job);
            }
        }
    }

    /// Takes no more jobs; those inside are still handed out.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.filled.notify_all();
    }

    /// Takes no more jobs, and hands out those that nobody has taken, in their order.
    pub fn close_and_take(&self) -> Vec<T> {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let rest = std::iter::from_fn(|| inner.next()).collect();
        drop(inner);
        self.filled.notify_all();
        rest
    }

    /// What went through each class: hypercritical, critical, delayed.
    pub fn accounts(&self) -> [Account; 3] {
        self.inner.lock().accounts
    }

    /// Does it take nothing any more?
    pub fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Jobs waiting.
    pub fn len(&self) -> usize {
        self.inner.lock().lanes.iter().map(VecDeque::len).sum()
    }

    /// Is nothing waiting?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Inner<T> {
    fn next(&mut self) -> Option<T> {
        let delayed_is_due = self.urgent_run >= FSP_CRITICAL_RUN_MAX;
        let order: [usize; 3] = if delayed_is_due { [2, 0, 1] } else { [0, 1, 2] };
        for lane in order {
            if let Some((job, bytes)) = self.lanes[lane].pop_front() {
                self.bytes -= bytes;
                self.accounts[lane].taken_total += 1;
                self.urgent_run = if lane == 2 { 0 } else { self.urgent_run.saturating_add(1) };
                return Some(job);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const NOW: Duration = Duration::ZERO;

    fn take(queue: &ClassQueue<u32>) -> Option<u32> {
        match queue.pop(NOW) {
            Taken::Job(job) => Some(job),
            Taken::Timeout | Taken::Closed => None,
        }
    }

    /// Stop.md C3: three classes, FIFO in a class.
    #[test]
    fn c3_urgent_first_and_fifo_within() {
        let queue = ClassQueue::new(8, 100);
        for (class, job) in [
            (Class::Delayed, 5),
            (Class::Critical, 3),
            (Class::HyperCritical, 1),
            (Class::Critical, 4),
            (Class::HyperCritical, 2),
        ] {
            queue.push(class, 0, job).expect("room");
        }
        let order: Vec<u32> = std::iter::from_fn(|| take(&queue)).collect();
        assert_eq!(order, [1, 2, 3, 4, 5]);
    }

    /// Stop.md C3: bounded by count and bytes; the job comes back.
    #[test]
    fn c3_bounds_hand_the_job_back() {
        let queue = ClassQueue::new(2, 10);
        queue.push(Class::Critical, 8, 1).expect("room");
        assert!(matches!(queue.push(Class::Critical, 3, 2), Err(Rejected::Full(2))));
        queue.push(Class::Critical, 2, 3).expect("room");
        assert!(matches!(queue.push(Class::Delayed, 0, 4), Err(Rejected::Full(4))));
        queue.push(Class::HyperCritical, 99, 5).expect("never refused for room");
        queue.push_owed(Class::Delayed, 99, 6).expect("owed: never refused for room");
        queue.close();
        assert!(matches!(queue.push(Class::HyperCritical, 0, 7), Err(Rejected::Closed(7))));
        assert!(matches!(queue.push_owed(Class::Delayed, 0, 7), Err(Rejected::Closed(7))));
        let order: Vec<_> = (0..4).map(|_| take(&queue)).collect();
        assert_eq!(order, [Some(5), Some(1), Some(3), Some(6)]);
        assert!(matches!(queue.pop(NOW), Taken::Closed));
    }

    /// Issue 3, work queues: every job that came in went out or was handed back, by class.
    #[test]
    fn the_accounts_add_up() {
        let queue = ClassQueue::new(2, 10);
        for job in 0..3 {
            let full = queue.push(Class::Critical, 0, job).is_err();
            assert_eq!(full, job == 2);
        }
        assert_eq!(take(&queue), Some(0));
        assert_eq!(queue.close_and_take(), [1]);
        let account =
            Account { posted_total: 2, taken_total: 2, rejected_total: 1, queued_total: 1 };
        assert_eq!(queue.accounts(), [Account::default(), account, Account::default()]);
    }

    /// Stop.md C3: a stream of critical jobs does not starve a delayed one.
    #[test]
    fn c3_a_delayed_job_is_not_starved() {
        let queue = ClassQueue::new(1000, 0);
        queue.push(Class::Delayed, 0, 999).expect("room");
        for job in 0..100 {
            queue.push(Class::Critical, 0, job).expect("room");
        }
        let position = std::iter::from_fn(|| take(&queue)).position(|job| job == 999);
        assert_eq!(position, Some(FSP_CRITICAL_RUN_MAX as usize));
    }
}
