//! The daemon's signals (cli.md): each becomes an event on the stop lane, never an exit of its own.

use crate::app::control::HostControl;
use crate::base::ids::{Caller, TicketNumber};
use crate::base::stop::{Answer, OnDeadline, StopMode, StopOptions};
use crate::base::threads::{self, Thread};
use crate::mgmt::control::Control;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};
use std::sync::Arc;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// TERM, first INT: stop with the configured grace and deadline, unmount, exit.
    Stop,
    /// Second INT: the same, cancelling what can be cancelled at once.
    Cancel,
    /// QUIT: stop now.
    Abort,
    /// HUP: reopen the log.
    Reload,
    /// USR1: write the state to the log.
    LogState,
    /// USR2: debug logging on or off.
    ToggleDebug,
}

/// What `signal` asks for, `interrupts` INTs having come before.
#[must_use]
pub fn action(signal: i32, interrupts: u32) -> Option<SignalAction> {
    match signal {
        SIGTERM => Some(SignalAction::Stop),
        SIGINT if interrupts == 0 => Some(SignalAction::Stop),
        SIGINT => Some(SignalAction::Cancel),
        SIGQUIT => Some(SignalAction::Abort),
        SIGHUP => Some(SignalAction::Reload),
        SIGUSR1 => Some(SignalAction::LogState),
        SIGUSR2 => Some(SignalAction::ToggleDebug),
        _ => None,
    }
}

/// The thread that waits for signals; ended and joined by [`SignalThread::end`].
pub struct SignalThread {
    handle: Handle,
    thread: Thread,
}

impl SignalThread {
    /// Takes the signals over from here on. `terminate` is called for each one that ends the
    /// daemon, after its stop has been asked for, with the ticket of that if it was posted;
    /// `reload` for HUP.
    ///
    /// # Errors
    /// The system's.
    pub fn start(
        control: Arc<HostControl>,
        terminate: impl Fn(Option<TicketNumber>) + Send + 'static,
        reload: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2])?;
        let handle = signals.handle();
        let thread = threads::spawn("signals", move || {
            let mut interrupts = 0;
            for signal in signals.forever() {
                let Some(action) = action(signal, interrupts) else { continue };
                interrupts += u32::from(signal == SIGINT);
                log::info!("signal {signal}: {action:?}");
                carry_out(&control, action, &terminate, &reload);
            }
        })?;
        Ok(Self { handle, thread })
    }

    /// Ends the thread; the signals' default actions do not come back.
    pub fn end(self) {
        self.handle.close();
        self.thread.join();
    }
}

fn carry_out(
    control: &Arc<HostControl>,
    action: SignalAction,
    terminate: &impl Fn(Option<TicketNumber>),
    reload: &impl Fn(),
) {
    let mode = match action {
        SignalAction::Stop => StopMode::Drain,
        SignalAction::Cancel => StopMode::Cancel,
        SignalAction::Abort => StopMode::Abort,
        SignalAction::Reload => return reload(),
        SignalAction::LogState => {
            return match serde_json::to_string(&control.status()) {
                Ok(state) => log::info!("state: {state}"),
                Err(error) => log::error!("the state cannot be written: {error}"),
            };
        }
        SignalAction::ToggleDebug => {
            let debug = log::max_level() < log::LevelFilter::Debug;
            let level = if debug { log::LevelFilter::Debug } else { log::LevelFilter::Info };
            log::set_max_level(level);
            return log::info!("debug logging is {}", if debug { "on" } else { "off" });
        }
    };
    let options = stop_options(control, mode, "signal");
    // A signal has no caller that the system would name (SI_USER's pid can be forged by its sender
    // only to what it is, but a signal from the kernel has none): it is recorded as our own.
    let caller = own_caller();
    let ticket = match control.stop(caller, options) {
        Ok(Answer::Posted(ticket)) => {
            log::info!("stopping (ticket {ticket})");
            Some(ticket)
        }
        Ok(Answer::Done(_)) => {
            log::info!("already stopped");
            None
        }
        Err(error) => {
            log::error!("cannot stop: {error}");
            None
        }
    };
    terminate(ticket);
}

/// The stop of a signal or an unmount: the configured grace and deadline, and the mount goes too.
pub fn stop_options(control: &HostControl, mode: StopMode, reason: &str) -> StopOptions {
    let options = &control.config.options;
    let grace = (mode == StopMode::Drain && !options.stop_grace.is_zero())
        .then_some(options.stop_grace.as_secs_f64());
    StopOptions {
        mode,
        grace_s: grace,
        deadline_s: options.stop_deadline.map(|deadline| deadline.as_secs_f64()),
        on_deadline: match options.stop_on_deadline {
            // A process told to end cannot go back to serving.
            OnDeadline::Resume => OnDeadline::Cancel,
            other => other,
        },
        refuse_if_busy: false,
        unmount: true,
        lazy: true,
        reason: Some(reason.to_owned()),
    }
}

/// The daemon itself, as a caller.
#[must_use]
pub fn own_caller() -> Caller {
    Caller::local(
        std::process::id(),
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_has_its_meaning() {
        assert_eq!(action(SIGTERM, 5), Some(SignalAction::Stop));
        assert_eq!(action(SIGINT, 0), Some(SignalAction::Stop));
        assert_eq!(action(SIGINT, 1), Some(SignalAction::Cancel));
        assert_eq!(action(SIGQUIT, 0), Some(SignalAction::Abort));
        assert_eq!(action(SIGHUP, 0), Some(SignalAction::Reload));
        assert_eq!(action(SIGUSR1, 0), Some(SignalAction::LogState));
        assert_eq!(action(SIGUSR2, 0), Some(SignalAction::ToggleDebug));
        assert_eq!(action(64, 0), None);
    }
}
