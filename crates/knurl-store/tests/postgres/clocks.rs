//! Nodes whose clocks are wrong, on the clock that all of them share.

use std::time::{SystemTime, UNIX_EPOCH};

use knurl_core::{time::DAY_MS, visitor::Salt};
use knurl_lab::servers::Postgres;
use knurl_store::{Store, postgres::PostgresStore};

use super::options;

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn the_time_is_the_servers() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let (before, said, after) = (now_ms(), store.time().await.unwrap().unwrap(), now_ms());
    assert!((before - 1..=after + 1).contains(&said.0), "{before} {said:?} {after}");
}

#[tokio::test]
async fn a_node_whose_clock_is_ahead_destroys_no_salt_that_others_need() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let today = now_ms() / DAY_MS;
    let ours = store.visitor_salt(today, Salt([1; 16])).await.unwrap();
    store.visitor_salt(today - 3, Salt([2; 16])).await.unwrap();
    store.visitor_salt(today + 40, Salt([3; 16])).await.unwrap();
    assert_eq!(store.visitor_salt(today, Salt([4; 16])).await.unwrap(), ours);
    assert_eq!(
        server.sql("select count(*) from visitor_salts where day < (select max(day) - 42 from visitor_salts)").unwrap(),
        "0",
        "what nobody needs is gone"
    );
}
