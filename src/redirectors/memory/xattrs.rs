//! Extended attributes of one node, with the kernel's limits on them.
//!
//! `user.`, `trusted.` and `security.` are kept as they are, POSIX ACLs together with the
//! permission bits (`acl`). Everything else is refused: it would be kept and never obeyed.

use crate::base::status::{Errno, Status};
use crate::mrx::request::{FileKind, SetExtendedAttributeMode, Timestamp};
use crate::redirectors::memory::acl::{self, Acl};
use crate::redirectors::memory::node::{Node, State};
use crate::redirectors::memory::space::Space;
use std::collections::BTreeMap;

/// Longest name (XATTR_NAME_MAX).
const NAME_BYTES_MAX: usize = 255;
/// Longest value (XATTR_SIZE_MAX).
const VALUE_BYTES_MAX: usize = 65536;
/// All names of a file with their NULs (XATTR_LIST_MAX): more could not be listed.
const LIST_BYTES_MAX: usize = 65536;

const USER: &[u8] = b"user.";
const TRUSTED: &[u8] = b"trusted.";
const SECURITY: &[u8] = b"security.";
const CAPABILITY: &[u8] = b"security.capability";

/// Names and values.
#[derive(Debug, Default)]
pub(super) struct ExtendedAttributes(BTreeMap<Box<[u8]>, Box<[u8]>>);

impl ExtendedAttributes {
    /// Bytes of names and values.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    }

    /// Drops the file capabilities. Returns bytes freed.
    pub(super) fn remove_capability(&mut self) -> u64 {
        self.0.remove(CAPABILITY).map_or(0, |value| (CAPABILITY.len() + value.len()) as u64)
    }

    /// The list kept under this name. Only valid ones are kept.
    fn acl(&self, name: &[u8]) -> Option<Acl> {
        self.0.get(name).and_then(|value| Acl::parse(value).ok().flatten())
    }

    /// The list that what is made in this directory gets.
    pub(super) fn default_acl(&self) -> Option<Acl> {
        self.acl(acl::DEFAULT)
    }

    /// The permission bits have been changed to these: so is the list, whose length stays.
    pub(super) fn permissions_changed(&mut self, permissions: u16) {
        if let Some(mut list) = self.acl(acl::ACCESS) {
            list.set_permissions(permissions);
            self.0.insert(acl::ACCESS.into(), list.to_bytes());
        }
    }

    /// Keeps one, taking room for it and giving back that of the old one.
    ///
    /// # Errors
    /// ENOSPC: no room; then the old one stays.
    fn keep(&mut self, space: &Space, name: &[u8], value: Box<[u8]>) -> Result<(), Status> {
        let old = self.0.get(name).map_or(0, |value| (name.len() + value.len()) as u64);
        if old == 0 && self.list_bytes_with(name) > LIST_BYTES_MAX {
            return Err(Errno::ENOSPC.into());
        }
        let new = (name.len() + value.len()) as u64;
        space.take_bytes(new.saturating_sub(old))?;
        space.give_bytes(old.saturating_sub(new));
        self.0.insert(name.into(), value);
        Ok(())
    }

    /// Takes one away; false if there is none.
    fn take_away(&mut self, space: &Space, name: &[u8]) -> bool {
        let Some(value) = self.0.remove(name) else { return false };
        space.give_bytes((name.len() + value.len()) as u64);
        true
    }

    /// Bytes its list would have with one more name.
    fn list_bytes_with(&self, name: &[u8]) -> usize {
        self.0.keys().map(|name| name.len() + 1).sum::<usize>() + name.len() + 1
    }
}

/// Is this a name we keep, on this kind of file? `user.` is for files with content and directories,
/// because permissions of the others do not say who may fill them (xattr(7)).
fn check_name(kind: FileKind, name: &[u8]) -> Result<(), Status> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Errno::ERANGE.into());
    }
    let is_in = |prefix: &[u8]| name.starts_with(prefix) && name.len() > prefix.len();
    if is_in(USER) && !matches!(kind, FileKind::Regular | FileKind::Directory) {
        return Err(Errno::EPERM.into());
    }
    if is_in(USER) || is_in(TRUSTED) || is_in(SECURITY) {
        return Ok(());
    }
    Err(Status::NotSupported)
}

/// Is this the name of an access control list? Symlinks have none.
fn is_acl(kind: FileKind, name: &[u8]) -> bool {
    kind != FileKind::Symlink && (name == acl::ACCESS || name == acl::DEFAULT)
}

impl Node {
    /// One value.
    ///
    /// # Errors
    /// ENODATA: there is none. EOPNOTSUPP: a name that cannot be kept.
    pub(super) fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Status> {
        match check_name(self.kind(), name) {
            Err(Status::Posix(Errno::EPERM)) => return Err(Errno::ENODATA.into()),
            Err(_) if is_acl(self.kind(), name) => {}
            other => other?,
        }
        let state = self.state.read();
        state.xattrs.0.get(name).map(|value| value.to_vec()).ok_or(Errno::ENODATA.into())
    }

    /// All names, each followed by NUL; `trusted.` ones only for the privileged.
    pub(super) fn xattr_names(&self, privileged: bool) -> Vec<u8> {
        let state = self.state.read();
        let names = state.xattrs.0.keys().filter(|name| privileged || !name.starts_with(TRUSTED));
        names.flat_map(|name| name.iter().copied().chain([0])).collect()
    }

    /// Sets one.
    ///
    /// # Errors
    /// EEXIST, ENODATA as the mode says; E2BIG; ERANGE; ENOSPC; EPERM: `user.` on a special file;
    /// EOPNOTSUPP: a name that cannot be kept. EINVAL: what is no ACL; EACCES: a default one of
    /// what is no directory.
    pub(super) fn set_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        mode: SetExtendedAttributeMode,
        now: Timestamp,
    ) -> Result<(), Status> {
        if is_acl(self.kind(), name) {
            return self.set_acl(name, value, now);
        }
        check_name(self.kind(), name)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(Errno::E2BIG.into());
        }
        let mut state = self.state.write();
        match (mode, state.xattrs.0.contains_key(name)) {
            (SetExtendedAttributeMode::Create, true) => {
                return Err(Status::ObjectNameCollision);
            }
            (SetExtendedAttributeMode::Replace, false) => return Err(Errno::ENODATA.into()),
            _ => {}
        }
        state.xattrs.keep(&self.space, name, value.into())?;
        state.changed = now;
        Ok(())
    }

    /// Sets a list, and the permission bits by it.
    fn set_acl(&self, name: &[u8], value: &[u8], now: Timestamp) -> Result<(), Status> {
        let list = Acl::parse(value)?;
        if name == acl::DEFAULT && !self.is_directory() {
            return if list.is_some() { Err(Status::AccessDenied) } else { Ok(()) };
        }
        let mut state = self.state.write();
        let kept = list.as_ref().filter(|list| name == acl::DEFAULT || !list.is_minimal());
        match kept {
            Some(list) => state.xattrs.keep(&self.space, name, list.to_bytes())?,
            None => drop(state.xattrs.take_away(&self.space, name)),
        }
        if let Some(list) = list.filter(|_| name == acl::ACCESS) {
            state.permissions = state.permissions & !0o777 | list.permissions();
        }
        state.changed = now;
        Ok(())
    }

    /// A new file gets what its directory's default list says: the list as its own, if it says more
    /// than the permission bits, which are limited already; a directory also hands it down.
    ///
    /// # Errors
    /// ENOSPC.
    pub(super) fn inherit(&self, list: &Acl) -> Result<(), Status> {
        let mut state = self.state.write();
        let State { permissions, xattrs, .. } = &mut *state;
        if self.is_directory() {
            xattrs.keep(&self.space, acl::DEFAULT, list.to_bytes())?;
        }
        let own = list.clone().limited_to(*permissions);
        if !own.is_minimal() {
            xattrs.keep(&self.space, acl::ACCESS, own.to_bytes())?;
        }
        Ok(())
    }

    /// Takes one away.
    ///
    /// # Errors
    /// ENODATA: there is none. EOPNOTSUPP, EPERM: as for setting.
    pub(super) fn remove_xattr(&self, name: &[u8], now: Timestamp) -> Result<(), Status> {
        let is_list = is_acl(self.kind(), name);
        if !is_list {
            check_name(self.kind(), name)?;
        }
        let mut state = self.state.write();
        // To take away a list that is not there is no error: it is what was asked for.
        if !state.xattrs.take_away(&self.space, name) && !is_list {
            return Err(Errno::ENODATA.into());
        }
        state.changed = now;
        Ok(())
    }
}
