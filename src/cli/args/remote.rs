//! The words of `minirdr mount` about remote management, and of `minirdr rpc`.

use crate::app::{RpcOptions, RpcStop};
use crate::cli::args::JsonArgs;
use crate::cli::exit::Trouble;
use crate::mgmt::dce::binding::Binding;
use crate::mgmt::network::Network;
use clap::Args;
use std::ffi::OsString;

/// What `--rpc-stop` may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RpcStops {
    /// Remote management listens no more; the mount goes on.
    #[default]
    Server,
    /// The mount is stopped as well.
    Mount,
}

/// `minirdr mount --rpc`.
#[derive(Clone, Debug, Default, Args)]
pub struct RpcArgs {
    /// Offer DCE/RPC remote management on ncacn_ip_tcp:ADDRESS[PORT] or ncalrpc:[/DIRECTORY/NAME]
    #[arg(long = "rpc", value_name = "ENDPOINT")]
    pub endpoints: Vec<Binding>,
    /// What an allowed stop_server_listening stops
    #[arg(
        long = "rpc-stop",
        value_name = "WHAT",
        value_enum,
        default_value = "server",
        hide_default_value = true,
        requires = "endpoints"
    )]
    pub stop: RpcStops,
    /// Allow stop_server_listening from these addresses and networks, without authentication
    #[arg(
        long = "rpc-allow-stop",
        value_name = "NETWORK,…",
        value_delimiter = ',',
        requires = "endpoints"
    )]
    pub allow_stop: Vec<Network>,
}

impl RpcArgs {
    /// What the host is started with.
    ///
    /// # Errors
    /// Usage: too many of something.
    pub fn options(&self) -> Result<RpcOptions, Trouble> {
        let stop = match self.stop {
            RpcStops::Server => RpcStop::Server,
            RpcStops::Mount => RpcStop::Mount,
        };
        let (bindings, may_stop) = (self.endpoints.clone(), self.allow_stop.clone());
        let options = RpcOptions { bindings, stop, may_stop };
        options.check().map_err(Trouble::usage)?;
        Ok(options)
    }
}

/// What `minirdr rpc` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RpcAction {
    /// Listen again, on the endpoints of the mount's --rpc.
    Listen,
    /// Take no new call; what runs finishes. The mount goes on.
    Stop,
    /// Tell whether it listens, where, and how many calls there were.
    Status,
}

impl RpcAction {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Stop => "stop",
            Self::Status => "status",
        }
    }
}

/// `minirdr rpc`.
#[derive(Clone, Debug, Args)]
pub struct RpcVerbArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// What to do
    #[arg(value_name = "ACTION", value_enum)]
    pub action: RpcAction,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}
