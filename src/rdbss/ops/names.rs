//! Operations on names: lookup, make, link, remove, rename, readlink.

use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::request::{Found, NewNode, Ownership, RenameMode};
use crate::mrx::upcall::RequestContext;
use crate::rdbss::calldown::call;
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::objects::v_net_root::VNetRoot;
use crate::rdbss::operation::{Answer, Creation, Node, NodeAnswer};
use std::sync::Arc;

impl Creation {
    /// Whose the new file is: the caller's.
    pub(in crate::rdbss) fn ownership(self, context: &Context) -> Ownership {
        let caller = context.caller();
        Ownership {
            permissions: self.permissions & 0o7777,
            umask: self.umask & 0o777,
            uid: caller.uid,
            gid: caller.gid,
        }
    }
}

impl Device {
    /// The FCB of something found under a name.
    pub(in crate::rdbss) fn node_of(
        &self,
        view: &Arc<VNetRoot>,
        parent: &Node,
        name: &Name,
        found: &Found,
    ) -> NodeAnswer {
        let node = self.fcbs.find_or_make(view, found, Some((parent, name)));
        NodeAnswer { node, attributes: found.attributes }
    }

    /// What a name leads to.
    pub(in crate::rdbss) fn find(
        &self,
        context: &Context,
        parent: &Node,
        name: &Name,
    ) -> Result<NodeAnswer, Status> {
        let above = self.bound(context, parent)?;
        let found = call(context, "lookup", || {
            above.view.redirector().lookup(context, above.file(), name)
        })?;
        Ok(self.node_of(&above.view, parent, name, &found))
    }

    /// LOOKUP: the same, and whether its absence may be remembered.
    pub(in crate::rdbss) fn lookup(
        &self,
        context: &Context,
        parent: &Node,
        name: &Name,
    ) -> Result<Answer, Status> {
        match self.find(context, parent, name) {
            Ok(found) => Ok(Answer::Node(found)),
            Err(status) if status.errno() == Errno::ENOENT && parent.is_leased() => {
                Ok(Answer::Absent)
            }
            Err(status) => Err(status),
        }
    }

    pub(in crate::rdbss) fn make_node(
        &self,
        context: &Context,
        parent: &Node,
        name: &Name,
        node: &NewNode,
        creation: Creation,
    ) -> Result<Answer, Status> {
        let above = self.bound(context, parent)?;
        let owner = creation.ownership(context);
        let found = call(context, "make_node", || {
            above.view.redirector().make_node(context, above.file(), name, node, owner)
        })?;
        Ok(Answer::Node(self.node_of(&above.view, parent, name, &found)))
    }

    pub(in crate::rdbss) fn link(
        &self,
        context: &Context,
        node: &Node,
        parent: &Node,
        name: &Name,
    ) -> Result<Answer, Status> {
        let (file, above) = (self.bound(context, node)?, self.bound(context, parent)?);
        let attributes = call(context, "link", || {
            above.view.redirector().link(context, file.file(), above.file(), name)
        })?;
        self.fcbs.place(node, parent, name);
        Ok(Answer::Node(NodeAnswer { node: node.clone(), attributes }))
    }

    pub(in crate::rdbss) fn unlink(
        &self,
        context: &Context,
        parent: &Node,
        name: &Name,
    ) -> Result<Answer, Status> {
        let above = self.bound(context, parent)?;
        self.removing(context, &above.view, (parent, name), || {
            call(context, "unlink", || above.view.redirector().unlink(context, above.file(), name))
        })
    }

    pub(in crate::rdbss) fn remove_directory(
        &self,
        context: &Context,
        parent: &Node,
        name: &Name,
    ) -> Result<Answer, Status> {
        let above = self.bound(context, parent)?;
        self.removing(context, &above.view, (parent, name), || {
            call(context, "remove_directory", || {
                above.view.redirector().remove_directory(context, above.file(), name)
            })
        })
    }

    /// Removes a name: no close of its file waits before, none after.
    fn removing(
        &self,
        context: &Context,
        view: &VNetRoot,
        (parent, name): (&Node, &Name),
        remove: impl Fn() -> Result<(), Status>,
    ) -> Result<Answer, Status> {
        let node = self.fcbs.named(parent.number(), name);
        self.purge_name(context, view, parent, name);
        self.or_purge(context, view, remove)?;
        self.fcbs.removed(parent, name);
        // Who opened and closed it in between did not know yet.
        if let Some(node) = node {
            self.purge_file(context, &node);
        }
        Ok(Answer::Empty)
    }

    pub(in crate::rdbss) fn rename(
        &self,
        context: &Context,
        from: (&Node, &Name),
        to: (&Node, &Name),
        mode: RenameMode,
    ) -> Result<Answer, Status> {
        let (old, new) = (self.bound(context, from.0)?, self.bound(context, to.0)?);
        let replaced = self.fcbs.named(to.0.number(), to.1);
        self.purge_name(context, &old.view, from.0, from.1);
        if replaced.is_some() {
            self.purge_name(context, &new.view, to.0, to.1);
        }
        self.or_purge(context, &new.view, || {
            call(context, "rename", || {
                let redirector = old.view.redirector();
                redirector.rename(context, (old.file(), from.1), (new.file(), to.1), mode)
            })
        })?;
        self.fcbs.renamed((from.0, from.1), (to.0, to.1), mode == RenameMode::Exchange);
        if let Some(replaced) = replaced {
            self.purge_file(context, &replaced);
        }
        Ok(Answer::Empty)
    }

    pub(in crate::rdbss) fn read_link(
        &self,
        context: &Context,
        node: &Node,
    ) -> Result<Answer, Status> {
        let file = self.bound(context, node)?;
        let target =
            call(context, "read_link", || file.view.redirector().read_link(context, file.file()))?;
        Ok(Answer::Data(target))
    }
}
