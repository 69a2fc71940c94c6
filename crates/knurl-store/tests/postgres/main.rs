//! What happens to callers when PostgreSQL goes away, hangs, comes back or is another one, with the real server.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod clocks;
mod deadlines;
mod distribution;
mod edits;
mod months;
mod newer;
mod outages;
mod owners;
mod retries;
mod seen;
mod tls;
mod together;

use std::{future::Future, time::Duration};

use knurl_core::{
    Link, ShortCode, Target, UnixMillis, UserId,
    link::{LinkPatch, NewLink, RedirectStatus},
    user::{Email, Username},
};
use knurl_lab::{
    proxy::{Direction, Proxy, Toxic, ToxicKind},
    servers::{Postgres, PostgresSetup},
};
use knurl_store::{
    Result, Store, StoreError,
    once::{Candidate, Once},
    postgres::{PostgresOptions, PostgresStore},
};
use tokio::task::JoinSet;

pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
/// Not a deadline of ours: says "hung" where nothing else would.
pub(crate) const NEVER: Duration = Duration::from_secs(60);

pub(crate) fn options(url: &str) -> PostgresOptions {
    PostgresOptions::from_url(url).unwrap()
}

pub(crate) fn new_link(code: &str) -> NewLink {
    NewLink {
        domain: String::new(),
        short_code: ShortCode::parse(code).unwrap(),
        target: Target::verbatim("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        status: RedirectStatus::Found302,
        owner: None,
        expires_at: None,
    }
}

pub(crate) async fn create(store: &PostgresStore, code: &str) -> Result<Link> {
    tokio::time::timeout(NEVER, store.create_link(new_link(code), NOW)).await.expect("a create that never ends")
}

/// Under a key of its own.
pub(crate) async fn create_once(store: &PostgresStore, code: &str) -> Result<()> {
    let mut id = [0; 32];
    id.iter_mut().zip(code.bytes()).for_each(|(to, from)| *to = from);
    let candidates = vec![Candidate { link: new_link(code), spare_codes: Vec::new() }];
    let created = store.create_once(Once { id, fingerprint: [0; 32] }, candidates, NOW);
    tokio::time::timeout(NEVER, created).await.expect("a create that never ends").map(drop)
}

pub(crate) async fn find(store: &PostgresStore, code: &str) -> Result<Option<Link>> {
    let code = ShortCode::parse(code).unwrap();
    tokio::time::timeout(NEVER, store.link_by_code("", &code)).await.expect("a read that never ends")
}

/// Asks until the server is used again.
pub(crate) async fn until_back(store: &PostgresStore) {
    let back = async {
        while store.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(NEVER, back).await.expect("a store that does not heal");
}

/// Asks until it is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    let asked = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(NEVER, asked).await.expect("something that never comes");
}

/// A session beside the store's, as an operator's or another program's.
pub(crate) async fn session(server: &Postgres) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) async fn user(store: &PostgresStore, name: &str) -> UserId {
    let (username, email) = (Username::parse(name).unwrap(), Email::parse(&format!("{name}@example.com")).unwrap());
    store.create_user(username, email, NOW).await.unwrap().id
}

/// Nothing was done.
pub(crate) fn is_unavailable<T>(result: &Result<T>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

/// Something may have been done.
pub(crate) fn is_unsure<T>(result: &Result<T>) -> bool {
    matches!(result, Err(StoreError::Unsure { .. }))
}

/// On a thread that may block, as the lab's servers do.
pub(crate) async fn with_server<T: Send + 'static>(
    server: Postgres,
    act: impl FnOnce(&mut Postgres) -> T + Send + 'static,
) -> (Postgres, T) {
    tokio::task::spawn_blocking(move || {
        let mut server = server;
        let done = act(&mut server);
        (server, done)
    })
    .await
    .unwrap()
}
