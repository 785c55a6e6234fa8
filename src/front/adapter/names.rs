//! Requests on names: unpacked.

use crate::base::status::Status;
use crate::front::adapter::front::Front;
use crate::front::translate;
use crate::rdbss::operation::operand::NewNode;
use crate::rdbss::operation::{Creation, Operation};
use fuser::{INodeNo, RenameFlags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

type Made<'a> = Result<Operation<'a>, Status>;

impl Front {
    /// Who and how of a new file.
    pub(super) fn creation(&self, mode: u32, umask: u32) -> Creation {
        let umask = if self.applies_umask { translate::permissions(umask) } else { 0 };
        Creation { permissions: translate::permissions(mode), umask }
    }

    /// LOOKUP.
    pub(super) fn make_lookup(&self, parent: INodeNo, name: &OsStr) -> Made<'static> {
        Ok(Operation::Lookup { parent: self.node(parent)?, name: translate::name(name)? })
    }

    /// MKNOD, MKDIR and SYMLINK.
    pub(super) fn make_node(
        &self,
        parent: INodeNo,
        name: &OsStr,
        node: NewNode,
        creation: Creation,
    ) -> Made<'static> {
        let (parent, name) = self.child(parent, name)?;
        Ok(Operation::MakeNode { parent, name, node, creation })
    }

    /// SYMLINK: a link has all permissions and no umask.
    pub(super) fn make_symlink(
        &self,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
    ) -> Made<'static> {
        let node = NewNode::Symlink(target.as_os_str().as_bytes().to_vec());
        self.make_node(parent, name, node, Creation { permissions: 0o777, umask: 0 })
    }

    /// LINK.
    pub(super) fn make_link(&self, node: INodeNo, parent: INodeNo, name: &OsStr) -> Made<'static> {
        let node = self.node(node)?;
        let (parent, name) = self.child(parent, name)?;
        Ok(Operation::Link { node, parent, name })
    }

    /// UNLINK and RMDIR.
    pub(super) fn make_removal(
        &self,
        parent: INodeNo,
        name: &OsStr,
        directory: bool,
    ) -> Made<'static> {
        let (parent, name) = self.child(parent, name)?;
        Ok(if directory {
            Operation::RemoveDirectory { parent, name }
        } else {
            Operation::Unlink { parent, name }
        })
    }

    /// RENAME and RENAME2.
    pub(super) fn make_rename(
        &self,
        old: (INodeNo, &OsStr),
        new: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Made<'static> {
        let mode = translate::rename_mode(flags)?;
        let (parent, name) = self.child(old.0, old.1)?;
        let (new_parent, new_name) = self.child(new.0, new.1)?;
        Ok(Operation::Rename { parent, name, new_parent, new_name, mode })
    }
}
