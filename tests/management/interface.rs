//! `docs/io.minirdr.Control.varlink` against the code: every method, and every field of what goes
//! over the wire.

use crate::host::{Host, handle, report, request, serve, share, unsent};
use crate::raw_call;
use minirdr::base::ids::{Caller, Generation, HandleNumber, TicketNumber};
use minirdr::base::stop::{
    CallKind, CallResult, ConfigScope, Detached, HandleInfo, Loss, Notice, OnDeadline, State,
    StepTime, StopMode, StopOptions,
};
use minirdr::base::unsent::{UnsentOutcome, UnsentResult};
use minirdr::mgmt::control::Control as _;
use minirdr::mgmt::proto::{
    CallReply, CheckReply, DetachParameters, Event, EventKind, EventsParameters, EventsReply,
    HandlesParameters, HandlesReply, Holder, INTERFACE, ListReply, ListenReply, Method,
    MetricsFormat, MetricsParameters, MetricsReply, OverflowTag, PartParameters, PauseReply,
    ProviderWords, ReplayParameters, RequestsReply, RpcPhase, RpcState, RunningCall, ShutdownReply,
    StopParameters, UnsentDoneReply, UnsentReply, WaitParameters, WaitReply, WatchEvent, WatchKind,
    WatchParameters, WatchReply,
};
use minirdr::mgmt::providers::{
    AddProviderParameters, Deed, RemoveProviderParameters, ReplaceProviderParameters,
};
use minirdr::mgmt::service::DESCRIPTION;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A struct of the description: its fields and whether each may be absent.
type Fields = BTreeMap<String, bool>;

/// What the description declares.
#[derive(Debug, Default)]
struct Description {
    structs: BTreeMap<String, Fields>,
    enums: BTreeMap<String, Vec<String>>,
    /// Parameters and results.
    methods: Vec<(String, Fields, Fields)>,
    errors: BTreeMap<String, Fields>,
}

fn fields(text: &str) -> Fields {
    let field = |field: &str| {
        let (name, kind) = field.split_once(':')?;
        Some((name.trim().to_owned(), kind.trim().starts_with('?')))
    };
    text.split(',').filter_map(field).collect()
}

fn read() -> Description {
    let lines = DESCRIPTION.lines().filter(|line| !line.starts_with('#'));
    let text = lines.collect::<Vec<_>>().join(" ");
    let mut description = Description::default();
    assert!(text.trim_start().starts_with(&format!("interface {INTERFACE} ")));
    let words = ["type ", "method ", "error "];
    let mut rest = text.as_str();
    while let Some(start) = words.iter().filter_map(|word| rest.find(word)).min() {
        let (word, after) = rest[start..].split_once(' ').expect("a word");
        let (name, after) = after.split_once('(').expect("a name");
        let (inside, mut after) = after.split_once(')').expect("closed");
        let name = name.trim().to_owned();
        match word {
            "type" if inside.contains(':') => {
                description.structs.insert(name, fields(inside));
            }
            "type" => {
                let values = inside.split(',').map(|value| value.trim().to_owned()).collect();
                description.enums.insert(name, values);
            }
            "method" => {
                let result;
                (_, result) = after.split_once('(').expect("a result");
                let (result, end) = result.split_once(')').expect("closed");
                description.methods.push((name, fields(inside), fields(result)));
                after = end;
            }
            _ => {
                description.errors.insert(name, fields(inside));
            }
        }
        rest = after;
    }
    description
}

fn json(sample: &impl Serialize) -> Value {
    serde_json::to_value(sample).expect("serialises")
}

fn keys(sample: &impl Serialize) -> BTreeSet<String> {
    match json(sample) {
        Value::Object(fields) => fields.into_iter().map(|(name, _)| name).collect(),
        Value::Null => BTreeSet::new(),
        other => panic!("no object: {other}"),
    }
}

/// A sample with everything in it has exactly the declared fields.
fn same(what: &str, declared: &Fields, sample: &impl Serialize) {
    let declared: BTreeSet<String> = declared.keys().cloned().collect();
    assert_eq!(declared, keys(sample), "{what}");
}

fn event(what: EventKind) -> Event {
    Event { seq: 1, at: String::new(), device: String::new(), generation: Generation(1), what }
}

fn loss() -> Loss {
    let text = Some(String::new());
    Loss { path: b"\xff".to_vec(), command: text.clone(), kept_in: text, ..Loss::default() }
}

fn notices() -> Vec<EventKind> {
    let ticket = Some(TicketNumber(1));
    let loss = loss();
    let result = CallResult::Success;
    let notices = [
        Notice::StopRequested { ticket, asked_by: Caller::default(), reason: None },
        Notice::Draining { requests: 1, handles: 1, unsent_bytes: 1 },
        Notice::WrittenBack { bytes: 1 },
        Notice::Cancelled { requests: 1 },
        Notice::Sealed,
        Notice::PrefixTaken { prefix: String::new(), from: Some(String::new()) },
        Notice::PrefixReleased { prefix: String::new() },
        Notice::Deregistered,
        Notice::Unmounted,
        Notice::RedirectorStopped,
        Notice::Survivors { handles: 1 },
        Notice::DispatcherSpunDown,
        Notice::Stopped { ticket, result },
        Notice::Started { ticket, result, generation: Generation(2) },
        Notice::Paused,
        Notice::Resumed,
        Notice::ProviderAdded { ticket: TicketNumber(1), provider: String::new(), result },
        Notice::ProviderRemoved { ticket: TicketNumber(1), provider: String::new(), result },
        Notice::ProviderReplaced { ticket: TicketNumber(1), provider: String::new(), result },
        Notice::Refused { operation: String::new(), requests: 1 },
        Notice::Loss(loss),
        Notice::Detached { handle: HandleNumber(1), handles: 1, unsent_bytes: 1 },
        Notice::Arrived { path: b"\xff".to_vec(), bytes: 1 },
        Notice::HolderLeft { handles: 1 },
        Notice::Deadline { on_deadline: OnDeadline::Stay },
        Notice::SaveConfig { scope: ConfigScope::Mount },
        Notice::UnmountedOutside,
    ];
    let kind = OverflowTag::Overflow;
    let overflow = EventKind::Overflow { kind, first_lost: 1, last_lost: 2 };
    notices.into_iter().map(EventKind::Notice).chain([overflow]).collect()
}

fn holder() -> Holder {
    Holder {
        pid: None,
        command: None,
        uid: None,
        user: None,
        kind: String::new(),
        mode: String::new(),
        age_s: None,
        unsent_bytes: None,
        path: String::new(),
        path_bytes: Some(String::new()),
        container: Some(String::new()),
        handle: Some(HandleNumber(1)),
    }
}

/// Varlink's own interface: what there is, in words that a client can read.
#[test]
fn the_service_describes_itself() {
    let running = serve(Host::new());
    let call = |text: &str| raw_call(&running, format!("{{\"method\":\"{text}}}\0").as_bytes());
    let info = call("org.varlink.service.GetInfo\"").parameters;
    assert_eq!(info["interfaces"], json(&["org.varlink.service", INTERFACE]));
    assert!(info["url"].is_string());
    for key in ["vendor", "product", "version"] {
        assert!(info[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    let of = |interface: &str| {
        let parameters = format!("\"parameters\":{{\"interface\":\"{interface}\"}}");
        call(&format!("org.varlink.service.GetInterfaceDescription\",{parameters}"))
    };
    assert_eq!(of(INTERFACE).parameters["description"], DESCRIPTION);
    let own = of("org.varlink.service").parameters["description"].clone();
    assert!(own.as_str().is_some_and(|text| text.contains("method GetInfo()")), "{own}");
    let unknown = of("a.b");
    assert_eq!(unknown.error.as_deref(), Some("org.varlink.service.InterfaceNotFound"));
    assert_eq!(unknown.parameters["interface"], "a.b");
    let bare = call("org.varlink.service.GetInterfaceDescription\"");
    assert_eq!(bare.error.as_deref(), Some("org.varlink.service.InvalidParameter"));
    assert_eq!(bare.parameters["parameter"], "interface");
}

#[test]
fn the_methods_are_the_codes() {
    let declared = read();
    let names: Vec<&str> = declared.methods.iter().map(|(name, ..)| name.as_str()).collect();
    let methods: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
    assert_eq!(names, methods);
    let errors: Vec<&str> = declared.errors.keys().map(String::as_str).collect();
    assert_eq!(errors, ["NotPermitted", "Refused", "TooMany", "UnknownTicket"]);
    assert!(declared.errors.values().all(|error| error.keys().eq(["message"])));
}

fn parameters_are(method: Method, name: &str, parameters: &Fields) {
    let provider = Some(String::new());
    match method {
        Method::Handles => same(name, parameters, &HandlesParameters::default()),
        Method::Detach => same(name, parameters, &DetachParameters::default()),
        Method::Stop => {
            same(name, parameters, &StopParameters { provider, ..Default::default() });
        }
        Method::Wait => {
            same(name, parameters, &WaitParameters { provider, ..Default::default() });
        }
        Method::Status | Method::Check | Method::Start | Method::Pause | Method::Resume => {
            same(name, parameters, &PartParameters { provider });
        }
        Method::Watch => same(name, parameters, &WatchParameters::of(b"\xff")),
        Method::AddProvider => same(name, parameters, &AddProviderParameters::default()),
        Method::RemoveProvider => {
            same(name, parameters, &RemoveProviderParameters::default());
        }
        Method::ReplaceProvider => {
            same(name, parameters, &ReplaceProviderParameters::default());
        }
        Method::Events => same(name, parameters, &EventsParameters::default()),
        Method::Metrics => same(name, parameters, &MetricsParameters::default()),
        Method::Replay => same(name, parameters, &ReplayParameters::default()),
        _ => same(name, parameters, &()),
    }
}

#[test]
fn parameters_and_results_are_the_codes() {
    let status = Host::new().status();
    let report = report(CallKind::Stop, CallResult::Success, None);
    let state = State::Started;
    let result = CallResult::Success;
    let check = CheckReply {
        state,
        result,
        ticket: None,
        holders: Vec::new(),
        holders_total: 0,
        requests: Vec::new(),
        requests_total: 0,
        redacted: false,
    };
    let detached =
        Detached { handle: handle(1, b"a"), already: false, cancelled: 0, open_handles: 0 };
    for (name, parameters, results) in read().methods {
        let method = Method::parse(&name).expect("a method");
        parameters_are(method, &name, &parameters);
        match method {
            Method::List => same(&name, &results, &ListReply::default()),
            Method::Status => same(&name, &results, &status),
            Method::Handles => same(&name, &results, &HandlesReply::default()),
            Method::Requests => same(&name, &results, &RequestsReply::default()),
            Method::Check => same(&name, &results, &check),
            Method::Detach => same(&name, &results, &detached),
            Method::Stop
            | Method::Start
            | Method::AddProvider
            | Method::RemoveProvider
            | Method::ReplaceProvider => same(&name, &results, &CallReply::default()),
            Method::Listen => same(&name, &results, &ListenReply::default()),
            Method::Shutdown => same(&name, &results, &ShutdownReply::default()),
            Method::Pause | Method::Resume => same(&name, &results, &PauseReply { result }),
            Method::Wait => {
                let (report, joined) = (Some(report.clone()), Some(report.clone()));
                let (timed_out, provider, deed) = (false, None, Some(Deed::Remove));
                let reply = WaitReply { timed_out, state, report, joined, provider, deed };
                same(&name, &results, &reply);
            }
            Method::Events => same(&name, &results, &EventsReply::default()),
            Method::Watch => same(&name, &results, &WatchReply::default()),
            Method::Metrics => same(&name, &results, &MetricsReply::default()),
            Method::Unsent => same(&name, &results, &UnsentReply::default()),
            Method::Replay | Method::Discard => {
                same(&name, &results, &UnsentDoneReply::default());
            }
        }
    }
}

#[test]
fn types_are_the_codes() {
    let declared = read();
    let check = |name: &str, sample: Value| {
        same(name, declared.structs.get(name).unwrap_or_else(|| panic!("no {name}")), &sample);
    };
    let odd: HandleInfo = handle(1, b"\xff");
    let mut odd_request = request();
    odd_request.path = b"\xff".to_vec();
    let running = RunningCall {
        ticket: TicketNumber(1),
        kind: CallKind::Stop,
        asked_by: Caller::default(),
        age_s: 0.0,
        step: String::new(),
        deadline_passed: false,
        deadline_left_s: None,
    };
    let loss = loss();
    let from = ([192, 0, 2, 9], 7).into();
    check("Caller", json(&Caller::from_network(from)));
    check("RpcState", json(&RpcState::default()));
    check("StopOptions", json(&StopOptions::default()));
    check("HandleInfo", json(&odd));
    check("RequestInfo", json(&odd_request));
    check("Holder", json(&holder()));
    check("Loss", json(&loss));
    check("StepTime", json(&StepTime { step: String::new(), seconds: 0.0 }));
    check("Report", json(&report(CallKind::Stop, CallResult::Success, None)));
    check("RunningCall", json(&running));
    check("MountStatus", json(&Host::new().status()));
    let entry = unsent(b"\xff");
    check("UnsentOutcome", json(&UnsentOutcome::of(&entry, UnsentResult::Replayed, None)));
    check("UnsentEntry", json(&entry));
    check("ProviderStatus", json(&share("docs", "memory:")));
    let told = WatchEvent {
        at: String::new(),
        kind: WatchKind::Overflow,
        path: String::new(),
        path_bytes: Some(String::new()),
        lost: Some(1),
    };
    check("WatchEvent", json(&told));
    check("ProviderWords", json(&ProviderWords::default()));
    assert_eq!(declared.structs.len(), 17, "each is held: the 16 above, and Event below");
}

/// Fields that not every event has are optional; and `docs/MANAGEMENT.md` lists every kind.
#[test]
fn events_are_the_codes() {
    let declared = &read().structs["Event"];
    let manual = include_str!("../../docs/MANAGEMENT.md");
    let samples: Vec<_> = notices().into_iter().map(event).collect();
    let each: Vec<BTreeSet<String>> = samples.iter().map(keys).collect();
    let any: BTreeSet<String> = each.iter().flatten().cloned().collect();
    assert_eq!(any, declared.keys().cloned().collect());
    for (name, optional) in declared {
        let always = each.iter().all(|keys| keys.contains(name));
        assert_eq!(always, !optional, "{name}");
    }
    for sample in &samples {
        let json = json(sample);
        let kind = json["kind"].as_str().expect("a word");
        assert!(manual.contains(&format!("\n| `{kind}` |")), "docs/MANAGEMENT.md lacks {kind}");
    }
}

const WATCH_KINDS: [WatchKind; 8] = [
    WatchKind::Watching,
    WatchKind::Created,
    WatchKind::Removed,
    WatchKind::Modified,
    WatchKind::Attributes,
    WatchKind::Resync,
    WatchKind::Overflow,
    WatchKind::Gone,
];

/// The words of an enumeration's values.
fn words<T: Serialize>(values: &[T]) -> Vec<String> {
    values.iter().map(|value| json(value).as_str().expect("a word").to_owned()).collect()
}

#[test]
fn enumerations_are_the_codes() {
    use CallResult::{
        AlreadyStarted, AlreadyStopped, Failed, HasOpenHandles, Lost, RolledBack, Success,
    };
    use State::{Draining, Paused, Sealing, StartInProgress, Startable, Started};
    let states = [Startable, StartInProgress, Started, Paused, Draining, Sealing];
    let results =
        [Success, HasOpenHandles, AlreadyStopped, AlreadyStarted, RolledBack, Lost, Failed];
    let deadlines = [OnDeadline::Resume, OnDeadline::Stay, OnDeadline::Cancel, OnDeadline::Abort];
    let modes = [StopMode::Drain, StopMode::Cancel, StopMode::Abort];
    let settled = [
        UnsentResult::Replayed,
        UnsentResult::Arrived,
        UnsentResult::Discarded,
        UnsentResult::Failed,
    ];
    let phases = [RpcPhase::NotListening, RpcPhase::Listening, RpcPhase::Draining];
    let formats = [MetricsFormat::Openmetrics, MetricsFormat::Prometheus];
    let expected = BTreeMap::from([
        ("State".to_owned(), words(&states)),
        ("CallResult".to_owned(), words(&results)),
        ("CallKind".to_owned(), words(&[CallKind::Stop, CallKind::Start])),
        ("Deed".to_owned(), words(&[Deed::Add, Deed::Remove, Deed::Replace])),
        ("StopMode".to_owned(), words(&modes)),
        ("OnDeadline".to_owned(), words(&deadlines)),
        ("UnsentResult".to_owned(), words(&settled)),
        ("RpcPhase".to_owned(), words(&phases)),
        ("MetricsFormat".to_owned(), words(&formats)),
        ("WatchKind".to_owned(), words(&WATCH_KINDS)),
    ]);
    assert_eq!(read().enums, expected);
}
