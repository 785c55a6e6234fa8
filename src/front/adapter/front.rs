//! What every request of a mount shares, and the way of one request: door, guard, core, reply.

use crate::base::ids::{Caller, HandleNumber, NodeNumber};
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::base::sync::assert_no_locks;
use crate::front::adapter::directory::Room;
use crate::front::control_dir::directory::ControlDirectory;
use crate::front::control_dir::nodes::ControlFile;
use crate::front::inodes::Inodes;
use crate::front::options::FrontOptions;
use crate::front::translate;
use crate::front::transport::door::{Door, Inside};
use crate::front::transport::handshake::Agreement;
use crate::rdbss::operation::{Answer, Dispatcher, Node, NodeAnswer, Operation, Responder};
use fuser::{INodeNo, InitFlags, Request};
use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The front of one mount.
pub struct Front {
    /// The core.
    pub(super) dispatcher: Arc<dyn Dispatcher>,
    /// Nodes the kernel knows.
    pub(super) inodes: Arc<Inodes>,
    /// Lifetimes and the like.
    pub(super) options: FrontOptions,
    /// The control files, if there are any.
    pub(super) control: Option<ControlDirectory>,
    /// Counts requests; closed when the connection is given away.
    pub(super) door: Arc<Door>,
    /// Room in the kernel's directory buffers, as learned.
    pub(super) room: Room,
    /// The server keeps `fcntl` locks: a close must give them up.
    pub(super) posix_locks: bool,
    /// We apply the umask, because the kernel did not.
    pub(super) applies_umask: bool,
    defects: AtomicU64,
}

/// A request while it is inside.
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// What it is, for logs.
    pub word: &'static str,
    /// Keeps it counted; last, so that it leaves after everything else is done.
    pub inside: Inside,
}

/// A reply of fuser's that can be an error.
pub trait Refusable: Send + 'static {
    /// Answers with an error.
    fn refuse(self, errno: fuser::Errno);
}

macro_rules! refusable {
    ($($reply:ident),+ $(,)?) => {$(
        impl Refusable for fuser::$reply {
            fn refuse(self, errno: fuser::Errno) {
                self.error(errno);
            }
        }
    )+};
}

refusable!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyIoctl,
    ReplyLock,
    ReplyLseek,
    ReplyOpen,
    ReplyPoll,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr,
);

/// Takes the core's answer to the kernel.
struct Courier<R, F> {
    front: Arc<Front>,
    reply: R,
    finish: F,
    call: Call,
}

impl<R, F> Responder for Courier<R, F>
where
    R: Refusable,
    F: FnOnce(&Arc<Front>, Call, R, Result<Answer, Status>) + Send,
{
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        assert_no_locks("a FUSE reply");
        let Self { front, reply, finish, call } = *self;
        front.guard(call.word, || finish(&front, call, reply, answer));
    }
}

impl Front {
    /// The front of a connection.
    #[must_use]
    pub fn new(
        dispatcher: Arc<dyn Dispatcher>,
        inodes: Arc<Inodes>,
        options: FrontOptions,
        control: Option<ControlDirectory>,
        door: Arc<Door>,
        agreement: &Agreement,
    ) -> Self {
        Self {
            dispatcher,
            inodes,
            options,
            control,
            door,
            room: Room::default(),
            posix_locks: agreement.has(InitFlags::FUSE_POSIX_LOCKS),
            applies_umask: agreement.has(InitFlags::FUSE_DONT_MASK),
            defects: AtomicU64::new(0),
        }
    }

    /// Panics and answers that made no sense, since the mount; should be 0.
    #[must_use]
    pub fn defects(&self) -> u64 {
        self.defects.load(Ordering::Relaxed)
    }

    /// Requests inside.
    #[must_use]
    pub fn requests_inside(&self) -> usize {
        self.door.inside()
    }

    /// Nodes the kernel knows, without the root.
    #[must_use]
    pub fn known_nodes(&self) -> usize {
        self.inodes.len()
    }

    /// What the kernel knows.
    #[must_use]
    pub fn inodes(&self) -> Arc<Inodes> {
        self.inodes.clone()
    }

    /// The control files.
    #[must_use]
    pub fn control(&self) -> Option<&ControlDirectory> {
        self.control.as_ref()
    }

    /// Lets a request in. `None`: the connection is being given away, and the request must be left
    /// unanswered: its reply is to be forgotten, not dropped.
    pub(super) fn enter(&self, request: &Request, word: &'static str) -> Option<Call> {
        let inside = self.door.enter()?;
        Some(Call { caller: translate::caller(request), word, inside })
    }

    /// Runs a handler. A panic is counted, and the reply it dropped has answered EIO.
    pub(super) fn guard(&self, word: &str, body: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            self.defects.fetch_add(1, Ordering::Relaxed);
            log::error!("the front panicked in {word}");
        }
    }

    /// Submits an operation. `finish` sends the answer, on whatever thread it comes.
    pub(super) fn submit<R: Refusable>(
        self: &Arc<Self>,
        call: Call,
        operation: Operation<'_>,
        reply: R,
        finish: impl FnOnce(&Arc<Self>, Call, R, Result<Answer, Status>) + Send + 'static,
    ) {
        let caller = call.caller;
        let courier = Courier { front: self.clone(), reply, finish, call };
        self.dispatcher.submit(caller, operation, Box::new(courier));
    }

    /// Submits an operation if it could be made; else refuses.
    pub(super) fn run<R: Refusable>(
        self: &Arc<Self>,
        call: Call,
        made: Result<Operation<'_>, Status>,
        reply: R,
        finish: impl FnOnce(&Arc<Self>, Call, R, Result<Answer, Status>) + Send + 'static,
    ) {
        match made {
            Ok(operation) => self.submit(call, operation, reply, finish),
            Err(status) => reply.refuse(translate::errno(status)),
        }
    }

    /// The answer was of the wrong kind: a defect of the core's.
    pub(super) fn wrong(&self, word: &str, answer: &Answer) -> fuser::Errno {
        self.defects.fetch_add(1, Ordering::Relaxed);
        log::error!("{word} was answered with {answer:?}");
        fuser::Errno::EIO
    }

    /// The node of a number.
    ///
    /// # Errors
    /// EPERM: a control file, which is not for this; ESTALE: the kernel has no business knowing it.
    pub(super) fn node(&self, number: INodeNo) -> Result<Node, Status> {
        let number = NodeNumber(number.0);
        if self.control.is_some() && ControlFile::is_reserved(number) {
            return Err(Status::Posix(Errno::EPERM));
        }
        self.inodes.get(number).ok_or(Status::Posix(Errno::ESTALE))
    }

    /// STATFS of a file. The control files are on the mount's own device.
    ///
    /// # Errors
    /// None: what is not known is on it too.
    pub(super) fn volume_of(&self, number: INodeNo) -> Result<Operation<'static>, Status> {
        let node = self.node(number).unwrap_or_else(|_| self.inodes.root());
        Ok(Operation::QueryVolume { node })
    }

    /// A directory and a name in it that is to be made, removed or moved.
    ///
    /// # Errors
    /// EPERM for the control directory itself, as [`Front::node`], as [`translate::name`].
    pub(super) fn child(&self, parent: INodeNo, name: &OsStr) -> Result<(Node, Name), Status> {
        if self.is_control_name(parent, name) {
            return Err(Status::Posix(Errno::EPERM));
        }
        Ok((self.node(parent)?, translate::name(name)?))
    }

    /// Is this the control directory's name at the root?
    pub(super) fn is_control_name(&self, parent: INodeNo, name: &OsStr) -> bool {
        parent.0 == NodeNumber::ROOT.0
            && self.control.as_ref().is_some_and(|control| control.name() == name)
    }

    /// The control file of a number.
    pub(super) fn control_file(&self, number: INodeNo) -> Option<(&ControlDirectory, ControlFile)> {
        Some((self.control.as_ref()?, ControlFile::of(NodeNumber(number.0))?))
    }

    /// Counts a node that is about to be sent to the kernel. False, and a defect, if its number is
    /// reserved: the kernel would take it for a control file.
    pub(super) fn count(&self, found: &NodeAnswer) -> bool {
        let number = found.node.number();
        if ControlFile::is_reserved(number) {
            self.defects.fetch_add(1, Ordering::Relaxed);
            log::error!("the server has a file of the reserved number {number}");
            return false;
        }
        self.inodes.count(&found.node);
        true
    }

    /// The core's handle of fuser's number, for requests that control files do not know.
    ///
    /// # Errors
    /// EOPNOTSUPP: it is a control file's handle, which the core must not take for one of its own.
    pub(super) fn core_handle(
        &self,
        number: INodeNo,
        handle: fuser::FileHandle,
    ) -> Result<HandleNumber, Status> {
        if self.control_file(number).is_some() {
            return Err(Status::Posix(Errno::EOPNOTSUPP));
        }
        Ok(HandleNumber(handle.0))
    }
}
