//! The options of a mapping, told apart from those of what it wraps.

use super::ids::{IdMap, Pair};
use crate::redirectors::options::OptionError;

/// Finds users and groups by their names.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// A user's id.
    pub user: &'a dyn Fn(&str) -> Option<u32>,
    /// A group's id.
    pub group: &'a dyn Fn(&str) -> Option<u32>,
}

/// How owners and permissions of a server are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Every file is shown as this user's.
    pub uid: Option<u32>,
    /// Every file is shown as this group's.
    pub gid: Option<u32>,
    /// Users of the server and of this machine.
    pub users: IdMap,
    /// Groups of the server and of this machine.
    pub groups: IdMap,
    /// Permission bits that no file has but directories.
    pub file_mask: u16,
    /// Permission bits that no directory has.
    pub directory_mask: u16,
}

impl Mapping {
    /// Every key that is ours.
    pub const KEYS: [&'static str; 6] = ["dmask", "fmask", "gid", "map", "uid", "umask"];

    /// Does it leave everything as it is?
    #[must_use]
    pub fn is_identity(&self) -> bool {
        let owners = self.uid.is_none() && self.gid.is_none();
        owners && self.users.is_identity() && self.groups.is_identity() && self.masks_nothing()
    }

    pub(super) const fn masks_nothing(&self) -> bool {
        self.file_mask == 0 && self.directory_mask == 0
    }

    /// The mapping, and the pairs that are for the wrapped mini-redirector.
    ///
    /// # Errors
    /// A value of ours that makes no sense.
    pub fn split(
        pairs: &[(String, String)],
        names: Names<'_>,
    ) -> Result<(Self, Vec<(String, String)>), OptionError> {
        let mut mapping = Self::default();
        let mut rest = Vec::new();
        // `umask` is both the others, wherever it stands.
        for (key, value) in pairs.iter().filter(|(key, _)| key == "umask") {
            let mask = mask(key, value)?;
            (mapping.file_mask, mapping.directory_mask) = (mask, mask);
        }
        for (key, value) in pairs {
            match key.as_str() {
                "umask" => {}
                "fmask" => mapping.file_mask = mask(key, value)?,
                "dmask" => mapping.directory_mask = mask(key, value)?,
                "uid" => mapping.uid = Some(owner(key, value, names.user)?),
                "gid" => mapping.gid = Some(owner(key, value, names.group)?),
                "map" => mapping.add(value, names)?,
                _ => rest.push((key.clone(), value.clone())),
            }
        }
        Ok((mapping, rest))
    }

    /// `alice/bob:@staff/@users:1000-1999/5000`.
    fn add(&mut self, value: &str, names: Names<'_>) -> Result<(), OptionError> {
        for word in value.split(':') {
            let wrong = |what: &str| OptionError::invalid("map", word, what);
            let (server, here) = word.split_once('/').ok_or_else(|| wrong(MAP))?;
            let group = server.starts_with('@');
            if group != here.starts_with('@') {
                return Err(wrong("an @ before both, for groups, or before none, for users"));
            }
            let (map, find) = match group {
                true => (&mut self.groups, names.group),
                false => (&mut self.users, names.user),
            };
            let bare = |side: &str| side.strip_prefix('@').unwrap_or(side).to_owned();
            let (server, here) = (bare(server), bare(here));
            let unknown = |name: &str| {
                let kind = if group { "group" } else { "user" };
                wrong(&format!("numbers or names, and there is no {kind} {name:?}"))
            };
            let id = |name: &str| number_or(name, find).ok_or_else(|| unknown(name));
            let (first, count) = match server.split_once('-').filter(|(_, to)| is_number(to)) {
                Some((from, to)) if is_number(from) => {
                    let (from, to) = (id(from)?, id(to)?);
                    let more = to.checked_sub(from).ok_or_else(|| wrong("a range that goes up"))?;
                    (from, more.saturating_add(1))
                }
                _ => (id(&server)?, 1),
            };
            let pair = Pair { server: first, here: id(&here)?, count };
            if !pair.is_in_range() {
                return Err(wrong("ids up to 4294967294"));
            }
            if !map.add(pair) {
                return Err(wrong("each id once on each side"));
            }
        }
        Ok(())
    }
}

const MAP: &str = "FROM/TO of users or @FROM/@TO of groups, with : between several";

fn mask(key: &str, value: &str) -> Result<u16, OptionError> {
    let octal = !value.is_empty() && value.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mask = u16::from_str_radix(value, 8).ok().filter(|mask| octal && *mask <= 0o777);
    mask.ok_or_else(|| OptionError::invalid(key, value, "an octal number up to 0777"))
}

fn owner(key: &str, value: &str, find: &dyn Fn(&str) -> Option<u32>) -> Result<u32, OptionError> {
    let id = number_or(value, find).filter(|id| *id < super::ids::NOBODY);
    let kind = if key == "uid" { "user" } else { "group" };
    id.ok_or_else(|| OptionError::invalid(key, value, format!("a {kind}'s number or name")))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// A number is never looked up: a user may be called 1000.
fn number_or(text: &str, find: &dyn Fn(&str) -> Option<u32>) -> Option<u32> {
    match text {
        "" => None,
        _ if is_number(text) => text.parse().ok(),
        name => find(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(words: &[(&str, &str)]) -> Result<(Mapping, Vec<(String, String)>), String> {
        let pairs: Vec<_> =
            words.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let user = |name: &str| match name {
            "alice" => Some(1000),
            "bob" => Some(1001),
            "web-1" => Some(33),
            _ => None,
        };
        let group = |name: &str| (name == "staff").then_some(50);
        let names = Names { user: &user, group: &group };
        Mapping::split(&pairs, names).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_ours_is_passed_on() {
        let (mapping, rest) =
            split(&[("size", "1M"), ("uid", "5"), ("verbose", "")]).expect("good");
        assert_eq!(mapping, Mapping { uid: Some(5), ..Mapping::default() });
        assert_eq!(rest.len(), 2);
        for key in Mapping::KEYS {
            let (_, rest) = split(&[(key, "1")]).unwrap_or_default();
            assert!(rest.is_empty(), "{key} is ours");
        }
        assert!(split(&[]).expect("good").0.is_identity());
    }

    #[test]
    fn owners_masks_and_pairs_are_read() {
        let words = [("uid", "alice"), ("gid", "staff"), ("dmask", "022"), ("umask", "0117")];
        let (mapping, _) = split(&words).expect("good");
        assert_eq!((mapping.uid, mapping.gid), (Some(1000), Some(50)));
        assert_eq!((mapping.file_mask, mapping.directory_mask), (0o117, 0o022));
        let words = [("map", "alice/bob:@staff/@100:2000-2999/5000"), ("map", "web-1/7")];
        let (mapping, _) = split(&words).expect("good");
        let users = &mapping.users;
        assert_eq!((users.shown(1000), users.shown(2999), users.shown(33)), (1001, 5999, 7));
        assert_eq!((mapping.groups.shown(50), mapping.groups.stored(100)), (100, Some(50)));
        assert!(!mapping.is_identity());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (key, value, part) in [
            ("uid", "", "a user's number or name"),
            ("uid", "-1", "a user's number or name"),
            ("uid", "4294967295", "a user's number or name"),
            ("gid", "carol", "a group's number or name"),
            ("umask", "", "octal"),
            ("umask", "0o22", "octal"),
            ("fmask", "1777", "up to 0777"),
            ("dmask", "rwx", "octal"),
            ("map", "", "FROM/TO"),
            ("map", "alice", "FROM/TO"),
            ("map", "alice/@bob", "an @ before both"),
            ("map", "alice/carol", "there is no user \"carol\""),
            ("map", "@carol/@staff", "there is no group \"carol\""),
            ("map", "alice/5:alice/6", "each id once"),
            ("map", "5/alice:6/alice", "each id once"),
            ("map", "9-5/1", "goes up"),
            ("map", "1-5/4294967293", "up to 4294967294"),
            ("map", "1/2:", "FROM/TO"),
        ] {
            let error = split(&[(key, value)]).expect_err(value);
            assert!(error.contains(part), "{key}={value}: {error}");
            assert!(error.starts_with(&format!("option {key}=")), "{error}");
        }
    }
}
