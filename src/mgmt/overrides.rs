//! What who mounts changes of the table of [`authz`](crate::mgmt::authz): cells of its columns
//! `group` and `other`, one by one. Pure.
//!
//! Root and the owner may everything: the one can do it anyway, and the daemon is the other's. What
//! a network may is decided by [`RpcPolicy`](crate::mgmt::authz::RpcPolicy) alone.

use crate::mgmt::authz::{Operation, Standing};

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// To ask for something.
    Ask(Operation),
    /// To see paths and names of processes.
    SeePaths,
}

/// The word of [`Right::SeePaths`] in the table.
pub const SEE_PATHS: &str = "see paths";

impl Right {
    /// All of them, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        Operation::ALL.into_iter().map(Self::Ask).chain([Self::SeePaths])
    }

    /// The row's first word or words as an option has them: `rpc-stop-listening`.
    #[must_use]
    pub fn option_word(self) -> String {
        match self {
            Self::Ask(Operation::Detach) => "detach".to_owned(),
            Self::Ask(operation) => operation.word().to_ascii_lowercase().replace(' ', "-"),
            Self::SeePaths => SEE_PATHS.replace(' ', "-"),
        }
    }

    /// One bit each.
    fn bit(self) -> u32 {
        let place = Self::all().position(|right| right == self).unwrap_or_default();
        1 << place
    }
}

const _: () = assert!(Operation::ALL.len() < 32, "a bit for each row");

/// Rows of one column that differ from the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changes {
    allowed: u32,
    denied: u32,
}

/// What differs from the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    group: Changes,
    other: Changes,
}

impl Overrides {
    /// The table as it is printed.
    pub const NONE: Self =
        Self { group: Changes { allowed: 0, denied: 0 }, other: Changes { allowed: 0, denied: 0 } };

    /// Changes one cell; a later word wins. Columns that cannot be changed are left alone.
    pub fn set(&mut self, standing: Standing, right: Right, allow: bool) {
        let Some(changes) = self.column_mut(standing) else { return };
        let bit = right.bit();
        let (set, clear) = match allow {
            true => (&mut changes.allowed, &mut changes.denied),
            false => (&mut changes.denied, &mut changes.allowed),
        };
        *set |= bit;
        *clear &= !bit;
    }

    /// Is this cell changed, and to what?
    #[must_use]
    pub fn of(&self, standing: Standing, right: Right) -> Option<bool> {
        let changes = self.column(standing)?;
        let bit = right.bit();
        let changed = (changes.allowed | changes.denied) & bit != 0;
        changed.then_some(changes.allowed & bit != 0)
    }

    /// Is something of the group's column changed? That makes no sense where there is no group.
    #[must_use]
    pub fn is_about_the_group(&self) -> bool {
        self.group != Changes::default()
    }

    /// Takes `WHO:WHAT[+WHAT…]`.
    ///
    /// # Errors
    /// What would be right.
    pub fn take(&mut self, text: &str, allow: bool) -> Result<(), String> {
        let no_form = || format!("\"{text}\" is not WHO:WHAT, such as group:stop or other:read");
        let (who, what) = text.split_once(':').ok_or_else(no_form)?;
        let standing = match who {
            "group" => Standing::Group,
            "other" => Standing::Other,
            "root" | "owner" => return Err(format!("{who} may everything, always")),
            "remote" => return Err("a network may what --rpc-allow-stop says".to_owned()),
            _ => return Err(format!("\"{who}\" is not group or other")),
        };
        let mut taken = *self;
        for word in what.split('+') {
            let right =
                Right::all().find(|right| right.option_word() == word).ok_or_else(|| {
                    let words: Vec<String> = Right::all().map(Right::option_word).collect();
                    format!("\"{word}\" is not one of {}", words.join(", "))
                })?;
            taken.set(standing, right, allow);
        }
        *self = taken;
        Ok(())
    }

    /// As options: what is allowed besides, and what is denied, in the words of
    /// [`Overrides::take`].
    #[must_use]
    pub fn words(&self, allow: bool) -> Vec<String> {
        let columns = [(Standing::Group, "group"), (Standing::Other, "other")];
        let column = |(standing, who): (Standing, &str)| {
            let rights = Right::all().filter(|right| self.of(standing, *right) == Some(allow));
            let words: Vec<String> = rights.map(Right::option_word).collect();
            (!words.is_empty()).then(|| format!("{who}:{}", words.join("+")))
        };
        columns.into_iter().filter_map(column).collect()
    }

    fn column(&self, standing: Standing) -> Option<&Changes> {
        match standing {
            Standing::Group => Some(&self.group),
            Standing::Other => Some(&self.other),
            Standing::Root | Standing::Owner | Standing::Remote => None,
        }
    }

    fn column_mut(&mut self, standing: Standing) -> Option<&mut Changes> {
        match standing {
            Standing::Group => Some(&mut self.group),
            Standing::Other => Some(&mut self.other),
            Standing::Root | Standing::Owner | Standing::Remote => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_and_said_again() {
        let mut overrides = Overrides::default();
        overrides.take("group:abort+detach", true).expect("words");
        overrides.take("other:read+see-paths", false).expect("words");
        overrides.take("group:stop", false).expect("a word");
        overrides.take("group:stop", true).expect("the later word wins");
        assert_eq!(overrides.words(true), ["group:stop+abort+detach"]);
        assert_eq!(overrides.words(false), ["other:read+see-paths"]);
        assert!(overrides.is_about_the_group());
        let stop = Right::Ask(Operation::Stop);
        assert_eq!(overrides.of(Standing::Group, stop), Some(true));
        assert_eq!(overrides.of(Standing::Other, stop), None);
        let mut again = Overrides::default();
        for allow in [true, false] {
            for word in overrides.words(allow) {
                again.take(&word, allow).expect("its own words");
            }
        }
        assert_eq!(again, overrides);
    }

    #[test]
    fn what_cannot_be_changed_is_said_and_changes_nothing() {
        let mut overrides = Overrides::default();
        for (text, part) in [
            ("group", "is not WHO:WHAT"),
            ("everybody:stop", "is not group or other"),
            ("root:stop", "may everything"),
            ("owner:abort", "may everything"),
            ("remote:stop", "--rpc-allow-stop"),
            ("group:halt", "is not one of inquire, read, stop, abort, detach, start"),
            ("group:stop+", "\"\" is not one of"),
            ("other:stop+halt", "\"halt\" is not one of"),
        ] {
            let error = overrides.take(text, true).expect_err(text);
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
        assert_eq!(overrides, Overrides::NONE);
    }

    #[test]
    fn every_row_has_a_word_and_a_bit_of_its_own() {
        let words: std::collections::BTreeSet<String> =
            Right::all().map(Right::option_word).collect();
        assert_eq!(words.len(), Operation::ALL.len() + 1);
        let bits = Right::all().fold(0, |bits, right| bits | right.bit());
        assert_eq!(bits.count_ones() as usize, words.len());
    }
}
