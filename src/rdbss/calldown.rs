//! The one way down: every call into a mini-redirector is made here, with nothing of ours locked
//! and with panics caught (stop.md S6, invariant 3).

use crate::base::status::Status;
use crate::base::sync::assert_no_locks;
use crate::mrx::upcall::RequestContext;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Panics caught in callouts since the program began.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Makes a calldown. A context cancelled already ends without the call (stop.md §5); a panic
/// becomes STATUS_UNSUCCESSFUL and is counted.
///
/// # Errors
/// The callout's own, `Cancelled`, or `Unsuccessful`.
pub fn call<T>(
    context: &dyn RequestContext,
    callout: &str,
    body: impl FnOnce() -> Result<T, Status>,
) -> Result<T, Status> {
    if context.is_cancelled() {
        return Err(Status::Cancelled);
    }
    call_always(callout, body)
}

/// The same for calls that must be made whatever became of the request: cleanup and close. Also put
/// around a whole request: the end of a mini-redirector's own value may panic wherever we drop it.
///
/// # Errors
/// The callout's own, or `Unsuccessful`.
pub fn call_always<T>(
    callout: &str,
    body: impl FnOnce() -> Result<T, Status>,
) -> Result<T, Status> {
    assert_no_locks(callout);
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(_) => {
            PANICS.fetch_add(1, Ordering::Relaxed);
            log::error!("a panic in {callout}");
            Err(Status::Unsuccessful)
        }
    }
}

/// For callouts made from `Drop`, where nothing can be answered and a panic would abort.
pub fn guard_drop(callout: &str, body: impl FnOnce()) {
    let _ = call_always(callout, || {
        body();
        Ok(())
    });
}
