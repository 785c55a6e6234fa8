//! How a call is answered, whoever makes it and from wherever: the rules of stop.md §3 that the
//! tests of a stop's order do not name.

mod common;

use common::null::{Null, NullRedirector};
use common::{Host, LIMIT};
use minirdr::base::clock::SystemClock;
use minirdr::base::ids::{Caller, Generation};
use minirdr::base::name::Name;
use minirdr::base::status::{Status, wire};
use minirdr::base::stop::{Answer as Called, CallResult, Notice, Report, State, StopOptions};
use minirdr::mrx::calldown::{Capabilities, MiniRedirector};
use minirdr::mrx::request::{Attributes, Extension, FileRef, Found, OpenOptions, OpenRef, Opened};
use minirdr::mrx::upcall::{RequestContext, Upcalls};
use minirdr::rdbss::device::Device;
use minirdr::rdbss::notice::Observer;
use minirdr::rdbss::register::{DeviceOptions, Registration, RegistrationControls, Registry};
use minirdr::rdbss::ticket::TicketState;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

/// What is asked from inside `MRxStop`, and how it was answered.
#[derive(Default)]
struct Inside {
    device: OnceLock<Weak<Device>>,
    answers: Mutex<Vec<Called<Report>>>,
}

/// A mini-redirector that stops and starts its own device from its stop callout.
struct Nested {
    null: NullRedirector,
    inside: Arc<Inside>,
}

impl MiniRedirector for Nested {
    fn name(&self) -> &'static str {
        "nested"
    }

    fn capabilities(&self) -> Capabilities {
        self.null.capabilities()
    }

    fn start(&self, context: &dyn RequestContext, up: Arc<dyn Upcalls>) -> Result<(), Status> {
        self.null.start(context, up)
    }

    fn create_v_net_root(
        &self,
        context: &dyn RequestContext,
        extension: &Extension,
    ) -> Result<(Extension, Found), Status> {
        self.null.create_v_net_root(context, extension)
    }

    fn lookup(
        &self,
        context: &dyn RequestContext,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Found, Status> {
        self.null.lookup(context, parent, name)
    }

    fn open(
        &self,
        context: &dyn RequestContext,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        self.null.open(context, file, options)
    }

    fn query_file_information(
        &self,
        context: &dyn RequestContext,
        file: FileRef<'_>,
        open: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        self.null.query_file_information(context, file, open)
    }

    fn stop(&self, context: &dyn RequestContext) -> Result<(), Status> {
        let mut answers = self.inside.answers.lock().expect("not poisoned");
        let device = self.inside.device.get().and_then(Weak::upgrade);
        if let Some(device) = device.filter(|_| answers.is_empty()) {
            let asked = [
                device.stop(context.caller(), StopOptions::default()),
                device.start(context.caller()),
            ];
            answers.extend(asked.map(|answer| answer.expect("the device takes calls")));
        }
        Ok(())
    }
}

/// C1, C4: a call from inside a callout of the control thread, which holds what it holds and waits
/// for this very callout, is answered Posted like any other, and runs when the stop is over.
#[test]
fn c1_c4_a_call_from_inside_a_stop_is_posted() {
    let inside = Arc::new(Inside::default());
    let shared = inside.clone();
    let factory = move || -> Arc<dyn MiniRedirector> {
        Arc::new(Nested { null: NullRedirector(Null::inline()), inside: shared.clone() })
    };
    let host = Host::new(Box::new(factory), DeviceOptions::default());
    host.start();
    assert!(inside.device.set(Arc::downgrade(&host.device)).is_ok());
    assert_eq!(host.stop().result, CallResult::Success);
    let answers = std::mem::take(&mut *inside.answers.lock().expect("not poisoned"));
    let [Called::Posted(stop), Called::Posted(start)] = answers[..] else {
        panic!("not both posted: {answers:?}")
    };
    assert_eq!(host.wait(stop).result, CallResult::AlreadyStopped);
    let started = host.wait(start);
    assert_eq!((started.result, started.generation), (CallResult::Success, Generation(2)));
    // A second round of the same would go on for ever.
    inside.answers.lock().expect("not poisoned").push(Called::Posted(stop));
}

/// C5, C6: what the results are on the wire. STATUS_REDIRECTOR_STOPPED has no number of its own.
#[test]
fn c5_c6_results_have_their_numbers() {
    assert_eq!(CallResult::AlreadyStopped.code(), Status::RedirectorNotStarted.code());
    assert_eq!(CallResult::AlreadyStopped.code(), 0xC000_00FB);
    assert_eq!(CallResult::HasOpenHandles.code(), wire::REDIRECTOR_HAS_OPEN_HANDLES);
    assert_eq!(CallResult::HasOpenHandles.code() >> 30, 2, "a warning, not an error");
    assert_eq!(CallResult::Success.code(), 0);
}

/// Holds a stop up where its end is told: before its ticket has a result.
struct HoldsTheEnd {
    reached: Mutex<Sender<()>>,
    go_on: Mutex<Receiver<()>>,
}

impl Observer for HoldsTheEnd {
    fn notice(&self, _: Generation, notice: Notice) {
        if let Notice::Stopped { .. } = notice {
            self.reached.lock().expect("not poisoned").send(()).expect("the test listens");
            let go_on = self.go_on.lock().expect("not poisoned");
            go_on.recv_timeout(LIMIT).expect("the test goes on");
        }
    }
}

/// Who waits for a quiet device finds every result told. It was not so: a daemon that waited for
/// the end of its last stop was gone before those who had asked for it knew.
#[test]
fn a_quiet_device_has_told_every_result() {
    let (reached, is_reached) = channel();
    let (go_on, may_go_on) = channel();
    let registry = Registry::default();
    let registration = Registration {
        name: "held".to_owned(),
        controls: RegistrationControls::default(),
        factory: Box::new(|| Arc::new(NullRedirector(Null::inline()))),
        options: DeviceOptions::default(),
        clock: SystemClock::shared(),
        observer: Arc::new(HoldsTheEnd {
            reached: Mutex::new(reached),
            go_on: Mutex::new(may_go_on),
        }),
        unc_provider: None,
        dependents: None,
    };
    let device = registry.register(registration).expect("a fresh registry");
    device.start(Caller::default()).expect("taken");
    assert!(device.wait_state(|state| state == State::Started, LIMIT));
    let called = device.stop(Caller::default(), StopOptions::default()).expect("taken");
    let Called::Posted(ticket) = called else { panic!("over at once") };
    is_reached.recv_timeout(LIMIT).expect("it ends");
    assert_eq!(device.state(), State::Startable);
    assert!(!device.wait_state(|state| state == State::Startable, Duration::from_millis(20)));
    go_on.send(()).expect("it waits");
    assert!(device.wait_state(|state| state == State::Startable, LIMIT));
    assert!(matches!(device.wait_ticket(ticket, Duration::ZERO), TicketState::Ended(_)));
    registry.unregister("held").expect("stopped");
}
