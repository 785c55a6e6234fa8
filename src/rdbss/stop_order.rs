//! The order of a stop, step by step (stop.md §4). Runs on the control thread and nowhere else.

use crate::base::clock::Moment;
use crate::base::limits::{
    CANCEL_GRACE, RELEASE_GRACE, SURVIVORS_LISTED_MAX, UNMOUNT_WAIT, WRITE_BACK_WAIT,
};
use crate::base::status::Status;
use crate::base::stop::{
    CallResult, ConfigScope, Notice, OnDeadline, REDIRECTOR_FAILED, REDIRECTOR_TIMEOUT, Report,
    STILL_MOUNTED, State, StopMode, unix_seconds,
};
use crate::base::sync::atomic::Ordering;
use crate::rdbss::bounded::{call_bounded, wait_low_io};
use crate::rdbss::device::{Device, KernelSide};
use crate::rdbss::fsp::Fsp;
use crate::rdbss::lifecycle::{Action, Event};
use crate::rdbss::notice::{DeregisterError, LostWrite};
use crate::rdbss::objects::fobx::Fobx;
use crate::rdbss::ops::data::Unsent;
use crate::rdbss::startstop::{FspToken, Job};
use crate::rdbss::stop_run::{Ended, LOOK_EVERY, LOOK_SOON, StopRun};
use std::sync::Arc;
use std::time::Duration;

/// The control thread looks so often whether the stop was tightened while the kernel writes back.
const SETTLE_LOOK_EVERY: Duration = Duration::from_millis(50);

impl Device {
    /// The control thread takes a stop (stop.md §3).
    pub(in crate::rdbss) fn take_stop(&self, token: &FspToken, job: &Job) -> Report {
        let grace = {
            let inner = self.control.lock();
            // A stop whose grace was tightened away while it waited has none.
            let running = inner.running.as_ref();
            running.is_some_and(|running| running.terms.grace_until.is_some())
        };
        let mut run = StopRun::new(self, token, job);
        match self.step(token, Event::StopTaken { grace }) {
            Ok(Action::Answer(result)) => {
                run.report.result = result;
                run.await_the_rest();
                // Stopped already, but to be unmounted still: step 7 is all there is to do.
                if job.terms.options.unmount {
                    run.begin("deregister_file_system");
                    run.deregister_file_system();
                    run.end_step();
                }
            }
            Ok(Action::RollBackStop) => run.roll_back(),
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
            }
            Err(Ended::RolledBack) => {
                self.count();
                self.roll_back();
            }
        }
    }

    /// Steps 1 to 5. The deadline covers them (S1).
    fn before_point_of_no_return(&mut self, grace: bool) -> Result<(), Ended> {
        self.ask_dependents();
        if grace {
            self.begin("grace");
            self.wait_for_handles()?;
            self.advance(Event::GraceOver)?;
            self.drain_begins();
        }
        self.begin("write_back");
        // Queued only: the kernel cannot flush a page that a request in flight holds.
        self.device.write_pages_back();
        // What fails here is tried again when the drain is over.
        self.commit_dirty()?;
        self.begin("drain");
        self.drain()?;
        self.let_go_of_feeds()?;
        self.wait_for_dependents()?;
        // Nothing holds a page any more; and requests that ran meanwhile may have dirtied some.
        self.device.write_pages_back();
        self.settle_kernel()?;
        self.begin("seal");
        self.device.deferred.begin();
        self.advance(Event::Drained)?;
        self.device.announce(Notice::Sealed);
        self.wait_closes()?;
        self.begin("write_back_rest");
        let lost = self.commit_dirty()?;
        self.begin("shed_delayed_closes");
        self.shed_delayed_closes()?;
        self.commit_to_the_end()?;
        self.commit_dependents();
        // Not before: a stop that is taken back has lost nothing.
        for (fobx, loss) in lost {
            fobx.mark_told();
            self.device.lost(loss);
        }
        Ok(())
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
        self.run_deferred();
        self.count_survivors();
        self.begin("spin_down");
        self.spin_down();
        if !self.device.losses.is_empty() {
            self.begin("keep_unsent");
        }
        self.report.losses = self.device.take_losses();
        self.count();
        self.add_dependents();
        self.tell_redirector_failed();
        self.save_config();
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

    /// A mini-redirector's own stop that failed is told behind what was wrong before: that the
    /// mount is still there is said first.
    fn tell_redirector_failed(&mut self) {
        let Some(status) = self.redirector_failed else { return };
        let number = if status == Status::IoTimeout { REDIRECTOR_TIMEOUT } else { "" };
        let why = format!("{REDIRECTOR_FAILED}{status}{number}");
        self.report.error = Some(match self.report.error.take() {
            Some(first) => format!("{first}; {why}"),
            None => why,
        });
    }

    // ---- steps 1 to 5 ---------------------------------------------------------------------------

    /// Step 1 with a grace: open handles keep working until the last closes or the grace ends.
    fn wait_for_handles(&mut self) -> Result<(), Ended> {
        loop {
            self.look()?;
            let theirs = self.device.dependents.as_ref().map_or(0, |them| them.load().handles);
            let mut inner = self.device.control.lock();
            let Some(running) = &inner.running else { return Err(Ended::RolledBack) };
            let Some(grace) = running.terms.grace_until else { return Ok(()) };
            let left = grace.since(self.device.clock.now());
            // `stay` stays: the grace goes on although the deadline has passed (cli.md).
            let cut =
                running.deadline_passed && running.terms.options.on_deadline != OnDeadline::Stay;
            let over = left.is_zero() || cut || inner.state != State::Paused;
            if over || self.device.open_handles() + theirs == 0 {
                return Ok(());
            }
            self.device.control.wait_change(&mut inner, left.min(LOOK_EVERY));
        }
    }

    /// Waits for what was flushed, for as long as the stop may wait and the kernel is not stuck.
    fn settle_kernel(&mut self) -> Result<(), Ended> {
        let Some(kernel) = self.device.kernel.get() else { return Ok(()) };
        let (least, until) = (self.a_moment(), self.device.clock.now().after(WRITE_BACK_WAIT));
        while !kernel.cache.settle(SETTLE_LOOK_EVERY) {
            self.look()?;
            if self.device.clock.now() >= until || !self.may_wait(least) {
                log::warn!("{}: the kernel's write-back did not end in time", self.device.name);
                break;
            }
        }
        self.tell_written_back();
        Ok(())
    }

    /// Steps 2 and 5, the mini-redirector's half: what it holds back goes to the server. The stop's
    /// own requests bypass the gate. Returns what could not be committed.
    fn commit_dirty(&mut self) -> Result<Vec<(Arc<Fobx>, LostWrite)>, Ended> {
        let mut dirty = Vec::new();
        self.device.handles.visit_some(Fobx::is_uncommitted, |number, fobx| {
            dirty.push((number, fobx));
            true
        });
        let least = self.a_moment();
        let mut failed = Vec::new();
        for (number, fobx) in dirty {
            // Taken one by one: those that a stop leaves when it is taken back must stay marked.
            let bytes = fobx.take_uncommitted();
            if bytes == 0 {
                continue;
            }
            let committed = match self.may_wait(least) {
                true => self.commit(&fobx, bytes, least),
                false => Err(Status::IoTimeout),
            };
            if let Err(status) = committed {
                fobx.add_uncommitted(bytes);
                // Those of a commit that was given up on have been told; a replay's are kept.
                let told = self.given_up.contains(&number) || self.device.losses.is_exempt(number);
                if !told {
                    let lost = self.device.lost_write(&fobx, None, status.to_string());
                    failed.push((fobx, LostWrite { bytes, ..lost }));
                }
                self.look()?;
            }
        }
        self.look()?;
        Ok(failed)
    }

    fn commit(&self, fobx: &Arc<Fobx>, bytes: u64, least: Moment) -> Result<(), Status> {
        let (context, srv_open) = (self.device.own_context("commit"), fobx.srv_open());
        let unsent = Unsent::new(fobx, &context, bytes);
        let its_context = context.clone();
        let body = move || {
            let (_unsent, context) = (unsent, its_context);
            wait_low_io(|submission| {
                let redirector = srv_open.binding.view.redirector();
                redirector.commit(&*context, srv_open.open(), submission)
            })
        };
        let committed = call_bounded("commit", || self.may_wait(least), body);
        // Given up on: what hangs there is told as a loss, or committed again.
        context.end_unsent();
        committed
    }

    /// Step 5: a file that the user closed must not count as open. Nothing is delayed any more: the
    /// gate is sealed, and the last close that was inside has ended, the scavenger's among them.
    fn shed_delayed_closes(&mut self) -> Result<(), Ended> {
        let view = self.device.view.read().clone();
        if let Some(view) = view
            && self.device.delayed_closes() > 0
        {
            let device = self.device.shared();
            let shed = self.call("close", move || {
                let context = device.own_context("shed");
                device.close_delayed(&context, view.net_root.srv_call.shared_opens.purge_all());
                Ok(())
            });
            if let Err(status) = shed {
                log::warn!("{}: delayed closes: {status}", self.device.name);
            }
        }
        self.look()
    }

    /// Step 3, the conservative drain: the uncancellable run to their end, then the cancellable are
    /// cancelled, then they are waited for.
    fn drain(&mut self) -> Result<(), Ended> {
        loop {
            self.look()?;
            let hard = self.mode() >= StopMode::Cancel;
            if hard || self.device.gate.wait_uncancellable(self.slice()) {
                break;
            }
        }
        loop {
            self.look()?;
            match self.mode() {
                StopMode::Drain => self.cancel_cancellable(),
                StopMode::Cancel | StopMode::Abort => self.cancel_all(),
            }
            if self.device.gate.wait_normals(self.slice()) {
                return Ok(());
            }
        }
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
        let Some(provider) = self.device.provider() else { return };
        for prefix in provider.deregister() {
            self.device.announce(Notice::PrefixReleased { prefix });
        }
        self.device.announce(Notice::Deregistered);
    }

    fn deregister_file_system(&mut self) {
        let options = {
            let inner = self.device.control.lock();
            inner.running.as_ref().map(|running| running.terms.options.clone())
        };
        let options = options.unwrap_or_else(|| self.job.terms.options.clone());
        let Some(kernel) = self.device.kernel.get() else { return };
        if options.unmount {
            // RELEASEs on their way would make it busy: they get the same moment as in step 9.
            self.device.wait_for_releases();
            self.unmount(kernel, options.lazy);
        }
        // What the kernel remembers of names must not outlive the stop.
        kernel.cache.forget_names();
    }

    fn unmount(&mut self, kernel: &KernelSide, lazy: bool) {
        // The kernel writes back before it lets go, and a helper may have to be asked: bounded as
        // foreign code is. One that is given up on goes on, and whoever serves the mount sees it
        // end.
        let registration = kernel.registration.clone();
        let least = self.device.clock.now().after(UNMOUNT_WAIT);
        let go_on = || self.may_wait(least);
        let asked = call_bounded("umount", go_on, move || Ok(registration.deregister(lazy)));
        let gone = asked.unwrap_or_else(|status| {
            Err(DeregisterError::Failed(format!("unmounting it did not end in time ({status})")))
        });
        match gone {
            Ok(by_us) => {
                self.report.unmounted = true;
                if self.ends_soon(kernel) {
                    self.close_the_rest();
                }
                if by_us {
                    self.device.announce(Notice::Unmounted);
                }
            }
            Err(error @ (DeregisterError::Busy | DeregisterError::Failed(_))) => {
                self.report.error = Some(format!("{STILL_MOUNTED}: {error}"));
            }
        }
    }

    /// A close that came while the stop was sealed has been put off until now, and its descriptor
    /// kept the mount busy in step 7: once nobody holds a handle any more, it is tried again.
    fn unmount_again(&mut self) {
        if !self.report.is_still_mounted() || self.device.load_of_all().held > 0 {
            return;
        }
        if let Some(kernel) = self.device.kernel.get() {
            self.report.error = None;
            self.unmount(kernel, false);
        }
    }

    /// Is the file system gone with its mount? Where handles are open it gets a moment: somebody
    /// may just be looking at it. With a bind mount, or one in another namespace, it is not, and
    /// whoever has a file open there keeps his handle, a survivor.
    fn ends_soon(&self, kernel: &KernelSide) -> bool {
        let until = self.device.clock.now().after(self.device.options.release_grace);
        while !kernel.registration.has_ended() {
            let left = until.since(self.device.clock.now());
            if left.is_zero() || self.device.load_of_all().held == 0 {
                return false;
            }
            let mut inner = self.device.control.lock();
            self.device.control.wait_change(&mut inner, left.min(LOOK_SOON));
        }
        true
    }

    /// The file system is gone and nothing can be open any more: what the table still holds are
    /// RELEASEs that were queued and never come (fuse.md 2.1).
    fn close_the_rest(&self) {
        self.close_the_dependents_rest();
        if self.device.handles.is_empty() {
            return;
        }
        let device = self.device.shared();
        if let Err(status) = self.call("close", move || Ok(device.connection_gone())) {
            log::warn!("{}: closing what was open: {status}", self.device.name);
        }
    }

    fn mrx_stop(&mut self) {
        let view = self.device.view.write().take();
        let Some(view) = view else { return };
        let redirector = view.redirector().clone();
        let context = self.device.own_context("stop");
        let stopped = self.call("stop", move || {
            let stopped = redirector.stop(&*context);
            // The share's objects go now, unless survivors hold them. Finalising is foreign code
            // too.
            drop(view);
            stopped
        });
        if let Err(status) = stopped {
            log::error!("{}: MRxStop: {status}", self.device.name);
            self.redirector_failed = Some(status);
        }
        self.device.announce(Notice::RedirectorStopped);
    }

    /// The closes that were deferred, now that `MRxStop` has returned or the stop is taken back.
    fn run_deferred(&self) {
        if self.device.deferred.end_if_none() {
            return;
        }
        let device = self.device.shared();
        match self.call("deferred", move || Ok(device.deferred.run_all())) {
            Ok(_) => {}
            // No thread to be had: here, then. They are owed.
            Err(Status::InsufficientResources) => drop(self.device.deferred.run_all()),
            Err(status) => log::warn!("{}: deferred closes: {status}", self.device.name),
        }
    }

    fn count_survivors(&mut self) {
        self.device.wait_for_releases();
        self.unmount_again();
        self.device.drop_clean_pages();
        self.device.handles.visit(|_, fobx| {
            if fobx.orphan() {
                self.device.survivors.fetch_add(1, Ordering::Relaxed);
            }
            true
        });
        (self.report.survivors, self.report.survivors_total) =
            self.device.handle_list_of_all(SURVIVORS_LISTED_MAX);
        if self.report.survivors_total > 0 {
            self.device.announce(Notice::Survivors { handles: self.report.survivors_total });
        }
    }

    fn spin_down(&self) {
        // Late closes of survivors need workers again: a fresh set, with no thread until one comes.
        let fresh = Arc::new(Fsp::new(self.device.clock.clone()));
        let old = std::mem::replace(&mut *self.device.fsp.lock(), fresh);
        // Only requests that were abandoned can still sit in a worker: they get a moment.
        let spun_down = old.spin_down(RELEASE_GRACE.max(CANCEL_GRACE));
        if spun_down.given_up > 0 {
            let stuck = spun_down.given_up;
            log::warn!("{}: {stuck} workers are stuck in the server", self.device.name);
        }
        // What still waited behind those is owed: the fresh workers do it.
        for job in spun_down.left {
            self.device.post_owed_job(job);
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
            let state = inner.past_waiting(Event::RollBack, state);
            self.device.set_state(&mut inner, state);
        }
        let reopened = !by_resume && inner.state == State::Started;
        drop(inner);
        self.device.control.progressed();
        self.run_deferred();
        self.device.feeds.resume();
        self.device.resume_dependents(self.job.asked_by);
        self.add_dependents();
        self.end_step();
        self.report.result = CallResult::RolledBack;
        (self.report.survivors, self.report.survivors_total) =
            self.device.handle_list_of_all(SURVIVORS_LISTED_MAX);
        if reopened {
            self.device.announce(Notice::Resumed);
        }
        // What was kept meanwhile may say that it is stopped.
        self.device.save_config(ConfigScope::Mount);
    }
}
