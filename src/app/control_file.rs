//! The control files' host: `.minirdr/status`, `handles`, `events`, `control`, so that a process
//! asks through the file system itself, as FSCTL does. The same authorisation as on the socket.

use crate::app::control::HostControl;
use crate::base::ids::{Caller, TicketNumber};
use crate::base::limits::CONTROL_FILE_LISTED_MAX;
use crate::base::status::{Status, wire};
use crate::base::stop::{Answer, CallResult, OnDeadline, Report, State, StopMode, StopOptions};
use crate::base::units::parse_duration;
use crate::front::control_dir::device::{ControlDevice, ControlReply};
use crate::mgmt::authz::{Decision, Operation, Peer, Policy};
use crate::mgmt::control::{Control, ControlError};
use crate::mgmt::disclosure::Disclosure;
use crate::mgmt::events::{Cursor, EventQueue};
use crate::mgmt::peer;
use crate::mgmt::proc::Proc;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Events handed out in one read.
const EVENTS_A_READ: usize = 256;

/// The host behind the control files.
pub struct ControlFiles {
    /// The host.
    pub control: Arc<HostControl>,
    /// Its events.
    pub events: Arc<EventQueue>,
    /// Who may do what.
    pub policy: Policy,
    /// Where callers' groups are read.
    pub proc: Proc,
}

/// One line written to `control`, understood.
#[derive(Clone, Debug, PartialEq)]
enum Command {
    Stop(StopOptions),
    Check,
    Start,
    Pause,
    Resume,
    Query(Option<TicketNumber>),
}

impl Command {
    /// Understands the words of the command line (cli.md).
    fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let verb = words.next().unwrap_or("");
        let rest: Vec<&str> = words.collect();
        match (verb, rest.as_slice()) {
            ("stop", flags) => parse_stop(flags),
            ("start", []) => Ok(Self::Start),
            ("pause", []) => Ok(Self::Pause),
            ("resume", []) => Ok(Self::Resume),
            ("query", []) => Ok(Self::Query(None)),
            ("query", ["--ticket", number]) => match number.parse() {
                Ok(number) => Ok(Self::Query(Some(TicketNumber(number)))),
                Err(_) => Err(format!("\"{number}\" is no ticket's number")),
            },
            ("start" | "pause" | "resume" | "query", [extra, ..]) => {
                Err(format!("{verb} does not take \"{extra}\""))
            }
            _ => Err(format!("\"{verb}\" is not one of stop, start, pause, resume, query")),
        }
    }

    fn operation(&self) -> Operation {
        match self {
            Self::Stop(options) => Operation::of_stop(options),
            Self::Check | Self::Query(_) => Operation::Read,
            Self::Start => Operation::Start,
            Self::Pause => Operation::Pause,
            Self::Resume => Operation::Resume,
        }
    }
}

fn parse_stop(flags: &[&str]) -> Result<Command, String> {
    let mut options = StopOptions::default();
    let mut check = false;
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        let mut value = || flags.next().ok_or_else(|| format!("{flag} needs a value"));
        match *flag {
            "--check" => check = true,
            "--unmount" => options.unmount = true,
            "--lazy" => options.lazy = true,
            "--refuse-if-busy" => options.refuse_if_busy = true,
            "--grace" => options.grace_s = Some(parse_duration(value()?)?.as_secs_f64()),
            "--deadline" => options.deadline_s = Some(parse_duration(value()?)?.as_secs_f64()),
            "--on-deadline" => {
                options.on_deadline = match *value()? {
                    "resume" => OnDeadline::Resume,
                    "stay" => OnDeadline::Stay,
                    "cancel" => OnDeadline::Cancel,
                    "abort" => OnDeadline::Abort,
                    other => {
                        return Err(format!("\"{other}\" is not resume, stay, cancel or abort"));
                    }
                };
            }
            "--mode" => {
                options.mode = match *value()? {
                    "drain" => StopMode::Drain,
                    "cancel" => StopMode::Cancel,
                    "abort" => StopMode::Abort,
                    other => return Err(format!("\"{other}\" is not drain, cancel or abort")),
                };
            }
            other => return Err(format!("stop does not take \"{other}\"")),
        }
    }
    Ok(if check { Command::Check } else { Command::Stop(options) })
}

fn reply(status: u32, ticket: u64, text: impl Into<String>) -> ControlReply {
    ControlReply { status, ticket, text: text.into() }
}

fn pending(ticket: TicketNumber, what: &str) -> ControlReply {
    reply(wire::PENDING, ticket.0, format!("{what}: pending, ticket {ticket}"))
}

fn ended(report: &Report) -> ControlReply {
    let ticket = report.ticket.unwrap_or_default().0;
    reply(report.result.code(), ticket, result_line(report))
}

fn result_line(report: &Report) -> String {
    let mut line = match report.result {
        CallResult::Success => "done".to_owned(),
        CallResult::HasOpenHandles => {
            format!("stopped, {} handles still open", report.survivors_total)
        }
        CallResult::AlreadyStopped => "already stopped".to_owned(),
        CallResult::AlreadyStarted => "already running".to_owned(),
        CallResult::RolledBack => "deadline passed, rolled back".to_owned(),
        CallResult::Lost => format!("stopped, {} losses", report.losses.len()),
        CallResult::Failed => "failed".to_owned(),
    };
    if let Some(error) = &report.error {
        // Writing to a String cannot fail.
        let _ = write!(line, ": {error}");
    }
    line
}

fn refused(error: &ControlError) -> ControlReply {
    let status = match error {
        ControlError::NotPermitted(_) => Status::AccessDenied,
        ControlError::TooMany => Status::InsufficientResources,
        ControlError::UnknownTicket(_) | ControlError::Refused(_) => Status::InvalidParameter,
    };
    reply(status.code(), 0, error.to_string())
}

/// What `control` can be asked for, beside what everybody may.
const COMMANDS: [Operation; 5] =
    [Operation::Stop, Operation::Abort, Operation::Start, Operation::Pause, Operation::Resume];

impl ControlFiles {
    /// The caller with his groups. What the kernel says of a request is the thread's own.
    fn peer(&self, caller: Caller) -> Peer {
        peer::with_groups(caller, self.policy.group, &self.proc)
    }

    /// As on the socket: who may not inquire may nothing, and an abort is a stop as well.
    fn authorize(&self, asked: Operation, peer: &Peer) -> Decision {
        let stop = (asked == Operation::Abort).then_some(Operation::Stop);
        let all = [Some(Operation::Inquire), stop, Some(asked)].into_iter().flatten();
        all.map(|operation| self.policy.authorize(operation, peer))
            .find(|decision| *decision != Decision::Allow)
            .unwrap_or(Decision::Allow)
    }

    fn carry_out(&self, caller: Caller, command: Command) -> Result<ControlReply, ControlError> {
        let told = |report| ended(&self.policy.disclosure(&self.peer(caller)).apply(report));
        let called = |answer, what| match answer {
            Answer::Done(report) => told(report),
            Answer::Posted(ticket) => pending(ticket, what),
        };
        Ok(match command {
            Command::Stop(options) => called(self.control.stop(caller, options)?, "stop"),
            Command::Start => called(self.control.start(caller)?, "start"),
            Command::Pause => paused(self.control.pause(caller)?, "paused"),
            Command::Resume => paused(self.control.resume(caller)?, "running"),
            Command::Check => {
                let check = self.control.check();
                let holders = check.handles_total;
                let text = match check.result {
                    CallResult::AlreadyStopped => "already stopped".to_owned(),
                    _ => format!("would wait for {holders} handles"),
                };
                reply(check.result.code(), check.ticket.unwrap_or_default().0, text)
            }
            Command::Query(None) => self.query(),
            Command::Query(Some(ticket)) => {
                match self.control.wait_ticket(ticket, Duration::ZERO)? {
                    None => pending(ticket, "not over"),
                    Some(report) => told(report),
                }
            }
        })
    }

    /// The state as a status: SUCCESS while it serves, PENDING on the way, NOT_STARTED when
    /// stopped.
    fn query(&self) -> ControlReply {
        let status = self.control.status();
        let code = match status.state {
            State::Started => wire::SUCCESS,
            State::Paused => Status::RedirectorPaused.code(),
            State::StartInProgress | State::Draining | State::Sealing => wire::PENDING,
            State::Startable => Status::RedirectorNotStarted.code(),
        };
        let ticket = status.running.map(|running| running.ticket.0).unwrap_or_default();
        reply(code, ticket, status.state.word())
    }
}

fn paused(result: CallResult, word: &str) -> ControlReply {
    let text = if result == CallResult::Success { word } else { "already stopped" };
    reply(result.code(), 0, text)
}

impl ControlDevice for ControlFiles {
    fn status_text(&self, full: bool) -> String {
        let status = Disclosure::of(full).apply(self.control.status());
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key}: {value}");
        };
        line("name", &status.name);
        line("source", &status.source);
        line("state", &status.state.word());
        line("generation", &status.generation);
        line("requests_in_flight", &status.requests_in_flight);
        line("open_handles", &status.open_handles);
        line("survivors", &status.survivors);
        line("unsent_bytes", &status.unsent_bytes);
        line("refused_total", &status.refused_total);
        if let Some(running) = &status.running {
            line("ticket", &running.ticket);
            line("step", &running.step);
            match running.asked_by.remote {
                Some(from) => line("asked_by_remote", &from),
                None => {
                    line("asked_by_uid", &running.asked_by.uid);
                    line("asked_by_pid", &running.asked_by.pid);
                }
            }
        }
        if let Some(stop) = &status.last_stop {
            line("last_stop", &result_line(stop));
        }
        text
    }

    fn may_read(&self, caller: Caller) -> bool {
        self.authorize(Operation::Read, &self.peer(caller)) == Decision::Allow
    }

    fn may_see(&self, caller: Caller) -> bool {
        !self.policy.disclosure(&self.peer(caller)).hides()
    }

    fn may_command(&self, caller: Caller) -> bool {
        let peer = self.peer(caller);
        COMMANDS.into_iter().any(|asked| self.authorize(asked, &peer) == Decision::Allow)
    }

    fn handles_text(&self, full: bool) -> String {
        let disclosure = Disclosure::of(full);
        let mut text = String::from("PID\tUID\tKIND\tMODE\tAGE_S\tUNSENT\tPATH\n");
        let (mut listed, mut more) = (0, 0_u64);
        self.control.handles(&mut |handle| {
            if listed == CONTROL_FILE_LISTED_MAX {
                more += 1;
                return true;
            }
            let handle = disclosure.apply(handle);
            let _ = writeln!(
                text,
                "{}\t{}\t{}\t{}\t{:.0}\t{}\t{}",
                handle.opened_by.pid,
                handle.opened_by.uid,
                handle.kind,
                handle.mode,
                handle.age_s,
                handle.unsent_bytes,
                // One line a handle, whatever bytes its name has.
                String::from_utf8_lossy(&handle.path).escape_debug(),
            );
            listed += 1;
            true
        });
        if more > 0 {
            let _ = writeln!(text, "… and {more} more");
        }
        text
    }

    fn events_after(&self, cursor: u64, full: bool) -> (Vec<u8>, u64) {
        let disclosure = Disclosure::of(full);
        let mut place = Cursor::after(cursor);
        let (mut lines, mut last) = (Vec::new(), cursor);
        for _ in 0..EVENTS_A_READ {
            let Some(event) = self.events.read(&mut place) else { break };
            last = last.max(event.seq);
            let event = disclosure.apply(event);
            match serde_json::to_vec(&event) {
                Ok(line) => {
                    lines.extend_from_slice(&line);
                    lines.push(b'\n');
                }
                Err(error) => log::error!("event {} cannot be written: {error}", event.seq),
            }
        }
        (lines, last)
    }

    fn command(&self, caller: Caller, text: &str) -> ControlReply {
        let command = match Command::parse(text) {
            Ok(command) => command,
            Err(what) => return reply(Status::InvalidParameter.code(), 0, what),
        };
        let asked = self.authorize(command.operation(), &self.peer(caller));
        if let Decision::Deny(denial) = asked {
            return reply(Status::AccessDenied.code(), 0, denial.to_string());
        }
        self.carry_out(caller, command).unwrap_or_else(|error| refused(&error))
    }

    fn subscribe(&self, wake: Box<dyn Fn() + Send + Sync>) {
        if self.events.subscribe(wake).is_none() {
            log::error!("too many listen to events: the control file's readers must poll");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_command_line() {
        assert_eq!(Command::parse("stop"), Ok(Command::Stop(StopOptions::default())));
        assert_eq!(Command::parse(" stop --check\n"), Ok(Command::Check));
        let stop = Command::parse("stop --deadline 30s --on-deadline cancel --unmount");
        let expected = StopOptions {
            deadline_s: Some(30.0),
            on_deadline: OnDeadline::Cancel,
            unmount: true,
            ..StopOptions::default()
        };
        assert_eq!(stop, Ok(Command::Stop(expected)));
        assert_eq!(Command::parse("query --ticket 7"), Ok(Command::Query(Some(TicketNumber(7)))));
        for wrong in ["", "halt", "stop --now", "stop --deadline", "start now", "query --ticket x"]
        {
            assert!(Command::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
