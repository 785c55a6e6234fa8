//! The file system process: workers that run posted requests (stop.md C3, rdbss.md 4.1).
//!
//! Not a process of its own but threads that serve nothing else. They are made when there is work
//! and go home after `IDLE` without any. A worker that sits in one callout for long counts as
//! stuck, and another takes its place, up to a bound: a server that hangs does not take the others'
//! turns. The control thread is not one of them (one thread for both deadlocks, gate.md 4.3).

use crate::base::clock::{Clock, Moment};
use crate::base::limits::{
    FSP_QUEUE_BYTES_MAX, FSP_QUEUE_MAX, FSP_STUCK_AFTER, FSP_WORKERS_MAX, FSP_WORKERS_STUCK_MAX,
};
use crate::base::queue::{Account, Class, ClassQueue, Rejected, Taken};
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::{self, Thread};
use std::sync::Arc;
use std::time::Duration;

/// How long a worker waits for work before it goes home (RDBSS waits as long, rdbss.md 4.5).
const IDLE: Duration = Duration::from_secs(10);
/// The `busy_since` of a worker that waits for work.
const NOT_BUSY: u64 = u64::MAX;
/// The `busy_since` of a worker on its way home: it takes no more jobs.
const GOING_HOME: u64 = u64::MAX - 1;

/// A posted request: everything it needs travels with it, its reply included.
pub type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct Worker {
    thread: Option<Thread>,
    /// Nanoseconds of the clock when its job began.
    busy_since: Arc<AtomicU64>,
}

/// The workers of one device, for one generation.
pub struct Fsp {
    queue: Arc<ClassQueue<Job>>,
    clock: Arc<dyn Clock>,
    idle: Duration,
    workers: Mutex<Vec<Worker>>,
    went_home: Arc<Condvar>,
}

/// How many workers there are, and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FspView {
    /// Threads.
    pub workers: usize,
    /// Of these, stuck in a callout.
    pub stuck: usize,
    /// Jobs waiting.
    pub queued: usize,
    /// What went through each class: hypercritical, critical, delayed.
    pub accounts: [Account; 3],
}

/// What a spin-down leaves.
#[derive(Default)]
pub struct SpunDown {
    /// Workers that sit in a callout nobody waits for any more.
    pub given_up: usize,
    /// Jobs that no worker could be had for, in their order: they are owed to somebody else.
    pub left: Vec<Job>,
}

impl Fsp {
    /// No workers yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_idle(clock, IDLE)
    }

    fn with_idle(clock: Arc<dyn Clock>, idle: Duration) -> Self {
        Self {
            queue: Arc::new(ClassQueue::new(FSP_QUEUE_MAX, FSP_QUEUE_BYTES_MAX)),
            clock,
            idle,
            workers: Mutex::new(Rank::Workers, Vec::new()),
            went_home: Arc::new(Condvar::new()),
        }
    }

    /// Posts a request of `bytes` payload.
    ///
    /// # Errors
    /// [`Rejected`] with the job: the caller runs it inline where it may block, or refuses it.
    pub fn post(&self, class: Class, bytes: usize, job: Job) -> Result<(), Rejected<Job>> {
        self.queue.push(class, bytes, job)?;
        self.tend();
        Ok(())
    }

    /// The same for a job that is owed: no bound keeps it out.
    ///
    /// # Errors
    /// [`Rejected::Closed`] with the job.
    pub fn post_owed(&self, class: Class, bytes: usize, job: Job) -> Result<(), Rejected<Job>> {
        self.queue.push_owed(class, bytes, job)?;
        self.tend();
        Ok(())
    }

    /// Sees to it that there are workers for what waits. Called at each post and by the watcher.
    pub fn tend(&self) {
        let now = self.clock.now();
        let mut workers = self.workers.lock();
        let mut gone = Vec::new();
        workers.retain_mut(|worker| {
            let over = worker.thread.as_ref().is_none_or(Thread::is_finished);
            if over {
                gone.push(worker.thread.take());
            }
            !over
        });
        self.staff(&mut workers, now);
        drop(workers);
        // Threads that have ended are joined with no lock held.
        drop(gone);
    }

    /// Hires workers if jobs wait that no idle one will take: as many as there may be able ones.
    fn staff(&self, workers: &mut Vec<Worker>, now: Moment) {
        let count = |which: &dyn Fn(&Worker) -> bool| workers.iter().filter(|it| which(it)).count();
        let stuck = count(&|worker| worker.is_stuck(now));
        let mut idle = count(&Worker::is_idle);
        let mut able = count(&|worker| !worker.goes_home()) - stuck;
        let queued = self.queue.len();
        while queued > idle && able < FSP_WORKERS_MAX && workers.len() < FSP_WORKERS_STUCK_MAX {
            match self.hire(workers.len()) {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    log::error!("no thread for posted requests: {error}");
                    return;
                }
            }
            idle += 1;
            able += 1;
        }
    }

    fn hire(&self, number: usize) -> std::io::Result<Worker> {
        let busy_since = Arc::new(AtomicU64::new(NOT_BUSY));
        let (queue, clock) = (self.queue.clone(), self.clock.clone());
        let (busy, went_home, idle) = (busy_since.clone(), self.went_home.clone(), self.idle);
        let thread = threads::spawn(&format!("fsp-{number}"), move || {
            loop {
                match queue.pop(idle) {
                    Taken::Job(job) => {
                        busy.store(clock.now().0, Ordering::Release);
                        job();
                        busy.store(NOT_BUSY, Ordering::Release);
                    }
                    Taken::Closed => break,
                    Taken::Timeout => {
                        // Said before looking once more: who posts sees that this one does not
                        // come any more, or this one sees the post.
                        busy.store(GOING_HOME, Ordering::Release);
                        if queue.is_empty() {
                            break;
                        }
                        busy.store(NOT_BUSY, Ordering::Release);
                    }
                }
            }
            went_home.notify_all();
        })?;
        Ok(Worker { thread: Some(thread), busy_since })
    }

    /// What there is now.
    #[must_use]
    pub fn view(&self) -> FspView {
        let now = self.clock.now();
        let workers = self.workers.lock();
        let stuck = workers.iter().filter(|worker| worker.is_stuck(now)).count();
        let alive = workers
            .iter()
            .filter(|worker| worker.thread.as_ref().is_some_and(|thread| !thread.is_finished()))
            .count();
        let accounts = self.queue.accounts();
        FspView { workers: alive, stuck, queued: self.queue.len(), accounts }
    }

    /// Step 10 of a stop: takes no new items, waits for queued and running ones. Workers that sit
    /// in a callout nobody waits for any more (their requests were abandoned) are given up on after
    /// `limit`; jobs that were still waiting for one come back. A worker that calls it does not
    /// wait for itself.
    pub fn spin_down(&self, limit: Duration) -> SpunDown {
        self.queue.close();
        let start = self.clock.now();
        let mut workers = self.workers.lock();
        loop {
            // A job may have been posted when there was no worker, or only stuck ones: the queue is
            // closed, so nobody else will ever see to it.
            self.staff(&mut workers, self.clock.now());
            let running = workers.iter().any(Worker::is_running_elsewhere);
            let waited = self.clock.now().since(start);
            if !running || waited >= limit {
                break;
            }
            // A thread has not quite ended when it says it goes home: look again soon.
            let rest = (limit - waited).min(Duration::from_millis(5));
            self.went_home.look_again_in(&mut workers, rest);
        }
        let all: Vec<Worker> = workers.drain(..).collect();
        drop(workers);
        let mut spun_down = SpunDown { given_up: 0, left: self.queue.close_and_take() };
        for mut worker in all {
            let elsewhere = worker.is_running_elsewhere();
            let Some(thread) = worker.thread.take() else { continue };
            if elsewhere {
                thread.abandon();
                spun_down.given_up += 1;
            } else {
                thread.join();
            }
        }
        spun_down
    }
}

impl Worker {
    /// Does it run, and is it not this very thread?
    fn is_running_elsewhere(&self) -> bool {
        let thread = self.thread.as_ref().filter(|thread| !thread.is_finished());
        thread.is_some_and(|thread| thread.id() != Some(std::thread::current().id()))
    }

    fn is_idle(&self) -> bool {
        self.busy_since.load(Ordering::Acquire) == NOT_BUSY
    }

    fn goes_home(&self) -> bool {
        self.busy_since.load(Ordering::Acquire) == GOING_HOME
    }

    fn is_stuck(&self, now: Moment) -> bool {
        let since = self.busy_since.load(Ordering::Acquire);
        since < GOING_HOME && now.since(Moment(since)) >= FSP_STUCK_AFTER
    }
}

impl Drop for Fsp {
    fn drop(&mut self) {
        // What is left is dropped, and each request of it answers that it was (invariant 6).
        drop(self.spin_down(Duration::from_secs(5)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use std::sync::mpsc::channel;

    const SOON: Duration = Duration::from_secs(20);

    /// Stop.md C3: spin-down loses nothing that was posted, and refuses what comes after.
    #[test]
    fn c3_spin_down_runs_what_was_posted() {
        let fsp = Fsp::new(SystemClock::shared());
        let (sender, receiver) = channel();
        for number in 0..100 {
            let sender = sender.clone();
            let job: Job = Box::new(move || sender.send(number).expect("the test listens"));
            assert!(fsp.post(Class::Critical, 0, job).is_ok());
        }
        assert_eq!(fsp.spin_down(SOON).given_up, 0);
        drop(sender);
        assert_eq!(receiver.iter().count(), 100);
        assert!(matches!(fsp.post(Class::Critical, 0, Box::new(|| {})), Err(Rejected::Closed(_))));
        assert_eq!(fsp.view().workers, 0);
    }

    /// Stop.md §5: a request posted in the moment of the spin-down, before a worker was hired for
    /// it, is run and not lost.
    #[test]
    fn c3_a_post_that_meets_the_spin_down_is_not_lost() {
        let fsp = Fsp::new(SystemClock::shared());
        let (sender, receiver) = channel();
        let job: Job = Box::new(move || sender.send(()).expect("the test listens"));
        // The first half of `post`.
        assert!(fsp.queue.push(Class::Critical, 0, job).is_ok());
        assert_eq!(fsp.spin_down(SOON).given_up, 0);
        assert!(receiver.try_recv().is_ok());
    }

    /// A job posted while the last idle worker goes home does not wait for the next look round.
    #[test]
    fn a_worker_on_its_way_home_is_not_counted_on() {
        let fsp = Fsp::with_idle(SystemClock::shared(), Duration::ZERO);
        for _ in 0..5000 {
            let (sender, receiver) = channel();
            let job: Job = Box::new(move || sender.send(()).expect("the test listens"));
            assert!(fsp.post(Class::Critical, 0, job).is_ok());
            assert!(receiver.recv_timeout(SOON).is_ok(), "nobody came for it");
        }
    }

    /// With nothing to do spin-down returns at once, waiting for no thread (rdbss.md 3.5).
    #[test]
    fn spin_down_of_an_idle_one_does_not_wait() {
        assert_eq!(Fsp::new(SystemClock::shared()).spin_down(SOON).given_up, 0);
    }

    /// Issue 3, work queues: a worker that spins its own pool down waits for the others, not for
    /// itself.
    #[test]
    fn spin_down_does_not_wait_for_itself() {
        let fsp = Arc::new(Fsp::new(SystemClock::shared()));
        let (sender, receiver) = channel();
        let own = fsp.clone();
        let job: Job = Box::new(move || {
            let spun_down = own.spin_down(SOON);
            sender.send(spun_down.given_up).expect("the test listens");
        });
        assert!(fsp.post(Class::Critical, 0, job).is_ok());
        assert_eq!(receiver.recv_timeout(SOON), Ok(0));
    }

    /// Issue 3, work queues: a spin-down loses no item, also when every worker there may be is
    /// stuck: what is left comes back.
    #[test]
    fn spin_down_hands_back_what_no_worker_could_be_had_for() {
        let fsp = Fsp::new(SystemClock::shared());
        let (release, held) = channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        for _ in 0..FSP_WORKERS_MAX {
            let held = held.clone();
            let job: Job = Box::new(move || {
                let _ = held.lock().expect("not poisoned").recv_timeout(SOON);
            });
            assert!(fsp.post(Class::Critical, 0, job).is_ok());
        }
        for _ in 0..2000 {
            fsp.tend();
            if fsp.view().queued == 0 {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        assert_eq!(fsp.view().queued, 0, "every worker has one");
        let (sender, receiver) = channel();
        for number in 0..3 {
            let sender = sender.clone();
            let job: Job = Box::new(move || sender.send(number).expect("the test listens"));
            assert!(fsp.post_owed(Class::Delayed, 0, job).is_ok());
        }
        // At once: before a stuck worker counts as one and is replaced.
        let spun_down = fsp.spin_down(Duration::ZERO);
        assert_eq!(spun_down.given_up, FSP_WORKERS_MAX);
        for job in spun_down.left {
            job();
        }
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
        drop(release);
    }

    /// Stop.md S6: workers stuck in a server's callout are replaced, so others go on.
    #[test]
    fn s6_stuck_workers_are_replaced() {
        let fsp = Fsp::new(SystemClock::shared());
        let (release, held) = channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        for _ in 0..FSP_WORKERS_MAX {
            let held = held.clone();
            let job: Job = Box::new(move || {
                let _ = held.lock().expect("not poisoned").recv_timeout(SOON);
            });
            assert!(fsp.post(Class::Critical, 0, job).is_ok());
        }
        let (sender, receiver) = channel();
        let job: Job = Box::new(move || sender.send(()).expect("the test listens"));
        assert!(fsp.post(Class::Critical, 0, job).is_ok());
        let mut ran = false;
        for _ in 0..2000 {
            fsp.tend();
            if receiver.recv_timeout(Duration::from_millis(10)).is_ok() {
                ran = true;
                break;
            }
        }
        assert!(ran, "a job behind stuck workers runs");
        drop(release);
    }
}
