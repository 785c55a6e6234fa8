//! The numbers of a mount as Prometheus reads them: OpenMetrics text, or the older text format.
//!
//! Nothing is counted here but the control socket's clients: the core counts as it goes
//! ([`DeviceNumbers`]), and each scrape reads what there is, without a lock that a request takes.
//! Every label but the mount's name, the version and the redirector is a word of an enumeration,
//! and every series is there from the first scrape. `docs/MANAGEMENT.md` has the table of series; a
//! test holds the two together.

use crate::base::limits::CONTROL_CLIENTS_MAX;
use crate::base::metrics::{CallNumbers, DeviceNumbers, HistogramView, OperationNumbers};
use crate::base::stop::{CallResult, State};
use crate::base::threads;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The media type of OpenMetrics text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the text of `Metrics` is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.
    #[default]
    Openmetrics,
    /// Prometheus's older text format, 0.0.4, which node_exporter's textfile collector takes.
    Prometheus,
}

/// Parameters of `Metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsParameters {
    /// Openmetrics unless it is given.
    pub format: Option<MetricsFormat>,
}

/// Reply of `Metrics`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsReply {
    /// The text's media type, for who hands it on over HTTP.
    pub content_type: String,
    /// All of it.
    pub text: String,
}

/// What the host tells of a mount.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MountNumbers {
    /// The mount's name.
    pub name: String,
    /// The mini-redirector's name.
    pub redirector: String,
    /// The daemon's version.
    pub version: String,
    /// When the daemon began, in seconds since the Unix epoch.
    pub began_unix_s: f64,
    /// When the device came into its state.
    pub state_since_unix_s: f64,
    /// Is it in the daemon's namespace still?
    pub mounted: bool,
    /// Files with writes that did not reach the server and are kept.
    pub unsent_files: u64,
    /// Bytes of these writes.
    pub unsent_files_bytes: u64,
    /// Panics in handlers and replaced workers of the front.
    pub front_defects: u64,
    /// The core's numbers.
    pub device: DeviceNumbers,
}

/// What the plane tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneNumbers {
    /// Clients of the control socket.
    pub clients: u64,
    /// Clients that were turned away.
    pub clients_refused: u64,
    /// Calls begun, of the control socket and of remote management.
    pub calls: u64,
    /// Calls refused: too many, or not listening.
    pub calls_refused: u64,
    /// Events published.
    pub events: u64,
}

/// Encodes all of it.
///
/// # Errors
/// A value that has no word: a defect.
pub fn encode(
    mount: MountNumbers,
    plane: PlaneNumbers,
    format: MetricsFormat,
) -> Result<MetricsReply, fmt::Error> {
    let labels = [("mount".into(), mount.name.clone().into())];
    let mut registry = Registry::with_prefix_and_labels("minirdr", labels.into_iter());
    registry.register_collector(Box::new(Scrape { mount, plane }));
    let mut text = String::new();
    let content_type = match format {
        MetricsFormat::Openmetrics => {
            text::encode(&mut text, &registry)?;
            OPENMETRICS
        }
        MetricsFormat::Prometheus => {
            prometheus_text::encode(&mut text, &registry)?;
            prometheus_text::CONTENT_TYPE
        }
    };
    Ok(MetricsReply { content_type: content_type.to_owned(), text })
}

#[derive(Debug)]
struct Scrape {
    mount: MountNumbers,
    plane: PlaneNumbers,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families(encoder);
        self.state(&mut out)?;
        requests(&self.mount.device, &mut out)?;
        self.data(&mut out)?;
        calls(&self.mount.device, &mut out)?;
        queues(&self.mount.device, &mut out)?;
        self.daemon(&mut out)
    }
}

/// A family's name, without prefix, unit and suffix, and its sentence.
type Family<'a> = (&'a str, &'a str);

/// Encodes family after family.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn gauge(&mut self, (name, help): Family<'_>, value: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauge_of(
        &mut self,
        (name, help): Family<'_>,
        unit: Unit,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?;
        family.encode_gauge(&value)
    }

    fn gauges<W: AsRef<str>>(
        &mut self,
        (name, help): Family<'_>,
        label: &str,
        values: impl IntoIterator<Item = (W, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (word, value) in values {
            family.encode_family(&[(label, word.as_ref())])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, (name, help): Family<'_>, value: u64) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn bytes(&mut self, (name, help): Family<'_>, value: u64) -> fmt::Result {
        let unit = Some(&Unit::Bytes);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters<W: AsRef<str>>(
        &mut self,
        (name, help): Family<'_>,
        label: &str,
        values: impl IntoIterator<Item = (W, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (word, value) in values {
            let labels = [(label, word.as_ref())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn seconds(&mut self, (name, help): Family<'_>, view: &HistogramView) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(view.sum_s, view.count(), &view.buckets, None)
    }

    fn seconds_by<'v>(
        &mut self,
        (name, help): Family<'_>,
        label: &str,
        views: impl IntoIterator<Item = (&'v str, &'v HistogramView)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (word, view) in views {
            let labels = [(label, word)];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_histogram::<NoLabelSet>(view.sum_s, view.count(), &view.buckets, None)?;
        }
        Ok(())
    }

    fn info(&mut self, (name, help): Family<'_>, label: &str, value: &str) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        family.encode_info(&[(label, value)])
    }
}

/// The protocol's own word of an enumeration's value.
fn word(value: &impl Serialize) -> Result<String, fmt::Error> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Ok(word),
        Ok(_) | Err(_) => Err(fmt::Error),
    }
}

impl Scrape {
    fn state(&self, out: &mut Families<'_>) -> fmt::Result {
        let (mount, device) = (&self.mount, &self.mount.device);
        let states =
            State::ALL.iter().map(|state| Ok((word(state)?, u64::from(*state == device.state))));
        let states = states.collect::<Result<Vec<_>, fmt::Error>>()?;
        out.gauges(
            ("state", "1 for the state the device is in, 0 for the others"),
            "state",
            states,
        )?;
        out.gauge_of(
            ("state_change_timestamp", "When it came into this state, in Unix time"),
            Unit::Seconds,
            mount.state_since_unix_s,
        )?;
        let mounted = ("mounted", "1 while the mount point is in the namespace");
        out.gauge(mounted, u64::from(mount.mounted))?;
        let in_flight = ("requests_in_flight", "Requests inside the gate, closes included");
        out.gauge(in_flight, device.requests_in_flight)?;
        let handles = [
            ("handle", device.open_files),
            ("directory", device.open_directories),
            ("detached", device.detached),
        ];
        let open = "Handles in the table; nobody waits for a detached one";
        out.gauges(("open_handles", open), "kind", handles)?;
        let survivors = "Open handles of an earlier generation, that no start has reclaimed";
        out.gauge(("survivors", survivors), device.survivors)?;
        let unsent = "Bytes handed over by programs and not on the server";
        out.gauge_of(("unsent", unsent), Unit::Bytes, device.unsent_bytes)
    }

    fn data(&self, out: &mut Families<'_>) -> fmt::Result {
        let (mount, device) = (&self.mount, &self.mount.device);
        out.bytes(("read", "Bytes handed to readers"), device.read_bytes)?;
        let written = "Bytes taken from writers, page write-back included";
        out.bytes(("written", written), device.written_bytes)?;
        let back = "Of these, page write-back";
        out.bytes(("written_back", back), device.written_back_bytes)?;
        let losses = "Losses: acknowledged data that was given up on";
        out.counter(("losses", losses), device.losses)?;
        out.bytes(("lost", "Bytes of these losses"), device.lost_bytes)?;
        let arrived = "Losses whose data reached the server after all, by themselves";
        out.counter(("losses_arrived", arrived), device.arrived)?;
        let files = "Files with writes that did not reach the server and are kept, to be replayed";
        out.gauge(("unsent_files", files), mount.unsent_files)?;
        let bytes = "Bytes of these writes";
        out.gauge_of(("unsent_files", bytes), Unit::Bytes, mount.unsent_files_bytes)
    }

    fn daemon(&self, out: &mut Families<'_>) -> fmt::Result {
        let (mount, plane) = (&self.mount, &self.plane);
        let defects = [
            ("unanswered", mount.device.unanswered),
            ("panic", mount.device.panics),
            ("front", mount.front_defects),
        ];
        let help =
            "Defects: requests dropped unanswered, panics in a mini-redirector, in the front";
        out.counters(("defects", help), "kind", defects)?;
        out.gauge(("control_clients", "Clients of the control socket"), plane.clients)?;
        let most = CONTROL_CLIENTS_MAX as u64;
        out.gauge(("control_clients_max", "How many there may be, root's included"), most)?;
        let refused = ("control_clients_refused", "Clients that were turned away");
        out.counter(refused, plane.clients_refused)?;
        let calls = "Calls of the control socket and of remote management";
        out.counter(("management_calls", calls), plane.calls)?;
        let refused = "Calls that were not begun: too many, or not listening";
        out.counter(("management_calls_refused", refused), plane.calls_refused)?;
        out.counter(("events", "Events published"), plane.events)?;
        out.gauge(("threads", "Threads of the daemon"), threads::live() as u64)?;
        let abandoned = "Threads given up on, stuck in a server that does not answer";
        out.counter(("threads_abandoned", abandoned), threads::abandoned() as u64)?;
        let began = ("start_time", "When the daemon began, in Unix time");
        out.gauge_of(began, Unit::Seconds, mount.began_unix_s)?;
        let redirector = "The mini-redirector";
        out.info(("mount", redirector), "redirector", &mount.redirector)?;
        out.info(("build", "The daemon's version"), "version", &mount.version)
    }
}

fn requests(device: &DeviceNumbers, out: &mut Families<'_>) -> fmt::Result {
    let each = |of: fn(&OperationNumbers) -> u64| {
        device.operations.iter().map(move |operation| (operation.word, of(operation)))
    };
    let refused = "Requests the gate refused; they are in no other number";
    out.counters(("refused_requests", refused), "op", each(|operation| operation.refused))?;
    let failed = "Requests answered with an error, whichever: a name that is not there, too";
    out.counters(("failed_requests", failed), "op", each(|operation| operation.failed))?;
    let outcomes = [
        ("completed", device.completed),
        ("cancelled", device.cancelled),
        ("timed_out", device.timed_out),
        ("abandoned", device.abandoned),
    ];
    let answered = "Requests answered, by how they ended";
    out.counters(("requests", answered), "outcome", outcomes)?;
    let late = "Results that came when the caller had been answered already";
    out.counter(("late_results", late), device.late)?;
    let latency = device.operations.iter().map(|operation| (operation.word, &operation.latency));
    let help = "From the arrival of a request that passed the gate to its answer";
    out.seconds_by(("request_duration", help), "op", latency)
}

fn calls(device: &DeviceNumbers, out: &mut Families<'_>) -> fmt::Result {
    let by_result = |calls: &CallNumbers, but: &[CallResult]| {
        let results = calls.results.iter().filter(|(result, _)| !but.contains(result));
        results.map(|(result, count)| Ok((word(result)?, *count))).collect::<Result<Vec<_>, _>>()
    };
    let mut stops = by_result(&device.stops, &[CallResult::AlreadyStarted])?;
    stops.push(("busy".to_owned(), device.stops.busy));
    let help = "Stops that have ended; busy: refused because handles were open, nothing changed";
    out.counters(("stops", help), "result", stops)?;
    let help = "From the call of a stop to its result; without already_stopped and busy";
    out.seconds(("stop_duration", help), &device.stops.durations)?;
    let of_stops = [CallResult::HasOpenHandles, CallResult::Lost];
    let starts = by_result(&device.starts, &of_stops)?;
    out.counters(("starts", "Starts that have ended"), "result", starts)?;
    let help =
        "From the call of a start to its result; without already_started and already_stopped";
    out.seconds(("start_duration", help), &device.starts.durations)?;
    let deadlines = device.deadlines.iter();
    let deadlines = deadlines.map(|(policy, count)| Ok((word(policy)?, *count)));
    let deadlines = deadlines.collect::<Result<Vec<_>, fmt::Error>>()?;
    let help = "Stops whose deadline passed, by what they did then";
    out.counters(("stop_deadlines_passed", help), "on_deadline", deadlines)?;
    let overdue = ("stop_overdue", "1 while a stop goes on after its deadline");
    out.gauge(overdue, u64::from(device.stop_runs && device.deadline_passed))?;
    let running = [("stop", device.stop_runs), ("start", device.start_runs)];
    let running = running.map(|(kind, runs)| (kind, u64::from(runs)));
    out.gauges(("calls_running", "1 while a stop or start runs"), "kind", running)?;
    let waiting = "Stops and starts that wait for the one that runs";
    out.gauge(("calls_waiting", waiting), device.calls_waiting)
}

fn queues(device: &DeviceNumbers, out: &mut Families<'_>) -> fmt::Result {
    let lanes = |of: fn(&crate::base::queue::Account) -> u64| {
        device.lanes.iter().map(move |(lane, account)| (*lane, of(account)))
    };
    let jobs = "Requests that wait for a worker of the file system process";
    let waiting = lanes(|account| account.posted_total.saturating_sub(account.taken_total));
    out.gauges(("lane_jobs", jobs), "lane", waiting)?;
    let posted = "Requests posted to the file system process; from 0 again at every start";
    out.counters(("lane_jobs_posted", posted), "lane", lanes(|account| account.posted_total))?;
    let rejected = "Of these, handed back because the queue was full; likewise";
    out.counters(("lane_jobs_rejected", rejected), "lane", lanes(|lane| lane.rejected_total))?;
    out.gauge(("workers", "Workers of the file system process"), device.workers)?;
    let stuck = "Of these, stuck in a mini-redirector";
    out.gauge(("workers_stuck", stuck), device.workers_stuck)?;
    out.gauge(("known_files", "Files the device knows"), device.files_known)?;
    let delayed = "Closes that wait for the next open of their file";
    out.gauge(("delayed_closes", delayed), device.delayed_closes)
}
