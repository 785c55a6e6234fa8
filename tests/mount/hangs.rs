//! A server that does not answer: who waits for it can be killed or is told so in time, and
//! everybody else goes on (S-44, S-45).

use crate::client::Client;
use crate::common::wait_until;
use crate::mounted::{Mounted, can_mount};
use minirdr::base::clock::{Clock, SystemClock};
use rustix::io::Errno;
use std::fs;
use std::time::Duration;

/// Reads a file, which hangs.
fn reader(mounted: &Mounted, name: &str) -> Client {
    Client::shell(&format!("exec cat {name}"), &mounted.path())
}

/// Everything but reading goes on, and soon.
#[track_caller]
fn others_go_on(mounted: &Mounted) {
    let clock = SystemClock::new();
    mounted.bounded("others", || {
        for round in 0..20 {
            let path = mounted.at(&format!("other-{round}"));
            fs::write(&path, b"alive").expect("written");
            assert_eq!(fs::metadata(&path).expect("stat").len(), 5);
            fs::rename(&path, mounted.at("renamed")).expect("moved");
            assert!(fs::read_dir(mounted.path()).expect("listed").count() > 1);
            fs::remove_file(mounted.at("renamed")).expect("removed");
        }
    });
    let took = clock.now().since(minirdr::base::clock::Moment(0));
    assert!(took < Duration::from_secs(5), "others took {took:?}");
}

/// S-44: killed readers of a server that hangs are gone within two seconds, and so are their
/// requests.
#[test]
fn killed_readers_die_soon() {
    const READERS: usize = 12;
    if !can_mount() {
        return;
    }
    let mounted = Mounted::source("faulty:memory:", "read=hang");
    mounted.bounded("writing", || fs::write(mounted.at("f"), b"never read").expect("written"));
    let mut readers: Vec<_> = (0..READERS).map(|_| reader(&mounted, "f")).collect();
    wait_until("somebody reads", || mounted.requests("read") > 0);
    others_go_on(&mounted);
    for reader in &mut readers {
        let took = reader.kill();
        assert!(took < Duration::from_secs(2), "it took {took:?} to die");
    }
    wait_until("their requests have ended", || mounted.requests("read") == 0);
    others_go_on(&mounted);
    mounted.stop(0);
}

/// The same where the server's thread is kept: only so many of those there are, and yet.
#[test]
fn killed_readers_die_soon_though_every_worker_hangs() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::source("faulty:memory:", "read=sync-hang");
    mounted.bounded("writing", || {
        for file in 0..8 {
            fs::write(mounted.at(&file.to_string()), b"never read").expect("written");
        }
    });
    let mut readers: Vec<_> = (0..8).map(|file| reader(&mounted, &file.to_string())).collect();
    wait_until("all of them read", || mounted.requests("read") == 8);
    for reader in &mut readers {
        let took = reader.kill();
        assert!(took < Duration::from_secs(2), "it took {took:?} to die");
    }
    wait_until("their requests have ended", || mounted.requests("read") == 0);
    others_go_on(&mounted);
    mounted.stop(0);
}

/// S-45: the request's deadline passes: ETIMEDOUT, neither much sooner nor much later. Others go
/// on, and a stop with a deadline gives up what the server still has.
#[test]
fn a_deadline_gives_etimedout() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::source("faulty:memory:", "request_deadline=1s,read=hang-uncancellable");
    mounted.bounded("writing", || fs::write(mounted.at("f"), b"never read").expect("written"));
    let clock = SystemClock::new();
    let read = mounted.bounded("the deadline", || fs::read(mounted.at("f")));
    let took = clock.now().since(minirdr::base::clock::Moment(0));
    let errno = read.err().and_then(|error| Errno::from_io_error(&error));
    assert_eq!(errno, Some(Errno::TIMEDOUT));
    let bounds = Duration::from_millis(900)..Duration::from_secs(4);
    assert!(bounds.contains(&took), "{took:?}");
    others_go_on(&mounted);
    let words = ["stop", "t", "--wait", "--deadline", "1s", "--on-deadline", "cancel"];
    let outcome = mounted.run(&words);
    assert!(matches!(outcome.code, 0 | 13), "{outcome:?}");
    assert_eq!(mounted.status()["state"], "stopped");
}

/// S-44: a reader that is interrupted, and not killed, is told EINTR and lives on.
#[test]
fn an_interrupted_reader_lives_on() {
    const READER: &str = r#"
import os, signal, sys
class Interrupted(Exception): pass
def interrupted(*_): raise Interrupted
signal.signal(signal.SIGUSR1, interrupted)
fd = os.open(os.path.join(sys.argv[1], "f"), os.O_RDONLY)
print("reading", flush=True)
try:
    os.read(fd, 10)
except (Interrupted, InterruptedError):
    print("interrupted", flush=True)
sys.stdin.readline()
"#;
    if !can_mount() {
        return;
    }
    let mounted = Mounted::source("faulty:memory:", "read=hang");
    mounted.bounded("writing", || fs::write(mounted.at("f"), b"never read").expect("written"));
    let reader = mounted.client(READER);
    reader.says("reading");
    wait_until("it reads", || mounted.requests("read") > 0);
    let pid = rustix::process::Pid::from_raw(i32::try_from(reader.pid()).expect("a pid"));
    let pid = pid.expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).expect("it lives");
    reader.says("interrupted");
    wait_until("its request has ended", || mounted.requests("read") == 0);
    reader.finish();
}
