//! The n-th-fault loop: a history of writes, with a fault at file operation 1, 2, 3 … until one run meets none.
//!
//! After every run: the store that met the fault serves again by itself once it is gone; the file is sound; every acknowledged write
//! is there; none is there by half; clicks have been counted exactly once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod vfs;

use std::{collections::BTreeSet, path::Path, time::Duration};

use knurl_core::{
    EventType, LinkId, Page, ShortCode, Target, UnixMillis, User, UserId,
    agent::{Agent, AgentClass},
    click::{OwnedClick, Purpose},
    link::{Expected, LinkPatch, NewLink, RedirectStatus},
    user::{Email, Username},
};
use knurl_store::{
    Applied, ClickBatch, Cursor, DeliveredClick, EventFilter, ImportMode, LinkFilter, Numbered, Store, StoreError,
    sqlite::{SqliteOptions, SqliteStore, verify},
};
use vfs::{Fault, Plan};

const T0: UnixMillis = UnixMillis(1_700_000_000_000);
const CLICKS: u64 = 12;
/// Between two tries while the store gets well; a store that does not in so many is stuck.
const TRIES_MAX: u32 = 4_000;
const PAUSE: Duration = Duration::from_millis(1);

#[test]
fn any_one_io_error_loses_nothing_and_heals() {
    loop_over(Fault::Io);
}

#[test]
fn a_disk_that_fails_for_good_loses_nothing_and_heals_when_it_is_back() {
    loop_over(Fault::IoFromThenOn);
}

#[test]
fn a_full_disk_loses_nothing_and_heals_when_there_is_room() {
    loop_over(Fault::Full);
}

#[test]
fn a_torn_write_loses_nothing_and_heals() {
    loop_over(Fault::ShortWrite);
}

#[test]
fn a_failed_sync_that_drops_its_pages_loses_nothing_and_heals() {
    loop_over(Fault::SyncLoses);
}

fn loop_over(fault: Fault) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let mut at = 1;
    while runtime.block_on(run(fault, at)) {
        at += 1;
        assert!(at < 5_000, "the history never completes");
    }
    assert!(at > 10, "{fault:?} never met the history: only {at} operations");
}

/// What the callers were told.
#[derive(Debug, Default)]
struct Told {
    links: BTreeSet<String>,
    refused: BTreeSet<String>,
    users: BTreeSet<String>,
    updated: bool,
    deleted: bool,
    imported: bool,
}

/// Whether the fault was met.
async fn run(fault: Fault, at: u64) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("knurl.db");
    let (vfs, plan) = vfs::register(fault, at);
    let options = SqliteOptions {
        vfs: Some(vfs),
        checkpoint_pages: 6,
        point_readers: 1,
        readers: 1,
        reopen_pause: PAUSE,
        ..Default::default()
    };
    let mut told = Told::default();
    let Some(store) = open(&path, &options, &plan) else {
        assert!(plan.fired());
        // Refused to start: once the disk is well, the same file opens and works.
        plan.heal();
        let store = SqliteStore::open(&path, &options).unwrap();
        play(&store, &mut told, fault).await;
        store.close().await;
        check(&path, &told).await;
        return true;
    };
    play(&store, &mut told, fault).await;
    plan.heal();
    recovers(&store).await;
    acknowledged_is_there(&store, &told).await;
    // The disk is well: all that was refused goes through now, on the same store.
    play(&store, &mut told, fault).await;
    deliver_until_done(&store).await;
    let fired = plan.fired();
    store.close().await;
    check(&path, &told).await;
    fired
}

fn open(path: &Path, options: &SqliteOptions, plan: &Plan) -> Option<SqliteStore> {
    match SqliteStore::open(path, options) {
        Ok(store) => Some(store),
        Err(error) => {
            assert!(plan.fired(), "{error:?}");
            None
        }
    }
}

async fn play(store: &SqliteStore, told: &mut Told, fault: Fault) {
    for n in 0..4 {
        let name = format!("user{n}");
        let created = store.create_user(Username::parse(&name).unwrap(), Email::parse(&format!("{name}@example.com")).unwrap(), T0);
        note(created.await, &mut told.users, &mut told.refused, name, fault);
    }
    for n in 0..10 {
        let code = format!("code{n}");
        note(store.create_link(new_link(&code), T0).await, &mut told.links, &mut told.refused, code, fault);
        if n % 3 == 0 {
            let _ = expected(deliver(store).await, fault);
        }
    }
    let first = expected(store.link_by_code("", &ShortCode::parse("code0").unwrap()).await, fault).flatten();
    if let Some(first) = first {
        let patch = LinkPatch { is_active: Some(false), title: Some(Some("New".into())), ..Default::default() };
        told.updated |= expected(store.update_link(first.id, patch, T0).await, fault).is_some();
    }
    let second = expected(store.link_by_code("", &ShortCode::parse("code1").unwrap()).await, fault).flatten();
    if let Some(second) = second {
        told.deleted |= expected(store.delete_link(second.id, Expected::Any, "gone", T0).await, fault).is_some();
    }
    let rows = (1000..1030).map(|id| Numbered {
        line: id as u64,
        row: User { id: UserId(id), username: format!("imported{id}"), email: format!("{id}@example.com"), created_at: T0 },
    });
    told.imported |= expected(store.import_users(rows.collect(), ImportMode::Commit).await, fault).is_some();
    let _ = expected(store.list_events(EventFilter::default(), Page::first(100)).await, fault);
}

/// A fault may answer only as what it is.
fn expected<T>(result: Result<T, StoreError>, fault: Fault) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(StoreError::Unavailable(_)) => None,
        Err(StoreError::Full(_)) if fault == Fault::Full => None,
        Err(error) => panic!("{fault:?} was told as {error:?}"),
    }
}

fn note<T>(result: Result<T, StoreError>, told: &mut BTreeSet<String>, refused: &mut BTreeSet<String>, name: String, fault: Fault) {
    // A write that was refused because its commit's fate was unknown may be there; so may one of the first round.
    if let Err(StoreError::Conflict(_)) = result {
        assert!(told.contains(&name) || refused.contains(&name), "{name} was never asked for");
        return;
    }
    if expected(result, fault).is_some() {
        assert!(told.insert(name.clone()), "{name} was acknowledged twice: the first one is gone");
    } else {
        refused.insert(name);
    }
}

/// One step of a drain: from the store's cursor, a few clicks of the twelve there are.
async fn deliver(store: &SqliteStore) -> Result<bool, StoreError> {
    let begin = Cursor { spool_id: 1, segment: 1, offset: 0, seq: 0 };
    let from = store.cursor(1).await?.unwrap_or(begin);
    if from.seq == CLICKS {
        return Ok(true);
    }
    let to = Cursor { seq: from.seq + 3, offset: from.offset + 300, ..from };
    let clicks = (from.seq..to.seq).map(click).collect();
    let applied = store.apply_clicks(ClickBatch { from, to, clicks, undecodable: 0 }).await?;
    assert_eq!(applied, Applied::Applied);
    Ok(false)
}

async fn deliver_until_done(store: &SqliteStore) {
    while !deliver(store).await.unwrap() {}
}

async fn recovers(store: &SqliteStore) {
    for _ in 0..TRIES_MAX {
        if store.ping().await.is_ok() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("the disk is well, the store is not: {:?}", store.ping().await);
}

/// The file as the next process finds it, through a file system without faults.
async fn check(path: &Path, told: &Told) {
    verify(path).unwrap();
    let store = SqliteStore::open(path, &SqliteOptions::default()).unwrap();
    acknowledged_is_there(&store, told).await;
    events_agree(&store, told).await;
    books_balance(&store).await;
    store.close().await;
}

async fn acknowledged_is_there(store: &SqliteStore, told: &Told) {
    for code in &told.links {
        let code = ShortCode::parse(code).unwrap();
        let there = store.link_by_code("", &code).await.unwrap();
        assert!(there.is_some() || told.deleted && code.as_str() == "code1", "{code:?} was acknowledged and is gone");
    }
    let users = store.list_users(Page::first(1000)).await.unwrap().rows;
    for name in &told.users {
        assert!(users.iter().any(|user| user.username == *name), "{name} was acknowledged and is gone");
    }
    let imported = users.iter().filter(|user| user.username.starts_with("imported")).count();
    assert!(imported == 30 || imported == 0 && !told.imported, "{imported} of a chunk of 30");
    let first = store.link_by_code("", &ShortCode::parse("code0").unwrap()).await.unwrap();
    assert!(!told.updated || first.is_some_and(|first| !first.is_active && first.title.as_deref() == Some("New")));
    let second = store.link_by_code("", &ShortCode::parse("code1").unwrap()).await.unwrap();
    assert!(!told.deleted || second.is_none());
}

/// No link without its event, no event without its link.
async fn events_agree(store: &SqliteStore, told: &Told) {
    let links = store.list_links(LinkFilter::default(), Page::first(1000)).await.unwrap().rows;
    let events = store.list_events(EventFilter::default(), Page::first(1000)).await.unwrap().rows;
    let of =
        |kind: &str| events.iter().filter(|event| event.event_type.as_str() == kind).map(|event| event.link_id).collect::<Vec<_>>();
    let mut alive: Vec<LinkId> = of(EventType::CREATED);
    let deleted = of(EventType::DELETED);
    assert!(deleted.len() <= 1 && (!told.deleted || deleted.len() == 1));
    alive.retain(|id| !deleted.contains(id));
    assert_eq!(alive, links.iter().map(|link| link.id).collect::<Vec<_>>());
    // One update changed two fields: both events or none.
    let updated = of(EventType::UPDATED).len();
    assert!(updated == 2 || updated == 0 && !told.updated, "{updated} updated events");
}

async fn books_balance(store: &SqliteStore) {
    let ledger = store.click_ledger().await.unwrap();
    assert_eq!(ledger.rolled_up, ledger.raw + ledger.purged + ledger.external, "{ledger:?}");
    assert_eq!(ledger.delivered, ledger.raw + ledger.purged + ledger.undecodable + ledger.unlinked, "{ledger:?}");
    assert_eq!(ledger.delivered, store.cursor(1).await.unwrap().map_or(0, |cursor| cursor.seq));
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.users, store.list_users(Page::first(1000)).await.unwrap().rows.len() as u64);
    assert_eq!(counts.links, store.list_links(LinkFilter::default(), Page::first(1000)).await.unwrap().rows.len() as u64);
    assert_eq!(counts.events, store.list_events(EventFilter::default(), Page::first(1000)).await.unwrap().rows.len() as u64);
}

fn new_link(code: &str) -> NewLink {
    NewLink {
        domain: String::new(),
        short_code: ShortCode::parse(code).unwrap(),
        target: Target::verbatim("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        status: RedirectStatus::Found302,
        owner: None,
        expires_at: None,
    }
}

fn click(n: u64) -> DeliveredClick {
    DeliveredClick {
        click: OwnedClick {
            link_id: LinkId(1 + (n % 2) as i64),
            owner: None,
            at: T0,
            visitor: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            purpose: Purpose::Visit,
            short_code: format!("code{}", n % 2),
            target: "https://example.com/".into(),
            referrer: None,
            user_agent: None,
        },
        agent: Agent { class: AgentClass::Human, browser: "firefox", os: "linux" },
        referrer_host: Some(format!("site{n}.example")),
    }
}
