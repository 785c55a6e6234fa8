//! The record of a mount: `STATE/NAME/mount.json`, there from the moment the mount answers until
//! its daemon ends in order. It says how it was mounted, and whether it runs or was stopped in
//! order. So one that is found without a daemon tells what a crash took away; `minirdr doctor`
//! does.
//!
//! What belongs to a [`ConfigScope`] is one file. Each is replaced as a whole, and is on disk with
//! its name before a stop that asked for it has a result (management.md §3).

use crate::app::unsent::store::{Directory, StoreError};
use crate::base::clock::Clock;
use crate::base::limits::SAVED_BYTES_MAX;
use crate::base::stop::ConfigScope;
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::mgmt::proto::SCHEMA;
use crate::rdbss::saving::ConfigKeeper;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A provider of a mount of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderRecord {
    /// Its name.
    pub name: String,
    /// Where it was shown.
    pub prefixes: Vec<String>,
    /// What it showed.
    pub source: String,
    /// Options of its mini-redirector, each `KEY=VALUE`.
    pub options: Vec<String>,
}

/// How something was mounted, and how it was when this was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MountRecord {
    /// The schema of this file.
    pub schema: String,
    /// The mount's name.
    pub name: String,
    /// What was mounted.
    pub source: String,
    /// The file of its providers, of a mount of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_file: Option<String>,
    /// The providers it had, in order: those of the file, and what commands have changed of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderRecord>,
    /// Where.
    pub mount_point: String,
    /// The options in force, as `-o` takes them.
    pub options: Vec<String>,
    /// The words of remote management, as `mount` takes them.
    pub rpc: Vec<String>,
    /// Successful starts so far.
    pub generation: u64,
    /// Did it run? False: it was stopped in order.
    pub running: bool,
    /// When this was written, in seconds since the Unix epoch.
    pub saved_unix_s: f64,
}

impl MountRecord {
    /// A record of this version, with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: SCHEMA.to_owned(), ..Self::default() }
    }

    /// The record of a mount's state directory; none: its daemon ended in order, or there was none.
    ///
    /// # Errors
    /// [`StoreError`]; a file that is none of these is one.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, StoreError> {
        let Some(directory) = Directory::state(state_dir)? else { return Ok(None) };
        let name = file_name(ConfigScope::Mount);
        let content = match directory.read(name, SAVED_BYTES_MAX) {
            Ok(content) => content,
            Err(StoreError::System { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&content).map(Some).map_err(|error| StoreError::System {
            action: "reading",
            path: state_dir.join(name),
            source: error.into(),
        })
    }

    /// The command that mounts it again, word by word.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let what = match &self.config_file {
            Some(file) => vec!["--config", file, &self.mount_point],
            None => vec![&*self.source, &*self.mount_point],
        };
        let words = ["minirdr", "mount"].into_iter().chain(what).chain(["--name", &self.name]);
        let mut words: Vec<String> = words.map(str::to_owned).collect();
        // As every mount is, unless told otherwise.
        let usual = |word: &&String| !matches!(word.as_str(), "rw" | "nosuid" | "nodev");
        let options: Vec<&str> = self.options.iter().filter(usual).map(String::as_str).collect();
        if !options.is_empty() {
            words.extend(["-o".to_owned(), options.join(",")]);
        }
        words.extend(self.rpc.iter().cloned());
        words
    }
}

/// The file of a scope.
const fn file_name(scope: ConfigScope) -> &'static str {
    match scope {
        ConfigScope::Mount => "mount.json",
    }
}

/// The scopes there are.
const SCOPES: [ConfigScope; 1] = [ConfigScope::Mount];

/// What a scope's file is to hold now.
pub type Content = Box<dyn Fn(ConfigScope) -> Option<Vec<u8>> + Send + Sync>;

#[derive(Default)]
struct State {
    /// Scopes that are to be written: bounded by those there are.
    queue: BTreeSet<ConfigScope>,
    busy: bool,
    closed: bool,
    /// Something was asked to be kept.
    asked: bool,
    /// Why a scope's file is not what it should be.
    failed: BTreeMap<ConfigScope, String>,
}

struct Shared {
    content: Content,
    state_dir: PathBuf,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Condvar,
}

/// Writes the files, on a thread of its own.
pub struct Saver {
    shared: Arc<Shared>,
    thread: Mutex<Option<Thread>>,
}

impl std::fmt::Debug for Saver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Saver").field("state_dir", &self.shared.state_dir).finish_non_exhaustive()
    }
}

/// How long the end of a daemon waits for a disk.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

impl Saver {
    /// One for the mount with this state directory.
    ///
    /// # Errors
    /// The system's, when it has no room for a thread.
    pub fn start(
        state_dir: PathBuf,
        clock: Arc<dyn Clock>,
        content: Content,
    ) -> std::io::Result<Arc<Self>> {
        let state = Mutex::new(Rank::Leaf, State::default());
        let shared = Arc::new(Shared { content, state_dir, clock, state, changed: Condvar::new() });
        let worker = Arc::clone(&shared);
        let thread = threads::spawn("saver", move || worker.run())?;
        Ok(Arc::new(Self { shared, thread: Mutex::new(Rank::Host, Some(thread)) }))
    }

    /// Ends the thread when all is written; one that hangs in a disk is given up on. With `forget`
    /// the files go: the daemon ends in order, and there is nothing to tell.
    pub fn close(&self, forget: bool) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_all();
        let Some(thread) = self.thread.lock().take() else { return };
        if !self.shared.wait_until_written(CLOSE_WAIT) {
            log::error!("{}: cannot be written in time", self.shared.state_dir.display());
            return thread.abandon();
        }
        thread.join();
        // What was never asked for is another daemon's, or nobody's.
        let forget = forget && self.shared.state.lock().asked;
        if forget && let Err(error) = self.shared.forget() {
            log::warn!("{}", error.line());
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.close(false);
    }
}

impl ConfigKeeper for Saver {
    fn save(&self, scope: ConfigScope) {
        let mut state = self.shared.state.lock();
        // Nothing is written any more: whoever settled then would wait for nothing.
        if state.closed {
            return;
        }
        state.queue.insert(scope);
        state.asked = true;
        drop(state);
        self.shared.changed.notify_all();
    }

    fn settle(&self, limit: Duration) -> Result<(), String> {
        if !self.shared.wait_until_written(limit) {
            let (place, seconds) = (self.shared.state_dir.display(), limit.as_secs());
            return Err(format!("{place}: not on disk after {seconds} s"));
        }
        let failed = self.shared.state.lock().failed.clone();
        failed.into_values().next().map_or(Ok(()), Err)
    }
}

impl Shared {
    fn wait_until_written(&self, limit: Duration) -> bool {
        let until = self.clock.now().after(limit);
        let mut state = self.state.lock();
        while state.busy || !state.queue.is_empty() {
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return false;
            }
            self.changed.wait_for(&mut state, left);
        }
        true
    }

    /// The thread's body.
    fn run(&self) {
        loop {
            let batch = {
                let mut state = self.state.lock();
                while state.queue.is_empty() && !state.closed {
                    self.changed.wait(&mut state);
                }
                if state.queue.is_empty() {
                    return;
                }
                state.busy = true;
                std::mem::take(&mut state.queue)
            };
            // As it is when it is written: one thread writes, so what is on disk is never older
            // than what was asked for last.
            let write = |scope| {
                let content = (self.content)(scope);
                (scope, content.map_or(Ok(()), |content| self.write(scope, &content)))
            };
            let written: Vec<_> = batch.into_iter().map(write).collect();
            {
                let mut state = self.state.lock();
                state.busy = false;
                for (scope, result) in written {
                    match result {
                        Ok(()) => drop(state.failed.remove(&scope)),
                        Err(error) => drop(state.failed.insert(scope, error.line())),
                    }
                }
            }
            self.changed.notify_all();
        }
    }

    fn write(&self, scope: ConfigScope, content: &[u8]) -> Result<(), StoreError> {
        Directory::make_state(&self.state_dir)?.replace(file_name(scope), content)
    }

    fn forget(&self) -> Result<(), StoreError> {
        let Some(directory) = Directory::state(&self.state_dir)? else { return Ok(()) };
        for scope in SCOPES {
            directory.remove(file_name(scope))?;
        }
        drop(directory);
        // The directory goes where nothing else is in it; else it stays.
        let _ = std::fs::remove_dir(&self.state_dir);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
