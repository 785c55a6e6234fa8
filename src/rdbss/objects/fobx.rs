//! FOBX: one open handle of an application. It stays what it is over a stop; the SRV_OPEN under it
//! may be replaced by a reclaimed one (stop.md S4).

use crate::base::clock::Moment;
use crate::base::ids::{Caller, Generation};
use crate::base::status::Status;
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::{Mutex, Rank};
use crate::rdbss::objects::srv_open::SrvOpen;
use std::sync::{Arc, Weak};

/// One open handle.
pub struct Fobx {
    /// Who opened it, as the kernel said at OPEN; after a fork or a passed descriptor the holder is
    /// another process (gate.md §2).
    pub opened_by: Caller,
    /// When.
    pub opened_at: Moment,
    under: Mutex<Under>,
    flushed: AtomicBool,
    uncommitted_bytes: AtomicU64,
    told: AtomicBool,
    unsent_bytes: AtomicU64,
}

/// What is under a handle. Changed together, so that the device can count its survivors.
struct Under {
    srv_open: Arc<SrvOpen>,
    /// It has been taken to be closed.
    closing: bool,
    survivor: bool,
    /// Cleanups and closes on their way to the server under it.
    cleanups: u32,
    /// It was taken from its holder: only cleanup, close and page write-back go on.
    detached: bool,
}

/// A cleanup or close on its way. Until it is dropped nothing replaces what is under its handle: it
/// passed the gate as a request of that generation, and ends in that generation.
pub struct Cleanup(Weak<Fobx>);

impl Drop for Cleanup {
    fn drop(&mut self) {
        if let Some(fobx) = self.0.upgrade() {
            fobx.under.lock().cleanups -= 1;
        }
    }
}

impl Fobx {
    /// A new handle on a SRV_OPEN.
    #[must_use]
    pub fn new(srv_open: Arc<SrvOpen>, opened_by: Caller, opened_at: Moment) -> Self {
        Self {
            opened_by,
            opened_at,
            under: Mutex::new(
                Rank::Context,
                Under { srv_open, closing: false, survivor: false, cleanups: 0, detached: false },
            ),
            flushed: AtomicBool::new(false),
            uncommitted_bytes: AtomicU64::new(0),
            told: AtomicBool::new(false),
            unsent_bytes: AtomicU64::new(0),
        }
    }

    /// The open under it.
    #[must_use]
    pub fn srv_open(&self) -> Arc<SrvOpen> {
        self.under.lock().srv_open.clone()
    }

    /// A cleanup or close begins, in the generation it says.
    #[must_use]
    pub fn begin_cleanup(self: &Arc<Self>) -> (Cleanup, Generation) {
        let mut under = self.under.lock();
        under.cleanups += 1;
        (Cleanup(Arc::downgrade(self)), under.srv_open.generation())
    }

    /// Is one on its way?
    #[must_use]
    pub fn is_cleaned_up(&self) -> bool {
        self.under.lock().cleanups > 0
    }

    /// The open under it, for I/O of its holder.
    ///
    /// # Errors
    /// `RedirectorNotStarted` when the handle was detached.
    pub fn srv_open_for_io(&self) -> Result<Arc<SrvOpen>, Status> {
        let under = self.under.lock();
        if under.detached { Err(Status::RedirectorNotStarted) } else { Ok(under.srv_open.clone()) }
    }

    /// Takes the handle from its holder. `None` if it is being closed; else whether it was detached
    /// already, and whether it was a survivor, which it is no longer.
    #[must_use]
    pub fn detach(&self) -> Option<(bool, bool)> {
        let mut under = self.under.lock();
        if under.closing {
            return None;
        }
        let already = std::mem::replace(&mut under.detached, true);
        Some((already, std::mem::take(&mut under.survivor)))
    }

    /// Was it taken from its holder?
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.under.lock().detached
    }

    /// The open under it, to be closed: no reclaim can replace it any more. And whether the handle
    /// was a survivor, which it is no longer.
    #[must_use]
    pub fn take_for_close(&self) -> (Arc<SrvOpen>, bool) {
        let mut under = self.under.lock();
        under.closing = true;
        (under.srv_open.clone(), std::mem::take(&mut under.survivor))
    }

    /// A reclaimed open takes the place of the orphaned one, which is returned to be closed; the
    /// handle is no survivor any more.
    ///
    /// # Errors
    /// The fresh open back, if the handle is being closed or cleaned up, or is detached: then that
    /// is the one to close.
    pub fn reclaim(&self, fresh: Arc<SrvOpen>) -> Result<Arc<SrvOpen>, Arc<SrvOpen>> {
        let mut under = self.under.lock();
        if under.closing || under.cleanups > 0 || under.detached {
            return Err(fresh);
        }
        under.survivor = false;
        Ok(std::mem::replace(&mut under.srv_open, fresh))
    }

    /// A stop ended and this handle was still open: it is orphaned (stop.md §4 step 9). True if it
    /// is one more; false if it was one already, is being closed, or was detached before.
    #[must_use]
    pub fn orphan(&self) -> bool {
        let mut under = self.under.lock();
        if under.closing || under.detached {
            return false;
        }
        !std::mem::replace(&mut under.survivor, true)
    }

    /// Is it an orphan of an earlier generation?
    #[must_use]
    pub fn is_survivor(&self) -> bool {
        self.under.lock().survivor
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

    /// So many bytes were written that have not been committed.
    pub fn add_uncommitted(&self, bytes: u64) {
        self.uncommitted_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// So many bytes were written: nobody has been told of a failure to commit these.
    pub fn wrote(&self, bytes: u64) {
        self.told.store(false, Ordering::Release);
        self.add_uncommitted(bytes);
    }

    /// That what is uncommitted could not be committed has been told: to its application, or in a
    /// loss.
    pub fn mark_told(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// Has it been told?
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Is it being closed, or closed?
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.under.lock().closing
    }

    /// Is there anything to commit?
    #[must_use]
    pub fn is_uncommitted(&self) -> bool {
        self.uncommitted_bytes.load(Ordering::Acquire) > 0
    }

    /// Bytes written since the last commit.
    #[must_use]
    pub fn uncommitted_bytes(&self) -> u64 {
        self.uncommitted_bytes.load(Ordering::Acquire)
    }

    /// Bytes written since the last commit; 0 if there is nothing to commit. The caller commits
    /// them, or gives them back.
    #[must_use]
    pub fn take_uncommitted(&self) -> u64 {
        self.uncommitted_bytes.swap(0, Ordering::AcqRel)
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
