//! Devices that have left: they are there until nobody knows anything of theirs any more.

use crate::app::namespace::members::{Members, Shown};
use crate::base::limits::NOTIFIER_NAMES_MAX;
use std::sync::Arc;

impl Members {
    /// Takes those off the books that nobody knows anything of. Cheap enough to be called every
    /// second.
    pub fn sweep(&self) {
        for shown in self.left() {
            let device = &shown.device;
            let at_rest = shown.is_at_rest();
            // What it lost may have to be told by the stop of the mount.
            if at_rest && device.is_forgotten() && shown.companion.is_told() {
                log::info!("{}: nothing of it is open or known any more", shown.name);
                self.remove(&shown);
            } else if at_rest {
                // Names that were in use when its prefix was released; the kernel would remember
                // them until it needs the room.
                self.parts.names.forget_names(device.idle_names(NOTIFIER_NAMES_MAX));
            }
        }
    }

    /// The devices that have left.
    pub(super) fn left(&self) -> Vec<Arc<Shown>> {
        let mut all = self.all();
        all.retain(|shown| shown.leaving);
        all
    }
}
