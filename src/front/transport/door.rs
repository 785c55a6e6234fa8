//! The door of a connection: counts requests inside, and can be closed so that the loop may be
//! taken away between two requests.
//!
//! While it is closed a request is left unanswered on purpose: the kernel keeps it, and sends it
//! again to whoever serves the connection next (FUSE_NOTIFY_RESEND).

use crate::base::clock::Clock;
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads;
use crate::front::transport::abi::error_reply;
use crate::front::transport::linger::Linger;
use crate::front::transport::readers::Readers;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

thread_local! {
    /// What this worker has learned.
    static LINGER: Cell<Linger> = const { Cell::new(Linger::NEW) };
}

/// The door.
pub struct Door {
    device: OwnedFd,
    /// Threads of ours whose statfs only wakes a worker.
    wakers: Mutex<Vec<u32>>,
    closed: AtomicBool,
    inside: AtomicUsize,
    gate: Mutex<()>,
    empty: Condvar,
    /// A reader may look for the next request while the one that asks runs on another processor.
    lingers: bool,
    /// Which workers wait for requests.
    pub readers: Arc<Readers>,
}

/// A request that came in; it leaves when this is dropped.
#[must_use]
pub struct Inside {
    door: Arc<Door>,
}

impl Door {
    /// An open door with nobody inside, to the connection of this descriptor.
    #[must_use]
    pub fn new(device: OwnedFd) -> Arc<Self> {
        Arc::new(Self {
            device,
            wakers: Mutex::new(Rank::Leaf, Vec::new()),
            closed: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            gate: Mutex::new(Rank::Leaf, ()),
            empty: Condvar::new(),
            lingers: threads::processors() > 1,
            readers: Arc::new(Readers::default()),
        })
    }

    /// Lets a request in; `None` when the door is closed: the request must then be left unanswered.
    pub fn enter(self: &Arc<Self>) -> Option<Inside> {
        // Counted first, asked second, both in the one total order: either we see the door closed,
        // or the closer sees us inside.
        self.inside.fetch_add(1, Ordering::SeqCst);
        let inside = Inside { door: self.clone() };
        (!self.is_closed()).then_some(inside)
    }

    /// The calling worker has served its request, and comes back when it is to read the next one.
    pub fn served(&self) {
        let is_more = || {
            let mut polled = [PollFd::new(&self.device, PollFlags::IN)];
            // An error is for the read to tell.
            poll(&mut polled, Some(&AT_ONCE)) != Ok(0)
        };
        self.readers.served(is_more);
        if self.lingers && self.readers.is_alone() {
            LINGER.set(LINGER.get().look(is_more));
        }
    }

    /// Is it closed?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Requests inside.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    /// Closes it. Those inside stay until they are done.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// The calling thread is about to wake a worker with a statfs. Its number.
    pub fn add_waker(&self) -> u32 {
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        self.wakers.lock().push(thread);
        thread
    }

    /// Does this waker still wait for its answer?
    #[must_use]
    pub fn is_waker(&self, thread: u32) -> bool {
        self.wakers.lock().contains(&thread)
    }

    /// A statfs came while the door was closed. If it is a waker's it is answered, past fuser,
    /// whose descriptor leads nowhere by now: nobody need wait for the successor. True if it was.
    pub fn dismiss_waker(&self, thread: u32, unique: u64) -> bool {
        let mut wakers = self.wakers.lock();
        let Some(at) = wakers.iter().position(|&waker| waker == thread) else { return false };
        wakers.swap_remove(at);
        drop(wakers);
        let interrupted = rustix::io::Errno::INTR.raw_os_error();
        rustix::io::write(&self.device, &error_reply(unique, interrupted)).is_ok()
    }

    /// Opens it again.
    pub fn open(&self) {
        self.wakers.lock().clear();
        self.closed.store(false, Ordering::SeqCst);
    }

    /// Waits until nobody is inside; false when `limit` passed first.
    #[must_use]
    pub fn wait_empty(&self, clock: &dyn Clock, limit: Duration) -> bool {
        let end = clock.now().after(limit);
        let mut guard = self.gate.lock();
        while self.inside() > 0 {
            let left = end.since(clock.now());
            if left.is_zero() {
                return false;
            }
            self.empty.wait_for(&mut guard, left);
        }
        true
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let last = self.door.inside.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.door.is_closed() {
            // Through the lock: the waiter is either before its test or asleep, never between.
            drop(self.door.gate.lock());
            self.door.empty.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;

    #[test]
    fn a_closed_door_lets_nobody_in_and_waits_for_those_inside() {
        let clock = SystemClock::new();
        let nowhere = std::fs::File::open("/dev/null").expect("there is one");
        let door = Door::new(nowhere.into());
        let inside = door.enter().expect("open");
        door.close();
        assert!(door.enter().is_none());
        assert_eq!(door.inside(), 1, "the refused one is not counted");
        assert!(!door.wait_empty(&clock, Duration::ZERO));
        let leaver = threads::spawn("t-leaver", move || drop(inside)).expect("room");
        assert!(door.wait_empty(&clock, Duration::from_secs(10)));
        leaver.join();
        door.open();
        assert!(door.enter().is_some());
    }
}
