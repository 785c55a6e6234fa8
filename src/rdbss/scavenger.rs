//! The scavenger: makes the closes that nobody came back for (rdbss.md 7.4).
//!
//! ```text
//!  nothing waits -- a close is delayed --> dormant -- scavenger_timeout --> active -- made --> ...
//! ```
//!
//! A schedule over the device's clock: the watcher looks whether something is due, a worker closes
//! it, for a server may take its time. What it closes is counted in the gate as a close, so that a
//! stop waits for it and never runs `MRxStop` beside it; while a stop seals it closes nothing, and
//! the stop sheds what is left itself (stop.md §4 step 5).

use crate::base::ids::{Caller, NodeNumber};
use crate::base::queue::Class;
use crate::base::sync::atomic::Ordering;
use crate::mrx::upcall::RequestContext;
use crate::rdbss::context::{Arrival, Context, Subject};
use crate::rdbss::device::Device;
use crate::rdbss::gate::CloseEntry;
use crate::rdbss::objects::shared_opens::SharedOpens;
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::objects::v_net_root::VNetRoot;
use std::sync::Arc;

/// While it exists the scavenger is active; a job that is dropped unrun ends it too.
struct Active(Arc<Device>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.scavenging.store(false, Ordering::Release);
    }
}

impl Device {
    /// Called by the watcher at each look: has a worker close what has waited long enough.
    pub(in crate::rdbss) fn tend_delayed_closes(&self) {
        let Some(view) = self.view.read().clone() else { return };
        let table = &view.net_root.srv_call.shared_opens;
        if !table.is_due(self.clock.now(), self.options.scavenger_timeout)
            || self.scavenging.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let active = Active(self.shared());
        let job = Box::new(move || {
            let device = &active.0;
            let limit = device.options.scavenger_timeout;
            device.close_by_itself(&view, |table| table.take_expired(device.clock.now(), limit));
        });
        let fsp = self.fsp.lock().clone();
        // No room, or spun down: it is looked at again soon.
        drop(fsp.post(Class::Delayed, 0, job));
    }

    /// The server says that a file changed behind our back: what waits of it is closed instead of
    /// being opened again (rdbss.md 7.5). On a worker: this is the mini-redirector's own thread.
    pub(in crate::rdbss) fn shed_file(&self, file: NodeNumber) {
        let Some(view) = self.view.read().clone() else { return };
        if !view.net_root.srv_call.shared_opens.is_used() {
            return;
        }
        let device = self.shared();
        let job = Box::new(move || device.close_by_itself(&view, |table| table.purge_file(file)));
        let fsp = self.fsp.lock().clone();
        // As RDBSS works off a break: before everything else, and never refused for want of room.
        if fsp.post(Class::HyperCritical, 0, job).is_err() {
            log::debug!("{}: spun down: the stop sheds {file}", self.name);
        }
    }

    /// Closes what `take` finds, as a counted close of its own.
    fn close_by_itself(
        &self,
        view: &VNetRoot,
        take: impl FnOnce(&SharedOpens) -> Vec<Arc<SrvOpen>>,
    ) {
        let CloseEntry::Counted(pass) = self.gate.enter_close(view.instance().generation) else {
            return;
        };
        let arrival = Arrival {
            serial: self.requests.serial(),
            caller: Caller::default(),
            operation: "scavenge",
            kind: None,
            subject: Subject::Volume,
            span: None,
            arrived: self.clock.now(),
            deadline: None,
            changes: true,
        };
        let context =
            Context::new(arrival, None, Some(pass), self.gate.clone(), self.counts.clone());
        self.requests.insert(context.serial(), context.clone());
        self.close_delayed(&context, take(&view.net_root.srv_call.shared_opens));
        context.leave();
        self.requests.remove(context.serial());
    }

    /// Closes that wait, of the running generation.
    #[must_use]
    pub fn delayed_closes(&self) -> usize {
        let view: Option<Arc<VNetRoot>> = self.view.read().clone();
        view.map_or(0, |view| view.net_root.srv_call.shared_opens.delayed())
    }
}
