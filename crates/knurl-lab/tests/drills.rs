//! The short set of drills passes, writes its pages, and a drill can fail. `make torture` runs all of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use knurl_lab::{
    drill::{Verdict, catalogue, verdict::Outcome},
    fleet,
    http::Request,
};
use serde_json::{Value, json};

fn drill(args: &[&str]) -> Output {
    let mut command = knurl_lab::leash::command(env!("CARGO_BIN_EXE_knurl-lab"));
    command.args(["drill", "run", "--json"]).args(args).env("DOCKER_HOST", "unix:///nowhere");
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
fn a_name_that_is_no_drill_and_a_port_for_two_are_refused_before_anything_is_begun() {
    let output = drill(&["node-killed", "node-kiled"]);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no drill node-kiled"));
    let two_at_a_port = drill(&["short", "--jobs", "2", "--prometheus-port", "9"]);
    assert!(!two_at_a_port.status.success() && two_at_a_port.stdout.is_empty());
    assert!(String::from_utf8_lossy(&two_at_a_port.stderr).contains("--jobs 1"));
}

#[test]
fn what_is_only_for_processes_is_refused_in_containers_by_its_name_and_why() {
    let refused = |args: &[&str]| {
        let output = drill(args);
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let only: Vec<_> = catalogue::all().into_iter().filter(|drill| drill.process_only.is_some()).collect();
    assert!(!only.is_empty());
    for drill in &only {
        let said = refused(&["node-killed", drill.name, "--containers"]);
        let why = drill.process_only.unwrap();
        assert!(said.lines().count() == 1 && said.contains(drill.name) && said.contains(why), "{said}");
    }
    // No daemon is there: that is said before anything is begun, too, and what is wanted is not taken for the name of a drill.
    let said = refused(&["--containers", "node-killed"]);
    assert!(said.lines().count() == 1 && said.contains("make drill-containers"), "{said}");
}

#[test]
fn all_in_containers_is_all_but_what_is_only_for_processes_and_the_list_says_so() {
    let all = ["all".to_owned()];
    let boxed = catalogue::in_containers(&all, catalogue::named(&all).unwrap()).unwrap();
    let only = catalogue::all().len() - boxed.len();
    assert!(boxed.len() > 35 && boxed.iter().all(|drill| drill.process_only.is_none()));
    let mut list = knurl_lab::leash::command(env!("CARGO_BIN_EXE_knurl-lab"));
    let said = String::from_utf8(list.args(["drill", "list"]).output().unwrap().stdout).unwrap();
    assert_eq!(said.matches("    Not in containers: ").count(), only, "{said}");
}

/// Of all processes there are: those that this one has started, they, and so on.
fn family(of: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let pairs: Vec<(u32, u32)> = all.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// What the dashboards mark on the drill's own Prometheus, until it is this.
fn is_marked(prometheus: SocketAddr, drill: &str, phase: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/dashboards/knurl-overview.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    let drills = annotations.iter().find(|annotation| annotation["name"] == "Drills").unwrap();
    assert_eq!(drills["titleFormat"], "drill {{drill}}: {{phase}}");
    let encoded: String = drills["expr"].as_str().unwrap().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (path, wanted) = (format!("/api/v1/query?query={encoded}"), json!([{ "drill": drill, "phase": phase }]));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = fleet::ask(prometheus, &Request::get(&path), 200).unwrap().json().unwrap();
        let marks: Value = answer["data"]["result"].as_array().unwrap().iter().map(|series| series["metric"].clone()).collect();
        if marks == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{marks} instead of {wanted}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_drill_that_is_told_to_stop_while_it_hurts_heals_says_so_and_leaves_nothing_behind() {
    let mut command = knurl_lab::leash::command(env!("CARGO_BIN_EXE_knurl-lab"));
    command.args(["drill", "run", "--json", "redis-stopped", "--steady-s", "2"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut drill = knurl_lab::leash::spawn(command).unwrap();
    let mut words = BufReader::new(drill.stderr.take().unwrap()).lines();
    let prometheus = words.find_map(|line| Some(line.unwrap().split_once("Prometheus: http://")?.1.parse().unwrap())).unwrap();
    assert!(words.any(|line| line.unwrap().contains("Redis is killed")), "it began to hurt");
    is_marked(prometheus, "redis-stopped", "during");
    let started = family(drill.id());
    assert!(started.len() > 5, "nodes, servers and Prometheus are at work: {started:?}");
    let pid = rustix::process::Pid::from_raw(i32::try_from(drill.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut said = String::new();
    drill.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!drill.wait().unwrap().success());
    let verdict: Verdict = serde_json::from_str(said.trim()).unwrap();
    assert!(verdict.outcome == Outcome::Fail && verdict.findings.iter().any(|found| found.contains("interrupted")), "{verdict}");
    assert_eq!((verdict.ledger.clicks_lost, verdict.ledger.clicks_double), (0, 0), "its books were settled: {verdict}");
    // The kernel tells those that are left of their parent's death; who reaps them is nobody's business here.
    let is_alive = |pid: &&u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while started.iter().any(|pid| is_alive(&pid)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
    }
    let left: Vec<&u32> = started.iter().filter(is_alive).collect();
    assert!(left.is_empty(), "{left:?} are still there");
}
