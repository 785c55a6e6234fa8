//! The one unsafe function of this crate: putting another file under a descriptor number fuser owns
//! (docs/decisions/0001-one-unsafe-function.md).
//!
//! `Session::from_fd` insists on reading INIT itself, and nothing ends its loop but the end of the
//! connection. So it is given one end of a socket pair to shake hands on, then the real `/dev/fuse`
//! is put under that number; and when the loop must stop at a request boundary, a socket that only
//! says "end of file" is. `dup3` replaces the file under a number in one step.

use rustix::io::{self, DupFlags};
use std::any::Any;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A descriptor number that fuser's loop reads from and writes to, kept open by a share in its
/// owner.
pub struct Seat {
    number: RawFd,
    /// Shares the ownership of the descriptor: the number cannot be closed and given to another
    /// file while this lives.
    _keeper: Box<dyn Any + Send + Sync>,
}

impl Seat {
    /// The seat of a session. `keeper` must share the ownership of the descriptor `owner` shows: a
    /// `fuser::Notifier` does.
    pub fn new(owner: &impl AsFd, keeper: fuser::Notifier) -> Self {
        Self { number: owner.as_fd().as_raw_fd(), _keeper: Box::new(keeper) }
    }

    /// Puts the file of `source` under the seat's number. Calls that already wait in the old file
    /// go on waiting there.
    ///
    /// # Errors
    /// The system's; the old file stays then.
    #[allow(unsafe_code)]
    pub fn redirect(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: the number is open and stays so while we use it, because `_keeper` shares its
        // ownership. `ManuallyDrop` keeps us from closing it: its owner will. Replacing the file
        // under it is what the owner, a fuser session made by `handshake::seat`, is set up for.
        let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(self.number) });
        rustix::io::dup3(source, &mut target, DupFlags::CLOEXEC)
    }
}
