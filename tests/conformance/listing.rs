//! Directory listings: in parts of any size, while names come and go.

use crate::rig::{Rig, mode, refused};
use minirdr::base::status::Errno;
use minirdr::rdbss::operation::operand::{Access, FileKind, NewNode};
use minirdr::rdbss::operation::{Listed, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// Files with these names.
fn fill(rig: &Rig, directory: &Node, names: impl IntoIterator<Item = String>) {
    for name in names {
        let node = NewNode::Special(FileKind::Regular, 0);
        rig.make(directory, &name, node, mode(0o644)).expect("made");
    }
}

fn numbered(count: usize) -> impl Iterator<Item = String> + Clone {
    (0..count).map(|at| format!("name-{at:04}"))
}

/// What an entry takes of the kernel's buffer.
fn bytes(entry: &Listed, with_files: bool) -> usize {
    (24 + entry.name.len()).next_multiple_of(8) + if with_files { 128 } else { 0 }
}

pub fn the_dots_come_first(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    let inner = rig.mkdir(&directory, "sub");
    for (node, above) in [(rig.root(), rig.root()), (inner, directory)] {
        let handle = rig.open_directory(&node).expect("opens");
        let listed = rig.list(handle, 0, 4096, true).expect("listed");
        let dots: Vec<_> =
            listed[..2].iter().map(|entry| (entry.name.as_slice(), entry.number)).collect();
        assert_eq!(dots, [(&b"."[..], node.number().0), (b"..", above.number().0)]);
        assert!(listed[..2].iter().all(|dot| dot.file.is_none()), "never a file of READDIRPLUS");
        rig.close(handle);
    }
}

pub fn every_name_once_whatever_the_budget(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    fill(rig, &directory, numbered(150));
    let handle = rig.open_directory(&directory).expect("opens");
    for budget in [1, 40, 200, 333, 4096, 1 << 20] {
        let mut names = rig.rest(handle, 0, budget);
        names.sort();
        assert_eq!(names, numbered(150).collect::<Vec<_>>(), "{budget} bytes at a time");
    }
    rig.close(handle);
}

/// What does not fit into the kernel's buffer would be lost; the first entry always comes.
pub fn a_budget_is_kept(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    fill(rig, &directory, (1..=60).map(|length| "n".repeat(length * 4)));
    let handle = rig.open_directory(&directory).expect("opens");
    for with_files in [false, true] {
        for budget in [1, 300, 1000, 4096] {
            let mut from = 0;
            loop {
                let listed = rig.list(handle, from, budget, with_files).expect("listed");
                let Some(last) = listed.last() else { break };
                let real: Vec<_> =
                    listed.iter().filter(|entry| !entry.name.starts_with(b".")).collect();
                let used: usize = listed.iter().map(|entry| bytes(entry, with_files)).sum();
                // The core adds the dots, and asks for one more entry even if there is no room.
                assert!(real.len() <= 1 || used <= budget, "{used} of {budget}");
                from = last.next;
            }
        }
    }
    rig.close(handle);
}

pub fn every_position_can_be_returned_to(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    fill(rig, &directory, numbered(40));
    let handle = rig.open_directory(&directory).expect("opens");
    let all = rig.list(handle, 0, 1 << 16, false).expect("listed");
    let names: Vec<_> = all.iter().map(|entry| entry.name.clone()).collect();
    assert_eq!(names.len(), 42, "and the dots");
    for (at, entry) in all.iter().enumerate().rev() {
        let rest = rig.list(handle, entry.next, 1 << 16, false).expect("listed");
        let rest: Vec<_> = rest.iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(rest, names[at + 1..], "from entry {at}");
    }
    rig.close(handle);
}

pub fn a_rewind_shows_what_is_there_now(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    fill(rig, &directory, numbered(3));
    let handle = rig.open_directory(&directory).expect("opens");
    assert_eq!(rig.rest(handle, 0, 99).len(), 3);
    rig.unlink(&directory, "name-0001").expect("unlinked");
    fill(rig, &directory, ["new".to_owned()]);
    let names: BTreeSet<_> = rig.rest(handle, 0, 99).into_iter().collect();
    let wanted = ["name-0000", "name-0002", "new"];
    assert_eq!(names, wanted.into_iter().map(str::to_owned).collect());
    rig.close(handle);
}

/// `rm -r`: what was listed is removed before the listing goes on.
pub fn removing_what_was_listed_skips_nothing(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    fill(rig, &directory, numbered(150));
    let handle = rig.open_directory(&directory).expect("opens");
    let mut from = 0;
    loop {
        let listed = rig.list(handle, from, 300, false).expect("listed");
        let Some(last) = listed.last() else { break };
        from = last.next;
        for entry in listed.iter().filter(|entry| !entry.name.starts_with(b".")) {
            rig.unlink(&directory, &entry.name).expect("unlinked");
        }
    }
    rig.close(handle);
    assert_eq!(rig.names(&directory), Vec::<String>::new());
    rig.rmdir(&rig.root(), "d").expect("empty");
}

/// Whatever happens to other names meanwhile: what stays is seen exactly once.
pub fn what_stays_is_seen_once_while_others_come_and_go(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    fill(rig, &directory, numbered(100));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (over, directory) = (&over, &directory);
            scope.spawn(move || {
                let mut round = 0;
                while !over.load(Ordering::SeqCst) {
                    let name = format!("churn-{thread}-{}", round % 37);
                    fill(rig, directory, [name.clone()]);
                    rig.unlink(directory, &name).expect("unlinked");
                    round += 1;
                }
            });
        }
        for round in 0..20 {
            let budget = [64, 200, 700, 2000][round % 4];
            let seen = count(rig, &directory, budget, round % 2 == 0);
            let stayed = seen.iter().filter(|(name, _)| name.starts_with("name-"));
            let stayed: Vec<_> = stayed.map(|(name, times)| (name.clone(), *times)).collect();
            let wanted: Vec<_> = numbered(100).map(|name| (name, 1)).collect();
            assert_eq!(stayed, wanted, "{budget} bytes at a time");
        }
        over.store(true, Ordering::SeqCst);
    });
}

/// How often each name is seen in one listing.
fn count(rig: &Rig, directory: &Node, budget: usize, with_files: bool) -> BTreeMap<String, usize> {
    let handle = rig.open_directory(directory).expect("opens");
    let (mut seen, mut from) = (BTreeMap::new(), 0);
    loop {
        let listed = rig.list(handle, from, budget, with_files).expect("listed");
        let Some(last) = listed.last() else { break };
        from = last.next;
        for entry in listed {
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            *seen.entry(name).or_insert(0) += 1;
        }
    }
    rig.close(handle);
    seen
}

/// READDIRPLUS says the same as READDIR and LOOKUP.
pub fn entries_say_which_file_they_lead_to(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    rig.file(&directory, "file", b"12345");
    rig.mkdir(&directory, "directory");
    rig.symlink(&directory, "symlink", "x").expect("made");
    let fifo = NewNode::Special(FileKind::NamedPipe, 0);
    rig.make(&directory, "fifo", fifo, mode(0o600)).expect("made");
    let handle = rig.open_directory(&directory).expect("opens");
    for with_files in [false, true] {
        let listed = rig.list(handle, 0, 1 << 16, with_files).expect("listed");
        assert_eq!(listed.len(), 6);
        for entry in &listed[2..] {
            let found = rig.find(&directory, &entry.name).expect("found");
            assert_eq!(entry.number, found.node.number().0);
            assert_eq!(entry.kind, found.attributes.kind);
            let file = entry.file.as_ref();
            assert_eq!(file.is_some(), with_files, "{entry:?}");
            if let Some(file) = file {
                assert!(std::sync::Arc::ptr_eq(&file.node, &found.node));
                assert_eq!(file.attributes.size, found.attributes.size);
            }
        }
    }
    rig.close(handle);
}

pub fn two_handles_list_by_themselves(rig: &Rig) {
    let directory = rig.mkdir(&rig.root(), "d");
    fill(rig, &directory, numbered(30));
    let first = rig.open_directory(&directory).expect("opens");
    let second = rig.open_directory(&directory).expect("opens");
    let begun = rig.list(first, 0, 400, false).expect("listed");
    assert_eq!(rig.rest(second, 0, 400).len(), 30);
    let from = begun.last().expect("some").next;
    assert_eq!(rig.rest(first, from, 400).len() + begun.len() - 2, 30);
    rig.close(first);
    assert_eq!(rig.rest(second, 0, 400).len(), 30);
    rig.close(second);
}

pub fn only_directories_are_listed(rig: &Rig) {
    let file = rig.file(&rig.root(), "f", b"");
    let handle = rig.open(&file, Access::Read);
    refused(rig.list(handle, 0, 4096, false), Errno::EBADF);
    rig.close(handle);
}
