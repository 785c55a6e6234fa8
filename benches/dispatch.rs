//! A null callout through the core: submit, gate, context, calldown, answer. `bare` is the callout
//! alone, measured in the same run; the difference is what the core costs.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Host;
use common::null::{Null, NullRedirector};
use criterion::{Criterion, criterion_group, criterion_main};
use minirdr::rdbss::operation::operand::Access;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time of `rounds` rounds on each of `threads` threads at once.
fn on_threads(threads: usize, rounds: u64, body: impl Fn() + Sync) -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..rounds).for_each(|_| body()));
        }
    });
    begin.elapsed()
}

fn dispatch(bench: &mut Criterion) {
    let null = Null::inline();
    let host = Host::started(Arc::new(NullRedirector(null.clone())));
    let root = host.root();
    let file = host.lookup(&root, "f").expect("every name exists");
    let handle = host.open(&file, Access::ReadWrite).expect("opens");
    bench.bench_function("dispatch/read_4k", |b| {
        b.iter(|| black_box(host.read(handle, 0, 4096)).expect("reads"));
    });
    bench.bench_function("dispatch/write_4k", |b| {
        let data = vec![7; 4096];
        b.iter(|| black_box(host.write(handle, 0, &data)).expect("writes"));
    });
    bench.bench_function("dispatch/lookup", |b| {
        b.iter(|| black_box(host.lookup(&root, "f")).expect("finds"));
    });
    for threads in [2, 4] {
        bench.bench_function(&format!("dispatch/read_1_{threads}_threads"), |b| {
            b.iter_custom(|rounds| {
                on_threads(threads, rounds, || {
                    black_box(host.read(handle, 0, 1)).expect("reads");
                })
            });
        });
    }
    bench.bench_function("bare/read_4k", |b| b.iter(|| black_box(null.bare_read(4096))));
    host.release(handle).expect("closes");

    let posted = Null::posted();
    let host = Host::started(Arc::new(NullRedirector(posted)));
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    let handle = host.open(&file, Access::Read).expect("opens");
    bench.bench_function("dispatch/read_4k_posted", |b| {
        b.iter(|| black_box(host.read(handle, 0, 4096)).expect("reads"));
    });
    host.release(handle).expect("closes");
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
