//! UUIDs, and the syntaxes a presentation context is negotiated with: what is called, and how it is
//! written down.

use crate::mgmt::dce::ndr::{Reader, Short, Writer};

/// A UUID by its fields: on the wire the first three are numbers in the sender's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Uuid {
    /// `time_low`.
    pub first: u32,
    /// `time_mid`.
    pub second: u16,
    /// `time_hi_and_version`.
    pub third: u16,
    /// The rest, byte by byte.
    pub last: [u8; 8],
}

impl Uuid {
    /// Of the 128 bits as they are printed.
    #[must_use]
    pub const fn of(bits: u128) -> Self {
        let [a, b, c, d, e, f, g, h, last @ ..] = bits.to_be_bytes();
        Self {
            first: u32::from_be_bytes([a, b, c, d]),
            second: u16::from_be_bytes([e, f]),
            third: u16::from_be_bytes([g, h]),
            last,
        }
    }

    pub(in crate::mgmt::dce) fn read(reader: &mut Reader<'_>) -> Result<Self, Short> {
        let (first, second, third) = (reader.u32()?, reader.u16()?, reader.u16()?);
        let last = reader.take(8)?.try_into().map_err(|_| Short)?;
        Ok(Self { first, second, third, last })
    }

    pub(in crate::mgmt::dce) fn write(&self, writer: &mut Writer) {
        writer.u32(self.first);
        writer.u16(self.second);
        writer.u16(self.third);
        writer.bytes(&self.last);
    }
}

/// An interface or a transfer syntax: a UUID and a version, the major one in the low half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Syntax {
    /// Which.
    pub uuid: Uuid,
    /// Its version.
    pub version: u32,
}

/// The remote management interface, version 1.0.
pub const MANAGEMENT: Syntax =
    Syntax { uuid: Uuid::of(0xafa8bd80_7d8a_11c9_bef4_08002b102989), version: 1 };
/// NDR with numbers of 32 bits, version 2.0: the transfer syntax this server speaks.
pub const NDR32: Syntax =
    Syntax { uuid: Uuid::of(0x8a885d04_1ceb_11c9_9fe8_08002b104860), version: 2 };
/// NDR with numbers of 64 bits, version 1.0: known, not spoken.
pub const NDR64: Syntax =
    Syntax { uuid: Uuid::of(0x71710533_beba_4937_8319_b5dbef9ccc36), version: 1 };

/// The first eight bytes of a syntax that is none, but asks for features at bind time; what it asks
/// for follows, one bit each.
const FEATURES: Uuid = Uuid::of(0x6cb71c2c_9812_4540_0000_000000000000);
/// The features there are: several security contexts, and a connection that outlives an orphaned
/// call.
const FEATURES_KNOWN: u16 = 3;

impl Syntax {
    /// The features that are asked for and known, if this is such a syntax.
    #[must_use]
    pub fn features(&self) -> Option<u16> {
        let Uuid { first, second, third, last } = self.uuid;
        let is_one = first == FEATURES.first
            && second == FEATURES.second
            && third == FEATURES.third
            && self.version == 1;
        is_one.then(|| u16::from_le_bytes([last[0], last[1]]) & FEATURES_KNOWN)
    }

    pub(in crate::mgmt::dce) fn read(reader: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self { uuid: Uuid::read(reader)?, version: reader.u32()? })
    }

    pub(in crate::mgmt::dce) fn write(&self, writer: &mut Writer) {
        self.uuid.write(writer);
        writer.u32(self.version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mgmt::dce::ndr::ByteOrder;

    #[test]
    fn a_uuid_has_the_order_of_its_message() {
        let mut writer = Writer::new(ByteOrder::Little);
        MANAGEMENT.write(&mut writer);
        let bytes = writer.finish();
        let expected = [
            0x80, 0xbd, 0xa8, 0xaf, 0x8a, 0x7d, 0xc9, 0x11, 0xbe, 0xf4, 0x08, 0x00, 0x2b, 0x10,
            0x29, 0x89, 1, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
        let read = Syntax::read(&mut Reader::new(&bytes, ByteOrder::Little));
        assert_eq!(read, Ok(MANAGEMENT));
    }

    #[test]
    fn features_are_asked_for_by_a_syntax_that_is_none() {
        let asks = |bits: u8| {
            let mut uuid = FEATURES;
            uuid.last[0] = bits;
            Syntax { uuid, version: 1 }.features()
        };
        assert_eq!(asks(0), Some(0));
        assert_eq!(asks(0xfe), Some(2), "what is not known is not granted");
        assert_eq!(NDR32.features(), None);
        assert_eq!(Syntax::default().features(), None);
    }
}
