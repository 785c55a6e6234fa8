//! The way back to the server: each kept write through the normal core, file by file, oldest first.
//!
//! A file is found by its path and must be the one that was written to, unchanged since. What was
//! written is committed and on the server's disk before its entry goes; what could not be written
//! stays, and so does what came after it for the same file.

use crate::app::unsent::keeper::Keeper;
use crate::base::clock::Clock;
use crate::base::ids::{Caller, HandleNumber};
use crate::base::limits::{CONTROL_WAIT_SLICE, LOSSES_SETTLE_WAIT, REPLAY_REQUEST_WAIT};
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::base::stop::State;
use crate::base::unsent::{UnsentEntry, UnsentOutcome, UnsentResult};
use crate::rdbss::device::Device;
use crate::rdbss::notice::LossKeeper as _;
use crate::rdbss::objects::number_space::Tag;
use crate::rdbss::operation::operand::{Access, Attributes, OpenOptions, Timestamp};
use crate::rdbss::operation::{Answer, Dispatcher, Node, Operation, Responder, WriteData};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

/// Why a replay or discard did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing serves that could take the data.
    #[error("it is not running: start it, then replay")]
    NotRunning,
    /// One at a time.
    #[error("a replay or discard of its unsent data runs already")]
    Running,
}

/// Where lost data goes: the mount it is of.
pub trait Destination: Sync {
    /// What takes the requests.
    fn dispatcher(&self) -> Arc<dyn Dispatcher>;

    /// The device of a tag; the mount's own for one that is gone.
    fn device_of(&self, tag: Tag) -> Arc<Device>;
}

impl Destination for Arc<Device> {
    fn dispatcher(&self) -> Arc<dyn Dispatcher> {
        self.clone()
    }

    fn device_of(&self, _: Tag) -> Arc<Device> {
        self.clone()
    }
}

/// One replay.
pub struct Replay<'a> {
    /// What the data goes through.
    pub device: &'a dyn Destination,
    /// What has it.
    pub keeper: &'a Keeper,
    /// Time.
    pub clock: &'a Arc<dyn Clock>,
    /// Who asked for it: the requests are his.
    pub caller: Caller,
    /// Also over files that changed since.
    pub force: bool,
}

/// Asked while a request is waited for; false ends the replay.
pub type GoOn<'a> = &'a mut dyn FnMut() -> bool;

/// Removes everything kept.
///
/// # Errors
/// [`Refusal::Running`]; in words, what of the directory could not be read.
pub fn discard(keeper: &Keeper) -> Result<Vec<UnsentOutcome>, String> {
    let Some(_settling) = keeper.begin() else { return Err(Refusal::Running.to_string()) };
    keeper.settle(LOSSES_SETTLE_WAIT);
    let entries = keeper.entries().map_err(|error| error.line())?;
    keeper.remove(entries.iter().map(|entry| entry.number).collect());
    keeper.settle(LOSSES_SETTLE_WAIT);
    let left = keeper.entries().map_err(|error| error.line())?;
    let outcome = |entry: &UnsentEntry| {
        let stays = left.iter().any(|left| left.number == entry.number);
        discarded(entry, stays.then(|| "it could not be removed; the log says why".to_owned()))
    };
    Ok(entries.iter().map(outcome).collect())
}

/// What a discard did with one entry, if nothing went wrong.
#[must_use]
pub fn discarded(entry: &UnsentEntry, error: Option<String>) -> UnsentOutcome {
    let result = match (&error, entry.arrived) {
        (Some(_), _) => UnsentResult::Failed,
        (None, true) => UnsentResult::Arrived,
        (None, false) => UnsentResult::Discarded,
    };
    UnsentOutcome::of(entry, result, error)
}

/// Answers by a channel. Whoever waited may be gone: then a handle must not stay open.
struct Told {
    sender: Sender<Result<Answer, Status>>,
    dispatcher: Arc<dyn Dispatcher>,
}

impl Responder for Told {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        if let Err(unheard) = self.sender.send(answer)
            && let Ok(Answer::Opened(open)) = unheard.0
        {
            let release = Operation::Release { handle: open.handle };
            self.dispatcher.submit(Caller::default(), release, Box::new(Unheard));
        }
    }
}

/// Nobody waits.
struct Unheard;

impl Responder for Unheard {
    fn respond(self: Box<Self>, _answer: Result<Answer, Status>) {}
}

impl Replay<'_> {
    /// Puts what is kept on the server, and says what became of each entry.
    ///
    /// # Errors
    /// In words: [`Refusal`], or what of the directory could not be read. Nothing was done.
    pub fn run(&self, go_on: GoOn<'_>) -> Result<Vec<UnsentOutcome>, String> {
        if self.device.device_of(Tag::SOLE).state() != State::Started {
            return Err(Refusal::NotRunning.to_string());
        }
        let Some(_settling) = self.keeper.begin() else {
            return Err(Refusal::Running.to_string());
        };
        self.keeper.settle(LOSSES_SETTLE_WAIT);
        let entries = self.keeper.entries().map_err(|error| error.line())?;
        let mut outcomes = Vec::with_capacity(entries.len());
        for file in by_file(entries) {
            outcomes.extend(self.file(&file, go_on));
        }
        self.keeper.settle(LOSSES_SETTLE_WAIT);
        Ok(outcomes)
    }

    /// All writes to one file, oldest first.
    fn file(&self, entries: &[UnsentEntry], go_on: GoOn<'_>) -> Vec<UnsentOutcome> {
        let mut outcomes = Vec::new();
        let (here, rest): (Vec<&UnsentEntry>, Vec<&UnsentEntry>) =
            entries.iter().partition(|entry| entry.arrived);
        for entry in &here {
            outcomes.push(UnsentOutcome::of(entry, UnsentResult::Arrived, None));
        }
        if !here.is_empty() {
            self.keeper.remove(here.iter().map(|entry| entry.number).collect());
        }
        let Some(first) = rest.first() else { return outcomes };
        let node = match self.find(first, go_on) {
            Ok(node) => node,
            Err(error) => {
                let failed = |entry: &&UnsentEntry| {
                    UnsentOutcome::of(entry, UnsentResult::Failed, Some(error.clone()))
                };
                outcomes.extend(rest.iter().map(failed));
                return outcomes;
            }
        };
        let mut left = rest.as_slice();
        while let Some(first) = left.first() {
            let alike = left.iter().take_while(|entry| entry.append == first.append).count();
            let (run, after) = left.split_at(alike);
            let (written, error) = self.write_run(&node, run, go_on);
            let (done, undone) = run.split_at(written);
            self.settle(&node, done, &[undone, after].concat(), go_on);
            outcomes.extend(
                done.iter().map(|entry| UnsentOutcome::of(entry, UnsentResult::Replayed, None)),
            );
            if let Some(error) = error {
                let mut error = Some(error);
                outcomes.extend(undone.iter().chain(after).map(|entry| {
                    let before = || "an earlier write to this file was not replayed".to_owned();
                    let error = error.take().unwrap_or_else(before);
                    UnsentOutcome::of(entry, UnsentResult::Failed, Some(error))
                }));
                break;
            }
            left = after;
        }
        outcomes
    }

    /// What was written goes; what is left knows how this replay left the file, whether its writes
    /// came through or not.
    fn settle(&self, node: &Node, done: &[&UnsentEntry], left: &[&UnsentEntry], go_on: GoOn<'_>) {
        let numbers = |entries: &[&UnsentEntry]| entries.iter().map(|entry| entry.number).collect();
        let device = self.device.device_of(Tag::of_node(node.number()));
        device.written_past_the_kernel(node);
        if !done.is_empty() {
            self.keeper.remove(numbers(done));
            device.replayed(node, done.iter().map(|entry| entry.bytes).sum());
        }
        if left.is_empty() {
            return;
        }
        match self.attributes(node, go_on) {
            Ok(now) => self.keeper.unchanged(numbers(left), seconds(now.modified)),
            Err(error) => log::warn!("replay: the file's times: {error}"),
        }
    }

    /// The file, by its path from the root.
    fn find(&self, entry: &UnsentEntry, go_on: GoOn<'_>) -> Result<Node, String> {
        let gone = || match &entry.kept_in {
            Some(file) => format!("the file is gone; its bytes are in {file}"),
            None => "the file is gone".to_owned(),
        };
        if entry.file_number == 0 || entry.path.is_empty() {
            return Err(not_kept(entry));
        }
        let mut node = self.device.dispatcher().root();
        for part in entry.path.split(|byte| *byte == b'/') {
            let name = Name::new(part).map_err(|_| gone())?;
            let lookup = Operation::Lookup { parent: node, name };
            node = match self.call(lookup, go_on) {
                Ok(Answer::Node(found)) => found.node,
                Ok(Answer::Absent) => return Err(gone()),
                Ok(_) => return Err(unexpected()),
                Err(Failed::Status(status))
                    if matches!(status.errno(), Errno::ENOENT | Errno::ENOTDIR) =>
                {
                    return Err(gone());
                }
                Err(failed) => return Err(format!("looking it up: {failed}")),
            };
        }
        if self.force {
            return Ok(node);
        }
        let found = node.identity();
        if (found.number, found.generation) != (entry.file_number, entry.file_generation) {
            return Err("another file is there now; --force writes to it".to_owned());
        }
        let modified = seconds(self.attributes(&node, go_on)?.modified);
        if modified > entry.unchanged_unix_s {
            return Err("the file has changed since; --force writes to it all the same".to_owned());
        }
        Ok(node)
    }

    fn attributes(&self, node: &Node, go_on: GoOn<'_>) -> Result<Attributes, String> {
        let query = Operation::GetAttributes { node: node.clone(), handle: None };
        match self.call(query, go_on) {
            Ok(Answer::Attributes(attributes)) => Ok(attributes),
            Ok(_) => Err(unexpected()),
            Err(failed) => Err(format!("looking at it: {failed}")),
        }
    }

    /// Writes entries of one handle. How many are on the server for good, and why not all.
    fn write_run(
        &self,
        node: &Node,
        run: &[&UnsentEntry],
        go_on: GoOn<'_>,
    ) -> (usize, Option<String>) {
        let options = OpenOptions {
            access: Access::Write,
            append: run.first().is_some_and(|entry| entry.append),
            truncate: false,
            direct: false,
            synchronous: false,
            kill_privileges: false,
        };
        let open = Operation::Open { node: node.clone(), options };
        let handle = match self.call(open, go_on) {
            Ok(Answer::Opened(open)) => open.handle,
            Ok(_) => return (0, Some(unexpected())),
            Err(failed) => return (0, Some(format!("opening it: {failed}"))),
        };
        // What a stop gives up on here is kept already.
        let device = self.device.device_of(Tag::of_handle(handle));
        device.exempt_from_losses(handle, true);
        let (mut written, mut error) = (0, None);
        for entry in run {
            if let Err(why) = self.write(handle, entry, go_on) {
                error = Some(why);
                break;
            }
            written += 1;
        }
        if written > 0
            && let Err(why) = self.commit(handle, go_on)
        {
            (written, error) = (0, Some(why));
        }
        if let Err(failed) = self.call(Operation::Release { handle }, go_on) {
            log::warn!("replay: closing the file: {failed}");
        }
        if error.is_none() {
            // Otherwise a write may be on its way still. Numbers of handles do not come back.
            device.exempt_from_losses(handle, false);
        }
        (written, error)
    }

    fn write(
        &self,
        handle: HandleNumber,
        entry: &UnsentEntry,
        go_on: GoOn<'_>,
    ) -> Result<(), String> {
        let (Some(offset), Some(_)) = (entry.offset, &entry.kept_in) else {
            return Err(not_kept(entry));
        };
        let data = self.keeper.data(entry).map_err(|error| error.line())?;
        let write = Operation::Write {
            handle,
            offset,
            data: WriteData::from(data),
            write_back: false,
            kill_privileges: false,
        };
        match self.call(write, go_on) {
            Ok(Answer::Written(bytes)) if bytes as u64 == entry.bytes => Ok(()),
            Ok(Answer::Written(bytes)) => {
                Err(format!("the server took {bytes} bytes of {}", entry.bytes))
            }
            Ok(_) => Err(unexpected()),
            Err(failed) => Err(format!("writing: {failed}")),
        }
    }

    /// Until it is on the server's disk: our copy goes next.
    fn commit(&self, handle: HandleNumber, go_on: GoOn<'_>) -> Result<(), String> {
        for operation in
            [Operation::Flush { handle }, Operation::Synchronize { handle, data_only: false }]
        {
            self.call(operation, go_on).map_err(|failed| format!("committing: {failed}"))?;
        }
        Ok(())
    }

    /// One request through the core, and its answer.
    fn call(&self, operation: Operation<'_>, go_on: GoOn<'_>) -> Result<Answer, Failed> {
        let (sender, receiver) = channel();
        let told = Told { sender, dispatcher: self.device.dispatcher() };
        let until = self.clock.now().after(REPLAY_REQUEST_WAIT);
        self.device.dispatcher().submit(self.caller, operation, Box::new(told));
        loop {
            match receiver.recv_timeout(CONTROL_WAIT_SLICE) {
                Ok(answer) => return answer.map_err(Failed::Status),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failed::Status(Status::Unsuccessful));
                }
                Err(RecvTimeoutError::Timeout) if !go_on() => return Err(Failed::Ended),
                Err(RecvTimeoutError::Timeout) if self.clock.now() >= until => {
                    return Err(Failed::NoAnswer);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// Why a request of a replay has no answer to use.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Status(Status),
    #[error("no answer from the server")]
    NoAnswer,
    #[error("the replay was ended")]
    Ended,
}

/// As entries have it.
fn seconds(time: Timestamp) -> f64 {
    time.seconds as f64 + f64::from(time.nanoseconds) / 1e9
}

fn unexpected() -> String {
    "the server answered something else than expected".to_owned()
}

fn not_kept(entry: &UnsentEntry) -> String {
    let error = &entry.error;
    format!("there are no bytes to replay ({error}); --discard forgets it")
}

/// The entries of each file together, files in the order of their first.
fn by_file(entries: Vec<UnsentEntry>) -> Vec<Vec<UnsentEntry>> {
    let mut places: BTreeMap<(u64, u64, Vec<u8>), usize> = BTreeMap::new();
    let mut files: Vec<Vec<UnsentEntry>> = Vec::new();
    for entry in entries {
        let file = (entry.file_number, entry.file_generation, entry.path.clone());
        let place = *places.entry(file).or_insert(files.len());
        if place == files.len() {
            files.push(Vec::new());
        }
        files[place].push(entry);
    }
    files
}
