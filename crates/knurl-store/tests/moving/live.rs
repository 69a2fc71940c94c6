//! Everybody goes on writing while the database moves.

use std::sync::Arc;

use knurl_core::{
    Link, ShortCode,
    link::{Expected, LinkPatch},
};
use knurl_store::{
    Applied, Store, StoreError,
    moving::{Part, row::Tally},
    once::{Candidate, Once},
};
use tokio::task::JoinHandle;

use crate::{bench::*, houses::*, sample};

/// What one writer was told.
#[derive(Default)]
struct Told {
    links: Vec<Link>,
    deleted: Vec<ShortCode>,
    users: Vec<knurl_core::User>,
    clicks: u64,
    onces: Vec<Once>,
    refused: u64,
}

/// Writes until the fence, and notes what was acknowledged.
fn write_on(store: Arc<dyn Store>, writer: u8) -> JoinHandle<Told> {
    tokio::spawn(async move {
        let mut told = Told::default();
        for n in 0_u64.. {
            if let Err(error) = one_round(&*store, writer, n, &mut told).await {
                assert!(matches!(error, StoreError::Moving), "{error:?}");
                told.refused += 1;
                // The drain is stopped some time before everything else is.
                if store.create_link(new_link(&format!("w{writer}x{n}")), T0).await.is_err() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        told
    })
}

async fn one_round(store: &dyn Store, writer: u8, n: u64, told: &mut Told) -> Result<(), StoreError> {
    let link = store.create_link(new_link(&format!("w{writer}n{n}")), T0).await?;
    told.links.push(link.clone());
    if n.is_multiple_of(5) {
        let patch = LinkPatch { title: Some(Some(format!("title {n}"))), ..LinkPatch::default() };
        let changed = store.update_link(link.id, patch, after(n as i64)).await?.unwrap();
        told.links.pop();
        told.links.push(changed);
    }
    if n % 11 == 3 {
        store.delete_link(link.id, Expected::Any, "no", after(n as i64)).await?;
        told.links.pop();
        told.deleted.push(link.short_code.clone());
    }
    if n % 7 == 2 {
        let name = format!("user{writer}n{n}");
        let user = store.create_user(username(&name), email(&format!("{name}@example.com")), T0).await?;
        told.users.push(store.update_user(user.id, Some(username(&format!("{name}b"))), None).await?.unwrap());
    }
    if n % 9 == 4 {
        let mut id = [writer; 32];
        // The first eight bytes are a lock.
        id[1..9].copy_from_slice(&n.to_le_bytes());
        let once = Once { id, fingerprint: [1; 32] };
        let candidates = vec![Candidate { link: new_link(&format!("o{writer}n{n}")), spare_codes: Vec::new() }];
        store.create_once(once, candidates, T0).await?;
        told.onces.push(once);
    }
    if n % 13 == 6 && n % 11 != 3 {
        store.post_event(new_event(link.id, "click")).await?;
    }
    if n.is_multiple_of(3) {
        let of_spool = u128::from(writer) + 100;
        let mut clicks = batch(told.clicks, vec![click(&link, after(n as i64 * 60_000), n), click(&link, after(5), n)]);
        (clicks.from.spool_id, clicks.to.spool_id) = (of_spool, of_spool);
        assert_eq!(store.apply_clicks(clicks).await?, Applied::Applied);
        told.clicks += 2;
    }
    Ok(())
}

async fn nothing_acknowledged_is_left_behind(from: fn() -> House, to: fn() -> House) {
    let (old, new) = (from(), to());
    let store = old.open().await;
    sample::fill(&*store).await;
    let writers: Vec<_> = (0..3).map(|writer| write_on(store.clone(), writer)).collect();
    // A little later, so that there is something to run after.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let moved = move_house(&old, &new).await;
    assert!(moved.noted > 0, "it had to run after the writers");
    let store_there = new.open().await;
    for (writer, told) in (0_u8..).zip(writers) {
        let told = told.await.unwrap();
        assert!(told.links.len() > 20 && told.refused > 0, "writer {writer} wrote {}", told.links.len());
        for link in &told.links {
            assert_eq!(store_there.link(link.id).await.unwrap().as_ref(), Some(link));
        }
        for code in &told.deleted {
            assert_eq!(store_there.link_by_code("", code).await.unwrap(), None);
        }
        for user in &told.users {
            assert_eq!(store_there.user(user.id).await.unwrap().as_ref(), Some(user));
        }
        for once in &told.onces {
            assert!(store_there.recall_once(*once).await.unwrap().unwrap().is_replay);
        }
        let cursor = store_there.cursor(u128::from(writer) + 100).await.unwrap().map_or(0, |cursor| cursor.seq);
        assert_eq!(cursor, told.clicks);
    }
    let ledger = store_there.click_ledger().await.unwrap();
    assert_eq!(ledger, store.click_ledger().await.unwrap());
    assert_eq!(ledger.rolled_up, ledger.raw + ledger.purged + ledger.external, "{ledger:?}");
    assert_eq!(ledger.delivered, ledger.raw + ledger.purged + ledger.undecodable, "{ledger:?}");
    assert_eq!(store_there.counts().await.unwrap(), store.counts().await.unwrap());
    for store in [store, store_there] {
        store.close().await;
    }
    // A create that the fence refuses has drawn an id before (PostgreSQL's sequences know no transaction): the old database may have given
    // more than were copied, to nobody.
    let comparable =
        |tallies: Vec<(Part, Tally)>| tallies.into_iter().filter(|(part, _)| *part != Part::Sequences).collect::<Vec<_>>();
    assert_eq!(comparable(new.tallies().await), comparable(old.tallies().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_left_behind_on_the_way_to_postgres() {
    nothing_acknowledged_is_left_behind(House::sqlite, House::postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_left_behind_on_the_way_to_sqlite() {
    nothing_acknowledged_is_left_behind(House::postgres, House::sqlite).await;
}

/// Somebody empties the tables of a server that is being copied.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_go_all_at_once_go_there_too() {
    use knurl_store::moving::{self, End, Phase};
    let (old, new) = (House::postgres(), House::postgres());
    let store = old.open().await;
    sample::fill(&*store).await;
    let House::Postgres(database) = &old else { unreachable!() };
    let url = database.url.clone();
    let (mut from, mut to) = (old.side(End::From).await.unwrap(), new.side(End::To).await.unwrap());
    let mut emptying = None;
    moving::run(&mut *from, &mut *to, &small(), &mut |progress| {
        if progress.phase == Phase::Copying && progress.rows > 40 && emptying.is_none() {
            let url = url.clone();
            emptying = Some(tokio::spawn(async move { crate::servers::sql(&url, "truncate users, links, events").await }));
        }
    })
    .await
    .unwrap();
    emptying.unwrap().await.unwrap();
    let there = new.open().await;
    assert_eq!(there.counts().await.unwrap(), store.counts().await.unwrap());
    assert_eq!(there.counts().await.unwrap().links, 0);
}
