//! The way of one request on the worker that has read it.

use crate::base::ids::Caller;
use crate::base::status::Status;
use crate::front::adapter::filesystem::Adapter;
use crate::front::adapter::front::{Call, Front, Refusable};
use crate::rdbss::operation::{Answer, Operation};
use fuser::Request;
use std::mem;
use std::sync::Arc;

/// What waits for a disk, or may move any number of bytes.
const TAKE_LONG: [&str; 3] = ["fsync", "fallocate", "copy_file_range"];

impl Adapter {
    /// Lets a request in and handles it under guard; leaves it unanswered when the door is closed.
    pub(super) fn handle<R: Refusable>(
        &self,
        word: &'static str,
        request: &Request,
        reply: R,
        body: impl FnOnce(&Arc<Front>, Call, R),
    ) {
        self.0.door.readers.took();
        if TAKE_LONG.contains(&word) {
            self.0.door.readers.will_take_long();
        }
        match self.0.enter(request, word) {
            Some(call) => self.0.guard(word, || body(&self.0, call, reply)),
            // Dropped, it would answer EIO.
            None => mem::forget(reply),
        }
        self.0.door.served();
    }

    /// Handles a request that becomes one operation.
    pub(super) fn serve<'a, R: Refusable>(
        &self,
        word: &'static str,
        request: &Request,
        reply: R,
        make: impl FnOnce(&Front, Caller) -> Result<Operation<'a>, Status>,
        finish: impl FnOnce(&Arc<Front>, Call, R, Result<Answer, Status>) + Send + 'static,
    ) {
        self.handle(word, request, reply, |front, call, reply| {
            let made = make(front, call.caller);
            front.run(call, made, reply, finish);
        });
    }
}
