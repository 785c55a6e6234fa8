//! What is true after each case, and the cases run beside one another.

use crate::common::{LIMIT, wait_until};
use crate::scene::Scene;
use minirdr::base::clock::{Clock, Moment, SystemClock};
use minirdr::base::ids::TicketNumber;
use minirdr::base::status::{Errno, Status};
use minirdr::base::stop::{CallResult, OnDeadline, Report, State, StopOptions};
use minirdr::base::threads;
use minirdr::rdbss::ticket::TicketState;
use minirdr::redirectors::faulty::Fault;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

/// S-55: a stop that does not stay has ended so long after its deadline, whatever its server does.
pub const GRACE: Duration = Duration::from_secs(6);
/// The deadline in these cases.
pub const DEADLINE: Duration = Duration::from_millis(100);
/// A delay that the deadline comes before.
pub const DELAY: Duration = Duration::from_millis(300);
/// Cases at once: they wait more than they work.
const AT_ONCE: usize = 24;

/// What goes wrong.
pub const FAULTS: [Fault; 5] = [
    Fault::Delay(DELAY),
    Fault::Error(Status::Posix(Errno::EIO)),
    Fault::Hang,
    Fault::HangUncancellable,
    Fault::Panic,
];

/// What happens at the deadline.
pub const OUTCOMES: [OnDeadline; 4] =
    [OnDeadline::Resume, OnDeadline::Stay, OnDeadline::Cancel, OnDeadline::Abort];

/// The options of a stop with that outcome.
pub fn by_deadline(on_deadline: OnDeadline) -> StopOptions {
    let deadline_s = Some(DEADLINE.as_secs_f64());
    StopOptions { deadline_s, on_deadline, ..StopOptions::default() }
}

/// Waits for a ticket, which has its result in time.
#[track_caller]
pub fn in_time(scene: &Scene, ticket: TicketNumber, limit: Duration) -> Report {
    let clock = SystemClock::new();
    loop {
        match scene.host.device.wait_ticket(ticket, Duration::from_millis(50)) {
            TicketState::Ended(report) => return *report,
            TicketState::Open => {}
            TicketState::Unknown => panic!("ticket {ticket} is unknown"),
        }
        let waited = clock.now().since(Moment(0));
        let status = scene.host.device.status();
        assert!(waited < limit, "ticket {ticket} has no result after {waited:?}: {status:?}");
    }
}

/// It is healed, can be started again, and works.
#[track_caller]
pub fn works_again(scene: &Scene) {
    scene.heal();
    let device = &scene.host.device;
    wait_until("every request has ended", || device.requests().is_empty());
    // A pause may have been the last thing that was asked for.
    assert!(device.resume().is_ok());
    let started = scene.host.start();
    let is_started = matches!(started.result, CallResult::Success | CallResult::AlreadyStarted);
    assert!(is_started, "it starts again: {started:?}");
    assert_eq!(device.state(), State::Started);
    assert!(scene.host.lookup(&scene.host.root(), "file").is_ok(), "and works");
}

/// Everything is closed and every count is back.
#[track_caller]
pub fn nothing_is_left(scene: &Scene) {
    let device = &scene.host.device;
    let mut open = Vec::new();
    device.visit_handles(|handle| {
        open.push(handle.handle);
        true
    });
    for handle in open {
        scene.host.release(handle).expect("a healthy server closes");
    }
    // What was lost is told once, whatever stop it was in.
    let _ = device.take_losses();
    // A request leaves a moment after its answer.
    // So does a commit that a stop gave up on.
    wait_until("every request has ended", || {
        let status = device.status();
        device.requests().is_empty() && status.requests_in_flight == 0 && status.unsent_bytes == 0
    });
    let status = device.status();
    let counts = (status.open_handles, status.survivors, status.requests_in_flight);
    assert_eq!(counts, (0, 0, 0), "{status:?}");
    assert_eq!((status.unsent_bytes, status.unanswered_total), (0, 0), "{status:?}");
    let last = scene.host.stop();
    assert_eq!(last.result, CallResult::Success, "{last:?}");
}

/// One set of cases at a time: they count the threads of this process.
static ALONE: Mutex<()> = Mutex::new(());

/// Panics that `faulty` makes on purpose are no news.
fn hide_what_is_planned() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let planned = panic.payload_as_str().is_some_and(|words| words.ends_with("as planned"));
            if !planned {
                usual(panic);
            }
        }));
    });
}

/// Runs every case, several at once. Names each one that fails. No thread is left over.
pub fn each<T: Debug + Sync>(cases: &[T], run: impl Fn(&T) + Sync) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    hide_what_is_planned();
    let before = threads::live();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(case))) {
                        let words = panic.downcast_ref::<String>().cloned();
                        let why = words.unwrap_or_else(|| "a panic".to_owned());
                        failed.lock().expect("not poisoned").push(format!("{case:?}: {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("not poisoned");
    let count = (failed.len(), cases.len());
    assert!(failed.is_empty(), "{} of {} failed:\n{}", count.0, count.1, failed.join("\n"));
    assert!(!cases.is_empty(), "nothing ran");
    wait_until("every thread has ended", || threads::live() == before);
    assert!(LIMIT > GRACE);
}
