//! Finding the running generation's half of a file or a handle.
//!
//! The kernel keeps numbers over a stop and start: a shell's working directory, a bind mount of a
//! subdirectory. An FCB of an older generation is looked up again by its names, from the root, and
//! bound if it is still the same file (stop.md S5); otherwise it is stale.

use crate::base::ids::HandleNumber;
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::upcall::RequestContext;
use crate::rdbss::calldown;
use crate::rdbss::device::Device;
use crate::rdbss::objects::fcb::{Binding, Fcb};
use crate::rdbss::objects::fobx::Fobx;
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::objects::v_net_root::VNetRoot;
use crate::rdbss::operation::Node;
use std::sync::Arc;

/// Directories deeper than this are not found again after a restart.
const DEPTH_MAX: usize = 4096;

impl Device {
    /// The running generation's view.
    ///
    /// # Errors
    /// `RedirectorNotStarted`.
    pub(in crate::rdbss) fn view(&self) -> Result<Arc<VNetRoot>, Status> {
        self.view.read().clone().ok_or(Status::RedirectorNotStarted)
    }

    /// A file's binding to the running generation.
    ///
    /// # Errors
    /// `FileInvalid` when it is not there any more; the lookup's own when the server did not say.
    pub(in crate::rdbss) fn bound(
        &self,
        context: &dyn RequestContext,
        node: &Node,
    ) -> Result<Arc<Binding>, Status> {
        let view = self.view()?;
        let generation = view.instance().generation;
        let binding = node.binding();
        if binding.generation() == generation {
            return Ok(binding);
        }
        // Collect the way up to the nearest directory that is bound, then walk it down again.
        let mut way: Vec<(Node, Arc<Fcb>, Name)> = Vec::new();
        let mut at = node.clone();
        while at.binding().generation() != generation {
            let (parent, name) = at.parent().ok_or(Status::FileInvalid)?;
            if way.len() >= DEPTH_MAX {
                return Err(Status::FileInvalid);
            }
            way.push((at, parent.clone(), name));
            at = parent;
        }
        while let Some((child, parent, name)) = way.pop() {
            self.bind_again(context, &view, &child, &parent, &name)?;
        }
        Ok(node.binding())
    }

    fn bind_again(
        &self,
        context: &dyn RequestContext,
        view: &Arc<VNetRoot>,
        child: &Node,
        parent: &Node,
        name: &Name,
    ) -> Result<(), Status> {
        let above = parent.binding();
        let found = calldown::call(context, "lookup", || {
            view.redirector().lookup(context, above.file(), name)
        });
        let found = found.map_err(stale_if_gone)?;
        if found.identity != child.identity() {
            return Err(Status::FileInvalid);
        }
        child.set_leased(found.attributes.leased);
        child.bind(Arc::new(Binding {
            view: view.clone(),
            identity: found.identity,
            extension: found.extension,
        }));
        Ok(())
    }

    /// A handle for I/O in the running generation.
    ///
    /// # Errors
    /// `InvalidHandle`; `FileInvalid` for a survivor that was not reclaimed (stop.md G2, S4);
    /// `RedirectorNotStarted` for one that was detached.
    pub(in crate::rdbss) fn handle(
        &self,
        number: HandleNumber,
    ) -> Result<(Arc<Fobx>, Arc<SrvOpen>), Status> {
        let fobx = self.handles.get(number).ok_or(Status::InvalidHandle)?;
        let srv_open = fobx.srv_open_for_io()?;
        if srv_open.generation() != self.gate.view().generation {
            return Err(Status::FileInvalid);
        }
        Ok((fobx, srv_open))
    }

    /// A handle for cleanup or close, of whatever generation.
    ///
    /// # Errors
    /// `InvalidHandle`.
    pub(in crate::rdbss) fn handle_of_any_generation(
        &self,
        number: HandleNumber,
    ) -> Result<(Arc<Fobx>, Arc<SrvOpen>), Status> {
        let fobx = self.handles.get(number).ok_or(Status::InvalidHandle)?;
        let srv_open = fobx.srv_open();
        Ok((fobx, srv_open))
    }
}

/// Nobody asked for this name: the caller has a file, and a file that is not there any more is
/// stale. At ESTALE the kernel also walks the path once more, and finds what is there now.
fn stale_if_gone(status: Status) -> Status {
    match status.errno() {
        Errno::ENOENT | Errno::ENOTDIR => Status::FileInvalid,
        _ => status,
    }
}
