//! Change notification.

use super::*;
use crate::base::limits::CHANGES_KEPT;

fn request(
    rig: &Rig,
    handle: &Handle,
    context: &TestContext,
) -> Receiver<Result<Vec<Change>, Status>> {
    pended(|submission| rig.memory.notify_change_directory(context, handle.open(), submission))
}

fn kept(rig: &Rig, handle: &Handle) -> Result<Vec<Change>, Status> {
    let context = TestContext::new();
    done(|submission| rig.memory.notify_change_directory(&context, handle.open(), submission))
}

fn change(entry: &str, kind: ChangeKind) -> Change {
    Change { name: Some(name(entry)), kind }
}

/// A watched directory: its first request has been answered by the making of `first`.
fn watched() -> (Rig, Found, Handle) {
    let rig = Rig::new();
    let directory = rig.mkdir(&rig.root, "d");
    let handle = rig.open(&directory, READ).expect("opened");
    let answer = request(&rig, &handle, &TestContext::new());
    assert!(answer.try_recv().is_err(), "nothing has happened");
    rig.create(&directory, "first");
    assert_eq!(outcome(&answer), Ok(vec![change("first", ChangeKind::Added)]));
    (rig, directory, handle)
}

#[test]
fn what_happens_between_two_requests_is_kept_in_order() {
    let (rig, directory, handle) = watched();
    rig.mkdir(&directory, "e");
    rig.rename((&directory, "first"), (&directory, "f"), RenameMode::Replace).expect("moved");
    rig.rmdir(&directory, "e").expect("removed");
    rig.unlink(&directory, "f").expect("removed");
    let expected = [
        change("e", ChangeKind::Added),
        change("first", ChangeKind::Removed),
        change("f", ChangeKind::Added),
        change("e", ChangeKind::Removed),
        change("f", ChangeKind::Removed),
    ];
    assert_eq!(kept(&rig, &handle), Ok(expected.to_vec()));
}

#[test]
fn content_and_attributes_are_told_under_every_name() {
    let (rig, directory, handle) = watched();
    let file = rig.lookup(&directory, "first").expect("there");
    rig.link(&file, &directory, "second").expect("linked");
    rig.link(&file, &rig.root, "elsewhere").expect("linked");
    kept(&rig, &handle).expect("kept");
    let writer = rig.open(&file, READ_WRITE).expect("opened");
    rig.write(&writer, 0, b"x").expect("written");
    rig.chmod(&file, 0o600);
    let expected = [
        change("first", ChangeKind::Modified),
        change("second", ChangeKind::Modified),
        change("first", ChangeKind::Attributes),
        change("second", ChangeKind::Attributes),
    ];
    assert_eq!(kept(&rig, &handle), Ok(expected.to_vec()));
    for _ in 0..10 {
        rig.truncate(&file, 0).expect("cut");
    }
    let told = kept(&rig, &handle).expect("kept");
    assert!(told.iter().all(|change| change.kind == ChangeKind::Modified));
}

#[test]
fn a_file_written_in_a_loop_is_one_change() {
    let (rig, directory, handle) = watched();
    let file = rig.lookup(&directory, "first").expect("there");
    let writer = rig.open(&file, READ_WRITE).expect("opened");
    for _ in 0..10 * CHANGES_KEPT {
        rig.write(&writer, 0, b"x").expect("written");
    }
    assert_eq!(kept(&rig, &handle), Ok(vec![change("first", ChangeKind::Modified)]));
}

#[test]
fn more_than_can_be_kept_is_an_overflow() {
    let (rig, directory, handle) = watched();
    for number in 0..CHANGES_KEPT {
        rig.create(&directory, &number.to_string());
    }
    assert_eq!(kept(&rig, &handle).map(|changes| changes.len()), Ok(CHANGES_KEPT));
    for number in 0..=CHANGES_KEPT {
        rig.create(&directory, &format!("{number} more"));
    }
    rig.create(&directory, "and one after");
    let overflow = Change { name: None, kind: ChangeKind::Overflow };
    assert_eq!(kept(&rig, &handle), Ok(vec![overflow]));
    rig.create(&directory, "fresh");
    assert_eq!(kept(&rig, &handle), Ok(vec![change("fresh", ChangeKind::Added)]));
}

#[test]
fn a_directory_tells_of_itself_and_of_its_end() {
    let (rig, directory, handle) = watched();
    rig.chmod(&directory, 0o700);
    let of_itself = |kind| Change { name: None, kind };
    assert_eq!(kept(&rig, &handle), Ok(vec![of_itself(ChangeKind::Attributes)]));
    rig.unlink(&directory, "first").expect("removed");
    kept(&rig, &handle).expect("kept");
    let answer = request(&rig, &handle, &TestContext::new());
    rig.rmdir(&rig.root, "d").expect("removed");
    assert_eq!(outcome(&answer), Ok(vec![of_itself(ChangeKind::Removed)]));
    assert_eq!(kept(&rig, &handle), Err(Status::ObjectNameNotFound));
    let late = rig.open(&directory, READ).expect("still open");
    assert_eq!(kept(&rig, &late), Err(Status::ObjectNameNotFound));
}

#[test]
fn replaced_and_exchanged_names_are_told_in_both_directories() {
    let (rig, directory, handle) = watched();
    rig.create(&rig.root, "outside");
    let replacing = rig.rename((&rig.root, "outside"), (&directory, "first"), RenameMode::Replace);
    replacing.expect("moved");
    let swapped = [change("first", ChangeKind::Removed), change("first", ChangeKind::Added)];
    assert_eq!(kept(&rig, &handle), Ok(swapped.to_vec()));
    rig.create(&rig.root, "other");
    let exchange = rig.rename((&rig.root, "other"), (&directory, "first"), RenameMode::Exchange);
    exchange.expect("exchanged");
    assert_eq!(kept(&rig, &handle), Ok(swapped.to_vec()));
}

#[test]
fn a_cancelled_request_ends_and_the_next_one_is_served() {
    let (rig, directory, handle) = watched();
    let context = TestContext::new();
    let answer = request(&rig, &handle, &context);
    let second = request(&rig, &handle, &TestContext::new());
    context.cancel();
    assert_eq!(outcome(&answer), Err(Status::Cancelled));
    rig.create(&directory, "x");
    assert_eq!(outcome(&second), Ok(vec![change("x", ChangeKind::Added)]));
    let cancelled = TestContext::new();
    cancelled.cancel();
    assert_eq!(outcome(&request(&rig, &handle, &cancelled)), Err(Status::Cancelled));
}

#[test]
fn each_open_has_a_view_of_its_own_and_closing_ends_its_requests() {
    let (rig, directory, handle) = watched();
    let other = rig.open(&directory, READ).expect("opened");
    let answer = request(&rig, &other, &TestContext::new());
    rig.create(&directory, "x");
    let expected = Ok(vec![change("x", ChangeKind::Added)]);
    assert_eq!((outcome(&answer), kept(&rig, &handle)), (expected.clone(), expected));
    let answer = request(&rig, &other, &TestContext::new());
    drop(other);
    assert_eq!(outcome(&answer), Err(Status::Cancelled));
    rig.create(&directory, "y");
    assert_eq!(kept(&rig, &handle), Ok(vec![change("y", ChangeKind::Added)]));
}

#[test]
fn only_directories_can_be_watched() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    assert_eq!(kept(&rig, &handle), errno(Errno::ENOTDIR));
}

#[test]
fn no_change_is_lost_between_threads() {
    let (rig, directory, handle) = watched();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..500 {
                drop(rig.create(&directory, &number.to_string()));
            }
        });
        let mut seen = 0;
        while seen < 500 {
            let (sender, receiver) = mpsc::channel();
            let mut pend = || {
                let sender = sender.clone();
                Completer::new(move |result| drop(sender.send(result)))
            };
            let context = TestContext::new();
            let submission = Submission::new(&mut pend);
            let told = rig.memory.notify_change_directory(&context, handle.open(), submission);
            let changes = match told {
                LowIo::Done(changes) => changes,
                LowIo::Pending => outcome(&receiver),
            };
            for change in changes.expect("told") {
                if change.kind == ChangeKind::Overflow {
                    // The reader was slow: then the rest is told by a fresh look.
                    seen = 500;
                    break;
                }
                assert_eq!(change, super::notify::change(&seen.to_string(), ChangeKind::Added));
                seen += 1;
            }
        }
    });
}
