//! Renames: every mode, every refusal, and that a refusal changes nothing.

use super::*;
use RenameMode::{Exchange, NoReplace, Replace};

#[test]
fn a_file_moves_and_replaces_a_file() {
    let rig = Rig::new();
    let source = rig.create(&rig.root, "a").file;
    let target = rig.create(&rig.root, "b").file;
    assert_eq!(rig.rename((&rig.root, "a"), (&rig.root, "b"), Replace), Ok(()));
    assert_eq!(rig.lookup(&rig.root, "b").expect("there").identity, source.identity);
    assert!(!rig.has(&rig.root, "a"));
    assert_eq!((rig.stat(&source).links, rig.stat(&target).links), (1, 0));
    let sub = rig.mkdir(&rig.root, "d");
    assert_eq!(rig.rename((&rig.root, "b"), (&sub, "c"), NoReplace), Ok(()));
    assert!(rig.has(&sub, "c") && !rig.has(&rig.root, "b"));
}

#[test]
fn a_directory_moves_with_its_links_and_its_content() {
    let rig = Rig::new();
    let (from, to) = (rig.mkdir(&rig.root, "from"), rig.mkdir(&rig.root, "to"));
    let moved = rig.mkdir(&from, "d");
    rig.create(&moved, "f");
    assert_eq!(rig.rename((&from, "d"), (&to, "e"), Replace), Ok(()));
    assert_eq!((rig.stat(&from).links, rig.stat(&to).links), (2, 3));
    assert!(rig.has(&rig.lookup(&to, "e").expect("there"), "f"));
    let into_itself = rig.rename((&rig.root, "to"), (&moved, "x"), Replace);
    assert_eq!(into_itself, Err(Status::InvalidParameter), "it knows its new parent");
    assert_eq!(rig.rename((&rig.root, "from"), (&moved, "old"), Replace), Ok(()));
    assert_eq!(rig.rename((&moved, "old"), (&rig.root, "from"), Replace), Ok(()));
    let victim = rig.mkdir(&rig.root, "victim");
    assert_eq!(rig.rename((&to, "e"), (&rig.root, "victim"), Replace), Ok(()));
    assert_eq!((rig.stat(&to).links, rig.stat(&rig.root).links), (2, 5));
    assert_eq!(rig.stat(&victim).links, 0);
    assert_eq!(rig.create_with(&victim, "x", READ).err(), Some(Status::ObjectNameNotFound));
}

#[test]
fn what_cannot_be_replaced_says_why() {
    let rig = Rig::new();
    let (a, full) = (rig.mkdir(&rig.root, "a"), rig.mkdir(&rig.root, "full"));
    rig.create(&full, "x");
    rig.create(&rig.root, "f");
    let root = &rig.root;
    let before = (rig.names(root), rig.stat(root), rig.stat(&a));
    let refusals = [
        (("a", "full"), Replace, Errno::ENOTEMPTY),
        (("a", "f"), Replace, Errno::ENOTDIR),
        (("f", "a"), Replace, Errno::EISDIR),
        (("f", "a"), NoReplace, Errno::EEXIST),
        (("f", "f"), NoReplace, Errno::EEXIST),
        (("f", "none"), Exchange, Errno::ENOENT),
        (("none", "f"), Replace, Errno::ENOENT),
        (("none", "none"), Exchange, Errno::ENOENT),
    ];
    rig.tick();
    for ((from, to), mode, expected) in refusals {
        let refused = rig.rename((root, from), (root, to), mode).map_err(Status::errno);
        assert_eq!(refused, Err(expected), "{from} to {to}, {mode:?}");
    }
    // Listing is a read: only the access time may differ.
    let same = Attributes { accessed: before.1.accessed, ..rig.stat(root) };
    assert_eq!((rig.names(root), same, rig.stat(&a)), before);
}

#[test]
fn no_directory_goes_into_itself() {
    let rig = Rig::new();
    let a = rig.mkdir(&rig.root, "a");
    let b = rig.mkdir(&a, "b");
    let c = rig.mkdir(&b, "c");
    for below in [&a, &b, &c] {
        let into = rig.rename((&rig.root, "a"), (below, "x"), Replace);
        assert_eq!(into, Err(Status::InvalidParameter));
    }
    assert_eq!(rig.rename((&rig.root, "a"), (&b, "c"), Exchange), Err(Status::InvalidParameter));
    assert_eq!(rig.rename((&b, "c"), (&rig.root, "a"), Exchange), Err(Status::InvalidParameter));
    assert_eq!(rig.rename((&b, "c"), (&rig.root, "a"), Replace), errno(Errno::ENOTEMPTY));
    assert_eq!(rig.rename((&b, "c"), (&rig.root, "c"), Replace), Ok(()));
}

#[test]
fn two_names_of_one_file_stay_both() {
    let rig = Rig::new();
    let file = rig.create(&rig.root, "a").file;
    rig.link(&file, &rig.root, "b").expect("linked");
    let before = rig.stat(&file);
    rig.tick();
    assert_eq!(rig.rename((&rig.root, "a"), (&rig.root, "b"), Replace), Ok(()));
    assert_eq!(rig.rename((&rig.root, "a"), (&rig.root, "a"), Replace), Ok(()));
    assert_eq!(rig.rename((&rig.root, "a"), (&rig.root, "b"), Exchange), Ok(()));
    assert_eq!(rig.names(&rig.root), ["a", "b"]);
    assert_eq!(rig.stat(&file), before, "nothing was done");
    let taken = rig.rename((&rig.root, "a"), (&rig.root, "b"), NoReplace);
    assert_eq!(taken, Err(Status::ObjectNameCollision));
}

#[test]
fn an_exchange_swaps_files_of_any_kind() {
    let rig = Rig::new();
    let sub = rig.mkdir(&rig.root, "sub");
    let directory = rig.mkdir(&rig.root, "d");
    let inner = rig.mkdir(&directory, "inner");
    let file = rig.create(&sub, "f").file;
    let now = rig.tick();
    assert_eq!(rig.rename((&rig.root, "d"), (&sub, "f"), Exchange), Ok(()));
    assert_eq!(rig.lookup(&rig.root, "d").expect("there").identity, file.identity);
    assert_eq!(rig.lookup(&sub, "f").expect("there").identity, directory.identity);
    assert_eq!((rig.stat(&rig.root).links, rig.stat(&sub).links), (3, 3));
    for changed in [&file, &directory, &rig.root, &sub] {
        assert_eq!(rig.stat(changed).changed, now);
    }
    let into = rig.rename((&rig.root, "sub"), (&inner, "x"), Replace);
    assert_eq!(into, Err(Status::InvalidParameter), "the directory knows its new parent");
    assert_eq!(rig.unlink(&rig.root, "d"), Ok(()));
    assert_eq!(rig.stat(&file).links, 0);
}

#[test]
fn an_exchange_within_one_directory_keeps_the_counts() {
    let rig = Rig::new();
    rig.mkdir(&rig.root, "d");
    let file = rig.create(&rig.root, "f").file;
    assert_eq!(rig.rename((&rig.root, "d"), (&rig.root, "f"), Exchange), Ok(()));
    assert_eq!(rig.stat(&rig.root).links, 3);
    assert_eq!(rig.lookup(&rig.root, "d").expect("there").identity, file.identity);
    assert_eq!(rig.rmdir(&rig.root, "f"), Ok(()));
}

#[test]
fn a_rename_marks_both_directories_and_the_file() {
    let rig = Rig::new();
    let (from, to) = (rig.mkdir(&rig.root, "from"), rig.mkdir(&rig.root, "to"));
    let file = rig.create(&from, "f").file;
    let old = rig.create(&to, "f").file;
    let before = rig.stat(&file);
    let now = rig.tick();
    assert_eq!(rig.rename((&from, "f"), (&to, "f"), Replace), Ok(()));
    for directory in [&from, &to] {
        let times = rig.stat(directory);
        assert_eq!((times.modified, times.changed), (now, now));
        assert!(times.accessed < now);
    }
    assert_eq!(rig.stat(&file), Attributes { changed: now, ..before });
    assert_eq!(rig.stat(&old).changed, now);
}

#[test]
fn hard_links_survive_a_rename_over_one_of_them() {
    let rig = Rig::new();
    let kept = rig.create(&rig.root, "a").file;
    rig.link(&kept, &rig.root, "b").expect("linked");
    let other = rig.create(&rig.root, "c").file;
    assert_eq!(rig.rename((&rig.root, "c"), (&rig.root, "b"), Replace), Ok(()));
    assert_eq!((rig.stat(&kept).links, rig.stat(&other).links), (1, 1));
    assert_eq!(rig.names(&rig.root), ["a", "b"]);
}
