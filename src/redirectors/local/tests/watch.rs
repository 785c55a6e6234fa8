//! Change notification by inotify.

use super::{Served, errno, name};
use crate::base::limits::CHANGES_KEPT;
use crate::base::status::{Errno, Status};
use crate::mrx::calldown::MiniRedirector;
use crate::mrx::request::{Access, Change, ChangeKind};
use crate::redirectors::test_support::{LIMIT, TestContext, TestFile, TestOpen, opening, submit};
use std::fs;
use std::sync::mpsc::Receiver;

type Told = Receiver<Result<Vec<Change>, Status>>;

fn ask(served: &Served, open: &TestOpen, context: &TestContext) -> Told {
    submit(|submission| served.local.notify_change_directory(context, open.as_ref(), submission))
}

/// Is there an inotify descriptor?
fn is_live(served: &Served) -> bool {
    served.local.watches.state.lock().live.is_some()
}

/// Reads on until so many changes have been told.
fn told(served: &Served, open: &TestOpen, first: Told, wanted: usize) -> Vec<Change> {
    let (mut all, mut told) = (Vec::new(), first);
    loop {
        all.extend(told.recv_timeout(LIMIT).expect("told in time").expect("told"));
        if all.len() >= wanted {
            return all;
        }
        told = ask(served, open, &TestContext::new());
    }
}

fn change(entry: &str, kind: ChangeKind) -> Change {
    Change { name: Some(name(entry)), kind }
}

fn watched() -> (Served, TestFile, TestOpen) {
    let served = Served::new();
    let directory = served.make_directory(&served.root, "d").expect("made");
    let open = served.open(&directory, opening(Access::Read)).expect("opened");
    (served, directory, open)
}

#[test]
fn what_others_do_in_the_directory_is_told_in_order() {
    let (served, _, open) = watched();
    let first = ask(&served, &open, &TestContext::new());
    assert!(first.try_recv().is_err(), "nothing has happened");
    fs::write(served.path("d/a"), b"x").expect("written");
    fs::rename(served.path("d/a"), served.path("d/b")).expect("renamed");
    fs::create_dir(served.path("d/sub")).expect("made");
    // Further down is not its own.
    fs::write(served.path("d/sub/deep"), b"x").expect("written");
    fs::set_permissions(
        served.path("d/b"),
        fs::metadata(served.path("d")).expect("there").permissions(),
    )
    .expect("changed");
    fs::remove_file(served.path("d/b")).expect("removed");
    let expected = [
        change("a", ChangeKind::Added),
        change("a", ChangeKind::Modified),
        change("a", ChangeKind::Removed),
        change("b", ChangeKind::Added),
        change("sub", ChangeKind::Added),
        change("b", ChangeKind::Attributes),
        change("b", ChangeKind::Removed),
    ];
    assert_eq!(told(&served, &open, first, expected.len()), expected);
}

#[test]
fn what_we_do_ourselves_is_told_as_well() {
    let (served, directory, open) = watched();
    let first = ask(&served, &open, &TestContext::new());
    let file = served.create(&directory, "a").expect("created");
    served.write(&file, 0, b"x").expect("written");
    served.unlink(&directory, "a").expect("removed");
    let told = told(&served, &open, first, 3);
    let kinds: Vec<_> = told.iter().map(|change| change.kind).collect();
    assert_eq!(kinds.first(), Some(&ChangeKind::Added));
    assert!(kinds.contains(&ChangeKind::Modified), "{told:?}");
}

/// The system does not say it while the directory is open: the one above does.
#[test]
fn the_end_of_the_directory_is_told() {
    for moved in [false, true] {
        let (served, _, open) = watched();
        let told = ask(&served, &open, &TestContext::new());
        match moved {
            true => fs::rename(served.path("d"), served.path("e")).expect("renamed"),
            false => fs::remove_dir(served.path("d")).expect("removed"),
        }
        let told = told.recv_timeout(LIMIT).expect("told in time").expect("told");
        assert_eq!(told[0], Change { name: None, kind: ChangeKind::Removed });
    }
    let (served, _, open) = watched();
    fs::remove_dir(served.path("d")).expect("removed");
    let late = ask(&served, &open, &TestContext::new()).recv_timeout(LIMIT).expect("at once");
    assert_eq!(errno(late), Some(Errno::ENOENT));
    assert!(!is_live(&served), "nobody is left");
}

#[test]
fn the_first_watch_makes_the_descriptor_and_the_last_takes_it_away() {
    let (served, directory, open) = watched();
    assert!(!is_live(&served));
    let first = ask(&served, &open, &TestContext::new());
    let other = served.open(&directory, opening(Access::Read)).expect("opened");
    let second = ask(&served, &other, &TestContext::new());
    assert!(is_live(&served));
    drop(other);
    let cancelled = second.recv_timeout(LIMIT).expect("ended");
    assert_eq!(cancelled, Err(Status::Cancelled));
    fs::write(served.path("d/a"), b"").expect("written");
    let told = first.recv_timeout(LIMIT).expect("told in time").expect("told");
    assert_eq!(told[0], change("a", ChangeKind::Added), "the other one goes on");
    drop(open);
    assert!(!is_live(&served));
}

#[test]
fn more_than_is_kept_is_an_overflow() {
    let (served, _, open) = watched();
    let first = ask(&served, &open, &TestContext::new());
    fs::write(served.path("d/first"), b"").expect("written");
    first.recv_timeout(LIMIT).expect("told in time").expect("told");
    for at in 0..2 * CHANGES_KEPT {
        fs::write(served.path(format!("d/{at}")), b"").expect("written");
    }
    // The reader is slower than the directory: sooner or later it is told that it was.
    loop {
        let told = ask(&served, &open, &TestContext::new()).recv_timeout(LIMIT).expect("told");
        let told = told.expect("told");
        if told.iter().any(|change| change.kind == ChangeKind::Overflow) {
            break;
        }
        for at in 0..2 * CHANGES_KEPT {
            fs::write(served.path(format!("d/{at} more")), b"x").expect("written");
            fs::remove_file(served.path(format!("d/{at} more"))).expect("removed");
        }
    }
}

#[test]
fn a_stop_ends_the_watches_and_a_cancel_its_request() {
    let (served, directory, open) = watched();
    let context = TestContext::new();
    let cancelled = ask(&served, &open, &context);
    assert!(context.cancel(), "it can be cancelled");
    assert_eq!(cancelled.recv_timeout(LIMIT).expect("ended"), Err(Status::Cancelled));
    let pending = ask(&served, &open, &TestContext::new());
    served.local.stop(&TestContext::new()).expect("stopped");
    assert_eq!(pending.recv_timeout(LIMIT).expect("ended"), Err(Status::Cancelled));
    assert!(!is_live(&served));
    drop(open);
    let late = served.open(&directory, opening(Access::Read)).expect("opened");
    let late = ask(&served, &late, &TestContext::new()).recv_timeout(LIMIT).expect("at once");
    assert_eq!(late, Err(Status::RedirectorNotStarted));
}

#[test]
fn only_directories_can_be_watched() {
    let served = Served::new();
    let open = served.create(&served.root, "f").expect("created");
    let told = ask(&served, &open, &TestContext::new()).recv_timeout(LIMIT).expect("at once");
    assert_eq!(errno(told), Some(Errno::ENOTDIR));
}
