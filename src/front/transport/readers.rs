//! Which of a connection's workers wait for a request in `read(2)`, and which are spare.
//!
//! The kernel wakes the reader that has waited longest. With all workers in `read(2)` each request
//! of one busy caller would wake another thread, with cold caches, on whatever processor that was
//! last. So while requests come one after the other one worker reads, and the rest are spare
//! (docs/decisions/0011-one-reader-waits.md has the figures).
//!
//! ```text
//!            it takes a request              nobody else reads, or more is there
//!  Reading ─────────────────────▶ Serving ──────────────────────────────────────▶ Reading
//!     ▲                              │ another one reads, and nothing is there
//!     │                              ▼
//!     └─────────────────────────── Spare
//!        nobody took a request for a tick; one will take long; more comes than is taken
//! ```
//!
//! Nobody is woken when the only reader takes a request: mostly it is back before anybody could
//! run. One of the spare workers, the deputy, looks every [`DEPUTY_TICK`]: when nobody took a
//! request since it looked last, nobody comes or everybody is busy, and it reads. So an idle
//! connection is read by all, and one whose workers wait for a disk by one more each tick.

use crate::base::limits::{BACKLOG_LOOKS, DEPUTY_TICK};
use crate::base::sync::{Condvar, Mutex, Rank};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    /// While this worker is counted among those that read.
    static READS: RefCell<Option<Reads>> = const { RefCell::new(None) };
}

/// Counts a reader until it is dropped: at the end of its thread at the latest, however that ends.
struct Reads(Arc<Readers>);

impl Drop for Reads {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Who reads.
pub struct Readers {
    /// In `read(2)`, or on the way there.
    reading: AtomicUsize,
    /// Requests taken so far, wrapping.
    taken: AtomicUsize,
    spares: Mutex<Spares>,
    /// Somebody is called, or a deputy is needed.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Spares {
    waiting: usize,
    /// How many of those waiting are to read.
    called: usize,
    has_deputy: bool,
    /// Nobody is to wait here.
    closed: bool,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            reading: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            spares: Mutex::new(Rank::Leaf, Spares::default()),
            changed: Condvar::new(),
        }
    }
}

impl Readers {
    /// Is there only one that reads?
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.reading.load(Ordering::SeqCst) == 1
    }

    /// The calling worker goes to read.
    fn join(self: &Arc<Self>) {
        self.reading.fetch_add(1, Ordering::SeqCst);
        READS.set(Some(Reads(self.clone())));
    }

    /// The calling worker has taken a request. The first time it was not counted: fuser makes the
    /// threads.
    pub fn took(&self) {
        self.taken.fetch_add(1, Ordering::SeqCst);
        drop(READS.take());
    }

    /// The calling worker is about to do what takes long: somebody is to read meanwhile.
    pub fn will_take_long(&self) {
        if self.reading.load(Ordering::SeqCst) == 0 {
            self.call(1);
        }
    }

    /// The calling worker has served its request. Returns when it is to read again; `is_more` asks
    /// whether a request is there.
    pub fn served(self: &Arc<Self>, is_more: impl Fn() -> bool + Copy) {
        if self.reading.load(Ordering::SeqCst) == 0 {
            self.join();
            let looks = self.taken.load(Ordering::SeqCst).is_multiple_of(BACKLOG_LOOKS);
            if looks && is_more() {
                // One cannot keep up.
                self.call(1);
            }
        } else if is_more() {
            self.join();
        } else {
            self.wait();
        }
    }

    /// A worker has left: whatever it left for concerns the spare ones too.
    pub fn left(&self) {
        self.call(usize::MAX);
    }

    /// From here on every worker reads, until it is opened again.
    pub fn close(&self) {
        self.spares.lock().closed = true;
        self.changed.notify_all();
    }

    /// Workers may be spare again.
    pub fn open(&self) {
        self.spares.lock().closed = false;
    }

    /// At most so many of those that are spare are to read.
    fn call(&self, count: usize) {
        let mut spares = self.spares.lock();
        let called = spares.called.saturating_add(count).min(spares.waiting);
        let more = called > spares.called;
        spares.called = called;
        drop(spares);
        match (more, count) {
            (false, _) => {}
            (true, 1) => self.changed.notify_one(),
            (true, _) => self.changed.notify_all(),
        }
    }

    /// Is spare until it is to read.
    fn wait(self: &Arc<Self>) {
        let mut spares = self.spares.lock();
        spares.waiting += 1;
        let mut is_deputy = false;
        let mut taken = self.taken.load(Ordering::SeqCst);
        loop {
            if spares.closed {
                break;
            }
            if spares.called > 0 {
                spares.called -= 1;
                break;
            }
            if !is_deputy && spares.has_deputy {
                self.changed.wait(&mut spares);
                continue;
            }
            if !is_deputy {
                (is_deputy, spares.has_deputy) = (true, true);
                taken = self.taken.load(Ordering::SeqCst);
            }
            if self.changed.wait_for(&mut spares, DEPUTY_TICK) {
                let now = self.taken.load(Ordering::SeqCst);
                if now == taken {
                    break;
                }
                taken = now;
            }
        }
        spares.waiting -= 1;
        if is_deputy {
            spares.has_deputy = false;
        }
        // Counted before it is let go: who comes by meanwhile need not stay.
        self.join();
        let next = is_deputy && spares.waiting > 0;
        drop(spares);
        if next {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, SystemClock};
    use crate::base::threads::{self, Thread};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A worker that takes a request when it is told to, and tells when it goes to read again.
    struct Worker {
        requests: Sender<bool>,
        reads: Receiver<()>,
        thread: Thread,
    }

    impl Worker {
        fn new(readers: &Arc<Readers>) -> Self {
            let (requests, inbox) = channel();
            let (outbox, reads) = channel();
            let readers = readers.clone();
            let thread = threads::spawn("t-worker", move || {
                while let Ok(is_more) = inbox.recv() {
                    readers.took();
                    readers.served(|| is_more);
                    let _ = outbox.send(());
                }
            });
            Self { requests, reads, thread: thread.expect("room") }
        }

        /// It takes a request and has served it; is another one there already?
        fn serve(&self, is_more: bool) {
            self.requests.send(is_more).expect("it lives");
        }

        fn reads(&self) {
            self.reads.recv_timeout(LIMIT).expect("it reads again");
        }

        fn end(self) {
            drop(self.requests);
            self.thread.join();
        }
    }

    fn await_spares(readers: &Readers, wanted: usize) {
        let clock = SystemClock::new();
        let until = clock.now().after(LIMIT);
        while readers.spares.lock().waiting != wanted {
            assert!(clock.now() < until, "{wanted} spare workers");
            std::thread::yield_now();
        }
    }

    #[test]
    fn one_reads_and_the_others_are_spare_until_nothing_comes() {
        let readers = Arc::new(Readers::default());
        let workers: Vec<_> = (0..3).map(|_| Worker::new(&readers)).collect();
        workers[0].serve(false);
        workers[0].reads();
        assert_eq!(readers.reading.load(Ordering::SeqCst), 1);
        workers[1].serve(false);
        workers[2].serve(false);
        // Nobody takes a request from here on: tick by tick all read.
        workers[1].reads();
        workers[2].reads();
        assert_eq!(readers.reading.load(Ordering::SeqCst), 3);
        workers.into_iter().for_each(Worker::end);
        assert_eq!(readers.reading.load(Ordering::SeqCst), 0, "counted while they live");
    }

    #[test]
    fn a_spare_one_reads_when_more_is_there() {
        let readers = Arc::new(Readers::default());
        let (one, other) = (Worker::new(&readers), Worker::new(&readers));
        one.serve(false);
        one.reads();
        other.serve(true);
        other.reads();
        assert_eq!(readers.reading.load(Ordering::SeqCst), 2, "neither is spare");
        one.end();
        other.end();
    }

    #[test]
    fn nobody_is_spare_when_it_is_closed() {
        let readers = Arc::new(Readers::default());
        let (one, other) = (Worker::new(&readers), Worker::new(&readers));
        one.serve(false);
        one.reads();
        readers.close();
        other.serve(false);
        other.reads();
        readers.open();
        one.end();
        other.end();
    }

    /// The reader is at work for long: the deputy takes its place, and the next one the deputy's.
    #[test]
    fn spare_ones_read_when_the_reader_is_stuck() {
        let readers = Arc::new(Readers::default());
        let (one, two) = (Worker::new(&readers), Worker::new(&readers));
        let (stuck, go_on) = channel::<()>();
        one.serve(false);
        one.reads();
        let its = readers.clone();
        let served = threads::spawn("t-stuck", move || {
            its.took();
            let _ = go_on.recv();
        });
        two.serve(false);
        two.reads();
        await_spares(&readers, 0);
        drop(stuck);
        served.expect("room").join();
        one.end();
        two.end();
    }
}
