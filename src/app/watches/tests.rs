//! Watches of several providers: which device is followed, and what a change of hands is to them.

use super::*;
use crate::app::config::MountConfig;
use crate::app::devices::{Devices, Given};
use crate::app::namespace::ProviderConfig;
use crate::app::namespace::members::Shown as Member;
use crate::app::options::MountOptions;
use crate::app::source::Source;
use crate::app::unsent::keeper::Keeper;
use crate::base::clock::SystemClock;
use crate::base::ids::{Caller, Generation};
use crate::base::stop::{CallResult, Notice, StopOptions};
use crate::mgmt::authz::Policy;
use crate::mgmt::events::EventQueue;
use crate::mrx::request::NewNode;
use crate::rdbss::notice::Observer;
use crate::rdbss::operation::{Answer, Creation, Dispatcher, Operation, Responder};
use std::sync::mpsc::{Sender, channel};

const LIMIT: Duration = Duration::from_secs(20);

struct Deaf;

impl Observer for Deaf {
    fn notice(&self, _: Generation, _: Notice) {}
}

/// A mount of several providers without a kernel.
struct Rig {
    devices: Devices,
    keeper: Arc<Keeper>,
    _state: tempfile::TempDir,
}

fn provider(name: &str, prefix: &str) -> ProviderConfig {
    let prefix = NetName::parse(prefix.as_bytes()).expect("a path");
    let (prefixes, source) = (vec![prefix], Source::Memory);
    ProviderConfig { name: name.to_owned(), prefixes, source, options: vec![] }
}

impl Rig {
    fn new(providers: Vec<ProviderConfig>) -> Self {
        let (clock, state) = (SystemClock::shared(), tempfile::tempdir().expect("a directory"));
        let config = MountConfig {
            name: "net".to_owned(),
            source: Source::Namespace("net.toml".into()),
            providers,
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

    /// Starts the mount's own device, and with it those of its shares.
    fn start(&self) {
        start(&self.devices.device);
    }

    fn members(&self) -> Arc<Members> {
        self.devices.members.clone().expect("several providers")
    }

    fn share(&self, name: &str) -> Arc<Member> {
        let all = self.members().all();
        all.iter().find(|shown| shown.name == name).expect("a share").clone()
    }

    fn watch(&self, path: &str) -> Box<dyn Sightings> {
        self.devices.watches.watch(path.as_bytes()).expect("a share has it")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        stop(&self.devices.device);
        self.members().all().iter().for_each(|shown| stop(&shown.device));
        self.devices.shut_down();
        self.keeper.close();
    }
}

fn start(device: &Device) {
    let called = device.start(Caller::default()).expect("taken");
    let report = device.wait_report(called).expect("a result");
    assert_eq!((report.result, report.error), (CallResult::Success, None));
}

fn stop(device: &Device) {
    let called = device.stop(Caller::default(), StopOptions::default()).expect("taken");
    let report = device.wait_report(called).expect("a result");
    assert!(matches!(report.result, CallResult::Success | CallResult::AlreadyStopped));
}

struct Tell(Sender<Result<Answer, Status>>);

impl Responder for Tell {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        self.0.send(answer).expect("the test waits");
    }
}

/// Makes a directory in the root of a share, as the kernel would.
fn make(shown: &Member, name: &str) {
    let (sender, answer) = channel();
    let operation = Operation::MakeNode {
        parent: shown.device.root(),
        name: Name::new(name.as_bytes()).expect("a name"),
        node: NewNode::Directory,
        creation: Creation { permissions: 0o755, umask: 0 },
    };
    shown.device.submit(Caller::default(), operation, Box::new(Tell(sender)));
    answer.recv_timeout(LIMIT).expect("answered").expect("made");
}

#[track_caller]
fn next(watch: &mut Box<dyn Sightings>) -> (WatchKind, String) {
    match watch.next(LIMIT) {
        NextSighting::Seen(seen) => {
            (seen.kind, String::from_utf8(seen.path).expect("a plain path"))
        }
        other => panic!("{other:?}"),
    }
}

fn seen(kind: WatchKind, path: &str) -> (WatchKind, String) {
    (kind, path.to_owned())
}

/// S-137: the watch goes on with the next provider of its prefix, with exactly one resync; of
/// another prefix nothing is told.
#[test]
fn s137_a_watch_survives_the_swap_of_its_owner() {
    let rig = Rig::new(vec![provider("first", "/srv1/docs"), provider("other", "/srv1/scratch")]);
    rig.start();
    let (first, other) = (rig.share("first"), rig.share("other"));
    rig.members().add(&provider("second", "/srv1/docs")).expect("added");
    let second = rig.share("second");
    let mut docs = rig.watch("/srv1/docs");
    let mut scratch = rig.watch("/srv1/scratch");
    assert_eq!(next(&mut docs), seen(WatchKind::Watching, "/srv1/docs"));
    assert_eq!(next(&mut scratch), seen(WatchKind::Watching, "/srv1/scratch"));
    make(&first, "a");
    assert_eq!(next(&mut docs), seen(WatchKind::Created, "/srv1/docs/a"));

    stop(&first.device);
    assert_eq!(first.device.feeds(), 0, "the owner before follows nothing");
    start(&second.device);
    assert_eq!(next(&mut docs), seen(WatchKind::Resync, "/srv1/docs"));
    make(&second, "b");
    assert_eq!(next(&mut docs), seen(WatchKind::Created, "/srv1/docs/b"), "one resync");
    make(&other, "c");
    assert_eq!(next(&mut scratch), seen(WatchKind::Created, "/srv1/scratch/c"), "no resync");
    drop(docs);
    drop(scratch);
}

/// A watch may come before its share serves, and waits for it.
#[test]
fn a_watch_waits_for_its_share() {
    let rig = Rig::new(vec![provider("docs", "/srv1/docs")]);
    let mut docs = rig.watch("/srv1/docs");
    assert_eq!(docs.next(Duration::ZERO), NextSighting::Timeout);
    rig.start();
    assert_eq!(next(&mut docs), seen(WatchKind::Watching, "/srv1/docs"));
    // What is above a share is the router's own, and nobody's to watch.
    for path in ["/", "/srv1", "/srv2/docs", "/srv1/docs2"] {
        let refused = rig.devices.watches.watch(path.as_bytes()).map(drop);
        assert!(matches!(refused, Err(ControlError::Refused(_))), "{path}");
    }
    assert!(
        rig.devices.watches.watch(b"srv1").is_err()
            && rig.devices.watches.watch(b"/a/../b").is_err()
    );
    // The daemon ends.
    rig.devices.watches.stop();
    assert_eq!(docs.next(LIMIT), NextSighting::Ended);
}

/// The second watch of a path learns what the first one did, and the last one gone ends it.
#[test]
fn the_last_watch_of_a_path_lets_go_of_it() {
    let rig = Rig::new(vec![provider("docs", "/srv1/docs")]);
    rig.start();
    let share = rig.share("docs");
    let mut first = rig.watch("/srv1/docs");
    assert_eq!(next(&mut first).0, WatchKind::Watching);
    let mut second = rig.watch("/srv1/docs");
    assert_eq!(next(&mut second).0, WatchKind::Watching);
    assert_eq!(share.device.feeds(), 1, "followed once for both");
    drop(first);
    make(&share, "a");
    assert_eq!(next(&mut second), seen(WatchKind::Created, "/srv1/docs/a"));
    drop(second);
    let clock = SystemClock::new();
    while share.device.feeds() > 0 {
        assert!(clock.now() < Moment(0).after(LIMIT), "it is followed for ever");
        std::thread::yield_now();
    }
}
