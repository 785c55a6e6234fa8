//! Why a directory cannot be served.

use crate::base::status::Status;
use rustix::io::Errno;
use std::path::PathBuf;

/// Why a directory cannot be served. The source says what the system said.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It cannot be opened.
    #[error("cannot open the directory {}", root.display())]
    Open {
        /// What was asked for.
        root: PathBuf,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// There is something, but no directory.
    #[error("{} is not a directory", root.display())]
    NotADirectory {
        /// What was asked for.
        root: PathBuf,
    },
    /// `openat2` is missing or forbidden: without it nothing could be confined to the root.
    #[error("this system does not allow openat2 (Linux 5.6 or later is needed)")]
    NoOpenat2 {
        /// What the system said.
        #[source]
        source: Errno,
    },
    /// `/proc` is not mounted: `O_PATH` descriptors could not be turned into open files.
    #[error("/proc/self/fd cannot be used: is /proc mounted?")]
    NoProc {
        /// What the system said.
        #[source]
        source: Errno,
    },
}

impl LocalError {
    /// The same for a calldown.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Open { source, .. } => (*source).into(),
            Self::NotADirectory { .. } => Errno::NOTDIR.into(),
            Self::NoOpenat2 { .. } | Self::NoProc { .. } => Status::NotSupported,
        }
    }
}
