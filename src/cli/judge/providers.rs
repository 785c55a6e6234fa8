//! What a change of providers came to: exit codes and lines as a stop's, and what became of it.

use super::{Verdict, achieved, error, handles, not_saved, result_word};
use crate::base::ids::TicketNumber;
use crate::base::stop::{CallKind, CallResult, Report};
use crate::cli::exit::Exit;
use crate::cli::unsent;

/// A change was taken and runs; nobody waits for it here.
#[must_use]
pub fn provider_pending(label: &str, verb: &str, ticket: TicketNumber) -> Verdict {
    let deed = verb.rsplit(' ').next().unwrap_or(verb);
    let line = format!("{label}: {deed} accepted, pending (ticket {ticket})");
    Verdict::new(Exit::DONE, "pending", line)
}

/// A change ended with this report: of an add that of the start, else that of the stop.
#[must_use]
pub fn provider_ended(label: &str, verb: &str, report: &Report) -> Verdict {
    let done = match verb {
        "provider add" => "added",
        "provider remove" => "removed",
        _ => "replaced",
    };
    let result = result_word(report.result);
    let verdict = |exit, what: String| Verdict::new(exit, result, format!("{label}: {what}"));
    let not_done = || verdict(Exit::FAILED, format!("not {done}: {}", error(report)));
    if report.kind == CallKind::Start {
        return match report.result {
            CallResult::Success | CallResult::AlreadyStarted => {
                verdict(Exit::DONE, done.to_owned())
            }
            CallResult::AlreadyStopped
            | CallResult::HasOpenHandles
            | CallResult::RolledBack
            | CallResult::Lost
            | CallResult::Failed => not_done(),
        };
    }
    let mut verdict = match report.result {
        // What goes wrong in a mini-redirector's own stop must not be taken for a clean end.
        CallResult::Success | CallResult::HasOpenHandles if report.redirector_failed() => {
            verdict(Exit::FAILED, format!("{done}; failed: {}", error(report)))
        }
        CallResult::Success => verdict(Exit::DONE, format!("{done}{}", achieved(report))),
        CallResult::AlreadyStopped => verdict(Exit::DONE, format!("{done}; it was stopped")),
        CallResult::HasOpenHandles if !was_stopped(report) => {
            let busy = match report.survivors_total {
                0 => "a file is being opened".to_owned(),
                _ => format!("{} open", handles(report)),
            };
            Verdict { result: "busy", ..verdict(Exit::BUSY, format!("not {done}: {busy}")) }
                .listing()
        }
        CallResult::HasOpenHandles => {
            let open = handles(report);
            let what = format!("{done}, {open} still open{}", achieved(report));
            verdict(Exit::BUSY, what).listing()
        }
        CallResult::RolledBack => {
            let what = format!("deadline passed: not {done}, running");
            verdict(Exit::ROLLED_BACK, what).listing()
        }
        CallResult::Lost => {
            let mut lost = verdict(Exit::LOST, format!("{done}; NOT saved: {}", not_saved(report)));
            lost.lines.extend(unsent::loss_lines(&report.losses));
            lost.list_holders = report.survivors_total > 0;
            lost
        }
        CallResult::AlreadyStarted => {
            verdict(Exit::FAILED, format!("not {done}: it was started again before it stopped"))
        }
        CallResult::Failed => not_done(),
    };
    if verdict.exit != Exit::FAILED && was_stopped(report) && report.error.is_some() {
        verdict.lines.push(format!("  {}", error(report)));
    }
    verdict
}

/// A report of a stop that was made has its steps; one that was refused has none.
fn was_stopped(report: &Report) -> bool {
    !report.steps.is_empty()
}
