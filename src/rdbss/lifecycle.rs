//! The start/stop machine as pure data: no lock, no wait, no clock, no `_` arm (stop.md §1, §3).
//!
//! ```text
//!                 StartTaken              StartDone
//!   Startable ----------------> StartInProgress ---------------> Started <-----------+
//!    ^  ^  |                         |                           |  |  ^             |
//!    |  |  +-- StopTaken: stopped    | StartFailed    PauseCalled|  |  |ResumeCalled |
//!    |  +----------------------------+                           v  |  |             |
//!    |                                                         Paused -+             |
//!    |                                     StopCalled, StopTaken |  |                |
//!    |                                                           v  v                |
//!    |   StopDone                 Drained                      Draining -- RollBack -+
//!    +------------- Sealing <------------------------------------+                   |
//!                      +------------------ RollBack ---------------------------------+
//! ```
//!
//! A stop with a grace takes the way over Paused, and `GraceOver` leads on to Draining. The driver
//! (`startstop.rs`) locks, steps, stores, unlocks, acts. There is no second machine for this life.

use crate::base::stop::{CallResult, State};

/// What happens to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A stop from a foreign context. `quiet`: the control lane is idle and empty.
    StopCalled {
        /// Nothing is queued and nothing runs on the control thread.
        quiet: bool,
        /// Open handles keep working first.
        grace: bool,
    },
    /// A start from a foreign context.
    StartCalled {
        /// As above.
        quiet: bool,
    },
    /// The control thread takes a stop off its queue.
    StopTaken {
        /// As above.
        grace: bool,
    },
    /// The control thread takes a start off its queue.
    StartTaken,
    /// MRxStart and all before it succeeded.
    StartDone,
    /// Something failed and was undone.
    StartFailed,
    /// The last handle closed, or the grace ran out.
    GraceOver,
    /// No normal request is left.
    Drained,
    /// MRxStop returned, survivors are counted, the dispatcher is spun down.
    StopDone,
    /// The running stop is taken back before its point of no return (S1, S2).
    RollBack,
    /// `pause`.
    PauseCalled,
    /// `resume`.
    ResumeCalled,
    /// `RxUnregisterMinirdr`.
    UnregisterCalled,
}

impl Event {
    /// May it open the gate although stops wait in the queue?
    #[must_use]
    pub const fn opens(self) -> bool {
        match self {
            Self::StartDone | Self::RollBack | Self::ResumeCalled => true,
            Self::StopCalled { .. }
            | Self::StartCalled { .. }
            | Self::StopTaken { .. }
            | Self::StartTaken
            | Self::StartFailed
            | Self::GraceOver
            | Self::Drained
            | Self::StopDone
            | Self::PauseCalled
            | Self::UnregisterCalled => false,
        }
    }
}

/// What the driver must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Nothing more: the state says it all.
    Nothing,
    /// Answer the caller at once.
    Answer(CallResult),
    /// Post the call to the control thread, in this same critical section (C2).
    Post,
    /// Post it, and cancel the start that runs.
    PostAndCancelStart,
    /// Run the start.
    RunStart,
    /// Wait for handles first, then drain.
    RunGrace,
    /// Drain.
    RunDrain,
    /// Take the running or queued stop back; its ticket is rolled back.
    RollBackStop,
}

/// An event that cannot happen, or is not allowed, in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `unregister` of a device that serves or is on its way.
    #[error("the device is not stopped: stop it first")]
    NotStopped,
    /// The driver broke the order of a start or stop: a defect.
    #[error("{event:?} cannot happen in {state:?}")]
    Impossible {
        /// The state.
        state: State,
        /// The event.
        event: Event,
    },
}

/// The whole policy. Exhaustive in both directions: a new state or event must choose everywhere.
///
/// # Errors
/// [`Refused`]: the state is unchanged.
pub fn step(state: State, event: Event) -> Result<(State, Action), Refused> {
    match event {
        Event::StopCalled { quiet, grace } => Ok(stop_called(state, quiet, grace)),
        Event::StartCalled { quiet } => Ok(start_called(state, quiet)),
        Event::StopTaken { grace } => stop_taken(state, grace),
        Event::StartTaken => start_taken(state),
        Event::StartDone => start_ended(state, event, State::Started),
        Event::StartFailed => start_ended(state, event, State::Startable),
        Event::GraceOver => grace_over(state),
        Event::Drained => drained(state),
        Event::StopDone => stop_done(state),
        Event::RollBack => rolled_back(state),
        Event::PauseCalled => Ok(pause_called(state)),
        Event::ResumeCalled => Ok(resume_called(state)),
        Event::UnregisterCalled => unregister_called(state),
    }
}

/// The state in which stops that wait leave a gate that a resume, a roll-back or a start has just
/// opened: they have been answered *posted*, and from then on only cleanup and close pass (C2).
/// `graces`: of each stop that waits, has it a grace?
#[must_use]
pub fn with_waiting(state: State, graces: impl IntoIterator<Item = bool>) -> State {
    graces.into_iter().fold(state, |state, grace| stop_called(state, false, grace).0)
}

/// Row "stop, foreign" of stop.md §3.
fn stop_called(state: State, quiet: bool, grace: bool) -> (State, Action) {
    match state {
        State::Startable if quiet => (state, Action::Answer(CallResult::AlreadyStopped)),
        State::Startable => (state, Action::Post),
        State::StartInProgress => (state, Action::PostAndCancelStart),
        State::Started | State::Paused if grace => (State::Paused, Action::Post),
        State::Started | State::Paused => (State::Draining, Action::Post),
        State::Draining | State::Sealing => (state, Action::Post),
    }
}

/// Row "start, foreign".
fn start_called(state: State, quiet: bool) -> (State, Action) {
    match state {
        State::Started | State::Paused if quiet => {
            (state, Action::Answer(CallResult::AlreadyStarted))
        }
        State::Startable
        | State::StartInProgress
        | State::Started
        | State::Paused
        | State::Draining
        | State::Sealing => (state, Action::Post),
    }
}

/// Row "control thread takes Stop".
fn stop_taken(state: State, grace: bool) -> Result<(State, Action), Refused> {
    match state {
        State::Startable => Ok((state, Action::Answer(CallResult::AlreadyStopped))),
        State::Started | State::Paused if grace => Ok((State::Paused, Action::RunGrace)),
        State::Started | State::Paused | State::Draining => Ok((State::Draining, Action::RunDrain)),
        State::StartInProgress | State::Sealing => {
            Err(Refused::Impossible { state, event: Event::StopTaken { grace } })
        }
    }
}

/// Row "control thread takes Start". In Draining the stop that flipped is queued behind this start,
/// which therefore answers STARTED (gate.md 4.3, surprise 1).
fn start_taken(state: State) -> Result<(State, Action), Refused> {
    match state {
        State::Startable => Ok((State::StartInProgress, Action::RunStart)),
        State::Started | State::Paused | State::Draining => {
            Ok((state, Action::Answer(CallResult::AlreadyStarted)))
        }
        State::StartInProgress | State::Sealing => {
            Err(Refused::Impossible { state, event: Event::StartTaken })
        }
    }
}

/// Row "pause".
fn pause_called(state: State) -> (State, Action) {
    match state {
        State::Started | State::Paused => (State::Paused, Action::Answer(CallResult::Success)),
        State::Startable | State::StartInProgress | State::Draining | State::Sealing => {
            (state, Action::Answer(CallResult::AlreadyStopped))
        }
    }
}

/// Row "resume". A pause that belongs to a stop's grace is that stop's: the driver, which knows,
/// rolls the stop back for both Paused and Draining.
fn resume_called(state: State) -> (State, Action) {
    match state {
        State::Started => (state, Action::Answer(CallResult::Success)),
        State::Paused | State::Draining => (State::Started, Action::RollBackStop),
        State::Startable | State::StartInProgress | State::Sealing => {
            (state, Action::Answer(CallResult::AlreadyStopped))
        }
    }
}

/// The control thread's own progress: the start it runs is over.
fn start_ended(state: State, event: Event, next: State) -> Result<(State, Action), Refused> {
    match state {
        State::StartInProgress => Ok((next, Action::Nothing)),
        State::Startable | State::Started | State::Paused | State::Draining | State::Sealing => {
            Err(Refused::Impossible { state, event })
        }
    }
}

/// A grace is over; a later stop without one may have ended it before.
fn grace_over(state: State) -> Result<(State, Action), Refused> {
    match state {
        State::Paused | State::Draining => Ok((State::Draining, Action::Nothing)),
        State::Startable | State::StartInProgress | State::Started | State::Sealing => {
            Err(Refused::Impossible { state, event: Event::GraceOver })
        }
    }
}

fn drained(state: State) -> Result<(State, Action), Refused> {
    match state {
        State::Draining => Ok((State::Sealing, Action::Nothing)),
        State::Startable
        | State::StartInProgress
        | State::Started
        | State::Paused
        | State::Sealing => Err(Refused::Impossible { state, event: Event::Drained }),
    }
}

fn stop_done(state: State) -> Result<(State, Action), Refused> {
    match state {
        State::Sealing => Ok((State::Startable, Action::Nothing)),
        State::Startable
        | State::StartInProgress
        | State::Started
        | State::Paused
        | State::Draining => Err(Refused::Impossible { state, event: Event::StopDone }),
    }
}

fn rolled_back(state: State) -> Result<(State, Action), Refused> {
    match state {
        State::Started | State::Paused | State::Draining | State::Sealing => {
            Ok((State::Started, Action::Nothing))
        }
        State::Startable | State::StartInProgress => {
            Err(Refused::Impossible { state, event: Event::RollBack })
        }
    }
}

/// Row "unregister".
fn unregister_called(state: State) -> Result<(State, Action), Refused> {
    match state {
        State::Startable => Ok((State::Startable, Action::Nothing)),
        State::StartInProgress
        | State::Started
        | State::Paused
        | State::Draining
        | State::Sealing => Err(Refused::NotStopped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Stop.md C2: the flip is made by the call itself, not by the control thread later.
    #[test]
    fn c2_a_stop_flips_when_it_is_posted() {
        for quiet in [true, false] {
            let flipped = step(State::Started, Event::StopCalled { quiet, grace: false });
            assert_eq!(flipped, Ok((State::Draining, Action::Post)));
            let graced = step(State::Started, Event::StopCalled { quiet, grace: true });
            assert_eq!(graced, Ok((State::Paused, Action::Post)));
        }
    }

    /// Stop.md C2: what opens the gate does not open it for a stop that waits: with a grace only
    /// what is open goes on, without one nothing does.
    #[test]
    fn c2_what_opens_is_closed_again_for_stops_that_wait() {
        for (graces, left) in [
            (&[][..], State::Started),
            (&[true], State::Paused),
            (&[true, true], State::Paused),
            (&[true, false], State::Draining),
            (&[false, true], State::Draining),
        ] {
            assert_eq!(with_waiting(State::Started, graces.iter().copied()), left, "{graces:?}");
        }
        for state in State::ALL {
            assert_eq!(with_waiting(state, []), state);
        }
    }

    /// Gate.md 4.3, surprise 1: a start taken while Draining answers STARTED.
    #[test]
    fn a_start_overtaken_by_a_stop_answers_started() {
        let taken = step(State::Draining, Event::StartTaken);
        assert_eq!(taken, Ok((State::Draining, Action::Answer(CallResult::AlreadyStarted))));
    }

    /// Stop.md S2: from every state before the point of no return a roll-back restores Started.
    #[test]
    fn s2_roll_back_restores_started() {
        for state in [State::Paused, State::Draining, State::Sealing] {
            assert_eq!(step(state, Event::RollBack), Ok((State::Started, Action::Nothing)));
        }
        assert!(step(State::Startable, Event::RollBack).is_err());
    }

    #[test]
    fn unregister_only_when_startable() {
        for state in State::ALL {
            let allowed = step(state, Event::UnregisterCalled).is_ok();
            assert_eq!(allowed, state == State::Startable, "{state:?}");
        }
    }

    /// A fair driver: what the control thread does next when it is left alone, with a stop queued.
    fn fair(state: State) -> Event {
        match state {
            State::Startable => Event::StopTaken { grace: false },
            State::StartInProgress => Event::StartDone,
            State::Started => Event::StopTaken { grace: false },
            State::Paused => Event::GraceOver,
            State::Draining => Event::Drained,
            State::Sealing => Event::StopDone,
        }
    }

    /// Liveness: from any state, one stop and a fair driver come to rest in Startable.
    #[test]
    fn liveness_one_stop_comes_to_rest() {
        for start in State::ALL {
            let mut state = start;
            let mut rested = false;
            for _ in 0..10 {
                let (next, action) = step(state, fair(state)).expect("a fair driver obeys");
                if action == Action::Answer(CallResult::AlreadyStopped) {
                    rested = true;
                    break;
                }
                state = next;
            }
            assert!(rested, "from {start:?} it never rests");
        }
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (any::<bool>(), any::<bool>())
                .prop_map(|(quiet, grace)| Event::StopCalled { quiet, grace }),
            any::<bool>().prop_map(|quiet| Event::StartCalled { quiet }),
            any::<bool>().prop_map(|grace| Event::StopTaken { grace }),
            Just(Event::StartTaken),
            Just(Event::StartDone),
            Just(Event::StartFailed),
            Just(Event::GraceOver),
            Just(Event::Drained),
            Just(Event::StopDone),
            Just(Event::RollBack),
            Just(Event::PauseCalled),
            Just(Event::ResumeCalled),
            Just(Event::UnregisterCalled),
        ]
    }

    proptest! {
        /// Safety: whatever happens in whatever order, Started is reached only through a start or a
        /// roll-back, Startable only through StopDone or StartFailed, and a refusal changes
        /// nothing.
        #[test]
        fn safety_of_any_history(events in proptest::collection::vec(any_event(), 0..200)) {
            let mut state = State::Startable;
            for event in events {
                let Ok((next, _)) = step(state, event) else { continue };
                let expected = match next {
                    _ if next == state => true,
                    State::Startable => matches!(event, Event::StopDone | Event::StartFailed),
                    State::Started => {
                        matches!(event, Event::StartDone | Event::RollBack | Event::ResumeCalled)
                    }
                    State::StartInProgress => event == Event::StartTaken,
                    State::Sealing => event == Event::Drained,
                    State::Paused => matches!(
                        event,
                        Event::PauseCalled
                            | Event::StopCalled { grace: true, .. }
                            | Event::StopTaken { grace: true }
                    ),
                    State::Draining => matches!(
                        event,
                        Event::StopCalled { .. } | Event::StopTaken { .. } | Event::GraceOver
                    ),
                };
                prop_assert!(expected, "{:?} led from {:?} to {:?}", event, state, next);
                state = next;
            }
        }
    }
}
