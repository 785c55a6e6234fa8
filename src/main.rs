//! The program: calls `cli`, turns its answer into an exit code, and chooses the allocator.

/// glibc's keeps what a million files took until the daemon ends
/// (docs/decisions/0023-an-allocator-that-returns.md).
#[cfg(all(target_env = "gnu", not(any(loom, shuttle))))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(not(any(loom, shuttle)))]
fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(minirdr::cli::run::run(give_memory_back).0)
}

/// Starts the allocator's own threads, which give back what has not been used for a while. Only a
/// daemon has them, once it serves: a process of several threads is refused `setns(2)` into a mount
/// namespace, which `-N` of the helpers is.
#[cfg(all(target_env = "gnu", not(any(loom, shuttle))))]
fn give_memory_back() -> Result<(), String> {
    tikv_jemalloc_ctl::background_thread::write(true).map_err(|error| error.to_string())
}

/// musl's allocator has no such threads.
#[cfg(all(not(target_env = "gnu"), not(any(loom, shuttle))))]
fn give_memory_back() -> Result<(), String> {
    Ok(())
}

/// Under a model checker there is nothing to run: cargo builds the program beside every test.
#[cfg(any(loom, shuttle))]
fn main() {}
