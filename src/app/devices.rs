//! The devices behind a mount: the one of a plain mount; or one for each share of several
//! providers, with the mount's own, which shows the directories above them and stands for them.

use crate::app::config::MountConfig;
use crate::app::error::AppError;
use crate::app::namespace::NamespaceConfig;
use crate::app::namespace::directories::{Directories, DirectoryRedirector};
use crate::app::namespace::kernel_names::MountNames;
use crate::app::namespace::members::{Members, Parts};
use crate::app::namespace::provider::Share;
use crate::app::namespace::providers::{About, Providers};
use crate::app::options::{MountOptions, Survivors};
use crate::app::redirector;
use crate::app::watches::Watches;
use crate::base::clock::Clock;
use crate::base::stop::Loss;
use crate::front::namespace::Namespace;
use crate::front::session::Mount;
use crate::mgmt::events::EventQueue;
use crate::mrx::calldown::{Capabilities, MiniRedirector};
use crate::mup::net_name::NetName;
use crate::mup::router::{Outside, Router, RouterOptions};
use crate::rdbss::device::{Device, KernelSide};
use crate::rdbss::notice::{Dependents, FileSystemRegistration, LossKeeper, Observer};
use crate::rdbss::operation::Dispatcher;
use crate::rdbss::register::{
    DeviceOptions, RedirectorFactory, Registration, RegistrationControls, Registry, SurvivorPolicy,
};
use std::sync::Arc;
use std::time::Duration;

/// What every device of a host is given.
pub struct Given<'a> {
    /// What is mounted, and how.
    pub config: &'a MountConfig,
    /// Time.
    pub clock: &'a Arc<dyn Clock>,
    /// What happens is told there.
    pub events: &'a Arc<EventQueue>,
    /// Hears what the mount's own device does.
    pub publisher: Arc<dyn Observer>,
    /// What is lost is kept there.
    pub keeper: Arc<dyn LossKeeper>,
}

/// The devices of a host.
pub struct Devices {
    /// The mount's own: its starts and stops are the mount's.
    pub device: Arc<Device>,
    /// What the kernel's requests go to.
    pub dispatcher: Arc<dyn Dispatcher>,
    /// Those of the shares, in a mount of several providers.
    pub members: Option<Arc<Members>>,
    /// The live watches.
    pub watches: Arc<Watches>,
    /// What is asked of its providers.
    pub providers: Option<Arc<Providers>>,
    registry: Registry,
    names: Option<(Arc<MountNames>, Arc<Directories>)>,
}

impl Devices {
    /// Makes the devices of a mount; none is started.
    ///
    /// # Errors
    /// One line; nothing is left.
    pub fn make(given: Given<'_>) -> Result<Self, AppError> {
        match given.config.providers.is_empty() {
            true => Self::plain(given),
            false => Self::several(given),
        }
    }

    fn plain(given: Given<'_>) -> Result<Self, AppError> {
        let options = &given.config.options;
        let source = &given.config.source;
        let factory = redirector::factory(source, &options.redirector_options, given.clock)?;
        let registry = Registry::default();
        let base = device_options(&given.config.options);
        let device = register(&registry, &given, (factory, base), None)?;
        let watches = Watches::new(given.clock.clone());
        let router = Arc::new(router(&given, &watches, Arc::new(MountNames::default())));
        watches.show(device.clone());
        let (dispatcher, name) = (device.clone(), device.name().to_owned());
        let (members, providers, names) = (None, None, None);
        let made = Self { device, dispatcher, members, watches, providers, registry, names };
        // The one prefix is taken for good: there is nobody to hand it to, and over a stop the
        // device's feeds know best when they are followed (docs/decisions/0020).
        let taken = router.register(&name, Share::whole());
        let taken = taken.and_then(|handle| router.take(handle, &NetName::root()));
        let taken = taken.map_err(|refused| AppError::failed(refused.to_string()));
        made.watch(router).and(taken).inspect_err(|_| made.shut_down())?;
        Ok(made)
    }

    fn several(given: Given<'_>) -> Result<Self, AppError> {
        let names = Arc::new(MountNames::default());
        let watches = Watches::new(given.clock.clone());
        let router = Arc::new(router(&given, &watches, names.clone()));
        let directories = Directories::new(router.clone(), &**given.clock);
        let options = device_options(&given.config.options);
        let members = Members::new(Parts {
            clock: given.clock.clone(),
            events: given.events.clone(),
            options: options.clone(),
            keeper: given.keeper.clone(),
            router: router.clone(),
            directories: directories.clone(),
            names: names.clone(),
        });
        let shown = directories.clone();
        let factory: RedirectorFactory = Box::new(move || {
            let made: Arc<dyn MiniRedirector> = Arc::new(DirectoryRedirector(shown.clone()));
            made
        });
        let registry = Registry::default();
        // Its tickets are numbered together with those of the shares.
        let device = register(&registry, &given, (factory, options), Some(members.dependents()))?;
        watches.show_members(&members);
        let namespace = Arc::new(Namespace::new(device.clone(), router.clone()));
        members.attach(&device, namespace.clone());
        names.attach_crossings(namespace.crossings().clone());
        let names = Some((names, directories));
        let about = About {
            name: given.config.name.clone(),
            control_dir: given.config.options.control_dir.clone(),
            check: given.config.reader.as_ref().map(|reader| reader.check.clone()),
            own: device.clone(),
            observer: given.publisher.clone(),
            read: NamespaceConfig { name: None, providers: given.config.providers.clone() },
        };
        let providers = Some(Providers::new(members.clone(), about));
        let members = Some(members);
        let dispatcher = namespace;
        let made = Self { device, dispatcher, members, watches, providers, registry, names };
        made.watch(router).inspect_err(|_| made.shut_down())?;
        for provider in &given.config.providers {
            if let Some(members) = &made.members
                && let Err(error) = members.add(provider)
            {
                made.shut_down();
                return Err(error);
            }
        }
        Ok(made)
    }

    /// Watches can be asked for from here on.
    fn watch(&self, router: Arc<Router<Share>>) -> Result<(), AppError> {
        let started = self.watches.start(router);
        started.map_err(|error| AppError::failed(format!("no thread for watches: {error}")))
    }

    /// What the mount can do: what every share can.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        match &self.members {
            None => self.device.capabilities(),
            Some(members) => members.capabilities(),
        }
    }

    /// The mount is up.
    pub fn attach_kernel(&self, mount: &Mount, registration: Arc<dyn FileSystemRegistration>) {
        let cache = mount.kernel_cache();
        if let Some(members) = &self.members {
            members.attach_kernel(cache.clone(), registration.clone());
        }
        if let Some((names, directories)) = &self.names {
            names.attach(mount.notifier(), directories.clone());
        }
        self.device.attach_kernel(KernelSide { cache, registration });
    }

    /// The kernel's connection has ended: what the tables still hold is closed, within `limit`.
    /// Returns how many handles that were.
    pub fn connection_gone_within(&self, limit: Duration) -> u64 {
        let of_shares = self.members.as_ref().map_or(0, |shares| shares.gone_within(limit));
        self.device.connection_gone_within(limit) + of_shares
    }

    /// What was lost since the last report, paths as the mount has them.
    #[must_use]
    pub fn take_losses(&self) -> Vec<Loss> {
        let mut losses = self.device.take_losses();
        losses.extend(self.members.iter().flat_map(|members| members.take_losses()));
        losses
    }

    /// What was lost in each device's last stop, each loss once: the mount's report has those of
    /// its shares that it stopped itself.
    #[must_use]
    pub fn last_losses(&self) -> Vec<Loss> {
        let lost = |device: &Device| {
            device.status().last_stop.map(|report| report.losses).unwrap_or_default()
        };
        let mut losses = lost(&self.device);
        let shares = self.members.iter().flat_map(|members| members.all());
        for loss in shares.flat_map(|shown| lost(&shown.device)) {
            if !losses.contains(&loss) {
                losses.push(loss);
            }
        }
        losses
    }

    /// What was lost until the end, each loss once; what survivors lost after the last stop, and
    /// what those did that are gone, is in no report that could be asked for.
    #[must_use]
    pub fn all_losses(&self) -> Vec<Loss> {
        let mut losses = self.last_losses();
        for loss in self.take_losses() {
            if !losses.contains(&loss) {
                losses.push(loss);
            }
        }
        losses
    }

    /// Takes the stopped devices off the books.
    pub fn shut_down(&self) {
        self.watches.stop();
        if let Some(members) = &self.members {
            members.all().iter().for_each(|shown| members.remove(shown));
        }
        if let Err(error) = self.registry.unregister(self.device.name()) {
            log::error!("{error}");
        }
    }
}

/// The prefix router of a mount, whose agent the watches are.
fn router(given: &Given<'_>, watches: &Watches, kernel: Arc<MountNames>) -> Router<Share> {
    let (agent, upstream) = watches.outside();
    let outside = Outside { agent: Some(agent), kernel, upstream };
    Router::new(given.clock.clone(), outside, RouterOptions::default())
}

/// Registers the mount's own device. It owns no prefix: it is what prefixes are in.
fn register(
    registry: &Registry,
    given: &Given<'_>,
    (factory, options): (RedirectorFactory, DeviceOptions),
    dependents: Option<Arc<dyn Dependents>>,
) -> Result<Arc<Device>, AppError> {
    let registration = Registration {
        name: given.config.name.clone(),
        controls: RegistrationControls { dont_provide_uncs: true, ..Default::default() },
        factory,
        options,
        clock: given.clock.clone(),
        observer: given.publisher.clone(),
        unc_provider: None,
        dependents,
    };
    let registered = registry.register(registration);
    let device = registered.map_err(|error| AppError::failed(error.to_string()))?;
    device.attach_keeper(given.keeper.clone());
    Ok(device)
}

fn device_options(options: &MountOptions) -> DeviceOptions {
    DeviceOptions {
        request_deadline: options.request_deadline,
        survivors: match options.survivors {
            Survivors::Reclaim => SurvivorPolicy::Reclaim,
            Survivors::Stale => SurvivorPolicy::Stale,
        },
        ..DeviceOptions::default()
    }
}
