//! A stop among bad servers, late calls and unlucky moments: each rule of stop.md by its number.

mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, LIMIT, wait_until};
use minirdr::base::clock::{Clock, ManualClock, Moment, SystemClock};
use minirdr::base::ids::{HandleNumber, NodeNumber};
use minirdr::base::limits::FSP_WORKERS_MAX;
use minirdr::base::status::Status;
use minirdr::base::stop::{CallResult, Notice, OnDeadline, State, StopMode, StopOptions};
use minirdr::rdbss::device::KernelSide;
use minirdr::rdbss::notice::{DeregisterError, FileSystemRegistration, KernelCache};
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::operation::{Answer, Operation};
use minirdr::rdbss::register::DeviceOptions;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

fn host(null: &Arc<Null>) -> Host {
    Host::started(Arc::new(NullRedirector(null.clone())))
}

fn with_options(null: &Arc<Null>, options: DeviceOptions) -> Host {
    let null = null.clone();
    Host::new(Box::new(move || Arc::new(NullRedirector(null.clone()))), options)
}

fn opened(host: &Host, name: &str, access: Access) -> HandleNumber {
    let file = host.lookup(&host.root(), name).expect("every name exists");
    host.open(&file, access).expect("opens")
}

fn cancel_after(seconds: f64) -> StopOptions {
    let on_deadline = OnDeadline::Cancel;
    StopOptions { deadline_s: Some(seconds), on_deadline, ..StopOptions::default() }
}

fn abort() -> StopOptions {
    StopOptions { mode: StopMode::Abort, ..StopOptions::default() }
}

fn read(handle: HandleNumber) -> Operation<'static> {
    Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() }
}

fn write_back(handle: HandleNumber, bytes: usize) -> Operation<'static> {
    let data = vec![7; bytes].into();
    Operation::Write { handle, offset: 0, data, write_back: true, kill_privileges: false }
}

type Pending = Receiver<Result<Answer, Status>>;

/// Every worker inside a read that nothing ends but `release`.
fn all_workers_busy(host: &Host, null: &Null, handle: HandleNumber) -> Vec<Pending> {
    null.hold("read", Hold::Stubbornly);
    let reads = (0..FSP_WORKERS_MAX).map(|_| host.submit(read(handle))).collect();
    wait_until("all are inside", || null.inside("read") == FSP_WORKERS_MAX);
    reads
}

fn is_in_step(host: &Host, step: &str) -> bool {
    host.device.status().running.is_some_and(|running| running.step == step)
}

/// S3, README invariant 9: a cleanup is called down although the stop cancelled everything while it
/// was queued. A RELEASE comes once: skipped, its handle would stay open for ever.
#[test]
fn s3_a_queued_cleanup_is_not_skipped_by_a_cancel() {
    let null = Null::posted();
    let host = host(&null);
    let (kept, closed) = (opened(&host, "f", Access::Read), opened(&host, "g", Access::Write));
    let reads = all_workers_busy(&host, &null, kept);
    let write = host.submit(write_back(closed, 100));
    let release = host.submit(Operation::Release { handle: closed });
    let ticket = host.post_stop(StopOptions { mode: StopMode::Cancel, ..StopOptions::default() });
    wait_until("all are cancelled", || host.device.requests().iter().all(|asked| asked.cancelled));
    null.release();
    for read in reads {
        assert!(read.recv_timeout(LIMIT).is_ok());
    }
    assert!(matches!(write.recv_timeout(LIMIT), Ok(Ok(Answer::Written(100)))), "no data is lost");
    assert!(matches!(release.recv_timeout(LIMIT), Ok(Ok(_))));
    assert_eq!(host.wait(ticket).survivors_total, 1, "the one that was kept open");
    host.release(kept).expect("a survivor closes");
}

/// S7: what was cancelled before it was handed down counts as cancelled; what ran to its end
/// although it was told to end counts as drained.
#[test]
fn s7_cancelled_and_drained_are_told_apart() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f", Access::Read);
    let reads = all_workers_busy(&host, &null, handle);
    let name = minirdr::base::name::Name::new(b"g").expect("a good name");
    let lookup = host.submit(Operation::Lookup { parent: host.root(), name });
    let ticket = host.post_stop(StopOptions { mode: StopMode::Cancel, ..StopOptions::default() });
    wait_until("all are cancelled", || host.device.requests().iter().all(|asked| asked.cancelled));
    null.release();
    for read in reads {
        assert!(matches!(read.recv_timeout(LIMIT), Ok(Ok(_))));
    }
    assert!(matches!(lookup.recv_timeout(LIMIT), Ok(Err(Status::Cancelled))));
    let report = host.wait(ticket);
    assert_eq!((report.cancelled, report.drained), (1, FSP_WORKERS_MAX as u64));
    host.release(handle).expect("a survivor closes");
}

/// S6: a close that was deferred past MRxStop and hangs does not wedge the lane; another one that
/// was deferred meanwhile is named among the requests, so that it is watched.
#[test]
fn s6_a_hung_deferred_close_does_not_wedge_the_lane() {
    let null = Null::inline();
    let host = host(&null);
    let (first, second) = (opened(&host, "f", Access::Read), opened(&host, "g", Access::Read));
    null.hold("stop", Hold::Stubbornly);
    null.hold("close", Hold::Stubbornly);
    let ticket = host.post_stop(cancel_after(0.2));
    wait_until("MRxStop runs", || null.inside("stop") == 1);
    let closes = [first, second].map(|handle| host.submit(Operation::Release { handle }));
    let asked: Vec<String> =
        host.device.requests().into_iter().map(|request| request.operation).collect();
    assert_eq!(asked, ["release", "release"], "deferred, and watched");
    assert!(host.wait(ticket).result.is_stopped());
    null.release();
    for close in closes {
        assert!(close.recv_timeout(LIMIT).is_ok(), "it was run all the same");
    }
}

/// S6: nor does a close that hangs when the mount is taken away under an open handle.
#[test]
fn s6_a_hung_close_at_an_unmount_does_not_wedge_the_lane() {
    let null = Null::inline();
    let host = host(&null);
    let kernel = Kernel::attach(&host);
    let _handle = opened(&host, "f", Access::Read);
    null.hold("close", Hold::Stubbornly);
    let report = host.stop_with(StopOptions { unmount: true, ..cancel_after(0.05) });
    assert!(report.result.is_stopped() && report.unmounted);
    assert_eq!(kernel.taken_away.load(Ordering::SeqCst), 1);
    null.release();
}

/// S6: nor does a cancel routine that does not return.
#[test]
fn s6_a_hung_cancel_routine_does_not_wedge_the_lane() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f", Access::Read);
    null.hold("read", Hold::StuckRoutine);
    let read = host.submit(read(handle));
    wait_until("it is inside", || null.inside("read") == 1);
    let report = host.stop_with(cancel_after(0.05));
    assert_eq!((report.result, report.abandoned), (CallResult::HasOpenHandles, 1));
    assert!(matches!(read.recv_timeout(LIMIT), Ok(Err(Status::IoTimeout))));
    null.release();
    host.release(handle).expect("a survivor closes");
}

/// S1: what an abort abandons is told so: a request that can be cancelled ends, and does not pend
/// on in the server for ever.
#[test]
fn s1_an_abort_ends_what_can_be_cancelled() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f", Access::Read);
    null.hold("read", Hold::Pending);
    let read = host.submit(read(handle));
    wait_until("it pends", || host.device.requests().iter().any(|asked| asked.cancellable));
    assert_eq!(host.stop_with(abort()).abandoned, 1);
    assert!(matches!(read.recv_timeout(LIMIT), Ok(Err(Status::IoTimeout))));
    wait_until("the server let go of it", || host.device.requests().is_empty());
    null.release();
    host.release(handle).expect("a survivor closes");
}

/// Stop.md §3: stricter options tighten a stop that the control thread has not taken yet, too.
#[test]
fn a_stop_that_was_posted_and_not_yet_taken_is_tightened() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f", Access::Read);
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(read(handle));
    wait_until("it is inside", || null.inside("read") == 1);
    // The first call is held between being posted and being announced.
    let (first_is_posted, posted) = channel();
    let (go_on, held) = channel::<()>();
    let held = Mutex::new((true, held));
    let hook = Box::new(move |notice: &Notice| {
        if matches!(notice, Notice::StopRequested { .. }) {
            let mut held = held.lock().expect("not poisoned");
            if std::mem::take(&mut held.0) {
                first_is_posted.send(()).expect("the test listens");
                let _ = held.1.recv_timeout(LIMIT);
            }
        }
    });
    assert!(host.notices.hook.set(hook).is_ok());
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| host.post_stop(StopOptions::default()));
        posted.recv_timeout(LIMIT).expect("the first stop is posted");
        // Its own announcement waits for the hook, so it is asked for beside.
        let second = scope.spawn(|| host.post_stop(abort()));
        wait_until("it waits behind", || host.device.status().calls_waiting == 2);
        go_on.send(()).expect("the hook listens");
        (first.join().expect("posted"), second.join().expect("posted"))
    });
    assert_eq!(host.wait(first).abandoned, 1, "aborted: nothing was waited for");
    assert_eq!(host.wait(second).result, CallResult::AlreadyStopped);
    assert!(matches!(read.recv_timeout(LIMIT), Ok(Err(Status::IoTimeout))));
    null.release();
    host.release(handle).expect("a survivor closes");
}

/// A mount whose kernel may hang in its write-back.
#[derive(Default)]
struct Kernel {
    taken_away: AtomicU32,
    hangs: AtomicBool,
    settling: Mutex<u32>,
    changed: Condvar,
}

impl Kernel {
    fn attach(host: &Host) -> Arc<Self> {
        let kernel = Arc::new(Self::default());
        let (cache, registration) = (kernel.clone(), kernel.clone());
        host.device.attach_kernel(KernelSide { cache, registration });
        kernel
    }
}

impl FileSystemRegistration for Kernel {
    fn deregister(&self, _lazy: bool) -> Result<bool, DeregisterError> {
        Ok(self.taken_away.fetch_add(1, Ordering::SeqCst) == 0)
    }

    fn has_ended(&self) -> bool {
        true
    }
}

impl KernelCache for Kernel {
    fn flush_file(&self, _: NodeNumber) {}
    fn forget_names(&self) {}
    fn settle(&self, limit: Duration) -> bool {
        if !self.hangs.load(Ordering::SeqCst) {
            return true;
        }
        let mut settling = self.settling.lock().expect("not poisoned");
        *settling += 1;
        let clock = SystemClock::new();
        while clock.now().since(Moment(0)) < limit {
            let waited = self.changed.wait_timeout(settling, limit).expect("not poisoned");
            settling = waited.0;
        }
        false
    }
}

/// S1: a kernel that hangs in its write-back (a page locked by a read that never ends) holds up
/// neither an abort nor a resume.
#[test]
fn s1_a_hung_write_back_can_be_aborted_and_taken_back() {
    let null = Null::inline();
    let host = host(&null);
    let kernel = Kernel::attach(&host);
    kernel.hangs.store(true, Ordering::SeqCst);
    let clock = SystemClock::new();
    let ticket = host.post_stop(StopOptions::default());
    let settled = || *kernel.settling.lock().expect("not poisoned");
    wait_until("it settles", || settled() > 0);
    assert_eq!(host.device.resume(), Ok(CallResult::Success));
    assert_eq!(host.wait(ticket).result, CallResult::RolledBack);
    let before = settled();
    let ticket = host.post_stop(StopOptions::default());
    wait_until("it settles again", || settled() > before);
    let second = host.post_stop(abort());
    assert_eq!(host.wait(ticket).result, CallResult::Success);
    assert_eq!(host.wait(second).result, CallResult::AlreadyStopped);
    assert!(clock.now().since(Moment(0)) < Duration::from_secs(15), "nobody waited for it");
}

/// S1: the deadline covers the steps before the point of no return; a healthy MRxStop that takes a
/// moment is not given up on because the drain used the time up.
#[test]
fn s1_a_passed_deadline_leaves_mrx_stop_a_moment() {
    let null = Null::posted();
    let clock = Arc::new(ManualClock::new());
    let redirector = Arc::new(NullRedirector(null.clone()));
    let host = Host::with_clock(
        Box::new(move || redirector.clone()),
        DeviceOptions { release_grace: Duration::ZERO, ..DeviceOptions::default() },
        clock.clone(),
    );
    host.start();
    null.hold("stop", Hold::Stubbornly);
    let ticket = host.post_stop(cancel_after(0.0));
    wait_until("MRxStop runs", || null.inside("stop") == 1);
    // Real time passes, many times as much as it takes to look; the device's clock stands still.
    let real = SystemClock::new();
    while real.now().since(Moment(0)) < Duration::from_millis(300) {
        assert!(is_in_step(&host, "mrx_stop"), "given up on at once");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    null.release();
    assert_eq!(host.wait(ticket).error, None);
}

/// S7, README invariant 9: what a mini-redirector reports as lost is in the next stop's report.
#[test]
fn s7_a_reported_loss_is_in_the_report() {
    let null = Null::inline();
    let host = host(&null);
    null.lose(b"f", 7);
    let report = host.stop();
    assert_eq!(report.result, CallResult::Lost);
    assert_eq!((report.losses[0].path.as_slice(), report.losses[0].bytes), (&b"f"[..], 7));
    host.start();
    assert_eq!(host.stop().result, CallResult::Success, "and in that one only");
}

/// G3, README invariant 9: page write-back that fails is a loss. The application saw its write
/// succeed long ago, and may have nobody left to ask.
#[test]
fn g3_a_failed_page_write_back_is_a_loss() {
    let null = Null::inline();
    let host = host(&null);
    let handle = opened(&host, "f", Access::ReadWrite);
    null.hold("write", Hold::Fail);
    assert!(host.call(write_back(handle, 100)).is_err());
    assert!(host.write(handle, 0, b"xyz").is_err(), "its caller is told: no loss");
    null.release();
    host.release(handle).expect("closes");
    let report = host.stop();
    assert_eq!((report.result, report.losses.len()), (CallResult::Lost, 1));
    assert_eq!((report.losses[0].path.as_slice(), report.losses[0].bytes), (&b"f"[..], 100));
}

/// S7: bytes that came as page write-back while the stop ran were written back by it.
#[test]
fn s7_page_write_back_is_counted_as_flushed() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f", Access::ReadWrite);
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(read(handle));
    wait_until("it is inside", || null.inside("read") == 1);
    let ticket = host.post_stop(StopOptions::default());
    assert!(host.call(write_back(handle, 100)).is_ok());
    null.release();
    assert!(read.recv_timeout(LIMIT).is_ok());
    assert_eq!(host.wait(ticket).flushed_bytes, 100);
    host.release(handle).expect("a survivor closes");
}

/// S7: a commit that fails is a loss once, with its bytes, and only when the stop's last try
/// failed.
#[test]
fn s7_a_failed_commit_is_a_loss_once() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f", Access::ReadWrite);
    assert_eq!(host.write(handle, 0, &[1; 100]), Ok(100));
    null.hold("commit", Hold::Fail);
    let report = host.stop();
    assert_eq!((report.result, report.losses.len()), (CallResult::Lost, 1));
    assert_eq!((report.losses[0].path.as_slice(), report.losses[0].bytes), (&b"f"[..], 100));
    null.release();
    host.release(handle).expect("a survivor closes");
}

/// S7: a commit that fails first and succeeds when the drain is over lost nothing.
#[test]
fn s7_a_commit_that_succeeds_in_the_end_is_no_loss() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f", Access::ReadWrite);
    assert_eq!(host.write(handle, 0, &[1; 100]), Ok(100));
    null.hold("commit", Hold::Fail);
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(read(handle));
    wait_until("it is inside", || null.inside("read") == 1);
    let ticket = host.post_stop(StopOptions::default());
    wait_until("it drains", || is_in_step(&host, "drain"));
    null.lock_release_only("commit");
    null.release();
    assert!(read.recv_timeout(LIMIT).is_ok());
    let report = host.wait(ticket);
    assert_eq!((report.result, report.losses), (CallResult::HasOpenHandles, Vec::new()));
    assert!(!host.notices.kinds().contains(&"loss".to_owned()));
    host.release(handle).expect("a survivor closes");
}

/// S6: a start that was given up on and succeeds after all is stopped: nothing of it is left.
#[test]
fn s6_a_start_that_succeeds_too_late_is_undone() {
    let null = Null::inline();
    let start_limit = Duration::from_millis(100);
    let host = with_options(&null, DeviceOptions { start_limit, ..DeviceOptions::default() });
    null.hold("start", Hold::Stubbornly);
    assert_eq!(host.start().result, CallResult::Failed);
    assert!(!null.calls().contains(&"stop"));
    null.release();
    wait_until("it is stopped", || null.calls().contains(&"stop"));
}

/// Stop.md §5: a request whose deadline passes ends with ETIMEDOUT, though it can be cancelled.
#[test]
fn a_request_deadline_is_no_interruption() {
    let null = Null::posted();
    let request_deadline = Some(Duration::from_millis(50));
    let host = with_options(&null, DeviceOptions { request_deadline, ..DeviceOptions::default() });
    host.start();
    let handle = opened(&host, "f", Access::Read);
    null.hold("read", Hold::Pending);
    let read = host.submit(read(handle));
    assert!(matches!(read.recv_timeout(LIMIT), Ok(Err(Status::IoTimeout))));
    wait_until("the server let go of it", || host.device.requests().is_empty());
    null.release();
    host.release(handle).expect("closes");
}

/// Management.md §3: `unmounted` is told once, by the stop that did it.
#[test]
fn an_unmount_is_told_once() {
    let null = Null::inline();
    let host = host(&null);
    let _kernel = Kernel::attach(&host);
    let unmount = || StopOptions { unmount: true, ..StopOptions::default() };
    assert!(host.stop_with(unmount()).unmounted);
    assert!(host.stop_with(unmount()).unmounted, "it is so already");
    let told = host.notices.kinds().into_iter().filter(|kind| kind == "unmounted").count();
    assert_eq!(told, 1);
}

/// Management.md §3: who waits for the state sees it when the ticket has its result, not before.
#[test]
fn the_state_is_awaited_together_with_the_result() {
    let null = Null::inline();
    let host = host(&null);
    let device = Arc::downgrade(&host.device);
    let (sender, early) = channel();
    let hook = Box::new(move |notice: &Notice| {
        if let (Notice::Stopped { .. }, Some(device)) = (notice, device.upgrade()) {
            let seen = device.wait_state(|state| state == State::Startable, Duration::ZERO);
            let _ = sender.send(seen);
        }
    });
    assert!(host.notices.hook.set(hook).is_ok());
    assert_eq!(host.stop().result, CallResult::Success);
    assert_eq!(early.try_recv(), Ok(false));
    assert!(host.device.wait_state(|state| state == State::Startable, LIMIT));
}

/// Counts how often it is asked: a loop that does not sleep shows.
#[derive(Debug)]
struct CountingClock(SystemClock, AtomicU32);

impl Clock for CountingClock {
    fn now(&self) -> Moment {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.now()
    }

    fn wall(&self) -> std::time::SystemTime {
        self.0.wall()
    }
}

/// S1: a stop that stays after its deadline sleeps meanwhile.
#[test]
fn s1_a_stop_that_stays_sleeps() {
    let null = Null::posted();
    let clock = Arc::new(CountingClock(SystemClock::new(), AtomicU32::new(0)));
    let redirector = Arc::new(NullRedirector(null.clone()));
    let factory = Box::new(move || redirector.clone() as _);
    let host = Host::with_clock(factory, DeviceOptions::default(), clock.clone());
    host.start();
    let handle = opened(&host, "f", Access::Read);
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(read(handle));
    wait_until("it is inside", || null.inside("read") == 1);
    let stay = StopOptions { deadline_s: Some(0.0), ..StopOptions::default() };
    let ticket = host.post_stop(stay);
    wait_until("it stays", || is_in_step(&host, "drain"));
    let before = clock.1.load(Ordering::Relaxed);
    std::thread::park_timeout(Duration::from_millis(500));
    let asked = clock.1.load(Ordering::Relaxed) - before;
    assert!(asked < 200, "it looked {asked} times in half a second");
    null.release();
    assert!(read.recv_timeout(LIMIT).is_ok());
    host.wait(ticket);
    host.release(handle).expect("a survivor closes");
}

/// Stop.md §4 step 3: a drain cancels what waits for others, never a cleanup: a FLUSH is what saves
/// the data, whether its mini-redirector could cancel it or not.
#[test]
fn s3_a_drain_does_not_cancel_a_cleanup() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f", Access::ReadWrite);
    assert_eq!(host.write(handle, 0, b"xyz"), Ok(3));
    null.hold("commit", Hold::Cancellably);
    let flush = host.submit(Operation::Flush { handle });
    wait_until("it commits", || null.inside("commit") == 1);
    let ticket = host.post_stop(StopOptions::default());
    wait_until("the drain is over", || is_in_step(&host, "seal"));
    assert!(host.device.requests().iter().all(|asked| !asked.cancelled));
    null.release();
    assert!(matches!(flush.recv_timeout(LIMIT), Ok(Ok(_))));
    assert_eq!(host.wait(ticket).result, CallResult::HasOpenHandles);
    host.release(handle).expect("a survivor closes");
}

/// S2, README invariant 9: a stop that is taken back while it commits forgets no file that it had
/// still to commit.
#[test]
fn s2_what_a_stop_left_uncommitted_is_committed_at_the_close() {
    let null = Null::posted();
    let host = host(&null);
    let handles: Vec<HandleNumber> =
        ["f", "g", "h"].map(|name| opened(&host, name, Access::ReadWrite)).into();
    for handle in &handles {
        assert_eq!(host.write(*handle, 0, b"xyz"), Ok(3));
    }
    null.hold("commit", Hold::Stubbornly);
    let ticket = host.post_stop(StopOptions::default());
    wait_until("it commits the first", || null.inside("commit") == 1);
    assert_eq!(host.device.resume(), Ok(CallResult::Success));
    assert_eq!(host.wait(ticket).result, CallResult::RolledBack);
    null.release();
    let before = null.calls().iter().filter(|call| **call == "commit").count();
    for handle in handles {
        assert!(host.call(Operation::Flush { handle }).is_ok());
        host.release(handle).expect("closes");
    }
    let after = null.calls().iter().filter(|call| **call == "commit").count();
    assert_eq!(after - before, 3, "each of them");
}

/// S6: a daemon whose mount went away is not held up for ever by a server that hangs in a close.
#[test]
fn s6_the_end_of_the_connection_is_bounded() {
    let null = Null::inline();
    let host = host(&null);
    opened(&host, "f", Access::Read);
    null.hold("close", Hold::Stubbornly);
    assert_eq!(host.device.connection_gone_within(Duration::from_millis(50)), 1);
    null.release();
    wait_until("it is closed when the server answers", || {
        null.inside("close") == 0 && host.device.status().open_handles == 0
    });
}
