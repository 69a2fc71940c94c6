//! The same commands on a PostgreSQL, and beside a server on it.

use std::fs;

use knurl_lab::servers::Postgres;
use serde_json::Value;

use super::{
    beside_server::{Served, eventually},
    knurl::{Knurl, Ran},
    transfer::{EVENTS, URLS, USERS},
};

/// A directory whose database is a fresh one of this server.
fn on(server: &Postgres, database: &str) -> Knurl {
    Knurl::new().with("KNURL_DATABASE_URL", &server.database(database).unwrap())
}

/// One server for all of them: starting it takes longer than any.
#[test]
fn every_command_works_on_a_postgresql_or_says_what_to_use_instead() {
    let server = Postgres::start().unwrap();
    links_users_and_keys_live_as_on_sqlite(&on(&server, "people"));
    what_is_imported_comes_out_as_from_sqlite(&on(&server, "transfer"));
    a_nul_refuses_its_row_alone_and_the_same_on_both(&on(&server, "nul"));
    what_works_on_files_names_what_to_use_instead(&on(&server, "refused"));
    the_doctor_looks_and_changes_nothing(&on(&server, "doctor"), &server);
    the_parts_of_a_platform_name_it_too(&server);
    a_server_and_commands_see_each_other(&on(&server, "beside"));
}

fn links_users_and_keys_live_as_on_sqlite(knurl: &Knurl) {
    assert_eq!(knurl.json(&["user", "create", "ada", "ada@example.com"])["id"], 1);
    assert!(knurl.fails(1, &["user", "create", "ADA", "x@example.com"]).contains("another user has this name"));
    let link = knurl.json(&["link", "create", "https://example.com/", "--code", "hello", "--user", "1", "--title", "Hi"]);
    assert_eq!(knurl.json(&["link", "show", "hello"]), link);
    assert!(knurl.fails(1, &["link", "create", "https://example.com/", "--code", "hello"]).contains("taken"));
    assert_eq!(knurl.json(&["link", "disable", "hello"])["is_active"], false);
    assert!(knurl.ok(&["link", "stats", "hello"]).contains("0 clicks"));
    let key = knurl.json(&["key", "create", "ci"]);
    assert!(knurl.json(&["key", "revoke", &key["id"].to_string()])["revoked_at"].is_string());
    assert_eq!(knurl.json(&["user", "delete", "1"])["deleted"]["links"], 1);
    assert_eq!(knurl.json(&["audit"])["verdict"], "holds");
}

fn what_is_imported_comes_out_as_from_sqlite(knurl: &Knurl) {
    let sqlite = Knurl::new();
    for knurl in [knurl, &sqlite] {
        knurl.write("users.csv", USERS);
        knurl.write("urls.csv", URLS);
        knurl.write("events.csv", EVENTS);
        assert_eq!(knurl.json(&["import", "users.csv", "urls.csv", "events.csv"])["inserted"], 10);
        knurl.ok(&["export", "out"]);
    }
    for file in ["out/users.csv", "out/urls.csv", "out/events.csv"] {
        let of = |knurl: &Knurl| fs::read_to_string(knurl.path(file)).unwrap();
        assert_eq!(of(knurl), of(&sqlite), "{file}");
    }
    let again = knurl.json(&["import", "users.csv", "urls.csv", "events.csv"]);
    assert_eq!((&again["inserted"], &again["already_there"]), (&0.into(), &10.into()), "{again}");
    assert_eq!(knurl.json(&["audit"])["external"], 1, "the imported click");
}

fn a_nul_refuses_its_row_alone_and_the_same_on_both(postgres: &Knurl) {
    let row =
        |id: u32, title: &str| format!("{id},,nul{id},https://example.com/,{title},True,2025-01-01 00:00:00,2025-01-01 00:00:00\n");
    let head = "id,user_id,short_code,original_url,title,is_active,created_at,updated_at\n";
    let events = "id,url_id,user_id,event_type,timestamp,details\n\
                  1,1,,a\0b,2025-01-01 00:00:00,\n2,1,,noted,2025-01-01 00:00:00,\"{\"\"a\"\":\"\"\\u0000\"\"}\"\n\
                  3,1,,noted,2025-01-01 00:00:00,\"{\"\"a\"\":\"\"\0\"\"}\"\n";
    let sqlite = Knurl::new();
    let reports = [postgres, &sqlite].map(|knurl| {
        knurl.write("urls.csv", [head, &row(1, "before"), &row(2, "a\0b"), &row(3, "after")].concat());
        knurl.write("events.csv", events);
        let ran = knurl.run(&["import", "urls.csv", "events.csv", "--json"]);
        let mut report: Value = serde_json::from_str(&ran.out).unwrap();
        report["elapsed_ms"].take();
        (ran.code, report)
    });
    assert_eq!(reports[0], reports[1]);
    let (code, report) = &reports[0];
    assert_eq!((*code, &report["inserted"], &report["refused"]), (1, &3.into(), &3.into()), "{report}");
    let reason = &report["files"][0]["reasons"][0];
    assert_eq!((&reason["field"], &reason["reason"]), (&"title".into(), &"holds a NUL".into()), "{report}");
    assert_eq!(reason["first_lines"], serde_json::json!([3]));
}

fn what_works_on_files_names_what_to_use_instead(knurl: &Knurl) {
    assert!(knurl.fails(1, &["backup", "copy.db"]).contains("pg_dump"));
    assert!(knurl.fails(1, &["restore", "copy.db", "--force"]).contains("pg_restore"));
    knurl.write("users.csv", USERS);
    assert!(knurl.fails(1, &["import", "--dry-run", "users.csv"]).contains("pg_dump"));
    assert!(!knurl.path("copy.db").exists() && !knurl.path("data").exists());
}

fn the_doctor_looks_and_changes_nothing(knurl: &Knurl, server: &Postgres) {
    let examined = |ran: Ran| -> (i32, Value) { (ran.code, serde_json::from_str(&ran.out).unwrap()) };
    let free_ports = ["--json", "doctor"];
    let found = |report: &Value, name: &str| {
        let checks = report["checks"].as_array().unwrap().clone();
        let check = checks.into_iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"));
        (check["health"].as_str().unwrap().to_owned(), check["found"].as_str().unwrap().to_owned())
    };
    let (_, report) = examined(knurl.run(&free_ports));
    let (health, said) = found(&report, "database");
    assert!(health == "ok" && said.contains("PostgreSQL 1") && said.contains("schema 0: will be brought to"), "{said}");
    assert_eq!(server.sql_in("doctor", "select count(*) from pg_class where relname = 'links'").unwrap(), "0");

    knurl.ok(&["link", "create", "https://example.com/"]);
    let (_, report) = examined(knurl.run(&free_ports));
    let schema = server.sql_in("doctor", "select knurl_schema_version()").unwrap();
    assert!(found(&report, "database").1.ends_with(&format!("schema {schema}")), "{report}");
    assert_eq!(found(&report, "database TLS").0, "warn");
    let (health, apart) = found(&report, "database clock");
    assert!(health == "ok" && apart.ends_with(" ms from ours"), "{apart}");
    assert!(found(&report, "connections").1.starts_with("a node opens at most 17; the server has 197"), "{report}");
    assert!(found(&report, "durability").1.contains("fsync = off"), "the servers of tests run without it");
    assert_eq!(found(&report, "clicks").0, "ok");

    let nobody = Knurl::new().with("KNURL_DATABASE_URL", "postgres://ada:s3cret@127.0.0.1:1/links");
    let ran = nobody.run(&free_ports);
    assert!(!format!("{ran:?}").contains("s3cret"), "{ran:?}");
    let (code, report) = examined(ran);
    assert_eq!((code, found(&report, "database").0.as_str()), (1, "fail"), "{report}");
    let line = nobody.fails(1, &["link", "list"]);
    assert!(line.contains("the database is unavailable") && !line.contains("s3cret"), "{line}");
}

fn the_parts_of_a_platform_name_it_too(server: &Postgres) {
    let url = server.database("parts").unwrap();
    let (login, place) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let ((user, password), (address, name)) = (login.split_once(':').unwrap(), place.split_once('/').unwrap());
    let (host, port) = address.split_once(':').unwrap();
    let parts = Knurl::new().in_environment(&[
        ("DATABASE_HOST", host),
        ("DATABASE_PORT", port),
        ("DATABASE_NAME", name),
        ("DATABASE_USER", user),
        ("DATABASE_PASSWORD", password),
    ]);
    parts.ok(&["link", "create", "https://example.com/", "--code", "parts"]);
    assert_eq!(server.sql_in("parts", "select short_code from links").unwrap(), "parts");
    assert!(!parts.ok(&["config"]).contains(password));
}

fn a_server_and_commands_see_each_other(knurl: &Knurl) {
    let served = Served::start(knurl, &["--welcome"]);
    assert_eq!(served.status("hello"), 404);
    knurl.ok(&["link", "create", "https://example.com/", "--code", "hello"]);
    served.becomes("hello", 302);
    knurl.ok(&["link", "disable", "hello"]);
    served.becomes("hello", 404);
    eventually("the click is delivered", || knurl.json(&["link", "stats", "hello"])["total"].as_u64() >= Some(1));
    assert!(!knurl.path("data/knurl.db").exists());
    let (code, welcome) = served.stop();
    assert_eq!(code, 0);
    assert!(welcome.contains("/shorten"), "{welcome}");
    let audit = knurl.json(&["audit"]);
    assert_eq!((&audit["verdict"], &audit["backlog"], &audit["lost"]), (&"holds".into(), &0.into(), &0.into()), "{audit}");
}
