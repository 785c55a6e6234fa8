//! `handles`: who holds a mount. Bounded, however many handles are open: the table has the holders,
//! of whom the daemon lists so many and counts the rest, and `--json` is written page by page.

use crate::base::stop::HandleInfo;
use crate::base::units::{count, size};
use crate::cli::args::WatchTableArgs;
use crate::cli::commands::watch::{self, Changes};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders;
use crate::cli::locate::{self, Target, explain};
use crate::cli::print::{self, Reader};
use crate::cli::table::Layout;
use crate::cli::view;
use crate::mgmt::client::Client;
use crate::mgmt::proto::HandlesReply;
use serde_json::Value;
use std::ops::ControlFlow;

/// `minirdr handles`.
///
/// # Errors
/// The daemon cannot be asked; stdout cannot be written; a wrong column.
pub fn handles(args: &WatchTableArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let layout = holders::layout(&args.table)?;
    let target = locate::find(&args.name, environment)?;
    match (args.watch, args.json.json) {
        (true, json) => watch(&target, &layout, json),
        (false, true) => print_json(&target),
        (false, false) => {
            let mut client = target.connect()?;
            let reply = client.holders().map_err(|error| explain(&target.name, &error))?;
            print::answer(&lines(&target.name, &reply, &layout).join("\n"))?;
            Ok(Exit::DONE)
        }
    }
}

/// First the whole table, then a line for each change: how many there are now, and who came and
/// went. With JSON an object a line.
fn watch(target: &Target, layout: &Layout, json: bool) -> Result<Exit, Trouble> {
    let name = &target.name;
    watch::watch(target, Client::holders, |before, now: &HandlesReply| {
        let changes = match before {
            None if json => Changes::default(),
            None => return print::answer(&lines(name, now, layout).join("\n")).map(Some),
            Some(before) => {
                let changes = Changes::between(&before.holders, &now.holders);
                if changes.is_empty() && summary(before) == summary(now) {
                    return Ok(None);
                }
                changes
            }
        };
        let text = match json {
            true => watch_json(name, now, &changes).to_string(),
            false => watch::stamped(&[summary(now), changes.text()].join("  ")),
        };
        print::answer(text.trim_end()).map(Some)
    })
}

/// Page by page: the handles first, as they come, then all else of the object.
fn print_json(target: &Target) -> Result<Exit, Trouble> {
    let mut client = target.connect()?;
    let mut rest = HandlesReply::default();
    let mut listing = Listing::default();
    let mut outcome = Ok(Reader::Listening);
    let paged = client.handles_paged(&mut |mut page| {
        let handles = std::mem::take(&mut page.handles);
        outcome = print::part(&listing.items(&handles));
        rest.append(page);
        match outcome {
            Ok(Reader::Listening) => ControlFlow::Continue(()),
            Ok(Reader::Gone) | Err(_) => ControlFlow::Break(()),
        }
    });
    paged.map_err(|error| explain(&target.name, &error))?;
    if outcome? == Reader::Listening {
        print::answer(&listing.end(&target.name, &rest))?;
    }
    Ok(Exit::DONE)
}

/// The object of `handles --json`, in pieces.
#[derive(Debug, Default)]
pub(in crate::cli) struct Listing {
    begun: bool,
    any: bool,
}

impl Listing {
    /// Some more handles; with the object's beginning, if they are the first.
    pub(in crate::cli) fn items(&mut self, handles: &[HandleInfo]) -> String {
        let mut text = String::new();
        if !std::mem::replace(&mut self.begun, true) {
            text.push_str("{\"handles\":[");
        }
        for handle in handles {
            if std::mem::replace(&mut self.any, true) {
                text.push(',');
            }
            text.push_str(&view::shaped(handle).to_string());
        }
        text
    }

    /// All else.
    pub(in crate::cli) fn end(self, name: &str, rest: &HandlesReply) -> String {
        let mut body = view::shaped(rest);
        if let Some(fields) = body.as_object_mut() {
            fields.remove("handles");
        }
        body["name"] = Value::from(name);
        let object = view::envelope("handles", &body).to_string();
        format!("],{}", object.strip_prefix('{').unwrap_or(&object))
    }
}

/// A line of `handles --watch --json`: who holds it now, and who came and went since the last one.
pub(in crate::cli) fn watch_json(name: &str, reply: &HandlesReply, changes: &Changes) -> Value {
    let mut body = view::shaped(reply);
    body["name"] = Value::from(name);
    body["left"] = view::shaped(&changes.left);
    body["came"] = view::shaped(&changes.came);
    view::envelope("handles", &body)
}

/// `3 holders, 8.2 MiB unsent`.
fn summary(reply: &HandlesReply) -> String {
    let detached = reply.holders.iter().filter(|holder| holder.kind == "detached").count() as u64;
    let holders = reply.holders.len() as u64 - detached + reply.more_handles;
    let detached = match detached {
        0 => String::new(),
        number => format!(", {} detached", count(number, "handle")),
    };
    format!("{}, {} unsent{detached}", count(holders, "holder"), size(reply.unsent_bytes))
}

/// The summary, the table, and what is not in it.
fn lines(name: &str, reply: &HandlesReply, layout: &Layout) -> Vec<String> {
    let hidden = if reply.redacted { "; names and paths are hidden from you" } else { "" };
    let survivors = match reply.survivors_total {
        0 => String::new(),
        number => format!(", {} from before the last stop", count(number, "handle")),
    };
    let mut lines = vec![format!("{name}: {}{survivors}{hidden}", summary(reply))];
    lines.extend(layout.lines(&holders::rows(&reply.holders)));
    if reply.more_handles > 0 {
        let more = count(reply.more_handles, "handle");
        lines.push(format!("… and {more} more; --json lists every handle"));
    }
    if reply.incomplete {
        lines.push("(not every descriptor was looked at: there are too many)".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::TableArgs;
    use crate::cli::holders::tests::holder;

    fn layout() -> Layout {
        holders::layout(&TableArgs::default()).expect("the usual columns")
    }

    /// What is not listed is said.
    #[test]
    fn more_than_are_listed() {
        let mut detached = holder("nginx", 1203, "detached", "logo.png");
        detached.unsent_bytes = None;
        let reply = HandlesReply {
            holders: vec![holder("vim", 7, "handle", "a"), detached],
            more_handles: 934_464,
            incomplete: true,
            survivors_total: 1,
            unsent_bytes: 2048,
            ..HandlesReply::default()
        };
        let lines = lines("bk", &reply, &layout());
        assert_eq!(
            [&lines[0], &lines[4], &lines[5]],
            [
                "bk: 934465 holders, 2.0 KiB unsent, 1 handle detached, \
                 1 handle from before the last stop",
                "… and 934464 handles more; --json lists every handle",
                "(not every descriptor was looked at: there are too many)",
            ]
        );
    }

    /// The pieces are one object, whatever the pages were.
    #[test]
    fn pages_become_one_object() {
        let handle = crate::cli::judge::tests::with_survivors(
            crate::base::stop::CallResult::HasOpenHandles,
            1,
            0,
        );
        let handles = handle.survivors;
        for pages in [vec![], vec![0], vec![1, 0, 2]] {
            let mut listing = Listing::default();
            let mut text = listing.items(&[]);
            for count in &pages {
                let page: Vec<HandleInfo> =
                    std::iter::repeat_n(handles[0].clone(), *count).collect();
                text.push_str(&listing.items(&page));
            }
            text.push_str(&listing.end("bk", &HandlesReply::default()));
            let value: Value = serde_json::from_str(&text).expect("JSON");
            let listed = value["handles"].as_array().expect("a list").len();
            assert_eq!(listed, pages.iter().sum::<usize>());
            assert_eq!((&value["name"], &value["verb"]), (&"bk".into(), &"handles".into()));
        }
    }
}
