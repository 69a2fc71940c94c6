//! The short set of drills passes, writes its pages, and a drill can fail. `make torture` runs all of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{fs, path::Path, process::Output};

use knurl_lab::drill::{Verdict, catalogue, verdict::Outcome};

fn drill(args: &[&str]) -> Output {
    let mut command = knurl_lab::leash::command(env!("CARGO_BIN_EXE_knurl-lab"));
    command.args(["drill", "run", "--json"]).args(args);
    command.output().unwrap()
}

fn verdicts(output: &Output) -> Vec<Verdict> {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_short_set_passes_and_every_alert_of_it_fires_in_time() {
    let dir = tempfile::tempdir().unwrap();
    // Most of a drill is waiting: all of them at once take as long as the longest.
    let output = drill(&["short", "--jobs", "5", "--steady-s", "6", "--out", &dir.path().display().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr);
    let verdicts = verdicts(&output);
    assert!(output.status.success(), "{said}\n{}", verdicts.iter().map(ToString::to_string).collect::<String>());
    let short: Vec<_> = catalogue::all().into_iter().filter(|drill| drill.is_short).collect();
    assert!((4..=6).contains(&short.len()) && verdicts.len() == short.len());
    for verdict in &verdicts {
        assert_eq!((verdict.ledger.links_lost, verdict.ledger.clicks_lost, verdict.ledger.clicks_double), (0, 0, 0), "{verdict}");
        assert!(verdict.ledger.clicks > 100, "clients were at work: {verdict}");
        assert!(verdict.alerts.iter().all(|alert| alert.firing_after_s.is_some()), "{verdict}");
        page_is_whole(dir.path(), verdict);
    }
}

/// One file that needs nothing else, with a plot.
fn page_is_whole(dir: &Path, verdict: &Verdict) {
    let page = fs::read_to_string(dir.join(format!("{}.html", verdict.drill))).unwrap();
    assert!(page.contains("<svg") && page.contains("polyline") && page.contains("hurt"), "{page}");
    assert!(!page.contains("<script") && !page.contains("href=\"http") && !page.contains("src="), "{page}");
    let whole: Verdict = serde_json::from_str(&fs::read_to_string(dir.join(format!("{}.json", verdict.drill))).unwrap()).unwrap();
    assert!(whole.series.iter().map(|tick| tick.redirects).sum::<u32>() > 100, "the plots have their seconds");
}

#[test]
fn a_drill_in_which_nothing_is_hurt_fails_because_nobody_is_told() {
    let output = drill(&["redis-stopped", "--unhurt", "--seen-within-s", "10", "--steady-s", "3"]);
    let verdicts = verdicts(&output);
    assert!(!output.status.success() && verdicts.len() == 1);
    assert_eq!(verdicts[0].outcome, Outcome::Fail, "{}", verdicts[0]);
    assert!(verdicts[0].findings[0].contains("KnurlRedisDown did not fire"), "{}", verdicts[0]);
}

#[test]
fn a_name_that_is_no_drill_is_refused_before_anything_is_begun() {
    let output = drill(&["node-killed", "node-kiled"]);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no drill node-kiled"));
}
