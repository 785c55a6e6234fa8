//! What counts where.

use crate::common::null::{Hold, Null, NullRedirector};
use crate::common::{Host, LIMIT, wait_until};
use crate::text::{Scrape, scrape};
use minirdr::base::clock::{Clock, ManualClock};
use minirdr::base::ids::{HandleNumber, TicketNumber};
use minirdr::base::status::Status;
use minirdr::base::stop::{CallResult, OnDeadline, StopMode, StopOptions};
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::operation::{Answer, Operation};
use minirdr::rdbss::register::DeviceOptions;
use minirdr::rdbss::ticket::TicketState;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn started(null: &Arc<Null>) -> Host {
    Host::started(Arc::new(NullRedirector(null.clone())))
}

/// A started device whose clock stands still.
fn with_clock(null: &Arc<Null>, options: DeviceOptions) -> (Host, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let redirector = Arc::new(NullRedirector(null.clone()));
    let factory = Box::new(move || redirector.clone() as _);
    let host = Host::with_clock(factory, options, clock.clone() as Arc<dyn Clock>);
    host.start();
    (host, clock)
}

/// Waits for a stop's end. What it waits for in step 9, it waits for by this clock.
fn ended(host: &Host, clock: &ManualClock, ticket: TicketNumber) -> CallResult {
    wait_until("the stop is over", || {
        clock.advance(Duration::from_millis(20));
        matches!(host.device.wait_ticket(ticket, Duration::ZERO), TicketState::Ended(_))
    });
    host.wait(ticket).result
}

fn read(handle: HandleNumber) -> Operation<'static> {
    Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() }
}

fn opened(host: &Host) -> HandleNumber {
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    host.open(&file, Access::ReadWrite).expect("opens")
}

#[track_caller]
fn agrees(host: &Host, scrape: &Scrape) {
    let answered = host.device.status().answered_total as f64;
    assert_eq!(scrape.sum("minirdr_request_duration_seconds_count"), answered);
    assert_eq!(scrape.sum("minirdr_requests_total"), answered);
    let refused = host.device.status().refused_total as f64;
    assert_eq!(scrape.sum("minirdr_refused_requests_total"), refused);
}

/// S-87: bytes, errors and latency of requests that were answered, by operation; a bound belongs to
/// its bucket.
#[test]
fn s87_an_answer_is_counted_once_with_its_time() {
    let null = Null::inline();
    let (host, clock) = with_clock(&null, DeviceOptions::default());
    let handle = opened(&host);
    assert_eq!(host.read(handle, 0, 100).expect("reads").len(), 100);
    assert_eq!(host.write(handle, 0, &[7; 30]).expect("writes"), 30);
    null.hold("read", Hold::Pending);
    let slow = host.submit(read(handle));
    clock.advance(Duration::from_secs(3));
    assert_eq!(scrape(&host.device).get("minirdr_requests_in_flight"), 1.0);
    null.release();
    slow.recv_timeout(LIMIT).expect("answered").expect("reads");
    null.hold("read", Hold::Fail);
    host.read(handle, 0, 1).expect_err("planted");
    let seen = scrape(&host.device);
    agrees(&host, &seen);
    let bucket = |le: &str| {
        seen.get(&format!("minirdr_request_duration_seconds_bucket{{le=\"{le}\",op=\"read\"}}"))
    };
    assert_eq!([bucket("0.00003"), bucket("1.0"), bucket("3.0"), bucket("+Inf")], [2., 2., 3., 3.]);
    assert_eq!(seen.get("minirdr_request_duration_seconds_sum{op=\"read\"}"), 3.0);
    assert_eq!(seen.get("minirdr_request_duration_seconds_count{op=\"write\"}"), 1.0);
    assert_eq!(seen.get("minirdr_failed_requests_total{op=\"read\"}"), 1.0);
    assert_eq!(seen.sum("minirdr_failed_requests_total"), 1.0);
    // 100 and the one byte of the slow one.
    assert_eq!(seen.get("minirdr_read_bytes_total"), 101.0);
    assert_eq!(seen.get("minirdr_written_bytes_total"), 30.0);
    assert_eq!(seen.get("minirdr_open_handles{kind=\"handle\"}"), 1.0);
    host.release(handle).expect("closes");
}

/// S-87: what was refused is in that number alone.
#[test]
fn s87_a_refusal_is_no_answer() {
    let null = Null::inline();
    let host = started(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    host.stop();
    let before = scrape(&host.device);
    for _ in 0..2 {
        assert_eq!(host.open(&file, Access::Read).err(), Some(Status::RedirectorNotStarted));
    }
    host.lookup(&host.root(), "f").expect_err("stopped");
    // Answered in every state: no refusal.
    let root = Operation::GetAttributes { node: host.root(), handle: None };
    assert!(matches!(host.call(root), Ok(Answer::Attributes(_))));
    let after = scrape(&host.device);
    assert_eq!(after.get("minirdr_refused_requests_total{op=\"open\"}"), 2.0);
    assert_eq!(after.get("minirdr_refused_requests_total{op=\"lookup\"}"), 1.0);
    assert_eq!(after.sum("minirdr_refused_requests_total"), 3.0);
    for metric in ["minirdr_request_duration_seconds_count", "minirdr_requests_total"] {
        assert_eq!(after.sum(metric), before.sum(metric), "{metric}");
    }
    agrees(&host, &after);
}

/// S-87: cancelled, too slow, given up on: each has its outcome and the time its caller waited; the
/// result that comes later is counted as late and in nothing else.
#[test]
fn s87_each_outcome_is_one_of_four() {
    let null = Null::posted();
    let options = DeviceOptions {
        request_deadline: Some(Duration::from_secs(60)),
        ..DeviceOptions::default()
    };
    let (host, clock) = with_clock(&null, options);
    let handles = [opened(&host), opened(&host), opened(&host)];
    // Too slow.
    null.hold("read", Hold::Stubbornly);
    let slow = host.submit(read(handles[0]));
    wait_until("it is inside", || null.inside("read") == 1);
    clock.advance(Duration::from_secs(61));
    assert!(matches!(slow.recv_timeout(LIMIT), Ok(Err(Status::IoTimeout))));
    let seen = scrape(&host.device);
    assert_eq!(seen.get("minirdr_requests_total{outcome=\"timed_out\"}"), 1.0);
    let (from, to) = (
        "minirdr_request_duration_seconds_bucket{le=\"30.0\",op=\"read\"}",
        "minirdr_request_duration_seconds_bucket{le=\"+Inf\",op=\"read\"}",
    );
    assert_eq!((seen.get(from), seen.get(to)), (0.0, 1.0));
    assert_eq!(seen.get("minirdr_late_results_total"), 0.0);
    null.release();
    wait_until("its result came", || host.device.status().late_total == 1);
    assert_eq!(scrape(&host.device).get("minirdr_late_results_total"), 1.0);
    // Cancelled by a stop, and given up on by the next.
    null.hold("read", Hold::Cancellably);
    let cancelled = host.submit(read(handles[1]));
    wait_until("it is inside", || null.inside("read") == 1);
    let cancel = StopOptions { mode: StopMode::Cancel, ..StopOptions::default() };
    ended(&host, &clock, host.post_stop(cancel));
    assert!(matches!(cancelled.recv_timeout(LIMIT), Ok(Err(Status::Cancelled))));
    null.release();
    host.start();
    null.hold("read", Hold::Stubbornly);
    let abandoned = host.submit(read(handles[2]));
    wait_until("it is inside", || null.inside("read") == 1);
    let ticket = host.post_stop(StopOptions { mode: StopMode::Abort, ..StopOptions::default() });
    assert!(matches!(abandoned.recv_timeout(LIMIT), Ok(Err(Status::IoTimeout))));
    null.release();
    ended(&host, &clock, ticket);
    let seen = scrape(&host.device);
    for (outcome, count) in [("timed_out", 1.0), ("cancelled", 1.0), ("abandoned", 1.0)] {
        let sample = format!("minirdr_requests_total{{outcome=\"{outcome}\"}}");
        assert_eq!(seen.get(&sample), count, "{outcome}");
    }
    agrees(&host, &seen);
    for handle in handles {
        host.release(handle).expect("a survivor closes");
    }
}

/// S-88: a stop is counted by its result, with the time from its call to its result.
#[test]
fn s88_stops_and_starts_are_counted_by_result() {
    let null = Null::inline();
    let (host, clock) = with_clock(&null, DeviceOptions::default());
    let handle = opened(&host);
    let busy = StopOptions { refuse_if_busy: true, ..StopOptions::default() };
    assert_eq!(host.stop_with(busy).result, CallResult::HasOpenHandles);
    null.hold("read", Hold::PendingStubbornly);
    let slow = host.submit(read(handle));
    let options = StopOptions {
        deadline_s: Some(30.0),
        on_deadline: OnDeadline::Stay,
        ..StopOptions::default()
    };
    let ticket = host.post_stop(options);
    wait_until("it drains", || {
        scrape(&host.device).get("minirdr_calls_running{kind=\"stop\"}") == 1.0
    });
    assert_eq!(scrape(&host.device).get("minirdr_stop_overdue"), 0.0);
    clock.advance(Duration::from_secs(45));
    wait_until("the deadline is seen", || scrape(&host.device).get("minirdr_stop_overdue") == 1.0);
    let seen = scrape(&host.device);
    assert_eq!(seen.get("minirdr_state{state=\"draining\"}"), 1.0);
    assert_eq!(seen.sum("minirdr_state"), 1.0, "one state at a time");
    assert_eq!(seen.get("minirdr_stop_deadlines_passed_total{on_deadline=\"stay\"}"), 1.0);
    assert_eq!(seen.sum("minirdr_stop_duration_seconds_count"), 0.0, "none has ended");
    null.release();
    slow.recv_timeout(LIMIT).expect("answered").expect("reads");
    assert_eq!(ended(&host, &clock, ticket), CallResult::HasOpenHandles);
    assert_eq!(host.stop().result, CallResult::AlreadyStopped);
    let seen = scrape(&host.device);
    for (result, count) in [
        ("busy", 1.0),
        ("has_open_handles", 1.0),
        ("already_stopped", 1.0),
        ("success", 0.0),
        ("lost", 0.0),
    ] {
        let sample = format!("minirdr_stops_total{{result=\"{result}\"}}");
        assert_eq!(seen.get(&sample), count, "{result}");
    }
    let (below, within) = (
        "minirdr_stop_duration_seconds_bucket{le=\"30.0\"}",
        "minirdr_stop_duration_seconds_bucket{le=\"90.0\"}",
    );
    assert_eq!((seen.get(below), seen.get(within)), (0.0, 1.0));
    assert_eq!(seen.get("minirdr_stop_duration_seconds_count"), 1.0, "of what did something");
    assert!(seen.get("minirdr_stop_duration_seconds_sum") >= 45.0);
    assert_eq!(seen.get("minirdr_survivors"), 1.0);
    assert_eq!(seen.get("minirdr_stop_overdue"), 0.0);
    host.start();
    assert_eq!(host.start().result, CallResult::AlreadyStarted);
    let seen = scrape(&host.device);
    assert_eq!(seen.get("minirdr_starts_total{result=\"success\"}"), 2.0);
    assert_eq!(seen.get("minirdr_starts_total{result=\"already_started\"}"), 1.0);
    assert_eq!(seen.get("minirdr_start_duration_seconds_count"), 2.0);
    host.release(handle).expect("closes");
}

/// S-87: a handle is a file, a directory or detached, and none of them when it is closed; a loss is
/// counted with its bytes.
#[test]
fn s87_handles_by_kind_and_losses() {
    let null = Null::inline();
    let host = started(&null);
    let file = opened(&host);
    let directory = || match host.call(Operation::OpenDirectory { node: host.root() }) {
        Ok(Answer::Opened(open)) => open.handle,
        other => panic!("opendir answered {other:?}"),
    };
    let (first, second) = (directory(), directory());
    let handles = |of: [f64; 3]| {
        let seen = scrape(&host.device);
        let kinds = ["handle", "directory", "detached"];
        let kinds = kinds.map(|kind| seen.get(&format!("minirdr_open_handles{{kind=\"{kind}\"}}")));
        assert_eq!(kinds, of, "files, directories, detached");
    };
    handles([1., 2., 0.]);
    for _ in 0..2 {
        host.device.detach(host.caller, first).expect("it is open");
        handles([1., 1., 1.]);
    }
    host.device.detach(host.caller, file).expect("it is open");
    handles([0., 1., 2.]);
    for handle in [first, second, file] {
        host.release(handle).expect("closes");
    }
    handles([0., 0., 0.]);
    null.lose(b"a", 12);
    null.lose(b"b", 30);
    let seen = scrape(&host.device);
    assert_eq!(seen.get("minirdr_losses_total"), 2.0);
    assert_eq!(seen.get("minirdr_lost_bytes_total"), 42.0);
    assert_eq!(host.stop().losses.len(), 2);
    assert_eq!(scrape(&host.device).get("minirdr_losses_total"), 2.0, "a report takes none away");
}

/// One thing a program or an administrator does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Read,
    Write,
    Lookup,
    Open,
    Close,
    FailReads(bool),
    Stop,
    Start,
    Pause,
    Resume,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => Just(Deed::Read),
        4 => Just(Deed::Write),
        3 => Just(Deed::Lookup),
        3 => Just(Deed::Open),
        2 => Just(Deed::Close),
        1 => any::<bool>().prop_map(Deed::FailReads),
        1 => Just(Deed::Stop),
        2 => Just(Deed::Start),
        1 => Just(Deed::Pause),
        1 => Just(Deed::Resume),
    ];
    prop::collection::vec(deed, 1..40)
}

/// What was seen to happen, by operation: answered, failed, refused.
type Seen = BTreeMap<&'static str, [u64; 3]>;

fn note<T>(seen: &mut Seen, word: &'static str, outcome: &Result<T, Status>) {
    let counts = seen.entry(word).or_default();
    match outcome {
        Err(Status::RedirectorNotStarted | Status::RedirectorPaused) => counts[2] += 1,
        Err(_) => {
            counts[0] += 1;
            counts[1] += 1;
        }
        Ok(_) => counts[0] += 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// S-87, S-88: whatever happens in whatever order, the numbers are what callers saw, and every
    /// series of the first scrape is in the last one, and no other.
    #[test]
    fn s87_the_numbers_are_what_callers_saw(deeds in deeds()) {
        let null = Null::inline();
        let host = started(&null);
        let first = scrape(&host.device);
        let file = host.lookup(&host.root(), "f").expect("every name exists");
        let handle = host.open(&file, Access::ReadWrite).expect("opens");
        let mut more = Vec::new();
        let mut seen = Seen::from([("lookup", [1, 0, 0]), ("open", [1, 0, 0])]);
        let (mut stops, mut starts) = (0, 1);
        for deed in deeds {
            match deed {
                Deed::Read => note(&mut seen, "read", &host.read(handle, 0, 1)),
                Deed::Write => note(&mut seen, "write", &host.write(handle, 0, b"x")),
                Deed::Lookup => note(&mut seen, "lookup", &host.lookup(&host.root(), "f")),
                Deed::Open => {
                    let open = host.open(&file, Access::Read);
                    note(&mut seen, "open", &open);
                    more.extend(open);
                }
                Deed::Close => if let Some(handle) = more.pop() {
                    note(&mut seen, "release", &host.release(handle));
                },
                Deed::FailReads(true) => null.hold("read", Hold::Fail),
                Deed::FailReads(false) => null.release(),
                Deed::Stop => { host.stop(); stops += 1; }
                Deed::Start => { host.start(); starts += 1; }
                Deed::Pause => drop(host.device.pause()),
                Deed::Resume => drop(host.device.resume()),
            }
        }
        let last = scrape(&host.device);
        for (word, [answered, failed, refused]) in &seen {
            let of = |metric: &str| last.get(&format!("{metric}{{op=\"{word}\"}}"));
            prop_assert_eq!(of("minirdr_request_duration_seconds_count"), *answered as f64);
            prop_assert_eq!(of("minirdr_failed_requests_total"), *failed as f64);
            prop_assert_eq!(of("minirdr_refused_requests_total"), *refused as f64);
        }
        agrees(&host, &last);
        prop_assert_eq!(last.sum("minirdr_stops_total"), f64::from(stops));
        prop_assert_eq!(last.sum("minirdr_starts_total"), f64::from(starts));
        prop_assert!(first.samples.keys().eq(last.samples.keys()), "series come and go");
        for handle in more.into_iter().chain([handle]) {
            host.release(handle).expect("closes");
        }
    }
}
