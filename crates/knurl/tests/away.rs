//! PostgreSQL is away when a node starts, and comes back: the real server, stopped and started.
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

mod wire;

use std::{
    io::Read as _,
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use knurl_lab::{leash, servers::Postgres};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use wire::{Answer, LONG, process::Process};

const ADMIN: &str = "the-admin-key-of-this-test";

/// A node's directory and its database.
struct Node {
    dir: Arc<TempDir>,
    url: String,
    auth: &'static str,
    replica: &'static str,
}

impl Node {
    fn of(postgres: &Postgres, auth: &'static str) -> Self {
        Self { dir: Arc::new(tempfile::tempdir().unwrap()), url: postgres.url(), auth, replica: "on" }
    }

    fn variables(&self) -> [(&str, &str); 4] {
        let node = [("KNURL_AUTH", self.auth), ("KNURL_ADMIN_KEY", ADMIN)];
        [node[0], node[1], ("KNURL_DATABASE_URL", &self.url), ("KNURL_REPLICA", self.replica)]
    }

    fn serve(&self) -> Process {
        Process::start_in(Arc::clone(&self.dir), &self.variables())
    }

    /// A command on the same directory and database.
    fn knurl(&self, args: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_knurl"));
        let out = command.args(args).arg("--json").envs(self.variables()).env("KNURL_DATA_DIR", self.dir.path()).output().unwrap();
        serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{error}: {args:?}: {out:?}"))
    }
}

fn ask(node: &Process, method: &str, path: &str, key: Option<&str>, body: &str) -> Answer {
    let mut peer = node.connect();
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n{key}");
    peer.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    peer.answer().expect("an answer")
}

fn get(node: &Process, path: &str) -> Answer {
    ask(node, "GET", path, None, "")
}

/// Follows the link so often; every one is a click.
fn click(node: &Process, times: u64) -> u64 {
    for _ in 0..times {
        assert_eq!(get(node, "/hello").status, 302);
    }
    times
}

fn kill(node: Process) {
    node.signal(Signal::KILL);
    node.end();
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const HELLO: &str = r#"{"url":"https://example.com/","custom_code":"hello"}"#;

fn is_503_at_once(answer: &Answer) {
    answer.assert_problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

#[rstest]
fn what_was_answered_before_during_and_after_such_a_start_is_delivered_exactly_once(#[values("on", "off")] replica: &'static str) {
    let mut postgres = Postgres::start().unwrap();
    let node = Node { replica, ..Node::of(&postgres, "open") };
    let serving = node.serve();
    assert_eq!(ask(&serving, "POST", "/shorten", None, HELLO).status, 201);
    let mut answered = click(&serving, 25);
    let shown = |line: &str| get(&serving, "/metrics").body.lines().any(|shown| shown == line);
    if replica == "on" {
        eventually("the replica has the link", || shown("knurl_replica_complete 1.0") && shown("knurl_replica_links 1.0"));
    } else {
        // What a look finds changed is forgotten, and then remembered again.
        let looks = || {
            let shown = get(&serving, "/metrics").body;
            shown.lines().find_map(|line| line.strip_prefix("knurl_replica_looks_total ")?.parse::<f64>().ok()).unwrap()
        };
        let before = looks();
        eventually("the feed has looked", || looks() >= before + 2.0);
        answered += click(&serving, 1);
    }
    eventually("some are delivered", || node.knurl(&["audit"])["delivered"].as_u64() > Some(0));

    postgres.stop().unwrap();
    answered += click(&serving, 40);
    eventually("the outage is seen", || get(&serving, "/readyz").json()["status"] == "degraded");
    is_503_at_once(&ask(&serving, "POST", "/shorten", None, r#"{"url":"https://example.com/"}"#));
    kill(serving);

    // Twice, so that what the first of them leaves behind is met by the second.
    for _ in 0..2 {
        let serving = node.serve();
        for path in ["/health", "/livez", "/startupz"] {
            assert_eq!(get(&serving, path).status, 200, "{path}");
        }
        is_503_at_once(&ask(&serving, "POST", "/shorten", None, r#"{"url":"https://example.com/"}"#));
        if replica == "on" {
            answered += click(&serving, 30);
            assert_eq!(get(&serving, "/readyz").json()["status"], "degraded");
        } else {
            assert_eq!(get(&serving, "/hello").status, 503, "never 404: it could not look");
            get(&serving, "/readyz").assert_problem(503, "not_ready");
        }
        kill(serving);
    }

    let serving = node.serve();
    if replica == "on" {
        answered += click(&serving, 20);
    }
    postgres.start_again().unwrap();
    eventually("redirects are back", || {
        let found = get(&serving, "/hello").status == 302;
        answered += u64::from(found);
        found
    });
    answered += click(&serving, 10);
    eventually("all is delivered", || node.knurl(&["audit"])["delivered"].as_u64() >= Some(answered));
    let audit = node.knurl(&["audit"]);
    for (figure, wanted) in [("answered", answered), ("delivered", answered), ("rolled_up", answered), ("backlog", 0), ("lost", 0)]
    {
        assert_eq!(audit[figure].as_u64(), Some(wanted), "{figure}: {audit}");
    }
    assert_eq!(audit["verdict"], "holds", "{audit}");
    assert_eq!(ask(&serving, "POST", "/shorten", None, r#"{"url":"https://example.com/"}"#).status, 201);
    eventually("the node is as ever", || get(&serving, "/readyz").json()["status"] == "ok");
    serving.signal(Signal::TERM);
    assert_eq!(serving.end().code(), Some(0));
    assert_eq!(node.knurl(&["link", "stats", "hello"])["total"].as_u64(), Some(answered));
}

fn list(node: &Process, key: &str) -> Answer {
    ask(node, "GET", "/urls?per_page=1", Some(key), "")
}

#[test]
fn who_was_admitted_is_known_without_the_database_and_a_revoked_key_stops_when_it_is_back() {
    let mut postgres = Postgres::start().unwrap();
    let node = Node::of(&postgres, "required");
    let created = node.knurl(&["key", "create", "ci"]);
    let key = created["key"].as_str().unwrap();
    let serving = node.serve();
    assert_eq!((list(&serving, key).status, list(&serving, ADMIN).status), (200, 200));
    kill(serving);
    let kept = node.dir.path().join("keys");
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    node.knurl(&["key", "revoke", &created["id"].to_string()]);

    let knew = std::fs::read(&kept).unwrap();
    postgres.stop().unwrap();
    let serving = node.serve();
    is_503_at_once(&list(&serving, key));
    is_503_at_once(&list(&serving, ADMIN));
    assert_eq!(list(&serving, "a-key-that-never-was").status, 401);
    postgres.start_again().unwrap();
    eventually("the revoked key stops", || list(&serving, key).status == 401);
    eventually("the other one goes on", || list(&serving, ADMIN).status == 200);
    // In force at once, and kept a moment later.
    eventually("that is kept", || std::fs::read(&kept).unwrap() != knew);
    kill(serving);

    postgres.stop().unwrap();
    let serving = node.serve();
    assert_eq!(list(&serving, key).status, 401, "and is not brought back");
    kill(serving);
}

#[test]
fn at_the_very_first_start_no_key_is_called_wrong_before_the_database_was_asked() {
    let mut postgres = Postgres::start().unwrap();
    let node = Node::of(&postgres, "required");
    postgres.stop().unwrap();
    let serving = node.serve();
    is_503_at_once(&list(&serving, ADMIN));
    assert_eq!(get(&serving, "/urls").status, 401, "without a key there is nothing to judge");
    assert_eq!(get(&serving, "/startupz").status, 200);
    // Nothing is known that could be redirected: a balancer is better off with another node.
    get(&serving, "/readyz").assert_problem(503, "not_ready");
    postgres.start_again().unwrap();
    eventually("the admin key is registered and admitted", || list(&serving, ADMIN).status == 200);
    eventually("the node is ready", || get(&serving, "/readyz").status == 200);
    assert_eq!(list(&serving, "a-key-that-never-was").status, 401);
    kill(serving);
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_holds_up_no_start() {
    let postgres = Postgres::start().unwrap();
    let node = Node::of(&postgres, "open");
    kill(node.serve());
    postgres.pause();
    let serving = node.serve();
    is_503_at_once(&ask(&serving, "POST", "/shorten", None, HELLO));
    postgres.resume();
    eventually("creates are back", || ask(&serving, "POST", "/shorten", None, HELLO).status == 201);
    click(&serving, 3);
    eventually("clicks are delivered", || node.knurl(&["audit"])["delivered"].as_u64() == Some(3));
    kill(serving);
}

/// With one link, `/hello`, and a replica that has it.
fn has_served(node: &Node) {
    let serving = node.serve();
    assert_eq!(ask(&serving, "POST", "/shorten", None, HELLO).status, 201);
    let shown = |line: &str| get(&serving, "/metrics").body.lines().any(|shown| shown == line);
    eventually("the replica has the link", || shown("knurl_replica_complete 1.0") && shown("knurl_replica_links 1.0"));
    kill(serving);
}

#[test]
fn a_database_that_another_node_is_migrating_holds_up_no_start() {
    let postgres = Postgres::start().unwrap();
    let node = Node::of(&postgres, "open");
    has_served(&node);
    // As if this binary were newer than the schema, and another node of its kind were at the first step.
    let version: u32 = postgres.sql("select knurl_schema_version()").unwrap().parse().unwrap();
    let version_is = |version: u32| {
        let body = format!("returns bigint language sql immutable as 'select {version}'");
        postgres.sql(&format!("create or replace function knurl_schema_version() {body}")).unwrap()
    };
    version_is(version - 1);
    const HOLDERS: &str = "from pg_locks where locktype = 'advisory' and classid = 1802400364 and granted";
    std::thread::scope(|scope| {
        scope.spawn(|| postgres.sql("select pg_advisory_lock(1802400364, 1), pg_sleep(600)"));
        eventually("the lock is held", || postgres.sql(&format!("select count(*) {HOLDERS}")).unwrap() == "1");
        let began = Instant::now();
        let serving = node.serve();
        assert!(began.elapsed() < LONG, "it waited for the lock");
        assert_eq!(get(&serving, "/hello").status, 302);
        assert_eq!(get(&serving, "/readyz").json()["status"], "degraded");
        is_503_at_once(&ask(&serving, "POST", "/shorten", None, r#"{"url":"https://example.com/"}"#));
        version_is(version);
        postgres.sql(&format!("select pg_terminate_backend(pid) {HOLDERS}")).unwrap();
        eventually("creates are back", || {
            ask(&serving, "POST", "/shorten", None, r#"{"url":"https://example.com/"}"#).status == 201
        });
        kill(serving);
    });
}

#[test]
fn a_start_that_waits_for_a_database_hears_a_stop() {
    let postgres = Postgres::start().unwrap();
    let node = Node::of(&postgres, "required");
    let serving = node.serve();
    serving.signal(Signal::TERM);
    assert!(serving.end().success());
    const HOLDER: &str = "from pg_stat_activity where query like 'lock table keys%' and pid <> pg_backend_pid()";
    const WAITING: &str = "select count(*) from pg_stat_activity where application_name = 'knurl' and wait_event_type = 'Lock'";
    std::thread::scope(|scope| {
        scope.spawn(|| postgres.sql("lock table keys in access exclusive mode; select pg_sleep(600)"));
        eventually("the table is locked", || {
            let granted =
                "select count(*) from pg_locks where relation = 'keys'::regclass and mode = 'AccessExclusiveLock' and granted";
            postgres.sql(granted).unwrap() == "1"
        });
        let mut command = Process::command(node.dir.path());
        command.stderr(std::process::Stdio::null()).envs(node.variables());
        let mut starting = leash::spawn(command).unwrap();
        eventually("it waits", || postgres.sql(WAITING).unwrap() != "0");
        kill_process(Pid::from_child(&starting), Signal::TERM).unwrap();
        let mut said = String::new();
        starting.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((starting.wait().unwrap().code(), said.as_str()), (Some(0), ""), "it never was ready");
        postgres.sql(&format!("select pg_terminate_backend(pid) {HOLDER}")).unwrap();
    });
    // It was no run, and so no unclean end of one.
    let serving = node.serve();
    let shown = ask(&serving, "GET", "/metrics", Some(ADMIN), "").body;
    assert!(shown.lines().any(|line| line == "knurl_last_run_unclean 0.0"), "{shown}");
    kill(serving);
}

#[rstest]
#[case::a_wrong_password("loopback-only", "s3cret", "28P01")]
#[case::no_such_database("/knurl", "/nothing", "3D000")]
fn a_database_that_refuses_us_ends_a_start_that_has_nothing_to_serve(#[case] right: &str, #[case] wrong: &str, #[case] code: &str) {
    let postgres = Postgres::start().unwrap();
    let refused = |mut node: Node| {
        let at = node.url.rfind(right).unwrap();
        node.url.replace_range(at..at + right.len(), wrong);
        node
    };
    let new = refused(Node::of(&postgres, "open"));
    assert!(new.url.contains(wrong), "{}", new.url);
    let out = Process::command(new.dir.path()).envs(new.variables()).output().unwrap();
    let words = String::from_utf8(out.stderr).unwrap();
    assert_eq!((out.status.code(), out.stdout.len()), (Some(78), 0), "{words}");
    let last = words.lines().last().unwrap_or_default();
    assert!(last.starts_with("knurl: the database refuses us") && last.contains(code), "{words}");
    assert!(!words.contains("s3cret"), "no password: {words}");

    let known = Node::of(&postgres, "open");
    has_served(&known);
    let known = refused(known);
    let serving = known.serve();
    assert_eq!(get(&serving, "/hello").status, 302);
    assert_eq!(get(&serving, "/readyz").json()["status"], "degraded");
    is_503_at_once(&ask(&serving, "POST", "/shorten", None, HELLO));
    kill(serving);
}
