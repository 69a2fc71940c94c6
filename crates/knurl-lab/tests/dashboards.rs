//! The dashboards as Grafana is given them: every expression of every panel and annotation is asked of a live Prometheus that scrapes a
//! fleet under a little load, and has to have something to show.
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
use serde_json::Value;

/// Unless something hangs.
const LONG: Duration = Duration::from_secs(90);
const GRID_WIDTH: u64 = 24;

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

/// Where it stands, and what it asks, with Grafana's variables filled in.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, dashboard) in dashboards() {
        for panel in list(&dashboard["panels"]) {
            for target in list(&panel["targets"]) {
                found.push((format!("{name}: {}", panel["title"]), target["expr"].as_str().unwrap().to_owned()));
            }
        }
        // Of drills there is something only during one: tests/drills.rs.
        for annotation in list(&dashboard["annotations"]["list"]).iter().filter(|of| of["name"] != "Drills") {
            found.extend(annotation["expr"].as_str().map(|expr| (format!("{name}: {}", annotation["name"]), expr.to_owned())));
        }
    }
    let filled = |text: String| text.replace("$__rate_interval", "15s").replace("$node", ".+");
    found.into_iter().map(|(at, expr)| (at, filled(expr))).collect()
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
            assert!(panel["type"] == "row" || (asks && panel["datasource"]["uid"] == "prometheus"), "{name}: {}", panel["title"]);
        }
        let drills = list(&dashboard["annotations"]["list"]).iter().any(|annotation| annotation["name"] == "Drills");
        assert!(drills, "{name} shows drills");
    }
    let source = fs::read_to_string(deploy().join("grafana/provisioning/datasources/prometheus.yml")).unwrap();
    assert!(source.contains("uid: prometheus\n"));
}

/// Links are made, followed, missed and edited until told to stop.
fn load(front: SocketAddr, nodes: &[SocketAddr], stop: &AtomicBool) {
    let made = ask(front, &Request::post("/shorten", r#"{"url":"https://example.com/"}"#), 201).unwrap().json().unwrap();
    let link = format!("/{}", made["short_code"].as_str().unwrap());
    let edit = format!("/urls/{}", made["id"]);
    let mut nodes: Vec<Connection> = nodes.iter().map(|node| Connection::open(*node).unwrap()).collect();
    while !stop.load(Relaxed) {
        for node in &mut nodes {
            assert_eq!(node.ask(&Request::get(&link)).unwrap().status, 302);
            assert_eq!(node.ask(&Request::get("/nobody-made-this")).unwrap().status, 404);
        }
        assert_eq!(nodes[0].ask(&Request::post("/shorten", r#"{"url":"https://example.com/"}"#)).unwrap().status, 201);
        assert_eq!(nodes[1].ask(&Request::of("PUT", &edit, Some(r#"{"title":"again"}"#))).unwrap().status, 200);
        thread::sleep(Duration::from_millis(20));
    }
}

/// What it lacks; `None`: nothing.
fn shown(prometheus: &Prometheus, expression: &str) -> Option<String> {
    match prometheus.query(expression) {
        Err(error) => Some(error.to_string()),
        Ok(samples) if samples.iter().any(|sample| !sample.value.is_nan()) => None,
        Ok(samples) => Some(format!("no data ({} samples)", samples.len())),
    }
}

#[test]
fn every_panel_has_something_to_show_of_a_fleet_under_load() {
    let mut spec = FleetSpec::new(find_binary().unwrap(), 3, Backing::Postgres(PostgresSetup::default()));
    spec.redis = true;
    // Open nodes have none unless they are told.
    spec.env.push(("KNURL_CLICKS_CANARY_INTERVAL_S".to_owned(), "1".to_owned()));
    let fleet = Fleet::start(&spec).unwrap();
    let every = Duration::from_secs(1);
    let prometheus = Prometheus::start(&PrometheusSetup {
        rules: vec![deploy().join("prometheus/rules/*.yml")],
        targets: fleet.nodes.iter().map(|node| Target::of("knurl", node.metrics_addr())).collect(),
        scrape_every: every,
        evaluate_every: every,
        alertmanager: None,
    })
    .unwrap();
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    let (front, nodes) = (fleet.addr(), fleet.nodes.iter().map(Node::addr).collect::<Vec<_>>());
    let lacking = thread::scope(|scope| {
        scope.spawn(|| load(front, &nodes, &stop));
        let mut lacking = expressions();
        assert!(lacking.len() > 80, "{}", lacking.len());
        while !lacking.is_empty() && begun.elapsed() < LONG {
            thread::sleep(every);
            lacking.retain(|(_, expression)| shown(&prometheus, expression).is_some());
        }
        stop.store(true, Relaxed);
        lacking
    });
    let found: Vec<String> =
        lacking.iter().map(|(at, expr)| format!("{at}: {expr}: {}", shown(&prometheus, expr).unwrap_or_default())).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let seen = prometheus.query("min(knurl_canary_delay_seconds_count)").unwrap();
    assert!(seen.iter().all(|sample| sample.value >= 1.0), "every node's canary has seen its click: {seen:?}");
    drop(prometheus);
    fleet.stop().unwrap();
}
