//! The world of the model: one device with its control thread, its callers and its clients, and a
//! mini-redirector that may hang or fail. Plain data, hashed and compared by the checker.

use crate::gate::Gate;
use minirdr::base::stop::{CallResult, OnDeadline};

/// What one caller does, call by call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Stop {
        grace: bool,
        deadline: Option<OnDeadline>,
    },
    Start,
    Pause,
    Resume,
    /// Waits for the result of the call before.
    Wait,
}

/// A plain stop.
pub const STOP: Call = Call::Stop { grace: false, deadline: None };

/// A stop with a deadline.
pub const fn stop_by(policy: OnDeadline) -> Call {
    Call::Stop { grace: false, deadline: Some(policy) }
}

/// What one client does, request by request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Open,
    /// Ends when it likes.
    Io,
    /// Waits for something that does not come: ends when it is cancelled or abandoned.
    Blocked,
    /// A write that the server never answers: ends when it is abandoned, and is lost then.
    Hung,
    /// A cleanup: the handle stays.
    Flush,
    Close,
}

/// Which callers and clients there are, and what the mini-redirector may do.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    pub callers: &'static [&'static [Call]],
    pub clients: &'static [&'static [Op]],
    /// It begins Started, in generation 1; otherwise Startable.
    pub started: bool,
    pub mrx_start_may_fail: bool,
    pub mrx_stop_may_fail: bool,
    pub mrx_stop_may_hang: bool,
    /// A new generation takes survivors over, or not, as it likes; otherwise it takes none.
    pub reclaims: bool,
}

impl Scene {
    /// Nothing goes wrong, nobody is there.
    pub const QUIET: Self = Self {
        callers: &[],
        clients: &[],
        started: true,
        mrx_start_may_fail: false,
        mrx_stop_may_fail: false,
        mrx_stop_may_hang: false,
        reclaims: false,
    };
}

/// The deadline outcomes by sternness: the order of `Terms::tighten`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    Resume,
    Stay,
    Cancel,
    Abort,
}

impl From<OnDeadline> for Policy {
    fn from(policy: OnDeadline) -> Self {
        match policy {
            OnDeadline::Resume => Self::Resume,
            OnDeadline::Stay => Self::Stay,
            OnDeadline::Cancel => Self::Cancel,
            OnDeadline::Abort => Self::Abort,
        }
    }
}

/// The terms of a stop as far as the machine goes: `Terms` without times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    pub grace: bool,
    pub deadline: Option<Policy>,
}

impl Terms {
    /// `Terms::tighten`: no grace where the later call has none, the sterner deadline.
    pub fn tighten(&mut self, later: Self) {
        self.grace &= later.grace;
        self.deadline = self.deadline.max(later.deadline);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Stop,
    Start,
    /// Only with [`crate::policy::Switch::OneThreadForAll`]: a client's request.
    Request(u8),
}

/// Whose call: the caller and the number of the call in his program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub caller: u8,
    pub call: u8,
}

/// A posted call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    pub kind: Kind,
    pub ticket: Ticket,
    pub terms: Terms,
    pub announced: bool,
}

/// The call that the control thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Running {
    pub kind: Kind,
    pub ticket: Ticket,
    pub terms: Terms,
    pub deadline_passed: bool,
    pub roll_back: bool,
    pub committed: bool,
    /// The start's context is there to be cancelled.
    pub context: bool,
    /// It was.
    pub cancelled: bool,
    /// Something acknowledged was given up on.
    pub lost: bool,
}

/// Where the control thread is. In the order in which a job passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    Idle,
    StopTaken {
        grace: bool,
    },
    Grace,
    /// Waits for the requests that cannot be cancelled.
    DrainStubborn,
    /// Has cancelled the others and waits for them.
    DrainCancelled,
    /// Waits for the last running close.
    Seal,
    Commit,
    MrxStop {
        hung: bool,
    },
    RunDeferred,
    Count,
    RollBack,
    StartTaken,
    /// `StartTaken` is stepped, the context not stored yet.
    Starting,
    MrxStart,
    /// Survivors with numbers from here on are still to be offered.
    Reclaim {
        from: u8,
    },
    StartDone,
    Finish(Outcome),
}

/// A call's result; `CallResult` that can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Success,
    HasOpenHandles,
    AlreadyStopped,
    AlreadyStarted,
    RolledBack,
    Lost,
    Failed,
}

impl From<CallResult> for Outcome {
    fn from(result: CallResult) -> Self {
        match result {
            CallResult::Success => Self::Success,
            CallResult::HasOpenHandles => Self::HasOpenHandles,
            CallResult::AlreadyStopped => Self::AlreadyStopped,
            CallResult::AlreadyStarted => Self::AlreadyStarted,
            CallResult::RolledBack => Self::RolledBack,
            CallResult::Lost => Self::Lost,
            CallResult::Failed => Self::Failed,
        }
    }
}

/// What a caller knows of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    None,
    /// Answered by the call itself.
    Done(Outcome),
    Posted,
    /// A ticket's result.
    Ended(Outcome),
}

/// What a caller's thread does between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallerStep {
    Ready,
    /// Only with [`crate::policy::Switch::FlipBeforePost`]: flipped, not posted.
    Flipped,
    /// Posted; its notice is still to be given. Cancels this start then.
    Announcing {
        cancels: Option<Ticket>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    pub at: u8,
    pub step: CallerStep,
    pub answers: Vec<Answer>,
    /// Only with [`crate::policy::Switch::StopCountsItself`]: his stop is in the gate.
    pub inside: bool,
}

/// How far a client's request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientStep {
    Between,
    /// Only with [`crate::policy::Switch::OneThreadForAll`]: counted, not posted yet.
    Posting,
    /// The same: queued among the control jobs.
    Queued,
    /// A close that passed uncounted and has not looked for its handle's server yet.
    Uncounted,
    /// The gate deferred it; it is not kept yet.
    Deferring,
    /// Kept by the sealed stop.
    Deferred,
    /// Handed back to be run; it has not asked the gate again yet.
    Released,
    /// In the mini-redirector of this generation.
    Inside {
        generation: u8,
        counted: bool,
        cancelled: bool,
    },
    Out,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub at: u8,
    pub step: ClientStep,
    pub handle: Option<u8>,
}

/// One entry of the handle table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    pub number: u8,
    pub owner: u8,
    /// Whose server is under it.
    pub generation: u8,
    pub survivor: bool,
}

/// One step of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Caller(usize),
    Client(usize),
    /// The control thread goes on.
    Lane,
    /// It goes on, and what it calls fails.
    LaneFails,
    /// It goes on, and what it calls does not return.
    LaneHangs,
    /// The running stop's deadline passes.
    Deadline,
    /// The running stop gives up on what is inside.
    Abandon,
}

/// What must never happen, noted when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    Impossible,
    SecondResult,
    AdmittedAfterStop,
    SecondMrxStop,
    Unreclaimed,
    AnothersHandle,
    RequestWithoutServer,
    StartNotEmpty,
    StartedIsUntrue,
    RolledBackNotServing,
}

/// One moment of it all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub gate: Gate,
    pub queue: Vec<Job>,
    pub lane: Lane,
    pub running: Option<Running>,
    /// Do closes that the gate defers find somebody who keeps them?
    pub deferring: bool,
    /// The generation whose mini-redirector is started and not stopped.
    pub up: Option<u8>,
    /// `MRxStop`s begun, less the results that tell of one.
    pub untold_stops: i8,
    pub handles: Vec<Handle>,
    pub next_number: u8,
    pub callers: Vec<Caller>,
    pub clients: Vec<Client>,
    pub violation: Option<Violation>,
}

impl World {
    pub fn new(scene: &Scene) -> Self {
        let mut gate = Gate::new();
        if scene.started {
            gate.set_state(minirdr::base::stop::State::StartInProgress);
            gate.set_state(minirdr::base::stop::State::Started);
        }
        let caller = |program: &&[Call]| Caller {
            at: 0,
            step: CallerStep::Ready,
            answers: vec![Answer::None; program.len()],
            inside: false,
        };
        let client = Client { at: 0, step: ClientStep::Between, handle: None };
        Self {
            gate,
            queue: Vec::new(),
            lane: Lane::Idle,
            running: None,
            deferring: false,
            up: scene.started.then_some(1),
            untold_stops: 0,
            handles: Vec::new(),
            next_number: 0,
            callers: scene.callers.iter().map(caller).collect(),
            clients: vec![client; scene.clients.len()],
            violation: None,
        }
    }

    /// Notes the first thing that must not happen.
    pub fn note(&mut self, wrong: bool, violation: Violation) {
        if wrong && self.violation.is_none() {
            self.violation = Some(violation);
        }
    }

    /// Nothing queued, nothing running: stop.md §3.
    pub fn quiet(&self) -> bool {
        self.queue.is_empty() && self.running.is_none()
    }

    /// A call's result. There must be none yet.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let place = &mut self.callers[ticket.caller as usize].answers[ticket.call as usize];
        let again = matches!(place, Answer::Done(_) | Answer::Ended(_));
        *place = answer;
        self.note(again, Violation::SecondResult);
    }

    /// Grows with every step of anybody: so no history comes back to where it was, and liveness
    /// can be read off the states in which nothing moves any more.
    pub fn measure(&self) -> u32 {
        let mut sum = u32::from(self.lane.rank());
        if let Some(running) = &self.running {
            let bits = [running.deadline_passed, running.cancelled];
            sum += bits.into_iter().map(u32::from).sum::<u32>();
        }
        for caller in &self.callers {
            let step = match caller.step {
                CallerStep::Ready => 0,
                CallerStep::Flipped => 1,
                CallerStep::Announcing { .. } => 2,
            };
            let ended = caller.answers.iter().filter(|answer| matches!(answer, Answer::Ended(_)));
            sum += u32::from(caller.at) * 4 + step + ended.count() as u32 * 256;
        }
        for client in &self.clients {
            let step = match client.step {
                ClientStep::Between | ClientStep::Out => 0,
                ClientStep::Posting | ClientStep::Released => 1,
                ClientStep::Queued | ClientStep::Deferring => 2,
                ClientStep::Deferred => 3,
                ClientStep::Uncounted => 4,
                ClientStep::Inside { cancelled, .. } => 5 + u32::from(cancelled),
            };
            sum += u32::from(client.at) * 16 + step;
        }
        sum
    }
}

impl Lane {
    /// Its place in the order of a job.
    fn rank(self) -> u8 {
        let place = match self {
            Self::Idle => 0,
            Self::StopTaken { .. } | Self::StartTaken => 1,
            Self::Grace | Self::Starting => 2,
            Self::DrainStubborn | Self::MrxStart => 3,
            Self::DrainCancelled => 4,
            Self::Seal => 5,
            Self::Commit => 6,
            Self::MrxStop { hung } => 7 + u8::from(hung),
            Self::RunDeferred => 9,
            Self::Reclaim { from } => 9 + from,
            Self::Count | Self::RollBack => 20,
            Self::StartDone => 21,
            Self::Finish(_) => 22,
        };
        // A step that hands closes back sets each of them back by two.
        place * 8
    }
}
