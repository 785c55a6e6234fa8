//! `rpc`: remote management of a mount that has it: listen again, stop, tell how it is.

use crate::base::units::count;
use crate::cli::args::{RpcAction, RpcVerbArgs};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::locate::{self, explain};
use crate::cli::print;
use crate::cli::view;
use crate::mgmt::client::ClientError;
use crate::mgmt::proto::{RpcPhase, RpcState};
use crate::mgmt::rpc::status::RpcStatus;
use serde_json::{Value, json};

/// `minirdr rpc`.
///
/// # Errors
/// The daemon cannot be asked, or refuses; stdout cannot be written.
pub fn rpc(args: &RpcVerbArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?;
    let mut client = target.connect()?;
    let name = target.name.as_str();
    let failed = |error: ClientError| explain(name, &error);
    let status = match args.action {
        RpcAction::Listen => Some(client.listen().map_err(failed)?.status),
        RpcAction::Stop => Some(client.shutdown().map_err(failed)?.status),
        RpcAction::Status => None,
    };
    let state = client.status().map_err(failed)?.rpc;
    let (exit, line) = judge(name, args.action, status, state.as_ref());
    if args.json.json {
        let answer = rpc_json(name, args.action, status, state.as_ref(), (exit, &line));
        print::answer(&answer.to_string())?;
    } else {
        print::answer(&line)?;
    }
    Ok(exit)
}

/// The JSON of `rpc`. `status`: the number of the answer, for those that change something.
pub(in crate::cli) fn rpc_json(
    name: &str,
    action: RpcAction,
    status: Option<u32>,
    state: Option<&RpcState>,
    (exit, message): (Exit, &str),
) -> Value {
    let body = json!({
        "name": name,
        "action": action.word(),
        "status": status,
        "rpc": state,
        "exit_code": exit.0,
        "message": message,
    });
    view::envelope("rpc", &body)
}

/// What it came to, in one line.
fn judge(
    name: &str,
    action: RpcAction,
    status: Option<u32>,
    state: Option<&RpcState>,
) -> (Exit, String) {
    let Some(state) = state else {
        // To stop what never was is done already.
        let exit = match action {
            RpcAction::Listen => Exit::FAILED,
            RpcAction::Stop => Exit::DONE,
            RpcAction::Status => Exit::NOT_RUNNING,
        };
        return (exit, format!("{name}: no remote management; `minirdr mount --rpc` offers it"));
    };
    let already = match (action, status) {
        (RpcAction::Listen, Some(status)) if status != RpcStatus::Ok.code() => "already, ",
        (RpcAction::Stop, Some(status)) if status != RpcStatus::Ok.code() => "already, ",
        _ => "",
    };
    let line = format!("{name}: {already}{}", text(state));
    let exit = match (action, state.phase) {
        (RpcAction::Status, RpcPhase::NotListening) => Exit::NOT_RUNNING,
        // Calls of before still run: it listens when they have ended and it is asked again.
        (RpcAction::Listen, RpcPhase::Draining) => Exit::FAILED,
        _ => Exit::DONE,
    };
    (exit, line)
}

/// `listening on ncalrpc:[/run/x/NAME], 3 calls`.
#[must_use]
pub(in crate::cli) fn text(state: &RpcState) -> String {
    let places = state.endpoints.join(", ");
    let calls = count(state.calls_total, "call");
    let running = match state.calls_running {
        0 => String::new(),
        running => format!(", {running} running"),
    };
    let what = match state.phase {
        RpcPhase::NotListening => "not listening, was on",
        RpcPhase::Listening => "listening on",
        RpcPhase::Draining => "draining, was on",
    };
    let stop = match (state.may_stop.is_empty(), state.stops_mount) {
        (true, false) => String::new(),
        (true, true) => "; its stop stops the mount".to_owned(),
        (false, false) => format!("; may be stopped from {}", state.may_stop.join(", ")),
        (false, true) => {
            format!("; may be stopped, with the mount, from {}", state.may_stop.join(", "))
        }
    };
    format!("{what} {places}, {calls}{running}{stop}")
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;

    pub fn state(phase: RpcPhase) -> RpcState {
        RpcState {
            phase,
            endpoints: vec!["ncalrpc:[/run/x/NAME]".to_owned()],
            calls_total: 3,
            calls_running: 1,
            ..RpcState::default()
        }
    }

    #[test]
    fn each_answer_has_its_line_and_its_code() {
        let judge = |action, status, phase: Option<RpcPhase>| {
            let (exit, line) = judge("bk", action, status, phase.map(state).as_ref());
            (exit.0, line)
        };
        use RpcAction::{Listen, Status, Stop};
        let place = "ncalrpc:[/run/x/NAME], 3 calls, 1 running";
        let listening = format!("listening on {place}");
        let stopped = format!("not listening, was on {place}");
        for (action, status, phase, code, line) in [
            (Listen, Some(0), Some(RpcPhase::Listening), 0, format!("bk: {listening}")),
            (Listen, Some(1713), Some(RpcPhase::Listening), 0, format!("bk: already, {listening}")),
            (Stop, Some(0), Some(RpcPhase::NotListening), 0, format!("bk: {stopped}")),
            (Stop, Some(1715), Some(RpcPhase::NotListening), 0, format!("bk: already, {stopped}")),
            (Status, None, Some(RpcPhase::Listening), 0, format!("bk: {listening}")),
            (Status, None, Some(RpcPhase::NotListening), 3, format!("bk: {stopped}")),
        ] {
            assert_eq!(judge(action, status, phase), (code, line));
        }
        assert_eq!(judge(Listen, Some(1713), Some(RpcPhase::Draining)).0, 1);
        for (action, status, code) in
            [(Listen, Some(1714), 1), (Stop, Some(1715), 0), (Status, None, 3)]
        {
            let (exit, line) = judge(action, status, None);
            assert_eq!(exit, code);
            assert!(line.contains("--rpc"), "{line}");
        }
    }

    #[test]
    fn who_may_stop_it_is_said() {
        let open = RpcState {
            may_stop: vec!["10.0.0.0/8".to_owned()],
            stops_mount: true,
            ..state(RpcPhase::Listening)
        };
        assert!(text(&open).ends_with("; may be stopped, with the mount, from 10.0.0.0/8"));
    }
}
