//! Who owns what is made, and what set-id bits survive.
//!
//! Most of this can only be seen by the superuser; as anybody else these tests check that nothing
//! is given that cannot be.

use super::*;
use crate::mrx::request::{FileKind, SetAttributes};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

const USER: u32 = 12345;
const GROUP: u32 = 23456;

fn owner(permissions: u16) -> Ownership {
    Ownership { permissions, umask: 0, uid: USER, gid: GROUP }
}

fn chmod(served: &Served, text: &str, mode: u32) {
    fs::set_permissions(served.path(text), fs::Permissions::from_mode(mode)).expect("chmod");
}

/// Owner, group and permissions on the server.
fn is(served: &Served, text: &str) -> (u32, u32, u32) {
    let meta = fs::symlink_metadata(served.path(text)).expect("stat");
    (meta.uid(), meta.gid(), meta.mode() & 0o7777)
}

fn make(served: &Served, parent: &TestFile, text: &str, kind: FileKind, owner: Ownership) {
    let (context, parent, text) = (TestContext::new(), parent.as_ref(), name(text));
    let options = opening(Access::Write);
    let node = match kind {
        FileKind::Regular => {
            let made = served.local.create(&context, parent, &text, owner, options);
            return drop(made.expect("created"));
        }
        FileKind::Directory => NewNode::Directory,
        FileKind::Symlink => NewNode::Symlink(b"x".to_vec()),
        kind => NewNode::Special(kind, 0),
    };
    let made = served.local.make_node(&context, parent, &text, &node, owner).expect("made");
    let meta = fs::symlink_metadata(served.path(text.to_os())).ok();
    if let Some(meta) = meta {
        let attributes = made.attributes;
        assert_eq!((attributes.uid, attributes.gid), (meta.uid(), meta.gid()));
        assert_eq!(u32::from(attributes.permissions), meta.mode() & 0o7777);
    }
}

#[test]
fn new_files_belong_to_the_caller() {
    let served = Served::new();
    for (text, kind) in [
        ("f", FileKind::Regular),
        ("d", FileKind::Directory),
        ("l", FileKind::Symlink),
        ("p", FileKind::NamedPipe),
    ] {
        make(&served, &served.root, text, kind, owner(0o640));
        let own = own(0);
        let want = if is_superuser() { (USER, GROUP) } else { (own.uid, own.gid) };
        let (uid, gid, mode) = is(&served, text);
        assert_eq!((uid, gid), want, "{text}");
        assert!(kind == FileKind::Symlink || mode == 0o640, "{text}: {mode:o}");
    }
}

#[test]
fn set_id_bits_come_with_the_owner_or_not_at_all() {
    let served = Served::new();
    make(&served, &served.root, "f", FileKind::Regular, owner(0o6755));
    let want = if is_superuser() { 0o6755 } else { 0o755 };
    assert_eq!(is(&served, "f").2, want);
    make(&served, &served.root, "own", FileKind::Regular, own(0o6755));
    assert_eq!(is(&served, "own").2, 0o6755);
}

#[test]
fn set_group_id_directories_pass_their_group_on() {
    let served = Served::new();
    let own = own(0);
    // A group of our own and, where that can be, another one.
    for group in [own.gid, GROUP + 1] {
        let text = format!("s{group}");
        let directory = served.make_directory(&served.root, &text).expect("made");
        if chown(served.path(&text), None, Some(group)).is_err() {
            continue;
        }
        chmod(&served, &text, 0o2777);
        make(&served, &directory, "f", FileKind::Regular, owner(0o640));
        make(&served, &directory, "d", FileKind::Directory, owner(0o750));
        let (uid, gid, mode) = is(&served, &format!("{text}/f"));
        assert_eq!((gid, mode), (group, 0o640));
        assert_eq!(uid, if is_superuser() { USER } else { own.uid });
        let (_, gid, mode) = is(&served, &format!("{text}/d"));
        assert_eq!((gid, mode), (group, 0o2750));
    }
}

#[test]
fn the_umask_of_the_process_takes_nothing_away() {
    // The umask belongs to the whole process, in which other tests run: whatever it is, these bits
    // are among those it usually takes.
    let served = Served::new();
    make(&served, &served.root, "f", FileKind::Regular, own(0o666));
    make(&served, &served.root, "d", FileKind::Directory, own(0o777));
    make(&served, &served.root, "p", FileKind::NamedPipe, own(0o622));
    assert_eq!((is(&served, "f").2, is(&served, "d").2, is(&served, "p").2), (0o666, 0o777, 0o622));
}

#[test]
fn a_default_acl_decides_what_a_new_file_may() {
    let served = Served::new();
    let directory = served.make_directory(&served.root, "d").expect("made");
    // user::rwx, user:USER:rw-, group::r-x, mask::rwx, other::---
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (1_u16, 7_u16, u32::MAX),
        (2, 6, USER),
        (4, 5, u32::MAX),
        (16, 7, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    let context = TestContext::new();
    let any = crate::mrx::request::SetExtendedAttributeMode::Any;
    let set = served.local.set_extended_attribute(
        &context,
        directory.as_ref(),
        b"system.posix_acl_default",
        &acl,
        any,
    );
    if errno(set) == Some(Errno::EOPNOTSUPP) {
        return;
    }
    make(&served, &directory, "f", FileKind::Regular, own(0o664));
    assert_eq!(is(&served, "d/f").2, 0o660, "others get nothing, whatever the mode says");
    let file = served.walk("d/f").expect("found");
    let name = b"system.posix_acl_access";
    let inherited = served.local.query_extended_attribute(&context, file.as_ref(), name);
    assert!(inherited.expect("an ACL").len() > 4 + 3 * 8, "with the named user");
    make(&served, &directory, "sub", FileKind::Directory, owner(0o777));
    assert_eq!(is(&served, "d/sub").2, 0o770);
}

fn write(served: &Served, open: &TestOpen, kill_privileges: bool) {
    let context = TestContext::new();
    finish(|submission| {
        served.local.write(&context, open.as_ref(), 0, b"x", kill_privileges, submission)
    })
    .expect("written");
}

#[test]
fn privileges_are_killed_when_asked() {
    let served = Served::new();
    let open = served.create(&served.root, "f").expect("created");
    for (mode, want) in [(0o6775, 0o775), (0o6765, 0o2765_u32 & !0o2000 | 0o2000), (0o2775, 0o775)]
    {
        // Group-executable or not decides about set-group-id.
        let want = if mode & 0o010 == 0 { mode & !0o4000 } else { want };
        chmod(&served, "f", mode);
        if is_superuser() {
            write(&served, &open, false);
            assert_eq!(is(&served, "f").2, mode, "not asked");
        }
        write(&served, &open, true);
        assert_eq!(is(&served, "f").2, want, "write");

        chmod(&served, "f", mode);
        let set =
            SetAttributes { size: Some(3), kill_privileges: true, ..SetAttributes::default() };
        let context = TestContext::new();
        served.local.set_file_information(&context, open.file.as_ref(), None, set).expect("set");
        assert_eq!(is(&served, "f").2, want, "truncate");

        for access in [Access::Write, Access::Read] {
            chmod(&served, "f", mode);
            fs::write(served.path("f"), b"content").expect("written");
            chmod(&served, "f", mode);
            let options = OpenOptions { truncate: true, kill_privileges: true, ..opening(access) };
            served.open(&open.file, options).expect("opened");
            assert_eq!(is(&served, "f").2, want, "open");
            assert_eq!(fs::metadata(served.path("f")).expect("stat").len(), 0);
        }

        chmod(&served, "f", mode);
        let all = crate::mrx::request::AllocateMode::default();
        let user = TestContext::of(USER, GROUP);
        served.local.allocate(&user, open.as_ref(), 0, 4096, all).expect("allocated");
        assert_eq!(is(&served, "f").2, want, "fallocate");
    }
    let directory = served.make_directory(&served.root, "d").expect("made");
    chmod(&served, "d", 0o2775);
    let set = SetAttributes { kill_privileges: true, ..SetAttributes::default() };
    let context = TestContext::new();
    served.local.set_file_information(&context, directory.as_ref(), None, set).expect("set");
    assert_eq!(is(&served, "d").2, 0o2775, "a directory's set-group-id is no privilege");
}

#[test]
fn file_capabilities_do_not_survive_a_change() {
    if !is_superuser() {
        return;
    }
    let served = Served::new();
    let open = served.create(&served.root, "f").expect("created");
    let context = TestContext::new();
    let any = crate::mrx::request::SetExtendedAttributeMode::Any;
    let capability = b"security.capability";
    // VFS_CAP_REVISION_2, effective; cap_net_raw permitted.
    let value = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let file = || open.file.as_ref();
    let give = || {
        let set = served.local.set_extended_attribute(&context, file(), capability, &value, any);
        set.expect("set");
    };
    let has = || served.local.query_extended_attribute(&context, file(), capability).is_ok();
    give();
    assert!(has());
    write(&served, &open, true);
    assert!(!has(), "after a write");
    give();
    let kill = SetAttributes { kill_privileges: true, ..SetAttributes::default() };
    served.local.set_file_information(&context, file(), None, kill).expect("set");
    assert!(!has(), "after a change of attributes");
}

#[test]
fn trusted_names_are_the_superusers() {
    let served = Served::new();
    fs::write(served.path("f"), b"").expect("written");
    let file = served.walk("f").expect("found");
    let context = TestContext::new();
    let any = crate::mrx::request::SetExtendedAttributeMode::Any;
    for name in [&b"trusted.t"[..], b"user.u"] {
        let set = served.local.set_extended_attribute(&context, file.as_ref(), name, b"1", any);
        assert!(set.is_ok() || !is_superuser());
    }
    let list = |context: &TestContext| {
        served.local.list_extended_attributes(context, file.as_ref()).expect("listed")
    };
    assert_eq!(list(&TestContext::of(USER, GROUP)), b"user.u\0");
    if is_superuser() {
        assert!(list(&context).windows(9).any(|part| part == b"trusted.t"));
    }
}
