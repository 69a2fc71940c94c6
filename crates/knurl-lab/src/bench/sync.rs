//! A replica's first copy, while its node is serving.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Instant,
};

use super::{
    BenchError, Rig,
    codes::{self, Choice, picks},
    grouped, machine,
    redirect::addr,
    stand::Stand,
    tiers::wait_complete,
};

/// Asked for between two looks whether the copy is whole.
const BLOCK: usize = 256;
/// Memory has room for few of them: most redirects need a tier below.
const SMALLEST_MEMORY: (&str, &str) = ("KNURL_CACHE_BYTES_MAX", "1048576");

struct Copied {
    seconds: f64,
    node_seconds: f64,
    postgres_seconds: f64,
    redirects: usize,
}

/// `codes`: asked for round and round until the copy is whole; each has to be answered 302.
fn first_copy(rig: &Rig, stand: &Stand, codes: &[String]) -> Result<Copied, BenchError> {
    let launch = stand.node(rig, &format!("sync-{}", codes.len()), &[SMALLEST_MEMORY])?;
    let postgres = stand.postgres.pid().unwrap_or_default();
    let before = machine::cpu_time(postgres)?;
    let node = launch.start()?;
    let (server, whole, began) = (addr(&node)?, AtomicBool::new(false), Instant::now());
    let (waited, asked) = thread::scope(|scope| {
        let client = scope.spawn(|| -> Result<usize, BenchError> {
            let mut asked = 0;
            for block in codes.chunks(BLOCK).cycle().take_while(|_| !whole.load(Relaxed)) {
                codes::ask_all(server, "GET", block.iter().cloned())?;
                asked += block.len();
            }
            Ok(asked)
        });
        let waited = wait_complete(&node);
        whole.store(true, Relaxed);
        let panicked = || Err(BenchError::Failed { what: "asking for links", said: "the client panicked".to_owned() });
        (waited, client.join().unwrap_or_else(|_| panicked()))
    });
    waited?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Copied {
        seconds,
        node_seconds: machine::cpu_time(node.pid())?.since(&machine::CpuTime::default()).whole_us / 1e6,
        postgres_seconds: machine::cpu_time(postgres)?.since(&before).whole_us / 1e6,
        redirects: asked?,
    })
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let stand = rig.stand()?;
    let mut out = format!(
        "## A replica's first copy\n\n\
         Of {} links, from the node's ready line until `knurl_replica_complete`; node on core 0, PostgreSQL and the client on core 1. Every\n\
         redirect meanwhile was answered 302, from PostgreSQL or what was copied already.\n\n\
         | meanwhile | seconds | links/s | redirects/s meanwhile | node CPU s | PostgreSQL CPU s |\n|---|---:|---:|---:|---:|---:|\n",
        grouped(stand.links as f64),
    );
    for (name, count) in [("nobody asks", 0), ("one client asks for links in turn", 100_000)] {
        let codes: Vec<String> = picks(stand.links, Choice::InTurn, count).collect();
        let copied = first_copy(rig, stand, &codes)?;
        out += &format!(
            "| {name} | {:.1} | {} | {} | {:.1} | {:.1} |\n",
            copied.seconds,
            grouped(stand.links as f64 / copied.seconds),
            grouped(copied.redirects as f64 / copied.seconds),
            copied.node_seconds,
            copied.postgres_seconds,
        );
    }
    out.push('\n');
    Ok(out)
}
