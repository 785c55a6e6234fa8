//! What the shuttle models share: the search from a seed, a server that notices who calls it when,
//! and a whole device in front of it.

// Each test is a program of its own and uses its own part.
#![allow(dead_code)]

#[path = "server.rs"]
mod server;

use minirdr::base::clock::ManualClock;
use minirdr::base::ids::{Caller, Generation, HandleNumber, TicketNumber};
use minirdr::base::name::Name;
use minirdr::base::status::Status;
use minirdr::base::stop::{Answer as Called, CallResult, Notice, Report, State, StopOptions};
use minirdr::base::sync::atomic::Ordering;
use minirdr::base::sync::{Condvar, Mutex, Rank};
use minirdr::mrx::request::*;
use minirdr::mrx::upcall::Upcalls;
use minirdr::rdbss::device::{Device, KernelSide};
use minirdr::rdbss::notice::Observer;
use minirdr::rdbss::operation::{Answer, Dispatcher, Node, Operation, Responder};
use minirdr::rdbss::register::{DeviceOptions, Registration, RegistrationControls, Registry};
use minirdr::rdbss::ticket::TicketState;
use server::{Server, Uncached};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use std::sync::Arc;
use std::time::Duration;

/// Under a checker no wait runs out.
pub const FOREVER: Duration = Duration::MAX;
/// Changes of priority in a PCT schedule: how many steps must fall together to show a defect.
const PCT_DEPTH: usize = 3;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| {
        value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number"))
    })
}

/// Runs a model in so many random schedules and so many of PCT, from `SHUTTLE_SEED`;
/// `SHUTTLE_TIMES` of them. The same seed gives the same schedules.
pub fn check(name: &str, schedules: usize, model: impl Fn() + Send + Sync + 'static) {
    let seed = number("SHUTTLE_SEED", 1);
    let times = usize::try_from(number("SHUTTLE_TIMES", 1)).expect("it fits");
    let schedules = schedules * times;
    println!("shuttle: {name}: {schedules} random and {schedules} PCT schedules, seed {seed}");
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    config.silence_warnings = true;
    let model = Arc::new(model);
    let (again, configured) = (model.clone(), config.clone());
    let random = RandomScheduler::new_from_seed(seed, schedules);
    Runner::new(random, configured).run(move || again());
    let pct = PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules);
    Runner::new(pct, config).run(move || model());
}

/// How the server behaves.
#[derive(Clone, Copy, Default)]
pub struct Manners {
    /// Its callouts block: they are posted to the file system process.
    pub blocking: bool,
    /// Reads wait until they are cancelled.
    pub reads_wait: bool,
    /// Reads look now and again whether they are cancelled; they have no routine.
    pub reads_poll: bool,
    /// Requests are abandoned: a callout that nobody waits for may meet MRxStop.
    pub abandoned: bool,
    /// A start waits until it is cancelled.
    pub start_waits: bool,
    /// A start fails.
    pub start_fails: bool,
    /// Every lookup finds another file under the same number.
    pub files_change: bool,
    /// Handles share an open, and this many closes may wait.
    pub closes_wait: usize,
}

/// What is known of all generations of the server. The standard library's primitives: it watches
/// the model and is no part of it.
#[derive(Default)]
pub struct World {
    pub manners: Manners,
    wrongs: std::sync::Mutex<Vec<String>>,
    pub starts: std::sync::atomic::AtomicUsize,
    pub stops: std::sync::atomic::AtomicUsize,
    pub opened: std::sync::atomic::AtomicUsize,
    pub closed: std::sync::atomic::AtomicUsize,
    lookups: std::sync::atomic::AtomicU64,
    /// Changes of attributes: an open knows how many there were before it.
    changes: std::sync::atomic::AtomicUsize,
    upcalls: std::sync::Mutex<Option<Arc<dyn Upcalls>>>,
    /// Stops whose beginning was announced, and results that were.
    announced: std::sync::Mutex<(Vec<TicketNumber>, Vec<TicketNumber>)>,
}

impl World {
    /// Callouts are made where panics are caught: what is wrong is kept, and told at the end.
    fn wrong(&self, what: impl Into<String>) {
        self.wrongs.lock().expect("not poisoned").push(what.into());
    }

    pub fn nothing_wrong(&self) {
        let wrongs = self.wrongs.lock().expect("not poisoned");
        assert!(wrongs.is_empty(), "{wrongs:?}");
    }
}

impl Observer for World {
    fn notice(&self, _: Generation, notice: Notice) {
        let mut announced = self.announced.lock().expect("not poisoned");
        let (begun, ended) = &mut *announced;
        match notice {
            Notice::StopRequested { ticket: Some(ticket), .. } => begun.push(ticket),
            Notice::Stopped { ticket: Some(ticket), .. } if !begun.contains(&ticket) => {
                self.wrong(format!("ticket {ticket} ended before it was announced"));
            }
            Notice::Stopped { ticket: Some(ticket), .. }
            | Notice::Started { ticket: Some(ticket), .. } => {
                if ended.contains(&ticket) {
                    self.wrong(format!("ticket {ticket} ended twice"));
                }
                ended.push(ticket);
            }
            _ => {}
        }
    }
}

/// A reply somebody waits for.
struct Reply {
    answer: Mutex<Option<Result<Answer, Status>>>,
    given: Condvar,
}

struct Tell(Arc<Reply>, Arc<World>);

impl Responder for Tell {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        if self.0.answer.lock().replace(answer).is_some() {
            self.1.wrong("answered twice");
        }
        self.0.given.notify_all();
    }
}

/// A registered device in front of the server.
pub struct Host {
    registry: Registry,
    pub device: Arc<Device>,
    pub world: Arc<World>,
}

impl Host {
    /// Registered, not started.
    pub fn new(manners: Manners) -> Arc<Self> {
        let world = Arc::new(World { manners, ..World::default() });
        let made = world.clone();
        let registration = Registration {
            name: "model".to_owned(),
            controls: RegistrationControls::default(),
            factory: Box::new(move || Arc::new(Server::new(made.clone()))),
            options: DeviceOptions { release_grace: Duration::ZERO, ..DeviceOptions::default() },
            clock: Arc::new(ManualClock::new()),
            observer: world.clone(),
            unc_provider: None,
            dependents: None,
        };
        let registry = Registry::default();
        let device = registry.register(registration).expect("a fresh registry");
        if manners.closes_wait > 0 {
            let (cache, registration) = (Arc::new(Uncached), Arc::new(Uncached));
            device.attach_kernel(KernelSide { cache, registration });
        }
        Arc::new(Self { registry, device, world })
    }

    /// The same, started.
    pub fn started(manners: Manners) -> Arc<Self> {
        let host = Self::new(manners);
        assert_eq!(host.start().result, CallResult::Success);
        host
    }

    /// Asks for a start and waits for its end.
    pub fn start(&self) -> Report {
        self.end_of(self.device.start(Caller::default()).expect("it takes calls"))
    }

    /// Asks for a stop and waits for its end.
    pub fn stop(&self) -> Report {
        let options = StopOptions::default();
        self.end_of(self.device.stop(Caller::default(), options).expect("it takes calls"))
    }

    /// Waits for a call's end.
    pub fn end_of(&self, called: Called<Report>) -> Report {
        let ticket = match called {
            Called::Done(report) => return report,
            Called::Posted(ticket) => ticket,
        };
        loop {
            match self.device.wait_ticket(ticket, FOREVER) {
                TicketState::Ended(report) => return *report,
                TicketState::Open => {}
                TicketState::Unknown => panic!("ticket {ticket} is unknown"),
            }
        }
    }

    /// Submits and waits for the answer.
    pub fn call(&self, operation: Operation<'_>) -> Result<Answer, Status> {
        let answer = Mutex::new(Rank::Leaf, None);
        let reply = Arc::new(Reply { answer, given: Condvar::new() });
        let tell = Box::new(Tell(reply.clone(), self.world.clone()));
        self.device.submit(Caller::default(), operation, tell);
        let mut answer = reply.answer.lock();
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            reply.given.wait(&mut answer);
        }
    }

    pub fn lookup(&self, name: &str) -> Result<Node, Status> {
        let name = Name::new(name.as_bytes())?;
        match self.call(Operation::Lookup { parent: self.device.root(), name })? {
            Answer::Node(found) => Ok(found.node),
            other => panic!("lookup answered {other:?}"),
        }
    }

    pub fn open(&self, node: &Node) -> Result<HandleNumber, Status> {
        let options = OpenOptions {
            access: Access::Read,
            append: false,
            truncate: false,
            direct: false,
            synchronous: false,
            kill_privileges: false,
        };
        match self.call(Operation::Open { node: node.clone(), options })? {
            Answer::Opened(open) => Ok(open.handle),
            other => panic!("open answered {other:?}"),
        }
    }

    pub fn read(&self, handle: HandleNumber) -> Result<(), Status> {
        self.call(Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() }).map(|_| ())
    }

    pub fn release(&self, handle: HandleNumber) {
        self.call(Operation::Release { handle }).map(|_| ()).expect("a close is never refused");
    }

    pub fn set_attributes(&self, node: &Node) -> Result<(), Status> {
        let (node, set) = (node.clone(), SetAttributes::default());
        self.call(Operation::SetAttributes { node, handle: None, set }).map(|_| ())
    }

    pub fn unlink(&self, name: &str) -> Result<(), Status> {
        let name = Name::new(name.as_bytes())?;
        self.call(Operation::Unlink { parent: self.device.root(), name }).map(|_| ())
    }

    /// The server says that a file changed behind our back.
    pub fn changed_behind_our_back(&self, node: &Node) {
        let upcalls = self.world.upcalls.lock().expect("not poisoned").clone();
        upcalls.expect("it was started").invalidate_file(node.identity());
    }

    /// Opens on the server that are not closed.
    pub fn opens_on_the_server(&self) -> usize {
        let opened = self.world.opened.load(Ordering::SeqCst);
        opened - self.world.closed.load(Ordering::SeqCst)
    }

    /// A session on a file that was found already.
    pub fn session_on(&self, node: &Node) -> Result<(), Status> {
        let handle = self.open(node)?;
        let read = self.read(handle);
        self.release(handle);
        read
    }

    /// An application's session: find, open, read, close, as far as the gate lets it.
    pub fn session(&self, name: &str) -> Result<(), Status> {
        self.session_on(&self.lookup(name)?)
    }

    /// Is the device serving, by its own word?
    pub fn serves(&self) -> bool {
        self.device.state() == State::Started
    }

    /// Stops it if it serves; then nothing may be left and nothing may have gone wrong.
    pub fn finish(self: Arc<Self>) {
        if self.serves() {
            self.stop();
        }
        let status = self.device.status();
        assert_eq!(status.state, State::Startable, "{:?}", status.last_stop);
        assert_eq!(status.requests_in_flight, 0, "a pass is lost");
        // A request leaves the table after its caller has been answered.
        while !self.device.requests().is_empty() {
            shuttle::thread::yield_now();
        }
        assert_eq!(status.open_handles, 0, "a handle is left");
        assert_eq!(status.survivors, 0, "survivors are miscounted");
        assert_eq!(status.unanswered_total, 0, "a request was dropped unanswered");
        assert_eq!(self.opens_on_the_server(), 0, "opens and closes");
        self.registry.unregister("model").expect("a stopped device can be unregistered");
        self.world.nothing_wrong();
    }

    /// Takes it off the books, if it may go.
    pub fn unregister(&self) -> bool {
        self.registry.unregister("model").is_ok()
    }
}
