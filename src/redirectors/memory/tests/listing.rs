//! Listings: cookies, budgets, changes while one is under way.

use super::*;

fn query(from: u64, budget_bytes: usize) -> DirectoryQuery {
    DirectoryQuery { from, budget_bytes, with_files: false }
}

/// Goes through a listing entry by entry, doing something after each.
fn walk(rig: &Rig, directory: &Handle, mut each: impl FnMut(&str)) -> Vec<String> {
    let mut seen = Vec::new();
    let mut from = 0;
    loop {
        let entries = rig.list(directory, query(from, 1));
        assert!(entries.len() <= 1, "the budget is one byte");
        let Some(entry) = entries.into_iter().next() else { return seen };
        assert!(entry.next > from, "cookies rise and are not 0");
        from = entry.next;
        let name = entry.name.to_string();
        each(&name);
        seen.push(name);
        assert!(seen.len() < 1000, "the listing does not end");
    }
}

fn with_files(names: &[&str]) -> (Rig, Handle) {
    let rig = Rig::new();
    for name in names {
        rig.create(&rig.root, name);
    }
    let handle = rig.open(&rig.root, READ).expect("opened");
    (rig, handle)
}

#[test]
fn entries_come_in_the_order_they_were_made() {
    let (rig, handle) = with_files(&["c", "a", "b"]);
    assert_eq!(walk(&rig, &handle, |_| {}), ["c", "a", "b"]);
    assert_eq!(walk(&rig, &handle, |_| {}), ["c", "a", "b"], "and again from the beginning");
}

#[test]
fn entries_say_which_file_they_lead_to() {
    let (rig, handle) = with_files(&["f"]);
    let directory = rig.mkdir(&rig.root, "d");
    let plain = rig.list(&handle, query(0, 4096));
    assert!(plain.iter().all(|entry| entry.found.is_none()));
    assert_eq!(plain[1].kind, FileKind::Directory);
    assert_eq!(plain[1].number, directory.identity.number);
    let query = DirectoryQuery { with_files: true, ..query(0, 4096) };
    let found = rig.list(&handle, query)[1].found.clone().expect("asked for");
    assert_eq!((found.identity, found.attributes), (directory.identity, rig.stat(&directory)));
    rig.create(&found, "through the extension");
    assert_eq!(rig.names(&directory), ["through the extension"]);
}

#[test]
fn budgets_are_kept_to_the_byte() {
    let (rig, handle) = with_files(&["12345678", "123456789", "x"]);
    let count = |budget, with_files| {
        rig.list(&handle, DirectoryQuery { with_files, ..query(0, budget) }).len()
    };
    // 24 + 8, 24 + 9 rounded up to 40, 24 + 1 rounded up to 32.
    assert_eq!([count(0, false), count(71, false), count(72, false)], [1, 1, 2]);
    assert_eq!([count(103, false), count(104, false)], [2, 3]);
    assert_eq!([count(327, true), count(328, true)], [1, 2]);
}

#[test]
fn a_listing_sees_what_stays_exactly_once() {
    let (rig, handle) = with_files(&["a", "b", "c", "d", "e"]);
    let mut removed = false;
    let seen = walk(&rig, &handle, |name| {
        if name == "b" && !removed {
            removed = true;
            rig.unlink(&rig.root, "a").expect("removed");
            rig.unlink(&rig.root, "c").expect("removed");
            rig.create(&rig.root, "a");
            rig.create(&rig.root, "f");
        }
    });
    assert_eq!(seen, ["a", "b", "d", "e"], "new ones come after where it was to end");
    assert_eq!(rig.names(&rig.root), ["b", "d", "e", "a", "f"]);
}

#[test]
fn a_listing_that_renames_or_copies_what_it_sees_ends() {
    let (rig, handle) = with_files(&["a", "b"]);
    let seen = walk(&rig, &handle, |name| {
        let renamed = format!("{name}.bak");
        rig.rename((&rig.root, name), (&rig.root, &renamed), RenameMode::Replace).expect("moved");
    });
    assert_eq!(seen, ["a", "b"]);
    let seen = walk(&rig, &handle, |name| drop(rig.create(&rig.root, &format!("{name}.copy"))));
    assert_eq!(seen, ["a.bak", "b.bak"]);
    assert_eq!(rig.names(&rig.root).len(), 4);
}

#[test]
fn a_file_renamed_in_its_directory_keeps_its_place() {
    let (rig, handle) = with_files(&["a", "b", "c"]);
    let seen = walk(&rig, &handle, |seen| {
        if seen == "a" {
            rig.rename((&rig.root, "b"), (&rig.root, "d"), RenameMode::Replace).expect("moved");
        }
    });
    assert_eq!(seen, ["a", "d", "c"]);
}

#[test]
fn a_file_saved_over_is_seen_by_a_listing_under_way() {
    let (rig, handle) = with_files(&["document", "other", "temporary"]);
    let first = rig.list(&handle, query(0, 1));
    assert_eq!(first[0].name, name("document"));
    let moved = rig.rename((&rig.root, "temporary"), (&rig.root, "other"), RenameMode::Replace);
    moved.expect("moved");
    let rest = rig.list(&handle, query(first[0].next, 4096));
    assert_eq!(rest.iter().map(|entry| entry.name.to_string()).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn an_open_that_never_began_can_go_on() {
    let (rig, handle) = with_files(&["a", "b", "c"]);
    let first = rig.list(&handle, query(0, 1));
    let reclaimed = rig.open(&rig.root, READ).expect("opened");
    assert_eq!(rig.list(&reclaimed, query(first[0].next, 4096)).len(), 2);
    assert!(rig.list(&reclaimed, query(u64::MAX, 4096)).is_empty());
}

#[test]
fn a_large_directory_costs_no_more_an_entry_than_a_small_one() {
    let rig = Rig::new();
    let file = rig.create(&rig.root, "file").file;
    let directory = rig.mkdir(&rig.root, "large");
    for number in 0..20_000 {
        rig.link(&file, &directory, &number.to_string()).expect("linked");
    }
    assert!(rig.has(&directory, "19999") && !rig.has(&directory, "20000"));
    let handle = rig.open(&directory, READ).expect("opened");
    let (mut from, mut seen) = (0, 0);
    loop {
        let entries = rig.list(&handle, query(from, 4096));
        let Some(last) = entries.last() else { break };
        from = last.next;
        seen += entries.len();
        assert!(entries.len() <= 4096 / 32);
    }
    assert_eq!(seen, 20_000);
    for number in 0..20_000 {
        rig.unlink(&directory, &number.to_string()).expect("removed");
    }
    assert_eq!((rig.stat(&file).links, rig.names(&directory).len()), (1, 0));
}
