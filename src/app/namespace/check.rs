//! What providers of one mount may be, wherever they come from: a configuration file, or a command.
//! Pure.

use crate::app::namespace::{NamespaceConfig, NetName, ProviderConfig};
use crate::app::options::{UsageError, split_words};
use crate::base::limits::{NAME_BYTES_MAX, NET_NAME_BYTES_MAX, SHARES_MAX};
use crate::base::name::{PLAIN_NAME_RULE, is_plain_name};
use crate::rdbss::objects::number_space::Tag;
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

const _: () = assert!(SHARES_MAX < Tag::MAX.get() as usize, "every share has a tag, 0 is none's");

/// What of a provider was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The provider as a whole.
    Whole,
    /// Its name.
    Name,
    /// Its prefix of this index.
    Prefix(usize),
}

/// Why providers were refused: the first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Refused {
    /// Which provider, by its index.
    pub provider: usize,
    /// What of it.
    pub part: Part,
    /// One line: what is wrong, and what would be right.
    pub what: String,
}

/// Reads a prefix as people write it.
///
/// # Errors
/// One line that names it: it is not absolute, the root, too long, or has a component that no name
/// can be.
pub fn parse_prefix(text: &str) -> Result<NetName, UsageError> {
    let wrong = |what: &str| Err(UsageError(format!("prefix {}: {what}", quoted(text))));
    if text.is_empty() {
        return wrong("it is empty; write one such as \"/srv1/docs\"");
    }
    let Some(below) = text.strip_prefix('/') else {
        return wrong(&format!("it is not absolute; write {}", quoted(&format!("/{text}"))));
    };
    let mut components = below.split('/').filter(|component| !component.is_empty()).peekable();
    if components.peek().is_none() {
        return wrong("the whole mount is no prefix; mount that source directly: mount SOURCE DIR");
    }
    for component in components {
        if component == "." || component == ".." {
            return wrong(&format!("{component:?} is no name; write the prefix without it"));
        }
        if component.len() > NAME_BYTES_MAX {
            return wrong(&format!("a name in it is longer than {NAME_BYTES_MAX} bytes"));
        }
        if component.contains('\0') {
            return wrong("it has a NUL in it, which no name can have");
        }
    }
    // Everything but the length has been looked at.
    NetName::parse(text.as_bytes()).or_else(|_| {
        wrong(&format!("it is longer than {NET_NAME_BYTES_MAX} bytes, the most a path may have"))
    })
}

/// Reads options of a provider's mini-redirector as `-o` has them; whose they are is not looked at.
///
/// # Errors
/// One line: a quote is not closed.
pub fn parse_provider_options(text: &str) -> Result<Vec<(String, String)>, UsageError> {
    let split = |word: String| match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (word, String::new()),
    };
    Ok(split_words(text)?.into_iter().map(split).collect())
}

/// Most characters of a value that a line repeats.
const QUOTED_MAX: usize = 80;

/// A value, in quotes, for one line of an error.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

impl NamespaceConfig {
    /// May a mount have these providers? `control_dir` is the name of the mount's own directory in
    /// its root, if it has one.
    ///
    /// # Errors
    /// The first provider that may not be, and why.
    pub fn check(&self, control_dir: Option<&str>) -> Result<(), Refused> {
        let mut names = HashSet::new();
        let mut owners = BTreeMap::new();
        for (index, provider) in self.providers.iter().enumerate() {
            let refused = |part, what| Refused { provider: index, part, what };
            check_name(&provider.name).map_err(|what| refused(Part::Name, what))?;
            if !names.insert(&provider.name) {
                let what = format!(
                    "there is a provider {} already; each needs a name of its own",
                    quoted(&provider.name)
                );
                return Err(refused(Part::Name, what));
            }
            if provider.prefixes.is_empty() {
                let what = format!("provider {} has no prefix", quoted(&provider.name));
                return Err(refused(Part::Whole, what));
            }
            for (at, prefix) in provider.prefixes.iter().enumerate() {
                take_prefix(&mut owners, provider, prefix, control_dir)
                    .map_err(|what| refused(Part::Prefix(at), what))?;
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if !is_plain_name(name) {
        return Err(format!("{} cannot name a provider: {PLAIN_NAME_RULE}", quoted(name)));
    }
    if name.len() > NAME_BYTES_MAX {
        let (shown, length) = (quoted(name), name.len());
        return Err(format!("{shown} has {length} bytes; a name has {NAME_BYTES_MAX} at most"));
    }
    Ok(())
}

/// Gives a prefix to a provider, unless it is somebody's, or would be in somebody's way.
fn take_prefix<'a>(
    owners: &mut BTreeMap<&'a NetName, &'a str>,
    provider: &'a ProviderConfig,
    prefix: &'a NetName,
    control_dir: Option<&str>,
) -> Result<(), String> {
    let shown = quoted(&prefix.to_string());
    let named = |owner: &str| match owner == provider.name {
        true => "this provider".to_owned(),
        false => format!("provider {}", quoted(owner)),
    };
    if prefix.is_root() {
        return Err(format!("prefix {shown}: the whole mount is no prefix"));
    }
    if prefix.components().next() == control_dir.map(str::as_bytes) {
        return Err(format!(
            "prefix {shown}: the mount has its control directory there; choose another prefix, or \
             another directory with -o control_dir=NAME"
        ));
    }
    if let Some(owner) = owners.get(prefix) {
        return Err(format!(
            "prefix {shown} is there already, for {}; it can be shown once",
            named(owner)
        ));
    }
    let inside = "one inside another's cannot be served; write them side by side";
    let mut above = prefix.parent();
    while let Some(directory) = above {
        if let Some(owner) = owners.get(&directory) {
            let other = quoted(&directory.to_string());
            return Err(format!("prefix {shown} is inside {other} of {}: {inside}", named(owner)));
        }
        above = directory.parent();
    }
    // A directory comes right before what is in it.
    let next = owners.range::<NetName, _>((Bound::Excluded(prefix), Bound::Unbounded)).next();
    if let Some((below, owner)) = next.filter(|(below, _)| below.is_within(prefix)) {
        let other = quoted(&below.to_string());
        return Err(format!("prefix {shown} has {other} of {} in it: {inside}", named(owner)));
    }
    if owners.len() >= SHARES_MAX {
        return Err(format!("prefix {shown} is one too many: a mount has {SHARES_MAX} at most"));
    }
    owners.insert(prefix, &provider.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::source::Source;
    use proptest::prelude::*;

    fn provider(name: &str, prefixes: &[&str]) -> ProviderConfig {
        ProviderConfig {
            name: name.to_owned(),
            prefixes: prefixes.iter().map(|text| parse_prefix(text).expect("good")).collect(),
            source: Source::Memory,
            options: Vec::new(),
        }
    }

    fn check(providers: Vec<ProviderConfig>) -> Result<(), (usize, Part, String)> {
        let refused = NamespaceConfig { name: None, providers }.check(Some(".minirdr"));
        refused.map_err(|Refused { provider, part, what }| (provider, part, what))
    }

    #[test]
    fn a_prefix_is_read_or_refused_in_one_exact_line() {
        for (text, kept) in [("/srv1/docs", "/srv1/docs"), ("//a///b/", "/a/b"), ("/ü b", "/ü b")]
        {
            assert_eq!(parse_prefix(text).map(|prefix| prefix.to_string()), Ok(kept.to_owned()));
        }
        let cases = [
            ("", "prefix \"\": it is empty; write one such as \"/srv1/docs\""),
            ("srv1", "prefix \"srv1\": it is not absolute; write \"/srv1\""),
            (
                "//",
                "prefix \"//\": the whole mount is no prefix; mount that source directly: mount \
                 SOURCE DIR",
            ),
            ("/a/./b", "prefix \"/a/./b\": \".\" is no name; write the prefix without it"),
            ("/..", "prefix \"/..\": \"..\" is no name; write the prefix without it"),
            ("/a\0", "prefix \"/a\\0\": it has a NUL in it, which no name can have"),
        ];
        for (text, line) in cases {
            assert_eq!(parse_prefix(text).map_err(|error| error.0), Err(line.to_owned()));
        }
        let long = parse_prefix(&format!("/{}", "x".repeat(256))).expect_err("too long").0;
        assert!(long.ends_with("…\": a name in it is longer than 255 bytes"), "{long}");
        let deep = parse_prefix(&"/x".repeat(2049)).expect_err("too long").0;
        assert!(deep.ends_with("…\": it is longer than 4096 bytes, the most a path may have"));
        assert!(deep.len() < 200, "only its beginning is repeated: {deep}");
    }

    #[test]
    fn names_are_plain_and_used_once() {
        assert_eq!(check(vec![provider("a", &["/a"]), provider("b", &["/b"])]), Ok(()));
        let twice = check(vec![provider("a", &["/a"]), provider("a", &["/b"])]);
        let line = "there is a provider \"a\" already; each needs a name of its own";
        assert_eq!(twice, Err((1, Part::Name, line.to_owned())));
        let line = "\"a/b\" cannot name a provider: a name is letters, digits and . _ - + @ :, and \
                    starts with none of . -";
        assert_eq!(check(vec![provider("a/b", &["/a"])]), Err((0, Part::Name, line.to_owned())));
        let (_, part, long) = check(vec![provider(&"x".repeat(256), &["/a"])]).expect_err("long");
        assert_eq!(part, Part::Name);
        assert!(long.ends_with("…\" has 256 bytes; a name has 255 at most"), "{long}");
    }

    #[test]
    fn prefixes_are_side_by_side() {
        let refused = |providers| check(providers).expect_err("refused");
        let line = "provider \"a\" has no prefix";
        assert_eq!(refused(vec![provider("a", &[])]), (0, Part::Whole, line.to_owned()));
        let line = "prefix \"/a\" is there already, for provider \"a\"; it can be shown once";
        let twice = vec![provider("a", &["/a"]), provider("b", &["/b", "/a"])];
        assert_eq!(refused(twice), (1, Part::Prefix(1), line.to_owned()));
        let line = "prefix \"/a\" is there already, for this provider; it can be shown once";
        assert_eq!(refused(vec![provider("a", &["/a", "/a"])]).2, line);
        let line = "prefix \"/a/b/c\" is inside \"/a\" of provider \"a\": one inside another's \
                    cannot be served; write them side by side";
        assert_eq!(refused(vec![provider("a", &["/a"]), provider("b", &["/a/b/c"])]).2, line);
        let line = "prefix \"/a\" has \"/a/b\" of provider \"a\" in it: one inside another's \
                    cannot be served; write them side by side";
        assert_eq!(refused(vec![provider("a", &["/a/b"]), provider("b", &["/a"])]).2, line);
        let line = "prefix \"/.minirdr/x\": the mount has its control directory there; choose \
                    another prefix, or another directory with -o control_dir=NAME";
        assert_eq!(refused(vec![provider("a", &["/.minirdr/x"])]).2, line);
        assert_eq!(check(vec![provider("a", &["/a/.minirdr", "/a-b", "/a/c"])]), Ok(()));
    }

    #[test]
    fn there_are_126_prefixes_in_all() {
        let many = |count: usize| -> Vec<ProviderConfig> {
            (0..count).map(|n| provider(&format!("p{n}"), &[&format!("/{n}")])).collect()
        };
        assert_eq!(check(many(126)), Ok(()));
        let line = "prefix \"/126\" is one too many: a mount has 126 at most";
        assert_eq!(check(many(127)), Err((126, Part::Prefix(0), line.to_owned())));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_normal_and_no_text_panics(text in ".{0,40}|(/?[a.\0]{0,3}){0,5}") {
            if let Ok(prefix) = parse_prefix(&text) {
                prop_assert!(!prefix.is_root());
                prop_assert_eq!(parse_prefix(&prefix.to_string()), Ok(prefix));
            }
        }
    }
}
