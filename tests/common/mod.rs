//! What the tests share: a host of one device without a kernel, and ways to call and wait.

#![allow(dead_code)]

pub mod null;

use minirdr::base::clock::{Clock, SystemClock};
use minirdr::base::ids::{Caller, Generation, HandleNumber, NodeNumber, TicketNumber};
use minirdr::base::name::Name;
use minirdr::base::status::{Errno, Status};
use minirdr::base::stop::{Answer as Called, Notice, Report, StopOptions};
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::rdbss::device::{Device, KernelSide};
use minirdr::rdbss::notice::{DeregisterError, FileSystemRegistration, KernelCache, Observer};
use minirdr::rdbss::operation::operand::{Access, OpenOptions};
use minirdr::rdbss::operation::{Answer, Dispatcher, Node, Operation, Responder};
use minirdr::rdbss::register::{
    DeviceOptions, RedirectorFactory, Registration, RegistrationControls, Registry,
};
use minirdr::rdbss::ticket::TicketState;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// No condition in a test is waited for longer than this.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Where a submitted operation's answer comes.
pub type Pending = Receiver<Result<Answer, Status>>;

/// Waits for a condition, with the bound.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let clock = SystemClock::new();
    while !condition() {
        assert!(clock.now().since(minirdr::base::clock::Moment(0)) < LIMIT, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

type Hook = Box<dyn Fn(&Notice) + Send + Sync>;

/// Keeps every notice; `hook` hears each one first.
#[derive(Default)]
pub struct Notices {
    pub kept: Mutex<Vec<(Generation, Notice)>>,
    pub hook: OnceLock<Hook>,
}

impl Observer for Notices {
    fn notice(&self, generation: Generation, notice: Notice) {
        if let Some(hook) = self.hook.get() {
            hook(&notice);
        }
        self.kept.lock().expect("not poisoned").push((generation, notice));
    }
}

impl Notices {
    /// The kinds so far, in order, progress left out.
    pub fn kinds(&self) -> Vec<String> {
        let notices = self.kept.lock().expect("not poisoned");
        let kind = |notice: &Notice| {
            let json = serde_json::to_value(notice).expect("a notice is plain data");
            json["kind"].as_str().expect("every notice has a kind").to_owned()
        };
        let all = notices.iter().map(|(_, notice)| kind(notice));
        all.filter(|kind| kind != "draining" && kind != "refused").collect()
    }
}

/// Sends the answer to whoever waits for it.
pub struct Tell(pub Sender<Result<Answer, Status>>);

impl Responder for Tell {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        // A test that no longer listens has made its point already.
        let _ = self.0.send(answer);
    }
}

/// A registered device, to be called without a kernel. Checks for leaks when dropped.
pub struct Host {
    pub registry: Registry,
    pub device: Arc<Device>,
    pub notices: Arc<Notices>,
    pub caller: Caller,
}

impl Host {
    /// Registers a device whose generations are made by `factory`; not started.
    pub fn new(factory: RedirectorFactory, options: DeviceOptions) -> Self {
        Self::with_clock(factory, options, SystemClock::shared())
    }

    /// The same, with a clock of the test's own.
    pub fn with_clock(
        factory: RedirectorFactory,
        options: DeviceOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let registry = Registry::default();
        let notices = Arc::new(Notices::default());
        let registration = Registration {
            name: "test".to_owned(),
            controls: RegistrationControls::default(),
            factory,
            options,
            clock,
            observer: notices.clone(),
            unc_provider: None,
            dependents: None,
        };
        let device = registry.register(registration).expect("a fresh registry");
        let caller = Caller::local(0, 1000, 1000);
        Self { registry, device, notices, caller }
    }

    /// The same, started, every generation served by one redirector.
    pub fn started(redirector: Arc<dyn MiniRedirector>) -> Self {
        let host = Self::new(Box::new(move || redirector.clone()), DeviceOptions::default());
        host.start();
        host
    }

    /// Starts and waits.
    pub fn start(&self) -> Report {
        let called = self.device.start(self.caller).expect("the device takes calls");
        self.report(called)
    }

    /// Stops with the plain options and waits.
    pub fn stop(&self) -> Report {
        self.stop_with(StopOptions::default())
    }

    /// Stops and waits.
    pub fn stop_with(&self, options: StopOptions) -> Report {
        let called = self.device.stop(self.caller, options).expect("the device takes calls");
        self.report(called)
    }

    /// Asks for a stop and gives its ticket.
    pub fn post_stop(&self, options: StopOptions) -> TicketNumber {
        match self.device.stop(self.caller, options).expect("the device takes calls") {
            Called::Posted(ticket) => ticket,
            Called::Done(report) => panic!("over at once: {report:?}"),
        }
    }

    /// Waits for a call's report.
    pub fn report(&self, called: Called<Report>) -> Report {
        match called {
            Called::Done(report) => report,
            Called::Posted(ticket) => self.wait(ticket),
        }
    }

    /// Waits for a ticket.
    pub fn wait(&self, ticket: TicketNumber) -> Report {
        let clock = SystemClock::new();
        let until = clock.now().after(LIMIT);
        // A look may be over early: other tickets end meanwhile.
        while clock.now() < until {
            match self.device.wait_ticket(ticket, LIMIT / 300) {
                TicketState::Ended(report) => return *report,
                TicketState::Open => {}
                TicketState::Unknown => panic!("ticket {ticket} is unknown"),
            }
        }
        panic!("ticket {ticket} never ended: {:?}", self.device.status());
    }

    /// Submits; the answer comes by the channel.
    pub fn submit(&self, operation: Operation<'_>) -> Pending {
        let (sender, receiver) = channel();
        self.device.submit(self.caller, operation, Box::new(Tell(sender)));
        receiver
    }

    /// Submits and waits.
    pub fn call(&self, operation: Operation<'_>) -> Result<Answer, Status> {
        self.submit(operation).recv_timeout(LIMIT).expect("every request is answered")
    }

    /// The root.
    pub fn root(&self) -> Node {
        self.device.root()
    }

    /// Finds a name.
    pub fn lookup(&self, parent: &Node, name: &str) -> Result<Node, Status> {
        let name = Name::new(name.as_bytes())?;
        match self.call(Operation::Lookup { parent: parent.clone(), name })? {
            Answer::Node(found) => Ok(found.node),
            Answer::Absent => Err(Status::Posix(Errno::ENOENT)),
            other => panic!("lookup answered {other:?}"),
        }
    }

    /// Opens a file.
    pub fn open(&self, node: &Node, access: Access) -> Result<HandleNumber, Status> {
        match self.call(Operation::Open { node: node.clone(), options: plain(access) })? {
            Answer::Opened(open) => Ok(open.handle),
            other => panic!("open answered {other:?}"),
        }
    }

    /// Reads.
    pub fn read(&self, handle: HandleNumber, offset: u64, size: usize) -> Result<Vec<u8>, Status> {
        let read = Operation::Read { handle, offset, size, buffer: Vec::new() };
        match self.call(read)? {
            Answer::Data(data) => Ok(data),
            other => panic!("read answered {other:?}"),
        }
    }

    /// Writes.
    pub fn write(&self, handle: HandleNumber, offset: u64, data: &[u8]) -> Result<usize, Status> {
        let data = data.into();
        let (write_back, kill_privileges) = (false, false);
        match self.call(Operation::Write { handle, offset, data, write_back, kill_privileges })? {
            Answer::Written(bytes) => Ok(bytes),
            other => panic!("write answered {other:?}"),
        }
    }

    /// Releases.
    pub fn release(&self, handle: HandleNumber) -> Result<(), Status> {
        self.call(Operation::Release { handle }).map(|_| ())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let result = self.stop().result;
        assert!(result.is_stopped(), "the device stops at the end: {result:?}");
        // Requests that were abandoned leave the table when their callouts return.
        wait_until("every context has ended", || self.device.requests().is_empty());
        let status = self.device.status();
        assert_eq!(status.requests_in_flight, 0, "no pass is lost");
        assert_eq!(status.open_handles, 0, "no handle is lost");
        assert_eq!(status.unanswered_total, 0, "no context is dropped unanswered");
        self.registry.unregister("test").expect("a stopped device can be unregistered");
    }
}

/// A kernel that has cached nothing and cannot be unmounted.
pub fn no_kernel() -> KernelSide {
    struct None;
    impl KernelCache for None {
        fn flush_file(&self, _: NodeNumber) {}
        fn forget_names(&self) {}
        fn settle(&self, _: Duration) -> bool {
            true
        }
    }
    impl FileSystemRegistration for None {
        fn deregister(&self, _lazy: bool) -> Result<bool, DeregisterError> {
            Ok(false)
        }

        fn has_ended(&self) -> bool {
            true
        }
    }
    KernelSide { cache: Arc::new(None), registration: Arc::new(None) }
}

/// Open options with nothing special.
pub fn plain(access: Access) -> OpenOptions {
    OpenOptions {
        access,
        append: false,
        truncate: false,
        direct: false,
        synchronous: false,
        kill_privileges: false,
    }
}
