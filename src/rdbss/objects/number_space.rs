//! Number space: how several devices of one mount keep their file and handle numbers apart.
//!
//! The kernel knows one set of file numbers for a mount, and our handles are one set, too, while
//! every server numbers its files as it likes. Each device has a *tag*, which goes on top:
//!
//! ```text
//! file    tag (7 bits) | 1 if hashed | number, or 55 bits of its hash
//! handle  tag (7 bits) | 25 bits: slot generation | 32 bits: index, shard
//! ```
//!
//! The tag 0 is that of a mount's only device, or of its router: its numbers are the server's own,
//! all 64 bits of them, but for 0 and 1, which FUSE keeps for no file and the root. The highest bit
//! is never set with another tag: the numbers of the control files are up there.

use crate::base::ids::{HandleNumber, LossNumber, NodeNumber};

/// Bits below a tag.
const TAG_SHIFT: u32 = 56;
/// In a tagged file number: the rest is a hash.
const HASHED: u64 = 1 << 55;

/// Which device of a mount; at most [`Tag::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u8);

impl Tag {
    /// Of a mount's only device, and of the router of several.
    pub const SOLE: Self = Self(0);
    /// The last one.
    pub const MAX: Self = Self(127);

    /// The tag of this number, if it is one.
    #[must_use]
    pub const fn new(tag: u8) -> Option<Self> {
        if tag <= Self::MAX.0 { Some(Self(tag)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// A loss of its device, among those of the whole mount.
    #[must_use]
    pub const fn loss(self, number: LossNumber) -> LossNumber {
        LossNumber(self.handle_bits() | number.0)
    }

    /// Whose handle it is.
    #[must_use]
    pub const fn of_handle(handle: HandleNumber) -> Self {
        Self((handle.0 >> TAG_SHIFT) as u8)
    }

    /// Whose file it is, in a mount of several devices: a mount's only device uses all the bits.
    #[must_use]
    pub const fn of_node(node: NodeNumber) -> Self {
        Self((node.0 >> TAG_SHIFT) as u8)
    }

    /// What is on top of its handles' numbers.
    #[must_use]
    pub(in crate::rdbss) const fn handle_bits(self) -> u64 {
        (self.0 as u64) << TAG_SHIFT
    }

    /// The number of its root.
    #[must_use]
    pub const fn root(self) -> NodeNumber {
        // No file of a server has the number 0.
        if self.0 == 0 { NodeNumber::ROOT } else { NodeNumber(self.handle_bits()) }
    }

    /// The kernel's number for a file of the server's.
    ///
    /// Numbers of 2^55 and more are hashed. Should two such files ever meet in one number, they are
    /// two files of one number to the file table and to the kernel, as if the server had used the
    /// number again: they are told apart, and the older one is only reached by who has it open.
    #[must_use]
    pub const fn node(self, number: u64) -> NodeNumber {
        if self.0 == 0 {
            // Few servers use these for a file; those who do will hardly have the other two.
            return NodeNumber(if number <= 1 { i64::MAX as u64 - number } else { number });
        }
        let low = if number == 0 || number >= HASHED {
            HASHED | (mix(number) & (HASHED - 1))
        } else {
            number
        };
        NodeNumber(self.handle_bits() | low)
    }
}

/// Spreads every bit of a number over all of the result (the finaliser of MurmurHash3: one to one).
const fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_only_device_numbers_as_its_server_does() {
        for number in [2, 3, HASHED, u64::MAX] {
            assert_eq!(Tag::SOLE.node(number), NodeNumber(number));
        }
        let reserved = [0, 1].map(|number| Tag::SOLE.node(number));
        assert!(reserved[0] != reserved[1] && reserved.iter().all(|number| number.0 > 1 << 62));
        assert_eq!(Tag::SOLE.root(), NodeNumber::ROOT);
        assert_eq!(Tag::new(128), None);
    }

    proptest! {
        /// Devices never share a number, no file has the number of a root, and small numbers can be
        /// read in what the kernel shows.
        #[test]
        fn numbers_of_two_devices_never_meet(
            one in 1..=127_u8,
            other in 1..=127_u8,
            number in any::<u64>(),
            another in any::<u64>(),
        ) {
            let (one, other) = (Tag(one), Tag(other));
            let (node, theirs) = (one.node(number), other.node(another));
            prop_assert_eq!(node.0 >> TAG_SHIFT, u64::from(one.get()));
            prop_assert!(one == other || node != theirs);
            prop_assert_ne!(node, other.root());
            prop_assert_ne!(node, NodeNumber::ROOT);
            prop_assert_eq!(node.0 >> 63, 0, "the control files are up there");
            if (1..HASHED).contains(&number) {
                prop_assert_eq!(node.0 & (HASHED - 1), number);
            }
            let handle = HandleNumber(one.handle_bits() | (another & ((1 << TAG_SHIFT) - 1)));
            prop_assert_eq!((Tag::of_handle(handle), Tag::of_node(node)), (one, one));
        }
    }
}
