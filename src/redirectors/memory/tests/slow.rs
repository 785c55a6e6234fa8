//! Latency: answers take their time, overlap, and can be cancelled.

use super::*;
use crate::base::clock::SystemClock;
use crate::base::limits::{DELAYED_BYTES_MAX, DELAYED_REQUESTS_MAX};
use crate::redirectors::memory::{node, now};

/// Longer than any test may last: what waits for it was not cancelled.
const FOR_EVER: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(30);

/// A generation on the machine's clock, with a file made before it became slow.
struct Slow {
    memory: Memory,
    file: Found,
    handle: Handle,
    clock: Arc<dyn Clock>,
}

impl Slow {
    fn new(latency: Duration) -> Self {
        let clock = SystemClock::shared();
        let server = MemoryServer::with_root(Arc::clone(&clock), OWNER);
        let quick = Memory::new(Arc::clone(&server), MemoryOptions::default());
        let context = TestContext::new();
        assert!(!quick.capabilities().blocking);
        let (_, root) =
            quick.create_v_net_root(&context, &(Arc::new(()) as Extension)).expect("a share");
        let made = quick.create(&context, of(&root), &name("f"), OWNER, READ_WRITE);
        let (file, opened) = made.expect("made");
        let memory =
            Memory::new(server, MemoryOptions { latency: Some(latency), ..Default::default() });
        assert!(memory.capabilities().blocking);
        memory.start(&context, Arc::new(TestUpcalls(Arc::clone(&clock)))).expect("it starts");
        let handle = Handle { file: file.clone(), opened, options: READ_WRITE };
        Self { memory, file, handle, clock }
    }

    fn stat(&self, context: &TestContext) -> Result<Attributes, Status> {
        self.memory.query_file_information(context, of(&self.file), None)
    }

    /// The file's attributes without the way to the server.
    fn now_at_the_server(&self) -> Attributes {
        node(of(&self.file)).expect("it is ours").attributes()
    }

    fn read(&self, context: &TestContext) -> Receiver<Result<Vec<u8>, Status>> {
        pended(|submission| {
            self.memory.read(context, self.handle.open(), 0, 100, Vec::new(), submission)
        })
    }

    fn write(&self, context: &TestContext, data: &[u8]) -> Receiver<Result<usize, Status>> {
        pended(|submission| {
            self.memory.write(context, self.handle.open(), 0, data, false, submission)
        })
    }
}

#[test]
fn an_answer_takes_its_time() {
    let slow = Slow::new(SHORT);
    let context = TestContext::new();
    let began = slow.clock.now();
    slow.stat(&context).expect("answered");
    assert!(slow.clock.now().since(began) >= SHORT);
    assert!(!context.has_routine(), "it can be cancelled only as long as it waits");
}

#[test]
fn reads_and_writes_overlap_and_keep_their_order() {
    let slow = Slow::new(SHORT);
    let context = TestContext::new();
    let began = slow.clock.now();
    let writes: Vec<_> =
        (0..100_u8).map(|number| slow.write(&TestContext::new(), &[number; 8])).collect();
    let read = slow.read(&context);
    for write in &writes {
        assert_eq!(outcome(write), Ok(8));
    }
    assert_eq!(outcome(&read), Ok(vec![99; 8]));
    let took = slow.clock.now().since(began);
    assert!(took >= SHORT && took < 100 * SHORT, "101 answers one after the other: {took:?}");
    let written = slow.stat(&context).expect("answered").modified;
    assert!(written <= now(&slow.clock));
}

#[test]
fn a_cancelled_wait_ends_at_once_and_did_nothing() {
    let slow = Slow::new(FOR_EVER);
    let context = TestContext::new();
    std::thread::scope(|scope| {
        let removing = scope.spawn(|| {
            let set = SetAttributes { permissions: Some(0), ..Default::default() };
            slow.memory.set_file_information(&context, of(&slow.file), None, set)
        });
        until(|| context.has_routine());
        context.cancel();
        assert_eq!(removing.join().expect("no panic"), Err(Status::Cancelled));
    });
    assert_eq!(slow.now_at_the_server().permissions, 0o644);
}

#[test]
fn cancelled_low_io_ends_at_once_and_did_nothing() {
    let slow = Slow::new(FOR_EVER);
    let context = TestContext::new();
    let write = slow.write(&context, b"never");
    context.cancel();
    assert_eq!(outcome(&write), Err(Status::Cancelled));
    assert_eq!(outcome(&slow.read(&context)), Err(Status::Cancelled), "cancelled before");
    assert_eq!(slow.stat(&context).err(), Some(Status::Cancelled));
    slow.memory.stop(&TestContext::new()).expect("it stops");
    assert_eq!(slow.now_at_the_server().size, 0);
}

#[test]
fn stopping_ends_the_timer_and_whatever_it_held() {
    let slow = Slow::new(FOR_EVER);
    let (first, second) = (TestContext::new(), TestContext::new());
    let pending = [slow.read(&first), slow.read(&second)];
    slow.memory.stop(&TestContext::new()).expect("it stops");
    for request in &pending {
        assert_eq!(request.try_recv(), Ok(Err(Status::Cancelled)), "the thread was joined");
    }
    slow.memory.stop(&TestContext::new()).expect("twice is once");
    let third = TestContext::new();
    let dropped = {
        let slow = Slow::new(FOR_EVER);
        slow.read(&third)
    };
    assert_eq!(dropped.try_recv(), Ok(Err(Status::Cancelled)), "dropping joins, too");
}

#[test]
fn without_its_timer_low_io_waits_for_itself() {
    let slow = Slow::new(SHORT);
    slow.memory.stop(&TestContext::new()).expect("it stops");
    let context = TestContext::new();
    let began = slow.clock.now();
    let flushed =
        done(|submission| slow.memory.flush(&context, slow.handle.open(), false, submission));
    assert_eq!(flushed, Ok(()));
    assert!(slow.clock.now().since(began) >= SHORT);
}

#[test]
fn more_than_the_timer_holds_waits_for_itself() {
    let slow = Slow::new(FOR_EVER);
    let hold: Vec<_> = (0..DELAYED_REQUESTS_MAX).map(|_| slow.read(&TestContext::new())).collect();
    let context = TestContext::new();
    std::thread::scope(|scope| {
        let one_more = scope.spawn(|| {
            done(|submission| slow.memory.flush(&context, slow.handle.open(), false, submission))
        });
        until(|| context.has_routine());
        context.cancel();
        assert_eq!(one_more.join().expect("no panic"), Err(Status::Cancelled));
    });
    assert!(hold.iter().all(|request| request.try_recv().is_err()), "the others go on");
}

#[test]
fn bytes_held_back_are_bounded() {
    let slow = Slow::new(FOR_EVER);
    let data = vec![0; DELAYED_BYTES_MAX / 2];
    let context = TestContext::new();
    let _held = [slow.write(&TestContext::new(), &data), slow.write(&TestContext::new(), &data)];
    std::thread::scope(|scope| {
        let one_more = scope.spawn(|| {
            done(|submission| {
                slow.memory.write(&context, slow.handle.open(), 0, b"x", false, submission)
            })
        });
        until(|| context.has_routine());
        context.cancel();
        assert_eq!(one_more.join().expect("no panic"), Err(Status::Cancelled));
    });
}

#[test]
fn bytes_no_longer_held_back_make_room() {
    let slow = Slow::new(SHORT);
    let data = vec![0; DELAYED_BYTES_MAX];
    for _ in 0..2 {
        assert_eq!(outcome(&slow.write(&TestContext::new(), &data)), Ok(data.len()));
    }
}

#[test]
fn a_panicking_completion_stops_nobody_else() {
    let slow = Slow::new(SHORT);
    let mut pend = || Completer::new(|_: Result<Vec<u8>, Status>| panic!("a test's panic"));
    let context = TestContext::new();
    let submission = Submission::new(&mut pend);
    let told = slow.memory.read(&context, slow.handle.open(), 0, 1, Vec::new(), submission);
    assert!(matches!(told, LowIo::Pending));
    assert_eq!(outcome(&slow.read(&TestContext::new())), Ok(Vec::new()));
}
