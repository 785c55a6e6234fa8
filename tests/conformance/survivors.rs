//! Handles that outlive a stop: refused while it is stopped, closed in peace, carried over by a
//! start or stale for ever, and never on another file (stop.md S3, S4).

use crate::common::{plain, wait_until};
use crate::rig::{Rig, mode, name, refused};
use minirdr::base::ids::HandleNumber;
use minirdr::base::status::Errno;
use minirdr::base::stop::CallResult;
use minirdr::rdbss::operation::operand::{
    Access, AllocateMode, Lock, LockKind, NewNode, OpenOptions, RenameMode, SeekTo, SetAttributes,
    SetExtendedAttributeMode,
};
use minirdr::rdbss::operation::{Answer, Node, Operation};
use minirdr::rdbss::register::{DeviceOptions, SurvivorPolicy};

/// A stop that leaves so many handles open.
#[track_caller]
fn stop(rig: &Rig, survivors: u64) {
    let report = rig.host.stop();
    assert_eq!(report.survivors_total, survivors);
    let some = if survivors == 0 { CallResult::Success } else { CallResult::HasOpenHandles };
    assert_eq!(report.result, some);
}

#[track_caller]
fn start(rig: &Rig) {
    assert_eq!(rig.host.start().result, CallResult::Success);
}

/// G2: everything but cleanup and close is refused while it is stopped, and G4: the root answers.
pub fn stopped_means_refused(rig: &Rig) {
    let (root, set) = (rig.root(), SetAttributes::default());
    let (node, handle) = rig.create(&root, "f");
    let (parent, file, x) = (root.clone(), node.clone(), name("x"));
    let (creation, options) = (mode(0o644), plain(Access::Read));
    stop(rig, 1);
    let again = (parent.clone(), x.clone());
    let read = Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() };
    let lock = Lock { kind: LockKind::Shared, start: 0, end: 1, owner: 1, pid: 1 };
    let new = NewNode::Directory;
    let refusals = [
        Operation::Lookup { parent: parent.clone(), name: name("f") },
        Operation::MakeNode { parent: parent.clone(), name: x.clone(), node: new, creation },
        Operation::Link { node: file.clone(), parent: parent.clone(), name: x.clone() },
        Operation::Unlink { parent: parent.clone(), name: name("f") },
        Operation::RemoveDirectory { parent: parent.clone(), name: name("f") },
        Operation::Rename {
            parent: again.0,
            name: again.1,
            new_parent: parent.clone(),
            new_name: name("y"),
            mode: RenameMode::Replace,
        },
        Operation::Create { parent, name: x, creation, options, exclusive: true },
        Operation::Open { node: file.clone(), options },
        Operation::OpenDirectory { node: root.clone() },
        Operation::GetAttributes { node: file.clone(), handle: None },
        Operation::GetAttributes { node: file.clone(), handle: Some(handle) },
        Operation::SetAttributes { node: file.clone(), handle: None, set },
        Operation::ReadLink { node: file.clone() },
        Operation::GetExtendedAttribute { node: file.clone(), name: b"user.a".to_vec() },
        Operation::ListExtendedAttributes { node: file.clone() },
        Operation::Access { node: file.clone(), mask: 4 },
        read,
        Operation::Synchronize { handle, data_only: false },
        Operation::Seek { handle, offset: 0, to: SeekTo::Data },
        Operation::Allocate { handle, offset: 0, length: 1, mode: AllocateMode::default() },
        Operation::SetLock { handle, lock, wait: false },
    ];
    for refusal in refusals {
        let word = refusal.word();
        let answer = rig.call(refusal).map_err(|status| status.errno());
        assert_eq!(answer.expect_err(word), Errno::ESHUTDOWN, "{word}");
    }
    refused(rig.host.write(handle, 0, b"x"), Errno::ESHUTDOWN);
    let volume = rig.call(Operation::QueryVolume { node: rig.root() });
    assert!(matches!(volume, Ok(Answer::Volume(volume)) if volume.blocks > 0));
    assert_eq!(rig.stat(&root).kind, minirdr::rdbss::operation::operand::FileKind::Directory);
    rig.close(handle);
}

pub fn a_carried_over_handle_works_as_before(rig: &Rig) {
    let root = rig.root();
    let node = rig.file(&root, "f", b"before the stop");
    let reader = rig.open(&node, Access::Read);
    let truncating = OpenOptions { truncate: true, ..plain(Access::ReadWrite) };
    let other = rig.file(&root, "g", b"to be cut");
    let writer = rig.open_with(&other, truncating).expect("opens");
    rig.write(writer, 0, b"written");
    let appending = OpenOptions { append: true, ..plain(Access::Write) };
    let appender = rig.open_with(&other, appending).expect("opens");
    // More than once: a handle is carried from generation to generation.
    for round in 0..3 {
        stop(rig, 3);
        refused(rig.host.read(reader, 0, 1), Errno::ESHUTDOWN);
        start(rig);
        assert_eq!(rig.read(reader, 0, 99), b"before the stop", "round {round}");
        assert_eq!(rig.read(writer, 0, 7), b"written", "not truncated again");
        rig.write(appender, 0, b"+");
        assert_eq!(rig.fstat(&other, writer).expect("fstat").size, 8 + round);
    }
    rig.write(writer, 0, b"W");
    assert_eq!(rig.content(&other), b"Written+++");
    for handle in [reader, writer, appender] {
        rig.close(handle);
    }
    stop(rig, 0);
}

pub fn a_listing_goes_on_after_a_restart(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    for at in 0..40 {
        rig.file(&directory, format!("{at:02}"), b"");
    }
    let handle = rig.open_directory(&directory).expect("opens");
    let begun = rig.list(handle, 0, 500, false).expect("listed");
    assert!(begun.len() < 30, "there is more");
    let mut names: Vec<_> =
        begun[2..].iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect();
    stop(rig, 1);
    start(rig);
    names.extend(rig.rest(handle, begun.last().expect("some").next, 500));
    names.sort();
    assert_eq!(names, (0..40).map(|at| format!("{at:02}")).collect::<Vec<_>>());
    rig.close(handle);
}

/// S3: close and flush of what outlived the stop reach their own generation's redirector, before
/// and after the next start.
pub fn survivors_are_closed_in_peace(rig: &Rig) {
    let rig =
        rig.with(DeviceOptions { survivors: SurvivorPolicy::Stale, ..DeviceOptions::default() });
    let (node, first) = rig.create(&rig.root(), "f");
    let second = rig.open(&node, Access::Write);
    rig.write(first, 0, b"acknowledged");
    stop(&rig, 2);
    rig.close(first);
    assert_eq!(rig.host.device.status().open_handles, 1);
    refused(rig.host.release(first), Errno::EBADF);
    start(&rig);
    rig.close(second);
    assert_eq!(rig.content(&node), b"acknowledged");
    assert_eq!(rig.host.device.status().survivors, 0);
}

/// G3: a dirty page that comes after the stop is written all the same.
pub fn late_write_back_arrives(rig: &Rig) {
    let (node, handle) = rig.create(&rig.root(), "f");
    rig.write(handle, 0, b"clean dirty");
    stop(rig, 1);
    let write_back = || Operation::Write {
        handle,
        offset: 6,
        data: (&b"DIRTY"[..]).into(),
        write_back: true,
        kill_privileges: false,
    };
    assert!(matches!(rig.call(write_back()), Ok(Answer::Written(5))));
    rig.close(handle);
    start(rig);
    assert_eq!(rig.content(&node), b"clean DIRTY");
    refused(rig.call(write_back()), Errno::EBADF);
}

/// With `survivors = stale` they stay what they are until they are closed.
pub fn stale_handles_stay_stale(rig: &Rig) {
    let rig =
        rig.with(DeviceOptions { survivors: SurvivorPolicy::Stale, ..DeviceOptions::default() });
    let node = rig.file(&rig.root(), "f", b"data");
    let handle = rig.open(&node, Access::ReadWrite);
    let listing = rig.open_directory(&rig.root()).expect("opens");
    stop(&rig, 2);
    start(&rig);
    refused(rig.host.read(handle, 0, 1), Errno::ESTALE);
    refused(rig.host.write(handle, 0, b"x"), Errno::ESTALE);
    refused(rig.fstat(&node, handle), Errno::ESTALE);
    refused(rig.list(listing, 0, 999, false), Errno::ESTALE);
    assert_eq!(rig.content(&node), b"data", "a new handle works");
    assert_eq!(rig.host.device.status().survivors, 2);
    rig.close(handle);
    rig.close(listing);
    assert_eq!(rig.host.device.status().survivors, 0);
}

/// Without a name there is no way back to it.
pub fn a_file_without_a_name_is_not_carried_over(rig: &Rig) {
    let (_, handle) = rig.create(&rig.root(), "f");
    rig.write(handle, 0, b"nameless");
    rig.unlink(&rig.root(), "f").expect("unlinked");
    let other = rig.file(&rig.root(), "f", b"another file");
    stop(rig, 1);
    start(rig);
    refused(rig.host.read(handle, 0, 99), Errno::ESTALE);
    assert_eq!(rig.content(&other), b"another file");
    rig.close(handle);
}

pub fn a_moved_file_is_carried_over(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    let (node, handle) = rig.create(&root, "f");
    rig.write(handle, 0, b"moved");
    rig.rename((&root, "f"), (&directory, "g"), RenameMode::Replace).expect("moved");
    rig.rename((&root, "d"), (&root, "e"), RenameMode::Replace).expect("moved");
    rig.file(&root, "f", b"another file");
    stop(rig, 1);
    start(rig);
    assert_eq!(rig.read(handle, 0, 99), b"moved");
    assert_eq!(node.path(), b"e/g");
    rig.close(handle);
}

/// A file and a handle on it, and what somebody else does to it while it is stopped.
fn behind_our_back(rig: &Rig, act: impl FnOnce(&Rig)) -> (Node, HandleNumber) {
    let directory = rig.mkdir(&rig.root(), "d");
    let node = rig.file(&directory, "f", b"the file that was opened");
    let handle = rig.open(&node, Access::ReadWrite);
    stop(rig, 1);
    act(&rig.somebody_else());
    start(rig);
    (node, handle)
}

/// Neither the handle nor the file leads anywhere; both end in peace.
#[track_caller]
fn is_stale(rig: &Rig, (node, handle): (Node, HandleNumber)) {
    refused(rig.host.read(handle, 0, 99), Errno::ESTALE);
    refused(rig.host.write(handle, 0, b"onto the wrong file"), Errno::ESTALE);
    refused(rig.try_stat(&node), Errno::ESTALE);
    refused(rig.open_with(&node, plain(Access::Read)), Errno::ESTALE);
    let node_gone = Operation::GetExtendedAttribute { node, name: b"user.a".to_vec() };
    refused(rig.call(node_gone), Errno::ESTALE);
    rig.close(handle);
}

pub fn replaced_behind_our_back(rig: &Rig) {
    let stale = behind_our_back(rig, |other| {
        let directory = other.walk("d").expect("there");
        other.file(&directory, "new", b"another file");
        let (new, old) = ((&directory, "new"), (&directory, "f"));
        other.rename(new, old, RenameMode::Replace).expect("replaced");
    });
    is_stale(rig, stale);
    assert_eq!(rig.content(&rig.walk("d/f").expect("there")), b"another file");
}

/// A file system may give the new file the old one's number at once.
pub fn removed_and_made_again_behind_our_back(rig: &Rig) {
    let stale = behind_our_back(rig, |other| {
        let directory = other.walk("d").expect("there");
        other.unlink(&directory, "f").expect("unlinked");
        other.file(&directory, "f", b"another file");
    });
    is_stale(rig, stale);
    assert_eq!(rig.content(&rig.walk("d/f").expect("there")), b"another file");
}

pub fn removed_behind_our_back(rig: &Rig) {
    let stale = behind_our_back(rig, |other| {
        other.unlink(&other.walk("d").expect("there"), "f").expect("unlinked");
    });
    is_stale(rig, stale);
    refused(rig.walk("d/f"), Errno::ENOENT);
}

/// It is the same file still, and is known again as soon as somebody looks where it is now.
pub fn moved_behind_our_back(rig: &Rig) {
    let (node, handle) = behind_our_back(rig, |other| {
        let directory = other.walk("d").expect("there");
        let (old, new) = ((&directory, "f"), (&other.root(), "g"));
        other.rename(old, new, RenameMode::Replace).expect("moved");
    });
    refused(rig.host.read(handle, 0, 99), Errno::ESTALE);
    refused(rig.try_stat(&node), Errno::ESTALE);
    let found = rig.find(&rig.root(), "g").expect("found").node;
    assert!(std::sync::Arc::ptr_eq(&found, &node), "under the number it had");
    assert_eq!(rig.content(&node), b"the file that was opened");
    assert_eq!(node.path(), b"g");
    rig.close(handle);
}

/// Its directory was moved away, and another one has the name, with a file of the same name in it.
pub fn its_directory_replaced_behind_our_back(rig: &Rig) {
    let stale = behind_our_back(rig, |other| {
        let root = other.root();
        other.rename((&root, "d"), (&root, "elsewhere"), RenameMode::Replace).expect("moved");
        let directory = other.mkdir(&root, "d");
        other.file(&directory, "f", b"another file");
    });
    is_stale(rig, stale);
}

/// A symlink in the place of its directory must not be followed.
pub fn its_directory_made_a_symlink_behind_our_back(rig: &Rig) {
    let stale = behind_our_back(rig, |other| {
        let root = other.root();
        other.rename((&root, "d"), (&root, "elsewhere"), RenameMode::Replace).expect("moved");
        other.symlink(&root, "d", "elsewhere").expect("made");
    });
    is_stale(rig, stale);
}

/// A whole other tree is served under the same path: the root is still the root, nothing else is.
pub fn the_tree_replaced_behind_our_back(rig: &Rig) {
    let Some(place) = rig.directory() else { return };
    let node = rig.file(&rig.root(), "f", b"the old tree");
    let handle = rig.open(&node, Access::Read);
    stop(rig, 1);
    std::fs::rename(place.join("root"), place.join("old")).expect("moved");
    std::fs::create_dir(place.join("root")).expect("made");
    std::fs::write(place.join("root/f"), b"the new tree").expect("written");
    start(rig);
    is_stale(rig, (node, handle));
    assert_eq!(rig.content(&rig.walk("f").expect("there")), b"the new tree");
}

/// What a stop reports, and what is told when the last one goes.
pub fn survivors_are_reported(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    let (_, handle) = rig.create(&directory, "open");
    let report = rig.host.stop();
    let [survivor] = report.survivors.as_slice() else { panic!("{:?}", report.survivors) };
    assert_eq!((survivor.path.as_slice(), survivor.mode.as_str()), (&b"d/open"[..], "rw"));
    assert_eq!(survivor.handle, handle);
    rig.close(handle);
    wait_until("the end of the last survivor is told", || {
        rig.host.notices.kinds().contains(&"holder_left".to_owned())
    });
    start(rig);
}

/// Extended attributes and everything else of a file stay what they were.
pub fn files_are_the_same_after_a_restart(rig: &Rig) {
    let root = rig.root();
    let node = rig.file(&root, "f", b"data");
    let attribute = (b"user.a".to_vec(), b"value".to_vec());
    let mode = SetExtendedAttributeMode::Any;
    let (name, value) = attribute.clone();
    let kept = rig.call(Operation::SetExtendedAttribute { node: node.clone(), name, value, mode });
    rig.link(&node, &root, "g").expect("linked");
    let before = rig.stat(&node);
    stop(rig, 0);
    start(rig);
    let after = rig.stat(&node);
    assert_eq!(
        minirdr::rdbss::operation::operand::Attributes { accessed: before.accessed, ..after },
        before
    );
    if kept.is_ok() {
        let name = attribute.0;
        let get = Operation::GetExtendedAttribute { node: node.clone(), name };
        assert!(matches!(rig.call(get), Ok(Answer::Data(value)) if value == attribute.1));
    }
    assert_eq!(rig.names(&root), ["f", "g"]);
    assert_eq!(rig.content(&node), b"data");
}
