//! The mounts of every namespace: where else a file system is mounted, and what a path seen through
//! one of its mounts is below its root.

use crate::mgmt::holders::{Found, Kind, Target};
use crate::mgmt::proc::{Access, MountEntry, Proc};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// What the kernel appends to the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";

/// The mounts of one namespace, as a process in it sees them.
#[derive(Debug)]
struct Table {
    seen_by: u32,
    entries: Vec<MountEntry>,
}

/// The mounts of every namespace we may look at.
#[derive(Debug)]
pub(in crate::mgmt) struct Mounts {
    own: Table,
    /// By namespace, without the daemon's own.
    others: BTreeMap<OsString, Table>,
    /// Those of our device, in any namespace.
    pub by_id: HashMap<u64, MountEntry>,
}

impl Mounts {
    pub fn survey(proc: &Proc, own_pid: u32, pids: &[u32], target: &Target) -> Self {
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
    pub fn elsewhere(&self, target: &Target) -> Vec<Found> {
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
    pub fn path_of(&self, link: &[u8], mount: Option<u64>) -> Vec<u8> {
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
