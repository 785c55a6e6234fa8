//! A mount of several providers: what it is made from, and the parts that are not of one device
//! (namespace.md).

pub mod book;
mod calls;
pub mod changes;
pub mod check;
pub mod directories;
mod hand_over;
pub mod kernel_names;
pub mod listing;
pub mod members;
pub mod part;
pub mod provider;
pub mod providers;
pub mod reload;
pub mod share_keeper;
pub mod sweep;
pub mod together;

use crate::app::source::Source;
pub use crate::mup::net_name::NetName;

/// What a configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceConfig {
    /// The mount's name, unless `--name` or `-o name=` says another.
    pub name: Option<String>,
    /// Its providers, in the order in which they are asked.
    pub providers: Vec<ProviderConfig>,
}

/// One provider, as a configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name; unique in its mount.
    pub name: String,
    /// Where it is shown: at least one, none the root, none inside another's.
    pub prefixes: Vec<NetName>,
    /// What it shows.
    pub source: Source,
    /// Options of its mini-redirector.
    pub options: Vec<(String, String)>,
}
