//! One running stop: its bookkeeping, what it looks at while it waits, and what it may do about
//! requests that do not end. The steps themselves are in `stop_order.rs`.

use crate::base::clock::Moment;
use crate::base::ids::HandleNumber;
use crate::base::limits::CANCEL_GRACE;
use crate::base::status::Status;
use crate::base::stop::{CallKind, CallResult, Notice, OnDeadline, Report, StepTime, StopMode};
use crate::mrx::upcall::RequestContext as _;
use crate::rdbss::bounded::call_bounded;
use crate::rdbss::context::{Context, Subject};
use crate::rdbss::device::Device;
use crate::rdbss::lifecycle::Event;
use crate::rdbss::notice::{Load, LostWrite};
use crate::rdbss::startstop::{Before, FspToken, Job};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The control thread looks at least this often whether the stop was tightened or taken back.
pub(in crate::rdbss) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The same while it waits for something whose end wakes nobody.
pub(in crate::rdbss) const LOOK_SOON: Duration = Duration::from_millis(20);

/// Why the stop ends before its point of no return.
pub(in crate::rdbss) enum Ended {
    /// Taken back: by `resume`, or by the deadline with `on_deadline = resume`.
    RolledBack,
}

/// One running stop.
pub(in crate::rdbss) struct StopRun<'a> {
    pub device: &'a Device,
    pub token: &'a FspToken,
    pub job: &'a Job,
    pub report: Report,
    step_began: Moment,
    before: Before,
    /// Of the page write-back since, so much has been announced.
    written_back_told: u64,
    last_progress: (u64, u64, u64),
    /// Handles whose commits were given up on: each one's bytes are lost once.
    pub given_up: BTreeSet<HandleNumber>,
    /// Why `MRxStop` failed.
    pub redirector_failed: Option<Status>,
}

impl<'a> StopRun<'a> {
    /// A stop that the control thread has taken.
    pub fn new(device: &'a Device, token: &'a FspToken, job: &'a Job) -> Self {
        let options = &job.terms.options;
        let report =
            device.plain_report(CallKind::Stop, CallResult::Success, job.asked_by, options);
        Self {
            device,
            token,
            job,
            report: Report { ticket: Some(job.ticket), ..report },
            step_began: device.clock.now(),
            before: job.before.unwrap_or_else(|| device.counted()),
            written_back_told: 0,
            last_progress: (0, 0, 0),
            given_up: BTreeSet::new(),
            redirector_failed: None,
        }
    }

    // ---- bookkeeping --------------------------------------------------------------------------

    /// Names the step that begins, for `status`, and stores how long the last one took.
    pub fn begin(&mut self, step: &'static str) {
        self.end_step();
        let mut inner = self.device.control.lock();
        if let Some(running) = &mut inner.running {
            running.step = step;
        }
        drop(inner);
        self.device.control.progressed();
        self.report.steps.push(StepTime { step: step.to_owned(), seconds: 0.0 });
        log::info!("{}: stop (ticket {}): {step}", self.device.name, self.job.ticket);
    }

    /// Stores how long the last step took.
    pub fn end_step(&mut self) {
        let now = self.device.clock.now();
        if let Some(step) = self.report.steps.last_mut() {
            step.seconds = now.since(self.step_began).as_secs_f64();
        }
        self.step_began = now;
    }

    /// A grace is over: what ran to its end in it was not drained.
    pub fn drain_begins(&mut self) {
        self.before = Before { refused: self.before.refused, ..self.device.counted() };
    }

    /// What was counted while it ran.
    pub fn count(&mut self) {
        let (now, before) = (self.device.counted(), self.before);
        self.report.drained = now.completed - before.completed;
        self.report.cancelled = now.cancelled - before.cancelled;
        self.report.refused = now.refused - before.refused;
        self.report.flushed_bytes = now.written_back_bytes - before.written_back_bytes;
    }

    /// Announces page write-back that came since it was last announced.
    pub fn tell_written_back(&mut self) {
        let total = self.device.counted().written_back_bytes - self.before.written_back_bytes;
        let bytes = total.saturating_sub(self.written_back_told);
        if bytes > 0 {
            self.written_back_told = total;
            self.device.announce(Notice::WrittenBack { bytes });
        }
    }

    /// Steps the machine, unless the stop has been taken back: tested in the same critical section.
    pub fn advance(&self, event: Event) -> Result<(), Ended> {
        let mut inner = self.device.control.lock();
        if inner.running.as_ref().is_none_or(|running| running.roll_back) {
            return Err(Ended::RolledBack);
        }
        match crate::rdbss::lifecycle::step(inner.state, event) {
            Ok((state, _)) => self.device.set_state(&mut inner, state),
            Err(refused) => {
                log::error!("{}: {refused}", self.device.name);
                return Err(Ended::RolledBack);
            }
        }
        drop(inner);
        self.device.control.progressed();
        Ok(())
    }

    /// From here on the stop cannot be taken back.
    pub fn commit_to_the_end(&self) -> Result<(), Ended> {
        let mut inner = self.device.control.lock();
        let Some(running) = &mut inner.running else { return Err(Ended::RolledBack) };
        if running.roll_back {
            return Err(Ended::RolledBack);
        }
        running.committed = true;
        Ok(())
    }

    /// How hard, as tightened meanwhile.
    pub fn mode(&self) -> StopMode {
        let inner = self.device.control.lock();
        let running = inner.running.as_ref();
        running.map_or(self.job.terms.options.mode, |running| running.terms.options.mode)
    }

    // ---- waiting ------------------------------------------------------------------------------

    /// How long to sleep before looking again: not past a deadline that is still to come.
    pub fn slice(&self) -> Duration {
        let inner = self.device.control.lock();
        let deadline = inner.running.as_ref().and_then(|running| running.terms.deadline);
        let left = deadline.map(|deadline| deadline.since(self.device.clock.now()));
        match left {
            Some(left) if !left.is_zero() => left.min(LOOK_EVERY),
            _ => LOOK_EVERY,
        }
    }

    /// A moment from now: what a callout gets however late it is.
    pub fn a_moment(&self) -> Moment {
        self.device.clock.now().after(CANCEL_GRACE)
    }

    /// May the stop wait on? Until `least` always; later not once its deadline passed with anything
    /// but `stay`, nor when it was taken back or is to abort.
    pub fn may_wait(&self, least: Moment) -> bool {
        let inner = self.device.control.lock();
        let Some(running) = &inner.running else { return false };
        let now = self.device.clock.now();
        let passed = running.terms.deadline.is_some_and(|deadline| now >= deadline);
        let options = &running.terms.options;
        let stays = options.on_deadline == OnDeadline::Stay;
        now < least || (!running.roll_back && options.mode != StopMode::Abort && (!passed || stays))
    }

    /// Runs foreign code on a thread of its own, and waits for it as long as the stop may wait, but
    /// a moment in any case (S6).
    ///
    /// # Errors
    /// As [`call_bounded`].
    pub fn call<T: Send + 'static>(
        &self,
        callout: &'static str,
        body: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let least = self.a_moment();
        call_bounded(callout, || self.may_wait(least), body)
    }

    // ---- the deadline and what may be done at it
    // -------------------------------------------------

    /// Looks whether the stop was taken back or its deadline passed, and acts on it (S1).
    pub fn look(&mut self) -> Result<(), Ended> {
        let (mode, passed, policy, first) = {
            let now = self.device.clock.now();
            let mut inner = self.device.control.lock();
            let Some(running) = &mut inner.running else { return Err(Ended::RolledBack) };
            if running.roll_back {
                return Err(Ended::RolledBack);
            }
            let passed = running.terms.deadline.is_some_and(|deadline| now >= deadline);
            let first = passed && !running.deadline_passed;
            running.deadline_passed |= passed;
            let options = &running.terms.options;
            (options.mode, passed, options.on_deadline, first)
        };
        if first {
            self.device.calls.count_deadline(policy);
            self.device.control.progressed();
            self.device.announce(Notice::Deadline { on_deadline: policy });
        }
        if mode == StopMode::Abort {
            self.abandon_all();
        } else if passed {
            match policy {
                OnDeadline::Resume => return Err(Ended::RolledBack),
                OnDeadline::Stay => {}
                OnDeadline::Cancel => {
                    self.cancel_all();
                    self.let_cancelled_end();
                    self.abandon_all();
                }
                OnDeadline::Abort => self.abandon_all(),
            }
        }
        self.report_progress();
        Ok(())
    }

    fn report_progress(&mut self) {
        let Load { requests, handles, unsent_bytes, .. } = self.device.load_of_all();
        let progress = (requests, handles, unsent_bytes);
        if progress != self.last_progress {
            self.last_progress = progress;
            self.device.announce(Notice::Draining { requests, handles, unsent_bytes });
        }
    }

    /// Counted requests still in flight.
    fn in_flight(&self) -> Vec<Arc<Context>> {
        let mut all = self.device.requests.snapshot();
        all.retain(|context| context.is_counted());
        all
    }

    /// Cancels what has a cancel routine. Never a cleanup: what it does is owed.
    pub fn cancel_cancellable(&self) {
        self.cancel(Context::is_cancellable);
    }

    /// Marks every request cancelled that is not a cleanup, so that what is not handed down yet is
    /// not handed down.
    pub fn cancel_all(&self) {
        self.cancel(|_| true);
    }

    fn cancel(&self, which: impl Fn(&Context) -> bool) {
        let mut requests = self.in_flight();
        requests.retain(|context| !context.is_owed() && context.can_cancel() && which(context));
        if requests.is_empty() {
            return;
        }
        let told = requests.len() as u64;
        self.device.cancel_requests(requests);
        self.device.announce(Notice::Cancelled { requests: told });
    }

    fn let_cancelled_end(&self) {
        let until = self.a_moment();
        loop {
            let left = until.since(self.device.clock.now());
            let view = self.device.gate.view();
            if left.is_zero() || (view.normals == 0 && view.closes == 0) {
                return;
            }
            if view.normals > 0 {
                self.device.gate.wait_normals(left);
            } else {
                self.device.gate.wait_closes(left.min(LOOK_SOON));
            }
        }
    }

    /// Gives up on everything in flight: the callers get ETIMEDOUT, writes go into the loss report,
    /// and the callouts are told.
    fn abandon_all(&mut self) {
        let mut abandoned = self.in_flight();
        let held = self.held_back(&abandoned);
        abandoned.retain(|context| {
            // Proposed first: its callout may end in this very moment, and must find it.
            let lost = self.loss_of(context, &held).map(|lost| self.device.losses.propose(lost));
            let lost = lost.map(|number| match context.name_lost(number) {
                Ok(()) => number,
                Err(before) => {
                    self.device.losses.withdraw(number);
                    before
                }
            });
            let given_up = context.abandon(Status::IoTimeout);
            if given_up {
                context.end_unsent();
            }
            match lost {
                Some(number) if given_up => self.device.name_loss(number),
                Some(number) => self.device.losses.withdraw(number),
                None => {}
            }
            given_up
        });
        self.report.abandoned += abandoned.len() as u64;
        self.device.cancel_requests(abandoned);
    }

    /// What is lost with a request: the bytes it writes, or for one that commits what the
    /// mini-redirector holds back of its handle.
    fn loss_of(&mut self, context: &Context, held: &HeldBack) -> Option<LostWrite> {
        let Subject::Handle(number) = context.subject() else { return None };
        let operation = context.operation();
        if self.device.losses.is_exempt(*number) {
            return None;
        }
        let (fobx, data) = context.held();
        let fobx = fobx.or_else(|| self.device.handles.get(*number));
        let error = format!("{operation} had no answer from the server");
        let span = context.span();
        let bytes = match (operation, span) {
            ("write" | "write-back", Some(span)) => span.length,
            ("flush" | "fsync", _) => {
                let bytes = held.get(number).copied().unwrap_or(0);
                // A handle's bytes are lost once, however many wait for them.
                if bytes == 0 || !self.given_up.insert(*number) {
                    return None;
                }
                if let Some(fobx) = &fobx {
                    fobx.mark_told();
                }
                bytes
            }
            _ => return None,
        };
        let lost = match &fobx {
            Some(fobx) => self.device.lost_write(fobx, span, error),
            None => return None,
        };
        let caller = context.caller();
        let written_by = if caller.pid == 0 { lost.written_by } else { caller };
        Some(LostWrite { bytes, data, written_by, ..lost })
    }

    /// Of each handle that is being committed: its unsent bytes that no WRITE in flight carries.
    fn held_back(&self, requests: &[Arc<Context>]) -> HeldBack {
        let mut held = HeldBack::new();
        for context in requests {
            if let (Subject::Handle(number), (Some(fobx), _)) = (context.subject(), context.held())
            {
                held.entry(*number).or_insert_with(|| fobx.unsent_bytes());
            }
        }
        for context in requests {
            if let (Subject::Handle(number), Some(span)) = (context.subject(), context.span())
                && let (Some(bytes), (Some(_), _)) = (held.get_mut(number), context.held())
            {
                *bytes = bytes.saturating_sub(span.length);
            }
        }
        held
    }
}

/// Bytes by handle.
type HeldBack = BTreeMap<HandleNumber, u64>;
