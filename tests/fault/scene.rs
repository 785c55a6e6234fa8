//! A device over `memory` behind `faulty`, with some files and handles to be asked about.

use crate::common::{Host, LIMIT, Tell, plain, wait_until};
use minirdr::base::clock::SystemClock;
use minirdr::base::ids::{Caller, HandleNumber};
use minirdr::base::name::Name;
use minirdr::base::status::Status;
use minirdr::base::threads::{self, Thread};
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::rdbss::operation::operand::{
    Access, AllocateMode, Lock, LockKind, NewNode, RenameMode, SeekTo, SetAttributes,
    SetExtendedAttributeMode,
};
use minirdr::rdbss::operation::{Answer, Creation, Dispatcher, Node, Operation};
use minirdr::rdbss::register::DeviceOptions;
use minirdr::redirectors::faulty::{Callout, FaultControl, FaultPlan, Faulty};
use minirdr::redirectors::memory::{Memory, MemoryOptions, MemoryServer};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

/// An answer on its way.
pub type Pending = Receiver<Result<Answer, Status>>;

/// What every generation meets.
#[derive(Default)]
struct Faults {
    plan: Mutex<FaultPlan>,
    controls: Mutex<Vec<FaultControl>>,
}

/// The files and handles.
pub struct Stage {
    file: Node,
    other: Node,
    link: Node,
    /// Open for reading and writing on `file`; clean.
    pub kept: HandleNumber,
    /// The same on `other`.
    pub second: HandleNumber,
    /// On the root directory.
    pub listing: HandleNumber,
    /// On `file`, for reading: an open that another may share, and whose close may wait.
    pub spare: HandleNumber,
}

/// The device, its faults and its stage.
pub struct Scene {
    pub host: Host,
    faults: Arc<Faults>,
    blocking: bool,
    /// Threads that have submitted; an inline callout keeps its own.
    callers: Mutex<Vec<Thread>>,
}

impl Scene {
    /// Started, with nothing wrong. `blocking`: requests are posted. Every handle is an open of its
    /// own, closed at once.
    pub fn new(blocking: bool, options: DeviceOptions) -> Self {
        Self::with_delayed_closes(blocking, options, 0)
    }

    /// The same; so many closes may wait for the next open.
    pub fn with_delayed_closes(blocking: bool, options: DeviceOptions, most: usize) -> Self {
        let faults = Arc::new(Faults::default());
        faults.plan.lock().expect("not poisoned").blocking = blocking;
        let server = MemoryServer::new(SystemClock::shared());
        let met = faults.clone();
        let factory = move || -> Arc<dyn MiniRedirector> {
            let its = MemoryOptions { delayed_closes: Some(most), ..MemoryOptions::default() };
            let memory = Memory::new(server.clone(), its);
            let plan = met.plan.lock().expect("not poisoned").clone();
            let faulty = Faulty::new(Arc::new(memory), plan);
            met.controls.lock().expect("not poisoned").push(faulty.control());
            Arc::new(faulty)
        };
        let mut host = Host::new(Box::new(factory), options);
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        host.caller = Caller::local(0, uid.as_raw(), gid.as_raw());
        host.start();
        Self { host, faults, blocking, callers: Mutex::default() }
    }

    /// From now on this goes wrong, in every generation.
    pub fn set_plan(&self, plan: FaultPlan) {
        let plan = FaultPlan { blocking: self.blocking, ..plan };
        *self.faults.plan.lock().expect("not poisoned") = plan.clone();
        for control in self.controls() {
            control.set_plan(plan.clone());
        }
    }

    /// From now on nothing goes wrong, and what hangs goes on.
    pub fn heal(&self) {
        self.set_plan(FaultPlan::none());
        for control in self.controls() {
            control.release();
        }
        let callers = std::mem::take(&mut *self.callers.lock().expect("not poisoned"));
        callers.into_iter().for_each(Thread::join);
    }

    fn controls(&self) -> Vec<FaultControl> {
        self.faults.controls.lock().expect("not poisoned").clone()
    }

    /// Calls of a callout so far, in all generations.
    pub fn calls(&self, callout: Callout) -> u64 {
        self.controls().iter().map(|control| control.calls(callout)).sum()
    }

    /// Calls that have not returned.
    pub fn inside(&self, callout: Callout) -> usize {
        self.controls().iter().map(|control| control.inside(callout)).sum()
    }

    /// Waits until one is.
    pub fn wait_inside(&self, callout: Callout) {
        wait_until(&format!("{callout} is called"), || self.inside(callout) > 0);
    }

    /// Submits on a thread of its own, as the kernel's requests come.
    pub fn submit(&self, operation: Operation<'static>) -> Pending {
        let (sender, receiver) = channel();
        let (device, caller) = (self.host.device.clone(), self.host.caller);
        let submit = move || device.submit(caller, operation, Box::new(Tell(sender)));
        let thread = threads::spawn("t-caller", submit).expect("room for a thread");
        self.callers.lock().expect("not poisoned").push(thread);
        receiver
    }

    /// Waits for an answer.
    pub fn answer(&self, pending: &Pending) -> Result<Answer, Status> {
        pending.recv_timeout(LIMIT).expect("every request is answered")
    }

    /// Makes the files and opens the handles.
    pub fn stage(&self) -> Stage {
        let (host, root) = (&self.host, self.host.root());
        let made = |name: &str| match host.call(create(&root, name)) {
            Ok(Answer::Created(node, open)) => (node.node, open.handle),
            other => panic!("{name}: {other:?}"),
        };
        let node = |operation| match host.call(operation) {
            Ok(Answer::Node(node)) => node.node,
            other => panic!("not made: {other:?}"),
        };
        let ((file, kept), (other, second)) = (made("file"), made("other"));
        let link = node(make(&root, "symlink", NewNode::Symlink(b"file".to_vec())));
        node(make(&root, "directory", NewNode::Directory));
        let attribute = self.set_attribute(&other);
        assert!(host.call(attribute).is_ok());
        assert!(host.write(kept, 0, &[7; 4096]).is_ok());
        assert!(host.call(Operation::Flush { handle: kept }).is_ok());
        let spare = host.open(&file, Access::Read).expect("opens");
        let Ok(Answer::Opened(listing)) = host.call(Operation::OpenDirectory { node: root }) else {
            panic!("the root opens")
        };
        Stage { file, other, link, kept, second, listing: listing.handle, spare }
    }

    fn set_attribute(&self, node: &Node) -> Operation<'static> {
        let (name, value) = (b"user.word".to_vec(), b"value".to_vec());
        let mode = SetExtendedAttributeMode::Any;
        Operation::SetExtendedAttribute { node: node.clone(), name, value, mode }
    }

    /// A request that makes the core call this callout.
    pub fn request(&self, stage: &Stage, callout: Callout) -> Operation<'static> {
        let (root, handle) = (self.host.root(), stage.kept);
        match callout {
            Callout::Read => Operation::Read { handle, offset: 0, size: 10, buffer: Vec::new() },
            Callout::Write => write(handle, 100),
            Callout::Flush => Operation::Synchronize { handle, data_only: false },
            Callout::Commit => Operation::Flush { handle },
            Callout::Lock => {
                Operation::SetLock { handle, lock: lock(LockKind::Exclusive), wait: true }
            }
            Callout::QueryLock => Operation::GetLock { handle, lock: lock(LockKind::Exclusive) },
            Callout::Allocate => {
                let mode = AllocateMode::default();
                Operation::Allocate { handle, offset: 0, length: 8192, mode }
            }
            Callout::Seek => Operation::Seek { handle, offset: 0, to: SeekTo::Hole },
            Callout::CopyRange => {
                let (from, to) = (handle, stage.second);
                Operation::CopyRange { from, from_offset: 0, to, to_offset: 0, length: 50 }
            }
            // A directory's open is nobody else's, and its close does not wait.
            Callout::Cleanup | Callout::Close => Operation::Release { handle: stage.listing },
            Callout::QueryDirectory => Operation::ReadDirectory {
                handle: stage.listing,
                from: 0,
                budget_bytes: 4096,
                with_files: false,
            },
            Callout::QueryVolumeInformation => Operation::QueryVolume { node: self.host.root() },
            _ => self.request_on_a_name(stage, callout, &root),
        }
    }

    fn request_on_a_name(
        &self,
        stage: &Stage,
        callout: Callout,
        root: &Node,
    ) -> Operation<'static> {
        let (parent, node) = (root.clone(), stage.other.clone());
        match callout {
            Callout::Lookup => Operation::Lookup { parent, name: name("file") },
            Callout::MakeNode => make(root, "made", NewNode::Directory),
            Callout::Link => Operation::Link { node, parent, name: name("linked") },
            Callout::Unlink => Operation::Unlink { parent, name: name("other") },
            Callout::RemoveDirectory => {
                Operation::RemoveDirectory { parent, name: name("directory") }
            }
            Callout::Rename => Operation::Rename {
                parent: root.clone(),
                name: name("other"),
                new_parent: parent,
                new_name: name("renamed"),
                mode: RenameMode::Replace,
            },
            Callout::ReadLink => Operation::ReadLink { node: stage.link.clone() },
            Callout::Create => create(root, "created"),
            Callout::Open | Callout::ShouldTryToCollapseThisOpen => {
                Operation::Open { node, options: plain(Access::Read) }
            }
            Callout::CollapseOpen => {
                Operation::Open { node: stage.file.clone(), options: plain(Access::Read) }
            }
            Callout::QueryFileInformation => Operation::GetAttributes { node, handle: None },
            Callout::SetFileInformation => {
                let set = SetAttributes { permissions: Some(0o600), ..SetAttributes::default() };
                Operation::SetAttributes { node, handle: None, set }
            }
            Callout::QueryExtendedAttribute => {
                Operation::GetExtendedAttribute { node, name: b"user.word".to_vec() }
            }
            Callout::ListExtendedAttributes => Operation::ListExtendedAttributes { node },
            Callout::SetExtendedAttribute => self.set_attribute(&node),
            Callout::RemoveExtendedAttribute => {
                Operation::RemoveExtendedAttribute { node, name: b"user.word".to_vec() }
            }
            other => panic!("{other} is reached by no request"),
        }
    }
}

impl Drop for Scene {
    /// A case that failed must not wait for what it left hanging.
    fn drop(&mut self) {
        self.heal();
    }
}

/// A name.
pub fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a good name")
}

/// A write of so many bytes.
pub fn write(handle: HandleNumber, bytes: usize) -> Operation<'static> {
    let data = vec![9; bytes].into();
    Operation::Write { handle, offset: 0, data, write_back: false, kill_privileges: false }
}

fn lock(kind: LockKind) -> Lock {
    Lock { kind, start: 0, end: 9, owner: 1, pid: 1 }
}

const CREATION: Creation = Creation { permissions: 0o644, umask: 0 };

/// Makes a file and opens it.
pub fn create(parent: &Node, text: &str) -> Operation<'static> {
    let (parent, name, options) = (parent.clone(), name(text), plain(Access::ReadWrite));
    Operation::Create { parent, name, creation: CREATION, options, exclusive: false }
}

fn make(parent: &Node, text: &str, node: NewNode) -> Operation<'static> {
    let (parent, name) = (parent.clone(), name(text));
    Operation::MakeNode { parent, name, node, creation: CREATION }
}
