//! What programs see: names, times, sizes, flags, counts, and what happens when something breaks.

use crate::can_mount;
use crate::common::wait_until;
use crate::fixture::{Fixture, LIMIT, client, memory_host, start};
use minirdr::base::ids::Caller;
use minirdr::front::options::MountConfig;
use minirdr::front::session::Ended;
use minirdr::rdbss::operation::operand::{Lock, LockKind};
use minirdr::rdbss::operation::{Answer, Dispatcher, Node, Operation, Responder};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn ordinary_programs_work() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::new();
    fixture.shell(
        "set -e; cd $M; mkdir -p a/b; seq 20000 > a/n; cp -a a c; diff -r a c; ln a/n hard; \
         ln -s a/n soft; test \"$(readlink soft)\" = a/n; cmp soft hard; mkfifo p; \
         test -p p; rm p; mv c d; tar cf - d | tar tf - | grep -q d/n; rm -r d; \
         test $(stat -c %h hard) = 2; truncate -s 100 hard; test $(stat -c %s a/n) = 100; \
         chmod 4755 hard; test $(stat -c %a hard) = 4755; rmdir a/b; test ! -e a/b",
    );
    fixture.unmount();
}

#[test]
fn a_directory_of_thousands_is_listed_whole() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::new();
    let seen = fixture.python(
        "import os\nm = os.environ['M']\n\
         for i in range(3000): open(f'{m}/file-with-a-longer-name-{i:05}', 'w').close()\n\
         names = os.listdir(m)\nassert len(names) == len(set(names)) == 3000, len(names)\n\
         assert '.minirdr' not in names\n\
         stats = [e.stat().st_ino for e in os.scandir(m)]\n\
         assert len(set(stats)) == 3000\nprint('ok')",
    );
    assert_eq!(seen, "ok\n");
    fixture.unmount();
}

#[test]
fn times_before_1970_and_now() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::new();
    fixture.python(
        "import os, time\np = os.environ['M'] + '/f'\nopen(p, 'w').close()\n\
         for ns in (-1200000000, -1, -1000000000, 0, 1, 1700000000123456789):\n\
         \x20 os.utime(p, ns=(ns, ns + 7))\n  s = os.stat(p)\n\
         \x20 assert (s.st_atime_ns, s.st_mtime_ns) == (ns, ns + 7), (ns, s.st_atime_ns)\n\
         os.utime(p)\nassert abs(os.stat(p).st_mtime - time.time()) < 5",
    );
    fixture.unmount();
}

#[test]
fn flags_offsets_and_attributes_reach_the_server_unchanged() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::new();
    fixture.python(include_str!("scripts/flags.py"));
    fixture.unmount();
}

/// A truncation or a change of owner by a user clears the set-id bits (HANDLE_KILLPRIV_V2).
#[test]
fn set_id_bits_are_cleared_for_users() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::with(|config| config.flags.allow_other = true, None);
    fixture.python(include_str!("scripts/set_id.py"));
    fixture.unmount();
}

/// Every lookup is taken back: when the kernel drops its caches, no node is left.
#[test]
fn every_lookup_is_forgotten_in_the_end() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::new();
    fixture.shell(
        "cd $M; for i in $(seq 200); do mkdir d$i; echo x > d$i/f; ln d$i/f d$i/g; done; \
         find . -ls > /dev/null; ls -laR > /dev/null; mv d1 e1; rm -r d2; cat */f > /dev/null",
    );
    assert!(fixture.mount.known_nodes() > 300, "{} known", fixture.mount.known_nodes());
    // The kernel forgets when it likes, and then at its leisure: it is asked again.
    wait_until("every node is forgotten", || {
        std::fs::write("/proc/sys/vm/drop_caches", "2").expect("root may");
        fixture.mount.known_nodes() == 0
    });
    assert_eq!(fixture.shell("cat $M/d7/g"), "x\n", "and looked up again");
    fixture.unmount();
}

#[test]
fn a_missing_name_is_remembered_if_wished() {
    if !can_mount() {
        return;
    }
    let missing =
        "import os\nfor i in range(50): assert not os.path.exists(os.environ['M'] + '/no')";
    let lookups = |negative: Duration| {
        let fixture = Fixture::with(|config| config.front.negative_timeout = negative, None);
        let before = fixture.host.device.status().answered_total;
        fixture.python(missing);
        let asked = fixture.host.device.status().answered_total - before;
        assert_eq!(fixture.shell("echo x > $M/no; cat $M/no"), "x\n");
        fixture.unmount();
        asked
    };
    let (each, once) = (lookups(Duration::ZERO), lookups(Duration::from_secs(60)));
    assert!(each >= 50 && once < 25, "{each} requests, {once} with a lifetime");
}

/// A dispatcher that breaks: it panics in UNLINK and drops the reply of RMDIR.
struct Broken(Arc<dyn Dispatcher>);

impl Dispatcher for Broken {
    fn root(&self) -> Node {
        self.0.root()
    }

    fn submit(&self, caller: Caller, operation: Operation<'_>, responder: Box<dyn Responder>) {
        match operation {
            Operation::Unlink { .. } => panic!("planted"),
            Operation::RemoveDirectory { .. } => drop(responder),
            other => self.0.submit(caller, other, responder),
        }
    }
}

#[test]
fn a_panic_answers_eio_and_costs_no_worker() {
    if !can_mount() {
        return;
    }
    let host = memory_host();
    let place = tempfile::tempdir().expect("/tmp has room");
    let config = MountConfig::new("memory:", place.path());
    let broken = Arc::new(Broken(host.device.clone()));
    let (mount, gone) = start(&config, broken, None).expect("it mounts");
    let script = include_str!("scripts/broken.py");
    let output = client(place.path(), "python3", script).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(mount.defects(), 20, "each panic is counted, and no worker died");
    let counter = mount.defect_counter();
    assert_eq!(counter(), 20);
    assert_eq!(mount.requests_inside(), 0);
    assert_eq!(mount.registration().deregister(false), Ok(true));
    assert_eq!(gone.recv_timeout(LIMIT), Ok(Ended::KernelGone));
    mount.join();
    host.device.connection_gone();
}

/// A server that grants every lock, and what it heard of locks and closes.
struct Locking {
    inner: Arc<dyn Dispatcher>,
    heard: Mutex<Vec<String>>,
}

impl Locking {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().expect("not poisoned"))
    }
}

impl Dispatcher for Locking {
    fn root(&self) -> Node {
        self.inner.root()
    }

    fn submit(&self, caller: Caller, operation: Operation<'_>, responder: Box<dyn Responder>) {
        let hear = |what: String| self.heard.lock().expect("not poisoned").push(what);
        match operation {
            Operation::SetLock { lock, wait, .. } => {
                hear(format!("{:?} {}..={} {wait}", lock.kind, lock.start, lock.end));
                responder.respond(Ok(Answer::Empty));
            }
            Operation::GetLock { .. } => {
                let held = Lock { kind: LockKind::Shared, start: 3, end: 4, owner: 9, pid: 1 };
                responder.respond(Ok(Answer::Lock(Some(held))));
            }
            other => {
                if matches!(other, Operation::Flush { .. } | Operation::Release { .. }) {
                    hear(other.word().to_owned());
                }
                self.inner.submit(caller, other, responder);
            }
        }
    }
}

/// Locks go to the server only if the mount asked for it; then a close gives them up first.
#[test]
fn locks_of_the_servers_own_are_given_up_at_the_close() {
    if !can_mount() {
        return;
    }
    let host = memory_host();
    let place = tempfile::tempdir().expect("/tmp has room");
    let script = include_str!("scripts/locks.py");
    let run = |asked: bool| {
        let mut config = MountConfig::new("memory:", place.path());
        (config.front.posix_locks, config.front.flock) = (asked, asked);
        let heard = Mutex::new(Vec::new());
        let locking = Arc::new(Locking { inner: host.device.clone(), heard });
        let (mount, gone) = start(&config, locking.clone(), None).expect("it mounts");
        let output = client(place.path(), "python3", script).output().expect("python3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        wait_until("both are closed", || host.device.status().open_handles == 0);
        assert_eq!(mount.registration().deregister(false), Ok(true));
        assert_eq!(gone.recv_timeout(LIMIT), Ok(Ended::KernelGone));
        mount.join();
        (String::from_utf8_lossy(&output.stdout).into_owned(), locking.take())
    };
    let whole = format!("0..={}", i64::MAX);
    let (got, heard) = run(true);
    assert_eq!(got, "(0, 0, 3, 2, 1)\n", "type, whence, start, length, pid");
    let wanted = [
        "Exclusive 5..=14 true".to_owned(),
        format!("Unlock {whole} false"),
        "flush".to_owned(),
        "release".to_owned(),
        format!("Shared {whole} false"),
        format!("Unlock {whole} false"),
        "flush".to_owned(),
        format!("Unlock {whole} false"),
        "release".to_owned(),
    ];
    // RELEASE waits for nobody: the first may come late.
    let mut sorted = (heard.clone(), wanted.to_vec());
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    assert_eq!(heard[..3], wanted[..3]);
    let (got, heard) = run(false);
    assert_eq!(got, "(2, 0, 0, 0, 0)\n", "the kernel's own: nobody else holds any");
    assert!(heard.iter().all(|what| what == "flush" || what == "release"), "{heard:?}");
    host.device.connection_gone();
}

/// Dirty pages of a shared mapping reach the server when the core asks for it, although nobody
/// closes; and what is known of names and attributes is asked for again.
#[test]
fn the_kernels_caches_are_flushed_and_forgotten() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::with(
        |config| {
            config.front.entry_timeout = Duration::from_secs(3600);
            config.front.attribute_timeout = Duration::from_secs(3600);
        },
        None,
    );
    let mut mapper = fixture.python_beside(
        "import mmap, os\nf = open(os.environ['M'] + '/f', 'w+b')\nf.truncate(4096)\n\
         m = mmap.mmap(f.fileno(), 4096)\nm[:5] = b'dirty'\nprint('dirty', flush=True)\ninput()",
    );
    assert_eq!(mapper.line(), "dirty");
    let node = fixture.host.lookup(&fixture.host.root(), "f").expect("it exists");
    let read = || {
        let access = minirdr::rdbss::operation::operand::Access::Read;
        let handle = fixture.host.open(&node, access).expect("it opens");
        let data = fixture.host.read(handle, 0, 5).expect("it reads");
        fixture.host.release(handle).expect("it closes");
        data
    };
    assert_eq!(read(), b"\0\0\0\0\0", "the page is the kernel's yet");
    let cache = fixture.mount.kernel_cache();
    cache.flush_file(node.number());
    assert!(cache.settle(LIMIT));
    assert_eq!(read(), b"dirty");
    mapper.go_on();
    mapper.end();

    // A request is counted after its reply, and the kernel does not wait for the RELEASE.
    let requests = || {
        let quiet = || {
            let status = fixture.host.device.status();
            status.open_handles == 0 && status.requests_in_flight == 0
        };
        wait_until("all is closed and counted", quiet);
        fixture.host.device.status().answered_total
    };
    fixture.shell("stat $M/f");
    let before = requests();
    fixture.shell("stat $M/f");
    assert_eq!(requests(), before, "answered from the kernel's cache");
    cache.forget_names();
    assert!(cache.settle(LIMIT));
    fixture.shell("stat $M/f");
    assert!(requests() > before, "asked for again");
    fixture.unmount();
}
