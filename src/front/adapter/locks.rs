//! Byte-range locks, which come here only if the mount asked for them; else the kernel keeps them.
//!
//! When the server keeps them, a close must give them up: the kernel says whose in FLUSH (`fcntl`
//! locks) and in RELEASE (`flock` locks), and the core hears it as an unlock before the close
//! itself.

use crate::base::ids::HandleNumber;
use crate::base::status::Status;
use crate::front::adapter::finish;
use crate::front::adapter::front::{Call, Front};
use crate::front::translate;
use crate::rdbss::operation::operand::{Lock, LockKind};
use crate::rdbss::operation::{Answer, Operation};
use fuser::{FileHandle, INodeNo, LockOwner, ReplyEmpty, ReplyLock};
use std::sync::Arc;

/// A lock as the kernel sends it.
pub(super) struct RawLock {
    /// Whose.
    pub owner: LockOwner,
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
    /// F_RDLCK, F_WRLCK, F_UNLCK.
    pub kind: i32,
    /// Process.
    pub pid: u32,
}

impl RawLock {
    fn translate(&self) -> Result<Lock, Status> {
        translate::lock(self.kind, self.start, self.end, self.owner.0, self.pid)
    }
}

impl Front {
    /// GETLK.
    pub(super) fn make_get_lock(
        &self,
        (number, handle): (INodeNo, FileHandle),
        lock: &RawLock,
    ) -> Result<Operation<'static>, Status> {
        let handle = self.core_handle(number, handle)?;
        Ok(Operation::GetLock { handle, lock: lock.translate()? })
    }

    /// SETLK and SETLKW.
    pub(super) fn make_set_lock(
        &self,
        (number, handle): (INodeNo, FileHandle),
        lock: &RawLock,
        wait: bool,
    ) -> Result<Operation<'static>, Status> {
        let handle = self.core_handle(number, handle)?;
        Ok(Operation::SetLock { handle, lock: lock.translate()?, wait })
    }

    /// FLUSH or RELEASE, after the locks of `owner` have been given up if there is one.
    pub(super) fn close(
        self: &Arc<Self>,
        call: Call,
        close: Operation<'static>,
        owner: Option<(HandleNumber, LockOwner)>,
        reply: ReplyEmpty,
    ) {
        let Some((handle, owner)) = owner else {
            return self.submit(call, close, reply, finish::empty);
        };
        let unlock =
            Operation::SetLock { handle, lock: translate::unlock_all(owner.0), wait: false };
        // Whatever comes of it: a server that keeps no locks has none to give up.
        self.submit(call, unlock, reply, move |front, call, reply, _| {
            front.submit(call, close, reply, finish::empty);
        });
    }
}

/// GETLK's answer.
pub(super) fn tested(
    front: &Arc<Front>,
    call: Call,
    reply: ReplyLock,
    answer: Result<Answer, Status>,
) {
    match answer {
        Ok(Answer::Lock(Some(lock))) => {
            reply.locked(lock.start, lock.end, translate::lock_type(lock.kind), lock.pid);
        }
        Ok(Answer::Lock(None)) => {
            reply.locked(0, 0, translate::lock_type(LockKind::Unlock), 0);
        }
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}
