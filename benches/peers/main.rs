//! What programs feel, on several file systems side by side: each workload runs on each of them in
//! every round, the order turned by one from round to round, so that a noisy machine disturbs all
//! alike. Prints, for each workload, the median time on the first, and of every other one the
//! median of its ratio to the first of the same round; and the ratios of the second to those after
//! it.
//!
//! Starts no server: `benches/peers/run.sh` does. Arguments: `NAME=DIR` each, `--rounds N`, `--only
//! PREFIX`. A workload that fails on one file system is shown as `-` there, with its reason below.

use rustix::fs::{self, Advice, Mode, OFlags};
use rustix::io;
use std::collections::BTreeMap;
use std::io::Error;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SMALL: usize = 4 << 10;
const LARGE: usize = 1 << 20;
/// Of each file that is read or written in a row.
const FILE: usize = 64 << 20;
/// Small reads, writes, opens in one measurement.
const CALLS: usize = 2_000;
/// Files in one directory.
const FILES: usize = 10_000;
const JOBS: usize = 4;

type Took = Result<Duration, Error>;

/// One thing that is measured: prepared, then timed.
struct Workload {
    name: &'static str,
    run: fn(&Path) -> Took,
}

const fn workload(name: &'static str, run: fn(&Path) -> Took) -> Workload {
    Workload { name, run }
}

/// In the order in which they are run: later ones use what earlier ones have made.
const WORKLOADS: &[Workload] = &[
    workload("seq write 1M, 1 job", |dir| jobs(dir, 1, write_in_a_row)),
    workload("seq write 1M, 4 jobs", |dir| jobs(dir, JOBS, write_in_a_row)),
    workload("seq read 1M cold, 1 job", |dir| cold(dir, 1)),
    workload("seq read 1M cold, 4 jobs", |dir| cold(dir, JOBS)),
    workload("seq read 1M warm, 1 job", |dir| jobs(dir, 1, read_in_a_row)),
    workload("seq read 1M warm, 4 jobs", |dir| jobs(dir, JOBS, read_in_a_row)),
    workload("random read 4K warm, 1 job", |dir| jobs(dir, 1, read_anywhere)),
    workload("random read 4K warm, 4 jobs", |dir| jobs(dir, JOBS, read_anywhere)),
    workload("random write 4K, 1 job", |dir| jobs(dir, 1, write_anywhere)),
    workload("random write 4K, 4 jobs", |dir| jobs(dir, JOBS, write_anywhere)),
    workload("round trip: read 4K direct", |dir| jobs(dir, 1, read_direct)),
    workload("open + close", open_and_close),
    workload("create 10,000 files of 1K", create_many),
    workload("readdir 10,000, first", |dir| list(dir, true)),
    workload("readdir 10,000, again", |dir| list(dir, false)),
    workload("stat 10,000", stat_many),
    workload("rename 10,000", rename_many),
    workload("unlink 10,000", unlink_many),
    workload("tar x", |dir| shell(dir, "rm -rf tree", "tar xf \"$TAR\"")),
    workload("cp -r", |dir| shell(dir, "rm -rf copy", "cp -r tree copy")),
    workload("find + stat", |dir| shell(dir, "true", "find tree -size +1k >/dev/null")),
    workload("git clone", |dir| shell(dir, "rm -rf clone", "git clone -q \"$REPO\" clone")),
    workload("git status", |dir| shell(dir, "true", "git -C clone status --porcelain >/dev/null")),
    workload("build", |dir| shell(dir, "make -s -C tree clean", "make -s -C tree -j2")),
    workload("rm -rf", |dir| shell(dir, "rm -rf copy; cp -r tree copy", "rm -rf copy")),
];

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
    let mode = Mode::from_raw_mode(0o644);
    Ok(fs::open(path, flags | OFlags::CLOEXEC, mode)?)
}

fn big(dir: &Path, job: usize) -> PathBuf {
    dir.join(format!("big.{job}"))
}

/// Times one job on a file of its own each, all at once.
fn jobs(dir: &Path, count: usize, job: fn(&Path, u64) -> Result<(), Error>) -> Took {
    let from = Instant::now();
    std::thread::scope(|scope| {
        let spawn = |number: usize| {
            let path = big(dir, number);
            scope.spawn(move || job(&path, number as u64))
        };
        let running: Vec<_> = (0..count).map(spawn).collect();
        running.into_iter().try_for_each(|job| job.join().expect("no job panics"))
    })?;
    Ok(from.elapsed())
}

fn write_in_a_row(path: &Path, _: u64) -> Result<(), Error> {
    let file = open(path, OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY)?;
    let block = vec![7; LARGE];
    for _ in 0..FILE / LARGE {
        assert_eq!(io::write(&file, &block)?, LARGE, "a whole block");
    }
    Ok(())
}

fn read_in_a_row(path: &Path, _: u64) -> Result<(), Error> {
    let file = open(path, OFlags::RDONLY)?;
    let mut block = vec![0; LARGE];
    let mut read = 0;
    loop {
        match io::read(&file, &mut block[..])? {
            0 => break,
            bytes => read += bytes,
        }
    }
    assert_eq!(read, FILE, "the whole file");
    Ok(())
}

/// Nothing of the files is in any cache: neither the file system's own nor its server's.
fn cold(dir: &Path, count: usize) -> Took {
    for job in 0..count {
        let file = open(&big(dir, job), OFlags::RDONLY)?;
        fs::fsync(&file)?;
        fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    std::fs::write("/proc/sys/vm/drop_caches", "1")?;
    jobs(dir, count, read_in_a_row)
}

/// Block numbers that look like chance and are the same every time.
fn anywhere(seed: u64) -> impl Iterator<Item = u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..CALLS).map(move |_| random.u64(0..(FILE / SMALL) as u64) * SMALL as u64)
}

fn read_anywhere(path: &Path, seed: u64) -> Result<(), Error> {
    let file = open(path, OFlags::RDONLY)?;
    let mut block = vec![0; SMALL];
    for at in anywhere(seed) {
        assert_eq!(io::pread(&file, &mut block[..], at)?, SMALL, "a whole block");
    }
    Ok(())
}

fn write_anywhere(path: &Path, seed: u64) -> Result<(), Error> {
    let file = open(path, OFlags::RDWR)?;
    let block = vec![9; SMALL];
    for at in anywhere(seed) {
        assert_eq!(io::pwrite(&file, &block, at)?, SMALL, "a whole block");
    }
    Ok(())
}

fn read_direct(path: &Path, seed: u64) -> Result<(), Error> {
    let file = open(path, OFlags::RDONLY | OFlags::DIRECT)?;
    // Aligned as the strictest backing wants it.
    let mut space = vec![0; 2 * SMALL];
    let start = space.as_ptr().align_offset(SMALL);
    for at in anywhere(seed) {
        let block = &mut space[start..start + SMALL];
        assert_eq!(io::pread(&file, block, at)?, SMALL, "a whole block");
    }
    Ok(())
}

fn open_and_close(dir: &Path) -> Took {
    let path = big(dir, 0);
    let from = Instant::now();
    for _ in 0..CALLS {
        drop(open(&path, OFlags::RDONLY)?);
    }
    Ok(from.elapsed())
}

fn many(dir: &Path) -> impl Iterator<Item = PathBuf> {
    (0..FILES).map(move |number| dir.join("many").join(format!("f{number}")))
}

fn create_many(dir: &Path) -> Took {
    let _ = std::fs::remove_dir_all(dir.join("many"));
    std::fs::create_dir(dir.join("many"))?;
    let content = [b'x'; 1 << 10];
    let from = Instant::now();
    for path in many(dir) {
        let file = open(&path, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY)?;
        io::write(&file, &content)?;
    }
    Ok(from.elapsed())
}

fn list(dir: &Path, first: bool) -> Took {
    if first {
        std::fs::write("/proc/sys/vm/drop_caches", "2")?;
    }
    let from = Instant::now();
    let listed = std::fs::read_dir(dir.join("many"))?.count();
    let took = from.elapsed();
    assert_eq!(listed, FILES, "every entry");
    Ok(took)
}

fn stat_many(dir: &Path) -> Took {
    let from = Instant::now();
    many(dir).try_for_each(|path| std::fs::symlink_metadata(path).map(drop))?;
    Ok(from.elapsed())
}

/// There, and in the next round back again.
fn rename_many(dir: &Path) -> Took {
    let there = many(dir).next().is_some_and(|first| first.exists());
    let from = Instant::now();
    for path in many(dir) {
        let other = path.with_extension("new");
        let (old, new) = if there { (&path, &other) } else { (&other, &path) };
        std::fs::rename(old, new)?;
    }
    Ok(from.elapsed())
}

fn unlink_many(dir: &Path) -> Took {
    create_many(dir)?;
    let from = Instant::now();
    many(dir).try_for_each(std::fs::remove_file)?;
    Ok(from.elapsed())
}

/// Runs `before`, then times `what`, in the directory.
fn shell(dir: &Path, before: &str, what: &str) -> Took {
    let run = |words: &str| {
        let ended = Command::new("sh").args(["-ec", words]).current_dir(dir).output()?;
        match ended.status.success() {
            true => Ok(()),
            false => Err(Error::other(String::from_utf8_lossy(&ended.stderr).trim().to_owned())),
        }
    };
    run(before)?;
    let from = Instant::now();
    run(what)?;
    Ok(from.elapsed())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The medians of a row: seconds of the first, ratios of the others to it, and of the second to all
/// that come after it.
fn row(name: &str, places: &[(String, PathBuf)], times: &BTreeMap<usize, Vec<f64>>) -> String {
    let ratio = |of: usize, to: usize| match (times.get(&of), times.get(&to)) {
        (Some(of), Some(to)) => {
            let mut each: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
            format!("{:.2}", median(&mut each))
        }
        _ => "-".to_owned(),
    };
    let first = times
        .get(&0)
        .map_or("-".to_owned(), |first| format!("{:.2} ms", median(&mut first.clone()) * 1e3));
    let to_first = (1..places.len()).map(|of| ratio(of, 0));
    let to_others = (2..places.len()).map(|to| ratio(1, to));
    let ratios: Vec<String> = to_first.chain(to_others).collect();
    format!("| {name} | {first} | {} |", ratios.join(" | "))
}

fn main() {
    let (mut places, mut rounds, mut only) = (Vec::new(), 7, String::new());
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        match (word.as_str(), word.split_once('=')) {
            ("--rounds", _) => {
                rounds = words.next().and_then(|n| n.parse().ok()).expect("a number")
            }
            ("--only", _) => only = words.next().expect("a prefix"),
            (_, Some((name, dir))) => places.push((name.to_owned(), PathBuf::from(dir))),
            _ => panic!("what is {word}? NAME=DIR, --rounds N, --only PREFIX"),
        }
    }
    if places.len() < 2 {
        // `cargo bench` without arguments runs every bench: this one has nothing to compare then.
        println!("peers: run by benches/peers/run.sh");
        return;
    }
    let names: Vec<&str> = places.iter().map(|(name, _)| name.as_str()).collect();
    let first = names[0];
    let to_first = names[1..].iter().map(|name| format!("{name} / {first}"));
    let to_others = names[2..].iter().map(|name| format!("{} / {name}", names[1]));
    let heads: Vec<String> = to_first.chain(to_others).collect();
    println!("| workload | {first} | {} |", heads.join(" | "));
    println!("| --- | --- |{}", " --- |".repeat(heads.len()));
    let mut reasons = Vec::new();
    for Workload { name, run } in WORKLOADS.iter().filter(|it| it.name.starts_with(&only)) {
        let mut times: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        let mut failed = std::collections::BTreeSet::new();
        for round in 0..rounds {
            for turn in 0..places.len() {
                let at = (round + turn) % places.len();
                match run(&places[at].1) {
                    Ok(took) => times.entry(at).or_default().push(took.as_secs_f64()),
                    Err(error) if failed.insert(at) => {
                        reasons.push(format!("{name} on {}: {error}", places[at].0));
                    }
                    Err(_) => {}
                }
            }
        }
        times.retain(|at, _| !failed.contains(at));
        println!("{}", row(name, &places, &times));
    }
    reasons.iter().for_each(|reason| println!("failed: {reason}"));
}
