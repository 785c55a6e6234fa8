//! A host that does what a test says, behind the real control server.

use minirdr::base::clock::SystemClock;
use minirdr::base::ids::{Caller, Generation, HandleNumber, TicketNumber};
use minirdr::base::metrics::DeviceNumbers;
use minirdr::base::stop::{
    Answer, CallKind, CallResult, Check, Detached, HandleInfo, Loss, Notice, OnDeadline, Report,
    RequestInfo, State, StepTime, StopOptions,
};
use minirdr::base::unsent::{UnsentEntry, UnsentOutcome, UnsentResult};
use minirdr::mgmt::authz::Policy;
use minirdr::mgmt::control::{Control, ControlError, WaitFor};
use minirdr::mgmt::endpoint::Claim;
use minirdr::mgmt::events::EventQueue;
use minirdr::mgmt::holders::Scanner;
use minirdr::mgmt::metrics::MountNumbers;
use minirdr::mgmt::proto::{MountStatus, RunningCall};
use minirdr::mgmt::rpc::status::RpcStatus;
use minirdr::mgmt::server::Server;
use minirdr::mgmt::service::Service;
use minirdr::mgmt::watch::Sightings;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use tempfile::TempDir;

/// Where the scripted mount says it is; nothing is there.
pub const MOUNT_POINT: &str = "/nonexistent/mnt/bk";

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct World {
    state: Option<State>,
    generation: u64,
    tickets: u64,
    running: Option<(TicketNumber, CallKind, Caller, StopOptions)>,
    joined: Vec<TicketNumber>,
    deadline_passed: bool,
    handles: Vec<HandleInfo>,
    reports: BTreeMap<TicketNumber, Report>,
    last_stop: Option<Report>,
    last_start: Option<Report>,
    asked: Vec<StopOptions>,
    unsent: Vec<UnsentEntry>,
}

/// The host: what is asked of it waits until the test ends it.
pub struct Host {
    world: Mutex<World>,
    changed: Condvar,
    pub events: Arc<EventQueue>,
}

impl Host {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics in here")
    }

    /// Waits until something is so.
    fn until(&self, what: &str, is_so: impl Fn(&World) -> bool) -> MutexGuard<'_, World> {
        let world = self.world();
        let (world, waited) = self
            .changed
            .wait_timeout_while(world, PATIENCE, |world| !is_so(world))
            .expect("no test panics in here");
        assert!(!waited.timed_out(), "{what} did not happen");
        world
    }

    /// Opens a handle for this test's own process.
    pub fn open(&self, path: &[u8], unsent_bytes: u64) {
        let mut world = self.world();
        let number = world.handles.len() as u64 + 1;
        let generation = Generation(world.generation);
        world.handles.push(HandleInfo {
            handle: HandleNumber(number),
            path: path.to_vec(),
            kind: "handle".to_owned(),
            mode: "rw".to_owned(),
            opened_by: Caller::local(std::process::id(), 0, 0),
            generation,
            age_s: 0.0,
            unsent_bytes,
            flushed: false,
            survivor: false,
            detached: false,
        });
    }

    /// Keeps what did not reach the server.
    pub fn keep(&self, path: &[u8], bytes: u64, kept_in: Option<&str>) {
        let mut world = self.world();
        let number = world.unsent.len() as u64 + 1;
        world.unsent.push(UnsentEntry {
            number,
            path: path.to_vec(),
            bytes,
            error: "write had no answer from the server".to_owned(),
            lost_unix_s: 1_795_223_527.0,
            kept_in: kept_in.map(str::to_owned),
            ..UnsentEntry::default()
        });
    }

    /// Closes all handles.
    pub fn close_all(&self) {
        self.world().handles.clear();
    }

    /// The deadline of the running stop passes.
    pub fn pass_deadline(&self) {
        self.until("a stop", |world| world.running.is_some()).deadline_passed = true;
    }

    /// Waits until a call runs, and ends it like this; those that joined it end AlreadyStopped.
    pub fn end(&self, result: CallResult) {
        let mut world = self.until("a call", |world| world.running.is_some());
        let Some((ticket, kind, asked_by, options)) = world.running.take() else { return };
        let report = self.report(&world, Some(ticket), kind, result, asked_by, &options);
        let started = kind == CallKind::Start && result == CallResult::Success;
        let notice = match kind {
            CallKind::Stop => {
                world.last_stop = Some(report.clone());
                Notice::Stopped { ticket: Some(ticket), result }
            }
            CallKind::Start => {
                world.generation += u64::from(started);
                world.last_start = Some(report.clone());
                let generation = Generation(world.generation);
                Notice::Started { ticket: Some(ticket), result, generation }
            }
        };
        let runs = if kind == CallKind::Stop { !result.is_stopped() } else { started };
        world.state = Some(if runs { State::Started } else { State::Startable });
        world.reports.insert(ticket, report.clone());
        for joined in std::mem::take(&mut world.joined) {
            let result = CallResult::AlreadyStopped;
            let report = Report { ticket: Some(joined), result, ..report.clone() };
            world.reports.insert(joined, report);
            self.announce(&world, Notice::Stopped { ticket: Some(joined), result });
        }
        self.announce(&world, notice);
        self.changed.notify_all();
    }

    /// What every stop so far was asked with.
    pub fn asked(&self) -> Vec<StopOptions> {
        self.world().asked.clone()
    }

    /// What the last stop was asked with.
    pub fn last_asked(&self) -> StopOptions {
        self.until("a stop", |world| !world.asked.is_empty()).asked.last().expect("one").clone()
    }

    /// Waits until so many stops were asked for.
    pub fn await_stops(&self, number: usize) {
        drop(self.until("as many stops", |world| world.asked.len() >= number));
    }

    fn announce(&self, world: &World, notice: Notice) {
        self.events.publish("bk", Generation(world.generation), notice);
    }

    fn report(
        &self,
        world: &World,
        ticket: Option<TicketNumber>,
        kind: CallKind,
        result: CallResult,
        asked_by: Caller,
        options: &StopOptions,
    ) -> Report {
        let open = result == CallResult::HasOpenHandles || result == CallResult::RolledBack;
        let survivors = if open { world.handles.clone() } else { Vec::new() };
        let lost = result == CallResult::Lost;
        let losses = lost.then(|| Loss {
            path: b"notes.md".to_vec(),
            bytes: 12_595,
            error: "Connection timed out".to_owned(),
            written_by: Caller::local(4502, 0, 0),
            command: Some("vim".to_owned()),
            kept_in: Some("/var/lib/minirdr/work/unsent/1.data".to_owned()),
        });
        Report {
            ticket,
            kind,
            result,
            error: (result == CallResult::Failed).then(|| "no route to host".to_owned()),
            generation: Generation(world.generation),
            asked_by,
            reason: options.reason.clone(),
            ended_unix_s: 1_795_223_527.0,
            drained: 0,
            cancelled: 0,
            abandoned: 0,
            refused: 0,
            survivors_total: survivors.len() as u64,
            survivors,
            flushed_bytes: 0,
            losses: losses.into_iter().collect(),
            unmounted: options.unmount && result == CallResult::Success,
            steps: vec![StepTime { step: "drain".to_owned(), seconds: 0.031 }],
        }
    }
}

impl Control for Host {
    fn status(&self) -> MountStatus {
        let world = self.world();
        let running = world.running.as_ref().map(|(ticket, kind, asked_by, options)| RunningCall {
            ticket: *ticket,
            kind: *kind,
            asked_by: *asked_by,
            age_s: 72.0,
            step: "drain".to_owned(),
            deadline_passed: world.deadline_passed,
            deadline_left_s: options.deadline_s,
        });
        MountStatus {
            name: "bk".to_owned(),
            source: "memory:".to_owned(),
            redirector: "memory".to_owned(),
            mount_point: MOUNT_POINT.to_owned(),
            mounted: true,
            device: String::new(),
            state: world.state.unwrap_or(State::Started),
            generation: Generation(world.generation),
            state_age_s: 1.0,
            pid: std::process::id(),
            uid: 0,
            control_gid: None,
            options: vec!["rw".to_owned()],
            requests_in_flight: self.requests().len() as u64,
            open_handles: world.handles.len() as u64,
            survivors: 0,
            unsent_bytes: world.handles.iter().map(|handle| handle.unsent_bytes).sum(),
            refused_total: 0,
            answered_total: 0,
            defects_total: 0,
            running,
            last_stop: world.last_stop.clone(),
            last_start: world.last_start.clone(),
            unsent_files: world.unsent.len() as u64,
            unsent_files_bytes: world.unsent.iter().map(|entry| entry.bytes).sum(),
            rpc: None,
            version: "0.1.0".to_owned(),
            providers: Vec::new(),
        }
    }

    fn listen(&self) -> Result<RpcStatus, ControlError> {
        Ok(RpcStatus::NoEndpoints)
    }

    fn numbers(&self) -> MountNumbers {
        let state = self.world().state.unwrap_or(State::Started);
        let device = DeviceNumbers { state, ..DeviceNumbers::default() };
        MountNumbers { name: "bk".to_owned(), device, ..MountNumbers::default() }
    }

    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool) {
        let handles = self.world().handles.clone();
        let _ = handles.into_iter().all(visit);
    }

    fn requests(&self) -> Vec<RequestInfo> {
        Vec::new()
    }

    fn check(&self) -> Check {
        let world = self.world();
        let state = world.state.unwrap_or(State::Started);
        let result = match state {
            State::Startable => CallResult::AlreadyStopped,
            _ if world.handles.is_empty() => CallResult::Success,
            _ => CallResult::HasOpenHandles,
        };
        Check {
            state,
            result,
            ticket: world.running.as_ref().map(|(ticket, ..)| *ticket),
            handles: world.handles.clone(),
            handles_total: world.handles.len() as u64,
            opening: 0,
            requests: Vec::new(),
            requests_total: 0,
        }
    }

    fn detach(&self, _asked_by: Caller, number: HandleNumber) -> Result<Detached, ControlError> {
        let mut world = self.world();
        let open_handles = world.handles.iter().filter(|handle| !handle.detached).count() as u64;
        let found = world.handles.iter_mut().find(|handle| handle.handle == number);
        let Some(handle) = found else {
            return Err(ControlError::Refused(format!("handle {number} is not open")));
        };
        let already = std::mem::replace(&mut handle.detached, true);
        let open_handles = open_handles - u64::from(!already);
        Ok(Detached { handle: handle.clone(), already, cancelled: 0, open_handles })
    }

    fn stop(&self, asked_by: Caller, options: StopOptions) -> Result<Answer<Report>, ControlError> {
        let mut world = self.world();
        world.asked.push(options.clone());
        self.changed.notify_all();
        let done = |world: &World, result| {
            Answer::Done(self.report(world, None, CallKind::Stop, result, asked_by, &options))
        };
        if world.state == Some(State::Startable) {
            return Ok(done(&world, CallResult::AlreadyStopped));
        }
        if options.refuse_if_busy && !world.handles.is_empty() {
            return Ok(done(&world, CallResult::HasOpenHandles));
        }
        world.tickets += 1;
        let ticket = TicketNumber(world.tickets);
        if world.running.is_some() {
            world.joined.push(ticket);
        } else {
            let reason = options.reason.clone();
            world.running = Some((ticket, CallKind::Stop, asked_by, options));
            world.state = Some(State::Draining);
            let ticket = Some(ticket);
            self.announce(&world, Notice::StopRequested { ticket, asked_by, reason });
        }
        self.changed.notify_all();
        Ok(Answer::Posted(ticket))
    }

    fn start(&self, asked_by: Caller) -> Result<Answer<Report>, ControlError> {
        let mut world = self.world();
        let options = StopOptions::default();
        if world.state.unwrap_or(State::Started) == State::Started {
            let (kind, result) = (CallKind::Start, CallResult::AlreadyStarted);
            return Ok(Answer::Done(self.report(&world, None, kind, result, asked_by, &options)));
        }
        world.tickets += 1;
        let ticket = TicketNumber(world.tickets);
        world.running = Some((ticket, CallKind::Start, asked_by, options));
        world.state = Some(State::StartInProgress);
        self.changed.notify_all();
        Ok(Answer::Posted(ticket))
    }

    fn pause(&self, _asked_by: Caller) -> Result<CallResult, ControlError> {
        let mut world = self.world();
        match world.state.unwrap_or(State::Started) {
            State::Started => {
                world.state = Some(State::Paused);
                self.announce(&world, Notice::Paused);
                Ok(CallResult::Success)
            }
            State::Startable => Ok(CallResult::AlreadyStopped),
            _ => Err(ControlError::Refused("it is stopping".to_owned())),
        }
    }

    fn resume(&self, _asked_by: Caller) -> Result<CallResult, ControlError> {
        let mut world = self.world();
        if world.state == Some(State::Startable) {
            return Ok(CallResult::AlreadyStopped);
        }
        world.state = Some(State::Started);
        self.announce(&world, Notice::Deadline { on_deadline: OnDeadline::Resume });
        Ok(CallResult::Success)
    }

    fn wait_ticket(
        &self,
        ticket: TicketNumber,
        limit: Duration,
    ) -> Result<Option<Report>, ControlError> {
        let world = self.world();
        if ticket.0 == 0 || ticket.0 > world.tickets {
            return Err(ControlError::UnknownTicket(ticket));
        }
        let (world, _) = self
            .changed
            .wait_timeout_while(world, limit, |world| !world.reports.contains_key(&ticket))
            .expect("no test panics in here");
        Ok(world.reports.get(&ticket).cloned())
    }

    fn wait_state(&self, wanted: WaitFor, limit: Duration) -> bool {
        let state = match wanted {
            WaitFor::Running => State::Started,
            WaitFor::Stopped => State::Startable,
        };
        let is_not = |world: &mut World| world.state.unwrap_or(State::Started) != state;
        let (_world, waited) = self
            .changed
            .wait_timeout_while(self.world(), limit, is_not)
            .expect("no test panics in here");
        !waited.timed_out()
    }

    fn watch(&self, path: &[u8]) -> Result<Box<dyn Sightings>, ControlError> {
        let path = String::from_utf8_lossy(path);
        Err(ControlError::Refused(format!("cannot watch {path}: it is in no share")))
    }

    fn unsent(&self) -> Result<Vec<UnsentEntry>, ControlError> {
        Ok(self.world().unsent.clone())
    }

    fn replay(
        &self,
        _asked_by: Caller,
        force: bool,
        _go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<UnsentOutcome>, ControlError> {
        let mut world = self.world();
        let kept = std::mem::take(&mut world.unsent);
        let (left, done) = kept.into_iter().partition(|entry| entry.kept_in.is_none() && !force);
        world.unsent = left;
        let done: Vec<UnsentEntry> = done;
        let replayed =
            done.iter().map(|entry| UnsentOutcome::of(entry, UnsentResult::Replayed, None));
        let failed = world.unsent.iter().map(|entry| {
            UnsentOutcome::of(entry, UnsentResult::Failed, Some("the file is gone".to_owned()))
        });
        Ok(replayed.chain(failed).collect())
    }

    fn discard(&self) -> Result<Vec<UnsentOutcome>, ControlError> {
        let kept = std::mem::take(&mut self.world().unsent);
        Ok(kept
            .iter()
            .map(|entry| UnsentOutcome::of(entry, UnsentResult::Discarded, None))
            .collect())
    }
}

/// A scripted host with its server, in a runtime directory of its own.
pub struct Daemon {
    pub host: Arc<Host>,
    server: Option<Server>,
    runtime: TempDir,
}

impl Daemon {
    /// Serves a mount named `bk` that is running and idle.
    pub fn start() -> Self {
        let runtime = tempfile::tempdir().expect("room in /tmp");
        let clock = SystemClock::shared();
        let events = Arc::new(EventQueue::new(Arc::clone(&clock)));
        let host = Arc::new(Host {
            world: Mutex::new(World { generation: 1, ..World::default() }),
            changed: Condvar::new(),
            events: Arc::clone(&events),
        });
        let owner = rustix::process::getuid().as_raw();
        let policy = Policy::of_owner(owner);
        let control: Arc<dyn Control> = host.clone();
        let service = Service::new(control, events, policy, Scanner::system(), clock);
        let claim = Claim::take(&runtime.path().join("minirdr"), "bk").expect("a free name");
        let endpoint = claim.listen().expect("a short path");
        let server = Server::start(endpoint, Arc::new(service)).expect("room for a thread");
        Self { host, server: Some(server), runtime }
    }

    /// Its `XDG_RUNTIME_DIR`.
    pub fn runtime(&self) -> &Path {
        self.runtime.path()
    }

    /// The daemon ends.
    pub fn leave(&mut self) {
        drop(self.server.take());
    }
}
