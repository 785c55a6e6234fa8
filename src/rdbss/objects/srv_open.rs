//! SRV_OPEN: one open on the server. Holds the binding it was opened under for its whole life.

use crate::base::ids::Generation;
use crate::mrx::request::{Extension, OpenOptions, OpenRef};
use crate::rdbss::objects::fcb::{Binding, Fcb};
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
}

impl SrvOpen {
    /// A new open; the FCB counts it.
    #[must_use]
    pub fn new(
        fcb: Arc<Fcb>,
        binding: Arc<Binding>,
        extension: Extension,
        options: OpenOptions,
        directory: bool,
    ) -> Arc<Self> {
        fcb.opened();
        Arc::new(Self { fcb, binding, extension, options, directory })
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
