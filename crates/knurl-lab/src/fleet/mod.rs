//! A fleet on this machine: nodes as child processes, on one database or each on its own, behind nginx as production has it.
//!
//! Promised: a started fleet answers at [`Fleet::addr`]; each node keeps its address over restarts; whatever is started ends with the fleet,
//! and with the process that started it. Logs are kept where a finding was made ([`Fleet::keep`]).
//! Refused: more than one machine. Toxic connections are the caller's: he starts proxies and gives the nodes their addresses.

mod cage;
pub mod command;
mod container;
pub mod front;
mod housing;
mod node;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

pub use container::Image;
pub use housing::Housing;
pub use node::{Node, metric};

use crate::{
    http::{Answer, Connection, Request, Unanswered},
    kill::ledger::Audit,
    process::ProcessError,
    servers::{Nginx, Postgres, PostgresSetup, Redis, ServerError},
};

/// After a node is ready again, until the next one is stopped: longer than nginx leaves a failed node alone (`fail_timeout`).
pub const ROLL_PAUSE: Duration = Duration::from_millis(2_500);
/// What each node is told of its front: longer than nginx keeps idle connections to nodes (`keepalive_timeout` of the upstream).
pub const READY_DRAIN_MS: u64 = 2_000;

#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("{asked} answered {status}: {body}")]
    Unexpected { asked: String, status: u16, body: String },
    #[error("`knurl audit` of node {node}: {words}")]
    Audit { node: usize, words: String },
    #[error("docker {asked}: {words}")]
    Docker { asked: String, words: String },
    #[error("no port below the ephemeral ones is free")]
    NoPort,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where the links are.
#[derive(Clone, Debug)]
pub enum Backing {
    /// Each node has its own SQLite: what is created on one is known there alone.
    OwnSqlite,
    /// One PostgreSQL, started with the fleet.
    Postgres(PostgresSetup),
    /// One that the caller has started, perhaps behind a proxy of his.
    At(String),
}

#[derive(Clone, Debug)]
pub struct FleetSpec {
    pub binary: PathBuf,
    pub nodes: usize,
    pub backing: Backing,
    /// Start one, and tell the nodes. (A caller's own: `KNURL_REDIS_URL` in `env`.)
    pub redis: bool,
    pub front: front::FrontSetup,
    /// Of every node, over what the fleet itself sets.
    pub env: Vec<(String, String)>,
    /// Nodes are pinned to these, as taskset writes them.
    pub cores: Option<String>,
}

impl FleetSpec {
    pub fn new(binary: PathBuf, nodes: usize, backing: Backing) -> Self {
        Self { binary, nodes, backing, redis: false, front: front::FrontSetup::default(), env: Vec::new(), cores: None }
    }
}

/// Dropped, everything of it is killed: front first, databases last.
#[derive(Debug)]
pub struct Fleet {
    pub front: Nginx,
    pub nodes: Vec<Node>,
    pub redis: Option<Redis>,
    pub postgres: Option<Postgres>,
    dir: tempfile::TempDir,
    shared: bool,
}

impl Fleet {
    pub fn start(spec: &FleetSpec) -> Result<Self, FleetError> {
        let dir = tempfile::Builder::new().prefix("knurl-fleet-").tempdir()?;
        let mut env: Vec<(String, String)> = Vec::new();
        let given = |key: &str| spec.env.iter().any(|(own, _)| own == key);
        let mut set = |key: &str, value: String| {
            if !given(key) {
                env.push((key.to_owned(), value));
            }
        };
        let postgres = match &spec.backing {
            Backing::Postgres(setup) => Some(Postgres::start_with(setup)?),
            Backing::OwnSqlite | Backing::At(_) => None,
        };
        match (&spec.backing, &postgres) {
            (_, Some(postgres)) => set("KNURL_DATABASE_URL", postgres.url()),
            (Backing::At(url), None) => set("KNURL_DATABASE_URL", url.clone()),
            _ => {}
        }
        let redis = if spec.redis { Some(Redis::start()?) } else { None };
        if let Some(redis) = &redis {
            set("KNURL_REDIS_URL", redis.url());
        }
        set("KNURL_TRUSTED_PROXIES", "127.0.0.1".to_owned());
        set("KNURL_HTTP_READY_DRAIN_MS", READY_DRAIN_MS.to_string());
        set("KNURL_LOG_FORMAT", "json".to_owned());
        env.extend(spec.env.iter().cloned());
        let mut ports = node::Ports::new()?;
        let mut nodes = Vec::new();
        for number in 1..=spec.nodes {
            let at = dir.path().join(format!("node-{number}"));
            let mut node = Node::prepare(number, &Housing::Process, &spec.binary, &at, &env, &mut ports)?;
            node.pin_to(spec.cores.clone());
            nodes.push(node);
        }
        let addrs: Vec<SocketAddr> = nodes.iter().map(Node::addr).collect();
        let front = front::start(&addrs, &spec.front)?;
        let base_url = format!("http://127.0.0.1:{}", front.port());
        for node in &mut nodes {
            node.set_default("KNURL_BASE_URL", &base_url);
            // One after the other: the first one makes the tables and the first key.
            node.start()?;
        }
        Ok(Self { front, nodes, redis, postgres, dir, shared: !matches!(spec.backing, Backing::OwnSqlite) })
    }

    /// nginx's address.
    pub fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.front.port()).into()
    }

    /// Whether all nodes are on one database.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// The nodes that have to be asked to see everything.
    pub fn books(&self) -> &[Node] {
        if self.shared { &self.nodes[..1] } else { &self.nodes }
    }

    /// Every node in turn: ended, started again, ready, and seen to be ready by the front before the next one's turn.
    pub fn roll(&mut self, end: impl Fn(&mut Node) -> Result<(), FleetError>) -> Result<(), FleetError> {
        for node in &mut self.nodes {
            end(node)?;
            node.start()?;
            thread::sleep(ROLL_PAUSE);
        }
        Ok(())
    }

    /// The nodes' audits, added up; of nodes that are on one database each counts its own clicks.
    pub fn audit(&self) -> Result<Vec<Audit>, FleetError> {
        self.nodes.iter().map(Node::audit).collect()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// In the order in which nobody misses anybody; directories are removed.
    pub fn stop(mut self) -> Result<(), FleetError> {
        let stopped: Vec<Result<(), FleetError>> = thread::scope(|scope| {
            let nodes: Vec<_> = self.nodes.iter_mut().map(|node| scope.spawn(|| node.stop())).collect();
            let panicked = || Err(FleetError::Io(io::Error::other("a thread that stops a node panicked")));
            nodes.into_iter().map(|node| node.join().unwrap_or_else(|_| panicked())).collect()
        });
        self.front.stop()?;
        self.redis.iter_mut().try_for_each(Redis::stop)?;
        self.postgres.iter_mut().try_for_each(Postgres::stop)?;
        stopped.into_iter().collect()
    }

    /// Stops everything and leaves the nodes' directories, with their logs, and the front's log beside them.
    pub fn keep(self) -> PathBuf {
        // Best effort: what is kept is for people who look into a finding.
        for (from, to) in [("knurl.log", "front-access.log"), ("server.log", "front-server.log"), ("error.log", "front-error.log")]
        {
            let _ = std::fs::copy(self.front.dir().join(from), self.dir.path().join(to));
        }
        self.dir.keep()
    }
}

/// One request that has to succeed, on a connection of its own.
pub fn ask(addr: SocketAddr, request: &Request<'_>, status: u16) -> Result<Answer, FleetError> {
    let answer = Connection::open(addr)?.ask(request)?;
    if answer.status == status {
        return Ok(answer);
    }
    Err(FleetError::Unexpected {
        asked: format!("{} {}", request.method, request.path),
        status: answer.status,
        body: String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned(),
    })
}
