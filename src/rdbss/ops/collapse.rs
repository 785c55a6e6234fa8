//! Sharing an open on the server, delaying its close, and shedding what waits before anybody could
//! notice that it does (rdbss.md 7.2 to 7.4).
//!
//! A close that waits is the core's secret. A file whose close waits is not open: it is in no
//! listing, holds up no stop, and is closed before it is removed, replaced, truncated or given
//! other rights, so that neither a server's sharing rules nor its delete-on-close reach a program.

use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::base::stop::State;
use crate::mrx::calldown::Capabilities;
use crate::mrx::request::{Buffering, OpenOptions};
use crate::mrx::upcall::RequestContext;
use crate::rdbss::calldown::{call, call_always};
use crate::rdbss::context::Context;
use crate::rdbss::credentials::groups_of;
use crate::rdbss::device::Device;
use crate::rdbss::objects::fcb::Binding;
use crate::rdbss::objects::shared_opens::{CollapseKey, Credentials, Left, ShareAccess};
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::objects::v_net_root::VNetRoot;
use crate::rdbss::operation::Node;
use std::sync::Arc;

impl Device {
    /// How many closes a server of these capabilities may have waiting.
    pub(in crate::rdbss) fn delayed_closes_max(&self, capabilities: Capabilities) -> usize {
        if self.controls.dont_init_prefix_n_scavenger {
            return 0;
        }
        capabilities.delayed_closes_max.min(crate::base::limits::DELAYED_CLOSES_MAX)
    }

    /// Under which key this open may be shared; none: it is an open of its own.
    pub(in crate::rdbss) fn collapse_key(
        &self,
        context: &Context,
        binding: &Binding,
        options: OpenOptions,
    ) -> Option<CollapseKey> {
        let srv_call = &binding.view.net_root.srv_call;
        if !srv_call.shared_opens.is_used() || options.truncate {
            return None;
        }
        let caller = context.caller();
        let groups = match srv_call.instance.capabilities.daemon_rights {
            true => None,
            // A caller whose groups cannot be known shares with nobody.
            false => Some(groups_of(caller.pid)?),
        };
        let credentials = Credentials::new(caller, groups);
        Some(CollapseKey { options, share: ShareAccess::POSIX, credentials })
    }

    /// An open that the new handle shares (MRxShouldTryToCollapseThisOpen, MRxCollapseOpen), and
    /// what may be cached for the handle. None: open it on the server.
    pub(in crate::rdbss) fn collapse(
        &self,
        context: &Context,
        binding: &Binding,
        node: &Node,
        key: &CollapseKey,
    ) -> Option<(Arc<SrvOpen>, Buffering)> {
        let table = &binding.view.net_root.srv_call.shared_opens;
        // Joined first: so nobody closes it while the mini-redirector is asked.
        let (_, srv_open) = table.join(node.number(), key)?;
        let redirector = binding.view.redirector();
        // Another file may have had the number: the table goes by numbers.
        let same = Arc::ptr_eq(&srv_open.fcb, node);
        let willing = same
            && call(context, "should_try_to_collapse_this_open", || {
                Ok(redirector.should_try_to_collapse_this_open(srv_open.open()))
            }) == Ok(true);
        let collapse = || redirector.collapse_open(context, srv_open.open());
        if willing && let Ok(fresh) = call(context, "collapse_open", collapse) {
            let buffering = fresh.unwrap_or(srv_open.buffering);
            return Some((srv_open, buffering));
        }
        // Its close, if this was the last handle, has nobody to be told to.
        let _ = self.leave_uncleaned(context, &srv_open, false);
        None
    }

    /// A fresh open may be shared from here on, if the mini-redirector likes.
    pub(in crate::rdbss) fn offer_to_share(&self, srv_open: &Arc<SrvOpen>, key: CollapseKey) {
        let redirector = srv_open.binding.view.redirector();
        let shared = call_always("should_try_to_collapse_this_open", || {
            Ok(redirector.should_try_to_collapse_this_open(srv_open.open()))
        });
        if shared == Ok(true) {
            srv_open.table().admit(srv_open.fcb.number(), key, srv_open);
        }
    }

    /// A handle leaves its open: cleanup, and close if it was the last and its close does not wait.
    ///
    /// # Errors
    /// The mini-redirector's.
    pub(in crate::rdbss) fn leave_open(
        &self,
        context: &Context,
        srv_open: &Arc<SrvOpen>,
        clean: bool,
    ) -> Result<(), Status> {
        let redirector = srv_open.binding.view.redirector();
        let cleaned = call_always("cleanup", || redirector.cleanup(context, srv_open.open()));
        let closed = self.leave_uncleaned(context, srv_open, clean && cleaned.is_ok());
        cleaned.and(closed)
    }

    fn leave_uncleaned(
        &self,
        context: &Context,
        srv_open: &Arc<SrvOpen>,
        may_delay: bool,
    ) -> Result<(), Status> {
        let Some(number) = srv_open.shared() else { return close(context, srv_open) };
        // While it serves, and only what still has a name: a removed file must give its room back.
        let view = self.gate.view();
        let may_delay = may_delay
            && view.state == State::Started
            && view.generation == srv_open.generation()
            && srv_open.fcb.has_name();
        match srv_open.table().leave(number, self.clock.now(), may_delay) {
            Left::Shared | Left::Delayed(None) => Ok(()),
            Left::Delayed(Some(evicted)) => {
                self.close_delayed(context, vec![evicted]);
                Ok(())
            }
            Left::Close => close(context, srv_open),
        }
    }

    /// Closes opens whose closes waited. Nobody is left to be told when one fails.
    pub(in crate::rdbss) fn close_delayed(&self, context: &Context, opens: Vec<Arc<SrvOpen>>) {
        for srv_open in opens {
            if let Err(status) = close(context, &srv_open) {
                log::warn!("{}: a delayed close failed: {status}", self.name);
            }
        }
    }

    /// Closes what waits of a file, before something happens to it that an open would be seen in.
    pub(in crate::rdbss) fn purge_file(&self, context: &Context, node: &Node) {
        let binding = node.binding();
        let table = &binding.view.net_root.srv_call.shared_opens;
        self.close_delayed(context, table.purge_file(node.number()));
    }

    /// The same for the file of a name. A name that leads to no file we know may be another link
    /// of one whose close waits: then nothing waits any longer.
    pub(in crate::rdbss) fn purge_name(
        &self,
        context: &Context,
        view: &VNetRoot,
        parent: &Node,
        name: &Name,
    ) {
        let table = &view.net_root.srv_call.shared_opens;
        if !table.is_used() {
            return;
        }
        match self.fcbs.named(parent.number(), name) {
            Some(node) => self.purge_file(context, &node),
            None => self.close_delayed(context, table.purge_all()),
        }
    }

    /// Makes a call; where it fails for want of what delayed closes hold (the server's sharing
    /// rules, descriptors), they are made and the call is tried once more (rdbss.md 7.1, step 12).
    pub(in crate::rdbss) fn or_purge<T>(
        &self,
        context: &Context,
        view: &VNetRoot,
        attempt: impl Fn() -> Result<T, Status>,
    ) -> Result<T, Status> {
        let outcome = attempt();
        let table = &view.net_root.srv_call.shared_opens;
        let worth = match &outcome {
            Err(status) => *status == Status::SharingViolation || is_shortage(*status),
            Ok(_) => false,
        };
        if !worth || !table.is_used() {
            return outcome;
        }
        let waiting = table.purge_all();
        if waiting.is_empty() {
            return outcome;
        }
        self.close_delayed(context, waiting);
        attempt()
    }
}

/// Out of something that an open holds.
fn is_shortage(status: Status) -> bool {
    status == Status::InsufficientResources
        || matches!(status.errno(), Errno::EMFILE | Errno::ENFILE | Errno::ETXTBSY)
}

/// MRxCloseSrvOpen, which is made whatever became of the request it is made for.
fn close(context: &Context, srv_open: &SrvOpen) -> Result<(), Status> {
    let redirector = srv_open.binding.view.redirector();
    call_always("close", || redirector.close(context, srv_open.open()))
}
