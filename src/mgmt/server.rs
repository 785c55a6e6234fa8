//! The control socket's server: accepts, knows who it is, hands requests to the [`Service`].
//!
//! One thread accepts and one serves each client, bounded by [`CONTROL_CLIENTS_MAX`], of which
//! strangers cannot take all. [`Server::stop`] takes no new call, lets those that run reply, and
//! wakes and joins everybody: idle and half-sent connections never delay it. A client that does not
//! take its replies is dropped. In the runtime it is the auto-listen interface: every request is a
//! call of it, and it goes when this server does, last of all.

use crate::base::limits::{
    CONTROL_CLIENTS_MAX, CONTROL_CLIENTS_RESERVED, CONTROL_REQUEST_BYTES_MAX, CONTROL_WAIT_SLICE,
    CONTROL_WRITE_TIMEOUT,
};
use crate::base::sync::{Condvar, Mutex, Rank, assert_no_locks};
use crate::base::threads::{self, Thread};
use crate::mgmt::authz::{Peer, Standing};
use crate::mgmt::codec::{self, Decoder};
use crate::mgmt::endpoint::Endpoint;
use crate::mgmt::peer::local_peer;
use crate::mgmt::proc::Proc;
use crate::mgmt::proto::{Reply, Request};
use crate::mgmt::rpc::machine::{InterfaceId, Listens, Which};
use crate::mgmt::rpc::runtime::Call;
use crate::mgmt::service::{Gone, Interest, Replies, Service, not_a_request, too_many_clients};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};
use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long [`Server::stop`] waits for calls that run: a reply may take its whole time to be
/// written.
const STOP_WAIT: Duration = CONTROL_WRITE_TIMEOUT.saturating_mul(2);
/// How long it waits then for those whose connection was cut.
const CUT_WAIT: Duration = Duration::from_secs(1);

/// A running server.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    accepting: Option<Thread>,
}

/// What the server's threads share.
#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    service: Arc<Service>,
    proc: Proc,
    /// What this server is in the runtime.
    interface: InterfaceId,
    stopping: AtomicBool,
    clients: Mutex<Clients>,
    /// A client left, or the server stops.
    changed: Condvar,
}

/// The clients there are.
#[derive(Debug, Default)]
struct Clients {
    last: u64,
    /// Connections whose thread has not ended.
    connections: HashMap<u64, Arc<UnixStream>>,
    threads: HashMap<u64, Thread>,
}

impl Server {
    /// Begins to serve on `endpoint`.
    ///
    /// # Errors
    /// The system's, when it has no room for a thread.
    pub fn start(endpoint: Endpoint, service: Arc<Service>) -> io::Result<Self> {
        let max_calls = u32::try_from(CONTROL_CLIENTS_MAX).unwrap_or(u32::MAX);
        let interface = service.rpc().register(Listens::Always { max_calls });
        let shared = Arc::new(Shared {
            endpoint,
            service,
            proc: Proc::default(),
            interface,
            stopping: AtomicBool::new(false),
            clients: Mutex::new(Rank::Server, Clients::default()),
            changed: Condvar::new(),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            threads::spawn("ctl-accept", move || accept_all(&shared))?
        };
        Ok(Self { shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.shared.endpoint.socket()
    }

    /// Clients connected now.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shared.clients.lock().connections.len()
    }

    /// Takes no new call, lets those that run reply, and ends; the socket is gone afterwards. Never
    /// from inside a call: it would wait for itself.
    pub fn stop(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        assert_no_locks("joining the control server");
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Not waiting for its calls: they are given a bound, below.
        let gone =
            self.shared.service.rpc().unregister_if(Which::One(self.shared.interface), false, None);
        log::debug!("the control interface is unregistered: {gone:?}");
        // Wakes the accepting thread: from here on a caller is refused by the kernel.
        let _ = shutdown(self.shared.endpoint.listener(), Shutdown::Both);
        self.shared.changed.notify_all();
        accepting.join();
        // Ends every read, of idle clients too; what runs can still write.
        self.shared.cut(Shutdown::Read);
        if !self.shared.wait_until_empty(STOP_WAIT) {
            self.shared.cut(Shutdown::Both);
            self.shared.wait_until_empty(CUT_WAIT);
        }
        let Clients { connections, mut threads, .. } =
            std::mem::take(&mut *self.shared.clients.lock());
        for id in connections.keys() {
            // Stuck in the kernel, reading /proc of a process that is itself stuck.
            log::error!("giving up on a control client's thread");
            threads.remove(id).into_iter().for_each(Thread::abandon);
        }
        threads.into_values().for_each(Thread::join);
        self.shared.endpoint.remove();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_now();
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Shuts a direction of every connection down.
    fn cut(&self, how: Shutdown) {
        let connections: Vec<_> = self.clients.lock().connections.values().cloned().collect();
        for connection in connections {
            let _ = shutdown(&*connection, how);
        }
    }

    /// Waits up to `limit` for the last client to leave.
    fn wait_until_empty(&self, limit: Duration) -> bool {
        let clock = &self.service.clock;
        let deadline = clock.now().after(limit);
        let mut clients = self.clients.lock();
        while !clients.connections.is_empty() {
            let left = deadline.since(clock.now());
            if left.is_zero() || self.changed.wait_for(&mut clients, left) {
                return clients.connections.is_empty();
            }
        }
        true
    }

    /// Who is at the other end; `None` when the kernel does not say.
    fn peer(&self, stream: &UnixStream) -> Option<Peer> {
        local_peer(stream, self.service.policy().group, &self.proc)
    }

    /// Adds a client, if there is room for one like him.
    fn enter(&self, stream: &Arc<UnixStream>, standing: Standing) -> Option<u64> {
        let room = match standing {
            Standing::Root => CONTROL_CLIENTS_MAX,
            Standing::Owner => CONTROL_CLIENTS_MAX - CONTROL_CLIENTS_RESERVED / 2,
            Standing::Group | Standing::Other | Standing::Remote => {
                CONTROL_CLIENTS_MAX - CONTROL_CLIENTS_RESERVED
            }
        };
        let mut clients = self.clients.lock();
        if clients.connections.len() >= room {
            return None;
        }
        clients.last += 1;
        let id = clients.last;
        clients.connections.insert(id, Arc::clone(stream));
        self.service.clients.store(clients.connections.len(), Ordering::Relaxed);
        Some(id)
    }

    /// Takes a client off, on its own thread, and joins the threads that ended before.
    fn leave(&self, id: u64) {
        let ended: Vec<Thread> = {
            let mut clients = self.clients.lock();
            let Clients { connections, threads, .. } = &mut *clients;
            let ended: Vec<u64> =
                threads.keys().filter(|other| !connections.contains_key(other)).copied().collect();
            connections.remove(&id);
            self.service.clients.store(connections.len(), Ordering::Relaxed);
            ended.iter().filter_map(|other| threads.remove(other)).collect()
        };
        self.changed.notify_all();
        drop(ended);
    }
}

/// Takes a client off even when its thread unwinds.
struct Leaving<'shared> {
    shared: &'shared Shared,
    id: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.shared.leave(self.id);
    }
}

/// The accepting thread.
fn accept_all(shared: &Arc<Shared>) {
    while !shared.is_stopping() {
        match shared.endpoint.listener().accept() {
            Ok((stream, _)) => admit(shared, Arc::new(stream)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if shared.is_stopping() => return,
            Err(error) => {
                // Most likely out of descriptors: a client that leaves makes room.
                log::warn!("accepting a control client: {error}");
                let mut clients = shared.clients.lock();
                if !shared.is_stopping() {
                    shared.changed.wait_for(&mut clients, CONTROL_WAIT_SLICE);
                }
            }
        }
    }
}

/// Gives a client its thread, or says that there is no room.
fn admit(shared: &Arc<Shared>, stream: Arc<UnixStream>) {
    if stream.set_write_timeout(Some(CONTROL_WRITE_TIMEOUT)).is_err() {
        return;
    }
    let Some(peer) = shared.peer(&stream) else { return };
    let Some(id) = shared.enter(&stream, shared.service.policy().standing(&peer)) else {
        log::warn!("too many clients of the control socket: one was turned away");
        return turn_away(shared, &stream);
    };
    let spawned = {
        let (shared, stream) = (Arc::clone(shared), Arc::clone(&stream));
        threads::spawn("ctl-client", move || {
            let _leaving = Leaving { shared: &shared, id };
            serve(&shared, &stream, &peer);
        })
    };
    match spawned {
        Ok(thread) => {
            shared.clients.lock().threads.insert(id, thread);
        }
        Err(error) => {
            log::warn!("no thread for a control client: {error}");
            shared.leave(id);
            turn_away(shared, &stream);
        }
    }
}

/// Says that there is no room. A fresh socket takes so little without waiting.
fn turn_away(shared: &Shared, stream: &UnixStream) {
    shared.service.turned_away.fetch_add(1, Ordering::Relaxed);
    let _ = Connection { shared, stream, running: None }.send(&too_many_clients());
}

/// A client's thread: its requests one after another.
fn serve(shared: &Shared, stream: &UnixStream, peer: &Peer) {
    let mut connection = Connection { shared, stream, running: None };
    let mut decoder = Decoder::new(CONTROL_REQUEST_BYTES_MAX);
    let mut chunk = vec![0; 16 * 1024];
    loop {
        while let Some(request) = decoder.next_message::<Request>().transpose() {
            connection.running = match shared.service.rpc().begin(shared.interface) {
                Ok(call) => Some(call),
                // Unregistered: the server stops.
                Err(_) => return,
            };
            let Ok(request) = request else {
                let _ = connection.send(&not_a_request());
                return;
            };
            if shared.service.call(peer, request, &mut connection).is_err() {
                return;
            }
            connection.running = None;
        }
        let mut reader = stream;
        match reader.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => decoder.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// A client's end of the replies.
struct Connection<'client> {
    shared: &'client Shared,
    stream: &'client UnixStream,
    /// The call that is being answered.
    running: Option<Call>,
}

impl Replies for Connection<'_> {
    fn running(&self) -> Option<&Call> {
        self.running.as_ref()
    }

    fn send(&mut self, reply: &Reply) -> Result<(), Gone> {
        assert_no_locks("a reply");
        let bytes = codec::encode(reply).map_err(|error| {
            log::error!("a reply of the control socket: {error}");
            Gone
        })?;
        let clock = &self.shared.service.clock;
        let deadline = clock.now().after(CONTROL_WRITE_TIMEOUT);
        let mut rest = bytes.as_slice();
        let mut writer = self.stream;
        while !rest.is_empty() {
            match writer.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
            // Each write has the socket's time; one that takes a little of each must not have it
            // all.
            if !rest.is_empty() && clock.now() >= deadline {
                return Err(Gone);
            }
        }
        Ok(())
    }

    fn interest(&mut self) -> Interest {
        if self.shared.is_stopping() {
            return Interest::Ending;
        }
        // Not the end of what it sends: a caller may have closed that half and still listen.
        let mut ends = [PollFd::new(self.stream, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let known = poll(&mut ends, Some(&now)).is_ok();
        let over = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if known && ends[0].revents().intersects(over) {
            return Interest::Gone;
        }
        Interest::Waiting
    }
}
