//! What the management plane is shown of a mount's shares: numbers added up, lists joined.

use crate::app::namespace::ProviderConfig;
use crate::app::namespace::hand_over::pause;
use crate::app::namespace::members::{Members, Shown};
use crate::app::saved::ProviderRecord;
use crate::base::limits::LISTED_MAX;
use crate::base::stop::{CallResult, Check, State};
use crate::mgmt::proto::{MountStatus, ProviderStatus};
use crate::rdbss::query::DeviceStatus;

impl Shown {
    /// What is told of it.
    pub(super) fn status(&self) -> ProviderStatus {
        self.status_of(&self.device.status())
    }

    /// Adds what it has to what others have.
    pub(super) fn add_to(&self, whole: &mut MountStatus) {
        add(whole, &self.device.status());
    }

    /// Adds what a stop of it would meet.
    pub(super) fn add_to_check(&self, whole: &mut Check) {
        let check = self.device.check();
        let room = LISTED_MAX.saturating_sub(whole.handles.len());
        whole.handles.extend(check.handles.into_iter().take(room));
        whole.handles_total += check.handles_total;
        whole.opening += check.opening;
        let room = LISTED_MAX.saturating_sub(whole.requests.len());
        whole.requests.extend(check.requests.into_iter().take(room));
        whole.requests_total += check.requests_total;
        let busy = whole.handles_total > 0 || whole.opening > 0;
        if busy && whole.state != State::Startable {
            whole.result = CallResult::HasOpenHandles;
        }
    }

    fn status_of(&self, status: &DeviceStatus) -> ProviderStatus {
        ProviderStatus {
            name: self.shown_as.clone(),
            device: self.name.clone(),
            prefix: self.prefix.to_string(),
            source: self.source.to_string(),
            state: status.state,
            aside: self.is_aside(),
            generation: status.generation,
            owner: self.owner().map(|handle| handle.number()),
            requests_in_flight: status.requests_in_flight,
            open_handles: status.open_handles,
            survivors: status.survivors,
            unsent_bytes: status.unsent_bytes,
        }
    }
}

fn add(whole: &mut MountStatus, status: &DeviceStatus) {
    whole.requests_in_flight += status.requests_in_flight;
    whole.open_handles += status.open_handles;
    whole.survivors += status.survivors;
    whole.unsent_bytes += status.unsent_bytes;
    whole.refused_total += status.refused_total;
    whole.answered_total += status.answered_total;
    whole.defects_total += status.unanswered_total;
}

impl Members {
    /// The providers, as the record of the mount keeps them.
    #[must_use]
    pub fn records(&self) -> Vec<ProviderRecord> {
        let providers = self.book.lock().config().providers;
        let record = |provider: &ProviderConfig| ProviderRecord {
            name: provider.name.clone(),
            prefixes: provider.prefixes.iter().map(ToString::to_string).collect(),
            source: provider.source.to_string(),
            options: provider.options.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        };
        providers.iter().map(record).collect()
    }

    /// Adds what the shares have to what the mount's own device has; also those that have left.
    pub fn add_to_status(&self, whole: &mut MountStatus) {
        for shown in self.all() {
            let status = shown.device.status();
            add(whole, &status);
            whole.providers.push(shown.status_of(&status));
        }
    }

    /// Adds what a stop of the shares would meet.
    pub fn add_to_check(&self, whole: &mut Check) {
        self.all().iter().for_each(|shown| shown.add_to_check(whole));
    }

    /// Refuses new opens everywhere, or lets them pass again.
    pub fn set_paused(&self, paused: bool) {
        pause(&self.all(), paused);
    }
}
