//! Making, linking, removing and moving names.

use super::file::LocalFile;
use super::node::{Node, decode_device, node_of, type_of};
use super::proc::ProcFds;
use super::tree::{Tree, beneath};
use crate::base::name::Name;
use crate::base::status::Status;
use crate::mrx::request::{
    Attributes, FileKind, Found, NewNode, OpenOptions, Ownership, RenameMode,
};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use std::sync::Arc;

/// Permissions a new file is made with: set-id bits come last, when it belongs to the caller.
const MADE_WITH: u16 = 0o1777;
const SET_USER_ID: u16 = 0o4000;
const SET_GROUP_ID: u16 = 0o2000;
/// A new inode's times of birth and of change are this near to each other, in nanoseconds, on file
/// systems that keep them as coarsely as FAT too.
const FRESH: u64 = 5_000_000_000;

impl Tree {
    /// `mkdir`, `symlink`, `mknod`.
    pub(super) fn make_node(
        &self,
        parent: &Arc<LocalFile>,
        name: &Name,
        node: &NewNode,
        owner: Ownership,
    ) -> Result<Found, Status> {
        let directory = self.fd(parent)?;
        let owner = after_umask(owner, &directory);
        let mode = Mode::from_raw_mode(u32::from(owner.permissions & MADE_WITH));
        let kind = match node {
            NewNode::Directory => {
                rustix::fs::mkdirat(&directory, name.as_os(), mode)?;
                FileKind::Directory
            }
            NewNode::Symlink(target) => {
                rustix::fs::symlinkat(target.as_slice(), &directory, name.as_os())?;
                FileKind::Symlink
            }
            NewNode::Special(FileKind::Directory | FileKind::Symlink, _) => {
                return Err(Status::InvalidParameter);
            }
            NewNode::Special(kind, device) => {
                let (major, minor) = decode_device(*device);
                let device = rustix::fs::makedev(major, minor);
                rustix::fs::mknodat(&directory, name.as_os(), type_of(*kind), mode, device)?;
                *kind
            }
        };
        let seen = self.open_path(&directory, name).and_then(|fd| Ok((node_of(&fd)?, fd)));
        let (made, fd) = seen.map_err(|errno| self.undo(&directory, name, kind, errno.into()))?;
        if made.attributes.kind != kind || !is_fresh(&made) {
            // Swapped by somebody with the right to write there: it is not ours to give away.
            return Err(Status::FileInvalid);
        }
        let made = self
            .settle(fd.as_fd(), made, &directory, owner)
            .map_err(|status| self.undo(&directory, name, kind, status))?;
        let file = self.adopt(parent, name, &made);
        if kind == FileKind::Directory {
            self.registry.fds.admit(&file, fd);
        }
        Ok(self.found(file, &made))
    }

    /// Makes a regular file and opens it.
    pub(super) fn create(
        &self,
        parent: &Arc<LocalFile>,
        name: &Name,
        owner: Ownership,
        options: OpenOptions,
    ) -> Result<(Found, OwnedFd), Status> {
        let directory = self.fd(parent)?;
        let flags = super::open::flags(options)
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let owner = after_umask(owner, &directory);
        let mode = Mode::from_raw_mode(u32::from(owner.permissions & MADE_WITH));
        let open = || rustix::fs::openat2(&directory, name.as_os(), flags, mode, beneath());
        let fd = self.with_room(open)?;
        let made = node_of(&fd)
            .map_err(Status::from)
            .and_then(|made| self.settle(fd.as_fd(), made, &directory, owner))
            .map_err(|status| self.undo(&directory, name, FileKind::Regular, status))?;
        Ok((self.found(self.adopt(parent, name, &made), &made), fd))
    }

    /// Gives what was just made to the caller with the permissions asked for, and says what it is
    /// then. Nothing is called if everything is right already.
    ///
    /// The order leaves no window: it was made without set-id bits, gets its owner, then the bits;
    /// and never gets the set-id bit of an owner it could not be given.
    fn settle(
        &self,
        fd: BorrowedFd<'_>,
        made: Node,
        directory: &OwnedFd,
        owner: Ownership,
    ) -> Result<Node, Status> {
        let is = made.attributes;
        let uid = (is.uid != owner.uid).then_some(owner.uid);
        // A group that is not ours was inherited from the directory, and stays.
        let inherits = is.gid != self.own_gid || is.gid == owner.gid || is_set_group_id(directory)?;
        let gid = (!inherits).then_some(owner.gid);
        let wanted = wanted_permissions(&is, directory, owner);
        if uid.is_none() && gid.is_none() && wanted == is.permissions {
            return Ok(made);
        }
        let given = self.give(fd, uid, gid)?;
        let wanted = if given { wanted } else { wanted & !identity_bits(uid, gid) };
        if is.kind != FileKind::Symlink && wanted != is.permissions {
            self.proc.chmod(fd, wanted)?;
        }
        Ok(node_of(fd)?)
    }

    /// Changes owner and group. False if we are not allowed to, being no superuser: what a user's
    /// own mount makes for others stays that user's.
    fn give(&self, fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<bool, Errno> {
        if uid.is_none() && gid.is_none() {
            return Ok(true);
        }
        match chown(fd, uid, gid) {
            Err(Errno::PERM) if self.own_uid != 0 => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Takes back a name whose file could not be finished.
    fn undo(&self, directory: &OwnedFd, name: &Name, kind: FileKind, status: Status) -> Status {
        let flags = if kind == FileKind::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        if let Err(errno) = rustix::fs::unlinkat(directory, name.as_os(), flags) {
            log::warn!("{name} could not be finished ({status}) nor removed: {errno}");
        }
        status
    }

    /// `link`.
    pub(super) fn link(
        &self,
        file: &Arc<LocalFile>,
        parent: &Arc<LocalFile>,
        name: &Name,
    ) -> Result<Attributes, Status> {
        let fd = self.fd(file)?;
        let directory = self.fd(parent)?;
        self.proc.link(&fd, &directory, name.as_bytes())?;
        // By its new name from now on: who links is mostly about to remove the old one (git does so
        // with every object it writes), and without a name it would keep its descriptor.
        self.relocate(file, parent, name);
        Ok(self.leased(node_of(&fd)?))
    }

    /// `readlink`.
    pub(super) fn read_link(&self, link: &Arc<LocalFile>) -> Result<Vec<u8>, Status> {
        if link.kind != FileKind::Symlink {
            // Of a descriptor without a path the system would say ENOENT.
            return Err(Errno::INVAL.into());
        }
        let fd = self.fd(link)?;
        Ok(rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes())
    }

    /// `unlink`, or `rmdir` with `REMOVEDIR`.
    pub(super) fn remove(
        &self,
        parent: &Arc<LocalFile>,
        name: &Name,
        flags: AtFlags,
    ) -> Result<(), Status> {
        let directory = self.fd(parent)?;
        let removed = self.hold_at(&directory, parent, name);
        rustix::fs::unlinkat(&directory, name.as_os(), flags)?;
        if let Some(removed) = &removed {
            self.forget_name(removed.file(), parent, name);
        }
        Ok(())
    }

    /// `rename`.
    pub(super) fn rename(
        &self,
        from: (&Arc<LocalFile>, &Name),
        to: (&Arc<LocalFile>, &Name),
        mode: RenameMode,
    ) -> Result<(), Status> {
        let flags = match mode {
            RenameMode::Replace => RenameFlags::empty(),
            RenameMode::NoReplace => RenameFlags::NOREPLACE,
            RenameMode::Exchange => RenameFlags::EXCHANGE,
        };
        let from_directory = self.fd(from.0)?;
        let to_directory = self.fd(to.0)?;
        let moved = self.hold_at(&from_directory, from.0, from.1);
        let target = self.hold_at(&to_directory, to.0, to.1);
        let (old, new) = (from.1.as_os(), to.1.as_os());
        rustix::fs::renameat_with(&from_directory, old, &to_directory, new, flags)?;
        if let (Some(moved), Some(target)) = (&moved, &target)
            && Arc::ptr_eq(moved.file(), target.file())
        {
            // Two names of one file: rename(2) leaves both.
            return Ok(());
        }
        if let Some(target) = &target {
            match mode {
                RenameMode::Exchange => self.relocate(target.file(), from.0, from.1),
                RenameMode::Replace | RenameMode::NoReplace => {
                    self.forget_name(target.file(), to.0, to.1);
                }
            }
        }
        if let Some(moved) = &moved {
            self.relocate(moved.file(), to.0, to.1);
        }
        Ok(())
    }
}

/// `chown`, of a symlink itself too.
pub(super) fn chown(fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    rustix::fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH)
}

/// The permissions a new file should have, given what the backing file system made of them.
fn wanted_permissions(is: &Attributes, directory: &OwnedFd, owner: Ownership) -> u16 {
    if is.kind == FileKind::Symlink {
        return is.permissions;
    }
    // A directory made in a set-group-id one is set-group-id.
    let inherited = if is.kind == FileKind::Directory { is.permissions & SET_GROUP_ID } else { 0 };
    let wanted = owner.permissions | inherited;
    let missing = wanted & !is.permissions & 0o777;
    if missing != 0 && has_default_acl(directory) {
        // Taken away by the directory's default ACL, and rightly so. Otherwise it was our umask.
        wanted & !missing
    } else {
        wanted
    }
}

/// The umask taken off, unless the directory has a default ACL: that takes its place.
fn after_umask(owner: Ownership, directory: &OwnedFd) -> Ownership {
    let masked = owner.masked();
    if masked == owner.permissions || has_default_acl(directory) {
        return Ownership { umask: 0, ..owner };
    }
    Ownership { permissions: masked, umask: 0, ..owner }
}

/// The set-id bits that would make a program run as us, because these could not be given away.
fn identity_bits(uid: Option<u32>, gid: Option<u32>) -> u16 {
    let user = if uid.is_some() { SET_USER_ID } else { 0 };
    user | if gid.is_some() { SET_GROUP_ID } else { 0 }
}

fn is_set_group_id(directory: &OwnedFd) -> Result<bool, Errno> {
    Ok(node_of(directory)?.attributes.permissions & SET_GROUP_ID != 0)
}

fn has_default_acl(directory: &OwnedFd) -> bool {
    let path = ProcFds::path(directory);
    rustix::fs::getxattr_query(path, "system.posix_acl_default").is_ok_and(|size| size > 0)
}

/// Was this inode made just now? One that was moved or linked here has changed since its birth.
fn is_fresh(made: &Node) -> bool {
    let changed = super::node::nanoseconds(made.attributes.changed);
    made.key.born == 0 || changed.abs_diff(made.key.born) < FRESH
}
