//! The protocol of a connection, without a socket.

use super::*;
use crate::mgmt::dce::pdu::fault;
use crate::mgmt::dce::syntax::{Syntax, Uuid};
use proptest::prelude::*;

/// A server of one group; does it listen?
struct Rig(bool);

const GROUP: u32 = 0x1001;

impl Association for Rig {
    fn is_listening(&self) -> bool {
        self.0
    }

    fn create(&self) -> u32 {
        GROUP
    }

    fn join(&self, group: u32) -> bool {
        group == GROUP
    }
}

const RIG: Rig = Rig(true);

fn context(id: u16, interface: Syntax, transfer: &[Syntax]) -> Context {
    Context { id, interface, transfer: transfer.to_vec() }
}

fn bind_of(contexts: Vec<Context>) -> Bind {
    Bind { max_send: 4280, max_receive: 4280, group: 0, contexts }
}

fn feed(connection: &mut Connection, pdu: &Pdu) -> Step {
    connection.receive(&pdu.write());
    connection.step(&RIG)
}

fn parse(bytes: &[u8]) -> Pdu {
    let header = Header::read(bytes).expect("a header").expect("whole");
    assert_eq!(usize::from(header.length), bytes.len(), "one message");
    pdu::read(&header, bytes).expect("readable").0
}

fn sent(step: Step) -> Pdu {
    match step {
        Step::Send(bytes) => parse(&bytes),
        other => panic!("{other:?}"),
    }
}

fn closed(step: Step) -> Pdu {
    match step {
        Step::Close(bytes) => parse(&bytes),
        other => panic!("{other:?}"),
    }
}

fn bound() -> Connection {
    let mut connection = Connection::new("135");
    let bind = bind_of(vec![context(1, MANAGEMENT, &[NDR32])]);
    let answer = sent(feed(&mut connection, &Pdu::new(0, Body::Bind(bind))));
    let Body::BindAck(ack) = answer.body else { panic!("{answer:?}") };
    assert_eq!((ack.group, ack.address.as_slice()), (GROUP, b"135".as_slice()));
    connection
}

fn results(pdu: Pdu) -> Vec<(u16, u16)> {
    let (Body::BindAck(ack) | Body::AlterResponse(ack)) = pdu.body else { panic!("{pdu:?}") };
    ack.results.iter().map(|one| (one.result, one.reason)).collect()
}

fn request(call: u32, context: u16, stub: &[u8]) -> Pdu {
    let (operation, stub) = (0, stub.to_vec());
    Pdu::new(call, Body::Request { hint: u32::MAX, context, operation, object: None, stub })
}

fn features(bits: u8) -> Syntax {
    let mut uuid = Uuid::of(0x6cb71c2c_9812_4540_0000_000000000000);
    uuid.last[0] = bits;
    Syntax { uuid, version: 1 }
}

/// What Windows clients send: the interface once for each transfer syntax, and features.
#[test]
fn a_bind_answers_each_context() {
    let mut connection = Connection::new("135");
    let bind = bind_of(vec![
        context(7, Syntax::default(), &[NDR32]),
        context(0, MANAGEMENT, &[Syntax::default(), NDR32]),
        context(1, MANAGEMENT, &[NDR64]),
        context(2, MANAGEMENT, &[features(3)]),
    ]);
    let flags = flags::WHOLE | flags::MULTIPLEX | flags::MAYBE;
    let answer = sent(feed(&mut connection, &Pdu { flags, ..Pdu::new(3, Body::Bind(bind)) }));
    assert_eq!((answer.call, answer.flags), (3, flags::WHOLE | flags::MULTIPLEX));
    assert_eq!(results(answer), [(2, 1), (0, 0), (2, 2), (3, 3)]);
    let again = bind_of(vec![context(0, MANAGEMENT, &[NDR32])]);
    let nak = closed(feed(&mut connection, &Pdu::new(4, Body::Bind(again))));
    assert_eq!(nak.body, Body::BindNak { reason: nak::NOT_SPECIFIED }, "once is enough");
    connection.receive(&request(5, 0, &[]).write());
    assert_eq!(connection.step(&RIG), Step::Close(Vec::new()), "it is over");
}

#[test]
fn binds_that_make_no_sense_are_refused_and_the_connection_closed() {
    let one = || context(1, MANAGEMENT, &[NDR32]);
    let twice =
        vec![context(1, MANAGEMENT, &[features(1)]), context(2, MANAGEMENT, &[features(2)])];
    for bind in [
        bind_of(Vec::new()),
        bind_of(vec![context(1, MANAGEMENT, &[])]),
        bind_of(twice),
        Bind { group: 77, ..bind_of(vec![one()]) },
    ] {
        let nak = closed(feed(&mut Connection::new(""), &Pdu::new(0, Body::Bind(bind))));
        assert_eq!(nak.body, Body::BindNak { reason: nak::NOT_SPECIFIED });
    }
    let mut connection = Connection::new("");
    connection.receive(&Pdu::new(0, Body::Bind(bind_of(vec![one()]))).write());
    let nak = closed(connection.step(&Rig(false)));
    assert_eq!(nak.body, Body::BindNak { reason: nak::NOT_SPECIFIED }, "nobody listens any more");

    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Pdu::new(0, Body::Bind(bind_of(vec![one()]))).write();
        change(&mut bytes);
        let length = u16::try_from(bytes.len()).expect("short").to_le_bytes();
        bytes[8..10].copy_from_slice(&length);
        let mut connection = Connection::new("");
        connection.receive(&bytes);
        match closed(connection.step(&RIG)).body {
            Body::BindNak { reason } => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with(&|bytes| bytes[0] = 4), nak::VERSION);
    assert_eq!(with(&|bytes| bytes[10] = 200), nak::VERSION, "a trailer that is not there");
    assert_eq!(with(&|bytes| bytes.truncate(50)), nak::NOT_SPECIFIED);
    let trailer = |level: u8| {
        with(&move |bytes: &mut Vec<u8>| {
            bytes.extend([1, level, 0, 0, 0, 0, 0, 0, b'n', b'o', b'n', b'e']);
            bytes[10] = 4;
        })
    };
    let reasons = [0, 1, 2, 6, 7, 255].map(trailer);
    assert_eq!(reasons, [0, 0, nak::AUTHENTICATION, nak::AUTHENTICATION, 0, 0]);
}

#[test]
fn an_alter_adds_contexts_one_a_message() {
    let mut connection = bound();
    let alter = |contexts| Pdu::new(1, Body::Alter(bind_of(contexts)));
    let one = |id| context(id, MANAGEMENT, &[NDR32]);
    assert_eq!(
        results(sent(feed(&mut connection, &alter(vec![one(3), one(4)])))),
        [(0, 0), (2, 2)]
    );
    assert_eq!(results(sent(feed(&mut connection, &alter(vec![one(4)])))), [(0, 0)]);
    let other = context(1, MANAGEMENT, &[Syntax::default()]);
    assert_eq!(results(sent(feed(&mut connection, &alter(vec![other])))), [(2, 2)]);
    for id in [1, 3, 4] {
        assert!(matches!(feed(&mut connection, &request(9, id, &[])), Step::Call(_)), "{id}");
    }
    for contexts in [
        Vec::new(),
        vec![context(1, MANAGEMENT, &[])],
        vec![context(1, MANAGEMENT, &[Syntax::default(), NDR64])],
    ] {
        let fault = closed(feed(&mut bound(), &alter(contexts)));
        assert_eq!(fault.flags, flags::WHOLE | flags::NOT_EXECUTED);
        assert_eq!(fault.body, Body::Fault { context: 0, status: fault::PROTOCOL_ERROR });
    }
}

#[test]
fn contexts_are_bounded() {
    let mut connection = bound();
    for id in 0..u16::try_from(2 * RPC_CONTEXTS_MAX).expect("few") {
        let contexts = vec![context(id + 100, MANAGEMENT, &[NDR32])];
        let answer = sent(feed(&mut connection, &Pdu::new(1, Body::Alter(bind_of(contexts)))));
        let room = usize::from(id) + 1 < RPC_CONTEXTS_MAX;
        assert_eq!(results(answer), [if room { (0, 0) } else { (2, 2) }], "{id}");
    }
}

/// A call comes out whole whatever pieces it came in, and its answer names its context.
#[test]
fn a_call_comes_in_fragments() {
    let mut connection = bound();
    let piece = |flags, stub: &[u8]| Pdu { flags, ..request(5, 1, stub) };
    assert_eq!(feed(&mut connection, &piece(flags::FIRST, b"ab")), Step::Send(Vec::new()));
    assert_eq!(feed(&mut connection, &Pdu::new(5, Body::Orphaned)), Step::Send(Vec::new()));
    assert!(connection.is_midway());
    assert_eq!(feed(&mut connection, &piece(0, b"cd")), Step::Send(Vec::new()));
    let Step::Call(call) = feed(&mut connection, &piece(flags::LAST, b"ef")) else {
        panic!("no call");
    };
    assert!(!connection.is_midway());
    assert_eq!((call.number, call.operation, call.stub.as_slice()), (5, 0, b"abcdef".as_slice()));
    let answer = parse(&connection.answer(&call, Ok(b"1234")));
    assert_eq!(answer.body, Body::Response { hint: 4, context: 1, stub: b"1234".to_vec() });
    let fault = parse(&connection.answer(&call, Err(fault::NO_OPERATION)));
    assert_eq!(fault.flags, flags::WHOLE | flags::NOT_EXECUTED);
    assert_eq!(fault.body, Body::Fault { context: 1, status: fault::NO_OPERATION });

    let maybe = Pdu { flags: flags::WHOLE | flags::MAYBE, ..request(6, 1, &[]) };
    let Step::Call(call) = feed(&mut connection, &maybe) else { panic!("no call") };
    assert!(connection.answer(&call, Ok(b"1")).is_empty(), "nobody wants it");
    let unknown = sent(feed(&mut connection, &request(7, 12345, &[])));
    assert_eq!(unknown.body, Body::Fault { context: 0, status: fault::UNKNOWN_INTERFACE });
    assert!(matches!(feed(&mut connection, &request(8, 1, &[])), Step::Call(_)), "it stays");
}

#[test]
fn fragments_out_of_order_end_the_connection() {
    let piece = |call, flags| Pdu { flags, ..request(call, 1, b"x") };
    let protocol_error = |context| Body::Fault { context, status: fault::PROTOCOL_ERROR };
    for second in [piece(6, flags::WHOLE), piece(5, flags::FIRST), piece(6, flags::LAST)] {
        let mut connection = bound();
        assert_eq!(feed(&mut connection, &piece(5, flags::FIRST)), Step::Send(Vec::new()));
        let fault = closed(feed(&mut connection, &second));
        assert_eq!((fault.call, fault.body), (5, protocol_error(1)), "{second:?}");
    }
    let fault = closed(feed(&mut bound(), &piece(5, flags::LAST)));
    assert_eq!(fault.body, protocol_error(0), "a last one without a first");
    let mut unbound = Connection::new("");
    assert_eq!(closed(feed(&mut unbound, &request(1, 1, &[]))).body, protocol_error(0));
}

/// A peer cannot make us keep more than a call's operands may be.
#[test]
fn operands_are_bounded() {
    let mut connection = bound();
    let piece = |flags| Pdu { flags, ..request(5, 1, &[0; 4000]) };
    let mut step = feed(&mut connection, &piece(flags::FIRST));
    let mut pieces = 1;
    while step == Step::Send(Vec::new()) {
        step = feed(&mut connection, &piece(0));
        pieces += 1;
    }
    assert_eq!(pieces, RPC_REQUEST_BYTES_MAX / 4000 + 1);
    assert_eq!(closed(step).body, Body::Fault { context: 0, status: fault::PROTOCOL_ERROR });
    let mut connection = bound();
    connection.receive(&[5, 0, 0, 3, 0x10, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    assert_eq!(connection.step(&RIG), Step::Close(Vec::new()), "longer than was agreed on");
    let mut connection = bound();
    connection.receive(&[5, 0, 0, 3, 0x10, 0, 0, 0, 15, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(connection.step(&RIG), Step::Close(Vec::new()), "shorter than its header");
}

/// A trailer on a request of a connection without authentication is denied.
#[test]
fn authentication_is_not_spoken() {
    let mut bytes = request(3, 1, &[]).write();
    bytes.extend([0, 2, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    bytes[8] = u8::try_from(bytes.len()).expect("short");
    bytes[10] = 4;
    let mut connection = bound();
    connection.receive(&bytes);
    let fault = closed(connection.step(&RIG));
    assert_eq!(fault.flags, flags::WHOLE);
    assert_eq!(fault.body, Body::Fault { context: 1, status: fault::ACCESS_DENIED });
    assert_eq!(feed(&mut bound(), &Pdu::new(1, Body::Other(16))), Step::Close(Vec::new()));
}

/// Everything a connection does with these bytes, in the pieces they come in; and what it keeps.
fn run(bytes: &[u8], piece: usize) -> (Vec<Step>, usize) {
    let (mut connection, mut steps, mut kept) = (Connection::new("135"), Vec::new(), 0);
    for piece in bytes.chunks(piece.max(1)) {
        connection.receive(piece);
        loop {
            let step = connection.step(&RIG);
            kept = kept.max(connection.input.len());
            match step {
                Step::Read => break,
                Step::Close(_) => {
                    steps.push(step);
                    return (steps, kept);
                }
                Step::Send(_) | Step::Call(_) => steps.push(step),
            }
        }
    }
    (steps, kept)
}

/// Messages of all kinds, some of them mangled.
fn traffic() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        Just(bind_of(vec![context(1, MANAGEMENT, &[NDR32])])).prop_map(Body::Bind),
        Just(bind_of(vec![context(2, MANAGEMENT, &[NDR32])])).prop_map(Body::Alter),
        (0_u16..3, 0_u16..6, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(
            |(context, operation, stub)| Body::Request {
                hint: 0,
                context,
                operation,
                object: None,
                stub
            }
        ),
        Just(Body::Cancel),
        Just(Body::Orphaned),
        (0_u8..21).prop_map(Body::Other),
    ];
    let message =
        (whole, any::<u8>(), any::<bool>(), 0_u32..4).prop_map(|(body, flags, big, call)| {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            Pdu { flags: flags & !flags::OBJECT, call, order, body }.write()
        });
    let mangled = (message.clone(), any::<(usize, u8)>()).prop_map(|(mut bytes, (at, value))| {
        let at = at % bytes.len();
        bytes[at] = value;
        bytes
    });
    let noise = proptest::collection::vec(any::<u8>(), 0..60);
    let piece = prop_oneof![6 => message, 2 => mangled, 1 => noise];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever comes, in whatever pieces, the same is done, within bounds, and it ends.
    #[test]
    fn pieces_do_not_matter_and_nothing_is_too_much(bytes in traffic(), piece in 1_usize..50) {
        let (whole, _) = run(&bytes, usize::MAX);
        let (in_pieces, kept) = run(&bytes, piece);
        prop_assert!(kept <= usize::from(RPC_FRAGMENT_BYTES_MAX) + piece);
        // A connection that closes does not see what would have come.
        prop_assert_eq!(in_pieces, whole);
    }

    #[test]
    fn noise_ends_or_waits(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
        let (_, kept) = run(&bytes, 4096);
        prop_assert!(kept <= usize::from(RPC_FRAGMENT_BYTES_MAX) + 4096);
    }
}
