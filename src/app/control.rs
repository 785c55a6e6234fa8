//! The host as the management plane sees it: `Control`, over the device and the mount.

use crate::app::config::MountConfig;
use crate::app::devices::Devices;
use crate::app::namespace::ProviderConfig;
use crate::app::namespace::check::parse_prefix;
use crate::app::namespace::members::Members;
use crate::app::namespace::part::ProviderPart;
use crate::app::namespace::providers::Providers;
use crate::app::options::UsageError;
use crate::app::rpc::Remote;
use crate::app::saved::MountRecord;
use crate::app::source::Source;
use crate::app::unsent::keeper::Keeper;
use crate::app::unsent::replay::{self, Destination, Replay};
use crate::app::utab::Utab;
use crate::app::watches::Watches;
use crate::base::clock::{Clock, Moment};
use crate::base::ids::{Caller, HandleNumber, TicketNumber};
use crate::base::stop::{
    Answer, CallResult, Check, ConfigScope, Detached, HandleInfo, Report, RequestInfo, State,
    StopOptions, unix_seconds,
};
use crate::base::unsent::{UnsentEntry, UnsentOutcome};
use crate::front::transport::mountinfo;
use crate::mgmt::control::{Control, ControlError, Part, WaitFor, wanted_state};
use crate::mgmt::metrics::MountNumbers;
use crate::mgmt::proto::{MountStatus, ProviderWords, RunningCall};
use crate::mgmt::providers::Deed;
use crate::mgmt::rpc::status::RpcStatus;
use crate::mgmt::watch::Sightings;
use crate::rdbss::device::Device;
use crate::rdbss::notice::{DeregisterError, FileSystemRegistration};
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::operation::Dispatcher;
use crate::rdbss::query::DeviceStatus;
use crate::rdbss::startstop::{CallError, Running};
use crate::rdbss::ticket::TicketState;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// What is known of the mount once it is up.
#[derive(Clone, Debug)]
pub struct Mounted {
    /// `major:minor`.
    pub device: String,
    /// The mount's number, where the kernel told it.
    pub number: Option<u64>,
}

/// One running host.
pub struct HostControl {
    pub(in crate::app) config: MountConfig,
    pub(in crate::app) device: Arc<Device>,
    /// What the kernel's requests go to.
    pub(in crate::app) dispatcher: Arc<dyn Dispatcher>,
    /// The shares, in a mount of several providers: then the device is the mount's own.
    pub(in crate::app) members: Option<Arc<Members>>,
    /// The live watches.
    pub(in crate::app) watches: Arc<Watches>,
    /// What is asked of its providers.
    pub(in crate::app) providers: Option<Arc<Providers>>,
    pub(in crate::app) clock: Arc<dyn Clock>,
    /// When it began, by both clocks.
    began: (Moment, f64),
    /// What has what did not reach the server.
    pub(in crate::app) keeper: Arc<Keeper>,
    pub(in crate::app) mounted: OnceLock<Mounted>,
    /// The kernel's connection has ended.
    pub(in crate::app) gone: AtomicBool,
    /// The mount is out of the namespace, and a stop of ours knows it.
    pub(in crate::app) unmounted: AtomicBool,
    /// An unmount of ours is under way; a stop may have given up on it.
    pub(in crate::app) unmounting: AtomicBool,
    /// Remote management, once the mount is up.
    pub(in crate::app) remote: OnceLock<Remote>,
    /// What libmount was told of the mount.
    pub(in crate::app) utab: OnceLock<Utab>,
    /// Defects of the front: panics in handlers, replaced workers.
    pub(in crate::app) front_defects: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl HostControl {
    /// A host whose mount is not up yet.
    #[must_use]
    pub fn new(
        config: MountConfig,
        devices: &Devices,
        clock: Arc<dyn Clock>,
        keeper: Arc<Keeper>,
    ) -> Self {
        let Devices { device, dispatcher, members, providers, watches, .. } = devices;
        let began = (clock.now(), unix_seconds(clock.wall()));
        Self {
            config,
            device: device.clone(),
            dispatcher: dispatcher.clone(),
            members: members.clone(),
            watches: watches.clone(),
            providers: providers.clone(),
            clock,
            began,
            keeper,
            mounted: OnceLock::new(),
            gone: AtomicBool::new(false),
            unmounted: AtomicBool::new(false),
            unmounting: AtomicBool::new(false),
            utab: OnceLock::new(),
            front_defects: OnceLock::new(),
            remote: OnceLock::new(),
        }
    }

    /// The file of a scope, as it is to be kept now.
    pub(in crate::app) fn saved(&self, scope: ConfigScope) -> Option<Vec<u8>> {
        let content = match scope {
            ConfigScope::Mount => serde_json::to_vec(&self.record()),
        };
        content.inspect_err(|error| log::error!("{}: {scope:?}: {error}", self.config.name)).ok()
    }

    fn record(&self) -> MountRecord {
        let status = self.device.status();
        MountRecord {
            name: self.config.name.clone(),
            source: self.config.source.to_string(),
            config_file: self
                .config
                .config_file
                .as_ref()
                .map(|file| file.to_string_lossy().into_owned()),
            providers: self.members.iter().flat_map(|members| members.records()).collect(),
            mount_point: self.config.mount_point.to_string_lossy().into_owned(),
            options: self.config.options.words(),
            rpc: self.config.rpc.words(),
            generation: status.generation.0,
            // Until a stop has passed its point of no return it may be taken back.
            running: matches!(status.state, State::Started | State::Paused | State::Draining),
            saved_unix_s: unix_seconds(self.clock.wall()),
            ..MountRecord::new()
        }
    }

    fn running_call(&self, running: &Running) -> RunningCall {
        let now = self.clock.now();
        RunningCall {
            ticket: running.ticket,
            kind: running.kind,
            asked_by: running.asked_by,
            age_s: now.since(running.asked_at).as_secs_f64(),
            step: running.step.to_owned(),
            deadline_passed: running.deadline_passed,
            deadline_left_s: running
                .terms
                .deadline
                .map(|deadline| deadline.since(now).as_secs_f64()),
        }
    }

    fn front_defects(&self) -> u64 {
        self.front_defects.get().map_or(0, |count| count())
    }

    /// The mount's own device, and those of its shares.
    fn all_devices(&self) -> impl Iterator<Item = Arc<Device>> {
        let shares = self.members.iter().flat_map(|members| members.all());
        std::iter::once(self.device.clone()).chain(shares.map(|shown| shown.device.clone()))
    }

    /// Has libmount forget the mount, which is not there any more.
    pub(in crate::app) fn forget_helper(&self) {
        if let Some(utab) = self.utab.get() {
            utab.forget();
        }
    }

    /// Is the mount in the namespace still, or in another?
    #[must_use]
    pub fn is_mounted(&self) -> bool {
        self.mounted.get().is_some()
            && !self.unmounted.load(Ordering::Acquire)
            && !self.gone.load(Ordering::Acquire)
    }

    /// Is the mount in our namespace still? Somebody else may have detached it while files are open
    /// (`umount -l`), or while it is mounted elsewhere.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        let number = self.mounted.get().and_then(|mounted| mounted.number);
        let is_there = |number: u64| match mountinfo::read() {
            Ok(table) => table.iter().any(|entry| entry.id == number && entry.is_fuse()),
            // Then what is known otherwise has to do.
            Err(_) => true,
        };
        self.is_mounted() && number.is_none_or(is_there)
    }
}

impl Destination for HostControl {
    fn dispatcher(&self) -> Arc<dyn Dispatcher> {
        self.dispatcher.clone()
    }

    fn device_of(&self, tag: Tag) -> Arc<Device> {
        self.all_devices().find(|device| device.tag() == tag).unwrap_or_else(|| self.device.clone())
    }
}

/// The mount's place in the namespace, which says so when a stop of ours has given it up.
pub(in crate::app) struct Place {
    pub registration: Arc<dyn FileSystemRegistration>,
    /// Weak: the device that holds this is held by it.
    pub control: Weak<HostControl>,
}

impl FileSystemRegistration for Place {
    fn deregister(&self, lazy: bool) -> Result<bool, DeregisterError> {
        let control = self.control.upgrade();
        let tell = |busy| {
            if let Some(control) = &control {
                control.unmounting.store(busy, Ordering::Release);
            }
        };
        tell(true);
        let by_us = self.registration.deregister(lazy);
        tell(false);
        let by_us = by_us?;
        // Ours or another's hand: it is not there any more.
        if let Some(control) = control {
            control.unmounted.store(true, Ordering::Release);
            control.forget_helper();
        }
        Ok(by_us)
    }

    fn has_ended(&self) -> bool {
        self.registration.has_ended()
    }
}

impl From<CallError> for ControlError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::TooMany => Self::TooMany,
            CallError::Closed => Self::Refused("the mount is going away".to_owned()),
            CallError::RootsStop(_) => Self::NotPermitted(error.to_string()),
        }
    }
}

impl HostControl {
    /// The mount as if this device were all of it.
    pub(in crate::app) fn status_as(&self, status: &DeviceStatus) -> MountStatus {
        let now = self.clock.now();
        let unsent = self.keeper.summary();
        let front_defects = self.front_defects();
        MountStatus {
            name: self.config.name.clone(),
            source: self.config.source.to_string(),
            redirector: self.config.source.scheme().to_owned(),
            mount_point: self.config.mount_point.to_string_lossy().into_owned(),
            mounted: self.is_seen(),
            device: self.mounted.get().map(|mounted| mounted.device.clone()).unwrap_or_default(),
            state: status.state,
            generation: status.generation,
            state_age_s: now.since(status.state_since).as_secs_f64(),
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
            control_gid: self.config.policy.group,
            options: self.config.options.words(),
            requests_in_flight: status.requests_in_flight,
            open_handles: status.open_handles,
            survivors: status.survivors,
            unsent_bytes: status.unsent_bytes,
            refused_total: status.refused_total,
            answered_total: status.answered_total,
            defects_total: status.unanswered_total + status.panics_total + front_defects,
            running: status.running.as_ref().map(|running| self.running_call(running)),
            last_stop: status.last_stop.clone(),
            last_start: status.last_start.clone(),
            unsent_files: unsent.files,
            unsent_files_bytes: unsent.bytes,
            rpc: self.remote.get().and_then(Remote::state),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            providers: Vec::new(),
        }
    }

    /// What is known of a ticket, whosever it is: the devices of a mount number them together.
    fn ticket(&self, ticket: TicketNumber, limit: Duration) -> TicketState {
        let known = |wait: &dyn Fn(Duration) -> TicketState| match wait(Duration::ZERO) {
            TicketState::Unknown => None,
            TicketState::Open => Some(wait(limit)),
            ended @ TicketState::Ended(_) => Some(ended),
        };
        if let Some(providers) = &self.providers
            && let Some(state) = known(&|limit| providers.wait(ticket, limit))
        {
            return state;
        }
        let mut devices = self.all_devices();
        let found = devices.find_map(|device| known(&|limit| device.wait_ticket(ticket, limit)));
        found.unwrap_or(TicketState::Unknown)
    }

    /// Those who know the mount's providers.
    fn providers(&self) -> Result<&Arc<Providers>, ControlError> {
        let none = || ControlError::Refused(no_providers(&self.config.name));
        self.providers.as_ref().ok_or_else(none)
    }
}

fn refused(error: UsageError) -> ControlError {
    ControlError::Refused(error.0)
}

/// A source that is asked for over the socket: who asks has no working directory here.
fn source(text: &str) -> Result<Source, ControlError> {
    let source = Source::parse(text.as_ref()).map_err(refused)?;
    match source.local_directory() {
        Some(directory) if !directory.is_absolute() => {
            let what = format!("source \"{source}\": its directory is not absolute");
            Err(ControlError::Refused(what))
        }
        _ => Ok(source),
    }
}

/// `KEY=VALUE`, or `KEY` for one that is on.
fn option_words(words: &[String]) -> Vec<(String, String)> {
    let split = |word: &String| match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (word.clone(), String::new()),
    };
    words.iter().map(split).collect()
}

fn no_providers(name: &str) -> String {
    format!("{name} has one source and no providers: mount several with --config")
}

impl Control for HostControl {
    fn status(&self) -> MountStatus {
        let mut whole = self.status_as(&self.device.status());
        if let Some(members) = &self.members {
            members.add_to_status(&mut whole);
        }
        whole
    }

    fn devices(&self) -> Vec<String> {
        let shares = self.members.iter().flat_map(|members| members.all());
        let own = std::iter::once(self.config.name.clone());
        own.chain(shares.map(|shown| shown.name.clone())).collect()
    }

    fn provider(&self, name: &str) -> Result<Arc<dyn Part + '_>, ControlError> {
        Ok(Arc::new(ProviderPart::find(self, self.providers()?, name)?))
    }

    fn provider_of(&self, ticket: TicketNumber) -> Option<String> {
        let asked = self.providers.as_ref()?.provider_of(ticket);
        asked.or_else(|| {
            let known = |device: &Device| {
                device.wait_ticket(ticket, Duration::ZERO) != TicketState::Unknown
            };
            let all = self.members.iter().flat_map(|members| members.all());
            all.into_iter().find(|shown| known(&shown.device)).map(|shown| shown.shown_as.clone())
        })
    }

    fn deed_of(&self, ticket: TicketNumber) -> Option<Deed> {
        self.providers.as_ref()?.deed_of(ticket)
    }

    fn add_provider(
        &self,
        asked_by: Caller,
        provider: &ProviderWords,
    ) -> Result<Answer<Report>, ControlError> {
        let providers = self.providers()?;
        let prefixes = provider.prefixes.iter().map(|prefix| parse_prefix(prefix));
        let config = ProviderConfig {
            name: provider.name.clone(),
            prefixes: prefixes.collect::<Result<_, _>>().map_err(refused)?,
            source: source(&provider.source)?,
            options: option_words(&provider.options),
        };
        providers.add(asked_by, config)
    }

    fn remove_provider(
        &self,
        asked_by: Caller,
        provider: &str,
        options: StopOptions,
    ) -> Result<Answer<Report>, ControlError> {
        self.providers()?.remove(asked_by, provider, options)
    }

    fn replace_provider(
        &self,
        asked_by: Caller,
        provider: &ProviderWords,
        options: StopOptions,
    ) -> Result<Answer<Report>, ControlError> {
        let providers = self.providers()?;
        if !provider.prefixes.is_empty() {
            let what = "a provider that takes another's place has its prefixes";
            return Err(ControlError::Refused(what.to_owned()));
        }
        let words = (source(&provider.source)?, option_words(&provider.options));
        providers.replace(asked_by, (&provider.name, words.0, words.1), options)
    }

    fn listen(&self) -> Result<RpcStatus, ControlError> {
        match self.remote.get() {
            Some(remote) => remote.listen().map_err(ControlError::Refused),
            None => Ok(RpcStatus::NoEndpoints),
        }
    }

    fn numbers(&self) -> MountNumbers {
        let mut device = self.device.numbers();
        if let Some(members) = &self.members {
            members.add_to_numbers(&mut device);
        }
        let unsent = self.keeper.summary();
        let (began, began_unix_s) = self.began;
        MountNumbers {
            name: self.config.name.clone(),
            redirector: self.config.source.scheme().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            began_unix_s,
            // Reckoned from one look at the calendar: the same number at every scrape.
            state_since_unix_s: began_unix_s + device.state_since.since(began).as_secs_f64(),
            mounted: self.is_seen(),
            unsent_files: unsent.files,
            unsent_files_bytes: unsent.bytes,
            front_defects: self.front_defects(),
            device,
        }
    }

    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool) {
        let mut goes_on = true;
        for device in self.all_devices() {
            device.visit_handles(|handle| {
                goes_on = visit(handle);
                goes_on
            });
            if !goes_on {
                return;
            }
        }
    }

    fn requests(&self) -> Vec<RequestInfo> {
        self.all_devices().flat_map(|device| device.requests()).collect()
    }

    fn check(&self) -> Check {
        let mut check = self.device.check();
        if let Some(members) = &self.members {
            members.add_to_check(&mut check);
        }
        check
    }

    fn detach(&self, asked_by: Caller, handle: HandleNumber) -> Result<Detached, ControlError> {
        let detached = self.device_of(Tag::of_handle(handle)).detach(asked_by, handle);
        detached.ok_or_else(|| ControlError::Refused(format!("handle {handle} is not open")))
    }

    fn stop(&self, asked_by: Caller, options: StopOptions) -> Result<Answer<Report>, ControlError> {
        Ok(self.device.stop(asked_by, options)?)
    }

    fn start(&self, asked_by: Caller) -> Result<Answer<Report>, ControlError> {
        if !self.is_mounted() {
            let why = "the mount point is gone: mount it again";
            return Err(ControlError::Refused(why.to_owned()));
        }
        if self.unmounting.load(Ordering::Acquire) {
            let why = "it is being unmounted; wait until that has ended";
            return Err(ControlError::Refused(why.to_owned()));
        }
        Ok(self.device.start(asked_by)?)
    }

    fn pause(&self, _: Caller) -> Result<CallResult, ControlError> {
        let result = self.device.pause()?;
        if let Some(members) = &self.members {
            members.set_paused(true);
        }
        Ok(result)
    }

    fn resume(&self, asked_by: Caller) -> Result<CallResult, ControlError> {
        let paused = self.device.state() == State::Paused;
        let result = self.device.resume_for(asked_by)?;
        // A stop that is taken back takes theirs back itself.
        if let Some(members) = self.members.as_ref().filter(|_| paused) {
            members.set_paused(false);
        }
        Ok(result)
    }

    fn wait_ticket(
        &self,
        ticket: TicketNumber,
        limit: Duration,
    ) -> Result<Option<Report>, ControlError> {
        let state = self.ticket(ticket, limit);
        match state {
            TicketState::Open => Ok(None),
            TicketState::Ended(report) => Ok(Some(*report)),
            TicketState::Unknown => Err(ControlError::UnknownTicket(ticket)),
        }
    }

    fn wait_state(&self, wanted: WaitFor, limit: Duration) -> bool {
        self.device.wait_state(|state| wanted_state(wanted, state), limit)
    }

    fn watch(&self, path: &[u8]) -> Result<Box<dyn Sightings>, ControlError> {
        self.watches.watch(path)
    }

    fn unsent(&self) -> Result<Vec<UnsentEntry>, ControlError> {
        self.keeper.entries().map_err(|error| ControlError::Refused(error.line()))
    }

    fn replay(
        &self,
        asked_by: Caller,
        force: bool,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<UnsentOutcome>, ControlError> {
        // Its requests do not come by the kernel, which would refuse them.
        if self.config.options.read_only {
            let why = "it is mounted read-only: mount it for writing, then replay";
            return Err(ControlError::Refused(why.to_owned()));
        }
        let (keeper, clock) = (&*self.keeper, &self.clock);
        let replay = Replay { device: self, keeper, clock, caller: asked_by, force };
        replay.run(go_on).map_err(ControlError::Refused)
    }

    fn discard(&self) -> Result<Vec<UnsentOutcome>, ControlError> {
        replay::discard(&self.keeper).map_err(ControlError::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::devices::Given;
    use crate::app::options::MountOptions;
    use crate::app::saved::Saver;
    use crate::app::source::Source;
    use crate::base::clock::SystemClock;
    use crate::base::stop::Notice;
    use crate::base::sync::{Mutex, Rank};
    use crate::mgmt::authz::Policy;
    use crate::mgmt::events::EventQueue;
    use crate::rdbss::notice::Observer;
    use crate::rdbss::saving::ConfigKeeper;

    /// The namespace: the mount is there, or somebody is inside.
    struct Namespace {
        busy: bool,
    }

    impl FileSystemRegistration for Namespace {
        fn deregister(&self, lazy: bool) -> Result<bool, DeregisterError> {
            if self.busy && !lazy { Err(DeregisterError::Busy) } else { Ok(true) }
        }

        fn has_ended(&self) -> bool {
            !self.busy
        }
    }

    struct Deaf;

    impl Observer for Deaf {
        fn notice(&self, _: crate::base::ids::Generation, _: Notice) {}
    }

    fn host(state: &tempfile::TempDir) -> (Arc<HostControl>, Devices) {
        host_with(state, Arc::new(Deaf))
    }

    fn host_with(
        state: &tempfile::TempDir,
        observer: Arc<dyn Observer>,
    ) -> (Arc<HostControl>, Devices) {
        let clock = SystemClock::shared();
        let options = MountOptions::default();
        let config = MountConfig {
            name: "bk".to_owned(),
            source: Source::Memory,
            providers: Vec::new(),
            config_file: None,
            reader: None,
            mount_point: "/mnt/bk".into(),
            options,
            runtime_dir: "/run/minirdr".into(),
            state_dir: state.path().join("bk"),
            rpc: crate::app::RpcOptions::default(),
            policy: Policy::of_owner(0),
            notify: None,
        };
        let keeper = Keeper::start("bk".to_owned(), config.state_dir.clone(), clock.clone())
            .expect("room for a thread");
        let events = Arc::new(EventQueue::new(clock.clone()));
        let devices = Devices::make(Given {
            config: &config,
            clock: &clock,
            events: &events,
            publisher: observer,
            keeper: keeper.clone(),
        });
        let devices = devices.expect("memory needs nothing");
        (Arc::new(HostControl::new(config, &devices, clock, keeper)), devices)
    }

    /// What a stop of ours took away is not mounted any more; what was busy is still.
    #[test]
    fn a_mount_that_was_given_up_is_not_mounted() {
        let state = tempfile::tempdir().expect("a directory");
        let (control, devices) = host(&state);
        assert!(!control.status().mounted, "not yet");
        let mounted = Mounted { device: "0:52".to_owned(), number: None };
        control.mounted.set(mounted).expect("the first time");
        let place = Place {
            registration: Arc::new(Namespace { busy: true }),
            control: Arc::downgrade(&control),
        };
        assert_eq!(place.deregister(false), Err(DeregisterError::Busy));
        assert!(control.status().mounted);
        assert_eq!(place.deregister(true), Ok(true));
        assert!(!control.status().mounted);
        let refused = control.start(Caller::default()).expect_err("there is no mount");
        assert_eq!(refused.to_string(), "the mount point is gone: mount it again");
        devices.shut_down();
    }

    /// Reads the record whenever a result is announced, on the control thread: nobody has it
    /// before.
    struct Reading {
        state_dir: std::path::PathBuf,
        seen: Mutex<Vec<Option<bool>>>,
    }

    impl Observer for Reading {
        fn notice(&self, _: crate::base::ids::Generation, notice: Notice) {
            if matches!(notice, Notice::Stopped { .. }) {
                let record = MountRecord::read(&self.state_dir).expect("readable");
                self.seen.lock().push(record.map(|record| record.running));
            }
        }
    }

    /// S-93, invariant 9: when a stop's result comes, the record on disk says that it was stopped.
    #[test]
    fn i9_the_record_is_on_disk_when_the_result_comes() {
        let state = tempfile::tempdir().expect("a directory");
        let state_dir = state.path().join("bk");
        let seen = Mutex::new(Rank::Leaf, Vec::new());
        let observer = Arc::new(Reading { state_dir: state_dir.clone(), seen });
        let (control, devices) = host_with(&state, observer.clone());
        let weak = Arc::downgrade(&control);
        let content = Box::new(move |scope| weak.upgrade().and_then(|host| host.saved(scope)));
        let saver = Saver::start(state_dir.clone(), control.clock.clone(), content);
        let saver = saver.expect("room for a thread");
        let device = &control.device;
        device.attach_config_keeper(saver.clone());
        let limit = Duration::from_secs(20);
        for round in 1..=3 {
            let started = device.start(Caller::default()).expect("taken");
            let Answer::Posted(ticket) = started else { panic!("over at once") };
            assert!(matches!(device.wait_ticket(ticket, limit), TicketState::Ended(_)));
            assert_eq!(saver.settle(limit), Ok(()));
            let record = MountRecord::read(&state_dir).expect("readable").expect("there");
            assert!(record.running && record.generation == round, "{record:?}");
            let stopped = device.stop(Caller::default(), StopOptions::default()).expect("taken");
            let Answer::Posted(ticket) = stopped else { panic!("over at once") };
            let TicketState::Ended(report) = device.wait_ticket(ticket, limit) else {
                panic!("never ended");
            };
            assert_eq!((report.result, report.error), (CallResult::Success, None));
        }
        assert_eq!(*observer.seen.lock(), [Some(false); 3]);
        devices.shut_down();
    }

    /// What goes wrong in the front counts as much as what does in the core.
    #[test]
    fn defects_of_the_front_are_counted() {
        let state = tempfile::tempdir().expect("a directory");
        let (control, devices) = host(&state);
        let before = control.status().defects_total;
        let counted = control.front_defects.set(Box::new(|| 3));
        assert!(counted.is_ok());
        // Other tests of this process may have a callout panic meanwhile.
        assert!(control.status().defects_total >= before + 3);
        devices.shut_down();
    }
}
