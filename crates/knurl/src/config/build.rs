//! From texts to a [`Config`]: every field from one option, every option checked whether it has a field or not.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use knurl_core::{
    short_code::CodeShape,
    target::{OwnHost, TargetRules, TargetRulesError},
};

use knurl_store::postgres::PostgresOptions;

use super::{
    AdmissionConfig, Auth, BaseUrl, CacheConfig, ClicksConfig, Config, ConfigError, Database, Durability, HttpConfig,
    IdempotencyConfig, IpNet, LimitsConfig, LinksConfig, LogConfig, LogFormat, OtlpEndpoint, OtlpProtocol, RedisConfig, Secret,
    Source, SpoolMedium, StoreConfig, TelemetryConfig, WatchdogConfig, values::Values,
};

const LIST_MAX: usize = 256;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const KNOWN_DATABASES: &str = "names neither a SQLite file (`sqlite:/path/to/knurl.db`) nor a PostgreSQL (`postgres://…`)";

impl Values {
    pub(super) fn build(&self) -> Result<Config, ConfigError> {
        let listen = self.address("listen")?;
        let base_url = self.base_url(listen)?;
        let store = self.store()?;
        Ok(Config {
            data_dir: self.data_dir()?,
            database: self.database(&store)?,
            replica: self.one_of("replica", &[("on", true), ("off", false)])?,
            auth: self.one_of("auth", &[("required", Auth::Required), ("open", Auth::Open)])?,
            open_anyway: self.flag("open_anyway")?,
            admin_key: self.admin_key()?,
            http: self.http(listen)?,
            links: self.links(&base_url, listen)?,
            clicks: self.clicks()?,
            cache: CacheConfig {
                bytes_max: self.number("cache.bytes_max")?,
                negative_ttl: self.millis("cache.negative_ttl_ms")?,
                coherence_interval: self.millis("cache.coherence_interval_ms")?,
            },
            limits: self.limits()?,
            redis: self.redis()?,
            store,
            admission: AdmissionConfig {
                target: self.millis("admission.target_ms")?,
                interval: self.millis("admission.interval_ms")?,
                creates_max: self.number("admission.creates_max")?,
                reads_max: self.number("admission.reads_max")?,
                exports_max: self.number("admission.exports_max")?,
            },
            idempotency: IdempotencyConfig { retention: HOUR * self.number("idempotency.retention_hours")? },
            log: LogConfig {
                format: self.one_of("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])?,
                level: self.log_level()?,
            },
            telemetry: self.telemetry()?,
            watchdog: WatchdogConfig { stuck_after: self.millis("watchdog.stuck_after_ms")? },
            base_url,
        })
    }

    fn http(&self, listen: SocketAddr) -> Result<HttpConfig, ConfigError> {
        Ok(HttpConfig {
            listen,
            metrics_listen: self.address("metrics_listen")?,
            connections_max: self.number("http.connections_max")?,
            first_byte_timeout: self.millis("http.first_byte_timeout_ms")?,
            header_timeout: self.millis("http.header_timeout_ms")?,
            idle_timeout: self.millis("http.idle_timeout_ms")?,
            write_timeout: self.millis("http.write_timeout_ms")?,
            request_timeout: self.millis("http.request_timeout_ms")?,
            ready_drain: self.millis("http.ready_drain_ms")?,
            drain_timeout: self.millis("http.drain_timeout_ms")?,
            body_bytes_max: self.number("http.body_bytes_max")?,
            bulk_body_bytes_max: self.number("http.bulk_body_bytes_max")?,
            uri_bytes_max: self.number("http.uri_bytes_max")?,
            header_bytes_max: self.number("http.header_bytes_max")?,
            trusted_proxies: self.blocks("trusted_proxies")?,
        })
    }

    fn links(&self, base_url: &BaseUrl, listen: SocketAddr) -> Result<LinksConfig, ConfigError> {
        let length = self.number("links.code_length")?;
        let code_shape =
            CodeShape::new(&self.text("links.code_alphabet"), length).map_err(|_| self.invalid("links.code_alphabet"))?;
        let schemes = self.list("links.target_schemes");
        if schemes.len() > 16 {
            return Err(self.invalid("links.target_schemes"));
        }
        let target_rules = TargetRules::new(&schemes, self.number("links.target_bytes_max")?).map_err(|error| match error {
            TargetRulesError::LenMax => self.invalid("links.target_bytes_max"),
            TargetRulesError::NoScheme | TargetRulesError::Scheme(_) => self.invalid("links.target_schemes"),
        })?;
        let own_hosts = self.list("links.own_hosts");
        if own_hosts.len() > LIST_MAX {
            return Err(self.invalid("links.own_hosts"));
        }
        let more_own_hosts = own_hosts.iter().map(|own| OwnHost::parse(own)).collect::<Result<_, _>>();
        let more_own_hosts = more_own_hosts.map_err(|_| self.invalid("links.own_hosts"))?;
        let mut links = LinksConfig { code_shape, target_rules, more_own_hosts };
        links.know_own_hosts(base_url, listen);
        Ok(links)
    }

    fn clicks(&self) -> Result<ClicksConfig, ConfigError> {
        let retention_days: u32 = self.number("clicks.retention_days")?;
        let canary_interval_s: u32 = self.number_unless_open("clicks.canary_interval_s")?;
        Ok(ClicksConfig {
            durability: self.one_of("durability", &[("process", Durability::Process), ("power", Durability::Power)])?,
            fsync_interval: self.millis("clicks.fsync_interval_ms")?,
            medium: self.one_of("clicks.medium", &[("mapped", SpoolMedium::Mapped), ("written", SpoolMedium::Written)])?,
            segment_bytes: self.number("clicks.segment_bytes")?,
            segments_max: self.number("clicks.segments_max")?,
            full_wait: self.millis("clicks.full_wait_ms")?,
            drain_interval: self.millis("clicks.drain_interval_ms")?,
            drain_batch_rows: self.number("clicks.drain_batch_rows")?,
            barrier_timeout: self.millis("clicks.barrier_timeout_ms")?,
            retention: (retention_days > 0).then(|| DAY * retention_days),
            canary_interval: (canary_interval_s > 0).then(|| Duration::from_secs(canary_interval_s.into())),
        })
    }

    fn limits(&self) -> Result<LimitsConfig, ConfigError> {
        Ok(LimitsConfig {
            api_per_minute: self.number("limits.api_per_minute")?,
            anonymous_per_minute: self.number_unless_open("limits.anonymous_per_minute")?,
            misses_per_minute: self.number_unless_open("limits.misses_per_minute")?,
            burst_s: self.number("limits.burst_s")?,
            exempt: self.blocks("limits.exempt")?,
        })
    }

    /// 0 where there are no keys and nobody has set it: everybody is one of us, and a node is a place to try things.
    fn number_unless_open(&self, key: &str) -> Result<u32, ConfigError> {
        let is_open = self.one_of("auth", &[("required", false), ("open", true)])?;
        let number = self.number(key)?;
        Ok(if is_open && self.source(key) == Source::Default { 0 } else { number })
    }

    fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        let text = self.text("data_dir");
        if text.is_empty() || text.contains('\0') {
            return Err(self.invalid("data_dir"));
        }
        Ok(PathBuf::from(text))
    }

    fn store(&self) -> Result<StoreConfig, ConfigError> {
        Ok(StoreConfig {
            readers: self.number("store.readers")?,
            queue_max: self.number("store.queue_max")?,
            group_max: self.number("store.group_max")?,
            busy_timeout: self.millis("store.busy_timeout_ms")?,
            page_cache_bytes: self.number("store.page_cache_bytes")?,
        })
    }

    fn database(&self, store: &StoreConfig) -> Result<Database, ConfigError> {
        let postgres = self.postgres(store)?;
        let text = self.text("database_url");
        if text.is_empty() {
            return Ok(Database::Sqlite(None));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = PostgresOptions::from_url(&text).map_err(|error| self.refused("database_url", error.to_string()))?;
            return Ok(Database::Postgres(Box::new(postgres(options))));
        }
        let path = text.strip_prefix("sqlite:").map_or(text.as_str(), |rest| rest.strip_prefix("//").unwrap_or(rest));
        if path.contains("://") {
            return Err(self.refused("database_url", KNOWN_DATABASES));
        }
        if path.is_empty() || path.contains(['\0', '?']) || path == ":memory:" {
            return Err(self.invalid("database_url"));
        }
        Ok(Database::Sqlite(Some(PathBuf::from(path))))
    }

    /// The bounds are checked whatever the database is: a wrong one is not to be found out on the day of the move.
    fn postgres(&self, store: &StoreConfig) -> Result<impl Fn(PostgresOptions) -> PostgresOptions, ConfigError> {
        let (long_readers, queue_max, group_max) = (store.readers, store.queue_max, store.group_max);
        let (writers, create_lanes) = (self.number("postgres.writers")?, self.number("postgres.create_lanes")?);
        let connect_timeout = self.millis("postgres.connect_timeout_ms")?;
        let call_timeout = self.millis("postgres.call_timeout_ms")?;
        let hung_after = self.millis("postgres.hung_after_ms")?;
        Ok(move |options| PostgresOptions {
            long_readers,
            queue_max,
            group_max,
            writers,
            create_lanes,
            connect_timeout,
            call_timeout,
            hung_after,
            ..options
        })
    }

    fn redis(&self) -> Result<Option<RedisConfig>, ConfigError> {
        let timeout = self.millis("redis.timeout_ms")?;
        let links_ttl = Duration::from_secs(self.number("redis.links_ttl_s")?);
        let prefix = self.text("redis.prefix");
        // No braces: in a Cluster they would put all keys on one node.
        if !(1..=32).contains(&prefix.len()) || !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) {
            return Err(self.invalid("redis.prefix"));
        }
        let text = self.text("redis_url");
        if text.is_empty() {
            return Ok(None);
        }
        let url = text.parse().map_err(|_| self.invalid("redis_url"))?;
        Ok(Some(RedisConfig { url, timeout, links_ttl, prefix }))
    }

    fn telemetry(&self) -> Result<TelemetryConfig, ConfigError> {
        let protocols = [("grpc", OtlpProtocol::Grpc), ("http", OtlpProtocol::Http)];
        let protocol = self.one_of("telemetry.otlp_protocol", &protocols)?;
        let text = self.text("telemetry.otlp_endpoint");
        let endpoint = match text.as_str() {
            "" => None,
            text => Some(OtlpEndpoint::parse(text, protocol).ok_or_else(|| self.invalid("telemetry.otlp_endpoint"))?),
        };
        Ok(TelemetryConfig {
            endpoint,
            sample_one_in: self.number("telemetry.sample_one_in")?,
            slow: self.millis("telemetry.slow_ms")?,
            timeout: self.millis("telemetry.otlp_timeout_ms")?,
            queue_spans_max: self.number("telemetry.queue_spans_max")?,
        })
    }

    fn base_url(&self, listen: SocketAddr) -> Result<BaseUrl, ConfigError> {
        let text = self.text("base_url");
        if text.is_empty() {
            return Ok(BaseUrl::of(listen));
        }
        let url = url::Url::parse(&text).map_err(|_| self.invalid("base_url"))?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain {
            return Err(self.invalid("base_url"));
        }
        Ok(BaseUrl(url.as_str().trim_end_matches('/').to_owned()))
    }

    fn admin_key(&self) -> Result<Option<Secret>, ConfigError> {
        let text = self.text("admin_key");
        if text.is_empty() {
            return Ok(None);
        }
        if !(16..=256).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(self.invalid("admin_key"));
        }
        Ok(Some(Secret(text)))
    }

    fn blocks(&self, key: &str) -> Result<Vec<IpNet>, ConfigError> {
        let texts = self.list(key);
        if texts.len() > LIST_MAX {
            return Err(self.invalid(key));
        }
        texts.iter().map(|text| text.parse().map_err(|_| self.invalid(key))).collect()
    }

    fn log_level(&self) -> Result<String, ConfigError> {
        let text = self.text("log.level");
        if text.is_empty() || text.parse::<tracing_subscriber::filter::EnvFilter>().is_err() {
            return Err(self.invalid("log.level"));
        }
        Ok(text)
    }
}
