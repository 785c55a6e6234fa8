//! Detaching one handle: it is taken from its holder while the device goes on (users.md, "Busy. By
//! whom?").
//!
//! Its holder gets ESHUTDOWN on its next use. It stays in the table until it is closed: its
//! cleanup, close and page write-back pass to its mini-redirector as before, so nothing that was
//! written is lost; but it is open no more for whoever waits for handles, counts them, or refuses
//! to stop because of them, and no start reclaims it.

use crate::base::ids::{Caller, HandleNumber};
use crate::base::limits::RELEASE_GRACE;
use crate::base::stop::{Detached, Notice};
use crate::rdbss::context::{Context, Subject};
use crate::rdbss::device::Device;
use crate::rdbss::query::handle_info;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Device {
    /// Takes a handle from its holder, and cancels what he waits for on it. `None` if it is not
    /// open, or is being closed.
    pub fn detach(&self, asked_by: Caller, number: HandleNumber) -> Option<Detached> {
        let fobx = self.handles.get(number)?;
        let (already, survivor) = fobx.detach()?;
        if survivor {
            self.survivors.fetch_sub(1, Ordering::Relaxed);
        }
        self.handles.set_aside(number);
        let srv_open = fobx.srv_open();
        if srv_open.directory && !already {
            self.directories.fetch_sub(1, Ordering::Relaxed);
        }
        // What the kernel has cached would be read past us.
        if let Some(kernel) = self.kernel.get()
            && !srv_open.directory
            && !already
        {
            kernel.cache.flush_file(srv_open.fcb.number());
            if !kernel.cache.settle(RELEASE_GRACE) {
                log::warn!("{}: the kernel still holds pages of a detached handle", self.name);
            }
        }
        let mut waiting = self.requests.snapshot();
        waiting.retain(|context| is_waiting_on(context, number));
        let cancelled = waiting.len() as u64;
        self.cancel_requests(waiting);
        // Whoever waits for handles looks again.
        self.control.progressed();
        let mut handle = handle_info(number, &fobx, self.clock.now());
        handle.unsent_bytes += fobx.uncommitted_bytes();
        let handles = self.open_handles();
        if !already {
            log::info!("{}: handle {number} detached for uid {}", self.name, asked_by.uid);
            let unsent_bytes = handle.unsent_bytes;
            self.announce(Notice::Detached { handle: number, handles, unsent_bytes });
        }
        Some(Detached { handle, already, cancelled, open_handles: handles })
    }
}

/// Is it a request on that handle that may be cancelled? Nothing that is owed: that is counted as a
/// close, or not at all.
fn is_waiting_on(context: &Arc<Context>, number: HandleNumber) -> bool {
    let on_it = matches!(context.subject(), Subject::Handle(other) if *other == number);
    on_it && context.is_counted() && !context.is_owed() && context.can_cancel()
}
