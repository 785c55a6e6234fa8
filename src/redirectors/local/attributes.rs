//! Attributes and extended attributes.

use super::file::LocalFile;
use super::names::chown;
use super::node::{Node, node_of};
use super::open::LocalOpen;
use super::proc::ProcFds;
use super::tree::Tree;
use crate::base::status::{Errno as StatusErrno, Status};
use crate::mrx::request::{
    Attributes, FileKind, SetAttributes, SetExtendedAttributeMode, SetTime, VolumeInformation,
};
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, XattrFlags};
use rustix::io::Errno;
use std::sync::Arc;

/// Longest value, and longest list, of extended attributes that Linux allows.
const EXTENDED_ATTRIBUTES_MAX: usize = 65536;
/// Longer than nearly every value.
const EXTENDED_ATTRIBUTE_USUAL: usize = 256;
/// File capabilities: a kind of set-user-id.
const CAPABILITY: &str = "security.capability";

impl Tree {
    /// Changes what is asked for, in an order in which one change does not undo another: a change
    /// of owner clears set-id bits, and a change of size sets the modification time.
    pub(super) fn set_attributes(
        &self,
        file: &Arc<LocalFile>,
        open: Option<(&LocalOpen, bool)>,
        set: SetAttributes,
    ) -> Result<Attributes, Status> {
        let path = match open {
            Some(_) => None,
            None => Some(self.fd(file)?),
        };
        let fd = match (&open, &path) {
            (Some((open, _)), _) => open.fd.as_fd(),
            (None, Some(path)) => path.as_fd(),
            (None, None) => return Err(Status::InvalidHandle),
        };
        if set.kill_privileges {
            self.clear_privileges(fd)?;
            clear_capabilities(fd)?;
        }
        if let Some(size) = set.size {
            match open {
                Some((open, true)) => rustix::fs::ftruncate(&open.fd, size)?,
                _ => self.truncate(file, fd, size)?,
            }
        }
        if set.uid.is_some() || set.gid.is_some() {
            chown(fd, set.uid, set.gid)?;
        }
        if let Some(permissions) = set.permissions {
            self.proc.chmod(fd, permissions)?;
        }
        if set.accessed.is_some() || set.modified.is_some() {
            let times = Timestamps {
                last_access: timespec(set.accessed),
                last_modification: timespec(set.modified),
            };
            rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH)?;
        }
        Ok(self.leased(node_of(fd)?))
    }

    /// `truncate` of a file that is not open for writing.
    fn truncate(&self, file: &LocalFile, fd: BorrowedFd<'_>, size: u64) -> Result<(), Status> {
        match file.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(StatusErrno::EISDIR.into()),
            _ => return Err(Status::InvalidParameter),
        }
        let writable = self.with_room(|| self.proc.open_for_io(fd, OFlags::WRONLY))?;
        Ok(rustix::fs::ftruncate(writable, size)?)
    }

    /// Clears set-user-id, and set-group-id where the group may execute: what the kernel does
    /// before a change of content by anybody but the superuser, and therefore not for us.
    ///
    /// File capabilities need nothing before a change of content: the kernel drops them for
    /// everybody.
    pub(super) fn clear_privileges(&self, fd: impl AsFd) -> Result<(), Errno> {
        let Node { attributes, .. } = node_of(&fd)?;
        if attributes.kind != FileKind::Regular {
            return Ok(());
        }
        let permissions = attributes.permissions;
        let cleared = without_privileges(permissions);
        if cleared == permissions { Ok(()) } else { self.proc.chmod(fd, cleared) }
    }

    /// `statfs` of the root.
    pub(super) fn volume(&self) -> Result<VolumeInformation, Status> {
        let root = self.fd(&self.root)?;
        let volume = rustix::fs::fstatvfs(&root)?;
        Ok(VolumeInformation {
            blocks: volume.f_blocks,
            blocks_free: volume.f_bfree,
            blocks_available: volume.f_bavail,
            files: volume.f_files,
            files_free: volume.f_ffree,
            block_size: u32::try_from(volume.f_frsize).unwrap_or(u32::MAX),
            name_bytes_max: u32::try_from(volume.f_namemax).unwrap_or(u32::MAX),
        })
    }

    /// `getxattr`.
    pub(super) fn extended_attribute(
        &self,
        file: &Arc<LocalFile>,
        name: &[u8],
    ) -> Result<Vec<u8>, Status> {
        let fd = self.fd(file)?;
        let path = ProcFds::path(&fd);
        Ok(of_any_size(|value| rustix::fs::getxattr(&path, name, spare_capacity(value)))?)
    }

    /// `listxattr`. `trusted.` names are shown to the superuser only, as the kernel does it for
    /// local file systems and cannot for FUSE.
    pub(super) fn extended_attributes(
        &self,
        file: &Arc<LocalFile>,
        caller_is_superuser: bool,
    ) -> Result<Vec<u8>, Status> {
        let fd = self.fd(file)?;
        let path = ProcFds::path(&fd);
        let mut names = of_any_size(|names| rustix::fs::listxattr(&path, spare_capacity(names)))?;
        if !caller_is_superuser {
            let shown = names.split_inclusive(|&byte| byte == 0);
            names =
                shown.filter(|name| !name.starts_with(b"trusted.")).flatten().copied().collect();
        }
        Ok(names)
    }

    /// `setxattr`.
    pub(super) fn set_extended_attribute(
        &self,
        file: &Arc<LocalFile>,
        name: &[u8],
        value: &[u8],
        mode: SetExtendedAttributeMode,
    ) -> Result<(), Status> {
        let flags = match mode {
            SetExtendedAttributeMode::Any => XattrFlags::empty(),
            SetExtendedAttributeMode::Create => XattrFlags::CREATE,
            SetExtendedAttributeMode::Replace => XattrFlags::REPLACE,
        };
        let fd = self.fd(file)?;
        Ok(rustix::fs::setxattr(ProcFds::path(&fd), name, value, flags)?)
    }

    /// `removexattr`.
    pub(super) fn remove_extended_attribute(
        &self,
        file: &Arc<LocalFile>,
        name: &[u8],
    ) -> Result<(), Status> {
        let fd = self.fd(file)?;
        Ok(rustix::fs::removexattr(ProcFds::path(&fd), name)?)
    }
}

/// Calls with a buffer of the usual size, and if that is too small with one that cannot be.
fn of_any_size(
    mut call: impl FnMut(&mut Vec<u8>) -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    let mut buffer = Vec::with_capacity(EXTENDED_ATTRIBUTE_USUAL);
    match call(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer = Vec::with_capacity(EXTENDED_ATTRIBUTES_MAX);
            call(&mut buffer)?;
        }
        result => {
            result?;
        }
    }
    Ok(buffer)
}

fn clear_capabilities(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let path = ProcFds::path(fd);
    // Asked first: to remove what is not there is refused to everybody but the superuser.
    match rustix::fs::getxattr_query(&path, CAPABILITY) {
        Ok(_) => rustix::fs::removexattr(&path, CAPABILITY),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Permissions after a write by somebody without CAP_FSETID.
pub(super) const fn without_privileges(permissions: u16) -> u16 {
    let group_runs_it = permissions & 0o010 != 0;
    let gone = if group_runs_it { 0o6000 } else { 0o4000 };
    permissions & !gone
}

fn timespec(time: Option<SetTime>) -> Timespec {
    match time {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(SetTime::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(SetTime::At(at)) => {
            Timespec { tv_sec: at.seconds, tv_nsec: i64::from(at.nanoseconds) }
        }
    }
}
