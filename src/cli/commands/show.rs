//! `list`, `status` and `requests`: look, change nothing.

use crate::base::units::{age, count, size};
use crate::cli::args::{ListArgs, StatusArgs, WatchTableArgs};
use crate::cli::commands::watch::{self, request_change, status_change};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders;
use crate::cli::judge;
use crate::cli::locate::{self, explain};
use crate::cli::print;
use crate::cli::table::{Layout, printable};
use crate::cli::view;
use crate::mgmt::client::Client;
use crate::mgmt::proto::{MountStatus, RequestsReply};
use serde_json::{Value, json};
use std::time::Duration;

const LIST_COLUMNS: &[&str] = &[
    "NAME",
    "STATE",
    "SOURCE",
    "MOUNT",
    "REQ",
    "HANDLES",
    "UNSENT",
    "AGE",
    "UID",
    "PID",
    "VERSION",
    "DEVICE",
    "GENERATION",
];
const LIST_USUAL: usize = 8;

/// `minirdr list`.
///
/// # Errors
/// stdout cannot be written; a wrong column.
pub fn list(args: &ListArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let layout = Layout::new(LIST_COLUMNS, LIST_USUAL, &args.table.columns, !args.table.no_header)?;
    let (mut mounts, mut silent) = (Vec::new(), Vec::new());
    for socket in locate::all_sockets(environment, true) {
        let status = Client::connect(&socket.path).and_then(|mut client| client.status());
        match status {
            Ok(status) => mounts.push(status),
            Err(error) => silent.push((socket.name.clone(), explain(&socket.name, &error))),
        }
    }
    if args.json.json {
        print::answer(&list_json(&mounts, &silent).to_string())?;
        return Ok(Exit::DONE);
    }
    let mut lines = vec![count(mounts.len() as u64, "mount")];
    lines.extend(layout.lines(&mounts.iter().map(list_row).collect::<Vec<_>>()));
    print::answer(&lines.join("\n"))?;
    for (_, trouble) in silent {
        print::complain(&trouble.message);
    }
    Ok(Exit::DONE)
}

/// The JSON of `list`.
pub(in crate::cli) fn list_json(mounts: &[MountStatus], silent: &[(String, Trouble)]) -> Value {
    let one = |(name, trouble): &(String, Trouble)| {
        let Trouble { code, message, .. } = trouble;
        json!({ "name": name, "code": code, "message": message })
    };
    let silent: Vec<Value> = silent.iter().map(one).collect();
    view::envelope("list", &json!({ "mounts": mounts, "unreachable": silent }))
}

/// The JSON of `status`.
pub(in crate::cli) fn status_json(status: &MountStatus) -> Value {
    view::envelope("status", &json!({ "mount": status }))
}

fn list_row(status: &MountStatus) -> Vec<String> {
    let mount_point = printable(status.mount_point.as_bytes());
    let state_age = Duration::try_from_secs_f64(status.state_age_s).unwrap_or_default();
    vec![
        status.name.clone(),
        status.state.word().to_owned(),
        printable(status.source.as_bytes()),
        if status.mounted { mount_point } else { format!("({mount_point})") },
        status.requests_in_flight.to_string(),
        status.open_handles.to_string(),
        size(status.unsent_bytes),
        age(state_age),
        status.uid.to_string(),
        status.pid.to_string(),
        status.version.clone(),
        status.device.clone(),
        status.generation.to_string(),
    ]
}

/// `minirdr status`.
///
/// # Errors
/// The daemon cannot be asked; stdout cannot be written.
pub fn status(args: &StatusArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?.of(&args.part.provider);
    let json = args.json.json;
    let show = |status: &MountStatus| match json {
        true => print::answer(&status_json(status).to_string()),
        false => print::answer(&judge::status(status).lines.join("\n")),
    };
    if !args.watch {
        let mut client = target.connect()?;
        let status = client.status().map_err(|error| explain(&target.name, &error))?;
        show(&status)?;
        return Ok(judge::status(&status).exit);
    }
    watch::watch(&target, Client::status, |before, now| match (before, json) {
        (None, _) => show(now).map(Some),
        (Some(before), _) if status_change(before) == status_change(now) => Ok(None),
        (Some(_), true) => show(now).map(Some),
        (Some(_), false) => {
            print::answer(&watch::stamped(&format!("{}{}", now.state.word(), judge::load(now))))
                .map(Some)
        }
    })
}

/// `minirdr requests`.
///
/// # Errors
/// The daemon cannot be asked; stdout cannot be written; a wrong column.
pub fn requests(args: &WatchTableArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let layout = holders::request_layout(&args.table)?;
    let target = locate::find(&args.name, environment)?;
    let name = target.name.clone();
    let json = args.json.json;
    let show = |reply: &RequestsReply| {
        let text = match json {
            true => requests_json(&name, reply).to_string(),
            false => requests_lines(&name, reply, &layout).join("\n"),
        };
        print::answer(&text)
    };
    if !args.watch {
        let mut client = target.connect()?;
        show(&client.requests().map_err(|error| explain(&name, &error))?)?;
        return Ok(Exit::DONE);
    }
    watch::watch(&target, Client::requests, |before, now| match before {
        Some(before) if request_change(before) == request_change(now) => Ok(None),
        _ => show(now).map(Some),
    })
}

fn requests_lines(name: &str, reply: &RequestsReply, layout: &Layout) -> Vec<String> {
    let total = reply.requests_total.max(reply.requests.len() as u64);
    let hidden = if reply.redacted { "; paths are hidden from you" } else { "" };
    let mut lines = vec![format!("{name}: {} in flight{hidden}", count(total, "request"))];
    let mut requests = reply.requests.clone();
    requests.sort_by(|one, other| other.age_s.total_cmp(&one.age_s));
    lines.extend(layout.lines(&holders::request_rows(&requests)));
    lines
}

/// The JSON of `requests`.
pub(in crate::cli) fn requests_json(name: &str, reply: &RequestsReply) -> Value {
    let mut body = view::shaped(reply);
    body["name"] = Value::from(name);
    view::envelope("requests", &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Caller, SerialNumber};
    use crate::base::stop::{RequestInfo, State};
    use crate::cli::args::TableArgs;
    use crate::cli::judge::tests::mount;

    #[test]
    fn a_detached_mount_is_listed_in_brackets() {
        let row = list_row(&MountStatus { mounted: false, ..mount(State::Draining) });
        assert_eq!(row.len(), LIST_COLUMNS.len());
        let usual = ["bk", "stopping", "memory:", "(/mnt/bk)", "0", "1", "41.0 MiB", "1m12s"];
        assert_eq!(row[..LIST_USUAL], usual);
    }

    #[test]
    fn requests_are_listed_oldest_first() {
        let request = |serial, age_s| RequestInfo {
            serial: SerialNumber(serial),
            operation: "read".to_owned(),
            path: b"a".to_vec(),
            age_s,
            caller: Caller::local(5, 0, 0),
            cancellable: false,
            cancelled: false,
        };
        let reply = RequestsReply {
            requests: vec![request(2, 1.0), request(1, 4.0)],
            requests_total: 2,
            redacted: true,
        };
        let layout = holders::request_layout(&TableArgs::default()).expect("all columns");
        assert_eq!(
            requests_lines("bk", &reply, &layout),
            [
                "bk: 2 requests in flight; paths are hidden from you",
                "REQUEST  OPERATION  AGE  PID  UID  CANCEL  PATH",
                "1        read       4s   5    0    -       a",
                "2        read       1s   5    0    -       a",
            ]
        );
    }
}
