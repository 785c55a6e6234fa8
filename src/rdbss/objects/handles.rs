//! The handle table: a sharded, segmented, generational slab (gate.md §2, measured against maps).
//!
//! `number = tag << 56 | slot generation << 32 | index << 4 | shard`.
//! Sixteen shards, chosen by the opening
//! thread; segments of 1,024 slots, so growth never copies; a slot's generation moves on at every
//! release, so a number is never used twice (a slot is retired before its generation would wrap).
//! The table is never cleared by a stop or a start (stop.md §4). A snapshot holds one shard's lock
//! for one segment: every handle open throughout appears once, none twice, and nobody waits long.

use crate::base::ids::HandleNumber;
use crate::base::sync::{Mutex, Rank};
use crate::base::threads;
use crate::rdbss::objects::number_space::Tag;
use std::sync::Arc;

const SHARD_BITS: u32 = 4;
const SHARDS: usize = 1 << SHARD_BITS;
const SEGMENT_SLOTS: usize = 1024;
/// Index bits: 32 less the shard's.
const SLOTS_PER_SHARD_MAX: usize = 1 << (32 - SHARD_BITS);
/// Generations are below this: 24 bits of a number, as the tag is above them.
const GENERATIONS: u32 = 1 << 24;
const NO_SLOT: u32 = u32::MAX;
/// In a taken slot's `next_free`, which it does not need: its value was set aside.
const ASIDE: u32 = u32::MAX - 1;

struct Slot<T> {
    /// Odd while taken, even while free: a number of a free slot never matches.
    generation: u32,
    next_free: u32,
    value: Option<Arc<T>>,
}

struct Shard<T> {
    segments: Vec<Box<[Slot<T>]>>,
    free: u32,
    taken: usize,
    /// Of these, set aside.
    aside: usize,
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Self { segments: Vec::new(), free: NO_SLOT, taken: 0, aside: 0 }
    }
}

impl<T> Shard<T> {
    fn slot(&mut self, index: u32) -> Option<&mut Slot<T>> {
        let index = index as usize;
        self.segments.get_mut(index / SEGMENT_SLOTS)?.get_mut(index % SEGMENT_SLOTS)
    }

    /// Adds a segment and strings its slots on the free list. False when the shard is full.
    fn grow(&mut self) -> bool {
        let first = self.segments.len() * SEGMENT_SLOTS;
        if first + SEGMENT_SLOTS > SLOTS_PER_SHARD_MAX {
            return false;
        }
        let slots = (0..SEGMENT_SLOTS).map(|at| {
            let next = first + at + 1;
            let last = at + 1 == SEGMENT_SLOTS;
            let next_free = if last { self.free } else { to_index(next) };
            Slot { generation: 0, next_free, value: None }
        });
        self.segments.push(slots.collect());
        self.free = to_index(first);
        true
    }
}

fn to_index(slot: usize) -> u32 {
    u32::try_from(slot).expect("a shard has at most 2^28 slots")
}

/// The table of values of type `T`, named by [`HandleNumber`].
pub struct HandleTable<T> {
    tag: Tag,
    shards: [Mutex<Shard<T>>; SHARDS],
}

impl<T> Default for HandleTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The shard this thread opens in.
fn my_shard() -> usize {
    threads::number() % SHARDS
}

fn split(number: HandleNumber) -> (usize, u32, u32) {
    let low = number.0 as u32;
    let generation = (number.0 >> 32) as u32 % GENERATIONS;
    ((low as usize) & (SHARDS - 1), low >> SHARD_BITS, generation)
}

impl<T> HandleTable<T> {
    /// An empty table of a mount's only device.
    #[must_use]
    pub fn new() -> Self {
        Self::tagged(Tag::SOLE)
    }

    /// An empty table, whose numbers have this tag.
    #[must_use]
    pub fn tagged(tag: Tag) -> Self {
        Self { tag, shards: std::array::from_fn(|_| Mutex::new(Rank::Handles, Shard::default())) }
    }

    /// Puts a value in. `None` when 2^28 handles are open in this thread's shard.
    pub fn insert(&self, value: Arc<T>) -> Option<HandleNumber> {
        let at = my_shard();
        let mut shard = self.shards[at].lock();
        if shard.free == NO_SLOT && !shard.grow() {
            return None;
        }
        let index = shard.free;
        let slot = shard.slot(index).expect("the free list names slots that exist");
        slot.generation += 1;
        slot.value = Some(value);
        let generation = slot.generation;
        let next = std::mem::replace(&mut slot.next_free, NO_SLOT);
        shard.free = next;
        shard.taken += 1;
        Some(self.number(generation, index, at))
    }

    fn number(&self, generation: u32, index: u32, shard: usize) -> HandleNumber {
        let low = (u64::from(index) << SHARD_BITS) | shard as u64;
        HandleNumber(self.tag.handle_bits() | (u64::from(generation) << 32) | low)
    }

    /// Is it a number of this table's?
    fn is_ours(&self, number: HandleNumber) -> bool {
        Tag::of_handle(number) == self.tag
    }

    /// The value of a number; `None` if it was removed, however long ago.
    pub fn get(&self, number: HandleNumber) -> Option<Arc<T>> {
        let (at, index, generation) = split(number);
        let mut shard = self.shards[at].lock();
        let slot = shard.slot(index)?;
        if slot.generation == generation && self.is_ours(number) {
            slot.value.clone()
        } else {
            None
        }
    }

    /// Takes a value out; its number is dead for ever.
    pub fn remove(&self, number: HandleNumber) -> Option<Arc<T>> {
        let (at, index, generation) = split(number);
        let mut shard = self.shards[at].lock();
        let free = shard.free;
        let slot = shard.slot(index)?;
        if slot.generation != generation || !self.is_ours(number) {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation += 1;
        let aside = slot.next_free == ASIDE;
        // A slot whose generations are used up is retired: numbers are never used twice.
        let retired = slot.generation >= GENERATIONS - 2;
        if !retired {
            slot.next_free = free;
            shard.free = index;
        }
        shard.taken -= 1;
        shard.aside -= usize::from(aside);
        Some(value)
    }

    /// Counts a value as set aside until it is removed: it stays where it is. False if it was
    /// already, or is not there.
    pub fn set_aside(&self, number: HandleNumber) -> bool {
        let (at, index, generation) = split(number);
        let mut shard = self.shards[at].lock();
        let Some(slot) = shard.slot(index) else { return false };
        let found = slot.generation == generation && slot.value.is_some();
        if !found || slot.next_free == ASIDE || !self.is_ours(number) {
            return false;
        }
        slot.next_free = ASIDE;
        shard.aside += 1;
        true
    }

    /// Values in the table.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().taken).sum()
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values in the table that are not set aside.
    pub fn in_use(&self) -> usize {
        let in_use = |shard: &Mutex<Shard<T>>| {
            let shard = shard.lock();
            shard.taken - shard.aside
        };
        self.shards.iter().map(in_use).sum()
    }

    /// Values that are not set aside, and those that are.
    pub fn counts(&self) -> (u64, u64) {
        let (mut in_use, mut aside) = (0, 0);
        for shard in &self.shards {
            let shard = shard.lock();
            in_use += shard.taken - shard.aside;
            aside += shard.aside;
        }
        (in_use as u64, aside as u64)
    }

    /// Hands every value to `visit` until it answers false. `visit` runs with no lock held.
    pub fn visit(&self, visit: impl FnMut(HandleNumber, Arc<T>) -> bool) {
        self.visit_some(|_| true, visit);
    }

    /// The same for those that `picks`, which is asked under a shard's lock: it must be quick.
    pub fn visit_some(
        &self,
        picks: impl Fn(&T) -> bool,
        mut visit: impl FnMut(HandleNumber, Arc<T>) -> bool,
    ) {
        let mut batch = Vec::new();
        for at in 0..SHARDS {
            let mut segment = 0;
            while self.copy_segment(at, segment, &picks, &mut batch) {
                for (number, value) in batch.drain(..) {
                    if !visit(number, value) {
                        return;
                    }
                }
                segment += 1;
            }
        }
    }

    /// Clones one segment's picked values under its shard's lock. False when there is no such
    /// segment.
    fn copy_segment(
        &self,
        at: usize,
        segment: usize,
        picks: &impl Fn(&T) -> bool,
        batch: &mut Vec<(HandleNumber, Arc<T>)>,
    ) -> bool {
        let shard = self.shards[at].lock();
        let Some(slots) = shard.segments.get(segment) else { return false };
        for (offset, slot) in slots.iter().enumerate() {
            if let Some(value) = slot.value.as_ref().filter(|value| picks(value)) {
                let index = to_index(segment * SEGMENT_SLOTS + offset);
                batch.push((self.number(slot.generation, index, at), value.clone()));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    /// Stop.md §4: an old close must never hit a new handle.
    #[test]
    fn a_number_is_never_used_twice() {
        let table = HandleTable::new();
        let mut seen = HashSet::new();
        for round in 0..5000_u32 {
            let number = table.insert(Arc::new(round)).expect("room");
            assert!(seen.insert(number));
            assert_eq!(table.remove(number).as_deref(), Some(&round));
            assert!(table.get(number).is_none());
            assert!(table.remove(number).is_none());
        }
        assert!(table.is_empty());
    }

    #[test]
    fn what_is_set_aside_is_counted_until_it_goes() {
        let table = HandleTable::new();
        let (one, other) = (table.insert(Arc::new(1)), table.insert(Arc::new(2)));
        let (one, other) = (one.expect("room"), other.expect("room"));
        assert!(table.set_aside(one) && !table.set_aside(one));
        assert_eq!((table.len(), table.in_use()), (2, 1));
        assert_eq!(table.get(one).as_deref(), Some(&1), "it stays where it is");
        assert!(table.remove(one).is_some() && !table.set_aside(one));
        assert_eq!((table.len(), table.in_use()), (1, 1));
        let again = table.insert(Arc::new(3)).expect("room");
        assert_eq!(table.in_use(), 2, "a slot that is used again is not aside");
        assert!(table.remove(again).is_some() && table.remove(other).is_some());
        assert_eq!((table.len(), table.in_use()), (0, 0));
    }

    #[test]
    fn only_the_picked_are_visited() {
        let table = HandleTable::new();
        let insert = |value: u32| table.insert(Arc::new(value)).expect("room");
        let numbers: Vec<HandleNumber> = (0..3000).map(insert).collect();
        let mut seen = Vec::new();
        table.visit_some(
            |value| value % 1000 == 7,
            |number, value| {
                seen.push((number, *value));
                *value != 1007
            },
        );
        assert_eq!(seen, [(numbers[7], 7), (numbers[1007], 1007)], "and no longer than wanted");
    }

    #[test]
    fn numbers_never_made_up_by_a_caller_match() {
        let table = HandleTable::new();
        let number = table.insert(Arc::new(1)).expect("room");
        for wrong in [0, 1, u64::MAX, number.0 ^ (1 << 32), number.0 ^ (1 << 5)] {
            assert!(table.get(HandleNumber(wrong)).is_none());
        }
    }

    /// A handle of one device is none of another's, whatever its slot.
    #[test]
    fn handles_of_two_devices_never_meet() {
        let tag = |number| Tag::new(number).expect("small enough");
        let tables = [HandleTable::tagged(tag(1)), HandleTable::tagged(tag(127))];
        let [one, other] = tables.each_ref().map(|table| table.insert(Arc::new(1)).expect("room"));
        assert_eq!(Tag::of_handle(one), tag(1));
        assert!(tables[0].get(one).is_some() && tables[1].get(other).is_some());
        assert!(tables[1].get(one).is_none() && tables[1].remove(one).is_none());
        assert!(!tables[0].set_aside(other));
        let mut seen = Vec::new();
        tables[1].visit(|number, _| {
            seen.push(number);
            true
        });
        assert_eq!(seen, [other]);
    }

    /// A slot whose generations are used up is not used again, and the tag above them is not hit.
    #[test]
    fn a_slot_is_retired_before_its_generations_wrap() {
        let table = HandleTable::tagged(Tag::MAX);
        let first = table.insert(Arc::new(0)).expect("room");
        table.remove(first).expect("it is there");
        let (at, index, _) = split(first);
        table.shards[at].lock().slot(index).expect("it exists").generation = GENERATIONS - 4;
        for round in 0..3 {
            let number = table.insert(Arc::new(round)).expect("room");
            assert_eq!(split(number).1 == index, round == 0, "used once more, then retired");
            assert_eq!(Tag::of_handle(number), Tag::MAX);
            table.remove(number).expect("it is there");
        }
    }

    proptest! {
        /// The table against a map, with a snapshot at the end.
        #[test]
        fn behaves_like_a_map(
            steps in proptest::collection::vec((any::<bool>(), any::<u16>()), 0..400)
        ) {
            let table = HandleTable::new();
            let mut model: HashMap<HandleNumber, u16> = HashMap::new();
            for (insert, pick) in steps {
                if insert || model.is_empty() {
                    let number = table.insert(Arc::new(pick)).expect("room");
                    prop_assert!(model.insert(number, pick).is_none());
                } else {
                    let nth = usize::from(pick) % model.len();
                    let number = *model.keys().nth(nth).expect("in range");
                    prop_assert_eq!(table.remove(number).map(|v| *v), model.remove(&number));
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let mut seen = HashMap::new();
            table.visit(|number, value| { seen.insert(number, *value); true });
            prop_assert_eq!(seen, model);
        }
    }
}
