//! Attributes, extended attributes, the volume, access.

use crate::base::ids::HandleNumber;
use crate::base::status::Status;
use crate::mrx::request::{Attributes, SetAttributes, SetExtendedAttributeMode};
use crate::mrx::upcall::RequestContext;
use crate::rdbss::calldown::call;
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::operation::{Answer, Node};
use std::sync::Arc;

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
        self.purge_file(context, node);
        Ok(Answer::Empty)
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

/// The owner, group and other bits, for a caller whose supplementary groups the kernel did not send
/// (fuse.md 2.1).
fn permits(attributes: &Attributes, caller: crate::base::ids::Caller, mask: u8) -> bool {
    let wanted = u16::from(mask & 0o7);
    if caller.uid == 0 {
        // Root may do all but execute what nobody may execute.
        return wanted & 0o1 == 0 || attributes.permissions & 0o111 != 0;
    }
    let shift = if caller.uid == attributes.uid {
        6
    } else if caller.gid == attributes.gid {
        3
    } else {
        0
    };
    (attributes.permissions >> shift) & wanted == wanted
}
