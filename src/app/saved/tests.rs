//! The record of a mount: on disk when it is said to be, replaced as a whole, gone at an orderly
//! end.

use super::*;
use crate::base::clock::SystemClock;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A saver below a directory, and the generation of what it writes.
fn saver(directory: &TempDir) -> (Arc<Saver>, Arc<AtomicU64>, PathBuf) {
    let state_dir = directory.path().join("state/bk");
    let generation = Arc::new(AtomicU64::new(1));
    let now = Arc::clone(&generation);
    let content: Content = Box::new(move |_| {
        let generation = now.load(Ordering::SeqCst);
        serde_json::to_vec(&MountRecord { generation, ..MountRecord::new() }).ok()
    });
    let saver = Saver::start(state_dir.clone(), SystemClock::shared(), content);
    (saver.expect("room for a thread"), generation, state_dir)
}

fn written(state_dir: &Path) -> Option<u64> {
    MountRecord::read(state_dir).expect("readable").map(|record| record.generation)
}

/// What is settled is on disk, and not older than when it was asked for last, in a file that is
/// nobody else's.
#[test]
fn what_is_settled_is_on_disk() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let (saver, generation, state_dir) = saver(&directory);
    assert_eq!(written(&state_dir), None, "nothing is made before there is something");
    saver.save(ConfigScope::Mount);
    assert_eq!(saver.settle(SOON), Ok(()));
    assert_eq!(written(&state_dir), Some(1));
    generation.store(2, Ordering::SeqCst);
    saver.save(ConfigScope::Mount);
    assert_eq!(saver.settle(SOON), Ok(()));
    assert_eq!(written(&state_dir), Some(2));
    for now in 3..50 {
        generation.store(now, Ordering::SeqCst);
        saver.save(ConfigScope::Mount);
    }
    assert_eq!(saver.settle(SOON), Ok(()));
    assert_eq!(written(&state_dir), Some(49), "the last, however many came at once");
    let file = state_dir.join("mount.json");
    let mode = file.metadata().expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    assert_eq!(std::fs::read_dir(&state_dir).expect("there").count(), 1, "nothing half made");
}

/// What a crash left half made is in nobody's way.
#[test]
fn what_a_crash_left_is_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let (saver, _, state_dir) = saver(&directory);
    std::fs::create_dir_all(&state_dir).expect("made");
    std::fs::write(state_dir.join("mount.json.new"), "half").expect("written");
    saver.save(ConfigScope::Mount);
    assert_eq!(saver.settle(SOON), Ok(()));
    assert_eq!(written(&state_dir), Some(1));
    assert_eq!(std::fs::read_dir(&state_dir).expect("there").count(), 1);
}

/// An orderly end leaves nothing; one that is not leaves the record; what else is there stays.
#[test]
fn an_orderly_end_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    for (forget, other) in [(true, false), (true, true), (false, false)] {
        let (saver, _, state_dir) = saver(&directory);
        saver.save(ConfigScope::Mount);
        assert_eq!(saver.settle(SOON), Ok(()));
        if other {
            std::fs::create_dir(state_dir.join("unsent")).expect("made");
        }
        saver.close(forget);
        assert_eq!(written(&state_dir), (!forget).then_some(1));
        assert_eq!(state_dir.exists(), other || !forget);
        if other {
            std::fs::remove_dir_all(&state_dir).expect("removed");
        }
    }
}

/// A daemon that never came so far leaves the record of the one before alone.
#[test]
fn what_was_never_asked_for_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (before, _, state_dir) = saver(&directory);
    before.save(ConfigScope::Mount);
    before.close(false);
    let (failed, ..) = saver(&directory);
    failed.close(true);
    assert_eq!(written(&state_dir), Some(1));
}

/// Once it is closed nothing is written, and nobody waits for it.
#[test]
fn what_is_closed_keeps_nobody_waiting() {
    let directory = tempfile::tempdir().expect("a directory");
    let (saver, generation, state_dir) = saver(&directory);
    saver.save(ConfigScope::Mount);
    saver.close(false);
    generation.store(2, Ordering::SeqCst);
    saver.save(ConfigScope::Mount);
    assert_eq!(saver.settle(SOON), Ok(()));
    assert_eq!(written(&state_dir), Some(1));
}

/// A directory that cannot be used is said, with the place, and again until it can be.
#[test]
fn what_cannot_be_kept_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("state"), "in the way").expect("written");
    let (saver, _, state_dir) = saver(&directory);
    saver.save(ConfigScope::Mount);
    let why = saver.settle(SOON).expect_err("there is no directory");
    assert!(why.contains(state_dir.to_str().expect("text")) && !why.contains('\n'), "{why}");
    std::fs::remove_file(directory.path().join("state")).expect("removed");
    assert_eq!(saver.settle(SOON), Err(why), "until it is written");
    saver.save(ConfigScope::Mount);
    assert_eq!(saver.settle(SOON), Ok(()));
}

/// The command of a record mounts the same again.
#[test]
fn a_record_is_a_command() {
    let record = MountRecord {
        name: "bk".to_owned(),
        source: "local:/srv/data".to_owned(),
        mount_point: "/mnt/bk".to_owned(),
        options: ["ro", "nosuid", "nodev", "fsname=a\\,b"].map(str::to_owned).to_vec(),
        rpc: vec!["--rpc".to_owned(), "ncalrpc:[/run/x/Y]".to_owned()],
        ..MountRecord::new()
    };
    assert_eq!(
        record.command(),
        [
            "minirdr",
            "mount",
            "local:/srv/data",
            "/mnt/bk",
            "--name",
            "bk",
            "-o",
            "ro,fsname=a\\,b",
            "--rpc",
            "ncalrpc:[/run/x/Y]"
        ]
    );
    let file = Some("/etc/net.toml".to_owned());
    let several = MountRecord {
        source: "config:/etc/net.toml".to_owned(),
        config_file: file,
        options: Vec::new(),
        rpc: Vec::new(),
        ..record
    };
    let words = ["minirdr", "mount", "--config", "/etc/net.toml", "/mnt/bk", "--name", "bk"];
    assert_eq!(several.command(), words);
}
