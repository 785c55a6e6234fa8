//! The program: calls `cli`, turns its answer into an exit code.

#[cfg(not(any(loom, shuttle)))]
fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(minirdr::cli::run::run().0)
}

/// Under a model checker there is nothing to run: cargo builds the program beside every test.
#[cfg(any(loom, shuttle))]
fn main() {}
