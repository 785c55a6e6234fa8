//! SRV_OPEN: one open on the server, of one handle or of several that share it. Holds the binding
//! it was opened under for its whole life.

use crate::base::ids::Generation;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::mrx::request::{Buffering, Extension, OpenOptions, OpenRef};
use crate::rdbss::objects::fcb::{Binding, Fcb};
use crate::rdbss::objects::shared_opens::{OpenNumber, SharedOpens};
use std::sync::Arc;

/// One open on the server.
pub struct SrvOpen {
    /// The file.
    pub fcb: Arc<Fcb>,
    /// The generation's tie it was opened under; its mini-redirector gets the close (stop.md S3).
    pub binding: Arc<Binding>,
    /// The mini-redirector's half.
    pub extension: Extension,
    /// How it was opened.
    pub options: OpenOptions,
    /// Is it a directory?
    pub directory: bool,
    /// What may be cached: the same for every handle that shares it.
    pub buffering: Buffering,
    /// Its number among the shared opens of its server; 0 if it is not shared.
    shared: AtomicU64,
}

impl SrvOpen {
    /// A new open; the FCB counts it.
    #[must_use]
    pub fn new(
        fcb: Arc<Fcb>,
        binding: Arc<Binding>,
        extension: Extension,
        (options, directory): (OpenOptions, bool),
        buffering: Buffering,
    ) -> Arc<Self> {
        fcb.opened();
        let shared = AtomicU64::new(0);
        Arc::new(Self { fcb, binding, extension, options, directory, buffering, shared })
    }

    /// It is shared from here on, under this number. Called by its table, under the table's lock.
    pub(in crate::rdbss) fn share_as(&self, number: OpenNumber) {
        self.shared.store(number.0, Ordering::Release);
    }

    /// Its number, if it is shared.
    #[must_use]
    pub fn shared(&self) -> Option<OpenNumber> {
        match self.shared.load(Ordering::Acquire) {
            0 => None,
            number => Some(OpenNumber(number)),
        }
    }

    /// The table of shared opens it belongs to.
    #[must_use]
    pub fn table(&self) -> &SharedOpens {
        &self.binding.view.net_root.srv_call.shared_opens
    }

    /// The generation it belongs to.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.binding.generation()
    }

    /// The open as a calldown takes it.
    #[must_use]
    pub fn open(&self) -> OpenRef<'_> {
        OpenRef { file: self.binding.file(), extension: &self.extension, options: self.options }
    }
}

impl Drop for SrvOpen {
    fn drop(&mut self) {
        self.fcb.closed();
    }
}
