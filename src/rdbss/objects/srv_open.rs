//! SRV_OPEN: one open on the server, of one handle or of several that share it. Holds the binding
//! it was opened under for its whole life.

use crate::base::ids::Generation;
use crate::mrx::request::{Buffering, Extension, OpenOptions, OpenRef};
use crate::rdbss::objects::fcb::{Binding, Fcb};
use crate::rdbss::objects::shared_opens::{OpenNumber, SharedOpens};
use std::sync::{Arc, OnceLock};

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
    /// Its number among the shared opens of its server, if it may be shared.
    shared: OnceLock<OpenNumber>,
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
        let shared = OnceLock::new();
        Arc::new(Self { fcb, binding, extension, options, directory, buffering, shared })
    }

    /// It may be shared from here on, under this number.
    pub(in crate::rdbss) fn share_as(&self, number: OpenNumber) {
        let _ = self.shared.set(number);
    }

    /// Its number, if it may be shared.
    #[must_use]
    pub fn shared(&self) -> Option<OpenNumber> {
        self.shared.get().copied()
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
