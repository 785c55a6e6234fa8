//! Where the remote management interface listens, as DCE writes it: a protocol sequence, an
//! address, and the endpoint in brackets.

use crate::mgmt::endpoint::{Claim, Endpoint, EndpointError};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `ncacn_ip_tcp:ADDRESS[PORT]`.
    Tcp(SocketAddr),
    /// `ncalrpc:[PATH]`: a Unix socket.
    Local(PathBuf),
}

/// Why a word is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// None of the forms there are.
    #[error(
        "{0:?} is no endpoint: write ncacn_ip_tcp:127.0.0.1[PORT] or ncalrpc:[/DIRECTORY/NAME]"
    )]
    NoForm(String),
    /// A name, or nothing, where an address belongs.
    #[error("{0:?} is no IP address: write the one to listen on, such as 127.0.0.1")]
    NoAddress(String),
    /// No port.
    #[error("{0:?} is no port: write a number from 1 to 65535 in the brackets")]
    NoPort(String),
    /// A path that depends on where one is.
    #[error("{0:?} is no absolute path: write ncalrpc:[/DIRECTORY/NAME]")]
    NoPath(String),
}

impl FromStr for Binding {
    type Err = BindingError;

    fn from_str(text: &str) -> Result<Self, BindingError> {
        let no_form = || BindingError::NoForm(text.to_owned());
        let (sequence, rest) = text.split_once(':').ok_or_else(no_form)?;
        let (address, endpoint) =
            rest.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')).ok_or_else(no_form)?;
        match (sequence, address) {
            ("ncacn_ip_tcp", address) => {
                let no_address = || BindingError::NoAddress(address.to_owned());
                let address: IpAddr = address.parse().map_err(|_| no_address())?;
                let port = endpoint.parse::<u16>().ok().filter(|port| *port != 0);
                let port = port.ok_or_else(|| BindingError::NoPort(endpoint.to_owned()))?;
                Ok(Self::Tcp(SocketAddr::new(address, port)))
            }
            ("ncalrpc", "") => {
                let path = PathBuf::from(endpoint);
                match path.is_absolute() && path.file_name().is_some() {
                    true => Ok(Self::Local(path)),
                    false => Err(BindingError::NoPath(endpoint.to_owned())),
                }
            }
            _ => Err(no_form()),
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => write!(out, "ncacn_ip_tcp:{}[{}]", at.ip(), at.port()),
            Self::Local(path) => write!(out, "ncalrpc:[{}]", path.display()),
        }
    }
}

/// Why nobody can listen there.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system says so.
    #[error("cannot listen on {0}")]
    System(Binding, #[source] io::Error),
    /// The place of the socket says so.
    #[error("cannot listen on {0}")]
    Place(Binding, #[source] EndpointError),
}

/// An endpoint that is listened on. Nobody is served yet; who connects waits.
#[derive(Debug)]
pub enum Listener {
    /// On TCP.
    Tcp(TcpListener, SocketAddr),
    /// On a Unix socket, which is taken away at the end.
    Local(Endpoint),
}

impl Binding {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is left behind.
    pub fn open(&self) -> Result<Listener, OpenError> {
        let failed = |error| OpenError::System(self.clone(), error);
        match self {
            Self::Tcp(address) => {
                let listener = TcpListener::bind(address).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                Ok(Listener::Tcp(listener, address))
            }
            Self::Local(path) => {
                let claimed = Claim::at(path).and_then(Claim::listen);
                claimed.map(Listener::Local).map_err(|error| OpenError::Place(self.clone(), error))
            }
        }
    }
}

impl Listener {
    /// Where it really listens.
    #[must_use]
    pub fn binding(&self) -> Binding {
        match self {
            Self::Tcp(_, address) => Binding::Tcp(*address),
            Self::Local(endpoint) => Binding::Local(endpoint.socket().to_owned()),
        }
    }

    /// What a bind is told of it: the port, or the name of the socket.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(_, address) => address.port().to_string(),
            Self::Local(endpoint) => endpoint.name().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_what_dce_writes() {
        for (text, expected) in [
            ("ncacn_ip_tcp:127.0.0.1[49152]", Binding::Tcp(([127, 0, 0, 1], 49152).into())),
            ("ncacn_ip_tcp:::1[135]", Binding::Tcp("[::1]:135".parse().expect("an address"))),
            ("ncalrpc:[/run/x/EPMAPPER]", Binding::Local("/run/x/EPMAPPER".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected.clone()));
            assert_eq!(expected.to_string(), text);
        }
    }

    #[test]
    fn what_is_none_is_said_in_one_line() {
        for (text, part) in [
            ("", "ncacn_ip_tcp:127.0.0.1[PORT]"),
            ("127.0.0.1:135", "ncacn_ip_tcp:127.0.0.1[PORT]"),
            ("ncacn_ip_tcp:127.0.0.1", "ncacn_ip_tcp:127.0.0.1[PORT]"),
            ("ncacn_np:server[\\pipe\\x]", "ncacn_ip_tcp:127.0.0.1[PORT]"),
            ("ncalrpc:host[/x]", "ncalrpc:[/DIRECTORY/NAME]"),
            ("ncacn_ip_tcp:localhost[135]", "\"localhost\" is no IP address"),
            ("ncacn_ip_tcp:[135]", "\"\" is no IP address"),
            ("ncacn_ip_tcp:127.0.0.1[0]", "1 to 65535"),
            ("ncacn_ip_tcp:127.0.0.1[65536]", "1 to 65535"),
            ("ncacn_ip_tcp:127.0.0.1[]", "1 to 65535"),
            ("ncalrpc:[NAME]", "absolute"),
            ("ncalrpc:[]", "absolute"),
            ("ncalrpc:[/]", "absolute"),
        ] {
            let error = text.parse::<Binding>().expect_err(text).to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
