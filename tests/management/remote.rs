//! Remote management over real sockets, against a host that only pretends: the invariants of
//! management.md §7 that are about DCE/RPC, by number.

use crate::host::{Host, NAME, eventually, own_policy, service};
use minirdr::base::clock::{Clock, ManualClock, SystemClock};
use minirdr::base::limits::{RPC_CALLS_MAX, RPC_CONNECTIONS_MAX, RPC_MIDWAY_TIMEOUT};
use minirdr::base::stop::{State, StopOptions};
use minirdr::base::threads;
use minirdr::mgmt::authz::{Peer, Policy, RpcPolicy};
use minirdr::mgmt::client::Client;
use minirdr::mgmt::dce::binding::Binding;
use minirdr::mgmt::dce::ndr::ByteOrder;
use minirdr::mgmt::dce::pdu::{self, Bind, Body, Context, Header, Pdu, fault};
use minirdr::mgmt::dce::server::DceServer;
use minirdr::mgmt::dce::service::{ManagementService, StopsMount};
use minirdr::mgmt::dce::syntax::{MANAGEMENT, NDR32};
use minirdr::mgmt::endpoint::Claim;
use minirdr::mgmt::overrides::Overrides;
use minirdr::mgmt::rpc::machine::{Listens, Phase};
use minirdr::mgmt::rpc::runtime::RpcServer;
use minirdr::mgmt::rpc::status::RpcStatus;
use minirdr::mgmt::server::Server;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(20);

/// A host with both planes.
struct Remote {
    host: Arc<Host>,
    control: Server,
    rpc: Arc<RpcServer>,
    server: DceServer,
    port: SocketAddr,
    socket: PathBuf,
    directory: TempDir,
}

/// Who may stop from a network, and what a stop stops.
#[derive(Clone, Copy, Default)]
struct Choice {
    allow: &'static [&'static str],
    stops_mount: bool,
}

fn serve(choice: Choice) -> Remote {
    serve_by(choice, SystemClock::shared())
}

fn serve_by(choice: Choice, clock: Arc<dyn Clock>) -> Remote {
    let host = Arc::new(Host::new());
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("MANAGED");
    let bindings = [Binding::Tcp(([127, 0, 0, 1], 0).into()), Binding::Local(socket.clone())];
    let listeners = bindings.iter().map(|one| one.open().expect("free")).collect();
    let plane = service(&host, own_policy());
    let endpoint = Claim::take(directory.path(), NAME).expect("free").listen().expect("free");
    let control = Server::start(endpoint, Arc::clone(&plane)).expect("room");
    let rpc = Arc::clone(plane.rpc());
    let may_stop = choice.allow.iter().map(|word| word.parse().expect("a network")).collect();
    let policy = RpcPolicy { base: own_policy(), may_stop };
    let stops_mount = choice
        .stops_mount
        .then(|| StopsMount { control: host.clone(), options: StopOptions::default() });
    let managed = ManagementService::new(Arc::clone(&rpc), policy, stops_mount);
    let server = DceServer::start(listeners, managed, clock).expect("room");
    let Binding::Tcp(port) = server.bindings()[0] else { panic!("no port") };
    Remote { host, control, rpc, server, port, socket, directory }
}

/// A client that was bound.
struct Caller<S>(S);

impl Remote {
    fn tcp(&self) -> Caller<TcpStream> {
        let stream = TcpStream::connect(self.port).expect("listens");
        stream.set_read_timeout(Some(BOUND)).expect("a time");
        Caller(stream).bound()
    }

    fn local(&self) -> Caller<UnixStream> {
        let stream = UnixStream::connect(&self.socket).expect("listens");
        stream.set_read_timeout(Some(BOUND)).expect("a time");
        Caller(stream).bound()
    }
}

impl<S: Read + Write> Caller<S> {
    fn bound(mut self) -> Self {
        let contexts = vec![Context { id: 0, interface: MANAGEMENT, transfer: vec![NDR32] }];
        let bind = Bind { max_send: 4280, max_receive: 4280, group: 0, contexts };
        self.send(&Pdu::new(1, Body::Bind(bind)));
        let answer = self.receive().expect("answered");
        assert!(matches!(answer.body, Body::BindAck(_)), "{answer:?}");
        self
    }

    fn send(&mut self, pdu: &Pdu) {
        self.0.write_all(&pdu.write()).expect("taken");
    }

    fn ask(&mut self, operation: u16, stub: &[u8]) {
        let (stub, object) = (stub.to_vec(), None);
        let body = Body::Request { hint: 0, context: 0, operation, object, stub };
        self.send(&Pdu::new(2, body));
    }

    /// The next message; none when the connection was closed.
    fn receive(&mut self) -> Option<Pdu> {
        let mut bytes = vec![0; pdu::HEADER_BYTES];
        let mut have = 0;
        while have < bytes.len() {
            match self.0.read(&mut bytes[have..]) {
                Ok(0) => return None,
                Ok(count) => have += count,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("neither answered nor closed: {error}"),
            }
            if have == pdu::HEADER_BYTES {
                let header = Header::read(&bytes).expect("a header").expect("whole");
                bytes.resize(usize::from(header.length), 0);
            }
        }
        let header = Header::read(&bytes).expect("a header").expect("whole");
        Some(pdu::read(&header, &bytes).expect("readable").0)
    }

    /// The words of an answer.
    fn words(&mut self) -> Vec<u32> {
        match self.receive().expect("answered").body {
            Body::Response { stub, .. } => stub
                .chunks_exact(4)
                .map(|word| u32::from_le_bytes(word.try_into().expect("4")))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn call(&mut self, operation: u16, stub: &[u8]) -> Vec<u32> {
        self.ask(operation, stub);
        self.words()
    }
}

/// S-71, S-72; management.md §7, 6: the five operations answer, on both kinds of socket; from a
/// network, 127.0.0.1 included, the stop is denied by a status, and nothing has changed.
#[test]
fn i6_a_network_may_inquire_and_not_stop() {
    let remote = serve(Choice { stops_mount: true, ..Choice::default() });
    let mut caller = remote.tcp();
    let interfaces = caller.call(0, &[]);
    assert_eq!((interfaces[1], interfaces.last()), (1, Some(&0)), "one, and 0: {interfaces:?}");
    let calls = u32::try_from(remote.rpc.counts().begun).expect("few");
    assert_eq!(caller.call(1, &[4, 0, 0, 0]), [4, 4, calls + 1, 0, 3, 2, 0]);
    assert_eq!(caller.call(1, &[2, 0, 0, 0]), [2, 2, calls + 2, 0, 0]);
    assert_eq!(caller.call(2, &[]), [0, 1]);
    assert_eq!(caller.call(4, &[0, 0, 0, 0, 9, 0, 0, 0]), [9, 0, 1, 0, 1747]);
    for denied in 0..3 {
        assert_eq!(caller.call(3, &[]), [5], "time {denied}");
    }
    assert_eq!((remote.host.effects(), remote.host.state()), (0, State::Started));
    assert_eq!(remote.rpc.phase(), Phase::Listening);
    assert_eq!(remote.local().call(2, &[]), [0, 1], "it listens");
    caller.ask(7, &[]);
    let status = fault::NO_OPERATION;
    assert_eq!(caller.receive().expect("answered").body, Body::Fault { context: 0, status });

    let body =
        Body::Request { hint: 0, context: 0, operation: 1, object: None, stub: vec![0, 0, 0, 1] };
    caller.send(&Pdu { order: ByteOrder::Big, ..Pdu::new(9, body) });
    assert_eq!(caller.words().len(), 4, "asked in the other byte order: one number");
    remote.server.stop();
}

/// S-72; management.md §7, 6: on a Unix socket root, the owner and the group may stop, others may
/// not.
#[test]
fn i6_local_users_may_what_the_table_says() {
    const OWNER: u32 = 1000;
    const GROUP: u32 = 50;
    let local = |uid, gids: &[u32]| Peer::Local { pid: 1, uid, gids: gids.to_vec() };
    for (peer, status) in [
        (local(0, &[]), 0_u32),
        (local(OWNER, &[]), 0),
        (local(7, &[7, GROUP]), 0),
        (local(7, &[7]), 5),
        (Peer::Remote(([127, 0, 0, 1], 1).into()), 5),
    ] {
        let rpc = RpcServer::new(SystemClock::shared());
        rpc.add_endpoint(std::sync::Weak::<Nobody>::new());
        let interface = rpc.register(Listens::WithServer);
        assert_eq!(rpc.listen(1, 8, true), RpcStatus::Ok);
        let base = Policy { owner: OWNER, group: Some(GROUP), overrides: Overrides::NONE };
        let policy = RpcPolicy { base, may_stop: Vec::new() };
        let managed = ManagementService::new(Arc::clone(&rpc), policy, None);
        let call = rpc.begin(interface).expect("listens");
        let answer = managed.call(&call, &peer, 3, ByteOrder::Little, &[]);
        assert_eq!(answer, Ok(status.to_le_bytes().to_vec()), "{peer:?}");
        let phase = if status == 0 { Phase::NotListening } else { Phase::Listening };
        assert_eq!(rpc.phase(), phase, "{peer:?}");
    }
}

/// Brings nothing.
struct Nobody;

impl minirdr::mgmt::rpc::runtime::Transport for Nobody {
    fn stop_listening(&self) {}
}

/// S-73; management.md §7, 3 and 5: an allowed stop is answered and then its connection closed;
/// what runs finishes; idle and half-sent connections are closed at once; nobody can connect any
/// more.
#[test]
fn i3_i5_a_stop_lets_what_runs_finish_and_waits_for_nobody_else() {
    let remote = serve(Choice { allow: &["127.0.0.1"], stops_mount: false });
    let mut idle = remote.tcp();
    let mut half = TcpStream::connect(remote.port).expect("listens");
    half.write_all(&[5, 0, 11, 3, 0x10, 0, 0, 0]).expect("taken");
    half.set_read_timeout(Some(BOUND)).expect("a time");
    let mut local = remote.local();
    let other = remote.rpc.register(Listens::WithServer);
    let running = remote.rpc.begin(other).expect("listens");

    let mut asker = remote.tcp();
    assert_eq!(asker.call(3, &[]), [0]);
    assert_eq!(asker.receive(), None, "its connection is closed behind the answer");
    assert_eq!(remote.rpc.phase(), Phase::Draining, "a call runs");
    assert_eq!(remote.rpc.is_listening(), RpcStatus::NotListening);
    assert!(remote.rpc.begin(other).is_err(), "no new call begins");
    assert!(running.callback(other).is_ok(), "what runs may call back");
    assert_eq!(idle.receive(), None);
    assert_eq!(half.read(&mut [0]).expect("closed"), 0);
    assert_eq!(local.receive(), None);
    eventually("nobody can connect", || TcpStream::connect(remote.port).is_err());
    eventually("the socket is gone", || !remote.socket.exists());
    assert_eq!(remote.host.effects(), 0, "the mount goes on");

    drop(running);
    assert_eq!(remote.rpc.wait_listen_for(BOUND), Some(RpcStatus::Ok));
    let counts = remote.rpc.counts();
    assert_eq!(counts.begun, counts.ended + counts.excused, "calls in are calls out");
    remote.server.stop();
    let counts = remote.rpc.counts();
    assert_eq!((counts.begun, counts.excused), (counts.ended, 0));
}

/// One who asks whether it listens, again and again, until he is cut off or refused.
fn asks_on<S: Read + Write>(mut caller: Caller<S>, answered: &AtomicU64, over: &AtomicBool) {
    loop {
        let after = over.load(Ordering::SeqCst);
        let body = Body::Request { hint: 0, context: 0, operation: 2, object: None, stub: vec![] };
        // The connection may have been closed before this is sent.
        if caller.0.write_all(&Pdu::new(2, body).write()).is_err() {
            return;
        }
        match caller.receive().map(|pdu| pdu.body) {
            Some(Body::Response { .. }) => {
                assert!(!after, "a call that came after the stop's answer was taken");
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Some(Body::Fault { status, .. }) => {
                return assert_eq!(status, fault::UNKNOWN_INTERFACE);
            }
            Some(other) => panic!("{other:?}"),
            None => return,
        }
    }
}

/// S-73, management.md §7, 3: under load, too, no call begins once the stop is answered, each one
/// that had begun is answered to its caller, and when nobody listens any more as many have ended as
/// had begun.
#[test]
fn i3_calls_in_are_calls_out_under_load() {
    const CALLERS: usize = 4;
    let remote = serve(Choice { allow: &["127.0.0.1"], stops_mount: false });
    let (answered, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut asker = remote.tcp();
    let before = remote.rpc.counts().begun;
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            let (tcp, local) = (remote.tcp(), remote.local());
            let (answered, over) = (&answered, &over);
            scope.spawn(move || asks_on(tcp, answered, over));
            scope.spawn(move || asks_on(local, answered, over));
        }
        eventually("all are busy", || answered.load(Ordering::SeqCst) > 500);
        assert_eq!(asker.call(3, &[]), [0]);
        over.store(true, Ordering::SeqCst);
        assert_eq!(remote.rpc.wait_listen_for(BOUND), Some(RpcStatus::Ok));
        let counts = remote.rpc.counts();
        assert_eq!(remote.rpc.phase(), Phase::NotListening);
        assert_eq!(counts.begun, counts.ended + counts.excused, "calls in are calls out");
    });
    remote.server.stop();
    let counts = remote.rpc.counts();
    assert_eq!((counts.begun, counts.excused), (counts.ended, 0));
    // The stop itself is one more.
    assert_eq!(counts.begun - before, answered.load(Ordering::SeqCst) + 1, "each was answered");
}

/// Management.md §7, 5: connect, send eight bytes, stop: drained, and all threads gone, within a
/// second.
#[test]
fn i5_half_a_message_delays_nothing() {
    let remote = serve(Choice::default());
    let mut half = TcpStream::connect(remote.port).expect("listens");
    half.write_all(&[5, 0, 0, 3, 0x10, 0, 0, 0]).expect("taken");
    let idle = remote.local();
    eventually("both are served", || remote.server.connections() == 2);
    let clock = SystemClock::new();
    remote.server.stop();
    assert!(clock.now().since(Default::default()) < Duration::from_secs(1), "it took too long");
    drop((half, idle));
}

/// S-74: with `--rpc-stop=mount` the same call posts the stop of the device; the caller is nobody.
#[test]
fn an_allowed_stop_can_stop_the_mount() {
    let remote = serve(Choice { allow: &["127.0.0.0/8"], stops_mount: true });
    assert_eq!(remote.tcp().call(3, &[]), [0]);
    eventually("the stop is posted", || remote.host.effects() == 1);
    assert_eq!(remote.host.state(), State::Draining);
    let mut client = Client::connect(remote.control.socket()).expect("answers throughout");
    let running = client.status().expect("answered").running.expect("a stop runs");
    assert_eq!((running.asked_by.uid, running.asked_by.pid), (u32::MAX, 0), "nobody");
    let from = running.asked_by.remote.expect("S-79: with his address");
    assert!(from.ip().is_loopback() && from.port() != 0, "{from}");
    let events = serde_json::to_string(&client.events(None).expect("answered")).expect("JSON");
    assert!(events.contains("stop_server_listening from 127.0.0.1:"), "{events}");
}

/// Management.md §7, 4: of those who stop at once each is answered 0, told that nobody listens, or
/// finds the connection closed; there is one drain and one stop of the device.
#[test]
fn i4_stops_at_once_are_one() {
    const CALLERS: usize = 12;
    let remote = serve(Choice { allow: &["127.0.0.1"], stops_mount: true });
    let (sender, receiver) = mpsc::channel();
    let bound: Vec<_> = (0..CALLERS).map(|_| remote.tcp()).collect();
    let callers: Vec<_> = bound
        .into_iter()
        .map(|mut caller| {
            let sender = sender.clone();
            let body = move || {
                // The connection may have been closed before this is sent.
                let body = Body::Request {
                    hint: 0,
                    context: 0,
                    operation: 3,
                    object: None,
                    stub: Vec::new(),
                };
                let _ = caller.0.write_all(&Pdu::new(2, body).write());
                let _ = sender.send(caller.receive().map(|pdu| pdu.body));
            };
            threads::spawn("t-stop", body).expect("room")
        })
        .collect();
    let mut stopped = 0;
    for _ in 0..CALLERS {
        match receiver.recv_timeout(BOUND).expect("answered or closed") {
            Some(Body::Response { stub, .. }) => {
                assert_eq!(stub, [0; 4]);
                stopped += 1;
            }
            Some(Body::Fault { status, .. }) => assert_eq!(status, fault::UNKNOWN_INTERFACE),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
    callers.into_iter().for_each(threads::Thread::join);
    assert!(stopped >= 1, "somebody stopped it");
    assert_eq!(remote.host.effects(), 1, "one stop of the device");
    assert_eq!(remote.rpc.wait_listen_for(BOUND), Some(RpcStatus::Ok));
    remote.server.stop();
    assert_eq!(remote.rpc.counts().begun, remote.rpc.counts().ended);
}

/// S-75; management.md §7, 7: `Shutdown` stops the listening from inside a call and is answered;
/// the control socket answers throughout; a second one finds nobody listening.
#[test]
fn i7_shutdown_is_answered_and_the_control_socket_stays() {
    let remote = serve(Choice::default());
    assert_eq!(remote.rpc.listen(1, 1, true), RpcStatus::AlreadyListening);
    let mut idle = remote.tcp();
    let mut client = Client::connect(remote.control.socket()).expect("listens");
    let first = client.shutdown().expect("answered");
    assert_eq!((first.status, first.unregistered), (0, 1));
    assert_eq!(idle.receive(), None);
    eventually("nobody can connect", || TcpStream::connect(remote.port).is_err());
    assert_eq!(remote.rpc.listen(1, 1, true), RpcStatus::NoEndpoints, "they are closed");
    let second = client.shutdown().expect("answered");
    assert_eq!((second.status, second.unregistered), (1715, 0));
    assert_eq!(client.status().expect("answered").state, State::Started, "the mount goes on");
    remote.server.stop();
    assert_eq!(client.status().expect("answered").state, State::Started);
    let before = remote.rpc.counts();
    client.status().expect("answered");
    eventually("it was counted", || {
        let now = remote.rpc.counts();
        now.begun == before.begun + 1 && now.ended == now.begun
    });
    remote.control.stop();
    let left = std::fs::read_dir(remote.directory.path()).expect("exists");
    let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// S-71; management.md §7, 10: a socket whose daemon was killed is in nobody's way; one that
/// answers, and a port that is taken, are left alone.
#[test]
fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("MANAGED");
    let binding = Binding::Local(socket.clone());
    drop(UnixListener::bind(&socket).expect("free"));
    assert!(socket.exists(), "as after a kill -9");
    let opened = binding.open().expect("the dead one is replaced");
    assert!(UnixStream::connect(&socket).is_ok(), "it is listened on");
    let refused = binding.open().expect_err("taken");
    assert!(refused.to_string().contains("cannot listen on ncalrpc:["), "{refused}");
    assert!(UnixStream::connect(&socket).is_ok(), "and left alone");
    drop(opened);
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("exists").collect();
    assert!(left.is_empty(), "{left:?}");

    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let binding = Binding::Tcp(taken.local_addr().expect("bound"));
    assert!(binding.open().is_err());
    assert!(TcpStream::connect(taken.local_addr().expect("bound")).is_ok(), "left alone");
}

/// S-76: connections are bounded, for each endpoint by itself; whoever leaves makes room.
#[test]
fn connections_are_bounded() {
    let remote = serve(Choice::default());
    let held: Vec<_> = (0..RPC_CONNECTIONS_MAX).map(|_| remote.tcp()).collect();
    let mut one_more = TcpStream::connect(remote.port).expect("the kernel takes it");
    one_more.set_read_timeout(Some(BOUND)).expect("a time");
    assert_eq!(one_more.read(&mut [0]).expect("closed"), 0);
    assert_eq!(remote.local().call(2, &[]), [0, 1], "the other endpoint has room");
    drop(held);
    eventually("there is room again", || remote.server.connections() == 0);
    assert_eq!(remote.tcp().call(2, &[]), [0, 1]);
}

/// S-76: a call over the bound is told that the server is too busy, and its connection stays; it is
/// never queued.
#[test]
fn calls_over_the_bound_are_told_so() {
    let remote = serve(Choice::default());
    let other = remote.rpc.register(Listens::WithServer);
    let running: Vec<_> =
        (0..RPC_CALLS_MAX).map(|_| remote.rpc.begin(other).expect("room")).collect();
    let mut caller = remote.tcp();
    caller.ask(2, &[]);
    let status = fault::TOO_BUSY;
    assert_eq!(caller.receive().expect("answered").body, Body::Fault { context: 0, status });
    drop(running);
    assert_eq!(caller.call(2, &[]), [0, 1], "there is room again");
}

/// S-76: a peer that begins a message and never ends it is dropped, however little it sends at a
/// time.
#[test]
fn a_peer_that_never_ends_is_dropped() {
    let clock = Arc::new(ManualClock::new());
    let remote = serve_by(Choice::default(), clock.clone());
    let mut slow = remote.tcp().0;
    slow.write_all(&[5, 0, 0, 3, 0x10, 0, 0, 0, 0x88, 0x13, 0, 0, 2, 0, 0, 0]).expect("taken");
    slow.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
    let mut bytes = 0;
    eventually("it is dropped", || {
        clock.advance(RPC_MIDWAY_TIMEOUT / 2);
        bytes += 1;
        let gone = slow.write_all(&[0]).is_err();
        gone || matches!(slow.read(&mut [0]), Ok(0))
            || slow.take_error().is_ok_and(|error| error.is_some())
    });
    assert!(bytes < 5000, "not for ever");
}

/// S-76: noise kills nothing and blocks nobody.
#[test]
fn noise_is_no_trouble() {
    let remote = serve(Choice::default());
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..200 {
        let mut noise: Vec<u8> = (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
        if round % 2 == 0 && noise.len() > 12 {
            noise[..8].copy_from_slice(&[5, 0, random.u8(0..20), 3, 0x10, 0, 0, 0]);
            noise[8] = u8::try_from(noise.len().min(255)).expect("at most 255");
            noise[9] = 0;
        }
        let mut stream = TcpStream::connect(remote.port).expect("listens");
        // It may close before it has taken all; and it ends, whatever that was.
        let _ = stream.write_all(&noise).and_then(|()| stream.shutdown(Shutdown::Write));
        stream.set_read_timeout(Some(BOUND)).expect("a time");
        if let Err(error) = stream.read_to_end(&mut Vec::new()) {
            let cut = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(cut.contains(&error.kind()), "neither answered nor closed: {error}");
        }
    }
    assert_eq!(remote.tcp().call(2, &[]), [0, 1]);
    let counts = remote.rpc.counts();
    remote.server.stop();
    assert_eq!(counts.begun, remote.rpc.counts().ended);
}
