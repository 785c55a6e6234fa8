//! Callouts of the control thread, made so that a server that never answers cannot wedge it (S6).
//!
//! The callout runs on a thread of its own; the control thread waits for it, looking again and
//! again whether the stop has been tightened or taken back. A callout that is given up on keeps its
//! thread until it returns, if ever; the thread is counted as abandoned.

use crate::base::status::Status;
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads;
use crate::mrx::low_io::{Completer, LowIo, Submission};
use crate::rdbss::calldown;
use std::sync::Arc;
use std::time::Duration;

/// How often the waiter looks whether it should go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(50);

struct Slot<T> {
    result: Mutex<Option<Result<T, Status>>>,
    filled: Condvar,
}

/// Runs `body` and waits for it while `go_on` says so. `IoTimeout` when it was given up on.
///
/// # Errors
/// The callout's own; `Unsuccessful` for a panic; `IoTimeout`; `InsufficientResources` with no
/// thread.
pub(in crate::rdbss) fn call_bounded<T: Send + 'static>(
    callout: &'static str,
    go_on: impl Fn() -> bool,
    body: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let slot = Arc::new(Slot { result: Mutex::new(Rank::Leaf, None), filled: Condvar::new() });
    let filler = slot.clone();
    let spawned = threads::spawn(&format!("mrx-{callout}"), move || {
        let result = calldown::call_always(callout, body);
        *filler.result.lock() = Some(result);
        filler.filled.notify_all();
    });
    let thread = spawned.map_err(|error| {
        log::error!("no thread for {callout}: {error}");
        Status::InsufficientResources
    })?;
    loop {
        let mut result = slot.result.lock();
        if result.is_none() {
            slot.filled.wait_for(&mut result, LOOK_EVERY);
        }
        if let Some(result) = result.take() {
            thread.join();
            return result;
        }
        drop(result);
        if !go_on() {
            log::error!("{callout} did not return in time and was given up on");
            thread.abandon();
            return Err(Status::IoTimeout);
        }
    }
}

/// Makes a low I/O callout and waits for its completion, on a thread that may wait: one that
/// [`call_bounded`] made.
pub(in crate::rdbss) fn wait_low_io<T: Send + 'static>(
    submit: impl FnOnce(Submission<'_, T>) -> LowIo<T>,
) -> Result<T, Status> {
    let slot = Arc::new(Slot { result: Mutex::new(Rank::Leaf, None), filled: Condvar::new() });
    let filler = slot.clone();
    let mut pend = move || {
        let filler = filler.clone();
        Completer::new(move |result| {
            *filler.result.lock() = Some(result);
            filler.filled.notify_all();
        })
    };
    match submit(Submission::new(&mut pend)) {
        LowIo::Done(result) => result,
        LowIo::Pending => {
            let mut result = slot.result.lock();
            loop {
                if let Some(result) = result.take() {
                    return result;
                }
                slot.filled.wait(&mut result);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stop.md S6: a hang, a panic and an error each come back as a status.
    #[test]
    fn s6_nothing_a_callout_does_wedges_the_caller() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hung = call_bounded(
            "t-hang",
            || false,
            move || {
                let _ = held.recv();
                Ok(())
            },
        );
        assert_eq!(hung, Err(Status::IoTimeout));
        drop(release);
        let panicked = call_bounded::<()>("t-panic", || true, || panic!("planted"));
        assert_eq!(panicked, Err(Status::Unsuccessful));
        assert_eq!(call_bounded("t-fine", || true, || Ok(7)), Ok(7));
    }
}
