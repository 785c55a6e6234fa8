//! A stop that is held in the step a test names, and let go when the test has done there what it
//! came for.

use crate::common::null::{Hold, Null, NullRedirector};
use crate::common::{Host, LIMIT, Notices, Tell, wait_until};
use minirdr::base::clock::SystemClock;
use minirdr::base::ids::{Caller, HandleNumber, NodeNumber, TicketNumber};
use minirdr::base::stop::{Notice, StopOptions};
use minirdr::base::threads::{self, Thread};
use minirdr::rdbss::device::KernelSide;
use minirdr::rdbss::notice::{DeregisterError, FileSystemRegistration, KernelCache, UncProvider};
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::operation::{Dispatcher, Operation};
use minirdr::rdbss::register::{DeviceOptions, Registration, RegistrationControls, Registry};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where a stop can be met: its steps in order, and what is told between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Posted, and not yet announced.
    Called,
    Grace,
    WriteBack,
    Drain,
    /// Still `drain`: the kernel writes back once more.
    Settle,
    Seal,
    WriteBackRest,
    /// A close that waited for another open is made.
    ShedDelayedCloses,
    DeregisterProvider,
    DeregisterFileSystem,
    MrxStop,
    /// `MRxStop` has returned; closes that were put off have not run.
    MrxStopped,
    CountSurvivors,
    SpinDown,
    /// Startable; the ticket has no result yet.
    Stopped,
}

impl Step {
    pub const ALL: [Self; 15] = [
        Self::Called,
        Self::Grace,
        Self::WriteBack,
        Self::Drain,
        Self::Settle,
        Self::Seal,
        Self::WriteBackRest,
        Self::ShedDelayedCloses,
        Self::DeregisterProvider,
        Self::DeregisterFileSystem,
        Self::MrxStop,
        Self::MrxStopped,
        Self::CountSurvivors,
        Self::SpinDown,
        Self::Stopped,
    ];

    /// What the report calls it; none where there is no step.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Called | Self::Stopped => None,
            Self::Grace => Some("grace"),
            Self::WriteBack => Some("write_back"),
            Self::Drain | Self::Settle => Some("drain"),
            Self::Seal => Some("seal"),
            Self::WriteBackRest => Some("write_back_rest"),
            Self::ShedDelayedCloses => Some("shed_delayed_closes"),
            Self::DeregisterProvider => Some("deregister_provider"),
            Self::DeregisterFileSystem => Some("deregister_file_system"),
            Self::MrxStop | Self::MrxStopped => Some("mrx_stop"),
            Self::CountSurvivors => Some("count_survivors"),
            Self::SpinDown => Some("spin_down"),
        }
    }

    /// Can `resume` take a stop back here? While it drains (stop.md §3).
    pub fn can_be_taken_back(self) -> bool {
        // One that is just being posted comes after the resume.
        Self::Called < self && self < Self::Seal
    }

    /// Is a close that arrives here in time not to be counted as a survivor?
    pub fn is_before_the_count(self) -> bool {
        self < Self::CountSurvivors
    }
}

/// Holds whoever comes to the step that a test wants, once.
struct Barrier {
    wanted: Step,
    once: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Barrier {
    fn at(&self, step: Step) {
        if step != self.wanted {
            return;
        }
        let Some((reached, go_on)) = self.once.lock().expect("not poisoned").take() else { return };
        reached.send(()).expect("the test listens");
        // The test goes on, or has failed and is gone.
        let _ = go_on.recv_timeout(LIMIT);
    }
}

/// The kernel and the router of a device, as far as a stop speaks to them.
struct Outside {
    barrier: Arc<Barrier>,
    /// What is to be done when the kernel is asked to settle, once.
    settling: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl KernelCache for Outside {
    fn flush_file(&self, _: NodeNumber) {}
    fn forget_names(&self) {}
    fn settle(&self, _: Duration) -> bool {
        self.barrier.at(Step::Settle);
        let settling = self.settling.lock().expect("not poisoned").take();
        if let Some(settling) = settling {
            settling();
        }
        true
    }
}

impl FileSystemRegistration for Outside {
    fn deregister(&self, _: bool) -> Result<bool, DeregisterError> {
        self.barrier.at(Step::DeregisterFileSystem);
        Err(DeregisterError::Busy)
    }

    fn has_ended(&self) -> bool {
        false
    }
}

impl UncProvider for Outside {
    fn register(&self) -> Result<(), String> {
        Ok(())
    }

    fn deregister(&self) -> Vec<String> {
        self.barrier.at(Step::DeregisterProvider);
        Vec::new()
    }
}

/// A device whose stop is held.
pub struct Held {
    pub host: Host,
    pub null: Arc<Null>,
    /// Open and dirty until the end; but for a grace, which it would keep up.
    pub kept: HandleNumber,
    /// Open, to be closed by the test.
    pub victim: HandleNumber,
    pub ticket: TicketNumber,
    step: Step,
    go_on: Sender<()>,
    outside: Arc<Outside>,
    /// Whoever called, where the call itself is held. Joined when this is dropped.
    calling: Option<Thread>,
}

impl Held {
    /// A stop, in this step.
    pub fn in_step(step: Step) -> Self {
        let (reached, is_reached) = channel();
        let (go_on, may_go_on) = channel();
        let once = Mutex::new(Some((reached, may_go_on)));
        let barrier = Arc::new(Barrier { wanted: step, once });
        let null = Null::posted();
        null.sharing.store(step == Step::ShedDelayedCloses, Ordering::SeqCst);
        let (host, outside) = host(&null, &barrier);
        let [kept, victim] = ["kept", "victim"].map(|name| {
            let file = host.lookup(&host.root(), name).expect("every name exists");
            host.open(&file, Access::ReadWrite).expect("opens")
        });
        let (ticket, calling) = (TicketNumber(0), None);
        let mut held = Self { host, null, kept, victim, ticket, step, go_on, outside, calling };
        held.ticket = held.bring_there(&is_reached);
        held
    }

    fn bring_there(&mut self, is_reached: &Receiver<()>) -> TicketNumber {
        let outside = || is_reached.recv_timeout(LIMIT).expect("the stop comes to the step");
        let mut options = StopOptions { unmount: true, ..StopOptions::default() };
        match self.step {
            Step::Grace => options.grace_s = Some(3600.0),
            Step::WriteBack => self.write(),
            Step::WriteBackRest => self.dirty_a_page_when_the_kernel_settles(),
            Step::ShedDelayedCloses => self.leave_a_close_waiting(),
            Step::Drain => self.hold("read", |kept| Operation::Read {
                handle: kept,
                offset: 0,
                size: 1,
                buffer: Vec::new(),
            }),
            Step::Seal => {
                self.write();
                self.hold("commit", |kept| Operation::Flush { handle: kept });
            }
            _ => {}
        }
        match self.step {
            Step::WriteBack => self.null.hold("commit", Hold::Stubbornly),
            Step::MrxStop => self.null.hold("stop", Hold::Stubbornly),
            _ => {}
        }
        if self.step == Step::Called {
            // The call itself is held: it is made beside.
            let device = self.host.device.clone();
            let caller = self.host.caller;
            let call = move || drop(device.stop(caller, options));
            self.calling = Some(threads::spawn("t-stop", call).expect("room for a thread"));
            outside();
            // The start was the first.
            return TicketNumber(2);
        }
        let ticket = self.host.post_stop(options);
        match self.step {
            Step::Grace | Step::Drain | Step::Seal | Step::WriteBack | Step::WriteBackRest => {
                let word = self.step.word();
                wait_until("the stop comes to the step", || {
                    self.host.device.status().running.map(|running| running.step) == word
                });
            }
            Step::MrxStop => wait_until("MRxStop runs", || self.null.inside("stop") == 1),
            Step::ShedDelayedCloses => {
                wait_until("it is closing", || self.null.inside("close") == 1);
            }
            _ => outside(),
        }
        ticket
    }

    /// A file that was closed, and whose close waits and then hangs.
    fn leave_a_close_waiting(&self) {
        let file = self.host.lookup(&self.host.root(), "closed").expect("every name exists");
        let handle = self.host.open(&file, Access::Read).expect("opens");
        self.host.release(handle).expect("closes");
        assert_eq!(self.host.device.delayed_closes(), 1);
        self.null.hold("close", Hold::Stubbornly);
    }

    fn write(&self) {
        assert_eq!(self.host.write(self.kept, 0, &[1; 100]), Ok(100));
    }

    /// What the drain left: the commit of step 2 is over then.
    fn dirty_a_page_when_the_kernel_settles(&self) {
        let (device, caller, handle) = (self.host.device.clone(), self.host.caller, self.kept);
        let null = self.null.clone();
        let write = move || {
            null.hold("commit", Hold::Stubbornly);
            let (sender, written) = channel();
            let (write_back, kill_privileges) = (true, false);
            let data = vec![1; 100].into();
            let write = Operation::Write { handle, offset: 0, data, write_back, kill_privileges };
            device.submit(caller, write, Box::new(Tell(sender)));
            assert!(written.recv_timeout(LIMIT).is_ok_and(|answer| answer.is_ok()));
        };
        *self.outside.settling.lock().expect("not poisoned") = Some(Box::new(write));
    }

    fn hold(
        &self,
        callout: &'static str,
        operation: impl FnOnce(HandleNumber) -> Operation<'static>,
    ) {
        self.null.hold(callout, Hold::Stubbornly);
        let (device, caller) = (&self.host.device, self.host.caller);
        let (sender, _) = channel();
        device.submit(caller, operation(self.kept), Box::new(Tell(sender)));
        wait_until("it is inside", || self.null.inside(callout) == 1);
    }

    /// Lets the stop go on.
    pub fn let_go(&self) {
        if self.step == Step::Grace {
            self.close_all();
        }
        self.null.release();
        // Not every step is held by the barrier.
        let _ = self.go_on.send(());
    }

    /// Closes what is still open.
    pub fn close_all(&self) {
        let mut open = Vec::new();
        self.host.device.visit_handles(|handle| {
            open.push(handle.handle);
            true
        });
        for handle in open {
            self.host.release(handle).expect("a survivor closes");
        }
    }
}

fn host(null: &Arc<Null>, barrier: &Arc<Barrier>) -> (Host, Arc<Outside>) {
    let outside = Arc::new(Outside { barrier: barrier.clone(), settling: Mutex::default() });
    let registry = Registry::default();
    let notices = Arc::new(Notices::default());
    let redirector = null.clone();
    let registration = Registration {
        name: "test".to_owned(),
        controls: RegistrationControls::default(),
        factory: Box::new(move || Arc::new(NullRedirector(redirector.clone()))),
        // With its moment for RELEASEs: a close that was put off is made by a worker, which a
        // loaded machine may not run at once.
        options: DeviceOptions::default(),
        clock: SystemClock::shared(),
        observer: notices.clone(),
        unc_provider: Some(outside.clone()),
        dependents: None,
    };
    let device = registry.register(registration).expect("a fresh registry");
    let (cache, registration) = (outside.clone(), outside.clone());
    device.attach_kernel(KernelSide { cache, registration });
    let caller = Caller::local(0, 1000, 1000);
    let host = Host { registry, device, notices, caller };
    host.start();
    let its = barrier.clone();
    let hook = Box::new(move |notice: &Notice| match notice {
        Notice::StopRequested { .. } => its.at(Step::Called),
        Notice::RedirectorStopped => its.at(Step::MrxStopped),
        Notice::Survivors { .. } => its.at(Step::CountSurvivors),
        Notice::DispatcherSpunDown => its.at(Step::SpinDown),
        Notice::Stopped { .. } => its.at(Step::Stopped),
        _ => {}
    });
    assert!(host.notices.hook.set(hook).is_ok());
    (host, outside)
}
