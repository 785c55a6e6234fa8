//! What the kernel keeps in pages over a stop: shared mappings, and the page cache (S-35, S-40).

use crate::common::wait_until;
use crate::mounted::{Mounted, can_mount};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

/// Maps `pages` whole, writes a pattern into all of them, and does what it is told.
const MAPPER: &str = r#"
import mmap, os, sys
path, size = os.path.join(sys.argv[1], "pages"), 4 << 20
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(fd, size)
pages = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
def pattern(seed):
    return bytes((at * 7 + at // 4096 + seed) % 251 for at in range(size))
pages[:] = pattern(1)
print("dirty", flush=True)
sys.stdin.readline()
# In a child: what happens to a process that touches a page while it is stopped.
child = os.fork()
if child == 0:
    pages[0]
    os._exit(0)
print("touched:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
sys.stdin.readline()
print("kept:", pages[:] == pattern(1), flush=True)
pages[:] = pattern(2)
pages.flush()
print("again", flush=True)
sys.stdin.readline()
os.close(fd)
"#;

/// What [`MAPPER`] writes.
fn pattern(seed: usize) -> Vec<u8> {
    (0..4_usize << 20).map(|at| ((at * 7 + at / 4096 + seed) % 251) as u8).collect()
}

/// S-40: every byte of a dirty shared mapping is on the server when the stop has ended. Touching a
/// page is SIGBUS then, until a start that carries the handle over.
#[test]
fn a_shared_mapping_survives_a_stop() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local("");
    let there = || std::fs::read(mounted.backing().join("pages")).expect("it is there");
    let mut mapper = mounted.client(MAPPER);
    mapper.says("dirty");
    mounted.stop(10);
    assert!(there() == pattern(1), "every byte is on the server");
    mapper.go_on();
    mapper.says("touched: -7");
    mounted.start();
    mapper.go_on();
    mapper.says("kept: True");
    mapper.says("again");
    assert!(there() == pattern(2), "msync works after the start");
    mapper.finish();
}

/// A stop in the middle of writing through a mapping: what the writer saw done before it was
/// stopped by SIGBUS is on the server.
#[test]
fn pages_dirtied_while_it_stops() {
    const WRITER: &str = r#"
import mmap, os, signal, sys
fd = os.open(os.path.join(sys.argv[1], "counter"), os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(fd, 64 * 4096)
pages = mmap.mmap(fd, 64 * 4096)
done_read, done_write = os.pipe()
child = os.fork()
if child == 0:
    number = 0
    while True:
        number += 1
        for page in range(64):
            pages[page * 4096:page * 4096 + 8] = number.to_bytes(8, "little")
        # Said only after every page has it.
        os.write(done_write, number.to_bytes(8, "little"))
os.close(done_write)
last, started = 0, False
while True:
    said = os.read(done_read, 8)
    if not said:
        break
    last = int.from_bytes(said, "little")
    if not started:
        print("writing", flush=True)
        started = True
print("ended:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
print(last, flush=True)
sys.stdin.readline()
"#;
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local("");
    let writer = mounted.client(WRITER);
    writer.says("writing");
    mounted.stop(10);
    writer.says("ended: -7");
    let last: u64 = writer.line().parse().expect("a number");
    let there = std::fs::read(mounted.backing().join("counter")).expect("it is there");
    for page in 0..64 {
        let bytes: [u8; 8] = there[page * 4096..page * 4096 + 8].try_into().expect("eight");
        let number = u64::from_le_bytes(bytes);
        assert!(number == last || number == last + 1, "page {page}: {number}, said {last}");
    }
    writer.finish();
}

fn errno(result: std::io::Result<usize>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

/// S-35: what is in the page cache cannot be read while it is stopped, however long the server
/// allows it to be kept; and after the start it is read anew.
fn cached_reads_fail(mounted: &Mounted) {
    let path = mounted.at("cached");
    mounted.bounded("reading", || {
        std::fs::write(&path, vec![b'c'; 1 << 20]).expect("written");
        let (file, mut buffer) = (File::open(&path).expect("opens"), vec![0; 1 << 20]);
        for _ in 0..3 {
            assert_eq!(file.read_at(&mut buffer, 0).expect("read"), 1 << 20);
        }
        mounted.stop(10);
        for offset in [0, 4096, 1 << 19] {
            let read = file.read_at(&mut buffer[..100], offset);
            assert_eq!(errno(read), Some(Errno::SHUTDOWN), "at {offset}");
        }
        assert_eq!(errno(File::open(&path).map(|_| 0)), Some(Errno::SHUTDOWN));
        mounted.start();
        assert_eq!(file.read_at(&mut buffer[..100], 4096).expect("reclaimed"), 100);
        assert_eq!(buffer[..100], [b'c'; 100]);
    });
}

#[test]
fn cached_reads_fail_after_a_stop_of_memory() {
    if can_mount() {
        cached_reads_fail(&Mounted::memory("entry_timeout=1h,attr_timeout=1h"));
    }
}

#[test]
fn cached_reads_fail_after_a_stop_of_local() {
    if can_mount() {
        cached_reads_fail(&Mounted::local("keep_cache,entry_timeout=1h,attr_timeout=1h"));
    }
}

/// S-31: nor can names and attributes be had that the kernel remembers for an hour.
#[test]
fn remembered_attributes_are_refused_after_a_stop() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::memory("entry_timeout=1h,attr_timeout=1h,negative_timeout=1h");
    let (file, directory) = (mounted.at("d/file"), mounted.at("d"));
    mounted.bounded("asking", || {
        std::fs::create_dir(&directory).expect("made");
        std::fs::write(&file, b"x").expect("written");
        let look = || {
            let listed = std::fs::read_dir(&directory).map(|names| names.count());
            let missing = std::fs::metadata(mounted.at("d/none")).map(|_| 0);
            [std::fs::metadata(&file).map(|_| 0), listed, missing].map(errno)
        };
        assert_eq!(look(), [None, None, Some(Errno::NOENT)]);
        mounted.stop(0);
        assert_eq!(look(), [Some(Errno::SHUTDOWN); 3]);
        assert!(std::fs::metadata(mounted.path()).is_ok(), "the root answers");
        mounted.start();
        assert_eq!(look(), [None, None, Some(Errno::NOENT)]);
    });
}

/// A program that runs from the mount has its pages mapped: it is stopped like any other handle,
/// and goes on after the start.
#[test]
fn a_running_program_survives_a_stop() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local("");
    let program = mounted.at("sleep");
    mounted.bounded("copying", || std::fs::copy("/bin/sleep", &program).expect("copied"));
    let mut command = Command::new(&program);
    command.arg("1000");
    let mut running = mounted.bounded("running", || crate::client::Client::start(command));
    let sleeps = || {
        let path = format!("/proc/{}/syscall", running.pid());
        std::fs::read_to_string(path).is_ok_and(|call| !call.starts_with("running"))
    };
    wait_until("it sleeps", sleeps);
    mounted.expect(10, &["stop", "t", "--check"]);
    mounted.stop(10);
    assert!(std::fs::read(mounted.backing().join("sleep")).is_ok());
    mounted.start();
    running.kill();
}
