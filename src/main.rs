//! The program: calls `cli`, turns its answer into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(minirdr::cli::run::run().0)
}
