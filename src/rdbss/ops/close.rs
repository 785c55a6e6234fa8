//! Cleanup and close: FLUSH and RELEASE. They pass in every state, to their handle's own generation
//! (stop.md S3), and are called down even when the request was cancelled meanwhile.

use crate::base::ids::HandleNumber;
use crate::base::status::Status;
use crate::base::stop::{Notice, State};
use crate::base::sync::atomic::Ordering;
use crate::rdbss::bounded::{call_bounded, wait_low_io};
use crate::rdbss::calldown::call_always;
use crate::rdbss::context::{Arrival, Context, Subject};
use crate::rdbss::device::Device;
use crate::rdbss::dispatch::Flow;
use crate::rdbss::notice::LostWrite;
use crate::rdbss::objects::fobx::Fobx;
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::operation::Answer;
use crate::rdbss::ops::data::Unsent;
use std::sync::Arc;
use std::time::Duration;

impl Device {
    /// FLUSH: what was acknowledged on this handle is on its server when close(2) returns.
    pub(in crate::rdbss) fn flush(&self, context: &Arc<Context>, number: HandleNumber) -> Flow {
        let (fobx, srv_open) = match self.handle_of_any_generation(number) {
            Ok(found) => found,
            Err(status) => return Flow::Done(Err(status)),
        };
        fobx.mark_flushed();
        let bytes = fobx.take_uncommitted();
        if bytes == 0 {
            return Flow::Done(Ok(Answer::Empty));
        }
        context.hold_handle(&fobx);
        let unsent = Unsent::new(&fobx, context, bytes);
        let redirector = srv_open.binding.view.redirector().clone();
        let finish = move |result: Result<(), Status>| {
            drop(unsent);
            if result.is_err() {
                fobx.add_uncommitted(bytes);
            }
            result.map(|()| Answer::Empty)
        };
        self.low_io(context, "commit", finish, |submission| {
            redirector.commit(&**context, srv_open.open(), submission)
        })
    }

    /// RELEASE, RELEASEDIR: cleanup, then close, which may wait. The handle is gone whatever the
    /// server says.
    pub(in crate::rdbss) fn release(
        &self,
        context: &Context,
        number: HandleNumber,
    ) -> Result<Answer, Status> {
        let Some(fobx) = self.handles.remove(number) else {
            return Err(Status::InvalidHandle);
        };
        self.end_handle(context, fobx).map(|()| Answer::Empty)
    }

    /// Closes a handle whose OPEN nobody waited for any more.
    pub(in crate::rdbss) fn discard_handle(&self, number: HandleNumber) {
        let Some(fobx) = self.handles.remove(number) else { return };
        // Nobody is there to be told how it went.
        let _ = self.end_handle(&self.own_context("discard"), fobx);
    }

    /// The end of a handle that has left the table.
    fn end_handle(&self, context: &Context, fobx: Arc<Fobx>) -> Result<(), Status> {
        let (srv_open, survivor) = fobx.take_for_close();
        if srv_open.directory && !fobx.is_detached() {
            self.directories.fetch_sub(1, Ordering::Relaxed);
        }
        // After it is taken: a FLUSH that is on its way still either leaves its bytes here, or
        // finds the handle taken and names them itself.
        let bytes = fobx.take_uncommitted();
        let committed = self.commit_at_close(context, &srv_open, bytes);
        if let Err(status) = committed {
            self.lose_untold(&fobx, bytes, format!("commit at the close: {status}"));
        }
        drop(fobx);
        // Nothing is owed on an open whose close may wait.
        let ended = self.leave_open(context, &srv_open, bytes == 0);
        drop(srv_open);
        self.handle_left(survivor);
        ended
    }

    /// What was written and not committed when a handle goes: page write-back that came after the
    /// last close(2), or what a FLUSH could not commit.
    fn commit_at_close(
        &self,
        context: &Context,
        srv_open: &Arc<SrvOpen>,
        bytes: u64,
    ) -> Result<(), Status> {
        if bytes == 0 {
            return Ok(());
        }
        let redirector = srv_open.binding.view.redirector();
        call_always("commit", || {
            wait_low_io(|submission| redirector.commit(context, srv_open.open(), submission))
        })
    }

    /// Bytes of a handle that goes are not on the server: named as a loss, unless somebody has been
    /// told already.
    fn lose_untold(&self, fobx: &Fobx, bytes: u64, error: String) {
        if !fobx.is_told() {
            self.lost(LostWrite { bytes, ..self.lost_write(fobx, None, error) });
        }
    }

    /// A FLUSH or FSYNC has failed. `told`: its caller got the answer. If not, the bytes are
    /// committed at the close; of a handle that is closed already nobody else will speak.
    pub(in crate::rdbss) fn flush_failed(&self, fobx: &Fobx, status: Status, told: bool) {
        if told {
            return fobx.mark_told();
        }
        if fobx.is_closing() {
            let bytes = fobx.take_uncommitted();
            if bytes > 0 {
                self.lose_untold(fobx, bytes, format!("commit after the close: {status}"));
            }
        }
    }

    /// Tells a stop that waits for handles, and announces a survivor's end.
    fn handle_left(&self, survivor: bool) {
        if survivor {
            self.survivors.fetch_sub(1, Ordering::Relaxed);
        }
        if self.gate.view().state != State::Started {
            self.control.progressed();
        }
        if survivor {
            let handles = self.open_handles();
            self.announce(Notice::HolderLeft { handles });
        }
    }

    /// A context for what the core does by itself: nobody waits for it, nothing counts it.
    pub(in crate::rdbss) fn own_context(&self, operation: &'static str) -> Arc<Context> {
        let arrival = Arrival {
            serial: self.requests.serial(),
            caller: crate::base::ids::Caller::default(),
            operation,
            kind: None,
            subject: Subject::Volume,
            span: None,
            arrived: self.clock.now(),
            deadline: None,
            changes: true,
        };
        Context::new(arrival, None, None, self.gate.clone(), self.counts.clone())
    }
}

impl Device {
    /// The kernel's connection is gone: RELEASEs that were queued at an unmount never arrive
    /// (fuse.md 2.1), so the end of the session is the release of everything. Returns how many
    /// handles that were.
    pub fn connection_gone(&self) -> u64 {
        let mut open = Vec::new();
        self.handles.visit(|number, _| {
            open.push(number);
            true
        });
        let mut released = 0;
        for number in open {
            if self.handles.get(number).is_some() {
                self.discard_handle(number);
                released += 1;
            }
        }
        released
    }

    /// The same, waiting no longer than `limit` for servers that do not answer: what they hold is
    /// closed when they return, if ever.
    pub fn connection_gone_within(&self, limit: Duration) -> u64 {
        let until = self.clock.now().after(limit);
        let open = self.handles.len() as u64;
        let device = self.shared();
        let go_on = || self.clock.now() < until;
        call_bounded("close", go_on, move || Ok(device.connection_gone())).unwrap_or(open)
    }
}
