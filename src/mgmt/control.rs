//! `Control`: everything the management plane may do to the host. `app` implements it.
//!
//! No method touches the mount point, and none but the two waits and the replay may block
//! (invariant 8).

use crate::base::ids::{Caller, HandleNumber, TicketNumber};
use crate::base::stop::{
    Answer, CallResult, Check, Detached, HandleInfo, Report, RequestInfo, State, StopOptions,
};
use crate::base::unsent::{UnsentEntry, UnsentOutcome};
use crate::mgmt::metrics::MountNumbers;
use crate::mgmt::proto::{MountStatus, ProviderWords};
use crate::mgmt::providers::Deed;
use crate::mgmt::rpc::status::RpcStatus;
use crate::mgmt::watch::Sightings;
use std::sync::Arc;
use std::time::Duration;

/// What a caller waits for when it names no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// The device serves.
    Running,
    /// The device is stopped.
    Stopped,
}

/// Is it this that is waited for?
#[must_use]
pub const fn wanted_state(wanted: WaitFor, state: State) -> bool {
    match wanted {
        WaitFor::Running => matches!(state, State::Started | State::Paused),
        WaitFor::Stopped => matches!(state, State::Startable),
    }
}

/// Why the host would not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The caller may not, as things stand; the text says why.
    #[error("{0}")]
    NotPermitted(String),
    /// The ticket was never issued, or its result is no longer kept.
    #[error("ticket {0} is not known (the last 64 results are kept)")]
    UnknownTicket(TicketNumber),
    /// A bound was reached.
    #[error("too many start and stop calls are waiting already")]
    TooMany,
    /// The call makes no sense in this state; the text says why.
    #[error("{0}")]
    Refused(String),
}

/// A mount, or one of its providers: what can be stopped and started by itself.
pub trait Part {
    /// Everything about it at this moment; of a provider as if it were all of the mount.
    fn status(&self) -> MountStatus;

    /// Hands each of its open handles to `visit` until it answers false; as [`Control::handles`].
    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool);

    /// Is what is at this path, below the mount's root, a matter of it?
    fn has(&self, path: &[u8]) -> bool;

    /// As [`Control::check`].
    fn check(&self) -> Check;

    /// As [`Control::stop`].
    ///
    /// # Errors
    /// [`ControlError`].
    fn stop(&self, asked_by: Caller, options: StopOptions) -> Result<Answer<Report>, ControlError>;

    /// As [`Control::start`].
    ///
    /// # Errors
    /// [`ControlError`].
    fn start(&self, asked_by: Caller) -> Result<Answer<Report>, ControlError>;

    /// As [`Control::pause`].
    ///
    /// # Errors
    /// [`ControlError`].
    fn pause(&self, asked_by: Caller) -> Result<CallResult, ControlError>;

    /// As [`Control::resume`].
    ///
    /// # Errors
    /// [`ControlError`].
    fn resume(&self, asked_by: Caller) -> Result<CallResult, ControlError>;

    /// As [`Control::wait_state`].
    fn wait_state(&self, wanted: WaitFor, limit: Duration) -> bool;
}

/// The mount as a whole.
pub(in crate::mgmt) struct Whole<'a>(pub &'a dyn Control);

impl Part for Whole<'_> {
    fn status(&self) -> MountStatus {
        self.0.status()
    }

    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool) {
        self.0.handles(visit);
    }

    fn has(&self, _: &[u8]) -> bool {
        true
    }

    fn check(&self) -> Check {
        self.0.check()
    }

    fn stop(&self, asked_by: Caller, options: StopOptions) -> Result<Answer<Report>, ControlError> {
        self.0.stop(asked_by, options)
    }

    fn start(&self, asked_by: Caller) -> Result<Answer<Report>, ControlError> {
        self.0.start(asked_by)
    }

    fn pause(&self, asked_by: Caller) -> Result<CallResult, ControlError> {
        self.0.pause(asked_by)
    }

    fn resume(&self, asked_by: Caller) -> Result<CallResult, ControlError> {
        self.0.resume(asked_by)
    }

    fn wait_state(&self, wanted: WaitFor, limit: Duration) -> bool {
        self.0.wait_state(wanted, limit)
    }
}

/// A mount of one source has no providers to be asked for.
fn no_providers<T>() -> Result<T, ControlError> {
    Err(ControlError::Refused("the mount has one source and no providers".to_owned()))
}

/// What the management plane may do.
pub trait Control: Send + Sync {
    /// Everything about the mount at this moment.
    fn status(&self) -> MountStatus;

    /// What is counted of it.
    fn numbers(&self) -> MountNumbers;

    /// The names of its devices, as events have them: the mount's, where it has one device.
    fn devices(&self) -> Vec<String> {
        vec![self.status().name]
    }

    /// A provider by its name.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: there is none of this name.
    fn provider(&self, name: &str) -> Result<Arc<dyn Part + '_>, ControlError> {
        let _ = name;
        no_providers()
    }

    /// The provider that a ticket is of; none: it is the mount's, or not known.
    fn provider_of(&self, ticket: TicketNumber) -> Option<String> {
        let _ = ticket;
        None
    }

    /// What a ticket does to its provider; none: it is a stop or start, or not known.
    fn deed_of(&self, ticket: TicketNumber) -> Option<Deed> {
        let _ = ticket;
        None
    }

    /// One provider more.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed.
    fn add_provider(
        &self,
        asked_by: Caller,
        provider: &ProviderWords,
    ) -> Result<Answer<Report>, ControlError> {
        let _ = (asked_by, provider);
        no_providers()
    }

    /// One provider less, after an orderly stop of it.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed.
    fn remove_provider(
        &self,
        asked_by: Caller,
        provider: &str,
        options: StopOptions,
    ) -> Result<Answer<Report>, ControlError> {
        let _ = (asked_by, provider, options);
        no_providers()
    }

    /// Another source in the place of a provider's; then an orderly stop of what was there.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed.
    fn replace_provider(
        &self,
        asked_by: Caller,
        provider: &ProviderWords,
        options: StopOptions,
    ) -> Result<Answer<Report>, ControlError> {
        let _ = (asked_by, provider, options);
        no_providers()
    }

    /// Lets remote management listen again, as it did at first: 0, 1713 when it does still or
    /// drains, 1714 when there was none.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: an endpoint cannot be opened again; none is.
    fn listen(&self) -> Result<RpcStatus, ControlError>;

    /// Hands each open handle to `visit` until it answers false. Streams: the world goes on, no
    /// lock is held while `visit` runs.
    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool);

    /// Requests in flight.
    fn requests(&self) -> Vec<RequestInfo>;

    /// What a stop would meet; changes nothing. Its lists are bounded, its totals exact.
    fn check(&self) -> Check;

    /// Takes one handle from its holder: he gets ESHUTDOWN on its next use, and nobody waits for
    /// it. What he wrote still goes to the server.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when no such handle is open.
    fn detach(&self, asked_by: Caller, handle: HandleNumber) -> Result<Detached, ControlError>;

    /// `RxStopMinirdr` for `asked_by`.
    ///
    /// # Errors
    /// [`ControlError::TooMany`].
    fn stop(&self, asked_by: Caller, options: StopOptions) -> Result<Answer<Report>, ControlError>;

    /// `RxStartMinirdr` for `asked_by`.
    ///
    /// # Errors
    /// [`ControlError::TooMany`].
    fn start(&self, asked_by: Caller) -> Result<Answer<Report>, ControlError>;

    /// Refuses new opens.
    ///
    /// # Errors
    /// [`ControlError::Refused`] while it is starting or stopping.
    fn pause(&self, asked_by: Caller) -> Result<CallResult, ControlError>;

    /// Takes a pause back, or a stop that is still draining. A stop that root asked for only root
    /// takes back.
    ///
    /// # Errors
    /// [`ControlError::NotPermitted`]; [`ControlError::Refused`] while it is starting.
    fn resume(&self, asked_by: Caller) -> Result<CallResult, ControlError>;

    /// Waits up to `limit` for a ticket's report; `None` when the time ran out.
    ///
    /// # Errors
    /// [`ControlError::UnknownTicket`].
    fn wait_ticket(
        &self,
        ticket: TicketNumber,
        limit: Duration,
    ) -> Result<Option<Report>, ControlError>;

    /// Waits up to `limit` for a state; false when the time ran out. After it the last report of
    /// that kind, if any, is in [`MountStatus`].
    fn wait_state(&self, wanted: WaitFor, limit: Duration) -> bool;

    /// Watches a path, absolute within the mount: it, and what is right in it. Nothing is waited
    /// for: whether there is something to watch is the first that is told.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: it is no path, no share has it, or there is no room.
    fn watch(&self, path: &[u8]) -> Result<Box<dyn Sightings>, ControlError>;

    /// What did not reach the server and is kept, in order of arrival.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: it cannot be read.
    fn unsent(&self) -> Result<Vec<UnsentEntry>, ControlError>;

    /// Puts it on the server, for `asked_by`. Waits for the server; `go_on` is asked meanwhile, and
    /// ends it.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: it is not running, or one runs already.
    fn replay(
        &self,
        asked_by: Caller,
        force: bool,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<UnsentOutcome>, ControlError>;

    /// Keeps it no longer.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: a replay runs, or it cannot be read.
    fn discard(&self) -> Result<Vec<UnsentOutcome>, ControlError>;
}
