//! `knurl import` of sample files into an empty data directory.

use std::{fmt::Write, path::Path, time::Instant};

use super::{BenchError, Rig, grouped, median};
use crate::{
    process::Launch,
    sample::{self, SampleSpec},
};

const USERS: u64 = 20_000;
const LINKS: u64 = 200_000;
const EVENTS: u64 = 340_000;

/// Seconds it took.
pub(super) fn import(launch: &Launch, dir: &Path) -> Result<f64, BenchError> {
    let files: Vec<String> = ["users.csv", "urls.csv", "events.csv"].map(|name| dir.join(name).display().to_string()).into();
    let args: Vec<&str> = std::iter::once("import").chain(files.iter().map(String::as_str)).collect();
    let began = Instant::now();
    let output = launch.command(&args).output().map_err(|error| BenchError::Run("knurl import", error))?;
    if !output.status.success() {
        return Err(BenchError::Failed { what: "knurl import", said: String::from_utf8_lossy(&output.stderr).into_owned() });
    }
    Ok(began.elapsed().as_secs_f64())
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let files = rig.dir.path().join("sample");
    sample::write(&SampleSpec { users: USERS, links: LINKS, events: EVENTS, seed: 1, odd: true }, &files)?;
    let mut rows_per_second = Vec::new();
    for round in 0..rig.rounds.min(3) {
        let launch = rig.launch(&format!("import{round}"), &[])?;
        rows_per_second.push((USERS + LINKS + EVENTS) as f64 / import(&launch, &files)?);
        std::fs::remove_dir_all(&launch.dir)?;
    }
    let mut out = String::from("## Importing\n\n| | rows/s |\n|---|---:|\n");
    let _ = writeln!(
        out,
        "| `knurl import` of {} users, {} links and {} events into SQLite, start to end, one core | {} |",
        grouped(USERS as f64),
        grouped(LINKS as f64),
        grouped(EVENTS as f64),
        grouped(median(rows_per_second))
    );
    let stand = rig.stand()?;
    let _ = writeln!(
        out,
        "| of {} users and links into PostgreSQL, once, start to end, both cores | {} |\n",
        grouped(stand.rows as f64),
        grouped(stand.imported_per_second)
    );
    Ok(out)
}
