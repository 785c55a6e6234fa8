//! SRV_CALL: one server, as one generation of a device is connected to it.

use crate::base::ids::Generation;
use crate::mrx::calldown::{Capabilities, MiniRedirector};
use crate::mrx::request::Extension;
use crate::rdbss::bounded::finalize;
use crate::rdbss::objects::shared_opens::SharedOpens;
use std::fmt;
use std::sync::Arc;

/// One generation's mini-redirector. Lives until the last object above it is gone (stop.md S3).
pub struct Instance {
    /// Which start made it.
    pub generation: Generation,
    /// The mini-redirector.
    pub redirector: Arc<dyn MiniRedirector>,
    /// What it said of itself when it was started.
    pub capabilities: Capabilities,
}

impl fmt::Debug for Instance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Instance({} generation {})", self.redirector.name(), self.generation)
    }
}

/// A server.
pub struct SrvCall {
    /// The mini-redirector that serves it.
    pub instance: Arc<Instance>,
    /// The mini-redirector's half.
    pub extension: Extension,
    /// Opens on it that handles share, and closes that wait. A close that waits keeps its server
    /// alive: a stop makes them all before it gives the server up.
    pub shared_opens: SharedOpens,
}

impl Drop for SrvCall {
    fn drop(&mut self) {
        let (instance, extension) = (self.instance.clone(), self.extension.clone());
        finalize("finalize_srv_call", move || instance.redirector.finalize_srv_call(&extension));
    }
}
