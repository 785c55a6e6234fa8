//! What one host is started with.

use crate::app::namespace::ProviderConfig;
use crate::app::options::MountOptions;
use crate::app::rpc::RpcOptions;
use crate::app::source::Source;
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
    /// Where loss reports go.
    pub state_dir: PathBuf,
}
