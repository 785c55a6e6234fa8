//! Stops and starts without end: every count is back where it was (S-38).

use crate::common::wait_until;
use crate::mounted::{Mounted, can_mount};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const ROUNDS: usize = 50;

/// What the daemon has of what can leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    descriptors: usize,
    threads: usize,
    handles: u64,
    survivors: u64,
    requests: u64,
    defects: u64,
}

impl Counts {
    fn of(mounted: &Mounted) -> Self {
        let entries = |what: &str| {
            let path = format!("/proc/{}/{what}", mounted.pid());
            fs::read_dir(path).expect("the daemon lives").count()
        };
        let status = mounted.status();
        let number = |key: &str| status[key].as_u64().unwrap_or_else(|| panic!("{key}: {status}"));
        Self {
            descriptors: entries("fd"),
            threads: entries("task"),
            handles: number("open_handles"),
            survivors: number("survivors"),
            requests: number("requests_in_flight"),
            defects: number("defects_total"),
        }
    }
}

/// Makes, writes, reads, lists, renames and removes until it is told to end; a refusal is none of
/// its business. Counts what worked.
fn load(mounted: &Mounted, number: usize, over: &AtomicBool, done: &AtomicU64) {
    let work = || -> std::io::Result<()> {
        let (path, other) = (mounted.at(&format!("f{number}")), mounted.at(&format!("g{number}")));
        let mut file =
            fs::File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        file.write_all(&[number as u8; 10_000])?;
        file.seek(SeekFrom::Start(5000))?;
        let mut back = Vec::new();
        file.read_to_end(&mut back)?;
        assert_eq!(back, [number as u8; 5000], "what is read is what was written");
        let directory = mounted.at(&format!("d{number}"));
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        fs::rename(&path, &other)?;
        fs::read_dir(mounted.path())?.for_each(drop);
        fs::remove_file(&other)?;
        fs::remove_dir(&directory)
    };
    while !over.load(Ordering::SeqCst) {
        match work() {
            Ok(()) => drop(done.fetch_add(1, Ordering::SeqCst)),
            // Not too fast: refusals cost nothing, and there is only so much of a machine.
            Err(_) => std::thread::park_timeout(std::time::Duration::from_millis(1)),
        }
    }
}

fn rounds(mounted: &Mounted) {
    let (over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    // Everything that is made once is made.
    mounted.bounded("warming up", || {
        fs::write(mounted.at("warm"), b"x").expect("written");
        fs::read_dir(mounted.path()).expect("listed").for_each(drop);
    });
    mounted.stop(0);
    mounted.start();
    wait_until("it is quiet", || Counts::of(mounted).handles == 0);
    let before = Counts::of(mounted);
    mounted.bounded("fifty rounds", || {
        std::thread::scope(|scope| {
            for number in 0..3 {
                let (over, done) = (&over, &done);
                scope.spawn(move || load(mounted, number, over, done));
            }
            for round in 0..ROUNDS {
                let worked = done.load(Ordering::SeqCst);
                let stop = mounted.run(&["stop", "t", "--wait"]);
                assert!(matches!(stop.code, 0 | 10), "round {round}: {stop:?}");
                mounted.start();
                wait_until("the load works again", || done.load(Ordering::SeqCst) > worked);
            }
            over.store(true, Ordering::SeqCst);
        });
    });
    let generation = mounted.count("generation");
    assert!(generation >= ROUNDS as u64, "{generation}");
    wait_until("every count is back where it was", || {
        let after = Counts::of(mounted);
        // Kept descriptors of known files are the kernel's to forget; a stop gives them up.
        Counts { descriptors: before.descriptors, ..after } == before
    });
    mounted.stop(0);
    mounted.start();
    wait_until("every descriptor is back where it was", || Counts::of(mounted) == before);
}

#[test]
fn fifty_rounds_of_memory() {
    if can_mount() {
        rounds(&Mounted::memory(""));
    }
}

#[test]
fn fifty_rounds_of_local() {
    if can_mount() {
        rounds(&Mounted::local(""));
    }
}
