//! What one host is started with.

use crate::app::notify::NotifyConfig;
use crate::app::options::MountOptions;
use crate::app::rpc::RpcOptions;
use crate::app::source::Source;
use crate::mgmt::authz::Policy;
use std::path::PathBuf;

/// What to mount, where, and how.
#[derive(Clone, Debug)]
pub struct MountConfig {
    /// The mount's name: of its socket, and of every command.
    pub name: String,
    /// What is mounted.
    pub source: Source,
    /// Where; absolute.
    pub mount_point: PathBuf,
    /// How.
    pub options: MountOptions,
    /// Where the control socket goes.
    pub runtime_dir: PathBuf,
    /// Remote management.
    pub rpc: RpcOptions,
    /// Who may do what, as the options say: the daemon's user, and the group they name.
    pub policy: Policy,
    /// The service manager to tell how it goes, if there is one.
    pub notify: Option<NotifyConfig>,
    /// Where loss reports go, and the record of this mount.
    pub state_dir: PathBuf,
}
