//! The prefix table: which prefix is the longest on the way to a name, and what the directories
//! above the prefixes list. Pure.
//!
//! Every prefix and every directory above one is a node under its whole name, so a lookup hashes
//! one name for each component, however many prefixes there are. A directory keeps its children in
//! order: a listing goes on after the last name it gave, whatever came and went meanwhile.

use crate::base::name::Name;
use crate::mup::net_name::NetName;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

/// Prefixes with what belongs to each.
#[derive(Debug)]
pub struct PrefixTable<T> {
    /// The root is always there.
    nodes: HashMap<NetName, Node<T>>,
    prefixes: usize,
}

#[derive(Debug)]
struct Node<T> {
    /// What belongs to it, if it is a prefix.
    value: Option<T>,
    /// Its children that are prefixes or above one.
    children: BTreeSet<Name>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { value: None, children: BTreeSet::new() }
    }
}

/// Where a name belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a, T> {
    /// To a prefix: the longest one on the way, and how many bytes of the name it is.
    Prefix {
        /// What belongs to the prefix.
        value: &'a T,
        /// The length of the prefix, as names are kept.
        bytes: usize,
    },
    /// It is a directory above prefixes, below none: the router serves it.
    Directory,
    /// To nobody.
    Nowhere,
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self { nodes: HashMap::from([(NetName::root(), Node::default())]), prefixes: 0 }
    }
}

impl<T> PrefixTable<T> {
    /// How many prefixes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prefixes
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prefixes == 0
    }

    /// What belongs to this very prefix.
    #[must_use]
    pub fn get(&self, prefix: &NetName) -> Option<&T> {
        self.nodes.get(prefix)?.value.as_ref()
    }

    /// The longest prefix above this name, not the name itself, and what belongs to it.
    pub fn enclosing_mut(&mut self, name: &NetName) -> Option<(NetName, &mut T)> {
        let is_prefix = |above: &&[u8]| self.nodes.get(*above).is_some_and(|it| it.value.is_some());
        let above = name.cut(name.upwards().skip(1).find(is_prefix)?.len());
        let value = self.nodes.get_mut(&above)?.value.as_mut()?;
        Some((above, value))
    }

    /// Every prefix, in order.
    #[must_use]
    pub fn prefixes(&self) -> Vec<(&NetName, &T)> {
        let nodes = self.nodes.iter();
        let mut prefixes: Vec<_> =
            nodes.filter_map(|(name, node)| Some((name, node.value.as_ref()?))).collect();
        prefixes.sort_unstable_by_key(|(name, _)| *name);
        prefixes
    }

    /// Gives a prefix a new value and returns its old one.
    pub fn insert(&mut self, prefix: &NetName, value: T) -> Option<T> {
        if !self.nodes.contains_key(prefix) {
            self.link(prefix);
        }
        let node = self.nodes.entry(prefix.clone()).or_default();
        let old = node.value.replace(value);
        self.prefixes += usize::from(old.is_none());
        old
    }

    /// Takes a prefix out, and the directories that led to it alone.
    pub fn remove(&mut self, prefix: &NetName) -> Option<T> {
        let value = self.nodes.get_mut(prefix)?.value.take()?;
        self.prefixes -= 1;
        let mut name = prefix.clone();
        while self.nodes.get(&name).is_some_and(Node::is_idle) {
            let (Some(parent), Some(child)) = (name.parent(), last(&name)) else { break };
            self.nodes.remove(&name);
            if let Some(node) = self.nodes.get_mut(&parent) {
                node.children.remove(&child);
            }
            name = parent;
        }
        Some(value)
    }

    /// Makes the nodes above a name, from the name upwards until there is one.
    fn link(&mut self, name: &NetName) {
        let mut below = name.clone();
        while let (Some(parent), Some(child)) = (below.parent(), last(&below)) {
            let was_there = self.nodes.contains_key(&parent);
            self.nodes.entry(parent.clone()).or_default().children.insert(child);
            if was_there {
                return;
            }
            below = parent;
        }
    }

    /// The longest prefix on the way to a name, or what else it is.
    #[must_use]
    pub fn place(&self, name: &NetName) -> Place<'_, T> {
        let mut place = Place::Nowhere;
        let mut reached = None;
        for marked in name.downwards() {
            let Some(node) = self.nodes.get(marked) else { break };
            if let Some(value) = &node.value {
                place = Place::Prefix { value, bytes: marked.len() };
            }
            reached = Some(marked.len());
        }
        match place {
            Place::Nowhere if reached == Some(name.marked().len()) => Place::Directory,
            other => other,
        }
    }

    /// The names in a directory that are prefixes or lead to one, in order, after `after`. None if
    /// there is no such directory here. A directory below a prefix is its owner's; what this says
    /// of it are the prefixes inside.
    #[must_use]
    pub fn list(&self, dir: &NetName, after: Option<&Name>, max: usize) -> Option<Vec<Name>> {
        let node = self.nodes.get(dir)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Some(node.children.range::<Name, _>((from, Bound::Unbounded)).take(max).cloned().collect())
    }
}

impl<T> Node<T> {
    /// Is it neither a prefix nor on the way to one?
    fn is_idle(&self) -> bool {
        self.value.is_none() && self.children.is_empty()
    }
}

/// The last component of a name.
fn last(name: &NetName) -> Option<Name> {
    // A component of a `NetName` has been checked already.
    name.last().and_then(|component| Name::new(component).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn name(path: &str) -> NetName {
        NetName::parse(path.as_bytes()).expect("a good name")
    }

    fn child(bytes: &str) -> Name {
        Name::new(bytes.as_bytes()).expect("a good name")
    }

    fn table(prefixes: &[&str]) -> PrefixTable<String> {
        let mut table = PrefixTable::default();
        for prefix in prefixes {
            table.insert(&name(prefix), (*prefix).to_owned());
        }
        table
    }

    fn owner(table: &PrefixTable<String>, path: &str) -> String {
        match table.place(&name(path)) {
            Place::Prefix { value, bytes } => {
                assert_eq!(bytes, name(value).marked().len());
                value.clone()
            }
            Place::Directory => "directory".to_owned(),
            Place::Nowhere => "nowhere".to_owned(),
        }
    }

    #[test]
    fn the_longest_prefix_wins_and_components_count() {
        let table = table(&["/srv1/docs", "/srv1/docs/inner", "/srv2"]);
        for (path, expected) in [
            ("/", "directory"),
            ("/srv1", "directory"),
            ("/srv1/docs", "/srv1/docs"),
            ("/srv1/docs/a/b", "/srv1/docs"),
            ("/srv1/docs/inner/x", "/srv1/docs/inner"),
            ("/srv1/docs2", "nowhere"),
            ("/srv1/doc", "nowhere"),
            ("/srv2/anything", "/srv2"),
            ("/srv3", "nowhere"),
        ] {
            assert_eq!(owner(&table, path), expected, "{path}");
        }
    }

    #[test]
    fn one_prefix_at_the_root_has_everything() {
        let mut table = table(&["/"]);
        assert_eq!(owner(&table, "/"), "/");
        assert_eq!(owner(&table, "/a/b"), "/");
        assert_eq!(table.remove(&NetName::root()), Some("/".to_owned()));
        assert_eq!(owner(&table, "/"), "directory", "an empty mount still has a root");
        assert_eq!(owner(&table, "/a"), "nowhere");
    }

    #[test]
    fn a_removed_prefix_takes_its_empty_directories_along() {
        let mut table = table(&["/a/b/c", "/a/d"]);
        assert_eq!(table.remove(&name("/a/b/c")), Some("/a/b/c".to_owned()));
        assert_eq!(table.remove(&name("/a/b/c")), None);
        assert_eq!(table.remove(&name("/a")), None, "a directory is no prefix");
        assert_eq!(owner(&table, "/a/b"), "nowhere");
        assert_eq!(owner(&table, "/a"), "directory");
        table.remove(&name("/a/d"));
        assert!(table.is_empty());
        assert_eq!(table.nodes.len(), 1, "the root alone is left");
    }

    #[test]
    fn a_listing_goes_on_after_the_last_name_it_gave() {
        let mut table = table(&["/srv1/docs", "/srv1/scratch", "/srv2/tmp", "/b"]);
        let root = NetName::root();
        assert_eq!(table.list(&root, None, 2), Some(vec![child("b"), child("srv1")]));
        table.remove(&name("/srv1/docs"));
        table.remove(&name("/srv1/scratch"));
        let rest = table.list(&root, Some(&child("srv1")), 10);
        assert_eq!(rest, Some(vec![child("srv2")]), "srv1 is gone, and the cursor holds");
        assert_eq!(table.list(&name("/srv1"), None, 10), None);
        assert_eq!(table.list(&name("/srv2"), None, 10), Some(vec![child("tmp")]));
    }

    /// Few names, so that they meet.
    fn any_name() -> impl Strategy<Value = NetName> {
        proptest::collection::vec("[ab-]{1,2}", 0..4).prop_map(|parts| {
            let path = format!("/{}", parts.join("/"));
            NetName::parse(path.as_bytes()).expect("a good name")
        })
    }

    proptest! {
        /// Against a sorted map and no cleverness: the longest match, the directories, the listing.
        #[test]
        fn as_a_plain_map_would(
            changes in proptest::collection::vec((any_name(), any::<bool>()), 0..24),
            asked in proptest::collection::vec(any_name(), 1..8),
        ) {
            let mut table = PrefixTable::default();
            let mut plain = BTreeMap::new();
            for (at, (prefix, inserts)) in changes.iter().enumerate() {
                if *inserts {
                    prop_assert_eq!(table.insert(prefix, at), plain.insert(prefix.clone(), at));
                } else {
                    prop_assert_eq!(table.remove(prefix), plain.remove(prefix));
                }
            }
            prop_assert_eq!(table.len(), plain.len());
            for name in &asked {
                let longest = plain.iter().filter(|(prefix, _)| name.is_within(prefix));
                let longest = longest.max_by_key(|(prefix, _)| prefix.depth());
                let leads = name.is_root() || plain.keys().any(|prefix| prefix.is_within(name));
                let expected = match longest {
                    Some((prefix, value)) => Place::Prefix { value, bytes: prefix.marked().len() },
                    None if leads => Place::Directory,
                    None => Place::Nowhere,
                };
                prop_assert_eq!(table.place(name), expected);
                let below = plain.keys().filter(|prefix| prefix.is_within(name));
                let children: BTreeSet<Name> = below
                    .filter_map(|prefix| prefix.components().nth(name.depth()))
                    .map(|component| Name::new(component).expect("checked"))
                    .collect();
                let listed = table.list(name, None, usize::MAX).unwrap_or_default();
                prop_assert_eq!(listed, children.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
