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

const PARTS: usize = 64;
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
    /// An empty cache for about so many names: each part takes its share, rounded up.
    #[must_use]
    pub fn new(names_max: usize) -> Self {
        let parts = (0..PARTS).map(|_| RwLock::new(Rank::Routes, Part::new())).collect();
        Self {
            parts,
            names_in_part_max: names_max.div_ceil(PARTS).max(1),
            hashes: RandomState::new(),
        }
    }

    fn hash(&self, tenure: u64, name: &[u8]) -> u64 {
        self.hashes.hash_one((tenure, name))
    }

    /// The table inside a part goes by the low bits and the highest seven: these are others.
    fn part(&self, hash: u64) -> &RwLock<Part<R>> {
        &self.parts[(hash >> 40) as usize % PARTS]
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
