//! Drives the lifecycle: takes calls from anywhere, posts them to the one control thread, answers.
//!
//! ```text
//!   caller (any thread)                    control thread ("rdbss-control")
//!   stop()/start() -- lock, step, post --> takes a job -- step --> stop_order / start_order
//!        |        (flip and post are one        |                        |
//!        |         critical section: C2)        +--- resolves the ticket, wakes waiters
//!        +-- Done | Posted(ticket)
//! ```
//!
//! *Foreign* is decided by `FspToken`, which only the control thread's body can make: a call from
//! anywhere else, a callout on that very thread included, is posted (C1).

use crate::base::clock::Moment;
use crate::base::ids::{Caller, TicketNumber};
use crate::base::limits::SURVIVORS_LISTED_MAX;
use crate::base::stop::{
    Answer, CallKind, CallResult, Notice, Report, State, StopOptions, unix_seconds,
};
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::{Condvar, Mutex, MutexGuard, Rank};
use crate::rdbss::bounded::this_thread_controls;
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::lifecycle::{Action, Event, Refused, step, with_waiting};
use crate::rdbss::notice::Ask;
use crate::rdbss::precedence::{outranks, room};
use crate::rdbss::terms::Terms;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Proof of being the control thread. Only `Device::run_control` can make one.
pub(in crate::rdbss) struct FspToken(());

/// A posted start or stop.
#[derive(Clone, Debug)]
pub(in crate::rdbss) struct Job {
    pub kind: CallKind,
    pub ticket: TicketNumber,
    pub asked_by: Caller,
    pub asked_at: Moment,
    pub terms: Terms,
    /// What was counted when it flipped the gate, if it did.
    pub before: Option<Before>,
    /// Has the call been announced? The control thread does not take it before, so that
    /// `stop_requested` comes before every other event of the ticket.
    pub announced: Arc<AtomicBool>,
}

/// What was counted before a stop: its report tells what came to it since.
#[derive(Clone, Copy, Debug)]
pub(in crate::rdbss) struct Before {
    pub completed: u64,
    pub cancelled: u64,
    pub refused: u64,
    pub written_back_bytes: u64,
}

/// The start or stop that runs, as `status` shows it and as other calls tighten it.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its ticket.
    pub ticket: TicketNumber,
    /// What it is.
    pub kind: CallKind,
    /// Who asked: the document's `FsdUid`.
    pub asked_by: Caller,
    /// When.
    pub asked_at: Moment,
    /// The step of stop.md §4 it is in.
    pub step: &'static str,
    /// Its terms, as tightened by later calls.
    pub terms: Terms,
    /// Has the deadline passed (`stay`)?
    pub deadline_passed: bool,
    /// It is to be taken back.
    pub(in crate::rdbss) roll_back: bool,
    /// It cannot be taken back any more (step 6 and after).
    pub(in crate::rdbss) committed: bool,
    /// The start's context, so that a stop can cancel it.
    pub(in crate::rdbss) context: Option<Arc<Context>>,
}

/// Why a call was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// As many calls wait already as may.
    #[error("too many start and stop calls are waiting")]
    TooMany,
    /// The device is being unregistered.
    #[error("the device is going away")]
    Closed,
    /// The stop that would be taken back is root's, and the caller is not.
    #[error("root asked for this stop (ticket {0}): only root may take it back")]
    RootsStop(TicketNumber),
}

#[derive(Debug)]
pub(in crate::rdbss) struct Inner {
    pub state: State,
    pub state_since: Moment,
    pub queue: VecDeque<Job>,
    pub running: Option<Running>,
    pub closed: bool,
    pub last_stop: Option<Report>,
    pub last_start: Option<Report>,
}

/// The machine's state, its queue and what runs.
#[derive(Debug)]
pub struct Control {
    inner: Mutex<Inner>,
    /// A job was posted, or the device closes.
    posted: Condvar,
    /// State, running step, or the number of handles changed.
    changed: Condvar,
}

impl Default for Control {
    fn default() -> Self {
        let inner = Inner {
            state: State::Startable,
            state_since: Moment::default(),
            queue: VecDeque::new(),
            running: None,
            closed: false,
            last_stop: None,
            last_start: None,
        };
        Self {
            inner: Mutex::new(Rank::Lifecycle, inner),
            posted: Condvar::new(),
            changed: Condvar::new(),
        }
    }
}

impl Inner {
    pub fn quiet(&self) -> bool {
        self.queue.is_empty() && self.running.is_none()
    }

    /// The state to store when an event opens the gate. Stops that wait have been answered
    /// *posted*: it is closed again for them in the same critical section (C2).
    pub fn past_waiting(&self, event: Event, state: State) -> State {
        if !event.opens() {
            return state;
        }
        let stops = self.queue.iter().filter(|job| job.kind == CallKind::Stop);
        with_waiting(state, stops.map(|job| job.terms.grace_until.is_some()))
    }
}

impl Control {
    pub(in crate::rdbss) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Something that waiters look at has changed.
    pub(in crate::rdbss) fn progressed(&self) {
        drop(self.inner.lock());
        self.changed.notify_all();
    }

    /// Sleeps up to `limit` for a change.
    pub(in crate::rdbss) fn wait_change(&self, inner: &mut MutexGuard<'_, Inner>, limit: Duration) {
        self.changed.wait_for(inner, limit);
    }

    /// Sleeps up to `limit` for something that wakes nobody.
    pub(in crate::rdbss) fn look_again_in(&self, limit: Duration) {
        self.changed.look_again_in(&mut self.inner.lock(), limit);
    }

    /// Takes no more calls.
    pub(in crate::rdbss) fn close(&self) {
        self.inner.lock().closed = true;
        self.posted.notify_all();
        self.changed.notify_all();
    }

    /// The same, if the device is Startable and quiet.
    pub(in crate::rdbss) fn close_if_startable(&self) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        if !inner.quiet() {
            return Err(Refused::NotStopped);
        }
        let (_, Action::Nothing) = step(inner.state, Event::UnregisterCalled)? else {
            return Err(Refused::NotStopped);
        };
        inner.closed = true;
        drop(inner);
        self.posted.notify_all();
        self.changed.notify_all();
        Ok(())
    }

    /// Waits up to `limit`; true once it is closed. The watcher's clock tick.
    pub(in crate::rdbss) fn wait_closed(&self, limit: Duration) -> bool {
        let mut inner = self.inner.lock();
        if !inner.closed {
            self.posted.wait_for(&mut inner, limit);
        }
        inner.closed
    }

    fn next_job(&self) -> Option<Job> {
        let mut inner = self.inner.lock();
        loop {
            let ready = |job: &Job| job.announced.load(Ordering::Acquire);
            if inner.queue.front().is_some_and(ready)
                && let Some(job) = inner.queue.pop_front()
            {
                inner.running = Some(Running::of(&job));
                return Some(job);
            }
            if inner.closed && inner.queue.is_empty() {
                return None;
            }
            self.posted.wait(&mut inner);
        }
    }
}

impl Running {
    fn of(job: &Job) -> Self {
        Self {
            ticket: job.ticket,
            kind: job.kind,
            asked_by: job.asked_by,
            asked_at: job.asked_at,
            step: "posted",
            terms: job.terms.clone(),
            deadline_passed: false,
            roll_back: false,
            committed: false,
            context: None,
        }
    }
}

impl Device {
    /// The stop of this device alone.
    pub(in crate::rdbss) fn stop_this(
        &self,
        asked_by: Caller,
        options: StopOptions,
        ask: Ask,
    ) -> Result<Answer<Report>, CallError> {
        // What depends on it may be draining still although it is stopped itself.
        let theirs = self.dependents.as_ref().is_some_and(|them| !them.is_at_rest());
        let now = self.clock.now();
        let mut inner = self.control.lock();
        if inner.closed {
            return Err(CallError::Closed);
        }
        let serving = matches!(inner.state, State::Started | State::Paused);
        if inner.queue.len() >= room(asked_by) {
            return Err(CallError::TooMany);
        }
        // A stopped device that is to be unmounted has work to do for the control thread.
        let quiet = inner.quiet() && !options.unmount && !theirs;
        let event = Event::StopCalled { quiet, grace: options.grace().is_some() };
        let Ok((state, action)) = step(inner.state, event) else { return Err(CallError::Closed) };
        if let Action::Answer(result) = action {
            drop(inner);
            self.calls.count(CallKind::Stop, result, None);
            return Ok(Answer::Done(self.plain_report(CallKind::Stop, result, asked_by, &options)));
        }
        let flips = serving && state == State::Draining;
        let before = flips.then(|| self.counted());
        // Looked at and flipped in one step: an open in flight is busy, and none slips in between.
        let held = || self.open_handles() > 0;
        let refuses = options.refuse_if_busy && serving && inner.quiet();
        if refuses && !self.gate.close_unless(state, held) {
            drop(inner);
            self.calls.count_busy();
            return Ok(Answer::Done(self.busy_report(asked_by, &options)));
        }
        let cancelled_start = match action {
            Action::PostAndCancelStart => {
                inner.running.as_ref().and_then(|running| running.context.clone())
            }
            _ => None,
        };
        let terms = Terms::of(options, now);
        self.tighten(&mut inner, &terms, asked_by);
        let job = self.post(&mut inner, (CallKind::Stop, asked_by, now), terms, before);
        self.set_state(&mut inner, state);
        drop(inner);
        self.control.changed.notify_all();
        self.gate.wake();
        // Announced first: what the cancelled start does next comes after what cancelled it.
        self.release_job(&job, ask);
        self.cancel_requests(cancelled_start.into_iter().collect());
        Ok(Answer::Posted(job.ticket))
    }

    /// `RxStartMinirdr` from a foreign context.
    ///
    /// # Errors
    /// [`CallError`]; nothing has changed.
    pub fn start(&self, asked_by: Caller) -> Result<Answer<Report>, CallError> {
        let now = self.clock.now();
        let mut inner = self.control.lock();
        if inner.closed {
            return Err(CallError::Closed);
        }
        if inner.queue.len() >= room(asked_by) {
            return Err(CallError::TooMany);
        }
        let event = Event::StartCalled { quiet: inner.quiet() };
        let Ok((_, action)) = step(inner.state, event) else { return Err(CallError::Closed) };
        let options = StopOptions::default();
        if let Action::Answer(result) = action {
            drop(inner);
            self.calls.count(CallKind::Start, result, None);
            return Ok(Answer::Done(self.plain_report(
                CallKind::Start,
                result,
                asked_by,
                &options,
            )));
        }
        let terms = Terms::of(options, now);
        let job = self.post(&mut inner, (CallKind::Start, asked_by, now), terms, None);
        drop(inner);
        self.release_job(&job, Ask::Call);
        Ok(Answer::Posted(job.ticket))
    }

    /// Every stop ahead of a later one is tightened: what waits behind it must have its turn in
    /// time.
    fn tighten(&self, inner: &mut Inner, later: &Terms, asked_by: Caller) {
        let running = inner.running.iter_mut();
        let running = running.map(|call| (call.kind, call.ticket, call.asked_by, &mut call.terms));
        let queued = inner.queue.iter_mut();
        let queued = queued.map(|job| (job.kind, job.ticket, job.asked_by, &mut job.terms));
        for (kind, ticket, by, terms) in running.chain(queued) {
            if kind == CallKind::Stop && terms.tighten_for(later, outranks(by, asked_by)) {
                log::info!("{}: the stop before (ticket {ticket}) was tightened", self.name);
            }
        }
    }

    /// What is counted now.
    pub(in crate::rdbss) fn counted(&self) -> Before {
        let counts = &self.counts;
        Before {
            completed: counts.completed.load(Ordering::Relaxed),
            cancelled: counts.cancelled.load(Ordering::Relaxed),
            refused: self.refusals.total(),
            written_back_bytes: counts.written_back_bytes.load(Ordering::Relaxed),
        }
    }

    fn post(
        &self,
        inner: &mut Inner,
        (kind, asked_by, asked_at): (CallKind, Caller, Moment),
        terms: Terms,
        before: Option<Before>,
    ) -> Job {
        let ticket = self.tickets.issue();
        let announced = Arc::default();
        let job = Job { kind, ticket, asked_by, asked_at, terms, before, announced };
        inner.queue.push_back(job.clone());
        job
    }

    /// Announces a posted call, makes a stop known to those that depend on the device, and lets the
    /// control thread take it, whatever the observer does.
    fn release_job(&self, job: &Job, ask: Ask) {
        struct Release<'a>(&'a Control, &'a AtomicBool);
        impl Drop for Release<'_> {
            fn drop(&mut self) {
                self.1.store(true, Ordering::Release);
                drop(self.0.inner.lock());
                self.0.posted.notify_all();
            }
        }
        let _release = Release(&self.control, &job.announced);
        if job.kind == CallKind::Stop {
            let (asked_by, reason) = (job.asked_by, job.terms.options.reason.clone());
            self.announce(Notice::StopRequested { ticket: Some(job.ticket), asked_by, reason });
            self.stop_dependents(job.asked_by, &job.terms.options, ask);
        }
    }

    /// Stores a state in the machine and the gate: under the machine's lock, the one word of truth.
    pub(in crate::rdbss) fn set_state(&self, inner: &mut Inner, state: State) {
        if inner.state == state {
            return;
        }
        log::debug!("{}: {:?} -> {state:?}", self.name, inner.state);
        inner.state = state;
        inner.state_since = self.clock.now();
        self.gate.set_state(state);
    }

    /// Steps the machine for the control thread.
    ///
    /// # Errors
    /// [`Refused`]: the driver broke the order; a defect.
    pub(in crate::rdbss) fn step(&self, _: &FspToken, event: Event) -> Result<Action, Refused> {
        let mut inner = self.control.lock();
        // Taken back after it left the queue: to step now would flip what `resume` has opened.
        let taken_back = inner.running.as_ref().is_some_and(|running| running.roll_back);
        if taken_back && matches!(event, Event::StopTaken { .. }) {
            return Ok(Action::RollBackStop);
        }
        let (state, action) = step(inner.state, event)?;
        let state = inner.past_waiting(event, state);
        self.set_state(&mut inner, state);
        drop(inner);
        self.control.changed.notify_all();
        Ok(action)
    }

    /// The control thread's body: start, stop and tear-down, and nothing else, ever (C3).
    pub(in crate::rdbss) fn run_control(self: &Arc<Self>) {
        let token = FspToken(());
        this_thread_controls();
        while let Some(job) = self.control.next_job() {
            let report = match job.kind {
                CallKind::Stop => self.take_stop(&token, &job),
                CallKind::Start => self.take_start(&token, &job),
            };
            self.finish(&job, report);
        }
    }

    /// Stores a job's result, once, and tells everybody (stop.md §4 step 11).
    pub(in crate::rdbss) fn finish(&self, job: &Job, report: Report) {
        let ran = !matches!(report.result, CallResult::AlreadyStopped | CallResult::AlreadyStarted);
        let took = ran.then(|| self.clock.now().since(job.asked_at));
        self.calls.count(job.kind, report.result, took);
        {
            let mut inner = self.control.lock();
            if inner.running.as_ref().is_some_and(|running| running.ticket == job.ticket) {
                inner.running = None;
            }
            let last = match job.kind {
                CallKind::Stop => &mut inner.last_stop,
                CallKind::Start => &mut inner.last_start,
            };
            if ran {
                *last = Some(report.clone());
            }
        }
        let (result, generation) = (report.result, report.generation);
        let ticket = Some(job.ticket);
        // The event is published before the result is visible: nothing of a ticket comes after it.
        self.announce_of(
            generation,
            match job.kind {
                CallKind::Stop => Notice::Stopped { ticket, result },
                CallKind::Start => Notice::Started { ticket, result, generation },
            },
        );
        if self.tickets.resolve(job.ticket, report).is_err() {
            log::error!("ticket {} had a result already", job.ticket);
        }
        self.control.progressed();
    }

    /// `pause`.
    ///
    /// # Errors
    /// [`CallError::Closed`].
    pub fn pause(&self) -> Result<CallResult, CallError> {
        self.pause_or_resume(Event::PauseCalled, Notice::Paused, None)
    }

    /// `resume`: takes a pause back, or a stop that has not passed its point of no return.
    ///
    /// # Errors
    /// [`CallError::Closed`].
    pub fn resume(&self) -> Result<CallResult, CallError> {
        self.pause_or_resume(Event::ResumeCalled, Notice::Resumed, None)
    }

    /// The same for a caller from outside: who is not root does not take back what root asked for.
    ///
    /// # Errors
    /// [`CallError::Closed`], [`CallError::RootsStop`]; nothing has changed.
    pub fn resume_for(&self, asked_by: Caller) -> Result<CallResult, CallError> {
        self.pause_or_resume(Event::ResumeCalled, Notice::Resumed, Some(asked_by))
    }

    fn pause_or_resume(
        &self,
        event: Event,
        notice: Notice,
        asked_by: Option<Caller>,
    ) -> Result<CallResult, CallError> {
        let mut inner = self.control.lock();
        if inner.closed {
            return Err(CallError::Closed);
        }
        let before = inner.state;
        let Ok((state, action)) = step(inner.state, event) else { return Err(CallError::Closed) };
        let voided = match action {
            Action::RollBackStop => {
                let committed = |call: &Running| call.kind == CallKind::Stop && call.committed;
                if inner.running.as_ref().is_some_and(committed) {
                    return Ok(CallResult::AlreadyStopped);
                }
                if asked_by.is_some_and(|asked_by| !asked_by.is_root())
                    && let Some(ticket) = inner.stop_of_root()
                {
                    return Err(CallError::RootsStop(ticket));
                }
                if let Some(running) = &mut inner.running
                    && running.kind == CallKind::Stop
                {
                    running.roll_back = true;
                }
                // Stops that have flipped and wait behind others end with the roll-back too.
                let (stops, others): (VecDeque<Job>, VecDeque<Job>) =
                    inner.queue.drain(..).partition(|job| {
                        // One that is just being posted comes after this call.
                        job.kind == CallKind::Stop && job.announced.load(Ordering::Acquire)
                    });
                inner.queue = others;
                stops
            }
            _ => VecDeque::new(),
        };
        let state = inner.past_waiting(event, state);
        self.set_state(&mut inner, state);
        let changed = before != inner.state;
        drop(inner);
        self.gate.wake();
        self.control.changed.notify_all();
        if !voided.is_empty() {
            // The one that runs sees to it itself.
            self.resume_dependents(asked_by.unwrap_or(voided[0].asked_by));
        }
        for job in voided {
            let mut report = self.plain_report(
                job.kind,
                CallResult::RolledBack,
                job.asked_by,
                &job.terms.options,
            );
            report.ticket = Some(job.ticket);
            self.finish(&job, report);
        }
        if changed {
            self.announce(notice);
        }
        Ok(match action {
            Action::Answer(result) => result,
            _ => CallResult::Success,
        })
    }

    /// A report with a result and nothing else to tell.
    pub(in crate::rdbss) fn plain_report(
        &self,
        kind: CallKind,
        result: CallResult,
        asked_by: Caller,
        options: &StopOptions,
    ) -> Report {
        Report {
            generation: self.gate.view().generation,
            reason: options.reason.clone(),
            ended_unix_s: unix_seconds(self.clock.wall()),
            ..Report::new(kind, result, asked_by)
        }
    }

    /// `if_busy = refuse` with handles open, or opens in flight: HAS_OPEN_HANDLES, and nothing has
    /// changed (C5).
    pub(in crate::rdbss) fn busy_report(&self, asked_by: Caller, options: &StopOptions) -> Report {
        let mut report =
            self.plain_report(CallKind::Stop, CallResult::HasOpenHandles, asked_by, options);
        (report.survivors, report.survivors_total) = self.handle_list_of_all(SURVIVORS_LISTED_MAX);
        let what =
            if report.survivors_total > 0 { "handles are open" } else { "opens are in flight" };
        report.error = Some(format!("{what}; nothing was changed"));
        report
    }
}
