//! The options of `memory`: how slow it plays, and how much it holds.

use crate::redirectors::options::{OptionError, parse_delayed_closes};
use std::time::Duration;

/// Its options, as an error lists them.
const KNOWN: [&str; 4] = ["delayed_closes", "files", "latency", "size"];

/// How a memory server behaves for one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryOptions {
    /// Every answer takes this long, as if a network were between; none: it answers at once.
    pub latency: Option<Duration>,
    /// Bytes of content, extended attributes and symlink targets it holds; none: half of this
    /// machine's memory, as tmpfs does.
    pub size_bytes_max: Option<u64>,
    /// Files it holds, whatever their kind; none: one for each KiB of the machine's half.
    pub files_max: Option<u64>,
    /// Closes that may wait for the next open, which with a latency saves two journeys; none: 127.
    pub delayed_closes: Option<usize>,
}

impl MemoryOptions {
    /// Reads mount options: `latency=50ms`, `size=64M` (bytes, or K, M, G, T of 1024), `files=N`,
    /// `delayed_closes=N`.
    /// The last of several with one name counts, as with mount(8).
    ///
    /// # Errors
    /// [`OptionError`] for a name it does not know and a value it cannot use.
    pub fn parse(options: &[(String, String)]) -> Result<Self, OptionError> {
        let mut parsed = Self::default();
        for (option, value) in options {
            match option.as_str() {
                "latency" => parsed.latency = latency(value)?,
                "size" => parsed.size_bytes_max = Some(size(value)?),
                "files" => parsed.files_max = Some(files(value)?),
                "delayed_closes" => parsed.delayed_closes = Some(parse_delayed_closes(value)?),
                _ => {
                    let (key, known) = (option.clone(), KNOWN.to_vec());
                    return Err(OptionError::Unknown { key, known });
                }
            }
        }
        Ok(parsed)
    }
}

fn bad_value(option: &'static str, value: &str, expected: &'static str) -> OptionError {
    OptionError::invalid(option, value, expected)
}

/// A latency of nothing is none.
fn latency(value: &str) -> Result<Option<Duration>, OptionError> {
    humantime::parse_duration(value)
        .map(|latency| Some(latency).filter(|latency| !latency.is_zero()))
        .map_err(|_| bad_value("latency", value, "a duration such as 50ms"))
}

fn size(value: &str) -> Result<u64, OptionError> {
    let (digits, shift) = match value.char_indices().last() {
        Some((at, 'k' | 'K')) => (&value[..at], 10),
        Some((at, 'm' | 'M')) => (&value[..at], 20),
        Some((at, 'g' | 'G')) => (&value[..at], 30),
        Some((at, 't' | 'T')) => (&value[..at], 40),
        _ => (value, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| bad_value("size", value, "a number of bytes such as 64M"))
}

fn files(value: &str) -> Result<u64, OptionError> {
    let number = value.parse().ok().filter(|&number: &u64| number > 0);
    number.ok_or_else(|| bad_value("files", value, "a number such as 100000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<MemoryOptions, String> {
        let options: Vec<_> =
            options.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        MemoryOptions::parse(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_is_read() {
        let parsed = parse(&[("latency", "50ms"), ("size", "64M"), ("files", "1000")]);
        let expected = MemoryOptions {
            latency: Some(Duration::from_millis(50)),
            size_bytes_max: Some(64 << 20),
            files_max: Some(1000),
            delayed_closes: None,
        };
        assert_eq!(parsed, Ok(expected));
        assert_eq!(parse(&[]), Ok(MemoryOptions::default()));
    }

    #[test]
    fn sizes_take_suffixes_and_refuse_nonsense() {
        for (text, bytes) in [("4096", 4096), ("1k", 1 << 10), ("3G", 3 << 30), ("2T", 2 << 40)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "M", "-1", "0", "64MB", "1.5G", "99999999999999T", "é"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_latency_is_none_and_the_last_one_counts() {
        assert_eq!(parse(&[("latency", "5s"), ("latency", "0s")]), Ok(MemoryOptions::default()));
    }

    #[test]
    fn errors_say_what_to_do_in_one_line() {
        assert_eq!(
            parse(&[("latancy", "5ms")]),
            Err("unknown option \"latancy\": known are delayed_closes, files, latency, size"
                .to_owned())
        );
        assert_eq!(
            parse(&[("latency", "soon")]),
            Err("option latency=soon: expected a duration such as 50ms".to_owned())
        );
        assert!(parse(&[("files", "0")]).is_err());
    }
}
