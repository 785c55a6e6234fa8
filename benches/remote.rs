//! Remote management: calls a second over its two kinds of socket, and what the codec and the
//! protocol cost without one.

use criterion::{Criterion, criterion_group, criterion_main};
use minirdr::base::clock::SystemClock;
use minirdr::mgmt::authz::{Policy, RpcPolicy};
use minirdr::mgmt::dce::binding::Binding;
use minirdr::mgmt::dce::connection::{Association, Connection, Step};
use minirdr::mgmt::dce::pdu::{Bind, Body, Context, HEADER_BYTES, Header, Pdu};
use minirdr::mgmt::dce::server::DceServer;
use minirdr::mgmt::dce::service::ManagementService;
use minirdr::mgmt::dce::syntax::{MANAGEMENT, NDR32};
use minirdr::mgmt::rpc::runtime::RpcServer;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

fn bind() -> Vec<u8> {
    let contexts = vec![Context { id: 0, interface: MANAGEMENT, transfer: vec![NDR32] }];
    let bind = Bind { max_send: 4280, max_receive: 4280, group: 0, contexts };
    Pdu::new(1, Body::Bind(bind)).write()
}

/// `is_server_listening`.
fn request() -> Vec<u8> {
    let body = Body::Request { hint: 0, context: 0, operation: 2, object: None, stub: Vec::new() };
    Pdu::new(2, body).write()
}

/// One message of the server's.
fn receive(stream: &mut impl Read, into: &mut [u8]) -> usize {
    stream.read_exact(&mut into[..HEADER_BYTES]).expect("answered");
    let header = Header::read(into).expect("a header").expect("whole");
    let length = usize::from(header.length);
    stream.read_exact(&mut into[HEADER_BYTES..length]).expect("answered");
    length
}

fn call(stream: &mut (impl Read + Write), request: &[u8], answer: &mut [u8]) -> usize {
    stream.write_all(request).expect("taken");
    receive(stream, answer)
}

struct Open;

impl Association for Open {
    fn is_listening(&self) -> bool {
        true
    }

    fn create(&self) -> u32 {
        1
    }

    fn join(&self, _group: u32) -> bool {
        false
    }
}

fn remote(bench: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("MANAGED");
    let bindings = [Binding::Tcp(([127, 0, 0, 1], 0).into()), Binding::Local(socket.clone())];
    let listeners = bindings.iter().map(|one| one.open().expect("free")).collect();
    let rpc = RpcServer::new(SystemClock::shared());
    let base = Policy::of_owner(rustix::process::getuid().as_raw());
    let policy = RpcPolicy { base, may_stop: Vec::new() };
    let service = ManagementService::new(rpc, policy, None);
    let server = DceServer::start(listeners, service, SystemClock::shared()).expect("room");
    let Binding::Tcp(address) = server.bindings()[0].clone() else { return };
    let (request, mut answer) = (request(), [0; 4280]);

    let mut tcp = TcpStream::connect(address).expect("listens");
    tcp.set_nodelay(true).expect("an option");
    call(&mut tcp, &bind(), &mut answer);
    bench.bench_function("remote/call_tcp", |b| {
        b.iter(|| black_box(call(&mut tcp, &request, &mut answer)));
    });
    let mut local = UnixStream::connect(&socket).expect("listens");
    call(&mut local, &bind(), &mut answer);
    bench.bench_function("remote/call_unix", |b| {
        b.iter(|| black_box(call(&mut local, &request, &mut answer)));
    });
    bench.bench_function("remote/connect_bind_call_unix", |b| {
        b.iter(|| {
            let mut stream = UnixStream::connect(&socket).expect("listens");
            call(&mut stream, &bind(), &mut answer);
            black_box(call(&mut stream, &request, &mut answer))
        });
    });

    let mut connection = Connection::new("135");
    connection.receive(&bind());
    assert!(matches!(connection.step(&Open), Step::Send(_)), "bound");
    bench.bench_function("bare/protocol", |b| {
        b.iter(|| {
            connection.receive(&request);
            let Step::Call(call) = connection.step(&Open) else { return };
            black_box(connection.answer(&call, Ok(&[0; 8])));
        });
    });
    server.stop();
}

criterion_group!(benches, remote);
criterion_main!(benches);
