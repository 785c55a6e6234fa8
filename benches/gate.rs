//! The gate of the core: enter and leave, alone, contended, refused, and under stop/start churn
//! (stop.md G6), against the plain way, in the same run: a `parking_lot::RwLock` around the state,
//! which a request holds for reading and a stop takes for writing. `ratio` lines compare the two in
//! turns. `mutex` is a counted lock, for those who would take one.

#[path = "support/ratio.rs"]
mod ratio;

use criterion::{Criterion, criterion_group, criterion_main};
use minirdr::base::ids::Generation;
use minirdr::base::stop::State;
use minirdr::rdbss::gate::{CloseEntry, Gate};
use parking_lot::RwLock;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Enters and leaves of one measurement of a ratio.
const ROUNDS: u64 = 20_000;
/// Between two stops of a churn, and between a stop and its start: nothing.
const CHURN_PAUSE: Duration = Duration::from_micros(200);

/// What both can do.
trait Door: Sync {
    /// True if it was let in; it has left again.
    fn pass(&self) -> bool;
    /// Stops, waits for those inside, and starts again.
    fn stop_and_start(&self);
}

impl Door for Gate {
    fn pass(&self) -> bool {
        match black_box(self).enter_normal(false) {
            Ok(pass) => {
                self.leave(pass);
                true
            }
            Err(_) => false,
        }
    }

    fn stop_and_start(&self) {
        self.drive(State::Draining);
        while !self.wait_normals(Duration::from_secs(1)) {}
        self.drive(State::Sealing);
        self.drive(State::Startable);
        self.drive(State::StartInProgress);
        self.drive(State::Started);
    }
}

/// The plain gate. Whoever is inside holds the lock, so that to take it is to drain.
struct Plain(RwLock<State>);

impl Door for Plain {
    fn pass(&self) -> bool {
        let state = black_box(&self.0).read();
        *state == State::Started
    }

    fn stop_and_start(&self) {
        *self.0.write() = State::Startable;
        *self.0.write() = State::Started;
    }
}

fn started() -> Gate {
    let gate = Gate::new();
    gate.drive(State::StartInProgress);
    gate.drive(State::Started);
    gate
}

fn plain() -> Plain {
    Plain(RwLock::new(State::Started))
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

/// The same while another thread stops and starts; also the longest single pass.
fn in_churn(door: &impl Door, rounds: u64, longest: &AtomicU64) -> Duration {
    let going = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while going.load(Ordering::Relaxed) {
                door.stop_and_start();
                std::thread::park_timeout(CHURN_PAUSE);
            }
        });
        let begin = Instant::now();
        for _ in 0..rounds {
            let one = Instant::now();
            black_box(door.pass());
            longest.fetch_max(one.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        let spent = begin.elapsed();
        going.store(false, Ordering::Relaxed);
        spent
    })
}

fn uncontended(bench: &mut Criterion) {
    let (gate, plain) = (started(), plain());
    bench.bench_function("gate/normal", |b| b.iter(|| gate.pass()));
    bench.bench_function("rwlock/normal", |b| b.iter(|| plain.pass()));
    bench.bench_function("gate/close", |b| {
        b.iter(|| {
            if let CloseEntry::Counted(pass) = black_box(&gate).enter_close(Generation(1)) {
                gate.leave(pass);
            }
        });
    });
    bench.bench_function("gate/open", |b| {
        b.iter(|| {
            if let Ok(pass) = black_box(&gate).enter_normal(true) {
                gate.leave(pass);
            }
        });
    });
    let stopped = Gate::new();
    bench.bench_function("gate/refused", |b| b.iter(|| stopped.pass()));
    *plain.0.write() = State::Startable;
    bench.bench_function("rwlock/refused", |b| b.iter(|| plain.pass()));
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
        let (gate, plain) = (started(), plain());
        bench.bench_function(&format!("gate/{threads}_threads"), |b| {
            b.iter_custom(|rounds| {
                on_threads(threads, rounds, || {
                    black_box(gate.pass());
                })
            });
        });
        bench.bench_function(&format!("rwlock/{threads}_threads"), |b| {
            b.iter_custom(|rounds| {
                on_threads(threads, rounds, || {
                    black_box(plain.pass());
                })
            });
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
    let (gate, plain, ignored) = (started(), plain(), AtomicU64::new(0));
    bench.bench_function("gate/churn", |b| {
        b.iter_custom(|rounds| in_churn(&gate, rounds, &ignored));
    });
    bench.bench_function("rwlock/churn", |b| {
        b.iter_custom(|rounds| in_churn(&plain, rounds, &ignored));
    });
}

fn ratios(_: &mut Criterion) {
    let (gate, plain) = (started(), plain());
    for threads in [1, 2, 4] {
        let ours = || {
            on_threads(threads, ROUNDS, || {
                black_box(gate.pass());
            })
        };
        let theirs = || {
            on_threads(threads, ROUNDS, || {
                black_box(plain.pass());
            })
        };
        ratio::compare(&format!("gate, {threads} threads"), "RwLock", ROUNDS, ours, theirs);
    }
    let (longest, plain_longest) = (AtomicU64::new(0), AtomicU64::new(0));
    let ours = || in_churn(&gate, ROUNDS, &longest);
    let theirs = || in_churn(&plain, ROUNDS, &plain_longest);
    ratio::compare("gate, stop/start churn, timed one by one", "RwLock", ROUNDS, ours, theirs);
    let [ours, theirs] = [longest, plain_longest].map(|most| most.into_inner() / 1000);
    println!("longest pass in the churn: ours {ours} us, RwLock {theirs} us");
    held_up(&gate, &plain);
}

/// What a stop does to whoever comes while one request is inside: refused at once, or parked.
fn held_up(gate: &Gate, plain: &Plain) {
    const INSIDE: Duration = Duration::from_millis(20);
    let pass = gate.enter_normal(false).expect("started");
    gate.drive(State::Draining);
    let begin = Instant::now();
    assert!(!gate.pass());
    let ours = begin.elapsed();
    gate.leave(pass);
    gate.drive(State::Started);

    let theirs = std::thread::scope(|scope| {
        let inside = plain.0.read();
        let stopper = scope.spawn(|| plain.stop_and_start());
        // The stopper is queued when a reader is no longer let in beside the one inside.
        while plain.0.try_read().is_some() && !stopper.is_finished() {
            std::thread::yield_now();
        }
        let late = scope.spawn(|| {
            let begin = Instant::now();
            plain.pass();
            begin.elapsed()
        });
        std::thread::park_timeout(INSIDE);
        drop(inside);
        late.join().expect("it passed")
    });
    println!(
        "a request that comes while a stop waits for one of {INSIDE:?}: ours refused after \
         {ours:?}, RwLock parked for {theirs:?}"
    );
}

criterion_group!(benches, uncontended, contended, churn, ratios);
criterion_main!(benches);
