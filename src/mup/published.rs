//! What lookups see: the prefix table with who has each prefix, and the providers in order.
//! Changed under the lock of the owners, read by everybody.

use crate::mup::net_name::NetName;
use crate::mup::prefix::{Place, PrefixTable};
use crate::mup::route::Tenure;
use crate::mup::upcalls::{Provider, ProviderHandle};
use std::mem;
use std::sync::Arc;

/// A provider that may be asked for a claim.
pub(in crate::mup) struct Candidate<P> {
    pub handle: ProviderHandle,
    pub provider: Arc<P>,
    /// What it builds is current while this runs.
    pub held: Arc<Tenure>,
}

impl<P> Clone for Candidate<P> {
    fn clone(&self) -> Self {
        let (provider, held) = (self.provider.clone(), self.held.clone());
        Self { handle: self.handle, provider, held }
    }
}

/// A registered provider.
pub(in crate::mup) struct Registered<P> {
    pub name: Arc<str>,
    /// For names below no prefix; its tenure is the registration.
    pub candidate: Candidate<P>,
}

/// Who has a prefix.
pub(in crate::mup) struct Holding<P> {
    pub candidate: Candidate<P>,
    /// What is remembered below the prefix is true while this runs: until the owner changes, or a
    /// prefix below it does.
    pub names: Arc<Tenure>,
}

/// Where to ask for a name that nothing is known of.
pub(in crate::mup) struct Scope<P> {
    /// The prefix it is below, if there is one.
    pub prefix: Option<NetName>,
    pub names: Arc<Tenure>,
    pub candidates: Candidates<P>,
}

/// Whom to ask, in order.
pub(in crate::mup) enum Candidates<P> {
    Owner(Candidate<P>),
    All(Arc<[Registered<P>]>),
}

impl<P> Candidates<P> {
    pub fn iter(&self) -> impl Iterator<Item = &Candidate<P>> {
        let (owner, all) = match self {
            Self::Owner(owner) => (Some(owner), &[][..]),
            Self::All(all) => (None, &all[..]),
        };
        owner.into_iter().chain(all.iter().map(|registered| &registered.candidate))
    }
}

/// All of it.
pub(in crate::mup) struct Published<P> {
    pub table: PrefixTable<Holding<P>>,
    /// In the order they were registered.
    pub providers: Arc<[Registered<P>]>,
    /// As [`Holding::names`], for names below no prefix.
    pub commons: Arc<Tenure>,
    last_tenure: u64,
}

/// What a change put out of date; freed when no lock is held.
pub(in crate::mup) struct Outdated<P> {
    /// What was remembered, by the directory it was remembered below.
    pub names: Vec<(NetName, Arc<Tenure>)>,
    /// Who had the prefix, or was registered.
    pub held: Option<Candidate<P>>,
}

impl<P: Provider> Published<P> {
    pub fn new() -> Self {
        Self {
            table: PrefixTable::default(),
            providers: Arc::new([]),
            commons: Arc::new(Tenure::new(0)),
            last_tenure: 0,
        }
    }

    fn tenure(&mut self) -> Arc<Tenure> {
        self.last_tenure += 1;
        Arc::new(Tenure::new(self.last_tenure))
    }

    pub fn registered(&self, handle: ProviderHandle) -> Option<&Registered<P>> {
        self.providers.iter().find(|registered| registered.candidate.handle == handle)
    }

    /// Who is to be asked for a name at this place.
    pub fn scope(&self, name: &NetName, place: Place<'_, Holding<P>>) -> Scope<P> {
        match place {
            Place::Prefix { value, bytes } => Scope {
                prefix: Some(name.cut(bytes)),
                names: value.names.clone(),
                candidates: Candidates::Owner(value.candidate.clone()),
            },
            Place::Directory | Place::Nowhere => Scope {
                prefix: None,
                names: self.commons.clone(),
                candidates: Candidates::All(self.providers.clone()),
            },
        }
    }

    /// A provider more: it may claim what nobody did.
    pub fn register(
        &mut self,
        handle: ProviderHandle,
        name: &str,
        provider: Arc<P>,
    ) -> Outdated<P> {
        let candidate = Candidate { handle, provider, held: self.tenure() };
        let registered = Registered { name: name.into(), candidate };
        let others = self.providers.iter().map(Registered::copy);
        self.providers = others.chain([registered]).collect();
        Outdated { names: vec![self.renew_commons()], held: None }
    }

    /// A provider less: what it claimed below no prefix is stale.
    pub fn deregister(&mut self, handle: ProviderHandle) -> Outdated<P> {
        let held = self.registered(handle).map(|registered| registered.candidate.clone());
        if let Some(held) = &held {
            held.held.end();
        }
        let others = self.providers.iter().filter(|it| it.candidate.handle != handle);
        self.providers = others.map(Registered::copy).collect();
        Outdated { names: vec![self.renew_commons()], held }
    }

    /// The prefix has this owner now, or none.
    pub fn hand_over(&mut self, prefix: &NetName, owner: Option<ProviderHandle>) -> Outdated<P> {
        let holding = owner.and_then(|handle| {
            let provider = self.registered(handle)?.candidate.provider.clone();
            let candidate = Candidate { handle, provider, held: self.tenure() };
            Some(Holding { candidate, names: self.tenure() })
        });
        let old = match holding {
            Some(holding) => self.table.insert(prefix, holding),
            None => self.table.remove(prefix),
        };
        let mut names = vec![self.renew_above(prefix)];
        let held = old.map(|old| {
            old.candidate.held.end();
            old.names.end();
            names.push((prefix.clone(), old.names));
            old.candidate
        });
        Outdated { names, held }
    }

    /// What is remembered above a prefix that comes or goes may be about names below it.
    fn renew_above(&mut self, prefix: &NetName) -> (NetName, Arc<Tenure>) {
        let names = self.tenure();
        let Some((above, holding)) = self.table.enclosing_mut(prefix) else {
            return self.renew_commons();
        };
        let old = mem::replace(&mut holding.names, names);
        old.end();
        (above, old)
    }

    fn renew_commons(&mut self) -> (NetName, Arc<Tenure>) {
        let names = self.tenure();
        let old = mem::replace(&mut self.commons, names);
        old.end();
        (NetName::root(), old)
    }
}

impl<P> Registered<P> {
    fn copy(&self) -> Self {
        Self { name: self.name.clone(), candidate: self.candidate.clone() }
    }
}
