//! The host as the management plane sees it: `Control`, over the device and the mount.

use crate::app::config::MountConfig;
use crate::app::devices::Devices;
use crate::app::namespace::members::Members;
use crate::app::unsent::keeper::Keeper;
use crate::app::unsent::replay::{self, Destination, Replay};
use crate::base::clock::Clock;
use crate::base::ids::{Caller, HandleNumber, TicketNumber};
use crate::base::stop::{
    Answer, CallResult, Check, Detached, HandleInfo, Report, RequestInfo, State, StopOptions,
};
use crate::base::unsent::{UnsentEntry, UnsentOutcome};
use crate::mgmt::control::{Control, ControlError, WaitFor};
use crate::mgmt::proto::{MountStatus, RunningCall};
use crate::rdbss::device::Device;
use crate::rdbss::notice::{DeregisterError, FileSystemRegistration};
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::operation::Dispatcher;
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
}

/// One running host.
pub struct HostControl {
    pub(in crate::app) config: MountConfig,
    pub(in crate::app) device: Arc<Device>,
    /// What the kernel's requests go to.
    pub(in crate::app) dispatcher: Arc<dyn Dispatcher>,
    /// The shares, in a mount of several providers: then the device is the mount's own.
    pub(in crate::app) members: Option<Arc<Members>>,
    pub(in crate::app) clock: Arc<dyn Clock>,
    /// What has what did not reach the server.
    pub(in crate::app) keeper: Arc<Keeper>,
    pub(in crate::app) mounted: OnceLock<Mounted>,
    /// The kernel's connection has ended.
    pub(in crate::app) gone: AtomicBool,
    /// The mount is out of the namespace, and a stop of ours knows it.
    pub(in crate::app) unmounted: AtomicBool,
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
        let Devices { device, dispatcher, members, .. } = devices;
        Self {
            config,
            device: device.clone(),
            dispatcher: dispatcher.clone(),
            members: members.clone(),
            clock,
            keeper,
            mounted: OnceLock::new(),
            gone: AtomicBool::new(false),
            unmounted: AtomicBool::new(false),
            front_defects: OnceLock::new(),
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

    /// Is the mount in the namespace still?
    #[must_use]
    pub fn is_mounted(&self) -> bool {
        self.mounted.get().is_some()
            && !self.unmounted.load(Ordering::Acquire)
            && !self.gone.load(Ordering::Acquire)
    }
}

impl Destination for HostControl {
    fn dispatcher(&self) -> Arc<dyn Dispatcher> {
        self.dispatcher.clone()
    }

    fn device_of(&self, tag: Tag) -> Arc<Device> {
        let shares = self.members.iter().flat_map(|members| members.all());
        let found = shares.map(|shown| shown.device.clone()).find(|device| device.tag() == tag);
        found.unwrap_or_else(|| self.device.clone())
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
        let by_us = self.registration.deregister(lazy)?;
        // Ours or another's hand: it is not there any more.
        if let Some(control) = self.control.upgrade() {
            control.unmounted.store(true, Ordering::Release);
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
        }
    }
}

impl Control for HostControl {
    fn status(&self) -> MountStatus {
        let status = self.device.status();
        let now = self.clock.now();
        let unsent = self.keeper.summary();
        let front_defects = self.front_defects.get().map_or(0, |count| count());
        let mut whole = MountStatus {
            name: self.config.name.clone(),
            source: self.config.source.to_string(),
            redirector: self.config.source.scheme().to_owned(),
            mount_point: self.config.mount_point.to_string_lossy().into_owned(),
            mounted: self.is_mounted(),
            device: self.mounted.get().map(|mounted| mounted.device.clone()).unwrap_or_default(),
            state: status.state,
            generation: status.generation,
            state_age_s: now.since(status.state_since).as_secs_f64(),
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
            options: self.config.options.words(),
            requests_in_flight: status.requests_in_flight,
            open_handles: status.open_handles,
            survivors: status.survivors,
            unsent_bytes: status.unsent_bytes,
            refused_total: status.refused_total,
            answered_total: status.answered_total,
            defects_total: status.unanswered_total + status.panics_total + front_defects,
            running: status.running.as_ref().map(|running| self.running_call(running)),
            last_stop: status.last_stop,
            last_start: status.last_start,
            unsent_files: unsent.files,
            unsent_files_bytes: unsent.bytes,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            providers: Vec::new(),
        };
        if let Some(members) = &self.members {
            members.add_to_status(&mut whole);
        }
        whole
    }

    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool) {
        let mut goes_on = true;
        self.device.visit_handles(|handle| {
            goes_on = visit(handle);
            goes_on
        });
        if let Some(members) = self.members.as_ref().filter(|_| goes_on) {
            members.visit_handles(visit);
        }
    }

    fn requests(&self) -> Vec<RequestInfo> {
        let mut requests = self.device.requests();
        requests.extend(self.members.iter().flat_map(|members| members.requests()));
        requests
    }

    fn check(&self) -> Check {
        let mut check = self.device.check();
        if let Some(members) = &self.members {
            members.add_to_check(&mut check);
        }
        check
    }

    fn detach(&self, asked_by: Caller, handle: HandleNumber) -> Result<Detached, ControlError> {
        let of_a_share = || self.members.as_ref()?.detach(asked_by, handle);
        let detached = self.device.detach(asked_by, handle).or_else(of_a_share);
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
        Ok(self.device.start(asked_by)?)
    }

    fn pause(&self, _: Caller) -> Result<CallResult, ControlError> {
        let result = self.device.pause()?;
        if let Some(members) = &self.members {
            members.set_paused(true);
        }
        Ok(result)
    }

    fn resume(&self, _: Caller) -> Result<CallResult, ControlError> {
        let paused = self.device.state() == State::Paused;
        let result = self.device.resume()?;
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
        match self.device.wait_ticket(ticket, limit) {
            TicketState::Open => Ok(None),
            TicketState::Ended(report) => Ok(Some(*report)),
            TicketState::Unknown => Err(ControlError::UnknownTicket(ticket)),
        }
    }

    fn wait_state(&self, wanted: WaitFor, limit: Duration) -> bool {
        self.device.wait_state(
            |state| match wanted {
                WaitFor::Running => matches!(state, State::Started | State::Paused),
                WaitFor::Stopped => state == State::Startable,
            },
            limit,
        )
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
    use crate::app::events::Publisher;
    use crate::app::options::MountOptions;
    use crate::app::source::Source;
    use crate::base::clock::SystemClock;
    use crate::mgmt::events::EventQueue;

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

    fn host(state: &tempfile::TempDir) -> (Arc<HostControl>, Devices) {
        let clock = SystemClock::shared();
        let options = MountOptions::default();
        let config = MountConfig {
            name: "bk".to_owned(),
            source: Source::Memory,
            providers: Vec::new(),
            config_file: None,
            mount_point: "/mnt/bk".into(),
            options,
            runtime_dir: "/run/minirdr".into(),
            state_dir: state.path().join("bk"),
            rpc: crate::app::RpcOptions::default(),
        };
        let keeper = Keeper::start("bk".to_owned(), config.state_dir.clone(), clock.clone())
            .expect("room for a thread");
        let events = Arc::new(EventQueue::new(clock.clone()));
        let device = config.name.clone();
        let devices = Devices::make(Given {
            config: &config,
            clock: &clock,
            events: &events,
            publisher: Arc::new(Publisher { device, events: events.clone() }),
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
        let mounted = Mounted { device: "0:52".to_owned() };
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
