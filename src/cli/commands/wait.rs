//! `wait`: until a stop or start ends, or a mount is in a state.

use crate::base::ids::TicketNumber;
use crate::base::stop::{CallKind, State};
use crate::cli::args::{WaitArgs, WaitState};
use crate::cli::commands::answer::Answer;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders;
use crate::cli::judge::{self, Verdict};
use crate::cli::locate::{self, explain};
use crate::cli::print;
use crate::cli::vigil::Vigil;
use crate::mgmt::client::ClientError;
use crate::mgmt::proto::{MountStatus, WaitParameters, WaitReply};
use crate::mgmt::providers::Deed;
use std::ops::ControlFlow;

/// `minirdr wait`.
///
/// # Errors
/// The daemon cannot be asked, went away, or does not know the ticket.
pub fn wait(args: &WaitArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let layout = holders::layout(&args.table)?;
    let target = locate::find(&args.name, environment)?.of(&args.part.provider);
    let failed = |error: ClientError| explain(&target.name, &error);
    let mut client = target.connect()?;
    let before = client.status().map_err(failed)?;
    // Who reads that it waits may interrupt it: it listens before it says so.
    let vigil = Vigil::new()?;
    if let Some(line) = before_waiting(args, &target.label(), &before) {
        print::note(&line);
    }
    vigil.keep(&mut client, &target, None);
    let outcome = client.wait(&parameters(args));
    client.while_waiting(|| ControlFlow::Continue(()));
    let ticket = args.ticket.map(TicketNumber);
    let reply = match outcome {
        Ok(reply) => reply,
        Err(ClientError::Interrupted) => {
            let running = before.running.as_ref().map(|running| running.ticket);
            let verdict = judge::interrupted(&target.name, ticket.or(running));
            return Answer::of("wait", &target, verdict).print(args.json.json, &layout);
        }
        Err(error) => return Err(failed(error)),
    };
    let provider = reply.provider.as_deref().or(target.provider.as_deref());
    let name = &*locate::label(&target.name, provider);
    let verdict = judge_reply(name, &before.mount_point, &reply, args.wait_for);
    let mut answer = Answer::of("wait", &target, verdict);
    answer.provider = provider.map(str::to_owned);
    answer.state = Some(reply.state);
    answer.ticket = ticket.or_else(|| reply.report.as_ref().and_then(|report| report.ticket));
    answer.report = reply.report;
    match (reply.deed, provider) {
        (Some(_), Some(provider)) => answer.find_holders_of(&mut client, provider),
        (_, None) | (None, _) => answer.find_holders(&mut client),
    }
    answer.print(args.json.json, &layout)
}

fn parameters(args: &WaitArgs) -> WaitParameters {
    let word = |state| match state {
        WaitState::Running => "running".to_owned(),
        WaitState::Stopped => "stopped".to_owned(),
    };
    WaitParameters {
        ticket: args.ticket.map(TicketNumber),
        wait_for: args.wait_for.map(word),
        timeout_s: args.timeout.and_then(|bound| bound.0).map(|time| time.as_secs_f64()),
        provider: args.part.provider.clone(),
    }
}

/// What is said before the wait; nothing when there is nothing to wait for.
fn before_waiting(args: &WaitArgs, name: &str, status: &MountStatus) -> Option<String> {
    let word = status.state.word();
    let load = judge::load(status);
    if let Some(ticket) = args.ticket {
        let runs = status.running.as_ref().is_some_and(|running| running.ticket.0 == ticket);
        return runs.then(|| format!("{name}: {word}{load}, waiting for ticket {ticket}"));
    }
    let wanted = match (args.wait_for, status.running.as_ref()) {
        (Some(WaitState::Running), _) => "running",
        (Some(WaitState::Stopped), _) => "stopped",
        (None, Some(running)) => {
            let ticket = running.ticket;
            return Some(format!("{name}: {word}{load}, waiting for ticket {ticket}"));
        }
        (None, None) => "stopped",
    };
    (word != wanted).then(|| format!("{name}: {word}{load}, waiting until it is {wanted}"))
}

/// The verb that a change of providers was asked for with.
const fn verb(deed: Deed) -> &'static str {
    match deed {
        Deed::Add => "provider add",
        Deed::Remove => "provider remove",
        Deed::Replace => "provider replace",
    }
}

/// What the daemon's answer to a wait means. A stop that joined another has that one's end to tell.
fn judge_reply(
    name: &str,
    mount_point: &str,
    reply: &WaitReply,
    wanted: Option<WaitState>,
) -> Verdict {
    if reply.timed_out {
        return judge::timed_out(name, reply.state);
    }
    if let (Some(report), Some(deed)) = (&reply.report, reply.deed) {
        return judge::provider_ended(name, verb(deed), report);
    }
    match (&reply.report, wanted) {
        (_, Some(WaitState::Running)) => judge::is_running(name),
        (Some(report), _) if report.kind == CallKind::Start => {
            judge::start_ended(name, report, false)
        }
        (Some(report), _) => {
            let joined = reply.joined.clone().map(|end| judge::joined(report, end));
            let told = joined.as_ref().unwrap_or(report);
            judge::stop_ended(name, mount_point, told, joined.as_ref(), false)
        }
        (None, _) if reply.state == State::Startable => judge::is_stopped(name),
        (None, _) => judge::is_running(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Generation;
    use crate::base::stop::{CallResult, Report};
    use crate::cli::args::{Bound, JsonArgs, PartArgs, TableArgs};
    use crate::cli::judge::tests::{mount, report, running};
    use std::ffi::OsString;
    use std::time::Duration;

    fn args(ticket: Option<u64>, wait_for: Option<WaitState>) -> WaitArgs {
        WaitArgs {
            name: OsString::from("bk"),
            part: PartArgs::default(),
            ticket,
            wait_for,
            timeout: Some(Bound(Some(Duration::from_secs(2)))),
            table: TableArgs::default(),
            json: JsonArgs::default(),
        }
    }

    #[test]
    fn the_daemon_is_asked_for_what_the_line_says() {
        let asked = parameters(&args(Some(7), None));
        assert_eq!((asked.ticket, asked.timeout_s), (Some(TicketNumber(7)), Some(2.0)));
        assert_eq!(asked.wait_for, None);
        let asked = parameters(&args(None, Some(WaitState::Running)));
        assert_eq!(asked.wait_for.as_deref(), Some("running"));
    }

    #[test]
    fn something_is_said_before_a_wait_and_nothing_before_none() {
        let idle = MountStatus { open_handles: 0, unsent_bytes: 0, ..mount(State::Startable) };
        assert_eq!(before_waiting(&args(None, None), "bk", &idle), None);
        assert_eq!(
            before_waiting(&args(None, Some(WaitState::Running)), "bk", &idle).as_deref(),
            Some("bk: stopped, waiting until it is running")
        );
        let draining =
            MountStatus { running: Some(running()), unsent_bytes: 0, ..mount(State::Draining) };
        let line = Some("bk: stopping, 1 handle, waiting for ticket 7");
        assert_eq!(before_waiting(&args(None, None), "bk", &draining).as_deref(), line);
        assert_eq!(before_waiting(&args(Some(7), None), "bk", &draining).as_deref(), line);
        assert_eq!(
            before_waiting(&args(Some(6), None), "bk", &draining),
            None,
            "it is over already"
        );
    }

    #[test]
    fn a_reply_is_told_as_what_ended() {
        let reply = |report, state| WaitReply {
            timed_out: false,
            state,
            report,
            joined: None,
            provider: None,
            deed: None,
        };
        let judge = |reply: &WaitReply, wanted| {
            let verdict = judge_reply("bk", "/mnt/bk", reply, wanted);
            (verdict.exit.0, verdict.lines[0].clone())
        };
        let stopped = report(CallResult::Success);
        let started =
            Report { kind: CallKind::Start, generation: Generation(2), ..stopped.clone() };
        let joined = report(CallResult::AlreadyStopped);
        let rolled_back = report(CallResult::RolledBack);
        let removed =
            WaitReply { deed: Some(Deed::Remove), ..reply(Some(stopped.clone()), State::Started) };
        assert_eq!(judge(&removed, None), (0, "bk: removed, nothing unsent".to_owned()));
        let added =
            WaitReply { deed: Some(Deed::Add), ..reply(Some(started.clone()), State::Started) };
        assert_eq!(judge(&added, None), (0, "bk: added".to_owned()));
        let good = (0, "bk: stopped, nothing unsent, still mounted".to_owned());
        assert_eq!(judge(&reply(Some(stopped.clone()), State::Startable), None), good);
        let won = WaitReply {
            joined: Some(stopped.clone()),
            ..reply(Some(joined.clone()), State::Startable)
        };
        assert_eq!(judge(&won, None), good, "the stop it joined is told");
        let lost = Report { unmounted: false, ..report(CallResult::Lost) };
        let own = Report { unmounted: true, ..joined };
        let won = WaitReply { joined: Some(lost), ..reply(Some(own), State::Startable) };
        let (code, line) = judge(&won, None);
        assert_eq!(code, 13);
        assert!(line.contains("stopped, unmounted /mnt/bk; NOT saved"), "{line}");
        let (code, _) = judge(&reply(Some(rolled_back), State::Started), None);
        assert_eq!(code, 12);
        let (code, line) = judge(&reply(Some(started), State::Started), None);
        assert_eq!((code, line.as_str()), (0, "bk: running (same mount)"));
        let running = reply(Some(stopped), State::Started);
        let wanted = Some(WaitState::Running);
        assert_eq!(judge(&running, wanted), (0, "bk: running".to_owned()));
        let (code, line) = judge(&reply(None, State::Startable), None);
        assert_eq!((code, line.as_str()), (0, "bk: stopped"));
        let late = WaitReply { timed_out: true, ..reply(None, State::Draining) };
        assert_eq!(judge(&late, None).0, 11);
    }
}
