//! What did not reach the server: what a user can say of it, and the lines and rows he reads; pure.

use crate::base::ids::Caller;
use crate::base::stop::Loss;
use crate::base::units::{count, size};
use crate::base::unsent::{UnsentEntry, UnsentOutcome, UnsentResult, UnsentSummary};
use crate::cli::args::{JsonArgs, TableArgs};
use crate::cli::exit::{Exit, Trouble};
use crate::cli::table::{Layout, printable};
use crate::cli::view::{self, time_text};
use crate::mgmt::proto::{MountStatus, UnsentReply};
use clap::Args;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;

/// `minirdr unsent`.
#[derive(Clone, Debug, Args)]
pub struct UnsentArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Put it on the server; what could not be stays kept, exit 1
    #[arg(long, conflicts_with = "discard")]
    pub replay: bool,
    /// Replay also over files that changed since, or that another file has replaced
    #[arg(long, requires = "replay", conflicts_with = "discard")]
    pub force: bool,
    /// Remove it; it is not on the server then and nowhere else
    #[arg(long)]
    pub discard: bool,
    /// How the table looks.
    #[command(flatten)]
    pub table: TableArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

const COLUMNS: &[&str] =
    &["PATH", "BYTES", "WHEN", "KEPT", "ERROR", "NUMBER", "OFFSET", "HOLDER", "UID", "FILE"];
const USUAL: usize = 5;

/// The layout of the table of what is unsent.
///
/// # Errors
/// Usage: a column that does not exist.
pub fn layout(table: &TableArgs) -> Result<Layout, Trouble> {
    Layout::new(COLUMNS, USUAL, &table.columns, !table.no_header)
}

/// `vim[4502]`; empty when nothing is known.
fn who(command: Option<&str>, caller: Caller) -> String {
    let command = command.map(|name| printable(name.as_bytes()));
    match (command, caller.pid) {
        (Some(command), pid) => format!("{command}[{pid}]"),
        (None, 0) => String::new(),
        (None, pid) => format!("?[{pid}]"),
    }
}

/// The lines of a stop's losses, one a file: bytes, who wrote them, where they are kept or why not.
#[must_use]
pub fn loss_lines(losses: &[Loss]) -> Vec<String> {
    files(losses).iter().map(|losses| loss_line(losses)).collect()
}

/// How many files a stop's losses are of.
#[must_use]
pub fn loss_files(losses: &[Loss]) -> u64 {
    files(losses).len() as u64
}

/// Losses of each file together, files in the order of their first.
fn files(losses: &[Loss]) -> Vec<Vec<&Loss>> {
    let mut files: Vec<Vec<&Loss>> = Vec::new();
    for loss in losses {
        match files.iter_mut().find(|file| file[0].path == loss.path) {
            Some(file) => file.push(loss),
            None => files.push(vec![loss]),
        }
    }
    files
}

fn loss_line(losses: &[&Loss]) -> String {
    let bytes: u64 = losses.iter().map(|loss| loss.bytes).sum();
    let path = match losses.first().map(|loss| printable(&loss.path)) {
        Some(path) if !path.is_empty() => path,
        Some(_) | None => "?".to_owned(),
    };
    let mut line = format!("  {path}  {}", size(bytes));
    let mut holders: Vec<String> =
        losses.iter().map(|loss| who(loss.command.as_deref(), loss.written_by)).collect();
    holders.retain(|holder| !holder.is_empty());
    holders.sort();
    holders.dedup();
    if !holders.is_empty() {
        line.push_str(&format!("  {}", holders.join(", ")));
    }
    let kept: Vec<&str> = losses.iter().filter_map(|loss| loss.kept_in.as_deref()).collect();
    let error = losses.iter().find(|loss| loss.kept_in.is_none()).map(|loss| &loss.error);
    let place = match kept.as_slice() {
        [] => None,
        [file] => Some(printable(file.as_bytes())),
        [file, ..] => {
            let directory = Path::new(file).parent().unwrap_or(Path::new("")).to_string_lossy();
            Some(format!(
                "{}, {}",
                printable(directory.as_bytes()),
                count(kept.len() as u64, "file")
            ))
        }
    };
    match (place, error) {
        (Some(place), None) => line.push_str(&format!("  kept in {place}")),
        (Some(place), Some(error)) => {
            let error = printable(error.as_bytes());
            line.push_str(&format!("  in part kept in {place}; the rest: {error}"));
        }
        (None, Some(error)) => line.push_str(&format!("  {}", printable(error.as_bytes()))),
        (None, None) => {}
    }
    line
}

/// What to do about what is kept, as a line of its own; none when nothing is.
#[must_use]
pub fn hint(name: &str, summary: UnsentSummary) -> Option<String> {
    if summary.files == 0 {
        return None;
    }
    let (files, bytes) = (count(summary.files, "unsent file"), size(summary.bytes));
    Some(format!("{files}, {bytes}: `minirdr unsent {name} --replay|--discard`"))
}

/// Of a mount.
#[must_use]
pub fn summary(status: &MountStatus) -> UnsentSummary {
    UnsentSummary { files: status.unsent_files, bytes: status.unsent_files_bytes }
}

/// The summary line, then the table.
#[must_use]
pub fn list_lines(name: &str, reply: &UnsentReply, layout: &Layout) -> Vec<String> {
    let UnsentSummary { files, bytes } = UnsentSummary::of(&reply.entries);
    let summary = match (files, reply.entries.len()) {
        (0, 0) => format!("{name}: nothing unsent"),
        (0, _) => format!("{name}: nothing unsent; what was kept has arrived"),
        // Hidden paths are all alike.
        _ if reply.redacted => {
            format!(
                "{name}: {}, {}",
                count(reply.entries.len() as u64, "unsent write"),
                size(bytes)
            )
        }
        _ => format!("{name}: {}, {}", count(files, "unsent file"), size(bytes)),
    };
    let mut lines = vec![summary];
    lines.extend(layout.lines(&reply.entries.iter().map(row).collect::<Vec<_>>()));
    lines
}

fn row(entry: &UnsentEntry) -> Vec<String> {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let kept = match (entry.arrived, &entry.kept_in) {
        (true, _) => "arrived",
        (false, Some(_)) => "yes",
        (false, None) => "no",
    };
    let offset = match (entry.append, entry.offset) {
        (true, _) => "end".to_owned(),
        (false, Some(offset)) => offset.to_string(),
        (false, None) => "-".to_owned(),
    };
    vec![
        or_dash(printable(&entry.path)),
        size(entry.bytes),
        time_text(entry.lost_unix_s),
        kept.to_owned(),
        or_dash(printable(entry.error.as_bytes())),
        entry.number.to_string(),
        offset,
        or_dash(who(entry.command.as_deref(), entry.written_by)),
        entry.written_by.uid.to_string(),
        or_dash(printable(entry.kept_in.as_deref().unwrap_or_default().as_bytes())),
    ]
}

/// The JSON of the list.
#[must_use]
pub fn list_json(name: &str, reply: &UnsentReply) -> Value {
    let UnsentSummary { files, bytes } = UnsentSummary::of(&reply.entries);
    let body = json!({
        "name": name,
        "unsent_files": files,
        "unsent_files_bytes": bytes,
        "entries": reply.entries,
        "redacted": reply.redacted,
    });
    view::envelope("unsent", &body)
}

/// How a replay or discard ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its exit code.
    pub exit: Exit,
    /// The summary line, then a line for each that failed.
    pub lines: Vec<String>,
}

/// Judges a replay or discard.
#[must_use]
pub fn settled(name: &str, outcomes: &[UnsentOutcome]) -> Settled {
    use UnsentResult::{Arrived, Discarded, Failed, Replayed};
    if outcomes.is_empty() {
        return Settled { exit: Exit::DONE, lines: vec![format!("{name}: nothing unsent")] };
    }
    let mut parts = Vec::new();
    for (result, word) in [
        (Replayed, "replayed"),
        (Discarded, "discarded"),
        (Arrived, "had arrived"),
        (Failed, "still unsent"),
    ] {
        let (mut writes, mut bytes) = (0, 0);
        for outcome in outcomes.iter().filter(|outcome| outcome.result == result) {
            writes += 1;
            bytes += outcome.bytes;
        }
        if writes > 0 {
            parts.push(format!("{}, {}, {word}", count(writes, "write"), size(bytes)));
        }
    }
    let mut lines = vec![format!("{name}: {}", parts.join("; "))];
    let failed = || outcomes.iter().filter(|outcome| outcome.result == Failed);
    lines.extend(failed().map(|outcome| {
        let error = printable(outcome.error.as_deref().unwrap_or("failed").as_bytes());
        let path = match printable(&outcome.path) {
            path if path.is_empty() => "?".to_owned(),
            path => path,
        };
        format!("  {path}  {}  {error}", size(outcome.bytes))
    }));
    let exit = if failed().next().is_some() { Exit::FAILED } else { Exit::DONE };
    Settled { exit, lines }
}

/// The JSON of a replay or discard.
#[must_use]
pub fn settled_json(name: &str, action: &str, outcomes: &[UnsentOutcome]) -> Value {
    let settled = settled(name, outcomes);
    let body = json!({
        "name": name,
        "action": action,
        "message": settled.lines.first(),
        "exit_code": settled.exit.0,
        "outcomes": outcomes,
    });
    view::envelope("unsent", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(path: &str, bytes: u64, kept_in: Option<&str>) -> Loss {
        Loss {
            path: path.as_bytes().to_vec(),
            bytes,
            error: "write had no answer from the server".to_owned(),
            written_by: Caller::local(4502, 0, 0),
            command: Some("vim".to_owned()),
            kept_in: kept_in.map(str::to_owned),
        }
    }

    /// S-51: a line a file, with who wrote it and where its bytes are.
    #[test]
    fn losses_are_told_by_file() {
        let unknown = Loss { command: None, written_by: Caller::default(), ..loss("", 3, None) };
        let losses = [
            loss("notes.md", 12_595, Some("/s/work/unsent/1.data")),
            loss("b\n", 1, Some("/s/work/unsent/2.data")),
            loss("b\n", 1, Some("/s/work/unsent/3.data")),
            loss("c", 1, Some("/s/work/unsent/4.data")),
            loss("c", 1, None),
            unknown,
        ];
        assert_eq!(loss_files(&losses), 4);
        assert_eq!(
            loss_lines(&losses),
            [
                "  notes.md  12.3 KiB  vim[4502]  kept in /s/work/unsent/1.data",
                "  b\\x0a  2 B  vim[4502]  kept in /s/work/unsent, 2 files",
                "  c  2 B  vim[4502]  in part kept in /s/work/unsent/4.data; \
                 the rest: write had no answer from the server",
                "  ?  3 B  write had no answer from the server",
            ]
        );
    }

    fn entry(path: &str, arrived: bool, kept: bool) -> UnsentEntry {
        UnsentEntry {
            number: 3,
            path: path.as_bytes().to_vec(),
            file_number: 5,
            offset: Some(7),
            bytes: 1024,
            error: "gone".to_owned(),
            lost_unix_s: 1_795_223_527.0,
            arrived,
            kept_in: kept.then(|| "/s/3.data".to_owned()),
            ..UnsentEntry::default()
        }
    }

    #[test]
    fn what_is_unsent_is_listed() {
        let table = TableArgs::default();
        let layout = layout(&table).expect("all columns");
        let lines = |entries: Vec<UnsentEntry>| {
            list_lines("bk", &UnsentReply { entries, redacted: false }, &layout)
        };
        assert_eq!(lines(Vec::new()), ["bk: nothing unsent"]);
        let arrived = lines(vec![entry("a", true, true)]);
        assert_eq!(arrived[0], "bk: nothing unsent; what was kept has arrived");
        assert_eq!(
            lines(vec![entry("a", false, true), entry("a", false, false)]),
            [
                "bk: 1 unsent file, 2.0 KiB",
                "PATH  BYTES    WHEN                  KEPT  ERROR",
                "a     1.0 KiB  2026-11-21T01:12:07Z  yes   gone",
                "a     1.0 KiB  2026-11-21T01:12:07Z  no    gone",
            ]
        );
        let wanted = ["file", "offset", "holder"].map(str::to_owned).to_vec();
        let layout = self::layout(&TableArgs { columns: wanted, no_header: true }).expect("known");
        let reply = UnsentReply { entries: vec![entry("a", false, true)], redacted: false };
        assert_eq!(list_lines("bk", &reply, &layout)[1], "/s/3.data  7  -");
    }

    /// S-53: what could not be replayed is named, and the exit code says so.
    #[test]
    fn a_replay_says_what_it_did() {
        let outcome = |result, error: Option<&str>| {
            UnsentOutcome::of(&entry("a", false, true), result, error.map(str::to_owned))
        };
        assert_eq!(settled("bk", &[]).lines, ["bk: nothing unsent"]);
        let good = settled("bk", &[outcome(UnsentResult::Replayed, None)]);
        assert_eq!(good.lines, ["bk: 1 write, 1.0 KiB, replayed"]);
        assert_eq!(good.exit, Exit::DONE);
        let mixed = settled(
            "bk",
            &[
                outcome(UnsentResult::Arrived, None),
                outcome(UnsentResult::Failed, Some("the file is gone")),
            ],
        );
        assert_eq!(
            mixed.lines,
            [
                "bk: 1 write, 1.0 KiB, had arrived; 1 write, 1.0 KiB, still unsent",
                "  a  1.0 KiB  the file is gone",
            ]
        );
        assert_eq!(mixed.exit, Exit::FAILED);
    }

    #[test]
    fn what_to_do_is_said_only_when_there_is_something() {
        assert_eq!(hint("bk", UnsentSummary::default()), None);
        assert_eq!(
            hint("bk", UnsentSummary { files: 2, bytes: 5 }).as_deref(),
            Some("2 unsent files, 5 B: `minirdr unsent bk --replay|--discard`")
        );
    }
}
