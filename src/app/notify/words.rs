//! What is said to the service manager, and when. Pure: time is an argument.
//!
//! Nothing is queued. The [`Speaker`] compares how things are with what the manager has been told,
//! and what could not be sent is said next time, as it is then. So a flood of events costs nothing,
//! and a manager that does not read misses nothing but the past.
//!
//! # How long a stop may take
//!
//! systemd kills what has not ended after `TimeoutStopSec`. EXTEND_TIMEOUT_USEC asks for more time
//! *from now on*; it never shortens. It is sent when a stop that ends the process *gets on*: its
//! next step has begun, or, within a step, requests, handles or unsent bytes have become fewer than
//! ever before in it. These marks can only fall, and a stop has some dozen steps: so a program that
//! closes and duplicates a descriptor in a loop does not keep a machine from shutting down.
//!
//! Each time is asked for [`NOTIFY_GRANT`], or as much as the stop's own deadline has left and
//! [`STOP_OVERRUN`], whichever is longer. That a stop begins counts as getting on: from then on
//! systemd waits until our own deadline has acted, which names what is lost and keeps it, while a
//! kill would not. A stop that hangs after that says nothing more, and systemd's timeout acts: with
//! a deadline (but `stay`) when ours should have, without one after [`NOTIFY_GRANT`] or
//! `TimeoutStopSec`, whichever comes later.

use crate::app::options::on_deadline_word;
use crate::base::clock::Moment;
use crate::base::ids::TicketNumber;
use crate::base::limits::{
    NOTIFY_GRANT, NOTIFY_NUMBERS_EVERY, NOTIFY_STATUS_BYTES_MAX, STOP_OVERRUN,
};
use crate::base::stop::{CallKind, OnDeadline, State};
use crate::base::units::{count, size};
use crate::mgmt::events::rfc3339;
use crate::rdbss::query::Glance;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// The host at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct View {
    /// The device's state.
    pub state: State,
    /// Requests in flight.
    pub requests: u64,
    /// Open handles.
    pub handles: u64,
    /// Bytes not on the server yet.
    pub unsent_bytes: u64,
    /// The start or stop that runs.
    pub call: Option<Call>,
}

/// A start or stop that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Call {
    /// Its ticket.
    pub ticket: TicketNumber,
    /// Its step.
    pub step: &'static str,
    /// Is the process to end after it? A stop that leaves the mount where it is keeps its daemon.
    pub ends: bool,
    /// Its deadline, if it has one.
    pub deadline: Option<Moment>,
    /// What it does then.
    pub on_deadline: OnDeadline,
    /// Has it passed?
    pub deadline_passed: bool,
    /// Until when open handles keep working.
    pub grace_until: Option<Moment>,
}

impl From<Glance> for View {
    fn from(glance: Glance) -> Self {
        let call = glance.running.map(|running| Call {
            ticket: running.ticket,
            step: running.step,
            ends: running.kind == CallKind::Stop && running.terms.options.unmount,
            deadline: running.terms.deadline,
            on_deadline: running.terms.options.on_deadline,
            deadline_passed: running.deadline_passed,
            grace_until: running.terms.grace_until,
        });
        Self {
            state: glance.state,
            requests: glance.requests_in_flight,
            handles: glance.open_handles,
            unsent_bytes: glance.unsent_bytes,
            call,
        }
    }
}

/// How far the process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) enum Phase {
    /// The mount does not answer yet.
    Starting,
    /// It answers.
    Serving,
    /// The process is going, and nothing takes that back. It should be gone by then.
    Ending(Moment),
    /// It is gone, but for this word.
    Over(String),
}

/// All that what is said depends on.
#[derive(Debug)]
pub(in crate::app) struct Facts<'now> {
    /// The host.
    pub view: &'now View,
    /// How far the process is.
    pub phase: &'now Phase,
    /// Reloads that were begun so far.
    pub reloads_begun: u64,
    /// And are done.
    pub reloads_done: u64,
    /// The machine's monotonic clock.
    pub monotonic_usec: u64,
    /// The control plane has just proved that it lives.
    pub alive: bool,
    /// Calendar time.
    pub wall: SystemTime,
}

/// What happens to the service. One in a message: of several, systemd takes the last alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Ready,
    /// So many reloads have been begun; the monotonic clock's time.
    Reloading(u64, u64),
    Reloaded,
    Stopping,
}

/// One message, and what it will have told once it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::app) struct Message {
    turn: Option<Turn>,
    status: Option<(String, Shape)>,
    grant: Option<Duration>,
    alive: bool,
}

/// What is told at once when it changes; the rest are numbers.
type Shape = (u8, State, Option<(TicketNumber, &'static str, bool)>);

/// How little was left in this step of this stop.
#[derive(Clone, Debug)]
struct Marks {
    step: (bool, Option<(TicketNumber, &'static str)>),
    requests: u64,
    handles: u64,
    unsent_bytes: u64,
}

/// Knows what the manager has been told.
#[derive(Debug)]
pub(in crate::app) struct Speaker {
    /// Somebody else said READY; nothing is said before.
    handed_over: bool,
    ready: bool,
    stopping: bool,
    reloads: u64,
    reloading: bool,
    status: String,
    shape: Option<Shape>,
    /// When numbers or more time were last sent.
    at: Option<Moment>,
    marks: Option<Marks>,
    /// The stop got on, and the manager does not know.
    got_on: bool,
    /// The control plane lives, and the manager does not know.
    alive: bool,
    /// A deadline, and how people write it: the same words as long as it is the same.
    deadline: Option<(Moment, String)>,
}

impl Call {
    /// When it is over by itself, whatever hangs; none: nothing bounds it.
    fn over_by(&self) -> Option<Moment> {
        let bounded = self.deadline.filter(|_| self.on_deadline != OnDeadline::Stay);
        let after_grace = || self.grace_until.map(|grace| grace.after(NOTIFY_GRANT));
        bounded.map(|deadline| deadline.after(STOP_OVERRUN)).or_else(after_grace)
    }
}

impl Message {
    /// As it is sent: one assignment a line.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            let _ = writeln!(text, "{line}");
        };
        match self.turn {
            None => {}
            Some(Turn::Ready | Turn::Reloaded) => line(format_args!("READY=1")),
            Some(Turn::Reloading(_, now)) => {
                line(format_args!("RELOADING=1\nMONOTONIC_USEC={now}"));
            }
            Some(Turn::Stopping) => line(format_args!("STOPPING=1")),
        }
        if let Some((status, _)) = &self.status {
            line(format_args!("STATUS={status}"));
        }
        if let Some(grant) = self.grant {
            line(format_args!("EXTEND_TIMEOUT_USEC={}", grant.as_micros()));
        }
        if self.alive {
            line(format_args!("WATCHDOG=1"));
        }
        text
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Speaker {
    /// Has told nothing yet. With `handed_over` somebody else says READY.
    #[must_use]
    pub fn new(handed_over: bool) -> Self {
        Self {
            handed_over,
            ready: false,
            stopping: false,
            reloads: 0,
            reloading: false,
            status: String::new(),
            shape: None,
            at: None,
            marks: None,
            got_on: false,
            alive: false,
            deadline: None,
        }
    }

    /// What is to be said now, if anything. It is not told before [`Self::sent`].
    pub fn next(&mut self, now: Moment, facts: &Facts<'_>) -> Option<Message> {
        if self.handed_over {
            // One that is not handed over to is no service: its starter says how it went.
            self.ready |= matches!(facts.phase, Phase::Serving | Phase::Ending(_));
            if !self.ready {
                return None;
            }
        }
        self.observe(facts);
        self.alive |= facts.alive;
        let turn = self.turn(facts);
        let mut message = Message { turn, alive: self.alive, ..Message::default() };
        let shape = shape(facts);
        let due = self.next_numbers(now).is_zero();
        if turn.is_some() || self.shape != Some(shape) || due {
            let status = self.status_line(now, facts);
            message.status = (status != self.status).then_some((status, shape));
            message.grant = self.got_on.then(|| grant(now, facts));
        }
        (!message.is_empty()).then_some(message)
    }

    /// The manager has got it.
    pub fn sent(&mut self, now: Moment, message: Message) {
        match message.turn {
            None => {}
            Some(Turn::Ready) => self.ready = true,
            Some(Turn::Reloading(begun, _)) => (self.reloads, self.reloading) = (begun, true),
            Some(Turn::Reloaded) => self.reloading = false,
            Some(Turn::Stopping) => self.stopping = true,
        }
        if message.status.is_some() || message.grant.is_some() {
            self.at = Some(now);
        }
        if let Some((status, shape)) = message.status {
            (self.status, self.shape) = (status, Some(shape));
        }
        self.got_on &= message.grant.is_none();
        self.alive &= !message.alive;
    }

    /// How long until numbers may be told again; zero: they may now.
    pub fn next_numbers(&self, now: Moment) -> Duration {
        self.at.map_or(Duration::ZERO, |at| at.after(NOTIFY_NUMBERS_EVERY).since(now))
    }

    fn turn(&self, facts: &Facts<'_>) -> Option<Turn> {
        let (serving, ends) = match facts.phase {
            Phase::Starting => (false, false),
            Phase::Serving => (true, false),
            Phase::Ending(_) => (true, true),
            Phase::Over(_) => (false, true),
        };
        if !self.ready {
            // A mount that failed is never ready, and its end no news of the service's.
            return serving.then_some(Turn::Ready);
        }
        if self.reloading {
            return (facts.reloads_done >= self.reloads).then_some(Turn::Reloaded);
        }
        if facts.reloads_begun > self.reloads {
            return Some(Turn::Reloading(facts.reloads_begun, facts.monotonic_usec));
        }
        (ends && !self.stopping).then_some(Turn::Stopping)
    }

    /// Does a stop that ends the process get on?
    fn observe(&mut self, facts: &Facts<'_>) {
        let view = facts.view;
        let going = matches!(facts.phase, Phase::Ending(_));
        let ending = view.call.as_ref().filter(|call| going || call.ends);
        let counts = match facts.phase {
            Phase::Starting | Phase::Serving => ending.is_some(),
            Phase::Ending(_) => true,
            Phase::Over(_) => false,
        };
        if !counts {
            (self.marks, self.got_on) = (None, false);
            return;
        }
        let step = (going, ending.map(|call| (call.ticket, call.step)));
        let (requests, handles, unsent_bytes) = (view.requests, view.handles, view.unsent_bytes);
        match &mut self.marks {
            Some(marks) if marks.step == step => {
                self.got_on |= requests < marks.requests
                    || handles < marks.handles
                    || unsent_bytes < marks.unsent_bytes;
                marks.requests = marks.requests.min(requests);
                marks.handles = marks.handles.min(handles);
                marks.unsent_bytes = marks.unsent_bytes.min(unsent_bytes);
            }
            marks => {
                self.got_on = true;
                *marks = Some(Marks { step, requests, handles, unsent_bytes });
            }
        }
    }

    /// `stopping (ticket 2, drain): 1 request, 0 handles, 0 B unsent; deadline …Z, then cancel`
    fn status_line(&mut self, now: Moment, facts: &Facts<'_>) -> String {
        let view = facts.view;
        let word = match facts.phase {
            Phase::Over(words) => return one_line(words),
            Phase::Starting if view.call.as_ref().is_none_or(|call| !call.ends) => {
                return "starting".to_owned();
            }
            Phase::Starting | Phase::Serving => view.state.word(),
            Phase::Ending(_) => "ending",
        };
        let mut line = word.to_owned();
        if let Some(call) = &view.call {
            let _ = write!(line, " (ticket {}, {})", call.ticket, call.step);
        }
        let (requests, handles) = (count(view.requests, "request"), count(view.handles, "handle"));
        let _ = write!(line, ": {requests}, {handles}, {} unsent", size(view.unsent_bytes));
        match &view.call {
            Some(call) if call.deadline_passed => line.push_str("; past its deadline"),
            Some(Call { deadline: Some(deadline), on_deadline, .. }) => {
                let when = self.calendar(now, *deadline, facts.wall);
                let then = on_deadline_word(*on_deadline);
                let _ = write!(line, "; deadline {when}, then {then}");
            }
            _ => {}
        }
        line
    }

    /// A deadline as people read it. What it will be is not worked out anew at each look: the two
    /// clocks are not read at the same moment, and the last digit would dance.
    fn calendar(&mut self, now: Moment, deadline: Moment, wall: SystemTime) -> &str {
        if self.deadline.as_ref().is_none_or(|(known, _)| *known != deadline) {
            let at = wall.checked_add(deadline.since(now)).unwrap_or(wall);
            self.deadline = Some((deadline, rfc3339(at)));
        }
        self.deadline.as_ref().map_or("", |(_, text)| text)
    }
}

fn shape(facts: &Facts<'_>) -> Shape {
    let phase = match facts.phase {
        Phase::Starting => 0,
        Phase::Serving => 1,
        Phase::Ending(_) => 2,
        Phase::Over(_) => 3,
    };
    let call = facts.view.call.as_ref();
    (phase, facts.view.state, call.map(|call| (call.ticket, call.step, call.deadline_passed)))
}

/// How much time is asked for.
fn grant(now: Moment, facts: &Facts<'_>) -> Duration {
    let own = facts.view.call.as_ref().and_then(Call::over_by);
    let by = match facts.phase {
        Phase::Ending(by) => own.max(Some(*by)),
        Phase::Starting | Phase::Serving | Phase::Over(_) => own,
    };
    by.map_or(Duration::ZERO, |by| by.since(now)).max(NOTIFY_GRANT)
}

/// What may stand behind `STATUS=`: one line, not too long.
fn one_line(text: &str) -> String {
    let mut line: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if line.len() > NOTIFY_STATUS_BYTES_MAX {
        line.truncate(line.floor_char_boundary(NOTIFY_STATUS_BYTES_MAX));
    }
    line
}

#[cfg(test)]
mod tests;
