//! Redis in company: a Cluster of three masters, and a master with a replica that three Sentinels watch.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    Redis, Result, ServerError,
    daemon::{Daemon, Recipe, find, on_a_free_port},
    redis::answers,
};

const MASTERS: usize = 3;
const SENTINELS: usize = 3;
const SLOTS: usize = 16_384;
/// Generous: the machine may be doing anything.
const AGREED_WITHIN: Duration = Duration::from_secs(60);

/// Three masters that share the keys; no replicas.
#[derive(Debug)]
pub struct RedisCluster {
    pub masters: Vec<Redis>,
}

impl RedisCluster {
    pub fn start() -> Result<Self> {
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"];
        let masters: Vec<Redis> = (0..MASTERS).map(|_| bus_port_too(&settings)).collect::<Result<_>>()?;
        for (n, master) in masters.iter().enumerate() {
            let (from, to) = (SLOTS * n / MASTERS, SLOTS * (n + 1) / MASTERS - 1);
            master.command(&["cluster", "addslotsrange", &from.to_string(), &to.to_string()])?;
            master.command(&["cluster", "set-config-epoch", &(n + 1).to_string()])?;
        }
        for other in &masters[1..] {
            masters[0].command(&["cluster", "meet", "127.0.0.1", &other.port().to_string()])?;
        }
        let knows_all = |master: &Redis| {
            let state = master.command(&["cluster", "info"]).unwrap_or_default();
            state.contains("cluster_state:ok") && state.contains(&format!("cluster_slots_ok:{SLOTS}"))
        };
        agreed("redis-server in a Cluster", || masters.iter().all(knows_all))?;
        Ok(Self { masters })
    }

    pub fn url(&self) -> String {
        let nodes: Vec<_> = self.masters.iter().map(|master| format!("127.0.0.1:{}", master.port())).collect();
        format!("redis-cluster://{}", nodes.join(","))
    }
}

/// A Cluster talks on the port 10 000 above its own.
fn bus_port_too(settings: &[&str]) -> Result<Redis> {
    const TRIES: u32 = 20;
    let mut tried = 0;
    loop {
        tried += 1;
        match Redis::start_with(settings) {
            Err(ServerError::Failed { .. }) if tried < TRIES => {}
            started => return started,
        }
    }
}

/// A master, its replica, and three Sentinels that agree on who is which.
#[derive(Debug)]
pub struct RedisSentinels {
    sentinels: Vec<Sentinel>,
    pub master: Redis,
    pub replica: Redis,
}

#[derive(Debug)]
struct Sentinel {
    // Before the directory: dropped first.
    _daemon: Daemon,
    _dir: TempDir,
    port: u16,
}

impl RedisSentinels {
    pub const MASTER_NAME: &str = "knurl";

    /// A master that is silent for `down_after` is replaced.
    pub fn start(down_after: Duration) -> Result<Self> {
        let master = Redis::start()?;
        let replica =
            Redis::start_with(&["--replicaof", &format!("127.0.0.1 {}", master.port()), "--repl-diskless-sync-delay", "0"])?;
        agreed("a replica of redis-server", || {
            replica.command(&["info", "replication"]).unwrap_or_default().contains("master_link_status:up")
        })?;
        let sentinels: Vec<Sentinel> = (0..SENTINELS).map(|_| sentinel(master.port(), down_after)).collect::<Result<_>>()?;
        let fleet = Self { sentinels, master, replica };
        agreed("the Sentinels", || {
            fleet.sentinels.iter().all(|sentinel| {
                let known = |what: &str| ask(sentinel.port, &["sentinel", what, Self::MASTER_NAME]).matches("\nport\n").count();
                known("sentinels") == SENTINELS - 1 && known("replicas") == 1
            })
        })?;
        Ok(fleet)
    }

    pub fn url(&self) -> String {
        let nodes: Vec<_> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis-sentinel://{}/{}", nodes.join(","), Self::MASTER_NAME)
    }
}

fn sentinel(master_port: u16, down_after: Duration) -> Result<Sentinel> {
    let program = find("redis-server", "redis-server", &[])?;
    let dir = TempDir::with_prefix("knurl-sentinel-")?;
    on_a_free_port(|port| {
        write_config(dir.path(), port, master_port, down_after)?;
        let recipe = Recipe {
            program: program.clone(),
            args: ["sentinel.conf", "--sentinel"].map(str::to_owned).to_vec(),
            dir: dir.path().to_owned(),
            owner: None,
            dies_by: "KILL",
        };
        Ok((Daemon::start(recipe, move || answers(port))?, port))
    })
    .map(|(daemon, port)| Sentinel { _daemon: daemon, _dir: dir, port })
}

/// A Sentinel writes into its own configuration what it learns.
fn write_config(dir: &Path, port: u16, master_port: u16, down_after: Duration) -> Result<()> {
    let (name, down_after_ms) = (RedisSentinels::MASTER_NAME, down_after.as_millis());
    let text = format!(
        "port {port}\nbind 127.0.0.1\nprotected-mode no\nsentinel monitor {name} 127.0.0.1 {master_port} 2\n\
         sentinel down-after-milliseconds {name} {down_after_ms}\nsentinel failover-timeout {name} 5000\n"
    );
    Ok(fs::write(dir.join("sentinel.conf"), text)?)
}

fn ask(port: u16, args: &[&str]) -> String {
    super::redis::cli(port, args).unwrap_or_default()
}

fn agreed(program: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > AGREED_WITHIN {
            let words = "its members do not know each other".to_owned();
            return Err(ServerError::NotReady { program: program.to_owned(), within_s: AGREED_WITHIN.as_secs(), words });
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
