//! Drives the owners' policy: locks, asks it, unlocks, makes the callback it names, asks again.
//!
//! ```text
//!   caller (any thread)
//!   take / release / transfer -- lock, begin, unlock --+     another thread, same prefix:
//!        |                                             |     sleeps on `changed`
//!        |   disable(prefix)  <------------------------+
//!        |   owner, table, tenures: one critical section of both locks
//!        |   purge, invalidate(prefix)
//!        |   settle(prefix)
//!        |   enable(prefix)
//!        +-- lock, at rest, wake --> result
//! ```
//!
//! Two locks: the owners', and inside it that of the table which lookups read. No callback is made
//! with either.

use crate::base::clock::Clock;
use crate::base::limits::{PURGED_NAMES_MAX, REFUSAL_LIFETIME, ROUTE_LIFETIME, ROUTES_CACHED_MAX};
use crate::base::sync::{Condvar, Mutex, MutexGuard, Rank, RwLock};
use crate::mup::cache::Names;
use crate::mup::callbacks::{call, refuse_inside};
use crate::mup::condition::{Conditions, Keep};
use crate::mup::handover::{Effect, Event};
use crate::mup::net_name::NetName;
use crate::mup::owners::{Begun, Change, Owners, WatchBegun};
use crate::mup::published::{Outdated, Published};
use crate::mup::refused::Refused;
use crate::mup::resolve::Asked;
use crate::mup::route::Route;
use crate::mup::upcalls::{
    Agent, KernelNames, Provider, ProviderHandle, Purged, Upstream, Watcher,
};
use std::sync::Arc;
use std::time::Duration;

/// Whom the router calls.
pub struct Outside {
    /// The watch agent, if there is one.
    pub agent: Option<Arc<dyn Agent>>,
    /// The kernel's caches.
    pub kernel: Arc<dyn KernelNames>,
    /// Change notification at the owners.
    pub upstream: Arc<dyn Upstream>,
}

/// How long answers are remembered, and how many.
#[derive(Clone, Copy, Debug)]
pub struct RouterOptions {
    /// A claim.
    pub route_lifetime: Duration,
    /// That nobody claims a name.
    pub refusal_lifetime: Duration,
    /// Names altogether.
    pub names_max: usize,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            route_lifetime: ROUTE_LIFETIME,
            refusal_lifetime: REFUSAL_LIFETIME,
            names_max: ROUTES_CACHED_MAX,
        }
    }
}

/// How a hand-over went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// False: it was so already, and nothing was called.
    pub changed: bool,
    /// Names that were remembered and are no longer.
    pub purged: u64,
    /// Has the kernel been told in time? If not, it may believe in the old owner for as long as its
    /// entries live.
    pub settled: bool,
}

impl HandOver {
    const NOTHING: Self = Self { changed: false, purged: 0, settled: true };
}

/// A registered provider, for listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderInfo {
    /// Its handle.
    pub handle: ProviderHandle,
    /// Its name.
    pub name: Arc<str>,
    /// What it owns, in order.
    pub prefixes: Vec<NetName>,
}

/// The prefix router of one mount.
pub struct Router<P: Provider> {
    pub(in crate::mup) clock: Arc<dyn Clock>,
    pub(in crate::mup) options: RouterOptions,
    outside: Outside,
    owners: Mutex<Owners>,
    /// A prefix came to rest, or a provider stopped expecting one.
    changed: Condvar,
    pub(in crate::mup) published: RwLock<Published<P>>,
    pub(in crate::mup) names: Names<Route<P>>,
    /// Claims that are being asked for, by tenure and name below it.
    pub(in crate::mup) claims: Conditions<(u64, Box<[u8]>), Asked<P>>,
    /// SRV_CALLs, by provider.
    pub(in crate::mup) servers: Conditions<(ProviderHandle, NetName), P::Server>,
    /// NET_ROOTs, by the tenure of their owner.
    pub(in crate::mup) shares: Conditions<(u64, NetName), Route<P>>,
}

/// A transition under way; brings the prefix to rest if a callback panics.
struct UnderWay<'a, P: Provider> {
    router: &'a Router<P>,
    prefix: &'a NetName,
    at_rest: bool,
}

impl<P: Provider> UnderWay<'_, P> {
    /// What the driver did came to its end: what is next?
    fn ended(&mut self, event: Event) -> Effect {
        let effect = self.router.owners.lock().step(self.prefix, event);
        let effect = effect.expect("one thread drives a prefix, in order");
        if effect == Effect::Rest {
            self.at_rest = true;
            self.router.changed.notify_all();
        }
        effect
    }
}

impl<P: Provider> Drop for UnderWay<'_, P> {
    fn drop(&mut self) {
        if !self.at_rest {
            log::error!("a callback about {} panicked: its hand-over ends as it is", self.prefix);
            self.router.owners.lock().abandon(self.prefix);
            self.router.changed.notify_all();
        }
    }
}

impl<P: Provider> Router<P> {
    /// A router that knows nobody.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, outside: Outside, options: RouterOptions) -> Self {
        let owners = Owners::new(outside.agent.is_some());
        Self {
            clock,
            options,
            outside,
            owners: Mutex::new(Rank::Router, owners),
            changed: Condvar::new(),
            published: RwLock::new(Rank::Prefixes, Published::new()),
            names: Names::new(options.names_max),
            claims: Conditions::new(Keep::Nothing),
            servers: Conditions::new(Keep::WhileUsed),
            shares: Conditions::new(Keep::WhileUsed),
        }
    }

    /// Registers a provider; those registered before it are asked before it.
    ///
    /// # Errors
    /// 183 for a name that is registered; 8 at the bound; 1003 inside a callback.
    pub fn register(&self, name: &str, provider: Arc<P>) -> Result<ProviderHandle, Refused> {
        refuse_inside()?;
        let (handle, outdated) = {
            let mut owners = self.owners.lock();
            let handle = owners.register(name)?;
            (handle, self.published.write().register(handle, name, provider))
        };
        let purged = self.purge(&NetName::root(), outdated);
        self.forget(&purged);
        Ok(handle)
    }

    /// Removes a provider that owns nothing; its handle is dead from here on.
    ///
    /// # Errors
    /// 87 for a dead handle; 1003 while it owns a prefix, and inside a callback. Nothing has
    /// changed.
    pub fn deregister(&self, handle: ProviderHandle) -> Result<(), Refused> {
        refuse_inside()?;
        let outdated = {
            let mut owners = self.owners.lock();
            owners.deregister(handle)?;
            self.published.write().deregister(handle)
        };
        let root = NetName::root();
        let purged = self.purge(&root, outdated);
        let next = ProviderHandle(handle.0 + 1);
        self.servers.forget((handle, root.clone())..(next, root.clone()));
        if self.forget(&purged) {
            call("settle", || self.outside.kernel.settle(&root));
        }
        Ok(())
    }

    /// Step 6 of a device's stop: releases every prefix of a provider, in order, then deregisters
    /// it. It takes none meanwhile.
    ///
    /// # Errors
    /// 87 for a dead handle; 1003 inside a callback.
    pub fn withdraw(&self, handle: ProviderHandle) -> Result<Vec<(NetName, HandOver)>, Refused> {
        refuse_inside()?;
        let owned = {
            let mut owners = self.owners.lock();
            while !owners.leave(handle)? {
                self.changed.wait(&mut owners);
            }
            owners.owned(handle)?
        };
        let mut released = Vec::with_capacity(owned.len());
        for prefix in owned {
            match self.release(handle, &prefix) {
                Ok(hand_over) => released.push((prefix, hand_over)),
                // Somebody else released it, or handed it on, meanwhile.
                Err(Refused::NoPrefix(_) | Refused::NotOwner(_)) => {}
                Err(refused) => return Err(refused),
            }
        }
        self.deregister(handle)?;
        Ok(released)
    }

    /// The prefix is to be this provider's.
    ///
    /// # Errors
    /// 87 for a dead handle; 183 when another owns it; 8 at the bound; 1003 inside a callback.
    pub fn take(&self, handle: ProviderHandle, prefix: &NetName) -> Result<HandOver, Refused> {
        self.hand_over(Change::Take(handle), prefix)
    }

    /// The prefix is to be nobody's.
    ///
    /// # Errors
    /// 87 for a dead handle, an unknown prefix, and one of another's; 1003 inside a callback.
    pub fn release(&self, handle: ProviderHandle, prefix: &NetName) -> Result<HandOver, Refused> {
        self.hand_over(Change::Release(handle), prefix)
    }

    /// The prefix goes from one provider to another in one hand-over: it never has no owner.
    ///
    /// # Errors
    /// 87 for a dead handle, an unknown prefix, and one that is not `from`'s; 1003 inside a
    /// callback.
    pub fn transfer(
        &self,
        from: ProviderHandle,
        to: ProviderHandle,
        prefix: &NetName,
    ) -> Result<HandOver, Refused> {
        self.hand_over(Change::Transfer { from, to }, prefix)
    }

    /// Who owns this very prefix. The agent never does.
    ///
    /// # Errors
    /// 1168.
    pub fn owner(&self, prefix: &NetName) -> Result<ProviderHandle, Refused> {
        let published = self.published.read();
        let holding = published.table.get(prefix);
        holding.map(|it| it.candidate.handle).ok_or_else(|| Refused::NoOwner(prefix.clone()))
    }

    /// The provider behind a handle.
    ///
    /// # Errors
    /// 87 for a dead handle.
    pub fn provider(&self, handle: ProviderHandle) -> Result<Arc<P>, Refused> {
        let published = self.published.read();
        let registered = published.registered(handle).ok_or(Refused::DeadHandle)?;
        Ok(registered.candidate.provider.clone())
    }

    /// All providers, in the order they are asked.
    #[must_use]
    pub fn providers(&self) -> Vec<ProviderInfo> {
        let owners = self.owners.lock();
        let published = self.published.read();
        let info = |handle, name| ProviderInfo {
            handle,
            name,
            prefixes: owners.owned(handle).unwrap_or_default(),
        };
        let registered = published.providers.iter();
        registered.map(|it| info(it.candidate.handle, it.name.clone())).collect()
    }

    /// Watches a path for this watcher; a path it watches already stays watched once. The owner
    /// is told of the first watcher.
    ///
    /// True if this watcher did not watch it before.
    ///
    /// # Errors
    /// 87 for a dead handle and for a provider under another's prefix; 1003 while the prefix
    /// changes hands, without an agent, and inside a callback; 1168 below no prefix.
    pub fn add_watch(&self, who: Watcher, path: &NetName) -> Result<bool, Refused> {
        refuse_inside()?;
        match self.watch(|owners| owners.add_watch(who, path))? {
            WatchBegun::Go { prefix, owner } => {
                self.call_upstream(&prefix, || self.outside.upstream.start(owner, path));
                Ok(true)
            }
            WatchBegun::Counted => Ok(true),
            WatchBegun::Already | WatchBegun::Busy => Ok(false),
        }
    }

    /// Watches it no longer. The owner is told of the last watcher.
    ///
    /// # Errors
    /// As [`Router::add_watch`], and 1168 when this watcher does not watch it.
    pub fn delete_watch(&self, who: Watcher, path: &NetName) -> Result<(), Refused> {
        refuse_inside()?;
        if let WatchBegun::Go { prefix, owner } =
            self.watch(|owners| owners.delete_watch(who, path))?
        {
            self.call_upstream(&prefix, || self.outside.upstream.stop(owner, path));
        }
        Ok(())
    }

    /// The paths that are watched now, in order.
    #[must_use]
    pub fn watched(&self) -> Vec<NetName> {
        self.owners.lock().watched().cloned().collect()
    }

    /// Waits until nothing is under way for this very prefix.
    ///
    /// # Errors
    /// 1003 inside a callback.
    pub fn wait_at_rest(&self, prefix: &NetName) -> Result<(), Refused> {
        refuse_inside()?;
        let mut owners = self.owners.lock();
        while !owners.is_at_rest(prefix) {
            self.changed.wait(&mut owners);
        }
        Ok(())
    }

    /// Asks the policy until it need not wait.
    fn watch(
        &self,
        ask: impl Fn(&mut MutexGuard<'_, Owners>) -> Result<WatchBegun, Refused>,
    ) -> Result<WatchBegun, Refused> {
        let mut owners = self.owners.lock();
        loop {
            match ask(&mut owners)? {
                WatchBegun::Busy => self.changed.wait(&mut owners),
                begun => return Ok(begun),
            }
        }
    }

    fn call_upstream(&self, prefix: &NetName, callback: impl FnOnce()) {
        let mut under_way = UnderWay { router: self, prefix, at_rest: false };
        call("a change notification's start or stop", callback);
        under_way.ended(Event::WatchEnded);
    }

    fn hand_over(&self, change: Change, prefix: &NetName) -> Result<HandOver, Refused> {
        refuse_inside()?;
        let mut effect = {
            let mut owners = self.owners.lock();
            loop {
                match owners.begin(change, prefix)? {
                    Begun::Already => return Ok(HandOver::NOTHING),
                    Begun::Busy => self.changed.wait(&mut owners),
                    Begun::Go(effect) => break effect,
                }
            }
        };
        let mut under_way = UnderWay { router: self, prefix, at_rest: false };
        let mut hand_over = HandOver { changed: true, ..HandOver::NOTHING };
        loop {
            let event = match effect {
                Effect::Disable => {
                    self.agent(|agent| agent.disable(prefix));
                    Event::Disabled
                }
                Effect::Change => {
                    hand_over.purged = self.change(prefix);
                    Event::Changed
                }
                Effect::AwaitSent => {
                    hand_over.settled = call("settle", || self.outside.kernel.settle(prefix));
                    Event::Sent
                }
                Effect::Enable => {
                    self.agent(|agent| agent.enable(prefix, change.next()));
                    Event::Enabled
                }
                Effect::CallUpstream | Effect::Rest => break,
            };
            effect = under_way.ended(event);
        }
        if !hand_over.settled {
            log::warn!("{prefix}: the kernel has not been told in time that its owner changed");
        }
        Ok(hand_over)
    }

    fn agent(&self, callback: impl FnOnce(&dyn Agent)) {
        if let Some(agent) = &self.outside.agent {
            call("the agent", || callback(&**agent));
        }
    }

    /// The owner changes, all routes of the prefix are purged, invalidations are queued. Returns
    /// how many names were remembered.
    fn change(&self, prefix: &NetName) -> u64 {
        let (unwatched, outdated) = {
            let mut owners = self.owners.lock();
            let changed = owners.change(prefix);
            let outdated = self.published.write().hand_over(prefix, changed.owner);
            (changed.unwatched, outdated)
        };
        for (owner, path) in unwatched {
            call("a change notification's stop", || self.outside.upstream.stop(owner, &path));
        }
        let purged = self.purge(prefix, outdated);
        call("invalidate", || self.outside.kernel.invalidate(prefix, &purged));
        purged.names.len() as u64 + purged.more
    }

    /// Frees what is out of date, with no lock held. Returns the names at or below `within`: the
    /// others are asked for again, and will be what they were.
    fn purge(&self, within: &NetName, outdated: Outdated<P>) -> Purged {
        let mut purged = Purged::default();
        for (below, tenure) in &outdated.names {
            self.names.purge(tenure, |rest| {
                let name = below.with_rest(rest);
                if !name.is_within(within) {
                    return;
                }
                if purged.names.len() < PURGED_NAMES_MAX {
                    purged.names.push(name);
                } else {
                    purged.more += 1;
                }
            });
        }
        if let Some(held) = &outdated.held {
            let (id, root) = (held.held.id(), NetName::root());
            self.shares.forget((id, root.clone())..(id + 1, root));
        }
        purged
    }

    /// Queues the invalidation of names below no prefix; false if there are none.
    fn forget(&self, purged: &Purged) -> bool {
        let any = !purged.names.is_empty();
        if any {
            call("forget", || self.outside.kernel.forget(purged));
        }
        any
    }
}
