//! A wait that can be interrupted, shows progress, and notices a passed deadline.
//!
//! It looks at the mount over a connection of its own, so that the connection that waits is not
//! disturbed. An interrupt ends the wait, never what is waited for.

use crate::base::clock::{Clock, Moment, SystemClock};
use crate::base::stop::OnDeadline;
use crate::cli::exit::Trouble;
use crate::cli::locate::Target;
use crate::cli::progress::Progress;
use crate::mgmt::client::Client;
use crate::mgmt::proto::MountStatus;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the mount is looked at while a call waits.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Becomes true at the first SIGINT; the second ends the process as if nobody listened.
///
/// # Errors
/// The system has no room for a signal handler.
pub fn interrupt_flag() -> Result<Arc<AtomicBool>, Trouble> {
    let flag = Arc::new(AtomicBool::new(false));
    let registered =
        signal_hook::flag::register_conditional_default(signal_hook::consts::SIGINT, flag.clone())
            .and_then(|_| signal_hook::flag::register(signal_hook::consts::SIGINT, flag.clone()));
    match registered {
        Ok(_) => Ok(flag),
        Err(error) => Err(Trouble::system("listen for interrupts", &error)),
    }
}

/// The same for all that is to end this process: SIGTERM and SIGHUP, too.
///
/// # Errors
/// As [`interrupt_flag`].
pub fn end_flag() -> Result<Arc<AtomicBool>, Trouble> {
    use signal_hook::consts::{SIGHUP, SIGTERM};
    let flag = interrupt_flag()?;
    for signal in [SIGTERM, SIGHUP] {
        let registered = signal_hook::flag::register_conditional_default(signal, flag.clone())
            .and_then(|_| signal_hook::flag::register(signal, flag.clone()));
        registered.map_err(|error| Trouble::system("listen for the end", &error))?;
    }
    Ok(flag)
}

/// One wait.
#[derive(Debug)]
pub struct Vigil {
    interrupted: Arc<AtomicBool>,
    deadline_passed: Arc<AtomicBool>,
}

impl Vigil {
    /// Starts to listen for an interrupt.
    ///
    /// # Errors
    /// As [`interrupt_flag`].
    pub fn new() -> Result<Self, Trouble> {
        Ok(Self { interrupted: interrupt_flag()?, deadline_passed: Arc::default() })
    }

    /// Has whatever `client` waits for watched. `end_at` is the policy of a stop whose deadline
    /// ends the wait, if it is `stay`.
    pub fn keep(&self, client: &mut Client, target: &Target, end_at: Option<OnDeadline>) {
        let clock = SystemClock::new();
        let mut watch = Watch {
            interrupted: self.interrupted.clone(),
            deadline_passed: self.deadline_passed.clone(),
            ends_at_deadline: end_at == Some(OnDeadline::Stay),
            target: target.clone(),
            client: None,
            next_look: clock.now(),
            clock,
            progress: Progress::new(),
        };
        client.while_waiting(move || watch.look());
    }

    /// Whether to go on, for callbacks between messages: while they come thick and fast, nothing
    /// else asks.
    pub fn go_on(&self) -> ControlFlow<()> {
        match self.interrupted.load(Ordering::SeqCst) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Did the wait end because the deadline of a `stay` stop passed?
    #[must_use]
    pub fn deadline_passed(&self) -> bool {
        self.deadline_passed.load(Ordering::SeqCst)
    }
}

/// What looks at the mount between two slices of a wait.
struct Watch {
    interrupted: Arc<AtomicBool>,
    deadline_passed: Arc<AtomicBool>,
    ends_at_deadline: bool,
    target: Target,
    client: Option<Client>,
    next_look: Moment,
    clock: SystemClock,
    progress: Progress,
}

impl Watch {
    fn look(&mut self) -> ControlFlow<()> {
        if self.interrupted.load(Ordering::SeqCst) {
            return ControlFlow::Break(());
        }
        if self.clock.now() < self.next_look {
            return ControlFlow::Continue(());
        }
        if let Some(status) = self.status() {
            let running = status.running.as_ref();
            if self.ends_at_deadline && running.is_some_and(|running| running.deadline_passed) {
                self.deadline_passed.store(true, Ordering::SeqCst);
                return ControlFlow::Break(());
            }
            self.progress.show(&status);
        }
        self.next_look = self.clock.now().after(LOOK_EVERY);
        ControlFlow::Continue(())
    }

    /// The mount's state; none when the daemon does not say, which the waiting call will find out.
    fn status(&mut self) -> Option<MountStatus> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => {
                let mut client = self.target.connect().ok()?;
                let interrupted = self.interrupted.clone();
                client.while_waiting(move || match interrupted.load(Ordering::SeqCst) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                });
                client
            }
        };
        let status = client.status().ok()?;
        self.client = Some(client);
        Some(status)
    }
}
