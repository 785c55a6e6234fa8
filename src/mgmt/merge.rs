//! The daemon's own handles, one after another, each put together with what the scan of `/proc`
//! found of it. However many there are, so many rows are made and no more ([`MERGED_MAX`]); the
//! handles beyond are counted, and what the scan found of them is not listed as something else.

use crate::base::ids::HandleNumber;
use crate::base::limits::MERGED_MAX;
use crate::base::stop::HandleInfo;
use crate::mgmt::holders::{Found, Kind, Person, Scan};
use crate::mgmt::proc::{Access, Proc};
use crate::mgmt::proto::Holder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Seconds by which a thread may seem younger than the handle it opened, for rounding.
const AGE_SLACK_S: f64 = 1.0;

/// A merge under way.
pub struct Merge<'proc> {
    openers: Openers<'proc>,
    users: HashMap<u32, String>,
    claims: Claims,
    /// Processes whose descriptors we did not see.
    unseen: HashSet<u32>,
    incomplete: bool,
    /// The handles that become rows.
    kept: Vec<HandleInfo>,
    /// Of these, those whose opener was not seen to have them, and the opener.
    homeless: Vec<(usize, Option<u32>)>,
    more: u64,
    more_detached: u64,
    /// So many handles become rows.
    pub(in crate::mgmt) most: usize,
}

impl<'proc> Merge<'proc> {
    /// One that begins with what the scan found.
    pub(in crate::mgmt) fn new(proc: &'proc Proc, users: HashMap<u32, String>, scan: Scan) -> Self {
        Self {
            openers: Openers { proc, threads: HashMap::new() },
            users,
            claims: Claims::new(scan.found),
            unseen: scan.unseen,
            incomplete: scan.incomplete,
            kept: Vec::new(),
            homeless: Vec::new(),
            more: 0,
            more_detached: 0,
            most: MERGED_MAX,
        }
    }

    /// Takes one handle in.
    pub fn add(&mut self, handle: HandleInfo) {
        let opener = self.openers.find(&handle);
        if self.kept.len() < self.most {
            if !self.claims.by_opener(&handle, opener) {
                self.homeless.push((self.kept.len(), opener));
            }
            self.kept.push(handle);
            return;
        }
        self.claims.explain(&handle, opener);
        match handle.detached {
            true => self.more_detached += 1,
            false => self.more += 1,
        }
    }

    /// All holders: by process, then kind, then path; what belongs to no known process comes first.
    #[must_use]
    pub fn finish(mut self) -> Holders<'proc> {
        let mut rows = Vec::new();
        for (index, opener) in self.homeless {
            let handle = &self.kept[index];
            let hidden = opener.is_some_and(|pid| self.unseen.contains(&pid));
            if hidden || !self.claims.by_anybody(handle) {
                rows.push(Row::of_handle(handle, opener));
            }
        }
        rows.extend(self.claims.into_rows(&self.kept));
        rows.sort_by(|one, other| {
            let key = |row: &Row| (row.found.pid, row.found.kind);
            key(one).cmp(&key(other)).then_with(|| one.found.path.cmp(&other.found.path))
        });
        Holders {
            proc: self.openers.proc,
            users: self.users,
            people: HashMap::new(),
            rows: rows.into_iter(),
            more: self.more,
            more_detached: self.more_detached,
            incomplete: self.incomplete,
        }
    }
}

/// Those who hold a mount, one after another.
pub struct Holders<'proc> {
    proc: &'proc Proc,
    users: HashMap<u32, String>,
    people: HashMap<u32, Person>,
    rows: std::vec::IntoIter<Row>,
    /// Handles that are open beside them.
    pub more: u64,
    /// And handles that were detached.
    pub more_detached: u64,
    /// The scan of `/proc` was cut off: there was too much to look at.
    pub incomplete: bool,
}

impl Holders<'_> {
    /// Without the handles that were detached: nobody waits for those.
    #[must_use]
    pub fn that_count(self) -> Self {
        let rows: Vec<Row> = self.rows.filter(|row| !row.is_detached()).collect();
        Self { rows: rows.into_iter(), more_detached: 0, ..self }
    }
}

impl ExactSizeIterator for Holders<'_> {}

impl Iterator for Holders<'_> {
    type Item = Holder;

    /// The next one, with what is known of the people.
    fn next(&mut self) -> Option<Holder> {
        let row = self.rows.next()?;
        let person = match row.found.pid {
            Some(pid) => {
                self.people.entry(pid).or_insert_with(|| Person::ask(self.proc, pid)).clone()
            }
            None => Person::default(),
        };
        let uid = person.uid.or(row.opened_by_uid);
        let kind = if row.is_detached() { "detached" } else { row.found.kind.word() };
        let text = std::str::from_utf8(&row.found.path);
        Some(Holder {
            pid: row.found.pid,
            command: person.command,
            uid,
            user: uid.and_then(|uid| self.users.get(&uid).cloned()),
            kind: kind.to_owned(),
            mode: row.found.access.word().to_owned(),
            age_s: row.side.map(|side| side.age_s).or(row.age_s),
            unsent_bytes: row.side.map(|side| side.unsent_bytes),
            path: String::from_utf8_lossy(&row.found.path).into_owned(),
            path_bytes: text.is_err().then(|| STANDARD.encode(&row.found.path)),
            container: person.container,
            handle: row.side.map(|side| side.handle),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

/// What the handle table knows of a holder.
#[derive(Clone, Copy, Debug)]
struct Side {
    handle: HandleNumber,
    access: Access,
    age_s: f64,
    unsent_bytes: u64,
    detached: bool,
}

impl Side {
    fn of(handle: &HandleInfo) -> Self {
        Self {
            handle: handle.handle,
            access: access_of(handle),
            age_s: handle.age_s,
            unsent_bytes: handle.unsent_bytes,
            detached: handle.detached,
        }
    }
}

/// A holder before it is dressed.
#[derive(Debug)]
struct Row {
    found: Found,
    opened_by_uid: Option<u32>,
    /// As far as it can be told without a handle of its own.
    age_s: Option<f64>,
    side: Option<Side>,
}

impl Row {
    fn of_handle(handle: &HandleInfo, pid: Option<u32>) -> Self {
        let (kind, access) = (kind_of(handle), access_of(handle));
        Self {
            found: Found { pid, kind, path: handle.path.clone(), access },
            opened_by_uid: Some(handle.opened_by.uid),
            age_s: None,
            side: Some(Side::of(handle)),
        }
    }

    fn is_detached(&self) -> bool {
        self.side.is_some_and(|side| side.detached)
    }
}

fn kind_of(handle: &HandleInfo) -> Kind {
    Kind::of_handle(handle.kind == Kind::Directory.word())
}

fn access_of(handle: &HandleInfo) -> Access {
    Access { read: handle.mode.contains('r'), write: handle.mode.contains('w') }
}

/// Finds the process that opened a handle, from the thread the kernel named then.
struct Openers<'proc> {
    proc: &'proc Proc,
    /// Process and age of each thread that still exists.
    threads: HashMap<u32, Option<(u32, Option<f64>)>>,
}

impl Openers<'_> {
    /// The process; `None` when the kernel did not know the thread, when it is gone, or when the
    /// one of that number began after the handle was opened.
    fn find(&mut self, handle: &HandleInfo) -> Option<u32> {
        let thread = handle.opened_by.pid;
        if thread == 0 {
            return None;
        }
        if self.threads.len() > MERGED_MAX {
            self.threads.clear();
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
    /// In order: by process first.
    found: Vec<Found>,
    by_path: HashMap<Vec<u8>, Vec<usize>>,
    /// For each thing found the handles it is.
    claimed: Vec<Vec<Side>>,
    /// And whether it is one that is counted only.
    explained: Vec<bool>,
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
        let (claimed, explained) = (vec![Vec::new(); found.len()], vec![false; found.len()]);
        Self { found, by_path, claimed, explained }
    }

    /// Its opener's descriptor of that path, or else his mapping of it.
    fn by_opener(&mut self, handle: &HandleInfo, opener: Option<u32>) -> bool {
        let best = self.of_opener(handle, opener);
        self.claim(handle, best)
    }

    /// The same for a handle that gets no row: what was found of it needs none either.
    fn explain(&mut self, handle: &HandleInfo, opener: Option<u32>) {
        if let Some(index) = self.of_opener(handle, opener) {
            self.explained[index] = true;
        }
    }

    fn of_opener(&self, handle: &HandleInfo, opener: Option<u32>) -> Option<usize> {
        let opener = Some(opener?);
        let (kind, access) = (kind_of(handle), access_of(handle));
        let at = self.by_path.get(&handle.path)?;
        let first = at.partition_point(|&index| self.found[index].pid < opener);
        let his = at[first..].iter().take_while(|&&index| self.found[index].pid == opener);
        his.copied().filter(|&index| self.suits(index, kind)).min_by_key(|&index| {
            let one = &self.found[index];
            (one.kind != kind, one.access != access)
        })
    }

    /// Somebody else's descriptor or mapping of that path that no handle explains: inherited, or
    /// passed on by an opener who closed his.
    fn by_anybody(&mut self, handle: &HandleInfo) -> bool {
        let (kind, access) = (kind_of(handle), access_of(handle));
        let free = |&index: &usize| {
            self.claimed[index].is_empty() && !self.explained[index] && self.suits(index, kind)
        };
        let fits = |&index: &usize| {
            let one = &self.found[index];
            one.kind == Kind::Mmap || one.access == access
        };
        let at = self.by_path.get(&handle.path).into_iter().flatten().copied();
        let best = at.filter(free).filter(fits).min_by_key(|&index| {
            let one = &self.found[index];
            (one.kind != kind, one.pid)
        });
        self.claim(handle, best)
    }

    fn suits(&self, index: usize, kind: Kind) -> bool {
        let found = self.found[index].kind;
        found == kind || (found == Kind::Mmap && kind == Kind::Handle)
    }

    fn claim(&mut self, handle: &HandleInfo, index: Option<usize>) -> bool {
        let Some(index) = index else { return false };
        self.claimed[index].push(Side::of(handle));
        true
    }

    fn into_rows(self, handles: &[HandleInfo]) -> Vec<Row> {
        let mut oldest: HashMap<&[u8], f64> = HashMap::new();
        for handle in handles {
            let age = oldest.entry(&handle.path).or_insert(handle.age_s);
            *age = age.max(handle.age_s);
        }
        let mut rows = Vec::new();
        let all = self.found.into_iter().zip(self.claimed).zip(self.explained);
        for ((found, claimed), explained) in all {
            let row = |found, age_s, side| Row { found, opened_by_uid: None, age_s, side };
            if claimed.is_empty() {
                // It shares somebody's open of that path, so it is at most as old as the oldest.
                let shares = matches!(found.kind, Kind::Handle | Kind::Directory | Kind::Mmap);
                let age = oldest.get(found.path.as_slice()).copied().filter(|_| shares);
                if !explained {
                    rows.push(row(found, age, None));
                }
                continue;
            }
            for side in claimed {
                let mut found = found.clone();
                if found.kind != Kind::Mmap {
                    found.access = side.access;
                }
                rows.push(row(found, None, Some(side)));
            }
        }
        rows
    }
}
