//! A model checker's primitives with parking_lot's faces: no poisoning, and a condition variable
//! that takes its guard by reference.
//!
//! A checker has no time. A wait with a limit never runs out, so that a wake-up which is lost shows
//! as a deadlock and is not healed by the limit; a limit of zero runs out at once. What is a look
//! now and again by design says so: [`look_again`].

#[cfg(loom)]
use loom::{sync, thread};
#[cfg(shuttle)]
use shuttle::{sync, thread};

#[cfg(loom)]
pub use loom::thread_local;
#[cfg(shuttle)]
pub use shuttle::thread_local;
pub use sync::atomic;
pub use thread::{ThreadId, current};

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

pub struct Mutex<T: ?Sized>(sync::Mutex<T>);

pub struct MutexGuard<'a, T: ?Sized> {
    of: &'a Mutex<T>,
    /// None only while it waits.
    held: Option<sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    fn take(&self) -> sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { of: self, held: Some(self.take()) }
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = match self.0.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { of: self, held: Some(held) })
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.held.as_ref().expect("a guard that waits is borrowed by the wait")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("a guard that waits is borrowed by the wait")
    }
}

pub struct RwLock<T: ?Sized>(sync::RwLock<T>);
pub use sync::{RwLockReadGuard, RwLockWriteGuard};

impl<T> RwLock<T> {
    pub fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }
}

impl<T: ?Sized> RwLock<T> {
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

#[derive(Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    pub fn new() -> Self {
        Self(sync::Condvar::new())
    }

    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect("a guard waits for one thing at a time");
        guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) -> WaitTimeoutResult {
        if limit.is_zero() {
            return WaitTimeoutResult(true);
        }
        self.wait(guard);
        WaitTimeoutResult(false)
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Lets the others go on, then looks again.
pub fn look_again<T>(_: &Condvar, guard: &mut MutexGuard<'_, T>, _: Duration) {
    drop(guard.held.take());
    thread::yield_now();
    guard.held = Some(guard.of.take());
}

/// Neither checker's handle says whether its thread has ended.
#[derive(Debug)]
pub struct JoinHandle<T> {
    inner: thread::JoinHandle<T>,
    finished: Arc<atomic::AtomicBool>,
}

impl<T> JoinHandle<T> {
    pub fn thread(&self) -> &thread::Thread {
        self.inner.thread()
    }

    pub fn is_finished(&self) -> bool {
        self.finished.load(atomic::Ordering::Acquire)
    }

    pub fn join(self) -> std::thread::Result<T> {
        self.inner.join()
    }
}

pub struct Builder(thread::Builder);

impl Builder {
    pub fn new() -> Self {
        Self(thread::Builder::new())
    }

    pub fn name(self, name: String) -> Self {
        Self(self.0.name(name))
    }

    pub fn spawn<T: Send + 'static>(
        self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let finished = Arc::new(atomic::AtomicBool::new(false));
        let ended = Ended(finished.clone());
        let inner = self.0.spawn(move || {
            let _ended = ended;
            body()
        })?;
        Ok(JoinHandle { inner, finished })
    }
}

/// Says that a thread has ended, also when it unwinds.
struct Ended(Arc<atomic::AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, atomic::Ordering::Release);
    }
}
