//! Which names lead where: every directory's entries, in one table under one lock.
//!
//! Plain data; the server locks it (rank `Redirector`). One lock for all names makes a rename over
//! several directories one step, and keeps loops out of the tree. It is never held while content is
//! copied.
//!
//! An entry's *cookie* is its place in listings. It is given in rising order when a name appears
//! and belongs to the name until that vanishes: a file moved over another takes the other's place,
//! and a file renamed inside its directory keeps its own, so a listing under way sees a name that
//! was there all the time once, and never runs after its own renames.

use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::request::{Change, ChangeKind};
use crate::redirectors::memory::node::{Node, Place};
use crate::redirectors::memory::watch::{Watch, Woken};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Weak};

/// All directories that have a name, by number. One that was removed is not here: nothing can be
/// found or made in it, however long somebody keeps it open.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    directories: HashMap<u64, Directory>,
}

/// One name of a directory.
#[derive(Debug)]
pub(super) struct Entry {
    /// The name; the directory's index has it too.
    pub(super) name: Arc<Name>,
    /// The file it leads to.
    pub(super) node: Arc<Node>,
}

/// One directory's entries.
#[derive(Debug)]
pub(super) struct Directory {
    /// Itself in the table above; the root's is its own.
    parent: u64,
    by_name: HashMap<Arc<Name>, u64>,
    by_cookie: BTreeMap<u64, Entry>,
    last_cookie: u64,
    watches: Vec<Weak<Watch>>,
}

impl Namespace {
    /// Adds an empty directory.
    pub(super) fn add_directory(&mut self, number: u64, parent: u64) {
        let directory = Directory {
            parent,
            by_name: HashMap::new(),
            by_cookie: BTreeMap::new(),
            last_cookie: 0,
            watches: Vec::new(),
        };
        self.directories.insert(number, directory);
    }

    /// Takes a removed directory out of the tree; who watches it is told.
    pub(super) fn remove_directory(&mut self, number: u64, woken: &mut Woken) {
        if let Some(mut directory) = self.directories.remove(&number) {
            directory.record(None, ChangeKind::Removed, woken);
        }
    }

    /// A directory to look into.
    ///
    /// # Errors
    /// ENOTDIR; ENOENT when it was removed.
    pub(super) fn directory(&self, node: &Node) -> Result<&Directory, Status> {
        expect_directory(node)?;
        self.directories.get(&node.number()).ok_or(Status::ObjectNameNotFound)
    }

    /// A directory to change.
    ///
    /// # Errors
    /// As [`Namespace::directory`].
    pub(super) fn directory_mut(&mut self, node: &Node) -> Result<&mut Directory, Status> {
        expect_directory(node)?;
        self.directories.get_mut(&node.number()).ok_or(Status::ObjectNameNotFound)
    }

    /// Is this directory `ancestor`, or somewhere beneath it?
    pub(super) fn is_within(&self, directory: u64, ancestor: u64) -> bool {
        let mut at = directory;
        loop {
            if at == ancestor {
                return true;
            }
            match self.directories.get(&at) {
                Some(directory) if directory.parent != at => at = directory.parent,
                _ => return false,
            }
        }
    }

    /// A directory has moved: it is not what who watches it asked for by path.
    pub(super) fn set_parent(&mut self, number: u64, parent: u64, woken: &mut Woken) {
        if let Some(directory) = self.directories.get_mut(&number) {
            directory.parent = parent;
            directory.record(None, ChangeKind::Removed, woken);
        }
    }

    /// Tells whoever watches the directories a file has names in.
    pub(super) fn record_at(&self, places: &[Place], kind: ChangeKind, woken: &mut Woken) {
        for place in places {
            if let Some(directory) = self.directories.get(&place.directory)
                && let Some(entry) = directory.by_cookie.get(&place.cookie)
            {
                directory.tell(Some(&entry.name), kind, woken);
            }
        }
    }

    /// Tells whoever watches this directory of a change of itself.
    pub(super) fn record_self(&self, number: u64, kind: ChangeKind, woken: &mut Woken) {
        if let Some(directory) = self.directories.get(&number) {
            directory.tell(None, kind, woken);
        }
    }
}

fn expect_directory(node: &Node) -> Result<(), Status> {
    if node.is_directory() { Ok(()) } else { Err(Errno::ENOTDIR.into()) }
}

impl Directory {
    /// The entry of a name, with its cookie.
    pub(super) fn find(&self, name: &Name) -> Option<(u64, &Arc<Node>)> {
        let cookie = *self.by_name.get(name)?;
        self.by_cookie.get(&cookie).map(|entry| (cookie, &entry.node))
    }

    /// Has it no entries?
    pub(super) fn is_empty(&self) -> bool {
        self.by_cookie.is_empty()
    }

    /// The cookie given last.
    pub(super) const fn last_cookie(&self) -> u64 {
        self.last_cookie
    }

    /// Entries with cookies over `after`, up to and with `last`.
    pub(super) fn entries(&self, after: u64, last: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let entries = self.by_cookie.range((Bound::Excluded(after), Bound::Unbounded));
        entries
            .map(|(&cookie, entry)| (cookie, entry))
            .take_while(move |&(cookie, _)| cookie <= last)
    }

    /// Adds a name that is not there. Returns its cookie.
    pub(super) fn add(&mut self, name: &Name, node: Arc<Node>) -> u64 {
        self.last_cookie += 1;
        let name = Arc::new(name.clone());
        self.by_name.insert(Arc::clone(&name), self.last_cookie);
        self.by_cookie.insert(self.last_cookie, Entry { name, node });
        self.last_cookie
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, cookie: u64) {
        if let Some(entry) = self.by_cookie.remove(&cookie) {
            self.by_name.remove(&entry.name);
        }
    }

    /// Makes a name lead to another file, in the same place of the listing.
    pub(super) fn replace(&mut self, cookie: u64, node: Arc<Node>) {
        if let Some(entry) = self.by_cookie.get_mut(&cookie) {
            entry.node = node;
        }
    }

    /// Gives an entry a name that is not there, in the same place of the listing.
    pub(super) fn rename(&mut self, cookie: u64, name: &Name) {
        if let Some(entry) = self.by_cookie.get_mut(&cookie) {
            let name = Arc::new(name.clone());
            self.by_name.remove(&entry.name);
            self.by_name.insert(Arc::clone(&name), cookie);
            entry.name = name;
        }
    }

    /// Adds one who wants to know of changes.
    pub(super) fn watch(&mut self, watch: &Arc<Watch>) {
        self.watches.retain(|watch| watch.strong_count() > 0);
        self.watches.push(Arc::downgrade(watch));
    }

    /// Tells whoever watches, and forgets who does no more.
    pub(super) fn record(&mut self, name: Option<&Name>, kind: ChangeKind, woken: &mut Woken) {
        if !self.watches.is_empty() {
            self.watches.retain(|watch| watch.strong_count() > 0);
            self.tell(name, kind, woken);
        }
    }

    fn tell(&self, name: Option<&Name>, kind: ChangeKind, woken: &mut Woken) {
        for watch in self.watches.iter().filter_map(Weak::upgrade) {
            watch.record(Change { name: name.cloned(), kind });
            woken.add(watch);
        }
    }
}
