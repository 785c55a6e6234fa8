//! The control socket: status calls a second by 1, 10 and 100 clients at once, against a bare
//! server that frames with a NUL byte, too, and answers as many bytes from memory; what is
//! published to 100 followers, against a loop that writes the same bytes to 100 sockets; and what
//! those followers cost who publishes, and who asks for the status meanwhile.
//!
//! Ours and the plain way are measured in turns. 100 clients are for root: other users have less
//! room.

#[path = "../tests/management/host.rs"]
#[allow(dead_code)]
mod host;
#[path = "support/ratio.rs"]
mod ratio;

use criterion::{Criterion, criterion_group, criterion_main};
use host::{Host, NAME, Running, eventually, serve};
use minirdr::base::ids::Generation;
use minirdr::base::limits::CONTROL_CLIENTS_MAX;
use minirdr::base::stop::Notice;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Barrier};
use std::thread::{Scope, scope, spawn};
use std::time::{Duration, Instant};

const STATUS: &[u8] = b"{\"method\":\"io.minirdr.Control.Status\"}\0";
/// Calls of one measurement, over all clients.
const CALLS: usize = 4000;
const FOLLOWERS: usize = 100;
/// Events of one measurement; fewer than are kept, so that no follower misses one.
const EVENTS: u64 = 200;
/// What only the last event of a measurement has in it.
const LAST: &[u8] = b"\"survivors\"";

/// One message out, one message in; returns how long that was.
fn call(stream: &mut UnixStream, request: &[u8], buffer: &mut [u8]) -> usize {
    stream.write_all(request).expect("taken");
    let mut have = 0;
    while have == 0 || buffer[have - 1] != 0 {
        let count = stream.read(&mut buffer[have..]).expect("answered");
        assert!(count > 0, "it was closed");
        have += count;
    }
    have
}

/// The clients call at once, so many times in all; how long that took.
fn calls(streams: &mut [UnixStream], count: usize) -> Duration {
    let (start, clients) = (Barrier::new(streams.len() + 1), streams.len());
    let mut began = Instant::now();
    scope(|scope| {
        for stream in streams {
            let start = &start;
            scope.spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                start.wait();
                for _ in 0..count.div_ceil(clients) {
                    call(stream, STATUS, &mut buffer);
                }
            });
        }
        start.wait();
        began = Instant::now();
    });
    began.elapsed()
}

/// New clients; those who left before have made room.
fn connect(running: &Running, count: usize) -> Vec<UnixStream> {
    eventually("there is room", || running.server.clients() + count <= CONTROL_CLIENTS_MAX);
    let one = |_| UnixStream::connect(running.server.socket()).expect("listens");
    (0..count).map(one).collect()
}

/// Connections to a server that is only framing: each request up to its NUL is answered with these
/// bytes, on a thread for each client. It ends with its clients.
fn bare(count: usize, answer: &Arc<Vec<u8>>) -> Vec<UnixStream> {
    let directory = tempfile::tempdir().expect("a directory");
    let listener = UnixListener::bind(directory.path().join("bare")).expect("bound");
    let one = |_| {
        let stream = UnixStream::connect(directory.path().join("bare")).expect("listens");
        let (mut peer, _) = listener.accept().expect("a client");
        let answer = Arc::clone(answer);
        spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            let mut have = 0;
            while let Ok(count @ 1..) = peer.read(&mut buffer[have..]) {
                have += count;
                if buffer[have - 1] == 0 {
                    have = 0;
                    peer.write_all(&answer).expect("taken");
                }
            }
        });
        stream
    };
    (0..count).map(one).collect()
}

fn status(bench: &mut Criterion) {
    let running = serve(Host::new());
    let mut buffer = vec![0; 64 * 1024];
    let mut first = connect(&running, 1);
    let length = call(&mut first[0], STATUS, &mut buffer);
    let answer = Arc::new(buffer[..length].to_vec());
    let root = rustix::process::geteuid().is_root();
    for clients in [1, 10, 100] {
        if clients == 100 && !root {
            println!("skipped: 100 clients need root");
            continue;
        }
        let (mut ours, mut plain) = (connect(&running, clients), bare(clients, &answer));
        for (kind, streams) in [("control", &mut ours), ("bare", &mut plain)] {
            bench.bench_function(&format!("{kind}/status_{clients}_clients"), |b| {
                b.iter_custom(|rounds| {
                    let count = usize::try_from(rounds).expect("few").max(clients);
                    // Each client calls as often as the others: scaled to what was asked for.
                    let made = count.div_ceil(clients) * clients;
                    calls(streams, count).mul_f64(rounds as f64 / made as f64)
                });
            });
        }
        let medians = ratio::turns(|| calls(&mut ours, CALLS), || calls(&mut plain, CALLS));
        println!(
            "rate status, {clients} clients: ours {:.0}/s, bare {:.0}/s of {length} bytes, \
             time {:.2} of bare's",
            CALLS as f64 / medians.ours,
            CALLS as f64 / medians.plain,
            medians.ratio,
        );
    }
    drop(first);
    running.server.stop();
}

/// Reads until the last event of a measurement has come; tells how many messages' worth of events
/// there were.
fn follow(stream: &mut UnixStream, buffer: &mut Vec<u8>) -> u64 {
    let mut chunk = [0; 16 * 1024];
    buffer.clear();
    loop {
        let count = stream.read(&mut chunk).expect("readable");
        assert!(count > 0, "it was closed");
        let from = buffer.len().saturating_sub(LAST.len());
        buffer.extend_from_slice(&chunk[..count]);
        let over = buffer[from..].windows(LAST.len()).any(|part| part == LAST);
        if over && buffer.ends_with(&[0]) {
            break;
        }
    }
    let key = b"\"seq\":";
    buffer.windows(key.len()).filter(|part| part == key).count() as u64
}

fn publish(host: &Host) {
    for _ in 1..EVENTS {
        host.events.publish(NAME, Generation(1), Notice::Paused);
    }
    host.events.publish(NAME, Generation(1), Notice::Survivors { handles: 1 });
}

/// Followers read on threads of their own; `act` publishes. From its begin until the last of them
/// has all.
fn fan_out(streams: &mut [UnixStream], act: impl FnOnce()) -> Duration {
    let (start, began) = (Barrier::new(streams.len() + 1), std::cell::Cell::new(Instant::now()));
    scope(|scope| {
        read_all(scope, streams, &start);
        start.wait();
        began.set(Instant::now());
        act();
    });
    began.get().elapsed()
}

fn read_all<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    streams: &'env mut [UnixStream],
    start: &'env Barrier,
) {
    for stream in streams {
        scope.spawn(move || {
            let mut buffer = Vec::new();
            start.wait();
            assert_eq!(follow(stream, &mut buffer), EVENTS, "each event once");
        });
    }
}

/// Clients that follow from now on.
fn followers(running: &Running) -> Vec<UnixStream> {
    let since = running.host.events.last();
    let request = format!(
        "{{\"method\":\"io.minirdr.Control.Events\",\"more\":true,\
         \"parameters\":{{\"since\":{since}}}}}\0"
    );
    let mut streams = connect(running, FOLLOWERS);
    streams.iter_mut().for_each(|stream| stream.write_all(request.as_bytes()).expect("taken"));
    streams
}

fn events(bench: &mut Criterion) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: 100 followers need root");
        return;
    }
    let running = serve(Host::new());
    let mut streams = followers(&running);
    let host = Arc::clone(&running.host);
    bench.bench_function("control/200_events_to_100_followers", |b| {
        b.iter_custom(|rounds| (0..rounds).map(|_| fan_out(&mut streams, || publish(&host))).sum());
    });
    delivered(&host, &mut streams);
    drop(streams);
    publishing(&running);
    asking(&running);
    running.server.stop();
}

/// Against a loop that writes each event, serialised once, to each socket.
fn delivered(host: &Host, streams: &mut [UnixStream]) {
    let message = |kind: &str| {
        format!(
            "{{\"parameters\":{{\"events\":[{{\"seq\":1000,\"at\":\"2026-01-01T00:00:00.000Z\",\
             \"device\":\"bk\",\"generation\":1,\"kind\":\"{kind}\"}}]}},\"continues\":true}}\0"
        )
    };
    let (other, last) = (message("paused"), message("survivors"));
    let pairs: Vec<_> = (0..FOLLOWERS).map(|_| UnixStream::pair().expect("two ends")).collect();
    let (mut writers, mut readers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let mut loop_over = || {
        for number in 1..=EVENTS {
            let text = if number == EVENTS { &last } else { &other };
            for writer in &mut writers {
                writer.write_all(text.as_bytes()).expect("taken");
            }
        }
    };
    let medians = ratio::turns(
        || fan_out(streams, || publish(host)),
        || fan_out(&mut readers, &mut loop_over),
    );
    let count = (EVENTS as usize * FOLLOWERS) as f64;
    println!(
        "rate events to {FOLLOWERS} followers: ours {:.0}/s delivered, a loop of writes {:.0}/s, \
         time {:.2} of the loop's",
        count / medians.ours,
        count / medians.plain,
        medians.ratio,
    );
}

/// What publishing costs who publishes: the thread that serves.
fn publishing(running: &Running) {
    let (quiet, busy) = (serve(Host::new()), running);
    let mut streams = followers(busy);
    let timed = |host: &Host| {
        let began = Instant::now();
        publish(host);
        began.elapsed()
    };
    let with_followers = || {
        let mut took = Duration::ZERO;
        fan_out(&mut streams, || took = timed(&busy.host));
        took
    };
    let what = "publish an event, 100 followers reading";
    ratio::compare(what, "nobody following", EVENTS, with_followers, || timed(&quiet.host));
    quiet.server.stop();
}

/// What followers who wait cost who asks for the status.
fn asking(running: &Running) {
    let quiet = serve(Host::new());
    let _waiting = followers(running);
    let (mut ours, mut plain) = (connect(running, 1), connect(&quiet, 1));
    let what = "a status call, 100 followers waiting";
    let rounds = CALLS as u64;
    ratio::compare(
        what,
        "nobody following",
        rounds,
        || calls(&mut ours, CALLS),
        || calls(&mut plain, CALLS),
    );
    drop((ours, plain));
    quiet.server.stop();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10);
    targets = status, events
}
criterion_main!(benches);
