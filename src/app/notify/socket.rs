//! The service manager's datagram socket.

use crate::app::notify::NotifyConfig;
use crate::base::limits::NOTIFY_SEND_WAIT;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Why the service manager cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("NOTIFY_SOCKET {}: {source}", address.display())]
pub struct NotifyError {
    /// Where it is said to be.
    pub address: OsString,
    /// What is wrong there.
    #[source]
    pub source: io::Error,
}

impl NotifyError {
    /// It does not read just now: the same can be said later.
    pub(in crate::app) fn is_full(&self) -> bool {
        self.source.kind() == io::ErrorKind::WouldBlock
    }
}

/// A socket of our own, and the manager's address. It is not connected: a manager that makes its
/// socket anew is found again. It is closed on exec, as all sockets of the standard library are.
#[derive(Debug)]
pub(in crate::app) struct NotifySocket {
    socket: UnixDatagram,
    address: SocketAddr,
    named: OsString,
}

impl NotifySocket {
    /// A socket to say things from.
    ///
    /// # Errors
    /// The address is none, or the system has no socket.
    pub fn open(address: &OsStr) -> Result<Self, NotifyError> {
        let named = address.to_owned();
        let open = || {
            let address = parse(address)?;
            let socket = UnixDatagram::unbound()?;
            // A manager that does not read must not hold up the end of the daemon.
            socket.set_write_timeout(Some(NOTIFY_SEND_WAIT))?;
            Ok((socket, address))
        };
        match open() {
            Ok((socket, address)) => Ok(Self { socket, address, named }),
            Err(source) => Err(NotifyError { address: named, source }),
        }
    }

    /// Sends one message, waiting at most [`NOTIFY_SEND_WAIT`] for room. The caller holds no lock.
    ///
    /// # Errors
    /// Nobody is there, or it does not read.
    pub fn send(&self, text: &str) -> Result<(), NotifyError> {
        crate::base::sync::assert_no_locks("a word to the service manager");
        loop {
            let sent = self.socket.send_to_addr(text.as_bytes(), &self.address);
            match sent {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(NotifyError { address: self.named.clone(), source }),
            }
        }
    }
}

/// `/path`, or `@name` in the abstract namespace.
fn parse(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(address),
        [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
        _ => {
            let what = "neither a path nor the name of an abstract socket";
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
    }
}

/// Tells the service manager that the service is ready, and that `daemon` is it. Said by the
/// process that the manager started, before it ends: from any other the manager takes nothing
/// (`NotifyAccess=main`).
///
/// # Errors
/// [`NotifyError`]; the daemon runs all the same.
pub fn hand_over(config: &NotifyConfig, daemon: u32) -> Result<(), NotifyError> {
    NotifySocket::open(&config.address)?.send(&format!("MAINPID={daemon}\nREADY=1\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("it was sent");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn config(address: impl Into<OsString>) -> NotifyConfig {
        NotifyConfig { address: address.into(), watchdog: None, handed_over: false }
    }

    #[test]
    fn a_path_and_an_abstract_name_are_reached() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("notify");
        let by_path = UnixDatagram::bind(&path).expect("bound");
        hand_over(&config(&path), 7).expect("it is there");
        assert_eq!(receive(&by_path), "MAINPID=7\nREADY=1\n");

        let name = format!("minirdr/test/{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&abstract_name).expect("bound");
        hand_over(&config(format!("@{name}")), 8).expect("it is there");
        assert_eq!(receive(&by_name), "MAINPID=8\nREADY=1\n");
    }

    #[test]
    fn where_nobody_is_an_error_says_so() {
        let long = format!("/{}", "x".repeat(200));
        for address in ["", "@", "vsock:2:1234", "relative", "/nonexistent/notify", &long] {
            let error = hand_over(&config(address), 7).expect_err("nobody is there");
            assert!(
                error.to_string().starts_with(&format!("NOTIFY_SOCKET {address}: ")),
                "{error}"
            );
            assert!(!error.is_full(), "{address}");
        }
    }

    /// A manager that does not read costs a bounded time, and is told apart from one that is gone.
    #[test]
    fn a_full_queue_is_given_up_on() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("notify");
        let deaf = UnixDatagram::bind(&path).expect("bound");
        let socket = NotifySocket::open(path.as_os_str()).expect("an address");
        let full = (0..10_000).find_map(|_| socket.send("STATUS=x").err());
        let error = full.expect("a queue has an end");
        assert!(error.is_full(), "{error}");
        assert_eq!(receive(&deaf), "STATUS=x");
        socket.send("READY=1").expect("there is room again");
    }
}
