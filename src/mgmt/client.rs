//! The other end of the control socket, for the CLI and for tests.
//!
//! A call that has nothing to wait for is given [`CONTROL_REPLY_TIMEOUT`]; a call that waits, waits
//! as long as it takes, and asks [`Client::while_waiting`]'s check a few times a second whether it
//! should. A connection is made when it is needed and dropped when a call was left in its middle,
//! so that a client can be used again after any error.

mod error;
mod metrics;
mod part;
mod providers;
mod watch;

pub use error::ClientError;
pub use providers::ProviderCall;

use crate::base::clock::{Clock, Moment, SystemClock};
use crate::base::ids::{HandleNumber, TicketNumber};
use crate::base::limits::{
    CONTROL_CONNECT_TIMEOUT, CONTROL_REPLY_BYTES_MAX, CONTROL_REPLY_TIMEOUT, CONTROL_WAIT_SLICE,
    EVENTS_KEPT,
};
use crate::base::stop::{Detached, Report};
use crate::mgmt::codec::{self, CodecError, Decoder};
use crate::mgmt::dying::is_dying;
use crate::mgmt::endpoint::credentials;
use crate::mgmt::proto::{
    CallReply, CheckReply, DetachParameters, Event, EventsParameters, EventsReply,
    HandlesParameters, HandlesReply, INTERFACE, ListReply, ListenReply, Method, MountStatus,
    NO_MORE_ITEMS, ReplayParameters, Reply, Request, RequestsReply, ShutdownReply, UnsentDoneReply,
    UnsentReply, WaitParameters, WaitReply,
};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The ending of a control socket's file name.
const SUFFIX: &str = ".sock";

/// What a streamed stop or start says on the way to its report.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It was posted.
    Pending {
        /// The ticket to wait for.
        ticket: TicketNumber,
        /// The stop or start that ran already, if one did.
        running: Option<TicketNumber>,
    },
    /// Something happened.
    Event(Event),
    /// It found nothing left to do: this is how the call ended that it joined. Comes last.
    Joined(Report),
}

/// Asked while a call waits; `Break` ends the call with [`ClientError::Interrupted`].
type Patience = Box<dyn FnMut() -> ControlFlow<()> + Send>;

/// A caller of one daemon.
pub struct Client {
    path: PathBuf,
    clock: SystemClock,
    connection: Option<Connection>,
    patience: Patience,
    /// The provider it asks about; none: the mount.
    provider: Option<String>,
}

/// A stream and what of the next message has arrived on it.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    decoder: Decoder,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Client").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the daemon behind the socket at `path`.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let connection = Connection::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            clock: SystemClock::new(),
            connection: Some(connection),
            patience: Box::new(|| ControlFlow::Continue(())),
            provider: None,
        })
    }

    /// Sets what is asked about every 250 ms while a call waits: an interrupt, a progress line to
    /// redraw. `Break` ends the wait with [`ClientError::Interrupted`].
    pub fn while_waiting(&mut self, check: impl FnMut() -> ControlFlow<()> + Send + 'static) {
        self.patience = Box::new(check);
    }

    /// The socket this client speaks to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user whose daemon it is, as the kernel knows it; none when there is no connection.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        let connection = self.connection.as_ref()?;
        credentials(&connection.stream).map(|daemon| daemon.uid)
    }

    /// Everything about the mount.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&mut self) -> Result<MountStatus, ClientError> {
        self.ask(Method::Status, &self.part())
    }

    /// All mounts of the daemon.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn list(&mut self) -> Result<Vec<MountStatus>, ClientError> {
        Ok(self.ask::<_, ListReply>(Method::List, &())?.mounts)
    }

    /// All open handles and who holds the mount, put together from the daemon's pages.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn handles(&mut self) -> Result<HandlesReply, ClientError> {
        let mut all = HandlesReply::default();
        self.handles_paged(&mut |page| {
            all.append(page);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// Who holds the mount, and the totals, without the handles themselves: bounded, however many
    /// are open.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn holders(&mut self) -> Result<HandlesReply, ClientError> {
        let mut all = HandlesReply::default();
        let asked = HandlesParameters { holders_only: true };
        self.stream(Method::Handles, &asked, Some(CONTROL_REPLY_TIMEOUT), &mut |page| {
            all.append(page);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// Takes one handle from its holder.
    ///
    /// # Errors
    /// [`ClientError`]; `Refused` when no such handle is open.
    pub fn detach(&mut self, handle: HandleNumber) -> Result<Detached, ClientError> {
        self.ask(Method::Detach, &DetachParameters { handle })
    }

    /// The same page by page, for mounts with more handles than one wants in memory; `Break` ends
    /// it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn handles_paged(
        &mut self,
        on_page: &mut dyn FnMut(HandlesReply) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        self.stream(Method::Handles, &(), Some(CONTROL_REPLY_TIMEOUT), on_page)
    }

    /// Requests in flight.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn requests(&mut self) -> Result<RequestsReply, ClientError> {
        self.ask(Method::Requests, &())
    }

    /// What a stop would meet; changes nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn check(&mut self) -> Result<CheckReply, ClientError> {
        self.ask(Method::Check, &self.part())
    }

    /// Lets remote management listen again.
    ///
    /// # Errors
    /// [`ClientError`]; `Refused` when an endpoint cannot be opened.
    pub fn listen(&mut self) -> Result<ListenReply, ClientError> {
        self.ask(Method::Listen, &())
    }

    /// Stops the listening of remote management. The mount and the control socket go on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn shutdown(&mut self) -> Result<ShutdownReply, ClientError> {
        self.ask(Method::Shutdown, &())
    }

    /// Waits for a ticket or a state, as long as `parameters` say.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn wait(&mut self, parameters: &WaitParameters) -> Result<WaitReply, ClientError> {
        let provider = self.provider.clone();
        let parameters = WaitParameters { provider, ..parameters.clone() };
        self.ask_within(Method::Wait, &parameters, None)
    }

    /// The events that are kept, after number `since` if given.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn events(&mut self, since: Option<u64>) -> Result<Vec<Event>, ClientError> {
        let asked = EventsParameters { since, ..EventsParameters::default() };
        Ok(self.events_of(asked)?.events)
    }

    /// The same, as `parameters` say, all in one; with the number to read on after.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn events_of(
        &mut self,
        mut parameters: EventsParameters,
    ) -> Result<EventsReply, ClientError> {
        let mut all = EventsReply { status: NO_MORE_ITEMS, ..EventsReply::default() };
        loop {
            let page: EventsReply = self.ask(Method::Events, &parameters)?;
            let whole = page.events.len() < EVENTS_KEPT;
            all.status = all.status.min(page.status);
            all.next = page.next;
            all.events.extend(page.events);
            if whole || parameters.max.is_some() {
                return Ok(all);
            }
            parameters.since = Some(page.next);
        }
    }

    /// The events that are kept, after number `since` if given, and then each as it comes, until
    /// `on_event` breaks off or the daemon ends.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn follow_events(
        &mut self,
        since: Option<u64>,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let asked = EventsParameters { since, ..EventsParameters::default() };
        self.follow_events_of(&asked, on_event)
    }

    /// The same, as `parameters` say.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn follow_events_of(
        &mut self,
        parameters: &EventsParameters,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let on_reply =
            &mut |reply: EventsReply| reply.events.into_iter().try_for_each(&mut *on_event);
        self.stream(Method::Events, parameters, None, on_reply)
    }

    /// What did not reach the server and is kept.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn unsent(&mut self) -> Result<UnsentReply, ClientError> {
        self.ask(Method::Unsent, &())
    }

    /// Puts it on the server; waits as long as the server takes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn replay(&mut self, force: bool) -> Result<UnsentDoneReply, ClientError> {
        self.ask_within(Method::Replay, &ReplayParameters { force }, None)
    }

    /// Keeps it no longer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn discard(&mut self) -> Result<UnsentDoneReply, ClientError> {
        self.ask(Method::Discard, &())
    }

    /// A stop or start with `more`: pending, then events, then the report.
    fn call_streaming<P: Serialize>(
        &mut self,
        method: Method,
        parameters: &P,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<Report>, ClientError> {
        let mut report = None;
        self.stream(method, parameters, None, &mut |reply: CallReply| {
            if reply.report.is_some() {
                report = reply.report;
                let joined = reply.joined.map(Progress::Joined);
                return joined.map_or(ControlFlow::Continue(()), &mut *on_progress);
            }
            if let Some(event) = reply.event {
                return on_progress(Progress::Event(event));
            }
            let Some(ticket) = reply.ticket else { return ControlFlow::Continue(()) };
            on_progress(Progress::Pending { ticket, running: reply.running })
        })?;
        Ok(report)
    }

    /// One call, one reply, nothing to wait for.
    fn ask<P: Serialize, R: DeserializeOwned>(
        &mut self,
        method: Method,
        parameters: &P,
    ) -> Result<R, ClientError> {
        self.ask_within(method, parameters, Some(CONTROL_REPLY_TIMEOUT))
    }

    /// One call, one reply, within `limit` if there is one.
    fn ask_within<P: Serialize, R: DeserializeOwned>(
        &mut self,
        method: Method,
        parameters: &P,
        limit: Option<Duration>,
    ) -> Result<R, ClientError> {
        let mut connection = self.send(method, parameters, false)?;
        let reply = self.receive(&mut connection, limit)?;
        if reply.continues {
            return Err(self.protocol(format!("{} answered in parts", method.name())));
        }
        self.connection = Some(connection);
        self.open_reply(reply)
    }

    /// One call, any number of replies, each within `limit` if there is one, until the last one or
    /// until `on_reply` breaks off.
    fn stream<P: Serialize, R: DeserializeOwned>(
        &mut self,
        method: Method,
        parameters: &P,
        limit: Option<Duration>,
        on_reply: &mut dyn FnMut(R) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let mut connection = self.send(method, parameters, true)?;
        loop {
            let reply = self.receive(&mut connection, limit)?;
            let continues = reply.continues;
            let broke_off = on_reply(self.open_reply(reply)?).is_break();
            if !continues {
                self.connection = Some(connection);
                return Ok(());
            }
            if broke_off {
                return Ok(());
            }
        }
    }

    /// Sends a call over the kept connection or a new one.
    fn send<P: Serialize>(
        &mut self,
        method: Method,
        parameters: &P,
        more: bool,
    ) -> Result<Connection, ClientError> {
        let parameters = match serde_json::to_value(parameters) {
            Ok(Value::Object(parameters)) => parameters,
            Ok(Value::Null) => Map::new(),
            Ok(_) | Err(_) => {
                return Err(self.protocol(format!("parameters of {}", method.name())));
            }
        };
        let request =
            Request { method: method.full_name(), parameters, more, ..Request::default() };
        let bytes = codec::encode(&request).map_err(|error| self.protocol(error.to_string()))?;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.path)?,
        };
        match connection.stream.write_all(&bytes) {
            Ok(()) => Ok(connection),
            // A full server says so and closes without reading: its word is still to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(connection),
            Err(source) => Err(ClientError::Lost { path: self.path.clone(), source }),
        }
    }

    /// Waits for one reply, asking between slices whether to go on.
    fn receive(
        &mut self,
        connection: &mut Connection,
        limit: Option<Duration>,
    ) -> Result<Reply, ClientError> {
        let started: Moment = self.clock.now();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match connection.decoder.next_message::<Reply>() {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(CodecError::Malformed(error)) => return Err(self.protocol(error.to_string())),
                Err(error @ CodecError::TooLong { .. }) => {
                    return Err(self.protocol(error.to_string()));
                }
            }
            match connection.stream.read(&mut chunk) {
                Ok(0) => return Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => connection.decoder.push(&chunk[..count]),
                Err(error) if is_pause(&error) => {
                    if (self.patience)().is_break() {
                        return Err(ClientError::Interrupted);
                    }
                    if let Some(limit) = limit
                        && self.clock.now().since(started) >= limit
                    {
                        let path = self.path.clone();
                        return Err(ClientError::NoAnswer { path, after: limit });
                    }
                }
                Err(source) => return Err(self.lost(source)),
            }
        }
    }

    /// The result inside a reply, or the error it stands for.
    fn open_reply<R: DeserializeOwned>(&self, reply: Reply) -> Result<R, ClientError> {
        if let Some(error) = reply.error {
            return Err(failure(&error, &reply.parameters));
        }
        serde_json::from_value(Value::Object(reply.parameters))
            .map_err(|error| self.protocol(error.to_string()))
    }

    fn protocol(&self, what: String) -> ClientError {
        ClientError::Protocol { path: self.path.clone(), what }
    }

    fn lost(&self, source: io::Error) -> ClientError {
        ClientError::Lost { path: self.path.clone(), source }
    }
}

impl Connection {
    /// Connects within [`CONTROL_CONNECT_TIMEOUT`]; reads come back every [`CONTROL_WAIT_SLICE`].
    fn open(path: &Path) -> Result<Self, ClientError> {
        let unreachable = |error: io::Error| {
            // The kernel's word for a daemon whose queue of callers stays full.
            let source = match error.kind() {
                io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                _ => error,
            };
            ClientError::Unreachable { path: path.to_owned(), source }
        };
        let open = || -> io::Result<UnixStream> {
            let address = SocketAddrUnix::new(path)?;
            let flags = SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            set_socket_timeout(&socket, Timeout::Send, Some(CONTROL_CONNECT_TIMEOUT))?;
            set_socket_timeout(&socket, Timeout::Recv, Some(CONTROL_WAIT_SLICE))?;
            connect(&socket, &address)?;
            // Its socket takes callers as long as it cannot end, and nobody will ever answer them.
            if credentials(&socket).is_some_and(|peer| is_dying(peer.pid)) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(UnixStream::from(socket))
        };
        let stream = open().map_err(unreachable)?;
        Ok(Self { stream, decoder: Decoder::new(CONTROL_REPLY_BYTES_MAX) })
    }
}

/// Did a read end because its slice of time did, or because of a signal?
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// The error a reply stands for.
fn failure(error: &str, parameters: &Map<String, Value>) -> ClientError {
    let text = |key: &str| parameters.get(key).and_then(Value::as_str).map(str::to_owned);
    let own = error.strip_prefix(INTERFACE).and_then(|rest| rest.strip_prefix('.'));
    let message = text("message").unwrap_or_else(|| {
        let word = error.rsplit('.').next().unwrap_or(error);
        ["parameter", "method", "interface"]
            .into_iter()
            .find_map(text)
            .map_or_else(|| word.to_owned(), |what| format!("{word}: {what}"))
    });
    match own {
        Some("NotPermitted") => ClientError::Denied(message),
        Some(name) => ClientError::Failed { name: name.to_owned(), message },
        None => ClientError::Failed { name: error.to_owned(), message },
    }
}

/// Where the daemon of the mount `name` listens.
#[must_use]
pub fn socket_path(runtime_dir: &Path, name: &str) -> PathBuf {
    runtime_dir.join(format!("{name}{SUFFIX}"))
}

/// A control socket found in a directory; whether anybody listens, only connecting tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundSocket {
    /// The mount's name.
    pub name: String,
    /// The socket.
    pub path: PathBuf,
}

/// The control sockets in `runtime_dir`, by name; none when the directory does not exist.
///
/// # Errors
/// The system's, when the directory cannot be read.
pub fn sockets(runtime_dir: &Path) -> io::Result<Vec<FoundSocket>> {
    let entries = match std::fs::read_dir(runtime_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let file_name = path.file_name().and_then(OsStr::to_str);
        let name = file_name.and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned);
        found.extend(name.map(|name| FoundSocket { name, path }));
    }
    found.sort();
    Ok(found)
}
