//! The replica's file damaged or taken away under a running node: no redirect fails, and there is another file soon.

use std::{fs, os::unix::fs::FileExt};

use knurl::telemetry::tiers::{Below, Said};

use super::fleet::{Fleet, Node, rows, target};

const LINKS: u32 = 300;

async fn furnished(fleet: &Fleet) -> Node {
    let node = fleet.node().await;
    fleet.sql(&rows(1, LINKS));
    node.until("the links are copied", async || node.links() == u64::from(LINKS)).await;
    node
}

async fn all_lead(node: &Node) {
    node.forgets((1..=LINKS).map(|n| format!("c{n}")));
    for n in 1..=LINKS {
        assert_eq!(node.target(&format!("c{n}")).await, Ok(target(n)));
    }
}

async fn is_whole_again(node: &Node) {
    let known = node.said(Below::Replica, Said::Known);
    node.until("it is copied anew", async || {
        node.forgets(["c1".to_owned()]);
        assert_eq!(node.target("c1").await, Ok(target(1)));
        node.links() == u64::from(LINKS) && node.said(Below::Replica, Said::Known) > known
    })
    .await;
    all_lead(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_damaged_costs_no_redirect_and_is_copied_anew() {
    let fleet = Fleet::new();
    let node = furnished(&fleet).await;
    let path = node.state().config.replica_path();
    // All of it but the header, wherever its rows are by now.
    for name in [path.clone(), path.with_extension("db-wal")] {
        let Ok(file) = fs::OpenOptions::new().write(true).open(&name) else { continue };
        let bytes = file.metadata().unwrap().len();
        for at in (4_096..bytes.saturating_sub(64)).step_by(512) {
            file.write_all_at(&[0xa5; 64], at).unwrap();
        }
    }
    all_lead(&node).await;
    is_whole_again(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_removed_costs_no_redirect_and_there_is_another() {
    let fleet = Fleet::new();
    let node = furnished(&fleet).await;
    let path = node.state().config.replica_path();
    fs::remove_file(&path).unwrap();
    all_lead(&node).await;
    node.until("there is another", async || path.exists()).await;
    is_whole_again(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_short_costs_no_redirect_and_is_copied_anew() {
    let fleet = Fleet::new();
    let node = furnished(&fleet).await;
    let path = node.state().config.replica_path();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5_000).unwrap();
    // What was written last may stand in the WAL alone.
    fs::OpenOptions::new().write(true).open(path.with_extension("db-wal")).unwrap().set_len(0).unwrap();
    all_lead(&node).await;
    is_whole_again(&node).await;
    node.stop().await;
}
