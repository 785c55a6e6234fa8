//! The order of a stop, step by step (stop.md §4). Runs on the control thread and nowhere else.

use crate::base::clock::Moment;
use crate::base::limits::{RELEASE_GRACE, WRITE_BACK_WAIT};
use crate::base::status::Status;
use crate::base::stop::{
    CallKind, CallResult, Loss, Notice, OnDeadline, Report, State, StepTime, StopMode, unix_seconds,
};
use crate::rdbss::bounded::call_bounded;
use crate::rdbss::context::{Context, Subject};
use crate::rdbss::device::Device;
use crate::rdbss::fsp::Fsp;
use crate::rdbss::lifecycle::{Action, Event};
use crate::rdbss::notice::DeregisterError;
use crate::rdbss::startstop::{FspToken, Job};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The control thread looks at least this often whether the stop was tightened or taken back.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The same while the kernel writes back.
const SETTLE_LOOK_EVERY: Duration = Duration::from_millis(50);
/// After `cancel` at the deadline, requests get this long to end by themselves.
const CANCEL_GRACE: Duration = Duration::from_millis(500);
/// Survivors listed in a report; the count is exact whatever their number.
const SURVIVORS_LISTED_MAX: usize = 1000;

/// Why the stop ends before its point of no return.
enum Ended {
    /// Taken back: by `resume`, or by the deadline with `on_deadline = resume`.
    RolledBack,
}

/// One running stop.
struct StopRun<'a> {
    device: &'a Device,
    token: &'a FspToken,
    job: &'a Job,
    report: Report,
    step_began: Moment,
    answered_before: u64,
    refused_before: u64,
    last_progress: (u64, u64, u64),
    /// Requests that must not be waited for: the deadline or the mode said so.
    abandoning: bool,
}

impl Device {
    /// The control thread takes a stop (stop.md §3).
    pub(in crate::rdbss) fn take_stop(&self, token: &FspToken, job: &Job) -> Report {
        let grace = {
            let inner = self.control.lock();
            // A stop whose grace was tightened away while it waited has none.
            let running = inner.running.as_ref();
            running.is_some_and(|running| running.options.grace().is_some())
        };
        let report =
            self.plain_report(CallKind::Stop, CallResult::Success, job.asked_by, &job.options);
        let mut run = StopRun {
            device: self,
            token,
            job,
            report: Report { ticket: Some(job.ticket), ..report },
            step_began: self.clock.now(),
            answered_before: self.counts.answered.load(Ordering::Relaxed),
            refused_before: self.refusals.total(),
            last_progress: (0, 0, 0),
            abandoning: false,
        };
        match self.step(token, Event::StopTaken { grace }) {
            Ok(Action::Answer(result)) => {
                run.report.result = result;
                // Stopped already, but to be unmounted still: step 7 is all there is to do.
                if job.options.unmount {
                    run.begin("deregister_file_system");
                    run.deregister_file_system();
                    run.end_step();
                }
            }
            Ok(Action::RunGrace) => run.run(true),
            Ok(_) => run.run(false),
            Err(refused) => {
                log::error!("{}: {refused}", self.name);
                run.report.result = CallResult::Failed;
                run.report.error = Some(refused.to_string());
            }
        }
        run.report.ended_unix_s = unix_seconds(self.clock.wall());
        run.report
    }
}

impl StopRun<'_> {
    fn run(&mut self, grace: bool) {
        match self.before_point_of_no_return(grace) {
            Ok(()) => {
                self.after_point_of_no_return();
                self.count();
            }
            Err(Ended::RolledBack) => {
                self.count();
                self.roll_back();
            }
        }
    }

    /// Steps 1 to 5. The deadline covers them (S1).
    fn before_point_of_no_return(&mut self, grace: bool) -> Result<(), Ended> {
        if grace {
            self.begin("grace");
            self.wait_for_handles()?;
            self.advance(Event::GraceOver)?;
        }
        self.begin("write_back");
        // Queued only: the kernel cannot flush a page that a request in flight holds.
        self.device.write_pages_back();
        self.commit_dirty()?;
        self.begin("drain");
        self.drain()?;
        // Nothing holds a page any more; and requests that ran meanwhile may have dirtied some.
        self.device.write_pages_back();
        self.settle_kernel()?;
        self.begin("seal");
        self.device.deferred.begin();
        self.advance(Event::Drained)?;
        self.device.announce(Notice::Sealed);
        self.wait_closes()?;
        self.begin("write_back_rest");
        self.commit_dirty()?;
        self.commit_to_the_end()
    }

    /// Steps 6 to 10: nothing here takes the stop back.
    fn after_point_of_no_return(&mut self) {
        self.begin("deregister_provider");
        self.deregister_provider();
        self.begin("deregister_file_system");
        self.deregister_file_system();
        self.begin("mrx_stop");
        self.mrx_stop();
        self.begin("count_survivors");
        self.device.deferred.run_all();
        self.count_survivors();
        self.begin("spin_down");
        self.spin_down();
        if let Err(refused) = self.device.step(self.token, Event::StopDone) {
            log::error!("{}: {refused}", self.device.name);
        }
        self.end_step();
        // A read that was given up on is no loss: nothing that was acknowledged is missing.
        if !self.report.losses.is_empty() {
            self.report.result = CallResult::Lost;
        } else if self.report.survivors_total > 0 {
            self.report.result = CallResult::HasOpenHandles;
        }
    }

    // ---- bookkeeping --------------------------------------------------------------------------

    /// Names the step that begins, for `status`, and stores how long the last one took.
    fn begin(&mut self, step: &'static str) {
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

    fn end_step(&mut self) {
        let now = self.device.clock.now();
        if let Some(step) = self.report.steps.last_mut() {
            step.seconds = now.since(self.step_began).as_secs_f64();
        }
        self.step_began = now;
    }

    /// What was counted while it ran.
    fn count(&mut self) {
        let answered = self.device.counts.answered.load(Ordering::Relaxed);
        let gone = self.report.cancelled + self.report.abandoned;
        self.report.drained = (answered - self.answered_before).saturating_sub(gone);
        self.report.refused = self.device.refusals.total() - self.refused_before;
    }

    /// Steps the machine, unless the stop has been taken back: tested in the same critical section.
    fn advance(&self, event: Event) -> Result<(), Ended> {
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
    fn commit_to_the_end(&self) -> Result<(), Ended> {
        let mut inner = self.device.control.lock();
        let Some(running) = &mut inner.running else { return Err(Ended::RolledBack) };
        if running.roll_back {
            return Err(Ended::RolledBack);
        }
        running.committed = true;
        Ok(())
    }

    /// The time left to the deadline, as tightened meanwhile; none: no deadline.
    fn time_left(&self) -> Option<Duration> {
        let inner = self.device.control.lock();
        let deadline = inner.running.as_ref()?.deadline?;
        Some(deadline.since(self.device.clock.now()))
    }

    /// How long to sleep before looking again.
    fn slice(&self) -> Duration {
        self.time_left().map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY))
    }

    // ---- the deadline and what may be done at it
    // -------------------------------------------------

    /// Looks whether the stop was taken back or its deadline passed, and acts on it (S1).
    fn look(&mut self) -> Result<(), Ended> {
        let (mode, passed, policy, first) = {
            let now = self.device.clock.now();
            let mut inner = self.device.control.lock();
            let Some(running) = &mut inner.running else { return Err(Ended::RolledBack) };
            if running.roll_back {
                return Err(Ended::RolledBack);
            }
            let passed = running.deadline.is_some_and(|deadline| now >= deadline);
            let first = passed && !running.deadline_passed;
            running.deadline_passed |= passed;
            (running.options.mode, passed, running.options.on_deadline, first)
        };
        if first {
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
        let view = self.device.gate.view();
        let requests = u64::from(view.normals) + u64::from(view.closes);
        let (handles, unsent_bytes) = self.device.handle_totals();
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

    /// Cancels what has a cancel routine; true if there was any.
    fn cancel_cancellable(&mut self) -> bool {
        let mut cancelled = 0;
        for context in self.in_flight() {
            if context.is_cancellable() && context.cancel() {
                cancelled += 1;
            }
        }
        if cancelled > 0 {
            self.report.cancelled += cancelled;
            self.device.announce(Notice::Cancelled { requests: cancelled });
        }
        cancelled > 0
    }

    /// Marks everything cancelled, so that what is not handed down yet is not handed down.
    fn cancel_all(&mut self) {
        self.cancel_cancellable();
        for context in self.in_flight() {
            context.cancel();
        }
    }

    fn let_cancelled_end(&self) {
        let until = self.device.clock.now().after(CANCEL_GRACE);
        loop {
            let left = until.since(self.device.clock.now());
            let view = self.device.gate.view();
            if left.is_zero() || (view.normals == 0 && view.closes == 0) {
                return;
            }
            self.device.gate.wait_normals(left);
            self.device.gate.wait_closes(left);
        }
    }

    /// Gives up on everything in flight: the callers get ETIMEDOUT, writes go into the loss report.
    fn abandon_all(&mut self) {
        self.abandoning = true;
        for context in self.in_flight() {
            let loss = self.loss_of(&context);
            if !context.abandon(Status::IoTimeout) {
                continue;
            }
            self.report.abandoned += 1;
            if let Some(loss) = loss {
                self.device.announce(Notice::Loss(loss.clone()));
                self.report.losses.push(loss);
            }
        }
    }

    /// What is lost with a request: the unsent bytes of its file, if it writes.
    fn loss_of(&self, context: &Context) -> Option<Loss> {
        let Subject::Handle(number) = context.subject() else { return None };
        let writes = matches!(context.operation(), "write" | "write-back" | "flush" | "fsync");
        let fobx = self.device.handles.get(*number)?;
        let bytes = fobx.unsent_bytes();
        (writes && !self.report.losses.iter().any(|loss| loss.path == fobx.srv_open().fcb.path()))
            .then(|| Loss {
                path: fobx.srv_open().fcb.path(),
                bytes,
                error: format!("{} had no answer from the server", context.operation()),
            })
    }

    // ---- steps 1 to 5 ---------------------------------------------------------------------------

    /// Step 1 with a grace: open handles keep working until the last closes or the grace ends.
    fn wait_for_handles(&mut self) -> Result<(), Ended> {
        loop {
            self.look()?;
            let mut inner = self.device.control.lock();
            let Some(running) = &inner.running else { return Err(Ended::RolledBack) };
            let Some(grace) = running.options.grace() else { return Ok(()) };
            let now = self.device.clock.now();
            let left = running.asked_at.after(grace).since(now);
            // `stay` stays: the grace goes on although the deadline has passed (cli.md).
            let cut = running.deadline_passed && running.options.on_deadline != OnDeadline::Stay;
            let over = left.is_zero() || cut || inner.state != State::Paused;
            if over || self.device.handles.is_empty() {
                return Ok(());
            }
            self.device.control.wait_change(&mut inner, left.min(LOOK_EVERY));
        }
    }

    /// Waits for the kernel's write-back, as long as the stop may wait at all.
    fn settle_kernel(&mut self) -> Result<(), Ended> {
        let Some(kernel) = self.device.kernel.get() else { return Ok(()) };
        let until = self.device.clock.now().after(WRITE_BACK_WAIT);
        while !kernel.cache.settle(SETTLE_LOOK_EVERY) {
            self.look()?;
            if !self.may_wait() || self.device.clock.now() >= until {
                log::warn!("{}: the kernel's write-back did not end in time", self.device.name);
                break;
            }
        }
        Ok(())
    }

    /// Steps 2 and 5, the mini-redirector's half: what it holds back goes to the server. The stop's
    /// own requests bypass the gate.
    fn commit_dirty(&mut self) -> Result<(), Ended> {
        let mut dirty = Vec::new();
        self.device.handles.visit(|number, fobx| {
            if fobx.take_dirty() {
                dirty.push((number, fobx));
            }
            true
        });
        for (_, fobx) in dirty {
            let srv_open = fobx.srv_open();
            let context = self.device.own_context("commit");
            let bytes = fobx.unsent_bytes();
            let committed = self.wait_commit(&context, &srv_open);
            match committed {
                Ok(()) => self.report.flushed_bytes += bytes,
                Err(status) => {
                    fobx.mark_dirty();
                    self.look()?;
                    let loss = Loss { path: srv_open.fcb.path(), bytes, error: status.to_string() };
                    self.device.announce(Notice::Loss(loss.clone()));
                    self.report.losses.push(loss);
                }
            }
        }
        self.look()
    }

    fn wait_commit(
        &self,
        context: &Arc<Context>,
        srv_open: &Arc<crate::rdbss::objects::srv_open::SrvOpen>,
    ) -> Result<(), Status> {
        let (context, srv_open) = (context.clone(), srv_open.clone());
        call_bounded(
            "commit",
            || self.may_wait(),
            move || {
                crate::rdbss::bounded::wait_low_io(|submission| {
                    let redirector = srv_open.binding.view.redirector();
                    redirector.commit(&*context, srv_open.open(), submission)
                })
            },
        )
    }

    /// May the stop wait on? Not once its deadline passed with anything but `stay`, nor when it was
    /// taken back or is to abort.
    fn may_wait(&self) -> bool {
        let inner = self.device.control.lock();
        let Some(running) = &inner.running else { return false };
        let now = self.device.clock.now();
        let passed = running.deadline.is_some_and(|deadline| now >= deadline);
        let stays = running.options.on_deadline == OnDeadline::Stay;
        !running.roll_back && running.options.mode != StopMode::Abort && (!passed || stays)
    }

    /// Step 3, the conservative drain: the uncancellable run to their end, then the cancellable are
    /// cancelled, then they are waited for.
    fn drain(&mut self) -> Result<(), Ended> {
        loop {
            self.look()?;
            let hard = self.job_mode() >= StopMode::Cancel;
            if hard || self.device.gate.wait_uncancellable(self.slice()) {
                break;
            }
        }
        if self.job_mode() == StopMode::Cancel {
            self.cancel_all();
        }
        loop {
            self.look()?;
            self.cancel_cancellable();
            if self.device.gate.wait_normals(self.slice()) {
                return Ok(());
            }
        }
    }

    fn job_mode(&self) -> StopMode {
        let inner = self.device.control.lock();
        inner.running.as_ref().map_or(self.job.options.mode, |running| running.options.mode)
    }

    /// Step 4: the last running close. No new one is counted any more.
    fn wait_closes(&mut self) -> Result<(), Ended> {
        loop {
            if self.device.gate.wait_closes(self.slice()) {
                return Ok(());
            }
            self.look()?;
        }
    }

    // ---- steps 6 to 10 --------------------------------------------------------------------------

    fn deregister_provider(&self) {
        if self.device.controls.dont_provide_uncs {
            return;
        }
        let Some(provider) = &self.device.unc_provider else { return };
        for prefix in provider.deregister() {
            self.device.announce(Notice::PrefixReleased { prefix });
        }
        self.device.announce(Notice::Deregistered);
    }

    fn deregister_file_system(&mut self) {
        let options = {
            let inner = self.device.control.lock();
            inner.running.as_ref().map(|running| running.options.clone())
        };
        let options = options.unwrap_or_else(|| self.job.options.clone());
        let Some(kernel) = self.device.kernel.get() else { return };
        if options.unmount {
            // RELEASEs on their way would make it busy: they get the same moment as in step 9.
            self.device.wait_for_releases();
            match kernel.registration.deregister(options.lazy) {
                Ok(_) => {
                    self.report.unmounted = true;
                    if !options.lazy {
                        // Nothing can be open any more: what the table still holds are RELEASEs
                        // that were queued and never come (fuse.md 2.1).
                        self.device.connection_gone();
                    }
                    self.device.announce(Notice::Unmounted);
                }
                Err(error @ (DeregisterError::Busy | DeregisterError::Failed(_))) => {
                    self.report.error = Some(format!("stopped, but still mounted: {error}"));
                }
            }
        }
        // What the kernel remembers of names must not outlive the stop.
        kernel.cache.forget_names();
    }

    fn mrx_stop(&mut self) {
        let view = self.device.view.write().take();
        let Some(view) = view else { return };
        let redirector = view.redirector().clone();
        let context = self.device.own_context("stop");
        let stopped = call_bounded("stop", || self.may_wait(), move || redirector.stop(&*context));
        if let Err(status) = stopped {
            log::error!("{}: MRxStop: {status}", self.device.name);
            self.report.error = Some(format!("MRxStop: {status}"));
        }
        // The share's objects go now, unless survivors hold them.
        drop(view);
        self.device.announce(Notice::RedirectorStopped);
    }

    fn count_survivors(&mut self) {
        self.device.wait_for_releases();
        self.device.drop_clean_pages();
        self.device.handles.visit(|_, fobx| {
            fobx.orphan();
            true
        });
        (self.report.survivors, self.report.survivors_total) =
            self.device.handle_list(SURVIVORS_LISTED_MAX);
        if self.report.survivors_total > 0 {
            self.device.announce(Notice::Survivors { handles: self.report.survivors_total });
        }
    }

    fn spin_down(&self) {
        // Late closes of survivors need workers again: a fresh set, with no thread until one comes.
        let fresh = Arc::new(Fsp::new(self.device.clock.clone()));
        let old = std::mem::replace(&mut *self.device.fsp.lock(), fresh);
        // Only requests that were abandoned can still sit in a worker: they get a moment.
        let given_up = old.spin_down(RELEASE_GRACE.max(CANCEL_GRACE));
        if given_up > 0 {
            log::warn!("{}: {given_up} workers are stuck in the server", self.device.name);
        }
        self.device.announce(Notice::DispatcherSpunDown);
    }

    // ---- taken back -----------------------------------------------------------------------------

    /// Before the point of no return everything can be taken back (S2): the gate opens again.
    fn roll_back(&mut self) {
        let mut inner = self.device.control.lock();
        let by_resume = inner.running.as_ref().is_none_or(|running| running.roll_back);
        if !by_resume
            && let Ok((state, _)) = crate::rdbss::lifecycle::step(inner.state, Event::RollBack)
        {
            self.device.set_state(&mut inner, state);
        }
        drop(inner);
        self.device.control.progressed();
        self.device.deferred.run_all();
        self.end_step();
        self.report.result = CallResult::RolledBack;
        (self.report.survivors, self.report.survivors_total) =
            self.device.handle_list(SURVIVORS_LISTED_MAX);
        if !by_resume {
            self.device.announce(Notice::Resumed);
        }
    }
}
