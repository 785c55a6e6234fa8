//! Ours against the plain way, in turns, so that a noisy machine disturbs both alike. Prints, for
//! each case, the median of both and of their ratio; below 1, ours is the faster one.

use std::time::Duration;

/// Turns of each.
const TURNS: usize = 21;

/// The medians of both, in seconds, and of their ratio.
pub struct Medians {
    /// Of ours.
    pub ours: f64,
    /// Of the plain way.
    pub plain: f64,
    /// Of ours divided by the plain way, turn by turn.
    pub ratio: f64,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures both in turns.
pub fn turns(mut ours: impl FnMut() -> Duration, mut plain: impl FnMut() -> Duration) -> Medians {
    let (mut our_times, mut plain_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (one, other) = (ours().as_secs_f64(), plain().as_secs_f64());
        our_times.push(one);
        plain_times.push(other);
        ratios.push(one / other);
    }
    Medians { ours: median(our_times), plain: median(plain_times), ratio: median(ratios) }
}

/// Measures both in turns. `rounds` is what one measurement repeats.
pub fn compare(
    what: &str,
    plain_name: &str,
    rounds: u64,
    ours: impl FnMut() -> Duration,
    plain: impl FnMut() -> Duration,
) {
    let medians = turns(ours, plain);
    let each = |seconds: f64| seconds * 1e9 / rounds as f64;
    println!(
        "ratio {what}: ours {:.1} ns, {plain_name} {:.1} ns, {:.2} of it (median of {TURNS} turns)",
        each(medians.ours),
        each(medians.plain),
        medians.ratio,
    );
}
