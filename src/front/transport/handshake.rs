//! INIT, on our own terms: what we ask the kernel for, and how fuser learns what was agreed.

use crate::base::limits::{BACKGROUND_REQUESTS_MAX, FUSE_INIT_WAIT, WRITE_BYTES_MAX};
use crate::front::error::FrontError;
use crate::front::transport::abi::{INIT_EXT, InitReply, InitRequest, MAJOR, version_only_reply};
use crate::front::transport::redirect::Seat;
use fuser::{Filesystem, InitFlags, Session, SessionACL};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::{BorrowedFd, OwnedFd};

/// Room for INIT: the kernel refuses to read into less than 8 KiB.
const INIT_BUFFER_BYTES: usize = 64 * 1024;
/// Kernels before 5.2 (7.31) have no `fsopen`, CACHE_SYMLINKS or whole-file semantics we rely on.
const MINOR_MIN: u32 = 31;
/// Pages of the largest request: the kernel's own cap.
const PAGES_MAX: u16 = 256;
/// Pages of the largest request when MAX_PAGES is not offered.
const PAGES_PLAIN: u16 = 32;
/// Bytes of a page, as max_pages counts them.
const PAGE_BYTES: u32 = 4096;

/// What a mount may want beyond what every mount gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// POSIX access control lists, checked by the kernel and stored by the server.
    pub posix_acl: bool,
    /// `fcntl` locks are the server's; by default the kernel keeps them.
    pub posix_locks: bool,
    /// `flock` locks are the server's; by default the kernel keeps them.
    pub flock: bool,
}

/// What was agreed with the kernel: all a successor needs to adopt the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The kernel's minor ABI version.
    pub minor: u32,
    /// What we answered.
    pub reply: InitReply,
    /// Can the kernel send a request again that was read and not answered (Linux 6.9)?
    pub can_resend: bool,
}

impl Agreement {
    /// Was this flag agreed on?
    #[must_use]
    pub fn has(&self, flag: InitFlags) -> bool {
        self.reply.flags & flag.bits() != 0
    }

    /// The INIT fuser is shown: a kernel that offers exactly what was agreed, so that nothing fuser
    /// might ask for by itself can go beyond it.
    fn synthetic_init(&self) -> InitRequest {
        InitRequest {
            unique: 1,
            major: MAJOR,
            minor: self.minor,
            max_readahead: self.reply.max_readahead,
            flags: self.reply.flags,
        }
    }
}

/// The flags every mount asks for. Left out for good, because fuser 0.18 cannot honour them
/// (fuse.md 1.4): SETXATTR_EXT, SECURITY_CTX, CREATE_SUPP_GROUP, ALLOW_IDMAP, HAS_INODE_DAX,
/// SUBMOUNTS, MAP_ALIGNMENT, OVER_IO_URING, REQUEST_TIMEOUT, HAS_RESEND, ABORT_ERROR; and
/// WRITEBACK_CACHE, because it breaks coherence with other clients of the server (fuse.md 2.5).
/// ATOMIC_O_TRUNC, because the kernel sends that open before it looks whether the file is being
/// executed: the program would be cut off under its feet, and the open then refused (ETXTBSY).
const EVERY_MOUNT: InitFlags = InitFlags::FUSE_ASYNC_READ
    .union(InitFlags::FUSE_BIG_WRITES)
    .union(InitFlags::FUSE_MAX_PAGES)
    .union(InitFlags::FUSE_PARALLEL_DIROPS)
    .union(InitFlags::FUSE_ASYNC_DIO)
    .union(InitFlags::FUSE_AUTO_INVAL_DATA)
    .union(InitFlags::FUSE_DO_READDIRPLUS)
    .union(InitFlags::FUSE_READDIRPLUS_AUTO)
    .union(InitFlags::FUSE_HANDLE_KILLPRIV_V2)
    .union(InitFlags::FUSE_CACHE_SYMLINKS)
    .union(InitFlags::FUSE_HAS_IOCTL_DIR)
    .union(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP);

/// Chooses from what the kernel offers. Pure.
#[must_use]
pub fn negotiate(kernel: &InitRequest, wishes: Wishes) -> Agreement {
    let mut wanted = EVERY_MOUNT;
    // With access control lists the umask applies only where no default list does, and only the
    // server sees that.
    wanted.set(InitFlags::FUSE_POSIX_ACL | InitFlags::FUSE_DONT_MASK, wishes.posix_acl);
    wanted.set(InitFlags::FUSE_POSIX_LOCKS, wishes.posix_locks);
    wanted.set(InitFlags::FUSE_FLOCK_LOCKS, wishes.flock);
    let agreed = wanted & InitFlags::from_bits_retain(kernel.flags);
    let many_pages = agreed.contains(InitFlags::FUSE_MAX_PAGES);
    let max_pages = if many_pages { PAGES_MAX } else { PAGES_PLAIN };
    let reply = InitReply {
        max_readahead: kernel.max_readahead,
        flags: agreed.bits() | (kernel.flags & INIT_EXT),
        max_background: BACKGROUND_REQUESTS_MAX,
        congestion_threshold: BACKGROUND_REQUESTS_MAX / 4 * 3,
        max_write: WRITE_BYTES_MAX.min(u32::from(max_pages) * PAGE_BYTES),
        max_pages,
    };
    // Offered, it is there; it need not be asked for (fuse.md 1.10).
    let can_resend = kernel.flags & InitFlags::FUSE_HAS_RESEND.bits() != 0;
    Agreement { minor: kernel.minor, reply, can_resend }
}

/// Reads the kernel's INIT and answers it. The kernel sends it when the connection is mounted or
/// about to be.
///
/// # Errors
/// [`FrontError::Handshake`] in words; the connection is of no use then.
pub fn shake_hands(device: BorrowedFd<'_>, wishes: Wishes) -> Result<Agreement, FrontError> {
    let failed = |what: &str| FrontError::Handshake(what.to_owned());
    let mut buffer = vec![0; INIT_BUFFER_BYTES];
    loop {
        if !is_readable(device).map_err(|errno| failed(&errno.to_string()))? {
            return Err(failed("the kernel sends no INIT; is the descriptor mounted, and new?"));
        }
        let length = io::retry_on_intr(|| rustix::io::read(device, &mut buffer[..]))
            .map_err(|errno| failed(&format!("reading the first request: {errno}")))?;
        let kernel =
            InitRequest::parse(&buffer[..length]).map_err(|error| failed(&error.to_string()))?;
        let send = |reply: &[u8]| {
            rustix::io::write(device, reply)
                .map(drop)
                .map_err(|errno| failed(&format!("answering INIT: {errno}")))
        };
        if kernel.major > MAJOR {
            // It asks again with a version we know.
            send(&version_only_reply(kernel.unique))?;
            continue;
        }
        if kernel.major < MAJOR || kernel.minor < MINOR_MIN {
            let (major, minor) = (kernel.major, kernel.minor);
            return Err(failed(&format!(
                "this kernel speaks FUSE {major}.{minor}; \
                 {MAJOR}.{MINOR_MIN} (Linux 5.2) is the oldest served"
            )));
        }
        let agreement = negotiate(&kernel, wishes);
        send(&agreement.reply.encode(kernel.unique))?;
        return Ok(agreement);
    }
}

/// Waits a bounded time for the kernel's first word.
fn is_readable(device: BorrowedFd<'_>) -> io::Result<bool> {
    let limit = Timespec { tv_sec: FUSE_INIT_WAIT.as_secs().cast_signed(), tv_nsec: 0 };
    let mut polled = [PollFd::from_borrowed_fd(device, PollFlags::IN)];
    io::retry_on_intr(|| poll(&mut polled, Some(&limit))).map(|ready| ready > 0)
}

/// A session of fuser's on an initialised connection, and its seat.
///
/// # Errors
/// In the system's words; the connection is unharmed.
pub fn seat<F: Filesystem>(
    device: BorrowedFd<'_>,
    agreement: &Agreement,
    filesystem: F,
) -> std::io::Result<(Session<F>, Seat)> {
    let (ours, theirs) = packet_pair()?;
    rustix::io::write(&ours, &agreement.synthetic_init().encode())?;
    // The kernel checks who may come in; fuser's own check would refuse what the kernel sends in
    // other names (fuse.md 1.1).
    let session = Session::from_fd(filesystem, theirs, SessionACL::All, fuser::Config::default())?;
    let mut reply = [0; 128];
    rustix::io::read(&ours, &mut reply[..])?;
    let seat = Seat::new(&session, session.notifier());
    seat.redirect(device)?;
    Ok((session, seat))
}

/// Two sockets that keep message boundaries, as `/dev/fuse` does.
///
/// # Errors
/// The system's.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(flags: u64) -> InitRequest {
        InitRequest { unique: 2, major: 7, minor: 45, max_readahead: 131_072, flags }
    }

    /// What this kernel was seen to offer (fuse.md 1.4).
    const OFFERED: u64 = 0x7fd_73ff_fffb;

    #[test]
    fn nothing_is_asked_that_fuser_cannot_honour() {
        let everything = Wishes { posix_acl: true, posix_locks: true, flock: true };
        let agreed = negotiate(&kernel(u64::MAX), everything);
        for never in [
            InitFlags::FUSE_SETXATTR_EXT,
            InitFlags::FUSE_SECURITY_CTX,
            InitFlags::FUSE_CREATE_SUPP_GROUP,
            InitFlags::FUSE_ALLOW_IDMAP,
            InitFlags::FUSE_HAS_INODE_DAX,
            InitFlags::FUSE_SUBMOUNTS,
            InitFlags::FUSE_MAP_ALIGNMENT,
            InitFlags::FUSE_OVER_IO_URING,
            InitFlags::FUSE_REQUEST_TIMEOUT,
            InitFlags::FUSE_HAS_RESEND,
            InitFlags::FUSE_ABORT_ERROR,
            InitFlags::FUSE_WRITEBACK_CACHE,
            InitFlags::FUSE_NO_OPEN_SUPPORT,
        ] {
            assert!(!agreed.has(never), "{never:?}");
        }
    }

    #[test]
    fn locks_and_lists_only_when_wished() {
        let plain = negotiate(&kernel(OFFERED), Wishes::default());
        let rich =
            negotiate(&kernel(OFFERED), Wishes { posix_acl: true, posix_locks: true, flock: true });
        for flag in [
            InitFlags::FUSE_POSIX_ACL,
            InitFlags::FUSE_DONT_MASK,
            InitFlags::FUSE_POSIX_LOCKS,
            InitFlags::FUSE_FLOCK_LOCKS,
        ] {
            assert!(!plain.has(flag) && rich.has(flag), "{flag:?}");
        }
        assert!(plain.has(InitFlags::FUSE_HANDLE_KILLPRIV_V2));
        assert!(plain.has(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP), "an upper flag");
    }

    #[test]
    fn a_poor_kernel_gets_small_requests_and_no_flag_it_lacks() {
        let agreed = negotiate(&kernel(1), Wishes::default());
        assert_eq!(agreed.reply.flags, 1);
        assert_eq!((agreed.reply.max_pages, agreed.reply.max_write), (32, 131_072));
        assert!(!agreed.can_resend);
        let agreed = negotiate(&kernel(OFFERED), Wishes::default());
        assert_eq!((agreed.reply.max_pages, agreed.reply.max_write), (256, 1 << 20));
        assert!(agreed.can_resend);
    }

    #[test]
    fn fuser_is_shown_what_was_agreed_and_no_more() {
        let agreement = negotiate(&kernel(OFFERED), Wishes::default());
        let shown = agreement.synthetic_init();
        assert_eq!(shown.flags, agreement.reply.flags);
        assert_eq!(InitRequest::parse(&shown.encode()).map(|init| init.flags), Ok(shown.flags));
    }
}
