//! The one thread that speaks to the kernel unasked (design README, invariant 4).
//!
//! From inside a handler a notification deadlocks: invalidating a file waits for the write-back
//! of its dirty pages, which our own workers serve. So requests for it are queued, coalesced, and
//! sent here; a notification stuck in the kernel holds up nobody but [`KernelCache::settle`].

use crate::base::clock::Clock;
use crate::base::ids::NodeNumber;
use crate::base::limits::{NOTIFIER_FILES_MAX, NOTIFIER_NAMES_MAX, NOTIFIER_STOP_WAIT};
use crate::base::name::Name;
use crate::base::sync::{Condvar, Mutex, Rank, assert_no_locks};
use crate::base::threads::{self, Thread};
use crate::front::inodes::{Inodes, KernelNode};
use crate::front::transport::abi::Notification;
use crate::front::transport::device;
use crate::rdbss::notice::KernelCache;
use crate::rdbss::operation::Node;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Sends one notification: the device outside tests.
type Sender = Box<dyn Fn(&Notification<'_>) -> Result<(), Errno> + Send + Sync>;

/// What waits to be sent. Each file once, however often it was asked for: the queue is bounded.
#[derive(Default)]
struct Queue {
    files: BTreeSet<NodeNumber>,
    /// More files than the bound: all that the kernel knows.
    all_files: bool,
    /// Names to be forgotten one by one, by the directory they are in.
    entries: BTreeSet<(NodeNumber, Name)>,
    /// Names to be looked up again, by the directory they are in.
    expired: BTreeSet<(NodeNumber, Name)>,
    /// Files of which only the attributes are to be asked for again.
    attributes: BTreeSet<NodeNumber>,
    /// All names, and the attributes of every file.
    names: bool,
    /// Requests so far, and up to which of them everything has been sent.
    asked: u64,
    sent: u64,
    stopped: bool,
    ended: bool,
}

impl Queue {
    fn is_idle(&self) -> bool {
        let no_name = self.entries.is_empty() && self.expired.is_empty() && !self.names;
        let no_file = self.files.is_empty() && self.attributes.is_empty() && !self.all_files;
        no_name && no_file
    }

    fn forget_names(&mut self) {
        self.entries.clear();
        self.expired.clear();
        self.attributes.clear();
        self.names = true;
    }
}

/// The kernel's caches of one mount, told through the notifier thread.
pub struct CacheNotifier<N: KernelNode = Node> {
    send: Sender,
    inodes: Arc<Inodes<N>>,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl<N: KernelNode> CacheNotifier<N> {
    /// A notifier on its own descriptor of the connection, and its thread.
    ///
    /// # Errors
    /// The system's, when it has no room for a thread.
    pub fn start(
        connection: OwnedFd,
        inodes: Arc<Inodes<N>>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<(Arc<Self>, Thread)> {
        let send = Box::new(move |notification: &Notification<'_>| {
            device::notify(&connection, notification)
        });
        Self::start_with(send, inodes, clock)
    }

    fn start_with(
        send: Sender,
        inodes: Arc<Inodes<N>>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<(Arc<Self>, Thread)> {
        let notifier = Arc::new(Self {
            send,
            inodes,
            clock,
            queue: Mutex::new(Rank::Leaf, Queue::default()),
            changed: Condvar::new(),
        });
        let worker = notifier.clone();
        let thread = threads::spawn("fuse-notify", move || worker.run())?;
        Ok((notifier, thread))
    }

    /// Ends the thread, or gives up on it if a notification is stuck in the kernel.
    pub fn stop(&self, thread: Thread) {
        let end = self.clock.now().after(NOTIFIER_STOP_WAIT);
        let mut queue = self.queue.lock();
        queue.stopped = true;
        self.changed.notify_all();
        while !queue.ended {
            let left = end.since(self.clock.now());
            if left.is_zero() {
                drop(queue);
                log::warn!("a cache notification is stuck in the kernel: giving up on its thread");
                return thread.abandon();
            }
            self.changed.wait_for(&mut queue, left);
        }
        drop(queue);
        thread.join();
    }

    /// Queues: forget a name, and with it all that is below it, so that the next use asks us. What
    /// is open stays open.
    pub fn forget_name(&self, parent: NodeNumber, name: Name) {
        self.ask(|queue| {
            if queue.names {
                return;
            }
            queue.entries.insert((parent, name));
            if queue.entries.len() > NOTIFIER_NAMES_MAX {
                queue.forget_names();
            }
        });
    }

    fn ask(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        change(&mut queue);
        queue.asked += 1;
        drop(queue);
        self.changed.notify_all();
    }

    fn run(&self) {
        loop {
            let mut queue = self.queue.lock();
            while queue.is_idle() && !queue.stopped {
                self.changed.wait(&mut queue);
            }
            if queue.stopped {
                break;
            }
            let files = mem::take(&mut queue.files);
            let all_files = mem::take(&mut queue.all_files);
            let names = mem::take(&mut queue.names);
            let entries = mem::take(&mut queue.entries);
            let expired = mem::take(&mut queue.expired);
            let attributes = mem::take(&mut queue.attributes);
            let asked = queue.asked;
            drop(queue);
            self.send_files(&files, all_files);
            self.send_entries(&entries);
            self.send_expired(&expired);
            self.send_attributes(attributes.iter().copied());
            if names {
                self.send_names();
            }
            self.queue.lock().sent = asked;
            self.changed.notify_all();
        }
        self.queue.lock().ended = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.queue.lock().stopped
    }

    fn notify(&self, notification: &Notification<'_>) -> Result<(), Errno> {
        assert_no_locks("a kernel notification");
        (self.send)(notification)
    }

    fn send_files(&self, files: &BTreeSet<NodeNumber>, all_files: bool) {
        if all_files {
            let known = self.inodes.snapshot();
            self.invalidate(known.iter().map(|node| node.number()));
        } else {
            self.invalidate(files.iter().copied());
        }
    }

    fn invalidate(&self, numbers: impl Iterator<Item = NodeNumber>) {
        for number in numbers {
            if self.is_stopped() {
                return;
            }
            let sent = self.notify(&Notification::InvalidateNode { node: number.0 });
            if !is_heard(sent, "invalidating a file") {
                return;
            }
        }
    }

    /// Names one by one, and the attributes of the directories they are in.
    fn send_entries(&self, entries: &BTreeSet<(NodeNumber, Name)>) {
        for (parent, name) in entries {
            let entry = Notification::InvalidateEntry { parent: parent.0, name: name.as_os() };
            let attributes = Notification::InvalidateAttributes { node: parent.0 };
            for told in [entry, attributes] {
                if self.is_stopped() || !is_heard(self.notify(&told), "forgetting a name") {
                    return;
                }
            }
        }
    }

    /// Names that are looked up again when they are used next. What the kernel keeps of their
    /// directories are attributes and listings.
    fn send_expired(&self, expired: &BTreeSet<(NodeNumber, Name)>) {
        let mut listed = None;
        for (parent, name) in expired {
            let entry = Notification::ExpireEntry { parent: parent.0, name: name.as_os() };
            if self.is_stopped() || !is_heard(self.notify(&entry), "expiring a name") {
                return;
            }
            if listed.replace(*parent) != Some(*parent) {
                self.invalidate(std::iter::once(*parent));
            }
        }
    }

    fn send_attributes(&self, files: impl Iterator<Item = NodeNumber>) {
        for file in files {
            let attributes = Notification::InvalidateAttributes { node: file.0 };
            if self.is_stopped() || !is_heard(self.notify(&attributes), "forgetting attributes") {
                return;
            }
        }
    }

    /// Every name and its attributes. Linux 6.16 forgets all names in one step; an older kernel
    /// is told the names we know, which leaves it names of hard links and of what does not exist,
    /// until their lifetimes end.
    fn send_names(&self) {
        let known = self.inodes.snapshot();
        match self.notify(&Notification::IncrementEpoch) {
            Ok(()) => {}
            Err(Errno::INVAL) => self.forget_entries(&known),
            Err(errno) => {
                if !is_heard(Err(errno), "forgetting names") {
                    return;
                }
            }
        }
        let root = self.inodes.root();
        self.send_attributes(known.iter().chain([&root]).map(KernelNode::number));
    }

    fn forget_entries(&self, known: &[N]) {
        for (parent, name) in known.iter().filter_map(KernelNode::place) {
            let entry = Notification::InvalidateEntry { parent: parent.0, name: name.as_os() };
            if self.is_stopped() || !is_heard(self.notify(&entry), "forgetting a name") {
                return;
            }
        }
    }
}

/// Is there any use in going on? What the kernel does not know needs no invalidation.
fn is_heard(sent: Result<(), Errno>, doing: &str) -> bool {
    match sent {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::NOTEMPTY) => true,
        Err(Errno::NOTCONN | Errno::NODEV | Errno::CONNABORTED | Errno::PERM) => false,
        Err(errno) => {
            log::warn!("{doing} in the kernel's cache: {errno}");
            true
        }
    }
}

impl<N: KernelNode> KernelCache for CacheNotifier<N> {
    fn flush_file(&self, node: NodeNumber) {
        self.ask(|queue| {
            if queue.all_files {
                return;
            }
            queue.files.insert(node);
            if queue.files.len() > NOTIFIER_FILES_MAX {
                queue.files.clear();
                queue.all_files = true;
            }
        });
    }

    fn forget_names(&self) {
        self.ask(Queue::forget_names);
    }

    fn expire_name(&self, directory: NodeNumber, name: Name) {
        self.ask(|queue| {
            if queue.names {
                return;
            }
            queue.expired.insert((directory, name));
            if queue.expired.len() > NOTIFIER_NAMES_MAX {
                queue.forget_names();
            }
        });
    }

    fn forget_attributes(&self, node: NodeNumber) {
        self.ask(|queue| {
            if queue.names {
                return;
            }
            queue.attributes.insert(node);
            if queue.attributes.len() > NOTIFIER_FILES_MAX {
                queue.forget_names();
            }
        });
    }

    fn settle(&self, limit: Duration) -> bool {
        let end = self.clock.now().after(limit);
        let mut queue = self.queue.lock();
        let target = queue.asked;
        while queue.sent < target {
            let left = end.since(self.clock.now());
            if left.is_zero() || queue.ended {
                return false;
            }
            self.changed.wait_for(&mut queue, left);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::base::name::Name;
    use std::sync::mpsc::{Receiver, channel};

    const LIMIT: Duration = Duration::from_secs(10);

    #[derive(Clone)]
    struct File(u64);

    impl KernelNode for File {
        fn number(&self) -> NodeNumber {
            NodeNumber(self.0)
        }

        fn place(&self) -> Option<(NodeNumber, Name)> {
            let name = Name::new(format!("f{}", self.0).as_bytes()).expect("a good name");
            (self.0 != 1).then_some((NodeNumber::ROOT, name))
        }
    }

    type Fixture = (Arc<CacheNotifier<File>>, Thread, Receiver<String>);

    /// A notifier whose notifications come out of a channel, in a kernel that answers `epoch` to
    /// the newest of them. The kernel knows file 7.
    fn fixture(epoch: Result<(), Errno>) -> Fixture {
        let (sender, receiver) = channel();
        let send = Box::new(move |notification: &Notification<'_>| {
            // A test that no longer listens has made its point already.
            let _ = sender.send(format!("{notification:?}"));
            match notification {
                Notification::IncrementEpoch => epoch,
                _ => Err(Errno::NOENT),
            }
        });
        let inodes = Arc::new(Inodes::new(File(1)));
        inodes.count(&File(7));
        let clock = SystemClock::shared();
        let (notifier, thread) = CacheNotifier::start_with(send, inodes, clock).expect("room");
        (notifier, thread, receiver)
    }

    #[test]
    fn what_was_queued_has_been_sent_when_it_settles() {
        let (notifier, thread, sent) = fixture(Ok(()));
        notifier.flush_file(NodeNumber(3));
        notifier.flush_file(NodeNumber(4));
        assert!(notifier.settle(LIMIT));
        let sent: Vec<String> = sent.try_iter().collect();
        assert_eq!(sent, ["InvalidateNode { node: 3 }", "InvalidateNode { node: 4 }"]);
        notifier.stop(thread);
    }

    /// One name, with the attributes of its directory; too many are forgotten all at once.
    #[test]
    fn a_name_is_forgotten_by_itself() {
        let (notifier, thread, sent) = fixture(Ok(()));
        let name = |at: usize| Name::new(format!("n{at}").as_bytes()).expect("a good name");
        notifier.forget_name(NodeNumber(3), name(0));
        assert!(notifier.settle(LIMIT));
        let told: Vec<String> = sent.try_iter().collect();
        let entry = "InvalidateEntry { parent: 3, name: \"n0\" }";
        assert_eq!(told, [entry, "InvalidateAttributes { node: 3 }"]);
        notifier.ask(|queue| {
            for at in 0..NOTIFIER_NAMES_MAX {
                queue.entries.insert((NodeNumber(3), name(at)));
            }
        });
        // Some of them may have been sent already.
        for at in 0..=NOTIFIER_NAMES_MAX {
            notifier.forget_name(NodeNumber(4), name(at));
        }
        assert!(notifier.settle(LIMIT));
        assert!(sent.try_iter().any(|told| told == "IncrementEpoch" || told.contains("n1024")));
        notifier.stop(thread);
    }

    /// A name that is looked up again costs its directory the listing; a file's attributes cost no
    /// page; and all names make both needless.
    #[test]
    fn names_expire_and_attributes_are_forgotten_by_themselves() {
        let (notifier, thread, sent) = fixture(Ok(()));
        let name = |text: &str| Name::new(text.as_bytes()).expect("a good name");
        {
            let mut queue = notifier.queue.lock();
            queue.expired.extend([(NodeNumber(3), name("a")), (NodeNumber(3), name("b"))]);
        }
        notifier.forget_attributes(NodeNumber(9));
        assert!(notifier.settle(LIMIT));
        let told: Vec<String> = sent.try_iter().collect();
        let expected = [
            "ExpireEntry { parent: 3, name: \"a\" }",
            "InvalidateNode { node: 3 }",
            "ExpireEntry { parent: 3, name: \"b\" }",
            "InvalidateAttributes { node: 9 }",
        ];
        assert_eq!(told, expected);
        let mut queue = Queue::default();
        queue.expired.insert((NodeNumber(3), name("a")));
        queue.attributes.insert(NodeNumber(9));
        queue.forget_names();
        assert!(queue.expired.is_empty() && queue.attributes.is_empty() && queue.names);
        notifier.stop(thread);
    }

    #[test]
    fn names_are_forgotten_at_once_where_the_kernel_can() {
        let (notifier, thread, sent) = fixture(Ok(()));
        notifier.forget_names();
        assert!(notifier.settle(LIMIT));
        let sent: Vec<String> = sent.try_iter().collect();
        let attributes = ["InvalidateAttributes { node: 7 }", "InvalidateAttributes { node: 1 }"];
        assert_eq!(sent, [&["IncrementEpoch"][..], &attributes[..]].concat());
        notifier.stop(thread);
    }

    #[test]
    fn an_older_kernel_is_told_the_names_we_know() {
        let (notifier, thread, sent) = fixture(Err(Errno::INVAL));
        notifier.forget_names();
        assert!(notifier.settle(LIMIT));
        let sent: Vec<String> = sent.try_iter().collect();
        assert_eq!(sent[1], "InvalidateEntry { parent: 1, name: \"f7\" }");
        assert_eq!(sent.len(), 4);
        notifier.stop(thread);
    }

    /// A notification stuck in the kernel holds up `settle` only, and only as long as it likes.
    #[test]
    fn a_stuck_notification_blocks_nobody() {
        let (stuck, stuck_in) = channel();
        let (let_go, gate) = channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let send = Box::new(move |_: &Notification<'_>| {
            stuck.send(()).expect("the test listens");
            // Ends when the test does.
            let _ = gate.lock().unwrap().recv();
            Ok(())
        });
        let inodes = Arc::new(Inodes::new(File(1)));
        let clock = SystemClock::shared();
        let (notifier, thread) = CacheNotifier::start_with(send, inodes, clock).expect("room");
        notifier.flush_file(NodeNumber(3));
        stuck_in.recv_timeout(LIMIT).expect("it is being sent");
        for number in 0..2 * NOTIFIER_FILES_MAX as u64 {
            notifier.flush_file(NodeNumber(number));
        }
        {
            let queue = notifier.queue.lock();
            assert!(queue.all_files && queue.files.is_empty(), "over the bound: all files");
        }
        assert!(!notifier.settle(Duration::ZERO));
        drop(let_go);
        notifier.stop(thread);
    }
}
