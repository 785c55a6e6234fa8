//! Handles and holders over the socket: in pages, counted beyond the bound, and one taken away.

use crate::host::{Host, handle, serve};
use crate::raw_call;
use minirdr::base::ids::HandleNumber;
use minirdr::base::limits::{LISTED_MAX, MERGED_MAX, PAGE_MAX};
use minirdr::base::stop::CallResult;
use std::ops::ControlFlow;

/// Handles come in pages to whoever takes more, at once if they are few, and else not at all.
#[test]
fn handles_come_in_pages() {
    let running = serve(Host::new());
    let mut client = running.client();
    running.host.open((0..10).map(|number| handle(number, b"caf\xe9")));
    let few = client.handles().expect("answered");
    assert_eq!((few.handles.len(), few.holders.len(), few.redacted), (10, 10, false));
    assert_eq!(few.handles[3], handle(3, b"caf\xe9"));
    running.host.open((10..3000).map(|number| handle(number, b"x")));
    let mut pages = 0;
    let mut handles = 0;
    client
        .handles_paged(&mut |page| {
            assert!(page.handles.len() <= PAGE_MAX && page.holders.len() <= PAGE_MAX);
            pages += 1;
            handles += page.handles.len();
            ControlFlow::Continue(())
        })
        .expect("answered");
    assert_eq!(handles, 3000);
    assert!(pages >= 3000 / PAGE_MAX);
    let reply = raw_call(&running, b"{\"method\":\"io.minirdr.Control.Handles\"}\0");
    assert_eq!(reply.error.as_deref(), Some("org.varlink.service.ExpectedMore"));
    // Broken off in the middle, the client is still good for the next call.
    client.handles_paged(&mut |_| ControlFlow::Break(())).expect("broken off");
    let check = client.check().expect("answered");
    assert_eq!((check.result, check.holders_total), (CallResult::HasOpenHandles, 3000));
    assert!(check.holders.len() < 3000, "cut, and the total says so");
    assert_eq!(check.holders[0].pid, Some(std::process::id()));
}

/// S-58: more handles than are merged are counted, exactly, and others are answered meanwhile.
#[test]
fn handles_beyond_the_bound_are_counted() {
    let running = serve(Host::new());
    let count = MERGED_MAX as u64 + 1000;
    running.host.open((0..count).map(|number| handle(number, b"x")));
    let mut client = running.client();
    let reply = client.holders().expect("answered");
    assert_eq!((reply.handles.len(), reply.holders.len()), (0, MERGED_MAX));
    assert_eq!((reply.more_handles, reply.handles_total), (1000, count));
    assert_eq!((reply.unsent_bytes, reply.incomplete), (7 * count, false));
    let check = client.check().expect("answered");
    assert_eq!((check.holders_total, check.holders.len()), (count, LISTED_MAX));
    let (mut listed, mut answered) = (0, 0);
    let mut other = running.client();
    client
        .handles_paged(&mut |page| {
            listed += page.handles.len() as u64;
            if page.handles.len() == PAGE_MAX && listed % 16_384 == 0 {
                other.status().expect("answered beside a listing");
                answered += 1;
            }
            ControlFlow::Continue(())
        })
        .expect("answered");
    assert_eq!((listed, answered > 0), (count, true));
}

/// A handle is taken from its holder by root and the owner; one that is not open is none.
#[test]
fn a_handle_is_detached() {
    let running = serve(Host::new());
    running.host.open([handle(3, b"a"), handle(4, b"b")]);
    let mut client = running.client();
    let detached = client.detach(HandleNumber(3)).expect("allowed");
    assert_eq!((detached.handle.handle, detached.open_handles), (HandleNumber(3), 1));
    assert!(!detached.already && client.detach(HandleNumber(3)).expect("there").already);
    let listed = client.holders().expect("answered");
    let kinds: Vec<_> = listed.holders.iter().map(|one| (one.kind.as_str(), one.handle)).collect();
    let expected = [("detached", Some(HandleNumber(3))), ("handle", Some(HandleNumber(4)))];
    assert_eq!(kinds, expected);
    assert_eq!(client.check().expect("answered").holders_total, 1, "nobody waits for it");
    let error = client.detach(HandleNumber(9)).expect_err("not open");
    assert_eq!(error.to_string(), "handle 9 is not open");
    let text = b"{\"method\":\"io.minirdr.Control.Detach\"}\0";
    let reply = raw_call(&running, text);
    assert_eq!(reply.error.as_deref(), Some("org.varlink.service.InvalidParameter"));
}
