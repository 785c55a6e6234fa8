//! Playing a slow server: every answer takes its time, and waiting for it can be cancelled.
//!
//! Most callouts wait on their own thread, as a synchronous client of a network does. Low I/O pends
//! instead and is done by one timer thread when its time has come, so that many overlap. All wait
//! equally long: a queue in order of arrival is in order of time.

use crate::base::clock::{Clock, Moment};
use crate::base::limits::{DELAYED_BYTES_MAX, DELAYED_REQUESTS_MAX};
use crate::base::status::Status;
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::mrx::low_io::{LowIo, Submission};
use crate::mrx::upcall::RequestContext;
use crate::redirectors::parked::Parked;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Ends a pending request: does the work if it may, else fails it.
type Job = Box<dyn FnOnce(Result<(), Status>) + Send>;

/// The latency of one generation, and the thread that ends its low I/O.
pub(super) struct Delay {
    latency: Duration,
    queue: Arc<JobQueue>,
    thread: Mutex<Option<Thread>>,
}

/// Jobs in order of their time.
struct JobQueue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    /// Is there a thread to do them?
    open: bool,
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

struct Waiting {
    due: Moment,
    bytes: usize,
    job: Job,
}

impl Delay {
    /// A latency whose thread does not run yet: until [`Delay::start`] everybody waits for himself.
    pub(super) fn new(latency: Duration) -> Self {
        let jobs = Mutex::new(Rank::RedirectorInner, Jobs::default());
        let queue = Arc::new(JobQueue { jobs, changed: Condvar::new() });
        Self { latency, queue, thread: Mutex::new(Rank::Redirector, None) }
    }

    /// Starts the timer thread.
    ///
    /// # Errors
    /// `InsufficientResources`: the system has no room for a thread.
    pub(super) fn start(&self, clock: Arc<dyn Clock>) -> Result<(), Status> {
        let spawned = {
            let mut thread = self.thread.lock();
            if thread.is_some() {
                return Ok(());
            }
            self.queue.set_open(true);
            let queue = Arc::clone(&self.queue);
            threads::spawn("memory-timer", move || queue.run(&*clock))
                .map(|started| *thread = Some(started))
        };
        spawned.map_err(|error| {
            self.queue.set_open(false);
            log::error!("starting the thread that plays the latency of memory: {error}");
            Status::InsufficientResources
        })
    }

    /// Ends the timer thread, and has joined it. What was waiting fails with `Cancelled`; there is
    /// nothing when the core has let everything run out.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            self.queue.set_open(false);
            thread.join();
        }
    }

    /// Waits the latency out on this thread.
    ///
    /// # Errors
    /// `Cancelled`, at once when the request is.
    pub(super) fn wait(
        &self,
        context: &dyn RequestContext,
        clock: &dyn Clock,
    ) -> Result<(), Status> {
        let sleeper = Arc::new(Sleeper {
            cancelled: Mutex::new(Rank::Redirector, false),
            woken: Condvar::new(),
        });
        let wake = Arc::clone(&sleeper);
        context.set_cancel_routine(Box::new(move || wake.cancel()))?;
        let slept = sleeper.sleep_until(clock.now().after(self.latency), clock);
        // Taken to be called means being cancelled, even if the call has not come yet.
        if context.clear_cancel_routine() { slept } else { Err(Status::Cancelled) }
    }

    /// Does `work`, which keeps so many bytes, when the latency is over. Does it here if the timer
    /// has all it can hold.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        context: &dyn RequestContext,
        clock: &dyn Clock,
        bytes: usize,
        submission: Submission<'_, T>,
        work: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> LowIo<T> {
        if !self.queue.has_room(bytes) {
            return LowIo::Done(self.wait(context, clock).and_then(|()| work()));
        }
        let due = clock.now().after(self.latency);
        let parked = Parked::park(context, submission);
        let job = move |outcome: Result<(), Status>| {
            if let Some(completer) = parked.take() {
                completer.complete(outcome.and_then(|()| work()));
            }
        };
        if let Err(refused) = self.queue.push(Waiting { due, bytes, job: Box::new(job) }) {
            (refused.job)(Err(Status::Cancelled));
        }
        LowIo::Pending
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.stop();
    }
}

impl JobQueue {
    /// Can one more be taken? Several may hear yes for the last place: the bound is soft by the
    /// number of threads that submit.
    fn has_room(&self, bytes: usize) -> bool {
        let jobs = self.jobs.lock();
        jobs.open
            && jobs.waiting.len() < DELAYED_REQUESTS_MAX
            && jobs.bytes.saturating_add(bytes) <= DELAYED_BYTES_MAX
    }

    fn push(&self, waiting: Waiting) -> Result<(), Waiting> {
        let mut jobs = self.jobs.lock();
        if !jobs.open {
            return Err(waiting);
        }
        jobs.bytes += waiting.bytes;
        jobs.waiting.push_back(waiting);
        self.changed.notify_one();
        Ok(())
    }

    fn set_open(&self, open: bool) {
        self.jobs.lock().open = open;
        self.changed.notify_all();
    }

    /// The timer thread.
    fn run(&self, clock: &dyn Clock) {
        while let Some((job, outcome)) = self.next(clock) {
            // What the completion calls is not ours: its panic must not stop the others' clock.
            if catch_unwind(AssertUnwindSafe(|| job(outcome))).is_err() {
                log::error!("completing a delayed request of memory panicked");
            }
        }
    }

    /// The next job when its time has come; after closing all of them, to be failed.
    fn next(&self, clock: &dyn Clock) -> Option<(Job, Result<(), Status>)> {
        let mut jobs = self.jobs.lock();
        loop {
            let Some(due) = jobs.waiting.front().map(|waiting| waiting.due) else {
                if !jobs.open {
                    return None;
                }
                self.changed.wait(&mut jobs);
                continue;
            };
            let now = clock.now();
            let outcome = if jobs.open { Ok(()) } else { Err(Status::Cancelled) };
            if (due <= now || !jobs.open)
                && let Some(waiting) = jobs.waiting.pop_front()
            {
                jobs.bytes -= waiting.bytes;
                return Some((waiting.job, outcome));
            }
            self.changed.wait_for(&mut jobs, due.since(now));
        }
    }
}

/// A thread waiting for its time, that can be woken before.
struct Sleeper {
    cancelled: Mutex<bool>,
    woken: Condvar,
}

impl Sleeper {
    fn cancel(&self) {
        *self.cancelled.lock() = true;
        self.woken.notify_all();
    }

    fn sleep_until(&self, due: Moment, clock: &dyn Clock) -> Result<(), Status> {
        let mut cancelled = self.cancelled.lock();
        loop {
            if *cancelled {
                return Err(Status::Cancelled);
            }
            let now = clock.now();
            if now >= due {
                return Ok(());
            }
            self.woken.wait_for(&mut cancelled, due.since(now));
        }
    }
}
