//! The callers' side, after `Device::stop`, `start`, `pause` and `resume` in `startstop.rs`: each
//! step here is one critical section there.

use crate::gate::Normal;
use crate::policy::{Machine, Switch};
use crate::world::{Answer, Call, CallerStep, Job, Kind, Outcome, Terms, Ticket, World};
use minirdr::base::stop::CallResult;
use minirdr::rdbss::lifecycle::{Action, Event};

impl Machine {
    /// Can this caller do anything?
    pub fn caller_ready(&self, world: &World, caller: usize) -> bool {
        let him = &world.callers[caller];
        match self.scene.callers[caller].get(him.at as usize) {
            None => false,
            Some(Call::Wait) => {
                let before = him.at.checked_sub(1).expect("a wait waits for a call before it");
                matches!(him.answers[before as usize], Answer::Done(_) | Answer::Ended(_))
            }
            Some(Call::Stop { .. } | Call::Start | Call::Pause | Call::Resume) => true,
        }
    }

    /// His next step.
    pub fn caller_goes_on(&self, world: &mut World, caller: usize) {
        let him = &world.callers[caller];
        let (call, at) = (self.scene.callers[caller][him.at as usize], him.at);
        let ticket = Ticket { caller: caller as u8, call: at };
        match (him.step, call) {
            (CallerStep::Announcing { cancels }, _) => {
                for job in world.queue.iter_mut().filter(|job| job.ticket == ticket) {
                    job.announced = true;
                }
                if let Some(running) = &mut world.running
                    && cancels == Some(running.ticket)
                {
                    running.cancelled = true;
                }
                world.callers[caller].step = CallerStep::Ready;
                world.callers[caller].at += 1;
            }
            (CallerStep::Flipped, Call::Stop { grace, deadline }) => {
                let terms = Terms { grace, deadline: deadline.map(Into::into) };
                self.post(world, Kind::Stop, ticket, terms, None);
            }
            (_, Call::Stop { grace, deadline }) => {
                let terms = Terms { grace, deadline: deadline.map(Into::into) };
                self.call_stop(world, ticket, terms);
            }
            (_, Call::Start) => self.call_start(world, ticket),
            (_, Call::Pause) => {
                let action = self.step(world, Event::PauseCalled);
                self.done(world, ticket, action.and_then(Self::result));
            }
            (_, Call::Resume) => self.call_resume(world, ticket),
            (_, Call::Wait) => world.callers[caller].at += 1,
        }
    }

    fn call_stop(&self, world: &mut World, ticket: Ticket, terms: Terms) {
        if self.has(Switch::StopCountsItself) {
            let admitted = world.gate.enter_normal(false) == Normal::Admitted;
            world.callers[ticket.caller as usize].inside = admitted;
        }
        let event = Event::StopCalled { quiet: world.quiet(), grace: terms.grace };
        let Some(action) = self.step(world, event) else { return };
        let context = world.running.filter(|running| running.context).map(|start| start.ticket);
        match action {
            Action::Answer(result) => self.done(world, ticket, Some(result)),
            Action::Post if self.has(Switch::FlipBeforePost) => {
                world.callers[ticket.caller as usize].step = CallerStep::Flipped;
            }
            Action::Post => self.post(world, Kind::Stop, ticket, terms, None),
            Action::PostAndCancelStart => self.post(world, Kind::Stop, ticket, terms, context),
            Action::Nothing
            | Action::RunStart
            | Action::RunGrace
            | Action::RunDrain
            | Action::RollBackStop => unreachable!("a call does not run anything: {action:?}"),
        }
    }

    fn call_start(&self, world: &mut World, ticket: Ticket) {
        let quiet = world.quiet();
        match self.step(world, Event::StartCalled { quiet }).and_then(Self::result) {
            Some(result) => self.done(world, ticket, Some(result)),
            None => self.post(world, Kind::Start, ticket, Terms::default(), None),
        }
    }

    /// `Device::post` with `Device::tighten` before it: every stop ahead of this one is tightened.
    fn post(
        &self,
        world: &mut World,
        kind: Kind,
        ticket: Ticket,
        terms: Terms,
        cancels: Option<Ticket>,
    ) {
        if kind == Kind::Stop {
            for job in world.queue.iter_mut().filter(|job| job.kind == Kind::Stop) {
                job.terms.tighten(terms);
            }
            for running in world.running.iter_mut().filter(|call| call.kind == Kind::Stop) {
                running.terms.tighten(terms);
            }
        }
        world.queue.push(Job { kind, ticket, terms, announced: false });
        world.answer(ticket, Answer::Posted);
        world.callers[ticket.caller as usize].step = CallerStep::Announcing { cancels };
    }

    /// `Device::pause_or_resume`, the resume: stops that can be taken back are, all of them.
    fn call_resume(&self, world: &mut World, ticket: Ticket) {
        let before = world.clone();
        let stops = |kind: Kind| kind == Kind::Stop;
        let voided: Vec<Job> = {
            let all = world.queue.iter();
            all.filter(|job| stops(job.kind) && job.announced).copied().collect()
        };
        // What is just being posted comes after this call, and is still in force.
        world.queue.retain(|job| !(stops(job.kind) && job.announced));
        let Some(action) = self.step(world, Event::ResumeCalled) else { return };
        let running = world.running.filter(|call| stops(call.kind));
        let too_late = running.is_some_and(|call| call.committed);
        if action != Action::RollBackStop || too_late {
            *world = before;
            let result = Self::result(action).unwrap_or(CallResult::AlreadyStopped);
            return self.done(world, ticket, Some(result));
        }
        if let Some(call) = world.running.as_mut().filter(|call| stops(call.kind)) {
            call.roll_back = true;
        }
        for job in voided {
            world.answer(job.ticket, Answer::Ended(Outcome::RolledBack));
        }
        self.done(world, ticket, Some(CallResult::Success));
    }

    fn done(&self, world: &mut World, ticket: Ticket, result: Option<CallResult>) {
        let Some(result) = result else { return };
        let caller = ticket.caller as usize;
        if std::mem::take(&mut world.callers[caller].inside) {
            world.gate.leave(false);
        }
        world.answer(ticket, Answer::Done(result.into()));
        world.callers[caller].step = CallerStep::Ready;
        world.callers[caller].at += 1;
    }
}
