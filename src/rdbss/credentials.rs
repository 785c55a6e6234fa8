//! The supplementary groups of a caller, which FUSE does not send (fuse.md 2.1).

use std::collections::BTreeSet;

/// The groups of a thread, sorted; `None` when they cannot be known: the kernel did not name it, it
/// is gone, or `/proc` hides it.
#[must_use]
pub fn groups_of(thread: u32) -> Option<Vec<u32>> {
    if thread == 0 {
        return None;
    }
    parse(&std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?)
}

fn parse(status: &str) -> Option<Vec<u32>> {
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"))?;
    let groups: Result<BTreeSet<u32>, _> = line.split_whitespace().map(str::parse).collect();
    Some(groups.ok()?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_are_read_or_unknown() {
        assert_eq!(parse("Name:\tx\nGroups:\t7 5 5 \nNStgid:\t1\n"), Some(vec![5, 7]));
        assert_eq!(parse("Groups:\t\n"), Some(Vec::new()));
        assert_eq!(parse("Name:\tx\n"), None);
        assert_eq!(parse("Groups:\tfive\n"), None);
        assert_eq!(groups_of(0), None);
        assert!(groups_of(std::process::id()).is_some());
    }
}
