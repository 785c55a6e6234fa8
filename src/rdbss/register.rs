//! Registering a mini-redirector, and off the books again (RxRegisterMinirdr, rdbss.md 6).

use crate::base::clock::Clock;
use crate::base::limits::{RELEASE_GRACE, REQUEST_DEADLINE, SCAVENGER_TIMEOUT};
use crate::base::sync::{Mutex, Rank};
use crate::mrx::calldown::MiniRedirector;
use crate::rdbss::device::Device;
use crate::rdbss::notice::{Dependents, Observer, UncProvider};
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::ticket::TicketNumbers;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The registration controls of RxRegisterMinirdr, each with its bit (rdbss.md 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistrationControls {
    /// 0x1 RX_REGISTERMINI_FLAG_DONT_PROVIDE_UNCS: owns no prefix; nothing is registered with the
    /// MUP at a start nor deregistered at a stop.
    pub dont_provide_uncs: bool,
    /// 0x2 RX_REGISTERMINI_FLAG_DONT_PROVIDE_MAILSLOTS: there are none on Linux; kept for its
    /// number.
    pub dont_provide_mailslots: bool,
    /// 0x4 RX_REGISTERMINI_FLAG_DONT_INIT_DRIVER_DISPATCH: the front does not serve requests of
    /// this device; it is reached through [`Device`] only (a library's or a test's device).
    pub dont_init_driver_dispatch: bool,
    /// 0x8 RX_REGISTERMINI_FLAG_DONT_INIT_PREFIX_N_SCAVENGER: no table of server names and no
    /// scavenger, so no close is ever delayed; the one view is made at the start.
    pub dont_init_prefix_n_scavenger: bool,
}

impl RegistrationControls {
    /// From the document's bits.
    ///
    /// # Errors
    /// [`RegisterError::UnknownControls`] for a bit that is none of the four.
    pub fn from_bits(bits: u32) -> Result<Self, RegisterError> {
        if bits & !0xf != 0 {
            return Err(RegisterError::UnknownControls(bits));
        }
        Ok(Self {
            dont_provide_uncs: bits & 0x1 != 0,
            dont_provide_mailslots: bits & 0x2 != 0,
            dont_init_driver_dispatch: bits & 0x4 != 0,
            dont_init_prefix_n_scavenger: bits & 0x8 != 0,
        })
    }

    /// To the document's bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        (self.dont_provide_uncs as u32)
            | (self.dont_provide_mailslots as u32) << 1
            | (self.dont_init_driver_dispatch as u32) << 2
            | (self.dont_init_prefix_n_scavenger as u32) << 3
    }
}

/// What becomes of handles that outlived a stop when the device starts again (stop.md S4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SurvivorPolicy {
    /// Each is offered to the mini-redirector; what it reclaims works again.
    #[default]
    Reclaim,
    /// They stay ESTALE until closed.
    Stale,
}

/// How a device behaves; bounds in the caller's hands.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// A request older than this is answered ETIMEDOUT; none: it may take for ever.
    pub request_deadline: Option<Duration>,
    /// Step 9's wait for RELEASEs on their way.
    pub release_grace: Duration,
    /// What becomes of survivors at a start.
    pub survivors: SurvivorPolicy,
    /// A start gives up after this long.
    pub start_limit: Duration,
    /// A delayed close is made when no open has wanted it for so long (ScavengerTimeout).
    pub scavenger_timeout: Duration,
    /// Which device of its mount it is; no two of a mount have the same.
    pub tag: Tag,
    /// Where its tickets' numbers come from; those of a mount share it.
    pub ticket_numbers: TicketNumbers,
    /// Where the mount shows its share, as paths are told: from the mount's root without a leading
    /// slash, empty for all of the mount.
    pub shown_at: Vec<u8>,
}

impl Default for DeviceOptions {
    fn default() -> Self {
        Self {
            request_deadline: Some(REQUEST_DEADLINE),
            release_grace: RELEASE_GRACE,
            survivors: SurvivorPolicy::default(),
            start_limit: Duration::from_secs(60),
            scavenger_timeout: SCAVENGER_TIMEOUT,
            tag: Tag::SOLE,
            ticket_numbers: TicketNumbers::default(),
            shown_at: Vec::new(),
        }
    }
}

/// Makes the mini-redirector of the next generation. What must outlive a generation, it closes
/// over.
pub type RedirectorFactory = Box<dyn Fn() -> Arc<dyn MiniRedirector> + Send + Sync>;

/// Everything a registration brings.
pub struct Registration {
    /// The device's name; unique among the registered.
    pub name: String,
    /// The controls.
    pub controls: RegistrationControls,
    /// Makes each generation's mini-redirector.
    pub factory: RedirectorFactory,
    /// Bounds.
    pub options: DeviceOptions,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Hears what happens.
    pub observer: Arc<dyn Observer>,
    /// The router's seam; not asked when `dont_provide_uncs`.
    pub unc_provider: Option<Arc<dyn UncProvider>>,
    /// Those that start and stop with it.
    pub dependents: Option<Arc<dyn Dependents>>,
}

/// Why a registration or its end was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// STATUS_OBJECT_NAME_COLLISION.
    #[error("a device named {0} is registered already")]
    NameTaken(String),
    /// STATUS_INVALID_PARAMETER.
    #[error("unknown registration controls {0:#x}")]
    UnknownControls(u32),
    /// No such device.
    #[error("no device named {0} is registered")]
    NotRegistered(String),
    /// STATUS_REDIRECTOR_STARTED: stop it first.
    #[error("{0} is not stopped: stop it first")]
    NotStopped(String),
    /// The system had no thread for it.
    #[error("cannot start the threads of {0}: {1}")]
    Threads(String, String),
}

/// The registered devices of this process.
#[derive(Debug)]
pub struct Registry {
    devices: Mutex<BTreeMap<String, Arc<Device>>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { devices: Mutex::new(Rank::Registry, BTreeMap::new()) }
    }
}

impl Registry {
    /// RxRegisterMinirdr: the device is Startable afterwards.
    ///
    /// # Errors
    /// [`RegisterError::NameTaken`], [`RegisterError::Threads`]; nothing is left behind.
    pub fn register(&self, registration: Registration) -> Result<Arc<Device>, RegisterError> {
        let name = registration.name.clone();
        if self.devices.lock().contains_key(&name) {
            return Err(RegisterError::NameTaken(name));
        }
        let device = Device::new(registration)
            .map_err(|error| RegisterError::Threads(name.clone(), error.to_string()))?;
        let lost_race = {
            let mut devices = self.devices.lock();
            let taken = devices.contains_key(&name);
            if !taken {
                devices.insert(name.clone(), device.clone());
            }
            taken
        };
        if lost_race {
            device.shut_down();
            return Err(RegisterError::NameTaken(name));
        }
        Ok(device)
    }

    /// RxUnregisterMinirdr: the device is gone afterwards, its threads joined.
    ///
    /// # Errors
    /// [`RegisterError::NotRegistered`]; [`RegisterError::NotStopped`], and nothing has changed.
    pub fn unregister(&self, name: &str) -> Result<(), RegisterError> {
        let device = self
            .devices
            .lock()
            .get(name)
            .cloned()
            .ok_or_else(|| RegisterError::NotRegistered(name.to_owned()))?;
        device.close_control().map_err(|_| RegisterError::NotStopped(name.to_owned()))?;
        let removed = self.devices.lock().remove(name);
        drop(removed);
        device.shut_down();
        Ok(())
    }

    /// Finds a device.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Device>> {
        self.devices.lock().get(name).cloned()
    }

    /// Names of the registered devices, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.devices.lock().keys().cloned().collect()
    }
}
