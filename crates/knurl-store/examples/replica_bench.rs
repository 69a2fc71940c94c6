//! What a replica costs: `replica_bench LINKS` starts a PostgreSQL, fills it, and prints how long the first copy takes, how long a point read of
//! it takes, how long an edit takes to arrive, and how long the file takes to open, after a clean end and after a kill.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use knurl_core::ShortCode;
use knurl_lab::servers::{Postgres, PostgresSetup};
use knurl_store::{
    postgres::{PostgresOptions, PostgresStore, feed::Woken},
    replica::{
        Replica,
        follow::{Follower, Next},
    },
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Codes of seven characters in no order, as they are drawn.
const FILL: &str = "insert into links (short_code, target, is_active, status, created_at, updated_at, version) \
                    select substr(translate(encode(sha256(n::text::bytea), 'base64'), '+/=', 'xyz'), 1, 7) || to_hex(n), \
                    'https://example.org/some/path/of/usual/length/' || n, true, 302, 1, 1, 1 from generate_series(1, ";
const READS: u32 = 200_000;

#[tokio::main]
async fn main() -> Outcome<()> {
    let links: u64 = std::env::args().nth(1).unwrap_or_else(|| "1000000".to_owned()).parse()?;
    let server =
        Postgres::start_with(&PostgresSetup { settings: vec!["max_wal_size=4GB".to_owned()], ..PostgresSetup::default() })?;
    let store = PostgresStore::open(&PostgresOptions::from_url(&server.url())?).await?;
    server.sql(&format!("{FILL}{links}) n; analyze links"))?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("replica.db");

    let replica = Replica::open(&path, Instant::now());
    let mut follower = Follower::new(store.feed(Woken::ByNotifications), replica.clone(), Box::new(|_| {}));
    let begun = Instant::now();
    let (mut steps, mut longest) = (0_u32, Duration::ZERO);
    loop {
        let step = Instant::now();
        let next = follower.step(Instant::now()).await?.next;
        (steps, longest) = (steps + 1, longest.max(step.elapsed()));
        if next == Next::Later {
            break;
        }
    }
    let took = begun.elapsed();
    let bytes = std::fs::metadata(&path)?.len();
    println!(
        "first copy: {links} links in {took:.2?}, {steps} steps, the longest {longest:.2?}; {} bytes a link",
        bytes / links.max(1)
    );

    let every = (links / 10_000).max(1);
    let codes = server.sql(&format!("select short_code from links where id % {every} = 0 limit 10000"))?;
    let codes: Vec<ShortCode> = codes.lines().filter_map(|code| ShortCode::parse(code).ok()).collect();
    let begun = Instant::now();
    for code in codes.iter().cycle().take(READS as usize) {
        let found = replica.link("", code, begun).await;
        assert!(found.is_some(), "{code:?}");
    }
    println!("point read: {:.2?}", begun.elapsed() / READS);

    let heard = follower.source().heard();
    let mut arrived = Vec::new();
    for n in 0..50 {
        let code = &codes[n * codes.len() / 50];
        server.sql(&format!("update links set version = version + 1 where short_code = '{}'", code.as_str()))?;
        let begun = Instant::now();
        heard.notified().await;
        while follower.step(Instant::now()).await?.next == Next::Now {}
        arrived.push(begun.elapsed());
    }
    arrived.sort();
    println!("an edit, from its commit: {:.2?} in the middle, {:.2?} at worst", arrived[25], arrived[49]);

    // As after a kill: the file is opened a second time with what stands in its WAL.
    server.sql("update links set version = version + 1 where id <= 40000")?;
    while follower.step(Instant::now()).await?.next == Next::Now {}
    for (ending, name) in [("", "replica.db"), ("-wal", "replica.db-wal")] {
        std::fs::copy(format!("{}{ending}", path.display()), dir.path().join(format!("killed-{name}")))?;
    }
    let begun = Instant::now();
    let killed = Replica::open(&dir.path().join("killed-replica.db"), begun);
    println!("opened after a kill: {:.2?}, complete: {}", begun.elapsed(), killed.is_complete());
    drop(follower);
    replica.close().await;
    let begun = Instant::now();
    let closed = Replica::open(&path, begun);
    println!("opened after an end: {:.2?}, {} links", begun.elapsed(), closed.links());
    Ok(())
}
