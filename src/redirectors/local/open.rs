//! Opens, and the I/O through them.

use super::directory::Listing;
use super::file::LocalFile;
use super::node::node_of;
use super::tree::Tree;
use super::watch::{Watches, Watching};
use crate::base::status::{Errno as StatusErrno, Status};
use crate::base::sync::{Mutex, Rank};
use crate::mrx::request::{
    Access, AllocateMode, Buffering, FileKind, OpenOptions, SeekTo, Timestamp,
};
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FallocateFlags, OFlags, SeekFrom};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};

/// Two changes nearer to each other than this may have the same time: the coarsest clock of a file
/// system that is still about ticks every other second.
const FRESH_SECONDS: i64 = 3;

/// The mini-redirector's half of a SRV_OPEN: a descriptor of its own, which needs no name.
pub(super) struct LocalOpen {
    /// Open for what was asked.
    pub(super) fd: OwnedFd,
    /// Where a directory is being listed.
    pub(super) listing: Option<Mutex<Listing>>,
    /// Of a directory whose changes were asked for.
    watching: OnceLock<Watching>,
}

impl LocalOpen {
    /// An open regular file.
    pub(super) fn of_file(fd: OwnedFd) -> Self {
        Self { fd, listing: None, watching: OnceLock::new() }
    }

    /// The watch of an open directory, begun if there is none yet.
    pub(super) fn watching(
        &self,
        watches: &Arc<Watches>,
        tree: &Tree,
        file: &Arc<LocalFile>,
    ) -> Result<&Watching, Status> {
        if self.is_file() {
            return Err(StatusErrno::ENOTDIR.into());
        }
        if let Some(watching) = self.watching.get() {
            return Ok(watching);
        }
        // Two at once: the one that comes second ends again.
        let watching = watches.begin(tree, file, &self.fd)?;
        Ok(self.watching.get_or_init(|| watching))
    }

    /// Is it a regular file's?
    pub(super) fn is_file(&self) -> bool {
        self.listing.is_none()
    }
}

/// The open flags for a regular file; `O_TRUNC` is not among them. `direct` is not either: what
/// FUSE hands over is not aligned as `O_DIRECT` needs it.
pub(super) fn flags(options: OpenOptions) -> OFlags {
    let access = match options.access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::WRONLY,
        Access::ReadWrite => OFlags::RDWR,
    };
    let append = if options.append { OFlags::APPEND } else { OFlags::empty() };
    let synchronous = if options.synchronous { OFlags::DSYNC } else { OFlags::empty() };
    access | append | synchronous
}

impl Tree {
    /// Opens a known file or directory.
    pub(super) fn open_known(
        &self,
        file: &Arc<LocalFile>,
        options: OpenOptions,
    ) -> Result<LocalOpen, Status> {
        let path = self.fd(file)?;
        match file.kind {
            FileKind::Directory if options.access.writes() || options.truncate => {
                return Err(StatusErrno::EISDIR.into());
            }
            FileKind::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let fd = self.with_room(|| self.proc.open_for_io(&path, flags))?;
                let listing = Some(Mutex::new(Rank::Redirector, Listing::default()));
                return Ok(LocalOpen { fd, listing, watching: OnceLock::new() });
            }
            FileKind::Regular => {}
            FileKind::Symlink => return Err(StatusErrno::ELOOP.into()),
            // The kernel opens these itself; opening one here could wind a tape or wait for ever.
            FileKind::CharacterDevice
            | FileKind::BlockDevice
            | FileKind::NamedPipe
            | FileKind::Socket => return Err(StatusErrno::ENXIO.into()),
        }
        let at_once = options.truncate && !options.kill_privileges;
        let truncate = if at_once { OFlags::TRUNC } else { OFlags::empty() };
        let flags = flags(options);
        let fd = self.with_room(|| self.proc.open_for_io(&path, flags | truncate))?;
        if options.truncate && !at_once {
            self.clear_privileges(&fd)?;
            if options.access.writes() {
                rustix::fs::ftruncate(&fd, 0)?;
            } else {
                drop(self.with_room(|| self.proc.open_for_io(&path, flags | OFlags::TRUNC))?);
            }
        }
        Ok(LocalOpen::of_file(fd))
    }

    /// What may be cached for an open.
    ///
    /// Pages stay from one open to the next while nobody else has changed the file: as the lease
    /// says, and without one as the times of the file say. Listings are cached under a lease alone:
    /// the times of a directory do not tell two changes within one tick apart.
    pub(super) fn buffering(
        &self,
        file: &LocalFile,
        open: &LocalOpen,
        options: OpenOptions,
    ) -> Buffering {
        let is_file = open.is_file();
        let epoch = self.lease.epoch(file.key.device);
        let state = match epoch {
            Some(epoch) => NonZeroU64::new(epoch << 1 | 1),
            None if is_file => self.state_by_times(open),
            None => None,
        };
        let keeps = self.keep_cache || file.may_keep(state, self.clock.now());
        Buffering {
            keep_cache: keeps,
            cache_directory: !is_file && (epoch.is_some() || self.keep_cache),
            no_flush: options.access == Access::Read,
            ..Buffering::default()
        }
    }

    /// A number for what the file holds, from its times and size; none while the last change is so
    /// fresh that another one might get the same times.
    fn state_by_times(&self, open: &LocalOpen) -> Option<NonZeroU64> {
        let is = node_of(&open.fd).ok()?.attributes;
        let now = Timestamp::from(self.clock.wall());
        let changed = is.modified.max(is.changed);
        if changed.seconds + FRESH_SECONDS > now.seconds {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (is.modified, is.changed, is.size).hash(&mut hasher);
        // Even, and not 0: a state of a lease is odd.
        NonZeroU64::new(hasher.finish() & !1)
    }

    /// Writes all of `data`, or as much as there is room for.
    pub(super) fn write(
        &self,
        fd: &OwnedFd,
        offset: u64,
        data: &[u8],
        kill_privileges: bool,
    ) -> Result<usize, Status> {
        if kill_privileges {
            self.clear_privileges(fd)?;
        }
        let mut written = 0;
        while written < data.len() {
            let rest = &data[written..];
            match retry_on_intr(|| pwrite(fd, rest, offset + written as u64)) {
                Ok(0) => break,
                Ok(bytes) => written += bytes,
                Err(_) if written > 0 => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(written)
    }
}

/// `fallocate`.
pub(super) fn allocate(
    fd: &OwnedFd,
    offset: u64,
    length: u64,
    mode: AllocateMode,
) -> Result<(), Status> {
    let flags = allocate_flags(mode);
    Ok(retry_on_intr(|| rustix::fs::fallocate(fd, flags, offset, length))?)
}

/// Up to `size` bytes at `offset`, fewer only at the end of the file.
///
/// A buffer with no more capacity than `size` is filled without being zeroed first.
pub(super) fn read(
    fd: impl AsFd,
    offset: u64,
    size: usize,
    mut buffer: Vec<u8>,
) -> Result<Vec<u8>, Errno> {
    buffer.clear();
    if size == 0 {
        return Ok(buffer);
    }
    let fits = buffer.capacity() <= size;
    if fits {
        buffer.reserve_exact(size);
    } else {
        buffer.resize(size, 0);
    }
    let mut filled = 0;
    while filled < size {
        let at = offset + filled as u64;
        let read = if fits {
            retry_on_intr(|| pread(&fd, spare_capacity(&mut buffer), at))
        } else {
            retry_on_intr(|| pread(&fd, &mut buffer[filled..], at))
        };
        match read {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(_) if filled > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    buffer.truncate(filled.min(size));
    Ok(buffer)
}

/// `fsync` or `fdatasync`.
pub(super) fn flush(fd: &OwnedFd, data_only: bool) -> Result<(), Errno> {
    retry_on_intr(|| if data_only { rustix::fs::fdatasync(fd) } else { rustix::fs::fsync(fd) })
}

/// `lseek` for data or holes. It moves the descriptor's position, which nobody uses of a file.
pub(super) fn seek(fd: &OwnedFd, offset: u64, to: SeekTo) -> Result<u64, Errno> {
    let from = match to {
        SeekTo::Data => SeekFrom::Data(offset),
        SeekTo::Hole => SeekFrom::Hole(offset),
    };
    rustix::fs::seek(fd, from)
}

/// `copy_file_range`.
pub(super) fn copy_range(
    from: (&OwnedFd, u64),
    to: (&OwnedFd, u64),
    length: u64,
) -> Result<u64, Errno> {
    let (mut from_at, mut to_at) = (from.1, to.1);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let copied =
        rustix::fs::copy_file_range(from.0, Some(&mut from_at), to.0, Some(&mut to_at), length)?;
    Ok(copied as u64)
}

fn allocate_flags(mode: AllocateMode) -> FallocateFlags {
    let each = [
        (mode.keep_size, FallocateFlags::KEEP_SIZE),
        (mode.punch_hole, FallocateFlags::PUNCH_HOLE),
        (mode.zero_range, FallocateFlags::ZERO_RANGE),
        (mode.collapse_range, FallocateFlags::COLLAPSE_RANGE),
        (mode.insert_range, FallocateFlags::INSERT_RANGE),
        (mode.unshare_range, FallocateFlags::UNSHARE_RANGE),
    ];
    each.iter().filter(|(wanted, _)| *wanted).map(|&(_, flag)| flag).collect()
}
