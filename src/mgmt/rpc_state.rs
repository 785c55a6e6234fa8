//! Remote management, as the status has it.

use serde::{Deserialize, Serialize};

/// Is remote management there to be called?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RpcPhase {
    /// No: it was stopped.
    #[default]
    NotListening,
    /// Yes.
    Listening,
    /// Not any more, and calls run.
    Draining,
}

/// Remote management, as its administrator opened it and as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcState {
    /// Does it listen?
    pub phase: RpcPhase,
    /// Where.
    pub endpoints: Vec<String>,
    /// From which networks it may be stopped.
    pub may_stop: Vec<String>,
    /// Does that stop the mount as well?
    pub stops_mount: bool,
    /// Connections now.
    pub connections: u64,
    /// Calls begun since the mount, on all interfaces: the control socket's are among them.
    pub calls_total: u64,
    /// Of these, calls that run now.
    pub calls_running: u64,
    /// Calls that were refused: nobody listened, or too many ran.
    pub calls_refused_total: u64,
}
