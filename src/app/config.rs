//! What one host is started with.

use crate::app::namespace::ProviderConfig;
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
    /// What is mounted: [`Source::Namespace`] with providers, else a mini-redirector's.
    pub source: Source,
    /// The providers of a configuration; none for a plain mount.
    pub providers: Vec<ProviderConfig>,
    /// The file they come from, which SIGHUP reads again; absolute.
    pub config_file: Option<PathBuf>,
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
