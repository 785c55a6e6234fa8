//! Content: reading, writing, holes, allocation, copying.

use super::*;
use proptest::prelude::*;

const PAGE: u64 = 4096;

fn allocate(
    rig: &Rig,
    handle: &Handle,
    range: std::ops::Range<u64>,
    mode: AllocateMode,
) -> Result<(), Status> {
    let length = range.end - range.start;
    rig.memory.allocate(&TestContext::new(), handle.open(), range.start, length, mode)
}

fn seek(rig: &Rig, handle: &Handle, offset: u64, to: SeekTo) -> Result<u64, Status> {
    rig.memory.seek(&TestContext::new(), handle.open(), offset, to)
}

fn copy(rig: &Rig, from: (&Handle, u64), to: (&Handle, u64), length: u64) -> Result<u64, Status> {
    let context = TestContext::new();
    rig.memory.copy_range(&context, (from.0.open(), from.1), (to.0.open(), to.1), length)
}

const PUNCH: AllocateMode = AllocateMode {
    punch_hole: true,
    keep_size: true,
    zero_range: false,
    collapse_range: false,
    insert_range: false,
    unshare_range: false,
};
const PLAIN: AllocateMode = AllocateMode { punch_hole: false, keep_size: false, ..PUNCH };
const KEEP: AllocateMode = AllocateMode { keep_size: true, ..PLAIN };
const ZERO: AllocateMode = AllocateMode { zero_range: true, ..PLAIN };
const COLLAPSE: AllocateMode = AllocateMode { collapse_range: true, ..PLAIN };
const INSERT: AllocateMode = AllocateMode { insert_range: true, ..PLAIN };

#[test]
fn reads_end_where_the_file_ends() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    assert_eq!(rig.write(&handle, 2, b"abc"), Ok(3));
    assert_eq!(rig.read(&handle, 0, 100), Ok(b"\0\0abc".to_vec()));
    assert_eq!(rig.read(&handle, 4, 1), Ok(b"c".to_vec()));
    assert_eq!(rig.read(&handle, 5, 1), Ok(Vec::new()));
    assert_eq!(rig.read(&handle, u64::MAX, usize::MAX), Ok(Vec::new()));
}

#[test]
fn a_read_fills_the_buffer_it_is_given() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 0, &[7; 100]).expect("written");
    let buffer = Vec::with_capacity(4096);
    let place = buffer.as_ptr();
    let context = TestContext::new();
    let read =
        done(|submission| rig.memory.read(&context, handle.open(), 0, 100, buffer, submission));
    let read = read.expect("read");
    assert_eq!((read.as_ptr(), read.as_slice()), (place, [7; 100].as_slice()));
}

#[test]
fn appends_go_to_the_end_whatever_the_offset() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 0, b"one").expect("written");
    let appending = OpenOptions { append: true, ..READ_WRITE };
    let appender = rig.open(&handle.file, appending).expect("opened");
    rig.write(&appender, 0, b"two").expect("written");
    assert_eq!(rig.read(&handle, 0, 9), Ok(b"onetwo".to_vec()));
}

#[test]
fn appends_of_many_threads_never_overlap() {
    let rig = Rig::new();
    let handle = rig.create_with(&rig.root, "log", OpenOptions { append: true, ..READ_WRITE });
    let handle = handle.expect("made");
    std::thread::scope(|scope| {
        for writer in 1..=4_u8 {
            let (rig, handle) = (&rig, &handle);
            scope.spawn(move || {
                for _ in 0..200 {
                    assert_eq!(rig.write(handle, 0, &[writer; 7]), Ok(7));
                }
            });
        }
    });
    let content = rig.read(&handle, 0, usize::MAX).expect("read");
    assert_eq!(content.len(), 4 * 200 * 7);
    assert!(content.chunks(7).all(|record| record.iter().all(|&byte| byte == record[0])));
}

#[test]
fn the_largest_file_ends_where_offsets_do() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    let last = i64::MAX as u64 - 1;
    assert_eq!(rig.write(&handle, last + 1, b"x"), errno(Errno::EFBIG));
    assert_eq!(rig.write(&handle, u64::MAX, b"x"), errno(Errno::EFBIG));
    assert_eq!(rig.write(&handle, last, b"xy"), Ok(1), "as much as fits");
    let file = rig.stat(&handle.file);
    assert_eq!((file.size, file.blocks), (i64::MAX as u64, 8));
    assert_eq!(allocate(&rig, &handle, last..last + 2, PLAIN), errno(Errno::EFBIG));
    assert_eq!(allocate(&rig, &handle, 0..4096, INSERT), errno(Errno::EFBIG));
}

#[test]
fn holes_cost_no_blocks_and_can_be_found() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 10 * PAGE, b"data").expect("written");
    rig.truncate(&handle.file, 20 * PAGE).expect("extended");
    assert_eq!(rig.stat(&handle.file).blocks, 8);
    assert_eq!(seek(&rig, &handle, 0, SeekTo::Data), Ok(10 * PAGE));
    assert_eq!(seek(&rig, &handle, 0, SeekTo::Hole), Ok(0));
    assert_eq!(seek(&rig, &handle, 10 * PAGE + 1, SeekTo::Data), Ok(10 * PAGE + 1));
    assert_eq!(seek(&rig, &handle, 10 * PAGE + 1, SeekTo::Hole), Ok(11 * PAGE));
    assert_eq!(seek(&rig, &handle, 11 * PAGE, SeekTo::Data), errno(Errno::ENXIO));
    assert_eq!(seek(&rig, &handle, 20 * PAGE, SeekTo::Hole), errno(Errno::ENXIO));
    rig.write(&handle, 20 * PAGE - 1, b"x").expect("written");
    assert_eq!(seek(&rig, &handle, 20 * PAGE - 1, SeekTo::Hole), Ok(20 * PAGE), "the end is one");
}

#[test]
fn what_was_cut_off_comes_back_as_zeros() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 0, &[1; 5000]).expect("written");
    rig.truncate(&handle.file, 10).expect("cut");
    assert_eq!(rig.stat(&handle.file).blocks, 8);
    rig.truncate(&handle.file, 5000).expect("extended");
    let mut expected = vec![0; 5000];
    expected[..10].fill(1);
    assert_eq!(rig.read(&handle, 0, 5000), Ok(expected));
}

#[test]
fn truncating_at_open_empties_the_file() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 0, b"old").expect("written");
    rig.open(&handle.file, OpenOptions { truncate: true, ..READ_WRITE }).expect("opened");
    let file = rig.stat(&handle.file);
    assert_eq!((file.size, file.blocks), (0, 0));
    let directory = rig.mkdir(&rig.root, "d");
    let refused = rig.open(&directory, OpenOptions { truncate: true, ..READ });
    assert_eq!(refused.err(), Some(Errno::EISDIR.into()));
}

#[test]
fn fallocate_allocates_and_keeps_the_size_if_told() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    let size_and_blocks = || {
        let file = rig.stat(&handle.file);
        (file.size, file.blocks)
    };
    assert_eq!(allocate(&rig, &handle, 100..5000, KEEP), Ok(()));
    assert_eq!(size_and_blocks(), (0, 16));
    assert_eq!(allocate(&rig, &handle, 100..5000, PLAIN), Ok(()));
    assert_eq!(size_and_blocks(), (5000, 16));
    assert_eq!(rig.read(&handle, 0, 9000), Ok(vec![0; 5000]));
    rig.truncate(&handle.file, 5000).expect("cut where it ends");
    assert_eq!(allocate(&rig, &handle, 0..3 * PAGE, KEEP), Ok(()));
    rig.truncate(&handle.file, 5000).expect("cut where it ends");
    assert_eq!(size_and_blocks(), (5000, 16), "what was allocated ahead goes with a truncate");
}

#[test]
fn fallocate_punches_zeroes_collapses_and_inserts() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    let pattern: Vec<u8> = (0..4 * PAGE).map(|at| (at / PAGE) as u8 + 1).collect();
    rig.write(&handle, 0, &pattern).expect("written");
    let state = || {
        let content = rig.read(&handle, 0, usize::MAX).expect("read");
        let starts: Vec<u8> = content.chunks(PAGE as usize).map(|page| page[0]).collect();
        (starts, rig.stat(&handle.file).blocks / 8)
    };
    assert_eq!(allocate(&rig, &handle, PAGE..2 * PAGE, PUNCH), Ok(()));
    assert_eq!(state(), (vec![1, 0, 3, 4], 3));
    assert_eq!(allocate(&rig, &handle, PAGE..3 * PAGE, ZERO), Ok(()));
    assert_eq!(state(), (vec![1, 0, 0, 4], 4));
    assert_eq!(allocate(&rig, &handle, PAGE..3 * PAGE, COLLAPSE), Ok(()));
    assert_eq!(state(), (vec![1, 4], 2));
    assert_eq!(allocate(&rig, &handle, PAGE..2 * PAGE, INSERT), Ok(()));
    assert_eq!(state(), (vec![1, 0, 4], 2));
    assert_eq!(allocate(&rig, &handle, 4 * PAGE..5 * PAGE, ZERO), Ok(()));
    assert_eq!(state(), (vec![1, 0, 4, 0, 0], 3));
}

#[test]
fn fallocate_refuses_what_makes_no_sense() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 0, &[1; 3 * 4096]).expect("written");
    let unshare = AllocateMode { unshare_range: true, ..PLAIN };
    assert_eq!(allocate(&rig, &handle, 0..PAGE, unshare), Ok(()), "nothing is shared");
    let before = rig.stat(&handle.file);
    rig.tick();
    let refusals = [
        (0..0, PLAIN, Errno::EINVAL),
        (0..PAGE, AllocateMode { keep_size: false, ..PUNCH }, Errno::EOPNOTSUPP),
        (0..PAGE, AllocateMode { zero_range: true, ..PUNCH }, Errno::EOPNOTSUPP),
        (0..PAGE, AllocateMode { keep_size: true, ..COLLAPSE }, Errno::EINVAL),
        (0..PAGE, AllocateMode { insert_range: true, ..COLLAPSE }, Errno::EINVAL),
        (1..PAGE, COLLAPSE, Errno::EINVAL),
        (PAGE..3 * PAGE, COLLAPSE, Errno::EINVAL),
        (0..PAGE + 1, INSERT, Errno::EINVAL),
        (3 * PAGE..4 * PAGE, INSERT, Errno::EINVAL),
    ];
    for (range, mode, expected) in refusals {
        let refused = allocate(&rig, &handle, range.clone(), mode).map_err(Status::errno);
        assert_eq!(refused, Err(expected), "{range:?} {mode:?}");
    }
    assert_eq!(rig.stat(&handle.file), before);
    let directory = rig.open(&rig.root, READ).expect("opened");
    assert_eq!(allocate(&rig, &directory, 0..1, PLAIN), errno(Errno::EISDIR));
}

#[test]
fn copies_go_as_far_as_the_source() {
    let rig = Rig::new();
    let (from, to) = (rig.create(&rig.root, "from"), rig.create(&rig.root, "to"));
    let pattern: Vec<u8> = (0..3 << 20).map(|at: u32| (at % 251) as u8).collect();
    rig.write(&from, 0, &pattern).expect("written");
    let now = rig.tick();
    assert_eq!(copy(&rig, (&from, 1), (&to, 5), u64::MAX), Ok((3 << 20) - 1));
    assert!(rig.read(&to, 5, usize::MAX).expect("read") == pattern[1..]);
    assert_eq!((rig.stat(&from.file).modified < now, rig.stat(&to.file).modified), (true, now));
    assert_eq!(copy(&rig, (&from, 3 << 20), (&to, 0), 10), Ok(0), "nothing after the end");
    let directory = rig.open(&rig.root, READ).expect("opened");
    assert_eq!(copy(&rig, (&directory, 0), (&to, 0), 1), errno(Errno::EISDIR));
    let end = i64::MAX as u64;
    assert_eq!(copy(&rig, (&from, 0), (&to, end), 1), errno(Errno::EFBIG));
}

#[test]
fn copies_within_one_file_must_not_overlap() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 0, b"abcdef").expect("written");
    let overlapping = copy(&rig, (&handle, 0), (&handle, 2), 3);
    assert_eq!(overlapping, Err(Status::InvalidParameter));
    assert_eq!(copy(&rig, (&handle, 0), (&handle, 3), 3), Ok(3));
    assert_eq!(rig.read(&handle, 0, 9), Ok(b"abcabc".to_vec()));
}

#[test]
fn a_cancelled_copy_stops_short() {
    let rig = Rig::new();
    let (from, to) = (rig.create(&rig.root, "from"), rig.create(&rig.root, "to"));
    rig.write(&from, 0, b"abc").expect("written");
    let context = TestContext::new();
    context.cancel();
    let copied = rig.memory.copy_range(&context, (from.open(), 0), (to.open(), 0), 3);
    assert_eq!(copied, Ok(0));
}

#[test]
fn readers_see_writes_whole_while_names_come_and_go() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 0, &[0; 10_000]).expect("written");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..200 {
                assert_eq!(rig.write(&handle, 0, &[round as u8; 10_000]), Ok(10_000));
            }
        });
        scope.spawn(|| {
            for _ in 0..200 {
                drop(rig.create(&rig.root, "x"));
                rig.rename((&rig.root, "x"), (&rig.root, "y"), RenameMode::Replace).expect("moved");
                rig.names(&rig.root);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let seen = rig.read(&handle, 0, 10_000).expect("read");
                    assert!(seen.iter().all(|&byte| byte == seen[0]), "half of a write");
                }
            });
        }
    });
    assert_eq!(rig.names(&rig.root), ["f", "y"]);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, usize, u8),
    Append(usize, u8),
    Read(u64, usize),
    Truncate(u64),
    Punch(u64, u64),
    Zero(u64, u64),
    Allocate(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let offset = 0..40_000_u64;
    let size = 1..20_000_usize;
    let length = 1..20_000_u64;
    prop_oneof![
        3 => (offset.clone(), size.clone(), 1..=255_u8)
            .prop_map(|(offset, size, byte)| Step::Write(offset, size, byte)),
        1 => (size.clone(), 1..=255_u8).prop_map(|(size, byte)| Step::Append(size, byte)),
        2 => (offset.clone(), size).prop_map(|(offset, size)| Step::Read(offset, size)),
        1 => offset.clone().prop_map(Step::Truncate),
        2 => (offset.clone(), length.clone()).prop_map(|(from, by)| Step::Punch(from, by)),
        1 => (offset.clone(), length.clone()).prop_map(|(from, by)| Step::Zero(from, by)),
        1 => (offset, length).prop_map(|(from, by)| Step::Allocate(from, by)),
    ]
}

/// Puts bytes into the model as a write does.
fn put(model: &mut Vec<u8>, offset: usize, size: usize, byte: u8) {
    model.resize(model.len().max(offset + size), 0);
    model[offset..offset + size].fill(byte);
}

/// One step on the file and on the model; what it does to the file is checked at once.
fn take(rig: &Rig, handle: &Handle, appender: &Handle, model: &mut Vec<u8>, step: &Step) {
    match *step {
        Step::Write(offset, size, byte) => {
            assert_eq!(rig.write(handle, offset, &vec![byte; size]), Ok(size));
            put(model, offset as usize, size, byte);
        }
        Step::Append(size, byte) => {
            assert_eq!(rig.write(appender, 0, &vec![byte; size]), Ok(size));
            put(model, model.len(), size, byte);
        }
        Step::Read(offset, size) => {
            let end = model.len().min(offset as usize + size);
            let expected = &model[end.min(offset as usize)..end];
            assert!(rig.read(handle, offset, size).expect("read") == expected);
        }
        Step::Truncate(size) => {
            assert_eq!(rig.truncate(&handle.file, size).map(|file| file.size), Ok(size));
            model.resize(size as usize, 0);
        }
        Step::Punch(from, by) => {
            assert_eq!(allocate(rig, handle, from..from + by, PUNCH), Ok(()));
            let end = model.len().min((from + by) as usize);
            let start = end.min(from as usize);
            model[start..end].fill(0);
        }
        Step::Zero(from, by) => {
            assert_eq!(allocate(rig, handle, from..from + by, ZERO), Ok(()));
            put(model, from as usize, by as usize, 0);
        }
        Step::Allocate(from, by) => {
            assert_eq!(allocate(rig, handle, from..from + by, PLAIN), Ok(()));
            model.resize(model.len().max((from + by) as usize), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn behaves_like_a_vector_of_bytes(steps in prop::collection::vec(step(), 1..40)) {
        let rig = Rig::new();
        let context = TestContext::new();
        let free = || rig.memory.query_volume_information(&context).map(|it| it.blocks_free);
        let free_at_first = free();
        {
            let handle = rig.create(&rig.root, "f");
            let appending = OpenOptions { append: true, ..READ_WRITE };
            let appender = rig.open(&handle.file, appending).expect("opened");
            let mut model = Vec::new();
            for step in &steps {
                take(&rig, &handle, &appender, &mut model, step);
                prop_assert_eq!(rig.stat(&handle.file).size, model.len() as u64);
            }
            prop_assert!(rig.read(&handle, 0, usize::MAX).expect("read") == model);
            let blocks = rig.stat(&handle.file).blocks / 8;
            prop_assert_eq!(free().expect("asked") + blocks, free_at_first.expect("asked"));
            rig.unlink(&rig.root, "f").expect("removed");
        }
        prop_assert_eq!(free(), free_at_first, "room is given back with the last open");
    }
}
