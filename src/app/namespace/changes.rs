//! What is different between two configurations, and in which order a running mount becomes the new
//! one. Pure.
//!
//! No prefix of a configuration is inside another, but a prefix of the new one may be inside one
//! that the old one had, and may have been another provider's. So what is shown no longer goes
//! first; then each prefix that changes hands is swapped, and is not missing meanwhile; what is new
//! comes last. After every step the prefixes are again side by side, and never more than the larger
//! of both configurations has.

use crate::app::namespace::{NamespaceConfig, NetName, ProviderConfig};
use std::collections::HashMap;

/// A provider that is there before and after, and is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// As it was.
    pub old: ProviderConfig,
    /// As it is to be.
    pub new: ProviderConfig,
}

/// The difference of two configurations, provider by provider; a provider is known by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New ones, in the order of the new configuration.
    pub added: Vec<ProviderConfig>,
    /// Those there are no more, in the order of the old one.
    pub removed: Vec<ProviderConfig>,
    /// Those with another source, options or prefixes, in the order of the new one.
    pub replaced: Vec<Replaced>,
    /// The names of the others, in the order of the new one.
    pub unchanged: Vec<String>,
}

/// One thing a host does to one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The prefix is shown no longer.
    Close {
        /// Who shows it.
        provider: String,
        /// The prefix.
        prefix: NetName,
    },
    /// The prefix gets another owner, or its owner another source or other options.
    Swap {
        /// Who shows it until then.
        from: String,
        /// Who does from then on, as the new configuration says; may be the same name.
        to: String,
        /// The prefix.
        prefix: NetName,
    },
    /// The prefix is shown from now on.
    Open {
        /// Who shows it, as the new configuration says.
        provider: String,
        /// The prefix.
        prefix: NetName,
    },
}

impl Changes {
    /// What makes `new` of `old`; both have passed [`NamespaceConfig::check`].
    #[must_use]
    pub fn between(old: &NamespaceConfig, new: &NamespaceConfig) -> Self {
        let by_name = |config: &'_ NamespaceConfig| -> HashMap<String, ProviderConfig> {
            config.providers.iter().map(|it| (it.name.clone(), it.clone())).collect()
        };
        let (before, after) = (by_name(old), by_name(new));
        let mut changes = Self::default();
        for provider in &new.providers {
            match before.get(&provider.name) {
                None => changes.added.push(provider.clone()),
                Some(old) if old == provider => changes.unchanged.push(provider.name.clone()),
                Some(old) => {
                    changes.replaced.push(Replaced { old: old.clone(), new: provider.clone() });
                }
            }
        }
        let gone = old.providers.iter().filter(|it| !after.contains_key(&it.name));
        changes.removed.extend(gone.cloned());
        changes
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.replaced.is_empty()
    }

    /// What to do, in this order. Prefixes that stay as they are, in no step, go on undisturbed:
    /// also those of a provider that only gets one more or one less.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let old = self.removed.iter().chain(self.replaced.iter().map(|it| &it.old));
        let new = self.replaced.iter().map(|it| &it.new).chain(&self.added);
        let (old, new) = (shares(old), shares(new));
        let before: HashMap<&NetName, &ProviderConfig> = old.iter().copied().collect();
        let after: HashMap<&NetName, &ProviderConfig> = new.iter().copied().collect();
        let close = |(prefix, provider): &(&NetName, &ProviderConfig)| Step::Close {
            provider: provider.name.clone(),
            prefix: (*prefix).clone(),
        };
        let closed = old.iter().filter(|(prefix, _)| !after.contains_key(prefix)).map(close);
        let swap = |(prefix, to): &(&NetName, &ProviderConfig)| {
            let from = before.get(prefix).filter(|from| !is_same_share(from, to))?;
            let (from, to) = (from.name.clone(), to.name.clone());
            Some(Step::Swap { from, to, prefix: (*prefix).clone() })
        };
        let open = |(prefix, provider): &(&NetName, &ProviderConfig)| Step::Open {
            provider: provider.name.clone(),
            prefix: (*prefix).clone(),
        };
        let opened = new.iter().filter(|(prefix, _)| !before.contains_key(prefix)).map(open);
        closed.chain(new.iter().filter_map(swap)).chain(opened).collect()
    }
}

/// What a mount is to be that is now `ours`, when its file, which said `read`, says `new`: where
/// the file says the same as before, what commands have changed since stays.
#[must_use]
pub fn merged(
    read: &NamespaceConfig,
    ours: &NamespaceConfig,
    new: &NamespaceConfig,
) -> NamespaceConfig {
    let of = |config: &NamespaceConfig, name: &str| {
        config.providers.iter().find(|it| it.name == name).cloned()
    };
    let named = new.providers.iter().filter_map(|it| match of(read, &it.name) {
        Some(before) if before == *it => of(ours, &it.name),
        Some(_) | None => Some(it.clone()),
    });
    let known = |name: &str| of(read, name).is_some() || of(new, name).is_some();
    let added = ours.providers.iter().filter(|it| !known(&it.name)).cloned();
    NamespaceConfig { name: new.name.clone(), providers: named.chain(added).collect() }
}

/// Every prefix with its provider.
fn shares<'a>(
    providers: impl Iterator<Item = &'a ProviderConfig>,
) -> Vec<(&'a NetName, &'a ProviderConfig)> {
    let share = |it: &'a ProviderConfig| it.prefixes.iter().map(move |prefix| (prefix, it));
    providers.flat_map(share).collect()
}

/// Is a prefix shown by both the same, so that whoever uses it need not be disturbed?
fn is_same_share(from: &ProviderConfig, to: &ProviderConfig) -> bool {
    (&from.name, &from.source, &from.options) == (&to.name, &to.source, &to.options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::namespace::check::parse_prefix;
    use crate::app::source::Source;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn prefix(text: &str) -> NetName {
        parse_prefix(text).expect("a good prefix")
    }

    fn provider(name: &str, prefixes: &[&str], source: &str) -> ProviderConfig {
        ProviderConfig {
            name: name.to_owned(),
            prefixes: prefixes.iter().map(|text| prefix(text)).collect(),
            source: Source::parse(source.as_ref()).expect("a good source"),
            options: Vec::new(),
        }
    }

    fn config(providers: &[ProviderConfig]) -> NamespaceConfig {
        let config = NamespaceConfig { name: None, providers: providers.to_vec() };
        config.check(None).expect("a good configuration");
        config
    }

    fn close(provider: &str, at: &str) -> Step {
        Step::Close { provider: provider.to_owned(), prefix: prefix(at) }
    }

    fn swap(from: &str, to: &str, at: &str) -> Step {
        Step::Swap { from: from.to_owned(), to: to.to_owned(), prefix: prefix(at) }
    }

    fn open(provider: &str, at: &str) -> Step {
        Step::Open { provider: provider.to_owned(), prefix: prefix(at) }
    }

    #[test]
    fn every_provider_is_told_apart() {
        let (kept, gone) =
            (provider("kept", &["/k"], "memory:"), provider("gone", &["/g"], "memory:"));
        let (old, new) =
            (provider("moved", &["/m"], "memory:"), provider("moved", &["/n"], "memory:"));
        let added = provider("added", &["/a"], "memory:");
        let changes = Changes::between(
            &config(&[kept.clone(), gone.clone(), old.clone()]),
            &config(&[added.clone(), new.clone(), kept]),
        );
        let expected = Changes {
            added: vec![added],
            removed: vec![gone],
            replaced: vec![Replaced { old, new }],
            unchanged: vec!["kept".to_owned()],
        };
        assert_eq!(changes, expected);
        assert!(!changes.is_empty());
        let steps =
            [close("gone", "/g"), close("moved", "/m"), open("moved", "/n"), open("added", "/a")];
        assert_eq!(changes.steps(), steps);
    }

    #[test]
    fn an_order_of_its_own_is_no_change() {
        let (a, b) = (provider("a", &["/a"], "memory:"), provider("b", &["/b"], "memory:"));
        let changes = Changes::between(&config(&[a.clone(), b.clone()]), &config(&[b, a]));
        assert!(changes.is_empty() && changes.steps().is_empty());
        assert_eq!(changes.unchanged, ["b", "a"]);
    }

    #[test]
    fn prefixes_that_change_hands_are_swapped_and_others_left_alone() {
        let old = [provider("a", &["/x", "/z"], "memory:"), provider("b", &["/y"], "memory:")];
        let new = [provider("a", &["/y", "/z"], "memory:"), provider("b", &["/x"], "memory:")];
        let steps = Changes::between(&config(&old), &config(&new)).steps();
        assert_eq!(steps, [swap("b", "a", "/y"), swap("a", "b", "/x")], "/z is not disturbed");
        let other = [provider("a", &["/x", "/z"], "local:/srv"), old[1].clone()];
        let steps = Changes::between(&config(&old), &config(&other)).steps();
        assert_eq!(steps, [swap("a", "a", "/x"), swap("a", "a", "/z")]);
        let renamed = [provider("c", &["/x", "/z"], "memory:"), old[1].clone()];
        let steps = Changes::between(&config(&old), &config(&renamed)).steps();
        assert_eq!(steps, [swap("a", "c", "/x"), swap("a", "c", "/z")]);
    }

    #[test]
    fn what_is_inside_comes_after_what_it_was_inside_of() {
        let whole = [provider("a", &["/x"], "memory:")];
        let parts = [provider("a", &["/x/1"], "memory:"), provider("b", &["/x/2"], "memory:")];
        let steps = Changes::between(&config(&whole), &config(&parts)).steps();
        assert_eq!(steps, [close("a", "/x"), open("a", "/x/1"), open("b", "/x/2")]);
        let steps = Changes::between(&config(&parts), &config(&whole)).steps();
        assert_eq!(steps, [close("b", "/x/2"), close("a", "/x/1"), open("a", "/x")]);
    }

    /// What a mount shows: each prefix with its owner, source and options.
    type Shown = BTreeMap<NetName, (String, Source, Vec<(String, String)>)>;

    fn shown(config: &NamespaceConfig) -> Shown {
        let shares = shares(config.providers.iter());
        shares.into_iter().map(|(prefix, it)| (prefix.clone(), share(it))).collect()
    }

    fn share(it: &ProviderConfig) -> (String, Source, Vec<(String, String)>) {
        (it.name.clone(), it.source.clone(), it.options.clone())
    }

    fn find<'a>(config: &'a NamespaceConfig, name: &str) -> &'a ProviderConfig {
        config.providers.iter().find(|it| it.name == name).expect("a step names who is there")
    }

    /// Few names, prefixes and sources, so that two configurations have much in common.
    fn configs() -> impl Strategy<Value = NamespaceConfig> {
        let prefix = prop::sample::select(vec!["/a", "/a/b", "/a/b/c", "/a/d", "/e", "/f", "/f/g"]);
        let one = (0..4_u8, vec(prefix, 1..4), 0..2_u8, 0..2_u8);
        vec(one, 0..5).prop_map(|wanted| {
            let mut config = NamespaceConfig::default();
            for (name, prefixes, source, option) in wanted {
                let source = ["memory:", "local:/srv"][usize::from(source)];
                let mut provider = provider(&format!("p{name}"), &[], source);
                provider.options = vec![("o".to_owned(), option.to_string())];
                config.providers.push(provider);
                let last = config.providers.len() - 1;
                for text in prefixes {
                    config.providers[last].prefixes.push(self::prefix(text));
                    if config.check(None).is_err() {
                        config.providers[last].prefixes.pop();
                    }
                }
                if config.check(None).is_err() {
                    config.providers.pop();
                }
            }
            config
        })
    }

    proptest! {
        #[test]
        fn the_changes_make_the_new_of_the_old(old in configs(), new in configs()) {
            let changes = Changes::between(&old, &new);
            let mut made: BTreeMap<String, ProviderConfig> =
                old.providers.iter().map(|it| (it.name.clone(), it.clone())).collect();
            for it in &changes.removed {
                prop_assert_eq!(made.remove(&it.name), Some(it.clone()));
            }
            for Replaced { old, new } in &changes.replaced {
                prop_assert_ne!(old, new);
                prop_assert_eq!(made.insert(new.name.clone(), new.clone()), Some(old.clone()));
            }
            for it in &changes.added {
                prop_assert_eq!(made.insert(it.name.clone(), it.clone()), None);
            }
            for name in &changes.unchanged {
                prop_assert_eq!(find(&old, name), find(&new, name));
            }
            let wanted = new.providers.iter().map(|it| (it.name.clone(), it.clone())).collect();
            prop_assert_eq!(made, wanted);
            prop_assert!(!changes.is_empty() || changes.steps().is_empty());
        }

        #[test]
        fn the_steps_make_the_new_of_the_old(old in configs(), new in configs()) {
            let mut now = shown(&old);
            let most = now.len().max(shown(&new).len());
            for step in Changes::between(&old, &new).steps() {
                match step {
                    Step::Close { provider, prefix } => {
                        let closed = now.remove(&prefix);
                        prop_assert_eq!(closed.map(|share| share.0), Some(provider));
                    }
                    Step::Swap { from, to, prefix } => {
                        let to = share(find(&new, &to));
                        let old = now.insert(prefix, to.clone());
                        prop_assert_ne!(&old, &Some(to), "a swap changes something");
                        prop_assert_eq!(old.map(|share| share.0), Some(from));
                    }
                    Step::Open { provider, prefix } => {
                        let inside = now.keys().find(|other| {
                            prefix.is_within(other) || other.is_within(&prefix)
                        });
                        prop_assert_eq!(inside, None, "{} is in the way", prefix);
                        now.insert(prefix, share(find(&new, &provider)));
                    }
                }
                prop_assert!(now.len() <= most);
            }
            prop_assert_eq!(now, shown(&new));
        }
    }
}
