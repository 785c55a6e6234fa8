//! The program as its users run it: another process, its output, its exit code.
//!
//! `plain` needs no daemon at all; `verbs` speak to a real control server in this process whose
//! host is scripted (`host`), so that every answer a daemon can give is given, without a mount.

mod host;
mod plain;
mod verbs;
