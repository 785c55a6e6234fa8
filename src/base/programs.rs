//! Programs started to help: the only file that starts one, but for the daemon itself.
//!
//! A helper is not the service. It must not find the service manager's socket in its environment:
//! what it said there, or a child of its own, would be taken for the daemon's word. The variables
//! cannot be taken out of this process's environment: since edition 2024 that is unsafe, because
//! another thread may be reading it.

use crate::base::clock::{Clock, SystemClock};
use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// How often a program that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// A program that was killed is gone within this time, or is never waited for.
const KILL_WAIT: Duration = Duration::from_millis(500);

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

/// Runs a program to its end, for `limit` at most; one that takes longer is killed, and its answer
/// is none.
///
/// # Errors
/// It cannot be started, or not be waited for.
pub fn run_within(command: &mut Command, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = command.spawn()?;
    let ended = await_end(&mut child, limit)?;
    if ended.is_none() {
        child.kill()?;
        // One that the kernel does not let go yet is not worth more of our time.
        await_end(&mut child, KILL_WAIT)?;
    }
    Ok(ended)
}

fn await_end(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let clock = SystemClock::new();
    let until = clock.now().after(limit);
    loop {
        match child.try_wait()? {
            None if clock.now() < until => std::thread::park_timeout(LOOK_EVERY),
            ended => return Ok(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_run_to_its_end_or_killed() {
        let code = |command: &mut Command, limit| {
            run_within(command, limit).map(|ended| ended.and_then(|status| status.code()))
        };
        let long = Duration::from_secs(20);
        assert_eq!(code(program("sh").args(["-c", "exit 7"]), long).ok(), Some(Some(7)));
        let begun = SystemClock::new();
        let (from, never) = (begun.now(), code(program("sleep").arg("60"), LOOK_EVERY));
        assert_eq!(never.ok(), Some(None));
        assert!(begun.now().since(from) < long, "it is not waited for");
        assert!(run_within(&mut program("/no/such/program"), long).is_err());
    }

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
