//! Records: the last verdict of each drill, as it is kept in `docs/drills/`.
//!
//! Promised: one Markdown page a drill, which people read and of which a machine reads the block of JSON at its end; an index of all that are
//! there. No path of a machine is in them.

use std::{fmt::Write as _, fs, io, path::Path};

use super::{
    Verdict,
    page::word,
    verdict::{Outcome, PHASES},
};

pub const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/drills");

const HEAD: &str = "# Drills: the last verdicts\n\nWritten by `knurl-lab drill run --record`. How to run and read them: [Chaos Mode](../guide/chaos.md); what they rehearse: [the Failure Manual](../failures.md). Of containers: [the drills on nodes in containers](containers.md), [the stack's own](stack.md).\n\n| drill | verdict | alert, seconds after the harm | cleared, seconds after healing | links lost | clicks lost | double |\n|---|---|---|---|---|---|---|\n";

/// Replaces the record of this drill. One that could not be run leaves the record before it as it is.
pub fn write(dir: &Path, verdict: &Verdict) -> io::Result<()> {
    if verdict.outcome == Outcome::NotRun {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    fs::write(dir.join(format!("{}.md", verdict.drill)), of(verdict)?)
}

fn of(verdict: &Verdict) -> io::Result<String> {
    let mut out = format!(
        "# {}: {}\n\n**Hypothesis.** {}\n\n**Done.** {}.\n\n",
        verdict.drill,
        word(verdict.outcome),
        verdict.hypothesis,
        verdict.harm
    );
    out.push_str("| phase | seconds | redirects a second | p50 ms | p99 ms | failed | creates | refused | failed |\n|---|---|---|---|---|---|---|---|---|\n");
    for (name, phase) in PHASES.iter().filter_map(|name| Some((name, verdict.phases.get(*name)?))) {
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            phase.seconds,
            phase.redirects_a_second,
            phase.redirect_p50_ms,
            phase.redirect_p99_ms,
            phase.redirects_failed,
            phase.creates,
            phase.creates_refused,
            phase.creates_failed
        );
    }
    let books = &verdict.ledger;
    let _ = writeln!(
        out,
        "\nLedger: {} links, {} lost; {} clicks, {} lost, {} double; {} sent and not answered; {} counted as dropped or lost by the product.\n",
        books.links,
        books.links_lost,
        books.clicks,
        books.clicks_lost,
        books.clicks_double,
        books.clicks_unanswered,
        books.clicks_counted_as_lost
    );
    verdict.alerts.iter().for_each(|alert| {
        let _ = writeln!(out, "- {alert}");
    });
    verdict.other_alerts.iter().for_each(|alert| {
        let _ = writeln!(out, "- besides: {alert}");
    });
    verdict.findings.iter().for_each(|finding| {
        let _ = writeln!(out, "- finding: {finding}");
    });
    let json = serde_json::to_string_pretty(&verdict.brief())?;
    let failure = &verdict.failure;
    let _ = write!(out, "\n[What it rehearses](../failures.md#{failure})\n\n```json\n{json}\n```\n");
    Ok(out)
}

/// The verdict that a page records.
pub fn read(page: &str) -> Option<Verdict> {
    let (_, block) = page.split_once("```json\n")?;
    serde_json::from_str(block.split_once("\n```")?.0).ok()
}

/// `README.md`, from the pages that are there.
pub fn write_index(dir: &Path) -> io::Result<()> {
    let mut pages: Vec<_> = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    pages.sort();
    let mut out = HEAD.to_owned();
    for verdict in pages.iter().filter_map(|page| read(&fs::read_to_string(page).ok()?)) {
        let s = |at: Option<f64>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let fired: Vec<String> = verdict.alerts.iter().map(|alert| format!("{} {}", alert.name, s(alert.firing_after_s))).collect();
        let cleared: Vec<String> = verdict.alerts.iter().map(|alert| s(alert.cleared_after_s)).collect();
        let fired = if fired.is_empty() { "none may fire".to_owned() } else { fired.join(", ") };
        let _ = writeln!(
            out,
            "| [{0}]({0}.md) | {1} | {fired} | {2} | {3} | {4} | {5} |",
            verdict.drill,
            word(verdict.outcome),
            cleared.join(", "),
            verdict.ledger.links_lost,
            verdict.ledger.clicks_lost,
            verdict.ledger.clicks_double
        );
    }
    fs::write(dir.join("README.md"), out)
}
