//! Who is the same visitor within one UTC day, without keeping who it is.
//!
//! A visitor is the keyed hash (SipHash-1-3, 64 bits) of client network and user agent under a salt that is random, shared by all
//! nodes, and thrown away after its day: yesterday's hashes cannot be linked to today's, nor to an address.

use std::net::IpAddr;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(…)")
    }
}

impl Salt {
    /// Where tomorrow's salt could not be fetched in time: derived, so that counting goes on.
    pub fn derive(&self, _day: i64) -> Salt {
        todo!("core")
    }

    /// IPv6 addresses count by their /64.
    pub fn visitor(&self, _client: IpAddr, _user_agent: Option<&[u8]>) -> u64 {
        todo!("core")
    }
}
