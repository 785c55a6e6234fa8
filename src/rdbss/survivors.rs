//! Handles that outlive a stop, and the closes that a sealed stop puts off (stop.md §4 step 4, S3).

use crate::base::sync::{Mutex, Rank};
use crate::rdbss::device::Device;

/// A cleanup or close put off until `MRxStop` has returned.
pub type DeferredClose = Box<dyn FnOnce() + Send>;

/// The closes put off by the running stop. Bounded by the handles that are open.
#[derive(Default)]
pub struct DeferredCloses {
    /// `None`: nothing is put off, a close runs at once.
    waiting: Mutex<Option<Vec<DeferredClose>>>,
}

impl Default for Mutex<Option<Vec<DeferredClose>>> {
    fn default() -> Self {
        Self::new(Rank::Queue, None)
    }
}

impl DeferredCloses {
    /// From here on closes that the gate defers are kept. Called before the gate is sealed.
    pub fn begin(&self) {
        let mut waiting = self.waiting.lock();
        if waiting.is_none() {
            *waiting = Some(Vec::new());
        }
    }

    /// Keeps one, or hands it back to be run at once because `MRxStop` has returned meanwhile.
    pub fn put_off(&self, close: DeferredClose) -> Option<DeferredClose> {
        match &mut *self.waiting.lock() {
            Some(waiting) => {
                waiting.push(close);
                None
            }
            None => Some(close),
        }
    }

    /// Ends the putting off if nothing was kept: closes that come later run at once. False if
    /// something waits to be run.
    pub fn end_if_none(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let none = waiting.as_ref().is_none_or(Vec::is_empty);
        if none {
            *waiting = None;
        }
        none
    }

    /// Runs what was kept, with no lock held; closes that come later run at once. Returns how many.
    pub fn run_all(&self) -> usize {
        let waiting = self.waiting.lock().take().unwrap_or_default();
        let count = waiting.len();
        for close in waiting {
            close();
        }
        count
    }
}

impl Device {
    /// Step 9's moment for RELEASEs on their way: close(2) does not wait for them.
    pub(in crate::rdbss) fn wait_for_releases(&self) {
        let until = self.clock.now().after(self.options.release_grace);
        let mut inner = self.control.lock();
        while self.open_handles() > 0 {
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            self.control.wait_change(&mut inner, left);
        }
    }
}
