//! Live watches: what changes at a path, from the device that shows it to the control socket.
//!
//! ```text
//!   Stream <-- queue -- WatchAgent <-- tell -- Upstreams <-- fed -- the device's feeds
//!   (a call of `Watch`)     |                      ^
//!                           +-- add, delete --> Router -- start, stop
//! ```
//!
//! The agent says who wants what, the router who shows it, and the device's feeds follow it there
//! while the device serves. The one who knows when changes really come is the feed: so *watching*
//! and *resync* are told when it says so, and not when the router has asked for it. Each time that
//! a feed is followed has a number, greater than all before; a stream that has told a smaller one
//! tells of a resync.

use crate::app::namespace::members::Members;
use crate::base::clock::{Clock, Moment};
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::base::sync::{Mutex, Rank};
use crate::base::threads::Thread;
use crate::mgmt::control::ControlError;
use crate::mgmt::watch::{NextSighting, Sighting, Sightings, WatchKind};
use crate::mrx::request::{Change, ChangeKind};
use crate::mup::net_name::NetName;
use crate::mup::router::Router;
use crate::mup::upcalls::{Provider, ProviderHandle, Upstream};
use crate::mup::watch::{Next, Watch, WatchAgent};
use crate::mup::watch_queue::Told;
use crate::rdbss::device::Device;
use crate::rdbss::feeds::{Fed, FeedNumber, FeedReader};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// What the streams are told through the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tale {
    /// Something happened.
    Seen(WatchKind),
    /// It is followed, for the time of this number.
    Live(u64),
    /// It cannot be.
    Failed(Status),
    /// There is nothing left to follow.
    Gone,
}

/// How far a watched path has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Asked,
    Live(u64),
    Failed(Status),
    Gone,
}

struct Joined {
    /// Tells it from an earlier one of the same path.
    number: u64,
    device: Arc<Device>,
    /// Known once the device has been asked.
    feed: Option<FeedNumber>,
    standing: Standing,
}

#[derive(Default)]
struct State {
    joined: BTreeMap<NetName, Joined>,
    last_joined: u64,
    last_live: u64,
}

/// Who shows what: the device of a plain mount, or those of the shares.
enum Shown {
    Plain(Arc<Device>),
    Several(Weak<Members>),
}

/// Change notification at the devices, as the router asks for it.
struct Upstreams {
    this: Weak<Self>,
    agent: Arc<WatchAgent<Tale>>,
    shown: OnceLock<Shown>,
    state: Mutex<State>,
}

/// The reader of one feed.
struct Reader {
    upstreams: Weak<Upstreams>,
    path: NetName,
    number: u64,
}

/// The watches of a mount.
pub struct Watches {
    agent: Arc<WatchAgent<Tale>>,
    upstreams: Arc<Upstreams>,
    clock: Arc<dyn Clock>,
    /// The agent's, while it runs.
    thread: Mutex<Option<Thread>>,
}

impl Watches {
    /// None yet, and no thread.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let agent = WatchAgent::new();
        let upstreams = Arc::new_cyclic(|this| Upstreams {
            this: this.clone(),
            agent: agent.clone(),
            shown: OnceLock::new(),
            state: Mutex::new(Rank::Leaf, State::default()),
        });
        let thread = Mutex::new(Rank::Leaf, None);
        Arc::new(Self { agent, upstreams, clock, thread })
    }

    /// What the router is made with.
    #[must_use]
    pub fn outside(&self) -> (Arc<dyn crate::mup::upcalls::Agent>, Arc<dyn Upstream>) {
        (self.agent.clone(), self.upstreams.clone())
    }

    /// Watches of the one device of a plain mount. Once, before they start.
    pub fn show(&self, device: Arc<Device>) {
        let _ = self.upstreams.shown.set(Shown::Plain(device));
    }

    /// Watches of the shares of several providers. Once, before they start.
    pub fn show_members(&self, members: &Arc<Members>) {
        let _ = self.upstreams.shown.set(Shown::Several(Arc::downgrade(members)));
    }

    /// Starts the agent's thread, with the router that was made with it.
    ///
    /// # Errors
    /// The system's, when it has no room for a thread.
    pub fn start<P: Provider>(&self, router: Arc<Router<P>>) -> std::io::Result<()> {
        let thread = self.agent.start(router)?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Ends every watch and the thread.
    pub fn stop(&self) {
        self.agent.stop();
        let thread = self.thread.lock().take();
        drop(thread);
        let joined = std::mem::take(&mut self.upstreams.state.lock().joined);
        joined.into_values().for_each(Joined::leave);
    }

    /// Watches a path, absolute within the mount.
    ///
    /// # Errors
    /// [`ControlError::Refused`], in words.
    pub fn watch(&self, path: &[u8]) -> Result<Box<dyn Sightings>, ControlError> {
        let shown = String::from_utf8_lossy(path).into_owned();
        let refused = |why: String| ControlError::Refused(format!("cannot watch {shown}: {why}"));
        let path = NetName::parse(path).map_err(|status| refused(status.to_string()))?;
        if !self.upstreams.knows(&path) {
            return Err(refused("it is in no share".to_owned()));
        }
        let watch = self.agent.watch(&path).map_err(|why| refused(why.to_string()))?;
        Ok(Box::new(Stream {
            watch,
            upstreams: self.upstreams.clone(),
            clock: self.clock.clone(),
            told: None,
            waiting: VecDeque::new(),
            end: None,
        }))
    }
}

impl Upstreams {
    /// Is there a share that may have it?
    fn knows(&self, path: &NetName) -> bool {
        match self.shown.get() {
            None => false,
            Some(Shown::Plain(_)) => true,
            Some(Shown::Several(members)) => members.upgrade().is_some_and(|members| {
                members.all().iter().any(|shown| path.is_within(&shown.prefix))
            }),
        }
    }

    /// The owner's device that shows a path, and the path below its share.
    fn device_of(&self, owner: ProviderHandle, path: &NetName) -> Option<(Arc<Device>, Vec<Name>)> {
        let (device, depth) = match self.shown.get()? {
            Shown::Plain(device) => (device.clone(), 0),
            Shown::Several(members) => {
                let members = members.upgrade()?.all();
                let shown = members.iter().find(|shown| shown.owner() == Some(owner))?;
                (shown.device.clone(), shown.prefix.depth())
            }
        };
        let names = path.components().skip(depth).map(Name::new);
        Some((device, names.collect::<Result<_, _>>().ok()?))
    }

    fn standing(&self, path: &NetName) -> Option<Standing> {
        self.state.lock().joined.get(path).map(|joined| joined.standing.clone())
    }

    /// What is told of the feed of this number; nothing if it is another's by now.
    fn note(
        &self,
        path: &NetName,
        number: u64,
        standing: impl FnOnce(&mut State) -> Standing,
    ) -> bool {
        let mut state = self.state.lock();
        if state.joined.get(path).is_none_or(|joined| joined.number != number) {
            return false;
        }
        let standing = standing(&mut state);
        if let Some(joined) = state.joined.get_mut(path) {
            joined.standing = standing;
        }
        true
    }
}

impl Joined {
    fn leave(self) {
        if let Some(feed) = self.feed {
            self.device.unfollow(feed);
        }
    }
}

impl Upstream for Upstreams {
    fn start(&self, owner: ProviderHandle, path: &NetName) {
        let Some((device, below)) = self.device_of(owner, path) else {
            log::error!("{path} is shown by no device of its owner");
            return;
        };
        let number = {
            let mut state = self.state.lock();
            state.last_joined += 1;
            let number = state.last_joined;
            let device = device.clone();
            let joined = Joined { number, device, feed: None, standing: Standing::Asked };
            state.joined.insert(path.clone(), joined);
            number
        };
        let reader = Reader { upstreams: self.this.clone(), path: path.clone(), number };
        let feed = device.follow(below, Arc::new(reader));
        if let Some(joined) = self.state.lock().joined.get_mut(path) {
            joined.feed = Some(feed);
        }
    }

    fn stop(&self, _: ProviderHandle, path: &NetName) {
        let joined = self.state.lock().joined.remove(path);
        if let Some(joined) = joined {
            joined.leave();
        }
    }
}

impl FeedReader for Reader {
    fn fed(&self, _: FeedNumber, fed: Fed) {
        let Some(upstreams) = self.upstreams.upgrade() else { return };
        let (path, number) = (&self.path, self.number);
        let tale = match fed {
            Fed::Changed(changes) => {
                if upstreams.note(path, number, |state| state.standing(path)) {
                    changes.into_iter().for_each(|change| upstreams.tell(path, change));
                }
                return;
            }
            Fed::Live => {
                let mut live = 0;
                let standing = |state: &mut State| {
                    state.last_live += 1;
                    live = state.last_live;
                    Standing::Live(live)
                };
                upstreams.note(path, number, standing).then_some(Tale::Live(live))
            }
            Fed::Failed(status) => {
                let noted = upstreams.note(path, number, |_| Standing::Failed(status));
                noted.then_some(Tale::Failed(status))
            }
            Fed::Gone => upstreams.note(path, number, |_| Standing::Gone).then_some(Tale::Gone),
        };
        if let Some(tale) = tale {
            upstreams.agent.tell(path, path, &tale);
        }
    }
}

impl State {
    fn standing(&self, path: &NetName) -> Standing {
        self.joined.get(path).map_or(Standing::Asked, |joined| joined.standing.clone())
    }
}

impl Upstreams {
    fn tell(&self, watched: &NetName, change: Change) {
        let kind = match change.kind {
            ChangeKind::Added => WatchKind::Created,
            ChangeKind::Removed => WatchKind::Removed,
            ChangeKind::Modified => WatchKind::Modified,
            ChangeKind::Attributes => WatchKind::Attributes,
            ChangeKind::Overflow => WatchKind::Overflow,
        };
        let of = match &change.name {
            // One that is too long for a path of this mount is in it all the same.
            Some(name) => watched.join(name).unwrap_or_else(|_| watched.clone()),
            None => watched.clone(),
        };
        self.agent.tell(watched, &of, &Tale::Seen(kind));
    }
}

/// One live watch, in the words of the control socket.
struct Stream {
    watch: Watch<Tale>,
    upstreams: Arc<Upstreams>,
    clock: Arc<dyn Clock>,
    /// The time that was told last.
    told: Option<u64>,
    waiting: VecDeque<Sighting>,
    end: Option<NextSighting>,
}

impl Sightings for Stream {
    fn next(&mut self, limit: Duration) -> NextSighting {
        let until = self.clock.now().after(limit);
        loop {
            if let Some(seen) = self.waiting.pop_front() {
                return NextSighting::Seen(seen);
            }
            if let Some(end) = &self.end {
                return end.clone();
            }
            if !self.take(until) {
                return NextSighting::Timeout;
            }
        }
    }
}

impl Stream {
    /// Takes the next thing told, if one comes in time.
    fn take(&mut self, until: Moment) -> bool {
        match self.watch.next(&*self.clock, Some(until)) {
            Next::Timeout => return false,
            Next::Closed => self.end = Some(NextSighting::Ended),
            // The router's word; the feed's may be still to come, or have come before.
            Next::Told(Told::Watching | Told::Resync) => self.look(),
            Next::Told(Told::Overflow { lost }) => {
                self.put(WatchKind::Overflow, Some(lost));
                self.look();
            }
            Next::Told(Told::Changed { path, change }) => match change {
                Tale::Seen(kind) => {
                    // An end that is known already has its place in the queue.
                    if self.told.is_none() {
                        self.look_live();
                    }
                    let path = path.to_path();
                    self.waiting.push_back(Sighting { kind, path, lost: None });
                }
                Tale::Live(number) => self.live(number),
                Tale::Failed(status) => self.failed(status),
                Tale::Gone => self.gone(),
            },
        }
        true
    }

    fn put(&mut self, kind: WatchKind, lost: Option<u64>) {
        let path = self.watch.path().to_path();
        self.waiting.push_back(Sighting { kind, path, lost });
    }

    fn look(&mut self) {
        match self.upstreams.standing(self.watch.path()) {
            Some(Standing::Live(number)) => self.live(number),
            Some(Standing::Failed(status)) => self.failed(status),
            Some(Standing::Gone) => self.gone(),
            Some(Standing::Asked) | None => {}
        }
    }

    fn look_live(&mut self) {
        if let Some(Standing::Live(number)) = self.upstreams.standing(self.watch.path()) {
            self.live(number);
        }
    }

    fn live(&mut self, number: u64) {
        match self.told {
            None => self.put(WatchKind::Watching, None),
            Some(told) if told < number => self.put(WatchKind::Resync, None),
            Some(_) => return,
        }
        self.told = Some(number);
    }

    fn failed(&mut self, status: Status) {
        let missing = matches!(status.errno(), Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE);
        if missing && self.told.is_some() {
            return self.gone();
        }
        // The system's own words for it speak of disks and of files.
        let hint = match status.errno() {
            Errno::ENOSPC => "; no more inotify watches: see fs.inotify.max_user_watches",
            Errno::EMFILE => "; no more inotify descriptors: see fs.inotify.max_user_instances",
            _ => "",
        };
        let why = format!("cannot watch {}: {status}{hint}", self.watch.path());
        self.end = Some(NextSighting::Failed(why));
    }

    fn gone(&mut self) {
        if self.end.is_none() {
            self.put(WatchKind::Gone, None);
            self.end = Some(NextSighting::Ended);
        }
    }
}

#[cfg(test)]
mod tests;
