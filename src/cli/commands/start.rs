//! `start`, `pause` and `resume`.

use crate::base::stop::{Report, State};
use crate::cli::args::{NameArgs, StartArgs, TableArgs};
use crate::cli::commands::answer::Answer;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders;
use crate::cli::judge::{self, Verdict};
use crate::cli::locate::{self, Target, explain};
use crate::cli::print;
use crate::cli::unsent;
use crate::cli::vigil::Vigil;
use crate::mgmt::client::{Client, ClientError, Progress};
use crate::mgmt::proto::PauseReply;
use std::ops::ControlFlow;

/// `minirdr start`. It waits unless told not to: a start is over in a moment or it fails.
///
/// # Errors
/// The daemon cannot be asked, or refuses.
pub fn start(args: &StartArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?.of(&args.part.provider);
    let mut client = target.connect()?;
    let answer = match args.no_wait {
        true => post(&mut client, &target, args.strict)?,
        false => run(&mut client, &target, args.strict)?,
    };
    answer.print(args.json.json, &holders::layout(&TableArgs::default())?)
}

fn post(client: &mut Client, target: &Target, strict: bool) -> Result<Answer, Trouble> {
    let reply = client.start().map_err(|error| explain(&target.name, &error))?;
    let mut answer = match (reply.report, reply.ticket) {
        (Some(report), _) => ended(target, report, strict),
        (None, Some(ticket)) => {
            Answer::of("start", target, judge::start_pending(&target.label(), ticket))
        }
        (None, None) => {
            return Err(Trouble::unreachable(format!(
                "{}: the daemon answered with neither a ticket nor a report",
                target.name
            )));
        }
    };
    answer.ticket = reply.ticket;
    answer.running_ticket = reply.running;
    tell_status(&mut answer, client, target);
    Ok(answer)
}

fn run(client: &mut Client, target: &Target, strict: bool) -> Result<Answer, Trouble> {
    let vigil = Vigil::new()?;
    vigil.keep(client, target, None);
    let mut ticket = None;
    let outcome = client.start_streaming(&mut |progress| {
        if let Progress::Pending { ticket: posted, running } = progress {
            ticket = Some(posted);
            if let Some(running) = running {
                let name = &target.name;
                print::note(&format!("{name}: ticket {running} runs, start waits for it"));
            }
        }
        vigil.go_on()
    });
    client.while_waiting(|| ControlFlow::Continue(()));
    let mut answer = match outcome {
        Ok(Some(report)) => ended(target, report, strict),
        Ok(None) | Err(ClientError::Interrupted) => {
            Answer::of("start", target, judge::interrupted(&target.name, ticket))
        }
        Err(error) => return Err(explain(&target.name, &error)),
    };
    answer.ticket = answer.ticket.or(ticket);
    tell_status(&mut answer, client, target);
    Ok(answer)
}

/// The state it came to; and when it runs, what can be put on the server now.
fn tell_status(answer: &mut Answer, client: &mut Client, target: &Target) {
    let status = client.status().ok();
    answer.set_status(status.as_ref());
    if let Some(status) = status.filter(|status| status.state == State::Started) {
        let hint = unsent::hint(&target.name, unsent::summary(&status));
        answer.verdict.lines.extend(hint.map(|hint| format!("  {hint}")));
    }
}

fn ended(target: &Target, report: Report, strict: bool) -> Answer {
    let verdict = judge::start_ended(&target.label(), &report, strict);
    let mut answer = Answer::of("start", target, verdict);
    answer.ticket = report.ticket;
    answer.report = Some(report);
    answer
}

/// `minirdr pause`.
///
/// # Errors
/// The daemon cannot be asked, or refuses.
pub fn pause(args: &NameArgs, environment: &Environment) -> Result<Exit, Trouble> {
    switch("pause", args, environment, Client::pause, |name, reply| {
        judge::paused(name, reply.result)
    })
}

/// `minirdr resume`.
///
/// # Errors
/// The daemon cannot be asked, or refuses.
pub fn resume(args: &NameArgs, environment: &Environment) -> Result<Exit, Trouble> {
    switch("resume", args, environment, Client::resume, |name, reply| {
        judge::resumed(name, reply.result)
    })
}

fn switch(
    verb: &'static str,
    args: &NameArgs,
    environment: &Environment,
    ask: impl FnOnce(&mut Client) -> Result<PauseReply, ClientError>,
    judge: impl FnOnce(&str, PauseReply) -> Verdict,
) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?.of(&args.part.provider);
    let mut client = target.connect()?;
    let reply = ask(&mut client).map_err(|error| explain(&target.name, &error))?;
    let mut answer = Answer::of(verb, &target, judge(&target.label(), reply));
    answer.set_status(client.status().ok().as_ref());
    answer.print(args.json.json, &holders::layout(&TableArgs::default())?)
}
