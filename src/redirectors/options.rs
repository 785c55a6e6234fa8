//! What is wrong with an option of a mini-redirector, in one clear line.

use crate::base::limits::DELAYED_CLOSES_MAX;

/// Why an option was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Nobody knows this key.
    #[error("unknown option {key:?}: known are {}", known.join(", "))]
    Unknown {
        /// The key.
        key: String,
        /// Every key that would have been right.
        known: Vec<&'static str>,
    },
    /// The key is known and its value makes no sense.
    #[error("option {key}={value}: expected {expected}")]
    Invalid {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What would have been right.
        expected: String,
    },
}

impl OptionError {
    /// A value that makes no sense.
    pub fn invalid(key: &str, value: &str, expected: impl Into<String>) -> Self {
        Self::Invalid { key: key.to_owned(), value: value.to_owned(), expected: expected.into() }
    }
}

/// Reads a switch: nothing (as in `-o keep_cache`), `yes`, `true`, `on`, `1`, or their contraries.
///
/// # Errors
/// [`OptionError::Invalid`] for any other word.
pub fn parse_switch(key: &str, value: &str) -> Result<bool, OptionError> {
    match value {
        "" | "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err(OptionError::invalid(key, value, "yes or no")),
    }
}

/// How many closes may wait for the next open (`delayed_closes=N`).
///
/// # Errors
/// Not a number, or more than the core allows.
pub fn parse_delayed_closes(value: &str) -> Result<usize, OptionError> {
    let number = value.parse().ok().filter(|&number| number <= DELAYED_CLOSES_MAX);
    number.ok_or_else(|| OptionError::invalid("delayed_closes", value, "a number up to 1023"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_would_have_been_right() {
        let unknown = OptionError::Unknown { key: "kep".into(), known: vec!["keep", "max"] };
        assert_eq!(unknown.to_string(), "unknown option \"kep\": known are keep, max");
        let invalid = parse_switch("keep", "maybe").expect_err("no switch");
        assert_eq!(invalid.to_string(), "option keep=maybe: expected yes or no");
        assert_eq!((parse_switch("keep", ""), parse_switch("keep", "off")), (Ok(true), Ok(false)));
    }
}
