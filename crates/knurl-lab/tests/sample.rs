//! Sample files: their bytes, their oddities, their size.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{collections::HashMap, fs, path::Path};

use knurl_lab::sample::{self, SampleError, SampleSpec};

const SMALL: SampleSpec = SampleSpec { users: 400, links: 2000, events: 3400, seed: 7, odd: false };

fn written(spec: &SampleSpec) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    sample::write(spec, dir.path()).unwrap();
    dir
}

/// FNV-1a: enough to notice a changed byte.
fn hash(dir: &Path) -> u64 {
    let files = ["users.csv", "urls.csv", "events.csv"].map(|name| fs::read(dir.join(name)).unwrap());
    files.iter().flatten().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}

type Row = HashMap<String, String>;

fn rows(dir: &Path, name: &str) -> Vec<Row> {
    csv::Reader::from_path(dir.join(name)).unwrap().deserialize().map(Result::unwrap).collect()
}

fn distinct(rows: &[Row], key: &str) -> usize {
    rows.iter().map(|row| &row[key]).collect::<std::collections::HashSet<_>>().len()
}

#[test]
fn a_seed_writes_the_same_bytes_for_ever() {
    assert_eq!(hash(written(&SMALL).path()), 12_139_500_424_631_195_906);
    assert_eq!(hash(written(&SampleSpec { odd: true, ..SMALL }).path()), 12_843_486_556_643_601_112);
    assert_ne!(hash(written(&SampleSpec { seed: 8, ..SMALL }).path()), hash(written(&SMALL).path()));
}

#[test]
fn the_files_have_the_columns_and_the_rows_asked_for() {
    let dir = written(&SMALL);
    let first_line = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(first_line("users.csv"), "id,username,email,created_at");
    assert_eq!(first_line("urls.csv"), "id,user_id,short_code,original_url,title,is_active,created_at,updated_at");
    assert_eq!(first_line("events.csv"), "id,url_id,user_id,event_type,timestamp,details");
    assert_eq!(["users.csv", "urls.csv", "events.csv"].map(|name| rows(dir.path(), name).len()), [400, 2000, 3400]);
}

#[test]
fn a_plain_sample_holds_nothing_odd() {
    let dir = written(&SMALL);
    let (users, links, events) = (rows(dir.path(), "users.csv"), rows(dir.path(), "urls.csv"), rows(dir.path(), "events.csv"));
    assert_eq!((distinct(&users, "username"), distinct(&users, "email"), distinct(&links, "short_code")), (400, 400, 2000));
    let user = |id: &str| &users[id.parse::<usize>().unwrap() - 1];
    let link = |id: &str| &links[id.parse::<usize>().unwrap() - 1];
    assert!(
        links.iter().all(|row| row["created_at"] > user(&row["user_id"])["created_at"] && row["updated_at"] >= row["created_at"])
    );
    assert!(events.iter().all(|row| row["timestamp"] >= link(&row["url_id"])["created_at"]));
    assert!(events.iter().all(|row| row["user_id"] == link(&row["url_id"])["user_id"]));
    let deleted: Vec<&Row> = events.iter().filter(|row| row["event_type"] == "deleted").collect();
    assert!(deleted.len() > 100 && deleted.iter().all(|row| link(&row["url_id"])["is_active"] == "False"));
    assert!(events.iter().all(|row| serde_json::from_str::<serde_json::Value>(&row["details"]).unwrap().is_object()));
}

#[test]
fn an_odd_sample_holds_every_oddity() {
    let dir = written(&SampleSpec { users: 4000, odd: true, ..SMALL });
    let (users, links, events) = (rows(dir.path(), "users.csv"), rows(dir.path(), "urls.csv"), rows(dir.path(), "events.csv"));
    assert_eq!(distinct(&links, "short_code"), 2000, "codes are the one thing that stays unique");
    let (usernames, emails) = (distinct(&users, "username"), distinct(&users, "email"));
    assert!((3800..3990).contains(&usernames), "duplicate usernames: {usernames} of 4000 differ");
    assert!(emails < 4000 && emails > usernames, "wholly duplicate people: {emails} of 4000 differ");
    let user = |id: &str| &users[id.parse::<usize>().unwrap() - 1];
    let link = |id: &str| &links[id.parse::<usize>().unwrap() - 1];
    assert!(links.iter().filter(|row| row["created_at"] < user(&row["user_id"])["created_at"]).count() > 100);
    assert!(events.iter().filter(|row| row["timestamp"] < link(&row["url_id"])["created_at"]).count() > 100);
    assert!(events.iter().any(|row| row["event_type"] == "deleted" && link(&row["url_id"])["is_active"] == "True"));
}

#[test]
fn links_without_users_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let spec = SampleSpec { users: 0, ..SMALL };
    assert!(matches!(sample::write(&spec, dir.path()), Err(SampleError::NoParents)));
    assert!(matches!(sample::write(&SampleSpec { links: 0, ..SMALL }, dir.path()), Err(SampleError::NoParents)));
}
