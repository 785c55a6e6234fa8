//! What a mount changes of the table of who may do what, through the service; and what the host
//! itself denies.

use crate::host::{Host, handle, service};
use crate::{ask_as, denied};
use minirdr::mgmt::authz::{Peer, Policy};
use minirdr::mgmt::overrides::Overrides;
use minirdr::mgmt::proto::Reply;
use serde_json::json;
use std::sync::Arc;

const OWNER: u32 = 1000;
const GROUP: u32 = 50;

fn local(uid: u32, gids: &[u32]) -> Peer {
    Peer::Local { pid: 1, uid, gids: gids.to_vec() }
}

/// S-91: what is changed is asked before any effect, as the rest of the table is.
#[test]
fn s91_overrides_are_obeyed_on_every_call() {
    let mut overrides = Overrides::NONE;
    for (word, allow) in [
        ("group:abort", true),
        ("group:start+see-paths", false),
        ("other:pause", true),
        ("other:read", false),
    ] {
        overrides.take(word, allow).expect(word);
    }
    let host = Arc::new(Host::new());
    host.open([handle(1, b"secret/path")]);
    let service = service(&host, Policy { owner: OWNER, group: Some(GROUP), overrides });
    let (member, stranger) = (local(7, &[7, GROUP]), local(7, &[7]));
    let ask = |peer: &Peer, method: &str| ask_as(&service, peer, method, &json!({}));
    let text = |reply: &Reply| serde_json::to_string(reply).expect("JSON");

    let refused = ask(&member, "Start");
    assert!(denied(&refused) && text(&refused).contains("root and its owner may"), "{refused:?}");
    assert!(!text(&ask(&member, "Handles")).contains("secret"), "paths are not the group's");
    let refused = ask(&stranger, "Status");
    assert!(denied(&refused), "{refused:?}");
    let members = "only root, its owner and its group may";
    assert!(text(&refused).contains(members), "{refused:?}");
    assert!(denied(&ask(&stranger, "Stop")));
    assert_eq!(host.effects(), 0, "nothing has changed");

    assert!(!denied(&ask(&stranger, "Pause")));
    let abort = json!({"options": {"mode": "abort"}});
    assert!(!denied(&ask_as(&service, &member, "Stop", &abort)));
    assert_eq!(host.effects(), 2);
    assert!(text(&ask(&local(OWNER, &[]), "Handles")).contains("secret"), "the owner sees all");
}

/// S-78: who may let remote management listen is asked; and a mount that has none says so.
#[test]
fn s78_listening_is_asked_for_by_those_who_may() {
    let host = Arc::new(Host::new());
    let policy = Policy { owner: OWNER, group: Some(GROUP), overrides: Overrides::NONE };
    let service = service(&host, policy);
    for (peer, may) in [
        (local(0, &[0]), true),
        (local(OWNER, &[]), true),
        (local(7, &[GROUP]), true),
        (local(7, &[7]), false),
        (Peer::Remote(([127, 0, 0, 1], 1).into()), false),
    ] {
        let reply = ask_as(&service, &peer, "Listen", &json!({}));
        assert_eq!(denied(&reply), !may, "{peer:?}");
        if may {
            assert_eq!(reply.parameters["status"], 1714, "{reply:?}");
        }
    }
}
