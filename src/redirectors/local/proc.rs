//! `/proc/self/fd`: how an `O_PATH` descriptor is used where the system wants more than that.
//!
//! A magic link there leads to the very inode the descriptor holds, whatever its name is by now,
//! and for a symlink to the symlink itself. So nothing is resolved twice and nothing can be
//! swapped.

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, PROC_SUPER_MAGIC};
use rustix::io::Errno;
use rustix::path::DecInt;

/// The open directory `/proc/self/fd` of this process.
#[derive(Debug)]
pub(super) struct ProcFds {
    directory: OwnedFd,
}

impl ProcFds {
    /// Opens it; `ENOENT` or `ENOSYS` where `/proc` is missing or is no procfs.
    pub(super) fn open() -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::openat(CWD, "/proc/self/fd", flags, Mode::empty())?;
        if fs::fstatfs(&directory)?.f_type != PROC_SUPER_MAGIC {
            return Err(Errno::NOSYS);
        }
        Ok(Self { directory })
    }

    /// Opens a file for I/O. The caller knows that it is no device or pipe.
    pub(super) fn open_for_io(&self, file: impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        fs::openat(&self.directory, DecInt::from_fd(file), flags, Mode::empty())
    }

    /// `chmod`; `EOPNOTSUPP` for a symlink.
    pub(super) fn chmod(&self, file: impl AsFd, permissions: u16) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(u32::from(permissions));
        fs::chmodat(&self.directory, DecInt::from_fd(file), mode, AtFlags::empty())
    }

    /// `link`: gives the file one more name.
    pub(super) fn link(
        &self,
        file: impl AsFd,
        parent: impl AsFd,
        name: &[u8],
    ) -> Result<(), Errno> {
        let number = DecInt::from_fd(file);
        fs::linkat(&self.directory, number, parent, name, AtFlags::SYMLINK_FOLLOW)
    }

    /// A path for the calls that take nothing else: the extended attributes'.
    pub(super) fn path(file: impl AsFd) -> String {
        format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
    }
}
