//! The clients' side, after `dispatch.rs` and `ops/close.rs`: a request asks the gate, runs in the
//! mini-redirector, leaves.

use crate::gate::{Close, Normal};
use crate::policy::{Machine, Switch};
use crate::world::{ClientStep, Handle, Job, Kind, Op, Terms, Ticket, Violation, World};
use minirdr::base::stop::State;

impl Machine {
    /// The request a client makes or has under way.
    pub fn op(&self, world: &World, client: usize) -> Option<Op> {
        self.scene.clients[client].get(world.clients[client].at as usize).copied()
    }

    /// Can this client, or its request, do anything?
    pub fn client_ready(&self, world: &World, client: usize) -> bool {
        let Some(op) = self.op(world, client) else { return false };
        match world.clients[client].step {
            ClientStep::Between
            | ClientStep::Posting
            | ClientStep::Uncounted
            | ClientStep::Deferring
            | ClientStep::Released => true,
            ClientStep::Inside { cancelled, .. } => match op {
                Op::Open | Op::Io | Op::Flush | Op::Close => true,
                Op::Blocked => cancelled,
                Op::Hung => false,
            },
            ClientStep::Queued | ClientStep::Deferred | ClientStep::Out => false,
        }
    }

    /// Its next step.
    pub fn client_goes_on(&self, world: &mut World, client: usize) {
        let op = self.op(world, client).expect("only who has a request goes on");
        match (world.clients[client].step, op) {
            (ClientStep::Between, Op::Open | Op::Io | Op::Blocked | Op::Hung) => {
                self.enter_normal(world, client, op);
            }
            (ClientStep::Between, Op::Flush | Op::Close) => self.enter_close(world, client, true),
            (ClientStep::Posting, _) => {
                let ticket = Ticket { caller: 0, call: 0 };
                let (kind, terms) = (Kind::Request(client as u8), Terms::default());
                world.queue.push(Job { kind, ticket, terms, announced: true });
                world.clients[client].step = ClientStep::Queued;
            }
            (ClientStep::Deferring, _) if world.deferring => {
                world.clients[client].step = ClientStep::Deferred;
            }
            (ClientStep::Deferring | ClientStep::Released, _) => {
                if self.has(Switch::PutOffCloseIsNotCounted) {
                    world.clients[client].step = ClientStep::Uncounted;
                } else {
                    self.enter_close(world, client, false);
                }
            }
            (ClientStep::Uncounted, _) => self.run_close(world, client, op, false),
            (ClientStep::Inside { generation, counted, .. }, _) => {
                self.end(world, client, op, generation, counted);
            }
            (ClientStep::Queued | ClientStep::Deferred | ClientStep::Out, _) => {
                unreachable!("somebody else moves it on")
            }
        }
    }

    fn enter_normal(&self, world: &mut World, client: usize, op: Op) {
        let opens = op == Op::Open;
        if world.gate.enter_normal(opens) != Normal::Admitted {
            // Without a handle there is nothing more to do.
            return if opens { self.out(world, client) } else { self.next(world, client) };
        }
        world.note(Self::is_stopping(world, opens), Violation::AdmittedAfterStop);
        let generation = world.gate.generation;
        world.note(world.up != Some(generation), Violation::RequestWithoutServer);
        if !opens {
            let number = world.clients[client].handle;
            let handle = world.handles.iter().find(|handle| Some(handle.number) == number);
            let Some(handle) = handle.copied().filter(|handle| handle.generation == generation)
            else {
                // ESTALE: a survivor that was not carried over.
                world.gate.leave(false);
                return self.next(world, client);
            };
            world.note(handle.survivor, Violation::Unreclaimed);
            world.note(handle.owner as usize != client, Violation::AnothersHandle);
        }
        world.clients[client].step = if self.has(Switch::OneThreadForAll) {
            ClientStep::Posting
        } else {
            ClientStep::Inside { generation, counted: true, cancelled: false }
        };
    }

    /// A cleanup or close asks the gate: for the first time, or when it was put off and is handed
    /// back.
    fn enter_close(&self, world: &mut World, client: usize, first: bool) {
        let number = world.clients[client].handle;
        let handle = world.handles.iter().find(|handle| Some(handle.number) == number);
        let Some(generation) = handle.map(|handle| handle.generation) else {
            world.note(true, Violation::AnothersHandle);
            return self.next(world, client);
        };
        let state = world.gate.state;
        let stopped = matches!(state, State::Startable | State::StartInProgress);
        if self.has(Switch::ClosesRefusedWhenStopped) && stopped {
            return self.next(world, client);
        }
        let starting = state == State::StartInProgress;
        if self.has(Switch::ReclaimedCloseIsNotCounted) && starting {
            world.clients[client].step = ClientStep::Uncounted;
            return;
        }
        match world.gate.enter_close(generation) {
            Close::Counted => {
                let op = self.op(world, client).expect("it makes one");
                self.run_close(world, client, op, true);
            }
            Close::Survivor => world.clients[client].step = ClientStep::Uncounted,
            Close::Deferred if first => world.clients[client].step = ClientStep::Deferring,
            Close::Deferred if world.deferring => {
                world.clients[client].step = ClientStep::Deferred;
            }
            // `MRxStop` has returned: nobody keeps it any more.
            Close::Deferred => world.clients[client].step = ClientStep::Uncounted,
        }
    }

    fn run_close(&self, world: &mut World, client: usize, op: Op, counted: bool) {
        let number = world.clients[client].handle;
        let place = world.handles.iter().position(|handle| Some(handle.number) == number);
        let Some(place) = place else {
            world.note(true, Violation::AnothersHandle);
            return self.next(world, client);
        };
        let handle = world.handles[place];
        world.note(handle.owner as usize != client, Violation::AnothersHandle);
        if op == Op::Close {
            world.handles.remove(place);
        }
        let generation = handle.generation;
        world.clients[client].step = ClientStep::Inside { generation, counted, cancelled: false };
    }

    fn end(&self, world: &mut World, client: usize, op: Op, generation: u8, counted: bool) {
        if counted {
            world.gate.leave(matches!(op, Op::Flush | Op::Close));
        }
        if op == Op::Open {
            let number = world.next_number;
            world.next_number += 1;
            let owner = client as u8;
            world.handles.push(Handle { number, owner, generation, survivor: false });
            world.clients[client].handle = Some(number);
        }
        self.next(world, client);
    }

    /// `StopRun::abandon_all`: everything counted leaves, its caller has ETIMEDOUT.
    pub fn abandon_all(&self, world: &mut World) {
        for client in 0..world.clients.len() {
            let ClientStep::Inside { counted: true, .. } = world.clients[client].step else {
                continue;
            };
            let op = self.op(world, client).expect("it is inside with one");
            world.gate.leave(matches!(op, Op::Flush | Op::Close));
            if op == Op::Hung
                && let Some(running) = &mut world.running
            {
                running.lost = true;
            }
            match op {
                // The handle it makes after all is discarded.
                Op::Open => self.out(world, client),
                Op::Io | Op::Blocked | Op::Hung | Op::Flush | Op::Close => self.next(world, client),
            }
        }
    }

    /// A posted request has run on the control thread.
    pub fn run_queued(&self, world: &mut World, client: usize) {
        let op = self.op(world, client).expect("it is queued with one");
        let generation = world.gate.generation;
        self.end(world, client, op, generation, true);
    }

    fn next(&self, world: &mut World, client: usize) {
        world.clients[client].at += 1;
        world.clients[client].step = ClientStep::Between;
        if self.op(world, client).is_none() {
            world.clients[client].step = ClientStep::Out;
        }
    }

    fn out(&self, world: &mut World, client: usize) {
        world.clients[client].at = self.scene.clients[client].len() as u8;
        world.clients[client].step = ClientStep::Out;
    }
}
