//! Requests for information about a file, and to change it: unpacked.

use crate::base::ids::{Caller, HandleNumber};
use crate::base::status::{Errno, Status};
use crate::front::adapter::front::Front;
use crate::front::translate::{self, ATTRIBUTE_VALUE_BYTES_MAX, RawSetAttributes};
use crate::rdbss::operation::{Node, Operation};
use fuser::{AccessFlags, FileHandle, INodeNo};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

type Made<'a> = Result<Operation<'a>, Status>;

/// R_OK, W_OK and X_OK.
const ACCESS_BITS: i32 = 7;

impl Front {
    /// GETATTR.
    pub(super) fn make_get_attributes(
        &self,
        number: INodeNo,
        handle: Option<FileHandle>,
    ) -> Made<'static> {
        let handle = handle.map(|handle| HandleNumber(handle.0));
        Ok(Operation::GetAttributes { node: self.node(number)?, handle })
    }

    /// SETATTR.
    pub(super) fn make_set_attributes(
        &self,
        number: INodeNo,
        handle: Option<FileHandle>,
        raw: RawSetAttributes,
        caller: Caller,
    ) -> Made<'static> {
        let handle = handle.map(|handle| HandleNumber(handle.0));
        let set = raw.translate(caller);
        Ok(Operation::SetAttributes { node: self.node(number)?, handle, set })
    }

    /// ACCESS.
    pub(super) fn make_access(&self, number: INodeNo, mask: AccessFlags) -> Made<'static> {
        let mask = (mask.bits() & ACCESS_BITS) as u8;
        Ok(Operation::Access { node: self.node(number)?, mask })
    }

    /// A file that can have extended attributes; control files have none.
    fn attributed(&self, number: INodeNo) -> Result<Node, Status> {
        if self.control_file(number).is_some() {
            return Err(Status::Posix(Errno::EOPNOTSUPP));
        }
        self.node(number)
    }

    /// GETXATTR.
    pub(super) fn make_get_extended(&self, number: INodeNo, name: &OsStr) -> Made<'static> {
        let name = translate::extended_attribute_name(name.as_bytes())?;
        Ok(Operation::GetExtendedAttribute { node: self.attributed(number)?, name })
    }

    /// LISTXATTR.
    pub(super) fn make_list_extended(&self, number: INodeNo) -> Made<'static> {
        Ok(Operation::ListExtendedAttributes { node: self.attributed(number)? })
    }

    /// SETXATTR.
    pub(super) fn make_set_extended(
        &self,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> Made<'static> {
        let name = translate::extended_attribute_name(name.as_bytes())?;
        if value.len() > ATTRIBUTE_VALUE_BYTES_MAX {
            return Err(Status::Posix(Errno::E2BIG));
        }
        let mode = translate::extended_attribute_mode(flags)?;
        let (node, value) = (self.attributed(number)?, value.to_vec());
        Ok(Operation::SetExtendedAttribute { node, name, value, mode })
    }

    /// REMOVEXATTR.
    pub(super) fn make_remove_extended(&self, number: INodeNo, name: &OsStr) -> Made<'static> {
        let name = translate::extended_attribute_name(name.as_bytes())?;
        Ok(Operation::RemoveExtendedAttribute { node: self.attributed(number)?, name })
    }
}
