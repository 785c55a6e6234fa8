//! Calls to the outside: none with a lock held, and none that come back and wait for themselves.

use crate::base::sync::assert_no_locks;
use crate::mup::refused::Refused;
use inside::INSIDE;
use std::cell::Cell;

#[allow(clippy::missing_const_for_thread_local, reason = "loom's macro takes no const block")]
mod inside {
    use std::cell::Cell;

    crate::base::sync::thread_local! {
        /// Is this thread inside a callback of a router?
        pub(super) static INSIDE: Cell<bool> = Cell::new(false);
    }
}

/// Makes a callback; the thread is inside it meanwhile, also while it unwinds.
pub(in crate::mup) fn call<T>(what: &str, callback: impl FnOnce() -> T) -> T {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.with(|inside| inside.set(self.0));
        }
    }
    assert_no_locks(what);
    let _leave = Leave(INSIDE.with(|inside| inside.replace(true)));
    callback()
}

/// A call that may wait for a callback must not come from inside one.
///
/// # Errors
/// 1003 inside a callback.
pub(in crate::mup) fn refuse_inside() -> Result<(), Refused> {
    if INSIDE.with(Cell::get) { Err(Refused::InsideCallback) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_thread_is_inside_as_long_as_the_callback_runs() {
        assert_eq!(refuse_inside(), Ok(()));
        call("a test", || {
            call("a callback in a callback", || ());
            assert_eq!(refuse_inside(), Err(Refused::InsideCallback));
        });
        assert_eq!(refuse_inside(), Ok(()));
        let caught = catch_unwind(AssertUnwindSafe(|| call("a test", || panic!("as a test"))));
        assert!(caught.is_err());
        assert_eq!(refuse_inside(), Ok(()));
    }
}
