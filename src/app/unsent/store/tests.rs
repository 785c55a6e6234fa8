//! The directory: what is added comes back, nothing half made is an entry, and nobody else's file
//! is read or written through it.

use super::*;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use tempfile::TempDir;

fn scratch() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("room in /tmp");
    let state_dir = directory.path().join("state").join("bk");
    (directory, state_dir)
}

fn entry(path: &[u8], bytes: u64) -> UnsentEntry {
    UnsentEntry {
        path: path.to_vec(),
        bytes,
        offset: Some(3),
        error: "gone".to_owned(),
        lost_unix_s: 5.25,
        ..UnsentEntry::default()
    }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("is there").permissions().mode() & 0o7777
}

/// S-52: what was kept is there after the daemon, whatever its name: no name is a file's name here.
#[test]
fn what_is_kept_comes_back() {
    let (_directory, state_dir) = scratch();
    assert!(Store::open(&state_dir).expect("nothing to refuse").is_none());
    assert!(look(&state_dir).expect("nothing to refuse").is_empty());
    let names: [&[u8]; 5] = [b"../../etc/passwd", b"/abs", b"a\n\xff\0", b"1.json", &[b'x'; 4096]];
    {
        let store = Store::make(&state_dir).expect("room in /tmp");
        for (name, number) in names.iter().zip(1..) {
            let mut kept = entry(name, 5);
            store.add(&mut kept, Some(b"bytes")).expect("room in /tmp");
            assert_eq!(kept.number, number);
        }
        let mut bare = entry(b"bare", 9);
        store.add(&mut bare, None).expect("room in /tmp");
        store.sync().expect("room in /tmp");
    }
    assert_eq!(mode(&state_dir.join("unsent")), 0o700);
    assert_eq!(mode(&state_dir.join("unsent/1.json")), 0o600);
    assert_eq!(mode(&state_dir.join("unsent/1.data")), 0o600);
    let store = Store::open(&state_dir).expect("own").expect("there");
    let entries = store.entries().expect("readable");
    assert_eq!(entries, look(&state_dir).expect("readable"), "the same without the lock");
    let paths: Vec<&[u8]> = entries.iter().map(|entry| entry.path.as_slice()).collect();
    assert_eq!(paths[..5], names);
    assert_eq!(store.data(&entries[2]).expect("kept"), b"bytes");
    assert_eq!((entries[0].lost_unix_s, entries[0].offset), (5.25, Some(3)));
    assert_eq!(entries[5].kept_in, None);
    let mut next = entry(b"next", 1);
    store.add(&mut next, Some(b"x")).expect("room in /tmp");
    assert_eq!(next.number, 7, "no number comes twice");
    store.remove(1).expect("own");
    store.remove(1).expect("gone already is gone");
    assert_eq!(store.entries().expect("readable").len(), 6);
    assert!(!state_dir.join("unsent/1.data").exists());
}

/// Two may not change it at once; looking needs no lock.
#[test]
fn one_at_a_time() {
    let (_directory, state_dir) = scratch();
    let held = Store::make(&state_dir).expect("room in /tmp");
    assert!(matches!(Store::open(&state_dir), Err(StoreError::Busy(_))));
    assert!(look(&state_dir).is_ok());
    drop(held);
    assert!(Store::open(&state_dir).is_ok());
}

/// The record makes the entry: bytes without one, and a record not renamed yet, are swept.
#[test]
fn a_crash_leaves_no_half_an_entry() {
    let (_directory, state_dir) = scratch();
    let store = Store::make(&state_dir).expect("room in /tmp");
    store.add(&mut entry(b"a", 1), Some(b"x")).expect("room in /tmp");
    drop(store);
    let inside = state_dir.join("unsent");
    for name in ["7.data", "8.new", "notes.txt"] {
        std::fs::write(inside.join(name), "half").expect("room in /tmp");
    }
    let store = Store::open(&state_dir).expect("own").expect("there");
    assert_eq!(store.entries().expect("readable").len(), 1);
    assert!(!inside.join("7.data").exists() && !inside.join("8.new").exists());
    assert!(inside.join("notes.txt").exists(), "not ours, not touched");
}

/// A record that cannot be read is listed as such, and can be removed.
#[test]
fn a_damaged_record_is_named() {
    let (_directory, state_dir) = scratch();
    let store = Store::make(&state_dir).expect("room in /tmp");
    store.add(&mut entry(b"a", 2), Some(b"x")).expect("room in /tmp");
    let inside = state_dir.join("unsent");
    std::fs::write(inside.join("2.json"), "{").expect("room in /tmp");
    let entries = store.entries().expect("readable");
    assert_eq!(entries.len(), 2);
    assert!(entries[1].error.contains("2.json cannot be read"), "{:?}", entries[1]);
    assert!(store.data(&entries[0]).is_err(), "fewer bytes than the record says");
    store.remove(2).expect("own");
    assert_eq!(store.entries().expect("readable").len(), 1);
}

/// Nobody's file is read or written through a link planted in a state directory.
#[test]
fn planted_links_are_not_followed() {
    let (directory, state_dir) = scratch();
    let outside = directory.path().join("outside");
    std::fs::create_dir_all(outside.join("unsent")).expect("room in /tmp");
    std::fs::create_dir_all(state_dir.parent().expect("one above")).expect("room in /tmp");
    symlink(&outside, &state_dir).expect("room in /tmp");
    assert!(matches!(Store::make(&state_dir), Err(StoreError::Unsafe(_))));
    assert!(matches!(look(&state_dir), Err(StoreError::Unsafe(_))));
    std::fs::remove_file(&state_dir).expect("own");

    std::fs::create_dir(&state_dir).expect("room in /tmp");
    symlink(outside.join("unsent"), state_dir.join("unsent")).expect("room in /tmp");
    assert!(matches!(Store::make(&state_dir), Err(StoreError::Unsafe(_))));
    std::fs::remove_file(state_dir.join("unsent")).expect("own");

    let store = Store::make(&state_dir).expect("own now");
    let victim = outside.join("victim");
    std::fs::write(&victim, "precious").expect("room in /tmp");
    for name in ["1.data", "1.new", "1.json"] {
        symlink(&victim, state_dir.join("unsent").join(name)).expect("room in /tmp");
    }
    assert!(store.add(&mut entry(b"a", 1), Some(b"x")).is_err(), "its place is taken");
    let entries = store.entries().expect("readable");
    assert!(entries.iter().all(|entry| !entry.error.is_empty() && entry.path.is_empty()));
    assert_eq!(std::fs::read(&victim).expect("there"), b"precious");
}

/// A directory that others may write to, or look into, is not used.
#[test]
fn an_open_directory_is_refused() {
    let (_directory, state_dir) = scratch();
    drop(Store::make(&state_dir).expect("room in /tmp"));
    for (path, mode) in [(state_dir.clone(), 0o770), (state_dir.join("unsent"), 0o750)] {
        let set = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("own");
        };
        set(mode);
        assert!(matches!(Store::open(&state_dir), Err(StoreError::Unsafe(_))), "{path:?}");
        set(0o700);
        assert!(Store::open(&state_dir).is_ok());
    }
}
