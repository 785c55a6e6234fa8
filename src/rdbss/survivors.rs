//! Handles that outlive a stop, and the closes that a sealed stop puts off (stop.md §4 step 4, S3).

use crate::base::sync::{Mutex, Rank};
use crate::rdbss::device::Device;
use crate::rdbss::stop_run::LOOK_SOON;

/// A cleanup or close put off until `MRxStop` has returned.
pub type DeferredClose = Box<dyn FnOnce() + Send>;

/// What became of a close that the gate deferred.
pub enum PutOff<T> {
    /// The sealed stop keeps it.
    Kept,
    /// `MRxStop` has returned: it runs now, uncounted.
    Over(T),
    /// That stop is over, or was taken back: the gate is to be asked again.
    AskAgain(T),
}

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

    /// Keeps one, or hands it back. `sealed`: is the gate sealed? Asked under the lock, which makes
    /// the answer exact: keeping begins before the gate is sealed, and a stop that is taken back
    /// opens the gate before it ends the keeping. So nobody keeps and it is sealed only when
    /// `MRxStop` has returned.
    pub fn put_off<T: Send + 'static>(
        &self,
        sealed: impl FnOnce() -> bool,
        close: T,
        run: impl FnOnce(T) + Send + 'static,
    ) -> PutOff<T> {
        match &mut *self.waiting.lock() {
            Some(waiting) => {
                waiting.push(Box::new(move || run(close)));
                PutOff::Kept
            }
            None if sealed() => PutOff::Over(close),
            None => PutOff::AskAgain(close),
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
        while self.load_of_all().handles > 0 {
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            let mut inner = self.control.lock();
            match self.dependents {
                // Looked at again with the lock held: a close that ends now is not missed.
                None if self.open_handles() > 0 => self.control.wait_change(&mut inner, left),
                None => {}
                // Theirs wake nobody here.
                Some(_) => self.control.wait_change(&mut inner, left.min(LOOK_SOON)),
            }
        }
    }
}
