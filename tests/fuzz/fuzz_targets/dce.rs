//! Whatever a peer of remote management sends, in whatever pieces: no panic, no end, no more kept
//! than is allowed. The first byte says how large the pieces are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use minirdr::base::limits::{RPC_FRAGMENT_BYTES_MAX, RPC_REQUEST_BYTES_MAX};
use minirdr::mgmt::dce::connection::{Association, Connection, Step};
use minirdr::mgmt::dce::interface::Management;
use minirdr::mgmt::dce::pdu::{self, Header};

struct Open;

impl Association for Open {
    fn is_listening(&self) -> bool {
        true
    }

    fn create(&self) -> u32 {
        0x1001
    }

    fn join(&self, group: u32) -> bool {
        group == 0x1001
    }
}

/// What is read of a message is what is written of it.
fn round_trip(bytes: &[u8]) {
    let Ok(Some(header)) = Header::read(bytes) else { return };
    let Ok((read, _)) = pdu::read(&header, bytes) else { return };
    let written = read.write();
    let header = Header::read(&written).expect("a header").expect("whole");
    let (again, trailer) = pdu::read(&header, &written).expect("readable");
    assert_eq!((again, trailer), (read, None));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    round_trip(bytes);
    let mut connection = Connection::new("135");
    for piece in bytes.chunks(usize::from(piece) + 1) {
        connection.receive(piece);
        loop {
            match connection.step(&Open) {
                Step::Read => break,
                Step::Send(bytes) => {
                    assert!(bytes.len() <= 2 * usize::from(RPC_FRAGMENT_BYTES_MAX))
                }
                Step::Close(_) => return,
                Step::Call(call) => {
                    let most = RPC_REQUEST_BYTES_MAX + usize::from(RPC_FRAGMENT_BYTES_MAX);
                    assert!(call.stub.len() <= most);
                    let answer = match Management::read(call.operation, call.order, &call.stub) {
                        Ok(asked) => connection.answer(&call, Ok(&asked.denied().write())),
                        Err(status) => connection.answer(&call, Err(status)),
                    };
                    assert!(answer.len() < 200);
                }
            }
        }
    }
});
