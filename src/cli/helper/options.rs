//! The words after a mount helper's `-o`: each is found right before anything is started, and what
//! is wrong is named with its place. Pure.
//!
//! They are the options of `minirdr mount`, which knows the generic ones of mount(8); what it does
//! not know is its mini-redirector's, or nobody's.

use crate::app::options::{quoted, split_words};
use crate::app::{self, MountOptions, Source, UsageError};
use crate::cli::exit::Trouble;

/// Options that were found right, and what is to be said of those left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is handed on as `-o`.
    pub text: String,
    /// Those left out because nobody knows them.
    pub ignored: Vec<String>,
}

/// Checks all that `-o` says. A sloppy mount leaves out what nobody knows.
///
/// # Errors
/// Usage: the first word that is wrong, where it is, and what would be right.
pub fn check(source: &Source, given: &[String], sloppy: bool) -> Result<Checked, Trouble> {
    let mut words = split_words(&given.join(","))?;
    let mut ignored = Vec::new();
    if let Some(at) = words.iter().position(|word| key(word) == "credentials") {
        // What it names is nobody's business: only the option is said again.
        let what = "option credentials: no mini-redirector there is takes any; leave it out";
        return Err(Trouble::usage(placed(what, at, words.len())));
    }
    loop {
        let options = understood(&words)?;
        let Err(error) = app::check_options(source, &options.redirector_options) else { break };
        let unknown = app::unknown_option(source, &options.redirector_options);
        match unknown.filter(|_| sloppy) {
            Some(unknown) => {
                words.retain(|word| key(word) != unknown);
                ignored.push(unknown);
            }
            None => return Err(of_redirector(source, &words, &options, error)),
        }
    }
    let text = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(",");
    Ok(Checked { text, ignored })
}

fn key(word: &str) -> &str {
    word.split_once('=').map_or(word, |(key, _)| key)
}

/// All words as the mount's own options.
fn understood(words: &[String]) -> Result<MountOptions, Trouble> {
    let parse = |words: &[String]| {
        MountOptions::parse(&words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(","))
    };
    parse(words).map_err(|error| {
        // What is wrong with one word alone is that word's; the rest is about several.
        let alone =
            |word: &String| parse(std::slice::from_ref(word)).err().as_ref() == Some(&error);
        match words.iter().position(alone) {
            Some(at) => Trouble::usage(placed(&error.0, at, words.len())),
            None => Trouble::from(error),
        }
    })
}

/// A mini-redirector's refusal, at the place of the word that it is about.
fn of_redirector(
    source: &Source,
    words: &[String],
    options: &MountOptions,
    error: UsageError,
) -> Trouble {
    let given = &options.redirector_options;
    let fails =
        |count: &usize| app::check_options(source, &given[..*count]).as_ref() == Err(&error);
    let first = (1..=given.len()).find(fails).map(|count| &given[count - 1]);
    let is_it = |word: &String| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        first.is_some_and(|(its, said)| its == key && said == value)
    };
    match words.iter().position(is_it) {
        Some(at) => Trouble::usage(placed(&error.0, at, words.len())),
        None => Trouble::from(error),
    }
}

fn placed(what: &str, at: usize, of: usize) -> String {
    format!("{what} (word {} of {of} of -o)", at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn checked(source: &str, text: &str, sloppy: bool) -> Result<Checked, String> {
        let source = Source::parse(OsStr::new(source)).expect("good source");
        check(&source, &[text.to_owned()], sloppy).map_err(|trouble| trouble.message)
    }

    #[test]
    fn what_mount_8_and_fstab_say_is_accepted() {
        for text in [
            "",
            "rw",
            "rw,noexec,nosuid,nodev,user",
            "defaults,auto,noauto,nofail,_netdev,users,owner,group,nouser,comment=x",
            "x-systemd.automount,X-mount.mkdir=0755,x-gvfs-show,helper=minirdr,uhelper=minirdr",
            "ro,suid,dev,exec,sync,async,dirsync,atime,noatime,relatime,norelatime,strictatime",
            "nodiratime,diratime,lazytime,nolazytime,mand,nomand,iversion,noiversion,silent,loud",
        ] {
            let found = checked("memory:", text, false).expect(text);
            assert_eq!(found.text, text);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("rw,frob", "memory: unknown option \"frob\"", "(word 2 of 2 of -o)"),
            ("frob=1,rw", "memory: unknown option \"frob\"", "(word 1 of 2 of -o)"),
            ("rw,entry_timeout=soon,ro", "option entry_timeout:", "(word 2 of 3 of -o)"),
            ("ro,nosuid,remount", "cannot be remounted", "(word 3 of 3 of -o)"),
            ("rw,credentials=/etc/x", "option credentials: no", "(word 2 of 2 of -o)"),
        ];
        for (text, what, place) in cases {
            let line = checked("memory:", text, false).expect_err(text);
            assert!(line.contains(what) && line.ends_with(place), "{text}: {line}");
            assert!(!line.contains("/etc/x") && !line.contains('\n'), "{line}");
        }
        let line = checked("memory:", "control_deny=group:stop", false).expect_err("no group");
        assert!(line.contains("control_group=NAME"), "{line}");
        assert!(checked("memory:", "fsname=\"x", false).is_err(), "a quote that is not closed");
    }

    #[test]
    fn a_sloppy_mount_leaves_out_what_nobody_knows_and_nothing_else() {
        let found = checked("memory:", "rw,frob=1,fsname=a\\,b,fnord", true).expect("sloppy");
        assert_eq!(found.text, "rw,fsname=a\\,b");
        assert_eq!(found.ignored, ["frob", "fnord"]);
        for text in ["entry_timeout=soon", "remount", "credentials=/x"] {
            assert!(checked("memory:", text, true).is_err(), "{text}");
        }
    }
}
