//! What each verb does: ask the daemon, have the answer judged, print it.

pub mod answer;
pub mod detach;
pub mod events;
pub mod generate;
pub mod handles;
pub mod metrics;
pub mod mount;
pub mod provider;
pub mod rpc;
pub mod show;
pub mod start;
pub mod stop;
pub mod unsent;
pub mod wait;
pub mod watch;
pub mod watch_path;
