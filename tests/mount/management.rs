//! The management plane of the built program from outside, by its sockets and its commands, on real
//! mounts: the invariants of management.md §7 by number. Those that need no mount are in
//! `tests/management/`.

use crate::common::{LIMIT, wait_until};
use crate::mounted::{Mounted, can_mount};
use minirdr::base::clock::{Clock, Moment, SystemClock};
use minirdr::base::ids::TicketNumber;
use minirdr::base::limits::TICKET_RESULTS_KEPT;
use minirdr::base::stop::{CallResult, Notice, OnDeadline, Report, State, StopOptions};
use minirdr::base::threads;
use minirdr::mgmt::client::{Client, ClientError};
use minirdr::mgmt::proto::{Event, EventKind, WaitParameters};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

fn control(mounted: &Mounted) -> Client {
    Client::connect(&mounted.socket()).expect("listens")
}

/// A stop and its report.
fn stopped(client: &mut Client) -> Report {
    let options = StopOptions::default();
    let report = client.stop_streaming(&options, &mut |_| ControlFlow::Continue(()));
    report.expect("answered").expect("to its end")
}

fn started(client: &mut Client) -> Report {
    let report = client.start_streaming(&mut |_| ControlFlow::Continue(()));
    report.expect("answered").expect("to its end")
}

fn wait_for(client: &mut Client, ticket: TicketNumber) -> Result<Report, ClientError> {
    let parameters = WaitParameters { ticket: Some(ticket), ..WaitParameters::default() };
    client.wait(&parameters).map(|reply| reply.report.expect("it is over"))
}

/// The ticket that ends with this event.
fn ended(event: &Event) -> Option<TicketNumber> {
    match event.what {
        EventKind::Notice(Notice::Stopped { ticket, .. } | Notice::Started { ticket, .. }) => {
            ticket
        }
        EventKind::Notice(_) | EventKind::Overflow { .. } => None,
    }
}

/// Management.md §7, 1: each stop that was pending has one `stopped` event, the last of its ticket;
/// one that is answered at once has none, whether it found nothing to do or was refused.
#[test]
fn i1_each_ticket_ends_once() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::memory("");
    let mut client = control(&mounted);
    let mut pending = Vec::new();
    for round in 0..6 {
        let held = mounted.bounded("opening", || fs::File::create(mounted.at("f")).expect("made"));
        let refusing = StopOptions { refuse_if_busy: true, ..StopOptions::default() };
        let refused = client.stop(&refusing).expect("answered");
        let report = refused.report.expect("at once");
        assert_eq!((report.result, refused.ticket), (CallResult::HasOpenHandles, None));
        let held = (round % 2 == 0).then_some(held);
        // Two, one behind the other; the second may find it over, and then has no ticket.
        for _ in 0..2 {
            pending.extend(client.stop(&StopOptions::default()).expect("answered").ticket);
        }
        let last = *pending.last().expect("the first one is pending");
        wait_for(&mut client, last).expect("answered");
        let again = client.stop(&StopOptions::default()).expect("answered");
        let report = again.report.expect("at once");
        assert_eq!((report.result, again.ticket), (CallResult::AlreadyStopped, None));
        mounted.bounded("closing", || drop(held));
        assert_eq!(started(&mut client).result, CallResult::Success);
    }
    let events = client.events(None).expect("answered");
    let stops = events
        .iter()
        .filter(|event| matches!(event.what, EventKind::Notice(Notice::Stopped { .. })));
    let mut told: Vec<_> = stops.map(|event| ended(event).expect("of a ticket")).collect();
    told.sort_unstable();
    assert_eq!(told, pending, "once each, and no others");
    let asked = events
        .iter()
        .filter(|event| matches!(event.what, EventKind::Notice(Notice::StopRequested { .. })));
    assert_eq!(asked.count(), pending.len(), "what is answered at once is not announced");
    for ticket in pending {
        let of_ticket = |event: &&Event| {
            let event = serde_json::to_value(event).expect("an event is plain data");
            event["ticket"] == ticket.0
        };
        let last = events.iter().rfind(of_ticket).expect("it was told");
        assert_eq!(ended(last), Some(ticket), "its last event is its end: {last:?}");
    }
}

/// Management.md §7, 2: a reader who follows sees every number once; a client that comes when a
/// stop is over gets its result by `wait`, also at the command line, as long as it is kept, and is
/// told when it is not.
#[test]
fn i2_no_number_is_missing_and_a_result_can_be_had_later() {
    const ROUNDS: usize = TICKET_RESULTS_KEPT;
    if !can_mount() {
        return;
    }
    let mounted = Mounted::memory("");
    let socket = mounted.socket();
    let (sender, numbers) = channel();
    let follower = threads::spawn("t-follow", move || {
        let mut client = Client::connect(&socket).expect("listens");
        let mut seen = Vec::new();
        let followed = client.follow_events(Some(0), &mut |event| {
            assert!(matches!(event.what, EventKind::Notice(_)), "nothing is lost: {event:?}");
            seen.push(event.seq);
            ControlFlow::Continue(())
        });
        let _ = sender.send((seen, followed));
    })
    .expect("room");
    let mut tickets = Vec::new();
    for _ in 0..ROUNDS {
        let report = stopped(&mut control(&mounted));
        tickets.push(report.ticket.expect("posted"));
        let late = wait_for(&mut control(&mounted), tickets[tickets.len() - 1]).expect("answered");
        assert_eq!(late, report, "the same, from another client that came later");
        started(&mut control(&mounted));
    }
    let last = tickets[tickets.len() - 1].to_string();
    let answer = mounted.json(0, &["wait", "t", "--ticket", &last]);
    assert_eq!(answer["result"], "success", "{answer}");
    // Starts have tickets too: the first half of the stops is not kept any more.
    let gone = wait_for(&mut control(&mounted), tickets[0]);
    assert!(
        matches!(gone, Err(ClientError::Failed { ref name, .. }) if name == "UnknownTicket"),
        "{gone:?}"
    );
    let last = control(&mounted).events(None).expect("answered").last().expect("some").seq;
    mounted.expect(0, &["umount", "t"]);
    let (seen, followed) = numbers.recv_timeout(LIMIT).expect("it ends with the daemon");
    followed.expect("to its end");
    follower.join();
    assert!(seen.len() as u64 >= last, "{} of {last}", seen.len());
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>(), "each once, in order");
}

/// Management.md §7, 4: of stops that are asked for at once one does it, the others find it
/// stopped; each has a ticket of its own.
#[test]
fn i4_stops_at_once_have_one_winner() {
    const CALLERS: usize = 8;
    if !can_mount() {
        return;
    }
    // The write is under way when all of them ask.
    let mounted = Mounted::source("faulty:memory:", "write=delay:1s");
    let mut held = mounted.bounded("opening", || fs::File::create(mounted.at("f")).expect("made"));
    let writing = threads::spawn("t-write", move || {
        held.write_all(b"slow").expect("what was begun is finished");
    })
    .expect("room");
    wait_until("the write is under way", || mounted.requests("write") > 0);
    let (sender, reports) = channel();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (socket, sender) = (mounted.socket(), sender.clone());
            let ask = move || {
                let report = stopped(&mut Client::connect(&socket).expect("listens"));
                let _ = sender.send(report);
            };
            threads::spawn("t-stop", ask).expect("room")
        })
        .collect();
    let mut reports: Vec<Report> =
        (0..CALLERS).map(|_| reports.recv_timeout(LIMIT).expect("answered")).collect();
    callers.into_iter().chain([writing]).for_each(threads::Thread::join);
    reports.sort_by_key(|report| report.ticket);
    let won = |report: &&Report| report.result != CallResult::AlreadyStopped;
    assert_eq!(reports.iter().filter(won).count(), 1, "{reports:?}");
    // The writer had it open, or had just closed it.
    let result = reports[0].result;
    assert!(matches!(result, CallResult::Success | CallResult::HasOpenHandles), "{result:?}");
    let mut tickets: Vec<_> = reports.iter().map(|report| report.ticket.expect("posted")).collect();
    tickets.dedup();
    assert_eq!(tickets.len(), CALLERS, "one each");
    let fresh = mounted.bounded("reading", || fs::read(mounted.at("f")));
    assert!(fresh.is_err(), "it is stopped: {fresh:?}");
}

/// The endpoints of remote management that a test uses: a port and a socket.
struct Endpoints {
    port: SocketAddr,
    socket: PathBuf,
    words: Vec<String>,
    /// The socket's directory, which nobody else may write to.
    _directory: tempfile::TempDir,
}

impl Endpoints {
    fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound");
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("MANAGED");
        let tcp = format!("ncacn_ip_tcp:127.0.0.1[{}]", port.port());
        let local = format!("ncalrpc:[{}]", socket.display());
        let words = ["--rpc".to_owned(), tcp, "--rpc".to_owned(), local].to_vec();
        Self { port, socket, words, _directory: directory }
    }

    fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// What an operation answers, by a client that is no part of the program.
    fn call(&self, address: &str, operation: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shell/lib/remote.py");
        let port = self.port.port().to_string();
        let place = if address == "unix" { self.socket.to_str() } else { Some(port.as_str()) };
        let place = place.expect("a name of text");
        let mut command = Command::new("python3");
        let output = command.args([script, address, place, operation]).output().expect("runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

/// Waits for the other end to close it.
fn is_closed(stream: &mut impl Read) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => panic!("nothing was asked"),
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Management.md §7, 5: connections with eight bytes on them, and idle ones, do not hold up the end
/// of the listening; nor, on the control socket, the end of the daemon.
#[test]
fn i5_eight_bytes_delay_nothing() {
    const EIGHT: [u8; 8] = [5, 0, 0, 3, 0x10, 0, 0, 0];
    if !can_mount() {
        return;
    }
    let endpoints = Endpoints::new();
    let mounted = Mounted::with("memory:", "", &endpoints.words());
    let mut network = TcpStream::connect(endpoints.port).expect("listens");
    let mut local = UnixStream::connect(&endpoints.socket).expect("listens");
    let mut idle = TcpStream::connect(endpoints.port).expect("listens");
    network.write_all(&EIGHT).expect("taken");
    local.write_all(&EIGHT).expect("taken");
    for stream in [&network, &idle] {
        stream.set_read_timeout(Some(LIMIT)).expect("a time");
    }
    local.set_read_timeout(Some(LIMIT)).expect("a time");
    // It answers, so it has taken those who came before.
    assert_eq!(endpoints.call("127.0.0.1", "2"), "0 1");
    assert_eq!(endpoints.call("unix", "2"), "0 1");
    let mut client = control(&mounted);
    let clock = SystemClock::new();
    assert_eq!(client.shutdown().expect("answered").status, 0);
    assert!(is_closed(&mut network) && is_closed(&mut local) && is_closed(&mut idle));
    wait_until("nobody listens", || TcpStream::connect(endpoints.port).is_err());
    wait_until("the socket is gone", || !endpoints.socket.exists());
    let took = clock.now().since(Moment(0));
    assert!(took < Duration::from_secs(1), "it took {took:?}");

    let mut half = UnixStream::connect(mounted.socket()).expect("listens");
    half.write_all(b"{\"method").expect("taken");
    half.set_read_timeout(Some(LIMIT)).expect("a time");
    client.status().expect("answered");
    mounted.expect(0, &["umount", "t"]);
    assert!(is_closed(&mut half));
}

/// Management.md §7, 7: the control socket answers throughout: while a stop waits for a server that
/// hangs, when it is stopped, while remote management ends, and after. To stop a listening that is
/// over is 1715.
#[test]
fn i7_the_control_socket_answers_throughout() {
    if !can_mount() {
        return;
    }
    let endpoints = Endpoints::new();
    let mounted = Mounted::with("faulty:memory:", "write=hang-uncancellable", &endpoints.words());
    let mut held = mounted.bounded("opening", || fs::File::create(mounted.at("f")).expect("made"));
    let (over, seen_stopped) = (AtomicBool::new(false), AtomicBool::new(false));
    let states = std::thread::scope(|scope| {
        let ending = Over(&over);
        let asking = scope.spawn(|| {
            let mut client = control(&mounted);
            let mut states = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let state = client.status().expect("answered").state;
                states.push(state);
                seen_stopped.fetch_or(state == State::Startable, Ordering::SeqCst);
                // One that comes now is answered too.
                control(&mounted).list().expect("answered");
            }
            states.dedup();
            states
        });
        let writing = scope.spawn(move || held.write_all(b"never"));
        wait_until("the write is under way", || mounted.requests("write") > 0);
        let stop = control(&mounted).stop(&StopOptions::default()).expect("answered");
        wait_until("the stop waits for it", || mounted.status()["running"]["step"] == "drain");
        assert_eq!(control(&mounted).shutdown().expect("answered").status, 0);
        let again = control(&mounted).shutdown().expect("answered");
        assert_eq!((again.status, again.unregistered), (1715, 0), "it does not listen");
        wait_until("nobody listens", || TcpStream::connect(endpoints.port).is_err());
        // A sterner one tightens the one that waits.
        let (deadline_s, on_deadline) = (Some(0.1), OnDeadline::Cancel);
        let harder = StopOptions { deadline_s, on_deadline, ..StopOptions::default() };
        control(&mounted).stop(&harder).expect("answered");
        let report = wait_for(&mut control(&mounted), stop.ticket.expect("posted"));
        assert_eq!(report.expect("answered").result, CallResult::Lost);
        assert!(writing.join().expect("it ended").is_err(), "it was given up on");
        wait_until("it was seen stopped", || seen_stopped.load(Ordering::SeqCst));
        drop(ending);
        asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    assert_eq!(states.first(), Some(&State::Started));
    assert!(states.contains(&State::Draining), "{states:?}");
    assert_eq!(states.last(), Some(&State::Startable));
    mounted.expect(0, &["start", "t"]);
    assert_eq!(control(&mounted).shutdown().expect("answered").status, 1715, "still not");
}

/// Ends who asks again and again, also where a test fails.
struct Over<'flag>(&'flag AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Management.md §7, 8, S-96: a mini-redirector that hangs in its stop is given up on soon after
/// the deadline, the exit code and the report say so, and the mount is stopped; another mount's
/// stop is not held up by it, and ends well. A stop that is asked later is answered, too.
#[test]
fn i8_a_redirector_that_hangs_in_its_stop_is_told() {
    if !can_mount() {
        return;
    }
    let hanging = Mounted::source("faulty:memory:", "stop=hang-uncancellable");
    let other = Mounted::memory("");
    let words = ["stop", "t", "--wait", "--deadline", "1s", "--on-deadline", "cancel", "--json"];
    let clock = SystemClock::new();
    let (outcome, took) = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| (hanging.run(&words), clock.now().since(Moment(0))));
        wait_until("it hangs", || hanging.status()["running"]["step"] == "mrx_stop");
        other.expect(0, &["stop", "t", "--wait"]);
        assert_eq!(other.status()["state"], "stopped");
        stopping.join().expect("it ends")
    });
    assert_eq!(outcome.code, 1, "{outcome:?}");
    // S-55 gives six seconds after the deadline.
    assert!(took < Duration::from_secs(7), "{took:?}");
    let answer: serde_json::Value = serde_json::from_str(&outcome.out).expect("one object");
    let error = answer["report"]["error"].as_str().unwrap_or_default();
    let told = "MRxStop: the server did not answer in time (ERROR_TIMEOUT, 1460)";
    assert_eq!(error, told, "{answer}");
    let status = hanging.status();
    assert_eq!(
        (&status["state"], &status["last_stop"]["error"]),
        (&"stopped".into(), &error.into())
    );
    let again = hanging.expect(0, &["stop", "t", "--wait"]);
    assert!(again.out.contains("already stopped"), "{again:?}");
    other.start();
    let written = other.bounded("writing", || fs::write(other.at("f"), b"content"));
    written.expect("the other serves");
}

/// Management.md §7, 10: a daemon that was killed leaves nothing in the way of the next one: not
/// its control socket, not its mount, not the ports and sockets of remote management, whoever was
/// connected. (In each state: `kills.rs`.)
#[test]
fn i10_what_was_killed_is_in_nobodys_way() {
    if !can_mount() {
        return;
    }
    let endpoints = Endpoints::new();
    let mut mounted = Mounted::with("memory:", "", &endpoints.words());
    for round in 0..3 {
        let mut connected = TcpStream::connect(endpoints.port).expect("listens");
        connected.write_all(&[5, 0, 11]).expect("taken");
        let local = UnixStream::connect(&endpoints.socket).expect("listens");
        let follower = UnixStream::connect(mounted.socket()).expect("listens");
        assert_eq!(endpoints.call("127.0.0.1", "2"), "0 1", "round {round}");
        if round == 1 {
            mounted.expect(0, &["stop", "t", "--wait"]);
        }
        mounted.kill();
        assert!(endpoints.socket.exists() && mounted.socket().exists(), "left behind");
        mounted.mount_with("memory:", "", &endpoints.words());
        assert_eq!(mounted.mounts(), 1, "no dead mount is below");
        assert_eq!(endpoints.call("127.0.0.1", "2"), "0 1");
        assert_eq!(endpoints.call("unix", "2"), "0 1");
        mounted.bounded("writing", || fs::write(mounted.at("f"), b"served")).expect("it serves");
        drop((connected, local, follower));
    }
    mounted.expect(0, &["umount", "t"]);
    assert!(!endpoints.socket.exists() && !mounted.socket().exists());
}
