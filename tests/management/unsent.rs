//! What did not reach the server: who may see it, replay it, discard it.

use crate::host::{Host, service};
use crate::{ask_as, denied};
use minirdr::mgmt::authz::{Peer, Policy};
use minirdr::mgmt::overrides::Overrides;
use serde_json::json;
use std::sync::Arc;

/// S-54: unsent data of other people is for root and the owner to write or to throw away; the group
/// may see what it is, others only how much.
#[test]
fn i6_others_data_is_not_for_everybody() {
    let host = Arc::new(Host::new());
    let service =
        service(&host, Policy { owner: 1000, group: Some(50), overrides: Overrides::NONE });
    let local = |uid, gids: &[u32]| Peer::Local { pid: 1, uid, gids: gids.to_vec() };
    let (member, stranger) = (local(2000, &[50]), local(2000, &[2000]));
    for method in ["Replay", "Discard"] {
        for peer in [&stranger, &member] {
            let reply = ask_as(&service, peer, method, &json!({}));
            assert!(denied(&reply), "{method}: {reply:?}");
        }
    }
    assert_eq!(host.effects(), 0, "nothing changed");
    let seen = ask_as(&service, &member, "Unsent", &json!({})).parameters;
    assert_eq!(seen["entries"][0]["path"], "secret/unsent");
    let hidden = ask_as(&service, &stranger, "Unsent", &json!({})).parameters;
    assert_eq!((&hidden["redacted"], &hidden["entries"][0]["bytes"]), (&json!(true), &json!(7)));
    assert!(!serde_json::to_string(&hidden).expect("JSON").contains("secret"), "{hidden:?}");
    for peer in [local(0, &[]), local(1000, &[])] {
        let forced = json!({"force": true});
        let replayed = ask_as(&service, &peer, "Replay", &forced).parameters;
        assert_eq!(replayed["outcomes"][0]["result"], "replayed");
        let discarded = ask_as(&service, &peer, "Discard", &json!({})).parameters;
        assert_eq!(discarded["outcomes"][0]["result"], "discarded");
    }
    assert_eq!(host.effects(), 4);
    let odd = ask_as(&service, &local(0, &[]), "Replay", &json!({"forse": true}));
    assert_eq!(odd.error.as_deref(), Some("org.varlink.service.InvalidParameter"));
}
