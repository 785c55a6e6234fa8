//! Words to commands, commands to output and exit codes (cli.md).
//!
//! Nothing here touches a mount point to find out about it: the control socket, `/proc` and
//! mountinfo only, so that every command answers while a mount hangs.
//!
//! Start reading at [`run`]; [`args`] is what a user can say, [`judge`] what he is told and why.

pub mod args;
pub mod commands;
pub mod config_file;
pub mod corpse;
pub mod daemon;
pub mod demo;
pub mod doctor;
pub mod environment;
pub mod exit;
pub mod helper;
pub mod holders;
pub mod judge;
pub mod locate;
pub mod logging;
pub mod mountinfo;
pub mod pinned;
pub mod print;
pub mod progress;
pub mod quote;
pub mod run;
pub mod table;
pub mod unsent;
pub mod view;
pub mod vigil;

#[cfg(test)]
mod schema_tests;
