//! Ending a connection by force: the last resort, through fusectl.
//!
//! The kernel offers one file a connection, `N/abort`, in the file system fusectl. Where nobody has
//! mounted it, root makes an instance of its own that appears nowhere in the namespace.

use rustix::fs::{Mode, OFlags};
use rustix::io::{self, Errno};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

/// Where distributions mount it.
const DIRECTORY: &str = "/sys/fs/fuse/connections";

/// Ends a connection. Whoever waits in it gets ECONNABORTED.
///
/// # Errors
/// ENOENT: it has ended; EPERM: fusectl is not mounted and we may not.
pub fn abort(connection: u32) -> io::Result<()> {
    let path = format!("{connection}/abort");
    if fs::write(format!("{DIRECTORY}/{path}"), "1").is_ok() {
        return Ok(());
    }
    let control = private_instance()?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(control.as_fd(), path.as_str(), flags, Mode::empty())?;
    rustix::io::write(file, b"1").map(drop)
}

fn private_instance() -> io::Result<OwnedFd> {
    let context = fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| match errno {
        // Too old a kernel: as good as not permitted.
        Errno::NOSYS => Errno::PERM,
        errno => errno,
    })?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}
