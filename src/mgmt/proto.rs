//! The control protocol's messages as plain types: interface `io.minirdr.Control` (management.md
//! §4).
//!
//! Field names are the JSON's names: snake_case, units in names. `docs/io.minirdr.Control.varlink`
//! describes the same, and a test holds the two together. Errors are the [`Failure`] names.

use crate::base::ids::{Caller, Generation, HandleNumber, TicketNumber};
use crate::base::stop::{CallResult, HandleInfo, Notice, Report, RequestInfo, State, StopOptions};
use crate::base::unsent::{UnsentEntry, UnsentOutcome};
pub use crate::mgmt::metrics::{MetricsFormat, MetricsParameters, MetricsReply};
pub use crate::mgmt::providers::{Deed, PartParameters, ProviderStatus, ProviderWords};
pub use crate::mgmt::rpc_state::{RpcPhase, RpcState};
pub use crate::mgmt::watch::{WatchEvent, WatchKind, WatchParameters, WatchReply};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The interface's name; a method is `io.minirdr.Control.Stop`.
pub const INTERFACE: &str = "io.minirdr.Control";
/// The version of every JSON shape a user sees (cli.md).
pub const SCHEMA: &str = "minirdr/1";
/// The interface every varlink service has; its errors are used where they fit.
pub const VARLINK_INTERFACE: &str = "org.varlink.service";

/// Declares the methods of [`INTERFACE`] with their names on the wire.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A method of [`INTERFACE`]; on the wire its name follows the interface's and a dot.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])* $name,)+
        }

        impl Method {
            /// All of them, in the order of management.md §4.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The last part of its name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

methods! {
    /// All mounts of this daemon.
    List,
    /// Everything about the mount.
    Status,
    /// Its open handles, and who holds it.
    Handles,
    /// Its requests in flight.
    Requests,
    /// What a stop would meet.
    Check,
    /// Takes one handle from its holder.
    Detach,
    /// `RxStopMinirdr`.
    Stop,
    /// `RxStartMinirdr`.
    Start,
    /// Refuses new opens.
    Pause,
    /// Takes a pause, or a stop that still drains, back.
    Resume,
    /// Waits for a ticket or a state.
    Wait,
    /// The numbered events.
    Events,
    /// What changes at a path.
    Watch,
    /// Its numbers, as Prometheus reads them.
    Metrics,
    /// What did not reach the server, and is kept.
    Unsent,
    /// Puts it on the server.
    Replay,
    /// Keeps it no longer.
    Discard,
    /// One provider more.
    AddProvider,
    /// One provider less, after an orderly stop of it.
    RemoveProvider,
    /// Another source in the place of a provider's.
    ReplaceProvider,
    /// Lets remote management listen again.
    Listen,
    /// The document's remote procedure: stops the RPC listening from inside a call.
    Shutdown,
}

impl Method {
    /// The method of that name, if it is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.name() == name)
    }

    /// Its full name on the wire: `io.minirdr.Control.Stop`.
    #[must_use]
    pub fn full_name(self) -> String {
        format!("{INTERFACE}.{}", self.name())
    }
}

/// One call, as varlink frames it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The method's full name.
    pub method: String,
    /// Its parameters; an absent object is an empty one.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Does the caller take more than one reply?
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// Does the caller want no reply at all?
    #[serde(default, skip_serializing_if = "is_false")]
    pub oneway: bool,
    /// Does the caller ask to leave varlink after this call? Nothing here does.
    #[serde(default, skip_serializing_if = "is_false")]
    pub upgrade: bool,
}

/// One reply, as varlink frames it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The result, or the error's own fields.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Do more replies to the same call follow?
    #[serde(default, skip_serializing_if = "is_false")]
    pub continues: bool,
    /// The error's full name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Leaves a flag that is not set out of the JSON.
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Reply of `List`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListReply {
    /// The mounts this daemon serves.
    pub mounts: Vec<MountStatus>,
}

/// One mount and its device, as `minirdr status` and `list` show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MountStatus {
    /// The mount's name.
    pub name: String,
    /// What is mounted: `memory:`, `local:/srv/data`.
    pub source: String,
    /// The mini-redirector's name.
    pub redirector: String,
    /// Absolute path of the mount point.
    pub mount_point: String,
    /// Is it in the daemon's namespace still? False: detached or unmounted, finishing what it owes.
    pub mounted: bool,
    /// `st_dev` of the mount as `major:minor`, from mountinfo.
    pub device: String,
    /// The state.
    pub state: State,
    /// Successful starts so far.
    pub generation: Generation,
    /// Seconds in this state.
    pub state_age_s: f64,
    /// The daemon's process.
    pub pid: u32,
    /// The daemon's user: the mount's owner.
    pub uid: u32,
    /// The number of the group whose members may stop and start it, if there is one.
    #[serde(default)]
    pub control_gid: Option<u32>,
    /// Mount options in force, as `-o` takes them.
    pub options: Vec<String>,
    /// Requests in flight.
    pub requests_in_flight: u64,
    /// Open handles, of all generations.
    pub open_handles: u64,
    /// Of these, survivors of an earlier generation.
    pub survivors: u64,
    /// Bytes acknowledged and not on the server yet.
    pub unsent_bytes: u64,
    /// Requests refused by the gate since the mount.
    pub refused_total: u64,
    /// Requests answered since the mount.
    pub answered_total: u64,
    /// Contexts dropped unanswered, panics in callouts, dead workers: should be 0.
    pub defects_total: u64,
    /// The start or stop that runs now.
    pub running: Option<RunningCall>,
    /// The last finished stop.
    pub last_stop: Option<Report>,
    /// The last finished start.
    pub last_start: Option<Report>,
    /// Files with data that did not reach the server and is kept: see `Unsent`.
    #[serde(default)]
    pub unsent_files: u64,
    /// Bytes of it.
    #[serde(default)]
    pub unsent_files_bytes: u64,
    /// Remote management; none: it was not asked for.
    #[serde(default)]
    pub rpc: Option<RpcState>,
    /// The daemon's version.
    pub version: String,
    /// The shares of a mount of several providers, by device; empty for any other.
    #[serde(default)]
    pub providers: Vec<ProviderStatus>,
}

/// A start or stop that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningCall {
    /// Its ticket.
    pub ticket: TicketNumber,
    /// `stop` or `start`.
    pub kind: crate::base::stop::CallKind,
    /// Who asked.
    pub asked_by: Caller,
    /// Seconds since.
    pub age_s: f64,
    /// The step of stop.md §4 it is in.
    pub step: String,
    /// Has its deadline passed (`stay`)?
    pub deadline_passed: bool,
    /// Seconds left to its deadline, if it has one.
    pub deadline_left_s: Option<f64>,
}

/// One numbered event (management.md §3). `seq` is gapless per daemon and starts at 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub seq: u64,
    /// When, RFC 3339 UTC.
    pub at: String,
    /// The device's name.
    pub device: String,
    /// The device's generation then.
    pub generation: Generation,
    /// What happened: `kind` and its fields, flattened.
    #[serde(flatten)]
    pub what: EventKind,
}

/// The core's notices, and the queue's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventKind {
    /// Something the core announced.
    Notice(Notice),
    /// This reader was too slow: these events are gone for it.
    Overflow {
        /// Always `overflow`.
        kind: OverflowTag,
        /// First lost number.
        first_lost: u64,
        /// Last lost number.
        last_lost: u64,
    },
}

/// The word `overflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverflowTag {
    /// `overflow`.
    Overflow,
}

/// Somebody who is in the way (cli.md, `stop --check`): a handle of ours merged with `/proc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id; `None`: unknown (another pid namespace, or gone).
    pub pid: Option<u32>,
    /// Command name; `None` when unknown or hidden from this caller.
    pub command: Option<String>,
    /// User id.
    pub uid: Option<u32>,
    /// User name, if the system knows one.
    pub user: Option<String>,
    /// `handle`, `directory`, `mmap`, `cwd`, `root`, `mount`; `detached` for a handle that was
    /// taken from its holder and that nobody waits for.
    pub kind: String,
    /// `r`, `w`, `rw` or `-`.
    pub mode: String,
    /// Seconds, where known.
    pub age_s: Option<f64>,
    /// Unsent bytes, where known.
    pub unsent_bytes: Option<u64>,
    /// Path below the mount's root, without a leading slash; for `mount` where else it is mounted,
    /// absolute; empty when hidden from this caller (the reply's `redacted`).
    pub path: String,
    /// The path's bytes in base64, when it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path_bytes: Option<String>,
    /// Container id from the process's cgroup, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container: Option<String>,
    /// The handle, when it is one of the daemon's table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handle: Option<HandleNumber>,
}

/// Reply of `Check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReply {
    /// The state now.
    pub state: State,
    /// `success`, `has_open_handles` or `already_stopped`.
    pub result: CallResult,
    /// The running ticket, if any.
    pub ticket: Option<TicketNumber>,
    /// Who holds it; the first [`LISTED_MAX`](crate::base::limits::LISTED_MAX).
    pub holders: Vec<Holder>,
    /// How many hold it.
    #[serde(default)]
    pub holders_total: u64,
    /// Requests in flight; the first [`LISTED_MAX`](crate::base::limits::LISTED_MAX).
    pub requests: Vec<RequestInfo>,
    /// How many are in flight.
    #[serde(default)]
    pub requests_total: u64,
    /// Are paths and commands hidden from this caller (management.md §2)?
    #[serde(default)]
    pub redacted: bool,
}

/// Parameters of `Handles`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HandlesParameters {
    /// Leave the handles out: the holders and the totals are wanted.
    pub holders_only: bool,
}

/// Parameters of `Detach`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetachParameters {
    /// The handle's number.
    pub handle: HandleNumber,
}

/// Parameters of `Stop`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopParameters {
    /// The caller's choices.
    pub options: StopOptions,
    /// The provider; none: the mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// Reply of `Stop` and `Start`: over (`report`) or pending (`ticket`). With `more`, a pending call
/// is followed by `event`s and ends with the `report`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallReply {
    /// NTSTATUS: 0x103 while pending.
    pub status: u32,
    /// The ticket to wait for, when pending; also names the ticket of the final report.
    pub ticket: Option<TicketNumber>,
    /// The running ticket this call found, when another stop ran already.
    pub running: Option<TicketNumber>,
    /// The report, when over.
    pub report: Option<Report>,
    /// How the call in `running` ended, where this one found nothing left to do. Told here, because
    /// a daemon whose mount is gone may not be there to be asked.
    pub joined: Option<Report>,
    /// An event on the way, with `more`.
    pub event: Option<Event>,
}

/// Reply of `Pause` and `Resume`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseReply {
    /// Success or AlreadyStopped.
    pub result: CallResult,
}

/// Reply of `Listen`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenReply {
    /// 0: it listens again; 1713: it does, or drains; 1714: there is no endpoint.
    pub status: u32,
}

/// Reply of `Shutdown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownReply {
    /// 0: the remote management interface listens no more; 1715: it did not.
    pub status: u32,
    /// Interfaces that were unregistered.
    pub unregistered: u64,
}

/// Parameters of `Wait`: a ticket, or a state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WaitParameters {
    /// The ticket.
    pub ticket: Option<TicketNumber>,
    /// `running` or `stopped`; default: the running ticket if any, else `stopped`.
    #[serde(rename = "for")]
    pub wait_for: Option<String>,
    /// Give up after this long.
    pub timeout_s: Option<f64>,
    /// The provider whose state it is; none: the mount's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// Reply of `Wait`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitReply {
    /// Did the time run out?
    pub timed_out: bool,
    /// The state now.
    pub state: State,
    /// The ticket's report, or the last stop's.
    pub report: Option<Report>,
    /// The last stop's, where the ticket's says only that it found the device stopped.
    #[serde(default)]
    pub joined: Option<Report>,
    /// The provider that the ticket is of; none: it is the mount's.
    #[serde(default)]
    pub provider: Option<String>,
    /// What the ticket does to that provider; none: it is of a stop or start.
    #[serde(default)]
    pub deed: Option<Deed>,
}

/// Parameters of `Events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsParameters {
    /// Only events after this number.
    pub since: Option<u64>,
    /// At most so many at once; without: [`EVENTS_KEPT`](crate::base::limits::EVENTS_KEPT).
    pub max: Option<u64>,
    /// Only events of this device.
    pub device: Option<String>,
}

/// ERROR_NO_MORE_ITEMS: there is no event after that number.
pub const NO_MORE_ITEMS: u32 = 259;

/// Reply of `Events`: those that are kept, or with `more` again and again those that are new.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventsReply {
    /// In order.
    pub events: Vec<Event>,
    /// 0; or [`NO_MORE_ITEMS`], with no event.
    pub status: u32,
    /// The number to read on after.
    pub next: u64,
}

impl EventsReply {
    /// These, read up to the number `next`.
    #[must_use]
    pub fn new(events: Vec<Event>, next: u64) -> Self {
        let status = if events.is_empty() { NO_MORE_ITEMS } else { 0 };
        Self { events, status, next }
    }
}

/// Reply of `Handles`, in pages with `more`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HandlesReply {
    /// Some handles.
    pub handles: Vec<HandleInfo>,
    /// Who holds the mount, as in `Check`, and detached handles: on the last pages, after all
    /// handles.
    pub holders: Vec<Holder>,
    /// On the last page: handles beside those among the holders, of which there are too many to
    /// list ([`MERGED_MAX`](crate::base::limits::MERGED_MAX)).
    pub more_handles: u64,
    /// On the last page: not every descriptor and mapping was looked at, there are too many.
    pub incomplete: bool,
    /// On the last page: how many handles are open, without detached ones.
    pub handles_total: u64,
    /// On the last page: of these, survivors of an earlier generation.
    pub survivors_total: u64,
    /// On the last page: bytes of all handles that are not on the server.
    pub unsent_bytes: u64,
    /// Are paths and commands hidden from this caller (management.md §2)?
    #[serde(default)]
    pub redacted: bool,
}

impl HandlesReply {
    /// Puts the next page behind this one: the last one has the totals.
    pub fn append(&mut self, page: Self) {
        self.handles.extend(page.handles);
        self.holders.extend(page.holders);
        self.redacted |= page.redacted;
        self.incomplete |= page.incomplete;
        self.more_handles += page.more_handles;
        self.handles_total += page.handles_total;
        self.survivors_total += page.survivors_total;
        self.unsent_bytes = self.unsent_bytes.saturating_add(page.unsent_bytes);
    }
}

/// Reply of `Requests`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestsReply {
    /// Requests in flight; the first [`LISTED_MAX`](crate::base::limits::LISTED_MAX).
    pub requests: Vec<RequestInfo>,
    /// How many are in flight.
    #[serde(default)]
    pub requests_total: u64,
    /// Are paths hidden from this caller (management.md §2)?
    #[serde(default)]
    pub redacted: bool,
}

/// Reply of `Unsent`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnsentReply {
    /// All that is kept, in order of arrival.
    pub entries: Vec<UnsentEntry>,
    /// Are paths and commands hidden from this caller (management.md §2)?
    #[serde(default)]
    pub redacted: bool,
}

/// Parameters of `Replay`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayParameters {
    /// Also to files that changed since, or that another has replaced.
    pub force: bool,
}

/// Reply of `Replay` and `Discard`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsentDoneReply {
    /// What became of each entry.
    pub outcomes: Vec<UnsentOutcome>,
}

/// Why a call failed, each the last part of a varlink error name in [`INTERFACE`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The peer may not ask for this.
    #[error("not permitted: {0}")]
    NotPermitted(String),
    /// The host refused.
    #[error("{0}")]
    Refused(String),
    /// The ticket is not known.
    #[error("{0}")]
    UnknownTicket(String),
    /// This parameter does not parse, or makes no sense: `org.varlink.service.InvalidParameter`.
    #[error("invalid parameter: {0}")]
    InvalidParameter(String),
    /// A bound was reached.
    #[error("{0}")]
    TooMany(String),
}
