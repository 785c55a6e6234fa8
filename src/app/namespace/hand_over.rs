//! The hand-over of a provider's prefixes to the one that takes its place.

use crate::app::namespace::members::Shown;
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
