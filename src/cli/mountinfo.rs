//! What is mounted, from `/proc/self/mountinfo`: never by touching a mount point.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The type of every mount of ours.
pub const OUR_TYPE: &str = "fuse.minirdr";

/// One mount of this process's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number of it: of this very mount, as long as it is there.
    pub id: u32,
    /// `st_dev` as `major:minor`.
    pub device: String,
    /// Which directory of the file system is mounted here; not `/` for a bind mount of a part.
    pub root: PathBuf,
    /// Where.
    pub mount_point: PathBuf,
    /// `ext4`, `fuse.minirdr`, …
    pub kind: String,
    /// The source column.
    pub source: String,
    /// Who mounted it, for FUSE.
    pub owner: Option<u32>,
}

impl Mount {
    /// Is it a mount of minirdr?
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.kind == OUR_TYPE
    }
}

/// Reads the mounts, oldest first; of two on the same point the later hides the earlier.
///
/// # Errors
/// The system's, when `/proc` is not there.
pub fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// The topmost mount at exactly this path.
#[must_use]
pub fn at<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.mount_point == path)
}

/// Parses proc_pid_mountinfo(5); a line that does not parse is skipped.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = text(fields.next()?).parse().ok()?;
    let device = text(fields.nth(1)?);
    let root = path(fields.next()?);
    let mount_point = path(fields.next()?);
    // Options, then any number of optional fields, up to a lone hyphen.
    fields.find(|field| field == b"-")?;
    let kind = text(fields.next()?);
    let source = text(&unescape(fields.next().unwrap_or_default()));
    let options = text(fields.next().unwrap_or_default());
    let owner = options.split(',').find_map(|word| word.strip_prefix("user_id=")?.parse().ok());
    Some(Mount { id, device, root, mount_point, kind, source, owner })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// Undoes the kernel's `\040` for blanks, tabs, newlines and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.first_chunk::<3>().filter(|_| first == b'\\').and_then(|digits| {
            let digit = |byte: u8| (b'0'..=b'7').contains(&byte).then(|| u32::from(byte - b'0'));
            let value = digit(digits[0])? * 64 + digit(digits[1])? * 8 + digit(digits[2])?;
            u8::try_from(value).ok()
        });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = b"\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
41 22 0:38 / /mnt/bk rw,nosuid,nodev,relatime shared:20 master:3 - fuse.minirdr memory: rw,user_id=0
42 22 0:38 /sub /srv/my\\040disk\\134x rw - fuse.minirdr local:/a\\040b rw
nonsense
43 22 0:39 / /mnt/bk rw - tmpfs none rw
";

    #[test]
    fn lines_are_read_with_their_optional_fields_and_escapes() {
        let mounts = parse(SAMPLE);
        assert_eq!(mounts.len(), 4);
        assert_eq!(mounts[1].device, "0:38");
        assert_eq!((mounts[0].id, mounts[1].id), (22, 41));
        assert!(mounts[1].is_ours() && !mounts[0].is_ours());
        assert_eq!(mounts[1].source, "memory:");
        assert_eq!((mounts[0].owner, mounts[1].owner), (None, Some(0)));
        assert_eq!(mounts[2].mount_point, Path::new("/srv/my disk\\x"));
        assert_eq!(mounts[2].root, Path::new("/sub"));
        assert_eq!(mounts[2].source, "local:/a b");
    }

    #[test]
    fn the_later_mount_hides_the_earlier() {
        let mounts = parse(SAMPLE);
        assert_eq!(at(&mounts, Path::new("/mnt/bk")).map(|m| m.kind.as_str()), Some("tmpfs"));
        assert_eq!(at(&mounts, Path::new("/mnt")), None);
    }

    #[test]
    fn this_machine_has_a_root() {
        let mounts = read().expect("/proc is mounted");
        assert!(at(&mounts, Path::new("/")).is_some());
    }

    #[test]
    fn broken_escapes_are_kept_as_they_are() {
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"a\\999"), b"a\\999");
        assert_eq!(unescape(b"\\777"), b"\\777", "no byte has this number");
        assert_eq!(unescape(b"\\"), b"\\");
    }
}
