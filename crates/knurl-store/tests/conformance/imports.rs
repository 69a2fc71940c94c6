//! Imports: ids kept, oddities noted, the same chunk twice.

use knurl_core::{
    Event, Link, User, UserId,
    link::{Expected, LinkPatch},
};
use knurl_store::{Conflict, ImportMode, Imported, LinkFilter, RowNoteKind, StoreError};

use crate::bench::*;

fn notes(imported: &Imported) -> Vec<(u64, &'static str, RowNoteKind)> {
    imported.notes.iter().map(|note| (note.line, note.field, note.kind)).collect()
}

pub(crate) async fn imported_rows_keep_ids_and_times_and_later_ids_come_after_them(b: Bench) {
    let (user, link, event) = (user_row(40, "ada"), link_row(50, Some(40), "abc"), event_row(60, 50, "created"));
    let done = b.store.import_users(numbered([user.clone()]), ImportMode::Commit).await.unwrap();
    assert_eq!(done, Imported { inserted: 1, notes: vec![] });
    b.store.import_links(numbered([link.clone()]), ImportMode::Commit).await.unwrap();
    b.store.import_events(numbered([event.clone()]), ImportMode::Commit).await.unwrap();
    assert_eq!(b.store.user(user.id).await.unwrap(), Some(user));
    assert_eq!(b.store.link_by_code("", &code("abc")).await.unwrap(), Some(link));
    // No event but the file's own.
    assert_eq!(b.events().await, [event]);
    assert_eq!(b.user("bob").await.id.0, 41);
    assert_eq!(b.link("new").await.id.0, 51);
    assert_eq!(b.events().await[1].id.0, 61);
    b.assert_books_balance().await;
}

/// However the files come in, and whatever they leave out.
pub(crate) async fn whoever_comes_later_inherits_nothing_of_an_imported_row(b: Bench) {
    b.store.import_links(numbered([link_row(1, Some(7), "abc")]), ImportMode::Commit).await.unwrap();
    let mallory = b.user("mallory").await;
    assert_eq!(mallory.id.0, 8);
    let of_links = Event { user_id: Some(UserId(20)), ..event_row(1, 30, "created") };
    let clicks = [event_row(2, 40, "click"), Event { user_id: Some(UserId(50)), ..event_row(3, 2, "click") }];
    b.store.import_events(numbered([of_links]), ImportMode::Commit).await.unwrap();
    assert_eq!((b.user("eve").await.id.0, b.link("new").await.id.0), (21, 31));
    b.store.import_events(numbered(clicks), ImportMode::Commit).await.unwrap();
    assert_eq!((b.user("bob").await.id.0, b.link("newer").await.id.0), (51, 41));
    b.store.delete_user(mallory.id, T0).await.unwrap();
    assert_eq!(b.links(LinkFilter::default()).await.len(), 3);
    // What is judged only moves nothing, and an id that is named stays free for its own row.
    b.store.import_links(numbered([link_row(90, Some(90), "dry")]), ImportMode::DryRun).await.unwrap();
    assert_eq!((b.user("carl").await.id.0, b.link("newest").await.id.0), (52, 42));
    let ada = user_row(7, "ada");
    assert_eq!(b.store.import_users(numbered([ada.clone()]), ImportMode::Commit).await.unwrap().inserted, 1);
    assert_eq!(b.store.user(ada.id).await.unwrap(), Some(ada));
}

pub(crate) async fn the_same_chunk_again_inserts_nothing_and_says_so(b: Bench) {
    let users = numbered([user_row(1, "ada"), user_row(2, "ada")]);
    let links = numbered([link_row(1, Some(1), "abc"), link_row(2, Some(2), "abc")]);
    let events = numbered([event_row(1, 1, "created"), event_row(2, 1, "click")]);
    for round in 0..2 {
        let done = [
            b.store.import_users(users.clone(), ImportMode::Commit).await.unwrap(),
            b.store.import_links(links.clone(), ImportMode::Commit).await.unwrap(),
            b.store.import_events(events.clone(), ImportMode::Commit).await.unwrap(),
        ];
        for imported in done {
            if round == 0 {
                assert_eq!(imported.inserted, 2);
            } else {
                assert_eq!(imported.inserted, 0);
                assert_eq!(notes(&imported), [(2, "id", RowNoteKind::AlreadyThere), (3, "id", RowNoteKind::AlreadyThere)]);
            }
        }
        b.assert_books_balance().await;
    }
    assert_eq!(b.store.click_ledger().await.unwrap().external, 1);
}

pub(crate) async fn a_row_changed_since_or_corrected_is_left_as_it_is_and_the_field_is_named(b: Bench) {
    let (user, link) = (user_row(1, "ada"), link_row(1, Some(1), "abc"));
    b.store.import_users(numbered([user.clone()]), ImportMode::Commit).await.unwrap();
    b.store.import_links(numbered([link.clone()]), ImportMode::Commit).await.unwrap();
    // A corrected file.
    let corrected = Link { target: target("https://example.com/right"), title: None, is_active: false, ..link.clone() };
    let later = Link { updated_at: after(9), ..link.clone() };
    let links = b.store.import_links(numbered([corrected, later]), ImportMode::Commit).await.unwrap();
    let named = [(2, "original_url"), (2, "title"), (2, "is_active"), (3, "updated_at")];
    assert_eq!((links.inserted, notes(&links)), (0, named.map(|(line, field)| (line, field, RowNoteKind::LeftAsIs)).to_vec()));
    assert_eq!(b.store.link(link.id).await.unwrap().as_ref(), Some(&link));
    // An edit here: both names, so that only the id and the time tell who it is.
    let (name, address) = (username("renamed"), email("moved@example.com"));
    b.store.update_user(UserId(1), Some(name), Some(address)).await.unwrap();
    let patch = LinkPatch { is_active: Some(false), ..Default::default() };
    let edited = b.store.update_link(link.id, patch, after(20)).await.unwrap();
    let users = b.store.import_users(numbered([user]), ImportMode::Commit).await.unwrap();
    let links = b.store.import_links(numbered([link.clone()]), ImportMode::Commit).await.unwrap();
    assert_eq!(notes(&users), [(2, "username", RowNoteKind::LeftAsIs), (2, "email", RowNoteKind::LeftAsIs)]);
    assert_eq!(notes(&links), [(2, "is_active", RowNoteKind::LeftAsIs)]);
    assert_eq!(b.store.user(UserId(1)).await.unwrap().unwrap().username, "renamed");
    assert_eq!(b.store.link(link.id).await.unwrap(), edited);
}

pub(crate) async fn a_user_deleted_since_stays_deleted_and_the_id_is_nobody_elses(b: Bench) {
    let rows = [user_row(1, "ada"), user_row(2, "bob"), user_row(3, "carl")];
    b.store.import_users(numbered(rows.clone()), ImportMode::Commit).await.unwrap();
    let eve = b.user("eve").await;
    // The last one of all too, and whatever else was edited before.
    b.store.update_user(UserId(2), Some(username("robert")), Some(email("r@example.com"))).await.unwrap();
    for id in [1, 2, 3, eve.id.0] {
        b.store.delete_user(UserId(id), after(9)).await.unwrap().unwrap();
    }
    let stranger = User { created_at: after(1), ..user_row(1, "stranger") };
    let again = b.store.import_users(numbered(rows.into_iter().chain([stranger, eve])), ImportMode::Commit).await.unwrap();
    let kinds: Vec<_> = again.notes.iter().map(|note| note.kind).collect();
    let left = RowNoteKind::StaysDeleted;
    assert_eq!((again.inserted, kinds), (0, vec![left, left, left, RowNoteKind::IdTaken, left]));
    assert_eq!(b.store.counts().await.unwrap().users, 0);
    // What was never here is not taken for deleted, though its id lies below ids that were given.
    let late = b.store.import_users(numbered([user_row(9, "late")]), ImportMode::Commit).await.unwrap();
    let early = b.store.import_users(numbered([user_row(5, "early")]), ImportMode::Commit).await.unwrap();
    assert_eq!((late.inserted, early.inserted), (1, 1));
    b.assert_books_balance().await;
}

/// A test suite that truncates between its cases imports the same users again.
pub(crate) async fn where_others_emptied_the_table_nobody_is_remembered(b: Bench) {
    let rows = || numbered([user_row(1, "ada"), user_row(2, "bob")]);
    b.store.import_users(rows(), ImportMode::Commit).await.unwrap();
    b.store.delete_user(UserId(1), T0).await.unwrap();
    b.by_hand("delete from users");
    assert_eq!(b.store.import_users(rows(), ImportMode::Commit).await.unwrap().inserted, 2);
}

pub(crate) async fn a_link_deleted_since_stays_deleted_and_says_so(b: Bench) {
    let link = link_row(1, None, "abc");
    b.store.import_links(numbered([link.clone()]), ImportMode::Commit).await.unwrap();
    b.store.delete_link(link.id, Expected::Any, "gone", T0).await.unwrap();
    let again = b.store.import_links(numbered([link]), ImportMode::Commit).await.unwrap();
    assert_eq!((again.inserted, notes(&again)), (0, vec![(2, "id", RowNoteKind::StaysDeleted)]));
    assert!(b.links(LinkFilter::default()).await.is_empty());
}

pub(crate) async fn an_id_of_another_row_or_out_of_range_is_refused(b: Bench) {
    b.store.import_users(numbered([user_row(1, "ada")]), ImportMode::Commit).await.unwrap();
    b.store.import_links(numbered([link_row(1, None, "abc")]), ImportMode::Commit).await.unwrap();
    b.store.import_events(numbered([event_row(1, 1, "created")]), ImportMode::Commit).await.unwrap();
    let expected = [(2, "id", RowNoteKind::IdTaken), (3, "id", RowNoteKind::IdOutOfRange), (4, "id", RowNoteKind::IdOutOfRange)];
    let ids = [1, 0, i64::MAX];
    // Of users only the time of their creation tells.
    let bobs = ids.map(|id| User { created_at: after(1), ..user_row(id, "bob") });
    let users = b.store.import_users(numbered(bobs), ImportMode::Commit).await.unwrap();
    let links = b.store.import_links(numbered(ids.map(|id| link_row(id, None, "bob"))), ImportMode::Commit).await.unwrap();
    let events = b.store.import_events(numbered(ids.map(|id| event_row(id, 1, "bob"))), ImportMode::Commit).await.unwrap();
    for imported in [users, links, events] {
        assert_eq!((imported.inserted, notes(&imported)), (0, expected.to_vec()));
    }
    b.assert_books_balance().await;
}

pub(crate) async fn duplicates_are_taken_and_noted_and_uniqueness_holds_afterwards(b: Bench) {
    let same_name = User { email: "other@example.com".into(), ..user_row(2, "ADA") };
    let same_both = user_row(3, "ada");
    let done = b.store.import_users(numbered([user_row(1, "ada"), same_name, same_both]), ImportMode::Commit).await.unwrap();
    assert_eq!(done.inserted, 3);
    let expected =
        [(3, "username", RowNoteKind::Duplicate), (4, "username", RowNoteKind::Duplicate), (4, "email", RowNoteKind::Duplicate)];
    assert_eq!(notes(&done), expected);
    assert_eq!(b.store.user(UserId(3)).await.unwrap().unwrap().username, "ada");
    let refused = b.store.create_user(username("Ada"), email("free@example.com"), T0).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::Username))), "{refused:?}");
}

pub(crate) async fn of_links_with_one_code_the_earlier_answers(b: Bench) {
    let created = b.link("abc").await;
    let twin = link_row(20, None, "abc");
    let done = b.store.import_links(numbered([twin.clone()]), ImportMode::Commit).await.unwrap();
    assert_eq!(notes(&done), [(2, "short_code", RowNoteKind::Duplicate)]);
    assert_eq!(b.store.link_by_code("", &code("abc")).await.unwrap(), Some(created));
    assert_eq!(b.store.link(twin.id).await.unwrap().as_ref(), Some(&twin));
    assert_eq!(b.links(LinkFilter { short_code: Some("abc".into()), ..Default::default() }).await.len(), 2);
    let refused = b.store.create_link(new_link("abc"), T0).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::ShortCode))));
}

pub(crate) async fn dangling_and_too_old_rows_are_taken_and_noted(b: Bench) {
    b.store.import_users(numbered([user_row(1, "ada")]), ImportMode::Commit).await.unwrap();
    let old = Link { created_at: after(-1), ..link_row(1, Some(1), "old") };
    let links = b.store.import_links(numbered([old, link_row(2, Some(9), "dangling")]), ImportMode::Commit).await.unwrap();
    assert_eq!(links.inserted, 2);
    assert_eq!(notes(&links), [(2, "created_at", RowNoteKind::OlderThanParent), (3, "user_id", RowNoteKind::DanglingReference)]);
    let old = Event { at: after(-1), ..event_row(1, 2, "x") };
    let dangling = Event { user_id: Some(UserId(9)), ..event_row(2, 99, "x") };
    let events = b.store.import_events(numbered([old, dangling]), ImportMode::Commit).await.unwrap();
    let expected = [
        (2, "timestamp", RowNoteKind::OlderThanParent),
        (3, "url_id", RowNoteKind::DanglingReference),
        (3, "user_id", RowNoteKind::DanglingReference),
    ];
    assert_eq!((events.inserted, notes(&events)), (2, expected.to_vec()));
    b.assert_books_balance().await;
}

pub(crate) async fn a_deleted_event_of_a_link_that_redirects_is_taken_and_noted(b: Bench) {
    let inactive = Link { is_active: false, ..link_row(2, None, "off") };
    b.store
        .import_links(numbered([link_row(1, None, "on"), inactive, link_row(3, None, "gone")]), ImportMode::Commit)
        .await
        .unwrap();
    b.store.delete_link(link_row(3, None, "gone").id, Expected::Any, "gone", T0).await.unwrap();
    let rows = [1, 2, 3].map(|link| event_row(100 + link, link, "deleted")).into_iter().chain([event_row(200, 1, "updated")]);
    let events = b.store.import_events(numbered(rows), ImportMode::Commit).await.unwrap();
    assert_eq!((events.inserted, notes(&events)), (4, vec![(2, "event_type", RowNoteKind::LinkStillActive)]));
}

pub(crate) async fn a_dry_run_judges_everything_and_leaves_nothing(b: Bench) {
    let rows = numbered([user_row(1, "ada"), user_row(2, "ada"), user_row(2, "bob")]);
    let dry = b.store.import_users(rows.clone(), ImportMode::DryRun).await.unwrap();
    b.assert_books_balance().await;
    assert_eq!(b.store.counts().await.unwrap().users, 0);
    let links = b.store.import_links(numbered([link_row(1, None, "abc")]), ImportMode::DryRun).await.unwrap();
    let events = b.store.import_events(numbered([event_row(1, 1, "click")]), ImportMode::DryRun).await.unwrap();
    assert_eq!((links.inserted, events.inserted), (1, 1));
    assert_eq!(b.store.click_ledger().await.unwrap().external, 0);
    b.assert_books_balance().await;
    let real = b.store.import_users(rows, ImportMode::Commit).await.unwrap();
    assert_eq!(dry, real);
}

pub(crate) async fn an_imported_deleted_link_stays_deleted(b: Bench) {
    let deleted = Link { deleted_at: Some(after(9)), ..link_row(1, None, "abc") };
    b.store.import_links(numbered([deleted]), ImportMode::Commit).await.unwrap();
    assert_eq!(b.store.link_by_code("", &code("abc")).await.unwrap(), None);
    let refused = b.store.create_link(new_link("abc"), T0).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::ShortCode))));
    b.assert_books_balance().await;
}

pub(crate) async fn imported_clicks_are_rolled_up_as_external(b: Bench) {
    let link = b.link("abc").await;
    let rows = (10..15).map(|id| Event { at: after(id), ..event_row(id, link.id.0, "click") });
    b.store.import_events(numbered(rows), ImportMode::Commit).await.unwrap();
    let ledger = b.store.click_ledger().await.unwrap();
    assert_eq!((ledger.external, ledger.rolled_up, ledger.raw), (5, 5, 0));
    assert_eq!(b.store.link_totals(&[link.id]).await.unwrap()[&link.id].last_click_at, Some(after(14)));
}
