//! A configuration file that is read again while it is served (SIGHUP): what changed is changed,
//! and nothing else is touched.
//!
//! ```text
//!   read -- bad: refused as a whole
//!   start what is new, beside what is there -- one does not start: refused as a whole
//!   prefixes shown no longer are released; those that change hands are handed over;
//!   new ones are taken                                    -- here the mount shows the new file
//!   orderly stop of what is left of the old
//! ```

use crate::app::namespace::book::Entry;
use crate::app::namespace::changes::{Changes, Step, merged};
use crate::app::namespace::hand_over::{last_stop, pause};
use crate::app::namespace::members::{Making, Place, Shown, passing_name};
use crate::app::namespace::providers::{Made, Providers};
use crate::app::namespace::{NamespaceConfig, NetName, ProviderConfig};
use crate::base::ids::{Caller, TicketNumber};
use crate::base::stop::{CallKind, CallResult, Report, State, StopOptions};
use std::sync::Arc;

/// A provider that has left, with the number it had.
struct Left {
    name: String,
    devices: Vec<Arc<Shown>>,
    /// The last stop it had before.
    before: Option<TicketNumber>,
}

impl Left {
    fn new(name: &str, devices: Vec<Arc<Shown>>) -> Self {
        let before = devices.first().and_then(|leader| last_stop(&leader.device));
        Self { name: name.to_owned(), devices, before }
    }
}

/// What a reload is about to do.
struct Plan {
    changes: Changes,
    /// New providers, those that take the place of others among them.
    made: Vec<Made>,
    /// Providers that only get other prefixes, with the devices of those that are new. The devices
    /// of the others are not touched.
    adjusted: Vec<Made>,
}

/// What a reload has changed, for the log.
#[must_use]
pub struct Reloaded {
    left: Vec<Left>,
    /// One line.
    pub line: String,
}

impl Providers {
    /// Makes the mount what `read` says; what is left of what it was, is to be stopped by
    /// [`Providers::stop_reloaded`]. The turn of [`Providers::ask_reload`] ends with it.
    ///
    /// # Errors
    /// One line; nothing has changed.
    pub fn reload(
        &self,
        read: &dyn Fn() -> Result<NamespaceConfig, String>,
        asked_by: Caller,
    ) -> Result<Reloaded, String> {
        let reloaded = self.read_again(read).and_then(|new| self.apply(&new, asked_by));
        self.members.book.lock().end_reload();
        self.wake_reload();
        reloaded
    }

    fn read_again(
        &self,
        read: &dyn Fn() -> Result<NamespaceConfig, String>,
    ) -> Result<NamespaceConfig, String> {
        let new = read()?;
        if let Some(name) = new.name.as_ref().filter(|name| **name != self.about.name) {
            log::warn!("{}: it keeps its name while it is mounted, not {name}", self.about.name);
        }
        if new.providers.iter().any(|provider| provider.name == self.about.name) {
            let name = &self.about.name;
            return Err(format!("provider \"{name}\" would be named as the mount is"));
        }
        Ok(new)
    }

    fn apply(&self, new: &NamespaceConfig, asked_by: Caller) -> Result<Reloaded, String> {
        if !self.is_serving() {
            return Err("the mount is not running: start it, then reload".to_owned());
        }
        let old = self.members.book.lock().config();
        let wanted = merged(&self.read.lock(), &old, new);
        // With what commands have added, which the file does not know.
        let checked = wanted.check(self.about.control_dir.as_deref());
        checked.map_err(|refused| refused.what)?;
        let plan = self.plan(Changes::between(&old, &wanted), asked_by)?;
        let line = line(&plan.changes);
        let left = self.carry_out(&plan, &wanted);
        *self.read.lock() = new.clone();
        if !plan.changes.is_empty() {
            self.save();
        }
        Ok(Reloaded { left, line })
    }

    /// Makes and starts what is new, beside what is there.
    fn plan(&self, changes: Changes, asked_by: Caller) -> Result<Plan, String> {
        let (mut made, mut adjusted): (Vec<Made>, Vec<Made>) = Default::default();
        let new = changes.added.iter().map(|it| (None, it));
        let new = new.chain(changes.replaced.iter().map(|it| (Some(&it.old), &it.new)));
        for (old, config) in new {
            let brought = match old.and_then(|old| self.same_provider(old, config)) {
                Some(entry) => self.bring_up_more(&entry, config, asked_by).map(|one| {
                    adjusted.push(one);
                }),
                None => self.bring_up_beside(old, config, asked_by).map(|one| made.push(one)),
            };
            match brought {
                Ok(()) => {}
                Err(report) => {
                    let all = made.iter().chain(&adjusted);
                    all.for_each(|one| self.discard(&one.devices, asked_by));
                    let why = report.error.unwrap_or_else(|| "the start failed".to_owned());
                    return Err(format!("provider \"{}\": {why}", config.name));
                }
            }
        }
        Ok(Plan { changes, made, adjusted })
    }

    /// The provider that is to go on, if its devices can: it runs, shows the same, and keeps the
    /// prefix of the device that leads the others.
    fn same_provider(&self, old: &ProviderConfig, new: &ProviderConfig) -> Option<Entry> {
        let leader = self.members.of_provider(&old.name).into_iter().next()?;
        let runs = matches!(leader.device.state(), State::Started | State::Paused);
        let same = (&old.source, &old.options) == (&new.source, &new.options);
        if !runs || !same || !new.prefixes.contains(&leader.prefix) {
            return None;
        }
        self.members.book.lock().find(&old.name).cloned()
    }

    /// Makes and starts the devices of the prefixes that a provider gets.
    fn bring_up_more(
        &self,
        entry: &Entry,
        config: &ProviderConfig,
        asked_by: Caller,
    ) -> Result<Made, Box<Report>> {
        let failed = |error: String| {
            let report = Report::new(CallKind::Start, CallResult::Failed, asked_by);
            Box::new(Report { error: Some(error), ..report })
        };
        let (number, factory) = (entry.number, entry.factory.clone());
        let mut making = Making { number, factory, beside: true };
        let more = config.prefixes.iter().filter(|it| !entry.config.prefixes.contains(it));
        let more: Vec<(&NetName, bool)> = more.map(|prefix| (prefix, false)).collect();
        let devices = self.members.make_some(config, &more, &mut making);
        let devices = devices.map_err(|error| failed(error.message))?;
        for shown in &devices {
            if let Err(report) = self.start(std::slice::from_ref(shown), asked_by) {
                self.discard(&devices, asked_by);
                return Err(report);
            }
        }
        let before = self.members.of_provider(&config.name);
        if before.iter().any(|shown| shown.device.state() == State::Paused) {
            pause(&devices, true);
        }
        Ok(Made { config: config.clone(), devices, making })
    }

    fn bring_up_beside(
        &self,
        old: Option<&ProviderConfig>,
        config: &ProviderConfig,
        asked_by: Caller,
    ) -> Result<Made, Box<Report>> {
        let number = self.members.book.lock().next_number();
        // What is kept in a source that is in memory goes on under other prefixes.
        let same = |old: &&ProviderConfig| {
            (&old.source, &old.options) == (&config.source, &config.options)
        };
        let factory = old.filter(same).and_then(|old| {
            let book = self.members.book.lock();
            book.find(&old.name).and_then(|entry| entry.factory.clone())
        });
        let making = Making { number, factory, beside: true };
        self.bring_up(config.clone(), making, asked_by).map(|(made, _)| made)
    }

    /// The mount becomes what the new configuration says. Nothing here is taken back: what cannot
    /// be done now is told, and done when the mount is started again.
    fn carry_out(&self, plan: &Plan, new: &NamespaceConfig) -> Vec<Left> {
        let device = |name: &str, prefix: &NetName| {
            let devices = self.members.of_provider(name);
            devices.into_iter().find(|shown| shown.prefix == *prefix)
        };
        let fresh = |name: &str, prefix: &NetName| {
            let mut made = plan.made.iter().chain(&plan.adjusted);
            let made = made.find(|made| made.config.name == name)?;
            made.devices.iter().find(|shown| shown.prefix == *prefix)
        };
        let goes_on = |name: &str| plan.adjusted.iter().any(|made| made.config.name == name);
        let replaced = plan.changes.replaced.iter().filter(|it| !goes_on(&it.new.name));
        let mut steps = plan.changes.steps();
        // Prefixes of a provider that is made anew go with it, those that are in no step too.
        for it in replaced.clone() {
            for prefix in it.new.prefixes.iter().filter(|prefix| it.old.prefixes.contains(prefix)) {
                let (from, to) = (it.old.name.clone(), it.new.name.clone());
                let step = Step::Swap { from, to, prefix: prefix.clone() };
                if !steps.contains(&step) {
                    steps.push(step);
                }
            }
        }
        for step in &steps {
            let done = match step {
                Step::Close { provider, prefix } => {
                    if let Some(shown) = device(provider, prefix) {
                        shown.registration.leave();
                    }
                    Ok(())
                }
                Step::Swap { from, to, prefix } => {
                    let old = device(from, prefix);
                    let old = old.as_ref().map(|old| &*old.registration);
                    let to = fresh(to, prefix);
                    to.map_or(Ok(()), |to| to.registration.take_over(old))
                }
                Step::Open { provider, prefix } => {
                    let to = fresh(provider, prefix);
                    to.map_or(Ok(()), |to| to.registration.take_over(None))
                }
            };
            if let Err(error) = done {
                log::error!("{}: {error}", self.about.name);
            }
        }
        // What could not be given its prefix takes it when it starts again.
        for made in plan.made.iter().chain(&plan.adjusted) {
            made.devices.iter().for_each(|shown| shown.registration.stay());
        }
        let gone = plan.changes.removed.iter().chain(replaced.map(|it| &it.old));
        let left = gone.filter_map(|old| self.let_go(&old.name));
        let left = left.chain(plan.adjusted.iter().flat_map(|made| self.adjust(made))).collect();
        for made in &plan.made {
            let Made { config, devices, making } = made;
            self.members.rename(devices, &config.name, Place::There);
            let (config, number) = (config.clone(), making.number);
            let entry = Entry { config, number, factory: making.factory.clone(), under_way: None };
            self.members.book.lock().push(entry);
        }
        let order: Vec<String> = new.providers.iter().map(|it| it.name.clone()).collect();
        self.members.book.lock().sort(&order);
        self.members.prune();
        left
    }

    /// A provider is none of the mount's any more.
    fn let_go(&self, name: &str) -> Option<Left> {
        let devices = self.members.of_provider(name);
        devices.iter().for_each(|shown| shown.registration.leave());
        let mut book = self.members.book.lock();
        let number = book.find(name)?.number;
        book.take_out(number);
        drop(book);
        self.members.rename(&devices, &passing_name(name, number), Place::Left);
        Some(Left::new(name, devices))
    }

    /// A provider has other prefixes now; its devices of those it has no longer are let go, each by
    /// itself.
    fn adjust(&self, made: &Made) -> Vec<Left> {
        let Made { config, devices, making } = made;
        let name = &config.name;
        let mut less = self.members.of_provider(name);
        less.retain(|shown| !config.prefixes.contains(&shown.prefix));
        self.members.rename(devices, name, Place::There);
        let (config, number) = (config.clone(), making.number);
        let entry = Entry { config, number, factory: making.factory.clone(), under_way: None };
        let passing = {
            let mut book = self.members.book.lock();
            book.exchange(number, entry);
            passing_name(name, book.next_number())
        };
        self.members.rename(&less, &passing, Place::LeftAlone);
        less.into_iter().map(|shown| Left::new(name, vec![shown])).collect()
    }

    /// The orderly stop of what has left with a reload; waits for it. Who has lost
    /// something is asked for that once more when it goes, for the end of the daemon.
    pub fn stop_reloaded(&self, reloaded: Reloaded, asked: (Caller, &StopOptions)) {
        // Side by side: each has the deadline for itself.
        let begin = |Left { name, devices, before }: Left| {
            (name, Self::begin_stop(&devices, asked, before))
        };
        let begun: Vec<_> = reloaded.left.into_iter().map(begin).collect();
        for (name, stop) in begun {
            log::info!("{name}: {}", outcome(&Self::end_stop(stop, asked.0)));
        }
        self.members.sweep();
    }
}

fn outcome(report: &Report) -> String {
    let open = report.survivors_total;
    match report.result {
        CallResult::HasOpenHandles => format!("stopped, {open} handles of it are open still"),
        CallResult::Lost => format!("stopped, {} writes are lost", report.losses.len()),
        CallResult::Success | CallResult::AlreadyStopped => "stopped".to_owned(),
        CallResult::AlreadyStarted | CallResult::RolledBack | CallResult::Failed => {
            let why = report.error.as_deref().unwrap_or("no reason is known");
            format!("its stop came to {:?}: {why}", report.result)
        }
    }
}

fn line(changes: &Changes) -> String {
    if changes.is_empty() {
        return "nothing in the configuration has changed".to_owned();
    }
    let names = |what: &str, names: Vec<&str>| match names.is_empty() {
        true => None,
        false => Some(format!("{what} {}", names.join(", "))),
    };
    let all = [
        names("added", changes.added.iter().map(|it| &*it.name).collect()),
        names("replaced", changes.replaced.iter().map(|it| &*it.new.name).collect()),
        names("removed", changes.removed.iter().map(|it| &*it.name).collect()),
        names("unchanged", changes.unchanged.iter().map(|it| &**it).collect()),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
