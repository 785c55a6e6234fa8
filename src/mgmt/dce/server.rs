//! The sockets of the remote management interface, and the threads that serve them.
//!
//! One thread accepts for each endpoint, one serves each connection, all of them bounded. The
//! runtime says which calls begin: this is its transport, which stops accepting and closes idle
//! connections when the listening stops, and lets what runs send its reply. A peer that begins
//! something and does not end it, or does not take its answer, is dropped.

use crate::base::clock::{Clock, Moment};
use crate::base::limits::{
    CONTROL_WAIT_SLICE, RPC_CALLS_MAX, RPC_CONNECTIONS_MAX, RPC_IDLE_TIMEOUT, RPC_MIDWAY_TIMEOUT,
    RPC_WRITE_TIMEOUT,
};
use crate::base::sync::assert_no_locks;
use crate::base::threads::{self, Thread};
use crate::mgmt::authz::Peer;
use crate::mgmt::dce::binding::{Binding, Listener};
use crate::mgmt::dce::connection::{self, Association, Connection, Step};
use crate::mgmt::dce::connections::{Connections, Stream};
use crate::mgmt::dce::pdu::fault;
use crate::mgmt::dce::service::ManagementService;
use crate::mgmt::peer::local_peer;
use crate::mgmt::proc::Proc;
use crate::mgmt::rpc::machine::{InterfaceId, Listens, Refusal, Which};
use crate::mgmt::rpc::runtime::Transport;
use crate::mgmt::rpc::status::RpcStatus;
use rustix::net::{Shutdown, shutdown};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long [`DceServer::stop`] waits for calls that run.
const STOP_WAIT: Duration = RPC_WRITE_TIMEOUT.saturating_mul(2);
/// How long it waits then for those whose connection was cut.
const CUT_WAIT: Duration = Duration::from_secs(1);
/// Bytes read at once.
const CHUNK_BYTES: usize = 8 * 1024;

/// A running server. It listens once; when the listening was stopped, a new one is made.
#[derive(Debug)]
pub struct DceServer {
    shared: Arc<Shared>,
    accepting: Vec<Thread>,
    stopped: bool,
}

#[derive(Debug)]
struct Shared {
    service: ManagementService,
    clock: Arc<dyn Clock>,
    proc: Proc,
    interface: InterfaceId,
    listeners: Vec<Listener>,
    stopping: AtomicBool,
    connections: Connections,
}

impl DceServer {
    /// Registers the interface and begins to listen on `listeners`.
    ///
    /// # Errors
    /// The system's, when it has no room for a thread; or the runtime's, when it listens already.
    pub fn start(
        listeners: Vec<Listener>,
        service: ManagementService,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let rpc = Arc::clone(service.rpc());
        let shared = Arc::new(Shared {
            interface: rpc.register(Listens::WithServer),
            service,
            clock,
            proc: Proc::default(),
            listeners,
            stopping: AtomicBool::new(false),
            connections: Connections::new(),
        });
        let transport: Arc<dyn Transport> = Arc::clone(&shared) as _;
        for _ in &shared.listeners {
            rpc.add_endpoint(Arc::downgrade(&transport));
        }
        let mut server = Self { shared, accepting: Vec::new(), stopped: false };
        let listening = rpc.listen(1, RPC_CALLS_MAX, true);
        if listening != RpcStatus::Ok {
            // Whoever listens already is not ours to stop.
            server.give_up();
            return Err(io::Error::other(format!("the runtime says {listening:?}")));
        }
        for at in 0..server.shared.listeners.len() {
            let shared = Arc::clone(&server.shared);
            server.accepting.push(threads::spawn("rpc-accept", move || accept_all(&shared, at))?);
        }
        Ok(server)
    }

    /// Where it really listens.
    #[must_use]
    pub fn bindings(&self) -> Vec<Binding> {
        self.shared.listeners.iter().map(Listener::binding).collect()
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.count()
    }

    /// Stops the listening if nobody has, lets what runs reply, and ends; sockets are gone
    /// afterwards. Never from inside a call: it would wait for itself.
    pub fn stop(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        if self.stopped {
            return;
        }
        assert_no_locks("joining the remote management server");
        let rpc = Arc::clone(self.shared.service.rpc());
        let stopping = rpc.stop_listening(None);
        log::debug!("remote management ends: {stopping:?}");
        // It may have been stopped before, by another: then this is told nothing again.
        self.shared.stop_listening();
        if rpc.wait_listen_for(STOP_WAIT).is_none() {
            log::error!("remote management: calls still run; they are cut");
        }
        self.give_up();
    }

    /// Takes everything down that is this server's.
    fn give_up(&mut self) {
        self.stopped = true;
        let shared = &self.shared;
        let rpc = shared.service.rpc();
        shared.stop_listening();
        match rpc.unregister_if(Which::One(shared.interface), false, None) {
            // A `Shutdown` has done it before.
            Ok(_) | Err(RpcStatus::UnknownInterface) => {}
            Err(status) => log::error!("unregistering remote management: {status:?}"),
        }
        self.accepting.drain(..).for_each(Thread::join);
        if !shared.connections.wait_until_empty(&*shared.clock, STOP_WAIT) {
            shared.connections.cut(Shutdown::Both);
            shared.connections.wait_until_empty(&*shared.clock, CUT_WAIT);
        }
        shared.connections.join();
        shared.remove_sockets();
    }
}

impl Drop for DceServer {
    fn drop(&mut self) {
        self.stop_now();
    }
}

impl Transport for Shared {
    fn stop_listening(&self) {
        if self.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        for listener in &self.listeners {
            self.service.rpc().remove_endpoint();
            // Wakes who accepts: from here on a caller is refused by the kernel.
            let closed = match listener {
                Listener::Tcp(listener, _) => shutdown(listener, Shutdown::Both),
                Listener::Local(endpoint) => shutdown(endpoint.listener(), Shutdown::Both),
            };
            if let Err(error) = closed {
                log::error!("closing {}: {error}", listener.binding());
            }
        }
        // Ends every read, also of idle and half-sent connections; what runs can still reply.
        self.connections.cut(Shutdown::Read);
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn remove_sockets(&self) {
        for listener in &self.listeners {
            if let Listener::Local(endpoint) = listener {
                endpoint.remove();
            }
        }
    }

    /// Takes a connection; an error is the system's.
    fn accept(&self, at: usize) -> io::Result<(Stream, Option<Peer>)> {
        match &self.listeners[at] {
            Listener::Tcp(listener, _) => {
                let (stream, from) = listener.accept()?;
                Ok((Stream::Tcp(stream), Some(Peer::Remote(from))))
            }
            Listener::Local(endpoint) => {
                let (stream, _) = endpoint.listener().accept()?;
                let peer = local_peer(&stream, self.service.policy().base.group, &self.proc);
                Ok((Stream::Local(stream), peer))
            }
        }
    }
}

/// An accepting thread.
fn accept_all(shared: &Arc<Shared>, at: usize) {
    while !shared.is_stopping() {
        match shared.accept(at) {
            Ok((stream, Some(peer))) => admit(shared, at, Arc::new(stream), peer),
            Ok((_, None)) => log::warn!("remote management: a peer without credentials"),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if shared.is_stopping() => break,
            Err(error) => {
                // Most likely out of descriptors: a connection that ends makes room.
                log::warn!("remote management: accepting: {error}");
                shared.connections.wait_for_room(CONTROL_WAIT_SLICE);
            }
        }
    }
    if let Listener::Local(endpoint) = &shared.listeners[at] {
        endpoint.remove();
    }
}

/// Takes a connection off even when its thread unwinds.
struct Leaving<'shared> {
    shared: &'shared Shared,
    id: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.shared.connections.leave(self.id);
    }
}

/// Gives a connection its thread; one too many is closed.
fn admit(shared: &Arc<Shared>, at: usize, stream: Arc<Stream>, peer: Peer) {
    if stream.set_write_timeout(RPC_WRITE_TIMEOUT).is_err() {
        return;
    }
    let Some(id) = shared.connections.enter(at, &stream, RPC_CONNECTIONS_MAX) else {
        return log::debug!("remote management: too many connections; {peer:?} is turned away");
    };
    if shared.is_stopping() {
        // It came while the others were cut.
        stream.cut(Shutdown::Read);
    }
    let spawned = {
        let shared = Arc::clone(shared);
        threads::spawn("rpc-client", move || {
            let _leaving = Leaving { shared: &shared, id };
            Serving { shared: &shared, stream: &stream, peer, id }.serve(at);
        })
    };
    match spawned {
        Ok(thread) => shared.connections.served_by(id, thread),
        Err(error) => {
            log::warn!("no thread for a connection of remote management: {error}");
            shared.connections.leave(id);
        }
    }
}

/// One connection being served.
struct Serving<'shared> {
    shared: &'shared Shared,
    stream: &'shared Stream,
    peer: Peer,
    id: u64,
}

impl Association for Serving<'_> {
    fn is_listening(&self) -> bool {
        !self.shared.is_stopping()
    }

    fn create(&self) -> u32 {
        self.shared.connections.create_group(self.id)
    }

    fn join(&self, group: u32) -> bool {
        self.shared.connections.join_group(self.id, group)
    }
}

impl Serving<'_> {
    fn serve(&self, at: usize) {
        let mut connection = Connection::new(&self.shared.listeners[at].address());
        let mut chunk = vec![0; CHUNK_BYTES];
        let clock = &self.shared.clock;
        let mut counted = 0;
        let mut since = clock.now();
        let mut was_midway = false;
        loop {
            if !self.handle(&mut connection) || self.shared.is_stopping() {
                break;
            }
            // The time is that of the whole message, or of the whole silence.
            let moved = connection.messages() != counted;
            counted = connection.messages();
            let midway = connection.is_midway();
            if moved || midway != was_midway {
                since = clock.now();
            }
            was_midway = midway;
            let limit = if midway { RPC_MIDWAY_TIMEOUT } else { RPC_IDLE_TIMEOUT };
            match self.read(&mut chunk, since, limit) {
                Some(count) => connection.receive(&chunk[..count]),
                None => break,
            }
        }
        self.close();
    }

    /// Does everything there is to do for what was read; false: the connection is over.
    fn handle(&self, connection: &mut Connection) -> bool {
        loop {
            let before = connection.messages();
            let step = connection.step(self);
            self.shared.service.count(connection.messages() - before, 0);
            let sent = match step {
                Step::Read => return true,
                Step::Send(bytes) => self.send(&bytes),
                Step::Close(bytes) => {
                    let _ = self.send(&bytes);
                    return false;
                }
                Step::Call(call) => self.call(connection, &call),
            };
            if !sent {
                return false;
            }
        }
    }

    /// Carries out a call if the runtime lets it begin. It has ended when its reply is out.
    fn call(&self, connection: &Connection, call: &connection::Call) -> bool {
        let shared = self.shared;
        let running = match shared.service.rpc().begin(shared.interface) {
            Ok(running) => running,
            Err(refusal) => {
                let status = match refusal {
                    Refusal::UnknownInterface => fault::UNKNOWN_INTERFACE,
                    Refusal::TooBusy => fault::TOO_BUSY,
                };
                let sent = self.send(&connection.answer(call, Err(status)));
                // Nobody will listen to this connection again.
                return sent && refusal == Refusal::TooBusy;
            }
        };
        let (number, order) = (call.operation, call.order);
        let outcome = shared.service.call(&running, &self.peer, number, order, &call.stub);
        let outcome = outcome.as_deref().map_err(|status| *status);
        self.send(&connection.answer(call, outcome))
    }

    /// Sends all of it in the time there is; false: the peer does not take it.
    fn send(&self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        assert_no_locks("a reply");
        self.shared.service.count(0, 1);
        let clock = &self.shared.clock;
        let deadline = clock.now().after(RPC_WRITE_TIMEOUT);
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            // Each write has the socket's time; one that takes a little of each must not have it
            // all.
            if !rest.is_empty() && clock.now() >= deadline {
                return false;
            }
        }
        true
    }

    /// What the peer sends, before `limit` has passed since `since`; none: it is over.
    fn read(&self, chunk: &mut [u8], since: Moment, limit: Duration) -> Option<usize> {
        let clock = &self.shared.clock;
        loop {
            let left = since.after(limit).since(clock.now());
            if left.is_zero() || self.stream.set_read_timeout(left).is_err() {
                return None;
            }
            match self.stream.read(chunk) {
                Ok(0) => return None,
                Ok(count) => return Some(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Closes. What the peer has sent ahead is taken first: closing over it would be a reset, and
    /// could cost the peer its last answer.
    fn close(&self) {
        self.stream.cut(Shutdown::Write);
        let mut left = 16 * CHUNK_BYTES;
        let mut chunk = [0; CHUNK_BYTES];
        if self.stream.set_read_timeout(Duration::from_millis(1)).is_err() {
            return;
        }
        while let Ok(count) = self.stream.read(&mut chunk) {
            left = left.saturating_sub(count);
            if count == 0 || left == 0 {
                return;
            }
        }
    }
}
