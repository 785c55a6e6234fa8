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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stop::StepTime;
    use crate::cli::judge::tests::{report, with_survivors};

    /// S-114, S-115: the exit codes of a stop, and what became of the provider.
    #[test]
    fn a_change_ends_as_the_stop_it_is() {
        let ended = |report: &Report| {
            let verdict = provider_ended("net provider docs", "provider remove", report);
            (verdict.exit.0, verdict.lines[0].clone(), verdict.list_holders)
        };
        let line = |what: &str| format!("net provider docs: {what}");
        let success = report(CallResult::Success);
        assert_eq!(ended(&success), (0, line("removed, nothing unsent"), false));
        let open = with_survivors(CallResult::HasOpenHandles, 2, 0);
        let open =
            Report { steps: vec![StepTime { step: "drain".to_owned(), seconds: 0.1 }], ..open };
        assert_eq!(ended(&open), (10, line("removed, 2 handles still open, nothing unsent"), true));
        let busy = Report { steps: Vec::new(), ..open.clone() };
        assert_eq!(ended(&busy), (10, line("not removed: 2 handles open"), true));
        let back = report(CallResult::RolledBack);
        assert_eq!(ended(&back), (12, line("deadline passed: not removed, running"), true));
        let stopped = report(CallResult::AlreadyStopped);
        assert_eq!(ended(&stopped), (0, line("removed; it was stopped"), false));
        assert_eq!(ended(&report(CallResult::Lost)).0, 13);
        let failed = Report { error: Some("why".to_owned()), ..report(CallResult::Failed) };
        assert_eq!(ended(&failed), (1, line("not removed: why"), false));
    }

    /// S-113: an addition that failed says why, whatever its start came to.
    #[test]
    fn an_addition_is_there_or_not() {
        for result in CallResult::ALL {
            let kind = CallKind::Start;
            let report = Report { kind, error: Some("why".to_owned()), ..report(result) };
            let verdict = provider_ended("net provider docs", "provider add", &report);
            let added = matches!(result, CallResult::Success | CallResult::AlreadyStarted);
            let (code, line) = if added { (0, "added") } else { (1, "not added: why") };
            let said = (verdict.exit.0, verdict.lines[0].clone());
            assert_eq!(said, (code, format!("net provider docs: {line}")));
        }
    }
}
