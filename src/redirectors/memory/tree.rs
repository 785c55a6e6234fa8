//! Making, finding and removing names.
//!
//! Each change is one step under the namespace's lock: checked as a whole, then done as a whole.
//! Whether the caller may do it was the kernel's to say.

use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::request::{Attributes, ChangeKind, Ownership, Timestamp};
use crate::redirectors::memory::node::{Body, Node, Place};
use crate::redirectors::memory::server::MemoryServer;
use crate::redirectors::memory::watch::Woken;
use std::sync::Arc;

impl MemoryServer {
    /// The file a name leads to.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR.
    pub(super) fn find(&self, parent: &Node, name: &Name) -> Result<Arc<Node>, Status> {
        let namespace = self.namespace.read();
        let found = namespace.directory(parent)?.find(name);
        found.map(|(_, node)| Arc::clone(node)).ok_or(Status::ObjectNameNotFound)
    }

    /// Makes a file of any kind.
    ///
    /// # Errors
    /// EEXIST, ENOENT (the parent was removed), ENOTDIR, EMLINK, ENOSPC, ENAMETOOLONG (a symlink's
    /// target).
    pub(super) fn make(
        &self,
        parent: &Node,
        name: &Name,
        body: Body,
        owner: Ownership,
        now: Timestamp,
    ) -> Result<Arc<Node>, Status> {
        let mut woken = Woken::default();
        let node = {
            let mut namespace = self.namespace.write();
            let directory = namespace.directory_mut(parent)?;
            if directory.find(name).is_some() {
                return Err(Status::ObjectNameCollision);
            }
            let subdirectories = i32::from(matches!(body, Body::Directory));
            if subdirectories > 0 && parent.state.read().links >= self.links_max {
                return Err(Errno::EMLINK.into());
            }
            let (owner, list) = parent.owner_of_new(&body, owner);
            let node = Node::new(Arc::clone(&self.space), self.next_number(), body, owner, now)?;
            if let Some(list) = &list {
                node.inherit(list)?;
            }
            let node = Arc::new(node);
            let cookie = directory.add(name, Arc::clone(&node));
            directory.record(Some(name), ChangeKind::Added, &mut woken);
            node.named(Place { directory: parent.number(), cookie });
            parent.entries_changed(subdirectories, now);
            if node.is_directory() {
                namespace.add_directory(node.number(), parent.number());
            }
            node
        };
        woken.deliver();
        Ok(node)
    }

    /// Gives a file one more name.
    ///
    /// # Errors
    /// EPERM for a directory; EXDEV for a file of another tree; ENOENT for one that has no name any
    /// more; EMLINK; EEXIST, ENOTDIR.
    pub(super) fn link(
        &self,
        node: &Arc<Node>,
        parent: &Node,
        name: &Name,
        now: Timestamp,
    ) -> Result<Attributes, Status> {
        if node.is_directory() {
            return Err(Errno::EPERM.into());
        }
        if !self.owns(node) {
            return Err(Status::NotSameDevice);
        }
        let mut woken = Woken::default();
        {
            let mut namespace = self.namespace.write();
            let directory = namespace.directory_mut(parent)?;
            if directory.find(name).is_some() {
                return Err(Status::ObjectNameCollision);
            }
            match node.state.read().links {
                0 => return Err(Status::ObjectNameNotFound),
                links if links >= self.links_max => return Err(Errno::EMLINK.into()),
                _ => {}
            }
            let cookie = directory.add(name, Arc::clone(node));
            directory.record(Some(name), ChangeKind::Added, &mut woken);
            node.linked(Place { directory: parent.number(), cookie }, now);
            parent.entries_changed(0, now);
        }
        woken.deliver();
        Ok(node.attributes())
    }

    /// Removes a name of anything but a directory. What it led to stays as long as it is open.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR; EISDIR for a directory.
    pub(super) fn unlink(&self, parent: &Node, name: &Name, now: Timestamp) -> Result<(), Status> {
        self.remove(parent, name, false, now)
    }

    /// Removes an empty directory. It can still be listed (as empty) as long as it is open.
    ///
    /// # Errors
    /// ENOENT; ENOTDIR for anything else; ENOTEMPTY.
    pub(super) fn remove_directory(
        &self,
        parent: &Node,
        name: &Name,
        now: Timestamp,
    ) -> Result<(), Status> {
        self.remove(parent, name, true, now)
    }

    fn remove(
        &self,
        parent: &Node,
        name: &Name,
        is_directory: bool,
        now: Timestamp,
    ) -> Result<(), Status> {
        let mut woken = Woken::default();
        let removed = {
            let mut namespace = self.namespace.write();
            let found = namespace.directory(parent)?.find(name);
            let (cookie, node) = found.ok_or(Status::ObjectNameNotFound)?;
            let node = Arc::clone(node);
            match (is_directory, node.is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR.into()),
                (false, true) => return Err(Errno::EISDIR.into()),
                (true, true) if !namespace.directory(&node)?.is_empty() => {
                    return Err(Errno::ENOTEMPTY.into());
                }
                _ => {}
            }
            let directory = namespace.directory_mut(parent)?;
            directory.remove(cookie);
            directory.record(Some(name), ChangeKind::Removed, &mut woken);
            if is_directory {
                namespace.remove_directory(node.number(), &mut woken);
            }
            node.unlinked(Place { directory: parent.number(), cookie }, now);
            parent.entries_changed(-i32::from(is_directory), now);
            node
        };
        woken.deliver();
        // The last reference may be this one, and freeing much content takes long: not before here,
        // where the namespace is unlocked.
        drop(removed);
        Ok(())
    }
}
