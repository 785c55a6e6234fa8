//! Tests of [`super`]: each row of cli.md's exit code table, and its console example word by word.

use super::*;
use crate::base::ids::{Generation, HandleNumber, SerialNumber};
use crate::base::stop::{CallKind, HandleInfo, Loss, RequestInfo, StepTime};
use crate::mgmt::proto::Holder;

pub fn report(result: CallResult) -> Report {
    Report {
        ticket: Some(TicketNumber(7)),
        generation: Generation(1),
        ended_unix_s: 1_795_223_527.0,
        ..Report::new(CallKind::Stop, result, Caller::local(2301, 0, 0))
    }
}

pub fn with_survivors(result: CallResult, number: u64, unsent_bytes: u64) -> Report {
    let handle = HandleInfo {
        handle: HandleNumber(1),
        path: b"a".to_vec(),
        kind: "handle".to_owned(),
        mode: "r".to_owned(),
        opened_by: Caller::default(),
        generation: Generation(1),
        age_s: 1.0,
        unsent_bytes,
        flushed: false,
        survivor: true,
        detached: false,
    };
    Report { survivors: vec![handle], survivors_total: number, ..report(result) }
}

pub fn mount(state: State) -> MountStatus {
    MountStatus {
        name: "bk".to_owned(),
        source: "memory:".to_owned(),
        redirector: "memory".to_owned(),
        mount_point: "/mnt/bk".to_owned(),
        mounted: true,
        device: "0:38".to_owned(),
        state,
        generation: Generation(1),
        state_age_s: 72.0,
        pid: 10,
        uid: 0,
        control_gid: None,
        options: vec!["rw".to_owned()],
        requests_in_flight: 0,
        open_handles: 1,
        survivors: 0,
        unsent_bytes: 42_991_616,
        refused_total: 0,
        answered_total: 5,
        defects_total: 0,
        running: None,
        last_stop: None,
        last_start: None,
        unsent_files: 0,
        unsent_files_bytes: 0,
        rpc: None,
        version: "0.1.0".to_owned(),
        providers: Vec::new(),
    }
}

pub fn running() -> RunningCall {
    RunningCall {
        ticket: TicketNumber(7),
        kind: CallKind::Stop,
        asked_by: Caller::local(2301, 0, 0),
        age_s: 72.0,
        step: "drain".to_owned(),
        deadline_passed: false,
        deadline_left_s: Some(30.0),
    }
}

pub fn check_reply(
    result: CallResult,
    state: State,
    holders: usize,
    requests: usize,
) -> CheckReply {
    let holder = Holder {
        pid: Some(1),
        command: Some("x".to_owned()),
        uid: Some(0),
        user: None,
        kind: "handle".to_owned(),
        mode: "r".to_owned(),
        age_s: None,
        unsent_bytes: None,
        path: "a".to_owned(),
        path_bytes: None,
        container: None,
        handle: None,
    };
    let request = RequestInfo {
        serial: SerialNumber(1),
        operation: "read".to_owned(),
        path: Vec::new(),
        age_s: 0.0,
        caller: Caller::default(),
        cancellable: false,
        cancelled: false,
    };
    CheckReply {
        state,
        result,
        ticket: (state == State::Draining).then_some(TicketNumber(7)),
        holders: vec![holder; holders],
        holders_total: holders as u64,
        requests: vec![request; requests],
        requests_total: requests as u64,
        redacted: false,
    }
}

fn line(verdict: &Verdict) -> (u8, &str) {
    (verdict.exit.0, verdict.lines[0].as_str())
}

/// The console example of cli.md, word by word.
#[test]
fn the_designs_console_example() {
    let busy = check_reply(CallResult::HasOpenHandles, State::Started, 3, 0);
    let verdict = check("bk", &busy, None, false);
    assert_eq!(line(&verdict), (10, "bk: would wait for 3 holders"));
    assert!(verdict.list_holders);

    let verdict = deadline_passed("bk", Some(TicketNumber(7)), &mount(State::Draining));
    assert_eq!(
        line(&verdict),
        (
            11,
            "bk: deadline passed: 1 handle, 41.0 MiB unsent; still draining (ticket 7), \
             still mounted"
        )
    );

    let status = MountStatus { unsent_bytes: 0, ..mount(State::Draining) };
    assert_eq!(
        line(&already_stopping("bk", &running(), &status)),
        (0, "bk: already stopping (ticket 7, for 1m12s, asked by uid 0 pid 2301), 1 handle")
    );

    let done = report(CallResult::Success);
    assert_eq!(
        line(&stop_ended("bk", "/mnt/bk", &done, None, false)),
        (0, "bk: stopped, nothing unsent, still mounted")
    );
    let again = report(CallResult::AlreadyStopped);
    let text = "bk: already stopped (2026-11-21T01:12:07Z, asked by uid 0)";
    assert_eq!(line(&stop_ended("bk", "/mnt/bk", &again, Some(&done), false)), (0, text));
    assert_eq!(line(&stop_ended("bk", "/mnt/bk", &again, Some(&done), true)), (14, text));
}

#[test]
fn every_end_of_a_stop_has_its_line_and_code() {
    let failed = Report {
        error: Some("deregister: no such mount".to_owned()),
        ..report(CallResult::Failed)
    };
    let cancelled = Report { cancelled: 2, abandoned: 1, ..report(CallResult::Success) };
    let unmounted = Report { unmounted: true, ..report(CallResult::Success) };
    let refused = Report { ticket: None, ..with_survivors(CallResult::HasOpenHandles, 2, 0) };
    let cases = [
        (unmounted, 0, "bk: stopped, nothing unsent, unmounted /mnt/bk", false),
        (
            cancelled,
            0,
            "bk: stopped, 2 requests cancelled, 1 request given up, nothing unsent, still mounted",
            false,
        ),
        (
            with_survivors(CallResult::HasOpenHandles, 1, 0),
            10,
            "bk: stopped, 1 handle still open, nothing unsent, still mounted",
            true,
        ),
        (
            with_survivors(CallResult::HasOpenHandles, 5000, 2048),
            10,
            "bk: stopped, 5000 handles still open, 2.0 KiB unsent, still mounted",
            true,
        ),
        (refused, 10, "bk: not stopped: 2 handles open", true),
        (
            with_survivors(CallResult::RolledBack, 1, 0),
            12,
            "bk: deadline passed: 1 handle; rolled back, running",
            true,
        ),
        (report(CallResult::RolledBack), 12, "bk: deadline passed: rolled back, running", true),
        (failed, 1, "bk: stop failed, running: deregister: no such mount", false),
        (
            report(CallResult::Failed),
            1,
            "bk: stop failed, running: the daemon gave no reason",
            false,
        ),
        (report(CallResult::AlreadyStopped), 0, "bk: already stopped", false),
        (report(CallResult::AlreadyStarted), 1, "bk: started again before it stopped", false),
    ];
    for (report, code, text, lists) in cases {
        let verdict = stop_ended("bk", "/mnt/bk", &report, None, false);
        assert_eq!(line(&verdict), (code, text));
        assert_eq!(verdict.list_holders, lists, "{text}");
    }
}

/// S-96: the mini-redirector's own stop failed: it is stopped, and that is no clean end.
#[test]
fn a_redirector_that_failed_is_told() {
    let failed = |report| Report { error: Some("MRxStop: it hangs".to_owned()), ..report };
    let ended = |report| stop_ended("bk", "/mnt/bk", &failed(report), None, false);
    let plain = ended(report(CallResult::Success));
    assert_eq!(line(&plain), (1, "bk: stopped, still mounted; failed: MRxStop: it hangs"));
    let open = ended(with_survivors(CallResult::HasOpenHandles, 1, 0));
    let text = "bk: stopped, 1 handle; still mounted; failed: MRxStop: it hangs";
    assert_eq!((line(&open), open.list_holders), ((1, text), true));
    let loss = Loss { path: b"a".to_vec(), bytes: 1, error: "gone".to_owned(), ..Loss::default() };
    let lost = ended(Report { losses: vec![loss], ..report(CallResult::Lost) });
    assert_eq!((lost.exit, lost.lines[2].as_str()), (Exit::LOST, "  failed: MRxStop: it hangs"));
    let mounted = Report {
        error: Some("stopped, but still mounted: busy; MRxStop: it hangs".to_owned()),
        ..report(CallResult::Success)
    };
    let verdict = stop_ended("bk", "/mnt/bk", &mounted, None, false);
    let text = "bk: stopped, but still mounted: busy; MRxStop: it hangs";
    assert_eq!(line(&verdict), (10, text));
}

#[test]
fn what_was_not_saved_is_named_and_counted() {
    let loss = |path: &str, bytes| Loss {
        path: path.as_bytes().to_vec(),
        bytes,
        error: "Connection timed out".to_owned(),
        ..Loss::default()
    };
    let losses = vec![loss("notes.md", 12_595), loss("b\n", 1)];
    let verdict =
        stop_ended("work", "/w", &Report { losses, ..report(CallResult::Lost) }, None, false);
    assert_eq!(verdict.exit, Exit::LOST);
    assert_eq!(
        verdict.lines,
        [
            "work: stopped, still mounted; NOT saved: 2 files, 12.3 KiB",
            "  notes.md  12.3 KiB  Connection timed out",
            "  b\\x0a  1 B  Connection timed out",
        ]
    );
}

#[test]
fn a_check_says_who_and_changes_the_code_only_for_holders() {
    use CallResult::{AlreadyStopped, HasOpenHandles, Success};
    let cases = [
        (check_reply(Success, State::Started, 0, 0), 0, "bk: would wait for nobody"),
        (check_reply(Success, State::Started, 0, 1), 0, "bk: would wait for 1 request"),
        (check_reply(Success, State::Paused, 1, 0), 10, "bk: would wait for 1 holder"),
        (
            check_reply(HasOpenHandles, State::Started, 1, 2),
            10,
            "bk: would wait for 1 holder, 2 requests",
        ),
        (
            check_reply(HasOpenHandles, State::Draining, 2, 0),
            10,
            "bk: already stopping (ticket 7), waits for 2 holders",
        ),
        (
            check_reply(Success, State::Draining, 0, 0),
            0,
            "bk: already stopping (ticket 7), waits for nobody",
        ),
        (check_reply(AlreadyStopped, State::Startable, 0, 0), 0, "bk: already stopped"),
        (check_reply(HasOpenHandles, State::Startable, 1, 0), 10, "bk: already stopped"),
    ];
    for (reply, code, text) in cases {
        assert_eq!(line(&check("bk", &reply, None, false)), (code, text));
    }
    let survivors = check_reply(AlreadyStopped, State::Startable, 1, 0);
    let verdict = check("bk", &survivors, None, true);
    assert_eq!(verdict.exit, Exit::ALREADY);
    assert_eq!(verdict.lines, ["bk: already stopped", "1 holder left from before the stop"]);
    assert!(verdict.list_holders);
}

#[test]
fn an_unmount_that_did_not_unmount_is_no_success() {
    let busy = still_mounted("bk", "/mnt/bk", 2);
    assert_eq!(line(&busy), (10, "bk: stopped, but still mounted: /mnt/bk is busy, 2 holders"));
    assert!(busy.list_holders);
    let odd = still_mounted("bk", "/mnt/bk", 0);
    assert_eq!(line(&odd), (1, "bk: stopped, but still mounted on /mnt/bk"));
}

#[test]
fn a_pending_stop_says_what_is_left() {
    let status = MountStatus { requests_in_flight: 2, ..mount(State::Draining) };
    assert_eq!(
        line(&stop_pending("bk", TicketNumber(1), &status)),
        (0, "bk: stop accepted, pending (ticket 1), 2 requests, 1 handle, 41.0 MiB unsent")
    );
    let idle = MountStatus { open_handles: 0, unsent_bytes: 0, ..mount(State::Draining) };
    assert_eq!(
        line(&stop_pending("bk", TicketNumber(1), &idle)),
        (0, "bk: stop accepted, pending (ticket 1)")
    );
    assert_eq!(
        line(&deadline_passed("bk", None, &MountStatus { mounted: false, ..idle })),
        (11, "bk: deadline passed; still draining, not mounted")
    );
}

#[test]
fn every_end_of_a_start_has_its_line_and_code() {
    let step = |seconds| StepTime { step: "x".to_owned(), seconds };
    let success = Report { steps: vec![step(0.02), step(0.011)], ..report(CallResult::Success) };
    let failed = Report { error: Some("no route".to_owned()), ..report(CallResult::Failed) };
    let already = report(CallResult::AlreadyStarted);
    let cases = [
        (&success, false, 0, "bk: running (same mount, 0.03 s)"),
        (&already, false, 0, "bk: already running"),
        (&already, true, 14, "bk: already running"),
        (&failed, false, 1, "bk: start failed, still stopped: no route"),
        (&report(CallResult::AlreadyStopped), false, 1, "bk: stopped again before it started"),
    ];
    for (report, strict, code, text) in cases {
        assert_eq!(line(&start_ended("bk", report, strict)), (code, text));
    }
}

#[test]
fn pause_and_resume_of_something_stopped() {
    use CallResult::{AlreadyStopped, Failed, Success};
    assert_eq!(paused("bk", Success).exit, Exit::DONE);
    assert_eq!(line(&resumed("bk", Success)), (0, "bk: running"));
    assert_eq!(line(&paused("bk", AlreadyStopped)), (3, "bk: stopped, cannot be paused"));
    assert_eq!(
        line(&resumed("bk", AlreadyStopped)),
        (3, "bk: stopped, cannot be resumed; `minirdr start` starts it")
    );
    assert_eq!(line(&paused("bk", Failed)), (3, "bk: not running, cannot be paused"));
}

#[test]
fn a_wait_that_ran_out_says_how_it_is() {
    let cases = [
        (State::Draining, 11, "bk: the time to wait is over; it is stopping"),
        (State::Sealing, 11, "bk: the time to wait is over; it is stopping"),
        (State::Started, 1, "bk: the time to wait is over; it is running"),
        (State::Startable, 1, "bk: the time to wait is over; it is stopped"),
    ];
    for (state, code, text) in cases {
        assert_eq!(line(&timed_out("bk", state)), (code, text));
    }
}

/// S-90, S-91: who else may command is said, with the number the name stands for.
#[test]
fn a_status_says_who_else_may_command() {
    let words = ["rw", "control_group=staff", "control_deny=group:start", "size=1M"];
    let status = MountStatus {
        options: words.map(str::to_owned).to_vec(),
        control_gid: Some(50),
        ..mount(State::Started)
    };
    let lines = super::status(&status).lines;
    let said = "  control_group=staff (gid 50), control_deny=group:start".to_owned();
    assert!(lines.contains(&said), "{lines:?}");
    let usual = super::status(&mount(State::Started)).lines;
    assert!(usual.iter().all(|line| !line.contains("control_")), "{usual:?}");
}

/// What went wrong on the way of a stop that ended well is told with its end.
#[test]
fn what_went_wrong_on_the_way_is_told() {
    let why = Some("its configuration is not kept: /s: no space".to_owned());
    for result in [CallResult::Success, CallResult::HasOpenHandles, CallResult::Lost] {
        let report = Report { error: why.clone(), ..report(result) };
        let lines = stop_ended("bk", "/mnt", &report, None, false).lines;
        let told = lines.iter().filter(|line| line.contains("no space")).count();
        assert_eq!(told, 1, "{result:?}: {lines:?}");
    }
    let still = Report {
        error: Some("stopped, but still mounted: busy".to_owned()),
        ..report(CallResult::Success)
    };
    assert_eq!(stop_ended("bk", "/mnt", &still, None, false).lines.len(), 1, "said once");
}

/// Stop.md S7: the report of the last stop is there in full.
#[test]
fn a_status_is_0_while_it_lives_and_3_when_stopped() {
    for state in [State::Started, State::Paused, State::Draining, State::StartInProgress] {
        assert_eq!(status(&mount(state)).exit, Exit::DONE, "{state:?}");
    }
    let stopped = MountStatus {
        survivors: 1,
        defects_total: 2,
        mounted: false,
        running: Some(running()),
        last_stop: Some(Report {
            reason: Some("upgrade".to_owned()),
            drained: 3,
            cancelled: 1,
            abandoned: 2,
            refused: 12,
            flushed_bytes: 4096,
            losses: vec![Loss {
                path: b"a".to_vec(),
                bytes: 7,
                kept_in: Some("/s/1.data".to_owned()),
                ..Loss::default()
            }],
            steps: vec![
                StepTime { step: "drain".to_owned(), seconds: 2.0 },
                StepTime { step: "seal".to_owned(), seconds: 0.0004 },
            ],
            ..with_survivors(CallResult::Lost, 1, 0)
        }),
        unsent_files: 1,
        unsent_files_bytes: 7,
        ..mount(State::Startable)
    };
    let verdict = status(&stopped);
    assert_eq!((verdict.exit, verdict.result), (Exit::NOT_RUNNING, "stopped"));
    assert_eq!(
        verdict.lines,
        [
            "bk: stopped for 1m12s, 1 handle, 41.0 MiB unsent",
            "  memory: not mounted any more; was on /mnt/bk",
            "  1 handle open since before the last stop",
            "  stop of ticket 7 at \"drain\" for 1m12s, asked by uid 0 pid 2301, \
             30s to its deadline",
            "  last stop 2026-11-21T01:12:07Z, asked by uid 0: lost: upgrade",
            "    3 requests drained, 1 cancelled, 2 given up, 12 refused, 4.0 KiB written back, \
             1 handle open at its end, NOT saved: 1 file, 7 B",
            "    a  7 B  kept in /s/1.data",
            "    drain 2.000 s, seal 0.000 s",
            "  1 unsent file, 7 B: `minirdr unsent bk --replay|--discard`",
            "  2 defects seen; the log says more",
            "  pid 10, uid 0, generation 1, 5 answered, 0 refused, version 0.1.0",
        ]
    );
}
