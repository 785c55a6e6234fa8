//! Shared opens, delayed closes and the scavenger, over a server that is as strict as a Windows
//! one: no program may notice that the core keeps opens to itself (rdbss.md 7.2 to 7.4).

#[path = "../common/mod.rs"]
mod common;
mod strict;

use common::{Host, plain, wait_until};
use minirdr::base::clock::{Clock, ManualClock, SystemClock};
use minirdr::base::ids::{Caller, HandleNumber};
use minirdr::base::name::Name;
use minirdr::base::status::Status;
use minirdr::base::stop::{CallResult, OnDeadline, StopOptions};
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::mrx::request::{FileIdentity, OpenOptions, RenameMode, SetAttributes};
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::operation::{Answer, Node, Operation};
use minirdr::rdbss::register::DeviceOptions;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use strict::{Redirector, Strict};

fn host_with(strict: &Arc<Strict>, clock: Arc<dyn Clock>) -> Host {
    let served = strict.clone();
    let factory = Box::new(move || {
        let redirector: Arc<dyn MiniRedirector> = Arc::new(Redirector(served.clone()));
        redirector
    });
    let host = Host::with_clock(factory, DeviceOptions::default(), clock);
    host.start();
    host
}

fn host(strict: &Arc<Strict>) -> Host {
    host_with(strict, SystemClock::shared())
}

fn name(name: &str) -> Name {
    Name::new(name.as_bytes()).expect("a good name")
}

fn file(host: &Host, name: &str) -> Node {
    host.lookup(&host.root(), name).expect("it exists")
}

fn read_and_close(host: &Host, node: &Node) {
    let handle = host.open(node, Access::Read).expect("opens");
    host.release(handle).expect("closes");
}

fn unlink(host: &Host, called: &str) -> Result<Answer, Status> {
    host.call(Operation::Unlink { parent: host.root(), name: name(called) })
}

fn rename(host: &Host, from: &str, to: &str) -> Result<Answer, Status> {
    host.call(Operation::Rename {
        parent: host.root(),
        name: name(from),
        new_parent: host.root(),
        new_name: name(to),
        mode: RenameMode::Replace,
    })
}

/// S-23: opening again soon costs the server nothing; two readers share one open; each handle is a
/// handle of its own.
#[test]
fn a_second_open_is_the_first_ones() {
    let strict = Strict::new(8);
    let host = host(&strict);
    let node = file(&host, "f");
    let (one, two) = (host.open(&node, Access::Read), host.open(&node, Access::Read));
    let (one, two) = (one.expect("opens"), two.expect("opens"));
    assert_ne!(one, two);
    assert_eq!((strict.count("open"), strict.count("collapse")), (1, 1));
    host.release(one).expect("closes");
    assert_eq!(host.read(one, 0, 1).err(), Some(Status::InvalidHandle));
    assert!(host.read(two, 0, 1).is_ok(), "the other one's handle works");
    host.release(two).expect("closes");
    assert_eq!(host.device.status().open_handles, 0, "a close that waits is no open handle");
    assert_eq!((strict.count("close"), host.device.delayed_closes()), (0, 1));
    read_and_close(&host, &node);
    assert_eq!((strict.count("open"), strict.count("close")), (1, 0));
}

/// Collapse is keyed on credentials: another user, another group, other supplementary groups.
#[test]
fn other_credentials_open_for_themselves() {
    let strict = Strict::new(8);
    let mut host = host(&strict);
    let node = file(&host, "f");
    read_and_close(&host, &node);
    for (uid, gid) in [(1001, 1000), (1000, 1001)] {
        host.caller = Caller::local(0, uid, gid);
        read_and_close(&host, &node);
    }
    assert_eq!(strict.count("open"), 3);
    host.caller = Caller::local(0, 1000, 1000);
    read_and_close(&host, &node);
    assert_eq!(strict.count("open"), 3);
}

/// Where opens carry the caller's rights, callers with other supplementary groups share nothing;
/// nor does a caller whose groups cannot be known.
#[test]
fn other_groups_open_for_themselves() {
    let strict = Strict::new(8);
    strict.daemon_rights.store(false, Ordering::SeqCst);
    let mut host = host(&strict);
    let node = file(&host, "f");
    for opens in [1, 2] {
        host.caller = Caller::local(0, 1000, 1000);
        read_and_close(&host, &node);
        assert_eq!((strict.count("open"), host.device.delayed_closes()), (opens, 0));
    }
    let me = std::process::id();
    for _ in 0..2 {
        host.caller = Caller::local(me, 1000, 1000);
        read_and_close(&host, &node);
        assert_eq!(strict.count("open"), 3, "the same groups share");
    }
    // Another process of the same user and group, which is in one group more.
    if rustix::process::getuid().is_root() {
        let mut other = std::process::Command::new("setpriv")
            .args(["--groups", "4242", "sleep", "600"])
            .spawn()
            .expect("setpriv is part of util-linux");
        wait_until("it is in its groups", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", other.id()));
            status.is_ok_and(|status| status.contains("Groups:\t4242"))
        });
        host.caller = Caller::local(other.id(), 1000, 1000);
        read_and_close(&host, &node);
        assert_eq!(strict.count("open"), 4);
        other.kill().expect("it is ours");
        other.wait().expect("it ends");
    }
}

/// S-23: the server's sharing rules do not reach a program: what it has closed can be removed,
/// replaced, truncated, written and given other rights at once.
#[test]
fn what_was_closed_is_closed_for_every_purpose() {
    let strict = Strict::new(8);
    let host = host(&strict);
    let (f, g, h, i) = (file(&host, "f"), file(&host, "g"), file(&host, "h"), file(&host, "i"));
    for node in [&f, &g, &h, &i] {
        read_and_close(&host, node);
    }
    assert_eq!(strict.open_files(), 4, "the closes wait");
    unlink(&host, "f").expect("removed");
    rename(&host, "g", "h").expect("replaced");
    let writer = host.open(&i, Access::Write).expect("written");
    host.release(writer).expect("closes");
    read_and_close(&host, &i);
    let set = SetAttributes { permissions: Some(0o600), ..SetAttributes::default() };
    host.call(Operation::SetAttributes { node: i.clone(), handle: None, set }).expect("chmod");
    read_and_close(&host, &i);
    let truncating = OpenOptions { truncate: true, ..plain(Access::Write) };
    match host.call(Operation::Open { node: i, options: truncating }).expect("truncated") {
        Answer::Opened(open) => host.release(open.handle).expect("closes"),
        other => panic!("{other:?}"),
    }
    assert_eq!((strict.open_files(), host.device.delayed_closes()), (0, 0));
}

/// A file that is really open is another matter: the server's answer is told (EBUSY), and nothing
/// is tried twice for nothing.
#[test]
fn what_is_open_is_open() {
    let strict = Strict::new(8);
    let host = host(&strict);
    let node = file(&host, "f");
    let handle = host.open(&node, Access::Read).expect("opens");
    assert_eq!(unlink(&host, "f").err(), Some(Status::SharingViolation));
    assert_eq!(strict.count("unlink"), 1, "nothing waited: no second attempt");
    host.release(handle).expect("closes");
    assert_eq!(host.device.delayed_closes(), 0, "somebody wanted it gone: it is not kept");
    unlink(&host, "f").expect("removed");
}

/// Another name of the file may be what is removed: nothing waits any longer then. And what the
/// server refuses all the same is tried once more when nothing waits (rdbss.md 7.1, step 12).
#[test]
fn a_sharing_violation_is_tried_again_without_delayed_closes() {
    let strict = Strict::new(8);
    let host = host(&strict);
    let f = file(&host, "f");
    read_and_close(&host, &f);
    // A second name, which the core has not been told of.
    let number = strict.lock().names["f".as_bytes()];
    strict.lock().names.insert("link".into(), number);
    unlink(&host, "link").expect("removed");
    assert_eq!((strict.open_files(), strict.count("unlink")), (0, 1));
    // The core believes that another file is there; the server knows better.
    let g = file(&host, "g");
    read_and_close(&host, &f);
    strict.lock().names.insert("g".into(), number);
    unlink(&host, "g").expect("removed");
    assert_eq!(strict.count("unlink"), 3, "refused once, then tried again");
    drop(g);
}

/// S-12: a file removed while it was open gives its room back at its last close.
#[test]
fn a_removed_file_is_not_kept() {
    let strict = Strict::new(8);
    let host = host(&strict);
    let node = file(&host, "f");
    let handle = host.open(&node, Access::Read).expect("opens");
    // A server of the other kind: it removes what is open.
    let number = strict.lock().names["f".as_bytes()];
    strict.lock().open.clear();
    unlink(&host, "f").expect("removed");
    strict.lock().open.insert((number, false), 1);
    host.release(handle).expect("closes");
    assert_eq!((strict.open_files(), host.device.delayed_closes()), (0, 0));
}

/// The scavenger makes a close that nobody came back for: by the clock, not before.
#[test]
fn the_scavenger_goes_by_its_clock() {
    let strict = Strict::new(8);
    let clock = Arc::new(ManualClock::new());
    let host = host_with(&strict, clock.clone());
    let (f, g) = (file(&host, "f"), file(&host, "g"));
    read_and_close(&host, &f);
    clock.advance(Duration::from_secs(6));
    read_and_close(&host, &g);
    clock.advance(Duration::from_secs(4));
    wait_until("the first is closed", || strict.open_files() == 1);
    assert_eq!((host.device.delayed_closes(), strict.count("close")), (1, 1));
    // Wanted again: it waits anew.
    read_and_close(&host, &g);
    clock.advance(Duration::from_secs(9));
    read_and_close(&host, &f);
    assert_eq!(strict.count("close"), 1);
    clock.advance(Duration::from_secs(1));
    wait_until("the second is closed", || strict.open_files() == 1);
    assert_eq!(strict.count("close"), 2);
    clock.advance(Duration::from_secs(10));
    wait_until("nothing waits", || strict.open_files() == 0);
    wait_until("and nothing is inside", || host.device.status().requests_in_flight == 0);
}

/// Bounded for each server: at the bound the oldest is closed.
#[test]
fn delayed_closes_are_bounded() {
    let strict = Strict::new(2);
    let host = host(&strict);
    for called in ["f", "g", "h", "i"] {
        read_and_close(&host, &file(&host, called));
    }
    assert_eq!((host.device.delayed_closes(), strict.open_files()), (2, 2));
    let first = strict.lock().names["f".as_bytes()];
    assert_eq!(strict.count(&format!("close {first}")), 1, "the oldest went first");
}

/// A mini-redirector may refuse: then every handle is an open of its own, closed at once.
#[test]
fn an_unwilling_server_shares_nothing() {
    for strict in [Strict::new(0), Strict::new(8)] {
        strict.unwilling.store(true, Ordering::SeqCst);
        let host = host(&strict);
        let node = file(&host, "f");
        read_and_close(&host, &node);
        read_and_close(&host, &node);
        assert_eq!((strict.count("open"), strict.count("close")), (2, 2));
    }
    // It has changed its mind: what waits is closed, and another is opened.
    let strict = Strict::new(8);
    let host = host(&strict);
    let node = file(&host, "f");
    read_and_close(&host, &node);
    strict.unwilling.store(true, Ordering::SeqCst);
    read_and_close(&host, &node);
    assert_eq!((strict.count("open"), strict.count("close")), (2, 2));
}

/// Stop.md §4 step 5: a file the user closed does not count as open, and is closed before MRxStop.
#[test]
fn a_stop_sheds_delayed_closes_before_it_counts() {
    let strict = Strict::new(8);
    let host = host(&strict);
    for called in ["f", "g"] {
        read_and_close(&host, &file(&host, called));
    }
    let report = host.stop();
    assert_eq!((report.result, report.survivors_total), (CallResult::Success, 0));
    assert_eq!(strict.open_files(), 0);
    let calls = strict.lock().calls.clone();
    let ends: Vec<&str> = calls.iter().rev().take(3).map(String::as_str).collect();
    assert_eq!(ends[0], "stop", "{calls:?}");
    assert!(ends[1..].iter().all(|call| call.starts_with("close")), "{calls:?}");
    host.start();
}

/// Stop.md S6: a delayed close that the server never ends is waited for, and no longer than the
/// deadline.
#[test]
fn s6_a_delayed_close_that_hangs_holds_a_stop_until_its_deadline() {
    let strict = Strict::new(8);
    let host = host(&strict);
    read_and_close(&host, &file(&host, "f"));
    strict.null.hold("close", common::null::Hold::Stubbornly);
    let report = host.stop_with(StopOptions {
        deadline_s: Some(0.2),
        on_deadline: OnDeadline::Cancel,
        ..StopOptions::default()
    });
    assert_eq!(report.result, CallResult::Success, "nothing is lost with a close");
    strict.null.release();
    wait_until("it has ended", || strict.open_files() == 0);
}

/// The scavenger's own close is counted: a stop waits for it, names it, and gives it up at its
/// deadline.
#[test]
fn the_scavengers_close_is_counted_in_the_gate() {
    let strict = Strict::new(8);
    let clock = Arc::new(ManualClock::new());
    let host = host_with(&strict, clock.clone());
    read_and_close(&host, &file(&host, "f"));
    strict.null.hold("close", common::null::Hold::Stubbornly);
    clock.advance(Duration::from_secs(10));
    wait_until("it is closing", || strict.null.inside("close") == 1);
    assert_eq!(host.device.status().requests_in_flight, 1);
    assert_eq!(host.device.requests()[0].operation, "scavenge");
    let ticket = host.post_stop(StopOptions::default());
    wait_until("the stop waits for it", || {
        host.device.status().running.is_some_and(|running| running.step == "seal")
    });
    assert_eq!(strict.count("stop"), 0);
    strict.null.release();
    assert_eq!(host.wait(ticket).result, CallResult::Success);
    assert_eq!((strict.count("stop"), strict.open_files()), (1, 0));
}

fn both(host: &Host, node: &Node) -> (HandleNumber, HandleNumber) {
    let open = || host.open(node, Access::Read).expect("opens");
    (open(), open())
}

/// Stop.md S3: survivors that share an open: it is closed once, when the last of them closes, and
/// never waits.
#[test]
fn s3_survivors_that_share_an_open_close_it_once() {
    let strict = Strict::new(8);
    let host = host(&strict);
    let (one, two) = both(&host, &file(&host, "f"));
    let report = host.stop();
    assert_eq!((report.result, report.survivors_total), (CallResult::HasOpenHandles, 2));
    host.release(one).expect("closes");
    assert_eq!(strict.count("close"), 0, "the other one has it");
    host.release(two).expect("closes");
    assert_eq!((strict.count("close"), strict.open_files()), (1, 0));
    host.start();
}

/// Stop.md S4: each of them is reclaimed by itself, and the old open is closed once.
#[test]
fn s4_handles_that_share_an_open_are_reclaimed() {
    let strict = Strict::new(8);
    let host = host(&strict);
    let (one, two) = both(&host, &file(&host, "f"));
    host.stop();
    host.start();
    assert!(host.read(one, 0, 1).is_ok() && host.read(two, 0, 1).is_ok());
    assert_eq!(strict.open_files(), 2, "the two fresh ones; the old one is closed");
    host.release(one).expect("closes");
    host.release(two).expect("closes");
    assert_eq!(strict.open_files(), 0);
}

/// The server says that a file changed behind our back: what waits of it is closed.
#[test]
fn a_change_on_the_server_sheds_what_waits() {
    let strict = Strict::new(8);
    let host = host(&strict);
    host.device.attach_kernel(common::no_kernel());
    read_and_close(&host, &file(&host, "f"));
    let number = strict.lock().names["f".as_bytes()];
    let upcalls = strict.lock().upcalls.clone().expect("it was started");
    upcalls.invalidate_file(FileIdentity { number, generation: 0 });
    wait_until("it is closed", || strict.open_files() == 0);
}

/// Many readers open and close while others want the file gone: every open is closed once.
#[test]
fn opens_and_purges_race_without_a_leak() {
    let strict = Strict::new(2);
    let host = host(&strict);
    let set = SetAttributes { permissions: Some(0o600), ..SetAttributes::default() };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (host, called) = (&host, ["f", "g"][thread % 2]);
            scope.spawn(move || {
                let node = file(host, called);
                for round in 0..500 {
                    if round % 7 == thread {
                        let node = node.clone();
                        let set = Operation::SetAttributes { node, handle: None, set };
                        // Refused while another thread has it open: that is the server's word.
                        drop(host.call(set));
                    }
                    read_and_close(host, &node);
                }
            });
        }
    });
    assert!(host.device.delayed_closes() <= 2);
    assert_eq!(strict.open_files(), host.device.delayed_closes());
}
