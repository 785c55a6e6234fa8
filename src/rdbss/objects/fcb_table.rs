//! The FCBs of a share by number: find or make, without racing the last drop.
//!
//! The table holds weak references; a dying FCB removes its own entry, and only if no newer FCB has
//! taken its place. Sharded: lookups of different files do not meet.

use crate::base::ids::NodeNumber;
use crate::base::name::Name;
use crate::base::sync::{Rank, RwLock};
use crate::mrx::request::Found;
use crate::rdbss::objects::fcb::{Binding, Fcb};
use crate::rdbss::objects::v_net_root::VNetRoot;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

const SHARDS: usize = 16;

type Shard = RwLock<HashMap<NodeNumber, Weak<Fcb>>>;

/// The files of a share.
pub struct FcbTable {
    this: Weak<Self>,
    shards: [Shard; SHARDS],
}

impl FcbTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            shards: std::array::from_fn(|_| RwLock::new(Rank::FcbTable, HashMap::new())),
        })
    }

    fn shard(&self, number: NodeNumber) -> &Shard {
        // Inode numbers come in runs: mix them so that a directory's files spread.
        let mixed = number.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60;
        &self.shards[mixed as usize % SHARDS]
    }

    /// FCBs alive.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The FCB of a file a mini-redirector found: the one there is, bound to this view, or a new one.
    /// `parent` is `None` for the root only.
    pub(in crate::rdbss) fn find_or_make(
        &self,
        view: &Arc<VNetRoot>,
        found: &Found,
        parent: Option<(&Arc<Fcb>, &Name)>,
    ) -> Arc<Fcb> {
        let number = match parent {
            None => NodeNumber::ROOT,
            Some(_) => NodeNumber(found.identity.number),
        };
        let fcb = match self.find(number, found) {
            Some(fcb) => fcb,
            None => self.make(number, view, found, parent),
        };
        if fcb.binding().generation() < view.instance().generation {
            fcb.bind(Arc::new(Self::binding(view, found)));
        }
        if let Some((parent, name)) = parent {
            fcb.set_place(parent, name);
        }
        fcb
    }

    fn binding(view: &Arc<VNetRoot>, found: &Found) -> Binding {
        Binding { view: view.clone(), identity: found.identity, extension: found.extension.clone() }
    }

    fn same_file(fcb: &Fcb, number: NodeNumber, found: &Found) -> bool {
        // The root stays the root, whatever directory a new generation serves as it.
        number == NodeNumber::ROOT || fcb.identity() == found.identity
    }

    fn find(&self, number: NodeNumber, found: &Found) -> Option<Arc<Fcb>> {
        let fcb = self.shard(number).read().get(&number)?.upgrade()?;
        Self::same_file(&fcb, number, found).then_some(fcb)
    }

    fn make(
        &self,
        number: NodeNumber,
        view: &Arc<VNetRoot>,
        found: &Found,
        parent: Option<(&Arc<Fcb>, &Name)>,
    ) -> Arc<Fcb> {
        let parent = parent.map(|(parent, name)| (parent.clone(), name.clone()));
        let binding = Arc::new(Self::binding(view, found));
        let fresh = Arc::new(Fcb::new(number, binding, parent, self.this.clone()));
        let existing = {
            let mut shard = self.shard(number).write();
            // Between the shared and the exclusive lock another may have made it (rdbss.md 7.1, 9).
            let existing = shard.get(&number).and_then(Weak::upgrade);
            match existing {
                Some(fcb) if Self::same_file(&fcb, number, found) => Some(fcb),
                other => {
                    shard.insert(number, Arc::downgrade(&fresh));
                    // A reused number: the old FCB lives on for those who hold it, off the table.
                    // It is dropped after the lock, because its end takes the lock again.
                    drop(shard);
                    drop(other);
                    None
                }
            }
        };
        existing.unwrap_or(fresh)
    }

    /// A dying FCB takes its entry out, unless a newer one took the number.
    pub(in crate::rdbss) fn remove_dead(&self, number: NodeNumber) {
        let mut shard = self.shard(number).write();
        if shard.get(&number).is_some_and(|entry| entry.strong_count() == 0) {
            shard.remove(&number);
        }
    }

    /// Every FCB alive, for invalidation and reports. One shard is read at a time.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Arc<Fcb>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.read().values().filter_map(Weak::upgrade));
        }
        all
    }
}
