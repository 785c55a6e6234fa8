//! The lanes of the file system process through the public face of the core (stop.md C3, §5):
//! bounds, what is owed, one device beside another; and callers who are signalled while they wait.

mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, LIMIT, wait_until};
use minirdr::base::ids::{Caller, HandleNumber};
use minirdr::base::limits::{FSP_INLINE_MAX, FSP_QUEUE_MAX, FSP_WORKERS_STUCK_MAX};
use minirdr::base::status::Status;
use minirdr::base::stop::{CallResult, OnDeadline, StopOptions};
use minirdr::rdbss::operation::operand::{Access, Lock, LockKind};
use minirdr::rdbss::operation::{Answer, Operation};
use minirdr::rdbss::register::DeviceOptions;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

fn host(null: &Arc<Null>) -> Host {
    Host::started(Arc::new(NullRedirector(null.clone())))
}

fn handle(host: &Host) -> HandleNumber {
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    host.open(&file, Access::ReadWrite).expect("opens")
}

fn read(handle: HandleNumber) -> Operation<'static> {
    Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() }
}

type Answers = Receiver<Result<Answer, Status>>;

/// Every worker there may be is stuck in the server, and the queue is full.
fn fill(host: &Host, null: &Null, handle: HandleNumber) -> Vec<Answers> {
    null.hold("read", Hold::Stubbornly);
    let mut answers: Vec<Answers> =
        (0..FSP_WORKERS_STUCK_MAX).map(|_| host.submit(read(handle))).collect();
    wait_until("every worker is stuck", || {
        null.inside("read") == FSP_WORKERS_STUCK_MAX && host.device.status().fsp.queued == 0
    });
    answers.extend((0..FSP_QUEUE_MAX).map(|_| host.submit(read(handle))));
    assert_eq!(host.device.status().fsp.queued, FSP_QUEUE_MAX);
    answers
}

/// C3: over the bound a request runs on the thread that brought it while there are threads left,
/// and is refused beyond that; a close is owed and never refused; nothing is lost.
#[test]
fn c3_over_the_bound_inline_then_refused_and_closes_still_pass() {
    let null = Null::posted();
    let host = host(&null);
    let (busy, other) = (handle(&host), handle(&host));
    let answers = fill(&host, &null, busy);
    std::thread::scope(|scope| {
        let inline: Vec<_> =
            (0..FSP_INLINE_MAX).map(|_| scope.spawn(|| host.call(read(busy)))).collect();
        wait_until("they run on their own threads", || {
            null.inside("read") == FSP_WORKERS_STUCK_MAX + FSP_INLINE_MAX
        });
        assert_eq!(host.call(read(busy)).err(), Some(Status::InsufficientResources), "at once");
        let closing = host.submit(Operation::Release { handle: other });
        assert!(closing.try_recv().is_err(), "it waits for its turn, it is not refused");
        null.release();
        for thread in inline {
            assert!(thread.join().expect("no panic").is_ok());
        }
        assert!(closing.recv_timeout(LIMIT).expect("answered").is_ok());
    });
    for answer in answers {
        assert!(answer.recv_timeout(LIMIT).expect("answered").is_ok());
    }
    let accounts = host.device.status().fsp.accounts;
    assert_eq!(accounts[1].posted_total, accounts[1].taken_total, "{accounts:?}");
    assert!(accounts[1].rejected_total > FSP_INLINE_MAX as u64, "{accounts:?}");
    host.release(busy).expect("closes");
}

/// Issue 3, work queues: a device whose server hangs takes nothing from another one.
#[test]
fn one_device_cannot_starve_another() {
    let (hung, fine) = (Null::posted(), Null::posted());
    let (bad, good) = (host(&hung), host(&fine));
    let (stuck, works) = (handle(&bad), handle(&good));
    let answers = fill(&bad, &hung, stuck);
    for _ in 0..100 {
        assert!(good.read(works, 0, 1).is_ok());
    }
    let report = good.stop();
    assert_eq!(report.result, CallResult::HasOpenHandles);
    assert_eq!(good.start().result, CallResult::Success);
    hung.release();
    for answer in answers {
        assert!(answer.recv_timeout(LIMIT).expect("answered").is_ok());
    }
    bad.release(stuck).expect("closes");
    good.release(works).expect("closes");
}

/// Stop.md §4 step 10 and §5: a stop that gives up on a dead server loses no item of its queue:
/// each request is answered, once, and a close that waited behind the stuck workers is made.
#[test]
fn a_spin_down_behind_stuck_workers_loses_nothing() {
    let null = Null::posted();
    let host = host(&null);
    let (busy, other) = (handle(&host), handle(&host));
    let answers = fill(&host, &null, busy);
    let closing = host.submit(Operation::Release { handle: other });
    let report = host.stop_with(StopOptions {
        deadline_s: Some(0.3),
        on_deadline: OnDeadline::Cancel,
        ..StopOptions::default()
    });
    assert!(report.result.is_stopped(), "{report:?}");
    for answer in answers {
        let answer = answer.recv_timeout(LIMIT).expect("answered");
        assert_eq!(answer.err(), Some(Status::IoTimeout));
    }
    assert_eq!(closing.recv_timeout(LIMIT).expect("answered").err(), Some(Status::IoTimeout));
    wait_until("the close was made all the same", || null.calls().contains(&"close"));
    null.release();
    host.release(busy).expect("closes");
    host.start();
}

/// A process that waits in a system call, with handlers for what the tests send it.
struct Waiting(Child);

impl Waiting {
    fn new() -> Self {
        // `read` from a pipe that nobody writes: a signal is pending for as long as it is stopped.
        let script = "trap : INT TERM USR1; echo ready; while :; do read -r line || :; done";
        let mut child = Command::new("bash")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash is there");
        let mut ready = [0; 6];
        let output = child.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(output, &mut ready).expect("it says so");
        Self(child)
    }

    fn caller(&self) -> Caller {
        Caller::local(self.0.id(), 1000, 1000)
    }

    /// Stopped, it takes no signal: what is sent stays pending, as it does in a blocked request.
    fn signal(&self, name: &str) {
        let send = |name: &str| {
            let sent = Command::new("kill")
                .args(["-s", name, &self.0.id().to_string()])
                .status()
                .expect("kill is there");
            assert!(sent.success());
        };
        send("STOP");
        wait_until("it is stopped", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()));
            status.is_ok_and(|status| status.contains("State:\tT"))
        });
        send(name);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.kill().expect("it is ours");
        self.0.wait().expect("it ends");
    }
}

fn write(handle: HandleNumber) -> Operation<'static> {
    let data = vec![1].into();
    Operation::Write { handle, offset: 0, data, write_back: false, kill_privileges: false }
}

/// S-44: whoever is signalled while a server hangs gets EINTR: at once where it only asked; where
/// it changes something, by the signals that ask a program to end. Others go on; the server is
/// heard out.
#[test]
fn a_signalled_caller_is_let_go() {
    let null = Null::posted();
    let mut host = host(&null);
    let handle = handle(&host);
    null.hold("read", Hold::Stubbornly);
    null.hold("write", Hold::Stubbornly);
    for (signal, operation) in [
        ("USR1", read(handle)),
        ("INT", read(handle)),
        ("INT", write(handle)),
        ("TERM", write(handle)),
    ] {
        let waiting = Waiting::new();
        host.caller = waiting.caller();
        let word = operation.word();
        let answer = host.submit(operation);
        wait_until("the server has it", || null.inside(word) > 0);
        waiting.signal(signal);
        // Bounded by the test's limit, not by the promise: this machine may be busy.
        let answer = answer.recv_timeout(LIMIT).expect("let go");
        assert_eq!(answer.err(), Some(Status::Cancelled), "{signal} {word}");
        let other = host.submit(Operation::GetAttributes { node: host.root(), handle: None });
        assert!(other.recv_timeout(LIMIT).expect("others go on").is_ok());
        assert!(host.device.status().requests_in_flight > 0, "the server is heard out");
    }
    let late = host.device.status().late_total;
    null.release();
    wait_until("late results are dropped and counted", || {
        host.device.status().late_total == late + 4
    });
    host.release(handle).expect("closes");
}

/// S-44: a signal that asks nobody to end does not tell a writer that nothing was written.
#[test]
fn a_routine_signal_does_not_end_a_write() {
    let null = Null::posted();
    let mut host = host(&null);
    let handle = handle(&host);
    null.hold("write", Hold::Stubbornly);
    null.hold("read", Hold::Stubbornly);
    let writer = Waiting::new();
    host.caller = writer.caller();
    let answer = host.submit(write(handle));
    wait_until("the server has it", || null.inside("write") > 0);
    writer.signal("USR1");
    wait_until("the signal was seen", || host.device.requests()[0].cancelled);
    for _ in 0..2 {
        // Whoever is let go after it shows that the watcher has looked at it once more.
        let reader = Waiting::new();
        host.caller = reader.caller();
        let other = host.submit(read(handle));
        reader.signal("INT");
        assert!(other.recv_timeout(LIMIT).expect("let go").is_err());
        assert!(answer.try_recv().is_err(), "it waits for the server's word");
    }
    null.release();
    assert!(answer.recv_timeout(LIMIT).expect("answered").is_ok());
    host.release(handle).expect("closes");
}

/// Callers whose cancel routines never return keep nobody else waiting: all are answered first.
#[test]
fn a_stuck_cancel_routine_keeps_no_other_caller_waiting() {
    let null = Null::posted();
    let mut host = host(&null);
    let handle = handle(&host);
    null.hold("read", Hold::StuckRoutine);
    let waiting: Vec<Waiting> = (0..4).map(|_| Waiting::new()).collect();
    let answers: Vec<Answers> = waiting
        .iter()
        .map(|process| {
            host.caller = process.caller();
            host.submit(read(handle))
        })
        .collect();
    wait_until("the server has them", || null.inside("read") == 4);
    waiting.iter().for_each(|process| process.signal("INT"));
    for answer in answers {
        let answer = answer.recv_timeout(LIMIT).expect("let go");
        assert_eq!(answer.err(), Some(Status::Cancelled));
    }
    null.release();
    host.release(handle).expect("closes");
}

/// A lock that is granted when its caller has gone is given back.
#[test]
fn a_lock_granted_too_late_is_given_back() {
    let null = Null::posted();
    let options =
        DeviceOptions { request_deadline: Some(Duration::from_millis(300)), ..Default::default() };
    let served = null.clone();
    let mut host = Host::new(Box::new(move || Arc::new(NullRedirector(served.clone()))), options);
    host.start();
    let handle = handle(&host);
    null.locks.store(true, Ordering::SeqCst);
    null.hold("lock", Hold::Stubbornly);
    let waiting = Waiting::new();
    host.caller = waiting.caller();
    let lock = Lock { kind: LockKind::Exclusive, start: 0, end: 9, owner: 7, pid: 1 };
    let answer = host.submit(Operation::SetLock { handle, lock, wait: true });
    wait_until("it waits for the lock", || null.inside("lock") == 1);
    waiting.signal("INT");
    assert_eq!(answer.recv_timeout(LIMIT).expect("let go").err(), Some(Status::Cancelled));
    assert!(!null.calls().contains(&"unlock"));
    null.release();
    wait_until("it is given back", || null.calls().contains(&"unlock"));
    host.release(handle).expect("closes");
}
