//! What a stop cannot save is kept, and can be put on the server again (design README, invariant
//! 9): the core and the keeper together, without a kernel.

mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, LIMIT, wait_until};
use minirdr::app::unsent::keeper::Keeper;
use minirdr::app::unsent::replay::{Replay, discard};
use minirdr::base::clock::{Clock, SystemClock};
use minirdr::base::ids::{Caller, HandleNumber};
use minirdr::base::name::Name;
use minirdr::base::status::{Errno, Status};
use minirdr::base::stop::{CallResult, Notice, OnDeadline, Report, StopMode, StopOptions};
use minirdr::base::unsent::{UnsentEntry, UnsentOutcome, UnsentResult};
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::rdbss::notice::LossKeeper as _;
use minirdr::rdbss::operation::operand::{Access, OpenOptions};
use minirdr::rdbss::operation::{Answer, Creation, Node, Operation};
use minirdr::rdbss::register::DeviceOptions;
use minirdr::redirectors::faulty::{Callout, Fault, FaultControl, FaultPlan, Faulty};
use minirdr::redirectors::memory::{Memory, MemoryOptions, MemoryServer};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

fn scratch() -> TempDir {
    tempfile::tempdir().expect("room in /tmp")
}

fn keeper(state: &Path) -> Arc<Keeper> {
    let clock = SystemClock::shared();
    Keeper::start("test".to_owned(), state.join("test"), clock).expect("room for a thread")
}

/// A host of `null` with a keeper, and a handle on its file `f`.
fn with_keeper(null: &Arc<Null>, state: &Path) -> (Host, Arc<Keeper>, HandleNumber) {
    let host = Host::started(Arc::new(NullRedirector(null.clone())));
    let keeper = keeper(state);
    host.device.attach_keeper(keeper.clone());
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    let handle = host.open(&file, Access::Write).expect("opens");
    (host, keeper, handle)
}

fn write(handle: HandleNumber, offset: u64, data: &[u8], write_back: bool) -> Operation<'static> {
    let data = data.to_vec().into();
    Operation::Write { handle, offset, data, write_back, kill_privileges: false }
}

fn cancelling(seconds: f64) -> StopOptions {
    let on_deadline = OnDeadline::Cancel;
    StopOptions { deadline_s: Some(seconds), on_deadline, ..StopOptions::default() }
}

/// The bytes that a report says are kept.
fn kept(report: &Report) -> Vec<Vec<u8>> {
    let files = report.losses.iter().map(|loss| loss.kept_in.clone().expect("kept"));
    files.map(|file| std::fs::read(file).expect("on disk when the report is told")).collect()
}

/// S-51: what a stop gives up on is kept with its bytes, also what only waited for a worker.
#[test]
fn a_write_that_is_given_up_on_is_kept() {
    let (state, null) = (scratch(), Null::posted());
    let (host, keeper, handle) = with_keeper(&null, state.path());
    null.hold("write", Hold::Stubbornly);
    let datas: Vec<Vec<u8>> = (0..12).map(|number| vec![number; 7]).collect();
    let answers: Vec<_> = datas
        .iter()
        .zip(0..)
        .map(|(data, number)| host.submit(write(handle, number * 7, data, false)))
        .collect();
    wait_until("one hangs", || null.inside("write") > 0);
    let report = host.stop_with(cancelling(0.05));
    assert_eq!((report.result, report.losses.len()), (CallResult::Lost, 12));
    for answer in answers {
        assert_eq!(answer.recv_timeout(LIMIT).expect("let go").err(), Some(Status::IoTimeout));
    }
    assert_eq!(kept(&report), datas);
    assert_eq!(report.losses[0].written_by, host.caller);
    let entries = keeper.entries().expect("readable");
    let offsets: Vec<_> = entries.iter().map(|entry| entry.offset).collect();
    assert_eq!(offsets, (0..12).map(|number| Some(number * 7)).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| entry.file_number != 0 && !entry.arrived));
    assert!(report.steps.iter().any(|step| step.step == "keep_unsent"));
    // A loss that was told is not unsent besides, though the server hangs in it still.
    assert!(null.inside("write") > 0);
    assert_eq!(host.device.status().unsent_bytes, 0);

    // S-54: those that had begun reach the server when it comes back; those that had not never do.
    null.release();
    wait_until("every context has ended", || host.device.requests().is_empty());
    assert!(keeper.settle(LIMIT));
    let late = host.device.status().arrived_total;
    assert!((1..=12).contains(&late), "{late}");
    let entries = keeper.entries().expect("readable");
    assert_eq!(entries.iter().filter(|entry| entry.arrived).count() as u64, late);
    let told = host.notices.kinds().iter().filter(|kind| *kind == "arrived").count() as u64;
    assert_eq!(told, late);
    host.release(handle).expect("a survivor closes");
}

/// S-51: a write on the thread that serves the kernel cannot be kept, and that is said.
#[test]
fn a_write_that_is_not_at_hand_is_named() {
    let (state, null) = (scratch(), Null::inline());
    let (host, keeper, handle) = with_keeper(&null, state.path());
    null.hold("write", Hold::Stubbornly);
    std::thread::scope(|scope| {
        let host = &host;
        let hung = scope.spawn(move || host.call(write(handle, 0, b"12345", false)));
        wait_until("it hangs", || null.inside("write") == 1);
        let report = host.stop_with(cancelling(0.05));
        assert_eq!((report.result, report.losses.len()), (CallResult::Lost, 1));
        let loss = &report.losses[0];
        assert_eq!((loss.bytes, loss.kept_in.as_ref()), (5, None));
        assert!(loss.error.ends_with("not kept: its bytes were not at hand"), "{}", loss.error);
        null.release();
        let answer = hung.join().expect("no panic");
        assert_eq!(answer.err(), Some(Status::IoTimeout));
    });
    assert!(keeper.settle(LIMIT));
    assert!(keeper.entries().expect("readable")[0].arrived, "it came through in the end");
    host.release(handle).expect("a survivor closes");
}

/// S-51, G3: page write-back that fails is kept, posted or not, and named once.
#[test]
fn page_write_back_that_fails_is_kept() {
    for null in [Null::posted(), Null::inline()] {
        let state = scratch();
        let (host, keeper, handle) = with_keeper(&null, state.path());
        null.hold("write", Hold::Fail);
        assert!(host.call(write(handle, 4096, b"page", true)).is_err());
        assert!(host.call(write(handle, 0, b"told", false)).is_err(), "its caller knows: no loss");
        null.release();
        assert!(keeper.settle(LIMIT), "kept without a stop");
        assert_eq!(keeper.summary().bytes, 4);
        let report = host.stop();
        assert_eq!((report.result, report.losses.len()), (CallResult::Lost, 1));
        assert_eq!(kept(&report), [b"page".to_vec()]);
        host.release(handle).expect("a survivor closes");
    }
}

/// A page write-back that is given up on and fails later is named once.
#[test]
fn a_write_back_is_lost_once() {
    let (state, null) = (scratch(), Null::posted());
    let (host, keeper, handle) = with_keeper(&null, state.path());
    null.hold("write", Hold::Cancellably);
    let hung = host.submit(write(handle, 0, b"page", true));
    wait_until("it hangs", || null.inside("write") == 1);
    let report = host.stop_with(cancelling(0.05));
    assert_eq!((report.result, report.losses.len()), (CallResult::Lost, 1));
    assert_eq!(hung.recv_timeout(LIMIT).expect("let go").err(), Some(Status::IoTimeout));
    wait_until("it has failed", || host.device.requests().is_empty());
    assert!(keeper.settle(LIMIT));
    assert_eq!(keeper.entries().expect("readable").len(), 1);
    assert!(host.device.take_losses().is_empty());
    host.release(handle).expect("a survivor closes");
}

/// S1, S2: a stop that is rolled back has lost nothing.
#[test]
fn s2_a_stop_that_is_rolled_back_has_lost_nothing() {
    let (state, null) = (scratch(), Null::posted());
    let (host, keeper, handle) = with_keeper(&null, state.path());
    assert_eq!(host.write(handle, 0, b"held back"), Ok(9));
    null.hold("commit", Hold::Fail);
    null.hold("write", Hold::Stubbornly);
    let hung = host.submit(write(handle, 0, b"hangs", false));
    wait_until("it hangs", || null.inside("write") == 1);
    let resume = StopOptions { on_deadline: OnDeadline::Resume, ..cancelling(0.05) };
    assert_eq!(host.stop_with(resume).result, CallResult::RolledBack);
    null.release();
    assert!(matches!(hung.recv_timeout(LIMIT), Ok(Ok(Answer::Written(5)))));
    assert!(host.device.take_losses().is_empty() && keeper.settle(LIMIT));
    assert!(keeper.entries().expect("readable").is_empty());
    assert!(!host.notices.kinds().contains(&"loss".to_owned()));
    assert_eq!(host.stop().result, CallResult::HasOpenHandles);
    host.release(handle).expect("a survivor closes");
}

/// What could not be committed in the end has an entry without bytes.
#[test]
fn a_commit_that_fails_is_named() {
    let (state, null) = (scratch(), Null::posted());
    let (host, keeper, handle) = with_keeper(&null, state.path());
    assert_eq!(host.write(handle, 0, b"held back"), Ok(9));
    null.hold("commit", Hold::Fail);
    let report = host.stop();
    assert_eq!((report.result, report.losses.len()), (CallResult::Lost, 1));
    assert_eq!((report.losses[0].bytes, report.losses[0].kept_in.as_ref()), (9, None));
    let entries = keeper.entries().expect("readable");
    assert_eq!((entries[0].offset, entries[0].bytes), (None, 9));
    null.release();
    host.release(handle).expect("a survivor closes");
}

/// Invariant 9: also when the kernel is gone, and its handles with it, before the server answers.
#[test]
fn a_write_whose_handle_is_gone_is_kept() {
    let (state, null) = (scratch(), Null::posted());
    let (host, _keeper, handle) = with_keeper(&null, state.path());
    null.hold("write", Hold::Stubbornly);
    let hung = host.submit(write(handle, 0, b"12345", false));
    wait_until("it hangs", || null.inside("write") == 1);
    assert_eq!(host.device.connection_gone(), 1);
    let report = host.stop_with(cancelling(0.05));
    assert_eq!(report.losses.first().map(|loss| loss.path.as_slice()), Some(&b"f"[..]));
    assert_eq!(kept(&report), [b"12345".to_vec()]);
    null.release();
    assert!(hung.recv_timeout(LIMIT).is_ok());
}

/// Whatever the moment, a write is either answered or named: never both, never neither.
#[test]
fn a_write_that_ends_while_it_is_given_up_on_is_told_once() {
    let state = scratch();
    let null = Null::posted();
    let (host, keeper, handle) = with_keeper(&null, state.path());
    let mut handles = vec![handle];
    let (mut answered, mut given_up) = (0, 0);
    for round in 0..60 {
        null.hold("write", Hold::Stubbornly);
        let running = host.submit(write(handles[round], 0, b"12345", false));
        wait_until("it is inside", || null.inside("write") == 1);
        let options = StopOptions { mode: StopMode::Abort, ..StopOptions::default() };
        let ticket = host.post_stop(options);
        null.release();
        let report = host.wait(ticket);
        let answer = running.recv_timeout(LIMIT).expect("answered");
        wait_until("it has ended", || host.device.requests().is_empty());
        match answer {
            Ok(_) => {
                answered += 1;
                assert!(report.losses.is_empty(), "answered, and lost: {:?}", report.losses);
            }
            Err(status) => {
                given_up += 1;
                assert_eq!(status, Status::IoTimeout);
                let arrived = |notice: &Notice| matches!(notice, Notice::Arrived { .. });
                let notices = std::mem::take(&mut *host.notices.kept.lock().expect("no panic"));
                let late = notices.iter().any(|(_, notice)| arrived(notice));
                assert!(late, "it ended, late: that is told");
            }
        }
        host.start();
        let file = host.lookup(&host.root(), "f").expect("exists");
        handles.push(host.open(&file, Access::Write).expect("opens"));
    }
    assert_eq!(answered + given_up, 60);
    assert!(keeper.settle(LIMIT));
    assert!(keeper.entries().expect("readable").iter().all(|entry| entry.arrived));
    for handle in handles {
        host.release(handle).expect("closes");
    }
}

// ---- replay -----------------------------------------------------------------------------------

/// A memory server behind `faulty`, over generations.
struct Server {
    host: Host,
    keeper: Arc<Keeper>,
    faults: Arc<Mutex<Option<FaultControl>>>,
    clock: Arc<dyn Clock>,
    _state: TempDir,
}

impl Server {
    fn start() -> Self {
        let clock = SystemClock::shared();
        let server = MemoryServer::new(clock.clone());
        let faults: Arc<Mutex<Option<FaultControl>>> = Arc::default();
        let latest = faults.clone();
        let factory = Box::new(move || {
            let memory = Arc::new(Memory::new(server.clone(), MemoryOptions::default()));
            let plan = FaultPlan { blocking: true, ..FaultPlan::none() };
            let faulty = Faulty::new(memory, plan);
            *latest.lock().expect("no panic") = Some(faulty.control());
            let made: Arc<dyn MiniRedirector> = Arc::new(faulty);
            made
        });
        let host = Host::new(factory, DeviceOptions::default());
        host.start();
        let state = scratch();
        let keeper = keeper(state.path());
        host.device.attach_keeper(keeper.clone());
        Self { host, keeper, faults, clock, _state: state }
    }

    fn plan(&self, plan: FaultPlan) {
        let faults = self.faults.lock().expect("no panic");
        faults.as_ref().expect("started").set_plan(FaultPlan { blocking: true, ..plan });
    }

    fn create(&self, name: &str, append: bool) -> (Node, HandleNumber) {
        let options = OpenOptions { append, ..common::plain(Access::Write) };
        let create = Operation::Create {
            parent: self.host.root(),
            name: Name::new(name.as_bytes()).expect("a name"),
            creation: Creation { permissions: 0o644, umask: 0 },
            options,
            exclusive: false,
        };
        match self.host.call(create).expect("created") {
            Answer::Created(node, open) => (node.node, open.handle),
            other => panic!("create answered {other:?}"),
        }
    }

    /// Writes that hang until the stop gives them up, each waited for.
    fn lose(&self, writes: &[(HandleNumber, u64, &[u8])]) {
        self.plan(FaultPlan::none().with(Callout::Write, Fault::Hang));
        let mut hung = Vec::new();
        for (handle, offset, data) in writes {
            hung.push(self.host.submit(write(*handle, *offset, data, false)));
            let inside = || {
                let requests = self.host.device.requests();
                requests.iter().filter(|request| request.cancellable).count() == hung.len()
            };
            wait_until("it hangs", inside);
        }
        let options = StopOptions { mode: StopMode::Abort, ..StopOptions::default() };
        let report = self.host.stop_with(options);
        assert_eq!((report.result, report.losses.len()), (CallResult::Lost, writes.len()));
        for answer in hung {
            assert_eq!(answer.recv_timeout(LIMIT).expect("let go").err(), Some(Status::IoTimeout));
        }
        wait_until("every context has ended", || self.host.device.requests().is_empty());
        self.host.start();
    }

    fn replay(&self, force: bool) -> Vec<UnsentOutcome> {
        self.try_replay(force).expect("it begins")
    }

    fn try_replay(&self, force: bool) -> Result<Vec<UnsentOutcome>, String> {
        let (device, keeper, clock) = (&self.host.device, &*self.keeper, &self.clock);
        let replay = Replay { device, keeper, clock, caller: Caller::default(), force };
        replay.run(&mut || true)
    }

    fn content(&self, node: &Node) -> Vec<u8> {
        let handle = self.host.open(node, Access::Read).expect("opens");
        let data = self.host.read(handle, 0, 1000).expect("reads");
        self.host.release(handle).expect("closes");
        data
    }

    fn left(&self) -> Vec<UnsentEntry> {
        self.keeper.entries().expect("readable")
    }

    fn close(&self, handles: &[HandleNumber]) {
        for handle in handles {
            self.host.release(*handle).expect("closes");
        }
    }
}

fn results(outcomes: &[UnsentOutcome]) -> Vec<UnsentResult> {
    outcomes.iter().map(|outcome| outcome.result).collect()
}

/// S-53: what was lost is put where it belonged, oldest first, and is kept no longer.
#[test]
fn a_replay_puts_it_on_the_server() {
    let server = Server::start();
    let (a, first) = server.create("a", false);
    let (b, second) = server.create("b", true);
    assert_eq!(server.host.write(first, 0, b"hello world"), Ok(11));
    assert_eq!(server.host.write(second, 0, b"log:"), Ok(4));
    server.lose(&[
        (first, 0, b"HE"),
        (second, 4, b" one"),
        (first, 1, b"E!"),
        (second, 8, b" two"),
    ]);
    assert_eq!(server.content(&a), b"hello world");
    let outcomes = server.replay(false);
    assert_eq!(results(&outcomes), [UnsentResult::Replayed; 4], "{outcomes:?}");
    assert_eq!(server.content(&a), b"HE!lo world", "in order");
    assert_eq!(server.content(&b), b"log: one two", "appended");
    assert!(server.left().is_empty());
    assert!(server.replay(false).is_empty());
    server.close(&[first, second]);
}

/// S-53: a file that changed since, or is another, is not written to unless forced; a file that is
/// gone not at all.
#[test]
fn a_replay_spares_what_is_newer() {
    let server = Server::start();
    let (a, first) = server.create("a", false);
    let (_, second) = server.create("b", false);
    let (_, third) = server.create("c", false);
    server.lose(&[(first, 0, b"old"), (second, 0, b"old"), (third, 0, b"old")]);
    let again = server.host.open(&a, Access::Write).expect("opens");
    assert_eq!(server.host.write(again, 0, b"newer"), Ok(5));
    server.close(&[again]);
    for name in ["b", "c"] {
        let name = Name::new(name.as_bytes()).expect("a name");
        let unlink = Operation::Unlink { parent: server.host.root(), name };
        server.host.call(unlink).expect("removed");
    }
    let (other, fourth) = server.create("b", false);
    let outcomes = server.replay(false);
    assert_eq!(results(&outcomes), [UnsentResult::Failed; 3]);
    let errors: Vec<&str> =
        outcomes.iter().map(|outcome| outcome.error.as_deref().expect("says why")).collect();
    assert!(errors[0].contains("changed since"), "{errors:?}");
    assert!(errors[1].contains("another file"), "{errors:?}");
    assert!(errors[2].contains("gone"), "{errors:?}");
    assert_eq!((server.content(&a), server.left().len()), (b"newer".to_vec(), 3));
    let forced = server.replay(true);
    assert_eq!(
        results(&forced),
        [UnsentResult::Replayed, UnsentResult::Replayed, UnsentResult::Failed]
    );
    assert_eq!(server.content(&a), b"older");
    assert_eq!(server.content(&other), b"old");
    let discarded = discard(&server.keeper).expect("it begins");
    assert_eq!(results(&discarded), [UnsentResult::Discarded]);
    assert!(server.left().is_empty());
    server.close(&[first, second, third, fourth]);
}

/// S-53: what fails stays, with what came after it for the same file; the next replay goes on from
/// there, and does not take its own writes for a change.
#[test]
fn a_replay_that_fails_half_way_goes_on_later() {
    let server = Server::start();
    let (a, handle) = server.create("a", false);
    server.lose(&[(handle, 0, b"one"), (handle, 3, b"two"), (handle, 6, b"six")]);
    let error = Fault::Error(Status::Posix(Errno::ENOSPC));
    let rule = minirdr::redirectors::faulty::Rule {
        nth: Some(2),
        ..minirdr::redirectors::faulty::Rule::always(Some(Callout::Write), error)
    };
    server.plan(FaultPlan { rules: vec![rule], ..FaultPlan::none() });
    let outcomes = server.replay(false);
    use UnsentResult::{Failed, Replayed};
    assert_eq!(results(&outcomes), [Replayed, Failed, Failed], "{outcomes:?}");
    assert!(outcomes[2].error.as_deref().is_some_and(|why| why.contains("earlier write")));
    assert_eq!((server.content(&a), server.left().len()), (b"one".to_vec(), 2));

    server
        .plan(FaultPlan::none().with(Callout::Commit, Fault::Error(Status::Posix(Errno::ENOSPC))));
    let outcomes = server.replay(false);
    assert_eq!(results(&outcomes), [Failed, Failed], "not committed is not replayed");
    assert_eq!(server.left().len(), 2);

    server.plan(FaultPlan::none());
    let outcomes = server.replay(false);
    assert_eq!(results(&outcomes), [Replayed, Replayed], "{outcomes:?}");
    assert_eq!(server.content(&a), b"onetwosix");
    server.close(&[handle]);
}

/// S-53: a replay obeys the gate like everybody, and one that a stop ends has lost nothing twice.
#[test]
fn a_replay_is_a_request_like_any_other() {
    let server = Server::start();
    let (a, handle) = server.create("a", false);
    server.lose(&[(handle, 0, b"one")]);
    server.close(&[handle]);
    server.plan(FaultPlan::none().with(Callout::Write, Fault::Hang));
    let mut asked = 0;
    let replayed = {
        let (device, keeper, clock) = (&server.host.device, &*server.keeper, &server.clock);
        let replay = Replay { device, keeper, clock, caller: Caller::default(), force: false };
        replay.run(&mut || {
            asked += 1;
            if asked == 1 {
                let other = server.try_replay(false);
                assert!(other.is_err_and(|why| why.contains("runs already")), "one at a time");
                let abort = StopOptions { mode: StopMode::Abort, ..StopOptions::default() };
                let report = server.host.stop_with(abort);
                assert_eq!((report.losses.len(), report.abandoned), (0, 1), "kept already");
            }
            true
        })
    };
    let outcomes = replayed.expect("it began");
    assert_eq!(results(&outcomes), [UnsentResult::Failed], "{outcomes:?}");
    assert_eq!(server.left().len(), 1);
    let refused = server.try_replay(false);
    assert!(refused.is_err_and(|why| why.contains("not running")), "stopped");
    server.host.start();

    // Its client goes away: so does the replay, and nothing is gone.
    server.plan(FaultPlan::none().with(Callout::Write, Fault::Hang));
    let (device, keeper, clock) = (&server.host.device, &*server.keeper, &server.clock);
    let replay = Replay { device, keeper, clock, caller: Caller::default(), force: false };
    let outcomes = replay.run(&mut || false).expect("it begins");
    assert!(outcomes[0].error.as_deref().is_some_and(|why| why.contains("was ended")));
    assert_eq!(server.left().len(), 1);
    server.faults.lock().expect("no panic").as_ref().expect("started").release();
    wait_until("every context has ended", || server.host.device.requests().is_empty());
    server.plan(FaultPlan::none());
    assert_eq!(results(&server.replay(true)), [UnsentResult::Replayed]);
    assert_eq!(server.content(&a), b"one");
}
