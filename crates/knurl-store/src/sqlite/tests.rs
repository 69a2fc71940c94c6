//! Of what is private to the SQLite store: its statements and their plans, its migrations.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{failure::store_error, migrate, sql};
use crate::StoreError;

fn migrated() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    migrate::migrate(&conn).unwrap();
    conn
}

fn plan(conn: &Connection, stem: &str) -> String {
    let (_, text) = sql::ALL.iter().find(|(name, _)| *name == stem).unwrap();
    let mut query = conn.prepare(&format!("explain query plan {text}")).unwrap();
    let steps: Vec<String> = query.raw_query().mapped(|row| row.get(3)).collect::<rusqlite::Result<_>>().unwrap();
    steps.join("; ")
}

#[test]
fn every_statement_prepares_on_a_freshly_migrated_database() {
    let conn = migrated();
    for (stem, text) in sql::ALL {
        conn.prepare(text).unwrap_or_else(|e| panic!("{stem}.sql: {e}"));
    }
}

#[test]
fn every_sql_file_is_a_statement_that_some_method_uses() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sqlite");
    let files: BTreeSet<String> = std::fs::read_dir(format!("{here}/queries"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let named: BTreeSet<String> = sql::ALL.iter().map(|(stem, _)| (*stem).to_owned()).collect();
    assert_eq!(files, named);
    let sources: String = std::fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("sql.rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for stem in named {
        let name = format!("sql::{}", stem.to_uppercase());
        assert!(sources.contains(&name), "{stem}.sql is used by nobody");
    }
}

#[test]
fn statements_are_lower_case_and_say_their_parameters_first() {
    for (stem, text) in sql::ALL {
        let statement: String = text.lines().filter(|line| !line.starts_with("--")).collect();
        assert_eq!(statement, statement.to_lowercase(), "{stem}.sql");
        assert!(!statement.contains('?') || text.starts_with("-- ?"), "{stem}.sql does not list its parameters");
    }
}

#[test]
fn hot_statements_search_an_index_and_scan_nothing() {
    let conn = migrated();
    let hot = [
        ("link_by_code", "SEARCH links USING INDEX links_by_code (domain=? AND short_code=? AND twin=?)"),
        ("link_by_id", "SEARCH links USING INTEGER PRIMARY KEY (rowid=?)"),
        ("link_identity", "SEARCH links USING INTEGER PRIMARY KEY (rowid=?)"),
        ("link_of_owner_to", "SEARCH links USING INDEX links_by_owner (owner=?)"),
        ("links_list", "SEARCH links USING INTEGER PRIMARY KEY (rowid>?)"),
        ("links_list_of_owner", "SEARCH links USING INDEX links_by_owner (owner=? AND rowid>?)"),
        ("links_count_of_owner", "SEARCH links USING INDEX links_by_owner (owner=?)"),
        ("user_by_id", "SEARCH users USING INTEGER PRIMARY KEY (rowid=?)"),
        ("event_by_id", "SEARCH events USING INTEGER PRIMARY KEY (rowid=?)"),
        ("events_list", "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"),
        ("events_list_of_link", "SEARCH events USING INDEX events_by_link (link_id=? AND rowid>?)"),
        ("events_list_of_user", "SEARCH events USING INDEX events_by_user (user_id=? AND rowid>?)"),
        ("events_list_of_type", "SEARCH events USING INDEX events_by_type (event_type=? AND rowid>?)"),
        ("events_count_of_type", "SEARCH events USING COVERING INDEX events_by_type (event_type=?)"),
        (
            "links_clicked",
            "SEARCH links USING INTEGER PRIMARY KEY (rowid=?); LIST SUBQUERY 1; SCAN json_each VIRTUAL TABLE INDEX 1:",
        ),
        ("links_emptied_at", "SEARCH counters USING PRIMARY KEY (name=?)"),
        ("cursor_get", "SEARCH cursors USING PRIMARY KEY (spool_id=?)"),
        ("counter_get", "SEARCH counters USING PRIMARY KEY (name=?)"),
        ("hours_of_link", "SEARCH link_hours USING PRIMARY KEY (link_id=? AND hour>? AND hour<?)"),
        ("days_of_link", "SEARCH link_days USING PRIMARY KEY (link_id=? AND day>? AND day<?)"),
        ("once_get", "SEARCH onces USING INDEX sqlite_autoindex_onces_1 (id=?)"),
        ("total_of_link", "SEARCH link_totals USING INTEGER PRIMARY KEY (rowid=?)"),
    ];
    for (stem, expected) in hot {
        assert_eq!(plan(&conn, stem), expected, "{stem}.sql");
    }
    for stem in ["links_list_of_code", "links_count_of_code", "clicks_purge", "links_top", "shares_of_link", "user_links_codes"] {
        let plan = plan(&conn, stem);
        assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{stem}.sql: {plan}");
    }
}

/// A row of each table that the step before has made: it must be there, unchanged, after every later step.
const SAMPLES: [(usize, &str, &str); 10] = [
    (1, "insert into users values (7, 'Ada', 'a@b.c', 'ada', 0, 'a@b.c', 0, 5)", "select username from users where id = 7"),
    (
        1,
        "insert into links values (3, '', 'abc', 0, 'https://a.b/', 'T', 1, 302, 7, null, 5, 6, null, 1)",
        "select target from links where short_code = 'abc'",
    ),
    (1, "insert into events values (9, 3, 7, 'created', 5, '{}', null)", "select event_type from events where id = 9"),
    (1, "insert into keys values (1, 'admin', x'00', 5, null)", "select name from keys where id = 1"),
    (2, "insert into link_days values (3, 20000, 4, 3, 2, x'01')", "select hex(sketch) from link_days where link_id = 3"),
    (4, "insert into onces values (x'01', x'02', 5, '[[3,\"abc\"]]')", "select fates from onces where id = x'01'"),
    (5, "insert into moving values ('out', 'm', 'elsewhere', 'copying')", "select state from moving where role = 'out'"),
    (6, "insert into deleted_users values (3, 5)", "select cast(created_at as text) from deleted_users where id = 3"),
    (6, "insert into audit_acceptances values (1, 5, 'by hand', 3, 0)", "select reason from audit_acceptances"),
    (
        7,
        "insert into counters values ('links_emptied_at', 5)",
        "select cast(value as text) from counters where name = 'links_emptied_at'",
    ),
];

#[test]
fn every_migration_keeps_the_rows_that_were_there() {
    let conn = Connection::open_in_memory().unwrap();
    let mut kept: Vec<(&str, String)> = Vec::new();
    for version in 1..=migrate::MIGRATIONS.len() {
        assert!(migrate::step(&conn).unwrap());
        assert_eq!(migrate::schema_version(&conn).unwrap(), version as i64);
        for (query, before) in &kept {
            let after: String = conn.query_row(query, [], |row| row.get(0)).unwrap();
            assert_eq!(after, *before, "after step {version}: {query}");
        }
        for (_, insert, query) in SAMPLES.iter().filter(|(since, ..)| *since == version) {
            conn.execute(insert, []).unwrap();
            kept.push((query, conn.query_row(query, [], |row| row.get(0)).unwrap()));
        }
    }
    assert!(!migrate::step(&conn).unwrap());
}

#[test]
fn ids_that_an_earlier_import_named_are_not_given_after_the_migration() {
    let conn = Connection::open_in_memory().unwrap();
    for _ in 0..4 {
        assert!(migrate::step(&conn).unwrap());
    }
    conn.execute_batch(
        "insert into links values (3, '', 'abc', 0, 'https://a.b/', null, 1, 302, 70, null, 5, 6, null, 1); \
         insert into events values (9, 80, 60, 'created', 5, null, null)",
    )
    .unwrap();
    migrate::migrate(&conn).unwrap();
    let seq = |table: &str| -> i64 {
        conn.query_row("select seq from sqlite_sequence where name = ?1", [table], |row| row.get(0)).unwrap()
    };
    assert_eq!((seq("users"), seq("links"), seq("events")), (70, 80, 9));
}

#[test]
fn migrating_twice_changes_nothing() {
    let conn = migrated();
    assert_eq!(migrate::migrate(&conn).unwrap(), 0);
}

#[test]
fn a_database_of_a_newer_knurl_is_refused_with_a_sentence() {
    let conn = migrated();
    conn.pragma_update(None, "user_version", 99).unwrap();
    let refused = migrate::migrate(&conn).unwrap_err();
    let known = migrate::MIGRATIONS.len();
    let sentence =
        format!("the database has schema version 99, this knurl knows up to {known}: use the newer knurl, or restore a backup");
    assert_eq!(refused.to_string(), sentence);
}

#[test]
fn another_programs_database_is_refused() {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch("create table theirs (id integer)").unwrap();
    assert!(matches!(migrate::migrate(&conn), Err(StoreError::Corrupt(_))));
    assert_eq!(migrate::schema_version(&conn).unwrap(), 0);
}

#[test]
fn a_migration_that_fails_halfway_leaves_the_version_before_it_whole() {
    let conn = Connection::open_in_memory().unwrap();
    assert!(migrate::step(&conn).unwrap());
    // Stands in the way of step 2, after it has made its first tables.
    conn.execute_batch("create table link_shares (id integer)").unwrap();
    assert!(migrate::migrate(&conn).is_err());
    assert_eq!(migrate::schema_version(&conn).unwrap(), 1);
    let tables: i64 = conn.query_row("select count(*) from sqlite_schema where name = 'cursors'", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 0);
    conn.execute_batch("drop table link_shares").unwrap();
    assert_eq!(migrate::migrate(&conn).unwrap(), migrate::MIGRATIONS.len() - 1);
}

#[test]
fn errors_of_sqlite_are_told_apart_by_what_the_caller_can_do() {
    let failure = |code| store_error(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
    assert!(matches!(failure(rusqlite::ffi::SQLITE_FULL), StoreError::Full(_)));
    assert!(matches!(failure(rusqlite::ffi::SQLITE_IOERR_SHMSIZE), StoreError::Full(_)));
    assert!(matches!(failure(rusqlite::ffi::SQLITE_IOERR_FSYNC), StoreError::Unavailable(_)));
    assert!(matches!(failure(rusqlite::ffi::SQLITE_BUSY), StoreError::Unavailable(_)));
    assert!(matches!(failure(rusqlite::ffi::SQLITE_CORRUPT), StoreError::Corrupt(_)));
    assert!(matches!(failure(rusqlite::ffi::SQLITE_MISUSE), StoreError::Internal(_)));
}
