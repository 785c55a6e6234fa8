//! `events`: what happened, in order, and with `-f` what happens next.

use crate::cli::args::EventsArgs;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::locate::{self, explain};
use crate::cli::print::{self, Reader};
use crate::cli::table::printable;
use crate::cli::view;
use crate::mgmt::client::ClientError;
use crate::mgmt::proto::{Event, EventsParameters};
use serde_json::{Value, json};
use std::ops::ControlFlow;

/// `minirdr events`.
///
/// # Errors
/// The daemon cannot be asked; stdout cannot be written.
pub fn events(args: &EventsArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?;
    let mut client = target.connect()?;
    let name = target.name.as_str();
    let failed = |error: ClientError| explain(name, &error);
    let asked = EventsParameters { since: args.since, max: None, device: args.device.clone() };
    if args.follow {
        let mut outcome = Ok(Reader::Listening);
        let followed = client.follow_events_of(&asked, &mut |event| {
            outcome = print::answer(&match args.json.json {
                true => one_json(name, &event).to_string(),
                false => line(name, &event),
            });
            match outcome {
                Ok(Reader::Listening) => ControlFlow::Continue(()),
                Ok(Reader::Gone) | Err(_) => ControlFlow::Break(()),
            }
        });
        outcome?;
        return match followed {
            Ok(()) => Ok(Exit::DONE),
            // Its last event was sent before it went: the end of the stream, not a failure.
            Err(ClientError::Lost { .. }) => {
                print::note(&format!("{name}: its daemon has ended"));
                Ok(Exit::DONE)
            }
            Err(error) => Err(failed(error)),
        };
    }
    let events = client.events_of(asked).map_err(failed)?.events;
    if args.json.json {
        print::answer(&all_json(name, &events).to_string())?;
    } else if !events.is_empty() {
        let lines: Vec<String> = events.iter().map(|event| line(name, event)).collect();
        print::answer(&lines.join("\n"))?;
    }
    Ok(Exit::DONE)
}

/// The JSON of `events`.
pub(in crate::cli) fn all_json(name: &str, events: &[Event]) -> Value {
    view::envelope("events", &json!({ "name": name, "events": events }))
}

/// The JSON of one line of `events --follow`.
pub(in crate::cli) fn one_json(name: &str, event: &Event) -> Value {
    view::envelope("events", &json!({ "name": name, "event": event }))
}

/// `12  2026-11-21T01:12:07Z  draining  requests=3 handles=2 unsent_bytes=0`; with the device where
/// that is one of several.
fn line(name: &str, event: &Event) -> String {
    let mut fields = match view::shaped(&event.what) {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    let kind = match fields.remove("kind") {
        Some(Value::String(kind)) => kind,
        _ => "unknown".to_owned(),
    };
    fields.remove("path_bytes");
    let device = Value::from(&*event.device);
    let device = (event.device != name).then_some(("device", &device));
    let fields = fields.iter().map(|(key, value)| (&**key, value));
    let details: Vec<String> = device
        .into_iter()
        .chain(fields)
        .filter_map(|(key, value)| Some(format!("{key}={}", detail(value)?)))
        .collect();
    let line = format!("{:>4}  {}  {kind}  {}", event.seq, event.at, details.join(" "));
    line.trim_end().to_owned()
}

/// A value of an event; nothing for nothing.
fn detail(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => {
            let text = printable(text.as_bytes());
            let plain = !text.is_empty() && !text.contains(' ') && !text.contains('"');
            Some(if plain { text } else { format!("\"{}\"", text.replace('"', "\\x22")) })
        }
        // Only a caller is an object in an event.
        Value::Object(caller) => {
            let number = |key: &str| caller.get(key).and_then(Value::as_u64).unwrap_or(0);
            Some(match caller.get("remote").and_then(Value::as_str) {
                Some(from) => format!("remote:{from}"),
                None => format!("uid:{},pid:{}", number("uid"), number("pid")),
            })
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Caller, Generation, TicketNumber};
    use crate::base::stop::{CallResult, Loss, Notice};
    use crate::mgmt::proto::{EventKind, OverflowTag};

    fn event(what: EventKind) -> Event {
        Event {
            seq: 12,
            at: "2026-11-21T01:12:07Z".to_owned(),
            device: "memory".to_owned(),
            generation: Generation(1),
            what,
        }
    }

    #[test]
    fn an_event_is_one_line() {
        let notices = [
            (
                Notice::StopRequested {
                    ticket: Some(TicketNumber(7)),
                    asked_by: Caller::local(5, 0, 0),
                    reason: Some("new disk".to_owned()),
                },
                "stop_requested  asked_by=uid:0,pid:5 reason=\"new disk\" ticket=7",
            ),
            (
                Notice::Draining { requests: 3, handles: 2, unsent_bytes: 0 },
                "draining  handles=2 requests=3 unsent_bytes=0",
            ),
            (
                Notice::Stopped { ticket: None, result: CallResult::Success },
                "stopped  result=success",
            ),
            (
                Notice::StopRequested {
                    ticket: None,
                    asked_by: Caller::from_network(([192, 0, 2, 9], 7).into()),
                    reason: None,
                },
                "stop_requested  asked_by=remote:192.0.2.9:7",
            ),
            (Notice::Sealed, "sealed"),
            (
                Notice::Loss(Loss {
                    path: b"a\n\xff".to_vec(),
                    bytes: 1,
                    error: "x".to_owned(),
                    ..Loss::default()
                }),
                "loss  bytes=1 error=x path=a\\x0a\u{fffd} written_by=uid:0,pid:0",
            ),
        ];
        for (notice, text) in notices {
            let expected = format!("  12  2026-11-21T01:12:07Z  {text}");
            assert_eq!(line("memory", &event(EventKind::Notice(notice))), expected);
        }
        let lost = EventKind::Overflow { kind: OverflowTag::Overflow, first_lost: 1, last_lost: 9 };
        assert_eq!(
            line("memory", &event(lost)),
            "  12  2026-11-21T01:12:07Z  overflow  first_lost=1 last_lost=9"
        );
        let sealed = event(EventKind::Notice(Notice::Sealed));
        assert_eq!(line("net", &sealed), "  12  2026-11-21T01:12:07Z  sealed  device=memory");
    }
}
