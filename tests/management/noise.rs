//! Whatever a client of the control socket sends, whole or in part: an answer, or the end of its
//! connection; the server goes on and keeps no more than it should.

use crate::host::{Host, eventually, own_policy, serve, service};
use crate::{Kept, denied};
use minirdr::base::limits::CONTROL_REQUEST_BYTES_MAX;
use minirdr::mgmt::authz::Peer;
use minirdr::mgmt::proto::{Method, Request};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

/// Cut messages, noise, JSON that is none of ours, and far too much of it: all is answered or cut
/// off, and who asks properly is answered.
#[test]
fn noise_is_no_trouble() {
    let running = serve(Host::new());
    let mut random = fastrand::Rng::with_seed(7);
    let proper = b"{\"method\":\"io.minirdr.Control.Status\",\"parameters\":{}}\0";
    for round in 0..200 {
        let mut noise = match round % 4 {
            0 => (0..random.usize(1..400)).map(|_| random.u8(..)).collect(),
            1 => proper[..random.usize(1..proper.len())].to_vec(),
            2 => vec![*random.choice(b"[{\"0").expect("some"); random.usize(1..100_000)],
            _ => proper.to_vec(),
        };
        if round % 4 == 3 {
            let at = random.usize(..noise.len());
            noise[at] = random.u8(..);
        }
        if random.bool() {
            noise.push(0);
        }
        let mut stream = running.raw();
        // It may close before it has taken all; and it ends, whatever that was.
        let _ = stream.write_all(&noise).and_then(|()| stream.shutdown(Shutdown::Write));
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => assert!(answer.is_empty() || answer.ends_with(b"}\0"), "whole: {answer:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
    assert_eq!(running.host.effects(), 0);
    running.client().status().expect("answered");
    eventually("nobody is left", || running.server.clients() == 0);
}

/// A message without an end is cut off where requests end, however much of it comes.
#[test]
fn a_message_without_an_end_is_cut_off() {
    let running = serve(Host::new());
    let mut stream = running.raw();
    let piece = [b' '; 64 * 1024];
    let mut taken = 0;
    while stream.write_all(&piece).is_ok() {
        taken += piece.len();
        // What it has not read is in the socket's buffers.
        assert!(taken < CONTROL_REQUEST_BYTES_MAX + 4 * 1024 * 1024, "no bound");
    }
    assert!(taken >= CONTROL_REQUEST_BYTES_MAX, "what is allowed is read");
    eventually("it is dropped", || running.server.clients() == 0);
    running.client().status().expect("answered");
}

/// Values of every kind, the largest and strangest among them.
fn values() -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("no JSON", Number::from_f64),
        Just(Number::from(1)),
    ];
    let words = prop_oneof![
        "[a-z_]{0,10}",
        ".{0,20}",
        Just("abort".to_owned()),
        Just("cancel".to_owned()),
        Just("stopped".to_owned()),
        Just("io.minirdr.Control".to_owned()),
    ];
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        numbers.prop_map(Value::Number),
        words.prop_map(Value::String),
    ];
    plain.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            objects(inner).prop_map(Value::Object),
        ]
    })
}

/// Objects whose names are mostly those that mean something.
fn objects(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let known = proptest::sample::select(vec![
        "options",
        "mode",
        "grace_s",
        "deadline_s",
        "on_deadline",
        "refuse_if_busy",
        "unmount",
        "lazy",
        "reason",
        "ticket",
        "for",
        "since",
        "handle",
        "holders_only",
        "force",
        "interface",
    ]);
    let name = prop_oneof![8 => known.prop_map(str::to_owned), 1 => "[a-z]{0,6}"];
    let entries = proptest::collection::vec((name, inner), 0..4);
    entries.prop_map(|entries| entries.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any parameters of any method, with `more` or without: it is answered, the last reply says
    /// that it is the last, and an error is one of those that are described.
    #[test]
    fn any_parameters_are_answered(
        parameters in objects(values()),
        more in any::<bool>(),
        known in any::<bool>(),
    ) {
        let host = Arc::new(Host::new());
        let service = service(&host, own_policy());
        let uid = if known { own_policy().owner } else { own_policy().owner + 1 };
        let peer = Peer::Local { pid: 1, uid, gids: Vec::new() };
        let ours = Method::ALL.iter().map(|method| method.full_name());
        let own = ["GetInfo", "GetInterfaceDescription", "Halt"];
        let own = own.iter().map(|name| format!("org.varlink.service.{name}"));
        for method in ours.chain(own) {
            let (parameters, method_name) = (parameters.clone(), method.clone());
            let request = Request { method, parameters, more, ..Request::default() };
            let mut kept = Kept::default();
            prop_assert!(service.call(&peer, request, &mut kept).is_ok());
            let last = kept.0.pop().expect("answered");
            prop_assert!(!last.continues, "{}: {:?}", method_name, last);
            prop_assert!(kept.0.iter().all(|reply| reply.continues && reply.error.is_none()));
            let described = ["io.minirdr.Control.", "org.varlink.service."];
            let error = last.error.as_deref().unwrap_or(described[0]);
            prop_assert!(described.iter().any(|one| error.starts_with(one)), "{}", error);
            if !known {
                let changes = ["Stop", "Start", "Pause", "Resume", "Detach", "Replay", "Discard"];
                if changes.iter().any(|name| method_name == format!("io.minirdr.Control.{name}")) {
                    prop_assert!(denied(&last) || last.error.is_some(), "{:?}", last);
                }
            }
        }
        prop_assert!(known || host.effects() == 0, "a stranger changed something");
    }
}
