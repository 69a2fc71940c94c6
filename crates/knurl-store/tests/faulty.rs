//! The store that fails on command does so, and only so.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use knurl_core::{
    UnixMillis,
    user::{Email, Username},
};
use knurl_store::{
    Store, StoreError,
    faulty::{Fault, FaultyStore},
    sqlite::{SqliteOptions, SqliteStore},
};

async fn create(store: &FaultyStore, name: &str) -> Result<(), StoreError> {
    let email = Email::parse(&format!("{name}@example.com")).unwrap();
    store.create_user(Username::parse(name).unwrap(), email, UnixMillis(0)).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_come_and_go_and_only_a_lost_reply_leaves_its_work() {
    let dir = tempfile::tempdir().unwrap();
    let inner = SqliteStore::open(&dir.path().join("knurl.db"), &SqliteOptions::default()).unwrap();
    let store = FaultyStore::new(Arc::new(inner));
    create(&store, "zero").await.unwrap();
    store.fail(Fault::Unavailable);
    assert!(matches!(create(&store, "one").await, Err(StoreError::Unavailable(_))));
    store.fail(Fault::Full);
    assert!(matches!(create(&store, "one").await, Err(StoreError::Full(_))));
    store.fail(Fault::Overloaded);
    assert!(matches!(create(&store, "one").await, Err(StoreError::Overloaded)));
    assert!(matches!(store.counts().await, Err(StoreError::Overloaded)));
    store.heal();
    store.fail_method("create_user", Fault::LostReply);
    assert!(matches!(create(&store, "two").await, Err(StoreError::Unsure { .. })));
    assert_eq!(store.counts().await.unwrap().users, 2);
    store.fail_method("create_user", Fault::Panic);
    let panicking = store.clone();
    assert!(tokio::spawn(async move { create(&panicking, "three").await }).await.is_err());
    store.fail_method("create_user", Fault::Hang);
    let hanging = store.clone();
    let waiting = tokio::spawn(async move { create(&hanging, "four").await });
    while !waiting.is_finished() {
        // Heals whenever the call has begun to wait, however late that is.
        store.heal();
        tokio::task::yield_now().await;
    }
    waiting.await.unwrap().unwrap();
    assert_eq!(store.counts().await.unwrap().users, 3);
}
