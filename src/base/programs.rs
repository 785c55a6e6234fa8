//! Programs started to help: the only file that starts one, but for the daemon itself.
//!
//! A helper is not the service. It must not find the service manager's socket in its environment:
//! what it said there, or a child of its own, would be taken for the daemon's word. The variables
//! cannot be taken out of this process's environment: since edition 2024 that is unsafe, because
//! another thread may be reading it.

use std::ffi::OsStr;
use std::process::Command;

/// What the service manager says to its service, and to nobody else (`sd_notify(3)`,
/// `sd_watchdog_enabled(3)`).
pub const MANAGERS_WORDS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// A program to be started, without the service manager's words.
#[must_use]
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    for word in MANAGERS_WORDS {
        command.env_remove(word);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_is_told_nothing_of_the_service_manager() {
        let command = program("true");
        let removed: Vec<_> =
            command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        for word in MANAGERS_WORDS {
            assert!(removed.contains(&OsStr::new(word)), "{word}");
        }
    }
}
