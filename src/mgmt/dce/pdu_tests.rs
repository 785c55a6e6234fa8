//! The codec against bytes that others sent, against itself, and against nonsense.

use super::*;
use crate::mgmt::dce::syntax::{MANAGEMENT, NDR32};
use proptest::prelude::*;

fn read_all(bytes: &[u8]) -> Result<(Pdu, Option<Trailer>), PduError> {
    let header = Header::read(bytes)?.ok_or(PduError::Short)?;
    read(&header, bytes)
}

/// The bind that impacket 0.13.1 sends, byte for byte.
#[rustfmt::skip]
pub(in crate::mgmt::dce) const IMPACKET_BIND: &[u8] = &[
    5, 0, 11, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0,
    0xb8, 0x10, 0xb8, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0,
    0x80, 0xbd, 0xa8, 0xaf, 0x8a, 0x7d, 0xc9, 0x11, 0xbe, 0xf4, 8, 0, 0x2b, 0x10, 0x29, 0x89,
    1, 0, 0, 0,
    4, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 8, 0, 0x2b, 0x10, 0x48, 0x60,
    2, 0, 0, 0,
];

#[test]
fn a_bind_is_read_and_written_byte_for_byte() {
    let (pdu, trailer) = read_all(IMPACKET_BIND).expect("a bind");
    let context = Context { id: 0, interface: MANAGEMENT, transfer: vec![NDR32] };
    let bind = Bind { max_send: 4280, max_receive: 4280, group: 0, contexts: vec![context] };
    assert_eq!(pdu, Pdu::new(1, Body::Bind(bind)));
    assert_eq!(trailer, None);
    assert_eq!(pdu.write(), IMPACKET_BIND);
}

#[test]
fn a_request_in_the_other_byte_order_says_the_same() {
    let body = Body::Request {
        hint: 4,
        context: 1,
        operation: 3,
        object: Some(MANAGEMENT.uuid),
        stub: vec![1, 2, 3],
    };
    let big = Pdu { order: ByteOrder::Big, ..Pdu::new(0x0102_0304, body) };
    let bytes = big.write();
    assert_eq!(bytes[..16], [5, 0, 0, 0x83, 0, 0, 0, 0, 0, 43, 0, 0, 1, 2, 3, 4]);
    assert_eq!(bytes[16..24], [0, 0, 0, 4, 0, 1, 0, 3]);
    assert_eq!(bytes[24..28], [0xaf, 0xa8, 0xbd, 0x80], "the UUID's first number");
    assert_eq!(read_all(&bytes), Ok((big, None)));
}

/// The answers, by the bytes that Samba's and impacket's readers take.
#[test]
fn answers_have_the_bytes_others_read() {
    let fault = Body::Fault { context: 1, status: fault::UNKNOWN_INTERFACE };
    let fault = Pdu { flags: flags::WHOLE | flags::NOT_EXECUTED, ..Pdu::new(7, fault) };
    assert_eq!(fault.write()[..16], [5, 0, 3, 0x23, 0x10, 0, 0, 0, 32, 0, 0, 0, 7, 0, 0, 0]);
    assert_eq!(fault.write()[20..], [1, 0, 0, 0, 3, 0, 1, 0x1c, 0, 0, 0, 0]);
    let nak = Pdu::new(0, Body::BindNak { reason: nak::VERSION }).write();
    assert_eq!(nak[16..], [4, 0, 1, 5, 0, 0, 0, 0]);
    let accepted = ContextResult { result: 0, reason: 0, syntax: NDR32 };
    let ack = BindAck {
        max_send: 4280,
        max_receive: 4280,
        group: 9,
        address: b"135".to_vec(),
        results: vec![accepted],
    };
    let bytes = Pdu::new(1, Body::BindAck(ack)).write();
    assert_eq!(bytes[24..36], [4, 0, b'1', b'3', b'5', 0, 0, 0, 1, 0, 0, 0], "padded to 4");
    assert_eq!(bytes.len(), 60);
}

#[test]
fn a_long_answer_comes_in_pieces() {
    let stub: Vec<u8> = (0..100).collect();
    let bytes = response(3, 0x1ff, &stub, 64);
    let (mut rest, mut whole, mut seen) = (bytes.as_slice(), Vec::new(), Vec::new());
    while let Some(header) = Header::read(rest).expect("headers") {
        assert!(header.length <= 64);
        let (Pdu { flags, call, body, .. }, _) = read(&header, rest).expect("a piece");
        let Body::Response { hint, stub, context } = body else { panic!("{body:?}") };
        assert_eq!((call, context, hint as usize), (3, 0x1ff, 100 - whole.len()));
        whole.extend(stub);
        seen.push(flags);
        rest = &rest[usize::from(header.length)..];
    }
    assert_eq!((whole, seen), (stub, vec![flags::FIRST, 0, flags::LAST]));
    assert_eq!(response(3, 0, &[], 64).len(), RESPONSE_HEADER_BYTES, "nothing is one piece");
}

#[test]
fn lengths_that_lie_are_refused() {
    let mut bytes = IMPACKET_BIND.to_vec();
    for (at, value, expected) in [
        (8, 15, PduError::BadLength(15)),
        (8, 71, PduError::Short),
        (24, 2, PduError::Short),
        (24, 255, PduError::Short),
        (30, 255, PduError::Short),
        (10, 56, PduError::BadTrailer),
        (11, 255, PduError::BadTrailer),
    ] {
        let right = std::mem::replace(&mut bytes[at], value);
        assert_eq!(read_all(&bytes), Err(expected), "byte {at} is {value}");
        bytes[at] = right;
    }
    assert_eq!(Header::read(&bytes[..15]), Ok(None), "not there yet");
    bytes[10] = 4;
    assert_eq!(read_all(&bytes).map(|(_, trailer)| trailer), Err(PduError::Short), "into the body");
}

#[test]
fn a_trailer_is_cut_off_and_its_level_kept() {
    let mut bytes = IMPACKET_BIND.to_vec();
    bytes.extend([10, 6, 0, 0, 0, 0, 0, 0, b'n', b'o', b'n', b'e']);
    bytes[8] = 84;
    bytes[10] = 4;
    let (pdu, trailer) = read_all(&bytes).expect("a bind");
    assert_eq!(trailer, Some(Trailer { level: 6 }));
    assert_eq!(pdu, read_all(IMPACKET_BIND).expect("a bind").0);
}

fn syntaxes() -> impl Strategy<Value = Syntax> {
    (any::<u128>(), any::<u32>())
        .prop_map(|(bits, version)| Syntax { uuid: Uuid::of(bits), version })
}

fn binds() -> impl Strategy<Value = Bind> {
    let contexts = (any::<u16>(), syntaxes(), proptest::collection::vec(syntaxes(), 0..4))
        .prop_map(|(id, interface, transfer)| Context { id, interface, transfer });
    let contexts = proptest::collection::vec(contexts, 0..5);
    (any::<(u16, u16, u32)>(), contexts).prop_map(|((max_send, max_receive, group), contexts)| {
        Bind { max_send, max_receive, group, contexts }
    })
}

fn acks() -> impl Strategy<Value = BindAck> {
    let results = (any::<(u16, u16)>(), syntaxes())
        .prop_map(|((result, reason), syntax)| ContextResult { result, reason, syntax });
    let results = proptest::collection::vec(results, 0..5);
    (any::<(u16, u16, u32)>(), "[a-z0-9/]{0,20}", results).prop_map(
        |((max_send, max_receive, group), address, results)| BindAck {
            max_send,
            max_receive,
            group,
            address: address.into_bytes(),
            results,
        },
    )
}

fn bodies() -> impl Strategy<Value = Body> {
    let stub = || proptest::collection::vec(any::<u8>(), 0..200);
    let object = proptest::option::of(any::<u128>().prop_map(Uuid::of));
    prop_oneof![
        (any::<(u32, u16, u16)>(), object, stub()).prop_map(
            |((hint, context, operation), object, stub)| Body::Request {
                hint,
                context,
                operation,
                object,
                stub
            }
        ),
        (any::<(u32, u16)>(), stub()).prop_map(|((hint, context), stub)| Body::Response {
            hint,
            context,
            stub
        }),
        any::<(u16, u32)>().prop_map(|(context, status)| Body::Fault { context, status }),
        binds().prop_map(Body::Bind),
        binds().prop_map(Body::Alter),
        acks().prop_map(Body::BindAck),
        acks().prop_map(Body::AlterResponse),
        any::<u16>().prop_map(|reason| Body::BindNak { reason }),
        Just(Body::Cancel),
        Just(Body::Orphaned),
        Just(Body::Other(16)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        body in bodies(),
        call in any::<u32>(),
        flags in 0_u8..0x80,
        big in any::<bool>(),
    ) {
        let order = if big { ByteOrder::Big } else { ByteOrder::Little };
        let pdu = Pdu { flags, call, order, body };
        let bytes = pdu.write();
        prop_assert_eq!(read_all(&bytes), Ok((pdu, None)));
        for end in 0..bytes.len() {
            // Cut anywhere it is not there yet, or short; never something else.
            prop_assert!(read_all(&bytes[..end]).is_err());
        }
    }

    /// Nothing panics, and what is made of bytes is never more than a few times as large.
    #[test]
    fn any_bytes_are_read_or_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        kind in 0_u8..21,
        tidy in any::<bool>(),
    ) {
        if tidy && bytes.len() >= HEADER_BYTES {
            bytes[2] = kind;
            bytes[4] = 0x10;
            bytes[8] = bytes.len() as u8;
            bytes[9] = (bytes.len() >> 8) as u8;
            bytes[10..12].fill(0);
        }
        if let Ok((Pdu { body: Body::Bind(bind), .. }, _)) = read_all(&bytes) {
            let syntaxes = |context: &Context| 1 + context.transfer.len();
            let syntaxes: usize = bind.contexts.iter().map(syntaxes).sum();
            prop_assert!(syntaxes * 20 <= bytes.len());
        }
    }
}
