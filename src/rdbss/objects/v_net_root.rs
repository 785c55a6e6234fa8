//! V_NET_ROOT: one user's view of a share. Today every user shares one view; credentials per view
//! come with the namespace.

use crate::mrx::calldown::MiniRedirector;
use crate::mrx::request::Extension;
use crate::rdbss::bounded::finalize;
use crate::rdbss::objects::net_root::NetRoot;
use crate::rdbss::objects::srv_call::Instance;
use std::sync::Arc;

/// A view.
pub struct VNetRoot {
    /// The share.
    pub net_root: Arc<NetRoot>,
    /// The mini-redirector's half.
    pub extension: Extension,
}

impl VNetRoot {
    /// The generation's instance above this view.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        &self.net_root.srv_call.instance
    }

    /// Its mini-redirector.
    #[must_use]
    pub fn redirector(&self) -> &Arc<dyn MiniRedirector> {
        &self.instance().redirector
    }
}

impl Drop for VNetRoot {
    fn drop(&mut self) {
        // With the share, so that its end comes after this one's.
        let (net_root, extension) = (self.net_root.clone(), self.extension.clone());
        finalize("finalize_v_net_root", move || {
            net_root.srv_call.instance.redirector.finalize_v_net_root(&extension);
        });
    }
}
