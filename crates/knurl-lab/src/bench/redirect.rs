//! A redirect: against nginx, and with and without its click.

use std::fmt::Write;

use serde_json::json;

use super::{
    BenchError, Rig,
    abreast::{self, Abreast, COLUMNS, Contender},
    median,
    nginx::Nginx,
    wrk::{Load, WrkRun},
};
use crate::{
    http::{Connection, Request},
    process::{Launch, Server},
};

pub(super) const TARGET: &str = "https://target.example/a/page/of/ordinary/length?and=a&query=string";
const PATH: &str = "/bench01";
/// Delivery put off shows what answering and recording cost by themselves; it is longer than the rounds of one comparison, for which each
/// server is started anew.
pub(super) const PUT_OFF: (&str, &str) = ("KNURL_CLICKS_DRAIN_INTERVAL_MS", "60000");

pub(super) fn addr(server: &Server) -> Result<std::net::SocketAddr, BenchError> {
    server.addr().ok_or(BenchError::Failed { what: "the ready line", said: "no address".to_owned() })
}

/// A started server with one link in it.
fn serve_one_link(launch: &Launch) -> Result<Server, BenchError> {
    let server = launch.start()?;
    let mut connection = Connection::open(addr(&server)?)?;
    let body = json!({ "url": TARGET, "custom_code": PATH.trim_start_matches('/') }).to_string();
    let answer = connection
        .ask(&Request::post("/shorten", &body))
        .map_err(|error| BenchError::Failed { what: "creating a link", said: error.to_string() })?;
    if answer.status != 201 {
        let said = String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned();
        return Err(BenchError::Failed { what: "creating a link", said });
    }
    Ok(server)
}

/// What is compared with another.
#[derive(Clone, Copy, Debug)]
enum Against {
    Nginx,
    Head,
}

/// (name, against what, whether it is a HEAD, options)
type Comparison = (&'static str, Against, bool, &'static [(&'static str, &'static str)]);

const MAPPED: &[(&str, &str)] = &[("KNURL_CLICKS_MEDIUM", "mapped"), PUT_OFF];
const COMPARISONS: [Comparison; 5] = [
    ("HEAD: answered, no click, of nginx `return 302`", Against::Nginx, true, MAPPED),
    ("GET: answered, click recorded, of nginx `return 302`", Against::Nginx, false, MAPPED),
    ("GET of HEAD: what recording adds", Against::Head, false, MAPPED),
    (
        "GET with `clicks.medium = written`, of nginx `return 302`",
        Against::Nginx,
        false,
        &[("KNURL_CLICKS_MEDIUM", "written"), PUT_OFF],
    ),
    ("GET: answered, recorded, and delivered meanwhile, of nginx `return 302`", Against::Nginx, false, &[]),
];

/// Each round has servers of its own, started in either order: where its memory happens to lie makes one start of a program a few hundredths
/// faster or slower than the next, and all rounds of one start would say the same wrong thing.
fn compare(rig: &Rig, number: usize, comparison: Comparison) -> Result<Abreast, BenchError> {
    let mut rounds = Abreast::default();
    for round in 0..rig.rounds {
        let name = format!("redirect-{number}-{round}");
        rounds.extend([one_round(rig, &name, round % 2 == 0, comparison)?]);
        // A hundred megabytes of clicks each.
        std::fs::remove_dir_all(rig.dir.path().join(name))?;
    }
    Ok(rounds)
}

fn one_round(rig: &Rig, name: &str, base_first: bool, (_, against, head, env): Comparison) -> Result<Abreast, BenchError> {
    let (asks_get, asks_head) = (Load::get(PATH), Load::head(rig, PATH)?);
    let (get, ask_head) = (|_| asks_get.clone(), |_| asks_head.clone());
    let load: &dyn Fn(u64) -> Load = if head { &ask_head } else { &get };
    let server = || serve_one_link(&rig.launch(&format!("{name}/server"), env)?);
    match against {
        Against::Nginx => {
            let (nginx, server) = both(base_first, || Nginx::start(rig, TARGET), server)?;
            // A GET always: wrk waits for the body that nginx announces to a HEAD.
            let base = Contender { addr: nginx.addr, pid: nginx.pid(), beside: &[], load: &get };
            abreast::run_for(rig, 1, &base, &contender(&server, load)?)
        }
        Against::Head => {
            let (base, server) = both(base_first, || serve_one_link(&rig.launch(&format!("{name}/head"), env)?), server)?;
            abreast::run_for(rig, 1, &contender(&base, &ask_head)?, &contender(&server, load)?)
        }
    }
}

fn contender<'a>(server: &Server, load: &'a dyn Fn(u64) -> Load) -> Result<Contender<'a>, BenchError> {
    Ok(Contender { addr: addr(server)?, pid: server.pid(), beside: &[], load })
}

/// One after the other.
fn both<A, B>(
    a_first: bool,
    start_a: impl FnOnce() -> Result<A, BenchError>,
    start_b: impl FnOnce() -> Result<B, BenchError>,
) -> Result<(A, B), BenchError> {
    if a_first {
        return Ok((start_a()?, start_b()?));
    }
    let b = start_b()?;
    Ok((start_a()?, b))
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let mut out = format!("## One redirect, always the same link\n\n| | {COLUMNS}\n|---|---:|---:|---:|---:|\n");
    let mut last = Abreast::default();
    for (number, comparison) in COMPARISONS.into_iter().enumerate() {
        last = compare(rig, number, comparison)?;
        let _ = writeln!(out, "| {} | {}", comparison.0, last.cells());
    }
    out.push_str(&by_thread(&last));
    Ok(out)
}

fn by_thread(rounds: &Abreast) -> String {
    let mut out =
        String::from("\nWhere the time of the last row goes, by thread:\n\n| threads | CPU us | of nginx |\n|---|---:|---:|\n");
    let threads = |run: &WrkRun| run.spent[0].threads_us.keys().cloned().collect::<Vec<_>>();
    let names: std::collections::BTreeSet<String> = rounds.other.iter().flat_map(threads).collect();
    for name in &names {
        let share = |run: &WrkRun| run.spent[0].threads_us.get(name).copied().unwrap_or_default() / run.requests;
        let us = median(rounds.other.iter().map(share).collect());
        let ratio = median(rounds.other.iter().zip(&rounds.base).map(|(run, base)| share(run) / base.cpu_us()).collect());
        let _ = writeln!(out, "| `{name}` | {us:.2} | {ratio:.2} |");
    }
    out.push('\n');
    out
}
