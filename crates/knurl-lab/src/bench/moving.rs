//! `knurl move` from SQLite to PostgreSQL: links, their events and clicks.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    BenchError, Rig,
    abreast::wait_until_idle,
    codes::{self, Choice, Codes, picks},
    grouped, import,
    redirect::addr,
    stand, wrk,
};
use crate::{
    process::Launch,
    sample::{self, SampleSpec},
    servers::Postgres,
};

const LINKS_MAX: u64 = 300_000;
/// At least so many; with what they are added up to.
const CLICKS: u64 = 300_000;
const QUICK_CLICKS: u64 = 30_000;

/// A database to leave: links and events imported, clicks made.
fn populated(rig: &Rig, links: u64) -> Result<Launch, BenchError> {
    let mut launch = rig.launch("moving", &[])?;
    launch.cores = rig.both_cores();
    let files = rig.dir.path().join("moving-sample");
    sample::write(&SampleSpec { events: links, ..codes::sample(links) }, &files)?;
    import::import(&launch, &files)?;
    std::fs::remove_dir_all(&files)?;
    let codes = Codes::write(rig, "moving", picks(links, Choice::Zipf, CLICKS * 2))?;
    let mut server = launch.start()?;
    let wanted = if rig.quick { QUICK_CLICKS } else { CLICKS };
    let mut clicks = 0;
    while clicks < wanted {
        clicks += wrk::run(rig, addr(&server)?, &codes.load(clicks), rig.connections, &[server.pid()])?.requests as u64;
    }
    wait_until_idle(server.pid())?;
    server.stop()?;
    Ok(launch)
}

struct Moved {
    rows: f64,
    seconds: f64,
    fenced_ms: f64,
}

fn parse(said: &str) -> Option<Moved> {
    let said: Value = serde_json::from_str(said).ok()?;
    let number = |key: &str| said[key].as_f64();
    Some(Moved { rows: number("rows")?, seconds: number("elapsed_ms")? / 1e3, fenced_ms: number("fenced_ms")? })
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let links = rig.stand_links().min(LINKS_MAX);
    let launch = populated(rig, links)?;
    let postgres: Postgres = stand::postgres()?;
    rig.spread(postgres.pid())?;
    let from = format!("sqlite:{}", launch.data_dir().join("knurl.db").display());
    let output = launch
        .command(&["move", &from, &postgres.url(), "--json"])
        .output()
        .map_err(|error| BenchError::Run("knurl move", error))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let moved = if output.status.success() { parse(&said) } else { None };
    let moved = moved.ok_or_else(|| BenchError::Failed {
        what: "knurl move",
        said: format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)),
    })?;
    let mut out = String::from(
        "## Moving\n\nEvery row copied, then read again on both sides and compared. Both cores, nobody else asks.\n\n\
         | | rows | seconds | rows/s | creates and edits refused ms |\n|---|---:|---:|---:|---:|\n",
    );
    let _ = writeln!(
        out,
        "| `knurl move`, SQLite to PostgreSQL, {} links | {} | {:.1} | {} | {:.0} |\n",
        grouped(links as f64),
        grouped(moved.rows),
        moved.seconds,
        grouped(moved.rows / moved.seconds),
        moved.fenced_ms
    );
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_move_says_is_read_and_half_of_it_is_nothing() {
        let moved = parse(r#"{"rows":1000,"elapsed_ms":500,"fenced_ms":12,"moved":true}"#).unwrap();
        assert_eq!((moved.rows, moved.seconds, moved.fenced_ms), (1000.0, 0.5, 12.0));
        assert!(parse(r#"{"rows":1000}"#).is_none() && parse("").is_none());
    }
}
