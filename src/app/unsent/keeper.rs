//! The one thread that changes the directory of what is unsent while a daemon runs: what is lost is
//! queued by whoever finds out, and written there by it, with no lock held.

use crate::app::unsent::store::{Store, StoreError};
use crate::base::clock::Clock;
use crate::base::ids::LossNumber;
use crate::base::limits::{LOSSES_SETTLE_WAIT, UNSENT_BYTES_MAX, UNSENT_ENTRIES_MAX};
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::base::unsent::{UnsentEntry, UnsentSummary};
use crate::rdbss::notice::{Kept, LossKeeper, LostWrite};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Losses of this daemon whose fate is remembered: a late answer may still come for each.
const FATES_MAX: usize = 2 * UNSENT_ENTRIES_MAX;

/// Something to do in the directory.
enum Job {
    Keep(LossNumber, Box<LostWrite>),
    Arrived(LossNumber),
    Remove(Vec<u64>),
    /// A replay has written to the file of these entries: this is how it left it.
    Unchanged(Vec<u64>, f64),
}

/// What became of a loss.
#[derive(Clone, Debug)]
struct Fate {
    kept: Kept,
    /// The entry it is.
    entry: Option<u64>,
}

#[derive(Default)]
struct State {
    /// Bounded by `entries` and `bytes`, of which each job that keeps something has its part; each
    /// other job is about something kept before.
    queue: VecDeque<Job>,
    /// Entries and bytes that are kept or are about to be.
    entries: usize,
    bytes: u64,
    busy: bool,
    closed: bool,
    /// It was said that nothing can be kept.
    complained: bool,
    /// The mount is up. What is wrong before is told then: a mount that fails has one line to say.
    mounted: bool,
    /// What is to be told then.
    complaint: Option<String>,
    /// A replay or discard runs.
    settling: bool,
    summary: UnsentSummary,
    fates: BTreeMap<LossNumber, Fate>,
}

struct Shared {
    name: String,
    state_dir: PathBuf,
    clock: Arc<dyn Clock>,
    store: OnceLock<Store>,
    state: Mutex<State>,
    changed: Condvar,
}

/// Keeps what is lost. Ends its thread, with everything written, when dropped.
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Mutex<Option<Thread>>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Keeper")
            .field("state_dir", &self.shared.state_dir)
            .finish_non_exhaustive()
    }
}

/// A replay or discard that runs; there is one at a time.
pub struct Settling<'keeper>(&'keeper Keeper);

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        self.0.shared.state.lock().settling = false;
    }
}

impl Keeper {
    /// A keeper for the mount of this name. What was kept before is found; the directory is made
    /// when there is something to keep. A directory that cannot be used is warned of once, and
    /// nothing else fails.
    ///
    /// # Errors
    /// The system's, when it has no room for a thread.
    pub fn start(
        name: String,
        state_dir: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            name,
            state_dir,
            clock,
            store: OnceLock::new(),
            state: Mutex::new(Rank::Leaf, State::default()),
            changed: Condvar::new(),
        });
        match Store::open(&shared.state_dir) {
            Ok(Some(store)) => {
                match store.entries() {
                    Ok(entries) => shared.count(&entries),
                    Err(error) => shared.complain(&error),
                }
                let _ = shared.store.set(store);
            }
            Ok(None) => {}
            Err(error) => shared.complain(&error),
        }
        let worker = shared.clone();
        let thread = threads::spawn("unsent", move || worker.run())?;
        Ok(Arc::new(Self { shared, thread: Mutex::new(Rank::Host, Some(thread)) }))
    }

    /// The mount is up: from here on what is wrong with the directory is told at once, and what was
    /// wrong before is told now.
    pub fn mounted(&self) {
        self.shared.state.lock().mounted = true;
        self.shared.tell_complaint();
    }

    /// Files and bytes kept and not on the server.
    #[must_use]
    pub fn summary(&self) -> UnsentSummary {
        self.shared.state.lock().summary
    }

    /// What is kept, in order of arrival.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entries(&self) -> Result<Vec<UnsentEntry>, StoreError> {
        self.shared.store.get().map_or(Ok(Vec::new()), Store::entries)
    }

    /// The bytes of an entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn data(&self, entry: &UnsentEntry) -> Result<Vec<u8>, StoreError> {
        match self.shared.store.get() {
            Some(store) => store.data(entry),
            None => Err(StoreError::System {
                action: "opening",
                path: self.shared.state_dir.clone(),
                source: std::io::ErrorKind::NotFound.into(),
            }),
        }
    }

    /// Begins a replay or discard; none: one runs already.
    #[must_use]
    pub fn begin(&self) -> Option<Settling<'_>> {
        let mut state = self.shared.state.lock();
        if std::mem::replace(&mut state.settling, true) {
            return None;
        }
        drop(state);
        Some(Settling(self))
    }

    /// Queues: keep these no longer.
    pub fn remove(&self, numbers: Vec<u64>) {
        self.shared.push(Job::Remove(numbers));
    }

    /// Queues: a replay has left the file of these entries as it was at this time.
    pub fn unchanged(&self, numbers: Vec<u64>, unix_s: f64) {
        self.shared.push(Job::Unchanged(numbers, unix_s));
    }

    /// Writes what is queued and ends the thread; one that hangs in a disk is given up on.
    pub fn close(&self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_all();
        let Some(thread) = self.thread.lock().take() else { return };
        if self.settle(LOSSES_SETTLE_WAIT) {
            thread.join();
        } else {
            log::error!("{}: what is unsent could not be written in time", self.shared.name);
            thread.abandon();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.close();
    }
}

impl LossKeeper for Keeper {
    fn keep(&self, number: LossNumber, lost: LostWrite) {
        let mut state = self.shared.state.lock();
        let bytes = lost.data.as_ref().map_or(0, |data| data.len() as u64);
        let room = state.entries < UNSENT_ENTRIES_MAX && state.bytes + bytes <= UNSENT_BYTES_MAX;
        if !room {
            let mebibytes = UNSENT_BYTES_MAX / (1024 * 1024);
            let why = format!("{UNSENT_ENTRIES_MAX} writes or {mebibytes} MiB are kept already");
            drop(state);
            self.shared.decide(number, Fate::not_kept(None, why));
            return;
        }
        state.entries += 1;
        state.bytes += bytes;
        state.queue.push_back(Job::Keep(number, Box::new(lost)));
        drop(state);
        self.shared.changed.notify_all();
    }

    fn arrived(&self, number: LossNumber) {
        self.shared.push(Job::Arrived(number));
    }

    fn settle(&self, limit: Duration) -> bool {
        let until = self.shared.clock.now().after(limit);
        let mut state = self.shared.state.lock();
        while state.busy || !state.queue.is_empty() {
            let left = until.since(self.shared.clock.now());
            if left.is_zero() {
                return false;
            }
            self.shared.changed.wait_for(&mut state, left);
        }
        true
    }

    fn kept(&self, number: LossNumber) -> Kept {
        let state = self.shared.state.lock();
        state.fates.get(&number).map(|fate| fate.kept.clone()).unwrap_or_default()
    }
}

impl Fate {
    fn not_kept(command: Option<String>, why: String) -> Self {
        Self { kept: Kept { command, file: None, why_not: Some(why) }, entry: None }
    }
}

impl Shared {
    /// Counts what is there, and what waits to be.
    fn count(&self, entries: &[UnsentEntry]) {
        let mut state = self.state.lock();
        state.summary = UnsentSummary::of(entries);
        state.entries = entries.len();
        let kept = entries.iter().filter(|entry| entry.kept_in.is_some());
        state.bytes = kept.map(|entry| entry.bytes).sum();
        let (entries, bytes) = state
            .queue
            .iter()
            .map(Job::room)
            .fold((0, 0), |sum, room| (sum.0 + room.0, sum.1 + room.1));
        state.entries += entries;
        state.bytes += bytes;
    }

    fn complain(&self, error: &StoreError) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.complained, true) {
            return;
        }
        state.complaint = Some(error.line());
        let mounted = state.mounted;
        drop(state);
        if mounted {
            self.tell_complaint();
        }
    }

    fn tell_complaint(&self) {
        let complaint = self.state.lock().complaint.take();
        if let Some(line) = complaint {
            let name = &self.name;
            log::warn!("{name}: what a stop cannot save will be named, but not kept: {line}");
        }
    }

    fn push(&self, job: Job) {
        self.state.lock().queue.push_back(job);
        self.changed.notify_all();
    }

    fn decide(&self, number: LossNumber, fate: Fate) {
        let mut state = self.state.lock();
        state.fates.insert(number, fate);
        if state.fates.len() > FATES_MAX {
            state.fates.pop_first();
        }
    }

    /// The thread's body.
    fn run(&self) {
        loop {
            let batch: Vec<Job> = {
                let mut state = self.state.lock();
                while state.queue.is_empty() && !state.closed {
                    self.changed.wait(&mut state);
                }
                if state.queue.is_empty() {
                    return;
                }
                state.busy = true;
                state.queue.drain(..).collect()
            };
            self.work(batch);
            self.state.lock().busy = false;
            self.changed.notify_all();
        }
    }

    /// Does what was queued; told only when it is on disk.
    fn work(&self, batch: Vec<Job>) {
        let mut fates = Vec::new();
        for job in batch {
            match job {
                Job::Keep(number, lost) => fates.push((number, self.keep(*lost))),
                Job::Arrived(number) => {
                    let known = self.state.lock().fates.get(&number).cloned();
                    let fresh = fates.iter().find(|(fresh, _)| *fresh == number);
                    let fate = known.as_ref().or(fresh.map(|(_, fate)| fate));
                    if let Some(entry) = fate.and_then(|fate| fate.entry) {
                        self.change(&[entry], |entry| entry.arrived = true);
                    }
                }
                Job::Remove(numbers) => {
                    let Some(store) = self.store.get() else { continue };
                    for number in numbers {
                        self.say(store.remove(number));
                    }
                }
                Job::Unchanged(numbers, unix_s) => {
                    // Never back: a file older than the loss has not changed since.
                    self.change(&numbers, |entry| {
                        entry.unchanged_unix_s = entry.unchanged_unix_s.max(unix_s);
                    });
                }
            }
        }
        let Some(store) = self.store.get() else {
            return fates.into_iter().for_each(|(number, fate)| self.decide(number, fate));
        };
        let synced = store.sync().map_err(|error| error.line());
        for (number, fate) in fates {
            self.decide(
                number,
                match &synced {
                    Ok(()) => fate,
                    Err(line) => Fate::not_kept(fate.kept.command, line.clone()),
                },
            );
        }
        match store.entries() {
            Ok(entries) => self.count(&entries),
            Err(error) => self.say(Err(error)),
        }
    }

    fn keep(&self, lost: LostWrite) -> Fate {
        let command = command(lost.written_by.pid);
        if self.store.get().is_none() {
            match Store::make(&self.state_dir) {
                // Counted at the end of the batch. Nobody but this thread sets it.
                Ok(store) => drop(self.store.set(store)),
                Err(error) => {
                    self.complain(&error);
                    return Fate::not_kept(command, error.line());
                }
            }
        }
        let Some(store) = self.store.get() else {
            return Fate::not_kept(command, "its directory is gone".to_owned());
        };
        let mut entry = UnsentEntry {
            number: 0,
            path: lost.path,
            file_number: lost.identity.number,
            file_generation: lost.identity.generation,
            offset: lost.span.map(|span| span.offset),
            bytes: lost.bytes,
            append: lost.append,
            error: lost.error,
            written_by: lost.written_by,
            command: command.clone(),
            lost_unix_s: lost.lost_unix_s,
            unchanged_unix_s: lost.lost_unix_s,
            arrived: false,
            kept_in: None,
        };
        match store.add(&mut entry, lost.data.as_deref()) {
            Ok(()) => {
                let missing = || "its bytes were not at hand".to_owned();
                let why_not = entry.kept_in.is_none().then(missing);
                let kept = Kept { command, file: entry.kept_in, why_not };
                Fate { kept, entry: Some(entry.number) }
            }
            Err(error) => {
                log::error!("{}: {}", self.name, error.line());
                Fate::not_kept(command, error.line())
            }
        }
    }

    /// Changes the records of entries that are there still.
    fn change(&self, numbers: &[u64], change: impl Fn(&mut UnsentEntry)) {
        let Some(store) = self.store.get() else { return };
        let entries = match store.entries() {
            Ok(entries) => entries,
            Err(error) => return self.say(Err(error)),
        };
        for mut entry in entries.into_iter().filter(|entry| numbers.contains(&entry.number)) {
            change(&mut entry);
            self.say(store.put(&entry));
        }
    }

    fn say(&self, done: Result<(), StoreError>) {
        if let Err(error) = done {
            log::error!("{}: {}", self.name, error.line());
        }
    }
}

impl Job {
    /// Entries and bytes it will take.
    fn room(&self) -> (usize, u64) {
        match self {
            Self::Keep(_, lost) => (1, lost.data.as_ref().map_or(0, |data| data.len() as u64)),
            Self::Arrived(_) | Self::Remove(_) | Self::Unchanged(..) => (0, 0),
        }
    }
}

/// A process's command name, if it is there still.
fn command(pid: u32) -> Option<String> {
    if pid == 0 {
        return None;
    }
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests;
