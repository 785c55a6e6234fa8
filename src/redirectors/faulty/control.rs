//! A test's hand on a running `faulty`.

use super::callout::Callout;
use super::plan::FaultPlan;
use super::shared::Shared;
use std::sync::Arc;
use std::time::Duration;

/// Watches and steers the faults of one instance, from any thread.
#[derive(Clone)]
pub struct FaultControl {
    pub(super) shared: Arc<Shared>,
}

impl FaultControl {
    /// Lets everything that hangs now go on. What comes later hangs again, unless the plan is
    /// changed.
    pub fn release(&self) {
        self.shared.release();
    }

    /// Puts another plan in force for the calls that begin from now on, counting them from 1.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.shared.set_plan(plan);
    }

    /// Calls of a callout that have begun so far.
    #[must_use]
    pub fn calls(&self, callout: Callout) -> u64 {
        self.shared.calls(callout)
    }

    /// Calls of a callout that have begun and not ended: those that pend are inside until they are
    /// completed.
    #[must_use]
    pub fn inside(&self, callout: Callout) -> usize {
        self.shared.inside(callout)
    }

    /// Waits until at least this many calls of a callout are inside; false if they are not within
    /// `limit`.
    #[must_use]
    pub fn wait_until_inside(&self, callout: Callout, count: usize, limit: Duration) -> bool {
        self.shared.wait_until_inside(callout, count, limit)
    }
}
