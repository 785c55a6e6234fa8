//! Many threads at once, within a bound: owners change, names are resolved, watches come and go;
//! what the outside saw of each prefix is in order all the same.

use crate::rig::{Call, ROOT, Recorder, Scripted, TestRouter, name};
use minirdr::base::clock::SystemClock;
use minirdr::base::status::Status;
use minirdr::mup::net_name::NetName;
use minirdr::mup::resolve::Resolution;
use minirdr::mup::router::{Outside, Router, RouterOptions};
use minirdr::mup::upcalls::{Agent, Claim, KernelNames, ProviderHandle, Purged, Watcher};
use minirdr::mup::watch::{Next, WatchAgent};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

const PREFIXES: [&str; 4] = ["/s/a", "/s/b", "/s/a/in", "/t"];
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Hand-overs that each of the threads tries.
const TRIES: usize = 400;

/// The real agent, and a recorder that sees what it sees.
struct Both {
    recorder: Arc<Recorder>,
    agent: Arc<WatchAgent<u64>>,
    /// How many hand-overs are inside, and the most there ever were.
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Agent for Both {
    fn disable(&self, prefix: &NetName) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        self.recorder.disable(prefix);
        self.agent.disable(prefix);
        std::thread::yield_now();
    }
    fn enable(&self, prefix: &NetName, owner: Option<ProviderHandle>) {
        self.recorder.enable(prefix, owner);
        self.agent.enable(prefix, owner);
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

impl KernelNames for Both {
    fn invalidate(&self, prefix: &NetName, purged: &Purged) {
        self.recorder.invalidate(prefix, purged);
    }
    fn forget(&self, _: &Purged) {}
    fn settle(&self, prefix: &NetName) -> bool {
        self.recorder.settle(prefix)
    }
}

struct Scene {
    router: Arc<TestRouter>,
    both: Arc<Both>,
    handles: [ProviderHandle; 3],
}

impl Scene {
    fn new() -> Self {
        let both = Arc::new(Both {
            recorder: Arc::default(),
            agent: WatchAgent::new(),
            inside: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let outside = Outside {
            agent: Some(both.clone()),
            kernel: both.clone(),
            upstream: both.recorder.clone(),
        };
        let router = Router::new(SystemClock::shared(), outside, RouterOptions::default());
        let handles = NAMES.map(|of| {
            let claim = |asked: &NetName| Ok(Claim::Accepted(asked.depth()));
            let provider = Arc::new(Scripted::new(of, Box::new(claim)));
            router.register(of, provider).expect("a fresh name")
        });
        Self { router: Arc::new(router), both, handles }
    }

    /// Takes what is free, gives up or hands on what is its own, and now and then tries what it may
    /// not.
    fn swap(&self, seed: u64, by: usize) -> u64 {
        let mut random = seed;
        let mut changed = 0;
        for _ in 0..TRIES {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let draw = (random >> 33) as usize;
            let (prefix, own) = (name(PREFIXES[draw % 4]), self.handles[by]);
            let answer = match self.router.owner(&prefix) {
                Ok(owner) if owner == own && draw & 4 == 0 => self.router.release(own, &prefix),
                Ok(owner) if owner == own => {
                    self.router.transfer(own, self.handles[(by + 1) % 3], &prefix)
                }
                Ok(_) if draw & 4 == 0 => self.router.release(own, &prefix),
                Ok(_) | Err(_) => self.router.take(own, &prefix),
            };
            match answer {
                Ok(hand_over) => changed += u64::from(hand_over.changed),
                Err(refused) => assert!([87, 183].contains(&refused.code()), "{refused}"),
            }
        }
        changed
    }

    /// Resolves until it is told to end: whatever it finds is one provider's, from end to end.
    fn look(&self, ended: &AtomicBool, found: &AtomicU64) {
        while !ended.load(Ordering::SeqCst) {
            for prefix in PREFIXES {
                for path in [prefix.to_owned(), format!("{prefix}/f"), "/s".to_owned()] {
                    match self.router.resolve(&name(&path), ROOT, None) {
                        Ok(Resolution::Directory) | Err(Status::ObjectNameNotFound) => {}
                        Ok(Resolution::Share(resolved)) => {
                            assert_eq!(resolved.route.provider().name, resolved.view.provider);
                            assert_eq!(resolved.view.share, name(&path));
                            found.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(status) => panic!("{path}: {status}"),
                    }
                }
            }
        }
    }

    /// Watches come and go, and what they are told makes sense.
    fn watch(&self, ended: &AtomicBool) {
        let clock = SystemClock::new();
        while !ended.load(Ordering::SeqCst) {
            let watches: Vec<_> = PREFIXES
                .iter()
                .map(|prefix| self.both.agent.watch(&name(&format!("{prefix}/f"))).expect("room"))
                .collect();
            self.both.agent.publish(&name("/s/a/f"), &1);
            for watch in &watches {
                while let Next::Told(_) = watch.next(&clock, Some(minirdr::base::clock::Moment(0)))
                {
                }
            }
            let own = self.handles[0];
            for who in [Watcher::Agent, Watcher::Provider(own)] {
                let path = name("/s/b/g");
                if let Err(refused) = self.router.add_watch(who, &path) {
                    assert!([87, 1003, 1168].contains(&refused.code()), "{refused}");
                } else if let Err(refused) = self.router.delete_watch(who, &path) {
                    assert!([87, 1003, 1168].contains(&refused.code()), "{refused}");
                }
            }
        }
    }
}

/// The callbacks of one prefix are whole hand-overs, one after the other.
fn in_order(calls: &[Call]) -> usize {
    let mut of_prefix: HashMap<&NetName, Vec<&'static str>> = HashMap::new();
    for call in calls {
        if let Some(prefix) = call.prefix() {
            of_prefix.entry(prefix).or_default().push(call.word());
        }
    }
    for (prefix, words) in &of_prefix {
        for whole in words.chunks(4) {
            assert_eq!(whole, ["disable", "invalidate", "settle", "enable"], "{prefix}");
        }
    }
    of_prefix.values().map(|words| words.len() / 4).sum()
}

/// Every path's watch was started and stopped in turns, each stop by the owner who was started.
fn upstream_in_turns(calls: &[Call]) {
    let mut started: HashMap<&NetName, ProviderHandle> = HashMap::new();
    for call in calls {
        match call {
            Call::Start(owner, path) => assert_eq!(started.insert(path, *owner), None, "{path}"),
            Call::Stop(owner, path) => assert_eq!(started.remove(path), Some(*owner), "{path}"),
            _ => {}
        }
    }
    assert_eq!(started, HashMap::new(), "nobody watches, and no owner does");
}

#[test]
fn owners_change_under_load() {
    let scene = Scene::new();
    let thread = scene.both.agent.start(scene.router.clone()).expect("room for a thread");
    let (ended, found) = (AtomicBool::new(false), AtomicU64::new(0));
    let changed: u64 = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| scene.look(&ended, &found));
        }
        scope.spawn(|| scene.watch(&ended));
        let swapping: Vec<_> = (0..6)
            .map(|at| {
                let scene = &scene;
                scope.spawn(move || scene.swap(at as u64 + 1, at % 3))
            })
            .collect();
        let changed = swapping.into_iter().map(|it| it.join().expect("no panic")).sum();
        ended.store(true, Ordering::SeqCst);
        changed
    });
    for handle in scene.handles {
        scene.router.withdraw(handle).expect("registered");
    }
    scene.both.agent.stop();
    drop(thread);
    let calls = scene.both.recorder.take();
    let whole = in_order(&calls);
    assert!(whole as u64 >= changed && changed > TRIES as u64 / 4, "{changed} of {whole}");
    upstream_in_turns(&calls);
    assert!(found.load(Ordering::SeqCst) > 0);
    assert!(scene.both.most.load(Ordering::SeqCst) > 1, "prefixes changed hands side by side");
    assert_eq!(scene.router.watched(), []);
    assert_eq!(scene.router.occupancy().names, 0, "no route is left of anybody");
    assert!(scene.router.providers().is_empty());
}
