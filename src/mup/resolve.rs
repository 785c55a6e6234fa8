//! From a name to the provider's share and the caller's view of it.
//!
//! 1. The longest prefix on the way to the name decides: its owner alone is asked. A name above
//!    prefixes is a directory of the router's own. With neither, every provider is asked, in the
//!    order they were registered, one at a time, and the first that claims the name wins.
//! 2. Claims and refusals are remembered for a while ([`cache`](crate::mup::cache)).
//! 3. A claim builds SRV_CALL, NET_ROOT and V_NET_ROOT, each one once: who comes meanwhile waits
//!    ([`condition`](crate::mup::condition)). No lock is held while a provider is asked.
//!
//! A hand-over waits for none of this. What was asked of an owner who is no longer the owner is
//! thrown away, and the name is resolved again.

use crate::base::clock::Moment;
use crate::base::ids::Caller;
use crate::base::name::Name;
use crate::base::status::Status;
use crate::base::sync::assert_no_locks;
use crate::mup::cache::{Known, Occupancy};
use crate::mup::condition::Patience;
use crate::mup::net_name::NetName;
use crate::mup::prefix::Place;
use crate::mup::published::{Candidate, Scope};
use crate::mup::refused::Refused;
use crate::mup::route::Route;
use crate::mup::router::Router;
use crate::mup::upcalls::{Claim, Provider, ProviderHandle};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a name is.
pub enum Resolution<P: Provider> {
    /// A directory of the router's own: [`Router::list`] has what is in it.
    Directory,
    /// A provider's, at or below a share of it.
    Share(Resolved<P>),
}

/// A provider's name.
pub struct Resolved<P: Provider> {
    /// The share.
    pub route: Arc<Route<P>>,
    /// The caller's view of it. Both live as long as they are used, also when their owner is gone.
    pub view: Arc<P::View>,
}

impl<P: Provider> Resolved<P> {
    /// The components of the name that are below the share.
    pub fn rest<'a>(&self, name: &'a NetName) -> impl Iterator<Item = &'a [u8]> {
        name.components().skip(self.route.name().depth())
    }
}

/// Where a listing of routes goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// The prefix; none: a name below no prefix that somebody claimed.
    pub prefix: Option<NetName>,
    /// The name.
    pub name: NetName,
}

/// A remembered claim: the forwarding entry of the multicast documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// Its key.
    pub key: RouteKey,
    /// As much of the name as was accepted.
    pub share: NetName,
    /// Whose claim.
    pub owner: ProviderHandle,
}

/// What is being built now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InTransition {
    /// Names that providers are being asked for.
    pub claims: usize,
    /// SRV_CALLs.
    pub servers: usize,
    /// NET_ROOTs.
    pub shares: usize,
}

/// What came of asking for a name; those who waited for it get the same.
pub(in crate::mup) enum Asked<P: Provider> {
    Claimed(Arc<Route<P>>),
    Refused,
    /// The owner changed meanwhile.
    Outdated,
}

/// What is known of a name without asking anybody.
enum Look<P: Provider> {
    Directory,
    Known(Known<Arc<Route<P>>>),
    Ask(Scope<P>),
}

impl<P: Provider> Router<P> {
    /// Resolves a name for a caller. May ask providers, and may wait for somebody who does, until
    /// `until`: not for a thread that must serve the kernel.
    ///
    /// # Errors
    /// `ObjectNameNotFound` when nobody claims it; `IoTimeout` when patience ends while another
    /// caller's question is not answered; else what the provider answered.
    pub fn resolve(
        &self,
        name: &NetName,
        caller: Caller,
        until: Option<Moment>,
    ) -> Result<Resolution<P>, Status> {
        let patience = Patience { clock: &*self.clock, until };
        loop {
            let (route, names) = match self.look(name) {
                Look::Directory => return Ok(Resolution::Directory),
                Look::Known(Known::Claimed(route)) => (Ok(Some(route)), None),
                Look::Known(Known::Refused | Known::Nothing) => (Ok(None), None),
                Look::Ask(scope) => match self.ask(&scope, name, patience) {
                    Ok(Some(asked)) => (Ok(asked), Some(scope.names)),
                    Ok(None) => continue,
                    Err(status) => (Err(status), Some(scope.names)),
                },
            };
            // An answer, or a failure, of one who is no longer the owner is none.
            let outdated = || names.as_ref().is_some_and(|names| names.has_ended());
            let route = match route {
                Ok(Some(route)) => route,
                Ok(None) => return Err(Status::ObjectNameNotFound),
                Err(_) if outdated() && !patience.is_over() => continue,
                Err(status) => return Err(status),
            };
            let view = route.view_or_build(caller, patience);
            if route.is_current() {
                return Ok(Resolution::Share(Resolved { route, view: view? }));
            }
            if patience.is_over() {
                return Err(Status::IoTimeout);
            }
        }
    }

    /// The same for a thread that must not wait: none when somebody would have to be asked.
    #[must_use]
    pub fn resolve_now(
        &self,
        name: &NetName,
        caller: Caller,
    ) -> Option<Result<Resolution<P>, Status>> {
        match self.look(name) {
            Look::Directory => Some(Ok(Resolution::Directory)),
            Look::Known(Known::Claimed(route)) => {
                let view = route.view(caller)?;
                Some(Ok(Resolution::Share(Resolved { route, view })))
            }
            Look::Known(Known::Refused) => Some(Err(Status::ObjectNameNotFound)),
            Look::Known(Known::Nothing) | Look::Ask(_) => None,
        }
    }

    /// What is in a directory of the router's own, in order, after the last name that was given.
    ///
    /// # Errors
    /// `ObjectNameNotFound` where there is none.
    pub fn list(
        &self,
        dir: &NetName,
        after: Option<&Name>,
        max: usize,
    ) -> Result<Vec<Name>, Status> {
        let published = self.published.read();
        published.table.list(dir, after, max).ok_or(Status::ObjectNameNotFound)
    }

    /// May something be renamed or linked from one name to the other? Both must be below the same
    /// prefix.
    ///
    /// # Errors
    /// `NotSameDevice`.
    pub fn same_prefix(&self, one: &NetName, other: &NetName) -> Result<(), Status> {
        let published = self.published.read();
        let prefix = |name| match published.table.place(name) {
            Place::Prefix { value, .. } => Some(value.candidate.held.id()),
            Place::Directory | Place::Nowhere => None,
        };
        match (prefix(one), prefix(other)) {
            (Some(one), Some(other)) if one == other => Ok(()),
            _ => Err(Status::NotSameDevice),
        }
    }

    /// Remembered claims, in order, after a key: at most `max`. Each page looks at all names of
    /// the prefixes it is about. Routes that come and go meanwhile disturb nobody.
    ///
    /// # Errors
    /// 259 when there are no more.
    pub fn routes(&self, after: Option<&RouteKey>, max: usize) -> Result<Vec<RouteInfo>, Refused> {
        let scopes: Vec<(Option<NetName>, u64)> = {
            let published = self.published.read();
            let prefixes = published.table.prefixes();
            let prefixes = prefixes.iter().map(|(name, it)| (Some((*name).clone()), it.names.id()));
            std::iter::once((None, published.commons.id())).chain(prefixes).collect()
        };
        let now = self.clock.now();
        let mut routes = Vec::new();
        for (prefix, tenure) in scopes {
            let below = prefix.clone().unwrap_or_else(NetName::root);
            if after.is_some_and(|after| prefix < after.prefix) {
                continue;
            }
            let mut page = BTreeMap::new();
            self.names.visit(tenure, now, |rest, route| {
                let key = RouteKey { prefix: prefix.clone(), name: below.with_rest(rest) };
                if after.is_none_or(|after| key > *after) {
                    page.insert(key, (route.name().clone(), route.owner()));
                    if page.len() > max - routes.len() {
                        page.pop_last();
                    }
                }
            });
            let found = page.into_iter();
            routes.extend(found.map(|(key, (share, owner))| RouteInfo { key, share, owner }));
            if routes.len() >= max {
                break;
            }
        }
        if routes.is_empty() { Err(Refused::NoMore) } else { Ok(routes) }
    }

    /// How full the resolution cache is.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.names.occupancy()
    }

    /// What is being built now: what a hanging provider holds up.
    #[must_use]
    pub fn in_transition(&self) -> InTransition {
        InTransition {
            claims: self.claims.in_transition(),
            servers: self.servers.in_transition(),
            shares: self.shares.in_transition(),
        }
    }

    fn look(&self, name: &NetName) -> Look<P> {
        let now = self.clock.now();
        let published = self.published.read();
        let place = published.table.place(name);
        let (tenure, bytes) = match place {
            Place::Directory => return Look::Directory,
            Place::Prefix { value, bytes } => (value.names.id(), bytes),
            Place::Nowhere => (published.commons.id(), 0),
        };
        match self.names.get(tenure, &name.marked()[bytes..], now) {
            Known::Nothing => Look::Ask(published.scope(name, place)),
            known => Look::Known(known),
        }
    }

    /// Asks for a name that nothing is known of, once for all who need it. None: ask again.
    fn ask(
        &self,
        scope: &Scope<P>,
        name: &NetName,
        patience: Patience<'_>,
    ) -> Result<Option<Option<Arc<Route<P>>>>, Status> {
        let bytes = scope.prefix.as_ref().map_or(0, |prefix| prefix.marked().len());
        let rest = &name.marked()[bytes..];
        let key = (scope.names.id(), Box::from(rest));
        let asked = self.claims.find_or_build(&key, patience, || {
            let route = self.claim(scope, name, patience)?;
            let lifetime = match &route {
                Some(_) => self.options.route_lifetime,
                None => self.options.refusal_lifetime,
            };
            let now = self.clock.now();
            let times = (now, now.after(lifetime));
            if !self.names.insert(&scope.names, rest, route.clone(), times) {
                return Ok(Asked::Outdated);
            }
            Ok(route.map_or(Asked::Refused, Asked::Claimed))
        })?;
        Ok(match &*asked {
            Asked::Claimed(route) => Some(Some(route.clone())),
            Asked::Refused => Some(None),
            Asked::Outdated => None,
        })
    }

    /// One provider at a time; the first claim wins.
    fn claim(
        &self,
        scope: &Scope<P>,
        name: &NetName,
        patience: Patience<'_>,
    ) -> Result<Option<Arc<Route<P>>>, Status> {
        let mut failed = None;
        for candidate in scope.candidates.iter() {
            assert_no_locks("claim");
            match candidate.provider.claim(name, scope.prefix.as_ref()) {
                Ok(Claim::Refused) => {}
                Ok(Claim::Accepted(depth)) => {
                    if self.may_accept(scope, name, depth) {
                        let share = name.truncated(depth);
                        return self.share(candidate, share, patience).map(Some);
                    }
                    log::error!(
                        "provider {}: a claim of {depth} components of {name} is not its to make",
                        candidate.handle
                    );
                }
                Err(status) => {
                    failed.get_or_insert(status);
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Not less than the prefix, not more than the name, and none of the router's own directories.
    fn may_accept(&self, scope: &Scope<P>, name: &NetName, depth: usize) -> bool {
        let least = scope.prefix.as_ref().map_or(1, NetName::depth);
        if depth < least || depth > name.depth() {
            return false;
        }
        let share = name.truncated(depth);
        !matches!(self.published.read().table.place(&share), Place::Directory)
    }

    /// SRV_CALL, then NET_ROOT.
    fn share(
        &self,
        candidate: &Candidate<P>,
        share: NetName,
        patience: Patience<'_>,
    ) -> Result<Arc<Route<P>>, Status> {
        let key = (candidate.held.id(), share.clone());
        self.shares.find_or_build(&key, patience, || {
            let provider = &candidate.provider;
            let key = (candidate.handle, share.truncated(1));
            let server = self.servers.find_or_build(&key, patience, || {
                assert_no_locks("create_srv_call");
                provider.create_srv_call(&key.1)
            })?;
            assert_no_locks("create_net_root");
            let built = provider.create_net_root(&server, &share)?;
            let owner = (candidate.handle, provider.clone());
            Ok(Route::new(share, owner, candidate.held.clone(), (server, built)))
        })
    }
}
