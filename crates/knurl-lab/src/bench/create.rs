//! Creates: one durable link a request, and a thousand.

use serde_json::json;

use super::{
    BenchError, Rig, SERVER_CORE,
    abreast::wait_until_idle,
    grouped, machine, median,
    redirect::addr,
    spread, stand,
    wrk::{self, Load},
};
use crate::{
    http::{Connection, Request},
    load::{self, LoadArgs, LoadKind},
    process::{Launch, Server},
    servers::Postgres,
};

/// `POST /urls` with another target each time, as a client of the contract sends it.
const SCRIPT: &str = r#"local made = 0
local user = os.getenv("BENCH_USER")
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  made = made + 1
  return wrk.format(nil, nil, nil, string.format('{"user_id":%s,"original_url":"https://target.example/made/%d","title":"Made"}', user, made))
end
"#;
const BULK_ROWS: u64 = 1000;
const BULK_CONNECTIONS: u64 = 4;
/// Times as many connections, for larger groups.
const MANY: u64 = 4;

fn user(launch_addr: std::net::SocketAddr) -> Result<String, BenchError> {
    let failed = |said: String| BenchError::Failed { what: "creating a user", said };
    let body = json!({ "username": "bench", "email": "bench@bench.example" }).to_string();
    let answer = Connection::open(launch_addr)?.ask(&Request::post("/users", &body)).map_err(|error| failed(error.to_string()))?;
    let made = answer.json().and_then(|user| user["id"].as_i64());
    made.map(|id| id.to_string()).ok_or_else(|| failed(answer.status.to_string()))
}

/// Where links are created: a server started anew, and the database's process where that is another one.
struct Subject {
    server: Server,
    postgres: Option<Postgres>,
    user: String,
}

impl Subject {
    fn start(launch: &Launch, postgres: Option<Postgres>) -> Result<Self, BenchError> {
        let server = launch.start()?;
        let user = user(addr(&server)?)?;
        Ok(Self { server, postgres, user })
    }

    fn sqlite(rig: &Rig, cores: Option<String>) -> Result<Self, BenchError> {
        let mut launch = rig.launch("create", &[])?;
        launch.cores = cores;
        std::fs::remove_dir_all(&launch.dir)?;
        std::fs::create_dir_all(&launch.dir)?;
        Self::start(&launch, None)
    }

    fn postgres(rig: &Rig) -> Result<Self, BenchError> {
        let postgres = stand::postgres()?;
        rig.spread(postgres.pid())?;
        let mut launch = rig.launch("create-postgres", &[("KNURL_DATABASE_URL", &postgres.url())])?;
        launch.cores = rig.both_cores();
        Self::start(&launch, Some(postgres))
    }

    fn watched(&self) -> Vec<u32> {
        std::iter::once(self.server.pid()).chain(self.postgres.as_ref().and_then(Postgres::pid)).collect()
    }
}

/// One run: links a second, CPU of the server and the database a link, 99th percentile where it is known.
struct Run {
    per_second: f64,
    cpu_us: Vec<f64>,
    p99_us: Option<f64>,
}

fn single(rig: &Rig, subject: &Subject, connections: u64) -> Result<Vec<Run>, BenchError> {
    let script = rig.dir.path().join("create.lua");
    std::fs::write(&script, SCRIPT)?;
    let load = Load::script("/urls", &script, vec![("BENCH_USER", subject.user.clone())]);
    let watched = subject.watched();
    let run = |_| {
        let run = wrk::run(rig, addr(&subject.server)?, &load, connections, &watched)?;
        wait_until_idle(subject.server.pid())?;
        let cpu_us = (0..watched.len()).map(|place| run.cpu_us_of(place)).collect();
        Ok(Run { per_second: run.per_second, cpu_us, p99_us: Some(run.p99_us) })
    };
    (0..rig.rounds).map(run).collect()
}

fn bulk(rig: &Rig, subject: &Subject) -> Result<Vec<Run>, BenchError> {
    let args = LoadArgs {
        kind: LoadKind::Bulk,
        addr: addr(&subject.server)?,
        connections: BULK_CONNECTIONS,
        seconds: rig.seconds,
        codes: None,
        zipf: 0.0,
        rows: BULK_ROWS,
        user: subject.user.parse().unwrap_or(1),
        seed: 1,
    };
    let watched = subject.watched();
    let run = |round| {
        let before = watched.iter().map(|pid| machine::cpu_time(*pid)).collect::<Result<Vec<_>, _>>()?;
        let report = load::run(&LoadArgs { seed: round, ..args.clone() })?;
        if report.unexpected > 0 {
            return Err(BenchError::Failed { what: "a bulk create", said: report.to_string() });
        }
        let mut cpu_us = Vec::new();
        for (pid, before) in watched.iter().zip(&before) {
            cpu_us.push(machine::cpu_time(*pid)?.since(before).whole_us / report.links as f64);
        }
        wait_until_idle(subject.server.pid())?;
        Ok(Run { per_second: report.links as f64 / report.seconds, cpu_us, p99_us: None })
    };
    (0..rig.rounds).map(run).collect()
}

fn row(name: &str, runs: &[Run]) -> String {
    let of = |figure: &dyn Fn(&Run) -> Option<f64>| runs.iter().filter_map(figure).collect::<Vec<_>>();
    let thousands = of(&|run| Some(run.per_second / 1000.0));
    // Not measured is not nothing.
    let shown = |figures: Vec<f64>, decimals: usize| {
        if figures.is_empty() { "-".to_owned() } else { format!("{:.decimals$}", median(figures)) }
    };
    format!(
        "| {name} | {} | {} k | {} | {} | {} |\n",
        grouped(median(of(&|run| Some(run.per_second)))),
        spread(&thousands),
        shown(of(&|run| run.cpu_us.first().copied()), 1),
        shown(of(&|run| run.cpu_us.get(1).copied()), 1),
        shown(of(&|run| run.p99_us), 0),
    )
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let mut out = String::from(
        "## Creating links, each durable before its answer\n\n\
         SQLite: the server on core 0, or on both; PostgreSQL: node and database on both. Clients are on core 1.\n\n\
         | | links/s | range | server CPU us a link | PostgreSQL CPU us a link | p99 us |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let connections = rig.connections;
    let server_core = || rig.two_cores.then(|| SERVER_CORE.to_string());
    let one = Subject::sqlite(rig, server_core())?;
    out += &row(&format!("SQLite: `POST /urls`, {connections} connections, server on one core"), &single(rig, &one, connections)?);
    drop(one);
    if rig.two_cores {
        let two = Subject::sqlite(rig, rig.both_cores())?;
        let name = format!("SQLite: `POST /urls`, {connections} connections, server and client share two cores");
        out += &row(&name, &single(rig, &two, connections)?);
    }
    let in_bulk = format!("`POST /urls/bulk`, {BULK_ROWS} links a request, {BULK_CONNECTIONS} connections");
    out += &row(&format!("SQLite: {in_bulk}, server on one core"), &bulk(rig, &Subject::sqlite(rig, server_core())?)?);
    for connections in [connections, connections * MANY] {
        let name = format!("PostgreSQL: `POST /urls`, {connections} connections");
        out += &row(&name, &single(rig, &Subject::postgres(rig)?, connections)?);
    }
    out += &row(&format!("PostgreSQL: {in_bulk}"), &bulk(rig, &Subject::postgres(rig)?)?);
    out.push('\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_was_not_measured() {
        let run = |per_second, cpu_us: &[f64]| Run { per_second, cpu_us: cpu_us.to_vec(), p99_us: None };
        assert_eq!(
            row("bulk", &[run(61_000.0, &[12.0]), run(59_000.0, &[14.0]), run(60_000.0, &[13.0])]),
            "| bulk | 60 000 | 59.00 to 61.00 k | 13.0 | - | - |\n"
        );
    }
}
