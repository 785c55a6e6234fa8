//! Making, finding, linking and removing names.

use super::*;

#[test]
fn what_is_made_is_found_with_what_was_asked_for() {
    let rig = Rig::new();
    let now = rig.tick();
    let made = rig.create(&rig.root, "f").file;
    let found = rig.lookup(&rig.root, "f").expect("it is there");
    assert_eq!((made.identity, made.attributes), (found.identity, found.attributes));
    let expected = Attributes {
        kind: FileKind::Regular,
        permissions: 0o644,
        links: 1,
        uid: 1000,
        gid: 1000,
        device: 0,
        size: 0,
        blocks: 0,
        block_size: 4096,
        accessed: now,
        modified: now,
        changed: now,
        created: now,
        leased: false,
    };
    assert_eq!(found.attributes, expected);
    assert_eq!(rig.lookup(&rig.root, "g").err(), Some(Status::ObjectNameNotFound));
}

#[test]
fn every_kind_can_be_made_and_bears_its_device() {
    let rig = Rig::new();
    let kinds = [
        (FileKind::Regular, 0),
        (FileKind::NamedPipe, 0),
        (FileKind::Socket, 0),
        (FileKind::CharacterDevice, 0x103),
        (FileKind::BlockDevice, 0x800),
    ];
    for (kind, device) in kinds {
        let made = rig.make(&rig.root, &format!("{kind:?}"), &NewNode::Special(kind, device));
        let made = made.expect("it can be made").attributes;
        assert_eq!((made.kind, made.device, made.links), (kind, device, 1));
    }
    let pipe = NewNode::Special(FileKind::NamedPipe, 7);
    assert_eq!(rig.make(&rig.root, "p", &pipe).expect("made").attributes.device, 0);
    for kind in [FileKind::Directory, FileKind::Symlink] {
        let refused = rig.make(&rig.root, "x", &NewNode::Special(kind, 0));
        assert_eq!(refused.err(), Some(Status::InvalidParameter));
    }
}

#[test]
fn a_taken_name_stays_what_it_is() {
    let rig = Rig::new();
    let file = rig.create(&rig.root, "f").file;
    let taken = Some(Status::ObjectNameCollision);
    assert_eq!(rig.create_with(&rig.root, "f", READ_WRITE).err(), taken);
    assert_eq!(rig.make(&rig.root, "f", &NewNode::Directory).err(), taken);
    assert_eq!(rig.link(&file, &rig.root, "f").err(), taken);
    assert_eq!(rig.stat(&file).links, 1);
}

#[test]
fn nothing_is_under_a_file() {
    let rig = Rig::new();
    let file = rig.create(&rig.root, "f").file;
    assert_eq!(rig.lookup(&file, "x").err(), Some(Errno::ENOTDIR.into()));
    assert_eq!(rig.create_with(&file, "x", READ_WRITE).err(), Some(Errno::ENOTDIR.into()));
    assert_eq!(rig.unlink(&file, "x"), errno(Errno::ENOTDIR));
    assert_eq!(rig.rmdir(&file, "x"), errno(Errno::ENOTDIR));
    assert_eq!(rig.link(&file, &file, "x").err(), Some(Errno::ENOTDIR.into()));
}

#[test]
fn numbers_are_never_used_twice() {
    let rig = Rig::new();
    let first = rig.create(&rig.root, "f").file.identity.number;
    rig.unlink(&rig.root, "f").expect("removed");
    let second = rig.create(&rig.root, "f").file.identity.number;
    assert!(first >= 2 && second > first && first != rig.root.identity.number);
}

#[test]
fn a_symlink_keeps_its_target_and_cannot_be_opened() {
    let rig = Rig::new();
    let link = rig.make(&rig.root, "l", &NewNode::Symlink(b"../\xff".to_vec())).expect("made");
    assert_eq!(link.attributes.size, 4);
    let now = rig.tick();
    let context = TestContext::new();
    assert_eq!(rig.memory.read_link(&context, of(&link)), Ok(b"../\xff".to_vec()));
    assert_eq!(rig.stat(&link).accessed, now);
    assert_eq!(rig.open(&link, READ).err(), Some(Errno::ELOOP.into()));
    let root = rig.memory.read_link(&context, of(&rig.root));
    assert_eq!(root, Err(Status::InvalidParameter));
    let long = NewNode::Symlink(vec![b'x'; 4096]);
    assert_eq!(rig.make(&rig.root, "m", &long).err(), Some(Status::NameTooLong));
    let longest = NewNode::Symlink(vec![b'x'; 4095]);
    assert!(rig.make(&rig.root, "m", &longest).is_ok());
}

#[test]
fn hard_links_are_one_file_until_the_last_is_gone() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "a");
    let sub = rig.mkdir(&rig.root, "d");
    assert_eq!(rig.link(&handle.file, &sub, "b").map(|file| file.links), Ok(2));
    rig.write(&handle, 0, b"shared").expect("written");
    let other = rig.lookup(&sub, "b").expect("there");
    assert_eq!((other.identity, other.attributes.size), (handle.file.identity, 6));
    rig.unlink(&rig.root, "a").expect("removed");
    assert_eq!(rig.stat(&other).links, 1);
    rig.unlink(&sub, "b").expect("removed");
    assert_eq!(rig.stat(&other).links, 0);
    assert_eq!(rig.link(&other, &rig.root, "c").err(), Some(Status::ObjectNameNotFound));
}

#[test]
fn directories_have_no_hard_links_and_other_trees_no_ours() {
    let rig = Rig::new();
    let directory = rig.mkdir(&rig.root, "d");
    assert_eq!(rig.link(&directory, &rig.root, "e").err(), Some(Errno::EPERM.into()));
    let elsewhere = Rig::new();
    let file = elsewhere.create(&elsewhere.root, "f").file;
    assert_eq!(rig.link(&file, &rig.root, "f").err(), Some(Status::NotSameDevice));
}

#[test]
fn directories_count_their_subdirectories() {
    let rig = Rig::new();
    assert_eq!(rig.stat(&rig.root).links, 2);
    let directory = rig.mkdir(&rig.root, "d");
    assert_eq!((directory.attributes.links, rig.stat(&rig.root).links), (2, 3));
    rig.create(&rig.root, "f");
    assert_eq!(rig.stat(&rig.root).links, 3);
    rig.rmdir(&rig.root, "d").expect("removed");
    assert_eq!((rig.stat(&rig.root).links, rig.stat(&directory).links), (2, 0));
}

#[test]
fn unlink_and_rmdir_each_refuse_the_others_work() {
    let rig = Rig::new();
    let directory = rig.mkdir(&rig.root, "d");
    rig.create(&directory, "f");
    assert_eq!(rig.unlink(&rig.root, "d"), errno(Errno::EISDIR));
    assert_eq!(rig.rmdir(&directory, "f"), errno(Errno::ENOTDIR));
    assert_eq!(rig.rmdir(&rig.root, "d"), errno(Errno::ENOTEMPTY));
    assert_eq!(rig.unlink(&rig.root, "x"), Err(Status::ObjectNameNotFound));
    assert_eq!(rig.rmdir(&rig.root, "x"), Err(Status::ObjectNameNotFound));
    assert!(rig.has(&directory, "f"));
}

#[test]
fn an_unlinked_file_works_as_long_as_it_is_open() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    rig.unlink(&rig.root, "f").expect("removed");
    assert_eq!(rig.write(&handle, 0, b"still here"), Ok(10));
    assert_eq!(rig.read(&handle, 6, 100), Ok(b"here".to_vec()));
    assert_eq!(rig.truncate(&handle.file, 5).map(|file| (file.size, file.links)), Ok((5, 0)));
    rig.create(&rig.root, "f");
    assert_eq!(rig.read(&handle, 0, 100), Ok(b"still".to_vec()), "it is not the new one");
}

#[test]
fn a_removed_directory_is_empty_and_takes_nothing() {
    let rig = Rig::new();
    let directory = rig.mkdir(&rig.root, "d");
    let handle = rig.open(&directory, READ).expect("opened");
    rig.rmdir(&rig.root, "d").expect("removed");
    let query = DirectoryQuery { from: 0, budget_bytes: 4096, with_files: true };
    assert!(rig.list(&handle, query).is_empty());
    let gone = Some(Status::ObjectNameNotFound);
    assert_eq!(rig.create_with(&directory, "f", READ_WRITE).err(), gone);
    assert_eq!(rig.make(&directory, "e", &NewNode::Directory).err(), gone);
    assert_eq!(rig.lookup(&directory, "f").err(), gone);
    let file = rig.create(&rig.root, "f").file;
    assert_eq!(rig.link(&file, &directory, "f").err(), gone);
    let into = rig.rename((&rig.root, "f"), (&directory, "f"), RenameMode::Replace);
    assert_eq!(into.err(), gone);
    assert_eq!(rig.stat(&directory).links, 0);
}

#[test]
fn links_have_a_bound() {
    let clock = Arc::new(ManualClock::new());
    let server = MemoryServer::with_links_max(clock.clone(), OWNER, 3);
    let rig = Rig::on(&server, clock, MemoryOptions::default());
    let file = rig.create(&rig.root, "f").file;
    rig.link(&file, &rig.root, "g").expect("second");
    rig.link(&file, &rig.root, "h").expect("third");
    assert_eq!(rig.link(&file, &rig.root, "i").err(), Some(Errno::EMLINK.into()));
    let directory = rig.mkdir(&rig.root, "d");
    let second = rig.make(&rig.root, "e", &NewNode::Directory);
    assert_eq!(second.err(), Some(Errno::EMLINK.into()));
    rig.mkdir(&directory, "x");
    let into = rig.rename((&directory, "x"), (&rig.root, "x"), RenameMode::Replace);
    assert_eq!(into, errno(Errno::EMLINK));
    let swap = rig.rename((&directory, "x"), (&rig.root, "f"), RenameMode::Exchange);
    assert_eq!(swap, errno(Errno::EMLINK));
    let swap = rig.rename((&rig.root, "f"), (&directory, "x"), RenameMode::Exchange);
    assert_eq!(swap, errno(Errno::EMLINK));
    assert_eq!(rig.rename((&directory, "x"), (&directory, "y"), RenameMode::Replace), Ok(()));
}

#[test]
fn set_group_id_directories_hand_their_group_down() {
    let rig = Rig::new();
    let directory = rig.mkdir(&rig.root, "d");
    let set = SetAttributes { gid: Some(77), permissions: Some(0o2755), ..Default::default() };
    rig.set(&directory, set).expect("set");
    let file = rig.create(&directory, "f").file.attributes;
    assert_eq!((file.gid, file.permissions), (77, 0o644));
    let below = rig.mkdir(&directory, "e").attributes;
    assert_eq!((below.gid, below.permissions, below.uid), (77, 0o2644, 1000));
    let link = rig.make(&directory, "l", &NewNode::Symlink(b"f".to_vec())).expect("made");
    assert_eq!(link.attributes.gid, 77);
    assert_eq!(rig.mkdir(&rig.root, "plain").attributes.permissions, 0o644);
}

#[test]
fn opens_reach_content_and_directories_only() {
    let rig = Rig::new();
    let directory = rig.mkdir(&rig.root, "d");
    assert_eq!(rig.open(&directory, READ_WRITE).err(), Some(Errno::EISDIR.into()));
    let handle = rig.open(&directory, READ).expect("opened");
    assert_eq!(rig.read(&handle, 0, 1), errno(Errno::EISDIR));
    let pipe = rig.make(&rig.root, "p", &NewNode::Special(FileKind::NamedPipe, 0)).expect("made");
    assert_eq!(rig.open(&pipe, READ).err(), Some(Errno::ENXIO.into()));
    let file = rig.create(&rig.root, "f").file;
    let listed = rig.open(&file, READ).expect("opened");
    let query = DirectoryQuery { from: 0, budget_bytes: 1, with_files: false };
    let listing = rig.memory.query_directory(&TestContext::new(), listed.open(), query);
    assert_eq!(listing.err(), Some(Errno::ENOTDIR.into()));
}

#[test]
fn only_writers_owe_a_flush() {
    let rig = Rig::new();
    let handle = rig.create(&rig.root, "f");
    let reader = rig.open(&handle.file, READ).expect("opened");
    let expected = |no_flush| Buffering { keep_cache: true, no_flush, ..Default::default() };
    assert_eq!(handle.opened.buffering, expected(false));
    assert_eq!(reader.opened.buffering, expected(true));
    assert!(rig.memory.should_try_to_collapse_this_open(reader.open()));
    let directory = rig.open(&rig.root, READ).expect("opened");
    assert!(!rig.memory.should_try_to_collapse_this_open(directory.open()));
}

#[test]
fn foreign_extensions_are_refused() {
    let rig = Rig::new();
    let stranger = Found { extension: Arc::new(()), ..rig.root.clone() };
    assert_eq!(rig.lookup(&stranger, "x").err(), Some(Status::InvalidParameter));
    let handle = rig.create(&rig.root, "f");
    let opened = Opened { extension: Arc::new(5), ..handle.opened.clone() };
    let broken = Handle { opened, ..handle };
    assert_eq!(rig.read(&broken, 0, 1), Err(Status::InvalidParameter));
    assert_eq!(rig.write(&broken, 0, b"x"), Err(Status::InvalidParameter));
}

#[test]
fn the_tree_and_its_opens_outlive_a_generation() {
    let clock = Arc::new(ManualClock::new());
    let server = MemoryServer::with_root(clock.clone(), OWNER);
    let first = Rig::on(&server, clock.clone(), MemoryOptions::default());
    let named = first.create(&first.root, "named");
    let unlinked = first.create(&first.root, "unlinked");
    first.write(&named, 0, b"kept").expect("written");
    first.write(&unlinked, 0, b"kept too").expect("written");
    first.unlink(&first.root, "unlinked").expect("removed");
    first.memory.stop(&TestContext::new()).expect("it stops");

    let second = Rig::on(&server, clock, MemoryOptions::default());
    let reclaim = |file: &Found| {
        let options = OpenOptions { truncate: true, ..READ_WRITE };
        let opened = second.memory.reclaim_open(&TestContext::new(), of(file), options)?;
        Ok(Handle { file: file.clone(), opened, options })
    };
    let found = second.lookup(&second.root, "named").expect("there");
    assert_eq!(found.identity, named.file.identity);
    let again: Result<Handle, Status> = reclaim(&found);
    assert_eq!(second.read(&again.expect("reclaimed"), 0, 9), Ok(b"kept".to_vec()));
    let again = reclaim(&unlinked.file).expect("reclaimed");
    assert_eq!(second.read(&again, 0, 9), Ok(b"kept too".to_vec()));

    let other = Found { identity: FileIdentity { number: 99, generation: 0 }, ..found };
    assert_eq!(reclaim(&other).err(), Some(Status::FileInvalid));
    let elsewhere = Rig::new();
    assert_eq!(reclaim(&elsewhere.root).err(), Some(Status::FileInvalid));
    let stranger = Found { extension: Arc::new(()), ..other };
    assert_eq!(reclaim(&stranger).err(), Some(Status::FileInvalid));
}
