//! Where the demo plays: a temporary directory, the daemon, the reader, and commands with bounds.

use crate::base::clock::{Clock, SystemClock};
use crate::base::programs::program;
use crate::cli::corpse;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::locate;
use crate::cli::print;
use crate::cli::vigil;
use crate::mgmt::client::{Client, socket_path};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The bound of one step.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// How often an ending is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A pause after each step, with `--slowly`.
const READING_TIME: Duration = Duration::from_millis(1500);

/// What a step must be seen to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The exit code; none: anything but 0.
    exit: Option<i32>,
    out: Vec<String>,
    err: Vec<String>,
}

impl Expect {
    /// This exit code.
    pub fn exit(code: i32) -> Self {
        Self { exit: Some(code), ..Self::default() }
    }

    /// Any exit code but 0.
    pub fn failure() -> Self {
        Self::default()
    }

    /// And this on stdout.
    pub fn out(mut self, part: &str) -> Self {
        self.out.push(part.to_owned());
        self
    }

    /// And this on stderr.
    pub fn err(mut self, part: &str) -> Self {
        self.err.push(part.to_owned());
        self
    }

    /// What was expected and not seen; nothing when all was.
    fn missing_from(&self, seen: &Seen) -> Option<String> {
        match (self.exit, seen.exit) {
            (Some(expected), code) if code != Some(expected) => {
                return Some(format!("exit code {expected}"));
            }
            (None, Some(0)) => return Some("a failure".to_owned()),
            _ => {}
        }
        let out = self.out.iter().find(|part| !seen.out.contains(*part));
        let err = self.err.iter().find(|part| !seen.err.contains(*part));
        let on = |part: &String, stream: &str| format!("{part:?} on {stream}");
        out.map(|part| on(part, "stdout")).or_else(|| err.map(|part| on(part, "stderr")))
    }
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// None: ended by a signal.
    exit: Option<i32>,
    out: String,
    err: String,
}

impl Seen {
    /// In one line, for the complaint.
    fn summary(&self) -> String {
        let exit = self.exit.map_or_else(|| "a signal".to_owned(), |code| format!("exit {code}"));
        let text = format!("{} {}", self.out.trim(), self.err.trim());
        format!("{exit}: {}", text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// The demo's surroundings.
pub struct Stage {
    executable: PathBuf,
    socket: PathBuf,
    directory: PathBuf,
    mount_point: PathBuf,
    name: String,
    clock: SystemClock,
    slowly: bool,
    interrupted: Arc<AtomicBool>,
    /// The daemon's process: unlike its number, it cannot become another one's.
    daemon: Option<OwnedFd>,
    reader: Option<Child>,
    steps: usize,
    cleared: bool,
}

impl Stage {
    /// Makes the temporary directory and finds a free name.
    pub fn set(environment: &Environment, slowly: bool) -> Result<Self, Trouble> {
        let own = std::process::id();
        // The commands shown are lines of a shell: a directory that would need quotes is not used.
        let plain = |path: &&PathBuf| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            path.to_str().is_some_and(|text| text.chars().all(is_plain))
        };
        let above = Some(&environment.temporary_dir).filter(plain);
        let above = above.cloned().unwrap_or_else(|| PathBuf::from("/tmp"));
        let directory = above.join(format!("minirdr-demo.{own}"));
        let mount_point = directory.join("mnt");
        let attempt = format!("make {}", mount_point.display());
        let make = || -> std::io::Result<()> {
            std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
            std::fs::create_dir(&mount_point)
        };
        make().map_err(|error| Trouble::system(attempt, &error))?;
        let taken = socket_path(&environment.runtime_dir, "demo").symlink_metadata().is_ok();
        let name = if taken { format!("demo-{own}") } else { "demo".to_owned() };
        Ok(Self {
            executable: environment.executable.clone(),
            socket: socket_path(&environment.runtime_dir, &name),
            directory,
            mount_point,
            name,
            clock: SystemClock::new(),
            slowly,
            interrupted: vigil::interrupt_flag()?,
            daemon: None,
            reader: None,
            steps: 0,
            cleared: false,
        })
    }

    /// The mount's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The mount point, as a word of a shell.
    pub fn mount_point_text(&self) -> String {
        self.mount_point.display().to_string()
    }

    /// Steps seen so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// A sentence between the steps.
    pub fn say(&self, sentence: &str) -> Result<(), Trouble> {
        print::answer(&format!("\n# {sentence}")).map(|_| ())
    }

    /// A step: this program with these words.
    pub fn minirdr(&mut self, words: &[&str], expect: Expect) -> Result<(), Trouble> {
        let mut command = program(&self.executable);
        command.args(words);
        self.step(&format!("minirdr {}", words.join(" ")), command, &expect)
    }

    /// A step: a line of a shell.
    pub fn shell(&mut self, line: &str, expect: Expect) -> Result<(), Trouble> {
        let mut command = program("sh");
        command.args(["-c", line]);
        self.step(line, command, &expect)
    }

    fn step(&mut self, shown: &str, command: Command, expect: &Expect) -> Result<(), Trouble> {
        self.steps += 1;
        print::answer(&format!("$ {shown}"))?;
        let seen = self.run(command, STEP_LIMIT);
        let seen = seen.map_err(|what| self.otherwise(shown, "an end", &what))?;
        // What is said on the way comes before the answer, as it does on a terminal.
        for text in [&seen.err, &seen.out] {
            if !text.is_empty() {
                print::answer(text)?;
            }
        }
        if self.interrupted.load(Ordering::SeqCst) {
            return Err(Trouble::with_exit(Exit::INTERRUPTED, "demo: interrupted"));
        }
        match expect.missing_from(&seen) {
            Some(missing) => Err(self.otherwise(shown, &missing, &seen.summary())),
            None => {
                self.pause();
                Ok(())
            }
        }
    }

    fn otherwise(&self, shown: &str, expected: &str, seen: &str) -> Trouble {
        let step = self.steps;
        Trouble::failed(format!("demo: step {step}, `{shown}`: expected {expected}; saw {seen}"))
    }

    fn pause(&self) {
        if self.slowly {
            std::thread::sleep(READING_TIME);
        }
    }

    /// Runs a command to its end, but no longer than `limit`. Its output is small: it fits the
    /// pipes.
    fn run(&self, mut command: Command, limit: Duration) -> Result<Seen, String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        if !self.await_condition(limit, || !matches!(child.try_wait(), Ok(None))) {
            let _ = child.kill();
            return Err(format!("nothing within {} s", limit.as_secs()));
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        let read = |stream: Option<&mut dyn Read>| {
            let mut bytes = Vec::new();
            if let Some(stream) = stream {
                let _ = stream.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let out = read(out.as_mut().map(|stream| stream as &mut dyn Read));
        let err = read(err.as_mut().map(|stream| stream as &mut dyn Read));
        Ok(Seen { exit: status.code(), out, err })
    }

    /// Looks again and again, but no longer than `limit`; did it come true?
    fn await_condition(&self, limit: Duration, mut is_true: impl FnMut() -> bool) -> bool {
        let end = self.clock.now().after(limit);
        loop {
            if is_true() {
                return true;
            }
            if self.clock.now() >= end {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Remembers the daemon's process, to end it if all else fails.
    pub fn find_daemon(&mut self) -> Result<(), Trouble> {
        let failed = |error| locate::explain(&self.name, &error);
        let mut client = Client::connect(&self.socket).map_err(failed)?;
        let status = client.status().map_err(failed)?;
        let pid = i32::try_from(status.pid).ok().and_then(Pid::from_raw);
        let process = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        self.daemon = process.flatten();
        match self.daemon {
            Some(_) => Ok(()),
            None => Err(self.otherwise("mount", "a daemon", &format!("no process {}", status.pid))),
        }
    }

    /// A step: another process opens the file and keeps it. The shell opens it and becomes `sleep`,
    /// so that the process that holds the file is neither the daemon nor this one.
    pub fn open_reader(&mut self, path: &str) -> Result<u32, Trouble> {
        self.steps += 1;
        let shown = format!("sleep 300 < {path} &");
        print::answer(&format!("$ {shown}"))?;
        let mut command = program("sh");
        command.args(["-c", &format!("exec sleep 300 < {path}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        let child =
            child.map_err(|error| self.otherwise(&shown, "a process", &error.to_string()))?;
        let reader = child.id();
        self.reader = Some(child);
        let holds = self.await_condition(STEP_LIMIT, || self.holds_a_handle(reader));
        match holds {
            true => Ok(reader),
            false => Err(self.otherwise(&shown, "an open handle of its own", "none")),
        }
    }

    fn holds_a_handle(&self, reader: u32) -> bool {
        let reply = Client::connect(&self.socket).and_then(|mut client| client.handles());
        let is_it = |holder: &crate::mgmt::proto::Holder| {
            holder.pid == Some(reader) && holder.command.as_deref() == Some("sleep")
        };
        reply.is_ok_and(|reply| reply.holders.iter().any(is_it))
    }

    /// A step: the reader ends, and its file is closed.
    pub fn end_reader(&mut self) -> Result<(), Trouble> {
        self.steps += 1;
        let Some(mut reader) = self.reader.take() else { return Ok(()) };
        let shown = format!("kill {}", reader.id());
        print::answer(&format!("$ {shown}"))?;
        let ended = end_child(&mut reader)
            && self.await_condition(STEP_LIMIT, || !matches!(reader.try_wait(), Ok(None)));
        self.pause();
        match ended {
            true => Ok(()),
            false => Err(self.otherwise(&shown, "its end", "it alive")),
        }
    }

    /// A step that is not typed: mountinfo no longer knows the mount, and the daemon is gone.
    pub fn check_unmounted(&mut self) -> Result<(), Trouble> {
        self.steps += 1;
        if self.is_mounted() {
            return Err(self.otherwise("umount", "no mount", "it in mountinfo"));
        }
        let gone = self.daemon.as_ref().is_none_or(|daemon| has_ended(daemon, STEP_LIMIT));
        match gone {
            true => Ok(()),
            false => Err(self.otherwise("umount", "no daemon", "its process alive")),
        }
    }

    /// Is it mounted? When mountinfo cannot be read it may be, and nothing is removed.
    fn is_mounted(&self) -> bool {
        locate::read_mounts()
            .map_or(true, |mounts| mounts.iter().any(|mount| mount.mount_point == self.mount_point))
    }

    /// Leaves nothing behind, whatever happened.
    pub fn clear(&mut self) -> Result<(), Trouble> {
        self.cleared = true;
        if let Some(mut reader) = self.reader.take() {
            end_child(&mut reader);
            self.await_condition(STEP_LIMIT, || !matches!(reader.try_wait(), Ok(None)));
        }
        if self.is_mounted() {
            let mut forced = program(&self.executable);
            forced.args(["umount", "--force", "--lazy", &self.name]);
            let _ = self.run(forced, STEP_LIMIT);
        }
        self.end_daemon();
        if self.is_mounted() {
            corpse::detach(&self.mount_point);
        }
        if self.is_mounted() {
            let shown = self.mount_point.display();
            return Err(Trouble::failed(format!(
                "demo: {shown} is still mounted; `minirdr doctor`"
            )));
        }
        // Only directories of our own making, and only empty ones: never what is on a mount.
        std::fs::remove_dir(&self.mount_point)
            .and_then(|()| std::fs::remove_dir(&self.directory))
            .map_err(|error| {
                Trouble::system(format!("remove {}", self.directory.display()), &error)
            })
    }

    fn end_daemon(&mut self) {
        let Some(daemon) = self.daemon.take() else { return };
        for signal in [Signal::TERM, Signal::KILL] {
            // After an orderly end there is nobody to signal.
            if has_ended(&daemon, Duration::ZERO) {
                return;
            }
            let _ = pidfd_send_signal(&daemon, signal);
            has_ended(&daemon, STEP_LIMIT);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.cleared
            && let Err(trouble) = self.clear()
        {
            print::complain(&trouble.message);
        }
    }
}

/// Has the process ended, or does it within `limit`?
fn has_ended(process: &OwnedFd, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).ok();
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], limit.as_ref());
    // An interrupt cuts the wait short: the caller goes on as if it had passed.
    ended.is_ok_and(|ready| ready > 0)
}

/// Asks a child to end; could it be asked?
fn end_child(child: &mut Child) -> bool {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(exit: i32, out: &str, err: &str) -> Seen {
        Seen { exit: Some(exit), out: out.to_owned(), err: err.to_owned() }
    }

    #[test]
    fn a_step_is_seen_only_if_all_of_it_is() {
        let expect = Expect::exit(0).out("pending").out("sleep[5]");
        assert_eq!(expect.missing_from(&seen(0, "pending\nsleep[5]", "")), None);
        let missing = expect.missing_from(&seen(0, "pending", "sleep[5]"));
        assert_eq!(missing.as_deref(), Some("\"sleep[5]\" on stdout"));
        let missing = expect.missing_from(&seen(1, "pending\nsleep[5]", ""));
        assert_eq!(missing.as_deref(), Some("exit code 0"));
    }

    #[test]
    fn a_failure_must_fail_and_say_why() {
        let expect = Expect::failure().err("shutdown");
        assert_eq!(expect.missing_from(&seen(1, "", "x: shutdown")), None);
        assert_eq!(expect.missing_from(&seen(0, "", "shutdown")).as_deref(), Some("a failure"));
        assert!(expect.missing_from(&seen(1, "", "")).is_some());
    }

    #[test]
    fn a_step_ended_by_a_signal_is_no_success() {
        let killed = Seen { exit: None, out: String::new(), err: String::new() };
        assert!(Expect::exit(0).missing_from(&killed).is_some());
        assert_eq!(killed.summary(), "a signal: ");
    }
}
