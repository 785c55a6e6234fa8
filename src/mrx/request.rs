//! Operands and results of calldowns, as plain data.

use crate::base::name::Name;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A mini-redirector's private half of one of the core's objects. The core keeps it alive as long
/// as the object and never looks inside; dropping it is `MRxDeallocateFor…`.
pub type Extension = Arc<dyn Any + Send + Sync>;

/// What makes a file the same file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// Shown as `st_ino`; unique among the share's living files; never 0 or 1 (the core gives 1 to
    /// the root).
    pub number: u64,
    /// Tells two files apart that had the same number one after the other.
    pub generation: u64,
}

/// What kind of thing a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    NamedPipe,
    /// A Unix socket.
    Socket,
}

/// Seconds and nanoseconds since the Unix epoch; nanoseconds are 0..1_000_000_000 also before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// The rest.
    pub nanoseconds: u32,
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self {
                seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: after.subsec_nanos(),
            },
            Err(before) => {
                let before = before.duration();
                let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Self { seconds: -whole, nanoseconds: 0 },
                    rest => Self { seconds: -whole - 1, nanoseconds: 1_000_000_000 - rest },
                }
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let rest = Duration::from_nanos(u64::from(time.nanoseconds));
        let whole = Duration::from_secs(time.seconds.unsigned_abs());
        let base = if time.seconds >= 0 {
            Self::UNIX_EPOCH.checked_add(whole)
        } else {
            Self::UNIX_EPOCH.checked_sub(whole)
        };
        base.and_then(|base| base.checked_add(rest)).unwrap_or(Self::UNIX_EPOCH)
    }
}

/// What `stat` shows, but for the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Kind of file.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky: 0o7777.
    pub permissions: u16,
    /// Names it has.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, as `stat` encodes it for the kernel (`new_encode_dev`).
    pub device: u32,
    /// Bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Preferred size of I/O, in bytes.
    pub block_size: u32,
    /// Last read.
    pub accessed: Timestamp,
    /// Last change of content.
    pub modified: Timestamp,
    /// Last change of attributes.
    pub changed: Timestamp,
    /// Birth.
    pub created: Timestamp,
    /// The server will say when somebody else changes the file or, of a directory, a name in it
    /// ([`Upcalls`]): what is cached of it may be kept for long.
    ///
    /// [`Upcalls`]: crate::mrx::upcall::Upcalls
    pub leased: bool,
}

/// A file a mini-redirector found or made.
#[derive(Clone)]
pub struct Found {
    /// Which file it is.
    pub identity: FileIdentity,
    /// Its attributes now.
    pub attributes: Attributes,
    /// The mini-redirector's half of the FCB. Dropped at once if the core knows the file already.
    pub extension: Extension,
}

/// A time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The server's clock.
    Now,
    /// This time.
    At(Timestamp),
}

/// Which attributes to change; `None` leaves one alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttributes {
    /// Permission bits 0o7777.
    pub permissions: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Truncate or extend to this many bytes.
    pub size: Option<u64>,
    /// Access time.
    pub accessed: Option<SetTime>,
    /// Modification time.
    pub modified: Option<SetTime>,
    /// Clear set-user-id, set-group-id (if group-executable) and file capabilities as a change of
    /// content or owner by a process without CAP_FSETID does.
    pub kill_privileges: bool,
}

/// Reading, writing or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// O_RDONLY.
    Read,
    /// O_WRONLY.
    Write,
    /// O_RDWR.
    ReadWrite,
}

impl Access {
    /// May data be read?
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// May data be written?
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenOptions {
    /// What for.
    pub access: Access,
    /// O_APPEND: every write goes to the end, whatever its offset.
    pub append: bool,
    /// O_TRUNC.
    pub truncate: bool,
    /// O_DIRECT was asked for; the server may ignore it.
    pub direct: bool,
    /// O_SYNC or O_DSYNC: a write is on stable storage when it returns.
    pub synchronous: bool,
    /// With `truncate`: clear set-id bits and capabilities (see [`SetAttributes`]).
    pub kill_privileges: bool,
}

/// What the server lets us cache for one open: the buffering state (rdbss.md 7.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffering {
    /// Pages may stay in the kernel's cache from earlier opens.
    pub keep_cache: bool,
    /// Nothing may be cached: every read and write comes to us.
    pub direct: bool,
    /// The file is a stream: it cannot be seeked.
    pub stream: bool,
    /// A close needs no FLUSH: the server keeps nothing back and no error can come.
    pub no_flush: bool,
    /// Directory listings may be cached by the kernel.
    pub cache_directory: bool,
}

/// A successful open.
#[derive(Clone)]
pub struct Opened {
    /// The mini-redirector's half of the SRV_OPEN.
    pub extension: Extension,
    /// What may be cached.
    pub buffering: Buffering,
}

/// A file as a calldown names it.
#[derive(Clone, Copy)]
pub struct FileRef<'a> {
    /// Which file. The root's number is the mini-redirector's own here, not 1.
    pub identity: FileIdentity,
    /// What this mini-redirector attached to it.
    pub extension: &'a Extension,
}

/// An open file as a calldown names it.
#[derive(Clone, Copy)]
pub struct OpenRef<'a> {
    /// The file.
    pub file: FileRef<'a>,
    /// What this mini-redirector attached to the open.
    pub extension: &'a Extension,
    /// How it was opened.
    pub options: OpenOptions,
}

/// A new node other than a regular file made by `create`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewNode {
    /// `mkdir`.
    Directory,
    /// `symlink`, with its target.
    Symlink(Vec<u8>),
    /// `mknod` of a regular file, pipe, socket or device, with the device number (see
    /// [`Attributes::device`]).
    Special(FileKind, u32),
}

/// Who will own a new file and what its permissions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Permission bits 0o7777, as the caller asked for them.
    pub permissions: u16,
    /// The caller's umask. A server that keeps POSIX ACLs leaves it alone where the directory has
    /// a default one, which takes its place (acl(5)); everybody else takes it off.
    pub umask: u16,
    /// Owner: the caller's uid.
    pub uid: u32,
    /// Group: the caller's gid, unless the parent directory is set-group-id.
    pub gid: u32,
}

impl Ownership {
    /// The permissions with the umask taken off.
    #[must_use]
    pub const fn masked(self) -> u16 {
        self.permissions & !self.umask & 0o7777
    }
}

/// What `rename` does when the new name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// Replace it.
    Replace,
    /// RENAME_NOREPLACE: fail with EEXIST.
    NoReplace,
    /// RENAME_EXCHANGE: swap the two.
    Exchange,
}

/// One name of a directory listing.
#[derive(Clone)]
pub struct DirectoryEntry {
    /// The name; `.` and `..` are the core's business and never appear.
    pub name: Name,
    /// Number and kind of the file, for `d_ino` and `d_type`.
    pub number: u64,
    /// Kind of the file.
    pub kind: FileKind,
    /// Ask with this to get the entry after. Any value from 1 to 0x7ffe_ffff_ffff_ffff, or exactly
    /// `i64::MAX`; stable while the handle is open. (The core uses the gap for `.` and `..`; the
    /// server file systems we know leave it free.)
    pub next: u64,
    /// The file itself, if the caller asked for it and it still exists.
    pub found: Option<Found>,
}

/// What part of a listing is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryQuery {
    /// 0 for the beginning, else a [`DirectoryEntry::next`].
    pub from: u64,
    /// Stop when the entries would fill this many bytes (24 + name, each rounded up to 8; 128 more
    /// each with `with_files`). At least one entry is returned if there is any.
    pub budget_bytes: usize,
    /// Also find each file (READDIRPLUS).
    pub with_files: bool,
}

/// What `statfs` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeInformation {
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for users that are not root.
    pub blocks_available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Bytes of a block.
    pub block_size: u32,
    /// Longest name.
    pub name_bytes_max: u32,
}

/// What an extended attribute is set like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetExtendedAttributeMode {
    /// Create or replace.
    Any,
    /// XATTR_CREATE: fail with EEXIST.
    Create,
    /// XATTR_REPLACE: fail with ENODATA.
    Replace,
}

/// `lseek` with SEEK_DATA or SEEK_HOLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// The next data at or after the offset.
    Data,
    /// The next hole at or after the offset; the end of file is one.
    Hole,
}

/// `fallocate`'s modes, each a flag as in `linux/falloc.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocateMode {
    /// FALLOC_FL_KEEP_SIZE.
    pub keep_size: bool,
    /// FALLOC_FL_PUNCH_HOLE.
    pub punch_hole: bool,
    /// FALLOC_FL_ZERO_RANGE.
    pub zero_range: bool,
    /// FALLOC_FL_COLLAPSE_RANGE.
    pub collapse_range: bool,
    /// FALLOC_FL_INSERT_RANGE.
    pub insert_range: bool,
    /// FALLOC_FL_UNSHARE_RANGE.
    pub unshare_range: bool,
}

/// Kind of a byte-range lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// F_RDLCK.
    Shared,
    /// F_WRLCK.
    Exclusive,
    /// F_UNLCK.
    Unlock,
}

/// A byte-range lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What kind.
    pub kind: LockKind,
    /// First byte.
    pub start: u64,
    /// Last byte, inclusive.
    pub end: u64,
    /// Whose: the kernel's lock owner.
    pub owner: u64,
    /// Process that holds or wants it.
    pub pid: u32,
}

/// What a change notification tells (`MRxLowIOSubmit[NOTIFY_CHANGE_DIRECTORY]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The directory's entry that changed; `None`: the directory itself.
    pub name: Option<Name>,
    /// What happened.
    pub kind: ChangeKind,
}

/// Kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A name appeared.
    Added,
    /// A name vanished.
    Removed,
    /// Content changed.
    Modified,
    /// Attributes changed.
    Attributes,
    /// Too many changes: read it all again.
    Overflow,
}
