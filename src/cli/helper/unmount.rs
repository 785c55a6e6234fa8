//! Taking a mount out of the namespace from outside its daemon: umount2(2), or `fusermount3` for
//! users other than root.

use crate::base::clock::{Clock, SystemClock};
use crate::base::programs::program;
use crate::cli::corpse;
use crate::cli::exit::{Exit, Trouble, plain};
use crate::cli::mountinfo::Mount;
use crate::cli::pinned;
use crate::cli::table::printable;
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Requests of an aborted connection end within this time.
const ABORT_WAIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// Only when nobody is inside.
    Plain,
    /// Out of sight at once; what is open works on.
    Lazy,
    /// The connection is aborted first.
    Forced,
}

/// Takes this mount away; another that came to its place meanwhile is left alone.
///
/// # Errors
/// [`Exit::BUSY`] when somebody is inside; not permitted, or failed.
pub fn take_away(mount: &Mount, hand: Hand) -> Result<(), Trouble> {
    let place = &*mount.mount_point;
    let mut flags = UnmountFlags::empty();
    flags.set(UnmountFlags::DETACH, hand == Hand::Lazy);
    flags.set(UnmountFlags::FORCE, hand == Hand::Forced);
    let shown = printable(place.as_os_str().as_bytes());
    let mut unmounted = pinned::unmount(mount, flags);
    if hand == Hand::Forced {
        // The requests it has just ended held it: who made them is on his way out.
        let clock = SystemClock::new();
        let until = clock.now().after(ABORT_WAIT);
        while unmounted == Err(Errno::BUSY) && clock.now() < until {
            std::thread::park_timeout(LOOK_EVERY);
            unmounted = pinned::unmount(mount, flags);
        }
    }
    match unmounted {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(busy(&shown)),
        Err(Errno::PERM) if hand == Hand::Forced => forced_by_user(mount, &shown),
        Err(Errno::PERM) => by_helper(place, hand, &shown),
        Err(errno) => Err(Trouble::system(format!("unmount {shown}"), &errno.into())),
    }
}

fn busy(shown: &str) -> Trouble {
    Trouble::with_exit(Exit::BUSY, format!("{shown}: target is busy"))
}

/// A user ends the connection himself, which is his own, and then asks for the unmount.
fn forced_by_user(mount: &Mount, shown: &str) -> Result<(), Trouble> {
    // Where it cannot be ended, it may be dead already; if not, the helper finds it busy.
    corpse::abort(mount);
    let clock = SystemClock::new();
    let until = clock.now().after(ABORT_WAIT);
    loop {
        match by_helper(&mount.mount_point, Hand::Plain, shown) {
            Err(trouble) if trouble.exit == Exit::BUSY && clock.now() < until => {
                std::thread::park_timeout(LOOK_EVERY);
            }
            ended => return ended,
        }
    }
}

fn by_helper(place: &Path, hand: Hand, shown: &str) -> Result<(), Trouble> {
    let mut helper = program("fusermount3");
    helper.arg(if hand == Hand::Lazy { "-uz" } else { "-u" }).arg("--").arg(place);
    let output = helper.env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        Trouble::failed(format!("unmount {shown}: cannot run fusermount3: {}", plain(&error)))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("busy") {
        return Err(busy(shown));
    }
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(Trouble::failed(format!("unmount {shown}: {}", printable(words.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mount_is_not_unmounted() {
        let directory = tempfile::tempdir().expect("a directory");
        let mount = Mount {
            id: 0,
            device: "0:0".to_owned(),
            root: "/".into(),
            mount_point: directory.path().to_owned(),
            kind: "fuse.minirdr".to_owned(),
            source: "memory:".to_owned(),
            owner: None,
        };
        let trouble = take_away(&mount, Hand::Forced).expect_err("no mount");
        assert!(trouble.message.starts_with("unmount /"), "{trouble}");
    }
}
