//! `stop --mode cancel --handle N`: takes one handle from its holder, and stops nothing else.

use crate::base::ids::HandleNumber;
use crate::base::stop::{CallKind, Detached, StopMode};
use crate::base::units::{count, size};
use crate::cli::args::StopArgs;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders::who;
use crate::cli::locate::{Target, explain};
use crate::cli::print;
use crate::cli::table::printable;
use crate::cli::view;
use crate::mgmt::client::ClientError;
use crate::mgmt::proto::Holder;
use serde_json::{Value, json};

/// Detaches one handle.
///
/// # Errors
/// Usage: another mode than `cancel`. The daemon cannot be asked, or refuses.
pub fn detach(args: &StopArgs, target: &Target, number: u64) -> Result<Exit, Trouble> {
    if args.mode != StopMode::Cancel {
        let what = "--handle takes the handle from its holder at once: say --mode cancel, too";
        return Err(Trouble::usage(what.to_owned()));
    }
    let handle = HandleNumber(number);
    let failed = |error: ClientError| explain(&target.name, &error);
    let mut client = target.connect()?;
    let detached = client.detach(handle).map_err(failed)?;
    // Who has it now is for people only: what was asked for is done.
    let holders = client.holders().map(|reply| reply.holders).unwrap_or_default();
    let holder = holders.iter().find(|holder| holder.handle == Some(handle));
    let running = client.status().map_err(failed)?.running;
    let stop = running.filter(|running| running.kind == CallKind::Stop);
    let lines = lines(&target.name, &detached, holder);
    let goes_on =
        stop.map(|stop| format!("{}: the stop (ticket {}) goes on", target.name, stop.ticket));
    let text = match args.json.json {
        true => detached_json(&target.name, &detached, &lines[0]).to_string(),
        false => lines.into_iter().chain(goes_on).collect::<Vec<_>>().join("\n"),
    };
    print::answer(&text)?;
    Ok(Exit::DONE)
}

/// `bk: handle 3 detached (nginx[1203] gets ESHUTDOWN), nothing unsent`, and who is left.
fn lines(name: &str, detached: &Detached, holder: Option<&Holder>) -> Vec<String> {
    let Detached { handle, already, open_handles, .. } = detached;
    let opener = || match handle.opened_by.pid {
        0 => "its holder".to_owned(),
        pid => format!("process {pid}"),
    };
    let holder = holder.filter(|holder| holder.command.is_some()).map_or_else(opener, who);
    let path = printable(&handle.path);
    let unsent = match handle.unsent_bytes {
        0 => "nothing unsent".to_owned(),
        bytes => format!("{} still on their way to the server", size(bytes)),
    };
    let number = handle.handle;
    let done = match already {
        true => format!("{name}: handle {number} was detached already ({path})"),
        false => {
            format!(
                "{name}: handle {number} detached ({holder} gets ESHUTDOWN on {path}), {unsent}"
            )
        }
    };
    let left = match open_handles {
        0 => format!("{name}: no handle left"),
        number => format!("{name}: {} left", count(*number, "handle")),
    };
    vec![done, left]
}

/// The JSON.
pub(in crate::cli) fn detached_json(name: &str, detached: &Detached, message: &str) -> Value {
    let mut body = view::shaped(detached);
    body["name"] = Value::from(name);
    body["result"] = Value::from(if detached.already { "already_detached" } else { "detached" });
    body["exit_code"] = view::exit_code(Exit::DONE);
    body["message"] = json!(message);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("already");
    }
    view::envelope("stop", &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stop::CallResult;
    use crate::cli::holders::tests::holder;
    use crate::cli::judge::tests::with_survivors;

    #[test]
    fn who_gets_what_and_what_is_left() {
        let mut handle = with_survivors(CallResult::HasOpenHandles, 1, 0).survivors.remove(0);
        (handle.handle, handle.path) = (HandleNumber(3), b"public/logo.png".to_vec());
        (handle.unsent_bytes, handle.opened_by.pid) = (0, 77);
        let mut detached = Detached { handle, already: false, cancelled: 0, open_handles: 0 };
        let nginx = holder("nginx", 1203, "detached", "public/logo.png");
        assert_eq!(
            lines("projects", &detached, Some(&nginx)),
            [
                "projects: handle 3 detached (nginx[1203] gets ESHUTDOWN on public/logo.png), \
                 nothing unsent",
                "projects: no handle left"
            ]
        );
        (detached.handle.unsent_bytes, detached.open_handles) = (2048, 2);
        assert_eq!(
            lines("projects", &detached, None),
            [
                "projects: handle 3 detached (process 77 gets ESHUTDOWN on public/logo.png), \
                 2.0 KiB still on their way to the server",
                "projects: 2 handles left"
            ]
        );
        detached.already = true;
        let again = "projects: handle 3 was detached already (public/logo.png)";
        assert_eq!(lines("projects", &detached, None)[0], again);
    }
}
