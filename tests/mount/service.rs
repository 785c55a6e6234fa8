//! The daemon as a service: what a service manager that listens on NOTIFY_SOCKET hears of it.
//!
//! The manager here takes messages as systemd does with `NotifyAccess=main`: from the main process
//! alone, which is the one it started or the one that this one named. Whatever comes from another
//! is a failure.

use crate::client::Client;
use crate::common::{LIMIT, wait_until};
use crate::mounted::{Mounted, can_mount};
use minirdr::base::clock::{Clock, Moment, SystemClock};
use minirdr::base::threads::{self, Thread};
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One message.
#[derive(Clone, Debug)]
struct Word {
    at: Moment,
    /// Who sent it, as the kernel says.
    from: u32,
    text: String,
    /// Was the mount there when it came?
    mounted: bool,
}

impl Word {
    fn says(&self, assignment: &str) -> bool {
        self.text.lines().any(|line| line == assignment)
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    fn grant(&self) -> Option<Duration> {
        let usec = self.value("EXTEND_TIMEOUT_USEC")?.parse().expect("a number");
        Some(Duration::from_micros(usec))
    }
}

/// A service manager and the mount that is its service.
struct Manager {
    mounted: Mounted,
    address: String,
    heard: Arc<Mutex<Vec<Word>>>,
    ended: Arc<AtomicBool>,
    /// Joined when it is dropped.
    _reader: Reader,
    clock: Arc<SystemClock>,
    /// Further variables of the service.
    variables: Vec<(&'static str, String)>,
    main: Option<Child>,
}

/// Ends the thread, then joins it.
struct Reader {
    ended: Arc<AtomicBool>,
    _thread: Thread,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

impl Manager {
    /// Listens on a path.
    fn new() -> Self {
        let mounted = Mounted::unmounted();
        let path = mounted.path().with_file_name("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        Self::on(socket, path.to_str().expect("text").to_owned(), mounted)
    }

    /// Listens on an abstract name.
    fn of_abstract_name() -> Self {
        let mounted = Mounted::unmounted();
        let name = format!("minirdr{}", mounted.path().display());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("bound");
        Self::on(socket, format!("@{name}"), mounted)
    }

    fn on(socket: UnixDatagram, address: String, mounted: Mounted) -> Self {
        set_socket_passcred(&socket, true).expect("the kernel names senders");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let (heard, ended) = (Arc::<Mutex<Vec<Word>>>::default(), Arc::<AtomicBool>::default());
        let clock = Arc::new(SystemClock::new());
        let thread = {
            let (heard, ended, clock) = (heard.clone(), ended.clone(), clock.clone());
            let place = mounted.path();
            let listen = move || {
                while !ended.load(Ordering::SeqCst) {
                    let Some((from, text)) = receive(&socket) else { continue };
                    let there = crate::mounted::mounts_on(&place) == 1;
                    let word = Word { at: clock.now(), from, text, mounted: there };
                    heard.lock().expect("not poisoned").push(word);
                }
            };
            threads::spawn("t-manager", listen).expect("room for a thread")
        };
        let _reader = Reader { ended: ended.clone(), _thread: thread };
        let (variables, main) = (Vec::new(), None);
        Self { mounted, address, heard, ended, _reader, clock, variables, main }
    }

    /// Starts the service's process: `minirdr mount`, and these words.
    fn start(&mut self, source: &str, options: &str, more: &[&str]) {
        let words = self.mounted.mount_words(source, options);
        let words: Vec<&str> =
            words.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let mut command = self.mounted.command(&words);
        command.env("NOTIFY_SOCKET", &self.address);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let scratch = self.mounted.path();
        let file = |name: &str| File::create(scratch.with_file_name(name)).expect("a file");
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        let child = command.spawn().expect("the program is built");
        self.mounted.adopt(child.id());
        self.main = Some(child);
    }

    /// Starts it in front, and it is ready.
    fn ready(&mut self, source: &str, options: &str) {
        self.start(source, options, &["-f"]);
        self.hears("READY", |word| word.says("READY=1"));
    }

    fn main(&self) -> Pid {
        self.mounted.pid()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.main(), signal).expect("it lives");
    }

    /// All it has heard so far.
    fn words(&self) -> Vec<Word> {
        self.heard.lock().expect("not poisoned").clone()
    }

    fn count(&self, which: impl Fn(&Word) -> bool) -> usize {
        self.words().iter().filter(|word| which(word)).count()
    }

    /// Waits for a word, and gives the first there is.
    #[track_caller]
    fn hears(&self, what: &str, which: impl Fn(&Word) -> bool) -> Word {
        wait_until(&format!("{what} in {:?}", self.texts()), || self.count(&which) > 0);
        self.words().into_iter().find(|word| which(word)).expect("it was there")
    }

    /// Waits for a status that begins so.
    #[track_caller]
    fn status(&self, begins: &str) -> Word {
        self.hears(begins, |word| {
            word.value("STATUS").is_some_and(|status| status.starts_with(begins))
        })
    }

    fn texts(&self) -> Vec<String> {
        self.words().into_iter().map(|word| word.text).collect()
    }

    /// The service's process has ended with this code, and all of it was heard.
    #[track_caller]
    fn ends(&mut self, code: i32) {
        let mut child = self.main.take().expect("it was started");
        let last = self.clock.now().after(LIMIT);
        let status = loop {
            if let Some(status) = child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(self.clock.now() < last, "the service does not end: {:?}", self.texts());
            std::thread::park_timeout(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(code), "{:?}", self.texts());
        self.hears("the last word", |word| {
            word.value("STATUS").is_some_and(|status| !status.starts_with("ending"))
        });
    }

    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.mounted.path().with_file_name(name)).unwrap_or_default()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(mut child) = self.main.take() {
            // One that serves still is ended here: its mount goes with it, and what is left is
            // cleared by `Mounted`.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One message and its sender; none within the socket's timeout.
fn receive(socket: &UnixDatagram) -> Option<(u32, String)> {
    let mut buffer = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut buffer)];
    let got = recvmsg(socket.as_fd(), &mut into, &mut control, RecvFlags::empty()).ok()?;
    let from = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => {
            Some(sender.pid.as_raw_pid().unsigned_abs())
        }
        _ => None,
    });
    let text = String::from_utf8(buffer[..got.bytes].to_vec()).expect("systemd takes UTF-8 only");
    Some((from.expect("the kernel names it"), text))
}

fn pid(pid: Pid) -> u32 {
    pid.as_raw_pid().unsigned_abs()
}

/// S-80: READY comes when the mount answers and not before, once, however long the server takes.
#[test]
fn ready_comes_with_the_mount() {
    if !can_mount() {
        return;
    }
    for mut manager in [Manager::new(), Manager::of_abstract_name()] {
        manager.start("faulty:memory:", "start=delay:700ms", &["-f"]);
        let starting = manager.status("starting");
        assert!(!starting.mounted && !starting.says("READY=1"), "{starting:?}");
        let ready = manager.hears("READY", |word| word.says("READY=1"));
        assert!(ready.mounted, "{ready:?}");
        assert!(ready.at.since(starting.at) >= Duration::from_millis(500), "{ready:?}");
        assert_eq!(ready.value("STATUS"), Some("running: 0 requests, 0 handles, 0 B unsent"));
        let status = manager.mounted.status();
        assert_eq!(status["state"], "running", "its socket answers at that moment: {status}");
        manager.mounted.expect(0, &["umount", "t"]);
        manager.ends(0);
        assert_eq!(manager.count(|word| word.says("READY=1")), 1, "{:?}", manager.texts());
        let main = pid(manager.main());
        assert_eq!(manager.count(|word| word.from != main), 0, "{:?}", manager.words());
    }
}

/// S-80: a mount that fails is never ready, and says why.
#[test]
fn a_mount_that_fails_is_never_ready() {
    if !can_mount() {
        return;
    }
    let mut manager = Manager::new();
    manager.start("faulty:memory:", "start=error:EIO", &["-f"]);
    manager.ends(1);
    let texts = manager.texts();
    assert!(
        !texts.iter().any(|text| text.contains("READY") || text.contains("STOPPING")),
        "{texts:?}"
    );
    let last = texts.last().expect("it said why");
    let log = fs::read_to_string(manager.mounted.log()).expect("a log");
    let why = last.trim_end().strip_prefix("STATUS=").expect("a status");
    assert!(log.ends_with(&format!("\nminirdr: {why}\n")), "{why}: {log}");
}

/// S-80: a daemon in the background is handed the service by its starter, which is the main process
/// until then; from then on it speaks for itself, and nobody else does.
#[test]
fn a_daemon_in_the_background_is_handed_the_service() {
    if !can_mount() {
        return;
    }
    let mut manager = Manager::new();
    manager.start("faulty:memory:", "start=delay:300ms", &[]);
    let starter = pid(manager.main());
    manager.status("running");
    manager.ends(0);
    let daemon = manager.mounted.status()["pid"].as_u64().expect("a process id");
    manager.mounted.adopt(u32::try_from(daemon).expect("a process id"));
    let words = manager.words();
    let first = &words[0];
    assert_eq!(first.text, format!("MAINPID={daemon}\nREADY=1\n"), "{words:?}");
    assert_eq!((first.from, first.mounted), (starter, true), "{words:?}");
    manager.mounted.expect(0, &["umount", "t"]);
    manager.status("ended, all saved");
    let words = manager.words();
    assert!(words[1..].iter().all(|word| u64::from(word.from) == daemon), "{words:?}");
    assert_eq!(manager.count(|word| word.says("STOPPING=1")), 1, "{words:?}");
    assert_eq!(manager.count(|word| word.says("READY=1")), 1, "{words:?}");
}

/// S-80: a mount in the background that another service's script makes is not that service: it
/// says nothing.
#[test]
fn a_mount_that_a_script_makes_is_not_the_service() {
    if !can_mount() {
        return;
    }
    let mut manager = Manager::new();
    manager.variables.push(("SYSTEMD_EXEC_PID", std::process::id().to_string()));
    manager.start("memory:", "", &[]);
    let mut starter = manager.main.take().expect("started");
    assert!(starter.wait().expect("it is our child").success());
    let daemon = manager.mounted.status()["pid"].as_u64().expect("a process id");
    manager.mounted.adopt(u32::try_from(daemon).expect("a process id"));
    manager.mounted.expect(0, &["umount", "t"]);
    wait_until("it has ended", || manager.mounted.has_ended());
    assert_eq!(manager.texts(), Vec::<String>::new());
}

/// S-81: the status follows the numbers and the state. S-83: a stop that leaves the mount where it
/// is asks for no time, and is not the end of the service.
#[test]
fn the_status_follows_the_mount() {
    if !can_mount() {
        return;
    }
    let mut manager = Manager::new();
    manager.ready("memory:", "");
    let client = manager.mounted.client(
        "import os, sys\nfd = os.open(sys.argv[1] + '/f', os.O_CREAT | os.O_RDWR)\n\
         print('open', flush=True)\nsys.stdin.readline()",
    );
    client.says("open");
    manager.status("running: 0 requests, 1 handle, 0 B unsent");
    manager.mounted.expect(0, &["pause", "t"]);
    manager.status("paused: 0 requests, 1 handle, 0 B unsent");
    manager.mounted.expect(0, &["resume", "t"]);
    manager.mounted.stop(10);
    manager.status("stopped: 0 requests, 1 handle, 0 B unsent");
    client.finish();
    manager.status("stopped: 0 requests, 0 handles, 0 B unsent");
    manager.mounted.start();
    let words = manager.words();
    let ends = |word: &Word| word.says("STOPPING=1") || word.grant().is_some();
    assert!(!words.iter().any(ends), "{words:?}");
    manager.mounted.expect(0, &["umount", "t"]);
    manager.ends(0);
    assert!(manager.texts().last().expect("words").ends_with("STATUS=ended, all saved\n"));
    let stopping: Vec<_> =
        manager.words().into_iter().filter(|word| word.says("STOPPING=1")).collect();
    assert!(stopping.len() == 1 && !stopping[0].mounted, "once, and nothing is left: {stopping:?}");
}

/// Writes one block to each of so many files, the next one 700 ms after the one before.
const WRITERS: &str = r#"
import os, sys, threading, time
root, many = sys.argv[1], int(sys.argv[2])
files = [os.open(f"{root}/{n}", os.O_CREAT | os.O_WRONLY) for n in range(many)]
threads = [threading.Thread(target=os.write, args=(fd, b"x" * 4096)) for fd in files]
for thread in threads:
    thread.start()
    time.sleep(0.7)
print("all are writing", flush=True)
for thread in threads: thread.join()
print("all have written", flush=True)
"#;

/// S-82, S-46: while a drain gets on, its numbers are told and time is asked for, again and again.
/// A second TERM joins the stop of the first. S-83: STOPPING when the process is going, not before.
#[test]
fn a_drain_that_gets_on_asks_for_time() {
    const FILES: usize = 4;
    if !can_mount() {
        return;
    }
    let mut manager = Manager::new();
    manager.ready("faulty:memory:", "write=delay:4s");
    let many = FILES.to_string();
    let writers = Client::python(WRITERS, &[&manager.mounted.path(), many.as_ref()]);
    writers.says("all are writing");
    let mut events = manager.mounted.command(&["events", "t", "-f", "--json"]);
    events.stderr(Stdio::null());
    let events = Client::start(events);
    manager.signal(Signal::TERM);
    let begun = manager.status("stopping (ticket 2, drain): 4 requests, 4 handles");
    manager.signal(Signal::TERM);
    let mut tickets = Vec::new();
    while tickets.len() < 2 {
        let line = events.line();
        let event: serde_json::Value = serde_json::from_str(&line).expect("an object");
        let event = event.get("event").unwrap_or(&event);
        if event["kind"] == "stopped" {
            tickets.push((event["ticket"].as_u64(), event["result"].as_str().map(str::to_owned)));
        }
    }
    let results = ["success", "already_stopped"].map(|result| Some(result.to_owned()));
    assert_eq!(tickets, [Some(2), Some(3)].into_iter().zip(results).collect::<Vec<_>>());
    writers.says("all have written");
    writers.finish();
    manager.ends(0);
    let words = manager.words();
    let drain: Vec<&Word> = words.iter().filter(|word| word.at >= begun.at).collect();
    let left = |word: &Word| {
        let status = word.value("STATUS")?.strip_prefix("stopping (ticket 2, drain): ")?;
        status.split(' ').next()?.parse::<usize>().ok()
    };
    let told: Vec<usize> = drain.iter().filter_map(|word| left(word)).collect();
    assert!(told.len() >= 3 && told.is_sorted_by(|a, b| a >= b), "{told:?} of {words:?}");
    let grants: Vec<Duration> = drain.iter().filter_map(|word| word.grant()).collect();
    assert!(grants.len() >= 3, "{words:?}");
    assert!(grants[0] > Duration::from_secs(90), "as long as its deadline: {words:?}");
    assert!(grants.iter().all(|grant| *grant >= Duration::from_secs(60)), "{words:?}");
    let at = |which: &dyn Fn(&Word) -> bool| words.iter().position(which).expect("it was said");
    let stopping = at(&|word| word.says("STOPPING=1"));
    assert!(!words[stopping].mounted, "{words:?}");
    let last = words.iter().rposition(|word| left(word).is_some()).expect("a drain");
    assert!(last < stopping, "not while it drains: {words:?}");
}

/// S-82: one that hangs asks for nothing more. It has been given until after its own deadline,
/// which acts, and ends the process in order: lost bytes are named, and the code says so.
#[test]
fn a_drain_that_hangs_asks_for_nothing() {
    if !can_mount() {
        return;
    }
    let mut manager = Manager::new();
    manager.ready("faulty:memory:", "write=hang-uncancellable,stop_deadline=4s");
    let writer = manager.mounted.client(
        "import os, sys\nfd = os.open(sys.argv[1] + '/f', os.O_CREAT | os.O_WRONLY)\n\
         print('writes', flush=True)\ntry: os.write(fd, b'lost')\n\
         except TimeoutError: print('given up', flush=True)",
    );
    writer.says("writes");
    wait_until("it hangs", || manager.mounted.requests("write") == 1);
    manager.signal(Signal::TERM);
    let begun = manager.status("stopping (ticket 2, drain): 1 request, 1 handle");
    manager.ends(13);
    writer.says("given up");
    writer.finish();
    let words = manager.words();
    let acted = words.iter().find(|word| word.text.contains("past its deadline"));
    let acted = acted.unwrap_or_else(|| panic!("{words:?}"));
    assert!(acted.at.since(begun.at) > Duration::from_secs(2), "{words:?}");
    let hung = |word: &&Word| word.at > begun.at && word.at < acted.at;
    let silent = words.iter().filter(hung).all(|word| word.grant().is_none());
    assert!(silent, "{words:?}");
    let until = words.iter().filter_map(|word| Some(word.at.after(word.grant()?))).max();
    assert!(until > Some(acted.at.after(Duration::from_secs(6))), "it was waited for: {words:?}");
    let last = manager.texts().pop().expect("words");
    let ended = "STATUS=ended, not all saved: 1 lost, named in the log\n";
    assert!(last.ends_with(ended), "{last}");
}

/// S-83: a stop that is taken back was not the end, whoever asked for it.
#[test]
fn a_stop_that_is_taken_back_was_not_the_end() {
    if !can_mount() {
        return;
    }
    let mut manager = Manager::new();
    manager.ready("faulty:memory:", "write=delay:2s");
    let many = "1".to_owned();
    let writers = Client::python(WRITERS, &[&manager.mounted.path(), many.as_ref()]);
    writers.says("all are writing");
    manager.signal(Signal::TERM);
    manager.status("stopping (ticket 2, drain)");
    manager.mounted.expect(0, &["resume", "t"]);
    writers.says("all have written");
    writers.finish();
    let asked = manager.words().len();
    manager.mounted.expect(0, &["pause", "t"]);
    manager.status("paused");
    let words = manager.words();
    assert!(words[asked..].iter().all(|word| word.grant().is_none()), "{words:?}");
    assert_eq!(manager.count(|word| word.says("STOPPING=1")), 0, "{words:?}");
    manager.signal(Signal::TERM);
    manager.ends(0);
    assert_eq!(manager.count(|word| word.says("STOPPING=1")), 1, "{:?}", manager.texts());
}

/// HUP is a reload for a manager that waits for it (`Type=notify-reload`).
#[test]
fn a_reload_is_told() {
    if !can_mount() {
        return;
    }
    let mut manager = Manager::new();
    manager.ready("memory:", "");
    manager.signal(Signal::HUP);
    let reloading = manager.hears("RELOADING", |word| word.says("RELOADING=1"));
    assert!(reloading.value("MONOTONIC_USEC").is_some(), "{reloading:?}");
    wait_until("it is ready again", || manager.count(|word| word.says("READY=1")) == 2);
    manager.signal(Signal::TERM);
    manager.ends(0);
}

/// S-84: the watchdog is quiet as long as the control plane answers, also while the mount hangs.
#[test]
fn a_mount_that_hangs_is_no_reason_to_end_the_daemon() {
    if !can_mount() {
        return;
    }
    let mut manager = Manager::new();
    manager.variables.push(("WATCHDOG_USEC", "400000".to_owned()));
    manager.ready("faulty:memory:", "lookup=hang,stop_deadline=1s");
    let alive = |word: &Word| word.says("WATCHDOG=1");
    manager.hears("WATCHDOG", alive);
    let mut reader = manager
        .mounted
        .client("import os, sys\nprint('waits', flush=True)\nos.stat(sys.argv[1] + '/absent')");
    reader.says("waits");
    wait_until("it hangs", || manager.mounted.requests("lookup") == 1);
    let before = manager.count(alive);
    wait_until("it is heard of", || manager.count(alive) >= before + 3);
    let times: Vec<Moment> =
        manager.words().into_iter().filter(alive).map(|word| word.at).collect();
    let gaps = times.windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(gaps.clone().max() < Some(Duration::from_secs(2)), "{:?}", gaps.collect::<Vec<_>>());
    reader.kill();
    manager.signal(Signal::TERM);
    manager.ends(0);
}

/// S-84: a manager that is not there is warned of in one line, and all else is as it was.
#[test]
fn a_manager_that_is_not_there_harms_nothing() {
    if !can_mount() {
        return;
    }
    for (address, front) in
        [("/nonexistent/notify", true), ("vsock:2:1", true), ("/nonexistent/notify", false)]
    {
        let mut manager = Manager::new();
        manager.address = address.to_owned();
        manager.start("memory:", "", if front { &["-f"] } else { &[] });
        wait_until("it is mounted", || manager.said("out").contains("mounted on"));
        let daemon = manager.mounted.status()["pid"].as_u64().expect("a process id");
        manager.mounted.adopt(u32::try_from(daemon).expect("a process id"));
        for verb in ["pause", "resume", "umount"] {
            manager.mounted.expect(0, &[verb, "t"]);
        }
        wait_until("it has ended", || manager.mounted.has_ended());
        let log = fs::read_to_string(manager.mounted.log()).unwrap_or_default();
        let warnings = log.lines().filter(|line| line.contains(address));
        assert_eq!(warnings.count(), 1, "{log}");
        // The starter could not hand over, and says so itself.
        let said = manager.said("err");
        assert_eq!(said.lines().count(), usize::from(!front), "{said}");
        assert_eq!(said.contains(address), !front, "{said}");
    }
}
