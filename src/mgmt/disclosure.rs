//! What of an answer a peer may see (management.md §2): all of it, or numbers, users and times
//! without paths and names of processes.

use crate::base::stop::{Check, HandleInfo, Loss, Notice, Report, RequestInfo};
use crate::base::unsent::UnsentEntry;
use crate::mgmt::proto::{Event, EventKind, Holder, MountStatus};

/// How much of an answer a peer may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// All of it.
    Full,
    /// Without paths and process names: numbers, users and times only.
    Redacted,
}

impl Disclosure {
    /// All of it, or not.
    #[must_use]
    pub const fn of(full: bool) -> Self {
        if full { Self::Full } else { Self::Redacted }
    }

    /// Is something hidden?
    #[must_use]
    pub fn hides(self) -> bool {
        self == Self::Redacted
    }

    /// Takes out of `answer` what the peer may not see.
    #[must_use]
    pub fn apply<T: Redact>(self, mut answer: T) -> T {
        if self.hides() {
            answer.redact();
        }
        answer
    }
}

/// An answer with something to hide: paths become empty, names of processes unknown.
pub trait Redact {
    /// Takes out paths and process names.
    fn redact(&mut self);
}

impl Redact for HandleInfo {
    fn redact(&mut self) {
        self.path.clear();
    }
}

impl Redact for RequestInfo {
    fn redact(&mut self) {
        self.path.clear();
    }
}

impl Redact for Holder {
    fn redact(&mut self) {
        self.path.clear();
        self.path_bytes = None;
        self.command = None;
        self.container = None;
    }
}

impl Redact for Report {
    fn redact(&mut self) {
        self.survivors.redact();
        self.losses.redact();
    }
}

impl Redact for Loss {
    fn redact(&mut self) {
        self.path.clear();
        self.command = None;
        self.kept_in = None;
    }
}

impl Redact for UnsentEntry {
    fn redact(&mut self) {
        self.path.clear();
        self.command = None;
        self.kept_in = self.kept_in.take().map(|_| String::new());
        // Words of the state directory, and of the file it could not read there.
        self.error.clear();
    }
}

impl Redact for Check {
    fn redact(&mut self) {
        self.handles.redact();
        self.requests.redact();
    }
}

impl Redact for MountStatus {
    fn redact(&mut self) {
        // The source and the mount point stay: every user reads them in /proc/self/mountinfo.
        self.last_stop.redact();
        self.last_start.redact();
    }
}

impl Redact for Event {
    fn redact(&mut self) {
        match &mut self.what {
            EventKind::Notice(Notice::Loss(loss)) => loss.redact(),
            EventKind::Notice(Notice::Arrived { path, .. }) => path.clear(),
            EventKind::Notice(_) | EventKind::Overflow { .. } => {}
        }
    }
}

impl<T: Redact> Redact for Vec<T> {
    fn redact(&mut self) {
        self.iter_mut().for_each(Redact::redact);
    }
}

impl<T: Redact> Redact for Option<T> {
    fn redact(&mut self) {
        self.iter_mut().for_each(Redact::redact);
    }
}
