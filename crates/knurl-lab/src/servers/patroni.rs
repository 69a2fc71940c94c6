//! Patroni: three PostgreSQLs of which it makes one the leader and one its synchronous standby, with an etcd that says which.
//!
//! Promised: a started cluster is whole ([`Patroni::is_whole`]) and has the one empty database that a [`super::Postgres`] has; what nodes are told
//! ([`Patroni::url`]) names every member and no way between members, so that a member that is cut off from the others ([`Patroni::cut_off`]) still
//! has its clients. A member is ended with its PostgreSQL, which is no child of Patroni's process: by the number in `postmaster.pid`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Result, ServerError,
    daemon::{Daemon, Recipe, find, kill_family, log_of, on_free_ports},
    etcd::Etcd,
    postgres::{DATABASE, PASSWORD, USER, give_back, give_to, owner, programs, psql},
};
use crate::{
    http::{Connection, Request},
    proxy::Proxy,
};

const MEMBERS: usize = 3;
/// An initdb and two copies of its data. Generous: the machine may be doing anything.
const WHOLE_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const REPLICATOR: &str = "replicator";

/// Who does not renew its lead for so long has lost it: the least that Patroni's manual allows.
const TTL: Duration = Duration::from_secs(20);
/// Between two looks of a member.
const LOOP_WAIT: Duration = Duration::from_secs(2);
/// `LOOP_WAIT` and this twice are no more than `TTL`. For so long a leader that cannot reach etcd goes on: longer than a statement of a node's may take.
const RETRY_TIMEOUT: Duration = Duration::from_secs(9);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader,
    /// Has what was acknowledged.
    SyncStandby,
    Replica,
}

/// As the others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// From 0.
    pub at: usize,
    pub role: Role,
    /// It runs, and follows its leader where it is none.
    pub runs: bool,
    pub timeline: Option<u64>,
}

#[derive(Debug)]
pub struct Patroni {
    // In the order in which they end.
    machines: Vec<Machine>,
    etcd: Etcd,
    programs: PathBuf,
}

/// What is lost together.
#[derive(Debug)]
struct Machine {
    daemon: Daemon,
    ways: Ways,
    rest: SocketAddr,
    port: u16,
    /// Nobody asks it what it sees.
    is_hurt: bool,
    dir: TempDir,
}

/// Between this member and the others: to etcd, and from other members to its API and to its PostgreSQL.
#[derive(Debug)]
struct Ways {
    etcd: Proxy,
    rest: Proxy,
    postgres: Proxy,
}

impl Patroni {
    pub fn start() -> Result<Self> {
        let program = find("patroni", "patroni", &[])?;
        let programs = programs()?;
        let etcd = Etcd::start()?;
        let mut cluster = Self { machines: Vec::new(), etcd, programs };
        for at in 0..MEMBERS {
            let machine = Machine::start(&program, &cluster.programs, at, cluster.etcd.addr)?;
            cluster.machines.push(machine);
            if at == 0 {
                cluster.until(|cluster| cluster.leader() == Some(0))?;
                psql(&cluster.programs, &cluster.url_of(0, "postgres"), &format!("create database {DATABASE}"))?;
            }
        }
        cluster.until(Self::is_whole)?;
        Ok(cluster)
    }

    fn until(&self, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is_so(self) {
            if begun.elapsed() > WHOLE_WITHIN {
                let words: Vec<String> = self.machines.iter().map(|machine| machine.daemon.words()).collect();
                let words = format!("{:?}; {}", self.members(), words.join("; "));
                return Err(ServerError::NotReady { program: "patroni".to_owned(), within_s: WHOLE_WITHIN.as_secs(), words });
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Of all members: who takes writes is used.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.machines.iter().map(|machine| format!("127.0.0.1:{}", machine.port)).collect();
        format!("postgres://{USER}:{PASSWORD}@{}/{DATABASE}?target_session_attrs=read-write", hosts.join(","))
    }

    fn url_of(&self, at: usize, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.machines[at].port)
    }

    /// As those that nothing was done to know it.
    pub fn members(&self) -> Vec<Member> {
        let seen = self
            .machines
            .iter()
            .filter(|machine| !machine.is_hurt)
            .find_map(|machine| ask(machine.rest, &Request::get("/cluster")));
        seen.iter().flat_map(|seen| seen["members"].as_array()).flatten().filter_map(member).collect()
    }

    pub fn leader(&self) -> Option<usize> {
        let leads = |member: &Member| member.role == Role::Leader && member.runs;
        self.members().iter().find(|member| leads(member)).map(|member| member.at)
    }

    /// All run, on one timeline; one leads, one is its synchronous standby.
    pub fn is_whole(&self) -> bool {
        let members = self.members();
        let count = |role| members.iter().filter(|member| member.role == role).count();
        members.len() == MEMBERS
            && members.iter().all(|member| member.runs && member.timeline == members[0].timeline)
            && count(Role::Leader) == 1
            && count(Role::SyncStandby) == 1
    }

    /// To which something was done.
    pub fn hurt(&self) -> Option<usize> {
        self.machines.iter().position(|machine| machine.is_hurt)
    }

    /// SIGKILL of Patroni and its PostgreSQL, and of all their children: the machine is gone.
    pub fn kill(&mut self, at: usize) -> Result<()> {
        self.machines[at].is_hurt = true;
        Ok(self.machines[at].kill()?)
    }

    fn start_again(&mut self, at: usize) -> Result<()> {
        let machine = &mut self.machines[at];
        let rest = machine.rest;
        machine.daemon.start_again(move || ask(rest, &Request::get("/cluster")).is_some())
    }

    /// Neither etcd nor the other members are reached, and they do not reach it. Its clients do.
    pub fn cut_off(&mut self, at: usize) {
        self.machines[at].is_hurt = true;
        self.machines[at].ways.all().iter().for_each(|way| way.disable());
    }

    /// A planned change of the leader, for the good of nobody in particular.
    pub fn switch_over(&self) -> Result<()> {
        let failed = |words: String| ServerError::Failed { program: "a switchover of patroni".to_owned(), words };
        let leader = self.leader().ok_or_else(|| failed("nobody leads".to_owned()))?;
        let body = json!({ "leader": name(leader) }).to_string();
        let answer = Connection::open(self.machines[leader].rest)?.ask(&Request::post("/switchover", &body));
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        let said = String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned();
        if answer.status == 200 { Ok(()) } else { Err(failed(format!("{}: {said}", answer.status))) }
    }

    /// Whatever was done to members is undone.
    pub fn heal(&mut self) -> Result<()> {
        for at in 0..self.machines.len() {
            self.machines[at].ways.heal()?;
            if self.machines[at].daemon.pid().is_none() {
                self.start_again(at)?;
            }
            self.machines[at].is_hurt = false;
        }
        Ok(())
    }

    /// How often it has made its data what the leader's are (pg_rewind), rather than having followed at once.
    pub fn rewound(&self, at: usize) -> usize {
        let said = fs::read_to_string(log_of(self.machines[at].dir.path())).unwrap_or_default();
        said.matches("running pg_rewind").count()
    }
}

impl Machine {
    fn start(program: &Path, programs: &Path, at: usize, etcd: SocketAddr) -> Result<Self> {
        let owner = owner()?;
        let dir = TempDir::with_prefix("knurl-patroni-")?;
        on_free_ports(|[port, for_rest]| {
            let [postgres, rest] = [port, for_rest].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            let ways = Ways::start(at, [etcd, rest, postgres])?;
            let config = config(at, dir.path(), programs, [postgres, rest], &ways);
            fs::write(dir.path().join("patroni.yml"), config.to_string())?;
            give_to(dir.path(), owner)?;
            let recipe = Recipe {
                program: program.to_owned(),
                args: vec!["patroni.yml".to_owned()],
                dir: dir.path().to_owned(),
                owner,
                // It stops its PostgreSQL, which nobody else would.
                dies_by: "TERM",
            };
            let daemon = Daemon::start(recipe, move || ask(rest, &Request::get("/cluster")).is_some())?;
            Ok((daemon, ways, rest, port))
        })
        .map(|(daemon, ways, rest, port)| Self { daemon, ways, rest, port, is_hurt: false, dir })
    }

    /// Of its PostgreSQL, whose working directory is its data's: a number alone may be somebody else's by now.
    fn postmaster(&self) -> Option<u32> {
        let data = self.dir.path().join("data");
        let pid: u32 = fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()?;
        (fs::read_link(format!("/proc/{pid}/cwd")).ok()? == data).then_some(pid)
    }

    fn kill(&mut self) -> std::io::Result<()> {
        // Frozen first: it would start its PostgreSQL again.
        self.daemon.pause();
        if let Some(postmaster) = self.postmaster() {
            kill_family(postmaster);
        }
        self.daemon.kill()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.kill();
        give_back(&self.dir.path().join("data"));
    }
}

impl Ways {
    fn start(at: usize, to: [SocketAddr; 3]) -> Result<Self> {
        let way = |what: &str, to| Proxy::start(&format!("{}-{what}", name(at)), to, 1).map_err(|error| broken(error.to_string()));
        let [etcd, rest, postgres] = to;
        Ok(Self { etcd: way("etcd", etcd)?, rest: way("rest", rest)?, postgres: way("postgres", postgres)? })
    }

    fn all(&self) -> [&Proxy; 3] {
        [&self.etcd, &self.rest, &self.postgres]
    }

    fn heal(&self) -> Result<()> {
        self.all().into_iter().try_for_each(|way| way.heal().map_err(|error| broken(error.to_string())))
    }
}

fn broken(words: String) -> ServerError {
    ServerError::Failed { program: "a way between members of patroni".to_owned(), words }
}

fn name(at: usize) -> String {
    format!("member-{}", at + 1)
}

fn member(seen: &Value) -> Option<Member> {
    let at = seen["name"].as_str()?.strip_prefix("member-")?.parse::<usize>().ok()?.checked_sub(1)?;
    let role = match seen["role"].as_str()? {
        "leader" => Role::Leader,
        "sync_standby" => Role::SyncStandby,
        _ => Role::Replica,
    };
    let runs = matches!(seen["state"].as_str(), Some("running" | "streaming"));
    Some(Member { at, role, runs, timeline: seen["timeline"].as_u64() })
}

/// JSON, which is YAML. The other members and etcd are reached, and reach this one, by its ways.
fn config(at: usize, dir: &Path, programs: &Path, [postgres, rest]: [SocketAddr; 2], ways: &Ways) -> Value {
    let login = |user: &str| json!({ "username": user, "password": PASSWORD });
    let from = |database: &str| format!("host {database} all 127.0.0.1/32 scram-sha-256");
    json!({
        "scope": "knurl",
        "name": name(at),
        "restapi": { "listen": rest.to_string(), "connect_address": ways.rest.addr().to_string() },
        // A proxy: or it would ask etcd where else it is, and go there.
        "etcd3": { "host": ways.etcd.addr().to_string(), "use_proxies": true },
        "bootstrap": {
            "dcs": {
                "ttl": TTL.as_secs(),
                "loop_wait": LOOP_WAIT.as_secs(),
                "retry_timeout": RETRY_TIMEOUT.as_secs(),
                "synchronous_mode": true,
                "postgresql": {
                    "use_pg_rewind": true,
                    "parameters": { "max_connections": 200 },
                },
            },
            "initdb": [{ "encoding": "UTF8" }, { "locale": "C.UTF-8" }, "data-checksums", "no-sync"],
            "pg_hba": [from("all"), from("replication")],
        },
        "postgresql": {
            "listen": postgres.to_string(),
            "connect_address": ways.postgres.addr().to_string(),
            "bin_dir": programs.display().to_string(),
            "data_dir": dir.join("data").display().to_string(),
            "pgpass": dir.join("pgpass").display().to_string(),
            "basebackup": ["no-sync"],
            "authentication": { "superuser": login(USER), "replication": login(REPLICATOR), "rewind": login(USER) },
            "parameters": {
                "unix_socket_directories": dir.display().to_string(),
                "shared_buffers": "64MB",
                "max_wal_size": "1GB",
                // Processes are killed here, and no machine.
                "fsync": "off",
            },
        },
    })
}

fn ask(rest: SocketAddr, request: &Request<'_>) -> Option<Value> {
    let answer = Connection::open(rest).ok()?.ask(request).ok()?;
    if answer.status == 200 { answer.json() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_by_its_number_its_role_and_whether_it_runs() {
        let of = |role: &str, state: &str| {
            member(&json!({ "name": "member-2", "role": role, "state": state, "timeline": 3 }))
                .map(|seen| (seen.at, seen.role, seen.runs, seen.timeline))
        };
        assert_eq!(of("leader", "running"), Some((1, Role::Leader, true, Some(3))));
        // As later versions say it.
        assert_eq!(of("sync_standby", "streaming"), Some((1, Role::SyncStandby, true, Some(3))));
        assert_eq!(of("replica", "start failed"), Some((1, Role::Replica, false, Some(3))));
        assert_eq!(member(&json!({ "name": "stranger", "role": "replica", "state": "running" })), None);
    }
}
