//! What the pages say is there: links lead somewhere, files, metrics, variables and make targets that are named exist. Every rule is a
//! pure function over text and is itself tested on a bad sample.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own pages has failed")]

mod tree;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use knurl::telemetry::Metrics;
use tree::{assert_none, files, root, shown, text_of};

/// What scripts make and nobody commits.
const MADE: [&str; 1] = ["deploy/secrets"];

/// Directories whose files are named in pages, comments and messages.
const NAMED_DIRS: [&str; 6] = ["crates/", "deploy/", "docs/", "scripts/", "config/", "fuzz/fuzz_targets/"];

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let findings: Vec<String> = pages().iter().flat_map(|page| dead_links(page, &text_of(page))).collect();
    assert_none(&findings);
}

#[test]
fn every_file_that_is_named_exists() {
    let sources = ["md", "rs", "toml", "sh", "sql"].iter().flat_map(|extension| files(&root(), extension));
    // This file names some that do not exist.
    let sources = sources.filter(|file| !file.ends_with("tests/docs.rs"));
    let findings: Vec<String> = sources
        .flat_map(|file| missing_files(&text_of(&file)).into_iter().map(move |path| format!("{}: {path}", shown(&file))))
        .collect();
    assert_none(&findings);
}

#[test]
fn every_metric_that_is_named_is_exposed() {
    let exposition = Arc::new(Metrics::new()).render();
    let findings: Vec<String> = pages()
        .iter()
        .flat_map(|page| {
            let names = ["knurl_", "http_server_"].iter().flat_map(|prefix| words(&text_of(page), prefix)).collect::<Vec<_>>();
            names.into_iter().map(|name| (shown(page), name))
        })
        .filter(|(_, name)| !exposes(&exposition, name))
        .map(|(page, name)| format!("{page}: no metric is called {name}"))
        .collect();
    assert_none(&findings);
}

#[test]
fn every_variable_that_is_named_sets_an_option() {
    let manual = text_of(&root().join("config/default.toml"));
    // The simulation's are for those who work on Knurl, and read there.
    let simulation = text_of(&root().join("crates/knurl/tests/simulation/main.rs"));
    // Those of `make load` and of the compose files stand where they are read.
    let compose = ["compose.yaml", "compose.prod.yaml"].map(|file| text_of(&root().join(file)));
    let asked = compose.iter().flat_map(|text| text.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next()));
    let asked: Vec<String> = asked.map(str::to_owned).collect();
    let load = ["deploy/k6/knurl/settings.js", "scripts/load.sh"].map(|file| words(&text_of(&root().join(file)), "KNURL_LOAD_"));
    let known: BTreeSet<String> = words(&manual, "KNURL_")
        .into_iter()
        .chain(words(&simulation, "KNURL_SIM_"))
        .chain(load.into_iter().flatten())
        .chain(asked)
        .collect();
    let unknown = |name: &String| !known.contains(name.strip_suffix("_FILE").unwrap_or(name));
    let findings: Vec<String> = pages()
        .iter()
        .flat_map(|page| words(&text_of(page), "KNURL_").into_iter().map(|name| (shown(page), name)).collect::<Vec<_>>())
        .filter(|(_, name)| unknown(name))
        .map(|(page, name)| format!("{page}: {name} is in no comment of config/default.toml"))
        .collect();
    assert_none(&findings);
}

#[test]
fn every_make_target_that_is_named_is_in_the_makefile() {
    let makefile = text_of(&root().join("Makefile"));
    let findings: Vec<String> = pages()
        .iter()
        .flat_map(|page| make_targets(&text_of(page)).into_iter().map(|target| (shown(page), target)).collect::<Vec<_>>())
        .filter(|(_, target)| !makefile.contains(&format!("\n{target}:")))
        .map(|(page, target)| format!("{page}: the Makefile has no {target}"))
        .collect();
    assert_none(&findings);
}

#[test]
fn the_changelog_speaks_of_this_version() {
    let changelog = text_of(&root().join("CHANGELOG.md"));
    let version = env!("CARGO_PKG_VERSION");
    let speaks = changelog.lines().any(|line| line == "## Unreleased" || line.starts_with(&format!("## {version}")));
    assert!(speaks, "CHANGELOG.md has neither `## Unreleased` nor `## {version}`");
}

// -- The rules -------------------------------------------------------------------------------------------------------------------

/// Links to files of ours, and to headings; addresses elsewhere are not asked.
fn dead_links(page: &Path, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, heading) = link.split_once('#').unwrap_or((link, ""));
        let target = if path.is_empty() { page.to_owned() } else { page.parent().unwrap().join(path) };
        if !target.exists() {
            findings.push(format!("{}: {link} leads nowhere", shown(page)));
        } else if !heading.is_empty() {
            let there = if path.is_empty() { text.to_owned() } else { text_of(&target) };
            if !anchors(&there).contains(heading) {
                findings.push(format!("{}: {link} has no such heading", shown(page)));
            }
        }
    }
    findings
}

/// `## When it hurts` -> `when-it-hurts`.
fn anchors(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
    titles
        .map(|title| title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-"))
        .collect()
}

fn missing_files(text: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for dir in NAMED_DIRS {
        for (at, _) in text.match_indices(dir) {
            let before = text[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || "_./-}".contains(before) {
                continue;
            }
            let end = text[at..].find(|c: char| !(c.is_ascii_alphanumeric() || "_./-".contains(c))).map_or(text.len(), |n| at + n);
            // A pattern or a word to fill in names no one file.
            if text[end..].starts_with(['*', '{', '$', '<', '…']) {
                continue;
            }
            let path = text[at..end].trim_end_matches('.');
            if !root().join(path).exists() && !MADE.iter().any(|made| path.starts_with(made)) {
                missing.push(path.to_owned());
            }
        }
    }
    missing
}

/// Names that begin so, with something behind it.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    let tokens = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    tokens.filter(|token| token.len() > prefix.len() && token.starts_with(prefix)).map(str::to_owned).collect()
}

fn exposes(exposition: &str, name: &str) -> bool {
    let family = ["_total", "_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    exposition.contains(&format!("# TYPE {family} "))
}

/// In code, where a sentence does not "make" anything: after a backtick or at the beginning of a line.
fn make_targets(text: &str) -> BTreeSet<String> {
    let starts = text.lines().flat_map(|line| {
        let inline = line.split('`').skip(1).step_by(2);
        inline.chain(std::iter::once(line)).filter_map(|code| code.strip_prefix("make ")).collect::<Vec<_>>()
    });
    starts
        .filter_map(|rest| rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next())
        .map(|target| target.trim_end_matches('-').to_owned())
        .filter(|target| !target.is_empty())
        .collect()
}

// -- The rules can fail ----------------------------------------------------------------------------------------------------------

#[test]
fn a_page_that_is_wrong_is_found() {
    let page = root().join("README.md");
    let dead = |text: &str| dead_links(&page, text).len();
    assert_eq!(dead("[a](docs/adr/README.md) [b](https://example.com/x) [c](#here)\n## Here\n"), 0);
    assert_eq!(dead("[a](docs/nowhere.md)"), 1);
    assert_eq!(dead("[a](#there)\n## Here\n"), 1);
    assert_eq!(dead("[a](CONTRIBUTING.md#no-such-heading)"), 1);

    assert_eq!(missing_files("see `crates/knurl/src/lib.rs`, docs/adr/ and crates/*/src."), Vec::<String>::new());
    assert_eq!(missing_files("see docs/nowhere.md."), ["docs/nowhere.md"]);

    let exposition = Arc::new(Metrics::new()).render();
    assert!(exposes(&exposition, "knurl_store_up") && exposes(&exposition, "knurl_clicks_dropped_total"));
    assert!(!exposes(&exposition, "knurl_store") && !exposes(&exposition, "knurl_clicks_forgotten_total"));

    assert_eq!(words("`KNURL_A=1`, KNURL_ and xKNURL_B", "KNURL_"), BTreeSet::from(["KNURL_A".to_owned()]));
    assert_eq!(
        make_targets("we make no promises: `make run`\nmake test BENCH=1\n"),
        BTreeSet::from(["run".to_owned(), "test".to_owned()])
    );
}

// -- Reading ---------------------------------------------------------------------------------------------------------------------

fn pages() -> Vec<PathBuf> {
    let pages = files(&root(), "md");
    assert!(pages.len() > 10, "the walk found the pages");
    pages
}
