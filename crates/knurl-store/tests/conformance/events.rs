//! Events that clients post, and lists of events.

use knurl_core::{EventId, LinkId, Page, UserId, event::NewEvent, link::Expected};
use knurl_store::{EventFilter, Reference, StoreError};

use crate::bench::*;

pub(crate) async fn a_posted_event_reads_back_with_its_details_to_the_letter(b: Bench) {
    let (user, link) = (b.user("ada").await, b.link("abc").await);
    let details = Some("{ \"b\": 1.0,\t\"a\": \"\\u00e9\" }".to_owned());
    let new = NewEvent { user_id: Some(user.id), details: details.clone(), ..new_event(link.id, "campaign started") };
    let event = b.store.post_event(new).await.unwrap();
    assert_eq!(event.details, details);
    assert_eq!(b.store.event(event.id).await.unwrap(), Some(event));
    assert_eq!(b.store.event(EventId(99)).await.unwrap(), None);
    b.assert_books_balance().await;
}

pub(crate) async fn an_event_of_nobody_is_a_missing_reference(b: Bench) {
    let link = b.link("abc").await;
    let refused = b.store.post_event(new_event(LinkId(99), "x")).await;
    assert!(matches!(refused, Err(StoreError::MissingReference(Reference::Link))), "{refused:?}");
    let refused = b.store.post_event(NewEvent { user_id: Some(UserId(99)), ..new_event(link.id, "x") }).await;
    assert!(matches!(refused, Err(StoreError::MissingReference(Reference::User))), "{refused:?}");
    b.store.delete_link(link.id, Expected::Any, "gone", T0).await.unwrap();
    let refused = b.store.post_event(new_event(link.id, "click")).await;
    assert!(matches!(refused, Err(StoreError::MissingReference(Reference::Link))), "{refused:?}");
    b.assert_books_balance().await;
}

pub(crate) async fn event_filters_select_alone_and_together(b: Bench) {
    let (ada, bob) = (b.user("ada").await, b.user("bob").await);
    let (one, two) = (b.link_of(&ada, "one").await, b.link_of(&bob, "two").await);
    b.store.post_event(NewEvent { user_id: Some(bob.id), ..new_event(one.id, "seen") }).await.unwrap();
    b.store.post_event(new_event(two.id, "seen")).await.unwrap();
    let ids = |filter: EventFilter| async {
        let listed = b.store.list_events(filter, Page::first(100)).await.unwrap();
        assert_eq!(listed.total, listed.rows.len() as u64);
        listed.rows.into_iter().map(|event| event.id.0).collect::<Vec<_>>()
    };
    let any = EventFilter::default;
    assert_eq!(ids(any()).await, [1, 2, 3, 4]);
    assert_eq!(ids(EventFilter { link: Some(one.id), ..any() }).await, [1, 3]);
    assert_eq!(ids(EventFilter { user: Some(bob.id), ..any() }).await, [2, 3]);
    assert_eq!(ids(EventFilter { event_type: Some("seen".into()), ..any() }).await, [3, 4]);
    assert_eq!(ids(EventFilter { link: Some(one.id), user: Some(bob.id), ..any() }).await, [3]);
    assert_eq!(ids(EventFilter { user: Some(bob.id), event_type: Some("created".into()), ..any() }).await, [2]);
    let all = EventFilter { link: Some(one.id), user: Some(bob.id), event_type: Some("seen".into()) };
    assert_eq!(ids(all).await, [3]);
    assert!(ids(EventFilter { link: Some(LinkId(99)), ..any() }).await.is_empty());
    assert!(ids(EventFilter { event_type: Some("unheard of".into()), ..any() }).await.is_empty());
}

pub(crate) async fn event_pages_by_number_and_by_key_agree(b: Bench) {
    let link = b.link("abc").await;
    for _ in 0..9 {
        b.store.post_event(new_event(link.id, "seen")).await.unwrap();
    }
    for filter in [EventFilter::default(), EventFilter { link: Some(link.id), ..Default::default() }] {
        let all = b.store.list_events(filter.clone(), Page::first(100)).await.unwrap();
        let second = b.store.list_events(filter.clone(), Page::numbered(2, 4)).await.unwrap();
        let next = b.store.list_events(filter, Page::after(all.rows[3].id.0, 4)).await.unwrap();
        assert_eq!(second, next);
        assert_eq!((second.rows.as_slice(), second.total), (&all.rows[4..8], 10));
    }
}
