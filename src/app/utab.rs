//! What libmount knows of a mount besides the kernel's table: its *utab*, where we are written down
//! as the helper to be run by `umount` (reference users.md §7).
//!
//! Without that line plain `umount DIR` runs `/sbin/umount.fuse`, which is not ours. It is written
//! and removed as libfuse does it, by `mount --fake` and `umount --fake`, so that libmount's own
//! locks hold. Only root's mounts are written down: nobody else can write there. A system without
//! util-linux has no such table, and nothing is missing then.

use crate::app::options::MountOptions;
use crate::base::limits::UTAB_WAIT;
use crate::base::programs::{program, run_within};
use crate::front::transport::mountinfo::{self, MountEntry, topmost};
use rustix::fs::Access;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The type of every mount of ours.
const KIND: &str = "fuse.minirdr";
/// libmount's table.
const TABLE: &str = "/run/mount/utab";
/// Lines about one mount: ours, and what `mount(8)` wrote of the options that are not the kernel's.
/// More are left of others, and one look is enough for each.
const LINES_MAX: usize = 4;

/// A mount that libmount was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utab {
    source: OsString,
    place: PathBuf,
}

impl Utab {
    /// Writes us down as the helper of the mount at `place` with this `st_dev`; nothing where that
    /// cannot be, which is no failure of the mount. `mount(8)` writes nothing where its helper has:
    /// that a mount needs the network, systemd finds here or nowhere.
    #[must_use]
    pub fn register(
        place: Option<PathBuf>,
        device: Option<String>,
        options: &MountOptions,
    ) -> Option<Self> {
        if !is_writable(Path::new(TABLE)) {
            return None;
        }
        let (place, device) = (place?, device?);
        let table = mountinfo::read().ok()?;
        let is_it = |entry: &&MountEntry| entry.mount_point == place && entry.device() == device;
        let source = table.iter().rfind(is_it)?.source.clone();
        let utab = Self { source, place };
        // Of a daemon that was killed there, of the same source.
        utab.remove_lines();
        let mut mount = quiet("mount");
        let words = if options.network { "helper=minirdr,_netdev" } else { "helper=minirdr" };
        mount.args(["--no-canonicalize", "-i", "-f", "-t", KIND, "-o", words, "--"]);
        mount.arg(&utab.source).arg(&utab.place);
        run(&mut mount, "mount").then_some(utab)
    }

    /// Has it removed. A mount of ours that came to the place meanwhile keeps its line.
    pub fn forget(&self) {
        forget(&self.source, &self.place);
    }

    fn remove_lines(&self) {
        for _ in 0..LINES_MAX {
            let text = std::fs::read(TABLE).unwrap_or_default();
            if !self.is_next(&text) {
                return;
            }
            let mut umount = quiet("umount");
            umount.args(["--no-canonicalize", "-i", "--fake", "--"]).arg(&self.place);
            if !run(&mut umount, "umount") {
                return;
            }
        }
    }

    /// Is it our line that goes next? `umount` names the place alone, and takes the last one of it:
    /// of a mount that lies over ours, that is the other's.
    fn is_next(&self, text: &[u8]) -> bool {
        let target = [b"TARGET=", &*mangled(self.place.as_os_str().as_bytes())].concat();
        let is_there = |line: &&[u8]| line.split(|&byte| byte == b' ').any(|word| word == target);
        text.split(|&byte| byte == b'\n').rfind(is_there).is_some_and(|line| self.is_of(line))
    }

    /// Is this line of the table about this mount?
    fn is_of(&self, line: &[u8]) -> bool {
        let has = |key: &str, value: &OsStr| {
            let word = [key.as_bytes(), &mangled(value.as_bytes())].concat();
            line.split(|&byte| byte == b' ').any(|field| field == word)
        };
        has("SRC=", &self.source) && has("TARGET=", self.place.as_os_str())
    }
}

/// Has libmount forget a mount of ours that is gone from `place`, unless another is there now.
pub fn forget(source: &OsStr, place: &Path) {
    let table = mountinfo::read().unwrap_or_default();
    if topmost(&table, place).is_some_and(|entry| entry.kind == KIND) {
        return;
    }
    if is_writable(Path::new(TABLE)) {
        Utab { source: source.to_owned(), place: place.to_owned() }.remove_lines();
    }
}

/// Can this process write the table? libmount makes it, and its directory, where they are missing.
fn is_writable(table: &Path) -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let there = table.ancestors().take(3).find(|path| path.symlink_metadata().is_ok());
    there.is_some_and(|path| rustix::fs::access(path, Access::WRITE_OK).is_ok())
}

fn quiet(name: &str) -> Command {
    let mut command = program(name);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs one of libmount's programs. That it is missing, fails or hangs is told to whoever reads the
/// log at that level, and to nobody else: the mount does not need it.
fn run(command: &mut Command, name: &str) -> bool {
    match run_within(command, UTAB_WAIT) {
        Ok(Some(status)) if status.success() => return true,
        Ok(Some(status)) => log::debug!("{name} --fake for {TABLE}: {status}"),
        Ok(None) => log::warn!("{name} --fake for {TABLE} hung, and was ended"),
        Err(error) => log::debug!("{name} --fake for {TABLE}: {error}"),
    }
    false
}

/// A value as libmount writes it: blanks and backslashes as a backslash and three octal digits.
fn mangled(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len());
    for &byte in value {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => text.extend(format!("\\{byte:03o}").into_bytes()),
            _ => text.push(byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as util-linux 2.38.1 wrote them.
    #[test]
    fn the_lines_of_a_mount_are_known_by_source_and_place() {
        let utab = Utab { source: "local:/a b".into(), place: PathBuf::from("/mnt/x\\y") };
        let line = |text: &str| utab.is_of(text.as_bytes());
        let ours = "SRC=local:/a\\040b TARGET=/mnt/x\\134y ROOT=/ OPTS=";
        assert!(line(&format!("{ours}helper=minirdr")));
        assert!(line(&format!("{ours}user=ana,x-foo=1")));
        assert!(!line("SRC=local:/a\\040b TARGET=/mnt/x ROOT=/ OPTS=helper=minirdr"));
        assert!(!line("SRC=memory: TARGET=/mnt/x\\134y ROOT=/ OPTS=helper=minirdr"));
        assert!(!line(""));
        let ours = format!("{ours}helper=minirdr\n");
        let other = "SRC=none TARGET=/mnt/x\\134y ROOT=/ OPTS=user=ana\n";
        assert!(utab.is_next(format!("{other}{ours}SRC=a TARGET=/b ROOT=/\n").as_bytes()));
        assert!(!utab.is_next(format!("{ours}{other}").as_bytes()), "one that lies over ours");
        assert!(!utab.is_next(b""));
    }

    #[test]
    fn a_table_that_cannot_be_made_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = rustix::process::geteuid().is_root();
        assert_eq!(is_writable(&directory.path().join("mount/utab")), root);
        assert!(!is_writable(Path::new("/proc/no/such/utab")));
    }
}
