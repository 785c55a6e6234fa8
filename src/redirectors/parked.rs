//! A pending request between the one who will end it and the one who may cancel it.
//!
//! Either takes the completer out; who comes second finds nothing and does nothing. So a request is
//! answered once whatever the order, and cancelling needs no search through a queue.

use crate::base::status::Status;
use crate::base::sync::{Mutex, Rank};
use crate::mrx::low_io::{Completer, Submission};
use crate::mrx::upcall::RequestContext;
use std::sync::Arc;

/// A request that has not been answered, or just was.
pub(crate) struct Parked<T>(Mutex<Option<Completer<T>>>);

impl<T: 'static> Parked<T> {
    /// Makes the request pending and cancellable. Was it cancelled already, it is answered at once
    /// and there is nothing to take; the callout returns `Pending` all the same.
    pub(crate) fn park(context: &dyn RequestContext, submission: Submission<'_, T>) -> Arc<Self> {
        let parked = Arc::new(Self(Mutex::new(Rank::Leaf, Some(submission.pend()))));
        let cancelled = Arc::clone(&parked);
        if context.set_cancel_routine(Box::new(move || cancelled.cancel())).is_err() {
            parked.cancel();
        }
        parked
    }

    /// Takes the right to answer.
    pub(crate) fn take(&self) -> Option<Completer<T>> {
        self.0.lock().take()
    }

    /// Was it answered, or is it being?
    pub(crate) fn is_taken(&self) -> bool {
        self.0.lock().is_none()
    }

    /// Answers that it was cancelled, if nobody answered yet.
    pub(crate) fn cancel(&self) {
        if let Some(completer) = self.take() {
            completer.complete(Err(Status::Cancelled));
        }
    }
}
