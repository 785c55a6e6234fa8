//! A server of limited size: what is full says so, and what is freed can be used again.

use super::*;
use SetExtendedAttributeMode as Mode;

const PAGE: usize = 4096;

fn limited(pages: u64, files: u64) -> Rig {
    let bytes = pages * PAGE as u64;
    Rig::with(MemoryOptions {
        size_bytes_max: Some(bytes),
        files_max: Some(files),
        ..Default::default()
    })
}

fn volume(rig: &Rig) -> VolumeInformation {
    rig.memory.query_volume_information(&TestContext::new()).expect("it can be asked")
}

#[test]
fn a_full_server_takes_what_fits_and_then_nothing() {
    let rig = limited(3, 100);
    let handle = rig.create(&rig.root, "f");
    assert_eq!(rig.write(&handle, 100, &[1; 5 * PAGE]), Ok(3 * PAGE - 100), "a short write");
    let before = rig.stat(&handle.file);
    rig.tick();
    assert_eq!(rig.write(&handle, 3 * PAGE as u64, b"x"), errno(Errno::ENOSPC));
    assert_eq!(rig.stat(&handle.file), before, "a refusal changes nothing");
    assert_eq!(rig.write(&handle, 0, &[2; 3 * PAGE]), Ok(3 * PAGE), "no new page is needed");
    assert_eq!(rig.truncate(&handle.file, 1 << 40).map(|file| file.blocks), Ok(24));
    assert_eq!(rig.truncate(&handle.file, PAGE as u64).map(|file| file.blocks), Ok(8));
    assert_eq!(rig.write(&handle, 0, &[3; 2 * PAGE]), Ok(2 * PAGE));
}

#[test]
fn room_comes_back_when_the_last_user_has_gone() {
    let rig = limited(1, 100);
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 0, b"x").expect("written");
    let other = rig.create(&rig.root, "g");
    rig.unlink(&rig.root, "f").expect("removed");
    assert_eq!(rig.write(&other, 0, b"x"), errno(Errno::ENOSPC), "still open");
    drop(handle);
    assert_eq!(rig.write(&other, 0, b"x"), Ok(1));
    drop(other);
    let last = rig.create(&rig.root, "h");
    rig.rename((&rig.root, "h"), (&rig.root, "g"), RenameMode::Replace).expect("moved");
    assert_eq!(rig.write(&last, 0, b"x"), Ok(1), "what was replaced gave its room");
}

#[test]
fn allocation_is_all_or_nothing() {
    let rig = limited(4, 100);
    let handle = rig.create(&rig.root, "f");
    let context = TestContext::new();
    let allocate =
        |length| rig.memory.allocate(&context, handle.open(), 0, length, AllocateMode::default());
    assert_eq!(allocate(4 * PAGE as u64 + 1), errno(Errno::ENOSPC));
    assert_eq!(allocate(i64::MAX as u64), errno(Errno::ENOSPC));
    assert_eq!(rig.stat(&handle.file).blocks, 0);
    assert_eq!(allocate(4 * PAGE as u64), Ok(()));
    let other = rig.create(&rig.root, "g");
    assert_eq!(rig.write(&other, 0, b"x"), errno(Errno::ENOSPC));
    assert_eq!(rig.write(&handle, 0, &[1; 4 * PAGE]), Ok(4 * PAGE), "it was promised");
}

#[test]
fn a_copy_into_a_full_server_stops_short() {
    let rig = limited(3, 100);
    let (from, to) = (rig.create(&rig.root, "from"), rig.create(&rig.root, "to"));
    rig.write(&from, 0, &[1; 2 * PAGE]).expect("written");
    let context = TestContext::new();
    let copy = |at| rig.memory.copy_range(&context, (from.open(), 0), (to.open(), at), 9999);
    assert_eq!(copy(0), Ok(PAGE as u64));
    assert_eq!(copy(PAGE as u64), errno(Errno::ENOSPC));
}

#[test]
fn files_of_every_kind_are_counted() {
    let rig = limited(10, 3);
    rig.mkdir(&rig.root, "d");
    rig.make(&rig.root, "l", &NewNode::Symlink(b"x".to_vec())).expect("made");
    let now = rig.tick();
    for node in [NewNode::Directory, NewNode::Special(FileKind::Socket, 0)] {
        assert_eq!(rig.make(&rig.root, "x", &node).err(), Some(Errno::ENOSPC.into()));
    }
    assert_eq!(rig.create_with(&rig.root, "x", READ).err(), Some(Errno::ENOSPC.into()));
    assert!(!rig.has(&rig.root, "x") && rig.stat(&rig.root).modified < now);
    assert_eq!(rig.stat(&rig.root).links, 3);
    rig.unlink(&rig.root, "l").expect("removed");
    rig.create(&rig.root, "x");
    assert_eq!((volume(&rig).files, volume(&rig).files_free), (3, 0));
}

#[test]
fn targets_and_extended_attributes_take_room_too() {
    let rig = limited(1, 100);
    let file = rig.create(&rig.root, "f").file;
    let set = |value: &[u8]| {
        let context = TestContext::new();
        rig.memory.set_extended_attribute(&context, of(&file), b"user.a", value, Mode::Any)
    };
    assert_eq!(set(&[0; PAGE]), errno(Errno::ENOSPC));
    assert_eq!(set(&[0; PAGE - 6]), Ok(()));
    let link = NewNode::Symlink(b"x".to_vec());
    assert_eq!(rig.make(&rig.root, "l", &link).err(), Some(Errno::ENOSPC.into()));
    assert_eq!(set(b"short"), Ok(()));
    assert!(rig.make(&rig.root, "l", &link).is_ok());
    rig.unlink(&rig.root, "l").expect("removed");
    rig.unlink(&rig.root, "f").expect("removed");
    drop(file);
    assert_eq!(volume(&rig).blocks_free, 1);
}

#[test]
fn the_volume_shows_its_room() {
    let rig = limited(10, 50);
    let handle = rig.create(&rig.root, "f");
    rig.write(&handle, 0, &[1; PAGE + 1]).expect("written");
    let expected = VolumeInformation {
        blocks: 10,
        blocks_free: 8,
        blocks_available: 8,
        files: 50,
        files_free: 48,
        block_size: 4096,
        name_bytes_max: 255,
    };
    assert_eq!(volume(&rig), expected);
    assert!(volume(&Rig::new()).blocks > 0, "there is a bound without one being asked for");
}

#[test]
fn a_refused_symlink_gives_its_room_back() {
    let rig = limited(1, 1);
    for _ in 0..3 {
        let refused = rig.make(&rig.root, "l", &NewNode::Symlink(vec![b'x'; 4000]));
        assert_eq!(refused.err(), Some(Errno::ENOSPC.into()));
    }
    assert_eq!(volume(&rig).blocks_free, 1);
}
