//! What a mini-redirector holds back until it is committed, when nobody waits for the commit any
//! more (design README, invariant 9): it is committed at the close, or named.

mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, LIMIT, wait_until};
use minirdr::base::ids::HandleNumber;
use minirdr::base::status::{Errno, Status};
use minirdr::base::stop::CallResult;
use minirdr::rdbss::operation::Operation;
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::register::DeviceOptions;
use std::sync::Arc;
use std::time::Duration;

/// A host that gives a request up after `limit`, and a handle with 100 bytes written.
fn dirty(null: &Arc<Null>, limit: Duration) -> (Host, HandleNumber) {
    let served = null.clone();
    let options = DeviceOptions { request_deadline: Some(limit), ..DeviceOptions::default() };
    let host = Host::new(Box::new(move || Arc::new(NullRedirector(served.clone()))), options);
    host.start();
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    let handle = host.open(&file, Access::ReadWrite).expect("opens");
    assert_eq!(host.write(handle, 0, &[1; 100]), Ok(100));
    (host, handle)
}

fn losses(host: &Host) -> Vec<u64> {
    let report = host.stop();
    let lost: Vec<u64> = report.losses.iter().map(|loss| loss.bytes).collect();
    let expected = if lost.is_empty() { CallResult::Success } else { CallResult::Lost };
    assert_eq!(report.result, expected, "{report:?}");
    host.start();
    lost
}

const EIO: Status = Status::Posix(Errno::EIO);
const FOR_EVER: Duration = Duration::from_secs(600);

/// A close without a FLUSH commits: page write-back comes after the last close(2).
#[test]
fn what_no_flush_has_committed_is_committed_at_the_close() {
    for null in [Null::inline(), Null::posted()] {
        let (host, handle) = dirty(&null, FOR_EVER);
        host.release(handle).expect("closes");
        let calls = null.calls();
        let at = |call| calls.iter().position(|made| *made == call);
        assert!(at("commit").is_some() && at("commit") < at("close"), "{calls:?}");
        assert_eq!(losses(&host), [0; 0]);
    }
}

/// One that fails there has nobody else to tell it: it is a loss.
#[test]
fn a_commit_that_fails_at_the_close_is_a_loss() {
    let null = Null::posted();
    let (host, handle) = dirty(&null, FOR_EVER);
    null.hold("commit", Hold::Fail);
    host.release(handle).expect("a close always closes");
    null.release();
    assert_eq!(losses(&host), [100]);
    assert_eq!(losses(&host), [0; 0], "once");
}

/// What close(2) has told its program is no secret, and no loss besides.
#[test]
fn what_a_flush_has_told_is_not_named_again() {
    let null = Null::posted();
    let (host, handle) = dirty(&null, FOR_EVER);
    null.hold("commit", Hold::Fail);
    assert_eq!(host.call(Operation::Flush { handle }).err(), Some(EIO));
    host.release(handle).expect("closes");
    null.release();
    assert_eq!(losses(&host), [0; 0]);
    // What is written after it was told is another matter.
    let (host, handle) = dirty(&null, FOR_EVER);
    null.hold("commit", Hold::Fail);
    assert_eq!(host.call(Operation::Flush { handle }).err(), Some(EIO));
    assert_eq!(host.write(handle, 100, &[2; 50]), Ok(50));
    host.release(handle).expect("closes");
    null.release();
    assert_eq!(losses(&host), [150]);
}

/// A FLUSH whose caller was let go: if it fails afterwards, the close commits.
#[test]
fn a_flush_that_fails_too_late_is_made_up_for_at_the_close() {
    let null = Null::posted();
    let (host, handle) = dirty(&null, Duration::from_millis(100));
    null.hold("commit", Hold::FailWhenReleased);
    let flush = host.submit(Operation::Flush { handle });
    assert_eq!(flush.recv_timeout(LIMIT).expect("let go").err(), Some(Status::IoTimeout));
    null.release();
    wait_until("it has failed", || host.device.requests().is_empty());
    host.release(handle).expect("closes");
    assert_eq!(null.calls().iter().filter(|call| **call == "commit").count(), 2);
    assert_eq!(losses(&host), [0; 0]);
}

/// The same when the handle is closed first: then it is a loss, named once.
#[test]
fn a_flush_that_fails_after_the_close_is_a_loss() {
    let null = Null::posted();
    let (host, handle) = dirty(&null, Duration::from_millis(100));
    null.hold("commit", Hold::FailWhenReleased);
    let flush = host.submit(Operation::Flush { handle });
    assert_eq!(flush.recv_timeout(LIMIT).expect("let go").err(), Some(Status::IoTimeout));
    host.release(handle).expect("closes");
    null.release();
    wait_until("it has failed", || host.device.requests().is_empty());
    assert_eq!(losses(&host), [100]);
}
