//! A share's device as the router sees it: a provider that claims its prefix and what is below.
//!
//! A configured provider may be shown under several prefixes. Each is a share of its own, with a
//! device of its own: a directory cannot be at two places of one mount.

use crate::base::ids::Caller;
use crate::base::status::Status;
use crate::base::stop::State;
use crate::base::sync::{Mutex, Rank};
use crate::front::namespace::Member;
use crate::mup::net_name::NetName;
use crate::mup::router::Router;
use crate::mup::upcalls::{Claim, Provider, ProviderHandle};
use crate::rdbss::device::Device;
use crate::rdbss::notice::UncProvider;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// One share.
pub struct Share {
    prefix: NetName,
    /// Known before its device is started for the first time.
    member: OnceLock<Arc<Member>>,
}

impl Share {
    /// The device, once there is one.
    #[must_use]
    pub fn member(&self) -> Option<&Arc<Member>> {
        self.member.get()
    }

    /// All of a plain mount: its prefix is the root, and nobody has a name resolved by it.
    #[must_use]
    pub fn whole() -> Arc<Self> {
        Arc::new(Self { prefix: NetName::root(), member: OnceLock::new() })
    }

    fn set_current(&self, current: bool) {
        if let Some(member) = self.member.get() {
            member.set_current(current);
        }
    }
}

impl Provider for Share {
    type Server = ();
    type Share = Arc<Member>;
    type View = ();

    fn claim(&self, name: &NetName, _: Option<&NetName>) -> Result<Claim, Status> {
        Ok(match name.is_within(&self.prefix) {
            true => Claim::Accepted(self.prefix.depth()),
            false => Claim::Refused,
        })
    }

    fn create_srv_call(&self, _: &NetName) -> Result<(), Status> {
        Ok(())
    }

    fn create_net_root(&self, _: &Arc<()>, _: &NetName) -> Result<Arc<Member>, Status> {
        self.member.get().cloned().ok_or(Status::RedirectorNotStarted)
    }

    fn create_v_net_root(&self, _: &Arc<Arc<Member>>, _: Caller) -> Result<(), Status> {
        Ok(())
    }
}

/// A device's tie to the router: step 6 of its starts and of its stops. Only its control thread
/// calls.
pub struct Registration {
    name: String,
    router: Arc<Router<Share>>,
    share: Arc<Share>,
    /// The device that its own depends on.
    above: Weak<Device>,
    /// That device, which is being started, starts this one.
    started_with_it: AtomicBool,
    /// While it is registered.
    handle: Mutex<Option<ProviderHandle>>,
}

impl Registration {
    /// The tie of the device `name`, which is not registered yet and depends on the device `above`.
    #[must_use]
    pub fn new(
        name: String,
        router: Arc<Router<Share>>,
        prefix: NetName,
        above: Weak<Device>,
    ) -> Arc<Self> {
        let share = Arc::new(Share { prefix, member: OnceLock::new() });
        let (started_with_it, handle) = (AtomicBool::new(false), Mutex::new(Rank::Leaf, None));
        Arc::new(Self { name, router, share, above, started_with_it, handle })
    }

    /// The device it is the tie of. Once, before that is started.
    pub fn attach(&self, member: Arc<Member>) {
        let _ = self.share.member.set(member);
    }

    /// The start of what it depends on begins to start it, or has done so.
    pub fn start_with_it(&self, begins: bool) {
        self.started_with_it.store(begins, Ordering::Release);
    }

    /// Its handle while it is registered; never the same again.
    #[must_use]
    pub fn handle(&self) -> Option<ProviderHandle> {
        *self.handle.lock()
    }
}

impl UncProvider for Registration {
    fn register(&self) -> Result<(), String> {
        // A stop of what it depends on that has found it at rest must find it so to the end.
        let may_start = match self.above.upgrade().map(|above| above.state()) {
            Some(State::Started | State::Paused) => true,
            // Its start may fail yet, and knows only of those that it has started.
            Some(State::StartInProgress) => self.started_with_it.load(Ordering::Acquire),
            Some(State::Startable | State::Draining | State::Sealing) | None => false,
        };
        if !may_start {
            return Err(format!("{}: what it is part of is stopped", self.share.prefix));
        }
        let registered = self.router.register(&self.name, self.share.clone());
        let handle = registered.map_err(|refused| refused.to_string())?;
        // Before the first name can be resolved to it.
        self.share.set_current(true);
        // And before it is asked what changes there.
        *self.handle.lock() = Some(handle);
        match self.router.take(handle, &self.share.prefix) {
            Ok(hand_over) => {
                if !hand_over.settled {
                    log::warn!("{}: the kernel has not been told in time", self.share.prefix);
                }
                Ok(())
            }
            Err(refused) => {
                *self.handle.lock() = None;
                if let Err(error) = self.router.deregister(handle) {
                    log::error!("{}: {error}", self.name);
                }
                Err(refused.to_string())
            }
        }
    }

    fn deregister(&self) -> Vec<String> {
        let Some(handle) = *self.handle.lock() else { return Vec::new() };
        // Its open files stay its own: a gate that is closed refuses them, and says so (G2).
        let withdrawn = self.router.withdraw(handle);
        *self.handle.lock() = None;
        match withdrawn {
            Ok(released) => {
                for (prefix, hand_over) in &released {
                    if !hand_over.settled {
                        log::warn!("{prefix}: the kernel has not been told in time");
                    }
                }
                released.into_iter().map(|(prefix, _)| prefix.to_string()).collect()
            }
            Err(refused) => {
                log::error!("{}: {refused}", self.name);
                Vec::new()
            }
        }
    }
}
