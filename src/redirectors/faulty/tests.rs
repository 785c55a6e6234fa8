//! `faulty` around a server of a few lines.

use super::*;
use crate::base::clock::ManualClock;
use crate::base::status::Errno;
use crate::mrx::low_io::Completer;
use crate::mrx::request::{Access, FileIdentity, LockKind};
use crate::redirectors::test_support::{
    LIMIT, TestContext, TestFile, TestOpen, TestUpcalls, finish, opening, submit,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

/// Answers everything, remembers what was written, and lets locks wait.
struct Server {
    reads: AtomicUsize,
    written: Mutex<Vec<u8>>,
    waiting: Mutex<Option<Completer<()>>>,
}

impl MiniRedirector for Arc<Server> {
    fn name(&self) -> &'static str {
        "server"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { locks: true, ..Capabilities::default() }
    }

    fn create_v_net_root(
        &self,
        _context: Context<'_>,
        _srv_call: &Extension,
    ) -> Result<(Extension, Found), Status> {
        Err(Status::NotImplemented)
    }

    fn lookup(
        &self,
        _context: Context<'_>,
        _parent: FileRef<'_>,
        _name: &Name,
    ) -> Result<Found, Status> {
        Err(Status::ObjectNameNotFound)
    }

    fn open(
        &self,
        _context: Context<'_>,
        _file: FileRef<'_>,
        _options: OpenOptions,
    ) -> Result<Opened, Status> {
        Ok(Opened { extension: Arc::new(()), buffering: Default::default() })
    }

    fn read(
        &self,
        _context: Context<'_>,
        _open: OpenRef<'_>,
        offset: u64,
        size: usize,
        mut buffer: Vec<u8>,
        _submission: Submission<'_, Vec<u8>>,
    ) -> LowIo<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        buffer.resize(size, u8::try_from(offset).unwrap_or(u8::MAX));
        LowIo::Done(Ok(buffer))
    }

    fn write(
        &self,
        _context: Context<'_>,
        _open: OpenRef<'_>,
        _offset: u64,
        data: &[u8],
        _kill_privileges: bool,
        _submission: Submission<'_, usize>,
    ) -> LowIo<usize> {
        self.written.lock().extend(data);
        LowIo::Done(Ok(data.len()))
    }

    fn lock(
        &self,
        context: Context<'_>,
        _open: OpenRef<'_>,
        _lock: Lock,
        _wait: bool,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        let server = Arc::clone(self);
        let routine = Box::new(move || {
            let waiting = server.waiting.lock().take();
            waiting.expect("one waits").complete(Err(Status::Cancelled));
        });
        if let Err(status) = context.set_cancel_routine(routine) {
            return LowIo::Done(Err(status));
        }
        *self.waiting.lock() = Some(submission.pend());
        LowIo::Pending
    }

    fn query_file_information(
        &self,
        _context: Context<'_>,
        _file: FileRef<'_>,
        _open: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        Err(Status::NotImplemented)
    }
}

/// A started `faulty`, its server, and an open to use.
struct Wrapped {
    faulty: Faulty,
    control: FaultControl,
    server: Arc<Server>,
    clock: Arc<ManualClock>,
    open: TestOpen,
}

fn plan(options: &[(&str, &str)]) -> FaultPlan {
    let pair = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    let pairs: Vec<_> = options.iter().map(pair).collect();
    let (plan, rest) = FaultyOptions::split(&pairs).expect("readable");
    assert!(rest.is_empty(), "{rest:?}");
    plan
}

impl Wrapped {
    fn new(options: &[(&str, &str)]) -> Self {
        let server = Arc::new(Server {
            reads: AtomicUsize::new(0),
            written: Mutex::new(Rank::Leaf, Vec::new()),
            waiting: Mutex::new(Rank::Leaf, None),
        });
        let faulty = Faulty::new(Arc::new(Arc::clone(&server)), plan(options));
        let clock = Arc::new(ManualClock::new());
        let upcalls = TestUpcalls(Arc::clone(&clock) as _);
        faulty.start(&TestContext::new(), Arc::new(upcalls)).expect("started");
        let identity = FileIdentity { number: 2, generation: 0 };
        let file = TestFile { identity, extension: Arc::new(()) };
        let opened = Opened { extension: Arc::new(()), buffering: Default::default() };
        let open = TestOpen::new(&file, opened, opening(Access::ReadWrite));
        Self { control: faulty.control(), faulty, server, clock, open }
    }

    fn read(&self, context: &TestContext, offset: u64) -> Receiver<Result<Vec<u8>, Status>> {
        submit(|submission| {
            self.faulty.read(context, self.open.as_ref(), offset, 2, Vec::new(), submission)
        })
    }

    fn write(&self, context: &TestContext, data: &[u8]) -> Receiver<Result<usize, Status>> {
        submit(|submission| {
            self.faulty.write(context, self.open.as_ref(), 0, data, false, submission)
        })
    }

    fn lookup(&self, context: &TestContext) -> Result<(), Status> {
        let name = Name::new(b"x").expect("a name");
        self.faulty.lookup(context, self.open.as_ref().file, &name).map(|_| ())
    }

    fn reads(&self) -> usize {
        self.server.reads.load(Ordering::SeqCst)
    }

    fn written(&self) -> Vec<u8> {
        self.server.written.lock().clone()
    }
}

fn result<T>(receiver: &Receiver<Result<T, Status>>) -> Result<T, Status> {
    receiver.recv_timeout(LIMIT).expect("completed in time")
}

fn is_pending<T>(receiver: &Receiver<Result<T, Status>>) -> bool {
    matches!(receiver.try_recv(), Err(TryRecvError::Empty))
}

#[test]
fn without_faults_everything_passes() {
    let wrapped = Wrapped::new(&[]);
    let context = TestContext::new();
    assert_eq!(result(&wrapped.read(&context, 7)), Ok(vec![7, 7]));
    assert_eq!(wrapped.lookup(&context), Err(Status::ObjectNameNotFound));
    let capabilities = wrapped.faulty.capabilities();
    assert_eq!(capabilities, Capabilities { locks: true, ..Capabilities::default() });
    assert!(Wrapped::new(&[("blocking", "")]).faulty.capabilities().blocking);
    assert!(Wrapped::new(&[("read", "hang")]).faulty.capabilities().blocking);
}

/// Each method meets the faults put on its own name, and on no other.
#[test]
fn every_callout_has_its_own_faults() {
    let Wrapped { faulty, control, open, .. } = Wrapped::new(&[]);
    let (context, nothing): (_, Extension) = (TestContext::new(), Arc::new(()));
    let c: Context<'_> = &context;
    let (o, f) = (open.as_ref(), open.as_ref().file);
    let n = &Name::new(b"x").expect("a name");
    let owner = Ownership { permissions: 0, umask: 0, uid: 0, gid: 0 };
    let lock = Lock { kind: LockKind::Unlock, start: 0, end: 0, owner: 0, pid: 0 };
    let query = DirectoryQuery { from: 0, budget_bytes: 0, with_files: false };
    let xattr = SetExtendedAttributeMode::Any;
    let (all, set) = (AllocateMode::default(), SetAttributes::default());
    let _ = faulty.device_control(c, 0, &[]);
    let _ = faulty.create_srv_call(c);
    faulty.finalize_srv_call(&nothing);
    let _ = faulty.create_v_net_root(c, &nothing);
    faulty.finalize_v_net_root(&nothing);
    let _ = faulty.lookup(c, f, n);
    let _ = faulty.make_node(c, f, n, &NewNode::Directory, owner);
    let _ = faulty.link(c, f, f, n);
    let _ = faulty.unlink(c, f, n);
    let _ = faulty.remove_directory(c, f, n);
    let _ = faulty.rename(c, (f, n), (f, n), RenameMode::Replace);
    let _ = faulty.read_link(c, f);
    let _ = faulty.create(c, f, n, owner, o.options);
    let _ = faulty.open(c, f, o.options);
    let _ = faulty.should_try_to_collapse_this_open(o);
    let _ = faulty.collapse_open(c, o);
    let _ = faulty.reclaim_open(c, f, o.options);
    let _ = faulty.cleanup(c, o);
    let _ = faulty.close(c, o);
    let _ = finish(|submission| faulty.read(c, o, 0, 0, Vec::new(), submission));
    let _ = finish(|submission| faulty.write(c, o, 0, &[], false, submission));
    let _ = finish(|submission| faulty.flush(c, o, false, submission));
    let _ = finish(|submission| faulty.commit(c, o, submission));
    let locked = submit(|submission| faulty.lock(c, o, lock, false, submission));
    assert!(context.cancel() && result(&locked) == Err(Status::Cancelled));
    let _ = finish(|submission| faulty.notify_change_directory(c, o, submission));
    let _ = faulty.query_file_information(c, f, None);
    let _ = faulty.set_file_information(c, f, None, set);
    let _ = faulty.query_directory(c, o, query);
    let _ = faulty.query_volume_information(c);
    let _ = faulty.query_extended_attribute(c, f, b"");
    let _ = faulty.list_extended_attributes(c, f);
    let _ = faulty.set_extended_attribute(c, f, b"", b"", xattr);
    let _ = faulty.remove_extended_attribute(c, f, b"");
    let _ = faulty.allocate(c, o, 0, 0, all);
    let _ = faulty.seek(c, o, 0, SeekTo::Data);
    let _ = faulty.copy_range(c, (o, 0), (o, 0), 0);
    let _ = faulty.query_lock(c, o, lock);
    let _ = faulty.stop(c);
    for callout in Callout::ALL {
        assert_eq!(control.calls(callout), 1, "{callout}");
        assert_eq!(control.inside(callout), 0, "{callout}");
    }
}

#[test]
fn a_hang_ends_when_it_is_cancelled() {
    let wrapped = Wrapped::new(&[("read", "hang")]);
    let context = TestContext::new();
    let read = wrapped.read(&context, 0);
    assert!(wrapped.control.wait_until_inside(Callout::Read, 1, LIMIT));
    assert!(is_pending(&read) && context.cancel());
    assert_eq!(result(&read), Err(Status::Cancelled));
    assert_eq!(wrapped.reads(), 0, "the server never heard of it");
    // Cancelled before it begins: no hang at all.
    assert_eq!(result(&wrapped.read(&context, 0)), Err(Status::Cancelled));
}

#[test]
fn a_released_hang_goes_on_with_its_own_operands() {
    let wrapped = Wrapped::new(&[("write", "hang")]);
    let context = TestContext::new();
    let data = b"first".to_vec();
    let first = wrapped.write(&context, &data);
    drop(data);
    assert_eq!(wrapped.written(), b"");
    wrapped.control.release();
    assert_eq!((result(&first), wrapped.written()), (Ok(5), b"first".to_vec()));
    // The next one hangs again.
    let second = wrapped.write(&context, b"second");
    assert!(is_pending(&second));
    wrapped.control.set_plan(FaultPlan::none());
    assert_eq!(result(&wrapped.write(&context, b"+")), Ok(1), "and no one after it");
    wrapped.control.release();
    assert_eq!((result(&second), wrapped.written()), (Ok(6), b"first+second".to_vec()));
}

#[test]
fn an_uncancellable_hang_waits_for_its_release() {
    let wrapped =
        Wrapped::new(&[("write", "hang-uncancellable"), ("lookup", "hang-uncancellable")]);
    let context = TestContext::new();
    let write = wrapped.write(&context, b"x");
    assert!(!context.is_cancellable() && !context.cancel());
    std::thread::scope(|scope| {
        let lookup = scope.spawn(|| wrapped.lookup(&context));
        assert!(wrapped.control.wait_until_inside(Callout::Lookup, 1, LIMIT));
        assert!(!context.cancel() && is_pending(&write) && !lookup.is_finished());
        wrapped.control.release();
        assert_eq!(lookup.join().expect("no panic"), Err(Status::ObjectNameNotFound));
    });
    assert_eq!(result(&write), Ok(1));
}

#[test]
fn other_callouts_hang_on_their_thread() {
    let wrapped = Wrapped::new(&[("lookup", "hang"), ("stop", "hang")]);
    let (finding, stopping) = (TestContext::new(), TestContext::new());
    std::thread::scope(|scope| {
        let lookup = scope.spawn(|| wrapped.lookup(&finding));
        let stop = scope.spawn(|| wrapped.faulty.stop(&stopping));
        assert!(wrapped.control.wait_until_inside(Callout::Lookup, 1, LIMIT));
        assert!(wrapped.control.wait_until_inside(Callout::Stop, 1, LIMIT));
        // The routine comes a moment after the call is counted.
        while !finding.is_cancellable() {
            std::thread::yield_now();
        }
        assert!(finding.cancel());
        assert_eq!(lookup.join().expect("no panic"), Err(Status::Cancelled));
        assert!(!stop.is_finished(), "only what was cancelled");
        wrapped.control.release();
        assert_eq!(stop.join().expect("no panic"), Ok(()));
    });
    assert!(!stopping.is_cancellable(), "its routine was taken back");
}

#[test]
fn a_synchronous_hang_keeps_the_thread() {
    let wrapped = Wrapped::new(&[("read", "sync-hang")]);
    let context = TestContext::new();
    std::thread::scope(|scope| {
        let read = scope.spawn(|| {
            let mut pend = || -> Completer<Vec<u8>> { panic!("it pends") };
            let submission = Submission::new(&mut pend);
            let open = wrapped.open.as_ref();
            match wrapped.faulty.read(&context, open, 3, 1, Vec::new(), submission) {
                LowIo::Done(result) => result,
                LowIo::Pending => panic!("it pends"),
            }
        });
        assert!(wrapped.control.wait_until_inside(Callout::Read, 1, LIMIT));
        wrapped.control.release();
        assert_eq!(read.join().expect("done"), Ok(vec![3]));
    });
}

#[test]
fn only_the_third_call() {
    let wrapped = Wrapped::new(&[("read", "error:EIO#3"), ("write", "error:ENOSPC#1")]);
    let context = TestContext::new();
    let failed: Vec<bool> = (0..5).map(|_| result(&wrapped.read(&context, 0)).is_err()).collect();
    assert_eq!(failed, [false, false, true, false, false]);
    assert_eq!(wrapped.reads(), 4);
    let write = result(&wrapped.write(&context, b"x"));
    assert_eq!(write, Err(Status::Posix(Errno::ENOSPC)));
    assert_eq!(wrapped.written(), b"");
}

#[test]
fn delayed_answers_come_in_the_order_of_their_times() {
    let wrapped = Wrapped::new(&[
        ("read", "delay:300ms#1"),
        ("read", "delay:100ms#2"),
        ("read", "delay:200ms#3"),
        ("read", "error:EIO#3"),
    ]);
    let context = TestContext::new();
    let [first, second, third] = [1, 2, 3].map(|offset| wrapped.read(&context, offset));
    assert_eq!(wrapped.reads(), 2, "the server had them at once; the third never");
    assert_eq!(wrapped.control.inside(Callout::Read), 3);
    assert!(!context.is_cancellable());
    wrapped.clock.advance(Duration::from_millis(100));
    assert_eq!(result(&second), Ok(vec![2, 2]));
    assert!(is_pending(&first) && is_pending(&third));
    wrapped.clock.advance(Duration::from_millis(100));
    assert_eq!(result(&third), Err(Status::Posix(Errno::EIO)));
    assert!(is_pending(&first));
    wrapped.clock.advance(Duration::from_millis(100));
    assert_eq!(result(&first), Ok(vec![1, 1]));
}

#[test]
fn a_delay_of_another_callout_keeps_its_thread() {
    let wrapped = Wrapped::new(&[("close", "delay:1s")]);
    std::thread::scope(|scope| {
        let close =
            scope.spawn(|| wrapped.faulty.close(&TestContext::new(), wrapped.open.as_ref()));
        assert!(wrapped.control.wait_until_inside(Callout::Close, 1, LIMIT));
        assert!(!close.is_finished());
        // It is inside, but may not have read the clock yet: time goes on until it has.
        while !close.is_finished() {
            wrapped.clock.advance(Duration::from_secs(1));
            std::thread::yield_now();
        }
        assert_eq!(close.join().expect("no panic"), Ok(()));
    });
}

#[test]
fn a_panic_is_one_and_leaves_no_trace() {
    let wrapped = Wrapped::new(&[("lookup", "panic#1"), ("read", "panic#1")]);
    let context = TestContext::new();
    let lookup = catch_unwind(AssertUnwindSafe(|| wrapped.lookup(&context)));
    let why = lookup.expect_err("it panics");
    let why = why.downcast_ref::<String>().expect("a text");
    assert!(why.contains("lookup panics as planned"), "{why}");
    assert!(catch_unwind(AssertUnwindSafe(|| wrapped.read(&context, 0))).is_err());
    for callout in [Callout::Lookup, Callout::Read] {
        assert_eq!(wrapped.control.inside(callout), 0);
    }
    assert_eq!(wrapped.lookup(&context), Err(Status::ObjectNameNotFound));
    assert_eq!(result(&wrapped.read(&context, 1)), Ok(vec![1, 1]));
}

#[test]
fn the_same_seed_fails_the_same_calls() {
    let failures = |seed: &str| {
        let wrapped =
            Wrapped::new(&[("seed", seed), ("read", "error:EIO@0.4"), ("lookup", "error:EIO@0.4")]);
        let context = TestContext::new();
        (0..100)
            .map(|_| (wrapped.lookup(&context), result(&wrapped.read(&context, 0)).is_ok()))
            .collect::<Vec<_>>()
    };
    let (first, other) = (failures("3"), failures("8"));
    assert_eq!(first, failures("3"));
    assert_ne!(first, other);
}

/// After a hang the request still belongs to the core: its cancel reaches what the server does now.
#[test]
fn a_cancel_reaches_the_server_after_a_hang() {
    let wrapped = Wrapped::new(&[("lock", "hang")]);
    let context = TestContext::new();
    let lock = Lock { kind: LockKind::Exclusive, start: 0, end: 9, owner: 1, pid: 1 };
    let locked = submit(|submission| {
        wrapped.faulty.lock(&context, wrapped.open.as_ref(), lock, true, submission)
    });
    wrapped.control.release();
    while wrapped.server.waiting.lock().is_none() {
        std::thread::yield_now();
    }
    assert!(is_pending(&locked) && context.cancel());
    assert_eq!(result(&locked), Err(Status::Cancelled));
}

#[test]
fn an_end_ends_what_hangs_and_what_is_late() {
    let wrapped = Wrapped::new(&[("read", "hang"), ("write", "delay:1h")]);
    let context = TestContext::new();
    let (read, write) = (wrapped.read(&context, 0), wrapped.write(&context, b"x"));
    assert!(is_pending(&read) && is_pending(&write));
    let Wrapped { faulty, control, .. } = wrapped;
    drop(faulty);
    assert_eq!(read.try_recv(), Ok(Err(Status::Cancelled)));
    assert_eq!(write.try_recv(), Ok(Ok(1)));
    for callout in [Callout::Read, Callout::Write] {
        assert_eq!(control.inside(callout), 0);
    }
}

#[test]
fn nobody_inside_is_noticed_in_time() {
    let wrapped = Wrapped::new(&[]);
    assert!(!wrapped.control.wait_until_inside(Callout::Read, 1, Duration::from_millis(1)));
}
