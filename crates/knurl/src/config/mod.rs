//! Every option there is, typed, with its default and its source.
//!
//! Promised: `config/default.toml` is both the defaults and the manual; `KNURL_*` overrides the file, `*_FILE` reads a secret from a
//! file; an unknown or invalid option is one clear line and exit code 78 (EX_CONFIG). Secrets print as `…`.

mod build;
mod database;
mod error;
mod load;
mod machine;
pub mod manual;
mod otlp;
pub mod redis_url;
mod served;
mod values;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

pub use database::Database;
pub use error::ConfigError;
pub use load::{Layers, Loaded, Setting};
pub use otlp::{OtlpEndpoint, OtlpProtocol};
pub use redis_url::RedisUrl;
pub use served::{Serving, Word};
pub use values::Source;

use knurl_core::{
    short_code::CodeShape,
    target::{OwnHost, TargetRules},
};
use knurl_store::sqlite::SqliteOptions;
use machine::Machine;

/// The options `knurl serve` and the other commands run with.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub database: Database,
    /// `replica = on`: a node's own copy of the link table.
    pub replica: bool,
    pub base_url: BaseUrl,
    pub auth: Auth,
    /// `--open-anyway`: allow `auth = open` on an address that is not loopback.
    pub open_anyway: bool,
    /// Registered as the first key instead of a generated one.
    pub admin_key: Option<Secret>,
    pub http: HttpConfig,
    pub links: LinksConfig,
    pub clicks: ClicksConfig,
    pub cache: CacheConfig,
    pub limits: LimitsConfig,
    /// `None`: no Redis.
    pub redis: Option<RedisConfig>,
    pub store: StoreConfig,
    pub admission: AdmissionConfig,
    pub idempotency: IdempotencyConfig,
    pub log: LogConfig,
    pub telemetry: TelemetryConfig,
    pub watchdog: WatchdogConfig,
}

impl Default for Config {
    /// Production defaults: those of `config/default.toml`.
    fn default() -> Self {
        load::defaults().build().unwrap_or_else(|error| panic!("config/default.toml: {error}"))
    }
}

impl Config {
    pub fn spool_dir(&self) -> PathBuf {
        self.data_dir.join("spool")
    }

    /// This node's copy of the link table.
    pub fn replica_path(&self) -> PathBuf {
        self.data_dir.join("replica.db")
    }

    /// Where a generated admin key is kept.
    pub fn admin_key_path(&self) -> PathBuf {
        self.data_dir.join("admin.key")
    }

    /// Where a node keeps whom to admit while the database is away.
    pub fn kept_keys_path(&self) -> PathBuf {
        self.data_dir.join("keys")
    }

    /// Takes in the address really bound: a base URL that was derived from `listen` follows it, and so do the hosts that are us.
    pub fn bound(&mut self, addr: SocketAddr) {
        if self.base_url == BaseUrl::of(self.http.listen) {
            self.base_url = BaseUrl::of(addr);
        }
        self.http.listen = addr;
        self.links.know_own_hosts(&self.base_url, addr);
    }

    /// Without keys only this machine is served, unless told otherwise.
    pub fn refuse_open_to_strangers(&self) -> Result<(), ConfigError> {
        if self.auth == Auth::Required || self.open_anyway || self.http.listen.ip().is_loopback() {
            return Ok(());
        }
        Err(ConfigError::Refused {
            key: "auth".into(),
            source_: Source::Flag("open"),
            reason: format!(
                "{} is not a loopback address and everybody who reaches it could change every link; --open-anyway if you mean it",
                self.http.listen
            ),
        })
    }
}

/// What short links begin with: `http://127.0.0.1:8080` unless set. Never ends in `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(pub String);

impl BaseUrl {
    /// Derived from an address; one that means "all addresses" is written as the loopback one, which can be clicked.
    pub fn of(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Self(format!("http://{}", SocketAddr::new(ip, addr.port())))
    }

    /// `HOST[:PORT]`.
    fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    Required,
    Open,
}

#[derive(Clone)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    pub metrics_listen: SocketAddr,
    /// 0: from the fd limit, less a reserve.
    pub connections_max: usize,
    /// From accept (or the end of the last answer on a fresh connection) to the first byte.
    pub first_byte_timeout: Duration,
    /// From the first byte of a request to the end of its header.
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    /// A peer that takes no byte of our answer for this long is dropped.
    pub write_timeout: Duration,
    /// For a handler to answer (redirects have their own, shorter tier deadlines).
    pub request_timeout: Duration,
    /// From SIGTERM, how long requests are still accepted while `/readyz` says no.
    pub ready_drain: Duration,
    /// From the end of accepting to the end of serving and delivering, at the latest.
    pub drain_timeout: Duration,
    pub body_bytes_max: usize,
    /// Of `POST /users/bulk` (streamed).
    pub bulk_body_bytes_max: usize,
    pub uri_bytes_max: usize,
    pub header_bytes_max: usize,
    /// CIDRs whose `X-Forwarded-For` is believed, right-most untrusted hop. Empty: none.
    pub trusted_proxies: Vec<IpNet>,
}

/// An address block, `10.0.0.0/8` or `fd00::/8`; a bare address is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNet {
    pub addr: std::net::IpAddr,
    pub prefix_len: u8,
}

/// Not an address block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address or a CIDR block")]
pub struct IpNetError;

impl FromStr for IpNet {
    type Err = IpNetError;

    fn from_str(text: &str) -> Result<Self, IpNetError> {
        let (addr, prefix) = text.split_once('/').map_or((text, None), |(addr, prefix)| (addr, Some(prefix)));
        let addr: IpAddr = addr.parse().map_err(|_| IpNetError)?;
        let whole = if addr.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix.map_or(Ok(whole), str::parse).map_err(|_| IpNetError)?;
        if prefix_len > whole {
            return Err(IpNetError);
        }
        Ok(Self { addr, prefix_len })
    }
}

impl IpNet {
    /// Whether `ip` is in the block; an IPv4 address mapped into IPv6 counts as the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.addr, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.prefix_len.min(32));
                (u64::from(net.to_bits()) >> shift) == (u64::from(ip.to_bits()) >> shift)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.prefix_len.min(128));
                shift == 128 || (net.to_bits() >> shift) == (ip.to_bits() >> shift)
            }
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct LinksConfig {
    pub code_shape: CodeShape,
    pub target_rules: TargetRules,
    /// Names of ours besides those of the base URL and the address listened on.
    pub more_own_hosts: Vec<OwnHost>,
}

impl LinksConfig {
    fn know_own_hosts(&mut self, base_url: &BaseUrl, listen: SocketAddr) {
        self.target_rules.set_own_hosts(self.more_own_hosts.iter().cloned());
        self.know_more_own_hosts(base_url, listen);
    }

    fn know_more_own_hosts(&mut self, base_url: &BaseUrl, listen: SocketAddr) {
        let base = OwnHost::parse(base_url.authority()).ok();
        let hosts = base.into_iter().chain([OwnHost::from(listen)]).chain(Machine::here().hosts(listen));
        self.target_rules.add_own_hosts(hosts);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives the death of the process at once, power loss after at most `fsync_interval`.
    Process,
    /// The answer waits for the fsync.
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolMedium {
    Mapped,
    Written,
}

#[derive(Clone, Debug)]
pub struct ClicksConfig {
    pub durability: Durability,
    pub fsync_interval: Duration,
    pub medium: SpoolMedium,
    pub segment_bytes: u64,
    pub segments_max: u32,
    /// How long a redirect may wait for a free segment before its click is dropped and counted.
    pub full_wait: Duration,
    /// Longest time between two drains.
    pub drain_interval: Duration,
    pub drain_batch_rows: usize,
    /// How long an API read waits for this node's spool to be drained up to its arrival.
    pub barrier_timeout: Duration,
    /// Raw click events older than this are removed; roll-ups stay. `None`: kept for ever.
    pub retention: Option<Duration>,
    /// How often this node clicks a link of its own and looks for the click. `None`: never.
    pub canary_interval: Option<Duration>,
}

impl ClicksConfig {
    /// What undelivered clicks can take of the disk.
    pub fn spool_bytes_max(&self) -> u64 {
        self.segment_bytes.saturating_mul(u64::from(self.segments_max))
    }
}

#[derive(Clone, Debug)]
pub struct CacheConfig {
    pub bytes_max: u64,
    /// "No such code" is remembered this long.
    pub negative_ttl: Duration,
    /// How often somebody else's changes to the database are looked for: the coherence bound.
    pub coherence_interval: Duration,
}

/// 0: no such limit.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Of each key.
    pub api_per_minute: u32,
    /// Of each network that shows no key.
    pub anonymous_per_minute: u32,
    /// Short codes that lead nowhere, of each network.
    pub misses_per_minute: u32,
    /// What so many seconds bring may be asked for at once.
    pub burst_s: u32,
    /// Never counted.
    pub exempt: Vec<IpNet>,
}

#[derive(Clone, Debug)]
pub struct RedisConfig {
    pub url: RedisUrl,
    /// For one answer.
    pub timeout: Duration,
    /// How long a cached link is kept at most.
    pub links_ttl: Duration,
    /// What every key and channel of ours begins with.
    pub prefix: String,
}

#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Reader connections.
    pub readers: usize,
    /// Writes that may wait.
    pub queue_max: usize,
    /// Writes that one commit takes at most.
    pub group_max: usize,
    pub busy_timeout: Duration,
    pub page_cache_bytes: u64,
}

impl StoreConfig {
    /// What the embedded store is opened with; what is not an option here is the store's own default.
    pub fn sqlite_options(&self) -> SqliteOptions {
        SqliteOptions {
            group_max: self.group_max,
            queue_max: self.queue_max,
            readers: self.readers,
            cache_kib: u32::try_from(self.page_cache_bytes / 1024).unwrap_or(u32::MAX),
            busy_timeout: self.busy_timeout,
            ..SqliteOptions::default()
        }
    }
}

#[derive(Clone, Debug)]
pub struct AdmissionConfig {
    /// A wait that is no reason to refuse anybody.
    pub target: Duration,
    /// How long waits must have been longer than that.
    pub interval: Duration,
    /// Creates and changes at work at once.
    pub creates_max: usize,
    pub reads_max: usize,
    /// Whole lists and files.
    pub exports_max: usize,
}

#[derive(Clone, Debug)]
pub struct IdempotencyConfig {
    /// How long the outcome of a create is remembered under its `Idempotency-Key`.
    pub retention: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    /// `tracing` filter directives.
    pub level: String,
}

/// Traces.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// `None`: there are no traces.
    pub endpoint: Option<OtlpEndpoint>,
    /// One of so many requests is traced by chance; 0: none.
    pub sample_one_in: u32,
    /// What takes longer is kept whether it was chosen or not. Zero: nothing is.
    pub slow: Duration,
    /// For the collector to take a batch.
    pub timeout: Duration,
    /// Spans that may wait for it.
    pub queue_spans_max: usize,
}

#[derive(Clone, Debug)]
pub struct WatchdogConfig {
    /// The process aborts when its runtime has not turned for this long. Zero: off.
    pub stuck_after: Duration,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.0.0.0/8", "10.1.2.3", true)]
    #[case("10.0.0.0/8", "11.0.0.0", false)]
    #[case("10.0.0.0/8", "::ffff:10.1.2.3", true)]
    #[case("0.0.0.0/0", "255.255.255.255", true)]
    #[case("0.0.0.0/0", "::1", false)]
    #[case("192.0.2.7", "192.0.2.7", true)]
    #[case("192.0.2.7", "192.0.2.6", false)]
    #[case("fd00::/8", "fdff::1", true)]
    #[case("::/0", "2001:db8::1", true)]
    #[case("2001:db8::/32", "2001:db9::", false)]
    fn a_block_holds_the_addresses_it_says(#[case] block: &str, #[case] ip: &str, #[case] held: bool) {
        let block: IpNet = block.parse().unwrap();
        assert_eq!(block.contains(ip.parse().unwrap()), held);
    }

    #[rstest]
    #[case("10.0.0.0/33")]
    #[case("::/129")]
    #[case("host/8")]
    #[case("10.0.0.0/")]
    fn what_is_no_block_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<IpNet>(), Err(IpNetError));
    }
}
