//! One request's round trip through a mount of ours, against the least there can be: a bare loop of
//! read(2) and write(2) on `/dev/fuse` that answers the same question from memory (issue 6: at most
//! 1.2 of it). In turns in one run. As root.

#[path = "support/ratio.rs"]
mod ratio;

use rustix::fd::OwnedFd;
use rustix::fs::{self, Mode, OFlags};
use rustix::io;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Round trips in one measurement.
const CALLS: u64 = 2_000;
/// As large as the kernel asks for at least.
const BUFFER: usize = 1 << 20;
const HEADER: usize = 16;

// Opcodes, and what they are answered with (linux/fuse.h, ABI 7.31).
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const INIT_OUT: usize = 64;
const ATTR_OUT: usize = 104;
const STATFS_OUT: usize = 80;
const ENOSYS: i32 = 38;

/// Answers until the mount is gone.
fn serve(device: &OwnedFd) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(bytes) = io::read(device, &mut buffer[..]) {
        if bytes == 0 {
            return;
        }
        let word = |at: usize| buffer[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
        let mut answer = vec![0; HEADER];
        answer[8..16].copy_from_slice(&buffer[8..16]);
        let mut put = |size: usize, fields: &[(usize, u32)]| {
            answer.resize(HEADER + size, 0);
            for (at, value) in fields {
                answer[HEADER + at..HEADER + at + 4].copy_from_slice(&value.to_ne_bytes());
            }
        };
        match word(4) {
            // Version 7.31; readahead, flags, background, max_write.
            INIT => put(INIT_OUT, &[(0, 7), (4, 31), (8, 1 << 17), (20, 1 << 17)]),
            // The root: number 1, a directory, cached for a long time.
            GETATTR => put(ATTR_OUT, &[(0, 1 << 20), (16, 1), (76, 0o040_755), (80, 1)]),
            STATFS => put(STATFS_OUT, &[(40, 4096), (44, 255), (48, 4096)]),
            _ => answer[4..8].copy_from_slice(&(-ENOSYS).to_ne_bytes()),
        }
        let length = u32::try_from(answer.len()).unwrap_or(u32::MAX);
        answer[..4].copy_from_slice(&length.to_ne_bytes());
        // Gone between the question and the answer: the next read says so.
        let _gone = io::write(device, &answer);
    }
}

/// The bare loop, mounted; one thread, as the reference has it.
struct Bare {
    place: PathBuf,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bare {
    fn mount(place: PathBuf) -> Self {
        std::fs::create_dir(&place).expect("a fresh directory");
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let device = fs::open("/dev/fuse", flags, Mode::empty()).expect("/dev/fuse");
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0\0", device.as_raw_fd());
        let data = std::ffi::CStr::from_bytes_with_nul(data.as_bytes()).expect("one end");
        mount("bare", &place, "fuse", MountFlags::NOSUID | MountFlags::NODEV, data).expect("root");
        let thread = Some(std::thread::spawn(move || serve(&device)));
        Self { place, thread }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        unmount(&self.place, UnmountFlags::empty()).expect("nobody is inside");
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it ends with its mount");
        }
    }
}

fn minirdr(scratch: &Path, words: &[&str]) {
    let ended = Command::new(env!("CARGO_BIN_EXE_minirdr"))
        .args(words)
        .env("XDG_RUNTIME_DIR", scratch.join("run"))
        .output()
        .expect("the program runs");
    assert!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// So many times statfs(2) on an open file: it is never cached, and asks nothing else.
fn ask(inside: &File) -> Duration {
    let from = Instant::now();
    for _ in 0..CALLS {
        fs::fstatfs(inside).expect("answered");
    }
    from.elapsed()
}

fn main() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| scratch.path().join(name);
    std::fs::create_dir(at("run")).expect("a fresh directory");
    std::fs::create_dir(at("ours")).expect("a fresh directory");
    let bare = Bare::mount(at("bare"));
    for threads in ["1", "2", "4"] {
        let place = at("ours").display().to_string();
        let options = format!("fuse_threads={threads}");
        minirdr(scratch.path(), &["mount", "memory:", &place, "--name", "rt", "-o", &options]);
        {
            let ours = File::open(at("ours")).expect("mounted");
            let plain = File::open(&bare.place).expect("mounted");
            let what = format!("round trip, {threads} threads");
            ratio::compare(&what, "bare loop", CALLS, || ask(&ours), || ask(&plain));
        }
        minirdr(scratch.path(), &["umount", "rt"]);
    }
}
