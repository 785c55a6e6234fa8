//! One file of any kind: what it is, who owns it, and what is in it.
//!
//! A node lives as long as a name or an open leads to it, which is all there is to
//! unlinked-but-open files: their room is given back when the last [`Arc`] goes. Its state has a
//! lock of its own, of rank `RedirectorInner`: no two are held together, and none while taking the
//! namespace's.

use crate::base::status::{Errno, Status};
use crate::base::sync::{Rank, RwLock};
use crate::mrx::request::{
    Attributes, FileIdentity, FileKind, Found, Ownership, SetAttributes, SetTime, Timestamp,
};
use crate::redirectors::memory::acl::Acl;
use crate::redirectors::memory::pages::{FILE_BYTES_MAX, PAGE_BYTES, Pages};
use crate::redirectors::memory::space::Space;
use crate::redirectors::memory::xattrs::ExtendedAttributes;
use std::collections::BTreeSet;
use std::sync::Arc;

/// `st_blocks` counts in these.
const BLOCK_BYTES: u64 = 512;
/// What every directory shows as its size: its entries are not in pages.
const DIRECTORY_BYTES: u64 = 4096;

const SET_USER_ID: u16 = 0o4000;
const SET_GROUP_ID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o0010;

/// What a node is, for good.
#[derive(Debug)]
pub(super) enum Body {
    /// A file with content.
    Regular,
    /// A directory; its entries are in the namespace.
    Directory,
    /// A symbolic link and its target.
    Symlink(Box<[u8]>),
    /// A pipe, socket or device, and the device's number.
    Special(FileKind, u32),
}

impl Body {
    const fn kind(&self) -> FileKind {
        match self {
            Self::Regular => FileKind::Regular,
            Self::Directory => FileKind::Directory,
            Self::Symlink(_) => FileKind::Symlink,
            Self::Special(kind, _) => *kind,
        }
    }
}

/// Where a name is: which directory's entry with which cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The directory's number.
    pub(super) directory: u64,
    /// The entry's cookie in it.
    pub(super) cookie: u64,
}

/// All places of a node; nearly always one, so one costs no allocation.
#[derive(Debug)]
pub(super) enum Places {
    /// Unlinked, or the root.
    None,
    /// The one name.
    One(Place),
    /// Hard links.
    Many(BTreeSet<Place>),
}

impl Places {
    /// Adds one.
    pub(super) fn add(&mut self, place: Place) {
        match self {
            Self::None => *self = Self::One(place),
            Self::One(first) => *self = Self::Many(BTreeSet::from([*first, place])),
            Self::Many(places) => drop(places.insert(place)),
        }
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, place: Place) {
        match self {
            Self::One(only) if *only == place => *self = Self::None,
            Self::Many(places) => drop(places.remove(&place)),
            Self::None | Self::One(_) => {}
        }
    }

    /// A copy to work on without the node's lock.
    pub(super) fn to_vec(&self) -> Vec<Place> {
        match self {
            Self::None => Vec::new(),
            Self::One(place) => vec![*place],
            Self::Many(places) => places.iter().copied().collect(),
        }
    }
}

/// What can change about a node.
#[derive(Debug)]
pub(super) struct State {
    pub(super) permissions: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) accessed: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) changed: Timestamp,
    created: Timestamp,
    /// Written only with the namespace locked.
    pub(super) places: Places,
    pub(super) xattrs: ExtendedAttributes,
    pub(super) pages: Pages,
}

impl State {
    /// Content changed: POSIX marks the modification and the status change.
    pub(super) const fn content_changed(&mut self, now: Timestamp) {
        self.modified = now;
        self.changed = now;
    }

    /// Clears the set-id bits and the file's capabilities; set-group-id without group execution
    /// means mandatory locking and stays. Returns bytes of room freed.
    fn kill_privileges(&mut self) -> u64 {
        self.permissions &= !SET_USER_ID;
        if self.permissions & GROUP_EXECUTE != 0 {
            self.permissions &= !SET_GROUP_ID;
        }
        self.xattrs.remove_capability()
    }
}

/// A file. See the module's description.
#[derive(Debug)]
pub(super) struct Node {
    number: u64,
    body: Body,
    pub(super) space: Arc<Space>,
    pub(super) state: RwLock<State>,
}

impl Node {
    /// A node without a name, taking room for one file (and a symlink's target).
    ///
    /// # Errors
    /// ENOSPC when the server is full; ENAMETOOLONG for a symlink's target over 4095 bytes.
    pub(super) fn new(
        space: Arc<Space>,
        number: u64,
        body: Body,
        owner: Ownership,
        now: Timestamp,
    ) -> Result<Self, Status> {
        if let Body::Symlink(target) = &body {
            if target.len() > super::SYMLINK_BYTES_MAX {
                return Err(Status::NameTooLong);
            }
            space.take_bytes(target.len() as u64)?;
        }
        if let Err(full) = space.take_file() {
            if let Body::Symlink(target) = &body {
                space.give_bytes(target.len() as u64);
            }
            return Err(full);
        }
        let state = State {
            permissions: owner.permissions & 0o7777,
            uid: owner.uid,
            gid: owner.gid,
            links: if matches!(body, Body::Directory) { 2 } else { 1 },
            accessed: now,
            modified: now,
            changed: now,
            created: now,
            places: Places::None,
            xattrs: ExtendedAttributes::default(),
            pages: Pages::default(),
        };
        Ok(Self { number, body, space, state: RwLock::new(Rank::RedirectorInner, state) })
    }

    /// Its number, never used for another.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// What it is.
    pub(super) const fn kind(&self) -> FileKind {
        self.body.kind()
    }

    /// Has it entries?
    pub(super) const fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory)
    }

    /// Which file it is. Numbers are never reused, so there is only one generation of each.
    pub(super) const fn identity(&self) -> FileIdentity {
        FileIdentity { number: self.number, generation: 0 }
    }

    /// Has it content? EISDIR for a directory, EINVAL for the rest.
    pub(super) fn expect_regular(&self) -> Result<(), Status> {
        match self.body {
            Body::Regular => Ok(()),
            Body::Directory => Err(Errno::EISDIR.into()),
            Body::Symlink(_) | Body::Special(..) => Err(Status::InvalidParameter),
        }
    }

    /// What `stat` shows of it.
    pub(super) fn attributes(&self) -> Attributes {
        self.attributes_of(&self.state.read())
    }

    /// The same, for one who holds the state already.
    pub(super) fn attributes_of(&self, state: &State) -> Attributes {
        let (size, device) = match &self.body {
            Body::Regular => (state.pages.size(), 0),
            Body::Directory => (DIRECTORY_BYTES, 0),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Special(_, device) => (0, *device),
        };
        Attributes {
            kind: self.kind(),
            permissions: state.permissions,
            links: state.links,
            uid: state.uid,
            gid: state.gid,
            device,
            size,
            blocks: state.pages.allocated() * (PAGE_BYTES / BLOCK_BYTES),
            block_size: PAGE_BYTES as u32,
            accessed: state.accessed,
            modified: state.modified,
            changed: state.changed,
            created: state.created,
            leased: false,
        }
    }

    /// Itself as a lookup's result.
    pub(super) fn found(self: &Arc<Self>) -> Found {
        Found {
            identity: self.identity(),
            attributes: self.attributes(),
            extension: Arc::clone(self) as _,
        }
    }

    /// Who owns what is made in this directory: with set-group-id its group, and a directory made
    /// in it is set-group-id too. What it may is limited by the directory's default list, which is
    /// returned, or by the umask.
    pub(super) fn owner_of_new(
        &self,
        body: &Body,
        mut owner: Ownership,
    ) -> (Ownership, Option<Acl>) {
        let state = self.state.read();
        let list = match body {
            Body::Symlink(_) => None,
            _ => state.xattrs.default_acl(),
        };
        owner.permissions = match &list {
            Some(list) => owner.permissions & (0o7000 | list.permissions()),
            None => owner.masked(),
        };
        if state.permissions & SET_GROUP_ID != 0 {
            owner.gid = state.gid;
            let inherited = if matches!(body, Body::Directory) { SET_GROUP_ID } else { 0 };
            owner.permissions |= inherited;
        }
        (owner, list)
    }

    /// This directory's entries changed, and so many more subdirectories are in it.
    pub(super) fn entries_changed(&self, subdirectories: i32, now: Timestamp) {
        let mut state = self.state.write();
        state.links = state.links.saturating_add_signed(subdirectories);
        state.content_changed(now);
    }

    /// It got its first name.
    pub(super) fn named(&self, place: Place) {
        self.state.write().places.add(place);
    }

    /// It got one more name.
    pub(super) fn linked(&self, place: Place, now: Timestamp) {
        let mut state = self.state.write();
        state.places.add(place);
        state.links += 1;
        state.changed = now;
    }

    /// It lost a name; a directory has only one.
    pub(super) fn unlinked(&self, place: Place, now: Timestamp) {
        let mut state = self.state.write();
        state.places.remove(place);
        state.links = if self.is_directory() { 0 } else { state.links.saturating_sub(1) };
        state.changed = now;
    }

    /// One of its names is elsewhere now.
    pub(super) fn moved(&self, from: Place, to: Place, now: Timestamp) {
        let mut state = self.state.write();
        state.places.remove(from);
        state.places.add(to);
        state.changed = now;
    }

    /// A symlink's target; EINVAL of anything else.
    pub(super) fn target(&self, now: Timestamp) -> Result<Vec<u8>, Status> {
        let Body::Symlink(target) = &self.body else { return Err(Status::InvalidParameter) };
        self.state.write().accessed = now;
        Ok(target.to_vec())
    }

    /// Clears what a change by an unprivileged process must clear; nothing of a directory.
    pub(super) fn kill_privileges(&self, state: &mut State) {
        if !self.is_directory() {
            self.space.give_bytes(state.kill_privileges());
        }
    }

    /// Changes attributes all together or, failing, none.
    ///
    /// # Errors
    /// EISDIR, EINVAL: a size for something without content. EFBIG.
    pub(super) fn set(&self, set: &SetAttributes, now: Timestamp) -> Result<Attributes, Status> {
        if let Some(size) = set.size {
            self.expect_regular()?;
            if size > FILE_BYTES_MAX {
                return Err(Errno::EFBIG.into());
            }
        }
        let at = |time| match time {
            SetTime::Now => now,
            SetTime::At(time) => time,
        };
        let mut state = self.state.write();
        if set.kill_privileges {
            self.kill_privileges(&mut state);
        }
        if let Some(permissions) = set.permissions {
            state.permissions = permissions & 0o7777;
            state.xattrs.permissions_changed(permissions);
        }
        state.uid = set.uid.unwrap_or(state.uid);
        state.gid = set.gid.unwrap_or(state.gid);
        if let Some(size) = set.size {
            self.set_size(&mut state, size, now);
        }
        state.accessed = set.accessed.map_or(state.accessed, at);
        state.modified = set.modified.map_or(state.modified, at);
        // A chown to nobody new sets nothing and is a status change all the same, as on ext4.
        state.changed = now;
        Ok(self.attributes_of(&state))
    }

    /// Cuts or extends the content.
    pub(super) fn set_size(&self, state: &mut State, size: u64, now: Timestamp) {
        let freed = state.pages.set_size(size);
        self.space.give_bytes(freed * PAGE_BYTES);
        state.content_changed(now);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let state = self.state.read();
        let target = if let Body::Symlink(target) = &self.body { target.len() as u64 } else { 0 };
        let content = state.pages.allocated() * PAGE_BYTES;
        self.space.give_bytes(content + state.xattrs.bytes() + target);
        self.space.give_file();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_and_go() {
        let place = |cookie| Place { directory: 2, cookie };
        let mut places = Places::None;
        assert!(places.to_vec().is_empty());
        for cookie in 1..=3 {
            places.add(place(cookie));
        }
        places.remove(place(2));
        assert_eq!(places.to_vec(), [place(1), place(3)]);
        places.remove(place(1));
        places.remove(place(3));
        places.add(place(4));
        assert_eq!(places.to_vec(), [place(4)]);
    }
}
