//! Named threads that are joined: the only file that spawns one.
//!
//! A [`Thread`] joins when dropped, so none outlives its owner by accident. The one exception is
//! [`Thread::abandon`], for a thread stuck in a callout that never returns (stop.md S6); it is
//! counted, and [`live`] shows the truth to tests and to `minirdr status`.

use crate::base::sync::primitives::{Builder, JoinHandle, ThreadId, current};
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static ABANDONED: AtomicUsize = AtomicUsize::new(0);

/// Threads spawned here and still running.
#[must_use]
pub fn live() -> usize {
    LIVE.load(Ordering::SeqCst)
}

/// Threads given up on since the program began.
#[must_use]
pub fn abandoned() -> usize {
    ABANDONED.load(Ordering::SeqCst)
}

/// Processors this process may run on; 1 where the system does not say.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// A number of this thread, to choose one of several shards by: threads take turns, so that few
/// share one. The threads of a model checker have one number.
#[must_use]
pub fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// Counts a thread out even when it unwinds.
struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A running thread that somebody owns.
#[derive(Debug)]
#[must_use = "dropping a Thread waits for it"]
pub struct Thread {
    handle: Option<JoinHandle<()>>,
}

/// Starts a thread. `name` is cut to 15 bytes by the kernel; keep it short.
///
/// # Errors
/// The system's, when it has no room for another thread.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    LIVE.fetch_add(1, Ordering::SeqCst);
    let spawned = Builder::new().name(name.to_owned()).spawn(move || {
        let _leaving = Leaving;
        body();
    });
    match spawned {
        Ok(handle) => Ok(Thread { handle: Some(handle) }),
        Err(error) => {
            LIVE.fetch_sub(1, Ordering::SeqCst);
            Err(error)
        }
    }
}

impl Thread {
    /// Its identity, to recognise it from inside.
    #[must_use]
    pub fn id(&self) -> Option<ThreadId> {
        self.handle.as_ref().map(|handle| handle.thread().id())
    }

    /// Is it the thread that asks?
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.id() == Some(current().id())
    }

    /// Has it ended?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for it. A panic inside is logged and is no error of the caller's.
    pub fn join(mut self) {
        self.join_now();
    }

    /// Gives up on a thread stuck in foreign code. It ends when that code returns, if ever.
    pub fn abandon(mut self) {
        ABANDONED.fetch_add(1, Ordering::SeqCst);
        drop(self.handle.take());
    }

    fn join_now(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        if handle.thread().id() == current().id() {
            // Joining oneself never returns: the last owner was dropped on the thread it owned.
            return;
        }
        let name = handle.thread().name().unwrap_or("?").to_owned();
        if handle.join().is_err() {
            log::error!("thread {name} panicked");
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.join_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_dropped_thread_has_been_joined() {
        let (sender, receiver) = mpsc::channel();
        let thread =
            spawn("t-join", move || sender.send(()).expect("receiver lives")).expect("room");
        drop(thread);
        assert!(receiver.try_recv().is_ok(), "the body ran before drop returned");
    }
}
