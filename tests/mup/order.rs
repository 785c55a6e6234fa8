//! The order of a hand-over (namespace.md, invariant 2), what it answers, and what it waits for.

use crate::rig::{Call, LIMIT, Rig, Scripted, name, wait_until};
use minirdr::mup::refused::Refused;
use minirdr::mup::router::{HandOver, RouterOptions};
use minirdr::mup::upcalls::Watcher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

fn words(calls: &[Call]) -> Vec<&'static str> {
    calls.iter().map(Call::word).collect()
}

/// The table "Owners" of namespace.md, row by row.
#[test]
fn every_call_answers_as_the_table_says() {
    let rig = Rig::new();
    let router = &rig.router;
    let (a, b) = (rig.provider("a", 2), rig.provider("b", 2));
    assert_eq!(Rig::code(router.register("a", Scripted::of_depth("a", 1))), 183);
    let docs = name("/srv1/docs");
    assert_eq!(router.owner(&docs).unwrap_err().code(), 1168);
    assert_eq!(Rig::code(router.take(a, &docs)), 0);
    assert_eq!(Rig::code(router.take(b, &docs)), 183);
    assert_eq!(router.owner(&docs), Ok(a));
    rig.outside.take();
    let again = router.take(a, &docs).expect("own again");
    assert_eq!(again, HandOver { changed: false, purged: 0, settled: true });
    assert_eq!(rig.outside.take(), [], "own again: no callbacks");
    for (handle, prefix) in [(b, "/srv1/docs"), (a, "/srv1"), (a, "/srv1/docs/x")] {
        assert_eq!(Rig::code(router.release(handle, &name(prefix))), 87, "{prefix}");
    }
    assert_eq!(Rig::code(router.transfer(b, a, &docs)), 87);
    // Watches: the agent below any prefix, a provider below its own.
    let path = name("/srv1/docs/x");
    assert_eq!(router.add_watch(Watcher::Provider(b), &path).unwrap_err().code(), 87);
    assert_eq!(Rig::code(router.add_watch(Watcher::Provider(a), &path)), 0);
    assert_eq!(router.add_watch(Watcher::Agent, &path), Ok(true));
    assert_eq!(router.add_watch(Watcher::Agent, &path), Ok(false), "it is watched once");
    assert_eq!(Rig::code(router.add_watch(Watcher::Agent, &name("/srv2/x"))), 1168);
    assert_eq!(Rig::code(router.delete_watch(Watcher::Agent, &path)), 0);
    assert_eq!(Rig::code(router.delete_watch(Watcher::Agent, &path)), 1168);
    assert_eq!(Rig::code(router.delete_watch(Watcher::Provider(b), &path)), 87);
    // Invariant 3: with an owned prefix 1003 and nothing changed; released 0; then 87 for ever.
    assert_eq!(Rig::code(router.deregister(a)), 1003);
    assert_eq!(router.owner(&docs), Ok(a));
    assert_eq!(Rig::code(router.release(a, &docs)), 0);
    assert_eq!(router.owner(&docs).unwrap_err().code(), 1168);
    assert_eq!(Rig::code(router.release(a, &docs)), 87, "unknown");
    assert_eq!(Rig::code(router.deregister(a)), 0);
    for _ in 0..2 {
        assert_eq!(Rig::code(router.deregister(a)), 87);
        assert_eq!(Rig::code(router.take(a, &docs)), 87);
        assert_eq!(Rig::code(router.release(a, &docs)), 87);
        assert_eq!(Rig::code(router.transfer(b, a, &docs)), 87);
        assert_eq!(router.add_watch(Watcher::Provider(a), &path).unwrap_err().code(), 87);
        assert_eq!(Rig::code(router.withdraw(a)), 87);
    }
    let new = rig.provider("a", 2);
    assert!(new != a && new != b, "a handle is never used again");
    assert_eq!(router.routes(None, 10).unwrap_err().code(), 259);
}

#[test]
fn disable_comes_before_purge_and_purge_before_enable() {
    let rig = Rig::new();
    let (a, b) = (rig.provider("a", 2), rig.provider("b", 2));
    let docs = name("/srv1/docs");
    rig.outside.take();
    let handed = [
        (rig.router.take(a, &docs), Some(a)),
        (rig.router.transfer(a, b, &docs), Some(b)),
        (rig.router.release(b, &docs), None),
    ];
    let calls = rig.outside.take();
    for ((result, owner), calls) in handed.into_iter().zip(calls.chunks(4)) {
        let hand_over = result.expect("legal");
        assert!(hand_over.changed && hand_over.settled);
        assert_eq!(
            calls,
            [
                Call::Disable(docs.clone()),
                Call::Invalidate(docs.clone(), Vec::new()),
                Call::Settle(docs.clone()),
                Call::Enable(docs.clone(), owner),
            ]
        );
    }
    assert_eq!(calls.len(), 12);
}

#[test]
fn without_an_agent_no_callback_of_it() {
    let rig = Rig::with(false, RouterOptions::default());
    let a = rig.provider("a", 2);
    let docs = name("/srv1/docs");
    rig.router.take(a, &docs).expect("free");
    rig.router.release(a, &docs).expect("owned");
    let calls = rig.outside.take();
    assert_eq!(words(&calls), ["invalidate", "settle", "invalidate", "settle"]);
    rig.router.take(a, &docs).expect("free");
    assert_eq!(Rig::code(rig.router.add_watch(Watcher::Agent, &docs)), 1003);
}

/// The owner changes between disable and the invalidations: nobody sees the one without the other.
#[test]
fn the_owner_changes_inside() {
    let rig = Rig::new();
    let a = rig.provider("a", 2);
    let docs = name("/srv1/docs");
    let (seen, owners) = channel();
    let router = Arc::downgrade(&rig.router);
    let (of, seen) = (docs.clone(), std::sync::Mutex::new(seen));
    let hook = move |call: &Call| {
        let router = router.upgrade().expect("the test holds it");
        let owned = router.owner(&of).is_ok();
        seen.lock().expect("not poisoned").send((call.word(), owned)).expect("the test listens");
    };
    assert!(rig.outside.hook.set(Box::new(hook)).is_ok());
    rig.router.take(a, &docs).expect("free");
    rig.router.release(a, &docs).expect("owned");
    let seen: Vec<_> = owners.try_iter().collect();
    let whole = |before: bool| {
        let after = !before;
        [("disable", before), ("invalidate", after), ("settle", after), ("enable", after)]
    };
    assert_eq!(seen, [whole(false), whole(true)].concat());
}

/// Inside a callback everything that could wait for it is answered 1003.
#[test]
fn a_callback_that_calls_back_is_answered_1003() {
    let rig = Rig::new();
    let (a, b) = (rig.owner("a", "/a"), rig.provider("b", 1));
    let answers = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (router, told) = (Arc::downgrade(&rig.router), answers.clone());
    let hook = move |_: &Call| {
        let router = router.upgrade().expect("the test holds it");
        let (prefix, other) = (name("/a"), name("/b"));
        let mut told = told.lock().expect("not poisoned");
        told.extend([
            Rig::code(router.take(b, &other)),
            Rig::code(router.release(a, &prefix)),
            Rig::code(router.transfer(a, b, &prefix)),
            Rig::code(router.deregister(b)),
            Rig::code(router.withdraw(a)),
            Rig::code(router.register("c", Scripted::of_depth("c", 1))),
            Rig::code(router.add_watch(Watcher::Agent, &prefix)),
            Rig::code(router.delete_watch(Watcher::Agent, &prefix)),
            Rig::code(router.add_watch(Watcher::Provider(a), &prefix)),
            Rig::code(router.wait_at_rest(&prefix)),
        ]);
    };
    assert!(rig.outside.hook.set(Box::new(hook)).is_ok());
    rig.router.add_watch(Watcher::Agent, &name("/a/x")).expect("owned");
    rig.router.release(a, &name("/a")).expect("owned");
    let answers = answers.lock().expect("not poisoned");
    assert_eq!(*answers, vec![1003; 10 * 6], "start, disable, stop, invalidate, settle, enable");
}

/// From another thread the agent's calls about this prefix are answered 1003 meanwhile, those about
/// other prefixes are not.
#[test]
fn the_agent_is_disabled_for_this_prefix_alone() {
    let rig = Rig::new();
    let (a, _) = (rig.owner("a", "/a"), rig.owner("b", "/b"));
    let (entered, inside) = channel();
    let (let_go, gate) = channel::<()>();
    let (entered, gate) = (std::sync::Mutex::new(entered), std::sync::Mutex::new(gate));
    let hook = move |call: &Call| {
        if call.prefix() == Some(&name("/a")) {
            entered.lock().expect("not poisoned").send(call.word()).expect("the test listens");
            gate.lock().expect("not poisoned").recv().expect("the test lets go");
        }
    };
    assert!(rig.outside.hook.set(Box::new(hook)).is_ok());
    std::thread::scope(|scope| {
        let release = scope.spawn(|| rig.router.release(a, &name("/a")));
        for word in ["disable", "invalidate", "settle", "enable"] {
            assert_eq!(inside.recv_timeout(LIMIT), Ok(word));
            let watch = |path| rig.router.add_watch(Watcher::Agent, &name(path));
            let refused = Err(Refused::Disabled(name("/a")));
            assert_eq!(watch("/a/x"), refused, "while {word}");
            assert_eq!(Rig::code(rig.router.delete_watch(Watcher::Agent, &name("/a/x"))), 1003);
            assert_eq!(watch("/b/x"), Ok(word == "disable"));
            let_go.send(()).expect("it waits");
        }
        assert!(release.join().expect("no panic").expect("owned").changed);
    });
    assert_eq!(Rig::code(rig.router.add_watch(Watcher::Agent, &name("/a/x"))), 1168);
}

/// Different prefixes change hands side by side: each waits inside its disable for the other.
#[test]
fn different_prefixes_change_hands_in_parallel() {
    let rig = Rig::new();
    let a = rig.provider("a", 1);
    let inside = Arc::new(AtomicUsize::new(0));
    let counted = inside.clone();
    let hook = move |call: &Call| {
        if call.word() == "disable" {
            counted.fetch_add(1, Ordering::SeqCst);
            wait_until("both are inside", || counted.load(Ordering::SeqCst) == 2);
        }
    };
    assert!(rig.outside.hook.set(Box::new(hook)).is_ok());
    std::thread::scope(|scope| {
        for prefix in ["/a", "/b"] {
            scope.spawn(|| rig.router.take(a, &name(prefix)).expect("free"));
        }
    });
    assert_eq!(inside.load(Ordering::SeqCst), 2);
}

/// The same prefix changes hands once at a time: who comes second is answered by what the first
/// has made of it.
#[test]
fn one_prefix_changes_hands_once_at_a_time() {
    let rig = Rig::new();
    let (a, b) = (rig.provider("a", 1), rig.provider("b", 1));
    let prefix = name("/a");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let (router, prefix) = (&rig.router, &prefix);
        let takes = [a, b, a, b].map(|by| scope.spawn(move || router.take(by, prefix)));
        takes.into_iter().map(|take| take.join().expect("no panic")).collect()
    });
    let changed = answers.iter().filter(|it| it.as_ref().is_ok_and(|it| it.changed)).count();
    assert_eq!(changed, 1);
    assert_eq!(answers.into_iter().filter(|it| Rig::code(it.clone()) == 183).count(), 2);
    let calls = rig.outside.take();
    assert_eq!(words(&calls), ["disable", "invalidate", "settle", "enable"]);
    assert!(rig.router.owner(&prefix).is_ok());
}

/// A notifier that is stuck does not hang the hand-over, which says so.
#[test]
fn a_stuck_notifier_is_told_and_not_waited_for() {
    let rig = Rig::new();
    let a = rig.provider("a", 1);
    rig.outside.stuck.store(true, Ordering::SeqCst);
    let hand_over = rig.router.take(a, &name("/a")).expect("free");
    assert_eq!(hand_over, HandOver { changed: true, purged: 0, settled: false });
}

/// A callback that panics leaves a prefix at rest, with the owner it has by then.
#[test]
fn a_panic_in_a_callback_wedges_nothing() {
    for (at, owned) in [("disable", false), ("invalidate", true), ("enable", true)] {
        let rig = Rig::new();
        let a = rig.provider("a", 1);
        let armed = AtomicUsize::new(1);
        let hook = move |call: &Call| {
            assert!(call.word() != at || armed.swap(0, Ordering::SeqCst) == 0, "as a test");
        };
        assert!(rig.outside.hook.set(Box::new(hook)).is_ok());
        let prefix = name("/a");
        let caught = catch_unwind(AssertUnwindSafe(|| rig.router.take(a, &prefix)));
        assert!(caught.is_err(), "{at}");
        assert_eq!(rig.router.owner(&prefix).is_ok(), owned, "{at}");
        rig.router.wait_at_rest(&prefix).expect("outside a callback");
        assert_eq!(Rig::code(rig.router.take(a, &prefix)), 0);
        assert_eq!(Rig::code(rig.router.release(a, &prefix)), 0);
        assert_eq!(Rig::code(rig.router.deregister(a)), 0, "nothing is on its way to it");
    }
}

/// Step 6 of a stop: every prefix, each in its order, then the provider.
#[test]
fn a_provider_withdraws() {
    let rig = Rig::new();
    let a = rig.owner("a", "/srv1/docs");
    rig.owner("b", "/srv1/b");
    rig.router.take(a, &name("/srv0/x")).expect("free");
    rig.outside.take();
    let released = rig.router.withdraw(a).expect("registered");
    let released: Vec<String> = released.iter().map(|(prefix, _)| prefix.to_string()).collect();
    assert_eq!(released, ["/srv0/x", "/srv1/docs"]);
    let calls = rig.outside.take();
    let prefixes: Vec<String> =
        calls.iter().filter_map(Call::prefix).map(ToString::to_string).collect();
    assert_eq!(prefixes, [["/srv0/x"; 4], ["/srv1/docs"; 4]].concat());
    assert_eq!(Rig::code(rig.router.deregister(a)), 87);
    let left = rig.router.providers();
    assert_eq!(left.len(), 1);
    assert_eq!((&*left[0].name, &left[0].prefixes[..]), ("b", &[name("/srv1/b")][..]));
}
