//! Taking a mount out of the namespace from outside its daemon: umount2(2), or `fusermount3` for
//! users other than root.

use crate::base::clock::{Clock, SystemClock};
use crate::base::programs::program;
use crate::cli::exit::{Exit, Trouble, plain};
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

/// Takes a mount away.
///
/// # Errors
/// [`Exit::BUSY`] when somebody is inside; not permitted, or failed.
pub fn take_away(place: &Path, hand: Hand) -> Result<(), Trouble> {
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::DETACH, hand == Hand::Lazy);
    flags.set(UnmountFlags::FORCE, hand == Hand::Forced);
    let shown = printable(place.as_os_str().as_bytes());
    let mut unmounted = rustix::mount::unmount(place, flags);
    if hand == Hand::Forced {
        // The requests it has just ended held it: who made them is on his way out.
        let clock = SystemClock::new();
        let until = clock.now().after(ABORT_WAIT);
        while unmounted == Err(Errno::BUSY) && clock.now() < until {
            std::thread::park_timeout(LOOK_EVERY);
            unmounted = rustix::mount::unmount(place, flags);
        }
    }
    match unmounted {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(busy(&shown)),
        Err(Errno::PERM) if hand != Hand::Forced => by_helper(place, hand, &shown),
        Err(errno) => Err(Trouble::system(format!("unmount {shown}"), &errno.into())),
    }
}

fn busy(shown: &str) -> Trouble {
    Trouble::with_exit(Exit::BUSY, format!("{shown}: target is busy"))
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
        let trouble = take_away(directory.path(), Hand::Forced).expect_err("no mount");
        assert!(trouble.message.starts_with("unmount /"), "{trouble}");
    }
}
