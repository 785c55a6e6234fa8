//! Random histories on real mounts, against the same reference as the core.

use crate::compare::compare;
use crate::mounted::{Mounted, can_mount};
use crate::subjects::Directory;

/// Each history in a fresh directory of one mount.
fn histories(mounted: &Mounted, cases: u32) {
    mounted.bounded("the histories", || {
        let mut round = 0;
        compare(cases, || {
            round += 1;
            let root = mounted.at(&round.to_string());
            std::fs::create_dir(&root).expect("a fresh directory");
            Directory(root)
        });
    });
    assert_eq!(mounted.count("defects_total"), 0);
}

#[test]
fn on_memory() {
    if can_mount() {
        histories(&Mounted::memory(""), 60);
    }
}

#[test]
fn on_local() {
    if can_mount() {
        let mounted = Mounted::local("");
        histories(&mounted, 60);
        // What the mount shows is what is there.
        let there = std::fs::read_dir(mounted.backing()).expect("listed").count();
        let shown =
            mounted.bounded("ls", || std::fs::read_dir(mounted.path()).expect("listed").count());
        assert_eq!(there, shown);
    }
}

/// Names and attributes remembered for as long as the kernel likes: whatever is changed through the
/// mount itself must be seen at once all the same.
#[test]
fn on_memory_with_long_memories() {
    if can_mount() {
        let options = "entry_timeout=1h,attr_timeout=1h,negative_timeout=1h";
        histories(&Mounted::memory(options), 40);
    }
}

#[test]
fn on_local_with_everything_posted() {
    if can_mount() {
        histories(&Mounted::source("faulty:local:", "blocking=yes,keep_cache"), 40);
    }
}
