//! Times, ownership, permissions, extended attributes.

use super::*;
use SetExtendedAttributeMode as Mode;

const CAPABILITY: &[u8] = b"security.capability";

fn set_xattr(rig: &Rig, file: &Found, name: &[u8], value: &[u8], mode: Mode) -> Result<(), Status> {
    rig.memory.set_extended_attribute(&TestContext::new(), of(file), name, value, mode)
}

fn xattr(rig: &Rig, file: &Found, name: &[u8]) -> Result<Vec<u8>, Status> {
    rig.memory.query_extended_attribute(&TestContext::new(), of(file), name)
}

fn xattrs(rig: &Rig, file: &Found, uid: u32) -> String {
    let list = rig.memory.list_extended_attributes(&TestContext::of(uid), of(file));
    String::from_utf8(list.expect("it can be listed")).expect("plain names").replace('\0', " ")
}

/// Which of access, modification and change time are `now`, as `a`, `m`, `c`.
fn marked(rig: &Rig, file: &Found, now: Timestamp) -> String {
    let file = rig.stat(file);
    let times = [(file.accessed, 'a'), (file.modified, 'm'), (file.changed, 'c')];
    times.iter().filter(|(time, _)| *time == now).map(|(_, letter)| letter).collect()
}

fn succeed<T>(result: Result<T, Status>) {
    assert!(result.is_ok());
}

#[test]
fn every_change_of_a_name_marks_its_directory() {
    let rig = Rig::new();
    let root = &rig.root;
    let file = rig.create(root, "f").file;
    let steps: [(&str, &dyn Fn()); 6] = [
        ("create", &|| drop(rig.create(root, "x"))),
        ("mkdir", &|| drop(rig.mkdir(root, "d"))),
        ("symlink", &|| succeed(rig.make(root, "l", &NewNode::Symlink(b"x".to_vec())))),
        ("link", &|| succeed(rig.link(&file, root, "g"))),
        ("unlink", &|| rig.unlink(root, "g").expect("removed")),
        ("rmdir", &|| rig.rmdir(root, "d").expect("removed")),
    ];
    for (what, step) in steps {
        let now = rig.tick();
        step();
        assert_eq!(marked(&rig, root, now), "mc", "{what}");
        let expected = if what.ends_with("link") && !what.starts_with("sym") { "c" } else { "" };
        assert_eq!(marked(&rig, &file, now), expected, "{what}");
    }
    let now = rig.tick();
    assert!(rig.lookup(root, "f").is_ok());
    assert_eq!(marked(&rig, root, now), "", "looking is no change");
    assert_eq!(rig.unlink(root, "none"), Err(Status::ObjectNameNotFound));
    assert_eq!(marked(&rig, root, now), "", "a failure is no change");
    rig.names(root);
    assert_eq!(marked(&rig, root, now), "a");
}

#[test]
fn every_use_of_content_marks_what_posix_says() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    let file = &handle.file;
    let context = TestContext::new();
    let allocate =
        || rig.memory.allocate(&context, handle.open(), 0, 8192, AllocateMode::default());
    let steps: [(&str, &dyn Fn(), &str); 8] = [
        ("write", &|| succeed(rig.write(&handle, 0, b"data")), "mc"),
        ("write of nothing", &|| succeed(rig.write(&handle, 0, b"")), ""),
        ("read", &|| succeed(rig.read(&handle, 0, 4)), "a"),
        ("truncate", &|| succeed(rig.truncate(file, 2)), "mc"),
        ("truncate to the same", &|| succeed(rig.truncate(file, 2)), "mc"),
        ("allocate", &|| allocate().expect("room"), "mc"),
        ("open", &|| succeed(rig.open(file, READ)), ""),
        (
            "O_TRUNC",
            &|| succeed(rig.open(file, OpenOptions { truncate: true, ..READ_WRITE })),
            "mc",
        ),
    ];
    for (what, step, expected) in steps {
        let now = rig.tick();
        step();
        assert_eq!(marked(&rig, file, now), expected, "{what}");
    }
    assert_eq!(rig.stat(file).size, 0);
}

#[test]
fn attributes_change_as_told_and_mark_the_change() {
    let rig = Rig::new();
    let file = rig.create(&rig.root, "f").file;
    let before = rig.stat(&file);
    let now = rig.tick();
    let past = Timestamp { seconds: -5, nanoseconds: 999_999_999 };
    let set = SetAttributes {
        permissions: Some(0o17777),
        uid: Some(5),
        gid: Some(u32::MAX - 1),
        accessed: Some(SetTime::At(past)),
        modified: Some(SetTime::Now),
        ..Default::default()
    };
    let expected = Attributes {
        permissions: 0o7777,
        uid: 5,
        gid: u32::MAX - 1,
        accessed: past,
        modified: now,
        changed: now,
        ..before
    };
    assert_eq!(rig.set(&file, set), Ok(expected));
    assert_eq!(rig.stat(&file), expected);
    let now = rig.tick();
    rig.set(&file, SetAttributes::default()).expect("chown to nobody new");
    assert_eq!(marked(&rig, &file, now), "c");
}

#[test]
fn a_size_is_for_files_with_content() {
    let rig = Rig::new();
    let directory = rig.mkdir(&rig.root, "d");
    let pipe = rig.make(&rig.root, "p", &NewNode::Special(FileKind::NamedPipe, 0)).expect("made");
    let file = rig.create(&rig.root, "f").file;
    let before = rig.stat(&directory);
    rig.tick();
    let set = SetAttributes { size: Some(1), permissions: Some(0), ..Default::default() };
    assert_eq!(rig.set(&directory, set), errno(Errno::EISDIR));
    assert_eq!(rig.stat(&directory), before, "all or nothing");
    assert_eq!(rig.truncate(&pipe, 0), Err(Status::InvalidParameter));
    assert_eq!(rig.truncate(&file, 1 << 63), errno(Errno::EFBIG));
    assert_eq!(rig.truncate(&file, i64::MAX as u64).map(|file| file.blocks), Ok(0));
}

#[test]
fn privileges_die_with_a_change_when_told_so() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    let file = &handle.file;
    let context = TestContext::of(1000);
    let kill = SetAttributes { kill_privileges: true, ..Default::default() };
    let truncating = OpenOptions { truncate: true, kill_privileges: true, ..READ_WRITE };
    let other = rig.create(&rig.root, "g");
    rig.write(&other, 0, b"source").expect("written");
    let copy = || rig.memory.copy_range(&context, (other.open(), 0), (handle.open(), 0), 6);
    let allocate = || rig.memory.allocate(&context, handle.open(), 0, 1, AllocateMode::default());
    let steps: [(&str, &dyn Fn(), bool); 8] = [
        ("write", &|| succeed(rig.write_as(&handle, 0, b"x", true)), true),
        ("write by root", &|| succeed(rig.write(&handle, 0, b"x")), false),
        ("truncate", &|| succeed(rig.set(file, SetAttributes { size: Some(9), ..kill })), true),
        ("chown", &|| succeed(rig.set(file, SetAttributes { uid: Some(9), ..kill })), true),
        ("chown by root", &|| succeed(rig.set(file, SetAttributes::default())), false),
        ("open", &|| succeed(rig.open(file, truncating)), true),
        ("allocate", &|| allocate().expect("room"), true),
        ("copy", &|| assert_eq!(copy(), Ok(6)), true),
    ];
    for (what, step, killed) in steps {
        for (before, after) in [(0o6755, 0o755), (0o6745, 0o2745)] {
            rig.chmod(file, before);
            set_xattr(&rig, file, CAPABILITY, b"cap", Mode::Any).expect("set");
            step();
            let expected = if killed { after } else { before };
            assert_eq!(rig.stat(file).permissions, expected, "{what}");
            assert_eq!(xattr(&rig, file, CAPABILITY).is_err(), killed, "{what}");
        }
    }
    let directory = rig.mkdir(&rig.root, "d");
    rig.chmod(&directory, 0o6755);
    assert_eq!(rig.set(&directory, kill).map(|it| it.permissions), Ok(0o6755), "only files");
}

#[test]
fn extended_attributes_are_kept_by_name() {
    let rig = Rig::new();
    let file = rig.create(&rig.root, "f").file;
    let now = rig.tick();
    assert_eq!(set_xattr(&rig, &file, b"user.a", b"1", Mode::Any), Ok(()));
    assert_eq!(marked(&rig, &file, now), "c");
    assert_eq!(set_xattr(&rig, &file, b"user.a", b"22", Mode::Replace), Ok(()));
    assert_eq!(set_xattr(&rig, &file, b"security.b", b"", Mode::Create), Ok(()));
    assert_eq!(set_xattr(&rig, &file, b"trusted.c", b"\0", Mode::Any), Ok(()));
    assert_eq!(xattr(&rig, &file, b"user.a"), Ok(b"22".to_vec()));
    assert_eq!(xattr(&rig, &file, b"security.b"), Ok(Vec::new()));
    assert_eq!(xattrs(&rig, &file, 0), "security.b trusted.c user.a ");
    assert_eq!(xattrs(&rig, &file, 1000), "security.b user.a ");
    let context = TestContext::new();
    let now = rig.tick();
    assert_eq!(rig.memory.remove_extended_attribute(&context, of(&file), b"user.a"), Ok(()));
    assert_eq!(marked(&rig, &file, now), "c");
    assert_eq!(xattr(&rig, &file, b"user.a"), errno(Errno::ENODATA));
    let again = rig.memory.remove_extended_attribute(&context, of(&file), b"user.a");
    assert_eq!(again, errno(Errno::ENODATA));
}

#[test]
fn extended_attributes_have_the_kernels_limits() {
    let rig = Rig::new();
    let file = rig.create(&rig.root, "f").file;
    let set = |name: &[u8], value: &[u8], mode| {
        set_xattr(&rig, &file, name, value, mode).map_err(Status::errno)
    };
    set(b"user.a", b"1", Mode::Any).expect("set");
    assert_eq!(set(b"user.a", b"", Mode::Create), Err(Errno::EEXIST));
    assert_eq!(set(b"user.b", b"", Mode::Replace), Err(Errno::ENODATA));
    assert_eq!(set(b"user.b", &[0; 65537], Mode::Any), Err(Errno::E2BIG));
    assert_eq!(set(b"user.b", &[0; 65536], Mode::Any), Ok(()));
    let long = [b"user.".as_slice(), &[b'x'; 250]].concat();
    assert_eq!(set(&long, b"", Mode::Any), Ok(()));
    assert_eq!(set(&[long, b"x".to_vec()].concat(), b"", Mode::Any), Err(Errno::ERANGE));
    for refused in ["user.", "other.x", "plain", "system.other", ""] {
        assert_eq!(set(refused.as_bytes(), b"", Mode::Any), Err(Errno::EOPNOTSUPP), "{refused}");
    }
    assert_eq!(xattr(&rig, &file, b"user.a"), Ok(b"1".to_vec()), "what was refused is not done");
}

#[test]
fn the_list_of_names_stays_listable() {
    let rig = Rig::new();
    let file = rig.create(&rig.root, "f").file;
    let name = |number: usize| format!("user.{number:0>250}").into_bytes();
    let fit = 65536 / 256;
    for number in 0..fit {
        set_xattr(&rig, &file, &name(number), b"", Mode::Any).expect("fits");
    }
    assert_eq!(set_xattr(&rig, &file, &name(fit), b"", Mode::Any), errno(Errno::ENOSPC));
    assert_eq!(set_xattr(&rig, &file, &name(0), b"new", Mode::Any), Ok(()));
    assert_eq!(xattrs(&rig, &file, 0).len(), 65536);
}

#[test]
fn user_attributes_are_for_files_and_directories() {
    let rig = Rig::new();
    let directory = rig.mkdir(&rig.root, "d");
    assert_eq!(set_xattr(&rig, &directory, b"user.a", b"", Mode::Any), Ok(()));
    let link = rig.make(&rig.root, "l", &NewNode::Symlink(b"x".to_vec())).expect("made");
    assert_eq!(set_xattr(&rig, &link, b"user.a", b"", Mode::Any), errno(Errno::EPERM));
    assert_eq!(xattr(&rig, &link, b"user.a"), errno(Errno::ENODATA));
    assert_eq!(set_xattr(&rig, &link, b"trusted.a", b"", Mode::Any), Ok(()));
}
