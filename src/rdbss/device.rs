//! Device: one registered mini-redirector with its machine, tables, workers and generation.

use crate::base::clock::Clock;
use crate::base::ids::Generation;
use crate::base::limits::CANCEL_GRACE;
use crate::base::stop::Notice;
use crate::base::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize};
use crate::base::sync::{Mutex, Rank, RwLock};
use crate::base::threads::{self, Thread};
pub use crate::mrx::calldown::Capabilities;
use crate::mrx::request::{Attributes, VolumeInformation};
use crate::rdbss::bounded::call_bounded;
use crate::rdbss::context::{Context, ContextCounts};
use crate::rdbss::feeds::Feeds;
use crate::rdbss::fsp::Fsp;
use crate::rdbss::gate::Gate;
use crate::rdbss::lifecycle::Refused;
use crate::rdbss::losses::Losses;
use crate::rdbss::notice::{
    Dependents, FileSystemRegistration, KernelCache, Observer, UncProvider,
};
use crate::rdbss::objects::fcb_table::FcbTable;
use crate::rdbss::objects::fobx::Fobx;
use crate::rdbss::objects::handles::HandleTable;
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::objects::v_net_root::VNetRoot;
use crate::rdbss::operation::{Node, NodeAnswer};
use crate::rdbss::register::{
    DeviceOptions, RedirectorFactory, Registration, RegistrationControls,
};
use crate::rdbss::requests::RequestTable;
use crate::rdbss::saving::Saving;
use crate::rdbss::startstop::Control;
use crate::rdbss::statistics::{EndedCalls, RefusedRequests};
use crate::rdbss::survivors::DeferredCloses;
use crate::rdbss::ticket::Tickets;
use crate::rdbss::watcher::AnnouncedRefusals;
use std::sync::{Arc, OnceLock, Weak};

/// The kernel's side of the mount, installed once it is mounted.
pub struct KernelSide {
    /// Its caches.
    pub cache: Arc<dyn KernelCache>,
    /// Its place in the namespace.
    pub registration: Arc<dyn FileSystemRegistration>,
}

/// What the device class answers from when nothing is started (G4).
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::rdbss) struct LastKnown {
    pub root: Option<Attributes>,
    pub volume: Option<VolumeInformation>,
}

/// One registered mini-redirector.
pub struct Device {
    this: Weak<Self>,
    pub(in crate::rdbss) name: String,
    pub(in crate::rdbss) controls: RegistrationControls,
    pub(in crate::rdbss) factory: RedirectorFactory,
    pub(in crate::rdbss) options: DeviceOptions,
    pub(in crate::rdbss) clock: Arc<dyn Clock>,
    pub(in crate::rdbss) observer: Arc<dyn Observer>,
    pub(in crate::rdbss) unc_provider: Option<Arc<dyn UncProvider>>,
    pub(in crate::rdbss) dependents: Option<Arc<dyn Dependents>>,
    pub(in crate::rdbss) gate: Arc<Gate>,
    pub(in crate::rdbss) control: Control,
    pub(in crate::rdbss) tickets: Tickets,
    pub(in crate::rdbss) handles: HandleTable<Fobx>,
    pub(in crate::rdbss) requests: RequestTable,
    pub(in crate::rdbss) counts: Arc<ContextCounts>,
    pub(in crate::rdbss) refusals: RefusedRequests,
    pub(in crate::rdbss) announced: AnnouncedRefusals,
    pub(in crate::rdbss) calls: EndedCalls,
    pub(in crate::rdbss) deferred: DeferredCloses,
    pub(in crate::rdbss) losses: Losses,
    pub(in crate::rdbss) saving: Saving,
    pub(in crate::rdbss) feeds: Feeds,
    /// Handles in the table that are orphans of an earlier generation. For a moment one too few: a
    /// handle may be closed between being orphaned and being counted.
    pub(in crate::rdbss) survivors: AtomicI64,
    /// Open directories in it that were not detached. A moment behind, as well.
    pub(in crate::rdbss) directories: AtomicI64,
    /// The workers of this generation; a spun-down one refuses, and closes then run inline.
    pub(in crate::rdbss) fsp: Mutex<Arc<Fsp>>,
    /// Requests that run on the thread that brought them, because no worker could be had.
    pub(in crate::rdbss) inline: AtomicUsize,
    /// A worker makes delayed closes just now, or is going to.
    pub(in crate::rdbss) scavenging: AtomicBool,
    /// Do callouts of the latest generation block? Then requests are posted.
    pub(in crate::rdbss) blocking: AtomicBool,
    /// The view of the running generation.
    pub(in crate::rdbss) view: RwLock<Option<Arc<VNetRoot>>>,
    /// The files known, over all generations.
    pub(in crate::rdbss) fcbs: Arc<FcbTable>,
    pub(in crate::rdbss) root: OnceLock<Node>,
    pub(in crate::rdbss) last_known: Mutex<LastKnown>,
    pub(in crate::rdbss) kernel: OnceLock<KernelSide>,
    threads: Mutex<Vec<Thread>>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Device({} {:?})", self.name, self.gate.view())
    }
}

impl Device {
    /// A device in Startable, with its control thread and its watcher.
    ///
    /// # Errors
    /// The system's, when it has no room for a thread.
    pub(in crate::rdbss) fn new(registration: Registration) -> std::io::Result<Arc<Self>> {
        let (clock, tag) = (registration.clock, registration.options.tag);
        let shown_at = registration.options.shown_at.clone();
        let tickets = Tickets::numbered(registration.options.ticket_numbers.clone());
        let device = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            name: registration.name,
            controls: registration.controls,
            factory: registration.factory,
            options: registration.options,
            observer: registration.observer,
            unc_provider: registration.unc_provider,
            dependents: registration.dependents,
            gate: Arc::new(Gate::new()),
            control: Control::default(),
            tickets,
            handles: HandleTable::tagged(tag),
            requests: RequestTable::default(),
            counts: Arc::new(ContextCounts::new(clock.clone())),
            refusals: RefusedRequests::default(),
            announced: AnnouncedRefusals::default(),
            calls: EndedCalls::default(),
            deferred: DeferredCloses::default(),
            losses: Losses::default(),
            saving: Saving::default(),
            feeds: Feeds::default(),
            survivors: AtomicI64::new(0),
            directories: AtomicI64::new(0),
            fsp: Mutex::new(Rank::Host, Arc::new(Fsp::new(clock.clone()))),
            inline: AtomicUsize::new(0),
            scavenging: AtomicBool::new(false),
            blocking: AtomicBool::new(false),
            view: RwLock::new(Rank::NetNameTable, None),
            fcbs: FcbTable::new(tag, shown_at),
            root: OnceLock::new(),
            last_known: Mutex::new(Rank::Leaf, LastKnown::default()),
            kernel: OnceLock::new(),
            threads: Mutex::new(Rank::Host, Vec::new()),
            clock,
        });
        let (control, watcher) = (device.clone(), device.clone());
        let control = threads::spawn("rdbss-control", move || control.run_control())?;
        match threads::spawn("rdbss-watcher", move || watcher.run_watcher()) {
            Ok(watcher) => device.threads.lock().extend([control, watcher]),
            Err(error) => {
                device.control.close();
                control.join();
                return Err(error);
            }
        }
        Ok(device)
    }

    /// This device, shared.
    pub(in crate::rdbss) fn shared(&self) -> Arc<Self> {
        self.this.upgrade().expect("a method runs on a device that somebody holds")
    }

    /// What the running generation's mini-redirector can do; nothing at all while none runs.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let view = self.view.read().clone();
        view.map(|view| view.instance().capabilities).unwrap_or_default()
    }

    /// A path below the share's root, as its mini-redirector says it, as the mount has it.
    pub(in crate::rdbss) fn told_path(&self, below: Vec<u8>) -> Vec<u8> {
        match &self.options.shown_at[..] {
            [] => below,
            at => [at, b"/", &below].concat(),
        }
    }

    /// The root of its share with what was last known of it: an answer that asks no server.
    #[must_use]
    pub fn last_known_root(&self) -> Option<NodeAnswer> {
        let attributes = self.last_known.lock().root?;
        Some(NodeAnswer { node: self.known_root()?, attributes })
    }

    /// Which device of its mount it is.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.options.tag
    }

    /// The root of its share, once it was started for the first time.
    #[must_use]
    pub fn known_root(&self) -> Option<Node> {
        self.root.get().cloned()
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its registration controls.
    #[must_use]
    pub fn controls(&self) -> RegistrationControls {
        self.controls
    }

    /// Installs the kernel's side, once. Later calls change nothing.
    pub fn attach_kernel(&self, side: KernelSide) {
        let _ = self.kernel.set(side);
    }

    /// Refuses calls from here on, if it is Startable and quiet.
    ///
    /// # Errors
    /// [`Refused::NotStopped`].
    pub(in crate::rdbss) fn close_control(&self) -> Result<(), Refused> {
        self.control.close_if_startable()
    }

    /// Ends the device's threads. What is queued is still run; nothing new is taken.
    pub fn shut_down(&self) {
        self.end_feeds();
        self.control.close();
        self.gate.wake();
        let threads: Vec<Thread> = self.threads.lock().drain(..).collect();
        drop(threads);
        let fsp = self.fsp.lock().clone();
        let left = fsp.spin_down(std::time::Duration::from_secs(5)).left;
        if !left.is_empty() {
            // Nobody else is left to do what is owed; and nobody may wait for a dead server.
            let until = self.clock.now().after(CANCEL_GRACE);
            let rest = move || {
                left.into_iter().for_each(|job| job());
                Ok(())
            };
            if let Err(status) = call_bounded("close", || self.clock.now() < until, rest) {
                log::warn!("{}: what was owed at the end: {status}", self.name);
            }
        }
    }

    /// The router's seam, unless the registration does without it.
    pub(in crate::rdbss) fn provider(&self) -> Option<&Arc<dyn UncProvider>> {
        self.unc_provider.as_ref().filter(|_| !self.controls.dont_provide_uncs)
    }

    /// Announces something of the current generation. No lock is held.
    pub(in crate::rdbss) fn announce(&self, notice: Notice) {
        self.announce_of(self.gate.view().generation, notice);
    }

    /// Calls the cancel routines of requests, foreign code, and waits for them a moment (S6).
    pub(in crate::rdbss) fn cancel_requests(&self, requests: Vec<Arc<Context>>) {
        if requests.is_empty() {
            return;
        }
        let until = self.clock.now().after(CANCEL_GRACE);
        let cancel = move || {
            for context in &requests {
                context.cancel();
            }
            Ok(())
        };
        if let Err(status) = call_bounded("cancel", || self.clock.now() < until, cancel) {
            log::warn!("{}: cancelling requests: {status}", self.name);
        }
    }

    pub(in crate::rdbss) fn announce_of(&self, generation: Generation, notice: Notice) {
        crate::base::sync::assert_no_locks("a notice");
        self.observer.notice(generation, notice);
    }
}
