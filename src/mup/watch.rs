//! The watch agent: live watches by path, each with a bounded queue, and the thread that keeps the
//! owners told of what is watched.
//!
//! It is the agent of the hand-overs: while a prefix changes hands it lets go, and afterwards its
//! thread, `mup-watch`, joins every live watch again, at the new owner, and tells it to read again:
//! one [`Told::Resync`] for a swap. Nobody reconnects. A watch whose prefix has no owner waits for
//! the next one.

use crate::base::clock::{Clock, Moment};
use crate::base::limits::{WATCH_CHANGES_KEPT, WATCHES_MAX};
use crate::base::sync::atomic::{AtomicUsize, Ordering};
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::mup::net_name::NetName;
use crate::mup::refused::Refused;
use crate::mup::router::Router;
use crate::mup::upcalls::{Agent, Provider, ProviderHandle, Watcher};
use crate::mup::watch_queue::{Told, WatchQueue};
use crate::mup::watch_tree::{Announce, Outcome, WatchNumber, WatchTree, Work};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

/// What waits in a watch, and for whom.
struct Stream<E> {
    state: Mutex<StreamState<E>>,
    filled: Condvar,
}

struct StreamState<E> {
    queue: WatchQueue<E>,
    started: bool,
    closed: bool,
}

impl<E> Stream<E> {
    fn put(&self, put: impl FnOnce(&mut StreamState<E>)) {
        put(&mut self.state.lock());
        self.filled.notify_all();
    }
}

struct Inner<E> {
    tree: WatchTree,
    streams: HashMap<WatchNumber, Arc<Stream<E>>>,
    last_watch: u64,
    /// Prefixes that have been enabled and are to be looked at.
    enabled: VecDeque<NetName>,
    stopped: bool,
}

/// All live watches of one mount. `E` is what a change is.
pub struct WatchAgent<E> {
    inner: Mutex<Inner<E>>,
    changed: Condvar,
    /// How many watches there are: without any, a change costs no lock.
    watches: AtomicUsize,
}

/// A live watch; it ends when it is dropped.
pub struct Watch<E> {
    agent: Arc<WatchAgent<E>>,
    number: WatchNumber,
    path: NetName,
    stream: Arc<Stream<E>>,
}

/// What came of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<E> {
    /// This.
    Told(Told<E>),
    /// Nothing yet.
    Timeout,
    /// Nothing more: the agent has stopped.
    Closed,
}

enum Task {
    Enabled(NetName),
    Work(Work),
}

impl<E: Clone + Send + 'static> WatchAgent<E> {
    /// An agent without watches.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let inner = Inner {
            tree: WatchTree::default(),
            streams: HashMap::new(),
            last_watch: 0,
            enabled: VecDeque::new(),
            stopped: false,
        };
        Arc::new(Self {
            inner: Mutex::new(Rank::Leaf, inner),
            changed: Condvar::new(),
            watches: AtomicUsize::new(0),
        })
    }

    /// Starts the thread that tells the router, which was made with this agent.
    ///
    /// # Errors
    /// The system's, when it has no room for a thread.
    pub fn start<P: Provider>(self: &Arc<Self>, router: Arc<Router<P>>) -> io::Result<Thread> {
        let agent = self.clone();
        threads::spawn("mup-watch", move || agent.run(&router))
    }

    /// Ends the thread and every watch.
    pub fn stop(&self) {
        let streams: Vec<_> = {
            let mut inner = self.inner.lock();
            inner.stopped = true;
            inner.streams.values().cloned().collect()
        };
        self.changed.notify_all();
        for stream in streams {
            stream.put(|state| state.closed = true);
        }
    }

    /// Watches a path: it, and what is right in it. The first thing told is [`Told::Watching`].
    ///
    /// # Errors
    /// 8 at the bound; 1003 when the agent has stopped.
    pub fn watch(self: &Arc<Self>, path: &NetName) -> Result<Watch<E>, Refused> {
        let queue = WatchQueue::new(WATCH_CHANGES_KEPT);
        let (started, closed) = (false, false);
        let state = StreamState { queue, started, closed };
        let stream =
            Arc::new(Stream { state: Mutex::new(Rank::Leaf, state), filled: Condvar::new() });
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Err(Refused::Disabled(path.clone()));
        }
        if inner.streams.len() >= WATCHES_MAX {
            return Err(Refused::Full(WATCHES_MAX));
        }
        inner.last_watch += 1;
        let number = WatchNumber(inner.last_watch);
        inner.streams.insert(number, stream.clone());
        let joined = inner.tree.add(path, number);
        self.watches.store(inner.streams.len(), Ordering::Release);
        drop(inner);
        self.changed.notify_all();
        if joined {
            stream.put(StreamState::start);
        }
        Ok(Watch { agent: self.clone(), number, path: path.clone(), stream })
    }

    /// Something happened to a path: every watch of it, and of the directory it is in, is told.
    /// May be called by whoever makes the change, also on a thread that serves the kernel.
    pub fn publish(&self, path: &NetName, change: &E) {
        if self.watches.load(Ordering::Acquire) == 0 {
            return;
        }
        let streams: Vec<_> = {
            let inner = self.inner.lock();
            let interested = inner.tree.interested(path);
            interested.filter_map(|number| inner.streams.get(&number).cloned()).collect()
        };
        for stream in streams {
            stream.put(|state| state.queue.changed(path.clone(), change.clone()));
        }
    }

    /// Tells the watches of this very path, and no others, of a change of `of`: for whoever tells
    /// each of them by itself.
    pub fn tell(&self, watched: &NetName, of: &NetName, change: &E) {
        let streams: Vec<_> = {
            let inner = self.inner.lock();
            let numbers = inner.tree.watches_of(watched);
            numbers.filter_map(|number| inner.streams.get(&number).cloned()).collect()
        };
        for stream in streams {
            stream.put(|state| state.queue.changed(of.clone(), change.clone()));
        }
    }

    /// How many watches there are.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.watches.load(Ordering::Acquire)
    }

    fn run<P: Provider>(&self, router: &Router<P>) {
        while let Some(task) = self.next_task() {
            match task {
                Task::Enabled(prefix) => {
                    // What is asked before is refused: it would be lost.
                    if router.wait_at_rest(&prefix).is_ok() {
                        self.inner.lock().tree.enable(&prefix);
                    }
                }
                Task::Work(work) => {
                    let outcome = ask(router, &work);
                    self.done(&work, outcome);
                }
            }
        }
    }

    fn next_task(&self) -> Option<Task> {
        let mut inner = self.inner.lock();
        loop {
            if inner.stopped {
                return None;
            }
            if let Some(prefix) = inner.enabled.pop_front() {
                return Some(Task::Enabled(prefix));
            }
            if let Some(work) = inner.tree.next_work() {
                return Some(Task::Work(work));
            }
            self.changed.wait(&mut inner);
        }
    }

    fn done(&self, work: &Work, outcome: Outcome) {
        let (streams, resync) = {
            let mut inner = self.inner.lock();
            let Announce { watches, resync } = inner.tree.done(work, outcome);
            let streams = watches.iter().filter_map(|number| inner.streams.get(number).cloned());
            (streams.collect::<Vec<_>>(), resync)
        };
        for stream in streams {
            stream.put(|state| {
                if !state.started {
                    state.start();
                } else if resync {
                    state.queue.resync();
                }
            });
        }
    }
}

impl<E> WatchAgent<E> {
    fn forget(&self, number: WatchNumber, path: &NetName) {
        let ended = {
            let mut inner = self.inner.lock();
            inner.tree.remove(path, number);
            let ended = inner.streams.remove(&number);
            self.watches.store(inner.streams.len(), Ordering::Release);
            ended
        };
        self.changed.notify_all();
        drop(ended);
    }
}

impl<E> StreamState<E> {
    fn start(&mut self) {
        if !self.started {
            self.started = true;
            self.queue.watching();
        }
    }
}

fn ask<P: Provider>(router: &Router<P>, work: &Work) -> Outcome {
    if work.join {
        match router.add_watch(Watcher::Agent, &work.path) {
            Ok(true) => Outcome::Joined,
            Ok(false) => Outcome::WasJoined,
            Err(_) => Outcome::NotNow,
        }
    } else {
        // Refused: its prefix changes hands or has no owner, and the watch ended with that.
        let _ended = router.delete_watch(Watcher::Agent, &work.path);
        Outcome::Left
    }
}

impl<E: Clone + Send + 'static> Agent for WatchAgent<E> {
    fn disable(&self, prefix: &NetName) {
        self.inner.lock().tree.disable(prefix);
    }

    fn enable(&self, prefix: &NetName, _: Option<ProviderHandle>) {
        {
            let mut inner = self.inner.lock();
            if inner.stopped || inner.enabled.contains(prefix) {
                return;
            }
            inner.enabled.push_back(prefix.clone());
        }
        self.changed.notify_all();
    }
}

impl<E: Clone + Send + 'static> Watch<E> {
    /// The path.
    #[must_use]
    pub fn path(&self) -> &NetName {
        &self.path
    }

    /// The next thing, waiting for it until `until`; none: for ever.
    pub fn next(&self, clock: &dyn Clock, until: Option<Moment>) -> Next<E> {
        let mut state = self.stream.state.lock();
        loop {
            if let Some(told) = state.queue.take() {
                return Next::Told(told);
            }
            if state.closed {
                return Next::Closed;
            }
            let Some(until) = until else {
                self.stream.filled.wait(&mut state);
                continue;
            };
            let left = until.since(clock.now());
            if left.is_zero() {
                return Next::Timeout;
            }
            self.stream.filled.wait_for(&mut state, left);
        }
    }
}

impl<E> Drop for Watch<E> {
    fn drop(&mut self) {
        self.agent.forget(self.number, &self.path);
    }
}
