//! Attributes, extended attributes, the volume, access.

use crate::base::ids::{Caller, HandleNumber};
use crate::base::status::Status;
use crate::mrx::request::{Attributes, FileKind, SetAttributes, SetExtendedAttributeMode};
use crate::mrx::upcall::RequestContext;
use crate::rdbss::calldown::call;
use crate::rdbss::context::Context;
use crate::rdbss::credentials::groups_of;
use crate::rdbss::device::Device;
use crate::rdbss::objects::fcb::Binding;
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::operation::{Answer, Node};
use std::sync::Arc;

/// The attribute an access control list is kept in.
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
const SET_GROUP_ID: u16 = 0o2000;
/// W_OK.
const WRITE: u8 = 0o2;

impl Device {
    pub(in crate::rdbss) fn get_attributes(
        &self,
        context: &Context,
        node: &Node,
        handle: Option<HandleNumber>,
    ) -> Result<Answer, Status> {
        let open = self.open_of(handle)?;
        let file = match &open {
            Some(open) => open.binding.clone(),
            None => self.bound(context, node)?,
        };
        let attributes = call(context, "query_file_information", || {
            let open = open.as_ref().map(|open| open.open());
            file.view.redirector().query_file_information(context, file.file(), open)
        })?;
        if node.is_root() {
            self.last_known.lock().root = Some(attributes);
        }
        Ok(Answer::Attributes(attributes))
    }

    pub(in crate::rdbss) fn set_attributes(
        &self,
        context: &Context,
        node: &Node,
        handle: Option<HandleNumber>,
        set: SetAttributes,
    ) -> Result<Answer, Status> {
        let open = self.open_of(handle)?;
        let file = match &open {
            Some(open) => open.binding.clone(),
            None => self.bound(context, node)?,
        };
        let set = self.allowed(context, &file, set)?;
        // The next open is judged by what the file is then: by its new owner and mode, too.
        self.purge_file(context, node);
        let attributes = self.or_purge(context, &file.view, || {
            call(context, "set_file_information", || {
                let open = open.as_ref().map(|open| open.open());
                file.view.redirector().set_file_information(context, file.file(), open, set)
            })
        })?;
        // Who opened and closed it in between was judged by what it was.
        self.purge_file(context, node);
        Ok(Answer::Attributes(attributes))
    }

    /// What of a change may be done: privileges alone are taken by whoever may write. The kernel
    /// has not checked that: fuser has lost what it was asked for (see the front's
    /// `RawSetAttributes`).
    fn allowed(
        &self,
        context: &Context,
        file: &Binding,
        set: SetAttributes,
    ) -> Result<SetAttributes, Status> {
        let caller = context.caller();
        let alone = SetAttributes { kill_privileges: true, ..SetAttributes::default() };
        if set != alone || caller.uid == 0 {
            return Ok(set);
        }
        let is = call(context, "query_file_information", || {
            file.view.redirector().query_file_information(context, file.file(), None)
        })?;
        let may = is.uid == caller.uid || permits(&is, caller, WRITE);
        Ok(SetAttributes { kill_privileges: may, ..set })
    }

    fn open_of(&self, handle: Option<HandleNumber>) -> Result<Option<Arc<SrvOpen>>, Status> {
        handle.map(|number| self.handle(number).map(|(_, srv_open)| srv_open)).transpose()
    }

    pub(in crate::rdbss) fn query_volume(&self, context: &Context) -> Result<Answer, Status> {
        let view = self.view()?;
        let volume = call(context, "query_volume_information", || {
            view.redirector().query_volume_information(context)
        })?;
        self.last_known.lock().volume = Some(volume);
        Ok(Answer::Volume(volume))
    }

    pub(in crate::rdbss) fn get_extended_attribute(
        &self,
        context: &Context,
        node: &Node,
        name: &[u8],
    ) -> Result<Answer, Status> {
        let file = self.bound(context, node)?;
        let value = call(context, "query_extended_attribute", || {
            file.view.redirector().query_extended_attribute(context, file.file(), name)
        })?;
        Ok(Answer::Data(value))
    }

    pub(in crate::rdbss) fn list_extended_attributes(
        &self,
        context: &Context,
        node: &Node,
    ) -> Result<Answer, Status> {
        let file = self.bound(context, node)?;
        let names = call(context, "list_extended_attributes", || {
            file.view.redirector().list_extended_attributes(context, file.file())
        })?;
        Ok(Answer::Data(names))
    }

    pub(in crate::rdbss) fn set_extended_attribute(
        &self,
        context: &Context,
        node: &Node,
        name: &[u8],
        value: &[u8],
        mode: SetExtendedAttributeMode,
    ) -> Result<Answer, Status> {
        let file = self.bound(context, node)?;
        self.purge_file(context, node);
        call(context, "set_extended_attribute", || {
            let redirector = file.view.redirector();
            redirector.set_extended_attribute(context, file.file(), name, value, mode)
        })?;
        if name == ACCESS_LIST && context.caller().uid != 0 {
            self.drop_set_group_id(context, &file)?;
        }
        self.purge_file(context, node);
        Ok(Answer::Empty)
    }

    /// An access list changes permission bits, and who changes those of a file of a group he is
    /// not in loses its set-group-id bit. fuser loses FUSE_SETXATTR_ACL_KILL_SGID, by which the
    /// kernel says so (fuse.md 1.4), and the server knows nobody's groups.
    fn drop_set_group_id(&self, context: &Context, file: &Binding) -> Result<(), Status> {
        let redirector = file.view.redirector();
        let is = call(context, "query_file_information", || {
            redirector.query_file_information(context, file.file(), None)
        })?;
        let caller = context.caller();
        if is.permissions & SET_GROUP_ID == 0 || is_member(caller, is.gid) {
            return Ok(());
        }
        let permissions = Some(is.permissions & !SET_GROUP_ID);
        let set = SetAttributes { permissions, ..SetAttributes::default() };
        call(context, "set_file_information", || {
            redirector.set_file_information(context, file.file(), None, set)
        })?;
        Ok(())
    }

    pub(in crate::rdbss) fn remove_extended_attribute(
        &self,
        context: &Context,
        node: &Node,
        name: &[u8],
    ) -> Result<Answer, Status> {
        let file = self.bound(context, node)?;
        self.purge_file(context, node);
        call(context, "remove_extended_attribute", || {
            file.view.redirector().remove_extended_attribute(context, file.file(), name)
        })?;
        self.purge_file(context, node);
        Ok(Answer::Empty)
    }

    /// ACCESS, asked only of a mount without `default_permissions`.
    pub(in crate::rdbss) fn access(
        &self,
        context: &Context,
        node: &Node,
        mask: u8,
    ) -> Result<Answer, Status> {
        let file = self.bound(context, node)?;
        let attributes = call(context, "query_file_information", || {
            file.view.redirector().query_file_information(context, file.file(), None)
        })?;
        if permits(&attributes, context.caller(), mask) {
            Ok(Answer::Empty)
        } else {
            Err(Status::AccessDenied)
        }
    }
}

/// Is this one of the caller's groups? The kernel did not send the supplementary ones (fuse.md
/// 2.1).
fn is_member(caller: Caller, group: u32) -> bool {
    caller.gid == group
        || groups_of(caller.pid).is_some_and(|groups| groups.binary_search(&group).is_ok())
}

/// The owner, group and other bits.
fn permits(attributes: &Attributes, caller: Caller, mask: u8) -> bool {
    let wanted = u16::from(mask & 0o7);
    if caller.uid == 0 {
        // Root may do all but execute what nobody may execute.
        let runs = attributes.kind == FileKind::Directory || attributes.permissions & 0o111 != 0;
        return wanted & 0o1 == 0 || runs;
    }
    let shift = if caller.uid == attributes.uid {
        6
    } else if is_member(caller, attributes.gid) {
        3
    } else {
        0
    };
    (attributes.permissions >> shift) & wanted == wanted
}
