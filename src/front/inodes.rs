//! Node numbers the kernel knows, and how often it looked each up.
//!
//! The kernel counts every entry it is sent (LOOKUP, MKNOD, MKDIR, SYMLINK, LINK, CREATE,
//! READDIRPLUS) and takes the count back with FORGET, which may come long after and says a
//! number, not a file. So:
//!
//! - An entry is counted **before** its reply is sent: the FORGET for it cannot come earlier.
//! - An entry that was counted and not sent after all is undone.
//! - A number may be used again for another file (same number, other reuse generation) while the
//!   kernel still holds the old one. It then keeps the two apart and will send a FORGET for each,
//!   both by the same number. One count for the number, the sum of both, is exact: the old file's
//!   FORGET takes away the old file's share and leaves the new one's. Requests by number mean the
//!   new file from then on: the kernel sends none for a file it knows to be replaced, and what is
//!   open goes by handle.
//! - The root is pinned; it is never counted and never forgotten.
//! - A node is never dropped under a lock of this table: the last drop of a file locks the FCB
//!   table, which comes before ours in the order.

use crate::base::ids::NodeNumber;
use crate::base::name::Name;
use crate::base::shrink::after_removal;
use crate::base::sync::{Rank, RwLock};
use crate::rdbss::objects::fcb::Fcb;
use crate::rdbss::operation::Node;
use std::collections::HashMap;
use std::collections::hash_map;
use std::mem;

const SHARDS: usize = 16;

/// One number the kernel knows.
struct Known<N> {
    node: N,
    lookups: u64,
}

/// A node as the kernel knows it: all that the front needs of one.
pub trait KernelNode: Clone + Send + Sync + 'static {
    /// The kernel's number for it.
    fn number(&self) -> NodeNumber;
    /// Its directory's number and its name there; `None` for the root and a removed name.
    fn place(&self) -> Option<(NodeNumber, Name)>;
}

impl KernelNode for Node {
    fn number(&self) -> NodeNumber {
        Fcb::number(self)
    }

    fn place(&self) -> Option<(NodeNumber, Name)> {
        self.parent().map(|(parent, name)| (parent.number(), name))
    }
}

/// The table.
pub struct Inodes<N: KernelNode = Node> {
    root: N,
    shards: [RwLock<HashMap<NodeNumber, Known<N>>>; SHARDS],
}

impl<N: KernelNode> Inodes<N> {
    /// A table that knows the root only.
    pub fn new(root: N) -> Self {
        let shards = std::array::from_fn(|_| RwLock::new(Rank::Inodes, HashMap::new()));
        Self { root, shards }
    }

    fn shard(&self, number: NodeNumber) -> &RwLock<HashMap<NodeNumber, Known<N>>> {
        // Numbers come in runs: mix them so that a directory's files spread.
        let mixed = number.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60;
        &self.shards[mixed as usize % SHARDS]
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> N {
        self.root.clone()
    }

    /// The file of a number; `None` if the kernel has no business knowing it.
    #[must_use]
    pub fn get(&self, number: NodeNumber) -> Option<N> {
        if number == NodeNumber::ROOT {
            return Some(self.root());
        }
        self.shard(number).read().get(&number).map(|known| known.node.clone())
    }

    /// Counts one lookup of a file that is about to be sent to the kernel.
    pub fn count(&self, node: &N) {
        let number = node.number();
        if number == NodeNumber::ROOT {
            return;
        }
        let node = node.clone();
        let replaced = match self.shard(number).write().entry(number) {
            hash_map::Entry::Vacant(place) => {
                place.insert(Known { node, lookups: 1 });
                None
            }
            hash_map::Entry::Occupied(mut place) => {
                let known = place.get_mut();
                known.lookups += 1;
                Some(mem::replace(&mut known.node, node))
            }
        };
        drop(replaced);
    }

    /// Takes lookups back: a FORGET, or an entry that was not sent after all. More than were
    /// counted are as many as were counted.
    pub fn forget(&self, number: NodeNumber, lookups: u64) {
        let mut shard = self.shard(number).write();
        let forgotten = match shard.get_mut(&number) {
            Some(known) if known.lookups > lookups => {
                known.lookups -= lookups;
                None
            }
            Some(_) => {
                let known = shard.remove(&number);
                after_removal(&mut shard);
                known
            }
            None => None,
        };
        drop(shard);
        drop(forgotten);
    }

    /// Numbers the kernel knows, without the root.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Is the root the only one?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every node the kernel knows, without the root. One shard is read at a time.
    #[must_use]
    pub fn snapshot(&self) -> Vec<N> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.read().values().map(|known| known.node.clone()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sync::assert_no_locks;
    use crate::base::threads;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// A file that knows how many of its kind live, and that it is not dropped under a lock.
    struct File {
        number: u64,
        generation: u64,
        living: Arc<AtomicI64>,
    }

    impl File {
        fn new(number: u64, generation: u64, living: &Arc<AtomicI64>) -> Arc<Self> {
            living.fetch_add(1, Ordering::SeqCst);
            Arc::new(Self { number, generation, living: living.clone() })
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            assert_no_locks("the drop of a node");
            self.living.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl KernelNode for Arc<File> {
        fn number(&self) -> NodeNumber {
            NodeNumber(self.number)
        }

        fn place(&self) -> Option<(NodeNumber, Name)> {
            None
        }
    }

    fn table(living: &Arc<AtomicI64>) -> Inodes<Arc<File>> {
        Inodes::new(File::new(1, 0, living))
    }

    #[test]
    fn the_root_is_never_forgotten() {
        let living = Arc::new(AtomicI64::new(0));
        let table = table(&living);
        table.count(&table.root());
        table.forget(NodeNumber::ROOT, 5);
        assert_eq!(table.get(NodeNumber::ROOT).map(|root| root.number), Some(1));
        assert!(table.is_empty());
    }

    /// The kernel holds file 7 twice, then number 7 is another file; the old file's FORGET must not
    /// free the new one.
    #[test]
    fn an_old_forget_leaves_the_new_file_of_a_reused_number() {
        let living = Arc::new(AtomicI64::new(0));
        let table = table(&living);
        let old = File::new(7, 1, &living);
        table.count(&old);
        table.count(&old);
        drop(old);
        table.count(&File::new(7, 2, &living));
        assert_eq!(living.load(Ordering::SeqCst), 2, "the old one is gone: the root and the new");
        table.forget(NodeNumber(7), 2);
        assert_eq!(table.get(NodeNumber(7)).map(|file| file.generation), Some(2));
        table.forget(NodeNumber(7), 1);
        assert!(table.get(NodeNumber(7)).is_none());
        assert_eq!(living.load(Ordering::SeqCst), 1);
    }

    proptest! {
        /// The table against a map of counts.
        #[test]
        fn counts_are_exact(steps in proptest::collection::vec((2_u64..6, 0_u64..4), 0..300)) {
            let living = Arc::new(AtomicI64::new(0));
            let table = table(&living);
            let mut model: HashMap<u64, u64> = HashMap::new();
            for (number, lookups) in steps {
                if lookups == 0 {
                    table.count(&File::new(number, 0, &living));
                    *model.entry(number).or_default() += 1;
                } else {
                    table.forget(NodeNumber(number), lookups);
                    let left = model.remove(&number).unwrap_or(0).saturating_sub(lookups);
                    if left > 0 { model.insert(number, left); }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(living.load(Ordering::SeqCst), 1 + model.len() as i64);
            }
        }
    }

    /// Many threads count and forget the same few numbers; in the end every count is back at zero
    /// and every file gone.
    #[test]
    fn a_storm_of_lookups_and_forgets_ends_at_zero() {
        let living = Arc::new(AtomicI64::new(0));
        let table = Arc::new(table(&living));
        let storm: Vec<_> = (0..4_u64)
            .map(|seed| {
                let (table, living) = (table.clone(), living.clone());
                let body = move || {
                    for round in 0..5_000_u64 {
                        let number = 2 + (round * 7 + seed) % 5;
                        let file = File::new(number, round % 2, &living);
                        table.count(&file);
                        table.count(&file);
                        drop(file);
                        assert!(table.get(NodeNumber(number)).is_some(), "we hold two lookups");
                        table.forget(NodeNumber(number), 1);
                        table.forget(NodeNumber(number), 1);
                    }
                };
                threads::spawn("t-storm", body).expect("room")
            })
            .collect();
        storm.into_iter().for_each(threads::Thread::join);
        assert!(table.is_empty());
        assert_eq!(living.load(Ordering::SeqCst), 1, "the root");
    }
}
