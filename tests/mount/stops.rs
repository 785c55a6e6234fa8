//! Stops on a real mount: many at once, in the middle of a load, and with the mount taken away.

use crate::common::wait_until;
use crate::mounted::{Mounted, can_mount};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One read: what it asked for is answered; whatever it asked next would be refused.
const READER: &str = r#"
import os, sys
fd = os.open(sys.argv[1] + "/f", os.O_RDONLY)
print("reading", flush=True)
print(os.read(fd, 99).decode(), flush=True)
"#;

/// S8: of many stops at once one does it, the others are told; each has a ticket of its own, with
/// exactly one result.
#[test]
fn two_stops_at_once() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::source("faulty:memory:", "read=delay:500ms");
    mounted.bounded("writing", || fs::write(mounted.at("f"), b"slow").expect("written"));
    for round in 0..3 {
        let reader = mounted.client(READER);
        wait_until("a read is under way", || mounted.requests("read") > 0);
        let stop = || {
            let mut command = mounted.command(&["stop", "t", "--wait", "--json"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the program is built")
        };
        let stops: Vec<_> = (0..4).map(|_| stop()).collect();
        for stop in stops {
            let output = stop.wait_with_output().expect("it ends");
            let code = output.status.code().expect("not killed");
            // 10: the reader's handle was open still.
            assert!(code == 0 || code == 10, "{code}: {output:?}");
        }
        reader.says("reading");
        reader.says("slow");
        reader.finish();
        assert_eq!(mounted.status()["state"], "stopped");
        mounted.start();
        let results = results(&mounted);
        assert!(results.values().all(|times| *times == 1), "once each: {results:?}");
        assert_eq!(results.len(), (round + 1) * 4, "a ticket each: {results:?}");
    }
}

/// How often each ticket of a stop was told its result.
fn results(mounted: &Mounted) -> BTreeMap<u64, usize> {
    let answer = mounted.json(0, &["events", "t"]);
    let mut results = BTreeMap::new();
    for event in answer["events"].as_array().expect("a list") {
        if event["kind"] == "stopped" {
            let ticket = event["ticket"].as_u64().expect("posted");
            *results.entry(ticket).or_insert(0) += 1;
        }
    }
    results
}

/// S-32: a read under way when the stop comes is answered, and its reader gets the answer: its
/// pages are not taken from under it.
///
/// They were: the drain ended with the reader's answer, and the page went before the reader had
/// woken.
#[test]
fn a_read_under_way_gets_its_answer() {
    const ROUNDS: usize = 6;
    if !can_mount() {
        return;
    }
    let mounted = Mounted::source("faulty:memory:", "read=delay:500ms");
    mounted.bounded("writing", || fs::write(mounted.at("f"), b"slow").expect("written"));
    for round in 0..ROUNDS {
        let reader = mounted.client(READER);
        reader.says("reading");
        wait_until("a read is under way", || mounted.requests("read") > 0);
        let stop = mounted.run(&["stop", "t", "--wait"]);
        assert!(matches!(stop.code, 0 | 10), "round {round}: {stop:?}");
        reader.says("slow");
        reader.finish();
        mounted.start();
    }
}

/// S-31, S-32: a stop in the middle of a load. Every write that was acknowledged is on the server,
/// whole; every one after the refusal is refused.
#[test]
fn no_acknowledged_write_is_lost() {
    const WRITERS: usize = 4;
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local("");
    let acknowledged: Vec<_> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    mounted.bounded("the load", || {
        std::thread::scope(|scope| {
            for (number, acknowledged) in acknowledged.iter().enumerate() {
                let path = mounted.at(&number.to_string());
                scope.spawn(move || {
                    let mut file = fs::File::create(path).expect("made");
                    loop {
                        let line = format!("{:063}\n", acknowledged.load(Ordering::SeqCst));
                        match file.write_all(line.as_bytes()) {
                            Ok(()) => acknowledged.fetch_add(1, Ordering::SeqCst),
                            Err(error) => {
                                let errno = Errno::from_io_error(&error);
                                break assert_eq!(errno, Some(Errno::SHUTDOWN));
                            }
                        };
                    }
                });
            }
            wait_until("everybody writes", || {
                acknowledged.iter().all(|number| number.load(Ordering::SeqCst) > 50)
            });
            // A handle may be closed before the stop has ended.
            let code = mounted.run(&["stop", "t", "--wait"]).code;
            assert!(code == 0 || code == 10, "{code}");
        });
    });
    for (number, acknowledged) in acknowledged.iter().enumerate() {
        let there = fs::read(mounted.backing().join(number.to_string())).expect("there");
        assert_eq!(there.len() as u64, 64 * acknowledged.load(Ordering::SeqCst), "file {number}");
    }
}

/// S-47: with `--unmount` the mount, the daemon and its socket are gone, and what was written is
/// there.
#[test]
fn stop_and_unmount() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local("");
    let data = vec![b'd'; 3 << 20];
    mounted.bounded("writing", || fs::write(mounted.at("f"), &data).expect("written"));
    let outcome = mounted.expect(0, &["stop", "t", "--wait", "--unmount"]);
    assert_eq!(mounted.mounts(), 0, "{outcome:?}");
    wait_until("the daemon has ended", || mounted.has_ended());
    assert!(fs::read(mounted.backing().join("f")).expect("there") == data);
    // Nobody is there any more: neither stopped nor unknown by this name.
    assert_ne!(mounted.run(&["status", "t"]).code, 0);
}

/// S-47: somebody is inside: it is stopped, stays, and goes when that program has left.
#[test]
fn stop_and_unmount_of_a_busy_mount() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::memory("");
    let inside =
        mounted.client("import os, sys; os.chdir(sys.argv[1]); print('in'); sys.stdin.readline()");
    inside.says("in");
    let outcome = mounted.expect(10, &["stop", "t", "--wait", "--unmount"]);
    assert!(outcome.out.contains(&format!("[{}]", inside.pid())), "{}", outcome.out);
    assert_eq!(mounted.mounts(), 1);
    assert_eq!(mounted.status()["state"], "stopped");
    inside.finish();
    mounted.expect(0, &["umount", "t"]);
    assert_eq!(mounted.mounts(), 0);
}

/// S-36, G4: the root answers at once in every state, also while it stops and starts all the time.
#[test]
fn the_root_answers_throughout() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::memory("attr_timeout=0s");
    let over = AtomicBool::new(false);
    mounted.bounded("asking the root", || {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let mut asked = 0_u64;
                while !over.load(Ordering::SeqCst) {
                    assert!(fs::metadata(mounted.path()).expect("stat").is_dir());
                    rustix::fs::statvfs(mounted.path()).expect("statfs");
                    asked += 1;
                }
                asked
            });
            for _ in 0..5 {
                mounted.stop(0);
                mounted.start();
            }
            over.store(true, Ordering::SeqCst);
            assert!(asked.join().expect("no refusal") > 100);
        });
    });
}
