//! Dispatch: an operation's way through the core. Gates it, counts it, makes its context, runs it
//! on the caller's thread (FSD) or posts it to the file system process (FSP), and has it answered.

use crate::base::ids::{Caller, Generation, HandleNumber};
use crate::base::limits::FSP_INLINE_MAX;
use crate::base::queue::{Class, Rejected};
use crate::base::status::Status;
use crate::base::stop::State;
use crate::base::sync::atomic::Ordering;
use crate::mrx::low_io::{Completer, LowIo, Submission};
use crate::mrx::upcall::RequestContext;
use crate::rdbss::calldown;
use crate::rdbss::context::{Arrival, Context, Span, Subject};
use crate::rdbss::device::Device;
use crate::rdbss::fsp::Job;
use crate::rdbss::gate::{CloseEntry, Pass};
use crate::rdbss::operation::{
    Answer, Dispatcher, Node, Operation, OperationClass, Responder, WriteData,
};
use crate::rdbss::survivors::PutOff;
use std::sync::Arc;

/// How far an operation has come when its handler returns.
pub(in crate::rdbss) enum Flow {
    /// It is over.
    Done(Result<Answer, Status>),
    /// A mini-redirector completes it later. A variant, not a status: it cannot reach FUSE.
    Pending,
}

/// A request on the thread that brought it, counted while it lasts.
struct Inline<'a>(&'a Device);

impl<'a> Inline<'a> {
    /// None when [`FSP_INLINE_MAX`] run already.
    fn enter(device: &'a Device) -> Option<Self> {
        if device.inline.fetch_add(1, Ordering::AcqRel) >= FSP_INLINE_MAX {
            device.inline.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Self(device))
    }
}

impl Drop for Inline<'_> {
    fn drop(&mut self) {
        self.0.inline.fetch_sub(1, Ordering::AcqRel);
    }
}

impl From<Result<Answer, Status>> for Flow {
    fn from(result: Result<Answer, Status>) -> Self {
        Self::Done(result)
    }
}

impl Dispatcher for Device {
    fn root(&self) -> Node {
        self.root.get().expect("a device is started before it is mounted").clone()
    }

    fn submit(&self, caller: Caller, operation: Operation<'_>, responder: Box<dyn Responder>) {
        let responder = self.telling(&operation, responder);
        match operation.class() {
            OperationClass::Create { opens } => {
                self.submit_normal(caller, operation, responder, opens)
            }
            OperationClass::HandleIo | OperationClass::NameIo => {
                self.submit_normal(caller, operation, responder, false);
            }
            OperationClass::Cleanup => self.submit_cleanup(caller, operation, responder),
            OperationClass::Device => match self.gate.enter_normal(false) {
                Ok(pass) => self.begin(caller, operation, responder, Some(pass)),
                // G4: answered in every state, from what was last known.
                Err(_) => responder.respond(self.answer_stopped(&operation)),
            },
        }
    }
}

impl Device {
    fn submit_normal(
        &self,
        caller: Caller,
        operation: Operation<'_>,
        responder: Box<dyn Responder>,
        opens: bool,
    ) {
        match self.gate.enter_normal(opens) {
            Ok(pass) => self.begin(caller, operation, responder, Some(pass)),
            Err(status) => {
                // G2: at once, never parked.
                self.refusals.count(operation.kind());
                responder.respond(Err(status));
            }
        }
    }

    fn submit_cleanup(
        &self,
        caller: Caller,
        operation: Operation<'_>,
        responder: Box<dyn Responder>,
    ) {
        let Some(handle) = operation.handle() else {
            // The class holds operations on handles only; a handle that is none answers like one.
            return responder.respond(Err(Status::InvalidHandle));
        };
        let Some(fobx) = self.handles.get(handle) else {
            return responder.respond(Err(Status::InvalidHandle));
        };
        let (cleanup, generation) = fobx.begin_cleanup();
        let (pass, deferred) = match self.gate.enter_close(generation) {
            CloseEntry::Counted(pass) => (Some(pass), false),
            CloseEntry::Survivor => (None, false),
            CloseEntry::Deferred => (None, true),
        };
        // A context it gets also when it has to wait: it is listed, watched and bounded in time.
        let context = self.admit(caller, &operation, responder, pass);
        context.holds(cleanup);
        if deferred {
            self.put_off(context, operation.into_owned(), generation);
        } else {
            self.carry_on(context, operation);
        }
    }

    /// Keeps a cleanup or close until `MRxStop` has returned.
    fn put_off(&self, context: Arc<Context>, operation: Operation<'static>, of: Generation) {
        let device = self.shared();
        let sealed = || self.gate.view().state == State::Sealing;
        let run = move |(context, operation)| device.run_put_off(context, operation, of);
        match self.deferred.put_off(sealed, (context, operation), run) {
            PutOff::Kept => {}
            PutOff::Over((context, operation)) => self.carry_on(context, operation),
            PutOff::AskAgain((context, operation)) => self.run_put_off(context, operation, of),
        }
    }

    /// Its turn has come. The gate is asked again: if the stop was taken back, the next one must
    /// wait for it like for any other.
    fn run_put_off(&self, context: Arc<Context>, operation: Operation<'static>, of: Generation) {
        match self.gate.enter_close(of) {
            CloseEntry::Counted(pass) => {
                context.count(pass);
                self.carry_on(context, operation);
            }
            CloseEntry::Survivor => self.carry_on(context, operation),
            CloseEntry::Deferred => self.put_off(context, operation, of),
        }
    }

    /// Makes the context and runs or posts it.
    fn begin(
        &self,
        caller: Caller,
        operation: Operation<'_>,
        responder: Box<dyn Responder>,
        pass: Option<Pass>,
    ) {
        let context = self.admit(caller, &operation, responder, pass);
        self.carry_on(context, operation);
    }

    /// Makes the context and puts it in the table of requests.
    fn admit(
        &self,
        caller: Caller,
        operation: &Operation<'_>,
        responder: Box<dyn Responder>,
        pass: Option<Pass>,
    ) -> Arc<Context> {
        let now = self.clock.now();
        let arrival = Arrival {
            serial: self.requests.serial(),
            caller,
            operation: operation.word(),
            kind: Some(operation.kind()),
            subject: operation.subject(),
            span: operation.span(),
            arrived: now,
            deadline: match self.options.request_deadline {
                Some(limit) if !operation.waits_for_others() => Some(now.after(limit)),
                _ => None,
            },
            changes: operation.changes(),
        };
        let context =
            Context::new(arrival, Some(responder), pass, self.gate.clone(), self.counts.clone());
        self.requests.insert(context.serial(), context.clone());
        // A stop that cancels or abandons looked into the table when this was on its way there.
        if self.gate.view().state == State::Draining {
            self.gate.wake();
        }
        context
    }

    fn carry_on(&self, context: Arc<Context>, operation: Operation<'_>) {
        if self.blocking.load(Ordering::Acquire) {
            self.post_request(context, operation);
        } else {
            self.run(&context, operation);
        }
    }

    /// Hands a request to the file system process (C3). A cleanup or close is owed: no bound keeps
    /// it out. Over the bound another request runs here, while threads are left that serve the
    /// kernel; beyond that it is refused.
    fn post_request(&self, context: Arc<Context>, operation: Operation<'_>) {
        let owed = operation.class() == OperationClass::Cleanup;
        let class = match &operation {
            Operation::Release { .. } => Class::Delayed,
            _ => Class::Critical,
        };
        let bytes = operation.payload_bytes();
        let (device, operation) = (self.shared(), operation.into_owned());
        if let Operation::Write { data: WriteData::Shared(data), .. } = &operation {
            context.hold_data(data.clone());
        }
        let its_context = context.clone();
        let job: Job = Box::new(move || device.run(&its_context, operation));
        let fsp = self.fsp.lock().clone();
        let posted =
            if owed { fsp.post_owed(class, bytes, job) } else { fsp.post(class, bytes, job) };
        match posted {
            Ok(()) => {}
            // A stop has spun these workers down; there are others for what is owed still.
            Err(Rejected::Closed(job)) if owed => self.post_owed_job(job),
            Err(Rejected::Closed(job) | Rejected::Full(job)) => match Inline::enter(self) {
                Some(_inline) => job(),
                None => {
                    drop(job);
                    self.complete(&context, Err(Status::InsufficientResources));
                }
            },
        }
    }

    /// Has the workers of now do what is owed; without any it is done here.
    pub(in crate::rdbss) fn post_owed_job(&self, job: Job) {
        let fsp = self.fsp.lock().clone();
        if let Err(Rejected::Closed(job) | Rejected::Full(job)) =
            fsp.post_owed(Class::Delayed, 0, job)
        {
            job();
        }
    }

    /// Runs a request on this thread. One cancelled before it was handed down ends without the call
    /// (stop.md §5); not a cleanup: what it does is owed, whoever waits for it or not.
    fn run(&self, context: &Arc<Context>, operation: Operation<'_>) {
        let owed = operation.class() == OperationClass::Cleanup;
        let flow = if context.is_cancelled() && !owed {
            Flow::Done(Err(Status::Cancelled))
        } else {
            // Whatever panics below, the request must leave the gate, or no stop ever ends.
            calldown::call_always(context.operation(), || Ok(self.execute(context, operation)))
                .unwrap_or_else(|status| Flow::Done(Err(status)))
        };
        match flow {
            Flow::Done(answer) => self.complete(context, answer),
            Flow::Pending => {}
        }
    }

    /// The one place where a request ends: reply, gate, table.
    pub(in crate::rdbss) fn complete(&self, context: &Context, answer: Result<Answer, Status>) {
        let written = match &answer {
            Ok(Answer::Written(bytes)) => Some(*bytes as u64),
            Ok(_) | Err(_) => None,
        };
        // Before its handle is let go of, which may be the last that knows the file.
        let path = if context.is_abandoned() { self.path_of(context) } else { Vec::new() };
        let failed = match (&answer, context.operation()) {
            (Err(status), "flush" | "fsync") => context.held().0.map(|fobx| (fobx, *status)),
            _ => None,
        };
        context.end_cleanup();
        let late = context.end(answer);
        if let Some((fobx, status)) = failed {
            self.flush_failed(&fobx, status, late.is_none());
        }
        self.too_late(late);
        if let Some(number) = context.leave()
            && let Some(bytes) = written
            && context.span().is_none_or(|span| span.length <= bytes)
        {
            self.arrived(number, path, bytes);
        }
        self.requests.remove(context.serial());
    }

    /// An answer that nobody took: dropped, counted (`Context::answer`), and what it stands for is
    /// undone. A handle must not stay open, a lock must not stay held.
    fn too_late(&self, late: Option<Result<Answer, Status>>) {
        match late {
            Some(Ok(Answer::Opened(open) | Answer::Created(_, open))) => {
                self.discard_handle(open.handle);
            }
            Some(Ok(Answer::Granted(handle, lock))) => self.give_lock_back(handle, lock),
            Some(_) | None => {}
        }
    }

    fn execute(&self, context: &Arc<Context>, operation: Operation<'_>) -> Flow {
        match operation {
            Operation::Read { handle, offset, size, buffer } => {
                self.read(context, handle, offset, size, buffer)
            }
            Operation::Write { handle, offset, data, write_back, kill_privileges } => {
                self.write(context, handle, offset, data, (write_back, kill_privileges))
            }
            Operation::Flush { handle } => self.flush(context, handle),
            Operation::Synchronize { handle, data_only } => {
                self.synchronize(context, handle, data_only)
            }
            Operation::SetLock { handle, lock, wait } => self.set_lock(context, handle, lock, wait),
            other => Flow::Done(self.execute_now(context, other)),
        }
    }

    /// The operations whose callouts are synchronous.
    fn execute_now(&self, context: &Context, operation: Operation<'_>) -> Result<Answer, Status> {
        match operation {
            Operation::Lookup { parent, name } => self.lookup(context, &parent, &name),
            Operation::MakeNode { parent, name, node, creation } => {
                self.make_node(context, &parent, &name, &node, creation)
            }
            Operation::Link { node, parent, name } => self.link(context, &node, &parent, &name),
            Operation::Unlink { parent, name } => self.unlink(context, &parent, &name),
            Operation::RemoveDirectory { parent, name } => {
                self.remove_directory(context, &parent, &name)
            }
            Operation::Rename { parent, name, new_parent, new_name, mode } => {
                self.rename(context, (&parent, &name), (&new_parent, &new_name), mode)
            }
            Operation::ReadLink { node } => self.read_link(context, &node),
            Operation::Open { node, options } => self.open(context, &node, options, false),
            Operation::OpenDirectory { node } => {
                self.open(context, &node, crate::rdbss::ops::create::DIRECTORY_OPTIONS, true)
            }
            Operation::Create { parent, name, creation, options, exclusive } => {
                self.create(context, (&parent, &name), creation, options, exclusive)
            }
            Operation::Release { handle } => self.release(context, handle),
            Operation::ReadDirectory { handle, from, budget_bytes, with_files } => {
                self.read_directory(context, handle, from, budget_bytes, with_files)
            }
            other => self.execute_information(context, other),
        }
    }

    /// Queries and settings.
    fn execute_information(
        &self,
        context: &Context,
        operation: Operation<'_>,
    ) -> Result<Answer, Status> {
        match operation {
            Operation::GetAttributes { node, handle } => {
                self.get_attributes(context, &node, handle)
            }
            Operation::SetAttributes { node, handle, set } => {
                self.set_attributes(context, &node, handle, set)
            }
            Operation::QueryVolume { .. } => self.query_volume(context),
            Operation::GetExtendedAttribute { node, name } => {
                self.get_extended_attribute(context, &node, &name)
            }
            Operation::ListExtendedAttributes { node } => {
                self.list_extended_attributes(context, &node)
            }
            Operation::SetExtendedAttribute { node, name, value, mode } => {
                self.set_extended_attribute(context, &node, &name, &value, mode)
            }
            Operation::RemoveExtendedAttribute { node, name } => {
                self.remove_extended_attribute(context, &node, &name)
            }
            Operation::Access { node, mask } => self.access(context, &node, mask),
            Operation::Allocate { handle, offset, length, mode } => {
                self.allocate(context, handle, offset, length, mode)
            }
            Operation::Seek { handle, offset, to } => self.seek(context, handle, offset, to),
            Operation::CopyRange { from, from_offset, to, to_offset, length } => {
                self.copy_range(context, (from, from_offset), (to, to_offset), length)
            }
            Operation::GetLock { handle, lock } => self.get_lock(context, handle, lock),
            // Taken by the two functions that call this one. By name: a new operation must choose.
            Operation::Read { .. }
            | Operation::Write { .. }
            | Operation::Flush { .. }
            | Operation::Synchronize { .. }
            | Operation::SetLock { .. }
            | Operation::Lookup { .. }
            | Operation::MakeNode { .. }
            | Operation::Link { .. }
            | Operation::Unlink { .. }
            | Operation::RemoveDirectory { .. }
            | Operation::Rename { .. }
            | Operation::ReadLink { .. }
            | Operation::Open { .. }
            | Operation::OpenDirectory { .. }
            | Operation::Create { .. }
            | Operation::Release { .. }
            | Operation::ReadDirectory { .. } => Err(Status::NotImplemented),
        }
    }

    /// Makes a low I/O calldown. `finish` turns the callout's result into the answer, now or when
    /// the mini-redirector completes.
    pub(in crate::rdbss) fn low_io<T: Send + 'static>(
        &self,
        context: &Arc<Context>,
        callout: &str,
        finish: impl FnOnce(Result<T, Status>) -> Result<Answer, Status> + Send + 'static,
        submit: impl FnOnce(Submission<'_, T>) -> LowIo<T>,
    ) -> Flow {
        let mut finish = Some(finish);
        let outcome = {
            let finish = &mut finish;
            let mut pend = || {
                let finish = finish.take().expect("a submission is taken once");
                let (device, context) = (self.shared(), context.clone());
                Completer::new(move |result| device.complete(&context, finish(result)))
            };
            calldown::call_always(callout, || Ok(submit(Submission::new(&mut pend))))
        };
        match (outcome, finish.take()) {
            (Ok(LowIo::Done(result)), Some(finish)) => Flow::Done(finish(result)),
            (Ok(LowIo::Pending), None) => Flow::Pending,
            // It took the completer and then said it was done, or panicked: the completer answers.
            (Ok(LowIo::Done(_)) | Err(_), None) => Flow::Pending,
            (Ok(LowIo::Pending), Some(finish)) => {
                log::error!("{callout} returned pending without taking its completer");
                Flow::Done(finish(Err(Status::Unsuccessful)))
            }
            (Err(status), Some(finish)) => Flow::Done(finish(Err(status))),
        }
    }

    /// Device-class answers while nothing is started (G4).
    fn answer_stopped(&self, operation: &Operation<'_>) -> Result<Answer, Status> {
        let known = *self.last_known.lock();
        match operation {
            Operation::QueryVolume { .. } => Ok(Answer::Volume(known.volume.unwrap_or_default())),
            Operation::GetAttributes { .. } => {
                known.root.map(Answer::Attributes).ok_or(Status::RedirectorNotStarted)
            }
            _ => Err(Status::RedirectorNotStarted),
        }
    }
}

impl Operation<'_> {
    /// The handle it is on, if it is on one. No default arm: a new operation must say.
    fn handle(&self) -> Option<HandleNumber> {
        match self {
            Self::Read { handle, .. }
            | Self::Write { handle, .. }
            | Self::Flush { handle }
            | Self::Release { handle }
            | Self::Synchronize { handle, .. }
            | Self::ReadDirectory { handle, .. }
            | Self::Allocate { handle, .. }
            | Self::Seek { handle, .. }
            | Self::CopyRange { from: handle, .. }
            | Self::GetLock { handle, .. }
            | Self::SetLock { handle, .. } => Some(*handle),
            // These have one only to spare a lookup: they are about the file.
            Self::GetAttributes { .. }
            | Self::SetAttributes { .. }
            | Self::Lookup { .. }
            | Self::ReadLink { .. }
            | Self::MakeNode { .. }
            | Self::Link { .. }
            | Self::Unlink { .. }
            | Self::RemoveDirectory { .. }
            | Self::Rename { .. }
            | Self::Open { .. }
            | Self::Create { .. }
            | Self::OpenDirectory { .. }
            | Self::QueryVolume { .. }
            | Self::GetExtendedAttribute { .. }
            | Self::ListExtendedAttributes { .. }
            | Self::SetExtendedAttribute { .. }
            | Self::RemoveExtendedAttribute { .. }
            | Self::Access { .. } => None,
        }
    }

    /// Of a WRITE: where its bytes go.
    fn span(&self) -> Option<Span> {
        match self {
            Self::Write { offset, data, .. } => {
                Some(Span { offset: *offset, length: data.len() as u64 })
            }
            _ => None,
        }
    }

    /// What it is about, for listings. No default arm either.
    fn subject(&self) -> Subject {
        match self {
            Self::Read { handle, .. }
            | Self::Write { handle, .. }
            | Self::Flush { handle }
            | Self::Release { handle }
            | Self::Synchronize { handle, .. }
            | Self::ReadDirectory { handle, .. }
            | Self::Allocate { handle, .. }
            | Self::Seek { handle, .. }
            | Self::CopyRange { from: handle, .. }
            | Self::GetLock { handle, .. }
            | Self::SetLock { handle, .. } => Subject::Handle(*handle),
            Self::Lookup { parent: node, .. }
            | Self::GetAttributes { node, .. }
            | Self::SetAttributes { node, .. }
            | Self::ReadLink { node }
            | Self::MakeNode { parent: node, .. }
            | Self::Link { node, .. }
            | Self::Unlink { parent: node, .. }
            | Self::RemoveDirectory { parent: node, .. }
            | Self::Rename { parent: node, .. }
            | Self::Open { node, .. }
            | Self::Create { parent: node, .. }
            | Self::OpenDirectory { node }
            | Self::GetExtendedAttribute { node, .. }
            | Self::ListExtendedAttributes { node }
            | Self::SetExtendedAttribute { node, .. }
            | Self::RemoveExtendedAttribute { node, .. }
            | Self::Access { node, .. } => Subject::Node(node.clone()),
            Self::QueryVolume { .. } => Subject::Volume,
        }
    }
}
