//! Requests for information about a file, and to change it: unpacked.

use crate::base::ids::{Caller, HandleNumber, NodeNumber};
use crate::base::status::{Errno, Status};
use crate::front::adapter::finish;
use crate::front::adapter::front::{Call, Front};
use crate::front::translate::{self, ATTRIBUTE_VALUE_BYTES_MAX, RawSetAttributes};
use crate::rdbss::operation::{Node, Operation};
use fuser::{AccessFlags, FileHandle, INodeNo, ReplyXattr};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

type Made<'a> = Result<Operation<'a>, Status>;

/// R_OK, W_OK and X_OK.
const ACCESS_BITS: i32 = 7;
/// The attributes access control lists are kept in.
const LISTS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

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

    /// GETXATTR. With access control lists the kernel asks every file for its own before it lets
    /// others in, and takes no other word than ENODATA for having none: a control file, or a server
    /// without lists, would be closed to them; and so would be what is in the root of a mount that
    /// is stopped: the control files.
    pub(super) fn get_extended(
        number: INodeNo,
        name: &OsStr,
        room: u32,
    ) -> impl FnOnce(&Arc<Self>, Call, ReplyXattr) {
        move |front, call, reply| {
            let is_list = front.options.posix_acl && LISTS.iter().any(|list| *list == name);
            let is_root = number.0 == NodeNumber::ROOT.0;
            let without = move |status: Status| match status.errno() {
                Errno::EOPNOTSUPP if is_list => Status::Posix(Errno::ENODATA),
                Errno::ESHUTDOWN if is_list && is_root => Status::Posix(Errno::ENODATA),
                _ => status,
            };
            let get = front.make_get_extended(number, name).map_err(without);
            front.run(call, get, reply, move |front, call, reply, answer| {
                finish::sized(room)(front, call, reply, answer.map_err(without));
            });
        }
    }

    fn make_get_extended(&self, number: INodeNo, name: &OsStr) -> Made<'static> {
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
