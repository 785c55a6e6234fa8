//! What a lock, an atomic and a thread are made of: the machine's own, or a model checker's.
//!
//! `--cfg loom` and `--cfg shuttle` put a checker behind the same names, so that the files that
//! are checked are the files that run (docs/TESTING.md, "Model checking"). The only file that
//! names parking_lot, loom or shuttle.

#[cfg(not(any(loom, shuttle)))]
mod chosen {
    pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub use std::sync::atomic;
    pub use std::thread::{Builder, JoinHandle, ThreadId, current};
    pub use std::thread_local;

    /// A wait whose end need not notify.
    pub fn look_again<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        limit: std::time::Duration,
    ) {
        condvar.wait_for(guard, limit);
    }
}

#[cfg(any(loom, shuttle))]
#[path = "checkers.rs"]
mod chosen;

pub use chosen::*;
