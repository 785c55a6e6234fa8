//! Holds everything `--json` prints to `docs/schema/minirdr-1.json`, shape by shape.

use crate::app::{MountConfig, MountOptions, RpcOptions, Source};
use crate::base::ids::{Caller, Generation, HandleNumber, SerialNumber, TicketNumber};
use crate::base::stop::{
    CallKind, CallResult, ConfigScope, Detached, Loss, Notice, OnDeadline, Report, State, StepTime,
};
use crate::base::unsent::{UnsentEntry, UnsentOutcome, UnsentResult, UnsentSummary};
use crate::cli::args::RpcAction;
use crate::cli::commands::answer::Answer;
use crate::cli::commands::detach::detached_json;
use crate::cli::commands::handles::{Listing, watch_json};
use crate::cli::commands::watch::Changes;
use crate::cli::commands::{events, mount, provider, rpc, show, watch_path};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::judge::tests::{check_reply, mount as status, report, running, with_survivors};
use crate::cli::{doctor, judge, locate, unsent, view};
use crate::mgmt::authz::Policy;
use crate::mgmt::client::ClientError;
use crate::mgmt::proto::{
    Event, EventKind, HandlesReply, MountStatus, OverflowTag, ProviderStatus, RequestsReply,
    RpcPhase, UnsentReply, WatchEvent, WatchKind,
};
use crate::mgmt::watch::path_fields;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::path::PathBuf;

const SCHEMA: &str = include_str!("../../docs/schema/minirdr-1.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the schema is JSON")
}

/// The validator of one kind of answer; the others may not help it to pass.
fn validator(answer: &str) -> Validator {
    let mut schema = schema();
    assert!(schema["$defs"].get(answer).is_some(), "the schema has no {answer}");
    schema["anyOf"] = json!([{ "$ref": format!("#/$defs/{answer}") }]);
    jsonschema::validator_for(&schema).expect("the schema is a schema")
}

fn hold(answer: &str, value: &Value) {
    let errors: Vec<String> = validator(answer)
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{answer}: {errors:#?}\n{value:#}");
    let whole = jsonschema::validator_for(&schema()).expect("the schema is a schema");
    assert!(whole.is_valid(value), "{answer} is not among anyOf");
}

/// A report with something in every field.
fn full_report() -> Report {
    let handles = with_survivors(CallResult::HasOpenHandles, 1, 5);
    let mut handle = handles.survivors[0].clone();
    handle.path = b"caf\xe9".to_vec();
    Report {
        survivors: vec![handle],
        losses: vec![Loss {
            path: b"\xff".to_vec(),
            bytes: 1,
            error: "gone".to_owned(),
            command: Some("vim".to_owned()),
            kept_in: Some("/var/lib/minirdr/bk/unsent/1.data".to_owned()),
            ..Loss::default()
        }],
        steps: vec![StepTime { step: "drain".to_owned(), seconds: 0.5 }],
        error: Some("x".to_owned()),
        reason: Some("y".to_owned()),
        ..handles
    }
}

fn full_status() -> MountStatus {
    MountStatus {
        running: Some(running()),
        last_stop: Some(full_report()),
        control_gid: Some(50),
        rpc: Some(rpc::tests::state(RpcPhase::Draining)),
        last_start: Some(Report { kind: CallKind::Start, ..report(CallResult::Success) }),
        ..status(State::Sealing)
    }
}

#[test]
fn mounts_are_as_the_schema_says() {
    for state in [State::Startable, State::StartInProgress, State::Started, State::Paused] {
        hold("answer_status", &show::status_json(&status(state)));
    }
    hold("answer_status", &show::status_json(&full_status()));
    let trouble = Trouble::unreachable("bk: gone");
    let silent = [("bk".to_owned(), trouble)];
    hold("answer_list", &show::list_json(&[full_status(), status(State::Started)], &silent));
    hold("answer_list", &show::list_json(&[], &[]));
    let config = MountConfig {
        name: "bk".to_owned(),
        source: Source::Memory,
        providers: Vec::new(),
        config_file: None,
        reader: None,
        mount_point: PathBuf::from("/mnt/bk"),
        options: MountOptions::default(),
        rpc: RpcOptions::default(),
        policy: Policy::of_owner(0),
        runtime_dir: PathBuf::from("/run/minirdr"),
        state_dir: PathBuf::from("/var/lib/minirdr/bk"),
        notify: None,
    };
    hold("answer_mount", &mount::mounted_json(&config, UnsentSummary { files: 1, bytes: 2 }));
}

#[test]
fn what_is_unsent_is_as_the_schema_says() {
    let bare = UnsentEntry { number: 1, path: b"a".to_vec(), ..UnsentEntry::default() };
    let full = UnsentEntry {
        path: b"\xff".to_vec(),
        offset: Some(7),
        command: Some("vim".to_owned()),
        kept_in: Some("/s/2.data".to_owned()),
        ..bare.clone()
    };
    let outcomes = [
        UnsentOutcome::of(&full, UnsentResult::Replayed, None),
        UnsentOutcome::of(&bare, UnsentResult::Arrived, None),
        UnsentOutcome::of(&bare, UnsentResult::Discarded, None),
        UnsentOutcome::of(&bare, UnsentResult::Failed, Some("gone".to_owned())),
    ];
    let reply = UnsentReply { entries: vec![bare, full], redacted: true };
    hold("answer_unsent", &unsent::list_json("bk", &reply));
    hold("answer_unsent", &unsent::list_json("bk", &UnsentReply::default()));
    for action in ["replay", "discard"] {
        hold("answer_unsent_done", &unsent::settled_json("bk", action, &outcomes));
    }
    hold("answer_unsent_done", &unsent::settled_json("bk", "replay", &[]));
}

#[test]
fn handles_and_requests_are_as_the_schema_says() {
    let check = check_reply(CallResult::HasOpenHandles, State::Started, 2, 1);
    let mut unknown = check.holders[0].clone();
    unknown.pid = None;
    unknown.command = None;
    unknown.uid = None;
    unknown.path_bytes = Some("/w==".to_owned());
    unknown.container = Some("3be1".to_owned());
    let handles = HandlesReply {
        handles: full_report().survivors,
        holders: vec![check.holders[0].clone(), unknown],
        more_handles: 3,
        ..HandlesReply::default()
    };
    let changes = Changes::between(&handles.holders[..1], &handles.holders[1..]);
    hold("answer_handles", &watch_json("bk", &handles, &changes));
    for reply in [handles, HandlesReply::default()] {
        let mut listing = Listing::default();
        let text = listing.items(&reply.handles) + &listing.end("bk", &reply);
        hold("answer_handles", &serde_json::from_str(&text).expect("an object"));
    }
    let mut odd = check.requests[0].clone();
    odd.serial = SerialNumber(2);
    odd.path = b"\xff".to_vec();
    let requests = RequestsReply {
        requests: vec![check.requests[0].clone(), odd],
        requests_total: 2,
        redacted: true,
    };
    hold("answer_requests", &show::requests_json("bk", &requests));
}

#[test]
fn calls_are_as_the_schema_says() {
    let status = full_status();
    let ended = |result| judge::stop_ended("bk", "/mnt", &report(result), None, false);
    let mut verdicts: Vec<_> = CallResult::ALL.into_iter().map(ended).collect();
    let refused = Report { ticket: None, ..with_survivors(CallResult::HasOpenHandles, 1, 0) };
    verdicts.extend([
        judge::stop_ended("bk", "/mnt", &refused, None, false),
        judge::already_stopped("bk", None, true),
        judge::stop_pending("bk", TicketNumber(1), &status),
        judge::already_stopping("bk", &running(), &status),
        judge::deadline_passed("bk", None, &status),
        judge::timed_out("bk", State::Draining),
        judge::interrupted("bk", None),
        judge::is_stopped("bk"),
        judge::is_running("bk"),
        judge::start_pending("bk", TicketNumber(1)),
        judge::paused("bk", CallResult::Success),
        judge::resumed("bk", CallResult::AlreadyStopped),
    ]);
    for verdict in verdicts {
        let mut answer = Answer::new("stop", "bk", verdict);
        hold("answer_call", &answer.json());
        answer.ticket = Some(TicketNumber(7));
        answer.running_ticket = Some(TicketNumber(6));
        answer.set_status(Some(&status));
        answer.report = Some(full_report());
        answer.holders = check_reply(CallResult::Success, State::Started, 1, 0).holders;
        hold("answer_call", &answer.json());
    }
    for verb in ["provider add", "provider remove", "provider replace"] {
        let pending = judge::provider_pending("bk provider docs", verb, TicketNumber(1));
        hold("answer_call", &Answer::new(verb, "bk", pending).json());
        for result in CallResult::ALL {
            let ended = judge::provider_ended("bk provider docs", verb, &report(result));
            let mut answer = Answer::new(verb, "bk", ended);
            answer.provider = Some("docs".to_owned());
            answer.report = Some(full_report());
            hold("answer_call", &answer.json());
        }
    }
    for already in [false, true] {
        let handle = full_report().survivors.remove(0);
        let detached = Detached { handle, already, cancelled: 1, open_handles: 2 };
        hold("answer_detach", &detached_json("bk", &detached, "m"));
    }
    for verb in ["start", "pause", "resume", "wait", "umount"] {
        hold("answer_call", &Answer::new(verb, "bk", judge::is_running("bk")).json());
    }
}

#[test]
fn providers_are_as_the_schema_says() {
    let share = |aside, owner| ProviderStatus {
        name: "docs".to_owned(),
        device: "docs:/b".to_owned(),
        prefix: "/b".to_owned(),
        source: "memory:".to_owned(),
        state: State::Started,
        aside,
        generation: Generation(1),
        owner,
        requests_in_flight: 0,
        open_handles: 1,
        survivors: 0,
        unsent_bytes: 0,
    };
    let providers = vec![share(false, Some(3)), share(true, None)];
    let status = MountStatus { providers, ..status(State::Started) };
    hold("answer_providers", &provider::list_json(&status));
    hold("answer_status", &show::status_json(&status));
}

#[test]
fn events_are_as_the_schema_says() {
    let caller = Caller::local(1, 2, 3);
    let ticket = Some(TicketNumber(7));
    let result = CallResult::Success;
    let notices = [
        Notice::StopRequested { ticket, asked_by: caller, reason: None },
        Notice::Draining { requests: 1, handles: 2, unsent_bytes: 3 },
        Notice::WrittenBack { bytes: 1 },
        Notice::Cancelled { requests: 1 },
        Notice::Sealed,
        Notice::PrefixTaken { prefix: "/a/b".to_owned(), from: Some("docs".to_owned()) },
        Notice::PrefixReleased { prefix: "/a/b".to_owned() },
        Notice::Deregistered,
        Notice::Unmounted,
        Notice::RedirectorStopped,
        Notice::Survivors { handles: 1 },
        Notice::DispatcherSpunDown,
        Notice::Stopped { ticket, result },
        Notice::Started { ticket, result, generation: Generation(2) },
        Notice::Paused,
        Notice::Resumed,
        Notice::ProviderAdded { ticket: TicketNumber(7), provider: "docs".to_owned(), result },
        Notice::ProviderRemoved { ticket: TicketNumber(7), provider: "docs".to_owned(), result },
        Notice::ProviderReplaced { ticket: TicketNumber(7), provider: "docs".to_owned(), result },
        Notice::Refused { operation: "open".to_owned(), requests: 1 },
        Notice::Loss(full_report().losses[0].clone()),
        Notice::Detached { handle: HandleNumber(3), handles: 0, unsent_bytes: 1 },
        Notice::Arrived { path: b"\xff".to_vec(), bytes: 1 },
        Notice::HolderLeft { handles: 0 },
        Notice::Deadline { on_deadline: OnDeadline::Stay },
        Notice::SaveConfig { scope: ConfigScope::Mount },
        Notice::UnmountedOutside,
    ];
    let overflow = EventKind::Overflow { kind: OverflowTag::Overflow, first_lost: 1, last_lost: 2 };
    let kinds = notices.into_iter().map(EventKind::Notice).chain([overflow]);
    let events: Vec<Event> = kinds
        .enumerate()
        .map(|(index, what)| Event {
            seq: index as u64 + 1,
            at: "2026-11-21T01:12:07.123Z".to_owned(),
            device: "memory".to_owned(),
            generation: Generation(1),
            what,
        })
        .collect();
    for event in &events {
        hold("answer_event", &events::one_json("bk", event));
    }
    for path in [&b"/docs"[..], b"/\xff"] {
        let (path, path_bytes) = path_fields(path);
        let (at, kind) = ("2026-11-21T01:12:07.000Z".to_owned(), WatchKind::Overflow);
        let event = WatchEvent { at, kind, path, path_bytes, lost: Some(1) };
        hold("answer_watch", &watch_path::one_json("bk", &event));
    }
    hold("answer_events", &events::all_json("bk", &events));
}

#[test]
fn remote_management_is_as_the_schema_says() {
    let state = rpc::tests::state(RpcPhase::Listening);
    for action in [RpcAction::Listen, RpcAction::Stop, RpcAction::Status] {
        let told = (Exit::DONE, "x");
        hold("answer_rpc", &rpc::rpc_json("bk", action, Some(1713), Some(&state), told));
        hold("answer_rpc", &rpc::rpc_json("bk", action, None, None, told));
    }
    let remote = Caller::from_network(([192, 0, 2, 9], 7).into());
    let report = Report { asked_by: remote, ..report(CallResult::Success) };
    let asked = MountStatus { last_stop: Some(report), ..full_status() };
    hold("answer_status", &show::status_json(&asked));
}

#[test]
fn errors_and_findings_are_as_the_schema_says() {
    let failed =
        |name: &str| ClientError::Failed { name: name.to_owned(), message: "m".to_owned() };
    let mut troubles = vec![
        Trouble::usage("x"),
        Trouble::failed("x"),
        Trouble::not_running("x"),
        Trouble::unreachable("x"),
        Trouble::not_permitted("x"),
    ];
    let errors = [
        failed("UnknownTicket"),
        failed("Refused"),
        failed("TooMany"),
        failed("Else"),
        ClientError::Interrupted,
    ];
    troubles.extend(errors.iter().map(|error| locate::explain("bk", error)));
    for trouble in troubles {
        hold("answer_error", &view::trouble("stop", &trouble));
    }
    let mut environment = Environment::from_lookup(0, PathBuf::from("/bin/minirdr"), |_| None);
    let directory = tempfile::tempdir().expect("room in /tmp");
    environment.runtime_dir = directory.path().to_owned();
    hold("answer_doctor", &doctor::json(&doctor::examine(&environment)));
}

/// The schema says no to what it should: a renamed field, an unknown one, a unit that is missing.
#[test]
fn the_schema_refuses_what_is_wrong() {
    let good = show::status_json(&full_status());
    let validator = validator("answer_status");
    assert!(validator.is_valid(&good));
    let spoilt = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        value
    };
    let wrong = [
        spoilt(&|value| value["schema"] = json!("minirdr/2")),
        spoilt(&|value| value["mount"]["surprise"] = json!(1)),
        spoilt(&|value| value["mount"]["state"] = json!("sealing")),
        spoilt(&|value| value["mount"]["unsent_bytes"] = json!("8.2 MiB")),
        spoilt(&|value| value["mount"]["last_stop"]["ended_at"] = json!("yesterday")),
        spoilt(&|value| drop(value["mount"].as_object_mut().map(|mount| mount.remove("pid")))),
    ];
    for value in wrong {
        assert!(!validator.is_valid(&value), "{value:#}");
    }
}
