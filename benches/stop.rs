//! How long a stop and the start after it take with 0, 100 and 10,000 handles open (null server, so
//! the core alone), and how soon the stop is answered PENDING.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Host;
use common::null::{Null, NullRedirector};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use minirdr::base::stop::StopOptions;
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::register::DeviceOptions;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn host() -> Host {
    let null = Null::inline();
    // The moment for RELEASEs on their way is a wait by design: left out, so that the work shows.
    let options = DeviceOptions { release_grace: Duration::ZERO, ..DeviceOptions::default() };
    let host = Host::new(Box::new(move || Arc::new(NullRedirector(null.clone()))), options);
    host.start();
    host
}

fn stop(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("stop_start");
    group.sample_size(20);
    for handles in [0_usize, 100, 10_000] {
        let host = host();
        let file = host.lookup(&host.root(), "f").expect("every name exists");
        let open: Vec<_> =
            (0..handles).map(|_| host.open(&file, Access::Read).expect("opens")).collect();
        group.bench_function(BenchmarkId::from_parameter(handles), |b| {
            b.iter(|| {
                assert!(host.stop().result.is_stopped());
                host.start();
            });
        });
        for handle in open {
            host.release(handle).expect("closes");
        }
    }
    group.finish();
}

fn posted(bench: &mut Criterion) {
    let host = host();
    bench.bench_function("stop/asked_to_pending", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let begin = Instant::now();
                let ticket = host.post_stop(StopOptions::default());
                spent += begin.elapsed();
                host.wait(ticket);
                host.start();
            }
            spent
        });
    });
}

criterion_group!(benches, stop, posted);
criterion_main!(benches);
