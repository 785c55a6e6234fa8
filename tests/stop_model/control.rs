//! The control thread, after `stop_order.rs`, `stop_run.rs` and `start_order.rs`: what it waits for
//! and what it does next.

use crate::policy::{Machine, Switch};
use crate::world::{
    Answer, ClientStep, Kind, Lane, Op, Outcome, Policy, Running, Violation, World,
};
use minirdr::base::stop::State;
use minirdr::rdbss::lifecycle::{Action, Event};

impl Machine {
    /// Can it go on?
    pub fn lane_ready(&self, world: &World) -> bool {
        match world.lane {
            Lane::Idle => world.queue.first().is_some_and(|job| job.announced),
            Lane::DrainStubborn => {
                self.is_taken_back(world) || world.gate.normals <= self.cancellable(world)
            }
            Lane::DrainCancelled => self.is_taken_back(world) || world.gate.normals == 0,
            Lane::Seal => self.is_taken_back(world) || world.gate.closes == 0,
            Lane::MrxStop { hung } => !hung || self.may_give_up(world),
            Lane::StopTaken { .. }
            | Lane::Grace
            | Lane::Commit
            | Lane::RunDeferred
            | Lane::Count
            | Lane::RollBack
            | Lane::StartTaken
            | Lane::Starting
            | Lane::MrxStart
            | Lane::Reclaim { .. }
            | Lane::StartDone
            | Lane::Finish(_) => true,
        }
    }

    /// May the mini-redirector, or a survivor, fail here?
    pub fn lane_may_fail(&self, world: &World) -> bool {
        match world.lane {
            // A start that hangs is given up on when its time is over: it failed.
            Lane::MrxStart => {
                let cancelled = world.running.is_some_and(|running| running.cancelled);
                self.scene.mrx_start_may_fail || cancelled
            }
            Lane::MrxStop { hung } => self.scene.mrx_stop_may_fail && !hung,
            Lane::Reclaim { .. } => self.next_survivor(world).is_some(),
            _ => false,
        }
    }

    /// May a deadline pass now, and would anybody notice?
    pub fn deadline_may_pass(&self, world: &World) -> bool {
        let looks = matches!(
            world.lane,
            Lane::Grace
                | Lane::DrainStubborn
                | Lane::DrainCancelled
                | Lane::Seal
                | Lane::MrxStop { hung: true }
        );
        let ahead = |call: &Running| call.terms.deadline.is_some() && !call.deadline_passed;
        looks && world.running.as_ref().is_some_and(ahead)
    }

    /// `StopRun::look` with a stern outcome of the deadline, and something inside.
    pub fn may_abandon(&self, world: &World) -> bool {
        let waits = matches!(world.lane, Lane::DrainStubborn | Lane::DrainCancelled | Lane::Seal);
        let stern = |call: &Running| call.deadline_passed && call.terms.deadline >= CANCEL;
        let counted = world.gate.normals + world.gate.closes > 0;
        waits && counted && world.running.as_ref().is_some_and(stern)
    }

    /// The deadline passes: what can be cancelled is, if its outcome says so.
    pub fn deadline_passes(&self, world: &mut World) {
        let Some(running) = &mut world.running else { return };
        running.deadline_passed = true;
        if running.terms.deadline == CANCEL {
            self.cancel(world, |_| true);
        }
    }

    /// `StopRun::may_wait` is over for foreign code that hangs.
    fn may_give_up(&self, world: &World) -> bool {
        let over =
            |call: &Running| call.deadline_passed && call.terms.deadline != Some(Policy::Stay);
        world.running.as_ref().is_some_and(over)
    }

    fn is_taken_back(&self, world: &World) -> bool {
        let resumes = |call: &Running| {
            call.roll_back || (call.deadline_passed && call.terms.deadline == Some(Policy::Resume))
        };
        world.running.as_ref().is_some_and(resumes)
    }

    /// Counted normals with a cancel routine.
    fn cancellable(&self, world: &World) -> u8 {
        let waits = |client: &usize| {
            let inside = ClientStep::Inside {
                generation: world.gate.generation,
                counted: true,
                cancelled: false,
            };
            world.clients[*client].step == inside && self.op(world, *client) == Some(Op::Blocked)
        };
        (0..world.clients.len()).filter(waits).count() as u8
    }

    fn cancel(&self, world: &mut World, which: impl Fn(Op) -> bool) {
        for client in 0..world.clients.len() {
            let op = self.op(world, client);
            if let ClientStep::Inside { counted: true, cancelled, .. } =
                &mut world.clients[client].step
                && op.is_some_and(|op| !matches!(op, Op::Flush | Op::Close) && which(op))
            {
                *cancelled = true;
            }
        }
    }

    fn next_survivor(&self, world: &World) -> Option<usize> {
        let Lane::Reclaim { from } = world.lane else { return None };
        let offered = |place: &usize| {
            let handle = &world.handles[*place];
            // A handle whose cleanup is on the way is left to its own generation.
            let on_the_way = matches!(
                world.clients[handle.owner as usize].step,
                ClientStep::Uncounted
                    | ClientStep::Deferring
                    | ClientStep::Deferred
                    | ClientStep::Released
                    | ClientStep::Inside { .. }
            );
            let free = !on_the_way || self.has(Switch::ReclaimedUnderItsClose);
            handle.survivor && handle.number >= from && free
        };
        (0..world.handles.len()).filter(offered).min_by_key(|place| world.handles[*place].number)
    }

    /// Its next step. `fails`: what it calls does; `hangs`: for ever.
    pub fn lane_goes_on(&self, world: &mut World, fails: bool, hangs: bool) {
        world.lane = match world.lane {
            Lane::Idle => self.take(world),
            Lane::StopTaken { grace } => self.stop_taken(world, grace),
            Lane::Grace if self.is_taken_back(world) => Lane::RollBack,
            Lane::DrainStubborn if self.is_taken_back(world) => Lane::RollBack,
            Lane::DrainCancelled if self.is_taken_back(world) => Lane::RollBack,
            Lane::Seal if self.is_taken_back(world) => Lane::RollBack,
            Lane::Grace => {
                self.step(world, Event::GraceOver);
                world.running.iter_mut().for_each(|running| running.terms.grace = false);
                Lane::DrainStubborn
            }
            Lane::DrainStubborn => {
                if !self.has(Switch::BlockedNotCancelled) {
                    self.cancel(world, |op| op == Op::Blocked);
                }
                Lane::DrainCancelled
            }
            Lane::DrainCancelled => {
                world.deferring = true;
                self.step(world, Event::Drained);
                Lane::Seal
            }
            Lane::Seal => Lane::Commit,
            Lane::Commit => {
                world.running.iter_mut().for_each(|running| running.committed = true);
                world.untold_stops += 1;
                world.note(world.up.is_none(), Violation::SecondMrxStop);
                Lane::MrxStop { hung: hangs }
            }
            Lane::MrxStop { .. } => {
                world.up = None;
                Lane::RunDeferred
            }
            Lane::RunDeferred => {
                self.release_deferred(world);
                Lane::Count
            }
            Lane::Count => self.count(world),
            Lane::RollBack => self.roll_back(world),
            Lane::StartTaken => self.start_taken(world),
            Lane::Starting => {
                world.running.iter_mut().for_each(|running| running.context = true);
                Lane::MrxStart
            }
            Lane::MrxStart => self.mrx_start(world, fails),
            Lane::Reclaim { .. } => self.reclaim(world, fails),
            Lane::StartDone => {
                self.step(world, Event::StartDone);
                world.note(world.gate.normals > 0, Violation::StartNotEmpty);
                Lane::Finish(Outcome::Success)
            }
            Lane::Finish(outcome) => self.finish(world, outcome),
        };
    }

    /// `Control::next_job`.
    fn take(&self, world: &mut World) -> Lane {
        let job = world.queue.remove(0);
        if let Kind::Request(client) = job.kind {
            self.run_queued(world, client as usize);
            return Lane::Idle;
        }
        world.running = Some(Running {
            kind: job.kind,
            ticket: job.ticket,
            terms: job.terms,
            deadline_passed: false,
            roll_back: false,
            committed: false,
            context: false,
            cancelled: false,
            lost: false,
        });
        match job.kind {
            Kind::Start => Lane::StartTaken,
            Kind::Stop | Kind::Request(_) => Lane::StopTaken { grace: job.terms.grace },
        }
    }

    fn stop_taken(&self, world: &mut World, grace: bool) -> Lane {
        if world.running.is_some_and(|running| running.roll_back) {
            return Lane::RollBack;
        }
        match self.step(world, Event::StopTaken { grace }) {
            Some(Action::Answer(result)) => Lane::Finish(result.into()),
            Some(Action::RunGrace) => Lane::Grace,
            Some(_) => Lane::DrainStubborn,
            None => Lane::Finish(Outcome::Failed),
        }
    }

    fn start_taken(&self, world: &mut World) -> Lane {
        match self.step(world, Event::StartTaken) {
            Some(Action::Answer(result)) => {
                let stops = |kind: Kind| kind == Kind::Stop;
                let stop_behind = world.queue.iter().any(|job| stops(job.kind));
                let serves = matches!(world.gate.state, State::Started | State::Paused);
                let true_now = world.up.is_some() && (serves || stop_behind);
                world.note(!true_now, Violation::StartedIsUntrue);
                Lane::Finish(result.into())
            }
            Some(_) => {
                let empty = world.gate.normals == 0 && world.up.is_none();
                world.note(!empty, Violation::StartNotEmpty);
                Lane::Starting
            }
            None => Lane::Finish(Outcome::Failed),
        }
    }

    fn mrx_start(&self, world: &mut World, fails: bool) -> Lane {
        if fails {
            self.step(world, Event::StartFailed);
            return Lane::Finish(Outcome::Failed);
        }
        world.up = Some(world.gate.generation + 1);
        if self.has(Switch::NumbersRestart) {
            world.handles.clear();
            world.next_number = 0;
        }
        if self.scene.reclaims { Lane::Reclaim { from: 0 } } else { Lane::StartDone }
    }

    /// `Device::reclaim_one`.
    fn reclaim(&self, world: &mut World, refused: bool) -> Lane {
        let Some(place) = self.next_survivor(world) else { return Lane::StartDone };
        let generation = world.gate.generation + 1;
        let handle = &mut world.handles[place];
        if !refused {
            handle.survivor = false;
            handle.generation = generation;
        }
        Lane::Reclaim { from: handle.number + 1 }
    }

    /// `DeferredCloses::run_all`.
    fn release_deferred(&self, world: &mut World) {
        world.deferring = false;
        for client in &mut world.clients {
            if client.step == ClientStep::Deferred {
                client.step = ClientStep::Released;
            }
        }
    }

    /// Steps 9 to 11.
    fn count(&self, world: &mut World) -> Lane {
        world.handles.iter_mut().for_each(|handle| handle.survivor = true);
        let lost = world.running.is_some_and(|running| running.lost);
        self.step(world, Event::StopDone);
        Lane::Finish(match (lost, world.handles.is_empty()) {
            (true, _) => Outcome::Lost,
            (false, true) => Outcome::Success,
            (false, false) => Outcome::HasOpenHandles,
        })
    }

    /// `StopRun::roll_back`.
    fn roll_back(&self, world: &mut World) -> Lane {
        let by_resume = world.running.is_some_and(|running| running.roll_back);
        if !by_resume {
            self.step(world, Event::RollBack);
            world.running.iter_mut().for_each(|running| running.roll_back = true);
        }
        let stop_behind = world.queue.iter().any(|job| job.kind == Kind::Stop);
        let as_it_was = match world.gate.state {
            State::Started | State::Paused => true,
            State::Draining => stop_behind,
            State::Startable | State::StartInProgress | State::Sealing => false,
        };
        world.note(!as_it_was || world.up.is_none(), Violation::RolledBackNotServing);
        self.release_deferred(world);
        Lane::Finish(Outcome::RolledBack)
    }

    fn finish(&self, world: &mut World, outcome: Outcome) -> Lane {
        if let Some(running) = world.running.take() {
            let won = matches!(outcome, Outcome::Success | Outcome::HasOpenHandles | Outcome::Lost);
            if won && running.kind == Kind::Stop {
                world.untold_stops -= 1;
            }
            world.answer(running.ticket, Answer::Ended(outcome));
            let caller = &mut world.callers[running.ticket.caller as usize];
            if std::mem::take(&mut caller.inside) {
                world.gate.leave(false);
            }
        }
        Lane::Idle
    }
}

const CANCEL: Option<Policy> = Some(Policy::Cancel);
