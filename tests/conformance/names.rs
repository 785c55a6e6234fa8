//! Names: making, finding and removing them; of any bytes, long and deep.

use crate::common::plain;
use crate::rig::{Rig, at, mode, name, refused};
use minirdr::base::ids::NodeNumber;
use minirdr::base::status::Errno;
use minirdr::rdbss::operation::operand::{Access, FileKind, NewNode, SetAttributes, SetTime};
use minirdr::rdbss::operation::{Creation, Operation};
use std::sync::Arc;

/// `new_encode_dev` of a device.
const NULL_DEVICE: u32 = 0x103;

pub fn what_is_made_is_found(rig: &Rig) {
    let root = rig.root();
    assert_eq!((root.number(), rig.kind(&root)), (NodeNumber::ROOT, FileKind::Directory));
    let directory = rig.mkdir(&root, "d");
    let file = rig.file(&directory, "f", b"x");
    assert_eq!(file.path(), b"d/f");
    let found = rig.find(&directory, "f").expect("there");
    assert!(Arc::ptr_eq(&found.node, &file), "one file, one FCB");
    assert_eq!((found.attributes.kind, found.attributes.size), (FileKind::Regular, 1));
    assert_eq!((found.attributes.links, found.attributes.permissions), (1, 0o644));
    let numbers = [root.number(), directory.number(), file.number()];
    assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[0] != numbers[2]);
    refused(rig.find(&directory, "g"), Errno::ENOENT);
    refused(rig.find(&root, "f"), Errno::ENOENT);
}

pub fn nothing_is_under_a_file(rig: &Rig) {
    let file = rig.file(&rig.root(), "f", b"");
    refused(rig.find(&file, "x"), Errno::ENOTDIR);
    refused(rig.make(&file, "x", NewNode::Directory, mode(0o755)), Errno::ENOTDIR);
    refused(rig.unlink(&file, "x"), Errno::ENOTDIR);
    let place = (&file, &b"x"[..]);
    refused(rig.create_with(place, mode(0o644), plain(Access::Read), true), Errno::ENOTDIR);
}

pub fn a_taken_name_stays_what_it_is(rig: &Rig) {
    let root = rig.root();
    let file = rig.file(&root, "taken", b"mine");
    for node in [
        NewNode::Directory,
        NewNode::Symlink(b"x".to_vec()),
        NewNode::Special(FileKind::Regular, 0),
        NewNode::Special(FileKind::NamedPipe, 0),
    ] {
        refused(rig.make(&root, "taken", node, mode(0o777)), Errno::EEXIST);
    }
    let place = (&root, &b"taken"[..]);
    refused(rig.create_with(place, mode(0o600), plain(Access::Write), true), Errno::EEXIST);
    assert_eq!(rig.content(&file), b"mine");
    rig.mkdir(&root, "d");
    let place = (&root, &b"d"[..]);
    refused(rig.create_with(place, mode(0o600), plain(Access::Write), false), Errno::EISDIR);
}

pub fn unlink_and_rmdir_each_refuse_the_others_work(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    rig.file(&directory, "f", b"");
    refused(rig.unlink(&root, "d"), Errno::EISDIR);
    refused(rig.rmdir(&root, "d"), Errno::ENOTEMPTY);
    refused(rig.rmdir(&directory, "f"), Errno::ENOTDIR);
    refused(rig.unlink(&root, "none"), Errno::ENOENT);
    refused(rig.rmdir(&root, "none"), Errno::ENOENT);
    rig.unlink(&directory, "f").expect("unlinked");
    rig.rmdir(&root, "d").expect("removed");
    assert_eq!(rig.names(&root), Vec::<String>::new());
}

/// A removed directory that somebody is in: empty for ever.
pub fn a_removed_directory_takes_nothing(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    let handle = rig.open_directory(&directory).expect("opens");
    rig.rmdir(&rig.root(), "d").expect("removed");
    assert_eq!(rig.rest(handle, 0, 4096), Vec::<String>::new());
    refused(rig.find(&directory, "x"), Errno::ENOENT);
    refused(rig.make(&directory, "x", NewNode::Directory, mode(0o755)), Errno::ENOENT);
    let place = (&directory, &b"x"[..]);
    refused(rig.create_with(place, mode(0o644), plain(Access::Write), true), Errno::ENOENT);
    assert_eq!(rig.stat(&directory).links, 0);
    assert_eq!(rig.fstat(&directory, handle).expect("fstat").kind, FileKind::Directory);
    rig.close(handle);
}

pub fn every_kind_of_node(rig: &Rig) {
    let root = rig.root();
    let kinds = [
        (FileKind::Regular, 0),
        (FileKind::NamedPipe, 0),
        (FileKind::Socket, 0),
        (FileKind::CharacterDevice, NULL_DEVICE),
        // A minor number of more than eight bits.
        (FileKind::BlockDevice, 0x0010_0801),
    ];
    for (kind, device) in kinds {
        let entry = format!("{kind:?}");
        let made = rig.make(&root, &entry, NewNode::Special(kind, device), mode(0o640));
        let is_device = matches!(kind, FileKind::CharacterDevice | FileKind::BlockDevice);
        if is_device && !rig.claims.server.makes_devices {
            refused(made, Errno::EPERM);
            continue;
        }
        let made = made.expect("made");
        assert_eq!((made.attributes.kind, made.attributes.device), (kind, device));
        assert_eq!((made.attributes.permissions, made.attributes.links), (0o640, 1));
        let found = rig.find(&root, &entry).expect("found");
        assert_eq!((found.attributes.kind, found.attributes.device), (kind, device));
        assert!(Arc::ptr_eq(&found.node, &made.node));
    }
    for kind in [FileKind::Directory, FileKind::Symlink] {
        let wrong = rig.make(&root, "wrong", NewNode::Special(kind, 0), mode(0o640));
        refused(wrong, Errno::EINVAL);
    }
}

pub fn the_umask_is_taken_off(rig: &Rig) {
    let creation = Creation { permissions: 0o777, umask: 0o027 };
    let made = rig.make(&rig.root(), "d", NewNode::Directory, creation).expect("made");
    assert_eq!(made.attributes.permissions, 0o750);
    let place = (&rig.root(), &b"f"[..]);
    let creation = Creation { permissions: 0o666, umask: 0o077 };
    let (made, open) = rig.create_with(place, creation, plain(Access::Write), true).expect("made");
    assert_eq!(made.attributes.permissions, 0o600);
    rig.close(open.handle);
}

/// The permissions of a new file do not hold against the descriptor that made it.
pub fn a_file_made_read_only_can_be_written_by_its_maker(rig: &Rig) {
    let place = (&rig.root(), &b"f"[..]);
    let (made, open) =
        rig.create_with(place, mode(0o400), plain(Access::ReadWrite), true).expect("made");
    rig.write(open.handle, 0, b"written");
    rig.close(open.handle);
    assert_eq!(rig.stat(&made.node).permissions, 0o400);
}

pub fn names_of_any_bytes(rig: &Rig) {
    let root = rig.root();
    let every: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    let names = [
        &every[..127],
        &every[127..],
        &[0xff, 0xfe],
        b"-rf *",
        b" ",
        b"new\nline",
        b"..a",
        b"...",
        "naïve ☂".as_bytes(),
    ];
    for bytes in names {
        let node = rig.file(&root, bytes, bytes);
        assert_eq!(rig.find(&root, bytes).expect("found").node.number(), node.number());
        assert_eq!(rig.content(&node), bytes);
    }
    let handle = rig.open_directory(&root).expect("opens");
    let listed = rig.list(handle, 0, 1 << 16, false).expect("listed");
    rig.close(handle);
    for bytes in names {
        assert!(listed.iter().any(|entry| entry.name == bytes), "{bytes:?} is listed");
        rig.unlink(&root, bytes).expect("unlinked");
        refused(rig.find(&root, bytes), Errno::ENOENT);
    }
}

pub fn names_as_long_as_they_may_be(rig: &Rig) {
    let root = rig.root();
    let (longest, other) = ("n".repeat(255), format!("{}m", "n".repeat(254)));
    let node = rig.file(&root, &longest, b"long");
    rig.file(&root, &other, b"other");
    assert_eq!(rig.content(&rig.walk(&longest).expect("there")), b"long");
    assert_eq!(rig.content(&rig.walk(&other).expect("there")), b"other");
    refused(rig.find(&root, "n".repeat(254)), Errno::ENOENT);
    refused(rig.find(&root, "n".repeat(256)), Errno::ENAMETOOLONG);
    assert_eq!(node.path(), longest.as_bytes());
}

/// Names that differ in case, or in how a letter is composed, are different names.
pub fn names_are_bytes_and_not_text(rig: &Rig) {
    let root = rig.root();
    for entry in ["a", "A", "\u{e9}", "e\u{301}"] {
        rig.file(&root, entry, entry.as_bytes());
    }
    for entry in ["a", "A", "\u{e9}", "e\u{301}"] {
        assert_eq!(rig.content(&rig.walk(entry).expect("there")), entry.as_bytes());
    }
}

/// Deeper than a path can be long (PATH_MAX): components are all that is ever asked for.
pub fn deep_trees(rig: &Rig) {
    const DEPTH: usize = 300;
    let entry = "directory-of-a-longish-name";
    let mut nodes = vec![rig.root()];
    for _ in 0..DEPTH {
        let next = rig.mkdir(nodes.last().expect("the root at least"), entry);
        nodes.push(next);
    }
    let deepest = nodes.last().expect("made").clone();
    rig.file(&deepest, "f", b"down here");
    let path = vec![entry; DEPTH].join("/");
    assert!(path.len() > 4096);
    assert_eq!(deepest.path(), path.as_bytes());
    let found = rig.walk(&format!("{path}/f")).expect("found");
    assert_eq!(rig.content(&found), b"down here");
    // Known again from nothing: the whole chain was forgotten and is dropped from its end.
    drop((nodes, deepest, found));
    let found = rig.walk(&format!("{path}/f")).expect("found again");
    assert_eq!(rig.content(&found), b"down here");
}

pub fn directories_are_dated_when_names_come_and_go(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    let past = Some(SetTime::At(at(1_000_000, 7)));
    let long_ago = SetAttributes { modified: past, ..SetAttributes::default() };
    let dated = |what: &str| {
        let seen = rig.stat(&directory).modified;
        assert!(seen > at(1_600_000_000, 0), "{what}: {seen:?}");
        rig.set(&directory, long_ago).expect("set");
    };
    rig.set(&directory, long_ago).expect("set");
    let file = rig.file(&directory, "f", b"");
    dated("create");
    rig.link(&file, &directory, "g").expect("linked");
    dated("link");
    rig.unlink(&directory, "g").expect("unlinked");
    dated("unlink");
    rig.mkdir(&directory, "sub");
    dated("mkdir");
    rig.rmdir(&directory, "sub").expect("removed");
    dated("rmdir");
    rig.find(&directory, "f").expect("there");
    assert_eq!(rig.stat(&directory).modified, at(1_000_000, 7), "a lookup changes nothing");
}

/// ACCESS is asked of mounts whose kernel does not check permissions.
pub fn access_follows_owner_group_and_others(rig: &Rig) {
    let node = rig.file(&rig.root(), "f", b"");
    rig.chmod(&node, 0o640);
    let owner = rig.stat(&node);
    let may = |caller: (u32, u32), mask: u8| {
        rig.call_as(caller, Operation::Access { node: node.clone(), mask }).is_ok()
    };
    let stranger = (owner.uid + 4242, owner.gid + 4242);
    let colleague = (owner.uid + 4242, owner.gid);
    assert!(may(colleague, 4) && !may(colleague, 2));
    assert!(!may(stranger, 4) && !may(stranger, 2) && may(stranger, 0));
    assert!(may((owner.uid, owner.gid), 6) && !may((owner.uid, owner.gid), 1));
    assert!(may((0, 0), 6) && !may((0, 0), 1), "root executes nothing that nobody may");
    let missing = Operation::Lookup { parent: rig.root(), name: name("none") };
    refused(rig.call_as(stranger, missing), Errno::ENOENT);
}
