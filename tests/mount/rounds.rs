//! Stops and starts without end, under a mixed load: every count is back where it was, and so is
//! the memory (S-38). `SOAK_ROUNDS=1000 cargo test --release --test mount rounds` makes a thousand.

use crate::common::{LIMIT, wait_until};
use crate::mounted::{Mounted, can_mount};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

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

/// What the counting in Rust does not do: renames as git makes them, locks, listings, and pages of
/// a shared mapping, touched in a child, which a stop may end with SIGBUS. Refusals are expected.
const MIXED: &str = r#"
import fcntl, mmap, os, select, sys
root = sys.argv[1]
at = lambda name: os.path.join(root, name)
def rename():
    fd = os.open(at("index.lock"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(fd, b"index" * 100)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(at("index.lock"), at("index"))
def lock():
    fd = os.open(at("locked"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(fd, fcntl.LOCK_UN)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(fd)
def listing():
    for entry in os.scandir(root):
        entry.stat()
def pages():
    child = os.fork()
    if child == 0:
        try:
            fd = os.open(at("pages"), os.O_RDWR | os.O_CREAT, 0o644)
            os.ftruncate(fd, 65536)
            mapped = mmap.mmap(fd, 65536)
            mapped[:] = b"p" * 65536
            mapped.flush()
        except OSError:
            pass
        os._exit(0)
    os.waitpid(child, 0)
rounds = 0
print("working", flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    rounds += 1
    for work in rename, lock, listing, pages if rounds % 8 == 0 else listing:
        try:
            work()
        except OSError:
            pass
"#;

/// Rounds: `SOAK_ROUNDS`, or the usual fifty.
fn wanted() -> usize {
    let Ok(text) = std::env::var("SOAK_ROUNDS") else { return ROUNDS };
    text.parse().unwrap_or_else(|_| panic!("SOAK_ROUNDS={text}: not a number"))
}

/// Memory may grow by so much from the tenth round to the last, in KiB. The queue of events fills
/// to its bound (4096 of them, some 3 MiB as text), and glibc keeps what it had at the worst
/// moment in an arena of each thread. One leaked generation, file or handle a round is beyond it in
/// a thousand rounds; in fifty the counts find it.
const MEMORY_SLACK_KB: u64 = 16 * 1024;

fn resident_kb(mounted: &Mounted) -> u64 {
    let path = format!("/proc/{}/status", mounted.pid());
    let status = fs::read_to_string(path).expect("the daemon lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn rounds(mounted: &Mounted) {
    let (over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let wanted = wanted();
    // Everything that is made once is made.
    mounted.bounded("warming up", || {
        fs::write(mounted.at("warm"), b"x").expect("written");
        fs::read_dir(mounted.path()).expect("listed").for_each(drop);
    });
    mounted.stop(0);
    mounted.start();
    wait_until("it is quiet", || Counts::of(mounted).handles == 0);
    let before = Counts::of(mounted);
    let mixed = mounted.client(MIXED);
    mixed.says("working");
    let mut resident = Vec::new();
    // A round that takes longer than this hangs.
    let limit = LIMIT + Duration::from_secs(1) * u32::try_from(wanted).expect("not so many");
    mounted.bounded_within("the rounds", limit, || {
        std::thread::scope(|scope| {
            for number in 0..3 {
                let (over, done) = (&over, &done);
                scope.spawn(move || load(mounted, number, over, done));
            }
            for round in 0..wanted {
                let worked = done.load(Ordering::SeqCst);
                let stop = mounted.run(&["stop", "t", "--wait"]);
                assert!(matches!(stop.code, 0 | 10), "round {round}: {stop:?}");
                mounted.start();
                wait_until("the load works again", || done.load(Ordering::SeqCst) > worked);
                resident.push(resident_kb(mounted));
            }
            over.store(true, Ordering::SeqCst);
        });
    });
    mixed.finish();
    let generation = mounted.count("generation");
    assert!(generation >= wanted as u64, "{generation}");
    wait_until("every count is back where it was", || {
        let after = Counts::of(mounted);
        // Kept descriptors of known files are the kernel's to forget; a stop gives them up.
        Counts { descriptors: before.descriptors, ..after } == before
    });
    mounted.stop(0);
    mounted.start();
    wait_until("every descriptor is back where it was", || Counts::of(mounted) == before);
    let (first, last) = (resident[resident.len().min(10) - 1], resident_kb(mounted));
    println!(
        "{wanted} rounds, {} pieces of work: {before:?}, resident {first} kB after 10, \
         {last} kB at the end",
        done.load(Ordering::SeqCst)
    );
    assert!(last < first + MEMORY_SLACK_KB, "{resident:?}");
}

#[test]
fn rounds_of_memory() {
    if can_mount() {
        rounds(&Mounted::memory(""));
    }
}

#[test]
fn rounds_of_local() {
    if can_mount() {
        rounds(&Mounted::local(""));
    }
}
