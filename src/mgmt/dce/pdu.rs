//! The messages of connection-oriented DCE/RPC, to bytes and back. Pure, both directions of each:
//! what one side writes the other reads, in either byte order.
//!
//! A length in a message is only ever compared with what is there: nothing is allocated because a
//! peer says so.

use crate::mgmt::dce::ndr::{ByteOrder, Reader, Short, Writer};
use crate::mgmt::dce::syntax::{Syntax, Uuid};

/// Bytes of the common header.
pub const HEADER_BYTES: usize = 16;
/// Bytes of an authentication trailer before its credentials.
const TRAILER_BYTES: usize = 8;
/// The protocol's major version.
pub const VERSION: u8 = 5;

/// Flags of a message.
pub mod flags {
    /// The first fragment of a call.
    pub const FIRST: u8 = 0x01;
    /// The last one.
    pub const LAST: u8 = 0x02;
    /// In a bind: the header can be signed.
    pub const HEADER_SIGNING: u8 = 0x04;
    /// Calls may overlap on a connection.
    pub const MULTIPLEX: u8 = 0x10;
    /// In a fault: the call was not begun.
    pub const NOT_EXECUTED: u8 = 0x20;
    /// In a request: no reply is wanted.
    pub const MAYBE: u8 = 0x40;
    /// In a request: an object's UUID comes before the operands.
    pub const OBJECT: u8 = 0x80;
    /// A message in one piece.
    pub const WHOLE: u8 = FIRST | LAST;
}

/// Statuses of a fault.
pub mod fault {
    /// `ERROR_ACCESS_DENIED`.
    pub const ACCESS_DENIED: u32 = 5;
    /// The operands do not make sense.
    pub const BAD_STUB_DATA: u32 = 0x6F7;
    /// `nca_s_op_rng_error`: no such operation.
    pub const NO_OPERATION: u32 = 0x1C01_0002;
    /// `nca_s_unk_if`: no such interface, or it is called no more.
    pub const UNKNOWN_INTERFACE: u32 = 0x1C01_0003;
    /// `nca_s_proto_error`.
    pub const PROTOCOL_ERROR: u32 = 0x1C01_000B;
    /// `nca_s_server_too_busy`.
    pub const TOO_BUSY: u32 = 0x1C01_0014;
}

/// The kinds of message, by their number.
mod kind {
    pub(super) const REQUEST: u8 = 0;
    pub(super) const RESPONSE: u8 = 2;
    pub(super) const FAULT: u8 = 3;
    pub(super) const BIND: u8 = 11;
    pub(super) const BIND_ACK: u8 = 12;
    pub(super) const BIND_NAK: u8 = 13;
    pub(super) const ALTER: u8 = 14;
    pub(super) const ALTER_RESPONSE: u8 = 15;
    pub(super) const CANCEL: u8 = 18;
    pub(super) const ORPHANED: u8 = 19;
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// It says a length that cannot be.
    #[error("a fragment of {0} bytes")]
    BadLength(u16),
    /// Its body is cut, or its lengths contradict each other.
    #[error("a message that ends too early")]
    Short,
    /// The authentication trailer is longer than the message.
    #[error("an authentication trailer that does not fit")]
    BadTrailer,
}

impl From<Short> for PduError {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

/// What every message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 5, or the message means nothing to us.
    pub version: u8,
    /// What it is; [`Header::is_bind`] and the like.
    pub kind: u8,
    /// See [`flags`].
    pub flags: u8,
    /// The byte order of everything behind.
    pub order: ByteOrder,
    /// Its length, this header included.
    pub length: u16,
    /// Bytes of credentials in its authentication trailer.
    pub credentials: u16,
    /// Which call it belongs to.
    pub call: u32,
}

impl Header {
    /// Reads a header; none when it is not there yet.
    ///
    /// # Errors
    /// [`PduError::BadLength`].
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, PduError> {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let order = if head[4] & 0xf0 == 0 { ByteOrder::Big } else { ByteOrder::Little };
        let mut reader = Reader::new(head, order);
        reader.take(8)?;
        let header = Self {
            version: head[0],
            kind: head[2],
            flags: head[3],
            order,
            length: reader.u16()?,
            credentials: reader.u16()?,
            call: reader.u32()?,
        };
        if usize::from(header.length) < HEADER_BYTES {
            return Err(PduError::BadLength(header.length));
        }
        Ok(Some(header))
    }

    /// Is it a bind?
    #[must_use]
    pub const fn is_bind(&self) -> bool {
        self.kind == kind::BIND
    }

    /// Is it a request?
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.kind == kind::REQUEST
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// See [`flags`]. [`flags::OBJECT`] follows from the body.
    pub flags: u8,
    /// Which call it belongs to.
    pub call: u32,
    /// Its byte order.
    pub order: ByteOrder,
    /// The rest.
    pub body: Body,
}

/// The rest of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A call.
    Request {
        /// How long all fragments may be together; a hint.
        hint: u32,
        /// The presentation context.
        context: u16,
        /// The number of the operation.
        operation: u16,
        /// On which object.
        object: Option<Uuid>,
        /// Operands.
        stub: Vec<u8>,
    },
    /// A call's results.
    Response {
        /// How long what is left is together.
        hint: u32,
        /// The presentation context.
        context: u16,
        /// Results.
        stub: Vec<u8>,
    },
    /// A call that has none.
    Fault {
        /// The presentation context.
        context: u16,
        /// See [`fault`].
        status: u32,
    },
    /// The first message of a connection.
    Bind(Bind),
    /// More presentation contexts.
    Alter(Bind),
    /// An answer to a bind.
    BindAck(BindAck),
    /// An answer to an alter.
    AlterResponse(BindAck),
    /// A bind that is refused.
    BindNak {
        /// See [`nak`].
        reason: u16,
    },
    /// A call is to be cancelled.
    Cancel,
    /// A call's reply is not waited for any more.
    Orphaned,
    /// Anything else: authentication, which is not spoken, and what only servers send.
    Other(u8),
}

/// Reasons of a refused bind.
pub mod nak {
    /// Not said.
    pub const NOT_SPECIFIED: u16 = 0;
    /// The version, or what is as strange.
    pub const VERSION: u16 = 4;
    /// The kind of authentication is not spoken.
    pub const AUTHENTICATION: u16 = 8;
}

/// A bind or alter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// Longest fragment the sender sends.
    pub max_send: u16,
    /// Longest fragment the sender takes.
    pub max_receive: u16,
    /// The association group to join; 0: a new one.
    pub group: u32,
    /// The contexts asked for.
    pub contexts: Vec<Context>,
}

/// A presentation context that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Its number in requests.
    pub id: u16,
    /// The interface.
    pub interface: Syntax,
    /// How its operands may be written.
    pub transfer: Vec<Syntax>,
}

/// The answer to a bind or alter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindAck {
    /// Longest fragment the sender sends.
    pub max_send: u16,
    /// Longest fragment the sender takes.
    pub max_receive: u16,
    /// The association group.
    pub group: u32,
    /// Where else the server is to be found: its port or the name of its socket. Empty: not said.
    pub address: Vec<u8>,
    /// One for each context asked for.
    pub results: Vec<ContextResult>,
}

/// The answer to one context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextResult {
    /// 0 accepted, 2 refused, 3 features.
    pub result: u16,
    /// Why refused, or which features.
    pub reason: u16,
    /// The transfer syntax, where accepted.
    pub syntax: Syntax,
}

/// What a message was authenticated with. We speak none of it, and say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// How strongly: 1 none, 2 to 6.
    pub level: u8,
}

/// Reads the message that `bytes` are, of which `header` is the beginning.
///
/// # Errors
/// [`PduError`].
pub fn read(header: &Header, bytes: &[u8]) -> Result<(Pdu, Option<Trailer>), PduError> {
    let whole = bytes.get(..usize::from(header.length)).ok_or(PduError::Short)?;
    let (body, trailer) = split_trailer(header, whole)?;
    let mut reader = Reader::new(body, header.order);
    reader.take(HEADER_BYTES)?;
    let body = match header.kind {
        kind::REQUEST => request(header, &mut reader)?,
        kind::RESPONSE => {
            let (hint, context) = (reader.u32()?, reader.u16()?);
            reader.take(2)?;
            Body::Response { hint, context, stub: reader.rest().to_vec() }
        }
        kind::FAULT => {
            let (_hint, context) = (reader.u32()?, reader.u16()?);
            reader.take(2)?;
            Body::Fault { context, status: reader.u32()? }
        }
        kind::BIND => Body::Bind(bind(&mut reader)?),
        kind::ALTER => Body::Alter(bind(&mut reader)?),
        kind::BIND_ACK => Body::BindAck(bind_ack(&mut reader)?),
        kind::ALTER_RESPONSE => Body::AlterResponse(bind_ack(&mut reader)?),
        kind::BIND_NAK => Body::BindNak { reason: reader.u16()? },
        kind::CANCEL => Body::Cancel,
        kind::ORPHANED => Body::Orphaned,
        other => Body::Other(other),
    };
    let flags = match body {
        Body::Request { .. } => header.flags & !flags::OBJECT,
        _ => header.flags,
    };
    Ok((Pdu { flags, call: header.call, order: header.order, body }, trailer))
}

/// The message without its authentication trailer, and that.
fn split_trailer<'bytes>(
    header: &Header,
    whole: &'bytes [u8],
) -> Result<(&'bytes [u8], Option<Trailer>), PduError> {
    if header.credentials == 0 {
        return Ok((whole, None));
    }
    let length = TRAILER_BYTES + usize::from(header.credentials);
    let start = whole.len().checked_sub(length).filter(|start| *start >= HEADER_BYTES);
    let (body, trailer) =
        start.and_then(|start| whole.split_at_checked(start)).ok_or(PduError::BadTrailer)?;
    let level = *trailer.get(1).ok_or(PduError::BadTrailer)?;
    Ok((body, Some(Trailer { level })))
}

fn request(header: &Header, reader: &mut Reader<'_>) -> Result<Body, PduError> {
    let (hint, context, operation) = (reader.u32()?, reader.u16()?, reader.u16()?);
    let object = match header.flags & flags::OBJECT {
        0 => None,
        _ => Some(Uuid::read(reader)?),
    };
    Ok(Body::Request { hint, context, operation, object, stub: reader.rest().to_vec() })
}

fn bind(reader: &mut Reader<'_>) -> Result<Bind, PduError> {
    let (max_send, max_receive, group) = (reader.u16()?, reader.u16()?, reader.u32()?);
    let count = reader.u8()?;
    reader.take(3)?;
    let mut contexts = Vec::new();
    for _ in 0..count {
        let (id, transfers) = (reader.u16()?, reader.u8()?);
        reader.take(1)?;
        let interface = Syntax::read(reader)?;
        let transfer = (0..transfers).map(|_| Syntax::read(reader)).collect::<Result<_, _>>()?;
        contexts.push(Context { id, interface, transfer });
    }
    Ok(Bind { max_send, max_receive, group, contexts })
}

fn bind_ack(reader: &mut Reader<'_>) -> Result<BindAck, PduError> {
    let (max_send, max_receive, group) = (reader.u16()?, reader.u16()?, reader.u32()?);
    let length = usize::from(reader.u16()?);
    let address = reader.take(length)?.split(|byte| *byte == 0).next().unwrap_or_default();
    reader.align(4)?;
    let count = reader.u8()?;
    reader.take(3)?;
    let mut results = Vec::new();
    for _ in 0..count {
        let (result, reason) = (reader.u16()?, reader.u16()?);
        results.push(ContextResult { result, reason, syntax: Syntax::read(reader)? });
    }
    Ok(BindAck { max_send, max_receive, group, address: address.to_vec(), results })
}

impl Pdu {
    /// A message in one piece, in our byte order.
    #[must_use]
    pub const fn new(call: u32, body: Body) -> Self {
        Self { flags: flags::WHOLE, call, order: ByteOrder::Little, body }
    }

    /// Its bytes. What does not fit into a fragment's length of 16 bits is cut by who makes it
    /// ([`response`]); a longer one would be read as malformed.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new(self.order);
        let (kind, object) = match &self.body {
            Body::Request { object, .. } => (kind::REQUEST, object.is_some()),
            Body::Response { .. } => (kind::RESPONSE, false),
            Body::Fault { .. } => (kind::FAULT, false),
            Body::Bind(_) => (kind::BIND, false),
            Body::Alter(_) => (kind::ALTER, false),
            Body::BindAck(_) => (kind::BIND_ACK, false),
            Body::AlterResponse(_) => (kind::ALTER_RESPONSE, false),
            Body::BindNak { .. } => (kind::BIND_NAK, false),
            Body::Cancel => (kind::CANCEL, false),
            Body::Orphaned => (kind::ORPHANED, false),
            Body::Other(kind) => (*kind, false),
        };
        let flags = self.flags | if object { flags::OBJECT } else { 0 };
        writer.bytes(&[VERSION, 0, kind, flags]);
        let order = match self.order {
            ByteOrder::Little => 0x10,
            ByteOrder::Big => 0,
        };
        writer.bytes(&[order, 0, 0, 0]);
        writer.u16(0);
        writer.u16(0);
        writer.u32(self.call);
        self.body.write(&mut writer);
        let mut bytes = writer.finish();
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        bytes[8..10].copy_from_slice(&match self.order {
            ByteOrder::Little => length.to_le_bytes(),
            ByteOrder::Big => length.to_be_bytes(),
        });
        bytes
    }
}

impl Body {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Request { hint, context, operation, object, stub } => {
                writer.u32(*hint);
                writer.u16(*context);
                writer.u16(*operation);
                if let Some(object) = object {
                    object.write(writer);
                }
                writer.bytes(stub);
            }
            Self::Response { hint, context, stub } => {
                writer.u32(*hint);
                writer.u16(*context);
                writer.u16(0);
                writer.bytes(stub);
            }
            Self::Fault { context, status } => {
                // What it would have taken to say more; must not be 0.
                writer.u32(HEADER_BYTES as u32 * 2);
                writer.u16(*context);
                writer.u16(0);
                writer.u32(*status);
                writer.u32(0);
            }
            Self::Bind(bind) | Self::Alter(bind) => bind.write(writer),
            Self::BindAck(ack) | Self::AlterResponse(ack) => ack.write(writer),
            Self::BindNak { reason } => {
                writer.u16(*reason);
                // The versions we speak, and what everybody pads with.
                writer.bytes(&[1, VERSION, 0, 0, 0, 0]);
            }
            Self::Cancel | Self::Orphaned | Self::Other(_) => {}
        }
    }
}

/// How many there are of what a single byte counts; nobody makes more.
fn count(items: usize) -> u8 {
    u8::try_from(items).unwrap_or(u8::MAX)
}

impl Bind {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.max_send);
        writer.u16(self.max_receive);
        writer.u32(self.group);
        writer.bytes(&[count(self.contexts.len()), 0, 0, 0]);
        for context in &self.contexts {
            writer.u16(context.id);
            writer.bytes(&[count(context.transfer.len()), 0]);
            context.interface.write(writer);
            context.transfer.iter().for_each(|syntax| syntax.write(writer));
        }
    }
}

impl BindAck {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.max_send);
        writer.u16(self.max_receive);
        writer.u32(self.group);
        if self.address.is_empty() {
            writer.u16(0);
        } else {
            writer.u16(u16::try_from(self.address.len() + 1).unwrap_or(u16::MAX));
            writer.bytes(&self.address);
            writer.u8(0);
        }
        writer.align(4);
        writer.bytes(&[count(self.results.len()), 0, 0, 0]);
        for ContextResult { result, reason, syntax } in &self.results {
            writer.u16(*result);
            writer.u16(*reason);
            syntax.write(writer);
        }
    }
}

/// Bytes of a response before its results.
const RESPONSE_HEADER_BYTES: usize = HEADER_BYTES + 8;

/// A call's results in as many fragments as the peer's longest makes of them, one after another.
#[must_use]
pub fn response(call: u32, context: u16, stub: &[u8], longest: u16) -> Vec<u8> {
    // Each but the last a multiple of 8, as alignment wants it.
    let room = usize::from(longest).saturating_sub(RESPONSE_HEADER_BYTES).max(8) / 8 * 8;
    let mut bytes = Vec::new();
    let mut rest = stub;
    let mut flags = flags::FIRST;
    loop {
        let (piece, behind) = rest.split_at(rest.len().min(room));
        flags |= if behind.is_empty() { flags::LAST } else { 0 };
        let hint = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let body = Body::Response { hint, context, stub: piece.to_vec() };
        bytes.extend(Pdu { flags, ..Pdu::new(call, body) }.write());
        if behind.is_empty() {
            return bytes;
        }
        (rest, flags) = (behind, 0);
    }
}

#[cfg(test)]
#[path = "pdu_tests.rs"]
mod tests;
