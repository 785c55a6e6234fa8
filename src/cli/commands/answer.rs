//! The answer of every verb that changes a mount or waits for one, as text or JSON.

use crate::base::ids::TicketNumber;
use crate::base::stop::{Report, State};
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders;
use crate::cli::judge::Verdict;
use crate::cli::locate::Target;
use crate::cli::print;
use crate::cli::table::Layout;
use crate::cli::view;
use crate::mgmt::client::Client;
use crate::mgmt::proto::{Holder, MountStatus};
use serde::Serialize;

/// One answer, all of it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The verb, for JSON.
    pub verb: &'static str,
    /// The mount.
    pub name: String,
    /// The provider of it that it is about; none: all of it.
    pub provider: Option<String>,
    /// What it means.
    pub verdict: Verdict,
    /// The ticket of the call, if it was posted.
    pub ticket: Option<TicketNumber>,
    /// The stop or start that ran already.
    pub running_ticket: Option<TicketNumber>,
    /// The state, as far as it is known now.
    pub state: Option<State>,
    /// The report, when it is over.
    pub report: Option<Report>,
    /// Who is in the way, as far as they are listed.
    pub holders: Vec<Holder>,
    /// How many there are.
    pub holders_total: u64,
}

/// What those are called that were a provider of this name and have left, the last one first.
fn names_of_left(client: &mut Client, provider: &str) -> Vec<String> {
    client.about(None);
    let Ok(status) = client.status() else { return Vec::new() };
    let number = |name: &str| name.strip_prefix(provider)?.strip_prefix('~')?.parse::<u64>().ok();
    let aside = status.providers.into_iter().filter(|it| it.aside).map(|it| it.name);
    let mut names: Vec<String> = aside.filter(|name| number(name).is_some()).collect();
    names.sort_by_key(|name| std::cmp::Reverse(number(name)));
    names.dedup();
    names
}

/// The shape of `docs/schema/call.json`.
#[derive(Serialize)]
struct Shape<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    result: &'a str,
    exit_code: u8,
    message: &'a str,
    ticket: Option<TicketNumber>,
    running_ticket: Option<TicketNumber>,
    state: Option<State>,
    report: Option<&'a Report>,
    holders: &'a [Holder],
    holders_total: u64,
}

impl Answer {
    /// An answer with nothing but its verdict.
    #[must_use]
    pub fn new(verb: &'static str, name: &str, verdict: Verdict) -> Self {
        Self {
            verb,
            name: name.to_owned(),
            provider: None,
            verdict,
            ticket: None,
            running_ticket: None,
            state: None,
            report: None,
            holders: Vec::new(),
            holders_total: 0,
        }
    }

    /// The same, about a mount or one provider of it.
    #[must_use]
    pub fn of(verb: &'static str, target: &Target, verdict: Verdict) -> Self {
        Self { provider: target.provider.clone(), ..Self::new(verb, &target.name, verdict) }
    }

    /// The JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        view::envelope(
            self.verb,
            &Shape {
                name: &self.name,
                provider: self.provider.as_deref(),
                result: self.verdict.result,
                exit_code: self.verdict.exit.0,
                message: self.verdict.lines.first().map_or("", String::as_str),
                ticket: self.ticket,
                running_ticket: self.running_ticket,
                state: self.state,
                report: self.report.as_ref(),
                holders: &self.holders,
                holders_total: self.holders_total,
            },
        )
    }

    /// The lines, then who is in the way.
    #[must_use]
    pub fn text(&self, layout: &Layout) -> String {
        let mut lines = self.verdict.lines.clone();
        if self.verdict.list_holders {
            lines.extend(layout.lines(&holders::rows(&self.holders)));
            let more = self.holders_total.saturating_sub(self.holders.len() as u64);
            if more > 0 {
                lines.push(format!("… and {more} more"));
            }
        }
        lines.join("\n")
    }

    /// Prints it and answers its exit code.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn print(&self, json: bool, layout: &Layout) -> Result<Exit, Trouble> {
        let text = if json { self.json().to_string() } else { self.text(layout) };
        print::answer(&text)?;
        Ok(self.verdict.exit)
    }

    /// Fills in who is in the way, where the verdict wants it said: the daemon knows best; when it
    /// is gone, the report does.
    pub fn find_holders(&mut self, client: &mut Client) {
        if !self.verdict.list_holders {
            return;
        }
        (self.holders, self.holders_total) = match client.check() {
            Ok(reply) => (reply.holders, reply.holders_total),
            Err(_) => return self.list_survivors(),
        };
    }

    /// The same where a provider was changed: one that has left is known by another name.
    pub fn find_holders_of(&mut self, client: &mut Client, provider: &str) {
        if !self.verdict.list_holders {
            return;
        }
        // A report without steps is of a stop that was not made: it is there as it was.
        let left = |report: &&Report| report.result.is_stopped() && !report.steps.is_empty();
        let Some(report) = self.report.as_ref().filter(left) else {
            client.about(Some(provider.to_owned()));
            return self.find_holders(client);
        };
        let theirs: Vec<_> = report.survivors.iter().map(|handle| handle.handle).collect();
        for name in names_of_left(client, provider) {
            client.about(Some(name));
            let Ok(reply) = client.check() else { continue };
            let its = |holder: &Holder| holder.handle.is_some_and(|it| theirs.contains(&it));
            if reply.holders.iter().any(its) {
                (self.holders, self.holders_total) = (reply.holders, reply.holders_total);
                return;
            }
        }
        self.list_survivors();
    }

    /// Fills in who is in the way, as the report has it.
    pub fn list_survivors(&mut self) {
        if self.verdict.list_holders {
            let survivors = self.report.iter().flat_map(|report| &report.survivors);
            let total = self.report.as_ref().map_or(0, |report| report.survivors_total);
            let survivors = survivors.map(holders::from_handle).collect();
            (self.holders, self.holders_total) = (survivors, total);
        }
    }

    /// Fills in the state as the daemon tells it.
    pub fn set_status(&mut self, status: Option<&MountStatus>) {
        self.state = status.map(|status| status.state);
    }
}
