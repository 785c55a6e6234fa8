//! The program by its other names: what mount(8) and umount(8) run for mounts of our type (cli.md,
//! mount helpers).
//!
//! `mount.minirdr` and `mount.fuse.minirdr` mount, `umount.minirdr` and `umount.fuse.minirdr` stop
//! in the orderly way and unmount; the names are links to this program, which [`install`] makes.
//! They are silent when all went well, as mount(8) is, and their exit codes are those of decision
//! 30.

pub mod install;
pub mod ledger;
pub mod mount;
pub mod options;
pub mod pages;
pub mod umount;
pub mod unmount;

use crate::cli::args::one_line;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::mountinfo::OUR_TYPE;
use crate::cli::print;
use clap::Parser;
use clap::error::ErrorKind;
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What this process was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// mount(8)'s helper.
    Mount,
    /// umount(8)'s helper.
    Umount,
}

/// Every name, and its role.
pub const NAMES: [(&str, Role); 4] = [
    ("mount.minirdr", Role::Mount),
    ("mount.fuse.minirdr", Role::Mount),
    ("umount.minirdr", Role::Umount),
    ("umount.fuse.minirdr", Role::Umount),
];

impl Role {
    /// The role that the first word of a command line calls for; none: the program's own.
    #[must_use]
    pub fn of(words: &[OsString]) -> Option<Self> {
        let name = Path::new(words.first()?).file_name()?;
        NAMES.iter().find(|(known, _)| name == *known).map(|&(_, role)| role)
    }
}

/// It was not mounted, or not unmounted.
pub const MOUNT_FAILED: Exit = Exit(32);

/// An exit code of minirdr as mount(8) and umount(8) have it.
#[must_use]
pub const fn outcome(role: Role, exit: Exit) -> Exit {
    match (role, exit) {
        (_, Exit::DONE | Exit::USAGE) => exit,
        (_, Exit::NOT_PERMITTED) => Exit::FAILED,
        // It was unmounted, and not all was saved.
        (Role::Umount, Exit::LOST | Exit::FAILED) => Exit::FAILED,
        _ => MOUNT_FAILED,
    }
}

/// Runs a helper.
#[must_use]
pub fn run(role: Role, words: &[OsString]) -> Exit {
    let ran = Environment::read().and_then(|environment| match role {
        Role::Mount => mount::mount(words, environment),
        Role::Umount => umount::umount(words, environment),
    });
    let exit = ran.unwrap_or_else(|trouble| {
        print::note(&format!("{}: {}", called(words), trouble.message));
        trouble.exit
    });
    outcome(role, exit)
}

/// The name this process was called by, for its lines on stderr.
fn called(words: &[OsString]) -> String {
    let name = words.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Reads a helper's command line.
///
/// # Errors
/// Usage, in one line; `None` when help or the version was asked for, and printed.
fn parse<T: Parser>(words: &[OsString]) -> Result<Option<T>, Trouble> {
    match T::try_parse_from(words) {
        Ok(args) => Ok(Some(args)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                print::answer(&error.render().to_string()).map(|_| None)
            }
            _ => Err(Trouble::usage(one_line(&error.render().to_string()))),
        },
    }
}

/// Is the type that `-t` names ours?
fn check_type(kind: Option<&str>) -> Result<(), Trouble> {
    match kind {
        None | Some("minirdr" | OUR_TYPE) => Ok(()),
        Some(other) => {
            let other = other.escape_debug();
            Err(Trouble::usage(format!("-t {other}: the type can only be minirdr or {OUR_TYPE}")))
        }
    }
}

/// Goes into the mount namespace that `-N` names: a process's, or that of a file.
fn enter_namespace(
    namespace: Option<&OsStr>,
    environment: &mut Environment,
) -> Result<(), Trouble> {
    let Some(namespace) = namespace else { return Ok(()) };
    let shown = namespace.to_string_lossy();
    let failed = |error: rustix::io::Errno| {
        Trouble::system(format!("-N {}", shown.escape_debug()), &error.into())
    };
    let is_process = !shown.is_empty() && shown.bytes().all(|byte| byte.is_ascii_digit());
    let path = match is_process {
        true => PathBuf::from(format!("/proc/{shown}/ns/mnt")),
        false => PathBuf::from(namespace),
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::empty()).map_err(failed)?;
    // The program's file may have another path there, or none.
    environment.executable = PathBuf::from("/proc/self/exe");
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Mount)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_told_by_the_last_component_of_the_name() {
        let role = |name: &str| Role::of(&[OsString::from(name), OsString::from("x")]);
        assert_eq!(role("/sbin/mount.minirdr"), Some(Role::Mount));
        assert_eq!(role("mount.fuse.minirdr"), Some(Role::Mount));
        assert_eq!(role("/usr/sbin/umount.fuse.minirdr"), Some(Role::Umount));
        for other in ["minirdr", "/x/minirdr", "mount", "umount.minirdr.old", ""] {
            assert_eq!(role(other), None, "{other:?}");
        }
        assert_eq!(Role::of(&[]), None);
    }

    /// cli.md: 10 and 11 are 32, 5 is 1; what mount(8) has no number for is one that it has.
    #[test]
    fn exit_codes_are_those_of_mount_8() {
        let codes =
            |role| [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 130].map(|n| outcome(role, Exit(n)).0);
        assert_eq!(codes(Role::Umount), [0, 1, 2, 32, 32, 1, 32, 32, 32, 1, 32]);
        assert_eq!(codes(Role::Mount), [0, 32, 2, 32, 32, 1, 32, 32, 32, 32, 32]);
    }

    #[test]
    fn a_type_of_somebody_else_is_refused() {
        for good in [None, Some("minirdr"), Some("fuse.minirdr")] {
            assert_eq!(check_type(good), Ok(()));
        }
        let trouble = check_type(Some("fuse.sshfs")).expect_err("not ours");
        assert_eq!(trouble.exit, Exit::USAGE);
        assert!(trouble.message.contains("fuse.sshfs"), "{trouble}");
    }
}
