//! Reading events as the routing protocol's `get_event_message` does, and by device.

use crate::host::{Host, NAME, serve};
use minirdr::base::ids::Generation;
use minirdr::base::limits::EVENTS_KEPT;
use minirdr::base::stop::Notice;
use minirdr::mgmt::client::{Client, ClientError};
use minirdr::mgmt::proto::{Event, EventKind, EventsParameters, NO_MORE_ITEMS};
use std::ops::ControlFlow;

/// The next event after a number, if there is one.
fn get_event_message(client: &mut Client, since: u64) -> (u32, u64, Option<EventKind>) {
    let asked = EventsParameters { since: Some(since), max: Some(1), ..Default::default() };
    let mut reply = client.events_of(asked).expect("answered");
    assert!(reply.events.len() <= 1);
    (reply.status, reply.next, reply.events.pop().map(|event| event.what))
}

/// S-92: one event at a time, with the number to go on after; 259 when there is none.
#[test]
fn s92_events_are_read_one_by_one() {
    let running = serve(Host::new());
    let mut client = Client::connect(running.server.socket()).expect("listens");
    assert_eq!(get_event_message(&mut client, 0), (NO_MORE_ITEMS, 0, None));
    running.host.announce(Notice::Paused);
    running.host.announce(Notice::Resumed);
    let (status, next, event) = get_event_message(&mut client, 0);
    assert_eq!((status, next, event), (0, 1, Some(EventKind::Notice(Notice::Paused))));
    let (status, next, event) = get_event_message(&mut client, next);
    assert_eq!((status, next, event), (0, 2, Some(EventKind::Notice(Notice::Resumed))));
    assert_eq!(get_event_message(&mut client, next), (NO_MORE_ITEMS, 2, None));
    assert_eq!(NO_MORE_ITEMS, 259);
    let none = EventsParameters { max: Some(0), ..Default::default() };
    let refused = client.events_of(none).expect_err("nothing is asked for");
    assert!(refused.to_string().contains("max"), "{refused}");
}

/// A client that asks for all gets all, page by page, and is told what is gone.
#[test]
fn all_that_is_kept_comes_in_pages() {
    let running = serve(Host::new());
    for device in ["one", "two", NAME] {
        for _ in 0..2 * EVENTS_KEPT {
            running.host.events.publish(device, Generation(1), Notice::Paused);
        }
    }
    let mut client = Client::connect(running.server.socket()).expect("listens");
    let asked = EventsParameters { since: Some(0), ..Default::default() };
    let reply = client.events_of(asked).expect("answered");
    assert!(reply.events.len() > EVENTS_KEPT, "{} in one page would be all", reply.events.len());
    assert_eq!((reply.status, reply.next), (0, running.host.events.last()));
    let mut next = 1;
    for event in &reply.events {
        let first = match event.what {
            EventKind::Overflow { first_lost, .. } => first_lost,
            EventKind::Notice(_) => event.seq,
        };
        assert_eq!(first, next, "every number, once");
        next = event.seq + 1;
    }
}

/// S-92: by device: others' events are passed over, what is lost is told; a device there is not is
/// no silence.
#[test]
fn s92_events_of_one_device() {
    let running = serve(Host::new());
    let mut client = Client::connect(running.server.socket()).expect("listens");
    running.host.events.publish("other", Generation(1), Notice::Paused);
    running.host.announce(Notice::Resumed);
    running.host.events.publish("other", Generation(1), Notice::Sealed);
    let of = |device: &str, since| EventsParameters {
        since,
        device: Some(device.to_owned()),
        ..Default::default()
    };
    let reply = client.events_of(of(NAME, None)).expect("answered");
    assert_eq!(reply.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2]);
    assert_eq!((reply.status, reply.next), (0, 3), "the others' are passed over");
    let reply = client.events_of(of(NAME, Some(2))).expect("answered");
    assert_eq!((reply.status, reply.next), (NO_MORE_ITEMS, 3));
    let unknown = client.events_of(of("bkk", None));
    let says = |error: &ClientError| error.to_string().contains("device");
    assert!(unknown.as_ref().is_err_and(says), "{unknown:?}");
    let mut seen = Vec::new();
    client
        .follow_events_of(&of(NAME, Some(0)), &mut |event| {
            if seen.is_empty() {
                running.host.events.publish("other", Generation(1), Notice::Paused);
                running.host.announce(Notice::Paused);
            }
            seen.push(event.seq);
            if seen.len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .expect("followed");
    assert_eq!(seen, [2, 5]);
    for _ in 0..2 * EVENTS_KEPT {
        running.host.events.publish("other", Generation(1), Notice::Paused);
    }
    let reply = client.events_of(of(NAME, Some(5))).expect("answered");
    let lost = |event: &Event| matches!(event.what, EventKind::Overflow { .. });
    assert!(reply.events.len() == 1 && reply.events.iter().all(lost), "{:?}", reply.events);
}
