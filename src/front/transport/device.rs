//! `/dev/fuse`: opening it, asking after its connection, speaking to the kernel unasked.

use crate::front::error::FrontError;
use crate::front::transport::abi::Notification;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Where the kernel offers FUSE connections.
const PATH: &str = "/dev/fuse";

/// Opens a new, unconnected descriptor.
///
/// # Errors
/// [`FrontError::NoDevice`].
pub fn open() -> Result<OwnedFd, FrontError> {
    rustix::fs::open(PATH, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(FrontError::NoDevice)
}

/// A descriptor we inherited, by its number in `/dev/fd/N`: whoever started us has mounted it. Ours
/// is another one for the same file; the inherited one stays open until we end.
///
/// # Errors
/// [`FrontError::NotADescriptor`].
pub fn inherited(mount_point: &Path, number: &OsStr) -> Result<OwnedFd, FrontError> {
    let none = || FrontError::NotADescriptor(mount_point.to_owned());
    let number = number.to_str().and_then(|digits| digits.parse().ok()).ok_or_else(none)?;
    // Its number is all we have, and a number alone proves no ownership: the kernel copies it.
    let us = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|_| none())?;
    let file = pidfd_getfd(us.as_fd(), number, PidfdGetfdFlags::empty()).map_err(|_| none())?;
    let target = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if target.is_ok_and(|target| target == Path::new(PATH)) { Ok(file) } else { Err(none()) }
}

/// Another descriptor for the same connection.
///
/// # Errors
/// The system's, when it has no descriptor left.
pub fn duplicate(device: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(device, 3)
}

/// Does the other end live? False after an unmount or an abort.
#[must_use]
pub fn is_connected(device: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(device, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut polled, Some(&now)) {
        Ok(_) => !polled[0].revents().contains(PollFlags::ERR),
        // Not asked, not known: a read will find out.
        Err(_) => true,
    }
}

/// Does its file system exist: mounted, or detached and still used? True also after an abort, which
/// leaves a dead mount behind. While it is true its `st_dev` cannot be another's.
#[must_use]
pub fn is_alive(device: BorrowedFd<'_>) -> bool {
    // The root's attributes are asked for again: harmless, and only an existing root can.
    notify(device, &Notification::InvalidateAttributes { node: 1 }).is_ok()
}

/// The number of its connection: the minor part of the mount's `st_dev`, and the name of its
/// directory in fusectl. `None` on kernels that do not say.
#[must_use]
pub fn connection(device: BorrowedFd<'_>) -> Option<u32> {
    u32::try_from(fdinfo(device, "fuse_connection")?).ok()
}

/// The mount a descriptor is of, by number, as mountinfo has it. Sends the file system no request.
#[must_use]
pub fn mount_id(file: BorrowedFd<'_>) -> Option<u64> {
    fdinfo(file, "mnt_id")
}

fn fdinfo(file: BorrowedFd<'_>, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    parse_fdinfo(&text, field)
}

fn parse_fdinfo(text: &str, field: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == field)
        .and_then(|(_, value)| value.trim().parse().ok())
}

/// Sends one notification. May block in the kernel: InvalidateNode waits for write-back, which our
/// own workers serve.
///
/// # Errors
/// ENOENT: the kernel does not know the node or name; EINVAL: it does not know the notification;
/// ENOTCONN, ENODEV: the connection is gone.
pub fn notify(device: impl AsFd, notification: &Notification<'_>) -> io::Result<()> {
    rustix::io::write(device, &notification.encode()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_fields_are_found_by_their_whole_name() {
        let text = "pos:\t0\nmnt_id:\t24\nino:\t90\nfuse_connection:\t39\n";
        assert_eq!(parse_fdinfo(text, "fuse_connection"), Some(39));
        assert_eq!(parse_fdinfo(text, "mnt_id"), Some(24));
        assert_eq!(parse_fdinfo(text, "id"), None);
    }

    #[test]
    fn a_file_of_the_root_file_system_says_its_mount() {
        let file = fs::File::open("/proc/self/status").expect("/proc is mounted");
        let id = mount_id(file.as_fd()).expect("every descriptor has one");
        let table = crate::front::transport::mountinfo::read().expect("/proc is mounted");
        let entry = table.iter().find(|entry| entry.id == id).expect("it is in the table");
        assert_eq!(entry.kind, "proc");
    }
}
