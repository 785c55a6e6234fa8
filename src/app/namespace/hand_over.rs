//! What is done to all devices of a provider, the hand-over of its prefixes among it.

use crate::app::namespace::members::Shown;
use crate::base::ids::{Caller, TicketNumber};
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

/// A stop of a provider that was asked for.
pub(super) struct Stopping {
    /// Its first device.
    pub leader: Arc<Shown>,
    /// What that answered.
    pub called: Answer<Report>,
    /// The last stop it had when it was asked for, if it had any.
    pub before: Option<TicketNumber>,
}

impl Stopping {
    /// Waits for its end: how it ended, or how the one ended that it joined.
    pub fn ended(self, asked_by: Caller) -> Report {
        let Self { leader, called, before } = self;
        let report = leader.device.wait_report(called).unwrap_or_else(|_| {
            let error = Some("its stop has no result".to_owned());
            Report { error, ..Report::new(CallKind::Stop, CallResult::Failed, asked_by) }
        });
        came_to(&leader.device, report, &[before])
    }
}

/// What a stop came to: when it found everything stopped, what the one ended with that it joined.
/// `told`: tickets of the device's last stops that are told for themselves, the one among them that
/// it had when it was asked.
pub(super) fn came_to(device: &Device, report: Report, told: &[Option<TicketNumber>]) -> Report {
    if report.result != CallResult::AlreadyStopped {
        return report;
    }
    let joined = device.status().last_stop.filter(|last| !told.contains(&last.ticket));
    joined.filter(|last| last.result.is_stopped()).unwrap_or(report)
}

/// The ticket of a device's last stop.
pub(super) fn last_stop(device: &Device) -> Option<TicketNumber> {
    device.status().last_stop.and_then(|last| last.ticket)
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
