//! What must hold of the model: never, in the end, and at least once.

use crate::policy::Machine;
use crate::world::{
    Act, Answer, CallerStep, ClientStep, Kind, Lane, Op, Outcome, Policy, Violation, World,
};
use minirdr::base::stop::State;
use stateright::{Model, Property};

impl Model for Machine {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.scene)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        if world.violation.is_some() {
            return;
        }
        let callers = 0..world.callers.len();
        acts.extend(callers.filter(|at| self.caller_ready(world, *at)).map(Act::Caller));
        let clients = 0..world.clients.len();
        acts.extend(clients.filter(|at| self.client_ready(world, *at)).map(Act::Client));
        if self.lane_ready(world) {
            acts.push(Act::Lane);
        }
        if self.lane_may_fail(world) {
            acts.push(Act::LaneFails);
        }
        if world.lane == Lane::Commit && self.scene.mrx_stop_may_hang {
            acts.push(Act::LaneHangs);
        }
        if self.deadline_may_pass(world) {
            acts.push(Act::Deadline);
        }
        if self.may_abandon(world) {
            acts.push(Act::Abandon);
        }
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        match act {
            Act::Caller(at) => self.caller_goes_on(&mut next, at),
            Act::Client(at) => self.client_goes_on(&mut next, at),
            Act::Lane => self.lane_goes_on(&mut next, false, false),
            Act::LaneFails => self.lane_goes_on(&mut next, true, false),
            Act::LaneHangs => self.lane_goes_on(&mut next, false, true),
            Act::Deadline => self.deadline_passes(&mut next),
            Act::Abandon => self.abandon_all(&mut next),
        }
        assert!(
            next.violation.is_some() || next.measure() > world.measure(),
            "{act:?} does not lead on: {world:?}"
        );
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = safety();
        all.extend(liveness());
        all.extend(REACHED.map(|(name, condition)| Property::sometimes(name, condition)));
        all
    }
}

/// Names of the properties that a broken machine fails.
pub const IMPOSSIBLE: &str = "the control thread meets no impossible state";
pub const ONE_RESULT: &str = "a ticket has one result";
pub const C2: &str = "nothing is let in once a stop is posted";
pub const ONE_STOP: &str = "a generation is stopped once, and one result tells of it";
pub const ALONE: &str = "MRxStop runs alone";
pub const S4: &str = "no survivor reaches a new generation unreclaimed";
pub const OWN_HANDLE: &str = "nobody meets another's handle";
pub const SERVED: &str = "a request finds its mini-redirector started";
pub const STARTS_EMPTY: &str = "a start begins with nothing inside";
pub const STARTED_IS_TRUE: &str = "STARTED is told of a device that serves, or of a stop behind";
pub const ROLLED_BACK: &str = "a stop that is taken back leaves the device serving";
pub const CALLS_END: &str = "every call gets its result";
pub const CLIENTS_END: &str = "every client gets out, and no handle is left";
pub const RESTS: &str = "the device comes to rest";

fn safety() -> Vec<Property<Machine>> {
    vec![
        Property::always(IMPOSSIBLE, |_, world: &World| {
            world.violation != Some(Violation::Impossible)
        }),
        Property::always(ONE_RESULT, |_, world: &World| {
            world.violation != Some(Violation::SecondResult)
        }),
        Property::always(C2, |_, world: &World| {
            world.violation != Some(Violation::AdmittedAfterStop)
        }),
        Property::always(ONE_STOP, |_, world: &World| {
            let told = world.lane != Lane::Idle || world.untold_stops == 0;
            told && world.violation != Some(Violation::SecondMrxStop)
        }),
        Property::always(ALONE, |_, world: &World| {
            let Lane::MrxStop { .. } = world.lane else { return true };
            let beside = |step: ClientStep| match step {
                ClientStep::Inside { generation, .. } => Some(generation) == world.up,
                _ => false,
            };
            let inside = world.clients.iter().any(|client| beside(client.step));
            !inside && world.gate.normals == 0 && world.gate.closes == 0
        }),
        Property::always(S4, |_, world: &World| world.violation != Some(Violation::Unreclaimed)),
        Property::always(OWN_HANDLE, |_, world: &World| {
            world.violation != Some(Violation::AnothersHandle)
        }),
        Property::always(SERVED, |_, world: &World| {
            world.violation != Some(Violation::RequestWithoutServer)
        }),
        Property::always(STARTS_EMPTY, |_, world: &World| {
            world.violation != Some(Violation::StartNotEmpty)
        }),
        Property::always(STARTED_IS_TRUE, |_, world: &World| {
            world.violation != Some(Violation::StartedIsUntrue)
        }),
        Property::always(ROLLED_BACK, |_, world: &World| {
            world.violation != Some(Violation::RolledBackNotServing)
        }),
    ]
}

/// All hold only where nothing moves any more, so that nothing is forgotten on the way there: the
/// model has no cycle, and `eventually` is exact.
fn liveness() -> Vec<Property<Machine>> {
    fn ended(machine: &Machine, world: &World) -> bool {
        let mut acts = Vec::new();
        machine.actions(world, &mut acts);
        acts.is_empty()
    }
    vec![
        Property::eventually(CALLS_END, |machine: &Machine, world: &World| {
            (calls_ended(machine, world) || waits_as_asked(machine, world)) && ended(machine, world)
        }),
        Property::eventually(CLIENTS_END, |machine: &Machine, world: &World| {
            let out = world.clients.iter().all(|client| client.step == ClientStep::Out);
            let held = hung(machine, world);
            ((out && world.handles.is_empty()) || held) && ended(machine, world)
        }),
        Property::eventually(RESTS, |machine: &Machine, world: &World| {
            let at_home = match world.gate.state {
                State::Startable => world.up.is_none(),
                State::Started | State::Paused => world.up.is_some(),
                State::StartInProgress | State::Draining | State::Sealing => false,
            };
            let nobody = world.queue.is_empty() && !world.deferring;
            let empty = world.gate.normals + world.gate.closes == 0 || hung(machine, world);
            let rests = world.lane == Lane::Idle && nobody && at_home && empty;
            (rests || waits_as_asked(machine, world)) && ended(machine, world)
        }),
    ]
}

fn calls_ended(machine: &Machine, world: &World) -> bool {
    let programs = machine.scene.callers.iter().zip(&world.callers);
    programs.into_iter().all(|(program, caller)| {
        let over =
            |answer: &Answer| matches!(answer, Answer::None | Answer::Done(_) | Answer::Ended(_));
        caller.at as usize == program.len()
            && caller.step == CallerStep::Ready
            && caller.answers.iter().all(over)
    })
}

/// A request hangs in the server, and nobody has asked for it to be given up on.
fn hung(machine: &Machine, world: &World) -> bool {
    let hangs = |client: &usize| {
        matches!(world.clients[*client].step, ClientStep::Inside { .. })
            && machine.op(world, *client) == Some(Op::Hung)
    };
    (0..world.clients.len()).any(|client| hangs(&client))
}

/// The stop that runs waits for a server that hangs, because its caller said so: no deadline, or
/// `stay`.
fn waits_as_asked(machine: &Machine, world: &World) -> bool {
    let held = hung(machine, world) || matches!(world.lane, Lane::MrxStop { hung: true });
    let Some(running) = world.running.filter(|running| running.kind == Kind::Stop) else {
        return false;
    };
    held && running.terms.deadline.is_none_or(|policy| policy == Policy::Stay)
}

fn told(world: &World, outcome: Outcome) -> bool {
    let all = || world.callers.iter().flat_map(|caller| &caller.answers);
    all().any(
        |answer| matches!(answer, Answer::Done(told) | Answer::Ended(told) if *told == outcome),
    )
}

/// Names of what some history leads to.
pub const SUCCESS: &str = "SUCCESS";
pub const HAS_OPEN_HANDLES: &str = "HAS_OPEN_HANDLES";
pub const STOPPED: &str = "STOPPED";
pub const STARTED: &str = "STARTED";
pub const TAKEN_BACK: &str = "rolled back";
pub const LOST: &str = "lost";
pub const FAILED: &str = "failed";
pub const THIRD_GENERATION: &str = "a third generation";
pub const PUT_OFF: &str = "a close is put off";
pub const SURVIVOR_CLOSES: &str = "a survivor closes";
pub const SURVIVOR_STAYS: &str = "a survivor of before the start";
pub const RECLAIMED: &str = "a survivor is reclaimed";
pub const UNSEALED: &str = "a stop is taken back while it seals";
pub const START_CANCELLED: &str = "a start is cancelled";
pub const CANCELLED: &str = "a blocked request is cancelled";
pub const STOP_HANGS: &str = "MRxStop hangs";
pub const STAYED: &str = "a deadline is stayed through";

type Condition = fn(&Machine, &World) -> bool;

/// What some history leads to: nothing above holds only because nothing happens.
pub const REACHED: [(&str, Condition); 17] = [
    (SUCCESS, |_, world| told(world, Outcome::Success)),
    (HAS_OPEN_HANDLES, |_, world| told(world, Outcome::HasOpenHandles)),
    (STOPPED, |_, world| told(world, Outcome::AlreadyStopped)),
    (STARTED, |_, world| told(world, Outcome::AlreadyStarted)),
    (TAKEN_BACK, |_, world| told(world, Outcome::RolledBack)),
    (LOST, |_, world| told(world, Outcome::Lost)),
    (FAILED, |_, world| told(world, Outcome::Failed)),
    (THIRD_GENERATION, |_, world| world.gate.generation == 3),
    (PUT_OFF, |_, world| steps(world, ClientStep::Deferred)),
    (SURVIVOR_CLOSES, |_, world| {
        world.gate.state == State::Startable && steps(world, ClientStep::Uncounted)
    }),
    (SURVIVOR_STAYS, |_, world| {
        world.gate.state == State::Started && world.handles.iter().any(|handle| handle.survivor)
    }),
    (RECLAIMED, |_, world| {
        let reclaimed = |at: u8| world.handles.iter().any(|handle| handle.generation == at);
        world.gate.state == State::StartInProgress && reclaimed(world.gate.generation + 1)
    }),
    (UNSEALED, |_, world| world.lane == Lane::RollBack && world.gate.state == State::Sealing),
    (START_CANCELLED, |_, world| {
        world.lane == Lane::MrxStart && world.running.is_some_and(|running| running.cancelled)
    }),
    (CANCELLED, |machine, world| {
        let cancelled = |at: usize| {
            matches!(world.clients[at].step, ClientStep::Inside { cancelled: true, .. })
                && machine.op(world, at) == Some(Op::Blocked)
        };
        (0..world.clients.len()).any(cancelled)
    }),
    (STOP_HANGS, |_, world| matches!(world.lane, Lane::MrxStop { hung: true })),
    (STAYED, |_, world| {
        world.running.is_some_and(|running| {
            running.deadline_passed && running.terms.deadline == Some(Policy::Stay)
        })
    }),
];

fn steps(world: &World, step: ClientStep) -> bool {
    world.clients.iter().any(|client| client.step == step)
}
