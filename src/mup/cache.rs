//! The resolution cache: which names have been claimed, and which refused, for a while.
//!
//! A name is kept under the *tenure* it was asked for in. A lookup takes the tenure from the prefix
//! table, so when a prefix changes hands, all that was remembered of it is out of reach in the same
//! step; [`Names::purge`] then frees it, at the cost of what there was, not of the whole cache.
//!
//! Many parts, each behind a lock of its own: slots in a row, found by a hash table of their
//! numbers, and chained by tenure. Bounded by *second chance*: when a part is full, a hand goes
//! round and takes the first name that has expired, or that nobody has asked for again since it was
//! put there or since the hand last came by.
//!
//! What a name leads to is never dropped with a lock held: it may be the last reference to a
//! provider's objects.

use crate::base::clock::Moment;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::{Rank, RwLock};
use crate::mup::route::Tenure;
use hashbrown::HashTable;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

const PARTS_MAX: usize = 64;
/// So many names are worth a lock of their own.
const NAMES_IN_PART: usize = 1024;
/// No slot.
const NONE: u32 = u32::MAX;

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// It was claimed: this is what it leads to.
    Claimed(T),
    /// Nobody claims it.
    Refused,
    /// Nothing is known, or no longer.
    Nothing,
}

/// The cache.
pub struct Names<R> {
    parts: Vec<RwLock<Part<R>>>,
    names_in_part_max: usize,
    hashes: RandomState,
}

/// How full it is, and what it cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Names that are remembered, expired ones that nobody has asked for again among them.
    pub names: usize,
    /// Bytes of all of it, names and tables.
    pub bytes: usize,
    /// Names that had to go for others.
    pub evicted_total: u64,
}

struct Part<R> {
    /// Numbers of slots.
    table: HashTable<u32>,
    slots: Vec<Option<Slot<R>>>,
    free: Vec<u32>,
    /// The first slot of each tenure's chain.
    chains: HashMap<u64, u32>,
    hand: usize,
    name_bytes: usize,
    evicted_total: u64,
}

struct Slot<R> {
    /// Below the tenure's prefix.
    name: Box<[u8]>,
    tenure: u64,
    expires: Moment,
    /// None: refused.
    route: Option<Arc<R>>,
    before: u32,
    after: u32,
    /// Was it asked for since it came, or since the hand last came by?
    used: AtomicBool,
}

impl<R> Names<R> {
    /// An empty cache for so many names, in parts of a thousand and more.
    #[must_use]
    pub fn new(names_max: usize) -> Self {
        let parts = (names_max / NAMES_IN_PART).clamp(1, PARTS_MAX);
        Self {
            parts: (0..parts).map(|_| RwLock::new(Rank::Routes, Part::new())).collect(),
            names_in_part_max: (names_max / parts).max(1),
            hashes: RandomState::new(),
        }
    }

    fn hash(&self, tenure: u64, name: &[u8]) -> u64 {
        self.hashes.hash_one((tenure, name))
    }

    /// The table inside a part goes by the low bits and the highest seven: these are others.
    fn part(&self, hash: u64) -> &RwLock<Part<R>> {
        &self.parts[(hash >> 40) as usize % self.parts.len()]
    }

    /// What is known of a name now.
    pub fn get(&self, tenure: u64, name: &[u8], now: Moment) -> Known<Arc<R>> {
        let hash = self.hash(tenure, name);
        let part = self.part(hash).read();
        let Some(slot) = part.find(hash, tenure, name) else { return Known::Nothing };
        if slot.expires <= now {
            return Known::Nothing;
        }
        // Written only when it changes: a name that everybody asks for is read alone.
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        match &slot.route {
            Some(route) => Known::Claimed(route.clone()),
            None => Known::Refused,
        }
    }

    /// Remembers a name. False if its tenure has ended: then nothing is kept, and what was found
    /// must not be used.
    pub fn insert(
        &self,
        tenure: &Tenure,
        name: &[u8],
        route: Option<Arc<R>>,
        (now, expires): (Moment, Moment),
    ) -> bool {
        let hash = self.hash(tenure.id(), name);
        let mut part = self.part(hash).write();
        // Looked at inside the lock: a purge ends the tenure first and takes every lock then.
        if tenure.has_ended() {
            return false;
        }
        let slot = Slot {
            name: name.into(),
            tenure: tenure.id(),
            expires,
            route,
            before: NONE,
            after: NONE,
            used: AtomicBool::new(false),
        };
        let rehash = |slot: &Slot<R>| self.hash(slot.tenure, &slot.name);
        let dropped = part.put(hash, slot, self.names_in_part_max, now, rehash);
        drop(part);
        drop(dropped);
        true
    }

    /// Forgets all names of an ended tenure, and shows each of them to `visit`.
    pub fn purge(&self, tenure: &Tenure, mut visit: impl FnMut(&[u8])) {
        debug_assert!(tenure.has_ended(), "or names come back behind the purge");
        for part in &self.parts {
            let removed =
                part.write().remove_chain(tenure.id(), |slot| self.hash(slot.tenure, &slot.name));
            for slot in removed {
                visit(&slot.name);
            }
        }
    }

    /// Shows every claimed name of a tenure that has not expired, in no order. A name that comes
    /// or goes meanwhile may be shown or not.
    pub fn visit(&self, tenure: u64, now: Moment, mut visit: impl FnMut(&[u8], &R)) {
        for part in &self.parts {
            let mut found = Vec::new();
            {
                let part = part.read();
                let mut next = part.chains.get(&tenure).copied().unwrap_or(NONE);
                while let Some(slot) = part.slot(next) {
                    if let Some(route) = slot.route.as_ref().filter(|_| slot.expires > now) {
                        found.push((slot.name.clone(), route.clone()));
                    }
                    next = slot.after;
                }
            }
            for (name, route) in &found {
                visit(name, route);
            }
        }
    }

    /// How full it is.
    pub fn occupancy(&self) -> Occupancy {
        let mut all = Occupancy::default();
        for part in &self.parts {
            let part = part.read();
            all.names += part.table.len();
            all.bytes += part.bytes();
            all.evicted_total += part.evicted_total;
        }
        all
    }
}

impl<R> Part<R> {
    fn new() -> Self {
        Self {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            chains: HashMap::new(),
            hand: 0,
            name_bytes: 0,
            evicted_total: 0,
        }
    }

    fn slot(&self, number: u32) -> Option<&Slot<R>> {
        self.slots.get(number as usize)?.as_ref()
    }

    fn find(&self, hash: u64, tenure: u64, name: &[u8]) -> Option<&Slot<R>> {
        let same = |number: &u32| self.slot(*number).is_some_and(|slot| slot.is(tenure, name));
        self.slot(*self.table.find(hash, same)?)
    }

    /// Puts a slot in the place of the one of the same name, or a new one. Returns what went.
    fn put(
        &mut self,
        hash: u64,
        slot: Slot<R>,
        names_max: usize,
        now: Moment,
        rehash: impl Fn(&Slot<R>) -> u64,
    ) -> Option<Slot<R>> {
        let same =
            |number: &u32| self.slot(*number).is_some_and(|old| old.is(slot.tenure, &slot.name));
        if let Some(&number) = self.table.find(hash, same) {
            return self.replace(number, slot);
        }
        let evicted = if self.table.len() >= names_max { self.evict(now, &rehash) } else { None };
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("a part has fewer names than 2^32")
        });
        self.name_bytes += slot.name.len();
        self.link(number, slot);
        let (table, slots) = (&mut self.table, &self.slots);
        let hash_of = |number: &u32| slots[*number as usize].as_ref().map_or(0, &rehash);
        table.insert_unique(hash, number, hash_of);
        evicted
    }

    /// The same name once more: it keeps its place in the chain.
    fn replace(&mut self, number: u32, mut slot: Slot<R>) -> Option<Slot<R>> {
        let place = self.slots.get_mut(number as usize)?;
        if let Some(old) = place {
            (slot.before, slot.after) = (old.before, old.after);
        }
        place.replace(slot)
    }

    /// Into an empty place, at the head of its tenure's chain.
    fn link(&mut self, number: u32, mut slot: Slot<R>) {
        let head = self.chains.insert(slot.tenure, number).unwrap_or(NONE);
        slot.after = head;
        if let Some(Some(next)) = self.slots.get_mut(head as usize) {
            next.before = number;
        }
        self.slots[number as usize] = Some(slot);
    }

    /// Out of its place and its chain; still in the table.
    fn unlink(&mut self, number: u32) -> Option<Slot<R>> {
        let slot = self.slots.get_mut(number as usize)?.take()?;
        match self.slots.get_mut(slot.before as usize) {
            Some(Some(before)) => before.after = slot.after,
            _ if slot.after == NONE => {
                self.chains.remove(&slot.tenure);
            }
            _ => {
                self.chains.insert(slot.tenure, slot.after);
            }
        }
        if let Some(Some(after)) = self.slots.get_mut(slot.after as usize) {
            after.before = slot.before;
        }
        self.free.push(number);
        self.name_bytes -= slot.name.len();
        Some(slot)
    }

    /// Out of the table, its place and its chain.
    fn remove(&mut self, number: u32, hash: u64) -> Option<Slot<R>> {
        if let Ok(found) = self.table.find_entry(hash, |it| *it == number) {
            found.remove();
        }
        self.unlink(number)
    }

    /// Makes room for one name: at most twice round.
    fn evict(&mut self, now: Moment, rehash: impl Fn(&Slot<R>) -> u64) -> Option<Slot<R>> {
        for _ in 0..2 * self.slots.len() {
            let number = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            let Some(slot) = &self.slots[number] else { continue };
            let spared = slot.used.swap(false, Ordering::Relaxed) && slot.expires > now;
            if !spared {
                let hash = rehash(slot);
                self.evicted_total += 1;
                return self.remove(u32::try_from(number).ok()?, hash);
            }
        }
        None
    }

    fn remove_chain(&mut self, tenure: u64, rehash: impl Fn(&Slot<R>) -> u64) -> Vec<Slot<R>> {
        let mut removed = Vec::new();
        while let Some(&number) = self.chains.get(&tenure) {
            let Some(slot) = self.slot(number) else { break };
            let hash = rehash(slot);
            removed.extend(self.remove(number, hash));
        }
        if self.table.is_empty() {
            // All of it was this tenure's: give the room back.
            *self = Self { evicted_total: self.evicted_total, ..Self::new() };
        }
        removed
    }

    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Slot<R>>>()
            + self.free.capacity() * size_of::<u32>()
            + self.table.allocation_size()
            + self.chains.capacity() * size_of::<(u64, u32)>()
            + self.name_bytes
    }
}

impl<R> Slot<R> {
    fn is(&self, tenure: u64, name: &[u8]) -> bool {
        self.tenure == tenure && *self.name == *name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const NOW: Moment = Moment(100);
    const LATER: Moment = Moment(200);

    fn get(names: &Names<u32>, tenure: &Tenure, name: &[u8], now: Moment) -> Known<u32> {
        match names.get(tenure.id(), name, now) {
            Known::Claimed(route) => Known::Claimed(*route),
            Known::Refused => Known::Refused,
            Known::Nothing => Known::Nothing,
        }
    }

    #[test]
    fn a_name_is_known_until_it_expires() {
        let (names, tenure) = (Names::new(10), Tenure::new(1));
        assert!(names.insert(&tenure, b"a", Some(Arc::new(7)), (NOW, LATER)));
        assert!(names.insert(&tenure, b"b", None, (NOW, LATER)));
        assert_eq!(get(&names, &tenure, b"a", NOW), Known::Claimed(7));
        assert_eq!(get(&names, &tenure, b"b", NOW), Known::Refused);
        assert_eq!(get(&names, &tenure, b"c", NOW), Known::Nothing);
        assert_eq!(get(&names, &Tenure::new(2), b"a", NOW), Known::Nothing, "another tenure");
        assert_eq!(get(&names, &tenure, b"a", LATER), Known::Nothing);
        assert!(names.insert(&tenure, b"a", Some(Arc::new(8)), (LATER, Moment(300))));
        assert_eq!(get(&names, &tenure, b"a", LATER), Known::Claimed(8));
        assert_eq!(names.occupancy().names, 2, "in its own place");
    }

    #[test]
    fn nothing_is_kept_of_an_ended_tenure() {
        let (names, tenure) = (Names::new(10), Tenure::new(1));
        let route = Arc::new(7);
        assert!(names.insert(&tenure, b"a", Some(route.clone()), (NOW, LATER)));
        tenure.end();
        assert!(!names.insert(&tenure, b"b", Some(route.clone()), (NOW, LATER)));
        let mut purged = Vec::new();
        names.purge(&tenure, |name| purged.push(name.to_vec()));
        assert_eq!(purged, [b"a"]);
        assert_eq!(Arc::strong_count(&route), 1);
        assert_eq!(names.occupancy().names, 0);
    }

    /// The hand takes what has expired and what nobody asked for again, and spares the rest once.
    #[test]
    fn what_is_asked_for_is_spared() {
        let (names, tenure) = (Names::new(4), Tenure::new(1));
        for (name, expires) in [(b"a", LATER), (b"b", LATER), (b"c", NOW), (b"d", LATER)] {
            assert!(names.insert(&tenure, name, Some(Arc::new(1)), (Moment(0), expires)));
        }
        for name in [b"a", b"b", b"c"] {
            assert_eq!(get(&names, &tenure, name, Moment(1)), Known::Claimed(1));
        }
        for name in [b"e", b"f"] {
            assert!(names.insert(&tenure, name, None, (NOW, LATER)));
        }
        let left: Vec<&[u8; 1]> = [b"a", b"b", b"c", b"d", b"e", b"f"]
            .into_iter()
            .filter(|name| get(&names, &tenure, *name, Moment(1)) != Known::Nothing)
            .collect();
        assert_eq!(left, [b"a", b"b", b"e", b"f"]);
        assert_eq!(names.occupancy().evicted_total, 2);
    }

    proptest! {
        /// Whatever is put, asked for and purged: what is found is what was put last, there are
        /// never too many, and chains and table agree.
        #[test]
        fn it_forgets_but_does_not_lie(
            steps in proptest::collection::vec((0..4u8, 0..4usize, 0..12u8), 1..200),
        ) {
            let names = Names::new(8);
            let mut tenures: Vec<Tenure> = (0..4).map(Tenure::new).collect();
            let mut put = HashMap::new();
            for (at, (does, tenure, name)) in steps.into_iter().enumerate() {
                let id = tenures[tenure].id();
                let name = [name];
                match does {
                    0 | 1 => {
                        let route = (does == 0).then(|| Arc::new(at));
                        prop_assert!(names.insert(&tenures[tenure], &name, route, (NOW, LATER)));
                        put.insert((id, name), (does == 0).then_some(at));
                    }
                    2 => match names.get(id, &name, NOW) {
                        Known::Claimed(route) => prop_assert_eq!(put[&(id, name)], Some(*route)),
                        Known::Refused => prop_assert_eq!(put[&(id, name)], None),
                        Known::Nothing => {}
                    },
                    _ => {
                        tenures[tenure].end();
                        let mut purged = HashSet::new();
                        names.purge(&tenures[tenure], |name| assert!(purged.insert(name.to_vec())));
                        prop_assert!(purged.iter().all(|it| put.contains_key(&(id, [it[0]]))));
                        put.retain(|(of, _), _| *of != id);
                        tenures[tenure] = Tenure::new(4 + at as u64);
                    }
                }
                let mut chained = 0;
                for tenure in &tenures {
                    let part = names.parts[0].read();
                    let mut next = part.chains.get(&tenure.id()).copied().unwrap_or(NONE);
                    while let Some(slot) = part.slot(next) {
                        prop_assert_eq!(slot.tenure, tenure.id());
                        (chained, next) = (chained + 1, slot.after);
                    }
                }
                let occupancy = names.occupancy();
                prop_assert_eq!(occupancy.names, chained);
                prop_assert!(occupancy.names <= 8);
            }
        }
    }
}
