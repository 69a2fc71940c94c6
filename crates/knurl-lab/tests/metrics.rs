//! What a node exposes: as the tools want it, of one size whatever strangers send, and true of what has just happened to it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    cell::Cell,
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use knurl_lab::{
    dice::Dice,
    fleet::{Backing, Fleet, FleetSpec, Node, ask},
    http::{Connection, Request},
    leash,
    process::find_binary,
    servers::{PostgresSetup, promtool},
};

/// Unless something hangs.
const LONG: Duration = Duration::from_secs(60);

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn alone(dir: &Path, env: &[(&str, &str)]) -> Node {
    let env: Vec<(String, String)> = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Node::alone(&find_binary().unwrap(), dir, &env).unwrap()
}

/// In the older format.
fn exposition(addr: SocketAddr) -> String {
    String::from_utf8(ask(addr, &Request::get("/metrics"), 200).unwrap().body.unwrap()).unwrap()
}

const API: &str = "http_server_request_duration_seconds";

/// Of everything but the API, whose series are made when they are first needed.
fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#') && !line.starts_with(API)).count()
}

/// What the API's series are told apart by.
fn api_series(text: &str) -> BTreeSet<[String; 3]> {
    let counts = text.lines().filter_map(|line| line.strip_prefix(API)?.strip_prefix("_count{"));
    let value =
        |labels: &str, name: &str| labels.split_once(&format!("{name}=\"")).unwrap().1.split('"').next().unwrap().to_owned();
    let names = ["http_request_method", "http_route", "http_response_status_code"];
    counts.map(|labels| names.map(|name| value(labels, name))).collect()
}

#[test]
fn promtool_has_nothing_to_say_about_a_node_on_either_database() {
    let binary = find_binary().unwrap();
    let mut on_postgres = FleetSpec::new(binary.clone(), 1, Backing::Postgres(PostgresSetup::default()));
    on_postgres.redis = true;
    for spec in [on_postgres, FleetSpec::new(binary, 1, Backing::OwnSqlite)] {
        let fleet = Fleet::start(&spec).unwrap();
        promtool(fleet.dir(), &["check", "metrics"], &exposition(fleet.nodes[0].metrics_addr())).unwrap();
        fleet.stop().unwrap();
    }
}

const REQUESTS: usize = 100_000;
const AT_ONCE: usize = 100;
const STRANGERS: u64 = 4;
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW", "PROPFIND"];
/// What they can hit by accident.
const ROUTES: [&str; 7] = ["/users/{id}", "/urls/{id}", "/{short_code}", "/metrics", "/users", "/urls", "unknown"];
/// Of 8 methods, those routes, and what each of them may be told.
const API_SERIES_MAX: usize = 200;
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~/%{}";

fn strange(dice: &mut Dice) -> (&'static str, String) {
    let begin = dice.pick(&["/", "/urls/", "/api/v1/", "/users/", "/api/v1/urls/", "/metrics/"]);
    let length = dice.between(1, 40);
    (dice.pick(&METHODS), begin.chars().chain((0..length).map(|_| char::from(dice.pick(LETTERS)))).collect())
}

/// Sends its share; a connection that was closed for what came over it is opened anew.
fn be_a_stranger(addr: SocketAddr, number: u64) {
    let (mut dice, mut sent) = (Dice::new(7, &[number]), 0);
    while sent < REQUESTS / STRANGERS as usize {
        let mut connection = Connection::open(addr).unwrap();
        let asked: Vec<(&str, String)> = (0..AT_ONCE).map(|_| strange(&mut dice)).collect();
        let requests: Vec<Request<'_>> = asked.iter().map(|(method, path)| Request::of(method, path, None)).collect();
        let answered =
            connection.send(&requests).is_ok() && asked.iter().all(|(method, _)| connection.receive(*method == "HEAD").is_ok());
        sent += AT_ONCE;
        drop((answered, connection));
    }
}

#[test]
fn a_hundred_thousand_strange_requests_make_no_series_but_of_what_we_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = alone(dir.path(), &[]);
    let (addr, metrics) = (node.addr(), node.metrics_addr());
    let before = exposition(metrics);
    thread::scope(|scope| (0..STRANGERS).for_each(|number| drop(scope.spawn(move || be_a_stranger(addr, number)))));
    let counted: f64 = ["knurl_redirects_total{outcome=\"not_found\"}", "knurl_requests_malformed_total"]
        .iter()
        .map(|sample| node.metric(sample).unwrap())
        .sum();
    assert!(counted > 1_000.0, "they came in: {counted}");
    let after = exposition(metrics);
    assert_eq!(series(&after), series(&before));
    let api = api_series(&after);
    assert!(api.len() > 10, "they came in: {api:?}");
    assert!(api.len() < API_SERIES_MAX, "{api:?}");
    for [method, route, code] in &api {
        assert!(method == "_OTHER" || METHODS[..7].contains(&method.as_str()), "{method}");
        assert!(ROUTES.contains(&route.as_str()), "{route}");
        assert!(code.len() == 3 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
    }
    node.stop().unwrap();
}

#[test]
fn a_run_that_was_not_stopped_is_told_by_the_next_and_counted_by_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = alone(dir.path(), &[]);
    let shown = |node: &Node| ["knurl_last_run_unclean", "knurl_unclean_ends_total"].map(|name| node.metric(name).unwrap());
    assert_eq!(shown(&node), [0.0, 0.0]);
    node.kill().unwrap();
    node.start().unwrap();
    assert_eq!(shown(&node), [1.0, 1.0]);
    node.stop().unwrap();
    node.start().unwrap();
    assert_eq!(shown(&node), [0.0, 1.0]);
    node.stop().unwrap();
}

#[test]
fn a_node_shows_its_clock_and_what_is_left_of_its_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = alone(dir.path(), &[("KNURL_CLICKS_SEGMENT_BYTES", "65536"), ("KNURL_CLICKS_SEGMENTS_MAX", "64")]);
    let metric = |name: &str| node.metric(name).unwrap();
    until("the disk was looked at", || metric("knurl_data_dir_size_bytes") > 0.0);
    let free = metric("knurl_data_dir_free_bytes");
    assert!(free > 0.0 && free <= metric("knurl_data_dir_size_bytes"), "{free}");
    assert_eq!(metric("knurl_spool_bytes_max"), 64.0 * 65_536.0);
    assert_eq!(metric("knurl_ready"), 1.0);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let before = clock();
    let told = metric("knurl_clock_seconds");
    assert!((before - 0.001..=clock()).contains(&told), "{told}");
    node.stop().unwrap();
}

fn back_up(node: &Node, to: &Path) -> io::Result<Output> {
    let mut backup: Command = leash::command(find_binary().unwrap());
    backup.arg("backup").arg(to).env("KNURL_DATA_DIR", node.data_dir()).output()
}

#[test]
fn a_backup_that_failed_is_seen_until_one_is_made() {
    let (dir, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut node = alone(dir.path(), &[]);
    let failed = |node: &Node| node.metric("knurl_backup_last_failed").unwrap();
    assert_eq!(failed(&node), 0.0);
    assert!(exposition(node.metrics_addr()).contains("\nknurl_backup_age_seconds "));
    assert!(!back_up(&node, &backups.path().join("nowhere/knurl.db")).unwrap().status.success());
    assert_eq!(failed(&node), 1.0);
    // An old note, as a forgotten timer leaves it.
    fs::write(node.data_dir().join("backup.json"), r#"{"since_s":1,"succeeded_s":1000}"#).unwrap();
    assert!(node.metric("knurl_backup_age_seconds").unwrap() > 26.0 * 3_600.0);
    let made = back_up(&node, backups.path()).unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(failed(&node), 0.0);
    assert!(node.metric("knurl_backup_age_seconds").unwrap() < LONG.as_secs_f64());
    node.stop().unwrap();
}

#[test]
fn the_canary_sees_its_own_click_counted_and_says_where_it_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = alone(dir.path(), &[("KNURL_CLICKS_CANARY_INTERVAL_S", "1")]);
    let metric = |name: &str| node.metric(name).unwrap();
    until("two clicks are seen", || metric("knurl_canary_delay_seconds_count") >= 2.0);
    assert!(metric("knurl_clicks_answered_total") >= 2.0, "they were clicks like others");
    let links = ask(node.addr(), &Request::get("/urls"), 200).unwrap().json().unwrap();
    assert!(links[0]["short_code"].as_str().unwrap().starts_with("canary-"), "{links}");
    let failed = ["link", "click", "roll_up"].map(|step| format!("knurl_canary_failures_total{{step=\"{step}\"}}"));
    assert!(failed.iter().all(|step| metric(step) == 0.0));
    // Switched off by somebody: its click is answered 404.
    ask(node.addr(), &Request::of("PUT", &format!("/urls/{}", links[0]["id"]), Some(r#"{"is_active":false}"#)), 200).unwrap();
    until("it fails at the click", || metric(&failed[1]) >= 1.0);
    until("its age grows", || metric("knurl_canary_age_seconds") > 2.0);
    node.stop().unwrap();
    let quiet = tempfile::tempdir().unwrap();
    let mut open = alone(quiet.path(), &[]);
    assert_eq!(open.metric("knurl_canary_interval_seconds").unwrap(), 0.0, "an open node has none unless it is told");
    assert!(!exposition(open.metrics_addr()).contains("\nknurl_canary_age_seconds "));
    open.stop().unwrap();
}

/// PostgreSQL tells nobody of an edit.
const LOSE_NOTIFICATIONS: &str = "do $$ begin execute replace(pg_get_functiondef('knurl_links_changed'::regproc), \
                                  'perform pg_notify(''knurl_links'', code);', ''); end $$";

#[test]
fn edits_that_were_not_announced_are_counted_and_those_that_were_are_not() {
    let spec = FleetSpec::new(find_binary().unwrap(), 2, Backing::Postgres(PostgresSetup::default()));
    let fleet = Fleet::start(&spec).unwrap();
    let made = ask(fleet.nodes[0].addr(), &Request::post("/shorten", r#"{"url":"https://example.com/"}"#), 201).unwrap();
    let path = format!("/urls/{}", made.json().unwrap()["id"]);
    let edits = Cell::new(0);
    let edit = || {
        // Another one each time: what changes nothing is no edit.
        let body = format!(r#"{{"title":"{}"}}"#, edits.replace(edits.get() + 1));
        ask(fleet.nodes[0].addr(), &Request::of("PUT", &path, Some(&body)), 200).unwrap();
        thread::sleep(Duration::from_millis(200));
    };
    let unannounced = || fleet.nodes[1].metric("knurl_feed_unannounced_total").unwrap();
    until("the second node follows", || fleet.nodes[1].metric("knurl_replica_complete").unwrap() == 1.0);
    (0..20).for_each(|_| edit());
    assert_eq!(unannounced(), 0.0);
    fleet.postgres.as_ref().unwrap().sql(LOSE_NOTIFICATIONS).unwrap();
    until("three looks found what nobody had told", || {
        edit();
        unannounced() >= 3.0
    });
    fleet.stop().unwrap();
}
