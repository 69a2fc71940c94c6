//! Links and their events.

use knurl_core::{
    Link, LinkId, Page, Target, UserId,
    link::{Expected, LinkPatch, NewLink, RedirectStatus},
};
use knurl_store::{Conflict, LinkFilter, Reference, StoreError};

use crate::bench::*;

pub(crate) async fn a_created_link_reads_back_as_it_was_answered(b: Bench) {
    let owner = b.user("ada").await;
    let new = NewLink {
        title: Some("Émile's \"page\"".into()),
        is_active: false,
        status: RedirectStatus::Permanent308,
        owner: Some(owner.id),
        expires_at: Some(after(9)),
        ..new_link("abc")
    };
    let link = b.store.create_link(new, T0).await.unwrap();
    assert_eq!((link.version, link.created_at, link.updated_at, link.deleted_at), (1, T0, T0, None));
    assert_eq!(b.store.link(link.id).await.unwrap().as_ref(), Some(&link));
    assert_eq!(b.store.link_by_code("", &code("abc")).await.unwrap().as_ref(), Some(&link));
    assert_eq!(b.links(LinkFilter::default()).await, [link]);
}

pub(crate) async fn the_oldest_link_to_a_target_that_redirects_is_found_for_each_owner(b: Bench) {
    let (ada, bob) = (b.user("ada").await, b.user("bob").await);
    let target = |text: &str| Target::verbatim(text).unwrap();
    let to = |text: &str, code: &str| NewLink { target: target(text), ..new_link(code) };
    for owner in [None, Some(ada.id)] {
        let found = async |text: &str| b.store.link_to(owner, &target(text), T0).await.unwrap().map(|link| link.short_code);
        let codes = |n: u32| format!("{}{n}", owner.map_or("x", |_| "y"));
        let create = async |new: NewLink| b.store.create_link(NewLink { owner, ..new }, T0).await.unwrap();
        assert_eq!(found("https://a.example/b").await, None);
        create(to("https://a.example/b/longer", &codes(1))).await;
        create(to("https://a.example/B", &codes(2))).await;
        create(NewLink { is_active: false, ..to("https://a.example/b", &codes(3)) }).await;
        create(NewLink { expires_at: Some(T0), ..to("https://a.example/b", &codes(4)) }).await;
        b.store.create_link(NewLink { owner: Some(bob.id), ..to("https://a.example/b", &codes(5)) }, T0).await.unwrap();
        assert_eq!(found("https://a.example/b").await, None, "none of those is it");
        let first = create(NewLink { expires_at: Some(after(1)), ..to("https://a.example/b", &codes(6)) }).await;
        create(to("https://a.example/b", &codes(7))).await;
        assert_eq!(found("https://a.example/b").await, Some(code(&codes(6))));
        assert_eq!(found("https://a.example/%").await, None, "a text and no pattern");
        b.store.delete_link(first.id, Expected::Any, "why", T0).await.unwrap();
        assert_eq!(found("https://a.example/b").await, Some(code(&codes(7))));
    }
}

pub(crate) async fn what_never_existed_is_none(b: Bench) {
    assert_eq!(b.store.link(LinkId(1)).await.unwrap(), None);
    assert_eq!(b.store.link_by_code("", &code("abc")).await.unwrap(), None);
    assert_eq!(b.store.update_link(LinkId(1), LinkPatch::default(), T0).await.unwrap(), None);
    assert_eq!(b.store.delete_link(LinkId(1), Expected::Any, "why", T0).await.unwrap(), None);
}

pub(crate) async fn creating_writes_one_created_event(b: Bench) {
    let owner = b.user("ada").await;
    let link = b.link_of(&owner, "abc").await;
    let events = b.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].link_id, events[0].user_id, events[0].at), (link.id, Some(owner.id), T0));
    assert_eq!(events[0].event_type.as_str(), "created");
    assert_eq!(events[0].details.as_deref(), Some(r#"{"short_code":"abc","original_url":"https://example.com/abc"}"#));
}

pub(crate) async fn a_taken_code_is_a_conflict_and_writes_nothing(b: Bench) {
    b.link("abc").await;
    let refused = b.store.create_link(new_link("abc"), T0).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::ShortCode))), "{refused:?}");
    assert_eq!((b.links(LinkFilter::default()).await.len(), b.events().await.len()), (1, 1));
    b.assert_books_balance().await;
}

pub(crate) async fn codes_differ_by_case_and_by_domain(b: Bench) {
    let lower = b.link("abc").await;
    let upper = b.link("ABC").await;
    let elsewhere = b.store.create_link(NewLink { domain: "sho.rt".into(), ..new_link("abc") }, T0).await.unwrap();
    assert_eq!(b.store.link_by_code("", &code("abc")).await.unwrap(), Some(lower));
    assert_eq!(b.store.link_by_code("", &code("ABC")).await.unwrap(), Some(upper));
    assert_eq!(b.store.link_by_code("sho.rt", &code("abc")).await.unwrap(), Some(elsewhere));
}

pub(crate) async fn an_owner_who_does_not_exist_is_a_missing_reference(b: Bench) {
    let refused = b.store.create_link(NewLink { owner: Some(UserId(5)), ..new_link("abc") }, T0).await;
    assert!(matches!(refused, Err(StoreError::MissingReference(Reference::User))), "{refused:?}");
    b.assert_books_balance().await;
}

pub(crate) async fn each_row_of_a_bulk_create_succeeds_or_fails_by_itself(b: Bench) {
    let rows = vec![new_link("a"), new_link("a"), NewLink { owner: Some(UserId(99)), ..new_link("b") }, new_link("c")];
    let answers = b.store.create_links(rows, T0).await.unwrap();
    assert!(answers[0].is_ok() && answers[3].is_ok());
    assert!(matches!(answers[1], Err(StoreError::Conflict(Conflict::ShortCode))));
    assert!(matches!(answers[2], Err(StoreError::MissingReference(Reference::User))));
    assert_eq!(b.links(LinkFilter::default()).await.len(), 2);
    assert_eq!(b.events().await.len(), 2);
    b.assert_books_balance().await;
}

/// However many rows the store takes together: refusals at every edge, first, last, alone and in a row.
pub(crate) async fn a_large_bulk_create_answers_every_row_in_its_place(b: Bench) {
    let owner = b.user("ada").await.id;
    b.link("taken").await;
    let taken = [0, 7, 8, 63, 64, 65, 66, 130, 199];
    let of_nobody = [1, 62, 129, 131, 198];
    let twin_of_9 = 140;
    let row = |n: usize| match n {
        n if taken.contains(&n) => new_link("taken"),
        n if of_nobody.contains(&n) => NewLink { owner: Some(UserId(99)), ..new_link(&format!("n{n}")) },
        n if n == twin_of_9 => new_link("n9"),
        n => NewLink { owner: (n % 40 < 20).then_some(owner), title: Some(format!("{n}")), ..new_link(&format!("n{n}")) },
    };
    let rows: Vec<NewLink> = (0..200).map(row).collect();
    let answers = b.store.create_links(rows.clone(), after(1)).await.unwrap();
    assert_eq!(answers.len(), rows.len());
    let mut made = Vec::new();
    for (n, (answer, asked)) in answers.into_iter().zip(&rows).enumerate() {
        match answer {
            Ok(link) => {
                assert_eq!((&link.short_code, &link.title, link.owner), (&asked.short_code, &asked.title, asked.owner), "row {n}");
                assert_eq!(b.store.link(link.id).await.unwrap().as_ref(), Some(&link), "row {n}");
                made.push(link);
            }
            Err(StoreError::MissingReference(Reference::User)) => assert!(of_nobody.contains(&n), "row {n}"),
            Err(StoreError::Conflict(Conflict::ShortCode)) => assert!(taken.contains(&n) || n == twin_of_9, "row {n}"),
            Err(error) => panic!("row {n}: {error}"),
        }
    }
    assert_eq!(made.len(), 200 - taken.len() - of_nobody.len() - 1);
    assert!(made.is_sorted_by(|a, b| a.id < b.id));
    let events = b.events().await.split_off(1);
    let facts: Vec<_> = events.iter().map(|event| (event.link_id, event.user_id, event.at, event.details.clone())).collect();
    let details =
        |link: &Link| format!(r#"{{"short_code":"{}","original_url":"{}"}}"#, link.short_code.as_str(), link.target.as_str());
    let expected: Vec<_> = made.iter().map(|link| (link.id, link.owner, after(1), Some(details(link)))).collect();
    assert_eq!(facts, expected);
    b.assert_books_balance().await;
}

pub(crate) async fn an_update_changes_what_differs_and_writes_an_event_for_each_field(b: Bench) {
    let link = b.link("abc").await;
    let patch = LinkPatch {
        expected: Expected::Any,
        target: Some(target("https://example.org/new")),
        title: Some(Some("New".into())),
        is_active: Some(false),
        status: Some(RedirectStatus::MovedPermanently301),
        expires_at: Some(Some(after(1000))),
    };
    let updated = b.store.update_link(link.id, patch, after(7)).await.unwrap().unwrap();
    assert_eq!((updated.version, updated.updated_at, updated.created_at), (2, after(7), T0));
    assert_eq!(b.store.link(link.id).await.unwrap().as_ref(), Some(&updated));
    let events = b.events_of(link.id).await;
    assert!(events[1..].iter().all(|event| event.event_type.as_str() == "updated" && event.at == after(7)));
    let details: Vec<_> = events[1..].iter().map(|event| event.details.clone().unwrap()).collect();
    assert_eq!(
        details,
        [
            r#"{"field":"original_url","new_value":"https://example.org/new"}"#,
            r#"{"field":"title","new_value":"New"}"#,
            r#"{"field":"is_active","new_value":false}"#,
            r#"{"field":"redirect_status","new_value":301}"#,
            r#"{"field":"expires_at","new_value":"2023-11-14T22:00:01Z"}"#,
        ]
    );
}

pub(crate) async fn an_update_can_clear_title_and_expiry(b: Bench) {
    let new = NewLink { title: Some("T".into()), expires_at: Some(after(9)), ..new_link("abc") };
    let link = b.store.create_link(new, T0).await.unwrap();
    let patch = LinkPatch { title: Some(None), expires_at: Some(None), ..Default::default() };
    let updated = b.store.update_link(link.id, patch, after(1)).await.unwrap().unwrap();
    assert_eq!((updated.title, updated.expires_at), (None, None));
    let events = b.events_of(link.id).await;
    assert_eq!(events[1].details.as_deref(), Some(r#"{"field":"title","new_value":null}"#));
}

pub(crate) async fn an_update_that_changes_nothing_leaves_no_trace(b: Bench) {
    let link = b.link("abc").await;
    let patch = LinkPatch { target: Some(link.target.clone()), is_active: Some(true), ..Default::default() };
    assert_eq!(b.store.update_link(link.id, patch, after(7)).await.unwrap().as_ref(), Some(&link));
    assert_eq!(b.store.link(link.id).await.unwrap(), Some(link));
    assert_eq!(b.events().await.len(), 1);
}

pub(crate) async fn a_change_meant_for_another_version_changes_nothing(b: Bench) {
    let link = b.link("abc").await;
    let patch = |expected| LinkPatch { expected, title: Some(Some("New".into())), ..Default::default() };
    for versions in [vec![], vec![0, 2]] {
        let refused = b.store.update_link(link.id, patch(Expected::OneOf(versions.clone())), after(1)).await;
        assert!(matches!(refused, Err(StoreError::Outdated)), "{refused:?}");
        let refused = b.store.delete_link(link.id, Expected::OneOf(versions), "why", after(1)).await;
        assert!(matches!(refused, Err(StoreError::Outdated)), "{refused:?}");
    }
    assert_eq!(b.store.link(link.id).await.unwrap().as_ref(), Some(&link));
    assert_eq!(b.events().await.len(), 1);
    let updated = b.store.update_link(link.id, patch(Expected::OneOf(vec![7, 1])), after(2)).await.unwrap().unwrap();
    assert_eq!(updated.version, 2);
    let gone = b.store.delete_link(link.id, Expected::OneOf(vec![2]), "why", after(3)).await.unwrap();
    assert_eq!(gone, Some(updated));
    let patch = LinkPatch { expected: Expected::OneOf(vec![2]), ..Default::default() };
    assert_eq!(b.store.update_link(link.id, patch, after(4)).await.unwrap(), None, "what is gone has no version");
    b.assert_books_balance().await;
}

pub(crate) async fn an_inactive_link_is_still_found_by_its_code(b: Bench) {
    let link = b.link("abc").await;
    b.store.update_link(link.id, LinkPatch { is_active: Some(false), ..Default::default() }, after(1)).await.unwrap();
    assert!(!b.store.link_by_code("", &code("abc")).await.unwrap().unwrap().is_active);
}

pub(crate) async fn a_deleted_link_is_hidden_but_its_events_and_its_code_stay(b: Bench) {
    let link = b.link("abc").await;
    assert_eq!(b.store.delete_link(link.id, Expected::Any, "user_requested", after(3)).await.unwrap().as_ref(), Some(&link));
    assert_eq!(b.store.link(link.id).await.unwrap(), None);
    assert_eq!(b.store.link_by_code("", &code("abc")).await.unwrap(), None);
    assert!(b.links(LinkFilter::default()).await.is_empty());
    assert_eq!(b.store.update_link(link.id, LinkPatch { is_active: Some(false), ..Default::default() }, T0).await.unwrap(), None);
    assert_eq!(b.store.delete_link(link.id, Expected::Any, "again", after(4)).await.unwrap(), None);
    let events = b.events_of(link.id).await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].event_type.as_str(), "deleted");
    assert_eq!(events[1].details.as_deref(), Some(r#"{"reason":"user_requested"}"#));
    let refused = b.store.create_link(new_link("abc"), T0).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::ShortCode))));
    b.assert_books_balance().await;
}

pub(crate) async fn lists_ascend_by_id_and_pages_by_number_and_by_key_agree(b: Bench) {
    for n in 0..25 {
        b.link(&format!("code{n}")).await;
    }
    b.store.delete_link(LinkId(4), Expected::Any, "gone", T0).await.unwrap();
    let all = b.links(LinkFilter::default()).await;
    assert_eq!(all.len(), 24);
    assert!(all.windows(2).all(|pair| pair[0].id < pair[1].id));
    let (mut by_number, mut by_key, mut last) = (Vec::new(), Vec::new(), 0);
    for number in 1..=4 {
        let listed = b.store.list_links(LinkFilter::default(), Page::numbered(number, 7)).await.unwrap();
        assert_eq!(listed.total, 24);
        by_number.extend(listed.rows);
        let listed = b.store.list_links(LinkFilter::default(), Page::after(last, 7)).await.unwrap();
        assert_eq!(listed.total, 24);
        last = listed.rows.last().unwrap().id.0;
        by_key.extend(listed.rows);
    }
    assert_eq!(by_number, all);
    assert_eq!(by_key, all);
    let beyond = b.store.list_links(LinkFilter::default(), Page::numbered(i64::MAX, 1000)).await.unwrap();
    assert_eq!((beyond.rows.len(), beyond.total), (0, 24));
}

pub(crate) async fn filters_select_alone_and_together(b: Bench) {
    let (ada, bob) = (b.user("ada").await, b.user("bob").await);
    let made = |owner: &knurl_core::User, short_code: &str, title: &str, is_active| NewLink {
        owner: Some(owner.id),
        title: Some(title.to_owned()),
        is_active,
        ..new_link(short_code)
    };
    for new in [made(&ada, "one", "Summer SALE", true), made(&ada, "two", "winter", false), made(&bob, "three", "sale 50%", true)] {
        b.store.create_link(new, T0).await.unwrap();
    }
    let codes = |filter: LinkFilter| async {
        b.links(filter).await.into_iter().map(|link| link.short_code.as_str().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let any = LinkFilter::default;
    assert_eq!(codes(LinkFilter { owner: Some(ada.id), ..any() }).await, "one two");
    assert_eq!(codes(LinkFilter { owner: Some(UserId(99)), ..any() }).await, "");
    assert_eq!(codes(LinkFilter { is_active: Some(false), ..any() }).await, "two");
    assert_eq!(codes(LinkFilter { short_code: Some("two".into()), ..any() }).await, "two");
    assert_eq!(codes(LinkFilter { short_code: Some("tw".into()), ..any() }).await, "");
    assert_eq!(codes(LinkFilter { title: Some("sale".into()), ..any() }).await, "one three");
    assert_eq!(codes(LinkFilter { target: Some("EXAMPLE.com/t".into()), ..any() }).await, "two three");
    assert_eq!(codes(LinkFilter { owner: Some(ada.id), is_active: Some(true), ..any() }).await, "one");
    assert_eq!(codes(LinkFilter { owner: Some(bob.id), short_code: Some("two".into()), ..any() }).await, "");
    let everything = LinkFilter {
        owner: Some(bob.id),
        is_active: Some(true),
        short_code: Some("three".into()),
        title: Some("SALE".into()),
        target: Some("three".into()),
    };
    assert_eq!(codes(everything).await, "three");
}

pub(crate) async fn a_filter_takes_wildcards_literally(b: Bench) {
    for (short_code, title) in [("a", "50% off"), ("b", "50 off"), ("c", "a_b"), ("d", "axb"), ("e", r"back\slash")] {
        b.store.create_link(NewLink { title: Some(title.into()), ..new_link(short_code) }, T0).await.unwrap();
    }
    for (text, expected) in [("50%", 1), ("a_b", 1), ("%", 1), (r"\", 1), ("_", 1), ("", 5)] {
        let filter = LinkFilter { title: Some(text.into()), ..Default::default() };
        assert_eq!(b.links(filter).await.len(), expected, "{text}");
    }
}
