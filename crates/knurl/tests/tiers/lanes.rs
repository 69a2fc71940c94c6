//! Decision 7 with a replica: what it knows is never refused, however full the slow lanes are, and who waits there is not taken for a slow redirect.

use std::time::Duration;

use super::fleet::{Fleet, rows, target};

/// All places and all who may wait for one, and more.
const GUESSES: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_the_replica_knows_is_not_refused_to_a_network_that_guesses() {
    let fleet = Fleet::new();
    let node = fleet
        .node_with(|config| {
            config.limits.misses_per_minute = 1;
            config.limits.burst_s = 60;
            config.limits.exempt.clear();
        })
        .await;
    fleet.sql(&rows(1, 5));
    node.until("the links are copied", async || node.links() == 5).await;
    assert_eq!(node.target("guess").await, Err(404));
    assert_eq!(node.target("guess").await, Err(429), "it has had its share");
    let timed = || {
        let text = node.state().metrics.render();
        let count = text.lines().find_map(|line| line.strip_prefix("knurl_redirect_duration_seconds_count ")).unwrap();
        count.parse::<u64>().unwrap()
    };
    let timed_before = timed();
    // The database takes so long that the lanes fill.
    node.slow_down(1_500);
    let guesses = (0..GUESSES).map(|n| async move { format!("guess{n}") });
    let scan = futures_util::future::join_all(guesses.map(|guess| async { node.target(&guess.await).await }));
    let visitor = async {
        let full = &node.state().metrics.limits.lanes_full;
        node.until("the lanes are full", async || full.get() > 0).await;
        for n in 1..=5 {
            assert_eq!(node.target(&format!("c{n}")).await, Ok(target(n)));
        }
    };
    let (answers, ()) = tokio::join!(scan, visitor);
    assert!(answers.iter().all(|answer| matches!(answer, Err(429 | 503))), "{answers:?}");
    assert_eq!(timed() - timed_before, 5, "a scan does not make redirects look slow");
    node.proxy.heal().unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    node.stop().await;
}
