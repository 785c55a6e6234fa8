//! The stops and starts of a device that others stop and start with (namespace.md, "Joint with the
//! stop").

use crate::base::ids::Caller;
use crate::base::stop::{Answer, Report, StopOptions};
use crate::mrx::calldown::MiniRedirector;
use crate::rdbss::device::Device;
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
        let Some(dependents) = &self.dependents else { return self.stop_this(asked_by, options) };
        crate::base::sync::assert_no_locks("stopping the dependents");
        // Asked first, so that a busy one leaves everything as it was.
        let asked_first = options.refuse_if_busy;
        if asked_first && !dependents.stop(asked_by, &options) {
            return Ok(Answer::Done(self.busy_report(asked_by, &options)));
        }
        let called = self.stop_this(asked_by, options.clone());
        match &called {
            Ok(Answer::Posted(_)) if !asked_first => {
                dependents.stop(asked_by, &options);
            }
            Ok(Answer::Done(report)) if asked_first && !report.result.is_stopped() => {
                dependents.resume(asked_by);
            }
            Err(_) if asked_first => dependents.resume(asked_by),
            Ok(_) | Err(_) => {}
        }
        called
    }

    pub(in crate::rdbss) fn resume_dependents(&self, asked_by: Caller) {
        crate::base::sync::assert_no_locks("resuming the dependents");
        if let Some(dependents) = &self.dependents {
            dependents.resume(asked_by);
        }
    }

    /// Starts those that start with this device; says which it is started without. On failure what
    /// was built is taken down again.
    pub(in crate::rdbss) fn start_dependents(
        &self,
        redirector: &Arc<dyn MiniRedirector>,
        asked_by: Caller,
    ) -> Result<Option<String>, String> {
        let Some(dependents) = &self.dependents else { return Ok(None) };
        crate::base::sync::assert_no_locks("starting the dependents");
        match dependents.start(asked_by) {
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
}

impl StopRun<'_> {
    /// Those that stop with this device do so side by side, on the same terms; it goes no further
    /// than they have.
    pub fn wait_for_dependents(&mut self) -> Result<(), Ended> {
        let Some(dependents) = self.device.dependents.clone() else { return Ok(()) };
        self.begin("dependents");
        loop {
            self.look()?;
            if let Some(reports) = dependents.wait_stopped(self.slice()) {
                self.dependents = reports;
                return Ok(());
            }
        }
    }

    /// What the dependents' stops came to is what this one came to.
    pub fn add_dependents(&mut self) {
        for theirs in std::mem::take(&mut self.dependents) {
            let report = &mut self.report;
            report.drained += theirs.drained;
            report.cancelled += theirs.cancelled;
            report.abandoned += theirs.abandoned;
            report.refused += theirs.refused;
            report.flushed_bytes += theirs.flushed_bytes;
            report.losses.extend(theirs.losses);
            if report.error.is_none() {
                report.error = theirs.error;
            }
        }
    }
}
