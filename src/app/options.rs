//! Mount options: the words after `-o`, parsed once, for `mount`, fstab and the mount helper; pure.
//!
//! Three groups: ours, the generic ones every mount(8) helper must take, and everything else, which
//! is handed to the mini-redirector: it knows its own options, and refuses what it does not know.

use crate::base::limits::{
    FUSE_THREADS, FUSE_THREADS_MAX, LEASE_LIFETIME, REQUEST_DEADLINE, SIGNAL_STOP_DEADLINE,
};
use crate::base::stop::OnDeadline;
use crate::base::units::{parse_bound, parse_duration};
use crate::mgmt::overrides::Overrides;
use rustix::mount::MountFlags;
use std::time::Duration;

/// What is wrong with the words of a command, and what would be right; one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// What `start` does with handles that outlived the stop (stop.md S4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Survivors {
    /// Offer each to the mini-redirector to reclaim.
    #[default]
    Reclaim,
    /// Leave each stale until it is closed.
    Stale,
}

/// Everything `-o` can say.
#[derive(Clone, Debug, PartialEq)]
pub struct MountOptions {
    /// The mount's name, where it is not the mount point's last component.
    pub name: Option<String>,
    /// Nothing is written: `ro`.
    pub read_only: bool,
    /// Other users may come in; fusermount3 asks for `user_allow_other` in /etc/fuse.conf.
    pub allow_other: bool,
    /// The kernel checks owner and mode bits.
    pub default_permissions: bool,
    /// It needs the network (`_netdev`), which libmount and systemd are told again.
    pub network: bool,
    /// Flags of mount(2) but `MS_RDONLY`, which is [`Self::read_only`].
    pub flags: MountFlags,
    /// How long the kernel may keep a name.
    pub entry_timeout: Duration,
    /// How long the kernel may keep attributes.
    pub attr_timeout: Duration,
    /// How long the kernel may keep the absence of a name.
    pub negative_timeout: Duration,
    /// The same for all three, if it is longer, where the server says what others change; none:
    /// [`LEASE_LIFETIME`], unless one of the three was chosen.
    pub lease_timeout: Option<Duration>,
    /// The hidden directory of the control file; none: there is none.
    pub control_dir: Option<String>,
    /// A group whose members may stop and start it, and see paths: a name, or a number.
    pub control_group: Option<String>,
    /// What differs from the table of who may do what.
    pub overrides: Overrides,
    /// Grace of a stop asked by a signal or an unmount.
    pub stop_grace: Duration,
    /// Deadline of a stop asked by a signal or an unmount; none: no bound.
    pub stop_deadline: Option<Duration>,
    /// What such a stop does at its deadline.
    pub stop_on_deadline: OnDeadline,
    /// Deadline of every request; none: no bound.
    pub request_deadline: Option<Duration>,
    /// What `start` does with survivors.
    pub survivors: Survivors,
    /// Threads that read `/dev/fuse`, 1 to 64.
    pub fuse_threads: usize,
    /// The source column of mountinfo and `df`, where it is not the source's own word.
    pub fsname: Option<String>,
    /// Words for the mini-redirector, in order; a word without `=` has an empty value.
    pub redirector_options: Vec<(String, String)>,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            name: None,
            read_only: false,
            allow_other: false,
            default_permissions: true,
            network: false,
            flags: MountFlags::NOSUID | MountFlags::NODEV,
            entry_timeout: Duration::from_secs(1),
            attr_timeout: Duration::from_secs(1),
            negative_timeout: Duration::ZERO,
            lease_timeout: None,
            control_dir: Some(".minirdr".to_owned()),
            control_group: None,
            overrides: Overrides::NONE,
            stop_grace: Duration::ZERO,
            stop_deadline: Some(SIGNAL_STOP_DEADLINE),
            stop_on_deadline: OnDeadline::Cancel,
            request_deadline: Some(REQUEST_DEADLINE),
            survivors: Survivors::Reclaim,
            fuse_threads: FUSE_THREADS,
            fsname: None,
            redirector_options: Vec::new(),
        }
    }
}

impl MountOptions {
    /// Reads `-o` words, comma-separated; the later word wins. A comma inside a value is written
    /// `\,` or inside double quotes, as mount(8) does.
    ///
    /// # Errors
    /// The first word that is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, UsageError> {
        let mut options = Self::default();
        for word in split_words(text)? {
            options.take(&word)?;
        }
        if options.overrides.is_about_the_group() && options.control_group.is_none() {
            let what = "control_allow or control_deny of the group needs one: control_group=NAME";
            return Err(UsageError(format!("option {what}")));
        }
        Ok(options)
    }

    /// The options in force as `-o` takes them, for `minirdr status`. Values at their default are
    /// left out, but `rw` or `ro` is always said.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let default = Self::default();
        let mut words = vec![if self.read_only { "ro" } else { "rw" }.to_owned()];
        words.extend(flag_words(self.flags).into_iter().map(str::to_owned));
        if self.allow_other {
            words.push("allow_other".to_owned());
        }
        if !self.default_permissions {
            words.push("no_default_permissions".to_owned());
        }
        if self.network {
            words.push("_netdev".to_owned());
        }
        let mut changed = |key: &str, value: String, usual: String| {
            if value != usual {
                words.push(format!("{key}={}", quoted(&value)));
            }
        };
        let seconds = |time: Duration| format!("{}", time.as_secs_f64());
        let bound = |time: Option<Duration>| time.map_or_else(|| "off".to_owned(), seconds);
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        let control = |name: &Option<String>| name.clone().unwrap_or_else(|| "off".to_owned());
        changed("name", named(&self.name), named(&default.name));
        changed("entry_timeout", seconds(self.entry_timeout), seconds(default.entry_timeout));
        changed("attr_timeout", seconds(self.attr_timeout), seconds(default.attr_timeout));
        changed(
            "negative_timeout",
            seconds(self.negative_timeout),
            seconds(default.negative_timeout),
        );
        let leased = |time: Option<Duration>| time.map(seconds).unwrap_or_default();
        changed("lease_timeout", leased(self.lease_timeout), leased(default.lease_timeout));
        changed("control_dir", control(&self.control_dir), control(&default.control_dir));
        changed("control_group", named(&self.control_group), named(&default.control_group));
        for (key, allow) in [("control_allow", true), ("control_deny", false)] {
            for value in self.overrides.words(allow) {
                changed(key, value, String::new());
            }
        }
        changed("stop_grace", seconds(self.stop_grace), seconds(default.stop_grace));
        changed("stop_deadline", bound(self.stop_deadline), bound(default.stop_deadline));
        let policy = |policy| on_deadline_word(policy).to_owned();
        changed("on_deadline", policy(self.stop_on_deadline), policy(default.stop_on_deadline));
        changed("request_deadline", bound(self.request_deadline), bound(default.request_deadline));
        let survivors = |policy| match policy {
            Survivors::Reclaim => "reclaim".to_owned(),
            Survivors::Stale => "stale".to_owned(),
        };
        changed("survivors", survivors(self.survivors), survivors(default.survivors));
        let threads = |number: usize| number.to_string();
        changed("fuse_threads", threads(self.fuse_threads), threads(default.fuse_threads));
        changed("fsname", named(&self.fsname), named(&default.fsname));
        for (key, value) in &self.redirector_options {
            words.push(match value.as_str() {
                "" => key.clone(),
                _ => format!("{key}={}", quoted(value)),
            });
        }
        words
    }

    /// One word: generic, ours, or the mini-redirector's.
    fn take(&mut self, word: &str) -> Result<(), UsageError> {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        };
        if key.is_empty() {
            return Err(UsageError(format!("option \"{word}\" has no name before its =")));
        }
        if is_ignored(key) {
            return Ok(());
        }
        if !key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
            return Err(UsageError(format!(
                "option \"{key}\" is no option's name: letters, digits, _, - and . make one"
            )));
        }
        if let Some(refusal) = refused(key) {
            return Err(UsageError(format!("option {key}: {refusal}")));
        }
        if value.is_none() && self.take_plain(key) {
            return Ok(());
        }
        self.take_value(key, value)
    }

    /// Words without a value; false when it is none of these.
    fn take_plain(&mut self, word: &str) -> bool {
        use MountFlags as F;
        let (set, clear) = match word {
            "ro" => {
                self.read_only = true;
                return true;
            }
            "rw" => {
                self.read_only = false;
                return true;
            }
            "allow_other" => {
                self.allow_other = true;
                return true;
            }
            "default_permissions" | "no_default_permissions" => {
                self.default_permissions = word == "default_permissions";
                return true;
            }
            "_netdev" => {
                self.network = true;
                return true;
            }
            // As mount(8): these imply the next three, unless a later word takes them back.
            "user" | "users" => (F::NOSUID | F::NODEV | F::NOEXEC, F::empty()),
            "owner" | "group" => (F::NOSUID | F::NODEV, F::empty()),
            "nosuid" => (F::NOSUID, F::empty()),
            "suid" => (F::empty(), F::NOSUID),
            "nodev" => (F::NODEV, F::empty()),
            "dev" => (F::empty(), F::NODEV),
            "noexec" => (F::NOEXEC, F::empty()),
            "exec" => (F::empty(), F::NOEXEC),
            "noatime" => (F::NOATIME, F::RELATIME | F::STRICTATIME),
            "atime" => (F::empty(), F::NOATIME),
            "nodiratime" => (F::NODIRATIME, F::empty()),
            "diratime" => (F::empty(), F::NODIRATIME),
            "relatime" => (F::RELATIME, F::NOATIME | F::STRICTATIME),
            "norelatime" => (F::empty(), F::RELATIME),
            "strictatime" => (F::STRICTATIME, F::NOATIME | F::RELATIME),
            "nostrictatime" => (F::empty(), F::STRICTATIME),
            "lazytime" => (F::LAZYTIME, F::empty()),
            "nolazytime" => (F::empty(), F::LAZYTIME),
            "sync" => (F::SYNCHRONOUS, F::empty()),
            "async" => (F::empty(), F::SYNCHRONOUS),
            "dirsync" => (F::DIRSYNC, F::empty()),
            "nosymfollow" => (F::NOSYMFOLLOW, F::empty()),
            "symfollow" => (F::empty(), F::NOSYMFOLLOW),
            _ => return false,
        };
        self.flags = (self.flags - clear) | set;
        true
    }

    /// How long what is leased may be used. Who has chosen a lifetime means it.
    #[must_use]
    pub fn lease_lifetime(&self) -> Duration {
        let default = Self::default();
        let three = |of: &Self| [of.entry_timeout, of.attr_timeout, of.negative_timeout];
        let usual = if three(self) == three(&default) { LEASE_LIFETIME } else { Duration::ZERO };
        self.lease_timeout.unwrap_or(usual)
    }

    /// Our words with a value; anything else is the mini-redirector's.
    fn take_value(&mut self, key: &str, value: Option<&str>) -> Result<(), UsageError> {
        let wrong = |what: String| UsageError(format!("option {key}: {what}"));
        let needed = || match value {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(wrong(format!("needs a value: {key}=…"))),
        };
        let time = || parse_duration(needed()?).map_err(wrong);
        let bound = || parse_bound(needed()?).map_err(wrong);
        match key {
            "name" => self.name = Some(needed()?.to_owned()),
            "entry_timeout" => self.entry_timeout = time()?,
            "attr_timeout" => self.attr_timeout = time()?,
            "negative_timeout" => self.negative_timeout = time()?,
            "lease_timeout" => self.lease_timeout = Some(time()?),
            "control_dir" => self.control_dir = parse_control_dir(needed()?).map_err(wrong)?,
            "control_group" => self.control_group = Some(needed()?.to_owned()),
            "control_allow" | "control_deny" => {
                self.overrides.take(needed()?, key == "control_allow").map_err(wrong)?;
            }
            "stop_grace" => self.stop_grace = time()?,
            "stop_deadline" => self.stop_deadline = bound()?,
            "on_deadline" | "stop_on_deadline" => {
                self.stop_on_deadline = parse_on_deadline(needed()?).map_err(wrong)?;
            }
            "request_deadline" => self.request_deadline = bound()?,
            "survivors" => {
                self.survivors = match needed()? {
                    "reclaim" => Survivors::Reclaim,
                    "stale" => Survivors::Stale,
                    other => return Err(wrong(format!("\"{other}\" is not reclaim or stale"))),
                };
            }
            "fuse_threads" => {
                let number = needed()?;
                self.fuse_threads = match number.parse() {
                    Ok(threads) if (1..=FUSE_THREADS_MAX).contains(&threads) => threads,
                    _ => {
                        let range = format!("a number from 1 to {FUSE_THREADS_MAX}");
                        return Err(wrong(format!("\"{number}\" is not {range}")));
                    }
                };
            }
            "fsname" => self.fsname = Some(needed()?.to_owned()),
            // The type is how a dead mount of ours is found: it cannot be chosen.
            "subtype" if value == Some("minirdr") => {}
            "subtype" => return Err(wrong("can only be minirdr".to_owned())),
            "default_permissions" | "allow_other" | "ro" | "rw" => {
                return Err(wrong("takes no value".to_owned()));
            }
            _ => self.redirector_options.push((key.to_owned(), value.unwrap_or("").to_owned())),
        }
        Ok(())
    }
}

/// Words of mount(8), fstab, systemd and libmount that mean nothing to a helper.
fn is_ignored(key: &str) -> bool {
    key.starts_with("x-")
        || key.starts_with("X-")
        || matches!(
            key,
            "defaults"
                | "auto"
                | "noauto"
                | "nouser"
                | "nousers"
                | "noowner"
                | "nogroup"
                | "nofail"
                | "comment"
                | "helper"
                | "uhelper"
                | "silent"
                | "loud"
                | "mand"
                | "nomand"
                | "iversion"
                | "noiversion"
        )
}

/// Words of mount(8) that ask for something a new mount cannot be.
fn refused(key: &str) -> Option<&'static str> {
    match key {
        "remount" => Some("a mount of minirdr cannot be remounted; umount it and mount it again"),
        "bind" | "rbind" | "move" => {
            Some("not an option of a new mount; use mount --bind or --move")
        }
        "fd" | "rootmode" | "user_id" | "group_id" => Some("set by minirdr itself"),
        "blkdev" | "blksize" => Some("only for block devices"),
        _ => None,
    }
}

fn parse_control_dir(value: &str) -> Result<Option<String>, String> {
    match value {
        "off" => Ok(None),
        "." | ".." => Err(format!("\"{value}\" is no name for a directory")),
        _ if value.contains('/') || value.len() > 255 => {
            Err(format!("\"{value}\" is not one name of a directory, or off"))
        }
        _ => Ok(Some(value.to_owned())),
    }
}

/// Reads `resume`, `stay`, `cancel` or `abort`.
///
/// # Errors
/// What would be right.
pub fn parse_on_deadline(value: &str) -> Result<OnDeadline, String> {
    match value {
        "resume" => Ok(OnDeadline::Resume),
        "stay" => Ok(OnDeadline::Stay),
        "cancel" => Ok(OnDeadline::Cancel),
        "abort" => Ok(OnDeadline::Abort),
        _ => Err(format!("\"{value}\" is not resume, stay, cancel or abort")),
    }
}

/// The word [`parse_on_deadline`] reads.
#[must_use]
pub const fn on_deadline_word(policy: OnDeadline) -> &'static str {
    match policy {
        OnDeadline::Resume => "resume",
        OnDeadline::Stay => "stay",
        OnDeadline::Cancel => "cancel",
        OnDeadline::Abort => "abort",
    }
}

/// The generic words that give back these flags on top of the default ones. fusermount3 takes the
/// same words.
#[must_use]
pub fn flag_words(flags: MountFlags) -> Vec<&'static str> {
    let choice = |flag, on, off| if flags.contains(flag) { on } else { off };
    let always =
        [choice(MountFlags::NOSUID, "nosuid", "suid"), choice(MountFlags::NODEV, "nodev", "dev")];
    let others = [
        (MountFlags::NOEXEC, "noexec"),
        (MountFlags::NOATIME, "noatime"),
        (MountFlags::NODIRATIME, "nodiratime"),
        (MountFlags::RELATIME, "relatime"),
        (MountFlags::STRICTATIME, "strictatime"),
        (MountFlags::LAZYTIME, "lazytime"),
        (MountFlags::SYNCHRONOUS, "sync"),
        (MountFlags::DIRSYNC, "dirsync"),
        (MountFlags::NOSYMFOLLOW, "nosymfollow"),
    ];
    let set = others.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| word);
    always.into_iter().chain(set).collect()
}

/// A value, or a whole word, as [`split_words`] reads it back.
#[must_use]
pub fn quoted(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('"', "\\\"")
}

/// Splits at commas outside quotes; takes quotes and backslashes away. Empty words are skipped, as
/// mount(8) does.
///
/// # Errors
/// A quote that is not closed.
pub fn split_words(text: &str) -> Result<Vec<String>, UsageError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut in_quotes = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => in_quotes = !in_quotes,
            '\\' => word.push(characters.next().unwrap_or('\\')),
            ',' if !in_quotes => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    if in_quotes {
        return Err(UsageError(format!("options {text}: a double quote is not closed")));
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> MountOptions {
        MountOptions::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn nothing_means_the_defaults() {
        for text in ["", ",", "defaults", "rw", "auto,nofail,x-systemd.automount,X-y=1"] {
            assert_eq!(parse(text), MountOptions::default(), "{text}");
        }
        let default = MountOptions::default();
        assert!(default.default_permissions && !default.allow_other && !default.read_only);
        assert_eq!(default.control_dir.as_deref(), Some(".minirdr"));
        assert_eq!(default.stop_deadline, Some(Duration::from_secs(90)));
        assert_eq!(default.stop_on_deadline, OnDeadline::Cancel);
    }

    #[test]
    fn ours_are_read() {
        let options = parse(
            "ro,allow_other,no_default_permissions,entry_timeout=5,attr_timeout=1.5s,\
             negative_timeout=10ms,control_dir=.ctl,stop_grace=5m,stop_deadline=infinity,\
             on_deadline=stay,request_deadline=off,survivors=stale,\
             fuse_threads=8,fsname=nas:/x,name=bk,control_group=staff,\
             control_allow=group:abort+detach,control_deny=other:read,control_deny=other:inquire",
        );
        assert_eq!(options.control_group.as_deref(), Some("staff"));
        assert_eq!(options.overrides.words(true), ["group:abort+detach"]);
        assert_eq!(options.overrides.words(false), ["other:inquire+read"]);
        assert!(options.read_only && options.allow_other && !options.default_permissions);
        assert_eq!(options.entry_timeout, Duration::from_secs(5));
        assert_eq!(options.attr_timeout, Duration::from_millis(1500));
        assert_eq!(options.negative_timeout, Duration::from_millis(10));
        assert_eq!(options.control_dir.as_deref(), Some(".ctl"));
        assert_eq!(options.stop_grace, Duration::from_secs(300));
        assert_eq!(options.stop_deadline, None);
        assert_eq!(options.stop_on_deadline, OnDeadline::Stay);
        assert_eq!(options.request_deadline, None);
        assert_eq!(options.survivors, Survivors::Stale);
        assert_eq!(options.fuse_threads, 8);
        assert_eq!(options.fsname.as_deref(), Some("nas:/x"));
        assert_eq!(options.name.as_deref(), Some("bk"));
        assert!(options.redirector_options.is_empty());
        assert_eq!(parse("control_dir=off").control_dir, None);
        assert_eq!(parse("stop_on_deadline=abort").stop_on_deadline, OnDeadline::Abort);
    }

    #[test]
    fn generic_words_do_what_mount_8_says() {
        use MountFlags as F;
        let usual = F::NOSUID | F::NODEV;
        let cases = [
            ("exec", usual),
            ("noexec", usual | F::NOEXEC),
            ("suid,dev", F::empty()),
            ("user", usual | F::NOEXEC),
            ("users,exec,suid", F::NODEV),
            ("exec,user", usual | F::NOEXEC),
            ("suid,owner", usual),
            ("noatime,relatime", usual | F::RELATIME),
            ("relatime,noatime", usual | F::NOATIME),
            (
                "strictatime,nodiratime,lazytime",
                usual | F::STRICTATIME | F::NODIRATIME | F::LAZYTIME,
            ),
            ("sync,dirsync,async", usual | F::DIRSYNC),
        ];
        for (text, flags) in cases {
            assert_eq!(parse(text).flags, flags, "{text}");
        }
        assert!(!parse("ro,rw").read_only, "the later word wins");
        assert!(parse("rw,ro").read_only, "the later word wins");
    }

    #[test]
    fn unknown_words_go_to_the_mini_redirector() {
        let options = parse("size=64M,latency=40ms,verbose,path=\"a,b\",quoted=x\\,y");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            options.redirector_options,
            [
                pair("size", "64M"),
                pair("latency", "40ms"),
                pair("verbose", ""),
                pair("path", "a,b"),
                pair("quoted", "x,y")
            ]
        );
    }

    #[test]
    fn wrong_words_are_refused_with_a_cure() {
        let cases = [
            ("entry_timeout", "needs a value"),
            ("entry_timeout=", "needs a value"),
            ("entry_timeout=soon", "30s"),
            ("stop_deadline=never", "no duration"),
            ("on_deadline=kill", "resume, stay, cancel or abort"),
            ("survivors=keep", "reclaim or stale"),
            ("fuse_threads=0", "from 1 to 64"),
            ("fuse_threads=65", "from 1 to 64"),
            ("fuse_threads=many", "from 1 to 64"),
            ("control_dir=a/b", "one name"),
            ("control_dir=..", "no name"),
            ("control_group", "needs a value"),
            ("control_allow=stop", "not WHO:WHAT"),
            ("control_group=x,control_allow=group:halt", "not one of inquire, read, stop"),
            ("control_deny=root:stop", "may everything"),
            ("control_deny=group:stop", "control_group=NAME"),
            ("subtype=sshfs", "can only be minirdr"),
            ("remount,ro", "cannot be remounted"),
            ("bind", "mount --bind"),
            ("fd=5", "set by minirdr"),
            ("ro=1", "takes no value"),
            ("=x", "no name"),
            ("siz e=1", "no option's name"),
            ("fsname=\"x", "not closed"),
        ];
        for (text, part) in cases {
            let error = MountOptions::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_options_in_force_are_short_and_read_back() {
        assert_eq!(MountOptions::default().words(), ["rw", "nosuid", "nodev"]);
        let text = "ro,suid,noexec,allow_other,_netdev,no_default_permissions,entry_timeout=0.25,\
                    control_dir=off,stop_deadline=off,on_deadline=resume,survivors=stale,\
                    fuse_threads=2,fsname=a\\,b\\\\c,name=bk,latency=40ms,verbose,control_group=50,\
                    control_allow=group:settle,control_allow=other:stop,control_deny=group:read";
        let options = parse(text);
        assert_eq!(parse(&options.words().join(",")), options);
    }

    proptest! {
        /// Whatever is accepted reads back as itself from its own words.
        #[test]
        fn accepted_options_read_back(
            words in proptest::collection::vec(
                "(ro|rw|suid|noexec|user|noatime|lazytime|allow_other\
                |stop_grace=[0-9]{1,4}(ms|s|m)?|request_deadline=[0-9]{1,3}\
                |[a-z]{1,6}=[a-z\\\\,\"]{0,6}\
                |control_group=[a-z]{1,4}|control_(allow|deny)=(group|other):(stop|read)\
                |fuse_threads=[0-9]{1,2}|control_dir=[a-z.]{1,4})",
                0..8,
            ),
        ) {
            if let Ok(options) = MountOptions::parse(&words.join(",")) {
                let again = MountOptions::parse(&options.words().join(","));
                prop_assert_eq!(again, Ok(options));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = MountOptions::parse(&text);
        }
    }
}
