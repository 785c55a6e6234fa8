//! Feeds through the public face of the core: a reader outside hears what changes, a stop lets go
//! of what is followed whatever its server does, and nothing of it is a handle or a request.

mod common;

use common::{Host, LIMIT, wait_until};
use minirdr::base::clock::{Clock, SystemClock};
use minirdr::base::limits::FEED_OPENS_MAX;
use minirdr::base::name::Name;
use minirdr::base::status::{Errno, Status};
use minirdr::base::stop::{CallResult, OnDeadline, State, StopOptions};
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::mrx::request::{Change, ChangeKind, NewNode};
use minirdr::rdbss::feeds::{Fed, FeedNumber, FeedReader};
use minirdr::rdbss::operation::{Answer, Creation, Operation};
use minirdr::rdbss::register::DeviceOptions;
use minirdr::redirectors::faulty::{Callout, Fault, FaultControl, FaultPlan, Faulty};
use minirdr::redirectors::memory::{Memory, MemoryOptions, MemoryServer};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Told(Sender<Fed>);

impl FeedReader for Told {
    fn fed(&self, _: FeedNumber, fed: Fed) {
        // A test that no longer listens has made its point already.
        let _ = self.0.send(fed);
    }
}

/// A device of `faulty:memory:` whose faults can be changed.
struct Rig {
    host: Host,
    faults: Arc<Mutex<Option<FaultControl>>>,
}

impl Rig {
    fn started() -> Self {
        Self::with(DeviceOptions::default())
    }

    fn with(options: DeviceOptions) -> Self {
        let clock = SystemClock::shared();
        let server = MemoryServer::new(clock);
        let faults: Arc<Mutex<Option<FaultControl>>> = Arc::default();
        let kept = faults.clone();
        let factory = move || -> Arc<dyn MiniRedirector> {
            let memory = Arc::new(Memory::new(server.clone(), MemoryOptions::default()));
            let faulty = Faulty::new(memory, FaultPlan { blocking: true, ..FaultPlan::none() });
            *kept.lock().expect("not poisoned") = Some(faulty.control());
            Arc::new(faulty)
        };
        let host = Host::new(Box::new(factory), options);
        host.start();
        Self { host, faults }
    }

    fn plan(&self, plan: FaultPlan) {
        self.faults().set_plan(FaultPlan { blocking: true, ..plan });
    }

    fn faults(&self) -> FaultControl {
        self.faults.lock().expect("not poisoned").clone().expect("started")
    }

    fn make(&self, name: &str) {
        let operation = Operation::MakeNode {
            parent: self.host.root(),
            name: name_of(name),
            node: NewNode::Directory,
            creation: Creation { permissions: 0o755, umask: 0 },
        };
        self.host.call(operation).expect("made");
    }

    fn follow(&self, path: &[&str]) -> (FeedNumber, Receiver<Fed>) {
        let (sender, told) = channel();
        let path = path.iter().map(|name| name_of(name)).collect();
        (self.host.device.follow(path, Arc::new(Told(sender))), told)
    }
}

fn name_of(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a name")
}

fn next(told: &Receiver<Fed>) -> Fed {
    told.recv_timeout(LIMIT).expect("told in time")
}

fn added(name: &str) -> Fed {
    Fed::Changed(vec![Change { name: Some(name_of(name)), kind: ChangeKind::Added }])
}

/// S-132: over a stop and start it is followed again; nothing of it is counted anywhere.
#[test]
fn s132_a_feed_is_no_handle_and_outlives_a_stop() {
    let rig = Rig::started();
    let (feed, told) = rig.follow(&[]);
    assert_eq!(next(&told), Fed::Live);
    rig.make("a");
    assert_eq!(next(&told), added("a"));
    // The request that made it is answered a moment before it has left.
    wait_until("no request is left", || rig.host.device.status().requests_in_flight == 0);
    assert_eq!(rig.host.device.status().open_handles, 0);
    let busy = StopOptions { refuse_if_busy: true, ..StopOptions::default() };
    let report = rig.host.stop_with(busy);
    assert_eq!((report.result, report.cancelled), (CallResult::Success, 0));
    assert!(report.survivors.is_empty());
    assert_eq!(rig.host.start().result, CallResult::Success);
    assert_eq!(next(&told), Fed::Live);
    rig.make("b");
    assert_eq!(next(&told), added("b"));
    rig.host.device.unfollow(feed);
    wait_until("it is let go of", || rig.host.device.feeds() == 0);
    rig.make("c");
    assert!(told.recv_timeout(Duration::ZERO).is_err(), "nobody is told any more");
}

/// S6: a server that hangs in any part of it holds up neither a stop nor the end of the device, and
/// what a stop broke off is followed after the next start.
#[test]
fn s6_a_server_that_hangs_holds_up_no_stop() {
    let callouts = [Callout::Lookup, Callout::Open, Callout::NotifyChangeDirectory, Callout::Close];
    let hangs = [Fault::Hang, Fault::HangUncancellable];
    for (callout, hang) in callouts.iter().flat_map(|callout| hangs.map(|hang| (*callout, hang))) {
        let rig = Rig::started();
        rig.make("d");
        rig.plan(FaultPlan::none().with(callout, hang));
        let (_, told) = rig.follow(&["d"]);
        if callout == Callout::Close {
            assert_eq!(next(&told), Fed::Live);
        } else {
            assert!(rig.faults().wait_until_inside(callout, 1, LIMIT), "{callout:?} hangs");
        }
        let (faults, clock) = (rig.faults(), SystemClock::new());
        let report = rig.host.stop();
        assert_eq!(report.result, CallResult::Success, "{callout:?} {hang:?}");
        faults.release();
        let took = clock.now().since(minirdr::base::clock::Moment(0));
        assert!(took < Duration::from_secs(10), "{callout:?}: {took:?}");
        rig.host.start();
        assert_eq!(next(&told), Fed::Live, "{callout:?}");
    }
}

/// Stop.md S2: a stop that is taken back leaves it followed.
#[test]
fn s2_a_stop_that_is_taken_back_goes_on_with_it() {
    let rig = Rig::started();
    let (_, told) = rig.follow(&[]);
    assert_eq!(next(&told), Fed::Live);
    rig.make("f");
    assert_eq!(next(&told), added("f"));
    // The stop waits for a close, and has let go of the feed by then.
    let directory = rig.host.lookup(&rig.host.root(), "f").expect("there");
    let opened = rig.host.call(Operation::OpenDirectory { node: directory }).expect("opened");
    let Answer::Opened(opened) = opened else { panic!("{opened:?}") };
    rig.plan(FaultPlan::none().with(Callout::Close, Fault::HangUncancellable));
    let closing = rig.host.submit(Operation::Release { handle: opened.handle });
    assert!(rig.faults().wait_until_inside(Callout::Close, 1, LIMIT), "it hangs");
    rig.plan(FaultPlan::none());
    let (deadline_s, on_deadline) = (Some(0.2), OnDeadline::Resume);
    let report = rig.host.stop_with(StopOptions { deadline_s, on_deadline, ..Default::default() });
    assert_eq!(report.result, CallResult::RolledBack);
    assert_eq!(rig.host.device.status().state, State::Started);
    assert_eq!(next(&told), Fed::Live, "it is followed again");
    rig.make("g");
    assert_eq!(next(&told), added("g"));
    rig.faults().release();
    closing.recv_timeout(LIMIT).expect("answered").expect("closed");
}

/// A server's error ends it, once, and says why; so does a panic.
#[test]
fn what_cannot_be_followed_is_said_once() {
    let rig = Rig::started();
    let (_, told) = rig.follow(&["missing"]);
    let missing = next(&told);
    assert!(
        matches!(missing, Fed::Failed(status) if status.errno() == Errno::ENOENT),
        "{missing:?}"
    );
    let denied = Status::Posix(Errno::EACCES);
    rig.plan(FaultPlan::none().with(Callout::NotifyChangeDirectory, Fault::Error(denied)));
    let (_, told) = rig.follow(&[]);
    assert_eq!(next(&told), Fed::Failed(denied));
    rig.plan(FaultPlan::none().with(Callout::Open, Fault::Panic));
    let (_, told) = rig.follow(&[]);
    assert_eq!(next(&told), Fed::Failed(Status::Unsuccessful));
    assert!(told.recv_timeout(Duration::ZERO).is_err(), "once");
}

/// One open that hangs is no other feed's matter: those are followed, and told, meanwhile.
#[test]
fn an_open_that_hangs_holds_up_no_other_feed() {
    for callout in [Callout::Lookup, Callout::Open] {
        let rig = Rig::started();
        rig.make("d");
        let (_, before) = rig.follow(&[]);
        assert_eq!(next(&before), Fed::Live);
        rig.plan(FaultPlan::none().with(callout, Fault::HangUncancellable));
        let (given_up, nothing) = rig.follow(&["d"]);
        let (_, hung) = rig.follow(&["d"]);
        assert!(rig.faults().wait_until_inside(callout, 2, LIMIT), "{callout:?} hangs");
        rig.plan(FaultPlan::none());
        let (_, beside) = rig.follow(&[]);
        assert_eq!(next(&beside), Fed::Live, "{callout:?}");
        rig.make("x");
        assert_eq!(next(&before), added("x"));
        assert_eq!(next(&beside), added("x"));
        rig.host.device.unfollow(given_up);
        rig.make("y");
        assert_eq!(next(&before), added("y"));
        assert!(hung.recv_timeout(Duration::ZERO).is_err(), "it hangs still");
        rig.faults().release();
        assert_eq!(next(&hung), Fed::Live, "{callout:?}");
        assert!(nothing.recv_timeout(Duration::ZERO).is_err(), "nobody listens");
    }
}

/// A few are opened at once; the others wait for their turn, and get it.
#[test]
fn more_feeds_than_are_opened_at_once_come_one_after_another() {
    let rig = Rig::started();
    rig.make("d");
    rig.plan(FaultPlan::none().with(Callout::Open, Fault::HangUncancellable));
    let feeds: Vec<_> = (0..2 * FEED_OPENS_MAX).map(|_| rig.follow(&["d"]).1).collect();
    assert!(rig.faults().wait_until_inside(Callout::Open, FEED_OPENS_MAX, LIMIT), "they hang");
    rig.plan(FaultPlan::none());
    rig.faults().release();
    for told in &feeds {
        assert_eq!(next(told), Fed::Live);
    }
}

/// An open has as long as a request; then it has failed, whatever comes of it later.
#[test]
fn an_open_that_takes_too_long_has_failed() {
    let request_deadline = Some(Duration::from_millis(100));
    let rig = Rig::with(DeviceOptions { request_deadline, ..DeviceOptions::default() });
    rig.plan(FaultPlan::none().with(Callout::Open, Fault::HangUncancellable));
    let (_, told) = rig.follow(&[]);
    assert_eq!(next(&told), Fed::Failed(Status::IoTimeout));
    rig.plan(FaultPlan::none());
    rig.faults().release();
    wait_until("what came too late is closed", || rig.faults().calls(Callout::Close) == 1);
    assert!(told.recv_timeout(Duration::ZERO).is_err(), "once");
}
