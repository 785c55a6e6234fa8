//! One request's end under loom: its callout returns, it is cancelled, it is abandoned, all at
//! once. Run with `--cfg loom` (docs/TESTING.md, "Model checking").
#![cfg(loom)]

#[path = "checkers/loom.rs"]
mod checker;

use checker::{FOREVER, check};
use loom::sync::mpsc::{Receiver, Sender, channel};
use loom::thread;
use minirdr::base::clock::{ManualClock, Moment};
use minirdr::base::ids::{Caller, SerialNumber};
use minirdr::base::status::Status;
use minirdr::base::stop::State;
use minirdr::base::sync::atomic::{AtomicUsize, Ordering};
use minirdr::mrx::upcall::RequestContext;
use minirdr::rdbss::context::{Arrival, Context, ContextCounts, Subject};
use minirdr::rdbss::gate::Gate;
use minirdr::rdbss::operation::{Answer, OperationKind, Responder};
use std::sync::Arc;
use std::time::Duration;

/// Keeps the answers: the reply to the application.
#[derive(Clone, Default)]
struct Replies(Arc<std::sync::Mutex<Vec<Result<(), Status>>>>);

impl Responder for Replies {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        self.0.lock().expect("not poisoned").push(answer.map(|_| ()));
    }
}

impl Replies {
    fn only(&self) -> Result<(), Status> {
        let replies = self.0.lock().expect("not poisoned");
        assert_eq!(replies.len(), 1, "answered {replies:?}");
        replies[0]
    }
}

struct Rig {
    gate: Arc<Gate>,
    counts: Arc<ContextCounts>,
    replies: Replies,
    context: Arc<Context>,
}

impl Rig {
    /// A request inside a started gate.
    fn new() -> Self {
        let gate = Arc::new(Gate::new());
        gate.drive(State::StartInProgress);
        gate.drive(State::Started);
        let clock = Arc::new(ManualClock::new());
        let (counts, replies) = (Arc::new(ContextCounts::new(clock)), Replies::default());
        let pass = gate.enter_normal(false).expect("started");
        let arrival = Arrival {
            serial: SerialNumber(1),
            caller: Caller::default(),
            operation: "read",
            kind: Some(OperationKind::Read),
            subject: Subject::Volume,
            arrived: Moment(0),
            deadline: None,
            changes: false,
            span: None,
        };
        let responder: Box<dyn Responder> = Box::new(replies.clone());
        let context =
            Context::new(arrival, Some(responder), Some(pass), gate.clone(), counts.clone());
        Self { gate, counts, replies, context }
    }

    /// Does this on another thread.
    fn at_once(&self, what: impl FnOnce(Arc<Context>) + 'static) -> thread::JoinHandle<()> {
        let context = self.context.clone();
        thread::spawn(move || what(context))
    }
}

/// What `Device::complete` does.
fn complete(context: &Context) {
    let _ = context.end(Ok(Answer::Empty));
    context.leave();
}

/// Invariant 6: whoever is first answers, once; the pass is given back, once.
#[test]
fn one_answer_and_one_pass() {
    check("request: completed, cancelled, abandoned", || {
        let rig = Rig::new();
        let callout = rig.at_once(|context| complete(&context));
        let killer = rig.at_once(|context| {
            let _ = context.answer(Err(Status::Cancelled));
            context.cancel();
        });
        let abandoned = rig.context.abandon(Status::IoTimeout);
        callout.join().expect("no panic");
        killer.join().expect("no panic");
        let reply = rig.replies.only();
        assert!(abandoned || reply != Err(Status::IoTimeout), "its caller was let go");
        assert!(!abandoned || reply != Ok(()), "its caller got what it asked for");
        assert_eq!(rig.gate.view().normals, 0);
        assert!(!rig.context.is_counted());
        assert_eq!(rig.counts.answered(), 1);
        let (done, cancelled, late) =
            (&rig.counts.completed, &rig.counts.cancelled, &rig.counts.late);
        assert!(done.load(Ordering::Relaxed) + cancelled.load(Ordering::Relaxed) <= 1);
        assert!(late.load(Ordering::Relaxed) <= 2);
    });
}

/// Stop.md §5: a cancel routine runs once, or its setter is told that it comes too late; and the
/// count of cancellable requests is right whoever was first.
#[test]
fn a_routine_runs_once_or_is_refused() {
    check("request: routine set, cancelled", || {
        let rig = Rig::new();
        let stubborn = rig.gate.enter_normal(false).expect("started");
        rig.gate.drive(State::Draining);
        let runs = Arc::new(AtomicUsize::new(0));
        let setter = {
            let (context, runs) = (rig.context.clone(), runs.clone());
            thread::spawn(move || {
                let routine = move || {
                    runs.fetch_add(1, Ordering::Relaxed);
                };
                context.set_cancel_routine(Box::new(routine)).is_err()
            })
        };
        let killer = {
            let context = rig.context.clone();
            thread::spawn(move || context.cancel())
        };
        assert!(!rig.gate.wait_uncancellable(Duration::ZERO), "the stubborn one is inside");
        let refused = setter.join().expect("no panic");
        let ran = killer.join().expect("no panic");
        assert_eq!(runs.load(Ordering::Relaxed), usize::from(ran));
        assert_ne!(ran, refused, "set too late to be called, and not told so");
        assert!(!rig.gate.wait_uncancellable(Duration::ZERO), "the stubborn one is inside");
        complete(&rig.context);
        assert!(!rig.gate.wait_uncancellable(Duration::ZERO), "the stubborn one is inside");
        rig.gate.leave(stubborn);
        assert!(rig.gate.wait_normals(Duration::ZERO));
    });
}

/// A callout that ends only when it is cancelled, against the conservative drain: the stopper hears
/// that it has become cancellable, cancels it, and hears that it has left.
#[test]
fn the_drain_cancels_what_can_be_cancelled() {
    check("request: blocking callout, drain", || {
        let rig = Rig::new();
        let callout = rig.at_once(|context| {
            let (tell, told): (Sender<()>, Receiver<()>) = channel();
            // The context may be gone when it is called: then nobody listens, and none need.
            let routine = move || {
                let _ = tell.send(());
            };
            if context.set_cancel_routine(Box::new(routine)).is_ok() {
                told.recv().expect("the routine is called");
                context.clear_cancel_routine();
            }
            let _ = context.answer(Err(Status::Cancelled));
            context.leave();
        });
        rig.gate.drive(State::Draining);
        while !rig.gate.wait_uncancellable(FOREVER) {}
        rig.context.cancel();
        while !rig.gate.wait_normals(FOREVER) {}
        callout.join().expect("no panic");
        assert_eq!(rig.replies.only(), Err(Status::Cancelled));
    });
}

/// A context that its last owner drops unanswered still answers, leaves, and wakes the stopper.
#[test]
fn a_dropped_request_answers_and_leaves() {
    check("request: dropped, drain", || {
        let Rig { gate, counts, replies, context } = Rig::new();
        let owner = thread::spawn(move || drop(context));
        gate.drive(State::Draining);
        while !gate.wait_normals(FOREVER) {}
        owner.join().expect("no panic");
        assert_eq!(replies.only(), Err(Status::Unsuccessful));
        assert_eq!(counts.unanswered.load(Ordering::Relaxed), 1);
        assert_eq!(gate.view().normals, 0);
    });
}
