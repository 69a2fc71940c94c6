//! Creates that happen once, whoever asks how often.

use knurl_core::{EventType, LinkId, UserId, event::NewEvent, link::NewLink};
use knurl_store::{
    LinkFilter, Reference, StoreError,
    once::{Candidate, Done, LinkFate, Once, Posted},
};
use tokio::task::JoinSet;

use crate::bench::*;

fn once(id: u8) -> Once {
    Once { id: [id; 32], fingerprint: [id; 32] }
}

fn one(short_code: &str) -> Vec<Candidate> {
    vec![Candidate { link: new_link(short_code), spare_codes: Vec::new() }]
}

fn created<'d>(done: &'d Done) -> Vec<&'d str> {
    let code = |fate: &'d LinkFate| match fate {
        LinkFate::Created { short_code, .. } => Some(short_code.as_str()),
        LinkFate::CodeTaken | LinkFate::NoSuchUser => None,
    };
    done.fates.iter().filter_map(code).collect()
}

pub(crate) async fn a_create_happens_once_however_often_it_is_asked_for(b: Bench) {
    assert_eq!(b.store.recall_once(once(1)).await.unwrap(), None);
    let first = b.store.create_once(once(1), one("abc"), T0).await.unwrap();
    assert!(!first.is_replay);
    let link = b.store.link_by_code("", &code("abc")).await.unwrap().unwrap();
    assert_eq!(first.fates, [LinkFate::Created { id: link.id, short_code: code("abc") }]);
    assert_eq!((link.created_at, link.version), (T0, 1));
    let again = Done { is_replay: true, ..first };
    // A code drawn for the repetition is not used.
    for store in [b.store.clone(), b.second_process()] {
        assert_eq!(store.create_once(once(1), one("def"), after(9)).await.unwrap(), again);
        assert_eq!(store.recall_once(once(1)).await.unwrap().as_ref(), Some(&again));
    }
    assert_eq!((b.links(LinkFilter::default()).await, b.events().await.len()), (vec![link], 1));
    b.assert_books_balance().await;
}

pub(crate) async fn an_event_happens_once_however_often_it_is_posted(b: Bench) {
    let (ada, link) = (b.user("ada").await, b.link("abc").await);
    for (id, event_type) in [(1, "seen"), (2, EventType::CLICK)] {
        let new = NewEvent {
            link_id: link.id,
            user_id: Some(ada.id),
            event_type: EventType::parse(event_type).unwrap(),
            at: T0,
            details: Some(r#"{"a":1}"#.into()),
        };
        let before = b.events().await.len();
        let first = b.store.post_event_once(once(id), new.clone()).await.unwrap();
        assert!(!first.is_replay);
        assert_eq!(b.store.event(first.event.id).await.unwrap().as_ref(), Some(&first.event));
        for store in [b.store.clone(), b.second_process()] {
            let again = store.post_event_once(once(id), NewEvent { at: after(9), ..new.clone() }).await.unwrap();
            assert_eq!(again, Posted { is_replay: true, event: first.event.clone() });
            let other = Once { fingerprint: [9; 32], ..once(id) };
            assert!(matches!(store.post_event_once(other, new.clone()).await, Err(StoreError::Reused)));
        }
        assert_eq!(b.events().await.len(), before + 1, "{event_type}");
        // What failed is not remembered.
        let nowhere = NewEvent { link_id: LinkId(99), ..new.clone() };
        let refused = b.store.post_event_once(once(id + 10), nowhere).await;
        assert!(matches!(refused, Err(StoreError::MissingReference(Reference::Link))), "{refused:?}");
        assert!(!b.store.post_event_once(once(id + 10), new).await.unwrap().is_replay);
    }
    b.assert_books_balance().await;
}

pub(crate) async fn a_create_whose_link_others_removed_with_the_whole_table_happens_again(b: Bench) {
    b.store.create_once(once(1), one("abc"), T0).await.unwrap();
    b.by_hand(if b.is_postgres() {
        "truncate users, links, events restart identity"
    } else {
        "delete from links; delete from events"
    });
    let again = b.store.create_once(once(1), one("abc"), after(9)).await.unwrap();
    assert!(!again.is_replay);
    assert_eq!(b.links(LinkFilter::default()).await.len(), 1);
    b.assert_books_balance().await;
}

pub(crate) async fn another_request_under_the_same_key_is_refused(b: Bench) {
    b.store.create_once(once(1), one("abc"), T0).await.unwrap();
    let other = Once { fingerprint: [9; 32], ..once(1) };
    assert!(matches!(b.store.create_once(other, one("def"), T0).await, Err(StoreError::Reused)));
    assert!(matches!(b.store.recall_once(other).await, Err(StoreError::Reused)));
    assert_eq!(b.links(LinkFilter::default()).await.len(), 1);
    b.assert_books_balance().await;
}

pub(crate) async fn of_a_hundred_at_once_one_creates_and_the_others_are_told(b: Bench) {
    let stores = [b.store.clone(), b.second_process()];
    let mut asking = JoinSet::new();
    for n in 0..100 {
        let store = stores[n % 2].clone();
        asking.spawn(async move {
            loop {
                match store.create_once(once(1), one(&format!("code{n}")), T0).await {
                    Err(StoreError::InFlight) => tokio::task::yield_now().await,
                    done => return done.unwrap(),
                }
            }
        });
    }
    let (mut made, mut told) = (0, Vec::new());
    while let Some(done) = asking.join_next().await {
        let done = done.unwrap();
        made += u32::from(!done.is_replay);
        told.push(done.fates);
    }
    assert_eq!(made, 1);
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    assert_eq!((b.links(LinkFilter::default()).await.len(), b.events().await.len()), (1, 1));
}

pub(crate) async fn a_taken_code_takes_the_next_spare_one(b: Bench) {
    b.link("abc").await;
    b.link("def").await;
    let spare_codes = vec![code("def"), code("ghi"), code("jkl")];
    let candidate = Candidate { link: new_link("abc"), spare_codes };
    let done = b.store.create_once(once(1), vec![candidate], T0).await.unwrap();
    assert_eq!(created(&done), ["ghi"]);
    assert_eq!((b.links(LinkFilter::default()).await.len(), b.events().await.len()), (3, 3));
    b.assert_books_balance().await;
}

pub(crate) async fn each_link_of_a_create_is_judged_by_itself_and_all_are_remembered(b: Bench) {
    let nobodys = Candidate { link: NewLink { owner: Some(UserId(99)), ..new_link("b") }, spare_codes: vec![code("c")] };
    let candidates = || [one("a"), one("a"), vec![nobodys.clone()], one("d")].concat();
    let done = b.store.create_once(once(1), candidates(), T0).await.unwrap();
    assert_eq!(created(&done), ["a", "d"]);
    assert_eq!(done.fates[1..3], [LinkFate::CodeTaken, LinkFate::NoSuchUser]);
    assert_eq!(b.store.create_once(once(1), candidates(), T0).await.unwrap(), Done { is_replay: true, ..done });
    assert_eq!((b.links(LinkFilter::default()).await.len(), b.events().await.len()), (2, 2));
    b.assert_books_balance().await;
}

pub(crate) async fn a_create_that_makes_nothing_is_not_remembered(b: Bench) {
    b.link("abc").await;
    let refused = b.store.create_once(once(1), one("abc"), T0).await.unwrap();
    assert_eq!(refused.fates, [LinkFate::CodeTaken]);
    assert_eq!(b.store.recall_once(once(1)).await.unwrap(), None);
    let done = b.store.create_once(Once { fingerprint: [9; 32], ..once(1) }, one("def"), T0).await.unwrap();
    assert_eq!(created(&done), ["def"]);
    b.assert_books_balance().await;
}

pub(crate) async fn what_is_old_is_forgotten_in_steps(b: Bench) {
    for n in 1..=5 {
        b.store.create_once(once(n), one(&format!("code{n}")), after(i64::from(n))).await.unwrap();
    }
    assert_eq!(b.store.forget_onces(after(4), 2).await.unwrap(), 2);
    assert_eq!(b.store.recall_once(once(1)).await.unwrap(), None);
    assert!(b.store.recall_once(once(3)).await.unwrap().is_some(), "the oldest go first");
    assert_eq!(b.store.forget_onces(after(4), 2).await.unwrap(), 1);
    assert_eq!(b.store.forget_onces(after(4), 2).await.unwrap(), 0);
    assert!(b.store.recall_once(once(4)).await.unwrap().is_some());
    assert_eq!(b.links(LinkFilter::default()).await.len(), 5, "links stay");
}
