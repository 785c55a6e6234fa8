//! One open: the SRV_OPEN's half that is ours.

use crate::base::status::Status;
use crate::redirectors::memory::node::Node;
use crate::redirectors::memory::server::MemoryServer;
use crate::redirectors::memory::watch::Watch;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// An open file or directory. Keeps its file alive when the last name has gone.
#[derive(Debug)]
pub(super) struct OpenFile {
    node: Arc<Node>,
    listing_end: AtomicU64,
    watch: OnceLock<Arc<Watch>>,
}

impl OpenFile {
    /// A fresh open.
    pub(super) const fn new(node: Arc<Node>) -> Self {
        Self { node, listing_end: AtomicU64::new(u64::MAX), watch: OnceLock::new() }
    }

    /// What is open.
    pub(super) const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The last cookie a listing shows. It is fixed when the listing begins, so that one who makes
    /// a name for each name it reads comes to an end.
    pub(super) fn listing_end(&self, from: u64, last_cookie: u64) -> u64 {
        if from == 0 {
            self.listing_end.store(last_cookie, Ordering::Relaxed);
            return last_cookie;
        }
        self.listing_end.load(Ordering::Relaxed)
    }

    /// This open's watch, begun if there is none yet.
    ///
    /// # Errors
    /// ENOTDIR; ENOENT when the directory was removed.
    pub(super) fn watch(&self, server: &MemoryServer) -> Result<&Arc<Watch>, Status> {
        if let Some(watch) = self.watch.get() {
            return Ok(watch);
        }
        let watch = server.watch(&self.node)?;
        Ok(self.watch.get_or_init(|| watch))
    }
}
