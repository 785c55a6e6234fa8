//! The stop of several devices as one, over real devices and without a kernel.

use super::*;
use crate::app::config::MountConfig;
use crate::app::devices::{Devices, Given};
use crate::app::events::Publisher;
use crate::app::namespace::provider::{Registration, Standing};
use crate::app::namespace::{NetName, ProviderConfig};
use crate::app::options::MountOptions;
use crate::app::source::Source;
use crate::app::unsent::keeper::Keeper;
use crate::base::clock::{Clock, SystemClock};
use crate::base::ids::{Generation, HandleNumber};
use crate::base::name::Name;
use crate::base::status::Status;
use crate::base::stop::Notice;
use crate::mgmt::authz::Policy;
use crate::mgmt::events::EventQueue;
use crate::rdbss::device::Device;
use crate::rdbss::notice::{Observer, UncProvider as _};
use crate::rdbss::operation::operand::{Access, OpenOptions};
use crate::rdbss::operation::{Answer as Answered, Creation, Node, Operation, Responder};
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// No condition is waited for longer.
const LIMIT: Duration = Duration::from_secs(30);
const ROOT: Caller = Caller::local(0, 0, 0);

type Answers = Receiver<Result<Answered, Status>>;

struct Tell(Sender<Result<Answered, Status>>);

impl Responder for Tell {
    fn respond(self: Box<Self>, answer: Result<Answered, Status>) {
        // A test that no longer listens has made its point already.
        let _ = self.0.send(answer);
    }
}

struct Deaf;

impl Observer for Deaf {
    fn notice(&self, _: Generation, _: Notice) {}
}

/// The devices of a mount of several providers; nothing is mounted.
struct Rig {
    devices: Devices,
    keeper: Arc<Keeper>,
    _state: tempfile::TempDir,
}

/// Name, prefixes, source, options.
type Wanted<'a> = (&'a str, &'a [&'a str], &'a str, &'a [(&'a str, &'a str)]);

/// Two providers, three shares.
const PLAIN: &[Wanted<'_>] = &[
    ("docs", &["/srv1/docs"], "memory:", &[]),
    ("tmp", &["/srv1/tmp", "/srv2/tmp"], "memory:", &[]),
];

impl Rig {
    fn new(providers: &[Wanted<'_>]) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let provider = |(name, prefixes, source, options): &Wanted<'_>| ProviderConfig {
            name: (*name).to_owned(),
            prefixes: prefixes
                .iter()
                .map(|prefix| NetName::parse(prefix.as_bytes()).expect("a good prefix"))
                .collect(),
            source: Source::parse(OsStr::new(source)).expect("a good source"),
            options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        let clock = SystemClock::shared();
        let config = MountConfig {
            name: "net".to_owned(),
            source: Source::Namespace("net.toml".into()),
            providers: providers.iter().map(provider).collect(),
            config_file: None,
            mount_point: "/net".into(),
            options: MountOptions::default(),
            runtime_dir: "/run/minirdr".into(),
            state_dir: state.path().join("net"),
            rpc: crate::app::RpcOptions::default(),
            policy: Policy::of_owner(0),
            notify: None,
            reader: None,
        };
        let keeper = Keeper::start("net".to_owned(), config.state_dir.clone(), clock.clone())
            .expect("room for a thread");
        let devices = Devices::make(Given {
            config: &config,
            clock: &clock,
            events: &Arc::new(EventQueue::new(clock.clone())),
            publisher: Arc::new(Deaf),
            keeper: keeper.clone(),
        });
        Self { devices: devices.expect("nothing is in the way"), keeper, _state: state }
    }

    fn started(providers: &[Wanted<'_>]) -> Self {
        let rig = Self::new(providers);
        let report = rig.start();
        assert_eq!((report.result, report.error), (CallResult::Success, None));
        rig
    }

    fn members(&self) -> Arc<Members> {
        self.devices.members.clone().expect("several providers")
    }

    fn device(&self, name: &str) -> Arc<Device> {
        let all = self.members().all();
        all.iter().find(|shown| shown.name == name).expect("a device").device.clone()
    }

    fn mount(&self) -> &Arc<Device> {
        &self.devices.device
    }

    fn start(&self) -> Report {
        let called = self.mount().start(ROOT).expect("it takes calls");
        self.mount().wait_report(called).expect("kept")
    }

    fn stop(&self, options: StopOptions) -> Report {
        let called = self.mount().stop(ROOT, options).expect("it takes calls");
        self.mount().wait_report(called).expect("kept")
    }

    fn submit(&self, operation: Operation<'_>) -> Answers {
        let (sender, receiver) = channel();
        self.devices.dispatcher.submit(ROOT, operation, Box::new(Tell(sender)));
        receiver
    }

    fn call(&self, operation: Operation<'_>) -> Result<Answered, Status> {
        self.submit(operation).recv_timeout(LIMIT).expect("every request is answered")
    }

    fn find(&self, path: &str) -> Result<Node, Status> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(
            self.devices.dispatcher.root(),
            |parent, name| {
                let name = Name::new(name.as_bytes())?;
                match self.call(Operation::Lookup { parent, name })? {
                    Answered::Node(found) => Ok(found.node),
                    other => panic!("LOOKUP was answered with {other:?}"),
                }
            },
        )
    }

    /// Makes a file and opens it.
    fn create(&self, directory: &str, name: &str) -> Result<HandleNumber, Status> {
        self.create_in(self.find(directory)?, name)
    }

    fn create_in(&self, parent: Node, name: &str) -> Result<HandleNumber, Status> {
        let create = Operation::Create {
            parent,
            name: Name::new(name.as_bytes())?,
            creation: Creation { permissions: 0o644, umask: 0 },
            exclusive: false,
            options: OpenOptions {
                access: Access::ReadWrite,
                append: false,
                truncate: false,
                direct: false,
                synchronous: false,
                kill_privileges: false,
            },
        };
        match self.call(create)? {
            Answered::Created(_, open) => Ok(open.handle),
            other => panic!("CREATE was answered with {other:?}"),
        }
    }

    fn write(&self, handle: HandleNumber) -> Answers {
        let (data, write_back, kill_privileges) = (b"bytes"[..].into(), false, false);
        self.submit(Operation::Write { handle, offset: 0, data, write_back, kill_privileges })
    }

    fn release(&self, handle: HandleNumber) {
        self.call(Operation::Release { handle }).expect("a close passes");
    }

    fn states(&self) -> Vec<State> {
        self.members().all().iter().map(|shown| shown.device.state()).collect()
    }

    fn all_are(&self, state: State) -> bool {
        self.mount().state() == state && self.states().iter().all(|other| *other == state)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let report = self.stop(StopOptions::default());
        assert!(report.result.is_stopped(), "{report:?}");
        assert!(self.all_are(State::Startable), "{:?}", self.states());
        self.devices.shut_down();
        self.keeper.close();
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let clock = SystemClock::new();
    let until = clock.now().after(LIMIT);
    while !condition() {
        assert!(clock.now() < until, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Says that it is over when it goes.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// C2 for all of the mount: from the moment a stop is answered, no share lets anything new in, and
/// when it is over every share is at rest; a start brings all of them back.
#[test]
fn a_stop_of_the_mount_is_the_stop_of_every_share() {
    let rig = Rig::started(PLAIN);
    // As the kernel has them: a shell that sits in each.
    let inside = ["/srv1/docs", "/srv1/tmp", "/srv2/tmp"].map(|path| rig.find(path).expect("up"));
    for _ in 0..20 {
        assert!(rig.all_are(State::Started));
        let Ok(Answer::Posted(ticket)) = rig.mount().stop(ROOT, StopOptions::default()) else {
            panic!("a started mount has something to do");
        };
        for directory in &inside {
            let refused = rig.create_in(directory.clone(), "late").expect_err("at once");
            assert_eq!(refused, Status::RedirectorNotStarted);
        }
        let TicketState::Ended(report) = rig.mount().wait_ticket(ticket, LIMIT) else {
            panic!("it ends");
        };
        assert_eq!((report.result, report.error), (CallResult::Success, None));
        assert!(rig.all_are(State::Startable), "{:?}", rig.states());
        assert_eq!(rig.start().result, CallResult::Success);
    }
}

/// Stops, starts and resumes of the mount, and stops and starts of a provider, in any order and
/// side by side: once the last stop of the mount has its result, no share runs, and none starts.
#[test]
fn no_share_outlives_the_stop_of_its_mount() {
    let rig = Rig::started(PLAIN);
    let over = AtomicBool::new(false);
    let (docs, tmp) = (rig.device("docs"), rig.device("tmp"));
    std::thread::scope(|scope| {
        for device in [&docs, &tmp] {
            scope.spawn(|| {
                let mut random = fastrand::Rng::with_seed(7);
                while !over.load(Ordering::Acquire) {
                    // A full queue is an answer, too.
                    match random.u8(0..3) {
                        0 => drop(device.stop(ROOT, StopOptions::default())),
                        1 => drop(device.resume()),
                        _ => drop(device.start(ROOT)),
                    }
                    std::thread::park_timeout(Duration::from_micros(200));
                }
            });
        }
        // Set when a check below fails, too.
        let _end = End(&over);
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..60 {
            for _ in 0..random.u8(0..4) {
                match random.u8(0..3) {
                    0 => drop(rig.mount().stop(ROOT, StopOptions::default())),
                    1 => drop(rig.mount().resume()),
                    _ => drop(rig.mount().start(ROOT)),
                }
            }
            let called = loop {
                // The queue may be full for a moment.
                if let Ok(called) = rig.mount().stop(ROOT, StopOptions::default()) {
                    break called;
                }
                std::thread::yield_now();
            };
            let report = rig.mount().wait_report(called).expect("kept");
            assert!(report.result.is_stopped(), "round {round}: {report:?}");
            // Calls that were posted for it may be on their way still; what they ask for is
            // refused.
            for shown in rig.members().all() {
                assert_ne!(shown.device.state(), State::Started, "round {round}: {}", shown.name);
            }
            rig.find("/srv1/docs").expect_err("nothing is served");
        }
    });
}

/// `refuse_if_busy` looks at every share before it touches any, and names who is in the way,
/// wherever that is (C5).
#[test]
fn a_busy_share_makes_the_mount_busy_and_nothing_changes() {
    let rig = Rig::started(PLAIN);
    let handle = rig.create("/srv2/tmp", "held").expect("started");
    let generations = |rig: &Rig| {
        let all = rig.members().all();
        all.iter().map(|shown| shown.device.status().last_stop.is_some()).collect::<Vec<_>>()
    };
    let refuse = StopOptions { refuse_if_busy: true, ..StopOptions::default() };
    let report = rig.stop(refuse.clone());
    assert_eq!((report.result, report.survivors_total), (CallResult::HasOpenHandles, 1));
    assert_eq!(report.survivors[0].path, b"srv2/tmp/held");
    assert!(rig.all_are(State::Started));
    assert_eq!(generations(&rig), [false; 3], "no share was asked");
    rig.release(handle);
    assert_eq!(rig.stop(refuse).result, CallResult::Success);
    assert!(rig.all_are(State::Startable));
}

/// S2: a stop that is taken back when some shares have stopped already starts them again; those
/// that were stopped by somebody else before stay so.
#[test]
fn a_stop_that_is_taken_back_leaves_every_share_as_it_was() {
    let slow: &[Wanted<'_>] = &[
        ("docs", &["/srv1/docs"], "memory:", &[]),
        ("off", &["/srv1/off"], "memory:", &[]),
        ("slow", &["/srv2/slow"], "faulty:memory:", &[("write", "hang#1")]),
    ];
    let rig = Rig::started(slow);
    let off = rig.device("off").stop(ROOT, StopOptions::default()).expect("taken");
    assert!(rig.device("off").wait_report(off).expect("kept").result.is_stopped());
    let handle = rig.create("/srv2/slow", "f").expect("started");
    // Cancellable: a drain would cancel it. The mount's own stop is taken back before.
    let pause = StopOptions { grace_s: Some(600.0), ..StopOptions::default() };
    let Ok(Answer::Posted(ticket)) = rig.mount().stop(ROOT, pause) else { panic!("posted") };
    wait_until("docs has stopped", || rig.device("docs").state() == State::Startable);
    assert_eq!(rig.mount().state(), State::Paused, "a handle is open");
    assert_eq!(rig.mount().resume(), Ok(CallResult::Success));
    let TicketState::Ended(report) = rig.mount().wait_ticket(ticket, LIMIT) else {
        panic!("it ends");
    };
    assert_eq!(report.result, CallResult::RolledBack);
    wait_until("docs serves again", || rig.find("/srv1/docs").is_ok());
    assert_eq!(rig.device("slow").state(), State::Started);
    assert_eq!(rig.device("off").state(), State::Startable, "that was somebody else's");
    rig.release(handle);
}

/// What a share loses in the mount's stop is in the mount's report, also when a second stop came
/// meanwhile (S1, S6).
#[test]
fn a_loss_of_a_share_is_in_the_report_of_the_mount() {
    let hangs: &[Wanted<'_>] = &[
        ("docs", &["/srv1/docs"], "memory:", &[]),
        ("bad", &["/srv1/bad"], "faulty:memory:", &[("write", "hang-uncancellable#1")]),
    ];
    let rig = Rig::started(hangs);
    let handle = rig.create("/srv1/bad", "f").expect("started");
    let written = rig.write(handle);
    wait_until("it is on its way", || rig.device("bad").load().requests == 1);
    let first = rig.mount().stop(ROOT, StopOptions::default()).expect("taken");
    let sterner = StopOptions {
        deadline_s: Some(0.1),
        on_deadline: OnDeadline::Abort,
        ..StopOptions::default()
    };
    let second = rig.mount().stop(ROOT, sterner).expect("taken");
    let report = rig.mount().wait_report(first).expect("kept");
    assert_eq!(report.result, CallResult::Lost, "{report:?}");
    let lost: Vec<_> = report.losses.iter().map(|loss| (&loss.path[..], loss.bytes)).collect();
    assert_eq!(lost, [(&b"srv1/bad/f"[..], 5)]);
    assert_eq!(report.survivors_total, 1);
    let report = rig.mount().wait_report(second).expect("kept");
    assert_eq!((report.result, report.losses), (CallResult::AlreadyStopped, Vec::new()));
    let answer = written.recv_timeout(LIMIT).expect("every request is answered");
    assert_eq!(answer.expect_err("given up"), Status::IoTimeout);
    // Told once, whoever tells it.
    assert_eq!(rig.devices.last_losses().len(), 1);
    rig.release(handle);
}

/// A mount that is just made does not begin without one of its shares; it says which, leaves
/// nothing started, and begins once the share is there.
#[test]
fn a_mount_begins_with_all_of_its_shares_or_not_at_all() {
    let wanted: &[Wanted<'_>] = &[
        ("docs", &["/srv1/docs", "/srv3/docs"], "memory:", &[]),
        ("tmp", &["/srv1/tmp"], "memory:", &[]),
    ];
    let (rig, other) = (Rig::new(wanted), Rig::started(PLAIN));
    let taken = NetName::parse(b"/srv3/docs").expect("a good prefix");
    let router = rig.members().parts.router.clone();
    let events = Arc::new(EventQueue::new(SystemClock::shared()));
    let publisher = Publisher::new("squatter", events);
    let stands = Standing { above: Arc::downgrade(other.mount()), beside: false, publisher };
    let squatter = Registration::new("squatter".to_owned(), router, taken, stands);
    squatter.register().expect("nobody owns it yet");
    for _ in 0..3 {
        let report = rig.start();
        assert_eq!(report.result, CallResult::Failed);
        let error = report.error.expect("it says why");
        assert!(error.contains("/srv3/docs"), "{error}");
        assert!(rig.all_are(State::Startable), "{:?}", rig.states());
        rig.find("/srv1/tmp").expect_err("nothing is served");
    }
    assert_eq!(squatter.deregister(), ["/srv3/docs"]);
    assert_eq!(rig.start().result, CallResult::Success);
    rig.find("/srv1/docs").expect("served");
    rig.find("/srv3/docs").expect("served");
    rig.find("/srv1/tmp").expect("served");
}

/// A provider's share cannot be started on its own while its mount is stopped: a mount that says
/// stopped is stopped.
#[test]
fn a_share_does_not_start_in_a_stopped_mount() {
    let rig = Rig::started(PLAIN);
    assert_eq!(rig.stop(StopOptions::default()).result, CallResult::Success);
    let docs = rig.device("docs");
    let called = docs.start(ROOT).expect("taken");
    let report = docs.wait_report(called).expect("kept");
    assert_eq!(report.result, CallResult::Failed);
    let error = report.error.expect("it says why");
    assert!(error.contains("is stopped"), "{error}");
    assert!(rig.all_are(State::Startable));
}

/// A share whose own stop is taken back while its mount's goes on is asked again: the mount does
/// not say stopped before it is, nor wait for ever.
#[test]
fn a_share_that_goes_on_by_itself_is_stopped_all_the_same() {
    let rig = Rig::started(PLAIN);
    let (docs, handle) = (rig.device("docs"), rig.create("/srv1/docs", "f").expect("started"));
    let grace = StopOptions { grace_s: Some(600.0), ..StopOptions::default() };
    let called = rig.mount().stop(ROOT, grace).expect("taken");
    assert_eq!(docs.state(), State::Paused, "a handle is open");
    assert_eq!(docs.resume(), Ok(CallResult::Success));
    assert_eq!(docs.state(), State::Started);
    rig.release(handle);
    let Answer::Posted(ticket) = called else { panic!("it had something to do") };
    let TicketState::Ended(report) = rig.mount().wait_ticket(ticket, LIMIT) else {
        panic!("it ends");
    };
    assert_eq!(report.result, CallResult::Success);
    assert!(rig.all_are(State::Startable), "{:?}", rig.states());
}

/// What was replaced and drains still is part of the mount: a stop of that is not over before it
/// is, and tells what it loses; also when nothing else of the mount is to be stopped.
#[test]
fn what_has_left_is_stopped_and_told_with_its_mount() {
    for alone in [false, true] {
        let hangs: &[Wanted<'_>] = &[
            ("docs", &["/srv1/docs"], "memory:", &[]),
            ("bad", &["/srv1/bad"], "faulty:memory:", &[("write", "hang-uncancellable#1")]),
        ];
        let rig = Rig::started(hangs);
        let handle = rig.create("/srv1/bad", "f").expect("started");
        let written = rig.write(handle);
        let bad = rig.device("bad");
        wait_until("it is on its way", || bad.load().requests == 1);
        let providers = rig.devices.providers.clone().expect("several providers");
        let fresh = ("bad", Source::Memory, Vec::new());
        let options = StopOptions::default();
        let Ok(Answer::Posted(replaced)) = providers.replace(ROOT, fresh, options) else {
            panic!("it takes a while");
        };
        wait_until("it has left", || bad.state() == State::Draining);
        if alone {
            // All that is in the mount still; what has left goes on draining.
            rig.members().all().iter().filter(|shown| !shown.leaving).for_each(|shown| {
                drop(shown.device.stop(ROOT, StopOptions::default()));
            });
        }
        let sterner = StopOptions {
            deadline_s: Some(0.1),
            on_deadline: OnDeadline::Abort,
            ..StopOptions::default()
        };
        let report = rig.stop(sterner);
        assert_eq!(report.result, CallResult::Lost, "{report:?}");
        let lost: Vec<_> = report.losses.iter().map(|loss| (&loss.path[..], loss.bytes)).collect();
        assert_eq!(lost, [(&b"srv1/bad/f"[..], 5)]);
        let TicketState::Ended(report) = providers.wait(replaced, LIMIT) else { panic!("ends") };
        assert_eq!(report.result, CallResult::Lost, "{report:?}");
        assert!(written.recv_timeout(LIMIT).expect("answered").is_err());
        rig.release(handle);
        providers.close();
    }
}
