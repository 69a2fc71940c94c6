//! From a URL to a connection that has shown that it works.
//!
//! Promised: a connection that is handed out has answered, is subscribed to the hints, and says which life of which server it reaches;
//! all of it took no longer than [`CONNECT_DEADLINE`]. Refused: a server older than Redis 6, which knows no RESP3.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisConnectionInfo, RedisError, TlsMode, Value,
    aio::MultiplexedConnection,
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo},
    io::tcp::TcpSettings,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use tokio::time::timeout;

use crate::config::{
    RedisConfig, RedisUrl,
    redis_url::{Login, RedisKind, RedisNode},
};

pub(super) use super::hints::Pushes;

/// From the first packet to a connection that is of use. Several Sentinels may have to be asked.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// Of which one server may take so much.
const SERVER_DEADLINE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no answer within {} s", CONNECT_DEADLINE.as_secs())]
    Late,
    #[error("{0}")]
    Failed(#[from] RedisError),
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Live {
    wire: Wire,
    /// Of which start of which server it is; 0 of a Cluster, where the scripts ask for it themselves.
    pub(super) life: u64,
    /// What its clock said, in microseconds.
    pub(super) at_us: u64,
}

enum Wire {
    One(MultiplexedConnection),
    Many(ClusterConnection),
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::One(_)) { "One" } else { "Many" })
    }
}

impl Live {
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, RedisError> {
        match &self.wire {
            Wire::One(connection) => command.query_async(&mut connection.clone()).await,
            Wire::Many(connection) => command.query_async(&mut connection.clone()).await,
        }
    }

    pub(super) async fn ping(&self) -> Result<Value, RedisError> {
        let ping = redis::cmd("PING");
        match &self.wire {
            Wire::One(_) => self.ask(&ping).await,
            // One that is away must not make the others look away.
            Wire::Many(connection) => {
                let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
                connection.clone().route_command(ping, any).await?.extract_error()
            }
        }
    }

    /// By its server's clock; of a Cluster by the one that is furthest ahead.
    pub(super) async fn time_us(&self) -> Result<u64, RedisError> {
        let time = redis::cmd("TIME");
        let value = match &self.wire {
            Wire::One(_) => self.ask(&time).await?,
            Wire::Many(connection) => {
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                connection.clone().route_command(time, all).await?.extract_error()?
            }
        };
        latest_us(&value).ok_or_else(|| (ErrorKind::UnexpectedReturnType, "TIME gave no time").into())
    }

    /// A Cluster's connection mends itself, node by node.
    pub(super) fn mends_itself(&self) -> bool {
        matches!(self.wire, Wire::Many(_))
    }
}

pub(super) async fn connect(config: &RedisConfig, pushes: &Pushes) -> Result<Live, ConnectError> {
    timeout(CONNECT_DEADLINE, connect_now(config, pushes)).await.map_err(|_elapsed| ConnectError::Late)?
}

async fn connect_now(config: &RedisConfig, pushes: &Pushes) -> Result<Live, ConnectError> {
    let url = &config.url;
    let channel = pushes.channel(&config.prefix);
    let wire = match &url.kind {
        RedisKind::Cluster => {
            let client = ClusterClientBuilder::new(infos(url, &url.login)?)
                .use_protocol(ProtocolVersion::RESP3)
                .tcp_settings(no_delay())
                .connection_timeout(SERVER_DEADLINE)
                // One more try, where a key has moved. Beyond that the caller has long gone.
                .response_timeout(SERVER_DEADLINE)
                .retries(1)
                .push_sender(sender(pushes))
                .build()?;
            let mut connection = client.get_async_connection().await?;
            connection.subscribe(&channel).await?;
            Wire::Many(connection)
        }
        kind => {
            let settings = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(SERVER_DEADLINE))
                // Each call has its own.
                .set_response_timeout(None)
                .set_push_sender(sender(pushes));
            let mut connection = match kind {
                RedisKind::Sentinel { master, login } => master_of(url, master, login, &settings).await?,
                _ => {
                    let info = infos(url, &url.login)?.into_iter().next();
                    let info = info.ok_or_else(|| RedisError::from((ErrorKind::InvalidClientConfig, "no address")))?;
                    Client::open(info)?.get_multiplexed_async_connection_with_config(&settings).await?
                }
            };
            connection.subscribe(&channel).await?;
            Wire::One(connection)
        }
    };
    let mut live = Live { wire, life: 0, at_us: 0 };
    if !live.mends_itself() {
        live.life = life_of(&live.ask(redis::cmd("INFO").arg("server")).await?)?;
    }
    live.at_us = live.time_us().await?;
    Ok(live)
}

async fn master_of(
    url: &RedisUrl,
    master: &str,
    sentinel: &Login,
    settings: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let mut builder =
        SentinelClientBuilder::new(url.nodes.iter().map(|node| address(node, url.tls)), master, SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_db(url.database)
            .set_client_to_redis_tcp_settings(no_delay());
    if url.tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(user) = &url.login.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &url.login.password {
        builder = builder.set_client_to_redis_password(&password.0);
    }
    if let Some(user) = &sentinel.user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &sentinel.password {
        builder = builder.set_client_to_sentinel_password(&password.0);
    }
    builder.build()?.get_async_connection_with_config(settings).await
}

fn infos(url: &RedisUrl, login: &Login) -> Result<Vec<ConnectionInfo>, RedisError> {
    let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(url.database);
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(&password.0);
    }
    let info = |node| {
        let info = address(node, url.tls).into_connection_info()?;
        Ok(info.set_redis_settings(settings.clone()).set_tcp_settings(no_delay()))
    };
    url.nodes.iter().map(info).collect()
}

fn address(node: &RedisNode, tls: bool) -> ConnectionAddr {
    match node {
        RedisNode::Unix(path) => ConnectionAddr::Unix(path.clone()),
        RedisNode::Tcp { host, port } if tls => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
        RedisNode::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
    }
}

/// Every call is small and waited for.
fn no_delay() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn sender(pushes: &Pushes) -> impl Fn(PushInfo) -> Result<(), std::convert::Infallible> + Send + Sync + 'static {
    let pushes = Arc::clone(&pushes.inner);
    move |push| {
        pushes.take(&push);
        Ok(())
    }
}

/// The beginning of `run_id`, drawn anew at every start: as many bits as Lua's numbers hold.
fn life_of(info: &Value) -> Result<u64, RedisError> {
    let text: String = redis::from_redis_value_ref(info)?;
    let id = text.lines().find_map(|line| line.strip_prefix("run_id:")).and_then(|id| id.get(..12));
    let life = id.and_then(|id| u64::from_str_radix(id, 16).ok()).filter(|life| *life > 0);
    life.ok_or_else(|| (ErrorKind::UnexpectedReturnType, "INFO gave no run_id").into())
}

/// Of one answer, or of the answers of several servers.
fn latest_us(value: &Value) -> Option<u64> {
    if let Ok((seconds, micros)) = redis::from_redis_value_ref::<(u64, u64)>(value) {
        return Some(seconds.saturating_mul(1_000_000).saturating_add(micros));
    }
    match value {
        Value::Map(pairs) => pairs.iter().filter_map(|(_, time)| latest_us(time)).max(),
        Value::Array(values) => values.iter().filter_map(latest_us).max(),
        _ => None,
    }
}

pub(super) async fn look(config: &RedisConfig) -> Result<String, ConnectError> {
    let live = connect(config, &Pushes::new(Arc::default())).await?;
    let version = match live.ask(redis::cmd("INFO").arg("server")).await {
        Ok(info) => redis::from_redis_value::<String>(info).unwrap_or_default(),
        Err(_) => String::new(),
    };
    let version =
        version.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("several servers").trim().to_owned();
    Ok(version)
}
