//! Following feeds at the server, on the thread `rdbss-feeds`: opening, asking, telling on, letting
//! go. The calldowns are a request's, with contexts of our own that nothing counts (stop.md G5),
//! and each is bounded as the control thread's are: a server that hangs costs its feeds, and
//! neither a stop nor the end of the device. Opening may take long, so that is done beside it.

use crate::base::clock::Moment;
use crate::base::limits::{CANCEL_GRACE, FEED_SETTLE_WAIT, REQUEST_DEADLINE};
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::base::threads::{self, Thread};
use crate::mrx::low_io::{Completer, LowIo, Submission};
use crate::mrx::request::{Change, ChangeKind, FileKind, OpenRef};
use crate::rdbss::bounded::call_bounded;
use crate::rdbss::calldown::{call_always, guard_drop};
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::feeds::{Fed, FeedNumber, Followed, Outcome, Task};
use crate::rdbss::notice::KernelCache;
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::operation::Node;
use crate::rdbss::ops::create::DIRECTORY_OPTIONS;
use crate::rdbss::stop_run::{Ended, StopRun};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Device {
    /// The thread's body.
    pub(in crate::rdbss) fn run_feeds(&self) {
        let mut opening: BTreeMap<FeedNumber, Thread> = BTreeMap::new();
        while let Some(task) = self.feeds.next_task(|| self.clock.now()) {
            match task {
                Task::Follow(number, path) => {
                    opening.extend(self.begin_to_open(number, path).map(|thread| (number, thread)));
                }
                Task::Opened(number, opened) => {
                    join(opening.remove(&number));
                    match opened {
                        Ok(followed) => self.ask(number, followed, true),
                        Err(status) => self.not_followed(number, status),
                    }
                }
                Task::Late(number, context) => {
                    self.give_up_opening(opening.remove(&number));
                    // Nobody waits for what it does: let it know.
                    self.cancel_requests(vec![context]);
                    self.not_followed(number, Status::IoTimeout);
                }
                Task::TellOn(number, followed, outcome) => self.tell_on(number, followed, outcome),
                Task::LetGo(numbers, contexts) => {
                    self.cancel_requests(contexts);
                    let until = self.clock.now().after(CANCEL_GRACE);
                    let left = || until.since(self.clock.now());
                    let (open, hung) = self.feeds.take(&numbers, left);
                    for number in hung {
                        self.give_up_opening(opening.remove(&number));
                    }
                    for number in numbers {
                        join(opening.remove(&number));
                    }
                    self.close_feeds(open);
                }
            }
        }
    }

    /// Opens it on a thread of its own: other feeds do not wait for that. What is opened too late
    /// is closed again there.
    fn begin_to_open(&self, number: FeedNumber, path: Arc<[Name]>) -> Option<Thread> {
        let context = self.own_context("watch");
        let limit = self.options.request_deadline.unwrap_or(REQUEST_DEADLINE);
        self.feeds.opening(number, &context, self.clock.now().after(limit));
        let device = self.shared();
        let spawned = threads::spawn("mrx-watch", move || {
            let opened = call_always("watch", || device.open_feed(&context, &path));
            if let Some(late) = device.feeds.opened(number, &context, opened) {
                guard_drop("watch", || device.close_feed(late));
            }
        });
        match spawned {
            Ok(thread) => Some(thread),
            Err(error) => {
                log::error!("{}: no thread for a watch: {error}", self.name);
                self.not_followed(number, Status::InsufficientResources);
                None
            }
        }
    }

    fn give_up_opening(&self, thread: Option<Thread>) {
        if let Some(thread) = thread {
            log::error!("{}: watch did not return in time and was given up on", self.name);
            thread.abandon();
        }
    }

    /// May a callout of a feed be waited for?
    fn feed_may_wait(&self) -> impl Fn() -> bool {
        let limit = self.options.request_deadline.unwrap_or(REQUEST_DEADLINE);
        let until: Moment = self.clock.now().after(limit);
        let device = self.shared();
        move || {
            let now = device.clock.now();
            let since = device.feeds.suspended_since();
            now < until && since.is_none_or(|since| now.since(since) < CANCEL_GRACE)
        }
    }

    /// A stop is not its end.
    fn not_followed(&self, number: FeedNumber, status: Status) {
        if self.feeds.suspended_since().is_some() {
            return self.feeds.idle(number);
        }
        self.feeds.over(number);
        self.tell(number, Fed::Failed(status));
    }

    fn tell(&self, number: FeedNumber, fed: Fed) {
        if let Some(reader) = self.feeds.reader(number) {
            crate::base::sync::assert_no_locks("a feed's reader");
            reader.fed(number, fed);
        }
    }

    /// Finds what the path leads to, and opens the directory.
    fn open_feed(&self, context: &Context, path: &[Name]) -> Result<Followed, Status> {
        let mut node = self.known_root().ok_or(Status::RedirectorNotStarted)?;
        let mut only = None;
        for (at, name) in path.iter().enumerate() {
            let found = self.find(context, &node, name)?;
            if found.attributes.kind == FileKind::Directory {
                node = found.node;
            } else if at + 1 == path.len() {
                only = Some(name.clone());
            } else {
                return Err(Status::Posix(Errno::ENOTDIR));
            }
        }
        let binding = self.bound(context, &node)?;
        let redirector = binding.view.redirector().clone();
        let opened = redirector.open(context, binding.file(), DIRECTORY_OPTIONS)?;
        Ok(Followed { node, binding, extension: opened.extension, only })
    }

    /// Asks for what changes. `first`: it is followed from here on.
    fn ask(&self, number: FeedNumber, followed: Arc<Followed>, first: bool) {
        let context = self.own_context("watch");
        self.feeds.asked(number, &followed, &context);
        let device = self.shared();
        let (its, its_context) = (followed.clone(), context.clone());
        let submit = move || {
            let mut pend = || {
                let (device, context) = (Arc::downgrade(&device), its_context.clone());
                Completer::new(move |outcome: Outcome| {
                    if let Some(device) = device.upgrade() {
                        device.feeds.completed(number, &context, outcome);
                    }
                })
            };
            let submission = Submission::new(&mut pend);
            let redirector = its.binding.view.redirector();
            let asked = redirector.notify_change_directory(&*its_context, its.open(), submission);
            Ok(match asked {
                LowIo::Done(outcome) => Some(outcome),
                LowIo::Pending => None,
            })
        };
        match call_bounded("watch", self.feed_may_wait(), submit) {
            Ok(None) if first => self.tell(number, Fed::Live),
            Ok(None) => {}
            Ok(Some(Err(status))) if status.errno() == Errno::EOPNOTSUPP => {
                self.feeds.follow_here(number, followed);
                if first {
                    self.tell(number, Fed::Live);
                }
            }
            Ok(Some(outcome)) => {
                if first && outcome.is_ok() {
                    self.tell(number, Fed::Live);
                }
                self.feeds.completed(number, &context, outcome);
            }
            Err(status) => {
                self.cancel_requests(vec![context.clone()]);
                self.feeds.completed(number, &context, Err(status));
            }
        }
    }

    /// Tells on what the server said, and asks for more.
    fn tell_on(&self, number: FeedNumber, followed: Arc<Followed>, outcome: Outcome) {
        let changes = match outcome {
            Ok(changes) => changes,
            Err(status) => {
                self.close_feeds(vec![followed]);
                return self.not_followed(number, status);
            }
        };
        self.tell_kernel(&followed, &changes);
        let (changes, gone) = of_interest(changes, followed.only.as_ref());
        if !changes.is_empty() {
            self.tell(number, Fed::Changed(changes));
        }
        if !gone {
            return self.ask(number, followed, false);
        }
        self.close_feeds(vec![followed]);
        self.feeds.over(number);
        self.tell(number, Fed::Gone);
    }

    fn close_feeds(&self, open: Vec<Arc<Followed>>) {
        if open.is_empty() {
            return;
        }
        let until = self.clock.now().after(CANCEL_GRACE);
        let device = self.shared();
        // With their objects: the end of those is foreign code as well.
        let close = move || {
            for followed in open {
                // A callout that was given up on may have it still; then it ends with that.
                match Arc::try_unwrap(followed) {
                    Ok(followed) => device.close_feed(followed),
                    Err(shared) => device.close_open(&shared),
                }
            }
            Ok(())
        };
        if let Err(status) = call_bounded("close", || self.clock.now() < until, close) {
            log::warn!("{}: closing what was watched: {status}", self.name);
        }
    }

    fn close_feed(&self, followed: Followed) {
        self.close_open(&followed);
        drop(followed);
    }

    fn close_open(&self, followed: &Followed) {
        let context = self.own_context("watch");
        let redirector = followed.binding.view.redirector();
        // Nothing is owed on it, and nobody is there to be told.
        let _ = call_always("close", || redirector.close(&*context, followed.open()));
    }

    // ---- the kernel's caches --------------------------------------------------------------------

    /// What changed behind the kernel's back is not to be found in its caches by who is told of it.
    /// An echo of our own costs it nothing where nobody else can have changed anything.
    fn tell_kernel(&self, followed: &Followed, changes: &[Change]) {
        let Some(kernel) = self.kernel.get() else { return };
        // Two shares of a mount may show the same files.
        let ours = followed.binding.view.instance().capabilities.exclusive;
        if ours && self.tag() == Tag::SOLE {
            return;
        }
        let (cache, directory) = (&kernel.cache, &followed.node);
        for Change { name, kind } in changes {
            let known = name.as_ref().and_then(|name| self.fcbs.named(directory.number(), name));
            match (kind, name, known) {
                (ChangeKind::Overflow, _, _) => {
                    cache.forget_names();
                    for file in self.fcbs.in_directory(directory.number()) {
                        cache.flush_file(file.number());
                    }
                }
                (ChangeKind::Modified, _, Some(file)) => cache.flush_file(file.number()),
                (ChangeKind::Attributes, _, Some(file)) => cache.forget_attributes(file.number()),
                (ChangeKind::Removed, Some(name), _) => {
                    self.expire_name(&*kernel.cache, directory, name);
                }
                // Found again by its name, with what it is now.
                (_, Some(name), _) => cache.expire_name(directory.number(), name.clone()),
                (ChangeKind::Removed, None, _) => match directory.parent() {
                    Some((above, name)) => cache.expire_name(above.number(), name),
                    None => cache.forget_names(),
                },
                (_, None, _) => cache.forget_attributes(directory.number()),
            }
        }
        if !cache.settle(FEED_SETTLE_WAIT) {
            log::warn!("{}: the kernel has not been told in time what changed", self.name);
        }
    }

    /// A name is not what it was. What it led to may have other names, and be open.
    pub(in crate::rdbss) fn expire_name(
        &self,
        cache: &dyn KernelCache,
        directory: &Node,
        name: &Name,
    ) {
        let known = self.fcbs.named(directory.number(), name);
        cache.expire_name(directory.number(), name.clone());
        if let Some(file) = known {
            cache.forget_attributes(file.number());
        }
    }
}

impl Followed {
    fn open(&self) -> OpenRef<'_> {
        OpenRef {
            file: self.binding.file(),
            extension: &self.extension,
            options: DIRECTORY_OPTIONS,
        }
    }
}

/// Waits for a thread that has told what it opened, and has no more to do.
fn join(thread: Option<Thread>) {
    if let Some(thread) = thread {
        thread.join();
    }
}

/// What the reader is to hear of changes in the directory, and whether there is nothing left to
/// follow.
pub(in crate::rdbss) fn of_interest(
    changes: Vec<Change>,
    only: Option<&Name>,
) -> (Vec<Change>, bool) {
    let mut told = Vec::new();
    for change in changes {
        let gone = change.name.is_none() && change.kind == ChangeKind::Removed;
        match only {
            None => told.push(change),
            Some(_) if gone || change.kind == ChangeKind::Overflow => told.push(change),
            Some(only) if change.name.as_ref() == Some(only) => {
                told.push(Change { name: None, ..change });
                continue;
            }
            Some(_) => {}
        }
        if gone {
            return (told, true);
        }
    }
    (told, false)
}

impl StopRun<'_> {
    /// Step 3: watches are let go of with what else can be cancelled. Nothing of them is left when
    /// `MRxStop` runs, unless the server hangs in it.
    pub fn let_go_of_feeds(&mut self) -> Result<(), Ended> {
        let least = self.a_moment();
        self.device.feeds.suspend(self.device.clock.now());
        while !self.device.feeds.wait_quiet(self.slice()) {
            self.look()?;
            if !self.may_wait(least) {
                log::warn!("{}: watches were given up on", self.device.name);
                break;
            }
        }
        Ok(())
    }
}
