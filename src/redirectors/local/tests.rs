//! `local` through its contract, on directories of this machine.

mod descriptors;
mod io;
mod lease;
mod listing;
mod names;
mod owners;
mod watch;

use super::{Local, LocalOptions};
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::calldown::MiniRedirector;
use crate::mrx::request::{
    Access, Attributes, DirectoryEntry, DirectoryQuery, Found, NewNode, OpenOptions, Ownership,
};
use crate::redirectors::test_support::{
    TestContext, TestFile, TestOpen, TestUpcalls, finish, opening,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A directory with `root` in it, which is served, and room beside it, which is not.
pub(super) struct Served {
    place: tempfile::TempDir,
    pub(super) local: Local,
    pub(super) root: TestFile,
}

pub(super) fn name(text: impl AsRef<[u8]>) -> Name {
    Name::new(text.as_ref()).expect("a name")
}

/// What the tests' own process makes.
pub(super) fn own(permissions: u16) -> Ownership {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    Ownership { permissions, umask: 0, uid: uid.as_raw(), gid: gid.as_raw() }
}

pub(super) fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

impl Served {
    pub(super) fn new() -> Self {
        Self::with(LocalOptions::default())
    }

    pub(super) fn with(options: LocalOptions) -> Self {
        Self::on(tempfile::tempdir().expect("a directory"), options)
    }

    /// Without a lease: it takes a descriptor, and what this process does is not hidden from it
    /// while other tests have one, too.
    pub(super) fn on(place: tempfile::TempDir, options: LocalOptions) -> Self {
        Self::under(place, LocalOptions { lease: false, ..options }, TestUpcalls::shared())
    }

    /// For a core that hears.
    fn under(
        place: tempfile::TempDir,
        options: LocalOptions,
        upcalls: std::sync::Arc<dyn crate::mrx::upcall::Upcalls>,
    ) -> Self {
        let root = place.path().join("root");
        fs::create_dir_all(&root).expect("made");
        fs::create_dir_all(place.path().join("outside")).expect("made");
        let local = Local::new(root, options);
        let context = TestContext::new();
        local.start(&context, upcalls).expect("started");
        let srv_call = local.create_srv_call(&context).expect("connected");
        let (_, root) = local.create_v_net_root(&context, &srv_call).expect("a root");
        Self { place, local, root: root.into() }
    }

    /// A path on the server.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.place.path().join("root").join(name)
    }

    /// A path beside the root.
    pub(super) fn outside(&self, name: impl AsRef<Path>) -> PathBuf {
        self.place.path().join("outside").join(name)
    }

    pub(super) fn find(&self, parent: &TestFile, text: &str) -> Result<Found, Status> {
        self.local.lookup(&TestContext::new(), parent.as_ref(), &name(text))
    }

    /// Walks a path as the kernel would if it followed no symlinks.
    pub(super) fn walk(&self, path: &str) -> Result<TestFile, Status> {
        let mut at = self.root.clone();
        for step in path.split('/') {
            at = self.find(&at, step)?.into();
        }
        Ok(at)
    }

    pub(super) fn open(&self, file: &TestFile, options: OpenOptions) -> Result<TestOpen, Status> {
        let opened = self.local.open(&TestContext::new(), file.as_ref(), options)?;
        Ok(TestOpen::new(file, opened, options))
    }

    pub(super) fn create(&self, parent: &TestFile, text: &str) -> Result<TestOpen, Status> {
        let options = opening(Access::ReadWrite);
        let context = TestContext::new();
        let (found, opened) =
            self.local.create(&context, parent.as_ref(), &name(text), own(0o644), options)?;
        Ok(TestOpen::new(&found.into(), opened, options))
    }

    pub(super) fn make_directory(&self, parent: &TestFile, text: &str) -> Result<TestFile, Status> {
        let (context, node) = (TestContext::new(), NewNode::Directory);
        let made =
            self.local.make_node(&context, parent.as_ref(), &name(text), &node, own(0o755))?;
        Ok(made.into())
    }

    pub(super) fn unlink(&self, parent: &TestFile, text: &str) -> Result<(), Status> {
        self.local.unlink(&TestContext::new(), parent.as_ref(), &name(text))
    }

    pub(super) fn attributes(&self, file: &TestFile) -> Result<Attributes, Status> {
        self.local.query_file_information(&TestContext::new(), file.as_ref(), None)
    }

    pub(super) fn read(
        &self,
        open: &TestOpen,
        offset: u64,
        size: usize,
    ) -> Result<Vec<u8>, Status> {
        let context = TestContext::new();
        finish(|submission| {
            self.local.read(&context, open.as_ref(), offset, size, Vec::new(), submission)
        })
    }

    pub(super) fn write(&self, open: &TestOpen, offset: u64, data: &[u8]) -> Result<usize, Status> {
        let context = TestContext::new();
        finish(|submission| {
            self.local.write(&context, open.as_ref(), offset, data, false, submission)
        })
    }

    pub(super) fn list(
        &self,
        open: &TestOpen,
        from: u64,
        budget_bytes: usize,
        with_files: bool,
    ) -> Result<Vec<DirectoryEntry>, Status> {
        let query = DirectoryQuery { from, budget_bytes, with_files };
        self.local.query_directory(&TestContext::new(), open.as_ref(), query)
    }
}

/// Ends another thread's loop at the end of a test, also when the test fails.
pub(super) struct Until<'a>(pub(super) &'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The errno a user would see.
pub(super) fn errno<T>(result: Result<T, Status>) -> Option<Errno> {
    result.err().map(Status::errno)
}

#[test]
fn what_cannot_be_served_is_refused_with_one_clear_line() {
    let place = tempfile::tempdir().expect("a directory");
    fs::write(place.path().join("file"), b"").expect("written");
    for (path, want, line) in [
        ("missing", Errno::ENOENT, "cannot open the directory "),
        ("file", Errno::ENOTDIR, "is not a directory"),
    ] {
        let root = place.path().join(path);
        let error = Local::probe(&root).expect_err("nothing to serve").to_string();
        assert!(error.contains(line) && error.contains(path), "{error}");
        let local = Local::new(root, LocalOptions::default());
        let started = local.start(&TestContext::new(), TestUpcalls::shared());
        assert_eq!(errno(started), Some(want));
        let context = TestContext::new();
        let root = local
            .create_srv_call(&context)
            .and_then(|srv_call| local.create_v_net_root(&context, &srv_call));
        assert_eq!(root.map(|_| ()), Err(Status::RedirectorNotStarted));
    }
    Local::probe(place.path()).expect("a directory can be served");
}

#[test]
fn a_stop_leaves_survivors_their_files() {
    let served = Served::new();
    let open = served.create(&served.root, "f").expect("created");
    served.local.stop(&TestContext::new()).expect("stopped");
    assert_eq!(served.write(&open, 0, b"late"), Ok(4));
    assert_eq!(fs::read(served.path("f")).expect("read"), b"late");
}

#[test]
fn an_extension_of_something_else_is_stale() {
    let served = Served::new();
    let stranger = TestFile { extension: std::sync::Arc::new(7_u32), ..served.root.clone() };
    assert_eq!(errno(served.attributes(&stranger)), Some(Errno::ESTALE));
}
