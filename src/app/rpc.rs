//! Remote management as a mount's administrator asked for it: opened before anything is mounted, so
//! that a bad endpoint leaves nothing behind, and taken down before the control socket. When it was
//! stopped meanwhile, it can be told to listen again.

use crate::app::config::MountConfig;
use crate::app::control::HostControl;
use crate::app::error::AppError;
use crate::app::signals;
use crate::base::clock::Clock;
use crate::base::limits::{RPC_ENDPOINTS_MAX, RPC_NETWORKS_MAX};
use crate::base::stop::{StopMode, StopOptions};
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::mgmt::authz::{Policy, RpcPolicy};
use crate::mgmt::dce::binding::{Binding, Listener};
use crate::mgmt::dce::server::DceServer;
use crate::mgmt::dce::service::{ManagementService, StopsMount};
use crate::mgmt::network::Network;
use crate::mgmt::proto::{RpcPhase, RpcState};
use crate::mgmt::rpc::machine::Phase;
use crate::mgmt::rpc::runtime::RpcServer;
use crate::mgmt::rpc::status::RpcStatus;
use std::sync::{Arc, Weak};

/// What a remote `stop_server_listening` stops, where it is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RpcStop {
    /// The listening of remote management.
    #[default]
    Server,
    /// That, and the mount.
    Mount,
}

/// `--rpc` and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcOptions {
    /// Where; nowhere: there is none.
    pub bindings: Vec<Binding>,
    /// What a stop stops.
    pub stop: RpcStop,
    /// From where it may be asked for over a network.
    pub may_stop: Vec<Network>,
}

impl RpcOptions {
    /// Are there not too many of them?
    ///
    /// # Errors
    /// The one line that says so.
    pub fn check(&self) -> Result<(), String> {
        if self.bindings.len() > RPC_ENDPOINTS_MAX {
            return Err(format!("--rpc: at most {RPC_ENDPOINTS_MAX} endpoints"));
        }
        if self.may_stop.len() > RPC_NETWORKS_MAX {
            return Err(format!("--rpc-allow-stop: at most {RPC_NETWORKS_MAX} networks"));
        }
        Ok(())
    }
}

impl RpcOptions {
    /// The words that ask for the same again.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> =
            self.bindings.iter().flat_map(|at| ["--rpc".to_owned(), at.to_string()]).collect();
        if !words.is_empty() && self.stop == RpcStop::Mount {
            words.push("--rpc-stop=mount".to_owned());
        }
        if !self.may_stop.is_empty() {
            let networks: Vec<String> = self.may_stop.iter().map(Network::to_string).collect();
            words.push(format!("--rpc-allow-stop={}", networks.join(",")));
        }
        words
    }
}

/// Endpoints that are open and not served yet.
pub(in crate::app) struct Opened(Vec<Listener>);

/// Opens the endpoints.
pub(in crate::app) fn open(options: &RpcOptions) -> Result<Opened, AppError> {
    let opened = options.bindings.iter().map(Binding::open).collect::<Result<_, _>>();
    opened.map(Opened).map_err(|error| AppError::caused(&error))
}

/// Remote management of a running host: listens when the mount is up, and again when it is told to
/// after it was stopped.
pub(in crate::app) struct Remote {
    rpc: Arc<RpcServer>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    /// Weak: it holds this.
    control: Weak<HostControl>,
    options: RpcOptions,
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Default)]
struct Slot {
    /// The last one that listened. It listens once.
    server: Option<DceServer>,
    /// Somebody makes the next one.
    busy: bool,
    closed: bool,
}

impl Remote {
    /// One that does not listen yet.
    pub(in crate::app) fn new(
        rpc: Arc<RpcServer>,
        policy: Policy,
        control: &Arc<HostControl>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let options = control.config.rpc.clone();
        let (slot, changed) = (Mutex::new(Rank::Host, Slot::default()), Condvar::new());
        Self { rpc, policy, clock, control: Arc::downgrade(control), options, slot, changed }
    }

    /// Listens on what was opened; nothing where there is none.
    pub(in crate::app) fn serve(&self, opened: Opened) -> Result<(), AppError> {
        if opened.0.is_empty() {
            return Ok(());
        }
        let server = self.start(opened)?;
        self.slot.lock().server = Some(server);
        Ok(())
    }

    fn start(&self, opened: Opened) -> Result<DceServer, AppError> {
        let gone = || AppError::failed("remote management: the mount is going away".to_owned());
        let control = self.control.upgrade().ok_or_else(gone)?;
        let policy = RpcPolicy { base: self.policy, may_stop: self.options.may_stop.clone() };
        let stops_mount = (self.options.stop == RpcStop::Mount)
            .then(|| StopsMount { options: stop_options(&control), control: control.clone() });
        let service = ManagementService::new(self.rpc.clone(), policy, stops_mount);
        let server = DceServer::start(opened.0, service, self.clock.clone())
            .map_err(|error| AppError::failed(format!("remote management: {error}")))?;
        announce(&control.config, &server);
        Ok(server)
    }

    /// Listens again, on the same endpoints: 0; 1713 when it does still, or calls of before run;
    /// 1714 when there was none.
    ///
    /// # Errors
    /// In one line, why not; nothing listens then.
    pub(in crate::app) fn listen(&self) -> Result<RpcStatus, String> {
        if self.options.bindings.is_empty() {
            return Ok(RpcStatus::NoEndpoints);
        }
        let before = {
            let mut slot = self.slot.lock();
            if slot.closed {
                return Err("the mount is going away".to_owned());
            }
            if slot.busy || self.rpc.phase() != Phase::NotListening {
                return Ok(RpcStatus::AlreadyListening);
            }
            slot.busy = true;
            slot.server.take()
        };
        // Its sockets are to be given back before they are opened again.
        before.into_iter().for_each(DceServer::stop);
        let made = open(&self.options).and_then(|opened| self.start(opened));
        let mut slot = self.slot.lock();
        slot.busy = false;
        let outcome = match made {
            Ok(server) => {
                slot.server = Some(server);
                Ok(RpcStatus::Ok)
            }
            Err(error) => Err(error.to_string()),
        };
        drop(slot);
        self.changed.notify_all();
        outcome
    }

    /// Stops the listening, and takes everything down.
    pub(in crate::app) fn stop(&self) {
        let server = {
            let mut slot = self.slot.lock();
            slot.closed = true;
            while slot.busy {
                self.changed.wait(&mut slot);
            }
            slot.server.take()
        };
        server.into_iter().for_each(DceServer::stop);
    }

    /// As `status` shows it; none: it was not asked for.
    pub(in crate::app) fn state(&self) -> Option<RpcState> {
        if self.options.bindings.is_empty() {
            return None;
        }
        let connections = self.slot.lock().server.as_ref().map_or(0, DceServer::connections);
        let counts = self.rpc.counts();
        Some(RpcState {
            phase: match self.rpc.phase() {
                Phase::NotListening => RpcPhase::NotListening,
                Phase::Listening => RpcPhase::Listening,
                Phase::Draining => RpcPhase::Draining,
            },
            endpoints: self.options.bindings.iter().map(Binding::to_string).collect(),
            may_stop: self.options.may_stop.iter().map(Network::to_string).collect(),
            stops_mount: self.options.stop == RpcStop::Mount,
            connections: connections as u64,
            calls_total: counts.begun,
            calls_running: counts.begun - counts.ended,
            calls_refused_total: counts.refused,
        })
    }
}

/// The stop of the mount: with its own grace and deadline; it stays mounted.
fn stop_options(control: &HostControl) -> StopOptions {
    StopOptions {
        unmount: false,
        lazy: false,
        // The daemon stays: unlike after a signal, it can go back to serving.
        on_deadline: control.config.options.stop_on_deadline,
        ..signals::stop_options(control, StopMode::Drain, "")
    }
}

fn announce(config: &MountConfig, server: &DceServer) {
    for binding in server.bindings() {
        log::info!("{}: remote management listens on {binding}", config.name);
        if let Binding::Tcp(address) = binding
            && !address.ip().is_loopback()
        {
            log::warn!("{address} is open to the network: whoever reaches it may inquire");
        }
    }
    for network in &config.rpc.may_stop {
        log::warn!("stop_server_listening is allowed from {network}, without authentication");
    }
}
