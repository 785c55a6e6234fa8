//! Why a host could not run, in one line, with its exit code (cli.md).

use crate::app::options::UsageError;
use crate::front::error::FrontError;

/// What kept a mount from coming up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AppError {
    /// One line: what was wrong, where, and what would be right.
    pub message: String,
    /// Exit code of cli.md: 1 failed, 2 usage, 5 not permitted.
    pub code: u8,
}

impl AppError {
    /// Something went wrong: exit 1.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The words of the command are wrong: exit 2.
    #[must_use]
    pub fn usage(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), code: 2 }
    }

    /// Something went wrong, told with everything that caused it: one line has it all. Exit 1.
    #[must_use]
    pub fn caused(error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            message = format!("{message}: {source}");
            next = source.source();
        }
        Self { message, code: 1 }
    }
}

impl From<UsageError> for AppError {
    fn from(error: UsageError) -> Self {
        Self::usage(error)
    }
}

impl From<FrontError> for AppError {
    fn from(error: FrontError) -> Self {
        let code = if error.is_permission() { 5 } else { 1 };
        Self { code, ..Self::caused(&error) }
    }
}
