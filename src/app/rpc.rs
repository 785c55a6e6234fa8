//! Remote management as a mount's administrator asked for it: opened before anything is mounted, so
//! that a bad endpoint leaves nothing behind, and taken down before the control socket.

use crate::app::config::MountConfig;
use crate::app::control::HostControl;
use crate::app::error::AppError;
use crate::app::signals;
use crate::base::clock::Clock;
use crate::base::limits::{RPC_ENDPOINTS_MAX, RPC_NETWORKS_MAX};
use crate::base::stop::{StopMode, StopOptions};
use crate::mgmt::authz::{Policy, RpcPolicy};
use crate::mgmt::dce::binding::{Binding, Listener};
use crate::mgmt::dce::server::DceServer;
use crate::mgmt::dce::service::{ManagementService, StopsMount};
use crate::mgmt::network::Network;
use crate::mgmt::rpc::runtime::RpcServer;
use std::sync::Arc;

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

/// Endpoints that are open and not served yet.
pub(in crate::app) struct Opened(Vec<Listener>);

/// Opens the endpoints.
pub(in crate::app) fn open(options: &RpcOptions) -> Result<Opened, AppError> {
    let opened = options.bindings.iter().map(Binding::open).collect::<Result<_, _>>();
    opened.map(Opened).map_err(|error| AppError::caused(&error))
}

impl Opened {
    /// Serves them through `rpc`; nothing where there is none.
    pub(in crate::app) fn start(
        self,
        rpc: &Arc<RpcServer>,
        control: &Arc<HostControl>,
        policy: Policy,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<DceServer>, AppError> {
        let options = &control.config.rpc;
        if self.0.is_empty() {
            return Ok(None);
        }
        let policy = RpcPolicy { base: policy, may_stop: options.may_stop.clone() };
        let stops_mount = (options.stop == RpcStop::Mount)
            .then(|| StopsMount { control: control.clone(), options: stop_options(control) });
        let service = ManagementService::new(rpc.clone(), policy, stops_mount);
        let server = DceServer::start(self.0, service, clock.clone())
            .map_err(|error| AppError::failed(format!("remote management: {error}")))?;
        announce(&control.config, &server);
        Ok(Some(server))
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
