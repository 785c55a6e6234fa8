//! Who holds a mount: the daemon's own handles merged with a scan of `/proc` (cli.md).
//!
//! The handle table knows ages, unsent bytes and what was opened by processes we may not look at.
//! Only `/proc` knows a working directory, a mapping that outlived its descriptor, a descriptor
//! inherited or passed on, a bind mount elsewhere. A handle that the scan sees too is one row.
//!
//! Found by device number, never by asking the mount: it answers while the mount hangs. Threads
//! that left their process's descriptor table or working directory, and descriptors on their way
//! through a socket, are seen by the handle table only.

use crate::base::stop::HandleInfo;
use crate::mgmt::proc::{Access, Device, MountEntry, Proc, users};
use crate::mgmt::proto::Holder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What the kernel appends to the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";
/// Seconds by which a thread may seem younger than the handle it opened, for rounding.
const AGE_SLACK_S: f64 = 1.0;

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
enum Kind {
    Handle,
    Directory,
    Mmap,
    Cwd,
    Root,
    Mount,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Directory => "directory",
            Self::Mmap => "mmap",
            Self::Cwd => "cwd",
            Self::Root => "root",
            Self::Mount => "mount",
        }
    }

    const fn of_handle(directory: bool) -> Self {
        if directory { Self::Directory } else { Self::Handle }
    }
}

/// One thing the scan found; equal ones of a process are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Found {
    pid: Option<u32>,
    kind: Kind,
    path: Vec<u8>,
    access: Access,
}

/// What the scan found, and whose descriptors it was not allowed to see.
#[derive(Debug, Default)]
struct Scan {
    found: BTreeSet<Found>,
    unseen: HashSet<u32>,
}

/// Looks through `/proc`.
#[derive(Clone, Debug)]
pub struct Scanner {
    proc: Proc,
    passwd: PathBuf,
    own_pid: u32,
}

impl Scanner {
    /// One for this system and this process.
    #[must_use]
    pub fn system() -> Self {
        let passwd = PathBuf::from("/etc/passwd");
        Self { proc: Proc::default(), passwd, own_pid: std::process::id() }
    }

    /// One for a tree that looks like `/proc`, as the process `own_pid` of it.
    #[must_use]
    pub fn new(proc: Proc, passwd: &Path, own_pid: u32) -> Self {
        Self { proc, passwd: passwd.to_owned(), own_pid }
    }

    /// Everybody who holds `target`, its open `handles` among them: by process, then kind, then
    /// path; what belongs to no known process comes first.
    #[must_use]
    pub fn holders(&self, target: &Target, handles: &[HandleInfo]) -> Vec<Holder> {
        let pids = self.proc.processes();
        let mounts = Mounts::survey(&self.proc, self.own_pid, &pids, target);
        let mut scan = Scan::default();
        for found in mounts.elsewhere(target) {
            scan.found.insert(found);
        }
        for pid in pids {
            self.scan_process(pid, target, &mounts, &mut scan);
        }
        let merged = self.merge(scan, handles);
        self.dress(merged)
    }

    /// The same for a mount whose device is not known: its handles, and who opened them.
    #[must_use]
    pub fn openers(&self, handles: &[HandleInfo]) -> Vec<Holder> {
        self.dress(self.merge(Scan::default(), handles))
    }

    /// What one process holds.
    fn scan_process(&self, pid: u32, target: &Target, mounts: &Mounts, scan: &mut Scan) {
        let mut add = |kind, access, link: &[u8], mount| {
            let path = mounts.path_of(link, mount);
            scan.found.insert(Found { pid: Some(pid), kind, path, access });
        };
        let device = target.device;
        if let Some(link) = self.proc.link_on(pid, "cwd", device) {
            add(Kind::Cwd, Access::default(), &link, None);
        }
        // The daemon serves the mount and holds nothing of it, whatever its descriptors say.
        if pid == self.own_pid {
            return;
        }
        if let Some(link) = self.proc.link_on(pid, "root", device) {
            add(Kind::Root, Access::default(), &link, None);
        }
        for mapping in self.proc.mappings_on(pid, device) {
            add(Kind::Mmap, mapping.access, &mapping.link, None);
        }
        let ours = |id| mounts.by_id.contains_key(&id);
        let Some(descriptors) = self.proc.descriptors_on(pid, device, &ours) else {
            scan.unseen.insert(pid);
            return;
        };
        for open in descriptors {
            add(Kind::of_handle(open.directory), open.access, &open.link, open.mount);
        }
    }

    /// Makes one row of each handle and each thing found that is no handle's other side.
    fn merge(&self, scan: Scan, handles: &[HandleInfo]) -> Vec<Row> {
        let mut openers = Openers::new(&self.proc);
        let known: Vec<Option<u32>> = handles.iter().map(|handle| openers.find(handle)).collect();
        let Scan { found, unseen } = scan;
        let mut claims = Claims::new(found);
        let mut homeless = Vec::new();
        for (handle, opener) in handles.iter().zip(known) {
            if !claims.by_opener(handle, opener) {
                homeless.push((handle, opener));
            }
        }
        let mut rows = Vec::new();
        for (handle, opener) in homeless {
            let hidden = opener.is_some_and(|pid| unseen.contains(&pid));
            if hidden || !claims.by_anybody(handle) {
                rows.push(Row::of_handle(handle, opener));
            }
        }
        rows.extend(claims.into_rows(handles));
        rows.sort_by(|one, other| {
            let key = |row: &Row| (row.found.pid, row.found.kind);
            key(one).cmp(&key(other)).then_with(|| one.found.path.cmp(&other.found.path))
        });
        rows
    }

    /// Adds what is known of the people.
    fn dress(&self, rows: Vec<Row>) -> Vec<Holder> {
        let users = users(&self.passwd);
        let mut people: HashMap<u32, Person> = HashMap::new();
        let mut holders = Vec::with_capacity(rows.len());
        for row in rows {
            let person = match row.found.pid {
                Some(pid) => {
                    people.entry(pid).or_insert_with(|| Person::ask(&self.proc, pid)).clone()
                }
                None => Person::default(),
            };
            let uid = person.uid.or(row.opened_by_uid);
            let text = std::str::from_utf8(&row.found.path);
            holders.push(Holder {
                pid: row.found.pid,
                command: person.command,
                uid,
                user: uid.and_then(|uid| users.get(&uid).cloned()),
                kind: row.found.kind.word().to_owned(),
                mode: row.found.access.word().to_owned(),
                age_s: row.age_s,
                unsent_bytes: row.unsent_bytes,
                path: String::from_utf8_lossy(&row.found.path).into_owned(),
                path_bytes: text.is_err().then(|| STANDARD.encode(&row.found.path)),
                container: person.container,
            });
        }
        holders
    }
}

/// A holder before it is dressed.
#[derive(Debug)]
struct Row {
    found: Found,
    opened_by_uid: Option<u32>,
    age_s: Option<f64>,
    unsent_bytes: Option<u64>,
}

impl Row {
    fn of_handle(handle: &HandleInfo, pid: Option<u32>) -> Self {
        let (kind, access) = (kind_of(handle), access_of(handle));
        Self {
            found: Found { pid, kind, path: handle.path.clone(), access },
            opened_by_uid: Some(handle.opened_by.uid),
            age_s: Some(handle.age_s),
            unsent_bytes: Some(handle.unsent_bytes),
        }
    }
}

fn kind_of(handle: &HandleInfo) -> Kind {
    Kind::of_handle(handle.kind == Kind::Directory.word())
}

fn access_of(handle: &HandleInfo) -> Access {
    Access { read: handle.mode.contains('r'), write: handle.mode.contains('w') }
}

/// What is known of a process.
#[derive(Clone, Debug, Default)]
struct Person {
    command: Option<String>,
    uid: Option<u32>,
    container: Option<String>,
}

impl Person {
    fn ask(proc: &Proc, pid: u32) -> Self {
        Self {
            command: proc.command(pid),
            // The effective one: whose rights it uses.
            uid: proc.status(pid).and_then(|status| status.uids.get(1).copied()),
            container: proc.container(pid),
        }
    }
}

/// Finds the process that opened a handle, from the thread the kernel named then.
struct Openers<'proc> {
    proc: &'proc Proc,
    /// Process and age of each thread that still exists.
    threads: HashMap<u32, Option<(u32, Option<f64>)>>,
}

impl<'proc> Openers<'proc> {
    fn new(proc: &'proc Proc) -> Self {
        Self { proc, threads: HashMap::new() }
    }

    /// The process; `None` when the kernel did not know the thread, when it is gone, or when the
    /// one of that number began after the handle was opened.
    fn find(&mut self, handle: &HandleInfo) -> Option<u32> {
        let thread = handle.opened_by.pid;
        if thread == 0 {
            return None;
        }
        let proc = self.proc;
        let known = self
            .threads
            .entry(thread)
            .or_insert_with(|| proc.status(thread).map(|status| (status.tgid, proc.age(thread))));
        let (pid, age) = (*known)?;
        let reused = age.is_some_and(|age| age + AGE_SLACK_S < handle.age_s);
        if reused { None } else { Some(pid) }
    }
}

/// What was found, and which handle each thing is the other side of.
struct Claims {
    found: Vec<Found>,
    by_path: HashMap<Vec<u8>, Vec<usize>>,
    /// For each thing found the handles it is, as age and unsent bytes.
    claimed: Vec<Vec<(Access, f64, u64)>>,
}

impl Claims {
    fn new(found: BTreeSet<Found>) -> Self {
        let found: Vec<Found> = found.into_iter().collect();
        let mut by_path: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for (index, one) in found.iter().enumerate() {
            // Directories entered and mounts made are no handles.
            if matches!(one.kind, Kind::Handle | Kind::Directory | Kind::Mmap) {
                by_path.entry(one.path.clone()).or_default().push(index);
            }
        }
        let claimed = vec![Vec::new(); found.len()];
        Self { found, by_path, claimed }
    }

    /// Its opener's descriptor of that path, or else his mapping of it.
    fn by_opener(&mut self, handle: &HandleInfo, opener: Option<u32>) -> bool {
        let Some(opener) = opener else { return false };
        let (kind, access) = (kind_of(handle), access_of(handle));
        let his = |&index: &usize| self.found[index].pid == Some(opener) && self.suits(index, kind);
        let best = self.at(handle).filter(his).min_by_key(|&index| {
            let one = &self.found[index];
            (one.kind != kind, one.access != access)
        });
        self.claim(handle, best)
    }

    /// Somebody else's descriptor or mapping of that path that no handle explains: inherited, or
    /// passed on by an opener who closed his.
    fn by_anybody(&mut self, handle: &HandleInfo) -> bool {
        let (kind, access) = (kind_of(handle), access_of(handle));
        let free = |&index: &usize| self.claimed[index].is_empty() && self.suits(index, kind);
        let fits = |&index: &usize| {
            let one = &self.found[index];
            one.kind == Kind::Mmap || one.access == access
        };
        let best = self.at(handle).filter(free).filter(fits).min_by_key(|&index| {
            let one = &self.found[index];
            (one.kind != kind, one.pid)
        });
        self.claim(handle, best)
    }

    fn suits(&self, index: usize, kind: Kind) -> bool {
        let found = self.found[index].kind;
        found == kind || (found == Kind::Mmap && kind == Kind::Handle)
    }

    fn at(&self, handle: &HandleInfo) -> impl Iterator<Item = usize> + use<'_> {
        self.by_path.get(&handle.path).into_iter().flatten().copied()
    }

    fn claim(&mut self, handle: &HandleInfo, index: Option<usize>) -> bool {
        let Some(index) = index else { return false };
        self.claimed[index].push((access_of(handle), handle.age_s, handle.unsent_bytes));
        true
    }

    fn into_rows(self, handles: &[HandleInfo]) -> Vec<Row> {
        let mut oldest: HashMap<&[u8], f64> = HashMap::new();
        for handle in handles {
            let age = oldest.entry(&handle.path).or_insert(handle.age_s);
            *age = age.max(handle.age_s);
        }
        let mut rows = Vec::new();
        for (found, claimed) in self.found.into_iter().zip(self.claimed) {
            let row = |found, age_s, unsent_bytes| Row {
                found,
                opened_by_uid: None,
                age_s,
                unsent_bytes,
            };
            if claimed.is_empty() {
                // It shares somebody's open of that path, so it is at most as old as the oldest.
                let shares = matches!(found.kind, Kind::Handle | Kind::Directory | Kind::Mmap);
                let age = oldest.get(found.path.as_slice()).copied().filter(|_| shares);
                rows.push(row(found, age, None));
                continue;
            }
            for (access, age, unsent) in claimed {
                let mut found = found.clone();
                if found.kind != Kind::Mmap {
                    found.access = access;
                }
                rows.push(row(found, Some(age), Some(unsent)));
            }
        }
        rows
    }
}

/// The mounts of one namespace, as a process in it sees them.
#[derive(Debug)]
struct Table {
    seen_by: u32,
    entries: Vec<MountEntry>,
}

/// The mounts of every namespace we may look at.
#[derive(Debug)]
struct Mounts {
    own: Table,
    /// By namespace, without the daemon's own.
    others: BTreeMap<OsString, Table>,
    /// Those of our device, in any namespace.
    by_id: HashMap<u64, MountEntry>,
}

impl Mounts {
    fn survey(proc: &Proc, own_pid: u32, pids: &[u32], target: &Target) -> Self {
        let own = Table { seen_by: own_pid, entries: proc.mounts(own_pid) };
        let own_namespace = proc.mount_namespace(own_pid);
        let mut seen_by: BTreeMap<OsString, u32> = BTreeMap::new();
        for &pid in pids {
            let Some(namespace) = proc.mount_namespace(pid) else { continue };
            if Some(&namespace) == own_namespace.as_ref() {
                continue;
            }
            // A process in a changed root sees only the mounts beneath: prefer one that is not.
            let known = seen_by.get(&namespace).copied();
            if known.is_none_or(|known| !sees_all(proc, known) && sees_all(proc, pid)) {
                seen_by.insert(namespace, pid);
            }
        }
        let table = |pid| Table { seen_by: pid, entries: proc.mounts(pid) };
        let others: BTreeMap<_, _> =
            seen_by.into_iter().map(|(namespace, pid)| (namespace, table(pid))).collect();
        let entries = others.values().chain([&own]).flat_map(|table| &table.entries);
        let by_id = entries
            .filter(|entry| entry.device == target.device)
            .map(|entry| (entry.id, entry.clone()))
            .collect();
        Self { own, others, by_id }
    }

    /// Mounts of the device other than the one in question, without those that go when it goes.
    fn elsewhere(&self, target: &Target) -> Vec<Found> {
        let ours = |entry: &&MountEntry| entry.device == target.device;
        let at = target.mount_point.as_os_str().as_bytes();
        // Of several at one place the last is on top.
        let main = self.own.entries.iter().filter(ours).rfind(|entry| entry.mount_point == at);
        let found = |entry: &MountEntry, pid| Found {
            pid,
            kind: Kind::Mount,
            path: entry.mount_point.clone(),
            access: Access::default(),
        };
        let here = self.own.entries.iter().filter(ours);
        let here = here.filter(|entry| main.is_none_or(|main| main.id != entry.id));
        let mut all: Vec<Found> = here.map(|entry| found(entry, None)).collect();
        for table in self.others.values() {
            let stays = |entry: &&MountEntry| {
                !main.is_some_and(|main| goes_with(entry, table, main, &self.own))
            };
            let there = table.entries.iter().filter(ours).filter(stays);
            all.extend(there.map(|entry| found(entry, Some(table.seen_by))));
        }
        all
    }

    /// The path below the mount's root of what the kernel spells `link`, seen through mount number
    /// `mount` if that is known.
    fn path_of(&self, link: &[u8], mount: Option<u64>) -> Vec<u8> {
        let link = link.strip_suffix(DELETED).unwrap_or(link);
        let through = mount.and_then(|id| self.by_id.get(&id));
        if let Some(path) = through.and_then(|entry| below(link, entry)) {
            return path;
        }
        let fits = self.by_id.values().filter_map(|entry| Some((entry, below(link, entry)?)));
        let best = fits.max_by_key(|(entry, _)| entry.mount_point.len()).map(|(_, path)| path);
        // Of a mount that is in no namespace any more the kernel spells paths from its root.
        best.unwrap_or_else(|| without_leading_slash(link).to_owned())
    }
}

/// Is this process's root its namespace's root?
fn sees_all(proc: &Proc, pid: u32) -> bool {
    proc.link(pid, "root").is_some_and(|root| root == b"/")
}

/// Would unmounting `main` take `entry`, of another namespace, away too? It does where the mount it
/// is mounted in receives from the one `main` is mounted in, at the same place.
fn goes_with(entry: &MountEntry, table: &Table, main: &MountEntry, own: &Table) -> bool {
    let parent = |table: &Table, entry: &MountEntry| {
        table.entries.iter().find(|other| other.id == entry.parent).cloned()
    };
    let (Some(theirs), Some(ours)) = (parent(table, entry), parent(own, main)) else {
        return false;
    };
    let Some(group) = ours.shared else { return false };
    let receives = theirs.shared == Some(group) || theirs.master == Some(group);
    receives && below(&entry.mount_point, &theirs) == below(&main.mount_point, &ours)
}

/// The path from the file system's root of what is at `path` below the mount point of `entry`.
fn below(path: &[u8], entry: &MountEntry) -> Option<Vec<u8>> {
    let point = entry.mount_point.strip_suffix(b"/").unwrap_or(&entry.mount_point);
    let rest = path.strip_prefix(point)?;
    if !rest.is_empty() && !rest.starts_with(b"/") {
        return None;
    }
    let (root, rest) = (trimmed(&entry.root), trimmed(rest));
    let mut whole = root.to_owned();
    if !root.is_empty() && !rest.is_empty() {
        whole.push(b'/');
    }
    whole.extend_from_slice(rest);
    Some(whole)
}

fn without_leading_slash(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").unwrap_or(path)
}

fn trimmed(path: &[u8]) -> &[u8] {
    let path = without_leading_slash(path);
    path.strip_suffix(b"/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Caller, Generation, HandleNumber};
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
            scanner.holders(&target, handles)
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
            opened_by: Caller { pid: thread, uid: 1000, gid: 1000 },
            generation: Generation(1),
            age_s,
            unsent_bytes,
            flushed: false,
            survivor: false,
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
        let before = scanner.holders(&target, &[]);
        fs::remove_file(&path).expect("removed");
        let after = scanner.holders(&target, &[]);
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
