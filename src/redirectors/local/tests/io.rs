//! Reading, writing, sizes, holes, times and extended attributes.

use super::*;
use crate::base::clock::{Clock, SystemClock};
use crate::base::status::Errno;
use crate::mrx::request::{
    AllocateMode, Buffering, SeekTo, SetAttributes, SetExtendedAttributeMode, SetTime, Timestamp,
};
use crate::redirectors::test_support::LIMIT;

impl Served {
    fn set(&self, file: &TestFile, set: SetAttributes) -> Result<Attributes, Status> {
        self.local.set_file_information(&TestContext::new(), file.as_ref(), None, set)
    }
}

#[test]
fn reads_fill_the_callers_buffer_and_end_at_the_end() {
    let served = Served::new();
    fs::write(served.path("f"), b"0123456789").expect("written");
    let open = served.open(&served.walk("f").expect("found"), opening(Access::Read)).expect("open");
    for capacity in [0, 3, 4, 5, 4096] {
        for (offset, size, want) in
            [(0, 4, &b"0123"[..]), (8, 4, b"89"), (10, 4, b""), (99, 4, b""), (3, 0, b"")]
        {
            let buffer = Vec::with_capacity(capacity);
            let context = TestContext::new();
            let read = finish(|submission| {
                served.local.read(&context, open.as_ref(), offset, size, buffer, submission)
            });
            assert_eq!(read.expect("read"), want, "{capacity} {offset} {size}");
        }
    }
}

#[test]
fn writes_go_where_they_should() {
    let served = Served::new();
    let open = served.create(&served.root, "f").expect("created");
    assert_eq!(served.write(&open, 4, b"tail"), Ok(4));
    assert_eq!(served.write(&open, 0, b"head"), Ok(4));
    let options = OpenOptions { append: true, ..opening(Access::Write) };
    let append = served.open(&open.file, options).expect("opened");
    assert_eq!(served.write(&append, 0, b"+"), Ok(1), "at the end, whatever the offset");
    assert_eq!(fs::read(served.path("f")).expect("read"), b"headtail+");
    let options = OpenOptions { truncate: true, synchronous: true, ..opening(Access::ReadWrite) };
    let emptied = served.open(&open.file, options).expect("opened");
    assert_eq!(served.attributes(&open.file).expect("stat").size, 0);
    served.write(&emptied, 0, b"x").expect("written");
    let context = TestContext::new();
    for data_only in [false, true] {
        finish(|submission| served.local.flush(&context, emptied.as_ref(), data_only, submission))
            .expect("flushed");
    }
    let reader = served.open(&open.file, opening(Access::Read)).expect("opened");
    assert_eq!(errno(served.write(&reader, 0, b"x")), Some(Errno::EBADF));
}

#[test]
fn a_reclaimed_open_keeps_the_content() {
    let served = Served::new();
    fs::write(served.path("f"), b"kept").expect("written");
    let file = served.walk("f").expect("found");
    let options = OpenOptions { truncate: true, ..opening(Access::ReadWrite) };
    let opened = served.local.reclaim_open(&TestContext::new(), file.as_ref(), options);
    let open = TestOpen::new(&file, opened.expect("reclaimed"), options);
    assert_eq!(served.read(&open, 0, 9).expect("read"), b"kept");
    assert_eq!(served.write(&open, 4, b"!"), Ok(1));
}

fn buffering(served: &Served, file: &TestFile, access: Access) -> Buffering {
    let opened = served.local.open(&TestContext::new(), file.as_ref(), opening(access));
    opened.expect("opened").buffering
}

#[test]
fn caching_is_what_was_asked_for() {
    for keep_cache in [false, true] {
        let served = Served::with(LocalOptions { keep_cache, ..LocalOptions::default() });
        fs::write(served.path("f"), b"").expect("written");
        let file = served.walk("f").expect("found");
        for access in [Access::Read, Access::Write] {
            let buffering = buffering(&served, &file, access);
            assert_eq!(buffering.keep_cache, keep_cache);
            assert_eq!(buffering.no_flush, access == Access::Read);
            assert!(!buffering.direct && !buffering.stream);
        }
    }
}

/// S-167: without a lease the times say whether pages may stay, once they are old enough to.
#[test]
fn pages_stay_while_the_times_do() {
    let served = Served::new();
    fs::write(served.path("f"), b"old").expect("written");
    let file = served.walk("f").expect("found");
    let keeps = || buffering(&served, &file, Access::Read).keep_cache;
    assert_eq!([keeps(), keeps()], [false, false], "another change might get the same times");
    let clock = SystemClock::new();
    let until = clock.now().after(LIMIT);
    while !keeps() {
        assert!(clock.now() < until, "it never gets old");
        std::thread::yield_now();
    }
    assert!(keeps());
    fs::write(served.path("f"), b"new").expect("written");
    assert!(!keeps(), "changed");
}

#[test]
fn attributes_change_in_an_order_that_keeps_them_all() {
    let served = Served::new();
    let open = served.create(&served.root, "f").expect("created");
    let (accessed, modified) = (
        Timestamp { seconds: 1_000_000_007, nanoseconds: 123_456_789 },
        Timestamp { seconds: -3, nanoseconds: 800_000_000 },
    );
    let all = SetAttributes {
        permissions: Some(0o4751),
        uid: Some(own(0).uid),
        gid: Some(own(0).gid),
        size: Some(12345),
        accessed: Some(SetTime::At(accessed)),
        modified: Some(SetTime::At(modified)),
        kill_privileges: true,
    };
    for through in [None, Some(&open)] {
        let context = TestContext::new();
        let through = through.map(TestOpen::as_ref);
        let set = served.local.set_file_information(&context, open.file.as_ref(), through, all);
        let is = set.expect("set");
        assert_eq!((is.permissions, is.size), (0o4751, 12345));
        assert_eq!((is.accessed, is.modified), (accessed, modified));
    }
    let now = SetAttributes { modified: Some(SetTime::Now), ..SetAttributes::default() };
    let is = served.set(&open.file, now).expect("set");
    assert_eq!(is.accessed, accessed, "left alone");
    assert!(is.modified.seconds > 1_000_000_007);
    let directory = served.make_directory(&served.root, "d").expect("made");
    let size = SetAttributes { size: Some(0), ..SetAttributes::default() };
    assert_eq!(errno(served.set(&directory, size)), Some(Errno::EISDIR));
}

#[test]
fn holes_are_found_and_made() {
    let served = Served::new();
    let open = served.create(&served.root, "f").expect("created");
    served.write(&open, 1 << 20, &[1; 4096]).expect("written");
    let context = TestContext::new();
    let seek = |offset, to| served.local.seek(&context, open.as_ref(), offset, to);
    assert_eq!(seek(0, SeekTo::Hole), Ok(0));
    assert_eq!(seek(0, SeekTo::Data), Ok(1 << 20));
    assert_eq!(seek(1 << 20, SeekTo::Hole), Ok((1 << 20) + 4096));
    assert_eq!(errno(seek(2 << 20, SeekTo::Data)), Some(Errno::ENXIO));
    let allocate =
        |offset, length, mode| served.local.allocate(&context, open.as_ref(), offset, length, mode);
    let keep_size = AllocateMode { keep_size: true, ..AllocateMode::default() };
    allocate(0, 8 << 20, keep_size).expect("reserved");
    assert_eq!(served.attributes(&open.file).expect("stat").size, (1 << 20) + 4096);
    allocate(0, 8 << 20, AllocateMode::default()).expect("extended");
    assert_eq!(served.attributes(&open.file).expect("stat").size, 8 << 20);
    let punch = AllocateMode { punch_hole: true, ..keep_size };
    allocate(1 << 20, 4096, punch).expect("punched");
    assert_eq!(served.read(&open, 1 << 20, 4096).expect("read"), [0; 4096]);
    assert_eq!(served.write(&open, 0, b"after a seek"), Ok(12));
    assert_eq!(served.read(&open, 0, 12).expect("read"), b"after a seek");
}

#[test]
fn ranges_are_copied_inside_the_server() {
    let served = Served::new();
    fs::write(served.path("a"), b"0123456789").expect("written");
    let a = served.open(&served.walk("a").expect("found"), opening(Access::Read)).expect("open");
    let b = served.create(&served.root, "b").expect("created");
    let context = TestContext::new();
    let copy = |from, to, length| {
        served.local.copy_range(&context, (a.as_ref(), from), (b.as_ref(), to), length)
    };
    assert_eq!(copy(2, 1, 5), Ok(5));
    assert_eq!(copy(10, 0, 5), Ok(0), "the source's end");
    assert_eq!(fs::read(served.path("b")).expect("read"), b"\x0023456");
}

#[test]
fn extended_attributes_of_every_size() {
    let served = Served::new();
    fs::write(served.path("f"), b"").expect("written");
    let file = served.walk("f").expect("found");
    let context = TestContext::new();
    let get = |name: &[u8]| served.local.query_extended_attribute(&context, file.as_ref(), name);
    let set = |name: &[u8], value: &[u8], mode| {
        served.local.set_extended_attribute(&context, file.as_ref(), name, value, mode)
    };
    let (any, create, replace) = (
        SetExtendedAttributeMode::Any,
        SetExtendedAttributeMode::Create,
        SetExtendedAttributeMode::Replace,
    );
    assert_eq!(errno(get(b"user.a")), Some(Errno::ENODATA));
    assert_eq!(errno(set(b"user.a", b"1", replace)), Some(Errno::ENODATA));
    for value in [&b""[..], b"small", &[7; 256], &[8; 257], &[9; 2000]] {
        set(b"user.a", value, any).expect("set");
        assert_eq!(get(b"user.a").expect("got"), value);
    }
    assert_eq!(errno(set(b"user.a", b"1", create)), Some(Errno::EEXIST));
    set(b"user.b", b"2", create).expect("set");
    let list = served.local.list_extended_attributes(&context, file.as_ref()).expect("listed");
    let mut names: Vec<_> = list.split(|&byte| byte == 0).filter(|name| !name.is_empty()).collect();
    names.retain(|name| name.starts_with(b"user."));
    names.sort_unstable();
    assert_eq!(names, [b"user.a", b"user.b"]);
    served.local.remove_extended_attribute(&context, file.as_ref(), b"user.a").expect("removed");
    assert_eq!(errno(get(b"user.a")), Some(Errno::ENODATA));
}

#[test]
fn the_volume_is_the_servers() {
    let served = Served::new();
    let volume = served.local.query_volume_information(&TestContext::new()).expect("statfs");
    let direct = rustix::fs::statvfs(served.path("")).expect("statfs");
    assert_eq!(volume.blocks, direct.f_blocks);
    assert_eq!(u64::from(volume.block_size), direct.f_frsize);
    assert_eq!(volume.name_bytes_max, 255);
}
