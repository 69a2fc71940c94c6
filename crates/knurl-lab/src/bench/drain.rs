//! Delivery: how fast what stands in a spool becomes rows.
//!
//! A node records the clicks of a load and delivers none; it is killed; the next one on the same directory delivers them all, with nothing
//! else to do.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::{
    BenchError, Rig,
    codes::{self, Choice, Codes, picks},
    grouped, import, machine,
    redirect::{PUT_OFF, addr},
    stand,
    tiers::metrics_addr,
    wrk::{self, Load},
};
use crate::{fleet::metric, process::Launch, sample, servers::Postgres};

/// In the spool before it is delivered, or a little more: recorded well before the delivery that was put off begins.
const CLICKS: u64 = 800_000;
const QUICK_CLICKS: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(50);
/// Recorded while delivery is put off for a minute.
const FILL_WITHIN: Duration = Duration::from_secs(40);

struct Delivered {
    clicks: f64,
    seconds: f64,
    node_us: f64,
    postgres_us: Option<f64>,
}

/// How many clicks are in the spool then.
fn fill(rig: &Rig, launch: &Launch, load: &dyn Fn(u64) -> Load) -> Result<f64, BenchError> {
    let mut put_off = launch.clone();
    put_off.env.push((PUT_OFF.0.to_owned(), PUT_OFF.1.to_owned()));
    let wanted = if rig.quick { QUICK_CLICKS } else { CLICKS };
    let mut node = put_off.start()?;
    let (mut clicks, began) = (0, Instant::now());
    while clicks < wanted && began.elapsed() < FILL_WITHIN {
        clicks += wrk::run(rig, addr(&node)?, &load(clicks), rig.connections, &[node.pid()])?.requests as u64;
    }
    let left = backlog(metrics_addr(&node)?)?;
    node.kill()?;
    Ok(left)
}

fn backlog(metrics: SocketAddr) -> Result<f64, BenchError> {
    Ok(metric(metrics, "knurl_clicks_answered_total")? - metric(metrics, "knurl_clicks_delivered_total")?)
}

fn deliver(launch: &Launch, clicks: f64, postgres: Option<&Postgres>) -> Result<Delivered, BenchError> {
    let postgres = postgres.and_then(Postgres::pid);
    let before = postgres.map(machine::cpu_time).transpose()?;
    let node = launch.start()?;
    let (began, metrics) = (Instant::now(), metrics_addr(&node)?);
    loop {
        thread::sleep(LOOK);
        let left = backlog(metrics)?;
        if left <= 0.0 {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err(BenchError::Failed { what: "delivering", said: format!("{left} clicks were left after {PATIENCE:?}") });
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let spent = |pid: u32, before: &machine::CpuTime| Ok::<_, BenchError>(machine::cpu_time(pid)?.since(before).whole_us / clicks);
    Ok(Delivered {
        clicks,
        seconds,
        node_us: spent(node.pid(), &machine::CpuTime::default())?,
        postgres_us: postgres.zip(before.as_ref()).map(|(pid, before)| spent(pid, before)).transpose()?,
    })
}

fn row(name: &str, of: &Delivered) -> String {
    format!(
        "| {name} | {} | {:.1} | {} | {:.1} | {} |\n",
        grouped(of.clicks),
        of.seconds,
        grouped(of.clicks / of.seconds),
        of.node_us,
        of.postgres_us.map_or("-".to_owned(), |us| format!("{us:.1}"))
    )
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let links = rig.stand_links();
    let files = rig.dir.path().join("drain-sample");
    sample::write(&codes::sample(links), &files)?;
    let popular = Codes::write(rig, "drain", picks(links, Choice::Zipf, CLICKS * 2))?;
    let one = Codes::write(rig, "drain-one", picks(links, Choice::InTurn, 1))?;
    let mut out = format!(
        "## Delivering clicks\n\n\
         A spool full of clicks, delivered by a node that does nothing else, both cores. Links: {}.\n\n\
         | into | clicks | seconds | clicks/s | node CPU us a click | PostgreSQL CPU us a click |\n|---|---:|---:|---:|---:|---:|\n",
        grouped(links as f64),
    );
    let loads: [(&str, &Codes); 2] = [("by popularity (Zipf 1.0)", &popular), ("all of one link", &one)];
    for on_postgres in [false, true] {
        let postgres = if on_postgres { Some(stand::postgres()?) } else { None };
        let url = postgres.as_ref().map(Postgres::url);
        let env: Vec<_> =
            url.as_deref().map(|url| ("KNURL_DATABASE_URL", url)).into_iter().chain([("KNURL_REPLICA", "off")]).collect();
        let mut launch = rig.launch(if on_postgres { "drain-postgres" } else { "drain-sqlite" }, &env)?;
        launch.cores = rig.both_cores();
        rig.spread(postgres.as_ref().and_then(Postgres::pid))?;
        import::import(&launch, &files)?;
        for (name, codes) in loads {
            let clicks = fill(rig, &launch, &|from| codes.load(from))?;
            if let Some(postgres) = &postgres {
                postgres.sql("checkpoint")?;
            }
            let into = if on_postgres { "PostgreSQL" } else { "SQLite" };
            out += &row(&format!("{into}, {name}"), &deliver(&launch, clicks, postgres.as_ref())?);
        }
    }
    std::fs::remove_dir_all(&files)?;
    out.push('\n');
    Ok(out)
}
