//! The server: a tree of files that outlives stops and starts.
//!
//! ```text
//!  MemoryServer ── namespace (RwLock, rank Redirector) ── Directory ── Entry ─┐
//!                                                                             ├─> Node
//!  Memory (a generation) <── the core ── FCB extension, OpenFile ─────────────┘    │
//!                                                         state (RwLock, RedirectorInner)
//! ```
//!
//! Reading, writing and attributes lock one node; names lock the namespace, then one node at a
//! time. Who watches a directory is told when all locks are gone.

use crate::base::clock::Clock;
use crate::base::limits::{NAME_BYTES_MAX, WRITE_BYTES_MAX};
use crate::base::name::Name;
use crate::base::status::Status;
use crate::base::sync::{Rank, RwLock};
use crate::mrx::request::{
    ChangeKind, DirectoryEntry, DirectoryQuery, Ownership, Timestamp, VolumeInformation,
};
use crate::mrx::upcall::RequestContext;
use crate::redirectors::memory::namespace::Namespace;
use crate::redirectors::memory::node::{Body, Node};
use crate::redirectors::memory::open::OpenFile;
use crate::redirectors::memory::pages::PAGE_BYTES;
use crate::redirectors::memory::space::Space;
use crate::redirectors::memory::watch::{Watch, Watchers, Woken};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most names of a file, and subdirectories of a directory less two, as on XFS.
const LINKS_MAX: u32 = i32::MAX as u32;
/// The root's number; later ones count on from here.
const ROOT_NUMBER: u64 = 2;

/// A tree of files in memory. One value outlives any number of generations of
/// [`Memory`](super::Memory) on it.
pub struct MemoryServer {
    /// For a generation that has not been started, and so was given no clock.
    pub(super) clock: Arc<dyn Clock>,
    pub(super) space: Arc<Space>,
    pub(super) links_max: u32,
    pub(super) namespace: RwLock<Namespace>,
    root: Arc<Node>,
    last_number: AtomicU64,
    watchers: Watchers,
}

impl std::fmt::Debug for MemoryServer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("MemoryServer").field("space", &self.space).finish_non_exhaustive()
    }
}

impl MemoryServer {
    /// An empty tree whose root belongs to this process's user and is writable for it alone.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        Self::with_root(clock, Ownership { permissions: 0o755, umask: 0, uid, gid })
    }

    /// An empty tree with the root given to somebody.
    #[must_use]
    pub fn with_root(clock: Arc<dyn Clock>, owner: Ownership) -> Arc<Self> {
        Self::with_links_max(clock, owner, LINKS_MAX)
    }

    /// The same with another bound on links, so that it can be reached in a test.
    pub(super) fn with_links_max(
        clock: Arc<dyn Clock>,
        owner: Ownership,
        links_max: u32,
    ) -> Arc<Self> {
        let now = Timestamp::from(clock.wall());
        let space = Arc::new(Space::new());
        let root = Node::new(Arc::clone(&space), ROOT_NUMBER, Body::Directory, owner, now)
            .expect("an empty server has room for its root");
        let mut namespace = Namespace::default();
        namespace.add_directory(ROOT_NUMBER, ROOT_NUMBER);
        Arc::new(Self {
            clock,
            space,
            links_max,
            namespace: RwLock::new(Rank::Redirector, namespace),
            root: Arc::new(root),
            last_number: AtomicU64::new(ROOT_NUMBER),
            watchers: Watchers::default(),
        })
    }

    /// The root directory.
    pub(super) const fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// A number no file ever had.
    pub(super) fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Is this node of our tree?
    pub(super) fn owns(&self, node: &Node) -> bool {
        Arc::ptr_eq(&self.space, &node.space)
    }

    /// Part of a directory's entries. One that was removed has none.
    ///
    /// # Errors
    /// ENOTDIR.
    pub(super) fn list(
        &self,
        open: &OpenFile,
        query: DirectoryQuery,
        now: Timestamp,
    ) -> Result<Vec<DirectoryEntry>, Status> {
        let node = open.node();
        let listed = match self.namespace.read().directory(node) {
            Ok(directory) => {
                let last = open.listing_end(query.from, directory.last_cookie());
                let mut room = query.budget_bytes;
                let mut listed = Vec::new();
                for (next, entry) in directory.entries(query.from, last) {
                    let plus = if query.with_files { 128 } else { 0 };
                    let bytes = (24 + entry.name.as_bytes().len()).next_multiple_of(8) + plus;
                    if bytes > room && !listed.is_empty() {
                        break;
                    }
                    room = room.saturating_sub(bytes);
                    listed.push(DirectoryEntry {
                        name: Name::clone(&entry.name),
                        number: entry.node.number(),
                        kind: entry.node.kind(),
                        next,
                        found: query.with_files.then(|| entry.node.found()),
                    });
                }
                listed
            }
            Err(Status::ObjectNameNotFound) => Vec::new(),
            Err(other) => return Err(other),
        };
        node.state.write().accessed = now;
        Ok(listed)
    }

    /// Has this directory still a name?
    ///
    /// # Errors
    /// ENOTDIR; ENOENT when it was removed.
    pub(super) fn expect_named(&self, directory: &Node) -> Result<(), Status> {
        self.namespace.read().directory(directory).map(|_| ())
    }

    /// Begins to watch a directory.
    ///
    /// # Errors
    /// ENOTDIR; ENOENT when it was removed.
    pub(super) fn watch(&self, node: &Node) -> Result<Arc<Watch>, Status> {
        let watch = Watch::new(&self.watchers);
        self.namespace.write().directory_mut(node)?.watch(&watch);
        Ok(watch)
    }

    /// Tells those who watch that a file's content or attributes changed. No lock may be held.
    pub(super) fn announce(&self, node: &Node, kind: ChangeKind) {
        if self.watchers.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut woken = Woken::default();
        {
            let namespace = self.namespace.read();
            let places = node.state.read().places.to_vec();
            namespace.record_at(&places, kind, &mut woken);
            namespace.record_self(node.number(), kind, &mut woken);
        }
        woken.deliver();
    }

    /// Writes and tells; see [`Node::write`].
    pub(super) fn write(
        &self,
        node: &Node,
        offset: Option<u64>,
        data: &[u8],
        kill_privileges: bool,
        now: Timestamp,
    ) -> Result<usize, Status> {
        let written = node.write(offset, data, kill_privileges, now)?;
        if written > 0 {
            self.announce(node, ChangeKind::Modified);
        }
        Ok(written)
    }

    /// Copies content through a buffer, so that no two files are locked at once. Stops early at the
    /// source's end, when the room ends and when it is cancelled. Returns bytes copied.
    ///
    /// # Errors
    /// EINVAL: the ranges overlap in one file. Otherwise as for writing, if nothing was copied.
    pub(super) fn copy(
        &self,
        from: (&Node, u64),
        to: (&Node, u64),
        length: u64,
        context: &dyn RequestContext,
        now: Timestamp,
    ) -> Result<u64, Status> {
        let ((source, from), (target, to)) = (from, to);
        source.expect_regular()?;
        target.expect_regular()?;
        let length = length.min(source.attributes().size.saturating_sub(from));
        if source.number() == target.number() && from.abs_diff(to) < length {
            return Err(Status::InvalidParameter);
        }
        let kill_privileges = context.caller().uid != 0;
        let mut copied = 0;
        let mut buffer = Vec::new();
        while copied < length && !context.is_cancelled() {
            let piece = (length - copied).min(u64::from(WRITE_BYTES_MAX)) as usize;
            buffer.clear();
            buffer = source.read(from.saturating_add(copied), piece, buffer, now)?;
            if buffer.is_empty() {
                break;
            }
            match target.write(Some(to.saturating_add(copied)), &buffer, kill_privileges, now) {
                Ok(written) => {
                    copied += written as u64;
                    if written < buffer.len() {
                        break;
                    }
                }
                Err(status) if copied == 0 => return Err(status),
                Err(_) => break,
            }
        }
        if copied > 0 {
            self.announce(target, ChangeKind::Modified);
        }
        Ok(copied)
    }

    /// What `statfs` shows.
    pub(super) fn volume(&self) -> VolumeInformation {
        let (bytes, bytes_free) = self.space.bytes();
        let (files, files_free) = self.space.files();
        VolumeInformation {
            blocks: bytes / PAGE_BYTES,
            blocks_free: bytes_free / PAGE_BYTES,
            blocks_available: bytes_free / PAGE_BYTES,
            files,
            files_free,
            block_size: PAGE_BYTES as u32,
            name_bytes_max: NAME_BYTES_MAX as u32,
        }
    }
}
