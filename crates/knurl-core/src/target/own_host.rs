//! Hosts that are us, in a form in which all spellings of one host are equal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::Host;

/// One of the operator's own hosts, prepared once so that a check is a comparison.
///
/// One without a port is us on every port: whatever stands in front of us (80 sends on to 443, 443 to 8080) leads here. One with a
/// port is us only there, so that a neighbour on the same machine may be linked to; 443 and 80 also where a URL leaves them out. All
/// names of the loopback interface are one host, and so are the unspecified addresses: to connect to them is to connect here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnHost {
    place: Place<Box<str>>,
    /// `None`: ours on every port.
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host; write sho.rt, sho.rt:8080, 127.0.0.1:8080 or [::1]:8080")]
pub struct OwnHostError;

/// The address listened on.
impl From<SocketAddr> for OwnHost {
    fn from(listen: SocketAddr) -> Self {
        let host = match listen.ip() {
            IpAddr::V4(address) => Host::<&str>::Ipv4(address),
            IpAddr::V6(address) => Host::Ipv6(address),
        };
        Self { place: Place::of(&host).into_owned(), port: Some(listen.port()) }
    }
}

/// Upper case, percent encoding, punycode and the many ways to write an address are already resolved by [`Host`]; here the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place<S> {
    /// `localhost`, names under it and [`LOOPBACK_NAMES`], 127.0.0.0/8, `::1`, and the unspecified addresses, to which a connect reaches the same machine.
    Loopback,
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// Without trailing dots.
    Name(S),
}

impl OwnHost {
    /// As the operator writes them: `sho.rt`, `sho.rt:8080`, `127.0.0.1:8080`, `[::1]:8080`, bare `::1`, or any of them in a URL.
    pub fn parse(text: &str) -> Result<Self, OwnHostError> {
        Self::read(text).ok_or(OwnHostError)
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if let Ok(address) = authority.parse::<Ipv6Addr>() {
            return Some(Self { place: Place::of(&Host::<&str>::Ipv6(address)).into_owned(), port: None });
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (authority, None),
        };
        let host = Host::parse(host).ok().filter(is_named)?;
        Some(Self { place: Place::of(&host).into_owned(), port })
    }

    pub(super) fn is<S: AsRef<str>>(&self, host: &Host<S>, port: Option<u16>) -> bool {
        if self.port.is_some() && self.port != port {
            return false;
        }
        match (&self.place, Place::of(host)) {
            (Place::Loopback, Place::Loopback) => true,
            (Place::V4(ours), Place::V4(theirs)) => *ours == theirs,
            (Place::V6(ours), Place::V6(theirs)) => *ours == theirs,
            (Place::Name(ours), Place::Name(theirs)) => ours.eq_ignore_ascii_case(theirs),
            _ => false,
        }
    }
}

/// What distributions call the loopback interface in their hosts file besides `localhost`. No registry can give these away.
const LOOPBACK_NAMES: [&str; 8] = [
    "localhost.localdomain",
    "localhost4",
    "localhost4.localdomain4",
    "localhost6",
    "localhost6.localdomain6",
    "ip6-localhost",
    "ip6-loopback",
    "ipv6-localhost",
];

/// The IPv4 address that a network may take an IPv6 address for: mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`), translated
/// (`::ffff:0:a.b.c.d`, `64:ff9b::a.b.c.d`) and tunnelled (2002::/16).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let tail = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(tail(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(tail(high, low)),
        [0x2002, high, low, ..] => Some(tail(high, low)),
        _ => None,
    }
}

/// `http://./` has a host, but not one that names anything.
pub(super) fn is_named<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => !without_dots(name.as_ref()).is_empty(),
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    }
}

impl<'a> Place<&'a str> {
    fn of<S: AsRef<str>>(host: &'a Host<S>) -> Self {
        match host {
            Host::Domain(name) => Self::of_name(without_dots(name.as_ref())),
            Host::Ipv4(address) => Self::of_v4(*address),
            Host::Ipv6(address) if address.is_loopback() || address.is_unspecified() => Self::Loopback,
            Host::Ipv6(address) => embedded(*address).map_or(Self::V6(*address), Self::of_v4),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        if address.is_loopback() || address.is_unspecified() { Self::Loopback } else { Self::V4(address) }
    }

    fn of_name(name: &'a str) -> Self {
        let top = name.rsplit('.').next().unwrap_or(name);
        let is_loopback =
            top.eq_ignore_ascii_case("localhost") || LOOPBACK_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_loopback { Self::Loopback } else { Self::Name(name) }
    }

    fn into_owned(self) -> Place<Box<str>> {
        match self {
            Self::Loopback => Place::Loopback,
            Self::V4(address) => Place::V4(address),
            Self::V6(address) => Place::V6(address),
            Self::Name(name) => Place::Name(name.into()),
        }
    }
}

fn without_dots(name: &str) -> &str {
    name.trim_end_matches('.')
}
