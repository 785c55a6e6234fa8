//! Files the kernel knows over a stop and start: a shell's working directory, a bind mount of a
//! subdirectory. Each is found again by its names, or is stale (stop.md S5).

use crate::common::{plain, wait_until};
use crate::rig::{Rig, mode, refused};
use minirdr::base::status::Errno;
use minirdr::base::stop::CallResult;
use minirdr::rdbss::operation::Node;
use minirdr::rdbss::operation::operand::{Access, FileKind, NewNode, RenameMode};
use std::sync::Arc;

#[track_caller]
fn restart(rig: &Rig) {
    assert_eq!(rig.host.stop().result, CallResult::Success);
    assert_eq!(rig.host.start().result, CallResult::Success);
}

pub fn known_files_are_found_again(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    let inner = rig.mkdir(&directory, "sub");
    let file = rig.file(&inner, "f", b"known");
    let link = rig.symlink(&inner, "l", "f").expect("made").node;
    for round in 0..3 {
        restart(rig);
        // The deepest first: everything above it is still of the last generation.
        assert_eq!(rig.content(&file), b"known", "round {round}");
        assert_eq!(rig.kind(&link), FileKind::Symlink);
        assert_eq!(rig.kind(&inner), FileKind::Directory);
        let found = rig.walk("d/sub/f").expect("found");
        assert!(Arc::ptr_eq(&found, &file), "the same number, the same FCB");
    }
}

/// A working directory: names are made, moved and removed in it as if nothing had happened.
pub fn a_working_directory_works_again(rig: &Rig) {
    let root = rig.root();
    let outer = rig.mkdir(&root, "outer");
    let here = rig.mkdir(&outer, "here");
    restart(rig);
    let file = rig.file(&here, "made", b"after the start");
    assert_eq!(file.path(), b"outer/here/made");
    rig.rename((&here, "made"), (&outer, "moved"), RenameMode::Replace).expect("moved");
    restart(rig);
    assert_eq!(rig.names(&here), Vec::<String>::new());
    rig.make(&here, "sub", NewNode::Directory, mode(0o755)).expect("made");
    rig.unlink(&outer, "moved").expect("unlinked");
    assert_eq!(rig.names(&outer), ["here"]);
    refused(rig.rmdir(&outer, "here"), Errno::ENOTEMPTY);
}

pub fn what_was_moved_is_found_where_it_is(rig: &Rig) {
    let root = rig.root();
    let (from, to) = (rig.mkdir(&root, "from"), rig.mkdir(&root, "to"));
    let moved = rig.mkdir(&from, "moved");
    let file = rig.file(&moved, "f", b"inside");
    rig.rename((&from, "moved"), (&to, "here"), RenameMode::Replace).expect("moved");
    rig.rename((&root, "from"), (&root, "to"), RenameMode::Exchange).expect("swapped");
    restart(rig);
    assert_eq!(rig.content(&file), b"inside");
    assert_eq!(file.path(), b"from/here/f");
    let (_, handle) = rig.create(&moved, "new");
    rig.close(handle);
    assert_eq!(rig.names(&rig.walk("from/here").expect("there")), ["f", "new"]);
}

pub fn what_was_removed_is_stale(rig: &Rig) {
    let root = rig.root();
    let file = rig.file(&root, "f", b"old");
    let directory = rig.mkdir(&root, "d");
    rig.unlink(&root, "f").expect("unlinked");
    rig.rmdir(&root, "d").expect("removed");
    rig.file(&root, "f", b"new");
    rig.mkdir(&root, "d");
    restart(rig);
    refused(rig.try_stat(&file), Errno::ESTALE);
    refused(rig.open_with(&file, plain(Access::Read)), Errno::ESTALE);
    refused(rig.find(&directory, "x"), Errno::ESTALE);
    refused(rig.make(&directory, "x", NewNode::Directory, mode(0o755)), Errno::ESTALE);
}

pub fn a_hard_link_is_found_by_the_name_seen_last(rig: &Rig) {
    let root = rig.root();
    let node = rig.file(&root, "a", b"linked");
    rig.link(&node, &root, "b").expect("linked");
    restart(rig);
    assert_eq!(rig.content(&node), b"linked");
    assert!(Arc::ptr_eq(&rig.walk("a").expect("there"), &node));
    assert!(Arc::ptr_eq(&rig.walk("b").expect("there"), &node));
    rig.unlink(&root, "a").expect("unlinked");
    restart(rig);
    assert_eq!(rig.content(&node), b"linked");
    assert_eq!(rig.stat(&node).links, 1);
}

/// Deeper than a path can be long.
pub fn the_bottom_of_a_deep_tree_is_found_again(rig: &Rig) {
    let mut at = rig.root();
    for _ in 0..300 {
        at = rig.mkdir(&at, "directory-of-a-longish-name");
    }
    let file = rig.file(&at, "f", b"down here");
    restart(rig);
    assert_eq!(rig.content(&file), b"down here");
}

/// Many at once, from many threads: one file is bound once, whoever comes first.
pub fn many_are_found_again_at_once(rig: &Rig) {
    let root = rig.root();
    let inner = rig.mkdir(&rig.mkdir(&root, "d"), "sub");
    let known: Vec<Node> =
        (0..20_u8).map(|at| rig.file(&inner, at.to_string(), at.to_string().as_bytes())).collect();
    for _ in 0..5 {
        restart(rig);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let known = &known;
                scope.spawn(move || {
                    for step in 0..known.len() {
                        let at = (step + thread * 5) % known.len();
                        assert_eq!(rig.content(&known[at]), at.to_string().as_bytes());
                    }
                });
            }
        });
    }
}

/// What nobody knows any more costs nothing: after the last reference the tables are empty.
pub fn nothing_is_known_when_nobody_cares(rig: &Rig) {
    let before = rig.host.device.status().files_known;
    let nodes: Vec<_> = (0..50).map(|at| rig.file(&rig.root(), at.to_string(), b"")).collect();
    assert_eq!(rig.host.device.status().files_known, before + 50);
    restart(rig);
    for node in &nodes[..25] {
        rig.stat(node);
    }
    drop(nodes);
    // A posted request's worker lets go of its file a moment after the answer.
    wait_until("no file is known", || rig.host.device.status().files_known == before);
}

pub fn every_start_is_a_new_generation(rig: &Rig) {
    let first = rig.host.device.status().generation.0;
    restart(rig);
    restart(rig);
    assert_eq!(rig.host.device.status().generation.0, first + 2);
    assert_eq!(rig.host.start().result, CallResult::AlreadyStarted);
    assert_eq!(rig.host.device.status().generation.0, first + 2);
}
