//! The proof, to the service manager, that the control plane lives.
//!
//! A thread asks for the mount's status as any client does, over the control socket: so the socket
//! accepts, a call runs, the device's locks are free. Only an answer is passed on as WATCHDOG=1. It
//! touches no server and no mount: one that hangs is no reason to end the daemon, because every
//! verb works while it does. A control plane that does not answer is: nobody could stop the mount
//! in order any more.

use crate::app::notify::notifier::Notifier;
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::mgmt::client::{Client, ClientError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The thread that asks; ended and joined when dropped.
pub(in crate::app) struct Watchdog {
    ended: Arc<Ended>,
    thread: Option<Thread>,
}

struct Ended {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Ended {
    fn is_set(&self) -> bool {
        *self.flag.lock()
    }

    /// Sleeps up to `limit`; true when it is the end.
    fn wait(&self, limit: Duration) -> bool {
        let mut flag = self.flag.lock();
        while !*flag {
            if self.changed.wait_for(&mut flag, limit) {
                break;
            }
        }
        *flag
    }
}

impl Watchdog {
    /// Asks the daemon behind `socket` at once and then twice in each `period`, as
    /// `sd_watchdog_enabled(3)` advises, and lets `notifier` know of each answer.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub fn start(
        period: Duration,
        socket: PathBuf,
        notifier: Arc<Notifier>,
    ) -> std::io::Result<Self> {
        let flag = Mutex::new(Rank::Leaf, false);
        let ended = Arc::new(Ended { flag, changed: Condvar::new() });
        let seen = ended.clone();
        let thread = threads::spawn("sd-watchdog", move || {
            let mut silent = false;
            loop {
                match answers(&socket, &seen) {
                    Ok(()) => {
                        notifier.alive();
                        silent = false;
                    }
                    Err(error) if !silent && !seen.is_set() => {
                        silent = true;
                        log::error!("the control plane does not answer: {error}");
                    }
                    Err(_) => {}
                }
                if seen.wait(period / 2) {
                    return;
                }
            }
        })?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.ended.flag.lock() = true;
        self.ended.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

/// One call from its connection to its answer. That there are too many clients is an answer, too.
fn answers(socket: &Path, ended: &Arc<Ended>) -> Result<(), ClientError> {
    let mut client = Client::connect(socket)?;
    let seen = ended.clone();
    client.while_waiting(move || match seen.is_set() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    match client.status() {
        Ok(_) | Err(ClientError::Failed { .. } | ClientError::Denied(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::mgmt::events::EventQueue;

    /// A control plane that takes a call and does not answer is not alive; and does not hold up the
    /// end of the watchdog.
    #[test]
    fn only_an_answer_proves_life() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("t.sock");
        let flag = Mutex::new(Rank::Leaf, true);
        let ended = Arc::new(Ended { flag, changed: Condvar::new() });
        let error = answers(&path, &ended).expect_err("nobody is there");
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        let _mute = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let error = answers(&path, &ended).expect_err("nobody answers");
        assert!(matches!(error, ClientError::Interrupted), "{error}");
        let clock = SystemClock::shared();
        let events = EventQueue::new(clock.clone());
        let look = || unreachable!("nobody is told");
        let notifier = Arc::new(Notifier::start(None, clock, &events, look));
        let watchdog = Watchdog::start(Duration::from_secs(3600), path, notifier);
        drop(watchdog.expect("room for a thread"));
    }
}
