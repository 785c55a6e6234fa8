//! Tests of `memory` through its contract alone, and the small host they share.

mod attributes;
mod content;
mod listing;
mod names;
mod notify;
mod renames;
mod room;
mod slow;

use super::Memory;
use super::options::MemoryOptions;
use super::server::MemoryServer;
use crate::base::clock::{Clock, ManualClock, Moment, SystemClock};
use crate::base::ids::{Caller, SerialNumber};
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::base::sync::{Mutex, Rank, assert_no_locks};
use crate::mrx::calldown::MiniRedirector;
use crate::mrx::low_io::{Completer, LowIo, Submission};
use crate::mrx::request::*;
use crate::mrx::upcall::RequestContext;
use crate::redirectors::test_support::TestUpcalls;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const OWNER: Ownership = Ownership { permissions: 0o644, umask: 0, uid: 1000, gid: 1000 };
const READ: OpenOptions = options(Access::Read);
const READ_WRITE: OpenOptions = options(Access::ReadWrite);

const fn options(access: Access) -> OpenOptions {
    OpenOptions {
        access,
        append: false,
        truncate: false,
        direct: false,
        synchronous: false,
        kill_privileges: false,
    }
}

fn errno<T>(number: Errno) -> Result<T, Status> {
    Err(Status::Posix(number))
}

fn name(name: &str) -> Name {
    Name::new(name.as_bytes()).expect("a test's name is good")
}

/// A request that can be cancelled.
struct TestContext {
    uid: u32,
    cancelled: AtomicBool,
    routine: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl TestContext {
    fn of(uid: u32) -> Self {
        let routine = Mutex::new(Rank::Leaf, None);
        Self { uid, cancelled: AtomicBool::new(false), routine }
    }

    fn new() -> Self {
        Self::of(0)
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let routine = self.routine.lock().take();
        if let Some(routine) = routine {
            routine();
        }
    }

    fn has_routine(&self) -> bool {
        self.routine.lock().is_some()
    }
}

impl RequestContext for TestContext {
    fn serial(&self) -> SerialNumber {
        SerialNumber(1)
    }
    fn caller(&self) -> Caller {
        Caller::local(1, self.uid, 0)
    }
    fn deadline(&self) -> Option<Moment> {
        None
    }
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
    fn set_cancel_routine(&self, routine: Box<dyn FnOnce() + Send>) -> Result<(), Status> {
        if self.is_cancelled() {
            return Err(Status::Cancelled);
        }
        *self.routine.lock() = Some(routine);
        Ok(())
    }
    fn clear_cancel_routine(&self) -> bool {
        self.routine.lock().take().is_some()
    }
}

/// Low I/O that must not pend.
fn done<T>(call: impl FnOnce(Submission<'_, T>) -> LowIo<T>) -> Result<T, Status> {
    let mut pend = || -> Completer<T> { panic!("pended") };
    match call(Submission::new(&mut pend)) {
        LowIo::Done(result) => result,
        LowIo::Pending => panic!("pending without having pended"),
    }
}

/// Low I/O that must pend; the result comes by the channel, sent with no lock held.
fn pended<T: Send + 'static>(
    call: impl FnOnce(Submission<'_, T>) -> LowIo<T>,
) -> Receiver<Result<T, Status>> {
    let (sender, receiver) = mpsc::channel();
    let mut pend = || {
        let sender = sender.clone();
        Completer::new(move |result| {
            assert_no_locks("a completion");
            drop(sender.send(result));
        })
    };
    assert!(matches!(call(Submission::new(&mut pend)), LowIo::Pending));
    receiver
}

/// What a pending request ended with, within a bound no healthy machine reaches.
fn outcome<T>(receiver: &Receiver<Result<T, Status>>) -> Result<T, Status> {
    receiver.recv_timeout(Duration::from_secs(20)).expect("the request ends")
}

/// Waits for what another thread is about to do, within the same bound.
fn until(condition: impl Fn() -> bool) {
    let clock = SystemClock::new();
    while !condition() {
        assert!(clock.now() < Moment(0).after(Duration::from_secs(20)), "it does not come");
        std::thread::yield_now();
    }
}

/// An open file, as the core would hold it.
struct Handle {
    file: Found,
    opened: Opened,
    options: OpenOptions,
}

impl Handle {
    fn open(&self) -> OpenRef<'_> {
        let extension = &self.opened.extension;
        OpenRef { file: of(&self.file), extension, options: self.options }
    }
}

fn of(file: &Found) -> FileRef<'_> {
    FileRef { identity: file.identity, extension: &file.extension }
}

/// A started generation and its root, with a clock that moves when told.
struct Rig {
    memory: Memory,
    clock: Arc<ManualClock>,
    root: Found,
}

impl Rig {
    fn on(server: &Arc<MemoryServer>, clock: Arc<ManualClock>, options: MemoryOptions) -> Self {
        let memory = Memory::new(Arc::clone(server), options);
        let context = TestContext::new();
        memory.start(&context, Arc::new(TestUpcalls(clock.clone()))).expect("it starts");
        let srv_call = memory.create_srv_call(&context).expect("it connects");
        let (_, root) = memory.create_v_net_root(&context, &srv_call).expect("there is a share");
        Self { memory, clock, root }
    }

    fn with(options: MemoryOptions) -> Self {
        let clock = Arc::new(ManualClock::new());
        Self::on(&MemoryServer::with_root(clock.clone(), OWNER), clock, options)
    }

    fn new() -> Self {
        Self::with(MemoryOptions::default())
    }

    /// Moves the clock and tells its time: what is done next bears it.
    fn tick(&self) -> Timestamp {
        self.clock.advance(Duration::from_nanos(1_000_000_001));
        self.clock.wall().into()
    }

    fn lookup(&self, parent: &Found, entry: &str) -> Result<Found, Status> {
        self.memory.lookup(&TestContext::new(), of(parent), &name(entry))
    }

    fn has(&self, parent: &Found, entry: &str) -> bool {
        match self.lookup(parent, entry) {
            Ok(_) => true,
            Err(Status::ObjectNameNotFound) => false,
            Err(other) => panic!("looking up {entry}: {other}"),
        }
    }

    fn make(&self, parent: &Found, entry: &str, node: &NewNode) -> Result<Found, Status> {
        self.memory.make_node(&TestContext::new(), of(parent), &name(entry), node, OWNER)
    }

    fn mkdir(&self, parent: &Found, entry: &str) -> Found {
        self.make(parent, entry, &NewNode::Directory).expect("a directory can be made")
    }

    fn create(&self, parent: &Found, entry: &str) -> Handle {
        self.create_with(parent, entry, READ_WRITE).expect("a file can be made")
    }

    fn create_with(
        &self,
        parent: &Found,
        entry: &str,
        options: OpenOptions,
    ) -> Result<Handle, Status> {
        let context = TestContext::new();
        let made = self.memory.create(&context, of(parent), &name(entry), OWNER, options);
        made.map(|(file, opened)| Handle { file, opened, options })
    }

    fn open(&self, file: &Found, options: OpenOptions) -> Result<Handle, Status> {
        let opened = self.memory.open(&TestContext::new(), of(file), options)?;
        Ok(Handle { file: file.clone(), opened, options })
    }

    fn link(&self, file: &Found, parent: &Found, entry: &str) -> Result<Attributes, Status> {
        self.memory.link(&TestContext::new(), of(file), of(parent), &name(entry))
    }

    fn unlink(&self, parent: &Found, entry: &str) -> Result<(), Status> {
        self.memory.unlink(&TestContext::new(), of(parent), &name(entry))
    }

    fn rmdir(&self, parent: &Found, entry: &str) -> Result<(), Status> {
        self.memory.remove_directory(&TestContext::new(), of(parent), &name(entry))
    }

    fn rename(
        &self,
        (from, old): (&Found, &str),
        (to, new): (&Found, &str),
        mode: RenameMode,
    ) -> Result<(), Status> {
        let (old, new) = (name(old), name(new));
        self.memory.rename(&TestContext::new(), (of(from), &old), (of(to), &new), mode)
    }

    fn stat(&self, file: &Found) -> Attributes {
        let context = TestContext::new();
        self.memory.query_file_information(&context, of(file), None).expect("it can be asked")
    }

    fn set(&self, file: &Found, set: SetAttributes) -> Result<Attributes, Status> {
        self.memory.set_file_information(&TestContext::new(), of(file), None, set)
    }

    fn chmod(&self, file: &Found, permissions: u16) {
        let set = SetAttributes { permissions: Some(permissions), ..Default::default() };
        self.set(file, set).expect("permissions can be set");
    }

    fn truncate(&self, file: &Found, size: u64) -> Result<Attributes, Status> {
        self.set(file, SetAttributes { size: Some(size), ..Default::default() })
    }

    fn write(&self, handle: &Handle, offset: u64, data: &[u8]) -> Result<usize, Status> {
        self.write_as(handle, offset, data, false)
    }

    fn write_as(
        &self,
        handle: &Handle,
        offset: u64,
        data: &[u8],
        kill_privileges: bool,
    ) -> Result<usize, Status> {
        let context = TestContext::new();
        done(|submission| {
            let open = handle.open();
            self.memory.write(&context, open, offset, data, kill_privileges, submission)
        })
    }

    fn read(&self, handle: &Handle, offset: u64, size: usize) -> Result<Vec<u8>, Status> {
        let context = TestContext::new();
        done(|submission| {
            self.memory.read(&context, handle.open(), offset, size, Vec::new(), submission)
        })
    }

    fn list(&self, directory: &Handle, query: DirectoryQuery) -> Vec<DirectoryEntry> {
        let context = TestContext::new();
        self.memory.query_directory(&context, directory.open(), query).expect("it can be listed")
    }

    fn names(&self, directory: &Found) -> Vec<String> {
        let handle = self.open(directory, READ).expect("it can be opened");
        let query = DirectoryQuery { from: 0, budget_bytes: usize::MAX, with_files: false };
        self.list(&handle, query).iter().map(|entry| entry.name.to_string()).collect()
    }
}
