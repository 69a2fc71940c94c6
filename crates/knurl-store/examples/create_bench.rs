//! What the SQLite store does in a second, on a directory of your choice:
//! `cargo run --release -p knurl-store --example create_bench -- [DIR] [SECONDS]`.
//!
//! Prints creates through 64 and 256 concurrent callers, bulk creates, point reads, and drained clicks, each with the process's CPU
//! per unit. All writes are durable: WAL, `synchronous=FULL`.
//!
//! On a busy machine instructions are counted instead: `valgrind --tool=callgrind create_bench DIR count KIND UNITS` does a fixed
//! amount of one kind of work (`single`, `bulk` or `clicks`); two runs of different lengths, subtracted, leave out the start.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may panic, and prints")]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use knurl_core::{
    Link, LinkId, ShortCode, Target, UnixMillis, UserId,
    agent::{Agent, AgentClass},
    click::{OwnedClick, Purpose},
    link::{NewLink, RedirectStatus},
    user::{Email, Username},
};
use knurl_store::{
    Applied, ClickBatch, Cursor, DeliveredClick, ImportMode, Numbered, Store,
    sqlite::{SqliteOptions, SqliteStore},
};

const T0: UnixMillis = UnixMillis(1_700_000_000_000);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| ".".into()));
    let seconds = args.next();
    let path = dir.join("create_bench.db");
    remove(&path);
    let store = Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    if seconds.as_deref() == Some("count") {
        let (kind, units) = (args.next().unwrap(), args.next().unwrap().parse().unwrap());
        counted(&store, &kind, units).await;
        store.close().await;
        remove(&path);
        return;
    }
    let seconds = Duration::from_secs(seconds.map_or(3, |text| text.parse().unwrap()));
    let numbers = Arc::new(AtomicU64::new(0));
    for callers in [1, 64, 256] {
        singles(&store, &numbers, callers, seconds).await;
    }
    for rows in [100, 1000] {
        bulk(&store, &numbers, rows, seconds).await;
    }
    point_reads(&store, &numbers, seconds).await;
    for links in [1, 100, 10_000] {
        clicks(&store, links, seconds).await;
    }
    store.close().await;
    println!("database {} MiB", std::fs::metadata(&path).unwrap().len() >> 20);
    remove(&path);
}

/// A fixed amount of work, as the server asks for it: links of one owner, 64 singles at a time or 1000 in bulk; clicks over 100 links.
async fn counted(store: &Arc<SqliteStore>, kind: &str, units: u64) {
    let owner = store.create_user(Username::parse("bench").unwrap(), Email::parse("bench@bench.example").unwrap(), T0).await;
    let owner = owner.unwrap().id;
    let owned = move |n| NewLink { owner: Some(owner), title: Some("Made".into()), ..new_link(n) };
    match kind {
        "single" => {
            for first in (0..units).step_by(64) {
                let one = |n| {
                    let store = store.clone();
                    async move { store.create_link(owned(n), T0).await.unwrap() }
                };
                futures_util::future::join_all((first..first + 64).map(one)).await;
            }
        }
        "bulk" => {
            for first in (0..units).step_by(1000) {
                let answers = store.create_links((first..first + 1000).map(owned).collect(), T0).await.unwrap();
                assert!(answers.iter().all(Result::is_ok));
            }
        }
        "clicks" => {
            link_up(store, 100, Some(owner)).await;
            for seq in (0..units).step_by(BATCH as usize) {
                apply(store, 100, seq, Some(owner)).await;
            }
        }
        other => panic!("there is no kind {other}"),
    }
}

async fn singles(store: &Arc<SqliteStore>, numbers: &Arc<AtomicU64>, callers: usize, seconds: Duration) {
    let (meter, before) = (Meter::start(), store.writer_counters().commits.load(Ordering::Relaxed));
    let commit_us = store.writer_counters().commit_us.load(Ordering::Relaxed);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (store, numbers) = (store.clone(), numbers.clone());
        tasks.spawn(async move {
            let (started, mut made) = (Instant::now(), 0_u64);
            while started.elapsed() < seconds {
                store.create_link(new_link(numbers.fetch_add(1, Ordering::Relaxed)), T0).await.unwrap();
                made += 1;
            }
            made
        });
    }
    let made = tasks.join_all().await.into_iter().sum();
    meter.print(&format!("create_link, {callers} callers"), made);
    let counters = store.writer_counters();
    let commits = counters.commits.load(Ordering::Relaxed) - before;
    let commit_us = counters.commit_us.load(Ordering::Relaxed) - commit_us;
    println!("    {:.1} creates a commit, {:.0} us a commit", made as f64 / commits as f64, commit_us as f64 / commits as f64);
}

async fn bulk(store: &SqliteStore, numbers: &AtomicU64, rows: u64, seconds: Duration) {
    let (meter, started, mut made) = (Meter::start(), Instant::now(), 0);
    while started.elapsed() < seconds {
        let first = numbers.fetch_add(rows, Ordering::Relaxed);
        let answers = store.create_links((first..first + rows).map(new_link).collect(), T0).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        made += rows;
    }
    meter.print(&format!("create_links of {rows}"), made);
}

async fn point_reads(store: &SqliteStore, numbers: &AtomicU64, seconds: Duration) {
    let there = numbers.load(Ordering::Relaxed);
    let (meter, started, mut read) = (Meter::start(), Instant::now(), 0_u64);
    while started.elapsed() < seconds {
        for _ in 0..100 {
            read += 1;
            let code = code(read.wrapping_mul(7919) % there);
            assert!(store.link_by_code("", &code).await.unwrap().is_some());
        }
    }
    meter.print("link_by_code, one caller", read);
    let (meter, started, mut hops) = (Meter::start(), Instant::now(), 0_u64);
    while started.elapsed() < seconds {
        store.list_keys().await.unwrap();
        hops += 1;
    }
    meter.print("list_keys (none): the hop to a blocking thread and back", hops);
}

async fn clicks(store: &SqliteStore, links: u64, seconds: Duration) {
    link_up(store, links, None).await;
    let (meter, started, mut seq) = (Meter::start(), Instant::now(), 0);
    while started.elapsed() < seconds {
        apply(store, links, seq, None).await;
        seq += BATCH;
    }
    meter.print(&format!("apply_clicks, batches of {BATCH} over {links} links"), seq);
}

/// Away from those that other parts create.
const CLICKED_FROM: i64 = 1 << 40;
const CLICKED: &str = "abcdefg";

/// The links that [`click`] names: a click counts for the link that has its id and its code.
async fn link_up(store: &SqliteStore, links: u64, owner: Option<UserId>) {
    let row = |n: u64| Link {
        id: LinkId(CLICKED_FROM + n as i64),
        domain: String::new(),
        short_code: ShortCode::parse(CLICKED).unwrap(),
        target: Target::verbatim("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        status: RedirectStatus::Found302,
        owner,
        expires_at: None,
        created_at: T0,
        updated_at: T0,
        deleted_at: None,
        version: 1,
    };
    let rows = (0..links).map(|line| Numbered { line, row: row(line) }).collect();
    store.import_links(rows, ImportMode::Commit).await.unwrap();
}

async fn apply(store: &SqliteStore, links: u64, seq: u64, owner: Option<UserId>) {
    let clicks = (0..BATCH).map(|n| click(seq + n, links, owner)).collect();
    let at = |seq| Cursor { spool_id: u128::from(links), segment: 1, offset: seq, seq };
    let batch = ClickBatch { from: at(seq), to: at(seq + BATCH), clicks, undecodable: 0 };
    assert_eq!(store.apply_clicks(batch).await.unwrap(), Applied::Applied);
}

const BATCH: u64 = 2000;

fn click(n: u64, links: u64, owner: Option<UserId>) -> DeliveredClick {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n << 7);
    DeliveredClick {
        click: OwnedClick {
            link_id: LinkId(CLICKED_FROM + (mixed % links) as i64),
            owner,
            at: UnixMillis(T0.0 + n as i64),
            visitor: mixed.rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9),
            purpose: Purpose::Visit,
            short_code: CLICKED.into(),
            target: "https://example.com/a/page/of/some/length?with=query".into(),
            referrer: Some("https://news.example.com/item?id=1234567".into()),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0".into()),
        },
        agent: Agent { class: AgentClass::Human, browser: "firefox", os: "linux" },
        referrer_host: Some(format!("site{}.example", mixed % 50)),
    }
}

/// Scattered over the alphabet, as drawn codes are.
fn code(n: u64) -> ShortCode {
    ShortCode::parse(&format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).unwrap()
}

fn new_link(n: u64) -> NewLink {
    NewLink {
        domain: String::new(),
        short_code: code(n),
        target: Target::verbatim(&format!("https://example.com/a/page/of/some/length?with=query{n}")).unwrap(),
        title: None,
        is_active: true,
        status: RedirectStatus::Found302,
        owner: None,
        expires_at: None,
    }
}

struct Meter {
    started: Instant,
    cpu_us: u64,
}

impl Meter {
    fn start() -> Self {
        Self { started: Instant::now(), cpu_us: cpu_us() }
    }

    fn print(&self, what: &str, units: u64) {
        let (wall, cpu) = (self.started.elapsed(), cpu_us() - self.cpu_us);
        let rate = units as f64 / wall.as_secs_f64();
        let wall_us = wall.as_micros() as f64 / units as f64;
        println!("{what}: {rate:.0}/s, {wall_us:.2} us each, {:.2} us CPU each", cpu as f64 / units as f64);
    }
}

/// User and system time of this process, in clock ticks of 10 ms.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks * 10_000
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(path.with_file_name(format!("create_bench.db{suffix}")));
    }
}
