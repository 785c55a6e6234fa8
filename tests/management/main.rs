//! The management plane over a real socket, against a host that only pretends: the invariants of
//! management.md §7 that are about the control socket, by number.

mod ending;
mod events;
mod handles;
mod host;
mod interface;
mod metrics;
mod noise;
mod places;
mod policy;
mod remote;
mod unsent;
mod watch;
mod who_holds;

use host::{Host, NAME, Running, eventually, handle, own_policy, serve, service};
use minirdr::base::clock::{Clock, SystemClock};
use minirdr::base::ids::TicketNumber;
use minirdr::base::limits::{CONTROL_CLIENTS_MAX, CONTROL_REQUEST_BYTES_MAX, EVENTS_KEPT};
use minirdr::base::status::wire;
use minirdr::base::stop::{CallResult, Loss, Notice, OnDeadline, State, StopMode, StopOptions};
use minirdr::base::threads;
use minirdr::mgmt::authz::{Peer, Policy};
use minirdr::mgmt::client::{Client, ClientError, Progress};
use minirdr::mgmt::overrides::Overrides;
use minirdr::mgmt::proto::{Event, EventKind, Method, Reply, Request, WaitParameters};
use minirdr::mgmt::service::{Gone, Interest, Replies, Service};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

impl Running {
    fn client(&self) -> Client {
        Client::connect(self.server.socket()).expect("listens")
    }

    fn raw(&self) -> UnixStream {
        UnixStream::connect(self.server.socket()).expect("listens")
    }
}

/// The tickets whose last event these are.
fn stopped(events: &[Event]) -> Vec<TicketNumber> {
    let ticket = |event: &Event| match event.what {
        EventKind::Notice(Notice::Stopped { ticket, .. }) => ticket,
        _ => None,
    };
    events.iter().filter_map(ticket).collect()
}

/// Management.md §7, 1: a pending stop has one `stopped` event, its last; a synchronous one has
/// none.
#[test]
fn i1_one_stopped_event_per_pending_stop() {
    let running = serve(Host::new());
    let mut client = running.client();
    let mut progress = Vec::new();
    let report = client
        .stop_streaming(&StopOptions::default(), &mut |step| {
            if matches!(step, Progress::Pending { .. }) {
                running.host.finish();
            }
            progress.push(step);
            ControlFlow::Continue(())
        })
        .expect("answered")
        .expect("to its end");
    assert_eq!((report.result, report.ticket), (CallResult::Success, Some(TicketNumber(1))));
    let pending = Progress::Pending { ticket: TicketNumber(1), running: None };
    assert_eq!(progress[0], pending, "said before anything else");
    let events: Vec<Event> = progress
        .into_iter()
        .filter_map(|step| match step {
            Progress::Event(event) => Some(event),
            Progress::Pending { .. } | Progress::Joined(_) => None,
        })
        .collect();
    assert_eq!(stopped(&events), [TicketNumber(1)]);
    assert_eq!(stopped(&events[events.len() - 1..]), [TicketNumber(1)], "the last event");

    let again = client.stop(&StopOptions::default()).expect("answered");
    let report = again.report.expect("at once");
    assert_eq!((report.result, again.ticket), (CallResult::AlreadyStopped, None));
    assert_eq!(again.status, CallResult::AlreadyStopped.code());
    assert_eq!(client.events(None).expect("answered"), events, "nothing came after");
}

/// Management.md §7, 1: the report comes after the `stopped` event also where the result was there
/// first; and it comes where that event never does.
#[test]
fn i1_the_report_waits_for_the_last_event_but_not_for_ever() {
    let running = serve(Host::new());
    let mut client = running.client();
    for (round, announced) in [(1, true), (2, false)] {
        let mut events = 0;
        let report = client
            .stop_streaming(&StopOptions::default(), &mut |step| {
                match step {
                    Progress::Pending { .. } => {
                        let last = running.host.settle().expect("it is pending");
                        eventually("the result was seen", || running.host.handed_out() >= round);
                        if announced {
                            running.host.announce(last);
                        }
                    }
                    Progress::Event(event) => events += stopped(&[event]).len(),
                    Progress::Joined(_) => {}
                }
                ControlFlow::Continue(())
            })
            .expect("answered")
            .expect("to its end");
        assert_eq!(report.result, CallResult::Success);
        assert_eq!(events, usize::from(announced));
        client.start().expect("answered");
        running.host.finish();
    }
}

/// Management.md §7, 2: numbers have no gaps, and a client that comes after the end learns the
/// result.
#[test]
fn i2_late_clients_get_the_result() {
    let running = serve(Host::new());
    let reply = running.client().stop(&StopOptions::default()).expect("answered");
    assert_eq!((reply.status, reply.ticket), (wire::PENDING, Some(TicketNumber(1))));
    running.host.finish();
    let mut late = running.client();
    let ticket = WaitParameters { ticket: reply.ticket, ..WaitParameters::default() };
    let by_ticket = late.wait(&ticket).expect("answered");
    assert!(!by_ticket.timed_out);
    assert_eq!(by_ticket.report.as_ref().map(|report| report.ticket), Some(reply.ticket));
    let by_state = late.wait(&WaitParameters::default()).expect("answered");
    assert_eq!(by_state, by_ticket, "nothing runs: the last stop's");
    let numbers: Vec<u64> =
        late.events(None).expect("answered").iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=running.host.events.last()).collect::<Vec<_>>());
    let unknown =
        late.wait(&WaitParameters { ticket: Some(TicketNumber(99)), ..Default::default() });
    assert!(matches!(unknown, Err(ClientError::Failed { name, .. }) if name == "UnknownTicket"));
}

/// Management.md §7, 2 for a reader too slow: it is told what it lost, and misses no result.
#[test]
fn i2_slow_readers_are_told_what_they_lost() {
    let running = serve(Host::new());
    running.host.announce(Notice::Survivors { handles: 1 });
    for _ in 0..2 * EVENTS_KEPT {
        running.host.announce(Notice::Paused);
    }
    let events = running.client().events(Some(0)).expect("answered");
    assert_eq!(events[0].what, EventKind::Notice(Notice::Survivors { handles: 1 }));
    let EventKind::Overflow { first_lost, last_lost, .. } = events[1].what else {
        panic!("not told: {:?}", events[1]);
    };
    assert_eq!((first_lost, last_lost + 1), (2, events[2].seq));
    assert_eq!(events.last().map(|event| event.seq), Some(running.host.events.last()));
    let future = running.client().events(Some(1 << 40));
    assert!(
        matches!(future, Err(ClientError::Failed { ref message, .. }) if message.contains("since")),
        "{future:?}"
    );
}

/// Management.md §7, 4: of N stops at once one wins, the others find it stopped; each has its own
/// ticket.
#[test]
fn i4_concurrent_stops_have_one_winner() {
    const CALLERS: usize = 8;
    let running = serve(Host::new());
    let socket = running.server.socket().to_owned();
    let results = Arc::new(std::sync::Mutex::new(Vec::new()));
    let pending = Arc::new(AtomicUsize::new(0));
    let caller = || {
        let (socket, results) = (socket.clone(), Arc::clone(&results));
        let pending = Arc::clone(&pending);
        let body = move || {
            let (mut found, mut joined) = (None, None);
            let report = Client::connect(&socket)
                .expect("listens")
                .stop_streaming(&StopOptions::default(), &mut |step| {
                    match step {
                        Progress::Pending { running, .. } => {
                            found = running;
                            pending.fetch_add(1, Ordering::SeqCst);
                        }
                        Progress::Joined(end) => joined = Some((end.ticket, end.result)),
                        Progress::Event(_) => {}
                    }
                    ControlFlow::Continue(())
                })
                .expect("answered")
                .expect("to its end");
            let told = (report.ticket, report.result, joined, found);
            results.lock().expect("whole").push(told);
        };
        threads::spawn("t-stop", body).expect("room")
    };
    let mut callers = vec![caller()];
    eventually("the first is pending", || pending.load(Ordering::SeqCst) == 1);
    callers.extend((1..CALLERS).map(|_| caller()));
    eventually("all are pending", || pending.load(Ordering::SeqCst) == CALLERS);
    running.host.finish();
    callers.into_iter().for_each(threads::Thread::join);
    let mut results = results.lock().expect("whole").clone();
    results.sort_by_key(|(ticket, ..)| *ticket);
    let tickets: Vec<_> = results.iter().map(|(ticket, ..)| ticket.expect("posted").0).collect();
    assert_eq!(tickets, (1..=CALLERS as u64).collect::<Vec<_>>());
    assert_eq!(results[0].1, CallResult::Success);
    assert!(results[1..].iter().all(|(_, result, ..)| *result == CallResult::AlreadyStopped));
    assert_eq!((results[0].2, results[0].3), (None, None), "it found none running");
    // How the winner's ended is told to all: the daemon may not be there to be asked.
    let won = Some((Some(TicketNumber(1)), CallResult::Success));
    assert!(results[1..].iter().all(|(_, _, joined, _)| *joined == won));
    assert!(results[1..].iter().all(|(.., found)| *found == Some(TicketNumber(1))));
    let events = running.client().events(None).expect("answered");
    let mut ended = stopped(&events);
    ended.sort_unstable();
    assert_eq!(ended.len(), CALLERS);
    ended.dedup();
    assert_eq!(ended.len(), CALLERS, "one each");
}

/// Management.md §7, 5, for the control socket: idle and half-sent connections do not delay the
/// server's end, and a wait in progress is answered, not cut.
#[test]
fn i5_the_server_ends_in_time() {
    let running = serve(Host::new());
    let idle = running.raw();
    let mut half = running.raw();
    half.write_all(b"{\"method").expect("written");
    let socket = running.server.socket().to_owned();
    let waiter = {
        let socket = socket.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = threads::spawn("t-wait", move || {
            let mut client = Client::connect(&socket).expect("listens");
            let _ = sender.send(client.wait(&WaitParameters::default()));
        })
        .expect("room");
        (thread, receiver)
    };
    running.host.announce(Notice::Paused);
    let mut follower = running.raw();
    follower
        .write_all(b"{\"method\":\"io.minirdr.Control.Events\",\"more\":true}\0")
        .expect("written");
    let mut first = [0];
    follower.read_exact(&mut first).expect("an event");
    eventually("one waits", || running.host.waits() > 0);
    assert_eq!(running.server.clients(), 4);
    let clock = SystemClock::new();
    running.server.stop();
    assert!(clock.now().since(Default::default()) < Duration::from_secs(2), "it took too long");
    let answer = waiter.1.recv_timeout(Duration::from_secs(20)).expect("answered");
    assert!(matches!(answer, Err(ClientError::Failed { ref name, .. }) if name == "Refused"));
    let mut last = Vec::new();
    follower.read_to_end(&mut last).expect("readable");
    assert!(last.ends_with(b"}\0") && !last.ends_with(b"\"continues\":true}\0"), "{last:?}");
    assert!(!socket.exists());
    assert_eq!(std::fs::read_dir(running.directory.path()).expect("exists").count(), 0);
    drop((idle, half));
}

/// Replies in memory, from a peer that never leaves.
#[derive(Default)]
struct Kept(Vec<Reply>);

impl Replies for Kept {
    fn send(&mut self, reply: &Reply) -> Result<(), Gone> {
        self.0.push(reply.clone());
        Ok(())
    }

    fn interest(&mut self) -> Interest {
        Interest::Ending
    }
}

/// One call of `peer`, and its last reply.
fn ask_as(service: &Service, peer: &Peer, method: &str, parameters: &Value) -> Reply {
    let parameters = parameters.as_object().cloned().unwrap_or_default();
    let method = format!("io.minirdr.Control.{method}");
    let mut kept = Kept::default();
    let request = Request { method, parameters, ..Request::default() };
    service.call(peer, request, &mut kept).expect("the peer is there");
    kept.0.pop().expect("answered")
}

fn denied(reply: &Reply) -> bool {
    reply.error.as_deref() == Some("io.minirdr.Control.NotPermitted")
}

/// Management.md §7, 6: another user on the socket may look, without paths, and change nothing;
/// root and the owner may; the group may all but abort; a network may nothing.
#[test]
fn i6_nothing_happens_that_is_not_allowed() {
    const OWNER: u32 = 1000;
    const GROUP: u32 = 50;
    let host = Arc::new(Host::new());
    host.open([handle(1, b"secret/path")]);
    host.announce(Notice::Loss(Loss {
        path: b"secret/lost".to_vec(),
        bytes: 1,
        error: "gone".to_owned(),
        ..Loss::default()
    }));
    let service =
        service(&host, Policy { owner: OWNER, group: Some(GROUP), overrides: Overrides::NONE });
    let local = |uid, gids: &[u32]| Peer::Local { pid: 1, uid, gids: gids.to_vec() };
    let ask = |peer: &Peer, method: &str, parameters: Value| -> Reply {
        ask_as(&service, peer, method, &parameters)
    };
    let abort = json!({"options": {"mode": "abort"}});
    let late_abort = json!({"options": {"on_deadline": "abort", "deadline_s": 1.0}});
    let changes =
        [("Stop", json!({})), ("Start", json!({})), ("Pause", json!({})), ("Resume", json!({}))];

    let stranger = local(2000, &[2000]);
    for (method, parameters) in &changes {
        let reply = ask(&stranger, method, parameters.clone());
        assert!(denied(&reply), "{method}: {reply:?}");
        let text = reply.parameters["message"].as_str().expect("a text").to_owned();
        assert!(text.contains("2000") && text.contains("owner"), "{text}");
    }
    for parameters in [abort.clone(), late_abort.clone()] {
        assert!(denied(&ask(&stranger, "Stop", parameters.clone())));
        assert!(denied(&ask(&local(2000, &[GROUP]), "Stop", parameters)));
    }
    let remote = Peer::Remote(([127, 0, 0, 1], 1).into());
    for method in Method::ALL {
        assert!(denied(&ask(&remote, method.name(), json!({}))), "{method:?}");
    }
    assert_eq!((host.effects(), host.state()), (0, State::Started), "nothing changed");

    for method in ["List", "Status", "Handles", "Requests", "Check", "Events", "Metrics", "Unsent"]
    {
        let strange = serde_json::to_string(&ask(&stranger, method, json!({}))).expect("JSON");
        assert!(!strange.contains("error\":\"io") && !strange.contains("secret"), "{strange}");
        let own = serde_json::to_string(&ask(&local(OWNER, &[]), method, json!({}))).expect("JSON");
        let shown = matches!(method, "Handles" | "Check" | "Events" | "Unsent");
        assert_eq!(own.contains("secret"), shown, "{own}");
    }

    let mut effects = 0;
    for peer in [local(0, &[]), local(OWNER, &[]), local(2000, &[7, GROUP])] {
        for (method, parameters) in &changes {
            let reply = ask(&peer, method, parameters.clone());
            assert!(!denied(&reply), "{method} by {peer:?}: {reply:?}");
            effects += 1;
        }
        assert_eq!(host.effects(), effects);
        host.finish();
    }
    for peer in [local(0, &[]), local(OWNER, &[])] {
        for parameters in [&abort, &late_abort] {
            assert!(!denied(&ask(&peer, "Stop", parameters.clone())));
            effects += 1;
        }
    }
    assert_eq!(host.effects(), effects);
}

/// Management.md §7, 6: who asks is who the kernel says.
#[test]
fn i6_the_caller_is_the_kernels() {
    let running = serve(Host::new());
    running.client().stop(&StopOptions::default()).expect("answered");
    let asked_by = running.client().status().expect("answered").running.expect("one").asked_by;
    assert_eq!(asked_by.pid, std::process::id());
    assert_eq!(asked_by.uid, rustix::process::getuid().as_raw());
    assert_eq!(asked_by.gid, rustix::process::getgid().as_raw());
}

/// Management.md §7, 7: the control socket answers while a stop hangs, others wait, and one does
/// not read.
#[test]
fn i7_it_answers_throughout() {
    let running = serve(Host::new());
    running.host.open((0..5000).map(|number| handle(number, &[b'x'; 200])));
    running.client().stop(&StopOptions::default()).expect("answered");
    // Asks for far more than a socket holds, and reads none of it.
    let mut slow = running.raw();
    let call = b"{\"method\":\"io.minirdr.Control.Handles\",\"more\":true}\0";
    slow.write_all(call).expect("written");
    let mut waiting = running.raw();
    waiting.write_all(b"{\"method\":\"io.minirdr.Control.Wait\"}\0").expect("written");
    let mut client = running.client();
    eventually("all are connected", || running.server.clients() == 3);
    for _ in 0..100 {
        let status = client.status().expect("answered");
        assert_eq!((status.state, status.open_handles), (State::Draining, 5000));
    }
    // The one that does not read is dropped, and the one that went away is noticed.
    drop(waiting);
    eventually("both are gone", || running.server.clients() == 1);
    running.host.finish();
    assert_eq!(client.status().expect("answered").state, State::Startable);
}

/// Clients are bounded; one too many is told so, and there is room again when one leaves.
#[test]
fn clients_are_bounded() {
    let running = serve(Host::new());
    let mut inside = Vec::new();
    let full = loop {
        let mut client = running.client();
        match client.status() {
            Ok(_) => inside.push(client),
            Err(error) => break error,
        }
        assert!(inside.len() <= CONTROL_CLIENTS_MAX, "no bound");
    };
    assert!(matches!(full, ClientError::Failed { ref name, .. } if name == "TooMany"), "{full:?}");
    let root = own_policy().owner == 0;
    assert_eq!(inside.len() == CONTROL_CLIENTS_MAX, root, "some are kept for root");
    let count = inside.len();
    inside.pop();
    eventually("one has left", || running.server.clients() < count);
    running.client().status().expect("there is room again");
}

/// Sends bytes and reads one reply.
pub fn raw_call(running: &Running, bytes: &[u8]) -> Reply {
    let mut stream = running.raw();
    // The server may refuse and close before it has read all of it.
    let _ = stream.write_all(bytes);
    let mut reply = Vec::new();
    BufReader::new(stream).read_until(0, &mut reply).expect("readable");
    assert_eq!(reply.pop(), Some(0), "whole");
    serde_json::from_slice(&reply).expect("a reply")
}

/// Bad input gets varlink's own errors, which say what was bad; the server goes on.
#[test]
fn bad_requests_are_told_what_is_wrong() {
    let running = serve(Host::new());
    let call = |text: &str| {
        let reply = raw_call(&running, format!("{text}\0").as_bytes());
        let what = reply.parameters.values().next().and_then(Value::as_str).map(str::to_owned);
        (reply.error.expect("an error"), what.unwrap_or_default())
    };
    let control = |rest: &str| call(&format!("{{\"method\":\"io.minirdr.Control.{rest}}}"));
    let pair = |error: &str, what: &str| (format!("org.varlink.service.{error}"), what.to_owned());
    assert_eq!(control("Halt\""), pair("MethodNotFound", "io.minirdr.Control.Halt"));
    assert_eq!(call(r#"{"method":"a.b.C"}"#), pair("InterfaceNotFound", "a.b"));
    assert_eq!(call(r#"{"method":"Status"}"#), pair("InterfaceNotFound", "Status"));
    assert_eq!(call("nonsense"), pair("InvalidParameter", "method"));
    for (rest, parameter) in [
        (r#"Status","parameters":{"x":1}"#, "x"),
        (r#"Stop","parameters":{"option":{}}"#, "option"),
        (r#"Stop","parameters":{"options":{"dead_line":1}}"#, "options"),
        (r#"Stop","parameters":{"options":{"deadline_s":-1.0}}"#, "options.deadline_s"),
        (r#"Stop","parameters":{"options":{"grace_s":1e300}}"#, "options.grace_s"),
        (r#"Wait","parameters":{"for":"ever"}"#, "for"),
        (r#"Wait","parameters":{"for":"stopped","ticket":1}"#, "for"),
        (r#"Wait","parameters":{"timeout_s":-1.0}"#, "timeout_s"),
        (r#"Events","parameters":{"since":-1}"#, "since"),
    ] {
        assert_eq!(control(rest), pair("InvalidParameter", parameter), "{rest}");
    }
    let upgrade = control("Status\",\"upgrade\":true");
    assert_eq!(upgrade, pair("MethodNotImplemented", "io.minirdr.Control.Status"));
    let mut long = vec![b' '; CONTROL_REQUEST_BYTES_MAX + 2];
    long[0] = b'{';
    let reply = raw_call(&running, &long);
    assert_eq!(reply.error.as_deref(), Some("org.varlink.service.InvalidParameter"));
    assert_eq!(running.host.effects(), 0);
    running.client().status().expect("it goes on");
}

/// One connection, several calls at once, one of them wanting no answer.
#[test]
fn calls_may_be_sent_ahead() {
    let running = serve(Host::new());
    let mut stream = running.raw();
    stream
        .write_all(
            b"{\"method\":\"io.minirdr.Control.Pause\",\"oneway\":true}\0\
              {\"method\":\"io.minirdr.Control.Resume\"}\0\
              {\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}\0",
        )
        .expect("written");
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut replies = String::new();
    stream.read_to_string(&mut replies).expect("readable");
    let replies: Vec<Reply> = replies
        .split_terminator('\0')
        .map(|reply| serde_json::from_str(reply).expect("a reply"))
        .collect();
    assert_eq!(running.host.effects(), 2);
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0].error.as_deref(), Some("io.minirdr.Control.Refused"));
    assert_eq!(replies[1].parameters["interfaces"][1], "io.minirdr.Control");
}

/// Events reach a follower as they come, and a wait ends when told to or when its time is up.
#[test]
fn following_and_waiting() {
    let running = serve(Host::new());
    running.host.announce(Notice::Paused);
    let mut client = running.client();
    let mut seen = Vec::new();
    client
        .follow_events(None, &mut |event| {
            seen.push(event.what);
            match seen.len() {
                1 => running.host.announce(Notice::Resumed),
                2 => running.host.announce(Notice::Deadline { on_deadline: OnDeadline::Stay }),
                _ => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        })
        .expect("followed");
    assert_eq!(seen[1], EventKind::Notice(Notice::Resumed));

    let soon = WaitParameters {
        wait_for: Some("stopped".to_owned()),
        timeout_s: Some(0.05),
        ..WaitParameters::default()
    };
    let reply = client.wait(&soon).expect("answered");
    assert!(reply.timed_out && reply.report.is_none() && reply.state == State::Started);
    let mut asked = 0;
    client.while_waiting(move || {
        asked += 1;
        if asked < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let interrupted = client.wait(&WaitParameters::default());
    assert!(matches!(interrupted, Err(ClientError::Interrupted)), "{interrupted:?}");
    client.status().expect("good for the next call");
    eventually("the wait was given up there too", || running.server.clients() == 1);
}

/// Start comes back as Stop does, and modes and options arrive as they were sent.
#[test]
fn starting_again() {
    let running = serve(Host::new());
    let mut client = running.client();
    let options = StopOptions {
        mode: StopMode::Cancel,
        reason: Some("why".to_owned()),
        ..Default::default()
    };
    client.stop(&options).expect("answered");
    running.host.finish();
    let events = client.events(None).expect("answered");
    assert!(matches!(&events[0].what, EventKind::Notice(Notice::StopRequested { reason, .. })
            if reason.as_deref() == Some("why")));
    assert_eq!(events[0].device, NAME);
    let report = client
        .start_streaming(&mut |step| {
            if matches!(step, Progress::Pending { .. }) {
                running.host.finish();
            }
            ControlFlow::Continue(())
        })
        .expect("answered")
        .expect("to its end");
    assert_eq!(report.result, CallResult::Success);
    let again = client.start().expect("answered").report.expect("at once");
    assert_eq!(again.result, CallResult::AlreadyStarted);
    let mounts = client.list().expect("answered");
    assert_eq!((mounts.len(), mounts[0].generation.0), (1, 2));
    assert_eq!(client.requests().expect("answered").requests, [host::request()]);
    assert_eq!(client.pause().expect("answered").result, CallResult::Success);
    let resume = client.resume();
    assert!(
        matches!(resume, Err(ClientError::Failed { message, .. }) if message == "it is starting")
    );
}
