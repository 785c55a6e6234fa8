//! What a mount could not put on its server and keeps: one entry a write, as it is on disk, in the
//! control protocol and in `--json`.

use crate::base::ids::Caller;
use crate::base::stop::path_text;
use serde::{Deserialize, Serialize};

/// One write that did not reach the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnsentEntry {
    /// Its number: in order of arrival.
    pub number: u64,
    /// The file's path below the mount's root.
    #[serde(flatten, with = "path_text")]
    pub path: Vec<u8>,
    /// Which file, as its server numbers it; 0: not known.
    pub file_number: u64,
    /// Tells two files of one number apart.
    pub file_generation: u64,
    /// Where the bytes belong; none: not known.
    pub offset: Option<u64>,
    /// How many.
    pub bytes: u64,
    /// They were appended: they belong at the end of the file, wherever that is.
    pub append: bool,
    /// Why they did not get there.
    pub error: String,
    /// Who wrote them, as the kernel said; pid 0: not known.
    pub written_by: Caller,
    /// The writer's command name, where it could still be read.
    pub command: Option<String>,
    /// When they were given up, in seconds since the Unix epoch.
    pub lost_unix_s: f64,
    /// A file that changed after this is not written to unless forced. Later than the loss only
    /// when a replay itself has written to the file.
    pub unchanged_unix_s: f64,
    /// They reached the server after all: the answer came late. Never replayed.
    pub arrived: bool,
    /// The file that has the bytes; none: they were not at hand.
    pub kept_in: Option<String>,
}

/// What a replay or discard did with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnsentResult {
    /// It is on the server, and no longer kept.
    Replayed,
    /// It was there already, and is no longer kept.
    Arrived,
    /// It is kept no longer, and is not on the server.
    Discarded,
    /// It is kept as before.
    Failed,
}

/// One entry, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsentOutcome {
    /// The entry's number.
    pub number: u64,
    /// The file's path.
    #[serde(flatten, with = "path_text")]
    pub path: Vec<u8>,
    /// How many bytes.
    pub bytes: u64,
    /// What became of it.
    pub result: UnsentResult,
    /// Why it failed.
    pub error: Option<String>,
}

impl UnsentOutcome {
    /// What became of `entry`.
    #[must_use]
    pub fn of(entry: &UnsentEntry, result: UnsentResult, error: Option<String>) -> Self {
        Self { number: entry.number, path: entry.path.clone(), bytes: entry.bytes, result, error }
    }
}

/// Files and bytes that are kept and not on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnsentSummary {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

impl UnsentSummary {
    /// Of these entries.
    #[must_use]
    pub fn of(entries: &[UnsentEntry]) -> Self {
        let missing = || entries.iter().filter(|entry| !entry.arrived);
        let files: std::collections::BTreeSet<&[u8]> =
            missing().map(|entry| entry.path.as_slice()).collect();
        Self { files: files.len() as u64, bytes: missing().map(|entry| entry.bytes).sum() }
    }
}
