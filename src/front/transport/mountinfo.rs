//! `/proc/self/mountinfo`, read and understood. Pure but for [`read`].
//!
//! The mount table names every mount without touching it: `stat` of a FUSE mount point may hang
//! (README invariant 8).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// The mount's number; used again after it is gone.
    pub id: u64,
    /// The mount it sits on.
    pub parent: u64,
    /// `st_dev`, major part.
    pub major: u32,
    /// `st_dev`, minor part; of a FUSE mount, the connection's number.
    pub minor: u32,
    /// Which directory of the file system is mounted.
    pub root: PathBuf,
    /// Where, as seen from our root directory.
    pub mount_point: PathBuf,
    /// `fuse.minirdr`, `tmpfs`, …
    pub kind: String,
    /// What is mounted.
    pub source: OsString,
}

impl MountEntry {
    /// `st_dev` as people read it.
    #[must_use]
    pub fn device(&self) -> String {
        format!("{}:{}", self.major, self.minor)
    }

    /// Is it any FUSE file system?
    #[must_use]
    pub fn is_fuse(&self) -> bool {
        ["fuse", "fuseblk"].contains(&self.kind.split('.').next().unwrap_or_default())
    }
}

/// Reads the mount table of this process.
///
/// # Errors
/// `/proc` is not there.
pub fn read() -> io::Result<Vec<MountEntry>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// Understands a mount table; lines that make no sense are left out.
#[must_use]
pub fn parse(table: &[u8]) -> Vec<MountEntry> {
    table.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let (major, minor) = std::str::from_utf8(fields.next()?).ok()?.split_once(':')?;
    let root = path(fields.next()?);
    let mount_point = path(fields.next()?);
    // Options and any number of tags, up to a lone dash.
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    let source = OsString::from_vec(unescape(fields.next()?));
    Some(MountEntry {
        id,
        parent,
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        root,
        mount_point,
        kind,
        source,
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// The kernel writes space, tab, newline, backslash and `#` as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    plain
}

/// The topmost mount at a path: the one a `umount` of it takes away. A mount on a directory above
/// hides those made before it, and then the answer is that no mount is to be seen there.
#[must_use]
pub fn topmost<'a>(table: &'a [MountEntry], mount_point: &Path) -> Option<&'a MountEntry> {
    let at = table.iter().rposition(|entry| entry.mount_point == mount_point)?;
    let entry = &table[at];
    let hidden = table[at + 1..].iter().any(|later| {
        mount_point != later.mount_point
            && mount_point.starts_with(&later.mount_point)
            && !is_ancestor(table, later.id, entry)
    });
    (!hidden).then_some(entry)
}

/// Does `entry` sit, directly or not, on the mount numbered `id`?
fn is_ancestor(table: &[MountEntry], id: u64, entry: &MountEntry) -> bool {
    let mut next = entry.parent;
    for _ in 0..table.len() {
        if next == id {
            return true;
        }
        match table.iter().find(|other| other.id == next) {
            Some(parent) if parent.parent != next => next = parent.parent,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw
36 22 0:31 / /mnt/with\\040space\\134\\011 rw,nosuid - fuse.minirdr memory:a,b rw,user_id=0
garbage
37 22 0:32 /sub /mnt/x rw - tmpfs none rw
38 37 0:33 / /mnt/x rw - fuseblk /dev/sda1 rw
";

    #[test]
    fn lines_are_understood_with_their_escapes() {
        let table = parse(TABLE);
        assert_eq!(table.len(), 4, "the line of garbage is left out");
        let ours = &table[1];
        assert_eq!(ours.mount_point, Path::new("/mnt/with space\\\t"));
        assert_eq!((ours.id, ours.parent, ours.device().as_str()), (36, 22, "0:31"));
        assert_eq!(
            (ours.kind.as_str(), ours.source.to_str()),
            ("fuse.minirdr", Some("memory:a,b"))
        );
        assert!(ours.is_fuse() && table[3].is_fuse() && !table[2].is_fuse());
        assert_eq!(table[2].root, Path::new("/sub"));
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"\\999\\"), b"\\999\\");
        assert_eq!(unescape(b"\\043"), b"#");
    }

    #[test]
    fn the_topmost_mount_is_the_last_that_nothing_hides() {
        let table = parse(TABLE);
        assert_eq!(topmost(&table, Path::new("/mnt/x")).map(|entry| entry.id), Some(38));
        assert_eq!(topmost(&table, Path::new("/mnt")), None);
        let mut hidden = table.clone();
        hidden.extend(parse(b"40 22 0:40 / /mnt rw - tmpfs none rw\n"));
        assert_eq!(topmost(&hidden, Path::new("/mnt/x")), None, "hidden by a mount on /mnt");
        hidden.extend(parse(b"41 40 0:41 / /mnt/x rw - tmpfs none rw\n"));
        assert_eq!(topmost(&hidden, Path::new("/mnt/x")).map(|entry| entry.id), Some(41));
    }

    #[test]
    fn this_process_has_a_root_mount() {
        let table = read().expect("/proc is mounted");
        assert!(topmost(&table, Path::new("/")).is_some());
    }
}
