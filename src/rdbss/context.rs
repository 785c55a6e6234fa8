//! RX_CONTEXT: one request from arrival to reply.
//!
//! Two things live in it until its end, and they end apart: the *reply*, which is given once, to
//! whoever is first (the callout, a cancel, a deadline), and the *pass*, which stays counted in the
//! gate until the callout has really returned, or a stop's deadline abandons it. So a caller can be
//! let go while the conservative drain still knows that its server is busy (stop.md §5).

use crate::base::clock::{Clock, Moment};
use crate::base::ids::{Caller, HandleNumber, LossNumber, SerialNumber};
use crate::base::status::Status;
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::{Mutex, Rank, assert_no_locks};
use crate::mrx::upcall::RequestContext;
use crate::rdbss::gate::{Gate, Pass};
use crate::rdbss::kind::OperationKind;
use crate::rdbss::objects::fobx::{Cleanup, Fobx};
use crate::rdbss::operation::{Answer, Node, Responder};
use crate::rdbss::ops::data::Unsent;
use crate::rdbss::statistics::AnsweredRequests;
use std::sync::{Arc, Weak};

/// What a request is about, for listings: a file or a handle, named only when somebody asks.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A file.
    Node(Node),
    /// A handle.
    Handle(HandleNumber),
    /// The volume.
    Volume,
}

/// Where a WRITE's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// Counts that the contexts of a device share.
#[derive(Debug)]
pub struct ContextCounts {
    /// By whose time latency is counted.
    clock: Arc<dyn Clock>,
    /// The requests that were answered, by operation. Each is in one of the next four as well.
    pub requests: AnsweredRequests,
    /// Requests that ended because they were cancelled.
    pub cancelled: AtomicU64,
    /// Requests that ran to their own end: neither cancelled, nor abandoned, nor too slow.
    pub completed: AtomicU64,
    /// Requests whose deadline passed.
    pub timed_out: AtomicU64,
    /// Requests a stop gave up on.
    pub abandoned: AtomicU64,
    /// Results that came when the caller had been answered already.
    pub late: AtomicU64,
    /// Contexts dropped without a reply.
    pub unanswered: AtomicU64,
    /// Bytes of page write-back that reached their server.
    pub written_back_bytes: AtomicU64,
    /// Bytes handed over by applications and not on their servers, of all handles.
    pub unsent_bytes: AtomicU64,
    /// Losses named that reached their server after all.
    pub arrived: AtomicU64,
}

impl ContextCounts {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            requests: AnsweredRequests::default(),
            cancelled: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            late: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            written_back_bytes: AtomicU64::new(0),
            unsent_bytes: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
        }
    }

    /// Replies given.
    #[must_use]
    pub fn answered(&self) -> u64 {
        let all = [&self.completed, &self.cancelled, &self.timed_out, &self.abandoned];
        all.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

struct Inner {
    responder: Option<Box<dyn Responder>>,
    pass: Option<Pass>,
    cancel_routine: Option<Box<dyn FnOnce() + Send>>,
    /// Counted as cancellable in the gate.
    counted_cancellable: bool,
    /// The handle whose data it carries, for the loss report; let go of when the callout returns.
    fobx: Option<Arc<Fobx>>,
    /// That data, where it is ours to keep.
    data: Option<Arc<[u8]>>,
    /// That data, as it is counted unsent. Weak: it is counted for as long as the callout has it.
    unsent: Weak<Unsent>,
    /// The loss its data was named as.
    lost_as: Option<LossNumber>,
    /// The handle that is cleaned up keeps its generation meanwhile.
    cleanup: Option<Cleanup>,
    /// Its callout has returned, and its caller got what it returned.
    ended: bool,
}

/// One request.
pub struct Context {
    serial: SerialNumber,
    caller: Caller,
    operation: &'static str,
    kind: Option<OperationKind>,
    subject: Subject,
    span: Option<Span>,
    arrived: Moment,
    deadline: Option<Moment>,
    changes: bool,
    gate: Arc<Gate>,
    counts: Arc<ContextCounts>,
    cancelled: AtomicBool,
    abandoned: AtomicBool,
    inner: Mutex<Inner>,
}

/// What a new context is made of.
pub struct Arrival {
    /// Its number.
    pub serial: SerialNumber,
    /// Who asks.
    pub caller: Caller,
    /// The operation's word.
    pub operation: &'static str,
    /// Which one it is; none: something the core does by itself, which is answered to nobody.
    pub kind: Option<OperationKind>,
    /// What it is about.
    pub subject: Subject,
    /// Of a WRITE: where to.
    pub span: Option<Span>,
    /// Now.
    pub arrived: Moment,
    /// When to give up.
    pub deadline: Option<Moment>,
    /// Does it change something on the server ([`Operation::changes`])?
    ///
    /// [`Operation::changes`]: crate::rdbss::operation::Operation::changes
    pub changes: bool,
}

impl Context {
    /// A request that passed the gate. `pass` is none for an uncounted one.
    #[must_use]
    pub fn new(
        arrival: Arrival,
        responder: Option<Box<dyn Responder>>,
        pass: Option<Pass>,
        gate: Arc<Gate>,
        counts: Arc<ContextCounts>,
    ) -> Arc<Self> {
        let inner = Inner {
            responder,
            pass,
            cancel_routine: None,
            counted_cancellable: false,
            fobx: None,
            data: None,
            unsent: Weak::new(),
            lost_as: None,
            cleanup: None,
            ended: false,
        };
        Arc::new(Self {
            serial: arrival.serial,
            caller: arrival.caller,
            operation: arrival.operation,
            kind: arrival.kind,
            subject: arrival.subject,
            span: arrival.span,
            arrived: arrival.arrived,
            deadline: arrival.deadline,
            changes: arrival.changes,
            gate,
            counts,
            cancelled: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            inner: Mutex::new(Rank::Context, inner),
        })
    }

    /// The operation's word.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Of a WRITE: where to.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// Keeps a WRITE's bytes at hand until its callout has returned.
    pub fn hold_data(&self, data: Arc<[u8]>) {
        self.inner.lock().data = Some(data);
    }

    /// Remembers whose data it carries until its callout has returned.
    pub fn hold_handle(&self, fobx: &Arc<Fobx>) {
        self.inner.lock().fobx = Some(fobx.clone());
    }

    /// Remembers how its data is counted.
    pub(in crate::rdbss) fn hold_unsent(&self, unsent: &Arc<Unsent>) {
        self.inner.lock().unsent = Arc::downgrade(unsent);
        // Whoever gives up on it marks it first, and looks for this then.
        if self.is_abandoned() {
            unsent.end();
        }
    }

    /// Given up on: its data is a loss, and not unsent any more.
    pub(in crate::rdbss) fn end_unsent(&self) {
        let unsent = self.inner.lock().unsent.upgrade();
        if let Some(unsent) = unsent {
            unsent.end();
        }
    }

    /// What it holds of these.
    #[must_use]
    pub fn held(&self) -> (Option<Arc<Fobx>>, Option<Arc<[u8]>>) {
        let inner = self.inner.lock();
        (inner.fobx.clone(), inner.data.clone())
    }

    /// Its data is named lost under this number; the one it was named under before, if it was.
    pub fn name_lost(&self, number: LossNumber) -> Result<(), LossNumber> {
        let mut inner = self.inner.lock();
        match inner.lost_as {
            Some(before) => Err(before),
            None => {
                inner.lost_as = Some(number);
                Ok(())
            }
        }
    }

    /// When it arrived.
    #[must_use]
    pub fn arrived(&self) -> Moment {
        self.arrived
    }

    /// Does it change something on the server? Then its caller is not told lightly that it did not.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.changes
    }

    /// Has it a cancel routine now?
    #[must_use]
    pub fn is_cancellable(&self) -> bool {
        self.inner.lock().cancel_routine.is_some()
    }

    /// Is it counted in the gate still?
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.inner.lock().pass.is_some()
    }

    /// Is it a counted cleanup or close? What it does is owed: a stop waits for it, and never
    /// cancels it.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.inner.lock().pass.as_ref().is_some_and(Pass::is_close)
    }

    /// Would cancelling it change anything? Not twice.
    #[must_use]
    pub fn can_cancel(&self) -> bool {
        !self.cancelled.load(Ordering::Acquire) || self.is_cancellable()
    }

    /// Has its caller been answered?
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.inner.lock().responder.is_none()
    }

    /// Was it given up on by a stop's deadline?
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Gives the reply if it has not been given. Returns the answer back when it came too late: the
    /// caller of this must undo what it stands for. The pass is kept.
    #[must_use]
    pub fn answer(&self, answer: Result<Answer, Status>) -> Option<Result<Answer, Status>> {
        let responder = self.inner.lock().responder.take();
        self.respond(responder, answer)
    }

    /// The same with what the callout returned: if it is given, the request cannot be abandoned any
    /// more.
    #[must_use]
    pub fn end(&self, answer: Result<Answer, Status>) -> Option<Result<Answer, Status>> {
        let responder = {
            let mut inner = self.inner.lock();
            inner.ended = inner.responder.is_some();
            inner.responder.take()
        };
        self.respond(responder, answer)
    }

    fn respond(
        &self,
        responder: Option<Box<dyn Responder>>,
        answer: Result<Answer, Status>,
    ) -> Option<Result<Answer, Status>> {
        let Some(responder) = responder else {
            self.counts.late.fetch_add(1, Ordering::Relaxed);
            return Some(answer);
        };
        assert_no_locks("a reply");
        self.count_answer(&answer);
        responder.respond(answer);
        None
    }

    /// Before it is given: who has his answer finds it counted.
    fn count_answer(&self, answer: &Result<Answer, Status>) {
        if let Some(kind) = self.kind {
            let took = self.counts.clock.now().since(self.arrived);
            self.counts.requests.count(kind, took, answer);
        }
        let how = match answer {
            _ if self.is_abandoned() => &self.counts.abandoned,
            Err(Status::IoTimeout) => &self.counts.timed_out,
            Err(_) if self.is_cancelled() => &self.counts.cancelled,
            _ => &self.counts.completed,
        };
        how.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts it shares with its device's other contexts.
    #[must_use]
    pub fn counts(&self) -> &Arc<ContextCounts> {
        &self.counts
    }

    /// It is a cleanup or close, and ends with this.
    pub fn holds(&self, cleanup: Cleanup) {
        let before = self.inner.lock().cleanup.replace(cleanup);
        drop(before);
    }

    /// Its callout is over, or it makes none: its handle may be reclaimed, or go.
    pub fn end_cleanup(&self) {
        let held = {
            let mut inner = self.inner.lock();
            (inner.cleanup.take(), inner.fobx.take())
        };
        drop(held);
    }

    /// A close that was put off is counted after all.
    pub fn count(&self, pass: Pass) {
        let before = self.inner.lock().pass.replace(pass);
        if let Some(pass) = before {
            self.gate.leave(pass);
        }
    }

    /// The callout is over: leaves the gate. Idempotent. The number its data was named lost under
    /// before, if it was: from here on it is not.
    pub fn leave(&self) -> Option<LossNumber> {
        let (held, pass, counted, lost_as) = {
            let mut inner = self.inner.lock();
            let routine = inner.cancel_routine.take();
            let held = (routine, inner.cleanup.take(), inner.fobx.take(), inner.data.take());
            let counted = std::mem::take(&mut inner.counted_cancellable);
            // The pass with the number: who abandons it later finds that it has ended.
            (held, inner.pass.take(), counted, inner.lost_as.take())
        };
        // A routine that was never called is dropped here, with no lock held.
        drop(held);
        self.leave_gate(pass, counted);
        lost_as
    }

    /// True if it was inside.
    fn leave_gate(&self, pass: Option<Pass>, counted: bool) -> bool {
        if counted {
            self.gate.ceased_cancellable();
        }
        let Some(pass) = pass else { return false };
        self.gate.leave(pass);
        true
    }

    /// The same for one whose callout may still run.
    fn give_pass_back(&self) -> bool {
        let (pass, counted) = {
            let mut inner = self.inner.lock();
            (inner.pass.take(), std::mem::take(&mut inner.counted_cancellable))
        };
        self.leave_gate(pass, counted)
    }

    /// Marks it cancelled and calls its cancel routine, if it has one, with no lock held. True if
    /// there was one. Foreign code: the core calls it through `Device::cancel_requests`, which
    /// waits for it no longer than it may.
    pub fn cancel(&self) -> bool {
        let routine = {
            let mut inner = self.inner.lock();
            self.cancelled.store(true, Ordering::Release);
            inner.cancel_routine.take()
        };
        let Some(routine) = routine else { return false };
        self.forget_cancellable();
        assert_no_locks("a cancel routine");
        crate::rdbss::calldown::guard_drop("a cancel routine", routine);
        true
    }

    /// Gives up on it: the caller gets `status`, the gate its pass; the callout may still run, and
    /// is to be told by [`Context::cancel`] afterwards. False if it had ended already.
    pub fn abandon(&self, status: Status) -> bool {
        let answered = {
            let inner = self.inner.lock();
            if inner.pass.is_none() {
                return false;
            }
            if inner.ended {
                // All that is left of it is its pass, on its way back.
                drop(inner);
                self.give_pass_back();
                return false;
            }
            self.cancelled.store(true, Ordering::Release);
            self.abandoned.store(true, Ordering::Release);
            inner.responder.is_none()
        };
        // Its callout may end in this very moment, and answer first: then it was not abandoned.
        let let_go = !answered && self.answer(Err(status)).is_none();
        let left = self.give_pass_back();
        let_go || (answered && left)
    }

    fn forget_cancellable(&self) {
        let counted = std::mem::take(&mut self.inner.lock().counted_cancellable);
        if counted {
            self.gate.ceased_cancellable();
        }
    }
}

impl RequestContext for Context {
    fn serial(&self) -> SerialNumber {
        self.serial
    }

    fn caller(&self) -> Caller {
        self.caller
    }

    fn deadline(&self) -> Option<Moment> {
        self.deadline
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    fn set_cancel_routine(&self, routine: Box<dyn FnOnce() + Send>) -> Result<(), Status> {
        let replaced = {
            let mut inner = self.inner.lock();
            // Tested under the lock under which `cancel` sets it: one of the two sees the other.
            if self.cancelled.load(Ordering::Acquire) {
                return Err(Status::Cancelled);
            }
            let normal = inner.pass.as_ref().is_some_and(|pass| !pass.is_close());
            if normal && !inner.counted_cancellable {
                inner.counted_cancellable = true;
                // Under the lock, which only its own sleeper's lock follows: once it is seen as
                // counted it may be taken out of the count again, which must not fall below zero.
                self.gate.became_cancellable();
            }
            inner.cancel_routine.replace(routine)
        };
        drop(replaced);
        Ok(())
    }

    fn clear_cancel_routine(&self) -> bool {
        let routine = self.inner.lock().cancel_routine.take();
        self.forget_cancellable();
        routine.is_some()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.leave();
        let responder = self.inner.lock().responder.take();
        if let Some(responder) = responder {
            self.counts.unanswered.fetch_add(1, Ordering::Relaxed);
            log::error!("request {} ({}) was dropped unanswered", self.serial, self.operation);
            responder.respond(Err(Status::Unsuccessful));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::ids::Generation;
    use crate::base::stop::State;
    use crate::rdbss::gate::CloseEntry;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    struct Tell(Sender<Result<Answer, Status>>);

    impl Responder for Tell {
        fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
            // A context that a test drops unanswered after it stopped listening is its own affair.
            let _ = self.0.send(answer);
        }
    }

    type Answers = Receiver<Result<Answer, Status>>;

    fn context() -> (Arc<Context>, Arc<Gate>, Arc<ContextCounts>, Answers) {
        let gate = Arc::new(Gate::new());
        gate.set_state(State::StartInProgress);
        gate.set_state(State::Started);
        let counts = Arc::new(ContextCounts::new(Arc::new(ManualClock::new())));
        let pass = gate.enter_normal(false).expect("started");
        let (sender, receiver) = channel();
        let arrival = Arrival {
            serial: SerialNumber(1),
            caller: Caller::default(),
            operation: "read",
            kind: Some(OperationKind::Read),
            subject: Subject::Volume,
            span: None,
            arrived: Moment(0),
            deadline: None,
            changes: false,
        };
        let responder: Box<dyn Responder> = Box::new(Tell(sender));
        let context =
            Context::new(arrival, Some(responder), Some(pass), gate.clone(), counts.clone());
        (context, gate, counts, receiver)
    }

    /// Invariant 6: a dropped context answers once, is counted as a defect, and leaves the gate.
    #[test]
    fn a_dropped_context_answers_and_leaves() {
        let (context, gate, counts, receiver) = context();
        drop(context);
        assert!(matches!(receiver.recv(), Ok(Err(Status::Unsuccessful))));
        assert!(receiver.recv().is_err());
        assert_eq!(counts.unanswered.load(Ordering::Relaxed), 1);
        assert_eq!(gate.view().normals, 0);
    }

    /// Invariant 6: the second answer comes back to be undone.
    #[test]
    fn only_the_first_answer_is_given() {
        let (context, _gate, counts, receiver) = context();
        assert!(context.answer(Err(Status::Cancelled)).is_none());
        assert!(context.answer(Ok(Answer::Empty)).is_some());
        assert!(matches!(receiver.try_recv(), Ok(Err(Status::Cancelled))));
        assert!(receiver.try_recv().is_err());
        assert_eq!(counts.late.load(Ordering::Relaxed), 1);
    }

    /// Stop.md §5: a cancel routine runs once, and the answered request stays counted until it
    /// ends.
    #[test]
    fn cancel_calls_the_routine_once() {
        let (context, gate, _counts, _receiver) = context();
        let (sender, calls) = channel();
        context
            .set_cancel_routine(Box::new(move || sender.send(()).expect("the test listens")))
            .expect("not cancelled yet");
        gate.set_state(State::Draining);
        assert!(gate.wait_uncancellable(Duration::ZERO), "the only one inside is cancellable");
        assert!(context.cancel());
        assert!(!context.cancel());
        assert_eq!(calls.iter().count(), 1);
        assert!(!gate.wait_uncancellable(Duration::ZERO), "cancelled: now it is waited for");
        assert_eq!(
            context.set_cancel_routine(Box::new(|| {})).err(),
            Some(Status::Cancelled),
            "too late for a routine"
        );
        context.leave();
        assert!(gate.wait_normals(Duration::ZERO));
    }

    /// Stop.md S1: abandoning answers the caller and frees the gate, while the callout still runs;
    /// its cancel routine is there to be called.
    #[test]
    fn s1_abandon_frees_the_gate() {
        let (context, gate, counts, receiver) = context();
        context.set_cancel_routine(Box::new(|| {})).expect("not cancelled yet");
        assert!(context.abandon(Status::IoTimeout));
        assert!(!context.abandon(Status::IoTimeout));
        assert!(matches!(receiver.try_recv(), Ok(Err(Status::IoTimeout))));
        assert_eq!(gate.view().normals, 0);
        assert!(context.is_abandoned());
        assert!(context.cancel(), "the callout is told");
        assert_eq!(counts.completed.load(Ordering::Relaxed), 0);
        assert_eq!(counts.cancelled.load(Ordering::Relaxed), 0);
    }

    /// Stop.md S1: what has ended and been answered is not abandoned, though its pass is still on
    /// its way back: a write that succeeded is no loss.
    #[test]
    fn s1_what_has_ended_is_not_abandoned() {
        let (context, gate, counts, receiver) = context();
        assert!(context.end(Ok(Answer::Empty)).is_none());
        assert!(!context.abandon(Status::IoTimeout));
        assert!(!context.is_abandoned());
        assert!(matches!(receiver.try_recv(), Ok(Ok(Answer::Empty))));
        assert_eq!(gate.view().normals, 0);
        context.leave();
        assert_eq!(gate.view().normals, 0);
        assert_eq!(counts.completed.load(Ordering::Relaxed), 1);
    }

    /// Stop.md §4 step 3: a close that can be cancelled does not stand for a request that cannot.
    #[test]
    fn a_cancellable_close_is_not_counted_among_the_requests() {
        let (stubborn, gate, counts, _receiver) = context();
        let CloseEntry::Counted(pass) = gate.enter_close(Generation(1)) else { panic!("started") };
        let arrival = Arrival {
            serial: SerialNumber(2),
            caller: Caller::default(),
            operation: "flush",
            kind: Some(OperationKind::Flush),
            subject: Subject::Volume,
            span: None,
            arrived: Moment(0),
            deadline: None,
            changes: false,
        };
        let close = Context::new(arrival, None, Some(pass), gate.clone(), counts);
        close.set_cancel_routine(Box::new(|| {})).expect("not cancelled yet");
        gate.set_state(State::Draining);
        assert!(!gate.wait_uncancellable(Duration::ZERO), "the stubborn one is inside");
        stubborn.leave();
        assert!(gate.wait_uncancellable(Duration::ZERO));
    }

    /// Stop.md §4 step 3: cancelling a request in the moment it becomes cancellable never makes the
    /// drain believe that only cancellable ones are left.
    #[test]
    fn the_cancellable_are_never_counted_below_zero() {
        for _ in 0..2000 {
            let (context, gate, _counts, _receiver) = context();
            let stubborn = gate.enter_normal(false).expect("started");
            gate.set_state(State::Draining);
            std::thread::scope(|scope| {
                let (context, gate) = (&context, &gate);
                scope.spawn(move || context.set_cancel_routine(Box::new(|| {})));
                scope.spawn(move || context.cancel());
                for _ in 0..50 {
                    assert!(!gate.wait_uncancellable(Duration::ZERO), "the stubborn one is inside");
                }
            });
            gate.leave(stubborn);
        }
    }
}
