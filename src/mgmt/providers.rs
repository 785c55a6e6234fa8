//! The shares of a mount of several providers, as the status has them, and what is asked of
//! providers.

use crate::base::ids::Generation;
use crate::base::stop::{State, StopOptions};
use serde::{Deserialize, Serialize};

/// One share of a mount of several providers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// The provider.
    pub name: String,
    /// Its device, as events name it: the provider's name, with the prefix where it has several.
    pub device: String,
    /// Where it is shown, from the mount's root.
    pub prefix: String,
    /// What it shows.
    pub source: String,
    /// The state of its device.
    pub state: State,
    /// It has left and is there for what is still open, or is about to take another's place.
    #[serde(default)]
    pub aside: bool,
    /// Successful starts so far.
    pub generation: Generation,
    /// Its handle at the router while the prefix is its; never used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u64>,
    /// Counted requests inside.
    pub requests_in_flight: u64,
    /// Open handles of all generations.
    pub open_handles: u64,
    /// Of these, survivors.
    pub survivors: u64,
    /// Bytes not on the server yet.
    pub unsent_bytes: u64,
}

/// What is done to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It comes.
    Add,
    /// It goes.
    Remove,
    /// Another takes its place.
    Replace,
}

/// A provider in words, as a configuration file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderWords {
    /// Its name.
    pub name: String,
    /// Where it is shown; of one that is replaced, empty: where it is shown now.
    pub prefixes: Vec<String>,
    /// What it shows; a directory absolute.
    pub source: String,
    /// Options of its mini-redirector, each `KEY=VALUE` or `KEY`.
    pub options: Vec<String>,
}

/// Parameters of a method that is about the mount, or one provider of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartParameters {
    /// The provider; none: the mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// Parameters of `AddProvider`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddProviderParameters {
    /// What is to be added.
    pub provider: ProviderWords,
}

/// Parameters of `RemoveProvider`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoveProviderParameters {
    /// Its name.
    pub provider: String,
    /// How it is stopped.
    pub options: StopOptions,
}

/// Parameters of `ReplaceProvider`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplaceProviderParameters {
    /// What takes the place of the provider of this name.
    pub provider: ProviderWords,
    /// How that is stopped.
    pub options: StopOptions,
}
