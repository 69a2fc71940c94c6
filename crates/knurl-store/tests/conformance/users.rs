//! Users, their uniqueness, and what goes with them.

use knurl_core::{Page, UserId, link::Expected};
use knurl_store::{Conflict, ImportMode, LinkFilter, StoreError};

use crate::bench::*;

pub(crate) async fn a_created_user_reads_back(b: Bench) {
    let user = b.user("Ada").await;
    assert_eq!(b.store.user(user.id).await.unwrap().as_ref(), Some(&user));
    assert_eq!(b.store.list_users(Page::first(10)).await.unwrap().rows, [user]);
    assert_eq!(b.store.user(UserId(99)).await.unwrap(), None);
}

pub(crate) async fn names_and_addresses_are_unique_in_any_case(b: Bench) {
    b.store.create_user(username("Ärger"), email("Ada@Example.com"), T0).await.unwrap();
    let name = b.store.create_user(username("äRGER"), email("else@example.com"), T0).await;
    assert!(matches!(name, Err(StoreError::Conflict(Conflict::Username))), "{name:?}");
    let address = b.store.create_user(username("else"), email("aDA@eXAMPLE.COM"), T0).await;
    assert!(matches!(address, Err(StoreError::Conflict(Conflict::Email))), "{address:?}");
    b.assert_books_balance().await;
}

pub(crate) async fn an_update_changes_what_is_given(b: Bench) {
    let user = b.user("ada").await;
    let renamed = b.store.update_user(user.id, Some(username("ADA")), None).await.unwrap().unwrap();
    assert_eq!((renamed.username.as_str(), renamed.email.as_str()), ("ADA", "ada@example.com"));
    let moved = b.store.update_user(user.id, None, Some(email("new@example.com"))).await.unwrap().unwrap();
    assert_eq!((moved.username.as_str(), moved.email.as_str()), ("ADA", "new@example.com"));
    assert_eq!(b.store.user(user.id).await.unwrap(), Some(moved));
    assert_eq!(b.store.update_user(UserId(99), Some(username("x")), None).await.unwrap(), None);
    // What was given up is free again.
    b.store.create_user(username("bob"), email("ada@example.com"), T0).await.unwrap();
}

pub(crate) async fn an_update_to_a_taken_name_changes_nothing(b: Bench) {
    let ada = b.user("ada").await;
    b.user("bob").await;
    let refused = b.store.update_user(ada.id, Some(username("new")), Some(email("BOB@example.com"))).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::Email))), "{refused:?}");
    let refused = b.store.update_user(ada.id, Some(username("Bob")), None).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::Username))), "{refused:?}");
    assert_eq!(b.store.user(ada.id).await.unwrap(), Some(ada));
}

pub(crate) async fn deleting_a_user_deletes_the_links_and_keeps_the_events(b: Bench) {
    let (ada, bob) = (b.user("ada").await, b.user("bob").await);
    let first = b.link_of(&ada, "one").await;
    let second = b.link_of(&ada, "two").await;
    let gone = b.link_of(&ada, "gone").await;
    b.store.delete_link(gone.id, Expected::Any, "earlier", T0).await.unwrap();
    let other = b.link_of(&bob, "other").await;
    let codes = b.store.delete_user(ada.id, after(5)).await.unwrap().unwrap();
    assert_eq!(codes, [code("one"), code("two")]);
    assert_eq!(b.store.user(ada.id).await.unwrap(), None);
    assert_eq!(b.links(LinkFilter::default()).await, [other]);
    for link in [first, second] {
        let events = b.events_of(link.id).await;
        assert_eq!(events.len(), 2);
        assert_eq!((events[1].event_type.as_str(), events[1].at), ("deleted", after(5)));
        assert_eq!(events[1].details.as_deref(), Some(r#"{"reason":"user_deleted"}"#));
        assert_eq!(events[1].user_id, Some(ada.id));
    }
    assert_eq!(b.events_of(gone.id).await.len(), 2);
    assert_eq!(b.store.delete_user(ada.id, T0).await.unwrap(), None);
    b.assert_books_balance().await;
}

pub(crate) async fn ids_are_never_given_twice(b: Bench) {
    let ada = b.user("ada").await;
    b.store.delete_user(ada.id, T0).await.unwrap();
    let again = b.user("ada").await;
    assert!(again.id > ada.id);
}

pub(crate) async fn a_name_stays_taken_as_long_as_an_imported_twin_bears_it(b: Bench) {
    let rows = numbered([user_row(1, "ada"), user_row(2, "ada"), user_row(3, "Ada")]);
    b.store.import_users(rows, ImportMode::Commit).await.unwrap();
    for id in [1, 3] {
        b.store.delete_user(UserId(id), T0).await.unwrap();
        let refused = b.store.create_user(username("ADA"), email("else@example.com"), T0).await;
        assert!(matches!(refused, Err(StoreError::Conflict(Conflict::Username))), "{refused:?}");
        let refused = b.store.create_user(username("else"), email("ADA@example.com"), T0).await;
        assert!(matches!(refused, Err(StoreError::Conflict(Conflict::Email))), "{refused:?}");
    }
    b.store.update_user(UserId(2), Some(username("other")), Some(email("other@example.com"))).await.unwrap();
    b.user("ada").await;
}

pub(crate) async fn a_twin_may_change_the_case_of_its_name_but_take_no_other(b: Bench) {
    b.store.import_users(numbered([user_row(1, "ada"), user_row(2, "ada"), user_row(3, "bob")]), ImportMode::Commit).await.unwrap();
    let renamed = b.store.update_user(UserId(2), Some(username("ADA")), None).await.unwrap().unwrap();
    assert_eq!(renamed.username, "ADA");
    let refused = b.store.update_user(UserId(2), Some(username("BOB")), None).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::Username))), "{refused:?}");
}
