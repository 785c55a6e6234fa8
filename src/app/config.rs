//! What one host is started with.

use crate::app::namespace::NamespaceConfig;
use crate::app::namespace::ProviderConfig;
use crate::app::namespace::providers::SourceCheck;
use crate::app::notify::NotifyConfig;
use crate::app::options::MountOptions;
use crate::app::rpc::RpcOptions;
use crate::app::source::Source;
use crate::mgmt::authz::Policy;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Reads a configuration again while it is served, and looks at what its sources need of this
/// machine; never by asking the mount itself.
#[derive(Clone)]
pub struct ConfigReader {
    /// The file, read and checked; or one line that says what is wrong with it.
    pub read: Arc<dyn Fn() -> Result<NamespaceConfig, String> + Send + Sync>,
    /// Looks at one source.
    pub check: SourceCheck,
}

impl fmt::Debug for ConfigReader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ConfigReader")
    }
}

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
    /// Reads it again.
    pub reader: Option<ConfigReader>,
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
