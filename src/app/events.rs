//! The core's notices become numbered events, and the log's lines.

use crate::base::ids::Generation;
use crate::base::stop::Notice;
use crate::mgmt::events::EventQueue;
use crate::rdbss::notice::Observer;
use std::sync::Arc;

/// Publishes what a device announces.
pub struct Publisher {
    /// The device's name in events.
    pub device: String,
    /// The daemon's queue.
    pub events: Arc<EventQueue>,
}

impl Observer for Publisher {
    fn notice(&self, generation: Generation, notice: Notice) {
        match &notice {
            Notice::Loss(loss) => {
                let path = String::from_utf8_lossy(&loss.path);
                log::error!("{}: lost {} bytes of {path}: {}", self.device, loss.bytes, loss.error);
            }
            Notice::Draining { .. } | Notice::Refused { .. } => {
                log::debug!("{}: {notice:?}", self.device);
            }
            _ => log::info!("{}: {notice:?}", self.device),
        }
        self.events.publish(&self.device, generation, notice);
    }
}
