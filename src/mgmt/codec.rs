//! Varlink framing: one JSON object and a NUL byte per message. Pure: bytes in, messages out.
//!
//! The decoder is incremental and capped: an owner who takes the messages that are whole before he
//! gives more bytes never makes it hold more than its limit plus those bytes, whatever a peer
//! sends. Once a message was too long the stream cannot be understood any more, so the decoder
//! stays in that error.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// No end within the limit.
    #[error("a message is longer than {limit} bytes")]
    TooLong {
        /// The decoder's limit.
        limit: usize,
    },
    /// Not JSON, or not the JSON that was expected.
    #[error("a message is not what varlink expects")]
    Malformed(#[source] serde_json::Error),
}

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    buffer: Vec<u8>,
    /// Start of the first message not yet handed out.
    start: usize,
    /// Bytes of `buffer` known to hold no NUL after `start`.
    searched: usize,
    too_long: bool,
}

impl Decoder {
    /// A decoder for messages of up to `limit` bytes, the NUL not counted.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), start: 0, searched: 0, too_long: false }
    }

    /// Takes what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.too_long {
            return;
        }
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message without its NUL, if it is there.
    ///
    /// # Errors
    /// [`CodecError::TooLong`], from then on always.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, CodecError> {
        if self.too_long {
            return Err(CodecError::TooLong { limit: self.limit });
        }
        let found = self.buffer[self.searched..].iter().position(|&byte| byte == 0);
        let end = found.map_or(self.buffer.len(), |at| self.searched + at);
        if end - self.start > self.limit {
            self.too_long = true;
            self.buffer = Vec::new();
            (self.start, self.searched) = (0, 0);
            return Err(CodecError::TooLong { limit: self.limit });
        }
        self.searched = end;
        if found.is_none() {
            return Ok(None);
        }
        let frame = self.start..end;
        self.start = end + 1;
        self.searched = self.start;
        Ok(Some(&self.buffer[frame]))
    }

    /// The next whole message as a `T`, if it is there.
    ///
    /// # Errors
    /// [`CodecError`]; after `Malformed` the next message can still be read.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CodecError> {
        let Some(frame) = self.next_frame()? else { return Ok(None) };
        serde_json::from_slice(frame).map(Some).map_err(CodecError::Malformed)
    }
}

/// A message as it goes on the wire, NUL included.
///
/// # Errors
/// [`CodecError::Malformed`] for a type that is no JSON object (a map with other than text keys).
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = serde_json::to_vec(message).map_err(CodecError::Malformed)?;
    bytes.push(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mgmt::proto::{Reply, Request};
    use proptest::prelude::*;

    /// Feeds `bytes` in pieces and gathers the frames, up to the first error.
    fn frames(limit: usize, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
        let mut decoder = Decoder::new(limit);
        let mut found = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => found.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(_) => return (found, true),
                }
            }
        }
        (found, false)
    }

    #[test]
    fn a_message_survives_the_wire() {
        let request = Request { method: "a.B".to_owned(), more: true, ..Request::default() };
        let bytes = encode(&request).expect("serialises");
        assert_eq!(bytes, b"{\"method\":\"a.B\",\"more\":true}\0");
        let mut decoder = Decoder::new(100);
        decoder.push(&bytes);
        assert_eq!(decoder.next_message::<Request>().expect("well-formed"), Some(request));
        assert_eq!(decoder.next_message::<Request>().expect("nothing left"), None);
    }

    /// A message that is no JSON does not take the next one with it.
    #[test]
    fn a_malformed_message_is_skipped() {
        let mut decoder = Decoder::new(100);
        decoder.push(b"{]\0{\"error\":\"a.B\"}\0");
        assert!(matches!(decoder.next_message::<Reply>(), Err(CodecError::Malformed(_))));
        let reply = decoder.next_message::<Reply>().expect("well-formed").expect("is there");
        assert_eq!(reply.error.as_deref(), Some("a.B"));
    }

    #[test]
    fn the_limit_is_exact_and_final() {
        assert_eq!(frames(3, &[b"abc\0de"]), (vec![b"abc".to_vec()], false));
        assert_eq!(frames(3, &[b"abcd"]), (vec![], true));
        assert_eq!(frames(3, &[b"abcd\0"]), (vec![], true));
        let mut decoder = Decoder::new(3);
        decoder.push(b"abcd");
        assert!(decoder.next_frame().is_err());
        decoder.push(b"\0a\0");
        assert!(decoder.next_frame().is_err(), "what follows cannot be understood");
        assert!(decoder.buffer.is_empty(), "and is not kept");
    }

    /// Deep nesting is an error, not a stack overflow.
    #[test]
    fn deep_nesting_is_refused() {
        let mut decoder = Decoder::new(1 << 20);
        decoder.push(&[b'['; 1 << 20]);
        decoder.push(&[0]);
        assert!(matches!(decoder.next_message::<Request>(), Err(CodecError::Malformed(_))));
    }

    proptest! {
        /// However the bytes are cut, the same messages come out, and memory stays bounded.
        #[test]
        fn cutting_does_not_matter(
            bytes in proptest::collection::vec(
                prop_oneof![3 => 1..=255_u8, 1 => Just(0_u8)],
                0..400,
            ),
            piece in 1..50_usize,
            limit in 1..60_usize,
        ) {
            let whole = frames(limit, &[&bytes]);
            let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
            prop_assert_eq!(&frames(limit, &pieces), &whole);
            let expected: Vec<Vec<u8>> = bytes
                .split_inclusive(|&byte| byte == 0)
                .filter(|frame| frame.ends_with(&[0]))
                .map(|frame| frame[..frame.len() - 1].to_vec())
                .take_while(|frame| frame.len() <= limit)
                .collect();
            prop_assert_eq!(whole.0, expected);

            let mut decoder = Decoder::new(limit);
            for piece in pieces {
                decoder.push(piece);
                while let Ok(Some(_)) = decoder.next_frame() {}
                prop_assert!(decoder.buffer.len() - decoder.start <= limit + piece.len());
            }
        }

        /// Random and truncated messages are errors or nothing, never a panic.
        #[test]
        fn random_input_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            keep in 0..60_usize,
        ) {
            let mut decoder = Decoder::new(256);
            let mut whole = encode(&Request {
                method: "io.minirdr.Control.Status".to_owned(),
                ..Request::default()
            })?;
            whole.truncate(keep.min(whole.len() - 1));
            decoder.push(&whole);
            prop_assert!(decoder.next_message::<Request>()?.is_none(), "truncated: not yet");
            decoder.push(&bytes);
            for _ in 0..=bytes.len() {
                let _ = decoder.next_message::<Request>();
                let _ = decoder.next_message::<Reply>();
            }
        }
    }
}
