//! Mounting without help: the kernel's mount interface of Linux 5.2, by which a file system is made
//! and shaken hands with before anybody can see it, and then put in its place in one step.
//!
//! So a mount that fails half-way leaves nothing behind, and one that succeeds answers at once.

use crate::base::limits::WRITE_BYTES_MAX;
use crate::front::error::FrontError;
use crate::front::options::{MountConfig, MountFlags};
use crate::front::transport::{device, mountinfo};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The mount's type is `fuse.` and this.
pub const SUBTYPE: &str = "minirdr";

/// A mount point, held so that nobody can exchange it, and looked at without asking its file
/// system.
pub struct Target {
    file: OwnedFd,
    /// Its path, absolute and without links.
    pub path: PathBuf,
}

impl Target {
    /// Finds a mount point and sees that it is free.
    ///
    /// # Errors
    /// It is missing, not a directory, not reachable, or a FUSE file system is mounted there.
    pub fn find(path: &Path) -> Result<Self, FrontError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => FrontError::MountPointMissing(path.to_owned()),
            Errno::NOTDIR => FrontError::MountPointNotDirectory(path.to_owned()),
            errno => FrontError::MountPoint { path: path.to_owned(), errno },
        })?;
        let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
            .unwrap_or_else(|_| path.to_owned());
        let target = Self { file, path: real };
        match target.occupant() {
            Some(entry) if entry.is_fuse() => Err(FrontError::MountPointInUse {
                path: target.path,
                source_name: entry.source.to_string_lossy().into_owned(),
                kind: entry.kind,
            }),
            _ => Ok(target),
        }
    }

    /// What is mounted exactly here.
    fn occupant(&self) -> Option<mountinfo::MountEntry> {
        let id = device::mount_id(self.file.as_fd())?;
        let table = mountinfo::read().ok()?;
        table.into_iter().find(|entry| entry.id == id && entry.mount_point == self.path)
    }
}

/// A file system that is made and not mounted yet.
pub struct Unmounted {
    context: OwnedFd,
}

/// Why [`Unmounted::make`] did not.
pub enum MakeError {
    /// This process may not mount: the helper may.
    NotPermitted,
    /// It failed for good.
    Failed(FrontError),
}

impl Unmounted {
    /// Makes the file system of a connection. The kernel sends INIT now.
    ///
    /// # Errors
    /// [`MakeError`].
    pub fn make(device: BorrowedFd<'_>, config: &MountConfig) -> Result<Self, MakeError> {
        let context = match fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC) {
            Ok(context) => context,
            // ENOSYS: an old kernel or a strict container; mount(2) by the helper may still do.
            Err(Errno::PERM | Errno::NOSYS) => return Err(MakeError::NotPermitted),
            Err(Errno::NODEV) => return Err(MakeError::Failed(FrontError::NoFuse)),
            Err(errno) => {
                let reason = format!("fsopen: {errno}");
                return Err(MakeError::Failed(failed(&config.mount_point, reason)));
            }
        };
        let made = Self { context };
        match made.configure(device, config) {
            Ok(()) => Ok(made),
            Err(Errno::PERM) => Err(MakeError::NotPermitted),
            Err(errno) => {
                let reason = made.explain(errno);
                Err(MakeError::Failed(failed(&config.mount_point, reason)))
            }
        }
    }

    fn configure(&self, device: BorrowedFd<'_>, config: &MountConfig) -> Result<(), Errno> {
        let context = self.context.as_fd();
        let flags = config.flags;
        fsconfig_set_string(context, "source", config.source.as_os_str())?;
        fsconfig_set_string(context, "subtype", SUBTYPE)?;
        for (key, value) in [
            ("fd", device.as_raw_fd().to_string()),
            ("rootmode", "40000".to_owned()),
            ("user_id", rustix::process::geteuid().as_raw().to_string()),
            ("group_id", rustix::process::getegid().as_raw().to_string()),
            ("max_read", WRITE_BYTES_MAX.to_string()),
        ] {
            fsconfig_set_string(context, key, value)?;
        }
        for (key, wanted) in [
            ("allow_other", flags.allow_other),
            ("default_permissions", flags.default_permissions),
            ("ro", flags.read_only),
            ("sync", flags.synchronous),
            ("dirsync", flags.directory_synchronous),
        ] {
            if wanted {
                fsconfig_set_flag(context, key)?;
            }
        }
        fsconfig_create(context)
    }

    /// Puts it where it belongs. Returns the mount's number.
    ///
    /// # Errors
    /// [`FrontError::Mount`]; nothing is mounted then.
    pub fn attach(self, target: &Target, flags: MountFlags) -> Result<Option<u64>, FrontError> {
        let attributes = attributes(flags);
        let mount = fsmount(self.context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|errno| failed(&target.path, self.explain(errno)))?;
        let id = device::mount_id(mount.as_fd());
        let empty =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(mount.as_fd(), "", target.file.as_fd(), "", empty)
            .map_err(|errno| failed(&target.path, errno.to_string()))?;
        Ok(id)
    }

    /// The error with what the kernel wrote into the context's log.
    fn explain(&self, errno: Errno) -> String {
        let mut line = [0; 256];
        match rustix::io::read(self.context.as_fd(), &mut line[..]) {
            Ok(length) => {
                let words = String::from_utf8_lossy(&line[..length]);
                let words = words.trim_start_matches(['e', 'w', 'i', ' ']).trim();
                format!("{words} ({errno})")
            }
            Err(_) => errno.to_string(),
        }
    }
}

fn failed(path: &Path, reason: String) -> FrontError {
    FrontError::Mount { path: path.to_owned(), reason }
}

fn attributes(flags: MountFlags) -> MountAttrFlags {
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, !flags.set_id);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, !flags.devices);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, flags.no_execute);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOATIME, flags.no_access_times);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, flags.no_symlinks);
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, flags.read_only);
    attributes
}
