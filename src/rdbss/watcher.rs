//! The watcher: looks at requests that take long.
//!
//! fuser answers INTERRUPT with ENOSYS, after which the kernel never sends another and a caller
//! whose request was read waits in D state, deaf even to SIGKILL (fuse.md 1.7). So the watcher
//! reads `/proc/<tid>/status` of the callers of slow requests. It also keeps the requests'
//! deadlines, has stuck workers replaced, and announces refusals, coalesced.
//!
//! What a pending signal does to a request (decision 7):
//!
//! | signal | a request that only asks | one that changes something |
//! | --- | --- | --- |
//! | it kills the caller | EINTR at once | EINTR at once |
//! | handled: HUP, INT, QUIT, TERM | EINTR at once | cancelled; EINTR at the next look |
//! | handled: another one | EINTR at once | cancelled if it can be; else it is waited for |

use crate::base::limits::{WATCH_AFTER, WATCH_EVERY};
use crate::base::status::Status;
use crate::base::stop::Notice;
use crate::base::sync::{Mutex, Rank};
use crate::mrx::upcall::RequestContext;
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::kind::OperationKind;
use crate::rdbss::statistics::RefusedRequests;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::sync::Arc;

/// What a caller's pending signals mean for its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: go on.
    Waits,
    /// A signal it handles is pending. `to_end`: one by which people ask a program to end.
    Signalled {
        /// HUP, INT, QUIT or TERM.
        to_end: bool,
    },
    /// It is being killed, or gone: let it go now.
    Killed,
}

const SIGKILL_BIT: u64 = 1 << 8;
/// SIGHUP, SIGINT, SIGQUIT, SIGTERM.
const TO_END_BITS: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 14;

/// Judges the text of `/proc/<tid>/status`. A fatal signal of any kind is delivered to every thread
/// of the group as SIGKILL, so that one bit is the whole test for dying.
#[must_use]
pub fn verdict(status: &str) -> Verdict {
    let mask = |field: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0)
    };
    let pending = mask("SigPnd") | mask("ShdPnd");
    if pending & SIGKILL_BIT != 0 {
        return Verdict::Killed;
    }
    let handled = pending & mask("SigCgt") & !mask("SigBlk");
    match handled {
        0 => Verdict::Waits,
        _ => Verdict::Signalled { to_end: handled & TO_END_BITS != 0 },
    }
}

/// Looks at the thread that asked.
fn look_at(tid: Pid) -> Verdict {
    let status = std::fs::read_to_string(format!("/proc/{}/status", tid.as_raw_nonzero()));
    judge(status, || test_kill_process(tid) != Err(Errno::SRCH))
}

/// Judges what `/proc` said. That it shows no such thread does not mean that there is none: with
/// `hidepid=2`, or mounted in another pid namespace, it hides those of others; `kill(2)` knows.
fn judge(status: std::io::Result<String>, exists: impl FnOnce() -> bool) -> Verdict {
    match status {
        Ok(status) => verdict(&status),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !exists() => Verdict::Killed,
        Err(_) => Verdict::Waits,
    }
}

/// Of the refusals, those that were announced; the watcher's.
#[derive(Debug)]
pub struct AnnouncedRefusals(Mutex<[u64; OperationKind::COUNT]>);

impl Default for AnnouncedRefusals {
    fn default() -> Self {
        Self(Mutex::new(Rank::Leaf, [0; OperationKind::COUNT]))
    }
}

impl AnnouncedRefusals {
    /// What is to be announced: how many of each operation since this was asked last.
    fn take(&self, refusals: &RefusedRequests) -> Vec<(OperationKind, u64)> {
        let mut announced = self.0.lock();
        let fresh = |kind: &OperationKind| {
            let now = refusals.of(*kind);
            (*kind, now - std::mem::replace(&mut announced[*kind as usize], now))
        };
        OperationKind::ALL.iter().map(fresh).filter(|(_, requests)| *requests > 0).collect()
    }
}

impl Device {
    /// The watcher thread's body.
    pub(in crate::rdbss) fn run_watcher(self: &Arc<Self>) {
        while !self.control.wait_closed(WATCH_EVERY) {
            self.watch_once();
        }
        self.announce_refusals();
    }

    /// One look round.
    pub(in crate::rdbss) fn watch_once(&self) {
        self.announce_refusals();
        self.tend_delayed_closes();
        let view = self.gate.view();
        if view.normals == 0 && view.closes == 0 && self.handles.is_empty() {
            return;
        }
        let now = self.clock.now();
        let fsp = self.fsp.lock().clone();
        fsp.tend();
        let mut to_cancel = self.requests.snapshot();
        to_cancel.retain(|context| {
            let slow = now.since(context.arrived()) >= WATCH_AFTER;
            slow && !context.is_answered() && self.watch_request(context)
        });
        // All of them at once, and after everybody was answered: a routine that does not return
        // keeps nobody else waiting.
        self.cancel_requests(to_cancel);
    }

    /// Lets its caller go if he is to be. True if the request is to be cancelled.
    fn watch_request(&self, context: &Arc<Context>) -> bool {
        if context.deadline().is_some_and(|deadline| self.clock.now() >= deadline) {
            log::warn!(
                "{} of {:?} had no answer by its deadline",
                context.operation(),
                context.subject()
            );
            // Answered first: a cancel routine that ends it at once would make it an EINTR.
            return self.let_go(context, Status::IoTimeout);
        }
        let caller = Pid::from_raw(context.caller().pid.cast_signed());
        match caller.map_or(Verdict::Waits, look_at) {
            Verdict::Waits => false,
            Verdict::Killed => self.let_go(context, Status::Cancelled),
            Verdict::Signalled { .. } if !context.changes() => {
                self.let_go(context, Status::Cancelled)
            }
            // Given the time until the next look to say itself whether it was done.
            Verdict::Signalled { to_end: true } if context.is_cancelled() => {
                self.let_go(context, Status::Cancelled)
            }
            Verdict::Signalled { .. } => context.can_cancel(),
        }
    }

    /// Nobody waits for it any more, or not any longer: it is answered now. It stays counted until
    /// its callout returns. True: it is to be told to end.
    fn let_go(&self, context: &Context, status: Status) -> bool {
        // Whoever was faster has answered it: an error has nothing to undo.
        let _ = context.answer(Err(status));
        true
    }

    fn announce_refusals(&self) {
        for (kind, requests) in self.announced.take(&self.refusals) {
            self.announce(Notice::Refused { operation: kind.word().to_owned(), requests });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: u64, shared: u64, blocked: u64, caught: u64) -> String {
        format!(
            "Name:\tcat\nSigQ:\t0/1\nSigPnd:\t{pending:016x}\nShdPnd:\t{shared:016x}\n\
             SigBlk:\t{blocked:016x}\nSigIgn:\t0\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn a_dying_caller_is_recognised() {
        assert_eq!(verdict(&status(0x100, 0, 0, 0)), Verdict::Killed);
        assert_eq!(verdict(&status(0, 0x100, 0, 0)), Verdict::Killed);
    }

    /// A caller that `/proc` hides (`hidepid=2`) is not taken for dead.
    #[test]
    fn only_a_caller_that_is_gone_is_let_go() {
        let hidden = || Err(std::io::ErrorKind::NotFound.into());
        assert_eq!(judge(hidden(), || true), Verdict::Waits);
        assert_eq!(judge(hidden(), || false), Verdict::Killed);
        let forbidden = Err(std::io::ErrorKind::PermissionDenied.into());
        assert_eq!(judge(forbidden, || false), Verdict::Waits);
        assert_eq!(look_at(rustix::process::getpid()), Verdict::Waits);
    }

    #[test]
    fn a_handled_signal_counts_unless_blocked() {
        let usr1 = 1 << 9;
        assert_eq!(verdict(&status(usr1, 0, 0, usr1)), Verdict::Signalled { to_end: false });
        for number in [1, 2, 3, 15] {
            let bit = 1 << (number - 1);
            let expected = Verdict::Signalled { to_end: true };
            assert_eq!(verdict(&status(0, bit, 0, bit)), expected, "signal {number}");
        }
        assert_eq!(verdict(&status(usr1, 0, usr1, usr1)), Verdict::Waits);
        assert_eq!(verdict(&status(usr1, 0, 0, 0)), Verdict::Waits);
        assert_eq!(verdict(&status(0, 0, 0, usr1)), Verdict::Waits);
        assert_eq!(verdict("nonsense"), Verdict::Waits);
    }
}
