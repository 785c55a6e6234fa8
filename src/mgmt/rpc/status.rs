//! The results of the runtime, by the numbers that Windows and Samba know them by.

/// What a call of the runtime results in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RpcStatus {
    /// `RPC_S_OK`.
    Ok,
    /// `ERROR_ACCESS_DENIED`: the authorisation function said no.
    AccessDenied,
    /// `ERROR_CAN_NOT_COMPLETE`: the call would wait for itself.
    CannotComplete,
    /// `RPC_S_ALREADY_LISTENING`.
    AlreadyListening,
    /// `RPC_S_NO_PROTSEQS_REGISTERED`: there is no endpoint to listen on.
    NoEndpoints,
    /// `RPC_S_NOT_LISTENING`.
    NotListening,
    /// `RPC_S_UNKNOWN_IF`: no such interface is registered.
    UnknownInterface,
    /// `RPC_S_MAX_CALLS_TOO_SMALL`.
    MaxCallsTooSmall,
    /// `RPC_S_UNKNOWN_AUTHN_SERVICE`: this server has no principal.
    UnknownAuthenticationService,
}

impl RpcStatus {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::AccessDenied => 5,
            Self::CannotComplete => 1003,
            Self::AlreadyListening => 1713,
            Self::NoEndpoints => 1714,
            Self::NotListening => 1715,
            Self::UnknownInterface => 1717,
            Self::MaxCallsTooSmall => 1742,
            Self::UnknownAuthenticationService => 1747,
        }
    }
}
