//! Where Redis is: one server, the master that Sentinels name, or a Cluster.
//!
//! ```text
//! redis[s]://[USER[:PASSWORD]@]HOST[:PORT][/DB]
//! unix:///PATH[?db=N&user=U&pass=P]
//! redis[s]-sentinel://[USER[:PASSWORD]@]HOST[:PORT],…/MASTER[?db=N&sentinel_user=U&sentinel_pass=P]
//! redis[s]-cluster://[USER[:PASSWORD]@]HOST[:PORT],…
//! ```
//!
//! Promised: what is not one of these is refused, as a whole; nothing printed of it holds a password.

use std::{fmt, path::PathBuf, str::FromStr};

use super::Secret;

const NODES_MAX: usize = 32;
const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

#[derive(Clone, Debug)]
pub struct RedisUrl {
    pub kind: RedisKind,
    /// One at least; of a Unix socket exactly one.
    pub nodes: Vec<RedisNode>,
    pub tls: bool,
    pub login: Login,
    pub database: i64,
}

#[derive(Clone, Debug)]
pub enum RedisKind {
    One,
    /// The nodes are the Sentinels.
    Sentinel {
        master: String,
        login: Login,
    },
    Cluster,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisNode {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

#[derive(Clone, Debug, Default)]
pub struct Login {
    pub user: Option<String>,
    pub password: Option<Secret>,
}

/// Not a Redis URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a Redis")]
pub struct RedisUrlError;

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(RedisUrlError)?;
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let mut query = Query::parse(query)?;
        let (plain, tls) = match scheme.strip_prefix("rediss") {
            Some(kind) => (format!("redis{kind}"), true),
            None => (scheme.to_owned(), false),
        };
        let url = match plain.as_str() {
            "unix" | "redis+unix" if !tls => Self::unix(rest, &mut query)?,
            "redis" => {
                let (login, nodes, path) = authority(rest, PORT)?;
                let database = database(&path, &mut query)?;
                Self { kind: RedisKind::One, nodes, tls, login, database }
            }
            "redis-sentinel" => {
                let (login, nodes, master) = authority(rest, SENTINEL_PORT)?;
                let sentinel = Login { user: query.take("sentinel_user"), password: query.take("sentinel_pass").map(Secret) };
                let database = database("", &mut query)?;
                if master.is_empty() || master.contains('/') {
                    return Err(RedisUrlError);
                }
                Self { kind: RedisKind::Sentinel { master, login: sentinel }, nodes, tls, login, database }
            }
            "redis-cluster" => {
                let (login, nodes, path) = authority(rest, PORT)?;
                if !path.is_empty() {
                    return Err(RedisUrlError);
                }
                Self { kind: RedisKind::Cluster, nodes, tls, login, database: 0 }
            }
            _ => return Err(RedisUrlError),
        };
        let is_one = matches!(url.kind, RedisKind::One) && url.nodes.len() > 1;
        if is_one || !query.0.is_empty() {
            return Err(RedisUrlError);
        }
        Ok(url)
    }
}

impl RedisUrl {
    fn unix(path: &str, query: &mut Query) -> Result<Self, RedisUrlError> {
        if !path.starts_with('/') || path.contains('\0') {
            return Err(RedisUrlError);
        }
        let nodes = vec![RedisNode::Unix(PathBuf::from(decoded(path)?))];
        let login = Login { user: query.take("user"), password: query.take("pass").map(Secret) };
        Ok(Self { kind: RedisKind::One, nodes, tls: false, login, database: database("", query)? })
    }
}

/// As a person may see it.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            RedisKind::One => {}
            RedisKind::Sentinel { master, .. } => write!(f, "master {master} of the Sentinels ")?,
            RedisKind::Cluster => f.write_str("the Cluster ")?,
        }
        for (n, node) in self.nodes.iter().enumerate() {
            write!(f, "{}{node}", if n > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for RedisNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Login, nodes, and the path without its slash.
fn authority(rest: &str, port: u16) -> Result<(Login, Vec<RedisNode>, String), RedisUrlError> {
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let (login, hosts) = match authority.rsplit_once('@') {
        None => (Login::default(), authority),
        Some((login, hosts)) => {
            let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
            let user = Some(decoded(user)?).filter(|user| !user.is_empty());
            (Login { user, password: password.map(decoded).transpose()?.map(Secret) }, hosts)
        }
    };
    let nodes = hosts.split(',').map(|host| node(host, port)).collect::<Result<Vec<_>, _>>()?;
    if nodes.len() > NODES_MAX {
        return Err(RedisUrlError);
    }
    Ok((login, nodes, decoded(path)?))
}

fn node(text: &str, default_port: u16) -> Result<RedisNode, RedisUrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(RedisUrlError)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| RedisUrlError)?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(RedisUrlError)?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    let port = port.map_or(Ok(default_port), |port| port.parse().map_err(|_| RedisUrlError))?;
    if host.is_empty() || port == 0 || !host.chars().all(is_name) {
        return Err(RedisUrlError);
    }
    Ok(RedisNode::Tcp { host: host.to_owned(), port })
}

/// From the path or from `db=`.
fn database(path: &str, query: &mut Query) -> Result<i64, RedisUrlError> {
    let text = match (path, query.take("db")) {
        ("", text) => text.unwrap_or_default(),
        (path, None) => path.to_owned(),
        (_, Some(_)) => return Err(RedisUrlError),
    };
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().ok().filter(|number| (0..=65_535).contains(number)).ok_or(RedisUrlError)
}

/// `name=value&…`, each name once.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let parts = text.split('&').filter(|part| !part.is_empty());
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').ok_or(RedisUrlError)?;
            Ok((name.to_owned(), decoded(value)?))
        };
        parts.map(pair).collect::<Result<_, _>>().map(Self)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// `%41` is `A`.
fn decoded(text: &str) -> Result<String, RedisUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(RedisUrlError)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        bytes.push(u8::from_str_radix(digits.ok_or(RedisUrlError)?, 16).map_err(|_| RedisUrlError)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| RedisUrlError)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("redis://localhost", "localhost:6379", 0)]
    #[case("redis://127.0.0.1:7000/3", "127.0.0.1:7000", 3)]
    #[case("redis://[::1]:7000", "[::1]:7000", 0)]
    #[case("rediss://u:p%40ss@redis.example.org", "redis.example.org:6379", 0)]
    #[case("unix:///run/redis.sock?db=2&pass=x", "/run/redis.sock", 2)]
    #[case("redis-sentinel://a:1,b:2,c/mymaster?db=5", "master mymaster of the Sentinels a:1,b:2,c:26379", 5)]
    #[case("redis-cluster://:secret@a:1,b", "the Cluster a:1,b:6379", 0)]
    fn what_is_meant_is_read(#[case] text: &str, #[case] shown: &str, #[case] database: i64) {
        let url: RedisUrl = text.parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.database), (shown, database));
    }

    #[test]
    fn logins_are_decoded_and_never_printed() {
        let url: RedisUrl = "rediss-sentinel://knurl:p%40ss@a/m?sentinel_user=s&sentinel_pass=t%3At".parse().unwrap();
        assert!(url.tls);
        assert_eq!(url.login.user.as_deref(), Some("knurl"));
        assert_eq!(url.login.password.as_ref().map(|secret| secret.0.as_str()), Some("p@ss"));
        let RedisKind::Sentinel { login, .. } = &url.kind else { panic!("{url:?}") };
        assert_eq!(login.password.as_ref().map(|secret| secret.0.as_str()), Some("t:t"));
        let shown = format!("{url} {url:?}");
        assert!(!shown.contains("p@ss") && !shown.contains("t:t"), "{shown}");
        assert_eq!("redis://:only@h".parse::<RedisUrl>().unwrap().login.user, None);
    }

    #[rstest]
    #[case("localhost:6379")]
    #[case("http://localhost")]
    #[case("redis://")]
    #[case("redis://a,b")]
    #[case("redis://a:0")]
    #[case("redis://a:99999")]
    #[case("redis://a/x")]
    #[case("redis://a/1?db=1")]
    #[case("redis://a?nonsense=1")]
    #[case("redis://u:%zz@a")]
    #[case("redis://a b")]
    #[case("redis-sentinel://a,b")]
    #[case("redis-cluster://a,b/1")]
    #[case("rediss+unix:///x")]
    #[case("unix://x")]
    #[case("redis://[nonsense]")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert!(text.parse::<RedisUrl>().is_err());
    }
}
