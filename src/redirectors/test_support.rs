//! What the tests of every mini-redirector need in place of the core.

use crate::base::clock::{Clock, Moment, SystemClock};
use crate::base::ids::{Caller, SerialNumber};
use crate::base::name::Name;
use crate::base::status::Status;
use crate::base::stop::Loss;
use crate::base::sync::{Mutex, Rank};
use crate::mrx::low_io::{Completer, LowIo, Submission};
use crate::mrx::request::{
    Access, Extension, FileIdentity, FileRef, Found, OpenOptions, OpenRef, Opened,
};
use crate::mrx::upcall::{RequestContext, Upcalls};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a test waits for what must happen before it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A request that a test can cancel.
pub(crate) struct TestContext {
    caller: Caller,
    cancelled: AtomicBool,
    routine: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl TestContext {
    /// Of the superuser.
    pub(crate) fn new() -> Self {
        Self::of(0, 0)
    }

    /// Of this user.
    pub(crate) fn of(uid: u32, gid: u32) -> Self {
        let caller = Caller::local(1, uid, gid);
        let routine = Mutex::new(Rank::Leaf, None);
        Self { caller, cancelled: AtomicBool::new(false), routine }
    }

    /// Cancels it as the core does; false if it is not cancellable.
    pub(crate) fn cancel(&self) -> bool {
        self.cancelled.store(true, Ordering::SeqCst);
        let routine = self.routine.lock().take();
        routine.is_some_and(|routine| {
            routine();
            true
        })
    }

    /// Has a cancel routine been set?
    pub(crate) fn is_cancellable(&self) -> bool {
        self.routine.lock().is_some()
    }
}

impl RequestContext for TestContext {
    fn serial(&self) -> SerialNumber {
        SerialNumber(1)
    }

    fn caller(&self) -> Caller {
        self.caller
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

/// A core with nothing in it but a clock.
pub(crate) struct TestUpcalls(pub(crate) Arc<dyn Clock>);

impl TestUpcalls {
    /// With the machine's clock.
    pub(crate) fn shared() -> Arc<dyn Upcalls> {
        Arc::new(Self(SystemClock::shared()))
    }
}

impl Upcalls for TestUpcalls {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0)
    }

    fn invalidate_file(&self, _identity: FileIdentity) {}
    fn invalidate_attributes(&self, _identity: FileIdentity) {}
    fn invalidate_name(&self, _directory: FileIdentity, _name: &Name) {}
    fn invalidate_all(&self) {}

    fn report_loss(&self, _loss: Loss) {}
}

/// A low I/O request: runs the callout and gives what will hold its result.
pub(crate) fn submit<T: Send + 'static>(
    callout: impl FnOnce(Submission<'_, T>) -> LowIo<T>,
) -> Receiver<Result<T, Status>> {
    let (sender, receiver) = channel();
    let pending = sender.clone();
    let mut pend = || {
        let sender = pending.clone();
        Completer::new(move |result| drop(sender.send(result)))
    };
    if let LowIo::Done(result) = callout(Submission::new(&mut pend)) {
        sender.send(result).expect("the receiver is here");
    }
    receiver
}

/// The same, waiting for the result.
pub(crate) fn finish<T: Send + 'static>(
    callout: impl FnOnce(Submission<'_, T>) -> LowIo<T>,
) -> Result<T, Status> {
    submit(callout).recv_timeout(LIMIT).expect("completed in time")
}

/// What the core keeps of a file.
#[derive(Clone)]
pub(crate) struct TestFile {
    pub(crate) identity: FileIdentity,
    pub(crate) extension: Extension,
}

impl From<Found> for TestFile {
    fn from(found: Found) -> Self {
        Self { identity: found.identity, extension: found.extension }
    }
}

impl TestFile {
    /// As a calldown takes it.
    pub(crate) fn as_ref(&self) -> FileRef<'_> {
        FileRef { identity: self.identity, extension: &self.extension }
    }
}

/// What the core keeps of an open.
#[derive(Clone)]
pub(crate) struct TestOpen {
    pub(crate) file: TestFile,
    pub(crate) extension: Extension,
    pub(crate) options: OpenOptions,
}

impl TestOpen {
    /// An open of a file.
    pub(crate) fn new(file: &TestFile, opened: Opened, options: OpenOptions) -> Self {
        Self { file: file.clone(), extension: opened.extension, options }
    }

    /// As a calldown takes it.
    pub(crate) fn as_ref(&self) -> OpenRef<'_> {
        OpenRef { file: self.file.as_ref(), extension: &self.extension, options: self.options }
    }
}

/// Options of a plain open.
pub(crate) fn opening(access: Access) -> OpenOptions {
    OpenOptions {
        access,
        append: false,
        truncate: false,
        direct: false,
        synchronous: false,
        kill_privileges: false,
    }
}
