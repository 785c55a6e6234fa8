//! The shares of a mount of several providers, as the status has them.

use crate::base::ids::Generation;
use crate::base::stop::State;
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
