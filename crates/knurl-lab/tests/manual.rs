//! The Failure Manual, the alerts, their pages, their rule tests, the drills and their verdicts belong together, and no link of any page is dead.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its own repository has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use knurl_lab::drill::{alarm::ALWAYS, catalogue, containers, record, verdict::Outcome};

/// What a section of docs/failures.md says, each in a line of its own.
const FIELDS: [&str; 8] =
    ["Symptom", "A visitor sees", "Metric and alert", "Cause", "By itself", "By hand", "Can be lost", "Drill"];
/// What names a place on somebody's machine.
const PLACES: [&str; 5] = ["/work", "/tmp/", "/home/", "/root/", "/var/tmp"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Of every file of a directory, what follows `key` on a line.
fn values(dir: &str, key: &str) -> BTreeSet<String> {
    let files = fs::read_dir(repository().join(dir)).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let of = |text: String| text.lines().filter_map(|line| Some(line.split_once(key)?.1.trim().to_owned())).collect::<Vec<_>>();
    files.flat_map(of).collect()
}

fn alerts() -> BTreeSet<String> {
    values("deploy/prometheus/rules", "- alert:")
}

#[derive(Debug, Default)]
struct Entry {
    fields: BTreeMap<String, String>,
    alerts: BTreeSet<String>,
    drills: BTreeSet<String>,
}

/// Names of the pages of one directory that a text links to.
fn linked(text: &str, dir: &str) -> BTreeSet<String> {
    let begins = format!("]({dir}/");
    text.split(begins.as_str()).skip(1).filter_map(|rest| rest.split_once(".md").map(|(name, _)| name.to_owned())).collect()
}

fn manual(text: &str) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for section in text.split("\n### ").skip(1) {
        let (id, body) = section.split_once('\n').unwrap();
        let mut entry = Entry::default();
        for line in body.lines().filter_map(|line| line.strip_prefix("- **")) {
            let Some((field, said)) = line.split_once("**: ") else { continue };
            entry.fields.insert(field.to_owned(), said.to_owned());
        }
        entry.alerts = linked(entry.fields.get("Metric and alert").map_or("", String::as_str), "runbook");
        entry.drills = linked(entry.fields.get("Drill").map_or("", String::as_str), "drills");
        entries.insert(id.to_owned(), entry);
    }
    entries
}

#[test]
fn every_failure_has_all_its_fields_an_alert_with_a_page_and_a_drill() {
    let text = read("docs/failures.md");
    let (entries, alerts, drills) = (manual(&text), alerts(), catalogue::all());
    assert!(entries.len() > 30 && alerts.len() > 30, "{} entries, {} alerts", entries.len(), alerts.len());
    let mut findings = Vec::new();
    for (id, entry) in &entries {
        let missing = FIELDS.iter().filter(|field| entry.fields.get(**field).is_none_or(|said| said.len() < 4));
        missing.for_each(|field| findings.push(format!("{id} does not say: {field}")));
        if entry.alerts.is_empty() || entry.drills.is_empty() {
            findings.push(format!("{id} has no alert or no drill"));
        }
        entry.alerts.difference(&alerts).for_each(|alert| findings.push(format!("{id}: there is no alert {alert}")));
        for name in &entry.drills {
            if !drills.iter().any(|drill| drill.name == name && drill.failure == id) {
                findings.push(format!("{id}: there is no drill {name} of it"));
            }
        }
        if !text.contains(&format!("](#{id}) |")) {
            findings.push(format!("{id} does not stand in the table"));
        }
    }
    for drill in &drills {
        match entries.get(drill.failure) {
            None => findings.push(format!("{}: the manual has no section {}", drill.name, drill.failure)),
            Some(entry) if !entry.drills.contains(drill.name) => {
                findings.push(format!("{} does not name {}", drill.failure, drill.name));
            }
            Some(entry) => drill.alerts.iter().filter(|alert| !entry.alerts.contains(**alert)).for_each(|alert| {
                findings.push(format!("{} does not name {alert}, which {} waits for", drill.failure, drill.name));
            }),
        }
        for alert in drill.alerts.iter().chain(drill.allowed).filter(|alert| !alerts.contains(**alert)) {
            findings.push(format!("{}: there is no alert {alert}", drill.name));
        }
        if drill.hypothesis.is_empty() || drill.harm.is_empty() || drill.metrics.is_empty() {
            findings.push(format!("{} does not say what it believes, does or looks at", drill.name));
        }
    }
    let names: BTreeSet<&str> = drills.iter().map(|drill| drill.name).collect();
    assert_eq!(names.len(), drills.len(), "names are unique");
    assert_none(&findings);
}

#[test]
fn every_alert_has_a_page_and_a_rule_test() {
    // As promtool is asked (`alertname: X`), or as a series of a test names it (`alertname="X"`).
    let lines = values("deploy/prometheus/tests", "alertname");
    let name = |line: &String| -> String {
        line.trim_start_matches(|c: char| !c.is_alphanumeric()).chars().take_while(|c| c.is_alphanumeric()).collect()
    };
    let tested: BTreeSet<String> = lines.iter().map(name).collect();
    let mut findings = Vec::new();
    for alert in alerts() {
        if !repository().join(format!("docs/runbook/{alert}.md")).is_file() {
            findings.push(format!("docs/runbook/{alert}.md is not there"));
        }
        if !tested.contains(&alert) {
            findings.push(format!("no rule test of {alert}"));
        }
    }
    assert_none(&findings);
}

#[test]
fn every_drill_has_a_verdict_that_passed_and_that_names_what_there_is() {
    let alerts = alerts();
    let mut findings = Vec::new();
    for drill in catalogue::all() {
        let page = fs::read_to_string(repository().join(format!("docs/drills/{}.md", drill.name))).unwrap_or_default();
        let Some(verdict) = record::read(&page) else {
            findings.push(format!("{} has no recorded verdict", drill.name));
            continue;
        };
        if verdict.outcome != Outcome::Pass {
            findings.push(format!("{} did not pass when it was last recorded", drill.name));
        }
        let named: BTreeSet<&str> = verdict.alerts.iter().map(|alert| alert.name.as_str()).collect();
        if named != drill.alerts.iter().copied().collect::<BTreeSet<&str>>() {
            findings.push(format!("{}: the recorded verdict is of other alerts: {named:?}", drill.name));
        }
        let unknown = verdict.alerts.iter().chain(&verdict.other_alerts).filter(|alert| !alerts.contains(&alert.name));
        unknown.for_each(|alert| findings.push(format!("{}: there is no alert {}", drill.name, alert.name)));
        let looked: Vec<&str> = verdict.looks.iter().map(|look| look.metric.as_str()).collect();
        if looked != drill.metrics {
            findings.push(format!("{}: the recorded verdict looked at {looked:?}", drill.name));
        }
        // The runner asks the product for each and finds one that is not there.
        let absent = verdict.looks.iter().filter(|look| look.before.is_none() && look.during.is_none() && look.after.is_none());
        absent.for_each(|look| findings.push(format!("{}: there was no metric {}", drill.name, look.metric)));
        for place in PLACES.iter().filter(|place| page.contains(**place)) {
            findings.push(format!("{}: its record names a place of a machine: {place}", drill.name));
        }
    }
    assert_none(&findings);
}

#[test]
fn what_was_recorded_in_containers_passed_there_and_the_guide_names_what_is_only_for_processes() {
    let (page, guide) = (read("docs/drills/containers.md"), read("docs/guide/chaos.md"));
    let (rows, drills) = (containers::rows(&page), catalogue::all());
    let mut findings = Vec::new();
    // A new drill is recorded there when somebody has the time; what is recorded counts.
    for (name, row) in &rows {
        match drills.iter().find(|drill| drill.name == name) {
            Some(drill) if drill.process_only.is_some() => findings.push(format!("{name} is only for processes")),
            Some(_) if row[1] == "PASS" => {}
            Some(_) => findings.push(format!("{name} did not pass in containers when it was last recorded")),
            None => findings.push(format!("there is no drill {name}")),
        }
    }
    for (drill, why) in drills.iter().filter_map(|drill| Some((drill, drill.process_only?))) {
        for (name, text) in [("containers.md", &page), ("chaos.md", &guide)] {
            if !text.contains(&format!("`{}`: {why}.", drill.name)) {
                findings.push(format!("{name} does not say that {} is only for processes: {why}", drill.name));
            }
        }
    }
    // What crashes comes back, and nobody but Docker has brought it; what was killed by Docker's own command stays away.
    let restarts = |name: &str| rows.get(name).and_then(|row| row[4].parse::<u64>().ok());
    for name in ["node-killed", "node-stuck", "node-out-of-memory", "crash-loop", "both-down-restarted"] {
        if restarts(name).is_none_or(|restarts| restarts == 0) {
            findings.push(format!("{name}: Docker has restarted nobody"));
        }
    }
    if restarts("node-down") != Some(0) {
        findings.push("node-down: what was killed by `docker kill` was restarted".to_owned());
    }
    assert_none(&findings);
}

#[test]
fn every_alert_was_seen_firing_by_a_recorded_drill() {
    let pages = catalogue::all().into_iter().filter_map(|drill| {
        record::read(&fs::read_to_string(repository().join(format!("docs/drills/{}.md", drill.name))).unwrap_or_default())
    });
    // Also what fired besides: a budget is spent by what is refused, whatever refuses it.
    let fired = pages.flat_map(|verdict| [verdict.alerts, verdict.other_alerts].concat());
    let seen: BTreeSet<String> = fired.filter(|alert| alert.firing_after_s.is_some()).map(|alert| alert.name).collect();
    // One that fires always is part of no drill's story; that its letters arrive is.
    let unseen = alerts().into_iter().filter(|alert| !seen.contains(alert) && !ALWAYS.contains(&alert.as_str()));
    assert_none(&unseen.map(|alert| format!("no recorded drill has seen {alert} firing")).collect::<Vec<_>>());
    let page = record::read(&read("docs/drills/alerting-broken.md")).unwrap();
    let letters = page.notes.get("letters_to_the_dead_mans_switch").and_then(serde_json::Value::as_u64);
    assert!(letters.is_some_and(|letters| letters > 1), "the watchdog was heard: {letters:?}");
}

/// Every page of the repository.
fn pages(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !name.starts_with('.') && name != "node_modules" && !path.join("CACHEDIR.TAG").exists() {
                pages(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// Without fenced and inline code.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            is_code = !is_code;
        } else if !is_code {
            line.split('`').step_by(2).for_each(|part| out.push_str(part));
            out.push('\n');
        }
    }
    out
}

fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.split(' ').next()?.to_owned())).collect()
}

/// As the forges make them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut found = BTreeSet::new();
    let mut is_code = false;
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) else { continue };
        let heading = heading.trim_start_matches('#');
        let words: String = heading.trim().to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
        let slug = words.replace(' ', "-");
        let times = seen.entry(slug.clone()).or_default();
        found.insert(if *times == 0 { slug } else { format!("{slug}-{times}") });
        *times += 1;
    }
    found
}

#[test]
fn no_link_of_any_page_is_dead() {
    let mut all = Vec::new();
    pages(&repository(), &mut all);
    assert!(all.len() > 20, "the walk found the pages");
    let mut findings = Vec::new();
    for page in &all {
        let text = fs::read_to_string(page).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let shown = page.strip_prefix(repository()).unwrap().display().to_string();
            if !target.exists() {
                findings.push(format!("{shown}: {link} leads nowhere"));
            } else if let Some(anchor) = anchor
                && target.extension().is_some_and(|kind| kind == "md")
                && !anchors(&fs::read_to_string(&target).unwrap()).contains(anchor)
            {
                findings.push(format!("{shown}: {link}: there is no such heading"));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn the_checks_see_what_is_wrong() {
    assert_eq!(links("a [b](c.md#d) `[e](f.md)`\n```\n[g](h.md)\n```\n[i](j \"k\")"), ["c.md#d", "j"]);
    let found = anchors("# At 3 a.m.\n## Redis, and both\n```\n# no heading\n```\n## Redis, and both\n");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["at-3-am", "redis-and-both", "redis-and-both-1"]);
    let entries = manual(
        "x\n### a-b\n\nA.\n\n- **Symptom**: it.\n- **Metric and alert**: `m`; [X](runbook/X.md).\n- **Drill**: [d](drills/d.md).\n",
    );
    let entry = &entries["a-b"];
    assert_eq!((entry.alerts.len(), entry.drills.len(), entry.fields.len()), (1, 1, 3));
}
