//! The daemon is killed with SIGKILL, in every state it can be in; then `mount` on the same
//! directory, under the same name, works at once, and nobody is left hanging (S-06, S-56).

use crate::client::Client;
use crate::common::wait_until;
use crate::mounted::{Mounted, can_mount, is_root};
use minirdr::base::clock::{Clock, Moment, SystemClock};
use rustix::io::Errno;
use rustix::process::{Signal, kill_process};
use std::fs;
use std::time::Duration;

/// From `mount` asked to a mount that answers.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Opens a file, says so, and reads it when it is told to.
const READER: &str = r#"
import os, sys
fd = os.open(sys.argv[1] + "/kept", os.O_RDONLY)
print("open", flush=True)
sys.stdin.readline()
try:
    os.read(fd, 10)
except OSError:
    pass
print("over", flush=True)
sys.stdin.readline()
"#;

fn reader(mounted: &Mounted) -> Client {
    let reader = mounted.client(READER);
    reader.says("open");
    reader
}

fn reading(mounted: &Mounted) -> Client {
    let mut reader = reader(mounted);
    reader.go_on();
    wait_until("it reads", || mounted.requests("read") > 0);
    reader
}

/// A stop under way, in this step.
fn stopping(mounted: &Mounted, words: &[&str], step: &str) {
    mounted.expect(0, &[&["stop", "t"], words].concat());
    wait_until("the stop comes there", || mounted.status()["running"]["step"] == step);
}

/// One case: how it is mounted, and how it comes into the state.
struct Case {
    options: &'static str,
    bring: fn(&Mounted) -> Vec<Client>,
}

/// Brings it there, kills it, mounts again.
fn killed(case: &Case) {
    if !can_mount() {
        return;
    }
    let mut mounted = Mounted::source("faulty:local:", case.options);
    fs::write(mounted.backing().join("kept"), b"kept").expect("written");
    let clients = (case.bring)(&mounted);
    kill_process(mounted.pid(), Signal::KILL).expect("it lives");
    let clock = SystemClock::new();
    let outcome = mounted.mount("local:", "");
    let took = clock.now().since(Moment(0));
    assert!(took < AT_ONCE, "it took {took:?}: {outcome:?}");
    let content = mounted.bounded("reading", || fs::read(mounted.at("kept")).expect("read"));
    assert_eq!((content.as_slice(), mounted.mounts()), (&b"kept"[..], 1), "nothing is stacked");
    for mut client in clients {
        // D state would hold it: it is gone at once.
        let took = client.kill();
        assert!(took < Duration::from_secs(2), "a client took {took:?} to die");
    }
    mounted.stop(0);
    mounted.start();
}

#[test]
fn while_it_runs() {
    killed(&Case { options: "", bring: |mounted| vec![reader(mounted)] });
}

#[test]
fn while_it_is_paused() {
    let bring = |mounted: &Mounted| {
        let reader = reader(mounted);
        mounted.expect(0, &["pause", "t"]);
        vec![reader]
    };
    killed(&Case { options: "", bring });
}

#[test]
fn while_it_starts() {
    let bring = |mounted: &Mounted| {
        mounted.stop(0);
        mounted.expect(0, &["start", "t", "--no-wait"]);
        wait_until("it starts", || mounted.status()["state"] == "starting");
        Vec::new()
    };
    killed(&Case { options: "start=delay:2s", bring });
}

#[test]
fn while_it_drains() {
    let bring = |mounted: &Mounted| {
        let reader = reading(mounted);
        stopping(mounted, &[], "drain");
        vec![reader]
    };
    killed(&Case { options: "read=hang-uncancellable", bring });
    killed(&Case { options: "read=sync-hang-uncancellable", bring });
}

#[test]
fn while_it_seals() {
    let bring = |mounted: &Mounted| {
        let reader = reader(mounted);
        reader.finish();
        wait_until("it closes", || mounted.requests("release") > 0);
        stopping(mounted, &[], "seal");
        Vec::new()
    };
    killed(&Case { options: "close=hang-uncancellable,delayed_closes=0", bring });
}

#[test]
fn while_the_mini_redirector_stops() {
    let bring = |mounted: &Mounted| {
        let reader = reader(mounted);
        stopping(mounted, &[], "mrx_stop");
        vec![reader]
    };
    killed(&Case { options: "stop=hang-uncancellable", bring });
}

#[test]
fn when_it_is_stopped() {
    let bring = |mounted: &Mounted| {
        mounted.stop(0);
        Vec::new()
    };
    killed(&Case { options: "", bring });
}

#[test]
fn when_it_is_stopped_with_survivors() {
    let bring = |mounted: &Mounted| {
        let reader = reader(mounted);
        mounted.stop(10);
        vec![reader]
    };
    killed(&Case { options: "", bring });
}

#[test]
fn while_it_unmounts() {
    let bring = |mounted: &Mounted| {
        stopping(mounted, &["--unmount"], "mrx_stop");
        assert_eq!(mounted.mounts(), 0);
        Vec::new()
    };
    killed(&Case { options: "stop=hang-uncancellable", bring });
}

/// The kernel's own thread of the daemon waits for a page whose write the server never answers: it
/// cannot be killed, keeps the connection open, and everybody who uses the mount hangs.
///
/// It was so until the next boot: `mount` was refused after half a minute, for a mount that does
/// not answer.
#[test]
fn while_the_kernel_waits_for_it() {
    const MAPPER: &str = r#"
import mmap, os, sys
fd = os.open(sys.argv[1] + "/pages", os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(fd, 8192)
pages = mmap.mmap(fd, 8192)
pages[0:5] = b"dirty"
print("dirty", flush=True)
sys.stdin.readline()
"#;
    if !is_root() {
        return;
    }
    let bring = |mounted: &Mounted| {
        let mapper = mounted.client(MAPPER);
        mapper.says("dirty");
        stopping(mounted, &[], "drain");
        wait_until("the notifier waits in the kernel", || {
            let tasks = fs::read_dir(format!("/proc/{}/task", mounted.pid())).expect("it lives");
            tasks.filter_map(Result::ok).any(|task| {
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.contains("(fuse-notify) D")
            })
        });
        vec![mapper]
    };
    killed(&Case { options: "write=hang-uncancellable", bring });
}

/// S-56: a mount whose daemon lives is left alone, though its socket is not found.
#[test]
fn what_lives_is_left_alone() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::memory("");
    let place = mounted.path();
    let place = place.to_str().expect("a name of text");
    let mut command = mounted.command(&["mount", "memory:", place, "--name", "other"]);
    let output = command.env("XDG_RUNTIME_DIR", mounted.elsewhere()).output().expect("it runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("served by a daemon not found here"), "{words}");
    assert_eq!(mounted.mounts(), 1);
    let gone = mounted.bounded("it serves", || fs::metadata(mounted.at("none")));
    let errno = gone.err().and_then(|error| Errno::from_io_error(&error));
    assert_eq!(errno, Some(Errno::NOENT));
}
