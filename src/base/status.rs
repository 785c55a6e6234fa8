//! How an operation failed: NTSTATUS names, their numbers, and the one table to errno.
//!
//! `Status` holds *failures only*. STATUS_PENDING and STATUS_MORE_PROCESSING_REQUIRED are not
//! variants, so they cannot be sent to the kernel (design README, invariant 2); their numbers exist
//! as constants in [`wire`] for the control plane, which is the only place that may speak them.
//!
//! Numbers: reference rdbss.md section 8. Errnos: the same table, with stop.md G2 deciding the
//! three that a stop produces.

use std::fmt;

/// NTSTATUS numbers that only the control plane speaks; none can become a FUSE answer.
pub mod wire {
    /// STATUS_SUCCESS.
    pub const SUCCESS: u32 = 0x0000_0000;
    /// STATUS_PENDING: accepted, the result comes by ticket.
    pub const PENDING: u32 = 0x0000_0103;
    /// STATUS_REDIRECTOR_HAS_OPEN_HANDLES: stopped, and some handles survive (stop.md C5).
    pub const REDIRECTOR_HAS_OPEN_HANDLES: u32 = 0x8000_0023;
    /// STATUS_REDIRECTOR_STARTED: a start of something started.
    pub const REDIRECTOR_STARTED: u32 = 0xC000_00FC;
}

/// An operating-system error number, positive, as in `errno.h`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(i32);

impl Errno {
    /// Wraps a positive error number; anything else becomes `EIO`, because the kernel refuses a
    /// reply whose error is not in 1..=511.
    #[must_use]
    pub const fn new(number: i32) -> Self {
        if number > 0 && number < 512 { Self(number) } else { Self::EIO }
    }

    /// The number, positive.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}

/// Declares the error numbers this program names, from the system's own table.
macro_rules! errnos {
    ($($name:ident = $system:ident),+ $(,)?) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($name), "`.")]
            pub const $name: Self = Self(rustix::io::Errno::$system.raw_os_error());)+

            /// The error number with this name, `EIO` for instance, if this program names it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
        impl fmt::Debug for Errno {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Self::$name => out.write_str(stringify!($name)),)+
                    Self(number) => write!(out, "errno {number}"),
                }
            }
        }
    };
}

errnos! {
    EPERM = PERM, ENOENT = NOENT, EINTR = INTR, EIO = IO, E2BIG = TOOBIG, EBADF = BADF,
    EAGAIN = AGAIN, ENOMEM = NOMEM, EACCES = ACCESS, EBUSY = BUSY, EEXIST = EXIST, EXDEV = XDEV,
    ENODEV = NODEV, EMFILE = MFILE, ENFILE = NFILE,
    ENOTDIR = NOTDIR, EISDIR = ISDIR, EINVAL = INVAL, EFBIG = FBIG, ENOSPC = NOSPC, EROFS = ROFS,
    EMLINK = MLINK, ERANGE = RANGE, ENAMETOOLONG = NAMETOOLONG, ENOSYS = NOSYS,
    ENOTEMPTY = NOTEMPTY, ELOOP = LOOP, ENODATA = NODATA, EOVERFLOW = OVERFLOW,
    EOPNOTSUPP = OPNOTSUPP, ENXIO = NXIO, ENOTTY = NOTTY, ETXTBSY = TXTBSY, EDQUOT = DQUOT,
    ETIMEDOUT = TIMEDOUT, ECONNABORTED = CONNABORTED, ECONNREFUSED = CONNREFUSED,
    ECONNRESET = CONNRESET, EHOSTDOWN = HOSTDOWN, EHOSTUNREACH = HOSTUNREACH,
    ENETUNREACH = NETUNREACH, ENOTCONN = NOTCONN, ESHUTDOWN = SHUTDOWN, ESTALE = STALE,
    EALREADY = ALREADY, ECANCELED = CANCELED, EDEADLK = DEADLK, ENOLCK = NOLCK,
}

impl fmt::Display for Errno {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", std::io::Error::from_raw_os_error(self.0))
    }
}

/// Why an operation did not succeed. `Posix` passes a POSIX server's own error through unchanged;
/// the others are RDBSS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Status {
    /// The gate's refusal in every state but Started and Paused (stop.md §2, G2).
    #[error("the redirector is not started")]
    RedirectorNotStarted,
    /// The gate's refusal of new opens while Paused (stop.md §2, G2).
    #[error("the redirector is paused: no new opens")]
    RedirectorPaused,
    /// An operation on a survivor that was not carried over to this generation (stop.md G2, S4).
    #[error("the handle is from before a stop")]
    FileInvalid,
    /// The caller was killed, or a stop cancelled the request (stop.md §5).
    #[error("the request was cancelled")]
    Cancelled,
    /// The request's deadline passed and its server had not answered (stop.md S1).
    #[error("the server did not answer in time")]
    IoTimeout,
    /// The callout does not exist in this mini-redirector (the default of every one).
    #[error("not implemented by this mini-redirector")]
    NotImplemented,
    /// The server cannot do this kind of thing at all.
    #[error("not supported by the server")]
    NotSupported,
    /// A bound was reached: memory, a queue, a table, a 20-bit count of the gate.
    #[error("out of resources")]
    InsufficientResources,
    /// A mini-redirector panicked or broke its contract; counted as a defect (stop.md S6).
    #[error("the mini-redirector failed unexpectedly")]
    Unsuccessful,
    /// A call that makes no sense with these arguments.
    #[error("invalid parameter")]
    InvalidParameter,
    /// The handle number is not in the table.
    #[error("invalid handle")]
    InvalidHandle,
    /// The caller may not ask for this.
    #[error("access denied")]
    AccessDenied,
    /// The name exists already.
    #[error("the name is taken")]
    ObjectNameCollision,
    /// The name does not exist.
    #[error("no such name")]
    ObjectNameNotFound,
    /// The server refuses because somebody has the file open (rdbss.md 7.1, step 12).
    #[error("the server says that the file is open")]
    SharingViolation,
    /// Rename or link across shares.
    #[error("not the same device")]
    NotSameDevice,
    /// The name is longer than 255 bytes.
    #[error("name too long")]
    NameTooLong,
    /// The mount is read-only.
    #[error("the mount is read-only")]
    MediaWriteProtected,
    /// No such server, or its view is bad.
    #[error("the server cannot be reached")]
    BadNetworkPath,
    /// An operation on an orphaned FCB (rdbss.md 1.4).
    #[error("the file is no longer served")]
    UnexpectedNetworkError,
    /// A POSIX server's own answer, unchanged.
    #[error("{0}")]
    Posix(Errno),
}

impl Status {
    /// The NTSTATUS number for the control plane. `Posix` is a customer code (bit 29) with the
    /// errno in its low bits, because NT has no number for it.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::RedirectorNotStarted => 0xC000_00FB,
            Self::RedirectorPaused => 0xC000_00D1,
            Self::FileInvalid => 0xC000_0098,
            Self::Cancelled => 0xC000_0120,
            Self::IoTimeout => 0xC000_00B5,
            Self::NotImplemented => 0xC000_0002,
            Self::NotSupported => 0xC000_00BB,
            Self::InsufficientResources => 0xC000_009A,
            Self::Unsuccessful => 0xC000_0001,
            Self::InvalidParameter => 0xC000_000D,
            Self::InvalidHandle => 0xC000_0008,
            Self::AccessDenied => 0xC000_0022,
            Self::ObjectNameCollision => 0xC000_0035,
            Self::ObjectNameNotFound => 0xC000_0034,
            Self::SharingViolation => 0xC000_0043,
            Self::NotSameDevice => 0xC000_00D4,
            Self::NameTooLong => 0xC000_0106,
            Self::MediaWriteProtected => 0xC000_00A2,
            Self::BadNetworkPath => 0xC000_00BE,
            Self::UnexpectedNetworkError => 0xC000_00C4,
            Self::Posix(errno) => 0xE000_0000 | (errno.get() as u32),
        }
    }

    /// The one table from status to errno. Exhaustive on purpose: a new status must choose.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::RedirectorNotStarted => Errno::ESHUTDOWN,
            Self::RedirectorPaused => Errno::EAGAIN,
            Self::FileInvalid | Self::UnexpectedNetworkError => Errno::ESTALE,
            Self::Cancelled => Errno::EINTR,
            Self::IoTimeout => Errno::ETIMEDOUT,
            Self::NotImplemented | Self::NotSupported => Errno::EOPNOTSUPP,
            Self::InsufficientResources => Errno::ENOMEM,
            Self::Unsuccessful => Errno::EIO,
            Self::InvalidParameter => Errno::EINVAL,
            Self::InvalidHandle => Errno::EBADF,
            Self::AccessDenied => Errno::EACCES,
            Self::ObjectNameCollision => Errno::EEXIST,
            Self::ObjectNameNotFound => Errno::ENOENT,
            Self::SharingViolation => Errno::EBUSY,
            Self::NotSameDevice => Errno::EXDEV,
            Self::NameTooLong => Errno::ENAMETOOLONG,
            Self::MediaWriteProtected => Errno::EROFS,
            Self::BadNetworkPath => Errno::EHOSTUNREACH,
            Self::Posix(errno) => errno,
        }
    }
}

impl From<Errno> for Status {
    fn from(errno: Errno) -> Self {
        Self::Posix(errno)
    }
}

impl From<rustix::io::Errno> for Status {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Posix(Errno::new(errno.raw_os_error()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stop.md G2: the three refusals a stop produces have the errnos users were promised.
    #[test]
    fn g2_refusals_have_their_errnos() {
        assert_eq!(Status::RedirectorNotStarted.errno(), Errno::ESHUTDOWN);
        assert_eq!(Status::RedirectorPaused.errno(), Errno::EAGAIN);
        assert_eq!(Status::FileInvalid.errno(), Errno::ESTALE);
    }

    /// Design README invariant 2: whatever number a server hands us, the kernel gets a legal error.
    #[test]
    fn no_errno_outside_what_the_kernel_accepts() {
        for number in [-1, 0, 512, 100_000, i32::MIN, i32::MAX] {
            assert_eq!(Errno::new(number), Errno::EIO);
        }
        assert_eq!(Errno::new(2), Errno::ENOENT);
        assert_eq!(Errno::from_name("ENOENT"), Some(Errno::ENOENT));
        assert_eq!(Errno::from_name("enoent"), None);
    }

    #[test]
    fn posix_status_passes_through() {
        let status = Status::from(rustix::io::Errno::NOTEMPTY);
        assert_eq!(status.errno(), Errno::ENOTEMPTY);
        assert_eq!(status.code(), 0xE000_0000 | 39);
    }
}
