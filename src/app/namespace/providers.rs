//! What is asked of a mount's providers while it runs: one more, one less, another in the place of
//! one (namespace.md).
//!
//! ```text
//!   caller (any thread)                       thread "provider", one for each call
//!   add     -- book, ticket ------------> source, devices, start        -> provider_added
//!   remove  -- book, ticket, its stop --> its end, off the books        -> provider_removed
//!   replace -- book, ticket ------------> a new one beside it, hand-over,
//!                                         stop of the old               -> provider_replaced
//! ```
//!
//! A call is answered at once with its ticket. Who has left is there for what is still open, and is
//! looked after by [`Members::sweep`].

use crate::app::error::AppError;
use crate::app::namespace::book::{Busy, Deed, Entry};
use crate::app::namespace::calls::Calls;
use crate::app::namespace::hand_over::{Stopping, hand_over, last_stop, pause};
use crate::app::namespace::members::{Making, Members, Place, Shown, passing_name};
use crate::app::namespace::{NamespaceConfig, ProviderConfig, check::Refused};
use crate::app::redirector;
use crate::app::source::Source;
use crate::base::ids::{Caller, TicketNumber};
use crate::base::limits::{PROVIDER_CALLS_MAX, TICKET_RESULTS_KEPT};
use crate::base::stop::{
    Answer, CallKind, CallResult, ConfigScope, Notice, OnDeadline, Report, State, StopMode,
    StopOptions, unix_seconds,
};
use crate::base::sync::{Mutex, Rank};
use crate::mgmt::control::ControlError;
use crate::rdbss::device::Device;
use crate::rdbss::notice::Observer;
use crate::rdbss::ticket::{TicketState, Tickets};
use std::collections::VecDeque;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Looks at what of this machine a source needs: its directory, which must not be the mount's.
pub type SourceCheck = Arc<dyn Fn(&Source) -> Result<(), String> + Send + Sync>;

/// What has to be known of the mount.
pub struct About {
    /// Its name, which no provider may have: events are told by it.
    pub name: String,
    /// Its control directory, which no prefix may be in.
    pub control_dir: Option<String>,
    /// Looks at sources, if there is something to look at.
    pub check: Option<SourceCheck>,
    /// The mount's own device.
    pub own: Arc<Device>,
    /// What hears of the mount's own device.
    pub observer: Arc<dyn Observer>,
    /// What its configuration file said when it was mounted.
    pub read: NamespaceConfig,
}

/// Carries out what is asked of a mount's providers.
pub struct Providers {
    pub(super) this: Weak<Self>,
    pub(super) members: Arc<Members>,
    pub(super) about: About,
    /// What its configuration file said last.
    pub(super) read: Mutex<NamespaceConfig>,
    tickets: Tickets,
    /// Whom the last of them are about, and what is done to it.
    names: Mutex<VecDeque<(TicketNumber, String, Deed)>>,
    pub(super) calls: Mutex<Calls>,
}

/// One call that was taken.
#[derive(Clone, Copy, Debug)]
struct Taken {
    deed: Deed,
    ticket: TicketNumber,
}

/// A provider's devices, with what made them.
pub(super) struct Made {
    pub config: ProviderConfig,
    pub devices: Vec<Arc<Shown>>,
    pub making: Making,
}

impl From<Busy> for ControlError {
    fn from(Busy(what): Busy) -> Self {
        Self::Refused(what)
    }
}

impl Providers {
    /// Of the mount that these devices show.
    #[must_use]
    pub fn new(members: Arc<Members>, about: About) -> Arc<Self> {
        let tickets = Tickets::numbered(members.parts.options.ticket_numbers.clone());
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            members,
            read: Mutex::new(Rank::Leaf, about.read.clone()),
            about,
            tickets,
            names: Mutex::new(Rank::Leaf, VecDeque::new()),
            calls: Mutex::new(Rank::Host, Calls::default()),
        })
    }

    /// The devices.
    #[must_use]
    pub const fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// That there is no provider of this name, and which there are.
    #[must_use]
    pub fn unknown(&self, name: &str) -> String {
        self.members.book.lock().unknown(name)
    }

    /// Whom a ticket is about.
    #[must_use]
    pub fn provider_of(&self, ticket: TicketNumber) -> Option<String> {
        let names = self.names.lock();
        names.iter().find(|(known, ..)| *known == ticket).map(|(_, name, _)| name.clone())
    }

    /// What is done to it.
    #[must_use]
    pub fn deed_of(&self, ticket: TicketNumber) -> Option<Deed> {
        let names = self.names.lock();
        names.iter().find(|(known, ..)| *known == ticket).map(|(.., deed)| *deed)
    }

    /// A ticket for a call about this provider.
    fn issue(&self, name: &str, deed: Deed) -> TicketNumber {
        let ticket = self.tickets.issue();
        let mut names = self.names.lock();
        if names.len() >= TICKET_RESULTS_KEPT + PROVIDER_CALLS_MAX {
            names.pop_front();
        }
        names.push_back((ticket, name.to_owned(), deed));
        ticket
    }

    /// What is known of a ticket; waits up to `limit` for its end.
    #[must_use]
    pub fn wait(&self, ticket: TicketNumber, limit: Duration) -> TicketState {
        self.tickets.wait(ticket, limit)
    }

    /// Does it serve?
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.about.own.state(), State::Started | State::Paused)
    }

    /// Refuses what only a mount that runs can do.
    pub(super) fn must_serve(&self) -> Result<(), ControlError> {
        if self.is_serving() {
            return Ok(());
        }
        let name = &self.about.name;
        let what = format!("the mount is not running: `minirdr start {name}` first");
        Err(ControlError::Refused(what))
    }

    /// One provider more, behind the others.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed.
    pub fn add(
        &self,
        asked_by: Caller,
        config: ProviderConfig,
    ) -> Result<Answer<Report>, ControlError> {
        self.must_serve()?;
        self.check_words(&config)?;
        let taken = {
            let mut book = self.members.book.lock();
            book.may_begin()?;
            let mut config_then = book.config();
            config_then.providers.push(config.clone());
            self.check(&config_then)?;
            let (ticket, number) = (self.issue(&config.name, Deed::Add), book.next_number());
            let under_way = Some((Deed::Add, ticket));
            book.push(Entry { config: config.clone(), number, factory: None, under_way });
            (Taken { deed: Deed::Add, ticket }, number)
        };
        let (taken, number) = taken;
        let begun = self.begin(move |this| {
            let report = this.run_add(config.clone(), number, asked_by);
            this.end(taken, &config.name, report);
        });
        if let Err(error) = begun {
            self.members.book.lock().take_out(number);
            self.tickets.withdraw(taken.ticket);
            self.wake_reload();
            return Err(error);
        }
        Ok(Answer::Posted(taken.ticket))
    }

    /// One provider less: an orderly stop of its devices, and then they leave.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed.
    pub fn remove(
        &self,
        asked_by: Caller,
        name: &str,
        options: StopOptions,
    ) -> Result<Answer<Report>, ControlError> {
        let options = StopOptions { unmount: false, lazy: false, ..options };
        if let Some(ticket) = self.being_removed(name) {
            // A later one tightens the one that runs.
            if let Some(leader) = self.members.of_provider(name).first() {
                leader.device.stop(asked_by, options)?;
            }
            return Ok(Answer::Posted(ticket));
        }
        let (taken, entry) = self.take(name, Deed::Remove)?;
        let undo = || self.undo(entry.number, taken.ticket);
        let leader = self.members.of_provider(name).into_iter().next();
        let Some(leader) = leader else {
            undo();
            return Err(ControlError::Refused(format!("provider \"{name}\" has no device")));
        };
        // Its thread first: what cannot be carried out does not begin.
        let (sender, receiver) = sync_channel(1);
        let asked = (name.to_owned(), entry.number, options.clone());
        let begun = self.begin(move |this| {
            let (name, number, options) = asked;
            // None comes when the stop was refused.
            if let Ok(stop) = receiver.recv() {
                let report = this.run_remove((&name, number), stop, (asked_by, &options));
                this.end(taken, &name, report);
            }
        });
        if let Err(error) = begun {
            undo();
            return Err(error);
        }
        let before = last_stop(&leader.device);
        let called = match leader.device.stop(asked_by, options) {
            // Busy: over at once, and nothing has changed.
            Ok(Answer::Done(report)) if report.result != CallResult::AlreadyStopped => {
                undo();
                return Ok(Answer::Done(report));
            }
            Ok(called) => called,
            Err(error) => {
                undo();
                return Err(error.into());
            }
        };
        // It listens until it has got this.
        let _ = sender.send(Stopping { leader, called, before });
        Ok(Answer::Posted(taken.ticket))
    }

    /// Another source in the place of one, under the same prefixes.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed.
    pub fn replace(
        &self,
        asked_by: Caller,
        (name, source, words): (&str, Source, Vec<(String, String)>),
        options: StopOptions,
    ) -> Result<Answer<Report>, ControlError> {
        self.must_serve()?;
        if options.on_deadline == OnDeadline::Resume && options.deadline_s.is_some() {
            let what = "what was replaced cannot be resumed: its prefix has another owner by then; \
                        use stay, cancel or abort";
            return Err(ControlError::Refused(what.to_owned()));
        }
        let options = StopOptions { unmount: false, lazy: false, ..options };
        let known = self.members.book.lock().find(name).map(|entry| entry.config.clone());
        // Of a name that is not there, the book says which are.
        let config = known.map(|old| ProviderConfig { source, options: words, ..old });
        if let Some(config) = &config {
            self.check_words(config)?;
        }
        if options.refuse_if_busy
            && let Some(report) = self.busy(asked_by, name)
        {
            return Ok(Answer::Done(report));
        }
        let (taken, entry) = self.take(name, Deed::Replace)?;
        let Some(config) = config.filter(|new| new.prefixes == entry.config.prefixes) else {
            self.undo(entry.number, taken.ticket);
            return Err(ControlError::Refused(format!("provider \"{name}\" has just changed")));
        };
        let number = entry.number;
        let begun = self.begin(move |this| {
            let report = this.run_replace(&entry, &config, (asked_by, &options));
            this.end(taken, &config.name, report);
        });
        if let Err(error) = begun {
            self.undo(number, taken.ticket);
            return Err(error);
        }
        Ok(Answer::Posted(taken.ticket))
    }

    /// A call with a provider has come to nothing.
    fn undo(&self, number: u64, ticket: TicketNumber) {
        self.members.book.lock().settle(number);
        self.tickets.withdraw(ticket);
        self.wake_reload();
    }

    fn being_removed(&self, name: &str) -> Option<TicketNumber> {
        let book = self.members.book.lock();
        let (deed, ticket) = book.find(name)?.under_way?;
        (deed == Deed::Remove).then_some(ticket)
    }

    /// Writes down that a call begins with a provider.
    fn take(&self, name: &str, deed: Deed) -> Result<(Taken, Entry), ControlError> {
        let ticket = self.issue(name, deed);
        match self.members.book.lock().begin(name, deed, ticket) {
            Ok(entry) => Ok((Taken { deed, ticket }, entry)),
            Err(busy) => {
                self.tickets.withdraw(ticket);
                Err(busy.into())
            }
        }
    }

    /// Checks what a configuration file is checked for, too. Nothing is looked at.
    fn check(&self, config: &NamespaceConfig) -> Result<(), ControlError> {
        let refused = |Refused { what, .. }| ControlError::Refused(what);
        config.check(self.about.control_dir.as_deref()).map_err(refused)
    }

    fn check_words(&self, config: &ProviderConfig) -> Result<(), ControlError> {
        if config.name == self.about.name {
            let what = format!(
                "provider \"{}\" would be named as the mount is: their events could not be told \
                 apart",
                config.name
            );
            return Err(ControlError::Refused(what));
        }
        redirector::check_options(&config.source, &config.options)
            .map_err(|error| ControlError::Refused(error.0))
    }

    /// The report of a replacement that is refused because something is open; none: nothing is.
    fn busy(&self, asked_by: Caller, name: &str) -> Option<Report> {
        let mut report = Report::new(CallKind::Stop, CallResult::HasOpenHandles, asked_by);
        let mut opening = 0;
        for shown in self.members.of_provider(name) {
            let check = shown.device.check();
            report.survivors.extend(check.handles);
            report.survivors_total += check.handles_total;
            opening += check.opening;
        }
        (report.survivors_total > 0 || opening > 0).then_some(report)
    }

    /// Tells how a call ended: its last event, then its result.
    fn end(&self, taken: Taken, provider: &str, report: Report) {
        let ended_unix_s = unix_seconds(self.members.parts.clock.wall());
        let report = Report { ticket: Some(taken.ticket), ended_unix_s, ..report };
        if let Some(error) = &report.error {
            log::warn!("{provider}: {error}");
        }
        let (ticket, result, provider) = (taken.ticket, report.result, provider.to_owned());
        let generation = self.about.own.status().generation;
        self.about.observer.notice(
            generation,
            match taken.deed {
                Deed::Add => Notice::ProviderAdded { ticket, provider, result },
                Deed::Remove => Notice::ProviderRemoved { ticket, provider, result },
                Deed::Replace => Notice::ProviderReplaced { ticket, provider, result },
            },
        );
        if self.tickets.resolve(taken.ticket, report).is_err() {
            log::error!("ticket {} has a result already", taken.ticket);
        }
    }

    /// The record of the mount is to say what it is made of now.
    pub(super) fn save(&self) {
        self.about.own.save_config(ConfigScope::Mount);
    }

    fn run_add(&self, config: ProviderConfig, number: u64, asked_by: Caller) -> Report {
        let begun = Making { number, factory: None, beside: false };
        match self.bring_up(config, begun, asked_by) {
            Ok((made, report)) => {
                let Made { config, making, .. } = made;
                let factory = making.factory;
                let entry = Entry { config, number, factory, under_way: None };
                self.members.book.lock().exchange(number, entry);
                self.save();
                report
            }
            Err(report) => {
                self.members.book.lock().take_out(number);
                self.members.prune();
                *report
            }
        }
    }

    /// Makes a provider's devices and starts them. On failure nothing of them is left, and the
    /// report says why.
    pub(super) fn bring_up(
        &self,
        config: ProviderConfig,
        mut making: Making,
        asked_by: Caller,
    ) -> Result<(Made, Report), Box<Report>> {
        let failed = |error: String| {
            let report = Report::new(CallKind::Start, CallResult::Failed, asked_by);
            Box::new(Report { error: Some(error), ..report })
        };
        let devices = self.make(&config, &mut making).map_err(|error| failed(error.message))?;
        let made = Made { config, devices, making };
        let started = self.start(&made.devices, asked_by);
        match started {
            Ok(report) => Ok((made, report)),
            Err(report) => {
                self.discard(&made.devices, asked_by);
                Err(report)
            }
        }
    }

    pub(super) fn make(
        &self,
        config: &ProviderConfig,
        making: &mut Making,
    ) -> Result<Vec<Arc<Shown>>, AppError> {
        if let Some(check) = &self.about.check {
            check(&config.source).map_err(AppError::failed)?;
        }
        // Whoever is gone makes room.
        self.members.sweep();
        self.members.make(config, making)
    }

    /// Starts a provider that has just been made, if the mount runs.
    pub(super) fn start(
        &self,
        devices: &[Arc<Shown>],
        asked_by: Caller,
    ) -> Result<Report, Box<Report>> {
        let failed = |result, error: String| {
            let report = Report::new(CallKind::Start, result, asked_by);
            Box::new(Report { error: Some(error), ..report })
        };
        let nothing = || failed(CallResult::Failed, "it has no prefix".to_owned());
        let leader = &devices.first().ok_or_else(nothing)?.device;
        let called = leader.start(asked_by);
        let called = called.map_err(|error| failed(CallResult::Failed, error.to_string()))?;
        let report = leader.wait_report(called);
        let lost = |_| failed(CallResult::Failed, "its start has no result".to_owned());
        let report = report.map_err(lost)?;
        if !matches!(report.result, CallResult::Success | CallResult::AlreadyStarted) {
            return Err(Box::new(report));
        }
        if !self.is_serving() {
            let error = "the mount was stopped meanwhile".to_owned();
            return Err(failed(CallResult::AlreadyStopped, error));
        }
        if self.about.own.state() == State::Paused {
            pause(devices, true);
        }
        Ok(report)
    }

    /// Undoes the making of a provider that nobody has seen.
    pub(super) fn discard(&self, devices: &[Arc<Shown>], asked_by: Caller) {
        let options = StopOptions { mode: StopMode::Abort, ..StopOptions::default() };
        self.put_to_rest(devices, (asked_by, &options));
        devices.iter().for_each(|shown| self.members.remove(shown));
    }

    /// Stops a provider if it is not stopped, and waits for that: until it stays so.
    fn put_to_rest(&self, devices: &[Arc<Shown>], (asked_by, options): (Caller, &StopOptions)) {
        // A stop that takes itself back would do so for ever.
        let cancels = options.on_deadline == OnDeadline::Resume;
        let on_deadline = if cancels { OnDeadline::Cancel } else { options.on_deadline };
        let options = StopOptions { on_deadline, refuse_if_busy: false, ..options.clone() };
        for shown in devices {
            while !shown.is_at_rest() {
                match shown.device.stop(asked_by, options.clone()) {
                    Ok(called) => drop(shown.device.wait_report(called)),
                    Err(error) => {
                        log::error!("{}: {error}", shown.name);
                        break;
                    }
                }
            }
        }
    }

    fn run_remove(
        &self,
        (name, number): (&str, u64),
        stop: Stopping,
        asked: (Caller, &StopOptions),
    ) -> Report {
        let report = stop.ended(asked.0);
        if !report.result.is_stopped() {
            self.members.book.lock().settle(number);
            return report;
        }
        let devices = self.members.of_provider(name);
        // From here on nobody starts it again.
        devices.iter().for_each(|shown| shown.registration.leave());
        self.put_to_rest(&devices, asked);
        self.members.rename(&devices, &passing_name(name, number), Place::Left);
        self.members.book.lock().take_out(number);
        self.members.prune();
        self.members.sweep();
        self.save();
        report
    }

    fn run_replace(
        &self,
        old: &Entry,
        config: &ProviderConfig,
        asked: (Caller, &StopOptions),
    ) -> Report {
        let (name, asked_by) = (&config.name, asked.0);
        let leader = self.members.of_provider(name).into_iter().next();
        let stopped_before = leader.and_then(|leader| last_stop(&leader.device));
        let number = self.members.book.lock().next_number();
        let making = Making { number, factory: None, beside: true };
        let as_it_was = |report: Report| {
            self.members.book.lock().settle(old.number);
            Report { kind: CallKind::Stop, ..report }
        };
        let (made, _) = match self.bring_up(config.clone(), making, asked_by) {
            Ok(made) => made,
            Err(report) => return as_it_was(*report),
        };
        let before = self.members.of_provider(name);
        if asked.1.refuse_if_busy
            && let Some(report) = self.busy(asked_by, name)
        {
            self.discard(&made.devices, asked_by);
            return as_it_was(report);
        }
        if before.iter().any(|shown| shown.device.state() == State::Paused) {
            pause(&made.devices, true);
        }
        if let Err(error) = hand_over(&before, &made.devices) {
            self.discard(&made.devices, asked_by);
            let report = Report::new(CallKind::Stop, CallResult::Failed, asked_by);
            return as_it_was(Report { error: Some(error), ..report });
        }
        self.members.rename(&before, &passing_name(name, old.number), Place::Left);
        self.members.rename(&made.devices, name, Place::There);
        let Made { config, making, .. } = made;
        let entry = Entry { config, number, factory: making.factory, under_way: None };
        self.members.book.lock().exchange(old.number, entry);
        self.wake_reload();
        self.save();
        let stop = Self::begin_stop(&before, asked, stopped_before);
        let report = Self::end_stop(stop, asked_by);
        self.members.sweep();
        report
    }

    /// Begins the orderly stop of a provider that has no prefix any more. `before`: its last stop
    /// that is not of interest.
    pub(super) fn begin_stop(
        devices: &[Arc<Shown>],
        (asked_by, options): (Caller, &StopOptions),
        before: Option<TicketNumber>,
    ) -> Result<Stopping, Box<Report>> {
        let plain = |result| Box::new(Report::new(CallKind::Stop, result, asked_by));
        let leader = devices.first().cloned().ok_or_else(|| plain(CallResult::Success))?;
        let options = StopOptions { refuse_if_busy: false, ..options.clone() };
        match leader.device.stop(asked_by, options) {
            Ok(called) => Ok(Stopping { leader, called, before }),
            Err(error) => {
                let report = *plain(CallResult::Failed);
                Err(Box::new(Report { error: Some(error.to_string()), ..report }))
            }
        }
    }

    /// Waits for its end.
    pub(super) fn end_stop(stop: Result<Stopping, Box<Report>>, asked_by: Caller) -> Report {
        let report = stop.map_or_else(|report| *report, |stop| stop.ended(asked_by));
        // It was stopped before: nothing was lost by this call.
        let stopped = report.result == CallResult::AlreadyStopped;
        let result = if stopped { CallResult::Success } else { report.result };
        Report { result, ..report }
    }
}

#[cfg(test)]
mod tests;
