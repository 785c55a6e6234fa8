//! The numbers of a mount that programs use, stop and hang.

use crate::client::Client;
use crate::common::wait_until;
use crate::mounted::{Mounted, can_mount};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;

/// Samples by name and labels, without the mount's.
struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    fn of(mounted: &Mounted) -> Self {
        let text = mounted.expect(0, &["metrics", "t"]).out;
        assert!(text.ends_with("# EOF\n"));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let name = name.replace("mount=\"t\",", "").replace("{mount=\"t\"}", "");
            (name, value.parse().expect("a number"))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).map(sample).collect())
    }

    #[track_caller]
    fn get(&self, sample: &str) -> f64 {
        *self.0.get(sample).unwrap_or_else(|| panic!("no {sample}"))
    }

    fn answered(&self, operation: &str) -> f64 {
        self.get(&format!("minirdr_request_duration_seconds_count{{op=\"{operation}\"}}"))
    }

    fn refused(&self, operation: &str) -> f64 {
        self.get(&format!("minirdr_refused_requests_total{{op=\"{operation}\"}}"))
    }

    fn stops(&self, result: &str) -> f64 {
        self.get(&format!("minirdr_stops_total{{result=\"{result}\"}}"))
    }
}

/// S-87, S-88: what programs did, what was refused to them, and how the mount was stopped.
#[test]
fn s87_programs_are_counted() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::memory("attr_timeout=0,entry_timeout=0");
    let before = Numbers::of(&mounted);
    mounted.bounded("writing", || fs::write(mounted.at("f"), b"twelve bytes").expect("written"));
    mounted.bounded("reading", || {
        for _ in 0..3 {
            assert_eq!(fs::read(mounted.at("f")).expect("read").len(), 12);
        }
    });
    wait_until("all is closed", || mounted.status()["open_handles"] == 0);
    let used = Numbers::of(&mounted);
    let more = |sample: &str| used.get(sample) - before.get(sample);
    let create = "minirdr_request_duration_seconds_count{op=\"create\"}";
    assert_eq!(more(create), 1.0);
    assert_eq!(used.answered("open") - before.answered("open"), 3.0);
    assert_eq!(used.answered("release") - before.answered("release"), 4.0);
    assert_eq!(more("minirdr_written_bytes_total"), 12.0);
    assert!(more("minirdr_read_bytes_total") >= 12.0, "the kernel may have kept the rest");
    assert_eq!(used.get("minirdr_state{state=\"started\"}"), 1.0);
    assert_eq!(used.get("minirdr_mounted"), 1.0);

    mounted.stop(0);
    let stopped = Numbers::of(&mounted);
    assert_eq!(stopped.stops("success") - used.stops("success"), 1.0);
    assert_eq!(stopped.get("minirdr_stop_duration_seconds_count"), 1.0);
    assert_eq!(stopped.get("minirdr_state{state=\"startable\"}"), 1.0);
    let refused = mounted.bounded("a refused open", || fs::read(mounted.at("f")).err());
    let refused = refused.and_then(|error| error.raw_os_error());
    assert_eq!(refused, Some(Errno::SHUTDOWN.raw_os_error()));
    let after = Numbers::of(&mounted);
    assert!(after.refused("lookup") + after.refused("open") > 0.0, "it was refused");
    assert_eq!(after.answered("open"), stopped.answered("open"), "and not answered");
    let status = mounted.status();
    let sum: f64 = {
        let count = |key: &&String| key.starts_with("minirdr_request_duration_seconds_count");
        after.0.keys().filter(count).map(|key| after.get(key)).sum()
    };
    assert_eq!(Some(sum), status["answered_total"].as_f64());
    mounted.start();
}

/// S-85: the numbers of a mount whose server hangs, while it hangs; and of a daemon that was killed
/// none, and exit 4.
#[test]
fn s85_it_answers_while_the_mount_hangs_and_says_when_it_cannot() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::source("faulty:memory:", "read=hang-uncancellable");
    mounted.bounded("writing", || fs::write(mounted.at("f"), b"never read").expect("written"));
    let mut reader = Client::shell("exec cat f", &mounted.path());
    wait_until("it reads", || mounted.requests("read") > 0);
    let stop = mounted.run(&["stop", "t"]);
    assert_eq!(stop.code, 0, "{stop:?}");
    let hanging = Numbers::of(&mounted);
    assert_eq!(hanging.get("minirdr_state{state=\"draining\"}"), 1.0);
    assert!(hanging.get("minirdr_requests_in_flight") >= 1.0);
    assert_eq!(hanging.get("minirdr_calls_running{kind=\"stop\"}"), 1.0);
    let place = mounted.path();
    let by_place = mounted.expect(0, &["metrics", place.to_str().expect("a name of text")]);
    assert!(by_place.out.contains("{mount=\"t\","), "the label is the name");
    reader.kill();
    mounted.kill();
    for words in [&["metrics", "t"][..], &["metrics", "t", "--format", "prometheus"]] {
        let outcome = mounted.expect(4, words);
        assert_eq!(outcome.out, "", "nothing that looks like numbers");
        assert_eq!(outcome.err.lines().count(), 1, "{}", outcome.err);
    }
    let outcome = mounted.expect(4, &["metrics", place.to_str().expect("a name of text")]);
    assert_eq!(outcome.out, "");
    let outcome = mounted.expect(3, &["metrics", "nobody"]);
    assert_eq!(outcome.out, "");
}
