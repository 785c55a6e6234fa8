//! Hard links, which are one file, and symbolic ones, which are only bytes.

use crate::rig::{Rig, at, refused};
use minirdr::base::status::{Errno, Status};
use minirdr::rdbss::operation::operand::{Access, FileKind, SetAttributes, SetTime};
use minirdr::rdbss::operation::{Answer, Node, Operation};
use std::sync::Arc;

fn target(rig: &Rig, node: &Node) -> Result<Vec<u8>, Status> {
    match rig.call(Operation::ReadLink { node: node.clone() })? {
        Answer::Data(target) => Ok(target),
        other => panic!("readlink answered {other:?}"),
    }
}

pub fn hard_links_are_one_file(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    let node = rig.file(&root, "a", b"shared");
    let linked = rig.link(&node, &directory, "b").expect("linked");
    assert!(Arc::ptr_eq(&linked.node, &node));
    assert_eq!((linked.attributes.links, linked.attributes.size), (2, 6));
    let found = rig.find(&directory, "b").expect("found");
    assert!(Arc::ptr_eq(&found.node, &node), "one FCB under both names");
    let handle = rig.open(&found.node, Access::Write);
    rig.write(handle, 0, b"SHARED");
    rig.close(handle);
    assert_eq!(rig.content(&rig.walk("a").expect("there")), b"SHARED");
    rig.chmod(&node, 0o600);
    assert_eq!(rig.find(&directory, "b").expect("found").attributes.permissions, 0o600);
    rig.unlink(&root, "a").expect("unlinked");
    assert_eq!(rig.stat(&node).links, 1);
    assert_eq!(rig.content(&rig.walk("d/b").expect("there")), b"SHARED");
    rig.unlink(&directory, "b").expect("unlinked");
    assert_eq!(rig.stat(&node).links, 0, "known still, by those who hold it");
}

/// The name it was seen under last goes first, and the first one last.
pub fn whichever_name_goes_the_file_stays(rig: &Rig) {
    let root = rig.root();
    let node = rig.file(&root, "a", b"data");
    for entry in ["b", "c", "d"] {
        rig.link(&node, &root, entry).expect("linked");
    }
    assert_eq!(rig.stat(&node).links, 4);
    for (entry, left) in [("d", 3), ("a", 2), ("c", 1)] {
        rig.unlink(&root, entry).expect("unlinked");
        assert_eq!(rig.stat(&node).links, left);
        assert_eq!(rig.content(&node), b"data");
    }
    assert_eq!(rig.content(&rig.walk("b").expect("there")), b"data");
}

pub fn what_cannot_be_linked(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    let node = rig.file(&root, "f", b"");
    refused(rig.link(&directory, &root, "e"), Errno::EPERM);
    refused(rig.link(&node, &root, "d"), Errno::EEXIST);
    refused(rig.link(&node, &root, "f"), Errno::EEXIST);
    refused(rig.link(&node, &node, "x"), Errno::ENOTDIR);
    assert_eq!(rig.stat(&node).links, 1);
}

pub fn directories_count_their_subdirectories(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    assert_eq!(rig.stat(&directory).links, 2);
    rig.mkdir(&directory, "one");
    rig.mkdir(&directory, "two");
    rig.file(&directory, "file", b"");
    assert_eq!(rig.stat(&directory).links, 4);
    rig.rmdir(&directory, "one").expect("removed");
    assert_eq!(rig.stat(&directory).links, 3);
}

pub fn symlinks_keep_their_bytes(rig: &Rig) {
    let root = rig.root();
    let longest = "x".repeat(4095);
    let targets: [&[u8]; 6] =
        [b"a", b"/etc/passwd", b"../../..", b"no such thing", &[0xff, b'/', 1], longest.as_bytes()];
    for (at, bytes) in targets.into_iter().enumerate() {
        let made = rig.symlink(&root, &at.to_string(), bytes).expect("made");
        assert_eq!(made.attributes.kind, FileKind::Symlink);
        assert_eq!(made.attributes.size, bytes.len() as u64);
        assert_eq!(made.attributes.permissions, 0o777);
        assert_eq!(target(rig, &made.node).as_deref(), Ok(bytes));
        let found = rig.find(&root, at.to_string()).expect("found");
        assert_eq!(target(rig, &found.node).as_deref(), Ok(bytes));
    }
    refused(rig.symlink(&root, "longer", "x".repeat(4096)), Errno::ENAMETOOLONG);
}

/// Whatever they lead to: the kernel follows them in its own namespace.
pub fn symlinks_are_never_followed(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    let file = rig.file(&directory, "f", b"kept");
    let link = rig.symlink(&root, "to-d", "d").expect("made").node;
    refused(rig.find(&link, "f"), Errno::ENOTDIR);
    let to_file = rig.symlink(&root, "to-f", "d/f").expect("made").node;
    assert_eq!(rig.stat(&to_file).kind, FileKind::Symlink);
    let times =
        SetAttributes { modified: Some(SetTime::At(at(1_000_000, 1))), ..SetAttributes::default() };
    rig.set(&to_file, times).expect("a symlink has times of its own");
    assert_eq!(rig.stat(&to_file).modified, at(1_000_000, 1));
    assert!(rig.stat(&file).modified > at(1_000_000, 1));
    rig.unlink(&root, "to-f").expect("unlinked");
    assert_eq!(rig.content(&file), b"kept");
}

pub fn a_symlink_can_have_two_names(rig: &Rig) {
    let root = rig.root();
    let link = rig.symlink(&root, "l", "somewhere").expect("made").node;
    let linked = rig.link(&link, &root, "m").expect("linked");
    assert_eq!((linked.attributes.kind, linked.attributes.links), (FileKind::Symlink, 2));
    assert_eq!(target(rig, &rig.walk("m").expect("there")).as_deref(), Ok(&b"somewhere"[..]));
}

pub fn only_symlinks_have_a_target(rig: &Rig) {
    let root = rig.root();
    refused(target(rig, &rig.file(&root, "f", b"")), Errno::EINVAL);
    refused(target(rig, &rig.mkdir(&root, "d")), Errno::EINVAL);
}
