//! The gate in a few lines: what may pass, and what is counted. The model checker runs on this
//! reference; `reference.rs` holds it against the real gate, operation by operation.

use minirdr::base::stop::State;

/// The gate's word taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gate {
    pub state: State,
    /// Successful starts.
    pub generation: u8,
    /// Cleanups and closes inside.
    pub closes: u8,
    /// Other requests inside.
    pub normals: u8,
}

/// What a normal request is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Normal {
    Admitted,
    NotStarted,
    Paused,
}

/// What a cleanup or close is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    Counted,
    Survivor,
    Deferred,
}

impl Gate {
    pub fn new() -> Self {
        Self { state: State::Startable, generation: 0, closes: 0, normals: 0 }
    }

    pub fn enter_normal(&mut self, opens: bool) -> Normal {
        match self.state {
            State::Paused if opens => return Normal::Paused,
            State::Started | State::Paused => {}
            State::Startable | State::StartInProgress | State::Draining | State::Sealing => {
                return Normal::NotStarted;
            }
        }
        self.normals += 1;
        Normal::Admitted
    }

    /// `generation`: of the handle.
    pub fn enter_close(&mut self, generation: u8) -> Close {
        let counted = match self.state {
            State::Started | State::Paused | State::Draining => generation == self.generation,
            // Of a handle that the start has reclaimed already.
            State::StartInProgress => generation == self.generation + 1,
            State::Sealing if generation == self.generation => return Close::Deferred,
            State::Sealing | State::Startable => false,
        };
        self.closes += u8::from(counted);
        if counted { Close::Counted } else { Close::Survivor }
    }

    pub fn leave(&mut self, close: bool) {
        let count = if close { &mut self.closes } else { &mut self.normals };
        *count = count.checked_sub(1).expect("nobody leaves who has not entered");
    }

    /// Any state but Startable, coming from StartInProgress, is the next generation.
    pub fn set_state(&mut self, state: State) {
        let left = self.state == State::StartInProgress && self.state != state;
        self.generation += u8::from(left && state != State::Startable);
        self.state = state;
    }
}
