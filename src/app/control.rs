//! The host as the management plane sees it: `Control`, over the device and the mount.

use crate::app::config::MountConfig;
use crate::app::unsent::keeper::Keeper;
use crate::app::unsent::replay::{self, Replay};
use crate::base::clock::Clock;
use crate::base::ids::{Caller, TicketNumber};
use crate::base::stop::{
    Answer, CallResult, Check, HandleInfo, Report, RequestInfo, State, StopOptions,
};
use crate::base::unsent::{UnsentEntry, UnsentOutcome};
use crate::mgmt::control::{Control, ControlError, WaitFor};
use crate::mgmt::proto::{MountStatus, RunningCall};
use crate::rdbss::device::Device;
use crate::rdbss::startstop::{CallError, Running};
use crate::rdbss::ticket::TicketState;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
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
    pub(in crate::app) clock: Arc<dyn Clock>,
    /// What has what did not reach the server.
    pub(in crate::app) keeper: Arc<Keeper>,
    pub(in crate::app) mounted: OnceLock<Mounted>,
    /// The kernel's connection has ended.
    pub(in crate::app) gone: AtomicBool,
    /// The mount is out of the namespace, by a stop of ours.
    pub(in crate::app) unmounted: AtomicBool,
    /// Defects of the front: panics in handlers, replaced workers.
    pub(in crate::app) front_defects: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl HostControl {
    /// A host whose mount is not up yet.
    #[must_use]
    pub fn new(
        config: MountConfig,
        device: Arc<Device>,
        clock: Arc<dyn Clock>,
        keeper: Arc<Keeper>,
    ) -> Self {
        Self {
            config,
            device,
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
        MountStatus {
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
        }
    }

    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool) {
        self.device.visit_handles(visit);
    }

    fn requests(&self) -> Vec<RequestInfo> {
        self.device.requests()
    }

    fn check(&self) -> Check {
        self.device.check()
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
        Ok(self.device.pause()?)
    }

    fn resume(&self, _: Caller) -> Result<CallResult, ControlError> {
        Ok(self.device.resume()?)
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
        let (device, keeper, clock) = (&self.device, &*self.keeper, &self.clock);
        let replay = Replay { device, keeper, clock, caller: asked_by, force };
        replay.run(go_on).map_err(ControlError::Refused)
    }

    fn discard(&self) -> Result<Vec<UnsentOutcome>, ControlError> {
        replay::discard(&self.keeper).map_err(ControlError::Refused)
    }
}
