//! The scripts behind `make` run what was built.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Subcommand as _;
use knurl_lab::promise::Promise;
use rstest::rstest;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[rstest]
#[case::by_itself(None)]
#[case::where_it_is_told_to_build(Some("/somewhere/else entirely"))]
fn what_is_run_is_where_cargo_builds(#[case] told: Option<&str>) {
    let script = "source scripts/tools.sh; printf '%s\\n%s\\n' \"$target_dir\" \"$(target_dir_of fuzz/Cargo.toml)\"";
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script])
        .current_dir(repository())
        .env_remove("CARGO_TARGET_DIR")
        .envs(told.map(|told| ("CARGO_TARGET_DIR", told)));
    let out = bash.output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    let own = [repository().join("target"), repository().join("fuzz/target")];
    let wanted = told.map_or(own, |told| [PathBuf::from(told), PathBuf::from(told)]);
    assert_eq!(said.lines().map(PathBuf::from).collect::<Vec<_>>(), wanted, "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn no_script_says_by_itself_where_cargo_builds() {
    for script in fs::read_dir(repository().join("scripts")).unwrap() {
        let path = script.unwrap().path();
        for line in fs::read_to_string(&path).unwrap().lines().filter(|line| !line.trim_start().starts_with('#')) {
            let mut words = line.split(|c: char| c.is_whitespace() || "\"'=".contains(c));
            assert!(words.all(|word| !word.starts_with("target/")), "{}: {line}", path.display());
        }
    }
}

#[test]
fn torture_runs_every_promise_and_make_help_names_them() {
    let script = fs::read_to_string(repository().join("scripts/torture.sh")).unwrap();
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let help = makefile.lines().find(|line| line.starts_with("torture:")).unwrap();
    for promise in Promise::augment_subcommands(clap::Command::new("promise")).get_subcommands() {
        let name = promise.get_name();
        assert!(script.contains(&format!("\"$lab\" promise {name} ")), "torture.sh does not run {name}");
        assert!(help.split([' ', ',']).any(|word| word == name), "make help does not name {name}: {help}");
    }
}
