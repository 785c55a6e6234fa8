//! Byte-range locks, for mini-redirectors whose servers keep them. Otherwise the kernel keeps them
//! locally and never asks (docs/SEMANTICS.md).

use crate::base::ids::HandleNumber;
use crate::base::status::Status;
use crate::mrx::request::{Lock, LockKind};
use crate::rdbss::calldown::call;
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::dispatch::Flow;
use crate::rdbss::operation::Answer;
use std::sync::Arc;

impl Device {
    /// SETLK, SETLKW. An unlock is cleanup: it reaches the handle's own generation in every state.
    pub(in crate::rdbss) fn set_lock(
        &self,
        context: &Arc<Context>,
        number: HandleNumber,
        lock: Lock,
        wait: bool,
    ) -> Flow {
        let found = match lock.kind {
            LockKind::Unlock => self.handle_of_any_generation(number),
            LockKind::Shared | LockKind::Exclusive => self.handle(number),
        };
        let srv_open = match found {
            Ok((_, srv_open)) => srv_open,
            Err(status) => return Flow::Done(Err(status)),
        };
        let redirector = srv_open.binding.view.redirector();
        self.low_io(
            context,
            "lock",
            move |result: Result<(), Status>| {
                result.map(|()| match lock.kind {
                    LockKind::Unlock => Answer::Empty,
                    LockKind::Shared | LockKind::Exclusive => Answer::Granted(number, lock),
                })
            },
            |submission| redirector.lock(&**context, srv_open.open(), lock, wait, submission),
        )
    }

    /// A lock was granted when nobody waited for it any more: it is given back. Of several waits
    /// for one range by one owner it may give back more than its own, as `fcntl` would.
    pub(in crate::rdbss) fn give_lock_back(&self, number: HandleNumber, lock: Lock) {
        let Ok((_, srv_open)) = self.handle_of_any_generation(number) else { return };
        let (context, lock) = (self.own_context("unlock"), Lock { kind: LockKind::Unlock, ..lock });
        let redirector = srv_open.binding.view.redirector();
        let flow = self.low_io(
            &context,
            "lock",
            |result: Result<(), Status>| result.map(|()| Answer::Empty),
            |submission| redirector.lock(&*context, srv_open.open(), lock, false, submission),
        );
        if let Flow::Done(Err(status)) = flow {
            log::warn!("{}: a lock that came too late was not given back: {status}", self.name);
        }
    }

    /// GETLK.
    pub(in crate::rdbss) fn get_lock(
        &self,
        context: &Context,
        number: HandleNumber,
        lock: Lock,
    ) -> Result<Answer, Status> {
        let (_, srv_open) = self.handle(number)?;
        let in_the_way = call(context, "query_lock", || {
            srv_open.binding.view.redirector().query_lock(context, srv_open.open(), lock)
        })?;
        Ok(Answer::Lock(in_the_way))
    }
}
