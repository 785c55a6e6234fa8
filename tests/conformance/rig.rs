//! One started device over one mini-redirector, and short words to use it with.
//!
//! Everything goes through the core, as the kernel's requests do; names are resolved here, a
//! component at a time, as the kernel would.

use crate::claims::{Claims, Server};
use crate::common::{Host, plain};
use minirdr::base::clock::SystemClock;
use minirdr::base::ids::{Caller, HandleNumber};
use minirdr::base::name::Name;
use minirdr::base::status::{Errno, Status};
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::rdbss::operation::operand::{
    Access, Attributes, FileKind, NewNode, OpenOptions, RenameMode, SetAttributes, Timestamp,
};
use minirdr::rdbss::operation::{
    Answer, Creation, Dispatcher, Listed, Node, NodeAnswer, OpenAnswer, Operation,
};
use minirdr::rdbss::register::{DeviceOptions, RedirectorFactory};
use minirdr::redirectors::faulty::{FaultPlan, Faulty};
use minirdr::redirectors::local::{Local, LocalOptions};
use minirdr::redirectors::mapped::{Mapped, Mapping, Names};
use minirdr::redirectors::memory::{Memory, MemoryOptions, MemoryServer};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What outlives a generation.
#[derive(Clone)]
enum Behind {
    Memory(Arc<MemoryServer>),
    Directory(Arc<TempDir>),
}

/// How its server is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Straight,
    /// Through `mapped`, which shows every id as another one.
    Mapped,
    /// Through `faulty`, which does nothing; `true`: its callouts count as blocking, so that every
    /// request is posted.
    Faulty(bool),
}

type Latest = Arc<Mutex<Option<Arc<dyn MiniRedirector>>>>;

/// A started device.
pub struct Rig {
    pub host: Host,
    pub claims: Claims,
    latest: Latest,
    behind: Behind,
    way: Way,
}

impl Rig {
    /// `memory`.
    pub fn memory() -> Self {
        Self::on(Behind::memory(), Way::Straight, DeviceOptions::default())
    }

    /// `local`, on a directory of its own.
    pub fn local() -> Self {
        Self::on(Behind::directory(), Way::Straight, DeviceOptions::default())
    }

    /// `faulty` without faults over `memory`.
    pub fn faulty() -> Self {
        Self::on(Behind::memory(), Way::Faulty(false), DeviceOptions::default())
    }

    /// `mapped` over `memory`: users and groups have changed places with others.
    pub fn mapped() -> Self {
        Self::on(Behind::memory(), Way::Mapped, DeviceOptions::default())
    }

    /// `local` whose callouts are said to block, so that every request goes through the file system
    /// process.
    pub fn posted() -> Self {
        Self::on(Behind::directory(), Way::Faulty(true), DeviceOptions::default())
    }

    /// Another device on the same server: somebody else, who changes it behind our back.
    pub fn somebody_else(&self) -> Self {
        Self::on(self.behind.clone(), self.way, DeviceOptions::default())
    }

    /// Another device of the same kind on a server of its own.
    pub fn with(&self, options: DeviceOptions) -> Self {
        let behind = match self.behind {
            Behind::Memory(_) => Behind::memory(),
            Behind::Directory(_) => Behind::directory(),
        };
        Self::on(behind, self.way, options)
    }

    fn on(behind: Behind, way: Way, options: DeviceOptions) -> Self {
        let latest = Latest::default();
        let mut host = Host::new(factory(&behind, way, latest.clone()), options);
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        host.caller = Caller::local(0, uid.as_raw(), gid.as_raw());
        host.start();
        let (notifies, server) = match &behind {
            Behind::Memory(_) => (true, Server::able()),
            Behind::Directory(directory) => (true, Server::of(directory.path())),
        };
        let claims = Claims { capabilities: host.device.capabilities(), notifies, server };
        Self { host, claims, latest, behind, way }
    }

    /// Does whoever makes a file say what set-id bits it has? Not where he may be another on the
    /// server.
    pub fn lets_set_id(&self) -> bool {
        self.way != Way::Mapped
    }

    /// The served directory, of a redirector that serves one.
    pub fn directory(&self) -> Option<&Path> {
        match &self.behind {
            Behind::Memory(_) => None,
            Behind::Directory(directory) => Some(directory.path()),
        }
    }

    /// The running generation's mini-redirector, for callouts the core has no operation for.
    pub fn redirector(&self) -> Arc<dyn MiniRedirector> {
        let latest = self.latest.lock().expect("no test panics in here");
        latest.clone().expect("started once")
    }
}

impl Behind {
    fn memory() -> Self {
        Self::Memory(MemoryServer::new(SystemClock::shared()))
    }

    fn directory() -> Self {
        Self::Directory(Arc::new(tempfile::tempdir().expect("a temporary directory")))
    }
}

fn factory(behind: &Behind, way: Way, latest: Latest) -> RedirectorFactory {
    let behind = behind.clone();
    Box::new(move || {
        let made: Arc<dyn MiniRedirector> = match &behind {
            Behind::Memory(server) => {
                Arc::new(Memory::new(server.clone(), MemoryOptions::default()))
            }
            Behind::Directory(directory) => {
                // A subdirectory, so that a test can put another one in its place.
                let root = directory.path().join("root");
                std::fs::create_dir_all(&root).expect("a directory to serve");
                Arc::new(Local::new(root, LocalOptions::default()))
            }
        };
        let made = match way {
            Way::Straight => made,
            Way::Mapped => Arc::new(Mapped::new(made, exchanged())),
            Way::Faulty(blocking) => {
                let plan = FaultPlan { blocking, ..FaultPlan::none() };
                Arc::new(Faulty::new(made, plan))
            }
        };
        *latest.lock().expect("no test panics in here") = Some(made.clone());
        made
    })
}

/// Users and groups 1 to 9999 have changed places with 20001 and on.
fn exchanged() -> Mapping {
    let nobody = |_: &str| None;
    let map = "1-9999/20001:20001-29999/1:@1-9999/@20001:@20001-29999/@1";
    let words = [("map".to_owned(), map.to_owned())];
    let names = Names { user: &nobody, group: &nobody };
    Mapping::split(&words, names).expect("a good map").0
}

/// A name.
pub fn name(bytes: impl AsRef<[u8]>) -> Name {
    Name::new(bytes.as_ref()).expect("a good name")
}

/// A mode, as `open` and `mkdir` hand it over.
pub fn mode(permissions: u16) -> Creation {
    Creation { permissions, umask: 0 }
}

/// A moment of the past.
pub fn at(seconds: i64, nanoseconds: u32) -> Timestamp {
    Timestamp { seconds, nanoseconds }
}

/// It was refused, and in these words.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, errno: Errno) {
    assert_eq!(result.map_err(Status::errno).expect_err("must be refused"), errno);
}

/// Takes one kind of answer out.
macro_rules! take {
    ($answer:expr, $pattern:pat => $taken:expr) => {
        match $answer {
            $pattern => Ok($taken),
            other => panic!("answered {other:?}"),
        }
    };
}

/// That a name is not there is one answer, with a lease and without.
fn or_absent(answer: Result<Answer, Status>) -> Result<Answer, Status> {
    match answer {
        Ok(Answer::Absent) => Err(Status::Posix(Errno::ENOENT)),
        answer => answer,
    }
}

impl Rig {
    pub fn call(&self, operation: Operation<'_>) -> Result<Answer, Status> {
        or_absent(self.host.call(operation))
    }

    /// The same as somebody else.
    pub fn call_as(
        &self,
        (uid, gid): (u32, u32),
        operation: Operation<'_>,
    ) -> Result<Answer, Status> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let caller = Caller::local(0, uid, gid);
        self.host.device.submit(caller, operation, Box::new(crate::common::Tell(sender)));
        or_absent(receiver.recv_timeout(crate::common::LIMIT).expect("every request is answered"))
    }

    /// Does it show files as somebody's who is another one on the server?
    pub fn lends_identities(&self) -> bool {
        self.way == Way::Mapped
    }

    pub fn root(&self) -> Node {
        self.host.root()
    }

    pub fn find(&self, parent: &Node, entry: impl AsRef<[u8]>) -> Result<NodeAnswer, Status> {
        let name = Name::new(entry.as_ref())?;
        take!(self.call(Operation::Lookup { parent: parent.clone(), name })?,
            Answer::Node(found) => found)
    }

    /// Walks a path from the root.
    pub fn walk(&self, path: &str) -> Result<Node, Status> {
        path.split('/').try_fold(self.root(), |at, entry| Ok(self.find(&at, entry)?.node))
    }

    pub fn make(
        &self,
        parent: &Node,
        entry: impl AsRef<[u8]>,
        node: NewNode,
        creation: Creation,
    ) -> Result<NodeAnswer, Status> {
        let (parent, name) = (parent.clone(), name(entry));
        take!(self.call(Operation::MakeNode { parent, name, node, creation })?,
            Answer::Node(made) => made)
    }

    pub fn mkdir(&self, parent: &Node, entry: impl AsRef<[u8]>) -> Node {
        self.make(parent, entry, NewNode::Directory, mode(0o755)).expect("made").node
    }

    pub fn symlink(
        &self,
        parent: &Node,
        entry: &str,
        target: impl AsRef<[u8]>,
    ) -> Result<NodeAnswer, Status> {
        let node = NewNode::Symlink(target.as_ref().to_vec());
        self.make(parent, entry, node, mode(0o777))
    }

    pub fn link(&self, node: &Node, parent: &Node, entry: &str) -> Result<NodeAnswer, Status> {
        let (node, parent, name) = (node.clone(), parent.clone(), name(entry));
        take!(self.call(Operation::Link { node, parent, name })?, Answer::Node(linked) => linked)
    }

    pub fn unlink(&self, parent: &Node, entry: impl AsRef<[u8]>) -> Result<(), Status> {
        let (parent, name) = (parent.clone(), name(entry));
        take!(self.call(Operation::Unlink { parent, name })?, Answer::Empty => ())
    }

    pub fn rmdir(&self, parent: &Node, entry: &str) -> Result<(), Status> {
        let (parent, name) = (parent.clone(), name(entry));
        take!(self.call(Operation::RemoveDirectory { parent, name })?, Answer::Empty => ())
    }

    pub fn rename(
        &self,
        from: (&Node, &str),
        to: (&Node, &str),
        mode: RenameMode,
    ) -> Result<(), Status> {
        let (parent, new_parent) = (from.0.clone(), to.0.clone());
        let (name, new_name) = (name(from.1), name(to.1));
        let rename = Operation::Rename { parent, name, new_parent, new_name, mode };
        take!(self.call(rename)?, Answer::Empty => ())
    }

    /// CREATE, exclusive or not.
    pub fn create_with(
        &self,
        (parent, entry): (&Node, &[u8]),
        creation: Creation,
        options: OpenOptions,
        exclusive: bool,
    ) -> Result<(NodeAnswer, OpenAnswer), Status> {
        let (parent, name) = (parent.clone(), name(entry));
        let create = Operation::Create { parent, name, creation, options, exclusive };
        take!(self.call(create)?, Answer::Created(node, open) => (node, open))
    }

    /// A new file, open for both.
    pub fn create(&self, parent: &Node, entry: impl AsRef<[u8]>) -> (Node, HandleNumber) {
        let place = (parent, entry.as_ref());
        let options = plain(Access::ReadWrite);
        let (made, open) =
            self.create_with(place, mode(0o644), options, true).expect("a new file is made");
        (made.node, open.handle)
    }

    /// A new file with this in it, closed.
    pub fn file(&self, parent: &Node, entry: impl AsRef<[u8]>, data: &[u8]) -> Node {
        let (node, handle) = self.create(parent, entry);
        self.write(handle, 0, data);
        self.close(handle);
        node
    }

    pub fn open_with(&self, node: &Node, options: OpenOptions) -> Result<HandleNumber, Status> {
        let open = Operation::Open { node: node.clone(), options };
        take!(self.call(open)?, Answer::Opened(open) => open.handle)
    }

    pub fn open(&self, node: &Node, access: Access) -> HandleNumber {
        self.open_with(node, plain(access)).expect("opens")
    }

    /// As close(2) does: FLUSH, then RELEASE.
    #[track_caller]
    pub fn close(&self, handle: HandleNumber) {
        self.call(Operation::Flush { handle }).expect("flushed");
        self.host.release(handle).expect("released");
    }

    #[track_caller]
    pub fn write(&self, handle: HandleNumber, offset: u64, data: &[u8]) {
        assert_eq!(self.host.write(handle, offset, data), Ok(data.len()));
    }

    #[track_caller]
    pub fn read(&self, handle: HandleNumber, offset: u64, size: usize) -> Vec<u8> {
        self.host.read(handle, offset, size).expect("read")
    }

    /// All of a file, opened for it.
    #[track_caller]
    pub fn content(&self, node: &Node) -> Vec<u8> {
        let handle = self.open(node, Access::Read);
        let data = self.read(handle, 0, 1 << 20);
        self.close(handle);
        data
    }

    pub fn try_stat(&self, node: &Node) -> Result<Attributes, Status> {
        let get = Operation::GetAttributes { node: node.clone(), handle: None };
        take!(self.call(get)?, Answer::Attributes(attributes) => attributes)
    }

    #[track_caller]
    pub fn stat(&self, node: &Node) -> Attributes {
        self.try_stat(node).expect("stat")
    }

    pub fn fstat(&self, node: &Node, handle: HandleNumber) -> Result<Attributes, Status> {
        let get = Operation::GetAttributes { node: node.clone(), handle: Some(handle) };
        take!(self.call(get)?, Answer::Attributes(attributes) => attributes)
    }

    pub fn set(&self, node: &Node, set: SetAttributes) -> Result<Attributes, Status> {
        let set = Operation::SetAttributes { node: node.clone(), handle: None, set };
        take!(self.call(set)?, Answer::Attributes(attributes) => attributes)
    }

    #[track_caller]
    pub fn chmod(&self, node: &Node, permissions: u16) {
        let permissions = Some(permissions);
        self.set(node, SetAttributes { permissions, ..SetAttributes::default() }).expect("chmod");
    }

    pub fn kind(&self, node: &Node) -> FileKind {
        self.stat(node).kind
    }

    pub fn open_directory(&self, node: &Node) -> Result<HandleNumber, Status> {
        take!(self.call(Operation::OpenDirectory { node: node.clone() })?,
            Answer::Opened(open) => open.handle)
    }

    /// One READDIR.
    pub fn list(
        &self,
        handle: HandleNumber,
        from: u64,
        budget_bytes: usize,
        with_files: bool,
    ) -> Result<Vec<Listed>, Status> {
        let list = Operation::ReadDirectory { handle, from, budget_bytes, with_files };
        take!(self.call(list)?, Answer::Listing(entries) => entries)
    }

    /// What is in a directory, in order.
    #[track_caller]
    pub fn names(&self, node: &Node) -> Vec<String> {
        let handle = self.open_directory(node).expect("opens");
        let mut names = self.rest(handle, 0, 4096);
        self.close(handle);
        names.sort();
        names
    }

    /// What a listing still has to say, without the dots.
    #[track_caller]
    pub fn rest(&self, handle: HandleNumber, from: u64, budget_bytes: usize) -> Vec<String> {
        let (mut names, mut from) = (Vec::new(), from);
        loop {
            let entries = self.list(handle, from, budget_bytes, false).expect("listed");
            let Some(last) = entries.last() else { break };
            from = last.next;
            names.extend(
                entries.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()),
            );
        }
        names.retain(|name| name != "." && name != "..");
        names
    }
}
