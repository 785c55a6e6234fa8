//! Names, checked once at the edge: after that a `Name` cannot be wrong.

use crate::base::limits::NAME_BYTES_MAX;
use crate::base::status::Status;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// One component of a path, of any bytes but `/` and NUL, 1 to 255 long, neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// `NameTooLong` over 255 bytes; `InvalidParameter` when empty, `.`, `..`, or with `/` or NUL.
    pub fn new(bytes: &[u8]) -> Result<Self, Status> {
        if bytes.len() > NAME_BYTES_MAX {
            return Err(Status::NameTooLong);
        }
        let forbidden = bytes.is_empty()
            || bytes == b"."
            || bytes == b".."
            || bytes.iter().any(|&byte| byte == b'/' || byte == 0);
        if forbidden {
            return Err(Status::InvalidParameter);
        }
        Ok(Self(bytes.into()))
    }

    /// The same for what the kernel hands over.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn from_os(name: &OsStr) -> Result<Self, Status> {
        Self::new(name.as_bytes())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as the system's calls take it.
    #[must_use]
    pub fn as_os(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// An owned copy for path building.
    #[must_use]
    pub fn to_os(&self) -> OsString {
        OsString::from_vec(self.0.to_vec())
    }
}

/// What a plain name is made of, for whoever is told that something is none.
pub const PLAIN_NAME_RULE: &str =
    "a name is letters, digits and . _ - + @ :, and starts with none of . -";

/// Is this a plain name: of a mount, or of a provider? It is a part of file names and a word of
/// commands.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "._-+@:".contains(c);
    !text.is_empty() && !text.starts_with(['.', '-']) && text.chars().all(allowed)
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(out)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.as_os())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_bytes_but_the_forbidden_ones() {
        assert!(Name::new(b"plain").is_ok());
        assert!(Name::new(&[0xff, 0xfe, b'\n']).is_ok());
        assert!(Name::new(&[b'x'; 255]).is_ok());
        assert_eq!(Name::new(&[b'x'; 256]), Err(Status::NameTooLong));
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert_eq!(Name::new(bad), Err(Status::InvalidParameter));
        }
    }

    #[test]
    fn plain_names_are_words_and_parts_of_file_names() {
        for good in ["docs", "a", "9", "übung", "a@b:c+d_e-f.g"] {
            assert!(is_plain_name(good), "{good}");
        }
        for bad in ["", ".a", "-a", "a b", "a/b", "a\n", "a\0", "\"", ".."] {
            assert!(!is_plain_name(bad), "{bad:?}");
        }
    }
}
