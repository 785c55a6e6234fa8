//! The words of `minirdr provider`.

use super::{Bound, IfBusy, JsonArgs, TableArgs, bound, on_deadline, seconds, stop_mode};
use crate::base::stop::{OnDeadline, StopMode, StopOptions};
use crate::base::units::parse_duration;
use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::time::Duration;

/// One provider of a mount of several.
#[derive(Clone, Debug, Default, Args)]
pub struct PartArgs {
    /// Only this provider of the mount, not all of it
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
}

/// `minirdr provider`.
#[derive(Clone, Debug, Args)]
pub struct ProviderVerbArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: ProviderAction,
}

/// What `minirdr provider` does.
#[derive(Clone, Debug, Subcommand)]
pub enum ProviderAction {
    /// List the providers of a mount, one line for each prefix
    List(ProviderListArgs),
    /// Show one more source in a mount
    Add(ProviderAddArgs),
    /// Stop a provider in the orderly way, and show it no longer
    Remove(ProviderRemoveArgs),
    /// Show another source in the place of a provider's, under the same prefixes
    Replace(ProviderReplaceArgs),
}

/// `minirdr provider list`.
#[derive(Clone, Debug, Args)]
pub struct ProviderListArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// How the table looks.
    #[command(flatten)]
    pub table: TableArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Whether the end is waited for.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct WaitingArgs {
    /// Wait for its end (the default)
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Answer at once, pending
    #[arg(long, overrides_with = "wait")]
    pub no_wait: bool,
}

/// What a provider shows.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// What it shows, as `mount` takes it: memory:, local:DIR, faulty:SOURCE
    #[arg(long, value_name = "SOURCE")]
    pub source: OsString,
    /// Options of its mini-redirector, comma-separated
    #[arg(short = 'o', long = "options", value_name = "OPTS")]
    pub options: Vec<String>,
}

/// `minirdr provider add`.
#[derive(Clone, Debug, Args)]
pub struct ProviderAddArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// The new provider's name
    #[arg(long, value_name = "PROVIDER")]
    pub provider: String,
    /// Where it is shown, from the mount's root; as often as there are places
    #[arg(long, value_name = "PATH", required = true)]
    pub prefix: Vec<String>,
    /// What it shows.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Whether the end is waited for.
    #[command(flatten)]
    pub waiting: WaitingArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// How a provider is stopped.
#[derive(Clone, Debug, Args)]
pub struct LeavingArgs {
    /// Let open handles keep working this long first; new opens are refused
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// Bound of the stop: 30s, 5m, 1h30m, infinity
    #[arg(long, value_name = "T", value_parser = bound)]
    pub deadline: Option<Bound>,
    /// What the stop does at its deadline
    ///
    /// resume: be as it was, exit 12; of a provider that goes, not of one that is replaced. stay:
    /// keep draining. cancel: cancel what can be and give up what a server never answers, exit 13
    /// if data was lost. abort: stop now.
    #[arg(long, value_name = "POLICY", value_parser = on_deadline(), requires = "deadline")]
    pub on_deadline: Option<OnDeadline>,
    /// How hard it is from its beginning
    ///
    /// drain: what runs finishes. cancel: what can be cancelled is, at once. abort: nothing is
    /// waited for.
    #[arg(long, value_parser = stop_mode(), default_value = "drain", hide_default_value = true)]
    pub mode: StopMode,
    /// What it does when handles are open
    #[arg(long, value_enum, default_value = "stop", hide_default_value = true)]
    pub if_busy: IfBusy,
    /// Why; kept with the report
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `minirdr provider remove`.
#[derive(Clone, Debug, Args)]
pub struct ProviderRemoveArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// The provider's name
    #[arg(long, value_name = "PROVIDER")]
    pub provider: String,
    /// How it is stopped.
    #[command(flatten)]
    pub leaving: LeavingArgs,
    /// Whether the end is waited for.
    #[command(flatten)]
    pub waiting: WaitingArgs,
    /// How the table of holders looks.
    #[command(flatten)]
    pub table: TableArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// `minirdr provider replace`.
#[derive(Clone, Debug, Args)]
pub struct ProviderReplaceArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// The provider's name
    #[arg(long, value_name = "PROVIDER")]
    pub provider: String,
    /// What it shows from then on.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How what was shown is stopped.
    #[command(flatten)]
    pub leaving: LeavingArgs,
    /// Whether the end is waited for.
    #[command(flatten)]
    pub waiting: WaitingArgs,
    /// How the holders are not shown: `-o` is the options here.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl LeavingArgs {
    /// What the daemon is asked.
    #[must_use]
    pub fn options(&self) -> StopOptions {
        StopOptions {
            mode: self.mode,
            grace_s: self.grace.map(|grace| grace.as_secs_f64()),
            deadline_s: seconds(self.deadline),
            on_deadline: self.on_deadline.unwrap_or_default(),
            refuse_if_busy: self.if_busy == IfBusy::Refuse,
            unmount: false,
            lazy: false,
            reason: self.reason.clone(),
        }
    }
}
