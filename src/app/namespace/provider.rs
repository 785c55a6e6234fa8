//! A share's device as the router sees it: a provider that claims its prefix and what is below.
//!
//! A configured provider may be shown under several prefixes. Each is a share of its own, with a
//! device of its own: a directory cannot be at two places of one mount.

use crate::app::events::Publisher;
use crate::base::ids::Caller;
use crate::base::status::Status;
use crate::base::stop::{Notice, State};
use crate::base::sync::{Mutex, Rank};
use crate::front::namespace::Member;
use crate::mup::net_name::NetName;
use crate::mup::refused::Refused;
use crate::mup::router::{HandOver, Router};
use crate::mup::upcalls::{Claim, Provider, ProviderHandle};
use crate::rdbss::device::Device;
use crate::rdbss::notice::{Observer as _, UncProvider};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// One share.
pub struct Share {
    prefix: NetName,
    /// Known before its device is started for the first time.
    member: OnceLock<Arc<Member>>,
}

impl Share {
    /// The device, once there is one.
    #[must_use]
    pub fn member(&self) -> Option<&Arc<Member>> {
        self.member.get()
    }

    /// All of a plain mount: its prefix is the root, and nobody has a name resolved by it.
    #[must_use]
    pub fn whole() -> Arc<Self> {
        Arc::new(Self { prefix: NetName::root(), member: OnceLock::new() })
    }

    fn set_current(&self, current: bool) {
        if let Some(member) = self.member.get() {
            member.set_current(current);
        }
    }

    fn set_left(&self, left: bool) {
        if let Some(member) = self.member.get() {
            member.set_left(left);
        }
    }
}

impl Provider for Share {
    type Server = ();
    type Share = Arc<Member>;
    type View = ();

    fn claim(&self, name: &NetName, _: Option<&NetName>) -> Result<Claim, Status> {
        // One that has left, or waits beside another, claims nothing.
        let current = self.member.get().is_some_and(|member| member.is_current());
        Ok(match current && name.is_within(&self.prefix) {
            true => Claim::Accepted(self.prefix.depth()),
            false => Claim::Refused,
        })
    }

    fn create_srv_call(&self, _: &NetName) -> Result<(), Status> {
        Ok(())
    }

    fn create_net_root(&self, _: &Arc<()>, _: &NetName) -> Result<Arc<Member>, Status> {
        self.member.get().cloned().ok_or(Status::RedirectorNotStarted)
    }

    fn create_v_net_root(&self, _: &Arc<Arc<Member>>, _: Caller) -> Result<(), Status> {
        Ok(())
    }
}

/// Whose the prefix of a device is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    /// Its own: it takes the prefix when it starts.
    Own,
    /// Another's still: it stands beside that one, and is given the prefix later.
    Beside,
    /// Not its own any more: it left, and never starts again.
    Left,
}

/// What a tie is now.
struct Tied {
    tie: Tie,
    /// While it is registered.
    handle: Option<ProviderHandle>,
}

/// A device's tie to the router: step 6 of its starts and of its stops, and the hand-over of its
/// prefix. Never called on a thread that serves the kernel: it waits for the kernel.
pub struct Registration {
    name: String,
    router: Arc<Router<Share>>,
    share: Arc<Share>,
    /// The device that its own depends on.
    above: Weak<Device>,
    publisher: Arc<Publisher>,
    /// That device, which is being started, starts this one.
    started_with_it: AtomicBool,
    tied: Mutex<Tied>,
}

/// What a device is tied to besides its prefix.
pub struct Standing {
    /// The device that it depends on.
    pub above: Weak<Device>,
    /// Its prefix is another's still, and it is given it later.
    pub beside: bool,
    /// Where what happens to it is told.
    pub publisher: Arc<Publisher>,
}

impl Registration {
    /// The tie of a device that the router knows as `name`, which is not registered yet. It takes
    /// its prefix at its start, unless it is to stand beside another.
    #[must_use]
    pub fn new(
        name: String,
        router: Arc<Router<Share>>,
        prefix: NetName,
        Standing { above, beside, publisher }: Standing,
    ) -> Arc<Self> {
        let share = Arc::new(Share { prefix, member: OnceLock::new() });
        let tie = if beside { Tie::Beside } else { Tie::Own };
        let tied = Mutex::new(Rank::Leaf, Tied { tie, handle: None });
        let started_with_it = AtomicBool::new(false);
        Arc::new(Self { name, router, share, above, publisher, started_with_it, tied })
    }

    /// The device it is the tie of. Once, before that is started.
    pub fn attach(&self, member: Arc<Member>) {
        let _ = self.share.member.set(member);
    }

    /// The start of what it depends on begins to start it, or has done so.
    pub fn start_with_it(&self, begins: bool) {
        self.started_with_it.store(begins, Ordering::Release);
    }

    /// Its handle while it is registered; never the same again.
    #[must_use]
    pub fn handle(&self) -> Option<ProviderHandle> {
        self.tied.lock().handle
    }

    /// The prefix becomes its own, in one step: from `old`, or from nobody when that does not own
    /// it (it was stopped). What `old` has open goes on to reach it with what is owed.
    ///
    /// # Errors
    /// In words; the prefix is whose it was.
    pub fn take_over(&self, old: Option<&Self>) -> Result<(), String> {
        let Some(handle) = self.handle() else {
            return Err(format!("{}: it was stopped meanwhile", self.share.prefix));
        };
        // Before the first name can be resolved to it.
        self.share.set_current(true);
        let given = old.is_some_and(|old| old.handle().is_some());
        let taken = match old.and_then(Self::handle) {
            None => self.router.take(handle, &self.share.prefix),
            Some(from) => match self.router.transfer(from, handle, &self.share.prefix) {
                // It was stopped this very moment.
                Err(Refused::NoPrefix(_)) => self.router.take(handle, &self.share.prefix),
                Err(Refused::DeadHandle) if self.router.provider(from).is_err() => {
                    self.router.take(handle, &self.share.prefix)
                }
                other => other,
            },
        };
        match taken {
            Ok(hand_over) => {
                self.tell_taken(hand_over, given.then(|| old.map(Self::device)).flatten());
                self.tied.lock().tie = Tie::Own;
                if let Some(old) = old {
                    old.leave();
                }
                Ok(())
            }
            Err(refused) => {
                self.share.set_current(false);
                Err(refused.to_string())
            }
        }
    }

    /// Gives its prefix up, if it is its own, and never takes it again. Nothing new gets to its
    /// device from here on.
    pub fn leave(&self) {
        let handle = {
            let mut tied = self.tied.lock();
            tied.tie = Tie::Left;
            tied.handle
        };
        // First, or it would claim the name once more when nobody owns it.
        self.share.set_current(false);
        self.share.set_left(true);
        if let Some(handle) = handle {
            match self.router.release(handle, &self.share.prefix) {
                Ok(hand_over) => self.tell_unsettled(hand_over),
                // It is another's, or nobody's, already.
                Err(Refused::NoPrefix(_) | Refused::NotOwner(_) | Refused::DeadHandle) => {}
                Err(refused) => log::error!("{}: {refused}", self.name),
            }
        }
    }

    /// The hand-over is taken back: it takes its prefix again at its next start.
    pub fn stay(&self) {
        self.tied.lock().tie = Tie::Own;
        self.share.set_left(false);
    }

    /// Its device's name in events.
    fn device(&self) -> String {
        self.publisher.device()
    }

    fn tell_taken(&self, hand_over: HandOver, from: Option<String>) {
        self.tell_unsettled(hand_over);
        let generation = self.share.member().map(|member| member.generation());
        let prefix = self.share.prefix.to_string();
        let notice = Notice::PrefixTaken { prefix, from };
        self.publisher.notice(generation.unwrap_or_default(), notice);
    }

    fn tell_unsettled(&self, hand_over: HandOver) {
        if !hand_over.settled {
            log::warn!("{}: the kernel has not been told in time", self.share.prefix);
        }
    }
}

impl UncProvider for Registration {
    fn register(&self) -> Result<(), String> {
        // A stop of what it depends on that has found it at rest must find it so to the end.
        let may_start = match self.above.upgrade().map(|above| above.state()) {
            Some(State::Started | State::Paused) => true,
            // Its start may fail yet, and knows only of those that it has started.
            Some(State::StartInProgress) => self.started_with_it.load(Ordering::Acquire),
            Some(State::Startable | State::Draining | State::Sealing) | None => false,
        };
        if !may_start {
            return Err(format!("{}: what it is part of is stopped", self.share.prefix));
        }
        let tie = self.tied.lock().tie;
        if tie == Tie::Left {
            return Err("it has left the mount".to_owned());
        }
        let registered = self.router.register(&self.name, self.share.clone());
        let handle = registered.map_err(|refused| refused.to_string())?;
        if tie == Tie::Beside {
            self.tied.lock().handle = Some(handle);
            return Ok(());
        }
        // Before the first name can be resolved to it.
        self.share.set_current(true);
        // And before it is asked what changes there.
        self.tied.lock().handle = Some(handle);
        match self.router.take(handle, &self.share.prefix) {
            Ok(hand_over) => {
                self.tell_taken(hand_over, None);
                Ok(())
            }
            Err(refused) => {
                self.share.set_current(false);
                self.tied.lock().handle = None;
                if let Err(error) = self.router.deregister(handle) {
                    log::error!("{}: {error}", self.name);
                }
                Err(refused.to_string())
            }
        }
    }

    fn deregister(&self) -> Vec<String> {
        let Some(handle) = self.tied.lock().handle else { return Vec::new() };
        // First, or it would claim the name once more when nobody owns it. Its open files stay its
        // own: a gate that is closed refuses them, and says so (G2).
        self.share.set_current(false);
        let withdrawn = self.router.withdraw(handle);
        self.tied.lock().handle = None;
        match withdrawn {
            Ok(released) => released
                .into_iter()
                .map(|(prefix, hand_over)| {
                    self.tell_unsettled(hand_over);
                    prefix.to_string()
                })
                .collect(),
            Err(refused) => {
                log::error!("{}: {refused}", self.name);
                Vec::new()
            }
        }
    }
}
