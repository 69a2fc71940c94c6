//! What a disk may do to the file: it is told, or it does not matter; it is never believed.

use std::{fs, os::unix::fs::FileExt, path::Path, time::Instant};

use knurl_store::replica::Replica;

use super::node::{Town, code, target};

const LINKS: u32 = 150;

/// A closed, complete file.
async fn whole(town: &Town) -> Vec<u8> {
    town.create(1, LINKS);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    node.replica.close().await;
    drop(node);
    fs::read(town.path()).unwrap()
}

/// No link leads anywhere but where it was made to lead; returns how many are known.
async fn truthful(path: &Path) -> u32 {
    let replica = Replica::open(path, Instant::now());
    let mut known = 0;
    for n in 1..=LINKS {
        if let Some(found) = replica.link("", &code(&format!("c{n}")), Instant::now()).await {
            let facts = found.facts.expect("none is deleted");
            assert_eq!(facts.target.as_str(), target(n));
            assert!(facts.is_active && facts.owner.is_none() && facts.expires_at.is_none() && found.version == 1);
            known += 1;
        }
    }
    replica.close().await;
    known
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_never_makes_it_answer_wrongly() {
    let town = Town::new().await;
    let file = whole(&town).await;
    let path = town.path();
    assert_eq!(truthful(&path).await, LINKS);
    let mut complete = 0;
    // A stride that is prime to everything in the file.
    for (round, at) in (0..file.len() * 8).step_by(1_009).enumerate() {
        let mut damaged = file.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        complete += u32::from(truthful(&path).await == LINKS);
        if round % 40 == 7 {
            // Nobody has read any of it: it is found all the same, and made good.
            let mut node = town.node().await;
            node.catch_up().await.unwrap();
            node.has(1, LINKS).await;
            node.replica.close().await;
        }
    }
    assert!(complete > 0, "some bits are nobody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_that_is_thrown_away_is_counted_and_one_that_is_not_there_is_not() {
    let town = Town::new().await;
    let file = whole(&town).await;
    fs::write(town.path(), &file[..4_096]).unwrap();
    for failures in [1, 0] {
        let replica = Replica::open(&town.path(), Instant::now());
        assert_eq!(replica.failures(), failures);
        replica.close().await;
        fs::remove_file(town.path()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_cut_off_anywhere_is_copied_anew() {
    let town = Town::new().await;
    let file = whole(&town).await;
    let path = town.path();
    for kept in [0, 1, 15, 16, 100, 4_095, 4_096, 4_097, 8_192, file.len() / 2, file.len() - 4_096, file.len() - 1] {
        fs::write(&path, &file[..kept]).unwrap();
        assert_eq!(truthful(&path).await, 0, "{kept} bytes");
        let mut node = town.node().await;
        node.catch_up().await.unwrap();
        node.has(1, LINKS).await;
        node.replica.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_replica_or_is_gone_is_copied_anew() {
    let town = Town::new().await;
    whole(&town).await;
    let path = town.path();
    for strange in [&b"hello"[..], &[0; 8_192], b"SQLite format 3\0 but not for long"] {
        fs::write(&path, strange).unwrap();
        let mut node = town.node().await;
        node.catch_up().await.unwrap();
        node.has(1, LINKS).await;
        // Under a node that runs: a connection that is open reads on, one that is to be opened cannot be.
        fs::remove_file(&path).unwrap();
        assert!(node.knows(1, LINKS).await > 0);
        node.catch_up().await.unwrap();
        node.has(1, LINKS).await;
        assert!(path.exists());
        node.replica.close().await;
    }
}

/// Wherever the file has the target of `c{n}`.
fn damage(path: &Path, file: &[u8], n: u32) {
    let needle = target(n);
    let on_disk = fs::OpenOptions::new().write(true).open(path).unwrap();
    for at in (0..file.len() - needle.len()).filter(|&at| file[at..].starts_with(needle.as_bytes())) {
        on_disk.write_all_at(b"X", at as u64 + 9).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_damaged_under_a_running_node_are_noticed_when_they_are_read_and_all_is_copied_anew() {
    let town = Town::new().await;
    let file = whole(&town).await;
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    damage(&town.path(), &file, 77);
    assert_eq!(node.found("c77").await, None);
    assert_eq!(node.replica.failures(), 1);
    node.catch_up().await.unwrap();
    node.has(1, LINKS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_damaged_or_removed_file_is_kept_until_the_database_answers() {
    for removed in [false, true] {
        let mut town = Town::new().await;
        let file = whole(&town).await;
        let mut node = town.node().await;
        node.catch_up().await.unwrap();
        town.server.kill().unwrap();
        if removed {
            node.has(1, LINKS).await;
            fs::remove_file(town.path()).unwrap();
        } else {
            damage(&town.path(), &file, 77);
            assert_eq!(node.found("c77").await, None);
        }
        for _ in 0..3 {
            assert!(node.follower.step(Instant::now()).await.unwrap_err().is_transient());
            let known = node.knows(1, LINKS).await;
            assert!(known > 0 && (removed || known >= LINKS as usize - 1), "{known}");
        }
        town.server.start_again().unwrap();
        node.catch_up_at_last().await;
        node.has(1, LINKS).await;
    }
}
