//! `Watch` as the client sees it.

use crate::mgmt::client::{Client, ClientError};
use crate::mgmt::proto::{Method, WatchEvent, WatchParameters, WatchReply};
use std::ops::ControlFlow;

impl Client {
    /// What changes at a path, absolute within the mount, as it happens, until `on_event` breaks
    /// off or the watch ends: with the daemon, or with a last word that says why.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn watch(
        &mut self,
        path: &[u8],
        on_event: &mut dyn FnMut(WatchEvent) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let on_reply =
            &mut |reply: WatchReply| reply.events.into_iter().try_for_each(&mut *on_event);
        self.stream(Method::Watch, &WatchParameters::of(path), None, on_reply)
    }
}
