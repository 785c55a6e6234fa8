//! The devices that show the shares of a mount.
//!
//! A provider with several prefixes has a device for each. The first leads: the others are its
//! dependents, so that a stop or start of the provider is one call with one result.

use crate::app::error::AppError;
use crate::app::events::Publisher;
use crate::app::namespace::ProviderConfig;
use crate::app::namespace::provider::{Registration, Share};
use crate::app::namespace::share_keeper::ShareKeeper;
use crate::app::namespace::together::{Companion, Together, Which};
use crate::app::redirector;
use crate::app::source::Source;
use crate::base::clock::Clock;
use crate::base::stop::Loss;
use crate::base::sync::{Rank, RwLock};
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
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

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
    /// The first of its provider: its calls are the provider's.
    pub leads: bool,
    pub(super) registration: Arc<Registration>,
    /// What a stop of what it depends on has to do with it.
    pub(super) companion: Companion,
}

impl Shown {
    /// Its handle at the router, while its prefix is its.
    #[must_use]
    pub fn owner(&self) -> Option<ProviderHandle> {
        self.registration.handle()
    }
}

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
}

/// The devices that show the shares of one mount.
pub struct Members {
    this: Weak<Self>,
    pub(super) parts: Parts,
    registry: Registry,
    /// The mount's own.
    mounts: OnceLock<Weak<Device>>,
    namespace: OnceLock<Arc<Namespace<Share>>>,
    kernel: OnceLock<(Arc<dyn KernelCache>, Arc<dyn FileSystemRegistration>)>,
    all: RwLock<BTreeMap<String, Arc<Shown>>>,
}

impl Members {
    /// No device yet.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            parts,
            registry: Registry::default(),
            mounts: OnceLock::new(),
            namespace: OnceLock::new(),
            kernel: OnceLock::new(),
            all: RwLock::new(Rank::Registry, BTreeMap::new()),
        })
    }

    /// The mount's own device, and the dispatcher they are shown by. Once, before the first is
    /// added.
    pub fn attach(&self, device: &Arc<Device>, namespace: Arc<Namespace<Share>>) {
        let _ = self.mounts.set(Arc::downgrade(device));
        let _ = self.namespace.set(namespace);
    }

    /// The device whose calls are a provider's.
    #[must_use]
    pub fn leader(&self, provider: &str) -> Option<Arc<Shown>> {
        let all = self.all.read();
        all.values().find(|shown| shown.leads && shown.provider == provider).cloned()
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

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Shown>> {
        self.all.read().values().cloned().collect()
    }

    /// Makes the devices of a provider; they are not started yet. The first that is returned leads.
    ///
    /// # Errors
    /// One line; nothing is left.
    pub fn add(&self, config: &ProviderConfig) -> Result<Vec<Arc<Shown>>, AppError> {
        let factory = redirector::factory(&config.source, &config.options, &self.parts.clock)?;
        let factory: Arc<RedirectorFactory> = Arc::new(factory);
        let mut made: Vec<Arc<Shown>> = Vec::new();
        for (at, prefix) in config.prefixes.iter().enumerate() {
            match self.add_share(config, (prefix, at == 0), &factory) {
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
        (prefix, leads): (&NetName, bool),
        factory: &Arc<RedirectorFactory>,
    ) -> Result<Arc<Shown>, AppError> {
        let provider = config.name.clone();
        let name = if leads { provider.clone() } else { format!("{provider}:{prefix}") };
        let above = match leads {
            true => self.mounts.get().cloned().unwrap_or_default(),
            false => {
                self.leader(&provider).map(|it| Arc::downgrade(&it.device)).unwrap_or_default()
            }
        };
        let tie = Registration::new(name.clone(), self.parts.router.clone(), prefix.clone(), above);
        let (tag, factory) = (self.free_tag()?, factory.clone());
        let make = move || -> Arc<dyn MiniRedirector> { factory() };
        let which = Which::Followers(provider.clone());
        let followers = Together { members: self.this.clone(), which };
        let has_followers = leads && config.prefixes.len() > 1;
        let device = self.registry.register(register::Registration {
            name: name.clone(),
            controls: RegistrationControls::default(),
            factory: Box::new(make),
            options: DeviceOptions {
                tag,
                shown_at: prefix.to_relative(),
                ..self.parts.options.clone()
            },
            clock: self.parts.clock.clone(),
            observer: Arc::new(Publisher {
                device: name.clone(),
                events: self.parts.events.clone(),
            }),
            unc_provider: Some(tie.clone()),
            dependents: has_followers.then(|| Arc::new(followers) as _),
        });
        let device = device.map_err(|error| AppError::failed(error.to_string()))?;
        device.attach_keeper(Arc::new(ShareKeeper { tag, keeper: self.parts.keeper.clone() }));
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
            provider,
            prefix: prefix.clone(),
            source: config.source.clone(),
            device,
            leads,
            registration: tie,
            companion: Companion::default(),
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
        self.all().iter().flat_map(|shown| shown.device.take_losses()).collect()
    }
}
