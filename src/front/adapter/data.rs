//! Requests on open files: unpacked. They go by handle; the node is not looked up.

use crate::base::ids::{Caller, HandleNumber};
use crate::base::status::{Errno, Status};
use crate::front::adapter::buffers;
use crate::front::adapter::front::Front;
use crate::front::translate;
use crate::rdbss::operation::{Operation, WriteData};
use fuser::{CopyFileRangeFlags, FileHandle, INodeNo, WriteFlags};
use std::ffi::OsStr;

type Made<'a> = Result<Operation<'a>, Status>;

/// One side of a copy.
#[derive(Clone, Copy)]
pub(super) struct CopySide {
    /// The file.
    pub number: INodeNo,
    /// As opened.
    pub handle: FileHandle,
    /// Its first byte.
    pub offset: u64,
}

impl Front {
    /// OPEN.
    pub(super) fn make_open(&self, number: INodeNo, flags: i32, caller: Caller) -> Made<'static> {
        let options = translate::open_options(flags, caller);
        Ok(Operation::Open { node: self.node(number)?, options })
    }

    /// CREATE.
    pub(super) fn make_create(
        &self,
        parent: INodeNo,
        name: &OsStr,
        (mode, umask): (u32, u32),
        flags: i32,
        caller: Caller,
    ) -> Made<'static> {
        let (parent, name) = self.child(parent, name)?;
        let creation = self.creation(mode, umask);
        let options = translate::open_options(flags, caller);
        let exclusive = translate::is_exclusive(flags);
        Ok(Operation::Create { parent, name, creation, options, exclusive })
    }

    /// READ.
    pub(super) fn make_read(handle: FileHandle, offset: u64, size: usize) -> Operation<'static> {
        let buffer = buffers::take(size);
        Operation::Read { handle: HandleNumber(handle.0), offset, size, buffer }
    }

    /// WRITE.
    pub(super) fn make_write(
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Operation<'_> {
        Operation::Write {
            handle: HandleNumber(handle.0),
            offset,
            data: WriteData::Borrowed(data),
            write_back: flags.contains(WriteFlags::FUSE_WRITE_CACHE),
            kill_privileges: flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID),
        }
    }

    /// FALLOCATE.
    pub(super) fn make_allocate(
        &self,
        (number, handle): (INodeNo, FileHandle),
        offset: u64,
        length: u64,
        mode: i32,
    ) -> Made<'static> {
        let mode = translate::allocate_mode(mode)?;
        let handle = self.core_handle(number, handle)?;
        Ok(Operation::Allocate { handle, offset, length, mode })
    }

    /// LSEEK.
    pub(super) fn make_seek(
        &self,
        (number, handle): (INodeNo, FileHandle),
        offset: i64,
        whence: i32,
    ) -> Made<'static> {
        let (offset, to) = translate::seek(offset, whence)?;
        Ok(Operation::Seek { handle: self.core_handle(number, handle)?, offset, to })
    }

    /// COPY_FILE_RANGE. The reply has 32 bits for the length: more is copied by asking again, as
    /// copy_file_range(2) allows.
    pub(super) fn make_copy(
        &self,
        from: CopySide,
        to: CopySide,
        length: u64,
        flags: CopyFileRangeFlags,
    ) -> Made<'static> {
        if !flags.is_empty() {
            return Err(Status::Posix(Errno::EINVAL));
        }
        Ok(Operation::CopyRange {
            from: self.core_handle(from.number, from.handle)?,
            from_offset: from.offset,
            to: self.core_handle(to.number, to.handle)?,
            to_offset: to.offset,
            length: length.min(translate::COPY_BYTES_MAX),
        })
    }
}
