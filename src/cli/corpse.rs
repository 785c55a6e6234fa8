//! Dead mounts: what a killed daemon leaves, and how `mount` clears it out of its own way
//! (management.md §7, 10).
//!
//! The one place that touches a mount point, and only when it is ours, no daemon was found for it,
//! and `mount` or `doctor` has to know: on a thread that is given up on if the mount turns out to
//! hang.

use crate::app::utab;
use crate::base::clock::{Clock, SystemClock};
use crate::base::programs::program;
use crate::base::threads;
use crate::cli::locate;
use crate::cli::mountinfo::{self, Mount};
use crate::cli::pinned;
use crate::mgmt::dying::{Holder, holder_of, is_dying as is_dying_process};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

/// A dead mount refuses at once; one that takes longer has a daemon.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// A daemon whose connection was aborted is gone in a moment.
const END_WAIT: Duration = Duration::from_secs(5);

/// The connection of a daemon that has ended is closed within this time.
const ENDING_WAIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// While an answer is awaited.
const LOOK_MEANWHILE: Duration = Duration::from_millis(100);

/// How a mount is whose daemon was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Its daemon died: the kernel answers every request with ENOTCONN itself.
    Dead,
    /// Somebody serves it.
    Alive,
    /// Nothing came back in time.
    Silent,
}

/// Feels a mount's pulse.
///
/// A daemon that is killed in this very moment may have read the question, and be kept from ending
/// by the kernel: then neither the question nor this process would ever end. So it is looked for
/// again while the answer is awaited, and let end.
#[must_use]
pub fn pulse(mount: &Mount) -> Pulse {
    pulse_of(&mount.mount_point, || let_end(mount))
}

fn pulse_of(mount_point: &Path, meanwhile: impl Fn()) -> Pulse {
    let (sender, answer) = mpsc::sync_channel(1);
    let path = mount_point.to_owned();
    let asking = threads::spawn("corpse", move || {
        let refused = refusal(|| rustix::fs::statfs(&path).err()) == Some(Errno::NOTCONN);
        // Nobody waits any more when it took too long.
        let _ = sender.send(if refused { Pulse::Dead } else { Pulse::Alive });
    });
    let Ok(asking) = asking else { return Pulse::Silent };
    let clock = SystemClock::new();
    let until = clock.now().after(ANSWER_WAIT);
    loop {
        match answer.recv_timeout(LOOK_MEANWHILE) {
            Ok(pulse) => {
                asking.join();
                return pulse;
            }
            Err(_) if clock.now() < until => meanwhile(),
            Err(_) => {
                asking.abandon();
                return Pulse::Silent;
            }
        }
    }
}

/// What a mount refuses with, in the end.
///
/// A daemon that ends in this very moment takes the question with it. It is asked again, and not
/// just once: the kernel first ends in this way what the daemon had read, and closes the
/// connection only then; what is asked in between may be ended so once more. A server may say the
/// same, and goes on saying it.
fn refusal(ask: impl Fn() -> Option<Errno>) -> Option<Errno> {
    let clock = SystemClock::new();
    let until = clock.now().after(ENDING_WAIT);
    loop {
        let refused = ask();
        if refused != Some(Errno::CONNABORTED) || clock.now() >= until {
            return refused;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Takes a dead mount out of the namespace; is it gone? Compared just before: another's mount that
/// came there meanwhile is left alone.
#[must_use]
pub fn clear(dead: &Mount) -> bool {
    let top = || {
        locate::read_mounts()
            .ok()
            .and_then(|mounts| mountinfo::at(&mounts, &dead.mount_point).cloned())
    };
    if top().as_ref() == Some(dead)
        && pinned::unmount(dead, UnmountFlags::DETACH) == Err(Errno::PERM)
    {
        detach_by_helper(&dead.mount_point);
    }
    let gone = top().as_ref() != Some(dead);
    if gone {
        utab::forget(OsStr::new(&dead.source), &dead.mount_point);
    }
    gone
}

/// Was its daemon killed, and cannot end?
#[must_use]
pub fn is_dying(mount: &Mount) -> bool {
    mount.is_ours() && connection(mount).is_some_and(|number| dying(number).is_some())
}

fn dying(connection: u32) -> Option<u32> {
    match holder_of(connection) {
        Holder::Dying(pid) => Some(pid),
        Holder::Alive(_) | Holder::Nobody => None,
    }
}

/// The connection of a mount: the minor part of its `st_dev`, whose major part is 0.
fn connection(mount: &Mount) -> Option<u32> {
    mount.device.strip_prefix("0:")?.parse().ok()
}

/// Ends a mount's connection, as root or whose mount it is may; was it ended? Not where the system
/// has no fusectl.
pub fn abort(mount: &Mount) -> bool {
    let Some(number) = connection(mount).filter(|_| mount.is_ours()) else { return false };
    std::fs::write(format!("/sys/fs/fuse/connections/{number}/abort"), "1").is_ok()
}

/// Lets a daemon that was killed end, by aborting its connection, which is then dead like any
/// other. Does nothing where it is not dying.
pub fn let_end(mount: &Mount) {
    let Some(number) = connection(mount).filter(|_| mount.is_ours()) else { return };
    let Some(pid) = dying(number) else { return };
    if !abort(mount) {
        // Root needs no fusectl. It aborts first, and then finds the mount busy or not.
        let _ = pinned::unmount(mount, UnmountFlags::FORCE);
    }
    // Its name is free when it has gone.
    let clock = SystemClock::new();
    let until = clock.now().after(END_WAIT);
    while is_dying_process(pid) && clock.now() < until {
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Unmounts lazily, as root or through fusermount3.
pub fn detach(mount_point: &Path) {
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    if rustix::mount::unmount(mount_point, flags).is_ok() {
        return;
    }
    detach_by_helper(mount_point);
}

fn detach_by_helper(mount_point: &Path) {
    let mut helper = program("fusermount3");
    helper.arg("-uz").arg(mount_point);
    helper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Whoever called looks whether it worked: that is what counts, not what the helper says.
    let _ = helper.status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_answers_is_not_dead() {
        assert_eq!(pulse_of(Path::new("/proc"), || ()), Pulse::Alive);
        assert_eq!(pulse_of(Path::new("/nonexistent/mnt"), || ()), Pulse::Alive);
    }

    /// A daemon that ends between the questions is found dead; a server that says the same for ever
    /// is alive.
    #[test]
    fn a_daemon_that_is_just_ending_is_asked_again() {
        let asked = std::cell::Cell::new(0);
        let ending = || {
            asked.set(asked.get() + 1);
            Some(if asked.get() < 4 { Errno::CONNABORTED } else { Errno::NOTCONN })
        };
        assert_eq!(refusal(ending), Some(Errno::NOTCONN));
        assert_eq!(asked.get(), 4);
        assert_eq!(refusal(|| Some(Errno::CONNABORTED)), Some(Errno::CONNABORTED));
        assert_eq!(refusal(|| None), None);
    }

    /// What is not there in this form is never unmounted.
    #[test]
    fn another_mount_is_left_alone() {
        let mounts = locate::read_mounts().expect("/proc is mounted");
        let proc = mountinfo::at(&mounts, Path::new("/proc")).expect("it is").clone();
        let pretended = Mount { device: "0:0".to_owned(), ..proc.clone() };
        assert!(clear(&pretended), "it is not there");
        let mounts = locate::read_mounts().expect("/proc is still mounted");
        assert_eq!(mountinfo::at(&mounts, Path::new("/proc")), Some(&proc));
    }
}
