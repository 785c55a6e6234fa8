//! `Watch` over the control socket.

use crate::host::{Host, eventually, serve, service};
use crate::{ask_as, denied};
use minirdr::base::limits::PAGE_MAX;
use minirdr::mgmt::authz::{Peer, Policy};
use minirdr::mgmt::client::{Client, ClientError};
use minirdr::mgmt::proto::{WatchEvent, WatchKind};
use minirdr::mgmt::watch::{NextSighting, Sighting};
use serde_json::json;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// What is told of this path is said by the test.
fn scripted(host: &Host, path: &[u8]) -> Sender<NextSighting> {
    let (sender, receiver) = channel();
    host.sightings.lock().insert(path.to_vec(), receiver);
    sender
}

fn seen(kind: WatchKind, path: &[u8]) -> NextSighting {
    NextSighting::Seen(Sighting { kind, path: path.to_vec(), lost: None })
}

fn watch(client: &mut Client, path: &[u8]) -> (Vec<WatchEvent>, Result<(), ClientError>) {
    let mut told = Vec::new();
    let result = client.watch(path, &mut |event| {
        told.push(event);
        ControlFlow::Continue(())
    });
    (told, result)
}

/// S-130: a word for whatever happens, in order, to the last.
#[test]
fn s130_what_is_told_comes_in_order_and_ends() {
    let running = serve(Host::new());
    let script = scripted(&running.host, b"/docs/\xff");
    for kind in [WatchKind::Watching, WatchKind::Modified, WatchKind::Gone] {
        script.send(seen(kind, b"/docs/\xff")).expect("the host has it");
    }
    // Far more than one reply holds.
    for _ in 0..3 * PAGE_MAX {
        script.send(seen(WatchKind::Created, b"/docs/a")).expect("the host has it");
    }
    drop(script);
    let (told, result) = watch(&mut running.client(), b"/docs/\xff");
    result.expect("it ends");
    let kinds: Vec<WatchKind> = told.iter().take(4).map(|event| event.kind).collect();
    let (watching, modified) = (WatchKind::Watching, WatchKind::Modified);
    assert_eq!(kinds, [watching, modified, WatchKind::Gone, WatchKind::Created]);
    assert_eq!(told.len(), 3 + 3 * PAGE_MAX);
    assert_eq!(told[0].path_bytes.as_deref(), Some("L2RvY3Mv/w=="));
    assert!(told[0].at.ends_with('Z') && told[3].path_bytes.is_none());
}

/// What cannot be watched is said in words, also when it turns out later.
#[test]
fn what_cannot_be_watched_is_said() {
    let running = serve(Host::new());
    let script = scripted(&running.host, b"/late");
    script.send(seen(WatchKind::Watching, b"/late")).expect("the host has it");
    script.send(NextSighting::Failed("the server is gone".to_owned())).expect("the host has it");
    let (told, result) = watch(&mut running.client(), b"/late");
    assert_eq!(told.len(), 1);
    let refused = result.expect_err("it failed");
    assert!(
        matches!(&refused, ClientError::Failed { name, message }
            if name == "Refused" && message == "the server is gone"),
        "{refused:?}"
    );
    let (_, missing) = watch(&mut running.client(), b"/missing");
    assert!(missing.expect_err("refused").to_string().contains("/missing is not there"));
    let (_, relative) = watch(&mut running.client(), b"docs");
    assert!(relative.expect_err("no path").to_string().contains("path"));
}

/// S-131: who may not see paths may not watch; and nothing is kept to be told in one reply.
#[test]
fn s131_who_may_not_see_paths_may_not_watch() {
    const OWNER: u32 = 1000;
    const GROUP: u32 = 50;
    let local = |uid, gids: &[u32]| Peer::Local { pid: 1, uid, gids: gids.to_vec() };
    let host = Arc::new(Host::new());
    let policy = Policy { group: Some(GROUP), ..Policy::of_owner(OWNER) };
    let service = service(&host, policy);
    let asked = json!({"path": "/docs"});
    assert!(denied(&ask_as(&service, &local(2000, &[]), "Watch", &asked)));
    for peer in [local(0, &[]), local(OWNER, &[]), local(2000, &[7, GROUP])] {
        let reply = ask_as(&service, &peer, "Watch", &asked);
        assert_eq!(reply.error.as_deref(), Some("org.varlink.service.ExpectedMore"), "{peer:?}");
    }
}

/// A client that goes away ends its watch.
#[test]
fn a_watch_ends_with_its_client() {
    let running = serve(Host::new());
    let script = scripted(&running.host, b"/docs");
    script.send(seen(WatchKind::Watching, b"/docs")).expect("the host has it");
    let mut client = running.client();
    let broken = client.watch(b"/docs", &mut |_| ControlFlow::Break(()));
    broken.expect("broken off");
    drop(client);
    eventually("the watch is dropped", || script.send(NextSighting::Timeout).is_err());
}
