//! A host that only pretends: the state machine of a device without a device, driven by the test.

use minirdr::base::clock::{Clock, SystemClock};
use minirdr::base::ids::{Caller, Generation, HandleNumber, SerialNumber, TicketNumber};
use minirdr::base::metrics::DeviceNumbers;
use minirdr::base::stop::{
    Answer, CallKind, CallResult, Check, Detached, HandleInfo, Loss, Notice, Report, RequestInfo,
    State, StopOptions,
};
use minirdr::base::sync::{Condvar, Mutex, Rank};
use minirdr::base::unsent::{UnsentEntry, UnsentOutcome, UnsentResult};
use minirdr::mgmt::authz::Policy;
use minirdr::mgmt::control::{Control, ControlError, Part, WaitFor};
use minirdr::mgmt::endpoint::Claim;
use minirdr::mgmt::events::EventQueue;
use minirdr::mgmt::holders::Scanner;
use minirdr::mgmt::metrics::MountNumbers;
use minirdr::mgmt::proto::{MountStatus, ProviderStatus, ProviderWords, RunningCall};
use minirdr::mgmt::rpc::status::RpcStatus;
use minirdr::mgmt::server::Server;
use minirdr::mgmt::service::Service;
use minirdr::mgmt::watch::{NextSighting, Sightings};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tempfile::TempDir;

/// The name of the mount, and of its events' device.
pub const NAME: &str = "bk";

/// The host.
pub struct Host {
    /// Where it announces.
    pub events: Arc<EventQueue>,
    inner: Mutex<Inner>,
    changed: Condvar,
    /// What `status` says its device is; a test that looks for holders sets it.
    pub device: String,
    /// What `status` says its mount point is.
    pub mount_point: String,
    /// What watches tell, by path: each is watched once.
    pub sightings: Mutex<BTreeMap<Vec<u8>, Receiver<NextSighting>>>,
}

/// A watch that tells what a test says.
struct Scripted(Receiver<NextSighting>);

impl Sightings for Scripted {
    fn next(&mut self, limit: Duration) -> NextSighting {
        match self.0.recv_timeout(limit) {
            Ok(next) => next,
            Err(RecvTimeoutError::Timeout) => NextSighting::Timeout,
            Err(RecvTimeoutError::Disconnected) => NextSighting::Ended,
        }
    }
}

struct Inner {
    state: State,
    generation: u64,
    tickets: u64,
    /// Posted and not over, oldest first: the first one runs.
    pending: Vec<(TicketNumber, CallKind, Caller)>,
    results: BTreeMap<TicketNumber, Report>,
    last_stop: Option<Report>,
    last_start: Option<Report>,
    handles: Vec<HandleInfo>,
    calls: usize,
    shares: Vec<ProviderStatus>,
    provider_calls: usize,
    waits: usize,
    handed_out: usize,
}

/// A provider that runs.
pub fn share(name: &str, source: &str) -> ProviderStatus {
    ProviderStatus {
        name: name.to_owned(),
        device: name.to_owned(),
        prefix: "/srv1/docs".to_owned(),
        source: source.to_owned(),
        state: State::Started,
        aside: false,
        generation: Generation(1),
        owner: Some(1),
        requests_in_flight: 0,
        open_handles: 0,
        survivors: 0,
        unsent_bytes: 0,
    }
}

/// An open handle of this process.
pub fn handle(number: u64, path: &[u8]) -> HandleInfo {
    HandleInfo {
        handle: HandleNumber(number),
        path: path.to_vec(),
        kind: "handle".to_owned(),
        mode: "rw".to_owned(),
        opened_by: Caller::local(std::process::id(), 1000, 1000),
        generation: Generation(1),
        age_s: 0.0,
        unsent_bytes: 7,
        flushed: false,
        survivor: false,
        detached: false,
    }
}

/// A request in flight.
pub fn request() -> RequestInfo {
    RequestInfo {
        serial: SerialNumber(1),
        operation: "read".to_owned(),
        path: b"a/b".to_vec(),
        age_s: 0.5,
        caller: Caller::local(1, 2, 3),
        cancellable: true,
        cancelled: false,
    }
}

/// A write that is kept.
pub fn unsent(path: &[u8]) -> UnsentEntry {
    UnsentEntry {
        number: 1,
        path: path.to_vec(),
        offset: Some(3),
        bytes: 7,
        error: "the secret server is gone".to_owned(),
        command: Some("secret".to_owned()),
        kept_in: Some("/secret/1.data".to_owned()),
        ..UnsentEntry::default()
    }
}

/// A report with something in every field.
pub fn report(kind: CallKind, result: CallResult, ticket: Option<TicketNumber>) -> Report {
    Report {
        ticket,
        kind,
        result,
        error: Some("its configuration is not kept: /secret: no space".to_owned()),
        generation: Generation(1),
        asked_by: Caller::default(),
        reason: None,
        ended_unix_s: 1.0,
        drained: 2,
        cancelled: 0,
        abandoned: 0,
        refused: 0,
        survivors: vec![handle(9, b"secret/survivor")],
        survivors_total: 1,
        flushed_bytes: 0,
        losses: vec![Loss {
            path: b"secret/lost".to_vec(),
            bytes: 3,
            error: "gone".to_owned(),
            command: Some("secret".to_owned()),
            kept_in: Some("/secret/1.data".to_owned()),
            ..Loss::default()
        }],
        unmounted: false,
        steps: Vec::new(),
    }
}

impl Host {
    /// A started one.
    pub fn new() -> Self {
        let inner = Inner {
            state: State::Started,
            generation: 1,
            tickets: 0,
            pending: Vec::new(),
            results: BTreeMap::new(),
            last_stop: None,
            last_start: None,
            handles: Vec::new(),
            calls: 0,
            shares: Vec::new(),
            provider_calls: 0,
            waits: 0,
            handed_out: 0,
        };
        Self {
            events: Arc::new(EventQueue::new(SystemClock::shared())),
            inner: Mutex::new(Rank::Lifecycle, inner),
            changed: Condvar::new(),
            device: String::new(),
            mount_point: "/nowhere".to_owned(),
            sightings: Mutex::new(Rank::Leaf, BTreeMap::new()),
        }
    }

    /// Opens handles.
    pub fn open(&self, handles: impl IntoIterator<Item = HandleInfo>) {
        self.inner.lock().handles.extend(handles);
    }

    /// Shows one more provider.
    pub fn share(&self, share: ProviderStatus) {
        self.inner.lock().shares.push(share);
    }

    /// Calls that would have changed which providers there are.
    pub fn provider_calls(&self) -> usize {
        self.inner.lock().provider_calls
    }

    fn refuse_change(&self) -> Result<Answer<Report>, ControlError> {
        self.inner.lock().provider_calls += 1;
        Err(ControlError::Refused("this host changes no providers".to_owned()))
    }

    /// Calls that would have changed something.
    pub fn effects(&self) -> usize {
        self.inner.lock().calls
    }

    /// Times somebody began to wait for a state.
    pub fn waits(&self) -> usize {
        self.inner.lock().waits
    }

    /// The state.
    pub fn state(&self) -> State {
        self.inner.lock().state
    }

    /// Announces something of this device.
    pub fn announce(&self, notice: Notice) {
        self.events.publish(NAME, Generation(1), notice);
    }

    /// Ends everything that was posted, in order: result, event, waiters (stop.md §4, step 11).
    pub fn finish(&self) {
        while let Some(notice) = self.settle() {
            self.announce(notice);
            self.changed.notify_all();
        }
    }

    /// Gives the oldest posted call its result and returns what is still to be announced of it.
    pub fn settle(&self) -> Option<Notice> {
        let mut inner = self.inner.lock();
        if inner.pending.is_empty() {
            return None;
        }
        let (ticket, kind, asked_by) = inner.pending.remove(0);
        let stopped = inner.state == State::Startable;
        let result = match (kind, stopped) {
            (CallKind::Stop, true) => CallResult::AlreadyStopped,
            (CallKind::Start, false) => CallResult::AlreadyStarted,
            (CallKind::Stop, false) | (CallKind::Start, true) => CallResult::Success,
        };
        let mut over = report(kind, result, Some(ticket));
        over.asked_by = asked_by;
        inner.results.insert(ticket, over.clone());
        let ticket = Some(ticket);
        Some(match kind {
            CallKind::Stop => {
                inner.state = State::Startable;
                inner.last_stop = Some(over);
                Notice::Stopped { ticket, result }
            }
            CallKind::Start => {
                inner.state = State::Started;
                inner.generation += 1;
                inner.last_start = Some(over);
                Notice::Started { ticket, result, generation: Generation(inner.generation) }
            }
        })
    }

    /// Results that were handed to who waited for their ticket.
    pub fn handed_out(&self) -> usize {
        self.inner.lock().handed_out
    }

    fn post(&self, kind: CallKind, asked_by: Caller) -> Answer<Report> {
        let mut inner = self.inner.lock();
        inner.calls += 1;
        let already = match kind {
            CallKind::Stop => (State::Startable, CallResult::AlreadyStopped),
            CallKind::Start => (State::Started, CallResult::AlreadyStarted),
        };
        if inner.pending.is_empty() && inner.state == already.0 {
            return Answer::Done(report(kind, already.1, None));
        }
        inner.tickets += 1;
        let ticket = TicketNumber(inner.tickets);
        inner.pending.push((ticket, kind, asked_by));
        if kind == CallKind::Stop && inner.state == State::Started {
            inner.state = State::Draining;
        }
        Answer::Posted(ticket)
    }
}

/// A provider of a host: all of it, but for its source.
struct Share<'a>(&'a Host, ProviderStatus);

impl Part for Share<'_> {
    fn status(&self) -> MountStatus {
        let (source, providers) = (self.1.source.clone(), vec![self.1.clone()]);
        MountStatus { source, providers, ..self.0.status() }
    }

    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool) {
        self.0.handles(visit);
    }

    fn has(&self, _: &[u8]) -> bool {
        true
    }

    fn check(&self) -> Check {
        self.0.check()
    }

    fn stop(&self, asked_by: Caller, options: StopOptions) -> Result<Answer<Report>, ControlError> {
        self.0.stop(asked_by, options)
    }

    fn start(&self, asked_by: Caller) -> Result<Answer<Report>, ControlError> {
        self.0.start(asked_by)
    }

    fn pause(&self, asked_by: Caller) -> Result<CallResult, ControlError> {
        self.0.pause(asked_by)
    }

    fn resume(&self, asked_by: Caller) -> Result<CallResult, ControlError> {
        self.0.resume(asked_by)
    }

    fn wait_state(&self, wanted: WaitFor, limit: Duration) -> bool {
        self.0.wait_state(wanted, limit)
    }
}

impl Control for Host {
    fn provider(&self, name: &str) -> Result<Arc<dyn Part + '_>, ControlError> {
        let share = self.inner.lock().shares.iter().find(|share| share.name == name).cloned();
        let none = || ControlError::Refused(format!("there is no provider \"{name}\""));
        Ok(Arc::new(Share(self, share.ok_or_else(none)?)))
    }

    fn add_provider(&self, _: Caller, _: &ProviderWords) -> Result<Answer<Report>, ControlError> {
        self.refuse_change()
    }

    fn remove_provider(
        &self,
        _: Caller,
        _: &str,
        _: StopOptions,
    ) -> Result<Answer<Report>, ControlError> {
        self.refuse_change()
    }

    fn replace_provider(
        &self,
        _: Caller,
        _: &ProviderWords,
        _: StopOptions,
    ) -> Result<Answer<Report>, ControlError> {
        self.refuse_change()
    }

    fn status(&self) -> MountStatus {
        let inner = self.inner.lock();
        let running = inner.pending.first().map(|(ticket, kind, asked_by)| RunningCall {
            ticket: *ticket,
            kind: *kind,
            asked_by: *asked_by,
            age_s: 0.0,
            step: "drain".to_owned(),
            deadline_passed: false,
            deadline_left_s: None,
        });
        MountStatus {
            name: NAME.to_owned(),
            source: "memory:".to_owned(),
            redirector: "memory".to_owned(),
            mount_point: self.mount_point.clone(),
            mounted: true,
            device: self.device.clone(),
            state: inner.state,
            generation: Generation(inner.generation),
            state_age_s: 0.0,
            pid: std::process::id(),
            uid: 0,
            control_gid: None,
            options: Vec::new(),
            requests_in_flight: 1,
            open_handles: inner.handles.len() as u64,
            survivors: 0,
            unsent_bytes: 0,
            refused_total: 0,
            answered_total: 0,
            defects_total: 0,
            running,
            last_stop: inner.last_stop.clone(),
            last_start: inner.last_start.clone(),
            unsent_files: 0,
            unsent_files_bytes: 0,
            rpc: None,
            version: "0".to_owned(),
            providers: inner.shares.clone(),
        }
    }

    fn listen(&self) -> Result<RpcStatus, ControlError> {
        Ok(RpcStatus::NoEndpoints)
    }

    fn numbers(&self) -> MountNumbers {
        let state = self.state();
        let device = DeviceNumbers { state, ..DeviceNumbers::default() };
        MountNumbers { name: NAME.to_owned(), device, ..MountNumbers::default() }
    }

    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool) {
        let handles = self.inner.lock().handles.clone();
        let _ = handles.into_iter().all(visit);
    }

    fn requests(&self) -> Vec<RequestInfo> {
        vec![request()]
    }

    fn check(&self) -> Check {
        let inner = self.inner.lock();
        Check {
            state: inner.state,
            result: match inner.handles.is_empty() {
                true => CallResult::Success,
                false => CallResult::HasOpenHandles,
            },
            ticket: None,
            handles: inner.handles.clone(),
            handles_total: inner.handles.len() as u64,
            opening: 0,
            requests: vec![request()],
            requests_total: 1,
        }
    }

    fn detach(&self, _asked_by: Caller, number: HandleNumber) -> Result<Detached, ControlError> {
        let mut inner = self.inner.lock();
        let open_handles = inner.handles.iter().filter(|handle| !handle.detached).count() as u64;
        let found = inner.handles.iter_mut().find(|handle| handle.handle == number);
        let Some(handle) = found else {
            return Err(ControlError::Refused(format!("handle {number} is not open")));
        };
        let already = std::mem::replace(&mut handle.detached, true);
        let open_handles = open_handles - u64::from(!already);
        Ok(Detached { handle: handle.clone(), already, cancelled: 0, open_handles })
    }

    fn stop(&self, asked_by: Caller, options: StopOptions) -> Result<Answer<Report>, ControlError> {
        let answer = self.post(CallKind::Stop, asked_by);
        if let Answer::Posted(ticket) = answer {
            let reason = options.reason;
            self.announce(Notice::StopRequested { ticket: Some(ticket), asked_by, reason });
        }
        Ok(answer)
    }

    fn start(&self, asked_by: Caller) -> Result<Answer<Report>, ControlError> {
        Ok(self.post(CallKind::Start, asked_by))
    }

    fn pause(&self, _asked_by: Caller) -> Result<CallResult, ControlError> {
        self.inner.lock().calls += 1;
        Ok(CallResult::Success)
    }

    fn resume(&self, _asked_by: Caller) -> Result<CallResult, ControlError> {
        self.inner.lock().calls += 1;
        Err(ControlError::Refused("it is starting".to_owned()))
    }

    fn wait_ticket(
        &self,
        ticket: TicketNumber,
        limit: Duration,
    ) -> Result<Option<Report>, ControlError> {
        let mut inner = self.inner.lock();
        if ticket.0 == 0 || ticket.0 > inner.tickets {
            return Err(ControlError::UnknownTicket(ticket));
        }
        while !inner.results.contains_key(&ticket) {
            if self.changed.wait_for(&mut inner, limit) {
                break;
            }
        }
        let result = inner.results.get(&ticket).cloned();
        inner.handed_out += usize::from(result.is_some());
        Ok(result)
    }

    fn wait_state(&self, wanted: WaitFor, limit: Duration) -> bool {
        let wanted = match wanted {
            WaitFor::Running => State::Started,
            WaitFor::Stopped => State::Startable,
        };
        let mut inner = self.inner.lock();
        inner.waits += 1;
        while inner.state != wanted {
            if self.changed.wait_for(&mut inner, limit) {
                break;
            }
        }
        inner.state == wanted
    }

    fn watch(&self, path: &[u8]) -> Result<Box<dyn Sightings>, ControlError> {
        let shown = String::from_utf8_lossy(path);
        let script = self.sightings.lock().remove(path);
        let script =
            script.ok_or_else(|| ControlError::Refused(format!("{shown} is not there")))?;
        Ok(Box::new(Scripted(script)))
    }

    fn unsent(&self) -> Result<Vec<UnsentEntry>, ControlError> {
        Ok(vec![unsent(b"secret/unsent")])
    }

    fn replay(
        &self,
        _asked_by: Caller,
        force: bool,
        _go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<UnsentOutcome>, ControlError> {
        self.inner.lock().calls += 1;
        let result = if force { UnsentResult::Replayed } else { UnsentResult::Failed };
        Ok(vec![UnsentOutcome::of(&unsent(b"a"), result, None)])
    }

    fn discard(&self) -> Result<Vec<UnsentOutcome>, ControlError> {
        self.inner.lock().calls += 1;
        Ok(vec![UnsentOutcome::of(&unsent(b"a"), UnsentResult::Discarded, None)])
    }
}

/// The policy of this process's own mount.
pub fn own_policy() -> Policy {
    Policy::of_owner(rustix::process::getuid().as_raw())
}

/// A service for `host`.
pub fn service(host: &Arc<Host>, policy: Policy) -> Arc<Service> {
    let control: Arc<dyn Control> = Arc::clone(host) as _;
    let (events, clock) = (Arc::clone(&host.events), SystemClock::shared());
    Arc::new(Service::new(control, events, policy, Scanner::system(), clock))
}

/// A server for a host in a directory of its own.
pub struct Running {
    /// The host.
    pub host: Arc<Host>,
    /// The server.
    pub server: Server,
    /// The directory of its socket.
    pub directory: TempDir,
}

/// Serves `host`.
pub fn serve(host: Host) -> Running {
    let host = Arc::new(host);
    let directory = tempfile::tempdir().expect("a directory");
    let endpoint =
        Claim::take(directory.path(), NAME).expect("free").listen().expect("can be listened on");
    let server = Server::start(endpoint, service(&host, own_policy())).expect("room for a thread");
    Running { host, server, directory }
}

/// Waits for a condition, at most 20 seconds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let began = clock.now();
    while !condition() {
        assert!(clock.now().since(began) < Duration::from_secs(20), "never: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
