//! When a table that once was large gives its room back; pure.
//!
//! A hash table never gives room back by itself: one that held a million files would keep the room
//! of a million. Called after every removal, this costs nothing until seven of eight places are
//! empty, and then moves no more entries than were removed since the table was last that full.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// No table gives back less than this many places.
const ENTRIES_MIN: usize = 1024;

/// How many entries a table of `length` entries should keep room for; none: as it is.
#[must_use]
pub const fn room_to_keep(length: usize, capacity: usize) -> Option<usize> {
    let mostly_empty = capacity >= ENTRIES_MIN && length < capacity / 8;
    if mostly_empty { Some(2 * length) } else { None }
}

/// Gives back what room a table has too much of, after a removal.
pub fn after_removal<Key: Eq + Hash, Value, State: BuildHasher>(
    table: &mut HashMap<Key, Value, State>,
) {
    if let Some(room) = room_to_keep(table.len(), table.capacity()) {
        table.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_and_mostly_empty_tables_shrink() {
        assert_eq!(room_to_keep(0, 1000), None);
        assert_eq!(room_to_keep(0, 1024), Some(0));
        assert_eq!(room_to_keep(127, 1024), Some(254));
        assert_eq!(room_to_keep(128, 1024), None);
    }

    /// Shrunk, a table has room to grow to twice its entries: coming and going at the edge does not
    /// shrink it each time.
    #[test]
    fn a_table_that_empties_gives_back_its_room_in_few_steps() {
        let mut table: HashMap<u32, u32> = (0..100_000).map(|number| (number, number)).collect();
        let full = table.capacity();
        let mut steps = 0;
        for number in 0..100_000 {
            table.remove(&number);
            let before = table.capacity();
            after_removal(&mut table);
            steps += usize::from(table.capacity() < before);
        }
        assert!(table.capacity() < 1024 && full > 100_000);
        assert!((1..10).contains(&steps), "{steps}");
    }
}
