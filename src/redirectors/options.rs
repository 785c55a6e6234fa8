//! What is wrong with an option of a mount, in one line its user can act on.

/// An option a mini-redirector does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// It has no such option.
    #[error("unknown option `{option}` for {redirector}: known are {known}")]
    Unknown {
        /// The mini-redirector's name.
        redirector: &'static str,
        /// What was given.
        option: String,
        /// What could have been given, separated by commas.
        known: &'static str,
    },
    /// It has the option, and cannot use the value.
    #[error("bad value `{value}` for option `{option}` of {redirector}: expected {expected}")]
    BadValue {
        /// The mini-redirector's name.
        redirector: &'static str,
        /// Which option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it should look like, with an example.
        expected: &'static str,
    },
}
