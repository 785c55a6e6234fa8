//! Words to a [`Verb`]; pure.

pub mod provider;
mod remote;
mod tools;

use crate::app::options::{on_deadline_word, parse_on_deadline};
use crate::base::stop::{OnDeadline, StopMode, StopOptions};
use crate::base::units::{parse_bound, parse_duration};
pub use crate::cli::commands::watch_path::WatchArgs;
use crate::cli::exit::Trouble;
pub use crate::cli::helper::install::InstallArgs;
pub use crate::cli::unsent::UnsentArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
pub use provider::PartArgs;
use provider::ProviderVerbArgs;
use remote::RpcArgs;
pub use remote::{RpcAction, RpcVerbArgs};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use tools::{CompletionsArgs, DemoArgs, ManArgs};

/// The network mount that tells the truth when it stops.
#[derive(Debug, Parser)]
#[command(name = "minirdr", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do. Every NAME is a mount's name or its mount point.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Mount a source on a directory
    Mount(MountArgs),
    /// List the mounts of this user (root: of everybody)
    List(ListArgs),
    /// Tell how a mount is: its state, requests, handles, unsent bytes
    Status(StatusArgs),
    /// List open handles and everything else that holds a mount
    Handles(WatchTableArgs),
    /// List requests in flight, oldest first
    Requests(WatchTableArgs),
    /// Stop a mount in the orderly way; it stays mounted unless told otherwise
    Stop(StopArgs),
    /// Start a stopped mount again, under the same mount point
    Start(StartArgs),
    /// Refuse new opens; open handles keep working
    Pause(NameArgs),
    /// Take back a pause, or a stop that is still draining
    Resume(NameArgs),
    /// Wait for the end of a stop or start
    Wait(WaitArgs),
    /// Show what happened to a mount, in order
    Events(EventsArgs),
    /// Show what changes at a path of a mount, as it happens
    Watch(WatchArgs),
    /// Print the numbers of a mount, as Prometheus reads them
    Metrics(MetricsArgs),
    /// Stop, wait and unmount
    Umount(UmountArgs),
    /// List, add, remove or replace the providers of a mount of several
    Provider(ProviderVerbArgs),
    /// Let remote management listen again, stop it, or tell how it is
    Rpc(RpcVerbArgs),
    /// List, replay or discard what a stop could not put on the server
    Unsent(UnsentArgs),
    /// Show it all in a minute: no server, no root, nothing left behind
    Demo(DemoArgs),
    /// Check what this machine needs, and find what was left behind
    Doctor(JsonArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Write the manual pages into a directory
    Man(ManArgs),
    /// Put in place what mount(8), umount(8), systemd and man look for
    InstallHelpers(InstallArgs),
}

/// `--json`, alone.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct JsonArgs {
    /// Answer with JSON, schema "minirdr/1"
    #[arg(long)]
    pub json: bool,
}

/// How tables look.
#[derive(Clone, Debug, Default, Args)]
pub struct TableArgs {
    /// Show only these columns, in this order
    #[arg(short = 'o', long = "output", value_name = "COL,…", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Leave the header out
    #[arg(short, long)]
    pub no_header: bool,
}

/// A mount, and how to answer.
#[derive(Clone, Debug, Args)]
pub struct NameArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Which part of it.
    #[command(flatten)]
    pub part: PartArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// `minirdr mount`.
#[derive(Clone, Debug, Args)]
#[command(override_usage = "minirdr mount [OPTIONS] <SOURCE> <DIR>\n       \
    minirdr mount [OPTIONS] --config <FILE> <DIR>")]
pub struct MountArgs {
    /// What to mount: memory:, local:DIR, faulty:SOURCE; with --config there is DIR alone
    // Clap's own way to leave the first of two out does not know `--`, which units need.
    #[arg(value_name = "SOURCE")]
    pub first: OsString,
    /// Where to mount it
    #[arg(value_name = "DIR", required_unless_present = "config", conflicts_with = "config")]
    pub second: Option<PathBuf>,
    /// Several providers, as FILE says, instead of one SOURCE; SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Mount options, comma-separated
    #[arg(short = 'o', long = "options", value_name = "OPTS")]
    pub options: Vec<String>,
    /// The mount's name; default: the last component of DIR
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Stay in the foreground and log to stderr
    #[arg(short, long)]
    pub foreground: bool,
    /// Write the daemon's log to FILE
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Remote management.
    #[command(flatten)]
    pub rpc: RpcArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
    /// This process is the daemon `mount` started: its stdout is the pipe its parent waits on. Said
    /// by [`READY_ON_STDOUT`], never by a user.
    #[arg(skip)]
    pub ready_on_stdout: bool,
    /// Only look whether it could be mounted, as `mount -f` of mount(8): change nothing.
    #[arg(skip)]
    pub rehearsal: bool,
}

/// `minirdr list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// How the table looks.
    #[command(flatten)]
    pub table: TableArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// `minirdr status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Which part of it.
    #[command(flatten)]
    pub part: PartArgs,
    /// Go on, with a line whenever something changed
    #[arg(short, long)]
    pub watch: bool,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// `minirdr handles` and `minirdr requests`.
#[derive(Clone, Debug, Args)]
pub struct WatchTableArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Go on, with a line for whoever comes and goes
    #[arg(short, long)]
    pub watch: bool,
    /// How the table looks.
    #[command(flatten)]
    pub table: TableArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// What `stop --if-busy` may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum IfBusy {
    /// Stop all the same.
    #[default]
    Stop,
    /// Change nothing when handles are open.
    Refuse,
}

/// `minirdr stop`.
#[derive(Clone, Debug, Args)]
pub struct StopArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Which part of it.
    #[command(flatten)]
    pub part: PartArgs,
    /// Only tell what a stop would wait for; change nothing
    #[arg(long, conflicts_with_all = ["wait", "no_wait", "unmount", "grace", "deadline",
        "on_deadline", "mode", "if_busy", "reason"])]
    pub check: bool,
    /// Let open handles keep working this long first; new opens are refused
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// Bound of the stop: 30s, 5m, 1h30m, infinity
    #[arg(long, value_name = "T", value_parser = bound)]
    pub deadline: Option<Bound>,
    /// What the stop does at its deadline
    ///
    /// resume: be as it was, exit 12. stay: keep draining, exit 11. cancel: cancel what can be and
    /// give up what a server never answers, exit 13 if data was lost. abort: stop now.
    #[arg(long, value_name = "POLICY", value_parser = on_deadline(), requires = "deadline")]
    pub on_deadline: Option<OnDeadline>,
    /// How hard it is from its beginning
    ///
    /// drain: what runs finishes. cancel: what can be cancelled is, at once. abort: nothing is
    /// waited for.
    #[arg(long, value_parser = stop_mode(), default_value = "drain", hide_default_value = true)]
    pub mode: StopMode,
    /// Take only this handle from its holder, with --mode cancel; stop nothing else
    ///
    /// Its number is in the column HANDLE of `minirdr handles NAME -o HANDLE,HOLDER,PATH`. What was
    /// written to it still goes to the server.
    #[arg(long, value_name = "N", conflicts_with_all = ["check", "wait", "no_wait",
        "unmount", "grace", "deadline", "on_deadline", "if_busy", "reason", "strict"])]
    pub handle: Option<u64>,
    /// What it does when handles are open
    #[arg(long, value_enum, default_value = "stop", hide_default_value = true)]
    pub if_busy: IfBusy,
    /// Wait for its end
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Answer at once, pending (the default)
    #[arg(long, overrides_with = "wait")]
    pub no_wait: bool,
    /// Take the mount out of the namespace, too
    #[arg(long)]
    pub unmount: bool,
    /// Why; kept with the report
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// End with 14 when it was stopped already
    #[arg(long)]
    pub strict: bool,
    /// How the table of holders looks.
    #[command(flatten)]
    pub table: TableArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// `minirdr start`.
#[derive(Clone, Debug, Args)]
pub struct StartArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Which part of it.
    #[command(flatten)]
    pub part: PartArgs,
    /// Answer at once, pending
    #[arg(long)]
    pub no_wait: bool,
    /// End with 14 when it was running already
    #[arg(long)]
    pub strict: bool,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// What `wait --for` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WaitState {
    /// The mount serves.
    Running,
    /// The mount is stopped.
    Stopped,
}

/// `minirdr wait`.
#[derive(Clone, Debug, Args)]
pub struct WaitArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Which part of it.
    #[command(flatten)]
    pub part: PartArgs,
    /// The ticket of a pending stop or start; default: the one that runs, else until it is stopped
    #[arg(long, value_name = "N", conflicts_with = "wait_for")]
    pub ticket: Option<u64>,
    /// The state to wait for
    #[arg(long = "for", value_name = "STATE", value_enum)]
    pub wait_for: Option<WaitState>,
    /// Give up after this long
    #[arg(long, value_name = "T", value_parser = bound)]
    pub timeout: Option<Bound>,
    /// How the table of surviving handles looks.
    #[command(flatten)]
    pub table: TableArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// `minirdr events`.
#[derive(Clone, Debug, Args)]
pub struct EventsArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Go on with what happens next
    #[arg(short, long)]
    pub follow: bool,
    /// Only events after this number
    #[arg(long, value_name = "SEQ")]
    pub since: Option<u64>,
    /// Only events of this device; of numbers that are lost every reader is told
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// What `metrics --format` may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// OpenMetrics 1.0.
    #[default]
    Openmetrics,
    /// Prometheus's older text format, for node_exporter's textfile collector.
    Prometheus,
}

/// `minirdr metrics`.
#[derive(Clone, Debug, Args)]
pub struct MetricsArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// How the text is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "openmetrics")]
    pub format: Format,
}

/// `minirdr umount`.
#[derive(Clone, Debug, Args)]
pub struct UmountArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Detach now, although somebody is inside; the daemon stays until the last handle goes
    #[arg(short, long)]
    pub lazy: bool,
    /// Cancel what waits, and give up after 5 s (mode cancel)
    #[arg(short, long, conflicts_with_all = ["deadline", "on_deadline"])]
    pub force: bool,
    /// Let open handles keep working this long first; new opens are refused
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// Bound of the stop: 30s, 5m, 1h30m, infinity
    #[arg(long, value_name = "T", value_parser = bound)]
    pub deadline: Option<Bound>,
    /// What the stop does at its deadline
    ///
    /// resume: be as it was, exit 12. stay: keep draining, exit 11. cancel: cancel what can be and
    /// give up what a server never answers, exit 13 if data was lost. abort: stop now.
    #[arg(long, value_name = "POLICY", value_parser = on_deadline(), requires = "deadline")]
    pub on_deadline: Option<OnDeadline>,
    /// Why; kept with the report
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How the table of holders looks.
    #[command(flatten)]
    pub table: TableArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// What `mount` mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// One source.
    Source(&'a OsStr),
    /// The providers of a configuration file.
    Config(&'a Path),
}

impl MountArgs {
    /// What to mount.
    #[must_use]
    pub fn what(&self) -> What<'_> {
        match &self.config {
            Some(file) => What::Config(file),
            None => What::Source(&self.first),
        }
    }

    /// Where.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        self.second.as_deref().unwrap_or(Path::new(&self.first))
    }
}

/// A bound of a wait or stop; none: infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(pub Option<Duration>);

fn bound(text: &str) -> Result<Bound, String> {
    parse_bound(text).map(Bound)
}

fn on_deadline() -> impl TypedValueParser<Value = OnDeadline> {
    let policies = [OnDeadline::Resume, OnDeadline::Stay, OnDeadline::Cancel, OnDeadline::Abort];
    PossibleValuesParser::new(policies.map(on_deadline_word))
        .try_map(|word| parse_on_deadline(&word))
}

fn stop_mode() -> impl TypedValueParser<Value = StopMode> {
    PossibleValuesParser::new(["drain", "cancel", "abort"]).map(|word| match word.as_str() {
        "cancel" => StopMode::Cancel,
        "abort" => StopMode::Abort,
        _ => StopMode::Drain,
    })
}

/// How long `umount -f` gives what it cancels (cli.md, mount helpers).
pub(in crate::cli) const FORCED_DEADLINE: Duration = Duration::from_secs(5);

impl StopArgs {
    /// What the daemon is asked.
    #[must_use]
    pub fn options(&self) -> StopOptions {
        StopOptions {
            mode: self.mode,
            grace_s: self.grace.map(|grace| grace.as_secs_f64()),
            deadline_s: seconds(self.deadline),
            on_deadline: self.on_deadline.unwrap_or_default(),
            refuse_if_busy: self.if_busy == IfBusy::Refuse,
            unmount: self.unmount,
            lazy: false,
            reason: self.reason.clone(),
        }
    }
}

impl UmountArgs {
    /// The stop this unmount is.
    #[must_use]
    pub fn options(&self) -> StopOptions {
        let forced = (StopMode::Cancel, Some(FORCED_DEADLINE.as_secs_f64()), OnDeadline::Cancel);
        let (mode, deadline_s, on_deadline) = match self.force {
            true => forced,
            false => {
                (StopMode::Drain, seconds(self.deadline), self.on_deadline.unwrap_or_default())
            }
        };
        StopOptions {
            mode,
            grace_s: self.grace.map(|grace| grace.as_secs_f64()),
            deadline_s,
            on_deadline,
            refuse_if_busy: false,
            unmount: true,
            lazy: self.lazy,
            reason: self.reason.clone(),
        }
    }
}

fn seconds(bound: Option<Bound>) -> Option<f64> {
    bound.and_then(|bound| bound.0).map(|time| time.as_secs_f64())
}

/// What a command line turned out to be.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// A command.
    Verb(Box<Verb>),
    /// Somebody asked for help or the version: print this, exit 0.
    Text(String),
}

/// The word behind `mount` that makes it the daemon; no flag, so that no help and no completion
/// offers it.
pub const READY_ON_STDOUT: &str = "--ready-on-stdout";

/// The words of the daemon that the command of these words starts.
#[must_use]
pub fn daemon_words(words: &[OsString]) -> Vec<OsString> {
    let mut words = words.to_vec();
    words.insert(words.len().min(2), OsString::from(READY_ON_STDOUT));
    words
}

/// Reads a command line, program name first.
///
/// # Errors
/// Usage, in one line.
pub fn parse(words: &[OsString]) -> Result<Parsed, Trouble> {
    let mut words = words.to_vec();
    let is_daemon = words.get(1).is_some_and(|verb| verb == "mount")
        && words.get(2).is_some_and(|word| word == READY_ON_STDOUT);
    if is_daemon {
        words.remove(2);
    }
    match CommandLine::try_parse_from(words) {
        Ok(CommandLine { verb: Verb::Mount(args) }) => {
            Ok(Parsed::Verb(Box::new(Verb::Mount(MountArgs {
                ready_on_stdout: is_daemon,
                ..args
            }))))
        }
        Ok(line) => Ok(Parsed::Verb(Box::new(line.verb))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Text(error.render().to_string()))
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Err(Trouble::usage("no verb given; `minirdr --help` lists them"))
            }
            _ => Err(Trouble::usage(one_line(&error.render().to_string()))),
        },
    }
}

/// Clap's several lines as one: what was wrong, its tips, and where to read on.
pub(in crate::cli) fn one_line(rendered: &str) -> String {
    let mut parts = Vec::new();
    let mut read_on = String::new();
    for line in rendered.lines().map(str::trim) {
        if let Some(usage) = line.strip_prefix("Usage: ") {
            let verb = usage.split(' ').take_while(|word| !word.starts_with(['[', '<', '-']));
            read_on = format!("; see `{} --help`", verb.collect::<Vec<_>>().join(" "));
            break;
        }
        if !line.is_empty() && !line.starts_with("For more information") {
            parts.push(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    let text = parts.join(" ").replace(" tip: ", "; ");
    text.replace("unrecognized subcommand", "there is no verb") + &read_on
}

/// Was `--json` asked for, even on a line that does not parse?
#[must_use]
pub fn wants_json(words: &[OsString]) -> bool {
    words.iter().skip(1).take_while(|word| *word != "--").any(|word| word == "--json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn verb(line: &str) -> Result<Verb, Trouble> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match parse(&words)? {
            Parsed::Verb(verb) => Ok(*verb),
            Parsed::Text(text) => panic!("{line} only prints {text}"),
        }
    }

    fn stop(line: &str) -> StopArgs {
        match verb(line) {
            Ok(Verb::Stop(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn clap_finds_no_fault_in_the_definitions() {
        CommandLine::command().debug_assert();
    }

    /// S-112: one source, or a configuration; the last word is the mount point.
    #[test]
    fn a_mount_is_of_a_source_or_of_a_configuration() {
        let mount = |line: &str| match verb(line) {
            Ok(Verb::Mount(args)) => args,
            other => panic!("{line}: {other:?}"),
        };
        let plain = mount("minirdr mount memory: /x --name t");
        assert_eq!(plain.what(), What::Source(OsStr::new("memory:")));
        assert_eq!(plain.mount_point(), Path::new("/x"));
        let unit = mount("minirdr mount -o rw -- memory: /x");
        assert_eq!((unit.what(), unit.mount_point()), (plain.what(), plain.mount_point()));
        let lines = [
            "mount --config net.toml /x",
            "mount /x --config=net.toml",
            "mount --config net.toml -- /x",
        ];
        for line in lines {
            let args = mount(&format!("minirdr {line}"));
            assert_eq!(args.what(), What::Config(Path::new("net.toml")), "{line}");
            assert_eq!(args.mount_point(), Path::new("/x"), "{line}");
        }
        let both = verb("minirdr mount --config net.toml memory: /x").expect_err("both");
        let line = "the argument '--config <FILE>' cannot be used with '[DIR]'; see `minirdr \
                    mount --help`";
        assert_eq!(both.message, line);
        let help = mount_help();
        assert!(help.contains("minirdr mount [OPTIONS] --config <FILE> <DIR>"), "{help}");
    }

    fn mount_help() -> String {
        let words = ["minirdr", "mount", "--help"].map(OsString::from);
        match parse(&words) {
            Ok(Parsed::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plain_stop_asks_for_the_documents_stop() {
        let args = stop("minirdr stop bk");
        assert_eq!(args.options(), StopOptions::default());
        assert!(!args.wait && !args.check && !args.strict);
    }

    #[test]
    fn a_stop_with_everything() {
        let args = stop(
            "minirdr stop /mnt/bk --grace 5m --wait --deadline 30s --on-deadline resume --mode \
             cancel --unmount --reason upgrade --strict --if-busy=refuse --json",
        );
        assert!(args.wait && args.strict && args.json.json);
        assert_eq!(
            args.options(),
            StopOptions {
                mode: StopMode::Cancel,
                grace_s: Some(300.0),
                deadline_s: Some(30.0),
                on_deadline: OnDeadline::Resume,
                refuse_if_busy: true,
                unmount: true,
                lazy: false,
                reason: Some("upgrade".to_owned()),
            }
        );
        assert_eq!(stop("minirdr stop bk --deadline infinity").options().deadline_s, None);
        assert!(!stop("minirdr stop bk --wait --no-wait").wait, "the later word wins");
        assert!(stop("minirdr stop bk --no-wait --wait").wait, "the later word wins");
    }

    #[test]
    fn umount_is_a_stop_that_unmounts() {
        let options = |line: &str| match verb(line) {
            Ok(Verb::Umount(args)) => args.options(),
            other => panic!("{line}: {other:?}"),
        };
        let plain = StopOptions { unmount: true, ..StopOptions::default() };
        assert_eq!(options("minirdr umount bk"), plain);
        assert_eq!(options("minirdr umount -l bk"), StopOptions { lazy: true, ..plain.clone() });
        let forced = StopOptions {
            mode: StopMode::Cancel,
            deadline_s: Some(5.0),
            on_deadline: OnDeadline::Cancel,
            ..plain
        };
        assert_eq!(options("minirdr umount -f bk"), forced);
    }

    #[test]
    fn wrong_lines_get_one_line_each_and_exit_2() {
        let cases = [
            ("minirdr", "no verb"),
            ("minirdr frob", "frob"),
            ("minirdr stop", "<NAME>"),
            ("minirdr stop bk --frob", "--frob"),
            ("minirdr stop bk --deadline soon", "30s, 5m, 1h30m"),
            ("minirdr stop bk --on-deadline stay", "--deadline"),
            ("minirdr stop bk --deadline 1s --on-deadline kill", "resume, stay, cancel, abort"),
            ("minirdr stop bk --check --wait", "--wait"),
            ("minirdr stop bk --mode hard", "drain, cancel, abort"),
            ("minirdr mount memory:", "<DIR>"),
            ("minirdr mount --config net.toml", "<SOURCE>"),
            ("minirdr mount --config net.toml memory: /x", "--config"),
            ("minirdr mount /x --config", "<FILE>"),
            ("minirdr mount memory: /x --rpc tcp:1", "ncacn_ip_tcp:127.0.0.1[PORT]"),
            ("minirdr mount memory: /x --rpc ncalrpc:[x]", "absolute"),
            ("minirdr mount memory: /x --rpc-stop=mount", "--rpc"),
            ("minirdr mount memory: /x --rpc ncalrpc:[/x] --rpc-stop=all", "server, mount"),
            ("minirdr mount memory: /x --rpc ncalrpc:[/x] --rpc-allow-stop=10/8", "192.0.2.0/24"),
            ("minirdr mount memory: /x --rpc-allow-stop=::1", "--rpc"),
            ("minirdr wait bk --ticket x", "x"),
            ("minirdr rpc bk", "<ACTION>"),
            ("minirdr rpc bk halt", "listen, stop, status"),
            ("minirdr wait bk --ticket 1 --for running", "--for"),
            ("minirdr umount bk -f --deadline 1s", "--deadline"),
            ("minirdr unsent bk --replay --discard", "--discard"),
            ("minirdr unsent bk --discard --force", "--force"),
            ("minirdr unsent bk --force", "--replay"),
            ("minirdr completions tcsh", "bash"),
        ];
        for (line, part) in cases {
            let trouble = verb(line).expect_err(line);
            assert_eq!(trouble.code, "usage", "{line}");
            assert!(trouble.message.contains(part), "{line}: {trouble}");
            assert!(!trouble.message.contains('\n'), "{line}: {trouble}");
            assert!(!trouble.message.starts_with("error"), "{line}: {trouble}");
        }
        let trouble = verb("minirdr stop bk --wiat").expect_err("misspelt");
        assert!(trouble.message.contains("--wait"), "the tip is kept: {trouble}");
        assert!(trouble.message.ends_with("see `minirdr stop --help`"), "{trouble}");
        let trouble = verb("minirdr provider add bk --prefix /z").expect_err("lacks the rest");
        assert!(trouble.message.contains("--source"), "{trouble}");
        assert!(trouble.message.ends_with("see `minirdr provider add --help`"), "{trouble}");
    }

    #[test]
    fn a_daemon_has_its_parents_words_and_one_more_in_one_place() {
        let words = ["minirdr", "mount", "memory:", "--", "-dir"].map(OsString::from);
        let daemon = daemon_words(&words);
        assert_eq!(daemon[1..3], ["mount", READY_ON_STDOUT].map(OsString::from));
        let is_daemon = |words: &[OsString]| match parse(words) {
            Ok(Parsed::Verb(verb)) => match *verb {
                Verb::Mount(args) => args.ready_on_stdout && args.mount_point().ends_with("-dir"),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert!(is_daemon(&daemon));
        assert!(!is_daemon(&words));
        assert!(verb("minirdr mount memory: /x --ready-on-stdout").is_err(), "no user's word");
        assert!(verb("minirdr stop --ready-on-stdout x").is_err(), "no other verb's");
    }

    #[test]
    fn help_and_version_are_no_errors() {
        for line in ["minirdr --help", "minirdr --version", "minirdr stop -h"] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert!(matches!(parse(&words), Ok(Parsed::Text(_))), "{line}");
        }
    }

    #[test]
    fn json_is_noticed_on_a_line_that_does_not_parse() {
        let wants = |line: &str| {
            wants_json(&line.split(' ').map(OsString::from).collect::<Vec<OsString>>())
        };
        assert!(wants("minirdr stop --json --frob"));
        assert!(!wants("minirdr stop --frob"));
        assert!(!wants("minirdr stop -- --json"));
    }
}
