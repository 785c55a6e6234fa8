//! From a name to a route: who is asked, what is remembered and for how long, what is built once.

use crate::rig::{Call, Found, LIMIT, ROOT, Rig, Scripted, accepting, found, name, wait_until};
use minirdr::base::clock::{Clock, Moment};
use minirdr::base::ids::Caller;
use minirdr::base::name::Name;
use minirdr::base::status::Status;
use minirdr::mup::net_name::NetName;
use minirdr::mup::resolve::{InTransition, Resolution, RouteKey};
use minirdr::mup::router::RouterOptions;
use minirdr::mup::upcalls::{Claim, Views};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

fn share(provider: &'static str, share: &str) -> Result<Found, Status> {
    Ok(Found::Share(provider, share.to_owned()))
}

const NOBODYS: Result<Found, Status> = Err(Status::ObjectNameNotFound);

fn list(rig: &Rig, dir: &str, after: Option<&str>, max: usize) -> Result<Vec<String>, Status> {
    let after = after.map(|after| Name::new(after.as_bytes()).expect("a good name"));
    let names = rig.router.list(&name(dir), after.as_ref(), max)?;
    Ok(names.iter().map(ToString::to_string).collect())
}

#[test]
fn a_prefix_leads_to_its_owner_and_what_is_above_is_a_directory() {
    let rig = Rig::new();
    rig.owner("docs", "/srv1/docs");
    rig.owner("scratch", "/srv2/tmp");
    for (path, expected) in [
        ("/", Ok(Found::Directory)),
        ("/srv1", Ok(Found::Directory)),
        ("/srv1/docs", share("docs", "/srv1/docs")),
        ("/srv1/docs/a/b", share("docs", "/srv1/docs")),
        ("/srv2/tmp", share("scratch", "/srv2/tmp")),
        ("/srv2/other", NOBODYS),
    ] {
        // Twice: what is remembered is what was answered.
        assert_eq!(rig.resolve(path), expected, "{path}");
        let remembered = rig.router.resolve_now(&name(path), ROOT).map(found);
        assert_eq!(remembered, Some(expected), "{path}");
    }
    assert_eq!(list(&rig, "/", None, 10), Ok(vec!["srv1".into(), "srv2".into()]));
    assert_eq!(list(&rig, "/", Some("srv1"), 10), Ok(vec!["srv2".into()]));
    assert_eq!(list(&rig, "/srv1", None, 10), Ok(vec!["docs".into()]));
    assert_eq!(list(&rig, "/srv3", None, 10), Err(Status::ObjectNameNotFound));
    let resolved = rig.router.resolve(&name("/srv1/docs/a/b"), ROOT, None).expect("a share");
    let Resolution::Share(resolved) = resolved else { panic!("not the router's") };
    let asked = name("/srv1/docs/a/b");
    assert_eq!(resolved.rest(&asked).collect::<Vec<_>>(), [b"a", b"b"]);
}

/// namespace.md: a single-share mount is the same router with the prefix at the root.
#[test]
fn one_share_at_the_root() {
    let rig = Rig::new();
    let only = rig.owner("only", "/");
    assert_eq!(rig.resolve("/"), share("only", "/"));
    assert_eq!(rig.resolve("/a/b"), share("only", "/"));
    rig.router.release(only, &NetName::root()).expect("owned");
    assert_eq!(rig.resolve("/"), Ok(Found::Directory));
    assert_eq!(list(&rig, "/", None, 10), Ok(vec![]));
}

/// rdbss.md 7.6: one at a time, in their order; the first claim wins.
#[test]
fn providers_are_asked_in_their_order_and_the_first_claim_wins() {
    let rig = Rig::new();
    let refusing = Arc::new(Scripted::new("refusing", Box::new(|_| Ok(Claim::Refused))));
    let servers = Scripted::everywhere("servers", 2);
    let late = Scripted::everywhere("late", 1);
    for provider in [&refusing, &servers, &late] {
        rig.router.register(provider.name, provider.clone()).expect("a fresh name");
    }
    assert_eq!(rig.resolve("/srv/share/file"), share("servers", "/srv/share"));
    assert_eq!([&refusing, &servers, &late].map(|it| it.asked()[0]), [1, 1, 0]);
    assert_eq!(rig.resolve("/srv"), share("late", "/srv"));
    // Remembered: nobody is asked again.
    assert_eq!(rig.resolve("/srv/share/file"), share("servers", "/srv/share"));
    assert_eq!([&refusing, &servers, &late].map(|it| it.asked()[0]), [2, 2, 1]);
    // Another name of the same share: another claim, the same objects.
    assert_eq!(rig.resolve("/srv/share/other"), share("servers", "/srv/share"));
    assert_eq!(rig.resolve("/srv/share2/x"), share("servers", "/srv/share2"));
    assert_eq!(servers.asked(), [4, 1, 2, 2], "one server, two shares, a view of each");
}

/// Whoever has the prefix is asked alone: a refusal of its owner is not another's chance.
#[test]
fn below_a_prefix_its_owner_alone_is_asked() {
    let rig = Rig::new();
    let greedy = Scripted::everywhere("greedy", 1);
    rig.router.register("greedy", greedy.clone()).expect("a fresh name");
    let server = rig.provider("server", 2);
    rig.router.take(server, &name("/srv")).expect("free");
    assert_eq!(rig.resolve("/srv"), NOBODYS);
    assert_eq!(rig.resolve("/srv/share"), share("server", "/srv/share"));
    assert_eq!(greedy.asked()[0], 0);
}

/// A claim of less than the prefix, of more than the name, or of a directory of the router's own
/// counts as none.
#[test]
fn a_claim_that_is_not_its_to_make_is_none() {
    let rig = Rig::new();
    let wrong = Scripted::new("wrong", Box::new(|name| Ok(Claim::Accepted(name.depth() + 1))));
    let wrong = rig.router.register("wrong", Arc::new(wrong)).expect("a fresh name");
    rig.router.take(wrong, &name("/a/b")).expect("free");
    rig.owner("server", "/srv/x");
    let short = Scripted::new("short", accepting(1));
    let short = rig.router.register("short", Arc::new(short)).expect("a fresh name");
    rig.router.take(short, &name("/c/d")).expect("free");
    assert_eq!(rig.resolve("/a/b/c"), NOBODYS);
    assert_eq!(rig.resolve("/c/d/e"), NOBODYS);
    assert_eq!(rig.resolve("/srv/y"), NOBODYS, "/srv is a directory of the router's");
    assert_eq!(rig.resolve("/new/y"), share("short", "/new"));
}

#[test]
fn answers_are_remembered_for_their_time() {
    let options = RouterOptions {
        route_lifetime: Duration::from_secs(60),
        refusal_lifetime: Duration::from_secs(5),
        ..RouterOptions::default()
    };
    let rig = Rig::with(true, options);
    let server = Scripted::of_depth("server", 2);
    let handle = rig.router.register("server", server.clone()).expect("a fresh name");
    rig.router.take(handle, &name("/srv")).expect("free");
    let ask = || (rig.resolve("/srv/share"), rig.resolve("/srv")).0.is_ok();
    for (wait, claims) in [(0, 2), (4, 2), (1, 3), (4, 3), (50, 4), (1, 5), (0, 5)] {
        rig.clock.advance(Duration::from_secs(wait));
        assert!(ask());
        assert_eq!(server.asked()[0], claims, "at {:?}", rig.clock.now());
    }
    assert_eq!(server.asked()[1..], [1, 1, 1], "a claim made anew finds its objects again");
}

/// A server that cannot be asked now is no refusal: the next one is asked, nothing is remembered.
#[test]
fn a_failure_is_not_remembered() {
    let rig = Rig::new();
    let down = Arc::new(AtomicBool::new(true));
    let is_down = down.clone();
    let flaky = Scripted::new(
        "flaky",
        Box::new(move |_| {
            let down = is_down.load(Ordering::SeqCst);
            if down { Err(Status::BadNetworkPath) } else { Ok(Claim::Accepted(1)) }
        }),
    );
    rig.router.register("flaky", Arc::new(flaky)).expect("a fresh name");
    rig.router.register("deep", Scripted::everywhere("deep", 2)).expect("a fresh name");
    assert_eq!(rig.resolve("/a/b"), share("deep", "/a/b"), "the next one is asked");
    assert_eq!(rig.resolve("/a"), Err(Status::BadNetworkPath), "not ENOENT: it may be there");
    down.store(false, Ordering::SeqCst);
    assert_eq!(rig.resolve("/a"), share("flaky", "/a"));
    assert_eq!(rig.resolve("/a/b"), share("deep", "/a/b"), "the first claim still holds");
}

/// rdbss.md 7.1: latecomers wait for the one in transition; a failed construction wakes them with
/// its error, and the next one tries again.
#[test]
fn latecomers_wait_for_the_construction() {
    let rig = Rig::new();
    let (entered, inside) = channel();
    let (let_go, gate) = channel();
    let gate = std::sync::Mutex::new((entered, gate));
    let mut slow = Scripted::new("slow", accepting(1));
    slow.share = Box::new(move |_| {
        let gate = gate.lock().expect("not poisoned");
        gate.0.send(()).expect("the test listens");
        gate.1.recv().expect("the test lets go")
    });
    let slow = Arc::new(slow);
    let handle = rig.router.register("slow", slow.clone()).expect("a fresh name");
    rig.router.take(handle, &name("/a")).expect("free");
    rig.owner("other", "/b");
    for (result, expected) in
        [(Err(Status::BadNetworkPath), Err(Status::BadNetworkPath)), (Ok(()), share("slow", "/a"))]
    {
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| rig.resolve("/a"))).collect();
            inside.recv_timeout(LIMIT).expect("it is being built");
            let building = InTransition { claims: 1, servers: 0, shares: 1 };
            assert_eq!(rig.router.in_transition(), building);
            assert_eq!(rig.resolve("/b"), share("other", "/b"), "others do not wait");
            assert!(rig.router.resolve_now(&name("/a"), ROOT).is_none());
            // Patience ends while it is built.
            let over = rig.router.resolve(&name("/a"), ROOT, Some(Moment(0)));
            assert_eq!(found(over), Err(Status::IoTimeout));
            let_go.send(result).expect("it waits");
            // Those who came after a failure try again themselves.
            wait_until("all are answered", || {
                if inside.try_recv().is_ok() {
                    let_go.send(result).expect("it waits");
                }
                asking.iter().all(|it| it.is_finished())
            });
            for asking in asking {
                assert_eq!(asking.join().expect("no panic"), expected);
            }
        });
    }
    assert_eq!(rig.router.in_transition(), InTransition::default());
}

/// A hand-over waits for no provider, and what the old owner says afterwards is thrown away.
#[test]
fn an_answer_of_a_former_owner_counts_for_nothing() {
    for answer in [Ok(Claim::Accepted(1)), Err(Status::IoTimeout), Ok(Claim::Refused)] {
        let rig = Rig::new();
        let (entered, inside) = channel();
        let (let_go, gate) = channel::<()>();
        let gate = std::sync::Mutex::new((entered, gate));
        let hanging = Scripted::new(
            "hanging",
            Box::new(move |_| {
                let gate = gate.lock().expect("not poisoned");
                gate.0.send(()).expect("the test listens");
                gate.1.recv().expect("the test lets go");
                answer
            }),
        );
        let hanging = rig.router.register("hanging", Arc::new(hanging)).expect("a fresh name");
        let prefix = name("/a");
        rig.router.take(hanging, &prefix).expect("free");
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| rig.resolve("/a/x"));
            inside.recv_timeout(LIMIT).expect("it is asked");
            let next = rig.provider("next", 1);
            rig.router.transfer(hanging, next, &prefix).expect("it waits for nobody");
            assert_eq!(rig.resolve("/a/x"), share("next", "/a"), "at once");
            let_go.send(()).expect("it waits");
            assert_eq!(asking.join().expect("no panic"), share("next", "/a"), "{answer:?}");
        });
        let routes = rig.router.routes(None, 10).expect("there is one");
        assert!(routes.iter().all(|route| route.owner != hanging), "none of it is left");
        assert_eq!(rig.router.occupancy().names, 1);
    }
}

/// Namespace.md: after `release` returns no route of it is left; others keep theirs.
#[test]
fn a_release_purges_its_routes_and_no_others() {
    let rig = Rig::new();
    let (a, b) = (rig.owner("a", "/srv/a"), rig.owner("b", "/srv/b"));
    let mut held = Vec::new();
    for path in ["/srv/a", "/srv/a/1", "/srv/a/2", "/srv/b/1"] {
        match rig.router.resolve(&name(path), ROOT, None) {
            Ok(Resolution::Share(resolved)) => held.push(resolved),
            other => panic!("{path}: {:?}", found(other)),
        }
    }
    assert!(held.iter().all(|it| it.route.is_current()));
    let hand_over = rig.router.release(a, &name("/srv/a")).expect("owned");
    assert_eq!(hand_over.purged, 3);
    let names = ["/srv/a", "/srv/a/1", "/srv/a/2"].map(name).to_vec();
    assert!(rig.outside.take().contains(&Call::Invalidate(name("/srv/a"), names)));
    let current: Vec<bool> = held.iter().map(|it| it.route.is_current()).collect();
    assert_eq!(current, [false, false, false, true], "handles opened through it are stale");
    let routes = rig.router.routes(None, 10).expect("one is left");
    assert_eq!(routes.iter().map(|it| it.owner).collect::<Vec<_>>(), [b]);
    assert_eq!(rig.resolve("/srv/a/1"), NOBODYS);
    assert_eq!(rig.resolve("/srv/b/1"), share("b", "/srv/b"));
    // Their views live as long as somebody uses them, then the last reference goes.
    let provider = rig.router.provider(a).expect("still registered");
    drop(provider);
    rig.router.deregister(a).expect("it owns nothing");
    assert_eq!(held[0].view.share, name("/srv/a"));
    let weak = Arc::downgrade(held[0].route.provider());
    held.truncate(0);
    assert_eq!(weak.strong_count(), 0, "nothing of the provider is left behind");
}

/// A prefix inside another's takes what was remembered of it, and nothing else.
#[test]
fn a_prefix_inside_a_prefix_is_asked_for_at_once() {
    let rig = Rig::new();
    rig.owner("outer", "/srv");
    for path in ["/srv/in/f", "/srv/out/f"] {
        assert_eq!(rig.resolve(path), share("outer", "/srv"));
    }
    let outer = rig.router.resolve(&name("/srv/out/f"), ROOT, None);
    let Ok(Resolution::Share(outer)) = outer else { panic!("a share") };
    let inner = rig.provider("inner", 2);
    rig.outside.take();
    let hand_over = rig.router.take(inner, &name("/srv/in")).expect("free");
    assert_eq!(hand_over.purged, 1);
    let invalidate = Call::Invalidate(name("/srv/in"), vec![name("/srv/in/f")]);
    assert!(rig.outside.take().contains(&invalidate));
    assert!(outer.route.is_current(), "the outer prefix has kept its owner");
    assert_eq!(rig.resolve("/srv/in/f"), share("inner", "/srv/in"));
    assert_eq!(rig.resolve("/srv/out/f"), share("outer", "/srv"));
    assert_eq!(rig.router.same_prefix(&name("/srv/in/f"), &name("/srv/in/g")), Ok(()));
    for (one, other) in [("/srv/in/f", "/srv/out/f"), ("/", "/srv/out"), ("/x", "/x")] {
        let crossing = rig.router.same_prefix(&name(one), &name(other));
        assert_eq!(crossing, Err(Status::NotSameDevice), "{one} {other}");
    }
    rig.router.release(inner, &name("/srv/in")).expect("owned");
    assert_eq!(rig.resolve("/srv/in/f"), share("outer", "/srv"));
    let routes = rig.router.routes(None, 10).expect("some");
    assert!(routes.iter().all(|route| route.owner != inner));
}

/// What nobody claimed may be claimed by who comes; the kernel is told what it may have kept.
#[test]
fn who_comes_and_goes_is_noticed_below_no_prefix() {
    let rig = Rig::new();
    assert_eq!(rig.resolve("/srv/x"), NOBODYS);
    rig.outside.take();
    let claims = Scripted::everywhere("claims", 1);
    let claims = rig.router.register("claims", claims).expect("a fresh name");
    assert_eq!(rig.outside.take(), [Call::Forget(vec![name("/srv/x")])]);
    assert_eq!(rig.resolve("/srv/x"), share("claims", "/srv"));
    let keys: Vec<RouteKey> =
        rig.router.routes(None, 9).expect("one").into_iter().map(|it| it.key).collect();
    assert_eq!(keys, [RouteKey { prefix: None, name: name("/srv/x") }]);
    let held = rig.router.resolve(&name("/srv/x"), ROOT, None);
    let Ok(Resolution::Share(held)) = held else { panic!("a share") };
    rig.router.deregister(claims).expect("it owns nothing");
    let told = [Call::Forget(vec![name("/srv/x")]), Call::Settle(NetName::root())];
    assert_eq!(rig.outside.take(), told);
    assert!(!held.route.is_current());
    assert_eq!(rig.resolve("/srv/x"), NOBODYS);
}

/// rdbss.md 7.1 and 7.2: credentials are of a view; the group counts as the user does.
#[test]
fn views_are_per_user_and_group_where_the_provider_says_so() {
    let rig = Rig::new();
    let mut strict = Scripted::new("strict", accepting(1));
    strict.views = Views::PerUser;
    let strict = Arc::new(strict);
    let handle = rig.router.register("strict", strict.clone()).expect("a fresh name");
    rig.router.take(handle, &name("/a")).expect("free");
    let view =
        |pid, uid, gid| match rig.router.resolve(&name("/a"), Caller::local(pid, uid, gid), None) {
            Ok(Resolution::Share(resolved)) => resolved.view,
            other => panic!("{:?}", found(other)),
        };
    let first = view(1, 1000, 1000);
    assert!(Arc::ptr_eq(&first, &view(2, 1000, 1000)), "another process of the same user");
    assert!(!Arc::ptr_eq(&first, &view(1, 1000, 27)));
    assert!(!Arc::ptr_eq(&first, &view(1, 1001, 1000)));
    assert!(Arc::ptr_eq(&first, &view(3, 1000, 1000)));
    assert_eq!(strict.asked()[2..], [1, 3], "one share, three views");
    let other = Caller::local(1, 7, 7);
    assert!(rig.router.resolve_now(&name("/a"), other).is_none(), "his view is not built yet");
    for uid in 2000..3000 {
        view(1, uid, uid);
    }
    assert!(Arc::ptr_eq(&first, &view(1, 1000, 1000)), "in use, it is not given up");
    let built = strict.asked()[3];
    view(1, 2000, 2000);
    assert_eq!(strict.asked()[3], built + 1, "not in use, and not one of the last");
}

/// 259 at the end; a listing goes on after its last key, whatever is deleted meanwhile.
#[test]
fn routes_are_listed_in_order_and_survive_deletion() {
    let rig = Rig::new();
    let prefixes = ["/a", "/b", "/c"];
    let handles = [rig.owner("a", "/a"), rig.owner("b", "/b"), rig.owner("c", "/c")];
    for prefix in prefixes {
        for file in 0..10 {
            rig.resolve(&format!("{prefix}/{file}")).expect("owned");
        }
    }
    let page = |after: Option<&RouteKey>| {
        let page = rig.router.routes(after, 7)?;
        assert!(page.len() <= 7 && page.is_sorted_by_key(|route| route.key.clone()));
        Ok(page)
    };
    let (mut after, mut seen) = (None, Vec::new());
    let end = loop {
        match page(after.as_ref()) {
            Ok(page) => {
                after = page.last().map(|route| route.key.clone());
                seen.extend(page);
            }
            Err(end) => break end,
        }
        if seen.len() == 14 {
            // In the middle of the second prefix, which goes away under the cursor.
            rig.router.release(handles[1], &name("/b")).expect("owned");
        }
    };
    assert_eq!(Rig::code::<()>(Err(end)), 259);
    let names: Vec<String> = seen.iter().map(|route| route.key.name.to_string()).collect();
    let expected = (0..10).map(|at| format!("/a/{at}")).chain((0..4).map(|at| format!("/b/{at}")));
    assert_eq!(names, expected.chain((0..10).map(|at| format!("/c/{at}"))).collect::<Vec<_>>());
    assert_eq!(seen[0].share, name("/a"));
}

/// Bounded in number; what is asked for stays, what is not goes.
#[test]
fn the_cache_is_bounded_and_keeps_what_is_asked_for() {
    let options = RouterOptions { names_max: 6400, ..RouterOptions::default() };
    let rig = Rig::with(true, options);
    let server = Scripted::of_depth("server", 1);
    let handle = rig.router.register("server", server.clone()).expect("a fresh name");
    rig.router.take(handle, &name("/a")).expect("free");
    rig.resolve("/a/hot").expect("owned");
    for file in 0..64_000 {
        rig.resolve(&format!("/a/{file}")).expect("owned");
        rig.resolve("/a/hot").expect("owned");
    }
    let occupancy = rig.router.occupancy();
    assert!((6000..=6400).contains(&occupancy.names), "{occupancy:?}");
    assert_eq!(occupancy.evicted_total, 64_001 - occupancy.names as u64);
    assert_eq!(server.asked()[..3], [64_001, 1, 1], "the hot one was never asked for again");
    rig.router.release(handle, &name("/a")).expect("owned");
    let left = rig.router.occupancy();
    assert_eq!(left.names, 0);
    assert!(left.bytes < 1000, "and its memory is given back: {left:?}");
}

#[test]
fn a_provider_that_panics_wedges_no_name() {
    let rig = Rig::new();
    let armed = AtomicBool::new(true);
    let panics = Scripted::new(
        "panics",
        Box::new(move |_| {
            assert!(!armed.swap(false, Ordering::SeqCst), "as a test");
            Ok(Claim::Accepted(1))
        }),
    );
    rig.router.register("panics", Arc::new(panics)).expect("a fresh name");
    assert!(catch_unwind(AssertUnwindSafe(|| rig.resolve("/a"))).is_err());
    assert_eq!(rig.router.in_transition(), InTransition::default());
    assert_eq!(rig.resolve("/a"), share("panics", "/a"));
}
