//! `fuser::Filesystem`: one method a request; each says what it is made of and how it is answered.
//!
//! No method answers ENOSYS but those the kernel should never ask again (`bmap`): the kernel
//! remembers it for ever (fuse.md 2.2).

use crate::base::ids::{HandleNumber, NodeNumber};
use crate::base::status::{Errno, Status};
use crate::front::adapter::control;
use crate::front::adapter::data::CopySide;
use crate::front::adapter::directory::Directory;
use crate::front::adapter::finish;
use crate::front::adapter::front::Front;
use crate::front::adapter::locks::{self, RawLock};
use crate::front::control_dir::directory::Read;
use crate::front::translate::{self, RawSetAttributes};
use crate::rdbss::operation::operand::NewNode;
use crate::rdbss::operation::{Answer, Operation};
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, INodeNo, IoctlFlags,
    LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock,
    ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};
use std::ffi::OsStr;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// The front as fuser takes it; each worker has a clone.
#[derive(Clone)]
pub struct Adapter(pub Arc<Front>);

impl Filesystem for Adapter {
    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.handle("lookup", request, reply, |front, call, reply| {
            if let (Some(found), Some(control)) =
                (control::found(front, parent, name), front.control())
            {
                return match found {
                    Ok(file) => front.send_control_entry(control, file, reply),
                    Err(errno) => reply.error(translate::fuser_errno(errno)),
                };
            }
            match front.node(parent) {
                // stop.md G4: of the device class for the root. NFS servers ask for it.
                Ok(node) if name == "." => {
                    let get = Operation::GetAttributes { node: node.clone(), handle: None };
                    front.submit(call, get, reply, finish::itself(node));
                }
                _ => front.run(call, front.make_lookup(parent, name), reply, finish::lookup),
            }
        });
    }

    // No reply, and never left to a successor: the count is ours to keep exact.
    fn forget(&self, _request: &Request, number: INodeNo, lookups: u64) {
        self.0.guard("forget", || self.0.inodes.forget(NodeNumber(number.0), lookups));
    }

    fn getattr(
        &self,
        request: &Request,
        number: INodeNo,
        handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        self.handle("getattr", request, reply, |front, call, reply| {
            if let Some((control, file)) = front.control_file(number) {
                return front.send_control_attributes(control, file, reply);
            }
            let get = front.make_get_attributes(number, handle);
            front.run(call, get, reply, finish::attributes(number));
        });
    }

    // The other times and the flags are macOS's, or the write-back cache's, which is off.
    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.handle("setattr", request, reply, |front, call, reply| {
            if let Some((control, file)) = front.control_file(number) {
                let more = mode.is_some() || uid.is_some() || gid.is_some() || size.is_none();
                return match control::may_set(more) {
                    Ok(()) => front.send_control_attributes(control, file, reply),
                    Err(status) => reply.error(translate::errno(status)),
                };
            }
            let raw = RawSetAttributes { mode, uid, gid, size, accessed, modified };
            let set = front.make_set_attributes(number, handle, raw, call.caller);
            front.run(call, set, reply, finish::attributes(number));
        });
    }

    fn readlink(&self, request: &Request, number: INodeNo, reply: ReplyData) {
        // The kernel takes a page.
        let finish = finish::data(4096);
        let make = |front: &Front, _| Ok(Operation::ReadLink { node: front.node(number)? });
        self.serve("readlink", request, reply, make, finish);
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let make = |front: &Front, _| {
            let node = translate::new_node(mode, device)?;
            front.make_node(parent, name, node, front.creation(mode, umask))
        };
        self.serve("mknod", request, reply, make, finish::entry);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let make = |front: &Front, _| {
            front.make_node(parent, name, NewNode::Directory, front.creation(mode, umask))
        };
        self.serve("mkdir", request, reply, make, finish::entry);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let make = |front: &Front, _| front.make_removal(parent, name, false);
        self.serve("unlink", request, reply, make, finish::empty);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let make = |front: &Front, _| front.make_removal(parent, name, true);
        self.serve("rmdir", request, reply, make, finish::empty);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let make = |front: &Front, _| front.make_symlink(parent, name, target);
        self.serve("symlink", request, reply, make, finish::entry);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let make =
            |front: &Front, _| front.make_rename((parent, name), (new_parent, new_name), flags);
        self.serve("rename", request, reply, make, finish::empty);
    }

    fn link(
        &self,
        request: &Request,
        number: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        let make = |front: &Front, _| front.make_link(number, new_parent, new_name);
        self.serve("link", request, reply, make, finish::entry);
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.handle("open", request, reply, |front, call, reply| {
            if let Some((control, file)) = front.control_file(number) {
                return control::open(control, file, &call, reply);
            }
            let open = front.make_open(number, flags.0, call.caller);
            front.run(call, open, reply, finish::opened);
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let make =
            |front: &Front, caller| front.make_create(parent, name, (mode, umask), flags, caller);
        self.serve("create", request, reply, make, finish::created);
    }

    fn read(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let size = size as usize;
        self.handle("read", request, reply, |front, call, reply| {
            if let Some((control, _)) = front.control_file(number) {
                let (handle, thread) = (handle.0, call.caller.pid);
                let nonblocking = translate::is_nonblocking(flags.0);
                let read = Read { handle, offset, size, nonblocking, thread };
                return control::read(control, call, read, reply);
            }
            front.submit(call, Front::make_read(handle, offset, size), reply, finish::data(size));
        });
    }

    fn write(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.handle("write", request, reply, |front, call, reply| {
            if let Some((control, _)) = front.control_file(number) {
                let written = control.write(handle.0, call.caller, data).map(Answer::Written);
                return finish::written(front, call, reply, written);
            }
            let write = Front::make_write(handle, offset, data, write_flags);
            front.submit(call, write, reply, finish::written);
        });
    }

    fn flush(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.handle("flush", request, reply, |front, call, reply| {
            if front.control_file(number).is_some() {
                return reply.ok();
            }
            let handle = HandleNumber(handle.0);
            let flush = Operation::Flush { handle };
            let owner = front.posix_locks.then_some((handle, lock_owner));
            front.close(call, flush, owner, reply);
        });
    }

    fn release(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.handle("release", request, reply, |front, call, reply| {
            if let Some((control, _)) = front.control_file(number) {
                control.release(handle.0);
                return reply.ok();
            }
            let handle = HandleNumber(handle.0);
            let release = Operation::Release { handle };
            front.close(call, release, lock_owner.map(|owner| (handle, owner)), reply);
        });
    }

    fn fsync(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.handle("fsync", request, reply, |front, call, reply| {
            if front.control_file(number).is_some() {
                return reply.ok();
            }
            let handle = HandleNumber(handle.0);
            let synchronize = Operation::Synchronize { handle, data_only };
            front.submit(call, synchronize, reply, finish::empty);
        });
    }

    fn opendir(&self, request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.handle("opendir", request, reply, |front, call, reply| {
            if let Some((control, file)) = front.control_file(number) {
                return control::open(control, file, &call, reply);
            }
            let open = front.node(number).map(|node| Operation::OpenDirectory { node });
            front.run(call, open, reply, finish::opened);
        });
    }

    fn readdir(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        from: u64,
        reply: ReplyDirectory,
    ) {
        self.handle("readdir", request, reply, |front, call, reply| {
            if front.control_file(number).is_some() {
                return control::list(from, reply);
            }
            front.list(call, Directory { number, handle }, from, reply);
        });
    }

    fn readdirplus(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        from: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.handle("readdirplus", request, reply, |front, call, reply| {
            if let Some((control, _)) = front.control_file(number) {
                return control::list_with_files(front, control, from, reply);
            }
            front.list(call, Directory { number, handle }, from, reply);
        });
    }

    fn releasedir(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.release(request, number, handle, flags, None, false, reply);
    }

    fn fsyncdir(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.fsync(request, number, handle, data_only, reply);
    }

    fn statfs(&self, request: &Request, number: INodeNo, reply: ReplyStatfs) {
        if self.0.door.is_closed() && self.0.door.dismiss_waker(request.pid(), request.unique().0) {
            return mem::forget(reply);
        }
        self.serve("statfs", request, reply, |front, _| front.volume_of(number), finish::volume);
    }

    fn setxattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let make = |front: &Front, _| front.make_set_extended(number, name, value, flags);
        self.serve("setxattr", request, reply, make, finish::empty);
    }

    fn getxattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        self.handle("getxattr", request, reply, Front::get_extended(number, name, size));
    }

    fn listxattr(&self, request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let make = |front: &Front, _| front.make_list_extended(number);
        self.serve("listxattr", request, reply, make, finish::sized(size));
    }

    fn removexattr(&self, request: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let make = |front: &Front, _| front.make_remove_extended(number, name);
        self.serve("removexattr", request, reply, make, finish::empty);
    }

    fn access(&self, request: &Request, number: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        // Asked only without `default_permissions`. The control files check for themselves.
        self.handle("access", request, reply, |front, call, reply| {
            if front.control_file(number).is_some() {
                return reply.ok();
            }
            front.run(call, front.make_access(number, mask), reply, finish::empty);
        });
    }

    fn getlk(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        let lock = RawLock { owner, start, end, kind, pid };
        let make = |front: &Front, _| front.make_get_lock((number, handle), &lock);
        self.serve("getlk", request, reply, make, locks::tested);
    }

    fn setlk(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        let lock = RawLock { owner, start, end, kind, pid };
        let make = |front: &Front, _| front.make_set_lock((number, handle), &lock, sleep);
        self.serve("setlk", request, reply, make, finish::empty);
    }

    fn ioctl(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        _flags: IoctlFlags,
        command: u32,
        argument: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        self.handle("ioctl", request, reply, |front, call, reply| {
            let done = match front.control_file(number) {
                Some((control, _)) => control.ioctl(handle.0, call.caller, command, argument),
                None => Err(Status::Posix(Errno::ENOTTY)),
            };
            match done {
                Ok(answer) => reply.ioctl(0, &answer),
                Err(status) => reply.error(translate::errno(status)),
            }
        });
    }

    fn poll(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        notifier: PollNotifier,
        events: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        self.handle("poll", request, reply, |front, _call, reply| {
            match front.control_file(number) {
                Some((control, _)) => {
                    control::poll(control, handle, &notifier, (events, flags), reply)
                }
                // ENOSYS would turn off poll for the control files too.
                None => reply.poll(events & control::ALWAYS_READY),
            }
        });
    }

    fn fallocate(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let make = |front: &Front, _| front.make_allocate((number, handle), offset, length, mode);
        self.serve("fallocate", request, reply, make, finish::empty);
    }

    fn lseek(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let make = |front: &Front, _| front.make_seek((number, handle), offset, whence);
        self.serve("lseek", request, reply, make, finish::offset);
    }

    fn copy_file_range(
        &self,
        request: &Request,
        from: INodeNo,
        from_handle: FileHandle,
        from_offset: u64,
        to: INodeNo,
        to_handle: FileHandle,
        to_offset: u64,
        length: u64,
        flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let from = CopySide { number: from, handle: from_handle, offset: from_offset };
        let to = CopySide { number: to, handle: to_handle, offset: to_offset };
        let make = |front: &Front, _| front.make_copy(from, to, length, flags);
        self.serve("copy_file_range", request, reply, make, finish::written);
    }
}
