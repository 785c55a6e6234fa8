//! The program: calls `cli`, turns its answer into an exit code, and chooses the allocator.

/// glibc's keeps what a million files took until the daemon ends
/// (docs/decisions/0023-an-allocator-that-returns.md).
#[cfg(all(target_env = "gnu", not(any(loom, shuttle))))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(not(any(loom, shuttle)))]
fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(minirdr::cli::run::run().0)
}

/// Under a model checker there is nothing to run: cargo builds the program beside every test.
#[cfg(any(loom, shuttle))]
fn main() {}
