//! Ownership against a plain map (namespace.md, invariants 1 to 3): three providers take, release,
//! hand on, leave and come back at random, and watches come and go.

use crate::rig::{Call, Found, Rig, Scripted, name};
use crate::seeded;
use minirdr::base::status::Status;
use minirdr::mup::net_name::NetName;
use minirdr::mup::upcalls::{Claim, ProviderHandle, Watcher};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Beside each other and inside each other.
const PREFIXES: [&str; 5] = ["/s/x", "/s/y", "/s/x/in", "/t", "/s"];
const PATHS: [&str; 8] = ["/", "/s", "/s/x", "/s/x/f", "/s/x/in/f", "/s/y/f", "/t/f", "/u"];

#[derive(Clone, Copy, Debug)]
enum Does {
    Register(usize),
    Deregister(usize),
    Withdraw(usize),
    Take(usize, usize),
    Release(usize, usize),
    Transfer(usize, usize, usize),
    Watch(Option<usize>, usize),
    Unwatch(Option<usize>, usize),
    Resolve(usize),
}

fn anything() -> impl Strategy<Value = Does> {
    let (provider, prefix, path) = (0..NAMES.len(), 0..PREFIXES.len(), 0..PATHS.len());
    let who = proptest::option::of(provider.clone());
    prop_oneof![
        2 => provider.clone().prop_map(Does::Register),
        1 => provider.clone().prop_map(Does::Deregister),
        1 => provider.clone().prop_map(Does::Withdraw),
        6 => (provider.clone(), prefix.clone()).prop_map(|(by, of)| Does::Take(by, of)),
        4 => (provider.clone(), prefix.clone()).prop_map(|(by, of)| Does::Release(by, of)),
        2 => (provider.clone(), provider, prefix).prop_map(|(from, to, of)| {
            Does::Transfer(from, to, of)
        }),
        3 => (who.clone(), path.clone()).prop_map(|(by, of)| Does::Watch(by, of)),
        2 => (who, path.clone()).prop_map(|(by, of)| Does::Unwatch(by, of)),
        4 => path.prop_map(Does::Resolve),
    ]
}

/// What the router should know, on a page.
#[derive(Default)]
struct Plain {
    /// The newest handle of each provider, and all that ever were.
    handles: BTreeMap<usize, ProviderHandle>,
    ever: BTreeSet<ProviderHandle>,
    alive: BTreeSet<usize>,
    owners: BTreeMap<NetName, usize>,
    watches: BTreeSet<(NetName, Option<usize>)>,
}

impl Plain {
    fn prefix_of(&self, path: &NetName) -> Option<(&NetName, usize)> {
        let within = self.owners.iter().filter(|(prefix, _)| path.is_within(prefix));
        within.max_by_key(|(prefix, _)| prefix.depth()).map(|(prefix, owner)| (prefix, *owner))
    }

    fn take(&self, by: usize, prefix: &NetName) -> u32 {
        match self.owners.get(prefix) {
            _ if !self.alive.contains(&by) => 87,
            Some(owner) if *owner != by => 183,
            _ => 0,
        }
    }

    fn release(&self, by: usize, prefix: &NetName) -> u32 {
        let owns = self.alive.contains(&by) && self.owners.get(prefix) == Some(&by);
        if owns { 0 } else { 87 }
    }

    fn deregister(&self, by: usize) -> u32 {
        match self.owners.values().any(|owner| *owner == by) {
            _ if !self.alive.contains(&by) => 87,
            true => 1003,
            false => 0,
        }
    }

    fn may_watch(&self, who: Option<usize>, path: &NetName) -> u32 {
        let dead = who.is_some_and(|by| !self.alive.contains(&by));
        match self.prefix_of(path) {
            _ if dead => 87,
            None => 1168,
            Some((_, owner)) if who.is_some_and(|by| by != owner) => 87,
            Some(_) => 0,
        }
    }

    /// A prefix gets another owner: watches whose owner it is, before or after, end.
    fn set_owner(&mut self, prefix: &NetName, owner: Option<usize>) {
        let owners = &self.owners;
        let nearer = |path: &NetName| {
            let mut between = owners.keys().filter(|it| path.is_within(it));
            between.any(|it| it.is_within(prefix) && it != prefix)
        };
        self.watches.retain(|(path, _)| !path.is_within(prefix) || nearer(path));
        match owner {
            Some(owner) => self.owners.insert(prefix.clone(), owner),
            None => self.owners.remove(prefix),
        };
    }
}

struct Pair {
    rig: Rig,
    plain: Plain,
}

type Checked = Result<(), TestCaseError>;

/// Claims every name at or below one of the prefixes, as a share of its own.
fn provider(of: &'static str) -> Arc<Scripted> {
    Arc::new(Scripted::new(
        of,
        Box::new(|path| {
            let known = PREFIXES.iter().any(|prefix| path.is_within(&name(prefix)));
            Ok(if known { Claim::Accepted(path.depth()) } else { Claim::Refused })
        }),
    ))
}

impl Pair {
    /// The handle, alive or dead; none before the first.
    fn handle(&self, by: usize) -> Option<ProviderHandle> {
        self.plain.handles.get(&by).copied()
    }

    fn step(&mut self, does: Does) -> Checked {
        let router = self.rig.router.clone();
        match does {
            Does::Register(by) => {
                let answer = router.register(NAMES[by], provider(NAMES[by]));
                let taken = !self.plain.alive.insert(by);
                prop_assert_eq!(Rig::code(answer.clone()), if taken { 183 } else { 0 });
                if let Ok(handle) = answer {
                    prop_assert!(self.plain.ever.insert(handle), "{} is used again", handle);
                    self.plain.handles.insert(by, handle);
                }
            }
            Does::Deregister(by) => {
                let Some(handle) = self.handle(by) else { return Ok(()) };
                let expected = self.plain.deregister(by);
                prop_assert_eq!(Rig::code(router.deregister(handle)), expected);
                if expected == 0 {
                    self.plain.alive.remove(&by);
                }
            }
            Does::Withdraw(by) => {
                let Some(handle) = self.handle(by) else { return Ok(()) };
                let alive = self.plain.alive.remove(&by);
                let answer = router.withdraw(handle);
                prop_assert_eq!(Rig::code(answer.clone()), if alive { 0 } else { 87 });
                let owned = self.plain.owners.iter().filter(|(_, owner)| **owner == by);
                let owned: Vec<NetName> = owned.map(|(prefix, _)| prefix.clone()).collect();
                let released: Vec<NetName> =
                    answer.unwrap_or_default().into_iter().map(|(prefix, _)| prefix).collect();
                prop_assert_eq!(&released, &owned);
                for prefix in &owned {
                    self.plain.set_owner(prefix, None);
                }
            }
            Does::Take(..) | Does::Release(..) | Does::Transfer(..) => self.hand_over(does)?,
            Does::Watch(who, path) | Does::Unwatch(who, path) => {
                self.watch(who, &name(PATHS[path]), matches!(does, Does::Watch(..)))?;
            }
            Does::Resolve(path) => self.resolve(PATHS[path])?,
        }
        self.compare()
    }

    fn hand_over(&mut self, does: Does) -> Checked {
        let router = &self.rig.router;
        let (by, to, prefix) = match does {
            Does::Take(by, prefix) | Does::Release(by, prefix) => (by, by, name(PREFIXES[prefix])),
            Does::Transfer(from, to, prefix) => (from, to, name(PREFIXES[prefix])),
            _ => unreachable!("the caller knows"),
        };
        let (Some(from), Some(next)) = (self.handle(by), self.handle(to)) else { return Ok(()) };
        self.rig.outside.take();
        let (answer, expected, owner) = match does {
            Does::Take(..) => (router.take(from, &prefix), self.plain.take(by, &prefix), Some(by)),
            Does::Release(..) => {
                (router.release(from, &prefix), self.plain.release(by, &prefix), None)
            }
            _ => {
                let dead = !self.plain.alive.contains(&to);
                let expected = if dead { 87 } else { self.plain.release(by, &prefix) };
                (router.transfer(from, next, &prefix), expected, Some(to))
            }
        };
        prop_assert_eq!(Rig::code(answer.clone()), expected);
        let already = self.plain.owners.get(&prefix).copied() == owner;
        let calls = self.rig.outside.take();
        if expected != 0 || already {
            prop_assert!(calls.is_empty(), "{:?}", calls);
            return Ok(());
        }
        prop_assert!(answer.is_ok_and(|it| it.changed && it.settled));
        self.plain.set_owner(&prefix, owner);
        let (stops, others): (Vec<&Call>, Vec<&Call>) =
            calls.iter().partition(|call| call.word() == "stop");
        let words: Vec<_> = others.iter().map(|call| call.word()).collect();
        prop_assert_eq!(words, ["disable", "invalidate", "settle", "enable"]);
        for call in others {
            prop_assert_eq!(call.prefix(), Some(&prefix));
        }
        prop_assert_eq!(&calls[0], &Call::Disable(prefix.clone()), "before the stops too");
        for stop in stops {
            let Call::Stop(_, path) = stop else { unreachable!("partitioned") };
            prop_assert!(path.is_within(&prefix));
        }
        Ok(())
    }

    fn watch(&mut self, who: Option<usize>, path: &NetName, add: bool) -> Checked {
        let watcher = match who {
            None => Watcher::Agent,
            Some(by) => {
                let Some(handle) = self.handle(by) else { return Ok(()) };
                Watcher::Provider(handle)
            }
        };
        self.rig.outside.take();
        let key = (path.clone(), who);
        let known = self.plain.watches.contains(&key);
        let watched = |plain: &Plain| plain.watches.iter().any(|(of, _)| of == path);
        let (before, mut expected) = (watched(&self.plain), self.plain.may_watch(who, path));
        if add {
            let answer = self.rig.router.add_watch(watcher, path);
            prop_assert_eq!(Rig::code(answer.clone()), expected);
            prop_assert!(answer.is_ok_and(|new| new != known) || expected != 0);
            if expected == 0 {
                self.plain.watches.insert(key);
            }
        } else {
            if expected == 0 && !known {
                expected = 1168;
            }
            let answer = self.rig.router.delete_watch(watcher, path);
            prop_assert_eq!(Rig::code(answer), expected);
            if expected == 0 {
                self.plain.watches.remove(&key);
            }
        }
        // The first watcher starts, the last one stops; nobody else does.
        let words: Vec<_> = self.rig.outside.take().iter().map(Call::word).collect();
        let told: &[&str] = match (before, watched(&self.plain)) {
            (false, true) => &["start"],
            (true, false) => &["stop"],
            _ => &[],
        };
        prop_assert_eq!(words, told);
        Ok(())
    }

    fn resolve(&self, path: &str) -> Checked {
        let asked = name(path);
        let leads = asked.is_root() || self.plain.owners.keys().any(|it| it.is_within(&asked));
        let expected = match self.plain.prefix_of(&asked) {
            Some((_, owner)) => Ok(Found::Share(NAMES[owner], path.to_owned())),
            None if leads => Ok(Found::Directory),
            None if self.plain.alive.is_empty() => Err(Status::ObjectNameNotFound),
            // Below no prefix whoever was registered first and claims it has it.
            None => return self.unowned(&asked),
        };
        prop_assert_eq!(self.rig.resolve(path), expected);
        Ok(())
    }

    fn unowned(&self, asked: &NetName) -> Checked {
        let claimed = PREFIXES.iter().any(|prefix| asked.is_within(&name(prefix)));
        let first = self.plain.alive.iter().min_by_key(|by| self.plain.handles[by]);
        let expected = match first {
            Some(by) if claimed => Ok(Found::Share(NAMES[*by], asked.to_string())),
            _ => Err(Status::ObjectNameNotFound),
        };
        prop_assert_eq!(self.rig.resolve(&asked.to_string()), expected);
        Ok(())
    }

    /// Invariant 1: the same owners, seen from every side; and no route of any other's.
    fn compare(&self) -> Checked {
        let router = &self.rig.router;
        for prefix in PREFIXES.map(name) {
            let owner = self.plain.owners.get(&prefix).map(|by| self.plain.handles[by]);
            prop_assert_eq!(router.owner(&prefix).ok(), owner);
        }
        let mut listed: Vec<_> = router.providers();
        for by in &self.plain.alive {
            let owned = self.plain.owners.iter().filter(|(_, owner)| *owner == by);
            let owned: Vec<NetName> = owned.map(|(prefix, _)| prefix.clone()).collect();
            let at = listed.iter().position(|it| it.handle == self.plain.handles[by]);
            let info = listed.remove(at.expect("a live provider is listed"));
            prop_assert_eq!((&*info.name, info.prefixes), (NAMES[*by], owned));
        }
        prop_assert!(listed.is_empty(), "the dead are not listed");
        let watched: BTreeSet<&NetName> = self.plain.watches.iter().map(|(path, _)| path).collect();
        let seen = router.watched();
        prop_assert_eq!(seen.iter().collect::<BTreeSet<_>>(), watched);
        for route in router.routes(None, usize::MAX).unwrap_or_default() {
            let owner = route.key.prefix.map(|prefix| self.plain.owners[&prefix]);
            if let Some(owner) = owner {
                prop_assert_eq!(route.owner, self.plain.handles[&owner]);
            }
        }
        Ok(())
    }
}

/// namespace.md, invariants 1, 2 and 3, after every step of any history.
#[test]
fn ownership_is_a_plain_map() {
    let histories = proptest::collection::vec(anything(), 1..60);
    seeded::check("ownership_is_a_plain_map", 400, &histories, |history| {
        let mut pair = Pair { rig: Rig::new(), plain: Plain::default() };
        for by in 0..NAMES.len() {
            pair.step(Does::Register(by))?;
        }
        history.into_iter().try_for_each(|does| pair.step(does))
    });
}
