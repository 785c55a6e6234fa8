//! What a mount is started with.

use crate::base::clock::{Clock, SystemClock};
use crate::base::limits::{FUSE_THREADS, LEASE_LIFETIME};
use crate::rdbss::operation::operand::Attributes;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How requests are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontOptions {
    /// How long the kernel may use a name without asking again.
    pub entry_timeout: Duration,
    /// How long it may use attributes without asking again.
    pub attribute_timeout: Duration,
    /// How long it may remember that a name does not exist; zero: not at all.
    pub negative_timeout: Duration,
    /// How long it may use any of these where the server says what others change, if that is
    /// longer.
    pub lease_timeout: Duration,
    /// Name of the hidden control directory at the root; `None`: there is none.
    pub control_name: Option<OsString>,
    /// A group whose members may open its file `control`.
    pub control_group: Option<u32>,
    /// POSIX access control lists (the server must keep them).
    pub posix_acl: bool,
    /// `fcntl` locks are the server's; by default the kernel keeps them for this machine.
    pub posix_locks: bool,
    /// `flock` locks are the server's. fuser cannot tell them from `fcntl` locks (fuse.md 1.8):
    /// they come as locks of the whole file by another owner.
    pub flock: bool,
}

impl Default for FrontOptions {
    fn default() -> Self {
        Self {
            entry_timeout: Duration::from_secs(1),
            attribute_timeout: Duration::from_secs(1),
            negative_timeout: Duration::ZERO,
            lease_timeout: LEASE_LIFETIME,
            control_name: Some(OsString::from(".minirdr")),
            control_group: None,
            posix_acl: false,
            posix_locks: false,
            flock: false,
        }
    }
}

impl FrontOptions {
    /// How long attributes may be used.
    #[must_use]
    pub fn attribute_lifetime(&self, attributes: &Attributes) -> Duration {
        self.at_least(self.attribute_timeout, attributes.leased)
    }

    /// How long a name may be used that led to something with these attributes.
    #[must_use]
    pub fn entry_lifetime(&self, attributes: &Attributes) -> Duration {
        self.at_least(self.entry_timeout, attributes.leased)
    }

    /// How long it may be remembered that there is no such name.
    #[must_use]
    pub fn negative_lifetime(&self, leased: bool) -> Duration {
        self.at_least(self.negative_timeout, leased)
    }

    fn at_least(&self, timeout: Duration, leased: bool) -> Duration {
        if leased { timeout.max(self.lease_timeout) } else { timeout }
    }
}

/// Mount flags, as `mount -o` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountFlags {
    /// `ro`.
    pub read_only: bool,
    /// `allow_other`: other users may come in.
    pub allow_other: bool,
    /// `default_permissions`: the kernel checks permission bits.
    pub default_permissions: bool,
    /// `suid`; off unless asked for.
    pub set_id: bool,
    /// `dev`; off unless asked for.
    pub devices: bool,
    /// `noexec`.
    pub no_execute: bool,
    /// `noatime`.
    pub no_access_times: bool,
    /// `nosymfollow`.
    pub no_symlinks: bool,
    /// `sync`.
    pub synchronous: bool,
    /// `dirsync`.
    pub directory_synchronous: bool,
}

impl Default for MountFlags {
    fn default() -> Self {
        Self {
            read_only: false,
            allow_other: false,
            default_permissions: true,
            set_id: false,
            devices: false,
            no_symlinks: false,
            no_execute: false,
            no_access_times: false,
            synchronous: false,
            directory_synchronous: false,
        }
    }
}

/// Who makes the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mounter {
    /// We, if the kernel lets us; else the helper `fusermount3`.
    #[default]
    Automatic,
    /// `fusermount3`, whoever we are.
    Helper,
}

/// Everything about one mount.
#[derive(Clone, Debug)]
pub struct MountConfig {
    /// What `mount` shows as the source: `memory:`, `local:/srv/data`.
    pub source: OsString,
    /// Where; or `/dev/fd/N`, a descriptor of `/dev/fuse` somebody else has mounted already.
    pub mount_point: PathBuf,
    /// Mount flags.
    pub flags: MountFlags,
    /// How requests are answered.
    pub front: FrontOptions,
    /// Who mounts.
    pub mounter: Mounter,
    /// Threads that read requests; at least 2, because one may wait in the server (fuse.md 5.6).
    pub threads: usize,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl MountConfig {
    /// A mount with everything else at its default.
    #[must_use]
    pub fn new(source: impl Into<OsString>, mount_point: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            mount_point: mount_point.into(),
            flags: MountFlags::default(),
            front: FrontOptions::default(),
            mounter: Mounter::default(),
            threads: FUSE_THREADS,
            clock: SystemClock::shared(),
        }
    }
}
