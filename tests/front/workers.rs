//! The threads that serve a connection, when one of them dies.

use crate::can_mount;
use crate::common::wait_until;
use crate::fixture::{LIMIT, client};
use fuser::{FileAttr, FileType, Filesystem, INodeNo, ReplyAttr, ReplyStatfs, Request};
use minirdr::base::clock::SystemClock;
use minirdr::front::transport::device;
use minirdr::front::transport::door::Door;
use minirdr::front::transport::handshake::{Wishes, shake_hands};
use minirdr::front::transport::workers::{Ended, Workers};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

/// A root that can be looked at, and whose every `statfs` is the end of the thread that takes it.
/// No handler of the front's lets a panic out; what fuser does before and after it might.
#[derive(Clone)]
struct Poisoned;

impl Filesystem for Poisoned {
    fn getattr(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: Option<fuser::FileHandle>,
        reply: ReplyAttr,
    ) {
        let never = SystemTime::UNIX_EPOCH;
        let root = FileAttr {
            ino: number,
            size: 0,
            blocks: 0,
            atime: never,
            mtime: never,
            ctime: never,
            crtime: never,
            kind: FileType::Directory,
            perm: 0o755,
            nlink: 2,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        reply.attr(&Duration::ZERO, &root);
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, _reply: ReplyStatfs) {
        panic!("poison");
    }
}

/// Its caller gets an error, the others do not notice, and the mount is served as before.
#[test]
fn a_dead_worker_is_replaced() {
    if !can_mount() {
        return;
    }
    let place = tempfile::tempdir().expect("/tmp has room");
    let file = File::options().read(true).write(true).open("/dev/fuse").expect("root");
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", file.as_raw_fd());
    let options = std::ffi::CString::new(options).expect("no NUL");
    mount("poisoned", place.path(), "fuse", MountFlags::empty(), Some(options.as_c_str()))
        .expect("root may");
    let connection = std::os::fd::OwnedFd::from(file);
    let agreement = shake_hands(connection.as_fd(), Wishes::default()).expect("agreed");
    let door = Door::new(device::duplicate(connection.as_fd()).expect("room"));
    let (ended, end) = channel();
    let tell = Box::new(move |how| ended.send(how).expect("the test waits"));
    let mut workers =
        Workers::prepare(connection, agreement, door, &Poisoned, 3, tell).expect("prepared");
    workers.go();
    for dead in 1..=6 {
        let asked = client(place.path(), "sh", "stat -f $M").output().expect("sh");
        assert!(!asked.status.success(), "it was not answered");
        wait_until("it is replaced", || workers.replaced() == dead);
        let looked = client(place.path(), "sh", "stat -c %a $M").output().expect("sh");
        assert_eq!(looked.stdout, b"755\n", "after {dead}");
    }
    assert_eq!(workers.running(), 3);
    unmount(place.path(), UnmountFlags::empty()).expect("nobody is inside");
    assert!(workers.wait_ended(&SystemClock::new(), LIMIT));
    assert_eq!(end.recv_timeout(LIMIT), Ok(Ended::KernelGone));
    workers.join();
}
