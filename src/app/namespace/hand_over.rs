//! What is done to all devices of a provider, the hand-over of its prefixes among it.

use crate::app::namespace::members::Shown;
use crate::base::ids::Caller;
use crate::base::stop::{Answer, CallKind, CallResult, Report};
use crate::rdbss::device::Device;
use std::sync::Arc;

/// Gives the prefixes of one provider to another, which has the same. Each changes hands in one
/// step; on failure all are whose they were.
pub(super) fn hand_over(old: &[Arc<Shown>], new: &[Arc<Shown>]) -> Result<(), String> {
    let mut given: Vec<(&Arc<Shown>, &Arc<Shown>)> = Vec::new();
    for to in new {
        let from = old.iter().find(|from| from.prefix == to.prefix);
        let taken = to.registration.take_over(from.map(|from| &*from.registration));
        if let Err(error) = taken {
            for (from, to) in given.into_iter().rev() {
                from.registration.stay();
                if let Err(error) = from.registration.take_over(Some(&to.registration)) {
                    log::error!("{}: {error}", from.name);
                }
            }
            return Err(error);
        }
        given.extend(from.map(|from| (from, to)));
    }
    Ok(())
}

/// The report of a device's call.
pub(super) fn ended(device: &Device, called: Answer<Report>, asked_by: Caller) -> Report {
    device.wait_report(called).unwrap_or_else(|_| {
        let error = Some("its stop has no result".to_owned());
        Report { error, ..Report::new(CallKind::Stop, CallResult::Failed, asked_by) }
    })
}

/// Refuses new opens of a provider, or lets them pass again.
pub(super) fn pause(devices: &[Arc<Shown>], paused: bool) {
    for shown in devices.iter().filter(|shown| !shown.leaving) {
        let done = if paused { shown.device.pause() } else { shown.device.resume() };
        if let Err(error) = done {
            log::error!("{}: {error}", shown.name);
        }
    }
}
