//! Why a call of the control protocol did not bring an answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a call did not bring an answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there: the state of the mount is unknown.
    #[error("cannot reach the daemon at {}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The system's word for it.
        #[source]
        source: io::Error,
    },
    /// The connection broke before the answer came: the state of the mount is unknown.
    #[error("the daemon at {} went away before it answered", path.display())]
    Lost {
        /// The socket.
        path: PathBuf,
        /// The system's word for it.
        #[source]
        source: io::Error,
    },
    /// The daemon took the call and did not answer in time.
    #[error("the daemon at {} did not answer within {after:?}", path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// How long it was given.
        after: Duration,
    },
    /// The caller may not ask for this; the text says who may.
    #[error("{0}")]
    Denied(String),
    /// The daemon refused or failed.
    #[error("{message}")]
    Failed {
        /// The error's name without our interface's: `UnknownTicket`, `Refused`, `TooMany`; others
        /// in full: `org.varlink.service.MethodNotFound`.
        name: String,
        /// For people.
        message: String,
    },
    /// What answered does not speak this protocol.
    #[error("the daemon at {} answered something else than expected: {what}", path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What was wrong.
        what: String,
    },
    /// The check of [`Client::while_waiting`] ended the wait; what was asked for goes on in the
    /// daemon.
    ///
    /// [`Client::while_waiting`]: crate::mgmt::client::Client::while_waiting
    #[error("interrupted while waiting")]
    Interrupted,
}
