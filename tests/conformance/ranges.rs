//! Ranges of a file: holes, `fallocate`, copies inside the server, offsets of 64 bits.

use crate::claims::modes;
use crate::rig::{Rig, refused};
use minirdr::base::ids::HandleNumber;
use minirdr::base::status::{Errno, Status};
use minirdr::rdbss::operation::operand::{Access, AllocateMode, SeekTo, SetAttributes};
use minirdr::rdbss::operation::{Answer, Node, Operation};

/// A multiple of every file system's block.
const BLOCK: u64 = 1 << 16;

fn seek(rig: &Rig, handle: HandleNumber, offset: u64, to: SeekTo) -> Result<u64, Status> {
    match rig.call(Operation::Seek { handle, offset, to })? {
        Answer::Offset(offset) => Ok(offset),
        other => panic!("lseek answered {other:?}"),
    }
}

fn allocate(
    rig: &Rig,
    handle: HandleNumber,
    range: (u64, u64),
    mode: AllocateMode,
) -> Result<(), Status> {
    let allocate = Operation::Allocate { handle, offset: range.0, length: range.1, mode };
    rig.call(allocate).map(|_| ())
}

fn copy(
    rig: &Rig,
    (from, from_offset): (HandleNumber, u64),
    (to, to_offset): (HandleNumber, u64),
    length: u64,
) -> Result<usize, Status> {
    match rig.call(Operation::CopyRange { from, from_offset, to, to_offset, length })? {
        Answer::Written(bytes) => Ok(bytes),
        other => panic!("copy_file_range answered {other:?}"),
    }
}

/// A file of blocks, each full of its own letter: `a`, `b`, …
fn lettered(rig: &Rig, blocks: u8) -> (Node, HandleNumber) {
    let (node, handle) = rig.create(&rig.root(), "f");
    for block in 0..blocks {
        rig.write(handle, u64::from(block) * BLOCK, &vec![b'a' + block; BLOCK as usize]);
    }
    (node, handle)
}

/// The first byte of each block, and the size of the file in blocks.
fn letters(rig: &Rig, node: &Node, handle: HandleNumber) -> String {
    let size = rig.fstat(node, handle).expect("fstat").size;
    assert_eq!(size % BLOCK, 0);
    let mut letters = String::new();
    for block in 0..size / BLOCK {
        let data = rig.read(handle, block * BLOCK, BLOCK as usize);
        assert!(data.iter().all(|byte| *byte == data[0]), "block {block} is of one kind");
        letters.push(if data[0] == 0 { '.' } else { char::from(data[0]) });
    }
    letters
}

pub fn holes_read_as_zeros_and_take_no_room(rig: &Rig) {
    let (node, handle) = rig.create(&rig.root(), "f");
    rig.write(handle, 16 * BLOCK, b"end");
    assert_eq!(rig.read(handle, 16 * BLOCK - 3, 9), b"\0\0\0end");
    assert!(rig.read(handle, 0, BLOCK as usize).iter().all(|byte| *byte == 0));
    let seen = rig.fstat(&node, handle).expect("fstat");
    assert_eq!(seen.size, 16 * BLOCK + 3);
    if rig.claims.server.keeps_holes {
        assert!(seen.blocks * 512 <= 2 * BLOCK, "{} blocks", seen.blocks);
    }
    rig.close(handle);
}

pub fn holes_are_found(rig: &Rig) {
    let (_, handle) = rig.create(&rig.root(), "f");
    rig.write(handle, 4 * BLOCK, &vec![b'x'; BLOCK as usize]);
    let extend = SetAttributes { size: Some(9 * BLOCK), ..SetAttributes::default() };
    rig.set(&rig.walk("f").expect("there"), extend).expect("extended");
    assert_eq!(seek(rig, handle, 4 * BLOCK + 7, SeekTo::Data), Ok(4 * BLOCK + 7), "in data");
    if rig.claims.server.keeps_holes {
        assert_eq!(seek(rig, handle, 0, SeekTo::Data), Ok(4 * BLOCK));
        assert_eq!(seek(rig, handle, 3, SeekTo::Hole), Ok(3), "in a hole");
        assert_eq!(seek(rig, handle, 4 * BLOCK, SeekTo::Hole), Ok(5 * BLOCK));
        refused(seek(rig, handle, 5 * BLOCK, SeekTo::Data), Errno::ENXIO);
    }
    for to in [SeekTo::Data, SeekTo::Hole] {
        refused(seek(rig, handle, 9 * BLOCK, to), Errno::ENXIO);
    }
    rig.close(handle);
}

/// A file without holes has one at its end.
pub fn the_end_is_a_hole(rig: &Rig) {
    let (_, handle) = rig.create(&rig.root(), "f");
    refused(seek(rig, handle, 0, SeekTo::Hole), Errno::ENXIO);
    refused(seek(rig, handle, 0, SeekTo::Data), Errno::ENXIO);
    rig.write(handle, 0, b"12345");
    assert_eq!(seek(rig, handle, 2, SeekTo::Hole), Ok(5));
    assert_eq!(seek(rig, handle, 2, SeekTo::Data), Ok(2));
    rig.close(handle);
}

/// Linux's modes do what they say, or answer EOPNOTSUPP where the server cannot.
pub fn every_mode_of_fallocate(rig: &Rig) {
    for mode in modes() {
        let (node, handle) = lettered(rig, 4);
        let done = allocate(rig, handle, (BLOCK, BLOCK), mode);
        if rig.claims.server.allocates.contains(&mode) {
            assert_eq!(done, Ok(()), "{mode:?}");
            let wanted = match mode {
                AllocateMode { punch_hole: true, .. } | AllocateMode { zero_range: true, .. } => {
                    "a.cd"
                }
                AllocateMode { collapse_range: true, .. } => "acd",
                AllocateMode { insert_range: true, .. } => "a.bcd",
                _ => "abcd",
            };
            assert_eq!(letters(rig, &node, handle), wanted, "{mode:?}");
        } else {
            refused(done, Errno::EOPNOTSUPP);
            assert_eq!(letters(rig, &node, handle), "abcd", "{mode:?} changed nothing");
        }
        rig.close(handle);
        rig.unlink(&rig.root(), "f").expect("unlinked");
    }
}

pub fn allocating_beyond_the_end(rig: &Rig) {
    let plain = AllocateMode::default();
    let keeping = AllocateMode { keep_size: true, ..plain };
    if !rig.claims.server.allocates.contains(&keeping) {
        return;
    }
    let (node, handle) = lettered(rig, 1);
    allocate(rig, handle, (0, 3 * BLOCK), keeping).expect("allocated");
    let seen = rig.fstat(&node, handle).expect("fstat");
    assert_eq!(seen.size, BLOCK, "the size is kept");
    assert!(seen.blocks * 512 >= 3 * BLOCK, "and the room is there: {} blocks", seen.blocks);
    allocate(rig, handle, (0, 2 * BLOCK), plain).expect("allocated");
    assert_eq!(letters(rig, &node, handle), "a.");
    rig.close(handle);
}

/// A punched hole gives its room back.
pub fn punching_frees_room(rig: &Rig) {
    let punch = AllocateMode { keep_size: true, punch_hole: true, ..AllocateMode::default() };
    if !rig.claims.server.allocates.contains(&punch) {
        return;
    }
    let (node, handle) = lettered(rig, 8);
    rig.call(Operation::Synchronize { handle, data_only: false }).expect("written");
    allocate(rig, handle, (2 * BLOCK, 5 * BLOCK), punch).expect("punched");
    assert_eq!(letters(rig, &node, handle), "ab.....h");
    let seen = rig.fstat(&node, handle).expect("fstat");
    assert!(seen.blocks * 512 <= 4 * BLOCK, "{} blocks are left", seen.blocks);
    assert_eq!(seek(rig, handle, 0, SeekTo::Hole), Ok(2 * BLOCK));
    assert_eq!(seek(rig, handle, 2 * BLOCK, SeekTo::Data), Ok(7 * BLOCK));
    rig.close(handle);
}

pub fn fallocate_refuses_what_makes_no_sense(rig: &Rig) {
    let (_, handle) = lettered(rig, 2);
    let plain = AllocateMode::default();
    refused(allocate(rig, handle, (0, 0), plain), Errno::EINVAL);
    refused(allocate(rig, handle, (i64::MAX as u64, 1), plain), Errno::EFBIG);
    let punch = AllocateMode { punch_hole: true, ..plain };
    refused(allocate(rig, handle, (0, BLOCK), punch), Errno::EOPNOTSUPP);
    for mode in [
        AllocateMode { collapse_range: true, ..plain },
        AllocateMode { insert_range: true, ..plain },
    ] {
        if rig.claims.server.allocates.contains(&mode) {
            refused(allocate(rig, handle, (1, BLOCK), mode), Errno::EINVAL);
            refused(allocate(rig, handle, (2 * BLOCK, BLOCK), mode), Errno::EINVAL);
        }
    }
    rig.close(handle);
}

pub fn ranges_are_copied_inside_the_server(rig: &Rig) {
    let source = rig.file(&rig.root(), "from", b"0123456789");
    let source = rig.open(&source, Access::Read);
    let (node, target) = rig.create(&rig.root(), "to");
    assert_eq!(copy(rig, (source, 2), (target, 0), 4), Ok(4));
    assert_eq!(copy(rig, (source, 8), (target, 4), 100), Ok(2), "as far as the source goes");
    assert_eq!(copy(rig, (source, 10), (target, 6), 1), Ok(0), "the end");
    assert_eq!(copy(rig, (source, 0), (target, 0), 0), Ok(0));
    assert_eq!(copy(rig, (source, 0), (target, 8), 1), Ok(1), "beyond the end of the target");
    assert_eq!(rig.read(target, 0, 99), b"234589\0\x000");
    rig.close(source);
    rig.close(target);
    assert_eq!(rig.stat(&node).size, 9);
}

pub fn copies_within_a_file_must_not_overlap(rig: &Rig) {
    let (_, handle) = lettered(rig, 3);
    refused(copy(rig, (handle, 0), (handle, BLOCK), 2 * BLOCK), Errno::EINVAL);
    assert_eq!(copy(rig, (handle, 0), (handle, 2 * BLOCK), BLOCK), Ok(BLOCK as usize));
    assert_eq!(rig.read(handle, 2 * BLOCK, 3), b"aaa");
    assert_eq!(rig.read(handle, BLOCK, 3), b"bbb");
    rig.close(handle);
}

/// Offsets need all of their 64 bits.
pub fn far_offsets(rig: &Rig) {
    let (node, handle) = rig.create(&rig.root(), "f");
    for far in [(1_u64 << 31) - 2, (1 << 32) - 2, (1 << 33) + 1, (1 << 42) + 12_345] {
        rig.write(handle, far, b"far");
        assert_eq!(rig.read(handle, far - 1, 9), b"\0far", "at {far}");
        assert_eq!(rig.fstat(&node, handle).expect("fstat").size, far + 3);
    }
    let size = (1 << 40) + 1;
    let set = SetAttributes { size: Some(size), ..SetAttributes::default() };
    assert_eq!(rig.set(&node, set).expect("cut").size, size);
    assert_eq!(rig.read(handle, (1 << 33) + 1, 3), b"far");
    if rig.claims.server.keeps_holes {
        assert_eq!(seek(rig, handle, 1 << 34, SeekTo::Hole), Ok(1 << 34));
    }
    rig.close(handle);
}

/// What no file can have is refused; nothing wraps around to the beginning.
pub fn offsets_of_no_file(rig: &Rig) {
    let (node, handle) = rig.create(&rig.root(), "f");
    rig.write(handle, 0, b"begin");
    for beyond in [i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX] {
        assert!(rig.host.write(handle, beyond, b"lost").is_err(), "write at {beyond}");
        let read = rig.host.read(handle, beyond, 4);
        assert!(read.as_ref().map_or(true, Vec::is_empty), "read at {beyond}: {read:?}");
        let set = SetAttributes { size: Some(beyond), ..SetAttributes::default() };
        if beyond > i64::MAX as u64 {
            assert!(rig.set(&node, set).is_err(), "a size of {beyond}");
        }
    }
    assert_eq!(rig.read(handle, 0, 99), b"begin");
    rig.close(handle);
}
