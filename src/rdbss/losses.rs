//! Data that was acknowledged and lost: named in a stop's report, and kept where the bytes are at
//! hand (design README, invariant 9).
//!
//! A loss is *proposed* before the request that carries the data is given up on, and *named* once
//! it was: the request's late completion may come in between, and must find what to take back.

use crate::base::ids::{HandleNumber, LossNumber};
use crate::base::limits::{LOSSES_KEPT, LOSSES_SETTLE_WAIT};
use crate::base::stop::{Loss, Notice};
use crate::base::sync::{Mutex, Rank};
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::notice::{LossKeeper, LostWrite};
use crate::rdbss::operation::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

/// The losses of a device that no report has named yet. Beyond [`LOSSES_KEPT`] only their number
/// and bytes are remembered, as one loss without a path.
pub struct Losses {
    inner: Mutex<Inner>,
    keeper: OnceLock<Arc<dyn LossKeeper>>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    proposed: BTreeMap<LossNumber, LostWrite>,
    named: BTreeMap<LossNumber, Loss>,
    more: u64,
    more_bytes: u64,
    /// Ever named, and their bytes.
    total: u64,
    total_bytes: u64,
    /// Handles whose data is kept already: those of a replay.
    exempt: BTreeSet<HandleNumber>,
}

impl Default for Losses {
    fn default() -> Self {
        Self { inner: Mutex::new(Rank::Leaf, Inner::default()), keeper: OnceLock::new() }
    }
}

impl Losses {
    /// A loss that is about to be.
    pub fn propose(&self, lost: LostWrite) -> LossNumber {
        let mut inner = self.inner.lock();
        inner.last += 1;
        let number = LossNumber(inner.last);
        inner.proposed.insert(number, lost);
        number
    }

    /// It is not one.
    pub fn withdraw(&self, number: LossNumber) {
        let withdrawn = self.inner.lock().proposed.remove(&number);
        drop(withdrawn);
    }

    /// It is one: named from here on, and handed to the keeper. The loss to announce; none if it is
    /// named already, or its data has arrived.
    pub fn name(&self, number: LossNumber) -> Option<Loss> {
        let (lost, loss) = {
            let mut inner = self.inner.lock();
            let lost = inner.proposed.remove(&number)?;
            let loss = lost.loss();
            inner.total += 1;
            inner.total_bytes = inner.total_bytes.saturating_add(loss.bytes);
            if inner.named.len() < LOSSES_KEPT {
                inner.named.insert(number, loss.clone());
            } else {
                inner.more += 1;
                inner.more_bytes = inner.more_bytes.saturating_add(loss.bytes);
            }
            (lost, loss)
        };
        if let Some(keeper) = self.keeper.get() {
            keeper.keep(number, lost);
        }
        Some(loss)
    }

    /// Its data has reached the server after all. Was it named lost before?
    fn arrived(&self, number: LossNumber) -> bool {
        let proposed = {
            let mut inner = self.inner.lock();
            inner.named.remove(&number);
            inner.proposed.remove(&number)
        };
        if proposed.is_some() {
            return false;
        }
        if let Some(keeper) = self.keeper.get() {
            keeper.arrived(number);
        }
        true
    }

    /// Is there one that no report has named?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let inner = self.inner.lock();
        inner.named.is_empty() && inner.more == 0
    }

    /// How many were ever named, and how many bytes.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        (inner.total, inner.total_bytes)
    }

    /// All of them, for the report that names them: with where each is kept, for which the keeper
    /// is waited for.
    #[must_use]
    pub fn take(&self) -> Vec<Loss> {
        let keeper = self.keeper.get().filter(|_| !self.is_empty());
        if let Some(keeper) = keeper
            && !keeper.settle(LOSSES_SETTLE_WAIT)
        {
            log::error!("what was lost is not on disk yet: the report cannot say where it is kept");
        }
        let (named, more, more_bytes) = {
            let mut inner = self.inner.lock();
            let named = std::mem::take(&mut inner.named);
            (named, std::mem::take(&mut inner.more), std::mem::take(&mut inner.more_bytes))
        };
        let tell = |(number, loss): (LossNumber, Loss)| {
            let kept = keeper.map(|keeper| keeper.kept(number)).unwrap_or_default();
            let error = match kept.why_not {
                Some(why) => format!("{}; not kept: {why}", loss.error),
                None => loss.error,
            };
            Loss { command: kept.command, kept_in: kept.file, error, ..loss }
        };
        let mut losses: Vec<Loss> = named.into_iter().map(tell).collect();
        if more > 0 {
            let error = format!("{more} more losses");
            losses.push(Loss { bytes: more_bytes, error, ..Loss::default() });
        }
        losses
    }

    /// Is this handle's data kept already?
    #[must_use]
    pub fn is_exempt(&self, handle: HandleNumber) -> bool {
        self.inner.lock().exempt.contains(&handle)
    }
}

impl Device {
    /// Installs what keeps lost data, once. Later calls change nothing.
    pub fn attach_keeper(&self, keeper: Arc<dyn LossKeeper>) {
        let _ = self.losses.keeper.set(keeper);
    }

    /// Data that was acknowledged is lost: told at once, kept, and named in the next stop's report.
    pub(in crate::rdbss) fn lost(&self, lost: LostWrite) {
        let number = self.losses.propose(lost);
        self.name_loss(number);
    }

    /// The same for the data of a request, which may have been named lost when a stop gave up on
    /// it, or may be about to be.
    pub(in crate::rdbss) fn lose_once(&self, context: &Context, lost: LostWrite) {
        let number = self.losses.propose(lost);
        let Err(before) = context.name_lost(number) else { return self.name_loss(number) };
        self.losses.withdraw(number);
        self.name_loss(before);
    }

    /// A proposed loss is one.
    pub(in crate::rdbss) fn name_loss(&self, number: LossNumber) {
        if let Some(loss) = self.losses.name(number) {
            self.announce(Notice::Loss(loss));
        }
    }

    /// Data that was named lost is on the server after all.
    pub(in crate::rdbss) fn arrived(&self, number: LossNumber, path: Vec<u8>, bytes: u64) {
        if self.losses.arrived(number) {
            self.counts.arrived.fetch_add(1, Ordering::Relaxed);
            self.announce(Notice::Arrived { path, bytes });
        }
    }

    /// Kept data has been put on the server by a replay: behind the back of the kernel, whose pages
    /// of the file go.
    pub fn replayed(&self, file: &Node, bytes: u64) {
        self.announce(Notice::Arrived { path: file.path(), bytes });
    }

    /// Bytes of a replay went to this file, or may have: the kernel has not seen them.
    pub fn written_past_the_kernel(&self, file: &Node) {
        if let Some(kernel) = self.kernel.get() {
            kernel.cache.flush_file(file.number());
        }
    }

    /// What is written through this handle is kept already: no loss is named for it.
    pub fn exempt_from_losses(&self, handle: HandleNumber, exempt: bool) {
        let mut inner = self.losses.inner.lock();
        if exempt {
            inner.exempt.insert(handle);
        } else {
            inner.exempt.remove(&handle);
        }
    }

    /// Losses that no stop's report has named: those since the last one. Waits until they are kept.
    #[must_use]
    pub fn take_losses(&self) -> Vec<Loss> {
        self.losses.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mrx::request::FileIdentity;
    use crate::rdbss::notice::Kept;
    use std::time::Duration;

    fn lost(bytes: u64) -> LostWrite {
        LostWrite {
            path: b"f".to_vec(),
            identity: FileIdentity { number: 2, generation: 0 },
            span: None,
            bytes,
            append: false,
            data: None,
            error: String::new(),
            lost_unix_s: 1.0,
            written_by: crate::base::ids::Caller::default(),
        }
    }

    /// Remembers what it was asked.
    struct Asked(Mutex<Vec<String>>);

    impl LossKeeper for Asked {
        fn keep(&self, number: LossNumber, lost: LostWrite) {
            self.0.lock().push(format!("keep {number} {}", lost.bytes));
        }

        fn arrived(&self, number: LossNumber) {
            self.0.lock().push(format!("arrived {number}"));
        }

        fn settle(&self, _limit: Duration) -> bool {
            self.0.lock().push("settle".to_owned());
            true
        }

        fn kept(&self, number: LossNumber) -> Kept {
            Kept { file: Some(format!("/kept/{number}")), ..Kept::default() }
        }
    }

    fn with_keeper() -> (Losses, Arc<Asked>) {
        let (losses, asked) =
            (Losses::default(), Arc::new(Asked(Mutex::new(Rank::Leaf, Vec::new()))));
        assert!(losses.keeper.set(asked.clone()).is_ok());
        (losses, asked)
    }

    /// Stop.md S7: bounded, and still nothing is silent.
    #[test]
    fn s7_losses_beyond_the_bound_are_summed_up() {
        let losses = Losses::default();
        for _ in 0..LOSSES_KEPT + 3 {
            assert!(losses.name(losses.propose(lost(10))).is_some());
        }
        let taken = losses.take();
        assert_eq!(taken.len(), LOSSES_KEPT + 1);
        let last = taken.last().expect("one a bound");
        assert_eq!((last.bytes, last.error.as_str()), (30, "3 more losses"));
        assert!(losses.take().is_empty());
    }

    /// Invariant 9: what is named is handed to the keeper first, and told with its place.
    #[test]
    fn a_report_waits_for_the_keeper_and_says_where() {
        let (losses, asked) = with_keeper();
        assert!(losses.take().is_empty());
        assert!(asked.0.lock().is_empty(), "nothing to wait for");
        let number = losses.propose(lost(7));
        assert!(losses.is_empty(), "it may still be withdrawn");
        assert!(losses.name(number).is_some());
        assert!(losses.name(number).is_none(), "once");
        let taken = losses.take();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].kept_in.as_deref(), Some("/kept/1"));
        assert_eq!(*asked.0.lock(), ["keep 1 7", "settle"]);
    }

    /// What arrives while it is given up on is no loss; what arrives later is taken back.
    #[test]
    fn what_arrives_is_not_lost() {
        let (losses, asked) = with_keeper();
        let early = losses.propose(lost(1));
        assert!(!losses.arrived(early), "it was never named");
        assert!(losses.name(early).is_none());
        let late = losses.propose(lost(2));
        assert!(losses.name(late).is_some());
        assert!(losses.arrived(late));
        assert!(losses.take().is_empty(), "before the report: not in it");
        let withdrawn = losses.propose(lost(3));
        losses.withdraw(withdrawn);
        assert!(losses.name(withdrawn).is_none());
        assert_eq!(*asked.0.lock(), ["keep 2 2", "arrived 2"]);
    }
}
