//! The mount in the namespace, and taking it out again: step 7 of a stop (stop.md §4).
//!
//! Never fuser's own unmount, which may take away somebody else's mount (fuse.md 1.9), and never a
//! `stat` of the mount point, which may hang: all that is known comes from the mount table.

use crate::front::transport::abort::abort;
use crate::front::transport::mountinfo::{self, MountEntry, topmost};
use crate::front::transport::{device, helper};
use crate::rdbss::notice::{DeregisterError, FileSystemRegistration};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Which mount is ours; means something only while its file system exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The mount's number.
    pub mount_id: u64,
    /// `st_dev`, major part.
    pub major: u32,
    /// `st_dev`, minor part.
    pub minor: u32,
}

impl Identity {
    fn of(entry: &MountEntry) -> Self {
        Self { mount_id: entry.id, major: entry.major, minor: entry.minor }
    }

    fn is(self, entry: &MountEntry) -> bool {
        Self::of(entry) == self && entry.is_fuse()
    }
}

/// Recognises the mount of a connection in a mount table: by number, by connection, or, where the
/// kernel tells neither, as the topmost one of its kind on the mount point.
#[must_use]
pub fn identify(
    table: &[MountEntry],
    mount_id: Option<u64>,
    connection: Option<u32>,
    mount_point: Option<&Path>,
) -> Option<Identity> {
    if let Some(id) = mount_id {
        return table.iter().find(|entry| entry.id == id && entry.is_fuse()).map(Identity::of);
    }
    if let Some(minor) = connection {
        let ours =
            |entry: &&MountEntry| entry.major == 0 && entry.minor == minor && entry.is_fuse();
        let here = |entry: &&MountEntry| Some(entry.mount_point.as_path()) == mount_point;
        let mut candidates = table.iter().filter(ours);
        return candidates.clone().find(here).or_else(|| candidates.next()).map(Identity::of);
    }
    topmost(table, mount_point?).filter(|entry| entry.is_fuse()).map(Identity::of)
}

/// The mount, as the core may deregister it.
pub struct Registration {
    identity: Option<Identity>,
    device: OwnedFd,
}

impl Registration {
    /// The registration of a connection. Without an identity it can only be aborted.
    #[must_use]
    pub fn new(identity: Option<Identity>, device: OwnedFd) -> Self {
        Self { identity, device }
    }

    /// Which mount it is.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// `st_dev` as `major:minor`.
    #[must_use]
    pub fn device_text(&self) -> Option<String> {
        self.identity.map(|Identity { major, minor, .. }| format!("{major}:{minor}"))
    }

    /// Where it is mounted now; it may have been moved. `None`: no longer in our namespace.
    #[must_use]
    pub fn mount_point(&self) -> Option<PathBuf> {
        let table = mountinfo::read().ok()?;
        self.entry(&table).map(|entry| entry.mount_point.clone())
    }

    fn entry<'a>(&self, table: &'a [MountEntry]) -> Option<&'a MountEntry> {
        let identity = self.identity?;
        // A file system that is gone has no mount: what bears its numbers now is another's. They
        // are given out again at once, all of them.
        if !device::is_alive(self.device.as_fd()) {
            return None;
        }
        table.iter().find(|entry| identity.is(entry))
    }

    /// The last resort: ends the connection. Whatever waits in it gets ECONNABORTED. False when the
    /// kernel gave us no way to.
    #[must_use]
    pub fn abort(&self) -> bool {
        if !device::is_connected(self.device.as_fd()) {
            return true;
        }
        let Some(Identity { minor, .. }) = self.identity else { return false };
        if abort(minor).is_ok() || !device::is_connected(self.device.as_fd()) {
            return true;
        }
        // Without fusectl: a forced unmount aborts before it looks whether somebody is inside.
        let Some(path) = self.mount_point() else { return false };
        let flags = UnmountFlags::FORCE | UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        rustix::mount::unmount(&path, flags).is_ok()
    }
}

impl FileSystemRegistration for Registration {
    fn deregister(&self, lazy: bool) -> Result<bool, DeregisterError> {
        if self.identity.is_none() {
            return Err(DeregisterError::Failed(
                "the kernel did not say which mount is ours: take it away with umount".to_owned(),
            ));
        }
        let table = mountinfo::read().map_err(|error| {
            DeregisterError::Failed(format!("reading the mount table: {error}"))
        })?;
        let Some(entry) = self.entry(&table) else { return Ok(false) };
        let path = &entry.mount_point;
        if topmost(&table, path).is_none_or(|top| top.id != entry.id) {
            let path = path.display();
            return Err(DeregisterError::Failed(format!("another mount lies over ours on {path}")));
        }
        match take_away(path, lazy) {
            Ok(()) => Ok(true),
            // Somebody else may have been quicker.
            Err(DeregisterError::Failed(_)) if self.mount_point().is_none() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn has_ended(&self) -> bool {
        !device::is_alive(self.device.as_fd())
    }
}

fn take_away(path: &Path, lazy: bool) -> Result<(), DeregisterError> {
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::DETACH, lazy);
    match rustix::mount::unmount(path, flags) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(DeregisterError::Busy),
        Err(Errno::PERM) => helper::unmount(path, lazy),
        Err(errno) => {
            Err(DeregisterError::Failed(format!("cannot unmount {}: {errno}", path.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Vec<MountEntry> {
        mountinfo::parse(
            b"22 1 254:0 / / rw - ext4 /dev/root rw
36 22 0:31 / /mnt/x rw - fuse.minirdr memory: rw
37 22 0:31 / /mnt/bind rw - fuse.minirdr memory: rw
38 36 0:32 / /mnt/x rw - fuse.other y rw
39 22 0:33 / /mnt/t rw - tmpfs none rw
",
        )
    }

    #[test]
    fn a_mount_is_known_by_its_number_then_its_connection_then_its_place() {
        let table = table();
        let found = |id, connection, path: Option<&str>| {
            identify(&table, id, connection, path.map(Path::new)).map(|known| known.mount_id)
        };
        assert_eq!(found(Some(36), Some(32), Some("/mnt/t")), Some(36));
        assert_eq!(found(Some(22), None, None), None, "not a FUSE mount");
        assert_eq!(found(None, Some(31), Some("/mnt/bind")), Some(37));
        assert_eq!(found(None, Some(31), None), Some(36));
        assert_eq!(found(None, None, Some("/mnt/x")), Some(38));
        assert_eq!(found(None, None, Some("/mnt/t")), None, "not a FUSE mount");
        assert_eq!(found(None, None, None), None);
    }

    #[test]
    fn a_mount_of_other_numbers_is_not_ours() {
        let table = table();
        let ours = Identity { mount_id: 36, major: 0, minor: 99 };
        assert!(!table.iter().any(|entry| ours.is(entry)));
        let tmpfs = Identity { mount_id: 39, major: 0, minor: 33 };
        assert!(!table.iter().any(|entry| tmpfs.is(entry)));
    }
}
