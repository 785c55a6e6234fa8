//! How a call gets through its faults: on the caller's thread, or later on the timer's.

use super::Faulty;
use super::callout::Callout;
use super::plan::{End, Hang, Script};
use super::shared::{Ending, Inside, Link, Shared, Visit};
use crate::base::clock::Moment;
use crate::base::status::Status;
use crate::mrx::calldown::MiniRedirector;
use crate::mrx::low_io::{Completer, LowIo, Submission};
use crate::mrx::request::{Extension, FileIdentity, FileRef, OpenOptions, OpenRef};
use crate::mrx::upcall::RequestContext;
use std::sync::Arc;

type Context<'a> = &'a dyn RequestContext;

/// The rest of a low I/O call, to be made when its hang is over.
pub(super) type Work<T> =
    Box<dyn FnOnce(&dyn MiniRedirector, Context<'_>, Submission<'_, T>) -> LowIo<T> + Send>;

/// An open that outlives its callout.
pub(super) struct OwnedOpen {
    identity: FileIdentity,
    file: Extension,
    extension: Extension,
    options: OpenOptions,
}

impl OwnedOpen {
    pub(super) fn of(open: OpenRef<'_>) -> Self {
        Self {
            identity: open.file.identity,
            file: Arc::clone(open.file.extension),
            extension: Arc::clone(open.extension),
            options: open.options,
        }
    }

    pub(super) fn as_ref(&self) -> OpenRef<'_> {
        let file = FileRef { identity: self.identity, extension: &self.file };
        OpenRef { file, extension: &self.extension, options: self.options }
    }
}

impl Faulty {
    /// Meets the faults of a callout on this thread. What is returned counts the call as inside.
    pub(super) fn meet(
        &self,
        callout: Callout,
        context: Option<Context<'_>>,
    ) -> Result<Inside, Status> {
        let visit = self.shared.enter(callout);
        self.suffer(&visit, callout, context)?;
        Ok(visit.inside)
    }

    fn suffer(
        &self,
        visit: &Visit,
        callout: Callout,
        context: Option<Context<'_>>,
    ) -> Result<(), Status> {
        let Script { delay, hang, end, .. } = visit.script;
        if !delay.is_zero() {
            self.shared.sleep_until(visit.due);
        }
        if let Some(hang) = hang {
            self.hang(visit.since, hang, context)?;
        }
        match end {
            None => Ok(()),
            Some(End::Error(status)) => Err(status),
            Some(End::Panic) => panic!("faulty: {callout} panics as planned"),
        }
    }

    fn hang(&self, since: u64, hang: Hang, context: Option<Context<'_>>) -> Result<(), Status> {
        let link = Link::of(context);
        let cancellable = context.filter(|_| hang == Hang::Cancellable);
        if let Some(context) = cancellable {
            self.let_cancel(context, &link)?;
        }
        let released = self.shared.hang(since, &link) == Ending::Released;
        let taken = cancellable.is_some_and(|context| !context.clear_cancel_routine());
        if released && !taken { Ok(()) } else { Err(Status::Cancelled) }
    }

    /// A cancel of the request ends the hang of its link.
    fn let_cancel(&self, context: Context<'_>, link: &Arc<Link>) -> Result<(), Status> {
        let (shared, link) = (Arc::clone(&self.shared), Arc::clone(link));
        context.set_cancel_routine(Box::new(move || shared.cancel(&link)))
    }

    /// Meets the faults of a low I/O callout without keeping the caller's thread.
    ///
    /// `now` makes the call at once. A delay lets it, and keeps the answer back. A hang keeps the
    /// call itself: then `later` makes what will call, with operands of its own.
    pub(super) fn low_io<T: Send + 'static>(
        &self,
        callout: Callout,
        context: Context<'_>,
        submission: Submission<'_, T>,
        now: impl FnOnce(&dyn MiniRedirector, Submission<'_, T>) -> LowIo<T>,
        later: impl FnOnce() -> Work<T>,
    ) -> LowIo<T> {
        let visit = self.shared.enter(callout);
        let Script { synchronous, delay, hang, end } = visit.script;
        let keeps_thread = synchronous || end == Some(End::Panic) || !self.shared.is_served();
        if keeps_thread || (delay.is_zero() && hang.is_none()) {
            return match self.suffer(&visit, callout, Some(context)) {
                Ok(()) => now(&*self.inner, submission),
                Err(status) => LowIo::Done(Err(status)),
            };
        }
        match (hang, end) {
            (Some(hang), _) => self.hang_low_io(visit, hang, context, submission, later()),
            (None, Some(End::Error(status))) => {
                self.slow(submission.pend(), visit.due, visit.inside).complete(Err(status));
                LowIo::Pending
            }
            (None, _) => self.answer_late(visit.due, visit.inside, submission, now),
        }
    }

    fn answer_late<T: Send + 'static>(
        &self,
        due: Moment,
        inside: Inside,
        submission: Submission<'_, T>,
        now: impl FnOnce(&dyn MiniRedirector, Submission<'_, T>) -> LowIo<T>,
    ) -> LowIo<T> {
        let mut unused = Some((submission, inside));
        // Taken only when needed: if the call panics, the core has its request back.
        let mut pend = || {
            let (submission, inside) = unused.take().expect("a submission is used at most once");
            self.slow(submission.pend(), due, inside)
        };
        if let LowIo::Done(result) = now(&*self.inner, Submission::new(&mut pend)) {
            pend().complete(result);
        }
        LowIo::Pending
    }

    fn hang_low_io<T: Send + 'static>(
        &self,
        visit: Visit,
        hang: Hang,
        context: Context<'_>,
        submission: Submission<'_, T>,
        work: Work<T>,
    ) -> LowIo<T> {
        let link = Link::of(Some(context));
        if hang == Hang::Cancellable
            && let Err(status) = self.let_cancel(context, &link)
        {
            return LowIo::Done(Err(status));
        }
        let Visit { inside, script, since, due } = visit;
        let completer = submission.pend();
        let late = self.slow(completer, due, inside);
        let (inner, seen) = (Arc::clone(&self.inner), Arc::clone(&link));
        let resume = move |ending| match (ending, script.end) {
            (Ending::Cancelled, _) => late.complete(Err(Status::Cancelled)),
            (Ending::Released, Some(End::Error(status))) => late.complete(Err(status)),
            (Ending::Released, _) => {
                let mut unused = Some(late);
                let mut pend = || unused.take().expect("a submission is used at most once");
                if let LowIo::Done(result) = work(&*inner, &*seen, Submission::new(&mut pend)) {
                    pend().complete(result);
                }
            }
        };
        self.shared.hang_later(since, link, Box::new(resume));
        LowIo::Pending
    }

    /// A completer that keeps the answer back until it is due, and the call inside until then. A
    /// cancelled request is not kept back: its caller was promised to be let go soon.
    fn slow<T: Send + 'static>(
        &self,
        completer: Completer<T>,
        due: Moment,
        inside: Inside,
    ) -> Completer<T> {
        let shared: Arc<Shared> = Arc::clone(&self.shared);
        Completer::new(move |result: Result<T, Status>| {
            let due = if matches!(result, Err(Status::Cancelled)) { Moment(0) } else { due };
            let answer = move || {
                completer.complete(result);
                drop(inside);
            };
            shared.at(due, Box::new(answer));
        })
    }
}
