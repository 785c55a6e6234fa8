//! Who owns which prefix, who watches below it, and which prefixes change hands: the policy.
//! No lock, no wait, no callback; [`router`](crate::mup::router) drives it.
//!
//! Every call either refuses, with nothing changed, or says what to do next. A prefix has one
//! owner at most, and one hand-over at a time ([`handover`](crate::mup::handover)); those of
//! different prefixes do not know of each other.

use crate::base::limits::{PREFIXES_MAX, PROVIDERS_MAX};
use crate::mup::handover::{Effect, Event, OutOfOrder, Phase, step};
use crate::mup::net_name::NetName;
use crate::mup::refused::Refused;
use crate::mup::upcalls::{ProviderHandle, Watcher};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

/// A change of one prefix's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// From nobody.
    Take(ProviderHandle),
    /// To nobody.
    Release(ProviderHandle),
    /// From one to the other, so that it never has none.
    Transfer {
        /// The owner.
        from: ProviderHandle,
        /// The next one.
        to: ProviderHandle,
    },
}

impl Change {
    /// Who owns the prefix afterwards.
    #[must_use]
    pub fn next(self) -> Option<ProviderHandle> {
        match self {
            Self::Take(to) | Self::Transfer { to, .. } => Some(to),
            Self::Release(_) => None,
        }
    }
}

/// What came of asking for something that may have to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is so already.
    Already,
    /// Something else runs on the prefix: wait until it is at rest, and ask again.
    Busy,
    /// Go on with this.
    Go(Effect),
}

/// What a watch that was added or deleted comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchBegun {
    /// The path is watched for somebody else too: the owner knows.
    Counted,
    /// It was watched for this one already.
    Already,
    /// Wait, and ask again.
    Busy,
    /// Tell the owner, then [`Owners::step`] the prefix.
    Go {
        /// Whose owner.
        prefix: NetName,
        /// Who.
        owner: ProviderHandle,
    },
}

/// An owner change that was made.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    /// Who owns the prefix now.
    pub owner: Option<ProviderHandle>,
    /// Watches that ended with it, each with the owner who was asked for it.
    pub unwatched: Vec<(ProviderHandle, NetName)>,
}

#[derive(Debug)]
struct Member {
    name: String,
    owned: BTreeSet<NetName>,
    /// Prefixes on their way to it.
    coming: usize,
    /// It takes no more prefixes.
    leaving: bool,
}

#[derive(Clone, Copy, Debug)]
struct Transition {
    phase: Phase,
    /// None while it is a watch's.
    change: Option<Change>,
}

/// For whom a path is watched.
#[derive(Clone, Copy, Debug, Default)]
struct Holders {
    agent: bool,
    owner: bool,
}

/// All of it.
#[derive(Debug)]
pub struct Owners {
    agent: bool,
    last_handle: u64,
    /// In order of registration, because handles are.
    members: BTreeMap<ProviderHandle, Member>,
    owners: HashMap<NetName, ProviderHandle>,
    transitions: HashMap<NetName, Transition>,
    watches: BTreeMap<NetName, Holders>,
}

impl Owners {
    /// Nobody and nothing. `agent`: is there one, to be disabled and enabled?
    #[must_use]
    pub fn new(agent: bool) -> Self {
        Self {
            agent,
            last_handle: 0,
            members: BTreeMap::new(),
            owners: HashMap::new(),
            transitions: HashMap::new(),
            watches: BTreeMap::new(),
        }
    }

    /// A new provider.
    ///
    /// # Errors
    /// 183 for a name that is registered; 8 at the bound.
    pub fn register(&mut self, name: &str) -> Result<ProviderHandle, Refused> {
        if self.members.values().any(|member| member.name == name) {
            return Err(Refused::NameTaken(name.to_owned()));
        }
        if self.members.len() >= PROVIDERS_MAX {
            return Err(Refused::Full(PROVIDERS_MAX));
        }
        self.last_handle += 1;
        let handle = ProviderHandle(self.last_handle);
        let (owned, coming, leaving) = (BTreeSet::new(), 0, false);
        self.members.insert(handle, Member { name: name.to_owned(), owned, coming, leaving });
        Ok(handle)
    }

    /// A provider goes; its handle is dead from here on.
    ///
    /// # Errors
    /// 87 for a dead handle; 1003 while it owns a prefix or one is on its way to it.
    pub fn deregister(&mut self, handle: ProviderHandle) -> Result<(), Refused> {
        let member = self.members.get(&handle).ok_or(Refused::DeadHandle)?;
        let owned = member.owned.len() + member.coming;
        if owned > 0 {
            return Err(Refused::StillOwns(owned));
        }
        self.members.remove(&handle);
        Ok(())
    }

    /// A provider is about to go: it takes no more prefixes. True when none is on its way to it,
    /// else wait and ask again.
    ///
    /// # Errors
    /// 87 for a dead handle.
    pub fn leave(&mut self, handle: ProviderHandle) -> Result<bool, Refused> {
        let member = self.members.get_mut(&handle).ok_or(Refused::DeadHandle)?;
        member.leaving = true;
        Ok(member.coming == 0)
    }

    /// The owner of this very prefix.
    #[must_use]
    pub fn owner(&self, prefix: &NetName) -> Option<ProviderHandle> {
        self.owners.get(prefix).copied()
    }

    /// What a provider owns, in order.
    ///
    /// # Errors
    /// 87 for a dead handle.
    pub fn owned(&self, handle: ProviderHandle) -> Result<Vec<NetName>, Refused> {
        let member = self.members.get(&handle).ok_or(Refused::DeadHandle)?;
        Ok(member.owned.iter().cloned().collect())
    }

    /// Is nothing under way for this very prefix?
    #[must_use]
    pub fn is_at_rest(&self, prefix: &NetName) -> bool {
        !self.transitions.contains_key(prefix)
    }

    /// A change of owner begins, if it is legal now.
    ///
    /// # Errors
    /// 87 for a dead handle, and for giving up what one does not own; 183 for taking what another
    /// owns; 8 at the bound.
    pub fn begin(&mut self, change: Change, prefix: &NetName) -> Result<Begun, Refused> {
        let next = change.next();
        if next.is_some_and(|to| self.members.get(&to).is_none_or(|member| member.leaving)) {
            return Err(Refused::DeadHandle);
        }
        if let Change::Release(from) | Change::Transfer { from, .. } = change
            && !self.members.contains_key(&from)
        {
            return Err(Refused::DeadHandle);
        }
        if self.must_wait(prefix) {
            return Ok(Begun::Busy);
        }
        let owner = self.owner(prefix);
        match (change, owner) {
            (Change::Take(to), Some(owner)) if owner == to => return Ok(Begun::Already),
            (Change::Take(_), Some(owner)) => {
                let owner = self.name(owner).to_owned();
                return Err(Refused::Owned { prefix: prefix.clone(), owner });
            }
            (Change::Take(_), None) if self.room_is_taken() => {
                return Err(Refused::Full(PREFIXES_MAX));
            }
            (Change::Take(_), None) => {}
            (Change::Release(_) | Change::Transfer { .. }, None) => {
                return Err(Refused::NoPrefix(prefix.clone()));
            }
            (Change::Release(from) | Change::Transfer { from, .. }, Some(owner)) => {
                if owner != from {
                    return Err(Refused::NotOwner(prefix.clone()));
                }
                if next == Some(from) {
                    return Ok(Begun::Already);
                }
            }
        }
        if let Some(member) = next.and_then(|to| self.members.get_mut(&to)) {
            member.coming += 1;
        }
        self.transitions
            .insert(prefix.clone(), Transition { phase: Phase::Enabled, change: Some(change) });
        let effect = self.step(prefix, Event::Begun).expect("a prefix at rest can change hands");
        Ok(Begun::Go(effect))
    }

    /// Does something run that a change of this prefix must wait for? A watch further up may be one
    /// below the prefix: its owner must know of it before it ends.
    fn must_wait(&self, prefix: &NetName) -> bool {
        let runs = |name: &[u8]| self.transitions.get(name);
        let mut upwards = prefix.upwards();
        upwards.next().is_some_and(|own| runs(own).is_some())
            || upwards.any(|above| runs(above).is_some_and(|it| it.phase == Phase::Watching))
    }

    /// Could one more prefix be too many, if all that is under way brings one?
    fn room_is_taken(&self) -> bool {
        self.owners.len() + self.transitions.len() >= PREFIXES_MAX
    }

    fn name(&self, handle: ProviderHandle) -> &str {
        self.members.get(&handle).map_or("?", |member| &member.name)
    }

    /// What the driver did came to its end.
    ///
    /// # Errors
    /// [`OutOfOrder`]: the driver broke the order.
    pub fn step(&mut self, prefix: &NetName, event: Event) -> Result<Effect, OutOfOrder> {
        let Some(transition) = self.transitions.get_mut(prefix) else {
            return Err(OutOfOrder { phase: Phase::Enabled, event });
        };
        let (phase, effect) = step(transition.phase, event, self.agent)?;
        transition.phase = phase;
        if phase == Phase::Enabled {
            self.transitions.remove(prefix);
        }
        Ok(effect)
    }

    /// Makes the change that [`Effect::Change`] asks for.
    ///
    /// # Panics
    /// When no change of this prefix is under way; a defect.
    pub fn change(&mut self, prefix: &NetName) -> Changed {
        let change = self.transitions.get(prefix).and_then(|transition| transition.change);
        let change = change.expect("Effect::Change comes of a change");
        let unwatched = self.unwatch(prefix);
        if let Some(from) = self.owners.remove(prefix)
            && let Some(member) = self.members.get_mut(&from)
        {
            member.owned.remove(prefix);
        }
        let owner = change.next();
        if let Some(to) = owner
            && let Some(member) = self.members.get_mut(&to)
        {
            member.coming -= 1;
            member.owned.insert(prefix.clone());
            self.owners.insert(prefix.clone(), to);
        }
        // From here on the transition has made its change: to abandon it takes nothing back.
        if let Some(transition) = self.transitions.get_mut(prefix) {
            transition.change = None;
        }
        Changed { owner, unwatched }
    }

    /// A callback panicked: the prefix comes to rest as it is.
    pub fn abandon(&mut self, prefix: &NetName) {
        let Some(transition) = self.transitions.remove(prefix) else { return };
        let to = transition.change.and_then(Change::next);
        if let Some(member) = to.and_then(|to| self.members.get_mut(&to)) {
            member.coming -= 1;
        }
    }

    /// Watches below a prefix whose owner will not be asked any more.
    fn unwatch(&mut self, prefix: &NetName) -> Vec<(ProviderHandle, NetName)> {
        let below = self.watches.range::<NetName, _>((Bound::Included(prefix), Bound::Unbounded));
        let below = below.map(|(path, _)| path).take_while(|path| path.is_within(prefix));
        // Not those below a longer prefix: that one does not change hands.
        let ends = |path: &&NetName| {
            let found = self.prefix_of(path);
            found.is_none_or(|(owned, _)| prefix.is_within(owned))
        };
        let ended: Vec<NetName> = below.filter(ends).cloned().collect();
        let mut unwatched = Vec::with_capacity(ended.len());
        for path in ended {
            self.watches.remove(&path);
            if let Some((_, owner)) = self.prefix_of(&path) {
                unwatched.push((owner, path));
            }
        }
        unwatched
    }

    /// The longest prefix a path is within, and its owner.
    fn prefix_of(&self, path: &NetName) -> Option<(&NetName, ProviderHandle)> {
        let mut owned = path.upwards().filter_map(|name| self.owners.get_key_value(name));
        owned.next().map(|(prefix, owner)| (prefix, *owner))
    }

    /// Is the path below a prefix that changes hands now?
    fn disabled(&self, path: &NetName) -> Option<&NetName> {
        for name in path.upwards() {
            if let Some((prefix, transition)) = self.transitions.get_key_value(name)
                && transition.phase.is_disabled()
            {
                return Some(prefix);
            }
            if self.owners.contains_key(name) {
                return None;
            }
        }
        None
    }

    /// The prefix and owner a watch belongs to, if this one may watch there.
    fn watchable(
        &self,
        who: Watcher,
        path: &NetName,
    ) -> Result<(NetName, ProviderHandle), Refused> {
        match who {
            Watcher::Provider(handle) if !self.members.contains_key(&handle) => {
                return Err(Refused::DeadHandle);
            }
            Watcher::Agent if !self.agent => return Err(Refused::Disabled(path.clone())),
            Watcher::Agent | Watcher::Provider(_) => {}
        }
        if let Some(prefix) = self.disabled(path) {
            return Err(Refused::Disabled(prefix.clone()));
        }
        let Some((prefix, owner)) = self.prefix_of(path) else {
            return Err(Refused::NoOwner(path.clone()));
        };
        if let Watcher::Provider(handle) = who
            && handle != owner
        {
            return Err(Refused::NotOwner(prefix.clone()));
        }
        Ok((prefix.clone(), owner))
    }

    /// A path is to be watched.
    ///
    /// # Errors
    /// 87 for a dead handle and for a provider under another's prefix; 1003 while the prefix
    /// changes hands; 1168 below no prefix.
    pub fn add_watch(&mut self, who: Watcher, path: &NetName) -> Result<WatchBegun, Refused> {
        let (prefix, owner) = self.watchable(who, path)?;
        if !self.is_at_rest(&prefix) {
            return Ok(WatchBegun::Busy);
        }
        let holders = self.watches.entry(path.clone()).or_default();
        let first = !holders.agent && !holders.owner;
        let mine = holders.of(who);
        if std::mem::replace(mine, true) {
            return Ok(WatchBegun::Already);
        }
        Ok(if first { self.begin_watch(prefix, owner) } else { WatchBegun::Counted })
    }

    /// A path is watched no longer.
    ///
    /// # Errors
    /// As [`Owners::add_watch`], and 1168 when it was not.
    pub fn delete_watch(&mut self, who: Watcher, path: &NetName) -> Result<WatchBegun, Refused> {
        let (prefix, owner) = self.watchable(who, path)?;
        let unknown = || Refused::NotWatched(path.clone());
        if !self.watches.get_mut(path).is_some_and(|holders| *holders.of(who)) {
            return Err(unknown());
        }
        if !self.is_at_rest(&prefix) {
            return Ok(WatchBegun::Busy);
        }
        let holders = self.watches.get_mut(path).ok_or_else(unknown)?;
        *holders.of(who) = false;
        if holders.agent || holders.owner {
            return Ok(WatchBegun::Counted);
        }
        self.watches.remove(path);
        Ok(self.begin_watch(prefix, owner))
    }

    fn begin_watch(&mut self, prefix: NetName, owner: ProviderHandle) -> WatchBegun {
        let at_rest = Transition { phase: Phase::Enabled, change: None };
        self.transitions.insert(prefix.clone(), at_rest);
        let effect = self.step(&prefix, Event::WatchBegun);
        debug_assert_eq!(effect, Ok(Effect::CallUpstream));
        WatchBegun::Go { prefix, owner }
    }

    /// The paths watched now, in order.
    pub fn watched(&self) -> impl Iterator<Item = &NetName> {
        self.watches.keys()
    }
}

impl Holders {
    fn of(&mut self, who: Watcher) -> &mut bool {
        match who {
            Watcher::Agent => &mut self.agent,
            Watcher::Provider(_) => &mut self.owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> NetName {
        NetName::parse(path.as_bytes()).expect("a good name")
    }

    /// A hand-over from its beginning to its end, as the driver does it.
    fn whole(owners: &mut Owners, change: Change, prefix: &NetName) -> Changed {
        let begun = owners.begin(change, prefix).expect("legal");
        assert_eq!(begun, Begun::Go(Effect::Disable));
        assert_eq!(owners.step(prefix, Event::Disabled), Ok(Effect::Change));
        let changed = owners.change(prefix);
        for event in [Event::Changed, Event::Sent, Event::Enabled] {
            owners.step(prefix, event).expect("in order");
        }
        changed
    }

    #[test]
    fn a_provider_cannot_go_while_a_prefix_is_on_its_way() {
        let mut owners = Owners::new(true);
        let a = owners.register("a").expect("a fresh name");
        let prefix = name("/a");
        let begun = owners.begin(Change::Take(a), &prefix);
        assert_eq!(begun, Ok(Begun::Go(Effect::Disable)));
        assert_eq!(owners.deregister(a), Err(Refused::StillOwns(1)));
        assert_eq!(owners.leave(a), Ok(false), "wait for it");
        assert_eq!(owners.begin(Change::Take(a), &name("/b")), Err(Refused::DeadHandle));
        assert_eq!(owners.begin(Change::Release(a), &prefix), Ok(Begun::Busy));
        // Its disable panicked: it never got the prefix.
        owners.abandon(&prefix);
        assert_eq!(owners.leave(a), Ok(true));
        assert_eq!(owners.deregister(a), Ok(()));
        assert!(owners.is_at_rest(&prefix) && owners.owner(&prefix).is_none());
    }

    #[test]
    fn watches_end_with_their_owner_and_others_stay() {
        let mut owners = Owners::new(true);
        let a = owners.register("a").expect("a fresh name");
        let b = owners.register("b").expect("a fresh name");
        whole(&mut owners, Change::Take(a), &name("/s"));
        whole(&mut owners, Change::Take(b), &name("/s/in"));
        for path in ["/s/f", "/s/in/f", "/s/inner"] {
            let begun = owners.add_watch(Watcher::Agent, &name(path)).expect("owned");
            let WatchBegun::Go { prefix, .. } = begun else { panic!("{begun:?}") };
            // A hand-over of the prefix, or of one inside, waits until the owner knows.
            assert_eq!(
                owners.begin(Change::Release(a), &prefix).unwrap_or(Begun::Busy),
                Begun::Busy
            );
            assert_eq!(owners.begin(Change::Take(a), &name("/s/new")), {
                if prefix == name("/s") { Ok(Begun::Busy) } else { Ok(Begun::Go(Effect::Disable)) }
            });
            owners.abandon(&name("/s/new"));
            owners.step(&prefix, Event::WatchEnded).expect("in order");
        }
        let changed = whole(&mut owners, Change::Release(a), &name("/s"));
        assert_eq!(changed.unwatched, [(a, name("/s/f")), (a, name("/s/inner"))]);
        assert_eq!(owners.watched().collect::<Vec<_>>(), [&name("/s/in/f")]);
        let changed = whole(&mut owners, Change::Take(a), &name("/s/in/f"));
        assert_eq!(changed.unwatched, [(b, name("/s/in/f"))], "it has a nearer owner now");
    }

    #[test]
    fn the_bounds_are_told() {
        let mut owners = Owners::new(true);
        let handles: Vec<_> = (0..PROVIDERS_MAX)
            .map(|at| owners.register(&format!("p{at}")).expect("room"))
            .collect();
        assert_eq!(owners.register("one more"), Err(Refused::Full(PROVIDERS_MAX)));
        let take = Change::Take(handles[0]);
        for at in 0..PREFIXES_MAX {
            let prefix = name(&format!("/{at}"));
            // On their way they count too.
            if at % 2 == 0 {
                whole(&mut owners, take, &prefix);
            } else {
                assert_eq!(owners.begin(take, &prefix), Ok(Begun::Go(Effect::Disable)));
            }
        }
        assert_eq!(owners.begin(take, &name("/more")), Err(Refused::Full(PREFIXES_MAX)));
    }
}
