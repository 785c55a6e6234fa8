//! Properties of the machine under its driver: random calls, a control thread that is fair, the
//! real `lifecycle::step` and the real gate, and a plain queue between them.
//!
//! Safety: once a stop is posted only cleanup and close pass; a ticket has one result, and it is
//! the one that the calls would have had one after the other. Liveness: whatever happened before,
//! one more stop and the control thread alone come to rest, in a bounded number of steps.

#[path = "common/seeded.rs"]
mod seeded;

use minirdr::base::ids::Generation;
use minirdr::base::stop::{CallResult, State};
use minirdr::rdbss::gate::{CloseEntry, Gate, Pass};
use minirdr::rdbss::lifecycle::{Action, Event, step, with_waiting};
use proptest::prelude::*;
use std::collections::VecDeque;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Stop {
        grace: bool,
    },
    Start,
    Pause,
    Resume,
    Unregister,
    /// The control thread goes on; what it calls succeeds.
    Control,
    /// It goes on: a start fails, a stop that can still be taken back is, by its deadline.
    ControlFails,
    /// A request asks the gate, and leaves it again.
    Request {
        opens: bool,
    },
    /// A close of a handle of this generation does.
    Close,
}

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        2 => any::<bool>().prop_map(|grace| Happens::Stop { grace }),
        2 => Just(Happens::Start),
        1 => Just(Happens::Pause),
        1 => Just(Happens::Resume),
        1 => Just(Happens::Unregister),
        6 => Just(Happens::Control),
        1 => Just(Happens::ControlFails),
        2 => any::<bool>().prop_map(|opens| Happens::Request { opens }),
        1 => Just(Happens::Close),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stop { grace: bool },
    Start,
}

#[derive(Clone, Copy, Debug)]
struct Job {
    kind: Kind,
    ticket: usize,
    rolled_back: bool,
}

impl Job {
    fn is_stop(&self) -> bool {
        matches!(self.kind, Kind::Stop { .. })
    }
}

/// A device without anything but its machine, its gate and its queue.
struct Bench {
    state: State,
    gate: Gate,
    queue: VecDeque<Job>,
    running: Option<Job>,
    results: Vec<Option<CallResult>>,
    /// What the calls would lead to one after the other: is a mini-redirector started?
    up: bool,
    mrx_stops: u64,
}

type Checked<T = ()> = Result<T, TestCaseError>;

impl Bench {
    fn new() -> Self {
        Self {
            state: State::Startable,
            gate: Gate::new(),
            queue: VecDeque::new(),
            running: None,
            results: Vec::new(),
            up: false,
            mrx_stops: 0,
        }
    }

    fn step(&mut self, event: Event) -> Checked<Action> {
        let stepped = step(self.state, event);
        let (state, action) = stepped.map_err(|why| TestCaseError::fail(why.to_string()))?;
        let stops = self.queue.iter().filter_map(|job| match job.kind {
            Kind::Stop { grace } => Some(grace),
            Kind::Start => None,
        });
        let state = if event.opens() { with_waiting(state, stops) } else { state };
        if state != self.state {
            self.state = state;
            self.gate.drive(state);
        }
        Ok(action)
    }

    /// The control thread's own progress asks for nothing more.
    fn progress(&mut self, event: Event) -> Checked {
        prop_assert_eq!(self.step(event)?, Action::Nothing);
        Ok(())
    }

    fn quiet(&self) -> bool {
        self.queue.is_empty() && self.running.is_none()
    }

    fn happens(&mut self, what: Happens) -> Checked {
        match what {
            Happens::Stop { grace } => {
                let event = Event::StopCalled { quiet: self.quiet(), grace };
                self.call(Kind::Stop { grace }, event)
            }
            Happens::Start => {
                let event = Event::StartCalled { quiet: self.quiet() };
                self.call(Kind::Start, event)
            }
            Happens::Pause => self.step(Event::PauseCalled).map(|_| ()),
            Happens::Resume => self.resume(),
            Happens::Unregister => {
                let allowed = step(self.state, Event::UnregisterCalled).is_ok();
                prop_assert_eq!(allowed, self.state == State::Startable);
                Ok(())
            }
            Happens::Control => self.control(false),
            Happens::ControlFails => self.control(true),
            Happens::Request { opens } => self.request(opens),
            Happens::Close => self.close(),
        }
    }

    fn call(&mut self, kind: Kind, event: Event) -> Checked {
        let told = match (kind, self.up) {
            (Kind::Stop { .. }, false) => Some(CallResult::AlreadyStopped),
            (Kind::Start, true) => Some(CallResult::AlreadyStarted),
            (Kind::Stop { .. }, true) | (Kind::Start, false) => None,
        };
        let quiet = self.quiet();
        match self.step(event)? {
            Action::Answer(result) => prop_assert_eq!(Some(result), told.filter(|_| quiet)),
            Action::Post | Action::PostAndCancelStart => {
                prop_assert!(!quiet || told.is_none(), "a quiet device answers at once");
                let ticket = self.results.len();
                self.results.push(None);
                if let Kind::Stop { grace: false } = kind {
                    // As `Device::tighten` does.
                    let ahead = self.queue.iter_mut().chain(&mut self.running);
                    for job in ahead.filter(|job| job.is_stop()) {
                        job.kind = kind;
                    }
                }
                self.queue.push_back(Job { kind, ticket, rolled_back: false });
            }
            other => return Err(TestCaseError::fail(format!("a call may not {other:?}"))),
        }
        Ok(())
    }

    /// All stops that can be taken back are.
    fn resume(&mut self) -> Checked {
        let (stops, others): (VecDeque<Job>, _) =
            self.queue.iter().copied().partition(Job::is_stop);
        let queue = std::mem::replace(&mut self.queue, others);
        if self.step(Event::ResumeCalled)? != Action::RollBackStop {
            self.queue = queue;
            return Ok(());
        }
        if let Some(running) = self.running.as_mut().filter(|job| job.is_stop()) {
            running.rolled_back = true;
        }
        prop_assert!(matches!(self.state, State::Started), "resumed: {:?}", self.state);
        stops.iter().try_for_each(|job| self.end(*job, CallResult::RolledBack))
    }

    /// The control thread's next step, if it has one.
    fn control(&mut self, fails: bool) -> Checked {
        let Some(job) = self.running else {
            let Some(job) = self.queue.pop_front() else { return Ok(()) };
            self.running = Some(job);
            return self.take(job);
        };
        if job.rolled_back {
            return self.end(job, CallResult::RolledBack);
        }
        match (job.kind, self.state) {
            (Kind::Start, _) if fails => {
                self.progress(Event::StartFailed)?;
                self.end(job, CallResult::Failed)
            }
            (Kind::Start, _) => {
                self.up = true;
                self.progress(Event::StartDone)?;
                self.end(job, CallResult::Success)
            }
            (Kind::Stop { .. }, _) if fails => {
                self.progress(Event::RollBack)?;
                self.end(job, CallResult::RolledBack)
            }
            (Kind::Stop { .. }, State::Paused) => self.progress(Event::GraceOver),
            (Kind::Stop { .. }, State::Draining) => self.progress(Event::Drained),
            (Kind::Stop { .. }, state) => {
                prop_assert_eq!(state, State::Sealing);
                let view = self.gate.view();
                prop_assert_eq!((view.normals, view.closes), (0, 0), "MRxStop runs alone");
                prop_assert!(self.up, "MRxStop runs once");
                (self.up, self.mrx_stops) = (false, self.mrx_stops + 1);
                self.progress(Event::StopDone)?;
                self.end(job, CallResult::Success)
            }
        }
    }

    fn take(&mut self, job: Job) -> Checked {
        let (event, told) = match job.kind {
            Kind::Stop { grace } => (Event::StopTaken { grace }, CallResult::AlreadyStopped),
            Kind::Start => (Event::StartTaken, CallResult::AlreadyStarted),
        };
        let idle = job.is_stop() != self.up;
        match self.step(event)? {
            Action::Answer(result) => {
                prop_assert!(idle && result == told, "{:?} of {:?}", result, job);
                self.end(job, result)
            }
            Action::RunStart => {
                prop_assert!(!job.is_stop() && !idle);
                prop_assert_eq!(self.gate.view().normals, 0, "a start begins with nothing inside");
                Ok(())
            }
            Action::RunGrace | Action::RunDrain => {
                prop_assert!(job.is_stop() && !idle);
                Ok(())
            }
            other => Err(TestCaseError::fail(format!("{other:?} of {job:?}"))),
        }
    }

    fn end(&mut self, job: Job, result: CallResult) -> Checked {
        if self.running.is_some_and(|running| running.ticket == job.ticket) {
            self.running = None;
        }
        let before = self.results[job.ticket].replace(result);
        prop_assert_eq!(before, None, "a second result of ticket {}", job.ticket);
        Ok(())
    }

    fn request(&mut self, opens: bool) -> Checked {
        let all = self.queue.iter().chain(self.running.iter().filter(|job| !job.rolled_back));
        let mut graces = all.filter_map(|job| match job.kind {
            Kind::Stop { grace } => Some(grace),
            Kind::Start => None,
        });
        let stopping = graces.any(|grace| opens || !grace);
        if let Ok(pass) = self.gate.enter_normal(opens) {
            prop_assert!(!stopping, "a request passed in {:?} after a stop was posted", self.state);
            prop_assert!(self.up, "a request passed with nothing started");
            self.leave(pass);
        }
        Ok(())
    }

    fn close(&mut self) -> Checked {
        let Generation(generation) = self.gate.view().generation;
        match self.gate.enter_close(Generation(generation)) {
            CloseEntry::Counted(pass) => self.leave(pass),
            // Never refused: it runs, or runs later.
            CloseEntry::Survivor | CloseEntry::Deferred => {}
        }
        Ok(())
    }

    fn leave(&self, pass: Pass) {
        self.gate.leave(pass);
    }
}

/// Stop.md C2, §3: safety of any history.
#[test]
fn c2_any_history_is_safe() {
    let histories = prop::collection::vec(anything(), 0..200);
    seeded::check("c2_any_history_is_safe", 300, &histories, |history| {
        let mut bench = Bench::new();
        history.into_iter().try_for_each(|what| bench.happens(what))?;
        let view = bench.gate.view();
        prop_assert_eq!(view.state, bench.state, "one word of truth");
        let stopped = view.generation.0 - u64::from(bench.up);
        prop_assert_eq!(bench.mrx_stops, stopped, "a generation is stopped once");
        Ok(())
    });
}

/// Liveness: from any state that any history leads to, one stop and a fair control thread come to
/// rest in at most five steps a call (taken, grace over, drained, stopped; or taken, started).
#[test]
fn liveness_one_stop_comes_to_rest() {
    let histories = prop::collection::vec(anything(), 0..100);
    seeded::check("liveness_one_stop_comes_to_rest", 300, &histories, |history| {
        let mut bench = Bench::new();
        history.into_iter().try_for_each(|what| bench.happens(what))?;
        bench.happens(Happens::Stop { grace: false })?;
        let bound = 5 * (bench.queue.len() + 1);
        for _ in 0..bound {
            bench.happens(Happens::Control)?;
        }
        prop_assert!(bench.quiet(), "after {} steps: {:?}", bound, bench.state);
        prop_assert_eq!(bench.state, State::Startable);
        prop_assert!(bench.results.iter().all(Option::is_some), "{:?}", bench.results);
        Ok(())
    });
}
