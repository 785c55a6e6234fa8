//! What happened in a directory since its opener last asked, and who waits for more: the part of a
//! change notification that no server has a say in.
//!
//! It begins with the first request on an open directory and lives as long as the open, so what
//! happens between two requests is kept: [`CHANGES_KEPT`] changes, then one `Overflow` in their
//! stead. Whoever tells of a change records it, with his own locks held if he likes, and delivers
//! when they are gone.

use crate::base::limits::CHANGES_KEPT;
use crate::base::sync::{Mutex, Rank};
use crate::mrx::low_io::{Completer, LowIo, Submission};
use crate::mrx::request::{Change, ChangeKind};
use crate::mrx::upcall::RequestContext;
use crate::redirectors::parked::Parked;
use std::collections::VecDeque;
use std::sync::Arc;

/// One open directory's view of changes.
pub(crate) struct Changes {
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    changes: VecDeque<Change>,
    waiting: VecDeque<Arc<Parked<Vec<Change>>>>,
}

impl Pending {
    fn record(&mut self, change: Change) {
        let end = Change { name: None, kind: ChangeKind::Removed };
        match self.changes.back() {
            // Nothing of a directory comes after its end; and the end is told whatever was lost.
            Some(last) if *last == end => {}
            _ if change == end => self.changes.push_back(change),
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

impl Default for Changes {
    fn default() -> Self {
        Self { pending: Mutex::new(Rank::RedirectorInner, Pending::default()) }
    }
}

impl Changes {
    /// Keeps a change. [`Changes::deliver`] must follow without any lock.
    pub(crate) fn record(&self, change: Change) {
        self.pending.lock().record(change);
    }

    /// What was kept, if anything.
    pub(crate) fn take(&self) -> Option<Vec<Change>> {
        self.pending.lock().take()
    }

    /// Waits for a change. Answers at once if one came meanwhile.
    pub(crate) fn wait(
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
    pub(crate) fn deliver(&self) {
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

    /// The directory was closed: nobody will hear of changes any more. No lock may be held.
    pub(crate) fn close(&self) {
        let waiting = std::mem::take(&mut self.pending.lock().waiting);
        for parked in waiting {
            parked.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::Name;

    /// S-136: the end of a directory is told although what came before it was too much.
    #[test]
    fn the_end_is_never_lost() {
        let change = |name: Option<&str>, kind| Change {
            name: name.map(|name| Name::new(name.as_bytes()).expect("a good name")),
            kind,
        };
        let mut pending = Pending::default();
        for number in 0..=CHANGES_KEPT {
            pending.record(change(Some(&format!("f{number}")), ChangeKind::Removed));
        }
        pending.record(change(None, ChangeKind::Removed));
        for number in 0..=CHANGES_KEPT {
            pending.record(change(Some(&format!("f{number}")), ChangeKind::Added));
        }
        let told = pending.take().expect("something");
        let (overflow, end) = (ChangeKind::Overflow, ChangeKind::Removed);
        assert_eq!(told, [change(None, overflow), change(None, end)]);
    }
}
