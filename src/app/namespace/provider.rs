//! A share's device as the router sees it: a provider that claims its prefix and what is below.
//!
//! A configured provider may be shown under several prefixes. Each is a share of its own, with a
//! device of its own: a directory cannot be at two places of one mount.

use crate::base::ids::Caller;
use crate::base::status::Status;
use crate::base::sync::{Mutex, Rank};
use crate::front::namespace::Member;
use crate::mup::net_name::NetName;
use crate::mup::router::Router;
use crate::mup::upcalls::{Claim, Provider, ProviderHandle};
use crate::rdbss::notice::UncProvider;
use std::sync::{Arc, OnceLock};

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
    /// While it is registered.
    handle: Mutex<Option<ProviderHandle>>,
}

impl Registration {
    /// The tie of the device `name`, which is not registered yet.
    #[must_use]
    pub fn new(name: String, router: Arc<Router<Share>>, prefix: NetName) -> Arc<Self> {
        let share = Arc::new(Share { prefix, member: OnceLock::new() });
        Arc::new(Self { name, router, share, handle: Mutex::new(Rank::Leaf, None) })
    }

    /// The device it is the tie of. Once, before that is started.
    pub fn attach(&self, member: Arc<Member>) {
        let _ = self.share.member.set(member);
    }

    /// Its handle while it is registered; never the same again.
    #[must_use]
    pub fn handle(&self) -> Option<ProviderHandle> {
        *self.handle.lock()
    }
}

impl UncProvider for Registration {
    fn register(&self) -> Result<(), String> {
        let registered = self.router.register(&self.name, self.share.clone());
        let handle = registered.map_err(|refused| refused.to_string())?;
        // Before the first name can be resolved to it.
        self.share.set_current(true);
        match self.router.take(handle, &self.share.prefix) {
            Ok(hand_over) => {
                if !hand_over.settled {
                    log::warn!("{}: the kernel has not been told in time", self.share.prefix);
                }
                *self.handle.lock() = Some(handle);
                Ok(())
            }
            Err(refused) => {
                self.share.set_current(false);
                if let Err(error) = self.router.deregister(handle) {
                    log::error!("{}: {error}", self.name);
                }
                Err(refused.to_string())
            }
        }
    }

    fn deregister(&self) -> Vec<String> {
        let Some(handle) = self.handle.lock().take() else { return Vec::new() };
        let withdrawn = self.router.withdraw(handle);
        self.share.set_current(false);
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
