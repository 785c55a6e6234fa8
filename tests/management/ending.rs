//! A server that ends while it is waited for: what happened before is told, whatever the moment.

use crate::host::{Host, own_policy, service};
use minirdr::base::stop::Notice;
use minirdr::mgmt::authz::Peer;
use minirdr::mgmt::proto::{Reply, Request};
use minirdr::mgmt::service::{Gone, Interest, Replies};
use serde_json::{Value, json};
use std::sync::Arc;

/// Replies to a peer whose server begins to end right after `last` has happened, which is when
/// somebody asks.
struct Ending<'test> {
    last: &'test dyn Fn(),
    replies: Vec<Reply>,
}

impl Replies for Ending<'_> {
    fn send(&mut self, reply: &Reply) -> Result<(), Gone> {
        self.replies.push(reply.clone());
        Ok(())
    }

    fn interest(&mut self) -> Interest {
        (self.last)();
        Interest::Ending
    }
}

/// Every reply to a call that is under way when it happens.
fn replies(host: &Arc<Host>, method: &str, parameters: Value, last: &dyn Fn()) -> Vec<Reply> {
    let service = service(host, own_policy());
    let peer = Peer::Local { pid: 1, uid: own_policy().owner, gids: Vec::new() };
    let method = format!("io.minirdr.Control.{method}");
    let parameters = parameters.as_object().cloned().unwrap_or_default();
    let mut out = Ending { last, replies: Vec::new() };
    let request = Request { method, parameters, more: true, ..Request::default() };
    service.call(&peer, request, &mut out).expect("the peer is there");
    out.replies
}

/// Seen on a real mount, one `umount` in sixty: the stop ended, the daemon went, and who had waited
/// for it was told that the daemon had ended before.
#[test]
fn a_stop_that_ended_in_time_is_told() {
    let host = Arc::new(Host::new());
    let replies = replies(&host, "Stop", json!({}), &|| host.finish());
    let last = replies.last().expect("answered");
    assert_eq!(last.error, None, "{last:?}");
    assert_eq!(last.parameters["report"]["result"], "success");
    assert!(!last.continues);
}

/// The same for one who waits for another's ticket.
#[test]
fn a_ticket_that_ended_in_time_is_told() {
    let host = Arc::new(Host::new());
    let ticket = replies(&host, "Stop", json!({}), &|| {})[0].parameters["ticket"].clone();
    let replies = replies(&host, "Wait", json!({ "ticket": ticket }), &|| host.finish());
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].parameters["report"]["result"], "success", "{replies:?}");
}

/// The last event is told to those who follow.
#[test]
fn the_last_event_is_told() {
    let host = Arc::new(Host::new());
    let replies = replies(&host, "Events", json!({}), &|| host.announce(Notice::Paused));
    let last = replies.last().expect("answered");
    assert!(!last.continues);
    assert_eq!(last.parameters["events"][0]["kind"], "paused", "{replies:?}");
}
