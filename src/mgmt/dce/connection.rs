//! One connection without a socket: bytes go in, what is to be done comes out.
//!
//! A connection begins with a bind, which names interfaces and gets a number for each; requests
//! follow, one fragment after another and one call at a time: what a peer sends ahead is read when
//! the call before it has been answered. The rules are those Samba's `raw_protocol` suite holds
//! servers to, which is how Windows behaves. What is kept of a peer is bounded: one fragment, one
//! call's operands, [`RPC_CONTEXTS_MAX`] contexts.

use crate::base::limits::{
    RPC_CONTEXTS_MAX, RPC_FRAGMENT_BYTES_MAX, RPC_FRAGMENT_BYTES_MIN, RPC_REQUEST_BYTES_MAX,
};
use crate::mgmt::dce::ndr::ByteOrder;
use crate::mgmt::dce::pdu::{
    self, Bind, BindAck, Body, Context, ContextResult, Header, Pdu, PduError, Trailer, fault,
    flags, nak,
};
use crate::mgmt::dce::syntax::{MANAGEMENT, NDR32, NDR64, Uuid};

/// What a connection asks of its server.
pub trait Association {
    /// Are new binds taken?
    fn is_listening(&self) -> bool;
    /// The number of a new association group, never 0.
    fn create(&self) -> u32;
    /// Joins a group that another connection is in; false: there is none of this number.
    fn join(&self, group: u32) -> bool;
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read more.
    Read,
    /// Send these bytes, if there are any, and go on.
    Send(Vec<u8>),
    /// Carry out a call and hand its outcome to [`Connection::answer`].
    Call(Call),
    /// Send these bytes, which may be none, and close.
    Close(Vec<u8>),
}

/// A call of the management interface, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u32,
    /// The operation's.
    pub operation: u16,
    /// On which object; the interface has none.
    pub object: Option<Uuid>,
    /// The byte order of its operands.
    pub order: ByteOrder,
    /// Its operands.
    pub stub: Vec<u8>,
    context: u16,
    silent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was bound.
    Fresh,
    /// A bind was accepted.
    Bound,
    /// It is over.
    Closed,
}

/// The results of a context.
mod result {
    pub(super) const ACCEPTED: u16 = 0;
    pub(super) const REFUSED: u16 = 2;
    pub(super) const FEATURES: u16 = 3;
    pub(super) const NO_INTERFACE: u16 = 1;
    pub(super) const NO_TRANSFER_SYNTAX: u16 = 2;
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// The port, or the name of the socket, for the answer to a bind.
    address: Vec<u8>,
    input: Vec<u8>,
    stage: Stage,
    multiplex: bool,
    /// Longest fragment we send, and the longest we take.
    max_send: u16,
    max_receive: u16,
    group: Option<u32>,
    contexts: Vec<u16>,
    /// A call of which not all fragments are there.
    partial: Option<Call>,
    messages: u64,
}

impl Connection {
    /// One whose server is to be found at `address`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self {
            address: address.as_bytes().to_vec(),
            input: Vec::new(),
            stage: Stage::Fresh,
            multiplex: false,
            max_send: RPC_FRAGMENT_BYTES_MIN,
            max_receive: RPC_FRAGMENT_BYTES_MAX,
            group: None,
            contexts: Vec::new(),
            partial: None,
            messages: 0,
        }
    }

    /// Takes what was read. At most [`RPC_FRAGMENT_BYTES_MAX`] bytes are kept of it when
    /// [`Connection::step`] has said [`Step::Read`].
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.stage != Stage::Closed {
            self.input.extend_from_slice(bytes);
        }
    }

    /// Is the peer in the middle of something: a message, or a call of several?
    #[must_use]
    pub fn is_midway(&self) -> bool {
        !self.input.is_empty() || self.partial.is_some()
    }

    /// The association group, to be left at the end.
    #[must_use]
    pub const fn group(&self) -> Option<u32> {
        self.group
    }

    /// Messages read.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// What is to be done now. Each step handles at most one message.
    pub fn step(&mut self, association: &dyn Association) -> Step {
        if self.stage == Stage::Closed {
            return Step::Close(Vec::new());
        }
        let header = match Header::read(&self.input) {
            Ok(Some(header)) if header.length <= self.max_receive => header,
            Ok(None) => return Step::Read,
            // There is no telling where the next message would begin.
            Ok(Some(_)) | Err(_) => return self.close(Vec::new()),
        };
        let length = usize::from(header.length);
        if self.input.len() < length {
            return Step::Read;
        }
        let message: Vec<u8> = self.input.drain(..length).collect();
        self.messages += 1;
        self.message(&header, &message, association)
    }

    fn message(&mut self, header: &Header, bytes: &[u8], association: &dyn Association) -> Step {
        if header.version != pdu::VERSION {
            return if header.is_bind() {
                self.refuse_bind(header.call, nak::VERSION)
            } else {
                self.close(Vec::new())
            };
        }
        let (pdu, trailer) = match pdu::read(header, bytes) {
            Ok(read) => read,
            Err(error) => return self.unreadable(header, error),
        };
        match (pdu.body, self.stage) {
            (Body::Bind(bind), Stage::Fresh) => self.bind(header, &bind, trailer, association),
            (Body::Bind(_), Stage::Bound) => self.refuse_bind(header.call, nak::NOT_SPECIFIED),
            (Body::Alter(bind), Stage::Bound) => self.alter(header, &bind, trailer),
            (Body::Request { context, operation, object, stub, .. }, Stage::Bound) => {
                let call = Call {
                    number: header.call,
                    operation,
                    object,
                    order: header.order,
                    stub,
                    context,
                    silent: header.flags & flags::MAYBE != 0,
                };
                self.request(header, call, trailer)
            }
            // No call of ours takes long enough to be cancelled; its reply is sent all the same.
            (Body::Cancel | Body::Orphaned, Stage::Fresh | Stage::Bound) => self.nothing(),
            (Body::Request { .. }, _) => {
                self.fault_and_close(header.call, 0, fault::PROTOCOL_ERROR, false)
            }
            (_, _) => self.close(Vec::new()),
        }
    }

    /// The message asked for nothing: is there another one?
    fn nothing(&self) -> Step {
        Step::Send(Vec::new())
    }

    fn close(&mut self, last: Vec<u8>) -> Step {
        self.stage = Stage::Closed;
        self.input = Vec::new();
        self.partial = None;
        Step::Close(last)
    }

    fn unreadable(&mut self, header: &Header, error: PduError) -> Step {
        if header.is_bind() {
            let reason = match error {
                PduError::BadTrailer => nak::VERSION,
                PduError::BadLength(_) | PduError::Short => nak::NOT_SPECIFIED,
            };
            return self.refuse_bind(header.call, reason);
        }
        self.fault_and_close(header.call, 0, fault::PROTOCOL_ERROR, header.is_request())
    }

    fn refuse_bind(&mut self, call: u32, reason: u16) -> Step {
        self.close(Pdu::new(call, Body::BindNak { reason }).write())
    }

    fn fault_and_close(&mut self, call: u32, context: u16, status: u32, began: bool) -> Step {
        let bytes = fault_bytes(call, context, status, !began);
        self.close(bytes)
    }

    fn bind(
        &mut self,
        header: &Header,
        bind: &Bind,
        trailer: Option<Trailer>,
        association: &dyn Association,
    ) -> Step {
        if let Some(Trailer { level }) = trailer {
            // Levels that exist ask for a kind of authentication that is not spoken here.
            let exists = (2..=6).contains(&level);
            let reason = if exists { nak::AUTHENTICATION } else { nak::NOT_SPECIFIED };
            return self.refuse_bind(header.call, reason);
        }
        let features = bind.contexts.iter().filter(|context| features(context).is_some());
        let sensible = !bind.contexts.is_empty()
            && bind.contexts.iter().all(|context| !context.transfer.is_empty())
            && features.count() <= 1;
        if !sensible || !association.is_listening() {
            return self.refuse_bind(header.call, nak::NOT_SPECIFIED);
        }
        let group = match bind.group {
            0 => association.create(),
            group if association.join(group) => group,
            _ => return self.refuse_bind(header.call, nak::NOT_SPECIFIED),
        };
        self.group = Some(group);
        self.stage = Stage::Bound;
        self.multiplex = header.flags & flags::MULTIPLEX != 0;
        let within = |longest: u16| longest.clamp(RPC_FRAGMENT_BYTES_MIN, RPC_FRAGMENT_BYTES_MAX);
        self.max_send = within(bind.max_receive);
        self.max_receive = within(bind.max_send);
        let results = self.negotiate(bind, true);
        let kept = header.flags & (flags::HEADER_SIGNING | flags::MULTIPLEX);
        let ack = BindAck { address: self.address.clone(), ..self.ack(results) };
        let answer = Pdu::new(header.call, Body::BindAck(ack));
        Step::Send(Pdu { flags: flags::WHOLE | kept, ..answer }.write())
    }

    fn alter(&mut self, header: &Header, bind: &Bind, trailer: Option<Trailer>) -> Step {
        // A context that exists may be named again, but not with a syntax that is known and other.
        let contradicts = |context: &Context| {
            self.contexts.contains(&context.id)
                && context.transfer.contains(&NDR64)
                && !context.transfer.contains(&NDR32)
        };
        let sensible = trailer.is_none()
            && self.partial.is_none()
            && !bind.contexts.is_empty()
            && bind.contexts.iter().all(|context| !context.transfer.is_empty())
            && !bind.contexts.iter().any(contradicts);
        if !sensible {
            return self.fault_and_close(header.call, 0, fault::PROTOCOL_ERROR, false);
        }
        let results = self.negotiate(bind, false);
        let answer = Pdu::new(header.call, Body::AlterResponse(self.ack(results)));
        let kept = header.flags & flags::HEADER_SIGNING;
        Step::Send(Pdu { flags: flags::WHOLE | kept, ..answer }.write())
    }

    fn ack(&self, results: Vec<ContextResult>) -> BindAck {
        BindAck {
            max_send: self.max_send,
            max_receive: self.max_receive,
            group: self.group.unwrap_or_default(),
            address: Vec::new(),
            results,
        }
    }

    /// Answers each context. Of one message at most one is accepted, the first that can be.
    fn negotiate(&mut self, bind: &Bind, at_bind_time: bool) -> Vec<ContextResult> {
        let mut accepted = false;
        let refused =
            |reason| ContextResult { result: result::REFUSED, reason, ..Default::default() };
        let one = |context: &Context| {
            if let Some(features) = features(context).filter(|_| at_bind_time) {
                let (result, reason) = (result::FEATURES, features);
                return ContextResult { result, reason, ..Default::default() };
            }
            if accepted {
                return refused(result::NO_TRANSFER_SYNTAX);
            }
            if context.interface != MANAGEMENT {
                return refused(result::NO_INTERFACE);
            }
            let known = self.contexts.contains(&context.id);
            let room = known || self.contexts.len() < RPC_CONTEXTS_MAX;
            if !room || !context.transfer.contains(&NDR32) {
                return refused(result::NO_TRANSFER_SYNTAX);
            }
            if !known {
                self.contexts.push(context.id);
            }
            accepted = true;
            ContextResult { result: result::ACCEPTED, reason: 0, syntax: NDR32 }
        };
        bind.contexts.iter().map(one).collect()
    }

    fn request(&mut self, header: &Header, call: Call, trailer: Option<Trailer>) -> Step {
        if trailer.is_some() {
            return self.fault_and_close(call.number, call.context, fault::ACCESS_DENIED, true);
        }
        let is_first = header.flags & flags::FIRST != 0;
        let whole = match self.partial.take() {
            None if is_first => call,
            Some(mut begun) if !is_first && begun.number == call.number => {
                begun.stub.extend(call.stub);
                begun
            }
            // Fragments of calls do not interleave here.
            Some(begun) if !self.multiplex => {
                let (number, context) = (begun.number, begun.context);
                return self.fault_and_close(number, context, fault::PROTOCOL_ERROR, true);
            }
            None | Some(_) => {
                return self.fault_and_close(call.number, 0, fault::PROTOCOL_ERROR, true);
            }
        };
        if whole.stub.len() > RPC_REQUEST_BYTES_MAX {
            return self.fault_and_close(whole.number, 0, fault::PROTOCOL_ERROR, false);
        }
        if header.flags & flags::LAST == 0 {
            self.partial = Some(whole);
            return self.nothing();
        }
        if !self.contexts.contains(&whole.context) {
            let bytes = fault_bytes(whole.number, 0, fault::UNKNOWN_INTERFACE, true);
            return Step::Send(bytes);
        }
        Step::Call(whole)
    }

    /// The bytes that answer a call: its results, or the status of a fault. Empty when the peer
    /// wants none. A fault says that the call was not begun.
    #[must_use]
    pub fn answer(&self, call: &Call, outcome: Result<&[u8], u32>) -> Vec<u8> {
        if call.silent {
            return Vec::new();
        }
        // Servers answer with the low byte of a context's number.
        let context = call.context & 0xff;
        match outcome {
            Ok(stub) => pdu::response(call.number, context, stub, self.max_send),
            Err(status) => fault_bytes(call.number, context, status, true),
        }
    }
}

/// The features a context asks for, if that is what it is: only its first syntax tells.
fn features(context: &Context) -> Option<u16> {
    context.transfer.first().and_then(|syntax| syntax.features())
}

fn fault_bytes(call: u32, context: u16, status: u32, not_executed: bool) -> Vec<u8> {
    let flags = flags::WHOLE | if not_executed { flags::NOT_EXECUTED } else { 0 };
    let body = Body::Fault { context, status };
    Pdu { flags, ..Pdu::new(call, body) }.write()
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
