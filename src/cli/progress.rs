//! What is said on stderr while a command waits: one rewritten line on a terminal, a plain line
//! every five seconds otherwise.

use crate::base::clock::{Clock, Moment, SystemClock};
use crate::base::units::{age, size};
use crate::cli::judge::load;
use crate::cli::print;
use crate::mgmt::proto::MountStatus;
use std::time::Duration;

/// How often a plain line is written.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// The progress of one wait.
#[derive(Debug)]
pub struct Progress {
    clock: SystemClock,
    terminal: bool,
    last_plain: Moment,
    rate: Rate,
    shown: bool,
}

impl Progress {
    /// Nothing is said yet; the first plain line comes after five seconds, because what is waited
    /// for was said before.
    #[must_use]
    pub fn new() -> Self {
        let clock = SystemClock::new();
        let last_plain = clock.now();
        let terminal = print::stderr_is_terminal();
        Self { clock, terminal, last_plain, rate: Rate::default(), shown: false }
    }

    /// Shows how it stands, if it is time to.
    pub fn show(&mut self, status: &MountStatus) {
        let now = self.clock.now();
        let line = line(status, self.rate.update(now, status.unsent_bytes));
        self.say(now, &line);
    }

    /// Shows a line of one's own, if it is time to.
    pub fn show_text(&mut self, line: &str) {
        self.say(self.clock.now(), line);
    }

    fn say(&mut self, now: Moment, line: &str) {
        if self.terminal {
            print::rewrite(line);
            self.shown = true;
        } else if now.since(self.last_plain) >= PLAIN_EVERY {
            self.last_plain = now;
            print::note(line);
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            print::erase();
        }
    }
}

/// Unsent bytes over time.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    last: Option<(Moment, u64)>,
    bytes_per_second: Option<u64>,
}

impl Rate {
    /// Bytes a second that went out since about a second ago; none while nothing is known.
    fn update(&mut self, now: Moment, unsent: u64) -> Option<u64> {
        let Some((then, before)) = self.last else {
            self.last = Some((now, unsent));
            return None;
        };
        let passed = now.since(then);
        if passed >= Duration::from_secs(1) {
            let sent = before.saturating_sub(unsent) as f64;
            self.bytes_per_second = Some((sent / passed.as_secs_f64()) as u64);
            self.last = Some((now, unsent));
        }
        self.bytes_per_second
    }
}

/// `bk: stopping, 3 requests, 2 handles, 118.4 MiB unsent, 62.0 MiB/s, 24s to the deadline`.
fn line(status: &MountStatus, rate: Option<u64>) -> String {
    let mut line = format!("{}: {}{}", status.name, status.state.word(), load(status));
    if let Some(rate) = rate.filter(|_| status.unsent_bytes > 0) {
        line.push_str(&format!(", {}/s", size(rate)));
    }
    let left = status.running.as_ref().and_then(|running| running.deadline_left_s);
    if let Some(left) = left.and_then(|left| Duration::try_from_secs_f64(left).ok()) {
        match left.is_zero() {
            true => line.push_str(", past its deadline"),
            false => line.push_str(&format!(", {} to the deadline", age(left))),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stop::State;
    use crate::cli::judge::tests::{mount, running};

    #[test]
    fn the_line_has_what_the_design_lists() {
        let status = MountStatus {
            requests_in_flight: 3,
            running: Some(running()),
            ..mount(State::Draining)
        };
        assert_eq!(
            line(&status, Some(65_011_712)),
            "bk: stopping, 3 requests, 1 handle, 41.0 MiB unsent, 62.0 MiB/s, 30s to the deadline"
        );
        let idle = MountStatus { unsent_bytes: 0, open_handles: 0, ..mount(State::Started) };
        assert_eq!(line(&idle, Some(0)), "bk: running");
    }

    #[test]
    fn a_rate_needs_a_second_and_never_runs_backwards() {
        let at = |seconds: u64| Moment(seconds * 1_000_000_000);
        let mut rate = Rate::default();
        assert_eq!(rate.update(at(0), 1000), None);
        assert_eq!(rate.update(Moment(1), 900), None);
        assert_eq!(rate.update(at(2), 600), Some(200));
        assert_eq!(rate.update(at(3), 5000), Some(0), "more was written than sent");
    }
}
