//! Readers of the `events` file: who has read how far, who waits, who polls.
//!
//! A read past the end is kept and answered by a thread of ours when an event comes, so no thread
//! that serves the kernel ever waits. The kernel cannot tell us when a waiting reader is killed
//! (fuse.md 1.7), so the same thread looks at each waiter's `/proc/<tid>/status`.

use crate::base::limits::{CONTROL_FILE_WAITERS_MAX, WATCH_EVERY};
use crate::base::status::Errno;
use crate::base::sync::{Condvar, Mutex, Rank, assert_no_locks};
use crate::base::threads::{self, Thread};
use crate::front::control_dir::device::ControlDevice;
use crate::rdbss::watcher::{Verdict, verdict};
use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

/// Answers one read. Dropped unused it answers EIO.
pub type ReadAnswer = Box<dyn FnOnce(Result<Vec<u8>, Errno>) + Send>;
/// Tells the kernel that these poll handles are worth asking again.
pub type PollWaker = Box<dyn Fn(&[u64]) + Send + Sync>;

/// One open handle of `events`.
pub struct Reader {
    /// May who opened it see paths?
    full: bool,
    place: Mutex<Place>,
}

struct Place {
    cursor: u64,
    /// Fetched and not read yet.
    left: Vec<u8>,
    /// A fetch is under way on some thread.
    fetching: bool,
}

impl Reader {
    /// One that has read nothing; unless `full`, paths are hidden from it.
    #[must_use]
    pub fn new(full: bool) -> Self {
        let place = Place { cursor: 0, left: Vec::new(), fetching: false };
        Self { full, place: Mutex::new(Rank::Leaf, place) }
    }

    /// Fetches if nothing is left. True if something can be read now.
    pub fn fill(&self, device: &dyn ControlDevice) -> bool {
        let cursor = {
            let mut place = self.place.lock();
            if !place.left.is_empty() {
                return true;
            }
            if place.fetching {
                return false;
            }
            place.fetching = true;
            place.cursor
        };
        assert_no_locks("a question to the control device");
        let (fresh, after) = device.events_after(cursor, self.full);
        let mut place = self.place.lock();
        place.fetching = false;
        place.cursor = after;
        place.left = fresh;
        !place.left.is_empty()
    }

    /// Takes up to `size` bytes of what is left: whole lines if one fits.
    fn take(&self, size: usize) -> Vec<u8> {
        let mut place = self.place.lock();
        let within = &place.left[..size.min(place.left.len())];
        let end = match within.iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => newline + 1,
            None => within.len(),
        };
        let rest = place.left.split_off(end);
        mem::replace(&mut place.left, rest)
    }

    /// Reads up to `size` bytes; `None` when there is nothing yet.
    pub fn read(&self, device: &dyn ControlDevice, size: usize) -> Option<Vec<u8>> {
        loop {
            if !self.fill(device) {
                return None;
            }
            let bytes = self.take(size);
            // Another reader of the same handle may have been quicker.
            if !bytes.is_empty() || size == 0 {
                return Some(bytes);
            }
        }
    }
}

/// A read that waits for an event.
struct Waiter {
    reader: Arc<Reader>,
    size: usize,
    /// Thread that reads; 0 if the kernel does not say.
    thread: u32,
    answer: ReadAnswer,
}

#[derive(Default)]
struct Waiting {
    waiters: Vec<Waiter>,
    /// How many wait, also those a round has in its hand.
    total: usize,
    /// Poll handles of the kernel's.
    polls: BTreeSet<u64>,
    /// Something happened since the last round.
    news: bool,
    /// A round is under way.
    busy: bool,
    /// The connection is being given away: nobody is answered.
    frozen: bool,
    stopped: bool,
}

/// Everybody who waits for an event.
pub struct EventDesk {
    device: Arc<dyn ControlDevice>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl EventDesk {
    /// A desk with its thread. `wake_polls` sends the kernel's poll notifications.
    ///
    /// # Errors
    /// The system's, when it has no room for a thread.
    pub fn open(
        device: Arc<dyn ControlDevice>,
        wake_polls: PollWaker,
    ) -> std::io::Result<(Arc<Self>, Thread)> {
        let desk = Arc::new(Self {
            device,
            waiting: Mutex::new(Rank::Leaf, Waiting::default()),
            changed: Condvar::new(),
        });
        let (worker, told) = (desk.clone(), Arc::downgrade(&desk));
        let thread = threads::spawn("fuse-events", move || worker.run(&wake_polls))?;
        desk.device.subscribe(Box::new(move || {
            if let Some(desk) = told.upgrade() {
                desk.tell();
            }
        }));
        Ok((desk, thread))
    }

    /// An event came.
    pub fn tell(&self) {
        self.waiting.lock().news = true;
        self.changed.notify_all();
    }

    /// Lets a read wait. Over the bound, or when nobody will be answered any more, it ends at once.
    pub fn park(&self, reader: Arc<Reader>, size: usize, thread: u32, answer: ReadAnswer) {
        let mut waiting = self.waiting.lock();
        if waiting.stopped || waiting.total >= CONTROL_FILE_WAITERS_MAX {
            drop(waiting);
            return answer(Err(Errno::EAGAIN));
        }
        waiting.total += 1;
        waiting.waiters.push(Waiter { reader, size, thread, answer });
        // An event may have come since the reader looked: look once more.
        waiting.news = true;
        drop(waiting);
        self.changed.notify_all();
    }

    /// A poll found nothing: its handle is told of the next event.
    pub fn register_poll(&self, handle: u64) {
        self.waiting.lock().polls.insert(handle);
    }

    /// Its file was closed.
    pub fn forget_poll(&self, handle: u64) {
        self.waiting.lock().polls.remove(&handle);
    }

    /// Reads that wait.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.waiting.lock().total
    }

    /// Leaves every waiting read unanswered, for the successor on this connection, and answers none
    /// that comes. On return no answer is under way.
    pub fn freeze(&self) {
        let mut waiting = self.waiting.lock();
        waiting.frozen = true;
        while waiting.busy {
            self.changed.wait(&mut waiting);
        }
        let left = mem::take(&mut waiting.waiters);
        waiting.total = 0;
        drop(waiting);
        for waiter in left {
            mem::forget(waiter.answer);
        }
    }

    /// Takes a freeze back.
    pub fn thaw(&self) {
        self.waiting.lock().frozen = false;
        self.changed.notify_all();
    }

    /// Ends the thread; whoever waits is interrupted.
    pub fn stop(&self) {
        self.waiting.lock().stopped = true;
        self.changed.notify_all();
    }

    fn run(&self, wake_polls: &PollWaker) {
        while let Some(round) = self.next_round() {
            if !round.polls.is_empty() {
                wake_polls(&round.polls);
            }
            let asked = round.waiters.len();
            let news = round.news;
            let serve = |waiter| self.serve(waiter, news);
            let still: Vec<Waiter> = round.waiters.into_iter().filter_map(serve).collect();
            let mut waiting = self.waiting.lock();
            waiting.busy = false;
            waiting.total -= asked - still.len();
            waiting.waiters.extend(still);
            drop(waiting);
            self.changed.notify_all();
        }
        let left = mem::take(&mut self.waiting.lock().waiters);
        for waiter in left {
            (waiter.answer)(Err(Errno::EINTR));
        }
    }

    /// Waits for something to do; `None` at the end.
    fn next_round(&self) -> Option<Round> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.stopped {
                return None;
            }
            if waiting.frozen || (waiting.waiters.is_empty() && !waiting.news) {
                self.changed.wait(&mut waiting);
                continue;
            }
            let due = waiting.news || self.changed.wait_for(&mut waiting, WATCH_EVERY);
            if !due || waiting.stopped || waiting.frozen {
                continue;
            }
            waiting.busy = true;
            let news = mem::take(&mut waiting.news);
            let polls = if news { mem::take(&mut waiting.polls) } else { BTreeSet::new() };
            return Some(Round {
                waiters: mem::take(&mut waiting.waiters),
                polls: polls.into_iter().collect(),
                news,
            });
        }
    }

    /// Answers a waiter if there is something, or if its thread is being killed.
    fn serve(&self, waiter: Waiter, news: bool) -> Option<Waiter> {
        let bytes = if news { waiter.reader.read(&*self.device, waiter.size) } else { None };
        if let Some(bytes) = bytes {
            (waiter.answer)(Ok(bytes));
            None
        } else if is_interrupted(waiter.thread) {
            (waiter.answer)(Err(Errno::EINTR));
            None
        } else {
            Some(waiter)
        }
    }
}

struct Round {
    waiters: Vec<Waiter>,
    polls: Vec<u64>,
    news: bool,
}

/// Has this thread a signal to attend to, or is it gone?
fn is_interrupted(thread: u32) -> bool {
    if thread == 0 {
        return false;
    }
    match std::fs::read_to_string(format!("/proc/{thread}/status")) {
        Ok(status) => verdict(&status) != Verdict::Waits,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
pub(in crate::front) mod tests {
    use super::*;
    use crate::base::ids::Caller;
    use crate::front::control_dir::device::ControlReply;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    /// A control device that remembers commands and has the events it is given.
    #[derive(Default)]
    pub struct TestDevice {
        events: Mutex2<Vec<String>>,
        commands: Mutex2<Vec<(Caller, String)>>,
        wake: Mutex2<Option<Arc<dyn Fn() + Send + Sync>>>,
    }

    type Mutex2<T> = std::sync::Mutex<T>;

    impl TestDevice {
        pub fn event(&self, line: &str) {
            self.events.lock().unwrap().push(line.to_owned());
            let wake = self.wake.lock().unwrap().clone();
            if let Some(wake) = wake {
                wake();
            }
        }

        pub fn commands(&self) -> Vec<(Caller, String)> {
            self.commands.lock().unwrap().clone()
        }
    }

    impl ControlDevice for TestDevice {
        fn status_text(&self) -> String {
            "running\n".to_owned()
        }

        fn may_see(&self, caller: Caller) -> bool {
            caller.uid <= 1
        }

        fn may_command(&self, caller: Caller) -> bool {
            caller.uid <= 1 || caller.gid == 50
        }

        fn handles_text(&self, full: bool) -> String {
            if full { "path\n".to_owned() } else { "\n".to_owned() }
        }

        fn events_after(&self, cursor: u64, _full: bool) -> (Vec<u8>, u64) {
            let events = self.events.lock().unwrap();
            let fresh = &events[usize::try_from(cursor).unwrap()..];
            (fresh.concat().into_bytes(), events.len() as u64)
        }

        fn command(&self, caller: Caller, text: &str) -> ControlReply {
            self.commands.lock().unwrap().push((caller, text.to_owned()));
            let (status, ticket) = match text.split_whitespace().next() {
                Some("stop") => (0x103, 7),
                Some("start" | "pause" | "resume" | "query") => (0, 0),
                _ => (0xc000_000d, 0),
            };
            ControlReply { status, ticket, text: format!("{text}: 0x{status:08x}") }
        }

        fn subscribe(&self, wake: Box<dyn Fn() + Send + Sync>) {
            *self.wake.lock().unwrap() = Some(Arc::from(wake));
        }
    }

    const LIMIT: Duration = Duration::from_secs(10);

    fn answer() -> (ReadAnswer, Receiver<Result<Vec<u8>, Errno>>) {
        let (sender, receiver) = channel();
        (Box::new(move |result| drop(sender.send(result))), receiver)
    }

    fn desk() -> (Arc<TestDevice>, Arc<EventDesk>, Thread, Receiver<Vec<u64>>) {
        let device = Arc::new(TestDevice::default());
        let (sender, polls) = channel();
        let wake = Box::new(move |handles: &[u64]| drop(sender.send(handles.to_vec())));
        let (desk, thread) = EventDesk::open(device.clone(), wake).expect("room");
        (device, desk, thread, polls)
    }

    #[test]
    fn lines_come_whole_where_they_fit() {
        let device = TestDevice::default();
        device.event("one\n");
        device.event("three\n");
        let reader = Reader::new(true);
        assert_eq!(reader.read(&device, 6), Some(b"one\n".to_vec()));
        assert_eq!(reader.read(&device, 3), Some(b"thr".to_vec()), "a long line is cut");
        assert_eq!(reader.read(&device, 100), Some(b"ee\n".to_vec()));
        assert_eq!(reader.read(&device, 100), None);
        device.event("four\n");
        assert_eq!(reader.read(&device, 100), Some(b"four\n".to_vec()));
    }

    #[test]
    fn a_waiting_read_gets_the_next_event() {
        let (device, desk, thread, _polls) = desk();
        let (reply, receiver) = answer();
        desk.park(Arc::new(Reader::new(true)), 100, 0, reply);
        assert!(receiver.try_recv().is_err(), "nothing happened yet");
        device.event("now\n");
        assert_eq!(receiver.recv_timeout(LIMIT), Ok(Ok(b"now\n".to_vec())));
        desk.stop();
        thread.join();
    }

    #[test]
    fn a_killed_reader_is_let_go() {
        let (_device, desk, thread, _polls) = desk();
        let (reply, receiver) = answer();
        // No such thread: as if it had been killed.
        desk.park(Arc::new(Reader::new(true)), 100, u32::MAX, reply);
        assert_eq!(receiver.recv_timeout(LIMIT), Ok(Err(Errno::EINTR)));
        desk.stop();
        thread.join();
    }

    #[test]
    fn waiters_are_bounded_and_the_end_interrupts_them() {
        let (_device, desk, thread, _polls) = desk();
        let mut receivers = Vec::new();
        for _ in 0..CONTROL_FILE_WAITERS_MAX {
            let (reply, receiver) = answer();
            desk.park(Arc::new(Reader::new(true)), 1, 0, reply);
            receivers.push(receiver);
        }
        assert_eq!(desk.waiters(), CONTROL_FILE_WAITERS_MAX);
        let (reply, refused) = answer();
        desk.park(Arc::new(Reader::new(true)), 1, 0, reply);
        assert_eq!(refused.recv_timeout(LIMIT), Ok(Err(Errno::EAGAIN)));
        desk.stop();
        thread.join();
        assert!(receivers.iter().all(|one| one.recv() == Ok(Err(Errno::EINTR))));
    }

    #[test]
    fn a_poll_is_told_once() {
        let (device, desk, thread, polls) = desk();
        desk.register_poll(5);
        desk.register_poll(5);
        device.event("a\n");
        assert_eq!(polls.recv_timeout(LIMIT), Ok(vec![5]));
        device.event("b\n");
        desk.stop();
        thread.join();
        assert!(polls.try_recv().is_err(), "it asks again if it wants more");
    }

    #[test]
    fn a_frozen_desk_leaves_its_waiters_to_the_successor() {
        let (device, desk, thread, _polls) = desk();
        let (reply, receiver) = answer();
        desk.park(Arc::new(Reader::new(true)), 100, 0, reply);
        desk.freeze();
        device.event("late\n");
        assert_eq!(desk.waiters(), 0);
        desk.thaw();
        desk.stop();
        thread.join();
        // The answer was forgotten, not dropped: the channel is neither answered nor closed.
        assert_eq!(receiver.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty));
    }
}
