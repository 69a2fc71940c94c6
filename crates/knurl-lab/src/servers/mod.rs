//! Servers: the real PostgreSQL, Patroni with etcd, Redis, nginx, Prometheus with exporters, and Alertmanager, as children in temporary directories, for tests, drills and benchmarks.
//!
//! Promised: a started server answers; it listens on 127.0.0.1 only, on a port that was free; dropped, it is killed, waited for and its
//! directory removed; if the process that started it is killed, it ends too. A program that is missing is an error that names its Debian
//! package: never a test that quietly did not run.
//! Refused: a server that is running already; anything that is not ours to stop.

mod alertmanager;
mod collector;
mod daemon;
mod etcd;
mod exporter;
mod nginx;
mod patroni;
mod postgres;
mod prometheus;
mod redis;
mod redis_fleet;

use std::{io, path::PathBuf};

pub use alertmanager::{Alertmanager, KnownAlert, amtool};
pub use collector::{Collector, Received};
pub(crate) use daemon::descendants;
pub use exporter::Exporter;
pub use nginx::Nginx;
pub use patroni::{Member, Patroni, Role};
pub use postgres::{Postgres, PostgresSetup};
pub use prometheus::{ActiveAlert, Prometheus, PrometheusSetup, Rule, Sample, Series, Target, promtool};
pub use redis::Redis;
pub use redis_fleet::{RedisCluster, RedisSentinels};

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{program} is not installed here (Debian: apt-get install {package})")]
    Missing { program: &'static str, package: &'static str },
    #[error("cannot run {program}: {source}")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("{program} failed: {words}")]
    Failed { program: String, words: String },
    #[error("{program} was not ready within {within_s} s; its last words: {words}")]
    NotReady { program: String, within_s: u64, words: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub type Result<T> = std::result::Result<T, ServerError>;
