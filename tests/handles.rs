//! Open handles in number and one by one: a million of them do not stop the world, an open in
//! flight is busy, and one can be taken from its holder.

mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, LIMIT, plain, wait_until};
use minirdr::base::ids::HandleNumber;
use minirdr::base::limits::LISTED_MAX;
use minirdr::base::status::Status;
use minirdr::base::stop::{CallResult, State, StopOptions};
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::operation::{Answer, Dispatcher, Node, Operation, Responder, WriteData};
use minirdr::rdbss::register::DeviceOptions;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const MILLION: u64 = 1_000_000;

fn host(null: &Arc<Null>) -> Host {
    Host::started(Arc::new(NullRedirector(null.clone())))
}

fn refusing() -> StopOptions {
    StopOptions { refuse_if_busy: true, ..StopOptions::default() }
}

/// Counts the opens that succeeded.
struct Count(Arc<AtomicU64>);

impl Responder for Count {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        assert!(matches!(answer, Ok(Answer::Opened(_))), "{answer:?}");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn open_many(host: &Host, file: &Node, count: u64) {
    let opened = Arc::new(AtomicU64::new(0));
    for _ in 0..count {
        let open = Operation::Open { node: file.clone(), options: plain(Access::Read) };
        host.device.submit(host.caller, open, Box::new(Count(opened.clone())));
    }
    assert_eq!(opened.load(Ordering::Relaxed), count, "the null redirector answers inline");
}

/// S-58: with 1,000,000 handles open a listing has each of them once and locks nobody out, what a
/// check or a refused stop lists is bounded and its totals are exact, and a stop ends.
#[test]
fn a_million_handles() {
    let null = Null::inline();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    open_many(&host, &file, MILLION);

    let mut seen: HashSet<HandleNumber> = HashSet::new();
    let mut looked = 0_u64;
    host.device.visit_handles(|handle| {
        looked += 1;
        // Every so often another program comes and goes: no lock is held meanwhile.
        if looked % 100_000 == 1 {
            let passing = host.open(&file, Access::Read).expect("opens beside a listing");
            host.release(passing).expect("closes beside a listing");
            assert_eq!(host.device.status().open_handles, MILLION);
        }
        assert!(seen.insert(handle.handle), "none twice");
        true
    });
    assert!(seen.len() as u64 >= MILLION, "all that were open throughout");
    drop(seen);

    let check = host.device.check();
    assert_eq!((check.result, check.handles_total), (CallResult::HasOpenHandles, MILLION));
    assert_eq!(check.handles.len(), LISTED_MAX);
    let refused = host.stop_with(refusing());
    assert_eq!((refused.result, refused.ticket), (CallResult::HasOpenHandles, None));
    assert_eq!(refused.survivors_total, MILLION);
    assert!(refused.survivors.len() <= LISTED_MAX, "the rest is counted");
    assert_eq!(host.device.state(), State::Started);

    let report = host.stop();
    assert_eq!(report.result, CallResult::HasOpenHandles);
    assert_eq!(report.survivors_total, MILLION);
    assert!(report.survivors.len() <= LISTED_MAX);
    assert_eq!(host.device.status().survivors, MILLION);
    assert_eq!(host.device.connection_gone(), MILLION);
    let status = host.device.status();
    assert_eq!((status.open_handles, status.survivors), (0, 0));
}

/// C5: an open on its way to the server is busy, for a check and for a stop that refuses; one that
/// failed is not.
#[test]
fn c5_an_open_in_flight_is_busy() {
    let null = Null::posted();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    null.hold("open", Hold::Stubbornly);
    let open = || Operation::Open { node: file.clone(), options: plain(Access::Read) };
    let opening = host.submit(open());
    wait_until("the open is in the server", || null.inside("open") == 1);
    let check = host.device.check();
    assert_eq!((check.result, check.handles_total), (CallResult::HasOpenHandles, 0));
    assert_eq!((check.opening, check.requests_total), (1, 1));
    let refused = host.stop_with(refusing());
    assert_eq!((refused.result, refused.survivors_total), (CallResult::HasOpenHandles, 0));
    assert_eq!(refused.error.as_deref(), Some("opens are in flight; nothing was changed"));
    assert_eq!(host.device.state(), State::Started);
    assert!(host.lookup(&host.root(), "g").is_ok(), "nothing is refused");
    null.release();
    let answer = opening.recv_timeout(LIMIT).expect("answered");
    let Ok(Answer::Opened(opened)) = answer else { panic!("{answer:?}") };
    let refused = host.stop_with(refusing());
    assert_eq!(refused.survivors_total, 1, "it is open now");
    host.release(opened.handle).expect("closes");
    null.hold("open", Hold::Fail);
    assert!(host.open(&file, Access::Read).is_err());
    wait_until("the failed open has left", || host.device.check().opening == 0);
    assert_eq!(host.stop_with(refusing()).result, CallResult::Success);
}

/// C5: however opens and stops that refuse race, a stop that was not refused had nothing open: it
/// never ends with handles that slipped in.
#[test]
fn c5_no_open_slips_into_a_stop_that_refuses() {
    let null = Null::inline();
    let options = DeviceOptions { release_grace: std::time::Duration::ZERO, ..Default::default() };
    let host = Host::new(Box::new(move || Arc::new(NullRedirector(null.clone()))), options);
    host.start();
    let file = host.lookup(&host.root(), "f").expect("exists");
    let (over, decided) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut stopped, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let Ok(handle) = host.open(&file, Access::Read) else { continue };
                    std::thread::yield_now();
                    host.release(handle).expect("closes");
                    // Idle until the next decision, so that some of them find nobody.
                    let seen = decided.load(Ordering::SeqCst);
                    while decided.load(Ordering::SeqCst) == seen && !over.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                }
            });
        }
        for _ in 0..100_000 {
            let report = host.stop_with(refusing());
            match (report.result, report.ticket) {
                (CallResult::Success, Some(_)) => {
                    stopped += 1;
                    host.start();
                }
                (CallResult::HasOpenHandles, None) => refused += 1,
                other => panic!("neither refused nor idle: {other:?}"),
            }
            decided.fetch_add(1, Ordering::SeqCst);
            if stopped > 20 && refused > 20 {
                break;
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    assert!(stopped > 20 && refused > 20, "{stopped} stopped, {refused} refused");
}

/// S-57: a detached handle does no I/O any more; its write-back, cleanup and close reach its
/// server.
#[test]
fn a_detached_handle_only_closes() {
    let null = Null::inline();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let (taken, kept) = (host.open(&file, Access::ReadWrite), host.open(&file, Access::Read));
    let (taken, kept) = (taken.expect("opens"), kept.expect("opens"));
    host.write(taken, 0, b"0123456789").expect("writes");
    let detached = host.device.detach(host.caller, taken).expect("it is open");
    assert!(!detached.already && detached.handle.detached);
    assert_eq!((detached.handle.unsent_bytes, detached.open_handles), (10, 1), "and nothing lost");
    assert!(host.device.detach(host.caller, taken).expect("still there").already);
    assert_eq!(host.device.status().open_handles, 1);

    assert_eq!(host.read(taken, 0, 1).err(), Some(Status::RedirectorNotStarted));
    assert_eq!(host.write(taken, 0, b"x").err(), Some(Status::RedirectorNotStarted));
    let attributes = Operation::GetAttributes { node: file.clone(), handle: Some(taken) };
    assert_eq!(host.call(attributes).err(), Some(Status::RedirectorNotStarted));
    let sync = Operation::Synchronize { handle: taken, data_only: false };
    assert_eq!(host.call(sync).err(), Some(Status::RedirectorNotStarted));
    assert_eq!(host.read(kept, 0, 4).map(|data| data.len()), Ok(4), "others go on");

    let page = Operation::Write {
        handle: taken,
        offset: 0,
        data: WriteData::Borrowed(b"page"),
        write_back: true,
        kill_privileges: false,
    };
    assert!(matches!(host.call(page), Ok(Answer::Written(4))));
    assert!(host.call(Operation::Flush { handle: taken }).is_ok());
    assert_eq!(null.calls().iter().filter(|&&call| call == "commit").count(), 1);
    host.release(taken).expect("closes");
    assert!(null.calls().ends_with(&["close"]));
    assert!(host.device.detach(host.caller, taken).is_none(), "closed is closed");
    host.release(kept).expect("closes");
    assert!(host.notices.kinds().contains(&"detached".to_owned()));
}

/// S-57: nobody waits for a detached handle: a grace is over without it, a stop counts no survivor,
/// what was written to it is committed, and a start does not bring it back.
#[test]
fn nobody_waits_for_a_detached_handle() {
    let null = Null::inline();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let handle = host.open(&file, Access::ReadWrite).expect("opens");
    host.write(handle, 0, b"kept").expect("writes");
    let ticket = host.post_stop(StopOptions { grace_s: Some(300.0), ..StopOptions::default() });
    assert_eq!(host.read(handle, 0, 4).map(|data| data.len()), Ok(4), "it works in the grace");
    host.device.detach(host.caller, handle).expect("it is open");
    let report = host.wait(ticket);
    assert_eq!((report.result, report.survivors_total), (CallResult::Success, 0));
    assert!(null.calls().contains(&"commit"), "what was written is on the server");
    host.start();
    assert!(!null.calls().contains(&"reclaim_open"), "it is not carried over");
    assert_eq!(host.read(handle, 0, 1).err(), Some(Status::RedirectorNotStarted));
    let check = host.device.check();
    assert_eq!((check.result, check.handles_total), (CallResult::Success, 0));
    assert_eq!(host.stop_with(refusing()).result, CallResult::Success);
    host.start();
    let mut listed = Vec::new();
    host.device.visit_handles(|handle| {
        listed.push((handle.handle, handle.detached, handle.survivor));
        true
    });
    assert_eq!(listed, [(handle, true, false)], "it is shown until it is closed");
    host.release(handle).expect("closes");
}

/// S-57: what the holder waits for ends; a survivor can be detached as well.
#[test]
fn detaching_cancels_what_the_holder_waits_for() {
    let null = Null::posted();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let (one, other) = (host.open(&file, Access::Read), host.open(&file, Access::Read));
    let (one, other) = (one.expect("opens"), other.expect("opens"));
    null.hold("read", Hold::Cancellably);
    let read = |handle| Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() };
    let (first, second) = (host.submit(read(one)), host.submit(read(other)));
    wait_until("both wait in the server", || null.inside("read") == 2);
    let detached = host.device.detach(host.caller, one).expect("it is open");
    assert_eq!((detached.cancelled, detached.open_handles), (1, 1));
    assert_eq!(first.recv_timeout(LIMIT).expect("ended").err(), Some(Status::Cancelled));
    assert!(second.try_recv().is_err(), "the other one waits on");
    null.release();
    assert!(second.recv_timeout(LIMIT).expect("ended").is_ok());

    let report = host.stop();
    assert_eq!((report.result, report.survivors_total), (CallResult::HasOpenHandles, 1));
    assert_eq!(host.device.status().survivors, 1);
    host.device.detach(host.caller, other).expect("a survivor is open");
    let status = host.device.status();
    assert_eq!((status.survivors, status.open_handles), (0, 0));
    host.release(one).expect("closes");
    host.release(other).expect("closes");
}
