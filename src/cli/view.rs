//! What `--json` prints: one envelope for every answer, and the shapes inside it; pure.
//!
//! The shapes are the control protocol's own, changed in two ways for readers: times are RFC 3339
//! UTC, and `state` is the word people see, with the machine's own in `device_state`.
//! `docs/schema/` describes them and a test holds them to it.

use crate::cli::exit::{Exit, Trouble};
use crate::mgmt::proto::SCHEMA;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A calendar time in seconds since the epoch as RFC 3339 UTC, to the second.
#[must_use]
pub fn time_text(unix_s: f64) -> String {
    // A float's conversion saturates, and so does this: no time is worth a failure.
    let second = unix_s.floor() as i64;
    jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// An answer: the schema, the verb, and the fields of `body`, which must serialise as an object.
#[must_use]
pub fn envelope(verb: &str, body: &impl Serialize) -> Value {
    let mut object = Map::new();
    object.insert("schema".to_owned(), Value::from(SCHEMA));
    object.insert("verb".to_owned(), Value::from(verb));
    match shaped(body) {
        Value::Object(fields) => object.extend(fields),
        other => drop(object.insert("value".to_owned(), other)),
    }
    Value::Object(object)
}

/// The envelope of an answer that could not be given.
#[must_use]
pub fn trouble(verb: &str, trouble: &Trouble) -> Value {
    let error = json!({ "code": trouble.code, "message": trouble.message });
    envelope(verb, &json!({ "error": error, "exit_code": exit_code(trouble.exit) }))
}

/// An exit code as a number.
#[must_use]
pub fn exit_code(exit: Exit) -> Value {
    Value::from(exit.0)
}

/// Any of the protocol's values in the shape people read.
#[must_use]
pub fn shaped(value: &impl Serialize) -> Value {
    // Every type given to this is plain data with text keys: it cannot fail to serialise.
    let mut value = serde_json::to_value(value).unwrap_or(Value::Null);
    reshape(&mut value);
    value
}

/// Fields with seconds since the epoch, and what they are called as times.
const TIMES: [(&str, &str); 3] = [
    ("ended_unix_s", "ended_at"),
    ("lost_unix_s", "lost_at"),
    ("unchanged_unix_s", "unchanged_at"),
];

fn reshape(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(reshape),
        Value::Object(fields) => {
            name_state(fields);
            for (seconds, time) in TIMES {
                if let Some(value) = fields.remove(seconds) {
                    let text = value.as_f64().map(time_text);
                    fields.insert(time.to_owned(), Value::from(text));
                }
            }
            fields.values_mut().for_each(reshape);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn name_state(fields: &mut Map<String, Value>) {
    let Some(state) = fields.get("state") else { return };
    let Ok(parsed) = serde_json::from_value::<crate::base::stop::State>(state.clone()) else {
        return;
    };
    let device_state = state.clone();
    fields.insert("state".to_owned(), Value::from(parsed.word()));
    fields.insert("device_state".to_owned(), device_state);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stop::{Notice, State};

    #[test]
    fn an_answer_says_its_schema_and_verb() {
        let value = envelope("list", &json!({ "mounts": [] }));
        assert_eq!(value, json!({ "schema": "minirdr/1", "verb": "list", "mounts": [] }));
    }

    #[test]
    fn an_error_is_in_the_same_envelope() {
        let value = trouble("stop", &Trouble::not_permitted("bk: only root"));
        assert_eq!(
            value,
            json!({
                "schema": "minirdr/1",
                "verb": "stop",
                "error": { "code": "not_permitted", "message": "bk: only root" },
                "exit_code": 5
            })
        );
    }

    #[test]
    fn a_path_of_any_bytes_is_text_and_bytes() {
        let arrived = |path: &[u8]| Notice::Arrived { path: path.to_vec(), bytes: 1 };
        assert_eq!(
            shaped(&arrived(b"a\xff")),
            json!({ "kind": "arrived", "path": "a\u{fffd}", "path_bytes": "Yf8=", "bytes": 1 })
        );
        assert_eq!(shaped(&arrived(b"a")), json!({ "kind": "arrived", "path": "a", "bytes": 1 }));
    }

    #[test]
    fn states_are_the_words_people_see_wherever_they_stand() {
        let value = shaped(&json!({ "mounts": [{ "state": State::Sealing }], "state": "odd" }));
        assert_eq!(
            value,
            json!({
                "mounts": [{ "state": "stopping", "device_state": "sealing" }],
                "state": "odd"
            })
        );
    }

    #[test]
    fn times_are_rfc_3339_utc() {
        assert_eq!(time_text(1_795_223_527.9), "2026-11-21T01:12:07Z");
        assert_eq!(
            shaped(&json!({ "ended_unix_s": 0.5 })),
            json!({ "ended_at": "1970-01-01T00:00:00Z" })
        );
        assert_eq!(time_text(f64::NAN), "1970-01-01T00:00:00Z");
        assert_eq!(time_text(1e300), "1970-01-01T00:00:00Z", "beyond the calendar");
    }
}
