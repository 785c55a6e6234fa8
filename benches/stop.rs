//! What a stop takes, by the core alone (null server): from asking to its ticket; from the last
//! close, or the last request, to its result; with 10,000 requests in flight; and with up to
//! 1,000,000 handles open, step by step.

#[path = "../tests/common/mod.rs"]
mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, Pending, plain};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use minirdr::base::ids::NodeNumber;
use minirdr::base::status::Status;
use minirdr::base::stop::{CallResult, StopOptions};
use minirdr::rdbss::device::KernelSide;
use minirdr::rdbss::notice::{DeregisterError, FileSystemRegistration, KernelCache};
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::operation::{Answer, Dispatcher, Node, Operation, Responder};
use minirdr::rdbss::register::{DeviceOptions, SurvivorPolicy};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const IN_FLIGHT: usize = 10_000;

fn host(null: &Arc<Null>) -> Host {
    let null = null.clone();
    // The moment for RELEASEs on their way is a wait by design: left out, so that the work shows.
    // Survivors stay stale: reclaiming them is the start's work.
    let options = DeviceOptions {
        release_grace: Duration::ZERO,
        survivors: SurvivorPolicy::Stale,
        ..DeviceOptions::default()
    };
    let host = Host::new(Box::new(move || Arc::new(NullRedirector(null.clone()))), options);
    host.start();
    host
}

struct Ignore;

impl Responder for Ignore {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        assert!(answer.is_ok());
    }
}

/// A kernel that has nothing cached.
struct Kernel;

impl KernelCache for Kernel {
    fn flush_file(&self, file: NodeNumber) {
        black_box(file);
    }

    fn forget_names(&self) {}

    fn settle(&self, _: Duration) -> bool {
        true
    }
}

impl FileSystemRegistration for Kernel {
    fn deregister(&self, _: bool) -> Result<bool, DeregisterError> {
        Ok(false)
    }

    fn has_ended(&self) -> bool {
        false
    }
}

/// Of so many files.
const FILES: usize = 1000;

fn open_many(host: &Host, handles: usize) {
    let kernel = Arc::new(Kernel);
    host.device.attach_kernel(KernelSide { cache: kernel.clone(), registration: kernel });
    let file =
        |number| host.lookup(&host.root(), &format!("f{number}")).expect("every name exists");
    let files: Vec<Node> = (0..FILES).map(file).collect();
    for number in 0..handles {
        let file = files[number % FILES].clone();
        let open = Operation::Open { node: file, options: plain(Access::ReadWrite) };
        host.device.submit(host.caller, open, Box::new(Ignore));
    }
    assert_eq!(host.device.status().open_handles, handles as u64);
}

/// Stop and start with handles open. The ones of the first stop survive all others, as they do
/// where nobody closes.
fn with_handles(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("stop_start");
    group.sample_size(10);
    for handles in [0, 100, 10_000, 100_000, 1_000_000] {
        let host = host(&Null::inline());
        open_many(&host, handles);
        let begin = Instant::now();
        let report = host.stop();
        println!("first stop with {handles} handles: {:?}", begin.elapsed());
        assert_eq!(report.survivors_total, handles as u64);
        for step in report.steps.iter().filter(|step| step.seconds > 0.001) {
            println!("  {}: {:.1} ms", step.step, step.seconds * 1e3);
        }
        host.start();
        group.bench_function(BenchmarkId::from_parameter(handles), |b| {
            b.iter(|| {
                assert!(host.stop().result.is_stopped());
                host.start();
            });
        });
        host.device.connection_gone();
    }
    group.finish();
}

fn posted(bench: &mut Criterion) {
    let host = host(&Null::inline());
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

/// The last handle of a grace is closed, or the last request of a drain ends: how long until the
/// ticket has its result?
fn last_one(bench: &mut Criterion) {
    let null = Null::inline();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    bench.bench_function("stop/last_close_to_result", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let handle = host.open(&file, Access::Read).expect("opens");
                let grace = StopOptions { grace_s: Some(300.0), ..StopOptions::default() };
                let ticket = host.post_stop(grace);
                in_step(&host, "grace");
                let begin = Instant::now();
                host.release(handle).expect("closes");
                assert_eq!(host.wait(ticket).result, CallResult::Success);
                spent += begin.elapsed();
                host.start();
            }
            spent
        });
    });
    bench.bench_function("stop/last_request_to_result", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let handle = host.open(&file, Access::Read).expect("opens");
                let reads = pending_reads(&host, &null, 1, Hold::PendingStubbornly);
                let ticket = host.post_stop(StopOptions::default());
                in_step(&host, "drain");
                let begin = Instant::now();
                null.release();
                host.wait(ticket);
                spent += begin.elapsed();
                drop(reads);
                host.device.connection_gone();
                let _ = handle;
                host.start();
            }
            spent
        });
    });
}

/// Waits until the stop is in a step and has had the time to fall asleep in it.
fn in_step(host: &Host, step: &str) {
    common::wait_until(step, || {
        host.device.status().running.is_some_and(|running| running.step == step)
    });
    std::thread::park_timeout(Duration::from_micros(500));
}

/// So many reads that wait in the server.
fn pending_reads(host: &Host, null: &Null, count: usize, hold: Hold) -> Vec<Pending> {
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    let handle = host.open(&file, Access::Read).expect("opens");
    null.hold("read", hold);
    let read = || Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() };
    let reads = (0..count).map(|_| host.submit(read())).collect();
    assert_eq!(host.device.status().requests_in_flight, count as u64);
    reads
}

/// 10,000 requests in flight: those that can be cancelled are, by the stop; those that cannot run
/// to their end, from which is measured.
fn drain(bench: &mut Criterion) {
    let null = Null::inline();
    let host = host(&null);
    let mut group = bench.benchmark_group("drain_10k");
    group.sample_size(10);
    for (name, hold) in
        [("cancellable", Hold::Pending), ("run_to_their_end", Hold::PendingStubbornly)]
    {
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let reads = pending_reads(&host, &null, IN_FLIGHT, hold);
                    let mut begin = Instant::now();
                    let ticket = host.post_stop(StopOptions::default());
                    if hold == Hold::PendingStubbornly {
                        in_step(&host, "drain");
                        begin = Instant::now();
                        null.release();
                    }
                    let report = host.wait(ticket);
                    spent += begin.elapsed();
                    assert_eq!(report.survivors_total, 1, "the handle they read from");
                    let cancelled = if hold == Hold::Pending { IN_FLIGHT as u64 } else { 0 };
                    assert_eq!(report.cancelled, cancelled);
                    drop(reads);
                    null.release();
                    host.device.connection_gone();
                    host.start();
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, posted, last_one, drain, with_handles);
criterion_main!(benches);
