//! Creates: one durable link a request, and a thousand.

use std::fmt::Write;

use serde_json::json;

use super::{
    BenchError, Rig, grouped, median,
    redirect::{addr, wait_until_idle},
    spread,
};
use crate::{
    http::{Connection, Request},
    load::{self, LoadArgs, LoadKind},
    process::Launch,
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

fn user(launch_addr: std::net::SocketAddr) -> Result<String, BenchError> {
    let failed = |said: String| BenchError::Failed { what: "creating a user", said };
    let body = json!({ "username": "bench", "email": "bench@bench.example" }).to_string();
    let answer = Connection::open(launch_addr)?.ask(&Request::post("/users", &body)).map_err(|error| failed(error.to_string()))?;
    let made = answer.json().and_then(|user| user["id"].as_i64());
    made.map(|id| id.to_string()).ok_or_else(|| failed(answer.status.to_string()))
}

struct Figures {
    per_second: Vec<f64>,
    cpu_us: Vec<f64>,
    p99_us: Vec<f64>,
}

fn single(rig: &Rig, launch: &Launch) -> Result<Figures, BenchError> {
    let script = rig.dir.path().join("create.lua");
    std::fs::write(&script, SCRIPT)?;
    let server = launch.start()?;
    let user = user(addr(&server)?)?;
    let mut figures = Figures { per_second: Vec::new(), cpu_us: Vec::new(), p99_us: Vec::new() };
    for _ in 0..rig.pairs {
        let run = super::wrk::run(rig, addr(&server)?, server.pid(), "/urls", Some((&script, &[("BENCH_USER", &user)])))?;
        figures.per_second.push(run.per_second);
        figures.cpu_us.push(run.cpu_us());
        figures.p99_us.push(run.p99_us);
        wait_until_idle(server.pid())?;
    }
    Ok(figures)
}

fn bulk(rig: &Rig, launch: &Launch) -> Result<Figures, BenchError> {
    let server = launch.start()?;
    let user = user(addr(&server)?)?;
    let args = LoadArgs {
        kind: LoadKind::Bulk,
        addr: addr(&server)?,
        connections: BULK_CONNECTIONS,
        seconds: rig.duration().as_secs(),
        codes: None,
        zipf: 0.0,
        rows: BULK_ROWS,
        user: user.parse().unwrap_or(1),
        seed: 1,
    };
    let mut figures = Figures { per_second: Vec::new(), cpu_us: Vec::new(), p99_us: Vec::new() };
    for round in 0..rig.pairs {
        let before = super::machine::cpu_time(server.pid())?;
        let report = load::run(&LoadArgs { seed: round, ..args.clone() })?;
        if report.unexpected > 0 {
            return Err(BenchError::Failed { what: "a bulk create", said: report.to_string() });
        }
        let cpu = super::machine::cpu_time(server.pid())?.since(&before);
        figures.per_second.push(report.links as f64 / report.seconds);
        figures.cpu_us.push(cpu.whole_us / report.links as f64);
        wait_until_idle(server.pid())?;
    }
    Ok(figures)
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let mut out = String::from(
        "## Creating links, each durable before its answer\n\n| | links/s | range | CPU us a link | p99 us |\n|---|---:|---:|---:|---:|\n",
    );
    let mut row = |name: &str, figures: &Figures| {
        let range: Vec<f64> = figures.per_second.iter().map(|n| n / 1000.0).collect();
        let p99 = if figures.p99_us.is_empty() { "-".to_owned() } else { format!("{:.0}", median(figures.p99_us.clone())) };
        let (links, cpu) = (grouped(median(figures.per_second.clone())), median(figures.cpu_us.clone()));
        let _ = writeln!(out, "| {name} | {links} | {} k | {cpu:.1} | {p99} |", spread(&range));
    };
    row(&format!("`POST /urls`, {} connections, server on one core", rig.connections), &single(rig, &rig.launch("create", &[])?)?);
    if rig.two_cores {
        let mut launch = rig.launch("create-free", &[])?;
        launch.cores = Some("0,1".to_owned());
        row(&format!("`POST /urls`, {} connections, server and client share two cores", rig.connections), &single(rig, &launch)?);
    }
    let name = format!("`POST /urls/bulk`, {BULK_ROWS} links a request, {BULK_CONNECTIONS} connections, server on one core");
    row(&name, &bulk(rig, &rig.launch("bulk", &[])?)?);
    out.push('\n');
    Ok(out)
}
