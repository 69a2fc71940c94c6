//! The dashboards as Grafana is given them: every expression of every panel and annotation is asked of a live Prometheus that scrapes nodes
//! under a little load, a fleet on PostgreSQL and Redis and one node on SQLite alone, and has to have something to show, or to say why not.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use knurl_lab::{
    fleet::{Backing, Fleet, FleetSpec, Node, ask},
    http::{Connection, Request},
    process::find_binary,
    servers::{PostgresSetup, Prometheus, PrometheusSetup, Target},
};
use serde_json::{Value, json};

/// Unless something hangs.
const LONG: Duration = Duration::from_secs(90);
const GRID_WIDTH: u64 = 24;
/// Since 1970: nobody runs this later.
const FAR_S: f64 = 4e9;
/// Behind what has no labels, and nothing at all where there is nothing to count: whoever asks for something to show asks for the rest.
const OR_ZERO: &str = " or vector(0)";
/// What nothing is to be seen of while all is well: alerts, restarts, drills.
const OF_HARM: [&str; 3] = ["ALERTS{", "resets(knurl_uptime_seconds", "lab_drill_phase"];
/// What only a node on SQLite has.
const OF_SQLITE: [&str; 1] = ["knurl_backup_age_seconds"];
/// What a node on SQLite without Redis does not have.
const OF_A_FLEET: [&str; 4] = ["knurl_redis_", "knurl_replica_links", "knurl_replica_age_seconds", "knurl_replica_complete"];
/// What no node has that is told so.
const OF_THE_CANARY: [&str; 1] = ["knurl_canary_"];
/// Histograms that have exemplars.
const WITH_EXEMPLARS: [&str; 2] = ["knurl_redirect_duration_seconds_bucket", "http_server_request_duration_seconds_bucket"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").canonicalize().unwrap()
}

/// File name and contents.
fn dashboards() -> Vec<(String, Value)> {
    let entries = fs::read_dir(deploy().join("grafana/dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
    };
    entries.filter(|path| path.extension().is_some_and(|of| of == "json")).map(read).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// One thing that is asked of Prometheus.
struct Asked {
    dashboard: String,
    title: String,
    expr: String,
    /// Besides: which traces fell there.
    with_exemplars: bool,
}

fn is_of(expr: &str, any: &[&str]) -> bool {
    any.iter().any(|of| expr.contains(of))
}

/// As it is written.
fn asked() -> Vec<Asked> {
    let mut found = Vec::new();
    for (name, dashboard) in dashboards() {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut take = |title: &Value, of: &Value| {
            let with_exemplars = of["exemplar"] == true;
            found.push(Asked { dashboard: name.clone(), title: text(title), expr: text(&of["expr"]), with_exemplars });
        };
        for panel in list(&dashboard["panels"]) {
            list(&panel["targets"]).iter().for_each(|target| take(&panel["title"], target));
        }
        list(&dashboard["annotations"]["list"]).iter().for_each(|annotation| take(&annotation["name"], annotation));
    }
    found
}

/// With Grafana's variables filled in, and only what there is to be seen.
fn filled(asked: Asked) -> Asked {
    let expr = asked.expr.replace("$__rate_interval", "15s").replace("$node", ".+").replace("$job", "knurl").replace(OR_ZERO, "");
    Asked { expr, ..asked }
}

#[test]
fn every_dashboard_is_called_what_its_file_is_and_no_panel_lies_on_another() {
    let dashboards = dashboards();
    assert!(dashboards.len() >= 5, "overview, redirects, clicks, dependencies, runtime");
    for (name, dashboard) in &dashboards {
        assert_eq!(dashboard["uid"].as_str(), Some(name.as_str()));
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in list(&dashboard["panels"]) {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {}", panel["id"]);
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= GRID_WIDTH, "{name}: {}", panel["title"]);
            for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name}: {} lies on another one", panel["title"]);
            }
            let asks = list(&panel["targets"]).iter().all(|target| !target["legendFormat"].as_str().unwrap().is_empty());
            assert!(panel["type"] == "row" || asks, "{name}: {}", panel["title"]);
        }
        let marks: Vec<&str> = list(&dashboard["annotations"]["list"]).iter().filter_map(|of| of["name"].as_str()).collect();
        assert_eq!(marks, ["Alerts", "Restarts", "Drills"], "{name}");
    }
}

/// Where its figures come from is chosen above the panels, and nothing else is shown than was chosen.
#[test]
fn every_panel_asks_the_prometheus_the_job_and_the_nodes_that_were_chosen() {
    let chosen = json!({ "type": "prometheus", "uid": "${datasource}" });
    for (name, dashboard) in dashboards() {
        let variables = list(&dashboard["templating"]["list"]);
        assert_eq!(variables.iter().map(|of| of["name"].as_str().unwrap()).collect::<Vec<_>>(), ["datasource", "job", "node"]);
        assert_eq!((&variables[0]["type"], &variables[0]["query"]), (&json!("datasource"), &json!("prometheus")), "{name}");
        assert_eq!(variables[1]["current"]["value"], "knurl", "{name}: the job that the rules speak of");
        let panels = list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row");
        let targets = panels.clone().flat_map(|panel| list(&panel["targets"]));
        let others = variables[1..].iter().chain(list(&dashboard["annotations"]["list"]));
        for asks in panels.chain(targets).chain(others) {
            assert_eq!(asks["datasource"], chosen, "{name}: {asks}");
        }
    }
    // Alerts are also of what is scraped beside the nodes, whose job is one of these.
    let scraped = fs::read_to_string(deploy().join("compose/prometheus.yml")).unwrap();
    let mut jobs: Vec<&str> = scraped.lines().filter_map(|line| line.trim().strip_prefix("- job_name: ")).collect();
    jobs.retain(|job| *job != "knurl");
    jobs.sort_unstable();
    let beside = format!(r#"job=~"$job|{}""#, jobs.join("|"));
    for Asked { dashboard, title, expr, .. } in asked().into_iter().filter(|asked| asked.title != "Drills") {
        let selected = expr.matches(r#"job="$job""#).count() + expr.matches(&beside).count();
        let metrics = expr.matches("knurl_").count() + expr.matches("knurl:").count() + expr.matches("process_").count();
        assert!(selected >= metrics.max(1), "{dashboard}: {title}: {expr}");
        let is_of_no_node = expr.contains("knurl:") || expr.contains("ALERTS{");
        assert!(is_of_no_node || expr.matches(r#"instance=~"$node""#).count() == selected, "{dashboard}: {title}: {expr}");
        // Beside series with labels it would be a line without a name.
        assert!(!expr.contains(OR_ZERO) || title == "Alerts firing", "{dashboard}: {title}: {expr}");
    }
    let source = fs::read_to_string(deploy().join("grafana/provisioning/datasources/prometheus.yml")).unwrap();
    let before = dashboards().iter().all(|(_, dashboard)| dashboard["templating"]["list"][0]["current"]["value"] == "prometheus");
    assert!(before && source.contains("uid: prometheus\n"), "the one that is chosen before anybody chooses");
}

fn unit_of(expr: &str) -> &'static [&'static str] {
    let ends = |end: &str| expr.split(['{', '(', ' ']).any(|word| word.ends_with(end));
    match () {
        () if expr.contains("rate(process_cpu_seconds_total") || expr.contains(" / ") || expr.contains("_ratio") => {
            &["percentunit"]
        }
        () if expr.starts_with("histogram_quantile(") => &["s"],
        () if expr.contains("rate(") => &["reqps", "cps"],
        () if ends("_seconds") || ends("_seconds_total") => &["s"],
        () if ends("_bytes") => &["decbytes"],
        () => &["short", "bool_yes_no"],
    }
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_when_to_worry() {
    for (name, dashboard) in dashboards() {
        for panel in list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row") {
            let at = format!("{name}: {}", panel["title"]);
            let says = panel["description"].as_str().unwrap_or_default();
            assert!(says.len() > 40 && says.ends_with(['.', '?']), "{at}: {says}");
            let of = &panel["fieldConfig"];
            for target in list(&panel["targets"]) {
                let is_it =
                    |over: &&Value| over["matcher"]["id"] == "byFrameRefID" && over["matcher"]["options"] == target["refId"];
                let own = list(&of["overrides"]).iter().filter(is_it).flat_map(|over| list(&over["properties"]));
                let own = own.filter(|property| property["id"] == "unit").map(|property| &property["value"]).next();
                let (unit, expr) = (own.unwrap_or(&of["defaults"]["unit"]).as_str().unwrap(), target["expr"].as_str().unwrap());
                assert!(unit_of(expr).contains(&unit), "{at}: {unit} of {expr}");
            }
            let of_exemplars = |target: &&Value| WITH_EXEMPLARS.iter().any(|of| target["expr"].as_str().unwrap().contains(of));
            let mut latencies = list(&panel["targets"]).iter().filter(of_exemplars).peekable();
            assert!(latencies.peek().is_none() || latencies.any(|target| target["exemplar"] == true), "{at} shows no exemplars");
            let optional = [OF_SQLITE.as_slice(), &OF_A_FLEET, &OF_THE_CANARY].concat();
            let may_be_empty = list(&panel["targets"]).iter().all(|target| is_of(target["expr"].as_str().unwrap(), &optional));
            assert!(!may_be_empty || of["defaults"]["noValue"].is_string(), "{at} says nothing where there is nothing");
        }
    }
}

/// Links are made, followed, missed and edited until told to stop.
fn load(front: SocketAddr, nodes: &[SocketAddr], stop: &AtomicBool) {
    let made = ask(front, &Request::post("/shorten", r#"{"url":"https://example.com/"}"#), 201).unwrap().json().unwrap();
    let link = format!("/{}", made["short_code"].as_str().unwrap());
    let edit = format!("/urls/{}", made["id"]);
    let mut nodes: Vec<Connection> = nodes.iter().map(|node| Connection::open(*node).unwrap()).collect();
    let last = nodes.len() - 1;
    while !stop.load(Relaxed) {
        for node in &mut nodes {
            assert_eq!(node.ask(&Request::get(&link)).unwrap().status, 302);
            assert_eq!(node.ask(&Request::get("/nobody-made-this")).unwrap().status, 404);
        }
        assert_eq!(nodes[0].ask(&Request::post("/shorten", r#"{"url":"https://example.com/"}"#)).unwrap().status, 201);
        assert_eq!(nodes[last].ask(&Request::of("PUT", &edit, Some(r#"{"title":"again"}"#))).unwrap().status, 200);
        thread::sleep(Duration::from_millis(20));
    }
}

/// What it lacks; `None`: nothing.
fn lack(prometheus: &Prometheus, asked: &Asked) -> Option<String> {
    let words = match prometheus.query(&asked.expr) {
        Err(error) => error.to_string(),
        Ok(samples) if samples.iter().any(|sample| !sample.value.is_nan()) => {
            if !asked.with_exemplars
                || prometheus.exemplars(&asked.expr, 0.0, FAR_S).unwrap().iter().any(|of| of.contains_key("trace_id"))
            {
                return None;
            }
            "no exemplars".to_owned()
        }
        Ok(samples) => format!("no data ({} samples)", samples.len()),
    };
    Some(format!("{}: {}: {}: {words}", asked.dashboard, asked.title, asked.expr))
}

/// Everything is asked of nodes under load until all but `nothing_of` has something to show; that may have nothing, but is no error.
fn everything_is_shown(spec: &FleetSpec, nothing_of: &[&str]) {
    let fleet = Fleet::start(spec).unwrap();
    let every = Duration::from_secs(1);
    let prometheus = Prometheus::start(&PrometheusSetup {
        rules: vec![deploy().join("prometheus/rules/*.yml")],
        targets: fleet.nodes.iter().map(|node| Target::of("knurl", node.metrics_addr())).collect(),
        scrape_every: every,
        evaluate_every: every,
        ..PrometheusSetup::default()
    })
    .unwrap();
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    let (front, nodes) = (fleet.addr(), fleet.nodes.iter().map(Node::addr).collect::<Vec<_>>());
    let (empty, all): (Vec<Asked>, Vec<Asked>) = asked().into_iter().map(filled).partition(|asked| is_of(&asked.expr, nothing_of));
    assert!(all.len() > 70, "{}", all.len());
    let found: Vec<String> = thread::scope(|scope| {
        scope.spawn(|| load(front, &nodes, &stop));
        let mut lacking: Vec<&Asked> = all.iter().collect();
        while !lacking.is_empty() && begun.elapsed() < LONG {
            thread::sleep(every);
            lacking.retain(|asked| lack(&prometheus, asked).is_some());
        }
        let found = lacking.iter().filter_map(|asked| lack(&prometheus, asked)).collect();
        stop.store(true, Relaxed);
        found
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
    for asked in empty {
        let samples = prometheus.query(&asked.expr).unwrap();
        let is_harm = is_of(&asked.expr, &OF_HARM);
        assert!(is_harm || samples.is_empty(), "{}: {} has something to show: {samples:?}", asked.dashboard, asked.title);
    }
    let seen = prometheus.query("min(knurl_canary_delay_seconds_count)").unwrap();
    assert!(seen.iter().all(|sample| sample.value >= 1.0), "every node's canary has seen its click: {seen:?}");
    drop(prometheus);
    fleet.stop().unwrap();
}

fn of(nodes: usize, backing: Backing) -> FleetSpec {
    let mut spec = FleetSpec::new(find_binary().unwrap(), nodes, backing);
    // Open nodes have none unless they are told.
    spec.env.push(("KNURL_CLICKS_CANARY_INTERVAL_S".to_owned(), "1".to_owned()));
    // Everything is traced, for exemplars; that nobody takes the traces is another story.
    spec.env.push(("KNURL_TELEMETRY_SAMPLE_ONE_IN".to_owned(), "1".to_owned()));
    spec.env.push(("KNURL_TELEMETRY_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:9".to_owned()));
    spec
}

#[test]
fn every_panel_has_something_to_show_of_a_fleet_under_load() {
    let mut spec = of(3, Backing::Postgres(PostgresSetup::default()));
    spec.redis = true;
    everything_is_shown(&spec, &[OF_HARM.as_slice(), &OF_SQLITE].concat());
}

#[test]
fn every_panel_but_those_of_a_fleet_has_something_to_show_of_one_node_on_sqlite() {
    everything_is_shown(&of(1, Backing::OwnSqlite), &[OF_HARM.as_slice(), &OF_A_FLEET].concat());
}
