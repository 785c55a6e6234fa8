//! Daemons that were killed and cannot end.
//!
//! A notification to the kernel's cache waits there for pages, which only the daemon's own workers
//! can free. Killed in that moment, all its threads end but the one that waits; the connection
//! stays open with it, and so do the socket and the lock of its name, and whoever uses the mount
//! hangs. Only aborting the connection frees them (measured on Linux 6.18: `folio_wait_bit` under
//! `fuse_reverse_inval_inode`).
//!
//! Such a process is known by its first thread, which never ends before the others: it is a zombie,
//! and there are others.

use std::fs;
use std::path::{Path, PathBuf};

/// PF_EXITING of the kernel's `sched.h`.
const EXITING: u64 = 0x4;

/// Who holds a connection to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody that can be seen.
    Nobody,
    /// A process that lives.
    Alive(u32),
    /// A process that was killed and cannot end.
    Dying(u32),
}

/// Was this process killed, and cannot end?
#[must_use]
pub fn is_dying(pid: u32) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    is_zombie(&process) && tasks(&process).len() > 1
}

/// Is this process on its way out? Killed a moment ago, it has given up some of what it held, and
/// not yet the rest.
#[must_use]
pub fn is_leaving(pid: u32) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    state_of(&stat) == Some('Z') || flags_of(&stat).is_some_and(|flags| flags & EXITING != 0)
}

/// Finds out who holds the connection of this number: the minor part of the mount's `st_dev`. A
/// process that lives comes first.
#[must_use]
pub fn holder_of(connection: u32) -> Holder {
    let mut found = Holder::Nobody;
    for (pid, process) in numbered(Path::new("/proc")) {
        // Of a zombie only the threads that are left have descriptors.
        let dying = is_dying(pid);
        let holds = match dying {
            true => tasks(&process).iter().any(|task| holds(task, connection)),
            false => holds(&process, connection),
        };
        match (holds, dying) {
            (true, false) => return Holder::Alive(pid),
            (true, true) => found = Holder::Dying(pid),
            (false, _) => {}
        }
    }
    found
}

/// Has a process or thread a descriptor of this connection?
fn holds(task: &Path, connection: u32) -> bool {
    numbered(&task.join("fd")).into_iter().any(|(number, link)| {
        let is_fuse = fs::read_link(link).is_ok_and(|path| path == Path::new("/dev/fuse"));
        is_fuse && {
            let info = fs::read_to_string(task.join("fdinfo").join(number.to_string()));
            info.is_ok_and(|info| connection_of(&info) == Some(connection))
        }
    })
}

/// The connection's number in a descriptor's `fdinfo`; older kernels do not say.
fn connection_of(fdinfo: &str) -> Option<u32> {
    let value = fdinfo.lines().find_map(|line| line.strip_prefix("fuse_connection:"))?;
    value.trim().parse().ok()
}

fn is_zombie(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    state_of(&stat) == Some('Z')
}

/// The state in `stat`: after the name, which may itself hold spaces and brackets.
fn state_of(stat: &str) -> Option<char> {
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// The flags in `stat`, its ninth field.
fn flags_of(stat: &str) -> Option<u64> {
    stat.rsplit(')').next()?.split_ascii_whitespace().nth(9 - 3)?.parse().ok()
}

fn tasks(process: &Path) -> Vec<PathBuf> {
    numbered(&process.join("task")).into_iter().map(|(_, path)| path).collect()
}

/// The entries of a directory whose names are numbers.
fn numbered(directory: &Path) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_lives_is_not_dying() {
        assert!(!is_dying(std::process::id()));
        assert!(!is_leaving(std::process::id()));
        assert!(!is_dying(0), "there is none");
        assert_eq!(holder_of(u32::MAX), Holder::Nobody);
    }

    #[test]
    fn proc_is_understood() {
        assert_eq!(state_of("7 (a) b) Z 1 7"), Some('Z'));
        assert_eq!(state_of(""), None);
        assert_eq!(flags_of("7 (a) b) S 1 7 7 0 -1 4194304 5"), Some(4_194_304));
        assert_eq!(flags_of("7 (a"), None);
        let fdinfo = "pos:\t0\nflags:\t02\nmnt_id:\t9\nfuse_connection:\t39\n";
        assert_eq!(connection_of(fdinfo), Some(39));
        assert_eq!(connection_of("pos:\t0\n"), None);
    }
}
