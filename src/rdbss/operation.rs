//! What the front asks of the core, and what it gets back: one variant an operation, each with its
//! own data (style.md §4: no context as a bag of everything).
//!
//! [`Operation::class`] is the gate table of stop.md §2, exhaustive by type.

use crate::base::ids::HandleNumber;
use crate::base::name::Name;
use crate::base::status::Status;
use crate::mrx::request::{
    AllocateMode, Attributes, Buffering, FileKind, Lock, LockKind, OpenOptions, RenameMode, SeekTo,
    SetAttributes, SetExtendedAttributeMode, VolumeInformation,
};
use crate::rdbss::objects::fcb::Fcb;
use std::sync::Arc;

pub use crate::mrx::request as operand;
pub use crate::rdbss::kind::OperationKind;
pub use crate::rdbss::payload::WriteData;

/// A file as the front holds it: an FCB it keeps alive while the kernel knows its number.
pub type Node = Arc<Fcb>;

/// The classes of the gate table (stop.md §2). FORGET, BATCH_FORGET and DESTROY (close) and
/// INTERRUPT never reach the core: the front drops its reference, in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationClass {
    /// Makes or opens something; `opens` ones are refused while Paused too.
    Create {
        /// OPEN, OPENDIR, CREATE, TMPFILE.
        opens: bool,
    },
    /// I/O on a handle.
    HandleIo,
    /// I/O on a name.
    NameIo,
    /// FLUSH, RELEASE, RELEASEDIR, unlock, page write-back: passes in every state (G3).
    Cleanup,
    /// Root attributes and volume size: answered in every state (G4).
    Device,
}

/// Who and how of a new file: what the kernel says, before ownership rules are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Permission bits 0o7777, as asked.
    pub permissions: u16,
    /// The caller's umask; 0 when the kernel applied it already.
    pub umask: u16,
}

/// One request from the kernel.
#[derive(Clone, Debug)]
pub enum Operation<'a> {
    /// LOOKUP.
    Lookup {
        /// In this directory.
        parent: Node,
        /// This name.
        name: Name,
    },
    /// GETATTR. With a handle it is handle I/O; of the root without one it is of the device class.
    GetAttributes {
        /// The file.
        node: Node,
        /// The handle `fstat` was called on, if the kernel said.
        handle: Option<HandleNumber>,
    },
    /// SETATTR.
    SetAttributes {
        /// The file.
        node: Node,
        /// The handle, for `ftruncate`.
        handle: Option<HandleNumber>,
        /// What to change.
        set: SetAttributes,
    },
    /// READLINK.
    ReadLink {
        /// The symlink.
        node: Node,
    },
    /// MKNOD, MKDIR, SYMLINK.
    MakeNode {
        /// In this directory.
        parent: Node,
        /// Under this name.
        name: Name,
        /// What.
        node: operand::NewNode,
        /// Whose.
        creation: Creation,
    },
    /// LINK.
    Link {
        /// This file
        node: Node,
        /// gets in this directory
        parent: Node,
        /// this name.
        name: Name,
    },
    /// UNLINK.
    Unlink {
        /// From this directory.
        parent: Node,
        /// This name.
        name: Name,
    },
    /// RMDIR.
    RemoveDirectory {
        /// From this directory.
        parent: Node,
        /// This name.
        name: Name,
    },
    /// RENAME, RENAME2.
    Rename {
        /// Old directory.
        parent: Node,
        /// Old name.
        name: Name,
        /// New directory.
        new_parent: Node,
        /// New name.
        new_name: Name,
        /// What if it exists.
        mode: RenameMode,
    },
    /// OPEN.
    Open {
        /// The file.
        node: Node,
        /// How.
        options: OpenOptions,
    },
    /// CREATE: a new name, or the existing file if another made it first and `exclusive` is false.
    Create {
        /// In this directory.
        parent: Node,
        /// Under this name.
        name: Name,
        /// Whose.
        creation: Creation,
        /// How it is opened.
        options: OpenOptions,
        /// O_EXCL.
        exclusive: bool,
    },
    /// READ.
    Read {
        /// The handle.
        handle: HandleNumber,
        /// First byte.
        offset: u64,
        /// Bytes wanted.
        size: usize,
        /// Filled and handed back in [`Answer::Data`]; empty, may have capacity.
        buffer: Vec<u8>,
    },
    /// WRITE.
    Write {
        /// The handle.
        handle: HandleNumber,
        /// First byte.
        offset: u64,
        /// The data; borrowed from the kernel's buffer while it runs inline.
        data: WriteData<'a>,
        /// Page write-back (FUSE_WRITE_CACHE): cleanup, never refused (G3).
        write_back: bool,
        /// The kernel asks for set-id bits to be cleared.
        kill_privileges: bool,
    },
    /// FLUSH: some descriptor was closed.
    Flush {
        /// The handle.
        handle: HandleNumber,
    },
    /// RELEASE, RELEASEDIR: the last descriptor and mapping are gone.
    Release {
        /// The handle.
        handle: HandleNumber,
    },
    /// FSYNC, FSYNCDIR.
    Synchronize {
        /// The handle.
        handle: HandleNumber,
        /// `fdatasync`.
        data_only: bool,
    },
    /// OPENDIR.
    OpenDirectory {
        /// The directory.
        node: Node,
    },
    /// READDIR, READDIRPLUS.
    ReadDirectory {
        /// The handle.
        handle: HandleNumber,
        /// 0, or the `next` of the last entry taken.
        from: u64,
        /// Size of the kernel's buffer.
        budget_bytes: usize,
        /// READDIRPLUS.
        with_files: bool,
    },
    /// STATFS.
    QueryVolume {
        /// Of the device this file is on.
        node: Node,
    },
    /// GETXATTR.
    GetExtendedAttribute {
        /// The file.
        node: Node,
        /// The attribute.
        name: Vec<u8>,
    },
    /// LISTXATTR.
    ListExtendedAttributes {
        /// The file.
        node: Node,
    },
    /// SETXATTR.
    SetExtendedAttribute {
        /// The file.
        node: Node,
        /// The attribute.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
        /// What if it exists.
        mode: SetExtendedAttributeMode,
    },
    /// REMOVEXATTR.
    RemoveExtendedAttribute {
        /// The file.
        node: Node,
        /// The attribute.
        name: Vec<u8>,
    },
    /// ACCESS: only asked without `default_permissions`.
    Access {
        /// The file.
        node: Node,
        /// R_OK | W_OK | X_OK.
        mask: u8,
    },
    /// FALLOCATE.
    Allocate {
        /// The handle.
        handle: HandleNumber,
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Flags.
        mode: AllocateMode,
    },
    /// LSEEK for data or holes.
    Seek {
        /// The handle.
        handle: HandleNumber,
        /// From here.
        offset: u64,
        /// To what.
        to: SeekTo,
    },
    /// COPY_FILE_RANGE.
    CopyRange {
        /// Source handle.
        from: HandleNumber,
        /// Its first byte.
        from_offset: u64,
        /// Destination handle.
        to: HandleNumber,
        /// Its first byte.
        to_offset: u64,
        /// Bytes.
        length: u64,
    },
    /// GETLK.
    GetLock {
        /// The handle.
        handle: HandleNumber,
        /// The lock asked about.
        lock: Lock,
    },
    /// SETLK, SETLKW.
    SetLock {
        /// The handle.
        handle: HandleNumber,
        /// The lock, or `Unlock`.
        lock: Lock,
        /// SETLKW: wait for it.
        wait: bool,
    },
}

impl Operation<'_> {
    /// The row of the gate table this request is in. No default arm: a new operation must choose.
    #[must_use]
    pub fn class(&self) -> OperationClass {
        match self {
            Self::Lookup { .. }
            | Self::MakeNode { .. }
            | Self::Link { .. }
            | Self::Unlink { .. }
            | Self::RemoveDirectory { .. }
            | Self::Rename { .. } => OperationClass::Create { opens: false },
            Self::Open { .. } | Self::Create { .. } | Self::OpenDirectory { .. } => {
                OperationClass::Create { opens: true }
            }
            Self::GetAttributes { node, handle: None } if node.is_root() => OperationClass::Device,
            Self::QueryVolume { .. } => OperationClass::Device,
            Self::GetAttributes { handle: Some(_), .. }
            | Self::SetAttributes { handle: Some(_), .. }
            | Self::Read { .. }
            | Self::Write { write_back: false, .. }
            | Self::Synchronize { .. }
            | Self::ReadDirectory { .. }
            | Self::Allocate { .. }
            | Self::Seek { .. }
            | Self::CopyRange { .. }
            | Self::GetLock { .. } => OperationClass::HandleIo,
            Self::SetLock { lock, .. } => match lock.kind {
                LockKind::Unlock => OperationClass::Cleanup,
                LockKind::Shared | LockKind::Exclusive => OperationClass::HandleIo,
            },
            Self::GetAttributes { handle: None, .. }
            | Self::SetAttributes { handle: None, .. }
            | Self::ReadLink { .. }
            | Self::GetExtendedAttribute { .. }
            | Self::ListExtendedAttributes { .. }
            | Self::SetExtendedAttribute { .. }
            | Self::RemoveExtendedAttribute { .. }
            | Self::Access { .. } => OperationClass::NameIo,
            Self::Write { write_back: true, .. } | Self::Flush { .. } | Self::Release { .. } => {
                OperationClass::Cleanup
            }
        }
    }

    /// Does it change something on the server, if it is done? A request that only asks may be
    /// answered EINTR at any time: nobody can tell whether it was made. No default arm.
    #[must_use]
    pub const fn changes(&self) -> bool {
        match self {
            Self::Lookup { .. }
            | Self::GetAttributes { .. }
            | Self::ReadLink { .. }
            | Self::Read { .. }
            | Self::OpenDirectory { .. }
            | Self::ReadDirectory { .. }
            | Self::QueryVolume { .. }
            | Self::GetExtendedAttribute { .. }
            | Self::ListExtendedAttributes { .. }
            | Self::Access { .. }
            | Self::Seek { .. }
            | Self::GetLock { .. } => false,
            Self::Open { options, .. } => options.truncate,
            // One that is granted too late is given back (`Device::too_late`).
            Self::SetLock { lock, .. } => matches!(lock.kind, LockKind::Unlock),
            Self::SetAttributes { .. }
            | Self::MakeNode { .. }
            | Self::Link { .. }
            | Self::Unlink { .. }
            | Self::RemoveDirectory { .. }
            | Self::Rename { .. }
            | Self::Create { .. }
            | Self::Write { .. }
            | Self::Flush { .. }
            | Self::Release { .. }
            | Self::Synchronize { .. }
            | Self::SetExtendedAttribute { .. }
            | Self::RemoveExtendedAttribute { .. }
            | Self::Allocate { .. }
            | Self::CopyRange { .. } => true,
        }
    }

    /// Does it wait for other applications, not for the server? Then no deadline of a request is
    /// its.
    #[must_use]
    pub const fn waits_for_others(&self) -> bool {
        match self {
            Self::SetLock { wait, lock, .. } => *wait && !matches!(lock.kind, LockKind::Unlock),
            _ => false,
        }
    }

    /// Which one it is. No default arm.
    #[must_use]
    pub const fn kind(&self) -> OperationKind {
        match self {
            Self::Lookup { .. } => OperationKind::Lookup,
            Self::GetAttributes { .. } => OperationKind::GetAttributes,
            Self::SetAttributes { .. } => OperationKind::SetAttributes,
            Self::ReadLink { .. } => OperationKind::ReadLink,
            Self::MakeNode { .. } => OperationKind::MakeNode,
            Self::Link { .. } => OperationKind::Link,
            Self::Unlink { .. } => OperationKind::Unlink,
            Self::RemoveDirectory { .. } => OperationKind::RemoveDirectory,
            Self::Rename { .. } => OperationKind::Rename,
            Self::Open { .. } => OperationKind::Open,
            Self::Create { .. } => OperationKind::Create,
            Self::Read { .. } => OperationKind::Read,
            Self::Write { write_back: true, .. } => OperationKind::WriteBack,
            Self::Write { .. } => OperationKind::Write,
            Self::Flush { .. } => OperationKind::Flush,
            Self::Release { .. } => OperationKind::Release,
            Self::Synchronize { .. } => OperationKind::Synchronize,
            Self::OpenDirectory { .. } => OperationKind::OpenDirectory,
            Self::ReadDirectory { .. } => OperationKind::ReadDirectory,
            Self::QueryVolume { .. } => OperationKind::QueryVolume,
            Self::GetExtendedAttribute { .. } => OperationKind::GetExtendedAttribute,
            Self::ListExtendedAttributes { .. } => OperationKind::ListExtendedAttributes,
            Self::SetExtendedAttribute { .. } => OperationKind::SetExtendedAttribute,
            Self::RemoveExtendedAttribute { .. } => OperationKind::RemoveExtendedAttribute,
            Self::Access { .. } => OperationKind::Access,
            Self::Allocate { .. } => OperationKind::Allocate,
            Self::Seek { .. } => OperationKind::Seek,
            Self::CopyRange { .. } => OperationKind::CopyRange,
            Self::GetLock { .. } => OperationKind::GetLock,
            Self::SetLock { .. } => OperationKind::SetLock,
        }
    }

    /// The word `minirdr requests` shows, and the `op` of refusals.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        self.kind().word()
    }

    /// Payload bytes that must be copied to post it.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Write { data, .. } => data.len(),
            Self::SetExtendedAttribute { value, .. } => value.len(),
            _ => 0,
        }
    }

    /// The same request with nothing borrowed, so that it can be posted. Copies a WRITE's data.
    #[must_use]
    pub fn into_owned(self) -> Operation<'static> {
        match self {
            Self::Write { handle, offset, data, write_back, kill_privileges } => Operation::Write {
                handle,
                offset,
                data: WriteData::Shared(data.shared()),
                write_back,
                kill_privileges,
            },
            other => other.without_data(),
        }
    }

    /// Changes the lifetime of every variant that borrows nothing.
    fn without_data(self) -> Operation<'static> {
        macro_rules! same {
            ($($variant:ident { $($field:ident),* }),+ $(,)?) => {
                match self {
                    $(Self::$variant { $($field),* } => Operation::$variant { $($field),* },)+
                    Self::Write { handle, offset, data, write_back, kill_privileges } => {
                        let data = WriteData::Shared(data.shared());
                        Operation::Write { handle, offset, data, write_back, kill_privileges }
                    }
                }
            };
        }
        same!(
            Lookup { parent, name },
            GetAttributes { node, handle },
            SetAttributes { node, handle, set },
            ReadLink { node },
            MakeNode { parent, name, node, creation },
            Link { node, parent, name },
            Unlink { parent, name },
            RemoveDirectory { parent, name },
            Rename { parent, name, new_parent, new_name, mode },
            Open { node, options },
            Create { parent, name, creation, options, exclusive },
            Read { handle, offset, size, buffer },
            Flush { handle },
            Release { handle },
            Synchronize { handle, data_only },
            OpenDirectory { node },
            QueryVolume { node },
            ReadDirectory { handle, from, budget_bytes, with_files },
            GetExtendedAttribute { node, name },
            ListExtendedAttributes { node },
            SetExtendedAttribute { node, name, value, mode },
            RemoveExtendedAttribute { node, name },
            Access { node, mask },
            Allocate { handle, offset, length, mode },
            Seek { handle, offset, to },
            CopyRange { from, from_offset, to, to_offset, length },
            GetLock { handle, lock },
            SetLock { handle, lock, wait },
        )
    }
}

/// A name found or made.
#[derive(Clone, Debug)]
pub struct NodeAnswer {
    /// The file; holding it keeps its FCB.
    pub node: Node,
    /// Its attributes.
    pub attributes: Attributes,
}

/// A handle given out. The front must send [`Operation::Release`] for it, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenAnswer {
    /// Its number.
    pub handle: HandleNumber,
    /// What the kernel may cache.
    pub buffering: Buffering,
}

/// One name of a listing.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The name: also `.` and `..`, which come first.
    pub name: Vec<u8>,
    /// `d_ino`.
    pub number: u64,
    /// `d_type`.
    pub kind: FileKind,
    /// Ask from here for what follows.
    pub next: u64,
    /// The file, for READDIRPLUS; never for `.` and `..`.
    pub file: Option<NodeAnswer>,
}

/// A successful request's answer. PENDING is not one: it cannot reach FUSE (invariant 2).
#[derive(Clone, Debug)]
pub enum Answer {
    /// Nothing to say.
    Empty,
    /// A name found or made.
    Node(NodeAnswer),
    /// LOOKUP: there is no such name, and until further notice there will be none.
    Absent,
    /// Attributes.
    Attributes(Attributes),
    /// An open.
    Opened(OpenAnswer),
    /// A create.
    Created(NodeAnswer, OpenAnswer),
    /// READ, READLINK, GETXATTR, LISTXATTR.
    Data(Vec<u8>),
    /// Bytes written or copied.
    Written(usize),
    /// LSEEK.
    Offset(u64),
    /// A listing.
    Listing(Vec<Listed>),
    /// STATFS.
    Volume(VolumeInformation),
    /// GETLK: the lock in the way.
    Lock(Option<Lock>),
    /// SETLK: granted. The kernel is told nothing more than that; the core needs to know which, to
    /// give it back if nobody took the answer.
    Granted(HandleNumber, Lock),
}

/// Takes a request's answer, once. Lives in the context until then; may be called on any thread.
/// Dropping it unanswered must answer EIO (invariant 6; fuser's replies do).
pub trait Responder: Send {
    /// Answers the kernel. No lock of ours is held.
    fn respond(self: Box<Self>, answer: Result<Answer, Status>);
}

/// The core as the front sees it; `Device` is the one implementation outside tests.
pub trait Dispatcher: Send + Sync {
    /// The root of the mount. The same node for the whole life of the mount.
    fn root(&self) -> Node;

    /// Takes one request: gates and counts it, runs it here or posts it, and has it answered
    /// through
    /// `responder`, exactly once, from this thread or another. Returns soon: it waits for no other
    /// request.
    fn submit(
        &self,
        caller: crate::base::ids::Caller,
        operation: Operation<'_>,
        responder: Box<dyn Responder>,
    );
}
