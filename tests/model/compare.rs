//! Random histories, step by step the same for a subject and for the reference.

use crate::generators;
use crate::reference::{Reference, Step};
use crate::subjects::Subject;
use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// Runs random histories; each on a fresh subject.
pub fn compare<S: Subject>(cases: u32, mut fresh: impl FnMut() -> S) {
    // PROPTEST_CASES, where set, asks for more.
    let cases =
        cases.max(std::env::var("PROPTEST_CASES").map_or(0, |cases| cases.parse().unwrap_or(0)));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let fresh = std::cell::RefCell::new(&mut fresh);
    let outcome = TestRunner::new(config).run(&vec(generators::step(), 1..120), |steps| {
        let subject = (fresh.borrow_mut())();
        let mut reference = Reference::default();
        for (at, step) in steps.iter().enumerate() {
            agree(&subject, &mut reference, at, step)?;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn agree(
    subject: &impl Subject,
    reference: &mut Reference,
    at: usize,
    step: &Step,
) -> Result<(), TestCaseError> {
    let (expected, got) = (reference.apply(step), subject.apply(step));
    proptest::prop_assert_eq!(expected, got, "step {}: {:?}", at, step);
    Ok(())
}
