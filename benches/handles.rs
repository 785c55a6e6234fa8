//! 1,000,000 open handles: a full listing, a check's answer, the merge with who opened them, and
//! what an opener feels beside a listing, against a plain `Mutex<HashMap>` in the same run.

#[path = "../tests/common/mod.rs"]
mod common;

use common::null::{Null, NullRedirector};
use common::{Host, plain};
use criterion::{Criterion, criterion_group, criterion_main};
use minirdr::base::status::Status;
use minirdr::base::stop::{CallResult, StopOptions};
use minirdr::mgmt::holders::Scanner;
use minirdr::rdbss::objects::handles::HandleTable;
use minirdr::rdbss::operation::operand::Access;
use minirdr::rdbss::operation::{Answer, Dispatcher, Operation, Responder};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const HANDLES: u64 = 1_000_000;
/// Opens and closes that are timed beside a listing.
const OPENS: usize = 200_000;

struct Ignore;

impl Responder for Ignore {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        assert!(answer.is_ok());
    }
}

/// A device with that many handles of one file.
fn host(handles: u64) -> Host {
    let null = Null::inline();
    let host = Host::started(Arc::new(NullRedirector(null)));
    let file = host.lookup(&host.root(), "f").expect("every name exists");
    for _ in 0..handles {
        let open = Operation::Open { node: file.clone(), options: plain(Access::Read) };
        host.device.submit(host.caller, open, Box::new(Ignore));
    }
    assert_eq!(host.device.status().open_handles, handles);
    host
}

fn device(bench: &mut Criterion) {
    let host = host(HANDLES);
    let mut group = bench.benchmark_group("device_1m");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("listing", |b| {
        b.iter(|| {
            let mut bytes = 0;
            host.device.visit_handles(|handle| {
                bytes += black_box(handle).path.len() as u64;
                true
            });
            assert_eq!(bytes, HANDLES);
        });
    });
    group.bench_function("check", |b| {
        b.iter(|| assert_eq!(host.device.check().handles_total, HANDLES));
    });
    group.bench_function("refused_stop", |b| {
        b.iter(|| {
            let options = StopOptions { refuse_if_busy: true, ..StopOptions::default() };
            assert_eq!(host.stop_with(options).result, CallResult::HasOpenHandles);
        });
    });
    let scanner = Scanner::system();
    group.bench_function("merge", |b| {
        b.iter(|| {
            let mut merge = scanner.look(None);
            host.device.visit_handles(|handle| {
                merge.add(handle);
                true
            });
            let holders = merge.finish();
            assert_eq!(holders.len() as u64 + holders.more, HANDLES);
        });
    });
    group.finish();
    host.device.connection_gone();
}

/// Times single opens and closes while `list` runs again and again; prints the distribution.
fn beside(what: &str, list: impl Fn() + Sync, mut open_close: impl FnMut()) {
    let going = AtomicBool::new(true);
    let mut times = Vec::with_capacity(OPENS);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while going.load(Ordering::Relaxed) {
                list();
            }
        });
        for _ in 0..OPENS {
            let begin = Instant::now();
            open_close();
            times.push(begin.elapsed());
            std::hint::spin_loop();
        }
        going.store(false, Ordering::Relaxed);
    });
    times.sort_unstable();
    let at = |part: f64| times[((OPENS - 1) as f64 * part) as usize];
    println!(
        "open and close beside a listing, {what}: median {:?}, 99.9 % {:?}, longest {:?}",
        at(0.5),
        at(0.999),
        at(1.0),
    );
}

fn openers(_: &mut Criterion) {
    let table = HandleTable::new();
    for number in 0..HANDLES {
        table.insert(Arc::new(number)).expect("room");
    }
    let list = || {
        let mut seen = 0_u64;
        table.visit(|_, value| {
            seen += u64::from(*value < HANDLES);
            true
        });
        black_box(seen);
    };
    beside("the handle table", list, || {
        let handle = table.insert(Arc::new(1)).expect("room");
        black_box(table.remove(handle));
    });
    let map: Mutex<HashMap<u64, Arc<u64>>> =
        Mutex::new((0..HANDLES).map(|number| (number, Arc::new(number))).collect());
    let list = || {
        let all: Vec<Arc<u64>> = map.lock().expect("not poisoned").values().cloned().collect();
        black_box(all.len());
    };
    let mut next = HANDLES;
    beside("a Mutex<HashMap>", list, || {
        next += 1;
        map.lock().expect("not poisoned").insert(next, Arc::new(1));
        black_box(map.lock().expect("not poisoned").remove(&next));
    });
}

criterion_group!(benches, device, openers);
criterion_main!(benches);
