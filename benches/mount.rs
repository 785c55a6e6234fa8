//! What a program feels: lookup, open and close, small and large reads and writes through a real
//! mount of `local:`, and the same on the backing directory (`backing/…`) in the same run, so that
//! a ratio means something on a noisy machine.
//!
//! Starts and unmounts the program itself, in a runtime directory of its own.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustix::fs::{self, Mode, OFlags};
use rustix::io;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SMALL: usize = 4 << 10;
const LARGE: usize = 1 << 20;
const FILE: usize = 8 << 20;

/// A mount of `local:`; gone when dropped.
struct Mounted {
    scratch: tempfile::TempDir,
}

impl Mounted {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        for name in ["backing", "mount", "run"] {
            std::fs::create_dir(scratch.path().join(name)).expect("a fresh directory");
        }
        let mounted = Self { scratch };
        let source = format!("local:{}", mounted.backing().display());
        let place = mounted.path("mount").display().to_string();
        mounted.minirdr(&["mount", &source, &place, "--name", "bench"]);
        mounted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn backing(&self) -> PathBuf {
        self.path("backing")
    }

    fn minirdr(&self, words: &[&str]) {
        let ended = Command::new(env!("CARGO_BIN_EXE_minirdr"))
            .args(words)
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .output()
            .expect("the program runs");
        assert!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.minirdr(&["umount", "bench"]);
    }
}

fn open(path: &Path, flags: OFlags) -> rustix::fd::OwnedFd {
    let mode = Mode::from_raw_mode(0o644);
    fs::open(path, flags | OFlags::CLOEXEC, mode).expect("opens")
}

fn names(bench: &mut Criterion, kind: &str, root: &Path) {
    let file = root.join("file");
    bench.bench_function(&format!("{kind}/open_close"), |b| {
        b.iter(|| drop(black_box(open(&file, OFlags::RDONLY))));
    });
    let missing = root.join("missing");
    bench.bench_function(&format!("{kind}/lookup_missing"), |b| {
        b.iter(|| black_box(fs::stat(&missing)).expect_err("it is not there"));
    });
    let made = root.join("made");
    bench.bench_function(&format!("{kind}/create_unlink"), |b| {
        b.iter(|| {
            drop(open(&made, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY));
            fs::unlink(&made).expect("unlinks");
        });
    });
}

fn data(bench: &mut Criterion, kind: &str, root: &Path) {
    let file = open(&root.join("file"), OFlags::RDWR);
    let mut group = bench.benchmark_group(kind);
    for (size, name) in [(SMALL, "4k"), (LARGE, "1m")] {
        let mut buffer = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        let mut at = 0;
        let mut next = move || {
            at = (at + size) % FILE;
            at as u64
        };
        group.bench_function(format!("write_{name}"), |b| {
            b.iter(|| assert_eq!(io::pwrite(&file, &buffer, next()).expect("writes"), size));
        });
        group.bench_function(format!("read_{name}"), |b| {
            b.iter(|| {
                let offset = next();
                // The page cache would answer instead of the mount.
                fs::fadvise(&file, offset, None, fs::Advice::DontNeed).expect("advises");
                assert_eq!(io::pread(&file, &mut buffer, offset).expect("reads"), size);
            });
        });
    }
    group.finish();
}

fn mount(bench: &mut Criterion) {
    let mounted = Mounted::new();
    std::fs::write(mounted.backing().join("file"), vec![1; FILE]).expect("a file to work on");
    for (kind, root) in [("mount", mounted.path("mount")), ("backing", mounted.backing())] {
        names(bench, kind, &root);
        data(bench, kind, &root);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = mount
}
criterion_main!(benches);
