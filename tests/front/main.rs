//! The front on real mounts. Needs `/dev/fuse` and root; says so and stops where they are missing.
//!
//! Clients are processes of their own, bounded in time: a process that serves and uses a mount can
//! hang for ever (gate.md 4.3, 12).

#[path = "../common/mod.rs"]
mod common;
mod control;
mod fixture;
mod handover;
mod life;
mod serving;

/// Can this machine run these tests?
pub fn can_mount() -> bool {
    let root = rustix::process::geteuid().is_root();
    let device = std::path::Path::new("/dev/fuse").exists();
    if !(root && device) {
        println!("skipped: needs root and /dev/fuse");
    }
    root && device
}
