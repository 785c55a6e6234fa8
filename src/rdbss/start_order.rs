//! The order of a start: MUP, mini-redirector, server, share, survivors, gate (rdbss.md 2.2, S4).
//! Runs on the control thread; a failing step undoes all before it.

use crate::base::ids::Generation;
use crate::base::limits::{CANCEL_GRACE, RELEASE_GRACE};
use crate::base::name::Name;
use crate::base::status::Status;
use crate::base::stop::{
    CallKind, CallResult, ConfigScope, Loss, Report, StopOptions, unix_seconds,
};
use crate::base::sync::atomic::Ordering;
use crate::mrx::calldown::MiniRedirector;
use crate::mrx::request::{FileIdentity, Opened};
use crate::mrx::upcall::{RequestContext, Upcalls};
use crate::rdbss::bounded::{call_bounded, call_bounded_or_undo};
use crate::rdbss::calldown::call;
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::lifecycle::{Action, Event};
use crate::rdbss::notice::{KernelCache, LostWrite};
use crate::rdbss::objects::fobx::Fobx;
use crate::rdbss::objects::net_root::NetRoot;
use crate::rdbss::objects::shared_opens::SharedOpens;
use crate::rdbss::objects::srv_call::{Instance, SrvCall};
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::objects::v_net_root::VNetRoot;
use crate::rdbss::operation::Node;
use crate::rdbss::register::SurvivorPolicy;
use crate::rdbss::startstop::{FspToken, Job};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// How often a reclaim looks whether a cleanup on its way has ended: nobody is woken by that.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The core as a mini-redirector calls it back.
struct DeviceUpcalls {
    device: std::sync::Weak<Device>,
    clock: Arc<dyn crate::base::clock::Clock>,
}

impl DeviceUpcalls {
    /// Does something about a file, if the kernel may know it.
    fn with_known(&self, identity: FileIdentity, then: impl Fn(&Device, &dyn KernelCache, &Node)) {
        let Some(device) = self.device.upgrade() else { return };
        if let (Some(kernel), Some(file)) =
            (device.kernel.get(), device.fcbs.find_identity(identity))
        {
            then(&device, &*kernel.cache, &file);
        }
    }
}

impl Upcalls for DeviceUpcalls {
    fn clock(&self) -> Arc<dyn crate::base::clock::Clock> {
        self.clock.clone()
    }

    fn invalidate_file(&self, identity: FileIdentity) {
        self.with_known(identity, |device, cache, file| {
            cache.flush_file(file.number());
            device.shed_file(file.number());
        });
    }

    fn invalidate_attributes(&self, identity: FileIdentity) {
        self.with_known(identity, |_, cache, file| cache.forget_attributes(file.number()));
    }

    fn invalidate_name(&self, directory: FileIdentity, name: &Name) {
        self.with_known(directory, |device, cache, directory| {
            device.expire_name(cache, directory, name);
        });
    }

    fn invalidate_all(&self) {
        let Some(device) = self.device.upgrade() else { return };
        let Some(kernel) = device.kernel.get() else { return };
        kernel.cache.forget_names();
        for fcb in device.fcbs.snapshot() {
            kernel.cache.flush_file(fcb.number());
        }
    }

    fn report_loss(&self, loss: Loss) {
        let Some(device) = self.device.upgrade() else { return };
        device.lost(LostWrite {
            identity: FileIdentity { number: 0, generation: 0 },
            path: device.told_path(loss.path),
            span: None,
            bytes: loss.bytes,
            append: false,
            data: None,
            error: loss.error,
            lost_unix_s: unix_seconds(self.clock.wall()),
            written_by: loss.written_by,
        });
    }
}

/// What a start has built.
struct Built {
    view: Arc<VNetRoot>,
    blocking: bool,
}

impl Device {
    /// The control thread takes a start (stop.md §3).
    pub(in crate::rdbss) fn take_start(&self, token: &FspToken, job: &Job) -> Report {
        let plain = |result| {
            let options = StopOptions::default();
            let report = self.plain_report(CallKind::Start, result, job.asked_by, &options);
            Report { ticket: Some(job.ticket), ..report }
        };
        if self.control.lock().is_overtaken_by_root(job) {
            let error = Some("a stop that root asked for waits".to_owned());
            return Report { error, ..plain(CallResult::AlreadyStopped) };
        }
        // Known before the state says that a start runs: a stop that sees it must find what to
        // cancel.
        let context = self.own_context("start");
        if let Some(running) = &mut self.control.lock().running {
            running.context = Some(context.clone());
        }
        match self.step(token, Event::StartTaken) {
            Ok(Action::Answer(result)) => return plain(result),
            Ok(_) => {}
            Err(refused) => {
                log::error!("{}: {refused}", self.name);
                return Report { error: Some(refused.to_string()), ..plain(CallResult::Failed) };
            }
        }
        let overtaken = {
            let mut inner = self.control.lock();
            if let Some(running) = &mut inner.running {
                running.step = "start";
            }
            inner.holds_root_up(job)
        };
        if overtaken {
            // It was posted between the two looks, and found nothing to cancel.
            self.cancel_requests(vec![context.clone()]);
        }
        let built = self.build(&context).map_err(|(status, what)| format!("{what}: {status}"));
        let started = built.and_then(|built| {
            let without = self.start_dependents(built.view.redirector(), &context, job.asked_by)?;
            Ok((built, without))
        });
        match started {
            Ok((built, without)) => {
                self.serve(token, &context, &built);
                self.save_config(ConfigScope::Mount);
                Report { error: without, ..plain(CallResult::Success) }
            }
            Err(error) => {
                if let Err(refused) = self.step(token, Event::StartFailed) {
                    log::error!("{}: {refused}", self.name);
                }
                Report { error: Some(error), ..plain(CallResult::Failed) }
            }
        }
    }

    /// Registers with the MUP, starts the mini-redirector, connects. On failure nothing is left.
    fn build(&self, context: &Arc<Context>) -> Result<Built, (Status, String)> {
        if let Some(provider) = self.provider() {
            provider.register().map_err(|why| (Status::ObjectNameCollision, why))?;
        }
        let built = self.connect(context);
        if built.is_err()
            && let Some(provider) = self.provider()
        {
            provider.deregister();
        }
        built.map_err(|(status, callout)| (status, format!("{} failed", callout)))
    }

    /// Stops what a start that failed has started, and waits for that no longer than a moment. Its
    /// failure has nobody to be told to: why the start failed is known already.
    pub(in crate::rdbss) fn stop_started(&self, redirector: Arc<dyn MiniRedirector>) {
        let undo = self.own_context("stop");
        let until = self.clock.now().after(CANCEL_GRACE);
        let go_on = || self.clock.now() < until;
        let _ = call_bounded("stop", go_on, move || redirector.stop(&*undo));
    }

    fn connect(&self, context: &Arc<Context>) -> Result<Built, (Status, &'static str)> {
        let factory = &self.factory;
        let redirector = factory();
        let generation = Generation(self.gate.view().generation.0 + 1);
        let upcalls: Arc<dyn Upcalls> = Arc::new(DeviceUpcalls {
            device: Arc::downgrade(&self.shared()),
            clock: self.clock.clone(),
        });
        let (starting, its_context) = (redirector.clone(), context.clone());
        let (started, undo) = (redirector.clone(), self.own_context("stop"));
        let start = move || starting.start(&*its_context, upcalls);
        // A start that succeeds when nobody waits for it any more is stopped again.
        let undo = move |()| {
            // Its failure has nobody to be told to.
            let _ = started.stop(&*undo);
        };
        self.start_callout(context, "start", start, undo).map_err(|status| (status, "MRxStart"))?;
        let connected = self.connect_share(context, redirector.clone(), generation);
        if connected.is_err() {
            self.stop_started(redirector);
        }
        connected
    }

    fn connect_share(
        &self,
        context: &Arc<Context>,
        redirector: Arc<dyn MiniRedirector>,
        generation: Generation,
    ) -> Result<Built, (Status, &'static str)> {
        let capabilities = redirector.capabilities();
        let instance =
            Arc::new(Instance { generation, redirector: redirector.clone(), capabilities });
        // The objects are made where the callouts run: one that comes too late is finalised there.
        let (server, its_context) = (redirector.clone(), context.clone());
        let shared_opens = SharedOpens::new(self.delayed_closes_max(capabilities));
        let connect = move || {
            let extension = server.create_srv_call(&*its_context)?;
            Ok(Arc::new(SrvCall { instance, extension, shared_opens }))
        };
        let srv_call = self
            .start_callout(context, "create_srv_call", connect, drop)
            .map_err(|status| (status, "connecting to the server"))?;
        let (fcbs, its_context) = (self.fcbs.clone(), context.clone());
        let open = move || {
            let (extension, root) =
                redirector.create_v_net_root(&*its_context, &srv_call.extension)?;
            let net_root = Arc::new(NetRoot { srv_call, fcbs });
            Ok((Arc::new(VNetRoot { net_root, extension }), root))
        };
        let (view, root) = self
            .start_callout(context, "create_v_net_root", open, drop)
            .map_err(|status| (status, "opening the share"))?;
        // Binding the root again may let go of the last of an older generation, whose end is
        // foreign code: not on this thread (S6).
        let old = self.root.get().map(|root| root.binding());
        let node = self.fcbs.find_or_make(&view, &root, None);
        let _ = self.root.set(node);
        self.finalize(old);
        self.last_known.lock().root = Some(root.attributes);
        Ok(Built { view, blocking: capabilities.blocking })
    }

    /// Drops what may be the last of a generation, and waits for its end no longer than a moment.
    fn finalize<T: Send + 'static>(&self, last: T) {
        let until = self.clock.now().after(CANCEL_GRACE);
        let go_on = || self.clock.now() < until;
        let drop_it = move || {
            drop(last);
            Ok(())
        };
        if let Err(status) = call_bounded("finalize", go_on, drop_it) {
            log::warn!("{}: finalising the generation before: {status}", self.name);
        }
    }

    /// A callout of a start: bounded by the start's limit, ended by a stop that cancels it.
    fn start_callout<T: Send + 'static>(
        &self,
        context: &Arc<Context>,
        callout: &'static str,
        body: impl FnOnce() -> Result<T, Status> + Send + 'static,
        undo: impl FnOnce(T) + Send + 'static,
    ) -> Result<T, Status> {
        let until = context.arrived().after(self.options.start_limit);
        let cancelled_at = Cell::new(None);
        let go_on = || {
            let now = self.clock.now();
            if !context.is_cancelled() {
                return now < until;
            }
            let since = cancelled_at.get().unwrap_or(now);
            cancelled_at.set(Some(since));
            now.since(since) < CANCEL_GRACE
        };
        let result = call_bounded_or_undo(callout, go_on, body, undo);
        if result.is_err() && context.is_cancelled() {
            return Err(Status::Cancelled);
        }
        if matches!(result, Err(Status::IoTimeout)) {
            // Nobody waits for what it does: let it know.
            self.cancel_requests(vec![context.clone()]);
        }
        result
    }

    /// Everything is built: survivors are offered, the gate opens.
    fn serve(&self, token: &FspToken, context: &Arc<Context>, built: &Built) {
        self.blocking.store(built.blocking, Ordering::Release);
        *self.view.write() = Some(built.view.clone());
        if self.options.survivors == SurvivorPolicy::Reclaim && !self.handles.is_empty() {
            let (device, its_context) = (self.shared(), context.clone());
            let reclaim = move || {
                device.reclaim(&its_context);
                Ok(())
            };
            let reclaimed = self.start_callout(context, "reclaim", reclaim, drop);
            if let Err(status) = reclaimed {
                log::warn!("{}: not every handle could be reclaimed: {status}", self.name);
            }
        }
        self.remember_volume(&built.view);
        if let Err(refused) = self.step(token, Event::StartDone) {
            log::error!("{}: {refused}", self.name);
        }
        self.feeds.resume();
        if let Some(kernel) = self.kernel.get() {
            kernel.cache.forget_names();
        }
    }

    /// What `df` shows while the device is stopped (G4). Of no use to the start itself: a server
    /// that does not answer it holds the start up for no more than a moment, and costs no handle.
    fn remember_volume(&self, view: &Arc<VNetRoot>) {
        let (redirector, context) = (view.redirector().clone(), self.own_context("statfs"));
        let its_context = context.clone();
        let query = move || redirector.query_volume_information(&*its_context);
        let until = self.clock.now().after(CANCEL_GRACE);
        match call_bounded("statfs", || self.clock.now() < until, query) {
            Ok(volume) => self.last_known.lock().volume = Some(volume),
            // Nobody waits for what it does: let it know.
            Err(Status::IoTimeout) => self.cancel_requests(vec![context]),
            Err(status) => log::info!("{}: the volume's size is not known: {status}", self.name),
        }
    }

    /// Offers each survivor to the new mini-redirector (S4). What it does not take stays stale.
    fn reclaim(&self, context: &Context) {
        self.handles.visit(|number, fobx| {
            if context.is_cancelled() {
                return false;
            }
            if fobx.is_survivor()
                && let Err(status) = self.reclaim_one(context, &fobx)
            {
                log::info!("handle {number} is not carried over: {status}");
            }
            true
        });
    }

    /// A cleanup that is on its way when the start comes gets a moment, so that its handle can be
    /// carried over. One that hangs keeps its handle in its own generation.
    fn wait_for_cleanups(&self, fobx: &Fobx) {
        let until = self.clock.now().after(RELEASE_GRACE);
        while fobx.is_cleaned_up() {
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            self.control.look_again_in(left.min(LOOK_EVERY));
        }
    }

    fn reclaim_one(&self, context: &Context, fobx: &Fobx) -> Result<(), Status> {
        self.wait_for_cleanups(fobx);
        let old = fobx.srv_open();
        let binding = self.bound(context, &old.fcb)?;
        let opened = call(context, "reclaim_open", || {
            binding.view.redirector().reclaim_open(context, binding.file(), old.options)
        })?;
        let Opened { extension, buffering } = opened;
        let kind = (old.options, old.directory);
        let fresh = SrvOpen::new(old.fcb.clone(), binding, extension, kind, buffering);
        // Given up on meanwhile: the next generation may be served already.
        let replaced = if context.is_cancelled() { Err(fresh) } else { fobx.reclaim(fresh) };
        let to_close = match replaced {
            Ok(old) => {
                self.survivors.fetch_sub(1, Ordering::Relaxed);
                old
            }
            // Closed meanwhile, or cleaned up still: then the fresh open is the one to close.
            Err(fresh) => fresh,
        };
        // Its failure has nobody to be told to: the handle it was is somebody else's now.
        let _ = self.leave_open(context, &to_close, false);
        Ok(())
    }
}
