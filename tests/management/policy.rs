//! What a mount changes of the table of who may do what, through the service; and what the host
//! itself denies.

use crate::host::{Host, handle, service, share};
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

/// S-90: a source is opened as the daemon's user, so who may only stop adds, replaces and removes
/// none; one cell gives it to a group.
#[test]
fn s90_the_providers_of_a_mount_are_its_owners() {
    let (member, stranger) = (local(7, &[7, GROUP]), local(7, &[7]));
    let remote = Peer::Remote(([127, 0, 0, 1], 1).into());
    let calls = [
        ("AddProvider", json!({"provider": {"name": "x", "source": "local:/root"}})),
        ("RemoveProvider", json!({"provider": "x"})),
        ("ReplaceProvider", json!({"provider": {"name": "x", "source": "local:/root"}})),
    ];
    let mut overrides = Overrides::NONE;
    overrides.take("group:change-providers", true).expect("a row");
    for overrides in [Overrides::NONE, overrides] {
        let host = Arc::new(Host::new());
        let service = service(&host, Policy { owner: OWNER, group: Some(GROUP), overrides });
        let group_may = overrides != Overrides::NONE;
        for (peer, may) in [
            (&local(0, &[0]), true),
            (&local(OWNER, &[OWNER]), true),
            (&member, group_may),
            (&stranger, false),
            (&remote, false),
        ] {
            for (method, parameters) in &calls {
                let before = host.provider_calls();
                let reply = ask_as(&service, peer, method, parameters);
                assert_eq!(denied(&reply), !may, "{peer:?} {method}");
                assert_eq!(host.provider_calls() - before, usize::from(may), "{peer:?} {method}");
            }
        }
        let abort = json!({"provider": "x", "options": {"mode": "abort"}});
        assert!(denied(&ask_as(&service, &member, "RemoveProvider", &abort)), "no abort");
        assert_eq!(host.effects(), 0, "nothing has changed");
    }
    overrides.take("group:stop", false).expect("a row");
    let host = Arc::new(Host::new());
    let service = service(&host, Policy { owner: OWNER, group: Some(GROUP), overrides });
    for ((method, parameters), may) in calls.iter().zip([true, false, false]) {
        let reply = ask_as(&service, &member, method, parameters);
        assert_eq!(denied(&reply), !may, "what stops one needs the stop as well: {method}");
    }
}

/// S-94: no provider's source stands in mountinfo, so it is not everybody's to read.
#[test]
fn s94_sources_of_providers_are_hidden_with_the_paths() {
    let host = Arc::new(Host::new());
    host.share(share("docs", "local:/srv/secret"));
    let service =
        service(&host, Policy { owner: OWNER, group: Some(GROUP), overrides: Overrides::NONE });
    let text = |reply: &Reply| serde_json::to_string(reply).expect("JSON");
    for parameters in [json!({}), json!({"provider": "docs"})] {
        for (peer, sees) in [
            (local(0, &[0]), true),
            (local(OWNER, &[OWNER]), true),
            (local(7, &[7, GROUP]), true),
            (local(7, &[7]), false),
        ] {
            let reply = ask_as(&service, &peer, "Status", &parameters);
            assert_eq!(text(&reply).contains("secret"), sees, "{peer:?} {reply:?}");
            let kind = reply.parameters["providers"][0]["source"].as_str().expect("a source");
            assert!(kind.starts_with("local:"), "{reply:?}");
        }
    }
    let listed = ask_as(&service, &local(7, &[7]), "List", &json!({}));
    assert!(!text(&listed).contains("secret"), "{listed:?}");
}

/// Who may not do something to a mount is told so first, and not whether it has such a provider.
#[test]
fn a_provider_is_looked_up_for_who_may() {
    let host = Arc::new(Host::new());
    let service = service(&host, Policy::of_owner(OWNER));
    let unknown = json!({"provider": "nobody"});
    for method in ["Stop", "Start", "Pause", "Resume", "RemoveProvider"] {
        assert!(denied(&ask_as(&service, &local(7, &[7]), method, &unknown)), "{method}");
        assert!(!denied(&ask_as(&service, &local(OWNER, &[]), method, &unknown)), "{method}");
    }
    assert_eq!(host.effects(), 0, "nothing has changed");
}
