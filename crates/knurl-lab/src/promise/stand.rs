//! A stand: one PostgreSQL or Patroni's three, perhaps a Redis, and nodes, with a fault proxy on each way between them, so that a fault can be one node's alone.
//!
//! Promised: a started stand is current (every replica complete); nodes keep their addresses over restarts; dropped, all of it is ended.
//! Refused: a front. What nginx does about a node is promise P-9's matter, and here every node is asked by itself.

use std::{
    collections::HashSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    Report,
    books::{self, Counted, Ledger, Shown},
};
use crate::{
    fleet::{self, FleetError, Housing, Node},
    http::Request,
    proxy::{Direction, Proxy, Toxic, ToxicKind},
    servers::{Patroni, Postgres, PostgresSetup, Redis},
};

/// For what is only a matter of time: a replica's first copy, a node that is busy with it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Promised: nothing is delivered later than this after its way is whole again.
pub const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// What is not delivered by then never is.
const DELIVERED_WITHIN: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Default)]
pub struct StandSpec {
    pub binary: PathBuf,
    /// How nodes are run. Servers and ways are always ours.
    pub housing: Housing,
    pub nodes: usize,
    pub redis: bool,
    pub seed: u64,
    /// Of every node.
    pub env: Vec<(String, String)>,
    pub postgres: PostgresSetup,
    /// One node on its own SQLite, and neither PostgreSQL nor Redis.
    pub embedded: bool,
    /// In place of PostgreSQL, and without Redis: nodes know every member, and no proxy is on their ways.
    pub patroni: bool,
}

/// Of one node.
#[derive(Debug)]
pub struct Ways {
    pub postgres: Proxy,
    pub redis: Option<Proxy>,
}

#[derive(Debug)]
pub struct Stand {
    pub nodes: Vec<Node>,
    pub ways: Vec<Ways>,
    pub redis: Option<Redis>,
    /// `None`: the one node has its own SQLite, or all of them have Patroni's.
    pub postgres: Option<Postgres>,
    pub patroni: Option<Patroni>,
    spec: StandSpec,
    moved: usize,
    dir: tempfile::TempDir,
}

impl Stand {
    pub fn start(spec: StandSpec) -> Result<Self, FleetError> {
        let mut stand = Self::unfurnished(spec)?;
        stand.furnish()?;
        Ok(stand)
    }

    /// Starts the nodes that are still missing, and waits until all are current.
    pub fn furnish(&mut self) -> Result<(), FleetError> {
        for at in self.nodes.len()..self.spec.nodes {
            let node = self.node(at, &Self::place(at))?;
            self.nodes.push(node);
        }
        self.wait_current()
    }

    /// The name of a node's directory below the stand's.
    pub fn place(at: usize) -> String {
        format!("node-{}", at + 1)
    }

    /// Its servers and ways, and no node yet.
    pub fn unfurnished(spec: StandSpec) -> Result<Self, FleetError> {
        let dir = tempfile::Builder::new().prefix("knurl-stand-").tempdir()?;
        let patroni = if spec.patroni { Some(Patroni::start()?) } else { None };
        let is_plain = !spec.embedded && !spec.patroni;
        let postgres = if is_plain { Some(Postgres::start_with(&spec.postgres)?) } else { None };
        let redis = if spec.redis && is_plain { Some(Redis::start()?) } else { None };
        let here = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let mut ways = Vec::new();
        for number in 1..=postgres.as_ref().map_or(0, |_| spec.nodes) {
            let to =
                |what: &str, port| Proxy::start(&format!("{what}-{number}"), here(port), spec.seed).map_err(|error| broken(&error));
            let redis = redis.as_ref().map(|redis| to("redis", redis.port())).transpose()?;
            ways.push(Ways { postgres: to("postgres", postgres.as_ref().map_or(0, Postgres::port))?, redis });
        }
        Ok(Self { nodes: Vec::new(), ways, redis, postgres, patroni, spec, moved: 0, dir })
    }

    /// A node by the ways of this place, started.
    pub fn node(&self, at: usize, name: &str) -> Result<Node, FleetError> {
        let mut env = vec![("KNURL_LOG_FORMAT".to_owned(), "json".to_owned())];
        if let (Some(ways), Some(postgres)) = (self.ways.get(at), &self.postgres) {
            env.push(("KNURL_DATABASE_URL".to_owned(), postgres.url_through(ways.postgres.addr().port())));
            env.extend(ways.redis.iter().map(|redis| ("KNURL_REDIS_URL".to_owned(), format!("redis://{}", redis.addr()))));
        }
        env.extend(self.patroni.iter().map(|patroni| ("KNURL_DATABASE_URL".to_owned(), patroni.url())));
        env.extend(self.spec.env.iter().cloned());
        let mut node = Node::housed(&self.spec.housing, &self.spec.binary, &self.dir.path().join(name), &env)?;
        node.number = at + 1;
        Ok(node)
    }

    /// The node of this place, which is stopped, gives its data directory to another one on other addresses.
    pub fn move_disk(&mut self, at: usize) -> Result<(), FleetError> {
        self.moved += 1;
        let name = format!("moved-{}", self.moved);
        let to = self.dir.path().join(&name);
        fs::create_dir_all(&to)?;
        fs::rename(self.nodes[at].data_dir(), to.join("data"))?;
        self.nodes[at] = self.node(at, &name)?;
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Of PostgreSQL, which is there.
    pub fn sql(&self, sql: &str) -> Result<String, FleetError> {
        let postgres =
            self.postgres.as_ref().ok_or_else(|| FleetError::Io(std::io::Error::other("this stand has no PostgreSQL")))?;
        Ok(postgres.sql(sql)?)
    }

    /// Until every node's replica is complete and follows, where there are replicas.
    pub fn wait_current(&self) -> Result<(), FleetError> {
        let has_replica = self.spec.env.iter().all(|(key, value)| key != "KNURL_REPLICA" || value != "off");
        if self.spec.embedded || !has_replica {
            return Ok(());
        }
        for node in &self.nodes {
            until(&format!("the replica of node {} is current", node.number), || is_current(node))?;
        }
        Ok(())
    }

    pub fn cut_postgres(&self, how: &Fault) -> Result<(), FleetError> {
        self.ways.iter().try_for_each(|ways| how.inflict(&ways.postgres))
    }

    pub fn cut_redis(&self, how: &Fault) -> Result<(), FleetError> {
        self.ways.iter().filter_map(|ways| ways.redis.as_ref()).try_for_each(|way| how.inflict(way))
    }

    pub fn heal(&self) -> Result<(), FleetError> {
        let ways = self.ways.iter().flat_map(|ways| [Some(&ways.postgres), ways.redis.as_ref()]).flatten();
        ways.into_iter().try_for_each(|way| way.heal().map_err(|error| broken(&error)))
    }

    /// Connections to PostgreSQL that a toxic has ended so far.
    pub fn cut(&self) -> u64 {
        self.ways.iter().map(|ways| ways.postgres.fates().cut).sum()
    }

    /// Waits until what had been answered when it was called is delivered; `None`: that was not `within` this.
    pub fn drained(&self, within: Duration) -> Result<Option<Duration>, FleetError> {
        let began = Instant::now();
        let answered: Vec<f64> =
            self.nodes.iter().map(|node| node.metric("knurl_clicks_answered_total")).collect::<Result<_, _>>()?;
        loop {
            let mut waiting = false;
            for (node, answered) in self.nodes.iter().zip(&answered) {
                let (now, backlog) = (node.metric("knurl_clicks_answered_total")?, node.metric("knurl_clicks_backlog")?);
                // What came since then is at the end of the backlog.
                waiting |= backlog > now - answered;
            }
            if !waiting || began.elapsed() > within {
                return Ok((!waiting).then(|| began.elapsed()));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until everything is delivered, which is a figure of this name; that it never is, a finding.
    pub fn deliver(&self, report: &mut Report, name: &str) -> Option<Duration> {
        let delivered = self.drained(DELIVERED_WITHIN);
        match &delivered {
            Ok(Some(took)) => report.note(name, took.as_secs_f64()),
            Ok(None) => report.find(format!("{name}: not everything is delivered within {DELIVERED_WITHIN:?}")),
            Err(error) => report.find(format!("{name}: {error}")),
        }
        delivered.ok().flatten()
    }

    /// As [`Stand::deliver`], after an outage: within [`DRAINED_WITHIN`], as is promised.
    pub fn drain(&self, report: &mut Report, name: &str) {
        if let Some(took) = self.deliver(report, name) {
            report.at_most(name, DRAINED_WITHIN.as_secs_f64(), took.as_secs_f64());
        }
    }

    /// When all clients are gone: what they know is what the product shows; nodes end as they should; their audits hold.
    pub fn settle(&mut self, ledger: &Ledger, report: &mut Report) {
        match self.shown(ledger) {
            Ok(shown) => {
                books::check(ledger, &shown, 0).iter().for_each(|found| report.find(found.to_string()));
                // Every create asked for a target of its own.
                let targets: HashSet<&str> = shown.links.values().map(|(target, _)| target.as_str()).collect();
                if targets.len() < shown.links.len() {
                    report.find(format!("{} creates made more than one link", shown.links.len() - targets.len()));
                }
            }
            Err(error) => report.find(format!("the books cannot be read: {error}")),
        }
        self.end(ledger, report);
        report.note("links", ledger.links.len());
        report.note("creates_of_unknown_fate", ledger.creates_unknown);
    }

    /// As [`Stand::settle`], by what PostgreSQL itself has of clicks: links may be deleted, or millions.
    pub fn settle_in_database(&mut self, ledger: &Ledger, report: &mut Report) {
        match Counted::read(|sql| self.sql(sql)) {
            Ok(counted) => counted.check(ledger).iter().for_each(|found| report.find(found.to_string())),
            Err(error) => report.find(format!("the clicks cannot be read: {error}")),
        }
        self.end(ledger, report);
    }

    /// Nodes end as they should, their audits hold, and together they have answered what clients were answered.
    fn end(&mut self, ledger: &Ledger, report: &mut Report) {
        let (mut answered, mut dropped) = (0, 0);
        for node in &mut self.nodes {
            if let Err(error) = node.stop() {
                report.find(error.to_string());
            }
            node.panics().into_iter().for_each(|line| report.find(line));
            match node.audit() {
                Ok(audit) => {
                    answered += audit.answered;
                    dropped += audit.dropped;
                }
                Err(error) => report.find(error.to_string()),
            }
        }
        let clicks = ledger.all_clicks();
        if answered < clicks.sure || answered > clicks.sure + clicks.unknown || dropped > 0 {
            report.find(format!("the audits count {answered} answered, {dropped} dropped; the clients know {clicks:?}"));
        }
        report.note("clicks", clicks.sure);
        report.note("clicks_unanswered", clicks.unknown);
    }

    pub fn shown(&self, ledger: &Ledger) -> Result<Shown, FleetError> {
        let (deadline, sure) = (Instant::now() + DRAINED_WITHIN, ledger.all_clicks().sure);
        loop {
            let shown = Shown::read(&self.nodes[..1])?;
            let counted: u64 = shown.links.values().map(|(_, clicks)| clicks).sum();
            if (counted >= sure && shown.click_events >= sure) || Instant::now() > deadline {
                return Ok(shown);
            }
            thread::sleep(PAUSE);
        }
    }

    /// The nodes' directories of a run with findings are kept.
    pub fn finish(self, mut report: Report) -> Report {
        if !report.held {
            report.kept = Some(self.dir.keep());
        }
        report.finished()
    }
}

/// What is done to a way.
#[derive(Clone, Debug)]
pub enum Fault {
    Refused,
    Toxics(Vec<Toxic>),
}

impl Fault {
    /// Connections stand, new ones are accepted, and nothing comes.
    pub fn hung() -> Self {
        let dead = |stream| Toxic::new(stream, ToxicKind::Timeout { timeout: 0 });
        Self::Toxics(vec![dead(Direction::Upstream), dead(Direction::Downstream)])
    }

    pub fn reset() -> Self {
        Self::downstream(ToxicKind::ResetPeer { timeout: 0 })
    }

    pub fn slow(latency: u64, jitter: u64) -> Self {
        Self::downstream(ToxicKind::Latency { latency, jitter })
    }

    /// The commit has happened, and nobody is told.
    pub fn commit_reply_lost(probability: f64) -> Self {
        Self::downstream(ToxicKind::CutAtPattern { pattern: "COMMIT\0".to_owned(), probability })
    }

    fn downstream(kind: ToxicKind) -> Self {
        Self::Toxics(vec![Toxic::new(Direction::Downstream, kind)])
    }

    pub fn inflict(&self, way: &Proxy) -> Result<(), FleetError> {
        match self {
            Self::Refused => way.disable(),
            Self::Toxics(toxics) => {
                for toxic in toxics {
                    way.add(toxic.clone()).map_err(|error| broken(&error))?;
                }
            }
        }
        Ok(())
    }
}

pub fn broken(error: &crate::proxy::ProxyError) -> FleetError {
    FleetError::Io(std::io::Error::other(error.to_string()))
}

fn is_current(node: &Node) -> Result<bool, FleetError> {
    Ok(node.metric("knurl_replica_complete")? > 0.0
        && node.metric("knurl_replica_compared")? > 0.0
        && node.metric("knurl_replica_age_seconds")? < 2.0)
}

/// Polls; an error when it does not come true.
pub fn until(what: &str, is_so: impl Fn() -> Result<bool, FleetError>) -> Result<Duration, FleetError> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > PATIENCE {
            return Err(FleetError::Io(std::io::Error::other(format!("not within {PATIENCE:?}: {what}"))));
        }
        thread::sleep(PAUSE);
    }
    Ok(began.elapsed())
}

/// Whether the node says that it can redirect.
pub fn is_ready(node: &Node) -> bool {
    fleet::ask(node.metrics_addr(), &Request::get("/readyz"), 200).is_ok()
}
