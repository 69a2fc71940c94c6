//! Every option there is, typed, with its default and its source.
//!
//! Promised: `config/default.toml` is both the defaults and the manual; `KNURL_*` overrides the file, `*_FILE` reads a secret from a
//! file; an unknown or invalid option is one clear line and exit code 78 (EX_CONFIG). Secrets print as `…`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use knurl_core::{short_code::CodeShape, target::TargetRules};

/// The options `knurl serve` and the other commands run with.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
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
    pub store: StoreConfig,
    pub log: LogConfig,
    pub watchdog: WatchdogConfig,
}

/// What short links begin with: `http://127.0.0.1:8080` unless set. Never ends in `/`.
#[derive(Clone, Debug)]
pub struct BaseUrl(pub String);

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
    /// From SIGTERM to exit at the latest.
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

#[derive(Clone, Debug)]
pub struct LinksConfig {
    pub code_shape: CodeShape,
    pub target_rules: TargetRules,
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
}

#[derive(Clone, Debug)]
pub struct CacheConfig {
    pub bytes_max: u64,
    /// "No such code" is remembered this long.
    pub negative_ttl: Duration,
    /// How often somebody else's changes to the database are looked for: the coherence bound.
    pub coherence_interval: Duration,
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

#[derive(Clone, Debug)]
pub struct WatchdogConfig {
    /// The process aborts when its runtime has not turned for this long. Zero: off.
    pub stuck_after: Duration,
}
