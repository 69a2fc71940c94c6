//! P-5: PostgreSQL and Redis are both away and a node is killed and started again. It redirects every link at once, from its replica; what is
//! clicked meanwhile is kept, and counted once when PostgreSQL is back.
//!
//! Twice: once it finds them refusing, once hanging. Links are asked for at random among all of them, by a client that comes as soon as the node
//! says that it is ready.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Report, RunArgs,
    books::Ledger,
    stand::{Fault, Stand, StandSpec, is_ready, until},
    traffic::said,
};
use crate::{
    dice::Dice,
    fleet::FleetError,
    http::{Connection, Request},
    kill::ledger::Tally,
};

#[derive(Clone, Debug, clap::Args)]
pub struct P5Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub links: u64,
    /// After each start, of random links
    #[arg(long, default_value_t = 20_000)]
    pub clicks: u64,
}

impl Default for P5Args {
    fn default() -> Self {
        Self { run: RunArgs::default(), links: 10_000_000, clicks: 20_000 }
    }
}

/// Rows of one statement, so that none takes too long.
const ROWS_AT_ONCE: u64 = 500_000;
/// A million links take half a minute where the machine is ours.
const COPIED_WITHIN: Duration = Duration::from_secs(3_600);
/// Promised of a node that is started while both are away.
const READY_WITHIN_MS: f64 = 2_000.0;
const PAUSE: Duration = Duration::from_millis(100);
const FAILURES_MAX: usize = 10;

pub fn run(args: &P5Args) -> Result<Report, FleetError> {
    let mut report = Report::new("P-5", args.run.seed).strict(args.run.strict);
    let spec = StandSpec {
        binary: args.run.binary()?,
        nodes: 1,
        redis: true,
        seed: args.run.seed,
        env: Vec::new(),
        ..StandSpec::default()
    };
    let mut stand = Stand::unfurnished(spec)?;
    // The schema comes with the first start.
    let mut node = stand.node(0, "node-1")?;
    node.stop()?;
    furnish(&stand, args.links)?;
    report.say(&format!("{} links in PostgreSQL", args.links));
    let began = Instant::now();
    node.start()?;
    while node.metric("knurl_replica_complete")? < 1.0 || node.metric("knurl_replica_links")? < args.links as f64 {
        if began.elapsed() > COPIED_WITHIN {
            report.find(format!("the replica is not complete after {COPIED_WITHIN:?}"));
            break;
        }
        thread::sleep(PAUSE);
    }
    report.note("links", args.links);
    report.note("first_copy_s", began.elapsed().as_secs_f64());
    let bytes = std::fs::metadata(node.data_dir().join("replica.db")).map_or(0, |meta| meta.len());
    report.note("replica_bytes_a_link", bytes / args.links);
    stand.nodes.push(node);
    let mut ledger = Ledger::default();
    let mut dice = Dice::new(args.run.seed, &[]);
    for (name, fault) in [("refused", Fault::Refused), ("hung", Fault::hung())] {
        stand.cut_postgres(&fault)?;
        stand.cut_redis(&fault)?;
        let node = &mut stand.nodes[0];
        node.kill()?;
        let began = Instant::now();
        node.start()?;
        let ready = format!("{name}_ready_after_ms");
        report.note(&ready, ms(began.elapsed()));
        report.at_most(&ready, READY_WITHIN_MS, report.figure(&ready));
        if !is_ready(node) {
            report.find(format!("{name}: /readyz is not 200, and it can redirect"));
        }
        click(&mut stand, args, &mut dice, &mut ledger, name, &mut report)?;
        report.say(&format!("{name}: redirected"));
        stand.heal()?;
        stand.drain(&mut report, &format!("{name}_drained_after_s"));
    }
    let sure: u64 = ledger.all_clicks().sure;
    until("PostgreSQL has the clicks", || {
        Ok(stand.sql("select count(*) from clicks")?.parse::<u64>().is_ok_and(|counted| counted >= sure))
    })?;
    // Millions of links are not listed.
    stand.settle_in_database(&ledger, &mut report);
    Ok(stand.finish(report))
}

const TARGET: &str = "https://p5.example/a/path/of/usual/length/";

pub(super) fn target(link: u64) -> String {
    format!("{TARGET}{link}")
}

/// So many links straight into PostgreSQL: `cN`, which leads to [`target`] of N.
pub(super) fn furnish(stand: &Stand, links: u64) -> Result<(), FleetError> {
    let mut first = 1;
    while first <= links {
        let last = links.min(first + ROWS_AT_ONCE - 1);
        stand.sql(&format!(
            "insert into links (short_code, target, is_active, status, created_at, updated_at, version) \
             select 'c' || n, '{TARGET}' || n, true, 302, 1, 1, 1 from generate_series({first}, {last}) n"
        ))?;
        first = last + 1;
    }
    Ok(())
}

fn click(
    stand: &mut Stand,
    args: &P5Args,
    dice: &mut Dice,
    ledger: &mut Ledger,
    name: &str,
    report: &mut Report,
) -> Result<(), FleetError> {
    let began = Instant::now();
    let mut connection = Connection::open(stand.nodes[0].addr())?;
    let (mut took, mut failures) = (Vec::new(), 0);
    for _ in 0..args.clicks {
        let n = 1 + dice.below(args.links);
        let asked = Instant::now();
        let answer = connection.ask(&Request::get(&format!("/c{n}")))?;
        took.push(asked.elapsed());
        if answer.status == 302 && answer.header("location") == Some(&target(n)) {
            ledger.clicks(&format!("c{n}")).add(Tally { sure: 1, unknown: 0 });
        } else {
            failures += 1;
            report.find(format!("{name}: GET /c{n}: {}", said(&answer)));
        }
        if failures > FAILURES_MAX {
            break;
        }
    }
    report.note(&format!("{name}_first_redirect_ms"), took.first().copied().map_or(0.0, ms));
    report.note(&format!("{name}_redirects"), took.len() - failures);
    report.note(&format!("{name}_redirects_s"), began.elapsed().as_secs_f64());
    took.sort_unstable();
    report.note(&format!("{name}_redirect_p50_ms"), took.get(took.len() / 2).copied().map_or(0.0, ms));
    report.note(&format!("{name}_redirect_p99_ms"), took.get(took.len() * 99 / 100).copied().map_or(0.0, ms));
    Ok(())
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}
