//! How often a redirect is a question to PostgreSQL or Redis: counted by them, over an exact number of redirects chosen by popularity.
//!
//! All that the servers were asked is counted, deliveries of clicks and looks at changes included; the node's own count says how many were
//! about a link.

use std::fmt::Write as _;

use super::{
    BenchError, Rig,
    abreast::wait_until_idle,
    codes::{self, Choice, picks},
    grouped,
    redirect::addr,
    stand::Stand,
    tiers::{metrics_addr, wait_complete},
};
use crate::{
    fleet::metric,
    process::Server,
    servers::{Postgres, Redis},
};

/// As many redirects as the stand has links are a turn; two turns, the first with nothing in memory.
const TURNS: [&str; 2] = ["first", "second"];
const CONNECTIONS: usize = 16;
/// As is the default; the stand's nodes put it off.
const DELIVERED: (&str, &str) = ("KNURL_CLICKS_DRAIN_INTERVAL_MS", "200");
const MILLION: f64 = 1e6;

/// (replica, Redis)
const NODES: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

/// Statements are recorded on connections made from now on.
fn track(postgres: &Postgres, what: &str) -> Result<(), BenchError> {
    postgres.sql("create extension if not exists pg_stat_statements")?;
    postgres.sql(&format!("alter database knurl set pg_stat_statements.track = '{what}'"))?;
    Ok(())
}

/// Calls, but for those that look at this very count.
fn statements(postgres: &Postgres) -> Result<f64, BenchError> {
    let said =
        postgres.sql("select coalesce(sum(calls), 0) from pg_stat_statements where query not like '%pg_stat_statements%'")?;
    said.parse().map_err(|_| BenchError::Failed { what: "counting statements", said })
}

/// Of what `info commandstats` says: scripts, each a round trip, and all other commands, most of them inside of these.
fn commands(said: &str) -> [f64; 2] {
    let mut of = [0.0, 0.0];
    let calls = |line: &str| -> Option<(usize, f64)> {
        let (command, figures) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let calls = figures.split(',').find_map(|figure| figure.strip_prefix("calls="))?.trim().parse().ok()?;
        // The first is our own question.
        (command != "info").then_some((usize::from(!command.starts_with("eval")), calls))
    };
    said.lines().filter_map(calls).for_each(|(kind, calls)| of[kind] += calls);
    of
}

/// Questions about links, statements, scripts, other commands.
#[derive(Clone, Copy, Debug, Default)]
struct Asked([f64; 4]);

fn asked(stand: &Stand, node: &Server, redis: Option<&Redis>) -> Result<Asked, BenchError> {
    let mut links = 0.0;
    for said in ["known", "unknown", "failed"] {
        links += metric(metrics_addr(node)?, &format!("knurl_tier_answers_total{{tier=\"database\",said=\"{said}\"}}"))?;
    }
    let commands =
        redis.map(|redis| redis.command(&["info", "commandstats"])).transpose()?.map_or([0.0; 2], |said| commands(&said));
    Ok(Asked([links, statements(&stand.postgres)?, commands[0], commands[1]]))
}

fn rows(rig: &Rig, stand: &Stand, (replica, redis): (bool, bool), turns: &[Vec<String>]) -> Result<String, BenchError> {
    let redis = if redis { Some(Redis::start()?) } else { None };
    let url = redis.as_ref().map(Redis::url);
    let on = |is: bool| if is { "on" } else { "off" };
    let mut env = vec![DELIVERED, ("KNURL_REPLICA", on(replica))];
    env.extend(url.as_deref().map(|url| ("KNURL_REDIS_URL", url)));
    let node = stand.node(rig, &format!("queries-{}-{}", on(replica), on(redis.is_some())), &env)?.start()?;
    if replica {
        wait_complete(&node)?;
    }
    let mut out = String::new();
    for (turn, codes) in TURNS.iter().zip(turns) {
        let before = asked(stand, &node, redis.as_ref())?;
        codes::ask_all_at_once(addr(&node)?, CONNECTIONS, codes)?;
        wait_until_idle(node.pid())?;
        let after = asked(stand, &node, redis.as_ref())?;
        let [links, statements, scripts, commands] =
            std::array::from_fn(|n| grouped((after.0[n] - before.0[n]) * MILLION / codes.len() as f64));
        let of_redis = if redis.is_some() { format!("{scripts} | {commands}") } else { "- | -".to_owned() };
        let _ = writeln!(
            out,
            "| {} | {} | {turn} {} | {links} | {statements} | {of_redis} |",
            on(replica),
            on(redis.is_some()),
            grouped(codes.len() as f64)
        );
    }
    Ok(out)
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let stand = rig.stand()?;
    track(&stand.postgres, "top")?;
    let count = stand.links;
    let all: Vec<String> = picks(stand.links, Choice::Zipf, count * TURNS.len() as u64).collect();
    let turns: Vec<Vec<String>> = all.chunks((count as usize).max(1)).map(<[String]>::to_vec).collect();
    let mut out = format!(
        "## What redirects ask of PostgreSQL and Redis\n\n\
         One node, {} links, redirects by popularity (Zipf 1.0), default memory, which is empty at first. Statements are all that\n\
         `pg_stat_statements` counts: deliveries of clicks, looks at changes and the node's pulse included. Of Redis, what\n\
         `info commandstats` says.\n\n\
         | replica | Redis | redirects | links asked of PostgreSQL, a million redirects | all statements, a million | scripts Redis ran, a million | other commands, most inside of these |\n\
         |---|---|---|---:|---:|---:|---:|\n",
        grouped(stand.links as f64),
    );
    for node in NODES {
        out += &rows(rig, stand, node, &turns)?;
    }
    track(&stand.postgres, "none")?;
    out.push('\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_commands_are_added_up_but_for_our_own_question() {
        let said = "# Commandstats\r\ncmdstat_get:calls=12,usec=30,usec_per_call=2.50\r\ncmdstat_evalsha:calls=3,usec=9\r\n\
                    cmdstat_info:calls=100,usec=1\r\ncmdstat_ping:calls=1,usec=1\r\n";
        assert_eq!(commands(said), [3.0, 13.0]);
        assert_eq!(commands(""), [0.0, 0.0]);
    }
}
