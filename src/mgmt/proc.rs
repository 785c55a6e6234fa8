//! Reading `/proc`: who runs, what he has open, mapped, entered and mounted.
//!
//! Nothing here sends a request to any file system but procfs: links are read, not followed by
//! name, and the one `statx` asks for nothing and forbids synchronising, which FUSE answers from
//! what the kernel knows (a hung mount, ours or another's, hangs nobody). Processes come and go
//! while one looks: whatever is gone, or not ours to see, reads as absent. The parsers are pure and
//! take any bytes.

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// More of a `/proc` file than this is not read (a process with 100,000 mappings writes 10 MiB).
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Ticks a second of the times in `/proc`: USER_HZ, part of Linux's interface and no tunable.
const TICKS_PER_SECOND: f64 = 100.0;
/// `O_ACCMODE` and the flags below as `/proc/PID/fdinfo` prints them.
const ACCESS_MODE: u32 = 0o3;
const O_DIRECTORY: u32 = 0o200_000;
const O_PATH: u32 = 0o10_000_000;
/// How long a container's id is.
const CONTAINER_DIGITS: usize = 64;
/// In the control group of podman's and CRI-O's monitor: `libpod-conmon-ID.scope`.
const CONMON: &[u8] = b"conmon-";

/// A device number, as mountinfo writes it: `major:minor`, decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// Its major number; 0 for file systems without a block device, such as FUSE.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

impl Device {
    /// From `major:minor` in the given base: 10 in mountinfo, 16 in maps.
    fn parse(text: &str, radix: u32) -> Option<Self> {
        let (major, minor) = text.split_once(':')?;
        let number = |text| u32::from_str_radix(text, radix).ok();
        Some(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl FromStr for Device {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::parse(text, 10).ok_or(())
    }
}

/// How a file is open or mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Access {
    /// For reading.
    pub read: bool,
    /// For writing, so that others see it.
    pub write: bool,
}

impl Access {
    /// `r`, `w`, `rw`, or `-` for neither.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match (self.read, self.write) {
            (true, true) => "rw",
            (true, false) => "r",
            (false, true) => "w",
            (false, false) => "-",
        }
    }
}

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// The mount's number, unique on this machine while it exists.
    pub id: u64,
    /// The mount it is mounted in.
    pub parent: u64,
    /// The file system's device.
    pub device: Device,
    /// What of the file system is mounted: a path from its root.
    pub root: Vec<u8>,
    /// Where, as a process of that namespace names it.
    pub mount_point: Vec<u8>,
    /// The peer group it propagates to.
    pub shared: Option<u64>,
    /// The peer group it receives from.
    pub master: Option<u64>,
}

/// What `/proc/PID/status` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessStatus {
    /// The process a thread belongs to.
    pub tgid: u32,
    /// Real, effective, saved and file system user.
    pub uids: Vec<u32>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// One descriptor of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What `/proc/PID/fd/N` points at, as the kernel spells it.
    pub link: Vec<u8>,
    /// Is it a directory?
    pub directory: bool,
    /// How it is open; neither for `O_PATH`.
    pub access: Access,
    /// The mount it was opened through, if known.
    pub mount: Option<u64>,
}

/// One mapping of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The file's device.
    pub device: Device,
    /// Its path, as the kernel spells it.
    pub link: Vec<u8>,
    /// Writable only when shared: a private mapping's writes reach nobody.
    pub access: Access,
}

/// A `/proc` file system, or a tree that looks like one.
#[derive(Clone, Debug)]
pub struct Proc {
    root: PathBuf,
}

impl Default for Proc {
    fn default() -> Self {
        Self::new(Path::new("/proc"))
    }
}

impl Proc {
    /// The one mounted at `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// All processes, by number.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = names(&self.root).iter().filter_map(|name| number(name)).collect();
        pids.sort_unstable();
        pids
    }

    /// What a process or thread says of itself.
    #[must_use]
    pub fn status(&self, pid: u32) -> Option<ProcessStatus> {
        parse_status(&self.read(pid, "status")?)
    }

    /// Its command name.
    #[must_use]
    pub fn command(&self, pid: u32) -> Option<String> {
        let name = self.read(pid, "comm")?;
        Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
    }

    /// The container it runs in, if its control group names one.
    #[must_use]
    pub fn container(&self, pid: u32) -> Option<String> {
        parse_container(&self.read(pid, "cgroup")?)
    }

    /// Seconds since it began.
    #[must_use]
    pub fn age(&self, pid: u32) -> Option<f64> {
        let uptime = read(&self.root.join("uptime"))?;
        let uptime: f64 = first_word(&uptime)?.parse().ok()?;
        let began = parse_start_ticks(&self.read(pid, "stat")?)?;
        #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
        let began = began as f64 / TICKS_PER_SECOND;
        Some((uptime - began).max(0.0))
    }

    /// Which mount namespace it is in; equal for two in the same.
    #[must_use]
    pub fn mount_namespace(&self, pid: u32) -> Option<OsString> {
        self.link(pid, "ns/mnt").map(OsString::from_vec)
    }

    /// The mounts it sees.
    #[must_use]
    pub fn mounts(&self, pid: u32) -> Vec<MountEntry> {
        self.read(pid, "mountinfo").map(|text| parse_mountinfo(&text)).unwrap_or_default()
    }

    /// What its link `name` (`cwd`, `root`) points at, as the kernel spells it.
    #[must_use]
    pub fn link(&self, pid: u32, name: &str) -> Option<Vec<u8>> {
        let path = self.path(pid, name);
        std::fs::read_link(path).ok().map(|target| target.into_os_string().into_vec())
    }

    /// Where its link `name` leads, if that is on `device`.
    #[must_use]
    pub fn link_on(&self, pid: u32, name: &str, device: Device) -> Option<Vec<u8>> {
        let (found, _) = look(&self.path(pid, name))?;
        if found == device { self.link(pid, name) } else { None }
    }

    /// At most `most` of its descriptors on `device`, or through one of the mounts for which `ours`
    /// is true; `None` when they are not for us to see.
    #[must_use]
    pub fn descriptors_on(
        &self,
        pid: u32,
        device: Device,
        ours: &dyn Fn(u64) -> bool,
        most: usize,
    ) -> Option<Vec<Descriptor>> {
        let listing = std::fs::read_dir(self.path(pid, "fd")).ok()?;
        let mut found = Vec::new();
        for entry in listing.flatten() {
            if found.len() == most {
                break;
            }
            let path = entry.path();
            let looked = look(&path);
            if looked.is_some_and(|(other, _)| other != device) {
                continue;
            }
            let Some(name) = entry.file_name().to_str().map(|name| format!("fdinfo/{name}")) else {
                continue;
            };
            let Some(info) = self.read(pid, &name).map(|text| parse_fdinfo(&text)) else {
                continue;
            };
            // A file the kernel would not look at (marked bad after a server's error) has its
            // mount.
            if looked.is_none() && !info.mount.is_some_and(ours) {
                continue;
            }
            let Ok(link) = std::fs::read_link(&path) else { continue };
            found.push(Descriptor {
                link: link.into_os_string().into_vec(),
                directory: info.directory || looked.is_some_and(|(_, kind)| kind.is_dir()),
                access: info.access,
                mount: info.mount,
            });
        }
        Some(found)
    }

    /// At most `most` of its mappings of files on `device`.
    #[must_use]
    pub fn mappings_on(&self, pid: u32, device: Device, most: usize) -> Vec<Mapping> {
        let Some(text) = self.read(pid, "maps") else { return Vec::new() };
        text.split(|&byte| byte == b'\n')
            .filter_map(parse_mapping)
            .filter(|mapping| mapping.device == device)
            .take(most)
            .collect()
    }

    fn path(&self, pid: u32, name: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(name)
    }

    fn read(&self, pid: u32, name: &str) -> Option<Vec<u8>> {
        read(&self.path(pid, name))
    }
}

/// The names of users, from a file like `/etc/passwd`. Only the file: asking a directory service
/// could block, and the plane must not.
#[must_use]
pub fn users(passwd: &Path) -> HashMap<u32, String> {
    let Some(text) = read(passwd) else { return HashMap::new() };
    let mut users = HashMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(uid)) = (fields.next(), fields.nth(1)) else { continue };
        if let Ok(uid) = uid.parse() {
            // The first of several names is the one the system's own lookup answers.
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

/// The device and type behind a `/proc` link, without asking the file system it is on.
fn look(path: &Path) -> Option<(Device, FileType)> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let found = statx(CWD, path, flags, StatxFlags::empty()).ok()?;
    let device = Device { major: found.stx_dev_major, minor: found.stx_dev_minor };
    Some((device, FileType::from_raw_mode(found.stx_mode.into())))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn names(directory: &Path) -> Vec<OsString> {
    let Ok(listing) = std::fs::read_dir(directory) else { return Vec::new() };
    listing.flatten().map(|entry| entry.file_name()).collect()
}

fn number(name: &OsStr) -> Option<u32> {
    name.to_str()?.parse().ok()
}

fn first_word(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()?.split_ascii_whitespace().next()
}

/// The lines `KEY:\tVALUE…` of a `/proc` file whose keys are asked for.
fn values<'text>(
    text: &'text [u8],
    key: &'text str,
) -> impl Iterator<Item = &'text str> + use<'text> {
    let lines = text.split(|&byte| byte == b'\n');
    let value = lines
        .filter_map(|line| std::str::from_utf8(line).ok())
        .find_map(move |line| line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':')));
    value.unwrap_or_default().split_ascii_whitespace()
}

fn parse_status(text: &[u8]) -> Option<ProcessStatus> {
    let all = |key| values(text, key).filter_map(|word| word.parse().ok()).collect();
    let tgid = values(text, "Tgid").next()?.parse().ok()?;
    Some(ProcessStatus { tgid, uids: all("Uid"), groups: all("Groups") })
}

/// What an `fdinfo` file says that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DescriptorInfo {
    access: Access,
    directory: bool,
    mount: Option<u64>,
}

fn parse_fdinfo(text: &[u8]) -> DescriptorInfo {
    let flags = values(text, "flags").next();
    let flags = flags.and_then(|flags| u32::from_str_radix(flags, 8).ok()).unwrap_or(O_PATH);
    let access = if flags & O_PATH != 0 {
        Access::default()
    } else {
        // 3, ioctl only, is neither.
        let mode = flags & ACCESS_MODE;
        Access { read: matches!(mode, 0 | 2), write: matches!(mode, 1 | 2) }
    };
    DescriptorInfo {
        access,
        directory: flags & O_DIRECTORY != 0,
        mount: values(text, "mnt_id").next().and_then(|id| id.parse().ok()),
    }
}

/// Field 22 of `stat`, counted after the command name, which may itself hold spaces and brackets.
fn parse_start_ticks(text: &[u8]) -> Option<u64> {
    let after = text.iter().rposition(|&byte| byte == b')')? + 1;
    let fields = std::str::from_utf8(text.get(after..)?).ok()?;
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// The last run of exactly 64 hexadecimal digits: how docker, podman, containerd and CRI-O name
/// their control groups, of both versions and on any level. Engines' monitors, which have groups
/// named after their containers, run outside of them.
fn parse_container(text: &[u8]) -> Option<String> {
    let in_line = |line: &[u8]| {
        let last = line.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        if last.windows(CONMON.len()).any(|part| part == CONMON) {
            return None;
        }
        let mut runs = line.split(|byte| !byte.is_ascii_hexdigit());
        runs.rfind(|run| run.len() == CONTAINER_DIGITS).map(<[u8]>::to_vec)
    };
    let id = text.rsplit(|&byte| byte == b'\n').find_map(in_line)?;
    Some(String::from_utf8_lossy(&id).into_owned())
}

/// A line of maps: `from-to perms offset dev inode   path`; none for memory without a file.
fn parse_mapping(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let start = rest.iter().position(|&byte| byte != b' ')?;
        let end = rest[start..].iter().position(|&byte| byte == b' ').map(|at| start + at)?;
        let field = &rest[start..end];
        rest = &rest[end..];
        std::str::from_utf8(field).ok()
    };
    let (_range, permissions) = (field()?, field()?.as_bytes());
    let (_offset, device, inode) = (field()?, field()?, field()?);
    let device = Device::parse(device, 16)?;
    if inode == "0" {
        return None;
    }
    let has = |letter| permissions.contains(&letter);
    Some(Mapping {
        device,
        link: unescape(rest.trim_ascii_start(), b"\n"),
        access: Access { read: has(b'r') || has(b'x'), write: has(b'w') && has(b's') },
    })
}

/// The mounts of a mountinfo file; lines that make no sense are left out.
#[must_use]
pub fn parse_mountinfo(text: &[u8]) -> Vec<MountEntry> {
    text.split(|&byte| byte == b'\n').filter_map(parse_mount).collect()
}

/// `id parent major:minor root mount-point options [optional …] - type source options`.
fn parse_mount(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let (id, parent) = (text()?.parse().ok()?, text()?.parse().ok()?);
    let device = text()?.parse().ok()?;
    let (root, mount_point) = (fields.next()?, fields.next()?);
    let optional: Vec<&[u8]> = fields.skip(1).take_while(|field| *field != b"-").collect();
    let group = |prefix: &str| {
        let found = optional.iter().find_map(|field| field.strip_prefix(prefix.as_bytes()))?;
        std::str::from_utf8(found).ok()?.parse().ok()
    };
    let path = |field| unescape(field, b" \t\n\\#");
    Some(MountEntry {
        id,
        parent,
        device,
        root: path(root),
        mount_point: path(mount_point),
        shared: group("shared:"),
        master: group("master:"),
    })
}

/// Takes back the kernel's `\ooo` for the bytes it escapes in this file; others mean themselves.
fn unescape(text: &[u8], escaped: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        plain.push(byte);
        let (b'\\', Some(digits)) = (byte, after.get(..3)) else { continue };
        let value = digits.iter().try_fold(0_u8, |value, digit| match digit {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
            _ => None,
        });
        if let Some(value) = value.filter(|value| escaped.contains(value)) {
            plain.pop();
            plain.push(value);
            rest = &after[3..];
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn access(word: &str) -> Access {
        Access { read: word.contains('r'), write: word.contains('w') }
    }

    #[test]
    fn mountinfo_is_understood() {
        let text =
            b"36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 shared:7 - ext3 /dev/root rw\n\
            garbage\n\
            37 36 0:52 / /back\\134040 rw - fuse.minirdr memory: rw\n";
        let mounts = parse_mountinfo(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(
            mounts[0],
            MountEntry {
                id: 36,
                parent: 35,
                device: Device { major: 98, minor: 0 },
                root: b"/mnt1".to_vec(),
                mount_point: b"/mnt/a b".to_vec(),
                shared: Some(7),
                master: Some(1),
            }
        );
        assert_eq!(mounts[1].device, "0:52".parse().expect("a device"));
        assert_eq!(mounts[1].mount_point, b"/back\\040", "an escaped backslash is not an escape");
        assert_eq!((mounts[1].shared, mounts[1].master), (None, None));
    }

    #[test]
    fn mappings_are_understood() {
        let line = b"7f0e4a7f6000-7f0e4a7f7000 rw-s 00000000 00:34 131 \
            /m/with  space\\012line\\040 (deleted)";
        let mapping = parse_mapping(line).expect("a mapping");
        assert_eq!(mapping.device, Device { major: 0, minor: 0x34 });
        assert_eq!(mapping.link, b"/m/with  space\nline\\040 (deleted)");
        assert_eq!(mapping.access.word(), "rw");
        let private = parse_mapping(b"1-2 rw-p 0 fe:00 9 /m/f").expect("a mapping");
        assert_eq!(private.access.word(), "r", "its writes stay private");
        assert_eq!(parse_mapping(b"1-2 rw-p 00000000 00:00 0 "), None);
        assert_eq!(parse_mapping(b"1-2 rw-p 00000000 00:00 0 [heap]"), None);
    }

    #[test]
    fn descriptors_are_understood() {
        let info = parse_fdinfo(b"pos:\t0\nflags:\t0100002\nmnt_id:\t29\nino:\t5\n");
        assert_eq!((info.access, info.directory, info.mount), (access("rw"), false, Some(29)));
        let word = |flags: &str| {
            let info = parse_fdinfo(format!("flags:\t{flags}\n").as_bytes());
            (info.access.word(), info.directory)
        };
        assert_eq!(word("0100000"), ("r", false));
        assert_eq!(word("0100001"), ("w", false));
        assert_eq!(word("0300000"), ("r", true), "O_DIRECTORY");
        assert_eq!(word("010000000"), ("-", false), "O_PATH");
        assert_eq!(word("nonsense"), ("-", false));
    }

    #[test]
    fn processes_are_understood() {
        let text = b"Name:\tx\nTgid:\t7\nUid:\t1\t2\t3\t4\nGroups:\t5 6 \n";
        let status = parse_status(text).expect("a status");
        assert_eq!(status, ProcessStatus { tgid: 7, uids: vec![1, 2, 3, 4], groups: vec![5, 6] });
        assert_eq!(parse_status(b"Name:\tx\n"), None);
        let stat = b"7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(parse_start_ticks(stat), Some(4711));
        let id = "0123456789abcdef".repeat(4);
        let group = format!("0::/system.slice/docker-{id}.scope\n");
        assert_eq!(parse_container(group.as_bytes()), Some(id.clone()));
        assert_eq!(parse_container(format!("0::/{id}0\n").as_bytes()), None, "65 digits");
    }

    /// The control groups the engines make, of version 1 and 2, as their documents and machines
    /// show them.
    #[test]
    fn containers_of_every_engine_are_recognised() {
        let id = "0123456789abcdef".repeat(4);
        let pod = "kubepods-besteffort-pod1f0a2b3c_4d5e.slice";
        for group in [
            format!("0::/system.slice/docker-{id}.scope"),
            format!("0::/docker/{id}"),
            format!("0::/../../docker/{id}"),
            format!("0::/machine.slice/libpod-{id}.scope"),
            format!("0::/machine.slice/libpod-{id}.scope/container"),
            format!(
                "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/x"
            ),
            format!("0::/kubepods.slice/kubepods-besteffort.slice/{pod}/cri-containerd-{id}.scope"),
            format!("0::/kubepods.slice/{pod}/crio-{id}.scope"),
            format!("0::/kubepods/burstable/pod1f0a2b3c-4d5e/{id}"),
            format!("0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{id}"),
            format!("0::/system.slice/nerdctl-{id}.scope"),
            format!("12:pids:/docker/{id}\n11:memory:/docker/{id}\n1:name=systemd:/docker/{id}"),
            format!("2:cpu,cpuacct:/kubepods/pod1/{id}\n1:name=systemd:/kubepods/pod1/{id}\n0::/"),
        ] {
            let found = parse_container(format!("{group}\n").as_bytes());
            assert_eq!(found.as_ref(), Some(&id), "{group}");
        }
        let inner = "f".repeat(64);
        let nested = format!("0::/docker/{id}/docker/{inner}\n");
        assert_eq!(parse_container(nested.as_bytes()), Some(inner), "the innermost");
        for group in [
            format!("0::/machine.slice/libpod-conmon-{id}.scope"),
            format!("0::/system.slice/crio-conmon-{id}.scope"),
            "0::/user.slice/user-1000.slice/session-1.scope".to_owned(),
            "0::/".to_owned(),
        ] {
            assert_eq!(parse_container(format!("{group}\n").as_bytes()), None, "{group}");
        }
    }

    /// This very process, through the real `/proc`.
    #[test]
    fn the_real_proc_knows_this_process() {
        let proc = Proc::default();
        let own = std::process::id();
        assert!(proc.processes().contains(&own));
        assert_eq!(proc.status(own).expect("lives").tgid, own);
        assert!(proc.age(own).expect("lives") >= 0.0);
        assert!(!proc.mounts(own).is_empty());
        assert!(proc.mount_namespace(own).is_some());
        assert_eq!(proc.status(u32::MAX), None);
        assert_eq!(proc.mounts(u32::MAX), []);
    }

    #[test]
    fn users_come_from_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let passwd = directory.path().join("passwd");
        std::fs::write(&passwd, "root:x:0:0::/:\nbad\nana:x:1000:1000:\nalias:x:1000:1:\n")
            .expect("written");
        let users = users(&passwd);
        assert_eq!(users.get(&0).map(String::as_str), Some("root"));
        assert_eq!(users.get(&1000).map(String::as_str), Some("ana"), "the first name wins");
        assert_eq!(users.len(), 2);
    }

    proptest! {
        /// Whatever the bytes, no parser panics.
        #[test]
        fn no_parser_panics(
            bytes in proptest::collection::vec(
                prop_oneof![
                    proptest::sample::select(&b" :\\\n()-"[..]),
                    b'0'..=b'9',
                    any::<u8>(),
                ],
                0..200,
            ),
        ) {
            let _ = parse_mountinfo(&bytes);
            parse_mapping(&bytes);
            parse_fdinfo(&bytes);
            parse_status(&bytes);
            parse_start_ticks(&bytes);
            parse_container(&bytes);
        }

        /// What the kernel escaped comes back as it was.
        #[test]
        fn unescaping_undoes_the_kernels_escaping(
            path in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let escaped: Vec<u8> = path
                .iter()
                .flat_map(|&byte| match byte {
                    b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
                    other => vec![other],
                })
                .collect();
            prop_assert_eq!(unescape(&escaped, b" \t\n\\#"), path);
        }
    }
}
