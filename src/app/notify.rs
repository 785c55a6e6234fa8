//! What the service manager (systemd) is told of this daemon: `sd_notify(3)`.
//!
//! `words` decides what is said and when, and is pure; `socket` sends it; `notifier` is the one
//! thread that does; `watchdog` proves to the manager that the control plane lives. The crate
//! `sd-notify` is not used: it knows no abstract addresses, waits for ever when the manager does
//! not read, and would take the variable out of the environment by unsafe code.

pub(in crate::app) mod notifier;
mod socket;
pub(in crate::app) mod watchdog;
mod words;

pub use socket::{NotifyError, hand_over};

use std::ffi::OsString;
use std::time::Duration;

/// The service manager that started this daemon, and wants to hear from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Its socket, as `NOTIFY_SOCKET` has it: a path, or an abstract name after a `@`.
    pub address: OsString,
    /// It ends a daemon that it does not hear of for so long.
    pub watchdog: Option<Duration>,
    /// Somebody else says READY: the process that the manager started, which starts this one in the
    /// background and hands the service over to it. Nothing is said before.
    pub handed_over: bool,
}
