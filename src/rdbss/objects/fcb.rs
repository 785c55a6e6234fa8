//! FCB: a file, however often opened, for as long as the kernel or a handle knows it.

use crate::base::ids::{Generation, NodeNumber};
use crate::base::name::Name;
use crate::base::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::base::sync::{Mutex, Rank};
use crate::mrx::request::{Extension, FileIdentity, FileRef};
use crate::rdbss::objects::fcb_table::FcbTable;
use crate::rdbss::objects::v_net_root::VNetRoot;
use std::fmt;
use std::sync::{Arc, Weak};

/// An FCB's tie to one generation: the view it was found through, and that mini-redirector's half.
pub struct Binding {
    /// The view.
    pub view: Arc<VNetRoot>,
    /// The file's identity as this mini-redirector says it.
    pub identity: FileIdentity,
    /// The mini-redirector's half of the FCB.
    pub extension: Extension,
}

impl Binding {
    /// The generation it belongs to.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.view.instance().generation
    }

    /// The file as a calldown takes it.
    #[must_use]
    pub fn file(&self) -> FileRef<'_> {
        FileRef { identity: self.identity, extension: &self.extension }
    }
}

/// Where a file is, as last seen. A hard link has several places; this is the latest.
#[derive(Clone, Default)]
pub(in crate::rdbss) struct Place {
    /// Its directory and its name there; `None` for the root.
    pub at: Option<(Arc<Fcb>, Name)>,
    /// The name was removed, as far as we know.
    pub removed: bool,
}

/// A file.
pub struct Fcb {
    number: NodeNumber,
    root: bool,
    identity: FileIdentity,
    table: Weak<FcbTable>,
    place: Mutex<Place>,
    binding: Mutex<Arc<Binding>>,
    opens: AtomicU32,
    leased: AtomicBool,
}

impl Fcb {
    /// A new FCB; only the table makes one.
    pub(in crate::rdbss) fn new(
        number: NodeNumber,
        binding: Arc<Binding>,
        parent: Option<(Arc<Self>, Name)>,
        table: Weak<FcbTable>,
    ) -> Self {
        Self {
            number,
            root: parent.is_none(),
            identity: binding.identity,
            table,
            place: Mutex::new(Rank::Fcb, Place { at: parent, removed: false }),
            binding: Mutex::new(Rank::Fcb, binding),
            opens: AtomicU32::new(0),
            leased: AtomicBool::new(false),
        }
    }

    /// The kernel's number for it: `st_ino`, FUSE's nodeid.
    #[must_use]
    pub fn number(&self) -> NodeNumber {
        self.number
    }

    /// Tells it apart from an earlier file of the same number: FUSE's entry generation.
    #[must_use]
    pub fn reuse_generation(&self) -> u64 {
        self.identity.generation
    }

    /// Which file it is.
    #[must_use]
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Is it the root of its device's share? That of a mount's only device is the mount's.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.root
    }

    /// The latest binding, of whatever generation.
    pub(in crate::rdbss) fn binding(&self) -> Arc<Binding> {
        self.binding.lock().clone()
    }

    /// Ties it to a newer generation. An older or equal one than it has is ignored: two requests
    /// may bind the same file at once. The root, which only starts bind, may be tied to another
    /// view of the same generation: a start that failed after it had bound it counts for none.
    pub(in crate::rdbss) fn bind(&self, fresh: Arc<Binding>) -> Arc<Binding> {
        let mut binding = self.binding.lock();
        let newer = fresh.generation() > binding.generation();
        let again = self.root && fresh.generation() == binding.generation();
        let replaced =
            if newer || again { Some(std::mem::replace(&mut *binding, fresh)) } else { None };
        let current = binding.clone();
        drop(binding);
        // The old binding may be the last child of its view: finalise it outside the lock.
        drop(replaced);
        current
    }

    /// Where it is: its directory and name there. `None` for the root and a removed name.
    #[must_use]
    pub fn parent(&self) -> Option<(Arc<Self>, Name)> {
        let place = self.place.lock();
        if place.removed { None } else { place.at.clone() }
    }

    /// Did the server say, when it was asked last, that it tells what others change here
    /// (`Attributes::leased`)? Of a directory: then it will say when a name appears in it.
    pub(in crate::rdbss) fn is_leased(&self) -> bool {
        self.leased.load(Ordering::Relaxed)
    }

    /// What the server says of that now.
    pub(in crate::rdbss) fn set_leased(&self, leased: bool) {
        self.leased.store(leased, Ordering::Relaxed);
    }

    /// Is its last known name this one?
    pub(in crate::rdbss) fn is_at(&self, parent: &Self, name: &Name) -> bool {
        let place = self.place.lock();
        !place.removed
            && place
                .at
                .as_ref()
                .is_some_and(|(at, called)| std::ptr::eq(&raw const **at, parent) && called == name)
    }

    /// It was seen, made or moved here; returns where it was. Through the table only, which keeps
    /// an index of names.
    pub(in crate::rdbss) fn set_place(&self, parent: &Arc<Self>, name: &Name) -> Place {
        let fresh = Place { at: Some((parent.clone(), name.clone())), removed: false };
        std::mem::replace(&mut *self.place.lock(), fresh)
    }

    /// Has it a name, as far as we know? The root needs none.
    pub(in crate::rdbss) fn has_name(&self) -> bool {
        !self.place.lock().removed
    }

    /// Its last known name was removed.
    pub(in crate::rdbss) fn mark_removed(&self) {
        self.place.lock().removed = true;
    }

    /// Its path below the root, without a leading slash; empty for the root. A removed file's ends
    /// in
    /// ` (deleted)`, as in `/proc`.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let Place { at: mut next, removed } = self.place.lock().clone();
        let mut names: Vec<Name> = Vec::new();
        while let Some((parent, name)) = next {
            names.push(name);
            next = parent.place.lock().at.clone();
            if names.len() > PATH_DEPTH_MAX {
                break;
            }
        }
        let table = self.table.upgrade();
        let mut path = table.map(|table| table.shown_at().to_vec()).unwrap_or_default();
        for name in names.iter().rev() {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
        }
        if removed {
            path.extend_from_slice(b" (deleted)");
        }
        path
    }

    /// SRV_OPENs on it now (UncleanCount and OpenCount in one: RELEASE is cleanup and close).
    #[must_use]
    pub fn opens(&self) -> u32 {
        self.opens.load(Ordering::Relaxed)
    }

    pub(in crate::rdbss) fn opened(&self) {
        self.opens.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::rdbss) fn closed(&self) {
        self.opens.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A directory moved beneath itself behind our back could make a loop of remembered places.
const PATH_DEPTH_MAX: usize = 4096;

impl Drop for Fcb {
    fn drop(&mut self) {
        let place = std::mem::take(&mut *self.place.lock());
        if let Some(table) = self.table.upgrade() {
            table.remove_dead(self.number, place.at.as_ref());
        }
        // A deep chain of directories must not be dropped recursively: the stack is finite.
        let mut next = place.at;
        while let Some((parent, _name)) = next {
            next = match Arc::into_inner(parent) {
                Some(last) => last.unhook(),
                None => None,
            };
        }
    }
}

impl Fcb {
    /// Takes a dying directory's own parent away from it, after its names have left the table.
    fn unhook(self) -> Option<(Arc<Self>, Name)> {
        let place = std::mem::take(&mut *self.place.lock());
        if let Some(table) = self.table.upgrade() {
            table.remove_dead(self.number, place.at.as_ref());
        }
        place.at
    }
}

impl fmt::Debug for Fcb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Fcb({})", self.number)
    }
}
