//! Keys.

use knurl_core::key::{KeyHash, KeyId};

use crate::bench::*;

pub(crate) async fn a_key_is_created_once_however_often_it_is_asked_for(b: Bench) {
    let hash = KeyHash([7; 32]);
    let key = b.store.create_key("admin", hash, T0).await.unwrap();
    let again = b.store.create_key("another name", hash, after(1)).await.unwrap();
    assert_eq!(key, again);
    let other = b.store.create_key("other", KeyHash([8; 32]), after(1)).await.unwrap();
    assert_eq!(b.store.list_keys().await.unwrap(), [key, other]);
}

pub(crate) async fn a_revoked_key_stays_listed_with_the_time_of_its_first_revocation(b: Bench) {
    let key = b.store.create_key("admin", KeyHash([7; 32]), T0).await.unwrap();
    let revoked = b.store.revoke_key(key.id, after(5)).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(after(5)));
    assert_eq!(b.store.revoke_key(key.id, after(9)).await.unwrap().as_ref(), Some(&revoked));
    assert_eq!(b.store.list_keys().await.unwrap(), [revoked]);
    assert_eq!(b.store.revoke_key(KeyId(99), T0).await.unwrap(), None);
}
