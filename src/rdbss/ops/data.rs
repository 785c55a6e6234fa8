//! Reading, writing and what else moves data through a handle.

use crate::base::ids::HandleNumber;
use crate::base::status::Status;
use crate::base::stop::Loss;
use crate::base::sync::atomic::Ordering;
use crate::mrx::request::{AllocateMode, SeekTo};
use crate::rdbss::calldown::call;
use crate::rdbss::context::{Context, ContextCounts};
use crate::rdbss::device::Device;
use crate::rdbss::dispatch::Flow;
use crate::rdbss::objects::fobx::Fobx;
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::operation::Answer;
use std::sync::Arc;

/// Bytes on their way to the server, counted on their handle and on the device until dropped.
pub(in crate::rdbss) struct Unsent {
    fobx: Arc<Fobx>,
    counts: Arc<ContextCounts>,
    bytes: u64,
}

impl Unsent {
    pub(in crate::rdbss) fn new(fobx: &Arc<Fobx>, context: &Context, bytes: u64) -> Self {
        let counts = context.counts().clone();
        fobx.add_unsent(bytes);
        counts.unsent_bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { fobx: fobx.clone(), counts, bytes }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.fobx.sub_unsent(self.bytes);
        self.counts.unsent_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
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
        data: &[u8],
        (write_back, kill_privileges): (bool, bool),
    ) -> Flow {
        let found =
            if write_back { self.handle_of_any_generation(number) } else { self.handle(number) };
        let (fobx, srv_open) = match found {
            Ok(found) => found,
            Err(status) => return Flow::Done(Err(status)),
        };
        let bytes = data.len() as u64;
        let unsent = Unsent::new(&fobx, context, bytes);
        let redirector = srv_open.binding.view.redirector();
        let owed = write_back.then(|| (self.shared(), srv_open.clone()));
        let finish = move |result: Result<usize, Status>| {
            drop(unsent);
            if let Ok(written) = &result {
                fobx.add_uncommitted(*written as u64);
            }
            if let Some((device, srv_open)) = owed {
                device.written_back(&srv_open, bytes, &result);
            }
            result.map(Answer::Written)
        };
        self.low_io(context, "write", finish, |submission| {
            redirector.write(&**context, srv_open.open(), offset, data, kill_privileges, submission)
        })
    }

    /// Page write-back has ended. The application's own write succeeded long ago: if this one
    /// failed, nobody else may be left to tell it.
    fn written_back(&self, srv_open: &SrvOpen, bytes: u64, result: &Result<usize, Status>) {
        match result {
            Ok(written) => {
                self.counts.written_back_bytes.fetch_add(*written as u64, Ordering::Relaxed);
            }
            Err(status) => {
                let error = format!("page write-back: {status}");
                self.lost(Loss { path: srv_open.fcb.path(), bytes, error });
            }
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
        fobx.add_uncommitted(copied);
        let copied = usize::try_from(copied).map_err(|_| Status::InvalidParameter)?;
        Ok(Answer::Written(copied))
    }
}
