//! `Metrics` over the socket, and to whom it answers.

use crate::host::{Host, NAME, handle, serve, service};
use crate::{ask_as, denied};
use minirdr::base::stop::StopOptions;
use minirdr::mgmt::authz::{Peer, Policy};
use minirdr::mgmt::client::ClientError;
use minirdr::mgmt::proto::MetricsFormat;
use serde_json::json;
use std::sync::Arc;

/// The value of a sample.
#[track_caller]
fn value(text: &str, sample: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().expect("a number")
}

/// S-85: both formats, each with its media type; the state is the host's, the clients and calls are
/// those of the socket.
#[test]
fn s85_the_socket_hands_out_both_formats() {
    let running = serve(Host::new());
    let mut client = running.client();
    let reply = client.metrics(MetricsFormat::Openmetrics).expect("answered");
    assert_eq!(reply.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(reply.text.ends_with("# EOF\n"));
    let label = format!("mount=\"{NAME}\"");
    let state = |text: &str, state: &str| {
        value(text, &format!("minirdr_state{{{label},state=\"{state}\"}}"))
    };
    assert_eq!((state(&reply.text, "started"), state(&reply.text, "draining")), (1, 0));
    let clients = format!("minirdr_control_clients{{{label}}}");
    let calls = format!("minirdr_management_calls_total{{{label}}}");
    assert_eq!((value(&reply.text, &clients), value(&reply.text, &calls)), (1, 1));

    let mut other = running.client();
    other.stop(&StopOptions::default()).expect("answered");
    let reply = other.metrics(MetricsFormat::Prometheus).expect("answered");
    assert_eq!(reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!((state(&reply.text, "started"), state(&reply.text, "draining")), (0, 1));
    assert_eq!((value(&reply.text, &clients), value(&reply.text, &calls)), (2, 3));
    assert_eq!(value(&reply.text, &format!("minirdr_events_total{{{label}}}")), 1);
    running.host.finish();
}

/// S-89: everybody on this machine may read them, nobody from a network; and what they say is the
/// same for all.
#[test]
fn s89_everybody_may_read() {
    let host = Arc::new(Host::new());
    host.open([handle(1, b"secret")]);
    let service = service(&host, Policy::of_owner(1000));
    let local = |uid| Peer::Local { pid: 1, uid, gids: vec![uid] };
    for (name, parameters) in [("none", json!({})), ("one", json!({"format": "prometheus"}))] {
        let texts = [0, 1000, 2000].map(|uid| {
            let reply = ask_as(&service, &local(uid), "Metrics", &parameters);
            assert_eq!(reply.error, None, "{name} by {uid}");
            let text = reply.parameters["text"].as_str().expect("a text");
            // Of this whole process, with its other tests.
            let ours = |line: &&str| !line.starts_with("minirdr_threads");
            text.lines().filter(ours).collect::<Vec<_>>().join("\n")
        });
        assert!(texts.iter().all(|text| *text == texts[0] && !text.contains("secret")));
    }
    let remote = Peer::Remote(([127, 0, 0, 1], 1).into());
    assert!(denied(&ask_as(&service, &remote, "Metrics", &json!({}))));
    assert_eq!(host.effects(), 0);
}

/// A format there is not is named, and is no other format.
#[test]
fn an_unknown_format_is_refused() {
    let service = service(&Arc::new(Host::new()), Policy::of_owner(0));
    let root = Peer::Local { pid: 1, uid: 0, gids: vec![0] };
    for parameters in [json!({"format": "json"}), json!({"format": 1}), json!({"fmt": "x"})] {
        let reply = ask_as(&service, &root, "Metrics", &parameters);
        assert_eq!(reply.error.as_deref(), Some("org.varlink.service.InvalidParameter"));
        let name = reply.parameters["parameter"].as_str().expect("a name");
        assert!(parameters.get(name).is_some(), "{name} of {parameters}");
    }
}

/// S-85: a server that is not there is an error, not an empty answer.
#[test]
fn s85_nobody_there_is_an_error() {
    let running = serve(Host::new());
    let mut client = running.client();
    running.server.stop();
    let error = client.metrics(MetricsFormat::Openmetrics).expect_err("it has ended");
    assert!(matches!(error, ClientError::Lost { .. } | ClientError::Unreachable { .. }), "{error}");
}
