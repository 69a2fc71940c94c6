//! Secrets and personal data, each a word that occurs nowhere else, sent through everything a node does and fails to do; then looked for in
//! everything it says of itself.

use std::{
    fs::{self, File},
    process::Stdio,
};

use knurl_lab::servers::{Collector, Postgres, Redis};
use rustix::process::Signal;

use super::*;

/// Never anywhere.
const ADMIN_KEY: &str = "canary-admin-key-000001";
const WRONG_KEY: &str = "canary-wrong-key-000002";
const DATABASE_PASSWORD: &str = "canary-database-password";
const REDIS_PASSWORD: &str = "canary-redis-password";
const IDEMPOTENCY_KEY: &str = "canary-idempotency-key";
const ADDRESS: &str = "203.0.113.77";
/// Kept with their link, user or click, and told nobody else.
const AGENT: &str = "CanaryAgent";
const REFERRER: &str = "canary-referrer.example";
const TARGET: &str = "canary-target";
const PERSON: &str = "canary-person";
const TITLE: &str = "canary-title";

const SECRETS: [&str; 6] = [ADMIN_KEY, WRONG_KEY, DATABASE_PASSWORD, REDIS_PASSWORD, IDEMPOTENCY_KEY, ADDRESS];
const PRIVATE: [&str; 5] = [AGENT, REFERRER, TARGET, PERSON, TITLE];

struct Driven<'a> {
    process: &'a Process,
    /// Bodies of errors.
    refused: String,
}

impl Driven<'_> {
    /// With everything that a client may say of itself.
    fn ask(&mut self, request_line: &str, key: &str, more: &str, body: &str) -> Answer {
        let answer = ask(
            self.process,
            &format!(
                "{request_line} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\nuser-agent: {AGENT}/1\r\nreferer: https://{REFERRER}/x\r\n\
                 x-forwarded-for: {ADDRESS}\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
                 content-length: {}\r\n{more}\r\n{body}",
                body.len()
            ),
        );
        if answer.status >= 400 {
            self.refused.push_str(&answer.head);
            self.refused.push_str(&answer.body);
        }
        answer
    }

    fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.ask(&format!("POST {path}"), ADMIN_KEY, "content-type: application/json\r\n", &body.to_string())
    }

    /// Every kind of request; what cannot be done is refused.
    fn everything(&mut self) {
        let json = "content-type: application/json\r\n";
        let target = format!("https://example.com/{TARGET}?token={TARGET}");
        let link = serde_json::json!({ "url": target, "custom_code": "abc", "title": TITLE });
        self.post("/shorten", &link);
        self.post("/shorten", &link);
        self.post("/shorten", &serde_json::json!({ "url": format!("javascript:{TARGET}") }));
        self.post("/urls", &serde_json::json!({ "user_id": 99, "original_url": target, "title": TITLE }));
        self.post("/urls/bulk", &serde_json::json!({ "urls": [{ "original_url": target }, { "original_url": TARGET }] }));
        let person = serde_json::json!({ "username": PERSON, "email": format!("{PERSON}@example.com") });
        self.post("/users", &person);
        self.post("/users", &person);
        self.post("/users", &serde_json::json!({ "username": 7, "email": PERSON }));
        self.post("/events", &serde_json::json!({ "url_id": 1, "event_type": "seen", "details": { "by": PERSON } }));
        self.ask("POST /shorten", ADMIN_KEY, json, &format!("{{\"url\": \"{TARGET}"));
        self.ask("POST /shorten", ADMIN_KEY, "content-type: text/plain\r\n", TARGET);
        for _ in 0..2 {
            let keyed = format!("{json}idempotency-key: {IDEMPOTENCY_KEY}\r\n");
            self.ask("POST /shorten", ADMIN_KEY, &keyed, &serde_json::json!({ "url": target }).to_string());
        }
        self.ask(
            "POST /shorten",
            ADMIN_KEY,
            &format!("{json}idempotency-key: {IDEMPOTENCY_KEY}\r\n"),
            "{\"url\":\"https://example.com/\"}",
        );
        self.ask(
            "POST /users/bulk",
            ADMIN_KEY,
            "content-type: text/csv\r\n",
            &format!("id,username,email,created_at\n1,{PERSON}2,{PERSON}2@x.de,2026-01-01 00:00:00\n2,,{PERSON},x\n"),
        );
        self.ask("PATCH /urls/1", ADMIN_KEY, json, &serde_json::json!({ "title": format!("{TITLE}2") }).to_string());
        self.ask(
            "PATCH /urls/1",
            ADMIN_KEY,
            &format!("{json}if-match: \"999\"\r\n"),
            &serde_json::json!({ "title": TITLE }).to_string(),
        );
        for path in [
            "/abc",
            "/abc",
            "/nosuch1",
            "/urls",
            "/urls/1",
            "/urls/1/stats",
            "/urls/1/events",
            "/users",
            "/events",
            "/stats",
            "/health",
        ] {
            self.ask(&format!("GET {path}?token={TARGET}"), ADMIN_KEY, "", "");
        }
        self.ask("GET /urls", WRONG_KEY, "", "");
        self.ask("POST /shorten", WRONG_KEY, json, &link.to_string());
        self.ask("PUT /abc", ADMIN_KEY, json, &link.to_string());
        self.ask(&format!("GET /urls?user_id={PERSON}"), ADMIN_KEY, "", "");
        self.ask(&format!("GET /abc?{}", TARGET.repeat(1_000)), ADMIN_KEY, "", "");
        self.ask("HEAD /abc", ADMIN_KEY, "connection: close\r\n", "");
    }
}

/// Nothing of `forbidden` stands in `text`.
fn is_clean(what: &str, text: &str, forbidden: &[&str]) {
    for word in forbidden {
        let found = text.lines().find(|line| line.contains(word));
        assert!(found.is_none(), "{what} tells {word}: {}", found.unwrap_or_default());
    }
}

fn told_nowhere(dir: &Arc<TempDir>, collector: &Collector, more: &[(&str, &str)], between: impl FnOnce()) {
    let log = dir.path().join("log");
    let endpoint = format!("http://{}", collector.grpc());
    let own = [
        ("KNURL_LOG_LEVEL", "trace"),
        ("KNURL_AUTH", "required"),
        ("KNURL_ADMIN_KEY", ADMIN_KEY),
        ("KNURL_TRUSTED_PROXIES", "127.0.0.1"),
        ("KNURL_TELEMETRY_OTLP_ENDPOINT", &endpoint),
        ("KNURL_TELEMETRY_SAMPLE_ONE_IN", "1"),
    ];
    let variables: Vec<(&str, &str)> = own.into_iter().chain(more.iter().copied()).collect();
    let process = start(dir, Stdio::from(File::create(&log).unwrap()), &variables);
    let mut driven = Driven { process: &process, refused: String::new() };
    driven.everything();
    let before = metrics(&process);
    between();
    driven.everything();
    let Driven { refused, .. } = driven;
    let exposed = before + &metrics(&process);
    let config = said(dir.path(), &variables, &["config"]);
    let doctor = said(dir.path(), &variables, &["doctor"]);
    process.signal(Signal::TERM);
    assert!(process.end().success());

    let log = fs::read_to_string(&log).unwrap();
    let of_requests = lines(&log).iter().filter(|line| line.get("request_id").is_some()).count();
    assert!(of_requests > 10, "the log was looked at: {log}");
    assert!(refused.len() > 1_000 && exposed.contains("knurl_redirects_total") && config.contains("admin_key"), "so was the rest");
    assert!(collector.text().contains("POST /shorten"));
    let all: Vec<&str> = SECRETS.iter().chain(&PRIVATE).copied().collect();
    is_clean("the log", &log, &all);
    is_clean("the metrics", &exposed, &all);
    is_clean("a trace", &collector.text(), &all);
    is_clean("the doctor", &doctor, &all);
    is_clean("the configuration", &config, &all);
    // An error may name what its own request asked for, and no secret.
    is_clean("an error", &refused, &SECRETS);
}

#[test]
fn on_one_node_no_secret_is_told_anywhere_nor_kept_in_a_backup() {
    let (dir, collector) = (Arc::new(tempfile::tempdir().unwrap()), Collector::start().unwrap());
    told_nowhere(&dir, &collector, &[], || {});
    let backup = said(dir.path(), &[], &["backup", "copy.db"]);
    assert!(backup.contains("verified"), "{backup}");
    is_clean("the backup's report", &backup, &SECRETS);
    let copy = String::from_utf8_lossy(&fs::read(dir.path().join("copy.db")).unwrap()).into_owned();
    assert!(copy.contains(TARGET), "the links are there");
    is_clean("the backup", &copy, &SECRETS);
}

fn with_password(url: &str) -> String {
    let (user, rest) = url.split_once('@').unwrap();
    let (user, _) = user.rsplit_once(':').unwrap();
    format!("{user}:{DATABASE_PASSWORD}@{rest}")
}

#[test]
fn in_a_fleet_no_secret_is_told_anywhere_whatever_fails() {
    let (dir, collector) = (Arc::new(tempfile::tempdir().unwrap()), Collector::start().unwrap());
    let (mut postgres, mut redis) = (Postgres::start().unwrap(), Redis::start_with(&["--requirepass", REDIS_PASSWORD]).unwrap());
    // The only thing that is asked of it by its old password.
    postgres.sql(&format!("alter user current_user password '{DATABASE_PASSWORD}'")).unwrap();
    let database = with_password(&postgres.url());
    let cache = format!("redis://:{REDIS_PASSWORD}@127.0.0.1:{}", redis.port());
    let variables =
        [("KNURL_DATABASE_URL", database.as_str()), ("KNURL_REDIS_URL", cache.as_str()), ("KNURL_POSTGRES_HUNG_AFTER_MS", "500")];
    told_nowhere(&dir, &collector, &variables, || {
        redis.kill().unwrap();
        postgres.kill().unwrap();
    });
}
