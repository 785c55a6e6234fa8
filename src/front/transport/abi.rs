//! The few kernel messages fuser does not let us speak: INIT, and notifications. Pure.
//!
//! Layouts as in `linux/fuse.h`; numbers are in the machine's own byte order, as the kernel's are.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// FUSE_INIT.
const OPCODE_INIT: u32 = 26;
/// `sizeof(struct fuse_in_header)`.
const IN_HEADER_BYTES: usize = 40;
/// `sizeof(struct fuse_out_header)`.
const OUT_HEADER_BYTES: usize = 16;
/// `sizeof(struct fuse_init_in)` since 7.36; older kernels send the first 16 bytes.
const INIT_IN_BYTES: usize = 64;
/// `sizeof(struct fuse_init_out)` since 7.23.
const INIT_OUT_BYTES: usize = 64;
/// The only major version there has been since 2006.
pub const MAJOR: u32 = 7;
/// The minor version we speak: fuser's (fuse.md 1.4); the kernel gates nothing we use by it.
pub const MINOR: u32 = 40;
/// FUSE_INIT_EXT: the upper 32 flag bits are there.
pub const INIT_EXT: u64 = 1 << 30;
/// FUSE_EXPIRE_ONLY of FUSE_NOTIFY_INVAL_ENTRY (Linux 6.2).
const NOTIFY_EXPIRE_ONLY: u32 = 1;

/// What the kernel says in INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitRequest {
    /// To be repeated in the reply.
    pub unique: u64,
    /// Kernel's ABI version.
    pub major: u32,
    /// Kernel's ABI version.
    pub minor: u32,
    /// Bytes of readahead it offers.
    pub max_readahead: u32,
    /// FUSE_* flags it offers, both halves.
    pub flags: u64,
}

/// What we answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitReply {
    /// Bytes of readahead.
    pub max_readahead: u32,
    /// Flags in force.
    pub flags: u64,
    /// Background requests the kernel may queue.
    pub max_background: u16,
    /// Background requests from which the mount counts as congested.
    pub congestion_threshold: u16,
    /// Largest WRITE in bytes.
    pub max_write: u32,
    /// Pages of the largest request.
    pub max_pages: u16,
}

/// The first bytes that are no message of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbiError {
    /// Too short for its header.
    #[error("the kernel's first message is {0} bytes short")]
    Short(usize),
    /// Another request before INIT.
    #[error("the kernel's first message has opcode {0}, not INIT")]
    NotInit(u32),
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_ne_bytes(word)
}

impl InitRequest {
    /// Reads INIT as it comes out of `/dev/fuse`.
    ///
    /// # Errors
    /// [`AbiError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AbiError> {
        let least = IN_HEADER_BYTES + 16;
        if bytes.len() < least {
            return Err(AbiError::Short(least - bytes.len()));
        }
        let opcode = u32_at(bytes, 4);
        if opcode != OPCODE_INIT {
            return Err(AbiError::NotInit(opcode));
        }
        let body = &bytes[IN_HEADER_BYTES..];
        let low = u64::from(u32_at(body, 12));
        let high = if low & INIT_EXT != 0 && body.len() >= 20 { u32_at(body, 16) } else { 0 };
        Ok(Self {
            unique: u64_at(bytes, 8),
            major: u32_at(body, 0),
            minor: u32_at(body, 4),
            max_readahead: u32_at(body, 8),
            flags: low | (u64::from(high) << 32),
        })
    }

    /// The same message as bytes: the synthetic INIT fuser is given.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = IN_HEADER_BYTES + INIT_IN_BYTES;
        let flags = self.flags | INIT_EXT;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&(length as u32).to_ne_bytes());
        bytes.extend_from_slice(&OPCODE_INIT.to_ne_bytes());
        bytes.extend_from_slice(&self.unique.to_ne_bytes());
        bytes.resize(IN_HEADER_BYTES, 0);
        for word in [self.major, self.minor, self.max_readahead] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(&(flags as u32).to_ne_bytes());
        bytes.extend_from_slice(&((flags >> 32) as u32).to_ne_bytes());
        bytes.resize(length, 0);
        bytes
    }
}

impl InitReply {
    /// The reply to the INIT of this `unique`.
    #[must_use]
    pub fn encode(&self, unique: u64) -> Vec<u8> {
        let flags = self.flags | INIT_EXT;
        let mut body = Vec::with_capacity(INIT_OUT_BYTES);
        for word in [MAJOR, MINOR, self.max_readahead, flags as u32] {
            body.extend_from_slice(&word.to_ne_bytes());
        }
        body.extend_from_slice(&self.max_background.to_ne_bytes());
        body.extend_from_slice(&self.congestion_threshold.to_ne_bytes());
        body.extend_from_slice(&self.max_write.to_ne_bytes());
        // time_gran: nanoseconds.
        body.extend_from_slice(&1_u32.to_ne_bytes());
        body.extend_from_slice(&self.max_pages.to_ne_bytes());
        // map_alignment: not negotiated.
        body.extend_from_slice(&0_u16.to_ne_bytes());
        body.extend_from_slice(&((flags >> 32) as u32).to_ne_bytes());
        body.resize(INIT_OUT_BYTES, 0);
        with_out_header(0, unique, &body)
    }
}

/// The reply to an INIT of a newer major version: ours, so that the kernel asks again with it.
#[must_use]
pub fn version_only_reply(unique: u64) -> Vec<u8> {
    let mut body = Vec::with_capacity(INIT_OUT_BYTES);
    body.extend_from_slice(&MAJOR.to_ne_bytes());
    body.extend_from_slice(&MINOR.to_ne_bytes());
    body.resize(INIT_OUT_BYTES, 0);
    with_out_header(0, unique, &body)
}

/// An error reply, for the one request answered past fuser (`door.rs`).
#[must_use]
pub fn error_reply(unique: u64, errno: i32) -> Vec<u8> {
    with_out_header(-errno, unique, &[])
}

fn with_out_header(error: i32, unique: u64, body: &[u8]) -> Vec<u8> {
    let length = OUT_HEADER_BYTES + body.len();
    let mut bytes = Vec::with_capacity(length);
    let length = u32::try_from(length).expect("our messages are far below 4 GiB");
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&error.to_ne_bytes());
    bytes.extend_from_slice(&unique.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// What we may tell the kernel unasked. fuser has some of these; all go one way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification<'a> {
    /// FUSE_NOTIFY_POLL: a poll handle is worth asking again.
    Poll {
        /// The kernel's poll handle.
        handle: u64,
    },
    /// FUSE_NOTIFY_INVAL_INODE of a whole file: writes back dirty pages, drops clean ones, forgets
    /// the attributes.
    InvalidateNode {
        /// The file.
        node: u64,
    },
    /// FUSE_NOTIFY_INVAL_INODE of the attributes only: they are asked for again.
    InvalidateAttributes {
        /// The file.
        node: u64,
    },
    /// FUSE_NOTIFY_INVAL_ENTRY.
    InvalidateEntry {
        /// The directory.
        parent: u64,
        /// The name.
        name: &'a OsStr,
    },
    /// The same, only that the name is looked up again when it is used next: what is open or
    /// mounted there stays (Linux 6.2; an older kernel forgets the name).
    ExpireEntry {
        /// The directory.
        parent: u64,
        /// The name.
        name: &'a OsStr,
    },
    /// FUSE_NOTIFY_RESEND: every request that was read and not answered comes again.
    Resend,
    /// FUSE_NOTIFY_INC_EPOCH (Linux 6.16): every cached name is to be looked up again.
    IncrementEpoch,
}

impl Notification<'_> {
    const fn code(&self) -> i32 {
        match self {
            Self::Poll { .. } => 1,
            Self::InvalidateNode { .. } | Self::InvalidateAttributes { .. } => 2,
            Self::InvalidateEntry { .. } | Self::ExpireEntry { .. } => 3,
            Self::Resend => 7,
            Self::IncrementEpoch => 8,
        }
    }

    /// The message as bytes, for one `write(2)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Poll { handle } => body.extend_from_slice(&handle.to_ne_bytes()),
            Self::InvalidateNode { node } => {
                body.extend_from_slice(&node.to_ne_bytes());
                // Offset 0 and length 0: from the first byte to the last.
                body.extend_from_slice(&[0; 16]);
            }
            Self::InvalidateAttributes { node } => {
                body.extend_from_slice(&node.to_ne_bytes());
                // A negative offset: no page is touched.
                body.extend_from_slice(&(-1_i64).to_ne_bytes());
                body.extend_from_slice(&[0; 8]);
            }
            Self::InvalidateEntry { parent, name } | Self::ExpireEntry { parent, name } => {
                let length = u32::try_from(name.len()).expect("a name has at most 255 bytes");
                let expire = matches!(self, Self::ExpireEntry { .. });
                let flags = if expire { NOTIFY_EXPIRE_ONLY } else { 0 };
                body.extend_from_slice(&parent.to_ne_bytes());
                body.extend_from_slice(&length.to_ne_bytes());
                body.extend_from_slice(&flags.to_ne_bytes());
                body.extend_from_slice(name.as_bytes());
                body.push(0);
            }
            Self::Resend | Self::IncrementEpoch => {}
        }
        with_out_header(self.code(), 0, &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> InitRequest {
        InitRequest {
            unique: 2,
            major: 7,
            minor: 45,
            max_readahead: 131_072,
            flags: 0x5fd_73ff_fffb | INIT_EXT,
        }
    }

    #[test]
    fn init_survives_the_round_trip() {
        let bytes = request().encode();
        assert_eq!(bytes.len(), 104);
        assert_eq!(u32_at(&bytes, 0), 104);
        assert_eq!(InitRequest::parse(&bytes), Ok(request()));
    }

    #[test]
    fn an_old_kernels_short_init_has_no_upper_flags() {
        let mut bytes = request().encode();
        bytes.truncate(56);
        let parsed = InitRequest::parse(&bytes).expect("56 bytes are enough");
        assert_eq!(parsed.flags, request().flags & 0xffff_ffff);
        assert_eq!(InitRequest::parse(&bytes[..50]), Err(AbiError::Short(6)));
        bytes[4] = 1;
        assert_eq!(InitRequest::parse(&bytes), Err(AbiError::NotInit(1)));
    }

    #[test]
    fn the_reply_is_where_the_kernel_looks() {
        let reply = InitReply {
            max_readahead: 1,
            flags: 1 << 36 | 1,
            max_background: 2,
            congestion_threshold: 3,
            max_write: 4,
            max_pages: 5,
        };
        let bytes = reply.encode(9);
        assert_eq!((bytes.len(), u32_at(&bytes, 0), u64_at(&bytes, 8)), (80, 80, 9));
        let body = &bytes[16..];
        assert_eq!([u32_at(body, 0), u32_at(body, 4), u32_at(body, 8)], [7, 40, 1]);
        assert_eq!(u64::from(u32_at(body, 12)), 1 | INIT_EXT);
        assert_eq!(u32_at(body, 16), 3 << 16 | 2, "background and congestion");
        assert_eq!([u32_at(body, 20), u32_at(body, 24), u32_at(body, 28)], [4, 1, 5]);
        assert_eq!(u32_at(body, 32), 1 << 4, "flags2");
    }

    /// Byte for byte what fuser's own encoder makes of the ones it knows (its notify.rs tests).
    #[test]
    fn notifications_are_laid_out_as_fusers() {
        let entry = Notification::InvalidateEntry { parent: 0x42, name: OsStr::new("abc") };
        let bytes = entry.encode();
        assert_eq!((bytes.len(), u32_at(&bytes, 0), u32_at(&bytes, 4)), (0x24, 0x24, 3));
        assert_eq!((u64_at(&bytes, 16), u32_at(&bytes, 24)), (0x42, 3));
        assert_eq!(&bytes[32..], b"abc\0");
        let expire = Notification::ExpireEntry { parent: 0x42, name: OsStr::new("abc") }.encode();
        assert_eq!((expire.len(), u32_at(&expire, 4), u32_at(&expire, 28)), (0x24, 3, 1));
        assert_eq!(u32_at(&bytes, 28), 0);
        let poll = Notification::Poll { handle: 0x4321 }.encode();
        assert_eq!((poll.len(), u32_at(&poll, 4), u64_at(&poll, 16)), (0x18, 1, 0x4321));
        let node = Notification::InvalidateNode { node: 0x42 }.encode();
        assert_eq!((node.len(), u32_at(&node, 4), u64_at(&node, 16)), (0x28, 2, 0x42));
        let attributes = Notification::InvalidateAttributes { node: 0x42 }.encode();
        assert_eq!((attributes.len(), u64_at(&attributes, 24)), (0x28, u64::MAX));
        assert_eq!(Notification::IncrementEpoch.encode().len(), 16);
        assert_eq!(u32_at(&Notification::Resend.encode(), 4), 7);
    }

    #[test]
    fn an_error_reply_carries_the_negative_number() {
        let bytes = error_reply(7, 4);
        assert_eq!((u32_at(&bytes, 4) as i32, u64_at(&bytes, 8)), (-4, 7));
    }
}
