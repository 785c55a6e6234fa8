//! Words to commands, commands to output and exit codes (cli.md).
//!
//! Nothing here touches a mount point to find out about it: the control socket, `/proc` and
//! mountinfo only, so that every command answers while a mount hangs.

pub mod args;
pub mod exit;
pub mod holders;
pub mod judge;
pub mod locate;
pub mod mountinfo;
pub mod print;
pub mod progress;
pub mod table;
pub mod view;
