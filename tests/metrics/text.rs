//! A scrape, read back.

use minirdr::mgmt::metrics::{MountNumbers, PlaneNumbers, encode};
use minirdr::mgmt::proto::MetricsFormat;
use minirdr::rdbss::device::Device;
use std::collections::{BTreeMap, BTreeSet};

/// A family: its type, unit and sentence, and the labels of its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    pub kind: String,
    pub unit: Option<String>,
    pub help: String,
    /// Without the mount's name and `le`.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

/// A scrape of OpenMetrics text.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// By name, in the order they come.
    pub families: Vec<(String, Family)>,
    /// Each sample as it is written, `name{label="value"}`, without the mount's name.
    pub samples: BTreeMap<String, f64>,
}

/// What a device says, by name `bk`.
pub fn text(device: &Device, format: MetricsFormat) -> String {
    let numbers = MountNumbers {
        name: "bk".to_owned(),
        redirector: "null".to_owned(),
        version: "1.2.3".to_owned(),
        device: device.numbers(),
        ..MountNumbers::default()
    };
    encode(numbers, PlaneNumbers::default(), format).expect("every value has a word").text
}

/// The same, read.
pub fn scrape(device: &Device) -> Scrape {
    read(&text(device, MetricsFormat::Openmetrics))
}

/// Reads OpenMetrics text, and panics at what is none.
pub fn read(text: &str) -> Scrape {
    let mut scrape = Scrape::default();
    let lines = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    for line in lines.lines() {
        match line.strip_prefix("# ") {
            Some(metadata) => scrape.describe(metadata),
            None => scrape.sample(line),
        }
    }
    scrape
}

impl Scrape {
    fn describe(&mut self, metadata: &str) {
        let (what, rest) = metadata.split_once(' ').expect("a keyword");
        let (name, value) = rest.split_once(' ').expect("a name");
        if what == "HELP" {
            let known = self.families.iter().any(|(other, _)| other == name);
            assert!(!known, "{name} comes twice");
            let family = Family { help: value.to_owned(), ..Family::default() };
            return self.families.push((name.to_owned(), family));
        }
        let (last, family) = self.families.last_mut().expect("HELP comes first");
        assert_eq!(last, name, "families are not mixed");
        match what {
            "TYPE" => family.kind = value.to_owned(),
            "UNIT" => family.unit = Some(value.to_owned()),
            other => panic!("{other}?"),
        }
    }

    fn sample(&mut self, line: &str) {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        let (metric, labels) = name.split_once('{').expect("labels");
        let labels = labels.strip_suffix('}').expect("closed");
        let labels = labels.strip_prefix("mount=\"bk\"").expect("the mount comes first");
        let labels = labels.trim_start_matches(',');
        let (last, family) = self.families.last_mut().expect("a family");
        let suffix = metric.strip_prefix(last.as_str()).expect("of this family");
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line}: a {}", family.kind);
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once('=').expect("a label");
            if label != "le" {
                let words = family.labels.entry(label.to_owned()).or_default();
                words.insert(value.trim_matches('"').to_owned());
            }
        }
        let key =
            if labels.is_empty() { metric.to_owned() } else { format!("{metric}{{{labels}}}") };
        let value = value.parse().expect("a number");
        assert_eq!(self.samples.insert(key, value), None, "{line} comes twice");
    }

    /// A sample's value.
    #[track_caller]
    pub fn get(&self, sample: &str) -> f64 {
        let Some(value) = self.samples.get(sample) else {
            panic!("no {sample} in {:#?}", self.samples.keys());
        };
        *value
    }

    /// The samples of a metric, added up.
    pub fn sum(&self, metric: &str) -> f64 {
        let of = |key: &str| key.split('{').next() == Some(metric);
        self.samples.iter().filter(|(key, _)| of(key)).map(|(_, value)| value).sum()
    }
}
