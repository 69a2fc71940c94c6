//! Who asks: the peer of the connection, or what a trusted proxy says of it.
//!
//! Promised: without `trusted_proxies` no header is believed. With them, `X-Forwarded-For` is read from the right and the first hop that
//! is not a trusted proxy is the client: what a client writes into the header itself stands further left and is never reached.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::config::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address at the other end of the connection; an extension of every request the API gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// Of a request that came without one (a test that calls the router itself): the unspecified address.
    pub fn of(extensions: &http::Extensions) -> Self {
        extensions.get::<Self>().copied().unwrap_or(Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }
}

/// Whether the peer is one of our proxies: what it says of others, and of traces, is believed.
pub fn is_proxy(peer: Peer, trusted: &[IpNet]) -> bool {
    is_one_of(peer.0.to_canonical(), trusted)
}

fn is_one_of(ip: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(ip))
}

/// The client's address.
pub fn address(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: IpAddr| is_one_of(ip, trusted);
    let mut client = peer.0.to_canonical();
    if trusted.is_empty() || !is_trusted(client) {
        return client;
    }
    // Several headers are one list (RFC 9110, 5.3), the last one nearest to us.
    for value in headers.get_all(FORWARDED_FOR).iter().rev() {
        for hop in value.as_bytes().rsplit(|&byte| byte == b',') {
            // A hop that cannot be read was written by somebody we cannot judge: the nearest known one stands.
            let Some(ip) = parse(hop) else { return client };
            client = ip;
            if !is_trusted(client) {
                return client;
            }
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let ip = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|addr| addr.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        address(Peer(peer.parse().unwrap()), &headers, &trusted).to_string()
    }

    #[test]
    fn without_trusted_proxies_no_header_is_believed() {
        assert_eq!(client("198.51.100.7", &["203.0.113.9"], &[]), "198.51.100.7");
        assert_eq!(client("198.51.100.7", &["203.0.113.9"], &["10.0.0.0/8"]), "198.51.100.7");
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client("10.0.0.1", &["203.0.113.9"], &trusted), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"], &trusted), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "203.0.113.9", "10.0.0.2"], &trusted), "203.0.113.9");
        assert_eq!(client("fd00::1", &["[2001:db8::5]:4711"], &trusted), "2001:db8::5");
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9:80"], &trusted), "203.0.113.9");
    }

    #[test]
    fn what_cannot_be_read_leaves_the_nearest_known_hop() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(client("10.0.0.1", &["203.0.113.9, unknown"], &trusted), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["junk, 10.0.0.2"], &trusted), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &[""], &trusted), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[], &trusted), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.3,10.0.0.2"], &trusted), "10.0.0.3");
    }
}
