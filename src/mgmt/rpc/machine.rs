//! What the runtime answers in each state. Pure: no lock, no clock, no thread.
//!
//! | call | not listening | listening | draining |
//! | --- | --- | --- | --- |
//! | `listen` | 0; 1714 without an endpoint; 1742 when `max` is 0 or below `min` | 1713 | 1713 |
//! | `stop_listening` | 1715 | 0, and the drain begins | 0, joins the drain |
//! | `wait_listen` | 0; 1715 if it never listened | waits | waits for the last call |
//! | `is_listening` | 1715 | 0 | 1715 |
//! | a call of an ordinary interface | refused | runs; too busy over `max` | refused |
//! | a call of an auto-listen interface | runs | runs | runs |
//! | a callback of a call that runs | runs | runs | runs |
//!
//! `NotListening → Listening → Draining → NotListening`, and again. The drain is over when the last
//! call of an ordinary interface has ended, callbacks included. The call that asked for it is not
//! waited for: it could wait for the end itself. Auto-listen interfaces listen while they are
//! registered, whatever the rest does.

use crate::mgmt::rpc::status::RpcStatus;
use std::collections::{BTreeMap, HashMap};

/// `RPC_C_LISTEN_MAX_CALLS_DEFAULT`: as many calls as there are.
pub const UNLIMITED_CALLS: u32 = 1234;

/// Is there somebody to call?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Ordinary interfaces take no call.
    #[default]
    NotListening,
    /// They do.
    Listening,
    /// They take none any more, and some still run.
    Draining,
}

/// One registration of an interface; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(u64);

/// One call; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNumber(u64);

/// How an interface listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listens {
    /// When the server does.
    WithServer,
    /// From its registration to its end, with a bound of its own on calls.
    Always {
        /// Calls at once.
        max_calls: u32,
    },
}

/// Interfaces to unregister.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// This one, auto-listen or not.
    One(InterfaceId),
    /// All but those that are auto-listen: these only go one by one.
    AllOrdinary,
}

/// Why a call does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody listens there: `nca_s_unk_if`.
    UnknownInterface,
    /// As many as may run do: `nca_s_server_too_busy`.
    TooBusy,
}

/// What a stop of the listening did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopping {
    /// It began the drain.
    Begun,
    /// It found one under way.
    Joined,
    /// Nobody listened.
    NotListening,
}

impl Stopping {
    /// As callers know it.
    #[must_use]
    pub const fn status(self) -> RpcStatus {
        match self {
            Self::Begun | Self::Joined => RpcStatus::Ok,
            Self::NotListening => RpcStatus::NotListening,
        }
    }
}

/// A wait for the end of the listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Over already, so.
    Over(RpcStatus),
    /// Until this many drains have ended.
    ForDrain(u64),
}

/// How many calls there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Begun, on all interfaces, callbacks included.
    pub begun: u64,
    /// Ended.
    pub ended: u64,
    /// Refused: nobody listened, or too many ran.
    pub refused: u64,
    /// Running although a drain ended: those that asked for it.
    pub excused: u64,
}

#[derive(Debug)]
struct Interface {
    listens: Listens,
    /// Unregistered; what runs still runs.
    leaving: bool,
    running: u32,
}

#[derive(Debug)]
struct Running {
    interface: InterfaceId,
    parent: Option<CallNumber>,
    /// Counts for the drain: it, or the call it is a callback of, is of an ordinary interface.
    ordinary: bool,
    /// Asked for the drain, which does not wait for it.
    excused: bool,
}

/// The state.
#[derive(Debug, Default)]
pub struct Machine {
    phase: Phase,
    has_listened: bool,
    endpoints: usize,
    max_calls: Option<u32>,
    drains: u64,
    numbers: u64,
    interfaces: BTreeMap<InterfaceId, Interface>,
    calls: HashMap<CallNumber, Running>,
    /// Of `calls`, those a drain waits for.
    waited_for: usize,
    counts: Counts,
}

impl Machine {
    /// The state.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// How many calls there were.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let excused = self.calls.values().filter(|call| call.excused).count();
        Counts { excused: excused as u64, ..self.counts }
    }

    /// Calls that run now, on all interfaces.
    #[must_use]
    pub fn running(&self) -> usize {
        self.calls.len()
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Adds an interface.
    pub fn register(&mut self, listens: Listens) -> InterfaceId {
        let id = InterfaceId(self.number());
        self.interfaces.insert(id, Interface { listens, leaving: false, running: 0 });
        id
    }

    /// Adds an endpoint for ordinary interfaces.
    pub fn add_endpoint(&mut self) {
        self.endpoints += 1;
    }

    /// Takes one off again.
    pub fn remove_endpoint(&mut self) {
        self.endpoints = self.endpoints.saturating_sub(1);
    }

    /// `RpcServerListen`, without its wait. `min_calls` is only a hint, as everywhere.
    pub fn listen(&mut self, min_calls: u32, max_calls: u32) -> RpcStatus {
        match self.phase {
            Phase::Listening | Phase::Draining => RpcStatus::AlreadyListening,
            Phase::NotListening if self.endpoints == 0 => RpcStatus::NoEndpoints,
            Phase::NotListening if max_calls == 0 || max_calls < min_calls => {
                RpcStatus::MaxCallsTooSmall
            }
            Phase::NotListening => {
                self.phase = Phase::Listening;
                self.has_listened = true;
                self.max_calls = (max_calls != UNLIMITED_CALLS).then_some(max_calls);
                RpcStatus::Ok
            }
        }
    }

    /// `RpcMgmtStopServerListening`, asked from inside `asker` or from outside of any call.
    pub fn stop_listening(&mut self, asker: Option<CallNumber>) -> Stopping {
        let stopping = match self.phase {
            Phase::NotListening => return Stopping::NotListening,
            Phase::Listening => {
                self.phase = Phase::Draining;
                Stopping::Begun
            }
            Phase::Draining => Stopping::Joined,
        };
        self.excuse(asker);
        self.settle();
        stopping
    }

    /// Takes `asker` and what it is a callback of out of the drain: none of them can end before it.
    fn excuse(&mut self, asker: Option<CallNumber>) {
        let mut next = asker;
        while let Some(call) = next.and_then(|number| self.calls.get_mut(&number)) {
            if call.ordinary && !call.excused {
                call.excused = true;
                self.waited_for -= 1;
            }
            next = call.parent;
        }
    }

    /// Ends the drain when nothing runs that it waits for.
    fn settle(&mut self) {
        if self.phase == Phase::Draining && self.waited_for == 0 {
            self.phase = Phase::NotListening;
            self.drains += 1;
        }
    }

    /// `RpcMgmtIsServerListening`.
    #[must_use]
    pub const fn is_listening(&self) -> RpcStatus {
        match self.phase {
            Phase::Listening => RpcStatus::Ok,
            Phase::NotListening | Phase::Draining => RpcStatus::NotListening,
        }
    }

    /// `RpcMgmtWaitServerListen`: what there is to wait for.
    #[must_use]
    pub const fn wait_listen(&self) -> Waiting {
        match self.phase {
            Phase::NotListening if self.has_listened => Waiting::Over(RpcStatus::Ok),
            Phase::NotListening => Waiting::Over(RpcStatus::NotListening),
            Phase::Listening | Phase::Draining => Waiting::ForDrain(self.drains + 1),
        }
    }

    /// Have so many drains ended? A later listening does not undo that.
    #[must_use]
    pub const fn has_drained(&self, drains: u64) -> bool {
        self.drains >= drains
    }

    /// A call from outside.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed but a count.
    pub fn begin(&mut self, interface: InterfaceId) -> Result<CallNumber, Refusal> {
        let phase = self.phase;
        let is_root = |call: &&Running| call.ordinary && call.parent.is_none();
        let refusal = match self.interfaces.get(&interface) {
            None | Some(Interface { leaving: true, .. }) => Some(Refusal::UnknownInterface),
            Some(Interface { listens: Listens::Always { max_calls }, running, .. }) => {
                (running >= max_calls).then_some(Refusal::TooBusy)
            }
            Some(_) if phase != Phase::Listening => Some(Refusal::UnknownInterface),
            Some(_) => self.max_calls.and_then(|most| {
                let roots = self.calls.values().filter(is_root).count();
                (roots >= most as usize).then_some(Refusal::TooBusy)
            }),
        };
        match refusal {
            Some(refusal) => {
                self.counts.refused += 1;
                Err(refusal)
            }
            None => Ok(self.enter(interface, None, false)),
        }
    }

    /// A callback that `parent`, which runs, makes. It passes also while draining, and no bound on
    /// calls holds it up: its parent could not end without it.
    ///
    /// # Errors
    /// [`Refusal::UnknownInterface`].
    pub fn callback(
        &mut self,
        parent: CallNumber,
        interface: InterfaceId,
    ) -> Result<CallNumber, Refusal> {
        let within = self.calls.get(&parent).map(|call| (call.ordinary, call.excused));
        let target = self.interfaces.get(&interface);
        let passes = match (within, target) {
            // What leaves is there as long as something of it runs: for that.
            (Some((ordinary, _)), Some(target)) => {
                ordinary || target.listens != Listens::WithServer || self.phase == Phase::Listening
            }
            (None, _) | (_, None) => false,
        };
        match within.filter(|_| passes) {
            Some((_, excused)) => Ok(self.enter(interface, Some(parent), excused)),
            None => {
                self.counts.refused += 1;
                Err(Refusal::UnknownInterface)
            }
        }
    }

    fn enter(
        &mut self,
        interface: InterfaceId,
        parent: Option<CallNumber>,
        excused: bool,
    ) -> CallNumber {
        let number = CallNumber(self.number());
        let mut ordinary = parent.and_then(|parent| self.calls.get(&parent)).is_some_and(|call| {
            // A callback is a part of its call.
            call.ordinary
        });
        if let Some(entry) = self.interfaces.get_mut(&interface) {
            entry.running += 1;
            ordinary |= entry.listens == Listens::WithServer;
        }
        self.counts.begun += 1;
        self.waited_for += usize::from(ordinary && !excused);
        self.calls.insert(number, Running { interface, parent, ordinary, excused });
        number
    }

    /// A call has ended, its reply is out.
    pub fn end(&mut self, call: CallNumber) {
        let Some(ended) = self.calls.remove(&call) else { return };
        self.counts.ended += 1;
        self.waited_for -= usize::from(ended.ordinary && !ended.excused);
        if let Some(interface) = self.interfaces.get_mut(&ended.interface) {
            interface.running -= 1;
            if interface.leaving && interface.running == 0 {
                self.interfaces.remove(&ended.interface);
            }
        }
        self.settle();
    }

    /// `RpcServerUnregisterIf`, without its wait: what is to be waited for is gone when
    /// [`Machine::is_gone`] says so.
    ///
    /// # Errors
    /// 1717 for an interface that is not registered; 1003 when `wait` would wait for `asker`, which
    /// asks from inside. Nothing has changed then.
    pub fn unregister(
        &mut self,
        which: Which,
        wait: bool,
        asker: Option<CallNumber>,
    ) -> Result<Vec<InterfaceId>, RpcStatus> {
        let stays = |interface: &Interface| !interface.leaving;
        let targets: Vec<InterfaceId> = match which {
            Which::One(id) if self.interfaces.get(&id).is_some_and(stays) => vec![id],
            Which::One(_) => return Err(RpcStatus::UnknownInterface),
            Which::AllOrdinary => self
                .interfaces
                .iter()
                .filter(|(_, entry)| stays(entry) && entry.listens == Listens::WithServer)
                .map(|(id, _)| *id)
                .collect(),
        };
        if wait && self.is_inside(asker, &targets) {
            return Err(RpcStatus::CannotComplete);
        }
        for id in &targets {
            if let Some(interface) = self.interfaces.get_mut(id) {
                interface.leaving = true;
                if interface.running == 0 {
                    self.interfaces.remove(id);
                }
            }
        }
        Ok(targets)
    }

    /// Has everything of an unregistered interface ended?
    #[must_use]
    pub fn is_gone(&self, interface: InterfaceId) -> bool {
        !self.interfaces.contains_key(&interface)
    }

    /// Is `asker`, or what it is a callback of, a call of one of these?
    fn is_inside(&self, asker: Option<CallNumber>, interfaces: &[InterfaceId]) -> bool {
        let mut next = asker;
        while let Some(call) = next.and_then(|number| self.calls.get(&number)) {
            if interfaces.contains(&call.interface) {
                return true;
            }
            next = call.parent;
        }
        false
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
