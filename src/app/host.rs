//! One running host from its beginning to its end: builds the parts, hands out control, and takes
//! them down in reverse. Every failure on the way up leaves nothing behind: no mount, no socket, no
//! process.

use crate::app::config::MountConfig;
use crate::app::control::{HostControl, Mounted, Place};
use crate::app::control_file::ControlFiles;
use crate::app::devices::{Devices, Given};
use crate::app::error::AppError;
use crate::app::events::Publisher;
use crate::app::notify::notifier::Notifier;
use crate::app::notify::watchdog::Watchdog;
use crate::app::rpc::{self, Remote};
use crate::app::saved::Saver;
use crate::app::signals::{self, SignalThread};
use crate::app::unsent::keeper::Keeper;
use crate::app::utab::Utab;
use crate::base::clock::{Clock, SystemClock};
use crate::base::ids::TicketNumber;
use crate::base::limits::{EVENTS_COALESCED_FOR, LOSSES_SETTLE_WAIT, SIGNAL_STOP_DEADLINE};
use crate::base::stop::{
    Answer, CallResult, ConfigScope, Loss, Notice, Report, State, StopMode, StopOptions,
};
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::front::options as front;
use crate::front::session::{Ended, Mount};
use crate::mgmt::authz::Policy;
use crate::mgmt::client::socket_path;
use crate::mgmt::control::{Control, ControlError};
use crate::mgmt::endpoint::Claim;
use crate::mgmt::events::EventQueue;
use crate::mgmt::holders::Scanner;
use crate::mgmt::proc::Proc;
use crate::mgmt::server::Server;
use crate::mgmt::service::Service;
use crate::rdbss::device::Device;
use crate::rdbss::notice::{LossKeeper as _, Observer};
use crate::rdbss::ticket::TicketState;
use rustix::mount::MountFlags;
use rustix::process::{Resource, Rlimit};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often the host looks at what no event tells it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Open descriptors asked for: mini-redirectors keep one a file they know.
const DESCRIPTORS_WANTED: u64 = 1 << 20;

/// The mount answers.
#[derive(Clone, Debug)]
pub struct Ready {
    /// `major:minor` of the mount.
    pub device: String,
}

/// How the daemon ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitReport {
    /// Exit code of cli.md: 0, or 13 when data was lost.
    pub code: u8,
    /// What to say.
    pub lines: Vec<String>,
}

/// What the main thread waits for.
#[derive(Debug, Default)]
struct Ending {
    /// The kernel's connection has ended.
    gone: bool,
    /// A signal asked for the end.
    told: Option<Told>,
}

/// How the end was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// With the stop of this ticket: not any more, if that is taken back.
    ByTicket(TicketNumber),
    /// By a stop of something stopped.
    AtOnce,
}

#[derive(Debug)]
struct Life {
    ending: Mutex<Ending>,
    changed: Condvar,
}

impl Life {
    fn new() -> Arc<Self> {
        let ending = Mutex::new(Rank::Host, Ending::default());
        Arc::new(Self { ending, changed: Condvar::new() })
    }

    fn change(&self, change: impl FnOnce(&mut Ending)) {
        change(&mut self.ending.lock());
        self.changed.notify_all();
    }
}

/// Mounts, calls `ready` once the mount answers, serves until it is unmounted or told to end.
///
/// # Errors
/// [`AppError`] with its exit code; nothing is left behind.
pub fn run(config: MountConfig, ready: impl FnOnce(&Ready)) -> Result<ExitReport, AppError> {
    refuse_to_serve_itself(&config)?;
    prepare_process();
    let clock = SystemClock::shared();
    // The name is claimed before anything can be seen of the mount: two daemons never share one.
    let claim =
        Claim::take(&config.runtime_dir, &config.name).map_err(|error| AppError::caused(&error))?;
    let keeper = Keeper::start(config.name.clone(), config.state_dir.clone(), clock.clone())
        .map_err(|error| AppError::failed(format!("no thread for what is unsent: {error}")))?;
    let events = Arc::new(EventQueue::new(clock.clone()));
    // The shares are started before the mount is: its results are not to share a queue with theirs.
    events.reserve(&config.name);
    let publisher = Publisher::new(&config.name, events.clone());
    let devices = Devices::make(Given {
        config: &config,
        clock: &clock,
        events: &events,
        publisher: publisher.clone(),
        keeper: keeper.clone(),
    })?;
    let device = devices.device.clone();
    let looked_at = device.clone();
    let look = move || looked_at.glance().into();
    let notifier = Arc::new(Notifier::start(config.notify.as_ref(), clock.clone(), &events, look));
    let control = Arc::new(HostControl::new(config, &devices, clock.clone(), keeper));
    let saver = start_saver(&control);
    if saver.is_err() {
        devices.shut_down();
    }
    let host = Host {
        saver: saver?,
        control,
        device,
        devices,
        events,
        publisher,
        clock,
        notifier: notifier.clone(),
        life: Life::new(),
    };
    let served = host.serve(claim, ready);
    let ended = host.take_down();
    notifier.end(&last_words(&served, &ended));
    served.map(|()| ended)
}

/// What keeps the record of the mount.
fn start_saver(control: &Arc<HostControl>) -> Result<Arc<Saver>, AppError> {
    // Weak: the device that holds it is held by the control.
    let weak = Arc::downgrade(control);
    let content = Box::new(move |scope| weak.upgrade().and_then(|control| control.saved(scope)));
    Saver::start(control.config.state_dir.clone(), control.clock.clone(), content)
        .map_err(|error| AppError::failed(format!("no thread for the mount's record: {error}")))
}

/// What is said last: of a service that failed it stands in `systemctl status`.
fn last_words(served: &Result<(), AppError>, ended: &ExitReport) -> String {
    match (served, ended.lines.len()) {
        (Err(error), _) => error.message.clone(),
        (Ok(()), 0) => "ended, all saved".to_owned(),
        (Ok(()), losses) => format!("ended, not all saved: {losses} lost, named in the log"),
    }
}

/// A mount inside the directory it serves would ask itself for its own files: every thread that
/// serves the kernel could end up waiting for another one.
fn refuse_to_serve_itself(config: &MountConfig) -> Result<(), AppError> {
    let Some(directory) = config.source.local_directory() else { return Ok(()) };
    let served = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.clone());
    if !config.mount_point.starts_with(&served) {
        return Ok(());
    }
    let (place, source) = (config.mount_point.display(), &config.source);
    Err(AppError::failed(format!(
        "mount point {place} is inside what would be mounted there ({source}): mount it elsewhere"
    )))
}

/// What the parts of `run` share.
struct Host {
    control: Arc<HostControl>,
    saver: Arc<Saver>,
    device: Arc<Device>,
    devices: Devices,
    events: Arc<EventQueue>,
    publisher: Arc<Publisher>,
    clock: Arc<dyn Clock>,
    /// The service manager's.
    notifier: Arc<Notifier>,
    life: Arc<Life>,
}

impl Host {
    /// From the first start to the end of the connection.
    fn serve(&self, claim: Claim, ready: impl FnOnce(&Ready)) -> Result<(), AppError> {
        // First of all: a signal that killed the process would leave a dead mount behind.
        let life = self.life.clone();
        let reload = self.reload();
        let signals = SignalThread::start(
            self.control.clone(),
            move |ticket| {
                let told = ticket.map_or(Told::AtOnce, Told::ByTicket);
                life.change(|ending| ending.told = Some(told));
            },
            reload,
        )
        .map_err(|error| AppError::failed(format!("signals: {error}")))?;
        let served = self.start_and_serve(claim, ready);
        signals.end();
        served
    }

    /// What SIGHUP does: reads the configuration file again, on a thread of its own, so that a
    /// server that does not answer holds up no other signal.
    fn reload(&self) -> impl Fn() + Send + 'static {
        let (control, notifier) = (self.control.clone(), self.notifier.clone());
        move || {
            let read = control.config.reader.as_ref().map(|reader| reader.read.clone());
            let (Some(providers), Some(read)) = (&control.providers, read) else {
                let nothing = || log::info!("there is no configuration file to read again");
                return notifier.reload(nothing);
            };
            let options = signals::stop_options(&control, StopMode::Drain, "reload");
            let options = StopOptions { unmount: false, lazy: false, ..options };
            let notifier = notifier.clone();
            let begun = providers.ask_reload(move |providers| {
                let caller = signals::own_caller();
                let mut reloaded = None;
                notifier.reload(|| match providers.reload(&*read, caller) {
                    Ok(done) => {
                        log::info!("the configuration was read again: {}", done.line);
                        reloaded = Some(done);
                    }
                    Err(error) => log::error!("the configuration stays as it is: {error}"),
                });
                if let Some(reloaded) = reloaded {
                    providers.stop_reloaded(reloaded, (caller, &options));
                }
            });
            if let Err(error) = begun {
                log::error!("the configuration stays as it is: {error}");
            }
        }
    }

    fn start_and_serve(&self, claim: Claim, ready: impl FnOnce(&Ready)) -> Result<(), AppError> {
        let started = self.start_device()?;
        if started.result != CallResult::Success {
            let why = started.error.unwrap_or_else(|| "the start failed".to_owned());
            return Err(AppError::failed(format!("{}: {why}", self.control.config.source)));
        }
        self.unless_told()?;
        let policy = self.control.config.policy;
        self.announce_overrides();
        let rpc = rpc::open(&self.control.config.rpc)?;
        let mount = self.mount(policy)?;
        let service = Service::new(
            self.control.clone(),
            self.events.clone(),
            policy,
            Scanner::system(),
            self.clock.clone(),
        );
        // The socket comes after the mount: who finds the socket finds a mount that answers.
        let outcome = self.listen_and_wait(claim, service, rpc, ready);
        // Dropped while it is served, a mount goes: lazily, and then by force.
        drop(mount);
        outcome
    }

    /// What differs from the table is no secret of who mounted.
    fn announce_overrides(&self) {
        let MountConfig { name, policy, .. } = &self.control.config;
        for allowed in policy.overrides.words(true) {
            log::warn!("{name}: control_allow={allowed}: more is allowed than by default");
        }
        for denied in policy.overrides.words(false) {
            log::info!("{name}: control_deny={denied}");
        }
    }

    fn listen_and_wait(
        &self,
        claim: Claim,
        service: Service,
        rpc: rpc::Opened,
        ready: impl FnOnce(&Ready),
    ) -> Result<(), AppError> {
        let failed = |error: String| AppError::failed(error);
        let endpoint = claim.listen().map_err(|error| AppError::caused(&error))?;
        let service = Arc::new(service);
        let remote = Remote::new(
            service.rpc().clone(),
            *service.policy(),
            &self.control,
            self.clock.clone(),
        );
        remote.serve(rpc)?;
        // Once: this is called once. Before the control socket answers, which speaks of it.
        let remote = self.control.remote.get_or_init(|| remote);
        let server = Server::start(endpoint, service.clone());
        let server = server.map_err(|error| {
            remote.stop();
            failed(format!("the control socket: {error}"))
        })?;
        let in_time = self.unless_told();
        if in_time.is_ok() {
            self.control.keeper.mounted();
            self.device.attach_config_keeper(self.saver.clone());
            self.device.save_config(ConfigScope::Mount);
            ready(&Ready { device: self.control.status().device });
            self.notifier.serving();
            let watchdog = self.watchdog();
            self.wait_for_the_end();
            // Only now: until here the stop could still be taken back, and the process stay.
            self.notifier.ending(self.last_deadline());
            drop(watchdog);
            remote.stop();
            self.finish_what_is_owed();
            // While the name is ours still: the next mount of it may be of this place.
            self.control.forget_helper();
            // While the name is ours still: its next daemon writes a record of its own.
            let kept = self.control.keeper.settle(LOSSES_SETTLE_WAIT);
            self.saver.close(kept && self.device.state() == State::Startable);
        }
        remote.stop();
        // Last, so that whoever waits for the result still gets it.
        server.stop();
        in_time
    }

    /// Proves to the service manager that the control plane lives, if it asked for that.
    fn watchdog(&self) -> Option<Watchdog> {
        let config = &self.control.config;
        let period = config.notify.as_ref()?.watchdog?;
        let socket = socket_path(&config.runtime_dir, &config.name);
        let started = Watchdog::start(period, socket, self.notifier.clone());
        started.inspect_err(|error| log::error!("the watchdog is not kept quiet: {error}")).ok()
    }

    /// How long what is owed at the end may take.
    fn last_deadline(&self) -> Duration {
        self.control.config.options.stop_deadline.unwrap_or(SIGNAL_STOP_DEADLINE)
    }

    /// A mount that was told to end before it answered never becomes ready.
    fn unless_told(&self) -> Result<(), AppError> {
        match self.life.ending.lock().told {
            None => Ok(()),
            Some(_) => {
                let source = &self.control.config.source;
                Err(AppError::failed(format!("{source}: told to end before it was mounted")))
            }
        }
    }

    fn start_device(&self) -> Result<Report, AppError> {
        let called = self
            .device
            .start(signals::own_caller())
            .map_err(|error| AppError::failed(error.to_string()))?;
        self.report_of(called)
    }

    fn report_of(&self, called: Answer<Report>) -> Result<Report, AppError> {
        let unknown = |ticket| AppError::failed(ControlError::UnknownTicket(ticket).to_string());
        self.device.wait_report(called).map_err(unknown)
    }

    fn mount(&self, policy: Policy) -> Result<Mount, AppError> {
        let config = &self.control.config;
        let files: Arc<ControlFiles> = Arc::new(ControlFiles {
            control: self.control.clone(),
            events: self.events.clone(),
            policy,
            proc: Proc::default(),
        });
        let life = self.life.clone();
        let gone = Box::new(move |ended: Ended| {
            log::info!("the kernel is gone: {ended:?}");
            life.change(|ending| ending.gone = true);
        });
        let mount = Mount::start(
            &front_config(config, self.devices.capabilities(), &self.clock),
            self.devices.dispatcher.clone(),
            Some(files),
            gone,
        )?;
        let place =
            Place { registration: mount.registration(), control: Arc::downgrade(&self.control) };
        self.devices.attach_kernel(&mount, Arc::new(place));
        let _ = self.control.front_defects.set(mount.defect_counter());
        let known = Utab::register(mount.mount_point(), mount.device(), &config.options);
        if let Some(registered) = known {
            let _ = self.control.utab.set(registered);
        }
        let (device, number) = (mount.device().unwrap_or_default(), mount.mount_id());
        let _ = self.control.mounted.set(Mounted { device, number });
        Ok(mount)
    }

    /// Sleeps until the connection has ended, or a signal's stop is over.
    fn wait_for_the_end(&self) {
        loop {
            let told = {
                let mut ending = self.life.ending.lock();
                if !ending.gone {
                    self.life.changed.wait_for(&mut ending, LOOK_EVERY);
                }
                if ending.gone {
                    return;
                }
                ending.told
            };
            // What is coalesced is told in time although nobody reads.
            self.events.tick();
            if let Some(members) = &self.control.members {
                members.sweep();
            }
            let over = match told {
                None => false,
                Some(Told::AtOnce) => {
                    self.device.wait_state(|state| state == State::Startable, LOOK_EVERY)
                }
                Some(Told::ByTicket(ticket)) => self.is_over(ticket),
            };
            if over {
                return;
            }
        }
    }

    /// Waits a moment for the stop of a signal; is it over? One that was taken back is forgotten.
    fn is_over(&self, ticket: TicketNumber) -> bool {
        match self.device.wait_ticket(ticket, LOOK_EVERY) {
            TicketState::Open => false,
            TicketState::Ended(report) if !report.result.is_stopped() => {
                log::info!("the stop that a signal asked for was taken back");
                self.life.change(|ending| {
                    // Another signal may have come meanwhile.
                    ending.told = ending.told.filter(|told| *told != Told::ByTicket(ticket));
                });
                false
            }
            TicketState::Ended(_) | TicketState::Unknown => true,
        }
    }

    /// The connection is gone, or the daemon was told to end: nothing acknowledged may be lost.
    fn finish_what_is_owed(&self) {
        let gone = self.life.ending.lock().gone;
        self.control.gone.store(gone, Ordering::Release);
        // A stop that took the mount away itself is still on its way to its end.
        let stopping = !matches!(self.device.state(), State::Started | State::Paused);
        if gone && !stopping {
            self.publisher.notice(self.device.status().generation, Notice::UnmountedOutside);
        }
        if gone {
            let released = self.devices.connection_gone_within(self.last_deadline());
            if released > 0 {
                log::info!("{released} handles were open when the mount went away");
            }
        }
        self.last_stop("unmounted");
        self.device.wait_state(|state| state == State::Startable, EVENTS_COALESCED_FOR);
    }

    /// Stops what is not stopped, with the deadline of a signal: a process that is to end does not
    /// wait for ever for a server that hangs.
    fn last_stop(&self, reason: &str) {
        let options = signals::stop_options(&self.control, StopMode::Drain, reason);
        let options = StopOptions { unmount: false, grace_s: None, ..options };
        // An unmount of what was stopped before has its ticket still to end: ours comes behind it.
        // And what has left a mount may be draining still although that is stopped.
        match self.device.stop(signals::own_caller(), options) {
            Ok(called) => drop(self.report_of(called)),
            Err(error) => log::error!("the last stop: {error}"),
        }
    }

    /// Takes the device off the books and says how it went.
    fn take_down(self) -> ExitReport {
        // Of a mount that never became ready.
        self.control.forget_helper();
        // A start that failed half-way has left it Startable; a mount that failed, Started.
        self.last_stop("not mounted");
        if let Some(providers) = &self.control.providers {
            providers.close();
            // What came to an end with it may have left something to stop.
            self.last_stop("ended");
        }
        self.devices.shut_down();
        let losses = self.devices.all_losses();
        let name = self.device.name();
        let lines: Vec<String> = losses
            .iter()
            .map(|Loss { path, bytes, error, kept_in, .. }| {
                let path = String::from_utf8_lossy(path);
                let place = kept_in.as_ref().map(|file| format!("; kept in {file}"));
                let place = place.unwrap_or_default();
                format!("{name}: lost {bytes} bytes of {path}: {error}{place}")
            })
            .collect();
        // Of a mount that failed; that of another was closed while the name was its.
        self.saver.close(false);
        self.control.keeper.close();
        ExitReport { code: if lines.is_empty() { 0 } else { 13 }, lines }
    }
}

/// What is the process's as a whole.
fn prepare_process() {
    // The kernel has applied the caller's umask already, or tells it: ours must not be in the way.
    rustix::process::umask(rustix::fs::Mode::empty());
    let now = rustix::process::getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(DESCRIPTORS_WANTED, |most| most.min(DESCRIPTORS_WANTED));
    if now.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: now.maximum };
        if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
            log::warn!("the limit of open descriptors stays at {:?}: {error}", now.current);
        }
    }
}

fn front_config(
    config: &MountConfig,
    capabilities: crate::rdbss::device::Capabilities,
    clock: &Arc<dyn Clock>,
) -> front::MountConfig {
    let options = &config.options;
    let source = options.fsname.clone().unwrap_or_else(|| config.source.to_string());
    let has = |flag| options.flags.contains(flag);
    front::MountConfig {
        flags: front::MountFlags {
            read_only: options.read_only,
            allow_other: options.allow_other,
            // Who acts with the daemon's rights for whoever asks has nobody checked but the kernel.
            default_permissions: options.default_permissions || capabilities.daemon_rights,
            set_id: !has(MountFlags::NOSUID),
            devices: !has(MountFlags::NODEV),
            no_execute: has(MountFlags::NOEXEC),
            no_access_times: has(MountFlags::NOATIME),
            no_symlinks: has(MountFlags::NOSYMFOLLOW),
            synchronous: has(MountFlags::SYNCHRONOUS),
            directory_synchronous: has(MountFlags::DIRSYNC),
        },
        front: front::FrontOptions {
            entry_timeout: options.entry_timeout,
            attribute_timeout: options.attr_timeout,
            negative_timeout: options.negative_timeout,
            lease_timeout: options.lease_lifetime(),
            control_name: options.control_dir.clone().map(Into::into),
            control_group: config.policy.group,
            posix_acl: capabilities.posix_acl,
            posix_locks: capabilities.locks,
            flock: capabilities.locks,
        },
        threads: options.fuse_threads,
        clock: clock.clone(),
        ..front::MountConfig::new(source, config.mount_point.clone())
    }
}
