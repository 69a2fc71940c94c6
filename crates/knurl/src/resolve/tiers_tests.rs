//! The tiers together: small ones that answer what the test tells them. Every one of them may know, doubt, fail or hang.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use knurl_core::{Link, Target, link::RedirectStatus};
use knurl_store::replica::{self, Facts, Trust};

use super::{copies::Copies, *};
use crate::{
    breaker::Rules,
    telemetry::tiers::{Below as Name, ReplicaMetrics, Said},
};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

#[derive(Clone, Copy, PartialEq)]
enum Row {
    /// In this version.
    Link(i64),
    Deleted,
    None,
    Down,
    Hangs,
}

/// Answers by its name and the version: `https://{name}.example/{version}`.
struct One {
    name: &'static str,
    row: Mutex<Row>,
    trust: Mutex<Trust>,
    looked_at: Mutex<Option<Instant>>,
    asked: AtomicUsize,
    put: Mutex<HashMap<String, i64>>,
    forgotten: Mutex<Vec<String>>,
}

impl One {
    fn new(name: &'static str, row: Row) -> Arc<Self> {
        Arc::new(Self {
            name,
            row: Mutex::new(row),
            trust: Mutex::new(Trust::Sure),
            looked_at: Mutex::new(Some(Instant::now())),
            asked: AtomicUsize::new(0),
            put: Mutex::default(),
            forgotten: Mutex::default(),
        })
    }

    fn set(&self, row: Row) {
        *self.row.lock().unwrap() = row;
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    fn facts(&self, version: i64) -> Facts {
        let target = Target::verbatim(&format!("https://{}.example/{version}", self.name)).unwrap();
        Facts { target, is_active: true, status: RedirectStatus::Found302, owner: None, expires_at: None }
    }

    async fn answer(&self) -> Row {
        self.asked.fetch_add(1, SeqCst);
        let row = *self.row.lock().unwrap();
        if row == Row::Hangs {
            std::future::pending::<()>().await;
        }
        row
    }
}

struct Copying(Arc<One>);

impl Copies for Copying {
    fn link<'a>(&'a self, _: &'a ShortCode, _: Instant) -> BoxFuture<'a, Option<replica::Found>> {
        Box::pin(async {
            let (facts, version) = match self.0.answer().await {
                Row::Link(version) => (Some(self.0.facts(version)), version),
                Row::Deleted => (None, 9),
                _ => return None,
            };
            Some(replica::Found { id: LinkId(1), version, facts, trust: *self.0.trust.lock().unwrap() })
        })
    }

    fn looked_at(&self) -> Option<Instant> {
        *self.0.looked_at.lock().unwrap()
    }

    fn measure(&self, _: &ReplicaMetrics, _: Instant) {}
}

struct Sharing(Arc<One>);

impl SharedLinks for Sharing {
    fn get<'a>(&'a self, code: &'a ShortCode) -> BoxFuture<'a, Option<Looked>> {
        Box::pin(async {
            let one = &self.0;
            match one.answer().await {
                Row::Link(version) => Some(Looked::Hit(Copied { id: LinkId(1), version, facts: one.facts(version) })),
                Row::Down => None,
                _ => {
                    let (one, code) = (Arc::clone(one), code.as_str().to_owned());
                    let leave = move |link: Copied| {
                        one.put.lock().unwrap().insert(code, link.version);
                    };
                    Some(Looked::Miss(Some(Box::new(leave))))
                }
            }
        })
    }

    fn forget(&self, changed: &[Changed], here: bool) {
        let told = changed.iter().map(|changed| format!("{} {} {here}", changed.code, changed.version));
        self.0.forgotten.lock().unwrap().extend(told);
    }

    fn distrust(&self) {
        self.0.forgotten.lock().unwrap().push("*".to_owned());
    }
}

/// A node.
struct Node {
    replica: Arc<One>,
    redis: Arc<One>,
    database: Arc<One>,
    resolver: Resolver,
}

impl Node {
    fn new(replica: Row, redis: Row, database: Row) -> Self {
        let (replica, redis, database) = (One::new("replica", replica), One::new("redis", redis), One::new("database", database));
        let metrics = Arc::default();
        let load = {
            let database = Arc::clone(&database);
            move |code: ShortCode| -> BoxFuture<'static, _> {
                let database = Arc::clone(&database);
                Box::pin(async move {
                    match database.answer().await {
                        Row::Link(version) => Ok(Some(link(code, database.facts(version), version))),
                        Row::Down => Err(StoreError::Unavailable("pulled the plug".into())),
                        _ => Ok(None),
                    }
                })
            }
        };
        let copies = Box::new(Copying(Arc::clone(&replica)));
        let below = Below::of(Some(copies), Some(Arc::new(Sharing(Arc::clone(&redis))) as _), Box::new(load), &metrics);
        let memory = Memory::new(1 << 20, Duration::from_secs(5));
        Self { replica, redis, database, resolver: Resolver::from(below, memory, metrics) }
    }

    /// Where `abc` leads.
    async fn target(&self) -> Result<Option<String>, StoreError> {
        self.target_of("abc").await
    }

    async fn target_of(&self, code: &str) -> Result<Option<String>, StoreError> {
        let found = self.resolver.resolve(&ShortCode::parse(code).unwrap(), NOW).await;
        found.map(|link| link.map(|link| link.target().to_owned()))
    }

    async fn leads_to(&self, target: &str) {
        assert_eq!(self.target().await.unwrap().as_deref(), Some(format!("https://{target}").as_str()));
    }

    fn doubts(&self) {
        *self.replica.trust.lock().unwrap() = Trust::Doubtful;
    }

    fn asked(&self) -> [usize; 3] {
        [&self.replica, &self.redis, &self.database].map(|tier| tier.asked())
    }

    fn counted(&self, tier: Tier) -> u64 {
        self.resolver.inner.metrics.redirects.tier_total(tier)
    }
}

fn link(code: ShortCode, facts: Facts, version: i64) -> Link {
    let Facts { target, is_active, status, owner, expires_at } = facts;
    Link {
        id: LinkId(1),
        domain: String::new(),
        short_code: code,
        target,
        title: None,
        is_active,
        status,
        owner,
        expires_at,
        created_at: NOW,
        updated_at: NOW,
        deleted_at: None,
        version,
    }
}

#[tokio::test]
async fn the_first_tier_that_knows_answers_and_memory_keeps_it() {
    for (rows, answer, asked, tier) in [
        ((Row::Link(1), Row::Link(2), Row::Link(3)), "replica.example/1", [1, 0, 0], Tier::Replica),
        ((Row::None, Row::Link(2), Row::Link(3)), "redis.example/2", [1, 1, 0], Tier::Redis),
        ((Row::None, Row::None, Row::Link(3)), "database.example/3", [1, 1, 1], Tier::Database),
    ] {
        let node = Node::new(rows.0, rows.1, rows.2);
        for _ in 0..3 {
            node.leads_to(answer).await;
        }
        assert_eq!((node.asked(), node.counted(tier), node.counted(Tier::Memory)), (asked, 1, 2));
    }
}

#[tokio::test]
async fn what_the_database_alone_knew_is_put_into_redis_with_its_version() {
    let node = Node::new(Row::None, Row::None, Row::Link(3));
    node.leads_to("database.example/3").await;
    assert_eq!(*node.redis.put.lock().unwrap(), HashMap::from([("abc".to_owned(), 3)]));
}

#[tokio::test]
async fn a_link_the_replica_knows_to_be_deleted_does_not_exist_and_nobody_else_is_asked() {
    let node = Node::new(Row::Deleted, Row::Link(2), Row::Link(3));
    assert_eq!(node.target().await.unwrap(), None);
    assert_eq!(node.target().await.unwrap(), None);
    assert_eq!((node.asked(), node.counted(Tier::Negative)), ([1, 0, 0], 1));
}

#[tokio::test]
async fn a_doubtful_copy_is_asked_after_and_never_beats_a_newer_one() {
    for (redis, answer) in
        [(Row::Link(6), "redis.example/6"), (Row::Link(5), "redis.example/5"), (Row::Link(4), "database.example/7")]
    {
        let node = Node::new(Row::Link(5), redis, Row::Link(7));
        node.doubts();
        node.leads_to(answer).await;
    }
}

#[tokio::test]
async fn without_the_database_the_doubtful_copy_answers_and_is_not_remembered() {
    let node = Node::new(Row::Link(5), Row::Down, Row::Down);
    node.doubts();
    for _ in 0..50 {
        node.leads_to("replica.example/5").await;
    }
    assert_eq!((node.counted(Tier::Doubtful), node.counted(Tier::Memory)), (50, 0));
    let in_a_row = Rules::default().failures_in_a_row as usize;
    assert!(node.database.asked() <= 2 * in_a_row + 2, "given up: {:?}", node.asked());
    // What was doubtful is sure again: believed at once.
    *node.replica.trust.lock().unwrap() = Trust::Sure;
    node.replica.set(Row::Link(6));
    node.leads_to("replica.example/6").await;
}

#[tokio::test]
async fn a_link_deleted_in_a_doubtful_copy_stays_deleted_without_the_database() {
    let node = Node::new(Row::Deleted, Row::None, Row::Down);
    node.doubts();
    assert_eq!(node.target().await.unwrap(), None);
    assert_eq!(node.counted(Tier::Negative), 0);
}

#[tokio::test]
async fn without_the_database_a_code_nobody_knows_is_an_error_and_never_no_such_code() {
    let node = Node::new(Row::None, Row::None, Row::Down);
    for _ in 0..50 {
        assert!(matches!(node.target().await, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(node.counted(Tier::Failed), 50);
    let metrics = &node.resolver.inner.metrics.tiers;
    assert!(metrics.said(Name::Database, Said::Refused) > 30, "most of them are not even asked");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_has_answered_the_feed_is_asked_by_everybody_again() {
    let node = Node::new(Row::None, Row::None, Row::Down);
    for _ in 0..10 {
        assert!(node.target().await.is_err());
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    node.resolver.database_answered();
    // Several who come at once, a minute after it was back: one alone would be let through, and the others refused.
    node.database.set(Row::Hangs);
    let asked = node.database.asked();
    let codes = ["a", "b", "c", "d"];
    let _failed = futures_util::future::join_all(codes.map(|code| node.target_of(code))).await;
    assert_eq!(node.database.asked() - asked, codes.len());
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_hangs_costs_its_deadline_and_then_nothing() {
    let node = Node::new(Row::Hangs, Row::Down, Row::Link(3));
    let begun = tokio::time::Instant::now();
    for n in 0..20 {
        assert_eq!(node.target_of(&format!("c{n}")).await.unwrap().as_deref(), Some("https://database.example/3"));
    }
    assert!(begun.elapsed() <= Duration::from_millis(6 * 510), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_hangs_keeps_those_who_have_a_copy_for_a_moment_only() {
    let node = Node::new(Row::Link(5), Row::None, Row::Hangs);
    node.doubts();
    let begun = tokio::time::Instant::now();
    node.leads_to("replica.example/5").await;
    assert!(begun.elapsed() <= Duration::from_millis(260), "{:?}", begun.elapsed());
    node.replica.set(Row::None);
    let begun = tokio::time::Instant::now();
    assert!(node.target().await.is_err());
    assert!(begun.elapsed() <= Duration::from_millis(2_010), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_change_through_this_process_is_seen_although_no_copy_has_it_yet() {
    let node = Node::new(Row::Link(1), Row::Link(1), Row::Link(1));
    node.leads_to("replica.example/1").await;
    node.database.set(Row::Link(2));
    node.resolver.changed("abc", Some(2));
    assert_eq!(*node.redis.forgotten.lock().unwrap(), ["abc 2 true"]);
    node.leads_to("database.example/2").await;
    // The copy has had a look since: it is believed again.
    *node.replica.looked_at.lock().unwrap() = Some(Instant::now() + Duration::from_secs(1));
    node.replica.set(Row::Link(2));
    node.resolver.created("abc");
    node.leads_to("replica.example/2").await;
    // And another link is none of this.
    assert_eq!(node.target_of("other").await.unwrap().as_deref(), Some("https://replica.example/2"));
}

#[tokio::test]
async fn a_link_changed_here_is_not_answered_as_it_was_even_in_an_outage() {
    let node = Node::new(Row::Link(1), Row::Link(1), Row::Down);
    node.leads_to("replica.example/1").await;
    node.resolver.changed("abc", None);
    assert!(node.target().await.is_err());
}

#[tokio::test]
async fn a_copy_that_has_the_change_made_here_is_believed_although_its_look_began_before() {
    let node = Node::new(Row::Link(1), Row::None, Row::Down);
    // As at every start.
    node.resolver.outdated(&Outdated::All);
    node.resolver.changed("abc", Some(2));
    assert!(node.target().await.is_err());
    // The look was under way when the change was made, and has brought it; the next one finds no database.
    node.replica.set(Row::Link(2));
    node.leads_to("replica.example/2").await;
    // That another node has changed it since makes the copy doubtful, and no worse.
    node.resolver.told("abc", 3);
    node.leads_to("replica.example/2").await;
    assert_eq!(node.counted(Tier::Doubtful), 1);
    // Where it is not known what was changed, the copy may be from before it.
    node.resolver.changed("abc", None);
    assert!(node.target().await.is_err());
}

#[tokio::test]
async fn a_change_another_node_tells_of_is_asked_after_and_believed_when_nobody_can_be_asked() {
    let node = Node::new(Row::Link(1), Row::Link(1), Row::Link(2));
    node.leads_to("replica.example/1").await;
    node.resolver.told("abc", 2);
    node.leads_to("database.example/2").await;
    node.resolver.told("abc", 2);
    node.database.set(Row::Down);
    node.leads_to("replica.example/1").await;
    assert_eq!(node.counted(Tier::Doubtful), 1);
    node.redis.set(Row::Link(2));
    node.leads_to("redis.example/2").await;
    // The feed was there before the hint.
    node.replica.set(Row::Link(3));
    node.resolver.told("abc", 3);
    node.leads_to("replica.example/3").await;
    assert_eq!(node.counted(Tier::Replica), 2);
}

#[tokio::test]
async fn what_the_feed_says_is_outdated_is_forgotten_everywhere() {
    let node = Node::new(Row::Link(1), Row::Link(1), Row::Link(3));
    node.leads_to("replica.example/1").await;
    node.replica.set(Row::Link(2));
    let changed = [("abc", 2), ("xyz", 7)].map(|(code, version)| Changed { code: code.to_owned(), version });
    node.resolver.outdated(&Outdated::Codes(&changed));
    node.leads_to("replica.example/2").await;
    assert_eq!(*node.redis.forgotten.lock().unwrap(), ["abc 2 false", "xyz 7 false"]);
    // A node without a replica does not believe what it finds in Redis in an older version.
    node.replica.set(Row::None);
    node.resolver.outdated(&Outdated::Codes(&changed));
    node.leads_to("database.example/3").await;
    // That a code came to be is nothing to Redis.
    node.resolver.outdated(&Outdated::Absence(&changed));
    assert_eq!(node.redis.forgotten.lock().unwrap().len(), 4);
    node.resolver.outdated(&Outdated::All);
    assert_eq!(node.redis.forgotten.lock().unwrap().last().unwrap(), "*");
}

#[tokio::test]
async fn a_read_that_failed_once_is_made_again_as_long_as_the_budget_goes() {
    let node = Node::new(Row::None, Row::None, Row::Down);
    assert!(node.target().await.is_err());
    assert_eq!((node.database.asked(), node.resolver.inner.metrics.tiers.retries.get()), (2, 1));
}

#[tokio::test]
async fn what_is_at_hand_asks_nobody_else() {
    let node = Node::new(Row::Link(1), Row::Link(2), Row::Link(3));
    let code = ShortCode::parse("abc").unwrap();
    assert!(matches!(node.resolver.at_hand(&code, NOW).await, AtHand::Known(Some(_))));
    node.doubts();
    assert!(matches!(node.resolver.at_hand(&code, NOW).await, AtHand::Doubtful(Some(_))));
    node.replica.set(Row::None);
    assert!(matches!(node.resolver.at_hand(&code, NOW).await, AtHand::Unknown));
    assert_eq!(node.asked(), [3, 0, 0]);
}
