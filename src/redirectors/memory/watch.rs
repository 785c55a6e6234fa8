//! Change notification: what happened in a directory since its opener last asked.
//!
//! A watch begins with the first request on an open directory and lives as long as the open, so
//! what happens between two requests is kept: [`CHANGES_KEPT`] changes, then one `Overflow` in
//! their stead. Changes are recorded with the namespace locked, in the order they happen, and
//! delivered when that lock is gone ([`Woken`]).

use crate::base::limits::CHANGES_KEPT;
use crate::base::sync::{Mutex, Rank};
use crate::mrx::low_io::{Completer, LowIo, Submission};
use crate::mrx::request::{Change, ChangeKind};
use crate::mrx::upcall::RequestContext;
use crate::redirectors::memory::parked::Parked;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many watches a server has: none is the usual case, and then nothing is recorded.
pub(super) type Watchers = Arc<AtomicUsize>;

/// One open directory's view of changes.
pub(super) struct Watch {
    pending: Mutex<Pending>,
    watchers: Watchers,
}

#[derive(Default)]
struct Pending {
    changes: VecDeque<Change>,
    waiting: VecDeque<Arc<Parked<Vec<Change>>>>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Watch")
    }
}

impl Pending {
    fn record(&mut self, change: Change) {
        match self.changes.back() {
            // Once is enough until somebody has looked: a file written in a loop is one change.
            Some(last) if *last == change || last.kind == ChangeKind::Overflow => {}
            _ if self.changes.len() >= CHANGES_KEPT => {
                self.changes.clear();
                self.changes.push_back(Change { name: None, kind: ChangeKind::Overflow });
            }
            _ => self.changes.push_back(change),
        }
    }

    fn take(&mut self) -> Option<Vec<Change>> {
        let changes = std::mem::take(&mut self.changes);
        (!changes.is_empty()).then(|| changes.into())
    }

    /// The next to be answered; those cancelled meanwhile are dropped.
    fn next_waiting(&mut self) -> Option<Completer<Vec<Change>>> {
        while let Some(parked) = self.waiting.pop_front() {
            if let Some(completer) = parked.take() {
                return Some(completer);
            }
        }
        None
    }
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub(super) fn new(watchers: &Watchers) -> Arc<Self> {
        watchers.fetch_add(1, Ordering::SeqCst);
        let pending = Mutex::new(Rank::RedirectorInner, Pending::default());
        Arc::new(Self { pending, watchers: Arc::clone(watchers) })
    }

    /// Keeps a change; the namespace is locked. [`Watch::deliver`] must follow without it.
    pub(super) fn record(&self, change: Change) {
        self.pending.lock().record(change);
    }

    /// What was kept, if anything.
    pub(super) fn take(&self) -> Option<Vec<Change>> {
        self.pending.lock().take()
    }

    /// Waits for a change. Answers at once if one came meanwhile.
    pub(super) fn wait(
        &self,
        context: &dyn RequestContext,
        submission: Submission<'_, Vec<Change>>,
    ) -> LowIo<Vec<Change>> {
        let parked = Parked::park(context, submission);
        {
            let mut pending = self.pending.lock();
            pending.waiting.retain(|parked| !parked.is_taken());
            pending.waiting.push_back(parked);
        }
        self.deliver();
        LowIo::Pending
    }

    /// Hands what was kept to who waited longest. No lock may be held.
    pub(super) fn deliver(&self) {
        let (completer, changes) = {
            let mut pending = self.pending.lock();
            if pending.changes.is_empty() {
                return;
            }
            let Some(completer) = pending.next_waiting() else { return };
            (completer, pending.changes.drain(..).collect())
        };
        completer.complete(Ok(changes));
    }
}

impl Drop for Watch {
    /// The directory was closed: nobody will hear of changes any more.
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut self.pending.lock().waiting);
        for parked in waiting {
            parked.cancel();
        }
        self.watchers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Watches with something new, to be delivered when the namespace is unlocked.
#[derive(Default)]
#[must_use = "somebody waits for these changes"]
pub(super) struct Woken(Vec<Arc<Watch>>);

impl Woken {
    /// Adds one. Keeping it here also keeps it from being dropped, and so from answering, under the
    /// lock.
    pub(super) fn add(&mut self, watch: Arc<Watch>) {
        self.0.push(watch);
    }

    /// Delivers. No lock may be held.
    pub(super) fn deliver(self) {
        for watch in self.0 {
            watch.deliver();
        }
    }
}
