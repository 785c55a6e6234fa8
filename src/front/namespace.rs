//! The dispatcher of a mount that shows several devices: which one a request is for.
//!
//! A request on a file or handle goes to the device whose tag its number has. One on a name may
//! cross from the router's own directories into a share, which the prefix router knows; nothing
//! else does. What the devices answer, and whether they let a request in, is theirs.
//!
//! ```text
//!   /            /srv1         /srv1/docs     /srv1/docs/a
//!   +---- the router's device ----+ +------ the device of a share -----
//!                      LOOKUP "docs" crosses
//! ```

use crate::base::ids::{Caller, Generation, NodeNumber};
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::base::sync::{Condvar, Mutex, Rank, RwLock};
use crate::mup::net_name::NetName;
use crate::mup::resolve::Resolution;
use crate::mup::router::Router;
use crate::mup::upcalls::Provider;
use crate::rdbss::device::Device;
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::operation::{
    Answer, Dispatcher, Node, NodeAnswer, Operation, OperationClass, Responder,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A device that shows one share of a mount.
pub struct Member {
    tag: Tag,
    device: Arc<Device>,
    /// It owns its prefix, and claims what is below it.
    current: AtomicBool,
    /// Its prefix is another's now, or nobody's for good: only what is owed still gets to it. One
    /// that is merely stopped refuses at its own gate.
    left: AtomicBool,
}

impl Member {
    /// A device whose prefix has yet to be taken.
    #[must_use]
    pub fn new(device: Arc<Device>) -> Arc<Self> {
        let (current, left) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { tag: device.tag(), device, current, left })
    }

    /// Its prefix was taken, or released.
    pub fn set_current(&self, current: bool) {
        self.current.store(current, Ordering::Release);
    }

    /// It has left the mount, or has not after all.
    pub fn set_left(&self, left: bool) {
        self.left.store(left, Ordering::Release);
    }

    /// Does it own its prefix?
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.current.load(Ordering::Acquire)
    }

    /// Its device's generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.device.status().generation
    }

    /// The root of its share, once it was started for the first time.
    #[must_use]
    pub fn root(&self) -> Option<Node> {
        self.device.known_root()
    }
}

/// Answers on their way to the kernel that say which device a name is: begun before the name was
/// resolved, over when the kernel has them. A prefix that changes hands waits for those that began
/// before: what they say must not come to the kernel after the word that it is no longer so.
pub struct Crossings {
    under_way: Mutex<UnderWay>,
    over: Condvar,
}

#[derive(Default)]
struct UnderWay {
    epoch: u64,
    by_epoch: BTreeMap<u64, usize>,
}

/// One of them.
struct Crossing {
    all: Arc<Crossings>,
    epoch: u64,
}

/// What became of the answers that were on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// There was none.
    None,
    /// They are over.
    All,
    /// Some are not, in the time there was.
    NotAll,
}

impl Crossings {
    fn new() -> Arc<Self> {
        let under_way = Mutex::new(Rank::Leaf, UnderWay::default());
        Arc::new(Self { under_way, over: Condvar::new() })
    }

    fn begin(self: &Arc<Self>) -> Crossing {
        let mut under_way = self.under_way.lock();
        let epoch = under_way.epoch;
        *under_way.by_epoch.entry(epoch).or_default() += 1;
        Crossing { all: self.clone(), epoch }
    }

    /// Waits until those that have begun are over, `limit` at most for each that ends.
    pub fn pass(&self, limit: Duration) -> Passed {
        let mut under_way = self.under_way.lock();
        under_way.epoch += 1;
        let now = under_way.epoch;
        let mut passed = Passed::None;
        while under_way.by_epoch.range(..now).next().is_some() {
            passed = Passed::All;
            if self.over.wait_for(&mut under_way, limit) {
                return Passed::NotAll;
            }
        }
        passed
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        let mut under_way = self.all.under_way.lock();
        if let Some(count) = under_way.by_epoch.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                under_way.by_epoch.remove(&self.epoch);
            }
        }
        drop(under_way);
        self.all.over.notify_all();
    }
}

/// The devices of one mount by tag, and what tells their names apart.
pub struct Namespace<P: Provider<Share = Arc<Member>>> {
    own: Arc<dyn Dispatcher>,
    router: Arc<Router<P>>,
    members: RwLock<BTreeMap<Tag, Arc<Member>>>,
    crossings: Arc<Crossings>,
}

impl<P: Provider<Share = Arc<Member>>> Namespace<P> {
    /// A namespace with the router's own directories, which `own` serves, and no share yet.
    #[must_use]
    pub fn new(own: Arc<dyn Dispatcher>, router: Arc<Router<P>>) -> Self {
        let members = RwLock::new(Rank::Prefixes, BTreeMap::new());
        Self { own, router, members, crossings: Crossings::new() }
    }

    /// The answers on their way that say which device a name is.
    #[must_use]
    pub const fn crossings(&self) -> &Arc<Crossings> {
        &self.crossings
    }

    /// Shows a device. Its share is found once the router has its prefix.
    ///
    /// # Errors
    /// The device back, when another has its tag.
    pub fn add(&self, member: Arc<Member>) -> Result<(), Arc<Member>> {
        let mut members = self.members.write();
        if member.tag == Tag::SOLE || members.contains_key(&member.tag) {
            return Err(member);
        }
        members.insert(member.tag, member);
        Ok(())
    }

    /// Shows it no longer: what the kernel still knows of it is stale.
    pub fn remove(&self, tag: Tag) {
        let removed = self.members.write().remove(&tag);
        drop(removed);
    }

    fn member(&self, tag: Tag) -> Option<Arc<Member>> {
        self.members.read().get(&tag).cloned()
    }

    /// LOOKUP in a directory of the router's own.
    fn look_up(&self, caller: Caller, (parent, name): (Node, Name), responder: Box<dyn Responder>) {
        let crossing = self.crossings.begin();
        let resolved = path_of(&parent)
            .join(&name)
            .and_then(|path| Ok((self.router.resolve(&path, caller, None)?, path)));
        match resolved {
            // Nobody's name is the own device's to refuse: it says that the mount is stopped, and
            // counts that, and has nothing of this name while it runs.
            Ok((Resolution::Directory, _)) | Err(Status::ObjectNameNotFound) => {
                self.own.submit(caller, Operation::Lookup { parent, name }, responder);
            }
            Ok((Resolution::Share(share), path)) if share.rest(&path).next().is_none() => {
                let member = share.route.share();
                // Its prefix is taken before its server answers.
                let Some(root) = member.root() else {
                    return responder.respond(Err(Status::RedirectorNotStarted));
                };
                let found = Box::new(RootFound { root: root.clone(), responder, crossing });
                let attributes = Operation::GetAttributes { node: root, handle: None };
                member.device.submit(caller, attributes, found);
            }
            // A share above the router's own directory: prefixes are told apart before that.
            Ok((Resolution::Share(_), path)) => {
                log::error!("{path} is below a share and in a directory of the router's");
                responder.respond(Err(Status::Unsuccessful));
            }
            Err(status) => responder.respond(Err(status)),
        }
    }
}

impl<P: Provider<Share = Arc<Member>>> Dispatcher for Namespace<P> {
    fn root(&self) -> Node {
        self.own.root()
    }

    fn submit(&self, caller: Caller, operation: Operation<'_>, responder: Box<dyn Responder>) {
        let (tag, other) = devices_of(&operation);
        if other.is_some_and(|other| other != tag) {
            return responder.respond(Err(Status::NotSameDevice));
        }
        if tag == Tag::SOLE {
            return match operation {
                Operation::Lookup { parent, name } => {
                    self.look_up(caller, (parent, name), responder);
                }
                listing @ Operation::ReadDirectory { with_files: true, .. } => {
                    let crossing = self.crossings.begin();
                    let members = self.members.read().clone();
                    let responder = Box::new(SharesListed { members, responder, crossing });
                    self.own.submit(caller, listing, responder);
                }
                other => self.own.submit(caller, other, responder),
            };
        }
        let Some(member) = self.member(tag) else {
            return responder.respond(Err(Status::Posix(Errno::ESTALE)));
        };
        // What is owed still reaches the old owner (namespace.md, Owners).
        let owed = operation.class() == OperationClass::Cleanup;
        if !owed && member.left.load(Ordering::Acquire) {
            return responder.respond(Err(Status::Posix(Errno::ESTALE)));
        }
        member.device.submit(caller, operation, responder);
    }
}

/// The attributes of a share's root are the answer to the LOOKUP that crossed into it.
struct RootFound {
    root: Node,
    responder: Box<dyn Responder>,
    crossing: Crossing,
}

impl Responder for RootFound {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        let Self { root, responder, crossing } = *self;
        responder.respond(match answer {
            Ok(Answer::Attributes(attributes)) => {
                Ok(Answer::Node(NodeAnswer { node: root, attributes }))
            }
            Ok(other) => {
                log::error!("the root of a share was answered with {other:?}");
                Err(Status::Unsuccessful)
            }
            Err(status) => Err(status),
        });
        drop(crossing);
    }
}

/// READDIRPLUS of a directory of the router's own: it knows the numbers of the shares in it, and
/// not the files. What was last known of them must do: a listing waits for no server.
struct SharesListed {
    members: BTreeMap<Tag, Arc<Member>>,
    responder: Box<dyn Responder>,
    crossing: Crossing,
}

impl Responder for SharesListed {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        let Self { members, responder, crossing } = *self;
        responder.respond(answer.map(|answer| match answer {
            Answer::Listing(mut listing) => {
                for listed in listing.iter_mut().filter(|listed| listed.file.is_none()) {
                    let member = members.get(&Tag::of_node(NodeNumber(listed.number)));
                    listed.file = member.and_then(|member| member.device.last_known_root());
                }
                Answer::Listing(listing)
            }
            other => other,
        }));
        drop(crossing);
    }
}

/// Where a directory of the router's own is.
fn path_of(directory: &Node) -> NetName {
    let mut names = Vec::new();
    let mut at = directory.clone();
    while let Some((parent, name)) = at.parent() {
        names.push(name);
        at = parent;
    }
    names.iter().rev().fold(NetName::root(), |path, name| {
        // They were joined when they were looked up.
        path.join(name).unwrap_or(path)
    })
}

/// Which devices of a mount it is on: one, or the two that are to be joined (LINK, RENAME,
/// COPY_FILE_RANGE). No default arm.
fn devices_of(operation: &Operation<'_>) -> (Tag, Option<Tag>) {
    let of = |node: &Node| Tag::of_node(node.number());
    match operation {
        Operation::Read { handle, .. }
        | Operation::Write { handle, .. }
        | Operation::Flush { handle }
        | Operation::Release { handle }
        | Operation::Synchronize { handle, .. }
        | Operation::ReadDirectory { handle, .. }
        | Operation::Allocate { handle, .. }
        | Operation::Seek { handle, .. }
        | Operation::GetLock { handle, .. }
        | Operation::SetLock { handle, .. } => (Tag::of_handle(*handle), None),
        Operation::CopyRange { from, to, .. } => (Tag::of_handle(*from), Some(Tag::of_handle(*to))),
        Operation::Link { node, parent, .. } => (of(node), Some(of(parent))),
        Operation::Rename { parent, new_parent, .. } => (of(parent), Some(of(new_parent))),
        Operation::Lookup { parent: node, .. }
        | Operation::GetAttributes { node, .. }
        | Operation::SetAttributes { node, .. }
        | Operation::ReadLink { node }
        | Operation::MakeNode { parent: node, .. }
        | Operation::Unlink { parent: node, .. }
        | Operation::RemoveDirectory { parent: node, .. }
        | Operation::Open { node, .. }
        | Operation::Create { parent: node, .. }
        | Operation::OpenDirectory { node }
        | Operation::QueryVolume { node }
        | Operation::GetExtendedAttribute { node, .. }
        | Operation::ListExtendedAttributes { node }
        | Operation::SetExtendedAttribute { node, .. }
        | Operation::RemoveExtendedAttribute { node, .. }
        | Operation::Access { node, .. } => (of(node), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::threads;

    const MOMENT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    /// Who waits, waits for those that began before, and for no others: an endless stream of them
    /// holds nobody up.
    #[test]
    fn what_began_before_is_waited_for_and_nothing_else() {
        let all = Crossings::new();
        assert_eq!(all.pass(MOMENT), Passed::None);
        let before = all.begin();
        assert_eq!(all.pass(MOMENT), Passed::NotAll);
        let after = all.begin();
        let waiting = all.clone();
        let (told, hears) = std::sync::mpsc::channel();
        // It began before this wait as well.
        let waiter = threads::spawn("waiter", move || {
            let _ = told.send(waiting.pass(LONG));
        });
        drop(before);
        assert!(hears.recv_timeout(MOMENT).is_err(), "one is under way still");
        drop(after);
        assert_eq!(hears.recv_timeout(LONG), Ok(Passed::All));
        waiter.expect("room for a thread").join();
        assert_eq!(all.pass(MOMENT), Passed::None);
    }
}
