//! What a mini-redirector may ask back of the core, and what it may know of a request.

use crate::base::clock::{Clock, Moment};
use crate::base::ids::{Caller, SerialNumber};
use crate::base::name::Name;
use crate::base::status::Status;
use crate::base::stop::Loss;
use crate::mrx::request::FileIdentity;
use std::sync::Arc;

/// The part of an RX_CONTEXT a mini-redirector may see (rdbss.md 4.3).
pub trait RequestContext: Send + Sync {
    /// Its number, in order of arrival.
    fn serial(&self) -> SerialNumber;
    /// Who asked. For the core's own requests (a stop's write-back, a delayed close) all zero.
    fn caller(&self) -> Caller;
    /// When the core gives up on it; none: never.
    fn deadline(&self) -> Option<Moment>;
    /// Has it been cancelled? A callout that polls may end with `Status::Cancelled`.
    fn is_cancelled(&self) -> bool;
    /// Makes the request cancellable (RxSetMinirdrCancelRoutine): `routine` is called at most once,
    /// from another thread, with no lock held, and must make the request end soon. It stays until
    /// the request ends or [`RequestContext::clear_cancel_routine`].
    ///
    /// # Errors
    /// `Cancelled` when the request was cancelled already; the routine is dropped uncalled.
    fn set_cancel_routine(&self, routine: Box<dyn FnOnce() + Send>) -> Result<(), Status>;
    /// Makes the request uncancellable again. False if the routine was already taken to be called.
    fn clear_cancel_routine(&self) -> bool;
}

/// What the core does for a mini-redirector while it is started. No lock may be held when calling.
pub trait Upcalls: Send + Sync {
    /// The clock to use.
    fn clock(&self) -> Arc<dyn Clock>;
    /// The server says this file changed behind our back: drop what the kernel caches of it.
    fn invalidate_file(&self, identity: FileIdentity);
    /// The server says that this file's attributes changed behind our back, and not its content.
    fn invalidate_attributes(&self, identity: FileIdentity);
    /// The server says that this name was made, removed or moved behind our back in a directory.
    fn invalidate_name(&self, directory: FileIdentity, name: &Name);
    /// The server cannot say what changed behind our back: drop all that the kernel caches.
    fn invalidate_all(&self);
    /// Acknowledged data could not be put on the server: it goes into the loss report.
    fn report_loss(&self, loss: Loss);
}
