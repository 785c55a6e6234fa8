//! Carries out one request: who asks, may he, do it, answer. No sockets.
//!
//! Every call is authorised before any effect, and nothing is said of a mount to whom it is not to
//! be told (management.md §2). Calls that wait are in `waiting`.

use crate::base::clock::Clock;
use crate::base::limits::{LISTED_MAX, PAGE_MAX, SCANS_MAX};
use crate::base::stop::HandleInfo;
use crate::mgmt::authz::{Decision, Operation, Peer, Policy};
use crate::mgmt::control::{Control, ControlError, Part};
use crate::mgmt::disclosure::Disclosure;
use crate::mgmt::events::EventQueue;
use crate::mgmt::holders::{Scanner, Target};
use crate::mgmt::merge::Merge;
use crate::mgmt::metrics::{self, PlaneNumbers};
use crate::mgmt::proto::{
    CheckReply, DetachParameters, Failure, HandlesParameters, HandlesReply, Holder, INTERFACE,
    ListReply, ListenReply, Method, MetricsParameters, MountStatus, PartParameters, Reply, Request,
    RequestsReply, ShutdownReply, StopParameters, UnsentDoneReply, UnsentReply, VARLINK_INTERFACE,
};
use crate::mgmt::rpc::machine::Which;
use crate::mgmt::rpc::{self, runtime::RpcServer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Our interface, as `GetInterfaceDescription` gives it.
pub const DESCRIPTION: &str = include_str!("../../docs/io.minirdr.Control.varlink");
/// Varlink's own, the same for every service.
const VARLINK_DESCRIPTION: &str = include_str!("../../docs/org.varlink.service.varlink");

/// The peer went away; its call ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Is it worth to wait longer on behalf of a call?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// The peer is there.
    Waiting,
    /// The peer went away.
    Gone,
    /// The server ends: answer with what there is.
    Ending,
}

/// Where the replies to one call go.
pub trait Replies {
    /// Sends one; the call ends without more when that fails.
    ///
    /// # Errors
    /// [`Gone`].
    fn send(&mut self, reply: &Reply) -> Result<(), Gone>;

    /// Asked between slices of a wait.
    fn interest(&mut self) -> Interest;

    /// The call of the runtime that is being answered, if it came through one.
    fn running(&self) -> Option<&rpc::runtime::Call> {
        None
    }
}

/// Why a call has no result.
#[derive(Debug)]
pub(in crate::mgmt) enum Trouble {
    /// An error of our interface.
    Failure(Failure),
    /// An error of varlink's: its name and its one field.
    Varlink(&'static str, Option<(&'static str, String)>),
    /// Nobody to tell.
    Gone,
}

impl From<Gone> for Trouble {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<ControlError> for Trouble {
    fn from(error: ControlError) -> Self {
        let text = error.to_string();
        Self::Failure(match error {
            ControlError::NotPermitted(_) => Failure::NotPermitted(text),
            ControlError::UnknownTicket(_) => Failure::UnknownTicket(text),
            ControlError::TooMany => Failure::TooMany(text),
            ControlError::Refused(_) => Failure::Refused(text),
        })
    }
}

impl Trouble {
    /// That the parameter of this name is none.
    pub(in crate::mgmt) fn parameter(name: &str) -> Self {
        Self::Failure(Failure::InvalidParameter(name.to_owned()))
    }

    /// The reply that says so; `None` when there is nobody to tell.
    fn reply(self) -> Option<Reply> {
        let (error, field) = match self {
            Self::Gone => return None,
            Self::Varlink(name, field) => (format!("{VARLINK_INTERFACE}.{name}"), field),
            Self::Failure(Failure::InvalidParameter(parameter)) => {
                return Self::Varlink("InvalidParameter", Some(("parameter", parameter))).reply();
            }
            Self::Failure(failure) => {
                let message = failure.to_string();
                (format!("{INTERFACE}.{}", failure_name(&failure)), Some(("message", message)))
            }
        };
        let parameters = field
            .map(|(name, value)| (name.to_owned(), Value::String(value)))
            .into_iter()
            .collect();
        Some(Reply { parameters, continues: false, error: Some(error) })
    }
}

/// The last part of a failure's name on the wire.
const fn failure_name(failure: &Failure) -> &'static str {
    match failure {
        Failure::NotPermitted(_) => "NotPermitted",
        Failure::Refused(_) => "Refused",
        Failure::UnknownTicket(_) => "UnknownTicket",
        Failure::InvalidParameter(_) => "InvalidParameter",
        Failure::TooMany(_) => "TooMany",
    }
}

/// The reply of a server that takes no more clients; it comes before any request was read.
#[must_use]
pub fn too_many_clients() -> Reply {
    let failure = Failure::TooMany("too many clients of the control socket".to_owned());
    Trouble::Failure(failure).reply().unwrap_or_default()
}

/// The reply to a message that is no request.
#[must_use]
pub fn not_a_request() -> Reply {
    Trouble::parameter("method").reply().unwrap_or_default()
}

/// One call: who makes it, how, and where its replies go.
pub(in crate::mgmt) struct Call<'call> {
    pub(in crate::mgmt) peer: &'call Peer,
    pub(in crate::mgmt) disclosure: Disclosure,
    /// Does the peer take more than one reply?
    pub(in crate::mgmt) more: bool,
    oneway: bool,
    out: &'call mut dyn Replies,
}

impl Call<'_> {
    /// Sends the last, or only, result.
    pub(in crate::mgmt) fn finish<T: Serialize>(&mut self, result: &T) -> Result<(), Trouble> {
        self.send(result, false)
    }

    /// Sends a result that is followed by others.
    pub(in crate::mgmt) fn part<T: Serialize>(&mut self, result: &T) -> Result<(), Trouble> {
        self.send(result, true)
    }

    /// Is it worth to wait longer?
    pub(in crate::mgmt) fn interest(&mut self) -> Interest {
        self.out.interest()
    }

    fn send<T: Serialize>(&mut self, result: &T, continues: bool) -> Result<(), Trouble> {
        let parameters = match serde_json::to_value(result) {
            Ok(Value::Object(parameters)) => parameters,
            Ok(_) | Err(_) => {
                let text = "the result cannot be put into JSON".to_owned();
                return Err(Failure::Refused(text).into());
            }
        };
        self.reply(&Reply { parameters, continues, error: None })
    }

    fn reply(&mut self, reply: &Reply) -> Result<(), Trouble> {
        if self.oneway { Ok(()) } else { Ok(self.out.send(reply)?) }
    }
}

/// The service behind a control socket.
pub struct Service {
    pub(in crate::mgmt) control: Arc<dyn Control>,
    pub(in crate::mgmt) events: Arc<EventQueue>,
    pub(in crate::mgmt) clock: Arc<dyn Clock>,
    policy: Policy,
    scanner: Scanner,
    scans: AtomicUsize,
    rpc: Arc<RpcServer>,
    /// Clients of the server.
    pub(in crate::mgmt) clients: AtomicUsize,
    /// Clients it turned away.
    pub(in crate::mgmt) turned_away: AtomicUsize,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Service").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Service {
    /// A service that acts through `control`, reads `events` and obeys `policy`.
    #[must_use]
    pub fn new(
        control: Arc<dyn Control>,
        events: Arc<EventQueue>,
        policy: Policy,
        scanner: Scanner,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (scans, rpc) = (AtomicUsize::new(0), RpcServer::new(clock.clone()));
        let (clients, turned_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { control, events, clock, policy, scanner, scans, rpc, clients, turned_away }
    }

    /// The runtime its calls run through; other interfaces of the same server are registered there.
    #[must_use]
    pub const fn rpc(&self) -> &Arc<RpcServer> {
        &self.rpc
    }

    /// Who may do what here.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Carries out one request of `peer`.
    ///
    /// # Errors
    /// [`Gone`] when the peer went away before the last reply.
    pub fn call(&self, peer: &Peer, request: Request, out: &mut dyn Replies) -> Result<(), Gone> {
        let mut call = Call {
            peer,
            disclosure: self.policy.disclosure(peer),
            more: request.more && !request.oneway,
            oneway: request.oneway,
            out,
        };
        let Err(trouble) = self.dispatch(&mut call, request) else { return Ok(()) };
        let Some(reply) = trouble.reply() else { return Err(Gone) };
        call.reply(&reply).map_err(|_| Gone)
    }

    fn dispatch(&self, call: &mut Call<'_>, request: Request) -> Result<(), Trouble> {
        self.authorize(call, Operation::Inquire)?;
        let (interface, name) = request.method.rsplit_once('.').unwrap_or((&request.method, ""));
        if request.upgrade {
            let method = request.method;
            return Err(Trouble::Varlink("MethodNotImplemented", Some(("method", method))));
        }
        match interface {
            INTERFACE => {
                let Some(method) = Method::parse(name) else { return Err(no_method(request)) };
                self.authorize(call, Operation::of(method))?;
                self.control(call, method, &request.parameters)
            }
            VARLINK_INTERFACE => match name {
                "GetInfo" => call.finish(&info()),
                "GetInterfaceDescription" => call.finish(&description(&request.parameters)?),
                _ => Err(no_method(request)),
            },
            _ => {
                let interface = interface.to_owned();
                Err(Trouble::Varlink("InterfaceNotFound", Some(("interface", interface))))
            }
        }
    }

    /// A call of our interface, which is allowed but for what its parameters add.
    fn control(
        &self,
        call: &mut Call<'_>,
        method: Method,
        parameters: &Map<String, Value>,
    ) -> Result<(), Trouble> {
        match method {
            Method::List => {
                let mounts = vec![call.disclosure.apply(self.status(parameters)?)];
                call.finish(&ListReply { mounts })
            }
            Method::Status => {
                let PartParameters { provider } = parse(parameters)?;
                let status = self.part(provider.as_deref())?.status();
                call.finish(&match provider {
                    None => call.disclosure.apply(status),
                    Some(_) => call.disclosure.apply_to_provider(status),
                })
            }
            Method::Handles => self.handles(call, parse(parameters)?),
            Method::Requests => {
                parse::<Nothing>(parameters)?;
                let reply = self.requests(call.disclosure);
                call.finish(&reply)
            }
            Method::Check => {
                let PartParameters { provider } = parse(parameters)?;
                let reply = self.check(call.disclosure, &*self.part(provider.as_deref())?)?;
                call.finish(&reply)
            }
            Method::Detach => {
                let DetachParameters { handle } = parse(parameters)?;
                call.finish(&self.control.detach(call.peer.caller(), handle)?)
            }
            Method::Stop => {
                let StopParameters { options, provider } = parse(parameters)?;
                self.may_stop(call, &options)?;
                self.stop(call, &*self.part(provider.as_deref())?, options)
            }
            Method::Start => {
                let PartParameters { provider } = parse(parameters)?;
                self.start(call, &*self.part(provider.as_deref())?)
            }
            Method::Pause => self.pause(call, &parse(parameters)?),
            Method::Resume => self.resume(call, &parse(parameters)?),
            Method::AddProvider => self.add_provider(call, &parse(parameters)?),
            Method::RemoveProvider => self.remove_provider(call, parse(parameters)?),
            Method::ReplaceProvider => self.replace_provider(call, parse(parameters)?),
            Method::Wait => self.wait(call, &parse(parameters)?),
            Method::Events => self.events(call, &parse(parameters)?),
            Method::Watch => self.watch(call, &parse(parameters)?),
            Method::Listen => self.listen(call, parse(parameters)?),
            Method::Metrics => self.metrics(call, parse(parameters)?),
            Method::Shutdown => {
                parse::<Nothing>(parameters)?;
                let reply = self.shutdown(call);
                call.finish(&reply)
            }
            Method::Unsent => {
                parse::<Nothing>(parameters)?;
                let entries = call.disclosure.apply(self.control.unsent()?);
                call.finish(&UnsentReply { entries, redacted: call.disclosure.hides() })
            }
            Method::Replay => self.replay(call, parse(parameters)?),
            Method::Discard => {
                parse::<Nothing>(parameters)?;
                call.finish(&UnsentDoneReply { outcomes: self.control.discard()? })
            }
        }
    }

    /// Lets remote management listen again. Not from inside one of its calls: this one came by the
    /// control socket.
    fn listen(&self, call: &mut Call<'_>, _: Nothing) -> Result<(), Trouble> {
        let status = self.control.listen()?.code();
        log::info!("listening asked by {:?}: {status}", call.peer);
        call.finish(&ListenReply { status })
    }

    /// Stops the listening and unregisters all interfaces, from inside a call: without waiting. The
    /// interface this call came by is auto-listen, so it is spared: whoever asked for the end must
    /// be able to see it.
    fn shutdown(&self, call: &Call<'_>) -> ShutdownReply {
        let running = call.out.running();
        let status = self.rpc.stop_listening(running).status();
        let unregistered = self.rpc.unregister_if(Which::AllOrdinary, false, running);
        log::info!("shutdown asked by {:?}: {status:?}", call.peer);
        ShutdownReply { status: status.code(), unregistered: unregistered.unwrap_or(0) as u64 }
    }

    pub(in crate::mgmt) fn authorize(
        &self,
        call: &Call<'_>,
        operation: Operation,
    ) -> Result<(), Trouble> {
        match self.policy.authorize(operation, call.peer) {
            Decision::Allow => Ok(()),
            Decision::Deny(denial) => Err(Failure::NotPermitted(denial.to_string()).into()),
        }
    }

    fn status(&self, parameters: &Map<String, Value>) -> Result<MountStatus, Trouble> {
        parse::<Nothing>(parameters)?;
        Ok(self.control.status())
    }

    fn metrics(&self, call: &mut Call<'_>, asked: MetricsParameters) -> Result<(), Trouble> {
        let calls = self.rpc.counts();
        let plane = PlaneNumbers {
            clients: self.clients.load(Ordering::Relaxed) as u64,
            clients_refused: self.turned_away.load(Ordering::Relaxed) as u64,
            calls: calls.begun,
            calls_refused: calls.refused,
            events: self.events.last(),
        };
        let format = asked.format.unwrap_or_default();
        match metrics::encode(self.control.numbers(), plane, format) {
            Ok(reply) => call.finish(&reply),
            Err(_) => Err(Failure::Refused("the metrics cannot be encoded".to_owned()).into()),
        }
    }

    fn requests(&self, disclosure: Disclosure) -> RequestsReply {
        let mut requests = self.control.requests();
        let requests_total = requests.len() as u64;
        requests.truncate(LISTED_MAX);
        let requests = disclosure.apply(requests);
        RequestsReply { requests, requests_total, redacted: disclosure.hides() }
    }

    fn check(&self, disclosure: Disclosure, part: &dyn Part) -> Result<CheckReply, Trouble> {
        let _scan = self.begin_scan(disclosure)?;
        let check = part.check();
        let mut merge = self.look();
        part.handles(&mut |handle| {
            merge.add(handle);
            true
        });
        // What is detached is waited for by nobody.
        let merged = merge.finish().that_count();
        let more = merged.more;
        let holders: Vec<Holder> =
            merged.filter(|holder| part.has(holder.path.as_bytes())).collect();
        let holders_total = holders.len() as u64 + more;
        let holders = holders.into_iter();
        let holders = holders.take(LISTED_MAX).map(|holder| disclosure.apply(holder)).collect();
        let mut requests = check.requests;
        requests.truncate(LISTED_MAX);
        Ok(CheckReply {
            state: check.state,
            result: check.result,
            ticket: check.ticket,
            holders,
            holders_total,
            requests: disclosure.apply(requests),
            requests_total: check.requests_total,
            redacted: disclosure.hides(),
        })
    }

    /// All handles, then all holders: in pages with `more`, else in one reply if that can hold
    /// them. Nothing is kept of a page that was sent but what the merge keeps.
    fn handles(&self, call: &mut Call<'_>, asked: HandlesParameters) -> Result<(), Trouble> {
        let _scan = self.begin_scan(call.disclosure)?;
        let mut merge = self.look();
        let page_max = if call.more { PAGE_MAX } else { LISTED_MAX };
        let redacted = call.disclosure.hides();
        let empty = || HandlesReply { redacted, ..HandlesReply::default() };
        let (mut page, mut totals, mut trouble) = (empty(), empty(), None);
        self.control.handles(&mut |handle| {
            totals.count(&handle);
            if !asked.holders_only {
                if page.handles.len() == page_max {
                    trouble = next_page(call, &std::mem::replace(&mut page, empty())).err();
                }
                page.handles.push(call.disclosure.apply(handle.clone()));
            }
            merge.add(handle);
            trouble.is_none()
        });
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let holders = merge.finish();
        totals.more_handles = holders.more + holders.more_detached;
        totals.incomplete = holders.incomplete;
        for holder in holders {
            if page.holders.len() == page_max {
                next_page(call, &std::mem::replace(&mut page, empty()))?;
            }
            page.holders.push(call.disclosure.apply(holder));
        }
        call.finish(&HandlesReply { handles: page.handles, holders: page.holders, ..totals })
    }

    /// Looks for who holds the mount; its handles are to be added.
    fn look(&self) -> Merge<'_> {
        let status = self.control.status();
        let device = status.device.parse().ok();
        let target = device.map(|device| Target { device, mount_point: status.mount_point.into() });
        self.scanner.look(target.as_ref())
    }

    /// Few look for holders at once, and strangers not all of those: each merge takes memory.
    fn begin_scan(&self, disclosure: Disclosure) -> Result<Scan<'_>, Trouble> {
        let room = if disclosure.hides() { SCANS_MAX / 2 } else { SCANS_MAX };
        Ok(Scan::begin(&self.scans, room)?)
    }
}

/// Sends a full page, if the peer takes more than one.
fn next_page(call: &mut Call<'_>, page: &HandlesReply) -> Result<(), Trouble> {
    if call.more { call.part(page) } else { Err(Trouble::Varlink("ExpectedMore", None)) }
}

impl HandlesReply {
    /// Takes a handle into the totals.
    fn count(&mut self, handle: &HandleInfo) {
        self.unsent_bytes = self.unsent_bytes.saturating_add(handle.unsent_bytes);
        self.handles_total += u64::from(!handle.detached);
        self.survivors_total += u64::from(handle.survivor);
    }
}

/// One of the scans that may run at once.
struct Scan<'count>(&'count AtomicUsize);

impl<'count> Scan<'count> {
    fn begin(count: &'count AtomicUsize, room: usize) -> Result<Self, Failure> {
        let scan = Self(count);
        if count.fetch_add(1, Ordering::SeqCst) >= room {
            return Err(Failure::TooMany("too many look for holders already".to_owned()));
        }
        Ok(scan)
    }
}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The parameters of a method that has none.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

/// Takes parameters as a `T`, all of whose fields have defaults.
fn parse<T: DeserializeOwned>(parameters: &Map<String, Value>) -> Result<T, Trouble> {
    let take =
        |parameters: Map<String, Value>| serde_json::from_value::<T>(Value::Object(parameters));
    take(parameters.clone()).map_err(|_| {
        // Taken one by one, the first that does not go is the one to name.
        let bad = parameters.iter().find(|(name, value)| {
            take(Map::from_iter([((*name).clone(), (*value).clone())])).is_err()
        });
        Trouble::parameter(bad.map_or("parameters", |(name, _)| name))
    })
}

fn no_method(request: Request) -> Trouble {
    Trouble::Varlink("MethodNotFound", Some(("method", request.method)))
}

/// The result of `org.varlink.service.GetInfo`.
fn info() -> Value {
    json!({
        "vendor": "minirdr",
        "product": "minirdr",
        "version": env!("CARGO_PKG_VERSION"),
        "url": env!("CARGO_PKG_REPOSITORY"),
        "interfaces": [VARLINK_INTERFACE, INTERFACE],
    })
}

/// The result of `org.varlink.service.GetInterfaceDescription`.
fn description(parameters: &Map<String, Value>) -> Result<Value, Trouble> {
    let Some(Value::String(interface)) = parameters.get("interface") else {
        return Err(Trouble::parameter("interface"));
    };
    let text = match interface.as_str() {
        INTERFACE => DESCRIPTION,
        VARLINK_INTERFACE => VARLINK_DESCRIPTION,
        other => {
            let field = Some(("interface", other.to_owned()));
            return Err(Trouble::Varlink("InterfaceNotFound", field));
        }
    };
    Ok(json!({ "description": text }))
}
