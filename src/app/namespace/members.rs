//! The devices that show the shares of a mount.
//!
//! A provider with several prefixes has a device for each. The first leads: the others are its
//! dependents, so that a stop or start of the provider is one call with one result.

use crate::app::error::AppError;
use crate::app::events::Publisher;
use crate::app::namespace::ProviderConfig;
use crate::app::namespace::book::{Book, Entry};
use crate::app::namespace::directories::Directories;
use crate::app::namespace::kernel_names::MountNames;
use crate::app::namespace::provider::{Registration, Share, Standing};
use crate::app::namespace::share_keeper::ShareKeeper;
use crate::app::namespace::together::{Companion, Together, Which};
use crate::app::redirector;
use crate::app::source::Source;
use crate::base::clock::Clock;
use crate::base::limits::LOSSES_KEPT;
use crate::base::metrics::DeviceNumbers;
use crate::base::stop::Loss;
use crate::base::sync::{Mutex, Rank, RwLock};
use crate::base::threads::{self, Thread};
use crate::front::namespace::{Member, Namespace};
use crate::mgmt::events::EventQueue;
use crate::mrx::calldown::{Capabilities, MiniRedirector};
use crate::mup::net_name::NetName;
use crate::mup::router::Router;
use crate::mup::upcalls::ProviderHandle;
use crate::rdbss::device::{Device, KernelSide};
use crate::rdbss::notice::{Dependents, FileSystemRegistration, KernelCache, LossKeeper};
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::register::{
    self, DeviceOptions, RedirectorFactory, RegistrationControls, Registry,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// A device with its place in the mount.
pub struct Shown {
    /// Its name in listings and events; no two of a mount have the same.
    pub name: String,
    /// What ties it to the other devices of its provider: a provider that was replaced and the one
    /// that took its place have one name, and nothing in common.
    pub provider: String,
    /// Its provider's name; where that has left or has yet to come, with a `~` and a number.
    pub shown_as: String,
    /// Where it is shown.
    pub prefix: NetName,
    /// What it shows.
    pub source: Source,
    /// The device.
    pub device: Arc<Device>,
    /// The first of its provider: its calls are the provider's. None that leaves leads.
    pub leads: bool,
    /// It is there for what is still open, and never starts again.
    pub leaving: bool,
    pub(super) registration: Arc<Registration>,
    publisher: Arc<Publisher>,
    registry: Arc<Registry>,
    /// What a stop of what it depends on has to do with it.
    pub(super) companion: Arc<Companion>,
}

impl Shown {
    /// Its handle at the router, while its prefix is its.
    #[must_use]
    pub fn owner(&self) -> Option<ProviderHandle> {
        self.registration.handle()
    }

    /// Has it left, or is it still to come?
    #[must_use]
    pub fn is_aside(&self) -> bool {
        self.leaving || self.shown_as.contains(PASSING)
    }

    /// The same device, called otherwise.
    fn as_provider(&self, shown_as: &str, place: Place) -> Self {
        let leaving = place != Place::There;
        // Its own followers know it by their key, and it is not among them; and one that leaves
        // alone does not follow who stays.
        let provider = match (leaving && self.leads) || place == Place::LeftAlone {
            true => format!("{}{LEFT}", self.provider),
            false => self.provider.clone(),
        };
        Self {
            name: device_name(shown_as, &self.prefix, self.is_first()),
            provider,
            shown_as: shown_as.to_owned(),
            prefix: self.prefix.clone(),
            source: self.source.clone(),
            device: self.device.clone(),
            leads: self.leads && !leaving,
            leaving,
            registration: self.registration.clone(),
            publisher: self.publisher.clone(),
            registry: self.registry.clone(),
            companion: self.companion.clone(),
        }
    }

    /// Has it left the mount, and not with a device that it depends on?
    pub(super) fn left_by_itself(&self) -> bool {
        self.leaving && self.provider.ends_with(LEFT)
    }

    /// Has its provider's name alone been its name?
    fn is_first(&self) -> bool {
        self.name == self.shown_as
    }
}

/// What becomes of devices that are called otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// They are the provider's.
    There,
    /// They leave, as a provider.
    Left,
    /// They leave a provider that stays.
    LeftAlone,
}

/// The first device of a provider has its name; another the prefix as well.
fn device_name(provider: &str, prefix: &NetName, first: bool) -> String {
    if first { provider.to_owned() } else { format!("{provider}:{prefix}") }
}

/// How devices of a provider are made.
#[derive(Clone)]
pub struct Making {
    /// Which of all providers the mount ever had.
    pub number: u64,
    /// Makes its mini-redirectors; none: made with the first device.
    pub factory: Option<Arc<RedirectorFactory>>,
    /// Its prefixes are another's still, and it is given them later.
    pub beside: bool,
}

impl Making {
    /// What ties its devices together.
    fn key(&self, name: &str) -> String {
        format!("{name}#{}", self.number)
    }

    /// What it is called meanwhile.
    fn shown_as(&self, name: &str) -> String {
        if self.beside { passing_name(name, self.number) } else { name.to_owned() }
    }
}

/// What a provider is called that has left, or waits beside another: no provider can be named so.
#[must_use]
pub fn passing_name(name: &str, number: u64) -> String {
    format!("{name}{PASSING}{number}")
}

/// At the end of what ties the devices of a provider together, where one has left that depends on
/// none of them; not in a provider's name.
const LEFT: &str = " left";

/// In the names of those that have left or have yet to come; not in a provider's.
const PASSING: char = '~';

/// What every device of the mount is made with.
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where what happens is told.
    pub events: Arc<EventQueue>,
    /// How a device behaves; its tag and place are its own.
    pub options: DeviceOptions,
    /// What keeps what was lost.
    pub keeper: Arc<dyn LossKeeper>,
    /// The prefix router.
    pub router: Arc<Router<Share>>,
    /// The router's own directories.
    pub directories: Arc<Directories>,
    /// The kernel's names.
    pub names: Arc<MountNames>,
}

/// Which tags are given.
#[derive(Default)]
struct Tags {
    /// The last one: one is used again as late as can be.
    last: u8,
    /// Those of devices that are being made.
    reserved: BTreeSet<Tag>,
}

/// A tag that nobody else gets while this is there.
pub(super) struct Reserved<'a> {
    tags: &'a Mutex<Tags>,
    /// The tag.
    pub tag: Tag,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.tags.lock().reserved.remove(&self.tag);
    }
}

/// The devices that show the shares of one mount.
pub struct Members {
    this: Weak<Self>,
    pub(super) parts: Parts,
    /// The mount's own.
    mounts: OnceLock<Weak<Device>>,
    pub(super) namespace: OnceLock<Arc<Namespace<Share>>>,
    kernel: OnceLock<(Arc<dyn KernelCache>, Arc<dyn FileSystemRegistration>)>,
    all: RwLock<BTreeMap<Tag, Arc<Shown>>>,
    pub(super) book: Mutex<Book>,
    tags: Mutex<Tags>,
    /// What those lost that are gone.
    lost: Mutex<Vec<Loss>>,
    /// What was counted of those that are gone; none: nobody is.
    gone: Mutex<Option<DeviceNumbers>>,
}

impl Members {
    /// No device yet.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            parts,
            mounts: OnceLock::new(),
            namespace: OnceLock::new(),
            kernel: OnceLock::new(),
            all: RwLock::new(Rank::Registry, BTreeMap::new()),
            book: Mutex::new(Rank::Registry, Book::default()),
            tags: Mutex::new(Rank::Leaf, Tags::default()),
            lost: Mutex::new(Rank::Leaf, Vec::new()),
            gone: Mutex::new(Rank::Server, None),
        })
    }

    /// The mount's own device, and the dispatcher they are shown by. Once, before the first is
    /// added.
    pub fn attach(&self, device: &Arc<Device>, namespace: Arc<Namespace<Share>>) {
        let _ = self.mounts.set(Arc::downgrade(device));
        let _ = self.namespace.set(namespace);
    }

    /// The device that the others of a provider depend on, by what ties them together.
    fn leader(&self, provider: &str) -> Option<Weak<Device>> {
        let all = self.all.read();
        let leader = all.values().find(|shown| shown.leads && shown.provider == provider)?;
        Some(Arc::downgrade(&leader.device))
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
    }

    /// Is the mount up? Then it starts without those that do not.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.kernel.get().is_some()
    }

    fn give_kernel(&self, device: &Device) {
        if let Some((cache, registration)) = self.kernel.get() {
            let (cache, registration) = (cache.clone(), registration.clone());
            device.attach_kernel(KernelSide { cache, registration });
        }
    }

    /// Those that start and stop with the mount's own device.
    #[must_use]
    pub fn dependents(&self) -> Arc<dyn Dependents> {
        Arc::new(Together { members: self.this.clone(), which: Which::Leaders })
    }

    /// All of them, by name: those that leave, and those that have yet to come, among them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Shown>> {
        let mut all: Vec<Arc<Shown>> = self.all.read().values().cloned().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// The devices of a provider, its first before the others: one of those there are, or one that
    /// has left and is called `NAME~NUMBER`.
    #[must_use]
    pub fn of_provider(&self, name: &str) -> Vec<Arc<Shown>> {
        let mut all = self.all();
        all.retain(|shown| shown.shown_as == name);
        all.sort_by_key(|shown| !shown.is_first());
        all
    }

    /// Adds a provider of the configuration to a mount that is being made.
    ///
    /// # Errors
    /// One line; nothing is left.
    pub fn add(&self, config: &ProviderConfig) -> Result<(), AppError> {
        let number = self.book.lock().next_number();
        let mut making = Making { number, factory: None, beside: false };
        self.make(config, &mut making)?;
        let (config, factory) = (config.clone(), making.factory);
        let entry = Entry { config, number, factory, under_way: None };
        self.book.lock().push(entry);
        Ok(())
    }

    /// Makes the devices of a provider; they are not started yet. The first that is returned leads.
    ///
    /// # Errors
    /// One line; nothing is left.
    pub fn make(
        &self,
        config: &ProviderConfig,
        making: &mut Making,
    ) -> Result<Vec<Arc<Shown>>, AppError> {
        let shares: Vec<(&NetName, bool)> =
            config.prefixes.iter().enumerate().map(|(at, prefix)| (prefix, at == 0)).collect();
        self.make_some(config, &shares, making)
    }

    /// Makes some of the devices of a provider: each prefix, and whether it leads.
    ///
    /// # Errors
    /// One line; nothing is left.
    pub(super) fn make_some(
        &self,
        config: &ProviderConfig,
        shares: &[(&NetName, bool)],
        making: &mut Making,
    ) -> Result<Vec<Arc<Shown>>, AppError> {
        let factory = match making.factory.clone() {
            Some(factory) => factory,
            None => {
                let clock = &self.parts.clock;
                Arc::new(redirector::factory(&config.source, &config.options, clock)?)
            }
        };
        making.factory = Some(factory.clone());
        let mut made: Vec<Arc<Shown>> = Vec::new();
        for share in shares {
            match self.make_share(config, *share, (making, &factory)) {
                Ok(shown) => made.push(shown),
                Err(error) => {
                    made.iter().for_each(|shown| self.remove(shown));
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    fn make_share(
        &self,
        config: &ProviderConfig,
        (prefix, leads): (&NetName, bool),
        (making, factory): (&Making, &Arc<RedirectorFactory>),
    ) -> Result<Arc<Shown>, AppError> {
        let provider = making.key(&config.name);
        let shown_as = making.shown_as(&config.name);
        let name = device_name(&shown_as, prefix, leads);
        let known_as = device_name(&provider, prefix, leads);
        let router = self.parts.router.clone();
        let publisher = Publisher::new(&name, self.parts.events.clone());
        let above = if leads { self.mounts.get().cloned() } else { self.leader(&provider) };
        let (above, beside) = (above.unwrap_or_default(), making.beside);
        let stands = Standing { above, beside, publisher: publisher.clone() };
        let tie = Registration::new(known_as, router, prefix.clone(), stands);
        // Until the device is among the others, or is none.
        let reserved = self.free_tag()?;
        let (tag, factory) = (reserved.tag, factory.clone());
        let make = move || -> Arc<dyn MiniRedirector> { factory() };
        let which = Which::Followers(provider.clone());
        let followers = Together { members: self.this.clone(), which };
        // Each is alone in its registry: one and the one that takes its place have one name.
        let registry = Arc::new(Registry::default());
        let device = registry.register(register::Registration {
            name: device_name(&config.name, prefix, leads),
            controls: RegistrationControls::default(),
            factory: Box::new(make),
            options: DeviceOptions {
                tag,
                shown_at: prefix.to_relative(),
                ..self.parts.options.clone()
            },
            clock: self.parts.clock.clone(),
            observer: publisher.clone(),
            unc_provider: Some(tie.clone()),
            dependents: leads.then(|| Arc::new(followers) as _),
        });
        let device = device.map_err(|error| AppError::failed(error.to_string()))?;
        device.attach_keeper(Arc::new(ShareKeeper { tag, keeper: self.parts.keeper.clone() }));
        let member = Member::new(device.clone());
        tie.attach(member.clone());
        if let Some(namespace) = self.namespace.get()
            && namespace.add(member).is_err()
        {
            if let Err(error) = registry.unregister(device.name()) {
                log::error!("{error}");
            }
            return Err(AppError::failed(format!("{name}: its tag {} is taken", tag.get())));
        }
        self.give_kernel(&device);
        let shown = Arc::new(Shown {
            name,
            provider,
            shown_as,
            prefix: prefix.clone(),
            source: config.source.clone(),
            device,
            leads,
            leaving: false,
            registration: tie,
            companion: Arc::default(),
            publisher,
            registry,
        });
        self.all.write().insert(tag, shown.clone());
        Ok(shown)
    }

    /// A tag that nobody has: not one of those either whose files are known still.
    pub(super) fn free_tag(&self) -> Result<Reserved<'_>, AppError> {
        // Both at once: who becomes one of all is reserved until then.
        let all = self.all.read();
        let mut tags = self.tags.lock();
        let count = Tag::MAX.get();
        // 127 is not given.
        let last = tags.last;
        let mut some = (1..count).map(|step| (last + step - 1) % (count - 1) + 1);
        let is_free = |tag: &Tag| !all.contains_key(tag) && !tags.reserved.contains(tag);
        if let Some(tag) = some.find_map(|tag| Tag::new(tag).filter(is_free)) {
            tags.last = tag.get();
            tags.reserved.insert(tag);
            return Ok(Reserved { tags: &self.tags, tag });
        }
        let leaving = all.values().filter(|shown| shown.leaving).count();
        Err(AppError::failed(format!(
            "no more shares fit into one mount: of {} there are, {leaving} have left and are held \
             still; `minirdr handles` tells by whom",
            all.len()
        )))
    }

    /// Calls devices by another provider's name, or by that of one that has left.
    pub(super) fn rename(&self, devices: &[Arc<Shown>], shown_as: &str, place: Place) {
        for old in devices {
            let renamed = Arc::new(old.as_provider(shown_as, place));
            renamed.publisher.rename(&renamed.name);
            let replaced = self.all.write().insert(old.device.tag(), renamed);
            drop(replaced);
        }
    }

    /// Takes a stopped device off the books. What the kernel still knows of it is stale.
    pub fn remove(&self, shown: &Shown) {
        if let Err(error) = shown.registry.unregister(shown.device.name()) {
            log::error!("{error}");
            return;
        }
        if let Some(namespace) = self.namespace.get() {
            namespace.remove(shown.device.tag());
        }
        // Those of its last stop too: nobody can ask it for them any more.
        self.keep_losses(shown.device.status().last_stop.map_or_else(Vec::new, |it| it.losses));
        self.keep_losses(shown.device.take_losses());
        let counted = shown.device.numbers().counted();
        // In one step for who adds up: no counter goes back.
        let mut gone = self.gone.lock();
        let removed = self.all.write().remove(&shown.device.tag());
        match &mut *gone {
            Some(gone) => gone.add(&counted),
            None => *gone = Some(counted),
        }
        drop(gone);
        drop(removed);
    }

    /// Adds what was counted of the shares, those that are gone among them.
    pub fn add_to_numbers(&self, whole: &mut DeviceNumbers) {
        let (all, gone) = {
            let gone = self.gone.lock();
            (self.all(), gone.clone())
        };
        all.iter().for_each(|shown| whole.add(&shown.device.numbers()));
        gone.iter().for_each(|gone| whole.add(gone));
    }

    /// Keeps what was lost for the end, where the exit code tells it: each once, whoever tells it.
    fn keep_losses(&self, losses: Vec<Loss>) {
        let mut lost = self.lost.lock();
        for loss in losses {
            if lost.len() < LOSSES_KEPT && !lost.contains(&loss) {
                lost.push(loss);
            }
        }
    }

    /// A provider has left for good: the numbers of directories that nothing is below any more are
    /// forgotten. Under the lock of the book, where a prefix that comes is written down first.
    pub(super) fn prune(&self) {
        let book = self.book.lock();
        self.parts.directories.prune(|directory| book.has_below(directory));
    }

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

    /// The kernel's connection has ended: closes what is open, side by side, all of it within
    /// `limit`.
    pub fn gone_within(&self, limit: Duration) -> u64 {
        let until = self.parts.clock.now().after(limit);
        let closed = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        for shown in self.all() {
            let (device, count) = (shown.device.clone(), closed.clone());
            let clock = self.parts.clock.clone();
            let close = move || {
                let handles = device.connection_gone_within(until.since(clock.now()));
                count.fetch_add(handles, Ordering::SeqCst);
            };
            match shown.device.glance().open_handles {
                0 => close(),
                _ => match threads::spawn("gone", close.clone()) {
                    Ok(thread) => threads.push(thread),
                    Err(_) => close(),
                },
            }
        }
        threads.into_iter().for_each(Thread::join);
        closed.load(Ordering::SeqCst)
    }

    /// What was lost since the last reports.
    #[must_use]
    pub fn take_losses(&self) -> Vec<Loss> {
        let mut losses = std::mem::take(&mut *self.lost.lock());
        losses.extend(self.all().iter().flat_map(|shown| shown.device.take_losses()));
        losses
    }
}
