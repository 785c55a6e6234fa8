//! What the loom models share: a bounded search that says how far it went, a driver around the real
//! gate and the real machine, and a backend that notices who runs beside its stop.

// Each test is a program of its own and uses its own part.
#![allow(dead_code)]

use minirdr::base::stop::State;
use minirdr::base::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use minirdr::base::sync::{Mutex, Rank};
use minirdr::rdbss::gate::Gate;
use minirdr::rdbss::lifecycle::{Event, step};
use minirdr::rdbss::survivors::DeferredCloses;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Under a checker no wait runs out.
pub const FOREVER: Duration = Duration::MAX;

/// Runs a model in every schedule with at most three preemptions, unless `LOOM_MAX_PREEMPTIONS`
/// says otherwise. A deadlock, a panic or a failed assertion in any of them fails the test; how
/// many there were is printed.
pub fn check(name: &str, model: impl Fn() + Send + Sync + 'static) {
    check_within(3, name, model);
}

/// The same with another bound, for a model with many schedules.
pub fn check_within(preemptions: usize, name: &str, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 10_000;
    let bound = builder.preemption_bound;
    // The standard library's: it lives longer than one execution.
    let executions = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = executions.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("loom: {name}: {executions} executions, preemptions {bound:?}");
    assert!(executions > 1, "{name}: there was nothing to choose");
}

/// The core's `set_state` around a gate: the machine's lock, a step, the gate.
pub struct Driver {
    state: Mutex<State>,
    pub gate: Gate,
    pub deferred: DeferredCloses,
}

impl Driver {
    /// Generation 1, started.
    pub fn started() -> Arc<Self> {
        let driver = Self {
            state: Mutex::new(Rank::Lifecycle, State::Startable),
            gate: Gate::new(),
            deferred: DeferredCloses::default(),
        };
        driver.event(Event::StartTaken);
        driver.event(Event::StartDone);
        Arc::new(driver)
    }

    pub fn state(&self) -> State {
        *self.state.lock()
    }

    /// Steps the machine and the gate in one critical section.
    pub fn event(&self, event: Event) {
        let mut state = self.state.lock();
        let (next, _) = step(*state, event).expect("the model keeps to the machine's order");
        *state = next;
        self.gate.drive(next);
    }

    /// A whole stop (stop.md §4), asked for and run here.
    pub fn stop(&self, backend: &Backend) {
        self.event(Event::StopCalled { quiet: true, grace: false });
        while !self.gate.wait_uncancellable(FOREVER) {}
        self.drained(backend);
    }

    /// The rest of it, once only cancellable requests are left.
    pub fn drained(&self, backend: &Backend) {
        while !self.gate.wait_normals(FOREVER) {}
        self.deferred.begin();
        self.event(Event::Drained);
        while !self.gate.wait_closes(FOREVER) {}
        backend.stop();
        if !self.deferred.end_if_none() {
            self.deferred.run_all();
        }
        self.event(Event::StopDone);
    }

    /// A start.
    pub fn start(&self, backend: &Backend) {
        self.event(Event::StartTaken);
        backend.start();
        self.event(Event::StartDone);
    }
}

/// What requests use and MRxStop takes away. Its fields are read and written with no ordering of
/// their own: what one thread sees of another's comes from the gate alone, and a value that is too
/// old to be right shows that the gate orders too little.
pub struct Backend {
    up: AtomicBool,
    stopping: AtomicBool,
    used: AtomicUsize,
    /// Of these, seen by nobody who had to see them yet.
    left_behind: AtomicUsize,
    /// How many have been told to the checker, not to the model: what a stop has to see.
    entered: std::sync::atomic::AtomicUsize,
}

impl Backend {
    pub fn up() -> Arc<Self> {
        Arc::new(Self {
            up: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            used: AtomicUsize::new(0),
            left_behind: AtomicUsize::new(0),
            entered: std::sync::atomic::AtomicUsize::new(0),
        })
    }

    /// By a counted request, between entering and leaving.
    pub fn used(&self) {
        assert!(self.up.load(Ordering::Relaxed), "a request beside a backend that is down");
        assert!(!self.stopping.load(Ordering::Relaxed), "a request beside MRxStop");
        self.left_behind.fetch_add(1, Ordering::Relaxed);
        self.used.fetch_add(1, Ordering::Relaxed);
        self.entered.fetch_add(1, Ordering::Relaxed);
    }

    /// By a survivor's close, which may come when the backend is down, not while it goes down.
    pub fn used_by_survivor(&self) {
        assert!(!self.stopping.load(Ordering::Relaxed), "a close beside MRxStop");
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    /// MRxStop: alone, after everybody, knowing all they did.
    pub fn stop(&self) {
        let entered = self.entered.load(Ordering::Relaxed);
        self.stopping.store(true, Ordering::Relaxed);
        let seen = self.left_behind.load(Ordering::Relaxed);
        assert_eq!(seen, entered, "MRxStop does not see all that requests did");
        self.up.store(false, Ordering::Relaxed);
        self.stopping.store(false, Ordering::Relaxed);
    }

    /// MRxStart.
    pub fn start(&self) {
        self.up.store(true, Ordering::Relaxed);
    }

    /// How often it was used, when all have been joined.
    pub fn used_is(&self, expected: RangeInclusive<usize>) {
        let used = self.used.load(Ordering::Relaxed);
        assert!(expected.contains(&used), "used {used} times, not {expected:?}");
    }
}
