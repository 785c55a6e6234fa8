//! The plain words a stop is spoken in: states, options, results, reports and events.
//!
//! Shared by the dispatcher core, which makes them, and the management plane, which sends them: the
//! two may not import each other (design README, layers). All of it is data; serialised, it is the
//! JSON of cli.md: snake_case, units in names, times as RFC 3339 text put in by the plane.

pub use crate::base::clock::unix_seconds;
use crate::base::ids::{Caller, Generation, HandleNumber, SerialNumber, TicketNumber};
use crate::base::status::{Status, wire};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The states of a device (stop.md §1); `rdbss/lifecycle.rs` draws the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Registered, not serving; survivors of an earlier generation may still close.
    #[default]
    Startable,
    /// The file system process is starting it; nothing is served yet.
    StartInProgress,
    /// Serving.
    Started,
    /// Serving open handles, refusing new opens.
    Paused,
    /// Stopping: requests and closes run out; only cleanup and close pass.
    Draining,
    /// Stopping: new closes are deferred, the last running one ends, `MRxStop` runs alone.
    Sealing,
}

impl State {
    /// All of them, in the order of the machine's picture.
    pub const ALL: [Self; 6] = [
        Self::Startable,
        Self::StartInProgress,
        Self::Started,
        Self::Paused,
        Self::Draining,
        Self::Sealing,
    ];

    /// The word the user reads: the two stopping phases are one state to him.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Startable => "stopped",
            Self::StartInProgress => "starting",
            Self::Started => "running",
            Self::Paused => "paused",
            Self::Draining | Self::Sealing => "stopping",
        }
    }
}

/// What a stop does when its deadline passes (stop.md S1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeadline {
    /// Roll back to Started; nothing is refused any more (exit 12).
    Resume,
    /// Keep draining and answer pending (exit 11).
    #[default]
    Stay,
    /// Cancel what can be, abandon what a server never answers (exit 13 if data was lost).
    Cancel,
    /// Stop now.
    Abort,
}

/// How hard a stop is from its beginning (cli.md `--mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// Everything that runs finishes; cancellable requests are cancelled last.
    #[default]
    Drain,
    /// Cancellable requests are cancelled at once.
    Cancel,
    /// Nothing is waited for.
    Abort,
}

/// Everything a caller may choose about a stop.
///
/// A field that is not known is refused, not ignored: a misspelt deadline must not become none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopOptions {
    /// How hard.
    pub mode: StopMode,
    /// Open handles keep working this long first (Paused); none: straight to Draining.
    pub grace_s: Option<f64>,
    /// Bound of steps 1 to 5; none: no bound.
    pub deadline_s: Option<f64>,
    /// What happens at the bound.
    pub on_deadline: OnDeadline,
    /// Refuse, changing nothing, when handles are open (stop.md C5).
    pub refuse_if_busy: bool,
    /// Take the mount out of the namespace as step 7.
    pub unmount: bool,
    /// With `unmount`: detach although somebody is inside (`umount -l`).
    pub lazy: bool,
    /// Why, in the caller's words; kept for the report.
    pub reason: Option<String>,
}

impl StopOptions {
    /// The grace as a duration, if any.
    #[must_use]
    pub fn grace(&self) -> Option<Duration> {
        self.grace_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// The deadline as a duration, if any.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

/// How a stop, start, pause or resume ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallResult {
    /// STATUS_SUCCESS.
    Success,
    /// STATUS_REDIRECTOR_HAS_OPEN_HANDLES: stopped, and handles survive; or, for a check and
    /// `refuse_if_busy`, busy and nothing changed (stop.md C5).
    HasOpenHandles,
    /// STATUS_REDIRECTOR_STOPPED: it was stopped already (stop.md C6: no number of its own).
    AlreadyStopped,
    /// STATUS_REDIRECTOR_STARTED: it was started already.
    AlreadyStarted,
    /// The deadline passed and `on_deadline = resume` rolled back to Started.
    RolledBack,
    /// Stopped, but data was abandoned: see the losses of the report.
    Lost,
    /// A step failed; everything it did was undone. The report's `error` says what.
    Failed,
}

impl CallResult {
    /// All of them, each at the place its number says.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::HasOpenHandles,
        Self::AlreadyStopped,
        Self::AlreadyStarted,
        Self::RolledBack,
        Self::Lost,
        Self::Failed,
    ];

    /// The NTSTATUS number of the control plane and the control file's ioctl.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Success => wire::SUCCESS,
            Self::HasOpenHandles => wire::REDIRECTOR_HAS_OPEN_HANDLES,
            Self::AlreadyStopped => Status::RedirectorNotStarted.code(),
            Self::AlreadyStarted => wire::REDIRECTOR_STARTED,
            Self::RolledBack => Status::IoTimeout.code(),
            Self::Lost => 0xC000_0222, // STATUS_LOST_WRITEBEHIND_DATA
            Self::Failed => Status::Unsuccessful.code(),
        }
    }

    /// Did the device end stopped?
    #[must_use]
    pub const fn is_stopped(self) -> bool {
        match self {
            Self::Success | Self::HasOpenHandles | Self::AlreadyStopped | Self::Lost => true,
            Self::AlreadyStarted | Self::RolledBack | Self::Failed => false,
        }
    }
}

/// What kind of call a ticket stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// `RxStopMinirdr`.
    Stop,
    /// `RxStartMinirdr`.
    Start,
}

/// One open handle, as reports and listings show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandleInfo {
    /// Its number.
    pub handle: HandleNumber,
    /// Path below the mount's root, without a leading slash; bytes, for names of any bytes.
    #[serde(flatten, with = "path_text")]
    pub path: Vec<u8>,
    /// `handle` or `directory`.
    pub kind: String,
    /// `r`, `w` or `rw`.
    pub mode: String,
    /// Who opened it, as the kernel said then.
    pub opened_by: Caller,
    /// The generation it was opened in.
    pub generation: Generation,
    /// Seconds since it was opened.
    pub age_s: f64,
    /// Bytes acknowledged to the application and not yet on the server.
    pub unsent_bytes: u64,
    /// Has a FLUSH (a close of some descriptor) been seen?
    pub flushed: bool,
    /// Did it outlive the stop of its generation without being reclaimed?
    pub survivor: bool,
    /// Was it taken from its holder? Only its cleanup, close and write-back go on.
    #[serde(default)]
    pub detached: bool,
}

/// One request in flight, as `minirdr requests` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestInfo {
    /// Its serial number.
    pub serial: SerialNumber,
    /// The operation: `read`, `lookup`, …
    pub operation: String,
    /// Path below the mount's root, as far as it is known.
    #[serde(flatten, with = "path_text")]
    pub path: Vec<u8>,
    /// Seconds since it arrived.
    pub age_s: f64,
    /// Who asked.
    pub caller: Caller,
    /// Has it a cancel routine right now?
    pub cancellable: bool,
    /// Was it cancelled, and has not ended yet?
    pub cancelled: bool,
}

/// Bytes that were acknowledged or handed over and did not reach the server (invariant 9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The file.
    #[serde(flatten, with = "path_text")]
    pub path: Vec<u8>,
    /// How many bytes.
    pub bytes: u64,
    /// Why.
    pub error: String,
    /// Who wrote them, as the kernel said; pid 0: not known.
    #[serde(default)]
    pub written_by: Caller,
    /// The writer's command name, where it could still be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The file under the state directory that has the bytes; none: they are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<String>,
}

/// How long one step of a stop took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// The step of stop.md §4, by name.
    pub step: String,
    /// Seconds.
    pub seconds: f64,
}

/// The report every stop ends with (stop.md S7); a start fills the few fields that make sense.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which ticket, if it was posted.
    pub ticket: Option<TicketNumber>,
    /// What was asked.
    pub kind: CallKind,
    /// How it ended.
    pub result: CallResult,
    /// The failing step's words: why it `Failed`, or what went wrong on the way of a stop that did
    /// not (`MRxStop` failed, the mount point is busy).
    pub error: Option<String>,
    /// The generation that was stopped or started.
    pub generation: Generation,
    /// Who asked: the document's `FsdUid`, kept from the call to the end.
    pub asked_by: Caller,
    /// The caller's reason.
    pub reason: Option<String>,
    /// When it ended, in seconds since the Unix epoch.
    pub ended_unix_s: f64,
    /// Requests that ran to completion while it drained.
    pub drained: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Requests given up on at the deadline.
    pub abandoned: u64,
    /// Requests refused while stopping.
    pub refused: u64,
    /// Handles still open.
    pub survivors: Vec<HandleInfo>,
    /// How many handles are still open (`survivors` may be cut).
    pub survivors_total: u64,
    /// Bytes written back by the stop itself.
    pub flushed_bytes: u64,
    /// Data that was lost.
    pub losses: Vec<Loss>,
    /// Was the mount taken out of the namespace?
    pub unmounted: bool,
    /// Seconds per step.
    pub steps: Vec<StepTime>,
}

/// How a report's `error` begins when an unmount was asked for and the mount is still there.
pub const STILL_MOUNTED: &str = "stopped, but still mounted";
/// What a report's `error` has before the reason why the mini-redirector's own stop failed.
pub const REDIRECTOR_FAILED: &str = "MRxStop: ";
/// What follows the reason when it has not returned by the deadline: Win32's number of it
/// (management.md §7, 8).
pub const REDIRECTOR_TIMEOUT: &str = " (ERROR_TIMEOUT, 1460)";

impl Report {
    /// A report with a result and nothing else to tell, of a call that nobody has a ticket for.
    #[must_use]
    pub const fn new(kind: CallKind, result: CallResult, asked_by: Caller) -> Self {
        Self {
            ticket: None,
            kind,
            result,
            error: None,
            generation: Generation(0),
            asked_by,
            reason: None,
            ended_unix_s: 0.0,
            drained: 0,
            cancelled: 0,
            abandoned: 0,
            refused: 0,
            survivors: Vec::new(),
            survivors_total: 0,
            flushed_bytes: 0,
            losses: Vec::new(),
            unmounted: false,
            steps: Vec::new(),
        }
    }

    /// Was an unmount asked for, and is the mount still there?
    #[must_use]
    pub fn is_still_mounted(&self) -> bool {
        !self.unmounted && self.error.as_deref().is_some_and(|why| why.starts_with(STILL_MOUNTED))
    }

    /// Did the mini-redirector's own stop fail, or not return in time? It is stopped all the same.
    #[must_use]
    pub fn redirector_failed(&self) -> bool {
        self.error.as_deref().is_some_and(|why| why.contains(REDIRECTOR_FAILED))
    }
}

/// What a `--check` found (stop.md §3, row `stop --check`); nothing was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The state now.
    pub state: State,
    /// Success, HasOpenHandles or AlreadyStopped.
    pub result: CallResult,
    /// The running ticket, if a stop or start is running.
    pub ticket: Option<TicketNumber>,
    /// Open handles, without those that were detached; the first
    /// [`LISTED_MAX`](crate::base::limits::LISTED_MAX).
    pub handles: Vec<HandleInfo>,
    /// How many are open.
    pub handles_total: u64,
    /// Opens in flight: each is about to be a handle.
    pub opening: u64,
    /// Requests in flight; the first [`LISTED_MAX`](crate::base::limits::LISTED_MAX).
    pub requests: Vec<RequestInfo>,
    /// How many are in flight.
    pub requests_total: u64,
}

/// A handle that was taken from its holder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detached {
    /// The handle; its `unsent_bytes` are all that were written and are not known to be on the
    /// server: they still go there, at its close at the latest.
    pub handle: HandleInfo,
    /// Was it detached before?
    pub already: bool,
    /// Requests on it that were in flight and were cancelled.
    pub cancelled: u64,
    /// Handles open now, without those that were detached.
    pub open_handles: u64,
}

/// The answer to a posted call: PENDING is a variant here, never a status on the FUSE wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// The call is over.
    Done(T),
    /// It runs on the file system process; wait for the ticket.
    Posted(TicketNumber),
}

/// What the core announces (management.md §3). `app` turns these into numbered events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// A stop was asked for.
    StopRequested {
        /// Its ticket, when posted.
        ticket: Option<TicketNumber>,
        /// Who asked.
        asked_by: Caller,
        /// Why.
        reason: Option<String>,
    },
    /// The stop waits; sent when the numbers change.
    Draining {
        /// Requests in flight.
        requests: u64,
        /// Open handles.
        handles: u64,
        /// Bytes not on the server yet.
        unsent_bytes: u64,
    },
    /// Dirty data was written back.
    WrittenBack {
        /// How many bytes.
        bytes: u64,
    },
    /// Requests were cancelled by the stop.
    Cancelled {
        /// How many.
        requests: u64,
    },
    /// No normal request is left; closes are deferred from here.
    Sealed,
    /// A prefix is this device's now (namespace.md).
    PrefixTaken {
        /// The prefix.
        prefix: String,
        /// The device whose it was until this moment; none: nobody's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// A prefix was given up (namespace.md).
    PrefixReleased {
        /// The prefix.
        prefix: String,
    },
    /// The provider is off the MUP's books.
    Deregistered,
    /// The mount was taken out of the namespace.
    Unmounted,
    /// `MRxStop` returned.
    RedirectorStopped,
    /// Handles outlived the stop.
    Survivors {
        /// How many.
        handles: u64,
    },
    /// No work item of this device is left.
    DispatcherSpunDown,
    /// A stop's result: the last event of its ticket.
    Stopped {
        /// Its ticket.
        ticket: Option<TicketNumber>,
        /// The result.
        result: CallResult,
    },
    /// A start ended.
    Started {
        /// Its ticket.
        ticket: Option<TicketNumber>,
        /// The result.
        result: CallResult,
        /// The new generation. Another name in JSON, because an event has a `generation` already.
        #[serde(rename = "new_generation")]
        generation: Generation,
    },
    /// New opens are refused.
    Paused,
    /// New opens pass again.
    Resumed,
    /// Requests were refused; coalesced.
    Refused {
        /// The operation.
        operation: String,
        /// How many.
        requests: u64,
    },
    /// A provider was added to the mount, or not: the last event of its ticket.
    ProviderAdded {
        /// Its ticket.
        ticket: TicketNumber,
        /// Which.
        provider: String,
        /// The result.
        result: CallResult,
    },
    /// A provider was removed from the mount, or not: the last event of its ticket.
    ProviderRemoved {
        /// Its ticket.
        ticket: TicketNumber,
        /// Which.
        provider: String,
        /// The result of its stop.
        result: CallResult,
    },
    /// Another has taken a provider's place, or not: the last event of its ticket.
    ProviderReplaced {
        /// Its ticket.
        ticket: TicketNumber,
        /// Which.
        provider: String,
        /// The result of the stop of the old one.
        result: CallResult,
    },
    /// Data was lost.
    Loss(Loss),
    /// A handle was taken from its holder.
    Detached {
        /// Which.
        handle: HandleNumber,
        /// Open handles left.
        handles: u64,
        /// What was written to it and is not known to be on the server.
        unsent_bytes: u64,
    },
    /// What was named lost is on the server after all: its answer came late, or it was replayed.
    Arrived {
        /// The file.
        #[serde(flatten, with = "path_text")]
        path: Vec<u8>,
        /// How many bytes.
        bytes: u64,
    },
    /// A survivor was closed.
    HolderLeft {
        /// Open handles left.
        handles: u64,
    },
    /// The deadline of the running stop passed.
    Deadline {
        /// The policy that acted.
        on_deadline: OnDeadline,
    },
    /// Something worth keeping changed, and is being put on disk; before the result of the stop it
    /// belongs to can be seen.
    SaveConfig {
        /// What.
        scope: ConfigScope,
    },
    /// The mount vanished from the namespace by somebody else's hand.
    UnmountedOutside,
}

/// What of a device's configuration is worth keeping (RRAS SAVE_GLOBAL_CONFIG_INFO).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigScope {
    /// How it is mounted, and whether it runs or was stopped in order.
    Mount,
}

/// Paths in JSON, as cli.md has them: `path`, and `path_bytes` in base64 besides when it is not
/// UTF-8 (then `path` is only for people). Nothing is lost.
pub(crate) mod path_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::borrow::Cow;

    #[derive(Serialize, Deserialize)]
    struct Path<'path> {
        path: Cow<'path, str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path_bytes: Option<String>,
    }

    pub fn serialize<S: Serializer>(path: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let text = String::from_utf8_lossy(path);
        let path_bytes = match text {
            Cow::Borrowed(_) => None,
            Cow::Owned(_) => Some(STANDARD.encode(path)),
        };
        Path { path: text, path_bytes }.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let Path { path, path_bytes } = Path::deserialize(deserializer)?;
        match path_bytes {
            None => Ok(path.into_owned().into_bytes()),
            Some(bytes) => STANDARD.decode(bytes).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any bytes survive, also inside an event's tagged and flattened forms.
    #[test]
    fn paths_of_any_bytes_survive_json() {
        for (path, shape) in [
            (&b"a/b"[..], r#"{"kind":"arrived","path":"a/b","bytes":1}"#),
            (
                b"caf\xe9",
                "{\"kind\":\"arrived\",\"path\":\"caf\u{fffd}\",\"path_bytes\":\"Y2Fm6Q==\",\
                 \"bytes\":1}",
            ),
            ("\u{fffd}".as_bytes(), "{\"kind\":\"arrived\",\"path\":\"\u{fffd}\",\"bytes\":1}"),
        ] {
            let notice = Notice::Arrived { path: path.to_vec(), bytes: 1 };
            let text = serde_json::to_string(&notice).expect("serialises");
            assert_eq!(text, shape);
            assert_eq!(serde_json::from_str::<Notice>(&text).expect("parses"), notice);
        }
    }

    #[test]
    fn unknown_stop_options_are_refused() {
        let text = r#"{"dead_line_s": 5.0}"#;
        assert!(serde_json::from_str::<StopOptions>(text).is_err());
    }
}
