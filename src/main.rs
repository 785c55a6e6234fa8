//! The program: calls `cli`, turns its answer into an exit code.

fn main() {}
