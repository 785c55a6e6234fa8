//! Ours against the plain way, in turns, so that a noisy machine disturbs both alike. Prints, for
//! each case, the median of both and of their ratio; below 1, ours is the faster one.

use std::time::Duration;

/// Turns of each.
const TURNS: usize = 21;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures both in turns. `rounds` is what one measurement repeats.
pub fn compare(
    what: &str,
    plain_name: &str,
    rounds: u64,
    mut ours: impl FnMut() -> Duration,
    mut plain: impl FnMut() -> Duration,
) {
    let (mut our_times, mut plain_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (one, other) = (ours().as_secs_f64(), plain().as_secs_f64());
        our_times.push(one);
        plain_times.push(other);
        ratios.push(one / other);
    }
    let each = |times| median(times) * 1e9 / rounds as f64;
    println!(
        "ratio {what}: ours {:.1} ns, {plain_name} {:.1} ns, {:.2} of it (median of {TURNS} turns)",
        each(our_times),
        each(plain_times),
        median(ratios),
    );
}
