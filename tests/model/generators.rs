//! Random steps over few names, so that most of them meet something.

use crate::reference::{Path, Step};
use proptest::collection::vec;
use proptest::prelude::*;

fn path() -> impl Strategy<Value = Path> {
    vec(prop_oneof!["a", "b", "c", "d"], 1..=3)
}

/// One step.
pub fn step() -> impl Strategy<Value = Step> {
    let bytes = vec(any::<u8>(), 1..300);
    prop_oneof![
        4 => path().prop_map(Step::Create),
        3 => (path(), 0_u16..9000, bytes).prop_map(|(path, at, data)| Step::Write(path, at, data)),
        3 => path().prop_map(Step::Read),
        1 => (path(), 0_u16..9000).prop_map(|(path, size)| Step::Truncate(path, size)),
        4 => path().prop_map(Step::MakeDirectory),
        2 => path().prop_map(Step::Unlink),
        2 => path().prop_map(Step::RemoveDirectory),
        3 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Step::Link(from, to)),
        1 => ("no-[a-z]{1,9}", path()).prop_map(|(target, path)| Step::Symlink(target, path)),
        1 => path().prop_map(Step::ReadLink),
        2 => path().prop_map(Step::List),
        2 => path().prop_map(Step::Stat),
    ]
}
