//! The text, against its rules and against docs/MANAGEMENT.md.

use crate::common::Host;
use crate::common::null::{Null, NullRedirector};
use crate::text::{Family, scrape, text};
use minirdr::mgmt::proto::MetricsFormat;
use std::collections::BTreeSet;
use std::sync::Arc;

const MANUAL: &str = include_str!("../../docs/MANAGEMENT.md");

fn host() -> Host {
    Host::started(Arc::new(NullRedirector(Null::inline())))
}

/// The row of a family in the table of the manual.
fn row(name: &str, family: &Family) -> String {
    let suffix = match family.kind.as_str() {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let label = |label: &String| match family.labels[label].len() {
        // Where the words are many, they are the operations' or free.
        1 => label.clone(),
        count if count > 8 => format!("{label}: each operation"),
        _ => {
            let words: Vec<_> = family.labels[label].iter().map(String::as_str).collect();
            format!("{label}: {}", words.join(", "))
        }
    };
    let labels: Vec<_> = family.labels.keys().map(label).collect();
    let (kind, help) = (&family.kind, &family.help);
    format!("| `{name}{suffix}` | {kind} | {} | {help} |", labels.join("; "))
}

/// Every family has its row in the manual, in this order, and the manual no other.
#[test]
fn the_table_of_series_is_the_codes() {
    let host = host();
    let families = scrape(&host.device).families;
    let rows: Vec<String> = families.iter().map(|(name, family)| row(name, family)).collect();
    let told: Vec<&str> = MANUAL.lines().filter(|line| line.starts_with("| `minirdr_")).collect();
    let expected = rows.join("\n");
    assert_eq!(told.join("\n"), expected, "docs/MANAGEMENT.md should have:\n{expected}\n");
}

/// S-86: each label but the mount's name is a word of an enumeration, a version or the redirector;
/// there are few enough series; nothing has a path, a process or a user in it.
#[test]
fn s86_labels_are_words_and_series_are_few() {
    let host = host();
    let file = host.lookup(&host.root(), "secret").expect("every name exists");
    drop(file);
    let scrape = scrape(&host.device);
    let allowed = [
        "kind",
        "lane",
        "on_deadline",
        "op",
        "outcome",
        "redirector",
        "result",
        "state",
        "version",
    ];
    for (name, family) in &scrape.families {
        for (label, words) in &family.labels {
            assert!(allowed.contains(&label.as_str()), "{name} has a label {label}");
            let word =
                |word: &String| word.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c));
            assert!(label == "version" || words.iter().all(word), "{name}: {words:?}");
        }
        assert!(
            family.help.chars().next().is_some_and(char::is_uppercase)
                || family.help.starts_with('1')
        );
        assert!(!family.help.contains('\\'), "{name}: the library does not escape it");
        let unit = family.unit.as_ref();
        assert!(unit.is_none_or(|unit| name.ends_with(&format!("_{unit}"))), "{name}");
    }
    assert!(scrape.samples.len() < 700, "{} series", scrape.samples.len());
    assert!(!text(&host.device, MetricsFormat::Openmetrics).contains("secret"));
}

/// A sample with its labels in one order and its numbers written in one way.
fn plainly(line: &str) -> String {
    let (name, value) = line.rsplit_once(' ').expect("a value");
    let (metric, labels) = name.trim_end_matches('}').split_once('{').expect("labels");
    let number = |text: &str| text.parse::<f64>().expect("a number").to_string();
    let mut labels: Vec<String> = labels
        .split(',')
        .map(|label| match label.strip_prefix("le=\"") {
            Some(bound) => format!("le={}", number(bound.trim_end_matches('"'))),
            None => label.to_owned(),
        })
        .collect();
    labels.sort();
    format!("{metric} {} {}", labels.join(","), number(value))
}

/// S-86: the older format has the same samples; its types are those it knows.
#[test]
fn s86_both_formats_say_the_same() {
    let host = host();
    let (new, old) = [MetricsFormat::Openmetrics, MetricsFormat::Prometheus]
        .map(|format| text(&host.device, format))
        .into();
    let samples = |text: &str| {
        // The threads are those of this process, with its other tests.
        let ours = |line: &&str| !line.starts_with('#') && !line.starts_with("minirdr_threads");
        let lines = text.lines().filter(ours);
        lines.map(plainly).collect::<BTreeSet<_>>()
    };
    let (new, text) = (samples(&new), samples(&old));
    let differ: Vec<_> = new.symmetric_difference(&text).collect();
    assert!(differ.is_empty(), "{differ:?}");
    assert!(old.contains("# TYPE minirdr_build_info gauge"));
    assert!(old.contains("# TYPE minirdr_stops_total counter"));
    assert!(!old.contains("# EOF") && !old.contains("# UNIT"));
}
