//! Backup while a server writes, and the proof that a copy is whole.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use knurl_core::{
    ShortCode, Target, UnixMillis,
    link::{NewLink, RedirectStatus},
};
use knurl_store::{
    Store, StoreError,
    sqlite::{SqliteOptions, SqliteStore, Verified, backup, verify},
};

fn store(path: &Path) -> SqliteStore {
    SqliteStore::open(path, &SqliteOptions::default()).unwrap()
}

fn new_links(from: u64, to: u64) -> Vec<NewLink> {
    let link = |n| NewLink {
        domain: String::new(),
        short_code: ShortCode::parse(&format!("code{n}")).unwrap(),
        target: Target::verbatim("https://example.com/some/page").unwrap(),
        title: None,
        is_active: true,
        status: RedirectStatus::Found302,
        owner: None,
        expires_at: None,
    };
    (from..to).map(link).collect()
}

fn rows(verified: &Verified, table: &str) -> u64 {
    verified.tables.iter().find(|hash| hash.table == table).unwrap().rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_while_a_server_writes_is_one_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("knurl.db"), dir.path().join("copy.db"));
    let server = store(&source);
    server.create_links(new_links(0, 3_000), UnixMillis(0)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (server, stop) = (server.clone(), stop.clone());
        async move {
            let mut next = 3_000;
            while !stop.load(Ordering::Relaxed) {
                server.create_links(new_links(next, next + 20), UnixMillis(0)).await.unwrap();
                next += 20;
            }
            next
        }
    });
    let (from, to) = (source.clone(), dest.clone());
    let (verified, seen) = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        (backup(&from, &to, &mut |progress| seen.push(progress)).unwrap(), seen)
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    assert_eq!(verify(&dest).unwrap(), verified);
    let links = rows(&verified, "links");
    assert!((3_000..=written).contains(&links) && links.is_multiple_of(20), "{links} links: not a state between two commits");
    assert_eq!(rows(&verified, "events"), links);
    let last = seen.last().unwrap();
    assert!(last.pages_total > 0 && last.pages_done == last.pages_total);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().path().to_string_lossy().contains("partial")).count(),
        0
    );
    // The copy is a database like any other.
    let restored = store(&dest);
    assert_eq!(restored.counts().await.unwrap().links, links);
    restored.create_links(new_links(100_000, 100_001), UnixMillis(0)).await.unwrap().remove(0).unwrap();
    assert_ne!(verify(&dest).unwrap(), verified);
    server.close().await;
}

#[tokio::test]
async fn a_backup_replaces_an_older_one_but_never_a_database_in_use_nor_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("knurl.db"), dir.path().join("copy.db"));
    let server = store(&source);
    let quiet = &mut |_| {};
    let first = backup(&source, &dest, quiet).unwrap();
    server.create_links(new_links(0, 5), UnixMillis(0)).await.unwrap();
    let second = backup(&source, &dest, quiet).unwrap();
    assert_eq!((rows(&first, "links"), rows(&second, "links")), (0, 5));
    let in_use = store(&dest);
    in_use.ping().await.unwrap();
    assert!(matches!(backup(&source, &dest, quiet), Err(StoreError::Unavailable(_))));
    assert!(matches!(backup(&source, &source, quiet), Err(StoreError::Unavailable(_))));
    assert_eq!(in_use.counts().await.unwrap().links, 5);
}

#[tokio::test]
async fn a_backup_can_be_read_by_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("knurl.db"), dir.path().join("copy.db"));
    let _server = store(&source);
    backup(&source, &dest, &mut |_| {}).unwrap();
    assert_eq!(fs::metadata(&dest).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_damaged_file_is_not_verified() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("knurl.db");
    let server = store(&path);
    server.create_links(new_links(0, 2_000), UnixMillis(0)).await.unwrap();
    server.close().await;
    let sound = fs::read(&path).unwrap();
    verify(&path).unwrap();
    let mut damaged = sound.clone();
    // A page in the middle: overwritten, as by a disk that mixes up its sectors.
    let middle = damaged.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0xa5);
    fs::write(&path, &damaged).unwrap();
    assert!(matches!(verify(&path), Err(StoreError::Corrupt(_))));
    fs::write(&path, &sound[..middle]).unwrap();
    assert!(matches!(verify(&path), Err(StoreError::Corrupt(_))));
    fs::write(&path, b"not a database at all, but long enough to have a header of a hundred bytes: ............................")
        .unwrap();
    assert!(matches!(verify(&path), Err(StoreError::Corrupt(_))));
}

#[test]
fn what_is_not_there_is_neither_verified_nor_created() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("knurl.db");
    assert!(matches!(verify(&path), Err(StoreError::Unavailable(_))));
    assert!(matches!(backup(&path, &dir.path().join("copy.db"), &mut |_| {}), Err(StoreError::Unavailable(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn one_changed_value_changes_one_tables_hash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("knurl.db");
    let server = store(&path);
    server.create_links(new_links(0, 10), UnixMillis(0)).await.unwrap();
    let before = verify(&path).unwrap();
    server.ping().await.unwrap();
    let after = verify(&path).unwrap();
    let changed: Vec<_> = before.tables.iter().zip(&after.tables).filter(|(a, b)| a != b).map(|(a, _)| a.table.as_str()).collect();
    assert_eq!(changed, ["counters"]);
}
