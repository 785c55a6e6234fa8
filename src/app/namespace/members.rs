//! The devices that show the shares of a mount, and what starts and stops with the mount.

use crate::app::error::AppError;
use crate::app::events::Publisher;
use crate::app::namespace::ProviderConfig;
use crate::app::namespace::provider::{Registration, Share};
use crate::app::namespace::share_keeper::ShareKeeper;
use crate::app::redirector;
use crate::app::source::Source;
use crate::base::clock::{Clock, Moment};
use crate::base::ids::{Caller, TicketNumber};
use crate::base::stop::{Answer, CallResult, HandleInfo, Loss, Report, State, StopOptions};
use crate::base::sync::{Mutex, Rank, RwLock};
use crate::front::namespace::{Member, Namespace};
use crate::mgmt::events::EventQueue;
use crate::mrx::calldown::Capabilities;
use crate::mrx::calldown::MiniRedirector;
use crate::mup::net_name::NetName;
use crate::mup::router::Router;
use crate::mup::upcalls::ProviderHandle;
use crate::rdbss::device::{Device, KernelSide};
use crate::rdbss::notice::{Dependents, FileSystemRegistration, KernelCache, LossKeeper};
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::register::{
    self, DeviceOptions, RedirectorFactory, RegistrationControls, Registry,
};
use crate::rdbss::ticket::TicketState;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Whoever waits for several devices looks at each so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A device with its place in the mount.
pub struct Shown {
    /// Its name in listings and events.
    pub name: String,
    /// The provider it is of.
    pub provider: String,
    /// Where it is shown.
    pub prefix: NetName,
    /// What it shows.
    pub source: Source,
    /// The device.
    pub device: Arc<Device>,
    registration: Arc<Registration>,
    /// The stop that the mount's own stop asked it for.
    stopping: Mutex<Option<TicketNumber>>,
}

impl Shown {
    /// Its handle at the router, while its prefix is its.
    #[must_use]
    pub fn owner(&self) -> Option<ProviderHandle> {
        self.registration.handle()
    }

    /// A path below its root as the mount has it.
    pub(in crate::app) fn path(&self, below: &[u8]) -> Vec<u8> {
        self.prefix.path_of(below)
    }

    /// The same for a handle.
    pub fn handle(&self, handle: HandleInfo) -> HandleInfo {
        HandleInfo { path: self.path(&handle.path), ..handle }
    }

    /// The same for a report.
    pub fn report(&self, report: Report) -> Report {
        let mut report = report;
        for loss in &mut report.losses {
            loss.path = self.path(&loss.path);
        }
        report.survivors = report.survivors.into_iter().map(|handle| self.handle(handle)).collect();
        if let Some(error) = &mut report.error {
            *error = format!("{}: {error}", self.name);
        }
        report
    }
}

/// What every device of the mount is made with.
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where what happens is told.
    pub events: Arc<EventQueue>,
    /// How a device behaves; its tag is its own.
    pub options: DeviceOptions,
    /// What keeps what was lost.
    pub keeper: Arc<dyn LossKeeper>,
    /// The prefix router.
    pub router: Arc<Router<Share>>,
}

/// The devices that show the shares of one mount.
pub struct Members {
    parts: Parts,
    registry: Registry,
    namespace: OnceLock<Arc<Namespace<Share>>>,
    kernel: OnceLock<(Arc<dyn KernelCache>, Arc<dyn FileSystemRegistration>)>,
    all: RwLock<BTreeMap<String, Arc<Shown>>>,
    /// The mount has been up: from now on it starts without those that do not.
    was_up: OnceLock<()>,
}

impl Members {
    /// No device yet.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            registry: Registry::default(),
            namespace: OnceLock::new(),
            kernel: OnceLock::new(),
            all: RwLock::new(Rank::Registry, BTreeMap::new()),
            was_up: OnceLock::new(),
        })
    }

    /// The dispatcher they are shown by. Once, before the first is added.
    pub fn attach(&self, namespace: Arc<Namespace<Share>>) {
        let _ = self.namespace.set(namespace);
    }

    /// The kernel's side, once the mount is up.
    pub fn attach_kernel(
        &self,
        cache: Arc<dyn KernelCache>,
        registration: Arc<dyn FileSystemRegistration>,
    ) {
        let _ = self.kernel.set((cache, registration));
        for shown in self.all() {
            self.give_kernel(&shown.device);
        }
        let _ = self.was_up.set(());
    }

    fn give_kernel(&self, device: &Device) {
        if let Some((cache, registration)) = self.kernel.get() {
            let (cache, registration) = (cache.clone(), registration.clone());
            device.attach_kernel(KernelSide { cache, registration });
        }
    }

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Shown>> {
        self.all.read().values().cloned().collect()
    }

    /// The devices of a provider.
    #[must_use]
    pub fn of(&self, provider: &str) -> Vec<Arc<Shown>> {
        self.all().into_iter().filter(|shown| shown.provider == provider).collect()
    }

    /// Makes the devices of a provider; they are not started yet.
    ///
    /// # Errors
    /// One line; nothing is left.
    pub fn add(&self, config: &ProviderConfig) -> Result<Vec<Arc<Shown>>, AppError> {
        let factory = redirector::factory(&config.source, &config.options, &self.parts.clock)?;
        let factory: Arc<RedirectorFactory> = Arc::new(factory);
        let mut made = Vec::new();
        for prefix in &config.prefixes {
            match self.add_share(config, prefix, &factory) {
                Ok(shown) => made.push(shown),
                Err(error) => {
                    made.iter().for_each(|shown| self.remove(shown));
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    fn add_share(
        &self,
        config: &ProviderConfig,
        prefix: &NetName,
        factory: &Arc<RedirectorFactory>,
    ) -> Result<Arc<Shown>, AppError> {
        let name = match config.prefixes.len() {
            1 => config.name.clone(),
            _ => format!("{}:{prefix}", config.name),
        };
        let tie = Registration::new(name.clone(), self.parts.router.clone(), prefix.clone());
        let factory = factory.clone();
        let make = move || -> Arc<dyn MiniRedirector> { factory() };
        let device = self.registry.register(register::Registration {
            name: name.clone(),
            controls: RegistrationControls::default(),
            factory: Box::new(make),
            options: DeviceOptions { tag: self.free_tag()?, ..self.parts.options.clone() },
            clock: self.parts.clock.clone(),
            observer: Arc::new(Publisher {
                device: name.clone(),
                events: self.parts.events.clone(),
            }),
            unc_provider: Some(tie.clone()),
            dependents: None,
        });
        let device = device.map_err(|error| AppError::failed(error.to_string()))?;
        device.attach_keeper(Arc::new(ShareKeeper {
            tag: device.tag(),
            prefix: prefix.clone(),
            keeper: self.parts.keeper.clone(),
        }));
        let member = Member::new(device.clone());
        tie.attach(member.clone());
        if let Some(namespace) = self.namespace.get()
            && namespace.add(member).is_err()
        {
            log::error!("{name}: its tag is taken");
        }
        self.give_kernel(&device);
        let shown = Arc::new(Shown {
            name: name.clone(),
            provider: config.name.clone(),
            prefix: prefix.clone(),
            source: config.source.clone(),
            device,
            registration: tie,
            stopping: Mutex::new(Rank::Leaf, None),
        });
        self.all.write().insert(name, shown.clone());
        Ok(shown)
    }

    fn free_tag(&self) -> Result<Tag, AppError> {
        let taken: Vec<Tag> = self.all().iter().map(|shown| shown.device.tag()).collect();
        let free = (1..=Tag::MAX.get()).filter_map(Tag::new).find(|tag| !taken.contains(tag));
        free.ok_or_else(|| AppError::failed("no more shares fit into one mount".to_owned()))
    }

    /// Takes a stopped device off the books. What the kernel still knows of it is stale.
    pub fn remove(&self, shown: &Shown) {
        if let Err(error) = self.registry.unregister(&shown.name) {
            log::error!("{error}");
            return;
        }
        if let Some(namespace) = self.namespace.get() {
            namespace.remove(shown.device.tag());
        }
        let removed = self.all.write().remove(&shown.name);
        drop(removed);
    }

    /// Waits until a device has started, or has not.
    fn started(&self, shown: &Shown, called: Answer<Report>) -> Result<(), String> {
        let report = match called {
            Answer::Done(report) => report,
            Answer::Posted(ticket) => loop {
                match shown.device.wait_ticket(ticket, LOOK_EVERY) {
                    TicketState::Open => {}
                    TicketState::Ended(report) => break *report,
                    TicketState::Unknown => return Err(format!("{}: no result", shown.name)),
                }
            },
        };
        match report.result {
            CallResult::Success | CallResult::AlreadyStarted => Ok(()),
            _ => Err(format!(
                "{}: {}",
                shown.name,
                report.error.unwrap_or_else(|| "the start failed".to_owned())
            )),
        }
    }
}

impl Dependents for Members {
    fn stop(&self, asked_by: Caller, options: &StopOptions) -> bool {
        let options = StopOptions { unmount: false, lazy: false, ..options.clone() };
        let mut asked = Vec::new();
        for shown in self.all() {
            match shown.device.stop(asked_by, options.clone()) {
                Ok(Answer::Posted(ticket)) => {
                    *shown.stopping.lock() = Some(ticket);
                    asked.push(shown);
                }
                Ok(Answer::Done(report)) if report.result.is_stopped() => {}
                // Busy, and it is to be left alone then.
                Ok(Answer::Done(_)) => {
                    asked.iter().for_each(|shown| self.go_on(shown, asked_by));
                    return false;
                }
                Err(error) => log::error!("{}: {error}", shown.name),
            }
        }
        true
    }

    fn wait_stopped(&self, limit: Duration) -> Option<Vec<Report>> {
        let until = self.parts.clock.now().after(limit);
        let mut reports = Vec::new();
        for shown in self.all() {
            let ticket = *shown.stopping.lock();
            let Some(ticket) = ticket else { continue };
            match shown.device.wait_ticket(ticket, self.left(until)) {
                TicketState::Open => return None,
                // Taken back by itself: the mount's stop will be, which has the same deadline.
                TicketState::Ended(report) if !report.result.is_stopped() => {
                    shown.device.wait_state(|_| false, self.left(until));
                    return None;
                }
                TicketState::Ended(report) => reports.push(shown.report(*report)),
                TicketState::Unknown => log::error!("{}: its stop has no result", shown.name),
            }
        }
        for shown in self.all() {
            *shown.stopping.lock() = None;
        }
        Some(reports)
    }

    fn resume(&self, asked_by: Caller) {
        for shown in self.all() {
            let asked = shown.stopping.lock().take().is_some();
            if asked {
                self.go_on(&shown, asked_by);
            }
        }
    }

    fn start(&self, asked_by: Caller) -> Result<Vec<String>, String> {
        let all = self.all();
        let called: Vec<_> = all.iter().map(|shown| shown.device.start(asked_by)).collect();
        let mut without = Vec::new();
        for (shown, called) in all.iter().zip(called) {
            let started = match called {
                Ok(called) => self.started(shown, called),
                Err(error) => Err(format!("{}: {error}", shown.name)),
            };
            if let Err(why) = started {
                without.push(why);
            }
        }
        if without.is_empty() || self.was_up.get().is_some() {
            return Ok(without);
        }
        let why = without.join("; ");
        let options = StopOptions::default();
        self.stop(asked_by, &options);
        while self.wait_stopped(LOOK_EVERY).is_none() {}
        Err(why)
    }

    fn survivors(&self, max: usize) -> (Vec<HandleInfo>, u64) {
        let (mut listed, mut total) = (Vec::new(), 0);
        for shown in self.all() {
            total += shown.device.status().open_handles;
            shown.device.visit_handles(&mut |handle| {
                if listed.len() >= max {
                    return false;
                }
                listed.push(shown.handle(handle));
                true
            });
        }
        (listed, total)
    }

    fn connection_gone(&self) {
        for shown in self.all() {
            shown.device.connection_gone();
        }
    }
}

impl Members {
    /// What every share can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let each = self.all().into_iter().map(|shown| shown.device.capabilities());
        let both = |one: Capabilities, other: Capabilities| Capabilities {
            locks: one.locks && other.locks,
            posix_acl: one.posix_acl && other.posix_acl,
            ..one
        };
        each.reduce(both).unwrap_or_default()
    }

    /// The kernel's connection has ended: closes what is open, each within `limit`.
    pub fn gone_within(&self, limit: Duration) -> u64 {
        self.all().iter().map(|shown| shown.device.connection_gone_within(limit)).sum()
    }

    /// What was lost since the last reports.
    #[must_use]
    pub fn take_losses(&self) -> Vec<Loss> {
        let of = |shown: &Arc<Shown>| {
            let losses = shown.device.take_losses().into_iter();
            losses.map(|loss| Loss { path: shown.path(&loss.path), ..loss }).collect::<Vec<_>>()
        };
        self.all().iter().flat_map(of).collect()
    }

    fn left(&self, until: Moment) -> Duration {
        until.since(self.parts.clock.now())
    }

    /// Takes the stop of a device back, or starts it again if that is over.
    fn go_on(&self, shown: &Shown, asked_by: Caller) {
        *shown.stopping.lock() = None;
        if let Err(error) = shown.device.resume() {
            log::error!("{}: {error}", shown.name);
        }
        if !matches!(shown.device.state(), State::Started | State::Paused)
            && let Err(error) = shown.device.start(asked_by)
        {
            log::error!("{}: {error}", shown.name);
        }
    }
}
