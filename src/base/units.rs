//! Durations and sizes as people write and read them; pure.
//!
//! One spelling for mount options, command line and output, so that what is printed can be typed.

use std::time::Duration;

/// Reads `90`, `30s`, `5m`, `1h30m`, `1.5h`, `250ms`, `2d`; a bare number is seconds.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write 30s, 5m, 1h30m or a number of seconds");
    let whole = text.trim();
    if whole.is_empty() {
        return Err(wrong());
    }
    let mut rest = whole;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let number: f64 = digits.parse().map_err(|_| wrong())?;
        let scale = match unit {
            "" if digits.len() == whole.len() => 1.0,
            "ms" => 0.001,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        seconds += number * scale;
        rest = after.trim_start();
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// As [`parse_duration`], with `infinity`, `none` and `off` for "no bound".
///
/// # Errors
/// As [`parse_duration`].
pub fn parse_bound(text: &str) -> Result<Option<Duration>, String> {
    match text.trim() {
        "infinity" | "none" | "off" => Ok(None),
        other => parse_duration(other).map(Some),
    }
}

/// How old something is, in two units at most: `38s`, `1m12s`, `2h03m`, `3h`, `9d4h`.
#[must_use]
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |large: u64, large_unit: &str, small: u64, small_unit: &str, width: usize| {
        if small == 0 {
            format!("{large}{large_unit}")
        } else {
            format!("{large}{large_unit}{small:0width$}{small_unit}")
        }
    };
    if minutes == 0 {
        format!("{seconds}s")
    } else if hours == 0 {
        pair(minutes, "m", seconds % 60, "s", 2)
    } else if days == 0 {
        pair(hours, "h", minutes % 60, "m", 2)
    } else {
        pair(days, "d", hours % 24, "h", 1)
    }
}

/// How long something took: `3 ms`, `0.03 s`, `4.8 s`, and from a minute on as [`age`].
#[must_use]
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    // The bounds are those at which rounding would show the next unit.
    if seconds < 0.0095 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 0.995 {
        format!("{seconds:.2} s")
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        age(Duration::from_secs_f64(seconds.round()))
    }
}

/// Bytes with a binary unit and one decimal: `0 B`, `12.3 KiB`, `41.0 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths, rounded, in integers: a float would lose the low bits of large sizes.
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in UNITS {
        if (tenths + 5) / 10 < 1024 {
            break;
        }
        tenths = (tenths + 512) / 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Reads `4096`, `64K`, `10MiB`, `1.5G`; binary units, with or without `iB`.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: write 4096, 64K, 10M or 1.5GiB");
    let text = text.trim();
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let unit = unit.trim_start().to_ascii_uppercase();
    let unit = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        _ => return Err(wrong()),
    };
    let scale = 1_u64 << shift;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale).ok_or_else(wrong);
    }
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = number * scale as f64;
    // 2^63 is far beyond any file; above it the conversion below would saturate silently.
    if bytes < 9.2e18 { Ok(bytes.round() as u64) } else { Err(wrong()) }
}

/// `1 handle`, `2 handles`, `0 requests`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_as_people_write_them() {
        let good = [
            ("90", 90_000),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("2d", 172_800_000),
            ("0", 0),
        ];
        for (text, milliseconds) in good {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", " ", "s", "5x", "-5", "1.2.3", "5m30", "1e3", "infinity", "99999999999d99"]
        {
            assert!(parse_duration(bad).is_err(), "{bad:?} was taken");
        }
        assert!(parse_duration("99999999999999999999d").is_err(), "beyond what a Duration holds");
    }

    #[test]
    fn a_bound_can_be_none() {
        assert_eq!(parse_bound("infinity"), Ok(None));
        assert_eq!(parse_bound("off"), Ok(None));
        assert_eq!(parse_bound("5m"), Ok(Some(Duration::from_secs(300))));
        assert!(parse_bound("never").is_err());
    }

    #[test]
    fn ages_in_two_units() {
        let cases = [
            (0, "0s"),
            (38, "38s"),
            (60, "1m"),
            (72, "1m12s"),
            (65, "1m05s"),
            (3600, "1h"),
            (7380, "2h03m"),
            (10_800, "3h"),
            (86_400, "1d"),
            (9 * 86_400 + 4 * 3600, "9d4h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn elapsed_never_shows_a_full_next_unit() {
        let cases = [
            (0.0031, "3 ms"),
            (0.0099, "0.01 s"),
            (0.031, "0.03 s"),
            (0.9999, "1.0 s"),
            (4.81, "4.8 s"),
            (59.99, "1m"),
        ];
        for (seconds, text) in cases {
            assert_eq!(elapsed(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn sizes_with_one_decimal() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (12_595, "12.3 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (42_991_616, "41.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        let good = [("4096", 4096), ("64K", 65_536), ("10MiB", 10 << 20), ("1.5g", 3 << 29)];
        for (text, bytes) in good {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "K", "12X", "-1", "1.2.3K", "99999999999999999999", "16384P"] {
            assert!(parse_size(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn nouns_agree_with_their_number() {
        assert_eq!(count(0, "handle"), "0 handles");
        assert_eq!(count(1, "handle"), "1 handle");
        assert_eq!(count(3, "holder"), "3 holders");
    }

    proptest! {
        /// What is printed can be typed: an age reads back to within its smaller unit.
        #[test]
        fn an_age_reads_back(seconds in 0_u64..10_000_000) {
            let text = age(Duration::from_secs(seconds));
            let back = parse_duration(&text).expect("own spelling").as_secs();
            prop_assert!(back <= seconds && seconds - back < 3600);
        }

        /// No text makes the readers panic.
        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = parse_duration(&text);
            let _ = parse_bound(&text);
            let _ = parse_size(&text);
        }
    }
}
