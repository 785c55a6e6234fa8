//! The keeper: what is told is on disk, what does not fit is said, and a late answer is remembered.

use super::*;
use crate::app::unsent::store::look;
use crate::base::clock::SystemClock;
use crate::base::ids::Caller;
use crate::mrx::request::FileIdentity;
use crate::rdbss::context::Span;
use std::path::Path;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

fn keeper(directory: &Path) -> Arc<Keeper> {
    Keeper::start("bk".to_owned(), directory.join("bk"), SystemClock::shared()).expect("a thread")
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("room in /tmp")
}

fn lost(path: &[u8], data: Option<Arc<[u8]>>, bytes: u64) -> LostWrite {
    LostWrite {
        path: path.to_vec(),
        identity: FileIdentity { number: 7, generation: 8 },
        span: Some(Span { offset: 9, length: bytes }),
        bytes,
        append: false,
        data,
        error: "gone".to_owned(),
        lost_unix_s: 1.5,
        written_by: Caller::local(std::process::id(), 0, 0),
    }
}

/// S-51: when the report is told, the bytes are on disk where it says.
#[test]
fn what_is_settled_is_on_disk() {
    let directory = scratch();
    let keeper = keeper(directory.path());
    assert!(!directory.path().join("bk").exists(), "nothing is made before there is something");
    assert!(keeper.settle(SOON));
    keeper.keep(LossNumber(1), lost(b"a", Some(Arc::from(&b"12345"[..])), 5));
    keeper.keep(LossNumber(2), lost(b"a", None, 6));
    assert!(keeper.settle(SOON));
    let kept = keeper.kept(LossNumber(1));
    let file = kept.file.expect("its bytes were at hand");
    assert_eq!(std::fs::read(file).expect("there"), b"12345");
    assert!(kept.command.is_some_and(|name| !name.is_empty()), "this process has a name");
    let bare = keeper.kept(LossNumber(2));
    assert_eq!((bare.file, bare.why_not.as_deref()), (None, Some("its bytes were not at hand")));
    assert_eq!(keeper.kept(LossNumber(3)), Kept::default());
    assert_eq!(keeper.summary(), UnsentSummary { files: 1, bytes: 11 });
    let entries = keeper.entries().expect("readable");
    assert_eq!((entries[0].file_number, entries[0].file_generation), (7, 8));
    assert_eq!((entries[0].offset, entries[0].unchanged_unix_s), (Some(9), 1.5));
}

/// S-52: the next daemon of the name finds it, and goes on where this one ended.
#[test]
fn the_next_daemon_finds_it() {
    let directory = scratch();
    let first = keeper(directory.path());
    first.keep(LossNumber(1), lost(b"a", Some(Arc::from(&b"1"[..])), 1));
    // Ending writes what is queued.
    first.close();
    drop(first);
    let second = keeper(directory.path());
    assert_eq!(second.summary(), UnsentSummary { files: 1, bytes: 1 });
    second.keep(LossNumber(1), lost(b"b", Some(Arc::from(&b"2"[..])), 1));
    assert!(second.settle(SOON));
    let numbers: Vec<u64> =
        second.entries().expect("readable").iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [1, 2]);
    second.remove(numbers);
    assert!(second.settle(SOON));
    assert_eq!(second.summary(), UnsentSummary::default());
}

/// S-54: a write that reaches the server late is not replayed; also if it does so at once.
#[test]
fn what_arrives_late_is_marked() {
    let directory = scratch();
    let keeper = keeper(directory.path());
    for number in [1, 2] {
        keeper.keep(LossNumber(number), lost(b"a", Some(Arc::from(&b"1"[..])), 1));
    }
    keeper.arrived(LossNumber(2));
    keeper.arrived(LossNumber(77));
    assert!(keeper.settle(SOON));
    let arrived: Vec<bool> =
        keeper.entries().expect("readable").iter().map(|entry| entry.arrived).collect();
    assert_eq!(arrived, [false, true]);
    keeper.arrived(LossNumber(1));
    assert!(keeper.settle(SOON));
    assert_eq!(keeper.summary(), UnsentSummary::default());
    keeper.unchanged(vec![1], 99.5);
    assert!(keeper.settle(SOON));
    assert_eq!(keeper.entries().expect("readable")[0].unchanged_unix_s, 99.5);
}

/// S-51: over the bound a loss is named and not kept, and says so; room that is given back is room.
#[test]
fn what_does_not_fit_is_said() {
    let directory = scratch();
    let keeper = keeper(directory.path());
    for number in 1..=UNSENT_ENTRIES_MAX as u64 + 1 {
        keeper.keep(LossNumber(number), lost(b"a", None, 1));
    }
    assert!(keeper.settle(Duration::from_secs(120)));
    assert_eq!(look(&directory.path().join("bk")).expect("readable").len(), UNSENT_ENTRIES_MAX);
    let over = keeper.kept(LossNumber(UNSENT_ENTRIES_MAX as u64 + 1));
    assert!(over.why_not.is_some_and(|why| why.contains("are kept already")));
    keeper.remove((1..=10).collect());
    assert!(keeper.settle(SOON));
    let data: Arc<[u8]> = vec![0; 1024 * 1024].into();
    let most = UNSENT_BYTES_MAX / data.len() as u64;
    keeper.shared.state.lock().bytes = (most - 1) * data.len() as u64;
    keeper.keep(LossNumber(5000), lost(b"a", Some(data.clone()), data.len() as u64));
    keeper.keep(LossNumber(5001), lost(b"a", Some(data.clone()), data.len() as u64));
    assert!(keeper.settle(SOON));
    assert!(keeper.kept(LossNumber(5000)).file.is_some(), "just fits");
    assert!(keeper.kept(LossNumber(5001)).file.is_none(), "does not fit");
}

/// S-51: with no directory to keep it in, a loss is named all the same.
#[test]
fn a_state_directory_that_is_none_stops_nothing() {
    let directory = scratch();
    std::fs::write(directory.path().join("bk"), "a file").expect("room in /tmp");
    let keeper = keeper(directory.path());
    keeper.keep(LossNumber(1), lost(b"a", Some(Arc::from(&b"1"[..])), 1));
    assert!(keeper.settle(SOON));
    let kept = keeper.kept(LossNumber(1));
    assert!(kept.file.is_none() && kept.why_not.is_some(), "{kept:?}");
    assert!(keeper.entries().expect("none").is_empty());
    assert!(std::fs::remove_file(directory.path().join("bk")).is_ok());
    keeper.keep(LossNumber(2), lost(b"a", Some(Arc::from(&b"1"[..])), 1));
    assert!(keeper.settle(SOON));
    assert!(keeper.kept(LossNumber(2)).file.is_some(), "it can be used now");
}

/// One replay or discard at a time.
#[test]
fn one_settles_at_a_time() {
    let directory = scratch();
    let keeper = keeper(directory.path());
    let first = keeper.begin();
    assert!(first.is_some() && keeper.begin().is_none());
    drop(first);
    assert!(keeper.begin().is_some());
}
