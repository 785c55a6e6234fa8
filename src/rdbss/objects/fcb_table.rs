//! The FCBs of a share by number: find or make, without racing the last drop.
//!
//! The table holds weak references; a dying FCB removes its own entry, and only if no newer FCB has
//! taken its place. Sharded: lookups of different files do not meet.

use crate::base::ids::NodeNumber;
use crate::base::name::Name;
use crate::base::shrink::room_to_keep;
use crate::base::sync::{Rank, RwLock};
use crate::mrx::request::Found;
use crate::rdbss::objects::fcb::{Binding, Fcb};
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::objects::v_net_root::VNetRoot;
use hashbrown::{Equivalent, HashMap};
use std::hash::{Hash, RandomState};
use std::sync::{Arc, Weak};

const SHARDS: usize = 16;

type Shard = RwLock<Table<NodeNumber>>;
type Table<K> = HashMap<K, Weak<Fcb>, RandomState>;
/// Last known names, so that a rename or removal finds the file it moves without asking the server.
type Names = RwLock<Table<(NodeNumber, Name)>>;

/// A name that is looked for: a key of [`Names`] without a copy of the name.
#[derive(Hash)]
struct Sought<'a>(NodeNumber, &'a Name);

impl Equivalent<(NodeNumber, Name)> for Sought<'_> {
    fn equivalent(&self, key: &(NodeNumber, Name)) -> bool {
        self.0 == key.0 && *self.1 == key.1
    }
}

/// The files of a share.
pub struct FcbTable {
    this: Weak<Self>,
    tag: Tag,
    /// What every path begins with.
    shown_at: Vec<u8>,
    shards: [Shard; SHARDS],
    names: [Names; SHARDS],
}

impl FcbTable {
    /// An empty table, whose files' numbers have this tag, and whose paths begin with `shown_at`.
    #[must_use]
    pub fn new(tag: Tag, shown_at: Vec<u8>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            tag,
            shown_at,
            shards: std::array::from_fn(|_| RwLock::new(Rank::FcbTable, Table::default())),
            names: std::array::from_fn(|_| RwLock::new(Rank::FcbTable, Table::default())),
        })
    }

    /// Where the mount shows the share: without a leading slash, empty for all of it.
    #[must_use]
    pub fn shown_at(&self) -> &[u8] {
        &self.shown_at
    }

    fn shard(&self, number: NodeNumber) -> &Shard {
        // Inode numbers come in runs: mix them so that a directory's files spread.
        let mixed = number.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60;
        &self.shards[mixed as usize % SHARDS]
    }

    fn names(&self, parent: NodeNumber, name: &Name) -> &Names {
        let mut mixed = parent.0;
        for byte in name.as_bytes() {
            mixed = (mixed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        &self.names[(mixed >> 32) as usize % SHARDS]
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

    /// The FCB of a file a mini-redirector found: the one there is, bound to this view, or a new
    /// one.
    /// `parent` is `None` for the root only.
    pub(in crate::rdbss) fn find_or_make(
        &self,
        view: &Arc<VNetRoot>,
        found: &Found,
        parent: Option<(&Arc<Fcb>, &Name)>,
    ) -> Arc<Fcb> {
        let number = match parent {
            None => self.tag.root(),
            Some(_) => self.tag.node(found.identity.number),
        };
        let fcb = match self.find(number, found) {
            Some(fcb) => fcb,
            None => self.make(number, view, found, parent),
        };
        fcb.set_leased(found.attributes.leased);
        let binding = fcb.binding();
        let older = binding.generation() < view.instance().generation;
        if older || (parent.is_none() && !Arc::ptr_eq(&binding.view, view)) {
            fcb.bind(Arc::new(Self::binding(view, found)));
        }
        if let Some((parent, name)) = parent {
            self.place(&fcb, parent, name);
        }
        fcb
    }

    fn binding(view: &Arc<VNetRoot>, found: &Found) -> Binding {
        Binding { view: view.clone(), identity: found.identity, extension: found.extension.clone() }
    }

    /// The FCB of a file a mini-redirector names.
    pub(in crate::rdbss) fn find_identity(
        &self,
        identity: crate::mrx::request::FileIdentity,
    ) -> Option<Arc<Fcb>> {
        let known = |number: NodeNumber| self.shard(number).read().get(&number)?.upgrade();
        let number = self.tag.node(identity.number);
        if let Some(fcb) = known(number).filter(|fcb| fcb.identity() == identity) {
            return Some(fcb);
        }
        // The root is told by a number of its own, and is whatever it is tied to now.
        known(self.tag.root()).filter(|root| root.binding().identity == identity)
    }

    fn same_file(fcb: &Fcb, found: &Found) -> bool {
        // The root stays the root, whatever directory a new generation serves as it.
        fcb.is_root() || fcb.identity() == found.identity
    }

    fn find(&self, number: NodeNumber, found: &Found) -> Option<Arc<Fcb>> {
        let fcb = self.shard(number).read().get(&number)?.upgrade()?;
        Self::same_file(&fcb, found).then_some(fcb)
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
                Some(fcb) if Self::same_file(&fcb, found) => Some(fcb),
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

    /// A file was seen, made or moved here.
    pub(in crate::rdbss) fn place(&self, fcb: &Arc<Fcb>, parent: &Arc<Fcb>, name: &Name) {
        if fcb.is_root() || Arc::ptr_eq(fcb, parent) {
            return;
        }
        if !fcb.is_at(parent, name) {
            let old = fcb.set_place(parent, name);
            if let Some((above, called)) = &old.at {
                self.forget_name(above.number(), called, fcb.number());
            }
            // May hold the last reference to the old directory: it goes with no lock held.
            drop(old);
        } else if self.named(parent.number(), name).is_some() {
            return;
        }
        let key = (parent.number(), name.clone());
        let replaced = self.names(key.0, name).write().insert(key, Arc::downgrade(fcb));
        drop(replaced);
    }

    /// The file last known under a name.
    pub(in crate::rdbss) fn named(&self, parent: NodeNumber, name: &Name) -> Option<Arc<Fcb>> {
        self.names(parent, name).read().get(&Sought(parent, name)).and_then(Weak::upgrade)
    }

    /// The files last known in a directory. Looks at every name of the share.
    pub(in crate::rdbss) fn in_directory(&self, parent: NodeNumber) -> Vec<Arc<Fcb>> {
        let mut found = Vec::new();
        for names in &self.names {
            let names = names.read();
            let of_it = names.iter().filter(|((directory, _), _)| *directory == parent);
            found.extend(of_it.filter_map(|(_, file)| file.upgrade()));
        }
        found
    }

    /// Takes a name out of the index, if it still leads to that file or to none.
    fn forget_name(&self, parent: NodeNumber, name: &Name, file: NodeNumber) {
        let key = Sought(parent, name);
        let other = {
            let mut names = self.names(parent, name).write();
            let leads_to = names.get(&key).and_then(Weak::upgrade);
            match leads_to {
                Some(other) if other.number() != file => Some(other),
                this => {
                    take_out(&mut names, &key);
                    this
                }
            }
        };
        // If that was the last reference, the file ends here, with no lock held.
        drop(other);
    }

    /// A name was removed.
    pub(in crate::rdbss) fn removed(&self, parent: &Fcb, name: &Name) {
        let Some(file) = self.named(parent.number(), name) else { return };
        self.forget_name(parent.number(), name, file.number());
        if file.is_at(parent, name) {
            file.mark_removed();
        }
    }

    /// A name was moved: what is known to be there moves too, and what was replaced is removed.
    pub(in crate::rdbss) fn renamed(
        &self,
        from: (&Arc<Fcb>, &Name),
        to: (&Arc<Fcb>, &Name),
        exchanged: bool,
    ) {
        let moved = self.named(from.0.number(), from.1);
        let other = self.named(to.0.number(), to.1);
        let same = match (&moved, &other) {
            (Some(moved), Some(other)) => Arc::ptr_eq(moved, other),
            _ => false,
        };
        if same {
            return;
        }
        if exchanged {
            if let Some(other) = &other {
                self.place(other, from.0, from.1);
            }
        } else {
            self.removed(to.0, to.1);
        }
        match moved {
            Some(moved) => self.place(&moved, to.0, to.1),
            None => self.removed(from.0, from.1),
        }
    }

    /// A dying FCB takes its entries out, unless newer ones took their places.
    pub(in crate::rdbss) fn remove_dead(
        &self,
        number: NodeNumber,
        place: Option<&(Arc<Fcb>, Name)>,
    ) {
        {
            let mut shard = self.shard(number).write();
            if shard.get(&number).is_some_and(|entry| entry.strong_count() == 0) {
                take_out(&mut shard, &number);
            }
        }
        if let Some((parent, name)) = place {
            let key = Sought(parent.number(), name);
            let mut names = self.names(key.0, name).write();
            if names.get(&key).is_some_and(|entry| entry.strong_count() == 0) {
                take_out(&mut names, &key);
            }
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

/// Takes an entry out, and gives room back when the table is mostly empty.
fn take_out<K: Eq + Hash>(table: &mut Table<K>, key: &(impl Hash + Equivalent<K>)) {
    table.remove(key);
    if let Some(room) = room_to_keep(table.len(), table.capacity()) {
        table.shrink_to(room);
    }
}
