//! News of edits, from node to node.

use knurl::redis::{Hint, links::Tell};
use knurl_lab::servers::Redis as Server;

use crate::{code, next, node, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_heard_of_by_the_others_and_its_repetition_is_not() {
    let mut server = Server::start().unwrap();
    let ((one, _), (two, metrics)) = (node(&server.url()).await, node(&server.url()).await);
    let (mut own, mut heard) = (one.hints(), two.hints());
    one.links().forget("", &code("abc"), 2, Tell::Nobody).await.unwrap();
    one.links().forget("sho.rt", &code("abc"), 3, Tell::Everybody).await.unwrap();
    assert_eq!(next(&mut heard).await, Hint { domain: "sho.rt".to_owned(), code: code("abc"), version: 3 });
    two.links().forget("", &code("abd"), 4, Tell::Everybody).await.unwrap();
    assert_eq!(next(&mut own).await.version, 4);

    // The subscription comes back with the connection.
    server.kill().unwrap();
    until("it is missed", async || !two.is_connected()).await;
    server.start_again().unwrap();
    until("both are back", async || one.links().forget("", &code("abc"), 5, Tell::Everybody).await.is_ok() && two.is_connected())
        .await;
    one.links().forget("", &code("abc"), 6, Tell::Everybody).await.unwrap();
    let mut hint = next(&mut heard).await;
    while hint.version < 6 {
        hint = next(&mut heard).await;
    }
    assert!(metrics.render().contains("knurl_redis_hints_total{hint=\"unreadable\"} 0\n"));
}
