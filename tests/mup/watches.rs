//! The watch agent on a router: first and last watcher, a swap, bounds, and whose thread does it.

use crate::rig::{Call, LIMIT, Recorder, Scripted, TestRouter, name, wait_until};
use minirdr::base::clock::{Clock, SystemClock};
use minirdr::base::limits::{WATCH_CHANGES_KEPT, WATCHES_MAX};
use minirdr::base::threads::Thread;
use minirdr::mup::net_name::NetName;
use minirdr::mup::router::{Outside, Router, RouterOptions};
use minirdr::mup::upcalls::{Agent, ProviderHandle};
use minirdr::mup::watch::{Next, Watch, WatchAgent};
use minirdr::mup::watch_queue::Told;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The real agent between the router and the recorder.
struct Watching {
    router: Arc<TestRouter>,
    agent: Arc<WatchAgent<u32>>,
    outside: Arc<Recorder>,
    clock: SystemClock,
    thread: Option<Thread>,
}

/// Writes down what the agent is told too.
struct Both(Arc<Recorder>, Arc<WatchAgent<u32>>);

impl Agent for Both {
    fn disable(&self, prefix: &NetName) {
        self.0.disable(prefix);
        self.1.disable(prefix);
    }
    fn enable(&self, prefix: &NetName, owner: Option<ProviderHandle>) {
        self.0.enable(prefix, owner);
        self.1.enable(prefix, owner);
    }
}

impl Watching {
    fn new() -> Self {
        let outside = Arc::new(Recorder::default());
        let agent = WatchAgent::new();
        let called = Outside {
            agent: Some(Arc::new(Both(outside.clone(), agent.clone()))),
            kernel: outside.clone(),
            upstream: outside.clone(),
        };
        let clock = SystemClock::new();
        let router = Router::new(SystemClock::shared(), called, RouterOptions::default());
        let router = Arc::new(router);
        let thread = Some(agent.start(router.clone()).expect("room for a thread"));
        Self { router, agent, outside, clock, thread }
    }

    fn owner(&self, of: &'static str, prefix: &str) -> ProviderHandle {
        let handle = self.provider(of);
        self.router.take(handle, &name(prefix)).expect("free");
        handle
    }

    fn provider(&self, of: &'static str) -> ProviderHandle {
        self.router.register(of, Scripted::of_depth(of, 1)).expect("a fresh name")
    }

    fn watch(&self, path: &str) -> Watch<u32> {
        self.agent.watch(&name(path)).expect("room")
    }

    fn next(&self, watch: &Watch<u32>) -> Told<u32> {
        match watch.next(&self.clock, Some(self.clock.now().after(LIMIT))) {
            Next::Told(told) => told,
            other => panic!("{other:?} for {}", watch.path()),
        }
    }

    /// Does nothing wait?
    fn is_quiet(&self, watch: &Watch<u32>) -> bool {
        watch.next(&self.clock, Some(self.clock.now())) == Next::Timeout
    }

    fn upstream(&self) -> Vec<Call> {
        let calls = self.outside.all();
        calls.into_iter().filter(|call| matches!(call, Call::Start(..) | Call::Stop(..))).collect()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.agent.stop();
        drop(self.thread.take());
    }
}

fn changed(path: &str, change: u32) -> Told<u32> {
    Told::Changed { path: name(path), change }
}

#[test]
fn the_first_watcher_starts_upstream_and_the_last_one_stops_it() {
    let rig = Watching::new();
    let a = rig.owner("a", "/a");
    let one = rig.watch("/a/docs");
    assert_eq!(rig.next(&one), Told::Watching);
    let two = rig.watch("/a/docs");
    assert_eq!(rig.next(&two), Told::Watching);
    assert_eq!(rig.upstream(), [Call::Start(a, name("/a/docs"))]);
    rig.agent.publish(&name("/a/docs/plan"), &7);
    rig.agent.publish(&name("/a/docs/deeper/plan"), &8);
    rig.agent.publish(&name("/a/docs"), &9);
    for watch in [&one, &two] {
        assert_eq!(rig.next(watch), changed("/a/docs/plan", 7));
        assert_eq!(rig.next(watch), changed("/a/docs", 9));
        assert!(rig.is_quiet(watch));
    }
    drop(one);
    rig.agent.publish(&name("/a/docs/x"), &1);
    assert_eq!(rig.next(&two), changed("/a/docs/x", 1));
    drop(two);
    wait_until("the owner is told of the last one", || rig.upstream().len() == 2);
    assert_eq!(rig.upstream()[1], Call::Stop(a, name("/a/docs")));
    assert_eq!((rig.agent.watches(), rig.router.watched()), (0, vec![]));
}

/// namespace.md, invariant 4: watches stay over a swap and get one `resync`, whether the prefix had
/// no owner meanwhile or not; those below other prefixes notice nothing.
#[test]
fn a_swap_is_one_resync() {
    for transfer in [true, false] {
        let rig = Watching::new();
        let (a, b) = (rig.owner("a", "/a"), rig.provider("b"));
        rig.owner("other", "/other");
        let (watch, other) = (rig.watch("/a/docs"), rig.watch("/other/x"));
        assert_eq!(rig.next(&watch), Told::Watching);
        assert_eq!(rig.next(&other), Told::Watching);
        if transfer {
            rig.router.transfer(a, b, &name("/a")).expect("owned");
        } else {
            rig.router.release(a, &name("/a")).expect("owned");
            rig.router.take(b, &name("/a")).expect("free");
        }
        assert_eq!(rig.next(&watch), Told::Resync);
        rig.agent.publish(&name("/a/docs/new"), &1);
        assert_eq!(rig.next(&watch), changed("/a/docs/new", 1), "one resync, and it goes on");
        assert!(rig.is_quiet(&other));
        let path = || name("/a/docs");
        let mut of_path = rig.upstream();
        of_path
            .retain(|call| matches!(call, Call::Start(_, at) | Call::Stop(_, at) if *at == path()));
        let expected = [Call::Start(a, path()), Call::Stop(a, path()), Call::Start(b, path())];
        assert_eq!(of_path, expected);
    }
}

/// Re-subscription is never inside disable and enable, and on the agent's own thread.
#[test]
fn watches_are_joined_again_afterwards_by_the_agents_thread() {
    let rig = Watching::new();
    let inside = AtomicUsize::new(0);
    let strangers = Arc::new(Mutex::new(Vec::new()));
    let seen = strangers.clone();
    let hook = move |call: &Call| match call {
        Call::Disable(_) => assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0),
        Call::Enable(..) => assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1),
        Call::Start(..) => {
            let thread = std::thread::current().name().unwrap_or("?").to_owned();
            if thread != "mup-watch" || inside.load(Ordering::SeqCst) != 0 {
                seen.lock().expect("not poisoned").push(thread);
            }
        }
        _ => {}
    };
    assert!(rig.outside.hook.set(Box::new(hook)).is_ok());
    let (a, b) = (rig.owner("a", "/a"), rig.provider("b"));
    let watches: Vec<_> = (0..20).map(|at| rig.watch(&format!("/a/{at}"))).collect();
    for watch in &watches {
        assert_eq!(rig.next(watch), Told::Watching);
    }
    for (from, to) in [(a, b), (b, a), (a, b)] {
        rig.router.transfer(from, to, &name("/a")).expect("owned");
        for watch in &watches {
            assert_eq!(rig.next(watch), Told::Resync);
        }
    }
    assert_eq!(*strangers.lock().expect("not poisoned"), [""; 0]);
}

/// A watch below no prefix waits for its owner.
#[test]
fn a_watch_waits_for_an_owner() {
    let rig = Watching::new();
    let early = rig.watch("/a/docs");
    let a = rig.owner("a", "/a");
    assert_eq!(rig.next(&early), Told::Watching);
    rig.router.release(a, &name("/a")).expect("owned");
    wait_until("upstream stops", || rig.upstream().len() == 2);
    assert!(rig.is_quiet(&early), "nothing is told before there is an owner again");
    rig.router.take(a, &name("/a")).expect("free");
    assert_eq!(rig.next(&early), Told::Resync);
}

#[test]
fn a_slow_watcher_is_told_how_much_it_missed() {
    let rig = Watching::new();
    rig.owner("a", "/a");
    let (slow, quick) = (rig.watch("/a"), rig.watch("/a"));
    for watch in [&slow, &quick] {
        assert_eq!(rig.next(watch), Told::Watching);
    }
    let extra = 10;
    for change in 0..u32::try_from(WATCH_CHANGES_KEPT).expect("it fits") + extra {
        rig.agent.publish(&name("/a/f"), &change);
        assert_eq!(rig.next(&quick), changed("/a/f", change));
    }
    let lost = WATCH_CHANGES_KEPT as u64 + u64::from(extra);
    assert_eq!(rig.next(&slow), Told::Overflow { lost });
    rig.agent.publish(&name("/a/f"), &1);
    assert_eq!(rig.next(&slow), changed("/a/f", 1));
}

#[test]
fn watches_are_bounded_and_end_with_the_agent() {
    let rig = Watching::new();
    rig.owner("a", "/a");
    let watches: Vec<_> = (0..WATCHES_MAX).map(|_| rig.watch("/a/x")).collect();
    let refused = rig.agent.watch(&name("/a/y")).err().map(|refused| refused.code());
    assert_eq!(refused, Some(8));
    rig.agent.stop();
    for watch in &watches {
        loop {
            match watch.next(&rig.clock, None) {
                Next::Told(told) => assert_eq!(told, Told::Watching),
                Next::Closed => break,
                Next::Timeout => panic!("it has no limit"),
            }
        }
    }
    let refused = rig.agent.watch(&name("/a/y")).err().map(|refused| refused.code());
    assert_eq!(refused, Some(1003));
}
