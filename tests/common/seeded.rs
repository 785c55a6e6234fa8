//! Properties with a seed that is known: fixed, told, and changed by `PROPTEST_RNG_SEED`.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseResult, TestRunner};
use std::io::Write;

/// The seed of every run that asks for no other: CI tests the same cases every time.
const SEED: u64 = 20_261_127;

/// Tests `cases` values, or as many as `PROPTEST_CASES` asks for if that is more. The seed is told
/// on stderr itself: the harness keeps what a test that passes prints.
pub fn check<S: Strategy>(
    name: &str,
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> TestCaseResult,
) {
    let asked = std::env::var("PROPTEST_CASES").is_ok();
    let defaults = Config::default();
    let cases = if asked { cases.max(defaults.cases) } else { cases };
    let seed = match defaults.rng_seed {
        RngSeed::Random => SEED,
        RngSeed::Fixed(seed) => seed,
    };
    let line = format!("{name}: {cases} cases, PROPTEST_RNG_SEED={seed}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is there");
    let rng_seed = RngSeed::Fixed(seed);
    let config = Config { cases, rng_seed, failure_persistence: None, ..defaults };
    if let Err(error) = TestRunner::new(config).run(strategy, test) {
        panic!("{error}\nagain with PROPTEST_RNG_SEED={seed}");
    }
}
