//! Why a mount could not be made or kept: one clear line each, saying what to do about it.

use rustix::io::Errno;
use std::path::PathBuf;

/// What the front can fail with.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// `/dev/fuse` cannot be opened.
    #[error("cannot open /dev/fuse: {0}; {cure}", cure = device_cure(*.0))]
    NoDevice(Errno),
    /// The kernel knows no FUSE.
    #[error("this kernel has no FUSE: load the fuse module (modprobe fuse)")]
    NoFuse,
    /// No such mount point.
    #[error("mount point {} does not exist", .0.display())]
    MountPointMissing(PathBuf),
    /// The mount point is something else.
    #[error("mount point {} is not a directory", .0.display())]
    MountPointNotDirectory(PathBuf),
    /// The mount point cannot be reached.
    #[error("cannot reach mount point {}: {errno}", path.display())]
    MountPoint {
        /// Where.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// A FUSE file system is mounted there already, dead or alive.
    #[error("mount point {} is in use: {source_name} ({kind}) is mounted there", path.display())]
    MountPointInUse {
        /// Where.
        path: PathBuf,
        /// What.
        source_name: String,
        /// Of which type.
        kind: String,
    },
    /// A step of mounting failed.
    #[error("cannot mount on {}: {reason}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Which step, and why.
        reason: String,
    },
    /// The helper for users other than root is not there.
    #[error("mounting needs root or the program fusermount3: install the package fuse3")]
    HelperMissing,
    /// The helper would not do it; in its own words.
    #[error("cannot mount on {}: {words}", path.display())]
    Helper {
        /// Where.
        path: PathBuf,
        /// Why.
        words: String,
    },
    /// `/dev/fd/N` names no descriptor of ours.
    #[error("{} is no open descriptor of this process", .0.display())]
    NotADescriptor(PathBuf),
    /// INIT failed.
    #[error("the kernel and we cannot agree on a connection: {0}")]
    Handshake(String),
    /// No thread, no descriptor, no memory.
    #[error("cannot start serving: {0}")]
    Start(std::io::Error),
    /// The live descriptor could not be taken away; the mount is served as before.
    #[error("cannot detach from the connection: {0}")]
    Detach(String),
}

impl FrontError {
    /// Was it for lack of permission? (cli.md: exit code 5.)
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::NoDevice(errno) | Self::MountPoint { errno, .. } => {
                matches!(*errno, Errno::ACCESS | Errno::PERM)
            }
            // fusermount3 speaks English to a child of ours: its locale is C.
            Self::Helper { words, .. } => {
                ["ermission denied", "not permitted", "no write access", "only allowed if"]
                    .iter()
                    .any(|refusal| words.contains(refusal))
            }
            _ => false,
        }
    }
}

fn device_cure(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => {
            "load the fuse module (modprobe fuse), or give the container the device \
             (--device /dev/fuse)"
        }
        Errno::ACCESS | Errno::PERM => {
            "ask for read and write access to it, or run in a container that has the device"
        }
        _ => "see dmesg",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_to_do_in_one_line() {
        let errors = [
            FrontError::NoDevice(Errno::NOENT),
            FrontError::NoDevice(Errno::ACCESS),
            FrontError::HelperMissing,
            FrontError::MountPointMissing("/mnt/a".into()),
        ];
        for error in errors {
            let line = error.to_string();
            assert!(!line.contains('\n') && line.len() < 200, "{line}");
        }
        let line = FrontError::NoDevice(Errno::NOENT).to_string();
        assert!(line.contains("No such file") && line.contains("modprobe fuse"), "{line}");
        assert!(FrontError::NoDevice(Errno::ACCESS).is_permission());
        for words in [
            "fusermount3: failed to open /dev/fuse: Permission denied",
            "fusermount3: user has no write access to mountpoint /mnt",
            "fusermount3: option allow_other only allowed if 'user_allow_other' is set",
        ] {
            let error = FrontError::Helper { path: "/mnt".into(), words: words.into() };
            assert!(error.is_permission(), "{error}");
        }
    }
}
