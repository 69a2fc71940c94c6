//! What this machine answers to: the addresses of its interfaces and the names it has for them, so that no link leads back to a server
//! that listens on all of them.
//!
//! Looked at when the configuration is read and when the server has bound; an address that comes later is not known until the next start.
//! What cannot be read is not known either: then the base URL, the address listened on and `links.own_hosts` are all there is.

use std::{
    fs::File,
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use knurl_core::target::OwnHost;

/// Of `/etc/hosts`, which some fill with thousands of advertisers' names: the machine's own come first.
const HOSTS_BYTES_MAX: u64 = 64 << 10;
const NAMES_MAX: usize = 64;
/// Routers have thousands of routes; their own addresses are few.
const TABLE_BYTES_MAX: u64 = 4 << 20;
const ADDRESSES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Machine {
    addresses: Vec<IpAddr>,
    /// With the address each is given in the hosts file; none for the host name, which may be any of ours.
    names: Vec<(String, Option<IpAddr>)>,
}

impl Machine {
    pub(super) fn here() -> Self {
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self::read(
            &host_name,
            &beginning("/proc/net/fib_trie", TABLE_BYTES_MAX),
            &beginning("/proc/net/if_inet6", TABLE_BYTES_MAX),
            &beginning("/etc/hosts", HOSTS_BYTES_MAX),
        )
    }

    fn read(host_name: &str, fib_trie: &str, if_inet6: &str, hosts: &str) -> Self {
        let mut addresses: Vec<IpAddr> = v4_addresses(fib_trie).chain(v6_addresses(if_inet6)).take(ADDRESSES_MAX).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let host_name = Some(host_name.to_owned()).filter(|name| !name.is_empty()).map(|name| (name, None));
        let given = given_names(hosts).filter(|(_, at)| at.is_some_and(|at| at.is_loopback() || addresses.contains(&at)));
        let names = host_name.into_iter().chain(given).take(NAMES_MAX).collect();
        Self { addresses, names }
    }

    /// Hosts that are a server which listens there, besides that address itself.
    pub(super) fn hosts(&self, listen: SocketAddr) -> Vec<OwnHost> {
        let (ip, port) = (listen.ip(), listen.port());
        let is_reached = |at: IpAddr| ip.is_unspecified() || at == ip || (at.is_loopback() && ip.is_loopback());
        let addresses = self.addresses.iter().filter(|at| is_reached(**at)).map(|at| OwnHost::from(SocketAddr::new(*at, port)));
        let names = self.names.iter().filter(|(_, at)| at.is_none_or(is_reached));
        // A name that no URL can have needs no refusal.
        addresses.chain(names.filter_map(|(name, _)| OwnHost::parse(&format!("{name}:{port}")).ok())).collect()
    }
}

/// A file's first bytes; nothing where it cannot be read.
fn beginning(path: &str, bytes_max: u64) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = File::open(path).and_then(|file| file.take(bytes_max).read_to_end(&mut bytes)) {
        tracing::debug!(path, %error, "this machine's own addresses or names are not all known");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Of the kernel's routes, the addresses that are its own: a leaf (`|-- 192.0.2.7`) with a line `/32 host LOCAL` under it.
fn v4_addresses(fib_trie: &str) -> impl Iterator<Item = IpAddr> {
    let mut leaf: Option<Ipv4Addr> = None;
    fib_trie.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        }
        if line == "/32 host LOCAL" { leaf.map(IpAddr::V4) } else { None }
    })
}

/// `fd000000000000000000000000000002 04 40 00 82     eth0`
fn v6_addresses(if_inet6: &str) -> impl Iterator<Item = IpAddr> {
    if_inet6.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        u128::from_str_radix(digits, 16).ok().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
    })
}

fn given_names(hosts: &str) -> impl Iterator<Item = (String, Option<IpAddr>)> {
    hosts.lines().flat_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let at: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
        words.map(move |name| (name.to_owned(), at))
    })
}

#[cfg(test)]
mod tests {
    use knurl_core::target::{Target, TargetError, TargetRules};

    use super::*;

    const FIB_TRIE: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 192.0.2.7
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
Local:
     |-- 127.0.0.1
        /32 host LOCAL
";
    const IF_INET6: &str = "20010db8000000000000000000000002 04 40 00 82     eth0\n";
    const HOSTS: &str = "127.0.0.1 localhost\n192.0.2.7 links.corp.example links # us\n192.0.2.9 other.example\nnonsense x\n";

    fn leads_back(listen: &str, target: &str) -> bool {
        let machine = Machine::read("box", FIB_TRIE, IF_INET6, HOSTS);
        let mut rules = TargetRules::default();
        rules.set_own_hosts(machine.hosts(listen.parse().unwrap()));
        Target::parse(target, &rules) == Err(TargetError::Loop)
    }

    #[test]
    fn whoever_listens_everywhere_is_every_address_and_name_of_the_machine() {
        for host in ["192.0.2.7", "[2001:db8::2]", "127.0.0.1", "box", "BOX.", "links.corp.example", "links", "[::ffff:192.0.2.7]"]
        {
            assert!(leads_back("0.0.0.0:8080", &format!("http://{host}:8080/x")), "{host}");
            assert!(leads_back("[::]:80", &format!("http://{host}/x")), "{host}");
            assert!(!leads_back("0.0.0.0:8080", &format!("http://{host}:3000/x")), "{host}: another service's port");
        }
        for host in ["other.example", "192.0.2.255", "192.0.2.9", "example.org"] {
            assert!(!leads_back("0.0.0.0:8080", &format!("http://{host}:8080/x")), "{host}");
        }
    }

    #[test]
    fn whoever_listens_on_one_address_is_that_one_and_its_names() {
        for (host, back) in [("192.0.2.7", true), ("links", true), ("box", true), ("127.0.0.1", false), ("[2001:db8::2]", false)] {
            assert_eq!(leads_back("192.0.2.7:8080", &format!("http://{host}:8080/x")), back, "{host}");
        }
    }

    #[test]
    fn the_machine_this_runs_on_knows_itself() {
        let hosts = Machine::here().hosts(SocketAddr::from(([0, 0, 0, 0], 8080)));
        assert!(hosts.contains(&OwnHost::parse("127.0.0.1:8080").unwrap()), "{hosts:?}");
    }
}
