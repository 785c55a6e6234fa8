//! Feeds: who outside the core wants to hear what changes below the share, and how far each has
//! come. The table and its policy; `feeding` makes the calls.
//!
//! A feed follows a directory, or of the directory a file is in what is about this file. It is no
//! open handle of a user: no stop is busy with it, counts it, or finds it among the survivors. It
//! is asked for once and lives until it is given up; while the device serves it is followed at the
//! server, a stop lets go of it, and a roll-back or the next start follows it again.
//!
//! ```text
//!          served             opened         asked, pending       the server tells
//!   Idle --------> Opening ---------> Busy -----------------> Waiting ----------> Told
//!    ^                                |  ^                                          |
//!    |                                |  +---------- told on, asked again ----------+
//!    |                                +--> Local: the server cannot tell; what we do ourselves is
//!    |                                |           told
//!    |                                +--> Over: it cannot be followed, or nothing is left of it
//!    +---- a stop closes what was opened ----
//! ```
//!
//! The thread `rdbss-feeds` makes every step but two: a completion, on whatever thread, moves
//! `Waiting` to `Told`, and a thread of its own opens what is to be followed and moves `Opening` to
//! `Opened`, so that one server call that hangs holds up no other feed. Both tell nobody. So what
//! is told of a feed is in order, and no reader runs on a mini-redirector's thread.

use crate::base::clock::Moment;
use crate::base::limits::FEED_OPENS_MAX;
use crate::base::name::Name;
use crate::base::status::Status;
use crate::base::sync::atomic::{AtomicUsize, Ordering};
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::mrx::request::{Change, Extension};
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::objects::fcb::Binding;
use crate::rdbss::operation::Node;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often is looked whether something was opened in time, while it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A feed of a device; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedNumber(pub u64);

/// What is told of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fed {
    /// It is followed: changes come from here on. Told again when it was let go of meanwhile.
    Live,
    /// These, in order: of an entry of what is followed, or with no name of that itself.
    Changed(Vec<Change>),
    /// It cannot be followed. Nothing more comes.
    Failed(Status),
    /// The path does not lead to what was followed any more. Nothing more comes.
    Gone,
}

/// Hears what is told of a feed. Called with no lock held, and must neither block nor wait.
pub trait FeedReader: Send + Sync {
    /// This.
    fn fed(&self, feed: FeedNumber, fed: Fed);
}

/// What a feed has open at the server.
pub(in crate::rdbss) struct Followed {
    /// The directory.
    pub node: Node,
    /// It, in the generation it was opened in.
    pub binding: Arc<Binding>,
    /// The mini-redirector's half of the open.
    pub extension: Extension,
    /// Only what is about this entry: the path leads to a file.
    pub only: Option<Name>,
}

/// What came of asking for changes.
pub(in crate::rdbss) type Outcome = Result<Vec<Change>, Status>;

enum Phase {
    Idle,
    /// The thread has it.
    Busy,
    /// A thread of its own opens it, and has until then.
    Opening(Arc<Context>, Moment),
    Opened(Result<Arc<Followed>, Status>),
    Waiting(Arc<Followed>, Arc<Context>),
    Told(Arc<Followed>, Outcome),
    Local(Arc<Followed>),
    Over,
}

struct Feed {
    path: Arc<[Name]>,
    reader: Arc<dyn FeedReader>,
    /// It was given up: the thread takes it out.
    given_up: bool,
    phase: Phase,
}

impl Feed {
    fn at_rest(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Over)
    }
}

#[derive(Default)]
struct Inner {
    feeds: BTreeMap<FeedNumber, Feed>,
    last: u64,
    serving: bool,
    /// When it ceased to.
    since: Option<Moment>,
    closed: bool,
    working: bool,
    thread: Option<Thread>,
}

/// The next step of the thread.
pub(in crate::rdbss) enum Task {
    /// Begin to open it.
    Follow(FeedNumber, Arc<[Name]>),
    /// It is opened, or cannot be: ask for the first time.
    Opened(FeedNumber, Result<Arc<Followed>, Status>),
    /// It was not opened in time: its request, to be cancelled.
    Late(FeedNumber, Arc<Context>),
    /// Tell it on, and ask again.
    TellOn(FeedNumber, Arc<Followed>, Outcome),
    /// Let go of these: their requests, to be cancelled.
    LetGo(Vec<FeedNumber>, Vec<Arc<Context>>),
}

/// The feeds of a device.
pub struct Feeds {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// How many are told of what we do ourselves.
    local: AtomicUsize,
}

impl Default for Feeds {
    fn default() -> Self {
        let inner = Mutex::new(Rank::Leaf, Inner::default());
        Self { inner, changed: Condvar::new(), local: AtomicUsize::new(0) }
    }
}

impl Feeds {
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let changed = change(&mut self.inner.lock());
        self.changed.notify_all();
        changed
    }

    /// The device serves again.
    pub(in crate::rdbss) fn resume(&self) {
        self.change(|inner| (inner.serving, inner.since) = (true, None));
    }

    /// The device is about to stop: all are let go of.
    pub(in crate::rdbss) fn suspend(&self, now: Moment) {
        self.change(|inner| {
            if std::mem::take(&mut inner.serving) {
                inner.since = Some(now);
            }
        });
    }

    /// When the device ceased to serve them.
    pub(in crate::rdbss) fn suspended_since(&self) -> Option<Moment> {
        self.inner.lock().since
    }

    /// Waits up to `limit` until none has anything at the server; true if so.
    pub(in crate::rdbss) fn wait_quiet(&self, limit: Duration) -> bool {
        let quiet = |inner: &Inner| !inner.working && inner.feeds.values().all(Feed::at_rest);
        let mut inner = self.inner.lock();
        if !quiet(&inner) {
            self.changed.wait_for(&mut inner, limit);
        }
        quiet(&inner)
    }

    /// Is any told of what we do ourselves?
    pub(in crate::rdbss) fn any_local(&self) -> bool {
        self.local.load(Ordering::Acquire) > 0
    }

    /// Those that are, and what they follow.
    pub(in crate::rdbss) fn local(&self) -> Vec<(FeedNumber, Arc<Followed>, Arc<dyn FeedReader>)> {
        let inner = self.inner.lock();
        let of = |(number, feed): (&FeedNumber, &Feed)| match &feed.phase {
            Phase::Local(followed) => Some((*number, followed.clone(), feed.reader.clone())),
            Phase::Idle
            | Phase::Busy
            | Phase::Opening(..)
            | Phase::Opened(_)
            | Phase::Waiting(..)
            | Phase::Told(..)
            | Phase::Over => None,
        };
        inner.feeds.iter().filter_map(of).collect()
    }

    /// The reader of a feed that was not given up.
    pub(in crate::rdbss) fn reader(&self, number: FeedNumber) -> Option<Arc<dyn FeedReader>> {
        let inner = self.inner.lock();
        let feed = inner.feeds.get(&number).filter(|feed| !feed.given_up);
        feed.map(|feed| feed.reader.clone())
    }

    // ---- the thread's ---------------------------------------------------------------------------

    /// The last step is over; the next one, waiting for it. None: it is to end.
    pub(in crate::rdbss) fn next_task(&self, now: impl Fn() -> Moment) -> Option<Task> {
        self.change(|inner| inner.working = false);
        loop {
            let at = now();
            let mut inner = self.inner.lock();
            if let Some(task) = inner.next_task(at) {
                inner.working = true;
                return Some(task);
            }
            if inner.closed {
                return None;
            }
            if inner.opening() > 0 {
                self.changed.wait_for(&mut inner, LOOK_EVERY);
            } else {
                self.changed.wait(&mut inner);
            }
        }
    }

    fn put(&self, number: FeedNumber, phase: Phase) {
        let before = self.change(|inner| {
            let feed = inner.feeds.get_mut(&number)?;
            Some(std::mem::replace(&mut feed.phase, phase))
        });
        drop(before);
    }

    /// It is about to be opened.
    pub(in crate::rdbss) fn opening(
        &self,
        number: FeedNumber,
        context: &Arc<Context>,
        until: Moment,
    ) {
        self.put(number, Phase::Opening(context.clone(), until));
    }

    /// What came of opening it, from a thread of its own. What comes too late is nobody's, and
    /// handed back to be closed.
    pub(in crate::rdbss) fn opened(
        &self,
        number: FeedNumber,
        context: &Arc<Context>,
        result: Result<Followed, Status>,
    ) -> Option<Followed> {
        let mut result = Some(result);
        let before = self.change(|inner| {
            let feed = inner.feeds.get_mut(&number)?;
            match &feed.phase {
                Phase::Opening(its, _) if Arc::ptr_eq(its, context) => {}
                _ => return None,
            }
            let result = result.take()?.map(Arc::new);
            Some(std::mem::replace(&mut feed.phase, Phase::Opened(result)))
        });
        drop(before);
        result?.ok()
    }

    /// It is asked for: its completion may come.
    pub(in crate::rdbss) fn asked(
        &self,
        number: FeedNumber,
        followed: &Arc<Followed>,
        context: &Arc<Context>,
    ) {
        self.put(number, Phase::Waiting(followed.clone(), context.clone()));
    }

    /// What came of asking, from whatever thread. One that comes too late is nobody's.
    pub(in crate::rdbss) fn completed(
        &self,
        number: FeedNumber,
        context: &Arc<Context>,
        outcome: Outcome,
    ) {
        let before = self.change(|inner| {
            let feed = inner.feeds.get_mut(&number)?;
            let followed = match &feed.phase {
                Phase::Waiting(followed, its) if Arc::ptr_eq(its, context) => followed.clone(),
                _ => return None,
            };
            Some(std::mem::replace(&mut feed.phase, Phase::Told(followed, outcome)))
        });
        drop(before);
    }

    /// Its server cannot tell: what we do ourselves is told.
    pub(in crate::rdbss) fn follow_here(&self, number: FeedNumber, followed: Arc<Followed>) {
        self.local.fetch_add(1, Ordering::AcqRel);
        self.put(number, Phase::Local(followed));
    }

    /// Nothing more comes of it.
    pub(in crate::rdbss) fn over(&self, number: FeedNumber) {
        self.put(number, Phase::Over);
    }

    /// It is not followed, and may be again.
    pub(in crate::rdbss) fn idle(&self, number: FeedNumber) {
        self.put(number, Phase::Idle);
    }

    /// Waits as long as `left` says for the completions of these, and hands out what they have
    /// open: they are not followed any more, and those that were given up are gone. Then those that
    /// are still being opened: nobody waits for that any more.
    pub(in crate::rdbss) fn take(
        &self,
        numbers: &[FeedNumber],
        left: impl Fn() -> Duration,
    ) -> (Vec<Arc<Followed>>, Vec<FeedNumber>) {
        let mut inner = self.inner.lock();
        loop {
            let waits = |number| match inner.feeds.get(number) {
                Some(feed) => matches!(feed.phase, Phase::Opening(..) | Phase::Waiting(..)),
                None => false,
            };
            let left = left();
            if left.is_zero() || !numbers.iter().any(waits) {
                break;
            }
            self.changed.wait_for(&mut inner, left);
        }
        let (taken, ended) = inner.take(numbers);
        drop(inner);
        drop(ended);
        self.changed.notify_all();
        let (mut followed, mut opening) = (Vec::new(), Vec::new());
        for (number, phase) in taken {
            match phase {
                Phase::Opened(Ok(it)) | Phase::Waiting(it, _) | Phase::Told(it, _) => {
                    followed.push(it);
                }
                Phase::Opening(..) => opening.push(number),
                Phase::Local(it) => {
                    self.local.fetch_sub(1, Ordering::AcqRel);
                    followed.push(it);
                }
                Phase::Idle | Phase::Busy | Phase::Opened(Err(_)) | Phase::Over => {}
            }
        }
        (followed, opening)
    }
}

impl Inner {
    /// How many are being opened.
    fn opening(&self) -> usize {
        self.feeds.values().filter(|feed| matches!(feed.phase, Phase::Opening(..))).count()
    }

    fn next_task(&mut self, now: Moment) -> Option<Task> {
        let all = !self.serving || self.closed;
        let mut contexts = Vec::new();
        let mut numbers = Vec::new();
        for (number, feed) in &self.feeds {
            if feed.given_up || (all && !feed.at_rest()) {
                numbers.push(*number);
                if let Phase::Opening(context, _) | Phase::Waiting(_, context) = &feed.phase {
                    contexts.push(context.clone());
                }
            }
        }
        if !numbers.is_empty() {
            return Some(Task::LetGo(numbers, contexts));
        }
        if all {
            return None;
        }
        let room = self.opening() < FEED_OPENS_MAX;
        for (number, feed) in &mut self.feeds {
            match std::mem::replace(&mut feed.phase, Phase::Busy) {
                Phase::Idle if room => return Some(Task::Follow(*number, feed.path.clone())),
                Phase::Opening(context, until) if now >= until => {
                    return Some(Task::Late(*number, context));
                }
                Phase::Opened(result) => return Some(Task::Opened(*number, result)),
                Phase::Told(followed, outcome) => {
                    return Some(Task::TellOn(*number, followed, outcome));
                }
                other => feed.phase = other,
            }
        }
        None
    }

    fn take(&mut self, numbers: &[FeedNumber]) -> (Vec<(FeedNumber, Phase)>, Vec<Feed>) {
        let (mut taken, mut ended) = (Vec::new(), Vec::new());
        for number in numbers {
            let Some(feed) = self.feeds.get_mut(number) else { continue };
            let over = matches!(feed.phase, Phase::Over);
            let rest = if over { Phase::Over } else { Phase::Idle };
            taken.push((*number, std::mem::replace(&mut feed.phase, rest)));
            if feed.given_up {
                ended.extend(self.feeds.remove(number));
            }
        }
        (taken, ended)
    }
}

impl Device {
    /// Asks to hear what changes at a path below the share's root: in a directory, or of a file.
    /// Answers at once; the reader is told when it is followed.
    pub fn follow(&self, path: Vec<Name>, reader: Arc<dyn FeedReader>) -> FeedNumber {
        let (number, lost) = self.feeds.change(|inner| {
            inner.last += 1;
            let number = FeedNumber(inner.last);
            let (reader, path) = (reader.clone(), path.into());
            let feed = Feed { path, reader, given_up: false, phase: Phase::Idle };
            inner.feeds.insert(number, feed);
            (number, inner.closed || !self.feeds_run(inner))
        });
        if lost {
            self.feeds.over(number);
            reader.fed(number, Fed::Failed(Status::InsufficientResources));
        }
        number
    }

    /// It is not to be told of any more. Answers at once.
    pub fn unfollow(&self, number: FeedNumber) {
        self.feeds.change(|inner| {
            if let Some(feed) = inner.feeds.get_mut(&number) {
                feed.given_up = true;
            }
        });
    }

    /// How many feeds there are that were not given up.
    #[must_use]
    pub fn feeds(&self) -> usize {
        let inner = self.feeds.inner.lock();
        inner.feeds.values().filter(|feed| !feed.given_up).count()
    }

    /// The thread runs from the first feed on.
    fn feeds_run(&self, inner: &mut Inner) -> bool {
        if inner.thread.is_none() {
            let device = self.shared();
            match threads::spawn("rdbss-feeds", move || device.run_feeds()) {
                Ok(thread) => inner.thread = Some(thread),
                Err(error) => log::error!("{}: no thread for feeds: {error}", self.name),
            }
        }
        inner.thread.is_some()
    }

    /// Ends all feeds and the thread.
    pub(in crate::rdbss) fn end_feeds(&self) {
        let now = self.clock.now();
        self.feeds.suspend(now);
        let thread = self.feeds.change(|inner| {
            inner.closed = true;
            inner.thread.take()
        });
        drop(thread);
        let left = self.feeds.change(|inner| std::mem::take(&mut inner.feeds));
        drop(left);
    }
}
