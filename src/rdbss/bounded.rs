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
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// How often the waiter looks whether it should go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The control thread waits so many looks for the end of an object.
const LOOKS_FOR_AN_END: u32 = 10;

#[allow(clippy::missing_const_for_thread_local, reason = "loom's macro takes no const block")]
mod this_thread {
    use std::cell::Cell;

    crate::base::sync::thread_local! {
        /// Is this the control thread of a device?
        pub(super) static CONTROLS: Cell<bool> = Cell::new(false);
    }
}
use this_thread::CONTROLS;

/// From here on this thread is the control thread of its device.
pub(in crate::rdbss) fn this_thread_controls() {
    CONTROLS.with(|controls| controls.set(true));
}

/// The end of an object, which is the mini-redirector's code: wherever its last reference is
/// dropped. The control thread may be who looked at a handle while somebody else closed it; it
/// waits no longer than a moment (S6).
pub(in crate::rdbss) fn finalize(callout: &'static str, body: impl FnOnce() + Send + 'static) {
    if !CONTROLS.with(Cell::get) {
        return calldown::guard_drop(callout, body);
    }
    let looks = Cell::new(0);
    let go_on = || {
        looks.set(looks.get() + 1);
        looks.get() < LOOKS_FOR_AN_END
    };
    let body = move || {
        body();
        Ok(())
    };
    if let Err(status) = call_bounded(callout, go_on, body) {
        log::warn!("{callout}: {status}");
    }
}

/// Where a callout's thread and its waiter meet: one of the two comes first, and both know which.
enum Outcome<T> {
    Running,
    Ended(Result<T, Status>),
    GivenUp,
}

struct Slot<T> {
    outcome: Mutex<Outcome<T>>,
    changed: Condvar,
}

impl<T> Slot<T> {
    fn new() -> Arc<Self> {
        let outcome = Mutex::new(Rank::Leaf, Outcome::Running);
        Arc::new(Self { outcome, changed: Condvar::new() })
    }

    /// The callout ended. Hands the result back if nobody waits for it any more.
    fn fill(&self, result: Result<T, Status>) -> Option<Result<T, Status>> {
        let mut outcome = self.outcome.lock();
        if matches!(*outcome, Outcome::GivenUp) {
            return Some(result);
        }
        *outcome = Outcome::Ended(result);
        drop(outcome);
        self.changed.notify_all();
        None
    }

    /// Takes the result if there is one, after waiting up to `limit` for it.
    fn take(&self, limit: Duration) -> Option<Result<T, Status>> {
        let mut outcome = self.outcome.lock();
        if matches!(*outcome, Outcome::Running) {
            self.changed.wait_for(&mut outcome, limit);
        }
        take_ended(&mut outcome)
    }

    /// Waits no longer, unless the callout has ended this very moment.
    fn give_up(&self) -> Option<Result<T, Status>> {
        let mut outcome = self.outcome.lock();
        let ended = take_ended(&mut outcome);
        if ended.is_none() {
            *outcome = Outcome::GivenUp;
        }
        ended
    }
}

fn take_ended<T>(outcome: &mut Outcome<T>) -> Option<Result<T, Status>> {
    match std::mem::replace(outcome, Outcome::Running) {
        Outcome::Ended(result) => Some(result),
        Outcome::Running => None,
        Outcome::GivenUp => {
            *outcome = Outcome::GivenUp;
            None
        }
    }
}

/// Runs `body` and waits for it while `go_on` says so. `IoTimeout` when it was given up on; what it
/// returns then is dropped on its own thread.
///
/// # Errors
/// The callout's own; `Unsuccessful` for a panic; `IoTimeout`; `InsufficientResources` with no
/// thread.
pub(in crate::rdbss) fn call_bounded<T: Send + 'static>(
    callout: &'static str,
    go_on: impl Fn() -> bool,
    body: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    call_bounded_or_undo(callout, go_on, body, drop)
}

/// The same; what a callout returns after it was given up on is handed to `undo`, on the callout's
/// thread, so that a late success leaves nothing behind.
///
/// # Errors
/// As [`call_bounded`].
pub(in crate::rdbss) fn call_bounded_or_undo<T: Send + 'static>(
    callout: &'static str,
    go_on: impl Fn() -> bool,
    body: impl FnOnce() -> Result<T, Status> + Send + 'static,
    undo: impl FnOnce(T) + Send + 'static,
) -> Result<T, Status> {
    let slot = Slot::new();
    let filler = slot.clone();
    let spawned = threads::spawn(&format!("mrx-{callout}"), move || {
        if let Some(Ok(late)) = filler.fill(calldown::call_always(callout, body)) {
            calldown::guard_drop(callout, || undo(late));
        }
    });
    let thread = spawned.map_err(|error| {
        log::error!("no thread for {callout}: {error}");
        Status::InsufficientResources
    })?;
    loop {
        let ended = match slot.take(LOOK_EVERY) {
            None if !go_on() => slot.give_up(),
            None => continue,
            ended => ended,
        };
        let Some(result) = ended else {
            log::error!("{callout} did not return in time and was given up on");
            thread.abandon();
            return Err(Status::IoTimeout);
        };
        thread.join();
        return result;
    }
}

/// Makes a low I/O callout and waits for its completion, on a thread that may wait: one that
/// [`call_bounded`] made.
pub(in crate::rdbss) fn wait_low_io<T: Send + 'static>(
    submit: impl FnOnce(Submission<'_, T>) -> LowIo<T>,
) -> Result<T, Status> {
    let slot = Slot::new();
    let filler = slot.clone();
    let mut pend = move || {
        let filler = filler.clone();
        Completer::new(move |result| {
            // Nobody gives up on this slot: the result is taken.
            let _ = filler.fill(result);
        })
    };
    match submit(Submission::new(&mut pend)) {
        LowIo::Done(result) => result,
        LowIo::Pending => loop {
            if let Some(result) = slot.take(LOOK_EVERY) {
                return result;
            }
        },
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

    /// Stop.md S6: the control thread is not wedged by the end of an object that hangs; it waits
    /// for one that does not.
    #[test]
    fn s6_an_end_that_hangs_does_not_wedge_the_control_thread() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (sender, ended) = std::sync::mpsc::channel();
        let control = threads::spawn("t-control", move || {
            this_thread_controls();
            let told = sender.clone();
            finalize("t-end", move || told.send("quick").expect("the test listens"));
            finalize("t-end", move || assert!(held.recv().is_err()));
            sender.send("past the hanging one").expect("the test listens");
        });
        let soon = Duration::from_secs(20);
        assert_eq!(ended.recv_timeout(soon), Ok("quick"));
        assert_eq!(ended.recv_timeout(soon), Ok("past the hanging one"));
        drop(release);
        control.expect("room for a thread").join();
    }

    /// Stop.md S6: what comes after it was given up on is undone.
    #[test]
    fn s6_a_late_success_is_undone() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (sender, undone) = std::sync::mpsc::channel();
        let body = move || {
            let _ = held.recv();
            Ok(7)
        };
        let undo = move |late| sender.send(late).expect("the test listens");
        let hung = call_bounded_or_undo("t-late", || false, body, undo);
        assert_eq!(hung, Err(Status::IoTimeout));
        drop(release);
        assert_eq!(undone.recv_timeout(Duration::from_secs(20)), Ok(7));
    }
}
