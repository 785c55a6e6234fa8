//! `provider`: list the providers of a mount, add, remove and replace them.

use crate::app::{Source, check_options, parse_prefix, parse_provider_options};
use crate::base::stop::{Notice, OnDeadline, Report, State};
use crate::base::units::{count, size};
use crate::cli::args::provider::{
    LeavingArgs, ProviderAction, ProviderAddArgs, ProviderListArgs, ProviderRemoveArgs,
    ProviderReplaceArgs, ProviderVerbArgs, SourceArgs, WaitingArgs,
};
use crate::cli::args::{JsonArgs, TableArgs};
use crate::cli::commands::answer::Answer;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders;
use crate::cli::judge::{self, Verdict};
use crate::cli::locate::{self, Target, explain};
use crate::cli::print;
use crate::cli::table::{Layout, printable};
use crate::cli::view;
use crate::cli::vigil::Vigil;
use crate::mgmt::client::{Client, ClientError, Progress, ProviderCall};
use crate::mgmt::proto::{Event, EventKind, MountStatus, ProviderStatus, ProviderWords};
use serde_json::{Value, json};
use std::ops::ControlFlow;

const COLUMNS: &[&str] = &[
    "PROVIDER",
    "STATE",
    "PREFIX",
    "SOURCE",
    "REQ",
    "HANDLES",
    "UNSENT",
    "SURVIVORS",
    "DEVICE",
    "OWNER",
    "GENERATION",
];
const USUAL: usize = 7;

/// `minirdr provider`.
///
/// # Errors
/// The daemon cannot be asked, or refuses.
pub fn provider(args: &ProviderVerbArgs, environment: &Environment) -> Result<Exit, Trouble> {
    match &args.action {
        ProviderAction::List(args) => list(args, environment),
        ProviderAction::Add(args) => add(args, environment),
        ProviderAction::Remove(args) => remove(args, environment),
        ProviderAction::Replace(args) => replace(args, environment),
    }
}

fn list(args: &ProviderListArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let layout = Layout::new(COLUMNS, USUAL, &args.table.columns, !args.table.no_header)?;
    let target = locate::find(&args.name, environment)?;
    let mut client = target.connect()?;
    let status = client.status().map_err(|error| explain(&target.name, &error))?;
    let text = match args.json.json {
        true => list_json(&status).to_string(),
        false => lines(&status, &layout).join("\n"),
    };
    print::answer(&text)?;
    Ok(Exit::DONE)
}

/// The JSON of `provider list`.
pub(in crate::cli) fn list_json(status: &MountStatus) -> Value {
    let body = json!({ "name": status.name, "providers": status.providers });
    view::envelope("provider list", &body)
}

fn lines(status: &MountStatus, layout: &Layout) -> Vec<String> {
    let name = &status.name;
    if status.providers.is_empty() {
        return vec![format!("{name}: {}, no providers", printable(status.source.as_bytes()))];
    }
    let mut names: Vec<&str> = status.providers.iter().map(|share| &*share.name).collect();
    names.dedup();
    let prefixes = status.providers.len() as u64;
    let providers = count(names.len() as u64, "provider");
    let shown = if prefixes == 1 { "1 prefix".to_owned() } else { format!("{prefixes} prefixes") };
    let mut lines = vec![format!("{name}: {providers}, {shown}")];
    lines.extend(layout.lines(&status.providers.iter().map(row).collect::<Vec<_>>()));
    lines
}

fn row(share: &ProviderStatus) -> Vec<String> {
    let state = share.state.word();
    let state = match (share.aside, share.state) {
        (true, State::Startable) => "left".to_owned(),
        (true, _) => format!("aside, {state}"),
        (false, _) => state.to_owned(),
    };
    vec![
        share.name.clone(),
        state,
        printable(share.prefix.as_bytes()),
        printable(share.source.as_bytes()),
        share.requests_in_flight.to_string(),
        share.open_handles.to_string(),
        size(share.unsent_bytes),
        share.survivors.to_string(),
        printable(share.device.as_bytes()),
        share.owner.map_or_else(|| "-".to_owned(), |owner| owner.to_string()),
        share.generation.to_string(),
    ]
}

/// A source in words for the daemon, which has another working directory. What is wrong with the
/// words is said here; the daemon looks at what they name, as its own user, and after it has asked
/// whether this one may.
fn words(name: &str, prefixes: &[String], args: &SourceArgs) -> Result<ProviderWords, Trouble> {
    let shown = args.source.to_string_lossy();
    let source = Source::parse(&args.source)?.map_directory(|path| {
        std::path::absolute(&path)
            .map_err(|error| Trouble::system(format!("source {shown}"), &error))
    })?;
    let prefixes = prefixes.iter().map(|prefix| Ok(parse_prefix(prefix)?.to_string()));
    let prefixes = prefixes.collect::<Result<_, Trouble>>()?;
    let options = parse_provider_options(&args.options.join(","))?;
    check_options(&source, &options)?;
    let text = source.to_string();
    if source.local_directory().is_some_and(|directory| directory.to_str().is_none()) {
        return Err(Trouble::failed(format!(
            "source \"{}\" is not UTF-8",
            printable(text.as_bytes())
        )));
    }
    let option = |(key, value): &(String, String)| match value.is_empty() {
        true => key.clone(),
        false => format!("{key}={value}"),
    };
    let options = options.iter().map(option).collect();
    Ok(ProviderWords { name: name.to_owned(), prefixes, source: text, options })
}

/// One change to be asked for.
struct Asking<'a> {
    verb: &'static str,
    provider: &'a str,
    target: Target,
    call: ProviderCall,
    /// How what goes is stopped.
    leaving: Option<&'a LeavingArgs>,
}

fn add(args: &ProviderAddArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?;
    let words = words(&args.provider, &args.prefix, &args.source)?;
    let call = ProviderCall::Add(words);
    let asking =
        Asking { verb: "provider add", provider: &args.provider, target, call, leaving: None };
    asking.run(args.waiting, args.json, &TableArgs::default())
}

fn remove(args: &ProviderRemoveArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?;
    let call = ProviderCall::Remove(args.provider.clone(), args.leaving.options());
    let leaving = Some(&args.leaving);
    let asking =
        Asking { verb: "provider remove", provider: &args.provider, target, call, leaving };
    asking.run(args.waiting, args.json, &args.table)
}

fn replace(args: &ProviderReplaceArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?;
    let words = words(&args.provider, &[], &args.source)?;
    let call = ProviderCall::Replace(words, args.leaving.options());
    let leaving = Some(&args.leaving);
    let asking =
        Asking { verb: "provider replace", provider: &args.provider, target, call, leaving };
    asking.run(args.waiting, args.json, &TableArgs::default())
}

impl Asking<'_> {
    fn run(
        &self,
        waiting: WaitingArgs,
        json: JsonArgs,
        table: &TableArgs,
    ) -> Result<Exit, Trouble> {
        let layout = holders::layout(table)?;
        let mut client = self.target.connect()?;
        let answer = if waiting.no_wait { self.post(&mut client) } else { self.wait(&mut client) };
        answer?.print(json.json, &layout)
    }

    fn post(&self, client: &mut Client) -> Result<Answer, Trouble> {
        let reply = client.change_providers(&self.call);
        let reply = reply.map_err(|error| explain(&self.target.name, &error))?;
        let mut answer = match (reply.report, reply.ticket) {
            (Some(report), _) => self.ended(client, report),
            (None, Some(ticket)) => {
                self.answer(judge::provider_pending(&self.label(), self.verb, ticket))
            }
            (None, None) => {
                return Err(Trouble::unreachable(format!(
                    "{}: the daemon answered with neither a ticket nor a report",
                    self.target.name
                )));
            }
        };
        answer.ticket = reply.ticket;
        Ok(answer)
    }

    fn wait(&self, client: &mut Client) -> Result<Answer, Trouble> {
        let vigil = Vigil::new()?;
        let ends_at = self.leaving.filter(|leaving| leaving.deadline.is_some());
        let ends_at = ends_at.map(|leaving| leaving.on_deadline.unwrap_or_default());
        let watched = Target { provider: Some(self.provider.to_owned()), ..self.target.clone() };
        vigil.keep(client, &watched, ends_at);
        let (mut ticket, mut stays) = (None, None);
        let outcome = client.change_providers_streaming(&self.call, &mut |progress| {
            match progress {
                Progress::Pending { ticket: posted, .. } => {
                    ticket = Some(posted);
                    if self.leaving.is_some() {
                        let label = self.label();
                        print::note(&format!("{label}: accepted (ticket {posted}), waiting"));
                    }
                }
                Progress::Event(event) => stays = self.stays(&event),
                Progress::Joined(_) => {}
            }
            if stays.is_some() { ControlFlow::Break(()) } else { vigil.go_on() }
        });
        client.while_waiting(|| ControlFlow::Continue(()));
        let mut answer = match outcome {
            Ok(Some(report)) => self.ended(client, report),
            Ok(None) | Err(ClientError::Interrupted)
                if stays.is_some() || vigil.deadline_passed() =>
            {
                client.about(stays.or_else(|| Some(self.provider.to_owned())));
                let status = client.status();
                let status = status.map_err(|error| explain(&self.target.name, &error))?;
                self.answer(judge::deadline_passed(&self.label(), ticket, &status))
            }
            Ok(None) | Err(ClientError::Interrupted) => {
                self.answer(judge::interrupted(&self.target.name, ticket))
            }
            Err(error) => return Err(explain(&self.target.name, &error)),
        };
        answer.ticket = answer.ticket.or(ticket);
        Ok(answer)
    }

    /// Whose stop goes on after its deadline, if this event says so: what was replaced is called
    /// otherwise by then.
    fn stays(&self, event: &Event) -> Option<String> {
        let stay = Notice::Deadline { on_deadline: OnDeadline::Stay };
        let rest = event.device.strip_prefix(self.provider)?;
        let its = rest.is_empty() || rest.starts_with('~') || rest.starts_with(":/");
        let number = rest.split(':').next().unwrap_or_default();
        let name = || format!("{}{number}", self.provider);
        (its && event.what == EventKind::Notice(stay)).then(name)
    }

    /// The end of a change.
    fn ended(&self, client: &mut Client, report: Report) -> Answer {
        let verdict = judge::provider_ended(&self.label(), self.verb, &report);
        let mut answer = self.answer(verdict);
        answer.ticket = report.ticket;
        answer.report = Some(report);
        answer.find_holders_of(client, self.provider);
        answer
    }

    fn label(&self) -> String {
        locate::label(&self.target.name, Some(self.provider))
    }

    fn answer(&self, verdict: Verdict) -> Answer {
        let mut answer = Answer::new(self.verb, &self.target.name, verdict);
        answer.provider = Some(self.provider.to_owned());
        answer
    }
}
