//! A copy is believed only where it is of this very database.

use knurl_store::{postgres::feed::Woken, replica::follow::Reason};

use super::node::{Town, stranger_at};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_another_database_is_thrown_away() {
    let town = Town::new().await;
    town.create(1, 10);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    drop(node);
    let other = town.server.database("other").unwrap();
    let mut node = town.node_of(&other, &town.path(), Woken::ByNotifications).await;
    assert_eq!(node.catch_up().await.unwrap(), [Reason::New]);
    assert_eq!(node.found("c1").await, None);
    assert_eq!(node.replica.links(), 0);
    assert_eq!(node.forgotten()[0], None);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_database_goes_on_from_another_history_all_of_it_is_compared() {
    let town = Town::new().await;
    town.create(1, 10);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    drop(node);
    // As restored from a dump: the same identity, the same rows and their transactions, other numbers from here on.
    let server = town.server.url().strip_suffix("knurl").unwrap().to_owned();
    let admin = stranger_at(&format!("{server}postgres")).await;
    admin.batch_execute("create database restored template knurl").await.unwrap();
    let restored = format!("{server}restored");
    let stranger = stranger_at(&restored).await;
    stranger
        .batch_execute(
            "set session_replication_role = replica; update links set target = 'https://restored.example/' where short_code = 'c2'",
        )
        .await
        .unwrap();
    let mut node = town.node_of(&restored, &town.path(), Woken::ByNotifications).await;
    assert_eq!(node.catch_up().await.unwrap(), [Reason::Lineage]);
    assert_eq!(node.target("c2").await.as_deref(), Some("https://restored.example/"));
    node.has(3, 10).await;
}
