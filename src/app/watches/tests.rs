//! Watches of several providers: which device is followed, and what a change of hands is to them.

use super::*;
use crate::app::namespace::ProviderConfig;
use crate::app::namespace::kernel_names::MountNames;
use crate::app::namespace::members::{Parts, Shown as Member};
use crate::app::source::Source;
use crate::base::clock::SystemClock;
use crate::base::ids::{Caller, LossNumber};
use crate::base::stop::{CallResult, StopOptions};
use crate::mgmt::events::EventQueue;
use crate::mrx::request::NewNode;
use crate::mup::router::{Outside, RouterOptions};
use crate::rdbss::notice::{Kept, LossKeeper, LostWrite};
use crate::rdbss::operation::{Answer, Creation, Dispatcher, Operation, Responder};
use crate::rdbss::register::DeviceOptions;
use std::sync::mpsc::{Sender, channel};

const LIMIT: Duration = Duration::from_secs(20);

struct NothingIsLost;

impl LossKeeper for NothingIsLost {
    fn keep(&self, _: LossNumber, lost: LostWrite) {
        panic!("lost: {lost:?}");
    }

    fn arrived(&self, _: LossNumber) {}

    fn settle(&self, _: Duration) -> bool {
        true
    }

    fn kept(&self, _: LossNumber) -> Kept {
        Kept::default()
    }
}

/// A mount of several providers without a kernel.
struct Rig {
    watches: Arc<Watches>,
    members: Arc<Members>,
}

impl Rig {
    fn new() -> Self {
        let clock = SystemClock::shared();
        let watches = Watches::new(clock.clone());
        let (agent, upstream) = watches.outside();
        let kernel = Arc::new(MountNames::default());
        let outside = Outside { agent: Some(agent), kernel, upstream };
        let router = Arc::new(Router::new(clock.clone(), outside, RouterOptions::default()));
        let members = Members::new(Parts {
            clock: clock.clone(),
            events: Arc::new(EventQueue::new(clock)),
            options: DeviceOptions::default(),
            keeper: Arc::new(NothingIsLost),
            router: router.clone(),
        });
        watches.show_members(&members);
        watches.start(router).expect("room for a thread");
        Self { watches, members }
    }

    fn add(&self, name: &str, prefix: &str) -> Arc<Member> {
        let prefix = NetName::parse(prefix.as_bytes()).expect("a path");
        let (prefixes, source) = (vec![prefix], Source::Memory);
        let config = ProviderConfig { name: name.to_owned(), prefixes, source, options: vec![] };
        self.members.add(&config).expect("added").remove(0)
    }

    fn watch(&self, path: &str) -> Box<dyn Sightings> {
        self.watches.watch(path.as_bytes()).expect("a share has it")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.watches.stop();
        for shown in self.members.all() {
            stop(&shown);
            self.members.remove(&shown);
        }
    }
}

fn start(shown: &Member) {
    let called = shown.device.start(Caller::default()).expect("taken");
    shown.started(called).expect("started");
}

fn stop(shown: &Member) {
    let called = shown.device.stop(Caller::default(), StopOptions::default()).expect("taken");
    let report = shown.device.wait_report(called).expect("a result");
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
    let rig = Rig::new();
    let (first, second) = (rig.add("first", "/srv1/docs"), rig.add("second", "/srv1/docs"));
    let other = rig.add("other", "/srv1/scratch");
    start(&first);
    start(&other);
    let mut docs = rig.watch("/srv1/docs");
    let mut scratch = rig.watch("/srv1/scratch");
    assert_eq!(next(&mut docs), seen(WatchKind::Watching, "/srv1/docs"));
    assert_eq!(next(&mut scratch), seen(WatchKind::Watching, "/srv1/scratch"));
    make(&first, "a");
    assert_eq!(next(&mut docs), seen(WatchKind::Created, "/srv1/docs/a"));

    stop(&first);
    assert_eq!(first.device.feeds(), 0, "the owner before follows nothing");
    start(&second);
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
    let rig = Rig::new();
    let share = rig.add("docs", "/srv1/docs");
    let mut docs = rig.watch("/srv1/docs");
    assert_eq!(docs.next(Duration::ZERO), NextSighting::Timeout);
    start(&share);
    assert_eq!(next(&mut docs), seen(WatchKind::Watching, "/srv1/docs"));
    // What is above a share is the router's own, and nobody's to watch.
    for path in ["/", "/srv1", "/srv2/docs", "/srv1/docs2"] {
        let refused = rig.watches.watch(path.as_bytes()).map(drop);
        assert!(matches!(refused, Err(ControlError::Refused(_))), "{path}");
    }
    assert!(rig.watches.watch(b"srv1").is_err() && rig.watches.watch(b"/a/../b").is_err());
    // The daemon ends.
    rig.watches.stop();
    assert_eq!(docs.next(LIMIT), NextSighting::Ended);
}

/// The second watch of a path learns what the first one did, and the last one gone ends it.
#[test]
fn the_last_watch_of_a_path_lets_go_of_it() {
    let rig = Rig::new();
    let share = rig.add("docs", "/srv1/docs");
    start(&share);
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
