//! `Watch`: what changes at a path of the mount, as it happens. Its words, where they come from,
//! and the call.
//!
//! Who may not see paths may not watch: every word of it is one (management.md §2).

use crate::base::limits::{CONTROL_WAIT_SLICE, PAGE_MAX};
use crate::mgmt::events::rfc3339;
use crate::mgmt::proto::Failure;
use crate::mgmt::service::{Call, Interest, Service, Trouble};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is told of a watched path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchKind {
    /// Changes are told from here on: the first word of every watch.
    Watching,
    /// A name appeared.
    Created,
    /// A name vanished.
    Removed,
    /// Content changed.
    Modified,
    /// Attributes changed.
    Attributes,
    /// The share was stopped and started meanwhile, or has another provider: all is to be read
    /// again.
    Resync,
    /// Changes were lost, because there were too many: all is to be read again.
    Overflow,
    /// The path does not lead to what was watched any more: the last word.
    Gone,
}

/// One word of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEvent {
    /// When it was told, RFC 3339 UTC.
    pub at: String,
    /// What.
    pub kind: WatchKind,
    /// Of what: absolute within the mount.
    pub path: String,
    /// The path's bytes in base64, when it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path_bytes: Option<String>,
    /// Of an overflow: how many changes are known to be lost; none when nobody counted them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost: Option<u64>,
}

/// Parameters of `Watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchParameters {
    /// What to watch: absolute within the mount.
    pub path: String,
    /// The path's bytes in base64, when it is not UTF-8; it counts then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
}

/// One reply of `Watch`, of many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchReply {
    /// In order.
    pub events: Vec<WatchEvent>,
}

/// A path as JSON has it: its text, and its bytes where it is none.
#[must_use]
pub fn path_fields(path: &[u8]) -> (String, Option<String>) {
    let text = String::from_utf8_lossy(path);
    let lossy = std::str::from_utf8(path).is_err();
    (text.into_owned(), lossy.then(|| STANDARD.encode(path)))
}

impl WatchParameters {
    /// Of this path.
    #[must_use]
    pub fn of(path: &[u8]) -> Self {
        let (path, path_bytes) = path_fields(path);
        Self { path, path_bytes }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        match &self.path_bytes {
            Some(bytes) => STANDARD.decode(bytes).ok(),
            None => Some(self.path.clone().into_bytes()),
        }
    }
}

/// What a watch tells, before it is put into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What.
    pub kind: WatchKind,
    /// Of what: absolute within the mount.
    pub path: Vec<u8>,
    /// Of an overflow: how many are known to be lost.
    pub lost: Option<u64>,
}

/// What came of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextSighting {
    /// This.
    Seen(Sighting),
    /// Nothing yet.
    Timeout,
    /// Nothing more.
    Ended,
    /// Nothing more, and this is why.
    Failed(String),
}

/// A live watch; it ends when it is dropped.
pub trait Sightings: Send {
    /// The next one, waiting up to `limit` for it.
    fn next(&mut self, limit: Duration) -> NextSighting;
}

impl Service {
    /// `Watch`: only with `more`, for nothing is kept of what nobody watches.
    pub(in crate::mgmt) fn watch(
        &self,
        call: &mut Call<'_>,
        parameters: &WatchParameters,
    ) -> Result<(), Trouble> {
        if call.disclosure.hides() {
            let what = "who may not see the paths of this mount may not watch them";
            return Err(Failure::NotPermitted(what.to_owned()).into());
        }
        if !call.more {
            return Err(Trouble::Varlink("ExpectedMore", None));
        }
        let field = if parameters.path_bytes.is_some() { "path_bytes" } else { "path" };
        let path = parameters.bytes().filter(|path| path.first() == Some(&b'/'));
        let path = path.ok_or_else(|| Trouble::parameter(field))?;
        let mut watch = self.control.watch(&path)?;
        loop {
            let interest = call.interest();
            let mut events = Vec::new();
            let mut limit = CONTROL_WAIT_SLICE;
            let ended = loop {
                match watch.next(limit) {
                    NextSighting::Seen(seen) => events.push(self.in_words(&seen)),
                    NextSighting::Timeout => break None,
                    NextSighting::Ended => break Some(Ok(())),
                    NextSighting::Failed(why) => break Some(Err(why)),
                }
                limit = Duration::ZERO;
                if events.len() >= PAGE_MAX {
                    break None;
                }
            };
            let reply = WatchReply { events };
            match (interest, ended) {
                (Interest::Gone, _) => return Err(Trouble::Gone),
                (_, Some(Ok(()))) => return call.finish(&reply),
                (_, Some(Err(why))) => {
                    if !reply.events.is_empty() {
                        call.part(&reply)?;
                    }
                    return Err(Failure::Refused(why).into());
                }
                (Interest::Ending, None) if reply.events.len() < PAGE_MAX => {
                    return call.finish(&reply);
                }
                (Interest::Waiting, None) if reply.events.is_empty() => {}
                (Interest::Waiting | Interest::Ending, None) => call.part(&reply)?,
            }
        }
    }

    fn in_words(&self, seen: &Sighting) -> WatchEvent {
        let (path, path_bytes) = path_fields(&seen.path);
        let at = rfc3339(self.clock.wall());
        WatchEvent { at, kind: seen.kind, path, path_bytes, lost: seen.lost }
    }
}
