//! What the control files need of the host; `app` implements it.

use crate::base::ids::Caller;

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlReply {
    /// NTSTATUS: 0 success, 0x103 pending, else as `base::stop::CallResult::code`.
    pub status: u32,
    /// Which ticket it runs under, when pending; else 0.
    pub ticket: u64,
    /// What a person reads, without a newline at the end.
    pub text: String,
}

/// The host behind the control files. Every method is called on a thread that serves the kernel,
/// with no lock of the front's held, and must return soon: it may not wait for the mount.
pub trait ControlDevice: Send + Sync {
    /// The text of `status`.
    fn status_text(&self) -> String;

    /// May this caller see paths and names of processes?
    fn may_see(&self, caller: Caller) -> bool;

    /// May this caller ask for anything at `control`? What exactly, each command is asked.
    fn may_command(&self, caller: Caller) -> bool;

    /// The text of `handles`; unless `full`, without paths.
    fn handles_text(&self, full: bool) -> String;

    /// The events after a cursor, one JSON object a line, and the cursor after them. Cursor 0 is
    /// before the oldest event that is kept. Nothing new: no bytes, the same cursor. May stop short
    /// of the end; then the next call has the rest. Unless `full`, without paths.
    fn events_after(&self, cursor: u64, full: bool) -> (Vec<u8>, u64);

    /// Carries out one command: `stop`, `start`, `pause`, `resume`, `query`, with the options of
    /// the command line (`stop --check --unmount --lazy --deadline 30s`, `query --ticket 7`).
    fn command(&self, caller: Caller, text: &str) -> ControlReply;

    /// Has `wake` called after every new event. Called once; `wake` returns at once and may be
    /// called from anywhere.
    fn subscribe(&self, wake: Box<dyn Fn() + Send + Sync>);
}
