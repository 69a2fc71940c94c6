//! The alerts as an operator gets them: sound, tried in both directions, asking for nothing that is not there, each with a page that says
//! what to do, and each reaching somebody.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use knurl_lab::{
    drill::alarm::ALWAYS,
    fleet::{Backing, Fleet, FleetSpec, ask},
    http::Request,
    process::find_binary,
    servers::{Alertmanager, PostgresSetup, Prometheus, PrometheusSetup, Rule, Target, amtool, promtool},
};

/// Unless something hangs.
const LONG: Duration = Duration::from_secs(60);

const PAGES: &str = "https://github.com/knurl/knurl/blob/main/";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn of_deploy(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("deploy/prometheus").join(dir)).unwrap();
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|of| of == "yml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{dir}");
    files
}

fn with_files<'a>(words: &[&'a str], files: &'a [PathBuf]) -> Vec<&'a str> {
    words.iter().copied().chain(files.iter().map(|file| file.to_str().unwrap())).collect()
}

/// As Prometheus has read them.
fn rules() -> Vec<Rule> {
    let setup = PrometheusSetup { rules: of_deploy("rules"), ..PrometheusSetup::default() };
    Prometheus::start(&setup).unwrap().rules().unwrap()
}

fn alerts() -> BTreeMap<String, Rule> {
    let rules: Vec<Rule> = rules().into_iter().filter(|rule| rule.alerts).collect();
    let alerts: BTreeMap<String, Rule> = rules.iter().map(|rule| (rule.name.clone(), rule.clone())).collect();
    assert_eq!(alerts.len(), rules.len(), "no two alerts have one name");
    alerts
}

#[test]
fn the_rules_are_sound_and_their_own_tests_pass() {
    let (rules, tests) = (of_deploy("rules"), of_deploy("tests"));
    promtool(&root(), &with_files(&["check", "rules"], &rules), "").unwrap();
    promtool(&root(), &with_files(&["test", "rules"], &tests), "").unwrap();
}

#[test]
fn every_alert_is_seen_firing_and_seen_silent() {
    let tests: String = of_deploy("tests").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let cases: Vec<(String, bool)> = tests
        .split("      - expr: count(ALERTS{alertname=\"")
        .skip(1)
        .map(|case| {
            let (alert, rest) = case.split_once("\", alertstate=\"firing\"})\n").unwrap();
            (alert.to_owned(), !rest.lines().nth(1).unwrap().ends_with("exp_samples: []"))
        })
        .collect();
    let alerts = alerts();
    for alert in alerts.keys() {
        assert!(cases.contains(&(alert.clone(), true)), "no rule test sees {alert} firing");
        let is_seen_silent = cases.contains(&(alert.clone(), false));
        assert!(is_seen_silent != ALWAYS.contains(&alert.as_str()), "{alert}: seen silent: {is_seen_silent}");
    }
    assert!(cases.iter().all(|(alert, _)| alerts.contains_key(alert)), "a rule test is of no alert");
}

#[test]
fn every_alert_has_a_severity_and_a_page_that_says_what_to_do_and_every_page_an_alert() {
    let (alerts, index) = (alerts(), fs::read_to_string(root().join("RUNBOOK.md")).unwrap());
    for (name, alert) in &alerts {
        let severity = alert.labels.get("severity").map_or("", String::as_str);
        let wakes = matches!(severity, "page" | "ticket");
        assert!(if ALWAYS.contains(&name.as_str()) { severity == "none" } else { wakes }, "{name}: {severity}");
        assert!(alert.for_s <= 60.0, "{name} waits for more than a minute");
        let text = |annotation: &str| alert.annotations.get(annotation).cloned().unwrap_or_default();
        assert!(!text("summary").is_empty() && text("description").len() > 20, "{name}");
        let page = format!("docs/runbook/{name}.md");
        assert_eq!(text("runbook_url"), format!("{PAGES}{page}"));
        assert!(index.contains(&format!("| [{name}]({page}) | {severity} |")), "RUNBOOK.md does not have {name} as a {severity}");
        let page = fs::read_to_string(root().join(&page)).unwrap();
        let titles: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        let wanted = [&*format!("# {name}"), "## What it means", "## First five minutes", "## Queries", "## Recover", "## Verify"];
        assert_eq!(titles, wanted, "{name}");
    }
    let pages = fs::read_dir(root().join("docs/runbook")).unwrap();
    let pages: BTreeSet<String> =
        pages.map(|page| page.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(pages, alerts.keys().cloned().collect(), "pages and alerts");
    assert_eq!(index.matches("](docs/runbook/").count(), alerts.len(), "RUNBOOK.md lists each once");
}

#[test]
fn every_alert_reaches_whom_its_severity_says() {
    let config = root().join("deploy/alertmanager/alertmanager.yml");
    let config = config.to_str().unwrap();
    amtool(&root(), &["check-config", config]).unwrap();
    let file = format!("--config.file={config}");
    for (name, alert) in alerts() {
        let severity = &alert.labels["severity"];
        // The dead man's switch, and nobody who could get used to it.
        let receiver = if ALWAYS.contains(&name.as_str()) { "watchdog" } else { severity };
        let (verify, labels) =
            (format!("--verify.receivers={receiver}"), [format!("alertname={name}"), format!("severity={severity}")]);
        amtool(&root(), &["config", "routes", "test", &file, &verify, &labels[0], &labels[1]]).unwrap();
    }
    // Whoever an inhibition names is an alert.
    let text = fs::read_to_string(config).unwrap();
    let alerts = alerts();
    let quoted = text.split('"').skip(1).step_by(2).filter(|word| word.starts_with("Knurl") && *word != "Knurl.+");
    for word in quoted.flat_map(spelled_out) {
        assert!(
            alerts.contains_key(&word)
                || alerts.keys().any(|name| word.strip_suffix(".+").is_some_and(|start| name.starts_with(start))),
            "{word}"
        );
    }
}

/// What fires in [`a_cause_mutes_its_consequences_and_nobody_elses`]: name, job, instance, other labels, and whether it has to be muted.
const FIRING: [(&str, &str, &str, &str, bool); 16] = [
    ("KnurlDown", "knurl", "a", "", false),
    ("KnurlBacklogGrowing", "knurl", "a", "", true),
    ("KnurlBacklogGrowing", "knurl", "b", "", false),
    ("KnurlDatabaseDown", "knurl", "c", "", false),
    ("KnurlCanaryMissing", "knurl", "c", "", true),
    ("KnurlClicksDropped", "knurl", "c", "", false),
    ("KnurlRedisDown", "knurl", "d", "dependency: redis", false),
    ("KnurlDependencyFlapping", "knurl", "d", "dependency: redis", true),
    ("KnurlDependencyFlapping", "knurl", "d", "dependency: database", false),
    // One node is without its database, and one of them has left: the job's errors may be of something else.
    ("KnurlDown", "knurl", "", "", false),
    ("KnurlApiErrorsFast", "knurl", "", "", false),
    ("KnurlRedirectErrorsFast", "knurl", "", "", false),
    // Every node is.
    ("KnurlDatabaseDown", "all", "", "", false),
    ("KnurlDatabaseDown", "all", "e", "", true),
    ("KnurlApiErrorsFast", "all", "", "", true),
    ("KnurlRedirectErrorsFast", "all", "", "", false),
];

#[test]
fn a_cause_mutes_its_consequences_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let rules = FIRING.map(|(name, job, instance, more, _)| {
        let labels = format!("severity: page, job: {job}, instance: \"{instance}\", {more}");
        format!("      - {{ alert: {name}, expr: vector(1), labels: {{ {labels} }} }}\n")
    });
    let file = dir.path().join("rules.yml");
    fs::write(&file, format!("groups:\n  - name: firing\n    rules:\n{}", rules.concat())).unwrap();
    let config = fs::read_to_string(root().join("deploy/alertmanager/alertmanager.yml")).unwrap();
    let alertmanager = Alertmanager::start(&config).unwrap();
    let every = Duration::from_millis(200);
    let setup = PrometheusSetup {
        rules: vec![file],
        alertmanager: Some(alertmanager.addr()),
        evaluate_every: every,
        ..PrometheusSetup::default()
    };
    let prometheus = Prometheus::start(&setup).unwrap();
    let begun = Instant::now();
    let muted = |name: &str, job: &str, instance: &str, more: &str| {
        let alerts = alertmanager.alerts().unwrap();
        let dependency = more.strip_prefix("dependency: ");
        let is_it = |labels: &BTreeMap<String, String>| {
            let of = |label: &str| labels.get(label).map(String::as_str);
            (of("job"), of("instance").unwrap_or_default(), of("dependency")) == (Some(job), instance, dependency)
        };
        alerts.iter().find(|alert| alert.name == name && is_it(&alert.labels)).map(|alert| alert.inhibited)
    };
    while FIRING.iter().any(|(name, job, instance, more, is_muted)| muted(name, job, instance, more) != Some(*is_muted)) {
        assert!(begun.elapsed() < LONG, "{:#?}", alertmanager.alerts().unwrap());
        thread::sleep(every);
    }
    let firing = prometheus.firing().unwrap();
    assert_eq!(firing.len(), FIRING.len());
    assert!(firing.iter().all(|alert| alert.active_at_s > 1.7e9 && alert.value == 1.0), "{firing:?}");
    let fired = prometheus.query_range("ALERTS", firing[0].active_at_s, firing[0].active_at_s + 60.0, 1.0).unwrap();
    assert!(fired.iter().any(|series| series.labels["alertname"] == "KnurlDown" && !series.points.is_empty()));
}

/// `A(B|C)` -> `AB`, `AC`.
fn spelled_out(pattern: &str) -> Vec<String> {
    match pattern.strip_suffix(')').and_then(|pattern| pattern.split_once('(')) {
        Some((start, ends)) => ends.split('|').map(|end| format!("{start}{end}")).collect(),
        None => vec![pattern.to_owned()],
    }
}

/// Names of metrics in an expression.
fn metrics(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
    words.filter(|word| ["knurl", "process_"].iter().any(|start| word.starts_with(start)) && *word != "knurl").collect()
}

/// What a node exposes, in the older format.
fn exposition(addr: std::net::SocketAddr) -> String {
    String::from_utf8(ask(addr, &Request::get("/metrics"), 200).unwrap().body.unwrap()).unwrap()
}

fn exposes(exposition: &str, name: &str) -> bool {
    let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
    [Some(name), histogram].into_iter().flatten().any(|family| exposition.contains(&format!("# TYPE {family} ")))
}

#[test]
fn a_node_on_either_database_exposes_what_alerts_ask_for() {
    let binary = find_binary().unwrap();
    let mut on_postgres = FleetSpec::new(binary.clone(), 1, Backing::Postgres(PostgresSetup::default()));
    on_postgres.redis = true;
    let rules = rules();
    let recorded: BTreeSet<&str> = rules.iter().filter(|rule| !rule.alerts).map(|rule| rule.name.as_str()).collect();
    for spec in [on_postgres, FleetSpec::new(binary, 1, Backing::OwnSqlite)] {
        let fleet = Fleet::start(&spec).unwrap();
        let text = exposition(fleet.nodes[0].metrics_addr());
        for rule in &rules {
            for name in metrics(&rule.query) {
                assert!(recorded.contains(name) || exposes(&text, name), "{} asks for {name}, which nobody exposes", rule.name);
            }
        }
        fleet.stop().unwrap();
    }
}

#[test]
fn every_query_of_every_page_is_one_that_prometheus_understands() {
    let mut setup = PrometheusSetup { rules: of_deploy("rules"), ..PrometheusSetup::default() };
    setup.targets.push(Target::of("knurl", ([127, 0, 0, 1], 9).into()));
    let prometheus = Prometheus::start(&setup).unwrap();
    let mut asked = 0;
    for name in alerts().keys() {
        let page = fs::read_to_string(root().join(format!("docs/runbook/{name}.md"))).unwrap();
        let queries = page.split("```promql\n").nth(1).unwrap().split("```").next().unwrap();
        for query in queries.lines() {
            prometheus.query(query).unwrap_or_else(|error| panic!("{name}: {query}: {error}"));
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked}");
}
