//! Drives the [`Machine`]: its lock, its waits, and who is told when the listening stops.
//!
//! The lock is held for the length of a decision and never across a call, a wait for one, or the
//! telling of listeners: a call that runs may ask for the stop itself.

use crate::base::clock::Clock;
use crate::base::sync::{Condvar, Mutex, Rank, assert_no_locks};
use crate::mgmt::rpc::machine::{
    CallNumber, Counts, InterfaceId, Listens, Machine, Phase, Refusal, Stopping, Waiting, Which,
};
use crate::mgmt::rpc::status::RpcStatus;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Who brings calls of ordinary interfaces: it is told when to bring no more.
pub trait Transport: Send + Sync {
    /// The drain has begun: no new connection, idle ones are closed. Returns at once.
    fn stop_listening(&self);
}

/// One server: interfaces, endpoints, calls.
pub struct RpcServer {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// A call ended, or a drain did.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    machine: Machine,
    transports: Vec<Weak<dyn Transport>>,
}

impl std::fmt::Debug for RpcServer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RpcServer").finish_non_exhaustive()
    }
}

impl RpcServer {
    /// One without interfaces and endpoints.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let state = Mutex::new(Rank::Rpc, State::default());
        Arc::new(Self { clock, state, changed: Condvar::new() })
    }

    /// What it measures waits with.
    #[must_use]
    pub const fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Adds an interface.
    pub fn register(&self, listens: Listens) -> InterfaceId {
        self.state.lock().machine.register(listens)
    }

    /// Adds an endpoint, and who is to be told when the listening stops.
    pub fn add_endpoint(&self, transport: Weak<dyn Transport>) {
        let mut state = self.state.lock();
        state.machine.add_endpoint();
        state.transports.retain(|known| known.strong_count() > 0);
        state.transports.push(transport);
    }

    /// Takes one endpoint off.
    pub fn remove_endpoint(&self) {
        self.state.lock().machine.remove_endpoint();
    }

    /// `RpcServerListen`: with `dont_wait` returns at once, else after a stop and the last call.
    pub fn listen(&self, min_calls: u32, max_calls: u32, dont_wait: bool) -> RpcStatus {
        let listening = self.state.lock().machine.listen(min_calls, max_calls);
        if listening != RpcStatus::Ok || dont_wait { listening } else { self.wait_listen() }
    }

    /// `RpcMgmtStopServerListening`: returns at once. `asker` is the call it is asked from.
    pub fn stop_listening(&self, asker: Option<&Call>) -> Stopping {
        assert_no_locks("telling who brings calls");
        let (stopping, transports) = {
            let mut state = self.state.lock();
            let stopping = state.machine.stop_listening(asker.map(|call| call.number));
            let transports = match stopping {
                Stopping::Begun => state.transports.clone(),
                Stopping::Joined | Stopping::NotListening => Vec::new(),
            };
            (stopping, transports)
        };
        self.changed.notify_all();
        for transport in transports.iter().filter_map(Weak::upgrade) {
            transport.stop_listening();
        }
        stopping
    }

    /// `RpcMgmtWaitServerListen`: returns when the listening was stopped and the last call has
    /// ended. Any number may wait.
    pub fn wait_listen(&self) -> RpcStatus {
        let mut state = self.state.lock();
        match state.machine.wait_listen() {
            Waiting::Over(status) => status,
            Waiting::ForDrain(drain) => {
                while !state.machine.has_drained(drain) {
                    self.changed.wait(&mut state);
                }
                RpcStatus::Ok
            }
        }
    }

    /// The same for up to `limit`; `None` when the time ran out.
    pub fn wait_listen_for(&self, limit: Duration) -> Option<RpcStatus> {
        let deadline = self.clock.now().after(limit);
        let mut state = self.state.lock();
        let drain = match state.machine.wait_listen() {
            Waiting::Over(status) => return Some(status),
            Waiting::ForDrain(drain) => drain,
        };
        while !state.machine.has_drained(drain) {
            let left = deadline.since(self.clock.now());
            if left.is_zero() {
                return None;
            }
            self.changed.wait_for(&mut state, left);
        }
        Some(RpcStatus::Ok)
    }

    /// `RpcMgmtIsServerListening`.
    pub fn is_listening(&self) -> RpcStatus {
        self.state.lock().machine.is_listening()
    }

    /// The state.
    pub fn phase(&self) -> Phase {
        self.state.lock().machine.phase()
    }

    /// How many calls there were.
    pub fn counts(&self) -> Counts {
        self.state.lock().machine.counts()
    }

    /// `RpcServerUnregisterIf`: no new call of these interfaces begins; with `wait` returns when
    /// the last one has ended. `asker` is the call it is asked from.
    ///
    /// # Errors
    /// 1717 for an interface that is not registered, 1003 when it would wait for `asker`. Nothing
    /// has changed then. Else how many interfaces went.
    pub fn unregister_if(
        &self,
        which: Which,
        wait: bool,
        asker: Option<&Call>,
    ) -> Result<usize, RpcStatus> {
        let mut state = self.state.lock();
        let going = state.machine.unregister(which, wait, asker.map(|call| call.number))?;
        while wait && going.iter().any(|id| !state.machine.is_gone(*id)) {
            self.changed.wait(&mut state);
        }
        Ok(going.len())
    }

    /// A call from outside, counted until the [`Call`] is dropped.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn begin(self: &Arc<Self>, interface: InterfaceId) -> Result<Call, Refusal> {
        let number = self.state.lock().machine.begin(interface)?;
        Ok(Call { server: Arc::clone(self), number })
    }
}

/// A call that runs; dropped when its reply is out, also by a thread that unwinds.
#[derive(Debug)]
#[must_use = "a call that is dropped has ended"]
pub struct Call {
    server: Arc<RpcServer>,
    number: CallNumber,
}

impl Call {
    /// A callback this call makes; it passes also while the server drains.
    ///
    /// # Errors
    /// [`Refusal::UnknownInterface`].
    pub fn callback(&self, interface: InterfaceId) -> Result<Self, Refusal> {
        let number = self.server.state.lock().machine.callback(self.number, interface)?;
        Ok(Self { server: Arc::clone(&self.server), number })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.server.state.lock().machine.end(self.number);
        self.server.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::base::threads;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    const BOUND: Duration = Duration::from_secs(20);

    #[derive(Default)]
    struct Told(AtomicUsize);

    impl Transport for Told {
        fn stop_listening(&self) {
            assert_no_locks("a transport is told");
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn listening() -> (Arc<RpcServer>, InterfaceId, Arc<Told>) {
        let server = RpcServer::new(SystemClock::shared());
        let told = Arc::new(Told::default());
        let transport: Arc<dyn Transport> = told.clone();
        server.add_endpoint(Arc::downgrade(&transport));
        let interface = server.register(Listens::WithServer);
        assert_eq!(server.listen(1, 64, true), RpcStatus::Ok);
        (server, interface, told)
    }

    /// Management.md §7, 4: N stops at once are one drain, and each is answered 0.
    #[test]
    fn i4_concurrent_stops_are_one_drain() {
        const STOPPERS: usize = 16;
        let (server, interface, told) = listening();
        let call = server.begin(interface).expect("listens");
        let (sender, receiver) = mpsc::channel();
        let stoppers: Vec<_> = (0..STOPPERS)
            .map(|_| {
                let (server, sender) = (Arc::clone(&server), sender.clone());
                let body = move || {
                    let _ = sender.send(server.stop_listening(None));
                };
                threads::spawn("t-stop", body).expect("room")
            })
            .collect();
        let answers: Vec<Stopping> = (0..STOPPERS)
            .map(|_| receiver.recv_timeout(BOUND).expect("answered while a call runs"))
            .collect();
        stoppers.into_iter().for_each(threads::Thread::join);
        assert!(answers.iter().all(|answer| answer.status() == RpcStatus::Ok), "{answers:?}");
        let begun = answers.iter().filter(|answer| **answer == Stopping::Begun).count();
        assert_eq!((begun, told.0.load(Ordering::SeqCst)), (1, 1));
        assert_eq!(server.phase(), Phase::Draining);
        drop(call);
        assert_eq!(server.wait_listen_for(BOUND), Some(RpcStatus::Ok));
        assert_eq!(server.stop_listening(None).status(), RpcStatus::NotListening);
    }

    /// `listen` without `dont_wait` returns after the stop *and* the last call; so does every wait.
    #[test]
    fn a_listen_that_waits_returns_after_the_last_call() {
        let server = RpcServer::new(SystemClock::shared());
        let transport: Arc<dyn Transport> = Arc::new(Told::default());
        server.add_endpoint(Arc::downgrade(&transport));
        let interface = server.register(Listens::WithServer);
        assert_eq!(server.wait_listen(), RpcStatus::NotListening, "it never listened");
        let (sender, receiver) = mpsc::channel();
        let listener = {
            let (server, sender) = (Arc::clone(&server), sender.clone());
            threads::spawn("t-listen", move || {
                let _ = sender.send(server.listen(1, 8, false));
            })
        }
        .expect("room");
        let clock = SystemClock::new();
        while server.is_listening() != RpcStatus::Ok {
            assert!(clock.now().since(Default::default()) < BOUND, "it never listens");
            std::thread::yield_now();
        }
        let call = server.begin(interface).expect("listens");
        assert_eq!(server.listen(1, 8, false), RpcStatus::AlreadyListening, "at once");
        assert_eq!(server.stop_listening(None), Stopping::Begun);
        assert_eq!(server.wait_listen_for(Duration::ZERO), None, "a call runs");
        assert!(receiver.try_recv().is_err(), "so the listener waits");
        drop(call);
        assert_eq!(receiver.recv_timeout(BOUND), Ok(RpcStatus::Ok));
        assert_eq!(server.wait_listen(), RpcStatus::Ok);
        listener.join();
    }

    /// The document's remote procedure: stops, unregisters without waiting, waits for the drain,
    /// all from inside a call.
    #[test]
    fn a_call_may_stop_its_own_server() {
        let (server, interface, _) = listening();
        let call = server.begin(interface).expect("listens");
        assert_eq!(server.stop_listening(Some(&call)), Stopping::Begun);
        let waiting = server.unregister_if(Which::One(interface), true, Some(&call));
        assert_eq!(waiting, Err(RpcStatus::CannotComplete));
        assert_eq!(server.unregister_if(Which::AllOrdinary, false, Some(&call)), Ok(1));
        assert_eq!(server.wait_listen_for(BOUND), Some(RpcStatus::Ok), "not for itself");
        assert_eq!(server.counts().excused, 1);
        drop(call);
        assert_eq!(server.counts().begun, server.counts().ended);
        assert_eq!(server.begin(interface).err(), Some(Refusal::UnknownInterface));
    }

    /// An unregistering that waits returns when the last call of the interface has ended.
    #[test]
    fn unregistering_waits_for_calls_when_asked_to() {
        let (server, interface, _) = listening();
        let call = server.begin(interface).expect("listens");
        let (sender, receiver) = mpsc::channel();
        let waiter = {
            let server = Arc::clone(&server);
            let body = move || {
                let _ = sender.send(server.unregister_if(Which::AllOrdinary, true, None));
            };
            threads::spawn("t-unregister", body).expect("room")
        };
        let clock = SystemClock::new();
        while server.begin(interface).is_ok() {
            assert!(clock.now().since(Default::default()) < BOUND, "still registered");
            std::thread::yield_now();
        }
        assert!(receiver.try_recv().is_err(), "a call runs");
        drop(call);
        assert_eq!(receiver.recv_timeout(BOUND), Ok(Ok(1)));
        waiter.join();
    }
}
