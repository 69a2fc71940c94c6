//! How a PostgreSQL is reached and used: a URL as libpq reads it, and our own bounds.
//!
//! Refused: a URL that leaves something to guess. No error and no `Debug` repeats the URL: it holds a password.

use std::{fmt, path::PathBuf, time::Duration};

use tokio_postgres::config::{Config, SslMode, TargetSessionAttrs};

/// Hosts that are tried one after the other at most.
const HOSTS_MAX: usize = 16;

/// What is proved about the server before a password is sent to it. As libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    Disable,
    /// Encrypted where the server can; nothing is proved.
    #[default]
    Prefer,
    /// Encrypted; nothing is proved, unless `sslrootcert` is given: then as `VerifyCa`.
    Require,
    /// A trusted authority signed the certificate.
    VerifyCa,
    /// And it names the host.
    VerifyFull,
}

/// Where the server is and how it is reached; parsed from a URL.
#[derive(Clone)]
pub struct PostgresUrl {
    /// One for each host, tried in their order.
    pub(super) hosts: Vec<Config>,
    pub(super) tls: Tls,
    /// A PEM file; `None` is the system's authorities.
    pub(super) root_certificates: Option<PathBuf>,
}

/// The defaults are production's.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub url: PostgresUrl,
    /// Connections that many point reads share at a time, pipelined.
    pub shared_readers: usize,
    /// Connections for lists and stats, one caller each.
    pub long_readers: usize,
    /// Connections for transactions, one caller each.
    pub writers: usize,
    /// Groups of creates under way at a time, each on one of the `writers`.
    pub create_lanes: usize,
    /// Links created by one statement at most, unless one caller brings more.
    pub group_max: usize,
    /// Calls waiting for a connection (or creates for their group) at most; beyond it callers get `Overloaded` at once.
    pub queue_max: usize,
    /// To reach one host, its handshake included.
    pub connect_timeout: Duration,
    /// For a point read or a write, waiting included. The server ends the statement by itself a little earlier.
    pub call_timeout: Duration,
    /// For a list, stats, an audit.
    pub long_timeout: Duration,
    /// For a lock that another transaction holds.
    pub lock_timeout: Duration,
    /// A server that does not answer `select 1` for so long is as good as gone: its connections are closed, calls fail at once.
    pub hung_after: Duration,
    /// For all migrations, another process's included.
    pub migrate_timeout: Duration,
    /// Serve although the server cannot be reached at the start; the schema is then brought up to date when it can.
    pub start_away: bool,
    /// As `start_away`, where the server can be reached and refuses us: a wrong password, no such database, a permission that is missing.
    pub start_refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    #[error("not a URL that begins with postgres:// or postgresql://")]
    Scheme,
    #[error("names no host")]
    NoHost,
    #[error("names more than {HOSTS_MAX} hosts")]
    TooManyHosts,
    #[error("`{0}` has a value that is not understood")]
    Value(&'static str),
    #[error("is not well-formed, or has a parameter that is not known")]
    Malformed,
}

impl PostgresUrl {
    /// `postgres://user:password@host:port,host2:port2/database?sslmode=verify-full&sslrootcert=…&target_session_attrs=read-write`
    pub fn parse(url: &str) -> Result<Self, PostgresUrlError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")).ok_or(PostgresUrlError::Scheme)?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (place, database) = address.split_once('/').unwrap_or((address, ""));
        let (login, hosts) = place.rsplit_once('@').unwrap_or(("", place));
        let Query { tls, root_certificates, others } = Query::parse(query)?;
        let hosts: Vec<&str> = hosts.split(',').collect();
        if hosts.len() > HOSTS_MAX {
            return Err(PostgresUrlError::TooManyHosts);
        }
        let at = if login.is_empty() { "" } else { "@" };
        let hosts = hosts.iter().map(|host| one_host(&format!("postgres://{login}{at}{host}/{database}?{others}"), tls));
        Ok(Self { hosts: hosts.collect::<Result<_, _>>()?, tls, root_certificates })
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresUrl").field("hosts", &self.hosts.len()).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// Production's bounds.
    pub fn at(url: PostgresUrl) -> Self {
        Self {
            url,
            shared_readers: 2,
            long_readers: 4,
            writers: 8,
            create_lanes: 2,
            group_max: 512,
            queue_max: 4096,
            connect_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(5),
            long_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(3),
            hung_after: Duration::from_secs(2),
            migrate_timeout: Duration::from_secs(120),
            start_away: false,
            start_refused: false,
        }
    }

    pub fn from_url(url: &str) -> Result<Self, PostgresUrlError> {
        PostgresUrl::parse(url).map(Self::at)
    }
}

fn one_host(url: &str, tls: Tls) -> Result<Config, PostgresUrlError> {
    // Its own words may repeat a part of the URL.
    let config: Config = url.parse().map_err(|_| PostgresUrlError::Malformed)?;
    with_our_bounds(config, tls)
}

fn with_our_bounds(mut config: Config, tls: Tls) -> Result<Config, PostgresUrlError> {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(PostgresUrlError::NoHost);
    }
    config.ssl_mode(match tls {
        Tls::Disable => SslMode::Disable,
        Tls::Prefer => SslMode::Prefer,
        Tls::Require | Tls::VerifyCa | Tls::VerifyFull => SslMode::Require,
    });
    if config.get_application_name().is_none() {
        config.application_name("knurl");
    }
    if config.get_target_session_attrs() == TargetSessionAttrs::Any {
        // A node writes: a server that has become a standby is not the one, and after a failover the next host is.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    // A peer that vanished without a word is noticed by the kernel too, whatever the connection was waiting for.
    config.keepalives_idle(Duration::from_secs(5)).keepalives_interval(Duration::from_secs(2)).keepalives_retries(3);
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(10));
    }
    Ok(config)
}

/// The URL's query: what tokio-postgres does not know, and the rest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    tls: Tls,
    root_certificates: Option<PathBuf>,
    others: String,
}

impl Query {
    fn parse(text: &str) -> Result<Self, PostgresUrlError> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(PostgresUrlError::Malformed)?;
            match name {
                "sslmode" => query.tls = tls_mode(value)?,
                // libpq's word for what is our default.
                "sslrootcert" if value == "system" => {}
                "sslrootcert" => query.root_certificates = Some(percent_decoded(value)?.into()),
                _ => {
                    query.others.push_str(pair);
                    query.others.push('&');
                }
            }
        }
        Ok(query)
    }
}

fn tls_mode(value: &str) -> Result<Tls, PostgresUrlError> {
    Ok(match value {
        "disable" => Tls::Disable,
        // libpq's `allow` asks for plain text first; encrypting where the server can is never worse.
        "allow" | "prefer" => Tls::Prefer,
        "require" => Tls::Require,
        "verify-ca" => Tls::VerifyCa,
        "verify-full" => Tls::VerifyFull,
        _ => return Err(PostgresUrlError::Value("sslmode")),
    })
}

fn percent_decoded(value: &str) -> Result<String, PostgresUrlError> {
    let wrong = || PostgresUrlError::Value("sslrootcert");
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or_else(wrong);
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(bytes).ok().filter(|path| !path.is_empty() && !path.contains('\0')).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn parsed(url: &str) -> PostgresUrl {
        PostgresUrl::parse(url).unwrap()
    }

    #[test]
    fn every_host_is_tried_by_itself() {
        let options = parsed("postgresql://ada:s%40cret@one:5433,two,[::1]:5434/links?connect_timeout=7");
        let hosts: Vec<_> = options.hosts.iter().map(|host| (host.get_hosts().to_vec(), host.get_ports().to_vec())).collect();
        let tcp = |name: &str| vec![Host::Tcp(name.into())];
        assert_eq!(hosts, [(tcp("one"), vec![5433]), (tcp("two"), vec![5432]), (tcp("::1"), vec![5434])]);
        for host in &options.hosts {
            assert_eq!((host.get_user(), host.get_password()), (Some("ada"), Some(b"s@cret".as_slice())));
            assert_eq!((host.get_dbname(), host.get_target_session_attrs()), (Some("links"), TargetSessionAttrs::ReadWrite));
        }
    }

    #[test]
    fn every_sslmode_is_understood_and_no_other_word() {
        for (word, tls) in [
            ("disable", Tls::Disable),
            ("allow", Tls::Prefer),
            ("prefer", Tls::Prefer),
            ("require", Tls::Require),
            ("verify-ca", Tls::VerifyCa),
            ("verify-full", Tls::VerifyFull),
        ] {
            assert_eq!(parsed(&format!("postgres://h/db?sslmode={word}&sslrootcert=%2Fca.pem")).tls, tls);
        }
        let refused = PostgresUrl::parse("postgres://h/db?sslmode=verify_full").unwrap_err();
        assert_eq!(refused, PostgresUrlError::Value("sslmode"));
        assert_eq!(parsed("postgres://h/db?sslrootcert=%2Fetc%2Fca.pem").root_certificates, Some("/etc/ca.pem".into()));
        assert_eq!(parsed("postgres://h/db?sslmode=verify-full&sslrootcert=system").root_certificates, None);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_url() {
        for (url, expected) in [
            ("mysql://ada:s3cret@h/db", PostgresUrlError::Scheme),
            ("postgres://ada:s3cret@/db", PostgresUrlError::NoHost),
            ("postgres://ada:s3cret@h/db?surprise=s3cret", PostgresUrlError::Malformed),
            ("postgres://ada:s3cret@h:port/db", PostgresUrlError::Malformed),
            ("postgres://ada:s3cret@h/db?sslrootcert=%zz", PostgresUrlError::Value("sslrootcert")),
        ] {
            let refused = PostgresUrl::parse(url).unwrap_err();
            assert_eq!(refused, expected, "{url}");
            assert!(!format!("{refused} {refused:?}").contains("s3cret"));
        }
        assert_eq!(
            PostgresUrl::parse(&format!("postgres://{}/db", ["h"; 17].join(","))).unwrap_err(),
            PostgresUrlError::TooManyHosts
        );
        assert!(!format!("{:?}", parsed("postgres://ada:s3cret@h/db")).contains("s3cret"));
    }
}
