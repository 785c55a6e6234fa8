//! Reading, writing and what else moves data through a handle.

use crate::base::ids::HandleNumber;
use crate::base::status::Status;
use crate::base::stop::unix_seconds;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::mrx::low_io::LowIo;
use crate::mrx::request::{AllocateMode, SeekTo};
use crate::rdbss::calldown::call;
use crate::rdbss::context::{Context, ContextCounts, Span};
use crate::rdbss::device::Device;
use crate::rdbss::dispatch::Flow;
use crate::rdbss::notice::LostWrite;
use crate::rdbss::objects::fobx::Fobx;
use crate::rdbss::operation::{Answer, WriteData};
use std::sync::Arc;

/// Bytes on their way to the server, counted on their handle and on the device until dropped, or
/// until they are given up on: from then on they are a loss.
pub(in crate::rdbss) struct Unsent {
    fobx: Arc<Fobx>,
    counts: Arc<ContextCounts>,
    bytes: AtomicU64,
}

impl Unsent {
    /// Counts them, for as long as the request of this context is not given up on.
    pub(in crate::rdbss) fn new(fobx: &Arc<Fobx>, context: &Context, bytes: u64) -> Arc<Self> {
        let counts = context.counts().clone();
        fobx.add_unsent(bytes);
        counts.unsent_bytes.fetch_add(bytes, Ordering::Relaxed);
        let unsent = Arc::new(Self { fobx: fobx.clone(), counts, bytes: AtomicU64::new(bytes) });
        context.hold_unsent(&unsent);
        unsent
    }

    /// They are not on their way any more. Idempotent.
    pub(in crate::rdbss) fn end(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.fobx.sub_unsent(bytes);
        self.counts.unsent_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.end();
    }
}

impl Device {
    pub(in crate::rdbss) fn read(
        &self,
        context: &Arc<Context>,
        number: HandleNumber,
        offset: u64,
        size: usize,
        buffer: Vec<u8>,
    ) -> Flow {
        let srv_open = match self.handle(number) {
            Ok((_, srv_open)) => srv_open,
            Err(status) => return Flow::Done(Err(status)),
        };
        let redirector = srv_open.binding.view.redirector();
        self.low_io(
            context,
            "read",
            |result: Result<Vec<u8>, Status>| result.map(Answer::Data),
            |submission| {
                redirector.read(&**context, srv_open.open(), offset, size, buffer, submission)
            },
        )
    }

    /// Page write-back comes here too, also for survivors: the handle's own generation takes it.
    pub(in crate::rdbss) fn write(
        &self,
        context: &Arc<Context>,
        number: HandleNumber,
        offset: u64,
        data: WriteData<'_>,
        (write_back, kill_privileges): (bool, bool),
    ) -> Flow {
        let found =
            if write_back { self.handle_of_any_generation(number) } else { self.handle(number) };
        let (fobx, srv_open) = match found {
            Ok(found) => found,
            Err(status) => return Flow::Done(Err(status)),
        };
        context.hold_handle(&fobx);
        let unsent = Unsent::new(&fobx, context, data.len() as u64);
        let redirector = srv_open.binding.view.redirector();
        let owed = write_back.then(|| (self.shared(), context.clone(), fobx.clone()));
        let finish = move |result: Result<usize, Status>| {
            drop(unsent);
            if let Ok(written) = &result {
                fobx.wrote(*written as u64);
            }
            if let Some((device, context, fobx)) = owed {
                device.written_back(&context, &fobx, &result);
            }
            result.map(Answer::Written)
        };
        self.low_io(context, "write", finish, |submission| {
            let open = srv_open.open();
            let ended =
                redirector.write(&**context, open, offset, &data, kill_privileges, submission);
            if write_back && let LowIo::Done(Err(_)) = &ended {
                // Copied only now that it is to be kept, if it was not shared before.
                context.hold_data(data.shared());
            }
            ended
        })
    }

    /// Page write-back has ended. The application's own write succeeded long ago: if this one
    /// failed, nobody else may be left to tell it.
    fn written_back(&self, context: &Context, fobx: &Fobx, result: &Result<usize, Status>) {
        match result {
            Ok(written) => {
                self.counts.written_back_bytes.fetch_add(*written as u64, Ordering::Relaxed);
            }
            Err(status) => {
                let (_, data) = context.held();
                let error = format!("page write-back: {status}");
                let lost = self.lost_write(fobx, context.span(), error);
                self.lose_once(context, LostWrite { data, ..lost });
            }
        }
    }

    /// What is lost of a handle's data.
    pub(in crate::rdbss) fn lost_write(
        &self,
        fobx: &Fobx,
        span: Option<Span>,
        error: String,
    ) -> LostWrite {
        let srv_open = fobx.srv_open();
        LostWrite {
            path: srv_open.fcb.path(),
            identity: srv_open.fcb.identity(),
            span,
            bytes: span.map_or(0, |span| span.length),
            append: srv_open.options.append,
            data: None,
            error,
            lost_unix_s: unix_seconds(self.clock.wall()),
            written_by: fobx.opened_by,
        }
    }

    /// FSYNC, FSYNCDIR.
    pub(in crate::rdbss) fn synchronize(
        &self,
        context: &Arc<Context>,
        number: HandleNumber,
        data_only: bool,
    ) -> Flow {
        let (fobx, srv_open) = match self.handle(number) {
            Ok(found) => found,
            Err(status) => return Flow::Done(Err(status)),
        };
        context.hold_handle(&fobx);
        let bytes = fobx.take_uncommitted();
        let unsent = Unsent::new(&fobx, context, bytes);
        let redirector = srv_open.binding.view.redirector();
        let finish = move |result: Result<(), Status>| {
            drop(unsent);
            if result.is_err() {
                fobx.add_uncommitted(bytes);
            }
            result.map(|()| Answer::Empty)
        };
        self.low_io(context, "flush", finish, |submission| {
            redirector.flush(&**context, srv_open.open(), data_only, submission)
        })
    }

    pub(in crate::rdbss) fn allocate(
        &self,
        context: &Context,
        number: HandleNumber,
        offset: u64,
        length: u64,
        mode: AllocateMode,
    ) -> Result<Answer, Status> {
        let (_, srv_open) = self.handle(number)?;
        call(context, "allocate", || {
            let redirector = srv_open.binding.view.redirector();
            redirector.allocate(context, srv_open.open(), offset, length, mode)
        })?;
        Ok(Answer::Empty)
    }

    pub(in crate::rdbss) fn seek(
        &self,
        context: &Context,
        number: HandleNumber,
        offset: u64,
        to: SeekTo,
    ) -> Result<Answer, Status> {
        let (_, srv_open) = self.handle(number)?;
        let found = call(context, "seek", || {
            srv_open.binding.view.redirector().seek(context, srv_open.open(), offset, to)
        })?;
        Ok(Answer::Offset(found))
    }

    pub(in crate::rdbss) fn copy_range(
        &self,
        context: &Context,
        from: (HandleNumber, u64),
        to: (HandleNumber, u64),
        length: u64,
    ) -> Result<Answer, Status> {
        let (_, source) = self.handle(from.0)?;
        let (fobx, destination) = self.handle(to.0)?;
        let copied = call(context, "copy_range", || {
            source.binding.view.redirector().copy_range(
                context,
                (source.open(), from.1),
                (destination.open(), to.1),
                length,
            )
        })?;
        fobx.wrote(copied);
        let copied = usize::try_from(copied).map_err(|_| Status::InvalidParameter)?;
        Ok(Answer::Written(copied))
    }
}
