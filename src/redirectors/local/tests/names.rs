//! Names: identity, links, moves, and that nothing outside the root is reached.

use super::*;
use crate::mrx::request::{FileKind, RenameMode};
use std::os::unix::fs::{MetadataExt, symlink};

fn rename(
    served: &Served,
    from: (&TestFile, &str),
    to: (&TestFile, &str),
    mode: RenameMode,
) -> Result<(), Status> {
    let (old, new) = (name(from.1), name(to.1));
    let context = TestContext::new();
    served.local.rename(&context, (from.0.as_ref(), &old), (to.0.as_ref(), &new), mode)
}

#[test]
fn numbers_and_attributes_are_the_servers() {
    let served = Served::new();
    fs::write(served.path("f"), b"123").expect("written");
    let found = served.find(&served.root, "f").expect("found");
    assert_eq!(found.identity.number, fs::metadata(served.path("f")).expect("stat").ino());
    assert_eq!((found.attributes.size, found.attributes.kind), (3, FileKind::Regular));
    assert_eq!(errno(served.find(&served.root, "g")), Some(Errno::ENOENT));
}

#[test]
fn every_kind_of_node_is_made() {
    let served = Served::new();
    let context = TestContext::new();
    let make = |text: &str, node: NewNode| {
        served.local.make_node(&context, served.root.as_ref(), &name(text), &node, own(0o640))
    };
    let directory = make("d", NewNode::Directory).expect("mkdir");
    assert_eq!(
        (directory.attributes.kind, directory.attributes.permissions),
        (FileKind::Directory, 0o640)
    );
    let link = make("l", NewNode::Symlink(b"/any/\xffwhere".to_vec())).expect("symlink");
    assert_eq!(link.attributes.kind, FileKind::Symlink);
    let link = TestFile::from(link);
    let target = served.local.read_link(&context, link.as_ref());
    assert_eq!(target.expect("target"), b"/any/\xffwhere");
    for (text, kind) in
        [("p", FileKind::NamedPipe), ("s", FileKind::Socket), ("r", FileKind::Regular)]
    {
        let made = make(text, NewNode::Special(kind, 0)).expect("mknod");
        assert_eq!((made.attributes.kind, made.attributes.permissions), (kind, 0o640), "{text}");
    }
    if is_superuser() {
        let null = make("n", NewNode::Special(FileKind::CharacterDevice, 0x103)).expect("mknod");
        assert_eq!(null.attributes.device, 0x103);
        assert_eq!(fs::metadata(served.path("n")).expect("stat").rdev(), 0x103);
    }
    assert_eq!(errno(make("d", NewNode::Directory)), Some(Errno::EEXIST));
    assert_eq!(errno(make("x", NewNode::Special(FileKind::Directory, 0))), Some(Errno::EINVAL));
    let pipe = served.walk("p").expect("found");
    assert_eq!(errno(served.open(&pipe, opening(Access::Read))), Some(Errno::ENXIO));
    assert_eq!(errno(served.open(&link, opening(Access::Read))), Some(Errno::ELOOP));
}

#[test]
fn names_of_any_bytes() {
    let served = Served::new();
    let odd = Name::new(b"\xff\xfe\n").expect("a name");
    let context = TestContext::new();
    let options = opening(Access::Write);
    let root = served.root.as_ref();
    served.local.create(&context, root, &odd, own(0o600), options).expect("created");
    served.local.lookup(&context, root, &odd).expect("found");
    let open = served.open(&served.root, opening(Access::Read)).expect("opened");
    let listed = served.list(&open, 0, 4096, false).expect("listed");
    assert_eq!(listed.into_iter().map(|entry| entry.name).collect::<Vec<_>>(), [odd]);
}

#[test]
fn hard_links_are_one_file() {
    let served = Served::new();
    fs::write(served.path("a"), b"x").expect("written");
    let a = served.walk("a").expect("found");
    let context = TestContext::new();
    let linked = served.local.link(&context, a.as_ref(), served.root.as_ref(), &name("b"));
    assert_eq!(linked.expect("linked").links, 2);
    let b = served.walk("b").expect("found");
    assert_eq!(a.identity, b.identity);
    assert!(std::sync::Arc::ptr_eq(&a.extension, &b.extension), "known already");
    // Either name may go: the file stays the same.
    served.unlink(&served.root, "b").expect("unlinked");
    assert_eq!(served.attributes(&a).expect("still there").links, 1);
    assert_eq!(served.walk("a").expect("found").identity, a.identity);
    // To rename one name of a file to another one does nothing, as rename(2) says.
    served.local.link(&context, a.as_ref(), served.root.as_ref(), &name("c")).expect("linked");
    rename(&served, (&served.root, "a"), (&served.root, "c"), RenameMode::Replace).expect("fine");
    assert_eq!(served.attributes(&a).expect("there").links, 2);
    assert_eq!(
        errno(served.local.link(&context, a.as_ref(), served.root.as_ref(), &name("c"))),
        Some(Errno::EEXIST)
    );
}

#[test]
fn a_symlink_can_be_linked_and_has_times_of_its_own() {
    let served = Served::new();
    symlink("/etc/passwd", served.path("l")).expect("made");
    let link = served.walk("l").expect("found");
    let context = TestContext::new();
    let root = served.root.as_ref();
    served.local.link(&context, link.as_ref(), root, &name("m")).expect("linked");
    assert_eq!(fs::read_link(served.path("m")).expect("a symlink").as_os_str(), "/etc/passwd");
    let before = fs::metadata("/etc/passwd").expect("stat").mtime();
    let at = crate::mrx::request::Timestamp { seconds: 5, nanoseconds: 7 };
    let set = crate::mrx::request::SetAttributes {
        modified: Some(crate::mrx::request::SetTime::At(at)),
        ..Default::default()
    };
    let set = served.local.set_file_information(&context, link.as_ref(), None, set);
    assert_eq!(set.expect("set").modified, at);
    assert_eq!(fs::metadata("/etc/passwd").expect("stat").mtime(), before);
    let mode =
        crate::mrx::request::SetAttributes { permissions: Some(0o777), ..Default::default() };
    let chmod = served.local.set_file_information(&context, link.as_ref(), None, mode);
    assert_eq!(errno(chmod), Some(Errno::EOPNOTSUPP));
}

#[test]
fn unlinked_and_still_open() {
    let served = Served::new();
    let open = served.create(&served.root, "f").expect("created");
    served.write(&open, 0, b"before").expect("written");
    served.unlink(&served.root, "f").expect("unlinked");
    assert!(!served.path("f").exists());
    assert_eq!(served.write(&open, 6, b" after"), Ok(6));
    assert_eq!(served.read(&open, 0, 100).expect("read"), b"before after");
    // Without the handle too: the kernel may ask by node number alone.
    let attributes = served.attributes(&open.file).expect("reachable");
    assert_eq!((attributes.links, attributes.size), (0, 12));
    let again = served.open(&open.file, opening(Access::Read)).expect("opened again");
    assert_eq!(served.read(&again, 7, 5).expect("read"), b"after");
    // The name is free for another file.
    let other = served.create(&served.root, "f").expect("created");
    assert_ne!(other.file.identity, open.file.identity);
}

#[test]
fn a_removed_directory_stays_what_it_was() {
    let served = Served::new();
    let directory = served.make_directory(&served.root, "d").expect("made");
    let context = TestContext::new();
    served.create(&directory, "f").expect("created");
    let remove = || served.local.remove_directory(&context, served.root.as_ref(), &name("d"));
    assert_eq!(errno(remove()), Some(Errno::ENOTEMPTY));
    served.unlink(&directory, "f").expect("unlinked");
    let open = served.open(&directory, opening(Access::Read)).expect("opened");
    remove().expect("removed");
    assert_eq!(served.list(&open, 0, 4096, false).expect("listed").len(), 0);
    assert_eq!(errno(served.find(&directory, "f")), Some(Errno::ENOENT));
    assert!(served.attributes(&directory).is_ok());
    assert_eq!(errno(served.unlink(&served.root, "d")), Some(Errno::ENOENT));
}

#[test]
fn rename_over_an_open_file() {
    let served = Served::new();
    let old = served.create(&served.root, "f").expect("created");
    served.write(&old, 0, b"old").expect("written");
    let new = served.create(&served.root, "f.tmp").expect("created");
    served.write(&new, 0, b"new").expect("written");
    rename(&served, (&served.root, "f.tmp"), (&served.root, "f"), RenameMode::Replace).expect("ok");
    assert_eq!(served.read(&old, 0, 9).expect("read"), b"old");
    assert_eq!(served.attributes(&old.file).expect("reachable").links, 0);
    assert_eq!(served.walk("f").expect("found").identity, new.file.identity);
    assert_eq!(served.attributes(&new.file).expect("reachable").size, 3);
}

#[test]
fn rename_in_all_its_modes() {
    let served = Served::new();
    let (d, e) = (
        served.make_directory(&served.root, "d").expect("made"),
        served.make_directory(&served.root, "e").expect("made"),
    );
    let f = served.create(&d, "f").expect("created").file;
    let g = served.create(&e, "g").expect("created").file;
    assert_eq!(
        errno(rename(&served, (&d, "f"), (&e, "g"), RenameMode::NoReplace)),
        Some(Errno::EEXIST)
    );
    rename(&served, (&d, "f"), (&e, "g"), RenameMode::Exchange).expect("exchanged");
    assert_eq!(served.walk("e/g").expect("found").identity, f.identity);
    assert_eq!(served.walk("d/f").expect("found").identity, g.identity);
    // Directories, children first: the parents they remember change places.
    rename(&served, (&served.root, "d"), (&served.root, "e"), RenameMode::Exchange).expect("ok");
    for file in [&f, &g] {
        assert!(served.attributes(file).is_ok());
    }
    rename(&served, (&served.root, "e"), (&d, "sub"), RenameMode::Replace)
        .expect_err("a directory cannot be put into itself");
    rename(&served, (&served.root, "d"), (&d, "sub"), RenameMode::Replace).expect("moved");
    assert_eq!(served.walk("e/sub/g").expect("found").identity, f.identity);
    assert_eq!(errno(served.find(&served.root, "d")), Some(Errno::ENOENT));
}

#[test]
fn symlinks_are_returned_and_never_followed() {
    let served = Served::new();
    fs::write(served.outside("secret"), b"secret").expect("written");
    for (text, target) in
        [("up", "../outside"), ("abs", "/etc"), ("magic", "/proc/self/root"), ("self", "self")]
    {
        symlink(target, served.path(text)).expect("made");
        let found = served.find(&served.root, text).expect("found");
        assert_eq!(found.attributes.kind, FileKind::Symlink, "{text}");
        let link = TestFile::from(found);
        for inside in ["secret", "passwd", "etc"] {
            let reached = served.find(&link, inside);
            assert_eq!(errno(reached), Some(Errno::ENOTDIR), "{text}/{inside}");
        }
        let create = served.create(&link, "new");
        assert_eq!(errno(create.map(|_| ())), Some(Errno::ENOTDIR), "{text}");
        // A new file is never made where a symlink points.
        let options = opening(Access::Write);
        let context = TestContext::new();
        let root = served.root.as_ref();
        let over = served.local.create(&context, root, &name(text), own(0o600), options);
        assert_eq!(errno(over.map(|_| ())), Some(Errno::EEXIST), "{text}");
    }
    assert!(!served.outside("new").exists());
}

#[test]
fn a_directory_swapped_for_a_symlink_is_not_taken_for_it() {
    // A single descriptor: every step goes by name again.
    let served = Served::with(LocalOptions { max_fds: Some(1), ..LocalOptions::default() });
    fs::write(served.outside("secret"), b"secret").expect("written");
    let directory = served.make_directory(&served.root, "d").expect("made");
    served.create(&directory, "secret").expect("created");
    let secret = served.find(&directory, "secret").expect("found").into();
    served.make_directory(&served.root, "other").expect("takes the one descriptor");
    fs::rename(served.path("d"), served.path("moved")).expect("moved");
    symlink(served.outside(""), served.path("d")).expect("swapped");
    assert_eq!(errno(served.find(&directory, "secret")), Some(Errno::ESTALE));
    assert_eq!(errno(served.attributes(&secret)), Some(Errno::ESTALE));
    assert_eq!(errno(served.open(&secret, opening(Access::Read)).map(|_| ())), Some(Errno::ESTALE));
    // Looked up where it is now, it is the same directory again.
    assert_eq!(served.walk("moved").expect("found").identity, directory.identity);
    assert_eq!(served.find(&directory, "secret").expect("found").identity, secret.identity);
}

/// Somebody with the right to write on the server swaps a directory for a symlink out of the root,
/// again and again: whatever is returned meanwhile is inside.
#[test]
fn a_racing_swap_lets_nothing_out() {
    let served = Served::with(LocalOptions { max_fds: Some(2), ..LocalOptions::default() });
    fs::write(served.outside("f"), b"outside!").expect("written");
    fs::create_dir(served.path("a")).expect("made");
    fs::write(served.path("a/f"), b"inside").expect("written");
    symlink(served.outside(""), served.path("b")).expect("made");
    let secret = fs::metadata(served.outside("f")).expect("stat").ino();
    let (done, root) = (AtomicBool::new(false), served.path(""));
    let (mut reached, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let done = &done;
        let _until = Until(done);
        scope.spawn(move || {
            let open = fs::File::open(&root).expect("open");
            while !done.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&open, "a", &open, "b", flags).expect("swapped");
            }
        });
        for round in 0..20_000 {
            let file = served.walk("a/f");
            let data = file.and_then(|file| {
                assert_ne!(file.identity.number, secret, "round {round}");
                let open = served.open(&file, opening(Access::Read))?;
                served.read(&open, 0, 100)
            });
            match data {
                Ok(data) => {
                    assert_eq!(data, b"inside", "round {round}");
                    reached += 1;
                }
                Err(_) => refused += 1,
            }
            let made = served.walk("a").and_then(|directory| served.create(&directory, "new"));
            if made.is_ok() {
                // It may be a symlink by now: then the file stays for the check at the end.
                let _ = served.walk("a").and_then(|directory| served.unlink(&directory, "new"));
            }
        }
    });
    assert!(!served.outside("new").exists());
    assert!(reached > 0 && refused > 0, "the race was one: {reached} reached, {refused} refused");
}

#[test]
fn what_others_move_is_found_again() {
    let served = Served::with(LocalOptions { max_fds: Some(1), ..LocalOptions::default() });
    let a = served.make_directory(&served.root, "a").expect("made");
    let b = served.make_directory(&a, "b").expect("made");
    // Others turn a/b into b/a.
    fs::rename(served.path("a/b"), served.path("b")).expect("moved");
    fs::rename(served.path("a"), served.path("b/a")).expect("moved");
    assert_eq!(served.walk("b").expect("found").identity, b.identity);
    assert_eq!(served.walk("b/a").expect("found").identity, a.identity);
    assert!(served.attributes(&a).is_ok() && served.attributes(&b).is_ok());
}

#[test]
fn what_others_turn_inside_out_makes_no_circle() {
    let served = Served::with(LocalOptions { max_fds: Some(4), ..LocalOptions::default() });
    let b = served.make_directory(&served.root, "b").expect("made");
    let a = served.make_directory(&b, "a").expect("made");
    // Others turn b/a into a/b, and the inner one is seen first, through a descriptor.
    fs::rename(served.path("b/a"), served.path("a")).expect("moved");
    fs::rename(served.path("b"), served.path("a/b")).expect("moved");
    assert_eq!(served.find(&a, "b").expect("found").identity, b.identity);
    // Without descriptors, the way to both is up along their parents, which must end.
    served.local.stop(&TestContext::new()).expect("descriptors given up");
    for file in [&a, &b] {
        assert_eq!(errno(served.attributes(file)), Some(Errno::ESTALE), "seen at neither name");
    }
    assert_eq!(served.walk("a/b").expect("found").identity, b.identity);
    assert!(served.attributes(&a).is_ok() && served.attributes(&b).is_ok());
}

#[test]
fn mounts_beneath_the_root_have_numbers_of_their_own() {
    // /dev, if it has another file system mounted in it (/dev/shm or /dev/pts), and it nearly
    // always has.
    let local = Local::new("/dev".into(), LocalOptions::default());
    let context = TestContext::new();
    local.start(&context, TestUpcalls::shared()).expect("started");
    let srv_call = local.create_srv_call(&context).expect("connected");
    let (_, root) = local.create_v_net_root(&context, &srv_call).expect("a root");
    let root = TestFile::from(root);
    let mut crossed = 0;
    for mount in ["shm", "pts", "mqueue"] {
        let Ok(found) = local.lookup(&context, root.as_ref(), &name(mount)) else { continue };
        let path = Path::new("/dev").join(mount);
        if fs::metadata(&path).expect("stat").dev() != fs::metadata("/dev").expect("stat").dev() {
            crossed += 1;
            assert!(found.identity.number >= 1 << 63, "{mount}: {:#x}", found.identity.number);
        }
    }
    assert!(crossed > 0, "no mount beneath /dev to test with");
}
