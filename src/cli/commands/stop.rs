//! `stop` and `umount`: ask, and either say at once how it stands or wait for the end.

use crate::base::ids::TicketNumber;
use crate::base::stop::{CallResult, Report, State, StopOptions};
use crate::cli::args::{StopArgs, UmountArgs};
use crate::cli::commands::answer::Answer;
use crate::cli::commands::detach::detach;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders;
use crate::cli::judge::{self, Verdict};
use crate::cli::locate::{self, Target, explain};
use crate::cli::print;
use crate::cli::table::Layout;
use crate::cli::unsent;
use crate::cli::vigil::Vigil;
use crate::mgmt::client::{Client, ClientError, Progress};
use crate::mgmt::proto::{CallReply, MountStatus};
use std::ops::ControlFlow;

/// One stop to be asked for.
struct Asking {
    verb: &'static str,
    target: Target,
    options: StopOptions,
    strict: bool,
    /// Say nothing of the wait before it is long.
    quiet: bool,
    /// The mount as it was before.
    before: MountStatus,
}

/// `minirdr stop`.
///
/// # Errors
/// The daemon cannot be asked, or refuses.
pub fn stop(args: &StopArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let layout = holders::layout(&args.table)?;
    let target = locate::find(&args.name, environment)?.of(&args.part.provider);
    let json = args.json.json;
    if let Some(handle) = args.handle {
        return detach(args, &target, handle);
    }
    if args.check {
        return check(&target, args.strict, json, &layout);
    }
    let mut client = target.connect()?;
    let asking = Asking::of("stop", target, args.options(), &mut client)?;
    let asking = Asking { strict: args.strict, ..asking };
    let answer = if args.wait { asking.wait(&mut client) } else { asking.post(&mut client) };
    answer?.print(json, &layout)
}

/// `minirdr umount`.
///
/// # Errors
/// The daemon cannot be asked, or refuses.
pub fn umount(args: &UmountArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let layout = holders::layout(&args.table)?;
    let target = locate::find(&args.name, environment)?;
    let mut client = target.connect()?;
    let asking = Asking::of("umount", target, args.options(), &mut client)?;
    asking.wait(&mut client)?.print(args.json.json, &layout)
}

/// The stop of an unmount that umount(8) asks for, waited for; it is silent where that is.
///
/// # Errors
/// The daemon cannot be asked, or refuses.
pub(in crate::cli) fn for_helper(target: &Target, options: StopOptions) -> Result<Answer, Trouble> {
    let mut client = target.connect()?;
    let asking = Asking::of("umount", target.clone(), options, &mut client)?;
    Asking { quiet: true, ..asking }.wait(&mut client)
}

fn check(target: &Target, strict: bool, json: bool, layout: &Layout) -> Result<Exit, Trouble> {
    let mut client = target.connect()?;
    let failed = |error: ClientError| explain(&target.name, &error);
    let reply = client.check().map_err(failed)?;
    let last = match reply.state {
        State::Startable => client.status().map_err(failed)?.last_stop,
        _ => None,
    };
    let verdict = judge::check(&target.label(), &reply, last.as_ref(), strict);
    let mut answer = Answer::of("stop", target, verdict);
    answer.running_ticket = reply.ticket;
    answer.state = Some(reply.state);
    (answer.holders, answer.holders_total) = (reply.holders, reply.holders_total);
    answer.print(json, layout)
}

/// How it is before. Where there is no such provider the stop is to be refused, not this: who may
/// not stop is told that, and no more.
fn before(client: &mut Client, target: &Target) -> Result<MountStatus, Trouble> {
    let status = client.status().or_else(|error| match (&error, &target.provider) {
        (ClientError::Failed { name, .. }, Some(provider)) if name == "Refused" => {
            client.about(None);
            let whole = client.status();
            client.about(Some(provider.clone()));
            whole
        }
        _ => Err(error),
    });
    status.map_err(|error| explain(&target.name, &error))
}

impl Asking {
    fn of(
        verb: &'static str,
        target: Target,
        options: StopOptions,
        client: &mut Client,
    ) -> Result<Self, Trouble> {
        let before = before(client, &target)?;
        Ok(Self { verb, target, options, strict: false, quiet: false, before })
    }

    /// Asks, and says how it stands.
    fn post(&self, client: &mut Client) -> Result<Answer, Trouble> {
        let failed = |error: ClientError| explain(&self.target.name, &error);
        let CallReply { ticket, running, report, .. } =
            client.stop(&self.options).map_err(failed)?;
        if let Some(report) = report {
            return Ok(self.ended(client, report, (None, None)));
        }
        let Some(ticket) = ticket else {
            return Err(Trouble::unreachable(format!(
                "{}: the daemon answered with neither a ticket nor a report",
                self.target.name
            )));
        };
        let status = client.status().map_err(failed)?;
        let verdict = match (running, &status.running) {
            (Some(_), Some(call)) => judge::already_stopping(&self.target.label(), call, &status),
            _ => judge::stop_pending(&self.target.label(), ticket, &status),
        };
        let mut answer = self.answer(verdict);
        answer.ticket = Some(ticket);
        answer.running_ticket = running;
        answer.set_status(Some(&status));
        answer.find_holders(client);
        Ok(answer)
    }

    /// Asks, and waits for the end, the deadline, or an interrupt.
    fn wait(&self, client: &mut Client) -> Result<Answer, Trouble> {
        let vigil = Vigil::new()?;
        let ends_at = self.options.deadline_s.map(|_| self.options.on_deadline);
        vigil.keep(client, &self.target, ends_at);
        let (mut ticket, mut running, mut joined) = (None, None, None);
        let outcome = client.stop_streaming(&self.options, &mut |progress| {
            match progress {
                Progress::Pending { ticket: posted, running: found } => {
                    (ticket, running) = (Some(posted), found);
                    self.say_waiting(posted, found);
                }
                Progress::Joined(end) => joined = Some(end),
                Progress::Event(_) => {}
            }
            vigil.go_on()
        });
        client.while_waiting(|| ControlFlow::Continue(()));
        match outcome {
            Ok(Some(report)) => Ok(self.ended(client, report, (running, joined))),
            Ok(None) | Err(ClientError::Interrupted) if vigil.deadline_passed() => {
                let status = client.status();
                let status = status.map_err(|error| explain(&self.target.name, &error))?;
                let verdict =
                    judge::deadline_passed(&self.target.label(), running.or(ticket), &status);
                let mut answer = self.answer(verdict);
                (answer.ticket, answer.running_ticket) = (ticket, running);
                answer.set_status(Some(&status));
                Ok(answer)
            }
            Ok(None) | Err(ClientError::Interrupted) => {
                let mut answer =
                    self.answer(judge::interrupted(&self.target.name, running.or(ticket)));
                (answer.ticket, answer.running_ticket) = (ticket, running);
                Ok(answer)
            }
            Err(error) => Err(self.lost(&error, ticket)),
        }
    }

    fn say_waiting(&self, ticket: TicketNumber, running: Option<TicketNumber>) {
        if self.quiet {
            return;
        }
        let name = self.target.label();
        print::note(&match running {
            Some(running) => format!("{name}: already stopping (ticket {running}), waiting"),
            None => format!(
                "{name}: stop accepted, pending (ticket {ticket}){}, waiting",
                judge::load(&self.before)
            ),
        });
    }

    /// The end of a stop. One that joined another has that one's end to tell.
    fn ended(
        &self,
        client: &mut Client,
        report: Report,
        (running, joined): (Option<TicketNumber>, Option<Report>),
    ) -> Answer {
        let mount_point = &self.before.mount_point;
        let joined = joined.filter(|_| !self.strict);
        let report = joined.map_or(report.clone(), |end| judge::joined(&report, end));
        let gone = report.unmounted && report.survivors_total == 0;
        let status = if gone { None } else { client.status().ok() };
        let last = status.as_ref().and_then(|status| status.last_stop.clone());
        let verdict = judge::stop_ended(
            &self.target.label(),
            mount_point,
            &report,
            last.as_ref(),
            self.strict,
        );
        let mut answer = self.answer(verdict);
        answer.ticket = report.ticket;
        answer.running_ticket = running;
        answer.set_status(status.as_ref());
        // It is stopped, and what was asked for besides did not happen.
        let stopped = matches!(report.result, CallResult::AlreadyStopped | CallResult::Success);
        // What is kept from this stop or an earlier one is unsent still.
        let kept = unsent::summary(status.as_ref().unwrap_or(&self.before));
        let mounted = status.is_some_and(|status| status.mounted);
        if stopped && mounted && self.options.unmount && !report.unmounted {
            let holders = client.check().map_or(0, |reply| reply.holders_total);
            answer.verdict = judge::still_mounted(&self.target.name, mount_point, holders);
        }
        let hint = unsent::hint(&self.target.name, kept);
        answer.verdict.lines.extend(hint.map(|hint| format!("  {hint}")));
        answer.report = Some(report);
        answer.find_holders(client);
        if gone && !self.target.await_departure() {
            answer.verdict.lines.extend(self.elsewhere(client));
        }
        answer
    }

    /// The mount is gone and its daemon is not: why, if that is known.
    fn elsewhere(&self, client: &mut Client) -> Option<String> {
        let name = &self.target.name;
        let holders = client.check().ok()?.holders;
        let mounted = holders.iter().any(|holder| holder.kind == "mount");
        mounted.then(|| format!("  mounted elsewhere still, stopped: `minirdr handles {name}`"))
    }

    /// The daemon went away while it was waited for: what is known without it.
    fn lost(&self, error: &ClientError, ticket: Option<TicketNumber>) -> Trouble {
        let mut trouble = explain(&self.target.name, error);
        if ticket.is_none() || !matches!(error, ClientError::Lost { .. }) {
            return trouble;
        }
        let mount_point = std::path::Path::new(&self.before.mount_point);
        let mounted = locate::read_mounts().is_ok_and(|mounts| {
            mounts
                .iter()
                .any(|mount| mount.mount_point == mount_point && mount.device == self.before.device)
        });
        let place = if mounted { "is still mounted" } else { "is not mounted any more" };
        trouble.message.push_str(&format!("; {} {place}", self.before.mount_point));
        trouble
    }

    fn answer(&self, verdict: Verdict) -> Answer {
        Answer::of(self.verb, &self.target, verdict)
    }
}
