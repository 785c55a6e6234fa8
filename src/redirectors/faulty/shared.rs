//! What the instance, its timer thread and its controls share: the plan, the counts, who hangs.
//!
//! One lock (rank `Redirector`) and one condition. Nothing of anybody else's is called under it:
//! jobs are taken out and run after.

use super::callout::Callout;
use super::plan::{FaultPlan, Script};
use crate::base::clock::{Clock, Moment, SystemClock};
use crate::base::ids::{Caller, SerialNumber};
use crate::base::status::Status;
use crate::base::sync::{Condvar, Mutex, MutexGuard, Rank};
use crate::mrx::upcall::RequestContext;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a delay looks at the clock: a clock that a test moves wakes nobody.
const POLL: Duration = Duration::from_millis(5);
const CALLOUTS: usize = Callout::ALL.len();

/// Something the timer thread does later. As many as there are requests in flight, which the gate
/// bounds.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// How a hang ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Released,
    Cancelled,
}

/// A request that hangs without a thread.
struct Hung {
    since: u64,
    link: Arc<Link>,
    resume: Box<dyn FnOnce(Ending) + Send>,
}

pub(super) struct State {
    pub(super) plan: Arc<FaultPlan>,
    /// Calls since the plan was set, by callout.
    planned: [u64; CALLOUTS],
    /// Calls in all.
    calls: [u64; CALLOUTS],
    /// Calls that have not ended.
    inside: [usize; CALLOUTS],
    /// Counts releases: a hang that began at another count is over.
    releases: u64,
    clock: Arc<dyn Clock>,
    /// Is there a thread to leave jobs to?
    served: bool,
    closed: bool,
    timed: BTreeMap<(Moment, u64), Job>,
    hung: BTreeMap<u64, Hung>,
    next: u64,
}

pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// One call from its beginning to its end, on whatever thread that is.
pub(super) struct Inside {
    shared: Arc<Shared>,
    callout: Callout,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.shared.state.lock().inside[self.callout as usize] -= 1;
        self.shared.changed.notify_all();
    }
}

/// What a call meets, and which releases end its hang.
pub(super) struct Visit {
    pub(super) inside: Inside,
    pub(super) script: Script,
    pub(super) since: u64,
    /// It must not end before. Decided together with the count: whoever has seen the call inside
    /// and moves the clock on has moved it for this call.
    pub(super) due: Moment,
}

impl Shared {
    pub(super) fn new(plan: FaultPlan) -> Arc<Self> {
        let state = State {
            plan: Arc::new(plan),
            planned: [0; CALLOUTS],
            calls: [0; CALLOUTS],
            inside: [0; CALLOUTS],
            releases: 0,
            clock: SystemClock::shared(),
            served: false,
            closed: false,
            timed: BTreeMap::new(),
            hung: BTreeMap::new(),
            next: 0,
        };
        Arc::new(Self { state: Mutex::new(Rank::Redirector, state), changed: Condvar::new() })
    }

    /// A call begins.
    pub(super) fn enter(self: &Arc<Self>, callout: Callout) -> Visit {
        let mut state = self.state.lock();
        let at = callout as usize;
        state.calls[at] += 1;
        state.planned[at] += 1;
        state.inside[at] += 1;
        let script = state.plan.decide(callout, state.planned[at]);
        let since = state.releases;
        let due = state.clock.now().after(script.delay);
        drop(state);
        self.changed.notify_all();
        Visit { inside: Inside { shared: Arc::clone(self), callout }, script, since, due }
    }

    /// Changes something and tells everybody who waits for a change.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    pub(super) fn set_clock(&self, clock: Arc<dyn Clock>) {
        self.change(|state| state.clock = clock);
    }

    pub(super) fn set_plan(&self, plan: FaultPlan) {
        self.change(|state| {
            state.plan = Arc::new(plan);
            state.planned = [0; CALLOUTS];
        });
    }

    pub(super) fn may_block(&self) -> bool {
        self.state.lock().plan.may_block()
    }

    /// Everything that hangs now goes on.
    pub(super) fn release(&self) {
        self.change(|state| state.releases += 1);
    }

    pub(super) fn calls(&self, callout: Callout) -> u64 {
        self.state.lock().calls[callout as usize]
    }

    pub(super) fn inside(&self, callout: Callout) -> usize {
        self.state.lock().inside[callout as usize]
    }

    /// Waits until that many calls are inside; false if they are not within the limit.
    pub(super) fn wait_until_inside(
        &self,
        callout: Callout,
        count: usize,
        limit: Duration,
    ) -> bool {
        let clock = SystemClock::new();
        let until = clock.now().after(limit);
        let mut state = self.state.lock();
        while state.inside[callout as usize] < count {
            let left = until.since(clock.now());
            if left.is_zero() {
                return false;
            }
            self.changed.wait_for(&mut state, left);
        }
        true
    }

    /// Keeps this thread until then.
    pub(super) fn sleep_until(&self, due: Moment) {
        let mut state = self.state.lock();
        loop {
            let left = due.since(state.clock.now());
            if left.is_zero() {
                return;
            }
            self.changed.wait_for(&mut state, left.min(POLL));
        }
    }

    /// Keeps this thread until a release after `since`, or until the link is cancelled.
    pub(super) fn hang(&self, since: u64, link: &Link) -> Ending {
        let mut state = self.state.lock();
        loop {
            if let Some(ending) = state.ending(since, link) {
                return ending;
            }
            self.changed.wait(&mut state);
        }
    }

    /// Has `resume` called on the timer thread when a hang since `since` ends.
    pub(super) fn hang_later(
        &self,
        since: u64,
        link: Arc<Link>,
        resume: Box<dyn FnOnce(Ending) + Send>,
    ) {
        let hung = Hung { since, link, resume };
        self.change(|state| {
            let number = state.number();
            state.hung.insert(number, hung);
        });
    }

    /// Has `job` called on the timer thread when it is due; at once if it is, or if there is no
    /// thread.
    pub(super) fn at(&self, due: Moment, job: Job) {
        let mut state = self.state.lock();
        if due <= state.clock.now() || !state.served {
            drop(state);
            return job();
        }
        let number = state.number();
        state.timed.insert((due, number), job);
        drop(state);
        self.changed.notify_all();
    }

    /// Ends a hang with Cancelled; called by a cancel routine.
    pub(super) fn cancel(&self, link: &Link) {
        link.cancel();
        // Taken and given back: a thread that just looked at the link is waiting now.
        self.change(|_| {});
    }

    /// Is there a thread to leave jobs to?
    pub(super) fn is_served(&self) -> bool {
        self.state.lock().served
    }

    pub(super) fn set_served(&self) {
        self.change(|state| state.served = true);
    }

    /// The timer thread's body: runs what is due until it is closed and nothing is left.
    pub(super) fn serve(&self) {
        loop {
            let mut state = self.state.lock();
            let due = self.wait_for_due(&mut state);
            if due.is_empty() {
                state.served = false;
                return;
            }
            drop(state);
            for job in due {
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    log::error!("a request that was delayed by faulty panicked");
                }
            }
        }
    }

    /// Jobs that are due, waiting for one; none when closed.
    fn wait_for_due(&self, state: &mut MutexGuard<'_, State>) -> Vec<Job> {
        loop {
            let due = state.take_due();
            if !due.is_empty() || state.closed {
                return due;
            }
            match state.timed.first_key_value() {
                Some((&(first, _), _)) => {
                    let left = first.since(state.clock.now());
                    self.changed.wait_for(state, left.min(POLL));
                }
                None => self.changed.wait(state),
            }
        }
    }

    /// Ends everything: delays are over, hangs are cancelled, the thread goes home.
    pub(super) fn close(&self) {
        self.change(|state| state.closed = true);
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn ending(&self, since: u64, link: &Link) -> Option<Ending> {
        if link.is_cancelled() || self.closed {
            Some(Ending::Cancelled)
        } else {
            (self.releases != since).then_some(Ending::Released)
        }
    }

    /// Takes out what is due, in order of time, then the hangs that are over.
    fn take_due(&mut self) -> Vec<Job> {
        let now = self.clock.now();
        let mut due = Vec::new();
        while let Some(first) = self.timed.first_entry()
            && (self.closed || first.key().0 <= now)
        {
            due.push(first.remove());
        }
        let over: Vec<_> = self
            .hung
            .iter()
            .filter_map(|(&number, hung)| Some((number, self.ending(hung.since, &hung.link)?)))
            .collect();
        for (number, ending) in over {
            if let Some(Hung { resume, .. }) = self.hung.remove(&number) {
                due.push(Box::new(move || resume(ending)));
            }
        }
        due
    }
}

/// A request's context that outlives its callout: what the wrapped mini-redirector sees when it is
/// called after a hang. A cancel reaches it through the routine set on the real context.
pub(super) struct Link {
    serial: SerialNumber,
    caller: Caller,
    deadline: Option<Moment>,
    cancelled: AtomicBool,
    routine: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Link {
    /// Of a real context; of none for callouts that have none.
    pub(super) fn of(context: Option<&dyn RequestContext>) -> Arc<Self> {
        Arc::new(Self {
            serial: context.map(RequestContext::serial).unwrap_or_default(),
            caller: context.map(RequestContext::caller).unwrap_or_default(),
            deadline: context.and_then(RequestContext::deadline),
            cancelled: AtomicBool::new(false),
            routine: Mutex::new(Rank::RedirectorInner, None),
        })
    }

    fn cancel(&self) {
        // Before the routine is taken: one that comes later sees it and is refused.
        self.cancelled.store(true, Ordering::SeqCst);
        let routine = self.routine.lock().take();
        if let Some(routine) = routine {
            routine();
        }
    }
}

impl RequestContext for Link {
    fn serial(&self) -> SerialNumber {
        self.serial
    }

    fn caller(&self) -> Caller {
        self.caller
    }

    fn deadline(&self) -> Option<Moment> {
        self.deadline
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn set_cancel_routine(&self, routine: Box<dyn FnOnce() + Send>) -> Result<(), Status> {
        let mut slot = self.routine.lock();
        if self.is_cancelled() {
            return Err(Status::Cancelled);
        }
        *slot = Some(routine);
        Ok(())
    }

    fn clear_cancel_routine(&self) -> bool {
        self.routine.lock().take().is_some()
    }
}
