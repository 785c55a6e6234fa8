//! Handles: open and close with 1,000,000 others open, and a snapshot of them all, against a
//! `Mutex<HashMap>` in the same run.

use criterion::{Criterion, criterion_group, criterion_main};
use minirdr::rdbss::objects::handles::HandleTable;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};

const HANDLES: u64 = 1_000_000;

fn table(bench: &mut Criterion) {
    let table = HandleTable::new();
    for number in 0..HANDLES {
        table.insert(Arc::new(number)).expect("room");
    }
    bench.bench_function("slab/open_close_1m", |b| {
        b.iter(|| {
            let handle = table.insert(Arc::new(1)).expect("room");
            black_box(table.remove(handle))
        });
    });
    let mut group = bench.benchmark_group("snapshot");
    group.sample_size(10);
    group.bench_function("slab_1m", |b| {
        b.iter(|| {
            let mut seen = 0_u64;
            table.visit(|_, value| {
                seen += u64::from(*value < HANDLES);
                true
            });
            assert_eq!(seen, HANDLES);
        });
    });
    group.finish();
}

fn map(bench: &mut Criterion) {
    let map: Mutex<HashMap<u64, Arc<u64>>> = Mutex::default();
    for number in 0..HANDLES {
        map.lock().expect("not poisoned").insert(number, Arc::new(number));
    }
    let mut next = HANDLES;
    bench.bench_function("map/open_close_1m", |b| {
        b.iter(|| {
            next += 1;
            map.lock().expect("not poisoned").insert(next, Arc::new(1));
            black_box(map.lock().expect("not poisoned").remove(&next))
        });
    });
    let mut group = bench.benchmark_group("snapshot");
    group.sample_size(10);
    group.bench_function("map_1m", |b| {
        b.iter(|| {
            let all: Vec<Arc<u64>> = map.lock().expect("not poisoned").values().cloned().collect();
            assert_eq!(all.len() as u64, HANDLES);
        });
    });
    group.finish();
}

criterion_group!(benches, table, map);
criterion_main!(benches);
