//! A redirect: against nginx, and with and without its click.

use std::fmt::Write;

use serde_json::json;

use super::{BenchError, Rig, median, nginx::Nginx, spread, wrk::WrkRun};
use crate::{
    http::{Connection, Request},
    process::{Launch, Server},
};

const TARGET: &str = "https://target.example/a/page/of/ordinary/length?and=a&query=string";
/// Runs before the pairs, to fill caches and prepare segments.
const WARM_UPS: usize = 1;

/// One of the things compared.
struct Contender {
    name: &'static str,
    server: Option<Server>,
    path: String,
    head: bool,
    runs: Vec<WrkRun>,
}

/// A started server with one link in it; its path.
pub(super) fn serve_one_link(launch: &Launch) -> Result<(Server, String), BenchError> {
    let server = launch.start()?;
    let mut connection = Connection::open(addr(&server)?)?;
    let body = json!({ "url": TARGET, "custom_code": "bench01" }).to_string();
    let answer = connection
        .ask(&Request::post("/shorten", &body))
        .map_err(|error| BenchError::Failed { what: "creating a link", said: error.to_string() })?;
    if answer.status != 201 {
        let said = String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned();
        return Err(BenchError::Failed { what: "creating a link", said });
    }
    Ok((server, "/bench01".to_owned()))
}

pub(super) fn addr(server: &Server) -> Result<std::net::SocketAddr, BenchError> {
    server.addr().ok_or(BenchError::Failed { what: "the ready line", said: "no address".to_owned() })
}

const HEAD_SCRIPT: &str = "wrk.method = \"HEAD\"\n";
const GET_SCRIPT: &str = "wrk.method = \"GET\"\n";

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let nginx = Nginx::start(rig, TARGET)?;
    let (head_script, get_script) = (rig.dir.path().join("head.lua"), rig.dir.path().join("get.lua"));
    std::fs::write(&head_script, HEAD_SCRIPT)?;
    std::fs::write(&get_script, GET_SCRIPT)?;
    // Options cannot be changed while it runs: a server for each. HEAD is answered alike and is not a click. Delivery put off shows what
    // answering and recording cost by themselves; with it on, a run that leaves the drain behind looks cheaper than it is.
    let put_off = ("KNURL_CLICKS_DRAIN_INTERVAL_MS", "60000");
    let (mapped, path) = serve_one_link(&rig.launch("mapped", &[("KNURL_CLICKS_MEDIUM", "mapped"), put_off])?)?;
    let (written, _) = serve_one_link(&rig.launch("written", &[("KNURL_CLICKS_MEDIUM", "written"), put_off])?)?;
    let (delivering, _) = serve_one_link(&rig.launch("delivering", &[])?)?;
    let (mapped_addr, mapped_pid) = (addr(&mapped)?, mapped.pid());
    let contender = |name, server, head| Contender { name, server, path: path.clone(), head, runs: Vec::new() };
    let mut contenders = [
        contender("nginx `return 302`", None, false),
        contender("knurl HEAD: answered, no click", None, true),
        contender("knurl GET: answered, click recorded", Some(mapped), false),
        contender("the same, `clicks.medium = written`", Some(written), false),
        contender("knurl GET: answered, recorded, and clicks delivered to the database meanwhile", Some(delivering), false),
    ];
    for round in 0..WARM_UPS + rig.pairs as usize {
        for contender in &mut contenders {
            let (addr, pid) = match (&contender.server, contender.head) {
                (Some(server), _) => (addr(server)?, server.pid()),
                (None, true) => (mapped_addr, mapped_pid),
                (None, false) => (nginx.addr, nginx.pid()),
            };
            let script = if contender.head { &head_script } else { &get_script };
            let run = super::wrk::run(rig, addr, pid, &contender.path, Some((script, &[])))?;
            if round >= WARM_UPS {
                contender.runs.push(run);
            }
            // What it owes from this run must not be paid in another's.
            if contender.server.is_some() {
                wait_until_idle(pid)?;
            }
        }
    }
    Ok(table(&contenders))
}

/// The drain goes on after the load: until the process uses no more time, or for a while.
pub(super) fn wait_until_idle(pid: u32) -> Result<(), BenchError> {
    const LOOK_MS: u64 = 250;
    const LOOKS_MAX: usize = 240;
    const IDLE_US: f64 = 20_000.0;
    let mut last = super::machine::cpu_time(pid)?;
    for _ in 0..LOOKS_MAX {
        std::thread::sleep(std::time::Duration::from_millis(LOOK_MS));
        let now = super::machine::cpu_time(pid)?;
        if now.since(&last).whole_us <= IDLE_US {
            break;
        }
        last = now;
    }
    Ok(())
}

fn table(contenders: &[Contender]) -> String {
    let mut out = String::from(
        "## One redirect, always the same link\n\n\
         | | CPU us a request | of nginx (median of pairs) | range | requests/s | p99 us |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let nginx = &contenders[0].runs;
    for contender in contenders {
        let of = |figure: fn(&WrkRun) -> f64| contender.runs.iter().map(figure).collect::<Vec<_>>();
        let ratios: Vec<f64> = contender.runs.iter().zip(nginx).map(|(run, base)| run.cpu_us() / base.cpu_us()).collect();
        let _ = writeln!(
            out,
            "| {} | {:.2} | {:.2} | {} | {} | {:.0} |",
            contender.name,
            median(of(WrkRun::cpu_us)),
            median(ratios.clone()),
            spread(&ratios),
            super::grouped(median(of(|run| run.per_second))),
            median(of(|run| run.p99_us)),
        );
    }
    out.push_str("\nWhere the time of the last row goes, by thread:\n\n| threads | CPU us | of nginx |\n|---|---:|---:|\n");
    let knurl = contenders.last().map_or(&[][..], |contender| &contender.runs);
    let names: std::collections::BTreeSet<&String> = knurl.iter().flat_map(|run| run.cpu.threads_us.keys()).collect();
    for name in names {
        let share = |run: &WrkRun| run.cpu.threads_us.get(name).copied().unwrap_or_default() / run.requests;
        let us = median(knurl.iter().map(share).collect());
        let ratio = median(knurl.iter().zip(nginx).map(|(run, base)| share(run) / base.cpu_us()).collect());
        let _ = writeln!(out, "| `{name}` | {us:.2} | {ratio:.2} |");
    }
    out.push('\n');
    out
}
