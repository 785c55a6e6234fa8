//! The orderly stop through the public face of the core, without a kernel: each rule of stop.md by
//! its number.

mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, LIMIT, wait_until};
use minirdr::base::ids::Generation;
use minirdr::base::status::Status;
use minirdr::base::stop::{Answer as Called, CallResult, OnDeadline, State, StopMode, StopOptions};
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::operation::{Answer, Operation};
use minirdr::rdbss::register::{DeviceOptions, SurvivorPolicy};
use std::sync::Arc;

fn host(null: &Arc<Null>) -> Host {
    Host::started(Arc::new(NullRedirector(null.clone())))
}

fn with_deadline(seconds: f64, on_deadline: OnDeadline) -> StopOptions {
    StopOptions { deadline_s: Some(seconds), on_deadline, ..StopOptions::default() }
}

/// G2: a refusal is immediate and has its errno; G4: the device class answers all the same.
#[test]
fn g2_g4_stopped_means_refused_at_once_but_the_root_answers() {
    let null = Null::inline();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    assert_eq!(host.stop().result, CallResult::Success);
    assert_eq!(host.lookup(&host.root(), "f").err(), Some(Status::RedirectorNotStarted));
    assert_eq!(host.open(&file, Access::Read).err(), Some(Status::RedirectorNotStarted));
    let root = Operation::GetAttributes { node: host.root(), handle: None };
    assert!(matches!(host.call(root), Ok(Answer::Attributes(_))));
    let volume = host.call(Operation::QueryVolume { node: host.root() });
    assert!(matches!(volume, Ok(Answer::Volume(volume)) if volume.blocks == 7));
    assert_eq!(host.device.status().refused_total, 2);
}

/// C2: from the moment the stop is answered PENDING nothing new passes, though a request still
/// runs.
#[test]
fn c2_only_cleanup_and_close_pass_once_the_call_is_issued() {
    for null in [Null::posted(), Null::inline()] {
        let host = host(&null);
        let file = host.lookup(&host.root(), "f").expect("exists");
        let (kept, read) = (host.open(&file, Access::Read), host.open(&file, Access::Read));
        let (kept, read) = (kept.expect("opens"), read.expect("opens"));
        null.hold("read", Hold::Pending);
        let running =
            host.submit(Operation::Read { handle: read, offset: 0, size: 1, buffer: Vec::new() });
        let ticket = host.post_stop(StopOptions::default());
        assert_eq!(host.open(&file, Access::Read).err(), Some(Status::RedirectorNotStarted));
        assert_eq!(host.read(kept, 0, 1).err(), Some(Status::RedirectorNotStarted));
        assert!(host.call(Operation::Flush { handle: kept }).is_ok(), "cleanup passes");
        assert!(host.release(kept).is_ok(), "close passes");
        null.release();
        assert!(running.recv_timeout(LIMIT).is_ok(), "what ran has ended");
        let report = host.wait(ticket);
        assert_eq!(report.result, CallResult::HasOpenHandles);
        assert_eq!(report.survivors_total, 1);
        host.release(read).expect("a survivor closes");
    }
}

/// Step 3: what cannot be cancelled runs to its end, and only then the cancellable are cancelled.
#[test]
fn conservative_drain_in_the_documents_order() {
    let null = Null::posted();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let (first, second) = (
        host.open(&file, Access::Read).expect("opens"),
        host.open(&file, Access::Write).expect("opens"),
    );
    null.hold("read", Hold::Cancellably);
    null.hold("write", Hold::Stubbornly);
    let read =
        host.submit(Operation::Read { handle: first, offset: 0, size: 1, buffer: Vec::new() });
    let write = host.submit(Operation::Write {
        handle: second,
        offset: 0,
        data: vec![1].into(),
        write_back: false,
        kill_privileges: false,
    });
    wait_until("both are inside", || null.inside("read") == 1 && null.inside("write") == 1);
    let ticket = host.post_stop(StopOptions::default());
    wait_until("it drains", || host.device.status().running.is_some_and(|run| run.step == "drain"));
    assert!(read.try_recv().is_err(), "the cancellable one waits for the other");
    null.lock_release_only("write");
    assert!(matches!(write.recv_timeout(LIMIT), Ok(Ok(Answer::Written(1)))), "ran to completion");
    assert!(matches!(read.recv_timeout(LIMIT), Ok(Err(Status::Cancelled))), "then cancelled");
    let report = host.wait(ticket);
    assert_eq!((report.result, report.cancelled), (CallResult::HasOpenHandles, 1));
    for handle in [first, second] {
        host.release(handle).expect("a survivor closes");
    }
}

/// C5: `refuse_if_busy` and the check change nothing.
#[test]
fn c5_busy_is_refused_and_nothing_changes() {
    let null = Null::inline();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let handle = host.open(&file, Access::ReadWrite).expect("opens");
    let check = host.device.check();
    assert_eq!((check.result, check.handles.len()), (CallResult::HasOpenHandles, 1));
    assert_eq!(check.handles[0].path, b"f");
    let refused = host.stop_with(StopOptions { refuse_if_busy: true, ..StopOptions::default() });
    assert_eq!(refused.result, CallResult::HasOpenHandles);
    assert_eq!(host.device.state(), State::Started);
    assert!(host.read(handle, 0, 1).is_ok(), "still works");
    host.release(handle).expect("closes");
}

/// S1: the four outcomes of a deadline.
#[test]
fn s1_resume_rolls_back_at_the_deadline() {
    let null = Null::posted();
    let host = host(&null);
    let handle =
        host.open(&host.lookup(&host.root(), "f").expect("exists"), Access::Read).expect("opens");
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() });
    wait_until("it is inside", || null.inside("read") == 1);
    let report = host.stop_with(with_deadline(0.05, OnDeadline::Resume));
    assert_eq!(report.result, CallResult::RolledBack);
    assert_eq!(host.device.state(), State::Started);
    assert!(host.lookup(&host.root(), "g").is_ok(), "S2: nothing is refused any more");
    null.release();
    assert!(matches!(read.recv_timeout(LIMIT), Ok(Ok(_))));
    host.release(handle).expect("closes");
}

/// S1: `stay` keeps draining and says so; a later stop with a sterner deadline tightens it.
#[test]
fn s1_stay_stays_and_can_be_tightened() {
    let null = Null::posted();
    let host = host(&null);
    let handle =
        host.open(&host.lookup(&host.root(), "f").expect("exists"), Access::Read).expect("opens");
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() });
    wait_until("it is inside", || null.inside("read") == 1);
    let ticket = host.post_stop(with_deadline(0.02, OnDeadline::Stay));
    wait_until("the deadline passes", || {
        host.device.status().running.is_some_and(|running| running.deadline_passed)
    });
    assert_eq!(host.device.state(), State::Draining, "and it still drains");
    let second = host.post_stop(with_deadline(0.02, OnDeadline::Abort));
    let report = host.wait(ticket);
    assert_eq!(
        (report.result, report.abandoned),
        (CallResult::HasOpenHandles, 1),
        "a read is no loss"
    );
    assert!(matches!(read.recv_timeout(LIMIT), Ok(Err(Status::IoTimeout))), "its caller is let go");
    assert_eq!(host.wait(second).result, CallResult::AlreadyStopped);
    null.release();
    host.release(handle).expect("a survivor closes");
    wait_until("the late completion is dropped", || host.device.status().late_total == 1);
}

/// S1, S6: `cancel` abandons what a server never answers, with a loss for a write.
#[test]
fn s1_s6_cancel_abandons_a_hung_server() {
    let null = Null::posted();
    let host = host(&null);
    let handle =
        host.open(&host.lookup(&host.root(), "f").expect("exists"), Access::Write).expect("opens");
    null.hold("write", Hold::Stubbornly);
    let write = host.submit(Operation::Write {
        handle,
        offset: 0,
        data: vec![7; 100].into(),
        write_back: false,
        kill_privileges: false,
    });
    wait_until("it is inside", || null.inside("write") == 1);
    let report = host.stop_with(with_deadline(0.05, OnDeadline::Cancel));
    assert_eq!((report.result, report.abandoned), (CallResult::Lost, 1));
    assert_eq!((report.losses[0].path.as_slice(), report.losses[0].bytes), (&b"f"[..], 100));
    assert!(matches!(write.recv_timeout(LIMIT), Ok(Err(Status::IoTimeout))));
    null.release();
    host.release(handle).expect("a survivor closes");
}

/// S3: a survivor's close reaches its own generation, and is not carried over when stale.
#[test]
fn s3_s4_survivors_close_in_their_generation_and_stay_stale() {
    let null = Null::inline();
    let redirector = null.clone();
    let options = DeviceOptions { survivors: SurvivorPolicy::Stale, ..DeviceOptions::default() };
    let host = Host::new(Box::new(move || Arc::new(NullRedirector(redirector.clone()))), options);
    host.start();
    let handle =
        host.open(&host.lookup(&host.root(), "f").expect("exists"), Access::Read).expect("opens");
    assert_eq!(host.stop().result, CallResult::HasOpenHandles);
    host.start();
    assert_eq!(host.device.status().generation, Generation(2));
    assert_eq!(host.read(handle, 0, 1).err(), Some(Status::FileInvalid), "ESTALE");
    host.release(handle).expect("its close passes");
    assert_eq!(null.calls().last(), Some(&"close"));
    assert!(host.read(handle, 0, 1).is_err(), "the number is dead");
}

/// S4: a reclaimed handle works again in the new generation. S5: so do the files known before.
#[test]
fn s4_s5_reclaimed_handles_and_known_files_work_again() {
    let null = Null::inline();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let handle = host.open(&file, Access::Read).expect("opens");
    assert_eq!(host.stop().result, CallResult::HasOpenHandles);
    assert_eq!(host.start().result, CallResult::Success);
    assert!(host.read(handle, 0, 1).is_ok(), "reclaimed");
    let attributes = Operation::GetAttributes { node: file.clone(), handle: None };
    assert!(host.call(attributes).is_ok(), "the kernel's old number leads to the same file");
    host.release(handle).expect("closes");
    assert_eq!(host.device.status().survivors, 0);
}

/// S6: hang, panic and failure in start and stop: the lane comes back and says the truth.
#[test]
fn s6_start_and_stop_survive_a_bad_redirector() {
    for hold in [Hold::Panic, Hold::Fail, Hold::Stubbornly] {
        let null = Null::inline();
        let redirector = null.clone();
        let options = DeviceOptions {
            start_limit: std::time::Duration::from_millis(100),
            ..DeviceOptions::default()
        };
        let host =
            Host::new(Box::new(move || Arc::new(NullRedirector(redirector.clone()))), options);
        null.hold("start", hold);
        let report = host.start();
        assert_eq!(report.result, CallResult::Failed, "{hold:?}");
        assert_eq!(host.device.state(), State::Startable);
        null.release();
        assert_eq!(host.start().result, CallResult::Success, "a later start works");
        null.hold("stop", hold);
        let report = host.stop_with(with_deadline(0.1, OnDeadline::Cancel));
        assert!(report.result.is_stopped(), "a failing MRxStop does not keep the device up");
        assert!(report.error.is_some_and(|error| error.contains("MRxStop")));
        null.release();
    }
}

/// S8: two stops at once have one winner; the other is told it was stopped. C1: both are posted.
#[test]
fn s8_two_stops_one_winner() {
    let null = Null::posted();
    let host = host(&null);
    let handle =
        host.open(&host.lookup(&host.root(), "f").expect("exists"), Access::Read).expect("opens");
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() });
    wait_until("it is inside", || null.inside("read") == 1);
    let (first, second) =
        (host.post_stop(StopOptions::default()), host.post_stop(StopOptions::default()));
    null.release();
    assert!(read.recv_timeout(LIMIT).is_ok());
    assert_eq!(host.wait(first).result, CallResult::HasOpenHandles);
    assert_eq!(host.wait(second).result, CallResult::AlreadyStopped);
    assert_eq!(null.calls().iter().filter(|call| **call == "stop").count(), 1, "one MRxStop");
    host.release(handle).expect("a survivor closes");
}

/// S8: a stop during a start cancels it; the device rests in Startable.
#[test]
fn s8_a_stop_cancels_a_start_that_hangs() {
    let null = Null::inline();
    let redirector = null.clone();
    let host = Host::new(
        Box::new(move || Arc::new(NullRedirector(redirector.clone()))),
        DeviceOptions::default(),
    );
    null.hold("start", Hold::Cancellably);
    let Ok(Called::Posted(start)) = host.device.start(host.caller) else { panic!("posted") };
    wait_until("it is inside", || null.inside("start") == 1);
    let stop = host.post_stop(StopOptions::default());
    assert_eq!(host.wait(start).result, CallResult::Failed);
    assert_eq!(host.wait(stop).result, CallResult::AlreadyStopped);
    null.release();
}

/// S8: a start posted during a stop runs after it, as the next generation.
#[test]
fn s8_a_start_behind_a_stop_is_the_next_generation() {
    let null = Null::posted();
    let host = host(&null);
    let handle =
        host.open(&host.lookup(&host.root(), "f").expect("exists"), Access::Read).expect("opens");
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() });
    wait_until("it is inside", || null.inside("read") == 1);
    let stop = host.post_stop(StopOptions::default());
    let Ok(Called::Posted(start)) = host.device.start(host.caller) else { panic!("posted") };
    null.release();
    assert!(read.recv_timeout(LIMIT).is_ok());
    assert_eq!(host.wait(stop).result, CallResult::HasOpenHandles);
    let report = host.wait(start);
    assert_eq!((report.result, report.generation), (CallResult::Success, Generation(2)));
    host.release(handle).expect("closes");
}

/// Stop.md S4: a server that does not answer a question the start does not need costs no handle,
/// and holds the start up no more than a moment.
#[test]
fn s4_a_hanging_statfs_does_not_cost_the_survivors() {
    let null = Null::posted();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let kept = host.open(&file, Access::Read).expect("opens");
    assert_eq!(host.stop().result, CallResult::HasOpenHandles);
    null.hold("query_volume_information", Hold::Stubbornly);
    assert_eq!(host.start().result, CallResult::Success);
    assert!(host.read(kept, 0, 1).is_ok(), "it was carried over");
    null.release();
    host.release(kept).expect("closes");
}

/// Resume takes a stop back that still drains; its ticket says so.
#[test]
fn resume_rolls_a_draining_stop_back() {
    let null = Null::posted();
    let host = host(&null);
    let handle =
        host.open(&host.lookup(&host.root(), "f").expect("exists"), Access::Read).expect("opens");
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() });
    wait_until("it is inside", || null.inside("read") == 1);
    let ticket = host.post_stop(StopOptions::default());
    assert_eq!(host.device.resume(), Ok(CallResult::Success));
    assert_eq!(host.wait(ticket).result, CallResult::RolledBack);
    assert_eq!(host.device.state(), State::Started);
    null.release();
    assert!(read.recv_timeout(LIMIT).is_ok());
    host.release(handle).expect("closes");
}

/// The same when nothing holds it up: whoever is faster, stop or resume, the two agree.
#[test]
fn resume_and_a_stop_race() {
    let null = Null::inline();
    let host = host(&null);
    for _ in 0..300 {
        let ticket = host.post_stop(StopOptions::default());
        let resumed = host.device.resume().expect("the device takes calls");
        match host.wait(ticket).result {
            CallResult::RolledBack => assert_eq!(resumed, CallResult::Success),
            stopped => assert_eq!(
                (resumed, stopped),
                (CallResult::AlreadyStopped, CallResult::Success),
                "told that it was too late"
            ),
        }
        if host.device.state() == State::Startable {
            assert_eq!(host.start().result, CallResult::Success);
        }
        assert_eq!(host.device.state(), State::Started);
    }
}

/// Pause refuses opens and lets everything else pass; asked again it says the same.
#[test]
fn pause_refuses_new_opens_only() {
    let null = Null::inline();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let handle = host.open(&file, Access::Read).expect("opens");
    assert_eq!(host.device.pause(), Ok(CallResult::Success));
    assert_eq!(host.device.pause(), Ok(CallResult::Success));
    assert_eq!(host.open(&file, Access::Read).err(), Some(Status::RedirectorPaused));
    assert!(host.read(handle, 0, 1).is_ok());
    assert!(host.lookup(&host.root(), "g").is_ok());
    assert_eq!(host.device.resume(), Ok(CallResult::Success));
    let second = host.open(&file, Access::Read).expect("opens again");
    for handle in [handle, second] {
        host.release(handle).expect("closes");
    }
}

/// A grace keeps open handles working, refuses new ones, and ends when the last one closes.
#[test]
fn a_grace_waits_for_the_last_handle() {
    let null = Null::inline();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let handle = host.open(&file, Access::Read).expect("opens");
    let ticket = host.post_stop(StopOptions { grace_s: Some(3600.0), ..StopOptions::default() });
    assert_eq!(host.device.state(), State::Paused);
    assert!(host.read(handle, 0, 1).is_ok());
    assert_eq!(host.open(&file, Access::Read).err(), Some(Status::RedirectorPaused));
    host.release(handle).expect("closes");
    assert_eq!(host.wait(ticket).result, CallResult::Success);
}

/// Mode abort waits for nothing.
#[test]
fn mode_abort_stops_now() {
    let null = Null::posted();
    let host = host(&null);
    let handle =
        host.open(&host.lookup(&host.root(), "f").expect("exists"), Access::Read).expect("opens");
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() });
    wait_until("it is inside", || null.inside("read") == 1);
    let report = host.stop_with(StopOptions { mode: StopMode::Abort, ..StopOptions::default() });
    assert_eq!((report.result, report.abandoned), (CallResult::HasOpenHandles, 1));
    assert!(matches!(read.recv_timeout(LIMIT), Ok(Err(Status::IoTimeout))));
    null.release();
    host.release(handle).expect("a survivor closes");
}

/// S7 and stop.md §4: the report names its steps, in the document's order; so do the notices.
#[test]
fn s7_the_order_of_a_stop() {
    let null = Null::inline();
    let host = host(&null);
    let report = host.stop();
    let steps: Vec<&str> = report.steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(
        steps,
        [
            "write_back",
            "drain",
            "seal",
            "write_back_rest",
            "shed_delayed_closes",
            "deregister_provider",
            "deregister_file_system",
            "mrx_stop",
            "count_survivors",
            "spin_down"
        ]
    );
    assert_eq!(
        host.notices.kinds(),
        [
            "started",
            "stop_requested",
            "sealed",
            "redirector_stopped",
            "dispatcher_spun_down",
            "stopped"
        ]
    );
    assert_eq!(host.stop().result, CallResult::AlreadyStopped, "quiet: at once");
    assert_eq!(host.start().result, CallResult::Success);
    assert_eq!(host.start().result, CallResult::AlreadyStarted);
}

/// 200 rounds of stop and start under load: every count comes back to its start.
#[test]
fn s8_many_rounds_leave_nothing_behind() {
    let null = Null::inline();
    let host = host(&null);
    let going = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let (host, going) = (&host, &going);
            scope.spawn(move || {
                let name = format!("f{worker}");
                while going.load(std::sync::atomic::Ordering::Relaxed) {
                    let Ok(node) = host.lookup(&host.root(), &name) else { continue };
                    let Ok(handle) = host.open(&node, Access::Read) else { continue };
                    let _ = host.read(handle, 0, 64);
                    host.release(handle).expect("a close always passes");
                }
            });
        }
        for _ in 0..200 {
            assert!(host.stop().result.is_stopped());
            assert_eq!(host.start().result, CallResult::Success);
        }
        going.store(false, std::sync::atomic::Ordering::Relaxed);
    });
    let status = host.device.status();
    assert_eq!((status.open_handles, status.requests_in_flight), (0, 0));
    assert_eq!(status.generation, Generation(201));
}
