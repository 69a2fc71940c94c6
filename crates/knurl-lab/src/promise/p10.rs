//! P-10: ten times the load a node was made for. Whoever cannot be served is told at once, redirects of known links are served, nothing hangs,
//! memory stays bounded, and afterwards it is as before.
//!
//! Every connection has one request in flight, all the time, and a refused one asks again at once: ten times as many connections are ten
//! times the load. Of a thousand requests 800 are redirects, 150 create, 40 read one link, 10 read whole lists. Served are answers of
//! 2xx and 3xx. Judged are shapes; figures stand beside those promised: goodput before, under and after overload; how fast a refusal is, as the node
//! says (from the request's asking for a place), and as a client saw it, whose request waited in the kernel with those of all the others.
//! When it is over, each redirect that was answered has been counted once, as its link's, and every create that was acknowledged is listed.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    Report, RunArgs,
    books::Ledger,
    stand::{Stand, StandSpec},
};
use crate::{
    dice::Dice,
    fleet::{self, FleetError, Node},
    http::Request,
    swarm::{Run, Sent, Swarm, Tally, per_mille},
};

#[derive(Clone, Debug, clap::Args)]
pub struct P10Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// Connections of the load that is none too much
    #[arg(long, default_value_t = 400)]
    pub connections: usize,
    /// So many times as many are the overload
    #[arg(long, default_value_t = 10)]
    pub times: usize,
    /// Of the overload; before and after it a third of that
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Links in the database
    #[arg(long, default_value_t = 2_000)]
    pub links: usize,
}

impl Default for P10Args {
    fn default() -> Self {
        Self { run: RunArgs::default(), connections: 400, times: 10, seconds: 60, links: 2_000 }
    }
}

const CLASSES: [&str; 4] = ["redirect", "create", "read", "export"];
const REDIRECT: usize = 0;
const CREATE: usize = 1;
/// Of a thousand requests, the first so many are redirects, creates, reads; the rest whole lists.
const UP_TO: [u64; 3] = [800, 950, 990];
/// For what is in flight at the end of a phase: more than the longest that a request may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// After the overload nobody must be refused any more by then.
const CALM_WITHIN: Duration = Duration::from_secs(60);
/// Promised: nobody is refused any more after so long; so much is served under overload, in percent of before.
const CALM_PROMISED_S: f64 = 5.0;
const GOODPUT_PROMISED: f64 = 90.0;
/// What thousands of connections, their requests and answers may take beyond what a node had before.
const GROWTH_BYTES_MAX: f64 = (1_u64 << 30) as f64;
const MEMORY: &str = "process_resident_memory_bytes";
const REFUSALS: &str = "knurl_admission_refusal_duration_seconds_count";
const REFUSALS_IN_TIME: &str = r#"knurl_admission_refusal_duration_seconds_bucket{le="0.005"}"#;

pub fn run(args: &P10Args) -> Result<Report, FleetError> {
    let mut report = Report::new("P-10", args.run.seed).strict(args.run.strict);
    raise_descriptors(args.connections * args.times + 200)?;
    let spec = StandSpec { binary: args.run.binary()?, nodes: 1, embedded: true, seed: args.run.seed, ..StandSpec::default() };
    let mut stand = Stand::start(spec)?;
    let node = &stand.nodes[0];
    let mut ledger = Ledger::default();
    let codes = set_stage(node, args.links, &mut ledger)?;
    let mut dice = Dice::new(args.run.seed, &[]);
    let mut created = 0_u64;
    let mut phase = |swarm: &mut Swarm, seconds: u64| -> std::io::Result<Run> {
        let mut next = |_| next(&codes, &mut dice, &mut created);
        let run = swarm.run(CLASSES.len(), Instant::now() + Duration::from_secs(seconds), PATIENCE, &mut next)?;
        keep(&run, &codes, &mut ledger);
        Ok(run)
    };
    let calm_seconds = (args.seconds / 3).max(1);
    let mut calm = Swarm::new(node.addr(), args.connections)?;
    // Warm, then measured.
    phase(&mut calm, 1)?;
    let before = phase(&mut calm, calm_seconds)?;
    // Idle for as long as the overload takes they would be closed, as idle connections are.
    drop(calm);
    let memory_before = node.metric(MEMORY)?;
    report.say(&format!("{:.0} served a second by {} connections", rate(&before, calm_seconds), args.connections));
    let mut crowd = Swarm::new(node.addr(), args.connections * args.times)?;
    let during = phase(&mut crowd, args.seconds)?;
    drop(crowd);
    let memory_during = node.metric(MEMORY)?;
    report.say(&format!("{:.0} served a second by {} connections", rate(&during, args.seconds), args.connections * args.times));
    let since = Instant::now();
    let mut calm = Swarm::new(node.addr(), args.connections)?;
    let calm_again = loop {
        let second = phase(&mut calm, 1)?;
        judge("after", &second, &mut report);
        let refused: u64 = second.tallies.iter().map(|tally| tally.refused).sum();
        if refused == 0 || since.elapsed() > CALM_WITHIN {
            break (refused == 0).then(|| since.elapsed());
        }
    };
    let after = phase(&mut calm, calm_seconds)?;
    match calm_again {
        Some(time) => {
            report.note("seconds_until_nobody_is_refused", time.as_secs_f64());
            report.at_most("seconds_until_nobody_is_refused", CALM_PROMISED_S, time.as_secs_f64());
        }
        None => report.find(format!("requests were still refused {CALM_WITHIN:?} after the overload")),
    }
    note(&mut report, "before", &before, calm_seconds);
    note(&mut report, "overload", &during, args.seconds);
    note(&mut report, "after", &after, calm_seconds);
    let goodput = (100.0 * rate(&during, args.seconds) / rate(&before, calm_seconds)).round();
    report.note("goodput_of_before_percent", goodput);
    report.at_least("goodput_of_before_percent", GOODPUT_PROMISED, goodput);
    let (refused, in_time) = (node.metric(REFUSALS)?, node.metric(REFUSALS_IN_TIME)?);
    if refused > 0.0 {
        report.note("refused_by_admission", refused);
        let percent = (1000.0 * in_time / refused).floor() / 10.0;
        report.note("told_within_5_ms_percent", percent);
        report.at_least("told_within_5_ms_percent", 100.0, percent);
    }
    report.note("memory_before_mb", (memory_before / 1e6).round());
    report.note("memory_under_overload_mb", (memory_during / 1e6).round());
    for (name, run) in [("before", &before), ("overload", &during), ("after", &after)] {
        judge(name, run, &mut report);
    }
    if memory_during > memory_before + GROWTH_BYTES_MAX {
        report.find(format!("memory grew from {memory_before} to {memory_during} bytes"));
    }
    fleet::ask(node.metrics_addr(), &Request::get("/readyz"), 200)?;
    report.note("creates_acknowledged", ledger.creates_unnamed);
    // What was refused, or not answered, may have been made all the same.
    ledger.creates_unknown = created - ledger.creates_unnamed;
    stand.deliver(&mut report, "delivered_after_s");
    stand.settle(&ledger, &mut report);
    Ok(stand.finish(report))
}

/// What clients know after a phase.
fn keep(run: &Run, codes: &[String], ledger: &mut Ledger) {
    for (link, clicks) in &run.clicks {
        ledger.clicks(&codes[*link]).add(*clicks);
    }
    ledger.creates_unnamed += run.tallies[CREATE].served;
}

/// Half of what is needed is the server's: each is a process of its own with this limit.
pub(super) fn raise_descriptors(needed: usize) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.unwrap_or(u64::MAX);
    if maximum < needed as u64 {
        let words = format!("{needed} open files are needed and {maximum} are allowed: raise the hard limit (ulimit -Hn)");
        return Err(std::io::Error::other(words));
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

fn set_stage(node: &Node, links: usize, ledger: &mut Ledger) -> Result<Vec<String>, FleetError> {
    let mut codes = Vec::new();
    fleet::ask(node.addr(), &Request::post("/users", r#"{"username":"owner","email":"owner@p10.example"}"#), 201)?;
    for at in 0..links {
        let code = format!("known-{at}");
        let target = format!("https://p10.example/{at}");
        let body = json!({ "user_id": 1, "original_url": target, "custom_code": code }).to_string();
        fleet::ask(node.addr(), &Request::post("/urls", &body), 201)?;
        ledger.made(&code, &target);
        // Memory knows it from now on, and this is no click.
        fleet::ask(node.addr(), &Request::of("HEAD", &format!("/{code}"), None), 302)?;
        codes.push(code);
    }
    Ok(codes)
}

fn next(codes: &[String], dice: &mut Dice, created: &mut u64) -> Sent {
    let drawn = dice.below(1000);
    let class = UP_TO.iter().take_while(|up_to| drawn >= **up_to).count();
    let at = dice.below(codes.len() as u64);
    let request = match class {
        REDIRECT => format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", codes[at as usize]),
        CREATE => {
            *created += 1;
            let body = format!(r#"{{"url":"https://p10.example/made/{created}"}}"#);
            let head = "POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length";
            format!("{head}: {}\r\n\r\n{body}", body.len())
        }
        2 => format!("GET /urls/{} HTTP/1.1\r\nhost: t\r\n\r\n", at + 1),
        // A list without a page, of the links there were at the beginning: the same work all the time.
        _ => "GET /urls?user_id=1 HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(),
    };
    Sent { class, bytes: request.into_bytes(), click: (class == REDIRECT).then_some(at as usize) }
}

fn served(run: &Run) -> u64 {
    run.tallies.iter().map(|tally| tally.served).sum()
}

fn rate(run: &Run, seconds: u64) -> f64 {
    served(run) as f64 / seconds as f64
}

fn note(report: &mut Report, phase: &str, run: &Run, seconds: u64) {
    report.note(&format!("{phase}_served_a_second"), rate(run, seconds).round());
    for (class, tally) in CLASSES.iter().zip(&run.tallies) {
        report.note(&format!("{phase}_{class}_served"), tally.served);
        report.note(&format!("{phase}_{class}_refused"), tally.refused);
    }
    let mut all = Tally::default();
    run.tallies.iter().cloned().for_each(|tally| all.add(tally));
    report.note(&format!("{phase}_refusal_p50_ms"), f64::from(per_mille(&mut all.refused_us, 500)) / 1e3);
    report.note(&format!("{phase}_refusal_p99_ms"), f64::from(per_mille(&mut all.refused_us, 990)) / 1e3);
    let mut redirects = run.tallies[REDIRECT].served_us.clone();
    report.note(&format!("{phase}_redirect_p99_ms"), f64::from(per_mille(&mut redirects, 990)) / 1e3);
}

/// What must be so whatever the machine is worth.
fn judge(phase: &str, run: &Run, report: &mut Report) {
    for (class, tally) in CLASSES.iter().zip(&run.tallies) {
        if tally.wrong + tally.broken > 0 {
            let first = tally.first_wrong.as_deref().unwrap_or_default();
            report.find(format!(
                "{phase}: {} {class}s answered wrongly, {} not at all; the first: {first}",
                tally.wrong, tally.broken
            ));
        }
        if tally.served == 0 && *class == "redirect" {
            report.find(format!("{phase}: no redirect was served"));
        }
    }
    if run.tallies[REDIRECT].refused > 0 {
        report.find(format!("{phase}: {} redirects of known links were refused", run.tallies[REDIRECT].refused));
    }
    if run.hung > 0 {
        report.find(format!("{phase}: {} requests had no answer within {PATIENCE:?}", run.hung));
    }
}
