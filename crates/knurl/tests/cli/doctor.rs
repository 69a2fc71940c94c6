//! The doctor finds what is wrong and says what to do; a healthy place is said to be healthy.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use knurl_lab::servers::Redis;
use serde_json::Value;

use super::{beside_server::Served, knurl::Knurl};

/// Ports nobody else takes: each test has its own.
fn healthy() -> Knurl {
    Knurl::new().with("KNURL_LISTEN", "127.0.0.1:0").with("KNURL_METRICS_LISTEN", "127.0.0.1:0")
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

fn sick(knurl: &Knurl) -> Value {
    let ran = knurl.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn an_empty_place_and_one_in_use_are_healthy() {
    let knurl = healthy();
    let text = knurl.ok(&["doctor"]);
    assert!(text.lines().all(|line| !line.starts_with("FAIL")), "{text}");
    assert!(!knurl.path("data").exists(), "the doctor changes nothing");
    knurl.ok(&["link", "create", "https://example.com/"]);
    let report = knurl.json(&["doctor"]);
    assert_eq!(check(&report, "database")["health"], "ok", "{report}");
}

#[test]
fn a_port_somebody_else_has_is_found() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let knurl = Knurl::new().with("KNURL_LISTEN", &addr).with("KNURL_METRICS_LISTEN", "127.0.0.1:0");
    let report = sick(&knurl);
    assert_eq!(check(&report, "listen")["health"], "fail");
    assert!(check(&report, "listen")["remedy"].as_str().unwrap().contains("ss -ltnp"));
}

#[test]
fn a_damaged_database_is_found() {
    let knurl = healthy();
    knurl.ok(&["link", "create", "https://example.com/"]);
    let path = knurl.path("data/knurl.db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[100..middle].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let report = sick(&knurl);
    assert_eq!(check(&report, "database")["health"], "fail", "{report}");
    assert!(check(&report, "database")["remedy"].as_str().unwrap().contains("knurl restore"));
}

#[test]
fn a_data_directory_that_is_none_and_a_key_others_can_read_are_found() {
    let knurl = healthy();
    knurl.write("data", "a file");
    assert_eq!(check(&sick(&knurl), "data directory")["health"], "fail");
    fs::remove_file(knurl.path("data")).unwrap();
    fs::create_dir(knurl.path("data")).unwrap();
    knurl.write("data/admin.key", "secret");
    fs::set_permissions(knurl.path("data/admin.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let report = knurl.json(&["doctor"]);
    assert_eq!((&report["health"], &check(&report, "admin key")["health"]), (&"warn".into(), &"warn".into()));
}

#[test]
fn a_redis_that_answers_is_said_to_and_one_that_does_not_is_a_warning_without_its_password() {
    let server = Redis::start_with(&["--requirepass", "hunter2"]).unwrap();
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port());
    let report = healthy().with("KNURL_REDIS_URL", &url("hunter2")).json(&["doctor"]);
    let found = check(&report, "redis")["found"].as_str().unwrap();
    assert!(found.starts_with(&format!("127.0.0.1:{} answers (", server.port())), "{report}");
    let report = healthy().with("KNURL_REDIS_URL", &url("wrong1")).json(&["doctor"]);
    assert_eq!(check(&report, "redis")["health"], "warn", "{report}");
    assert!(!report.to_string().contains("wrong1"), "{report}");
    let report = healthy().with("KNURL_REDIS_URL", "redis://127.0.0.1:1").json(&["doctor"]);
    assert_eq!(check(&report, "redis")["health"], "warn", "{report}");
    assert!(check(&report, "redis")["remedy"].as_str().unwrap().contains("KNURL_REDIS_URL"));
}

#[test]
fn redis_with_tls_is_believed_when_an_authority_of_this_machine_vouches_for_it() {
    let certificates = super::knurl::repository().join("crates/knurl-store/tests/postgres/certificates").canonicalize().unwrap();
    let file = |name: &str| certificates.join(name).to_str().unwrap().to_owned();
    // Taken, and given back for the server.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (cert, key, authority) = (file("server.pem"), file("server.key"), file("authority.pem"));
    let tls = ["--tls-port", &port.to_string(), "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &authority];
    let _server = Redis::start_with(&[&tls[..], &["--tls-auth-clients", "no"]].concat()).unwrap();
    let doctor = |trusted: &str| {
        let knurl = healthy().with("KNURL_REDIS_URL", &format!("rediss://localhost:{port}")).with("SSL_CERT_FILE", trusted);
        check(&knurl.json(&["doctor"]), "redis")["health"].clone()
    };
    assert_eq!(doctor(&authority), "ok");
    assert_eq!(doctor(&file("stranger.pem")), "warn");
}

/// As an older knurl would have left it: what matters is the number.
fn of_an_older_schema(knurl: &Knurl) -> i64 {
    let conn = rusqlite::Connection::open(knurl.path("data/knurl.db")).unwrap();
    let known: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    conn.pragma_update(None, "user_version", known - 1).unwrap();
    known
}

#[test]
fn commands_that_only_look_bring_no_schema_up_to_date() {
    let knurl = healthy();
    knurl.ok(&["link", "create", "https://example.com/"]);
    let known = of_an_older_schema(&knurl);
    let report = knurl.json(&["doctor"]);
    let found = check(&report, "database")["found"].as_str().unwrap();
    assert!(found.contains(&format!("will be brought to schema {known} at the next start")), "{report}");
    for args in [&["audit"][..], &["audit", "--accept", "a reason"]] {
        let line = knurl.fails(1, args);
        assert!(line.contains(&format!("schema version {}, this knurl's is {known}", known - 1)), "{line}");
    }
    let conn = rusqlite::Connection::open(knurl.path("data/knurl.db")).unwrap();
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, known - 1);
}

#[test]
fn what_was_removed_by_hand_is_accepted_with_a_reason_that_later_audits_show() {
    let knurl = healthy();
    knurl.ok(&["link", "create", "https://example.com/"]);
    Served::start(&knurl, &[]).stop();
    // Roll-ups of clicks whose events somebody has removed.
    let conn = rusqlite::Connection::open(knurl.path("data/knurl.db")).unwrap();
    conn.execute_batch("insert into link_totals values (1, 3, 3, 0); insert into cursors values (x'01', 1, 0, 3)").unwrap();
    drop(conn);
    let broken = knurl.run(&["audit", "--json"]);
    assert_eq!(broken.code, 1, "{broken:?}");
    assert!(knurl.fails(2, &["audit", "--accept", " "]).contains("a reason of 1 to 256 characters"));
    let audit = knurl.json(&["audit", "--accept", "a visitor asked for it"]);
    assert_eq!(
        (&audit["verdict"], &audit["accepted_events"], &audit["accepted_roll_ups"]),
        (&"holds".into(), &3.into(), &3.into())
    );
    let later = knurl.json(&["audit", "--accept", "nothing is missing any more"]);
    let acceptances = later["acceptances"].as_array().unwrap();
    assert_eq!(acceptances.len(), 1, "{later}");
    assert_eq!((&acceptances[0]["reason"], &acceptances[0]["events"]), (&"a visitor asked for it".into(), &3.into()));
    assert!(knurl.ok(&["audit"]).contains("a visitor asked for it"));
}

#[test]
fn an_admin_key_that_was_revoked_is_said_to_open_nothing() {
    let knurl = healthy();
    Served::start(&knurl, &[]).stop();
    let key = |knurl: &Knurl| check(&knurl.json(&["doctor"]), "admin key").clone();
    assert_eq!(key(&knurl)["health"], "ok");
    knurl.ok(&["key", "revoke", "1"]);
    let found = key(&knurl);
    assert_eq!(found["health"], "warn", "{found}");
    assert!(
        found["found"].as_str().unwrap().contains("revoked") && found["remedy"].as_str().unwrap().contains("key create"),
        "{found}"
    );
}

#[test]
fn a_database_of_a_newer_knurl_is_whole_and_nobody_is_told_to_replace_it() {
    let knurl = healthy();
    knurl.ok(&["link", "create", "https://example.com/"]);
    rusqlite::Connection::open(knurl.path("data/knurl.db")).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let report = sick(&knurl);
    let named: Vec<&Value> = report["checks"].as_array().unwrap().iter().filter(|check| check["name"] == "database").collect();
    assert_eq!((named.len(), &named[0]["health"]), (1, &"fail".into()), "{report}");
    assert!(named[0]["remedy"].as_str().unwrap().contains("use the newer knurl"), "{report}");
}
