//! FOBX: one open handle of an application. It stays what it is over a stop; the SRV_OPEN under it
//! may be replaced by a reclaimed one (stop.md S4).

use crate::base::clock::Moment;
use crate::base::ids::Caller;
use crate::base::sync::{Mutex, Rank};
use crate::rdbss::objects::srv_open::SrvOpen;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One open handle.
pub struct Fobx {
    /// Who opened it, as the kernel said at OPEN; after a fork or a passed descriptor the holder is
    /// another process (gate.md §2).
    pub opened_by: Caller,
    /// When.
    pub opened_at: Moment,
    /// The open under it, and whether it has been taken to be closed.
    srv_open: Mutex<(Arc<SrvOpen>, bool)>,
    survivor: AtomicBool,
    flushed: AtomicBool,
    dirty: AtomicBool,
    unsent_bytes: AtomicU64,
}

impl Fobx {
    /// A new handle on a SRV_OPEN.
    #[must_use]
    pub fn new(srv_open: Arc<SrvOpen>, opened_by: Caller, opened_at: Moment) -> Self {
        Self {
            opened_by,
            opened_at,
            srv_open: Mutex::new(Rank::Context, (srv_open, false)),
            survivor: AtomicBool::new(false),
            flushed: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            unsent_bytes: AtomicU64::new(0),
        }
    }

    /// The open under it.
    #[must_use]
    pub fn srv_open(&self) -> Arc<SrvOpen> {
        self.srv_open.lock().0.clone()
    }

    /// The open under it, to be closed: no reclaim can replace it any more.
    #[must_use]
    pub fn take_for_close(&self) -> Arc<SrvOpen> {
        let mut srv_open = self.srv_open.lock();
        srv_open.1 = true;
        srv_open.0.clone()
    }

    /// A reclaimed open takes the place of the orphaned one, which is returned to be closed.
    ///
    /// # Errors
    /// The fresh open back, if the handle is being closed: then that is the one to close.
    pub fn reclaim(&self, fresh: Arc<SrvOpen>) -> Result<Arc<SrvOpen>, Arc<SrvOpen>> {
        let mut srv_open = self.srv_open.lock();
        if srv_open.1 {
            return Err(fresh);
        }
        let old = std::mem::replace(&mut srv_open.0, fresh);
        self.survivor.store(false, Ordering::Release);
        Ok(old)
    }

    /// A stop ended and this handle was still open: it is orphaned (stop.md §4 step 9).
    pub fn orphan(&self) {
        self.survivor.store(true, Ordering::Release);
    }

    /// Is it an orphan of an earlier generation?
    #[must_use]
    pub fn is_survivor(&self) -> bool {
        self.survivor.load(Ordering::Acquire)
    }

    /// A close of some descriptor was seen.
    pub fn mark_flushed(&self) {
        self.flushed.store(true, Ordering::Relaxed);
    }

    /// Was one seen?
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.flushed.load(Ordering::Relaxed)
    }

    /// Something was written that has not been committed.
    pub fn mark_dirty(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Was something? The caller commits it, or marks it dirty again.
    #[must_use]
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }

    /// Bytes handed over by the application and not on the server: writes in flight, and what a
    /// mini-redirector keeps back.
    #[must_use]
    pub fn unsent_bytes(&self) -> u64 {
        self.unsent_bytes.load(Ordering::Relaxed)
    }

    /// A write of this many bytes began.
    pub fn add_unsent(&self, bytes: u64) {
        self.unsent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It ended.
    pub fn sub_unsent(&self, bytes: u64) {
        self.unsent_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
