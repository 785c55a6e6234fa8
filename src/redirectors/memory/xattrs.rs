//! Extended attributes of one node, with the kernel's limits on them.
//!
//! `user.`, `trusted.` and `security.` are kept. `system.` is refused: the POSIX ACLs in there
//! would be kept and never obeyed.

use crate::base::status::{Errno, Status};
use crate::mrx::request::{FileKind, SetExtendedAttributeMode, Timestamp};
use crate::redirectors::memory::node::Node;
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

impl Node {
    /// One value.
    ///
    /// # Errors
    /// ENODATA: there is none. EOPNOTSUPP: a name that cannot be kept.
    pub(super) fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Status> {
        match check_name(self.kind(), name) {
            Err(Status::Posix(Errno::EPERM)) => return Err(Errno::ENODATA.into()),
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
    /// EOPNOTSUPP: a name that cannot be kept.
    pub(super) fn set_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        mode: SetExtendedAttributeMode,
        now: Timestamp,
    ) -> Result<(), Status> {
        check_name(self.kind(), name)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(Errno::E2BIG.into());
        }
        let mut state = self.state.write();
        let old = state.xattrs.0.get(name).map(|value| (name.len() + value.len()) as u64);
        match (mode, old) {
            (SetExtendedAttributeMode::Create, Some(_)) => {
                return Err(Status::ObjectNameCollision);
            }
            (SetExtendedAttributeMode::Replace, None) => return Err(Errno::ENODATA.into()),
            _ => {}
        }
        if old.is_none() && state.xattrs.list_bytes_with(name) > LIST_BYTES_MAX {
            return Err(Errno::ENOSPC.into());
        }
        let (old, new) = (old.unwrap_or(0), (name.len() + value.len()) as u64);
        self.space.take_bytes(new.saturating_sub(old))?;
        self.space.give_bytes(old.saturating_sub(new));
        state.xattrs.0.insert(name.into(), value.into());
        state.changed = now;
        Ok(())
    }

    /// Takes one away.
    ///
    /// # Errors
    /// ENODATA: there is none. EOPNOTSUPP, EPERM: as for setting.
    pub(super) fn remove_xattr(&self, name: &[u8], now: Timestamp) -> Result<(), Status> {
        check_name(self.kind(), name)?;
        let mut state = self.state.write();
        let value = state.xattrs.0.remove(name).ok_or(Status::Posix(Errno::ENODATA))?;
        self.space.give_bytes((name.len() + value.len()) as u64);
        state.changed = now;
        Ok(())
    }
}
