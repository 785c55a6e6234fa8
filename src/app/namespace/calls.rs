//! The threads on which a mount's providers are changed, and the one reload that waits its turn.
//!
//! A reload changes any provider, so it does not begin while another call changes one. It is
//! remembered, and begun by whoever ends last: every thread looks before it ends.

use crate::app::namespace::providers::Providers;
use crate::base::limits::PROVIDER_CALLS_MAX;
use crate::base::threads::{self, Thread};
use crate::mgmt::control::ControlError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

type Reload = Box<dyn FnOnce(&Providers) + Send>;

/// What runs, and what waits.
#[derive(Default)]
pub(super) struct Calls {
    running: Vec<Call>,
    /// It waits until nothing changes a provider.
    reload: Option<Reload>,
    /// Nothing begins any more.
    closed: bool,
}

struct Call {
    thread: Thread,
    /// It has looked for a reload and found none: it does nothing from then on.
    over: Arc<AtomicBool>,
}

impl Providers {
    /// Does something on a thread of its own.
    ///
    /// # Errors
    /// [`ControlError`]: too much is under way already, or the system has no room for a thread.
    pub fn begin(&self, body: impl FnOnce(&Self) + Send + 'static) -> Result<(), ControlError> {
        let Some(this) = self.this.upgrade() else { return Err(ControlError::TooMany) };
        let mut calls = self.calls.lock();
        if calls.closed {
            return Err(ControlError::Refused("the mount is at its end".to_owned()));
        }
        calls.running.retain(|call| !call.thread.is_finished());
        let busy = calls.running.iter().filter(|call| !call.over.load(Ordering::Acquire));
        if busy.count() >= PROVIDER_CALLS_MAX {
            return Err(ControlError::TooMany);
        }
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let spawned = threads::spawn("provider", move || {
            body(&this);
            while let Some(reload) = this.next_reload(&ends) {
                reload(&this);
            }
        });
        let thread = spawned.map_err(|error| {
            ControlError::Refused(format!("no thread for what is asked for: {error}"))
        })?;
        calls.running.push(Call { thread, over });
        Ok(())
    }

    /// Reads the configuration again with `reload`, which ends with [`Providers::reload`]: at once,
    /// or when what changes a provider now is over. One that waits already is this one as well.
    ///
    /// # Errors
    /// [`ControlError`]: it is not read.
    pub fn ask_reload(
        &self,
        reload: impl FnOnce(&Self) + Send + 'static,
    ) -> Result<(), ControlError> {
        self.calls.lock().reload = Some(Box::new(reload));
        match self.begin(|_| ()) {
            // Those that are under way look for it when they end.
            Ok(()) | Err(ControlError::TooMany) => Ok(()),
            Err(error) => {
                drop(self.calls.lock().reload.take());
                Err(error)
            }
        }
    }

    /// A provider is changed no longer, and who changed it does not end yet, or has no thread.
    pub(super) fn wake_reload(&self) {
        if self.calls.lock().reload.is_none() {
            return;
        }
        match self.begin(|_| ()) {
            Ok(()) | Err(ControlError::TooMany) => {}
            Err(error) => log::error!("the configuration is not read again yet: {error}"),
        }
    }

    /// The reload that waits, if it can begin: nothing else does until it has ended.
    fn next_reload(&self, over: &AtomicBool) -> Option<Reload> {
        // In one step with who asks for one: it finds either this thread or room for one.
        let mut calls = self.calls.lock();
        let free = match &calls.reload {
            None => false,
            Some(_) => match self.members.book.lock().begin_reload() {
                Ok(()) => true,
                Err(busy) => {
                    log::info!("the configuration is read again after that: {}", busy.0);
                    false
                }
            },
        };
        let next = if free { calls.reload.take() } else { None };
        over.store(next.is_none(), Ordering::Release);
        next
    }

    /// Waits until all that was asked for is over. The mount is stopped by then.
    pub fn close(&self) {
        let (calls, waits) = {
            let mut calls = self.calls.lock();
            calls.closed = true;
            (std::mem::take(&mut calls.running), calls.reload.take())
        };
        drop(waits);
        calls.into_iter().for_each(|call| call.thread.join());
    }
}
