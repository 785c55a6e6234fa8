//! The policy of the model is the real `lifecycle::step`; a switch breaks it, or the driver, in one
//! place, to show that the properties bite.

use crate::world::{Kind, Scene, Violation, World};
use minirdr::base::stop::{CallResult, State};
use minirdr::rdbss::lifecycle::{Action, Event, step, with_waiting};

/// One thing done wrong. The first ten are the surprises of gate.md 4.3 by number; the others were
/// found with this model in the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Switch {
    /// 1: a start that a stop has overtaken is run while the stop drains.
    OvertakenStartRuns,
    /// 2: the flip and the post are two critical sections.
    FlipBeforePost,
    /// 3: the state flips when the control thread takes the stop.
    FlipWhenTaken,
    /// 4: the control thread runs posted requests too.
    OneThreadForAll,
    /// 5: the request that asks for the stop is counted.
    StopCountsItself,
    /// 6: a start clears the handle table and counts from zero again.
    NumbersRestart,
    /// 7: cleanup and close are refused while nothing is started.
    ClosesRefusedWhenStopped,
    /// 8: closes are let in until `MRxStop` has returned.
    NoSealing,
    /// 9: the drain does not cancel what waits for others.
    BlockedNotCancelled,
    /// 10: a second stop runs what the first has run.
    SecondStopRuns,
    /// A resume, a roll-back or a start opens the gate although a stop waits that was answered.
    OpensPastAWaitingStop,
    /// A close that was put off runs uncounted after a roll-back.
    PutOffCloseIsNotCounted,
    /// A close of a handle that the running start has reclaimed is not counted.
    ReclaimedCloseIsNotCounted,
    /// A handle is reclaimed while its cleanup is on the way.
    ReclaimedUnderItsClose,
}

/// A device in a scene, right or broken.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub scene: Scene,
    pub switch: Option<Switch>,
}

impl Machine {
    pub fn has(&self, switch: Switch) -> bool {
        self.switch == Some(switch)
    }

    /// Steps the machine and stores its state, as `Device::step` and the callers do.
    pub fn step(&self, world: &mut World, event: Event) -> Option<Action> {
        let state = world.gate.state;
        let stepped = self.broken(state, event).map_or_else(|| step(state, event), Ok);
        let Ok((next, action)) = stepped else {
            world.note(true, Violation::Impossible);
            return None;
        };
        let next = if event.opens() { self.past_waiting(world, next) } else { next };
        world.gate.set_state(next);
        Some(action)
    }

    /// `Inner::past_waiting`: what opens closes again at once for the stops that wait.
    fn past_waiting(&self, world: &World, state: State) -> State {
        if self.has(Switch::OpensPastAWaitingStop) {
            return state;
        }
        let stops = world.queue.iter().filter(|job| job.kind == Kind::Stop);
        with_waiting(state, stops.map(|job| job.terms.grace))
    }

    /// What a switch makes of the policy.
    fn broken(&self, state: State, event: Event) -> Option<(State, Action)> {
        let serving = matches!(state, State::Started | State::Paused);
        match (self.switch?, event) {
            (Switch::OvertakenStartRuns, Event::StartTaken) if state == State::Draining => {
                Some((State::StartInProgress, Action::RunStart))
            }
            (Switch::FlipWhenTaken, Event::StopCalled { .. }) if serving => {
                Some((state, Action::Post))
            }
            (Switch::SecondStopRuns, Event::StopTaken { .. }) if state == State::Startable => {
                Some((State::Draining, Action::RunDrain))
            }
            (Switch::SecondStopRuns, Event::StopCalled { quiet: true, .. })
                if state == State::Startable =>
            {
                Some((state, Action::Post))
            }
            (Switch::NoSealing, Event::Drained) => Some((state, Action::Nothing)),
            (Switch::NoSealing, Event::StopDone) => Some((State::Startable, Action::Nothing)),
            _ => None,
        }
    }

    /// A stop that was posted is in force from then on: nothing new is let in, or nothing that
    /// opens while its grace runs. One that was taken back is not.
    pub fn is_stopping(world: &World, opens: bool) -> bool {
        let forbids = |grace: bool| opens || !grace;
        let queued = world.queue.iter().filter(|job| job.kind == Kind::Stop);
        let running = world.running.iter();
        let running = running.filter(|call| call.kind == Kind::Stop && !call.roll_back);
        queued.map(|job| job.terms.grace).any(forbids)
            || running.map(|call| call.terms.grace).any(forbids)
    }

    /// The result of a step that answers at once.
    pub fn result(action: Action) -> Option<CallResult> {
        match action {
            Action::Answer(result) => Some(result),
            Action::Nothing
            | Action::Post
            | Action::PostAndCancelStart
            | Action::RunStart
            | Action::RunGrace
            | Action::RunDrain
            | Action::RollBackStop => None,
        }
    }
}
