//! Who holds a mount: the daemon's own handles merged with a scan of `/proc` (cli.md).
//!
//! The handle table knows ages, unsent bytes and what was opened by processes we may not look at.
//! Only `/proc` knows a working directory, a mapping that outlived its descriptor, a descriptor
//! inherited or passed on, a bind mount elsewhere. A handle that the scan sees too is one row.
//!
//! Found by device number, never by asking the mount: it answers while the mount hangs. Threads
//! that left their process's descriptor table or working directory, and descriptors on their way
//! through a socket, are seen by the handle table only.

use crate::base::limits::FOUND_MAX;
use crate::mgmt::merge::Merge;
use crate::mgmt::mounts::Mounts;
use crate::mgmt::proc::{Access, Device, Proc, users};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// The mount in question.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its device.
    pub device: Device,
    /// Where it is mounted in the daemon's namespace.
    pub mount_point: PathBuf,
}

/// How a mount is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::mgmt) enum Kind {
    Handle,
    Directory,
    Mmap,
    Cwd,
    Root,
    Mount,
}

impl Kind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Directory => "directory",
            Self::Mmap => "mmap",
            Self::Cwd => "cwd",
            Self::Root => "root",
            Self::Mount => "mount",
        }
    }

    pub const fn of_handle(directory: bool) -> Self {
        if directory { Self::Directory } else { Self::Handle }
    }
}

/// One thing the scan found; equal ones of a process are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::mgmt) struct Found {
    pub pid: Option<u32>,
    pub kind: Kind,
    pub path: Vec<u8>,
    pub access: Access,
}

/// What the scan found, and whose descriptors it did not see.
#[derive(Debug, Default)]
pub(in crate::mgmt) struct Scan {
    pub found: BTreeSet<Found>,
    pub unseen: HashSet<u32>,
    /// Not everything was looked at.
    pub incomplete: bool,
    /// Descriptors and mappings looked at.
    looked_at: usize,
}

impl Scan {
    /// So many more of `most` descriptors or mappings may be looked at; none: it is cut off here.
    fn room(&mut self, most: usize) -> Option<usize> {
        let room = most.checked_sub(self.looked_at).filter(|&room| room > 0);
        self.incomplete |= room.is_none();
        room
    }
}

/// Looks through `/proc`.
#[derive(Clone, Debug)]
pub struct Scanner {
    proc: Proc,
    passwd: PathBuf,
    own_pid: u32,
    /// Descriptors and mappings that are looked at.
    found_max: usize,
}

impl Scanner {
    /// One for this system and this process.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Proc::default(), Path::new("/etc/passwd"), std::process::id())
    }

    /// One for a tree that looks like `/proc`, as the process `own_pid` of it.
    #[must_use]
    pub fn new(proc: Proc, passwd: &Path, own_pid: u32) -> Self {
        Self { proc, passwd: passwd.to_owned(), own_pid, found_max: FOUND_MAX }
    }

    /// Looks for everybody who holds `target`; its open handles are then to be added. A mount whose
    /// device is not known has handles only, and who opened them.
    #[must_use]
    pub fn look(&self, target: Option<&Target>) -> Merge<'_> {
        let scan = target.map(|target| self.scan(target)).unwrap_or_default();
        Merge::new(&self.proc, users(&self.passwd), scan)
    }

    fn scan(&self, target: &Target) -> Scan {
        let pids = self.proc.processes();
        let mounts = Mounts::survey(&self.proc, self.own_pid, &pids, target);
        let mut scan = Scan::default();
        for found in mounts.elsewhere(target) {
            scan.found.insert(found);
        }
        for pid in pids {
            self.scan_process(pid, target, &mounts, &mut scan);
        }
        scan
    }

    /// What one process holds.
    fn scan_process(&self, pid: u32, target: &Target, mounts: &Mounts, scan: &mut Scan) {
        let add = |scan: &mut Scan, kind, access, link: &[u8], mount| {
            let path = mounts.path_of(link, mount);
            scan.found.insert(Found { pid: Some(pid), kind, path, access });
        };
        let device = target.device;
        if let Some(link) = self.proc.link_on(pid, "cwd", device) {
            add(scan, Kind::Cwd, Access::default(), &link, None);
        }
        // The daemon serves the mount and holds nothing of it, whatever its descriptors say.
        if pid == self.own_pid {
            return;
        }
        if let Some(link) = self.proc.link_on(pid, "root", device) {
            add(scan, Kind::Root, Access::default(), &link, None);
        }
        if let Some(room) = scan.room(self.found_max) {
            for mapping in self.proc.mappings_on(pid, device, room) {
                scan.looked_at += 1;
                add(scan, Kind::Mmap, mapping.access, &mapping.link, None);
            }
        }
        let ours = |id| mounts.by_id.contains_key(&id);
        let room = scan.room(self.found_max);
        let seen = room.and_then(|room| self.proc.descriptors_on(pid, device, &ours, room));
        let Some(descriptors) = seen else {
            scan.unseen.insert(pid);
            return;
        };
        if Some(descriptors.len()) == room {
            // The rest of his was not looked at: do not guess who has it.
            scan.unseen.insert(pid);
        }
        for open in descriptors {
            scan.looked_at += 1;
            add(scan, Kind::of_handle(open.directory), open.access, &open.link, open.mount);
        }
    }
}

/// What is known of a process.
#[derive(Clone, Debug, Default)]
pub(in crate::mgmt) struct Person {
    pub command: Option<String>,
    pub uid: Option<u32>,
    pub container: Option<String>,
}

impl Person {
    pub fn ask(proc: &Proc, pid: u32) -> Self {
        Self {
            command: proc.command(pid),
            // The effective one: whose rights it uses.
            uid: proc.status(pid).and_then(|status| status.uids.get(1).copied()),
            container: proc.container(pid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Caller, Generation, HandleNumber};
    use crate::base::stop::HandleInfo;
    use crate::mgmt::proto::Holder;
    use std::fmt::Write as _;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use tempfile::TempDir;

    const DAEMON: u32 = 10;
    const CONTAINER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// A tree that looks like `/proc`, and a directory that plays the mount: in `/dev/shm`, so that
    /// it has a device that is not the root's.
    struct Fake {
        directory: TempDir,
        device: Device,
    }

    fn put_together(scanner: &Scanner, target: &Target, handles: &[HandleInfo]) -> Vec<Holder> {
        let mut merge = scanner.look(Some(target));
        handles.iter().for_each(|handle| merge.add(handle.clone()));
        merge.finish().collect()
    }

    fn number(path: &Path) -> Device {
        let device = fs::metadata(path).expect("exists").dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        Device { major, minor }
    }

    impl Fake {
        fn new() -> Self {
            let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
            fs::create_dir_all(directory.path().join("mnt/dir")).expect("made");
            fs::create_dir(directory.path().join("proc")).expect("made");
            fs::write(directory.path().join("passwd"), "ana:x:1000:1000::/:/bin/sh\n")
                .expect("written");
            fs::write(directory.path().join("proc/uptime"), "1000.00 1.0\n").expect("written");
            let device = number(directory.path());
            let fake = Self { directory, device };
            fake.process(DAEMON, "minirdr", 0, "own");
            fake.mounts(DAEMON, &[(2, 1, "/", &fake.mount(), "")]);
            fake
        }

        fn mount(&self) -> String {
            self.directory.path().join("mnt").to_str().expect("text").to_owned()
        }

        fn path(&self, pid: u32, name: &str) -> PathBuf {
            let path = self.directory.path().join("proc").join(pid.to_string()).join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("made");
            path
        }

        fn file(&self, pid: u32, name: &str, text: &str) {
            fs::write(self.path(pid, name), text).expect("written");
        }

        fn link(&self, pid: u32, name: &str, target: &str) {
            symlink(target, self.path(pid, name)).expect("linked");
        }

        /// Moves a process into a directory.
        fn enter(&self, pid: u32, directory: &str) {
            fs::remove_file(self.path(pid, "cwd")).expect("removed");
            self.link(pid, "cwd", directory);
        }

        /// A process that holds nothing and began 100 seconds ago.
        fn process(&self, pid: u32, command: &str, uid: u32, namespace: &str) {
            let status = format!("Tgid:\t{pid}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n");
            self.file(pid, "status", &status);
            self.file(pid, "comm", &format!("{command}\n"));
            self.file(pid, "stat", &format!("{pid} ({command}) S{} 90000 0", " 0".repeat(18)));
            self.file(pid, "cgroup", "0::/user.slice\n");
            self.link(pid, "ns/mnt", namespace);
            self.link(pid, "root", "/");
            self.link(pid, "cwd", "/");
            fs::create_dir(self.path(pid, "fd")).expect("made");
        }

        /// Mounts as (number, parent, root, mount point, optional fields) of our device, in a root
        /// mount 1 of another that propagates in group 5.
        fn mounts(&self, pid: u32, mounts: &[(u64, u64, &str, &str, &str)]) {
            let mut text = "1 0 250:9 / / rw shared:5 - ext4 /dev/x rw\n".to_owned();
            let Device { major, minor } = self.device;
            for (id, parent, root, point, optional) in mounts {
                let fields = format!("{id} {parent} {major}:{minor} {root} {point} rw {optional}");
                writeln!(text, "{fields} - fuse m rw").expect("memory");
            }
            self.file(pid, "mountinfo", &text);
        }

        /// A descriptor of the file `path` below the mount, which is made.
        fn open(&self, pid: u32, number: u32, path: &str, flags: &str) {
            let target = format!("{}/{path}", self.mount());
            if !Path::new(&target).exists() {
                fs::write(&target, "").expect("written");
            }
            self.point(pid, number, &target, flags, 2);
        }

        /// A descriptor that points somewhere, opened through a mount.
        fn point(&self, pid: u32, number: u32, target: &str, flags: &str, mount: u64) {
            self.link(pid, &format!("fd/{number}"), target);
            let info = format!("flags:\t{flags}\nmnt_id:\t{mount}\n");
            self.file(pid, &format!("fdinfo/{number}"), &info);
        }

        fn map(&self, pid: u32, path: &str, permissions: &str) {
            let Device { major, minor } = self.device;
            let mount = self.mount();
            let line = format!("1-2 {permissions} 0 {major:02x}:{minor:02x} 7    {mount}/{path}\n");
            self.file(pid, "maps", &line);
        }

        fn holders(&self, handles: &[HandleInfo]) -> Vec<Holder> {
            let root = self.directory.path();
            let scanner = Scanner::new(Proc::new(&root.join("proc")), &root.join("passwd"), DAEMON);
            let target = Target { device: self.device, mount_point: self.mount().into() };
            put_together(&scanner, &target, handles)
        }

        /// The same in short: pid, kind, mode, age, unsent, path.
        fn rows(&self, handles: &[HandleInfo]) -> Vec<String> {
            let word = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            let row = |holder: Holder| {
                format!(
                    "{} {} {} {} {} {}",
                    word(holder.pid.map(|pid| pid.to_string())),
                    holder.kind,
                    holder.mode,
                    word(holder.age_s.map(|age| age.to_string())),
                    word(holder.unsent_bytes.map(|bytes| bytes.to_string())),
                    holder.path,
                )
            };
            self.holders(handles).into_iter().map(row).collect()
        }
    }

    fn handle(path: &str, mode: &str, thread: u32, age_s: f64, unsent_bytes: u64) -> HandleInfo {
        HandleInfo {
            handle: HandleNumber(1),
            path: path.as_bytes().to_vec(),
            kind: "handle".to_owned(),
            mode: mode.to_owned(),
            opened_by: Caller::local(thread, 1000, 1000),
            generation: Generation(1),
            age_s,
            unsent_bytes,
            flushed: false,
            survivor: false,
            detached: false,
        }
    }

    /// The case of cli.md: a descriptor, a mapping of the same file, a working directory.
    #[test]
    fn the_three_holders_of_the_example() {
        let fake = Fake::new();
        fake.process(20, "blender", 1000, "own");
        fake.open(20, 3, "shot12.blend", "0100002");
        fake.open(20, 4, "shot12.blend", "0100002");
        fake.map(20, "shot12.blend", "rw-s");
        fake.process(30, "bash", 1000, "own");
        fake.enter(30, &format!("{}/dir", fake.mount()));
        let handles = [handle("shot12.blend", "rw", 20, 5.0, 81)];
        assert_eq!(
            fake.rows(&handles),
            ["20 handle rw 5 81 shot12.blend", "20 mmap rw 5 - shot12.blend", "30 cwd - - - dir"]
        );
        let blender = &fake.holders(&handles)[0];
        assert_eq!(blender.command.as_deref(), Some("blender"));
        assert_eq!((blender.uid, blender.user.as_deref()), (Some(1000), Some("ana")));
        assert_eq!((&blender.path_bytes, &blender.container), (&None, &None));
        assert_eq!(fake.rows(&[]).len(), 3, "the scan alone sees them too");
    }

    #[test]
    fn the_daemon_is_no_holder_unless_it_is_inside() {
        let fake = Fake::new();
        fake.open(DAEMON, 3, "a", "0100000");
        assert_eq!(fake.rows(&[]), [""; 0]);
        fake.enter(DAEMON, &fake.mount());
        assert_eq!(fake.rows(&[]), ["10 cwd - - - "]);
    }

    /// A thread's number leads to its process; a number used again, or none, to nobody.
    #[test]
    fn openers_are_threads_and_may_be_gone() {
        let fake = Fake::new();
        fake.process(20, "a", 1000, "own");
        fake.file(21, "status", "Tgid:\t20\nUid:\t1\t1\t1\t1\n");
        fake.open(20, 3, "by-thread", "0100000");
        let handles = [
            handle("by-thread", "r", 21, 5.0, 0),
            handle("not-seen", "r", 20, 99.0, 1),
            handle("older-than-its-opener", "w", 20, 200.0, 2),
            handle("opener-gone", "w", 999, 5.0, 3),
            handle("unknown", "w", 0, 5.0, 4),
        ];
        assert_eq!(
            fake.rows(&handles),
            [
                "- handle w 200 2 older-than-its-opener",
                "- handle w 5 3 opener-gone",
                "- handle w 5 4 unknown",
                "20 handle r 5 0 by-thread",
                "20 handle r 99 1 not-seen",
            ]
        );
        let unknown = &fake.holders(&handles)[0];
        assert_eq!((&unknown.command, unknown.uid), (&None, Some(1000)), "the opener's user");
    }

    /// Inherited, passed on, or mapped and closed: the handle is shown with who has it now.
    #[test]
    fn handles_are_found_with_who_has_them_now() {
        let fake = Fake::new();
        fake.process(20, "parent", 1000, "own");
        fake.process(30, "child", 1000, "own");
        fake.process(40, "mapper", 1000, "own");
        fake.open(20, 3, "shared", "0100001");
        fake.open(30, 3, "shared", "0100001");
        fake.open(30, 4, "passed", "0100000");
        fake.map(40, "mapped", "r--p");
        let handles = [
            handle("shared", "w", 20, 5.0, 9),
            handle("passed", "r", 999, 6.0, 0),
            handle("mapped", "r", 40, 7.0, 0),
        ];
        assert_eq!(
            fake.rows(&handles),
            [
                "20 handle w 5 9 shared",
                "30 handle r 6 0 passed",
                "30 handle w 5 - shared",
                "40 mmap r 7 0 mapped",
            ]
        );
    }

    /// A process we may not look into is known by what it opened, not replaced by a guess.
    #[test]
    fn who_cannot_be_seen_keeps_his_handles() {
        let fake = Fake::new();
        fake.process(20, "hidden", 1000, "own");
        fs::remove_dir(fake.path(20, "fd")).expect("removed");
        fake.process(30, "other", 0, "own");
        fake.open(30, 3, "file", "0100000");
        assert_eq!(
            fake.rows(&[handle("file", "r", 20, 5.0, 0)]),
            ["20 handle r 5 0 file", "30 handle r 5 - file"]
        );
    }

    /// Of more handles than are merged the rest is counted, and the descriptors that are their
    /// other side are no holders besides.
    #[test]
    fn handles_beyond_the_bound_are_counted() {
        let fake = Fake::new();
        fake.process(20, "a", 1000, "own");
        for (number, name) in ["one", "two", "three"].iter().enumerate() {
            fake.open(20, number as u32 + 3, name, "0100000");
        }
        fake.map(20, "mapped", "r--p");
        let mut handles: Vec<HandleInfo> =
            ["one", "two", "three"].map(|name| handle(name, "r", 20, 5.0, 0)).to_vec();
        handles.push(HandleInfo { detached: true, ..handle("gone", "r", 999, 5.0, 0) });
        let root = fake.directory.path();
        let scanner = Scanner::new(Proc::new(&root.join("proc")), &root.join("passwd"), DAEMON);
        let target = Target { device: fake.device, mount_point: fake.mount().into() };
        let mut merge = scanner.look(Some(&target));
        merge.most = 1;
        handles.into_iter().for_each(|handle| merge.add(handle));
        let holders = merge.finish();
        assert_eq!((holders.len(), holders.more, holders.more_detached), (2, 2, 1));
        assert!(!holders.incomplete);
        let listed: Vec<_> = holders.map(|holder| (holder.kind, holder.path)).collect();
        let expected = [("handle", "one"), ("mmap", "mapped")];
        assert_eq!(listed, expected.map(|(kind, path)| (kind.to_owned(), path.to_owned())));
    }

    /// A scan that is cut off says so, and does not guess who has what it did not see.
    #[test]
    fn a_scan_that_is_cut_off_says_so() {
        let fake = Fake::new();
        fake.process(20, "many", 1000, "own");
        fake.open(20, 3, "a", "0100000");
        fake.open(20, 4, "b", "0100000");
        fake.process(30, "next", 1000, "own");
        fake.open(30, 3, "b", "0100000");
        fake.enter(30, &format!("{}/dir", fake.mount()));
        let root = fake.directory.path();
        let mut scanner = Scanner::new(Proc::new(&root.join("proc")), &root.join("passwd"), DAEMON);
        let target = Target { device: fake.device, mount_point: fake.mount().into() };
        let listed = |scanner: &Scanner| {
            let mut merge = scanner.look(Some(&target));
            merge.add(handle("b", "r", 20, 5.0, 0));
            let holders = merge.finish();
            let incomplete = holders.incomplete;
            let row = |holder: Holder| (holder.pid, holder.kind, holder.path);
            (incomplete, holders.map(row).collect::<Vec<_>>())
        };
        let (incomplete, all) = listed(&scanner);
        assert_eq!((incomplete, all.len()), (false, 4));
        scanner.found_max = 1;
        let (incomplete, some) = listed(&scanner);
        assert!(incomplete);
        let b = some.iter().find(|(_, kind, path)| kind == "handle" && path == "b");
        assert_eq!(b.and_then(|(pid, ..)| *pid), Some(20), "{some:?}");
        assert!(some.iter().any(|(_, kind, _)| kind == "cwd"), "directories cost little");
    }

    /// A handle that was taken from its holder is shown as that, and does not count.
    #[test]
    fn a_detached_handle_is_no_holder() {
        let fake = Fake::new();
        fake.process(20, "nginx", 1000, "own");
        fake.open(20, 3, "logo.png", "0100000");
        let detached = HandleInfo { detached: true, ..handle("logo.png", "r", 20, 5.0, 0) };
        let rows = fake.rows(std::slice::from_ref(&detached));
        assert_eq!(rows, ["20 detached r 5 0 logo.png"]);
        let root = fake.directory.path();
        let scanner = Scanner::new(Proc::new(&root.join("proc")), &root.join("passwd"), DAEMON);
        let target = Target { device: fake.device, mount_point: fake.mount().into() };
        let mut merge = scanner.look(Some(&target));
        merge.add(detached);
        assert_eq!(merge.finish().that_count().len(), 0);
    }

    /// A file without a name is still held, and so is one that cannot be looked at but by its
    /// mount.
    #[test]
    fn deleted_files_and_directories() {
        let fake = Fake::new();
        fake.process(20, "a", 1000, "own");
        fake.open(20, 3, "dir", "0300000");
        fake.point(20, 4, &format!("{}/gone (deleted)", fake.mount()), "0100002", 2);
        fake.point(20, 5, "/elsewhere (deleted)", "0100002", 77);
        assert_eq!(
            fake.rows(&[handle("gone", "rw", 20, 5.0, 1)]),
            ["20 handle rw 5 1 gone", "20 directory r - - dir"]
        );
    }

    /// Bind mounts hold it; copies in other namespaces do unless they go with it. A file seen
    /// through one of them has another path and is the same file.
    #[test]
    fn mounts_elsewhere() {
        let fake = Fake::new();
        let mount = fake.mount();
        fake.mounts(DAEMON, &[(2, 1, "/", &mount, ""), (3, 1, "/dir", "/srv/bind\\040it", "")]);
        fake.process(20, "service", 0, "slave");
        fake.mounts(20, &[(4, 1, "/", &mount, "")]);
        fake.process(30, "podman", 0, "private");
        fake.mounts(30, &[(5, 6, "/", "/data", "")]);
        fake.file(30, "cgroup", &format!("0::/libpod-{CONTAINER}.scope\n"));
        assert_eq!(fake.rows(&[]), ["- mount - - - /srv/bind it", "30 mount - - - /data"]);
        assert_eq!(fake.holders(&[])[1].container.as_deref(), Some(CONTAINER));
        fake.point(30, 3, "/data/x (deleted)", "0100000", 5);
        fake.point(30, 4, "/srv/bind it/y (deleted)", "0100000", 3);
        let rows = fake.rows(&[]);
        assert_eq!(rows[1..3], ["30 handle r - - dir/y", "30 handle r - - x"]);
    }

    /// What is no text is still shown, and given as bytes besides.
    #[test]
    fn paths_of_any_bytes() {
        let fake = Fake::new();
        let mut odd = handle("", "r", 0, 1.0, 0);
        odd.path = b"caf\xe9".to_vec();
        let holders = fake.holders(&[odd]);
        assert_eq!(holders[0].path, "caf\u{fffd}");
        assert_eq!(holders[0].path_bytes.as_deref(), Some("Y2Fm6Q=="));
    }

    /// Real processes on a real file system: this one's descriptor, and a child's directory.
    #[test]
    fn the_real_proc_shows_this_process_and_its_child() {
        let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let path = directory.path().join("held file");
        let held = fs::File::create(&path).expect("made");
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .current_dir(directory.path())
            .spawn()
            .expect("sleep runs");
        let scanner = Scanner::new(Proc::default(), Path::new("/etc/passwd"), child.id());
        let target = Target { device: number(&path), mount_point: "/dev/shm".into() };
        let before = put_together(&scanner, &target, &[]);
        fs::remove_file(&path).expect("removed");
        let after = put_together(&scanner, &target, &[]);
        child.kill().expect("killed");
        child.wait().expect("reaped");
        drop(held);
        let name = directory.path().file_name().and_then(|name| name.to_str()).expect("text");
        for holders in [before, after] {
            let file = format!("{name}/held file");
            let own = holders.iter().find(|holder| holder.path == file).expect("its descriptor");
            assert_eq!(own.pid, Some(std::process::id()));
            assert_eq!((own.kind.as_str(), own.mode.as_str()), ("handle", "w"));
            let inside = holders.iter().find(|holder| holder.path == name).expect("its directory");
            assert_eq!((inside.pid, inside.kind.as_str()), (Some(child.id()), "cwd"));
            assert_eq!(inside.command.as_deref(), Some("sleep"));
        }
    }
}
