//! What an answer of the daemon means: the lines people read and the exit code scripts read; pure.
//!
//! Every rule of cli.md's exit code table is decided here, those of `provider` in `providers`, and
//! nowhere else.

mod providers;

pub use providers::{provider_ended, provider_pending};

use crate::base::ids::{Caller, TicketNumber};
use crate::base::stop::{CallResult, Report, State, StepTime};
use crate::base::units::{age, count, elapsed, size};
use crate::cli::commands::rpc;
use crate::cli::exit::Exit;
use crate::cli::table::printable;
use crate::cli::unsent;
use crate::cli::view::time_text;
use crate::mgmt::proto::{CheckReply, MountStatus, RunningCall};
use std::time::Duration;

/// What a command says at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The exit code.
    pub exit: Exit,
    /// The word of `--json`'s `result`.
    pub result: &'static str,
    /// The summary line, then details.
    pub lines: Vec<String>,
    /// Should the holders be listed below?
    pub list_holders: bool,
}

impl Verdict {
    fn new(exit: Exit, result: &'static str, line: String) -> Self {
        Self { exit, result, lines: vec![line], list_holders: false }
    }

    fn listing(self) -> Self {
        Self { list_holders: true, ..self }
    }
}

/// The word of `--json` for a result; the protocol's own.
const fn result_word(result: CallResult) -> &'static str {
    match result {
        CallResult::Success => "success",
        CallResult::HasOpenHandles => "has_open_handles",
        CallResult::AlreadyStopped => "already_stopped",
        CallResult::AlreadyStarted => "already_started",
        CallResult::RolledBack => "rolled_back",
        CallResult::Lost => "lost",
        CallResult::Failed => "failed",
    }
}

/// `stop --check`: what a stop would meet. Nothing was changed.
#[must_use]
pub fn check(name: &str, reply: &CheckReply, last: Option<&Report>, strict: bool) -> Verdict {
    let holders = reply.holders_total.max(reply.holders.len() as u64);
    let requests = reply.requests_total.max(reply.requests.len() as u64);
    let waits_for = match (holders, requests) {
        (0, 0) => None,
        (holders, 0) => Some(count(holders, "holder")),
        (0, requests) => Some(count(requests, "request")),
        (holders, requests) => {
            Some(format!("{}, {}", count(holders, "holder"), count(requests, "request")))
        }
    };
    let busy = holders > 0 || reply.result == CallResult::HasOpenHandles;
    let exit = if busy { Exit::BUSY } else { Exit::DONE };
    if reply.state == State::Startable {
        let mut verdict = already_stopped(name, last, strict);
        if holders > 0 {
            let line = format!("{} left from before the stop", count(holders, "holder"));
            verdict.lines.push(line);
            verdict.list_holders = true;
            verdict.exit = if strict { verdict.exit } else { Exit::BUSY };
        }
        return verdict;
    }
    let line = match (reply.state, reply.ticket, waits_for) {
        (State::Draining | State::Sealing, Some(ticket), Some(what)) => {
            format!("{name}: already stopping (ticket {ticket}), waits for {what}")
        }
        (State::Draining | State::Sealing, Some(ticket), None) => {
            format!("{name}: already stopping (ticket {ticket}), waits for nobody")
        }
        (_, _, Some(what)) => format!("{name}: would wait for {what}"),
        (_, _, None) => format!("{name}: would wait for nobody"),
    };
    let verdict = Verdict::new(exit, if busy { "has_open_handles" } else { "success" }, line);
    if holders > 0 { verdict.listing() } else { verdict }
}

/// A stop was taken and runs; nobody waits for it here.
#[must_use]
pub fn stop_pending(name: &str, ticket: TicketNumber, status: &MountStatus) -> Verdict {
    let line = format!("{name}: stop accepted, pending (ticket {ticket}){}", load(status));
    Verdict::new(Exit::DONE, "pending", line).listing()
}

/// A stop was taken and joins one that ran already.
#[must_use]
pub fn already_stopping(name: &str, running: &RunningCall, status: &MountStatus) -> Verdict {
    let line = format!(
        "{name}: already stopping (ticket {}, for {}, asked by {}){}",
        running.ticket,
        seconds(running.age_s),
        asker(running.asked_by, true),
        load(status)
    );
    Verdict::new(Exit::DONE, "already_stopping", line).listing()
}

/// Nothing to do: it was stopped before.
#[must_use]
pub fn already_stopped(name: &str, last: Option<&Report>, strict: bool) -> Verdict {
    let when = last.map(|report| {
        format!(" ({}, asked by {})", time_text(report.ended_unix_s), asker(report.asked_by, false))
    });
    let line = format!("{name}: already stopped{}", when.unwrap_or_default());
    let exit = if strict { Exit::ALREADY } else { Exit::DONE };
    Verdict::new(exit, "already_stopped", line)
}

/// It is stopped, and still mounted although an unmount was asked for.
#[must_use]
pub fn still_mounted(name: &str, mount_point: &str, holders: u64) -> Verdict {
    let place = printable(mount_point.as_bytes());
    match holders {
        0 => {
            let line = format!("{name}: stopped, but still mounted on {place}");
            Verdict::new(Exit::FAILED, "failed", line)
        }
        _ => {
            let holders = count(holders, "holder");
            let line = format!("{name}: stopped, but still mounted: {place} is busy, {holders}");
            Verdict::new(Exit::BUSY, "unmount_busy", line).listing()
        }
    }
}

/// What there is to tell of a stop that found nothing left to do: the end of the one it joined. The
/// mount may have been taken away by either.
#[must_use]
pub fn joined(own: &Report, end: Report) -> Report {
    Report { unmounted: own.unmounted || end.unmounted, ..end }
}

/// A stop ended with this report. `last` is the last finished stop, for one that found itself done.
#[must_use]
pub fn stop_ended(
    name: &str,
    mount_point: &str,
    report: &Report,
    last: Option<&Report>,
    strict: bool,
) -> Verdict {
    let result = result_word(report.result);
    let place = place(mount_point, report);
    let mut verdict = match report.result {
        CallResult::Success if report.is_still_mounted() => {
            let line = format!("{name}: {}", error(report));
            Verdict::new(Exit::BUSY, "unmount_busy", line).listing()
        }
        // It is stopped all the same, and who asked must not take it for a clean end.
        CallResult::Success | CallResult::HasOpenHandles if report.redirector_failed() => {
            let open = open_part(report);
            let line = format!("{name}: stopped, {open}{place}; failed: {}", error(report));
            Verdict {
                list_holders: report.survivors_total > 0,
                ..Verdict::new(Exit::FAILED, result, line)
            }
        }
        CallResult::Success => {
            let line = format!("{name}: stopped{}, {place}", achieved(report));
            Verdict::new(Exit::DONE, result, line)
        }
        // `--if-busy=refuse`: answered at once, without a ticket; nothing was posted (stop.md C5).
        CallResult::HasOpenHandles if report.ticket.is_none() => {
            let busy = match report.survivors_total {
                0 => "a file is being opened".to_owned(),
                _ => format!("{} open", handles(report)),
            };
            let line = format!("{name}: not stopped: {busy}");
            Verdict::new(Exit::BUSY, "busy", line).listing()
        }
        CallResult::HasOpenHandles => {
            let open = handles(report);
            let line = format!("{name}: stopped, {open} still open{}, {place}", achieved(report));
            Verdict::new(Exit::BUSY, result, line).listing()
        }
        CallResult::AlreadyStopped if report.unmounted => {
            Verdict::new(Exit::DONE, result, format!("{name}: already stopped, {place}"))
        }
        CallResult::AlreadyStopped => already_stopped(name, last, strict),
        CallResult::RolledBack => {
            let line =
                format!("{name}: deadline passed: {}rolled back, running", open_part(report));
            Verdict::new(Exit::ROLLED_BACK, result, line).listing()
        }
        CallResult::Lost => lost(name, &place, report),
        CallResult::AlreadyStarted => {
            Verdict::new(Exit::FAILED, result, format!("{name}: started again before it stopped"))
        }
        CallResult::Failed => {
            let line = format!("{name}: stop failed, running: {}", error(report));
            Verdict::new(Exit::FAILED, result, line)
        }
    };
    // What went wrong on the way, and did not keep it from stopping.
    let told = report.is_still_mounted() || report.ticket.is_none();
    let stopped = matches!(
        report.result,
        CallResult::Success | CallResult::HasOpenHandles | CallResult::Lost
    );
    if stopped && !told && report.error.is_some() {
        verdict.lines.push(format!("  {}", error(report)));
    }
    verdict
}

/// The deadline of a `stay` stop passed and it is not over (exit 11).
#[must_use]
pub fn deadline_passed(name: &str, ticket: Option<TicketNumber>, status: &MountStatus) -> Verdict {
    let ticket = ticket.map_or_else(String::new, |ticket| format!(" (ticket {ticket})"));
    let place = if status.mounted { "still mounted" } else { "not mounted" };
    let mut load = load(status);
    if let Some(bare) = load.strip_prefix(", ") {
        load = format!(": {bare}");
    }
    let line = format!("{name}: deadline passed{load}; still draining{ticket}, {place}");
    Verdict::new(Exit::STILL_DRAINING, "deadline_passed", line)
}

/// The user ended the wait; what was waited for goes on.
#[must_use]
pub fn interrupted(name: &str, ticket: Option<TicketNumber>) -> Verdict {
    let line = match ticket {
        Some(ticket) => format!(
            "{name}: interrupted; ticket {ticket} goes on: `minirdr wait {name} --ticket {ticket}`"
        ),
        None => format!("{name}: interrupted"),
    };
    Verdict::new(Exit::INTERRUPTED, "interrupted", line)
}

/// The wait ended before what it waited for.
#[must_use]
pub fn timed_out(name: &str, state: State) -> Verdict {
    let line = format!("{name}: the time to wait is over; it is {}", state.word());
    let exit = match state {
        State::Draining | State::Sealing => Exit::STILL_DRAINING,
        State::Startable | State::StartInProgress | State::Started | State::Paused => Exit::FAILED,
    };
    Verdict::new(exit, "timed_out", line)
}

/// A start ended with this report.
#[must_use]
pub fn start_ended(name: &str, report: &Report, strict: bool) -> Verdict {
    let result = result_word(report.result);
    match report.result {
        CallResult::Success => {
            let took: f64 = report.steps.iter().map(|step| step.seconds).sum();
            let took = Duration::try_from_secs_f64(took).unwrap_or_default();
            // Without steps nobody has measured it.
            let took = if took.is_zero() { String::new() } else { format!(", {}", elapsed(took)) };
            Verdict::new(Exit::DONE, result, format!("{name}: running (same mount{took})"))
        }
        CallResult::AlreadyStarted => {
            let exit = if strict { Exit::ALREADY } else { Exit::DONE };
            Verdict::new(exit, result, format!("{name}: already running"))
        }
        // The start was cancelled by a stop that came while it ran (stop.md §3).
        CallResult::AlreadyStopped => {
            Verdict::new(Exit::FAILED, result, format!("{name}: stopped again before it started"))
        }
        CallResult::HasOpenHandles
        | CallResult::RolledBack
        | CallResult::Lost
        | CallResult::Failed => {
            let line = format!("{name}: start failed, still stopped: {}", error(report));
            Verdict::new(Exit::FAILED, result, line)
        }
    }
}

/// A start was taken and runs; nobody waits for it here.
#[must_use]
pub fn start_pending(name: &str, ticket: TicketNumber) -> Verdict {
    Verdict::new(
        Exit::DONE,
        "pending",
        format!("{name}: start accepted, pending (ticket {ticket})"),
    )
}

/// `wait --for running` came true.
#[must_use]
pub fn is_running(name: &str) -> Verdict {
    Verdict::new(Exit::DONE, "success", format!("{name}: running"))
}

/// `wait` for a stop found it stopped, and nobody knows how it came to that.
#[must_use]
pub fn is_stopped(name: &str) -> Verdict {
    Verdict::new(Exit::DONE, "success", format!("{name}: stopped"))
}

/// `pause` was answered.
#[must_use]
pub fn paused(name: &str, result: CallResult) -> Verdict {
    match result {
        CallResult::Success => {
            let line = format!("{name}: paused: new opens are refused, open handles keep working");
            Verdict::new(Exit::DONE, "success", line)
        }
        other => not_serving(name, other, "cannot be paused"),
    }
}

/// `resume` was answered.
#[must_use]
pub fn resumed(name: &str, result: CallResult) -> Verdict {
    match result {
        CallResult::Success => is_running(name),
        other => not_serving(name, other, "cannot be resumed; `minirdr start` starts it"),
    }
}

fn not_serving(name: &str, result: CallResult, what: &str) -> Verdict {
    let state = if result.is_stopped() { "stopped" } else { "not running" };
    Verdict::new(Exit::NOT_RUNNING, result_word(result), format!("{name}: {state}, {what}"))
}

/// `status`: the summary line, then what runs and how the last stop ended.
#[must_use]
pub fn status(status: &MountStatus) -> Verdict {
    let MountStatus { name, .. } = status;
    let state = state_text(status);
    let place = if status.mounted { "on" } else { "not mounted any more; was on" };
    let mut lines = vec![
        format!("{name}: {state}{}", load(status)),
        format!("  {} {place} {}", printable(status.source.as_bytes()), status.mount_point),
    ];
    if status.survivors > 0 {
        let handles = count(status.survivors, "handle");
        lines.push(format!("  {handles} open since before the last stop"));
    }
    if let Some(running) = &status.running {
        lines.push(format!("  {}", running_text(running)));
    }
    if let Some(last) = &status.last_stop {
        let at = time_text(last.ended_unix_s);
        let result = result_word(last.result).replace('_', " ");
        let asker = asker(last.asked_by, false);
        let reason = last.reason.as_ref().map(|why| format!(": {}", printable(why.as_bytes())));
        let reason = reason.unwrap_or_default();
        let trouble = last.error.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        lines.push(format!("  last stop {at}, asked by {asker}: {result}{reason}{trouble}"));
        lines.extend(report_lines(last).into_iter().map(|line| format!("    {line}")));
    }
    lines.extend(unsent::hint(name, unsent::summary(status)).map(|hint| format!("  {hint}")));
    if status.defects_total > 0 {
        lines.push(format!("  {} seen; the log says more", count(status.defects_total, "defect")));
    }
    lines.extend(access_text(status).map(|text| format!("  {text}")));
    lines
        .extend(status.rpc.iter().map(|state| format!("  remote management {}", rpc::text(state))));
    lines.push(format!(
        "  pid {}, uid {}, generation {}, {} answered, {} refused, version {}",
        status.pid,
        status.uid,
        status.generation,
        status.answered_total,
        status.refused_total,
        status.version
    ));
    let exit = match status.state {
        State::Startable => Exit::NOT_RUNNING,
        State::StartInProgress
        | State::Started
        | State::Paused
        | State::Draining
        | State::Sealing => Exit::DONE,
    };
    Verdict { exit, result: status.state.word(), lines, list_holders: false }
}

/// Who may command besides root and the owner, and what differs from the usual; nothing when
/// nothing does.
fn access_text(status: &MountStatus) -> Option<String> {
    let said = |word: &String| {
        let (key, _) = word.split_once('=')?;
        match (key, status.control_gid) {
            ("control_group", Some(gid)) => Some(format!("{word} (gid {gid})")),
            ("control_allow" | "control_deny", _) => Some(word.clone()),
            _ => None,
        }
    };
    let words: Vec<String> = status.options.iter().filter_map(said).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The report of a stop in full (stop.md S7): what it counted, then the seconds of each step.
fn report_lines(report: &Report) -> Vec<String> {
    let mut counted = vec![
        format!("{} drained", count(report.drained, "request")),
        format!("{} cancelled", report.cancelled),
        format!("{} given up", report.abandoned),
        format!("{} refused", report.refused),
        format!("{} written back", size(report.flushed_bytes)),
        format!("{} open at its end", handles(report)),
    ];
    if !report.losses.is_empty() {
        counted.push(format!("NOT saved: {}", not_saved(report)));
    }
    let mut lines = vec![counted.join(", ")];
    lines.extend(unsent::loss_lines(&report.losses).iter().map(|line| line.trim().to_owned()));
    if !report.steps.is_empty() {
        let step = |step: &StepTime| format!("{} {:.3} s", step.step, step.seconds);
        lines.push(report.steps.iter().map(step).collect::<Vec<_>>().join(", "));
    }
    lines
}

/// `running for 3h`: the state and how long it lasts.
#[must_use]
pub fn state_text(status: &MountStatus) -> String {
    format!("{} for {}", status.state.word(), seconds(status.state_age_s))
}

fn running_text(running: &RunningCall) -> String {
    use crate::base::stop::CallKind;
    let kind = match running.kind {
        CallKind::Stop => "stop",
        CallKind::Start => "start",
    };
    let mut text = format!(
        "{kind} of ticket {} at {:?} for {}, asked by {}",
        running.ticket,
        running.step,
        seconds(running.age_s),
        asker(running.asked_by, true)
    );
    if running.deadline_passed {
        text.push_str(", deadline passed");
    } else if let Some(left) = running.deadline_left_s {
        text.push_str(&format!(", {} to its deadline", seconds(left)));
    }
    text
}

/// What there is to do, as the tail of a line: `, 1 request, 2 handles, 8.2 MiB unsent`; nothing
/// when there is nothing.
#[must_use]
pub fn load(status: &MountStatus) -> String {
    let mut text = String::new();
    for (number, noun) in [(status.requests_in_flight, "request"), (status.open_handles, "handle")]
    {
        if number > 0 {
            text.push_str(&format!(", {}", count(number, noun)));
        }
    }
    if status.unsent_bytes > 0 {
        text.push_str(&format!(", {} unsent", size(status.unsent_bytes)));
    }
    text
}

fn handles(report: &Report) -> String {
    count(report.survivors_total.max(report.survivors.len() as u64), "handle")
}

/// `1 handle; `, or nothing when none is open.
fn open_part(report: &Report) -> String {
    match report.survivors_total.max(report.survivors.len() as u64) {
        0 => String::new(),
        number => format!("{}; ", count(number, "handle")),
    }
}

/// What a stop that ended well did to get there, and what is left to send.
fn achieved(report: &Report) -> String {
    let mut text = String::new();
    for (number, word) in [(report.cancelled, "cancelled"), (report.abandoned, "given up")] {
        if number > 0 {
            text.push_str(&format!(", {} {word}", count(number, "request")));
        }
    }
    let unsent: u64 = report.survivors.iter().map(|handle| handle.unsent_bytes).sum();
    match unsent {
        0 => text + ", nothing unsent",
        bytes => text + &format!(", {} unsent", size(bytes)),
    }
}

fn place(mount_point: &str, report: &Report) -> String {
    if report.unmounted {
        format!("unmounted {}", printable(mount_point.as_bytes()))
    } else {
        "still mounted".to_owned()
    }
}

fn lost(name: &str, place: &str, report: &Report) -> Verdict {
    let line = format!("{name}: stopped, {place}; NOT saved: {}", not_saved(report));
    let mut verdict = Verdict::new(Exit::LOST, result_word(report.result), line);
    verdict.lines.extend(unsent::loss_lines(&report.losses));
    if report.redirector_failed() {
        verdict.lines.push(format!("  failed: {}", error(report)));
    }
    verdict.list_holders = report.survivors_total > 0;
    verdict
}

/// `1 file, 12.3 KiB`.
fn not_saved(report: &Report) -> String {
    let bytes = report.losses.iter().map(|loss| loss.bytes).sum();
    format!("{}, {}", count(unsent::loss_files(&report.losses), "file"), size(bytes))
}

fn error(report: &Report) -> String {
    match &report.error {
        Some(error) => printable(error.as_bytes()),
        None => "the daemon gave no reason".to_owned(),
    }
}

fn asker(caller: Caller, with_pid: bool) -> String {
    if with_pid { caller.to_string() } else { Caller { pid: 0, ..caller }.to_string() }
}

fn seconds(seconds: f64) -> String {
    age(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
#[path = "judge_tests.rs"]
pub(super) mod tests;
