//! Before, behind and after the fence.

use knurl_core::{
    Page,
    key::KeyHash,
    link::{Expected, LinkPatch},
    visitor::Salt,
};
use knurl_store::{
    Applied, ImportMode, LinkFilter, StoreError,
    moving::{self, End, Into, IntoState, Out, OutState},
    once::{Candidate, Once},
};

use crate::{bench::*, houses::*, sample};

fn out(state: OutState) -> Out {
    Out { id: "a move".into(), to: "elsewhere".into(), state }
}

fn refuses<T>(answer: Result<T, StoreError>) {
    let refused = answer.err();
    assert!(matches!(refused, Some(StoreError::Moving)), "{refused:?}");
}

async fn the_fence_refuses_every_write(house: House) {
    let store = house.open().await;
    sample::fill(&*store).await;
    let link = store.link_by_code("", &code("code5")).await.unwrap().unwrap();
    let mut side = house.side(End::From).await.unwrap();
    side.stand_out(Some(&out(OutState::Copying))).await.unwrap();
    store.create_link(new_link("meanwhile"), T0).await.unwrap();

    side.stand_out(Some(&out(OutState::Settling))).await.unwrap();
    store.create_link(new_link("still"), T0).await.unwrap();
    let waits = batch(123, vec![click(&link, T0, 1)]);
    refuses(store.apply_clicks(waits.clone()).await);

    side.stand_out(Some(&out(OutState::Fenced))).await.unwrap();
    let ledger = store.click_ledger().await.unwrap();
    refuses(store.create_link(new_link("refused"), T0).await);
    refuses(store.create_links(vec![new_link("refused")], T0).await.and_then(|mut made| made.remove(0)));
    let once = Once { id: [99; 32], fingerprint: [9; 32] };
    let candidates = vec![Candidate { link: new_link("refused"), spare_codes: Vec::new() }];
    refuses(store.create_once(once, candidates, T0).await);
    let patch = LinkPatch { title: Some(None), is_active: Some(false), ..LinkPatch::default() };
    refuses(store.update_link(link.id, patch, T0).await);
    refuses(store.delete_link(link.id, Expected::Any, "no", T0).await);
    refuses(store.create_user(username("New"), email("new@example.com"), T0).await);
    let user = store.list_users(Page::first(1)).await.unwrap().rows.remove(0);
    refuses(store.update_user(user.id, Some(username("Newer")), None).await);
    refuses(store.delete_user(user.id, T0).await);
    refuses(store.post_event(new_event(link.id, "click")).await);
    refuses(store.create_key("new", KeyHash([9; 32]), T0).await);
    refuses(store.revoke_key(store.list_keys().await.unwrap()[0].id, T0).await);
    refuses(store.import_links(numbered([link_row(900, None, "imported")]), ImportMode::Commit).await);
    refuses(store.apply_clicks(waits.clone()).await);
    // What goes on: reads, health, what a start asks for, and the day's salt.
    assert_eq!(store.link_by_code("", &code("code5")).await.unwrap(), Some(link.clone()));
    assert!(store.list_links(LinkFilter::default(), Page::first(5)).await.unwrap().total > 50);
    assert_eq!(store.click_ledger().await.unwrap(), ledger);
    store.ping().await.unwrap();
    store.foreign_changes().await.unwrap();
    assert_eq!(store.create_key("reader", KeyHash([1; 32]), T0).await.unwrap().name, "reader");
    store.visitor_salt(20_001, Salt([1; 16])).await.unwrap();
    house.open().await.close().await;

    moving::abort(&mut *side, None).await.unwrap();
    store.create_link(new_link("refused"), T0).await.unwrap();
    assert_eq!(store.apply_clicks(waits).await.unwrap(), Applied::Applied);
    let again = moving::abort(&mut *side, None).await.unwrap_err();
    assert!(matches!(&again, StoreError::Refused(why) if why.starts_with("no move goes out of")), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_refuses_every_write_and_no_read_in_sqlite() {
    the_fence_refuses_every_write(House::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_refuses_every_write_and_no_read_in_postgres() {
    the_fence_refuses_every_write(House::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_complete_move_there_is_no_way_out_but_the_way_back() {
    for (from, to) in WAYS {
        let (old, new) = (from(), to());
        old.open().await.create_link(new_link("mine"), T0).await.unwrap();
        move_house(&old, &new).await;
        let (mut from, mut to) = (old.side(End::From).await.unwrap(), new.side(End::From).await.unwrap());
        let blind = moving::abort(&mut *from, None).await.unwrap_err().to_string();
        assert!(blind.contains("name") && blind.contains("too"), "{blind}");
        let live = moving::abort(&mut *from, Some(&mut *to)).await.unwrap_err().to_string();
        assert!(live.contains("is live"), "{live}");
        assert!(old.try_open().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_was_left_before_its_last_word_can_be_ended_either_way() {
    for (from, to) in WAYS {
        let (old, new) = (from(), to());
        old.open().await.create_link(new_link("mine"), T0).await.unwrap();
        let (mut from, mut to) = (old.side(End::From).await.unwrap(), new.side(End::To).await.unwrap());
        from.stand_out(Some(&out(OutState::Moved))).await.unwrap();
        to.stand_in(&Into { id: "a move".into(), from: "there".into(), state: IntoState::Copying }).await.unwrap();
        assert!(old.try_open().await.is_err() && new.try_open().await.is_err());
        moving::abort(&mut *from, Some(&mut *to)).await.unwrap();
        old.open().await.create_link(new_link("again"), T0).await.unwrap();
        let refused = new.try_open().await.unwrap_err().to_string();
        assert!(refused.contains("is not finished"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_move_at_a_time() {
    for house in [House::sqlite(), House::postgres()] {
        house.open().await.close().await;
        let first = house.side(End::From).await.unwrap();
        assert!(matches!(house.side(End::From).await, Err(StoreError::Refused(_))));
        drop(first);
        let mut tries = 0;
        // A server needs a moment to see that a session is gone.
        while house.side(End::From).await.is_err() {
            tries += 1;
            assert!(tries < 500, "it stays locked");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_server_has_open_is_not_moved_into() {
    let (old, new) = (House::postgres(), House::sqlite());
    old.open().await.create_link(new_link("mine"), T0).await.unwrap();
    let open = new.open().await;
    open.ping().await.unwrap();
    let refused = try_move(&old, &new, &small()).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Refused(why) if why.contains("in use")), "{refused:?}");
    open.close().await;
    move_house(&old, &new).await;
}
