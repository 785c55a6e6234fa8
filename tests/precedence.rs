//! Root's stop against an owner, and what is kept before a stop's result, through the public face
//! of the core (management.md §2, §3).

mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, LIMIT, Pending, wait_until};
use minirdr::base::clock::Moment;
use minirdr::base::ids::{Caller, HandleNumber, TicketNumber};
use minirdr::base::limits::{CONTROL_QUEUE_MAX, CONTROL_QUEUE_RESERVED};
use minirdr::base::stop::{
    Answer, CallResult, ConfigScope, Notice, OnDeadline, State, StopOptions,
};
use minirdr::rdbss::operation::Operation;
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::saving::ConfigKeeper;
use minirdr::rdbss::startstop::CallError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ROOT: Caller = Caller::local(1, 0, 0);

/// A started host of user 1000's, with a read that ends for nobody.
struct Stuck {
    null: Arc<Null>,
    host: Host,
    handle: HandleNumber,
    read: Pending,
}

fn stuck() -> Stuck {
    let null = Null::posted();
    let host = Host::started(Arc::new(NullRedirector(null.clone())));
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    let handle = host.open(&file, Access::Read).expect("opens");
    null.hold("read", Hold::Stubbornly);
    let read = host.submit(Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() });
    wait_until("it is inside", || null.inside("read") == 1);
    Stuck { null, host, handle, read }
}

impl Stuck {
    fn roots_stop(&self, options: StopOptions) -> TicketNumber {
        match self.host.device.stop(ROOT, options).expect("taken") {
            Answer::Posted(ticket) => ticket,
            Answer::Done(report) => panic!("over at once: {report:?}"),
        }
    }

    /// Of the stop that runs.
    fn deadline(&self) -> Option<Moment> {
        wait_until("it runs", || self.host.device.status().running.is_some());
        self.host.device.status().running.and_then(|running| running.terms.deadline)
    }

    fn end(self) {
        self.null.release();
        self.host.device.resume().expect("the device takes calls");
        assert!(self.read.recv_timeout(LIMIT).is_ok(), "answered");
        self.host.release(self.handle).expect("closes");
    }
}

/// S-77: whatever the owner's stop waits for, root's ends it at root's deadline.
#[test]
fn s77_roots_stop_caps_what_the_owner_asked_for() {
    let stay = OnDeadline::Stay;
    let hour = Some(3600.0);
    for owners in [
        StopOptions::default(),
        StopOptions { deadline_s: hour, on_deadline: stay, ..StopOptions::default() },
        StopOptions { grace_s: hour, ..StopOptions::default() },
        StopOptions { deadline_s: hour, on_deadline: OnDeadline::Resume, ..StopOptions::default() },
    ] {
        let stuck = stuck();
        let first = stuck.host.post_stop(owners.clone());
        let capped = StopOptions {
            deadline_s: Some(0.1),
            on_deadline: OnDeadline::Cancel,
            ..StopOptions::default()
        };
        let roots = stuck.roots_stop(capped);
        let report = stuck.host.wait(first);
        assert!(report.result.is_stopped(), "{owners:?}: {report:?}");
        assert_eq!(report.abandoned, 1, "{owners:?}");
        assert_eq!(stuck.host.wait(roots).result, CallResult::AlreadyStopped);
        stuck.end();
    }
}

/// S-77: what root asked for only root takes back, whether it runs or waits behind the owner's.
#[test]
fn s77_only_root_takes_roots_stop_back() {
    for behind in [false, true] {
        let stuck = stuck();
        let owner = stuck.host.caller;
        let device = &stuck.host.device;
        let first = behind.then(|| stuck.host.post_stop(StopOptions::default()));
        let roots = stuck.roots_stop(StopOptions::default());
        assert_eq!(device.resume_for(owner), Err(CallError::RootsStop(roots)));
        assert_eq!(device.state(), State::Draining, "nothing has changed");
        assert_eq!(device.resume_for(ROOT), Ok(CallResult::Success));
        for ticket in first.into_iter().chain([roots]) {
            assert_eq!(stuck.host.wait(ticket).result, CallResult::RolledBack);
        }
        assert_eq!(device.state(), State::Started);
        // The owner's own, and a pause, are his.
        let own = stuck.host.post_stop(StopOptions::default());
        assert_eq!(device.resume_for(owner), Ok(CallResult::Success));
        assert_eq!(stuck.host.wait(own).result, CallResult::RolledBack);
        assert_eq!(device.pause(), Ok(CallResult::Success));
        assert_eq!(device.resume_for(owner), Ok(CallResult::Success));
        stuck.end();
    }
}

/// S-77: nor is it taken back at a deadline that somebody else made earlier.
#[test]
fn s77_nobody_brings_the_deadline_forward_at_which_roots_stop_is_taken_back() {
    let resume = |seconds| StopOptions {
        deadline_s: Some(seconds),
        on_deadline: OnDeadline::Resume,
        ..StopOptions::default()
    };
    let stuck = stuck();
    let device = &stuck.host.device;
    let roots = stuck.roots_stop(resume(3600.0));
    let (hour, state) = (stuck.deadline(), || device.status().state);
    stuck.host.post_stop(resume(0.001));
    assert_eq!(stuck.deadline(), hour, "root's is as it was");
    // Harder it may become: then it goes on, and sooner.
    let cancel = StopOptions { on_deadline: OnDeadline::Cancel, ..resume(0.1) };
    stuck.host.post_stop(cancel);
    assert!(stuck.deadline() < hour);
    let report = stuck.host.wait(roots);
    assert!(report.result.is_stopped() && state() == State::Startable, "{report:?}");
    stuck.end();
}

/// S-77: nobody fills the queue against root.
#[test]
fn s77_the_queue_has_room_for_root() {
    let stuck = stuck();
    let mut posted = 0;
    while stuck.host.device.stop(stuck.host.caller, StopOptions::default()).is_ok() {
        posted += 1;
        assert!(posted <= CONTROL_QUEUE_MAX, "no bound");
    }
    // One of them runs.
    assert!(posted > CONTROL_QUEUE_MAX - CONTROL_QUEUE_RESERVED);
    assert!(posted <= CONTROL_QUEUE_MAX - CONTROL_QUEUE_RESERVED + 1);
    let start = stuck.host.device.start(stuck.host.caller);
    assert_eq!(start.err(), Some(CallError::TooMany));
    let capped = StopOptions {
        deadline_s: Some(0.1),
        on_deadline: OnDeadline::Cancel,
        ..StopOptions::default()
    };
    let roots = stuck.roots_stop(capped);
    assert_eq!(stuck.host.wait(roots).result, CallResult::AlreadyStopped);
    stuck.end();
}

/// S-77: one start of the owner's after another, each at a server that hangs, does not hold up
/// root's stop.
#[test]
fn s77_starts_of_others_give_way_to_roots_stop() {
    let null = Null::posted();
    let host = Host::started(Arc::new(NullRedirector(null.clone())));
    assert_eq!(host.stop().result, CallResult::Success);
    null.hold("start", Hold::Cancellably);
    let starts: Vec<TicketNumber> = (0..5)
        .map(|_| match host.device.start(host.caller).expect("taken") {
            Answer::Posted(ticket) => ticket,
            Answer::Done(report) => panic!("over at once: {report:?}"),
        })
        .collect();
    wait_until("the first hangs", || null.inside("start") == 1);
    let before = null.calls().iter().filter(|call| **call == "start").count();
    let Answer::Posted(roots) = host.device.stop(ROOT, StopOptions::default()).expect("taken")
    else {
        panic!("there is something to wait for");
    };
    assert_eq!(host.wait(roots).result, CallResult::AlreadyStopped);
    for ticket in &starts[1..] {
        let report = host.wait(*ticket);
        assert_eq!(report.result, CallResult::AlreadyStopped, "{report:?}");
    }
    let after = null.calls().iter().filter(|call| **call == "start").count();
    assert_eq!(before, after, "the server was not asked again");
    null.release();
}

/// Keeps nothing, and says what it is told to.
struct Keeper {
    asked: Mutex<Vec<ConfigScope>>,
    settled: Mutex<usize>,
    says: Result<(), String>,
}

impl Keeper {
    fn new(says: Result<(), &str>) -> Arc<Self> {
        let says = says.map_err(str::to_owned);
        Arc::new(Self { asked: Mutex::default(), settled: Mutex::default(), says })
    }
}

impl ConfigKeeper for Keeper {
    fn save(&self, scope: ConfigScope) {
        self.asked.lock().expect("not poisoned").push(scope);
    }

    fn settle(&self, _limit: Duration) -> Result<(), String> {
        *self.settled.lock().expect("not poisoned") += 1;
        self.says.clone()
    }
}

/// Management.md §7, 9: `save_config` is told before `stopped`, and what it is about is
/// settled by then: when the event comes, which is before the result can be seen.
#[test]
fn i9_what_is_to_be_kept_is_kept_before_the_result() {
    let null = Null::inline();
    let host = Host::started(Arc::new(NullRedirector(null)));
    let keeper = Keeper::new(Ok(()));
    host.device.attach_config_keeper(keeper.clone());
    let seen = Arc::new(Mutex::new(Vec::new()));
    {
        let (keeper, seen, device) = (keeper.clone(), seen.clone(), Arc::downgrade(&host.device));
        let hook = move |notice: &Notice| {
            if let Notice::Stopped { .. } = notice {
                let settled = *keeper.settled.lock().expect("not poisoned");
                let status = device.upgrade().expect("lives").status();
                seen.lock().expect("not poisoned").push((settled, status.state));
            }
        };
        assert!(host.notices.hook.set(Box::new(hook)).is_ok());
    }
    for round in 1..=2 {
        let report = host.stop();
        assert_eq!((report.result, report.error), (CallResult::Success, None));
        assert!(report.steps.iter().any(|step| step.step == "save_config"));
        let last = seen.lock().expect("not poisoned").last().copied();
        assert_eq!(last, Some((round, State::Startable)));
        assert_eq!(host.start().result, CallResult::Success);
    }
    let kinds = host.notices.kinds();
    let saved = |kinds: &[String]| kinds.iter().filter(|kind| *kind == "save_config").count();
    let stopped = kinds.iter().position(|kind| kind == "stopped").expect("told");
    assert_eq!(kinds[stopped - 1], "save_config", "{kinds:?}");
    assert_eq!(saved(&kinds), 4, "each stop and each start after it: {kinds:?}");
    assert_eq!(keeper.asked.lock().expect("not poisoned").len(), 4);
}

/// Invariant 9: what cannot be kept is said in the report, and the device stops all the same.
#[test]
fn i9_a_failure_to_keep_is_said_and_stops_nothing() {
    let null = Null::inline();
    let host = Host::started(Arc::new(NullRedirector(null.clone())));
    host.device.attach_config_keeper(Keeper::new(Err("/s/mount.json: no space")));
    let report = host.stop();
    assert_eq!(report.result, CallResult::Success);
    let why = "its configuration is not kept: /s/mount.json: no space";
    assert_eq!(report.error.as_deref(), Some(why));
    assert_eq!(host.start().result, CallResult::Success);
    null.hold("stop", Hold::Fail);
    let report = host.stop();
    let error = report.error.expect("two things went wrong");
    assert!(error.starts_with("MRxStop: ") && error.ends_with(&format!("; {why}")), "{error}");
    null.release();
}

/// A device that nobody keeps anything for asks for nothing.
#[test]
fn nothing_is_asked_for_where_nobody_keeps() {
    let null = Null::inline();
    let host = Host::started(Arc::new(NullRedirector(null)));
    let report = host.stop();
    assert!(report.steps.iter().all(|step| step.step != "save_config"));
    assert!(!host.notices.kinds().contains(&"save_config".to_owned()));
}
