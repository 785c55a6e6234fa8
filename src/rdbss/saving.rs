//! What of a device's configuration is worth keeping, and the stop that waits until it is kept
//! (management.md §3, `save_config`).
//!
//! A device asks whenever something of it has changed; whoever keeps it puts it on disk on a thread
//! of its own. A stop asks once more, because it changes that the device runs, and waits: what it
//! asked for is on disk before its result can be seen, or its report says why not.

use crate::base::limits::{CONFIG_SETTLE_LATE, CONFIG_SETTLE_WAIT};
use crate::base::stop::{ConfigScope, Notice};
use crate::rdbss::device::Device;
use crate::rdbss::stop_run::StopRun;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Keeps configurations, on a thread of its own. Only [`ConfigKeeper::settle`] waits; the other is
/// called from the control thread.
pub trait ConfigKeeper: Send + Sync {
    /// Queues: this is to be kept as it is now.
    fn save(&self, scope: ConfigScope);

    /// Waits until all that was queued before is on disk.
    ///
    /// # Errors
    /// Why something is not, in words; also when `limit` passed first.
    fn settle(&self, limit: Duration) -> Result<(), String>;
}

/// Who keeps a device's configuration, if anybody does.
#[derive(Default)]
pub struct Saving(OnceLock<Arc<dyn ConfigKeeper>>);

impl Device {
    /// Installs what keeps its configuration, once. Later calls change nothing.
    pub fn attach_config_keeper(&self, keeper: Arc<dyn ConfigKeeper>) {
        let _ = self.saving.0.set(keeper);
    }

    /// Something worth keeping has changed: told, and put on disk. Nobody waits for that but a
    /// stop.
    pub fn save_config(&self, scope: ConfigScope) {
        let Some(keeper) = self.saving.0.get() else { return };
        self.announce(Notice::SaveConfig { scope });
        keeper.save(scope);
    }
}

impl StopRun<'_> {
    /// The last step before the result: that the device was stopped in order, and what it asked for
    /// before, is on disk. A failure is said and stops nothing.
    pub fn save_config(&mut self) {
        let device = self.device;
        let Some(keeper) = device.saving.0.get() else { return };
        self.begin("save_config");
        device.save_config(ConfigScope::Mount);
        let in_time = self.may_wait(device.clock.now());
        let limit = if in_time { CONFIG_SETTLE_WAIT } else { CONFIG_SETTLE_LATE };
        let Err(why) = keeper.settle(limit) else { return };
        log::error!("{}: its configuration is not kept: {why}", device.name);
        let why = format!("its configuration is not kept: {why}");
        // Behind what went wrong before: how that begins is looked at.
        self.report.error = Some(match self.report.error.take() {
            Some(before) => format!("{before}; {why}"),
            None => why,
        });
    }
}
