//! One mount by the built program, and its end whatever happens.

use crate::client::Client;
use crate::common::{LIMIT, wait_until};
use minirdr::base::clock::{Clock, SystemClock};
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::TempDir;

/// The mount's name in its runtime directory.
const NAME: &str = "t";

/// Can this machine run these tests? Says so if not.
pub fn can_mount() -> bool {
    let device = File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !device {
        println!("skipped: needs /dev/fuse");
    }
    device
}

/// Says so where only root can do what a test needs.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

/// What a command ended with.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A mount, its daemon, and a directory for both.
pub struct Mounted {
    scratch: TempDir,
    pid: Pid,
}

impl Mounted {
    /// Mounts `memory:`.
    pub fn memory(options: &str) -> Self {
        Self::source("memory:", options)
    }

    /// Mounts `local:` on the directory [`Self::backing`].
    pub fn local(options: &str) -> Self {
        Self::source("local:", options)
    }

    /// Mounts a source; that of `local:` is put in.
    pub fn source(source: &str, options: &str) -> Self {
        Self::with(source, options, &[])
    }

    /// The same with further words after `mount`.
    pub fn with(source: &str, options: &str, further: &[&str]) -> Self {
        let mut mounted = Self::unmounted();
        mounted.mount_with(source, options, further);
        mounted
    }

    /// The directories alone.
    pub fn unmounted() -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        for directory in ["run", "mnt", "back", "elsewhere"] {
            std::fs::create_dir(scratch.path().join(directory)).expect("a directory");
        }
        Self { scratch, pid: Pid::INIT }
    }

    /// Mounts (again).
    pub fn mount(&mut self, source: &str, options: &str) -> Outcome {
        self.mount_with(source, options, &[])
    }

    /// The same with further words.
    pub fn mount_with(&mut self, source: &str, options: &str, further: &[&str]) -> Outcome {
        let words = self.mount_words(source, options);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(further);
        let outcome = self.expect(0, &words);
        let pid = self.status()["pid"].as_i64().expect("a process id");
        let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
        self.pid = pid.expect("a process id");
        outcome
    }

    /// The words that mount it.
    pub fn mount_words(&self, source: &str, options: &str) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().expect("a name of text").to_owned();
        let backing = text(self.backing());
        let source = source.replace("local:", &format!("local:{backing}"));
        let (place, log) = (text(self.path()), text(self.log()));
        let words = ["mount", &source, &place, "--name", NAME, "--log", &log];
        let options = ["-o", options].into_iter().filter(|_| !options.is_empty());
        words.into_iter().chain(options).map(str::to_owned).collect()
    }

    /// A daemon that a test started by itself is this mount's: it is ended with it.
    pub fn adopt(&mut self, pid: u32) {
        let pid = i32::try_from(pid).expect("a process id");
        self.pid = Pid::from_raw(pid).expect("a process id");
    }

    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.scratch.path().join("mnt")
    }

    /// The daemon's control socket.
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("run/minirdr").join(format!("{NAME}.sock"))
    }

    /// A file on the mount.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// What `local:` serves.
    pub fn backing(&self) -> PathBuf {
        self.scratch.path().join("back")
    }

    /// An empty directory beside it, for a bind mount.
    pub fn elsewhere(&self) -> PathBuf {
        self.scratch.path().join("elsewhere")
    }

    /// The daemon's process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The built program, with these words.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_minirdr"));
        command.args(words).env("XDG_RUNTIME_DIR", self.scratch.path().join("run"));
        command.env("HOME", self.scratch.path());
        command.env("XDG_STATE_HOME", self.scratch.path().join("state"));
        for variable in ["MINIRDR_LOG", "JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs the program, to its end.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Outcome {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str| File::create(scratch.path().join(name)).expect("a file");
        let mut command = self.command(words);
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        let mut child = command.spawn().expect("the program is built");
        let clock = SystemClock::new();
        let last = clock.now().after(LIMIT);
        let status = loop {
            match child.try_wait().expect("it is our child") {
                Some(status) => break Some(status),
                None if clock.now() < last => std::thread::park_timeout(Duration::from_millis(2)),
                None => break None,
            }
        };
        let text = |name: &str| {
            let bytes = std::fs::read(scratch.path().join(name)).expect("written");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let Some(status) = status else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("minirdr {words:?} does not end: {} {}", text("out"), text("err"));
        };
        Outcome { code: status.code().unwrap_or(-1), out: text("out"), err: text("err") }
    }

    /// Runs the program; it ends with this code.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) -> Outcome {
        let outcome = self.run(words);
        assert_eq!(outcome.code, code, "minirdr {words:?}: {} {}", outcome.out, outcome.err);
        outcome
    }

    /// Its answer in JSON.
    #[track_caller]
    pub fn json(&self, code: i32, words: &[&str]) -> Value {
        let words = [words, &["--json"]].concat();
        let outcome = self.expect(code, &words);
        serde_json::from_str(&outcome.out).expect("one object")
    }

    /// The `mount` of `status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let outcome = self.run(&["status", NAME, "--json"]);
        let answer: Value = serde_json::from_str(&outcome.out).expect("one object");
        answer["mount"].clone()
    }

    /// Stops it and waits; it ends with 0, or with 10 if handles are open.
    #[track_caller]
    pub fn stop(&self, code: i32) {
        self.expect(code, &["stop", NAME, "--wait"]);
    }

    /// Starts it.
    #[track_caller]
    pub fn start(&self) {
        self.expect(0, &["start", NAME]);
    }

    /// A number of the status.
    pub fn count(&self, key: &str) -> u64 {
        self.status()[key].as_u64().unwrap_or_else(|| panic!("no {key} in {}", self.status()))
    }

    /// Requests in flight that were read from the kernel and are this operation's.
    pub fn requests(&self, operation: &str) -> usize {
        let answer = self.json(0, &["requests", NAME]);
        let requests = answer["requests"].as_array().cloned().unwrap_or_default();
        requests.iter().filter(|request| request["operation"] == operation).count()
    }

    /// Runs what touches the mount. If it takes too long the daemon is ended, which frees it, and
    /// the test fails.
    #[track_caller]
    pub fn bounded<T: Send>(&self, what: &str, work: impl FnOnce() -> T + Send) -> T {
        self.bounded_within(what, LIMIT, work)
    }

    /// The same with another bound.
    #[track_caller]
    pub fn bounded_within<T: Send>(
        &self,
        what: &str,
        limit: Duration,
        work: impl FnOnce() -> T + Send,
    ) -> T {
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            let working = scope.spawn(move || {
                let done = work();
                let _ = sender.send(());
                done
            });
            if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                self.kill();
                panic!("{what} hangs");
            }
            working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A program that uses it.
    pub fn client(&self, script: &str) -> Client {
        Client::python(script, &[&self.path()])
    }

    /// Ends the daemon at once.
    pub fn kill(&self) {
        if self.is_ours() {
            let _ = kill_process(self.pid, Signal::KILL);
            wait_until("the daemon is gone", || self.has_ended());
        }
    }

    /// Has the daemon's process ended, all its descriptors closed? Nobody may have reaped it yet.
    pub fn has_ended(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The name before the state is in brackets and may have anything in it.
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
        // The first thread may be done before the others, which have the descriptors still.
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid));
        let alone = threads.is_ok_and(|threads| threads.count() <= 1);
        state.is_none() || (matches!(state, Some('Z' | 'X')) && alone)
    }

    /// Is the daemon's process there, and still the one we started? A number may be given again.
    fn is_ours(&self) -> bool {
        if self.pid == Pid::INIT {
            return false;
        }
        let command = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let place = self.path();
        let place = place.to_str().expect("a name of text");
        String::from_utf8_lossy(&command).contains(place)
    }

    /// How many mounts are on the mount point.
    pub fn mounts(&self) -> usize {
        mounts_on(&self.path())
    }
}

/// How many mounts are on a directory. Read from mountinfo: no daemon is asked.
pub fn mounts_on(path: &Path) -> usize {
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    let path = path.to_str().expect("a name of text");
    table.lines().filter(|line| line.split(' ').nth(4) == Some(path)).count()
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(log) = std::fs::read_to_string(self.log())
        {
            println!("the daemon's log:\n{log}");
        }
        let mut command = self.command(&["umount", NAME, "--deadline", "5s"]);
        command.args(["--on-deadline", "abort"]).stdout(Stdio::null()).stderr(Stdio::null());
        if self.mounts() > 0
            && let Ok(mut child) = command.stdin(Stdio::null()).spawn()
        {
            let clock = SystemClock::new();
            let last = clock.now().after(Duration::from_secs(15));
            while matches!(child.try_wait(), Ok(None)) && clock.now() < last {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        while self.mounts() > 0 {
            let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
            if rustix::mount::unmount(self.path(), flags).is_err() {
                let mut helper = Command::new("fusermount3");
                let _ = helper.arg("-uz").arg(self.path()).status();
                break;
            }
        }
        self.kill();
    }
}
