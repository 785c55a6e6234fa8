//! The prefix router with 10,000 prefixes and 1,000,000 remembered names against the same with few,
//! in turns in one run: a lookup must not care. What a name costs in memory is measured and said.

#[path = "support/ratio.rs"]
mod ratio;

use criterion::{Criterion, criterion_group, criterion_main};
use minirdr::base::clock::SystemClock;
use minirdr::base::ids::Caller;
use minirdr::base::status::Status;
use minirdr::mup::net_name::NetName;
use minirdr::mup::prefix::PrefixTable;
use minirdr::mup::router::{Outside, Router, RouterOptions};
use minirdr::mup::upcalls::{Claim, KernelNames, Provider, ProviderHandle, Purged, Upstream};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NAMES: usize = 1_000_000;
const NAMES_FEW: usize = 1_000;
const PREFIXES: usize = 10_000;
const PREFIXES_FEW: usize = 10;
/// Lookups in one measurement.
const LOOKUPS: usize = 100_000;
/// Names that are looked up again and again: they stay in the processor's caches, so that what is
/// compared is the tables and not the memory.
const HOT: usize = 1_000;

/// Nobody listens.
struct Nobody;

impl KernelNames for Nobody {
    fn invalidate(&self, _: &NetName, _: &Purged) {}
    fn forget(&self, _: &Purged) {}
    fn settle(&self, _: &NetName) -> bool {
        true
    }
}

impl Upstream for Nobody {
    fn start(&self, _: ProviderHandle, _: &NetName) {}
    fn stop(&self, _: ProviderHandle, _: &NetName) {}
}

/// Claims all that is below its prefixes.
struct Claims;

impl Provider for Claims {
    type Server = ();
    type Share = ();
    type View = ();

    fn claim(&self, _: &NetName, prefix: Option<&NetName>) -> Result<Claim, Status> {
        Ok(prefix.map_or(Claim::Refused, |prefix| Claim::Accepted(prefix.depth())))
    }
    fn create_srv_call(&self, _: &NetName) -> Result<(), Status> {
        Ok(())
    }
    fn create_net_root(&self, _: &Arc<()>, _: &NetName) -> Result<(), Status> {
        Ok(())
    }
    fn create_v_net_root(&self, _: &Arc<()>, _: Caller) -> Result<(), Status> {
        Ok(())
    }
}

struct Scene {
    router: Router<Claims>,
    owner: ProviderHandle,
    /// What is looked up, in an order of its own: from all over, and a few.
    asked: Vec<NetName>,
    hot: Vec<NetName>,
}

fn parse(path: &str) -> NetName {
    NetName::parse(path.as_bytes()).expect("a good name")
}

fn prefix(at: usize) -> NetName {
    parse(&format!("/server{:03}/share{:03}", at / 100, at % 100))
}

fn file(of: &NetName, at: usize) -> NetName {
    parse(&format!("{of}/directory/file{at:07}"))
}

/// Bytes this process has in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kilobytes.expect("a number of kilobytes") * 1024
}

impl Scene {
    fn new(prefixes: usize, names: usize) -> Self {
        let outside = Outside { agent: None, kernel: Arc::new(Nobody), upstream: Arc::new(Nobody) };
        // Nothing expires meanwhile, and nothing has to go.
        let options = RouterOptions {
            route_lifetime: Duration::from_secs(86_400),
            ..RouterOptions::default()
        };
        let router = Router::new(SystemClock::shared(), outside, options);
        let owner = router.register("claims", Arc::new(Claims)).expect("a fresh name");
        for at in 0..prefixes {
            router.take(owner, &prefix(at)).expect("free");
        }
        let before = resident();
        for at in 0..names {
            let name = file(&prefix(at % prefixes), at);
            assert!(router.resolve(&name, Caller::default(), None).is_ok());
        }
        let (after, occupancy) = (resident(), router.occupancy());
        assert_eq!((occupancy.names, occupancy.evicted_total), (names, 0));
        let each = |bytes: usize| bytes as f64 / names as f64;
        // The first scene alone has no memory of an earlier one to use.
        if names == NAMES && prefixes == PREFIXES_FEW {
            println!(
                "memory: {names} names below {prefixes} prefixes: {:.0} bytes a name resident",
                each(after - before)
            );
        }
        if names == NAMES {
            println!(
                "memory: {names} names below {prefixes} prefixes: {:.0} bytes a name by its own \
                 count",
                each(occupancy.bytes)
            );
        }
        // A stride that meets every name once before it meets one again.
        let name = |at: usize| file(&prefix(at % prefixes), at);
        let asked = (0..LOOKUPS).map(|at| name(at * 7919 % names)).collect();
        let hot = (0..HOT).map(|at| name(at * 7919 % names)).collect();
        Self { router, owner, asked, hot }
    }

    fn lookups(&self) -> Duration {
        self.look(self.asked.iter())
    }

    fn hot_lookups(&self) -> Duration {
        self.look(self.hot.iter().cycle().take(LOOKUPS))
    }

    fn look<'a>(&self, names: impl Iterator<Item = &'a NetName>) -> Duration {
        let start = Instant::now();
        for name in names {
            let resolved = self.router.resolve_now(name, Caller::default());
            assert!(black_box(resolved).is_some_and(|it| it.is_ok()));
        }
        start.elapsed()
    }
}

/// The plain way: one map of whole paths.
fn plain(names: usize) -> (HashMap<Vec<u8>, u64>, Vec<Vec<u8>>) {
    let path = |at: usize| file(&prefix(at % PREFIXES_FEW), at).to_path();
    let map = (0..names).map(|at| (path(at), at as u64)).collect();
    (map, (0..LOOKUPS).map(|at| path(at * 7919 % names)).collect())
}

fn plain_lookups((map, asked): &(HashMap<Vec<u8>, u64>, Vec<Vec<u8>>)) -> Duration {
    let start = Instant::now();
    for path in asked {
        assert!(black_box(map.get(path)).is_some());
    }
    start.elapsed()
}

fn table(prefixes: usize) -> (PrefixTable<usize>, Vec<NetName>) {
    let mut table = PrefixTable::default();
    for at in 0..prefixes {
        table.insert(&prefix(at), at);
    }
    let asked = (0..LOOKUPS).map(|at| file(&prefix(at * 7919 % prefixes), 1)).collect();
    (table, asked)
}

fn table_lookups((table, asked): &(PrefixTable<usize>, Vec<NetName>)) -> Duration {
    let start = Instant::now();
    for name in asked {
        black_box(table.place(name));
    }
    start.elapsed()
}

fn names(bench: &mut Criterion) {
    let many = Scene::new(PREFIXES_FEW, NAMES);
    let few = Scene::new(PREFIXES_FEW, NAMES_FEW);
    let rounds = LOOKUPS as u64;
    ratio::compare("lookup_1m_names", "1,000 names", rounds, || many.lookups(), || few.lookups());
    ratio::compare(
        "hot_lookup_1m_names",
        "1,000 names",
        rounds,
        || many.hot_lookups(),
        || few.hot_lookups(),
    );
    let (plain_many, plain_few) = (plain(NAMES), plain(NAMES_FEW));
    ratio::compare(
        "plain_map_1m_names",
        "1,000 names",
        rounds,
        || plain_lookups(&plain_many),
        || plain_lookups(&plain_few),
    );
    let mut group = bench.benchmark_group("names");
    let mut at = 0;
    group.bench_function("lookup_1m", |b| {
        b.iter(|| {
            at = (at + 1) % LOOKUPS;
            many.router.resolve_now(&many.asked[at], Caller::default()).is_some()
        });
    });
    group.finish();
}

fn prefixes(bench: &mut Criterion) {
    let (many, few) = (table(PREFIXES), table(PREFIXES_FEW));
    let rounds = LOOKUPS as u64;
    ratio::compare(
        "longest_match_10k_prefixes",
        "10 prefixes",
        rounds,
        || table_lookups(&many),
        || table_lookups(&few),
    );
    // Everything at once: a hundred names below each of ten thousand prefixes.
    let many = Scene::new(PREFIXES, NAMES);
    let few = Scene::new(PREFIXES_FEW, NAMES_FEW);
    ratio::compare(
        "lookup_10k_prefixes_1m_names",
        "10 prefixes and 1,000 names",
        rounds,
        || many.lookups(),
        || few.lookups(),
    );
    ratio::compare(
        "hot_lookup_10k_prefixes_1m_names",
        "10 prefixes and 1,000 names",
        rounds,
        || many.hot_lookups(),
        || few.hot_lookups(),
    );
    let mut group = bench.benchmark_group("prefixes");
    group.sample_size(20);
    // A prefix changes hands among ten thousand, and a million names are remembered.
    let mut at = 0;
    group.bench_function("release_and_take_of_10k", |b| {
        b.iter(|| {
            at = (at + 1) % PREFIXES;
            let prefix = prefix(at);
            many.router.release(many.owner, &prefix).expect("owned");
            many.router.take(many.owner, &prefix).expect("free");
        });
    });
    group.finish();
}

criterion_group!(benches, names, prefixes);
criterion_main!(benches);
