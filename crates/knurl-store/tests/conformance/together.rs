//! Many callers, callers that leave, other processes, and the end.

use std::{future::Future, pin::pin, task::Poll};

use knurl_core::{
    Page,
    link::{Expected, LinkPatch},
};
use knurl_store::{Conflict, EventFilter, LinkFilter, StoreError};
use tokio::task::JoinSet;

use crate::bench::*;

pub(crate) async fn of_a_hundred_creates_of_one_code_one_wins(b: Bench) {
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let store = b.store.clone();
        tasks.spawn(async move { store.create_link(new_link("abc"), T0).await });
    }
    let answers = tasks.join_all().await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let lost = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Conflict(Conflict::ShortCode)))).count();
    assert_eq!((won, lost), (1, 99));
    assert_eq!(b.events().await.len(), 1);
    b.assert_books_balance().await;
}

pub(crate) async fn of_a_hundred_changes_meant_for_one_version_one_wins(b: Bench) {
    let link = b.link("abc").await;
    let mut changes = JoinSet::new();
    for n in 0..100 {
        let store = b.store.clone();
        let patch = LinkPatch { expected: Expected::OneOf(vec![1]), title: Some(Some(format!("title {n}"))), ..Default::default() };
        changes.spawn(async move { store.update_link(link.id, patch, T0).await });
    }
    let (mut won, mut outdated) = (0, 0);
    while let Some(changed) = changes.join_next().await {
        match changed.unwrap() {
            Ok(Some(changed)) => {
                assert_eq!(changed.version, 2);
                won += 1;
            }
            Err(StoreError::Outdated) => outdated += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((won, outdated), (1, 99));
    assert_eq!(b.events().await.len(), 2);
}

pub(crate) async fn a_failing_write_takes_no_other_with_it(b: Bench) {
    b.link("taken").await;
    let user = b.user("taken").await;
    let mut tasks = JoinSet::new();
    for n in 0..60 {
        let store = b.store.clone();
        tasks.spawn(async move {
            match n % 3 {
                0 => store.create_link(new_link(&format!("code{n}")), T0).await.is_ok(),
                1 => store.create_link(new_link("taken"), T0).await.is_err(),
                // Fails at its second statement, after the first has changed a row.
                _ => {
                    let (name, taken) = (username(&format!("name{n}")), email("taken@example.com"));
                    let new = store.create_user(name, email(&format!("{n}@example.com")), T0).await.unwrap();
                    store.update_user(new.id, Some(username(&format!("other{n}"))), Some(taken)).await.is_err()
                        && store.user(new.id).await.unwrap() == Some(new)
                }
            }
        });
    }
    assert!(tasks.join_all().await.into_iter().all(|as_expected| as_expected));
    assert_eq!(b.links(LinkFilter::default()).await.len(), 21);
    assert_eq!(b.store.user(user.id).await.unwrap(), Some(user));
    b.assert_books_balance().await;
}

pub(crate) async fn a_write_is_seen_by_every_read_after_its_answer(b: Bench) {
    for n in 0..50 {
        let link = b.link(&format!("code{n}")).await;
        assert!(b.store.link(link.id).await.unwrap().is_some());
        assert_eq!(b.store.list_links(LinkFilter::default(), Page::first(1)).await.unwrap().total, n + 1);
    }
}

pub(crate) async fn a_caller_who_left_is_nobodys_problem(b: Bench) {
    // Asked for, then dropped unanswered: each write happens as a whole or not at all, and those after it go on.
    for n in 0..50 {
        let mut left = pin!(b.store.create_link(new_link(&format!("left{n}")), T0));
        std::future::poll_fn(|context| {
            let _ = left.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    for _ in 0..50 {
        let mut left = pin!(b.store.list_events(EventFilter::default(), Page::first(10)));
        std::future::poll_fn(|context| {
            let _ = left.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    b.link("stayed").await;
    // Some of them may still be on their way, beside it.
    let b = b.reopened().await;
    let links = b.links(LinkFilter::default()).await;
    assert_eq!(links.len(), b.events().await.len());
    assert!(links.iter().any(|link| link.short_code == code("stayed")));
    b.assert_books_balance().await;
}

pub(crate) async fn only_foreign_writes_change_the_coherence_number(b: Bench) {
    let before = b.store.foreign_changes().await.unwrap();
    let link = b.link("abc").await;
    b.store.ping().await.unwrap();
    b.events().await;
    assert_eq!(b.store.foreign_changes().await.unwrap(), before);
    let other = b.second_process();
    assert_eq!(b.store.foreign_changes().await.unwrap(), before, "opening and looking is no change");
    other.update_link(link.id, LinkPatch { is_active: Some(false), ..Default::default() }, T0).await.unwrap();
    let changed = b.store.foreign_changes().await.unwrap();
    assert_ne!(changed, before);
    assert_eq!(b.store.foreign_changes().await.unwrap(), changed);
    assert!(!b.store.link_by_code("", &code("abc")).await.unwrap().unwrap().is_active);
}

pub(crate) async fn two_processes_write_side_by_side(b: Bench) {
    let other = b.second_process();
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        let store = if n % 2 == 0 { b.store.clone() } else { other.clone() };
        tasks.spawn(async move { store.create_link(new_link(&format!("code{n}")), T0).await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|created| created));
    assert_eq!(b.links(LinkFilter::default()).await.len(), 100);
    b.assert_books_balance().await;
}

pub(crate) async fn closing_finishes_what_is_queued_and_refuses_what_comes_later(b: Bench) {
    let mut queued = JoinSet::new();
    for n in 0..30 {
        let store = b.store.clone();
        queued.spawn(async move { store.create_link(new_link(&format!("code{n}")), T0).await });
    }
    let store = b.store.clone();
    let mut answers = Vec::new();
    while answers.len() < 10 {
        answers.push(queued.join_next().await.unwrap().unwrap());
    }
    store.close().await;
    answers.extend(queued.join_all().await);
    assert!(matches!(store.create_link(new_link("late"), T0).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.link_by_code("", &code("code1")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.counts().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.list_keys().await, Err(StoreError::Unavailable(_))));
    store.close().await;
    let acknowledged = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    let again = b.second_process();
    assert_eq!(again.counts().await.unwrap().links, acknowledged);
}
