//! The whole router under shuttle: owners that change while names are resolved, and live watches
//! over a swap. Run with `--cfg shuttle` (docs/TESTING.md, "Model checking").
#![cfg(shuttle)]

#[path = "checkers/shuttle.rs"]
mod checker;

use checker::check;
use minirdr::base::clock::ManualClock;
use minirdr::base::ids::Caller;
use minirdr::base::status::Status;
use minirdr::base::sync::{Mutex, Rank};
use minirdr::mup::net_name::NetName;
use minirdr::mup::resolve::Resolution;
use minirdr::mup::router::{Outside, Router, RouterOptions};
use minirdr::mup::upcalls::{
    Agent, Claim, KernelNames, Provider, ProviderHandle, Purged, Upstream, Views, Watcher,
};
use minirdr::mup::watch::{Next, WatchAgent};
use minirdr::mup::watch_queue::Told;
use shuttle::thread;
use std::collections::HashMap;
use std::sync::Arc;

/// Claims what is below its prefixes; each claim and each object may be overtaken.
struct Claims(&'static str);

impl Provider for Claims {
    type Server = ();
    type Share = ();
    type View = &'static str;

    fn claim(&self, _: &NetName, prefix: Option<&NetName>) -> Result<Claim, Status> {
        thread::yield_now();
        Ok(prefix.map_or(Claim::Refused, |prefix| Claim::Accepted(prefix.depth())))
    }
    fn create_srv_call(&self, _: &NetName) -> Result<(), Status> {
        thread::yield_now();
        Ok(())
    }
    fn create_net_root(&self, _: &Arc<()>, _: &NetName) -> Result<(), Status> {
        thread::yield_now();
        Ok(())
    }
    fn create_v_net_root(&self, _: &Arc<()>, _: Caller) -> Result<&'static str, Status> {
        thread::yield_now();
        Ok(self.0)
    }
    fn views(&self) -> Views {
        Views::PerUser
    }
}

/// What the outside saw.
struct Seen(Mutex<Vec<(&'static str, Option<ProviderHandle>, NetName)>>);

impl Seen {
    fn record(&self, word: &'static str, owner: Option<ProviderHandle>, name: &NetName) {
        self.0.lock().push((word, owner, name.clone()));
        thread::yield_now();
    }

    /// Whole hand-overs for each prefix, and watches that start and stop in turns.
    fn in_order(&self) {
        let mut hand_overs: HashMap<NetName, Vec<&str>> = HashMap::new();
        let mut started: HashMap<NetName, ProviderHandle> = HashMap::new();
        for (word, owner, name) in self.0.lock().iter() {
            match *word {
                "start" => assert_eq!(started.insert(name.clone(), owner.expect("named")), None),
                "stop" => assert_eq!(started.remove(name), *owner),
                word => hand_overs.entry(name.clone()).or_default().push(word),
            }
        }
        for whole in hand_overs.values().flat_map(|words| words.chunks(4)) {
            assert_eq!(whole, ["disable", "invalidate", "settle", "enable"]);
        }
    }
}

/// The recorder and the real agent.
struct Listening(Arc<Seen>, Arc<WatchAgent<u32>>);

impl Agent for Listening {
    fn disable(&self, prefix: &NetName) {
        self.0.record("disable", None, prefix);
        self.1.disable(prefix);
    }
    fn enable(&self, prefix: &NetName, owner: Option<ProviderHandle>) {
        self.0.record("enable", owner, prefix);
        self.1.enable(prefix, owner);
    }
}

impl KernelNames for Seen {
    fn invalidate(&self, prefix: &NetName, _: &Purged) {
        self.record("invalidate", None, prefix);
    }
    fn forget(&self, _: &Purged) {}
    fn settle(&self, prefix: &NetName) -> bool {
        self.record("settle", None, prefix);
        true
    }
}

impl Upstream for Seen {
    fn start(&self, owner: ProviderHandle, path: &NetName) {
        self.record("start", Some(owner), path);
    }
    fn stop(&self, owner: ProviderHandle, path: &NetName) {
        self.record("stop", Some(owner), path);
    }
}

struct Rig {
    router: Arc<Router<Claims>>,
    agent: Arc<WatchAgent<u32>>,
    seen: Arc<Seen>,
    a: ProviderHandle,
    b: ProviderHandle,
}

fn name(path: &str) -> NetName {
    NetName::parse(path.as_bytes()).expect("a good name")
}

impl Rig {
    fn new() -> Self {
        let seen = Arc::new(Seen(Mutex::new(Rank::Leaf, Vec::new())));
        let agent = WatchAgent::new();
        let outside = Outside {
            agent: Some(Arc::new(Listening(seen.clone(), agent.clone()))),
            kernel: seen.clone(),
            upstream: seen.clone(),
        };
        let options = RouterOptions { names_max: 16, ..RouterOptions::default() };
        let router = Arc::new(Router::new(Arc::new(ManualClock::new()), outside, options));
        let [a, b] =
            ["a", "b"].map(|of| router.register(of, Arc::new(Claims(of))).expect("a fresh name"));
        router.take(a, &name("/s")).expect("free");
        Self { router, agent, seen, a, b }
    }

    fn resolve(&self, path: &str, uid: u32) -> Result<&'static str, Status> {
        let caller = Caller { uid, ..Caller::default() };
        match self.router.resolve(&name(path), caller, None)? {
            Resolution::Directory => Ok("directory"),
            Resolution::Share(resolved) => Ok(*resolved.view),
        }
    }
}

/// A name that is resolved while its prefix changes hands is one owner's or the other's; after the
/// hand-over it is the new one's for whoever asks, and no route of the old one is left.
#[test]
fn names_are_resolved_while_their_prefix_changes_hands() {
    check("resolve, resolve | resolve | transfer, resolve", 500, || {
        let rig = Arc::new(Rig::new());
        let asking: Vec<_> = [1, 2]
            .map(|uid| {
                let rig = rig.clone();
                thread::spawn(move || {
                    for path in ["/s/f", "/s/g"] {
                        let found = rig.resolve(path, uid).expect("it has an owner");
                        assert!(["a", "b"].contains(&found), "{found}");
                    }
                })
            })
            .into();
        rig.router.transfer(rig.a, rig.b, &name("/s")).expect("owned");
        assert_eq!(rig.resolve("/s/f", 1), Ok("b"));
        for asking in asking {
            asking.join().expect("no panic");
        }
        let routes = rig.router.routes(None, 16).expect("some");
        assert!(routes.iter().all(|route| route.owner == rig.b), "{routes:?}");
        assert_eq!(rig.router.occupancy().names, routes.len());
        rig.seen.in_order();
    });
}

/// Both want the same prefix, one leaves altogether, and another prefix inside it changes too.
#[test]
fn owners_meet() {
    check("withdraw a | take /s for b | take, release /s/in for b", 500, || {
        let rig = Arc::new(Rig::new());
        let (one, two) = (rig.clone(), rig.clone());
        let takes = thread::spawn(move || {
            let taken = one.router.take(one.b, &name("/s"));
            assert!(taken.is_ok() || taken.is_err_and(|refused| refused.code() == 183));
        });
        let inner = thread::spawn(move || {
            two.router.take(two.b, &name("/s/in")).expect("free");
            two.router.add_watch(Watcher::Provider(two.b), &name("/s/in/f")).expect("its own");
            two.router.release(two.b, &name("/s/in")).expect("owned");
        });
        let released = rig.router.withdraw(rig.a).expect("registered");
        assert_eq!(released.len(), 1);
        takes.join().expect("no panic");
        inner.join().expect("no panic");
        assert_eq!(rig.router.deregister(rig.a).map_err(|refused| refused.code()), Err(87));
        let owner = rig.router.owner(&name("/s")).ok();
        assert!(owner.is_none_or(|owner| owner == rig.b));
        assert_eq!(rig.router.watched(), []);
        rig.seen.in_order();
    });
}

/// A watch that lives over a swap hears of it, at whatever moment it began, and of what happens
/// afterwards; when it ends, the owner is told.
#[test]
fn a_watch_lives_over_a_swap() {
    check("watch, wait | transfer a to b | the agent's thread", 500, || {
        let rig = Arc::new(Rig::new());
        let joins = rig.agent.start(rig.router.clone()).expect("room for a thread");
        let old = rig.agent.watch(&name("/s/old")).expect("room");
        let clock = ManualClock::new();
        assert_eq!(old.next(&clock, None), Next::Told(Told::Watching));
        let swapping = rig.clone();
        let swap = thread::spawn(move || {
            swapping.router.transfer(swapping.a, swapping.b, &name("/s")).expect("owned");
        });
        let new = rig.agent.watch(&name("/s/new")).expect("room");
        assert_eq!(new.next(&clock, None), Next::Told(Told::Watching));
        assert_eq!(old.next(&clock, None), Next::Told(Told::Resync), "one for a swap");
        swap.join().expect("no panic");
        rig.agent.publish(&name("/s/old"), &7);
        let changed = Told::Changed { path: name("/s/old"), change: 7 };
        assert_eq!(old.next(&clock, None), Next::Told(changed));
        drop((old, new));
        rig.router.withdraw(rig.b).expect("registered");
        rig.agent.stop();
        drop(joins);
        assert_eq!(rig.router.watched(), []);
        rig.seen.in_order();
    });
}
