//! Numbers that are counted as things happen, for whoever scrapes them (docs/MANAGEMENT.md,
//! "Metrics").
//!
//! [`Histogram`] is what is counted into: fixed buckets of relaxed atomics, without a lock and
//! without memory of its own. The rest is plain data, which the core makes and the management plane
//! encodes: the two may not import each other. The atomics are the standard library's under a model
//! checker too: nothing is decided by them, and a checker would look at every order of what has
//! none.

use crate::base::clock::Moment;
use crate::base::queue::Account;
use crate::base::stop::{CallResult, OnDeadline, State};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of a request's latency, in nanoseconds: half decades. 60 s, the
/// usual deadline of a request, is beyond the last one.
pub const LATENCY_BOUNDS: [u64; 13] = [
    30_000,
    100_000,
    300_000,
    1_000_000,
    3_000_000,
    10_000_000,
    30_000_000,
    100_000_000,
    300_000_000,
    1_000_000_000,
    3_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// The same of a stop or start: around a second of work, minutes of waiting, and 90 s, the deadline
/// of a stop by signal.
pub const CALL_BOUNDS: [u64; 13] = [
    1_000_000,
    10_000_000,
    100_000_000,
    300_000_000,
    1_000_000_000,
    3_000_000_000,
    10_000_000_000,
    30_000_000_000,
    90_000_000_000,
    300_000_000_000,
    600_000_000_000,
    1_800_000_000_000,
    3_600_000_000_000,
];

/// How many took how long, by `N` upper bounds and one bucket above them.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    counts: [AtomicU64; N],
    above: AtomicU64,
    sum_ns: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            above: AtomicU64::new(0),
            sum_ns: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Histogram<N> {
    /// One more. A bound belongs to its own bucket.
    pub fn observe(&self, bounds: &[u64; N], took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = bounds.partition_point(|bound| *bound < ns);
        self.counts.get(at).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn view(&self, bounds: &[u64; N]) -> HistogramView {
        let upper = bounds.iter().map(|bound| Duration::from_nanos(*bound).as_secs_f64());
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let above = (f64::INFINITY, self.above.load(Ordering::Relaxed));
        HistogramView {
            buckets: upper.zip(counts).chain([above]).collect(),
            sum_s: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

/// A histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramView {
    /// Upper bound in seconds, and how many are in this bucket and in no one before; the last bound
    /// is infinity.
    pub buckets: Vec<(f64, u64)>,
    /// Seconds, of all together.
    pub sum_s: f64,
}

impl HistogramView {
    /// How many, of all buckets: never another number than they have.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// Takes in another one with the same bounds.
    pub fn add(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
        } else {
            for ((_, count), (_, more)) in self.buckets.iter_mut().zip(&other.buckets) {
                *count += more;
            }
        }
        self.sum_s += other.sum_s;
    }
}

/// The requests of one operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperationNumbers {
    /// The operation's word.
    pub word: &'static str,
    /// Of those that were answered: from arrival to answer.
    pub latency: HistogramView,
    /// Of these, answered with an error.
    pub failed: u64,
    /// Refused by the gate: never answered otherwise, and in no other number.
    pub refused: u64,
}

/// Stops, or starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallNumbers {
    /// How many ended how.
    pub results: Vec<(CallResult, u64)>,
    /// Stops that were refused because handles were open; in no result.
    pub busy: u64,
    /// Of those that did something: from the call to its result.
    pub durations: HistogramView,
}

/// The numbers of a device; by default, of one that was never started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceNumbers {
    /// Its state.
    pub state: State,
    /// Since when.
    pub state_since: Moment,
    /// Counted requests inside, closes included.
    pub requests_in_flight: u64,
    /// Open files: without directories, and without what was detached.
    pub open_files: u64,
    /// Open directories, without what was detached.
    pub open_directories: u64,
    /// Handles that were taken from their holders and are not closed.
    pub detached: u64,
    /// Of the open ones, those of an earlier generation.
    pub survivors: u64,
    /// Bytes not on the server yet.
    pub unsent_bytes: u64,
    /// Each operation, in a fixed order.
    pub operations: Vec<OperationNumbers>,
    /// Requests that ran to their own end.
    pub completed: u64,
    /// Requests that ended because they were cancelled.
    pub cancelled: u64,
    /// Requests whose deadline passed.
    pub timed_out: u64,
    /// Requests a stop gave up on.
    pub abandoned: u64,
    /// Results that came when the caller had been answered.
    pub late: u64,
    /// Bytes handed to readers.
    pub read_bytes: u64,
    /// Bytes taken from writers, page write-back included.
    pub written_bytes: u64,
    /// Of these, page write-back.
    pub written_back_bytes: u64,
    /// Losses named.
    pub losses: u64,
    /// Their bytes.
    pub lost_bytes: u64,
    /// Of these, losses whose data reached the server after all.
    pub arrived: u64,
    /// Stops.
    pub stops: CallNumbers,
    /// Starts.
    pub starts: CallNumbers,
    /// Stops whose deadline passed, by what they did about it.
    pub deadlines: Vec<(OnDeadline, u64)>,
    /// Does a stop run?
    pub stop_runs: bool,
    /// Does a start run?
    pub start_runs: bool,
    /// Has the deadline of the stop that runs passed?
    pub deadline_passed: bool,
    /// Starts and stops that wait for the control thread.
    pub calls_waiting: u64,
    /// The lanes of the file system process.
    pub lanes: Vec<(&'static str, Account)>,
    /// Its workers.
    pub workers: u64,
    /// Of these, those stuck in a callout.
    pub workers_stuck: u64,
    /// Files known.
    pub files_known: u64,
    /// Closes that wait (delayed close).
    pub delayed_closes: u64,
    /// Contexts dropped without a reply: a defect of ours.
    pub unanswered: u64,
    /// Panics caught in callouts: a mini-redirector's defect.
    pub panics: u64,
}

impl DeviceNumbers {
    /// Adds what another device of the mount has. What is the mount's own is left as it is: its
    /// state, its starts and stops; and panics, which are counted for the whole process.
    pub fn add(&mut self, other: &Self) {
        self.add_gauges(other);
        for (operation, more) in self.operations.iter_mut().zip(&other.operations) {
            operation.latency.add(&more.latency);
            operation.failed += more.failed;
            operation.refused += more.refused;
        }
        for ((_, lane), (_, more)) in self.lanes.iter_mut().zip(&other.lanes) {
            lane.posted_total += more.posted_total;
            lane.taken_total += more.taken_total;
            lane.rejected_total += more.rejected_total;
            lane.queued_total += more.queued_total;
        }
        self.completed += other.completed;
        self.cancelled += other.cancelled;
        self.timed_out += other.timed_out;
        self.abandoned += other.abandoned;
        self.late += other.late;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
        self.written_back_bytes += other.written_back_bytes;
        self.losses += other.losses;
        self.lost_bytes += other.lost_bytes;
        self.arrived += other.arrived;
        self.unanswered += other.unanswered;
    }

    fn add_gauges(&mut self, other: &Self) {
        self.requests_in_flight += other.requests_in_flight;
        self.open_files += other.open_files;
        self.open_directories += other.open_directories;
        self.detached += other.detached;
        self.survivors += other.survivors;
        self.unsent_bytes += other.unsent_bytes;
        self.calls_waiting += other.calls_waiting;
        self.workers += other.workers;
        self.workers_stuck += other.workers_stuck;
        self.files_known += other.files_known;
        self.delayed_closes += other.delayed_closes;
    }

    /// What stays counted of a device that is gone: a counter never goes back.
    #[must_use]
    pub fn counted(&self) -> Self {
        Self {
            requests_in_flight: 0,
            open_files: 0,
            open_directories: 0,
            detached: 0,
            survivors: 0,
            unsent_bytes: 0,
            calls_waiting: 0,
            workers: 0,
            workers_stuck: 0,
            files_known: 0,
            delayed_closes: 0,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ns(ns: u64) -> Duration {
        Duration::from_nanos(ns)
    }

    /// OpenMetrics: `le` is less than or equal.
    #[test]
    fn a_bound_is_in_its_own_bucket() {
        let histogram = Histogram::default();
        for took in [0, 30_000, 30_001, 30_000_000_000, 30_000_000_001, u64::MAX / 2] {
            histogram.observe(&LATENCY_BOUNDS, ns(took));
        }
        let view = histogram.view(&LATENCY_BOUNDS);
        let counts: Vec<u64> = view.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(view.buckets[0].0, 0.000_03);
        assert_eq!(view.buckets[13].0, f64::INFINITY);
        assert_eq!(view.count(), 6);
    }

    #[test]
    fn bounds_ascend() {
        assert!(LATENCY_BOUNDS.is_sorted_by(|one, next| one < next));
        assert!(CALL_BOUNDS.is_sorted_by(|one, next| one < next));
    }

    /// What a device leaves when it goes: its counters, and no gauge.
    #[test]
    fn sums_have_what_each_has_and_counters_stay() {
        let word = "read";
        let latency = HistogramView { buckets: vec![(f64::INFINITY, 2)], sum_s: 0.5 };
        let operation = OperationNumbers { word, latency, failed: 1, refused: 3 };
        let one = DeviceNumbers {
            open_files: 4,
            read_bytes: 5,
            completed: 6,
            operations: vec![operation],
            lanes: vec![("delayed", Account { posted_total: 7, ..Account::default() })],
            ..DeviceNumbers::default()
        };
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!((sum.open_files, sum.read_bytes, sum.completed), (8, 10, 12));
        let operation = &sum.operations[0];
        assert_eq!((operation.latency.count(), operation.failed, operation.refused), (4, 2, 6));
        assert_eq!(sum.lanes[0].1.posted_total, 14);
        let left = one.counted();
        assert_eq!((left.open_files, left.read_bytes, left.completed), (0, 5, 6));
        assert_eq!(left.operations, one.operations);
    }

    proptest! {
        /// However it is spread over histograms that are added up afterwards: everything is in one
        /// bucket, the right one, and in the sum.
        #[test]
        fn all_is_counted_once(took in prop::collection::vec(0..40_000_000_000_u64, 0..60)) {
            let parts: [Histogram<13>; 3] = Default::default();
            for (at, value) in took.iter().enumerate() {
                parts[at % 3].observe(&LATENCY_BOUNDS, ns(*value));
            }
            let mut all = HistogramView::default();
            parts.iter().for_each(|part| all.add(&part.view(&LATENCY_BOUNDS)));
            prop_assert_eq!(all.count(), took.len() as u64);
            let mut up_to = 0;
            for (bound, count) in &all.buckets {
                up_to += count;
                let expected = took.iter().filter(|value| ns(**value).as_secs_f64() <= *bound);
                prop_assert_eq!(up_to, expected.count() as u64);
            }
            let sum: u64 = took.iter().sum();
            prop_assert!((all.sum_s - ns(sum).as_secs_f64()).abs() < 1e-6);
        }
    }
}
