//! The stops and starts of a device that others stop and start with (namespace.md, "Joint with the
//! stop").
//!
//! ```text
//!   stop() --- its gate closes --- theirs close --- Posted          no gap: C2 holds for all
//!                 the run: ask again --- steps 1 to 3 --- theirs are over --- seal ---> the end
//!                              |                                |
//!                              +---- taken back: they go on ----+
//! ```
//!
//! Asked by the call, so that nothing new gets in once it is answered; and asked again by the run,
//! which goes no further before each is at rest: one may have been started meanwhile, by a start
//! that was under way or waited, or may have taken its own stop back.

use crate::base::ids::Caller;
use crate::base::limits::CANCEL_GRACE;
use crate::base::stop::{Answer, CallKind, CallResult, Report, State, StopOptions};
use crate::mrx::calldown::MiniRedirector;
use crate::mrx::upcall::RequestContext as _;
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::notice::{Ask, Load};
use crate::rdbss::startstop::CallError;
use crate::rdbss::stop_run::{Ended, StopRun};
use std::sync::Arc;

impl Device {
    /// `RxStopMinirdr` from a foreign context. Answers at once: over, or posted.
    ///
    /// # Errors
    /// [`CallError`]; nothing has changed.
    pub fn stop(
        &self,
        asked_by: Caller,
        options: StopOptions,
    ) -> Result<Answer<Report>, CallError> {
        let Some(dependents) = &self.dependents else {
            return self.stop_this(asked_by, options, Ask::Call);
        };
        crate::base::sync::assert_no_locks("stopping the dependents");
        if !options.refuse_if_busy || !self.serves_undisturbed() {
            return self.stop_this(asked_by, options, Ask::Call);
        }
        // All are looked at before any is touched. Then each flips only if it is not busy, in one
        // step: whoever slipped in between is found by that, and the others are let go on.
        let busy = Device::load(self) + dependents.load();
        let idle = busy.handles == 0 && busy.opening == 0;
        if !idle || !dependents.stop(asked_by, &options, Ask::Call) {
            self.calls.count_busy();
            return Ok(Answer::Done(self.busy_report(asked_by, &options)));
        }
        let called = self.stop_this(asked_by, options, Ask::Again);
        let stops = match &called {
            Ok(Answer::Posted(_)) => true,
            Ok(Answer::Done(report)) => report.result == CallResult::AlreadyStopped,
            Err(_) => false,
        };
        if !stops {
            self.resume_dependents(asked_by);
        }
        called
    }

    /// Started, and no call under way.
    fn serves_undisturbed(&self) -> bool {
        let inner = self.control.lock();
        inner.quiet() && matches!(inner.state, State::Started | State::Paused)
    }

    /// The half of a stop that is just being posted which is theirs.
    pub(in crate::rdbss) fn stop_dependents(
        &self,
        asked_by: Caller,
        options: &StopOptions,
        ask: Ask,
    ) {
        if let Some(dependents) = &self.dependents {
            crate::base::sync::assert_no_locks("stopping the dependents");
            let options = StopOptions { refuse_if_busy: false, ..options.clone() };
            dependents.stop(asked_by, &options, ask);
        }
    }

    /// What this device's stop has stopped goes on. One that was posted meanwhile has closed them,
    /// or does so now.
    pub(in crate::rdbss) fn resume_dependents(&self, asked_by: Caller) {
        let Some(dependents) = &self.dependents else { return };
        crate::base::sync::assert_no_locks("resuming the dependents");
        // One that waits behind has been answered: they stay closed for it.
        if self.waiting_stop().is_none() {
            dependents.resume(asked_by);
        }
        if let Some((asked_by, options)) = self.waiting_stop() {
            self.stop_dependents(asked_by, &options, Ask::Again);
        }
    }

    /// The first stop that waits for the control thread: whose, and on what terms.
    fn waiting_stop(&self) -> Option<(Caller, StopOptions)> {
        let inner = self.control.lock();
        let stop = inner.queue.iter().find(|job| job.kind == CallKind::Stop)?;
        Some((stop.asked_by, stop.terms.left(self.clock.now())))
    }

    /// Starts those that start with this device; says which it is started without. On failure what
    /// was built is taken down again.
    pub(in crate::rdbss) fn start_dependents(
        &self,
        redirector: &Arc<dyn MiniRedirector>,
        context: &Arc<Context>,
        asked_by: Caller,
    ) -> Result<Option<String>, String> {
        let Some(dependents) = &self.dependents else { return Ok(None) };
        crate::base::sync::assert_no_locks("starting the dependents");
        // A stop that waits has closed them, or will: nothing is to be opened for it to close.
        let wanted = || !context.is_cancelled() && self.waiting_stop().is_none();
        let started = match wanted() {
            true => dependents.start(asked_by, &wanted),
            false => Err("a stop was asked for meanwhile".to_owned()),
        };
        match started {
            Ok(without) if without.is_empty() => Ok(None),
            Ok(without) => Ok(Some(without.join("; "))),
            Err(why) => {
                self.stop_started(redirector.clone());
                if let Some(provider) = self.provider() {
                    provider.deregister();
                }
                Err(why)
            }
        }
    }

    /// What is open and under way at this device.
    #[must_use]
    pub fn load(&self) -> Load {
        let view = self.gate.view();
        Load {
            requests: u64::from(view.normals) + u64::from(view.closes),
            handles: self.open_handles(),
            held: self.handles.len() as u64,
            opening: u64::from(self.gate.opening()),
            unsent_bytes: self.unsent_bytes(),
        }
    }

    /// The same at it and those that depend on it.
    pub(in crate::rdbss) fn load_of_all(&self) -> Load {
        let of_dependents = self.dependents.as_ref().map(|dependents| dependents.load());
        self.load() + of_dependents.unwrap_or_default()
    }
}

impl StopRun<'_> {
    /// Those that depend on it stop, too, on what is left of its terms.
    pub fn ask_dependents(&self) {
        let options = {
            let inner = self.device.control.lock();
            let terms = inner.running.as_ref().map(|running| &running.terms);
            terms.unwrap_or(&self.job.terms).left(self.device.clock.now())
        };
        self.device.stop_dependents(self.job.asked_by, &options, Ask::Again);
    }

    /// Those that stop with this device do so side by side, on the same terms; it goes no further
    /// than they have.
    pub fn wait_for_dependents(&mut self) -> Result<(), Ended> {
        let Some(dependents) = self.device.dependents.clone() else { return Ok(()) };
        self.begin("dependents");
        loop {
            self.look()?;
            if dependents.wait_stopped(self.slice()) {
                return Ok(());
            }
            self.ask_dependents();
        }
    }

    /// The same of a device that is stopped itself: what depends on it may be draining still.
    pub fn await_the_rest(&mut self) {
        if self.device.dependents.as_ref().is_none_or(|them| them.is_at_rest()) {
            return;
        }
        self.ask_dependents();
        // There is nothing that could be taken back.
        if let Err(Ended::RolledBack) = self.wait_for_dependents() {
            log::info!("{}: what depends on it is left draining", self.device.name);
        }
        self.add_dependents();
        self.end_step();
        if !self.report.losses.is_empty() {
            self.report.result = CallResult::Lost;
        }
    }

    /// Past the point of no return with it: none is taken back any more.
    pub fn commit_dependents(&self) {
        if let Some(dependents) = &self.device.dependents {
            dependents.commit();
        }
    }

    /// What the dependents' stops came to is what this one came to, taken back or not: what one of
    /// them has lost by then is lost.
    pub fn add_dependents(&mut self) {
        let Some(dependents) = self.device.dependents.clone() else { return };
        for theirs in dependents.take_reports() {
            let report = &mut self.report;
            report.drained += theirs.drained;
            report.cancelled += theirs.cancelled;
            report.abandoned += theirs.abandoned;
            report.refused += theirs.refused;
            report.flushed_bytes += theirs.flushed_bytes;
            report.losses.extend(theirs.losses);
            report.error = match (report.error.take(), theirs.error) {
                (Some(ours), Some(theirs)) => Some(format!("{ours}; {theirs}")),
                (ours, theirs) => ours.or(theirs),
            };
        }
    }

    /// Closes what the dependents' tables still hold, once the file system is gone.
    pub fn close_the_dependents_rest(&self) {
        let Some(dependents) = self.device.dependents.clone() else { return };
        let gone = move || {
            dependents.connection_gone(CANCEL_GRACE);
            Ok(())
        };
        if let Err(status) = self.call("close", gone) {
            log::warn!("{}: closing what was open: {status}", self.device.name);
        }
    }
}
