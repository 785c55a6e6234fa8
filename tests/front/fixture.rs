//! A memory server on a real mount, clients in processes of their own, and ways to wait.

use crate::common::Host;
use minirdr::base::clock::SystemClock;
use minirdr::base::ids::Caller;
use minirdr::base::threads::{self, Thread};
use minirdr::front::control_dir::device::{ControlDevice, ControlReply};
use minirdr::front::error::FrontError;
use minirdr::front::options::MountConfig;
use minirdr::front::session::{Ended, Mount};
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::rdbss::operation::Dispatcher;
use minirdr::rdbss::register::DeviceOptions;
use minirdr::redirectors::memory::{Memory, MemoryOptions, MemoryServer};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Nothing on a mount is waited for longer than this.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A started device over a memory server.
pub fn memory_host() -> Host {
    let server = MemoryServer::new(SystemClock::shared());
    let factory = move || -> Arc<dyn MiniRedirector> {
        Arc::new(Memory::new(server.clone(), MemoryOptions::default()))
    };
    let host = Host::new(Box::new(factory), DeviceOptions::default());
    host.start();
    host
}

/// A mount of a host. Declared so that the mount goes before the host and the directory.
pub struct Fixture {
    pub mount: Mount,
    pub gone: Receiver<Ended>,
    pub host: Host,
    pub place: tempfile::TempDir,
    pub config: MountConfig,
}

impl Fixture {
    /// A plain mount.
    pub fn new() -> Self {
        Self::with(|_| {}, None)
    }

    /// A mount with something else about it.
    pub fn with(
        change: impl FnOnce(&mut MountConfig),
        control: Option<Arc<dyn ControlDevice>>,
    ) -> Self {
        let host = memory_host();
        let place = tempfile::tempdir().expect("/tmp has room");
        let mut config = MountConfig::new("memory:", place.path());
        change(&mut config);
        let (mount, gone) =
            start(&config, host.device.clone(), control).expect("this machine can mount");
        host.device.attach_kernel(minirdr::rdbss::device::KernelSide {
            cache: mount.kernel_cache(),
            registration: mount.registration(),
        });
        Self { mount, gone, host, place, config }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Runs a shell script in the mount, from outside this process; its output if it succeeds.
    pub fn shell(&self, script: &str) -> String {
        let output = client(self.path(), "sh", script).output().expect("sh is there");
        said(script, &output)
    }

    /// The same with Python.
    pub fn python(&self, script: &str) -> String {
        let output = client(self.path(), "python3", script).output().expect("python3 is there");
        said(script, &output)
    }

    /// Starts a Python client that runs beside the test.
    pub fn python_beside(&self, script: &str) -> Client {
        Client::start(client(self.path(), "python3", script))
    }

    /// Unmounts, joins, and shows the host to its end.
    pub fn unmount(self) {
        assert_eq!(self.mount.registration().deregister(false), Ok(true));
        assert_eq!(self.gone.recv_timeout(LIMIT), Ok(Ended::KernelGone));
        assert_eq!(self.mount.defects(), 0);
        self.mount.join();
        self.host.device.connection_gone();
    }
}

/// Starts a mount; its end comes by the channel.
pub fn start(
    config: &MountConfig,
    dispatcher: Arc<dyn Dispatcher>,
    control: Option<Arc<dyn ControlDevice>>,
) -> Result<(Mount, Receiver<Ended>), FrontError> {
    let (sender, gone) = channel();
    let on_gone = Box::new(move |ended| sender.send(ended).unwrap_or_default());
    Ok((Mount::start(config, dispatcher, control, on_gone)?, gone))
}

fn said(script: &str, output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{:?}\n{error}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A client of the mount: another process, bounded in time (gate.md 4.3, 12).
pub fn client(mount_point: &Path, interpreter: &str, script: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "25", interpreter, "-c", script]).env("M", mount_point);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A client that runs beside the test: says lines, ends when its input does.
pub struct Client {
    child: Child,
    lines: Receiver<String>,
    // Joined when it is dropped, after the client has ended.
    _reader: Thread,
}

impl Client {
    /// A client of a mount that has no fixture.
    pub fn of(mount_point: &Path, interpreter: &str, script: &str) -> Self {
        Self::start(client(mount_point, interpreter, script))
    }

    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("timeout is there");
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        let reader = threads::spawn("t-client", move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(output)) {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        })
        .expect("room");
        Self { child, lines, _reader: reader }
    }

    /// The next line it says.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("the client says something")
    }

    /// Has it said nothing since?
    pub fn is_silent(&self) -> bool {
        self.lines.try_recv().is_err()
    }

    /// Tells it to go on: one line.
    pub fn go_on(&mut self) {
        use std::io::Write as _;
        let input = self.child.stdin.as_mut().expect("it is piped");
        input.write_all(b"\n").expect("the client listens");
    }

    /// Ends its input.
    pub fn finish_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end.
    pub fn end(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "the client: {status:?}");
    }

    /// Kills it (and `timeout`, whose child it is) and waits: it must be gone within a second or
    /// so.
    pub fn kill(mut self, pid: i32) {
        let pid = rustix::process::Pid::from_raw(pid).expect("a real process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives");
        self.child.wait().expect("it is our child");
    }
}

/// A control device that remembers commands and has the events it is given.
#[derive(Default)]
pub struct TestControl {
    events: Mutex<Vec<String>>,
    commands: Mutex<Vec<(u32, String)>>,
    wake: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl TestControl {
    /// Something happens.
    pub fn event(&self, line: &str) {
        self.events.lock().expect("not poisoned").push(format!("{line}\n"));
        let wake = self.wake.lock().expect("not poisoned").clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Commands so far: who (uid) and what.
    pub fn commands(&self) -> Vec<(u32, String)> {
        self.commands.lock().expect("not poisoned").clone()
    }
}

impl ControlDevice for TestControl {
    fn status_text(&self, _full: bool) -> String {
        "state: running\n".to_owned()
    }

    fn may_read(&self, _caller: Caller) -> bool {
        true
    }

    fn may_see(&self, _caller: Caller) -> bool {
        true
    }

    fn may_command(&self, caller: Caller) -> bool {
        caller.uid == 0 || caller.uid == rustix::process::geteuid().as_raw()
    }

    fn handles_text(&self, _full: bool) -> String {
        "x".repeat(100_000)
    }

    fn events_after(&self, cursor: u64, _full: bool) -> (Vec<u8>, u64) {
        let events = self.events.lock().expect("not poisoned");
        let fresh = &events[usize::try_from(cursor).expect("a small number")..];
        (fresh.concat().into_bytes(), events.len() as u64)
    }

    fn command(&self, caller: Caller, text: &str) -> ControlReply {
        self.commands.lock().expect("not poisoned").push((caller.uid, text.to_owned()));
        if text.starts_with("stop") {
            return ControlReply { status: 0x103, ticket: 7, text: "stop: pending".to_owned() };
        }
        ControlReply { status: 0xc000_000d, ticket: 0, text: format!("no such command: {text}") }
    }

    fn subscribe(&self, wake: Box<dyn Fn() + Send + Sync>) {
        *self.wake.lock().expect("not poisoned") = Some(Arc::from(wake));
    }
}
