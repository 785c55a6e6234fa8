//! The options of `faulty`, told apart from those of what it wraps.

use super::callout::Callout;
use super::plan::FaultPlan;
use crate::redirectors::options::OptionError;

/// Reads `-o` pairs: those whose key is `seed`, `blocking`, `all` or a callout's name are faults.
pub struct FaultyOptions;

impl FaultyOptions {
    /// Every key that is ours and not a callout's.
    pub const KEYS: [&'static str; 3] = ["seed", "blocking", "all"];

    /// The plan, and the pairs that are for the wrapped mini-redirector.
    ///
    /// # Errors
    /// A fault that makes no sense.
    pub fn split(
        pairs: &[(String, String)],
    ) -> Result<(FaultPlan, Vec<(String, String)>), OptionError> {
        let mut plan = FaultPlan::none();
        let mut rest = Vec::new();
        for (key, value) in pairs {
            if !plan.read(key, value)? {
                rest.push((key.clone(), value.clone()));
            }
        }
        Ok((plan, rest))
    }

    /// Every key that is ours, for help texts.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        Self::KEYS.into_iter().chain(Callout::ALL.into_iter().map(Callout::name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_passed_on() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let pairs = [pair("max_fds", "3"), pair("read", "hang"), pair("seed", "9"), pair("x", "")];
        let (plan, rest) = FaultyOptions::split(&pairs).expect("readable");
        assert_eq!((plan.seed, plan.rules.len()), (9, 1));
        assert_eq!(rest, [pair("max_fds", "3"), pair("x", "")]);
        for key in FaultyOptions::keys() {
            let (_, rest) = FaultyOptions::split(&[pair(key, "1")]).unwrap_or_default();
            assert!(rest.is_empty(), "{key} is ours");
        }
    }
}
