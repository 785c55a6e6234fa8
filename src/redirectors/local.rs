//! `local`: a directory of this machine, served as if it were remote.
//!
//! # Confinement
//! Nothing outside the root is ever reached: every step is a single component relative to an open
//! directory, by `openat2` with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and
//! `RESOLVE_NO_MAGICLINKS`, or by an `*at` call that follows nothing. Symlinks are returned, never
//! followed: the kernel in front resolves them in the mount's own namespace. Mounts of other file
//! systems beneath the root are crossed and get numbers of their own (`numbers.rs`). A directory
//! that others move out of the root while it is open here stays what it was, as it does for any
//! process that works in one.
//!
//! # Files without names, names without descriptors
//! A known file costs a descriptor only while the cache can afford one (`fds.rs`); otherwise it is
//! found again by name and compared by device, inode number and time of birth, else ESTALE. A file
//! that is unlinked here and still known keeps its descriptor until it is forgotten (`file.rs`).
//!
//! # Owners and permissions
//! The kernel checks them (`default_permissions`) from what is returned here; `local` acts with the
//! rights of its own process, and gives what it makes to the caller (`names.rs`). A user's own
//! mount cannot give files to others: what it makes stays the user's, without set-id bits.
//!
//! POSIX ACLs are claimed. The kernel must enforce them: with an ACL the group bits of the mode are
//! its mask, and to check those bits alone would grant the owning group what the ACL denies it. New
//! files get a default ACL from the backing file system, which does it by the mode it is given; the
//! caller's umask is taken off only where there is none, as everywhere.

mod attributes;
mod directory;
mod error;
mod fds;
mod file;
mod lease;
mod names;
mod node;
mod numbers;
mod open;
mod options;
mod proc;
mod registry;
#[cfg(test)]
mod tests;
mod tree;
mod watch;

pub use error::LocalError;
pub use options::LocalOptions;

use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::calldown::{Capabilities, MiniRedirector};
use crate::mrx::low_io::{LowIo, Submission};
use crate::mrx::request::{
    Access, AllocateMode, Attributes, Buffering, Change, DirectoryEntry, DirectoryQuery, Extension,
    FileRef, Found, NewNode, OpenOptions, OpenRef, Opened, Ownership, RenameMode, SeekTo,
    SetAttributes, SetExtendedAttributeMode, VolumeInformation,
};
use crate::mrx::upcall::{RequestContext, Upcalls};
use file::LocalFile;
use node::node_of;
use open::LocalOpen;
use rustix::fs::AtFlags;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tree::Tree;
use watch::Watches;

type Context<'a> = &'a dyn RequestContext;

/// The mini-redirector; one value serves one generation.
pub struct Local {
    root: PathBuf,
    options: LocalOptions,
    tree: OnceLock<Tree>,
    watches: Arc<Watches>,
}

impl Local {
    /// Will serve `root` once started; nothing is opened before.
    #[must_use]
    pub fn new(root: PathBuf, options: LocalOptions) -> Self {
        Self { root, options, tree: OnceLock::new(), watches: Watches::new() }
    }

    /// Can this directory be served? For a clear refusal before anything is mounted.
    ///
    /// # Errors
    /// [`LocalError`]: it does not exist, is no directory, or this system lacks what is needed.
    pub fn probe(root: &Path) -> Result<(), LocalError> {
        tree::open_root(root).map(|_| ())
    }

    fn tree(&self) -> Result<&Tree, Status> {
        self.tree.get().ok_or(Status::RedirectorNotStarted)
    }
}

/// The file behind a calldown's file; ESTALE if it is not one of ours.
fn file(file: FileRef<'_>) -> Result<Arc<LocalFile>, Status> {
    Arc::clone(file.extension).downcast().map_err(|_| Status::FileInvalid)
}

/// The open behind a calldown's open; ESTALE if it is not one of ours.
fn open<'a>(open: OpenRef<'a>) -> Result<&'a LocalOpen, Status> {
    open.extension.downcast_ref().ok_or(Status::FileInvalid)
}

impl MiniRedirector for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking: false,
            locks: false,
            extended_attributes: true,
            posix_acl: true,
            exclusive: false,
            daemon_rights: true,
            delayed_closes_max: self.options.delayed_closes,
        }
    }

    fn start(&self, _context: Context<'_>, upcalls: Arc<dyn Upcalls>) -> Result<(), Status> {
        let tree = Tree::open(&self.root, &self.options, upcalls.clock()).map_err(|error| {
            log::error!("local cannot start: {error}");
            error.status()
        })?;
        // A second start would pull the tree from under the first one's files.
        self.tree.set(tree).map_err(|_| Status::InvalidParameter)?;
        if self.options.lease {
            self.tree()?.take_lease(upcalls);
        }
        Ok(())
    }

    fn stop(&self, _context: Context<'_>) -> Result<(), Status> {
        let tree = self.tree()?;
        self.watches.stop();
        tree.lease.give_up();
        // Survivors have descriptors of their own; what is left is only kept for speed.
        while tree.registry.fds.shed() > 0 {}
        Ok(())
    }

    fn create_v_net_root(
        &self,
        _context: Context<'_>,
        _srv_call: &Extension,
    ) -> Result<(Extension, Found), Status> {
        let tree = self.tree()?;
        let node = tree.node(&tree.root)?;
        Ok((Arc::new(()), tree.found(Arc::clone(&tree.root), &node)))
    }

    fn lookup(
        &self,
        _context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Found, Status> {
        self.tree()?.lookup(&file(parent)?, name)
    }

    fn make_node(
        &self,
        _context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
        node: &NewNode,
        owner: Ownership,
    ) -> Result<Found, Status> {
        self.tree()?.make_node(&file(parent)?, name, node, owner)
    }

    fn link(
        &self,
        _context: Context<'_>,
        linked: FileRef<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Attributes, Status> {
        self.tree()?.link(&file(linked)?, &file(parent)?, name)
    }

    fn unlink(
        &self,
        _context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<(), Status> {
        self.tree()?.remove(&file(parent)?, name, AtFlags::empty())
    }

    fn remove_directory(
        &self,
        _context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<(), Status> {
        self.tree()?.remove(&file(parent)?, name, AtFlags::REMOVEDIR)
    }

    fn rename(
        &self,
        _context: Context<'_>,
        from: (FileRef<'_>, &Name),
        to: (FileRef<'_>, &Name),
        mode: RenameMode,
    ) -> Result<(), Status> {
        self.tree()?.rename((&file(from.0)?, from.1), (&file(to.0)?, to.1), mode)
    }

    fn read_link(&self, _context: Context<'_>, link: FileRef<'_>) -> Result<Vec<u8>, Status> {
        self.tree()?.read_link(&file(link)?)
    }

    fn create(
        &self,
        _context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
        owner: Ownership,
        options: OpenOptions,
    ) -> Result<(Found, Opened), Status> {
        let tree = self.tree()?;
        let (found, fd) = tree.create(&file(parent)?, name, owner, options)?;
        let made = Arc::clone(&found.extension).downcast().map_err(|_| Status::FileInvalid)?;
        let open = LocalOpen::of_file(fd);
        let buffering = tree.buffering(&made, &open, options);
        Ok((found, Opened { extension: Arc::new(open), buffering }))
    }

    fn open(
        &self,
        _context: Context<'_>,
        opened: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        let tree = self.tree()?;
        let file = file(opened)?;
        let open = tree.open_known(&file, options)?;
        let buffering = tree.buffering(&file, &open, options);
        Ok(Opened { extension: Arc::new(open), buffering })
    }

    /// What was opened for reading alone: nothing is owed on it, it keeps nobody from running the
    /// file (ETXTBSY), and reads say where they read.
    fn should_try_to_collapse_this_open(&self, open: OpenRef<'_>) -> bool {
        let of_file = open.extension.downcast_ref::<LocalOpen>().is_some_and(LocalOpen::is_file);
        of_file && open.options.access == Access::Read
    }

    /// The open is as good as a new one; what may be cached is not what it was then.
    fn collapse_open(
        &self,
        _context: Context<'_>,
        shared: OpenRef<'_>,
    ) -> Result<Option<Buffering>, Status> {
        let (file, open) = (file(shared.file)?, open(shared)?);
        Ok(Some(self.tree()?.buffering(&file, open, shared.options)))
    }

    fn reclaim_open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        // What was truncated when it was opened first must not be truncated again.
        self.open(context, file, OpenOptions { truncate: false, ..options })
    }

    fn read(
        &self,
        _context: Context<'_>,
        from: OpenRef<'_>,
        offset: u64,
        size: usize,
        buffer: Vec<u8>,
        _submission: Submission<'_, Vec<u8>>,
    ) -> LowIo<Vec<u8>> {
        open(from).and_then(|open| Ok(open::read(&open.fd, offset, size, buffer)?)).into()
    }

    fn write(
        &self,
        _context: Context<'_>,
        to: OpenRef<'_>,
        offset: u64,
        data: &[u8],
        kill_privileges: bool,
        _submission: Submission<'_, usize>,
    ) -> LowIo<usize> {
        self.tree().and_then(|tree| tree.write(&open(to)?.fd, offset, data, kill_privileges)).into()
    }

    fn flush(
        &self,
        _context: Context<'_>,
        flushed: OpenRef<'_>,
        data_only: bool,
        _submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        open(flushed).and_then(|open| Ok(open::flush(&open.fd, data_only)?)).into()
    }

    fn notify_change_directory(
        &self,
        context: Context<'_>,
        directory: OpenRef<'_>,
        submission: Submission<'_, Vec<Change>>,
    ) -> LowIo<Vec<Change>> {
        let watching = self.tree().and_then(|tree| {
            open(directory)?.watching(&self.watches, tree, &file(directory.file)?)
        });
        match watching {
            Ok(watching) => match watching.changes.take() {
                Some(changes) => LowIo::Done(Ok(changes)),
                None => watching.changes.wait(context, submission),
            },
            Err(status) => LowIo::Done(Err(status)),
        }
    }

    fn query_file_information(
        &self,
        _context: Context<'_>,
        queried: FileRef<'_>,
        opened: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        let tree = self.tree()?;
        let node = match opened {
            Some(opened) => node_of(&open(opened)?.fd)?,
            None => tree.node(&file(queried)?)?,
        };
        Ok(tree.leased(node))
    }

    fn set_file_information(
        &self,
        _context: Context<'_>,
        changed: FileRef<'_>,
        opened: Option<OpenRef<'_>>,
        set: SetAttributes,
    ) -> Result<Attributes, Status> {
        let through = match opened {
            Some(opened) => Some((open(opened)?, opened.options.access.writes())),
            None => None,
        };
        self.tree()?.set_attributes(&file(changed)?, through, set)
    }

    fn query_directory(
        &self,
        _context: Context<'_>,
        directory: OpenRef<'_>,
        query: DirectoryQuery,
    ) -> Result<Vec<DirectoryEntry>, Status> {
        self.tree()?.list(&file(directory.file)?, open(directory)?, query)
    }

    fn query_volume_information(&self, _context: Context<'_>) -> Result<VolumeInformation, Status> {
        self.tree()?.volume()
    }

    fn query_extended_attribute(
        &self,
        _context: Context<'_>,
        queried: FileRef<'_>,
        name: &[u8],
    ) -> Result<Vec<u8>, Status> {
        self.tree()?.extended_attribute(&file(queried)?, name)
    }

    fn list_extended_attributes(
        &self,
        context: Context<'_>,
        queried: FileRef<'_>,
    ) -> Result<Vec<u8>, Status> {
        let caller_is_superuser = context.caller().uid == 0;
        self.tree()?.extended_attributes(&file(queried)?, caller_is_superuser)
    }

    fn set_extended_attribute(
        &self,
        _context: Context<'_>,
        changed: FileRef<'_>,
        name: &[u8],
        value: &[u8],
        mode: SetExtendedAttributeMode,
    ) -> Result<(), Status> {
        self.tree()?.set_extended_attribute(&file(changed)?, name, value, mode)
    }

    fn remove_extended_attribute(
        &self,
        _context: Context<'_>,
        changed: FileRef<'_>,
        name: &[u8],
    ) -> Result<(), Status> {
        self.tree()?.remove_extended_attribute(&file(changed)?, name)
    }

    fn allocate(
        &self,
        context: Context<'_>,
        allocated: OpenRef<'_>,
        offset: u64,
        length: u64,
        mode: AllocateMode,
    ) -> Result<(), Status> {
        let (tree, open) = (self.tree()?, open(allocated)?);
        if context.caller().uid != 0 {
            tree.clear_privileges(&open.fd)?;
        }
        open::allocate(&open.fd, offset, length, mode)
    }

    fn seek(
        &self,
        _context: Context<'_>,
        sought: OpenRef<'_>,
        offset: u64,
        to: SeekTo,
    ) -> Result<u64, Status> {
        let sought = open(sought)?;
        if sought.listing.is_some() {
            // Its descriptor's position is the listing's.
            return Err(Errno::EISDIR.into());
        }
        Ok(open::seek(&sought.fd, offset, to)?)
    }

    fn copy_range(
        &self,
        context: Context<'_>,
        from: (OpenRef<'_>, u64),
        to: (OpenRef<'_>, u64),
        length: u64,
    ) -> Result<u64, Status> {
        let (source, target) = (&open(from.0)?.fd, &open(to.0)?.fd);
        if context.caller().uid != 0 {
            self.tree()?.clear_privileges(target)?;
        }
        Ok(open::copy_range((source, from.1), (target, to.1), length)?)
    }
}
