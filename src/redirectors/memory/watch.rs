//! Change notification: the watches of this server's directories.
//!
//! Changes are recorded with the namespace locked, in the order they happen, and delivered when
//! that lock is gone ([`Woken`]).

use crate::redirectors::changes::Changes;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many watches a server has: none is the usual case, and then nothing is recorded.
pub(super) type Watchers = Arc<AtomicUsize>;

/// One open directory's view of changes.
pub(super) struct Watch {
    changes: Changes,
    watchers: Watchers,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Watch")
    }
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub(super) fn new(watchers: &Watchers) -> Arc<Self> {
        watchers.fetch_add(1, Ordering::SeqCst);
        Arc::new(Self { changes: Changes::default(), watchers: Arc::clone(watchers) })
    }
}

impl Deref for Watch {
    type Target = Changes;

    fn deref(&self) -> &Changes {
        &self.changes
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.changes.close();
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
