//! Unmounting one certain mount, and no other that came under its name meanwhile.
//!
//! Whoever owns a directory above a mount point can rename it, and put a symbolic link in its
//! place, while root waits for that user's daemon. So the directory above is opened without
//! following any link, what is mounted in it is compared once more, and it is unmounted from there:
//! a mount point itself cannot be renamed.

use crate::cli::mountinfo::Mount;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};
use rustix::mount::UnmountFlags;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// Unmounts this mount.
///
/// # Errors
/// The system's; [`Errno::INVAL`], as for what is no mount, when it is not on top at its place.
pub fn unmount(mount: &Mount, flags: UnmountFlags) -> Result<()> {
    let flags = flags | UnmountFlags::NOFOLLOW;
    let place = &mount.mount_point;
    let (Some(above), Some(last)) = (place.parent(), place.file_name()) else {
        return rustix::mount::unmount(place, flags);
    };
    let path_only = OFlags::PATH | OFlags::CLOEXEC;
    let directory = path_only | OFlags::DIRECTORY;
    let above = openat2(CWD, above, directory, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    // Opened as a place alone, its file system is not asked; and closed again before it would be in
    // the way.
    let top = openat(&above, last, path_only | OFlags::NOFOLLOW, Mode::empty())?;
    let is_it = mount_of(&top)? == mount.id;
    drop(top);
    if !is_it {
        return Err(Errno::INVAL);
    }
    let pinned = PathBuf::from(format!("/proc/self/fd/{}", above.as_raw_fd())).join(last);
    rustix::mount::unmount(&pinned, flags)
}

/// The number of the mount that an open file is on.
fn mount_of(file: &OwnedFd) -> Result<u32> {
    let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let number = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    number.ok_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mountinfo;
    use std::path::Path;

    #[test]
    fn what_is_mounted_on_a_place_is_known_by_its_number() {
        let mounts = mountinfo::read().expect("/proc is mounted");
        let proc = mountinfo::at(&mounts, Path::new("/proc")).expect("it is");
        let file = openat(CWD, "/proc", OFlags::PATH, Mode::empty()).expect("opened");
        assert_eq!(mount_of(&file), Ok(proc.id));
    }

    /// Neither another mount at the place nor one behind a link is touched.
    #[test]
    fn another_mount_or_a_link_is_refused() {
        let mounts = mountinfo::read().expect("/proc is mounted");
        let proc = mountinfo::at(&mounts, Path::new("/proc")).expect("it is").clone();
        let other = Mount { id: proc.id.wrapping_add(1), ..proc.clone() };
        assert_eq!(unmount(&other, UnmountFlags::empty()), Err(Errno::INVAL));
        let directory = tempfile::tempdir().expect("a directory");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/", &link).expect("linked");
        let behind = Mount { mount_point: link.join("proc"), ..proc };
        assert_eq!(unmount(&behind, UnmountFlags::DETACH), Err(Errno::LOOP));
    }
}
