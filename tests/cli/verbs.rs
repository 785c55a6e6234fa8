//! Every verb against a daemon: what it says, where, and its exit code (cli.md).

use crate::host::{Daemon, MOUNT_POINT, PATIENCE};
use crate::plain::run;
use minirdr::base::stop::{CallResult, OnDeadline, StopMode, StopOptions};
use rustix::event::{PollFd, PollFlags};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn minirdr(daemon: &Daemon, line: &str) -> (i32, String, String) {
    run(daemon.runtime(), &words(line))
}

/// A command that waits, as a process of its own; killed if the test ends before it does.
struct Waiting(Child);

impl Waiting {
    fn start(daemon: &Daemon, line: &str) -> Self {
        let child = Command::new(assert_cmd::cargo::cargo_bin("minirdr"))
            .args(words(line))
            .env("XDG_RUNTIME_DIR", daemon.runtime())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.expect("it runs"))
    }

    /// Its first line on stderr: what it says before it waits.
    fn first_note(&mut self) -> String {
        let mut line = String::new();
        let mut stream = BufReader::new(self.0.stderr.take().expect("a pipe"));
        stream.read_line(&mut line).expect("text");
        line
    }

    /// Waits for its end: exit code and stdout.
    fn end(mut self) -> (i32, String) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
        let process = process.expect("a child that was not waited for");
        let limit = rustix::event::Timespec::try_from(PATIENCE).expect("seconds");
        let mut ended = [PollFd::new(&process, PollFlags::IN)];
        let ready = rustix::event::poll(&mut ended, Some(&limit)).expect("no interrupt");
        assert_eq!(ready, 1, "it does not end");
        let status = self.0.wait().expect("a child");
        let mut out = String::new();
        let mut stream = self.0.stdout.take().expect("a pipe");
        stream.read_to_string(&mut out).expect("text");
        (status.code().expect("it ends by itself"), out)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_check_names_holders_and_changes_nothing() {
    let daemon = Daemon::start();
    let (code, out, _) = minirdr(&daemon, "stop bk --check");
    assert_eq!((code, out.as_str()), (0, "bk: would wait for nobody\n"));
    daemon.host.open(b"scenes/shot12.blend", 8_598_323);
    let (code, out, _) = minirdr(&daemon, "stop bk --check");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines[0]), (10, "bk: would wait for 1 holder"));
    assert!(lines[1].starts_with("HOLDER") && lines[1].ends_with("PATH"), "{out}");
    let own = format!("[{}]", std::process::id());
    assert!(lines[2].contains(&own), "{out}");
    assert!(lines[2].ends_with("8.2 MiB  scenes/shot12.blend"), "{out}");
    let (code, out, _) = minirdr(&daemon, "stop bk --check -n -o path,unsent");
    assert_eq!(code, 10);
    assert_eq!(out.lines().nth(1), Some("scenes/shot12.blend  8.2 MiB"));
    let (_, out, _) = minirdr(&daemon, "status bk");
    assert!(out.starts_with("bk: running"), "{out}");
}

#[test]
fn a_stop_is_pending_then_joined_then_waited_for() {
    let daemon = Daemon::start();
    daemon.host.open(b"a", 0);
    let (code, out, _) = minirdr(&daemon, "stop bk --reason upgrade");
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("bk: stop accepted, pending (ticket 1), 1 handle\nHOLDER"), "{out}");
    let (code, out, _) = minirdr(&daemon, "stop bk");
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("bk: already stopping (ticket 1, for 1m12s, asked by uid "), "{out}");
    assert!(out.contains("), 1 handle\n"), "{out}");
    let (code, out, _) = minirdr(&daemon, "stop bk --check");
    assert_eq!(code, 10);
    assert!(out.starts_with("bk: already stopping (ticket 1), waits for 1 holder"), "{out}");

    let mut waiting = Waiting::start(&daemon, "wait bk");
    assert_eq!(waiting.first_note(), "bk: stopping, 1 handle, waiting for ticket 1\n");
    daemon.host.end(CallResult::HasOpenHandles);
    let (code, out) = waiting.end();
    assert_eq!(code, 10, "{out}");
    let first = "bk: stopped, 1 handle still open, nothing unsent, still mounted\nHOLDER";
    assert!(out.starts_with(first), "{out}");

    let (code, out, _) = minirdr(&daemon, "stop bk");
    assert_eq!(code, 0);
    let user = rustix::process::getuid().as_raw();
    let already = format!("bk: already stopped (2026-11-21T01:12:07Z, asked by uid {user})\n");
    assert_eq!(out, already);
    let (code, out, _) = minirdr(&daemon, "stop bk --strict");
    assert_eq!((code, out), (14, already));
    let (code, out, _) = minirdr(&daemon, "wait bk --ticket 2");
    assert_eq!(code, 10, "the stop it joined is told: {out}");
}

/// `stop --wait`: every result has its exit code.
#[test]
fn every_end_of_a_stop_has_its_code() {
    let cases = [
        (CallResult::Success, 0, "bk: stopped, nothing unsent, still mounted"),
        (CallResult::HasOpenHandles, 10, "bk: stopped, 1 handle still open"),
        (CallResult::RolledBack, 12, "bk: deadline passed: 1 handle; rolled back, running"),
        (
            CallResult::Lost,
            13,
            "bk: stopped, still mounted; NOT saved: 1 file, 12.3 KiB\n  notes.md  12.3 KiB  \
             vim[4502]  kept in /var/lib/minirdr/work/unsent/1.data",
        ),
        (CallResult::Failed, 1, "bk: stop failed, running: no route to host"),
    ];
    for (result, expected, line) in cases {
        let daemon = Daemon::start();
        daemon.host.open(b"a", 0);
        let mut waiting = Waiting::start(&daemon, "stop bk --wait");
        let note = waiting.first_note();
        assert_eq!(note, "bk: stop accepted, pending (ticket 1), 1 handle, waiting\n");
        daemon.host.end(result);
        let (code, out) = waiting.end();
        assert_eq!(code, expected, "{result:?}: {out}");
        assert!(out.starts_with(line), "{result:?}: {out}");
    }
}

#[test]
fn a_stop_that_joined_another_tells_that_ones_end() {
    let daemon = Daemon::start();
    daemon.host.open(b"a", 0);
    assert_eq!(minirdr(&daemon, "stop bk").0, 0);
    let mut waiting = Waiting::start(&daemon, "stop bk --wait");
    assert_eq!(waiting.first_note(), "bk: already stopping (ticket 1), waiting\n");
    daemon.host.end(CallResult::Lost);
    let (code, out) = waiting.end();
    assert_eq!(code, 13, "{out}");
}

#[test]
fn a_stay_deadline_ends_the_wait_and_not_the_stop() {
    let daemon = Daemon::start();
    daemon.host.open(b"a", 42_991_616);
    let waiting = Waiting::start(&daemon, "stop bk --wait --deadline 30s --on-deadline stay");
    daemon.host.pass_deadline();
    let (code, out) = waiting.end();
    assert_eq!(code, 11, "{out}");
    assert_eq!(
        out,
        "bk: deadline passed: 1 handle, 41.0 MiB unsent; still draining (ticket 1), still mounted\n"
    );
    let (code, out, _) = minirdr(&daemon, "wait bk --timeout 10ms");
    assert_eq!((code, out.as_str()), (11, "bk: the time to wait is over; it is stopping\n"));
}

#[test]
fn an_interrupt_ends_the_wait_and_not_the_stop() {
    let daemon = Daemon::start();
    for line in ["stop bk --wait", "wait bk"] {
        let mut waiting = Waiting::start(&daemon, line);
        let note = waiting.first_note();
        assert!(note.contains("waiting"), "it listens for interrupts by now: {note}");
        let pid = rustix::process::Pid::from_child(&waiting.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is alive");
        let (code, out) = waiting.end();
        let text = "bk: interrupted; ticket 1 goes on: `minirdr wait bk --ticket 1`\n";
        assert_eq!((code, out.as_str()), (130, text), "{line}");
    }
    let (_, out, _) = minirdr(&daemon, "status bk");
    assert!(out.starts_with("bk: stopping"), "{out}");
}

#[test]
fn if_busy_refuse_changes_nothing_when_busy() {
    let daemon = Daemon::start();
    daemon.host.open(b"a", 0);
    let (code, out, _) = minirdr(&daemon, "stop bk --if-busy=refuse --wait");
    assert_eq!(code, 10, "{out}");
    assert!(out.starts_with("bk: not stopped: 1 handle open\nHOLDER"), "{out}");
    let (_, out, _) = minirdr(&daemon, "status bk");
    assert!(out.starts_with("bk: running"), "{out}");
}

#[test]
fn the_daemon_is_asked_for_what_was_typed() {
    let daemon = Daemon::start();
    let line = "stop bk --grace 5m --deadline 1h --on-deadline abort --mode cancel --unmount \
                --reason why";
    minirdr(&daemon, line);
    let expected = StopOptions {
        mode: StopMode::Cancel,
        grace_s: Some(300.0),
        deadline_s: Some(3600.0),
        on_deadline: OnDeadline::Abort,
        refuse_if_busy: false,
        unmount: true,
        lazy: false,
        reason: Some("why".to_owned()),
    };
    assert_eq!(daemon.host.last_asked(), expected);
}

#[test]
fn umount_stops_waits_and_returns_when_the_daemon_is_gone() {
    let mut daemon = Daemon::start();
    let waiting = Waiting::start(&daemon, "umount -l bk");
    daemon.host.await_stops(1);
    let asked = daemon.host.last_asked();
    assert!(asked.unmount && asked.lazy, "{asked:?}");
    daemon.host.end(CallResult::Success);
    daemon.leave();
    let (code, out) = waiting.end();
    let text = format!("bk: stopped, nothing unsent, unmounted {MOUNT_POINT}\n");
    assert_eq!((code, out), (0, text));
}

#[test]
fn a_daemon_that_dies_while_waited_for_is_unknown() {
    let mut daemon = Daemon::start();
    let waiting = Waiting::start(&daemon, "stop bk --wait --unmount --json");
    daemon.host.await_stops(1);
    daemon.leave();
    let (code, out) = waiting.end();
    let value: Value = serde_json::from_str(&out).expect("one object");
    assert!([1, 4].contains(&code), "an orderly server says that it ends: {out}");
    assert!(value["error"]["message"].as_str().is_some_and(|text| text.starts_with("bk: ")));
}

#[test]
fn start_pause_and_resume() {
    let daemon = Daemon::start();
    assert_eq!(minirdr(&daemon, "start bk").1, "bk: already running\n");
    assert_eq!(minirdr(&daemon, "start bk --strict").0, 14);
    let (code, out, _) = minirdr(&daemon, "pause bk");
    let text = "bk: paused: new opens are refused, open handles keep working\n";
    assert_eq!((code, out.as_str()), (0, text));
    assert!(minirdr(&daemon, "status bk").1.starts_with("bk: paused"));
    assert_eq!(minirdr(&daemon, "resume bk").1, "bk: running\n");

    assert_eq!(minirdr(&daemon, "stop bk").0, 0);
    let (code, _, err) = minirdr(&daemon, "pause bk");
    assert_eq!((code, err.as_str()), (1, "minirdr: bk: it is stopping\n"));
    daemon.host.end(CallResult::Success);
    let (code, out, _) = minirdr(&daemon, "pause bk");
    assert_eq!((code, out.as_str()), (3, "bk: stopped, cannot be paused\n"));
    assert_eq!(minirdr(&daemon, "resume bk").0, 3);

    let waiting = Waiting::start(&daemon, "start bk");
    daemon.host.end(CallResult::Success);
    let (code, out) = waiting.end();
    assert_eq!((code, out.as_str()), (0, "bk: running (same mount, 0.03 s)\n"));

    assert_eq!(minirdr(&daemon, "stop bk").0, 0);
    daemon.host.end(CallResult::Success);
    let (code, out, _) = minirdr(&daemon, "start bk --no-wait");
    assert_eq!((code, out.as_str()), (0, "bk: start accepted, pending (ticket 4)\n"));
    daemon.host.end(CallResult::Failed);
    let (code, out, _) = minirdr(&daemon, "wait bk --ticket 4");
    assert_eq!((code, out.as_str()), (1, "bk: start failed, still stopped: no route to host\n"));
}

#[test]
fn wait_for_a_state() {
    let daemon = Daemon::start();
    let (code, out, _) = minirdr(&daemon, "wait bk --for running");
    assert_eq!((code, out.as_str()), (0, "bk: running\n"));
    let (code, out, _) = minirdr(&daemon, "wait bk --for stopped --timeout 10ms");
    assert_eq!((code, out.as_str()), (1, "bk: the time to wait is over; it is running\n"));
    let (code, _, err) = minirdr(&daemon, "wait bk --ticket 99");
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("ticket 99 is not known"), "{err}");
}

#[test]
fn status_is_0_when_running_and_3_when_stopped() {
    let daemon = Daemon::start();
    let (code, out, _) = minirdr(&daemon, "status bk");
    assert_eq!(code, 0);
    assert!(out.contains("memory: on /nonexistent/mnt/bk"), "{out}");
    assert_eq!(minirdr(&daemon, "stop bk").0, 0);
    assert_eq!(minirdr(&daemon, "status bk").0, 0, "stopping");
    daemon.host.end(CallResult::Success);
    let (code, out, _) = minirdr(&daemon, "status bk --json");
    assert_eq!(code, 3);
    let value: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(value["mount"]["state"], "stopped");
    assert_eq!(value["mount"]["device_state"], "startable");
    assert_eq!(value["mount"]["last_stop"]["ended_at"], "2026-11-21T01:12:07Z");
}

/// The mount point is a path nobody could stat: it is found by asking, not by looking.
#[test]
fn a_mount_is_found_by_its_mount_point() {
    let daemon = Daemon::start();
    for path in [MOUNT_POINT, "/nonexistent/mnt/bk/", "/nonexistent/../nonexistent/mnt/./bk"] {
        let (code, out, err) = minirdr(&daemon, &format!("status {path}"));
        assert_eq!(code, 0, "{path}: {err}");
        assert!(out.starts_with("bk: running"), "{out}");
    }
    let (code, _, _) = minirdr(&daemon, "status /nonexistent/mnt/other");
    assert_eq!(code, 3);
}

#[test]
fn list_and_handles_are_tables_and_json() {
    let daemon = Daemon::start();
    daemon.host.open(b"caf\xe9", 5);
    let (code, out, _) = minirdr(&daemon, "list");
    assert_eq!(code, 0);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "1 mount");
    assert!(lines[1].starts_with("NAME  STATE    SOURCE   MOUNT"), "{out}");
    assert!(lines[2].starts_with("bk    running  memory:  /nonexistent/mnt/bk  0    1"), "{out}");
    let (_, out, _) = minirdr(&daemon, "list -n -o state,NAME");
    assert_eq!(out, "1 mount\nrunning  bk\n");
    let (_, out, _) = minirdr(&daemon, "handles bk");
    assert!(out.starts_with("bk: 1 holder, 5 B unsent\nHOLDER"), "{out}");
    assert!(out.ends_with("caf\\xe9\n"), "{out}");
    let (_, out, _) = minirdr(&daemon, "handles bk --json");
    let value: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(value["handles"][0]["path_bytes"], "Y2Fm6Q==");
    assert_eq!(value["holders"][0]["path_bytes"], "Y2Fm6Q==");
    let (code, out, _) = minirdr(&daemon, "requests bk");
    assert_eq!((code, out.as_str()), (0, "bk: 0 requests in flight\n"));
}

#[test]
fn events_are_shown_and_followed() {
    let daemon = Daemon::start();
    assert_eq!(minirdr(&daemon, "pause bk").0, 0);
    let (code, out, _) = minirdr(&daemon, "events bk");
    assert_eq!(code, 0);
    assert!(out.starts_with("   1  20") && out.ends_with("Z  paused\n"), "{out}");
    let (code, out, _) = minirdr(&daemon, "events bk --since 1");
    assert_eq!((code, out.as_str()), (0, ""));
    let (code, _, err) = minirdr(&daemon, "events bk --since 99");
    assert_eq!(code, 2, "{err}");

    let mut following = Waiting::start(&daemon, "events bk -f --json");
    let mut lines = BufReader::new(following.0.stdout.take().expect("a pipe")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("one object a line")
    };
    let first = next();
    assert_eq!(
        (&first["schema"], &first["event"]["kind"]),
        (&"minirdr/1".into(), &"paused".into())
    );
    assert_eq!(minirdr(&daemon, "stop bk").0, 0);
    daemon.host.end(CallResult::Success);
    let second = next();
    assert_eq!(second["event"]["kind"], "stop_requested");
    assert_eq!(second["event"]["seq"], 2);
    let third = next();
    assert_eq!(
        (&third["event"]["kind"], &third["event"]["ticket"]),
        (&"stopped".into(), &1.into())
    );
}

/// `--watch` says what changed, and ends with its daemon.
/// S-85: the whole text and nothing else on stdout; or nothing, a line on stderr and a code.
#[test]
fn s85_metrics_are_whole_or_not_at_all() {
    let mut daemon = Daemon::start();
    let (code, out, err) = minirdr(&daemon, "metrics bk");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("# HELP minirdr_state ") && out.ends_with("\n# EOF\n"), "{out}");
    assert!(out.contains("minirdr_state{mount=\"bk\",state=\"started\"} 1\n"), "{out}");
    let (code, by_place, _) = minirdr(&daemon, &format!("metrics {MOUNT_POINT}"));
    assert!(code == 0 && by_place.contains("{mount=\"bk\","), "the label is the name: {by_place}");
    let (code, old, _) = minirdr(&daemon, "metrics bk --format prometheus");
    assert!(code == 0 && old.contains("# TYPE minirdr_build_info gauge\n"), "{old}");
    let (code, out, err) = minirdr(&daemon, "metrics bk --format json");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("openmetrics, prometheus"), "{err}");
    daemon.leave();
    let (code, out, err) = minirdr(&daemon, "metrics bk");
    assert_eq!((code, out.as_str(), err.lines().count()), (3, "", 1), "{err}");
}

#[test]
fn a_watch_says_who_comes_and_goes() {
    let mut daemon = Daemon::start();
    let mut watching = Waiting::start(&daemon, "handles bk --watch");
    let mut lines = BufReader::new(watching.0.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert_eq!(next(), "bk: 0 holders, 0 B unsent");
    daemon.host.open(b"a", 0);
    let line = next();
    assert!(line.contains("Z  1 holder, 0 B unsent  ") && line.ends_with(" holds a"), "{line}");
    daemon.host.close_all();
    let line = next();
    assert!(line.ends_with(" left a"), "{line}");
    drop(lines);
    daemon.leave();
    assert_eq!(watching.0.wait().expect("a child").code(), Some(3), "not running any more");
}

/// S-59: with `--json` a watch is an object a line, with who came and who left.
#[test]
fn a_watch_is_an_object_a_line() {
    let daemon = Daemon::start();
    daemon.host.open(b"a", 3);
    let mut watching = Waiting::start(&daemon, "handles bk --watch --json");
    let mut lines = BufReader::new(watching.0.stdout.take().expect("a pipe")).lines();
    let mut next = || -> Value {
        serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("an object")
    };
    let first = next();
    assert_eq!((&first["unsent_bytes"], &first["handles_total"]), (&3.into(), &1.into()));
    assert_eq!(first["left"], Value::Array(Vec::new()));
    daemon.host.close_all();
    let second = next();
    assert_eq!(second["left"][0]["path"], "a");
    assert_eq!((&second["holders"], &second["came"]), (&first["left"], &first["left"]));
}

/// S-57: one handle is taken from its holder, by its number in the column HANDLE.
#[test]
fn one_handle_is_detached() {
    let daemon = Daemon::start();
    daemon.host.open(b"a", 0);
    daemon.host.open(b"b", 2048);
    let (_, out, _) = minirdr(&daemon, "handles bk -n -o HANDLE,KIND,PATH");
    assert!(out.ends_with("unsent\n1  handle  a\n2  handle  b\n"), "{out}");
    let (code, out, _) = minirdr(&daemon, "stop bk --mode cancel --handle 1");
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("bk: handle 1 detached ("), "{out}");
    assert!(out.ends_with(" gets ESHUTDOWN on a), nothing unsent\nbk: 1 handle left\n"), "{out}");
    assert_eq!(daemon.host.asked(), [], "nothing was stopped");
    let (code, out, _) = minirdr(&daemon, "stop bk --mode cancel --handle 1 --json");
    let value: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!((code, &value["result"]), (0, &"already_detached".into()));
    let (_, out, _) = minirdr(&daemon, "handles bk");
    assert!(out.starts_with("bk: 1 holder, 2.0 KiB unsent, 1 handle detached\n"), "{out}");
    let (code, _, err) = minirdr(&daemon, "stop bk --mode cancel --handle 7");
    assert_eq!((code, err.as_str()), (1, "minirdr: bk: handle 7 is not open\n"));
    let (code, _, err) = minirdr(&daemon, "stop bk --handle 2");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--mode cancel"), "{err}");
    let (code, _, err) = minirdr(&daemon, "stop bk --mode cancel --handle 2 --unmount");
    assert_eq!(code, 2, "{err}");
}

#[test]
fn a_name_that_is_taken_is_not_mounted_again() {
    let daemon = Daemon::start();
    let mount_point = tempfile::tempdir().expect("room in /tmp");
    let place = mount_point.path().display();
    let (code, _, err) = minirdr(&daemon, &format!("mount memory: {place} --name bk"));
    assert_eq!(code, 1, "{err}");
    let text = format!("the name bk is taken by the mount on {MOUNT_POINT}");
    assert!(err.contains(&text), "{err}");
}

/// S-52, S-53, S-54: what did not reach the server is listed, replayed and discarded.
#[test]
fn what_is_unsent_is_listed_replayed_and_discarded() {
    let daemon = Daemon::start();
    let (code, out, _) = minirdr(&daemon, "unsent bk");
    assert_eq!((code, out.as_str()), (0, "bk: nothing unsent\n"));
    daemon.host.keep(b"notes.md", 12_595, Some("/s/1.data"));
    daemon.host.keep(b"b", 1, None);
    let (code, out, _) = minirdr(&daemon, "unsent bk");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines[0]), (0, "bk: 2 unsent files, 12.3 KiB"));
    assert!(lines[1].starts_with("PATH") && lines[1].ends_with("ERROR"), "{out}");
    assert!(lines[2].starts_with("notes.md  12.3 KiB  2026-11-21T01:12:07Z  yes"), "{out}");
    let (_, out, _) = minirdr(&daemon, "unsent bk -n -o file,path");
    assert_eq!(out.lines().nth(1), Some("/s/1.data  notes.md"));
    let (code, out, _) = minirdr(&daemon, "unsent bk --json");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &json["entries"][0]["bytes"]), (0, &Value::from(12_595)));
    let (_, out, _) = minirdr(&daemon, "status bk");
    let hint = "  2 unsent files, 12.3 KiB: `minirdr unsent bk --replay|--discard`";
    assert!(out.lines().any(|line| line == hint), "{out}");

    let (code, out, _) = minirdr(&daemon, "unsent bk --replay");
    assert_eq!(code, 1, "one was not kept: {out}");
    assert_eq!(
        out,
        "bk: 1 write, 12.3 KiB, replayed; 1 write, 1 B, still unsent\n  b  1 B  the file is gone\n"
    );
    let (code, out, _) = minirdr(&daemon, "unsent bk --replay --force --json");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &json["outcomes"][0]["result"]), (0, &Value::from("replayed")));
    daemon.host.keep(b"c", 1, Some("/s/2.data"));
    let (code, out, _) = minirdr(&daemon, "unsent bk --discard");
    assert_eq!((code, out.as_str()), (0, "bk: 1 write, 1 B, discarded\n"));

    daemon.host.keep(b"d", 1, Some("/s/3.data"));
    let stopping = Waiting::start(&daemon, "stop bk --wait");
    daemon.host.end(CallResult::Success);
    assert_eq!(stopping.end().0, 0);
    let (code, _, err) = minirdr(&daemon, "unsent bk --replay");
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("stopped") && err.contains("minirdr start bk"), "{err}");
    let starting = Waiting::start(&daemon, "start bk");
    daemon.host.end(CallResult::Success);
    let (code, out) = starting.end();
    assert_eq!(code, 0);
    assert!(
        out.ends_with("  1 unsent file, 1 B: `minirdr unsent bk --replay|--discard`\n"),
        "{out}"
    );
}
