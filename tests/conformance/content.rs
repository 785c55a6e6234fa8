//! What is in a file: reading, writing, appending, cutting, and files without a name.

use crate::common::plain;
use crate::rig::{Rig, at, mode, refused};
use minirdr::base::ids::HandleNumber;
use minirdr::base::status::Errno;
use minirdr::rdbss::operation::operand::{
    Access, AllocateMode, FileKind, NewNode, OpenOptions, SeekTo, SetAttributes, SetTime,
};
use minirdr::rdbss::operation::{Answer, Node, Operation};

fn sized(size: u64) -> SetAttributes {
    SetAttributes { size: Some(size), ..SetAttributes::default() }
}

fn truncating() -> OpenOptions {
    OpenOptions { truncate: true, ..plain(Access::ReadWrite) }
}

fn appending() -> OpenOptions {
    OpenOptions { append: true, ..plain(Access::Write) }
}

pub fn what_is_written_is_read(rig: &Rig) {
    let (node, handle) = rig.create(&rig.root(), "f");
    rig.write(handle, 0, b"hello world");
    rig.write(handle, 6, b"there");
    assert_eq!(rig.read(handle, 0, 100), b"hello there");
    assert_eq!(rig.read(handle, 6, 3), b"the", "no more than was asked for");
    assert_eq!(rig.read(handle, 11, 1), b"", "the end");
    assert_eq!(rig.read(handle, 1 << 40, 1), b"", "far beyond it");
    assert_eq!(rig.read(handle, 3, 0), b"");
    assert_eq!(rig.host.write(handle, 11, b""), Ok(0));
    rig.close(handle);
    assert_eq!(rig.content(&node), b"hello there");
    assert_eq!(rig.stat(&node).size, 11);
}

pub fn two_handles_see_one_file(rig: &Rig) {
    let (node, first) = rig.create(&rig.root(), "f");
    let second = rig.open(&node, Access::Read);
    rig.write(first, 0, b"seen at once");
    assert_eq!(rig.read(second, 0, 100), b"seen at once");
    rig.close(first);
    assert_eq!(rig.read(second, 5, 2), b"at");
    rig.close(second);
}

pub fn large_content_comes_back_in_any_pieces(rig: &Rig) {
    let data: Vec<u8> = (0..300_000_u32).map(|at| (at * 31 % 251) as u8).collect();
    let (node, handle) = rig.create(&rig.root(), "f");
    let mut written = 0;
    for piece in [1, 4095, 4096, 4097, 131_072, data.len()] {
        let end = (written + piece).min(data.len());
        rig.write(handle, written as u64, &data[written..end]);
        written = end;
    }
    assert_eq!(rig.read(handle, 0, data.len() + 1), data);
    for (from, size) in [(0, 1), (4095, 2), (4096, 4096), (131_071, 131_073), (299_999, 10)] {
        let end = (from + size).min(data.len());
        assert_eq!(rig.read(handle, from as u64, size), data[from..end], "{size} at {from}");
    }
    rig.close(handle);
    assert_eq!(rig.stat(&node).size, data.len() as u64);
}

pub fn a_handle_does_what_it_was_opened_for(rig: &Rig) {
    let node = rig.file(&rig.root(), "f", b"data");
    let (reader, writer) = (rig.open(&node, Access::Read), rig.open(&node, Access::Write));
    assert_eq!(rig.read(reader, 0, 9), b"data");
    rig.write(writer, 0, b"D");
    assert_eq!(rig.read(reader, 0, 9), b"Data");
    rig.close(reader);
    rig.close(writer);
    refused(rig.host.read(reader, 0, 1), Errno::EBADF);
    refused(rig.host.write(writer, 0, b"x"), Errno::EBADF);
    refused(rig.host.release(reader), Errno::EBADF);
}

pub fn appends_go_to_the_end_whatever_the_offset(rig: &Rig) {
    let node = rig.file(&rig.root(), "f", b"one");
    let handle = rig.open_with(&node, appending()).expect("opens");
    rig.write(handle, 0, b" two");
    let other = rig.open(&node, Access::Write);
    rig.write(other, 7, b" three");
    rig.write(handle, 1 << 30, b" four");
    rig.close(other);
    rig.close(handle);
    assert_eq!(rig.content(&node), b"one two three four");
}

pub fn appends_of_many_threads_never_overlap(rig: &Rig) {
    const THREADS: u8 = 4;
    const RECORDS: usize = 50;
    const RECORD: usize = 97;
    let node = rig.file(&rig.root(), "log", b"");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let node = &node;
            scope.spawn(move || {
                let handle = rig.open_with(node, appending()).expect("opens");
                for _ in 0..RECORDS {
                    rig.write(handle, 0, &[b'a' + thread; RECORD]);
                }
                rig.close(handle);
            });
        }
    });
    let content = rig.content(&node);
    assert_eq!(content.len(), usize::from(THREADS) * RECORDS * RECORD);
    for record in content.chunks(RECORD) {
        assert!(record.iter().all(|byte| *byte == record[0]), "a record is whole");
    }
}

pub fn cutting_and_extending(rig: &Rig) {
    let node = rig.file(&rig.root(), "f", b"0123456789");
    assert_eq!(rig.set(&node, sized(4)).expect("cut").size, 4);
    assert_eq!(rig.content(&node), b"0123");
    assert_eq!(rig.set(&node, sized(8)).expect("extended").size, 8);
    assert_eq!(rig.content(&node), b"0123\0\0\0\0", "what was cut off comes back as zeros");
    let handle = rig.open(&node, Access::Write);
    let cut = Operation::SetAttributes {
        node: node.clone(),
        handle: Some(handle),
        set: SetAttributes { size: Some(1), ..SetAttributes::default() },
    };
    assert!(matches!(rig.call(cut), Ok(Answer::Attributes(now)) if now.size == 1));
    rig.write(handle, 3, b"x");
    rig.close(handle);
    assert_eq!(rig.content(&node), b"0\0\0x", "a write beyond the end leaves zeros");
}

pub fn only_files_have_a_size_to_set(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    refused(rig.set(&directory, sized(0)), Errno::EISDIR);
    let fifo = NewNode::Special(FileKind::NamedPipe, 0);
    let fifo = rig.make(&root, "p", fifo, mode(0o644)).expect("made").node;
    refused(rig.set(&fifo, sized(0)), Errno::EINVAL);
}

pub fn truncating_opens_empty_the_file(rig: &Rig) {
    let root = rig.root();
    let node = rig.file(&root, "f", b"old content");
    let reader = rig.open(&node, Access::Read);
    let handle = rig.open_with(&node, truncating()).expect("opens");
    assert_eq!(rig.fstat(&node, handle).expect("fstat").size, 0);
    assert_eq!(rig.read(reader, 0, 100), b"", "for those who have it open, too");
    rig.write(handle, 0, b"new");
    rig.close(handle);
    assert_eq!(rig.read(reader, 0, 100), b"new");
    rig.close(reader);
    // CREATE without O_EXCL of a file that another made first.
    let place = (&root, &b"f"[..]);
    let (found, open) =
        rig.create_with(place, mode(0o600), truncating(), false).expect("opened, not made");
    assert_eq!(found.node.number(), node.number());
    assert_eq!(rig.stat(&node).permissions, 0o644, "it was there already");
    rig.close(open.handle);
    assert_eq!(rig.content(&node), b"");
}

pub fn content_changes_are_dated(rig: &Rig) {
    let long_ago =
        SetAttributes { modified: Some(SetTime::At(at(1_000_000, 0))), ..SetAttributes::default() };
    let node = rig.file(&rig.root(), "f", b"x");
    let handle = rig.open(&node, Access::ReadWrite);
    let touched = |what: &str| {
        let changed = rig.stat(&node);
        assert!(changed.modified > at(1_600_000_000, 0), "{what}: {:?}", changed.modified);
        assert!(changed.changed >= changed.modified, "{what}");
        assert_eq!(rig.set(&node, long_ago).expect("set").modified, at(1_000_000, 0));
    };
    rig.set(&node, long_ago).expect("set");
    rig.write(handle, 0, b"y");
    touched("write");
    rig.set(&node, sized(9)).expect("extended");
    touched("truncate");
    assert_eq!(rig.read(handle, 0, 1), b"y");
    assert_eq!(rig.stat(&node).modified, at(1_000_000, 0), "reading changes nothing");
    rig.close(handle);
    assert_eq!(rig.stat(&node).modified, at(1_000_000, 0), "nor does closing");
}

pub fn what_was_written_can_be_made_stable(rig: &Rig) {
    let (node, handle) = rig.create(&rig.root(), "f");
    rig.write(handle, 0, b"kept");
    for data_only in [true, false] {
        let sync = Operation::Synchronize { handle, data_only };
        assert!(matches!(rig.call(sync), Ok(Answer::Empty)));
    }
    rig.close(handle);
    let options = OpenOptions { synchronous: true, ..plain(Access::ReadWrite) };
    let handle = rig.open_with(&node, options).expect("opens");
    rig.write(handle, 4, b" at once");
    rig.close(handle);
    assert_eq!(rig.content(&node), b"kept at once");
    let directory = rig.open_directory(&rig.root()).expect("opens");
    let sync = Operation::Synchronize { handle: directory, data_only: false };
    assert!(matches!(rig.call(sync), Ok(Answer::Empty)), "a directory, too");
    rig.close(directory);
}

/// A handle of a file that has lost its last name, which lies at `f`.
fn unlinked(rig: &Rig) -> (Node, HandleNumber) {
    let (node, handle) = rig.create(&rig.root(), "f");
    rig.write(handle, 0, b"still here");
    rig.unlink(&rig.root(), "f").expect("unlinked");
    (node, handle)
}

pub fn unlinked_and_still_open(rig: &Rig) {
    let (node, handle) = unlinked(rig);
    refused(rig.find(&rig.root(), "f"), Errno::ENOENT);
    assert_eq!(rig.names(&rig.root()), Vec::<String>::new());
    assert_eq!(rig.read(handle, 0, 100), b"still here");
    rig.write(handle, 6, b"alive");
    assert_eq!(rig.read(handle, 0, 100), b"still alive");
    let seen = rig.fstat(&node, handle).expect("fstat");
    assert_eq!((seen.links, seen.size), (0, 11));
    assert_eq!(rig.stat(&node).links, 0, "without the handle, too");
    assert_eq!(rig.set(&node, sized(5)).expect("cut").size, 5);
    assert_eq!(rig.read(handle, 0, 100), b"still");
    rig.chmod(&node, 0o600);
    assert_eq!(rig.fstat(&node, handle).expect("fstat").permissions, 0o600);
    let second = rig.open(&node, Access::Read);
    assert_eq!(rig.read(second, 0, 9), b"still", "it can be opened again through /proc");
    rig.close(second);
    rig.close(handle);
}

pub fn a_new_file_of_an_old_name_is_another_file(rig: &Rig) {
    let (old, handle) = unlinked(rig);
    let new = rig.file(&rig.root(), "f", b"new");
    assert_ne!(new.number(), old.number(), "while the old one lives");
    rig.write(handle, 0, b"OLD");
    assert_eq!(rig.content(&new), b"new");
    rig.close(handle);
    assert_eq!(rig.find(&rig.root(), "f").expect("there").node.number(), new.number());
}

pub fn replaced_and_still_open(rig: &Rig) {
    let root = rig.root();
    let (old, handle) = rig.create(&root, "f");
    rig.write(handle, 0, b"old");
    let new = rig.file(&root, "f.tmp", b"new");
    let mode = minirdr::rdbss::operation::operand::RenameMode::Replace;
    rig.rename((&root, "f.tmp"), (&root, "f"), mode).expect("an editor's save");
    assert_eq!(rig.read(handle, 0, 9), b"old");
    rig.write(handle, 3, b" hat");
    assert_eq!(rig.fstat(&old, handle).expect("fstat").links, 0);
    assert_eq!(rig.content(&new), b"new");
    assert_eq!(rig.find(&root, "f").expect("there").node.number(), new.number());
    rig.close(handle);
}

pub fn only_files_hold_bytes(rig: &Rig) {
    let root = rig.root();
    let directory = rig.mkdir(&root, "d");
    refused(rig.open_with(&directory, plain(Access::Write)), Errno::EISDIR);
    refused(rig.open_with(&directory, plain(Access::ReadWrite)), Errno::EISDIR);
    let link = rig.symlink(&root, "l", "d").expect("made").node;
    refused(rig.open_with(&link, plain(Access::Read)), Errno::ELOOP);
    let listing = rig.open_directory(&directory).expect("opens");
    refused(rig.host.read(listing, 0, 1), Errno::EISDIR);
    let seek = Operation::Seek { handle: listing, offset: 0, to: SeekTo::Data };
    assert!(rig.call(seek).is_err(), "a directory has no holes");
    let mode = AllocateMode::default();
    let allocate = Operation::Allocate { handle: listing, offset: 0, length: 1, mode };
    assert!(rig.call(allocate).is_err(), "nor room to give");
    rig.close(listing);
    let file = rig.file(&root, "f", b"");
    match rig.open_directory(&file) {
        Ok(handle) => {
            refused(rig.list(handle, 0, 99, false), Errno::ENOTDIR);
            rig.close(handle);
        }
        Err(status) => assert_eq!(status.errno(), Errno::ENOTDIR),
    }
}

/// The kernel opens pipes and devices by itself; whoever opens one here must not wait for its other
/// end.
pub fn special_files_are_not_opened(rig: &Rig) {
    for (entry, kind) in [("p", FileKind::NamedPipe), ("s", FileKind::Socket)] {
        let node = NewNode::Special(kind, 0);
        let node = rig.make(&rig.root(), entry, node, mode(0o666)).expect("made").node;
        refused(rig.open_with(&node, plain(Access::Read)), Errno::ENXIO);
        refused(rig.open_with(&node, plain(Access::Write)), Errno::ENXIO);
    }
}
