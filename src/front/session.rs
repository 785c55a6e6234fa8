//! A mount from start to end: opens a connection, shakes hands, serves, attaches, takes it down.
//!
//! ```text
//!  start ─► open ─► shake hands ─► prepare ─► attach ─► go ─► (serving) ─► kernel gone ─► join
//!                                     ▲                          │
//!                                   adopt ◄───────────────── detach
//! ```

use crate::base::clock::Clock;
use crate::base::threads::Thread;
use crate::front::adapter::filesystem::Adapter;
use crate::front::adapter::front::Front;
use crate::front::control_dir::device::ControlDevice;
use crate::front::control_dir::directory::ControlDirectory;
use crate::front::control_dir::events::{EventDesk, PollWaker};
use crate::front::control_dir::nodes::Owner;
use crate::front::error::FrontError;
use crate::front::inodes::Inodes;
use crate::front::notifier::CacheNotifier;
use crate::front::options::{MountConfig, Mounter};
use crate::front::transport::abi::Notification;
use crate::front::transport::attach::{MakeError, Target, Unmounted};
use crate::front::transport::door::Door;
use crate::front::transport::handshake::{Agreement, Wishes, shake_hands};
use crate::front::transport::registration::{Registration, identify};
use crate::front::transport::workers::{OnEnd, Workers, resend};
use crate::front::transport::{device, helper, mountinfo};
use crate::rdbss::notice::{FileSystemRegistration, KernelCache};
use crate::rdbss::operation::Dispatcher;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use crate::front::transport::workers::Ended;

/// How long a dropped mount waits for its workers after each means of ending them.
const DROP_WAIT: Duration = Duration::from_secs(2);
/// Fewest workers: one may wait in the server while the other serves (reference fuse.md 5.6).
const WORKERS_MIN: usize = 2;

/// A live connection with nobody serving it: what an upgrade hands on.
pub struct Connection {
    /// The descriptor.
    pub device: OwnedFd,
    /// What INIT agreed on.
    pub agreement: Agreement,
    /// Which mount it is, if that is known.
    pub mount_id: Option<u64>,
    /// What the kernel knows, if the predecessor was in this process.
    pub inodes: Option<Arc<Inodes>>,
}

/// A connection on its way to be a mount.
enum Opened {
    /// Made by us, not attached yet.
    Ours(OwnedFd, Unmounted, Target),
    /// Mounted by the helper, or by whoever started us: then we do not know where.
    Elsewhere(OwnedFd, Option<PathBuf>),
}

impl Opened {
    fn device(&self) -> BorrowedFd<'_> {
        match self {
            Self::Ours(device, ..) | Self::Elsewhere(device, _) => device.as_fd(),
        }
    }
}

/// Threads beside the workers, ended together.
struct Plumbing {
    cache: Arc<CacheNotifier>,
    notifier: Option<Thread>,
    desk: Option<(Arc<EventDesk>, Thread)>,
}

impl Drop for Plumbing {
    fn drop(&mut self) {
        if let Some((desk, thread)) = self.desk.take() {
            desk.stop();
            thread.join();
        }
        if let Some(thread) = self.notifier.take() {
            self.cache.stop(thread);
        }
    }
}

/// A mount that is served.
pub struct Mount {
    // Declared in the order they must go: first the workers, then what they use.
    workers: Workers,
    front: Arc<Front>,
    plumbing: Plumbing,
    registration: Arc<Registration>,
    clock: Arc<dyn Clock>,
    /// The connection was given away: what becomes of the mount is the successor's business.
    detached: bool,
}

impl Mount {
    /// Mounts. Returns when the mount answers. `on_gone` is called once, from one of our threads,
    /// when the kernel is gone: unmounted or aborted, by whomever; it must not drop the mount.
    ///
    /// # Errors
    /// [`FrontError`]; then nothing is mounted and no thread runs.
    pub fn start(
        config: &MountConfig,
        dispatcher: Arc<dyn Dispatcher>,
        control: Option<Arc<dyn ControlDevice>>,
        on_gone: OnEnd,
    ) -> Result<Self, FrontError> {
        let opened = open(config)?;
        let connection = device::connection(opened.device());
        let wishes = Wishes {
            posix_acl: config.front.posix_acl,
            posix_locks: config.front.posix_locks,
            flock: config.front.flock,
        };
        let served = shake_hands(opened.device(), wishes).and_then(|agreement| {
            let device = duplicate(opened.device())?;
            let line = Connection { device, agreement, mount_id: None, inodes: None };
            Self::prepare(config, line, dispatcher, control, on_gone)
        });
        match (served, opened) {
            (Ok(mount), Opened::Ours(_, unmounted, target)) => {
                // On an error the file system goes with `unmounted`.
                let id = unmounted.attach(&target, config.flags)?;
                Ok(mount.registered(id, connection, Some(&target.path)).go())
            }
            (Ok(mount), Opened::Elsewhere(_, path)) => {
                Ok(mount.registered(None, connection, path.as_deref()).go())
            }
            (Err(error), Opened::Elsewhere(device, Some(path))) => {
                take_back(device, connection, &path);
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Serves a connection that was detached. Requests its predecessor left unanswered come again.
    /// Control files opened before must be opened again.
    ///
    /// # Errors
    /// [`FrontError::Start`]; the connection ends then.
    pub fn adopt(
        config: &MountConfig,
        connection: Connection,
        dispatcher: Arc<dyn Dispatcher>,
        control: Option<Arc<dyn ControlDevice>>,
        on_gone: OnEnd,
    ) -> Result<Self, FrontError> {
        let (id, number) = (connection.mount_id, device::connection(connection.device.as_fd()));
        let mount = Self::prepare(config, connection, dispatcher, control, on_gone)?;
        resend(mount.workers.device()).map_err(|errno| FrontError::Start(errno.into()))?;
        Ok(mount.registered(id, number, Some(&config.mount_point)).go())
    }

    /// Makes everything that serves a connection; it begins to with [`Mount::go`].
    fn prepare(
        config: &MountConfig,
        connection: Connection,
        dispatcher: Arc<dyn Dispatcher>,
        control: Option<Arc<dyn ControlDevice>>,
        on_gone: OnEnd,
    ) -> Result<Self, FrontError> {
        let Connection { device, agreement, inodes, .. } = connection;
        let clock = config.clock.clone();
        let inodes = inodes.unwrap_or_else(|| Arc::new(Inodes::new(dispatcher.root())));
        let door = Door::new(duplicate(device.as_fd())?);
        let (cache, notifier) =
            CacheNotifier::start(duplicate(device.as_fd())?, inodes.clone(), clock.clone())
                .map_err(FrontError::Start)?;
        let mut plumbing = Plumbing { cache, notifier: Some(notifier), desk: None };
        let control = match (&config.front.control_name, control) {
            (Some(name), Some(control)) => {
                let wake = poll_waker(duplicate(device.as_fd())?);
                let (desk, thread) =
                    EventDesk::open(control.clone(), wake).map_err(FrontError::Start)?;
                plumbing.desk = Some((desk.clone(), thread));
                let owner = owner(&*clock, config.front.control_group);
                Some(ControlDirectory::new(name.clone(), control, desk, owner))
            }
            _ => None,
        };
        let options = config.front.clone();
        let front = Front::new(dispatcher, inodes, options, control, door.clone(), &agreement);
        let front = Arc::new(front);
        let registration = Arc::new(Registration::new(None, duplicate(device.as_fd())?));
        let adapter = Adapter(front.clone());
        let count = config.threads.max(WORKERS_MIN);
        let workers = Workers::prepare(device, agreement, door, &adapter, count, on_gone)?;
        Ok(Self { workers, front, plumbing, registration, clock, detached: false })
    }

    /// Finds out which mount it is.
    fn registered(mut self, id: Option<u64>, connection: Option<u32>, at: Option<&Path>) -> Self {
        let table = mountinfo::read().unwrap_or_default();
        let identity = identify(&table, id, connection, at);
        match duplicate(self.workers.device()) {
            Ok(device) => self.registration = Arc::new(Registration::new(identity, device)),
            Err(error) => log::error!("this mount cannot be unmounted from here: {error}"),
        }
        self
    }

    fn go(mut self) -> Self {
        self.workers.go();
        self
    }

    /// The kernel's caches, for the core.
    #[must_use]
    pub fn kernel_cache(&self) -> Arc<dyn KernelCache> {
        self.plumbing.cache.clone()
    }

    /// The kernel's caches, for whoever tells it of single names.
    #[must_use]
    pub fn notifier(&self) -> Arc<CacheNotifier> {
        self.plumbing.cache.clone()
    }

    /// The mount's place in the namespace, for the core.
    #[must_use]
    pub fn registration(&self) -> Arc<dyn FileSystemRegistration> {
        self.registration.clone()
    }

    /// `st_dev` as `major:minor`; `None` if the kernel did not say which mount is ours.
    #[must_use]
    pub fn device(&self) -> Option<String> {
        self.registration.device_text()
    }

    /// The mount's number in mountinfo.
    #[must_use]
    pub fn mount_id(&self) -> Option<u64> {
        self.registration.identity().map(|identity| identity.mount_id)
    }

    /// Where it is mounted now. `None`: not in this namespace any more.
    #[must_use]
    pub fn mount_point(&self) -> Option<PathBuf> {
        self.registration.mount_point()
    }

    /// Panics and senseless answers in the front, and workers that died; should be 0.
    #[must_use]
    pub fn defects(&self) -> u64 {
        self.front.defects() + self.workers.replaced()
    }

    /// [`defects`](Self::defects), for whoever outlives the mount: it keeps nothing of it alive,
    /// and counts nothing once the mount has gone.
    #[must_use]
    pub fn defect_counter(&self) -> Box<dyn Fn() -> u64 + Send + Sync> {
        let (front, replaced) = (Arc::downgrade(&self.front), self.workers.replaced_counter());
        Box::new(move || front.upgrade().map_or(0, |front| front.defects()) + replaced())
    }

    /// Requests between the kernel and the core at this moment.
    #[must_use]
    pub fn requests_inside(&self) -> usize {
        self.front.requests_inside()
    }

    /// Nodes the kernel knows, without the root.
    #[must_use]
    pub fn known_nodes(&self) -> usize {
        self.front.known_nodes()
    }

    /// Reads of the `events` control file that wait for an event.
    #[must_use]
    pub fn waiting_reads(&self) -> usize {
        self.plumbing.desk.as_ref().map_or(0, |(desk, _)| desk.waiters())
    }

    /// Waits until the kernel is gone and the workers have ended; false when `limit` passed first.
    #[must_use]
    pub fn wait_gone(&self, limit: Duration) -> bool {
        self.workers.wait_ended(&*self.clock, limit)
    }

    /// The last resort: ends the connection, with ECONNABORTED for whoever waits. False when the
    /// kernel gave us no way to.
    #[must_use]
    pub fn abort(&self) -> bool {
        self.registration.abort()
    }

    /// Waits until the kernel is gone, then ends every thread.
    pub fn join(mut self) {
        self.workers.join();
        // The rest is `drop`'s.
    }

    /// Stops serving between two requests and hands out the live connection; whoever uses the mount
    /// meanwhile waits. `on_gone` is not called.
    ///
    /// # Errors
    /// [`FrontError::Detach`], and it is served as before: it is out of our namespace, or what runs
    /// did not end within `limit`.
    pub fn detach(&mut self, limit: Duration) -> Result<Connection, FrontError> {
        let path = self.mount_point().ok_or_else(|| {
            FrontError::Detach("the mount is not in this namespace any more".to_owned())
        })?;
        let agreement = self.workers.agreement();
        let adapter = Adapter(self.front.clone());
        let desk = self.plumbing.desk.as_ref().map(|(desk, _)| desk.clone());
        let quiesce = || desk.iter().for_each(|desk| desk.freeze());
        let detached = self.workers.detach(&adapter, quiesce, &path, &*self.clock, limit);
        if detached.is_err() {
            desk.iter().for_each(|desk| desk.thaw());
        }
        let device = detached?;
        self.detached = true;
        let (mount_id, inodes) = (self.mount_id(), Some(self.front.inodes()));
        Ok(Connection { device, agreement, mount_id, inodes })
    }
}

impl Drop for Mount {
    /// A mount that is dropped while it is served goes: lazily, then by force. One that was aborted
    /// leaves a dead mount point, which is taken away.
    fn drop(&mut self) {
        let known = self.registration.identity().is_some();
        if self.detached || (!known && self.workers.running() == 0) {
            // Given away, or never attached.
            return self.workers.join();
        }
        if known && let Err(error) = self.registration.deregister(true) {
            log::warn!("dropping a mount: {error}");
        }
        let gone = self.wait_gone(DROP_WAIT) || (self.abort() && self.wait_gone(DROP_WAIT));
        if !gone {
            log::error!("the FUSE workers do not end: giving up on them");
            return self.workers.abandon();
        }
        self.workers.join();
    }
}

fn open(config: &MountConfig) -> Result<Opened, FrontError> {
    if let Some(number) = helper::descriptor_number(&config.mount_point) {
        let device = device::inherited(&config.mount_point, number)?;
        return Ok(Opened::Elsewhere(device, None));
    }
    let target = Target::find(&config.mount_point)?;
    if config.mounter == Mounter::Automatic {
        match device::open() {
            Ok(device) => match Unmounted::make(device.as_fd(), config) {
                Ok(unmounted) => return Ok(Opened::Ours(device, unmounted, target)),
                Err(MakeError::NotPermitted) => {}
                Err(MakeError::Failed(error)) => return Err(error),
            },
            // The helper opens it as root.
            Err(error) if error.is_permission() => {}
            Err(error) => return Err(error),
        }
    }
    let device = helper::mount(config, &target.path)?;
    Ok(Opened::Elsewhere(device, Some(target.path)))
}

/// Unmounts what the helper mounted and nobody will serve.
fn take_back(device: OwnedFd, connection: Option<u32>, path: &Path) {
    let table = mountinfo::read().unwrap_or_default();
    let identity = identify(&table, None, connection, Some(path));
    if let Err(error) = Registration::new(identity, device).deregister(true) {
        log::warn!("taking back a mount that failed: {error}");
    }
}

fn duplicate(device: BorrowedFd<'_>) -> Result<OwnedFd, FrontError> {
    device::duplicate(device).map_err(|errno| FrontError::Start(errno.into()))
}

fn poll_waker(device: OwnedFd) -> PollWaker {
    Box::new(move |handles: &[u64]| {
        for &handle in handles {
            // A handle whose file was closed is none any more.
            let _ = device::notify(&device, &Notification::Poll { handle });
        }
    })
}

fn owner(clock: &dyn Clock, group: Option<u32>) -> Owner {
    Owner {
        group,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        since: clock.wall().into(),
    }
}
