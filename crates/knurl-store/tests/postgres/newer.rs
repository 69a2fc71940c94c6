//! A newer version widens the tables while this one is at work: what an upgrade, node after node, does to those that are still old.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use knurl_core::{
    EventType, Page,
    event::NewEvent,
    key::KeyHash,
    link::Expected,
    stats::{Dimension, StatsQuery, Unit},
};
use knurl_store::{EventFilter, ImportMode, LinkFilter, Numbered};

use crate::{months::Spool, *};

/// Another column wherever there is a table, with a value in each new row; another table; another version. One step, as a migration is.
const WIDER: &str = "do $$ declare t text; begin
    for t in select relname from pg_class where relkind in ('r', 'p') and not relispartition and relnamespace = current_schema()::regnamespace
    loop execute format('alter table %I add column newer text default ''n''', t); end loop;
    end $$;
    create table newer_things (id bigint primary key);
    create or replace function knurl_schema_version() returns bigint language sql immutable as 'select 999'";

/// Everything that a node asks of its database, once; `turn` tells the names apart.
async fn work(store: &PostgresStore, turn: u32) {
    let name = |what: &str| format!("{what}{turn}");
    let owner = user(store, &name("user")).await;
    let link = create(store, &name("one")).await.unwrap();
    create_once(store, &name("once")).await.unwrap();
    let bulk = (0..50).map(|n| NewLink { owner: Some(owner), ..new_link(&format!("b{turn}x{n}")) }).collect();
    assert!(store.create_links(bulk, NOW).await.unwrap().iter().all(Result::is_ok));
    assert_eq!(find(store, &name("one")).await.unwrap().unwrap().id, link.id);
    assert!(store.link(link.id).await.unwrap().is_some());
    let patch = LinkPatch { title: Some(Some(name("title"))), ..LinkPatch::default() };
    assert!(store.update_link(link.id, patch, NOW).await.unwrap().is_some());
    Spool { id: u128::from(turn), seq: 0 }.deliver(store, &link, &["2026-01-01 00:00:00"; 100]).await;
    let posted =
        NewEvent { link_id: link.id, user_id: None, event_type: EventType::parse("click").unwrap(), at: NOW, details: None };
    let event = store.post_event(posted).await.unwrap();
    assert!(store.event(event.id).await.unwrap().is_some());
    let listed =
        store.list_events(EventFilter { link: Some(link.id), ..EventFilter::default() }, Page::first(1_000)).await.unwrap();
    assert_eq!(listed.rows.len(), 103, "created, updated, 101 clicks");
    assert_eq!(
        store.list_links(LinkFilter { owner: Some(owner), ..LinkFilter::default() }, Page::first(100)).await.unwrap().rows.len(),
        50
    );
    assert!(!store.list_users(Page::first(10)).await.unwrap().rows.is_empty());
    let day = StatsQuery { link: Some(link.id), from: UnixMillis(0), to: UnixMillis(2_000_000_000_000), unit: Unit::Day };
    assert_eq!(store.buckets(day).await.unwrap().iter().map(|bucket| bucket.total).sum::<u64>(), 101);
    store.shares(day, Dimension::Browser, 10).await.unwrap();
    assert!(!store.top_links(StatsQuery { link: None, ..day }, 10).await.unwrap().is_empty());
    assert_eq!(store.link_totals(&[link.id]).await.unwrap().len(), 1);
    let key = store.create_key(&name("key"), KeyHash([turn as u8; 32]), NOW).await.unwrap();
    assert!(store.list_keys().await.unwrap().iter().any(|known| known.id == key.id));
    assert!(store.revoke_key(key.id, NOW).await.unwrap().is_some());
    store.visitor_salt(i64::from(turn), knurl_core::visitor::Salt([1; 16])).await.unwrap();
    let row = store.user(owner).await.unwrap().unwrap();
    assert_eq!(store.import_users(vec![Numbered { line: 1, row }], ImportMode::Commit).await.unwrap().inserted, 0);
    assert_eq!(
        store
            .import_links(vec![Numbered { line: 1, row: store.link(link.id).await.unwrap().unwrap() }], ImportMode::Commit)
            .await
            .unwrap()
            .inserted,
        0
    );
    assert_eq!(store.import_events(vec![Numbered { line: 1, row: event }], ImportMode::Commit).await.unwrap().inserted, 0);
    assert!(store.delete_link(link.id, Expected::Any, "over", NOW).await.unwrap().is_some());
    assert_eq!(store.delete_user(owner, NOW).await.unwrap().unwrap().len(), 50);
    assert_eq!(store.counts().await.unwrap().links, u64::from(turn) + 1, "those of each turn's `create_once`");
    assert!(store.click_ledger().await.unwrap().differences() == (0, 0));
    store.fold_edits().await.unwrap();
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_node_goes_on_while_a_newer_version_widens_the_tables() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    work(&store, 0).await;

    // Creates and reads all the time, on connections with prepared statements.
    let (made, over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let (store, made, over) = (store.clone(), made.clone(), over.clone());
        clients.spawn(async move {
            for n in 0.. {
                let code = format!("c{client}x{n}");
                create(&store, &code).await.unwrap();
                assert!(find(&store, &code).await.unwrap().is_some());
                made.fetch_add(1, Relaxed);
                if over.load(Relaxed) == 1 {
                    break;
                }
            }
        });
    }
    until(|| made.load(Relaxed) > 200).await;
    let widening = session(&server).await;
    // It takes locks of tables in use, one after the other: as a migration does, it comes again where the server undoes it for another's sake.
    while let Err(error) = widening.batch_execute(WIDER).await {
        assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::T_R_DEADLOCK_DETECTED), "{error:?}");
    }
    let at_widening = made.load(Relaxed);
    until(|| made.load(Relaxed) > at_widening + 200).await;
    over.store(1, Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    server.sql("delete from events where link_id in (select id from links where short_code like 'c%x%')").unwrap();
    assert_eq!(server.sql("select count(*) from links where short_code like 'c%x%'").unwrap(), made.load(Relaxed).to_string());
    server.sql("delete from links where short_code like 'c%x%'").unwrap();

    work(&store, 1).await;
    // And on connections that know nothing of the time before.
    server.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'knurl'").unwrap();
    until_back(&store).await;
    work(&store, 2).await;

    // One that starts now may, or is told why it cannot: as the newer version says.
    let serves_from = |version: i64| {
        let says = "create or replace function knurl_schema_serves_from() returns bigint language sql immutable as";
        server.sql(&format!("{says} 'select {version}'")).unwrap();
    };
    serves_from(1);
    work(&PostgresStore::open(&options(&server.url())).await.unwrap(), 3).await;
    serves_from(998);
    let refused = PostgresStore::open(&options(&server.url())).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooNew { found: 999, .. }), "{refused}");
}
