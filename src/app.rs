//! Placeholder of one running host, so that `cli` compiles before `app` is written.

mod config;
pub mod options;
pub mod source;

pub use config::MountConfig;
pub use options::{MountOptions, UsageError};
pub use source::Source;

/// The mount answers.
#[derive(Clone, Debug)]
pub struct Ready {}

/// How the daemon ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitReport {
    /// Exit code of cli.md.
    pub code: u8,
    /// What to say.
    pub lines: Vec<String>,
}

/// Why a host could not run.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct AppError {
    /// One line.
    pub message: String,
    /// Exit code of cli.md.
    pub code: u8,
}

/// Mounts, calls `ready` once the mount answers, serves until it is unmounted or signalled.
///
/// # Errors
/// Always, here.
pub fn run(_config: MountConfig, _ready: impl FnOnce(&Ready)) -> Result<ExitReport, AppError> {
    Err(AppError { message: "this build has no host".to_owned(), code: 1 })
}
