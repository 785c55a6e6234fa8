//! The gate of the core: enter and leave, alone, contended, refused, and under stop/start churn
//! (stop.md G6). Compare with `mutex`, a plain counted lock measured in the same run.

use criterion::{Criterion, criterion_group, criterion_main};
use minirdr::base::ids::Generation;
use minirdr::base::stop::State;
use minirdr::rdbss::gate::{CloseEntry, Gate};
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn started() -> Gate {
    let gate = Gate::new();
    gate.drive(State::StartInProgress);
    gate.drive(State::Started);
    gate
}

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

fn enter_leave(gate: &Gate) {
    if let Ok(pass) = black_box(gate).enter_normal(false) {
        gate.leave(pass);
    }
}

fn uncontended(bench: &mut Criterion) {
    let gate = started();
    bench.bench_function("gate/normal", |b| b.iter(|| enter_leave(&gate)));
    bench.bench_function("gate/close", |b| {
        b.iter(|| {
            if let CloseEntry::Counted(pass) = black_box(&gate).enter_close(Generation(1)) {
                gate.leave(pass);
            }
        });
    });
    let stopped = Gate::new();
    bench.bench_function("gate/refused", |b| b.iter(|| enter_leave(&stopped)));
    let mutex = Mutex::new(0_u64);
    bench.bench_function("mutex/normal", |b| {
        b.iter(|| {
            *black_box(&mutex).lock().expect("not poisoned") += 1;
            *mutex.lock().expect("not poisoned") -= 1;
        });
    });
}

fn contended(bench: &mut Criterion) {
    for threads in [2, 4] {
        let gate = started();
        bench.bench_function(&format!("gate/{threads}_threads"), |b| {
            b.iter_custom(|rounds| on_threads(threads, rounds, || enter_leave(&gate)));
        });
        let mutex = Mutex::new(0_u64);
        bench.bench_function(&format!("mutex/{threads}_threads"), |b| {
            b.iter_custom(|rounds| {
                on_threads(threads, rounds, || {
                    *mutex.lock().expect("not poisoned") += 1;
                    *mutex.lock().expect("not poisoned") -= 1;
                })
            });
        });
    }
}

fn churn(bench: &mut Criterion) {
    let gate = started();
    let going = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while going.load(Ordering::Relaxed) {
                gate.drive(State::Draining);
                while !gate.wait_normals(Duration::from_secs(1)) {}
                gate.drive(State::Sealing);
                gate.drive(State::Startable);
                gate.drive(State::StartInProgress);
                gate.drive(State::Started);
                std::thread::park_timeout(Duration::from_micros(200));
            }
        });
        bench.bench_function("gate/churn", |b| b.iter(|| enter_leave(&gate)));
        going.store(false, Ordering::Relaxed);
    });
}

criterion_group!(benches, uncontended, contended, churn);
criterion_main!(benches);
