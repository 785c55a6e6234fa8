//! fuser's types to ours and back. Pure.

use crate::base::ids::{Caller, NodeNumber};
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::rdbss::operation::operand::{
    Access, AllocateMode, Attributes, Buffering, FileKind, Lock, LockKind, NewNode, OpenOptions,
    RenameMode, SeekTo, SetAttributes, SetExtendedAttributeMode, SetTime, Timestamp,
};
use fuser::{FileAttr, FileType, FopenFlags, INodeNo, RenameFlags, Request, TimeOrNow};
use rustix::fs::OFlags;
use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

/// Permission bits with set-id and sticky.
const PERMISSIONS: u32 = 0o7777;
/// File type bits of a mode.
const TYPE: u32 = 0o170_000;
/// Longest extended attribute name (XATTR_NAME_MAX).
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 255;
/// Largest extended attribute value (XATTR_SIZE_MAX).
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// The most a COPY_FILE_RANGE reply can report: 32 bits, in whole pages.
pub const COPY_BYTES_MAX: u64 = 0xffff_f000;

/// The kernel's error for ours.
#[must_use]
pub fn errno(status: Status) -> fuser::Errno {
    fuser_errno(status.errno())
}

/// fuser's error for ours.
#[must_use]
pub fn fuser_errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.get())
}

/// Who asks.
#[must_use]
pub fn caller(request: &Request) -> Caller {
    Caller::local(request.pid(), request.uid(), request.gid())
}

/// A name from the kernel. It never sends one that is none, but for `.` and `..`.
///
/// # Errors
/// As [`Name::new`].
pub fn name(name: &OsStr) -> Result<Name, Status> {
    Name::from_os(name)
}

/// Kind of a file, as fuser says it.
#[must_use]
pub const fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::CharacterDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::NamedPipe => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
    }
}

/// Attributes, as fuser sends them.
#[must_use]
pub fn attributes(number: NodeNumber, attributes: &Attributes) -> FileAttr {
    FileAttr {
        ino: INodeNo(number.0),
        size: attributes.size,
        blocks: attributes.blocks,
        atime: attributes.accessed.into(),
        mtime: attributes.modified.into(),
        ctime: attributes.changed.into(),
        crtime: attributes.created.into(),
        kind: file_type(attributes.kind),
        perm: attributes.permissions,
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: attributes.device,
        blksize: attributes.block_size,
        flags: 0,
    }
}

/// Attributes of no file: node number 0 makes a negative entry, or an entry the kernel links to
/// nothing.
#[must_use]
pub fn no_file(kind: FileKind) -> FileAttr {
    let never = Timestamp::default();
    let nothing = Attributes {
        kind,
        permissions: 0,
        links: 0,
        uid: 0,
        gid: 0,
        device: 0,
        size: 0,
        blocks: 0,
        block_size: 0,
        accessed: never,
        modified: never,
        changed: never,
        created: never,
        leased: false,
    };
    attributes(NodeNumber(0), &nothing)
}

/// A time from the kernel. fuser 0.18 decodes a time before 1970 as `-(seconds + nanoseconds)`
/// where `-seconds + nanoseconds` was sent (fuse.md 1.9); the two parts can still be told apart.
#[must_use]
pub fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(_) => time.into(),
        Err(before) => {
            let before = before.duration();
            Timestamp {
                seconds: i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds),
                nanoseconds: before.subsec_nanos(),
            }
        }
    }
}

fn set_time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(time) => SetTime::At(timestamp(time)),
    }
}

/// SETATTR's operands as fuser hands them over.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawSetAttributes {
    /// New mode.
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size.
    pub size: Option<u64>,
    /// New access time.
    pub accessed: Option<TimeOrNow>,
    /// New modification time.
    pub modified: Option<TimeOrNow>,
}

impl RawSetAttributes {
    /// Ours. fuser loses FATTR_KILL_SUIDGID, which we asked the kernel for (HANDLE_KILLPRIV_V2):
    /// the kernel sets it for a truncation by a process without CAP_FSETID, for which we take any
    /// but root's; and a change of owner clears the bits whoever makes it. One that changes
    /// nothing is sent for the flag's sake alone: before content changes, and by a `chown` to
    /// nobody new.
    #[must_use]
    pub fn translate(self, caller: Caller) -> SetAttributes {
        let changes_owner = self.uid.is_some() || self.gid.is_some();
        let truncates = self.size.is_some() && caller.uid != 0;
        let changes_mode_or_times =
            self.mode.is_some() || self.accessed.is_some() || self.modified.is_some();
        let for_the_flag = !changes_owner && !changes_mode_or_times && self.size.is_none();
        SetAttributes {
            permissions: self.mode.map(permissions),
            uid: self.uid,
            gid: self.gid,
            size: self.size,
            accessed: self.accessed.map(set_time),
            modified: self.modified.map(set_time),
            kill_privileges: changes_owner || truncates || for_the_flag,
        }
    }
}

/// Permission bits of a mode.
#[must_use]
pub const fn permissions(mode: u32) -> u16 {
    (mode & PERMISSIONS) as u16
}

/// MKNOD's node.
///
/// # Errors
/// `InvalidParameter` for a type `mknod` cannot make.
pub fn new_node(mode: u32, device: u32) -> Result<NewNode, Status> {
    let kind = match mode & TYPE {
        // As mknod(2): no type means a regular file.
        0o100_000 | 0 => FileKind::Regular,
        0o020_000 => FileKind::CharacterDevice,
        0o060_000 => FileKind::BlockDevice,
        0o010_000 => FileKind::NamedPipe,
        0o140_000 => FileKind::Socket,
        _ => return Err(Status::InvalidParameter),
    };
    Ok(NewNode::Special(kind, device))
}

/// How a file is opened. Truncating clears set-id bits unless root does it: fuser loses
/// FUSE_OPEN_KILL_SUIDGID.
#[must_use]
pub fn open_options(flags: i32, caller: Caller) -> OpenOptions {
    let has = |flag: OFlags| flags.cast_unsigned() & flag.bits() != 0;
    let access = match flags & 3 {
        1 => Access::Write,
        2 => Access::ReadWrite,
        // 3 opens for ioctl only.
        _ => Access::Read,
    };
    let truncate = has(OFlags::TRUNC);
    OpenOptions {
        access,
        append: has(OFlags::APPEND),
        truncate,
        direct: has(OFlags::DIRECT),
        synchronous: has(OFlags::DSYNC),
        kill_privileges: truncate && caller.uid != 0,
    }
}

/// Is this an open with O_EXCL?
#[must_use]
pub fn is_exclusive(flags: i32) -> bool {
    flags.cast_unsigned() & OFlags::EXCL.bits() != 0
}

/// Is this a descriptor with O_NONBLOCK?
#[must_use]
pub fn is_nonblocking(flags: i32) -> bool {
    flags.cast_unsigned() & OFlags::NONBLOCK.bits() != 0
}

/// What the kernel may cache of an open.
#[must_use]
pub fn open_flags(buffering: Buffering) -> FopenFlags {
    let mut flags = FopenFlags::empty();
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, buffering.keep_cache);
    flags.set(FopenFlags::FOPEN_DIRECT_IO, buffering.direct);
    flags.set(FopenFlags::FOPEN_STREAM | FopenFlags::FOPEN_NONSEEKABLE, buffering.stream);
    flags.set(FopenFlags::FOPEN_NOFLUSH, buffering.no_flush);
    flags.set(FopenFlags::FOPEN_CACHE_DIR, buffering.cache_directory);
    flags
}

/// RENAME2's flags.
///
/// # Errors
/// `InvalidParameter` for WHITEOUT, for both flags together and for flags to come.
pub fn rename_mode(flags: RenameFlags) -> Result<RenameMode, Status> {
    if flags.is_empty() {
        Ok(RenameMode::Replace)
    } else if flags == RenameFlags::RENAME_NOREPLACE {
        Ok(RenameMode::NoReplace)
    } else if flags == RenameFlags::RENAME_EXCHANGE {
        Ok(RenameMode::Exchange)
    } else {
        Err(Status::InvalidParameter)
    }
}

/// FALLOCATE's mode.
///
/// # Errors
/// `NotSupported` for bits that are not known.
pub fn allocate_mode(mode: i32) -> Result<AllocateMode, Status> {
    const KNOWN: i32 = 0x01 | 0x02 | 0x08 | 0x10 | 0x20 | 0x40;
    if mode & !KNOWN != 0 {
        return Err(Status::NotSupported);
    }
    let has = |bit: i32| mode & bit != 0;
    Ok(AllocateMode {
        keep_size: has(0x01),
        punch_hole: has(0x02),
        collapse_range: has(0x08),
        zero_range: has(0x10),
        insert_range: has(0x20),
        unshare_range: has(0x40),
    })
}

/// LSEEK's offset and direction; the kernel does the other directions itself.
///
/// # Errors
/// `InvalidParameter` for another direction; ENXIO before the beginning.
pub fn seek(offset: i64, whence: i32) -> Result<(u64, SeekTo), Status> {
    let to = match whence {
        3 => SeekTo::Data,
        4 => SeekTo::Hole,
        _ => return Err(Status::InvalidParameter),
    };
    let offset = u64::try_from(offset).map_err(|_| Status::Posix(Errno::ENXIO))?;
    Ok((offset, to))
}

/// SETXATTR's flags.
///
/// # Errors
/// `InvalidParameter` for both together and for others.
pub fn extended_attribute_mode(flags: i32) -> Result<SetExtendedAttributeMode, Status> {
    match flags {
        0 => Ok(SetExtendedAttributeMode::Any),
        1 => Ok(SetExtendedAttributeMode::Create),
        2 => Ok(SetExtendedAttributeMode::Replace),
        _ => Err(Status::InvalidParameter),
    }
}

/// The name of an extended attribute.
///
/// # Errors
/// ERANGE over 255 bytes or when empty, as the VFS says it.
pub fn extended_attribute_name(name: &[u8]) -> Result<Vec<u8>, Status> {
    if name.is_empty() || name.len() > ATTRIBUTE_NAME_BYTES_MAX {
        return Err(Status::Posix(Errno::ERANGE));
    }
    Ok(name.to_vec())
}

/// How GETXATTR and LISTXATTR are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizedReply {
    /// The caller asked for the size only.
    Size(u32),
    /// The value fits.
    Data,
    /// It does not: ERANGE; or nobody could ever take it: E2BIG.
    Error(Errno),
}

/// The size protocol of extended attributes.
#[must_use]
pub fn sized_reply(room: u32, bytes: usize) -> SizedReply {
    match u32::try_from(bytes) {
        Ok(size) if bytes <= ATTRIBUTE_VALUE_BYTES_MAX => match room {
            0 => SizedReply::Size(size),
            room if size <= room => SizedReply::Data,
            _ => SizedReply::Error(Errno::ERANGE),
        },
        _ => SizedReply::Error(Errno::E2BIG),
    }
}

/// GETLK's and SETLK's lock.
///
/// # Errors
/// `InvalidParameter` for a type that is none.
pub fn lock(kind: i32, start: u64, end: u64, owner: u64, pid: u32) -> Result<Lock, Status> {
    let kind = match kind {
        0 => LockKind::Shared,
        1 => LockKind::Exclusive,
        2 => LockKind::Unlock,
        _ => return Err(Status::InvalidParameter),
    };
    Ok(Lock { kind, start, end, owner, pid })
}

/// A lock's type, as `fcntl.h` numbers it.
#[must_use]
pub const fn lock_type(kind: LockKind) -> i32 {
    match kind {
        LockKind::Shared => 0,
        LockKind::Exclusive => 1,
        LockKind::Unlock => 2,
    }
}

/// The whole file, unlocked by this owner: what a close owes the server when locks are its own.
#[must_use]
pub const fn unlock_all(owner: u64) -> Lock {
    Lock { kind: LockKind::Unlock, start: 0, end: i64::MAX as u64, owner, pid: 0 }
}

/// How long a reply may be believed; the kernel takes no more than `u64` seconds.
#[must_use]
pub fn lifetime(timeout: Duration) -> Duration {
    // The kernel adds it to the time since boot, in jiffies: a century cannot overflow.
    timeout.min(Duration::from_secs(100 * 365 * 86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Caller = Caller::local(1, 0, 0);
    const USER: Caller = Caller::local(1, 1000, 1000);

    /// What fuser 0.18 makes of (seconds, nanoseconds) before 1970: its time.rs.
    fn as_fuser_decodes(seconds: i64, nanoseconds: u32) -> SystemTime {
        if seconds >= 0 {
            SystemTime::UNIX_EPOCH + Duration::new(seconds.unsigned_abs(), nanoseconds)
        } else {
            SystemTime::UNIX_EPOCH - Duration::new(seconds.unsigned_abs(), nanoseconds)
        }
    }

    /// fuse.md 1.9: -1.2 s came out as -2.8 s.
    #[test]
    fn times_before_1970_survive_fuser() {
        for (seconds, nanoseconds) in
            [(-2, 800_000_000), (-1, 0), (-1, 999_999_999), (0, 1), (0, 0), (1_700_000_000, 5)]
        {
            let sent = Timestamp { seconds, nanoseconds };
            let time = timestamp(as_fuser_decodes(seconds, nanoseconds));
            assert_eq!(time, sent);
        }
    }

    #[test]
    fn attributes_keep_their_nanoseconds_both_sides_of_1970() {
        let mut ours = Attributes {
            kind: FileKind::Socket,
            permissions: 0o4755,
            links: 2,
            uid: 3,
            gid: 4,
            device: 5,
            size: 6,
            blocks: 7,
            block_size: 8,
            accessed: Timestamp { seconds: -2, nanoseconds: 800_000_000 },
            modified: Timestamp { seconds: 10, nanoseconds: 1 },
            changed: Timestamp::default(),
            created: Timestamp::default(),
            leased: false,
        };
        let theirs = attributes(NodeNumber(9), &ours);
        assert_eq!(theirs.atime, SystemTime::UNIX_EPOCH - Duration::from_millis(1200));
        assert_eq!((theirs.ino.0, theirs.perm, theirs.nlink, theirs.rdev), (9, 0o4755, 2, 5));
        assert_eq!((theirs.size, theirs.blocks, theirs.blksize), (6, 7, 8));
        assert_eq!((theirs.uid, theirs.gid, theirs.kind), (3, 4, FileType::Socket));
        ours.kind = FileKind::Directory;
        assert_eq!(attributes(NodeNumber(9), &ours).kind, FileType::Directory);
        assert_eq!(no_file(FileKind::Regular).ino.0, 0);
    }

    #[test]
    fn set_id_bits_are_killed_as_the_kernel_would_have_said() {
        let kills = |raw: RawSetAttributes, who| raw.translate(who).kill_privileges;
        let size = RawSetAttributes { size: Some(1), ..Default::default() };
        let owner = RawSetAttributes { uid: Some(1), ..Default::default() };
        let group = RawSetAttributes { gid: Some(1), ..Default::default() };
        let mode = RawSetAttributes { mode: Some(0o104_755), ..Default::default() };
        assert!(kills(size, USER) && !kills(size, ROOT));
        assert!(kills(owner, USER) && kills(owner, ROOT) && kills(group, ROOT));
        assert!(!kills(mode, USER));
        assert!(kills(RawSetAttributes::default(), USER), "fuser lost the only flag");
        assert_eq!(mode.translate(USER).permissions, Some(0o4755));
        let truncating = (OFlags::TRUNC | OFlags::WRONLY).bits().cast_signed();
        assert!(open_options(truncating, USER).kill_privileges);
        assert!(!open_options(truncating, ROOT).kill_privileges);
        assert!(!open_options(1, USER).kill_privileges);
    }

    #[test]
    fn open_flags_of_every_kind() {
        let options = |flags: OFlags| open_options(flags.bits().cast_signed(), ROOT);
        assert_eq!(options(OFlags::RDONLY).access, Access::Read);
        assert_eq!(options(OFlags::WRONLY).access, Access::Write);
        assert_eq!(options(OFlags::RDWR).access, Access::ReadWrite);
        assert!(options(OFlags::APPEND).append && !options(OFlags::RDWR).append);
        assert!(options(OFlags::DIRECT).direct);
        assert!(options(OFlags::SYNC).synchronous && options(OFlags::DSYNC).synchronous);
        assert!(is_exclusive(OFlags::EXCL.bits().cast_signed()) && !is_exclusive(0));
        assert!(is_nonblocking(OFlags::NONBLOCK.bits().cast_signed()) && !is_nonblocking(0));
    }

    #[test]
    fn what_the_server_allows_to_be_cached_is_what_the_kernel_hears() {
        assert_eq!(open_flags(Buffering::default()), FopenFlags::empty());
        let stream = open_flags(Buffering { stream: true, direct: true, ..Default::default() });
        assert!(stream.contains(FopenFlags::FOPEN_STREAM | FopenFlags::FOPEN_NONSEEKABLE));
        assert!(stream.contains(FopenFlags::FOPEN_DIRECT_IO));
        let kept = Buffering { keep_cache: true, no_flush: true, ..Default::default() };
        let wanted = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
        assert_eq!(open_flags(kept), wanted);
    }

    #[test]
    fn nodes_that_mknod_makes_and_those_it_does_not() {
        let made = |mode| new_node(mode, 9);
        assert_eq!(made(0o100_644), Ok(NewNode::Special(FileKind::Regular, 9)));
        assert_eq!(made(0o644), Ok(NewNode::Special(FileKind::Regular, 9)));
        assert_eq!(made(0o010_644), Ok(NewNode::Special(FileKind::NamedPipe, 9)));
        assert_eq!(made(0o020_644), Ok(NewNode::Special(FileKind::CharacterDevice, 9)));
        assert_eq!(made(0o060_644), Ok(NewNode::Special(FileKind::BlockDevice, 9)));
        assert_eq!(made(0o140_644), Ok(NewNode::Special(FileKind::Socket, 9)));
        assert_eq!(made(0o040_755), Err(Status::InvalidParameter));
        assert_eq!(made(0o120_777), Err(Status::InvalidParameter));
    }

    #[test]
    fn flags_that_are_not_known_are_refused() {
        assert_eq!(rename_mode(RenameFlags::empty()), Ok(RenameMode::Replace));
        assert_eq!(rename_mode(RenameFlags::RENAME_NOREPLACE), Ok(RenameMode::NoReplace));
        assert_eq!(rename_mode(RenameFlags::RENAME_EXCHANGE), Ok(RenameMode::Exchange));
        let both = RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_EXCHANGE;
        for flags in [both, RenameFlags::RENAME_WHITEOUT, RenameFlags::from_bits_retain(8)] {
            assert_eq!(rename_mode(flags), Err(Status::InvalidParameter));
        }
        assert_eq!(allocate_mode(0x04), Err(Status::NotSupported));
        assert_eq!(allocate_mode(0x80), Err(Status::NotSupported));
        let punch = AllocateMode { keep_size: true, punch_hole: true, ..Default::default() };
        assert_eq!(allocate_mode(3), Ok(punch));
        assert_eq!(extended_attribute_mode(3), Err(Status::InvalidParameter));
        assert_eq!(extended_attribute_mode(2), Ok(SetExtendedAttributeMode::Replace));
        assert_eq!(seek(0, 2), Err(Status::InvalidParameter));
        assert_eq!(seek(-1, 3), Err(Status::Posix(Errno::ENXIO)));
        assert_eq!(seek(7, 4), Ok((7, SeekTo::Hole)));
        assert!(lock(3, 0, 1, 2, 3).is_err());
        assert_eq!(lock(2, 0, 1, 2, 3).map(|lock| lock_type(lock.kind)), Ok(2));
    }

    #[test]
    fn extended_attributes_keep_the_size_protocol() {
        assert_eq!(sized_reply(0, 10), SizedReply::Size(10));
        assert_eq!(sized_reply(10, 10), SizedReply::Data);
        assert_eq!(sized_reply(9, 10), SizedReply::Error(Errno::ERANGE));
        assert_eq!(sized_reply(0, 0), SizedReply::Size(0));
        assert_eq!(sized_reply(0, 65_537), SizedReply::Error(Errno::E2BIG));
        assert!(extended_attribute_name(&[b'x'; 255]).is_ok());
        assert_eq!(extended_attribute_name(&[b'x'; 256]), Err(Status::Posix(Errno::ERANGE)));
    }
}
