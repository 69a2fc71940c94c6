//! `docs/drills/containers.md`: the last verdicts of drills on nodes in containers, one row each.
//!
//! Promised: a row is replaced when its drill is run again, and rows of drills that were not run stay as they are; what could not be run leaves
//! none. The whole verdicts are those of processes; here stands what containers add: what Docker restarted.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::{
    Verdict, catalogue,
    page::word,
    verdict::{Outcome, tenths},
};

/// The note of a verdict that counts them; it is there where nodes were containers.
pub const RESTARTS: &str = "restarts_by_docker";
pub const PAGE: &str = "containers.md";

const HEAD: &str = "# Drills on nodes in containers: the last verdicts

Written by `knurl-lab drill run --containers --record`, which `make drill-containers` runs ([how](../guide/chaos.md#in-containers)). *Restarts* is what Docker counted over
all nodes of the drill; nobody else starts a node that has crashed. Clicks that are lost are those that the product itself counts as dropped or unreadable, in drills that
destroy what was stored.

";
const COLUMNS: [&str; 9] =
    ["drill", "verdict", "alert, seconds after the harm", "took s", "restarts", "clicks", "lost", "double", "date"];

/// Rows of a page by the drill's name.
pub fn rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let cells = |line: &str| -> Option<Vec<String>> {
        let inner = line.strip_prefix("| [")?.strip_suffix(" |")?;
        Some(inner.split(" | ").map(str::to_owned).collect())
    };
    page.lines().filter_map(cells).filter_map(|row| Some((row.first()?.split(']').next()?.to_owned(), row))).collect()
}

pub fn write(dir: &Path, verdict: &Verdict) -> io::Result<()> {
    if verdict.outcome == Outcome::NotRun {
        return Ok(());
    }
    let at = dir.join(PAGE);
    let mut rows: BTreeMap<String, String> = rows(&fs::read_to_string(&at).unwrap_or_default())
        .into_iter()
        .map(|(name, cells)| (name, format!("| [{} |", cells.join(" | "))))
        .collect();
    rows.insert(verdict.drill.clone(), row(verdict));
    let mut page = format!("{HEAD}| {} |\n|{}\n", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    // One that is no drill any more leaves with its name.
    for row in catalogue::all().iter().filter_map(|drill| rows.get(drill.name)) {
        page.push_str(row);
        page.push('\n');
    }
    let only: Vec<String> =
        catalogue::all().iter().filter_map(|drill| Some(format!("- `{}`: {}.\n", drill.name, drill.process_only?))).collect();
    page.push_str(&format!("\nNot in containers:\n\n{}", only.concat()));
    fs::create_dir_all(dir)?;
    fs::write(at, page)
}

fn row(verdict: &Verdict) -> String {
    let seconds = |at: Option<f64>| at.map_or_else(|| "-".to_owned(), |at| tenths(at).to_string());
    let fired: Vec<String> =
        verdict.alerts.iter().map(|alert| format!("{} {}", alert.name, seconds(alert.firing_after_s))).collect();
    let fired = if fired.is_empty() { "none may fire".to_owned() } else { fired.join(", ") };
    let restarts = verdict.notes.get(RESTARTS).map_or_else(|| "-".to_owned(), ToString::to_string);
    let books = &verdict.ledger;
    format!(
        "| [{0}]({0}.md) | {1} | {fired} | {2} | {restarts} | {3} | {4} | {5} | {6} |",
        verdict.drill,
        word(verdict.outcome),
        verdict.seconds,
        books.clicks,
        books.clicks_lost,
        books.clicks_double,
        verdict.date
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_replaced_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let record = |name: &str| {
            let page = fs::read_to_string(Path::new(super::super::record::DIR).join(format!("{name}.md"))).unwrap();
            super::super::record::read(&page).unwrap()
        };
        let (mut killed, stopped) = (record("node-killed"), record("redis-stopped"));
        killed.notes.insert(RESTARTS.to_owned(), 1.into());
        write(dir.path(), &killed).unwrap();
        write(dir.path(), &stopped).unwrap();
        killed.notes.insert(RESTARTS.to_owned(), 7.into());
        killed.seconds = 4_711;
        let not_run = Verdict { drill: "node-frozen".to_owned(), outcome: Outcome::NotRun, ..killed.clone() };
        write(dir.path(), &killed).unwrap();
        write(dir.path(), &not_run).unwrap();
        let rows = rows(&fs::read_to_string(dir.path().join(PAGE)).unwrap());
        assert_eq!(rows.keys().collect::<Vec<_>>(), ["node-killed", "redis-stopped"]);
        assert_eq!((rows["node-killed"].len(), rows["redis-stopped"].len()), (COLUMNS.len(), COLUMNS.len()));
        assert_eq!((rows["node-killed"][3].as_str(), rows["node-killed"][4].as_str()), ("4711", "7"));
    }
}
