//! Extended attributes: every mode, every size, and their list.

use crate::claims::ACL_0640;
use crate::rig::{Rig, name, refused};
use minirdr::base::status::{Errno, Status};
use minirdr::rdbss::operation::operand::SetExtendedAttributeMode::{self, Any, Create, Replace};
use minirdr::rdbss::operation::operand::{FileKind, NewNode};
use minirdr::rdbss::operation::{Answer, Creation, Node, Operation};

fn set(
    rig: &Rig,
    node: &Node,
    name: &str,
    value: &[u8],
    mode: SetExtendedAttributeMode,
) -> Result<(), Status> {
    let (node, name, value) = (node.clone(), name.as_bytes().to_vec(), value.to_vec());
    rig.call(Operation::SetExtendedAttribute { node, name, value, mode }).map(|_| ())
}

fn get(rig: &Rig, node: &Node, name: &str) -> Result<Vec<u8>, Status> {
    let (node, name) = (node.clone(), name.as_bytes().to_vec());
    match rig.call(Operation::GetExtendedAttribute { node, name })? {
        Answer::Data(value) => Ok(value),
        other => panic!("getxattr answered {other:?}"),
    }
}

fn remove(rig: &Rig, node: &Node, name: &str) -> Result<(), Status> {
    let (node, name) = (node.clone(), name.as_bytes().to_vec());
    rig.call(Operation::RemoveExtendedAttribute { node, name }).map(|_| ())
}

/// The `user.` names, in order.
fn list(rig: &Rig, node: &Node) -> Vec<String> {
    let Ok(Answer::Data(names)) =
        rig.call(Operation::ListExtendedAttributes { node: node.clone() })
    else {
        panic!("listxattr failed")
    };
    assert!(names.is_empty() || names.ends_with(&[0]), "every name ends with NUL");
    let names = names.split(|byte| *byte == 0).filter(|name| name.starts_with(b"user."));
    let mut names: Vec<_> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    names.sort();
    names
}

/// What cannot be kept is refused; false then.
fn are_kept(rig: &Rig) -> bool {
    let claimed = rig.claims.capabilities.extended_attributes;
    if claimed && rig.claims.server.keeps_extended_attributes {
        return true;
    }
    let node = rig.root();
    refused(set(rig, &node, "user.a", b"v", Any), Errno::EOPNOTSUPP);
    refused(get(rig, &node, "user.a"), Errno::EOPNOTSUPP);
    false
}

pub fn kept_by_name(rig: &Rig) {
    if !are_kept(rig) {
        return;
    }
    for node in [rig.file(&rig.root(), "f", b""), rig.mkdir(&rig.root(), "d")] {
        assert_eq!(list(rig, &node), Vec::<String>::new());
        refused(get(rig, &node, "user.a"), Errno::ENODATA);
        set(rig, &node, "user.a", b"one", Any).expect("set");
        set(rig, &node, "user.b", b"\0\xff\0", Any).expect("set");
        set(rig, &node, "user.empty", b"", Any).expect("set");
        assert_eq!(get(rig, &node, "user.a").as_deref(), Ok(&b"one"[..]));
        assert_eq!(get(rig, &node, "user.b").as_deref(), Ok(&b"\0\xff\0"[..]));
        assert_eq!(get(rig, &node, "user.empty").as_deref(), Ok(&b""[..]));
        assert_eq!(list(rig, &node), ["user.a", "user.b", "user.empty"]);
        set(rig, &node, "user.a", b"another value", Any).expect("replaced");
        assert_eq!(get(rig, &node, "user.a").as_deref(), Ok(&b"another value"[..]));
        remove(rig, &node, "user.a").expect("removed");
        refused(remove(rig, &node, "user.a"), Errno::ENODATA);
        refused(get(rig, &node, "user.a"), Errno::ENODATA);
        assert_eq!(list(rig, &node), ["user.b", "user.empty"]);
    }
}

pub fn every_mode(rig: &Rig) {
    if !are_kept(rig) {
        return;
    }
    let node = rig.file(&rig.root(), "f", b"");
    refused(set(rig, &node, "user.a", b"0", Replace), Errno::ENODATA);
    set(rig, &node, "user.a", b"1", Create).expect("created");
    refused(set(rig, &node, "user.a", b"2", Create), Errno::EEXIST);
    assert_eq!(get(rig, &node, "user.a").as_deref(), Ok(&b"1"[..]), "nothing was changed");
    set(rig, &node, "user.a", b"3", Replace).expect("replaced");
    assert_eq!(get(rig, &node, "user.a").as_deref(), Ok(&b"3"[..]));
}

/// Linux's limits: values to 64 KiB (where the server has the room), names to 255 bytes.
pub fn every_size(rig: &Rig) {
    if !are_kept(rig) {
        return;
    }
    let node = rig.file(&rig.root(), "f", b"");
    for size in [0, 1, 255, 256, 257, 1000, 3000, 65_536] {
        let value: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        match set(rig, &node, "user.v", &value, Any) {
            Ok(()) => assert_eq!(get(rig, &node, "user.v"), Ok(value), "{size} bytes"),
            Err(status) => {
                assert!(size > 3000, "{size} bytes always fit: {status}");
                assert!(
                    matches!(status.errno(), Errno::ENOSPC | Errno::E2BIG | Errno::EDQUOT),
                    "{size}: {status}"
                );
                assert_eq!(get(rig, &node, "user.v").map(|old| old.len()), Ok(3000), "kept");
            }
        }
    }
    refused(set(rig, &node, "user.v", &vec![0; 65_537], Any), Errno::E2BIG);
    let longest = format!("user.{}", "n".repeat(250));
    set(rig, &node, &longest, b"v", Any).expect("255 bytes of name");
    assert_eq!(get(rig, &node, &longest).as_deref(), Ok(&b"v"[..]));
    refused(set(rig, &node, &format!("{longest}n"), b"v", Any), Errno::ERANGE);
}

pub fn many_names_are_listed(rig: &Rig) {
    if !are_kept(rig) {
        return;
    }
    let node = rig.file(&rig.root(), "f", b"");
    let names: Vec<_> = (0..60).map(|at| format!("user.attribute-{at:03}")).collect();
    for name in &names {
        set(rig, &node, name, name.as_bytes(), Any).expect("set");
    }
    assert_eq!(list(rig, &node), names);
    for name in &names {
        assert_eq!(get(rig, &node, name).as_deref(), Ok(name.as_bytes()));
    }
}

pub fn they_belong_to_the_file_and_not_to_its_name(rig: &Rig) {
    if !are_kept(rig) {
        return;
    }
    let root = rig.root();
    let node = rig.file(&root, "f", b"");
    set(rig, &node, "user.a", b"1", Any).expect("set");
    let linked = rig.link(&node, &root, "g").expect("linked").node;
    assert_eq!(get(rig, &linked, "user.a").as_deref(), Ok(&b"1"[..]));
    let mode = minirdr::rdbss::operation::operand::RenameMode::Replace;
    rig.unlink(&root, "f").expect("unlinked");
    rig.rename((&root, "g"), (&root, "h"), mode).expect("moved");
    assert_eq!(get(rig, &rig.walk("h").expect("there"), "user.a").as_deref(), Ok(&b"1"[..]));
    let handle = rig.open(&node, minirdr::rdbss::operation::operand::Access::Read);
    rig.unlink(&root, "h").expect("unlinked");
    assert_eq!(get(rig, &node, "user.a").as_deref(), Ok(&b"1"[..]), "without a name, too");
    set(rig, &node, "user.b", b"2", Any).expect("set");
    rig.close(handle);
}

pub fn names_of_no_kind_are_refused(rig: &Rig) {
    if !are_kept(rig) {
        return;
    }
    let node = rig.file(&rig.root(), "f", b"");
    for name in ["plain", "usr.a", "unknown.a"] {
        refused(set(rig, &node, name, b"v", Any), Errno::EOPNOTSUPP);
        refused(get(rig, &node, name), Errno::EOPNOTSUPP);
        refused(remove(rig, &node, name), Errno::EOPNOTSUPP);
    }
    let link = rig.symlink(&rig.root(), "l", "x").expect("made").node;
    refused(set(rig, &link, "user.a", b"v", Any), Errno::EPERM);
    refused(get(rig, &link, "user.a"), Errno::ENODATA);
}

/// An ACL is kept where the redirector claims to, and refused where it does not: kept and not
/// obeyed it would be a lie.
pub fn acls_are_kept_or_refused(rig: &Rig) {
    const NAME: &str = "system.posix_acl_access";
    let node = rig.file(&rig.root(), "f", b"");
    let kept = set(rig, &node, NAME, &ACL_0640, Any);
    if rig.claims.capabilities.posix_acl && rig.claims.server.keeps_acl {
        kept.expect("kept");
        assert_eq!(rig.stat(&node).permissions, 0o640, "an ACL of three entries is a mode");
    } else {
        refused(kept, Errno::EOPNOTSUPP);
        refused(get(rig, &node, NAME), Errno::EOPNOTSUPP);
        assert_eq!(rig.stat(&node).permissions, 0o644);
    }
}

/// `user::rwx, user:4242:rwx, group::r-x, mask::rwx, other::r--`.
fn acl_0774() -> Vec<u8> {
    let nobody = u32::MAX;
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1_u16, 7_u16, nobody), (2, 7, 4242), (4, 5, nobody), (16, 7, nobody), (32, 4, nobody)]
    {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

/// S-149: the umask is taken off what is made, but not where a default ACL is.
pub fn a_default_acl_takes_the_umasks_place(rig: &Rig) {
    const DEFAULT: &str = "system.posix_acl_default";
    if !(rig.claims.capabilities.posix_acl && rig.claims.server.keeps_acl) {
        return;
    }
    let (plain, limited) = (rig.mkdir(&rig.root(), "plain"), rig.mkdir(&rig.root(), "limited"));
    set(rig, &limited, DEFAULT, &acl_0774(), Any).expect("kept");
    let creation = Creation { permissions: 0o666, umask: 0o077 };
    let make = |parent: &Node, entry: &str, node: NewNode, creation: Creation| {
        let (parent, name) = (parent.clone(), name(entry));
        match rig.call(Operation::MakeNode { parent, name, node, creation }) {
            Ok(Answer::Node(made)) => made,
            other => panic!("making {entry} answered {other:?}"),
        }
    };
    let pipe = || NewNode::Special(FileKind::NamedPipe, 0);
    assert_eq!(make(&plain, "p", pipe(), creation).attributes.permissions, 0o600);
    assert_eq!(make(&limited, "p", pipe(), creation).attributes.permissions, 0o664);
    let creation = Creation { permissions: 0o777, umask: 0o077 };
    let inner = make(&limited, "d", NewNode::Directory, creation);
    assert_eq!(inner.attributes.permissions, 0o774);
    assert_eq!(get(rig, &inner.node, DEFAULT), Ok(acl_0774()), "it is handed down");
    let own = get(rig, &inner.node, "system.posix_acl_access");
    assert_eq!(own, Ok(acl_0774()), "and is the directory's own");
}

/// Who sets the ACL of a file of a group he is not in loses its set-group-id bit.
pub fn an_acl_is_no_way_to_a_set_group_id_file(rig: &Rig) {
    const NAME: &str = "system.posix_acl_access";
    if !(rig.claims.capabilities.posix_acl && rig.claims.server.keeps_acl) {
        return;
    }
    let node = rig.file(&rig.root(), "f", b"");
    let is = rig.stat(&node);
    let set_as = |caller: (u32, u32)| {
        rig.chmod(&node, 0o2755);
        let (node, name, value) = (node.clone(), NAME.as_bytes().to_vec(), acl_0774());
        let set = Operation::SetExtendedAttribute { node, name, value, mode: Any };
        rig.call_as(caller, set).map(|_| ()).expect("set");
    };
    set_as((is.uid + 4242, is.gid + 4242));
    assert_eq!(rig.stat(&node).permissions, 0o774);
    set_as((is.uid + 4242, is.gid));
    assert_eq!(rig.stat(&node).permissions, 0o2774, "one of the group may");
}
