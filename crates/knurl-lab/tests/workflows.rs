//! The workflows, without running them: they call what stands in this repository, with no more rights than they need, and pin what is not ours.
//! `make lint` lets zizmor judge them besides. The rule is itself tested on bad samples.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use rstest::rstest;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// `uses: owner/name@40 hex digits # v1.2.3`: a tag can be moved to other code.
fn is_pinned(uses: &str) -> bool {
    let Some((action, comment)) = uses.split_once(" # v") else { return false };
    let Some((_, commit)) = action.split_once('@') else { return false };
    commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) && comment.starts_with(|c: char| c.is_ascii_digit())
}

fn findings(text: &str, has_target: impl Fn(&str) -> bool, has_file: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    if !text.contains("\npermissions: {}\n") {
        found.push("does not begin without any permission".to_owned());
    }
    let jobs = text.matches("runs-on:").count();
    for (word, why) in
        [("timeout-minutes:", "a job without an end"), ("\n    permissions:\n", "a job that does not say what it may do")]
    {
        if text.matches(word).count() < jobs {
            found.push(why.to_owned());
        }
    }
    if text.matches("actions/checkout@").count() != text.matches("persist-credentials: false").count() {
        found.push("a checkout leaves its token behind".to_owned());
    }
    for line in text.lines().map(|line| line.trim().trim_start_matches("- ")) {
        if let Some(uses) = line.strip_prefix("uses: ").filter(|uses| !is_pinned(uses)) {
            found.push(format!("{uses} is not pinned by commit"));
        }
        let run = line.strip_prefix("run: ").unwrap_or(line);
        let target = run.split_once("make ").filter(|(before, _)| before.is_empty() || before.ends_with(' ')).map(|(_, rest)| rest);
        if let Some(target) = target.and_then(|rest| rest.split_whitespace().next()).filter(|target| !has_target(target)) {
            found.push(format!("the Makefile has no {target}"));
        }
        if let Some(script) = run.strip_prefix("bash ").filter(|script| !has_file(script)) {
            found.push(format!("there is no {script}"));
        }
        if run.contains("${{") && line.starts_with("run: ") {
            found.push(format!("what others wrote becomes a command: {run}"));
        }
    }
    found
}

#[test]
fn every_workflow_calls_what_is_here_and_may_do_no_more_than_it_needs() {
    let makefile = read("Makefile");
    for entry in fs::read_dir(repository().join(".github/workflows")).unwrap() {
        let path = entry.unwrap().path();
        let found = findings(
            &fs::read_to_string(&path).unwrap(),
            |target| makefile.contains(&format!("\n{target}:")),
            |script| repository().join(script).exists(),
        );
        assert!(found.is_empty(), "{}:\n{}", path.display(), found.join("\n"));
    }
}

#[test]
fn workflows_build_with_the_rust_that_the_manifest_asks_for() {
    let manifest = read("Cargo.toml");
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap().trim_end_matches('"');
    for name in ["ci", "nightly", "release"] {
        let text = read(&format!(".github/workflows/{name}.yml"));
        let installs = text.matches("rustup toolchain install ").count();
        assert!(installs > 0 && text.matches(&format!("rustup toolchain install {rust}.0 ")).count() == installs, "{name}");
    }
}

const GOOD: &str = "name: good
permissions: {}
jobs:
  a:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions:
      contents: read
    steps:
      - uses: actions/checkout@0123456789012345678901234567890123456789 # v4.2.2
        with:
          persist-credentials: false
      - run: make here
      - run: bash here.sh
";

#[test]
fn a_workflow_that_is_right_is_let_through() {
    assert_eq!(findings(GOOD, |target| target == "here", |script| script == "here.sh"), Vec::<String>::new());
}

#[rstest]
#[case("permissions: {}", "permissions: write-all", "without any permission")]
#[case("    timeout-minutes: 5\n", "", "without an end")]
#[case("    permissions:\n      contents: read\n", "", "what it may do")]
#[case("@0123456789012345678901234567890123456789 # v4.2.2", "@v4", "not pinned")]
#[case("@0123456789012345678901234567890123456789 # v4.2.2", "@0123456789012345678901234567890123456789", "not pinned")]
#[case("persist-credentials: false", "fetch-depth: 0", "leaves its token")]
#[case("make here", "SEED=1 make nowhere", "has no nowhere")]
#[case("bash here.sh", "bash nowhere.sh", "there is no nowhere.sh")]
#[case("make here", "echo ${{ github.event.issue.title }}", "becomes a command")]
fn a_workflow_that_is_wrong_is_found_out(#[case] from: &str, #[case] to: &str, #[case] words: &str) {
    let found = findings(&GOOD.replacen(from, to, 1), |target| target == "here", |script| script == "here.sh");
    assert!(found.iter().any(|finding| finding.contains(words)), "{words}: {found:?}");
}
