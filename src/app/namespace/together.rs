//! Devices that start and stop with another: those of all providers with the mount's own, and those
//! of one provider with its first (namespace.md, "Joint with the stop").

use crate::app::namespace::members::{Members, Shown};
use crate::base::clock::Moment;
use crate::base::ids::Caller;
use crate::base::stop::{Answer, CallResult, HandleInfo, Report, State, StopOptions};
use crate::rdbss::notice::Dependents;
use crate::rdbss::ticket::TicketState;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Whoever waits for a device looks again so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
    /// Those that are called; those that depend on them are called by them.
    fn called(&self, members: &Members) -> Vec<Arc<Shown>> {
        let mut called = members.all();
        called.retain(|shown| match &self.which {
            Which::Leaders => shown.leads,
            Which::Followers(provider) => !shown.leads && shown.provider == *provider,
        });
        called
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
    /// Takes its stop back, or starts it again if that is over.
    fn go_on(&self, asked_by: Caller) {
        *self.stopping.lock() = None;
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

impl Dependents for Together {
    fn stop(&self, asked_by: Caller, options: &StopOptions) -> bool {
        let Some(members) = self.members.upgrade() else { return true };
        let options = StopOptions { unmount: false, lazy: false, ..options.clone() };
        let mut asked: Vec<Arc<Shown>> = Vec::new();
        for shown in self.called(&members) {
            match shown.device.stop(asked_by, options.clone()) {
                Ok(Answer::Posted(ticket)) => {
                    *shown.stopping.lock() = Some(ticket);
                    asked.push(shown);
                }
                Ok(Answer::Done(report)) if report.result.is_stopped() => {}
                // Busy, and then all are to be left alone.
                Ok(Answer::Done(_)) => {
                    asked.iter().for_each(|shown| shown.go_on(asked_by));
                    return false;
                }
                Err(error) => log::error!("{}: {error}", shown.name),
            }
        }
        true
    }

    fn wait_stopped(&self, limit: Duration) -> Option<Vec<Report>> {
        let Some(members) = self.members.upgrade() else { return Some(Vec::new()) };
        let clock = members.parts.clock.clone();
        let until: Moment = clock.now().after(limit);
        let left = || until.since(clock.now());
        let mut reports = Vec::new();
        for shown in self.called(&members) {
            let ticket = *shown.stopping.lock();
            let Some(ticket) = ticket else { continue };
            match shown.device.wait_ticket(ticket, left()) {
                TicketState::Open => return None,
                // Taken back by itself: what it depends on will be, which has the same deadline.
                TicketState::Ended(report) if !report.result.is_stopped() => {
                    shown.device.wait_state(|_| false, left());
                    return None;
                }
                TicketState::Ended(report) => reports.push(shown.told(*report)),
                TicketState::Unknown => log::error!("{}: its stop has no result", shown.name),
            }
        }
        for shown in self.called(&members) {
            *shown.stopping.lock() = None;
        }
        Some(reports)
    }

    fn resume(&self, asked_by: Caller) {
        let Some(members) = self.members.upgrade() else { return };
        for shown in self.called(&members) {
            let asked = shown.stopping.lock().is_some();
            if asked {
                shown.go_on(asked_by);
            }
        }
    }

    fn start(&self, asked_by: Caller) -> Result<Vec<String>, String> {
        let Some(members) = self.members.upgrade() else { return Ok(Vec::new()) };
        let all = self.called(&members);
        let called: Vec<_> = all.iter().map(|shown| shown.device.start(asked_by)).collect();
        let mut without = Vec::new();
        for (shown, called) in all.iter().zip(called) {
            let started = match called {
                Ok(called) => shown.started(called),
                Err(error) => Err(format!("{}: {error}", shown.name)),
            };
            without.extend(started.err());
        }
        // A mount that is up goes on without a server that is away; one that is just made does not
        // begin without it, and no provider does with half of its shares.
        let enough = matches!(self.which, Which::Leaders) && members.is_up();
        if without.is_empty() || enough {
            return Ok(without);
        }
        self.stop(asked_by, &StopOptions::default());
        while self.wait_stopped(LOOK_EVERY).is_none() {}
        Err(without.join("; "))
    }

    fn survivors(&self, max: usize) -> (Vec<HandleInfo>, u64) {
        let Some(members) = self.members.upgrade() else { return (Vec::new(), 0) };
        let (mut listed, mut total) = (Vec::new(), 0);
        for shown in self.belonging(&members) {
            total += shown.device.status().open_handles;
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

    fn connection_gone(&self) {
        let Some(members) = self.members.upgrade() else { return };
        for shown in self.belonging(&members) {
            shown.device.connection_gone();
        }
    }
}
