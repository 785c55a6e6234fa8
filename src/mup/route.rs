//! A route: a claimed share, whose claim it is, and the views users have of it.

use crate::base::ids::Caller;
use crate::base::limits::VIEWS_KEPT;
use crate::base::status::Status;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::{Mutex, Rank, assert_no_locks};
use crate::mup::condition::{Conditions, Keep, Patience};
use crate::mup::net_name::NetName;
use crate::mup::upcalls::{Provider, ProviderHandle, Views};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// A time after which what was found during it is out of date: that of one owner of one prefix, or
/// that in which the answers to some names cannot change.
#[derive(Debug)]
pub struct Tenure {
    id: u64,
    ended: AtomicBool,
}

impl Tenure {
    /// A tenure that runs. Numbers are never used again.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { id, ended: AtomicBool::new(false) }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// It is over, for ever.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Is it over?
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Whose view: the user and the group, because a group may have rights a user's other groups have
/// not (rdbss.md 7.2). None where all share one.
type Credentials = Option<(u32, u32)>;

/// A share that a provider claimed, and that has been built.
pub struct Route<P: Provider> {
    name: NetName,
    owner: ProviderHandle,
    provider: Arc<P>,
    tenure: Arc<Tenure>,
    share: Arc<P::Share>,
    /// Held for as long as the share is.
    _server: Arc<P::Server>,
    views: Conditions<Credentials, P::View>,
    /// Views that live although nobody uses them now; the one used last is last.
    kept: Mutex<VecDeque<(Credentials, Arc<P::View>)>>,
}

impl<P: Provider> Route<P> {
    pub(in crate::mup) fn new(
        name: NetName,
        (owner, provider): (ProviderHandle, Arc<P>),
        tenure: Arc<Tenure>,
        (server, share): (Arc<P::Server>, P::Share),
    ) -> Self {
        Self {
            name,
            owner,
            provider,
            tenure,
            share: Arc::new(share),
            _server: server,
            views: Conditions::new(Keep::WhileUsed),
            kept: Mutex::new(Rank::Routes, VecDeque::new()),
        }
    }

    /// The name of the share: as much of the names it was resolved from as was accepted.
    #[must_use]
    pub fn name(&self) -> &NetName {
        &self.name
    }

    /// The provider's handle.
    #[must_use]
    pub fn owner(&self) -> ProviderHandle {
        self.owner
    }

    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &Arc<P> {
        &self.provider
    }

    /// The share.
    #[must_use]
    pub fn share(&self) -> &Arc<P::Share> {
        &self.share
    }

    /// Has its prefix still the same owner? If not, handles opened through it are stale (ESTALE);
    /// only their cleanup and close still go to its provider.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !self.tenure.has_ended()
    }

    /// The caller's view, if he has one.
    pub(in crate::mup) fn view(&self, caller: Caller) -> Option<Arc<P::View>> {
        let key = self.credentials(caller);
        let mut kept = self.kept.lock();
        if let Some((newest, view)) = kept.back()
            && *newest == key
        {
            return Some(view.clone());
        }
        let at = kept.iter().position(|(of, _)| *of == key)?;
        let found = kept.remove(at)?;
        let view = found.1.clone();
        kept.push_back(found);
        Some(view)
    }

    /// The caller's view; built if he has none.
    pub(in crate::mup) fn view_or_build(
        &self,
        caller: Caller,
        patience: Patience<'_>,
    ) -> Result<Arc<P::View>, Status> {
        if let Some(view) = self.view(caller) {
            return Ok(view);
        }
        let key = self.credentials(caller);
        let view = self.views.find_or_build(&key, patience, || {
            assert_no_locks("create_v_net_root");
            self.provider.create_v_net_root(&self.share, caller)
        })?;
        let mut kept = self.kept.lock();
        let known = kept.iter().any(|(of, _)| *of == key);
        if !known {
            kept.push_back((key, view.clone()));
        }
        let oldest = if kept.len() > VIEWS_KEPT { kept.pop_front() } else { None };
        drop(kept);
        drop(oldest);
        Ok(view)
    }

    fn credentials(&self, caller: Caller) -> Credentials {
        match self.provider.views() {
            Views::Shared => None,
            Views::PerUser => Some((caller.uid, caller.gid)),
        }
    }
}

impl<P: Provider> fmt::Debug for Route<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Route({} of provider {})", self.name, self.owner)
    }
}
