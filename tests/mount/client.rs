//! Another program that uses a mount, bounded in time, with a pipe to speak by.

use crate::common::LIMIT;
use minirdr::base::clock::{Clock, SystemClock};
use minirdr::base::threads::{self, Thread};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A program beside the test; killed when it is dropped.
pub struct Client {
    child: Child,
    lines: Receiver<String>,
    /// Joined when it is dropped, after the child has ended.
    reader: Option<Thread>,
}

impl Client {
    /// Python, with these arguments in `sys.argv[1:]`.
    pub fn python(script: &str, arguments: &[&Path]) -> Self {
        let mut command = Command::new("python3");
        command.args(["-u", "-c", script]).args(arguments);
        Self::start(command)
    }

    /// A command of the shell.
    pub fn shell(script: &str, directory: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(directory);
        Self::start(command)
    }

    /// Any command.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it can be run");
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        let read = move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        };
        let reader = threads::spawn("t-client", read).expect("room for a thread");
        Self { child, lines, reader: Some(reader) }
    }

    /// The next line it says.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("the client says something")
    }

    /// It says this next.
    #[track_caller]
    pub fn says(&self, wanted: &str) {
        assert_eq!(self.line(), wanted);
    }

    /// Tells it to go on.
    pub fn go_on(&mut self) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        input.write_all(b"\n").expect("the client listens");
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it and tells how long it took to be gone.
    pub fn kill(&mut self) -> Duration {
        let clock = SystemClock::new();
        let from = clock.now();
        self.child.kill().expect("it lives");
        self.end(LIMIT);
        clock.now().since(from)
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self, limit: Duration) -> ExitStatus {
        let clock = SystemClock::new();
        let last = clock.now().after(limit);
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(clock.now() < last, "client {} does not end", self.pid());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Lets it go on, and it ends well.
    #[track_caller]
    pub fn finish(mut self) {
        drop(self.child.stdin.take());
        let status = self.end(LIMIT);
        assert!(status.success(), "the client: {status}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Gone already, in a test that went well.
        let _ = self.child.kill();
        if std::thread::panicking() {
            // It may hang on the mount until its daemon is ended, which comes next: then its reader
            // ends too.
            if let Some(reader) = self.reader.take() {
                reader.abandon();
            }
        } else {
            let _ = self.child.wait();
        }
    }
}
