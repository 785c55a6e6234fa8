//! What the management plane is shown of a mount's shares: numbers added up, lists joined.

use crate::app::namespace::members::{Members, Shown};
use crate::base::limits::LISTED_MAX;
use crate::base::stop::{CallResult, Check, State};
use crate::mgmt::proto::{MountStatus, ProviderStatus};
use crate::rdbss::query::DeviceStatus;

impl Shown {
    fn status(&self, status: &DeviceStatus) -> ProviderStatus {
        ProviderStatus {
            name: self.provider.clone(),
            device: self.name.clone(),
            prefix: self.prefix.to_string(),
            source: self.source.to_string(),
            state: status.state,
            generation: status.generation,
            owner: self.owner().map(|handle| handle.number()),
            requests_in_flight: status.requests_in_flight,
            open_handles: status.open_handles,
            survivors: status.survivors,
            unsent_bytes: status.unsent_bytes,
        }
    }
}

impl Members {
    /// Adds what the shares have to what the mount's own device has.
    pub fn add_to_status(&self, whole: &mut MountStatus) {
        for shown in self.all() {
            let status = shown.device.status();
            whole.requests_in_flight += status.requests_in_flight;
            whole.open_handles += status.open_handles;
            whole.survivors += status.survivors;
            whole.unsent_bytes += status.unsent_bytes;
            whole.refused_total += status.refused_total;
            whole.answered_total += status.answered_total;
            whole.defects_total += status.unanswered_total;
            whole.providers.push(shown.status(&status));
        }
    }

    /// Adds what a stop of the shares would meet.
    pub fn add_to_check(&self, whole: &mut Check) {
        for shown in self.all() {
            let check = shown.device.check();
            let room = LISTED_MAX.saturating_sub(whole.handles.len());
            whole.handles.extend(check.handles.into_iter().take(room));
            whole.handles_total += check.handles_total;
            whole.opening += check.opening;
            let room = LISTED_MAX.saturating_sub(whole.requests.len());
            whole.requests.extend(check.requests.into_iter().take(room));
            whole.requests_total += check.requests_total;
        }
        let busy = whole.handles_total > 0 || whole.opening > 0;
        if busy && whole.state != State::Startable {
            whole.result = CallResult::HasOpenHandles;
        }
    }

    /// Refuses new opens everywhere, or lets them pass again.
    pub fn set_paused(&self, paused: bool) {
        for shown in self.all() {
            let done = if paused { shown.device.pause() } else { shown.device.resume() };
            if let Err(error) = done {
                log::error!("{}: {error}", shown.name);
            }
        }
    }
}
