//! What a watcher has not taken yet: bounded, and never silent about what it lost. Pure.

use crate::mup::net_name::NetName;
use std::collections::VecDeque;

/// One thing a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<E> {
    /// The path's owner has been told; changes come from here on.
    Watching,
    /// Something happened.
    Changed {
        /// To this path: the one that is watched, or one right in it.
        path: NetName,
        /// What.
        change: E,
    },
    /// The path has another owner: what was known of it is to be read again.
    Resync,
    /// The watcher was too slow: so many changes were not kept, and all is to be read again.
    Overflow {
        /// How many.
        lost: u64,
    },
}

/// The queue of one watcher.
#[derive(Debug)]
pub struct WatchQueue<E> {
    waiting: VecDeque<Told<E>>,
    changes_max: usize,
}

impl<E> WatchQueue<E> {
    /// An empty one for so many changes.
    #[must_use]
    pub fn new(changes_max: usize) -> Self {
        Self { waiting: VecDeque::new(), changes_max }
    }

    /// A change; over the bound all that wait become one overflow.
    pub fn changed(&mut self, path: NetName, change: E) {
        if let Some(Told::Overflow { lost }) = self.waiting.back_mut() {
            *lost += 1;
        } else if self.waiting.len() < self.changes_max {
            self.waiting.push_back(Told::Changed { path, change });
        } else {
            let mut lost = 1;
            self.waiting.retain(|told| match told {
                Told::Changed { .. } => {
                    lost += 1;
                    false
                }
                Told::Overflow { lost: before } => {
                    lost += before;
                    false
                }
                Told::Watching | Told::Resync => true,
            });
            self.waiting.push_back(Told::Overflow { lost });
        }
    }

    /// The owner has been told of the watch.
    pub fn watching(&mut self) {
        self.waiting.push_back(Told::Watching);
    }

    /// The owner is another. Two in a row are one.
    pub fn resync(&mut self) {
        if !matches!(self.waiting.back(), Some(Told::Resync)) {
            self.waiting.retain(|told| !matches!(told, Told::Resync));
            self.waiting.push_back(Told::Resync);
        }
    }

    /// The next.
    pub fn take(&mut self) -> Option<Told<E>> {
        self.waiting.pop_front()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Does nothing wait?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> NetName {
        NetName::parse(b"/srv1/docs").expect("a good name")
    }

    fn all(queue: &mut WatchQueue<u32>) -> Vec<Told<u32>> {
        std::iter::from_fn(|| queue.take()).collect()
    }

    #[test]
    fn too_many_changes_become_one_overflow_that_counts_them() {
        let mut queue = WatchQueue::new(3);
        queue.watching();
        for change in 0..2 {
            queue.changed(path(), change);
        }
        assert_eq!(queue.len(), 3);
        for change in 2..10 {
            queue.changed(path(), change);
            assert_eq!(queue.len(), 2, "bounded");
        }
        assert_eq!(all(&mut queue), [Told::Watching, Told::Overflow { lost: 10 }]);
        queue.changed(path(), 10);
        assert_eq!(all(&mut queue), [Told::Changed { path: path(), change: 10 }]);
    }

    #[test]
    fn a_resync_survives_an_overflow_and_is_told_once() {
        let mut queue = WatchQueue::new(3);
        queue.changed(path(), 0);
        queue.resync();
        queue.resync();
        assert_eq!(queue.len(), 2);
        for change in 1..6 {
            queue.changed(path(), change);
        }
        queue.resync();
        // The last of them says it all: read again from here.
        assert_eq!(all(&mut queue), [Told::Overflow { lost: 6 }, Told::Resync]);
        assert!(queue.is_empty());
    }
}
