//! The gate: may this request pass, and how many are inside? Tested and counted in one step (G1).
//!
//! One packed word, chosen in gate.md §1.5 because it can be proved:
//!
//! ```text
//!   63      61 60           41    40     39           20 19            0
//!  +----------+---------------+--------+---------------+---------------+
//!  |  phase   |  generation   | opened |    closes     |    normals    |
//!  +----------+---------------+--------+---------------+---------------+
//! ```
//!
//! `opened` is set by every open that enters: whoever clears it, finds nothing open, and flips with
//! it still clear knows that nobody slipped in between ([`Gate::close_unless`]).
//!
//! Entering is a compare-and-swap on the whole word, leaving is a subtraction; a decided stop is a
//! change of the same word, so nothing slips between. Only the stopper sleeps, on a mutex and
//! condition variable beside the word. A refusal is a load. This file names no lock but through
//! `base::sync`, so that the same source runs under a model checker.

use crate::base::ids::Generation;
use crate::base::status::Status;
use crate::base::stop::State;
use crate::base::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::base::sync::{Condvar, Mutex, Rank};
use crossbeam::utils::CachePadded;
use std::time::Duration;

const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const CLOSE_SHIFT: u32 = COUNT_BITS;
const OPENED: u64 = 1 << (2 * COUNT_BITS);
const GENERATION_SHIFT: u32 = 2 * COUNT_BITS + 1;
const GENERATION_BITS: u32 = 20;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
const PHASE_SHIFT: u32 = GENERATION_SHIFT + GENERATION_BITS;

const ONE_NORMAL: u64 = 1;
const ONE_CLOSE: u64 = 1 << CLOSE_SHIFT;
/// A decision that opens keep coming into is made again so often; then they are why it is busy.
const DECISIONS_MAX: usize = 64;

/// The word taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateView {
    /// The state.
    pub state: State,
    /// Successful starts.
    pub generation: Generation,
    /// Cleanups and closes inside.
    pub closes: u32,
    /// Other requests inside.
    pub normals: u32,
}

const fn phase_of(state: State) -> u64 {
    match state {
        State::Startable => 0,
        State::StartInProgress => 1,
        State::Started => 2,
        State::Paused => 3,
        State::Draining => 4,
        State::Sealing => 5,
    }
}

const fn state_of(word: u64) -> State {
    match word >> PHASE_SHIFT {
        0 => State::Startable,
        1 => State::StartInProgress,
        2 => State::Started,
        3 => State::Paused,
        4 => State::Draining,
        // The word is written here only: 6 and 7 do not occur.
        5.. => State::Sealing,
    }
}

const fn normals(word: u64) -> u64 {
    word & COUNT_MASK
}

const fn closes(word: u64) -> u64 {
    (word >> CLOSE_SHIFT) & COUNT_MASK
}

const fn generation_of(word: u64) -> u64 {
    (word >> GENERATION_SHIFT) & GENERATION_MASK
}

const fn with(word: u64, state: State, generation: u64) -> u64 {
    let counts = word & ((1 << GENERATION_SHIFT) - 1);
    (phase_of(state) << PHASE_SHIFT) | ((generation & GENERATION_MASK) << GENERATION_SHIFT) | counts
}

/// Does a gate whose word is this let a normal request in?
fn admits(word: u64, opens: bool) -> Result<(), Status> {
    match state_of(word) {
        State::Started => {}
        State::Paused if !opens => {}
        State::Paused => return Err(Status::RedirectorPaused),
        State::Startable | State::StartInProgress | State::Draining | State::Sealing => {
            return Err(Status::RedirectorNotStarted);
        }
    }
    if normals(word) == COUNT_MASK { Err(Status::InsufficientResources) } else { Ok(()) }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Open,
    Close,
}

/// Proof that a request was counted; give it back with [`Gate::leave`]. Losing one hangs the stop,
/// so the context that owns it gives it back even when it unwinds.
#[derive(Debug)]
#[must_use = "a pass that is not given back is counted for ever"]
pub struct Pass(Kind);

impl Pass {
    /// Is it a cleanup's or a close's?
    #[must_use]
    pub fn is_close(&self) -> bool {
        self.0 == Kind::Close
    }
}

/// How a cleanup or close is let in.
#[derive(Debug)]
pub enum CloseEntry {
    /// Counted: the stop waits for it.
    Counted(Pass),
    /// Of an earlier generation, or after the stop: passes uncounted to its own generation (S3).
    Survivor,
    /// The stop is sealed: run it when `MRxStop` has returned (stop.md §4 step 4).
    Deferred,
}

/// The gate of one device.
#[derive(Debug)]
pub struct Gate {
    word: CachePadded<AtomicU64>,
    /// Normals inside that have a cancel routine: the drain waits for the others first.
    cancellable: AtomicU32,
    /// Was the stopper woken since its last wait? One that was woken while it looked at something
    /// else does not sleep.
    woken: Mutex<bool>,
    /// Normals inside that make a handle: counted before they enter, until it is in the table.
    opens: AtomicU32,
    left: Condvar,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A gate in Startable, generation 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            word: CachePadded::new(AtomicU64::new(with(0, State::Startable, 0))),
            cancellable: AtomicU32::new(0),
            woken: Mutex::new(Rank::Gate, false),
            opens: AtomicU32::new(0),
            left: Condvar::new(),
        }
    }

    /// The word now.
    #[must_use]
    pub fn view(&self) -> GateView {
        let word = self.word.load(Ordering::Acquire);
        GateView {
            state: state_of(word),
            generation: Generation(generation_of(word)),
            closes: closes(word) as u32,
            normals: normals(word) as u32,
        }
    }

    /// Lets a normal request in and counts it. `opens`: it makes a handle, refused while Paused.
    ///
    /// # Errors
    /// `RedirectorNotStarted`, `RedirectorPaused` (stop.md §2); `InsufficientResources` when 2^20 -
    /// 1 requests are inside.
    pub fn enter_normal(&self, opens: bool) -> Result<Pass, Status> {
        let word = self.word.load(Ordering::Relaxed);
        admits(word, opens)?;
        if !opens {
            return self.enter_counted(word, false).map(|()| Pass(Kind::Normal));
        }
        // Before it is inside: a decision that finds nobody opening must not overlook it.
        self.opens.fetch_add(1, Ordering::AcqRel);
        match self.enter_counted(word, true) {
            Ok(()) => Ok(Pass(Kind::Open)),
            Err(status) => {
                self.opens.fetch_sub(1, Ordering::AcqRel);
                Err(status)
            }
        }
    }

    fn enter_counted(&self, mut word: u64, opens: bool) -> Result<(), Status> {
        loop {
            admits(word, opens)?;
            let opened = if opens { OPENED } else { 0 };
            match self.word.compare_exchange_weak(
                word,
                (word + ONE_NORMAL) | opened,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Opens inside: each is about to make a handle.
    #[must_use]
    pub fn opening(&self) -> u32 {
        self.opens.load(Ordering::Acquire)
    }

    /// Moves a serving gate to `state` unless something is open or being opened, in one step: no
    /// open that has entered is overlooked and none enters between the look and the flip (C5).
    /// `held`: is something open? False: busy, and nothing has changed.
    pub fn close_unless(&self, state: State, held: impl Fn() -> bool) -> bool {
        for _ in 0..DECISIONS_MAX {
            let mut word = self.word.fetch_and(!OPENED, Ordering::AcqRel) & !OPENED;
            // An open that entered before is counted until its handle is where `held` looks.
            if self.opening() > 0 || held() {
                return false;
            }
            while word & OPENED == 0 {
                match self.word.compare_exchange_weak(
                    word,
                    with(word, state, generation_of(word)),
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        self.wake();
                        return true;
                    }
                    Err(now) => word = now,
                }
            }
        }
        false
    }

    /// Lets a cleanup or close of a handle of `generation` in. It is never refused (G3); when 2^20
    /// - 1 closes are inside it passes uncounted rather than fail.
    #[must_use]
    pub fn enter_close(&self, generation: Generation) -> CloseEntry {
        // Acquired, though nothing is counted: a survivor's close that finds the stop over sees all
        // that `MRxStop` did.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let current = match state_of(word) {
                // A handle that the start has reclaimed is the next generation's already.
                State::StartInProgress => generation_of(word) + 1,
                State::Startable
                | State::Started
                | State::Paused
                | State::Draining
                | State::Sealing => generation_of(word),
            };
            if current & GENERATION_MASK != generation.0 & GENERATION_MASK {
                return CloseEntry::Survivor;
            }
            match state_of(word) {
                State::StartInProgress | State::Started | State::Paused | State::Draining => {}
                State::Sealing => return CloseEntry::Deferred,
                State::Startable => return CloseEntry::Survivor,
            }
            if closes(word) == COUNT_MASK {
                return CloseEntry::Survivor;
            }
            match self.word.compare_exchange_weak(
                word,
                word + ONE_CLOSE,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return CloseEntry::Counted(Pass(Kind::Close)),
                Err(now) => word = now,
            }
        }
    }

    /// A counted request has ended. Wakes the stopper when it may go on.
    pub fn leave(&self, pass: Pass) {
        let one = match pass.0 {
            Kind::Normal | Kind::Open => ONE_NORMAL,
            Kind::Close => ONE_CLOSE,
        };
        let word = self.word.fetch_sub(one, Ordering::AcqRel) - one;
        if pass.0 == Kind::Open {
            self.opens.fetch_sub(1, Ordering::AcqRel);
        }
        let wake = match (state_of(word), pass.0) {
            (State::Draining, Kind::Normal | Kind::Open) => {
                normals(word) <= u64::from(self.cancellable.load(Ordering::Acquire))
            }
            (State::Sealing, Kind::Close) => closes(word) == 0,
            (State::Draining, Kind::Close)
            | (State::Sealing, Kind::Normal | Kind::Open)
            | (
                State::Startable | State::StartInProgress | State::Started | State::Paused,
                Kind::Normal | Kind::Open | Kind::Close,
            ) => false,
        };
        if wake {
            self.wake();
        }
    }

    /// A normal request inside got a cancel routine: the drain need not wait for it first.
    pub fn became_cancellable(&self) {
        self.cancellable.fetch_add(1, Ordering::AcqRel);
        // A read-modify-write of the word, not a load: either it comes before the flip, and the
        // stopper sees the addition above, or it sees the flip and wakes the stopper.
        let word = self.word.fetch_add(0, Ordering::AcqRel);
        if state_of(word) == State::Draining {
            self.wake();
        }
    }

    /// It has one no longer.
    pub fn ceased_cancellable(&self) {
        self.cancellable.fetch_sub(1, Ordering::AcqRel);
    }

    /// Moves to another state, keeping the counts. Only the driver calls it, under its lock, with
    /// what
    /// `lifecycle::step` said. A start that ends anywhere but in `Startable` has begun the next
    /// generation: in `Started`, or where a stop that waits has left it.
    pub(in crate::rdbss) fn set_state(&self, state: State) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let begins = match state {
                State::Startable | State::StartInProgress => false,
                State::Started | State::Paused | State::Draining | State::Sealing => {
                    state_of(word) == State::StartInProgress
                }
            };
            let generation = generation_of(word) + u64::from(begins);
            match self.word.compare_exchange_weak(
                word,
                with(word, state, generation),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        self.wake();
    }

    /// Moves a gate of one's own through its states, for benches and model tests that have no
    /// device.
    pub fn drive(&self, state: State) {
        self.set_state(state);
    }

    /// Wakes the stopper so that it looks again.
    pub fn wake(&self) {
        // Under the lock under which the stopper tests: it sees the flag, or it sleeps and hears.
        *self.woken.lock() = true;
        self.left.notify_all();
    }

    /// Sleeps until only cancellable normals are left, or `limit` passed, or it was woken to look
    /// again. True: only cancellable ones are left.
    pub fn wait_uncancellable(&self, limit: Duration) -> bool {
        self.wait(limit, |gate, word| {
            normals(word) <= u64::from(gate.cancellable.load(Ordering::Acquire))
        })
    }

    /// The same until no normal request is left.
    pub fn wait_normals(&self, limit: Duration) -> bool {
        self.wait(limit, |_, word| normals(word) == 0)
    }

    /// The same until no close is left.
    pub fn wait_closes(&self, limit: Duration) -> bool {
        self.wait(limit, |_, word| closes(word) == 0)
    }

    /// For the one stopper: the control thread.
    fn wait(&self, limit: Duration, over: impl Fn(&Self, u64) -> bool) -> bool {
        let mut woken = self.woken.lock();
        if over(self, self.word.load(Ordering::Acquire)) {
            return true;
        }
        if !*woken {
            self.left.wait_for(&mut woken, limit);
        }
        *woken = false;
        over(self, self.word.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn started() -> Gate {
        let gate = Gate::new();
        gate.set_state(State::StartInProgress);
        gate.set_state(State::Started);
        gate
    }

    /// Stop.md §2: the table, every state by every class.
    #[test]
    fn g2_the_gate_table() {
        for state in State::ALL {
            let gate = started();
            gate.set_state(state);
            let (create, io) = (gate.enter_normal(true), gate.enter_normal(false));
            match state {
                State::Started => assert!(create.is_ok() && io.is_ok()),
                State::Paused => {
                    assert_eq!(create.err(), Some(Status::RedirectorPaused));
                    assert!(io.is_ok());
                }
                _ => {
                    assert_eq!(create.err(), Some(Status::RedirectorNotStarted));
                    assert_eq!(io.err(), Some(Status::RedirectorNotStarted));
                }
            }
            let close = gate.enter_close(Generation(1));
            match state {
                State::Started | State::Paused | State::Draining => {
                    assert!(matches!(close, CloseEntry::Counted(_)));
                }
                State::Sealing => assert!(matches!(close, CloseEntry::Deferred)),
                State::Startable | State::StartInProgress => {
                    assert!(matches!(close, CloseEntry::Survivor));
                }
            }
            // Of a handle that the running start has reclaimed.
            let reclaimed = gate.enter_close(Generation(2));
            let counted = matches!(reclaimed, CloseEntry::Counted(_));
            assert_eq!(counted, state == State::StartInProgress, "{state:?}: {reclaimed:?}");
        }
    }

    /// Stop.md S3: a survivor's close is never counted in a newer generation's gate.
    #[test]
    fn s3_a_survivor_is_not_counted() {
        let gate = started();
        for state in [State::Startable, State::StartInProgress, State::Started] {
            gate.set_state(state);
        }
        assert_eq!(gate.view().generation, Generation(2));
        assert!(matches!(gate.enter_close(Generation(1)), CloseEntry::Survivor));
        assert_eq!(gate.view().closes, 0);
    }

    /// Stop.md G1: what passed before the flip is counted after it; nothing passes after it.
    #[test]
    fn g1_counted_in_the_same_step() {
        let gate = started();
        let pass = gate.enter_normal(true).expect("started");
        gate.set_state(State::Draining);
        assert_eq!(gate.view().normals, 1);
        assert!(gate.enter_normal(false).is_err());
        assert!(!gate.wait_normals(Duration::ZERO));
        gate.leave(pass);
        assert!(gate.wait_normals(Duration::ZERO));
    }

    /// The drain's first wait passes over cancellable requests (stop.md §4 step 3).
    #[test]
    fn cancellable_requests_are_waited_for_last() {
        let gate = started();
        let (first, second) = (
            gate.enter_normal(false).expect("started"),
            gate.enter_normal(false).expect("started"),
        );
        gate.became_cancellable();
        gate.set_state(State::Draining);
        assert!(!gate.wait_uncancellable(Duration::ZERO));
        gate.leave(first);
        assert!(gate.wait_uncancellable(Duration::ZERO));
        assert!(!gate.wait_normals(Duration::ZERO));
        gate.ceased_cancellable();
        gate.leave(second);
        assert!(gate.wait_normals(Duration::ZERO));
    }

    /// Stop.md C5: an open in flight is busy; one that ended without a handle is not.
    #[test]
    fn c5_an_open_in_flight_is_busy() {
        let gate = started();
        let open = gate.enter_normal(true).expect("started");
        assert!(!gate.close_unless(State::Draining, || false));
        assert_eq!((gate.view().state, gate.opening()), (State::Started, 1));
        gate.leave(open);
        assert!(!gate.close_unless(State::Draining, || true), "something is open");
        let read = gate.enter_normal(false).expect("still started");
        assert!(gate.close_unless(State::Draining, || false), "what opens nothing is not busy");
        assert_eq!((gate.view().state, gate.view().normals), (State::Draining, 1));
        gate.leave(read);
    }

    /// Stop.md C5: an open that enters between the look and the flip is seen by the flip.
    #[test]
    fn c5_the_look_and_the_flip_are_one_step() {
        let gate = started();
        let slipped_in = std::cell::Cell::new(None);
        let held = || {
            let late = slipped_in.take();
            let found = late.is_some();
            slipped_in.set(late.or_else(|| gate.enter_normal(true).ok()));
            found
        };
        assert!(!gate.close_unless(State::Draining, held));
        assert_eq!(gate.view().state, State::Started, "nothing has changed");
        gate.leave(slipped_in.take().expect("it entered"));
    }

    /// The same with threads: whenever the gate was closed as idle, no handle exists.
    #[test]
    fn c5_closed_as_idle_means_idle() {
        for _ in 0..300 {
            let (gate, handles) = (started(), AtomicU32::new(0));
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            let Ok(open) = gate.enter_normal(true) else { return };
                            handles.fetch_add(1, Ordering::AcqRel);
                            gate.leave(open);
                            handles.fetch_sub(1, Ordering::AcqRel);
                        }
                    });
                }
                let held = || handles.load(Ordering::Acquire) > 0;
                if gate.close_unless(State::Draining, held) {
                    // `opening` may say otherwise: one that is being refused counts for a moment.
                    assert!(gate.enter_normal(true).is_err());
                    assert_eq!(gate.view().normals, 0);
                    assert_eq!(handles.load(Ordering::Acquire), 0);
                }
            });
        }
    }

    /// A stopper asleep is woken by the last one out (no lost wake-up), many times over.
    #[test]
    fn the_last_one_out_wakes_the_stopper() {
        for _ in 0..500 {
            let gate = started();
            let pass = gate.enter_normal(false).expect("started");
            gate.set_state(State::Draining);
            std::thread::scope(|scope| {
                scope.spawn(|| gate.leave(pass));
                while !gate.wait_normals(Duration::from_secs(20)) {}
            });
            assert_eq!(gate.view().normals, 0);
        }
    }

    proptest! {
        /// Bit packing: states, generations and counts never touch each other.
        #[test]
        fn fields_do_not_overlap(state in 0_usize..6, generation in 0..=GENERATION_MASK,
                                 counts in 0..(1_u64 << GENERATION_SHIFT)) {
            let word = with(counts, State::ALL[state], generation);
            prop_assert_eq!(state_of(word), State::ALL[state]);
            prop_assert_eq!(generation_of(word), generation);
            prop_assert_eq!(word & ((1 << GENERATION_SHIFT) - 1), counts);
        }
    }
}
