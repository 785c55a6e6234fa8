//! Exit codes, and the one error a command can end with (cli.md, exit codes).

use crate::app::UsageError;
use std::fmt;

/// How a command ended, as scripts see it. Each number is a promise of cli.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exit(pub u8);

impl Exit {
    /// Done; also: already so; also: accepted and pending when not asked to wait.
    pub const DONE: Self = Self(0);
    /// Failed.
    pub const FAILED: Self = Self(1);
    /// The command line is wrong.
    pub const USAGE: Self = Self(2);
    /// Not running, or stopped (`status`).
    pub const NOT_RUNNING: Self = Self(3);
    /// The daemon cannot be reached: its state is unknown.
    pub const UNKNOWN: Self = Self(4);
    /// Not permitted.
    pub const NOT_PERMITTED: Self = Self(5);
    /// Handles are open, listed.
    pub const BUSY: Self = Self(10);
    /// The deadline passed, still draining.
    pub const STILL_DRAINING: Self = Self(11);
    /// The deadline passed, rolled back.
    pub const ROLLED_BACK: Self = Self(12);
    /// Stopped, and some data was not saved.
    pub const LOST: Self = Self(13);
    /// Already in that state, with `--strict`.
    pub const ALREADY: Self = Self(14);
    /// Interrupted while waiting; the stop itself goes on.
    pub const INTERRUPTED: Self = Self(130);
}

/// Every exit code with the sentence man pages print, in order.
pub const EXIT_TABLE: [(Exit, &str); 12] = [
    (Exit::DONE, "done; also already so; also accepted and pending when not asked to wait"),
    (Exit::FAILED, "failed; also stopped, when the mini-redirector's own stop failed"),
    (Exit::USAGE, "the command line is wrong"),
    (Exit::NOT_RUNNING, "not running, or stopped (status)"),
    (Exit::UNKNOWN, "state unknown: the daemon cannot be reached"),
    (Exit::NOT_PERMITTED, "not permitted"),
    (
        Exit::BUSY,
        "handles are open, and listed. With --check or --if-busy=refuse nothing was changed; \
         after a real stop the mount is stopped and these handles survive",
    ),
    (Exit::STILL_DRAINING, "the deadline passed, still draining (stay)"),
    (Exit::ROLLED_BACK, "the deadline passed, rolled back (resume)"),
    (Exit::LOST, "stopped, but some data was not saved"),
    (Exit::ALREADY, "already in that state (--strict)"),
    (Exit::INTERRUPTED, "interrupted while waiting; the stop itself goes on"),
];

/// Why a command could not give its answer: one line for people, a word and a number for scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The exit code.
    pub exit: Exit,
    /// The word of `--json`: `usage`, `failed`, `not_running`, `unreachable`, `not_permitted`.
    pub code: &'static str,
    /// One line: what was attempted on what, what was wrong, what would be right.
    pub message: String,
}

impl Trouble {
    /// The command line is wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::USAGE, code: "usage", message: message.into() }
    }

    /// Something was attempted and did not work.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::FAILED, code: "failed", message: message.into() }
    }

    /// There is no such mount.
    #[must_use]
    pub fn not_running(message: impl Into<String>) -> Self {
        Self { exit: Exit::NOT_RUNNING, code: "not_running", message: message.into() }
    }

    /// There is one, or was, and nobody answers for it.
    #[must_use]
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { exit: Exit::UNKNOWN, code: "unreachable", message: message.into() }
    }

    /// The daemon, or the system, does not let this user.
    #[must_use]
    pub fn not_permitted(message: impl Into<String>) -> Self {
        Self { exit: Exit::NOT_PERMITTED, code: "not_permitted", message: message.into() }
    }

    /// Told by its exit code, for what another process or layer found out.
    #[must_use]
    pub fn with_exit(exit: Exit, message: impl Into<String>) -> Self {
        let code = match exit {
            Exit::USAGE => "usage",
            Exit::NOT_RUNNING => "not_running",
            Exit::UNKNOWN => "unreachable",
            Exit::NOT_PERMITTED => "not_permitted",
            Exit::INTERRUPTED => "interrupted",
            _ => "failed",
        };
        Self { exit, code, message: message.into() }
    }

    /// The system said no to `attempt`: not permitted, or failed.
    #[must_use]
    pub fn system(attempt: impl fmt::Display, error: &std::io::Error) -> Self {
        let message = format!("{attempt}: {}", plain(error));
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Self::not_permitted(message),
            _ => Self::failed(message),
        }
    }
}

/// The system's words without Rust's "(os error 2)".
#[must_use]
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl From<UsageError> for Trouble {
    fn from(error: UsageError) -> Self {
        Self::usage(error.0)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(out)
    }
}

impl std::error::Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn the_numbers_are_those_of_the_design() {
        let numbers: Vec<u8> = EXIT_TABLE.iter().map(|(exit, _)| exit.0).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 130]);
    }

    #[test]
    fn the_systems_no_is_told_apart() {
        let denied = Trouble::system("open x", &io::Error::from_raw_os_error(13));
        assert_eq!((denied.exit, denied.code), (Exit::NOT_PERMITTED, "not_permitted"));
        assert_eq!(denied.message, "open x: Permission denied");
        let missing = Trouble::system("open x", &io::Error::from_raw_os_error(2));
        assert_eq!((missing.exit, missing.code), (Exit::FAILED, "failed"));
    }
}
