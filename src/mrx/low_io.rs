//! Low I/O: calldowns that may complete later (MRxLowIOSubmit, rdbss.md 4.3 and 5).
//!
//! A callout either returns `LowIo::Done(result)`, or takes the [`Completer`] with
//! [`Submission::pend`], returns `LowIo::Pending`, and completes from any thread when it likes.
//! The request stays counted in flight until then. A `Completer` answers exactly once: completing
//! consumes it, and dropping it unused answers STATUS_UNSUCCESSFUL and counts as a defect.

use crate::base::status::Status;

/// How a low I/O callout ended.
#[must_use]
pub enum LowIo<T> {
    /// It is over.
    Done(Result<T, Status>),
    /// It goes on; the [`Completer`] has been taken.
    Pending,
}

impl<T> From<Result<T, Status>> for LowIo<T> {
    fn from(result: Result<T, Status>) -> Self {
        Self::Done(result)
    }
}

type Finish<T> = Box<dyn FnOnce(Result<T, Status>) + Send>;

/// Completes one pending request, once, from any thread.
#[must_use = "dropping it fails the request"]
pub struct Completer<T> {
    finish: Option<Finish<T>>,
}

impl<T> Completer<T> {
    /// Wraps what the core does with the result.
    pub fn new(finish: impl FnOnce(Result<T, Status>) + Send + 'static) -> Self {
        Self { finish: Some(Box::new(finish)) }
    }

    /// Ends the request. If its caller has given up meanwhile the result is dropped and counted.
    pub fn complete(mut self, result: Result<T, Status>) {
        if let Some(finish) = self.finish.take() {
            finish(result);
        }
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        if let Some(finish) = self.finish.take() {
            log::error!("a mini-redirector dropped a pending request without completing it");
            finish(Err(Status::Unsuccessful));
        }
    }
}

/// A callout's chance to become asynchronous; used at most once.
pub struct Submission<'a, T> {
    pend: &'a mut dyn FnMut() -> Completer<T>,
}

impl<'a, T> Submission<'a, T> {
    /// `pend` is called at most once.
    pub fn new(pend: &'a mut dyn FnMut() -> Completer<T>) -> Self {
        Self { pend }
    }

    /// Takes the completer; the callout must then return [`LowIo::Pending`].
    pub fn pend(self) -> Completer<T> {
        (self.pend)()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_dropped_completer_fails_its_request_once() {
        let (sender, receiver) = mpsc::channel();
        drop(Completer::<u32>::new(move |result| sender.send(result).expect("receiver lives")));
        assert_eq!(receiver.recv(), Ok(Err(Status::Unsuccessful)));
        assert!(receiver.recv().is_err(), "answered once");
    }
}
