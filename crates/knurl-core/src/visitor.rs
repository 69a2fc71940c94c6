//! Who is the same visitor within one UTC day, without keeping who it is.
//!
//! A visitor is the keyed hash (SipHash-1-3, 64 bits) of client network and user agent under a salt that is random, shared by all
//! nodes, and thrown away after its day: yesterday's hashes cannot be linked to today's, nor to an address. The agent goes into it as its
//! XXH3 (64 bits, no secret): who makes two agents collide is counted as one visitor instead of two, and gains nothing.

use std::{hash::Hasher, net::IpAddr};

use siphasher::sip::{SipHasher13, SipHasher24};
use xxhash_rust::xxh3::xxh3_64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(…)")
    }
}

impl Salt {
    /// Where tomorrow's salt could not be fetched in time: derived, so that counting goes on. The same on every node, and no way back
    /// to the salt it was derived from.
    pub fn derive(&self, day: i64) -> Salt {
        let half = |which: u8| {
            let mut hasher = SipHasher24::new_with_key(&self.0);
            hasher.write(b"knurl visitor salt");
            hasher.write(&[which]);
            hasher.write(&day.to_le_bytes());
            hasher.finish().to_le_bytes()
        };
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&half(0));
        salt[8..].copy_from_slice(&half(1));
        Salt(salt)
    }

    /// IPv6 addresses count by their /64, IPv4 addresses mapped into IPv6 as themselves. No agent is another visitor than an empty one.
    pub fn visitor(&self, client: IpAddr, user_agent: Option<&[u8]>) -> u64 {
        // What is hashed, in one piece: the family, the network, whether there is an agent, the agent.
        let mut seed = [0; 18];
        match client.to_canonical() {
            IpAddr::V4(address) => {
                seed[0] = 4;
                seed[1..5].copy_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                seed[0] = 6;
                seed[1..9].copy_from_slice(&address.octets()[..8]);
            }
        }
        if let Some(user_agent) = user_agent {
            seed[9] = 1;
            seed[10..].copy_from_slice(&xxh3_64(user_agent).to_le_bytes());
        }
        SipHasher13::new_with_key(&self.0).hash(&seed)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SALT: Salt = Salt(*b"0123456789abcdef");

    fn visitor(client: &str, user_agent: Option<&str>) -> u64 {
        SALT.visitor(client.parse().unwrap(), user_agent.map(str::as_bytes))
    }

    #[rstest]
    #[case::same_64("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff")]
    #[case::mapped("192.0.2.7", "::ffff:192.0.2.7")]
    fn two_addresses_of_one_network_are_one_visitor(#[case] one: &str, #[case] other: &str) {
        assert_eq!(visitor(one, Some("x")), visitor(other, Some("x")));
    }

    #[rstest]
    #[case::address("192.0.2.7", "192.0.2.8")]
    #[case::network("2001:db8:1:2::1", "2001:db8:1:3::1")]
    #[case::family("32.1.13.184", "2001:db8::")]
    fn two_networks_are_two_visitors(#[case] one: &str, #[case] other: &str) {
        assert_ne!(visitor(one, None), visitor(other, None));
    }

    #[test]
    fn the_agent_tells_visitors_of_one_network_apart() {
        let all = [None, Some(""), Some("a"), Some("ab")].map(|agent| visitor("192.0.2.7", agent));
        assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)), "{all:?}");
    }

    #[test]
    fn another_salt_makes_another_visitor_of_everybody() {
        let client = "192.0.2.7".parse().unwrap();
        assert_ne!(SALT.visitor(client, None), Salt([1; 16]).visitor(client, None));
    }

    #[test]
    fn a_derived_salt_is_the_same_everywhere_and_another_every_day() {
        assert_eq!(SALT.derive(20_000), SALT.derive(20_000));
        assert_ne!(SALT.derive(20_000), SALT.derive(20_001));
        assert_ne!(SALT.derive(20_000), SALT);
        assert_ne!(SALT.derive(20_000).0[..8], SALT.derive(20_000).0[8..]);
    }

    #[test]
    fn nothing_printed_tells_the_salt() {
        assert_eq!(format!("{SALT:?}"), "Salt(…)");
    }
}
