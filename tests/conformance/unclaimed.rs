//! What is not claimed must answer EOPNOTSUPP, and nothing worse.

use crate::common::null::{Null, NullRedirector};
use crate::common::{Host, plain};
use crate::rig::{Rig, mode, name, refused};
use minirdr::base::status::{Errno, Status};
use minirdr::rdbss::operation::operand::{
    Access, AllocateMode, Lock, LockKind, NewNode, RenameMode, SeekTo, SetAttributes,
    SetExtendedAttributeMode,
};
use minirdr::rdbss::operation::{Node, Operation};
use std::sync::Arc;

fn lock(kind: LockKind) -> Lock {
    Lock { kind, start: 0, end: 9, owner: 7, pid: 1 }
}

/// Byte-range locks that a server does not keep are the kernel's own, and never faked.
pub fn locks_are_not_faked(rig: &Rig) {
    assert!(!rig.claims.capabilities.locks, "locks are claimed now: write their cases");
    let (_, handle) = rig.create(&rig.root(), "f");
    for kind in [LockKind::Shared, LockKind::Exclusive, LockKind::Unlock] {
        let lock = lock(kind);
        for wait in [false, true] {
            refused(rig.call(Operation::SetLock { handle, lock, wait }), Errno::EOPNOTSUPP);
        }
        refused(rig.call(Operation::GetLock { handle, lock }), Errno::EOPNOTSUPP);
    }
    rig.close(handle);
}

pub fn private_controls_are_refused(rig: &Rig) {
    let context = crate::notify::Asker::default();
    let answer = rig.redirector().device_control(&context, 0x1234, b"");
    assert_eq!(answer, Err(Status::NotImplemented));
}

/// Everything a mini-redirector need not have.
fn optional(
    root: &Node,
    node: &Node,
    handle: minirdr::base::ids::HandleNumber,
) -> Vec<Operation<'static>> {
    let (parent, file, attribute) = (root.clone(), node.clone(), b"user.a".to_vec());
    let (creation, options) = (mode(0o644), plain(Access::Read));
    let place = || (root.clone(), name("x"));
    let (new_parent, new_name) = place();
    vec![
        Operation::MakeNode { parent, name: name("x"), node: NewNode::Directory, creation },
        Operation::Link { node: file, parent: place().0, name: name("x") },
        Operation::Unlink { parent: place().0, name: name("x") },
        Operation::RemoveDirectory { parent: place().0, name: name("x") },
        Operation::Rename {
            parent: place().0,
            name: name("y"),
            new_parent,
            new_name,
            mode: RenameMode::Replace,
        },
        Operation::ReadLink { node: node.clone() },
        Operation::Create {
            parent: place().0,
            name: name("x"),
            creation,
            options,
            exclusive: true,
        },
        Operation::SetAttributes {
            node: node.clone(),
            handle: None,
            set: SetAttributes { size: Some(0), ..SetAttributes::default() },
        },
        Operation::GetExtendedAttribute { node: node.clone(), name: attribute.clone() },
        Operation::ListExtendedAttributes { node: node.clone() },
        Operation::SetExtendedAttribute {
            node: node.clone(),
            name: attribute.clone(),
            value: Vec::new(),
            mode: SetExtendedAttributeMode::Any,
        },
        Operation::RemoveExtendedAttribute { node: node.clone(), name: attribute },
        Operation::Allocate { handle, offset: 0, length: 1, mode: AllocateMode::default() },
        Operation::Seek { handle, offset: 0, to: SeekTo::Data },
        Operation::CopyRange { from: handle, from_offset: 0, to: handle, to_offset: 9, length: 1 },
        Operation::GetLock { handle, lock: lock(LockKind::Shared) },
        Operation::SetLock { handle, lock: lock(LockKind::Exclusive), wait: true },
        Operation::SetLock { handle, lock: lock(LockKind::Unlock), wait: false },
    ]
}

/// A mini-redirector that has no more than it must answers EOPNOTSUPP to everything else, run at
/// once or posted.
#[test]
fn the_least_of_all_redirectors() {
    for null in [Null::inline(), Null::posted()] {
        let host = Host::started(Arc::new(NullRedirector(null)));
        let node = host.lookup(&host.root(), "f").expect("every name exists");
        let handle = host.open(&node, Access::ReadWrite).expect("opens");
        for operation in optional(&host.root(), &node, handle) {
            let word = operation.word();
            let answer = host.call(operation).map_err(Status::errno);
            assert_eq!(answer.expect_err(word), Errno::EOPNOTSUPP, "{word}");
        }
        // What costs nothing to grant is granted.
        host.call(Operation::Synchronize { handle, data_only: true }).expect("nothing to do");
        host.call(Operation::Flush { handle }).expect("nothing to do");
        host.release(handle).expect("released");
    }
}
