//! `memory`: a tree of files in memory, with all of POSIX's semantics.
//!
//! The embedded default, and the reference the other mini-redirectors are measured against. It can
//! be told to answer slowly, as a server far away does, and to be of limited size
//! ([`MemoryOptions`]).
//!
//! - The tree is a [`MemoryServer`]; it survives any number of stops and starts. A [`Memory`] is
//!   one generation's view of it, and holds nothing but its options, its clock and its timer.
//! - The extension of a file is its node: whoever holds it holds the file, named or not. That is
//!   all there is to unlinked-but-open files and to reclaiming an open after a restart.
//! - Names are under one lock, content and attributes under one lock a file (`server`).
//! - Byte-range locks are left to the kernel. So is what a POSIX ACL allows; that lists and
//!   permission bits stay of one piece is done here (`acl`).

mod acl;
mod data;
mod delay;
mod namespace;
mod node;
mod open;
mod options;
mod pages;
mod rename;
mod server;
mod space;
#[cfg(test)]
mod tests;
mod tree;
mod watch;
mod xattrs;

use crate::base::clock::Clock;
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::calldown::{Capabilities, MiniRedirector};
use crate::mrx::low_io::{LowIo, Submission};
use crate::mrx::request::{
    AllocateMode, Attributes, Buffering, Change, ChangeKind, DirectoryEntry, DirectoryQuery,
    Extension, FileKind, FileRef, Found, NewNode, OpenOptions, OpenRef, Opened, Ownership,
    RenameMode, SeekTo, SetAttributes, SetExtendedAttributeMode, Timestamp, VolumeInformation,
};
use crate::mrx::upcall::{RequestContext, Upcalls};
use delay::Delay;
use node::{Body, Node};
use open::OpenFile;
pub use options::MemoryOptions;
pub use server::MemoryServer;
use std::sync::{Arc, OnceLock};

/// Longest target of a symlink: PATH_MAX with its NUL.
const SYMLINK_BYTES_MAX: usize = 4095;
/// Closes that may wait for the next open, unless the options say otherwise.
const DELAYED_CLOSES: usize = 127;

type Context<'a> = &'a dyn RequestContext;

/// One generation of the memory mini-redirector.
pub struct Memory {
    server: Arc<MemoryServer>,
    delay: Option<Delay>,
    delayed_closes: usize,
    /// The core's, once it has started us.
    clock: OnceLock<Arc<dyn Clock>>,
}

/// Our half of an FCB.
fn node(file: FileRef<'_>) -> Result<Arc<Node>, Status> {
    Arc::clone(file.extension).downcast().map_err(|_| Status::InvalidParameter)
}

/// Our half of a SRV_OPEN.
fn opened<'a>(open: &OpenRef<'a>) -> Result<&'a OpenFile, Status> {
    open.extension.downcast_ref().ok_or(Status::InvalidParameter)
}

fn now(clock: &Arc<dyn Clock>) -> Timestamp {
    clock.wall().into()
}

impl Memory {
    /// A generation on a server, whose bounds become those of `options`.
    #[must_use]
    pub fn new(server: Arc<MemoryServer>, options: MemoryOptions) -> Self {
        server.space.limit(&options);
        let delayed_closes = options.delayed_closes.unwrap_or(DELAYED_CLOSES);
        let delay = options.latency.map(Delay::new);
        Self { server, delay, delayed_closes, clock: OnceLock::new() }
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        self.clock.get().unwrap_or(&self.server.clock)
    }

    fn now(&self) -> Timestamp {
        now(self.clock())
    }

    /// Takes as long as the server is said to.
    fn travel(&self, context: Context<'_>) -> Result<(), Status> {
        self.delay.as_ref().map_or(Ok(()), |delay| delay.wait(context, &**self.clock()))
    }

    /// The same for low I/O: `work` is done when the time has come.
    fn submit<T: Send + 'static>(
        &self,
        context: Context<'_>,
        bytes: usize,
        submission: Submission<'_, T>,
        work: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> LowIo<T> {
        match &self.delay {
            None => LowIo::Done(work()),
            Some(delay) => delay.submit(context, &**self.clock(), bytes, submission, work),
        }
    }

    /// An open of a node; nobody else changes it, so pages stay good, and it keeps nothing back, so
    /// only a writer's close is worth a FLUSH.
    fn open_node(node: Arc<Node>, options: OpenOptions) -> Opened {
        let no_flush = !options.access.writes();
        let buffering = Buffering { keep_cache: true, no_flush, ..Buffering::default() };
        Opened { extension: Arc::new(OpenFile::new(node)), buffering }
    }
}

/// May this be opened so? The kernel opens special files by itself.
fn check_open(node: &Node, options: OpenOptions) -> Result<(), Status> {
    let errno = match node.kind() {
        FileKind::Regular => return Ok(()),
        FileKind::Directory if options.access.writes() || options.truncate => Errno::EISDIR,
        FileKind::Directory => return Ok(()),
        FileKind::Symlink => Errno::ELOOP,
        _ => Errno::ENXIO,
    };
    Err(errno.into())
}

/// What a new node is made of.
fn body(node: &NewNode) -> Result<Body, Status> {
    match node {
        NewNode::Directory => Ok(Body::Directory),
        NewNode::Symlink(target) => Ok(Body::Symlink(target.as_slice().into())),
        NewNode::Special(kind, device) => match kind {
            FileKind::Regular => Ok(Body::Regular),
            FileKind::CharacterDevice | FileKind::BlockDevice => Ok(Body::Special(*kind, *device)),
            FileKind::NamedPipe | FileKind::Socket => Ok(Body::Special(*kind, 0)),
            FileKind::Directory | FileKind::Symlink => Err(Status::InvalidParameter),
        },
    }
}

impl MiniRedirector for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking: self.delay.is_some(),
            locks: false,
            extended_attributes: true,
            posix_acl: true,
            exclusive: true,
            daemon_rights: true,
            delayed_closes_max: self.delayed_closes,
        }
    }

    // ---- life ---------------------------------------------------------------------------------

    fn start(&self, _context: Context<'_>, upcalls: Arc<dyn Upcalls>) -> Result<(), Status> {
        let clock = self.clock.get_or_init(|| upcalls.clock());
        self.delay.as_ref().map_or(Ok(()), |delay| delay.start(Arc::clone(clock)))
    }

    /// Survivors need the tree, which stays, and no timer: their closes wait for themselves.
    fn stop(&self, _context: Context<'_>) -> Result<(), Status> {
        if let Some(delay) = &self.delay {
            delay.stop();
        }
        Ok(())
    }

    // ---- server, share, view ------------------------------------------------------------------

    fn create_srv_call(&self, context: Context<'_>) -> Result<Extension, Status> {
        self.travel(context)?;
        Ok(Arc::new(()))
    }

    fn create_v_net_root(
        &self,
        context: Context<'_>,
        _srv_call: &Extension,
    ) -> Result<(Extension, Found), Status> {
        self.travel(context)?;
        Ok((Arc::new(()), self.server.root().found()))
    }

    // ---- names --------------------------------------------------------------------------------

    fn lookup(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Found, Status> {
        self.travel(context)?;
        Ok(self.server.find(&*node(parent)?, name)?.found())
    }

    fn make_node(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
        new: &NewNode,
        owner: Ownership,
    ) -> Result<Found, Status> {
        self.travel(context)?;
        let made = self.server.make(&*node(parent)?, name, body(new)?, owner, self.now())?;
        Ok(made.found())
    }

    fn link(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Attributes, Status> {
        self.travel(context)?;
        self.server.link(&node(file)?, &*node(parent)?, name, self.now())
    }

    fn unlink(&self, context: Context<'_>, parent: FileRef<'_>, name: &Name) -> Result<(), Status> {
        self.travel(context)?;
        self.server.unlink(&*node(parent)?, name, self.now())
    }

    fn remove_directory(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<(), Status> {
        self.travel(context)?;
        self.server.remove_directory(&*node(parent)?, name, self.now())
    }

    fn rename(
        &self,
        context: Context<'_>,
        from: (FileRef<'_>, &Name),
        to: (FileRef<'_>, &Name),
        mode: RenameMode,
    ) -> Result<(), Status> {
        self.travel(context)?;
        let (source, target) = (node(from.0)?, node(to.0)?);
        self.server.rename((&*source, from.1), (&*target, to.1), mode, self.now())
    }

    fn read_link(&self, context: Context<'_>, file: FileRef<'_>) -> Result<Vec<u8>, Status> {
        self.travel(context)?;
        node(file)?.target(self.now())
    }

    // ---- open and close -----------------------------------------------------------------------

    fn create(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
        owner: Ownership,
        options: OpenOptions,
    ) -> Result<(Found, Opened), Status> {
        self.travel(context)?;
        let made = self.server.make(&*node(parent)?, name, Body::Regular, owner, self.now())?;
        Ok((made.found(), Self::open_node(made, options)))
    }

    fn open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        self.travel(context)?;
        let node = node(file)?;
        check_open(&node, options)?;
        if options.truncate {
            node.truncate_at_open(options.kill_privileges, self.now())?;
            self.server.announce(&node, ChangeKind::Modified);
        }
        Ok(Self::open_node(node, options))
    }

    /// An open is its node. A directory's has a listing and a watch of its own besides.
    fn should_try_to_collapse_this_open(&self, open: OpenRef<'_>) -> bool {
        opened(&open).is_ok_and(|open| !open.node().is_directory())
    }

    /// The tree is the same as before the stop: what the file was it still is, with or without a
    /// name. The content is left alone: it was truncated when it was opened first.
    fn reclaim_open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        self.travel(context)?;
        let node = node(file).map_err(|_| Status::FileInvalid)?;
        if !self.server.owns(&node) || node.identity() != file.identity {
            return Err(Status::FileInvalid);
        }
        check_open(&node, options)?;
        Ok(Self::open_node(node, options))
    }

    fn close(&self, context: Context<'_>, _open: OpenRef<'_>) -> Result<(), Status> {
        self.travel(context)
    }

    // ---- low I/O ------------------------------------------------------------------------------

    fn read(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        size: usize,
        buffer: Vec<u8>,
        submission: Submission<'_, Vec<u8>>,
    ) -> LowIo<Vec<u8>> {
        let node = match opened(&open) {
            Ok(open) => Arc::clone(open.node()),
            Err(status) => return LowIo::Done(Err(status)),
        };
        let clock = Arc::clone(self.clock());
        self.submit(context, 0, submission, move || node.read(offset, size, buffer, now(&clock)))
    }

    fn write(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        data: &[u8],
        kill_privileges: bool,
        submission: Submission<'_, usize>,
    ) -> LowIo<usize> {
        let offset = (!open.options.append).then_some(offset);
        let node = match opened(&open) {
            Ok(open) => open.node(),
            Err(status) => return LowIo::Done(Err(status)),
        };
        if self.delay.is_none() {
            // Without a copy, which only a later write needs.
            return self.server.write(node, offset, data, kill_privileges, self.now()).into();
        }
        let (server, clock) = (Arc::clone(&self.server), Arc::clone(self.clock()));
        let (node, data) = (Arc::clone(node), data.to_vec());
        self.submit(context, data.len(), submission, move || {
            server.write(&node, offset, &data, kill_privileges, now(&clock))
        })
    }

    /// Everything is as stable as it will be the moment it is written.
    fn flush(
        &self,
        context: Context<'_>,
        _open: OpenRef<'_>,
        _data_only: bool,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        self.submit(context, 0, submission, || Ok(()))
    }

    /// ENOENT once the directory was removed and all that was kept has been told.
    fn notify_change_directory(
        &self,
        context: Context<'_>,
        directory: OpenRef<'_>,
        submission: Submission<'_, Vec<Change>>,
    ) -> LowIo<Vec<Change>> {
        let open = match opened(&directory) {
            Ok(open) => open,
            Err(status) => return LowIo::Done(Err(status)),
        };
        let watch = match open.watch(&self.server) {
            Ok(watch) => watch,
            Err(status) => return LowIo::Done(Err(status)),
        };
        if let Some(changes) = watch.take() {
            return LowIo::Done(Ok(changes));
        }
        // If it is removed after this look, the watch says so.
        match self.server.expect_named(open.node()) {
            Ok(()) => watch.wait(context, submission),
            Err(status) => LowIo::Done(watch.take().ok_or(status)),
        }
    }

    // ---- information --------------------------------------------------------------------------

    fn query_file_information(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        _open: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        self.travel(context)?;
        Ok(node(file)?.attributes())
    }

    fn set_file_information(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        _open: Option<OpenRef<'_>>,
        set: SetAttributes,
    ) -> Result<Attributes, Status> {
        self.travel(context)?;
        let node = node(file)?;
        let attributes = node.set(&set, self.now())?;
        let kind = if set.size.is_some() { ChangeKind::Modified } else { ChangeKind::Attributes };
        self.server.announce(&node, kind);
        Ok(attributes)
    }

    fn query_directory(
        &self,
        context: Context<'_>,
        directory: OpenRef<'_>,
        query: DirectoryQuery,
    ) -> Result<Vec<DirectoryEntry>, Status> {
        self.travel(context)?;
        self.server.list(opened(&directory)?, query, self.now())
    }

    fn query_volume_information(&self, context: Context<'_>) -> Result<VolumeInformation, Status> {
        self.travel(context)?;
        Ok(self.server.volume())
    }

    fn query_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
    ) -> Result<Vec<u8>, Status> {
        self.travel(context)?;
        node(file)?.xattr(name)
    }

    /// `trusted.` is shown to root alone, as Linux file systems do.
    fn list_extended_attributes(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
    ) -> Result<Vec<u8>, Status> {
        self.travel(context)?;
        Ok(node(file)?.xattr_names(context.caller().uid == 0))
    }

    fn set_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
        value: &[u8],
        mode: SetExtendedAttributeMode,
    ) -> Result<(), Status> {
        self.travel(context)?;
        let node = node(file)?;
        node.set_xattr(name, value, mode, self.now())?;
        self.server.announce(&node, ChangeKind::Attributes);
        Ok(())
    }

    fn remove_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
    ) -> Result<(), Status> {
        self.travel(context)?;
        let node = node(file)?;
        node.remove_xattr(name, self.now())?;
        self.server.announce(&node, ChangeKind::Attributes);
        Ok(())
    }

    fn allocate(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        length: u64,
        mode: AllocateMode,
    ) -> Result<(), Status> {
        self.travel(context)?;
        let node = opened(&open)?.node();
        node.allocate(offset, length, mode, context.caller().uid != 0, self.now())?;
        self.server.announce(node, ChangeKind::Modified);
        Ok(())
    }

    fn seek(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        to: SeekTo,
    ) -> Result<u64, Status> {
        self.travel(context)?;
        opened(&open)?.node().seek(offset, to)
    }

    fn copy_range(
        &self,
        context: Context<'_>,
        from: (OpenRef<'_>, u64),
        to: (OpenRef<'_>, u64),
        length: u64,
    ) -> Result<u64, Status> {
        self.travel(context)?;
        let source = (&**opened(&from.0)?.node(), from.1);
        let target = (&**opened(&to.0)?.node(), to.1);
        self.server.copy(source, target, length, context, self.now())
    }
}
