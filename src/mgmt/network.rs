//! Networks as an administrator writes them: an address, or an address and a prefix length.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that begin as one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a word is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor a network.
    #[error("{0:?} is neither an address nor a network such as 192.0.2.0/24 or 2001:db8::/32")]
    NotANetwork(String),
    /// A word that says more than it means is a word that was meant otherwise.
    #[error("{0} is an address in a network: write {1}, or the address alone")]
    BitsBeyond(String, Network),
}

impl Network {
    /// Is the address in it? An IPv4 address inside of IPv6 is what it stands for.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, width) = bits(address.to_canonical());
        let (own, own_width) = bits_of(self);
        let shift = u32::from(own_width - self.prefix);
        width == own_width && (bits ^ own).checked_shr(shift).unwrap_or(0) == 0
    }
}

/// An address as a number, and of how many bits.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

fn bits_of(network: &Network) -> (u128, u8) {
    bits(network.address)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let not = || NetworkError::NotANetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| not())?;
        let (number, width) = bits(address);
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= width).ok_or_else(not)?
            }
            Some(_) => return Err(not()),
        };
        let beyond = u32::from(width - prefix);
        let kept = number.checked_shr(beyond).unwrap_or(0).checked_shl(beyond).unwrap_or(0);
        if kept != number {
            let address = match address {
                IpAddr::V4(_) => IpAddr::V4((u32::try_from(kept).unwrap_or_default()).into()),
                IpAddr::V6(_) => IpAddr::V6(kept.into()),
            };
            return Err(NetworkError::BitsBeyond(text.to_owned(), Self { address, prefix }));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match bits_of(self).1 == self.prefix {
            true => self.address.fmt(out),
            false => write!(out, "{}/{}", self.address, self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect(text)
    }

    #[test]
    fn an_address_is_inside_or_outside() {
        for (word, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "11.0.0.0"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "127.0.0.1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ] {
            let parsed = network(word);
            assert_eq!(parsed.to_string(), word);
            assert!(parsed.contains(inside.parse().expect("an address")), "{inside} in {word}");
            assert!(!parsed.contains(outside.parse().expect("an address")), "{outside} in {word}");
        }
        assert_eq!(network("192.0.2.7/32"), network("192.0.2.7"));
    }

    #[test]
    fn what_is_no_network_is_refused_in_one_line() {
        for word in ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10/8", "::/129"] {
            let error = word.parse::<Network>().expect_err(word).to_string();
            assert!(error.contains("192.0.2.0/24") && !error.contains('\n'), "{error}");
        }
        let error = "10.1.2.3/8".parse::<Network>().expect_err("an address").to_string();
        assert!(error.contains("write 10.0.0.0/8"), "{error}");
        let error = "2001:db8::1/32".parse::<Network>().expect_err("an address").to_string();
        assert!(error.contains("write 2001:db8::/32"), "{error}");
    }
}
