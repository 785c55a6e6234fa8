//! Why the router refuses a call, and the Win32 number each answer has in the documents of the
//! multicast group manager, whose calls these are (rpc_rras_mgm.md, section D).
//!
//! | number | name there | here |
//! | --- | --- | --- |
//! | 8 | ERROR_NOT_ENOUGH_MEMORY | a bound of the router is reached |
//! | 87 | ERROR_INVALID_PARAMETER | a dead handle; a prefix that is unknown or another's |
//! | 183 | ERROR_ALREADY_EXISTS | a provider of this name; a prefix with another owner |
//! | 259 | ERROR_NO_MORE_ITEMS | the end of a listing |
//! | 1003 | ERROR_CAN_NOT_COMPLETE | not now: it still owns a prefix, or one changes hands |
//! | 1168 | ERROR_NOT_FOUND | no owner, no such watch |

use crate::mup::net_name::NetName;

/// A refusal; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A provider has this name already. 183.
    #[error("a provider named {0} is registered")]
    NameTaken(String),
    /// The prefix has another owner. 183.
    #[error("{prefix} belongs to {owner}")]
    Owned {
        /// Which.
        prefix: NetName,
        /// The owner's name.
        owner: String,
    },
    /// The handle is not, or no longer, a registered provider's. 87.
    #[error("no such provider")]
    DeadHandle,
    /// Nobody owns the prefix that is to be given up. 87.
    #[error("{0} is no prefix")]
    NoPrefix(NetName),
    /// The prefix, or the prefix of the path, belongs to another. 87.
    #[error("{0} belongs to another provider")]
    NotOwner(NetName),
    /// The provider must release its prefixes first. 1003.
    #[error("it still owns {0} prefixes")]
    StillOwns(usize),
    /// The agent has let go of the prefix while it changes hands. 1003.
    #[error("{0} is changing hands")]
    Disabled(NetName),
    /// The call was made by a callback of the router, and would wait for the callback itself. 1003.
    #[error("called from inside a callback of the router")]
    InsideCallback,
    /// Nobody owns the prefix, or a prefix of the path. 1168.
    #[error("{0} has no owner")]
    NoOwner(NetName),
    /// There is no such watch. 1168.
    #[error("{0} is not watched")]
    NotWatched(NetName),
    /// The listing is at its end. 259.
    #[error("no more")]
    NoMore,
    /// So many are allowed at most. 8.
    #[error("there are {0} already: no more are taken")]
    Full(usize),
}

impl Refused {
    /// The Win32 number, for the control plane.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Full(_) => 8,
            Self::DeadHandle | Self::NoPrefix(_) | Self::NotOwner(_) => 87,
            Self::NameTaken(_) | Self::Owned { .. } => 183,
            Self::NoMore => 259,
            Self::StillOwns(_) | Self::Disabled(_) | Self::InsideCallback => 1003,
            Self::NoOwner(_) | Self::NotWatched(_) => 1168,
        }
    }
}
