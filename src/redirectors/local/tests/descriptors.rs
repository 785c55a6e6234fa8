//! The bound on descriptors, and that nothing is lost by it.

use super::*;
use crate::mrx::request::RenameMode;

impl Served {
    /// Descriptors of this process that are somewhere beneath the root, unlinked files included.
    fn descriptors(&self) -> usize {
        let root = self.path("");
        let open = fs::read_dir("/proc/self/fd").expect("procfs");
        open.flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .filter(|target| target.starts_with(&root))
            .count()
    }
}

#[test]
fn known_files_need_no_descriptor_each() {
    let served = Served::with(LocalOptions { max_fds: Some(16), ..LocalOptions::default() });
    let mut files = Vec::new();
    for directory in 0..20 {
        let parent = served.make_directory(&served.root, &format!("d{directory}")).expect("made");
        for file in 0..10 {
            let open = served.create(&parent, &format!("f{file}")).expect("created");
            served.write(&open, 0, format!("{directory}/{file}").as_bytes()).expect("written");
            files.push((format!("{directory}/{file}"), open.file));
        }
    }
    // Everything is known; the root and the cache have descriptors, nothing else.
    let mut most = 0;
    for _ in 0..3 {
        for (content, file) in &files {
            let open = served.open(file, opening(Access::Read)).expect("opened");
            assert_eq!(served.read(&open, 0, 99).expect("read"), content.as_bytes());
            drop(open);
            most = most.max(served.descriptors());
        }
    }
    assert!(most <= 16 + 1, "{most} descriptors for 200 files");
    assert!(most > 8, "{most}: the cache is used");
    drop(files);
    served.local.stop(&TestContext::new()).expect("stopped");
    assert_eq!(served.descriptors(), 1, "the root's");
}

#[test]
fn unlinked_files_keep_theirs_until_they_are_forgotten() {
    let served = Served::with(LocalOptions { max_fds: Some(4), ..LocalOptions::default() });
    let files: Vec<_> = (0..50)
        .map(|number| {
            let open = served.create(&served.root, &format!("f{number}")).expect("created");
            served.write(&open, 0, &[number]).expect("written");
            open.file
        })
        .collect();
    for number in 0..50 {
        served.unlink(&served.root, &format!("f{number}")).expect("unlinked");
    }
    for (number, file) in files.iter().enumerate() {
        let open = served.open(file, opening(Access::Read)).expect("still reachable");
        assert_eq!(served.read(&open, 0, 9).expect("read"), [u8::try_from(number).expect("small")]);
    }
    assert_eq!(served.descriptors(), 51, "the root's and one for each");
    drop(files);
    assert_eq!(served.descriptors(), 1, "the root's");
}

/// What happens when the process has no descriptor left: a quarter is given up, and nothing is
/// lost.
#[test]
fn descriptors_are_shed_when_there_are_too_few() {
    let served = Served::with(LocalOptions { max_fds: Some(16), ..LocalOptions::default() });
    let directories: Vec<_> = (0..16)
        .map(|number| served.make_directory(&served.root, &format!("d{number}")).expect("made"))
        .collect();
    assert_eq!(served.descriptors(), 17, "the root's and the cache's");
    let registry = &served.local.tree().expect("started").registry;
    assert_eq!((registry.fds.shed(), served.descriptors()), (4, 13));
    for directory in &directories {
        served.open(directory, opening(Access::Read)).expect("opened");
    }
    assert_eq!(served.descriptors(), 17);
    let tree = served.local.tree().expect("started");
    let mut calls = 0;
    let result = tree.with_room(|| {
        calls += 1;
        if served.descriptors() > 13 { Err(rustix::io::Errno::MFILE) } else { Ok(()) }
    });
    assert_eq!((result, calls), (Ok(()), 2));
}

#[test]
fn a_new_name_makes_an_unlinked_hard_link_evictable_again() {
    let served = Served::with(LocalOptions { max_fds: Some(2), ..LocalOptions::default() });
    let files: Vec<_> = (0..20)
        .map(|number| {
            let file = served.create(&served.root, &format!("a{number}")).expect("created").file;
            fs::hard_link(served.path(format!("a{number}")), served.path(format!("b{number}")))
                .expect("linked");
            served.unlink(&served.root, &format!("a{number}")).expect("unlinked");
            file
        })
        .collect();
    assert_eq!(served.descriptors(), 21, "pinned: no name is known");
    for (number, file) in files.iter().enumerate() {
        let again = served.walk(&format!("b{number}")).expect("found");
        assert_eq!(again.identity, file.identity);
    }
    assert!(served.descriptors() <= 3, "{}", served.descriptors());
}

/// As git writes an object: under a name of its own first, linked to the right one, and that one
/// is never looked up.
#[test]
fn a_file_that_was_linked_is_known_by_its_new_name() {
    let served = Served::with(LocalOptions { max_fds: Some(2), ..LocalOptions::default() });
    let mut files = Vec::new();
    for number in 0..20 {
        let file = served.create(&served.root, &format!("a{number}")).expect("created").file;
        let (context, new) = (TestContext::new(), name(format!("b{number}")));
        served.local.link(&context, file.as_ref(), served.root.as_ref(), &new).expect("linked");
        served.unlink(&served.root, &format!("a{number}")).expect("unlinked");
        files.push(file);
    }
    assert!(served.descriptors() <= 3, "{}", served.descriptors());
    for file in &files {
        assert_eq!(served.attributes(file).expect("still there").links, 1);
    }
}

#[test]
fn moved_directories_take_what_is_in_them_along() {
    let served = Served::with(LocalOptions { max_fds: Some(1), ..LocalOptions::default() });
    let mut parent = served.root.clone();
    let mut chain = Vec::new();
    for level in 0..40 {
        parent = served.make_directory(&parent, &format!("l{level}")).expect("made");
        chain.push(parent.clone());
    }
    let file = served.create(&parent, "f").expect("created").file;
    let context = TestContext::new();
    let (old, new) = (name("l20"), name("renamed"));
    let from = (chain[19].as_ref(), &old);
    let to = (served.root.as_ref(), &new);
    served.local.rename(&context, from, to, RenameMode::Replace).expect("renamed");
    for known in chain.iter().chain([&file]) {
        assert!(served.attributes(known).is_ok());
        served.find(&served.root, "l0").expect("turns the cache over");
    }
    served.open(&file, opening(Access::Write)).expect("opened");
}

#[test]
fn a_chain_deeper_than_the_stack_is_forgotten_in_a_loop() {
    let served = Served::with(LocalOptions { max_fds: Some(1), ..LocalOptions::default() });
    let mut parent = served.root.clone();
    // One directory, "known" to be ever deeper: the chain is what matters, and a file system of
    // this depth would take minutes to make.
    let registry = std::sync::Arc::clone(&served.local.tree().expect("started").registry);
    for level in 0..200_000_u64 {
        let key = super::super::node::FileKey { device: 0, inode: level + 2, born: 1 };
        let kind = crate::mrx::request::FileKind::Directory;
        let above = std::sync::Arc::clone(&parent.extension).downcast().expect("ours");
        let location = super::super::file::Location { parent: above, name: name("d") };
        let place = super::super::file::Place { location: Some(location), ..Default::default() };
        let registry = std::sync::Arc::clone(&registry);
        let file = super::super::file::LocalFile::new(registry, key, kind, place);
        parent = TestFile { identity: file.identity(), extension: file };
    }
    drop(parent);
    assert!(served.attributes(&served.root).is_ok());
}

/// While names change through us, a file under them is found every time: no operation fails
/// because a walk met a name that had just gone.
#[test]
fn walks_and_renames_at_once() {
    let served = Served::with(LocalOptions { max_fds: Some(1), ..LocalOptions::default() });
    let a = served.make_directory(&served.root, "a").expect("made");
    let b = served.make_directory(&a, "b").expect("made");
    let file = served.create(&b, "f").expect("created").file;
    let other = served.make_directory(&served.root, "other").expect("made");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (served, done) = (&served, &done);
        let (a, b, file, other) = (&a, &b, &file, &other);
        scope.spawn(move || {
            let _until = Until(done);
            let (old, new) = (name("b"), name("c"));
            let context = TestContext::new();
            for round in 0..3000 {
                let (from, to) = if round % 2 == 0 { (&old, &new) } else { (&new, &old) };
                let (from, to) = ((a.as_ref(), from), (a.as_ref(), to));
                served.local.rename(&context, from, to, RenameMode::Replace).expect("renamed");
            }
        });
        let walk = move || {
            while !done.load(Ordering::Relaxed) {
                served.attributes(file).expect("reachable");
                served.attributes(b).expect("reachable");
                served.open(file, opening(Access::Read)).expect("reachable");
                served.open(other, opening(Access::Read)).expect("turns the cache over");
            }
        };
        for _ in 0..3 {
            scope.spawn(walk);
        }
    });
}
