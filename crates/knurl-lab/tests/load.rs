//! `make load` for real: k6 itself, the scripts of deploy/k6, a server that was just built. That a threshold can break is shown beside it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use knurl_lab::{
    http::{Connection, Request},
    leash,
    process::{Launch, Server, find_binary},
};
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

const KEY: &str = "knurl_key_of_the_load_tests";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn node(dir: &Path) -> Server {
    let env = [("KNURL_AUTH", "required"), ("KNURL_ADMIN_KEY", KEY)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Launch { binary: find_binary().unwrap(), dir: dir.to_owned(), env: env.to_vec(), cores: None, within: Vec::new() }
        .start()
        .unwrap()
}

/// The script as `make load` runs it, with a few links.
fn load(profile: &str, dir: &Path, env: &[(&str, &str)]) -> Command {
    let mut command = leash::command("bash");
    command.arg("scripts/load.sh").arg(profile).current_dir(repository());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KNURL_") {
            command.env_remove(name);
        }
    }
    command.env("KNURL_LOAD_LINKS", "50").env("KNURL_LOAD_SUMMARY", dir.join("summary.json")).env("KNURL_LOAD_LIMIT_S", "240");
    command.envs(env.iter().copied());
    command
}

fn said(output: &Output) -> String {
    format!("{}\n{}\n{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn summary(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("summary.json")).unwrap()).unwrap()
}

#[test]
fn the_smoke_profile_finds_a_node_right_counts_each_click_once_and_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let server = node(dir.path());
    let url = format!("http://{}", server.addr().unwrap());
    let output = load("smoke", dir.path(), &[("KNURL_LOAD_URL", &url), ("KNURL_LOAD_KEY", KEY)]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let summary = summary(dir.path());
    assert_eq!((&summary["checks"]["failed"], &summary["thresholds_broken"]), (&0.into(), &Value::Array(Vec::new())), "{summary}");
    // 4 people, 5 rounds: 5 visits, and 2 of a link of their own.
    assert_eq!(summary["clicks_answered"], 140, "{summary}");
    assert_eq!(summary["kinds"]["redirect"]["count"], 140, "{summary}");
    for kind in ["create", "change", "list", "miss"] {
        assert_eq!(summary["kinds"][kind]["count"], 20, "{kind}: {summary}");
    }
    let bearer = format!("Bearer {KEY}");
    let mut connection = Connection::open(server.addr().unwrap()).unwrap();
    for path in ["/users", "/urls"] {
        let left = connection.ask(&Request::get(path).with(&[("Authorization", &bearer)])).unwrap();
        assert_eq!(left.json().unwrap(), Value::Array(Vec::new()), "{path}");
    }
}

/// What a person types: everything is started, loaded through nginx, and ended.
#[test]
fn without_an_address_a_fleet_is_started_loaded_and_ended() {
    let dir = TempDir::new().unwrap();
    let binary = find_binary().unwrap();
    let bin_dir = binary.parent().unwrap().to_str().unwrap();
    let env = [("KNURL_LOAD_BIN_DIR", bin_dir), ("TMPDIR", dir.path().to_str().unwrap())];
    let output = load("smoke", dir.path(), &env).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let summary = summary(dir.path());
    assert_eq!(summary["clicks_answered"], 140, "{summary}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["summary.json"], "nothing is left behind");
}

#[rstest]
#[case::too_slow_for_whoever_asks(&[("KNURL_LOAD_P95_MS", "0.001")], 99, "p(95)<0.001")]
#[case::without_its_key(&[("KNURL_LOAD_KEY", "knurl_key_of_somebody_else")], 108, "was answered 401")]
fn what_is_not_as_it_should_be_is_an_exit_code(#[case] env: &[(&str, &str)], #[case] code: i32, #[case] words: &str) {
    let dir = TempDir::new().unwrap();
    let server = node(dir.path());
    let url = format!("http://{}", server.addr().unwrap());
    let given = [&[("KNURL_LOAD_URL", url.as_str()), ("KNURL_LOAD_KEY", KEY)], env].concat();
    let output = load("smoke", dir.path(), &given).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    assert!(said(&output).contains(words), "{}", said(&output));
}

#[rstest]
#[case::a_profile_that_is_none(("none", "http://127.0.0.1:1"), 2, "profiles: ")]
#[case::another_machine(("smoke", "http://192.0.2.1"), 107, "is not on this machine")]
fn what_may_not_be_loaded_is_not(#[case] (profile, url): (&str, &str), #[case] code: i32, #[case] words: &str) {
    let dir = TempDir::new().unwrap();
    let output = load(profile, dir.path(), &[("KNURL_LOAD_URL", url)]).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    assert!(said(&output).contains(words), "{}", said(&output));
}

/// What k6 makes of a script without running it: its syntax, options and thresholds.
#[test]
fn every_profile_can_be_read_by_k6_and_asks_that_no_check_fails() {
    let script = "source scripts/tools.sh; need_k6; for profile in deploy/k6/*.js; do k6 inspect --execution-requirements \"$profile\"; done";
    let output = leash::command("bash").args(["-euo", "pipefail", "-c", script]).current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let read: Vec<Value> = serde_json::Deserializer::from_slice(&output.stdout).into_iter().map(Result::unwrap).collect();
    let profiles =
        fs::read_dir(repository().join("deploy/k6")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count();
    assert_eq!(read.len(), profiles);
    for options in &read {
        let thresholds = &options["thresholds"];
        assert!(thresholds["checks"].to_string().contains("rate==1"), "{options}");
        assert!(thresholds["http_req_failed"].to_string().contains("rate==0"), "{options}");
        assert!(options["maxVUs"].as_u64().unwrap() <= 1_000 && !options["totalDuration"].is_null(), "bounded: {options}");
    }
    let people: Vec<u64> = ["bronze", "silver", "gold"].map(|tier| users(&read, tier)).to_vec();
    assert_eq!(people, [50, 200, 500], "the tiers of the hackathon");
}

/// In the order of their names.
fn users(read: &[Value], profile: &str) -> u64 {
    let mut names: Vec<_> = fs::read_dir(repository().join("deploy/k6")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.is_file());
    names.sort();
    let at = names.iter().position(|path| path.file_stem().unwrap() == profile).unwrap();
    read[at]["maxVUs"].as_u64().unwrap()
}
