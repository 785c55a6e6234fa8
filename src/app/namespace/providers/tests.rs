//! What is asked of the providers of a mount, over real devices and without a kernel.

use super::*;
use crate::app::config::MountConfig;
use crate::app::devices::{Devices, Given};
use crate::app::namespace::NetName;
use crate::app::options::MountOptions;
use crate::app::unsent::keeper::Keeper;
use crate::base::clock::{Clock, SystemClock};
use crate::base::ids::{Generation, HandleNumber};
use crate::base::name::Name;
use crate::base::status::Status;
use crate::front::namespace::Member;
use crate::mgmt::authz::Policy;
use crate::mgmt::events::{Cursor, EventQueue};
use crate::mgmt::proto::EventKind;
use crate::rdbss::operation::operand::{Access, OpenOptions};
use crate::rdbss::operation::{Answer as Answered, Creation, Operation, Responder};
use std::cell::Cell;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicU32, Ordering};
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

/// Name, prefixes, source, options.
type Wanted<'a> = (&'a str, &'a [&'a str], &'a str, &'a [(&'a str, &'a str)]);

const DOCS: Wanted<'_> = ("docs", &["/srv1/docs"], "memory:", &[]);
const TMP: Wanted<'_> = ("tmp", &["/srv1/tmp", "/srv2/tmp"], "memory:", &[]);

fn provider(&(name, prefixes, source, options): &Wanted<'_>) -> ProviderConfig {
    let prefix = |text: &&str| NetName::parse(text.as_bytes()).expect("a good prefix");
    ProviderConfig {
        name: name.to_owned(),
        prefixes: prefixes.iter().map(prefix).collect(),
        source: Source::parse(OsStr::new(source)).expect("a good source"),
        options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
}

/// The devices of a mount of several providers; nothing is mounted.
struct Rig {
    devices: Devices,
    events: Arc<EventQueue>,
    keeper: Arc<Keeper>,
    _state: tempfile::TempDir,
}

impl Rig {
    fn started(wanted: &[Wanted<'_>]) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let clock = SystemClock::shared();
        let config = MountConfig {
            name: "net".to_owned(),
            source: Source::Namespace("net.toml".into()),
            providers: wanted.iter().map(provider).collect(),
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
        let events = Arc::new(EventQueue::new(clock.clone()));
        let devices = Devices::make(Given {
            config: &config,
            clock: &clock,
            events: &events,
            publisher: Arc::new(Deaf),
            keeper: keeper.clone(),
        });
        let devices = devices.expect("nothing is in the way");
        let rig = Self { devices, events, keeper, _state: state };
        let called = rig.devices.device.start(ROOT).expect("it takes calls");
        let report = rig.devices.device.wait_report(called).expect("kept");
        assert_eq!((report.result, report.error), (CallResult::Success, None));
        rig
    }

    fn providers(&self) -> Arc<Providers> {
        self.devices.providers.clone().expect("several providers")
    }

    fn members(&self) -> Arc<Members> {
        self.providers().members.clone()
    }

    fn device(&self, name: &str) -> Arc<Device> {
        let all = self.members().all();
        all.iter().find(|shown| shown.name == name).expect("a device").device.clone()
    }

    fn names(&self) -> Vec<String> {
        self.members().all().iter().map(|shown| shown.name.clone()).collect()
    }

    fn submit(&self, operation: Operation<'_>) -> Answers {
        let (sender, receiver) = channel();
        self.devices.dispatcher.submit(ROOT, operation, Box::new(Tell(sender)));
        receiver
    }

    fn call(&self, operation: Operation<'_>) -> Answered {
        let answer = self.submit(operation).recv_timeout(LIMIT);
        answer.expect("every request is answered").expect("it works")
    }

    /// Makes a file in a share and opens it.
    fn create(&self, directory: &str) -> HandleNumber {
        let mut parent = self.devices.dispatcher.root();
        for name in directory.split('/').filter(|name| !name.is_empty()) {
            let name = Name::new(name.as_bytes()).expect("a good name");
            let Answered::Node(found) = self.call(Operation::Lookup { parent, name }) else {
                panic!("LOOKUP answers with a node");
            };
            parent = found.node;
        }
        let created = self.call(Operation::Create {
            parent,
            name: Name::new(b"f").expect("a good name"),
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
        });
        let Answered::Created(_, open) = created else { panic!("CREATE answers so") };
        open.handle
    }

    fn ended(&self, called: Result<Answer<Report>, ControlError>) -> Report {
        match called.expect("it is taken") {
            Answer::Done(report) => report,
            Answer::Posted(ticket) => match self.providers().wait(ticket, LIMIT) {
                TicketState::Ended(report) => *report,
                other => panic!("ticket {ticket}: {other:?}"),
            },
        }
    }

    /// Reads this configuration, in its turn, and stops what it leaves.
    fn reload(&self, wanted: &[Wanted<'_>]) -> Result<String, String> {
        let providers = wanted.iter().map(provider).collect();
        let config = NamespaceConfig { name: None, providers };
        let (sender, receiver) = channel();
        let asked = self.providers().ask_reload(move |providers| {
            let reloaded = providers.reload(&|| Ok(config.clone()), ROOT);
            let line = reloaded.as_ref().map(|it| it.line.clone()).map_err(Clone::clone);
            if let Ok(reloaded) = reloaded {
                providers.stop_reloaded(reloaded, (ROOT, &StopOptions::default()));
            }
            let _ = sender.send(line);
        });
        asked.expect("room for a thread");
        receiver.recv_timeout(LIMIT).expect("it has its turn")
    }

    /// Stops all of it and takes it down.
    fn end(&self) {
        let device = &self.devices.device;
        // None takes calls that has been taken down.
        if let Ok(called) = device.stop(ROOT, StopOptions::default()) {
            device.wait_report(called).expect("kept");
        }
        self.providers().close();
        self.devices.shut_down();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Also of a test that has failed: threads that nobody ends would hold up all of them.
        self.end();
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

/// S-114: a removal that finds a stop under way ends as that does, and what was lost is told at the
/// end as well, when there is no such provider any more.
#[test]
fn a_removal_that_joins_a_stop_tells_what_that_lost() {
    let bad =
        ("bad", &["/srv1/bad"][..], "faulty:memory:", &[("write", "hang-uncancellable#1")][..]);
    let rig = Rig::started(&[DOCS, bad]);
    let handle = rig.create("/srv1/bad");
    let data = b"bytes"[..].into();
    let (write_back, kill_privileges) = (false, false);
    let write = Operation::Write { handle, offset: 0, data, write_back, kill_privileges };
    let written = rig.submit(write);
    let device = rig.device("bad");
    wait_until("it is on its way", || device.load().requests == 1);
    device.stop(ROOT, StopOptions::default()).expect("taken");
    let sterner = StopOptions {
        deadline_s: Some(0.1),
        on_deadline: OnDeadline::Abort,
        ..StopOptions::default()
    };
    let report = rig.ended(rig.providers().remove(ROOT, "bad", sterner));
    assert_eq!(report.result, CallResult::Lost, "{report:?}");
    let lost: Vec<_> = report.losses.iter().map(|loss| (&loss.path[..], loss.bytes)).collect();
    assert_eq!(lost, [(&b"srv1/bad/f"[..], 5)]);
    let answer = written.recv_timeout(LIMIT).expect("every request is answered");
    assert_eq!(answer.expect_err("given up"), Status::IoTimeout);
    rig.call(Operation::Release { handle });
    rig.end();
    assert_eq!(rig.names(), Vec::<String>::new());
    assert_eq!(rig.devices.all_losses(), report.losses, "told once");
}

/// S-114: a removal that is refused has changed nothing.
#[test]
fn a_removal_without_room_stops_nothing() {
    let rig = Rig::started(&[DOCS, TMP]);
    let mut ends = Vec::new();
    for _ in 0..PROVIDER_CALLS_MAX {
        let (end, ended) = channel::<()>();
        let waits = move |_: &Providers| {
            let _ = ended.recv();
        };
        rig.providers().begin(waits).expect("there is room");
        ends.push(end);
    }
    let refused = rig.providers().remove(ROOT, "docs", StopOptions::default());
    assert!(matches!(refused, Err(ControlError::TooMany)), "{refused:?}");
    assert_eq!(rig.device("docs").state(), State::Started);
    assert_eq!(rig.device("docs").status().last_stop, None);
    drop(ends);
    let taken = Cell::new(None);
    wait_until("there is room", || {
        let asked = rig.providers().remove(ROOT, "docs", StopOptions::default());
        let has_room = !matches!(asked, Err(ControlError::TooMany));
        taken.set(has_room.then_some(asked));
        has_room
    });
    let report = rig.ended(taken.take().expect("there was room"));
    assert_eq!(report.result, CallResult::Success);
}

/// S-122: one reload that is asked for while another runs, or a provider is changed, is carried
/// out after that.
#[test]
fn a_reload_waits_for_its_turn() {
    let rig = Rig::started(&[DOCS, TMP]);
    let count = Arc::new(AtomicU32::new(0));
    let ask = |until: Receiver<()>| {
        let count = count.clone();
        let asked = rig.providers().ask_reload(move |providers| {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = until.recv();
            let failed = providers.reload(&|| Err("not now".to_owned()), ROOT);
            assert_eq!(failed.err().as_deref(), Some("not now"));
        });
        asked.expect("room for a thread");
    };
    let at_once = || channel().1;
    let (end, until) = channel();
    ask(until);
    wait_until("it is read", || count.load(Ordering::SeqCst) == 1);
    ask(at_once());
    ask(at_once());
    assert_eq!(count.load(Ordering::SeqCst), 1, "one after the other");
    drop(end);
    wait_until("it is read again", || count.load(Ordering::SeqCst) == 2);
    wait_until("that is over", || rig.members().book.lock().may_begin().is_ok());
    // A provider that is changed, and the change comes to nothing.
    let providers = rig.providers();
    let (taken, entry) = providers.take("docs", Deed::Remove).expect("nothing is under way");
    ask(at_once());
    assert_eq!(count.load(Ordering::SeqCst), 2, "one after the other");
    providers.undo(entry.number, taken.ticket);
    wait_until("it is read once more", || count.load(Ordering::SeqCst) == 3);
    providers.close();
    assert_eq!(count.load(Ordering::SeqCst), 3, "those that waited were one");
}

/// Each device of what has left with a reload is stopped once.
#[test]
fn what_leaves_with_a_reload_is_stopped_once() {
    let rig = Rig::started(&[DOCS, TMP]);
    let less = ("tmp", &["/srv1/tmp"][..], "memory:", &[][..]);
    assert_eq!(rig.reload(&[DOCS, less]).as_deref(), Ok("replaced tmp; unchanged docs"));
    assert_eq!(rig.reload(&[less]).as_deref(), Ok("removed docs; unchanged tmp"));
    let stopped = || {
        let mut cursor = Cursor::oldest();
        let events = std::iter::from_fn(|| rig.events.read(&mut cursor));
        let stops =
            events.filter(|event| matches!(event.what, EventKind::Notice(Notice::Stopped { .. })));
        let first = |name: String| name.split('~').next().unwrap_or_default().to_owned();
        let mut names: Vec<String> = stops.map(|event| first(event.device)).collect();
        names.sort();
        names
    };
    wait_until("both are told", || stopped().len() >= 2);
    rig.providers().close();
    assert_eq!(stopped(), ["docs", "tmp"]);
}

/// Two devices that are made at once never have one tag, and one without a tag is not made.
#[test]
fn a_tag_is_one_device_s() {
    let rig = Rig::started(&[DOCS, TMP]);
    let members = rig.members();
    let one = members.free_tag().expect("there is one");
    let other = members.free_tag().expect("there is one");
    assert_ne!(one.tag, other.tag);
    let next = other.tag.get() + 1;
    // Nobody has it, and the dispatcher shows another by it.
    let more = ("more", &["/m/1", "/m/2", "/m/3"][..], "memory:", &[][..]);
    let second = Rig::started(&[DOCS, TMP, more]);
    let all = second.members().all();
    let foreign = all.iter().find(|shown| shown.device.tag().get() == next).expect("as many");
    let namespace = members.namespace.get().expect("attached");
    assert!(namespace.add(Member::new(foreign.device.clone())).is_ok());
    let before = rig.names();
    let failed = rig.ended(rig.providers().add(ROOT, provider(&more)));
    assert_eq!(failed.result, CallResult::Failed);
    assert!(failed.error.is_some_and(|error| error.contains("is taken")));
    assert_eq!(rig.names(), before, "nothing is left");
    namespace.remove(foreign.device.tag());
    drop((one, other));
    let added = rig.ended(rig.providers().add(ROOT, provider(&more)));
    assert_eq!(added.result, CallResult::Success, "{added:?}");
}

/// S-122: a file that says what it said touches nothing; where it says something else, it counts.
#[test]
fn commands_stay_where_the_file_says_the_same() {
    let rig = Rig::started(&[DOCS, TMP]);
    let hand = ("hand", &["/hand"][..], "memory:", &[][..]);
    let added = rig.ended(rig.providers().add(ROOT, provider(&hand)));
    assert_eq!(added.result, CallResult::Success);
    let removed = rig.ended(rig.providers().remove(ROOT, "docs", StopOptions::default()));
    assert_eq!(removed.result, CallResult::Success);
    let nothing = "nothing in the configuration has changed";
    assert_eq!(rig.reload(&[DOCS, TMP]).as_deref(), Ok(nothing));
    let moved = ("docs", &["/hand/in"][..], "memory:", &[][..]);
    let refused = rig.reload(&[moved, TMP]).expect_err("one inside another");
    assert!(refused.contains("\"/hand/in\" of provider \"docs\" in it"), "{refused}");
    let moved = ("docs", &["/srv1/other"][..], "memory:", &[][..]);
    assert_eq!(rig.reload(&[moved, TMP]).as_deref(), Ok("added docs; unchanged tmp, hand"));
    assert_eq!(rig.reload(&[moved]).as_deref(), Ok("removed tmp; unchanged docs, hand"));
    let before = ("hand", &["/other"][..], "memory:", &[][..]);
    assert_eq!(rig.reload(&[moved, before]).as_deref(), Ok("replaced hand; unchanged docs"));
}
