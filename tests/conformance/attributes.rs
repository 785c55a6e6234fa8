//! Owners, permissions, times, and the volume.

use crate::common::plain;
use crate::rig::{Rig, at, mode, refused};
use minirdr::base::clock::{Clock, SystemClock};
use minirdr::base::status::Errno;
use minirdr::rdbss::operation::operand::{
    Access, AllocateMode, Attributes, FileKind, NewNode, OpenOptions, SetAttributes, SetTime,
    Timestamp,
};
use minirdr::rdbss::operation::{Answer, Node, Operation};

fn owned(uid: Option<u32>, gid: Option<u32>) -> SetAttributes {
    SetAttributes { uid, gid, ..SetAttributes::default() }
}

fn times(accessed: Option<SetTime>, modified: Option<SetTime>) -> SetAttributes {
    SetAttributes { accessed, modified, ..SetAttributes::default() }
}

pub fn permissions_of_every_kind(rig: &Rig) {
    let root = rig.root();
    let fifo = NewNode::Special(FileKind::NamedPipe, 0);
    let nodes = [
        rig.file(&root, "f", b""),
        rig.mkdir(&root, "d"),
        rig.make(&root, "p", fifo, mode(0o644)).expect("made").node,
    ];
    for node in nodes {
        for permissions in [0, 0o777, 0o604, 0o1777, 0o4755, 0o2775, 0o7777] {
            let set = SetAttributes { permissions: Some(permissions), ..SetAttributes::default() };
            assert_eq!(rig.set(&node, set).expect("chmod").permissions, permissions);
            assert_eq!(rig.stat(&node).permissions, permissions);
        }
        rig.chmod(&node, 0o700);
    }
}

pub fn owner_and_group_change_by_themselves(rig: &Rig) {
    let node = rig.file(&rig.root(), "f", b"");
    let before = rig.stat(&node);
    if !rig.claims.server.gives_files_away {
        refused(rig.set(&node, owned(Some(before.uid + 4242), None)), Errno::EPERM);
        return;
    }
    let first = rig.set(&node, owned(Some(4242), None)).expect("chown");
    assert_eq!((first.uid, first.gid), (4242, before.gid));
    let second = rig.set(&node, owned(None, Some(4243))).expect("chgrp");
    assert_eq!((second.uid, second.gid), (4242, 4243));
    // Numbers above i32::MAX are users too.
    let third = rig.set(&node, owned(Some(3_000_000_000), Some(3_000_000_001))).expect("chown");
    assert_eq!((third.uid, third.gid), (3_000_000_000, 3_000_000_001));
    let link = rig.symlink(&rig.root(), "l", "f").expect("made").node;
    rig.set(&link, owned(Some(7), Some(8))).expect("lchown");
    assert_eq!((rig.stat(&link).uid, rig.stat(&node).uid), (7, 3_000_000_000));
    rig.set(&node, owned(Some(before.uid), Some(before.gid))).expect("given back");
}

pub fn new_files_belong_to_the_caller(rig: &Rig) {
    if !rig.claims.server.gives_files_away {
        return;
    }
    let (caller, parent) = ((4242, 4243), rig.root());
    for node in [NewNode::Directory, NewNode::Special(FileKind::Regular, 0)] {
        let name = crate::rig::name(format!("{node:?}").replace(' ', ""));
        let creation = mode(0o755);
        let make = Operation::MakeNode { parent: parent.clone(), name, node, creation };
        let Ok(Answer::Node(made)) = rig.call_as(caller, make) else { panic!("not made") };
        assert_eq!((made.attributes.uid, made.attributes.gid), caller);
        assert_eq!(made.attributes.permissions, 0o755);
    }
    let creation = mode(0o6755);
    let (name, options) = (crate::rig::name("created"), plain(Access::Write));
    let create = Operation::Create { parent, name, creation, options, exclusive: true };
    let Ok(Answer::Created(made, open)) = rig.call_as(caller, create) else { panic!("not made") };
    assert_eq!((made.attributes.uid, made.attributes.gid), caller);
    let bits = if rig.lets_set_id() { 0o6755 } else { 0o755 };
    assert_eq!(made.attributes.permissions, bits, "the bits came after the owner");
    rig.close(open.handle);
}

/// A set-group-id directory hands its group down, and the bit to directories.
pub fn set_group_id_directories_hand_their_group_down(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    let group = if rig.claims.server.gives_files_away {
        rig.set(&directory, owned(None, Some(4243))).expect("chgrp");
        4243
    } else {
        rig.stat(&directory).gid
    };
    rig.chmod(&directory, 0o2775);
    let file = rig.stat(&rig.file(&directory, "f", b""));
    assert_eq!((file.gid, file.permissions), (group, 0o644), "a file has the group only");
    let inner = rig.stat(&rig.mkdir(&directory, "sub"));
    assert_eq!((inner.gid, inner.permissions), (group, 0o2755));
    let fifo = NewNode::Special(FileKind::NamedPipe, 0);
    let fifo = rig.make(&directory, "p", fifo, mode(0o600)).expect("made");
    assert_eq!(fifo.attributes.gid, group);
    let link = rig.symlink(&directory, "l", "x").expect("made");
    assert_eq!(link.attributes.gid, group);
}

/// Nanoseconds, and what was before 1970, which is negative seconds and positive nanoseconds.
pub fn times_to_the_nanosecond(rig: &Rig) {
    let root = rig.root();
    let moments = [
        at(0, 0),
        at(0, 1),
        at(1_234_567_890, 123_456_789),
        at(-1, 999_999_999),
        at(-86_400 * 365 * 10, 500_000_001),
        at(4_000_000_000, 999_999_999),
    ];
    for (entry, node) in [("f", rig.file(&root, "f", b"")), ("d", rig.mkdir(&root, "d"))] {
        for moment in moments {
            let other = Timestamp { seconds: moment.seconds / 2 - 1, nanoseconds: 987_654_321 };
            let set = times(Some(SetTime::At(other)), Some(SetTime::At(moment)));
            let seen = rig.set(&node, set).expect("utimensat");
            assert_eq!((seen.accessed, seen.modified), (other, moment));
            let found = rig.find(&root, entry).expect("found").attributes;
            assert_eq!((found.accessed, found.modified), (other, moment));
        }
    }
}

pub fn each_time_is_set_by_itself(rig: &Rig) {
    let clock = SystemClock::new();
    let before = Timestamp::from(clock.wall());
    let node = rig.file(&rig.root(), "f", b"");
    let past = Some(SetTime::At(at(1_000_000, 42)));
    rig.set(&node, times(past, past)).expect("set");
    let seen = rig.set(&node, times(Some(SetTime::Now), None)).expect("set");
    assert_eq!(seen.modified, at(1_000_000, 42));
    let is_now = |what: &str, time: Timestamp| {
        // The server's clock may tick coarsely.
        let soonest = before.seconds - 2;
        let latest = Timestamp::from(clock.wall()).seconds + 2;
        assert!((soonest..=latest).contains(&time.seconds), "{what}: {time:?}");
    };
    is_now("accessed", seen.accessed);
    is_now("changed", seen.changed);
    let seen = rig.set(&node, times(past, Some(SetTime::Now))).expect("set");
    assert_eq!(seen.accessed, at(1_000_000, 42));
    is_now("modified", seen.modified);
}

/// A change of attributes is dated, and dates nothing else.
pub fn changes_of_attributes_are_dated(rig: &Rig) {
    let node = rig.file(&rig.root(), "f", b"");
    let past = Some(SetTime::At(at(1_000_000, 0)));
    let before = rig.set(&node, times(past, past)).expect("set");
    rig.chmod(&node, 0o600);
    let after = rig.stat(&node);
    assert!(after.changed >= before.changed && after.changed > at(1_600_000_000, 0));
    assert_eq!((after.accessed, after.modified), (at(1_000_000, 0), at(1_000_000, 0)));
    rig.link(&node, &rig.root(), "g").expect("linked");
    assert!(rig.stat(&node).changed >= after.changed);
    assert_eq!(rig.stat(&node).created, before.created, "nothing changes the birth");
}

pub fn several_changes_at_once(rig: &Rig) {
    let node = rig.file(&rig.root(), "f", b"0123456789");
    let owner = rig.stat(&node);
    let set = SetAttributes {
        permissions: Some(0o4711),
        uid: Some(owner.uid),
        gid: Some(owner.gid),
        size: Some(4),
        accessed: Some(SetTime::At(at(5, 6))),
        modified: Some(SetTime::At(at(7, 8))),
        kill_privileges: false,
    };
    let seen = rig.set(&node, set).expect("set");
    assert_eq!((seen.permissions, seen.size), (0o4711, 4), "none undid another");
    assert_eq!((seen.accessed, seen.modified), (at(5, 6), at(7, 8)));
}

/// With the bits that a change by an unprivileged process must clear.
fn privileged(rig: &Rig, node: &Node, permissions: u16) {
    rig.chmod(node, permissions);
    assert_eq!(rig.stat(node).permissions, permissions);
}

/// What the kernel asks for when somebody without CAP_FSETID changes a file (`kill_privileges`).
pub fn privileges_die_with_a_change(rig: &Rig) {
    let node = rig.file(&rig.root(), "f", b"program");
    let handle = rig.open(&node, Access::ReadWrite);
    let write = || Operation::Write {
        handle,
        offset: 0,
        data: (&b"P"[..]).into(),
        write_back: false,
        kill_privileges: true,
    };
    let set = |set: SetAttributes| {
        let set = SetAttributes { kill_privileges: true, ..set };
        Operation::SetAttributes { node: node.clone(), handle: None, set }
    };
    let size = Some(3);
    let mode = AllocateMode::default();
    let owner = rig.stat(&node).uid;
    let changes = [
        ("write", write()),
        ("truncate", set(SetAttributes { size, ..SetAttributes::default() })),
        ("chown", set(owned(Some(owner), None))),
        ("fallocate", Operation::Allocate { handle, offset: 0, length: 1, mode }),
    ];
    let user = (rig.stat(&node).uid + 4242, rig.stat(&node).gid);
    for (what, change) in changes {
        // Without execution by the group, set-group-id means mandatory locking, and stays.
        for (before, after) in [(0o6755, 0o755), (0o4644, 0o644), (0o1700, 0o1700)] {
            privileged(rig, &node, before);
            rig.call_as(user, change.clone()).expect(what);
            assert_eq!(rig.stat(&node).permissions, after, "{what} of {before:o}");
        }
    }
    privileged(rig, &node, 0o6755);
    let options = OpenOptions { truncate: true, kill_privileges: true, ..plain(Access::ReadWrite) };
    let truncating = rig.open_with(&node, options).expect("opens");
    assert_eq!(rig.stat(&node).permissions, 0o755, "O_TRUNC");
    rig.close(truncating);
    rig.close(handle);
}

/// A change of nothing else is all that the kernel sends when privileges must go.
pub fn privileges_are_taken_by_whoever_may_write(rig: &Rig) {
    let node = rig.file(&rig.root(), "f", b"program");
    let is = rig.stat(&node);
    let set = SetAttributes { kill_privileges: true, ..SetAttributes::default() };
    let take = |caller: (u32, u32)| {
        privileged(rig, &node, 0o4775);
        let take = Operation::SetAttributes { node: node.clone(), handle: None, set };
        rig.call_as(caller, take).map(|_| ()).expect("never refused");
        rig.stat(&node).permissions
    };
    assert_eq!(take((is.uid + 4242, is.gid + 4242)), 0o4775, "a stranger");
    assert_eq!(take((is.uid + 4242, is.gid)), 0o775, "one of the group that may write");
    assert_eq!(take((is.uid, is.gid)), 0o775, "the owner");
}

/// Without being asked to, a privileged change clears nothing; but for a write where a program may
/// be shown as somebody's who is another one on the server: whose page it was is not said.
pub fn privileges_live_when_nobody_asks(rig: &Rig) {
    if !rig.claims.server.gives_files_away {
        return;
    }
    let node = rig.file(&rig.root(), "f", b"program");
    let handle = rig.open(&node, Access::ReadWrite);
    privileged(rig, &node, 0o6755);
    rig.write(handle, 0, b"P");
    let written = if rig.lends_identities() { 0o755 } else { 0o6755 };
    assert_eq!(rig.stat(&node).permissions, written);
    privileged(rig, &node, 0o6755);
    let size = SetAttributes { size: Some(3), ..SetAttributes::default() };
    assert_eq!(rig.set(&node, size).expect("cut").permissions, 0o6755);
    rig.close(handle);
}

pub fn attributes_through_a_handle(rig: &Rig) {
    let (node, handle) = rig.create(&rig.root(), "f");
    rig.write(handle, 0, b"12345");
    let through = rig.fstat(&node, handle).expect("fstat");
    let by_name = rig.stat(&node);
    assert_eq!(Attributes { accessed: by_name.accessed, ..through }, by_name);
    let set = SetAttributes {
        permissions: Some(0o600),
        modified: Some(SetTime::At(at(9, 9))),
        ..SetAttributes::default()
    };
    let set = Operation::SetAttributes { node: node.clone(), handle: Some(handle), set };
    assert!(matches!(rig.call(set), Ok(Answer::Attributes(_))));
    assert_eq!((rig.stat(&node).permissions, rig.stat(&node).modified), (0o600, at(9, 9)));
    rig.close(handle);
    refused(rig.fstat(&node, handle), Errno::EBADF);
}

pub fn the_volume_has_room(rig: &Rig) {
    let Ok(Answer::Volume(before)) = rig.call(Operation::QueryVolume { node: rig.root() }) else {
        panic!("no volume")
    };
    assert!(before.block_size >= 512 && before.name_bytes_max >= 255, "{before:?}");
    assert!(before.blocks > 0 && before.blocks_free <= before.blocks, "{before:?}");
    assert!(before.blocks_available <= before.blocks_free, "{before:?}");
    assert!(before.files_free <= before.files, "{before:?}");
}
