//! The core's notices become numbered events, and the log's lines.

use crate::base::ids::Generation;
use crate::base::stop::Notice;
use crate::base::sync::{Mutex, Rank};
use crate::mgmt::events::EventQueue;
use crate::rdbss::notice::Observer;
use std::sync::Arc;

/// Publishes what a device announces.
pub struct Publisher {
    /// The device's name in events.
    device: Mutex<Arc<str>>,
    /// The daemon's queue.
    events: Arc<EventQueue>,
}

impl Publisher {
    /// Publishes under this name.
    #[must_use]
    pub fn new(device: &str, events: Arc<EventQueue>) -> Arc<Self> {
        Arc::new(Self { device: Mutex::new(Rank::Leaf, device.into()), events })
    }

    /// The name.
    #[must_use]
    pub fn device(&self) -> String {
        self.device.lock().to_string()
    }

    /// Another device has that name from now on, or this one has another's.
    pub fn rename(&self, device: &str) {
        *self.device.lock() = device.into();
    }
}

impl Observer for Publisher {
    fn notice(&self, generation: Generation, notice: Notice) {
        let device = self.device.lock().clone();
        match &notice {
            Notice::Loss(loss) => {
                let path = String::from_utf8_lossy(&loss.path);
                log::error!("{device}: lost {} bytes of {path}: {}", loss.bytes, loss.error);
            }
            Notice::Draining { .. } | Notice::Refused { .. } => {
                log::debug!("{device}: {notice:?}");
            }
            _ => log::info!("{device}: {notice:?}"),
        }
        self.events.publish(&device, generation, notice);
    }
}
