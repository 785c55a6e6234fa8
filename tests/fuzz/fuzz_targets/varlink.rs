//! Whatever a client of the control socket sends, in whatever pieces: messages, or an error that
//! ends it. The first byte says how large the pieces are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use minirdr::mgmt::codec::{self, Decoder};
use minirdr::mgmt::proto::Request;

const LONGEST: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let mut decoder = Decoder::new(LONGEST);
    for piece in bytes.chunks(usize::from(piece) + 1) {
        decoder.push(piece);
        loop {
            match decoder.next_message::<Request>() {
                Ok(None) => break,
                Ok(Some(request)) => {
                    let again = codec::encode(&request).expect("a request can be written");
                    let mut reader = Decoder::new(again.len());
                    reader.push(&again);
                    assert_eq!(reader.next_message().ok().flatten(), Some(request));
                }
                Err(_) => return,
            }
        }
    }
});
