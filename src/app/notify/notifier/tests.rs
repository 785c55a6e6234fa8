//! The thread: woken, bounded, ended.

use super::*;
use crate::base::clock::{ManualClock, Moment, SystemClock};
use crate::base::ids::Generation;
use crate::base::stop::{Notice, State};
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// No test waits longer for a word.
const LIMIT: Duration = Duration::from_secs(10);

struct Manager {
    socket: UnixDatagram,
    scratch: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(scratch.path().join("notify")).expect("bound");
        socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
        Self { socket, scratch }
    }

    fn address(&self) -> OsString {
        self.scratch.path().join("notify").into_os_string()
    }

    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("something is said");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

fn config(address: impl Into<OsString>) -> NotifyConfig {
    NotifyConfig { address: address.into(), watchdog: None, handed_over: false }
}

fn idle() -> View {
    View { state: State::Started, requests: 0, handles: 0, unsent_bytes: 0, call: None }
}

fn start(config: &NotifyConfig, events: &EventQueue) -> Notifier {
    Notifier::start(Some(config), SystemClock::shared(), events, idle)
}

#[test]
fn what_is_ordered_is_said_in_order() {
    let manager = Manager::new();
    let events = EventQueue::new(SystemClock::shared());
    let notifier = start(&config(manager.address()), &events);
    assert_eq!(manager.message(), "STATUS=starting\n");
    notifier.serving();
    let running = "STATUS=running: 0 requests, 0 handles, 0 B unsent\n";
    assert_eq!(manager.message(), format!("READY=1\n{running}"));
    let mut ran = false;
    notifier.reload(|| ran = true);
    assert!(ran);
    let reloading = manager.message();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("both");
    assert!(since.trim_end().parse::<u64>().is_ok_and(|usec| usec > 0), "{since}");
    assert_eq!(manager.message(), "READY=1\n");
    notifier.alive();
    assert_eq!(manager.message(), "WATCHDOG=1\n");
    notifier.end("ended");
    assert_eq!(manager.message(), "STOPPING=1\nSTATUS=ended\n");
}

/// An event wakes the thread. The clock stands still, so nothing else does.
#[test]
fn an_event_is_news() {
    let manager = Manager::new();
    let (clock, real) = (Arc::new(ManualClock::new()), SystemClock::new());
    let events = EventQueue::new(clock.clone());
    let state = Arc::new(Mutex::new(Rank::Leaf, State::Started));
    let looks = Arc::new(AtomicUsize::new(0));
    let look = {
        let (state, looks) = (state.clone(), looks.clone());
        move || {
            looks.fetch_add(1, Ordering::SeqCst);
            View { state: *state.lock(), ..idle() }
        }
    };
    let notifier = Notifier::start(Some(&config(manager.address())), clock.clone(), &events, look);
    // After each word it looks again when a moment is over, whenever that began.
    let looks_again = || {
        let before = looks.load(Ordering::SeqCst);
        while looks.load(Ordering::SeqCst) == before {
            assert!(real.now().since(Moment(0)) < LIMIT, "it never looks again");
            clock.advance(NOTIFY_GAP);
            std::thread::park_timeout(Duration::from_millis(1));
        }
    };
    assert_eq!(manager.message(), "STATUS=starting\n");
    notifier.serving();
    looks_again();
    assert!(manager.message().starts_with("READY=1"));
    looks_again();
    *state.lock() = State::Paused;
    events.publish("t", Generation(1), Notice::Paused);
    assert!(manager.message().starts_with("STATUS=paused"));
    drop(notifier);
}

/// Nobody there, or an address that is none: everything goes on, and ends at once.
#[test]
fn where_nobody_listens_nothing_is_held_up() {
    let scratch = tempfile::tempdir().expect("a directory");
    let stale = scratch.path().join("stale");
    drop(UnixDatagram::bind(&stale).expect("bound"));
    for address in [Path::new("/nonexistent"), Path::new("vsock:1"), &stale] {
        let clock = SystemClock::new();
        let events = EventQueue::new(SystemClock::shared());
        let notifier = start(&config(address), &events);
        notifier.serving();
        notifier.reload(|| ());
        notifier.ending(Duration::from_secs(90));
        notifier.end("ended");
        assert!(clock.now().since(Moment(0)) < LIMIT, "{}", address.display());
    }
}

/// A manager that does not read holds up nobody but the thread itself, and its end for a moment. It
/// misses nothing but the past: what it was not told it is told when it reads again.
#[test]
fn a_manager_that_does_not_read_misses_the_past_alone() {
    let manager = Manager::new();
    let filler = UnixDatagram::unbound().expect("a socket");
    filler.set_nonblocking(true).expect("set");
    while filler.send_to(b"FILLER", manager.address()).is_ok() {}
    let clock = SystemClock::new();
    let events = EventQueue::new(SystemClock::shared());
    let notifier = start(&config(manager.address()), &events);
    notifier.serving();
    assert!(clock.now().since(Moment(0)) < NOTIFY_SEND_WAIT, "nobody waits for it");
    let mut said = manager.message();
    while said == "FILLER" {
        said = manager.message();
    }
    // It may have tried for room before it served.
    if said == "STATUS=starting\n" {
        said = manager.message();
    }
    assert!(said.starts_with("READY=1\n"), "{said}");
    while filler.send_to(b"FILLER", manager.address()).is_ok() {}
    let before = clock.now();
    notifier.end("ended");
    assert!(clock.now().since(before) < LIMIT, "an end waits for two words at most");
}

#[test]
fn without_a_manager_there_is_no_thread() {
    let events = EventQueue::new(SystemClock::shared());
    let notifier = Notifier::start(None, SystemClock::shared(), &events, || {
        unreachable!("nobody looks");
    });
    notifier.serving();
    notifier.end("ended");
}
