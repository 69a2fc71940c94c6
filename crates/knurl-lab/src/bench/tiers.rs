//! A redirect from each tier: memory, replica, Redis, database.
//!
//! Which one answers is forced, and then asked of the node's own metrics: the same codes come round in turn, more of them than the smallest
//! memory holds, so that memory never knows the next one; and the tiers above the one wanted are turned off.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::{
    BenchError, Rig,
    abreast::{self, COLUMNS, Contender},
    codes::{self, Choice, Codes, picks},
    grouped,
    nginx::Nginx,
    redirect::{TARGET, addr},
    stand::Stand,
};
use crate::{fleet::metric, process::Server, servers::Redis};

/// Ten times what the smallest memory holds.
const CODES: u64 = 100_000;
const SMALLEST_MEMORY: (&str, &str) = ("KNURL_CACHE_BYTES_MAX", "1048576");
const NO_REPLICA: (&str, &str) = ("KNURL_REPLICA", "off");
/// Redis and PostgreSQL share a core with both clients here: its 5 ms would measure them and not Redis.
const PATIENT: (&str, &str) = ("KNURL_REDIS_TIMEOUT_MS", "1000");
/// Nothing leaves it by age.
const KEPT: (&str, &str) = ("KNURL_REDIS_LINKS_TTL_S", "86400");
const COMPLETE_WITHIN: Duration = Duration::from_secs(300);
/// Of all redirects, by the tier that is measured; less is another measurement.
const SHARE_MIN: f64 = 0.98;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Memory,
    Replica,
    Redis,
    Database,
}

impl Tier {
    const ALL: [Self; 4] = [Self::Memory, Self::Replica, Self::Redis, Self::Database];

    /// As its metric calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Replica => "replica",
            Self::Redis => "redis",
            Self::Database => "database",
        }
    }

    /// How the others are kept from answering.
    fn forced_by(self) -> &'static str {
        match self {
            Self::Memory => "all codes in memory",
            Self::Replica => "`cache.bytes_max` 1 MiB",
            Self::Redis => "the same, `replica = off`, all codes in Redis",
            Self::Database => "the same, `replica = off`, no Redis",
        }
    }

    fn options(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Memory => vec![NO_REPLICA],
            Self::Replica => vec![SMALLEST_MEMORY],
            Self::Redis => vec![SMALLEST_MEMORY, NO_REPLICA, PATIENT, KEPT],
            Self::Database => vec![SMALLEST_MEMORY, NO_REPLICA],
        }
    }
}

/// Until the replica has every link; how long that took.
pub(super) fn wait_complete(node: &Server) -> Result<Duration, BenchError> {
    let (began, metrics) = (Instant::now(), metrics_addr(node)?);
    while metric(metrics, "knurl_replica_complete")? < 1.0 {
        if began.elapsed() > COMPLETE_WITHIN {
            return Err(BenchError::Failed { what: "the replica's first copy", said: format!("not whole in {COMPLETE_WITHIN:?}") });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(began.elapsed())
}

pub(super) fn metrics_addr(node: &Server) -> Result<std::net::SocketAddr, BenchError> {
    node.metrics_addr().ok_or(BenchError::Failed { what: "the ready line", said: "no address of metrics".to_owned() })
}

/// What share of the redirects between two looks this tier has answered.
struct Share {
    metrics: std::net::SocketAddr,
    sample: String,
    before: (f64, f64),
}

impl Share {
    fn begin(node: &Server, tier: Tier) -> Result<Self, BenchError> {
        let sample = format!("knurl_resolves_total{{tier=\"{}\"}}", tier.name());
        let mut share = Self { metrics: metrics_addr(node)?, sample, before: (0.0, 0.0) };
        share.before = share.look()?;
        Ok(share)
    }

    fn look(&self) -> Result<(f64, f64), BenchError> {
        let all = metric(self.metrics, "knurl_redirects_total{outcome=\"redirected\"}")?;
        Ok((metric(self.metrics, &self.sample)?, all))
    }

    fn end(&self) -> Result<f64, BenchError> {
        let (tier, all) = self.look()?;
        Ok((tier - self.before.0) / (all - self.before.1))
    }
}

fn row(rig: &Rig, stand: &Stand, codes: &Codes, tier: Tier) -> Result<String, BenchError> {
    let redis = if tier == Tier::Redis { Some(Redis::start()?) } else { None };
    let url = redis.as_ref().map(Redis::url);
    let mut env = tier.options();
    env.extend(url.as_deref().map(|url| ("KNURL_REDIS_URL", url)));
    let node = stand.node(rig, &format!("tier-{}", tier.name()), &env)?.start()?;
    if tier == Tier::Replica {
        wait_complete(&node)?;
    }
    // Memory, Redis or the system's cache have them then.
    codes::ask_all(addr(&node)?, "HEAD", picks(stand.links, Choice::InTurn, CODES))?;
    let nginx = Nginx::start(rig, TARGET)?;
    let load = |asked| codes.load(asked);
    let beside: Vec<u32> = [stand.postgres.pid(), redis.as_ref().and_then(Redis::pid)].into_iter().flatten().collect();
    let share = Share::begin(&node, tier)?;
    let rounds = abreast::run(
        rig,
        &Contender { addr: nginx.addr, pid: nginx.pid(), beside: &[], load: &load },
        &Contender { addr: addr(&node)?, pid: node.pid(), beside: &beside, load: &load },
    )?;
    let share = share.end()?;
    if share < SHARE_MIN {
        let said = format!("{:.1} % of the redirects were answered by the tier {}", share * 100.0, tier.name());
        return Err(BenchError::Failed { what: "forcing a tier", said });
    }
    let redis_us = if redis.is_some() { format!("{:.2}", rounds.beside_us(1)) } else { "-".to_owned() };
    Ok(format!(
        "| {} | {} | {:.1} % | {} {:.2} | {redis_us} |",
        tier.name(),
        tier.forced_by(),
        share * 100.0,
        rounds.cells(),
        rounds.beside_us(0)
    ))
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let stand = rig.stand()?;
    let codes = Codes::write(rig, "tiers", picks(stand.links, Choice::InTurn, CODES))?;
    let mut out = format!(
        "## A redirect from each tier\n\n\
         A node on PostgreSQL with {} links; {} codes come round in turn, click recorded, delivery put off. The other is nginx `return 302`,\n\
         asked for the same codes. Node and nginx share core 0; PostgreSQL, Redis and both clients core 1. \"Answered by it\" is what the node's\n\
         `knurl_resolves_total` says.\n\n\
         | tier | forced by | answered by it | {COLUMNS} PostgreSQL us | Redis us |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
        grouped(stand.links as f64),
        grouped(codes.count as f64),
    );
    for tier in Tier::ALL {
        let _ = writeln!(out, "{}", row(rig, stand, &codes, tier)?);
    }
    out.push('\n');
    Ok(out)
}
