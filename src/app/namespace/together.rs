//! Devices that start and stop with another: those of all providers with the mount's own, and those
//! of one provider with its first (namespace.md, "Joint with the stop").

use crate::app::namespace::hand_over::{came_to, last_stop};
use crate::app::namespace::members::{Members, Shown};
use crate::base::clock::Clock;
use crate::base::ids::{Caller, TicketNumber};
use crate::base::limits::CANCEL_GRACE;
use crate::base::stop::{
    Answer, CallResult, HandleInfo, OnDeadline, Report, State, StopMode, StopOptions,
};
use crate::base::sync::{Mutex, Rank};
use crate::rdbss::notice::{Ask, Dependents, Load};
use crate::rdbss::ticket::TicketState;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Whoever waits for a device looks again so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What a start that failed gives those that it had started to stop again: their own deadline, the
/// moment their mini-redirector gets, and that of their workers.
const UNDO_LIMIT: Duration = CANCEL_GRACE.saturating_mul(8);

/// What a stop of the device that this one depends on has to do with it.
pub(super) struct Companion {
    asked: Mutex<Asked>,
}

struct Asked {
    /// Its stops that were asked for and have not been seen to end.
    open: Vec<Stop>,
    /// The last of them that has ended.
    last: Option<TicketNumber>,
    /// What those that have ended came to, until it is told.
    ended: Vec<Report>,
    /// It served when it was asked: it goes on when the stop is taken back.
    stopped_by_it: bool,
}

/// A stop that was asked for.
#[derive(Clone, Copy)]
struct Stop {
    ticket: TicketNumber,
    /// The last stop that the device had when it was asked.
    before: Option<TicketNumber>,
}

impl Default for Companion {
    fn default() -> Self {
        let (open, last, ended) = (Vec::new(), None, Vec::new());
        let asked = Asked { open, last, ended, stopped_by_it: false };
        Self { asked: Mutex::new(Rank::Leaf, asked) }
    }
}

impl Companion {
    /// Is there nothing of it that has yet to be told?
    pub(super) fn is_told(&self) -> bool {
        let asked = self.asked.lock();
        asked.open.is_empty() && asked.ended.is_empty()
    }
}

/// Which devices of a mount depend on the one that asks.
pub enum Which {
    /// The first of each provider, on the mount's own.
    Leaders,
    /// The others of this provider, on its first.
    Followers(String),
}

/// Some devices of a mount, as the one sees them that they depend on.
pub struct Together {
    /// All of them; weak, for they hold this.
    pub members: Weak<Members>,
    /// Which of them.
    pub which: Which,
}

impl Together {
    /// Those that are stopped with it; those that depend on them are called by them. What has left
    /// the mount and drains still is not over before it is.
    fn called(&self, members: &Members) -> Vec<Arc<Shown>> {
        let mut called = members.all();
        called.retain(|shown| match &self.which {
            Which::Leaders => shown.leads || shown.left_by_itself(),
            Which::Followers(provider) => !shown.leads && shown.provider == *provider,
        });
        called
    }

    /// Those of them that start with it: what has left never does.
    fn starting(&self, members: &Members) -> Vec<Arc<Shown>> {
        let mut starting = self.called(members);
        starting.retain(|shown| !shown.leaving);
        starting
    }

    /// Those that belong to it, called or not.
    fn belonging(&self, members: &Members) -> Vec<Arc<Shown>> {
        match self.which {
            Which::Leaders => members.all(),
            Which::Followers(_) => self.called(members),
        }
    }
}

impl Shown {
    /// Stopped, and nothing under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.device.wait_state(|state| state == State::Startable, Duration::ZERO)
    }

    /// Collects the stops that have ended; waits for those that have not until `left` is nothing.
    /// False when one is under way still.
    fn collect(&self, left: impl Fn() -> Duration) -> bool {
        let open = self.companion.asked.lock().open.clone();
        for Stop { ticket, before } in open {
            let ended = match self.device.wait_ticket(ticket, left()) {
                TicketState::Open => return false,
                TicketState::Ended(report) => {
                    // One of its own tells for itself.
                    let last = self.companion.asked.lock().last;
                    Some(self.told(came_to(&self.device, *report, &[before, last])))
                }
                TicketState::Unknown => {
                    log::error!("{}: its stop (ticket {ticket}) has no result", self.name);
                    None
                }
            };
            let mut asked = self.companion.asked.lock();
            // Another may have collected it meanwhile.
            let count = asked.open.len();
            asked.open.retain(|stop| stop.ticket != ticket);
            if asked.open.len() < count {
                asked.last = Some(ticket);
                asked.ended.extend(ended);
            }
        }
        true
    }

    /// Takes its stop back, or starts it again if that is over.
    fn go_on(&self, asked_by: Caller) {
        self.companion.asked.lock().stopped_by_it = false;
        if let Err(error) = self.device.resume() {
            log::error!("{}: {error}", self.name);
        }
        if !matches!(self.device.state(), State::Started | State::Paused)
            && let Err(error) = self.device.start(asked_by)
        {
            log::error!("{}: {error}", self.name);
        }
    }

    /// Waits until a start has ended.
    ///
    /// # Errors
    /// A line that says why it is not started.
    pub fn started(&self, called: Answer<Report>) -> Result<(), String> {
        let report = self.device.wait_report(called);
        let report = report.map_err(|_| format!("{}: no result", self.name))?;
        match report.result {
            CallResult::Success | CallResult::AlreadyStarted => Ok(()),
            CallResult::HasOpenHandles
            | CallResult::AlreadyStopped
            | CallResult::RolledBack
            | CallResult::Lost
            | CallResult::Failed => {
                let why = report.error.unwrap_or_else(|| "the start failed".to_owned());
                Err(format!("{}: {why}", self.name))
            }
        }
    }

    /// A report of it, told by another: what went wrong is its own.
    fn told(&self, report: Report) -> Report {
        let error = report.error.map(|error| format!("{}: {error}", self.name));
        Report { error, ..report }
    }
}

impl Together {
    /// Stops again what a start that failed has started. Bounded whatever a server does: nobody
    /// has used it.
    fn undo(&self, asked_by: Caller, members: &Members, started: &[Arc<Shown>]) {
        let options = StopOptions {
            mode: StopMode::Cancel,
            deadline_s: Some(CANCEL_GRACE.as_secs_f64()),
            on_deadline: OnDeadline::Abort,
            ..StopOptions::default()
        };
        stop_these(started, asked_by, &options, Ask::Call);
        let clock = members.parts.clock.clone();
        let until = clock.now().after(UNDO_LIMIT);
        while !wait_for_these(started, &*clock, LOOK_EVERY) {
            if clock.now() >= until {
                log::error!("what a start that failed has started does not stop");
                break;
            }
            stop_these(started, asked_by, &options, Ask::Again);
        }
        for shown in started {
            shown.companion.asked.lock().stopped_by_it = false;
            let ended = std::mem::take(&mut shown.companion.asked.lock().ended);
            let losses = ended.iter().flat_map(|report| &report.losses);
            losses.for_each(|loss| log::error!("lost: {loss:?}"));
        }
    }
}

/// Asks these to stop. False when one is busy and `refuse_if_busy` is set: nothing has changed.
fn stop_these(these: &[Arc<Shown>], asked_by: Caller, options: &StopOptions, ask: Ask) -> bool {
    let options = StopOptions { unmount: false, lazy: false, ..options.clone() };
    let mut asked: Vec<&Arc<Shown>> = Vec::new();
    for shown in these {
        if ask == Ask::Again && (shown.is_at_rest() || !shown.collect(|| Duration::ZERO)) {
            continue;
        }
        let serves =
            matches!(shown.device.state(), State::Started | State::Paused | State::StartInProgress);
        let before = last_stop(&shown.device);
        match shown.device.stop(asked_by, options.clone()) {
            Ok(Answer::Posted(ticket)) => {
                let mut companion = shown.companion.asked.lock();
                companion.open.push(Stop { ticket, before });
                companion.stopped_by_it |= serves;
                drop(companion);
                asked.push(shown);
            }
            Ok(Answer::Done(report)) if report.result == CallResult::AlreadyStopped => {}
            // Busy, and then all are to be left alone.
            Ok(Answer::Done(_)) => {
                let back = asked.iter().filter(|shown| !shown.leaving);
                back.for_each(|shown| shown.go_on(asked_by));
                return false;
            }
            // As many calls wait there as may: the run asks again.
            Err(error) => log::warn!("{}: {error}", shown.name),
        }
    }
    true
}

/// Waits up to `limit` until the stops that were asked for are over and all of these are at rest.
fn wait_for_these(these: &[Arc<Shown>], clock: &dyn Clock, limit: Duration) -> bool {
    let until = clock.now().after(limit);
    let left = || until.since(clock.now());
    // One that took its stop back by itself, or was started again, is no further than that.
    let at_rest =
        |shown: &Arc<Shown>| shown.device.wait_state(|state| state == State::Startable, left());
    these.iter().all(|shown| shown.collect(left)) && these.iter().all(at_rest)
}

impl Dependents for Together {
    fn stop(&self, asked_by: Caller, options: &StopOptions, ask: Ask) -> bool {
        let members = self.members.upgrade();
        members.is_none_or(|it| stop_these(&self.called(&it), asked_by, options, ask))
    }

    fn wait_stopped(&self, limit: Duration) -> bool {
        let members = self.members.upgrade();
        members.is_none_or(|it| wait_for_these(&self.called(&it), &*it.parts.clock, limit))
    }

    fn take_reports(&self) -> Vec<Report> {
        let Some(members) = self.members.upgrade() else { return Vec::new() };
        let mut reports = Vec::new();
        for shown in self.called(&members) {
            shown.collect(|| Duration::ZERO);
            reports.append(&mut shown.companion.asked.lock().ended);
        }
        reports
    }

    fn commit(&self) {
        let Some(members) = self.members.upgrade() else { return };
        for shown in self.called(&members) {
            shown.companion.asked.lock().stopped_by_it = false;
        }
    }

    fn is_at_rest(&self) -> bool {
        let members = self.members.upgrade();
        members.is_none_or(|members| self.called(&members).iter().all(|it| it.is_at_rest()))
    }

    fn resume(&self, asked_by: Caller) {
        let Some(members) = self.members.upgrade() else { return };
        for shown in self.starting(&members) {
            let stopped_by_it = shown.companion.asked.lock().stopped_by_it;
            if stopped_by_it {
                shown.go_on(asked_by);
            }
        }
    }

    fn start(&self, asked_by: Caller, wanted: &dyn Fn() -> bool) -> Result<Vec<String>, String> {
        let Some(members) = self.members.upgrade() else { return Ok(Vec::new()) };
        let all = self.starting(&members);
        all.iter().for_each(|shown| shown.registration.start_with_it(true));
        let called: Vec<_> = all.iter().map(|shown| shown.device.start(asked_by)).collect();
        // A stop came before they were called, and has found nothing of them to stop.
        let overtaken = !wanted();
        if overtaken {
            stop_these(&all, asked_by, &StopOptions::default(), Ask::Again);
        }
        let mut without = Vec::new();
        for (shown, called) in all.iter().zip(called) {
            let started = match called {
                Ok(called) => shown.started(called),
                Err(error) => Err(format!("{}: {error}", shown.name)),
            };
            without.extend(started.err());
        }
        all.iter().for_each(|shown| shown.registration.start_with_it(false));
        // A mount that is up goes on without a server that is away; one that is just made does not
        // begin without it, and no provider does with half of its shares.
        let enough = matches!(self.which, Which::Leaders) && members.is_up();
        if !overtaken && (without.is_empty() || enough) {
            return Ok(without);
        }
        self.undo(asked_by, &members, &all);
        Err(match without.is_empty() {
            true => "a stop was asked for meanwhile".to_owned(),
            false => without.join("; "),
        })
    }

    fn load(&self) -> Load {
        let Some(members) = self.members.upgrade() else { return Load::default() };
        let each = self.belonging(&members);
        each.iter().map(|shown| shown.device.load()).fold(Load::default(), |sum, one| sum + one)
    }

    fn survivors(&self, max: usize) -> (Vec<HandleInfo>, u64) {
        let Some(members) = self.members.upgrade() else { return (Vec::new(), 0) };
        let (mut listed, mut total) = (Vec::new(), 0);
        for shown in self.belonging(&members) {
            total += shown.device.load().handles;
            shown.device.visit_handles(|handle| {
                if listed.len() >= max {
                    return false;
                }
                if !handle.detached {
                    listed.push(handle);
                }
                true
            });
        }
        (listed, total)
    }

    fn connection_gone(&self, limit: Duration) {
        let Some(members) = self.members.upgrade() else { return };
        let clock = members.parts.clock.clone();
        let until = clock.now().after(limit);
        for shown in self.belonging(&members) {
            // One that hangs is left to itself, with its time: the others are closed all the same.
            shown.device.connection_gone_within(until.since(clock.now()));
        }
    }
}

#[cfg(test)]
mod tests;
