//! Reading and writing a regular file's content.

use crate::base::status::{Errno, Status};
use crate::mrx::request::{AllocateMode, FileKind, SeekTo, Timestamp};
use crate::redirectors::memory::node::{Node, State};
use crate::redirectors::memory::pages::{FILE_BYTES_MAX, PAGE_BYTES};
use std::ops::Range;

/// What one `fallocate` mode does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allocation {
    Allocate { keep_size: bool },
    Zero { keep_size: bool },
    Punch,
    Collapse,
    Insert,
}

impl Allocation {
    /// Reads the flags as Linux does: collapse and insert stand alone, punching keeps the size.
    fn of(mode: AllocateMode) -> Result<Self, Status> {
        let AllocateMode { keep_size, unshare_range, .. } = mode;
        match (mode.punch_hole, mode.zero_range, mode.collapse_range, mode.insert_range) {
            // Nothing is ever shared: unsharing is done when the room is there.
            (false, false, false, false) => Ok(Self::Allocate { keep_size }),
            (true, false, false, false) if keep_size && !unshare_range => Ok(Self::Punch),
            (false, true, false, false) if !unshare_range => Ok(Self::Zero { keep_size }),
            (false, false, true, false) if !keep_size && !unshare_range => Ok(Self::Collapse),
            (false, false, false, true) if !keep_size && !unshare_range => Ok(Self::Insert),
            (false, _, true, _) | (false, _, _, true) => Err(Status::InvalidParameter),
            _ => Err(Status::NotSupported),
        }
    }
}

impl Node {
    /// Up to `size` bytes at `offset`, fewer only at the end, appended to `buffer`.
    ///
    /// # Errors
    /// EISDIR, EINVAL: it has no content.
    pub(super) fn read(
        &self,
        offset: u64,
        size: usize,
        mut buffer: Vec<u8>,
        now: Timestamp,
    ) -> Result<Vec<u8>, Status> {
        self.expect_regular()?;
        // Readers copy side by side; only the access time needs the file for one alone.
        self.state.read().pages.read(offset, size, &mut buffer);
        self.state.write().accessed = now;
        Ok(buffer)
    }

    /// Writes at `offset`, or at the end (`None`) in one step with finding it. Returns bytes
    /// written, fewer than given only when the room or the largest file size ends.
    ///
    /// # Errors
    /// ENOSPC, EFBIG: not one byte fits. EISDIR, EINVAL: it has no content.
    pub(super) fn write(
        &self,
        offset: Option<u64>,
        data: &[u8],
        kill_privileges: bool,
        now: Timestamp,
    ) -> Result<usize, Status> {
        self.expect_regular()?;
        if data.is_empty() {
            return Ok(0);
        }
        let mut state = self.state.write();
        let offset = offset.unwrap_or_else(|| state.pages.size());
        let end = offset.saturating_add(data.len() as u64).min(FILE_BYTES_MAX);
        if offset >= end {
            return Err(Errno::EFBIG.into());
        }
        let end = self.make_room(&state, &(offset..end));
        if offset == end {
            return Err(Errno::ENOSPC.into());
        }
        let written = (end - offset) as usize;
        state.pages.write(offset, &data[..written]);
        if kill_privileges {
            self.kill_privileges(&mut state);
        }
        state.content_changed(now);
        Ok(written)
    }

    /// Takes room for the pages missing in a range, as far as there is any. Returns the end of the
    /// part of the range that can be written.
    fn make_room(&self, state: &State, range: &Range<u64>) -> u64 {
        let missing = state.pages.missing(range);
        let taken = self.space.take_pages_up_to(missing);
        if taken == missing { range.end } else { state.pages.reach(range, taken) }
    }

    /// O_TRUNC.
    ///
    /// # Errors
    /// EISDIR, EINVAL: it has no content.
    pub(super) fn truncate_at_open(
        &self,
        kill_privileges: bool,
        now: Timestamp,
    ) -> Result<(), Status> {
        self.expect_regular()?;
        let mut state = self.state.write();
        if kill_privileges {
            self.kill_privileges(&mut state);
        }
        self.set_size(&mut state, 0, now);
        Ok(())
    }

    /// `fallocate`.
    ///
    /// # Errors
    /// EINVAL: an empty range, or one that collapse and insert cannot take. EFBIG. ENOSPC: nothing
    /// was allocated. EOPNOTSUPP: modes that do not go together. EISDIR, ENODEV: it has no content.
    pub(super) fn allocate(
        &self,
        offset: u64,
        length: u64,
        mode: AllocateMode,
        kill_privileges: bool,
        now: Timestamp,
    ) -> Result<(), Status> {
        match self.kind() {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR.into()),
            _ => return Err(Errno::ENODEV.into()),
        }
        let allocation = Allocation::of(mode)?;
        if length == 0 {
            return Err(Status::InvalidParameter);
        }
        let end = offset.checked_add(length).filter(|&end| end <= FILE_BYTES_MAX);
        let range = offset..end.ok_or(Status::Posix(Errno::EFBIG))?;
        let mut state = self.state.write();
        self.change_allocation(&mut state, allocation, &range)?;
        if kill_privileges {
            self.kill_privileges(&mut state);
        }
        state.content_changed(now);
        Ok(())
    }

    fn change_allocation(
        &self,
        state: &mut State,
        allocation: Allocation,
        range: &Range<u64>,
    ) -> Result<(), Status> {
        let pages = &mut state.pages;
        let size = pages.size();
        let in_pages = [range.start, range.end].iter().all(|at| at.is_multiple_of(PAGE_BYTES));
        let mut freed = 0;
        match allocation {
            Allocation::Allocate { keep_size } | Allocation::Zero { keep_size } => {
                self.space.take_bytes(pages.missing(range).saturating_mul(PAGE_BYTES))?;
                match allocation {
                    Allocation::Zero { .. } => pages.zero(range),
                    _ => pages.allocate(range),
                }
                if !keep_size {
                    pages.grow(range.end);
                }
            }
            Allocation::Punch => freed = pages.punch(range),
            Allocation::Collapse if in_pages && range.end < size => freed = pages.collapse(range),
            Allocation::Insert if in_pages && range.start < size => {
                let length = range.end - range.start;
                size.checked_add(length)
                    .filter(|&size| size <= FILE_BYTES_MAX)
                    .ok_or(Status::Posix(Errno::EFBIG))?;
                pages.insert(range);
            }
            Allocation::Collapse | Allocation::Insert => return Err(Status::InvalidParameter),
        }
        self.space.give_bytes(freed * PAGE_BYTES);
        Ok(())
    }

    /// SEEK_DATA, SEEK_HOLE.
    ///
    /// # Errors
    /// ENXIO: `offset` is not before the end, or no data follows. EISDIR, EINVAL: it has no
    /// content.
    pub(super) fn seek(&self, offset: u64, to: SeekTo) -> Result<u64, Status> {
        self.expect_regular()?;
        let state = self.state.read();
        let at = match to {
            SeekTo::Data => state.pages.next_data(offset),
            SeekTo::Hole => state.pages.next_hole(offset),
        };
        at.ok_or(Errno::ENXIO.into())
    }
}
