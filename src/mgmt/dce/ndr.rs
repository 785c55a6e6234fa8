//! Integers and arrays as NDR has them: aligned to their size from the beginning, in the sender's
//! byte order. A reader never takes a length for granted: it hands out what is there.

/// The order of the bytes of an integer: the first nibble of a message's data representation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteOrder {
    /// The least significant first; ours.
    #[default]
    Little,
    /// The most significant first.
    Big,
}

/// The bytes end before what is read from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message ends too early")]
pub struct Short;

/// Reads.
#[derive(Clone, Debug)]
pub struct Reader<'bytes> {
    bytes: &'bytes [u8],
    at: usize,
    order: ByteOrder,
}

impl<'bytes> Reader<'bytes> {
    /// Reads `bytes` from their beginning.
    #[must_use]
    pub const fn new(bytes: &'bytes [u8], order: ByteOrder) -> Self {
        Self { bytes, at: 0, order }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Short`].
    pub fn take(&mut self, count: usize) -> Result<&'bytes [u8], Short> {
        let end = self.at.checked_add(count).ok_or(Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(Short)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.take(N)?.try_into().map_err(|_| Short)
    }

    /// Skips to a multiple of `size`.
    ///
    /// # Errors
    /// [`Short`].
    pub fn align(&mut self, size: usize) -> Result<(), Short> {
        self.take(self.at.next_multiple_of(size) - self.at).map(|_| ())
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Short`].
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number of 16 bits.
    ///
    /// # Errors
    /// [`Short`].
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.align(2)?;
        let bytes = self.array()?;
        Ok(match self.order {
            ByteOrder::Little => u16::from_le_bytes(bytes),
            ByteOrder::Big => u16::from_be_bytes(bytes),
        })
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    /// [`Short`].
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.align(4)?;
        let bytes = self.array()?;
        Ok(match self.order {
            ByteOrder::Little => u32::from_le_bytes(bytes),
            ByteOrder::Big => u32::from_be_bytes(bytes),
        })
    }

    /// What is left.
    #[must_use]
    pub fn rest(&mut self) -> &'bytes [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        rest
    }
}

/// Writes.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    order: ByteOrder,
}

impl Writer {
    /// Writes from the beginning of a message.
    #[must_use]
    pub const fn new(order: ByteOrder) -> Self {
        Self { bytes: Vec::new(), order }
    }

    /// Adds bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Pads with zeros to a multiple of `size`.
    pub fn align(&mut self, size: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(size), 0);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// A number of 16 bits.
    pub fn u16(&mut self, value: u16) {
        self.align(2);
        self.bytes.extend_from_slice(&match self.order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        });
    }

    /// A number of 32 bits.
    pub fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&match self.order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        });
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_in_both_orders() {
        for (order, expected) in [
            (ByteOrder::Little, [7, 0, 0x34, 0x12, 0xEF, 0xBE, 0xAD, 0xDE, 9]),
            (ByteOrder::Big, [7, 0, 0x12, 0x34, 0xDE, 0xAD, 0xBE, 0xEF, 9]),
        ] {
            let mut writer = Writer::new(order);
            writer.u8(7);
            writer.u16(0x1234);
            writer.u32(0xDEAD_BEEF);
            writer.u8(9);
            let bytes = writer.finish();
            assert_eq!(bytes, expected);
            let mut reader = Reader::new(&bytes, order);
            assert_eq!(reader.u8(), Ok(7));
            assert_eq!(reader.u16(), Ok(0x1234));
            assert_eq!(reader.u32(), Ok(0xDEAD_BEEF));
            assert_eq!(reader.clone().u16(), Err(Short), "padding and one byte are no number");
            assert_eq!(reader.rest(), [9]);
            assert_eq!(reader.take(1), Err(Short));
            assert_eq!(reader.take(usize::MAX), Err(Short));
        }
    }
}
