//! The options of `local`.

use crate::redirectors::options::{OptionError, parse_delayed_closes, parse_switch};

/// What a user may choose about a served directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalOptions {
    /// The kernel keeps pages and listings from one open to the next. What others change in the
    /// directory itself is then seen only when its modification time has changed.
    pub keep_cache: bool,
    /// Have the system tell what others change in the directory (`lease.rs`), where it can: then
    /// names, attributes, pages and listings are cached until it does.
    pub lease: bool,
    /// Descriptors for known files that are not open; none: half of what the process may have.
    pub max_fds: Option<usize>,
    /// Files that stay open here for the next reader for a while after their last one has closed
    /// them; 0: none does.
    pub delayed_closes: usize,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self { keep_cache: false, lease: true, max_fds: None, delayed_closes: 127 }
    }
}

impl LocalOptions {
    /// Every key [`LocalOptions::parse`] knows.
    pub const KEYS: [&'static str; 4] = ["delayed_closes", "keep_cache", "lease", "max_fds"];

    /// Reads them from `key=value` pairs, the value empty where none was given.
    ///
    /// # Errors
    /// An unknown key, or a value that is not what its key needs.
    pub fn parse(pairs: &[(String, String)]) -> Result<Self, OptionError> {
        let mut options = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "keep_cache" => options.keep_cache = parse_switch(key, value)?,
                "lease" => options.lease = parse_switch(key, value)?,
                "max_fds" => {
                    let number = value.parse().ok().filter(|&number: &usize| number > 0);
                    let wanted = || OptionError::invalid(key, value, "a number above 0");
                    options.max_fds = Some(number.ok_or_else(wanted)?);
                }
                "delayed_closes" => {
                    options.delayed_closes = parse_delayed_closes(value)?;
                }
                _ => {
                    let known = Self::KEYS.to_vec();
                    return Err(OptionError::Unknown { key: key.clone(), known });
                }
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[(&str, &str)]) -> Result<LocalOptions, String> {
        let pairs: Vec<_> =
            text.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        LocalOptions::parse(&pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read_or_refused_in_one_clear_line() {
        assert_eq!(parse(&[]), Ok(LocalOptions::default()));
        let all = parse(&[
            ("keep_cache", ""),
            ("max_fds", "16"),
            ("delayed_closes", "0"),
            ("lease", "no"),
        ]);
        let expected =
            LocalOptions { keep_cache: true, lease: false, max_fds: Some(16), delayed_closes: 0 };
        assert_eq!(all, Ok(expected));
        let unknown = parse(&[("maxfds", "3")]).expect_err("a typing error");
        assert_eq!(
            unknown,
            "unknown option \"maxfds\": known are delayed_closes, keep_cache, lease, max_fds"
        );
        for bad in ["", "0", "-1", "many"] {
            assert!(parse(&[("max_fds", bad)]).is_err(), "{bad}");
        }
        for bad in ["", "-1", "1024", "many"] {
            assert!(parse(&[("delayed_closes", bad)]).is_err(), "{bad}");
        }
    }
}
