//! What of an answer a peer may see (management.md §2): all of it, or numbers, users and times
//! without paths and names of processes.

use crate::base::stop::{Check, HandleInfo, Loss, Notice, REDIRECTOR_FAILED, Report, RequestInfo};
use crate::base::unsent::UnsentEntry;
use crate::mgmt::dce::binding::Binding;
use crate::mgmt::proto::{Event, EventKind, Holder, MountStatus, ProviderStatus, RpcState};

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

    /// As [`Disclosure::apply`], of a status whose source is that of a provider.
    #[must_use]
    pub fn apply_to_provider(self, status: MountStatus) -> MountStatus {
        let mut status = self.apply(status);
        if self.hides() {
            hide_place(&mut status.source);
        }
        status
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
        let failed = self.redirector_failed();
        if let Some(error) = &mut self.error {
            shorten(error);
        }
        // Clients judge a stop by it.
        if let (true, false, Some(error)) = (failed, self.redirector_failed(), &mut self.error) {
            error.push_str("; ");
            error.push_str(REDIRECTOR_FAILED);
            error.push_str(HIDDEN);
        }
    }
}

/// In the place of words that are hidden.
const HIDDEN: &str = "hidden";

/// Cuts a chain of reasons (`what: why: why`) off before the reason with the first path. A path may
/// hold any byte, so nothing behind it is known to be none of its own.
fn shorten(error: &mut String) {
    let Some(path) = error.find('/') else { return };
    error.truncate(path);
    error.truncate(error.rfind([':', ';']).unwrap_or(0));
    if error.is_empty() {
        error.push_str(HIDDEN);
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
        // The mount's own source and the mount point stay: every user reads them in
        // /proc/self/mountinfo. No provider's source is there.
        self.providers.redact();
        self.last_stop.redact();
        self.last_start.redact();
        self.rpc.redact();
    }
}

impl Redact for ProviderStatus {
    fn redact(&mut self) {
        hide_place(&mut self.source);
    }
}

/// Leaves of a source what kind it is: `local:/srv/data` becomes `local:`.
fn hide_place(source: &mut String) {
    const WRAPPER: &str = "faulty:";
    let wrapped = source.strip_prefix(WRAPPER).map_or(0, |_| WRAPPER.len());
    let scheme = source[wrapped..].find(':').map_or(0, |colon| colon + 1);
    source.truncate(wrapped + scheme);
}

impl Redact for RpcState {
    fn redact(&mut self) {
        for endpoint in &mut self.endpoints {
            // A port is for everybody to see; a socket has a path.
            if !matches!(endpoint.parse(), Ok(Binding::Tcp(_))) {
                endpoint.truncate(endpoint.find(':').unwrap_or(0));
            }
        }
        self.may_stop.clear();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Caller;
    use crate::base::stop::{CallKind, CallResult};

    fn failed(error: &str) -> Report {
        let report = Report::new(CallKind::Stop, CallResult::Success, Caller::default());
        Report { error: Some(error.to_owned()), ..report }
    }

    /// S-94: what went wrong is told, and where not; clients judge the rest as they do the whole.
    #[test]
    fn an_error_ends_before_its_first_path() {
        for (error, told) in [
            (
                "its configuration is not kept: /home/ana/x: not on disk",
                "its configuration is not kept",
            ),
            (
                "its configuration is not kept: writing /home/a: b; c: no space",
                "its configuration is not kept",
            ),
            (
                "stopped, but still mounted: the mount point is busy",
                "stopped, but still mounted: the mount point is busy",
            ),
            ("stopped, but still mounted: /home/ana: EPERM", "stopped, but still mounted"),
            ("still: /home/ana; MRxStop: EIO", "still; MRxStop: hidden"),
            ("still; MRxStop: EIO", "still; MRxStop: EIO"),
            ("opening /home/ana", "hidden"),
        ] {
            let full = failed(error);
            let redacted = Disclosure::Redacted.apply(full.clone());
            assert_eq!(redacted.error.as_deref(), Some(told));
            assert_eq!(redacted.is_still_mounted(), full.is_still_mounted(), "{error}");
            assert_eq!(redacted.redirector_failed(), full.redirector_failed(), "{error}");
            assert_eq!(Disclosure::Full.apply(full.clone()), full);
        }
    }

    /// S-94: no provider's source stands in mountinfo, so what it names is not everybody's to see.
    #[test]
    fn of_a_source_its_kind_is_told() {
        for (source, told) in [
            ("memory:", "memory:"),
            ("local:/home/ana: b", "local:"),
            ("faulty:local:/home/ana", "faulty:local:"),
            ("faulty:memory:", "faulty:memory:"),
            ("faulty:", "faulty:"),
            ("/home/ana", ""),
        ] {
            let mut hidden = source.to_owned();
            hide_place(&mut hidden);
            assert_eq!(hidden, told);
        }
    }

    /// S-94: ports are everybody's to see; sockets' paths and who may stop it are not.
    #[test]
    fn endpoints_are_told_without_paths() {
        let endpoints = ["ncacn_ip_tcp:127.0.0.1[4135]", "ncalrpc:[/home/ana/t]", "odd/one"];
        let full = RpcState {
            endpoints: endpoints.map(str::to_owned).to_vec(),
            may_stop: vec!["10.0.0.0/8".to_owned()],
            calls_total: 7,
            ..RpcState::default()
        };
        let redacted = Disclosure::Redacted.apply(full);
        assert_eq!(redacted.endpoints, ["ncacn_ip_tcp:127.0.0.1[4135]", "ncalrpc", ""]);
        assert_eq!((redacted.may_stop.len(), redacted.calls_total), (0, 7));
    }
}
