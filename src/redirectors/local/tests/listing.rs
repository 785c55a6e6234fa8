//! Listings: complete, each name once, in pieces of any size.

use super::*;
use std::collections::{BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;

const FILES: usize = 5000;

fn fill(served: &Served, count: usize) -> TestOpen {
    for number in 0..count {
        fs::write(served.path(format!("a-rather-long-file-name-{number}")), b"").expect("written");
    }
    served.open(&served.root, opening(Access::Read)).expect("opened")
}

/// The places to test on: the machine's temporary directory, and a tmpfs, whose positions differ.
fn places() -> Vec<tempfile::TempDir> {
    let mut places = vec![tempfile::tempdir().expect("a directory")];
    places.extend(tempfile::tempdir_in("/dev/shm"));
    places
}

#[test]
fn every_name_once_whatever_the_budget() {
    for place in places() {
        let served = Served::on(place, LocalOptions::default());
        let open = fill(&served, FILES);
        for (budget, with_files) in [(0, false), (100, false), (4096, false), (4096, true)] {
            let (mut from, mut seen, mut calls) = (0, HashSet::new(), 0);
            loop {
                let entries = served.list(&open, from, budget, with_files).expect("listed");
                let Some(last) = entries.last() else { break };
                from = last.next;
                assert_ne!(from, 0);
                calls += 1;
                for entry in entries {
                    assert_eq!(entry.found.is_some(), with_files);
                    let number = entry.found.map_or(entry.number, |found| found.identity.number);
                    assert_eq!(number, entry.number);
                    assert!(seen.insert(entry.name.clone()), "{} twice", entry.name);
                }
            }
            assert_eq!(seen.len(), FILES, "budget {budget}");
            assert!(calls >= if budget == 4096 { FILES / 100 } else { FILES / 2 }, "{calls} calls");
        }
    }
}

#[test]
fn a_budget_is_kept() {
    let served = Served::new();
    let open = fill(&served, 200);
    for with_files in [false, true] {
        let entries = served.list(&open, 0, 1000, with_files).expect("listed");
        let each = |entry: &DirectoryEntry| {
            (24 + entry.name.as_bytes().len()).next_multiple_of(8) + usize::from(with_files) * 128
        };
        let bytes: usize = entries.iter().map(each).sum();
        assert!(bytes <= 1000 && bytes > 700, "{bytes}");
    }
}

#[test]
fn every_position_can_be_returned_to() {
    for place in places() {
        let served = Served::on(place, LocalOptions::default());
        let open = fill(&served, 300);
        let all = served.list(&open, 0, usize::MAX, false).expect("listed");
        assert_eq!(all.len(), 300);
        for (index, entry) in all.iter().enumerate().rev() {
            let after = served.list(&open, entry.next, 0, false).expect("listed");
            let want = all.get(index + 1).map(|next| &next.name);
            assert_eq!(after.first().map(|first| &first.name), want, "after {index}");
        }
    }
}

#[test]
fn deleting_what_was_listed_loses_nothing() {
    for place in places() {
        let served = Served::on(place, LocalOptions::default());
        let open = fill(&served, FILES);
        let (mut from, mut seen) = (0, HashSet::new());
        loop {
            let entries = served.list(&open, from, 1024, false).expect("listed");
            let Some(last) = entries.last() else { break };
            from = last.next;
            for entry in entries {
                assert!(seen.insert(entry.name.clone()), "{} twice", entry.name);
                served
                    .local
                    .unlink(&TestContext::new(), served.root.as_ref(), &entry.name)
                    .expect("unlinked");
            }
        }
        assert_eq!(seen.len(), FILES);
        assert_eq!(served.list(&open, 0, 4096, false).expect("a rewind").len(), 0);
    }
}

#[test]
fn names_that_vanish_are_no_end() {
    let served = Served::new();
    let open = fill(&served, 300);
    let first = served.list(&open, 0, 0, true).expect("listed");
    // They were read ahead; now all but one of them are gone.
    let keep = b"a-rather-long-file-name-7";
    for entry in fs::read_dir(served.path("")).expect("listed").flatten() {
        if entry.file_name().as_encoded_bytes() != keep {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    let (mut from, mut names) = (first[0].next, BTreeSet::from([first[0].name.clone()]));
    loop {
        let entries = served.list(&open, from, 200, true).expect("listed");
        let Some(last) = entries.last() else { break };
        from = last.next;
        names.extend(
            entries.into_iter().filter(|entry| entry.found.is_some()).map(|entry| entry.name),
        );
    }
    assert!(names.contains(&name(keep)), "{names:?}");
}

#[test]
fn numbers_and_kinds_are_those_of_a_lookup() {
    let served = Served::new();
    fs::create_dir(served.path("d")).expect("made");
    fs::write(served.path("f"), b"").expect("written");
    std::os::unix::fs::symlink("f", served.path("l")).expect("made");
    let open = served.open(&served.root, opening(Access::Read)).expect("opened");
    for with_files in [false, true] {
        let entries = served.list(&open, 0, 4096, with_files).expect("listed");
        assert_eq!(entries.len(), 3);
        for entry in entries {
            let found = served
                .local
                .lookup(&TestContext::new(), served.root.as_ref(), &entry.name)
                .expect("found");
            assert_eq!(entry.number, found.identity.number);
            assert_eq!(entry.kind, found.attributes.kind);
            let meta = fs::symlink_metadata(served.path(entry.name.to_os())).expect("stat");
            assert_eq!(entry.number, meta.ino());
        }
    }
    let file = served.walk("f").expect("found");
    let open = served.open(&file, opening(Access::Read)).expect("opened");
    assert_eq!(errno(served.list(&open, 0, 4096, false).map(|_| ())), Some(Errno::ENOTDIR));
}
