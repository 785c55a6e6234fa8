//! What the model of the stop (`tests/stop_model`) found in this driver: each history it showed, on
//! the real core.

mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, LIMIT, wait_until};
use minirdr::base::clock::ManualClock;
use minirdr::base::ids::HandleNumber;
use minirdr::base::status::Status;
use minirdr::base::stop::{Answer as Called, CallResult, Notice, OnDeadline, State, StopOptions};
use minirdr::rdbss::device::Device;
use minirdr::rdbss::operation::Operation;
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::register::DeviceOptions;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn host(null: &Arc<Null>) -> Host {
    Host::started(Arc::new(NullRedirector(null.clone())))
}

fn opened(host: &Host, name: &str) -> HandleNumber {
    let file = host.lookup(&host.root(), name).expect("every name exists");
    host.open(&file, Access::ReadWrite).expect("started")
}

fn read(handle: HandleNumber) -> Operation<'static> {
    Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() }
}

fn resume_after(seconds: f64) -> StopOptions {
    let on_deadline = OnDeadline::Resume;
    StopOptions { deadline_s: Some(seconds), on_deadline, ..StopOptions::default() }
}

/// Hears every notice; what `see` makes of it comes by the channel.
fn seen<T: Send + 'static>(
    host: &Host,
    see: impl Fn(&Arc<Device>, &Notice) -> Option<T> + Send + Sync + 'static,
) -> Receiver<T> {
    let device = Arc::downgrade(&host.device);
    let (sender, receiver) = channel();
    let hook = move |notice: &Notice| {
        let seen = device.upgrade().and_then(|device| see(&device, notice));
        if let Some(seen) = seen {
            // A test that has seen enough listens no more.
            let _ = sender.send(seen);
        }
    };
    assert!(host.notices.hook.set(Box::new(hook)).is_ok());
    receiver
}

/// C2: stop flips and posts; before its caller has his answer, `resume` comes. The stop comes after
/// it, so the gate is not opened for a moment in between.
#[test]
fn c2_a_resume_does_not_open_past_a_stop_that_is_being_posted() {
    let null = Null::inline();
    let host = host(&null);
    let state = seen(&host, |device, notice| {
        let Notice::StopRequested { .. } = notice else { return None };
        Some((device.resume(), device.state()))
    });
    let ticket = host.post_stop(StopOptions::default());
    let resumed = (Ok(CallResult::Success), State::Draining);
    assert_eq!(state.recv_timeout(LIMIT), Ok(resumed));
    assert_eq!(host.wait(ticket).result, CallResult::Success);
}

/// C2, S1: a stop is rolled back at its deadline while another one, answered *posted*, waits behind
/// it: the gate stays closed for that one, and nobody is told that it was opened.
#[test]
fn c2_a_roll_back_does_not_open_past_a_stop_that_waits() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f");
    null.hold("read", Hold::Stubbornly);
    let running = host.submit(read(handle));
    wait_until("it is inside", || null.inside("read") == 1);
    let state = seen(&host, |device, notice| match notice {
        Notice::Stopped { result: CallResult::RolledBack, .. } => Some(device.state()),
        _ => None,
    });
    let first = host.post_stop(resume_after(0.05));
    let second = host.post_stop(StopOptions::default());
    assert_eq!(host.wait(first).result, CallResult::RolledBack);
    assert_eq!(state.recv_timeout(LIMIT), Ok(State::Draining));
    assert_eq!(host.read(handle, 0, 1).err(), Some(Status::RedirectorNotStarted));
    null.release();
    assert!(running.recv_timeout(LIMIT).is_ok());
    assert_eq!(host.wait(second).result, CallResult::HasOpenHandles);
    assert!(!host.notices.kinds().contains(&"resumed".to_owned()));
    host.release(handle).expect("a survivor closes");
}

/// C2: a start ends well while a stop waits behind it: the generation counts, and is never opened.
#[test]
fn c2_a_start_does_not_open_past_a_stop_that_waits() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f");
    null.hold("read", Hold::Stubbornly);
    let running = host.submit(read(handle));
    wait_until("it is inside", || null.inside("read") == 1);
    let state = seen(&host, |device, notice| match notice {
        Notice::Started { .. } => Some(device.state()),
        _ => None,
    });
    let first = host.post_stop(StopOptions::default());
    let Ok(Called::Posted(start)) = host.device.start(host.caller) else { panic!("posted") };
    let second = host.post_stop(StopOptions::default());
    null.release();
    assert!(running.recv_timeout(LIMIT).is_ok());
    assert_eq!(host.wait(first).result, CallResult::HasOpenHandles);
    let report = host.wait(start);
    assert_eq!((report.result, report.generation.0), (CallResult::Success, 2));
    assert_eq!(state.recv_timeout(LIMIT), Ok(State::Draining));
    assert_eq!(host.wait(second).result, CallResult::HasOpenHandles, "of the second generation");
    assert_eq!(null.calls().iter().filter(|call| **call == "stop").count(), 2);
    host.release(handle).expect("a survivor closes");
}

/// S2, stop.md §4 step 4: a close that a sealed stop put off runs when the stop is taken back, and
/// the next stop waits for it: `MRxStop` runs alone.
#[test]
fn s2_a_close_put_off_is_counted_after_a_roll_back() {
    let null = Null::posted();
    let clock = Arc::new(ManualClock::new());
    let redirector = Arc::new(NullRedirector(null.clone()));
    let factory = Box::new(move || redirector.clone() as _);
    let host = Host::with_clock(factory, DeviceOptions::default(), clock.clone());
    host.start();
    let (running, late) = (opened(&host, "f"), opened(&host, "g"));
    null.hold("close", Hold::Stubbornly);
    let running = host.submit(Operation::Release { handle: running });
    wait_until("it is inside", || null.inside("close") == 1);
    let first = host.post_stop(resume_after(1.0));
    wait_until("it is sealed", || host.device.state() == State::Sealing);
    let late = host.submit(Operation::Release { handle: late });
    clock.advance(Duration::from_secs(2));
    assert_eq!(host.wait(first).result, CallResult::RolledBack);
    wait_until("it is run", || null.inside("close") == 2);
    assert_eq!(host.device.status().requests_in_flight, 2, "both are waited for");
    let second = host.post_stop(StopOptions::default());
    wait_until("it is sealed", || host.device.state() == State::Sealing);
    assert!(!null.calls().contains(&"stop"));
    null.release();
    for close in [running, late] {
        assert!(close.recv_timeout(LIMIT).is_ok());
    }
    assert_eq!(host.wait(second).result, CallResult::Success);
}

/// S4: a handle that the running start has reclaimed is closed: that is a request of the new
/// generation, counted although it is not served yet.
#[test]
fn s4_a_close_of_a_reclaimed_handle_is_counted() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f");
    assert_eq!(host.stop().result, CallResult::HasOpenHandles);
    null.hold("close", Hold::Stubbornly);
    let Ok(Called::Posted(start)) = host.device.start(host.caller) else { panic!("posted") };
    wait_until("the old open is being closed", || null.inside("close") == 1);
    assert_eq!(host.device.state(), State::StartInProgress);
    let close = host.submit(Operation::Release { handle });
    wait_until("and the new one", || null.inside("close") == 2);
    assert_eq!(host.device.status().requests_in_flight, 1);
    null.release();
    assert!(close.recv_timeout(LIMIT).is_ok());
    assert_eq!(host.wait(start).result, CallResult::Success);
}

/// S4: page write-back of a survivor hangs in its own generation while the next one starts: the
/// handle stays with that generation, or the rest of the request would meet the new one uncounted.
#[test]
fn s4_a_survivor_is_not_reclaimed_under_its_cleanup() {
    let null = Null::posted();
    let host = host(&null);
    let handle = opened(&host, "f");
    assert_eq!(host.stop().result, CallResult::HasOpenHandles);
    null.hold("write", Hold::Stubbornly);
    let (data, kill_privileges) = (vec![1].into(), false);
    let write_back =
        Operation::Write { handle, offset: 0, data, write_back: true, kill_privileges };
    let write_back = host.submit(write_back);
    wait_until("it is inside", || null.inside("write") == 1);
    assert_eq!(host.start().result, CallResult::Success);
    null.release();
    assert!(write_back.recv_timeout(LIMIT).is_ok());
    assert_eq!(host.read(handle, 0, 1).err(), Some(Status::FileInvalid), "ESTALE");
    host.release(handle).expect("it closes in its generation");
}
