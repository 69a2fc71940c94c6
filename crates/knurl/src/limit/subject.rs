//! Whom a limit counts: a key, or the network a client comes from.
//!
//! Promised: no address is kept, here or in Redis. A network is the hash that a visitor without a user agent has
//! ([`knurl_core::visitor`]): of the IPv4 address or the IPv6 /64, under the day's salt, the same on every node. With the salt the
//! buckets change at midnight UTC, which gives everybody one burst.

use knurl_core::key::KeyHash;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The hash of a network.
    Network(u64),
    /// The beginning of the key's hash: as many bits as no two of our keys share by chance.
    Key(u64),
}

impl Subject {
    /// Names it among its limit's subjects, to whoever counts for several nodes.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Network(number) | Self::Key(number) => number,
        }
    }

    pub fn key(hash: &KeyHash) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = hash.0;
        Self::Key(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}
