//! What a device counts for whoever scrapes it (docs/MANAGEMENT.md, "Metrics").
//!
//! A request is counted once, in the moment it is answered, by the thread that answers it: into one
//! of a few shards, so that threads seldom meet, with relaxed additions and nothing else. A stop or
//! start is counted before its result is visible.

use crate::base::metrics::{
    CALL_BOUNDS, CallNumbers, DeviceNumbers, Histogram, HistogramView, LATENCY_BOUNDS,
    OperationNumbers,
};
use crate::base::queue::Class;
use crate::base::status::Status;
use crate::base::stop::{CallKind, CallResult, OnDeadline};
use crate::base::threads;
use crate::rdbss::device::Device;
use crate::rdbss::kind::OperationKind;
use crate::rdbss::operation::Answer;
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Threads take turns among so many.
const SHARDS: usize = 4;

/// The requests of one operation, in one shard: two cache lines, shared with no other.
#[derive(Debug, Default)]
struct Cell {
    latency: Histogram<{ LATENCY_BOUNDS.len() }>,
    failed: AtomicU64,
}

/// Bytes that went through, in one shard.
#[derive(Debug, Default)]
struct Bytes {
    read: AtomicU64,
    written: AtomicU64,
}

/// The requests of a device that were answered.
#[derive(Debug)]
pub struct AnsweredRequests {
    /// By shard, then by operation. On the heap from the beginning: it is too big for the stack of
    /// a model checker's thread.
    cells: Vec<CachePadded<Cell>>,
    bytes: Vec<CachePadded<Bytes>>,
}

impl Default for AnsweredRequests {
    fn default() -> Self {
        let mut cells = Vec::new();
        cells.resize_with(SHARDS * OperationKind::COUNT, CachePadded::default);
        let mut bytes = Vec::new();
        bytes.resize_with(SHARDS, CachePadded::default);
        Self { cells, bytes }
    }
}

impl AnsweredRequests {
    /// One more, which took so long from arrival to answer.
    pub fn count(&self, kind: OperationKind, took: Duration, answer: &Result<Answer, Status>) {
        let shard = threads::number() % SHARDS;
        let cell = &self.cells[shard * OperationKind::COUNT + kind as usize];
        cell.latency.observe(&LATENCY_BOUNDS, took);
        let (counter, by) = match (answer, kind) {
            (Err(_), _) => (&cell.failed, 1),
            (Ok(Answer::Data(data)), OperationKind::Read) => {
                (&self.bytes[shard].read, data.len() as u64)
            }
            (Ok(Answer::Written(bytes)), OperationKind::Write | OperationKind::WriteBack) => {
                (&self.bytes[shard].written, *bytes as u64)
            }
            (Ok(_), _) => return,
        };
        counter.fetch_add(by, Ordering::Relaxed);
    }

    /// Latency of an operation, and how many were answered with an error.
    fn of(&self, kind: OperationKind) -> (HistogramView, u64) {
        let (mut latency, mut failed) = (HistogramView::default(), 0);
        for cell in self.cells.iter().skip(kind as usize).step_by(OperationKind::COUNT) {
            latency.add(&cell.latency.view(&LATENCY_BOUNDS));
            failed += cell.failed.load(Ordering::Relaxed);
        }
        (latency, failed)
    }

    fn bytes(&self, which: impl Fn(&Bytes) -> &AtomicU64) -> u64 {
        self.bytes.iter().map(|bytes| which(bytes).load(Ordering::Relaxed)).sum()
    }
}

/// Requests that the gate refused.
#[derive(Debug, Default)]
pub struct RefusedRequests {
    totals: [AtomicU64; OperationKind::COUNT],
}

impl RefusedRequests {
    /// One more.
    pub fn count(&self, kind: OperationKind) {
        self.totals[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Of one operation.
    #[must_use]
    pub fn of(&self, kind: OperationKind) -> u64 {
        self.totals[kind as usize].load(Ordering::Relaxed)
    }

    /// Of all.
    #[must_use]
    pub fn total(&self) -> u64 {
        OperationKind::ALL.iter().map(|kind| self.of(*kind)).sum()
    }
}

/// What a stop may do at its deadline, each at the place its number says.
const DEADLINES: [OnDeadline; 4] =
    [OnDeadline::Resume, OnDeadline::Stay, OnDeadline::Cancel, OnDeadline::Abort];

#[derive(Debug, Default)]
struct Calls {
    results: [AtomicU64; CallResult::ALL.len()],
    busy: AtomicU64,
    durations: Histogram<{ CALL_BOUNDS.len() }>,
}

impl Calls {
    fn numbers(&self) -> CallNumbers {
        let results = CallResult::ALL.iter().zip(&self.results);
        CallNumbers {
            results: results.map(|(of, count)| (*of, count.load(Ordering::Relaxed))).collect(),
            busy: self.busy.load(Ordering::Relaxed),
            durations: self.durations.view(&CALL_BOUNDS),
        }
    }
}

/// The stops and starts of a device that have ended.
#[derive(Debug, Default)]
pub struct EndedCalls {
    stops: Calls,
    starts: Calls,
    deadlines: [AtomicU64; DEADLINES.len()],
}

impl EndedCalls {
    /// One ended so; with the time from the call to its result, if it did something.
    pub fn count(&self, kind: CallKind, result: CallResult, took: Option<Duration>) {
        let calls = match kind {
            CallKind::Stop => &self.stops,
            CallKind::Start => &self.starts,
        };
        calls.results[result as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(took) = took {
            calls.durations.observe(&CALL_BOUNDS, took);
        }
    }

    /// A stop was refused because handles are open.
    pub fn count_busy(&self) {
        self.stops.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// A stop's deadline passed.
    pub fn count_deadline(&self, policy: OnDeadline) {
        self.deadlines[policy as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Device {
    /// All its numbers. Waits for nothing and nobody.
    #[must_use]
    pub fn numbers(&self) -> DeviceNumbers {
        let counts = &self.counts;
        let fsp = self.fsp.lock().clone().view();
        let view = self.gate.view();
        let (open, detached) = self.handles.counts();
        let directories = self.directories.load(Ordering::Relaxed).max(0).cast_unsigned();
        let directories = directories.min(open);
        let (losses, lost_bytes) = self.losses.totals();
        let load = |count: &crate::base::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let numbers = DeviceNumbers {
            requests_in_flight: u64::from(view.normals) + u64::from(view.closes),
            open_files: open - directories,
            open_directories: directories,
            detached,
            survivors: self.survivors.load(Ordering::Relaxed).max(0).cast_unsigned(),
            unsent_bytes: self.unsent_bytes(),
            operations: OperationKind::ALL.iter().map(|kind| self.operation(*kind)).collect(),
            completed: load(&counts.completed),
            cancelled: load(&counts.cancelled),
            timed_out: load(&counts.timed_out),
            abandoned: load(&counts.abandoned),
            late: load(&counts.late),
            read_bytes: counts.requests.bytes(|bytes| &bytes.read),
            written_bytes: counts.requests.bytes(|bytes| &bytes.written),
            written_back_bytes: load(&counts.written_back_bytes),
            losses,
            lost_bytes,
            arrived: load(&counts.arrived),
            stops: self.calls.stops.numbers(),
            starts: self.calls.starts.numbers(),
            deadlines: DEADLINES.iter().map(|policy| self.deadline(*policy)).collect(),
            lanes: Class::ALL.map(|class| (class.word(), fsp.accounts[class as usize])).to_vec(),
            workers: fsp.workers as u64,
            workers_stuck: fsp.stuck as u64,
            files_known: self.fcbs.len() as u64,
            delayed_closes: self.delayed_closes() as u64,
            unanswered: load(&counts.unanswered),
            panics: crate::rdbss::calldown::panics(),
            ..DeviceNumbers::default()
        };
        let inner = self.control.lock();
        let runs = |kind| inner.running.as_ref().is_some_and(|running| running.kind == kind);
        DeviceNumbers {
            state: inner.state,
            state_since: inner.state_since,
            stop_runs: runs(CallKind::Stop),
            start_runs: runs(CallKind::Start),
            deadline_passed: inner.running.as_ref().is_some_and(|running| running.deadline_passed),
            calls_waiting: inner.queue.len() as u64,
            ..numbers
        }
    }

    fn operation(&self, kind: OperationKind) -> OperationNumbers {
        let (latency, failed) = self.counts.requests.of(kind);
        OperationNumbers { word: kind.word(), latency, failed, refused: self.refusals.of(kind) }
    }

    fn deadline(&self, policy: OnDeadline) -> (OnDeadline, u64) {
        (policy, self.calls.deadlines[policy as usize].load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_at_the_place_its_number_says() {
        assert!(CallResult::ALL.iter().enumerate().all(|(at, result)| *result as usize == at));
        assert!(DEADLINES.iter().enumerate().all(|(at, policy)| *policy as usize == at));
    }

    /// A thread's counts never share a cache line with another's.
    #[test]
    fn a_cell_is_two_cache_lines() {
        assert_eq!(size_of::<CachePadded<Cell>>(), 128);
    }

    /// What threads count at the same time is all there.
    #[test]
    fn nothing_is_lost_between_threads() {
        let requests = AnsweredRequests::default();
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let requests = &requests;
                scope.spawn(move || {
                    for at in 0..1000 {
                        let took = Duration::from_micros(thread * 1000 + at);
                        let data = Ok(Answer::Data(vec![0; 2]));
                        requests.count(OperationKind::Read, took, &data);
                        let written = Ok(Answer::Written(3));
                        requests.count(OperationKind::Write, took, &written);
                        requests.count(OperationKind::CopyRange, took, &written);
                        requests.count(OperationKind::Lookup, took, &Err(Status::IoTimeout));
                    }
                });
            }
        });
        let (latency, failed) = requests.of(OperationKind::Read);
        assert_eq!((latency.count(), failed), (8000, 0));
        let sum = (0..8000_u64).map(|us| us as f64 / 1e6).sum::<f64>();
        assert!((latency.sum_s - sum).abs() < 1e-6, "{} s", latency.sum_s);
        let (latency, failed) = requests.of(OperationKind::Lookup);
        assert_eq!((latency.count(), failed), (8000, 8000));
        assert_eq!(requests.of(OperationKind::Open), (requests.of(OperationKind::Link).0, 0));
        assert_eq!(requests.bytes(|bytes| &bytes.read), 16_000);
        assert_eq!(requests.bytes(|bytes| &bytes.written), 24_000, "no copy on the server");
    }
}
