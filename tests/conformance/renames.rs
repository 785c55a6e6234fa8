//! Renames: three modes, and everything that can be in the way.

use crate::rig::{Rig, refused};
use minirdr::base::status::Errno;
use minirdr::rdbss::operation::operand::{Access, FileKind, RenameMode};
use std::sync::Arc;

use RenameMode::{Exchange, NoReplace, Replace};

const EVERY_MODE: [RenameMode; 3] = [Replace, NoReplace, Exchange];

pub fn a_file_moves_and_stays_the_same_file(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    let node = rig.file(&root, "a", b"moved");
    let handle = rig.open(&node, Access::ReadWrite);
    rig.rename((&root, "a"), (&directory, "b"), Replace).expect("moved");
    refused(rig.find(&root, "a"), Errno::ENOENT);
    let found = rig.find(&directory, "b").expect("there");
    assert!(Arc::ptr_eq(&found.node, &node));
    assert_eq!(node.path(), b"d/b");
    assert_eq!(rig.content(&node), b"moved");
    rig.write(handle, 0, b"M");
    rig.close(handle);
    assert_eq!(rig.content(&found.node), b"Moved");
    rig.rename((&directory, "b"), (&directory, "c"), NoReplace).expect("moved");
    assert_eq!(rig.names(&directory), ["c"]);
}

pub fn replacing_a_file(rig: &Rig) {
    let root = rig.root();
    let (new, old) = (rig.file(&root, "new", b"new"), rig.file(&root, "old", b"old"));
    rig.rename((&root, "new"), (&root, "old"), Replace).expect("replaced");
    assert_eq!(rig.names(&root), ["old"]);
    assert_eq!(rig.find(&root, "old").expect("there").node.number(), new.number());
    assert_eq!(rig.stat(&old).links, 0);
    let link = rig.symlink(&root, "link", "x").expect("made").node;
    rig.rename((&root, "link"), (&root, "old"), Replace).expect("a file by a symlink");
    assert_eq!(rig.kind(&rig.walk("old").expect("there")), FileKind::Symlink);
    assert_eq!(link.path(), b"old");
}

pub fn replacing_a_directory(rig: &Rig) {
    let root = rig.root();
    let (new, old) = (rig.mkdir(&root, "new"), rig.mkdir(&root, "old"));
    rig.file(&new, "f", b"inside");
    rig.rename((&root, "new"), (&root, "old"), Replace).expect("an empty one is replaced");
    assert_eq!(rig.names(&root), ["old"]);
    assert_eq!(rig.content(&rig.walk("old/f").expect("came along")), b"inside");
    assert_eq!(rig.stat(&old).links, 0);
    let full = rig.mkdir(&root, "full");
    rig.file(&full, "f", b"");
    refused(rig.rename((&root, "old"), (&root, "full"), Replace), Errno::ENOTEMPTY);
    assert_eq!(rig.names(&root), ["full", "old"], "nothing has happened");
}

pub fn kinds_do_not_replace_each_other(rig: &Rig) {
    let root = rig.root();
    rig.mkdir(&root, "d");
    rig.file(&root, "f", b"");
    rig.symlink(&root, "l", "d").expect("made");
    refused(rig.rename((&root, "d"), (&root, "f"), Replace), Errno::ENOTDIR);
    refused(rig.rename((&root, "d"), (&root, "l"), Replace), Errno::ENOTDIR);
    refused(rig.rename((&root, "f"), (&root, "d"), Replace), Errno::EISDIR);
    refused(rig.rename((&root, "l"), (&root, "d"), Replace), Errno::EISDIR);
    assert_eq!(rig.names(&root), ["d", "f", "l"]);
}

pub fn what_is_not_there_cannot_be_moved(rig: &Rig) {
    let root = rig.root();
    let file = rig.file(&root, "f", b"");
    for mode in EVERY_MODE {
        refused(rig.rename((&root, "none"), (&root, "f"), mode), Errno::ENOENT);
        refused(rig.rename((&root, "none"), (&root, "none"), mode), Errno::ENOENT);
        refused(rig.rename((&file, "x"), (&root, "y"), mode), Errno::ENOTDIR);
        refused(rig.rename((&root, "f"), (&file, "x"), mode), Errno::ENOTDIR);
    }
    refused(rig.rename((&root, "f"), (&root, "none"), Exchange), Errno::ENOENT);
    let gone = rig.mkdir(&root, "gone");
    rig.rmdir(&root, "gone").expect("removed");
    refused(rig.rename((&root, "f"), (&gone, "f"), Replace), Errno::ENOENT);
    assert_eq!(rig.names(&root), ["f"]);
}

pub fn no_replace_replaces_nothing(rig: &Rig) {
    let root = rig.root();
    rig.file(&root, "a", b"a");
    rig.file(&root, "b", b"b");
    rig.mkdir(&root, "d");
    refused(rig.rename((&root, "a"), (&root, "b"), NoReplace), Errno::EEXIST);
    refused(rig.rename((&root, "a"), (&root, "d"), NoReplace), Errno::EEXIST);
    refused(rig.rename((&root, "a"), (&root, "a"), NoReplace), Errno::EEXIST);
    assert_eq!(rig.content(&rig.walk("b").expect("there")), b"b");
    rig.rename((&root, "a"), (&root, "c"), NoReplace).expect("the name is free");
    assert_eq!(rig.names(&root), ["b", "c", "d"]);
}

pub fn exchange_swaps_files_of_any_kind(rig: &Rig) {
    let root = rig.root();
    let file = rig.file(&root, "f", b"file");
    let directory = rig.mkdir(&root, "d");
    let inner = rig.mkdir(&directory, "inner");
    rig.rename((&root, "f"), (&directory, "inner"), Exchange).expect("swapped");
    assert_eq!((file.path(), inner.path()), (b"d/inner".to_vec(), b"f".to_vec()));
    assert_eq!(rig.content(&rig.walk("d/inner").expect("there")), b"file");
    assert_eq!(rig.kind(&rig.walk("f").expect("there")), FileKind::Directory);
    assert_eq!(rig.stat(&directory).links, 2, "its subdirectory has left");
    rig.rename((&directory, "inner"), (&root, "f"), Exchange).expect("swapped back");
    assert_eq!(rig.content(&rig.walk("f").expect("there")), b"file");
    assert_eq!(rig.stat(&directory).links, 3);
}

pub fn a_name_moved_onto_itself(rig: &Rig) {
    let root = rig.root();
    let node = rig.file(&root, "f", b"same");
    rig.link(&node, &root, "g").expect("linked");
    for mode in [Replace, Exchange] {
        rig.rename((&root, "f"), (&root, "f"), mode).expect("nothing to do");
        rig.rename((&root, "f"), (&root, "g"), mode).expect("two names of one file stay both");
        assert_eq!(rig.names(&root), ["f", "g"]);
        assert_eq!(rig.stat(&node).links, 2);
    }
    rig.unlink(&root, "g").expect("unlinked");
    assert_eq!(rig.content(&rig.walk("f").expect("there")), b"same");
    let directory = rig.mkdir(&root, "d");
    rig.rename((&root, "d"), (&root, "d"), Replace).expect("nothing to do");
    assert_eq!(directory.path(), b"d");
}

pub fn no_directory_goes_into_itself(rig: &Rig) {
    let root = rig.root();
    let outer = rig.mkdir(&root, "outer");
    let inner = rig.mkdir(&outer, "inner");
    rig.mkdir(&inner, "innermost");
    for mode in [Replace, NoReplace] {
        refused(rig.rename((&root, "outer"), (&outer, "x"), mode), Errno::EINVAL);
        refused(rig.rename((&root, "outer"), (&inner, "x"), mode), Errno::EINVAL);
    }
    refused(rig.rename((&root, "outer"), (&outer, "inner"), Exchange), Errno::EINVAL);
    refused(rig.rename((&outer, "inner"), (&root, "outer"), Exchange), Errno::EINVAL);
    refused(rig.rename((&inner, "innermost"), (&root, "outer"), Replace), Errno::ENOTEMPTY);
    assert_eq!(rig.kind(&rig.walk("outer/inner/innermost").expect("all there")), {
        FileKind::Directory
    });
}

pub fn directories_move_with_what_is_in_them(rig: &Rig) {
    let root = rig.root();
    let (from, to) = (rig.mkdir(&root, "from"), rig.mkdir(&root, "to"));
    let moved = rig.mkdir(&from, "moved");
    let inside = rig.file(&moved, "f", b"inside");
    let handle = rig.open(&inside, Access::Read);
    let listing = rig.open_directory(&moved).expect("opens");
    rig.rename((&from, "moved"), (&to, "here"), Replace).expect("moved");
    assert_eq!(inside.path(), b"to/here/f");
    assert_eq!(rig.read(handle, 0, 9), b"inside");
    assert_eq!(rig.rest(listing, 0, 999), ["f"]);
    assert_eq!(rig.content(&rig.walk("to/here/f").expect("there")), b"inside");
    assert_eq!((rig.stat(&from).links, rig.stat(&to).links), (2, 3));
    let more = rig.file(&moved, "more", b"made through the old acquaintance");
    assert_eq!(more.path(), b"to/here/more");
    rig.close(handle);
    rig.close(listing);
}

/// Renames of many threads in a circle of directories: nothing is lost and nothing doubled.
pub fn renames_of_many_threads(rig: &Rig) {
    const FILES: usize = 8;
    let root = rig.root();
    let directories: Vec<_> = (0..3).map(|at| rig.mkdir(&root, at.to_string())).collect();
    for file in 0..FILES {
        rig.file(&directories[0], file.to_string(), file.to_string().as_bytes());
    }
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let directories = &directories;
            scope.spawn(move || {
                for round in 0..60 {
                    let (from, to) = ((thread + round) % 3, (thread + round + 1) % 3);
                    let entry = (round % FILES).to_string();
                    let (from, to) = (&directories[from], &directories[to]);
                    // Another thread may have moved it first.
                    let _ = rig.rename((from, &entry), (to, &entry), NoReplace);
                }
            });
        }
    });
    let mut all: Vec<String> = directories.iter().flat_map(|node| rig.names(node)).collect();
    all.sort();
    assert_eq!(all, (0..FILES).map(|file| file.to_string()).collect::<Vec<_>>());
    for directory in &directories {
        for entry in rig.names(directory) {
            let found = rig.find(directory, &entry).expect("there");
            assert_eq!(rig.content(&found.node), entry.as_bytes());
        }
    }
}
