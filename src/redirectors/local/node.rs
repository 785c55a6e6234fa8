//! What `statx` says, as the contract's identity and attributes.

use crate::mrx::request::{Attributes, FileKind, Timestamp};
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp, statx};
use rustix::io::Errno;

/// What makes a backing file the same file: an inode number alone may be given to a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    /// `st_dev`: major in the upper half, minor in the lower.
    pub(super) device: u64,
    /// `st_ino`.
    pub(super) inode: u64,
    /// Time of birth in nanoseconds since the epoch, wrapping; 0 where the file system keeps none.
    pub(super) born: u64,
}

/// One look at a backing file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Which file.
    pub(super) key: FileKey,
    /// Its attributes then.
    pub(super) attributes: Attributes,
}

/// Looks at an open file; `O_PATH` is enough.
pub(super) fn node_of(file: impl AsFd) -> Result<Node, Errno> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    from_statx(&statx(file, "", AtFlags::EMPTY_PATH, mask)?)
}

/// Looks at a name of an open directory. Never follows a symlink, never triggers an automount.
pub(super) fn node_at(directory: impl AsFd, name: &[u8]) -> Result<Node, Errno> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    from_statx(&statx(directory, name, flags, mask)?)
}

fn from_statx(seen: &Statx) -> Result<Node, Errno> {
    let mode = u32::from(seen.stx_mode);
    let kind = kind_of(FileType::from_raw_mode(mode)).ok_or(Errno::IO)?;
    let created = timestamp(&seen.stx_btime);
    let has_birth = seen.stx_mask & StatxFlags::BTIME.bits() != 0;
    let key = FileKey {
        device: u64::from(seen.stx_dev_major) << 32 | u64::from(seen.stx_dev_minor),
        inode: seen.stx_ino,
        born: if has_birth { nanoseconds(created) } else { 0 },
    };
    let attributes = Attributes {
        kind,
        permissions: seen.stx_mode & 0o7777,
        links: seen.stx_nlink,
        uid: seen.stx_uid,
        gid: seen.stx_gid,
        device: encode_device(seen.stx_rdev_major, seen.stx_rdev_minor),
        size: seen.stx_size,
        blocks: seen.stx_blocks,
        block_size: seen.stx_blksize,
        accessed: timestamp(&seen.stx_atime),
        modified: timestamp(&seen.stx_mtime),
        changed: timestamp(&seen.stx_ctime),
        created,
        leased: false,
    };
    Ok(Node { key, attributes })
}

/// The contract's kind; none for a type this system does not have.
pub(super) fn kind_of(file_type: FileType) -> Option<FileKind> {
    Some(match file_type {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::CharacterDevice => FileKind::CharacterDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::NamedPipe,
        FileType::Socket => FileKind::Socket,
        FileType::Unknown => return None,
    })
}

/// The system's type, for `mknod`.
pub(super) const fn type_of(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::CharacterDevice => FileType::CharacterDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::NamedPipe => FileType::Fifo,
        FileKind::Socket => FileType::Socket,
    }
}

/// The kernel's `new_encode_dev`: 12 bits of major between the lower 8 and upper 12 of minor.
pub(super) const fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// The kernel's `new_decode_dev`: major and minor.
pub(super) const fn decode_device(device: u32) -> (u32, u32) {
    ((device & 0xf_ff00) >> 8, (device & 0xff) | (device >> 12 & 0xf_ff00))
}

fn timestamp(time: &StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}

/// A time as one number, to be compared; it wraps after five centuries and nobody minds.
pub(super) const fn nanoseconds(time: Timestamp) -> u64 {
    (time.seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(time.nanoseconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn device_numbers_survive_the_kernels_encoding() {
        for (major, minor) in [(1, 3), (8, 0), (0xfff, 0xf_ffff), (259, 300)] {
            assert_eq!(decode_device(encode_device(major, minor)), (major, minor));
        }
        assert_eq!(encode_device(1, 3), 0x103, "as /dev/null is encoded");
    }

    #[test]
    fn one_look_is_what_stat_says() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("f");
        std::fs::write(&path, b"12345").expect("written");
        let meta = std::fs::metadata(&path).expect("stat");
        let open = std::fs::File::open(directory.path()).expect("open");
        let node = node_at(&open, b"f").expect("statx");
        assert_eq!(node.key.inode, meta.ino());
        assert_eq!(node.attributes.kind, FileKind::Regular);
        assert_eq!(node.attributes.size, 5);
        assert_eq!(u32::from(node.attributes.permissions), meta.mode() & 0o7777);
        assert_eq!(node.attributes.modified.seconds, meta.mtime());
        assert_eq!(node_at(&open, b"g").map(|_| ()), Err(Errno::NOENT));
        assert_eq!(node_of(&open).expect("statx").attributes.kind, FileKind::Directory);
    }
}
