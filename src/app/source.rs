//! Sources: the word before the mount point, `memory:`, `local:/srv/data`, `faulty:memory:`; pure.

use crate::app::options::UsageError;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What is mounted. Its display is the word it was parsed from, as `mount` takes it again; that of
/// a configuration is for people, and `mount` takes its file behind `--config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `memory:`, a tree in the daemon's memory.
    Memory,
    /// `local:DIR`, a directory of this machine served as if remote.
    Local(PathBuf),
    /// `faulty:SOURCE`, another source with seeded delays, errors, hangs and panics.
    Faulty(Box<Source>),
    /// `config:FILE`, the providers of a configuration file: what `mount --config FILE` mounts. No
    /// word of a command is parsed to it.
    Namespace(PathBuf),
}

impl Source {
    /// Reads a source. The path of `local:` is taken as it is written, relative or not.
    ///
    /// # Errors
    /// An unknown or missing scheme, or something missing or left over behind it.
    pub fn parse(text: &OsStr) -> Result<Self, UsageError> {
        let bytes = text.as_bytes();
        let shown = text.to_string_lossy();
        let Some(colon) = bytes.iter().position(|&byte| byte == b':') else {
            return Err(UsageError(match bytes {
                b"memory" | b"local" | b"faulty" => {
                    format!("source \"{shown}\" lacks its colon: {KNOWN}")
                }
                _ => format!("source \"{shown}\" names no scheme: {KNOWN}"),
            }));
        };
        let (scheme, rest) = (&bytes[..colon], &bytes[colon + 1..]);
        match scheme {
            b"memory" if rest.is_empty() => Ok(Self::Memory),
            b"memory" => Err(UsageError(format!(
                "source \"{shown}\": memory: takes nothing after its colon"
            ))),
            b"local" if rest.is_empty() => {
                Err(UsageError("source \"local:\" names no directory: local:/srv/data".to_owned()))
            }
            b"local" => Ok(Self::Local(PathBuf::from(OsStr::from_bytes(rest)))),
            b"faulty" if rest.starts_with(b"faulty:") => {
                Err(UsageError(format!("source \"{shown}\": faulty: cannot wrap itself")))
            }
            b"config" => Err(UsageError(format!(
                "source \"{shown}\": several providers are mounted with --config FILE, \
                 and no source"
            ))),
            b"faulty" => Ok(Self::Faulty(Box::new(Self::parse(OsStr::from_bytes(rest))?))),
            _ => Err(UsageError(format!(
                "source \"{shown}\" has an unknown scheme \"{}:\": {KNOWN}",
                String::from_utf8_lossy(scheme)
            ))),
        }
    }

    /// Its scheme, which names the mini-redirector.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Local(_) => "local",
            Self::Faulty(_) => "faulty",
            Self::Namespace(_) => "namespace",
        }
    }

    /// The local directory served, whatever wraps it.
    #[must_use]
    pub fn local_directory(&self) -> Option<&PathBuf> {
        match self {
            Self::Memory | Self::Namespace(_) => None,
            Self::Local(path) => Some(path),
            Self::Faulty(inner) => inner.local_directory(),
        }
    }

    /// The same source with its local directory, if any, replaced by what `change` makes of it.
    ///
    /// # Errors
    /// Whatever `change` answers.
    pub fn map_directory<E>(
        self,
        change: impl FnOnce(PathBuf) -> Result<PathBuf, E>,
    ) -> Result<Self, E> {
        match self {
            Self::Memory | Self::Namespace(_) => Ok(self),
            Self::Local(path) => change(path).map(Self::Local),
            // One level: `parse` refuses faulty inside faulty, and boxing stays out of the
            // recursion.
            Self::Faulty(inner) => match *inner {
                Self::Local(path) => {
                    change(path).map(|path| Self::Faulty(Box::new(Self::Local(path))))
                }
                other => Ok(Self::Faulty(Box::new(other))),
            },
        }
    }
}

/// What a source may be, for the one line a user gets.
const KNOWN: &str = "known are memory:, local:DIR and faulty:SOURCE";

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => out.write_str("memory:"),
            Self::Local(path) => write!(out, "local:{}", path.display()),
            Self::Faulty(inner) => write!(out, "faulty:{inner}"),
            Self::Namespace(file) => write!(out, "config:{}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Source, String> {
        Source::parse(OsStr::new(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_source_reads_back_from_its_display() {
        for text in ["memory:", "local:/srv/data", "local:rel/dir", "local:/a:b", "faulty:memory:"]
        {
            assert_eq!(parse(text).expect("good source").to_string(), text);
        }
        assert_eq!(
            parse("faulty:local:/x"),
            Ok(Source::Faulty(Box::new(Source::Local(PathBuf::from("/x")))))
        );
    }

    #[test]
    fn wrong_sources_say_what_would_be_right() {
        let cases = [
            ("memory", "lacks its colon"),
            ("/srv/data", "names no scheme"),
            ("", "names no scheme"),
            ("sftp://host/dir", "unknown scheme \"sftp:\""),
            (":x", "unknown scheme \":\""),
            ("memory:x", "takes nothing"),
            ("local:", "names no directory"),
            ("faulty:", "names no scheme"),
            ("faulty:sftp:x", "unknown scheme"),
            ("faulty:faulty:memory:", "cannot wrap itself"),
            ("config:/etc/net.toml", "mounted with --config FILE"),
            ("faulty:config:net.toml", "mounted with --config FILE"),
        ];
        for (text, part) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains('\n'), "{text}: one line");
        }
    }

    #[test]
    fn a_configuration_is_shown_and_has_no_directory_of_its_own() {
        let source = Source::Namespace(PathBuf::from("/etc/net.toml"));
        assert_eq!(
            (source.to_string().as_str(), source.scheme()),
            ("config:/etc/net.toml", "namespace")
        );
        assert_eq!(source.local_directory(), None);
        assert_eq!(source.clone().map_directory(|_| Err(())), Ok(source));
    }

    #[test]
    fn a_path_of_any_bytes_is_kept() {
        let source = Source::parse(OsStr::from_bytes(b"local:/\xff")).expect("bytes");
        assert_eq!(source, Source::Local(PathBuf::from(OsStr::from_bytes(b"/\xff"))));
    }

    #[test]
    fn the_directory_is_found_and_changed_through_the_wrapping() {
        let source = parse("faulty:local:data").expect("good");
        assert_eq!(source.local_directory(), Some(&PathBuf::from("data")));
        let absolute = source.map_directory(|path| Ok::<_, ()>(PathBuf::from("/root").join(path)));
        assert_eq!(absolute.expect("infallible").to_string(), "faulty:local:/root/data");
        let memory = parse("faulty:memory:").expect("good");
        assert_eq!(memory.clone().map_directory(|_| Err(())), Ok(memory));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
