//! A report with a result and nothing else in it.

use minirdr::base::ids::{Caller, Generation};
use minirdr::base::stop::{CallKind, CallResult, Report};

pub fn report(result: CallResult) -> Report {
    Report {
        ticket: None,
        kind: CallKind::Stop,
        result,
        error: None,
        generation: Generation(1),
        asked_by: Caller::default(),
        reason: None,
        ended_unix_s: 0.0,
        drained: 0,
        cancelled: 0,
        abandoned: 0,
        refused: 0,
        survivors: Vec::new(),
        survivors_total: 0,
        flushed_bytes: 0,
        losses: Vec::new(),
        unmounted: false,
        steps: Vec::new(),
    }
}
